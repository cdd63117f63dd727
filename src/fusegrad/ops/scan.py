"""Scans along one axis: every result takes up the one before it.

In: operands of one shape. Out: records whose kernels are one loop along the axis with a state
(``codegen/walk.py`` prints it). ``combine`` is the text of the next state, ``{0}`` the state and
``{1}, {2}`` the operands; ``identity`` is that of the first. Records without them keep a position:
``scalar`` tells whether the element ``{1}`` replaces the best so far, ``{0}``.

``recur`` is a primitive because its derivatives are recurrences again: products and sums of
exponentials along an axis have exact gradients of every order from it, at zeros too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..dtypes import int64
from ..errors import ShapeError
from ..ir.aval import Aval
from ..ir.primitive import Primitive
from .elementwise import mul
from .kinds import NUMBERS, REAL, ordered
from .movement import pad
from .samples import cases

_SHAPES = (((4,), 0), ((3, 5), 1), ((3, 5), 0), ((2, 3, 4), 1), ((2, 1), 1), ((0, 3), 0))


def _samples(count: int, **more: Any) -> Any:
    rows = [([shape] * count, {"axis": axis, **more}) for shape, axis in _SHAPES]
    if more:
        rows += [([(5,)] * count, {"axis": 0, "reverse": True})]
        rows += [([(3, 300)] * count, {"axis": 0, "reverse": True})]
    return cases(*rows)


def _wide(x: np.ndarray) -> np.ndarray:
    """Floating and complex states are kept in double precision, as kernels do."""
    kinds = {"f": np.float64, "c": np.complex128}
    return x.astype(kinds[x.dtype.kind]) if x.dtype.kind in kinds else x


def _turned(x: np.ndarray, axis: int, reverse: bool) -> np.ndarray:
    moved = np.moveaxis(x, axis, 0)
    return moved[::-1] if reverse else moved


def _cumsum_reference(x: np.ndarray, axis: int, reverse: bool) -> np.ndarray:
    out = np.array(x)
    wide = _wide(_turned(x, axis, reverse))
    _turned(out, axis, reverse)[...] = np.cumsum(wide, 0, dtype=wide.dtype)
    return out


cumsum: Primitive = Primitive(
    name="cumsum",
    kind="scan",
    arg_names=("x",),
    aval_rule=lambda x, axis, reverse: x,
    reference=_cumsum_reference,
    derivs=(lambda g, axis, reverse: cumsum(g, axis=axis, reverse=not reverse),),
    linearity="linear",
    identity="{1}",
    combine="{0} + {1}",
    cost=2,
    pair="parts",
    dtypes=NUMBERS,
    samples=_samples(1, reverse=False),
    doc="Sums of the elements up to each position along an axis, or from it on.",
)


def shifted(x: Any, axis: int, by: int, ndim: int) -> Any:
    """``x[i - by]`` at position i of an axis, zero outside."""
    low = tuple(by if k == axis else 0 for k in range(ndim))
    high = tuple(-n for n in low)
    return pad(x, low=low, high=high, interior=(0,) * ndim, value=0)


def _recur_aval(a: Aval, b: Aval, axis: int, reverse: bool) -> Aval:
    if a != b:
        raise ShapeError(f"recur of {a} and {b}", "Both operands need one shape and dtype.")
    return a


def _recur_reference(a: np.ndarray, b: np.ndarray, axis: int, reverse: bool) -> np.ndarray:
    out = np.array(b)
    factors, terms = (_wide(_turned(x, axis, reverse)) for x in (a, b))
    target, state = _turned(out, axis, reverse), None
    for k in range(len(terms)):
        state = terms[k] if state is None else factors[k] * state + terms[k]
        target[k] = state
    return out


def _recur_b(g: Any, a: Any, b_aval: Aval, axis: int, reverse: bool) -> Any:
    following = shifted(a, axis, 1 if reverse else -1, b_aval.ndim)
    return recur(following, g, axis=axis, reverse=not reverse)


def _before(out: Any, aval: Aval, axis: int, reverse: bool) -> Any:
    return shifted(out, axis, -1 if reverse else 1, aval.ndim)


recur: Primitive = Primitive(
    name="recur",
    kind="scan",
    arg_names=("a", "b"),
    aval_rule=_recur_aval,
    reference=_recur_reference,
    derivs=(
        lambda g, out, a, b_aval, axis, reverse: mul(
            _before(out, b_aval, axis, reverse), _recur_b(g, a, b_aval, axis, reverse)
        ),
        _recur_b,
    ),
    linearity="explicit",
    jvps=(
        lambda t, out, a, b_aval, axis, reverse: recur(
            a, mul(t, _before(out, b_aval, axis, reverse)), axis=axis, reverse=reverse
        ),
        lambda t, a, axis, reverse: recur(a, t, axis=axis, reverse=reverse),
    ),
    identity="{2}",
    combine="{0} * {1} + {2}",
    cost=3,
    dtypes=NUMBERS,
    samples=_samples(2, reverse=False),
    domain=(-1.5, 1.5),
    doc="y[i] = a[i] * y[i - 1] + b[i] along an axis, beginning with b.",
)


def _position_reference(better: Callable[..., Any], best: Any) -> Callable[..., Any]:
    def reference(x: np.ndarray, axis: int) -> np.ndarray:
        moved = np.moveaxis(x, axis, 0)
        out = np.zeros(moved.shape, np.int64)
        if len(moved):
            top = best.accumulate(moved, 0)  # nan stays
            taken = better(moved[1:], top[:-1]) & (top[:-1] == top[:-1]) | (moved[1:] != moved[1:])
            steps = np.arange(1, len(moved)).reshape(-1, *[1] * (x.ndim - 1))
            out[1:] = np.maximum.accumulate(np.where(taken, steps, 0), 0)
        return np.moveaxis(out, 0, axis)

    return reference


def _position(name: str, reference: Any, test: str, doc: str) -> Primitive:
    return Primitive(
        name=name,
        kind="scan",
        arg_names=("x",),
        aval_rule=lambda x, axis: Aval(ordered(name, x).shape, int64),
        reference=reference,
        derivs=(None,),
        scalar=f"({{1}} != {{1}}) | ({test})",
        cost=3,
        dtypes=REAL,
        samples=_samples(1),
        doc=doc,
    )


cumargmax = _position(
    "cumargmax",
    _position_reference(np.greater_equal, np.maximum),
    "{1} >= {0}",
    "Position of the last maximum of the elements up to each position along an axis.",
)
cumargmin = _position(
    "cumargmin",
    _position_reference(np.less_equal, np.minimum),
    "{1} <= {0}",
    "Position of the last minimum of the elements up to each position along an axis.",
)
