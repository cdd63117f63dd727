"""Factorisations by elimination with pivoting, LU and LDL, as records; see ``linalg.py``.

A factorisation of order n and its pivots are one matrix with n + 1 columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtypes import DType, int32, int64
from ..errors import ShapeError
from ..ir.aval import Aval, aval_of
from ..ir.primitive import Primitive
from . import lapack
from . import matrix as mx
from .compare import convert
from .elementwise import add, sub
from .indexing import take_along
from .linalg import definite, drawn, host, regular, solve_triangle, square, triangular_right
from .samples import Drawn


# --- LU -------------------------------------------------------------------------------------------
def _lu_aval(a: Aval, check: str) -> Aval:
    if a.ndim < 2:
        raise ShapeError(f"lu of {a}", "It takes matrices.")
    return Aval((*a.shape[:-1], a.shape[-1] + 1), a.dtype)


def pivot_rows(packed: Any, k: int) -> Any:
    """The pivots of a packed LU, counted from 0."""
    n = aval_of(packed).shape[-1] - 1
    column = mx.transposed(mx.rows(mx.columns(packed, n, n + 1), 0, k))
    return sub(convert(mx.as_vector(column), dtype=int64), 1)


def exchange(x: Any, pivots: Any, inverse: bool) -> Any:
    """Exchange rows of every matrix as a factorisation did, or undo it."""
    m, n = aval_of(x).shape[-2:]
    order = permutation(pivots, rows=m, inverse=inverse)
    return take_along(x, mx.spread_columns(order, n), axis=aval_of(x).ndim - 2)


def _lu_parts(out: Any) -> tuple[Any, Any, Any, int]:
    m, n = aval_of(out).shape[-2], aval_of(out).shape[-1] - 1
    k = min(m, n)
    factors = mx.columns(out, 0, n)
    head = mx.columns(mx.rows(factors, 0, k), 0, k)
    return factors, head, pivot_rows(out, k), k


def _lu_rule(g: Any, out: Any, a_aval: Aval) -> Any:
    """With M = L^-1 dA U^-1 of the leading block: dL = L tril(M, -1), dU = triu(M) U."""
    factors, head, pivots, k = _lu_parts(out)
    m, n = a_aval.shape[-2:]
    g = mx.columns(g, 0, n)
    corner = mx.columns(mx.rows(g, 0, k), 0, k)
    lower = add(mx.tril(head, -1), mx.identity(aval_of(head)))
    low = mx.matmul(mx.transposed(lower), mx.tril(corner, -1))
    high = mx.matmul(mx.triu(corner), mx.transposed(mx.triu(head)))
    parts = []
    if m > k:
        beside = mx.rows(g, k, m)
        high = sub(high, mx.matmul(mx.transposed(mx.rows(factors, k, m)), beside))
        below = triangular_right(mx.transposed(head), beside, upper=False)
        parts.append(mx.placed(below, m, n, row=k))
    if n > k:
        beside = mx.columns(g, k, n)
        low = sub(low, mx.matmul(beside, mx.transposed(mx.columns(factors, k, n))))
        right = solve_triangle(mx.transposed(head), beside, upper=True, unit=True)
        parts.append(mx.placed(right, m, n, column=k))
    inner = add(mx.tril(low, -1), mx.triu(high))
    inner = solve_triangle(mx.transposed(head), inner, upper=True, unit=True)
    inner = triangular_right(mx.transposed(head), inner, upper=False)
    moved = mx.placed(inner, m, n)
    for part in parts:
        moved = add(moved, part)
    return exchange(moved, pivots, True)


def _lu_tangent(t: Any, out: Any, a_aval: Aval) -> Any:
    factors, head, pivots, k = _lu_parts(out)
    m, n = a_aval.shape[-2:]
    t = exchange(t, pivots, False)
    inner = solve_triangle(head, mx.columns(mx.rows(t, 0, k), 0, k), upper=False, unit=True)
    inner = triangular_right(head, inner, upper=True)
    low, high = mx.tril(inner, -1), mx.triu(inner)
    lower = add(mx.tril(head, -1), mx.identity(aval_of(head)))
    moved = mx.placed(add(mx.matmul(lower, low), mx.matmul(high, mx.triu(head))), m, n + 1)
    if m > k:
        below = triangular_right(head, mx.rows(t, k, m), upper=True)
        below = sub(below, mx.matmul(mx.rows(factors, k, m), high))
        moved = add(moved, mx.placed(below, m, n + 1, row=k))
    if n > k:
        right = solve_triangle(head, mx.columns(t, k, n), upper=False, unit=True)
        right = sub(right, mx.matmul(low, mx.columns(factors, k, n)))
        moved = add(moved, mx.placed(right, m, n + 1, column=k))
    return moved


lu: Primitive = host(
    "lu",
    ("a",),
    _lu_aval,
    lapack.lu,
    drawn(
        regular,
        ([(3, 3)], {"check": "linalg.lu_factor"}),
        ([(2, 4, 4)], {"check": ""}),
        ([(2, 4)], {"check": ""}),
        ([(5, 3)], {"check": ""}),
        ([(0, 2)], {"check": ""}),
    ),
    derivs=(_lu_rule,),
    jvps=(_lu_tangent,),
    doc="L and U of a = P L U in one matrix and, as a last column, the pivot rows from 1 on.",
)


def _permutation_reference(pivots: np.ndarray, rows: int, inverse: bool) -> np.ndarray:
    order = lapack.permutation(pivots, rows)
    return np.argsort(order, -1) if inverse else order


def _pivot_samples(rng: np.random.Generator, dtype: DType, domain: Any) -> Drawn:
    return [
        ((np.array([1, 1, 2]),), {"rows": 3, "inverse": False}),
        ((np.array([[3, 2], [0, 1]]),), {"rows": 4, "inverse": True}),
    ]


permutation: Primitive = host(
    "permutation",
    ("pivots",),
    lambda pivots, rows, inverse: Aval((*pivots.shape[:-1], rows), int64),
    _permutation_reference,
    _pivot_samples,
    "The order of rows after exchanging row i with row pivots[i] in turn, or the inverse order.",
)


def _first_zero_aval(packed: Aval) -> Aval:
    return Aval(packed.shape[:-2], int32)


pivot_info: Primitive = host(
    "pivot_info",
    ("packed",),
    _first_zero_aval,
    lapack.first_zero,
    drawn(regular, ([(3, 4)], {}), ([(2, 2, 3)], {})),
    "0, or the number (from 1) of the first zero pivot of a packed LU or LDL.",
)


# --- symmetric indefinite -------------------------------------------------------------------------
def _ldl_aval(a: Aval, hermitian: bool, check: str) -> Aval:
    square("ldl", a)
    return Aval((*a.shape[:-1], a.shape[-1] + 1), a.dtype)


ldl: Primitive = host(
    "ldl",
    ("a",),
    _ldl_aval,
    lapack.ldl,
    drawn(
        definite,
        ([(3, 3)], {"hermitian": True, "check": "linalg.ldl_factor"}),
        ([(2, 4, 4)], {"hermitian": False, "check": ""}),
    ),
    "L and the blocks of D of P a P^T = L D L^T and, as a last column, pivots as LAPACK's sytrf.",
)


def _ldl_solve_samples(rng: np.random.Generator, dtype: DType, domain: Any) -> Drawn:
    found: Drawn = []
    for shape, width in (((3, 3), 2), ((2, 4, 4), 1)):
        packed = lapack.ldl(definite(rng, shape, dtype), False)
        right = rng.uniform(-1, 1, (*shape[:-1], width)).astype(dtype.np)
        pivots = packed[..., -1].real.astype(np.int64)
        found.append(((packed[..., :-1].copy(), pivots, right), {"hermitian": False}))
    return found


ldl_solve: Primitive = host(
    "ldl_solve",
    ("factors", "pivots", "b"),
    lambda factors, pivots, b, hermitian: b,
    lapack.ldl_solve,
    _ldl_solve_samples,
    "The x of a x = b from the factors of ldl.",
)
