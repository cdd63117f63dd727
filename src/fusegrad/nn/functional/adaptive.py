"""Pooling to a given output size, and the inverse of max pooling.

In: an input ``(N, C, ...)`` or ``(C, ...)`` and output sizes, or places. Out: one value per
window ``[floor(i * n / out), ceil((i + 1) * n / out))``. Where the sizes divide, windows are equal
and ``pooling.py`` does it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...autograd import Function
from ...dtypes import float32, int64
from ...errors import ArgumentError, DTypeError, RangeError, ShapeError
from ...functions.common import broadcast_to, cast, pointwise
from ...functions.indexing import wrap_index
from ...functions.reduction import mean
from ...functions.rounding import rounds_to_input
from ...functions.shape import cat, narrow, reshape
from ...ops import compare as cmp
from ...ops import elementwise as ew
from ...ops import indexing, source
from ...tensor import Tensor
from .pooling import avg_pool1d, avg_pool2d, avg_pool3d, max_pool1d, max_pool2d, max_pool3d
from .windows import entries

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
    "adaptive_max_pool2d", "adaptive_max_pool3d", "fractional_max_pool2d", "fractional_max_pool3d",
    "max_unpool1d", "max_unpool2d", "max_unpool3d",
]  # fmt: skip

_AVG = {1: avg_pool1d, 2: avg_pool2d, 3: avg_pool3d}
_MAX = {1: max_pool1d, 2: max_pool2d, 3: max_pool3d}


def _sizes(name: str, input: Tensor, n: int, output_size: Any) -> tuple[int, ...]:
    shape = input.aval.shape
    if n > 1 and 0 < len(shape) <= n:
        raise ArgumentError(
            f"{name} got {input.aval}", f"Input dimension should be at least {n + 1}."
        )
    if len(shape) not in (n + 1, n + 2) or 0 in shape[1:]:
        raise ShapeError(
            f"{name} got {input.aval}",
            f"Expected {n + 1} or {n + 2} axes, (C, ...) or (N, C, ...), empty only in N.",
        )
    wanted = tuple(output_size) if isinstance(output_size, Sequence) else (output_size,) * n
    if len(wanted) != n:
        raise RangeError(
            f"{name} with output_size={output_size}", f"Expected an integer or {n} of them."
        )
    if any(w is not None and w < 0 for w in wanted):
        raise RangeError(
            f"{name} with output_size={output_size}", "Elements of output_size are at least 0."
        )
    return tuple(shape[len(shape) - n + k] if w is None else int(w) for k, w in enumerate(wanted))


def _bounds(extent: int, count: int) -> list[tuple[int, int]]:
    return [(i * extent // count, -(-(i + 1) * extent // count)) for i in range(count)]


def _divides(input: Tensor, sizes: tuple[int, ...]) -> tuple[int, ...] | None:
    extents = input.aval.shape[input.aval.ndim - len(sizes) :]
    if all(s and e % s == 0 for e, s in zip(extents, sizes, strict=True)):
        return tuple(e // s for e, s in zip(extents, sizes, strict=True))
    return None


# --- mean -----------------------------------------------------------------------------------------
def _adaptive_avg(name: str, input: Tensor, n: int, output_size: Any) -> Tensor:
    sizes = _sizes(name, input, n, output_size)
    ndim = input.aval.ndim
    if all(s == 1 for s in sizes):
        return mean(input, tuple(range(ndim - n, ndim)), keepdim=True)
    kernel = _divides(input, sizes)
    if kernel is not None:
        return _AVG[n](input, kernel)
    for k in reversed(range(n)):
        axis = ndim - n + k
        parts = [
            mean(narrow(input, axis, a, b - a), axis, keepdim=True)
            for a, b in _bounds(input.aval.shape[axis], sizes[k])
        ]
        input = cat(parts, axis) if parts else narrow(input, axis, 0, 0)
    return input


@rounds_to_input
def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """Mean over ``output_size`` windows of ``(N, C, L)`` or ``(C, L)``."""
    return _adaptive_avg("adaptive_avg_pool1d", input, 1, output_size)


@rounds_to_input
def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Mean over a grid of windows of ``(N, C, H, W)`` or ``(C, H, W)``.

    Args:
        output_size: an integer or one per axis; ``None`` keeps an extent.

    Raises:
        RuntimeError: wrong number of axes.
    """
    return _adaptive_avg("adaptive_avg_pool2d", input, 2, output_size)


