"""Forward mode: tangents pushed along a graph by the rules of the records.

``push_forward`` evaluates a graph on primals and tangents with ``bind``: on arrays it computes,
while a capture runs it appends equations. ``jvp`` uses it to turn a graph into the graph of its
derivative, which nests with itself and with the reverse mode of ``vjp.py``. A tangent is ``None``
where it is known to be zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from ..errors import GradientError
from ..ir.aval import Aval, aval_of
from ..ir.builder import Builder
from ..ir.graph import Atom, Eqn, Graph, Literal, Var
from ..ir.primitive import Primitive, bind
from ..ops.control import scan
from ..ops.elementwise import add
from ..ops.source import full
from .loopjvp import push_scan


def jvp(graph: Graph, active: Sequence[bool] | None = None) -> Graph:
    """The graph of a graph's directional derivative.

    Args:
        graph: the function.
        active: which inputs have a tangent; all of differentiable dtype when ``None``.

    Returns:
        a graph of ``[*inputs, *tangents of the active inputs]`` that computes ``[*outputs,
        *tangents of the outputs of differentiable dtype]``.

    Example:
        >>> from fusegrad.ir.text import parse_graph
        >>> g = parse_graph('''graph(a: f32[3], b: f32[3]) {
        ...   c: f32[3] = mul a b
        ...   return c
        ... }''')
        >>> print(jvp(g, [True, False]))
        graph(a: f32[3], b: f32[3], c: f32[3]) {
          d: f32[3] = mul a b
          e: f32[3] = mul c b
          return d, e
        }
    """
    if active is None:
        active = [v.aval.dtype.is_differentiable for v in graph.inputs]
    builder = Builder()
    primals = [builder.input(v.aval, v.hint) for v in graph.inputs]
    tangents = [
        builder.input(v.aval, f"d{v.hint}" if v.hint else "") if a else None
        for v, a in zip(graph.inputs, active, strict=True)
    ]
    with builder.active(), builder.at(None, backward=False):
        outputs, pushed = push_forward(graph, primals, tangents, builder)
        zeros = [
            full(shape=o.aval.shape, dtype=o.aval.dtype, value=0) if t is None else t
            for o, t in zip(graph.outputs, pushed, strict=True)
            if o.aval.dtype.is_differentiable
        ]
        return builder.finish([*outputs, *zeros])


def push_forward(
    graph: Graph, primals: Sequence[Any], tangents: Sequence[Any], builder: Builder | None = None
) -> tuple[list[Any], list[Any]]:
    """Outputs of ``graph`` and their tangents.

    Args:
        graph: the function.
        primals: values of the inputs.
        tangents: tangents of the inputs, ``None`` for zero.
        builder: the running capture, so that new equations keep the user's lines.

    Returns:
        ``(outputs, tangents of the outputs)``; a tangent is ``None`` where it is zero.
    """
    value: dict[Var, Any] = dict(zip(graph.inputs, primals, strict=True))
    tangent: dict[Var, Any] = dict(zip(graph.inputs, tangents, strict=True))

    def read(atom: Atom) -> Any:
        return atom if isinstance(atom, Literal) else value[atom]

    def read_tangent(atom: Atom) -> Any:
        return None if isinstance(atom, Literal) else tangent[atom]

    for eqn in graph.eqns:
        args = [read(a) for a in eqn.inputs]
        moves = [read_tangent(a) for a in eqn.inputs]
        with nullcontext() if builder is None else builder.at(eqn.site, eqn.backward):
            outs, moved = _apply(eqn, args, moves)
        value.update(zip(eqn.outputs, outs, strict=True))
        tangent.update(zip(eqn.outputs, moved, strict=True))
    outputs = [
        a.value if isinstance(a, Literal) and builder is None else read(a) for a in graph.outputs
    ]
    return outputs, [read_tangent(a) for a in graph.outputs]


def _apply(
    eqn: Eqn, args: Sequence[Any], tangents: Sequence[Any]
) -> tuple[Sequence[Any], Sequence[Any]]:
    """Results of one equation and their tangents."""
    if eqn.primitive.multiple:
        if any(t is not None for t in tangents):
            if eqn.primitive is not scan:
                raise GradientError(
                    f"forward mode through {eqn.primitive.name}",
                    "Only loops of fixed length have a forward derivative.",
                    "fg.scan, or fg.where on both results",
                    eqn.site,
                )
            return push_scan(eqn, args, tangents, push_forward)
        outs = bind(eqn.primitive, *args, **eqn.params)
        return outs, [None] * len(outs)
    out = bind(eqn.primitive, *args, **eqn.params)
    return [out], [_tangent(eqn, args, tangents, out)]


def _tangent(eqn: Eqn, args: Sequence[Any], tangents: Sequence[Any], out: Any) -> Any:
    """Tangent of one equation's output."""
    primitive, aval = eqn.primitive, eqn.outputs[0].aval
    if not aval.dtype.is_differentiable or all(t is None for t in tangents):
        return None
    if primitive.linearity == "linear":
        if primitive.kind == "contract":
            return _multilinear(eqn, args, tangents)
        filled = [
            _zeros(a.aval) if t is None else t for a, t in zip(eqn.inputs, tangents, strict=True)
        ]
        return bind(primitive, *filled, **eqn.params)
    rules, needs = (
        (primitive.jvps, primitive.jvp_needs)
        if primitive.linearity == "explicit"
        else (primitive.derivs, primitive.needs)
    )
    total: Any = None
    for i, t in enumerate(tangents):
        rule = rules[min(i, len(rules) - 1)] if rules else None
        if t is None or rule is None:
            continue
        names = needs[min(i, len(needs) - 1)]
        given = {n: _argument(n, i, eqn, args, t, out) for n in names}
        part = rule(**given)
        total = part if total is None else add(total, part)
    return total


def _multilinear(eqn: Eqn, args: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """Sum over operands of the primitive with one operand replaced by its tangent."""
    total: Any = None
    for i, t in enumerate(tangents):
        if t is None:
            continue
        part = bind(eqn.primitive, *[t if k == i else a for k, a in enumerate(args)], **eqn.params)
        total = part if total is None else add(total, part)
    return total


def _zeros(aval: Aval) -> Any:
    return full(shape=aval.shape, dtype=aval.dtype, value=0)


def _argument(name: str, i: int, eqn: Eqn, args: Sequence[Any], tangent: Any, out: Any) -> Any:
    """What a rule asks for by name; see ``ir/primitive.py``."""
    primitive: Primitive = eqn.primitive
    if name in ("g", "t"):
        return tangent
    if name == "out":
        return out
    if name in primitive.arg_names:
        return args[primitive.arg_names.index(name)]
    if name in eqn.params:
        return eqn.params[name]
    if name == "index":
        return i
    avals = [
        a.aval if isinstance(a, Literal) else aval_of(args[k]) for k, a in enumerate(eqn.inputs)
    ]
    if name == "in_avals":
        return avals
    return avals[primitive.arg_names.index(name.removesuffix("_aval"))]
