"""Connectionist temporal classification (Graves et al. 2006): the loss as a scan over time.

The forward variables of all extended label positions are the carry; the gradient is the backward
loop that reverse mode derives from it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...dtypes import int64
from ...errors import DTypeError, ShapeError
from ...functions.indexing import gather
from ...functions.pointwise import where
from ...functions.reduction import mean, sum
from ...functions.shape import cat, reshape, squeeze, stack, unsqueeze
from ...ir.primitive import current_builder
from ...loops import scan_tensors
from ...ops import compare as cmp
from ...ops import elementwise as ew
from ...ops import indexing, movement
from ...ops import transcendental as tr
from ...tensor import Tensor
from ..utils.rnn import host_integers
from .losscommon import reduction_of

_INF = float("inf")


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Negative log-likelihood of label sequences under all their alignments (Graves et al. 2006).

    As in PyTorch the gradient is taken with respect to normalised ``log_probs``: it includes the
    softmax, which changes nothing behind ``log_softmax``.

    Args:
        log_probs: ``(T, N, C)`` or ``(T, C)``, logarithms of probabilities, from ``log_softmax``.
        targets: integer labels ``(N, S)``, or all labels behind one another, ``(sum of lengths)``.
        input_lengths: ``(N)``, number of steps of each sequence; a tensor, list or tuple.
        target_lengths: ``(N)``, number of labels of each sequence; for one-dimensional targets of a
            batch a value of the host.
        blank: index of the blank label.
        reduction: ``"mean"`` (losses divided by their target lengths, then averaged), ``"sum"``,
            ``"none"``.
        zero_infinity: impossible alignments cost nothing instead of infinity.

    Raises:
        RuntimeError: shapes, dtypes, lengths or a blank that do not fit.

    Example:
        >>> import fusegrad as fg
        >>> import fusegrad.nn.functional as F
        >>> log_probs = fg.zeros(2, 1, 2).log_softmax(2)
        >>> round(F.ctc_loss(log_probs, fg.tensor([[1]]), [2], [1], reduction="sum").item(), 4)
        0.2877
    """
    mode = reduction_of(reduction)
    batched = log_probs.aval.ndim == 3
    if not batched:
        log_probs, input_lengths, target_lengths = _as_batch(
            log_probs, input_lengths, target_lengths
        )
        targets = targets if targets.aval.ndim == 2 else unsqueeze(targets, 0)
    steps, batch, classes = log_probs.shape
    _check(log_probs, targets, blank, classes)
    labels = _padded(targets, target_lengths, batch)
    ticks = _lengths(input_lengths, batch, "input_lengths", steps, "the number of time steps")
    sizes = _lengths(
        target_lengths, batch, "target_lengths", labels.shape[1], "the number of labels"
    )
    loss = _batch_loss(log_probs, labels, ticks, sizes, blank)
    if zero_infinity:
        loss = where(cmp.eq(loss, _INF), 0.0, loss)
    if mode == "none":
        return loss if batched else squeeze(loss, 0)
    if mode == "sum":
        return sum(loss)
    return mean(ew.div(loss, cmp.convert(ew.maximum(sizes, 1), dtype=loss.dtype)))


def _as_batch(log_probs: Tensor, *lengths: Any) -> list[Any]:
    if log_probs.aval.ndim != 2:
        raise ShapeError(
            f"ctc_loss got log_probs {log_probs.aval}",
            "log_probs are (T, N, C), or (T, C) without a batch.",
        )
    batch = [
        reshape(x, 1) if isinstance(x, Tensor) else [x] if isinstance(x, int) else x
        for x in lengths
    ]
    return [unsqueeze(log_probs, 1), *batch]


def _check(log_probs: Tensor, targets: Tensor, blank: int, classes: int) -> None:
    if log_probs.dtype.category != 2:
        raise DTypeError(
            f"ctc_loss got log_probs {log_probs.aval}", "log_probs are float32 or float64."
        )
    if targets.dtype.category != 1:
        raise DTypeError(
            f"ctc_loss got targets {targets.aval}", "targets are integers.", "targets.long()"
        )
    if not 0 <= blank < classes:
        raise ShapeError(
            f"ctc_loss with blank={blank} and {classes} classes",
            "blank must be in label range.",
            f"a value from 0 to {classes - 1}",
        )


def _padded(targets: Tensor, lengths: Any, batch: int) -> Tensor:
    """Labels as ``(N, S)``."""
    if targets.aval.ndim == 2:
        if targets.shape[0] != batch:
            raise ShapeError(
                f"ctc_loss got targets {targets.aval} for a batch of {batch}",
                "Two-dimensional targets have one row per sequence.",
            )
        return targets
    if targets.aval.ndim != 1:
        raise ShapeError(
            f"ctc_loss got targets {targets.aval}",
            "targets are (N, S), or all labels behind one another.",
        )
    sizes = host_integers(lengths, "target_lengths")
    if np.sum(sizes) > targets.shape[0]:
        raise ShapeError(
            f"ctc_loss got {targets.shape[0]} labels and target_lengths {sizes}",
            "One-dimensional targets hold the labels of all sequences behind one another.",
        )
    starts = np.cumsum([0, *sizes[:-1]])
    width = max([0, *sizes])
    rows = np.zeros((len(sizes), width), np.int64)
    for k, (start, n) in enumerate(zip(starts, sizes, strict=True)):
        rows[k, :n] = start + np.arange(n)
    return indexing.take(targets, Tensor(rows), axis=0)


