"""grid_sample, affine_grid and other forms of layers' functions against torch, compiled as well."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from surface_check import check

import fusegrad as fg
import fusegrad.nn.functional as F
from fusegrad.testing import difference

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
RNG = np.random.default_rng(3)
IMAGE, GRID = RNG.normal(size=(2, 2, 3, 4)), RNG.normal(size=(2, 3, 2, 2)) * 1.3
VOLUME, PLACES = RNG.normal(size=(1, 2, 2, 3, 4)), RNG.normal(size=(1, 2, 2, 1, 3)) * 1.3
MODES, PADDINGS = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.fuzz)])
@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("mode", MODES)
def test_grid_sample(mode: str, padding: str, align: bool, compiled: bool) -> None:
    """By default every mode and padding are compiled with one of the alignments, volumes less."""
    turn = MODES.index(mode) - PADDINGS.index(padding)
    image = compiled or align == (turn % 2 == 0)
    volume = compiled or (image and turn == 0)

    def sampled(m: Any, x: Any, g: Any) -> Any:
        return m.nn.functional.grid_sample(x, g, mode, padding, align)

    check(sampled, (IMAGE, GRID), 1, image)  # torch has no second derivative by the grid
    if mode != "bicubic":
        check(sampled, (VOLUME, PLACES), 1, volume)


def test_grid_sample_has_second_derivatives() -> None:
    x = fg.tensor(IMAGE[:1, :1], requires_grad=True)
    grid = fg.tensor(GRID[:1] * 0.5, requires_grad=True)

    def function(x: Any, grid: Any) -> Any:
        return F.grid_sample(x, grid, "bicubic", align_corners=False).square()

    assert fg.autograd.gradgradcheck(function, (x, grid))


def test_grid_sample_at_special_positions() -> None:
    """nan, infinities, the ends themselves and far outside; torch's choices in float32."""
    nan, inf = np.nan, np.inf
    rows = [[nan, 0], [inf, 0], [-inf, 0.5], [1, 1], [-1, -1], [1e20, 0.3], [3, 0], [5, -7]]
    grid = np.array(rows, np.float32).reshape(1, 2, 4, 2)
    image = IMAGE[:1].astype(np.float32)
    for mode, padding, align in itertools.product(MODES, PADDINGS, (False, True)):
        want = torch.nn.functional.grid_sample(
            torch.from_numpy(image), torch.from_numpy(grid), mode, padding, align
        )
        found = F.grid_sample(fg.tensor(image), fg.tensor(grid), mode, padding, align)
        problem = difference(want.numpy(), found.numpy(), rtol=1e-4, atol=1e-5)
        assert not problem, (mode, padding, align, problem)


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("size", [(2, 1, 3, 4), (2, 1, 1, 2), (2, 1, 2, 3, 1)])
def test_affine_grid(size: tuple[int, ...], align: bool) -> None:
    n = len(size) - 2
    theta = RNG.normal(size=(2, n, n + 1))
    check(lambda m, t: m.nn.functional.affine_grid(t, size, align), (theta,))


CASES: dict[str, tuple[Any, ...]] = {
    "pdist": (lambda m, x: m.pdist(x), RNG.normal(size=(4, 3))),
    "pdist 1": (lambda m, x: m.pdist(x, 1.0), RNG.normal(size=(4, 3))),
    "pdist 3": (lambda m, x: m.nn.functional.pdist(x, 3.0), RNG.normal(size=(4, 3))),
    "pdist inf": (lambda m, x: m.pdist(x, float("inf")), RNG.normal(size=(4, 3))),
    "pdist one": (lambda m, x: m.pdist(x), RNG.normal(size=(1, 3))),
    "conv_tbc": (
        lambda m, x, w, b: m.conv_tbc(x.contiguous(), w, b, 1),
        RNG.normal(size=(5, 2, 3)), RNG.normal(size=(2, 3, 4)), RNG.normal(size=4),
    ),
    "places": (lambda m, x: m.nn.functional.max_pool2d_with_indices(x, 2), IMAGE),
    "places of adaptive": (
        lambda m, x: m.nn.functional.adaptive_max_pool2d_with_indices(x, (2, 3)), IMAGE
    ),
    "upsample_nearest": (
        lambda m, x: m.nn.functional.upsample_nearest(x, scale_factor=2), IMAGE
    ),
    "upsample_bilinear": (lambda m, x: m.nn.functional.upsample_bilinear(x, (5, 5)), IMAGE),
    "batch_norm": (
        lambda m, x, w, b: m.batch_norm(x, w, b, None, None, True, 0.1, 1e-5, False),
        IMAGE, RNG.normal(size=2), RNG.normal(size=2),
    ),
    "native_batch_norm": (
        lambda m, x: m.native_batch_norm(x, None, None, None, None, True, 0.1, 1e-5), IMAGE
    ),
    "native_layer_norm": (lambda m, x: m.native_layer_norm(x, (4,), None, None, 1e-5), IMAGE),
    "native_group_norm": (
        lambda m, x: m.native_group_norm(x.contiguous(), None, None, 2, 2, 12, 2, 1e-5)[0], IMAGE
    ),
    "embedding": (lambda m, w: m.embedding(w, m.tensor([[0, 2], [1, 1]]), 1), IMAGE[0, 0]),
    "convolution": (
        lambda m, x, w: m.convolution(x, w, None, [2], [1, 0], [1], True, [1, 0], 1),
        IMAGE, RNG.normal(size=(2, 3, 2, 2)),
    ),
    "reductions": (
        lambda m, x, y: (
            m.kl_div(x, y, 2), m.poisson_nll_loss(x, y, True, False, 1e-8, 0),
            m.hinge_embedding_loss(x, y.detach().sign(), 0.5, 1),
        ),
        IMAGE, IMAGE + 3.0,
    ),
    "norm_except_dim": (lambda m, x: m.norm_except_dim(x, 2, 1), IMAGE),
    "cells": (
        lambda m, x, h, w, u, b: m.lstm_cell(x, (h, h), w, u, b, b),
        RNG.normal(size=(2, 3)), RNG.normal(size=(2, 2)), RNG.normal(size=(8, 3)),
        RNG.normal(size=(8, 2)), RNG.normal(size=8),
    ),
    "native_channel_shuffle": (lambda m, x: m.native_channel_shuffle(x, 2), IMAGE),
    "linear_cross_entropy": (
        lambda m, x, w, b: m.nn.functional.linear_cross_entropy(
            x, w, m.tensor([[0, 2], [1, 1]]), linear_bias=b, label_smoothing=0.1
        ),
        RNG.normal(size=(2, 3)), RNG.normal(size=(3, 2, 3)), RNG.normal(size=(3, 2)),
    ),
}  # fmt: skip


