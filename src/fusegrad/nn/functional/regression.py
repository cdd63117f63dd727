"""Losses over real values, pairs and distances.

In: predictions and targets. Out: losses, under the reductions of ``losscommon.py``. Next file:
``classification.py``.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from ...errors import ArgumentError, RangeError
from ...functions.common import cast, floating, pointwise
from ...functions.creation import full
from ...functions.pointwise import abs as magnitude
from ...functions.pointwise import where
from ...functions.reduction import sum
from ...functions.rounding import rounds_once
from ...functions.shape import unsqueeze
from ...ops import compare as cmp
from ...ops import elementwise as ew
from ...ops import transcendental as tr
from ...tensor import Tensor
from .losscommon import paired, reduced, reduction_of, require_floating, tensors, weighted


@rounds_once
def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """``abs(input - target)`` of any one shape; other shapes broadcast with a warning.

    Args:
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        weight: factors of the input's shape; a mean then divides by their sum.

    Raises:
        RuntimeError: shapes that do not broadcast.
        ValueError: an unknown reduction, a weight of another shape.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.nn import functional as F
        >>> F.l1_loss(fg.tensor([1.0, 2.0]), fg.tensor([1.0, 4.0]), reduction="sum").item()
        2.0
    """
    reduction = reduction_of(reduction, size_average, reduce)
    x, y = paired("l1_loss", input, target)
    return _weighted_mean(magnitude(pointwise(ew.sub, x, y)), weight, reduction)


@rounds_once
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """``(input - target) ** 2`` of any one shape; other shapes broadcast with a warning.

    Args:
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        weight: factors of the input's shape; a mean then divides by their sum.

    Raises:
        RuntimeError: shapes that do not broadcast, operands that are all integers.
        ValueError: an unknown reduction, a weight of another shape.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.nn import functional as F
        >>> F.mse_loss(fg.tensor([1.0, 2.0]), fg.tensor([1.0, 4.0])).item()
        2.0
    """
    reduction = reduction_of(reduction, size_average, reduce)
    d = _difference("mse_loss", input, target)
    return _weighted_mean(ew.mul(d, d), weight, reduction)


def _difference(name: str, input: Tensor, target: Tensor) -> Tensor:
    """input - target, of a floating dtype."""
    x, y = paired(name, input, target)
    d = pointwise(ew.sub, x, y)
    require_floating(name, d, "input - target")
    return d


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


@rounds_once
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """Squared below ``beta``, absolute above, with a continuous slope; see ``nn.SmoothL1Loss``.

    Raises:
        RuntimeError: ``beta`` is negative, shapes that do not broadcast, integers.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.nn import functional as F
        >>> F.smooth_l1_loss(fg.tensor([0.5, 3.0]), fg.zeros(2), reduction="none").tolist()
        [0.125, 2.5]
    """
    reduction = reduction_of(reduction, size_average, reduce)
    if beta < 0:
        raise RangeError(
            f"smooth_l1_loss with beta={beta}",
            "smooth_l1_loss does not support negative values for beta.",
        )
    d = _difference("smooth_l1_loss", input, target)
    size = ew.abs_(d)
    if beta == 0:
        return reduced(size, reduction)
    inner = ew.mul(ew.mul(d, d), 0.5 / beta)
    return reduced(where(cmp.lt(size, beta), inner, ew.sub(size, 0.5 * beta)), reduction)


@rounds_once
def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """Half the square below ``delta``, ``delta * (abs - delta / 2)`` above; see ``nn.HuberLoss``.

    Raises:
        RuntimeError: ``delta`` is not positive, shapes that do not broadcast, integers.
        ValueError: a weight of another shape.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.nn import functional as F
        >>> F.huber_loss(fg.tensor([1.0, 3.0]), fg.zeros(2), delta=2.0).item()
        2.25
    """
    if delta <= 0:
        raise RangeError(
            f"huber_loss with delta={delta}",
            "huber_loss does not support non-positive values for delta.",
        )
    tensors("huber_loss", input=input, target=target)
    d = _difference("huber_loss", input, cast(target, input.dtype))
    size = ew.abs_(d)
    outer = ew.mul(ew.sub(size, 0.5 * delta), delta)
    loss = where(cmp.le(size, delta), ew.mul(ew.mul(d, d), 0.5), outer)
    return _weighted_mean(loss, weight, reduction_of(reduction))


@rounds_once
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

    Raises:
        RuntimeError: shapes that do not broadcast, integers.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.nn import functional as F
        >>> log_p, target = fg.log(fg.tensor([[0.5, 0.5]])), fg.tensor([[1.0, 0.0]])
        >>> round(F.kl_div(log_p, target, reduction="batchmean").item(), 4)
        0.6931
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
    require_floating("kl_div", input, "input")
    require_floating("kl_div", target, "target")
    if log_target:
        loss = pointwise(ew.mul, tr.exp(target), pointwise(ew.sub, target, input))
    else:
        loss = pointwise(ew.sub, _xlogx(target), pointwise(ew.mul, target, input))
    out = reduced(loss, chosen)
    samples = input.aval.shape[0] if input.aval.ndim else 1
    return ew.mul(out, 1.0 / samples) if batch and samples else out


def _xlogx(x: Tensor) -> Tensor:
    """x * log(x), 0 at 0; the logarithm of the side not taken is that of 1."""
    zero = cmp.eq(x, 0.0)
    return where(zero, 0.0, ew.mul(x, tr.log(where(zero, 1.0, x))))


@rounds_once
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
    """Negative log-likelihood of counts under a Poisson rate (or its logarithm).

    See ``nn.PoissonNLLLoss``.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.nn import functional as F
        >>> F.poisson_nll_loss(fg.zeros(2), fg.tensor([1.0, 3.0])).item()
        1.0
    """
    reduction = reduction_of(reduction, size_average, reduce)
    tensors("poisson_nll_loss", input=input, target=target)
    x, y = floating(input), target
    if log_input:
        loss = pointwise(ew.sub, tr.exp(x), pointwise(ew.mul, y, x))
    else:
        loss = pointwise(ew.sub, x, pointwise(ew.mul, y, tr.log(ew.add(x, eps))))
    if full:
        y = floating(y)
        large = cmp.gt(y, 1.0)
        safe = where(large, y, 1.0)
        half_log = ew.mul(tr.log(ew.mul(safe, 2.0 * math.pi)), 0.5)
        stirling = ew.add(ew.sub(ew.mul(safe, tr.log(safe)), safe), half_log)
        loss = pointwise(ew.add, loss, where(large, stirling, 0.0))
    return reduced(loss, reduction)


@rounds_once
def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """Negative log-likelihood of targets under normals of mean ``input`` and variance ``var``.

    See ``nn.GaussianNLLLoss``.

    Raises:
        ValueError: a negative variance, or one of another shape.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.nn import functional as F
        >>> F.gaussian_nll_loss(fg.zeros(2), fg.tensor([1.0, 2.0]), fg.ones(2)).item()
        1.25
    """
    tensors("gaussian_nll_loss", input=input, target=target)
    spread = _variance(input, var, eps)
    d = pointwise(ew.sub, input, target)
    scaled = pointwise(ew.div, ew.mul(d, d), spread)
    loss = ew.mul(pointwise(ew.add, tr.log(spread), scaled), 0.5)
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
    return where(cmp.lt(var, eps), floor, var)
