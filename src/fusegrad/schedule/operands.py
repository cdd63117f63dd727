"""Copies that make a graph plannable: distinct outputs, dense and mergeable operands.

In: an optimised graph. Out: the same graph with equations that write values to memory of their
own, where a kernel or a loop needs them there. Next file: ``plan.py``.
"""

from __future__ import annotations

from typing import Any

from ..ir.graph import Atom, Eqn, Graph, Literal, Var
from ..ops import compare as cmp
from ..ops import control, movement, source
from ..ops.contract import dot, free_axes
from .index import row_major
from .lower import view_of


class OperandOrder(Exception):
    """A contraction operand whose axes do not merge into a matrix; it must be copied."""

    def __init__(self, eqn: Eqn, position: int) -> None:
        super().__init__()
        self.eqn = eqn
        self.position = position


def distinct_outputs(graph: Graph) -> Graph:
    """Every output is a value of its own that a kernel can write (copies are added)."""
    makers = {o: e for e in graph.eqns for o in e.outputs}
    eqns = list(graph.eqns)
    taken: set[Var] = set()
    outputs: list[Atom] = []
    for atom in graph.outputs:
        root = atom
        while (
            isinstance(root, Var)
            and root in makers
            and (makers[root].primitive is movement.reshape)
        ):
            root = makers[root].inputs[0]
        computed = (
            isinstance(root, Var)
            and root in makers
            and root not in taken
            and (not makers[root].primitive.alias)
            and (not makers[root].primitive.multiple or root in own_results(makers[root]))
        )
        if computed:
            taken.add(root)  # type: ignore[arg-type]
            outputs.append(root)
            continue
        out = Var(atom.aval)
        if isinstance(atom, Literal):
            params = {
                "shape": atom.aval.shape,
                "dtype": atom.aval.dtype,
                "value": atom.number,
            }
            eqns.append(Eqn(source.full, (), params, (out,)))
        else:
            eqns.append(Eqn(cmp.convert, (atom,), {"dtype": atom.aval.dtype}, (out,)))
        taken.add(out)
        outputs.append(out)
    return Graph(graph.inputs, eqns, outputs)


def copy_operand(graph: Graph, eqn: Eqn, position: int) -> Graph:
    """Put a contraction's operand into memory, its axes in the order batch, free, contracted."""
    x = eqn.inputs[position]
    contract, batch = ("cx", "bx") if position == 0 else ("cy", "by")
    perm, params = tuple(range(x.aval.ndim)), eqn.params
    if eqn.primitive is dot:
        c, b = eqn.params[contract], eqn.params[batch]
        f = free_axes(x.aval.ndim, c, b)
        perm = (*b, *f, *c)
        params = {
            **eqn.params,
            batch: tuple(range(len(b))),
            contract: tuple(range(len(b) + len(f), len(perm))),
        }
    moved = Var(movement.transpose.aval_rule(x.aval, perm=perm))
    copied = Var(moved.aval)
    inputs = tuple(copied if i == position else a for i, a in enumerate(eqn.inputs))
    eqns: list[Eqn] = []
    for e in graph.eqns:
        if e.outputs == eqn.outputs:
            eqns.append(Eqn(movement.transpose, (x,), {"perm": perm}, (moved,), e.site, e.backward))
            eqns.append(Eqn(cmp.convert, (moved,), {"dtype": x.aval.dtype}, (copied,), e.site))
            eqns.append(Eqn(e.primitive, inputs, params, e.outputs, e.site, e.backward))
        else:
            eqns.append(e)
    return Graph(graph.inputs, eqns, graph.outputs)


def dense_operands(graph: Graph) -> Graph:
    """Operands of loops lie in memory, row-major: literals and strided views are written out."""
    if not any(e.primitive.multiple for e in graph.eqns):
        return graph
    makers = {o: e for e in graph.eqns for o in e.outputs}
    eqns: list[Eqn] = []
    copies: dict[Any, Var] = {}
    for eqn in graph.eqns:
        if eqn.primitive.multiple:
            inputs = []
            for atom in eqn.inputs:
                offset = eqn.primitive is control.scan  # its pointers may start anywhere
                if isinstance(atom, Var) and _is_dense(atom, makers, offset):
                    inputs.append(atom)
                    continue
                if atom not in copies:
                    copies[atom] = Var(atom.aval)
                    eqns.append(_written_out(atom, copies[atom], eqn))
                inputs.append(copies[atom])
            eqn = eqn.replace(tuple(inputs), eqn.outputs)
        eqns.append(eqn)
    return Graph(graph.inputs, eqns, graph.outputs)


def _written_out(atom: Any, out: Var, eqn: Eqn) -> Eqn:
    dtype = atom.aval.dtype
    if isinstance(atom, Literal):
        params = {"shape": atom.aval.shape, "dtype": dtype, "value": atom.number}
        return Eqn(source.full, (), params, (out,), eqn.site, eqn.backward)
    return Eqn(cmp.convert, (atom,), {"dtype": dtype}, (out,), eqn.site, eqn.backward)


def _is_dense(var: Var, makers: dict[Var, Eqn], offset: bool) -> bool:
    root = var
    while root in makers and makers[root].primitive.kind == "movement":
        eqn = makers[root]
        if not eqn.primitive.alias or not isinstance(eqn.inputs[0], Var):
            break
        root = eqn.inputs[0]
    if root is var:
        return True
    view = view_of(var, makers, lambda v: v is root)
    if view is None or (view.offset and not offset):
        return False
    pairs = zip(var.aval.shape, view.strides, row_major(var.aval.shape), strict=True)
    return all(n == 1 or a == b for n, a, b in pairs)


def own_results(eqn: Eqn) -> set[Var]:
    """Results that a loop writes to memory of their own; the others lie inside its carries."""
    if eqn.primitive is not control.scan:
        return set(eqn.outputs) if eqn.primitive is control.cond else set()
    inside = histories(eqn)
    first = eqn.params["carries"]
    return {o for k, o in enumerate(eqn.outputs) if k >= first and k not in inside}


def histories(eqn: Eqn) -> dict[int, tuple[int, bool]]:
    """Emitted results that are a carry: ``result -> (carry, whether as the step began)``."""
    body, consts, carries = (eqn.params[k] for k in ("body", "consts", "carries"))
    found: dict[int, tuple[int, bool]] = {}
    for j, atom in enumerate(body.outputs[carries:], carries):
        for k in range(carries):
            start, end = body.inputs[consts + k], body.outputs[k]
            if isinstance(atom, Var) and (atom is start or atom is end) and start is not end:
                found[j] = (k, atom is start)
                break
    return found


def merge_batch(
    extents: list[int], sx: list[int], sy: list[int]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Batch axes and their strides in two operands, neighbours merged where both allow it."""
    merged: list[list[int]] = []
    for n, a, b in zip(extents, sx, sy, strict=True):
        if n == 1:
            continue
        if merged and merged[-1][1] == n * a and merged[-1][2] == n * b:
            merged[-1] = [merged[-1][0] * n, a, b]
        else:
            merged.append([n, a, b])
    columns = list(zip(*merged, strict=True)) if merged else [(), (), ()]
    return columns[0], columns[1], columns[2]
