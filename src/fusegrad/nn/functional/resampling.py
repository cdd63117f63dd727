"""Resizing signals, images and volumes: nearest, linear, cubic, area.

In: ``(N, C, ...)`` and a size or factors. Out: values at the positions of the new grid, one axis
after the other. Positions and weights depend on the extents only and are constants of a trace.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...dtypes import float32, int32, stored, uint8
from ...errors import ArgumentError, RangeError, ShapeError
from ...functions.common import cast, pointwise, unshared
from ...functions.rounding import rounds_to_input
from ...functions.shape import repeat_interleave
from ...ops import compare as cmp
from ...ops import elementwise as ew
from ...ops import indexing
from ...tensor import Tensor
from .adaptive import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d

__all__ = ["interpolate", "upsample"]

LINEAR = {"linear": 3, "bilinear": 4, "trilinear": 5, "bicubic": 4}
MODES = ("nearest", "nearest-exact", "area", *LINEAR)
AREA = {1: adaptive_avg_pool1d, 2: adaptive_avg_pool2d, 3: adaptive_avg_pool3d}
CUBIC = -0.75  # slope of the cubic convolution kernel (Keys 1981), PyTorch's choice


def _take(x: Tensor, index: np.ndarray, axis: int) -> Tensor:
    return indexing.take(x, Tensor(np.ascontiguousarray(index, np.int64)), axis=axis)


def _nearest(x: Tensor, axis: int, size: int, scale: float, exact: bool) -> Tensor:
    extent = x.aval.shape[axis]
    if size == extent and scale == 1.0:
        return x
    if size % extent == 0 and scale == extent / size:
        return repeat_interleave(x, size // extent, axis)
    kind: Any = np.float32 if x.dtype is float32 else np.float64  # positions round as PyTorch's do
    steps: np.ndarray = np.arange(size, dtype=kind) + kind(0.5 if exact else 0.0)
    return _take(x, np.minimum(np.floor(steps * kind(scale)), extent - 1), axis)


def _positions(size: int, extent: int, scale: float, align_corners: bool) -> np.ndarray:
    if align_corners:
        return np.arange(size) * ((extent - 1) / (size - 1) if size > 1 else 0.0)
    return (np.arange(size) + 0.5) * scale - 0.5


def _mixed(x: Tensor, axis: int, parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> Tensor:
    """Sum over (index, weight) pairs of slices times weights along one axis."""
    if x.dtype is uint8:
        return _mixed_bytes(x, axis, parts)
    total: Tensor | None = None
    for index, weight in parts:
        shape = [1] * x.aval.ndim
        shape[axis] = len(weight)
        factor = Tensor(stored(weight.reshape(shape), x.dtype))
        term = pointwise(ew.mul, _take(x, index, axis), factor)
        total = term if total is None else ew.add(total, term)
    assert total is not None
    return total


def _mixed_bytes(x: Tensor, axis: int, parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> Tensor:
    """``_mixed`` of bytes, rounded, with PyTorch's weights: as many bits as 15 can hold."""
    parts = [(index.astype(int), weight.copy()) for index, weight in parts]
    for k, (index, weight) in enumerate(parts):  # taps that the border puts together are one
        for other, into in parts[:k]:
            same = index == other
            into += np.where(same, weight, 0.0)
            weight[same] = 0.0
    most = max(float(weight.max()) for _, weight in parts)
    bits = next(b for b in range(22) if int(0.5 + most * 2 ** (b + 1)) >= 2**15)
    view = [-1 if k == axis else 1 for k in range(x.aval.ndim)]
    total: Tensor | int = 1 << (bits - 1)
    for index, weight in parts:
        whole = np.trunc(weight * 2**bits + np.copysign(0.5, weight)).astype(np.int32)
        term = pointwise(ew.mul, cast(_take(x, index, axis), int32), Tensor(whole.reshape(view)))
        total = pointwise(ew.add, term, total)
    shifted = cmp.shift_right(total, bits)
    return cast(ew.minimum(ew.maximum(shifted, 0), 255), uint8)


def _linear(x: Tensor, axis: int, size: int, scale: float, align_corners: bool) -> Tensor:
    extent = x.aval.shape[axis]
    at = np.maximum(_positions(size, extent, scale, align_corners), 0.0)
    low = np.minimum(np.floor(at), extent - 1)
    share = np.clip(at - low, 0.0, 1.0)
    return _mixed(x, axis, [(low, 1.0 - share), (np.minimum(low + 1, extent - 1), share)])


