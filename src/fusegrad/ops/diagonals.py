"""Diagonals as views, also of axes that do not merge into one (a transposed matrix)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.aval import Aval
from ..ir.primitive import Primitive
from .kinds import EVERY
from .movement import Access, Shape, pad, reshape
from .samples import cases


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
