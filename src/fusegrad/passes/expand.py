"""Records that kernels need not know become the compositions they name.

In: a graph with equations whose primitive has an ``expand`` rule. Out: the same graph with those
equations replaced; the rule binds primitives, which land where the equation stood.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..ir.graph import Atom, Eqn, Graph, Literal
from ..ir.primitive import Primitive, set_builder
from .simplify import Rewriter


class Appender:
    """What ``bind`` appends to while a rule runs."""

    def __init__(self, rewriter: Rewriter) -> None:
        self.rewriter = rewriter

    def append(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Atom:
        """One equation; a Python number takes the dtype of its neighbour."""
        avals = [arg.aval for arg in args if hasattr(arg, "aval")]
        atoms = tuple(a if hasattr(a, "aval") else Literal(a, avals[-1].dtype) for a in args)
        return self.rewriter.emit(primitive, atoms, **params)


def expand(graph: Graph) -> Graph:
    """Replace equations by the compositions that their records name."""
    if all(eqn.primitive.expand is None for eqn in graph.eqns):
        return graph

    def rule(rewriter: Rewriter, eqn: Eqn) -> Atom | None:
        if eqn.primitive.expand is None:
            return None
        assert rewriter.current is not None
        avals = [a.aval for a in rewriter.current.inputs]
        operands = list(map(rewriter.written, eqn.inputs, avals))
        previous = set_builder(Appender(rewriter))
        try:
            result: Atom = eqn.primitive.expand(*operands, **eqn.params)
        finally:
            set_builder(previous)
        return result

    return Rewriter(graph).run(rule)
