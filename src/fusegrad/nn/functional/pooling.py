"""Pooling: maxima, means and p-norms of sliding windows.

In: an input ``(N, C, ...)`` or ``(C, ...)``. Out: one value per window. Windows are shifted slices
(``windows.py``), so a kernel reads the input once. Maxima remember which place of the window won in
a small integer; their gradient selects by it and scatters nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...autograd import Function
from ...dtypes import DType, int32, int64, stored, uint8
from ...errors import RangeError
from ...functions.arithmetic import div
from ...functions.common import broadcast_to, cast, pointwise, unshared
from ...functions.pointwise import pow as power
from ...functions.rounding import rounds_to_input
from ...functions.shape import narrow
from ...ops import compare as cmp
from ...ops import elementwise as ew
from ...ops import source
from ...tensor import Tensor, grad_mode
from .windows import Axis, fitted, repeated, taps, untap, window_axes

__all__ = [
    "avg_pool1d", "avg_pool2d", "avg_pool3d", "lp_pool1d", "lp_pool2d", "lp_pool3d", "max_pool1d",
    "max_pool2d", "max_pool3d",
]  # fmt: skip


def _iota(shape: tuple[int, ...], axis: int, dtype: DType) -> Tensor:
    return Tensor(source.iota(shape=shape, dtype=dtype, axis=axis))


def _lowest(dtype: DType) -> float | int:
    return -math.inf if dtype.is_floating_point else int(np.iinfo(dtype.np).min)


# --- maximum --------------------------------------------------------------------------------------
def _first_valid(shape: tuple[int, ...], axis: Axis, dtype: DType) -> Tensor:
    """The first place of each window that is not padding."""
    begin = ew.sub(axis.padding, ew.mul(_iota(shape, axis.index, int64), axis.stride))
    steps = ew.maximum(begin, 0)
    if axis.dilation > 1:
        steps = ew.floor_div(ew.add(steps, axis.dilation - 1), axis.dilation)
    return cast(steps, dtype)


def _best(x: Tensor, axes: Sequence[Axis], dtype: DType) -> tuple[Tensor, Tensor]:
    """Maximum of every window and the row-major place of the first one; nan wins, as the last.

    One axis after the other, the last one first: the first maximum of the first best row.
    """
    lowest = _lowest(x.dtype)
    best, position, weight = x, None, 1
    default: Any = 0
    for axis in reversed(axes):
        values = taps(best, axis, lowest)
        places = None if position is None else taps(position, axis, 0)
        shape = values[0].aval.shape
        best = values[0]
        position = (
            Tensor(source.full(shape=shape, dtype=dtype, value=0)) if places is None else places[0]
        )
        if axis.padding:  # where all is -inf the first element that exists is the maximum
            first = _first_valid(shape, axis, dtype)
            begin = ew.mul(first, weight)
            if places is not None:
                default = pointwise(ew.add, _resized(default, axis, shape), begin)
                position = cmp.where(cmp.eq(first, 0), position, default)
            else:
                position = default = begin
        for t in range(1, axis.kernel):
            value = values[t]
            better = cmp.gt(value, best)
            if value.dtype.is_floating_point:
                better = cmp.or_(better, cmp.ne(value, value))
            place: Any = t * weight if places is None else ew.add(places[t], t * weight)
            best = cmp.where(better, value, best)
            position = cmp.where(better, place, position)
        weight *= axis.kernel
    assert position is not None
    return best, position


def _resized(default: Any, axis: Axis, shape: tuple[int, ...]) -> Any:
    """A default place, which does not vary along ``axis``, with the new extent of that axis."""
    if not isinstance(default, Tensor):
        return default
    return broadcast_to(narrow(default, axis.index, 0, 1), shape)


def _spread(g: Tensor, position: Tensor, axes: Sequence[Axis]) -> Tensor:
    """Put one value per window at its place in the input; where windows overlap values add up."""
    if all(a.apart for a in axes):
        wide, place = repeated(g, axes), repeated(position, axes)
        here, weight = None, 1
        for axis in reversed(axes):
            steps = ew.remainder(_iota(wide.aval.shape, axis.index, int32), axis.kernel)
            step = ew.mul(cast(steps, position.dtype), weight)
            here, weight = (step if here is None else ew.add(here, step)), weight * axis.kernel
        assert here is not None
        return fitted(cmp.where(cmp.eq(place, here), wide, 0.0), axes)
    total: Tensor | None = None
    for number in range(math.prod(a.kernel for a in axes)):
        part, rest = cmp.where(cmp.eq(position, number), g, 0.0), number
        for axis in reversed(axes):
            part, rest = untap(part, axis, rest % axis.kernel), rest // axis.kernel
        total = part if total is None else ew.add(total, part)
    assert total is not None
    return total


class _MaxPool(Function):
    """Maximum per window with its place; the place selects where the gradient goes."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        x, axes = args
        places = math.prod(a.kernel for a in axes)
        best, position = _best(x, axes, uint8 if places <= 256 else int32)
        ctx.axes = axes
        ctx.save_for_backward(position)
        ctx.mark_non_differentiable(position)
        return best, position

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (position,) = ctx.saved_tensors
        return _spread(grad_outputs[0], position, ctx.axes), None


