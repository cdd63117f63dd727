"""The checker: single assignment, definitions before uses, avals equal to what the rules say.

Runs after every pass in tests and under ``FUSEGRAD_VERIFY=1``.
"""

from __future__ import annotations

from ..errors import VerifyError
from .graph import Graph, Literal, Var, nested_graphs


def verify(graph: Graph, stage: str = "graph") -> Graph:
    """Return ``graph`` when it is well formed.

    Raises:
        VerifyError: a Var is used before it is defined, defined twice, or has another aval than
            its primitive's rule gives.
    """
    defined: set[Var] = set()

    def fail(eqn_text: str, problem: str) -> VerifyError:
        return VerifyError(f"{stage}: {eqn_text}: {problem}", "The IR is not well formed.")

    for var in graph.inputs:
        if var in defined:
            raise fail(repr(var), "input listed twice")
        defined.add(var)
    for eqn in graph.eqns:
        for atom in eqn.inputs:
            if isinstance(atom, Var) and atom not in defined:
                raise fail(eqn.primitive.name, f"uses {atom!r} before its definition")
        if len(eqn.inputs) < len(eqn.primitive.arg_names):
            raise fail(eqn.primitive.name, f"takes operands {eqn.primitive.arg_names}")
        if eqn.primitive.kind == "elementwise":
            shapes = {a.aval.shape for a in eqn.inputs if a.aval.shape}  # a scalar fits any
            if len(shapes) > 1:
                raise fail(eqn.primitive.name, f"operands of different shapes {sorted(shapes)}")
        expected = eqn.primitive.aval_rule(*[a.aval for a in eqn.inputs], **eqn.params)
        for out in eqn.outputs:
            if out in defined:
                raise fail(eqn.primitive.name, "output assigned twice")
            defined.add(out)
        avals = tuple(o.aval for o in eqn.outputs)
        if avals != (tuple(expected) if eqn.primitive.multiple else (expected,)):
            got = ", ".join(map(str, avals))
            raise fail(eqn.primitive.name, f"aval is {got}, its rule says {expected}")
        for body in nested_graphs(eqn):
            verify(body, f"{stage}: body of {eqn.primitive.name}")
    for atom in graph.outputs:
        if not isinstance(atom, Literal) and atom not in defined:
            raise fail("return", f"{atom!r} is not defined")
    return graph
