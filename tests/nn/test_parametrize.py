"""Parametrizations without PyTorch: derivatives by differences, traces that follow changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fusegrad as fg
from fusegrad import nn
from fusegrad.nn.utils import matrix, parametrizations, parametrize

FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "matrix_exp": matrix.matrix_exp,
    "inverse": lambda a: matrix.inverse(a - matrix.mT(a) + fg.eye(4, dtype=fg.float64)),
    "householder": lambda a: matrix.householder_product(a, 2.0 / (1.0 + (a * a).sum(-2))),
}


@pytest.mark.parametrize("jit", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_derivatives(name: str, jit: bool) -> None:
    """First and second derivative along a direction against central differences."""
    rng = np.random.default_rng(0)
    a, u, w = (rng.standard_normal((4, 4)) for _ in range(3))

    def scalar(x: Any) -> Any:
        return (FUNCTIONS[name](x) * fg.tensor(w)).sum()

    def slope(x: Any) -> Any:
        (gradient,) = fg.autograd.grad(scalar(x), x, create_graph=True)
        return (gradient * fg.tensor(u)).sum()

    def second(x: Any) -> Any:
        (gradient,) = fg.autograd.grad(slope(x), x)
        return (gradient * fg.tensor(u)).sum()

    runs = {f: fg.jit(f) if jit else f for f in (scalar, slope, second)}

    def at(function: Any, t: float) -> float:
        return runs[function](fg.tensor(a + t * u).requires_grad_()).item()

    h = 1e-5
    for function, derivative in ((scalar, slope), (slope, second)):
        want = (at(function, h) - at(function, -h)) / (2 * h)
        assert at(derivative, 0.0) == pytest.approx(want, rel=1e-6, abs=1e-7)


def test_traces_follow_parametrizations() -> None:
    layer = nn.Linear(3, 3)
    step = fg.jit(lambda x: layer(x).detach())
    x = fg.eye(3)

    def check(traces: int) -> None:
        want = (x @ layer.weight.T + layer.bias).detach()
        np.testing.assert_allclose(step(x).numpy(), want.numpy(), rtol=1e-5, atol=1e-6)
        assert len(step.history) == traces

    check(1)
    parametrizations.weight_norm(layer)
    check(2)
    with fg.no_grad():
        layer.parametrizations.weight.original0.mul_(3.0)
    check(2)
    layer.weight = fg.ones(3, 3)  # in place: the trace holds the same memory
    check(2)
    parametrize.remove_parametrizations(layer, "weight")
    check(3)


def test_a_cache_outside_is_not_read_while_traced() -> None:
    """Eagerly cached values stay out of a trace, which would hold on to them."""
    layer = parametrizations.weight_norm(nn.Linear(2, 2, bias=False))
    step = fg.jit(lambda x: layer(x).detach())
    x = fg.eye(2)
    with parametrize.cached():
        eager = layer(x).detach().numpy().copy()
        np.testing.assert_allclose(step(x).numpy(), eager, rtol=1e-6)
    with fg.no_grad():
        layer.parametrizations.weight.original0.mul_(2.0)
    np.testing.assert_allclose(step(x).numpy(), eager * 2, rtol=1e-6)
    with parametrize.cached():
        np.testing.assert_allclose(step(x).numpy(), eager * 2, rtol=1e-6)


def test_spectral_norm_iterates_while_traced() -> None:
    layer = parametrizations.spectral_norm(nn.Linear(4, 3, dtype=fg.float64))
    with fg.no_grad():
        layer.parametrizations.weight.original.add_(fg.randn(3, 4, dtype=fg.float64))
    step = fg.jit(lambda x: layer(x).detach())
    for _ in range(300):
        step(fg.ones(2, 4, dtype=fg.float64))
    assert len(step.history) == 1
    layer.eval()
    values = np.linalg.svd(layer.weight.detach().numpy())[1]
    assert values[0] == pytest.approx(1.0, rel=1e-6)


def test_an_optimizer_keeps_its_parameters() -> None:
    """Registered before or after: the original is the same parameter."""
    layer = nn.Linear(3, 3)
    optimizer = fg.optim.SGD(layer.parameters(), lr=0.1)
    parametrizations.orthogonal(layer, orthogonal_map="cayley")
    before = layer.weight.detach().numpy().copy()
    for _ in range(3):
        optimizer.zero_grad()
        (layer(fg.ones(1, 3)) ** 2).sum().backward()
        optimizer.step()
    after = layer.weight.detach().numpy()
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(after @ after.T, np.eye(3), atol=1e-5)


def test_dirac_passes_channels_on() -> None:
    weight = nn.init.dirac_(fg.full((4, 2, 3), 9.0), groups=2)
    want = np.zeros((4, 2, 3))
    want[[0, 1, 2, 3], [0, 1, 0, 1], 1] = 1
    np.testing.assert_array_equal(weight.numpy(), want)
    with pytest.raises(ValueError, match="divisible by groups"):
        nn.init.dirac_(fg.empty(3, 2, 3), groups=2)


def test_skip_init_draws_nothing() -> None:
    fg.manual_seed(0)
    want = fg.rand(2).tolist()
    fg.manual_seed(0)
    nn.utils.skip_init(nn.Linear, 3, 3)
    assert fg.rand(2).tolist() == want
    fg.manual_seed(0)
    nn.Linear(3, 3)
    assert fg.rand(2).tolist() != want