def _flat_indices(position: Tensor, axes: Sequence[Axis]) -> Tensor:
    """Places in windows as row-major indices into the pooled axes of the input."""
    rest, total, weight = cast(position, int64), None, 1
    shape = position.aval.shape
    for axis in reversed(axes):
        t = ew.remainder(rest, axis.kernel)
        rest = ew.floor_div(rest, axis.kernel)
        begin = ew.sub(ew.mul(_iota(shape, axis.index, int64), axis.stride), axis.padding)
        here = ew.mul(ew.add(begin, ew.mul(t, axis.dilation)), weight)
        total, weight = (here if total is None else ew.add(total, here)), weight * axis.extent
    assert total is not None
    return total


def _max_pool(input: Tensor, axes: tuple[Axis, ...], return_indices: bool) -> Any:
    if return_indices or (grad_mode.enabled and input.requires_grad):
        best, position = _MaxPool.apply(input, axes)
        best = unshared(best, input)
        return (best, _flat_indices(position, axes)) if return_indices else best
    out = input
    for axis in reversed(axes):
        values = taps(out, axis, _lowest(input.dtype))
        out = values[0]
        for value in values[1:]:
            out = ew.maximum(out, value)
    return unshared(out, input)


def max_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Maximum over sliding windows of ``(N, C, L)`` or ``(C, L)``; see ``max_pool2d``."""
    axes = window_axes("max_pool1d", input, 1, kernel_size, stride, padding, dilation, ceil_mode)
    return _max_pool(input, axes, return_indices)


def max_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Maximum over sliding windows of ``(N, C, H, W)`` or ``(C, H, W)``.

    Args:
        input: any real dtype.
        kernel_size, stride, padding, dilation: integers or one per axis; the stride is the
            kernel size when omitted, padding counts as -inf.
        ceil_mode: keep a last window that is only partly inside.
        return_indices: also return where in the plane each maximum is.

    Returns:
        the maxima, nan where a window holds nan; the gradient goes to the first maximum.

    Raises:
        RuntimeError: wrong number of axes, too much padding, windows that do not fit.

    Example:
        >>> import fusegrad as fg
        >>> x = fg.arange(16.0).reshape(1, 4, 4)
        >>> fg.nn.functional.max_pool2d(x, 2).tolist()
        [[[5.0, 7.0], [13.0, 15.0]]]
    """
    axes = window_axes("max_pool2d", input, 2, kernel_size, stride, padding, dilation, ceil_mode)
    return _max_pool(input, axes, return_indices)


def max_pool3d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Maximum over windows of ``(N, C, D, H, W)`` or ``(C, D, H, W)``; see ``max_pool2d``."""
    axes = window_axes("max_pool3d", input, 3, kernel_size, stride, padding, dilation, ceil_mode)
    return _max_pool(input, axes, return_indices)


# --- mean -----------------------------------------------------------------------------------------
class _SumPool(Function):
    """Sums of disjoint windows; the gradient is the cotangent repeated over each window."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        ctx.axes = args[1]
        return _window_sums(*args)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        return fitted(repeated(grad_outputs[0], ctx.axes), ctx.axes), None


def _window_sums(x: Tensor, axes: Sequence[Axis]) -> Tensor:
    for axis in reversed(axes):
        values = taps(x, axis, 0)
        x = values[0]
        for value in values[1:]:
            x = ew.add(x, value)
    return x


def _sizes(axes: Sequence[Axis], count_include_pad: bool) -> np.ndarray:
    """Elements per window that a mean divides by: those inside the input or its padding."""
    total = np.ones((1,) * len(axes))
    for k, axis in enumerate(axes):
        begin = np.arange(axis.count) * axis.stride - axis.padding
        end = np.minimum(begin + axis.kernel, axis.extent + axis.padding)
        if not count_include_pad:
            begin, end = np.maximum(begin, 0), np.minimum(end, axis.extent)
        shape = [1] * len(axes)
        shape[k] = axis.count
        total = total * (end - begin).reshape(shape)
    return total


