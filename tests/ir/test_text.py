"""The printed form of graphs: what it looks like, and that it reads back as the same graph."""

from __future__ import annotations

import numpy as np
import pytest

import fusegrad as fg
from fusegrad.dtypes import bool_, float32, float64, int64
from fusegrad.errors import user_site
from fusegrad.ir.aval import Aval, parse_aval
from fusegrad.ir.builder import Builder
from fusegrad.ir.graph import Graph, Literal
from fusegrad.ir.interpret import interpret
from fusegrad.ir.text import parse_graph, print_graph, var_name
from fusegrad.ir.verify import verify
from fusegrad.ops import compare as cmp
from fusegrad.ops import elementwise as ew
from fusegrad.ops import movement, reduce

TEXT = """
graph(a: f32[2,3], b: f32[3]) {
  c: f32[2,3] = broadcast[axes=(1,), shape=(2, 3)] b
  d: f32[2,3] = mul a c
  e: f32[2,3] = mul d 2.0:f32
  f: b1[2,3] = gt e 0.0:f32
  g: f32[2,3] = where f e -inf:f32
  h: f32[2] = reduce_max[axes=(1,)] g
  return h, e
}
""".strip()


def build() -> Graph:
    builder = Builder()
    a, b = builder.input(Aval((2, 3), float32)), builder.input(Aval((3,), float32))
    with builder.active():
        e = ew.mul(ew.mul(a, movement.broadcast(b, shape=(2, 3), axes=(1,))), 2.0)
        h = reduce.max_(cmp.where(cmp.gt(e, 0.0), e, -np.inf), axes=(1,))
    return builder.finish([h, e])


def test_a_graph_prints_one_equation_a_line() -> None:
    assert print_graph(build(), sites=False) == TEXT


def test_text_reads_back() -> None:
    graph = verify(parse_graph(TEXT))
    assert print_graph(graph) == TEXT
    args = [np.ones((2, 3), "f4"), np.array([1, 2, 3], "f4")]
    for x, y in zip(interpret(graph, args), interpret(build(), args), strict=True):
        np.testing.assert_array_equal(x, y)


def test_user_lines_are_comments() -> None:
    text = str(build())
    assert "# test_text.py:" in text
    assert print_graph(parse_graph(text)) == TEXT


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (1.5, float32),
        (np.nan, float64),
        (np.inf, float32),
        (-np.inf, float64),
        (5e-324, float64),
        (-0.0, float64),
        (-7, int64),
        (True, bool_),
        (0.1, float32),
        (1e30, float32),
    ],
)
def test_literals_keep_their_bits(value: float, dtype: fg.DType) -> None:
    builder = Builder()
    graph = builder.finish([Literal(value, dtype)])
    (back,) = parse_graph(print_graph(graph)).outputs
    assert isinstance(back, Literal)
    assert back.aval.dtype is dtype
    assert back.value.tobytes() == Literal(value, dtype).value.tobytes()


def test_a_captured_training_step_reads_back() -> None:
    w = fg.tensor(np.ones((4, 3)), requires_grad=True)

    @fg.jit
    def step(x: fg.Tensor) -> fg.Tensor:
        loss = (x @ w).softmax(1).log()[:, 0].mean()
        loss.backward()
        with fg.no_grad():
            w.sub_(w.grad * 0.1)
        w.grad = None
        return loss

    step(fg.ones(5, 4, dtype=float64))
    for graph in (step.history[0].captured, step.history[0].graph):
        text = print_graph(graph, sites=False)
        assert print_graph(verify(parse_graph(text)), sites=False) == text
        rng = np.random.default_rng(0)
        args = [rng.normal(size=v.aval.shape) for v in graph.inputs]
        for x, y in zip(interpret(graph, args), interpret(parse_graph(text), args), strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "graph(a: f32[2] {",
        TEXT.replace("mul a c", "mul"),
        TEXT.replace("= mul a c", "mul a c"),
        TEXT.replace("gt", "huh"),
    ],
)
def test_malformed_text_is_refused(text: str) -> None:
    with pytest.raises((ValueError, KeyError, RuntimeError)):
        verify(parse_graph(text))


def test_names_do_not_collide_with_python() -> None:
    names = [var_name(k) for k in range(1000)]
    assert len(set(names)) == 1000
    assert names[:3] == ["a", "b", "c"] and names[26] == "ba"


def test_avals_print_and_read_back() -> None:
    for aval in (Aval((), float32), Aval((0, 3), int64), Aval((2, 1, 5), bool_)):
        assert parse_aval(str(aval)) == aval


def test_sites_name_file_line_and_source() -> None:
    site = user_site()
    assert site is not None
    assert site.short.startswith("test_text.py:")
    assert site.source == "site = user_site()"
