"""Other forms of functions that exist: pools that return places, old names, fused pairs."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ...errors import ShapeError
from ...functions.convolution import conv1d
from ...functions.norms import norm
from ...functions.reduction import sum
from ...functions.shape import permute, reshape
from ...ops import elementwise as ew
from ...ops import indexing
from ...tensor import Tensor
from .adaptive import (
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    fractional_max_pool2d,
    fractional_max_pool3d,
)
from .classification import cross_entropy
from .folding import channel_shuffle
from .layers import linear
from .pooling import max_pool1d, max_pool2d, max_pool3d
from .resampling import interpolate

__all__ = [
    "adaptive_max_pool1d_with_indices", "adaptive_max_pool2d_with_indices",
    "adaptive_max_pool3d_with_indices", "conv_tbc", "fractional_max_pool2d_with_indices",
    "fractional_max_pool3d_with_indices", "linear_cross_entropy", "max_pool1d_with_indices",
    "max_pool2d_with_indices", "max_pool3d_with_indices", "native_channel_shuffle", "pdist",
    "upsample_bilinear", "upsample_nearest",
]  # fmt: skip


def _with_indices(pool: Callable[..., Any]) -> Callable[..., tuple[Tensor, Tensor]]:
    signature = inspect.signature(pool)

    def function(*args: Any, **options: Any) -> tuple[Tensor, Tensor]:
        bound = signature.bind(*args, **options)
        bound.arguments["return_indices"] = True
        return pool(*bound.args, **bound.kwargs)

    function.__name__ = f"{pool.__name__}_with_indices"
    function.__doc__ = (
        f"``{pool.__name__}``, always with the places of the maxima as second result."
    )
    function.__signature__ = signature  # type: ignore[attr-defined]
    return function


max_pool1d_with_indices = _with_indices(max_pool1d)
max_pool2d_with_indices = _with_indices(max_pool2d)
max_pool3d_with_indices = _with_indices(max_pool3d)
adaptive_max_pool1d_with_indices = _with_indices(adaptive_max_pool1d)
adaptive_max_pool2d_with_indices = _with_indices(adaptive_max_pool2d)
adaptive_max_pool3d_with_indices = _with_indices(adaptive_max_pool3d)
fractional_max_pool2d_with_indices = _with_indices(fractional_max_pool2d)
fractional_max_pool3d_with_indices = _with_indices(fractional_max_pool3d)
native_channel_shuffle = channel_shuffle


def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """Deprecated name of ``interpolate`` with ``mode="nearest"``."""
    warnings.warn(
        "`nn.functional.upsample_nearest` is deprecated. Use `nn.functional.interpolate` instead.",
        stacklevel=2,
    )
    return interpolate(input, size, scale_factor, mode="nearest")


def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """Deprecated name of ``interpolate`` with ``mode="bilinear"`` and aligned corners."""
    warnings.warn(
        "`nn.functional.upsample_bilinear` is deprecated. Use `nn.functional.interpolate` instead.",
        stacklevel=2,
    )
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)


def conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """Convolution of sequences laid out as (time, batch, channels).

    Args:
        input: ``(T, N, C)``.
        weight: ``(kernel, C, out)``.
        bias: ``(out,)``.
        pad: steps of zeros at both ends.

    Returns:
        ``(T + 2 * pad - kernel + 1, N, out)``.

    Raises:
        RuntimeError: shapes that do not fit.

    Example:
        >>> import fusegrad as fg
        >>> x, w = fg.ones(3, 1, 2), fg.ones(2, 2, 1)
        >>> fg.nn.functional.conv_tbc(x, w, fg.zeros(1)).flatten().tolist()
        [4.0, 4.0]
    """
    if input.aval.ndim != 3 or weight.aval.ndim != 3 or bias.aval.ndim != 1:
        raise ShapeError(
            f"conv_tbc of {input.aval}, {weight.aval} and {bias.aval}",
            "Input must have 3 dims: time, batch, in_channel; so the weight; bias is a vector.",
        )
    rows = conv1d(permute(input, 1, 2, 0), permute(weight, 2, 1, 0), bias, padding=pad)
    return permute(rows, 2, 0, 1)


def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """Distances between all pairs of rows of a matrix in the p-norm.

    Args:
        input: ``(N, M)``.
        p: at least 0; ``inf`` for the largest difference.

    Returns:
        ``(N * (N - 1) / 2,)``: the upper triangle, row by row. The gradient at distance zero is 0.

    Raises:
        RuntimeError: not a matrix, or ``p`` below 0.

    Example:
        >>> import fusegrad as fg
        >>> fg.nn.functional.pdist(fg.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])).tolist()
        [5.0, 1.0, 4.2426...]
    """
    if input.aval.ndim != 2:
        raise ShapeError(f"pdist of {input.aval}", "pdist only supports 2D tensors.")
    if p < 0:
        raise ShapeError(f"pdist with p={p}", "pdist only supports non-negative p values.", "2.0")
    first, second = np.triu_indices(input.aval.shape[0], 1)
    a, b = (indexing.take(input, Tensor(rows.astype(np.int64)), axis=0) for rows in (first, second))
    apart = ew.sub(a, b)
    if p == 0:  # a count, but with a gradient: zero
        return sum(ew.minimum(ew.ceil(ew.abs_(apart)), 1.0), 1)
    return norm(apart, p, -1)


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: Any = None,
) -> Tensor:
    """``cross_entropy`` of the logits ``input @ linear_weight.T + linear_bias``.

    Args:
        input: ``(features,)`` or ``(N, features)``.
        linear_weight: ``(C, *d, features)``; with further axes ``d`` the loss has them, too.
        target: classes ``(N, *d)`` or probabilities ``(N, C, *d)``.
        linear_bias: ``(C, *d)``.
        weight, reduction, ignore_index, label_smoothing: as in ``cross_entropy``.
        options: how PyTorch saves memory; accepted, the result is the same.

    Raises:
        RuntimeError: shapes that do not fit; ``ignore_index`` with probabilities.

    Example:
        >>> import fusegrad as fg
        >>> x, w, y = fg.zeros(2, 3), fg.ones(1, 3), fg.tensor([0, 0])
        >>> fg.nn.functional.linear_cross_entropy(x, w, y).item()
        0.0
    """
    name = f"linear_cross_entropy of {input.aval} with linear_weight {linear_weight.aval}"
    if input.aval.ndim not in (1, 2) or linear_weight.aval.ndim < 2:
        raise ShapeError(name, "input has 1 or 2 axes, linear_weight at least 2.")
    (*batch, features), (classes, *inner, columns) = input.aval.shape, linear_weight.aval.shape
    if features != columns or (inner and not batch):
        raise ShapeError(name, "expected equal in_features, and batched input for further axes.")
    if linear_bias is not None and linear_bias.aval.shape != (classes, *inner):
        raise ShapeError(
            f"{name} and linear_bias {linear_bias.aval}",
            f"expected linear_bias shape {(classes, *inner)}.",
        )
    shape = (*batch, classes, *inner)
    if target.aval.shape == shape and ignore_index is not None:
        raise ShapeError(
            f"{name} with ignore_index={ignore_index}",
            "ignore_index cannot be specified when target contains probabilities.",
            "ignore_index=None",
        )
    bias = None if linear_bias is None else reshape(linear_bias, -1)
    logits = linear(input, reshape(linear_weight, math.prod((classes, *inner)), features), bias)
    return cross_entropy(
        reshape(logits, shape),
        target,
        weight=weight,
        reduction=reduction,
        ignore_index=-100 if ignore_index is None else ignore_index,
        label_smoothing=label_smoothing,
    )
