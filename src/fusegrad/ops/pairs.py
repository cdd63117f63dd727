"""Functions of complex numbers as compositions on real and imaginary parts, for kernels.

These are the ``pair`` rules of the records; ``passes/complex.py`` applies them. A complex operand
comes as ``(re, im)``. Formulas that need care for large numbers and cancellation follow Smith
(1962, "Algorithm 116: Complex division") and Kahan (1987, "Branch cuts for complex elementary
functions").
"""

from __future__ import annotations

import math
from typing import Any

from ..dtypes import DType, bool_, real_dtype
from ..ir.graph import Literal

Pair = tuple[Any, Any]


def scaled(z: Pair, factor: float) -> Pair:
    """``z`` times a real number."""
    return ew.mul(z[0], factor), ew.mul(z[1], factor)


# --- arithmetic -----------------------------------------------------------------------------------
def conj(x: Pair) -> Pair:
    """x*."""
    return x[0], ew.neg(x[1])


def mul(x: Pair, y: Pair) -> Pair:
    """x * y."""
    (a, b), (c, d) = x, y
    return ew.sub(ew.mul(a, c), ew.mul(b, d)), ew.add(ew.mul(a, d), ew.mul(b, c))


def div(x: Pair, y: Pair) -> Pair:
    """x / y by Smith's method; a zero divisor gives what dividing the parts by zero gives."""
    (a, b), (c, d) = x, y
    swap = cmp.lt(ew.abs_(c), ew.abs_(d))
    large, small = cmp.where(swap, d, c), cmp.where(swap, c, d)
    zero = cmp.eq(large, 0.0)
    ratio = ew.div(small, large)
    scale = ew.add(large, ew.mul(small, ratio))
    re = cmp.where(swap, ew.add(ew.mul(a, ratio), b), ew.add(a, ew.mul(b, ratio)))
    im = cmp.where(swap, ew.sub(ew.mul(b, ratio), a), ew.sub(b, ew.mul(a, ratio)))
    size = ew.abs_(large)
    return (
        cmp.where(zero, ew.div(a, size), ew.div(re, scale)),
        cmp.where(zero, ew.div(b, size), ew.div(im, scale)),
    )


def reciprocal(x: Pair) -> Pair:
    """1 / x."""
    return div((_like(x, 1.0), _like(x, 0.0)), x)


def _like(x: Pair, value: float) -> Any:
    return Literal(value, x[0].aval.dtype)


def dot(x: Pair, y: Pair, **params: Any) -> Pair:
    """Four real contractions."""
    from .contract import dot as real  # it imports the elementwise records

    (a, b), (c, d) = x, y
    re = ew.sub(real(a, c, **params), real(b, d, **params))
    return re, ew.add(real(a, d, **params), real(b, c, **params))


# --- absolute value, logarithms -------------------------------------------------------------------
def _ordered(z: Pair) -> tuple[Any, Any, Any]:
    """The larger size of the parts, the smaller one divided by it, whether either is infinite."""
    a, b = ew.abs_(z[0]), ew.abs_(z[1])
    large, small = ew.maximum(a, b), ew.minimum(a, b)
    ratio = ew.div(small, cmp.where(cmp.eq(large, 0.0), 1.0, large))
    return large, ratio, cmp.or_(cmp.eq(a, math.inf), cmp.eq(b, math.inf))


def absolute(x: Pair) -> Any:
    """|x| without overflow."""
    large, ratio, endless = _ordered(x)
    size = ew.mul(large, ew.sqrt(ew.add(ew.mul(ratio, ratio), 1.0)))
    return cmp.where(endless, math.inf, size)


def log(x: Pair) -> Pair:
    """log |x| and the angle; the logarithm keeps its digits near |x| = 1."""
    large, ratio, endless = _ordered(x)
    size = ew.add(tr.log(large), ew.mul(tr.log1p(ew.mul(ratio, ratio)), 0.5))
    return cmp.where(endless, math.inf, size), tr.atan2(x[1], x[0])


