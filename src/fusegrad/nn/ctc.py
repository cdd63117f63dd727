"""CTCLoss: connectionist temporal classification as a module."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor
from .functional.ctc import ctc_loss
from .loss import _Loss


class CTCLoss(_Loss):
    """Negative log-likelihood of label sequences under all their alignments (Graves et al. 2006).

    Args:
        blank: index of the blank label.
        reduction: ``"mean"`` (losses divided by their target lengths, then averaged), ``"sum"``,
            ``"none"``.
        zero_infinity: impossible alignments cost nothing instead of infinity.

    ``forward(log_probs, targets, input_lengths, target_lengths)`` takes ``(T, N, C)`` or
    ``(T, C)`` from ``log_softmax``, targets ``(N, S)`` or all labels behind one another, and
    lengths as tensors, lists or tuples.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> log_probs = fg.zeros(2, 1, 2).log_softmax(2)
        >>> round(nn.CTCLoss()(log_probs, fg.tensor([[1]]), [2], [1]).item(), 4)
        0.2877
    """

    def __init__(
        self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False
    ) -> None:
        super().__init__(reduction=reduction)
        self.blank = blank
        self.zero_infinity = zero_infinity

    def forward(
        self, log_probs: Tensor, targets: Tensor, input_lengths: Any, target_lengths: Any
    ) -> Tensor:
        """The loss."""
        return ctc_loss(
            log_probs,
            targets,
            input_lengths,
            target_lengths,
            self.blank,
            self.reduction,
            self.zero_infinity,
        )
