"""Functions behind layers with weights, noise or statistics.

In: an input and the tensors of the layer. Out: the layer's result. ``linear`` itself is
``functions/linear.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...autograd import Function, no_grad
from ...dtypes import DType, finfo, float32, int64
from ...errors import ArgumentError, DTypeError, ShapeError
from ...functions.common import broadcast_to, cast, pointwise
from ...functions.indexing import checked, wrap_index
from ...functions.linear import linear
from ...functions.norms import norm
from ...functions.pointwise import add, where
from ...functions.random import Generator, rand
from ...functions.reduction import mean, sum, var
from ...functions.rounding import rounds_once, rounds_to_input
from ...functions.shape import unsqueeze
from ...ops import compare as cmp
from ...ops import contract, indexing, source
from ...ops import elementwise as ew
from ...tensor import Tensor

__all__ = [
    "alpha_dropout", "bilinear", "dropout", "dropout1d", "dropout2d", "dropout3d", "embedding",
    "feature_alpha_dropout", "layer_norm", "linear", "rms_norm",
]  # fmt: skip


@rounds_once
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """out[o] = input1 . weight[o] . input2 + bias[o].

    Args:
        input1: ``[..., in1]``.
        input2: ``[..., in2]``.
        weight: ``[out, in1, in2]``.
    """
    out, in1, in2 = weight.aval.shape
    if input1.aval.shape[:-1] != input2.aval.shape[:-1]:
        raise ShapeError(
            f"bilinear got {input1.aval} and {input2.aval}",
            "The inputs must agree in all axes but the last.",
        )
    if input1.aval.shape[-1] != in1 or input2.aval.shape[-1] != in2:
        raise ShapeError(
            f"bilinear got {input1.aval}, {input2.aval} and weight {weight.aval}",
            f"The last axes of the inputs must equal the features of the layer ({in1}, {in2}).",
            f"nn.Bilinear({input1.aval.shape[-1]}, {input2.aval.shape[-1]}, {out})",
        )
    half = contract.dot(input1, weight, cx=(input1.aval.ndim - 1,), cy=(1,), bx=(), by=())
    result = sum(pointwise(ew.mul, half, unsqueeze(input2, -2)), -1, dtype=half.dtype)
    return result if bias is None else add(result, bias)


# --- dropout --------------------------------------------------------------------------------------
def _draw(shape: tuple[int, ...], dtype: DType, generator: Generator | None) -> Tensor:
    """Uniform numbers to compare with a probability, which half precision would coarsen."""
    return rand(shape, dtype=float32 if dtype.reduced else dtype, generator=generator)


def _dropout(
    input: Tensor,
    p: float,
    training: bool,
    inplace: bool,
    shape: tuple[int, ...],
    generator: Generator | None = None,
) -> Tensor:
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(f"dropout with p={p}", "dropout probability has to be between 0 and 1.")
    if not training or p == 0.0:
        return input
    if p == 1.0:
        out = ew.mul(input, 0.0)
    else:
        keep = 1.0 - p
        kept = cmp.lt(_draw(shape, input.dtype, generator), keep)
        out = where(kept, ew.mul(input, 1.0 / keep), 0.0)
    return input._assign(out, "in-place dropout") if inplace else out


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero each element with probability ``p`` and scale the others by 1 / (1 - p)."""
    return _dropout(input, p, training, inplace, input.aval.shape)


def _channel_dropout(
    input: Tensor, p: float, training: bool, inplace: bool, batched_ndim: int, name: str
) -> Tensor:
    ndim = input.aval.ndim
    if ndim not in (batched_ndim - 1, batched_ndim):
        raise ShapeError(
            f"{name} got {input.aval}", f"Expected {batched_ndim - 1} or {batched_ndim} axes."
        )
    keep = 2 if ndim == batched_ndim else 1
    shape = tuple(n if k < keep else 1 for k, n in enumerate(input.aval.shape))
    return _dropout(input, p, training, inplace, shape)


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zero whole channels of ``(N, C, L)`` with probability ``p``."""
    return _channel_dropout(input, p, training, inplace, 3, "dropout1d")


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zero whole channels of ``(N, C, H, W)`` with probability ``p``."""
    return _channel_dropout(input, p, training, inplace, 4, "dropout2d")


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zero whole channels of ``(N, C, D, H, W)`` with probability ``p``."""
    return _channel_dropout(input, p, training, inplace, 5, "dropout3d")


def _alpha_dropout(
    name: str, input: Tensor, p: float, training: bool, inplace: bool, shape: tuple[int, ...]
) -> Tensor:
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(f"{name} with p={p}", "dropout probability has to be between 0 and 1.")
    if not training or p == 0.0:
        return input
    saturated = -1.7580993408473766
    keep = 1.0 - p
    if p == 1.0:
        out = ew.mul(input, 0.0)
    else:
        scale = (keep + saturated * saturated * keep * p) ** -0.5
        kept = cmp.lt(_draw(shape, input.dtype, None), keep)
        out = ew.add(ew.mul(where(kept, input, saturated), scale), -scale * saturated * p)
    return input._assign(out, "in-place dropout") if inplace else out


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Dropout that keeps the mean and variance of SELU activations."""
    return _alpha_dropout("alpha_dropout", input, p, training, inplace, input.aval.shape)


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """``alpha_dropout`` of whole channels of ``(N, C, ...)``."""
    if training and p and input.aval.ndim < 2:
        raise ShapeError(
            f"feature_alpha_dropout got {input.aval}",
            "Feature dropout requires at least 2 dimensions in the input.",
        )
    shape = tuple(n if k < 2 else 1 for k, n in enumerate(input.aval.shape))
    return _alpha_dropout("feature_alpha_dropout", input, p, training, inplace, shape)


