"""Reading images at positions that are computed: ``grid_sample``, and affine grids for it.

In: ``(N, C, *extents)`` and a grid ``(N, *places, n)`` of positions in [-1, 1], x first. Out:
``(N, C, *places)``. All of it is arithmetic on the positions and gathers of single elements, so
gradients by the input (scatters) and by the grid exist to any order and compile.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...dtypes import int64
from ...errors import ArgumentError, ArgumentTypeError, DTypeError, RangeError, ShapeError
from ...functions.common import broadcast_to
from ...functions.linear import bmm
from ...functions.rounding import rounds_once
from ...functions.shape import reshape, select, transpose
from ...ops import compare as cmp
from ...ops import elementwise as ew
from ...ops import indexing
from ...tensor import Tensor
from .resampling import CUBIC

__all__ = [
    "affine_grid", "affine_grid_generator", "grid_sample", "grid_sampler", "grid_sampler_2d",
    "grid_sampler_3d",
]  # fmt: skip

MODES = ("bilinear", "nearest", "bicubic")
PADDINGS = ("zeros", "border", "reflection")
_CHANGED = (
    "Default {} and affine_grid behavior has changed to align_corners=False; specify it explicitly."
)


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """Values of an image or volume at the positions of a grid.

    Args:
        input: ``(N, C, H, W)`` or ``(N, C, D, H, W)``.
        grid: ``(N, *places, 2)`` or ``(N, *places, 3)`` of the dtype of ``input``: positions (x, y)
            or (x, y, z); -1 and 1 are the ends of an axis.
        mode: ``bilinear`` (trilinear in volumes), ``nearest`` or ``bicubic`` (images only; the
            cubic convolution of Keys 1981 with slope -0.75).
        padding_mode: what is outside: ``zeros``, the ``border``, or its ``reflection``.
        align_corners: -1 and 1 are the centres of the outermost elements, not their outer edges.

    Returns:
        ``(N, C, *places)``.

    Raises:
        ValueError: an unknown mode.
        RuntimeError: shapes or dtypes that do not fit; ``bicubic`` of a volume.

    Example:
        >>> import fusegrad as fg
        >>> x, middle = fg.tensor([[[[0.0, 1.0], [2.0, 3.0]]]]), fg.zeros(1, 1, 1, 2)
        >>> fg.nn.functional.grid_sample(x, middle, align_corners=True).item()
        1.5
    """
    if mode not in MODES:
        raise ArgumentError(
            f"grid_sample with mode={mode!r}",
            "expected mode to be 'bilinear', 'nearest' or 'bicubic'.",
        )
    if padding_mode not in PADDINGS:
        raise ArgumentError(
            f"grid_sample with padding_mode={padding_mode!r}",
            "expected padding_mode to be 'zeros', 'border', or 'reflection'.",
        )
    if align_corners is None:
        warnings.warn(_CHANGED.format("grid_sample"), stacklevel=2)
    return grid_sampler(
        input, grid, MODES.index(mode), PADDINGS.index(padding_mode), bool(align_corners)
    )


def _check(input: Tensor, grid: Tensor, mode: int) -> None:
    n = input.aval.ndim - 2
    why = ""
    if n not in (2, 3) or grid.aval.ndim != n + 2:
        why = "expected 4D or 5D input and grid with same number of dimensions"
    elif input.aval.shape[0] != grid.aval.shape[0]:
        why = "expected grid and input to have same batch size"
    elif grid.aval.shape[-1] != n:
        why = f"expected grid to have size {n} in last dimension"
    elif 0 in input.aval.shape[2:]:
        why = "expected input to have non-empty spatial dimensions"
    elif mode == 2 and n == 3:
        why = "bicubic interpolation only supports 4D input"
    if why:
        raise ShapeError(f"grid_sampler of {input.aval} at {grid.aval}", why)
    if input.dtype is not grid.dtype:
        raise DTypeError(
            f"grid_sampler of {input.aval} at {grid.aval}",
            "expected input and grid to have same dtype.",
            "grid.to(input.dtype)",
        )


@rounds_once
def grid_sampler(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """``grid_sample`` with modes by number: 0 bilinear, 1 nearest, 2 bicubic; and 0 zeros,
    1 border, 2 reflection."""
    if interpolation_mode not in range(3) or padding_mode not in range(3):
        raise RangeError(
            f"grid_sampler with modes {interpolation_mode} and {padding_mode}", "They are 0, 1, 2."
        )
    _check(input, grid, interpolation_mode)
    n = input.aval.ndim - 2
    extents = input.aval.shape[2:]
    count = math.prod(grid.aval.shape[1:-1])
    flat = reshape(grid, (grid.aval.shape[0], count, n))
    # positions along the axes of the input: the grid names the last one first
    at = [
        _unnormalised(select(flat, 2, n - 1 - k), extent, align_corners)
        for k, extent in enumerate(extents)
    ]
    image = reshape(input, (*input.aval.shape[:2], math.prod(extents)))
    reader = _Reader(image, extents, padding_mode, align_corners)
    if interpolation_mode == 2:
        out = _bicubic(reader, at)
    else:
        at = [reader.folded(x, extent) for x, extent in zip(at, extents, strict=True)]
        out = _nearest(reader, at) if interpolation_mode else _linear(reader, at)
    return reshape(out, (*input.aval.shape[:2], *grid.aval.shape[1:-1]))


grid_sampler_2d = grid_sampler_3d = grid_sampler


def _unnormalised(x: Tensor, extent: int, align_corners: bool) -> Tensor:
    if align_corners:
        return ew.mul(ew.mul(ew.add(x, 1.0), 0.5), float(extent - 1))
    return ew.mul(ew.sub(ew.mul(ew.add(x, 1.0), float(extent)), 1.0), 0.5)


class _Reader:
    """Elements of ``(N, C, size)`` at whole positions ``(N, count)``, one tensor per axis."""

    def __init__(
        self, image: Tensor, extents: Sequence[int], padding: int, align_corners: bool
    ) -> None:
        self.image = image
        self.extents = extents
        self.padding = padding
        self.align_corners = align_corners

    def folded(self, x: Tensor, extent: int) -> Tensor:
        """Positions outside moved inside, where the padding says so.

        The gradient is zero where the border holds a position: the border itself counts as outside.
        """
        if self.padding == 0:
            return x
        if self.padding == 2:
            ends = (0.0, extent - 1.0) if self.align_corners else (-0.5, extent - 0.5)
            x = _reflected(x, *ends)
        inside = cmp.gt(x, 0.0)
        x = cmp.where(inside, x, 0.0)
        return cmp.where(cmp.lt(x, extent - 1.0), x, extent - 1.0)

    def read(self, places: Sequence[Tensor]) -> Tensor:
        """The elements, zero outside; ``places`` are whole numbers in a floating dtype."""
        index: Any = None
        valid: Any = None
        for place, extent in zip(places, self.extents, strict=True):
            here = cmp.and_(cmp.ge(place, 0.0), cmp.le(place, extent - 1.0))
            step = cmp.convert(cmp.where(here, place, 0.0), dtype=int64)
            index = step if index is None else ew.add(ew.mul(index, extent), step)
            valid = here if valid is None else cmp.and_(valid, here)
        shape = (*self.image.aval.shape[:2], index.aval.shape[1])
        found = indexing.take_along(self.image, _over_channels(index, shape), axis=2)
        return cmp.where(_over_channels(valid, shape), found, 0.0)


def _over_channels(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    return broadcast_to(reshape(x, (x.aval.shape[0], 1, x.aval.shape[1])), shape)


def _reflected(x: Tensor, low: float, high: float) -> Tensor:
    """``x`` mirrored at both ends until it is between them."""
    span = high - low
    if span == 0:
        return ew.mul(x, 0.0)
    shifted = ew.sub(x, low)
    distance = cmp.where(cmp.lt(shifted, 0.0), ew.neg(shifted), shifted)
    turns = ew.floor(ew.div(distance.detach(), span))  # type: ignore[attr-defined]
    rest = ew.fmod(distance, span)
    even = cmp.eq(ew.fmod(turns, 2.0), 0.0)
    return cmp.where(even, ew.add(rest, low), ew.sub(high, rest))


def _nearest(reader: _Reader, at: Sequence[Tensor]) -> Tensor:
    return reader.read([ew.round_(x) for x in at])


def _linear(reader: _Reader, at: Sequence[Tensor]) -> Tensor:
    low = [ew.floor(x.detach()) for x in at]  # type: ignore[attr-defined]
    share = [ew.sub(x, f) for x, f in zip(at, low, strict=True)]
    total: Any = None
    for corner in itertools.product((0, 1), repeat=len(at)):
        weight: Any = None
        for upper, s in zip(corner, share, strict=True):
            part = s if upper else ew.sub(1.0, s)
            weight = part if weight is None else ew.mul(weight, part)
        value = reader.read([ew.add(f, float(c)) for f, c in zip(low, corner, strict=True)])
        term = ew.mul(value, _over_channels(weight, value.aval.shape))
        total = term if total is None else ew.add(total, term)
    return total


def _bicubic(reader: _Reader, at: Sequence[Tensor]) -> Tensor:
    low = [ew.floor(x.detach()) for x in at]  # type: ignore[attr-defined]
    weights = [_cubic_weights(ew.sub(x, f)) for x, f in zip(at, low, strict=True)]
    total: Any = None
    for i in range(4):
        row: Any = None
        for j in range(4):
            place = [
                reader.folded(ew.add(f, d - 1.0), extent)
                for f, d, extent in zip(low, (i, j), reader.extents, strict=True)
            ]
            value = reader.read(place)
            term = ew.mul(value, _over_channels(weights[1][j], value.aval.shape))
            row = term if row is None else ew.add(row, term)
        term = ew.mul(row, _over_channels(weights[0][i], row.aval.shape))
        total = term if total is None else ew.add(total, term)
    return total


def _cubic_weights(t: Tensor) -> list[Tensor]:
    """Weights of the four elements around a position that is ``t`` behind the second."""

    def near(d: Tensor) -> Tensor:
        inner = ew.mul(ew.sub(ew.mul(d, CUBIC + 2), CUBIC + 3), d)
        return ew.add(ew.mul(inner, d), 1.0)  # |d| <= 1

    def far(d: Tensor) -> Tensor:
        inner = ew.add(ew.mul(ew.sub(ew.mul(d, CUBIC), 5 * CUBIC), d), 8 * CUBIC)
        return ew.sub(ew.mul(inner, d), 4 * CUBIC)  # 1 <= |d| <= 2

    return [far(ew.add(t, 1.0)), near(t), near(ew.sub(1.0, t)), far(ew.sub(2.0, t))]


# --- grids ----------------------------------------------------------------------------------------
def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """The grid that ``grid_sample`` needs to apply affine maps.

    Args:
        theta: ``(N, 2, 3)`` or ``(N, 3, 4)``, one matrix per image.
        size: shape of the result of ``grid_sample``: ``(N, C, H, W)`` or ``(N, C, D, H, W)``.
        align_corners: as in ``grid_sample``.

    Returns:
        ``(N, H, W, 2)`` or ``(N, D, H, W, 3)``, positions (x, y) or (x, y, z).

    Raises:
        ValueError: a dtype or shape of ``theta`` that does not fit ``size``, an empty ``size``.

    Example:
        >>> import fusegrad as fg
        >>> same = fg.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
        >>> fg.nn.functional.affine_grid(same, (1, 1, 1, 2), align_corners=True).tolist()
        [[[[-1.0, 0.0], [1.0, 0.0]]]]
    """
    if not isinstance(theta, Tensor):
        raise ArgumentTypeError(f"affine_grid of {type(theta).__name__}", "It takes a tensor.")
    if not theta.dtype.is_floating_point:
        raise ArgumentError(
            f"affine_grid of {theta.aval}", "Expected theta to have floating point type."
        )
    n = len(size) - 2
    if n not in (2, 3) or theta.aval.ndim != 3 or theta.aval.shape[1:] != (n, n + 1):
        raise (ArgumentError if n in (2, 3) else ShapeError)(
            f"affine_grid of {theta.aval} to size {list(size)}",
            "Expected a batch of 2D affine matrices of shape Nx2x3 for size NxCxHxW or of 3D ones "
            "of shape Nx3x4 for size NxCxDxHxW.",
        )
    if align_corners is None:
        warnings.warn(_CHANGED.format("grid_sample"), stacklevel=2)
    if min(size) <= 0:
        raise ArgumentError(
            f"affine_grid to size {list(size)}", "Expected non-zero, positive output size."
        )
    return affine_grid_generator(theta, size, bool(align_corners))


def affine_grid_generator(theta: Tensor, size: Sequence[int], align_corners: bool) -> Tensor:
    """``affine_grid`` without its checks of the arguments."""
    n = len(size) - 2
    places = tuple(int(e) for e in size[2:])
    base = np.ones((*places, n + 1), theta.dtype.np)
    for k, extent in enumerate(places):
        along = np.linspace(-1.0, 1.0, extent) if extent > 1 else np.zeros(1)
        if not align_corners:
            along = along * ((extent - 1) / extent)
        base[..., n - 1 - k] = along.reshape([-1 if j == k else 1 for j in range(n)])
    count = int(size[0])
    if theta.aval.shape[0] != count:
        raise ShapeError(
            f"affine_grid of {theta.aval} to size {list(size)}", "Both batches have one size."
        )
    rows = broadcast_to(Tensor(base.reshape(1, -1, n + 1)), (count, math.prod(places), n + 1))
    return reshape(bmm(rows, transpose(theta, 1, 2)), (count, *places, n))
