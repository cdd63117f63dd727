"""Resizing by separable filters: one small matrix per axis.

Without antialiasing a filter looks at the pixels around a point (bicubic: Keys 1981 with a =
-0.75); with it, the filter is as wide as the pixels it replaces (bicubic with a = -0.5), which is
what Pillow does too. Coordinates have their pixel centres at one half.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable
from typing import Any

import numpy as np


class InterpolationMode(enum.Enum):
    """How pixels between pixels are found."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(1 - np.abs(x), 0)


def _cubic(a: float) -> Callable[[np.ndarray], np.ndarray]:
    def weight(x: np.ndarray) -> np.ndarray:
        x = np.abs(x)
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = ((x - 5) * x + 8) * x * a - 4 * a
        return np.where(x < 1, near, np.where(x < 2, far, 0))

    return weight


@functools.lru_cache(maxsize=64)
def weights(old: int, new: int, mode: InterpolationMode, antialias: bool) -> np.ndarray:
    """Matrix (new, old) of one axis; its rows add up to one."""
    scale, rows = old / new, np.arange(new)
    if mode in (InterpolationMode.NEAREST, InterpolationMode.NEAREST_EXACT):
        shift = 0.5 if mode is InterpolationMode.NEAREST_EXACT else 0.0
        source = np.minimum(np.floor((rows + shift) * scale).astype(int), old - 1)
        return np.eye(old)[source]
    linear = mode is InterpolationMode.BILINEAR
    centre = scale * (rows + 0.5)
    if antialias:
        width = max(scale, 1.0)
        reach = (1 if linear else 2) * width
        columns = np.arange(old)
        low = np.maximum((centre - reach + 0.5).astype(int), 0)[:, None]
        high = np.minimum((centre + reach + 0.5).astype(int), old)[:, None]
        kernel = _triangle if linear else _cubic(-0.5)
        matrix = kernel((columns - centre[:, None] + 0.5) / width)
        matrix = np.where((columns >= low) & (columns < high), matrix, 0)
        return matrix / matrix.sum(1, keepdims=True)
    place = centre - 0.5
    if linear:
        place = np.maximum(place, 0)
    first = np.floor(place).astype(int)
    kernel = _triangle if linear else _cubic(-0.75)
    matrix = np.zeros((new, old))
    for offset in (0, 1) if linear else (-1, 0, 1, 2):
        column = np.clip(first + offset, 0, old - 1)
        np.add.at(matrix, (rows, column), kernel(place - (first + offset)))
    return matrix


def resize(
    image: np.ndarray, size: tuple[int, int], mode: InterpolationMode, antialias: bool
) -> np.ndarray:
    """An array (..., H, W) at another size, in its dtype; integers are rounded."""
    if image.shape[-2:] == size:
        return image
    if mode in (InterpolationMode.NEAREST, InterpolationMode.NEAREST_EXACT):
        rows, columns = (
            weights(old, new, mode, False).argmax(1) for old, new in zip(image.shape[-2:], size)
        )
        return image[..., rows[:, None], columns]
    exact: Any = np.float64 if image.dtype in (np.float64, np.int64, np.int32) else np.float32
    down, across = (
        weights(old, new, mode, antialias).astype(exact) for old, new in zip(image.shape[-2:], size)
    )
    out = down @ (image.astype(exact, copy=False) @ across.T)
    if image.dtype.kind in "iu":
        limits = np.iinfo(image.dtype)
        out = np.clip(np.rint(out), limits.min, limits.max)
    return out.astype(image.dtype, copy=False)