def _avg_pool(
    input: Tensor, axes: tuple[Axis, ...], count_include_pad: bool, divisor: int | None
) -> Tensor:
    if divisor == 0:
        raise RangeError("avg_pool with divisor_override=0", "divisor must be not zero.")
    apart = all(a.apart for a in axes)
    sums = _SumPool.apply(input, axes) if apart else _window_sums(input, axes)
    sizes = np.asarray(float(divisor)) if divisor else _sizes(axes, count_include_pad)
    if input.dtype.category < 2:
        whole = Tensor(np.asarray(sizes, input.dtype.np))
        return div(sums, whole, rounding_mode="trunc")
    if sizes.size and (sizes == sizes.flat[0]).all():
        return ew.mul(sums, 1.0 / float(sizes.flat[0]))
    counts = Tensor(stored(1.0 / sizes, input.dtype))
    return pointwise(ew.mul, sums, counts)


@rounds_to_input
def avg_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Mean over sliding windows of ``(N, C, L)`` or ``(C, L)``; see ``avg_pool2d``."""
    axes = window_axes("avg_pool1d", input, 1, kernel_size, stride, padding, 1, ceil_mode)
    return _avg_pool(input, axes, count_include_pad, None)


@rounds_to_input
def avg_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Mean over sliding windows of ``(N, C, H, W)`` or ``(C, H, W)``.

    Args:
        input: a floating dtype.
        kernel_size, stride, padding: integers or one per axis; padding counts as zero.
        ceil_mode: keep a last window that is only partly inside.
        count_include_pad: divide by the size of the window, padding included.
        divisor_override: divide by this instead.

    Raises:
        RuntimeError: wrong number of axes, too much padding, windows that do not fit.

    Example:
        >>> import fusegrad as fg
        >>> x = fg.arange(16.0).reshape(1, 4, 4)
        >>> fg.nn.functional.avg_pool2d(x, 2).tolist()
        [[[2.5, 4.5], [10.5, 12.5]]]
    """
    axes = window_axes("avg_pool2d", input, 2, kernel_size, stride, padding, 1, ceil_mode)
    return _avg_pool(input, axes, count_include_pad, divisor_override)


@rounds_to_input
def avg_pool3d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Mean over windows of ``(N, C, D, H, W)`` or ``(C, D, H, W)``; see ``avg_pool2d``."""
    axes = window_axes("avg_pool3d", input, 3, kernel_size, stride, padding, 1, ceil_mode)
    return _avg_pool(input, axes, count_include_pad, divisor_override)


# --- p-norm ---------------------------------------------------------------------------------------
def _lp_pool(
    name: str,
    input: Tensor,
    n: int,
    norm_type: float,
    kernel_size: Any,
    stride: Any,
    ceil_mode: bool,
) -> Tensor:
    axes = window_axes(name, input, n, kernel_size, stride, 0, 1, ceil_mode)
    powers = power(input, float(norm_type))
    mean_ = _avg_pool(powers, axes, True, None)
    signed = ew.mul(ew.sign(mean_), ew.abs_(mean_))
    total = ew.mul(signed, float(math.prod(a.kernel for a in axes)))
    return power(total, 1.0 / norm_type)


@rounds_to_input
def lp_pool1d(
    input: Tensor,
    norm_type: float,
    kernel_size: Any,
    stride: Any = None,
    ceil_mode: bool = False,
) -> Tensor:
    """(sum of x ** p) ** (1 / p) over windows of ``(N, C, L)`` or ``(C, L)``."""
    return _lp_pool("lp_pool1d", input, 1, norm_type, kernel_size, stride, ceil_mode)


@rounds_to_input
def lp_pool2d(
    input: Tensor,
    norm_type: float,
    kernel_size: Any,
    stride: Any = None,
    ceil_mode: bool = False,
) -> Tensor:
    """(sum of x ** p) ** (1 / p) over windows of ``(N, C, H, W)`` or ``(C, H, W)``."""
    return _lp_pool("lp_pool2d", input, 2, norm_type, kernel_size, stride, ceil_mode)


@rounds_to_input
def lp_pool3d(
    input: Tensor,
    norm_type: float,
    kernel_size: Any,
    stride: Any = None,
    ceil_mode: bool = False,
) -> Tensor:
    """(sum of x ** p) ** (1 / p) over windows of ``(N, C, D, H, W)`` or ``(C, D, H, W)``."""
    return _lp_pool("lp_pool3d", input, 3, norm_type, kernel_size, stride, ceil_mode)
