"""Elementwise primitives that compare, choose, combine bits and convert: one record each.

Nothing here has a slope of its own, ``where`` and ``convert`` pass the cotangent on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dtypes import DType, bool_, float16, stored
from ..errors import DTypeError
from ..ir.aval import Aval
from ..ir.primitive import Primitive
from . import pairs
from .kinds import ANY, EVERY, FIELD, INTEGRAL, by_category, common_shape, elementwise
from .samples import Drawn, draw

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