def _lengths(values: Any, batch: int, name: str, limit: int, what: str) -> Tensor:
    """Lengths as an int64 tensor; checked where their values are known."""
    traced = isinstance(values, Tensor) and current_builder() is not None
    known = None if traced else host_integers(values, name)
    if isinstance(values, Tensor):
        lengths = cmp.convert(values, dtype=int64) if values.dtype is not int64 else values
    else:
        lengths = Tensor(np.asarray(known, np.int64))
    if lengths.shape != (batch,):
        raise ShapeError(
            f"ctc_loss got {name} of shape {list(lengths.shape)} for a batch of {batch}",
            f"{name} must be of size batch_size.",
        )
    if known is not None and any(not 0 <= n <= limit for n in known):
        raise ShapeError(
            f"ctc_loss got {name} {known}",
            f"Expected {name} to have values from 0 to {limit}, {what}.",
        )
    return lengths


def _batch_loss(
    log_probs: Tensor, labels: Tensor, ticks: Tensor, sizes: Tensor, blank: int
) -> Tensor:
    """The loss of each sequence ``(N,)``."""
    steps, batch, _ = log_probs.shape
    width = labels.shape[1]
    positions = Tensor(np.arange(width).reshape(1, width))
    present = _spread(cmp.lt, positions, unsqueeze(sizes, 1), (batch, width))
    labels = where(present, labels, blank)
    blanks = labels.new_full((batch, width), blank)
    pairs = reshape(stack([blanks, labels], 2), batch, 2 * width)
    extended = cat([pairs, labels.new_full((batch, 1), blank)], 1)
    states = 2 * width + 1
    skips = _may_skip(extended, blank)
    index = movement.broadcast(extended, shape=(steps, batch, states), axes=(1, 2))
    emitted = gather(log_probs, 2, index)
    ramp = Tensor(np.arange(steps).reshape(steps, 1))
    valid = _spread(cmp.lt, ramp, unsqueeze(ticks, 0), (steps, batch))
    first = Tensor(np.arange(states).reshape(1, states) < 2)
    alpha = where(first, emitted[0], -_INF) if steps else log_probs.new_full((batch, states), -_INF)

    def step(old: list[Tensor], slices: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        (before,) = old
        stay, move, skip = before, _shifted(before, 1), _shifted(before, 2)
        mixed = _logsumexp([stay, move, where(skips, skip, -_INF)])
        new = ew.add(mixed, slices[0])
        return [where(unsqueeze(slices[1], 1), new, before)], []

    (alpha,), _ = scan_tensors(step, [alpha], [emitted[1:], valid[1:]], max(steps - 1, 0), False)
    loss = _ends(alpha, ticks, sizes)
    return ew.add(loss, _softmax_part(log_probs, valid, loss))


def _spread(primitive: Any, x: Tensor, y: Tensor, shape: tuple[int, ...]) -> Tensor:
    return primitive(
        movement.broadcast(x, shape=shape, axes=(0, 1)),
        movement.broadcast(y, shape=shape, axes=(0, 1)),
    )


def _may_skip(extended: Tensor, blank: int) -> Tensor:
    """Positions whose label differs from the one two places before, which is no blank."""
    batch, states = extended.shape
    earlier = _shifted(extended, 2, blank)
    here = Tensor((np.arange(states) >= 2).reshape(1, states))
    differs = cmp.and_(cmp.ne(extended, blank), cmp.ne(extended, earlier))
    return cmp.and_(differs, movement.broadcast(here, shape=(batch, states), axes=(0, 1)))


def _shifted(x: Tensor, by: int, fill: float = -_INF) -> Tensor:
    """Values moved ``by`` places to the right along the last axis."""
    batch, n = x.shape
    by = min(by, n)
    return cat([x.new_full((batch, by), fill), x[:, : n - by]], 1)


def _logsumexp(parts: list[Tensor]) -> Tensor:
    """log(sum(exp)) of tensors, ``-inf`` where all are, with zero gradients there."""
    top = parts[0].detach()
    for part in parts[1:]:
        top = ew.maximum(top, part.detach())
    nothing = cmp.eq(top, -_INF)
    shift = where(nothing, 0.0, top)
    total = tr.exp(ew.sub(parts[0], shift))
    for part in parts[1:]:
        total = ew.add(total, tr.exp(ew.sub(part, shift)))
    total = where(nothing, 1.0, total)
    return where(nothing, -_INF, ew.add(tr.log(total), shift))


def _ends(alpha: Tensor, ticks: Tensor, sizes: Tensor) -> Tensor:
    """Minus the log-likelihood of ending in the last label or in the blank behind it."""
    last = unsqueeze(ew.mul(sizes, 2), 1)
    in_blank = squeeze(gather(alpha, 1, last), 1)
    place = ew.maximum(ew.sub(last, 1), 0)
    in_label = squeeze(gather(alpha, 1, place), 1)
    in_label = where(cmp.gt(sizes, 0), in_label, -_INF)
    loss = ew.neg(_logsumexp([in_blank, in_label]))
    without_steps = where(cmp.eq(sizes, 0), loss.new_full(loss.shape, 0.0), _INF)
    return where(cmp.eq(ticks, 0), without_steps, loss)


def _softmax_part(log_probs: Tensor, valid: Tensor, loss: Tensor) -> Tensor:
    """Zero, with the probabilities of all valid steps as its gradient."""
    probabilities = sum(tr.exp(log_probs), 2)
    per_sequence = sum(where(valid, probabilities, 0.0), 0)
    zero = ew.sub(per_sequence, per_sequence.detach())
    return where(cmp.eq(loss.detach(), _INF), 0.0, zero)
