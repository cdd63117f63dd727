"""Gradients inside and through jitted functions: accumulated, kept, elided or refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fusegrad as fg
from fusegrad import float64
from fusegrad.errors import CaptureError, InPlaceError
from fusegrad.testing import assert_same


def vector(*values: float, grad: bool = False) -> Any:
    """A float64 tensor."""
    return fg.tensor(list(values), dtype=float64, requires_grad=grad)


def traces(function: Any) -> int:
    """How often a jitted function was traced."""
    return len(function.history)


def same(eager: Any, compiled: Any) -> None:
    """Assert that two tensors are equal to rounding."""
    np.testing.assert_allclose(
        compiled.detach().numpy(), eager.detach().numpy(), rtol=1e-12, atol=1e-12
    )


def both(
    make: Callable[[], tuple[Callable[..., Any], dict[str, Any]]], *calls: tuple[Any, ...]
) -> None:
    """Run ``make()``'s function in two worlds, eagerly and jitted, and compare all they hold."""
    worlds = []
    for compiled in (False, True):
        function, world = make()
        step = fg.jit(function) if compiled else function
        results = []
        for args in calls:
            result = step(*args)
            results.append(result if isinstance(result, (tuple, list)) else [result])
        worlds.append((results, world))
    (eager, left), (jitted, right) = worlds
    for a, b in zip(eager, jitted, strict=True):
        for x, y in zip(a, b, strict=True):
            same(x, y)
    for name, value in left.items():
        same(value, right[name])


def test_consumed_gradients_are_not_materialised_unless_kept() -> None:
    w = vector(1.0, grad=True)

    def step(x: Any) -> Any:
        w.grad = None
        (w * x).sum().backward()
        with fg.no_grad():
            w.sub_(w.grad)
        return w * 1

    kept = fg.jit(step, keep_grads=True)
    kept(vector(3.0))
    assert w.grad.item() == 3.0


def test_gradients_without_clearing_accumulate() -> None:
    def make() -> Any:
        w = vector(1.0, 2.0, grad=True)

        def step(x: Any) -> Any:
            loss = (w * w * x).sum()
            loss.backward()
            return loss

        return step, {"w": w}

    (eager, left), (function, right) = make(), make()
    step = fg.jit(function)
    for k in range(4):
        x = vector(1.0 + k, 2.0)
        eager(x)
        step(x)
        same(left["w"].grad, right["w"].grad)


def test_grad_is_none_before_and_set_after() -> None:
    w = vector(2.0, grad=True)

    @fg.jit
    def step(x: Any) -> Any:
        (w * x).sum().backward()

    assert w.grad is None
    step(vector(3.0))
    assert w.grad.item() == 3.0
    w.grad = None
    step(vector(4.0))
    assert w.grad.item() == 4.0


def test_gradients_of_arguments() -> None:
    x = vector(1.0, 2.0, grad=True)

    @fg.jit
    def step(x: Any) -> Any:
        loss = (x * x).sum()
        loss.backward()
        return loss

    step(x)
    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 4.0])
    step(x)
    np.testing.assert_array_equal(x.grad.numpy(), [4.0, 8.0])


def test_autograd_grad_with_create_graph() -> None:
    def step(x: Any) -> Any:
        x = x.detach().requires_grad_()
        (first,) = fg.autograd.grad((x**4).sum(), x, create_graph=True)
        (second,) = fg.autograd.grad(first.sum(), x, create_graph=True)
        (third,) = fg.autograd.grad(second.sum(), x)
        return first, second, third

    _, _, third = assert_same(step, vector(1.0, 2.0))
    np.testing.assert_allclose(third.numpy(), [24.0, 48.0])


def test_retain_graph_and_a_freed_graph() -> None:
    def twice(x: Any, retain: bool) -> Any:
        w = x.detach().requires_grad_()
        loss = (w * w).sum()
        loss.backward(retain_graph=retain)
        loss.backward()
        return w.grad

    assert_same(lambda x: twice(x, True), vector(1.0, 2.0))
    with pytest.raises(RuntimeError, match=r"second time"):
        fg.jit(lambda x: twice(x, False))(vector(1.0))


def test_hooks_run_inside() -> None:
    def make() -> Any:
        w = vector(1.0, 2.0, grad=True)
        w.register_hook(lambda g: g * 10)

        def step(x: Any) -> Any:
            w.grad = None
            y = w * x
            y.register_hook(lambda g: g + 1)
            y.sum().backward()
            return w.grad * 1

        return step, {"w": w}

    both(make, (vector(1.0, 2.0),), (vector(3.0, 4.0),))