def log2(x: Pair) -> Pair:
    """log(x) / log(2)."""
    return scaled(log(x), 1.0 / math.log(2.0))


def log10(x: Pair) -> Pair:
    """log(x) / log(10)."""
    return scaled(log(x), 1.0 / math.log(10.0))


def log1p(x: Pair) -> Pair:
    """log(1 + x)."""
    a, b = x
    far = log((ew.add(a, 1.0), b))
    squares = ew.add(ew.mul(a, ew.add(a, 2.0)), ew.mul(b, b))
    near = cmp.lt(ew.maximum(ew.abs_(a), ew.abs_(b)), 0.5)
    return cmp.where(near, ew.mul(tr.log1p(squares), 0.5), far[0]), far[1]


# --- exponentials, powers -------------------------------------------------------------------------
def exp(x: Pair) -> Pair:
    """e^a (cos b + i sin b); real where x is."""
    size = tr.exp(x[0])
    im = cmp.where(cmp.eq(x[1], 0.0), x[1], ew.mul(size, tr.sin(x[1])))
    return ew.mul(size, tr.cos(x[1])), im


def exp2(x: Pair) -> Pair:
    """2 ** x."""
    return exp(scaled(x, math.log(2.0)))


def expm1(x: Pair) -> Pair:
    """exp(x) - 1: expm1(a) cos b - 2 sin(b/2)**2 is its real part."""
    half = tr.sin(ew.mul(x[1], 0.5))
    re = ew.sub(ew.mul(tr.expm1(x[0]), tr.cos(x[1])), ew.mul(ew.mul(half, half), 2.0))
    return re, exp(x)[1]


def pow_(x: Pair, y: Pair) -> Pair:
    """exp(y log x); 0 ** y is 0 for a positive real part, x ** 0 is 1."""
    re, im = exp(mul(y, log(x)))
    empty = cmp.and_(cmp.eq(x[0], 0.0), cmp.eq(x[1], 0.0))
    none = cmp.and_(cmp.eq(y[0], 0.0), cmp.eq(y[1], 0.0))
    at_zero = cmp.where(cmp.gt(y[0], 0.0), _like(x, 0.0), _like(x, math.nan))
    return (
        cmp.where(none, 1.0, cmp.where(empty, at_zero, re)),
        cmp.where(none, 0.0, cmp.where(empty, at_zero, im)),
    )


def sqrt(x: Pair) -> Pair:
    """The root in the right half plane."""
    a, b = x
    size = ew.sqrt(ew.add(ew.mul(ew.abs_(a), 0.5), ew.mul(absolute(x), 0.5)))
    other = ew.div(ew.mul(ew.abs_(b), 0.5), cmp.where(cmp.eq(size, 0.0), 1.0, size))
    right = cmp.ge(a, 0.0)
    endless = cmp.eq(ew.abs_(b), math.inf)
    re = cmp.where(endless, math.inf, cmp.where(right, size, other))
    im = ew.copysign(cmp.where(endless, math.inf, cmp.where(right, other, size)), b)
    lost = cmp.or_(cmp.isnan(a), cmp.isnan(b))
    return cmp.where(cmp.and_(lost, cmp.not_(endless)), math.nan, re), im


def rsqrt(x: Pair) -> Pair:
    """1 / sqrt(x)."""
    return reciprocal(sqrt(x))


def sigmoid(x: Pair) -> Pair:
    """1 / (1 + exp(-x))."""
    re, im = exp((ew.neg(x[0]), ew.neg(x[1])))
    return reciprocal((ew.add(re, 1.0), im))


# --- trigonometric and hyperbolic -----------------------------------------------------------------
def sinh(x: Pair) -> Pair:
    """sinh a cos b + i cosh a sin b."""
    a, b = x
    return ew.mul(tr.sinh(a), tr.cos(b)), ew.mul(tr.cosh(a), tr.sin(b))


