"""Losses over real values, pairs and distances.

In: predictions and targets. Out: losses, under the reductions of ``losscommon.py``. Next file:
``classification.py``.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from ...errors import ArgumentError, ShapeError
from ...functions.common import cast, floating, pointwise
from ...functions.creation import full
from ...functions.pointwise import clamp, minimum, where
from ...functions.reduction import norm, sum
from ...functions.shape import unsqueeze
from ...ops import elementwise as ew
from ...tensor import Tensor
from .losscommon import paired, reduced, reduction_of, tensors, weighted


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """abs(x - y)."""
    reduction = reduction_of(reduction, size_average, reduce)
    x, y = paired("l1_loss", input, target)
    return _weighted_mean(ew.abs_(pointwise(ew.sub, x, y)), weight, reduction)


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """(x - y) ** 2."""
    reduction = reduction_of(reduction, size_average, reduce)
    x, y = paired("mse_loss", input, target)
    d = pointwise(ew.sub, x, y)
    return _weighted_mean(ew.mul(d, d), weight, reduction)


def _weighted_mean(loss: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    """Elementwise weights; a weighted mean divides by the sum of the weights."""
    if weight is None:
        return reduced(loss, reduction)
    if weight.aval.shape != loss.aval.shape:
        raise ArgumentError(
            f"a loss {loss.aval} got weight {weight.aval}",
            "Inputs and weight must have the same size.",
        )
    total = weighted(loss, weight)
    if reduction == "mean":
        return ew.div(sum(total), cast(sum(weight), loss.dtype))
    return reduced(total, reduction)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """Squared below ``beta``, absolute above, with a continuous slope."""
    reduction = reduction_of(reduction, size_average, reduce)
    if beta < 0:
        raise ArgumentError(
            f"smooth_l1_loss with beta={beta}",
            "smooth_l1_loss does not support negative values for beta.",
        )
    x, y = paired("smooth_l1_loss", input, target)
    d = pointwise(ew.sub, x, y)
    size = ew.abs_(d)
    if beta == 0:
        return reduced(size, reduction)
    inner = ew.mul(ew.mul(d, d), 0.5 / beta)
    return reduced(where(ew.lt(size, beta), inner, ew.sub(size, 0.5 * beta)), reduction)


def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """Half the square below ``delta``, ``delta * (abs - delta / 2)`` above."""
    if delta <= 0:
        raise ArgumentError(
            f"huber_loss with delta={delta}",
            "huber_loss does not support non-positive values for delta.",
        )
    x, y = paired("huber_loss", input, target)
    d = pointwise(ew.sub, x, y)
    size = ew.abs_(d)
    outer = ew.mul(ew.sub(size, 0.5 * delta), delta)
    loss = where(ew.le(size, delta), ew.mul(ew.mul(d, d), 0.5), outer)
    return _weighted_mean(loss, weight, reduction_of(reduction))


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """Kullback-Leibler divergence of log-probabilities ``input`` from ``target``.

    Args:
        reduction: also ``"batchmean"``: the sum divided by the number of samples.
        log_target: whether the target holds log-probabilities.
    """
    tensors("kl_div", input=input, target=target)
    batch = reduction == "batchmean" and size_average is None and reduce is None
    chosen = "sum" if batch else reduction_of(reduction, size_average, reduce)
    if chosen == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the "
            "support size. 'batchmean' divides only by the batch size.",
            stacklevel=2,
        )
    if log_target:
        loss = pointwise(ew.mul, ew.exp(target), pointwise(ew.sub, target, input))
    else:
        loss = pointwise(ew.sub, _xlogx(target), pointwise(ew.mul, target, input))
    out = reduced(loss, chosen)
    samples = input.aval.shape[0] if input.aval.ndim else 1
    return ew.mul(out, 1.0 / samples) if batch and samples else out


def _xlogx(x: Tensor) -> Tensor:
    """x * log(x), 0 at 0; the logarithm of the side not taken is that of 1."""
    zero = ew.eq(x, 0.0)
    return where(zero, 0.0, ew.mul(x, ew.log(where(zero, 1.0, x))))


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: Any = None,
    eps: float = 1e-8,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """Negative log-likelihood of counts under a Poisson rate (or its logarithm)."""
    reduction = reduction_of(reduction, size_average, reduce)
    tensors("poisson_nll_loss", input=input, target=target)
    x, y = floating(input), cast(target, floating(input).dtype)
    if log_input:
        loss = pointwise(ew.sub, ew.exp(x), pointwise(ew.mul, y, x))
    else:
        loss = pointwise(ew.sub, x, pointwise(ew.mul, y, ew.log(ew.add(x, eps))))
    if full:
        large = ew.gt(y, 1.0)
        safe = where(large, y, 1.0)
        half_log = ew.mul(ew.log(ew.mul(safe, 2.0 * math.pi)), 0.5)
        stirling = ew.add(ew.sub(ew.mul(safe, ew.log(safe)), safe), half_log)
        loss = pointwise(ew.add, loss, where(large, stirling, 0.0))
    return reduced(loss, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """Negative log-likelihood of targets under normals of mean ``input`` and variance ``var``."""
    tensors("gaussian_nll_loss", input=input, target=target)
    spread = _variance(input, var, eps)
    d = pointwise(ew.sub, input, target)
    scaled = pointwise(ew.div, ew.mul(d, d), spread)
    loss = ew.mul(pointwise(ew.add, ew.log(spread), scaled), 0.5)
    if full:
        loss = ew.add(loss, 0.5 * math.log(2.0 * math.pi))
    return reduced(loss, reduction_of(reduction))


def _variance(input: Tensor, var: Tensor | float, eps: float) -> Tensor:
    """The variance, checked, shaped for broadcasting and limited to at least ``eps``."""
    shape = input.aval.shape
    if not isinstance(var, Tensor):
        var = full(shape, float(var), dtype=input.dtype)
    if var.aval.shape != shape:
        if var.aval.shape == shape[:-1]:
            var = unsqueeze(var, -1)
        elif var.aval.shape != (*shape[:-1], 1):
            raise ArgumentError(
                f"gaussian_nll_loss got input {input.aval} and var {var.aval}",
                "var is of incorrect size: one value per element or per row.",
            )
    raw = var._read()
    if isinstance(raw, np.ndarray) and (raw < 0).any():
        raise ArgumentError(
            "gaussian_nll_loss got a negative var", "var has negative entry/entries."
        )
    # The limit keeps the slope of var itself, as if var had been limited outside the history.
    floor = ew.add(ew.sub(var, var.detach()), eps)  # type: ignore[attr-defined]
    return where(ew.lt(var, eps), floor, var)


# --- pairs and triplets ---------------------------------------------------------------------------
def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """x for targets 1, max(0, margin - x) for targets -1."""
    reduction = reduction_of(reduction, size_average, reduce)
    tensors("hinge_embedding_loss", input=input, target=target)
    hinge = clamp(pointwise(ew.sub, margin, input), min=0.0)
    far = where(pointwise(ew.ne, target, 1), hinge, 0.0)
    near = where(pointwise(ew.ne, target, -1), input, 0.0)
    return reduced(pointwise(ew.add, far, near), reduction)


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, -target * (x1 - x2) + margin)."""
    reduction = reduction_of(reduction, size_average, reduce)
    tensors("margin_ranking_loss", input1=input1, input2=input2, target=target)
    if not input1.aval.ndim == input2.aval.ndim == target.aval.ndim:
        raise ShapeError(
            f"margin_ranking_loss got {input1.aval}, {input2.aval} and target {target.aval}",
            "All input tensors should have the same number of dimensions.",
        )
    gap = pointwise(ew.mul, pointwise(ew.sub, input2, input1), target)
    return reduced(clamp(pointwise(ew.add, gap, margin), min=0.0), reduction)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x1 . x2 / (|x1| * |x2|) along ``dim``."""

    def size(x: Tensor) -> Tensor:
        return clamp(norm(x, 2, dim, keepdim=True), min=eps)

    a, b = pointwise(ew.div, x1, size(x1)), pointwise(ew.div, x2, size(x2))
    return sum(pointwise(ew.mul, a, b), dim)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """1 - cos for targets 1, max(0, cos - margin) for targets -1."""
    reduction = reduction_of(reduction, size_average, reduce)
    tensors("cosine_embedding_loss", input1=input1, input2=input2, target=target)
    if target.aval.ndim > 1 or input1.aval.ndim != target.aval.ndim + 1:
        raise ShapeError(
            f"cosine_embedding_loss got {input1.aval}, {input2.aval} and target {target.aval}",
            "0D target expects 1D inputs and 1D target expects 2D inputs.",
        )
    product = sum(pointwise(ew.mul, input1, input2), -1)
    size1 = ew.add(sum(ew.mul(input1, input1), -1), 1e-12)
    size2 = ew.add(sum(ew.mul(input2, input2), -1), 1e-12)
    cos = pointwise(ew.div, product, ew.sqrt(pointwise(ew.mul, size1, size2)))
    near = where(pointwise(ew.eq, target, 1), ew.sub(1.0, cos), 0.0)
    far = where(pointwise(ew.eq, target, -1), clamp(pointwise(ew.sub, cos, margin), min=0.0), 0.0)
    return reduced(ew.add(near, far), reduction)


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """p-norm of ``x1 - x2 + eps`` over the last axis."""
    return norm(ew.add(pointwise(ew.sub, x1, x2), eps), p, -1, keepdim)


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
    """max(0, d(anchor, positive) - d(anchor, negative) + margin)."""
    reduction = reduction_of(reduction, size_average, reduce)
    tensors("triplet_margin_loss", anchor=anchor, positive=positive, negative=negative)
    if margin <= 0:
        raise ArgumentError(
            f"triplet_margin_loss with margin={margin}", "margin must be greater than 0."
        )
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = minimum(far, pairwise_distance(positive, negative, p, eps))
    return reduced(clamp(pointwise(ew.add, ew.sub(near, far), margin), min=0.0), reduction)
