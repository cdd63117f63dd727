"""The captured graph of a step or model, in the form that TensorBoard draws.

Nodes are named after the user's lines: ``train.py/step_line_12/mul``; what derivative rules
appended is below ``backward``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ...api import JitFunction, jit
from ...errors import ArgumentError
from ...ir.graph import Eqn, Graph, Literal, Var


def captured(model: Any, inputs: Any) -> Graph:
    """The graph of a jitted function, of a module with inputs, or a graph itself.

    Raises:
        ValueError: a module or plain function without inputs.
    """
    if isinstance(model, Graph):
        return model
    function = model if isinstance(model, JitFunction) else None
    if inputs is None:
        if function is None or not function.history:
            raise ArgumentError(
                f"add_graph of {type(model).__name__} without inputs",
                "The graph is captured by a call.",
                "add_graph(model, input_to_model), or call the jitted step before",
            )
        return function.graph()
    arguments = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    if function is None:
        function = jit(_called(model))
    return function.compile(*arguments).graph()


def _called(model: Callable[..., Any]) -> Callable[..., Any]:
    def forward(*inputs: Any) -> Any:
        return model(*inputs)

    return forward


def _clean(text: str) -> str:
    """Text as part of a node's name."""
    return re.sub(r"[^A-Za-z0-9_.\-]", "_", text).lstrip("_-") or "value"


def _scope(eqn: Eqn) -> str:
    where = "backward/" if eqn.backward else ""
    if eqn.site is None:
        return where
    file = eqn.site.short.rpartition(":")[0]
    return f"{where}{_clean(file)}/{_clean(eqn.site.code.co_name)}_line_{eqn.site.line}/"


class _Names:
    """Names of nodes, each once."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def new(self, wanted: str) -> str:
        count = self.counts[wanted] = self.counts.get(wanted, 0) + 1
        return wanted if count == 1 else self.new(f"{wanted}_{count}")


def graph_def(graph: Graph, proto: Any) -> Any:
    """A ``GraphDef`` of a graph.

    Args:
        graph: the captured graph.
        proto: TensorBoard's protocol messages.
    """
    names, of, nodes = _Names(), {}, []
    for k, var in enumerate(graph.inputs):
        of[var] = names.new(f"inputs/{_clean(var.hint or f'input_{k}')}")
        nodes.append(_node(proto, of[var], "Placeholder", [], var, {}))
    for eqn in graph.eqns:
        (out,) = eqn.outputs
        of[out] = names.new(_scope(eqn) + _clean(eqn.primitive.name))
        operands = [of[a] for a in eqn.inputs if isinstance(a, Var)]
        notes = {name: str(value) for name, value in eqn.params.items()}
        for k, atom in enumerate(eqn.inputs):
            if isinstance(atom, Literal):
                notes[f"operand_{k}"] = repr(atom)
        if eqn.site is not None and eqn.site.source:
            notes["source"] = eqn.site.source
        nodes.append(_node(proto, of[out], eqn.primitive.name, operands, out, notes))
    for k, atom in enumerate(graph.outputs):
        if isinstance(atom, Var):
            name = names.new(f"outputs/output_{k}")
            nodes.append(_node(proto, name, "Output", [of[atom]], atom, {}))
    return proto.GraphDef(node=nodes, versions=proto.VersionDef(producer=22))


def _node(
    proto: Any, name: str, op: str, operands: list[str], var: Var, notes: dict[str, str]
) -> Any:
    dims = [proto.TensorShapeProto.Dim(size=n) for n in var.aval.shape]
    shape = proto.TensorShapeProto(dim=dims)
    attributes = {
        "_output_shapes": proto.AttrValue(list=proto.AttrValue.ListValue(shape=[shape])),
        "dtype": proto.AttrValue(s=var.aval.dtype.name.encode()),
    }
    for key, text in notes.items():
        attributes[_clean(key)] = proto.AttrValue(s=text.encode())
    return proto.NodeDef(name=name, op=op, input=operands, device="/device:CPU:0", attr=attributes)
