"""Normalization by statistics of channels, groups and instances.

In: an input ``(N, C, ...)``. Out: the input with mean 0 and variance 1 over some axes, scaled and
shifted. Mean and variance are read in one pass; ``layers.py`` has the norms over last axes.
"""

from __future__ import annotations

import math
from typing import Any

from ... import dtypes
from ...autograd import Function, no_grad
from ...dtypes import float64
from ...errors import ArgumentError, ShapeError
from ...functions.arithmetic import floor_divide
from ...functions.common import cast, pointwise
from ...functions.pointwise import pow as power
from ...functions.reduction import mean, sum
from ...functions.rounding import rounds_to_input
from ...functions.shape import reshape
from ...ops import compare as cmp
from ...ops import elementwise as ew
from ...tensor import Tensor, grad_mode
from .windows import Axis, taps

__all__ = ["batch_norm", "group_norm", "instance_norm", "local_response_norm"]

Axes = tuple[int, ...]


class _Moments(Function):
    """Mean and biased variance over axes, kept with extent 1.

    The gradient is written down because the one that a composition has subtracts a mean of
    centred values, which is zero, and would read everything once more to find that out.
    """

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        x, axes = args
        count = max(math.prod(x.aval.shape[a] for a in axes), 1)
        if x.dtype is float64:
            centre = mean(x, axes, keepdim=True)
            apart = pointwise(ew.sub, x, centre)
            variance = mean(ew.mul(apart, apart), axes, keepdim=True)
        else:  # one pass: the square of the mean cancels harmlessly in twice the digits
            wide = cast(x, float64)
            centre = ew.mul(sum(wide, axes, keepdim=True), 1.0 / count)
            square = ew.mul(sum(ew.mul(wide, wide), axes, keepdim=True), 1.0 / count)
            variance = cast(ew.maximum(ew.sub(square, ew.mul(centre, centre)), 0.0), x.dtype)
            centre = cast(centre, x.dtype)
        ctx.axes, ctx.count = axes, count
        ctx.save_for_backward(x, centre)
        return centre, variance

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        x, centre = ctx.saved_tensors
        of_mean, of_variance = (ew.mul(g, 1.0 / ctx.count) for g in grad_outputs)
        if grad_mode.enabled:  # the pass is differentiated in turn: the mean depends on x
            centre = mean(x, ctx.axes, keepdim=True)
        apart = pointwise(ew.sub, x, centre)
        slope = pointwise(ew.mul, apart, ew.mul(of_variance, 2.0))
        return pointwise(ew.add, slope, of_mean), None