@rounds_to_input
def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """Mean over a grid of windows of ``(N, C, D, H, W)`` or ``(C, D, H, W)``."""
    return _adaptive_avg("adaptive_avg_pool3d", input, 3, output_size)


# --- maximum --------------------------------------------------------------------------------------
class _Picked(Function):
    """One element of the flattened pooled axes per place; the gradient adds up there."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        flat, index = args
        ctx.save_for_backward(index)
        ctx.shape = flat.aval.shape
        return indexing.take_along(flat, index, axis=flat.aval.ndim - 1)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (index,) = ctx.saved_tensors
        return indexing.along_add(
            grad_outputs[0], index, axis=len(ctx.shape) - 1, shape=ctx.shape
        ), None


def _pick(input: Tensor, place: Tensor, n: int) -> Tensor:
    """Elements at flat indices into the last ``n`` axes."""
    lead = input.aval.shape[: input.aval.ndim - n]
    flat = reshape(input, (*lead, math.prod(input.aval.shape[len(lead) :])))
    index = reshape(place, (*lead, math.prod(place.aval.shape[len(lead) :])))
    return reshape(_Picked.apply(flat, index), place.aval.shape)


def _winner(values: Sequence[Tensor], places: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The first maximum of several tensors (the last nan) and its place."""
    best, place = values[0], places[0]
    for value, here in zip(values[1:], places[1:], strict=True):
        better = cmp.gt(value, best)
        if value.dtype.is_floating_point:
            better = cmp.or_(better, cmp.ne(value, value))
        best, place = cmp.where(better, value, best), cmp.where(better, here, place)
    return best, place


def _plane(input: Tensor, n: int) -> Tensor:
    """Row-major index of every element within the last ``n`` axes."""
    shape = input.aval.shape
    place, weight = None, 1
    for axis in reversed(range(len(shape) - n, len(shape))):
        here = ew.mul(Tensor(source.iota(shape=shape, dtype=int64, axis=axis)), weight)
        place, weight = here if place is None else ew.add(place, here), weight * shape[axis]
    assert place is not None
    return place


