"""The passes: what they remove, and that they change no result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fusegrad as fg
from fusegrad.ir.graph import Graph
from fusegrad.ir.interpret import interpret
from fusegrad.ir.text import parse_graph, print_graph
from fusegrad.ir.verify import verify
from fusegrad.passes.clean import eliminate_common, eliminate_dead
from fusegrad.passes.pipeline import run_passes
from fusegrad.passes.simplify import decompose_small_dots, simplify

# name: (before, after); one rewrite each, the whole pipeline runs
REWRITES = {
    "times one": ("b: f32[3] = mul a 1.0:f32", "return a"),
    "plus zero": ("b: f32[3] = add -0.0:f32 a", "return a"),
    "plus a zero that takes the sign of another": (
        "b: f32[3] = add a 0.0:f32",
        "b: f32[3] = add a 0.0:f32\n  return b",
    ),
    "minus zero": ("b: f32[3] = sub a 0.0:f32", "return a"),
    "over one": ("b: f32[3] = div a 1.0:f32", "return a"),
    "twice negated": ("c: f32[3] = neg a\nb: f32[3] = neg c", "return a"),
    "same dtype": ("b: f32[3] = convert[dtype=f32] a", "return a"),
    "same shape": ("b: f32[3] = reshape[shape=(3,)] a", "return a"),
    "identity permutation": ("b: f32[3] = transpose[perm=(0,)] a", "return a"),
    "no axes": ("b: f32[3] = sum[axes=()] a", "return a"),
    "chosen": (
        "c: b1[3] = full[dtype=b1, shape=(3,), value=True]\nb: f32[3] = where c a 0.0:f32",
        "return a",
    ),
    "two reshapes": (
        "c: f32[1,3] = reshape[shape=(1, 3)] a\nb: f32[3,1] = reshape[shape=(3, 1)] c",
        "b: f32[3,1] = reshape[shape=(3, 1)] a\n  return b",
    ),
    "two broadcasts": (
        "c: f32[2,3] = broadcast[axes=(1,), shape=(2, 3)] a\n"
        "b: f32[4,2,3] = broadcast[axes=(1, 2), shape=(4, 2, 3)] c",
        "b: f32[4,2,3] = broadcast[axes=(2,), shape=(4, 2, 3)] a\n  return b",
    ),
    "constant into operand": (
        "c: f32[3] = full[dtype=f32, shape=(3,), value=2]\nb: f32[3] = mul a c",
        "b: f32[3] = mul a 2.0:f32\n  return b",
    ),
    "folded": (
        "c: f32[3] = full[dtype=f32, shape=(3,), value=2]\nd: f32[3] = mul c 3.0:f32\n"
        "b: f32[3] = add a d",
        "b: f32[3] = add a 6.0:f32\n  return b",
    ),
    "sum of ones": (
        "c: f32[3] = full[dtype=f32, shape=(3,), value=1]\n"
        "d: f32[] = sum[axes=(0,)] c\n"
        "b: f32[3] = mul a d",
        "b: f32[3] = mul a 3.0:f32\n  return b",
    ),
    "dead code": ("c: f32[3] = exp a\nb: f32[3] = sin a", "b: f32[3] = sin a\n  return b"),
}


def graph_of(body: str) -> Graph:
    lines = "\n".join("  " + line for line in body.splitlines())
    return verify(parse_graph(f"graph(a: f32[3]) {{\n{lines}\n  return b\n}}"))


@pytest.mark.parametrize("name", REWRITES)
def test_rewrites(name: str) -> None:
    before, after = REWRITES[name]
    graph = graph_of(before)
    result = verify(run_passes(graph))
    assert print_graph(result, sites=False) == f"graph(a: f32[3]) {{\n  {after}\n}}"
    x = np.array([1.5, -2.0, 0.25], "f4")
    for a, b in zip(interpret(graph, [x]), interpret(result, [x]), strict=True):
        np.testing.assert_array_equal(a, b)


KEPT = {
    "times zero": "b: f32[3] = mul a 0.0:f32",  # nan and inf times zero are nan
    "difference with itself": "b: f32[3] = sub a a",
    "quotient with itself": "b: f32[3] = div a a",
    "zero minus": "b: f32[3] = sub 0.0:f32 a",
}


@pytest.mark.parametrize("name", KEPT)
def test_what_is_not_the_same_for_nan_is_kept(name: str) -> None:
    graph = graph_of(KEPT[name])
    x = np.array([np.nan, np.inf, -1.0], "f4")
    with np.errstate(all="ignore"):
        (a,), (b,) = interpret(graph, [x]), interpret(run_passes(graph), [x])
    np.testing.assert_array_equal(a, b)


def test_common_subexpressions_know_commutative_records() -> None:
    graph = verify(
        parse_graph("""
