"""What all losses share: reductions, the deprecated flags, checks of shapes.

In: the loss per element. Out: the mean, the sum or the elements. Means multiply by the reciprocal
of a count known from the shape, which a kernel folds into its epilogue.
"""

from __future__ import annotations

import warnings
from typing import Any

from ...errors import ArgumentError, ArgumentTypeError, ShapeError
from ...functions.common import broadcast_shapes, broadcast_to, floating, pointwise
from ...functions.reduction import mean, sum
from ...ops import elementwise as ew
from ...tensor import Tensor


def reduction_of(reduction: str, size_average: Any = None, reduce: Any = None) -> str:
    """The reduction to use, honouring the deprecated ``size_average`` and ``reduce``."""
    if size_average is None and reduce is None:
        if reduction not in ("none", "mean", "sum"):
            raise ArgumentError(
                f"{reduction} is not a valid value for reduction",
                "The reductions are 'none', 'mean' and 'sum'.",
            )
        return reduction
    average = True if size_average is None else size_average
    chosen = "none" if reduce is not None and not reduce else "mean" if average else "sum"
    warnings.warn(
        f"size_average and reduce args will be deprecated, please use reduction='{chosen}' "
        "instead.",
        stacklevel=3,
    )
    return chosen


def reduced(loss: Tensor, reduction: str) -> Tensor:
    """``loss`` under a reduction."""
    if reduction == "none":
        return loss
    return mean(loss) if reduction == "mean" else sum(loss)


def tensors(name: str, **operands: Any) -> None:
    """Require every operand to be a tensor."""
    for label, value in operands.items():
        if not isinstance(value, Tensor):
            raise ArgumentTypeError(
                f"{name} got {label} of type {type(value).__name__}",
                f"{label} must be a Tensor.",
                f"fg.tensor({label})",
            )


def paired(name: str, input: Any, target: Any) -> tuple[Tensor, Tensor]:
    """Input and target broadcast to one shape; warns where their shapes differ."""
    tensors(name, input=input, target=target)
    if input.aval.shape != target.aval.shape:
        warnings.warn(
            f"Using a target size ({target.shape}) that is different to the input size "
            f"({input.shape}). This will likely lead to incorrect results due to broadcasting. "
            "Please ensure they have the same size.",
            stacklevel=3,
        )
        shape = broadcast_shapes(input.aval.shape, target.aval.shape, op=name)
        input, target = broadcast_to(input, shape), broadcast_to(target, shape)
    return floating(input, name), target


def same_shape(name: str, input: Tensor, target: Tensor) -> None:
    """Require equal shapes."""
    tensors(name, input=input, target=target)
    if input.aval.shape != target.aval.shape:
        raise ArgumentError(
            f"{name} got input {input.aval} and target {target.aval}",
            f"Target size ({target.shape}) must be the same as input size ({input.shape}).",
            "target.view_as(input), or squeeze the output of the model",
        )


def weighted(loss: Tensor, weight: Tensor | None) -> Tensor:
    """``loss`` times a broadcast weight."""
    return loss if weight is None else pointwise(ew.mul, loss, weight)


def check_per_sample(name: str, reference: Tensor, other: Tensor, label: str) -> None:
    """Require ``other`` to have one value per sample of ``reference``."""
    if other.aval.shape[:1] != reference.aval.shape[:1] and other.aval.shape not in ((), (1,)):
        raise ShapeError(
            f"{name} got {reference.aval} and {label} {other.aval}",
            f"{label} has one value per sample.",
        )
