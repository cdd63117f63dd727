"""Elementwise functions and methods, their operators and in-place forms."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import Any

from .. import dtypes
from ..dtypes import DType, bool_, stored
from ..errors import ArgumentTypeError, DTypeError, RangeError, ShapeError
from ..ops import compare as cmp
from ..ops import elementwise as ops
from ..ops import transcendental as tr
from ..ops.complex import complex_abs
from ..tensor import Tensor
from .common import (
    Number,
    as_tensor_operand,
    broadcast_shapes,
    broadcast_to,
    cast,
    factors,
    floating,
    method,
    owned,
    pointwise,
    promote,
    wrapped,
)
from .refusals import no_booleans


def _unary(primitive: Any, *names: str, floats: bool = True) -> Callable[[Any], Tensor]:
    def function(input: Any) -> Tensor:
        x = floating(input, primitive.name) if floats else as_tensor_operand(input)
        return primitive(x)

    function.__name__ = names[0] if names else primitive.name
    function.__doc__ = f"{primitive.doc} Elementwise; result of the operand's shape."
    method(*(names or (primitive.name,)))(function)
    return function


exp = _unary(tr.exp)
exp2 = _unary(tr.exp2)
expm1 = _unary(tr.expm1)
log = _unary(tr.log)
log2 = _unary(tr.log2)
log10 = _unary(tr.log10)
log1p = _unary(tr.log1p)
sqrt = _unary(ops.sqrt)
rsqrt = _unary(ops.rsqrt)
reciprocal = _unary(ops.reciprocal)
tanh = _unary(tr.tanh)
sigmoid = _unary(tr.sigmoid)
erf = _unary(tr.erf)
erfc = _unary(tr.erfc)
erfinv = _unary(tr.erfinv)
lgamma = _unary(tr.lgamma)
digamma = _unary(tr.digamma)
sin = _unary(tr.sin)
cos = _unary(tr.cos)
tan = _unary(tr.tan)
asin = _unary(tr.asin, "asin", "arcsin")
acos = _unary(tr.acos, "acos", "arccos")
atan = _unary(tr.atan, "atan", "arctan")
sinh = _unary(tr.sinh)
cosh = _unary(tr.cosh)
asinh = _unary(tr.asinh, "asinh", "arcsinh")
acosh = _unary(tr.acosh, "acosh", "arccosh")
atanh = _unary(tr.atanh, "atanh", "arctanh")
isfinite = _unary(cmp.isfinite)


@method("sign")
def sign(input: Tensor) -> Tensor:
    """-1, 0, 1 or nan, elementwise; a boolean is its own sign."""
    x = as_tensor_operand(input)
    return cmp.convert(x, dtype=bool_) if x.dtype is bool_ else ops.sign(x)


@method("abs", "absolute", "__abs__")
def abs(input: Any) -> Tensor:
    """Absolute value, elementwise; real for complex tensors."""
    x = as_tensor_operand(input)
    return complex_abs(x) if x.dtype.is_complex else ops.abs_(x)


@method("neg", "negative", "__neg__")
def neg(input: Tensor) -> Tensor:
    """Negation, elementwise."""
    if input.dtype is bool_:
        raise DTypeError(f"negative of {input.aval}", "Booleans have no negative.", "~x")
    out = ops.neg(input)
    out._weak = input._weak
    return out


def _rounding(primitive: Any) -> Callable[[Tensor], Tensor]:
    def function(input: Tensor) -> Tensor:
        x = as_tensor_operand(input)
        no_booleans(primitive.name, x)
        return primitive(x) if x.dtype.category >= 2 else owned(x)

    function.__name__ = primitive.name
    function.__doc__ = primitive.doc
    method(primitive.name)(function)
    return function


floor = _rounding(ops.floor)
ceil = _rounding(ops.ceil)
trunc = _rounding(ops.trunc)


@method()
def round(input: Any, *, decimals: int = 0) -> Tensor:
    """Nearest number with ``decimals`` digits after the point, ties to even; integers as they are.

    Example:
        >>> import fusegrad as fg
        >>> fg.round(fg.tensor([0.5, 1.5])).tolist(), fg.round(fg.tensor(1234.0), decimals=-2)
        ([0.0, 2.0], tensor(1200.))
    """
    x = as_tensor_operand(input)
    no_booleans("round", x)
    if not x.dtype.is_floating_point:
        if decimals:
            raise DTypeError(
                f"round of {x.aval} to {decimals} decimals", "It takes floating numbers."
            )
        return owned(x)
    if not decimals:
        return ops.round_(x)
    power = 10.0 ** builtins.abs(decimals)
    up, down = (ops.mul, ops.div) if decimals > 0 else (ops.div, ops.mul)
    return down(ops.round_(up(x, power)), power)


@method()
def relu(input: Tensor) -> Tensor:
    """max(x, 0), elementwise."""
    no_booleans("relu", input)
    if input.dtype.is_floating_point:
        return tr.relu(input)
    return pointwise(ops.maximum, input, 0)


@method()
def square(input: Tensor) -> Tensor:
    """x * x, elementwise; int64 for booleans."""
    x = cast(input, dtypes.int64) if input.dtype is bool_ else input
    return pointwise(ops.mul, x, x)


@method()
def isnan(input: Tensor) -> Tensor:
    """Whether each element is nan."""
    return cmp.isnan(floating(input))


@method()
def isinf(input: Tensor) -> Tensor:
    """Whether each element is plus or minus infinity."""
    x = floating(input)
    return pointwise(cmp.eq, abs(x), math.inf)


# --- arithmetic ---------------------------------------------------------------------------------
def _scales(alpha: Any) -> bool:
    return isinstance(alpha, Tensor) or alpha != 1


def _scaled(name: str, input: Any, other: Any, alpha: Any) -> Any:
    """``alpha * other``, in the dtype of the result."""
    if not _scales(alpha):
        return other
    dtype = promote_pair(input, other)
    if isinstance(alpha, float) and dtype.category < 2:
        raise DTypeError(
            f"{name} of integers with alpha={alpha!r}",
            "For integral input tensors, argument alpha must not be a floating point number.",
            "an integer alpha",
        )
    if isinstance(alpha, bool) and dtype is not bool_:
        raise DTypeError(
            f"{name} with alpha={alpha!r}", "Boolean alpha only supported for Boolean results."
        )
    if dtype is bool_:
        return mul(other, as_bool(as_tensor_operand(alpha)))
    return mul(cast(as_tensor_operand(other), dtype), alpha)


@method("add", "__add__", "__radd__")
def add(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """input + alpha * other with broadcasting and type promotion."""
    if _scales(alpha) and (dtype := promote_pair(input, other)).reduced:
        return _narrow_sum(add, input, other, alpha, dtype)
    other = _scaled("add", input, other, alpha)
    if promote_pair(input, other) is bool_:
        return pointwise(cmp.or_, input, other)
    return pointwise(ops.add, input, other)


def _narrow_sum(function: Any, input: Any, other: Any, alpha: Any, dtype: DType) -> Tensor:
    """A scaled sum in half precision: its factor is rounded, and then the result."""
    parts = [cast(cast(as_tensor_operand(v), dtype), dtypes.float32) for v in (input, other, alpha)]
    return cast(function(parts[0], parts[1], alpha=parts[2]), dtype)


def promote_pair(a: Any, b: Any) -> DType:
    """Result dtype of two operands."""
    return promote(
        *[v if isinstance(v, (Tensor, *Number)) else as_tensor_operand(v) for v in (a, b)]
    )


def fractional(a: Any, b: Any) -> DType:
    """The result dtype of a function with fractions: the default dtype for integers."""
    dtype = promote_pair(a, b)
    return dtype if dtype.category >= 2 else dtypes.get_default_dtype()


@method("sub", "subtract", "__sub__")
def sub(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """input - alpha * other with broadcasting and type promotion."""
    no_booleans("sub", input, other, try_="x ^ y or ~x for booleans")
    if _scales(alpha) and (dtype := promote_pair(input, other)).reduced:
        return _narrow_sum(sub, input, other, alpha, dtype)
    return pointwise(ops.sub, input, _scaled("sub", input, other, alpha))


@method("__rsub__")
def rsub(input: Any, other: Any) -> Tensor:
    """other - input."""
    return sub(other, input)


@method("mul", "multiply", "__mul__", "__rmul__")
def mul(input: Any, other: Any) -> Tensor:
    """input * other with broadcasting and type promotion."""
    if promote_pair(input, other) is bool_:
        return pointwise(cmp.and_, input, other)
    return factors(ops.mul, input, other)


@method("pow", "__pow__")
def pow(input: Any, exponent: Any) -> Tensor:
    """input ** exponent; small integer exponents become products, 0.5 a square root."""
    dtype = promote_pair(input, exponent)
    if dtype is bool_ and isinstance(exponent, bool):
        return pointwise(cmp.or_, input, logical_not(as_tensor_operand(exponent)))
    if isinstance(input, Tensor) and isinstance(exponent, Number):
        if not isinstance(exponent, complex) or input.dtype.is_complex:
            special = _constant_power(cast(input, dtype), exponent)
            if special is not None:
                return special
    if dtype.reduced:  # factors of the derivatives leave the range of half precision
        wide = (cast(v, dtypes.float32) if isinstance(v, Tensor) else v for v in (input, exponent))
        return cast(pointwise(ops.pow_, *wide), dtype)
    if dtype.category >= 2:
        return pointwise(ops.pow_, input, exponent)
    return _integer_power(input, exponent)


def _integer_power(base: Any, exponent: Any) -> Tensor:
    """Powers of integers; a negative exponent leaves what is whole: powers of 1 and -1."""
    if isinstance(exponent, int) and exponent < 0:
        raise RangeError(
            f"pow with exponent {exponent}",
            "Integers to negative integer powers are not allowed.",
            "x.float() ** exponent",
        )
    if not isinstance(exponent, Tensor) or not exponent.dtype.is_signed:
        return pointwise(ops.ipow, base, exponent)
    dtype = promote_pair(base, exponent)
    base, exponent = (cast(as_tensor_operand(v), dtype) for v in (base, exponent))
    below = pointwise(cmp.lt, exponent, 0)
    power = pointwise(ops.ipow, base, where(below, 0, exponent))
    odd = pointwise(cmp.and_, exponent, 1)
    of_minus_one = where(pointwise(cmp.eq, base, -1), pointwise(ops.sub, 1, mul(odd, 2)), 0)
    return where(below, where(pointwise(cmp.eq, base, 1), 1, of_minus_one), power)


def _constant_power(x: Tensor, exponent: Any) -> Tensor | None:
    if exponent == 1:
        return pointwise(ops.mul, x, 1)
    if exponent == 2:
        return pointwise(ops.mul, x, x)
    if exponent == 3:
        return pointwise(ops.mul, pointwise(ops.mul, x, x), x)
    if x.dtype.category >= 2:
        if exponent == 0.5:
            return ops.sqrt(x)
        if exponent == -1:
            return ops.reciprocal(x)
    return None


@method("__rpow__")
def rpow(input: Any, other: Any) -> Tensor:
    """other ** input."""
    return pow(other, input)


@method()
def maximum(input: Any, other: Any) -> Tensor:
    """Larger of two, elementwise; nan wins."""
    of_bools = promote_pair(input, other) is bool_
    return pointwise(cmp.or_ if of_bools else ops.maximum, input, other)


@method()
def minimum(input: Any, other: Any) -> Tensor:
    """Smaller of two, elementwise; nan wins."""
    of_bools = promote_pair(input, other) is bool_
    return pointwise(cmp.and_ if of_bools else ops.minimum, input, other)


@method()
def atan2(input: Any, other: Any) -> Tensor:
    """Angle of the point (other, input)."""
    return pointwise(tr.atan2, input, other, dtype=fractional(input, other))


@method()
def copysign(input: Any, other: Any) -> Tensor:
    """Magnitude of input with the sign of other."""
    return pointwise(ops.copysign, input, other, dtype=fractional(input, other))


@method("clamp", "clip")
def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """Limit elements to [min, max]; the gradient passes inside, and to a limit that binds."""
    if min is None and max is None:
        raise DTypeError("clamp without limits", "At least one of min and max must be given.")
    limits = [v for v in (min, max) if v is not None]
    limits = [v if isinstance(v, (Tensor, *Number)) else as_tensor_operand(v) for v in limits]
    dtype = promote(input, *limits)
    out = cast(input, dtype)
    if min is not None:
        highest = cmp.or_ if dtype is bool_ else ops.maximum
        out = _limited(out, min, dtype, cmp.ge, cmp.lt, highest)
    if max is not None:
        lowest = cmp.and_ if dtype is bool_ else ops.minimum
        out = _limited(out, max, dtype, cmp.le, cmp.gt, lowest)
    return out


def _limited(x: Tensor, limit: Any, dtype: DType, inside: Any, beyond: Any, other: Any) -> Tensor:
    """One side of ``clamp``; nan of either operand stays, and has no gradient."""
    fixed = limit.detach() if isinstance(limit, Tensor) else limit
    kept = where(pointwise(inside, x, limit), x, pointwise(other, x.detach(), fixed))
    return where(pointwise(beyond, x, limit), _limit(limit, dtype), kept)


def _limit(limit: Any, dtype: DType) -> Any:
    """A number as a constant of a dtype."""
    return wrapped(limit, dtype) if isinstance(limit, Number) and dtype.category == 1 else limit


@method()
def clamp_min(input: Tensor, min: Any) -> Tensor:
    """max(input, min)."""
    input = as_tensor_operand(input)
    return clamp(input, min=min)


@method()
def clamp_max(input: Tensor, max: Any) -> Tensor:
    """min(input, max)."""
    input = as_tensor_operand(input)
    return clamp(input, max=max)


# --- comparison, logic ----------------------------------------------------------------------------
def _compare(primitive: Any, *names: str) -> Callable[[Any, Any], Tensor]:
    def function(input: Any, other: Any) -> Tensor:
        return pointwise(primitive, input, other)

    function.__name__ = names[0]
    function.__doc__ = f"{primitive.doc} Elementwise; result is bool."
    method(*names)(function)
    return function


eq = _compare(cmp.eq, "eq", "__eq__")
ne = _compare(cmp.ne, "ne", "not_equal", "__ne__")
lt = _compare(cmp.lt, "lt", "less", "__lt__")
le = _compare(cmp.le, "le", "less_equal", "__le__")
gt = _compare(cmp.gt, "gt", "greater", "__gt__")
ge = _compare(cmp.ge, "ge", "greater_equal", "__ge__")
bitwise_and = _compare(cmp.and_, "bitwise_and", "__and__", "__rand__")
bitwise_or = _compare(cmp.or_, "bitwise_or", "__or__", "__ror__")
bitwise_xor = _compare(cmp.xor, "bitwise_xor", "__xor__", "__rxor__")


@method("bitwise_not")
def bitwise_not(input: Tensor) -> Tensor:
    """Bitwise complement; logical not of booleans."""
    return cmp.not_(input)


@method("__invert__")
def _invert(input: Tensor) -> Tensor:
    """``~x``."""
    if input.dtype.category >= 2:
        raise ArgumentTypeError(f"~ of {input.aval}", "It is for integers and booleans.", "1 - x")
    return cmp.not_(input)


def as_bool(x: Any) -> Tensor:
    """x != 0."""
    tensor = as_tensor_operand(x)
    return tensor if tensor.dtype is bool_ else cast(tensor, bool_)


@method()
def logical_not(input: Tensor) -> Tensor:
    """Whether each element is zero."""
    return cmp.not_(as_bool(input))


@method()
def logical_and(input: Any, other: Any) -> Tensor:
    """Whether both are non-zero."""
    return pointwise(cmp.and_, as_bool(input), as_bool(other))


@method()
def logical_or(input: Any, other: Any) -> Tensor:
    """Whether either is non-zero."""
    return pointwise(cmp.or_, as_bool(input), as_bool(other))


def where(condition: Tensor, input: Any, other: Any) -> Tensor:
    """``input`` where the condition holds, ``other`` elsewhere, with broadcasting."""
    values = [
        v if isinstance(v, (Tensor, *Number)) else as_tensor_operand(v) for v in (input, other)
    ]
    dtype = promote(*values)
    condition = as_bool(condition)
    shapes = [v.aval.shape for v in (condition, *values) if isinstance(v, Tensor)]
    shape = broadcast_shapes(*shapes, op="where")
    if not any(isinstance(v, Tensor) for v in values):
        values[0] = Tensor(stored(values[0], dtype))
    x, y = [
        broadcast_to(cast(v, dtype), shape) if isinstance(v, Tensor) else _limit(v, dtype)
        for v in values
    ]
    return cmp.where(broadcast_to(condition, shape), x, y)


@method("where")
def _where_method(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    return where(condition, self, other)


@method()
def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """``value`` (a number or a 0-d tensor) where ``mask``, ``input`` elsewhere."""
    if isinstance(value, Tensor) and value.aval.ndim:
        raise ShapeError(
            f"masked_fill with value {value.aval}",
            "masked_fill_ only supports a 0-dimensional value tensor.",
            "fg.where(mask, value, input)",
        )
    if isinstance(value, complex) or (isinstance(value, Tensor) and value.dtype.is_complex):
        if not input.dtype.is_complex:
            raise DTypeError(
                f"masked_fill of {input.aval} with a complex value",
                f"value cannot be converted to type {input.dtype} without overflow.",
            )
    if isinstance(value, Number):
        value = Tensor(stored(value, input.dtype))
    return where(mask, cast(value, input.dtype), input)
