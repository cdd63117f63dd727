"""Sliding windows over the last axes, as shifted strided slices that move no bytes.

In: kernel, stride, padding and dilation as users give them. Out: ``Axis`` per windowed axis, and
``taps``: for each place in a window the elements that windows have there. Next: ``pooling.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import ShapeError
from ...ops import movement
from ...tensor import Tensor


@dataclass(frozen=True)
class Axis:
    """Windows along one axis: output ``o`` reads ``o * stride - padding + t * dilation``.

    Attributes:
        index: the axis of the tensor.
        extent: its elements.
        kernel: elements per window, ``0 <= t < kernel``.
        count: number of windows.
    """

    index: int
    extent: int
    kernel: int
    stride: int
    padding: int
    dilation: int
    count: int

    @property
    def apart(self) -> bool:
        """Whether the windows are whole, disjoint pieces: a reshape separates them."""
        return self.stride == self.kernel and self.dilation == 1

    @property
    def span(self) -> int:
        """End of the last window, counted from the first padded element."""
        return (self.count - 1) * self.stride + (self.kernel - 1) * self.dilation + 1


def entries(value: Any, n: int, name: str) -> tuple[int, ...]:
    """One integer per axis from an integer or a sequence of 1 or ``n``."""
    if isinstance(value, Sequence):
        found = tuple(int(v) for v in value)
        found = found * n if len(found) == 1 else found
    else:
        found = (int(value),) * n
    if len(found) != n:
        raise ShapeError(f"{name}={value}", f"Expected an integer or {n} of them.")
    return found


def window_axes(
    name: str,
    input: Tensor,
    n: int,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> tuple[Axis, ...]:
    """Windows over the last ``n`` axes of ``(N, C, ...)`` or ``(C, ...)``.

    Raises:
        RuntimeError: wrong number of axes, windows that do not fit, too much padding.
    """
    shape = input.aval.shape
    if len(shape) not in (n + 1, n + 2) or any(e == 0 for e in shape[len(shape) - n - 1 :]):
        raise ShapeError(
            f"{name} got {input.aval}",
            f"Expected {n + 1} or {n + 2} axes, (C, ...) or (N, C, ...), empty only in N.",
        )
    kernel = entries(kernel_size, n, "kernel_size")
    steps = kernel if stride is None or stride == () else entries(stride, n, "stride")
    pads, gaps = entries(padding, n, "padding"), entries(dilation, n, "dilation")
    found = []
    for k in range(n):
        if kernel[k] < 1 or steps[k] < 1 or gaps[k] < 1:
            raise ShapeError(
                f"{name} with kernel_size={kernel}, stride={steps}, dilation={gaps}",
                "kernel_size, stride and dilation must be greater than zero.",
            )
        if pads[k] < 0 or pads[k] > ((kernel[k] - 1) * gaps[k] + 1) // 2:
            raise ShapeError(
                f"{name} with padding={pads} and kernel_size={kernel}",
                "pad should be at most half of effective kernel size, and not negative.",
            )
        axis = len(shape) - n + k
        free = shape[axis] + 2 * pads[k] - gaps[k] * (kernel[k] - 1) - 1
        count = (free + (steps[k] - 1 if ceil_mode else 0)) // steps[k] + 1
        if ceil_mode and (count - 1) * steps[k] >= shape[axis] + pads[k]:
            count -= 1  # the last window must begin inside the input or its left padding
        if count < 1:
            raise ShapeError(
                f"{name} of {input.aval} with kernel_size={kernel} and padding={pads}",
                "The windows are larger than the padded input; the output would be too small.",
            )
        found.append(Axis(axis, shape[axis], kernel[k], steps[k], pads[k], gaps[k], count))
    return tuple(found)


def taps(x: Tensor, axis: Axis, fill: float | int) -> list[Tensor]:
    """Element ``t`` of every window along one axis, for each ``t``; ``fill`` outside."""
    ndim, high = x.aval.ndim, max(0, axis.span - axis.padding - axis.extent)
    if axis.padding or high:
        x = movement.pad(
            x,
            low=_at(ndim, axis.index, axis.padding, 0),
            high=_at(ndim, axis.index, high, 0),
            interior=(0,) * ndim,
            value=fill,
        )
    found = []
    for t in range(axis.kernel):
        start = t * axis.dilation
        limit = list(x.aval.shape)
        limit[axis.index] = start + (axis.count - 1) * axis.stride + 1
        found.append(
            movement.slice_(
                x,
                start=_at(ndim, axis.index, start, 0),
                limit=tuple(limit),
                step=_at(ndim, axis.index, axis.stride, 1),
            )
        )
    return found


def untap(x: Tensor, axis: Axis, t: int) -> Tensor:
    """The transpose of tap ``t``: windows' elements put back where they came from, else zero."""
    ndim, start = x.aval.ndim, t * axis.dilation - axis.padding
    end = start + (axis.count - 1) * axis.stride + 1
    return movement.pad(
        x,
        low=_at(ndim, axis.index, start, 0),
        high=_at(ndim, axis.index, axis.extent - end, 0),
        interior=_at(ndim, axis.index, axis.stride - 1, 0),
        value=0,
    )


def fitted(x: Tensor, axes: Sequence[Axis]) -> Tensor:
    """Crop or zero-pad whole pieces laid end to end to the extents of the input."""
    low, high = [0] * x.aval.ndim, [0] * x.aval.ndim
    for a in axes:
        low[a.index] = -a.padding
        high[a.index] = a.extent + a.padding - x.aval.shape[a.index]
    if not any(low) and not any(high):
        return x
    return movement.pad(x, low=tuple(low), high=tuple(high), interior=(0,) * x.aval.ndim, value=0)


def repeated(x: Tensor, axes: Sequence[Axis]) -> Tensor:
    """One value per window of disjoint windows, repeated over the window's elements."""
    shape: list[int] = []
    places = []
    windowed = {a.index: a for a in axes}
    for k, extent in enumerate(x.aval.shape):
        places.append(len(shape))
        shape += [extent, windowed[k].kernel] if k in windowed else [extent]
    wide = movement.broadcast(x, shape=tuple(shape), axes=tuple(places))
    laid = tuple(n * windowed[k].kernel if k in windowed else n for k, n in enumerate(x.aval.shape))
    return movement.reshape(wide, shape=laid)


def _at(ndim: int, axis: int, value: int, other: int) -> tuple[int, ...]:
    return tuple(value if k == axis else other for k in range(ndim))
