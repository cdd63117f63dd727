"""Numbers taken apart, finite differences, histograms, segments, positions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import dtypes
from ..dtypes import DType, int64
from ..errors import ArgumentError, ArgumentTypeError, DTypeError, RangeError, ShapeError
from ..ir.graph import Var
from ..ops import compare as cmp
from ..ops import elementwise as ew
from ..ops import indexing, movement, source, whole
from ..ops import transcendental as tr
from ..tensor import Tensor
from . import conversion, counting
from .common import axis_of, broadcast_to, cast, method
from .creation import arange, full
from .elementary import _pair
from .placement import factory
from .pointwise import where
from .reduction import amax, amin, sum
from .shape import cat, narrow, reshape, select, stack
from .sorting import searchsorted
from .twins import in_place

__all__ = [
    "frexp", "gradient", "histogram", "histogramdd", "is_same_size", "is_signed", "nextafter",
    "nonzero_static", "range", "typename", "unravel_index",
]  # fmt: skip


builtin_range = range  # the name of a function below


# --- parts of numbers -----------------------------------------------------------------------------
@method()
def frexp(input: Tensor) -> tuple[Tensor, Tensor]:
    """Mantissas in [1/2, 1) and int32 exponents: ``input = mantissa * 2 ** exponent``.

    Example:
        >>> import fusegrad as fg
        >>> mantissa, exponent = fg.frexp(fg.tensor([6.0]))
        >>> mantissa.tolist(), exponent.tolist()
        ([0.75], [3])
    """
    if not input.dtype.is_floating_point:
        raise DTypeError(f"frexp of {input.aval}", "torch.frexp() only supports floating dtypes.")
    power = whole.exponent(input.detach())  # type: ignore[attr-defined]
    half = cmp.shift_right(power, 1)  # two steps: 2 ** -exponent of a subnormal overflows
    mantissa = input
    for part in (half, ew.sub(power, half)):
        mantissa = ew.mul(mantissa, tr.exp2(ew.neg(cast(part, input.dtype))))
    return mantissa, power


@method()
def nextafter(input: Tensor, other: Tensor) -> Tensor:
    """The next representable number after ``input`` in the direction of ``other``; on the host.

    Example:
        >>> import fusegrad as fg
        >>> (fg.nextafter(fg.tensor(1.0), fg.tensor(2.0)) - 1).item() == 2.0**-23
        True
    """
    return whole.nextafter(*_pair("nextafter", input, other))


in_place("nextafter_", nextafter)


# --- differences ----------------------------------------------------------------------------------
def gradient(
    input: Tensor, *, spacing: Any = 1, dim: Any = None, edge_order: int = 1
) -> tuple[Tensor, ...]:
    """Estimated derivatives along axes: central differences, one-sided ones at the ends.

    Args:
        spacing: distance of the samples, one for all axes, one per axis, or a tensor of coordinates
            per axis.
        dim: an axis or several; all by default.
        edge_order: accuracy of the ends, 1 or 2.

    Raises:
        RuntimeError: fewer than ``edge_order + 1`` samples, or spacings that do not fit.

    Example:
        >>> import fusegrad as fg
        >>> fg.gradient(fg.tensor([1.0, 4.0, 9.0]))[0].tolist()
        [3.0, 4.0, 5.0]
    """
    ndim = input.aval.ndim
    spacing = 1 if spacing is None else spacing
    axes = list(dim) if isinstance(dim, (list, tuple)) else [dim]
    if dim is None:
        many = isinstance(spacing, (list, tuple))
        axes = list(builtin_range(len(spacing) if many else ndim))
    axes = [axis_of(a, ndim) for a in axes]
    steps = list(spacing) if isinstance(spacing, (list, tuple)) else [spacing] * len(axes)
    if len(steps) != len(axes) or len(set(axes)) != len(axes) or edge_order not in (1, 2):
        raise RangeError(
            f"gradient of {input.aval} along {axes} with {len(steps)} spacings, "
            f"edge_order={edge_order}",
            "expected one spacing for each of several distinct axes, and edge_order 1 or 2.",
        )
    if any(input.aval.shape[a] < edge_order + 1 for a in axes):
        raise RangeError(
            f"gradient of {input.aval}",
            "expected each dimension size to be at least edge_order+1.",
        )
    x = input if input.dtype.category >= 2 else cast(input, dtypes.get_default_dtype())
    if input.dtype.category < 2 and any(isinstance(s, Tensor) for s in steps):
        kinds = [s.dtype for s in steps if isinstance(s, Tensor) and s.dtype.category >= 2]
        x = cast(input, kinds[0]) if kinds else x
    return tuple(_along(x, a, s, edge_order) for a, s in zip(axes, steps, strict=True))


def _along(x: Tensor, axis: int, spacing: Any, order: int) -> Tensor:
    n = x.aval.shape[axis]

    def part(start: int, count: int) -> Tensor:
        return narrow(x, axis, start, count)

    if isinstance(spacing, Tensor) and spacing.aval.ndim:
        return _uneven(part, _gaps(x, axis, spacing), n, order, axis)
    ends: tuple[Any, Any]
    middle = (part(2, n - 2) - part(0, n - 2)) / (2 * spacing)  # type: ignore[operator]
    if order == 1:
        ends = ((part(1, 1) - part(0, 1)) / spacing, (part(n - 1, 1) - part(n - 2, 1)) / spacing)  # type: ignore[operator]
    else:
        ends = (
            (part(1, 1) * 4 - part(0, 1) * 3 - part(2, 1)) / (2 * spacing),  # type: ignore[operator]
            (part(n - 1, 1) * 3 - part(n - 2, 1) * 4 + part(n - 3, 1)) / (2 * spacing),  # type: ignore[operator]
        )
    return cat([ends[0], middle, ends[1]], axis)


def _gaps(x: Tensor, axis: int, places: Tensor) -> Callable[[int, int], Any]:
    """Distances of neighbours, as factors along ``axis``."""
    if places.aval.shape != (x.aval.shape[axis],):
        raise ShapeError(
            f"gradient of {x.aval} at coordinates {places.aval}",
            "expected one coordinate for each sample of the axis.",
        )
    at = cast(places, x.dtype)
    size = places.aval.shape[0]
    gaps = narrow(at, 0, 1, size - 1) - narrow(at, 0, 0, size - 1)  # type: ignore[operator]
    shaped = reshape(gaps, [-1 if k == axis else 1 for k in builtin_range(x.aval.ndim)])
    return lambda start, count: narrow(shaped, axis, start, count)


def _uneven(part: Any, gap: Any, n: int, order: int, axis: int) -> Tensor:
    """Differences on an uneven grid, exact for parabolas (for lines at ends of order 1)."""
    h, k = gap(0, n - 2), gap(1, n - 2)
    middle = (
        part(0, n - 2) * (-k / (h * (h + k)))
        + part(1, n - 2) * ((k - h) / (h * k))
        + part(2, n - 2) * (h / (k * (h + k)))
    )
    first, last = gap(0, 1), gap(n - 2, 1)
    if order == 1:
        low, high = (part(1, 1) - part(0, 1)) / first, (part(n - 1, 1) - part(n - 2, 1)) / last
    else:
        second, before = gap(1, 1), gap(n - 3, 1)
        low = (
            part(0, 1) * (-(2 * first + second) / (first * (first + second)))
            + part(1, 1) * ((first + second) / (first * second))
            - part(2, 1) * (first / (second * (first + second)))
        )
        high = (
            part(n - 1, 1) * ((before + 2 * last) / (last * (before + last)))
            - part(n - 2, 1) * ((before + last) / (before * last))
            + part(n - 3, 1) * (last / (before * (before + last)))
        )
    return cat([low, middle, high], axis)


# --- histograms -----------------------------------------------------------------------------------
def _edges(name: str, values: Tensor, bins: Any, limits: Any) -> Tensor:
    if isinstance(bins, Tensor):
        if bins.aval.ndim != 1 or not bins.aval.size:
            raise RangeError(f"{name} with bins {bins.aval}", "Edges are a rising vector.")
        return bins.detach()  # type: ignore[attr-defined, no-any-return]
    if bins <= 0:
        raise RangeError(f"{name} with bins={bins}", "bins must be > 0, 100 for example.")
    low: Any
    high: Any
    if limits is not None or not values.aval.size:
        low, high = map(float, limits or (0.0, 1.0))
        if not (math.isfinite(low) and math.isfinite(high)) or low > high:
            raise RangeError(f"{name} between {low} and {high}", "The range is finite and rising.")
        if low == high and limits is not None:
            low, high = low - 0.5, high + 0.5
    else:
        low, high = amin(values), amax(values)
        if not isinstance(values._read(), Var) and not np.isfinite(high.item() - low.item()):
            raise RangeError(f"{name} of {values.aval}", "The range of the elements is not finite.")
        half = where(cmp.eq(low, high), 0.5, 0.0)
        low, high = low - half, high + half
    step = (high - low) / bins
    ramp = arange(bins + 1, dtype=values.dtype)
    from_low, from_high = ramp * step + low, high - (bins - ramp) * step  # type: ignore[operator]
    return where(cmp.lt(ramp, (bins + 1) / 2), from_low, from_high)


def _bin(values: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
    """The bin of each value and whether it is in one; the last bin has its upper edge."""
    n = edges.aval.shape[0]
    low, high = edges[0], edges[n - 1]
    inside = cmp.and_(values >= low, values <= high)  # type: ignore[operator]
    at = ew.sub(searchsorted(edges, values.contiguous(), right=True), 1)  # type: ignore[attr-defined]
    return ew.minimum(ew.maximum(at, 0), max(n - 2, 0)), inside


def histogramdd(
    input: Tensor,
    bins: Any,
    *,
    range: Any = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Counts of points in a grid of bins, and the edges of the grid.

    Args:
        input: ``(..., d)`` points, floating.
        bins: number of bins, one per axis or for all, or a vector of edges per axis.
        range: lowest and highest edge of each axis in turn; those of the points by default.
        weight: what each point counts.
        density: divide by the total and the volume of each bin.

    Example:
        >>> import fusegrad as fg
        >>> x = fg.tensor([[0.0, 0.0], [0.0, 2.0], [2.0, 2.0]])
        >>> fg.histogramdd(x, [2, 2])[0].tolist()
        [[1.0, 1.0], [0.0, 1.0]]
    """
    name = "histogramdd"
    if input.aval.ndim < 2 or not input.dtype.is_floating_point:
        raise ShapeError(f"{name} of {input.aval}", "input should have at least 2 dimensions.")
    d = input.aval.shape[-1]
    points = reshape(input.detach(), -1, d)  # type: ignore[attr-defined]
    each = list(bins) if isinstance(bins, (list, tuple)) else [bins] * d
    if len(each) != d or (range is not None and len(range) != 2 * d):
        raise ShapeError(f"{name} of {input.aval}", f"bins and range are for {d} axes.")
    limits = [None] * d if range is None else [(range[2 * k], range[2 * k + 1]) for k in _up_to(d)]
    columns = [select(points, 1, k) for k in _up_to(d)]
    edges = [_edges(name, columns[k], each[k], limits[k]) for k in _up_to(d)]
    shape = [e.aval.shape[0] - 1 for e in edges]
    mass = Tensor(source.full(shape=(points.aval.shape[0],), dtype=input.dtype, value=1))
    if weight is not None:
        mass = reshape(cast(weight.detach(), input.dtype), -1)  # type: ignore[attr-defined]
    flat: Any = None
    for column, e, n in zip(columns, edges, shape, strict=True):
        at, inside = _bin(column, e)
        flat = at if flat is None else ew.add(ew.mul(flat, n), at)
        mass = cmp.where(inside, mass, 0.0)
    counts = reshape(indexing.take_add(mass, flat, axis=0, extent=math.prod(shape)), shape)
    if density:
        counts = counts / sum(counts)  # type: ignore[operator]
        for k, e in enumerate(edges):
            width = narrow(e, 0, 1, shape[k]) - narrow(e, 0, 0, shape[k])  # type: ignore[operator]
            counts = counts / reshape(width, [-1 if j == k else 1 for j in _up_to(d)])
    return counts, tuple(edges)


