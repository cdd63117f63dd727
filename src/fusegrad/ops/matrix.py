"""Matrix algebra over the last two axes, for the rules of the linear algebra records.

Not records: small compositions on whatever ``bind`` takes (arrays, tensors, traced values). All of
them are batched over the leading axes, which the operands share.
"""

from __future__ import annotations

from typing import Any

from ..dtypes import DType, int64, real_dtype
from ..ir.aval import Aval, aval_of
from . import complex as ops
from .compare import and_, convert, eq, ge, isnan, where
from .contract import dot
from .elementwise import add, div, mul, sub
from .movement import broadcast, pad, reshape, slice_
from .movement import transpose as permute
from .reduce import any_, sum_
from .source import full, iota


def matmul(x: Any, y: Any) -> Any:
    """Products of the matrices of two batches."""
    n = aval_of(x).ndim
    batch = tuple(range(n - 2))
    return dot(x, y, cx=(n - 1,), cy=(n - 2,), bx=batch, by=batch)


def transposed(x: Any) -> Any:
    """The transpose of every matrix."""
    n = aval_of(x).ndim
    return permute(x, perm=(*range(n - 2), n - 1, n - 2))


def conj(x: Any) -> Any:
    """The complex conjugate; real values are their own."""
    return ops.conj(x) if aval_of(x).dtype.is_complex else x


def real_values(x: Any) -> Any:
    """The real part, in a real dtype."""
    dtype = aval_of(x).dtype
    return convert(x, dtype=real_dtype(dtype)) if dtype.is_complex else x


def as_dtype(x: Any, dtype: DType) -> Any:
    """``x`` in another dtype."""
    return x if aval_of(x).dtype is dtype else convert(x, dtype=dtype)


def real(x: Any) -> Any:
    """The real part, of the dtype of ``x``."""
    return as_dtype(real_values(x), aval_of(x).dtype)


def imaginary(x: Any) -> Any:
    """i times the imaginary part."""
    return mul(sub(x, conj(x)), 0.5)


def adjoint(x: Any) -> Any:
    """The conjugate transpose of every matrix."""
    return conj(transposed(x))


def rows(x: Any, start: int, limit: int) -> Any:
    """Some rows of every matrix."""
    return _part(x, -2, start, limit)


def columns(x: Any, start: int, limit: int) -> Any:
    """Some columns of every matrix."""
    return _part(x, -1, start, limit)


def _part(x: Any, axis: int, start: int, limit: int) -> Any:
    shape = aval_of(x).shape
    axis %= len(shape)
    if (start, limit) == (0, shape[axis]):
        return x
    low = tuple(start if k == axis else 0 for k in range(len(shape)))
    high = tuple(limit if k == axis else n for k, n in enumerate(shape))
    return slice_(x, start=low, limit=high, step=(1,) * len(shape))


def placed(x: Any, m: int, n: int, row: int = 0, column: int = 0) -> Any:
    """Every matrix inside an ``m x n`` matrix of zeros, its corner at ``(row, column)``."""
    shape = aval_of(x).shape
    low = (*(0,) * (len(shape) - 2), row, column)
    high = (*(0,) * (len(shape) - 2), m - row - shape[-2], n - column - shape[-1])
    if not any(low) and not any(high):
        return x
    return pad(x, low=low, high=high, interior=(0,) * len(shape), value=0)


def stacked(parts: Any, m: int, n: int) -> Any:
    """Matrices below each other in an ``m x n`` matrix, each with zeros on its right."""
    total, row = None, 0
    for part in parts:
        here = placed(part, m, n, row)
        row += aval_of(part).shape[-2]
        total = here if total is None else add(total, here)
    return total


def as_row(v: Any) -> Any:
    """Vectors as matrices of one row."""
    shape = aval_of(v).shape
    return reshape(v, shape=(*shape[:-1], 1, shape[-1]))


def as_vector(x: Any) -> Any:
    """Matrices of one row as vectors."""
    shape = aval_of(x).shape
    return reshape(x, shape=(*shape[:-2], shape[-1]))


def spread_rows(v: Any, m: int) -> Any:
    """Vectors as the ``m`` equal rows of matrices."""
    shape = aval_of(v).shape
    b = len(shape) - 1
    return broadcast(v, shape=(*shape[:-1], m, shape[-1]), axes=(*range(b), b + 1))


