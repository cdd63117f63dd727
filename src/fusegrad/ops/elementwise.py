"""Elementwise primitives of arithmetic: one record each, a scalar expression and its derivative.

A derivative rule is the map ``g -> g * d out / d x``; the Jacobian is diagonal, so the same rule
pulls cotangents back and pushes tangents forward. Operands have equal shapes (broadcasting is a
movement of its own); Python numbers in rules become typed literals. Comparisons and conversions
are in ``compare.py``, functions beyond roots and powers in ``transcendental.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtypes import real_dtype
from ..ir.aval import Aval
from ..ir.primitive import Primitive
from . import pairs
from .compare import and_, convert, eq, ge, gt, lt, where
from .kinds import FIELD, FLOAT, INTEGRAL, NUMERIC, REAL, by_category, elementwise, typed


def _flat(g: Any, x_aval: Aval) -> Any:
    """The rule of a function that is constant between its steps."""
    from .source import full  # source imports this module

    return full(shape=x_aval.shape, dtype=x_aval.dtype, value=0)


def _not_negative(y: Any, aval: Aval) -> Any:
    """Whether y is a real number >= 0."""
    if not aval.dtype.is_complex:
        return ge(y, 0.0)
    real = convert(y, dtype=real_dtype(aval.dtype))
    return and_(ge(real, 0.0), eq(convert(real, dtype=aval.dtype), y))


def _log(x: Any) -> Any:
    from .transcendental import log  # transcendental imports this module

    return log(x)


# --- arithmetic ---------------------------------------------------------------------------------
add: Primitive = elementwise(
    "add",
    np.add,
    "{0} + {1}",
    [lambda g: g, lambda g: g],
    NUMERIC,
    commutative=True,
    pair="parts",
    doc="Sum of two arrays.",
)
sub: Primitive = elementwise(
    "sub",
    np.subtract,
    "{0} - {1}",
    [lambda g: g, lambda g: neg(g)],
    NUMERIC,
    pair="parts",
    doc="Difference of two arrays.",
)
mul: Primitive = elementwise(
    "mul",
    np.multiply,
    "{0} * {1}",
    [lambda g, y: mul(g, y), lambda g, x: mul(g, x)],
    NUMERIC,
    commutative=True,
    pair=pairs.mul,
    doc="Product of two arrays.",
)
div: Primitive = elementwise(
    "div",
    np.divide,
    "{0} / {1}",
    [lambda g, y: div(g, y), lambda g, x, y: neg(mul(g, div(div(x, y), y)))],
    FIELD,
    cost=4,
    pair=pairs.div,
    doc="True quotient of two arrays.",
)
neg: Primitive = elementwise(
    "neg", np.negative, "-{0}", [lambda g: neg(g)], NUMERIC, pair="parts", doc="Negation."
)
abs_: Primitive = elementwise(
    "abs",
    np.abs,
    by_category("absolute({0})", "{T}(absolute({0}))"),
    [lambda g, x: mul(g, sign(x))],
    REAL,
    doc="Absolute value.",
)
sign: Primitive = elementwise(
    "sign",
    lambda x: ((x > 0).astype(np.int8) - (x < 0).astype(np.int8)).astype(x.dtype),
    by_category(
        "where({0} > 0, {T}(1), where({0} < 0, {T}(-1), {T}(0)))", "{T}(({0} > 0) - ({0} < 0))"
    ),
    [_flat],
    REAL,
    doc="Sign: -1, 0 or 1; 0 of nan.",
)
floor_div: Primitive = elementwise(
    "floor_div",
    np.floor_divide,
    by_category(
        "where({1} == 0, {0} / {1}, rint(({0} - fmod({0}, {1})) / {1})"
        " - where((fmod({0}, {1}) != 0) & (({1} < 0) != (fmod({0}, {1}) < 0)), {T}(1), {T}(0)))",
        "{T}({0} // {1})",
    ),
    [_flat, _flat],
    REAL,
    cost=6,
    doc="Quotient rounded towards minus infinity.",
)
remainder: Primitive = elementwise(
    "remainder",
    np.remainder,
    by_category("remainder({0}, {1})", "{T}({0} % {1})"),
    [lambda g: g, lambda g, x, y: neg(mul(g, floor_div(x, y)))],
    REAL,
    cost=8,
    doc="Remainder with the sign of the divisor.",
)
fmod: Primitive = elementwise(
    "fmod",
    np.fmod,
    "fmod({0}, {1})",
    [lambda g: g, lambda g, x, y: neg(mul(g, trunc(div(x, y))))],
    FLOAT,
    cost=8,
    doc="Remainder with the sign of the dividend.",
)
pow_: Primitive = elementwise(
    "pow",
    np.power,
    "pow({0}, {1})",
    [
        lambda g, x, y: where(eq(y, 0.0), 0.0, mul(g, mul(y, pow_(x, sub(y, 1.0))))),
        lambda g, x, y, y_aval, out: where(
            and_(eq(x, 0.0), _not_negative(y, y_aval)), 0.0, mul(g, mul(out, _log(x)))
        ),
    ],
    FIELD,
    cost=25,
    domain=(0.2, 3.0),
    pair=pairs.pow_,
    doc="Power x ** y.",
)
ipow: Primitive = elementwise(
    "ipow",
    np.power,
    typed("{T}(integer_pow(uint64({0}), uint64({1})))"),
    [None, None],
    tuple(d for d in INTEGRAL if d.category == 1),
    cost=10,
    domain=(0.0, 4.0),
    doc="Integer power with a non-negative exponent.",
)
maximum: Primitive = elementwise(
    "maximum",
    np.maximum,
    "maximum({0}, {1})",
    [
        lambda g, x, y: where(lt(x, y), 0.0, where(eq(x, y), mul(g, 0.5), g)),
        lambda g, x, y: where(gt(x, y), 0.0, where(eq(x, y), mul(g, 0.5), g)),
    ],
    REAL,
    commutative=True,
    doc="Larger operand; nan when either is nan.",
)
minimum: Primitive = elementwise(
    "minimum",
    np.minimum,
    "minimum({0}, {1})",
    [
        lambda g, x, y: where(gt(x, y), 0.0, where(eq(x, y), mul(g, 0.5), g)),
        lambda g, x, y: where(lt(x, y), 0.0, where(eq(x, y), mul(g, 0.5), g)),
    ],
    REAL,
    commutative=True,
    doc="Smaller operand; nan when either is nan.",
)
copysign: Primitive = elementwise(
    "copysign",
    np.copysign,
    "copysign({0}, {1})",
    [lambda g, x, out: mul(g, mul(sign(x), sign(out))), _flat],
    FLOAT,
    doc="Magnitude of the first operand, sign of the second.",
)

# --- roots and reciprocals ----------------------------------------------------------------------
sqrt: Primitive = elementwise(
    "sqrt",
    np.sqrt,
    "sqrt({0})",
    [lambda g, out: div(g, mul(out, 2.0))],
    cost=4,
    domain=(0.2, 4.0),
    dtypes=FIELD,
    pair=pairs.sqrt,
    doc="Square root.",
)
rsqrt: Primitive = elementwise(
    "rsqrt",
    lambda x: 1 / np.sqrt(x),
    "rsqrt({0})",
    [lambda g, out: mul(g, mul(-0.5, mul(out, mul(out, out))))],
    cost=6,
    domain=(0.2, 4.0),
    dtypes=FIELD,
    pair=pairs.rsqrt,
    doc="Reciprocal square root.",
)
reciprocal: Primitive = elementwise(
    "reciprocal",
    lambda x: 1 / x,
    typed("{T}(1) / {0}"),
    [lambda g, out: neg(mul(g, mul(out, out)))],
    cost=4,
    domain=(0.3, 3.0),
    dtypes=FIELD,
    pair=pairs.reciprocal,
    doc="1 / x.",
)

# --- rounding -------------------------------------------------------------------------------------
floor: Primitive = elementwise(
    "floor", np.floor, "floor({0})", [_flat], doc="Largest integer not above."
)
ceil: Primitive = elementwise(
    "ceil", np.ceil, "ceil({0})", [_flat], doc="Smallest integer not below."
)
trunc: Primitive = elementwise("trunc", np.trunc, "trunc({0})", [_flat], doc="Integer part.")
round_: Primitive = elementwise(
    "round", np.rint, "rint({0})", [_flat], doc="Nearest integer, ties to even."
)
