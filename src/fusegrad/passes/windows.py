"""Convolutions as kernels make them: the cotangent of a weight becomes a sum of laid-out parts.

Each thread sums over a run of the batch into a part of its own, with channels innermost. What
follows (the sum of the parts, the order PyTorch keeps weights in) are movements and additions that
fuse with whatever uses the gradient, such as an optimizer's update.
"""

from __future__ import annotations

from ..ir.graph import Atom, Eqn, Graph
from ..ops import elementwise as ew
from ..ops import movement, window
from .simplify import Rewriter

MOST_PARTS = 16


def lower_windows(graph: Graph, threads: int) -> Graph:
    """Rewrite every ``conv_weight`` for that many threads."""

    def rule(rw: Rewriter, eqn: Eqn) -> Atom | None:
        if eqn.primitive is not window.conv_weight:
            return None
        if any(a.aval.size == 0 for a in (*eqn.inputs, *eqn.outputs)):
            return None
        return _weight(rw, eqn, max(1, min(threads, MOST_PARTS, eqn.inputs[0].aval.shape[0])))

    return Rewriter(graph).run(rule)


def _weight(rw: Rewriter, eqn: Eqn, parts: int) -> Atom:
    """The parts, without their padding, in the order of the weight, summed."""
    out = eqn.outputs[0].aval
    size, channels = eqn.params["size"], out.shape[1]
    dilation = eqn.params["dilation"]
    lead, run, _ = window.row_layout(size, dilation, channels, out.dtype.itemsize)
    rows = rw.emit(window.conv_weight_rows, eqn.inputs, **eqn.params, parts=parts)
    total: Atom | None = None
    ndim = len(lead) + 3
    for part in range(parts):
        limit = (part + 1, out.shape[0], *lead, run)
        one = rw.emit(
            movement.slice_,
            (rows,),
            start=(part, *(0,) * (ndim - 1)),
            limit=limit,
            step=(1,) * ndim,
        )
        placed = rw.emit(movement.reshape, (one,), shape=(out.shape[0], *size, channels))
        axes = len(size)
        perm = (0, axes + 1, *range(1, axes + 1))
        weight = rw.emit(movement.transpose, (placed,), perm=perm)
        total = weight if total is None else rw.emit(ew.add, (total, weight))
    assert total is not None
    return total
