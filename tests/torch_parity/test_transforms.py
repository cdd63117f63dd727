"""Resizing against PyTorch's interpolation, which torchvision's transforms are made of."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import fusegrad as fg
from fusegrad.vision.transforms import InterpolationMode
from fusegrad.vision.transforms import functional as F

SIZES = [(20, 28), (64, 30), (50, 60), (36, 53), (1, 1), (37, 106)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("mode", list(InterpolationMode))
def test_resize(mode: InterpolationMode, antialias: bool, size: tuple[int, int]) -> None:
    smooth = mode in (InterpolationMode.BILINEAR, InterpolationMode.BICUBIC)
    options = {"align_corners": False, "antialias": antialias} if smooth else {}
    x = np.random.default_rng(0).random((2, 3, 37, 53))
    want = torch.nn.functional.interpolate(torch.from_numpy(x), size, mode=mode.value, **options)
    got = F.resize(fg.tensor(x), size, mode, antialias=antialias)
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("mode", [InterpolationMode.BILINEAR, InterpolationMode.BICUBIC])
def test_bytes_are_rounded(mode: InterpolationMode, antialias: bool) -> None:
    x = np.random.default_rng(0).integers(0, 256, (1, 3, 37, 53), np.uint8)
    options = {"align_corners": False, "antialias": antialias}
    want = torch.nn.functional.interpolate(
        torch.from_numpy(x).float(), (20, 64), mode=mode.value, **options
    )
    want = want.round().clamp(0, 255)
    got = F.resize(fg.tensor(x), (20, 64), mode, antialias=antialias).numpy()
    assert got.dtype == np.uint8
    difference = np.abs(got - want.numpy())
    assert difference.max() <= 1 and (difference > 0).mean() < 1e-3  # ties of the rounding