def cosh(x: Pair) -> Pair:
    """cosh a cos b + i sinh a sin b."""
    a, b = x
    return ew.mul(tr.cosh(a), tr.cos(b)), ew.mul(tr.sinh(a), tr.sin(b))


def tanh(x: Pair) -> Pair:
    """Kahan's form by tan b and sinh a; where that overflows, the sign and a rest."""
    a, b = x
    t, s = tr.tan(b), tr.sinh(a)
    secant = ew.add(ew.mul(t, t), 1.0)
    scale = ew.add(ew.mul(secant, ew.mul(s, s)), 1.0)
    re = ew.div(ew.mul(secant, ew.mul(s, ew.sqrt(ew.add(ew.mul(s, s), 1.0)))), scale)
    far = cmp.gt(ew.abs_(a), 20.0)
    rest = ew.mul(ew.mul(tr.sin(b), tr.cos(b)), tr.exp(ew.mul(ew.abs_(a), -2.0)))
    one = ew.copysign(_like(x, 1.0), a)
    return cmp.where(far, one, re), cmp.where(far, ew.mul(rest, 4.0), ew.div(t, scale))


def _turned(function: Any, x: Pair) -> Pair:
    """-i f(i x): the trigonometric function of an odd hyperbolic one."""
    re, im = function((ew.neg(x[1]), x[0]))
    return im, ew.neg(re)


def sin(x: Pair) -> Pair:
    """-i sinh(i x)."""
    return _turned(sinh, x)


def cos(x: Pair) -> Pair:
    """cosh(i x)."""
    return cosh((ew.neg(x[1]), x[0]))


def tan(x: Pair) -> Pair:
    """-i tanh(i x)."""
    return _turned(tanh, x)


# --- comparison, conversion, sources --------------------------------------------------------------
def eq(x: Pair, y: Pair) -> Any:
    """Whether both parts are equal."""
    return cmp.and_(cmp.eq(x[0], y[0]), cmp.eq(x[1], y[1]))


def ne(x: Pair, y: Pair) -> Any:
    """Whether either part differs."""
    return cmp.or_(cmp.ne(x[0], y[0]), cmp.ne(x[1], y[1]))


def isnan(x: Pair) -> Any:
    """Whether either part is nan."""
    return cmp.or_(cmp.isnan(x[0]), cmp.isnan(x[1]))


def isfinite(x: Pair) -> Any:
    """Whether both parts are finite."""
    return cmp.and_(cmp.isfinite(x[0]), cmp.isfinite(x[1]))


def convert(x: Any, dtype: DType) -> Any:
    """To and from complex dtypes: the real part of a pair, a pair of a real number."""
    if not dtype.is_complex:
        return (
            cmp.or_(cmp.ne(x[0], 0.0), cmp.ne(x[1], 0.0)) if dtype is bool_ else _part(x[0], dtype)
        )
    part = real_dtype(dtype)
    if isinstance(x, tuple):
        return _part(x[0], part), _part(x[1], part)
    return _part(x, part), Literal(0.0, part)


def _part(x: Any, dtype: DType) -> Any:
    return cmp.convert(x, dtype=dtype)


def full(shape: Any, dtype: DType, value: Any) -> Pair:
    """The parts of a constant."""
    part, number = real_dtype(dtype), complex(value)
    return Literal(number.real, part), Literal(number.imag, part)


def pad(x: Pair, value: Any, **params: Any) -> Pair:
    """The parts surrounded with the parts of the constant."""
    from .movement import pad as real  # it imports nothing of this module, but loads later

    number = complex(value)
    return real(x[0], value=number.real, **params), real(x[1], value=number.imag, **params)


# The records name these rules and the rules bind the records: this module is loaded before them.
from . import compare as cmp  # noqa: E402
from . import elementwise as ew  # noqa: E402
from . import transcendental as tr  # noqa: E402
