"""Convolutions as kernels make them.

Small batches are cut into strips, for which images need a frame of zeros along their first axis.
The cotangent of a weight becomes a sum of laid-out parts: each thread sums over a run of the batch
into a part of its own, with channels innermost. What follows (the sum of the parts, the order
PyTorch keeps weights in) are movements and additions that fuse with whatever uses the gradient,
such as an optimizer's update.
"""

from __future__ import annotations

from ..ir.graph import Atom, Eqn, Graph, Literal, Var
from ..ops import elementwise as ew
from ..ops import movement, source, window
from .simplify import Rewriter

MOST_PARTS = 16


def lower_windows(graph: Graph, threads: int) -> Graph:
    """Rewrite every convolution for that many threads."""

    def rule(rw: Rewriter, eqn: Eqn) -> Atom | None:
        if eqn.primitive not in (window.conv, window.conv_input, window.conv_weight):
            return None
        eqn = _with_arrays(rw, eqn)
        if any(a.aval.size == 0 for a in (*eqn.inputs, *eqn.outputs)):
            return None
        if eqn.primitive is not window.conv_weight:
            return _framed(rw, eqn)
        return _weight(rw, eqn, max(1, min(threads, MOST_PARTS, eqn.inputs[0].aval.shape[0])))

    return Rewriter(graph).run(rule)


def _with_arrays(rw: Rewriter, eqn: Eqn) -> Eqn:
    """The equation with constants among its operands written out as arrays."""
    assert rw.current is not None
    fixed: list[Atom] = []
    for atom, before in zip(eqn.inputs, rw.current.inputs, strict=True):
        if isinstance(atom, Literal):
            aval = before.aval
            params = {"shape": aval.shape, "dtype": aval.dtype, "value": atom.number}
            atom = Var(aval)
            rw.eqns.append(Eqn(source.full, (), params, (atom,)))
        fixed.append(atom)
    return eqn.replace(tuple(fixed), eqn.outputs)


def _framed(rw: Rewriter, eqn: Eqn) -> Atom | None:
    """Zeros around the first axis, so that every strip reads the same places."""
    (x, w), p = eqn.inputs, eqn.params
    out, lanes = eqn.outputs[0].aval, window.UNIT_BYTES // x.aval.dtype.itemsize
    forward = eqn.primitive is window.conv
    stride, low = p["stride"][0], p["low"][0]
    count, length = window.strips(out.shape[0], out.shape[2], 1 if forward else stride, lanes)
    if count == 1:
        return None
    first, last = window.first_reads(
        eqn.primitive, count * length, w.aval.shape[2], stride, low, p["dilation"][0]
    )
    before, after = max(0, -first), max(0, last - x.aval.shape[2] + 1)
    if not before and not after:
        return None
    rest = (0,) * (x.aval.ndim - 3)
    framed = rw.emit(
        movement.pad, (x,), low=(0, 0, before, *rest), high=(0, 0, after, *rest),
        interior=(0, 0, 0, *rest), value=0,
    )  # fmt: skip
    moved = low - before if forward else low + before * stride
    return rw.emit(eqn.primitive, (framed, w), **{**p, "low": (moved, *p["low"][1:])})


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
