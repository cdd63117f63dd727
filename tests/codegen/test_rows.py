"""Rows that overlap: results streamed past the caches are those of rows done one after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fusegrad as fg
from fusegrad.codegen import rows
from fusegrad.nn import functional as F

WIDTH = 300  # two strips and a part of a third


def entropy(x: Any, v: Any, t: Any) -> Any:
    return fg.autograd.grad(F.cross_entropy(x, t), x)[0]


def norm(x: Any, v: Any, t: Any) -> Any:
    return fg.autograd.grad(F.layer_norm(x, (WIDTH,), v), (x, v), x.detach() * 2 + 1)


def long_body(x: Any, v: Any, t: Any) -> Any:
    """The last walk is cut into several loops, with values between them."""
    y = (x - x.amax(1, keepdim=True)).exp()
    z = y / y.sum(1, keepdim=True)
    return (z.tanh() * v.sin() + z.erf()).sigmoid() * x.cos()


def choice(x: Any, v: Any, t: Any) -> Any:
    """A boolean and an index of the row are carried to its last walk."""
    best = x.argmax(1, keepdim=True)
    return fg.where((x.sum(1, keepdim=True) > 0) & (v > 0), x + best, x * 2)


STEPS: dict[str, Callable[..., Any]] = {
    "entropy": entropy,
    "norm": norm,
    "long": long_body,
    "choice": choice,
}


@pytest.fixture
def streaming(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small results are streamed, too."""
    monkeypatch.setattr(rows, "STREAMED_BYTES", 1)


@pytest.mark.parametrize("count", [2, 7])
@pytest.mark.parametrize("name", STEPS)
def test_overlapping_rows(name: str, count: int, streaming: None) -> None:
    rng = np.random.default_rng(count)
    x = fg.tensor(rng.normal(size=(count, WIDTH)), dtype=fg.float32, requires_grad=True)
    v = fg.tensor(rng.normal(size=WIDTH), dtype=fg.float32, requires_grad=True)
    t = fg.tensor(rng.integers(0, WIDTH, count))
    step = fg.jit(STEPS[name])
    found, wanted = step(x, v, t), STEPS[name](x, v, t)
    found, wanted = (r if isinstance(r, tuple) else (r,) for r in (found, wanted))
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=2e-5, atol=2e-6)
    texts = [kernel.source for kernel in step.kernels()]
    assert any("if i0 > lo:" in text for text in texts), texts
    for kernel in step.kernels():
        inputs = kernel.random_inputs(seed=count)
        for parts in {1, kernel.threads}:  # all rows after one another, and a thread for each
            plain, native = kernel.run_plain(inputs, parts), kernel.run_compiled(inputs, parts)
            for buffer, expected in native.items():
                np.testing.assert_allclose(plain[buffer], expected, rtol=3e-5, atol=1e-5)
