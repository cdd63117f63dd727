"""Losses with a margin: of pairs, triplets and rankings, and against several classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import ArgumentError
from ..tensor import Tensor
from . import functional as F
from .distance import PairwiseDistance
from .functional.margin import check_multi_margin
from .loss import _Loss, _WeightedLoss


class SoftMarginLoss(_Loss):
    """``log(1 + exp(-target * input))`` with targets -1 and 1, of any one shape.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> round(nn.SoftMarginLoss()(fg.zeros(2), fg.tensor([1.0, -1.0])).item(), 4)
        0.6931
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.soft_margin_loss(input, target, reduction=self.reduction)


class _MarginLoss(_Loss):
    """A loss whose only option is its margin."""

    default_margin = 0.0

    def __init__(
        self,
        margin: float | None = None,
        size_average: Any = None,
        reduce: Any = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = self.default_margin if margin is None else margin


class HingeEmbeddingLoss(_MarginLoss):
    """``x`` for targets 1, ``max(0, margin - x)`` for targets -1; ``x`` is a distance.

    Args:
        margin: the distance from which dissimilar pairs cost nothing, 1 by default.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> loss = nn.HingeEmbeddingLoss(reduction="none")
        >>> loss(fg.tensor([0.25, 0.25]), fg.tensor([1.0, -1.0])).tolist()
        [0.25, 0.75]
    """

    default_margin = 1.0

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.hinge_embedding_loss(input, target, margin=self.margin, reduction=self.reduction)


class MarginRankingLoss(_MarginLoss):
    """``max(0, -target * (x1 - x2) + margin)``; target 1 ranks ``x1`` higher, -1 lower.

    Args:
        margin: how far apart the scores should be, 0 by default.

    Raises:
        RuntimeError: different numbers of dimensions.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> loss = nn.MarginRankingLoss(margin=0.5)
        >>> loss(fg.tensor([1.0]), fg.tensor([2.0]), fg.tensor([1.0])).item()
        1.5
    """

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.margin_ranking_loss(
            input1, input2, target, margin=self.margin, reduction=self.reduction
        )


class CosineEmbeddingLoss(_MarginLoss):
    """``1 - cos`` for targets 1, ``max(0, cos - margin)`` for targets -1.

    ``cos`` is the cosine between ``(N, D)`` and ``(N, D)`` with targets ``(N)``, or between two
    vectors with a target ``()``.

    Args:
        margin: the cosine from which dissimilar pairs cost, from -1 to 1, 0 by default.

    Raises:
        RuntimeError: shapes that do not fit.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> x, y = fg.tensor([[1.0, 0.0]]), fg.tensor([[0.0, 1.0]])
        >>> nn.CosineEmbeddingLoss()(x, y, fg.tensor([1])).item()
        1.0
    """

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.cosine_embedding_loss(
            input1, input2, target, margin=self.margin, reduction=self.reduction
        )


def _check_margin(name: str, margin: float) -> None:
    if margin <= 0:
        raise ArgumentError(
            f"{name} with margin={margin}", f"expected margin to be greater than 0, got {margin}."
        )


class TripletMarginLoss(_Loss):
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)`` with a p-norm distance.

    Operands ``(N, D)`` or ``(D)`` (Balntas and others 2016, also for ``swap``).

    Args:
        margin: how much farther the negative should be, above 0.
        p: the norm.
        eps: added to differences before the norm.
        swap: use the distance of positive and negative where that is smaller.

    Raises:
        ValueError: ``margin`` is not positive.
        RuntimeError: different numbers of dimensions.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> a, p, n = fg.zeros(1, 2), fg.zeros(1, 2), fg.full((1, 2), 0.5)
        >>> round(nn.TripletMarginLoss(p=1)(a, p, n).item(), 4)
        0.0
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        size_average: Any = None,
        reduce: Any = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        _check_margin(type(self).__name__, margin)
        self.margin = margin
        self.p = p
        self.eps = eps
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """The loss."""
        return F.triplet_margin_loss(
            anchor,
            positive,
            negative,
            margin=self.margin,
            p=self.p,
            eps=self.eps,
            swap=self.swap,
            reduction=self.reduction,
        )


class TripletMarginWithDistanceLoss(_Loss):
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)`` with a distance of your own.

    Args:
        distance_function: takes two tensors and returns distances, smaller for closer pairs;
            ``PairwiseDistance()`` when ``None``.
        margin: how much farther the negative should be, above 0.
        swap: use the distance of positive and negative where that is smaller.

    Raises:
        ValueError: ``margin`` is not positive.
        RuntimeError: different numbers of dimensions.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> def far(x, y): return 1 - nn.functional.cosine_similarity(x, y)
        >>> loss = nn.TripletMarginWithDistanceLoss(distance_function=far)
        >>> x, y = fg.tensor([[1.0, 0.0]]), fg.tensor([[0.0, 1.0]])
        >>> loss(x, x, y).item(), loss(x, y, x).item()
        (0.0, 2.0)
    """

    def __init__(
        self,
        *,
        distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        _check_margin(type(self).__name__, margin)
        self.distance_function: Any = (
            PairwiseDistance() if distance_function is None else distance_function
        )
        self.margin = margin
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """The loss."""
        return F.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )


class MultiMarginLoss(_WeightedLoss):
    """Multi-class hinge: sum of ``max(0, margin - x[y] + x[j]) ** p`` over j != y, divided by C.

    Scores ``(N, C)`` or ``(C)``, class indices ``(N)`` or ``()`` (after Crammer and Singer 2001).

    Args:
        p: 1 or 2.
        margin: how much larger the score of the target should be.
        weight: one factor per class, applied by the class of the target.

    Raises:
        ValueError: another ``p``, a weight that is not a vector.
        RuntimeError: shapes or dtypes that do not fit, a class index out of range.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> nn.MultiMarginLoss()(fg.tensor([[0.5, 1.0, 0.0, 0.0]]), fg.tensor([1])).item()
        0.125
    """

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        size_average: Any = None,
        reduce: Any = None,
        reduction: str = "mean",
    ) -> None:
        check_multi_margin("MultiMarginLoss", p, weight)
        super().__init__(weight, size_average, reduce, reduction)
        self.p = p
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.multi_margin_loss(
            input,
            target,
            p=self.p,
            margin=self.margin,
            weight=self.weight,
            reduction=self.reduction,
        )


class MultiLabelMarginLoss(_Loss):
    """Hinge between every target class and every other class, for samples of several classes.

    Scores ``(N, C)`` or ``(C)``; a target of the same shape lists class indices up to the first -1.

    Raises:
        RuntimeError: shapes that differ, a class index out of range, a target not int64.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> scores, classes = fg.tensor([[0.1, 0.2, 0.4, 0.8]]), fg.tensor([[3, 0, -1, 1]])
        >>> round(nn.MultiLabelMarginLoss()(scores, classes).item(), 4)
        0.85
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.multilabel_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(_WeightedLoss):
    """Binary cross entropy of logits ``(..., C)``, averaged over the classes.

    Args:
        weight: one factor per class.

    Raises:
        RuntimeError: shapes that do not broadcast.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> loss = nn.MultiLabelSoftMarginLoss(reduction="none")
        >>> [round(x, 4) for x in loss(fg.zeros(2, 3), fg.ones(2, 3)).tolist()]
        [0.6931, 0.6931]
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.multilabel_soft_margin_loss(
            input, target, weight=self.weight, reduction=self.reduction
        )
