"""Quotients, remainders, and sums of products, elementwise; integers refuse a zero divisor.

In: tensors or numbers, promoted and broadcast. Out: tensors. Next file: ``elementary.py``.
"""

from __future__ import annotations

import builtins
from typing import Any

from .. import dtypes
from ..dtypes import DType, bool_
from ..ops import compare as cmp
from ..ops import elementwise as ops
from ..tensor import Tensor
from .common import Number, as_tensor_operand, cast, factors, method, pointwise, promote
from .pointwise import abs, add, fractional, mul, promote_pair, sub, trunc, where
from .refusals import floats_only, no_booleans, no_zero_divisor, one_dtype
from .rounding import rounds_once


def _truncated(input: Any, other: Any, dtype: DType) -> Tensor:
    if dtype.reduced:
        return cast(_truncated(input, other, dtypes.float32), dtype)
    if dtype.is_floating_point:
        return trunc(pointwise(ops.div, input, other, dtype=dtype))
    floor = floor_divide(input, other)
    rest = pointwise(ops.sub, input, pointwise(ops.mul, floor, other), dtype=dtype)
    below = pointwise(cmp.and_, pointwise(cmp.ne, rest, 0), pointwise(cmp.lt, floor, 0))
    return pointwise(ops.add, floor, cast(below, dtype))


@method("div", "divide", "true_divide", "__truediv__")
def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """input / other; integers give floats unless ``rounding_mode`` is "trunc" or "floor"."""
    if rounding_mode == "floor":
        return floor_divide(input, other)
    dtype = promote_pair(input, other)
    if rounding_mode == "trunc":
        return _truncated(input, other, dtype)
    return factors(ops.div, input, other, dtype=fractional(input, other))


@method("__rtruediv__", "__rdiv__")
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
    signs = pointwise(cmp.ne, pointwise(cmp.lt, x, 0), pointwise(cmp.lt, y, 0))
    apart = pointwise(cmp.and_, pointwise(cmp.ne, rest, 0), signs)
    return where(apart, pointwise(ops.sub, rest, y), rest)


# --- sums of products and quotients ---------------------------------------------------------------
@method()
def lerp(input: Tensor, end: Any, weight: Any) -> Tensor:
    """input + weight * (end - input), from the nearer end: exact for the weights 0 and 1.

    Tensors have one dtype; a number may be of any.
    """
    number = not isinstance(weight, Tensor) or not weight.aval.shape
    one_dtype("lerp", input, end, *(() if number else (weight,)))
    floats_only("lerp", input)
    return _lerp(input, end, weight)


@rounds_once
def _lerp(input: Tensor, end: Any, weight: Any) -> Tensor:
    span = sub(end, input)
    near, far = add(input, mul(weight, span)), sub(end, mul(span, 1 - weight))
    if isinstance(weight, Tensor):
        return where(cmp.lt(abs(weight), 0.5), near, far)
    return near if builtins.abs(weight) < 0.5 else far


def _promoted(*values: Any) -> list[Any]:
    """Tensors in their common dtype, so that what is between them is not rounded to less."""
    dtype = promote(*values)
    return [cast(v, dtype) if isinstance(v, Tensor) else v for v in values]


@method()
@rounds_once
def addcmul(input: Tensor, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Tensor:
    """input + value * tensor1 * tensor2."""
    if promote(input, tensor1, tensor2) is bool_:
        no_booleans("addcmul", input)
    input, tensor1, tensor2 = _promoted(input, tensor1, tensor2)
    product = mul(tensor1, tensor2)
    return add(input, product if isinstance(value, Number) and value == 1 else mul(product, value))


@method()
@rounds_once
def addcdiv(input: Tensor, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Tensor:
    """input + value * tensor1 / tensor2."""
    if promote_pair(tensor1, tensor2).category < 2:
        floats_only("addcdiv", tensor1)
    input, tensor1, tensor2 = _promoted(input, tensor1, tensor2)
    numerator = tensor1 if isinstance(value, Number) and value == 1 else mul(tensor1, value)
    return add(input, pointwise(ops.div, numerator, tensor2))
