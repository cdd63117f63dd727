"""Layers of convolutions and transposed convolutions over one, two or three spatial axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dtypes import DType
from ..errors import ArgumentError, ShapeError
from ..functions.convolution import extents, same_padding
from ..functions.creation import empty
from ..functions.indexing import index_select
from ..tensor import Tensor
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter

Ints = tuple[int, ...]
Size = int | Sequence[int]
PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def _padded_index(name: str, mode: str, extent: int, low: int, high: int) -> np.ndarray:
    """For each position of a padded axis, the position it repeats."""
    places = np.arange(-low, extent + high)
    if mode == "replicate":
        return np.clip(places, 0, extent - 1)
    limit = extent - 1 if mode == "reflect" else extent
    if max(low, high) > limit:
        raise ShapeError(
            f"{name} pads an axis of {extent} by {low} and {high} with mode {mode!r}",
            f"Padding that {'reflects' if mode == 'reflect' else 'wraps'} must be at most {limit}.",
            "less padding, or padding_mode='zeros'",
        )
    if mode == "circular":
        return places % extent
    return (extent - 1) - np.abs((extent - 1) - np.abs(places))


class _ConvNd(Module):
    """What all convolution layers share: options, parameters, representation."""

    rank = 0
    transposed = False
    bias: Any
    weight: Any

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size,
        padding: Size | str,
        dilation: Size,
        output_padding: Size,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: DType | None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self._check(name, in_channels, out_channels, groups, padding_mode)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = extents(name, "kernel_size", kernel_size, self.rank)
        self.stride = extents(name, "stride", stride, self.rank)
        self.dilation = extents(name, "dilation", dilation, self.rank)
        self.output_padding = extents(name, "output_padding", output_padding, self.rank)
        self.groups = groups
        self.padding_mode = padding_mode
        self.padding = self._padding(name, padding)
        outer, inner = (
            (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        )
        self.weight = Parameter(
            empty(outer, inner // groups, *self.kernel_size, device=device, dtype=dtype)
        )
        if bias:
            self.bias = Parameter(empty(out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    @staticmethod
    def _check(name: str, inputs: int, outputs: int, groups: int, padding_mode: str) -> None:
        if groups <= 0:
            raise ArgumentError(f"{name} with groups={groups}", "groups must be a positive integer")
        for option, channels in (("in_channels", inputs), ("out_channels", outputs)):
            if channels % groups:
                raise ArgumentError(
                    f"{name} with {option}={channels} and groups={groups}",
                    f"{option} must be divisible by groups",
                )
        if padding_mode not in PADDING_MODES:
            raise ArgumentError(
                f"{name} with padding_mode={padding_mode!r}",
                "The padding mode is one of four.",
                " or ".join(repr(mode) for mode in PADDING_MODES),
            )

    def _padding(self, name: str, padding: Size | str) -> Any:
        if not isinstance(padding, str):
            return extents(name, "padding", padding, self.rank)
        if padding not in ("same", "valid"):
            raise ArgumentError(
                f"{name} with padding={padding!r}",
                "A padding given by name is one of two.",
                "padding='same' or padding='valid'",
            )
        if padding == "same" and any(s != 1 for s in self.stride):
            raise ArgumentError(
                f"{name} with padding='same' and stride={self.stride}",
                "padding='same' is not supported for strided convolutions",
                "give the padding as numbers",
            )
        return padding

    def reset_parameters(self) -> None:
        """Draw weight and bias uniformly in +-1 / sqrt(elements of a window)."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in = math.prod(self.weight.shape[1:])
            if fan_in:
                bound = 1 / math.sqrt(fan_in)
                init.uniform_(self.bias, -bound, bound)

    def _surrounded(self, input: Tensor) -> Tensor:
        """The input padded by its own values."""
        low = high = self.padding
        if isinstance(low, str):
            low = high = (0,) * self.rank
            if self.padding == "same":
                low, high = same_padding(self.kernel_size, self.dilation)
        name = type(self).__name__
        for axis in range(self.rank):
            at = input.aval.ndim - self.rank + axis
            if low[axis] or high[axis]:
                extent = input.aval.shape[at]
                index = _padded_index(name, self.padding_mode, extent, low[axis], high[axis])
                input = index_select(input, at, Tensor(index))
        return input

    def extra_repr(self) -> str:
        """Channels, and the options that differ from their defaults."""
        ones, zeros = (1,) * self.rank, (0,) * self.rank
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        for option, default in (
            ("padding", zeros), ("dilation", ones), ("output_padding", zeros), ("groups", 1),
        ):  # fmt: skip
            value = getattr(self, option)
            if value != default:
                text += f", {option}={value}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class _Conv(_ConvNd):
    """A convolution layer; subclasses say over how many axes."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, 0, groups, bias,
            padding_mode, device, dtype,
        )  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer to ``[N, in_channels, ...]`` or ``[in_channels, ...]``."""
        function = (F.conv1d, F.conv2d, F.conv3d)[self.rank - 1]
        padding = self.padding
        if self.padding_mode != "zeros":
            input, padding = self._surrounded(input), 0
        options = (self.stride, padding, self.dilation, self.groups)
        return function(input, self.weight, self.bias, *options)