def _adaptive_max(name: str, input: Tensor, n: int, output_size: Any, return_indices: bool) -> Any:
    sizes = _sizes(name, input, n, output_size)
    kernel = _divides(input, sizes)
    if kernel is not None:
        return _MAX[n](input, kernel, return_indices=return_indices)
    best, place = input.detach(), _plane(input, n)  # type: ignore[attr-defined]
    for k in reversed(range(n)):
        axis = input.aval.ndim - n + k
        bounds = _bounds(input.aval.shape[axis], sizes[k])
        longest = max((b - a for a, b in bounds), default=1)
        # windows differ in length: a short one reads its last element again, which never wins
        steps = [
            Tensor(np.array([min(a + t, b - 1) for a, b in bounds], np.int64))
            for t in range(longest)
        ]
        best, place = _winner(
            [indexing.take(best, s, axis=axis) for s in steps],
            [indexing.take(place, s, axis=axis) for s in steps],
        )
    out = _pick(input, place, n)
    return (out, place) if return_indices else out


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maximum over ``output_size`` windows of ``(N, C, L)`` or ``(C, L)``."""
    return _adaptive_max("adaptive_max_pool1d", input, 1, output_size, return_indices)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maximum over a grid of windows of ``(N, C, H, W)`` or ``(C, H, W)``.

    Args:
        output_size: an integer or one per axis; ``None`` keeps an extent.
        return_indices: also return where in the plane each maximum is.

    Raises:
        RuntimeError: wrong number of axes.
    """
    return _adaptive_max("adaptive_max_pool2d", input, 2, output_size, return_indices)


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maximum over a grid of windows of ``(N, C, D, H, W)`` or ``(C, D, H, W)``."""
    return _adaptive_max("adaptive_max_pool3d", input, 3, output_size, return_indices)


# --- fractional -----------------------------------------------------------------------------------
def _fractional(
    name: str,
    input: Tensor,
    n: int,
    kernel_size: Any,
    output_size: Any,
    output_ratio: Any,
    return_indices: bool,
    samples: Tensor | None,
) -> Any:
    """Windows at pseudo-random positions (Graham 2014, "Fractional max-pooling")."""
    if (output_size is None) == (output_ratio is None):
        raise ArgumentError(
            f"{name} with output_size={output_size}, output_ratio={output_ratio}",
            "fractional_max_pool requires specifying either an output_size or an output_ratio.",
        )
    shape = input.aval.shape
    kernel = entries(kernel_size, n, "kernel_size")
    if output_size is None:
        ratios = output_ratio if isinstance(output_ratio, Sequence) else (output_ratio,) * n
        if not all(0 < r < 1 for r in ratios):
            raise ArgumentError(
                f"{name} with output_ratio={output_ratio}", "output_ratio must be between 0 and 1."
            )
        extents = shape[len(shape) - n :]
        output_size = tuple(int(e * r) for e, r in zip(extents, ratios, strict=True))
    sizes = _sizes(name, input, n, output_size)
    lead = shape[: len(shape) - n]
    if samples is None:
        from ...functions.random import rand

        batch = lead if len(lead) == 2 else (1, *lead)
        samples = rand((*batch, n), dtype=input.dtype)
    # half precision does not tell all positions apart
    draws = reshape(cast(samples, float32) if samples.dtype.reduced else samples, (*lead, n))
    place: Tensor | None = None
    taps, weight = [0], 1
    for k in reversed(range(n)):
        extent, count, size = shape[len(lead) + k], sizes[k], kernel[k]
        if count + size - 1 > extent:
            raise ShapeError(
                f"{name} of {input.aval} with kernel_size={kernel} to {sizes}",
                "The windows are larger than the input; output_size + kernel_size - 1 must fit.",
            )
        which = 1 - k if n == 2 else k  # PyTorch's order: (w, h), but (d, h, w)
        begin = _starts(narrow(draws, -1, which, 1), extent, count, size)
        view = [1] * n
        view[k] = count
        here = ew.mul(reshape(begin, (*lead, *view)), weight)
        place = here if place is None else pointwise(ew.add, place, here)
        taps = [t * weight + rest for t in range(size) for rest in taps]
        weight *= extent
    assert place is not None
    detached = input.detach()  # type: ignore[attr-defined]
    places = [ew.add(place, t) for t in taps]
    _, best = _winner([_pick(detached, p, n) for p in places], places)
    out = _pick(input, best, n)
    return (out, best) if return_indices else out


def _starts(draw: Tensor, extent: int, count: int, size: int) -> Tensor:
    """Where windows begin: ``floor((i + u) * a) - floor(u * a)``, the last one at the end."""
    shape = (*draw.aval.shape[:-1], count)
    last = extent - size
    end = Tensor(source.full(shape=shape, dtype=int64, value=last))
    if count == 1:
        return end
    alpha = last / (count - 1)
    i = Tensor(source.iota(shape=shape, dtype=draw.dtype, axis=len(shape) - 1))
    u = broadcast_to(draw, shape)
    here = ew.sub(ew.floor(ew.mul(ew.add(i, u), alpha)), ew.floor(ew.mul(u, alpha)))
    begin = cmp.convert(here, dtype=int64)
    final = Tensor(np.broadcast_to(np.arange(count) == count - 1, shape).copy())
    return cmp.where(final, end, begin)


def fractional_max_pool2d(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """Maximum over windows whose positions are drawn, of ``(N, C, H, W)`` or ``(C, H, W)``.

    Args:
        kernel_size: extent of a window.
        output_size: number of windows per axis, or
        output_ratio: that number over the extent of the input.
        return_indices: also return where in the plane each maximum is.

    Raises:
        ValueError: neither or both of ``output_size`` and ``output_ratio`` are given.
    """
    return _fractional(
        "fractional_max_pool2d",
        input,
        2,
        kernel_size,
        output_size,
        output_ratio,
        return_indices,
        _random_samples,
    )


def fractional_max_pool3d(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """Maximum over windows whose positions are drawn, of ``(N, C, D, H, W)``."""
    return _fractional(
        "fractional_max_pool3d",
        input,
        3,
        kernel_size,
        output_size,
        output_ratio,
        return_indices,
        _random_samples,
    )


# --- the inverse of max pooling -------------------------------------------------------------------
class _Placed(Function):
    """Elements put at places into zeros; places that repeat hold equal values."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        flat, index, extent = args
        ctx.save_for_backward(index)
        axis = flat.aval.ndim - 1
        shape = (*flat.aval.shape[:-1], extent)
        total = indexing.along_add(flat, index, axis=axis, shape=shape)
        ones = Tensor(source.full(shape=flat.aval.shape, dtype=flat.dtype, value=1))
        count = indexing.along_add(ones, index, axis=axis, shape=shape)
        return ew.div(total, ew.maximum(count, 1.0))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (index,) = ctx.saved_tensors
        g = grad_outputs[0]
        return indexing.take_along(g, index, axis=g.aval.ndim - 1), None, None


