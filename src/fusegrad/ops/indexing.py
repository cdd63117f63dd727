"""Indexing by integer arrays, and the scatters that are its transposes.

Two families: ``take`` reads whole slices at positions of one axis (embedding, ``x[index]``);
``take_along`` reads one element per index (``torch.gather``). Indices must be non-negative and in
range; the tensor layer wraps negatives and checks bounds.

A scatter of two operands adds the first into zeros; one of three writes the third into the first.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.aval import Aval
from ..ir.primitive import Primitive
from .kinds import EVERY, NUMBERS
from .samples import indexed

Index = tuple[Any, ...]


def _take_aval(x: Aval, index: Aval, axis: int) -> Aval:
    return Aval(x.shape[:axis] + index.shape + x.shape[axis + 1 :], x.dtype)


take: Primitive = Primitive(
    name="take",
    kind="indexing",
    arg_names=("x", "index"),
    aval_rule=_take_aval,
    reference=lambda x, index, axis: np.take(x, index, axis=axis),
    derivs=(
        lambda g, index, x_aval, axis: take_add(g, index, axis=axis, extent=x_aval.shape[axis]),
        None,
    ),
    linearity="explicit",
    jvps=(lambda t, index, axis: take(t, index, axis=axis), None),
    samples=indexed(
        ([(4, 3), [2, 0, 2]], {"axis": 0}),
        ([(2, 3), [[1, 2], [0, 0]]], {"axis": 1}),
        ([(5,), []], {"axis": 0}),
        ([(1, 2, 3), [1]], {"axis": 1}),
    ),
    cost=2,
    pair="parts",
    dtypes=EVERY,
    doc="Slices of x at positions `index` of one axis.",
)


def _take_add_aval(x: Aval, index: Aval, axis: int, extent: int) -> Aval:
    return Aval(x.shape[:axis] + (extent,) + x.shape[axis + index.ndim :], x.dtype)


def _take_add_reference(x: np.ndarray, index: np.ndarray, axis: int, extent: int) -> np.ndarray:
    shape = x.shape[:axis] + (extent,) + x.shape[axis + index.ndim :]
    out = np.zeros(shape, x.dtype)
    np.add.at(out, (slice(None),) * axis + (index,), x)  # type: ignore[arg-type]
    return out


take_add: Primitive = Primitive(
    name="take_add",
    kind="indexing",
    arg_names=("x", "index"),
    aval_rule=_take_add_aval,
    reference=_take_add_reference,
    derivs=(lambda g, index, axis: take(g, index, axis=axis), None),
    linearity="explicit",
    jvps=(lambda t, index, axis, extent: take_add(t, index, axis=axis, extent=extent), None),
    samples=indexed(
        ([(3, 2), [2, 0, 2]], {"axis": 0, "extent": 4}),
        ([(2, 2, 2), [[1, 2], [0, 0]]], {"axis": 1, "extent": 3}),
        ([(0, 2), []], {"axis": 0, "extent": 3}),
    ),
    pair="parts",
    dtypes=NUMBERS,
    combine="{0} + {1}",
    doc="Add slices into zeros at positions `index` of one axis.",
)

take_along: Primitive = Primitive(
    name="take_along",
    kind="indexing",
    arg_names=("x", "index"),
    aval_rule=lambda x, index, axis: Aval(index.shape, x.dtype),
    reference=lambda x, index, axis: _gather(x, index, axis),
    derivs=(
        lambda g, index, x_aval, axis: along_add(g, index, axis=axis, shape=x_aval.shape),
        None,
    ),
    linearity="explicit",
    jvps=(lambda t, index, axis: take_along(t, index, axis=axis), None),
    samples=indexed(
        ([(3, 2), [[2, 0], [1, 1]]], {"axis": 0}),
        ([(2, 4), [[3], [0]]], {"axis": 1}),
        ([(5,), [4, 4, 0]], {"axis": 0}),
    ),
    cost=2,
    pair="parts",
    dtypes=EVERY,
    pointwise=True,
    doc="One element of x per index along one axis.",
)


def open_index(index: np.ndarray, axis: int) -> tuple[Any, ...]:
    grid = list(np.ogrid[tuple(slice(n) for n in index.shape)])
    grid[axis] = index
    return tuple(grid)


def _gather(x: np.ndarray, index: np.ndarray, axis: int) -> np.ndarray:
    return x[open_index(index, axis)]


def _along_add_reference(
    x: np.ndarray, index: np.ndarray, axis: int, shape: tuple[int, ...]
) -> np.ndarray:
    out = np.zeros(shape, x.dtype)
    np.add.at(out, open_index(index, axis), x)
    return out


along_add: Primitive = Primitive(
    name="along_add",
    kind="indexing",
    arg_names=("x", "index"),
    aval_rule=lambda x, index, axis, shape: Aval(tuple(shape), x.dtype),
    reference=_along_add_reference,
    derivs=(lambda g, index, axis: take_along(g, index, axis=axis), None),
    linearity="explicit",
    jvps=(lambda t, index, axis, shape: along_add(t, index, axis=axis, shape=shape), None),
    samples=indexed(
        ([(2, 2), [[2, 0], [2, 1]]], {"axis": 0, "shape": (3, 2)}),
        ([(2, 1), [[3], [0]]], {"axis": 1, "shape": (2, 4)}),
        ([(3,), [1, 1, 0]], {"axis": 0, "shape": (2,)}),
    ),
    pair="parts",
    dtypes=NUMBERS,
    combine="{0} + {1}",
    pointwise=True,
    doc="Add elements into zeros at positions along one axis.",
)


def _take_set_reference(x: np.ndarray, index: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
    out = np.array(x)
    out[(slice(None),) * axis + (index,)] = y
    return out


def _take_set_x(g: Any, index: Any, y_aval: Aval, axis: int) -> Any:
    from .source import full

    zeros = full(shape=y_aval.shape, dtype=y_aval.dtype, value=0)
    return take_set(g, index, zeros, axis=axis)


def _take_set_tangent(t: Any, index: Any, y_aval: Aval, axis: int) -> Any:
    return _take_set_x(t, index, y_aval, axis)


def _take_set_y_tangent(t: Any, index: Any, x_aval: Aval, axis: int) -> Any:
    from .source import full

    zeros = full(shape=x_aval.shape, dtype=x_aval.dtype, value=0)
    return take_set(zeros, index, t, axis=axis)


take_set: Primitive = Primitive(
    name="take_set",
    kind="indexing",
    arg_names=("x", "index", "y"),
    aval_rule=lambda x, index, y, axis: x,
    reference=_take_set_reference,
    derivs=(_take_set_x, None, lambda g, index, axis: take(g, index, axis=axis)),
    linearity="explicit",
    jvps=(_take_set_tangent, None, _take_set_y_tangent),
    samples=indexed(
        ([(4, 3), [2, 0], (2, 3)], {"axis": 0}),
        ([(2, 4), [[1, 3]], (2, 1, 2)], {"axis": 1}),
        ([(5,), [4], (1,)], {"axis": 0}),
    ),
    pair="parts",
    dtypes=EVERY,
    combine="{1}",
    doc="x with the slices at positions `index` of one axis replaced by y.",
)
