"""Order statistics: sort, topk, median, quantile, mode, search in sorted sequences.

All of them gather at positions that one primitive, ``argsort``, computes, so their gradients go to
the elements that were picked.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..dtypes import bool_, int32, int64, stored
from ..errors import ArgumentError, DimError, DTypeError, RangeError, ShapeError
from ..ops import compare as cmp
from ..ops import elementwise as ew
from ..ops import indexing, movement, source
from ..ops import scan as scans
from ..ops import sort as ops
from ..tensor import Tensor
from .common import as_tensor_operand, axis_of, broadcast_to, cast, method, owned, pointwise
from .pointwise import where
from .reduction import argmax, sum
from .refusals import no_booleans
from .shape import movedim, narrow, permute, reshape, squeeze


class ValuesIndices(NamedTuple):
    """What order statistics along an axis return."""

    values: Tensor
    indices: Tensor


@method()
def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """Positions that sort ``input`` along ``dim``; nan counts as the largest, ties keep order.

    Args:
        input: any shape, real.
        dim: the axis.
        descending: largest first.
        stable: accepted; the order is always stable.

    Returns:
        int64 of the shape of ``input``.

    Example:
        >>> import fusegrad as fg
        >>> fg.argsort(fg.tensor([3.0, 1.0, 2.0])).tolist()
        [1, 2, 0]
    """
    axis = axis_of(dim, input.aval.ndim)
    if not input.aval.shape:
        return Tensor(source.full(shape=(), dtype=int64, value=0))
    return ops.argsort(input.detach(), axis=axis, descending=bool(descending))


def _picked(input: Tensor, order: Tensor, axis: int) -> Tensor:
    """Elements at positions that are known to be inside."""
    return indexing.take_along(input, order, axis=axis) if input.aval.shape else owned(input)


@method()
def sort(
    input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False
) -> ValuesIndices:
    """``input`` sorted along ``dim`` and the positions its elements came from; see ``argsort``.

    Example:
        >>> import fusegrad as fg
        >>> values, indices = fg.sort(fg.tensor([3.0, 1.0, 2.0]), descending=True)
        >>> values.tolist(), indices.tolist()
        ([3.0, 2.0, 1.0], [0, 2, 1])
    """
    order = argsort(input, dim, descending)
    return ValuesIndices(_picked(input, order, axis_of(dim, input.aval.ndim)), order)


@method()
def msort(input: Tensor) -> Tensor:
    """``input`` sorted along its first axis.

    Example:
        >>> import fusegrad as fg
        >>> fg.msort(fg.tensor([[3, 1], [2, 5]])).tolist()
        [[2, 1], [3, 5]]
    """
    return sort(input, 0).values


@method()
def topk(
    input: Tensor, k: int, dim: int | None = None, largest: bool = True, sorted: bool = True
) -> ValuesIndices:
    """The ``k`` largest (or smallest) elements along ``dim`` (the last), in order.

    Raises:
        RuntimeError: ``k`` exceeds the extent.

    Example:
        >>> import fusegrad as fg
        >>> fg.topk(fg.tensor([1.0, 5.0, 3.0]), 2).indices.tolist()
        [1, 2]
    """
    axis = axis_of(-1 if dim is None else dim, input.aval.ndim)
    extent = input.aval.shape[axis] if input.aval.shape else 1
    if not 0 <= k <= extent:
        raise RangeError(f"topk of {input.aval} with k={k}", f"The axis has {extent} elements.")
    if not input.aval.shape:
        return ValuesIndices(owned(input), argsort(input))
    order = narrow(argsort(input, axis, largest), axis, 0, k)
    return ValuesIndices(_picked(input, order, axis), order)


@method()
def kthvalue(input: Tensor, k: int, dim: int | None = None, keepdim: bool = False) -> ValuesIndices:
    """The ``k``-th smallest element along ``dim``, counted from 1.

    Example:
        >>> import fusegrad as fg
        >>> fg.kthvalue(fg.tensor([4.0, 1.0, 3.0]), 2).values.item()
        3.0
    """
    axis = axis_of(-1 if dim is None else dim, input.aval.ndim)
    extent = input.aval.shape[axis] if input.aval.shape else 1
    if not 1 <= k <= extent:
        raise RangeError(f"kthvalue of {input.aval} with k={k}", f"The axis has {extent} elements.")
    if not input.aval.shape:
        return ValuesIndices(owned(input), argsort(input))
    return _one(input, narrow(argsort(input, axis), axis, k - 1, 1), axis, keepdim)


def _one(input: Tensor, position: Tensor, axis: int, keepdim: bool) -> ValuesIndices:
    values = _picked(input, position, axis)
    if keepdim:
        return ValuesIndices(values, position)
    return ValuesIndices(squeeze(values, axis), squeeze(position, axis))


def _middle(name: str, input: Tensor, dim: Any, keepdim: bool, ignore: bool) -> Any:
    no_booleans(name, input)
    if dim is None:
        if not input.aval.size:
            return Tensor(stored(np.nan, input.dtype))
        flat = reshape(input, -1)
        return _evenly(flat, _middle(name, flat, 0, False, ignore).values)
    axis = axis_of(dim, input.aval.ndim)
    if not input.aval.shape:
        return ValuesIndices(owned(input), argsort(input))
    n = input.aval.shape[axis]
    if n == 0:
        raise DimError(f"{name} of {input.aval} along axis {axis}", "The axis is empty.")
    order = argsort(input, axis)
    if not input.dtype.is_floating_point:
        return _one(input, narrow(order, axis, (n - 1) // 2, 1), axis, keepdim)
    bad: Any = sum(cmp.isnan(input.detach()), axis, True)
    if ignore:
        place = ew.maximum(ew.floor_div(ew.sub(ew.neg(bad), 1 - n), 2), 0)
    else:
        place = where(cmp.gt(bad, 0), ew.add(ew.neg(bad), n), (n - 1) // 2)
    return _one(input, indexing.take_along(order, place, axis=axis), axis, keepdim)


def _evenly(x: Tensor, value: Tensor) -> Tensor:
    """``value``, with a gradient that all elements equal to it share."""
    value = value.detach()
    if not x.dtype.is_floating_point:
        return value
    here = cmp.or_(pointwise(cmp.eq, x, value), cmp.isnan(broadcast_to(value, x.aval.shape)))
    count = sum(cast(here, x.dtype))
    share = pointwise(ew.div, sum(where(here, x, 0.0)), count)
    return pointwise(ew.add, value, pointwise(ew.sub, share, share.detach()))


@method()
def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The lower median of all elements, or with ``dim`` values and indices along it; nan wins.

    Example:
        >>> import fusegrad as fg
        >>> fg.median(fg.tensor([4.0, 1.0, 3.0, 2.0])).item()
        2.0
    """
    return _middle("median", input, dim, keepdim, False)


