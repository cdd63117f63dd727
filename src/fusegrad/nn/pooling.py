"""Pooling layers: maxima, means and p-norms of windows; their inverse; given output sizes."""

from __future__ import annotations

from typing import Any

from ..errors import ArgumentError
from ..functions.random import rand
from ..tensor import Tensor
from . import functional as F
from .functional.windows import entries
from .module import Module


class _MaxPool(Module):
    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def _options(self) -> tuple[Any, ...]:
        return (
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """Maximum over sliding windows of ``(N, C, L)`` or ``(C, L)``."""

    def forward(self, input: Tensor) -> Any:
        """The maxima, and their places with ``return_indices``."""
        return F.max_pool1d(input, *self._options())


class MaxPool2d(_MaxPool):
    """Maximum over sliding windows of ``(N, C, H, W)`` or ``(C, H, W)``.

    Args:
        kernel_size: an integer or one per axis.
        stride: the kernel size when omitted.
        padding: counts as -inf.
        dilation: distance between the elements of a window.
        return_indices: also return where in the plane each maximum is.
        ceil_mode: keep a last window that is only partly inside.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> nn.MaxPool2d(2)(fg.arange(16.0).reshape(1, 4, 4)).tolist()
        [[[5.0, 7.0], [13.0, 15.0]]]
    """

    def forward(self, input: Tensor) -> Any:
        """The maxima, and their places with ``return_indices``."""
        return F.max_pool2d(input, *self._options())


class MaxPool3d(_MaxPool):
    """Maximum over windows of ``(N, C, D, H, W)`` or ``(C, D, H, W)``."""

    def forward(self, input: Tensor) -> Any:
        """The maxima, and their places with ``return_indices``."""
        return F.max_pool3d(input, *self._options())


class _MaxUnpool(Module):
    dims = 2

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        self.kernel_size = entries(kernel_size, self.dims, "kernel_size")
        self.stride = entries(kernel_size if stride is None else stride, self.dims, "stride")
        self.padding = entries(padding, self.dims, "padding")

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        """The maxima at their places, zeros elsewhere."""
        function = getattr(F, f"max_unpool{self.dims}d")
        return function(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        """The options."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """Inverse of ``MaxPool1d``: maxima at their places, zeros elsewhere."""

    dims = 1


class MaxUnpool2d(_MaxUnpool):
    """Inverse of ``MaxPool2d``: maxima at their places, zeros elsewhere."""


class MaxUnpool3d(_MaxUnpool):
    """Inverse of ``MaxPool3d``: maxima at their places, zeros elsewhere."""

    dims = 3


class AvgPool1d(Module):
    """Mean over sliding windows of ``(N, C, L)`` or ``(C, L)``."""

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = entries(kernel_size, 1, "kernel_size")
        self.stride = entries(kernel_size if stride is None else stride, 1, "stride")
        self.padding = entries(padding, 1, "padding")
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        """The means."""
        return F.avg_pool1d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
        )

    def extra_repr(self) -> str:
        """The options."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(Module):
    """Mean over sliding windows of ``(N, C, H, W)`` or ``(C, H, W)``.

    Args:
        kernel_size: an integer or one per axis.
        stride: the kernel size when omitted.
        padding: counts as zero.
        ceil_mode: keep a last window that is only partly inside.
        count_include_pad: divide by the size of the window, padding included.
        divisor_override: divide by this instead.
    """

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def _options(self) -> tuple[Any, ...]:
        return (
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def forward(self, input: Tensor) -> Tensor:
        """The means."""
        return F.avg_pool2d(input, *self._options())

    def extra_repr(self) -> str:
        """The options."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool3d(AvgPool2d):
    """Mean over windows of ``(N, C, D, H, W)`` or ``(C, D, H, W)``."""

    def forward(self, input: Tensor) -> Tensor:
        """The means."""
        return F.avg_pool3d(input, *self._options())


class _LPPool(Module):
    def __init__(
        self,
        norm_type: float,
        kernel_size: Any,
        stride: Any = None,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def _options(self) -> tuple[Any, ...]:
        return float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}, ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """(sum of x ** p) ** (1 / p) over sliding windows of ``(N, C, L)`` or ``(C, L)``."""

    def forward(self, input: Tensor) -> Tensor:
        """The norms."""
        return F.lp_pool1d(input, *self._options())


class LPPool2d(_LPPool):
    """(sum of x ** p) ** (1 / p) over sliding windows of ``(N, C, H, W)`` or ``(C, H, W)``."""

    def forward(self, input: Tensor) -> Tensor:
        """The norms."""
        return F.lp_pool2d(input, *self._options())


class LPPool3d(_LPPool):
    """(sum of x ** p) ** (1 / p) over windows of ``(N, C, D, H, W)`` or ``(C, D, H, W)``."""

    def forward(self, input: Tensor) -> Tensor:
        """The norms."""
        return F.lp_pool3d(input, *self._options())


class _AdaptiveAvgPool(Module):
    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        """The output size."""
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Mean over ``output_size`` windows of ``(N, C, L)`` or ``(C, L)``."""

    def forward(self, input: Tensor) -> Tensor:
        """The means."""
        return F.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Mean over a grid of ``output_size`` windows of ``(N, C, H, W)`` or ``(C, H, W)``."""

    def forward(self, input: Tensor) -> Tensor:
        """The means."""
        return F.adaptive_avg_pool2d(input, self.output_size)


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """Mean over a grid of ``output_size`` windows of ``(N, C, D, H, W)`` or ``(C, D, H, W)``."""

    def forward(self, input: Tensor) -> Tensor:
        """The means."""
        return F.adaptive_avg_pool3d(input, self.output_size)


class _AdaptiveMaxPool(_AdaptiveAvgPool):
    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Maximum over ``output_size`` windows of ``(N, C, L)`` or ``(C, L)``."""

    def forward(self, input: Tensor) -> Any:
        """The maxima, and their places with ``return_indices``."""
        return F.adaptive_max_pool1d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """Maximum over a grid of ``output_size`` windows of ``(N, C, H, W)`` or ``(C, H, W)``."""

    def forward(self, input: Tensor) -> Any:
        """The maxima, and their places with ``return_indices``."""
        return F.adaptive_max_pool2d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """Maximum over a grid of ``output_size`` windows of ``(N, C, D, H, W)``."""

    def forward(self, input: Tensor) -> Any:
        """The maxima, and their places with ``return_indices``."""
        return F.adaptive_max_pool3d(input, self.output_size, self.return_indices)


class _FractionalMaxPool(Module):
    dims = 2

    def __init__(
        self,
        kernel_size: Any,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> None:
        super().__init__()
        n = self.dims
        self.kernel_size = entries(kernel_size, n, "kernel_size")
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = None if output_size is None else entries(output_size, n, "output_size")
        self.output_ratio = None
        if output_ratio is not None:
            self.output_ratio = (
                output_ratio if isinstance(output_ratio, tuple) else (output_ratio,) * n
            )
        if (output_size is None) == (output_ratio is None):
            raise ArgumentError(
                f"{type(self).__name__} with output_size={output_size}, "
                f"output_ratio={output_ratio}",
                "FractionalMaxPool requires specifying either an output size or a pooling ratio.",
            )
        if self.output_ratio is not None and not all(0 < r < 1 for r in self.output_ratio):
            raise ArgumentError(
                f"{type(self).__name__} with output_ratio={output_ratio}",
                "output_ratio must be between 0 and 1.",
            )

    def forward(self, input: Tensor) -> Any:
        """The maxima, and their places with ``return_indices``."""
        samples = self._random_samples
        if samples is None:
            lead = input.aval.shape[: input.aval.ndim - self.dims]
            batch = lead if len(lead) == 2 else (1, *lead)
            samples = rand((*batch, self.dims), dtype=input.dtype)
        return getattr(F, f"fractional_max_pool{self.dims}d")(
            input,
            self.kernel_size,
            self.output_size,
            self.output_ratio,
            self.return_indices,
            _random_samples=samples,
        )


class FractionalMaxPool2d(_FractionalMaxPool):
    """Maximum over windows at drawn positions of ``(N, C, H, W)`` (Graham 2014)."""


class FractionalMaxPool3d(_FractionalMaxPool):
    """Maximum over windows at drawn positions of ``(N, C, D, H, W)`` (Graham 2014)."""

    dims = 3