def _cubic(x: Tensor, axis: int, size: int, scale: float, align_corners: bool) -> Tensor:
    extent = x.aval.shape[axis]
    at = _positions(size, extent, scale, align_corners)
    low = np.floor(at)
    t = at - low

    def near(d: np.ndarray) -> np.ndarray:
        return ((CUBIC + 2) * d - (CUBIC + 3)) * d * d + 1

    def far(d: np.ndarray) -> np.ndarray:
        return ((CUBIC * d - 5 * CUBIC) * d + 8 * CUBIC) * d - 4 * CUBIC

    weights = (far(t + 1), near(t), near(1 - t), far(2 - t))
    return _mixed(
        x,
        axis,
        [(np.clip(low + k - 1, 0, extent - 1), w) for k, w in enumerate(weights)],
    )


def _target(
    input: Tensor, size: Any, scale_factor: Any, recompute: bool | None
) -> tuple[list[int], list[float]]:
    """Extents of the result and, per axis, how far apart its positions are in the input."""
    extents = input.aval.shape[2:]
    n = len(extents)
    if (size is None) == (scale_factor is None):
        raise ArgumentError(
            f"interpolate with size={size} and scale_factor={scale_factor}",
            "only one of size or scale_factor should be defined, and one must be.",
        )
    given = size if size is not None else scale_factor
    values = list(given) if isinstance(given, Sequence) else [given] * n
    if len(values) != n:
        raise ArgumentError(
            f"interpolate of {input.aval} with {given}",
            f"Input and output must have the same number of spatial dimensions ({n}).",
        )
    if size is not None:
        sizes, apart = [int(v) for v in values], None
    else:
        sizes = [int(np.floor(e * v)) for e, v in zip(extents, values, strict=True)]
        apart = None if recompute else [1.0 / v for v in values]
    if min(sizes, default=1) < 1:
        raise ArgumentError(
            f"interpolate of {input.aval} to {sizes}", "Output sizes must be greater than 0."
        )
    if apart is None:
        apart = [e / s for e, s in zip(extents, sizes, strict=True)]
    return sizes, apart


@rounds_to_input
def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Resize ``(N, C, L)``, ``(N, C, H, W)`` or ``(N, C, D, H, W)``.

    Args:
        size: the new extents, or
        scale_factor: their multiple of the old ones.
        mode: ``nearest``, ``nearest-exact``, ``linear`` (3 axes), ``bilinear`` or ``bicubic`` (4),
            ``trilinear`` (5) or ``area``.
        align_corners: the corners of both grids coincide, instead of their borders.
        recompute_scale_factor: positions follow the rounded size instead of the factor given.
        antialias: not available.

    Raises:
        RuntimeError: an unknown mode, or one for another number of axes.
        ValueError: options that do not go together; ``antialias``.

    Example:
        >>> import fusegrad as fg
        >>> x = fg.tensor([[[0.0, 2.0]]])
        >>> fg.nn.functional.interpolate(x, size=3, mode="linear", align_corners=True).tolist()
        [[[0.0, 1.0, 2.0]]]
    """
    ndim = input.aval.ndim
    if mode not in MODES or ndim not in (3, 4, 5) or LINEAR.get(mode, ndim) != ndim:
        raise (RangeError if mode not in MODES else ShapeError)(
            f"interpolate of {input.aval} with mode={mode!r}",
            "Input is 3D, 4D or 5D; linear takes 3D, bilinear and bicubic 4D, trilinear 5D.",
            f"mode in {MODES}",
        )
    if antialias:
        raise ArgumentError(
            "interpolate with antialias=True",
            "Anti-aliased resampling is not available.",
            "a blur before, or mode='area'",
        )
    if align_corners is not None and mode not in LINEAR:
        raise ArgumentError(
            f"interpolate with mode={mode!r} and align_corners={align_corners}",
            "align_corners option can only be set with the interpolating modes: linear | bilinear "
            "| bicubic | trilinear.",
        )
    sizes, apart = _target(input, size, scale_factor, recompute_scale_factor)
    if mode == "area":
        return AREA[ndim - 2](input, sizes)
    x = input
    for k in reversed(range(ndim - 2)):
        if mode == "bicubic":
            x = _cubic(x, 2 + k, sizes[k], apart[k], bool(align_corners))
        elif mode in LINEAR:
            x = _linear(x, 2 + k, sizes[k], apart[k], bool(align_corners))
        else:
            x = _nearest(x, 2 + k, sizes[k], apart[k], mode == "nearest-exact")
    return unshared(x, input)


def upsample(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """Deprecated name of ``interpolate``."""
    warnings.warn(
        "`nn.functional.upsample` is deprecated. Use `nn.functional.interpolate` instead.",
        stacklevel=2,
    )
    return interpolate(input, size, scale_factor, mode, align_corners)
