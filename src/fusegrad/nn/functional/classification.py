"""Losses over classes and probabilities.

In: scores or log-probabilities and targets. Out: losses. A class index selects its score by
comparing it with an index ramp and summing over the class axis: that is elementwise work and one
reduction in the row kernel that also computes the log-sum-exp, so nothing is gathered from memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...autograd import Function
from ...dtypes import int32, int64, uint8
from ...errors import (
    ArgumentError,
    ArgumentTypeError,
    DimError,
    DTypeError,
    RangeError,
    ShapeError,
)
from ...functions.common import axes_of, broadcast_to, cast, pointwise
from ...functions.pointwise import clamp, where
from ...functions.reduction import amax, log_softmax, sum
from ...functions.rounding import rounds_once
from ...functions.shape import movedim, reshape, unsqueeze
from ...ir.graph import Var
from ...ops import compare as cmp
from ...ops import elementwise as ew
from ...ops import source
from ...ops import transcendental as tr
from ...tensor import Tensor
from .activation import softplus_stable
from .losscommon import (
    reduced,
    reduction_of,
    require_floating,
    same_shape,
    tensors,
    weighted,
)


# --- class indices --------------------------------------------------------------------------------
def _classes_last(name: str, input: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """Scores with the class axis last, and the shape of an index target."""
    ndim = input.aval.ndim
    if ndim == 0:
        raise (ArgumentError if name == "nll_loss" else ShapeError)(
            f"{name} got input {input.aval}",
            "The input needs a class axis: (C), (N, C) or (N, C, d1, ..., dK).",
        )
    axis = 0 if ndim == 1 else 1
    moved = input if axis == ndim - 1 else movedim(input, axis, -1)
    return moved, moved.aval.shape[:-1]


def _check_index_target(name: str, input: Tensor, target: Tensor, shape: tuple[int, ...]) -> None:
    if target.dtype not in (int64, uint8):
        raise DTypeError(
            f"{name} got a target of dtype {target.dtype}",
            "expected target dtype to be Long or Byte: class indices are int64 (or uint8).",
            "target.long()",
        )
    if target.aval.shape != shape:
        raise (ArgumentError if target.aval.shape[:1] != shape[:1] else ShapeError)(
            f"{name} got input {input.aval} and target {target.aval}",
            f"Expected a target of shape {list(shape)}: the input without its class axis.",
            "target.squeeze(), or argmax of one-hot targets",
        )


def _check_range(target: Tensor, classes: int, ignore_index: int) -> bool:
    """Check concrete class indices; false when the target is traced and cannot be looked at."""
    raw = target._read()
    if isinstance(raw, Var):
        return False
    bad = (raw != ignore_index) & ((raw < 0) | (raw >= classes))
    if bad.any():
        raise DimError(
            f"Target {raw[bad].flat[0]} is out of bounds.",
            f"Class indices lie in [0, {classes - 1}] or equal ignore_index.",
            "check the number of outputs of the last layer",
        )
    return True


def _picker(scores: Tensor, target: Tensor) -> Tensor:
    """Boolean one-hot of ``target`` along the last axis of ``scores``."""
    ramp = Tensor(source.iota(shape=scores.aval.shape, dtype=int32, axis=scores.aval.ndim - 1))
    return cmp.eq(ramp, broadcast_to(unsqueeze(cast(target, int32), -1), scores.aval.shape))


def _pick(values: Tensor, hit: Tensor) -> Tensor:
    return sum(cmp.where(hit, values, 0.0), -1)


def _class_weight(name: str, weight: Tensor | None, scores: Tensor) -> Tensor | None:
    if weight is None:
        return None
    classes = scores.aval.shape[-1]
    if weight.aval.shape != (classes,):
        raise ShapeError(
            f"{name} got weight {weight.aval} for {classes} classes",
            "weight tensor should be defined either for all classes or no classes.",
        )
    require_floating(name, weight, "weight", scores.dtype)
    return broadcast_to(weight, scores.aval.shape)


def _guarded(loss: Tensor, target: Tensor, classes: int, checked: bool) -> Tensor:
    """nan where a traced class index is out of range; eagerly that is an error."""
    if checked:
        return loss
    index = cast(target, int64)
    return where(cmp.and_(cmp.ge(index, 0), cmp.lt(index, classes)), loss, float("nan"))


def _finish(losses: Tensor, valid: Tensor, factor: Tensor | None, reduction: str) -> Tensor:
    """Mask ignored targets and reduce; a mean divides by the weights of the targets kept."""
    losses = cmp.where(valid, losses, 0.0)
    if reduction != "mean":
        return reduced(losses, reduction)
    kept = cast(valid, losses.dtype) if factor is None else cmp.where(valid, factor, 0.0)
    return ew.div(sum(losses), sum(kept))


@rounds_once
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """Negative log-likelihood of class indices, from log-probabilities.

    Args:
        input: ``(C)``, ``(N, C)`` or ``(N, C, d1, ..., dK)``.
        target: ``()``, ``(N)`` or ``(N, d1, ..., dK)`` with values in [0, C) or ``ignore_index``.
        weight: one factor per class.

    Raises:
        IndexError: a class index out of range (nan in a compiled step, which cannot raise).
        RuntimeError, ValueError: shapes or dtypes that do not fit.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.nn import functional as F
        >>> F.nll_loss(fg.tensor([[-0.5, -1.0]]), fg.tensor([1])).item()
        1.0
    """
    reduction = reduction_of(reduction, size_average, reduce)
    tensors("nll_loss", input=input, target=target)
    scores, shape = _classes_last("nll_loss", input)
    _check_index_target("nll_loss", input, target, shape)
    checked = _check_range(target, scores.aval.shape[-1], ignore_index)
    hit = _picker(scores, target)
    weights = _class_weight("nll_loss", weight, scores)
    factor = None if weights is None else _pick(weights, hit)
    loss = _guarded(ew.neg(_pick(scores, hit)), target, scores.aval.shape[-1], checked)
    valid = cmp.ne(cast(target, int64), ignore_index)
    return _finish(loss if factor is None else ew.mul(loss, factor), valid, factor, reduction)


def _index_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    smoothing: float,
) -> Tensor:
    scores, shape = _classes_last("cross_entropy", input)
    _check_index_target("cross_entropy", input, target, shape)
    classes = scores.aval.shape[-1]
    checked = _check_range(target, classes, ignore_index)
    hit = _picker(scores, target)
    weights = _class_weight("cross_entropy", weight, scores)
    factor = None if weights is None else _pick(weights, hit)
    top = amax(scores.detach(), -1, True)  # type: ignore[attr-defined]
    shifted = ew.sub(scores, broadcast_to(top, scores.aval.shape))
    log_total = tr.log(sum(tr.exp(shifted), -1))
    loss = ew.sub(log_total, _pick(shifted, hit))
    loss = loss if factor is None else ew.mul(loss, factor)
    if smoothing > 0.0:
        # -sum_c w_c log p_c = log_total * sum_c w_c - sum_c w_c * shifted_c
        if weights is None:
            spread = ew.sub(ew.mul(log_total, float(classes)), sum(shifted, -1))
        else:
            spread = ew.sub(ew.mul(log_total, sum(weights, -1)), sum(ew.mul(weights, shifted), -1))
        loss = ew.add(ew.mul(loss, 1.0 - smoothing), ew.mul(spread, smoothing / classes))
    loss = _guarded(loss, target, classes, checked)
    return _finish(loss, cmp.ne(cast(target, int64), ignore_index), factor, reduction)


def _probability_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, smoothing: float
) -> Tensor:
    scores, _ = _classes_last("cross_entropy", input)
    wanted, _ = _classes_last("cross_entropy", cast(target, input.dtype))
    classes = scores.aval.shape[-1]
    if smoothing > 0.0:
        wanted = ew.add(ew.mul(wanted, 1.0 - smoothing), smoothing / classes)
    terms = ew.mul(log_softmax(scores, -1), wanted)
    weights = _class_weight("cross_entropy", weight, scores)
    loss = ew.neg(sum(terms if weights is None else ew.mul(terms, weights), -1))
    return reduced(loss, reduction)


@rounds_once
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross entropy of scores with class indices or class probabilities.

    Args:
        input: unnormalised scores ``(C)``, ``(N, C)`` or ``(N, C, d1, ..., dK)``.
        target: indices of the input's shape without C, or probabilities of the input's shape.
        weight: one factor per class.
        ignore_index: class index that contributes nothing.
        label_smoothing: weight of the uniform distribution mixed into the target.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.nn import functional as F
        >>> round(F.cross_entropy(fg.zeros(1, 2), fg.tensor([1])).item(), 4)
        0.6931
    """
    reduction = reduction_of(reduction, size_average, reduce)
    tensors("cross_entropy", input=input, target=target)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RangeError(
            f"cross_entropy with label_smoothing={label_smoothing}",
            "label_smoothing must be between 0.0 and 1.0.",
        )
    if target.aval.shape == input.aval.shape and target.dtype.is_floating_point:
        if ignore_index >= 0:
            raise RangeError(
                f"cross_entropy of class probabilities with ignore_index={ignore_index}",
                "ignore_index is not supported for floating point target.",
                "a weight of 0 for that class",
            )
        return _probability_cross_entropy(input, target, weight, reduction, label_smoothing)
    return _index_cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing)