def _normalized(
    x: Tensor,
    centre: Tensor,
    variance: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> Tensor:
    scale = ew.rsqrt(ew.add(variance, eps))
    if weight is not None:
        scale = pointwise(ew.mul, scale, weight)
    out = pointwise(ew.mul, pointwise(ew.sub, x, centre), scale)
    return out if bias is None else pointwise(ew.add, out, bias)


def _column(value: Tensor | None, ndim: int) -> Tensor | None:
    """One value per channel shaped to broadcast over ``(N, C, ...)``."""
    return None if value is None else reshape(value, (1, -1, *([1] * (ndim - 2))))


def _check_channels(name: str, channels: int, **parts: Tensor | None) -> None:
    for label, part in parts.items():
        if part is not None and part.aval.shape != (channels,):
            raise ShapeError(
                f"{name} got {label} {part.aval}",
                f"{label} should contain {channels} elements, one per channel.",
            )


def _track(
    running_mean: Tensor | None,
    running_var: Tensor | None,
    centre: Tensor,
    variance: Tensor,
    count: int,
    momentum: Any,
) -> None:
    """Move the running statistics towards those of this batch, in place."""
    unbiased = count / (count - 1) if count > 1 else math.nan
    with no_grad():
        for running, value, factor in (
            (running_mean, centre, 1.0),
            (running_var, variance, unbiased),
        ):
            if running is None:
                continue
            here = reshape(value.detach(), running.aval.shape)  # type: ignore[attr-defined]
            before = cast(running, running.dtype.compute)
            here = ew.mul(cast(here, before.dtype), factor)
            step = pointwise(ew.mul, ew.sub(here, before), momentum)
            running._assign(ew.add(before, step), "running statistics")


@rounds_to_input
def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: Any = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Mean 0 and variance 1 in each channel (Ioffe and Szegedy 2015), then weight and bias.

    Args:
        input: ``(N, C)`` or ``(N, C, ...)``.
        running_mean, running_var: ``(C)``; moved towards the batch in training, else used.
        weight, bias: ``(C)`` or ``None``.
        training: use the statistics of the batch.
        momentum: how far the running statistics move.
        eps: added to the variance.

    Raises:
        RuntimeError: parameters without one element per channel.
        ValueError: training with a single value per channel.
    """
    shape = input.aval.shape
    if shape == (0,):
        return cmp.convert(input, dtype=input.dtype)
    if len(shape) < 2:
        raise ShapeError(f"batch_norm got {input.aval}", "Expected (N, C) or (N, C, ...).")
    _check_channels(
        "batch_norm",
        shape[1],
        running_mean=running_mean,
        running_var=running_var,
        weight=weight,
        bias=bias,
    )
    gain, shift = _column(weight, len(shape)), _column(bias, len(shape))
    if not training:
        if running_mean is None or running_var is None:
            raise ShapeError(
                "batch_norm without running statistics",
                "running_mean and running_var must be defined in evaluation mode.",
                "training=True",
            )
        centre, variance = _column(running_mean, len(shape)), _column(running_var, len(shape))
        assert centre is not None and variance is not None
        return _normalized(input, centre, variance, gain, shift, eps)
    axes = tuple(a for a in range(len(shape)) if a != 1)
    count = math.prod(shape[a] for a in axes)
    if count == 1:
        raise ArgumentError(
            f"batch_norm got {input.aval}",
            f"Expected more than 1 value per channel when training, got input size {input.shape}.",
            "model.eval(), or a larger batch",
        )
    centre, variance = _Moments.apply(input, axes)
    _track(running_mean, running_var, centre, variance, count, momentum)
    return _normalized(input, centre, variance, gain, shift, eps)


@rounds_to_input
def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: Any = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Mean 0 and variance 1 in each channel of each sample, then weight and bias.

    Args:
        input: ``(N, C, ...)``.
        running_mean, running_var: ``(C)``; moved towards the mean over the batch.
        use_input_stats: use the statistics of the input instead of the running ones.

    Raises:
        ValueError: a single element per channel.
    """
    shape = input.aval.shape
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    count = math.prod(shape[2:])
    if count == 1:
        raise ArgumentError(
            f"instance_norm got {input.aval}",
            f"Expected more than 1 spatial element when training, got input size {input.shape}.",
        )
    _check_channels(
        "instance_norm",
        shape[1],
        running_mean=running_mean,
        running_var=running_var,
        weight=weight,
        bias=bias,
    )
    centre, variance = _Moments.apply(input, tuple(range(2, len(shape))))
    if running_mean is not None or running_var is not None:
        batch = [mean(v.detach(), 0, keepdim=True) for v in (centre, variance)]
        _track(running_mean, running_var, batch[0], batch[1], count, momentum)
    gain, shift = _column(weight, len(shape)), _column(bias, len(shape))
    return _normalized(input, centre, variance, gain, shift, eps)


@rounds_to_input
def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Mean 0 and variance 1 in each group of channels (Wu and He 2018), then weight and bias.

    Args:
        input: ``(N, C, ...)``.
        num_groups: divides C.

    Raises:
        RuntimeError: ``num_groups`` does not divide the channels.
    """
    shape = input.aval.shape
    if len(shape) < 2 or num_groups < 1 or shape[1] % num_groups:
        raise ShapeError(
            f"group_norm of {input.aval} with num_groups={num_groups}",
            "Expected number of channels in input to be divisible by num_groups.",
        )
    _check_channels("group_norm", shape[1], weight=weight, bias=bias)
    inside = shape[1] // num_groups
    if math.prod((shape[0], inside, *shape[2:])) == 1:
        raise ArgumentError(
            f"group_norm got {input.aval}",
            f"Expected more than 1 value per channel when training, got input size {input.shape}.",
            "a larger batch, or fewer groups",
        )
    x = reshape(input, (shape[0], num_groups, inside, *shape[2:]))
    centre, variance = _Moments.apply(x, tuple(range(2, x.aval.ndim)))
    spread = (1, num_groups, inside, *([1] * (len(shape) - 2)))
    gain, shift = (None if p is None else reshape(p, spread) for p in (weight, bias))
    return reshape(_normalized(x, centre, variance, gain, shift, eps), shape)


@rounds_to_input
def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """x / (k + alpha * mean of x ** 2 over ``size`` neighbouring channels) ** beta.

    Args:
        input: ``(N, C, ...)`` with at least 3 axes.

    Raises:
        ValueError: fewer than 3 axes.
    """
    shape = input.aval.shape
    if len(shape) < 3:
        raise ArgumentError(
            f"local_response_norm got {input.aval}",
            f"Expected 3D or higher dimensionality input (got {len(shape)} dimensions).",
        )
    if not input.aval.size:
        return input
    window = Axis(1, shape[1], size, 1, size // 2, 1, shape[1])
    squares = taps(ew.mul(input, input), window, 0)
    total = squares[0]
    for square in squares[1:]:
        total = ew.add(total, square)
    if input.dtype.category < 2:  # PyTorch's pooling of integers gives whole means
        mean_ = cast(floor_divide(total, size), dtypes.get_default_dtype())
        return pointwise(ew.div, input, power(ew.add(ew.mul(mean_, alpha), k), beta))
    return ew.div(input, power(ew.add(ew.mul(total, alpha / size), k), beta))
