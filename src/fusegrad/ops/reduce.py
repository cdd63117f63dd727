"""Reductions over ``axes``; the reduced axes disappear (keeping them is a reshape).

``identity`` and ``combine`` are the texts from which kernels are generated.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..dtypes import DType, bool_, int64
from ..errors import DimError, ShapeError
from ..ir.aval import Aval
from ..ir.primitive import Primitive, Rule
from .compare import convert, eq, isnan, or_, where
from .elementwise import div, mul, sub
from .kinds import FLOAT, NUMBERS, REAL, ordered
from .movement import broadcast, concat, inverse, pad, reshape, slice_, transpose
from .samples import cases
from .source import full, iota

Axes = tuple[int, ...]


def kept_axes(ndim: int, axes: Axes) -> Axes:
    """The axes that a reduction over ``axes`` keeps."""
    return tuple(a for a in range(ndim) if a not in axes)


def _aval_rule(name: str, needs_elements: bool) -> Callable[..., Aval]:
    def rule(x: Aval, axes: Axes) -> Aval:
        if needs_elements:
            ordered(name, x)
        if any(not 0 <= a < x.ndim for a in axes):
            raise DimError(f"{name} over axes {axes} of {x}", "The axis is out of range.")
        if needs_elements and any(x.shape[a] == 0 for a in axes):
            raise ShapeError(
                f"{name} over axes {axes} of {x}",
                "The reduction has no identity, so the reduced axes must not be empty.",
            )
        return Aval(tuple(x.shape[a] for a in kept_axes(x.ndim, axes)), x.dtype)

    return rule


def spread(value: Any, aval: Aval, axes: Axes) -> Any:
    """Broadcast a reduced value back over the reduced axes."""
    return broadcast(value, shape=aval.shape, axes=kept_axes(aval.ndim, axes))


def reduction(
    name: str,
    reference: Callable[..., Any],
    identity: Callable[[DType], str],
    combine: str,
    derivs: tuple[Rule | None, ...],
    linearity: str = "explicit",
    jvps: tuple[Rule | None, ...] = (),
    dtypes: tuple[DType, ...] = REAL,
    pair: Any = None,
    needs_elements: bool = False,
    doc: str = "",
) -> Primitive:
    """Declare a reduction; ``identity`` maps the dtype to the text of the neutral element."""
    return Primitive(
        name=name,
        kind="reduce",
        arg_names=("x",),
        aval_rule=_aval_rule(name, needs_elements),
        reference=lambda x, axes: reference(x, axes),
        derivs=derivs,
        linearity=linearity,
        jvps=jvps,
        identity=identity,
        combine=combine,
        dtypes=dtypes,
        pair=pair,
        doc=doc,
    )


def _lowest(dtype: DType) -> str:
    if dtype.is_floating_point:
        return f"{dtype.name}(-math.inf)"
    return "False" if dtype is bool_ else f"{dtype.name}({np.iinfo(dtype.np).min})"


def _highest(dtype: DType) -> str:
    if dtype.is_floating_point:
        return f"{dtype.name}(math.inf)"
    return "True" if dtype is bool_ else f"{dtype.name}({np.iinfo(dtype.np).max})"


def _numpy_sum(x: np.ndarray, axes: Axes) -> np.ndarray:
    return np.sum(x, axis=axes, dtype=x.dtype)


def _numpy_prod(x: np.ndarray, axes: Axes) -> np.ndarray:
    return np.prod(x, axis=axes, dtype=x.dtype)


def _tied(g: Any, x: Any, out: Any, x_aval: Aval, axes: Axes) -> Any:
    """Share ``g`` evenly among the elements that attain the extremum, as PyTorch does.

    Where ``g`` is nan the gradient of extrema along axes is nan for all elements, that of the
    extremum of all elements only where it is attained.
    """
    hit = eq(x, spread(out, x_aval, axes))
    mask = convert(hit, dtype=x_aval.dtype)
    share = spread(div(g, sum_(mask, axes=axes)), x_aval, axes)
    return where(hit, share, 0.0) if len(axes) == x_aval.ndim else mul(share, mask)


def _tied_tangent(t: Any, x: Any, out: Any, x_aval: Aval, axes: Axes) -> Any:
    mask = convert(eq(x, spread(out, x_aval, axes)), dtype=x_aval.dtype)
    return div(sum_(mul(t, mask), axes=axes), sum_(mask, axes=axes))


def _prod_partial(x: Any, x_aval: Aval, axes: Axes) -> Any:
    """Product of the other elements, exact at zeros and in every higher derivative.

    Halves are multiplied up a tree; on the way down each half is multiplied by the other's.
    """
    kept = kept_axes(x_aval.ndim, axes)
    perm = kept + axes
    shape = tuple(x_aval.shape[a] for a in perm)
    rows, n = math.prod(shape[: len(kept)]), math.prod(shape[len(kept) :])
    if rows * n == 0:
        return x
    level = reshape(transpose(x, perm=perm), shape=(rows, n))
    halves: list[tuple[Any, Any, int]] = []
    while n > 1:
        if n % 2:
            level = pad(level, low=(0, 0), high=(0, 1), interior=(0, 0), value=1)
        middle = (n + 1) // 2
        left, right = _columns(level, rows, 0, middle), _columns(level, rows, middle, 2 * middle)
        halves.append((left, right, n))
        level, n = mul(left, right), middle
    others = full(shape=(rows, 1), dtype=x_aval.dtype, value=1)
    for left, right, n in reversed(halves):
        both = concat(mul(others, right), mul(others, left), axis=1)
        others = _columns(both, rows, 0, n)
    return transpose(reshape(others, shape=shape), perm=inverse(perm))


def _columns(x: Any, rows: int, start: int, limit: int) -> Any:
    return slice_(x, start=(0, start), limit=(rows, limit), step=(1, 1))


# Only what a kernel accumulates may be added in another order: elsewhere LLVM would take x - x for
# 0, also where x is nan.
SUM = "accumulate({0}, {1})"
sum_: Primitive = reduction(
    "sum",
    _numpy_sum,
    lambda d: f"{d.name}(0)",
    SUM,
    (lambda g, x_aval, axes: spread(g, x_aval, axes),),
    linearity="linear",
    dtypes=NUMBERS,
    pair="parts",
    doc="Sum over axes.",
)
prod: Primitive = reduction(
    "prod",
    _numpy_prod,
    lambda d: f"{d.name}(1)",
    "accumulate_product({0}, {1})",
    (lambda g, x, x_aval, axes: mul(spread(g, x_aval, axes), _prod_partial(x, x_aval, axes)),),
    jvps=(lambda t, x, x_aval, axes: sum_(mul(t, _prod_partial(x, x_aval, axes)), axes=axes),),
    dtypes=NUMBERS,
    doc="Product over axes.",
)
max_: Primitive = reduction(
    "reduce_max",
    lambda x, axes: np.max(x, axis=axes),
    _lowest,
    "maximum({0}, {1})",
    (_tied,),
    jvps=(_tied_tangent,),
    dtypes=REAL,
    needs_elements=True,
    doc="Maximum over axes; nan when any element is nan.",
)
min_: Primitive = reduction(
    "reduce_min",
    lambda x, axes: np.min(x, axis=axes),
    _highest,
    "minimum({0}, {1})",
    (_tied,),
    jvps=(_tied_tangent,),
    dtypes=REAL,
    needs_elements=True,
    doc="Minimum over axes; nan when any element is nan.",
)
any_: Primitive = reduction(
    "reduce_or",
    lambda x, axes: np.any(x, axis=axes),
    lambda d: "False",
    "{0} | {1}",
    (None,),
    dtypes=(bool_,),
    doc="Whether any element is true.",
)
all_: Primitive = reduction(
    "reduce_and",
    lambda x, axes: np.all(x, axis=axes),
    lambda d: "True",
    "{0} & {1}",
    (None,),
    dtypes=(bool_,),
    doc="Whether all elements are true.",
)


# --- squared deviations ---------------------------------------------------------------------------
def _centred(x: Any, aval: Aval, axes: Axes) -> Any:
    """x minus its mean over ``axes``, in the equations that ``mean(keepdim=True)`` makes."""
    count = math.prod(aval.shape[a] for a in axes)
    kept = tuple(1 if k in axes else n for k, n in enumerate(aval.shape))
    total = reshape(sum_(x, axes=axes), shape=kept)
    mean = mul(total, 1.0 / count if count else 0.0)
    return sub(x, broadcast(mean, shape=aval.shape, axes=tuple(range(aval.ndim))))


def _deviations_reference(x: np.ndarray, axes: Axes) -> np.ndarray:
    count = math.prod(x.shape[a] for a in axes)
    mean = np.sum(x, axis=axes, keepdims=True, dtype=x.dtype) * x.dtype.type(
        1.0 / count if count else 0.0
    )
    return np.sum(np.square(x - mean), axis=axes, dtype=x.dtype)


def _expand_deviations(x: Any, axes: Axes) -> Any:
    centred = _centred(x, x.aval, axes)
    return sum_(mul(centred, centred), axes=axes)


# Written as a composition its gradient runs through the mean as well, whose share is zero but costs
# a walk over the data.
squared_deviations: Primitive = Primitive(
    name="squared_deviations",
    kind="reduce",
    arg_names=("x",),
    aval_rule=_aval_rule("squared_deviations", needs_elements=False),
    reference=_deviations_reference,
    derivs=(
        lambda g, x, x_aval, axes: mul(
            spread(mul(g, 2.0), x_aval, axes), _centred(x, x_aval, axes)
        ),
    ),
    linearity="explicit",
    jvps=(lambda t, x, x_aval, axes: mul(sum_(mul(t, _centred(x, x_aval, axes)), axes=axes), 2.0),),
    expand=_expand_deviations,
    dtypes=FLOAT,
    doc="Sum over axes of the squared distances from the mean over these axes.",
)


# --- positions of extrema -------------------------------------------------------------------------
def _position(name: str, reference: Callable[..., Any], extremum: Primitive, doc: str) -> Primitive:
    """Declare the index of the first extremum along one axis; the first nan counts as one."""

    def aval_rule(x: Aval, axis: int) -> Aval:
        return extremum.aval_rule(x, axes=(axis,))._replace(dtype=int64)

    def expand(x: Any, axis: int) -> Any:
        aval = x.aval
        hit = eq(x, spread(extremum(x, axes=(axis,)), aval, (axis,)))
        if aval.dtype.is_floating_point:
            hit = or_(hit, isnan(x))
        place = iota(shape=aval.shape, dtype=int64, axis=axis)
        return min_(where(hit, place, aval.shape[axis]), axes=(axis,))

    return Primitive(
        name=name,
        kind="reduce",
        arg_names=("x",),
        aval_rule=aval_rule,
        reference=lambda x, axis: reference(x, axis=axis),
        derivs=(None,),
        expand=expand,
        samples=cases(
            ([(4,)], {"axis": 0}),
            ([(3, 5)], {"axis": 1}),
            ([(3, 5)], {"axis": 0}),
            ([(2, 3, 4)], {"axis": 1}),
            ([(1,)], {"axis": 0}),
            ([(0, 3)], {"axis": 1}),
        ),
        dtypes=REAL,
        doc=doc,
    )


argmax: Primitive = _position(
    "argmax", np.argmax, max_, "Index of the first maximum along an axis."
)
argmin: Primitive = _position(
    "argmin", np.argmin, min_, "Index of the first minimum along an axis."
)
