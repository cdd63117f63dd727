"""The one contraction: batched dot over any axes; matrix products are calls of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import DTypeError, ShapeError
from ..ir.aval import Aval
from ..ir.primitive import Primitive
from . import pairs
from .kinds import FIELD
from .movement import transpose
from .samples import cases

Axes = tuple[int, ...]


def free_axes(ndim: int, contract: Axes, batch: Axes) -> Axes:
    """Axes that are neither contracted nor batched."""
    return tuple(a for a in range(ndim) if a not in contract and a not in batch)


def _dot_aval(x: Aval, y: Aval, cx: Axes, cy: Axes, bx: Axes, by: Axes) -> Aval:
    if x.dtype is not y.dtype:
        raise DTypeError(
            f"dot of x: {x} and y: {y}",
            "Both operands must have one dtype.",
            "convert one with .to(dtype)",
        )
    contracted = tuple(x.shape[a] for a in cx), tuple(y.shape[a] for a in cy)
    batched = tuple(x.shape[a] for a in bx), tuple(y.shape[a] for a in by)
    if contracted[0] != contracted[1] or batched[0] != batched[1]:
        raise ShapeError(
            f"dot of x: {x} and y: {y} over axes {cx} and {cy}",
            f"The contracted extents are {contracted[0]} and {contracted[1]}.",
        )
    fx = tuple(x.shape[a] for a in free_axes(x.ndim, cx, bx))
    fy = tuple(y.shape[a] for a in free_axes(y.ndim, cy, by))
    return Aval(batched[0] + fx + fy, x.dtype)


def _dot_reference(
    x: np.ndarray, y: np.ndarray, cx: Axes, cy: Axes, bx: Axes, by: Axes
) -> np.ndarray:
    fx, fy = free_axes(x.ndim, cx, bx), free_axes(y.ndim, cy, by)
    batch = tuple(x.shape[a] for a in bx)
    k = int(np.prod([x.shape[a] for a in cx], dtype=np.int64))
    shape_x, shape_y = tuple(x.shape[a] for a in fx), tuple(y.shape[a] for a in fy)
    m, n = int(np.prod(shape_x, dtype=np.int64)), int(np.prod(shape_y, dtype=np.int64))
    left = np.transpose(x, bx + fx + cx).reshape((*batch, m, k))
    right = np.transpose(y, by + cy + fy).reshape((*batch, k, n))
    return np.matmul(left, right).reshape(batch + shape_x + shape_y)


def _operand_transpose(
    g: Any,
    other: Any,
    mine: Aval,
    theirs: Aval,
    cm: Axes,
    co: Axes,
    bm: Axes,
    bo: Axes,
    g_free_other: Axes,
) -> Any:
    """Cotangent of one operand: contract ``g`` with the other over the other's free axes."""
    free_other = free_axes(theirs.ndim, co, bo)
    batch = tuple(range(len(bm)))
    out = dot(g, other, cx=g_free_other, cy=free_other, bx=batch, by=bo)
    # axes of out: batch, my free axes, then the contracted axes in the order the other holds them
    contracted = [cm[co.index(a)] for a in range(theirs.ndim) if a in co]
    order = (*bm, *free_axes(mine.ndim, cm, bm), *contracted)
    perm = tuple(order.index(a) for a in range(mine.ndim))
    return out if perm == tuple(range(mine.ndim)) else transpose(out, perm=perm)


def _dot_x(
    g: Any, y: Any, x_aval: Aval, y_aval: Aval, cx: Axes, cy: Axes, bx: Axes, by: Axes
) -> Any:
    nx = x_aval.ndim - len(cx)
    g_free = tuple(range(nx, nx + y_aval.ndim - len(cy) - len(by)))
    return _operand_transpose(g, y, x_aval, y_aval, cx, cy, bx, by, g_free)


def _dot_y(
    g: Any, x: Any, x_aval: Aval, y_aval: Aval, cx: Axes, cy: Axes, bx: Axes, by: Axes
) -> Any:
    g_free = tuple(range(len(bx), x_aval.ndim - len(cx)))
    return _operand_transpose(g, x, y_aval, x_aval, cy, cx, by, bx, g_free)


dot: Primitive = Primitive(
    name="dot",
    kind="contract",
    arg_names=("x", "y"),
    aval_rule=_dot_aval,
    reference=_dot_reference,
    derivs=(_dot_x, _dot_y),
    linearity="linear",
    pair=pairs.dot,
    dtypes=FIELD,
    samples=cases(
        ([(3, 4), (4, 5)], {"cx": (1,), "cy": (0,), "bx": (), "by": ()}),
        ([(4, 3), (5, 4)], {"cx": (0,), "cy": (1,), "bx": (), "by": ()}),
        ([(2, 3, 4), (2, 4, 3)], {"cx": (2,), "cy": (1,), "bx": (0,), "by": (0,)}),
        ([(3, 2, 4), (4, 3, 5)], {"cx": (2,), "cy": (0,), "bx": (0,), "by": (1,)}),
        ([(2, 3, 4), (4, 3)], {"cx": (2, 1), "cy": (0, 1), "bx": (), "by": ()}),
        ([(6,), (6,)], {"cx": (0,), "cy": (0,), "bx": (), "by": ()}),
        ([(2, 0), (0, 3)], {"cx": (1,), "cy": (0,), "bx": (), "by": ()}),
        ([(3,), (2,)], {"cx": (), "cy": (), "bx": (), "by": ()}),
        ([(33, 17), (17, 9)], {"cx": (1,), "cy": (0,), "bx": (), "by": ()}),
    ),
    doc="Sum of products over axes cx of x and cy of y, batched over bx and by; "
    "the result has the batch axes, then the free axes of x, then those of y.",
)
