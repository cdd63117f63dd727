"""Movement primitives: they rename indices and compute nothing.

``index_map(index, in_avals, out_aval, params)`` returns, for each operand, its index tuple and the
guards under which the element exists; kernels load through these maps, so a movement that is fused
moves no bytes. Index values support ``+ - * // %`` with integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DTypeError, ShapeError
from ..ir.aval import Aval
from ..ir.primitive import Primitive
from . import pairs
from .kinds import EVERY
from .samples import cases

Shape = tuple[int, ...]
Index = tuple[Any, ...]


@dataclass(frozen=True)
class Guard:
    """The element exists where ``0 <= index < extent`` and ``index % step == 0``."""

    index: Any
    extent: int
    step: int = 1


@dataclass(frozen=True)
class Access:
    """How one operand is read: its index and the guards (empty: always)."""

    index: Index
    guards: tuple[Guard, ...] = ()


# --- broadcast ------------------------------------------------------------------------------------
def _broadcast_aval(x: Aval, shape: Shape, axes: Shape) -> Aval:
    fits = len(axes) == x.ndim and all(x.shape[k] in (1, shape[a]) for k, a in enumerate(axes))
    if not fits:
        raise ShapeError(
            f"broadcast of {x} to {list(shape)}",
            "Each axis must be 1 or equal the axis it is broadcast to.",
        )
    return Aval(tuple(shape), x.dtype)


def _broadcast_reference(x: np.ndarray, shape: Shape, axes: Shape) -> np.ndarray:
    expanded = [1] * len(shape)
    for k, a in enumerate(axes):
        expanded[a] = x.shape[k]
    base = np.asarray(x).reshape(expanded)
    strides = [0 if n != m else s for n, m, s in zip(expanded, shape, base.strides, strict=True)]
    return np.lib.stride_tricks.as_strided(base, shape, strides)  # stays writable, as a view does


def _broadcast_transpose(g: Any, x_aval: Aval, shape: Shape, axes: Shape) -> Any:
    from .reduce import sum_  # reduce imports broadcast for its own transpose

    summed = tuple(
        a
        for a in range(len(shape))
        if a not in axes or (x_aval.shape[axes.index(a)] == 1 and shape[a] != 1)
    )
    out = sum_(g, axes=summed) if summed else g
    return out if aval_shape(out) == x_aval.shape else reshape(out, shape=x_aval.shape)


def aval_shape(value: Any) -> Shape:
    """Shape of an array or of a value with an aval."""
    return value.aval.shape if hasattr(value, "aval") else value.shape


def _broadcast_index(index: Index, avals: Sequence[Aval], out: Aval, params: Any) -> list[Access]:
    x = avals[0]
    return [
        Access(
            tuple(
                index[a] if x.shape[k] == out.shape[a] else 0 for k, a in enumerate(params["axes"])
            )
        )
    ]


broadcast: Primitive = Primitive(
    name="broadcast",
    kind="movement",
    arg_names=("x",),
    aval_rule=_broadcast_aval,
    reference=_broadcast_reference,
    derivs=(_broadcast_transpose,),
    linearity="linear",
    index_map=_broadcast_index,
    cost=0,
    pair="parts",
    dtypes=EVERY,
    alias=True,
    samples=cases(
        ([(3,)], {"shape": (2, 3), "axes": (1,)}),
        ([(2, 1)], {"shape": (2, 5), "axes": (0, 1)}),
        ([()], {"shape": (2, 2), "axes": ()}),
        ([(0, 3)], {"shape": (2, 0, 3), "axes": (1, 2)}),
        ([(4,)], {"shape": (4, 3, 1), "axes": (0,)}),
    ),
    doc="Repeat along new or unit axes; operand axis k becomes output axis axes[k].",
)


# --- reshape --------------------------------------------------------------------------------------
def _reshape_aval(x: Aval, shape: Shape) -> Aval:
    out = Aval(tuple(shape), x.dtype)
    if out.size != x.size:
        raise ShapeError(
            f"reshape of {x} to {list(shape)}",
            f"The shapes hold {x.size} and {out.size} elements.",
        )
    return out


def _reshape_index(
    index: Index, avals: Sequence[Aval], out: Aval, params: Any
) -> list[Access] | None:
    """Unit axes and splits of one axis; ``None`` for a merge, which is an alias of memory."""
    source, target = avals[0].shape, out.shape
    result: list[Any] = []
    position = 0
    for extent in source:
        if extent == 1:
            result.append(0)
            continue
        value: Any = None
        covered = 1
        while covered < extent:
            if position == len(target):
                return None
            if target[position] != 1:
                covered *= target[position]
                here = index[position]
                value = here if value is None else value * target[position] + here
            position += 1
        if covered != extent:
            return None
        result.append(value)
    return [Access(tuple(result))]


def repeats_index(
    index: Index, source: Shape, target: Shape, repeated: Sequence[int]
) -> Index | None:
    """The index behind a merge in which every axis but the first of a run is ``repeated``.

    That is a ``repeat_interleave``: quotients of the merged index, no remainder. ``None`` for any
    other reshape.
    """
    result: list[Any] = []
    position = 0
    for axis, extent in enumerate(target):
        run = []
        covered = 1
        while position < len(source) and (covered < extent or source[position] == 1):
            covered *= source[position]
            run.append(position)
            position += 1
        wide = [k for k in run if source[k] != 1]
        if covered != extent or any(k not in repeated for k in wide[1:]):
            return None
        inner = 1
        for k in wide[1:]:
            inner *= source[k]
        for k in run:
            result.append(index[axis] // inner if wide and k == wide[0] else 0)
    return tuple(result) if position == len(source) else None


reshape: Primitive = Primitive(
    name="reshape",
    kind="movement",
    arg_names=("x",),
    aval_rule=_reshape_aval,
    reference=lambda x, shape: np.reshape(x, shape),
    derivs=(lambda g, x_aval: reshape(g, shape=x_aval.shape),),
    linearity="linear",
    index_map=_reshape_index,
    cost=0,
    pair="parts",
    dtypes=EVERY,
    alias=True,
    samples=cases(
        ([(2, 6)], {"shape": (3, 4)}),
        ([(2, 3)], {"shape": (6,)}),
        ([(6,)], {"shape": (2, 1, 3)}),
        ([(1,)], {"shape": ()}),
        ([(0, 3)], {"shape": (3, 0)}),
        ([(3, 1, 2)], {"shape": (3, 2)}),
    ),
    doc="The same elements in row-major order under another shape.",
)


# --- transpose ------------------------------------------------------------------------------------
def inverse(perm: Shape) -> Shape:
    """The permutation that undoes ``perm``."""
    return tuple(int(i) for i in np.argsort(perm))


transpose: Primitive = Primitive(
    name="transpose",
    kind="movement",
    arg_names=("x",),
    aval_rule=lambda x, perm: Aval(tuple(x.shape[p] for p in perm), x.dtype),
    reference=lambda x, perm: np.transpose(x, perm),
    derivs=(lambda g, perm: transpose(g, perm=inverse(perm)),),
    linearity="linear",
    index_map=lambda index, avals, out, params: [
        Access(tuple(index[k] for k in inverse(params["perm"])))
    ],
    samples=cases(
        ([(2, 3)], {"perm": (1, 0)}),
        ([(2, 3, 4)], {"perm": (2, 0, 1)}),
        ([()], {"perm": ()}),
        ([(0, 2)], {"perm": (1, 0)}),
        ([(2, 1, 3)], {"perm": (1, 2, 0)}),
    ),
    cost=0,
    pair="parts",
    dtypes=EVERY,
    alias=True,
    doc="Permute axes; output axis k is operand axis perm[k].",
)


# --- slice and pad, each the other's transpose ----------------------------------------------------
def _slice_aval(x: Aval, start: Shape, limit: Shape, step: Shape) -> Aval:
    shape = tuple(max(0, -(-(b - a) // s)) for a, b, s in zip(start, limit, step, strict=True))
    return Aval(shape, x.dtype)


def _slice_transpose(g: Any, x_aval: Aval, start: Shape, limit: Shape, step: Shape) -> Any:
    extents = _slice_aval(x_aval, start, limit, step).shape
    high = tuple(
        n - a - ((e - 1) * s + 1 if e else 0)
        for n, a, s, e in zip(x_aval.shape, start, step, extents, strict=True)
    )
    return pad(g, low=start, high=high, interior=tuple(s - 1 for s in step), value=0)


slice_: Primitive = Primitive(
    name="slice",
    kind="movement",
    arg_names=("x",),
    aval_rule=_slice_aval,
    reference=lambda x, start, limit, step: x[
        tuple(slice(a, b, s) for a, b, s in zip(start, limit, step, strict=True))
    ],
    derivs=(_slice_transpose,),
    linearity="linear",
    index_map=lambda index, avals, out, params: [
        Access(
            tuple(i * s + a for i, a, s in zip(index, params["start"], params["step"], strict=True))
        )
    ],
    samples=cases(
        ([(7,)], {"start": (1,), "limit": (6,), "step": (2,)}),
        ([(4, 5)], {"start": (0, 2), "limit": (4, 5), "step": (3, 1)}),
        ([(3, 2)], {"start": (1, 1), "limit": (1, 2), "step": (1, 1)}),
        ([()], {"start": (), "limit": (), "step": ()}),
    ),
    cost=0,
    pair="parts",
    dtypes=EVERY,
    alias=True,
    doc="Elements start, start + step, ... below limit on each axis.",
)


def _pad_aval(x: Aval, low: Shape, high: Shape, interior: Shape, value: float) -> Aval:
    shape = tuple(
        lo + hi + (n + (n - 1) * i if n else 0)
        for n, lo, hi, i in zip(x.shape, low, high, interior, strict=True)
    )
    if any(n < 0 for n in shape):
        raise ShapeError(f"pad of {x} by low {low} and high {high}", "The result has no extent.")
    return Aval(shape, x.dtype)


def _pad_reference(
    x: np.ndarray, low: Shape, high: Shape, interior: Shape, value: float
) -> np.ndarray:
    out = np.full(_pad_aval(Aval(x.shape, None), low, high, interior, value).shape, value, x.dtype)  # type: ignore[arg-type]
    if min((*low, *high, 0)) >= 0:
        out[
            tuple(
                slice(lo, lo + (n - 1) * (i + 1) + 1 if n else lo, i + 1)
                for n, lo, i in zip(x.shape, low, interior, strict=True)
            )
        ] = x
        return out
    target, source = [], []  # negative padding crops
    for n, lo, i, m in zip(x.shape, low, interior, out.shape, strict=True):
        places = np.arange(n) * (i + 1) + lo
        inside = np.nonzero((places >= 0) & (places < m))[0]
        source.append(inside)
        target.append(places[inside])
    out[np.ix_(*target)] = x[np.ix_(*source)]
    return out


def _pad_index(index: Index, avals: Sequence[Aval], out: Aval, params: Any) -> list[Access]:
    position: list[Any] = []
    guards: list[Guard] = []
    rows = zip(
        index, avals[0].shape, params["low"], params["high"], params["interior"], strict=True
    )
    for i, n, lo, hi, gap in rows:
        shifted = i - lo
        if lo > 0 or hi > 0 or gap:
            guards.append(Guard(shifted, (n - 1) * (gap + 1) + 1, gap + 1))
        position.append(shifted // (gap + 1) if gap else shifted)
    return [Access(tuple(position), tuple(guards))]


def _pad_transpose(g: Any, x_aval: Aval, low: Shape, high: Shape, interior: Shape) -> Any:
    if min((*low, *high, 0)) < 0:  # what was cropped has no gradient: uncrop first
        g = pad(
            g,
            low=tuple(max(0, -lo) for lo in low),
            high=tuple(max(0, -hi) for hi in high),
            interior=(0,) * len(low),
            value=0,
        )
        low = tuple(max(0, lo) for lo in low)
    step = tuple(i + 1 for i in interior)
    limit = tuple(
        lo + ((n - 1) * s + 1 if n else 0) for lo, n, s in zip(low, x_aval.shape, step, strict=True)
    )
    return slice_(g, start=low, limit=limit, step=step)


def _pad_tangent(t: Any, low: Shape, high: Shape, interior: Shape) -> Any:
    return pad(t, low=low, high=high, interior=interior, value=0)


pad: Primitive = Primitive(
    name="pad",
    kind="movement",
    arg_names=("x",),
    aval_rule=_pad_aval,
    reference=_pad_reference,
    derivs=(_pad_transpose,),
    linearity="explicit",
    jvps=(_pad_tangent,),
    index_map=_pad_index,
    samples=cases(
        ([(3,)], {"low": (2,), "high": (1,), "interior": (0,), "value": 0}),
        ([(2, 3)], {"low": (1, 0), "high": (0, 2), "interior": (0, 2), "value": 1}),
        ([(5, 4)], {"low": (-1, 1), "high": (-2, -1), "interior": (0, 0), "value": 0}),
        ([(0, 2)], {"low": (1, 0), "high": (1, 0), "interior": (0, 1), "value": 1}),
        ([(4,)], {"low": (-2,), "high": (3,), "interior": (1,), "value": 0}),
    ),
    cost=1,
    pair=pairs.pad,
    dtypes=EVERY,
    doc="Surround with a constant and put interior gaps between elements; negative crops.",
)

flip: Primitive = Primitive(
    name="flip",
    kind="movement",
    arg_names=("x",),
    aval_rule=lambda x, axes: x,
    reference=lambda x, axes: np.flip(x, axes).copy(),
    derivs=(lambda g, axes: flip(g, axes=axes),),
    linearity="linear",
    index_map=lambda index, avals, out, params: [
        Access(
            tuple((out.shape[k] - 1) - i if k in params["axes"] else i for k, i in enumerate(index))
        )
    ],
    samples=cases(
        ([(5,)], {"axes": (0,)}),
        ([(2, 3)], {"axes": (0, 1)}),
        ([(2, 3, 2)], {"axes": (1,)}),
        ([(0, 2)], {"axes": (0,)}),
        ([(2, 2)], {"axes": ()}),
    ),
    cost=0,
    pair="parts",
    dtypes=EVERY,
    doc="Reverse the order along axes.",
)


# --- concatenate ----------------------------------------------------------------------------------
def _concat_aval(*xs: Aval, axis: int) -> Aval:
    first = xs[0]
    for x in xs[1:]:
        same = x.ndim == first.ndim and all(
            a == b for k, (a, b) in enumerate(zip(x.shape, first.shape, strict=True)) if k != axis
        )
        if not same or x.dtype is not first.dtype:
            if x.dtype is not first.dtype:
                raise DTypeError(f"concat of {first} and {x}", "The dtypes must be equal.")
            raise ShapeError(
                f"concat of {first} and {x} along axis {axis}",
                "All axes but the concatenated one must be equal.",
            )
    shape = list(first.shape)
    shape[axis] = sum(x.shape[axis] for x in xs)
    return Aval(tuple(shape), first.dtype)


def _concat_part(g: Any, index: int, in_avals: Sequence[Aval], axis: int) -> Any:
    shape = aval_shape(g)
    begin = sum(a.shape[axis] for a in in_avals[:index])
    start = tuple(begin if k == axis else 0 for k in range(len(shape)))
    limit = tuple(
        begin + in_avals[index].shape[axis] if k == axis else n for k, n in enumerate(shape)
    )
    return slice_(g, start=start, limit=limit, step=(1,) * len(shape))


def _concat_index(index: Index, avals: Sequence[Aval], out: Aval, params: Any) -> list[Access]:
    axis, begin, accesses = params["axis"], 0, []
    for aval in avals:
        here = index[axis] - begin
        accesses.append(
            Access((*index[:axis], here, *index[axis + 1 :]), (Guard(here, aval.shape[axis]),))
        )
        begin += aval.shape[axis]
    return accesses


concat: Primitive = Primitive(
    name="concat",
    kind="movement",
    arg_names=("xs",),
    aval_rule=_concat_aval,
    reference=lambda *xs, axis: np.concatenate(xs, axis),
    derivs=(_concat_part,),
    linearity="linear",
    index_map=_concat_index,
    cost=1,
    pair="parts",
    dtypes=EVERY,
    samples=cases(
        ([(3,), (2,)], {"axis": 0}),
        ([(2, 3), (2, 1), (2, 4)], {"axis": 1}),
        ([(1, 2), (3, 2)], {"axis": 0}),
        ([(2, 0), (2, 3)], {"axis": 1}),
        ([(4,)], {"axis": 0}),
    ),
    doc="Join along one axis.",
)
