"""Losses with a margin: of pairs, triplets and rankings, and against several classes.

In: scores, embeddings or distances and signs or class indices. Out: losses, under the reductions
of ``losscommon.py``. Those against several classes compare class indices with an index ramp, as
``classification.py`` does, so that nothing is gathered from memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ...dtypes import int64
from ...errors import ArgumentError, DimError, DTypeError, RangeError, ShapeError
from ...functions.common import broadcast_to, cast, floating, pointwise, promote
from ...functions.norms import norm
from ...functions.pointwise import add, clamp, minimum, mul, where
from ...functions.reduction import all, amin, any, sum
from ...functions.rounding import rounds_once
from ...functions.shape import broadcast_tensors, reshape, unsqueeze
from ...ir.graph import Var
from ...ops import compare as cmp
from ...ops import elementwise as ew
from ...ops import source
from ...tensor import Tensor
from .activation import softplus_stable
from .losscommon import reduced, reduction_of, require_floating, tensors, weighted


# --- signs ----------------------------------------------------------------------------------------
@rounds_once
def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """``log(1 + exp(-target * input))`` with targets -1 and 1.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.nn import functional as F
        >>> round(F.soft_margin_loss(fg.zeros(2), fg.tensor([1.0, -1.0])).item(), 4)
        0.6931
    """
    reduction = reduction_of(reduction, size_average, reduce)
    tensors("soft_margin_loss", input=input, target=target)
    margin = pointwise(ew.mul, cast(target, input.dtype), input)
    return reduced(softplus_stable(ew.neg(margin)), reduction)


@rounds_once
def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """``x`` for targets 1, ``max(0, margin - x)`` for targets -1.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.nn import functional as F
        >>> F.hinge_embedding_loss(fg.tensor([0.25, 0.25]), fg.tensor([1.0, -1.0])).item()
        0.5
    """
    reduction = reduction_of(reduction, size_average, reduce)
    tensors("hinge_embedding_loss", input=input, target=target)
    hinge = clamp(pointwise(ew.sub, margin, input), min=0.0)
    far = where(pointwise(cmp.ne, target, 1), hinge, 0.0)
    near = where(pointwise(cmp.ne, target, -1), input, 0.0)
    return reduced(pointwise(ew.add, far, near), reduction)


@rounds_once
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, -target * (x1 - x2) + margin)``.

    Raises:
        RuntimeError: different numbers of dimensions.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.nn import functional as F
        >>> x1, x2, target = fg.tensor([1.0]), fg.tensor([2.0]), fg.tensor([1.0])
        >>> F.margin_ranking_loss(x1, x2, target, margin=0.5).item()
        1.5
    """
    reduction = reduction_of(reduction, size_average, reduce)
    tensors("margin_ranking_loss", input1=input1, input2=input2, target=target)
    if not input1.aval.ndim == input2.aval.ndim == target.aval.ndim:
        raise ShapeError(
            f"margin_ranking_loss got {input1.aval}, {input2.aval} and target {target.aval}",
            "All input tensors should have the same number of dimensions.",
        )
    gap = pointwise(ew.mul, pointwise(ew.sub, input2, input1), target)
    return reduced(clamp(pointwise(ew.add, gap, margin), min=0.0), reduction)


@rounds_once
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """``x1 . x2 / (|x1| * |x2|)`` along ``dim``, each norm at least ``eps``.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.nn import functional as F
        >>> F.cosine_similarity(fg.tensor([[3.0, 4.0]]), fg.tensor([[4.0, 3.0]])).item()
        0.96...
    """

    def size(x: Tensor) -> Tensor:
        return clamp(norm(x, 2, dim, keepdim=True), min=eps)

    dtype = promote(x1, x2)
    x1, x2 = broadcast_tensors(
        cast(x1, dtype), cast(x2, dtype)
    )  # before the norms: an axis may be repeated along dim
    a, b = pointwise(ew.div, x1, size(x1)), pointwise(ew.div, x2, size(x2))
    return sum(pointwise(ew.mul, a, b), dim)


