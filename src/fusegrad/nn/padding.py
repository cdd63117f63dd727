"""Padding layers: constants, zeros, reflections, edges and the other end."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import ArgumentError
from ..tensor import Tensor
from . import functional as F
from .module import Module


class _Pad(Module):
    dims = 1
    mode = "constant"

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        count = 2 * self.dims
        self.padding = (padding,) * count if isinstance(padding, int) else tuple(padding)
        if len(self.padding) != count:
            raise ArgumentError(
                f"{type(self).__name__}({padding})", f"Expected an integer or {count} of them."
            )

    def forward(self, input: Tensor) -> Tensor:
        """The padded input."""
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        """The padding."""
        return str(self.padding)


class ConstantPad1d(_Pad):
    """A constant before and after the last axis."""

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        """The padded input."""
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        """The padding and the constant."""
        return f"padding={self.padding}, value={self.value}"


class ConstantPad2d(ConstantPad1d):
    """A constant around the last two axes.

    Args:
        padding: an integer or (left, right, top, bottom).
        value: the constant.
    """

    dims = 2


class ConstantPad3d(ConstantPad1d):
    """A constant around the last three axes."""

    dims = 3


class ZeroPad1d(_Pad):
    """Zeros before and after the last axis."""


class ZeroPad2d(_Pad):
    """Zeros around the last two axes: an integer or (left, right, top, bottom).

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> nn.ZeroPad2d((1, 0, 0, 0))(fg.ones(1, 1, 2)).tolist()
        [[[0.0, 1.0, 1.0]]]
    """

    dims = 2


class ZeroPad3d(_Pad):
    """Zeros around the last three axes."""

    dims = 3


class ReflectionPad1d(_Pad):
    """The input mirrored at its ends, without repeating the ends."""

    mode = "reflect"


class ReflectionPad2d(ReflectionPad1d):
    """The input mirrored at its borders, without repeating the borders."""

    dims = 2


class ReflectionPad3d(ReflectionPad1d):
    """The input mirrored at its borders, without repeating the borders."""

    dims = 3


class ReplicationPad1d(_Pad):
    """The first and the last element repeated."""

    mode = "replicate"


class ReplicationPad2d(ReplicationPad1d):
    """The border repeated."""

    dims = 2


class ReplicationPad3d(ReplicationPad1d):
    """The border repeated."""

    dims = 3


class CircularPad1d(_Pad):
    """What lies beyond one end is the other end."""

    mode = "circular"


class CircularPad2d(CircularPad1d):
    """What lies beyond one border is the opposite one."""

    dims = 2


class CircularPad3d(CircularPad1d):
    """What lies beyond one border is the opposite one."""

    dims = 3
