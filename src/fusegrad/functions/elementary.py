"""Elementwise functions that are compositions of the primitives."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..dtypes import bool_, complex128, finfo, float64, stored
from ..errors import DTypeError
from ..ops import compare as cmp
from ..ops import elementwise as ops
from ..ops import source, whole
from ..ops import transcendental as tr
from ..tensor import Tensor
from .common import (
    Number,
    as_tensor_operand,
    broadcast_shapes,
    broadcast_to,
    cast,
    floating,
    method,
    pointwise,
    promote,
)
from .complex import real, view_as_complex, view_as_real
from .pointwise import add, atan2, mul, pow, promote_pair, sub, trunc, where
from .refusals import floats_only
from .rounding import rounds_once
from .twins import in_place


def _pair(name: str, input: Any, other: Any) -> tuple[Any, Any]:
    """Two operands of one floating dtype and one shape."""
    values = [
        v if isinstance(v, (Tensor, *Number)) else as_tensor_operand(v) for v in (input, other)
    ]
    dtype = promote(*values)
    if dtype.category < 2:
        dtype = floating(Tensor(np.zeros((), dtype.np))).dtype
    tensors = [v if isinstance(v, Tensor) else Tensor(stored(v, dtype)) for v in values]
    shape = broadcast_shapes(*[t.aval.shape for t in tensors], op=name)
    x, y = (broadcast_to(cast(t, dtype), shape) for t in tensors)
    return x, y


def _need_floats(name: str, input: Any, other: Any) -> None:
    if promote_pair(input, other).category < 2:
        floats_only(name, as_tensor_operand(input))


def _full(x: Tensor, value: float) -> Tensor:
    return Tensor(source.full(shape=x.aval.shape, dtype=x.dtype, value=value))


@method()
@rounds_once
def hypot(input: Tensor, other: Tensor) -> Tensor:
    """sqrt(input**2 + other**2) without overflow.

    Example:
        >>> import fusegrad as fg
        >>> fg.hypot(fg.tensor(3.0), fg.tensor(4.0)).item()
        5.0
    """
    x, y = _pair("hypot", input, other)
    _need_floats("hypot", input, other)
    top = ops.maximum(ops.abs_(x.detach()), ops.abs_(y.detach()))
    usable = cmp.and_(cmp.isfinite(top), cmp.gt(top, 0.0))
    scale = where(usable, top, 1.0)
    a, b = ops.div(x, scale), ops.div(y, scale)
    out = ops.mul(scale, ops.sqrt(ops.add(ops.mul(a, a), ops.mul(b, b))))
    endless = cmp.or_(cmp.eq(ops.abs_(x), math.inf), cmp.eq(ops.abs_(y), math.inf))
    return where(endless, math.inf, out)


def _log_of_sum(x: Tensor, y: Tensor, exp: Any, unit: float) -> Tensor:
    first = cmp.ge(real(x), real(y))
    gap = where(first, ops.sub(y, x), ops.sub(x, y))
    same = cmp.and_(cmp.eq(x, y), cmp.not_(cmp.isfinite(x)))
    gap = where(same, 0.0, gap)
    rest = tr.log1p(exp(gap))
    return ops.add(where(first, x, y), rest if unit == 1.0 else ops.mul(rest, unit))


@method()
@rounds_once
def logaddexp(input: Tensor, other: Tensor) -> Tensor:
    """log(exp(input) + exp(other)) without overflow.

    Example:
        >>> import fusegrad as fg
        >>> fg.logaddexp(fg.tensor(1000.0), fg.tensor(0.0)).item()
        1000.0
    """
    _need_floats("logaddexp", input, other)
    x, y = _pair("logaddexp", input, other)
    return _log_of_sum(x, y, tr.exp, 1.0)


@method()
@rounds_once
def logaddexp2(input: Tensor, other: Tensor) -> Tensor:
    """log2(2**input + 2**other) without overflow.

    Example:
        >>> import fusegrad as fg
        >>> fg.logaddexp2(fg.tensor(3.0), fg.tensor(3.0)).item()
        4.0
    """
    _need_floats("logaddexp2", input, other)
    x, y = _pair("logaddexp2", input, other)
    return _log_of_sum(x, y, tr.exp2, 1.0 / math.log(2.0))


@method()
@rounds_once
def xlogy(input: Any, other: Any) -> Tensor:
    """input * log(other), 0 where ``input`` is 0 (nan where ``other`` is).

    Example:
        >>> import fusegrad as fg
        >>> fg.xlogy(fg.tensor([0.0, 2.0]), fg.tensor([0.0, 1.0])).tolist()
        [0.0, 0.0]
    """
    x, y = _pair("xlogy", input, other)
    outside = cmp.or_(cmp.le(y, 0.0), cmp.eq(y, math.inf))
    none = cmp.and_(cmp.eq(x, 0.0), outside)
    return where(none, 0.0, ops.mul(x, tr.log(where(none, 1.0, y))))


@rounds_once
def xlog1py(input: Any, other: Any) -> Tensor:
    """input * log1p(other), 0 where ``input`` is 0 (nan where ``other`` is)."""
    x, y = _pair("xlog1py", input, other)
    outside = cmp.or_(cmp.le(y, -1.0), cmp.eq(y, math.inf))
    none = cmp.and_(cmp.eq(x, 0.0), outside)
    return where(none, 0.0, ops.mul(x, tr.log1p(where(none, 1.0, y))))


@method()
@rounds_once
def sinc(input: Tensor) -> Tensor:
    """sin(pi x) / (pi x), 1 at 0.

    Example:
        >>> import fusegrad as fg
        >>> fg.sinc(fg.tensor(0.0)).item()
        1.0
    """
    x = floating(input)
    zero = cmp.eq(x, 0.0)
    angle = ops.mul(where(zero, 1.0, x), math.pi)
    return where(zero, 1.0, ops.div(tr.sin(angle), angle))


@method()
@rounds_once
def deg2rad(input: Tensor) -> Tensor:
    """Degrees as radians.

    Example:
        >>> import fusegrad as fg
        >>> fg.deg2rad(fg.tensor(0.0)).item()
        0.0
    """
    return ops.mul(floating(input), math.pi / 180.0)


@method()
@rounds_once
def rad2deg(input: Tensor) -> Tensor:
    """Radians as degrees.

    Example:
        >>> import fusegrad as fg
        >>> fg.rad2deg(fg.tensor(0.0)).item()
        0.0
    """
    return ops.mul(floating(input), 180.0 / math.pi)


@method()
def heaviside(input: Tensor, values: Tensor) -> Tensor:
    """0 below 0, 1 above, ``values`` at 0.

    Example:
        >>> import fusegrad as fg
        >>> fg.heaviside(fg.tensor([-1.0, 0.0, 2.0]), fg.tensor(0.5)).tolist()
        [0.0, 0.5, 1.0]
    """
    input, values = as_tensor_operand(input), as_tensor_operand(values)
    if input.dtype is not values.dtype:
        raise DTypeError(f"heaviside of {input.aval} and {values.aval}", "One dtype is needed.")
    x = input.detach()
    above = cast(pointwise(cmp.gt, x, 0), x.dtype)
    return where(pointwise(cmp.eq, x, 0), values, above)


@method()
def nan_to_num(
    input: Tensor, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """nan and infinities replaced; infinities by the extreme finite numbers unless told otherwise.

    Example:
        >>> import fusegrad as fg
        >>> fg.nan_to_num(fg.tensor([float("nan"), 1.0])).tolist()
        [0.0, 1.0]
    """
    if input.dtype.is_complex:
        return view_as_complex(nan_to_num(view_as_real(input), nan, posinf, neginf))
    if not input.dtype.is_floating_point:
        return cmp.convert(input, dtype=input.dtype)
    limits = finfo(input.dtype)
    out = where(cmp.isnan(input), 0.0 if nan is None else nan, input)
    out = where(cmp.eq(input, math.inf), float(limits.max) if posinf is None else posinf, out)
    return where(cmp.eq(input, -math.inf), float(limits.min) if neginf is None else neginf, out)


@method()
def frac(input: Tensor) -> Tensor:
    """What follows the decimal point, with the sign of ``input``.

    Example:
        >>> import fusegrad as fg
        >>> fg.frac(fg.tensor(-1.5)).item()
        -0.5
    """
    floats_only("frac", input)
    return sub(input, trunc(input))


@method()
def fmax(input: Tensor, other: Tensor) -> Tensor:
    """Larger of two; nan only where both are nan.

    Example:
        >>> import fusegrad as fg
        >>> fg.fmax(fg.tensor(float("nan")), fg.tensor(1.0)).item()
        1.0
    """
    dtype = promote(input, other)
    if dtype.category < 2:
        return pointwise(cmp.or_ if dtype is bool_ else ops.maximum, input, other)
    x, y = _pair("fmax", input, other)
    return where(cmp.or_(cmp.ge(x, y), cmp.isnan(y)), x, y)


@method()
def fmin(input: Tensor, other: Tensor) -> Tensor:
    """Smaller of two; nan only where both are nan.

    Example:
        >>> import fusegrad as fg
        >>> fg.fmin(fg.tensor(float("nan")), fg.tensor(1.0)).item()
        1.0
    """
    dtype = promote(input, other)
    if dtype.category < 2:
        return pointwise(cmp.and_ if dtype is bool_ else ops.minimum, input, other)
    x, y = _pair("fmin", input, other)
    return where(cmp.or_(cmp.le(x, y), cmp.isnan(y)), x, y)


@method()
def float_power(input: Any, exponent: Any) -> Tensor:
    """input ** exponent in double precision.

    Example:
        >>> import fusegrad as fg
        >>> fg.float_power(fg.tensor(2), 3).item()
        8.0
    """

    def wide(v: Any) -> Any:
        if isinstance(v, Tensor):
            return cast(v, complex128 if v.dtype.is_complex else float64)
        return v if isinstance(v, complex) else float(v)

    if not isinstance(input, Tensor):
        kind = np.complex128 if isinstance(input, complex) else np.float64
        input = Tensor(np.asarray(input, kind))
    return pow(wide(input), wide(exponent))


@method()
def ldexp(input: Tensor, other: Tensor) -> Tensor:
    """input * 2 ** other.

    Example:
        >>> import fusegrad as fg
        >>> fg.ldexp(fg.tensor(1.5), fg.tensor(3)).item()
        12.0
    """
    return mul(input, tr.exp2(floating(other)))


def _divisor(primitive: Any) -> Callable[[Tensor, Tensor], Tensor]:
    def function(input: Tensor, other: Tensor) -> Tensor:
        dtype = promote(as_tensor_operand(input), as_tensor_operand(other))
        if dtype.category != 1:
            raise DTypeError(f"{primitive.name} of {dtype} operands", "It takes integers.")
        return pointwise(primitive, input, other)

    function.__name__ = primitive.name
    function.__doc__ = f"{primitive.doc} Elementwise, for integers; on the host."
    return method(primitive.name)(function)


gcd, lcm = _divisor(whole.gcd), _divisor(whole.lcm)


def _shift(primitive: Any, name: str, *names: str) -> Callable[[Any, Any], Tensor]:
    left = primitive is cmp.shift_left

    def function(input: Any, other: Any) -> Tensor:
        dtype = promote_pair(input, other)
        last = 8 * dtype.itemsize - 1
        if dtype.category != 1 or (isinstance(other, int) and 0 <= other <= last):
            return pointwise(primitive, input, other)
        # by a negative number, or by all bits and more: nothing but the sign is left
        count = cast(as_tensor_operand(other), dtype)
        inside = cmp.and_(pointwise(cmp.ge, count, 0), pointwise(cmp.le, count, last))
        shifted = pointwise(primitive, input, where(inside, count, last))
        return where(inside, shifted, 0) if left else shifted

    function.__name__ = name
    function.__doc__ = f"{primitive.doc} Elementwise, for integers."
    return method(name, *names)(function)


bitwise_left_shift = _shift(cmp.shift_left, "bitwise_left_shift", "__lshift__")
bitwise_right_shift = _shift(cmp.shift_right, "bitwise_right_shift", "__rshift__")
in_place("__ilshift__", bitwise_left_shift)
in_place("__irshift__", bitwise_right_shift)


@method("__rlshift__")
def _rlshift(input: Any, other: Any) -> Tensor:
    return bitwise_left_shift(other, input)


@method("__rrshift__")
def _rrshift(input: Any, other: Any) -> Tensor:
    return bitwise_right_shift(other, input)


def _ordered(name: str, x: Tensor) -> None:
    if x.dtype.is_complex:
        raise DTypeError(
            f"{name} of {x.aval}", f"{name} is not implemented for complex tensors.", "x.real"
        )


@method()
def signbit(input: Tensor) -> Tensor:
    """Whether the sign is set; true for -0.0.

    Example:
        >>> import fusegrad as fg
        >>> fg.signbit(fg.tensor([-0.0, 1.0])).tolist()
        [True, False]
    """
    _ordered("signbit", input)
    if input.dtype is bool_:
        return pointwise(cmp.ne, input, input)
    x = input.detach()
    if not x.dtype.is_floating_point:
        return pointwise(cmp.lt, x, 0)
    return cmp.lt(ops.copysign(_full(x, 1.0), x), 0.0)


@method()
def isposinf(input: Tensor) -> Tensor:
    """Whether each element is plus infinity."""
    _ordered("isposinf", input)
    return pointwise(cmp.eq, floating(input).detach(), math.inf)


@method()
def isneginf(input: Tensor) -> Tensor:
    """Whether each element is minus infinity."""
    _ordered("isneginf", input)
    return pointwise(cmp.eq, floating(input).detach(), -math.inf)


@method()
def positive(input: Tensor) -> Tensor:
    """``input`` itself."""
    if input.dtype is bool_:
        raise DTypeError(f"positive of {input.aval}", "Booleans have no sign.")
    return input


@method()
def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """other - alpha * input."""
    return sub(other, input, alpha=alpha)


@method()
@rounds_once
def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """log(x / (1 - x)), of x clamped to [eps, 1 - eps].

    Example:
        >>> import fusegrad as fg
        >>> fg.logit(fg.tensor(0.5)).item()
        0.0
    """
    x = floating(input)
    if eps is not None:
        x = x.clamp(eps, 1 - eps)  # type: ignore[attr-defined]
    return tr.log(ops.div(x, ops.sub(1.0, x)))


@method()
@rounds_once
def mvlgamma(input: Tensor, p: int) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension ``p``.

    Example:
        >>> import fusegrad as fg
        >>> round(fg.mvlgamma(fg.tensor(3.0), 1).item(), 4)
        0.6931
    """
    x = floating(input)
    total: Any = tr.lgamma(x)
    for k in range(1, p):
        total = add(total, tr.lgamma(ops.sub(x, k / 2)))
    return add(total, p * (p - 1) / 4 * math.log(math.pi)) if p > 1 else total


method("arctan2")(atan2)
method("fix")(trunc)
method("__pos__")(positive)

for _function in (
    hypot, xlogy, sinc, deg2rad, rad2deg, heaviside, nan_to_num, frac, float_power, ldexp, gcd, lcm,
    bitwise_left_shift, bitwise_right_shift, logit, mvlgamma,
):  # fmt: skip
    in_place(f"{_function.__name__}_", _function)
_PLAIN = """absolute acos acosh arccos arccosh arcsin arcsinh arctan arctanh asin asinh atan atanh
atan2 arctan2 bitwise_not clip copysign cosh sinh tan digamma divide erf erfc exp2 expm1 fix lgamma
log10 log1p log2 multiply negative sign sgn subtract true_divide tril triu eq ne lt le gt ge less
less_equal greater greater_equal not_equal logical_and logical_or logical_xor logical_not cumsum
cumprod renorm addmv addr addbmm baddbmm addmm"""


def register_in_place() -> None:
    """The in-place forms of methods whose result has the shape of the tensor."""
    for name in _PLAIN.split():
        if not hasattr(Tensor, f"{name}_"):
            in_place(f"{name}_", getattr(Tensor, name))
