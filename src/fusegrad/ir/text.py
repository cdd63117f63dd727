"""Printer and parser of graphs: ``parse_graph(print_graph(g))`` is ``g`` up to variable identity.

One line an equation, the user's line behind ``#``::

    graph(a: f32[2,3], b: f32[3]) {
      c: f32[2,3] = broadcast[axes=(1,), shape=(2, 3)] b
      d: f32[2,3] = mul a c                                  # train.py:7
      return d
    }

A graph among the parameters (the body of a loop) is printed below its equation, indented, and the
parameter names it: ``body=graph``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..dtypes import DType, from_short
from .aval import parse_aval
from .graph import Atom, Eqn, Graph, Literal, Var, nested_graphs
from .primitive import REGISTRY

_NESTED = object()  # stands for a graph that is printed below its equation


def var_name(index: int) -> str:
    """``a, b, ... z, ba, bb, ...``"""
    name = ""
    while True:
        index, digit = divmod(index, 26)
        name = chr(ord("a") + digit) + name
        if index == 0:
            return name


def name_vars(graph: Graph) -> dict[Var, str]:
    """A stable name for each Var, in order of definition."""
    names: dict[Var, str] = {}
    for var in [*graph.inputs, *[o for e in graph.eqns for o in e.outputs]]:
        if var not in names:
            name = var_name(len(names))
            names[var] = name + "_" if name in ("in", "is", "if", "as", "or") else name
    return names


def _param(value: Any) -> str:
    if isinstance(value, Graph):
        return "graph"
    if isinstance(value, DType):
        return value.short
    if isinstance(value, (np.number, np.bool_)):
        value = value.item()
    return repr(value)


def _atom(atom: Atom, names: dict[Var, str]) -> str:
    return names[atom] if isinstance(atom, Var) else repr(atom)


def print_eqn(eqn: Eqn, names: dict[Var, str], sites: bool = True) -> str:
    """One equation as a line of text."""
    outs = ", ".join(f"{names[o]}: {o.aval}" for o in eqn.outputs)
    params = ", ".join(f"{k}={_param(v)}" for k, v in sorted(eqn.params.items()))
    params = f"[{params}]" if params else ""
    line = f"{outs} = {eqn.primitive.name}{params}"
    line = " ".join([line, *[_atom(a, names) for a in eqn.inputs]])
    where = eqn.where if sites else ""
    return f"{line:<70} # {where}" if where else line


def print_graph(graph: Graph, sites: bool = True) -> str:
    """The whole graph as text; ``sites=False`` leaves the user's lines out."""
    return "\n".join(_graph_lines(graph, sites))


def _graph_lines(graph: Graph, sites: bool) -> list[str]:
    names = name_vars(graph)
    inputs = ", ".join(f"{names[v]}: {v.aval}" for v in graph.inputs)
    lines = [f"graph({inputs}) {{"]
    for eqn in graph.eqns:
        lines.append("  " + print_eqn(eqn, names, sites))
        for nested in nested_graphs(eqn):
            lines += ["    " + line for line in _graph_lines(nested, sites)]
    lines.append("  return " + ", ".join(_atom(a, names) for a in graph.outputs))
    return [*lines, "}"]


_OUT = r"\w+: \w+\[[\d,]*\]"
_EQN = re.compile(rf"^(?P<outs>({_OUT}(, {_OUT})*)?) = (?P<prim>\w+)(?P<rest>.*)$")


def parse_graph(text: str) -> Graph:
    """Inverse of ``print_graph``; comments are dropped.

    Raises:
        ValueError: a line that is not of the printed form.
    """
    lines = [re.sub(r"\s+# .*$", "", line).strip() for line in text.strip().splitlines()]
    return _parse_lines(iter(lines))


def _parse_lines(body: Iterator[str]) -> Graph:
    head = next(body, "")
    match = re.match(r"^graph\((.*)\) \{$", head)
    if match is None:
        raise ValueError(f"not a graph: {head!r}")
    table: dict[str, Var] = {}
    for name, aval in re.findall(r"(\w+): (\w+\[[\d,]*\])", match[1]):
        table[name] = Var(parse_aval(aval))
    inputs = list(table.values())
    eqns: list[Eqn] = []
    outputs: list[Atom] = []
    for line in body:
        if line == "}":
            break
        if line.startswith("return"):
            rest = line[len("return") :].strip()
            outputs = [_parse_atom(a, table) for a in rest.split(", ") if a]
            continue
        found = _EQN.match(line)
        if found is None:
            raise ValueError(f"not an equation: {line!r}")
        params, operands = _split_params(found["rest"])
        for name in sorted(k for k, v in params.items() if v is _NESTED):
            params[name] = _parse_lines(body)
        atoms = tuple(_parse_atom(a, table) for a in operands.split())
        outs = []
        for name, aval in re.findall(r"(\w+): (\w+\[[\d,]*\])", found["outs"]):
            table[name] = Var(parse_aval(aval))
            outs.append(table[name])
        eqns.append(Eqn(REGISTRY[found["prim"]], atoms, params, tuple(outs)))
    return Graph(inputs, eqns, outputs)


def _parse_atom(text: str, table: dict[str, Var]) -> Atom:
    if text in table:
        return table[text]
    value, _, dtype = text.rpartition(":")
    if from_short(dtype).is_complex:
        return Literal(complex(value), from_short(dtype))
    number = float(value) if value in ("inf", "-inf", "nan") else ast.literal_eval(value)
    return Literal(number, from_short(dtype))


def _split_params(rest: str) -> tuple[dict[str, Any], str]:
    if not rest.startswith("["):
        return {}, rest
    depth, position = 0, 0
    while True:
        depth += (rest[position] in "[(") - (rest[position] in "])")
        if depth == 0:
            break
        position += 1
    call = ast.parse(f"f({rest[1:position]})", mode="eval").body
    assert isinstance(call, ast.Call)
    params = {str(k.arg): _parse_param(k.value) for k in call.keywords}
    return params, rest[position + 1 :]


def _parse_param(node: ast.expr) -> Any:
    if isinstance(node, ast.Name):
        return _NESTED if node.id == "graph" else from_short(node.id)
    return ast.literal_eval(node)