def _up_to(n: int) -> Any:
    return builtin_range(n)


@method()
def histogram(
    input: Tensor,
    bins: Any,
    *,
    range: Any = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> tuple[Tensor, Tensor]:
    """Counts of the elements in bins, and the edges of the bins; see ``histogramdd``.

    Example:
        >>> import fusegrad as fg
        >>> counts, edges = fg.histogram(fg.tensor([0.0, 1.0, 1.5, 4.0]), 2)
        >>> counts.tolist(), edges.tolist()
        ([3.0, 1.0], [0.0, 2.0, 4.0])
    """
    counts, (edges,) = histogramdd(
        reshape(input, -1, 1),
        [bins],
        range=range,
        weight=None if weight is None else reshape(weight, -1),
        density=density,
    )
    return counts, edges


# --- positions ------------------------------------------------------------------------------------
def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """Positions along each axis of a shape, from positions in its row-major order.

    Positions behind the last element start again at the first.

    Raises:
        TypeError: positions that are not integers.
        ValueError: a negative extent.

    Example:
        >>> import fusegrad as fg
        >>> [i.tolist() for i in fg.unravel_index(fg.tensor([5]), (2, 3))]
        [[1], [2]]
    """
    extents = (shape,) if isinstance(shape, int) else tuple(shape)
    if not isinstance(indices, Tensor) or not all(isinstance(n, int) for n in extents):
        raise ArgumentTypeError(
            f"unravel_index of {type(indices).__name__} and {shape}",
            "expected 'indices' to be an integer tensor and 'shape' a sequence of integers.",
        )
    if indices.dtype.category != 1:
        raise ArgumentTypeError(f"unravel_index of {indices.aval}", "Indices are integers.")
    if any(n < 0 for n in extents):
        raise ArgumentError(f"unravel_index with {extents}", "'shape' cannot have negative values.")
    out: list[Tensor] = []
    rest = cast(indices, int64)
    for n in reversed(extents):
        out.append(ew.remainder(rest, max(n, 1)))
        rest = ew.floor_div(rest, max(n, 1))
    return tuple(reversed(out))


@method()
def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1) -> Tensor:
    """Positions of the first ``size`` non-zero elements, rows of ``fill_value`` behind them.

    The shape does not depend on values, so it compiles.

    Example:
        >>> import fusegrad as fg
        >>> fg.nonzero_static(fg.tensor([0, 3, 4]), size=3).tolist()
        [[1], [2], [-1]]
    """
    if size < 0:
        raise RangeError(f"nonzero_static of size {size}", "'size' must be an non-negative integer")
    shape = input.aval.shape
    if not shape or not size or not input.aval.size:
        return full((size, len(shape)), fill_value, dtype=int64)
    hit = reshape(cmp.ne(input, 0), -1)
    order = cmp.not_(hit).argsort(stable=True)  # type: ignore[attr-defined]
    count = sum(cast(hit, int64))
    take = narrow(order, 0, 0, min(size, order.aval.shape[0]))
    if size > take.aval.shape[0]:
        take = movement.pad(
            take, low=(0,), high=(size - take.aval.shape[0],), interior=(0,), value=0
        )
    there = cmp.lt(arange(size), broadcast_to(count, (size,)))
    columns = [where(there, c, fill_value) for c in unravel_index(take, shape)]
    return stack(columns, 1)


