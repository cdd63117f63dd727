"""Quotients and remainders, elementwise; integers refuse a zero divisor.

In: tensors or numbers, promoted and broadcast. Out: tensors. Next file: ``elementary.py``.
"""

from __future__ import annotations

from typing import Any

from .. import dtypes
from ..dtypes import DType
from ..ops import elementwise as ops
from ..tensor import Tensor
from .common import as_tensor_operand, cast, method, pointwise
from .pointwise import fractional, in_place, promote_pair, trunc, where
from .refusals import no_zero_divisor


def _truncated(input: Any, other: Any, dtype: DType) -> Tensor:
    if dtype.reduced:
        return cast(_truncated(input, other, dtypes.float32), dtype)
    if dtype.is_floating_point:
        return trunc(pointwise(ops.div, input, other, dtype=dtype))
    floor = floor_divide(input, other)
    rest = pointwise(ops.sub, input, pointwise(ops.mul, floor, other), dtype=dtype)
    below = pointwise(ops.and_, pointwise(ops.ne, rest, 0), pointwise(ops.lt, floor, 0))
    return pointwise(ops.add, floor, cast(below, dtype))


@method("div", "divide", "true_divide", "__truediv__")
def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """input / other; integers give floats unless ``rounding_mode`` is "trunc" or "floor"."""
    if rounding_mode == "floor":
        return floor_divide(input, other)
    dtype = promote_pair(input, other)
    if rounding_mode == "trunc":
        return _truncated(input, other, dtype)
    return pointwise(ops.div, input, other, dtype=fractional(input, other))


@method("__rtruediv__")
def rdiv(input: Any, other: Any) -> Tensor:
    """other / input."""
    return div(other, input)


@method("floor_divide", "__floordiv__")
def floor_divide(input: Any, other: Any) -> Tensor:
    """Quotient rounded towards minus infinity.

    Raises:
        RuntimeError: an integer is divided by zero, or both operands are boolean.
    """
    if promote_pair(input, other).category < 2:
        no_zero_divisor("floor_divide", other)
    return pointwise(ops.floor_div, input, other)


@method("__rfloordiv__")
def rfloor_divide(input: Any, other: Any) -> Tensor:
    """other // input."""
    return floor_divide(other, input)


@method("remainder", "__mod__")
def remainder(input: Any, other: Any) -> Tensor:
    """Remainder with the sign of the divisor.

    Raises:
        RuntimeError: an integer is divided by zero, or both operands are boolean.
    """
    if promote_pair(input, other).category < 2:
        no_zero_divisor("remainder", other)
    return pointwise(ops.remainder, input, other)


@method("__rmod__")
def rremainder(input: Any, other: Any) -> Tensor:
    """other % input."""
    return remainder(other, input)


@method()
def fmod(input: Any, other: Any) -> Tensor:
    """Remainder with the sign of the dividend.

    Raises:
        RuntimeError: an integer is divided by zero, or both operands are boolean.
    """
    dtype = promote_pair(input, other)
    if dtype.category != 1:
        return pointwise(ops.fmod, input, other)
    rest = remainder(input, other)
    x, y = (cast(as_tensor_operand(v), dtype) for v in (input, other))
    signs = pointwise(ops.ne, pointwise(ops.lt, x, 0), pointwise(ops.lt, y, 0))
    apart = pointwise(ops.and_, pointwise(ops.ne, rest, 0), signs)
    return where(apart, pointwise(ops.sub, rest, y), rest)


for _function, _operator in (
    (div, "itruediv"),
    (floor_divide, "ifloordiv"),
    (remainder, "imod"),
    (fmod, ""),
):
    in_place(f"{_function.__name__}_", _function)
    if _operator:
        in_place(f"__{_operator}__", _function)
