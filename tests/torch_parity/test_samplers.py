"""Draws from distributions: moments and frequencies, options and errors of torch, eager = jit.

Bounds are five standard deviations of the statistic, and the seed is fixed: a failure is a change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fusegrad as fg

torch = pytest.importorskip("torch")
N = 20_000

# what fills a tensor, mean and variance of each element
FILLS: dict[str, tuple[Callable[[Any], Any], float, float]] = {
    "uniform_": (lambda x: x.uniform_(-1, 3), 1.0, 16 / 12),
    "normal_": (lambda x: x.normal_(2.0, 3.0), 2.0, 9.0),
    "exponential_": (lambda x: x.exponential_(2.0), 0.5, 0.25),
    "log_normal_": (
        lambda x: x.log_normal_(0.5, 0.4),
        np.exp(0.5 + 0.08), (np.exp(0.16) - 1) * np.exp(1.0 + 0.16),
    ),
    "geometric_": (lambda x: x.geometric_(0.3), 1 / 0.3, 0.7 / 0.09),
    "bernoulli_": (lambda x: x.bernoulli_(0.3), 0.3, 0.21),
    "bernoulli_ tensor": (lambda x: x.bernoulli_(fg.full((N,), 0.7)), 0.7, 0.21),
    "random_": (lambda x: x.random_(-3, 7), 1.5, 99 / 12),
    "random_ to": (lambda x: x.random_(11), 5.0, 120 / 12),
    "poisson": (lambda x: x.copy_(fg.poisson(fg.full_like(x, 3.5))), 3.5, 3.5),
    "poisson large": (lambda x: x.copy_(fg.poisson(fg.full_like(x, 400.0))), 400.0, 400.0),
    "binomial": (
        lambda x: x.copy_(fg.binomial(fg.full_like(x, 30.0), fg.tensor(0.2, dtype=x.dtype))),
        6.0, 4.8,
    ),
    "bernoulli method": (lambda x: x.copy_(x.bernoulli(0.4)), 0.4, 0.24),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [fg.float32, fg.float64], ids=str)
@pytest.mark.parametrize("name", FILLS)
def test_moments_and_equal_draws_in_a_compiled_step(name: str, dtype: Any) -> None:
    fill, mean, variance = FILLS[name]
    fg.manual_seed(11)
    x = fill(fg.zeros(N, dtype=dtype))
    values = x.numpy().astype(np.float64)
    assert abs(values.mean() - mean) < 5 * np.sqrt(variance / N)
    centred = (values - values.mean()) ** 2
    assert abs(centred.mean() - variance) < 5 * centred.std() / np.sqrt(N)
    fg.manual_seed(11)
    step = fg.jit(lambda: fill(fg.zeros(N, dtype=dtype)))
    again = step()
    tolerance = 1e-5 if dtype is fg.float32 else 1e-12  # exp and log of another compilation
    np.testing.assert_allclose(again.numpy(), x.numpy(), tolerance, tolerance)
    assert not fg.equal(step(), again)


def test_cauchy() -> None:
    fg.manual_seed(3)
    x = fg.zeros(N, dtype=fg.float64).cauchy_(1.0, 2.0).numpy()
    for quantile, place in ((0.25, -1.0), (0.5, 1.0), (0.75, 3.0)):
        assert abs((x < place).mean() - quantile) < 5 * np.sqrt(quantile * (1 - quantile) / N)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "bool", "float32"])
def test_random_fills_the_whole_range_of_a_dtype(dtype: str) -> None:
    fg.manual_seed(0)
    ours = fg.zeros(N, dtype=getattr(fg, dtype)).random_()
    theirs = torch.zeros(N, dtype=getattr(torch, dtype)).random_()
    a, b = ours.numpy().astype(np.float64), theirs.numpy().astype(np.float64)
    assert a.min() >= 0 and a.max() <= b.max() * 1.01 + 1
    assert abs(a.mean() - b.mean()) < 0.05 * b.max()
    assert fg.zeros(50, dtype=getattr(fg, dtype)).bernoulli_(1.0).sum().item() == 50


def test_multinomial_frequencies() -> None:
    fg.manual_seed(5)
    weights = np.array([[0.0, 1.0, 3.0, 0.0, 6.0, 0.0], [2.0, 0.0, 0.0, 0.0, 0.0, 2.0]])
    x = fg.tensor(weights)
    drawn = fg.multinomial(x, N, replacement=True)
    assert drawn.dtype is fg.int64 and drawn.shape == (2, N)
    for row, found in zip(weights / weights.sum(1, keepdims=True), drawn.numpy(), strict=True):
        counts = np.bincount(found, minlength=6) / N
        assert (abs(counts - row) <= 5 * np.sqrt(row * (1 - row) / N)).all()
    fg.manual_seed(6)
    pairs = np.stack([x[0].multinomial(2).numpy() for _ in range(2000)])
    assert (pairs[:, 0] != pairs[:, 1]).all() and set(pairs.flat) == {1, 2, 4}
    # first draws have the weights; the second follows what is left
    share = np.bincount(pairs[:, 0], minlength=6)[[1, 2, 4]] / 2000
    assert (abs(share - [0.1, 0.3, 0.6]) < 5 * np.sqrt(0.25 / 2000)).all()
    for replacement in (False, True):
        fg.manual_seed(7)
        eager = fg.multinomial(x[:, 1:], 2 if replacement else 1, replacement)
        fg.manual_seed(7)
        step = fg.jit(lambda w, r=replacement: fg.multinomial(w[:, 1:], 2 if r else 1, r))
        assert fg.equal(step(x), eager)
        assert not [k.name for k in step.kernels() if k.host]


def test_a_generator_of_its_own() -> None:
    for draw in (
        lambda g: fg.multinomial(fg.ones(9), 5, True, generator=g),
        lambda g: fg.poisson(fg.ones(9) * 50, generator=g),
        lambda g: fg.binomial(fg.ones(9) * 50, fg.ones(9) / 2, generator=g),
        lambda g: fg.bernoulli(fg.ones(50) / 2, generator=g),
        lambda g: fg.zeros(9).exponential_(generator=g),
        lambda g: fg.zeros(9).cauchy_(generator=g),
        lambda g: fg.zeros(20).geometric_(0.5, generator=g),
        lambda g: fg.zeros(9).log_normal_(generator=g),
        lambda g: fg.zeros(9).random_(generator=g),
    ):
        g = fg.Generator().manual_seed(1)
        fg.manual_seed(2)
        first, second = draw(g), draw(g)
        assert not fg.equal(first, second)
        fg.manual_seed(3)
        assert fg.equal(draw(fg.Generator().manual_seed(1)), first)


def test_bernoulli_has_gradient_zero() -> None:
    x = fg.full((3,), 0.5, requires_grad=True)
    x.bernoulli().sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda m: m.multinomial(m.ones(3), 4),
        lambda m: m.multinomial(m.ones(3), 0),
        lambda m: m.multinomial(m.ones(3).long(), 1),
        lambda m: m.multinomial(m.ones(1, 2, 3), 1),
        lambda m: m.multinomial(m.tensor([1.0, -1.0]), 1),
        lambda m: m.multinomial(m.zeros(3), 1, True),
        lambda m: m.poisson(-m.ones(3)),
        lambda m: m.zeros(3).exponential_(-1.0),
        lambda m: m.zeros(3).cauchy_(0.0, -1.0),
        lambda m: m.zeros(3).log_normal_(0.0, -1.0),
        lambda m: m.zeros(3).geometric_(1.5),
        lambda m: m.zeros(3).random_(4, 4),
        lambda m: m.zeros(3).bernoulli_(1.5),
    ],
)
def test_errors_as_torch(wrong: Any) -> None:
    for m in (torch, fg):
        with pytest.raises(RuntimeError):
            wrong(m)
