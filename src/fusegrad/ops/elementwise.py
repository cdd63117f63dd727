"""Elementwise primitives: one record each, a scalar expression and its derivative.

A derivative rule is the map ``g -> g * d out / d x``; the Jacobian is diagonal, so the same rule
pulls cotangents back and pushes tangents forward. Operands have equal shapes (broadcasting is a
movement of its own); Python numbers in rules become typed literals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dtypes import DType, bool_, float16, real_dtype, stored
from ..errors import DTypeError
from ..ir.aval import Aval
from ..ir.primitive import Primitive
from . import pairs, special
from .kinds import (
    ANY,
    EVERY,
    FIELD,
    FLOAT,
    INTEGRAL,
    NUMERIC,
    REAL,
    by_category,
    common_shape,
    elementwise,
    typed,
)
from .samples import Drawn, draw


def _squared_radius(x: Any, y: Any) -> Any:
    """x * x + y * y, but 1 at the origin, where slopes divided by it then are 0."""
    square = add(mul(x, x), mul(y, y))
    return where(eq(square, 0.0), 1.0, square)


def _flat(g: Any, x_aval: Aval) -> Any:
    """The rule of a function that is constant between its steps."""
    from .source import full  # source imports this module

    return full(shape=x_aval.shape, dtype=x_aval.dtype, value=0)


def _trigamma(x: Any) -> Any:
    from .advanced import polygamma  # advanced imports this module

    return polygamma(x, n=1)


def _not_negative(y: Any, aval: Aval) -> Any:
    """Whether y is a real number >= 0."""
    if not aval.dtype.is_complex:
        return ge(y, 0.0)
    real = convert(y, dtype=real_dtype(aval.dtype))
    return and_(ge(real, 0.0), eq(convert(real, dtype=aval.dtype), y))


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
            and_(eq(x, 0.0), _not_negative(y, y_aval)), 0.0, mul(g, mul(out, log(x)))
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

# --- comparison, selection, logic -----------------------------------------------------------------
eq: Primitive = elementwise(
    "eq",
    np.equal,
    "{0} == {1}",
    dtypes=EVERY,
    result=bool_,
    commutative=True,
    pair=pairs.eq,
    doc="x == y.",
)
ne: Primitive = elementwise(
    "ne",
    np.not_equal,
    "{0} != {1}",
    dtypes=EVERY,
    result=bool_,
    commutative=True,
    pair=pairs.ne,
    doc="x != y.",
)
lt: Primitive = elementwise("lt", np.less, "{0} < {1}", dtypes=ANY, result=bool_, doc="x < y.")
le: Primitive = elementwise(
    "le", np.less_equal, "{0} <= {1}", dtypes=ANY, result=bool_, doc="x <= y."
)
gt: Primitive = elementwise("gt", np.greater, "{0} > {1}", dtypes=ANY, result=bool_, doc="x > y.")
ge: Primitive = elementwise(
    "ge", np.greater_equal, "{0} >= {1}", dtypes=ANY, result=bool_, doc="x >= y."
)
isnan: Primitive = elementwise(
    "isnan",
    np.isnan,
    "{0} != {0}",
    result=bool_,
    dtypes=FIELD,
    pair=pairs.isnan,
    doc="Whether x is nan.",
)
isfinite: Primitive = elementwise(
    "isfinite",
    np.isfinite,
    "isfinite({0})",
    result=bool_,
    dtypes=FIELD,
    pair=pairs.isfinite,
    doc="Whether x is neither infinite nor nan.",
)
and_: Primitive = elementwise(
    "and",
    np.bitwise_and,
    "{0} & {1}",
    dtypes=INTEGRAL,
    commutative=True,
    doc="Bitwise and; logical and of booleans.",
)
or_: Primitive = elementwise(
    "or",
    np.bitwise_or,
    "{0} | {1}",
    dtypes=INTEGRAL,
    commutative=True,
    doc="Bitwise or; logical or of booleans.",
)
xor: Primitive = elementwise(
    "xor",
    np.bitwise_xor,
    "{0} ^ {1}",
    dtypes=INTEGRAL,
    commutative=True,
    doc="Bitwise exclusive or; of booleans too.",
)
not_: Primitive = elementwise(
    "not",
    np.invert,
    by_category("~{0}", "{T}(~{0})", "not {0}"),
    dtypes=INTEGRAL,
    doc="Bitwise complement; logical not of booleans.",
)
shift_left: Primitive = elementwise(
    "shift_left",
    np.left_shift,
    "{0} << {1}",
    dtypes=tuple(d for d in INTEGRAL if d.category == 1),
    domain=(0.0, 5.0),
    doc="x shifted left by y bits.",
)
shift_right: Primitive = elementwise(
    "shift_right",
    np.right_shift,
    "{0} >> {1}",
    dtypes=tuple(d for d in INTEGRAL if d.category == 1),
    domain=(0.0, 5.0),
    doc="x shifted right by y bits.",
)


def _where_aval(c: Aval, x: Aval, y: Aval) -> Aval:
    if c.dtype is not bool_ or x.dtype is not y.dtype:
        raise DTypeError(
            f"where got condition {c}, x {x} and y {y}",
            "The condition must be bool and both choices must have one dtype.",
            "compare first, for example where(mask != 0, x, y)",
        )
    return Aval(common_shape("where", (c, x, y)), x.dtype)


def _where_samples(rng: np.random.Generator, dtype: DType, domain: tuple[float, float]) -> Drawn:
    return [
        ((draw(rng, s, bool_, domain), *[draw(rng, s, dtype, domain) for _ in "xy"]), {})
        for s in ((), (5,), (3, 4), (0, 2))
    ]


def _convert_samples(rng: np.random.Generator, dtype: DType, domain: tuple[float, float]) -> Drawn:
    return [
        ((draw(rng, s, dtype, (0.0, 3.0)),), {"dtype": d})
        for s, d in zip(((), (3, 4), (0, 2), *[(5,)] * len(EVERY)), (bool_, bool_, bool_, *EVERY))
    ]


where: Primitive = Primitive(
    name="where",
    kind="elementwise",
    arg_names=("c", "x", "y"),
    aval_rule=_where_aval,
    reference=np.where,
    scalar="where({0}, {1}, {2})",
    derivs=(None, lambda g, c: where(c, g, 0.0), lambda g, c: where(c, 0.0, g)),
    pair="parts",
    dtypes=EVERY,
    samples=_where_samples,
    doc="x where the condition holds, y elsewhere.",
)


def _convert_reference(x: np.ndarray, dtype: DType) -> np.ndarray:
    x = np.asarray(x)
    if x.dtype.kind == "c" and dtype.category in (1, 2):
        x = x.real  # NumPy would warn of what PyTorch's conversion does, too
    if x.dtype == dtype.np:
        return np.array(x, order="C")
    return stored(x, dtype)


def _convert_scalar(operands: Sequence[DType], out: DType, params: dict[str, Any]) -> str:
    if operands[0] is out or not (operands[0].reduced or out.reduced):
        name = "uint16" if out.reduced else out.name
        return "{0} != 0" if out is bool_ else f"{name}({{0}})"
    kind = "half" if float16 in (operands[0], out) else "bfloat"
    return f"float_to_{kind}({{0}})" if out.reduced else f"{kind}_to_float({{0}})"


convert: Primitive = Primitive(
    name="convert",
    kind="elementwise",
    arg_names=("x",),
    aval_rule=lambda x, dtype: Aval(x.shape, dtype),
    reference=_convert_reference,
    scalar=_convert_scalar,
    derivs=(lambda g, x_aval: convert(g, dtype=x_aval.dtype),),
    linearity="linear",
    pair=pairs.convert,
    dtypes=EVERY,
    samples=_convert_samples,
    doc="Conversion to another dtype.",
)