# --- binary ---------------------------------------------------------------------------------------
class _BinaryCrossEntropy(Function):
    """Logarithms clamped at -100; the slope is bounded by 1e12 where a probability is 0 or 1."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        x, y = args
        ctx.save_for_backward(x, y)
        positive = _log_clamped(x)
        negative = _log_clamped(ew.sub(1.0, x))
        return ew.neg(ew.add(ew.mul(y, positive), ew.mul(ew.sub(1.0, y), negative)))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        x, y = ctx.saved_tensors
        (g,) = grad_outputs
        scale = clamp(ew.mul(ew.sub(1.0, x), x), min=1e-12)
        return (
            ew.mul(g, ew.div(ew.sub(x, y), scale)),
            ew.mul(g, ew.sub(tr.log1p(ew.neg(x)), tr.log(x))),
        )


def _log_clamped(x: Tensor) -> Tensor:
    return clamp(tr.log(x), min=-100.0)


@rounds_once
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """Cross entropy of probabilities with targets in [0, 1]; see ``nn.BCELoss``.

    Raises:
        ValueError: shapes that differ.
        RuntimeError: an input outside [0, 1], a target of another dtype.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.nn import functional as F
        >>> round(F.binary_cross_entropy(fg.tensor([0.5]), fg.tensor([1.0])).item(), 4)
        0.6931
    """
    reduction = reduction_of(reduction, size_average, reduce)
    same_shape("binary_cross_entropy", input, target)
    require_floating("binary_cross_entropy", input, "input")
    require_floating("binary_cross_entropy", target, "target", input.dtype)
    raw = input._read()
    if isinstance(raw, np.ndarray) and not ((raw >= 0) & (raw <= 1)).all():
        raise RangeError(
            "binary_cross_entropy got an input outside [0, 1]",
            "all elements of input should be between 0 and 1.",
            "binary_cross_entropy_with_logits, or a sigmoid before the loss",
        )
    loss = _BinaryCrossEntropy.apply(input, target)
    return reduced(weighted(loss, weight), reduction)


@rounds_once
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Cross entropy of logits with targets in [0, 1], for any finite logit.

    Args:
        pos_weight: factor of the positive term, broadcast from the last axis.

    Raises:
        ValueError: shapes that differ.
        RuntimeError: a target that is not floating.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.nn import functional as F
        >>> round(F.binary_cross_entropy_with_logits(fg.zeros(3), fg.ones(3)).item(), 4)
        0.6931
    """
    reduction = reduction_of(reduction, size_average, reduce)
    same_shape("binary_cross_entropy_with_logits", input, target)
    x, y = input, target
    require_floating("binary_cross_entropy_with_logits", x, "input")
    require_floating("binary_cross_entropy_with_logits", y, "target")
    if pos_weight is None:
        # max(x, 0) - x * y vanishes exactly for confident logits, so their small losses are right
        tail = tr.log1p(tr.exp(ew.neg(ew.abs_(x))))
        loss = pointwise(
            ew.add, pointwise(ew.sub, ew.maximum(x, 0.0), pointwise(ew.mul, x, y)), tail
        )
    else:
        emphasis = ew.add(pointwise(ew.mul, y, pointwise(ew.sub, pos_weight, 1.0)), 1.0)
        positive = pointwise(ew.mul, emphasis, softplus_stable(ew.neg(x)))
        loss = pointwise(ew.add, pointwise(ew.mul, ew.sub(1.0, y), x), positive)
    return reduced(weighted(loss, weight), reduction)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Integers as rows with a single 1."""
    if tensor.dtype is not int64:
        raise ArgumentTypeError(
            f"one_hot of {tensor.aval}",
            "one_hot is only applicable to index tensor (int64).",
            "tensor.long()",
        )
    if num_classes == -1:
        num_classes = int(amax(tensor, axes_of(None, tensor.aval.ndim)).item()) + 1  # type: ignore[attr-defined]
    shape = (*tensor.aval.shape, num_classes)
    ramp = Tensor(source.iota(shape=shape, dtype=int64, axis=len(shape) - 1))
    index = broadcast_to(reshape(tensor, (*tensor.aval.shape, 1)), shape)
    return cast(cmp.eq(ramp, index), int64)