@method()
def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """Like ``median``, leaving nan out.

    Example:
        >>> import fusegrad as fg
        >>> fg.nanmedian(fg.tensor([4.0, float("nan"), 3.0])).item()
        3.0
    """
    return _middle("nanmedian", input, dim, keepdim, True)


_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def _quantile(
    name: str, input: Tensor, q: Any, dim: int | None, keepdim: bool, how: str, ignore: bool
) -> Tensor:
    if how not in _INTERPOLATIONS:
        raise RangeError(f"{name} with interpolation={how!r}", f"Known: {_INTERPOLATIONS}.")
    if not input.dtype.is_floating_point:
        raise DTypeError(f"{name} of {input.aval}", "Quantiles need a floating dtype.", "x.float()")
    if not input.aval.size:
        raise RangeError(f"{name} of {input.aval}", "There must be at least one element.")
    if isinstance(q, Tensor):
        if q.dtype is not input.dtype or q.aval.ndim > 1:
            raise DTypeError(
                f"{name} of {input.aval} at {q.aval}", "q is a number or vector of that dtype."
            )
    else:
        if not 0 <= q <= 1:
            raise RangeError(f"{name} at q={q}", "Quantiles lie between 0 and 1.")
        q = Tensor(stored(q, input.dtype))
    shape = input.aval.shape
    if dim is None:
        x, kept = reshape(input, -1), (1,) * len(shape)
    else:
        axis = axis_of(dim, len(shape))
        x = movedim(input, axis, -1) if shape else reshape(input, 1)
        kept = tuple(1 if k == axis else n for k, n in enumerate(shape))
    rest = x.aval.shape[:-1]
    n = x.aval.shape[-1]
    if n == 0:
        raise RangeError(f"{name} of {input.aval}", "The tensor must not be empty.")
    ranks = _ranks(x.detach(), reshape(q, -1), n, ignore)
    values = sort(x).values
    out = _between(values, ranks, how)
    count = out.aval.ndim - 1
    out = permute(out, count, *range(count))
    shape = kept if keepdim else rest
    return reshape(out, (out.aval.shape[0], *shape) if q.aval.ndim else shape)


