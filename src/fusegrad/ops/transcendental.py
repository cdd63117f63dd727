"""Elementwise primitives beyond arithmetic: exponentials, activations, error and angle functions.

One record each, as in ``elementwise.py``: a scalar expression and its derivative.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..ir.aval import Aval
from ..ir.primitive import Primitive
from . import pairs, special
from .compare import eq, gt, where
from .elementwise import add, div, mul, neg, rsqrt, sub
from .kinds import FIELD, FLOAT, elementwise, typed


def _squared_radius(x: Any, y: Any) -> Any:
    """x * x + y * y, but 1 at the origin, where slopes divided by it then are 0."""
    square = add(mul(x, x), mul(y, y))
    return where(eq(square, 0.0), 1.0, square)


def _trigamma(x: Any) -> Any:
    from .advanced import polygamma  # advanced imports this module

    return polygamma(x, n=1)


# --- exponentials and logarithms ----------------------------------------------------------------
_LN2, _LN10 = math.log(2.0), math.log(10.0)
exp: Primitive = elementwise(
    "exp",
    np.exp,
    "exp({0})",
    [lambda g, out: mul(g, out)],
    cost=10,
    dtypes=FIELD,
    pair=pairs.exp,
    doc="Exponential.",
)
exp2: Primitive = elementwise(
    "exp2",
    lambda x: np.exp(x * _LN2) if x.dtype.kind == "c" else np.exp2(x),
    "exp2({0})",
    [lambda g, out: mul(g, mul(out, _LN2))],
    cost=10,
    dtypes=FIELD,
    pair=pairs.exp2,
    doc="Power of two.",
)
expm1: Primitive = elementwise(
    "expm1",
    np.expm1,
    "expm1({0})",
    [lambda g, out: mul(g, add(out, 1.0))],
    cost=12,
    dtypes=FIELD,
    pair=pairs.expm1,
    doc="exp(x) - 1, accurate near zero.",
)
log: Primitive = elementwise(
    "log",
    np.log,
    "log({0})",
    [lambda g, x: div(g, x)],
    cost=10,
    domain=(0.2, 4.0),
    dtypes=FIELD,
    pair=pairs.log,
    doc="Natural logarithm.",
)
log2: Primitive = elementwise(
    "log2",
    np.log2,
    "log2({0})",
    [lambda g, x: div(g, mul(x, _LN2))],
    cost=10,
    domain=(0.2, 4.0),
    dtypes=FIELD,
    pair=pairs.log2,
    doc="Logarithm to base 2.",
)
log10: Primitive = elementwise(
    "log10",
    np.log10,
    "log10({0})",
    [lambda g, x: div(g, mul(x, _LN10))],
    cost=10,
    domain=(0.2, 4.0),
    dtypes=FIELD,
    pair=pairs.log10,
    doc="Logarithm to base 10.",
)
log1p: Primitive = elementwise(
    "log1p",
    np.log1p,
    "log1p({0})",
    [lambda g, x: div(g, add(x, 1.0))],
    cost=12,
    domain=(-0.7, 3.0),
    dtypes=FIELD,
    pair=pairs.log1p,
    doc="log(1 + x), accurate near zero.",
)
# --- activations with a derivative by the output -------------------------------------------------
# Composing them would keep the pre-activation in memory for the backward pass.
tanh: Primitive = elementwise(
    "tanh",
    np.tanh,
    "tanh({0})",
    [lambda g, out: mul(g, sub(1.0, mul(out, out)))],
    cost=12,
    dtypes=FIELD,
    pair=pairs.tanh,
    doc="Hyperbolic tangent.",
)
sigmoid: Primitive = elementwise(
    "sigmoid",
    lambda x: 1 / (1 + np.exp(-x)) if x.dtype.kind == "c" else special.sigmoid(x),
    "sigmoid({0})",
    [lambda g, out: mul(g, mul(out, sub(1.0, out)))],
    cost=12,
    dtypes=FIELD,
    pair=pairs.sigmoid,
    doc="Logistic function 1 / (1 + exp(-x)).",
)
relu: Primitive = elementwise(
    "relu",
    lambda x: np.maximum(x, x.dtype.type(0)),
    typed("maximum({0}, {T}(0))"),
    [lambda g, out: where(gt(out, 0.0), g, 0.0)],
    FLOAT,
    doc="max(x, 0); nan stays nan.",
)

# --- error functions, gamma -----------------------------------------------------------------------
_ERF = 2.0 / math.sqrt(math.pi)
erf: Primitive = elementwise(
    "erf",
    special.erf,
    "erf({0})",
    [lambda g, x: mul(g, mul(_ERF, exp(neg(mul(x, x)))))],
    cost=15,
    doc="Error function.",
)
erfc: Primitive = elementwise(
    "erfc",
    special.erfc,
    "erfc({0})",
    [lambda g, x: mul(g, mul(-_ERF, exp(neg(mul(x, x)))))],
    cost=20,
    doc="Complementary error function 1 - erf(x).",
)
erfinv: Primitive = elementwise(
    "erfinv",
    special.erfinv,
    "erfinv({0})",
    [lambda g, x: mul(g, mul(1.0 / _ERF, exp(mul(erfinv(x), erfinv(x)))))],
    cost=20,
    domain=(-0.9, 0.9),
    doc="Inverse error function.",
)
lgamma: Primitive = elementwise(
    "lgamma",
    special.lgamma,
    "lgamma({0})",
    [lambda g, x: mul(g, digamma(x))],
    cost=30,
    domain=(0.3, 4.0),
    doc="Logarithm of |gamma(x)|.",
)
digamma: Primitive = elementwise(
    "digamma",
    special.digamma,
    "digamma({0})",
    [lambda g, x: mul(g, _trigamma(x))],
    cost=30,
    domain=(0.3, 4.0),
    doc="Derivative of lgamma.",
)

# --- trigonometric and hyperbolic -----------------------------------------------------------------
sin: Primitive = elementwise(
    "sin",
    np.sin,
    "sin({0})",
    [lambda g, x: mul(g, cos(x))],
    cost=15,
    dtypes=FIELD,
    pair=pairs.sin,
    doc="Sine.",
)
cos: Primitive = elementwise(
    "cos",
    np.cos,
    "cos({0})",
    [lambda g, x: neg(mul(g, sin(x)))],
    cost=15,
    dtypes=FIELD,
    pair=pairs.cos,
    doc="Cosine.",
)
tan: Primitive = elementwise(
    "tan",
    np.tan,
    "tan({0})",
    [lambda g, out: mul(g, add(1.0, mul(out, out)))],
    cost=20,
    domain=(-1.2, 1.2),
    dtypes=FIELD,
    pair=pairs.tan,
    doc="Tangent.",
)
asin: Primitive = elementwise(
    "asin",
    np.arcsin,
    "asin({0})",
    [lambda g, x: mul(g, rsqrt(sub(1.0, mul(x, x))))],
    cost=15,
    domain=(-0.8, 0.8),
    dtypes=FIELD,
    doc="Inverse sine.",
)
acos: Primitive = elementwise(
    "acos",
    np.arccos,
    "acos({0})",
    [lambda g, x: neg(mul(g, rsqrt(sub(1.0, mul(x, x)))))],
    cost=15,
    domain=(-0.8, 0.8),
    dtypes=FIELD,
    doc="Inverse cosine.",
)
atan: Primitive = elementwise(
    "atan",
    np.arctan,
    "atan({0})",
    [lambda g, x: div(g, add(1.0, mul(x, x)))],
    cost=15,
    dtypes=FIELD,
    doc="Inverse tangent.",
)
atan2: Primitive = elementwise(
    "atan2",
    np.arctan2,
    "atan2({0}, {1})",
    [
        lambda g, x, y: mul(g, div(y, _squared_radius(x, y))),
        lambda g, x, y: neg(mul(g, div(x, _squared_radius(x, y)))),
    ],
    cost=20,
    domain=(0.3, 3.0),
    doc="Angle of the point (y, x).",
)
sinh: Primitive = elementwise(
    "sinh",
    np.sinh,
    "sinh({0})",
    [lambda g, x: mul(g, cosh(x))],
    cost=15,
    dtypes=FIELD,
    pair=pairs.sinh,
    doc="Hyperbolic sine.",
)
cosh: Primitive = elementwise(
    "cosh",
    np.cosh,
    "cosh({0})",
    [lambda g, x: mul(g, sinh(x))],
    cost=15,
    dtypes=FIELD,
    pair=pairs.cosh,
    doc="Hyperbolic cosine.",
)
asinh: Primitive = elementwise(
    "asinh",
    np.arcsinh,
    "asinh({0})",
    [lambda g, x: mul(g, rsqrt(add(mul(x, x), 1.0)))],
    cost=20,
    dtypes=FIELD,
    doc="Inverse hyperbolic sine.",
)


def _acosh_slope(x: Any, aval: Aval) -> Any:
    """1 / sqrt(x**2 - 1); of complex numbers the root that is positive on the right of 1."""
    if aval.dtype.is_complex:
        return mul(rsqrt(sub(x, 1.0)), rsqrt(add(x, 1.0)))
    return rsqrt(sub(mul(x, x), 1.0))


acosh: Primitive = elementwise(
    "acosh",
    np.arccosh,
    "acosh({0})",
    [lambda g, x, x_aval: mul(g, _acosh_slope(x, x_aval))],
    cost=20,
    domain=(1.3, 4.0),
    dtypes=FIELD,
    doc="Inverse hyperbolic cosine.",
)
atanh: Primitive = elementwise(
    "atanh",
    np.arctanh,
    "atanh({0})",
    [lambda g, x: div(g, sub(1.0, mul(x, x)))],
    cost=20,
    domain=(-0.8, 0.8),
    dtypes=FIELD,
    doc="Inverse hyperbolic tangent.",
)
