"""Autograd tutorials: every page runs, and its steps give the same under ``jit``.

The numbers of the pages are compared with PyTorch's in ``tests/torch_parity/test_tutorials.py``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tutorial_snippets import SNIPPETS

import fusegrad as fg
from fusegrad import nn
from fusegrad.autograd import functional
from fusegrad.testing import assert_same


@pytest.mark.parametrize("name", SNIPPETS)
def test_page_runs(name: str) -> None:
    """And leaves no mode switched behind it."""
    assert SNIPPETS[name](fg)
    assert fg.is_grad_enabled() and not fg.is_anomaly_enabled()


X = fg.tensor([[0.1, -0.2], [0.3, 0.4]], dtype=fg.float64)
V = fg.tensor([[1.0, 0.5], [-1.0, 2.0]], dtype=fg.float64)


def bent(x: fg.Tensor) -> fg.Tensor:
    return (x.exp() * x.sin()).sum(1)


def scalar(x: fg.Tensor) -> fg.Tensor:
    return (x**3 * x.cos()).sum()


@pytest.mark.parametrize(
    "function",
    [
        lambda x, v: functional.jacobian(bent, x),
        lambda x, v: functional.jacobian(lambda x, v: (x * v, x.sum() + v), (x, v)),
        lambda x, v: functional.hessian(scalar, x),
        lambda x, v: functional.hessian(lambda x, v: (x * x * v).sum(), (x, v)),
        lambda x, v: functional.vjp(lambda x: x * x, x, v),
        lambda x, v: functional.jvp(bent, x, v),
        lambda x, v: functional.hvp(scalar, x, v),
        lambda x, v: functional.vhp(scalar, x, v),
        lambda x, v: functional.jacobian(lambda x: functional.jacobian(bent, x, True), x),
    ],
)
def test_functional_under_jit(function: Any) -> None:
    assert_same(function, X, V)


def test_functional_agrees_with_itself() -> None:
    """Products are products with the matrices; the Hessian is that of differences."""
    j = functional.jacobian(bent, X).reshape(2, 4).numpy()
    h = functional.hessian(scalar, X).reshape(4, 4).numpy()
    v, u = V.numpy().reshape(4), np.array([0.3, -2.0])
    np.testing.assert_allclose(functional.jvp(bent, X, V)[1].numpy(), j @ v, rtol=1e-12)
    pulled = functional.vjp(bent, X, fg.tensor(u))[1].numpy().reshape(4)
    np.testing.assert_allclose(pulled, u @ j, rtol=1e-12)
    for product in (functional.hvp, functional.vhp):
        got = product(scalar, X, V)[1].numpy().reshape(4)
        np.testing.assert_allclose(got, h @ v, rtol=1e-12)
    step, numeric = 1e-5, np.zeros((4, 4))
    for k, move in enumerate(np.eye(4)):
        above, below = (
            functional.vjp(scalar, X + s * fg.tensor(move).reshape(2, 2))[1].numpy().reshape(4)
            for s in (step, -step)
        )
        numeric[k] = (above - below) / (2 * step)
    np.testing.assert_allclose(h, numeric, rtol=1e-6, atol=1e-8)


def test_jacobian_leaves_its_inputs_alone() -> None:
    x = fg.ones(2, requires_grad=True)
    with fg.no_grad():
        out = functional.jacobian(lambda x: x * 2, x)
    assert not out.requires_grad and x.grad is None
    recorded = functional.jacobian(lambda x: x**3, x, create_graph=True)
    recorded.sum().backward()
    assert x.grad.tolist() == [6.0, 6.0]
    assert functional.jacobian(lambda x: x[:0], x).shape == (0, 2)
    with pytest.raises(TypeError, match="must be tensors"):
        functional.jacobian(lambda x: x, [1.0])
    with pytest.raises(RuntimeError, match="no path from an output to input 1"):
        functional.jacobian(lambda x, y: x * 2, (x, x.detach()), strict=True)


def test_functions_of_both_styles_under_jit() -> None:
    class Cube(fg.autograd.Function):
        @staticmethod
        def forward(x: Any) -> Any:
            return x**3, x**2

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(inputs[0], output[1])

        @staticmethod
        def backward(ctx: Any, g: Any, h: Any) -> Any:
            x, square = ctx.saved_tensors
            return 3 * square * g + 2 * x * h

    def gradient(x: fg.Tensor) -> Any:
        x = x.detach().requires_grad_()
        cube, square = Cube.apply(x)
        return fg.autograd.grad((cube + square).sum(), x)

    assert_same(gradient, X)
    x = X.numpy()
    np.testing.assert_allclose(gradient(X)[0].numpy(), 3 * x**2 + 2 * x, rtol=1e-12)


@pytest.mark.parametrize("under_jit", [False, True])
def test_hooks_after_accumulation_run_in_the_step(under_jit: bool) -> None:
    """An optimizer inside the backward pass, as in the tutorial that saves gradient memory."""
    model = nn.Linear(2, 1)
    with fg.no_grad():
        model.weight.fill_(1.0), model.bias.fill_(0.0)

    def descend(p: fg.Tensor) -> None:
        with fg.no_grad():
            p -= 0.1 * p.grad
        p.grad = None

    for p in model.parameters():
        p.register_post_accumulate_grad_hook(descend)

    def step(x: fg.Tensor) -> fg.Tensor:
        loss = model(x).sum()
        loss.backward()
        return loss

    step = fg.jit(step) if under_jit else step
    losses = [step(fg.ones(3, 2)).item() for _ in range(3)]
    assert losses == pytest.approx([6.0, 3.3, 0.6], rel=1e-5)
    assert model.weight.grad is None
    with pytest.raises(RuntimeError, match="non-leaf"):
        (model.weight * 2).register_post_accumulate_grad_hook(descend)


def test_a_marked_backward_refuses_a_second_derivative() -> None:
    class Twice(fg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @fg.autograd.function.once_differentiable
        def backward(ctx: Any, g: Any) -> Any:
            return 2 * ctx.saved_tensors[0] * g

    x = fg.tensor(3.0, requires_grad=True)
    (g,) = fg.autograd.grad(Twice.apply(x * x), x, create_graph=True)
    assert g.item() == 108.0
    with pytest.raises(RuntimeError, match="once_differentiable"):
        fg.autograd.grad(g, x)


def test_polynomial_fit_by_hand_under_jit() -> None:
    x = fg.linspace(-math.pi, math.pi, 200)
    y = fg.sin(x)

    def parameters() -> list[fg.Tensor]:
        return [fg.tensor(v, requires_grad=True) for v in (0.1, -0.2, 0.3, -0.1)]

    def make(values: list[fg.Tensor]) -> Any:
        def step() -> fg.Tensor:
            a, b, c, d = values
            loss = (a + b * x + c * x**2 + d * x**3 - y).pow(2).sum()
            loss.backward()
            with fg.no_grad():
                for p in values:
                    p -= 1e-6 * p.grad
                    p.grad = None
            return loss

        return step

    eager, jitted = parameters(), parameters()
    by_hand, compiled = make(eager), fg.jit(make(jitted))
    for _ in range(30):
        assert compiled().item() == pytest.approx(by_hand().item(), rel=1e-4)
    assert [p.item() for p in jitted] == pytest.approx([p.item() for p in eager], rel=1e-4)
    assert len(compiled.history) == 1


def test_modes_on_generators() -> None:
    @fg.no_grad()
    def flags(x: fg.Tensor) -> Iterator[bool]:
        for _ in range(2):
            yield (x * 2).requires_grad

    x = fg.ones(1, requires_grad=True)
    seen = []
    for flag in flags(x):
        seen.append((flag, (x * 2).requires_grad))
    assert seen == [(False, True), (False, True)]


def test_anomaly_names_the_line() -> None:
    x = fg.zeros(2, requires_grad=True)
    y = x.sqrt() * 0
    with fg.autograd.detect_anomaly(), pytest.raises(RuntimeError) as error:
        y.sum().backward()
    text = str(error.value)
    assert "sqrt" in text and "test_tutorials.py" in text and "y = x.sqrt() * 0" in text


def test_nodes_say_where_they_come_from() -> None:
    x = fg.ones(1, requires_grad=True)
    y = (x * 2).exp()
    assert repr(y.grad_fn).startswith("<exp recorded at test_tutorials.py:")
    inner = y.grad_fn.next_functions[0][0]
    assert inner.name == "mul" and repr(inner.next_functions[0][0]) == "<AccumulateGrad of f32[1]>"


def test_print_options() -> None:
    x = fg.tensor([1.23456789, 1e-7])
    try:
        fg.set_printoptions(precision=2, sci_mode=False)
        assert repr(x) == "tensor([1.23, 0.  ])"
        fg.set_printoptions(sci_mode=True, precision=1)
        assert repr(x) == "tensor([1.2e+00, 1.0e-07])"
        fg.set_printoptions(profile="full")
        assert "..." not in repr(fg.zeros(2000))
        fg.set_printoptions(profile="short", threshold=10, edgeitems=1)
        assert repr(fg.arange(20)) == "tensor([ 0, ..., 19])"
        with pytest.raises(ValueError, match="profile"):
            fg.set_printoptions(profile="loud")
    finally:
        fg.set_printoptions(profile="default")
    assert "..." in repr(fg.zeros(2000))
