"""Scatters of single elements that combine with what is there: set, product, maximum, minimum.

``out[..., index[i], ...] = combine(out[..., index[i], ...], y[i])`` along one axis, in order, where
``out`` begins as ``x``. Sums are ``along_add``. Primitives, because the combination has to happen
in memory: no composition of gathers knows which elements meet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..ir.aval import Aval
from ..ir.primitive import Primitive, Rule
from .compare import convert, eq, where
from .elementwise import add, div, mul, sub
from .indexing import along_add, open_index, take_along
from .kinds import EVERY, REAL
from .samples import indexed
from .source import full

_SAMPLES = indexed(
    ([(3, 2), [[2, 0], [1, 1]], (2, 2)], {"axis": 0}),
    ([(2, 4), [[3], [0]], (2, 1)], {"axis": 1}),
    ([(5,), [4, 1, 0], (3,)], {"axis": 0}),
    ([(3,), [], (0,)], {"axis": 0}),
)
_REPEATED = indexed(
    ([(3, 2), [[2, 0], [2, 1]], (2, 2)], {"axis": 0}),
    ([(2, 4), [[3, 3, 1], [0, 0, 0]], (2, 3)], {"axis": 1}),
    ([(5,), [4, 4, 0], (3,)], {"axis": 0}),
)


def _along(
    name: str,
    update: Callable[..., Any],
    combine: str,
    rules: tuple[Rule, Rule],
    jvps: tuple[Rule, Rule],
    samples: Any,
    doc: str,
    dtypes: Any = REAL,
) -> Primitive:
    def reference(x: np.ndarray, index: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
        out = np.array(x)
        update(out, open_index(index, axis), y)
        return out

    return Primitive(
        name=name,
        kind="indexing",
        arg_names=("x", "index", "y"),
        aval_rule=lambda x, index, y, axis: x,
        reference=reference,
        derivs=(rules[0], None, rules[1]),
        linearity="explicit",
        jvps=(jvps[0], None, jvps[1]),
        samples=samples,
        dtypes=dtypes,
        pair="parts" if combine == "{1}" else None,  # products mix the parts
        combine=combine,
        pointwise=True,
        doc=doc,
    )


def _zeros(aval: Aval) -> Any:
    return full(shape=aval.shape, dtype=aval.dtype, value=0)


along_set: Primitive = _along(
    "along_set",
    lambda out, at, y: out.__setitem__(at, y),
    "{1}",
    (
        lambda g, index, y_aval, axis: along_set(g, index, _zeros(y_aval), axis=axis),
        lambda g, index, axis: take_along(g, index, axis=axis),
    ),
    (
        lambda t, index, y_aval, axis: along_set(t, index, _zeros(y_aval), axis=axis),
        lambda t, index, x_aval, axis: along_set(_zeros(x_aval), index, t, axis=axis),
    ),
    _SAMPLES,
    "x with elements at positions `index` along one axis replaced by those of y, in order.",
    EVERY,
)


# --- extrema: the elements that are equal to the result share its gradient ------------------------
def _shares(x: Any, index: Any, y: Any, out: Any, aval: Aval, axis: int) -> tuple[Any, Any, Any]:
    mine = convert(eq(x, out), dtype=aval.dtype)
    theirs = convert(eq(y, take_along(out, index, axis=axis)), dtype=aval.dtype)
    count = add(along_add(theirs, index, axis=axis, shape=aval.shape), mine)
    return mine, theirs, count


def _extremum_x(g: Any, x: Any, index: Any, y: Any, out: Any, x_aval: Aval, axis: int) -> Any:
    mine, _, count = _shares(x, index, y, out, x_aval, axis)
    return div(mul(g, mine), where(eq(count, 0), 1.0, count))


def _extremum_y(g: Any, x: Any, index: Any, y: Any, out: Any, x_aval: Aval, axis: int) -> Any:
    _, theirs, count = _shares(x, index, y, out, x_aval, axis)
    return mul(take_along(div(g, where(eq(count, 0), 1.0, count)), index, axis=axis), theirs)


def _extremum_x_tangent(
    t: Any, x: Any, index: Any, y: Any, out: Any, x_aval: Aval, axis: int
) -> Any:
    return _extremum_x(t, x, index, y, out, x_aval, axis)


def _extremum_y_tangent(
    t: Any, x: Any, index: Any, y: Any, out: Any, x_aval: Aval, axis: int
) -> Any:
    _, theirs, count = _shares(x, index, y, out, x_aval, axis)
    total = along_add(mul(t, theirs), index, axis=axis, shape=x_aval.shape)
    return div(total, where(eq(count, 0), 1.0, count))


along_max: Primitive = _along(
    "along_max",
    np.maximum.at,
    "maximum({0}, {1})",
    (_extremum_x, _extremum_y),
    (_extremum_x_tangent, _extremum_y_tangent),
    _REPEATED,
    "The larger of what is there and what comes, at positions `index` along one axis.",
)
along_min: Primitive = _along(
    "along_min",
    np.minimum.at,
    "minimum({0}, {1})",
    (_extremum_x, _extremum_y),
    (_extremum_x_tangent, _extremum_y_tangent),
    _REPEATED,
    "The smaller of what is there and what comes, at positions `index` along one axis.",
)


# --- products -------------------------------------------------------------------------------------
def _others(index: Any, y: Any, x_aval: Aval, axis: int) -> Any:
    ones = full(shape=x_aval.shape, dtype=x_aval.dtype, value=1)
    return along_mul(ones, index, y, axis=axis)


def _slopes(x: Any, index: Any, y: Any, x_aval: Aval, axis: int) -> Any:
    """The derivative of each product with respect to each element of y, zeros told apart.

    Written so that its own derivatives are right: by a factor that is not zero the product is
    divided; beside one zero the rest remains, and beside two of them the other one is a factor.
    """

    def at(value: Any) -> Any:
        return take_along(value, index, axis=axis)

    def summed(value: Any) -> Any:
        return along_add(value, index, axis=axis, shape=x_aval.shape)

    gone, none = eq(x, 0), eq(y, 0)
    count = add(summed(convert(none, dtype=x_aval.dtype)), convert(gone, dtype=x_aval.dtype))
    others = sub(at(add(summed(where(none, y, 0.0)), where(gone, x, 0.0))), y)
    others = where(eq(at(count), 1), 1.0, where(eq(at(count), 2), others, 0.0))
    rest = along_mul(where(gone, 1.0, x), index, where(none, 1.0, y), axis=axis)
    whole = along_mul(x, index, y, axis=axis)
    return where(none, mul(at(rest), others), div(at(whole), where(none, 1.0, y)))


along_mul: Primitive = _along(
    "along_mul",
    np.multiply.at,
    "{0} * {1}",
    (
        lambda g, index, y, x_aval, axis: mul(g, _others(index, y, x_aval, axis)),
        lambda g, x, index, y, x_aval, axis: mul(
            take_along(g, index, axis=axis), _slopes(x, index, y, x_aval, axis)
        ),
    ),
    (
        lambda t, index, y, x_aval, axis: mul(t, _others(index, y, x_aval, axis)),
        lambda t, x, index, y, x_aval, axis: along_add(
            mul(t, _slopes(x, index, y, x_aval, axis)), index, axis=axis, shape=x_aval.shape
        ),
    ),
    _REPEATED,
    "What is there times what comes, at positions `index` along one axis.",
)
