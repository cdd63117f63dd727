"""Normalization by statistics of channels: BatchNorm, InstanceNorm, GroupNorm and relatives."""

from __future__ import annotations

import warnings
from typing import Any

from ..dtypes import DType, get_default_dtype, int64
from ..errors import ArgumentError
from ..functions.creation import ones, tensor, zeros
from ..functions.pointwise import reciprocal
from ..functions.shape import squeeze, unsqueeze
from ..tensor import Tensor
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter


class _NormBase(Module):
    """Weight, bias and running statistics of one value per channel."""

    _version = 2
    weight: Any
    bias: Any
    running_mean: Any
    running_var: Any
    num_batches_tracked: Any

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        device: Any,
        dtype: DType | None,
        bias: bool,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        if affine:
            self.weight = Parameter(ones(num_features, device=device, dtype=dtype))
        else:
            self.register_parameter("weight", None)
        if affine and bias:
            self.bias = Parameter(zeros(num_features, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        kept = track_running_stats
        mean = zeros(num_features, device=device, dtype=dtype) if kept else None
        var = ones(num_features, device=device, dtype=dtype) if kept else None
        count = tensor(0, device=device, dtype=int64) if kept else None
        self.register_buffer("running_mean", mean)
        self.register_buffer("running_var", var)
        self.register_buffer("num_batches_tracked", count)

    def reset_running_stats(self) -> None:
        """Forget the running statistics: mean 0, variance 1, no batches."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Forget the running statistics; weight 1, bias 0."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _check_input_dim(self, input: Tensor) -> None:
        """Refuse inputs with a wrong number of axes."""

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )


def _require_axes(module: Module, input: Tensor, *allowed: int) -> None:
    ndim = input.aval.ndim
    if ndim not in allowed:
        wanted = " or ".join(f"{n}D" for n in allowed)
        raise ArgumentError(
            f"{type(module).__name__} got {input.aval}",
            f"expected {wanted} input (got {ndim}D input).",
        )


class _BatchNorm(_NormBase):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: DType | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias
        )

    def forward(self, input: Tensor) -> Tensor:
        """The normalized input; in training the running statistics move."""
        self._check_input_dim(input)
        momentum: Any = 0.0 if self.momentum is None else self.momentum
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:  # the average over all batches so far
                kind = get_default_dtype() if self.running_mean is None else self.running_mean.dtype
                momentum = reciprocal(self.num_batches_tracked.to(kind))
        track = not self.training or self.track_running_stats
        return F.batch_norm(
            input,
            self.running_mean if track else None,
            self.running_var if track else None,
            self.weight,
            self.bias,
            self.training or (self.running_mean is None and self.running_var is None),
            momentum,
            self.eps,
        )


class BatchNorm1d(_BatchNorm):
    """Batch normalization of ``(N, C)`` or ``(N, C, L)``; see ``BatchNorm2d``."""

    def _check_input_dim(self, input: Tensor) -> None:
        _require_axes(self, input, 2, 3)


class BatchNorm2d(_BatchNorm):
    """Mean 0 and variance 1 in each channel of ``(N, C, H, W)`` (Ioffe and Szegedy 2015).

    In training the statistics are those of the batch and move the running ones, which are used in
    evaluation.

    Args:
        num_features: number of channels C.
        eps: added to the variance.
        momentum: how far the running statistics move; ``None`` for the average over all batches.
        affine: whether there are a learned scale and shift.
        track_running_stats: whether there are running statistics.
        bias: whether there is a shift.

    Raises:
        ValueError: an input without 4 axes, or training with one value per channel.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> norm = nn.BatchNorm2d(2)
        >>> x = fg.arange(8.0).reshape(1, 2, 2, 2)
        >>> norm(x).mean((0, 2, 3)).tolist()
        [0.0, 0.0]
        >>> norm.running_mean.tolist()
        [0.15000000596046448, 0.550000011920929]
    """

    def _check_input_dim(self, input: Tensor) -> None:
        _require_axes(self, input, 4)


class BatchNorm3d(_BatchNorm):
    """Batch normalization of ``(N, C, D, H, W)``; see ``BatchNorm2d``."""

    def _check_input_dim(self, input: Tensor) -> None:
        _require_axes(self, input, 5)


class _InstanceNorm(_NormBase):
    axes = 2

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: DType | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias
        )

    def forward(self, input: Tensor) -> Tensor:
        """The normalized input; in training tracked statistics move."""
        _require_axes(self, input, self.axes, self.axes + 1)
        single = input.aval.ndim == self.axes
        axis = 0 if single else 1
        channels = input.aval.shape[axis]
        if channels != self.num_features:
            text = f"expected input's size at dim={axis} to match num_features"
            if self.affine:
                raise ArgumentError(
                    f"{type(self).__name__}({self.num_features}) got {input.aval}",
                    f"{text} ({self.num_features}), but got: {channels}.",
                )
            warnings.warn(f"{text}; num_features is not used because affine=False", stacklevel=2)
        out = F.instance_norm(
            unsqueeze(input, 0) if single else input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return squeeze(out, 0) if single else out


class InstanceNorm1d(_InstanceNorm):
    """Mean 0 and variance 1 in each channel of each sample of ``(N, C, L)`` or ``(C, L)``."""


class InstanceNorm2d(_InstanceNorm):
    """Mean 0 and variance 1 in each channel of each sample of ``(N, C, H, W)``.

    Args:
        num_features: number of channels C.
        eps: added to the variance.
        momentum: how far tracked statistics move.
        affine: whether there are a learned scale and shift.
        track_running_stats: use running statistics in evaluation.
        bias: whether an affine layer has a shift.
    """

    axes = 3


class InstanceNorm3d(_InstanceNorm):
    """Mean 0 and variance 1 in each channel of each sample of ``(N, C, D, H, W)``."""

    axes = 4


class GroupNorm(Module):
    """Mean 0 and variance 1 in each group of channels of ``(N, C, ...)`` (Wu and He 2018).

    Args:
        num_groups: number of groups; divides ``num_channels``.
        num_channels: number of channels C.
        eps: added to the variance.
        affine: whether there are a learned scale and shift per channel.
        bias: whether there is a shift.

    Raises:
        ValueError: the groups do not divide the channels.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> nn.GroupNorm(1, 2, eps=0)(fg.tensor([[[1.0], [3.0]]])).tolist()
        [[[-1.0], [1.0]]]
    """

    weight: Any
    bias: Any

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: DType | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_channels % num_groups != 0:
            raise ArgumentError(
                f"GroupNorm({num_groups}, {num_channels})",
                f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups}).",
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        if affine:
            self.weight = Parameter(ones(num_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("weight", None)
        if affine and bias:
            self.bias = Parameter(zeros(num_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)

    def reset_parameters(self) -> None:
        """Set the weight to 1 and the bias to 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """The normalized input."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class LocalResponseNorm(Module):
    """Each element over a power of the mean square of its neighbouring channels.

    Args:
        size: number of neighbouring channels.
        alpha, beta, k: x / (k + alpha * mean square) ** beta.
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        """The normalized input."""
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """The options."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