# --- normalization --------------------------------------------------------------------------------
def _normalized_axes(
    name: str,
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None,
    bias: Tensor | None = None,
) -> tuple[int, ...]:
    wanted = tuple(normalized_shape)
    shape = input.aval.shape
    if not wanted or shape[len(shape) - len(wanted) :] != wanted or len(shape) < len(wanted):
        raise ShapeError(
            f"{name} got input {input.aval} and normalized_shape {list(wanted)}",
            "The last axes of the input must equal normalized_shape.",
            f"normalized_shape={list(shape[max(0, len(shape) - max(len(wanted), 1)) :])}",
        )
    for label, part in (("weight", weight), ("bias", bias)):
        if part is not None and part.aval.shape != wanted:
            raise ShapeError(
                f"{name} got {label} {part.aval}",
                f"Expected {label} to have the shape {list(wanted)}.",
            )
    return tuple(range(len(shape) - len(wanted), len(shape)))


@rounds_to_input
def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Mean 0 and variance 1 over the last axes, then weight and bias."""
    axes = _normalized_axes("layer_norm", input, normalized_shape, weight, bias)
    centred = pointwise(ew.sub, input, mean(input, axes, keepdim=True))
    variance = var(input, axes, correction=0, keepdim=True)
    out = pointwise(ew.mul, centred, ew.rsqrt(ew.add(variance, eps)))
    if weight is not None:
        out = pointwise(ew.mul, out, weight)
    return out if bias is None else pointwise(ew.add, out, bias)


@rounds_to_input
def rms_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """x divided by its root mean square over the last axes, then weight."""
    axes = _normalized_axes("rms_norm", input, normalized_shape, weight)
    epsilon = finfo(input.dtype).eps if eps is None else eps
    square = mean(ew.mul(input, input), axes, keepdim=True)
    out = pointwise(ew.mul, input, ew.rsqrt(ew.add(square, epsilon)))
    return out if weight is None else pointwise(ew.mul, out, weight)


# --- embedding ------------------------------------------------------------------------------------
class _ScaleGradient(Function):
    """Identity whose gradient is multiplied by a factor."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        ctx.save_for_backward(args[1])
        return args[0]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (factor,) = ctx.saved_tensors
        return pointwise(ew.mul, grad_outputs[0], factor), None


def _frequency(index: Tensor, rows: int, like: Tensor) -> Tensor:
    """How often each row is used, one count per row."""
    ones = Tensor(source.full(shape=index.aval.shape, dtype=like.dtype, value=1))
    return indexing.take_add(ones, index, axis=0, extent=rows)


def _renormalize(weight: Tensor, index: Tensor, max_norm: float, norm_type: float) -> None:
    """Shrink the rows in use whose norm exceeds ``max_norm``, in place."""
    with no_grad():
        table = weight.detach()  # type: ignore[attr-defined]
        size = norm(table, norm_type, 1, keepdim=True)
        used = unsqueeze(cmp.gt(_frequency(index, table.aval.shape[0], table), 0.0), 1)
        scale = ew.div(max_norm, ew.add(size, 1e-7))
        shrink = cmp.and_(used, cmp.gt(size, max_norm))
        weight._assign(pointwise(ew.mul, table, where(shrink, scale, 1.0)), "embedding max_norm")


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Rows of ``weight`` at the indices ``input``.

    Args:
        input: integer indices of any shape.
        weight: ``[rows, features]``.
        padding_idx: row that receives no gradient.
        max_norm: rows in use are first shrunk to this norm, in place.
        scale_grad_by_freq: divide gradients by how often a row is used.
        sparse: accepted; gradients are dense.
    """
    if weight.aval.ndim != 2:
        raise ShapeError(f"embedding with weight {weight.aval}", "'weight' must be 2-D.")
    rows = weight.aval.shape[0]
    if input.dtype.category != 1:
        raise DTypeError(
            f"embedding with indices {input.aval}",
            "Expected tensor for argument 'indices' to have an integer dtype.",
            "input.long()",
        )
    if padding_idx is not None:
        if not -rows <= padding_idx < rows:
            raise ArgumentError(
                f"embedding with padding_idx={padding_idx} of {rows} rows",
                "Padding_idx must be within num_embeddings.",
            )
        padding_idx %= rows
    index = wrap_index(input, rows, "embedding")
    if max_norm is not None:
        _renormalize(weight, index, max_norm, norm_type)
    out = checked(indexing.take(weight, index, axis=0), input, rows, 0)
    if scale_grad_by_freq:
        count = indexing.take(_frequency(index, rows, weight), index, axis=0)
        share = ew.reciprocal(count)
        out = _ScaleGradient.apply(out, unsqueeze(share, -1))
    if padding_idx is not None and out.requires_grad:
        padded = broadcast_to(
            unsqueeze(cmp.eq(cast(index, int64), padding_idx), -1), out.aval.shape
        )
        out = cmp.where(padded, out.detach(), out)  # type: ignore[attr-defined]
    return out
