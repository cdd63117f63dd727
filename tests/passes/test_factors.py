"""Factors that do not change along a sum move behind it."""

from __future__ import annotations

import numpy as np
import pytest

import fusegrad as fg


def names(step) -> list[str]:
    return [e.primitive.name for e in step.history[-1].graph.eqns]


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_row_factor_leaves_the_sum(sign: float) -> None:
    x, r = fg.randn(5, 7, dtype=fg.float64), fg.randn(5, 1, dtype=fg.float64)

    def function(x: fg.Tensor, r: fg.Tensor) -> fg.Tensor:
        scaled = x * r
        return (-scaled if sign < 0 else scaled).sum(1)

    compiled = fg.jit(function)
    np.testing.assert_allclose(compiled(x, r).numpy(), function(x, r).numpy(), rtol=1e-13)
    order = names(compiled)
    assert order.index("sum") < order.index("mul")


def test_factor_along_the_sum_stays() -> None:
    x, w = fg.randn(5, 7, dtype=fg.float64), fg.randn(7, dtype=fg.float64)
    compiled = fg.jit(lambda x, w: (x * w).sum(1))
    np.testing.assert_allclose(compiled(x, w).numpy(), (x * w).sum(1).numpy(), rtol=1e-13)
    order = names(compiled)
    assert order.index("mul") < order.index("sum")


def test_factor_of_kept_axes_only() -> None:
    """A factor with a unit axis where the sum runs, and one over two axes of three."""
    x, r = fg.randn(2, 3, 4, dtype=fg.float64), fg.randn(2, 1, 4, dtype=fg.float64)
    for axes in (1, (1, 2), (0, 1)):

        def function(x: fg.Tensor, r: fg.Tensor, axes=axes) -> fg.Tensor:
            return (x * r).sum(axes)

        compiled = fg.jit(function)
        np.testing.assert_allclose(compiled(x, r).numpy(), function(x, r).numpy(), rtol=1e-13)


def test_layer_norm_walks_each_row_three_times() -> None:
    """Mean; deviations and their products with the cotangent; result. Not a fourth time."""
    norm = fg.nn.LayerNorm(300)
    x, g = fg.randn(40, 300, requires_grad=True), fg.randn(40, 300)

    @fg.jit
    def gradients(x: fg.Tensor, g: fg.Tensor):
        return fg.autograd.grad(norm(x), [x, *norm.parameters()], g)

    for got, expected in zip(
        gradients(x, g), fg.autograd.grad(norm(x), [x, *norm.parameters()], g), strict=True
    ):
        np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=2e-5, atol=2e-5)
    (kernel,) = [k for k in gradients.kernels() if k.name.startswith("row")]
    rows = kernel.canonical.split("if arrive")[0].split("in range(lo, hi):")[1]
    assert rows.count("for i1 in range(n1):") == 3
