"""Solutions of linear equations, inverses and least squares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dtypes import DType, int32, int64, real_dtype
from ..errors import DTypeError, RangeError, ShapeError
from ..functions.common import broadcast_shapes, broadcast_to, cast
from ..functions.reduction import amax, sum
from ..functions.shape import movedim, reshape, squeeze, unsqueeze
from ..ops import compare as cmp
from ..ops import elementwise as ew
from ..ops import elimination, source, spectral
from ..ops import linalg as ops
from ..ops import matrix as mx
from ..tensor import Tensor
from .checks import (
    InvEx,
    Lstsq,
    SolveEx,
    broadcast_batch,
    matrix,
    option,
    same_dtype,
    square,
)


def is_vector(A: Tensor, B: Tensor) -> bool:
    """Whether the right side is a (batch of) vectors and not of matrices."""
    return B.aval.ndim == 1 or (
        A.aval.ndim - 1 == B.aval.ndim and B.aval.shape == A.aval.shape[:-1]
    )


def _zero_pivot(A: Tensor) -> Tensor:
    return elimination.pivot_info(elimination.lu(A.detach(), check=""))  # type: ignore[attr-defined]


def _solution(name: str, A: Tensor, B: Tensor, left: bool, check: bool) -> Tensor:
    n = square(name, A)
    same_dtype(name, A, B)
    vector = is_vector(A, B)
    if vector and not left:
        raise ShapeError(
            f"{name} of {A.aval} and {B.aval} with left=False",
            f"{name}: Vector broadcasting of the left hand side is not supported for left=False.",
            "B.unsqueeze(-2)",
        )
    right = unsqueeze(B, -1) if vector else B
    rows = right.aval.shape[-2 if left else -1] if right.aval.ndim > 1 else -1
    if rows != n:
        raise ShapeError(
            f"{name} of {A.aval} and {B.aval}",
            f"{name}: Incompatible shapes of A and B for the equation "
            f"{'AX = B' if left else 'XA = B'}.",
            "a B whose number of rows (columns for left=False) is the order of A",
        )
    a, b = broadcast_batch(name, A, right)
    if left:
        out = ops.solve(a, b, check=name if check else "")
    else:
        turned = ops.solve(mx.transposed(a), mx.transposed(b), check=name if check else "")
        out = mx.transposed(turned)
    return squeeze(out, -1) if vector else out


def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """The X with ``A X = B``, or ``X A = B`` for ``left=False``.

    Args:
        A: ``(*, n, n)``, regular.
        B: ``(*, n, k)`` or vectors ``(*, n)`` of as many batch axes as ``A``, else ``(n,)``;
            ``(*, k, n)`` for ``left=False``.
        left: on which side of X the matrix stands.

    Returns:
        the shape of ``B``, batch axes broadcast.

    Raises:
        RuntimeError: shapes or dtypes that do not fit.
        LinAlgError: a matrix is singular.

    Example:
        >>> import fusegrad as fg
        >>> fg.linalg.solve(fg.tensor([[2.0, 0.0], [0.0, 4.0]]), fg.tensor([2.0, 2.0])).tolist()
        [1.0, 0.5]
    """
    return _solution("linalg.solve", A, B, left, True)


def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False) -> SolveEx:
    """``solve`` that reports singular matrices in ``info`` instead of raising.

    Returns:
        ``(result, info)``; ``info`` int32 ``(*)`` is 0, or the number of the pivot that is zero;
        then the result is nan.

    Example:
        >>> import fusegrad as fg
        >>> fg.linalg.solve_ex(fg.zeros(2, 2), fg.ones(2, 1)).info.item()
        1
    """
    result = _solution("linalg.solve_ex", A, B, left, check_errors)
    return SolveEx(result, _zero_pivot(A))


def inv(A: Tensor) -> Tensor:
    """Inverses of square matrices ``(*, n, n)``.

    Raises:
        LinAlgError: a matrix is singular.

    Example:
        >>> import fusegrad as fg
        >>> fg.linalg.inv(fg.tensor([[2.0, 0.0], [0.0, 4.0]])).tolist()
        [[0.5, 0.0], [0.0, 0.25]]
    """
    square("linalg.inv", A)
    return ops.solve(A, Tensor(mx.identity(A.aval)), check="linalg.inv")


def inv_ex(A: Tensor, *, check_errors: bool = False) -> InvEx:
    """``inv`` that reports singular matrices in ``info`` instead of raising; see ``solve_ex``.

    Example:
        >>> import fusegrad as fg
        >>> fg.linalg.inv_ex(fg.tensor([[1.0, 1.0], [1.0, 1.0]])).info.item()
        2
    """
    square("linalg.inv_ex", A)
    check = "linalg.inv_ex" if check_errors else ""
    return InvEx(ops.solve(A, Tensor(mx.identity(A.aval)), check=check), _zero_pivot(A))


def solve_triangular(
    A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """The X with ``A X = B`` for triangular ``A``, or ``X A = B`` for ``left=False``.

    Args:
        A: ``(*, n, n)``; only the triangle that ``upper`` tells is read.
        B: ``(*, n, k)``; ``(*, k, n)`` for ``left=False``.
        upper: whether ``A`` is upper triangular.
        left: on which side of X the matrix stands.
        unitriangular: take the diagonal as ones, without reading it.

    Returns:
        the shape of ``B``, batch axes broadcast; inf or nan where a diagonal element is zero.

    Example:
        >>> import fusegrad as fg
        >>> A, B = fg.tensor([[2.0, 0.0], [2.0, 1.0]]), fg.tensor([[2.0], [3.0]])
        >>> fg.linalg.solve_triangular(A, B, upper=False).tolist()
        [[1.0], [1.0]]
    """
    name = "linalg.solve_triangular"
    n = square(name, A)
    matrix(name, B)
    same_dtype(name, A, B)
    if B.aval.shape[-2 if left else -1] != n:
        raise ShapeError(
            f"{name} of {A.aval} and {B.aval} with left={left}",
            f"{name}: Incompatible shapes of A and B for the equation "
            f"{'AX = B' if left else 'XA = B'}.",
        )
    a, b = broadcast_batch(name, A, B)
    if left:
        return ops.solve_triangle(a, b, upper=bool(upper), unit=bool(unitriangular))
    return ops.triangular_right(a, b, upper=bool(upper), unit=bool(unitriangular))


def pivots_of(name: str, LU: Tensor, pivots: Tensor) -> Tensor:
    """Pivot rows counted from 0, with the batch axes of ``LU``."""
    if pivots.dtype is not int32:
        raise DTypeError(
            f"{name} with pivots {pivots.aval}",
            f"{name}: pivots should be a Tensor of scalar type int32.",
            "the pivots that lu_factor returned",
        )
    k = min(LU.aval.shape[-2:])
    if pivots.aval.ndim == 0 or pivots.aval.shape[-1] != k:
        raise ShapeError(
            f"{name} of {LU.aval} with pivots {pivots.aval}",
            f"{name}: Number of pivots per batch should be the smaller side of the matrix.",
        )
    return ew.sub(cast(pivots, int64), 1)


def lu_solve(
    LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False
) -> Tensor:
    """The X with ``A X = B`` (or ``X A = B``) from the factors of ``lu_factor(A)``.

    Args:
        LU, pivots: ``(*, n, n)`` and int32 ``(*, n)``.
        B: ``(*, n, k)``; ``(*, k, n)`` for ``left=False``.
        left: on which side of X the matrix stands.
        adjoint: solve with the conjugate transpose of ``A``.

    Example:
        >>> import fusegrad as fg
        >>> LU, pivots = fg.linalg.lu_factor(fg.tensor([[0.0, 2.0], [4.0, 0.0]]))
        >>> fg.linalg.lu_solve(LU, pivots, fg.tensor([[2.0], [4.0]])).tolist()
        [[1.0], [1.0]]
    """
    name = "linalg.lu_solve"
    n = square(name, LU)
    matrix(name, B)
    same_dtype(name, LU, B)
    if B.aval.shape[-2 if left else -1] != n:
        raise ShapeError(
            f"{name} of {LU.aval} and {B.aval}",
            f"{name}: Incompatible shapes of A and B for the equation "
            f"{'AX = B' if left else 'XA = B'}.",
        )
    rows = pivots_of(name, LU, pivots)
    batch = broadcast_shapes(LU.aval.shape[:-2], B.aval.shape[:-2], op=name)
    rows = broadcast_to(rows, (*batch, n))
    factors, b = broadcast_batch(name, LU, B)
    if not left:  # X A = B is A^H X^H = B^H
        out = _lu_solve(factors, rows, mx.adjoint(b), not adjoint)
        return mx.adjoint(out)
    return _lu_solve(factors, rows, b, adjoint)


def _lu_solve(factors: Tensor, rows: Tensor, b: Tensor, adjoint: bool) -> Tensor:
    if not adjoint:
        out = elimination.exchange(b, rows, False)
        out = ops.solve_triangle(factors, out, upper=False, unit=True)
        return ops.solve_triangle(factors, out, upper=True)
    turned = mx.adjoint(factors)
    out = ops.solve_triangle(turned, b, upper=False)
    out = ops.solve_triangle(turned, out, upper=True, unit=True)
    return elimination.exchange(out, rows, True)


def ldl_solve(LD: Tensor, pivots: Tensor, B: Tensor, *, hermitian: bool = False) -> Tensor:
    """The X with ``A X = B`` from the factors of ``ldl_factor(A)``; not differentiable.

    Args:
        LD, pivots: ``(*, n, n)`` and int32 ``(*, n)``.
        B: ``(*, n, k)``.
        hermitian: as for ``ldl_factor``.

    Example:
        >>> import fusegrad as fg
        >>> LD, pivots = fg.linalg.ldl_factor(fg.tensor([[0.0, 2.0], [2.0, 0.0]]))
        >>> fg.linalg.ldl_solve(LD, pivots, fg.tensor([[2.0], [4.0]])).tolist()
        [[2.0], [1.0]]
    """
    name = "linalg.ldl_solve"
    n = square(name, LD)
    matrix(name, B)
    same_dtype(name, LD, B)
    if pivots.dtype.category != 1 or pivots.aval.shape != LD.aval.shape[:-1]:
        raise ShapeError(
            f"{name} of {LD.aval} with pivots {pivots.aval}",
            "Pivots are integers, one for each row of LD.",
        )
    batch = broadcast_shapes(LD.aval.shape[:-2], B.aval.shape[:-2], op=name)
    factors, b = broadcast_batch(name, LD, B)
    order = broadcast_to(cast(pivots, int64), (*batch, n))
    return elimination.ldl_solve(factors, order, b, hermitian=bool(hermitian))


# --- pseudo-inverse and least squares -------------------------------------------------------------
def tolerance(name: str, value: Any, x: Tensor, default: float) -> Tensor:
    """A tolerance as a tensor with one number per matrix."""
    batch = x.aval.shape[:-2]
    if isinstance(value, Tensor):
        if value.dtype.is_complex:
            raise DTypeError(f"{name} with a complex tolerance", "Tolerances are real numbers.")
        limit = cast(value.detach(), real_dtype(x.dtype))  # type: ignore[attr-defined]
        return broadcast_to(limit, broadcast_shapes(limit.aval.shape, batch, op=name))
    number = default if value is None else float(value)
    return Tensor(source.full(shape=batch, dtype=real_dtype(x.dtype), value=number))


def epsilon(dtype: DType) -> float:
    """The spacing of numbers at 1."""
    return float(np.finfo(dtype.np).eps)


def tolerances(name: str, x: Tensor, atol: Any, rtol: Any) -> tuple[Tensor, Tensor]:
    """Both tolerances; without any, rtol is ``max(m, n)`` times the spacing of numbers at 1."""
    relative = 0.0 if atol is not None else epsilon(x.dtype) * max(x.aval.shape[-2:])
    if isinstance(atol, Tensor) and rtol is None:  # where atol is 0 the default counts
        small = epsilon(x.dtype) * max(x.aval.shape[-2:])
        limit = tolerance(name, atol, x, 0.0)
        return limit, cmp.where(cmp.gt(limit, 0.0), 0.0, ew.add(ew.mul(limit, 0.0), small))
    if atol is not None and rtol is None and not atol > 0:
        relative = epsilon(x.dtype) * max(x.aval.shape[-2:])
    return tolerance(name, atol, x, 0.0), tolerance(name, rtol, x, relative)


DRIVERS = ("gels", "gelsy", "gelsd", "gelss")


def lstsq(A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None) -> Lstsq:
    """The X that minimises ``|A X - B|``, of smallest norm where there are several.

    Computed by singular values; derivatives are those of the pseudo-inverse, at any rank.

    Args:
        A: ``(*, m, n)``.
        B: ``(*, m, k)``, or vectors ``(*, m)`` of one batch axis less than ``A``.
        rcond: singular values up to this part of the largest count as zero; the spacing of
            numbers at 1 times ``max(m, n)`` when ``None``.
        driver: 'gelsy' (the default), 'gelsd' and 'gelss' also tell the rank, the last two the
            singular values; 'gels' takes ``A`` to have full rank.

    Returns:
        ``(solution, residuals, rank, singular_values)``. Squared residuals (by 'gels', and by
        'gelsd' and 'gelss' where all matrices have rank n) for m > n; what a driver does not tell
        is empty. While tracing, ranks are not known and residuals are there whatever they are.

    Example:
        >>> import fusegrad as fg
        >>> A, B = fg.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]]), fg.tensor([[1.0], [3.0], [5.0]])
        >>> fg.linalg.lstsq(A, B).solution.round(decimals=3).tolist()
        [[1.0], [2.0]]
    """
    name = "linalg.lstsq"
    matrix(name, A)
    same_dtype(name, A, B)
    driver = "gelsy" if driver is None else driver
    option(name, "driver", driver, DRIVERS)
    m, n = A.aval.shape[-2:]
    vector = is_vector(A, B)
    right = unsqueeze(B, -1) if vector else B
    if right.aval.ndim < 2 or right.aval.shape[-2] != m:
        raise ShapeError(
            f"{name} of {A.aval} and {B.aval}",
            f"{name}: input.size(-2) should match other.size(-2).",
        )
    a, b = broadcast_batch(name, A, right)
    default = epsilon(A.dtype) * max(m, n)
    relative = tolerance(name, 0.0 if driver == "gels" else rcond, a, default)
    exact, singular = _minimiser(a.detach(), b.detach(), relative)  # type: ignore[attr-defined]
    inverse = spectral.pinv(a, tolerance(name, None, a, 0.0), relative, hermitian=False)
    solution = mx.matmul(inverse, b)  # the derivatives are those of this product
    solution = ew.add(solution, ew.sub(exact, solution.detach()))
    rank, values = _rank_and_values(a, singular, relative, driver)
    told = driver == "gels" or (driver in ("gelsd", "gelss") and _full_rank(rank, n))
    if m > n and told:
        misfit = ew.sub(mx.matmul(a, solution), b)
        residuals = mx.squared_columns(misfit)
    else:
        residuals = _empty(real_dtype(A.dtype))
    return Lstsq(squeeze(solution, -1) if vector else solution, residuals, rank, values)


def _minimiser(a: Tensor, b: Tensor, relative: Tensor) -> tuple[Tensor, Tensor]:
    """The solution by singular values, and these.

    The product with an explicit inverse would leave a residual that grows with the condition
    number; here the parts of ``b`` are divided first (Golub and Van Loan 2013, section 5.5).
    """
    m, n = a.aval.shape[-2:]
    u, s, v = spectral.split_svd(spectral.svd(a, full=False), m, n, False)
    values = mx.real_values(s)
    if not min(m, n):
        return mx.matmul(v, mx.matmul(mx.adjoint(u), b)), values
    limit = ew.mul(broadcast_to(amax(values, -1), relative.aval.shape), relative)
    large = cmp.gt(values, mx.spread_columns(limit, min(m, n)))
    inverse = cmp.where(large, ew.reciprocal(cmp.where(large, values, 1.0)), 0.0)
    parts = mx.scale_rows(mx.matmul(mx.adjoint(u), b), cast(inverse, a.dtype))
    return mx.matmul(v, parts), values


def _rank_and_values(
    a: Tensor, values: Tensor, relative: Tensor, driver: str
) -> tuple[Tensor, Tensor]:
    if driver == "gels":
        return _empty(int64), _empty(real_dtype(a.dtype))
    rank = count_above(values, tolerance("linalg.lstsq", None, a, 0.0), relative)
    return rank, _empty(real_dtype(a.dtype)) if driver == "gelsy" else values


def count_above(values: Tensor, atol: Tensor, rtol: Tensor) -> Tensor:
    """How many values of each row exceed ``max(atol, rtol * largest)``."""
    k = values.aval.shape[-1]
    if k == 0:
        return Tensor(source.full(shape=atol.aval.shape, dtype=int64, value=0))
    limit = ew.maximum(atol, ew.mul(broadcast_to(amax(values, -1), rtol.aval.shape), rtol))
    shape = (*limit.aval.shape, k)
    return sum(cmp.gt(broadcast_to(values, shape), mx.spread_columns(limit, k)), -1)


def _full_rank(rank: Tensor, n: int) -> bool:
    value = rank._value
    return not isinstance(value, np.ndarray) or bool((value == n).all())


def _empty(dtype: DType) -> Tensor:
    return Tensor(source.full(shape=(0,), dtype=dtype, value=0))


# --- tensors as matrices --------------------------------------------------------------------------
def tensorinv(A: Tensor, ind: int = 2) -> Tensor:
    """The inverse of the map from the last axes to the first ``ind`` ones.

    Args:
        A: the products of the extents of both groups of axes are equal.
        ind: number of axes of the first group.

    Returns:
        the axes of the second group, then those of the first.

    Raises:
        RuntimeError: the products differ. LinAlgError: there is no inverse.

    Example:
        >>> import fusegrad as fg
        >>> fg.linalg.tensorinv(fg.eye(6).reshape(2, 3, 6)).shape
        fusegrad.Size([6, 2, 3])
    """
    if ind <= 0:
        raise RangeError(
            f"linalg.tensorinv with ind={ind}", "Expected a strictly positive integer for 'ind'."
        )
    first, last = A.aval.shape[:ind], A.aval.shape[ind:]
    if math.prod(first) != math.prod(last):
        raise ShapeError(
            f"linalg.tensorinv of {A.aval} with ind={ind}",
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == "
            f"prod(self.shape[:ind]), but got {math.prod(last)} != {math.prod(first)}.",
        )
    flat = reshape(A, math.prod(first), math.prod(last))
    return reshape(inv(flat), *last, *first)


def tensorsolve(A: Tensor, B: Tensor, dims: Sequence[int] | None = None) -> Tensor:
    """The X with ``tensordot(A, X, X.ndim) = B``.

    Args:
        A: ``B.shape`` followed by the shape of X, after ``dims`` moved to its end.
        B: any shape.
        dims: axes of ``A`` to move to the end first.

    Example:
        >>> import fusegrad as fg
        >>> A, B = fg.eye(6).reshape(2, 3, 6), fg.ones(2, 3)
        >>> fg.linalg.tensorsolve(A, B).shape
        fusegrad.Size([6])
    """
    moved = A if dims is None else movedim(A, tuple(dims), tuple(range(-len(dims), 0)))
    shape = moved.aval.shape[B.aval.ndim :]
    if math.prod(shape) != math.prod(moved.aval.shape[: B.aval.ndim]):
        raise ShapeError(
            f"linalg.tensorsolve of {A.aval} and {B.aval}",
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == "
            "prod(self.shape[:other.ndim]).",
        )
    flat = reshape(moved, math.prod(shape), math.prod(shape))
    return reshape(solve(flat, reshape(B, -1)), *shape)