class _ConvTranspose(_ConvNd):
    """A transposed convolution layer; subclasses say over how many axes."""

    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        if padding_mode != "zeros":
            raise ArgumentError(
                f"{type(self).__name__} with padding_mode={padding_mode!r}",
                'Only "zeros" padding mode is supported for transposed convolutions',
                "padding_mode='zeros'",
            )
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, output_padding,
            groups, bias, padding_mode, device, dtype,
        )  # fmt: skip

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """Apply the layer; ``output_size`` chooses among the extents that the stride allows."""
        function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[self.rank - 1]
        extra = self.output_padding
        if output_size is not None:
            extra = self._extra(input, list(output_size))
        options = (self.stride, self.padding, extra, self.groups, self.dilation)
        return function(input, self.weight, self.bias, *options)

    def _extra(self, input: Tensor, output_size: list[int]) -> Ints:
        """The output padding that gives ``output_size``."""
        name, rank = type(self).__name__, self.rank
        if len(output_size) == input.aval.ndim and len(output_size) > rank:
            output_size = output_size[-rank:]
        if len(output_size) != rank:
            raise ArgumentError(
                f"{name} with output_size={output_size}",
                f"output_size has {rank} extents, or one for each axis of the input.",
            )
        least = [
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, s, p, d, k in zip(
                input.aval.shape[-rank:], self.stride, self.padding, self.dilation,
                self.kernel_size, strict=True,
            )
        ]  # fmt: skip
        extra = tuple(want - low for want, low in zip(output_size, least, strict=True))
        if any(not 0 <= e < s for e, s in zip(extra, self.stride, strict=True)):
            most = [low + s - 1 for low, s in zip(least, self.stride, strict=True)]
            raise ArgumentError(
                f"{name} got input {input.aval} and output_size={output_size}",
                f"Extents from {least} to {most} are possible.",
                f"output_size={least}",
            )
        return extra


class Conv1d(_Conv):
    """Convolution over one spatial axis, of ``[N, in_channels, L]``.

    Args:
        in_channels, out_channels: channels of the input and of the output.
        kernel_size, stride, dilation: one number, or one for each spatial axis.
        padding: likewise, or ``"same"`` or ``"valid"``.
        groups: runs of channels that do not meet.
        bias: whether there is a bias.
        padding_mode: ``"zeros"``, ``"reflect"``, ``"replicate"`` or ``"circular"``.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> nn.Conv1d(3, 6, kernel_size=3, padding=1)(fg.ones(2, 3, 8)).shape
        fusegrad.Size([2, 6, 8])
    """

    rank = 1


class Conv2d(_Conv):
    """Convolution over two spatial axes, of ``[N, in_channels, H, W]``.

    Args:
        in_channels, out_channels: channels of the input and of the output.
        kernel_size, stride, dilation: one number, or one for each spatial axis.
        padding: likewise, or ``"same"`` or ``"valid"``.
        groups: runs of channels that do not meet.
        bias: whether there is a bias.
        padding_mode: ``"zeros"``, ``"reflect"``, ``"replicate"`` or ``"circular"``.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> nn.Conv2d(3, 6, kernel_size=3, padding=1)(fg.ones(2, 3, 8, 8)).shape
        fusegrad.Size([2, 6, 8, 8])
    """

    rank = 2


class Conv3d(_Conv):
    """Convolution over three spatial axes, of ``[N, in_channels, D, H, W]``.

    Args:
        in_channels, out_channels: channels of the input and of the output.
        kernel_size, stride, dilation: one number, or one for each spatial axis.
        padding: likewise, or ``"same"`` or ``"valid"``.
        groups: runs of channels that do not meet.
        bias: whether there is a bias.
        padding_mode: ``"zeros"``, ``"reflect"``, ``"replicate"`` or ``"circular"``.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> nn.Conv3d(3, 6, kernel_size=3, padding=1)(fg.ones(2, 3, 4, 4, 4)).shape
        fusegrad.Size([2, 6, 4, 4, 4])
    """

    rank = 3


class ConvTranspose1d(_ConvTranspose):
    """Transposed convolution over one spatial axis: the input gradient of ``Conv1d`` as a layer.

    Args:
        in_channels, out_channels: channels of the input and of the output.
        kernel_size, stride, padding, dilation: of the convolution that is transposed.
        output_padding: what is added to the extents on one side.
        groups: runs of channels that do not meet.
        bias: whether there is a bias.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> nn.ConvTranspose1d(3, 6, kernel_size=2, stride=2)(fg.ones(2, 3, 8)).shape
        fusegrad.Size([2, 6, 16])
    """

    rank = 1


class ConvTranspose2d(_ConvTranspose):
    """Transposed convolution over two spatial axes: the input gradient of ``Conv2d`` as a layer.

    Args:
        in_channels, out_channels: channels of the input and of the output.
        kernel_size, stride, padding, dilation: of the convolution that is transposed.
        output_padding: what is added to the extents on one side.
        groups: runs of channels that do not meet.
        bias: whether there is a bias.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> nn.ConvTranspose2d(3, 6, kernel_size=2, stride=2)(fg.ones(2, 3, 8, 8)).shape
        fusegrad.Size([2, 6, 16, 16])
    """

    rank = 2


class ConvTranspose3d(_ConvTranspose):
    """Transposed convolution over three spatial axes: the input gradient of ``Conv3d`` as a layer.

    Args:
        in_channels, out_channels: channels of the input and of the output.
        kernel_size, stride, padding, dilation: of the convolution that is transposed.
        output_padding: what is added to the extents on one side.
        groups: runs of channels that do not meet.
        bias: whether there is a bias.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> nn.ConvTranspose3d(3, 6, kernel_size=2, stride=2)(fg.ones(2, 3, 4, 4, 4)).shape
        fusegrad.Size([2, 6, 8, 8, 8])
    """

    rank = 3
