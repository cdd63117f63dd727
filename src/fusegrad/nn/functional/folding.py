"""Windows as columns and back (im2col), and shuffles between channels and pixels.

In: an image ``(N, C, H, W)`` or ``(C, H, W)``. Out: all its windows, one column each; or sums of
windows laid over each other. Shuffles are reshapes and permutations.
"""

from __future__ import annotations

import math
from typing import Any

from ...errors import ShapeError
from ...functions.shape import permute, reshape, select, squeeze, stack, unsqueeze
from ...ops import elementwise as ew
from ...tensor import Tensor
from .windows import Axis, entries, taps, untap

__all__ = ["channel_shuffle", "fold", "pixel_shuffle", "pixel_unshuffle", "unfold"]


def _axes(
    name: str,
    extents: tuple[int, ...],
    kernel_size: Any,
    dilation: Any,
    padding: Any,
    stride: Any,
) -> tuple[Axis, Axis]:
    kernel, gaps = entries(kernel_size, 2, "kernel_size"), entries(dilation, 2, "dilation")
    pads, steps = entries(padding, 2, "padding"), entries(stride, 2, "stride")
    found = []
    for k in range(2):
        if kernel[k] < 1 or gaps[k] < 1 or steps[k] < 1 or pads[k] < 0:
            raise ShapeError(
                f"{name} with kernel_size={kernel}, dilation={gaps}, stride={steps}, "
                f"padding={pads}",
                "kernel_size, dilation and stride must be greater than zero, padding not negative.",
            )
        count = (extents[k] + 2 * pads[k] - gaps[k] * (kernel[k] - 1) - 1) // steps[k] + 1
        if count < 1:
            raise ShapeError(
                f"{name} of an image {list(extents)} with kernel_size={kernel}",
                "The windows are larger than the padded image; there must be at least one.",
            )
        found.append(Axis(2 + k, extents[k], kernel[k], steps[k], pads[k], gaps[k], count))
    return found[0], found[1]


def unfold(
    input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    """All windows of an image as columns.

    Args:
        input: ``(N, C, H, W)`` or ``(C, H, W)``.
        kernel_size, dilation, padding, stride: integers or one per axis; padding is zero.

    Returns:
        ``(N, C * kernel elements, windows)``, without N where the input has none.

    Raises:
        RuntimeError: another number of axes, or windows that do not fit.
    """
    if input.aval.ndim not in (3, 4):
        raise ShapeError(
            f"unfold got {input.aval}", "Expected 3D or 4D (batch mode) tensor (N, C, H, W)."
        )
    x = unsqueeze(input, 0) if input.aval.ndim == 3 else input
    rows, columns = _axes("unfold", x.aval.shape[2:], kernel_size, dilation, padding, stride)
    parts = stack([stack(taps(row, columns, 0), 2) for row in taps(x, rows, 0)], 2)
    n, c, kh, kw, oh, ow = parts.aval.shape
    out = reshape(parts, (n, c * kh * kw, oh * ow))
    return squeeze(out, 0) if input.aval.ndim == 3 else out


def fold(
    input: Tensor,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Tensor:
    """Columns of windows added up into an image; the transpose of ``unfold``.

    Args:
        input: ``(N, C * kernel elements, windows)`` or without N.
        output_size: extents of the image.

    Raises:
        RuntimeError: columns that do not belong to such windows.
    """
    if input.aval.ndim not in (2, 3):
        raise ShapeError(
            f"fold got {input.aval}", "Expected 2D or 3D (batch mode) tensor (N, columns, windows)."
        )
    x = unsqueeze(input, 0) if input.aval.ndim == 2 else input
    sizes = entries(output_size, 2, "output_size")
    rows, columns = _axes("fold", sizes, kernel_size, dilation, padding, stride)
    n, height, windows = x.aval.shape
    elements = rows.kernel * columns.kernel
    if height % elements or windows != rows.count * columns.count:
        raise ShapeError(
            f"fold of {input.aval} to {list(sizes)}",
            f"Expected size of input's dimension 1 to be divisible by {elements} and dimension 2 "
            f"to match the {rows.count * columns.count} windows.",
        )
    parts = reshape(
        x, (n, height // elements, rows.kernel, columns.kernel, rows.count, columns.count)
    )
    total: Tensor | None = None
    for i in range(rows.kernel):
        row: Tensor | None = None
        for j in range(columns.kernel):
            part = untap(select(select(parts, 2, i), 2, j), columns, j)
            row = part if row is None else ew.add(row, part)
        assert row is not None
        placed = untap(row, rows, i)
        total = placed if total is None else ew.add(total, placed)
    assert total is not None
    return squeeze(total, 0) if input.aval.ndim == 2 else total


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """``(..., C * r * r, H, W)`` as ``(..., C, H * r, W * r)`` (Shi et al. 2016).

    Raises:
        RuntimeError: fewer than 3 axes, or channels that ``r * r`` does not divide.
    """
    r, shape = upscale_factor, input.aval.shape
    if len(shape) < 3 or r < 1 or shape[-3] % (r * r):
        raise ShapeError(
            f"pixel_shuffle of {input.aval} by {r}",
            f"Expected at least 3 axes, the channels divisible by the square of upscale_factor "
            f"({r * r}).",
        )
    *lead, c, h, w = shape
    x = reshape(input, (math.prod(lead), c // (r * r), r, r, h, w))
    return reshape(permute(x, (0, 1, 4, 2, 5, 3)), (*lead, c // (r * r), h * r, w * r))


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """``(..., C, H * r, W * r)`` as ``(..., C * r * r, H, W)``: the inverse of ``pixel_shuffle``.

    Raises:
        RuntimeError: fewer than 3 axes, or extents that ``r`` does not divide.
    """
    r, shape = downscale_factor, input.aval.shape
    if len(shape) < 3 or r < 1 or shape[-1] % r or shape[-2] % r:
        raise ShapeError(
            f"pixel_unshuffle of {input.aval} by {r}",
            f"Expected at least 3 axes, height and width divisible by downscale_factor ({r}).",
        )
    *lead, c, h, w = shape
    x = reshape(input, (math.prod(lead), c, h // r, r, w // r, r))
    return reshape(permute(x, (0, 1, 3, 5, 2, 4)), (*lead, c * r * r, h // r, w // r))


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Channels of ``(N, C, ...)`` dealt out among groups (Zhang et al. 2018).

    Raises:
        RuntimeError: fewer than 3 axes, or channels that ``groups`` does not divide.
    """
    shape = input.aval.shape
    if len(shape) < 3 or groups < 1 or shape[1] % groups:
        raise ShapeError(
            f"channel_shuffle of {input.aval} in {groups} groups",
            "Expected more than 2 axes, the channels divisible by groups.",
        )
    n, c, *rest = shape
    x = reshape(input, (n, groups, c // groups, *rest))
    return reshape(permute(x, (0, 2, 1, *range(3, len(rest) + 3))), shape)
