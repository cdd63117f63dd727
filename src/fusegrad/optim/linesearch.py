"""A line search for the strong Wolfe conditions (Nocedal and Wright, Numerical Optimization, 3.5).

In: a function along a line. Out: a point where it has decreased enough and its slope is small. The
interpolation, bounds and tie breaks are those of minFunc, which PyTorch's LBFGS follows too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

ARMIJO, CURVATURE = 1e-4, 0.9


class Point(NamedTuple):
    """A place on the line.

    Attributes:
        t: step length.
        f: value of the function.
        grad: flat gradient.
        slope: derivative along the line.
    """

    t: Any
    f: float
    grad: np.ndarray
    slope: Any


def cubic_minimum(a: Point, b: Point, bounds: tuple[Any, Any] | None = None) -> Any:
    """Minimum of the cubic through two points and their slopes, within bounds."""
    low, high = bounds or ((a.t, b.t) if a.t <= b.t else (b.t, a.t))
    first = a.slope + b.slope - 3 * (a.f - b.f) / (a.t - b.t)
    square = first**2 - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2.0
    root = math.sqrt(square)
    left, right = (a, b) if a.t <= b.t else (b, a)
    share = (right.slope + root - first) / (right.slope - left.slope + 2 * root)
    return min(max(right.t - (right.t - left.t) * share, low), high)


def strong_wolfe(
    evaluate: Callable[[Any], Point],
    t: Any,
    start: Point,
    longest: float,
    limit: int,
    tolerance_change: float,
) -> tuple[Point, int]:
    """A point that satisfies the strong Wolfe conditions, or the best one found.

    Args:
        evaluate: the point at a step length.
        t: first step length.
        start: the point at 0.
        longest: largest element of the direction.
        limit: largest number of trials after the first.
        tolerance_change: a bracket that moves no element by more than this ends the search.

    Returns:
        the point, and the number of evaluations.
    """
    bracket, trials, done = _bracket(evaluate, t, start, limit)
    low = 0 if bracket[0].f <= bracket[-1].f else 1
    stuck = False
    while not done and trials < limit:
        a, b = bracket
        if abs(b.t - a.t) * longest < tolerance_change:
            break
        t, stuck = _inside(a, b, cubic_minimum(a, b), stuck)
        new = evaluate(t)
        trials += 1
        if not _sufficient(new, start) or new.f >= bracket[low].f:
            bracket[1 - low] = new
            low = 0 if bracket[0].f <= bracket[1].f else 1
            continue
        if abs(new.slope) <= -CURVATURE * start.slope:
            done = True
        elif new.slope * (bracket[1 - low].t - bracket[low].t) >= 0:
            bracket[1 - low] = bracket[low]
        bracket[low] = new
    return bracket[low], trials + 1


def _sufficient(new: Point, start: Point) -> bool:
    return not new.f > start.f + ARMIJO * new.t * start.slope


def _bracket(
    evaluate: Callable[[Any], Point], t: Any, start: Point, limit: int
) -> tuple[list[Point], int, bool]:
    """Two points around an acceptable one, or that one alone; trials made; whether it is found."""
    before, new, trials = start, evaluate(t), 0
    while trials < limit:
        if not _sufficient(new, start) or (trials > 1 and new.f >= before.f):
            return [before, new], trials, False
        if abs(new.slope) <= -CURVATURE * start.slope:
            return [new], trials, True
        if new.slope >= 0:
            return [before, new], trials, False
        bounds = (new.t + 0.01 * (new.t - before.t), new.t * 10)
        t = cubic_minimum(before, new, bounds)
        before, new = new, evaluate(t)
        trials += 1
    return [start, new], trials, False


def _inside(a: Point, b: Point, t: Any, stuck: bool) -> tuple[Any, bool]:
    """``t``, moved off the ends of the bracket when it gets stuck there; whether it is near one."""
    low, high = min(a.t, b.t), max(a.t, b.t)
    margin = 0.1 * (high - low)
    if not min(high - t, t - low) < margin:
        return t, False
    if stuck or t >= high or t <= low:
        return (high - margin if abs(t - high) < abs(t - low) else low + margin), False
    return t, True