def _max_unpool(
    name: str,
    input: Tensor,
    indices: Tensor,
    n: int,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    output_size: Any,
) -> Tensor:
    kernel = entries(kernel_size, n, "kernel_size")
    steps = kernel if stride is None else entries(stride, n, "stride")
    pads = entries(padding, n, "padding")
    if indices.dtype is not int64:
        raise DTypeError(
            f"{name} with indices {indices.aval}",
            "elements in indices should be type int64.",
            "indices.long()",
        )
    if input.aval.shape != indices.aval.shape or input.aval.ndim not in (n + 1, n + 2):
        raise ShapeError(
            f"{name} got input {input.aval} and indices {indices.aval}",
            f"Both have the same shape of {n + 1} or {n + 2} axes.",
        )
    lead = input.aval.shape[: input.aval.ndim - n]
    inner = input.aval.shape[len(lead) :]
    default = [
        (e - 1) * s + k - 2 * p for e, s, k, p in zip(inner, steps, kernel, pads, strict=True)
    ]
    wanted = default if output_size is None else list(output_size)[-n:]
    for k in range(n):
        if not default[k] - steps[k] < wanted[k] < default[k] + steps[k]:
            raise ArgumentError(
                f"{name} with output_size={list(wanted)}",
                f"invalid output_size: each extent lies within one stride of {default}.",
            )
    extent, count = math.prod(wanted), math.prod(inner)
    index = wrap_index(reshape(indices, (*lead, count)), extent, name)
    out = _Placed.apply(reshape(input, (*lead, count)), index, extent)
    return reshape(out, (*lead, *wanted))


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """Put maxima of ``max_pool1d`` back at their places, zeros elsewhere; see ``max_unpool2d``."""
    return _max_unpool("max_unpool1d", input, indices, 1, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """Put maxima of ``max_pool2d`` back at their places, zeros elsewhere.

    Args:
        input: the maxima.
        indices: what ``max_pool2d(..., return_indices=True)`` returned. Where indices repeat, the
            values must be equal, as those of overlapping windows are.
        output_size: which of the possible sizes the pooled input had.

    Raises:
        ValueError: ``output_size`` cannot have led to this input.
    """
    return _max_unpool("max_unpool2d", input, indices, 2, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """Put maxima of ``max_pool3d`` back at their places; see ``max_unpool2d``."""
    return _max_unpool("max_unpool3d", input, indices, 3, kernel_size, stride, padding, output_size)
