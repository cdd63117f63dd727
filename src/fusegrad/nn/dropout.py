"""Dropout layers; they do nothing in evaluation mode."""

from __future__ import annotations

from ..errors import ArgumentError, ShapeError
from ..tensor import Tensor
from . import functional as F
from .module import Module


class Dropout(Module):
    """Zero each element with probability ``p`` and scale the others by 1 / (1 - p).

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> nn.Dropout(0.5).eval()(fg.ones(2)).tolist()
        [1.0, 1.0]
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if p < 0 or p > 1:
            raise ArgumentError(f"{type(self).__name__} with p={p}",
                                "dropout probability has to be between 0 and 1.")
        self.p = p
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """The input with elements dropped."""
        return F.dropout(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        """The options."""
        return f"p={self.p}, inplace={self.inplace}"


class _ChannelDropout(Dropout):
    """Zero whole channels; ``batched_ndim`` is the number of axes with a batch axis."""

    batched_ndim = 3

    def forward(self, input: Tensor) -> Tensor:
        """The input with channels dropped."""
        ndim = input.dim()  # type: ignore[attr-defined]
        if ndim not in (self.batched_ndim - 1, self.batched_ndim):
            raise ShapeError(
                f"{type(self).__name__} got {input.aval}",
                f"Expected {self.batched_ndim - 1} or {self.batched_ndim} axes.")
        batched = ndim == self.batched_ndim
        return F.feature_dropout(input, self.p, self.training, self.inplace, batched)


class Dropout1d(_ChannelDropout):
    """Zero whole channels of ``(N, C, L)``."""

    batched_ndim = 3


class Dropout2d(_ChannelDropout):
    """Zero whole channels of ``(N, C, H, W)``."""

    batched_ndim = 4


class Dropout3d(_ChannelDropout):
    """Zero whole channels of ``(N, C, D, H, W)``."""

    batched_ndim = 5


class AlphaDropout(Dropout):
    """Dropout that keeps the mean and variance of SELU activations."""

    def forward(self, input: Tensor) -> Tensor:
        """The input with elements saturated."""
        return F.alpha_dropout(input, self.p, self.training, self.inplace)
