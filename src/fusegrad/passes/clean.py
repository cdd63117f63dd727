"""Common subexpression and dead code elimination."""

from __future__ import annotations

from typing import Any

from ..ir.graph import Atom, Eqn, Graph, Literal, Var
from ..ops import control
from .loops import prune


def atom_key(atom: Atom) -> Any:
    """Hashable identity of an atom; literals compare by value and dtype."""
    if isinstance(atom, Literal):
        return (atom.value.tobytes(), atom.aval.dtype.short)
    return atom


def eliminate_common(graph: Graph) -> Graph:
    """Keep the first of equal equations; operands of commutative primitives are unordered."""
    replaced: dict[Var, Var] = {}
    seen: dict[Any, Eqn] = {}
    eqns: list[Eqn] = []

    def read(atom: Atom) -> Atom:
        return replaced.get(atom, atom) if isinstance(atom, Var) else atom

    for eqn in graph.eqns:
        inputs = tuple(map(read, eqn.inputs))
        keys = tuple(map(atom_key, inputs))
        if eqn.primitive.commutative:
            keys = tuple(
                sorted(keys, key=lambda k: (str(type(k)), id(k) if isinstance(k, Var) else hash(k)))
            )
        key = (eqn.primitive.name, keys, tuple(sorted((k, repr(v)) for k, v in eqn.params.items())))
        if key in seen:
            replaced.update(zip(eqn.outputs, seen[key].outputs, strict=True))
            continue
        seen[key] = eqn
        eqns.append(eqn.replace(inputs, eqn.outputs))
    return Graph(graph.inputs, eqns, map(read, graph.outputs))


def eliminate_dead(graph: Graph) -> Graph:
    """Drop equations whose results nothing uses."""
    live = {a for a in graph.outputs if isinstance(a, Var)}
    kept: list[Eqn] = []
    for eqn in reversed(graph.eqns):
        if any(o in live for o in eqn.outputs):
            eqn = prune(eqn, live) if eqn.primitive is control.scan else eqn
            kept.append(eqn)
            live.update(a for a in eqn.inputs if isinstance(a, Var))
    return Graph(graph.inputs, reversed(kept), graph.outputs)