def test_autograd_function_inside() -> None:
    class Cube(fg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x * x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            return g * x * 100

    def step(x: Any) -> Any:
        w = x.detach().requires_grad_()
        y = Cube.apply(w)
        y.sum().backward()
        return y, w.grad

    _, grad = assert_same(step, vector(1.0, 2.0))
    np.testing.assert_array_equal(grad.numpy(), [100.0, 200.0])


def test_no_grad_detach_and_grad_mode() -> None:
    def step(x: Any) -> Any:
        w = x.detach().requires_grad_()
        with fg.no_grad():
            a = w * 2
        y = (w * 3 + a + (w * w).detach()).sum()
        y.backward()
        assert not a.requires_grad
        return w.grad, y

    assert_same(step, vector(1.0, 2.0))
    jitted = fg.jit(lambda x: x * 2)
    x = vector(1.0, grad=True)
    with fg.no_grad():
        assert not jitted(x).requires_grad
    assert jitted(x).requires_grad
    assert traces(jitted) == 2


def test_gradients_flow_through_a_jitted_function() -> None:
    w = vector(2.0, 3.0, grad=True)
    jitted = fg.jit(lambda x: (x * w).sin())
    x = vector(1.0, 2.0, grad=True)
    jitted(x * 1).sum().backward()
    found = (x.grad.clone(), w.grad.clone())
    x.grad = w.grad = None
    (x * 1 * w).sin().sum().backward()
    same(x.grad, found[0])
    same(w.grad, found[1])


def test_training_is_the_same_step_by_step() -> None:
    def make() -> Any:
        rng = np.random.default_rng(0)
        w = fg.tensor(rng.normal(size=(4, 3)), requires_grad=True)
        b = fg.tensor(np.zeros(3), requires_grad=True)

        def step(x: Any, lr: float) -> Any:
            loss = ((x @ w + b).tanh() - 0.5).pow(2).mean()
            loss.backward()
            with fg.no_grad():
                for p in (w, b):
                    p.sub_(p.grad * lr)
                    p.grad = None
            return loss

        return step, {"w": w, "b": b}

    x = fg.tensor(np.random.default_rng(1).normal(size=(6, 4)))
    both(make, *[(x, 0.1 / (k + 1)) for k in range(6)])


def test_a_saved_tensor_changed_by_a_compiled_step_is_noticed() -> None:
    w = vector(1.0, 2.0)
    x = vector(3.0, 4.0, grad=True)
    y = (x * w).sum()
    fg.jit(lambda: w.add_(1))()
    with pytest.raises(InPlaceError, match=r"changed in place"):
        y.backward()


def test_in_place_errors_inside_a_trace() -> None:
    def step(x: Any) -> Any:
        w = x.detach().requires_grad_()
        y = w.exp()
        z = y * 2
        y.add_(1)
        z.sum().backward()
        (y.exp() * y).sum().backward()
        return w.grad

    def bad(x: Any) -> Any:
        w = x.detach().requires_grad_()
        y = w.exp()
        y.add_(1)
        y.sum().backward()
        return w.grad

    for function in (bad, fg.jit(bad)):
        with pytest.raises(InPlaceError, match=r"changed in place"):
            function(vector(1.0))


def test_in_place_on_a_leaf_is_refused_in_both() -> None:
    w = vector(1.0, grad=True)
    for function in (lambda: w.add_(1), fg.jit(lambda: w.add_(1))):
        with pytest.raises(InPlaceError, match=r"leaf"):
            function()


def test_what_has_no_functional_form_is_refused() -> None:
    @fg.jit
    def step(x: Any) -> Any:
        wide = x.expand(3, 2)
        wide[0].mul_(2)
        return x

    with pytest.raises((CaptureError, InPlaceError), match=r"test_jit_gradients.py"):
        step(vector(1.0, 2.0))


def test_replaced_and_refrozen_parameters_retrace() -> None:
    w = vector(1.0, grad=True)

    @fg.jit
    def step(x: Any) -> Any:
        w.grad = None
        loss = (w * x).sum()
        if loss.requires_grad:
            loss.backward()
        return loss

    step(vector(2.0))
    w.data = vector(5.0)
    assert step(vector(2.0)).item() == 10.0
    assert "replaced" in step.history[-1].reason
    w.requires_grad = False
    assert step(vector(2.0)).item() == 10.0
    assert "requires_grad" in step.history[-1].reason