# --- small questions ------------------------------------------------------------------------------
@factory
def range(start: Any = 0, end: Any = None, step: Any = 1, *, dtype: DType | None = None) -> Tensor:
    """Deprecated: numbers from ``start`` up to and including ``end``, in the default dtype.

    Example:
        >>> import fusegrad as fg
        >>> fg.range(1, 3).tolist()
        [1.0, 2.0, 3.0]
    """
    if end is None:
        start, end = 0, start
    if step == 0 or (end - start) * step < 0:
        raise RangeError(
            f"range from {start} to {end} by {step}",
            "step must be nonzero, upper bound and lower bound consistent with its sign",
        )
    count = math.floor((end - start) / step) + 1
    dtype = dtype or dtypes.get_default_dtype()
    return arange(start, start + (count - 0.5) * step, step, dtype=dtype)


@method()
def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether both have the same shape."""
    return input.aval.shape == other.aval.shape


def is_signed(input: Tensor) -> bool:
    """Whether values can be negative."""
    return input.dtype.is_signed


def typename(obj: Any) -> str:
    """The name of a tensor's type, or of the class of an object."""
    if isinstance(obj, Tensor):
        return obj.type()  # type: ignore[attr-defined, no-any-return]
    kind = type(obj)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


@method("apply_")
def apply_(self: Tensor, callable: Callable[[Any], Any]) -> Tensor:
    """Replace each element by what a Python function returns for it; eager only, slow."""
    values = np.asarray(self._concrete("apply_"))
    found = np.array([callable(v.item()) for v in values.reshape(-1)], self.dtype.np)
    return self._assign(Tensor(found.reshape(values.shape)), "apply_")


@method("map_")
def map_(self: Tensor, tensor: Tensor, callable: Callable[[Any, Any], Any]) -> Tensor:
    """Replace each element by a Python function of it and of that of ``tensor``; eager only."""
    other = broadcast_to(tensor, self.aval.shape)._concrete("map_")
    pairs = zip(self._concrete("map_").flat, np.asarray(other).flat, strict=True)
    found = np.array([callable(a.item(), b.item()) for a, b in pairs], self.dtype.np)
    return self._assign(Tensor(found.reshape(self.aval.shape)), "map_")


@method("map2_")
def map2_(self: Tensor, x: Tensor, y: Tensor, callable: Callable[[Any, Any, Any], Any]) -> Tensor:
    """Replace each element by a Python function of it and of those of two others; eager only."""
    shape = self.aval.shape
    rows = [np.asarray(broadcast_to(t, shape)._concrete("map2_")).flat for t in (self, x, y)]
    found = np.array(
        [callable(*(v.item() for v in row)) for row in zip(*rows, strict=True)], self.dtype.np
    )
    return self._assign(Tensor(found.reshape(shape)), "map2_")


method("is_nonzero")(conversion.is_nonzero)
method("nonzero")(counting.nonzero)
