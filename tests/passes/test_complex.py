"""Complex values become pairs of real ones: what is left in the graph, and the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fusegrad as fg
from fusegrad.api import jit
from fusegrad.ir.graph import Graph
from fusegrad.ir.interpret import interpret
from fusegrad.ir.text import parse_graph, print_graph
from fusegrad.ir.verify import verify
from fusegrad.ops import complex as records
from fusegrad.passes.clean import eliminate_dead
from fusegrad.passes.complex import split_complex

# equations over a: c128[3], b: c128[3], x: f64[3]; the result is r
BODIES = {
    "product": "r: c128[3] = mul a b",
    "quotient": "r: c128[3] = div a b",
    "literal": "r: c128[3] = mul a (1+2j):c128",
    "conjugates": "c: c128[3] = conj a\nd: c128[3] = conj c\nr: c128[3] = add d b",
    "size": "r: f64[3] = complex_abs a",
    "sum": "r: c128[] = sum[axes=(0,)] a",
    "padded": "r: c128[6] = pad[low=(1,), high=(2,), interior=(0,), value=2j] a",
    "parts": "c: f64[3,2] = view_as_real a\n"
    "r: f64[3,1] = slice[limit=(3, 2), start=(0, 1), step=(1, 1)] c",
    "from parts": "c: f64[3,2] = view_as_real a\nr: c128[3] = view_as_complex c",
    "real": "c: c128[3] = convert[dtype=c128] x\nr: c128[3] = exp c",
    "host": "r: c128[3] = asin a",
    "compared": "c: b1[3] = eq a b\nr: c128[3] = where c a b",
    "constant": "r: c128[2] = full[dtype=c128, shape=(2,), value=1j]",
}


def graph_of(body: str) -> Graph:
    lines = "\n".join(f"  {line}" for line in body.splitlines())
    return parse_graph(f"graph(a: c128[3], b: c128[3], x: f64[3]) {{\n{lines}\n  return r\n}}")


def parts(z: np.ndarray) -> np.ndarray:
    return np.stack([z.real, z.imag], -1) if z.dtype.kind == "c" else z


@pytest.mark.parametrize("name", BODIES)
def test_the_same_numbers_over_real_values(name: str) -> None:
    graph = verify(graph_of(BODIES[name]))
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=3) + 1j * rng.normal(size=3) for _ in range(2))
    b[1] = a[1]
    x = rng.normal(size=3)
    split = verify(split_complex(graph), "split")
    atoms = [*split.inputs, *(o for e in split.eqns for o in e.outputs)]
    assert not any(v.aval.dtype.is_complex for v in atoms)
    (expected,) = interpret(graph, [a, b, x])
    (found,) = interpret(split, [parts(a), parts(b), x])
    np.testing.assert_allclose(found, parts(np.asarray(expected)), rtol=1e-14)


def test_a_real_graph_is_left_alone() -> None:
    graph = parse_graph("graph(a: f32[3]) {\n  b: f32[3] = exp a\n  return b\n}")
    assert split_complex(graph) is graph


def test_what_cancels_is_gone() -> None:
    """Conjugates of conjugates, and the parts of joined parts."""
    text = print_graph(eliminate_dead(split_complex(graph_of(BODIES["conjugates"]))))
    assert "neg" not in text
    text = print_graph(split_complex(graph_of(BODIES["from parts"])))
    assert text.count("=") == 0


def test_a_record_without_rule_is_one_host_equation() -> None:
    split = split_complex(graph_of(BODIES["host"]))
    assert [e.primitive for e in split.eqns] == [records.on_parts]
    assert split.eqns[0].params["record"] == "asin"


def host_kernels(function: Any, *args: Any) -> list[str]:
    compiled = jit(function)
    compiled(*args)
    return [k.name for k in compiled.kernels() if k.host]


def test_training_on_complex_numbers_is_native() -> None:
    """A complex layer with its gradients runs no NumPy."""

    def step(x: Any, w: Any) -> Any:
        w = w.detach().requires_grad_()
        loss = ((x @ w).exp() / (2 + w.sum(0))).abs().square().sum()
        loss.backward()
        return loss.detach(), w.grad

    z = fg.ones(4, 3, dtype=fg.complex64) * 0.3j
    assert host_kernels(step, z, z.T) == []


def test_loops_carry_complex_numbers() -> None:
    def spiral(z: Any, steps: Any) -> Any:
        return fg.scan(lambda c, x: (c * x, c.abs()), z, steps)

    z = fg.tensor([1 + 1j, 2.0], dtype=fg.complex128)
    steps = fg.tensor([[1j, 0.5], [2j, 1j], [1.0, -1j]], dtype=fg.complex128)
    for eager, compiled in zip(spiral(z, steps), jit(spiral)(z, steps), strict=True):
        np.testing.assert_allclose(compiled.numpy(), eager.numpy(), rtol=1e-14)


def test_state_of_complex_dtype_is_written_in_place() -> None:
    w = fg.tensor([1 + 1j, 2.0], requires_grad=True)

    @jit
    def step(x: Any) -> Any:
        loss = (w * x).abs().square().sum()
        loss.backward()
        with fg.no_grad():
            w.sub_(0.1 * w.grad)
        w.grad = None
        return loss

    expected = np.array([1 + 1j, 2.0], np.complex64)
    for _ in range(2):
        step(fg.ones(2))
        expected = expected - np.float32(0.2) * expected
    np.testing.assert_allclose(w.detach().numpy(), expected, rtol=1e-6)
