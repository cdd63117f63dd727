"""Half-precision equations compute in ``float32``: casts around each, one rounding of its result.

In: a graph over ``float16`` and ``bfloat16``. Out: the same graph in which they are operands and
results of conversions and of movements alone, so kernels know them as stored bits; the conversions
fuse into loads and stores. Eager evaluation rounds at the same places (``ir/primitive.py``).
"""

from __future__ import annotations

from ..dtypes import float32
from ..ir.graph import Atom, Eqn, Graph
from ..ir.primitive import wide_params
from ..ops.elementwise import convert
from .simplify import Rewriter


def widen_reduced(graph: Graph) -> Graph:
    """Put conversions around the equations that compute on reduced dtypes."""
    if not any(map(_computes, graph.eqns)):
        return graph
    return Rewriter(graph).run(_widened)


def _computes(eqn: Eqn) -> bool:
    atoms = (*eqn.inputs, *eqn.outputs)
    if not any(a.aval.dtype.reduced for a in atoms):
        return False
    return not eqn.primitive.carries([a.aval for a in eqn.inputs], eqn.params)


def _widened(rewriter: Rewriter, eqn: Eqn) -> Atom | None:
    if not _computes(eqn):
        return None
    out = eqn.outputs[0].aval.dtype
    if eqn.primitive is convert and float32 in (eqn.inputs[0].aval.dtype, out):
        return None
    inputs = tuple(_wide(rewriter, atom) for atom in eqn.inputs)
    value = rewriter.emit(eqn.primitive, inputs, **wide_params(eqn.params))
    return rewriter.emit(convert, (value,), dtype=out) if out.reduced else value


def _wide(rewriter: Rewriter, atom: Atom) -> Atom:
    if not atom.aval.dtype.reduced:
        return atom
    return rewriter.emit(convert, (atom,), dtype=float32)
