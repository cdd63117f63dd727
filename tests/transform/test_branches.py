"""cond and while_loop: eager Python and compiled jumps are one function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fusegrad as fg
from fusegrad.errors import CaptureError, GradientError
from fusegrad.ir.interpret import interpret
from fusegrad.ir.text import parse_graph, print_graph
from fusegrad.testing import gradcheck
from fusegrad.trace.tree import flatten

D = fg.float64


def arrays(value: Any) -> list[np.ndarray]:
    leaves: list[Any] = []
    flatten(value, leaves)
    return [x.detach().numpy() for x in leaves if x is not None]


def same(found: Any, expected: Any) -> None:
    for x, y in zip(arrays(found), arrays(expected), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-11)


def everywhere(function: Callable[..., Any], *cases: tuple[Any, ...]) -> None:
    """One compiled function against eager on several arguments, so that both ways are taken."""
    compiled = fg.jit(function)
    for args in (*cases, *cases):
        same(compiled(*args), function(*args))
    assert len(compiled.history) == 1


def weights(seed: int = 0) -> Any:
    return fg.tensor(np.random.default_rng(seed).normal(size=3), requires_grad=True)


def choose(w: Any) -> Callable[[Any], Any]:
    def run(x: Any) -> Any:
        return fg.cond(
            x.sum() > 0,
            lambda x: {"y": fg.tanh(x * w) * 2, "s": x[0]},
            lambda x: {"y": x.exp() + x, "s": x.sum()},
            x,
        )

    return run


POSITIVE, NEGATIVE = (fg.tensor([0.3, 0.9, 0.1], dtype=D),), (fg.tensor([-0.3, 0.2, -1], dtype=D),)


# --- cond -----------------------------------------------------------------------------------------
def test_one_compiled_function_takes_both_ways() -> None:
    everywhere(choose(weights()), POSITIVE, NEGATIVE)


@pytest.mark.parametrize("order", [1, 2])
def test_gradients_of_both_ways(order: int) -> None:
    w = weights()

    def run(x: Any) -> Any:
        result = choose(w)(x)
        found = [(result["y"].square() * x).sum() + result["s"]]
        for k in range(order):
            total = found[0] if not k else sum(g.square().sum() for g in found[1:])
            found += fg.autograd.grad(
                total, [x, w], create_graph=k + 1 < order, allow_unused=True, materialize_grads=True
            )
        return found

    cases = [(x.clone().requires_grad_(),) for (x,) in (POSITIVE, NEGATIVE)]
    everywhere(run, *cases)


def test_gradients_are_central_differences() -> None:
    for (x,) in (POSITIVE, NEGATIVE):
        w = weights()
        run = fg.jit(lambda x, w: choose(w)(x)["y"])
        assert gradcheck(run, (x.clone().requires_grad_(), w))


def test_only_one_branch_runs() -> None:
    """The other one would not end."""
    spin = fg.jit(
        lambda x: fg.cond(
            x.sum() > 0, lambda: x * 2, lambda: fg.while_loop(lambda c: c.sum() < 0, lambda c: c, x)
        )
    )
    same(spin(POSITIVE[0]), POSITIVE[0] * 2)


def test_branches_inside_loops_and_loops_inside_branches() -> None:
    w = weights()

    def inside(x: Any) -> Any:
        def step(c: Any, v: Any) -> Any:
            c = fg.cond(v.sum() > 0, lambda: c + v * w, lambda: c * 0.5 * w)
            return c, c

        last, ys = fg.scan(step, x[0], x)
        return ys, fg.autograd.grad(last.sum() + ys.square().sum(), [w])

    def around(x: Any) -> Any:
        return fg.cond(
            x.sum() > 0,
            lambda: fg.scan(lambda c, v: (c + v, c), x[0], x),
            lambda: fg.scan(lambda c, v: (c * v, v), x[0], x),
        )

    rng = np.random.default_rng(0)
    x = fg.tensor(rng.normal(size=(6, 3)))
    everywhere(inside, (x,), (-x,))
    everywhere(around, (x,), (-x,))


def test_python_conditions_and_numbers() -> None:
    x = POSITIVE[0]
    everywhere(lambda x: fg.cond(True, lambda: x, lambda: x * 2), (x,))
    everywhere(lambda x: fg.cond(x[:1], lambda: x, lambda: x * 2), (x,))
    assert fg.jit(lambda x: fg.cond(x.sum() > 5, lambda: 1.0, lambda: 2.0))(x).item() == 2.0


def test_branches_that_return_their_operands_and_constants() -> None:
    everywhere(
        lambda x: fg.cond(x.sum() > 0, lambda: (x, x, fg.ones(3)), lambda: (x * 0, x, fg.zeros(3))),
        POSITIVE,
        NEGATIVE,
    )


def test_printed_branches_parse_back() -> None:
    compiled = fg.jit(choose(weights()))
    compiled(*POSITIVE)
    graph = compiled.graph()
    text = print_graph(graph, sites=False)
    assert print_graph(parse_graph(text), sites=False) == text
    assert "cond[false=graph, true=graph]" in text
    inputs = {"x": POSITIVE[0], "w": weights()}
    values = [inputs[v.hint].detach().numpy() for v in graph.inputs]
    for a, b in zip(
        interpret(parse_graph(text), values), compiled(*POSITIVE).values(), strict=True
    ):
        np.testing.assert_allclose(a, b.detach().numpy())


def test_branches_must_agree() -> None:
    def run(first: Any, second: Any) -> None:
        fg.jit(lambda x: fg.cond(x.sum() > 0, first, second, x))(fg.ones(3))

    with pytest.raises(RuntimeError, match="same shapes and dtypes"):
        run(lambda x: x, lambda x: x[:1])
    with pytest.raises(RuntimeError, match="same shapes and dtypes"):
        run(lambda x: x, lambda x: x.double())
    with pytest.raises(TypeError, match="different structures"):
        run(lambda x: (x, x), lambda x: x)
    for make in (fg.jit, lambda f: f):
        with pytest.raises(RuntimeError, match="one boolean"):
            make(lambda x: fg.cond(x > 0, lambda: x, lambda: x))(fg.ones(3))
    with pytest.raises(CaptureError, match="changes a tensor from outside"):
        fg.jit(lambda x: fg.cond(x.sum() > 0, lambda: fg.rand(3), lambda: x))(fg.ones(3))


# --- while_loop -----------------------------------------------------------------------------------
def test_a_loop_of_unknown_length() -> None:
    def collatz(n: Any) -> Any:
        return fg.while_loop(
            lambda c: c[0] != 1,
            lambda c: (fg.where(c[0] % 2 == 0, c[0] // 2, 3 * c[0] + 1), c[1] + 1),
            (n, fg.tensor(0)),
        )

    everywhere(collatz, *[(fg.tensor(n),) for n in (1, 6, 27)])
    assert fg.jit(collatz)(fg.tensor(27))[1].item() == 111


def test_power_iteration_with_carries_that_trade_places() -> None:
    m = fg.tensor(np.random.default_rng(0).normal(size=(4, 4)))

    def run(x: Any) -> Any:
        def step(c: Any) -> Any:
            y = m @ m.t() @ c[0]
            return y / y.norm(), c[0]

        return fg.while_loop(lambda c: (c[0] - c[1]).abs().max() > 1e-9, step, (x, x * 0))

    everywhere(run, (m[0],), (m[1],))


def test_loops_of_unknown_length_inside_a_scan_and_one_another() -> None:
    def shrink(c: Any) -> Any:
        def step(c: Any) -> Any:
            c = fg.while_loop(lambda d: d.abs().max() > 4, lambda d: d - d.sign(), c)
            return c * 0.5

        return fg.while_loop(lambda c: c.abs().sum() > 1, step, c)

    def run(x: Any) -> Any:
        return fg.scan(lambda c, v: (lambda n: (n, n + v))(shrink(c + v * 9)), x[0], x)

    everywhere(run, (fg.tensor(np.random.default_rng(0).normal(size=(5, 3))),))


def test_reverse_mode_runs_eagerly_and_is_refused_compiled() -> None:
    w = fg.tensor(1.5, dtype=D, requires_grad=True)

    def run(x: Any) -> Any:
        last = fg.while_loop(lambda c: c < 100, lambda c: c * w, x)
        return fg.autograd.grad(last, [w])[0]

    x = fg.tensor(20.0, dtype=D)
    assert run(x).item() == pytest.approx(4 * 20 * 1.5**3)  # four steps
    with pytest.raises(GradientError, match="only when the loop ends"):
        fg.jit(run)(x)
    assert (
        fg.jit(lambda x: fg.while_loop(lambda c: c < 100, lambda c: c * w, x))(x).item() == 101.25
    )


def test_carries_of_a_while_loop_must_keep_their_form() -> None:
    for make in (fg.jit, lambda f: f):
        with pytest.raises(RuntimeError, match="of a while_loop turned the carry"):
            make(lambda x: fg.while_loop(lambda c: c.sum() < 9, lambda c: c[:1], x))(fg.ones(3))
        with pytest.raises(TypeError, match="another structure"):
            make(lambda x: fg.while_loop(lambda c: c.sum() < 9, lambda c: (c, c), x))(fg.ones(3))
    with pytest.raises(CaptureError, match="from outside"):
        fg.jit(lambda x: fg.while_loop(lambda c: c.sum() < 9, lambda c: c + fg.rand(3), x))(
            fg.ones(3)
        )
