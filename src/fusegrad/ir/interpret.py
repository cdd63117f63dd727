"""Reference evaluation of a graph with NumPy: the oracle for every later stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .graph import Atom, Graph, Literal, Var
from .primitive import bind


def interpret(graph: Graph, args: Sequence[Any]) -> list[Any]:
    """Evaluate ``graph`` by binding its equations on ``args``.

    With NumPy arrays this computes; while a capture runs it inlines the graph into it.
    """
    env: dict[Var, Any] = dict(zip(graph.inputs, args, strict=True))

    def read(atom: Atom) -> Any:
        return atom if isinstance(atom, Literal) else env[atom]

    for eqn in graph.eqns:
        result = bind(eqn.primitive, *map(read, eqn.inputs), **eqn.params)
        env.update(zip(eqn.outputs, result if eqn.primitive.multiple else (result,), strict=True))
    return [a.value if isinstance(a, Literal) else env[a] for a in graph.outputs]
