"""What all losses share: reductions, the deprecated flags, checks of shapes.

In: the loss per element. Out: the mean, the sum or the elements. Means multiply by the reciprocal
of a count known from the shape, which a kernel folds into its epilogue.
"""

from __future__ import annotations

import warnings
from typing import Any

from ...dtypes import DType, get_default_dtype
from ...errors import ArgumentError, ArgumentTypeError, DTypeError
from ...functions.common import broadcast_shapes, broadcast_to, pointwise
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
    return input, target


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


def require_floating(name: str, operand: Tensor, label: str, dtype: DType | None = None) -> None:
    """Require a floating dtype, or exactly ``dtype``."""
    wanted = operand.dtype is dtype if dtype is not None else operand.dtype.category >= 2
    if not wanted:
        raise DTypeError(
            f"{name} got {label} {operand.aval}",
            f"Found dtype {operand.dtype} but expected "
            + ("a floating dtype." if dtype is None else f"{dtype}."),
            f"{label}.to({dtype or get_default_dtype()})",
        )
