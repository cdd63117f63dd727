"""Convolutions among other operations: epilogues, biases, operands of every kind, state, loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fusegrad as fg
from fusegrad.nn.functional import conv2d

RNG = np.random.default_rng(0)


def randn(*shape: int) -> fg.Tensor:
    return fg.tensor(RNG.standard_normal(shape))


def same(function: Callable[..., Any], *args: Any) -> Any:
    """Compiled equals eager; returns the jitted function."""
    eager = function(*args)
    jitted = fg.jit(function)
    found = jitted(*args)
    for a, b in zip(*[x if isinstance(x, tuple) else (x,) for x in (eager, found)], strict=True):
        np.testing.assert_allclose(b.detach().numpy(), a.detach().numpy(), rtol=1e-11, atol=1e-11)
    return jitted


def conv(x: Any, w: Any, b: Any = None) -> Any:
    return conv2d(x, w, b, padding=1)


EPILOGUES: dict[str, Callable[..., Any]] = {
    "raw and relu": lambda x, w, b, r: (lambda y: (y, y.relu(), (y * 2).sum()))(conv(x, w, b)),
    "raw and bias": lambda x, w, b, r: (lambda y: (y, y + b.reshape(6, 1, 1)))(conv(x, w)),
    "two of them": lambda x, w, b, r: conv(x, w) + conv(x, w, b) * b.reshape(6, 1, 1),
    "per image": lambda x, w, b, r: conv(x, w) + r[:, :, :1, :1],
    "per column": lambda x, w, b, r: conv(x, w) + r[0, 0, 0],
    "bias minus": lambda x, w, b, r: b.reshape(6, 1, 1) - conv(x, w),
    "residual": lambda x, w, b, r: (conv(x, w, b) + r).tanh() * r,
    "in a row": lambda x, w, b, r: conv(conv(x, w, b), w.reshape(4, 6, 3, 3), b[:4]).relu(),
    "softmax": lambda x, w, b, r: fg.softmax(conv(x, w, b), 1),
    "statistics": lambda x, w, b, r: conv(x, w, b).std((0, 2, 3)),
    "permuted": lambda x, w, b, r: conv(x, w).permute(0, 2, 3, 1) * 2 + 1,
    "views": lambda x, w, b, r: conv(x.flip(2), w.flip(3))[:, ::2, 1:3],
    "constant image": lambda x, w, b, r: conv(fg.ones_like(x), w, b),
    "constant weight": lambda x, w, b, r: conv(x, fg.ones_like(w), b),
}


@pytest.mark.parametrize("images", [1, 3, 16, 33])
@pytest.mark.parametrize("name", EPILOGUES)
def test_epilogues(name: str, images: int) -> None:
    same(
        EPILOGUES[name], randn(images, 4, 7, 8), randn(6, 4, 3, 3), randn(6), randn(images, 6, 7, 8)
    )


def test_what_follows_joins_the_kernel() -> None:
    """Bias, residual and activation run on results that are in cache; so does a mask backward."""

    def step(x: Any, w: Any, b: Any, r: Any) -> Any:
        w = w.detach().requires_grad_()
        hidden = (conv(x, w, b) + r).relu()
        conv(hidden, w[:, :4].reshape(4, 6, 3, 3)).sum().backward()
        return hidden, w.grad

    args = (randn(16, 4, 6, 6), randn(6, 4, 3, 3), randn(6), randn(16, 6, 6, 6))
    names = [k.name for k in same(step, *args).kernels()]
    assert "conv_add_relu" in names
    assert any(n.startswith("conv_input_") and "where" in n for n in names)


def test_a_bias_is_not_part_of_the_epilogue() -> None:
    jitted = same(lambda x, w, b: conv(x, w, b), randn(16, 3, 5, 5), randn(4, 3, 3, 3), randn(4))
    (kernel,) = jitted.kernels()
    assert "window_job_add_f64" in kernel.canonical and "for item" not in kernel.canonical


@pytest.mark.parametrize(
    ("x", "w"),
    [((5, 4, 3, 3), (1, 4, 3, 3)), ((1, 1, 5, 5), (1, 1, 5, 5)), ((1, 9, 1, 1), (3, 9, 1, 1))],
)
def test_unit_extents(x: tuple[int, ...], w: tuple[int, ...]) -> None:
    same(lambda x, w, b: conv2d(x, w, b).relu(), randn(*x), randn(*w), randn(w[0]))


@pytest.mark.parametrize("relu", [False, True])
def test_state_is_written_in_place(relu: bool) -> None:
    w, state = randn(4, 4, 3, 3), randn(2, 4, 6, 6)
    before = state.numpy().copy()

    def step(w: Any) -> Any:
        out = conv(state, w)
        return (state.copy_(out.relu()) if relu else state.add_(out)).sum()

    fg.jit(step)(w)
    out = conv(fg.tensor(before), w)
    want = out.relu() if relu else fg.tensor(before) + out
    np.testing.assert_allclose(state.numpy(), want.numpy(), rtol=1e-12, atol=1e-13)


def test_in_a_loop() -> None:
    def run(x: Any, w: Any) -> Any:
        w = w.detach().requires_grad_()
        last, _ = fg.scan(lambda c, _: (conv(c, w).tanh(), c.sum()), x, None, length=4)
        last.sum().backward()
        return last, w.grad

    same(run, randn(2, 3, 5, 5), randn(3, 3, 3, 3))


def test_many_geometries() -> None:
    """Random shapes, windows, strides and batches on one to three threads."""
    rng = np.random.default_rng(1)
    threads = fg.get_num_threads()
    try:
        for _ in range(40):
            n, h, k = rng.choice([1, 2, 5, 9, 17]), rng.integers(1, 20), rng.choice([1, 2, 3, 5])
            width = int(rng.integers(1, 9))
            s, p, d, g = (
                rng.integers(1, 4),
                rng.integers(0, 4),
                rng.integers(1, 3),
                rng.integers(1, 3),
            )
            if min(h, width) + 2 * p < d * (k - 1) + 1:
                continue
            fg.set_num_threads(int(rng.integers(1, 4)))
            options = {"stride": int(s), "padding": int(p), "dilation": int(d), "groups": int(g)}

            def step(x: Any, w: Any, options: Any = options) -> Any:
                x, w = x.detach().requires_grad_(), w.detach().requires_grad_()
                out = conv2d(x, w, **options)
                (out.sin() * out).sum().backward()
                return out, x.grad, w.grad

            same(step, randn(int(n), 4, int(h), width), randn(6, 4 // int(g), int(k), int(k)))
    finally:
        fg.set_num_threads(threads)
