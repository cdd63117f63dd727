"""Forward and reverse mode on whole graphs: they agree, nest in any order, and keep user lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fusegrad as fg
from fusegrad.dtypes import float64, int64
from fusegrad.ir.aval import Aval
from fusegrad.ir.graph import Graph
from fusegrad.ir.interpret import interpret
from fusegrad.ir.verify import verify
from fusegrad.tensor import Tensor
from fusegrad.trace.capture import Capture
from fusegrad.transform.jvp import jvp, push_forward

PROGRAMS: dict[str, Callable[..., Any]] = {
    "mlp": lambda x, w: ((x @ w).tanh() @ w.t()).sigmoid().sum(1),
    "softmax": lambda x, w: (x @ w).log_softmax(1)[:, 0] * w.sum(),
    "norm": lambda x, w: (
        (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True) + 1.0).sqrt() * w.t()[0]
    ),
    "moves": lambda x, w: fg.cat([x.flip(0), x.t().reshape(3, 4) * 2], 0)[1::2].exp() * w[1, 1],
    "extremes": lambda x, w: (
        fg.maximum(x, w.t()[:1]).amax(1) * x.prod(1) + x.clamp(-0.5, 0.5).sum()
    ),
    "gathers": lambda x, w: x.index_select(1, fg.tensor([2, 0, 2])) @ w[:3] ** 3,
    "scalars": lambda x, w: (2.0**x + x.abs() ** 2.5).sum() * w.mean(),
}


def capture(function: Callable[..., Any], *avals: Aval) -> Graph:
    """The graph of a function of tensors."""
    builder = Capture()
    tensors = [Tensor(builder.input(a)) for a in avals]
    with builder.active():
        out = function(*tensors)._read()
    return verify(builder.finish([out]))


def pulled(graph: Graph) -> Graph:
    """``[*inputs, *cotangents] -> cotangents`` of the inputs."""
    builder = Capture()
    leaves = [Tensor(builder.input(v.aval)) for v in graph.inputs]
    for leaf in leaves:
        leaf.requires_grad = leaf.dtype.is_differentiable
    with builder.active():
        outputs = interpret(graph, leaves)
        cotangents = [Tensor(builder.input(o.aval)) for o in outputs]
        found = fg.autograd.grad(
            outputs,
            [x for x in leaves if x.requires_grad],
            cotangents,
            create_graph=True,
            materialize_grads=True,
            allow_unused=True,
        )
        return verify(builder.finish([g._read() for g in found]), "vjp")


def arguments(graph: Graph) -> tuple[list[Any], np.random.Generator]:
    rng = np.random.default_rng(0)
    return [v for v in (rng.normal(size=v.aval.shape) for v in graph.inputs[:2])], rng


def whole(graph: Graph, function: Callable[..., Any], x: Any, w: Any) -> list[Any]:
    """Values of all inputs, constants of the capture included."""
    extra = [np.array([2, 0, 2])] if len(graph.inputs) > 2 else []
    return [x, w, *extra]


@pytest.mark.parametrize("name", PROGRAMS)
def test_reverse_is_the_transpose_of_forward(name: str) -> None:
    graph = capture(PROGRAMS[name], Aval((3, 4), float64), Aval((4, 3), float64))
    (x, w), rng = arguments(graph)
    args = whole(graph, PROGRAMS[name], x, w)
    moves = [rng.normal(size=a.shape) if a.dtype.kind == "f" else None for a in args]
    (out,), (tangent,) = push_forward(graph, args, moves)
    cotangent = rng.normal(size=out.shape)
    gradients = interpret(pulled(graph), [*args, cotangent])
    pushed = np.vdot(cotangent, tangent)
    pulled_back = sum(np.vdot(m, g) for m, g in zip(moves[:2], gradients, strict=True))
    assert pushed == pytest.approx(pulled_back, rel=1e-11)


@pytest.mark.parametrize("name", PROGRAMS)
def test_nesting_in_every_order(name: str) -> None:
    """Second directional derivatives by jvp of jvp, jvp of vjp and vjp of jvp are equal."""
    graph = capture(PROGRAMS[name], Aval((3, 4), float64), Aval((4, 3), float64))
    (x, w), rng = arguments(graph)
    args = whole(graph, PROGRAMS[name], x, w)
    u = [rng.normal(size=a.shape) if a.dtype.kind == "f" else None for a in args]
    v = [rng.normal(size=a.shape) if a.dtype.kind == "f" else None for a in args]
    moves_u = [m for m in u if m is not None]
    moves_v = [m for m in v if m is not None]

    first = verify(jvp(graph), "jvp")
    (_, along), (_, second) = push_forward(first, [*args, *moves_u], [*v, *[None] * len(moves_u)])
    ones = np.ones_like(along)

    backward = pulled(graph)
    _, tangents = push_forward(backward, [*args, ones], [*v, None])
    by_vjp = sum(np.vdot(m, t) for m, t in zip(moves_u, tangents, strict=True) if t is not None)
    assert by_vjp == pytest.approx(second.sum(), rel=1e-9, abs=1e-9)

    back_of_first = pulled(first)
    gradients = interpret(back_of_first, [*args, *moves_u, np.zeros_like(along), ones])
    count = len(moves_v)
    by_back = sum(np.vdot(m, g) for m, g in zip(moves_v, gradients[:count], strict=True))
    assert by_back == pytest.approx(second.sum(), rel=1e-9, abs=1e-9)


def test_inactive_inputs_have_no_equations() -> None:
    graph = capture(lambda x, w: (x * w).sum(), Aval((3,), float64), Aval((3,), float64))
    assert len(jvp(graph, [True, False]).eqns) < len(jvp(graph, [True, True]).eqns)
    none = jvp(graph, [False, False])
    assert interpret(none, [np.ones(3), np.ones(3)])[1] == 0.0


def test_integer_inputs_have_no_tangent() -> None:
    graph = capture(lambda x, i: x.index_select(0, i) * 2, Aval((3,), float64), Aval((2,), int64))
    pushed = jvp(graph)
    assert len(pushed.inputs) == 3
    out, tangent = interpret(pushed, [np.arange(3.0), np.array([2, 2]), np.array([1.0, 2.0, 3.0])])
    np.testing.assert_array_equal(tangent, [6.0, 6.0])
    np.testing.assert_array_equal(out, [4.0, 4.0])


def test_equations_keep_their_lines() -> None:
    graph = capture(lambda x: (x * 3).sin(), Aval((3,), float64))
    assert all(e.where.startswith("test_modes.py:") for e in jvp(graph).eqns)


def test_backward_equations_are_marked() -> None:
    @fg.jit
    def step(x: Any) -> Any:
        w = x.detach().requires_grad_()
        (w.sin() * w).sum().backward()
        return w.grad

    step(fg.ones(3))
    marks = {e.primitive.name: e.backward for e in step.history[0].captured.eqns}
    assert marks["sin"] is False
    assert marks["cos"] is True
