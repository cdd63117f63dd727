"""Factors that do not change along a sum move behind it.

``sum(a * r)`` with an ``r`` that is broadcast along the summed axes becomes ``sum(a) * r``: one
multiplication a row instead of one an element, and the sum no longer waits for ``r``. In the
gradient of a layer norm, where ``r`` is the reciprocal deviation, that saves a walk over each row.
Rounds as any other order of a sum does (kernels reassociate anyway).
"""

from __future__ import annotations

from ..ir.graph import Atom, Eqn, Graph, Literal, Var
from ..ops import elementwise as ew
from ..ops import movement, reduce
from .simplify import Rewriter


def move_factors(graph: Graph) -> Graph:
    """Apply the rewrite to every sum of floating-point products."""

    def rule(rw: Rewriter, eqn: Eqn) -> Atom | None:
        if eqn.primitive is not reduce.sum_ or not eqn.outputs[0].aval.dtype.is_floating_point:
            return None
        return _factored(rw, eqn.inputs[0], eqn.params["axes"])

    return Rewriter(graph).run(rule)


def _factored(rw: Rewriter, x: Atom, axes: tuple[int, ...]) -> Atom | None:
    """The sum of ``x`` with what can be moved behind it, or None when nothing can."""
    negated = rw.made_by(x, ew.neg)
    if negated:
        inner = _factored(rw, negated.inputs[0], axes)
        return None if inner is None else rw.emit(ew.neg, (inner,))
    product = rw.made_by(x, ew.mul)
    if product is None:
        return None
    for factor, rest in (product.inputs, product.inputs[::-1]):
        wide = rw.made_by(factor, movement.broadcast)
        if wide is None or not isinstance(rest, Var) or isinstance(wide.inputs[0], Literal):
            continue
        if rest.aval.shape != x.aval.shape or not _constant_along(wide, axes):
            continue
        total = _factored(rw, rest, axes)
        if total is None:
            total = rw.emit(reduce.sum_, (rest,), axes=axes)
        return rw.emit(ew.mul, (total, _narrowed(rw, wide, axes)))
    return None


def _constant_along(wide: Eqn, axes: tuple[int, ...]) -> bool:
    """Whether a broadcast repeats one value along all of ``axes``."""
    source = wide.inputs[0].aval.shape
    return all(a not in axes or source[k] == 1 for k, a in enumerate(wide.params["axes"])) and any(
        n != 1 for n in source
    )


def _narrowed(rw: Rewriter, wide: Eqn, axes: tuple[int, ...]) -> Atom:
    """The broadcast without the summed axes."""
    x, shape = wide.inputs[0], wide.params["shape"]
    kept = [k for k, a in enumerate(wide.params["axes"]) if a not in axes]
    source = tuple(x.aval.shape[k] for k in kept)
    if source != x.aval.shape:
        x = rw.emit(movement.reshape, (x,), shape=source)
    left = [a for a in range(len(shape)) if a not in axes]
    places = tuple(left.index(wide.params["axes"][k]) for k in kept)
    target = tuple(shape[a] for a in left)
    if target == source:
        return x
    return rw.emit(movement.broadcast, (x,), shape=target, axes=places)
