"""The eager backward pass for users: accumulation, hooks, modes, higher orders, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fusegrad as fg
from fusegrad import float64
from fusegrad.errors import GradientError, InPlaceError
from fusegrad.testing import gradcheck


def vector(*values: float, grad: bool = True) -> Any:
    """A float64 leaf."""
    return fg.tensor(list(values), dtype=float64, requires_grad=grad)


def test_grad_is_none_then_filled_then_accumulated() -> None:
    x = vector(1.0, 2.0)
    assert x.grad is None
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 4.0])
    kept = x.grad
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [4.0, 8.0])
    assert x.grad is kept


def test_gradient_of_a_vector() -> None:
    x = vector(1.0, 2.0)
    with pytest.raises(RuntimeError, match=r"only for scalar outputs"):
        (x * 2).backward()
    (x * 2).backward(gradient=vector(1.0, 10.0, grad=False))
    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 20.0])
    with pytest.raises(RuntimeError, match=r"shape of the output"):
        (x * 2).backward(vector(1.0, grad=False))


def test_without_history() -> None:
    with pytest.raises(RuntimeError, match=r"does not require grad"):
        fg.ones(2).sum().backward()
    with fg.no_grad():
        y = vector(1.0) * 2
    assert not y.requires_grad
    with pytest.raises(RuntimeError, match=r"does not have a grad_fn"):
        y.backward()


def test_a_freed_graph_and_retain_graph() -> None:
    x = vector(2.0)
    y = (x * x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 24.0
    with pytest.raises(RuntimeError, match=r"retain_graph=True"):
        y.backward()


def test_a_value_used_many_times() -> None:
    x = vector(3.0)
    a = x * 2
    b = a * a + a + x
    (b * b).sum().backward()
    assert x.grad.item() == 2 * (36 + 6 + 3) * (2 * 6 * 2 + 2 + 1)


def test_diamond_of_a_hundred_levels() -> None:
    x = vector(1.0)
    y = x
    for _ in range(100):
        y = y * 0.5 + y * 0.5
    y.backward()
    assert x.grad.item() == pytest.approx(1.0)


def test_a_deep_graph_does_not_recurse() -> None:
    x = vector(1.0)
    y = x
    for _ in range(20000):
        y = y + 1
    y.backward()
    assert x.grad.item() == 1.0


def test_grad_returns_and_leaves_dot_grad_alone() -> None:
    x, y = vector(2.0), vector(3.0)
    (gx, gy) = fg.autograd.grad((x * x * y).sum(), (x, y))
    assert (gx.item(), gy.item()) == (12.0, 4.0)
    assert x.grad is None


def test_grad_of_unused_inputs() -> None:
    x, y = vector(2.0), vector(3.0)
    with pytest.raises(RuntimeError, match=r"appears to not have been used"):
        fg.autograd.grad((x * 2).sum(), (x, y))
    assert fg.autograd.grad((x * 2).sum(), (x, y), allow_unused=True)[1] is None
    zero = fg.autograd.grad((x * 2).sum(), (x, y), materialize_grads=True)[1]
    np.testing.assert_array_equal(zero.numpy(), [0.0])
    with pytest.raises(RuntimeError, match=r"does not require grad"):
        fg.autograd.grad((x * 2).sum(), vector(1.0, grad=False))


def test_grad_by_an_intermediate_value() -> None:
    x = vector(2.0)
    y = x * x
    (g,) = fg.autograd.grad((y * y).sum(), y)
    assert g.item() == 8.0


def test_third_derivative() -> None:
    x = vector(0.7, 1.3)
    y = x.sin() * x**4
    for _ in range(3):
        (y,) = fg.autograd.grad(y.sum(), x, create_graph=True)
    s, c, v = np.sin(x.detach().numpy()), np.cos(x.detach().numpy()), x.detach().numpy()
    exact = -(v**4) * c - 12 * v**3 * s + 36 * v**2 * c + 24 * v * s
    np.testing.assert_allclose(y.detach().numpy(), exact, rtol=1e-12)


@pytest.mark.parametrize("exponent", [4, 4.0, -2, 2.5, 0, 1, 2, 3, 0.5, -1])
def test_powers_by_numbers(exponent: float) -> None:
    gradcheck(lambda x: x**exponent, vector(0.7, 1.3))
    if exponent != 0:
        gradcheck(lambda x: abs(exponent) ** x, vector(0.7, 1.3))

    def slope(x: Any) -> Any:
        (g,) = fg.autograd.grad((x**exponent).sum(), x, create_graph=True)
        return g

    if exponent not in (0, 1):
        gradcheck(slope, vector(0.7, 1.3))


NUMBERS = {
    "add": lambda x: 2 + x + 1.5,
    "sub": lambda x: 2 - (x - 1),
    "mul": lambda x: 3 * x * 0.5,
    "div": lambda x: 2 / x + x / 3,
    "where": lambda x: fg.where(x > 1, x, 2.0) * x,
    "clamp": lambda x: x.clamp(0.5, 1.5) * x,
    "maximum": lambda x: fg.maximum(x, fg.tensor(1.0, dtype=float64)) * x,
    "rpow": lambda x: 2.0**x,
    "remainder": lambda x: (x * 3) % 2.0,
    "atan2": lambda x: fg.atan2(x, fg.tensor(2.0, dtype=float64)),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_as_operands(name: str) -> None:
    gradcheck(NUMBERS[name], vector(0.7, 1.3))


def test_modes() -> None:
    x = vector(1.0)
    assert fg.is_grad_enabled()
    with fg.no_grad():
        assert not fg.is_grad_enabled()
        with fg.enable_grad():
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad

    @fg.no_grad()
    def frozen(v: Any) -> Any:
        return v * 2

    assert not frozen(x).requires_grad
    with fg.set_grad_enabled(False):
        assert not (x * 2).requires_grad
    assert fg.is_grad_enabled()
    with pytest.raises(ZeroDivisionError), fg.no_grad():
        _ = 1 / 0
    assert fg.is_grad_enabled()


def test_detach_shares_memory_and_cuts() -> None:
    x = vector(1.0, 2.0)
    y = x.detach()
    assert not y.requires_grad
    assert np.shares_memory(y.numpy(), x.detach().numpy())
    y[0] = 5.0
    assert x[0].item() == 5.0


def test_hooks() -> None:
    x = vector(1.0, 2.0)
    seen = []
    y = x * 3
    handle = y.register_hook(lambda g: seen.append(g.numpy().copy()))
    y.register_hook(lambda g: g * 2)
    y.sum().backward()
    np.testing.assert_array_equal(seen[0], [1.0, 1.0])
    np.testing.assert_array_equal(x.grad.numpy(), [6.0, 6.0])
    handle.remove()
    leaf = x.register_hook(lambda g: g * 0)
    x.grad = None
    (x * 3).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [0.0, 0.0])
    leaf.remove()
    x.grad = None
    (x * 3).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [3.0, 3.0])
    with pytest.raises(RuntimeError, match=r"does not require grad"):
        fg.ones(1).register_hook(print)


def test_retain_grad() -> None:
    x = vector(2.0)
    y = x * x
    y.retain_grad()
    (y * 3).sum().backward()
    assert y.grad.item() == 3.0
    assert x.grad.item() == 12.0


def test_function_with_context() -> None:
    class Scale(fg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, factor: float, y: Any) -> Any:
            ctx.save_for_backward(x, y)
            ctx.factor = factor
            return x * factor * y, x + 1

        @staticmethod
        def backward(ctx: Any, g: Any, h: Any) -> Any:
            _, y = ctx.saved_tensors
            assert ctx.needs_input_grad == (True, False, False)
            return g * ctx.factor * y + h, None, None

    x, y = vector(2.0), vector(5.0, grad=False)
    a, b = Scale.apply(x, 3.0, y)
    assert a.item() == 30.0
    (a + 10 * b).sum().backward()
    assert x.grad.item() == 25.0


def test_function_with_a_wrong_number_of_gradients() -> None:
    class Bad(fg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            return x * y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g

    with pytest.raises(GradientError, match=r"Bad.backward returned 1 gradients"):
        Bad.apply(vector(1.0), vector(2.0)).backward()


def test_saved_values_are_guarded() -> None:
    x = vector(1.0, 2.0)
    y = x.exp()
    y.add_(1)
    with pytest.raises(InPlaceError, match=r"at version 1; version 0 was saved"):
        y.sum().backward()
    z = x * 2
    z.add_(1)
    z.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 2.0])


def test_in_place_changes_keep_the_history_right() -> None:
    def changed(x: Any) -> Any:
        y = x * 1
        y[0] = y[1] * 2
        y[:, 1] *= 3
        y.t()[2] += x[:, 0]
        view = y.view(-1)
        view[::2].mul_(x.reshape(-1)[1::2].sum())
        return y.sin()

    gradcheck(changed, fg.tensor(np.random.default_rng(0).normal(size=(3, 3)), requires_grad=True))


def test_a_leaf_is_not_changed_in_place() -> None:
    x = vector(1.0)
    for change in (lambda: x.add_(1), lambda: x[0].mul_(2), lambda: x.view(1).zero_()):
        with pytest.raises(InPlaceError, match=r"wrap the update in fg.no_grad"):
            change()
    with fg.no_grad():
        x.add_(1)
    assert x.item() == 2.0


def test_requires_grad_only_for_floats_and_leaves() -> None:
    with pytest.raises(RuntimeError, match=r"floating point"):
        fg.tensor([1, 2], requires_grad=True)
    y = vector(1.0) * 2
    with pytest.raises(RuntimeError, match=r"leaf"):
        y.requires_grad = False
    assert not y.is_leaf and vector(1.0).is_leaf and y.grad_fn is not None


def test_backward_with_inputs() -> None:
    x, y = vector(2.0), vector(3.0)
    (x * y).sum().backward(inputs=[x])
    assert x.grad.item() == 3.0
    assert y.grad is None


def test_gradcheck_notices_a_wrong_gradient() -> None:
    class Wrong(fg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g

    with pytest.raises(AssertionError, match=r"central differences give"):
        gradcheck(Wrong.apply, vector(1.5))
    assert not gradcheck(Wrong.apply, vector(1.5), raise_exception=False)


@pytest.mark.parametrize("materialize", [True, False])
def test_missing_cotangents_of_a_function(materialize: bool) -> None:
    seen = []

    class Two(fg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(materialize)
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, a, b):
            seen.append(b)
            return a * 2

    x = fg.ones(2, requires_grad=True)
    Two.apply(x)[0].sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]
    assert seen[0].tolist() == [0.0, 0.0] if materialize else seen[0] is None


def test_derivatives_of_prod_where_elements_are_zero():
    """With two zeros only the mixed second derivative is left."""
    x = fg.tensor([0.0, 0.0, 3.0, 2.0], requires_grad=True)
    (first,) = fg.autograd.grad(x.prod(), x, create_graph=True)
    assert first.tolist() == [0, 0, 0, 0]
    (second,) = fg.autograd.grad(first[0], x)
    assert second.tolist() == [0, 6, 0, 0]


@pytest.mark.parametrize("p", [0.5, 1, 1.5, 2, 3, -1])
def test_norm_at_zero_has_the_gradient_zero(p):
    x = fg.tensor([[0.0, 0.0], [0.0, 2.0]], requires_grad=True)
    for run in (lambda: x.norm(p, dim=1).sum(), fg.jit(lambda: x.norm(p, dim=1).sum())):
        (g,) = fg.autograd.grad(run(), x)
        assert g.isfinite().all() and g[0].tolist() == [0, 0] and g[1, 0] == 0