@rounds_once
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """``1 - cos`` for targets 1, ``max(0, cos - margin)`` for targets -1.

    See ``nn.CosineEmbeddingLoss``.

    Raises:
        RuntimeError: shapes that do not fit.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.nn import functional as F
        >>> x, y = fg.tensor([[1.0, 0.0]]), fg.tensor([[0.0, 1.0]])
        >>> F.cosine_embedding_loss(x, y, fg.tensor([1])).item()
        1.0
    """
    reduction = reduction_of(reduction, size_average, reduce)
    tensors("cosine_embedding_loss", input1=input1, input2=input2, target=target)
    if target.aval.ndim > 1 or input1.aval.ndim != target.aval.ndim + 1:
        raise ShapeError(
            f"cosine_embedding_loss got {input1.aval}, {input2.aval} and target {target.aval}",
            "0D target expects 1D inputs and 1D target expects 2D inputs.",
        )
    product = sum(mul(input1, input2), -1)
    size1 = add(sum(mul(input1, input1), -1), 1e-12)
    size2 = add(sum(mul(input2, input2), -1), 1e-12)
    cos = pointwise(ew.div, product, ew.sqrt(pointwise(ew.mul, size1, size2)))
    near = where(pointwise(cmp.eq, target, 1), ew.sub(1.0, cos), 0.0)
    far = where(pointwise(cmp.eq, target, -1), clamp(pointwise(ew.sub, cos, margin), min=0.0), 0.0)
    return reduced(ew.add(near, far), reduction)


@rounds_once
def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """p-norm of ``x1 - x2 + eps`` over the last axis.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.nn import functional as F
        >>> round(F.pairwise_distance(fg.zeros(1, 2), fg.tensor([[3.0, 4.0]])).item(), 4)
        5.0
    """
    return norm(add(pointwise(ew.sub, x1, x2), eps), p, -1, keepdim)


def _check_triplet(
    name: str, anchor: Tensor, positive: Tensor, negative: Tensor, margin: float
) -> None:
    tensors(name, anchor=anchor, positive=positive, negative=negative)
    if margin <= 0:
        raise ArgumentError(f"{name} with margin={margin}", "margin must be greater than 0.")
    if not anchor.aval.ndim == positive.aval.ndim == negative.aval.ndim:
        raise ShapeError(
            f"{name} got {anchor.aval}, {positive.aval} and {negative.aval}",
            "The anchor, positive and negative tensors have the same number of dimensions.",
        )


@rounds_once
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)`` with a p-norm distance.

    See ``nn.TripletMarginLoss``.

    Raises:
        ValueError: ``margin`` is not positive.
        RuntimeError: different numbers of dimensions.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.nn import functional as F
        >>> a, p, n = fg.zeros(1, 2), fg.zeros(1, 2), fg.full((1, 2), 0.25)
        >>> round(F.triplet_margin_loss(a, p, n, p=1).item(), 3)
        0.5
    """
    reduction = reduction_of(reduction, size_average, reduce)
    _check_triplet("triplet_margin_loss", anchor, positive, negative, margin)
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = minimum(far, pairwise_distance(positive, negative, p, eps))
    return reduced(clamp(pointwise(ew.add, ew.sub(near, far), margin), min=0.0), reduction)


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin) with a distance of your own.

    Args:
        anchor, positive, negative: tensors of one number of dimensions.
        distance_function: takes two of them and returns distances, smaller for closer pairs;
            ``pairwise_distance`` when ``None``.
        margin: how much farther the negative should be, above 0.
        swap: use the distance of positive and negative where that is smaller.

    Raises:
        ValueError: ``margin`` is not positive, an unknown reduction.
        RuntimeError: different numbers of dimensions.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.nn import functional as F
        >>> def blocks(x, y): return (x - y).abs().sum(-1)
        >>> a, p, n = fg.zeros(1, 2), fg.ones(1, 2), fg.full((1, 2), 1.25)
        >>> F.triplet_margin_with_distance_loss(a, p, n, distance_function=blocks).item()
        0.5
    """
    reduction = reduction_of(reduction)
    _check_triplet("triplet_margin_with_distance_loss", anchor, positive, negative, margin)
    distance = pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return reduced(
        clamp(pointwise(ew.add, pointwise(ew.sub, near, far), margin), min=0.0), reduction
    )