def spread_columns(v: Any, n: int) -> Any:
    """Vectors as the ``n`` equal columns of matrices."""
    shape = aval_of(v).shape
    return broadcast(v, shape=(*shape, n), axes=tuple(range(len(shape))))


def spread_scalars(s: Any, aval: Aval) -> Any:
    """One number per matrix, repeated to the matrices of ``aval``."""
    return broadcast(s, shape=aval.shape, axes=tuple(range(aval.ndim - 2)))


def scale_columns(x: Any, v: Any) -> Any:
    """``x @ diag(v)``."""
    return mul(x, spread_rows(v, aval_of(x).shape[-2]))


def scale_rows(x: Any, v: Any) -> Any:
    """``diag(v) @ x``."""
    return mul(x, spread_columns(v, aval_of(x).shape[-1]))


def distance(aval: Aval) -> Any:
    """Column number minus row number of every element."""
    down = iota(shape=aval.shape, dtype=int64, axis=aval.ndim - 2)
    return sub(iota(shape=aval.shape, dtype=int64, axis=aval.ndim - 1), down)


def row_numbers(shape: Any) -> Any:
    """The row number of every element."""
    return iota(shape=tuple(shape), dtype=int64, axis=len(shape) - 2)


def triu(x: Any, k: int = 0) -> Any:
    """Zeros below diagonal ``k``."""
    return where(ge(distance(aval_of(x)), k), x, 0.0)


def tril(x: Any, k: int = 0) -> Any:
    """Zeros above diagonal ``k``."""
    return where(ge(distance(aval_of(x)), k + 1), 0.0, x)


def on_diagonal(aval: Aval) -> Any:
    """Whether an element is on the diagonal."""
    return eq(distance(aval), 0)


def identity(aval: Aval) -> Any:
    """Identity matrices of an aval."""
    return convert(on_diagonal(aval), dtype=aval.dtype)


def diagonal(x: Any) -> Any:
    """The diagonal of every square matrix."""
    aval = aval_of(x)
    return sum_(where(on_diagonal(aval), x, 0.0), axes=(aval.ndim - 2,))


def embedded(v: Any) -> Any:
    """Diagonal matrices."""
    shape = aval_of(v).shape
    aval = Aval((*shape, shape[-1]), aval_of(v).dtype)
    return where(on_diagonal(aval), spread_rows(v, shape[-1]), 0.0)


def off_diagonal(x: Any) -> Any:
    """Zeros on the diagonal."""
    return where(on_diagonal(aval_of(x)), 0.0, x)


def half_diagonal(x: Any) -> Any:
    """The diagonal halved."""
    return where(on_diagonal(aval_of(x)), mul(x, 0.5), x)


def hermitian_part(x: Any) -> Any:
    """``(x + x^H) / 2``."""
    return mul(add(x, adjoint(x)), 0.5)


def skew_part(x: Any) -> Any:
    """``(x - x^H) / 2``."""
    return mul(sub(x, adjoint(x)), 0.5)


def differences(v: Any) -> Any:
    """``v_j - v_i`` at row i and column j."""
    n = aval_of(v).shape[-1]
    return sub(spread_rows(v, n), spread_columns(v, n))


def quotient(x: Any, y: Any) -> Any:
    """``x / y`` with ``0 / 0 = 0``: a direction that does not matter may be undefined."""
    nothing = and_(eq(x, 0.0), eq(y, 0.0))
    return where(nothing, 0.0, div(x, where(nothing, 1.0, y)))


def total(x: Any) -> Any:
    """The sum of all elements of every matrix."""
    n = aval_of(x).ndim
    return sum_(x, axes=(n - 2, n - 1))


def zeros(aval: Aval) -> Any:
    """Zeros of an aval."""
    return full(shape=aval.shape, dtype=aval.dtype, value=0)


def squared_columns(x: Any) -> Any:
    """The sum of ``|x|^2`` over the rows of every matrix."""
    return real_values(sum_(mul(x, conj(x)), axes=(aval_of(x).ndim - 2,)))


def any_nan(x: Any) -> Any:
    """Whether a matrix has a nan."""
    n = aval_of(x).ndim
    return any_(isnan(x), axes=(n - 2, n - 1))
