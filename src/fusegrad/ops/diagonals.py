"""Views that slices and reshapes do not express: diagonals of any axes, and sliding windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dtypes import int64
from ..ir.aval import Aval
from ..ir.primitive import Primitive
from .elementwise import add, mul
from .indexing import take_add
from .kinds import EVERY
from .movement import Access, Shape, aval_shape, pad, reshape, transpose
from .samples import cases
from .source import iota


def _diagonal_place(shape: Sequence[int], offset: int) -> tuple[int, int, int]:
    """First row, first column and length of a diagonal of the last two axes."""
    rows, columns = shape[-2:]
    row, column = (0, offset) if offset >= 0 else (-offset, 0)
    return row, column, max(0, min(rows - row, columns - column))


def _diagonal_reference(x: np.ndarray, offset: int) -> np.ndarray:
    row, column, length = _diagonal_place(x.shape, offset)
    strides = (*x.strides[:-2], x.strides[-2] + x.strides[-1])
    corner = x[..., row:, column:]
    return np.lib.stride_tricks.as_strided(corner, (*x.shape[:-2], length), strides)


def on_diagonal(g: Any, shape: Shape, offset: int) -> Any:
    """Zeros of ``shape`` with ``g`` on a diagonal of the last two axes: the transpose."""
    *rest, rows, columns = shape
    row, column, length = _diagonal_place(shape, offset)
    first = row * columns + column if length else 0
    used = (length - 1) * (columns + 1) + 1 if length else 0
    none = (0,) * len(rest)
    flat = pad(
        g,
        low=(*none, first),
        high=(*none, rows * columns - first - used),
        interior=(*none, columns),
        value=0,
    )
    return reshape(flat, shape=shape)


diagonal: Primitive = Primitive(
    name="diagonal",
    kind="movement",
    arg_names=("x",),
    aval_rule=lambda x, offset: Aval((*x.shape[:-2], _diagonal_place(x.shape, offset)[2]), x.dtype),
    reference=_diagonal_reference,
    derivs=(lambda g, x_aval, offset: on_diagonal(g, x_aval.shape, offset),),
    linearity="linear",
    index_map=lambda index, avals, out, params: [
        Access(
            (
                *index[:-1],
                index[-1] + max(-params["offset"], 0),
                index[-1] + max(params["offset"], 0),
            )
        )
    ],
    samples=cases(
        ([(3, 3)], {"offset": 0}),
        ([(2, 3, 4)], {"offset": 1}),
        ([(4, 3)], {"offset": -2}),
        ([(2, 3)], {"offset": 3}),
    ),
    cost=0,
    dtypes=EVERY,
    alias=True,
    doc="A diagonal of the last two axes: a view also where these do not merge into one.",
)


# --- sliding windows ------------------------------------------------------------------------------
def _windows_shape(shape: Sequence[int], axis: int, size: int, step: int) -> Shape:
    count = (shape[axis] - size) // step + 1
    return (*shape[:axis], count, *shape[axis + 1 :], size)


def _windows_reference(x: np.ndarray, axis: int, size: int, step: int) -> np.ndarray:
    strides = list(x.strides)
    strides[axis] *= step
    shape = _windows_shape(x.shape, axis, size, step)
    return np.lib.stride_tricks.as_strided(x, shape, (*strides, x.strides[axis]))


def _windows_index(index: Any, avals: Any, out: Aval, params: Any) -> list[Access]:
    axis = params["axis"]
    place = index[axis] * params["step"] + index[-1]
    return [Access((*index[:axis], place, *index[axis + 1 : -1]))]


def window_places(count: int, size: int, step: int) -> Any:
    """Positions along the axis: ``[count, size]``, the windows in rows."""
    rows = iota(shape=(count, size), dtype=int64, axis=0)
    return add(mul(rows, step), iota(shape=(count, size), dtype=int64, axis=1))


def by_window(g: Any, axis: int) -> Any:
    """The last axis, that of the elements of a window, moved behind that of the windows."""
    last = len(aval_shape(g)) - 1
    perm = (*range(axis + 1), last, *range(axis + 1, last))
    return transpose(g, perm=perm)


def _windows_transpose(g: Any, x_aval: Aval, axis: int, size: int, step: int) -> Any:
    places = window_places(aval_shape(g)[axis], size, step)
    return take_add(by_window(g, axis), places, axis=axis, extent=x_aval.shape[axis])


windows: Primitive = Primitive(
    name="windows",
    kind="movement",
    arg_names=("x",),
    aval_rule=lambda x, axis, size, step: Aval(_windows_shape(x.shape, axis, size, step), x.dtype),
    reference=_windows_reference,
    derivs=(_windows_transpose,),
    linearity="linear",
    index_map=_windows_index,
    samples=cases(
        ([(5,)], {"axis": 0, "size": 2, "step": 1}),
        ([(2, 7)], {"axis": 1, "size": 3, "step": 2}),
        ([(4, 3)], {"axis": 0, "size": 2, "step": 2}),
        ([(2, 3, 2)], {"axis": 1, "size": 1, "step": 3}),
    ),
    cost=0,
    dtypes=EVERY,
    alias=True,
    doc="All windows of some elements along an axis, in a new last axis: a view, they may overlap.",
)
