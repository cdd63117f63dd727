"""Gradient clipping and parameter vectors: every norm, special values, eager and jit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import fusegrad as fg

SHAPES = [(3, 4), (5,), ()]
NORMS = [2.0, 1.0, 0.5, 3.0, 0.0, math.inf, -math.inf, 2, "2.0"]


def _params(library: Any, dtype: str = "float64", special: float | None = None) -> list[Any]:
    rng = np.random.default_rng(0)
    params = []
    for shape in SHAPES[: 3 if special is None else 2]:
        p = library.nn.Parameter(library.zeros(shape, dtype=getattr(library, dtype)))
        grad = np.asarray(rng.standard_normal(shape)).astype(dtype)
        if special is not None:
            grad[..., 1] = special
        p.grad = library.tensor(grad)
        params.append(p)
    params.append(library.nn.Parameter(library.zeros(2)))  # without a gradient
    return params


def _same(ours: list[Any], theirs: list[Any], rtol: float = 1e-12) -> None:
    for a, b in zip(ours, theirs, strict=True):
        assert (a.grad is None) == (b.grad is None)
        if a.grad is not None:
            assert str(a.grad.dtype)[9:] == str(b.grad.dtype)[6:]
            np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=rtol)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("max_norm", [0.1, 1.0, 100.0])
@pytest.mark.parametrize("norm_type", NORMS, ids=str)
def test_norms(norm_type: Any, max_norm: float, dtype: str) -> None:
    rtol = 1e-12 if dtype == "float64" else 1e-5
    ours, theirs = _params(fg, dtype), _params(torch, dtype)
    totals = [
        library.nn.utils.clip_grad_norm_(params, max_norm, norm_type).item()
        for library, params in ((fg, ours), (torch, theirs))
    ]
    np.testing.assert_allclose(*totals, rtol=rtol)
    _same(ours, theirs, rtol)
    grads = [[p.grad for p in params if p.grad is not None] for params in (ours, theirs)]
    np.testing.assert_allclose(
        fg.nn.utils.get_total_norm(grads[0], float(norm_type)).item(),
        torch.nn.utils.get_total_norm(grads[1], float(norm_type)).item(),
        rtol=rtol,
    )
    for library, params in ((fg, ours), (torch, theirs)):
        library.nn.utils.clip_grads_with_norm_(params, 0.01, library.tensor(3.0).double())
        library.nn.utils.clip_grad_value_(params, 0.002)
    _same(ours, theirs, rtol)


@pytest.mark.parametrize("special", [math.nan, math.inf, -math.inf, 0.0])
@pytest.mark.parametrize("norm_type", [2.0, math.inf, 1.0])
def test_special_values(norm_type: float, special: float) -> None:
    ours, theirs = _params(fg, special=special), _params(torch, special=special)
    for library, params in ((fg, ours), (torch, theirs)):
        if not math.isfinite(special):
            with pytest.raises(RuntimeError, match="non-finite"):
                library.nn.utils.clip_grad_norm_(params, 1.0, norm_type, error_if_nonfinite=True)
    totals = [
        library.nn.utils.clip_grad_norm_(params, 1.0, norm_type).item()
        for library, params in ((fg, ours), (torch, theirs))
    ]
    np.testing.assert_allclose(*totals, rtol=1e-12)
    _same(ours, theirs)
    for library, params in ((fg, ours), (torch, theirs)):
        library.nn.utils.clip_grad_value_(params, 0.5)
    _same(ours, theirs)


@pytest.mark.parametrize("library", [fg, torch], ids=["fg", "torch"])
def test_shapes_of_the_argument(library: Any) -> None:
    clip = library.nn.utils.clip_grad_norm_
    params = _params(library)
    assert clip([], 1.0).item() == 0.0
    assert clip(params[-1], 1.0).item() == 0.0
    single = clip(params[0], 1.0)
    assert single.shape == () and single.item() > 1
    assert clip((p for p in params[:1]), 1.0).item() == pytest.approx(1.0, rel=1e-5)
    assert library.nn.utils.clip_grad_value_(params[1], 0.1) is None
    assert float(params[1].grad.abs().max()) <= 0.1


@pytest.mark.parametrize("norm_type", [2.0, 1.0, math.inf, 3.0])
def test_inside_a_jitted_step(norm_type: float) -> None:
    """Clipping fused with the update; error_if_nonfinite asks for a value and says so."""
    runs = []
    for library in (fg, torch):
        p = library.nn.Parameter(library.tensor(np.linspace(-2.0, 2.0, 7)))
        optimizer = library.optim.SGD([p], lr=0.1, momentum=0.9)

        def step(
            strict: bool, library: Any = library, p: Any = p, optimizer: Any = optimizer
        ) -> Any:
            optimizer.zero_grad()
            (p**4).sum().backward()
            total = library.nn.utils.clip_grad_norm_([p], 0.7, norm_type, strict)
            library.nn.utils.clip_grad_value_([p], 0.3)
            optimizer.step()
            return total

        run = fg.jit(step) if library is fg else step
        totals = [run(False).item() for _ in range(20)]
        runs.append([*totals, *p.tolist()])
        if library is fg:
            assert len(run.history) == 1
            with pytest.raises(RuntimeError, match="no values yet"):
                run(True)
    np.testing.assert_allclose(*runs, rtol=1e-11)


def test_vectors() -> None:
    ours, theirs = _params(fg), _params(torch)
    for library, params in ((fg, ours), (torch, theirs)):
        size = sum(p.numel() for p in params[:-1])
        vector = library.arange(size, dtype=library.float64)
        library.nn.utils.vector_to_parameters(vector, params[:-1])
        np.testing.assert_array_equal(
            library.nn.utils.parameters_to_vector(params[:-1]).detach().numpy(), np.arange(size)
        )
        with pytest.raises(TypeError):
            library.nn.utils.vector_to_parameters([1.0], params)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())
