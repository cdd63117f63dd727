"""Losses of single predictions and of classes: modules around the functions of ``functional``.

Those with a margin are in ``margin.py``.
"""

from __future__ import annotations

import warnings
from typing import Any

from ..tensor import Tensor
from . import functional as F
from .functional.losscommon import reduction_of
from .module import Module


class _Loss(Module):
    """A loss with a reduction ("none", "mean", "sum")."""

    weight: Any
    pos_weight: Any

    def __init__(
        self, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
    ) -> None:
        super().__init__()
        deprecated = size_average is not None or reduce is not None
        self.reduction = reduction_of(reduction, size_average, reduce) if deprecated else reduction


class _WeightedLoss(_Loss):
    """A loss with a weight that is a buffer."""

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: Any = None,
        reduce: Any = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)


class L1Loss(_Loss):
    """The absolute error ``abs(input - target)``, of any one shape; see ``functional.l1_loss``.

    Args:
        reduction: ``"mean"`` (default), ``"sum"`` or ``"none"`` (one loss per element).

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> nn.L1Loss()(fg.tensor([1.0, 2.0]), fg.tensor([1.0, 4.0])).item()
        1.0
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.l1_loss(input, target, reduction=self.reduction)


class MSELoss(_Loss):
    """The squared error ``(input - target) ** 2``, of any one shape; see ``functional.mse_loss``.

    Args:
        reduction: ``"mean"`` (default), ``"sum"`` or ``"none"`` (one loss per element).

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> nn.MSELoss()(fg.tensor([1.0, 2.0]), fg.tensor([1.0, 4.0])).item()
        2.0
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.mse_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(_Loss):
    """``d**2 / (2 * beta)`` where ``d = abs(input - target) < beta``, else ``d - beta / 2``.

    The loss of Fast R-CNN (Girshick 2015).

    Args:
        reduction: ``"mean"`` (default), ``"sum"`` or ``"none"``.
        beta: where the square turns into the absolute value; 0 gives ``L1Loss``.

    Raises:
        RuntimeError: ``beta`` is negative.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> nn.SmoothL1Loss(reduction="none")(fg.tensor([0.5, 3.0]), fg.zeros(2)).tolist()
        [0.125, 2.5]
    """

    def __init__(
        self,
        size_average: Any = None,
        reduce: Any = None,
        reduction: str = "mean",
        beta: float = 1.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(_Loss):
    """``d**2 / 2`` where ``d = abs(input - target) <= delta``, else ``delta * (d - delta / 2)``.

    Robust regression (Huber 1964).

    Args:
        reduction: ``"mean"`` (default), ``"sum"`` or ``"none"``.
        delta: where the square turns into a line, above 0.

    Raises:
        RuntimeError: ``delta`` is not positive.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> nn.HuberLoss(delta=2.0, reduction="none")(fg.tensor([1.0, 3.0]), fg.zeros(2)).tolist()
        [0.5, 4.0]
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class NLLLoss(_WeightedLoss):
    """Negative log-likelihood of class indices, from log-probabilities.

    Input ``(C)``, ``(N, C)`` or ``(N, C, d1, ..., dK)``; target ``()``, ``(N)`` or
    ``(N, d1, ..., dK)`` of int64.

    Args:
        weight: one factor per class; a mean divides by the factors of the targets.
        ignore_index: class index that contributes nothing.

    Raises:
        IndexError: a class index out of range.
        RuntimeError, ValueError: shapes or dtypes that do not fit.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> nn.NLLLoss()(fg.tensor([[-0.5, -1.0]]), fg.tensor([1])).item()
        1.0
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: Any = None,
        ignore_index: int = -100,
        reduce: Any = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.nll_loss(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )


class NLLLoss2d(NLLLoss):
    """``NLLLoss`` under its old name for images."""

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: Any = None,
        ignore_index: int = -100,
        reduce: Any = None,
        reduction: str = "mean",
    ) -> None:
        warnings.warn(
            "NLLLoss2d has been deprecated. Please use NLLLoss instead as a drop-in replacement.",
            FutureWarning,
            stacklevel=2,
        )
        super().__init__(weight, size_average, ignore_index, reduce, reduction)


