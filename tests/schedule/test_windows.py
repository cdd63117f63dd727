"""Values that are repeated in place or read through windows: one kernel, the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fusegrad as fg


def _repeat(x: Any, *times: int) -> Any:
    for axis, n in enumerate(times):
        x = x.repeat_interleave(n, axis)
    return x


@pytest.mark.parametrize("times", [(1, 2, 2, 2), (2, 1, 3, 1), (1, 2, 1, 4), (2, 2, 2, 2)])
def test_repeats_are_index_maps(times: tuple[int, ...]) -> None:
    """Several quotients in one index stay apart when axes are merged."""
    x = fg.tensor(np.random.default_rng(0).standard_normal((2, 2, 3, 2)))

    def function(x: Any) -> Any:
        return _repeat(x * 3.0, *times) + 1.0

    compiled = fg.jit(function)
    np.testing.assert_allclose(compiled(x).numpy(), function(x).numpy())
    assert len(compiled.kernels()) == 1


def test_windows_over_windows_are_cut() -> None:
    """A chain of window sums is computed in a few kernels instead of one endless expression."""
    x = fg.tensor(np.random.default_rng(0).standard_normal((2, 1, 24, 24)))

    def function(x: Any) -> Any:
        for _ in range(4):
            x = fg.nn.functional.avg_pool2d(x, 3, 1, 1)
        return x

    compiled = fg.jit(function)
    np.testing.assert_allclose(compiled(x).numpy(), function(x).numpy(), rtol=1e-12)
    assert 2 <= len(compiled.kernels()) <= 8


def test_strides_of_windows_are_in_the_text() -> None:
    """Interleaved loads vectorise only where their stride is known."""
    pool = fg.jit(lambda x: fg.nn.functional.max_pool2d(x, 2))
    pool(fg.zeros(2, 3, 8, 8))
    (kernel,) = pool.kernels()
    assert "* 2 + 1]" in kernel.canonical
    pool(fg.zeros(5, 3, 8, 8))
    assert pool.kernels()[0].canonical == kernel.canonical  # and the batch is not