def _ranks(x: Tensor, q: Tensor, n: int, ignore: bool) -> Tensor:
    """Fractional positions in the sorted line, one per quantile."""
    bad = cmp.isnan(x)
    full = (*x.aval.shape[:-1], q.aval.shape[0])
    if ignore:
        good = sum(cast(cmp.not_(bad), x.dtype), -1, True)
        last = ew.maximum(ew.sub(good, 1.0), 0.0)
        return pointwise(ew.mul, last, q)
    any_bad = cmp.gt(sum(bad, -1, True), 0)
    ranks = broadcast_to(pointwise(ew.mul, q, float(n - 1)), full)
    return where(any_bad, float(n - 1), ranks)


def _between(values: Tensor, ranks: Tensor, how: str) -> Tensor:
    axis = values.aval.ndim - 1
    if how == "nearest":
        ranks = ew.round_(ranks)
    low = ew.ceil(ranks) if how == "higher" else ew.floor(ranks)
    below = indexing.take_along(values, cast(low, int64), axis=axis)
    if how in ("lower", "higher", "nearest"):
        return below
    above = indexing.take_along(values, cast(ew.ceil(ranks), int64), axis=axis)
    weight: Any = 0.5 if how == "midpoint" else ew.sub(ranks, low)
    return ew.add(below, ew.mul(ew.sub(above, below), weight))