graph(a: f32[3], b: f32[3]) {
  c: f32[3] = mul a b
  d: f32[3] = mul b a
  e: f32[3] = sub a b
  f: f32[3] = sub b a
  g: f32[3] = add c d
  h: f32[3] = add e f
  i: f32[3] = mul g h
  return i
}""")
    )
    names = [e.primitive.name for e in verify(eliminate_common(graph)).eqns]
    assert names.count("mul") == 2
    assert names.count("sub") == 2


def test_common_subexpressions_compare_parameters_and_literal_bits() -> None:
    graph = verify(
        parse_graph("""
graph(a: f32[2,2]) {
  b: f32[2] = sum[axes=(0,)] a
  c: f32[2] = sum[axes=(1,)] a
  d: f32[2] = mul b 0.0:f32
  e: f32[2] = mul b -0.0:f32
  return c, d, e
}""")
    )
    assert len(eliminate_common(graph).eqns) == 4


def test_dead_code_keeps_order_and_outputs() -> None:
    graph = graph_of("c: f32[3] = exp a\nd: f32[3] = sin c\ne: f32[3] = cos c\nb: f32[3] = neg d")
    result = verify(eliminate_dead(graph))
    assert [e.primitive.name for e in result.eqns] == ["exp", "sin", "neg"]


@pytest.mark.parametrize(
    "shapes",
    [
        ("f64[5,4]", "f64[4]", "f64[5]", "cx=(1,), cy=(0,)"),
        ("f64[4]", "f64[4,5]", "f64[5]", "cx=(0,), cy=(0,)"),
        ("f64[5,1]", "f64[1,6]", "f64[5,6]", "cx=(1,), cy=(0,)"),
        ("f64[4,5]", "f64[4]", "f64[5]", "cx=(0,), cy=(0,)"),
        ("f64[6]", "f64[6]", "f64[]", "cx=(0,), cy=(0,)"),
    ],
    ids=" ".join,
)
def test_dots_with_a_unit_extent_become_sums(shapes: tuple[str, str, str, str]) -> None:
    x, y, out, axes = shapes
    graph = verify(
        parse_graph(
            f"graph(a: {x}, b: {y}) {{\n  c: {out} = dot[bx=(), by=(), {axes}] a b\n  return c\n}}"
        )
    )
    result = verify(decompose_small_dots(graph))
    assert "dot" not in [e.primitive.name for e in result.eqns]
    rng = np.random.default_rng(0)
    args = [rng.normal(size=v.aval.shape) for v in graph.inputs]
    np.testing.assert_allclose(interpret(result, args)[0], interpret(graph, args)[0], rtol=1e-13)


def test_simplify_reaches_a_fixed_point_quickly() -> None:
    graph = graph_of("\n".join(REWRITES["folded"][0].splitlines()))
    once = simplify(simplify(graph))
    assert print_graph(simplify(once)) == print_graph(once)


def test_records_that_expand_see_constants_as_arrays() -> None:
    """A constant array is a literal number to most rules, but it has axes to reduce."""

    @fg.jit
    def places(x: fg.Tensor) -> Any:
        constant = fg.ones(3, 4)
        return constant.argmax(1) + x, constant.max(1).indices, constant.var(1)

    first, second, third = places(fg.zeros(3))
    assert first.tolist() == [0.0, 0.0, 0.0]
    assert second.tolist() == [0, 0, 0] and third.tolist() == [0.0, 0.0, 0.0]


def test_slices_of_joins_stay_unless_they_take_a_whole_part() -> None:
    def halves(x: fg.Tensor, y: fg.Tensor) -> Any:
        both = fg.cat([x * 2, y * 3])
        return both[:3], both[3:], both[2:5]

    graph = fg.jit(halves)
    results = graph(fg.ones(3), fg.ones(4))
    assert [r.tolist() for r in results] == [[2.0] * 3, [3.0] * 4, [2.0, 3.0, 3.0]]
    text = str(graph.graph(optimised=True))
    assert text.count(" slice[") == 1
