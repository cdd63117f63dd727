"""The line search finds points with the strong Wolfe conditions; LBFGS reaches minima with it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import fusegrad as fg
from fusegrad.optim.linesearch import ARMIJO, CURVATURE, Point, cubic_minimum, strong_wolfe

LINES: dict[str, tuple[Any, Any]] = {
    "parabola": (lambda t: (t - 3) ** 2, lambda t: 2 * (t - 3)),
    "near": (lambda t: (t - 1e-3) ** 2, lambda t: 2 * (t - 1e-3)),
    "far": (lambda t: (t - 500) ** 2, lambda t: 2 * (t - 500)),
    "quartic": (lambda t: (t - 2) ** 4 + t**2, lambda t: 4 * (t - 2) ** 3 + 2 * t),
    "wave": (lambda t: -math.sin(t) + 0.1 * t, lambda t: -math.cos(t) + 0.1),
    "well": (lambda t: -t / (t * t + 2), lambda t: (t * t - 2) / (t * t + 2) ** 2),
    "wall": (lambda t: math.exp(5 * t) - 20 * t, lambda t: 5 * math.exp(5 * t) - 20),
}


@pytest.mark.parametrize("first", [1e-3, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("name", list(LINES))
def test_strong_wolfe_conditions(name: str, first: float) -> None:
    f, slope = LINES[name]
    trials = []

    def evaluate(t: float) -> Point:
        trials.append(t)
        return Point(t, f(t), np.array([slope(t)]), slope(t))

    start = Point(0, f(0.0), np.array([slope(0.0)]), slope(0.0))
    found, evaluations = strong_wolfe(evaluate, first, start, 1.0, 25, 1e-9)
    assert evaluations == len(trials)
    assert found.f <= start.f + ARMIJO * found.t * start.slope
    assert abs(found.slope) <= CURVATURE * abs(start.slope)


def test_the_cubic_is_met_exactly() -> None:
    """The minimum of a cubic from any two of its points, in either order; bounds hold."""
    f, slope = (lambda t: t**3 - 3 * t), (lambda t: 3 * t * t - 3)
    a, b = (Point(t, f(t), np.zeros(1), slope(t)) for t in (-0.5, 2.0))
    assert cubic_minimum(a, b) == pytest.approx(1.0) == cubic_minimum(b, a)
    assert cubic_minimum(a, b, (1.5, 2.0)) == 1.5


@pytest.mark.parametrize("dtype", [fg.float32, fg.float64])
def test_rosenbrock(dtype: Any) -> None:
    p = fg.nn.Parameter(fg.tensor([-1.2, 1.0], dtype=dtype))
    optimizer = fg.optim.LBFGS(
        [p], line_search_fn="strong_wolfe", max_iter=60, tolerance_change=1e-15
    )

    @fg.jit
    def closure() -> Any:
        optimizer.zero_grad()
        loss = 100 * (p[1] - p[0] ** 2) ** 2 + (1 - p[0]) ** 2
        loss.backward()
        return loss

    first = optimizer.step(closure)
    assert first.item() == pytest.approx(24.2)
    np.testing.assert_allclose(p.tolist(), [1.0, 1.0], rtol=1e-6 if dtype is fg.float64 else 1e-2)
    assert len(closure.history) <= 2  # the gradient is first left, then cleared
    state = optimizer.state[p]
    assert state["n_iter"] > 10 and state["func_evals"] >= state["n_iter"]


def test_a_parameter_without_gradient_stays() -> None:
    p, q = (fg.nn.Parameter(fg.ones(2)) for _ in range(2))
    optimizer = fg.optim.LBFGS([p, q])

    def closure() -> Any:
        optimizer.zero_grad()
        loss = ((p - 3) ** 2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    np.testing.assert_allclose(p.tolist(), [3.0, 3.0], rtol=1e-4)
    assert q.tolist() == [1.0, 1.0]


def test_nan_ends_the_step() -> None:
    p = fg.nn.Parameter(fg.tensor([1.0]))
    optimizer = fg.optim.LBFGS([p], line_search_fn="strong_wolfe")
    calls = []

    def closure() -> Any:
        calls.append(1)
        optimizer.zero_grad()
        loss = (p * math.nan).sum()
        loss.backward()
        return loss

    assert math.isnan(optimizer.step(closure).item())
    assert len(calls) <= 30
