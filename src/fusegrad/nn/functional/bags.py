"""Bags of embeddings: sums, means and maxima of rows of a table.

In: indices ``(B, N)``, or ``(n,)`` with the offsets where bags begin. Out: one row per bag. The
rows themselves are not kept in memory.
"""

from __future__ import annotations

import math

from ...dtypes import int64
from ...errors import ArgumentError, DTypeError, ShapeError
from ...functions.common import broadcast_to, cast, pointwise
from ...functions.indexing import checked, wrap_index
from ...functions.pointwise import where
from ...functions.reduction import amax, sum
from ...functions.rounding import rounds_once
from ...functions.shape import narrow, reshape, unsqueeze
from ...ops import compare as cmp
from ...ops import elementwise as ew
from ...ops import indexing, source
from ...tensor import Tensor
from .layers import _frequency, _renormalize, _ScaleGradient

__all__ = ["embedding_bag"]


def _bag_of(offsets: Tensor, count: int) -> Tensor:
    """The bag that each of ``count`` positions belongs to, int64."""
    shape = (count, offsets.aval.shape[0])
    position = Tensor(source.iota(shape=shape, dtype=int64, axis=0))
    begins = broadcast_to(cast(offsets, int64), shape)
    return ew.sub(sum(cmp.le(begins, position), 1), 1)


def _check(
    input: Tensor, offsets: Tensor | None, mode: str, per_sample_weights: Tensor | None
) -> None:
    if mode not in ("sum", "mean", "max"):
        raise ArgumentError(f"embedding_bag with mode={mode!r}", "mode has to be sum, mean or max.")
    if input.dtype.category != 1:
        raise DTypeError(
            f"embedding_bag with indices {input.aval}",
            "Expected tensor for argument 'input' to have an integer dtype.",
            "input.long()",
        )
    if input.aval.ndim not in (1, 2) or (input.aval.ndim == 2) != (offsets is None):
        raise ArgumentError(
            f"embedding_bag got input {input.aval}"
            + ("" if offsets is None else f" and offsets {offsets.aval}"),
            "input is 2D without offsets, or 1D with 1D offsets.",
        )
    if offsets is not None and offsets.aval.ndim != 1:
        raise ArgumentError(f"embedding_bag got offsets {offsets.aval}", "offsets has to be 1D.")
    if per_sample_weights is not None:
        if mode != "sum":
            raise ArgumentError(
                f"embedding_bag with per_sample_weights and mode={mode!r}",
                "per_sample_weights is only supported for mode='sum'.",
            )
        if per_sample_weights.aval.shape != input.aval.shape:
            raise ShapeError(
                f"embedding_bag got input {input.aval} and weights {per_sample_weights.aval}",
                "per_sample_weights has the shape of input.",
            )


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Sums, means or maxima of the rows of ``weight`` in each bag; 0 for empty bags.

    Args:
        input: indices ``(B, N)``, or ``(n,)`` with ``offsets``.
        weight: ``[rows, features]``.
        offsets: where each bag begins; starts at 0.
        max_norm: rows in use are first shrunk to this norm, in place.
        scale_grad_by_freq: divide gradients by how often a row is used.
        mode: ``"sum"``, ``"mean"`` or ``"max"``.
        sparse: accepted; gradients are dense.
        per_sample_weights: factors of the shape of ``input``, for sums.
        include_last_offset: the last offset is the end of the last bag.
        padding_idx: row that is left out.

    Raises:
        ValueError: options that do not go together.
    """
    _check(input, offsets, mode, per_sample_weights)
    rows = weight.aval.shape[0]
    index = wrap_index(input, rows, "embedding_bag")
    if max_norm is not None:
        _renormalize(weight, index, max_norm, norm_type)
    looked = checked(indexing.take(weight, index, axis=0), input, rows, 0)
    if scale_grad_by_freq:
        if mode == "max":
            raise ArgumentError(
                "embedding_bag with mode='max' and scale_grad_by_freq=True",
                "max mode does not support scaling the gradient by the frequency.",
            )
        share = ew.reciprocal(indexing.take(_frequency(index, rows, weight), index, axis=0))
        looked = _ScaleGradient.apply(looked, unsqueeze(share, -1))
    kept: Tensor | None = None
    if padding_idx is not None:
        kept = cmp.ne(index, padding_idx % rows)
    bags, bag = input.aval.shape[0], None
    if offsets is not None:
        bags = offsets.aval.shape[0] - (1 if include_last_offset else 0)
        bag = _bag_of(narrow(offsets, 0, 0, bags), input.aval.shape[0])
    if mode == "max":
        return _maximum(looked, bag, bags, kept)
    return _total(looked, per_sample_weights, bag, bags, kept, mode == "mean")


def _spread(mask: Tensor, like: Tensor) -> Tensor:
    return broadcast_to(unsqueeze(mask, -1), like.aval.shape)


@rounds_once
def _total(
    looked: Tensor,
    factors: Tensor | None,
    bag: Tensor | None,
    bags: int,
    kept: Tensor | None,
    average: bool,
) -> Tensor:
    if factors is not None:
        looked = pointwise(ew.mul, looked, unsqueeze(factors, -1))
    if kept is not None:
        looked = cmp.where(_spread(kept, looked), looked, 0.0)
    shape = looked.aval.shape[:-1]
    if kept is None:
        ones = Tensor(source.full(shape=shape, dtype=looked.dtype, value=1))
    else:
        ones = cast(kept, looked.dtype)
    if bag is None:
        total, count = sum(looked, 1), sum(ones, 1)
    else:
        total = indexing.take_add(looked, bag, axis=0, extent=bags)
        count = indexing.take_add(ones, bag, axis=0, extent=bags)
    if not average:
        return total
    return pointwise(ew.mul, total, unsqueeze(ew.reciprocal(ew.maximum(count, 1.0)), -1))


def _maximum(looked: Tensor, bag: Tensor | None, bags: int, kept: Tensor | None) -> Tensor:
    if bag is not None:  # every bag looks at all rows and skips those of other bags
        count, features = looked.aval.shape
        shape = (bags, count)
        own = cmp.eq(
            broadcast_to(reshape(bag, (1, count)), shape),
            Tensor(source.iota(shape=shape, dtype=int64, axis=0)),
        )
        kept = own if kept is None else cmp.and_(own, broadcast_to(kept, shape))
        looked = broadcast_to(looked, (bags, count, features))
    if kept is None:
        return amax(looked, 1)
    if not looked.aval.shape[1]:
        return sum(looked, 1)
    best = amax(where(_spread(kept, looked), looked, -math.inf), 1)
    some = broadcast_to(unsqueeze(cmp.gt(sum(kept, 1), 0), -1), best.aval.shape)
    return where(some, best, 0.0)