# --- several classes ------------------------------------------------------------------------------
def _rows(name: str, input: Tensor, target: Tensor) -> Tensor:
    """Scores as ``(N, C)``; checks both operands."""
    tensors(name, input=input, target=target)
    if input.aval.ndim > 2 or input.aval.shape[-1:] == (0,):
        raise ShapeError(
            f"{name} got input {input.aval}", "The input is (N, C) or (C), with at least one class."
        )
    if target.dtype is not int64:
        raise DTypeError(
            f"{name} got a target of dtype {target.dtype}",
            "expected scalar type Long: targets are class indices.",
            "target.long()",
        )
    classes = input.aval.shape[-1] if input.aval.ndim else 1
    return reshape(floating(input), (-1 if input.aval.size else 0, classes))


def _check_labels(name: str, target: Tensor, low: int, classes: int) -> Tensor | None:
    """Refuse concrete class indices out of range; where they are traced, whether all are inside."""
    raw = target._read()
    if isinstance(raw, Var):
        return cmp.and_(cmp.ge(target, low), cmp.lt(target, classes))
    if ((raw < low) | (raw >= classes)).any():
        bad = raw[(raw < low) | (raw >= classes)].flat[0]
        raise RangeError(
            f"{name}: target {bad} is out of range",
            f"Class indices lie in [{low}, {classes - 1}].",
            "check the number of outputs of the last layer",
        )
    return None


def _averaged(loss: Tensor, reduction: str) -> Tensor:
    """Reduced, with 0 for the mean of no samples."""
    return reduced(loss, "sum" if reduction == "mean" and not loss.aval.size else reduction)


@rounds_once
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """Multi-class hinge: the mean over other classes j of max(0, margin - x[y] + x[j]) ** p.

    The sum over j is divided by the number of classes C (Crammer and Singer 2001, in its form that
    counts all classes).

    Args:
        input: scores ``(N, C)`` or ``(C)``.
        target: class indices ``(N)`` or ``()``, int64.
        p: 1 or 2.
        weight: one factor per class, applied by the class of the target.

    Raises:
        ValueError: another ``p``, a weight that is not a vector, an unknown reduction.
        RuntimeError: shapes that do not fit, a class index out of range, a target not int64.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.nn import functional as F
        >>> F.multi_margin_loss(fg.tensor([[0.5, 1.0, 0.0, 0.0]]), fg.tensor([1])).item()
        0.125
    """
    name = "multi_margin_loss"
    reduction = reduction_of(reduction, size_average, reduce)
    check_multi_margin(name, p, weight)
    x = _rows(name, input, target)
    samples, classes = x.aval.shape
    if target.aval.size != samples or target.aval.ndim > 1:
        raise ShapeError(
            f"{name} got input {input.aval} and target {target.aval}",
            f"The target holds one class index per sample: {[samples]}.",
        )
    if weight is not None and weight.aval.shape != (classes,):
        raise ShapeError(
            f"{name} got weight {weight.aval} for {classes} classes",
            "inconsistent weight size: one factor per class.",
        )
    inside = _check_labels(name, target, 0, classes)
    ramp = Tensor(source.iota(shape=x.aval.shape, dtype=int64, axis=1))
    hit = cmp.eq(ramp, broadcast_to(reshape(target, (samples, 1)), x.aval.shape))
    own = sum(cmp.where(hit, x, 0.0), 1, True)
    gap = ew.add(ew.sub(x, broadcast_to(own, x.aval.shape)), float(margin))
    counts = cmp.and_(
        cmp.gt(gap, 0.0), cmp.not_(hit)
    )  # as in PyTorch, a nan gap counts for nothing
    terms = cmp.where(counts, ew.mul(gap, gap) if p == 2 else gap, 0.0)
    if weight is not None:
        require_floating(name, weight, "weight", x.dtype)
        spread = broadcast_to(weight, x.aval.shape)
        factor = sum(cmp.where(hit, spread, 0.0), 1, True)
        terms = ew.mul(terms, broadcast_to(factor, x.aval.shape))
    loss = reshape(ew.mul(sum(terms, 1), 1.0 / classes), target.aval.shape)
    return _averaged(loss if inside is None else cmp.where(inside, loss, math.nan), reduction)