ORDER = {"pdist": 1, "native_channel_shuffle": 0}  # torch's


@pytest.mark.parametrize("name", CASES)
def test_as_torch(name: str) -> None:
    function, *arrays = CASES[name]
    check(function, arrays, order=ORDER.get(name.split()[0], 2))


def test_dropout_of_the_top_level() -> None:
    x = fg.ones(1000)
    out, kept = fg.native_dropout(x, 0.5, True)
    assert fg.equal(out, kept * 2.0) and 400 < kept.sum().item() < 600
    assert fg.equal(fg.dropout(x, 0.5, False), x)
    assert fg.feature_dropout(fg.ones(50, 3, 4, 4), 0.5, True).flatten(2).std(-1).max().item() == 0
    assert fg.dropout_(x, 0.5, True) is x and 400 < (x > 0).sum().item() < 600


def test_pdist_of_equal_rows_has_gradient_zero() -> None:
    for p in (0.0, 1.0, 2.0, 3.0):
        x = fg.ones(3, 2, requires_grad=True)
        fg.pdist(x, p).sum().backward()
        assert x.grad.tolist() == [[0.0, 0.0]] * 3


@pytest.mark.parametrize(
    ("error", "wrong"),
    [
        (ValueError, lambda m, f: f.grid_sample(m.ones(1, 1, 2, 2), m.zeros(1, 1, 1, 2), "cubic")),
        (
            ValueError,
            lambda m, f: f.grid_sample(
                m.ones(1, 1, 2, 2), m.zeros(1, 1, 1, 2), padding_mode="wrap"
            ),
        ),
        (RuntimeError, lambda m, f: f.grid_sample(m.ones(1, 1, 2, 2), m.zeros(2, 1, 1, 2))),
        (RuntimeError, lambda m, f: f.grid_sample(m.ones(1, 1, 2, 2), m.zeros(1, 1, 1, 3))),
        (RuntimeError, lambda m, f: f.grid_sample(m.ones(1, 2, 2), m.zeros(1, 1, 1, 2))),
        (
            RuntimeError,
            lambda m, f: f.grid_sample(m.ones(1, 1, 2, 2).double(), m.zeros(1, 1, 1, 2)),
        ),
        (
            RuntimeError,
            lambda m, f: f.grid_sample(m.ones(1, 1, 2, 2, 2), m.zeros(1, 1, 1, 1, 3), "bicubic"),
        ),
        (ValueError, lambda m, f: f.affine_grid(m.ones(1, 2, 2), (1, 1, 2, 2))),
        (ValueError, lambda m, f: f.affine_grid(m.ones(1, 2, 3).long(), (1, 1, 2, 2))),
        (ValueError, lambda m, f: f.affine_grid(m.ones(1, 2, 3), (1, 1, 0, 2))),
        (RuntimeError, lambda m, f: f.affine_grid(m.ones(1, 2, 3), (2, 1, 1, 2))),
        (RuntimeError, lambda m, f: f.pdist(m.ones(3))),
        (RuntimeError, lambda m, f: f.pdist(m.ones(3, 2), -1.0)),
        (RuntimeError, lambda m, f: f.conv_tbc(m.ones(3, 2), m.ones(1, 2, 2), m.ones(2))),
        (
            RuntimeError,
            lambda m, f: f.linear_cross_entropy(m.ones(2, 3), m.ones(4, 2), m.zeros(2).long()),
        ),
    ],
)
def test_errors_as_torch(error: type[Exception], wrong: Any) -> None:
    for m in (torch, fg):
        with pytest.raises(error):
            wrong(m, m.nn.functional)