@method()
def quantile(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """Quantiles of the elements along ``dim`` (of all when ``None``); nan in a line wins.

    Args:
        input: floating.
        q: a number in [0, 1] or a vector of them, which becomes the first axis of the result.
        dim: the axis.
        keepdim: keep it with extent 1.
        interpolation: linear, lower, higher, midpoint or nearest.

    Example:
        >>> import fusegrad as fg
        >>> fg.quantile(fg.tensor([0.0, 1.0, 2.0, 4.0]), 0.5).item()
        1.5
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation, False)


@method()
def nanquantile(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """Like ``quantile``, leaving nan out.

    Example:
        >>> import fusegrad as fg
        >>> fg.nanquantile(fg.tensor([0.0, float("nan"), 2.0]), 0.5).item()
        1.0
    """
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)


@method()
def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> ValuesIndices:
    """The most frequent element along ``dim`` (the smallest of several) and its last position.

    Example:
        >>> import fusegrad as fg
        >>> fg.mode(fg.tensor([1, 2, 2, 3, 3])).values.item()
        2
    """
    axis = axis_of(dim, input.aval.ndim)
    if not input.aval.shape:
        return ValuesIndices(owned(input), argsort(input))
    n = input.aval.shape[axis]
    if n == 0:
        raise DimError(f"mode of {input.aval} along axis {axis}", "The axis is empty.")
    values, order = sort(input.detach(), axis)
    steps = source.iota(shape=input.aval.shape, dtype=int64, axis=axis)
    before = narrow(values, axis, 0, n - 1)
    new = pointwise(cmp.ne, narrow(values, axis, 1, n - 1), before)
    first = movement.pad(new, low=_unit(axis, new), high=_none(new), interior=_none(new), value=0)
    starts = where(first, Tensor(steps), 0)
    run = ew.sub(Tensor(steps), _running(starts, axis))
    place = argmax(run, axis, True)
    return _one(input, indexing.take_along(order, place, axis=axis), axis, keepdim)


def _running(x: Tensor, axis: int) -> Tensor:
    """The maximum so far."""
    return indexing.take_along(x, scans.cumargmax(x, axis=axis), axis=axis)


def _unit(axis: int, x: Tensor) -> tuple[int, ...]:
    return tuple(int(k == axis) for k in range(x.aval.ndim))


def _none(x: Tensor) -> tuple[int, ...]:
    return (0,) * x.aval.ndim


# --- search ---------------------------------------------------------------------------------------
def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Where elements would have to go into sorted lines so that these stay sorted.

    Args:
        sorted_sequence: sorted along its last axis; a vector, or of the leading shape of ``input``.
        input: what to place; a tensor or a number.
        out_int32: int32 instead of int64.
        right: behind equal elements instead of before them; ``side="right"`` says the same.
        sorter: positions that sort ``sorted_sequence``.

    Returns:
        positions, of the shape of ``input``.

    Raises:
        RuntimeError: leading shapes that differ, ``side="left"`` with ``right``.

    Example:
        >>> import fusegrad as fg
        >>> fg.searchsorted(fg.tensor([1, 3, 5]), fg.tensor([0, 3, 9])).tolist()
        [0, 1, 3]
    """
    if side not in (None, "left", "right") or (side == "left" and right):
        raise RangeError(
            f"searchsorted with side={side!r} and right={right}", "They say different things."
        )
    right = right or side == "right"
    lines = sorted_sequence.detach()
    x = as_tensor_operand(input, "searchsorted").detach()
    if sorter is not None:
        lines = indexing.take_along(lines, cast(sorter, int64), axis=lines.aval.ndim - 1)
    if lines.aval.ndim > 1 and lines.aval.shape[:-1] != x.aval.shape[:-1]:
        raise ShapeError(
            f"searchsorted of {x.aval} in {lines.aval}", "All axes but the last must be equal."
        )
    out = _search(lines, x, right)
    return cast(out, int32) if out_int32 else out


def _search(lines: Tensor, x: Tensor, right: bool) -> Tensor:
    """Binary search, unrolled: the place grows by halves as long as what is there comes before."""
    n = lines.aval.shape[-1]
    place: Any = source.full(shape=x.aval.shape, dtype=int64, value=0)
    place = Tensor(place) if not isinstance(place, Tensor) else place
    step = 1 << max(n.bit_length() - 1, 0)
    while step and n:
        following = ew.add(place, step)
        at = ew.sub(ew.minimum(following, n), 1)
        if lines.aval.ndim == 1:
            found = indexing.take(lines, at, axis=0)
        else:
            found = indexing.take_along(lines, at, axis=x.aval.ndim - 1)
        later = pointwise(cmp.gt if right else cmp.ge, found, x)
        goes = cmp.and_(cmp.not_(later), cmp.le(following, n))
        place = where(goes, following, place)
        step //= 2
    return place


def bucketize(
    input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False
) -> Tensor:
    """The number of the bucket, between sorted ``boundaries``, of each element.

    Example:
        >>> import fusegrad as fg
        >>> fg.bucketize(fg.tensor([0.5, 2.0]), fg.tensor([1.0, 2.0, 3.0])).tolist()
        [0, 1]
    """
    if boundaries.aval.ndim != 1:
        raise ShapeError(f"bucketize with boundaries {boundaries.aval}", "They are a vector.")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


def isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False
) -> Tensor:
    """Whether each element occurs among ``test_elements``.

    Example:
        >>> import fusegrad as fg
        >>> fg.isin(fg.tensor([1, 2, 3]), fg.tensor([2, 5])).tolist()
        [False, True, False]
    """
    if not isinstance(elements, Tensor) and not isinstance(test_elements, Tensor):
        raise ArgumentError("isin of two numbers", "At least one operand must be a tensor.")
    no_booleans("isin", elements, test_elements)
    x, known = as_tensor_operand(elements), reshape(as_tensor_operand(test_elements), -1)
    n = known.aval.shape[0]
    if n <= 8:
        found = Tensor(source.full(shape=x.aval.shape, dtype=bool_, value=False))
        for k in range(n):
            found = cmp.or_(found, pointwise(cmp.eq, x, squeeze(narrow(known, 0, k, 1), 0)))
    else:
        lines = sort(known).values
        place = ew.minimum(_search(lines, x.detach(), False), n - 1)
        found = pointwise(cmp.eq, indexing.take(lines, place, axis=0), x)
    return cmp.not_(found) if invert else found
