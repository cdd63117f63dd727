"""Half-precision equations compute in ``float32``: casts around each, one rounding of its result.

In: a graph over ``float16`` and ``bfloat16``. Out: the same graph in which they are operands and
results of conversions and of movements alone, so kernels know them as stored bits; the conversions
fuse into loads and stores. Eager evaluation rounds at the same places (``ir/primitive.py``).
"""

from __future__ import annotations

from ..dtypes import float32
from ..ir.aval import Aval
from ..ir.graph import Atom, Eqn, Graph, Literal, Var
from ..ir.primitive import wide_params
from ..ops.compare import convert
from ..ops.source import full
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
    assert rewriter.current is not None
    shapes = [a.aval.shape for a in rewriter.current.inputs]
    if eqn.primitive.kind == "elementwise":
        shapes = [() for _ in shapes]  # a literal goes with any shape
    inputs = tuple(_wide(rewriter, a, s) for a, s in zip(eqn.inputs, shapes, strict=True))
    value = rewriter.emit(eqn.primitive, inputs, **wide_params(eqn.params))
    return rewriter.emit(convert, (value,), dtype=out) if out.reduced else value


def _wide(rewriter: Rewriter, atom: Atom, shape: tuple[int, ...]) -> Atom:
    """An operand in ``float32``, written out when it is a literal that stands for an array."""
    if atom.aval.dtype.reduced:
        atom = rewriter.emit(convert, (atom,), dtype=float32)
    if not isinstance(atom, Literal) or not shape:
        return atom
    out = Var(Aval(shape, atom.aval.dtype))
    params = {"shape": shape, "dtype": atom.aval.dtype, "value": atom.number}
    rewriter.eqns.append(Eqn(full, (), params, (out,)))
    return out