class CrossEntropyLoss(_WeightedLoss):
    """Cross entropy of scores with class indices or class probabilities.

    Input ``(C)``, ``(N, C)`` or ``(N, C, d1, ..., dK)``, not normalised; target either class
    indices (int64) of the input's shape without C, or probabilities of the input's shape.

    Args:
        weight: one factor per class; with indices a mean divides by the factors of the targets.
        ignore_index: class index that contributes nothing.
        label_smoothing: weight of the uniform distribution mixed into the target (Szegedy 2016).

    Raises:
        IndexError: a class index out of range.
        RuntimeError, ValueError: shapes or dtypes that do not fit.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> round(nn.CrossEntropyLoss()(fg.zeros(1, 4), fg.tensor([2])).item(), 4)
        1.3863
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: Any = None,
        ignore_index: int = -100,
        reduce: Any = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.cross_entropy(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class BCELoss(_WeightedLoss):
    """Cross entropy of probabilities with targets in [0, 1], both of one shape.

    Logarithms are limited to at least -100, so that the loss stays finite.

    Args:
        weight: factors, broadcast to the input.

    Raises:
        ValueError: shapes that differ.
        RuntimeError: an input outside [0, 1], a target of another dtype.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> round(nn.BCELoss()(fg.tensor([0.5]), fg.tensor([1.0])).item(), 4)
        0.6931
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.binary_cross_entropy(input, target, weight=self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_Loss):
    """Cross entropy of logits with targets in [0, 1], both of one shape, for any logit.

    Args:
        weight: factors, broadcast to the input.
        pos_weight: factor of the positive term, broadcast from the last axis.

    Raises:
        ValueError: shapes that differ.
        RuntimeError: a target that is not floating.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> round(nn.BCEWithLogitsLoss()(fg.zeros(3), fg.ones(3)).item(), 4)
        0.6931
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: Any = None,
        reduce: Any = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, pos_weight=self.pos_weight, reduction=self.reduction
        )


class KLDivLoss(_Loss):
    """Kullback-Leibler divergence of log-probabilities ``input`` from a target.

    ``target * (log(target) - input)``, 0 where the target is 0 (Kullback and Leibler 1951).

    Args:
        reduction: also ``"batchmean"``, the divergence per sample; ``"mean"`` divides by the
            number of elements and warns.
        log_target: whether the target holds log-probabilities too.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> loss = nn.KLDivLoss(reduction="batchmean")
        >>> round(loss(fg.log(fg.tensor([[0.5, 0.5]])), fg.tensor([[1.0, 0.0]])).item(), 4)
        0.6931
    """

    def __init__(
        self,
        size_average: Any = None,
        reduce: Any = None,
        reduction: str = "mean",
        log_target: bool = False,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class PoissonNLLLoss(_Loss):
    """Negative log-likelihood of counts under a Poisson rate.

    Args:
        log_input: whether the input is the logarithm of the rate.
        full: add Stirling's approximation of ``log(target!)`` for targets above 1.
        eps: added to the rate before its logarithm, without ``log_input``.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> nn.PoissonNLLLoss()(fg.zeros(2), fg.tensor([1.0, 3.0])).item()
        1.0
    """

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        size_average: Any = None,
        eps: float = 1e-8,
        reduce: Any = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_input = log_input
        self.full = full
        self.eps = eps

    def forward(self, log_input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.poisson_nll_loss(
            log_input,
            target,
            log_input=self.log_input,
            full=self.full,
            eps=self.eps,
            reduction=self.reduction,
        )


class GaussianNLLLoss(_Loss):
    """Negative log-likelihood of targets under normal distributions (Nix and Weigend 1994).

    ``(log(var) + (input - target)**2 / var) / 2`` with one variance per element, or per row.

    Args:
        full: add the constant ``log(2 * pi) / 2``.
        eps: lower limit of the variance.

    Raises:
        ValueError: a negative variance or one of another shape.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> nn.GaussianNLLLoss()(fg.zeros(2), fg.tensor([1.0, 2.0]), fg.ones(2)).item()
        1.25
    """

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(None, None, reduction)
        self.full = full
        self.eps = eps

    def forward(self, input: Tensor, target: Tensor, var: Tensor | float) -> Tensor:
        """The loss."""
        return F.gaussian_nll_loss(
            input, target, var, full=self.full, eps=self.eps, reduction=self.reduction
        )