def check_multi_margin(name: str, p: int, weight: Tensor | None) -> None:
    """Refuse options that ``multi_margin_loss`` and its module do not take."""
    if p not in (1, 2):
        raise ArgumentError(f"{name} with p={p}", "only p == 1 and p == 2 supported")
    if weight is not None and weight.aval.ndim != 1:
        raise ArgumentError(
            f"{name} got weight {weight.aval}", "weight must be one-dimensional: one per class."
        )


@rounds_once
def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """Hinge between every target class and every other class.

    The sum of max(0, 1 - x[y] + x[i]) over the target classes y and the classes i that are no
    target, divided by the number of classes.

    Args:
        input: scores ``(N, C)`` or ``(C)``.
        target: of the input's shape, int64: class indices up to the first -1, the rest is ignored.

    Raises:
        ValueError: an unknown reduction.
        RuntimeError: shapes that differ, a class index out of range, a target not int64.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.nn import functional as F
        >>> scores, classes = fg.tensor([0.1, 0.2, 0.4, 0.8]), fg.tensor([3, 0, -1, 1])
        >>> round(F.multilabel_margin_loss(scores, classes).item(), 4)
        0.85
    """
    name = "multilabel_margin_loss"
    reduction = reduction_of(reduction, size_average, reduce)
    x = _rows(name, input, target)
    if target.aval.shape != input.aval.shape:
        raise ShapeError(
            f"{name} got input {input.aval} and target {target.aval}",
            "inconsistent target size: it must be the shape of the input, filled up with -1.",
        )
    samples, classes = x.aval.shape
    inside = _check_labels(name, target, -1, classes)
    labels = reshape(target, x.aval.shape)
    place = Tensor(source.iota(shape=x.aval.shape, dtype=int64, axis=1))
    end = amin(cmp.where(cmp.lt(labels, 0), place, classes), 1, True)  # of the list of targets
    listed = cmp.lt(place, broadcast_to(end, x.aval.shape))
    # axes: sample, entry of the list, class
    cube = (samples, classes, classes)
    ramp = Tensor(source.iota(shape=cube, dtype=int64, axis=2))
    hit = cmp.eq(ramp, broadcast_to(unsqueeze(cmp.where(listed, labels, -1), 2), cube))
    scores = broadcast_to(unsqueeze(x, 1), cube)
    own = broadcast_to(sum(cmp.where(hit, scores, 0.0), 2, True), cube)
    wanted = broadcast_to(any(hit, 1, True), cube)
    gap = ew.add(ew.sub(scores, own), 1.0)
    counts = cmp.and_(broadcast_to(unsqueeze(listed, 2), cube), cmp.not_(wanted))
    terms = cmp.where(cmp.and_(counts, cmp.gt(gap, 0.0)), gap, 0.0)
    loss = ew.mul(sum(terms, (1, 2)), 1.0 / classes)
    if inside is not None:
        loss = cmp.where(all(reshape(inside, x.aval.shape), 1), loss, math.nan)
    return _averaged(reshape(loss, input.aval.shape[:-1]), reduction)


@rounds_once
def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """Binary cross entropy of logits, averaged over the classes on the last axis.

    Args:
        input: logits ``(..., C)``.
        target: 0 or 1 per class, broadcast with the input.
        weight: factors per class, broadcast from the last axis.

    Raises:
        ValueError: an unknown reduction.
        RuntimeError: shapes that do not broadcast.
        IndexError: a 0-d input.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.nn import functional as F
        >>> round(F.multilabel_soft_margin_loss(fg.zeros(2, 3), fg.ones(2, 3)).item(), 4)
        0.6931
    """
    reduction = reduction_of(reduction, size_average, reduce)
    tensors("multilabel_soft_margin_loss", input=input, target=target)
    if not input.aval.ndim:
        raise DimError(
            f"multilabel_soft_margin_loss got input {input.aval}", "The last axis is the classes."
        )
    x = floating(input)
    yes = pointwise(ew.mul, target, softplus_stable(ew.neg(x)))
    no = pointwise(ew.mul, pointwise(ew.sub, 1.0, target), softplus_stable(x))
    terms = weighted(pointwise(ew.add, yes, no), weight)
    loss = pointwise(ew.mul, sum(terms, -1), 1.0 / max(input.aval.shape[-1], 1))
    return reduced(loss, reduction)
