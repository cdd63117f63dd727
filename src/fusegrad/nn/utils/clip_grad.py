"""Gradient clipping, in place, without looking at values: the same code runs while traced."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ...autograd import no_grad
from ...errors import GradientError
from ...functions.arithmetic import div
from ...functions.common import cast
from ...functions.norms import norm
from ...functions.pointwise import clamp, neg
from ...functions.reduction import amax, sum
from ...functions.shape import stack
from ...ops import compare as cmp
from ...ops import elementwise as ew
from ...tensor import Tensor


def _gradients(parameters: Any) -> list[Tensor]:
    listed = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [g for g in (p.grad for p in listed) if g is not None]


def get_total_norm(
    tensors: Any,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of all tensors as if they were one vector.

    Args:
        tensors: one tensor or several.
        norm_type: the p of the norm; ``inf`` for the largest magnitude.
        error_if_nonfinite: raise when the norm is inf or nan (not while traced).
        foreach: accepted; the norm is always fused.

    Raises:
        RuntimeError: ``error_if_nonfinite`` and the norm is not finite.

    Example:
        >>> import fusegrad as fg
        >>> fg.nn.utils.get_total_norm([fg.tensor([3.0]), fg.tensor([[4.0]])]).item()
        5.0
    """
    listed = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    norm_type = float(norm_type)
    if not listed:
        return Tensor(np.zeros((), np.float32))
    if norm_type == 2.0:  # one square root: the squares of all tensors add up
        total = _added([sum(ew.mul(x, x)) for x in listed], listed)
        total = ew.sqrt(total)
    elif math.isinf(norm_type) and norm_type > 0:
        total = amax(stack([amax(ew.abs_(x)) for x in listed]))
    else:
        total = norm(stack([norm(x, norm_type) for x in listed]), norm_type)
    if error_if_nonfinite and not bool(cmp.isfinite(total)):
        raise GradientError(
            f"the total norm of order {norm_type} for gradients is non-finite",
            "error_if_nonfinite=True forbids clipping by a norm that is inf or nan.",
            "lower the learning rate, or pass error_if_nonfinite=False",
        )
    return total


def _added(parts: list[Tensor], like: list[Tensor]) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = ew.add(total, cast(part, total.dtype))
    return total


@no_grad
def clip_grads_with_norm_(
    parameters: Any, max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scale gradients by ``max_norm / total_norm`` where that is below 1, in place.

    Example:
        >>> import fusegrad as fg
        >>> p = fg.nn.Parameter(fg.tensor([2.0]))
        >>> p.sum().backward()
        >>> fg.nn.utils.clip_grads_with_norm_(p, 1.0, fg.tensor(4.0)); round(p.grad.item(), 4)
        0.25
    """
    factor = clamp(div(max_norm, ew.add(total_norm, 1e-6)), max=1.0)
    for gradient in _gradients(parameters):
        gradient.mul_(factor)  # type: ignore[attr-defined]


@no_grad
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale the gradients so that their common norm is at most ``max_norm``, in place.

    Args:
        parameters: one tensor or several with gradients.
        max_norm: largest norm.
        norm_type: the p of the norm, or ``inf``.
        error_if_nonfinite: raise when the norm is inf or nan (not while traced).

    Returns:
        the norm before clipping.

    Example:
        >>> import fusegrad as fg
        >>> p = fg.nn.Parameter(fg.tensor([3.0, 4.0]))
        >>> (p * p).sum().backward()
        >>> fg.nn.utils.clip_grad_norm_(p, max_norm=1.0).item()
        10.0
        >>> [round(g, 3) for g in p.grad.tolist()]
        [0.6, 0.8]
    """
    listed = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    gradients = _gradients(listed)
    total = get_total_norm(gradients, norm_type, error_if_nonfinite)
    clip_grads_with_norm_(listed, max_norm, total)
    return total


@no_grad
def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Limit every element of the gradients to [-clip_value, clip_value], in place.

    Example:
        >>> import fusegrad as fg
        >>> p = fg.nn.Parameter(fg.tensor([3.0, -0.25]))
        >>> (p * p).sum().backward()
        >>> fg.nn.utils.clip_grad_value_(p, 1.0); p.grad.tolist()
        [1.0, -0.5]
    """
    low = neg(clip_value) if isinstance(clip_value, Tensor) else -clip_value
    for gradient in _gradients(parameters):
        gradient.clamp_(low, clip_value)  # type: ignore[attr-defined]
