"""Linear algebra under its older names ``fg.qr``, ``fg.svd``, ``fg.lu``, ..., also as methods."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..errors import ArgumentError, ShapeError
from ..functions.common import broadcast_shapes, broadcast_to, cast, method
from ..functions.linear import matmul
from ..functions.out import accepting
from ..functions.pointwise import log
from ..functions.random import randn
from ..functions.reduction import mean
from ..ops import compare as cmp
from ..ops import elementwise as ew
from ..ops import linalg as ops
from ..ops import matrix as mx
from ..ops import source, spectral
from ..tensor import Tensor
from . import factors, matrices, solving, spectra
from .checks import QR, SlogDet, broadcast_batch, matrix, same_dtype, square


class SVD(NamedTuple):
    """A = U diag(S) V^H."""

    U: Tensor
    S: Tensor
    V: Tensor


class TriangularSolve(NamedTuple):
    """The solution and a copy of the matrix."""

    solution: Tensor
    cloned_coefficient: Tensor


class Geqrf(NamedTuple):
    """R over Householder vectors, and their factors."""

    a: Tensor
    tau: Tensor


class LUUnpack(NamedTuple):
    """A = P L U."""

    P: Tensor
    L: Tensor
    U: Tensor


@method()
def cholesky(input: Tensor, upper: bool = False) -> Tensor:
    """The Cholesky factor; see ``fg.linalg.cholesky``.

    Example:
        >>> import fusegrad as fg
        >>> fg.cholesky(fg.tensor([[4.0]])).tolist()
        [[2.0]]
    """
    return factors.cholesky_factor("cholesky", input, upper, True)


@method()
def cholesky_solve(B: Tensor, L: Tensor, upper: bool = False) -> Tensor:
    """The X with ``A X = B`` from the Cholesky factor of ``A``.

    Args:
        B: ``(*, n, k)``.
        L: ``(*, n, n)``, triangular.
        upper: whether ``L`` is upper triangular, ``A = L^H L``.

    Example:
        >>> import fusegrad as fg
        >>> fg.cholesky_solve(fg.tensor([[8.0]]), fg.tensor([[2.0]])).tolist()
        [[2.0]]
    """
    square("cholesky_solve", L)
    matrix("cholesky_solve", B)
    same_dtype("cholesky_solve", L, B)
    if L.aval.shape[-1] != B.aval.shape[-2]:
        raise ShapeError(
            f"cholesky_solve of {B.aval} and {L.aval}",
            "cholesky_solve: Incompatible matrix sizes for A and B.",
        )
    factor, b = broadcast_batch("cholesky_solve", L, B)
    lower = mx.adjoint(factor) if upper else factor
    half = ops.solve_triangle(lower, b, upper=False, whole=True)
    return ops.solve_triangle(mx.adjoint(lower), half, upper=True, whole=True)


@method()
def cholesky_inverse(L: Tensor, upper: bool = False) -> Tensor:
    """The inverse of ``A`` from its Cholesky factor; see ``cholesky_solve``.

    Example:
        >>> import fusegrad as fg
        >>> fg.cholesky_inverse(fg.tensor([[2.0]])).tolist()
        [[0.25]]
    """
    square("cholesky_inverse", L)
    return cholesky_solve(Tensor(mx.identity(L.aval)), L, upper)


@method()
def det(input: Tensor) -> Tensor:
    """The determinant; see ``fg.linalg.det``."""
    return matrices.det(input)


@method()
def slogdet(input: Tensor) -> SlogDet:
    """Sign and logarithm of the determinant; see ``fg.linalg.slogdet``."""
    return matrices.slogdet(input)


@method()
def logdet(input: Tensor) -> Tensor:
    """The logarithm of the determinant; nan where it is negative, -inf where it is 0.

    Example:
        >>> import fusegrad as fg
        >>> fg.logdet(fg.eye(2)).item()
        0.0
    """
    square("logdet", input)
    sign, size = matrices.slogdet(input)
    if input.dtype.is_complex:
        return ew.add(log(sign), cast(size, input.dtype))
    return cmp.where(cmp.lt(sign, 0.0), float("nan"), size)


@method("inverse")
def inverse(input: Tensor) -> Tensor:
    """The inverse; see ``fg.linalg.inv``."""
    return solving.inv(input)


@method()
def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """The pseudo-inverse; see ``fg.linalg.pinv``."""
    return spectra.pinv(input, rcond)


@method()
def matrix_exp(input: Tensor) -> Tensor:
    """The matrix exponential; see ``fg.linalg.matrix_exp``."""
    return matrices.matrix_exp(input)


@method()
def matrix_power(input: Tensor, n: int) -> Tensor:
    """A power of a matrix; see ``fg.linalg.matrix_power``."""
    return matrices.matrix_power(input, n)


# --- QR -------------------------------------------------------------------------------------------
@method()
def qr(input: Tensor, some: bool = True) -> QR:
    """``input = Q R``; see ``fg.linalg.qr``, mode 'reduced' for ``some``, else 'complete'.

    Example:
        >>> import fusegrad as fg
        >>> fg.qr(fg.ones(3, 1), some=False).Q.shape
        fusegrad.Size([3, 3])
    """
    return factors.qr(input, "reduced" if some else "complete")


@method()
def geqrf(input: Tensor) -> Geqrf:
    """R and the Householder vectors that make Q; not differentiable.

    Args:
        input: ``(*, m, n)``.

    Returns:
        ``(a, tau)``: R on and above the diagonal of ``a`` and below it the vectors, whose first
        element is 1; ``tau`` ``(*, min(m, n))``, for ``fg.orgqr`` and ``fg.ormqr``.

    Example:
        >>> import fusegrad as fg
        >>> fg.geqrf(fg.tensor([[3.0], [4.0]])).a.abs().tolist()
        [[5.0], [0.5]]
    """
    matrix("geqrf", input)
    m, n = input.aval.shape[-2:]
    packed = spectral.geqrf(input.detach())  # type: ignore[attr-defined]
    tau = mx.as_vector(mx.columns(mx.rows(packed, m, m + 1), 0, min(m, n)))
    return Geqrf(mx.rows(packed, 0, m), tau)


@method()
def orgqr(input: Tensor, input2: Tensor) -> Tensor:
    """A product of Householder reflections; see ``fg.linalg.householder_product``."""
    return factors.householder_product(input, input2)


@method()
def ormqr(
    input: Tensor, tau: Tensor, other: Tensor, left: bool = True, transpose: bool = False
) -> Tensor:
    """A matrix times the full product Q of Householder reflections.

    Args:
        input: ``(*, l, k)``, reflectors below the diagonal, as from ``fg.geqrf``.
        tau: ``(*, j)`` with ``j <= min(l, k)``.
        other: ``(*, m, n)``; l is m, or n for ``left=False``.
        left: ``Q other`` or ``other Q``.
        transpose: with the conjugate transpose of Q.

    Example:
        >>> import fusegrad as fg
        >>> a, tau = fg.geqrf(fg.tensor([[3.0], [4.0]]))
        >>> fg.ormqr(a, tau, fg.tensor([[3.0], [4.0]]), transpose=True).abs().round()[0].tolist()
        [5.0]
    """
    matrix("ormqr", input, other)
    if input.aval.shape[-2] != other.aval.shape[-2 if left else -1]:
        raise ShapeError(
            f"ormqr of {input.aval} and {other.aval} with left={left}",
            f"ormqr: other.shape[{-2 if left else -1}] must be equal to input.shape[-2].",
        )
    V, T = factors.householder_matrices("ormqr", input, tau)
    T = mx.adjoint(T) if transpose else T
    if left:
        return ew.sub(other, mx.matmul(V, mx.matmul(T, mx.matmul(mx.adjoint(V), other))))
    return ew.sub(other, mx.matmul(mx.matmul(mx.matmul(other, V), T), mx.adjoint(V)))


# --- LU -------------------------------------------------------------------------------------------
@accepting
def lu(A: Tensor, pivot: bool = True, get_infos: bool = False) -> Any:
    """``(LU, pivots)``, and infos when asked for; see ``fg.linalg.lu_factor_ex``.

    Raises:
        LinAlgError: U has a zero on its diagonal and infos are not asked for.

    Example:
        >>> import fusegrad as fg
        >>> fg.lu(fg.eye(2))[1].tolist()
        [1, 2]
    """
    found = factors.lu_factor_ex(A, pivot=pivot, check_errors=not get_infos)
    return tuple(found) if get_infos else tuple(found[:2])


@method("lu")
def lu_method(self: Tensor, pivot: bool = True, get_infos: bool = False) -> Any:
    """``(LU, pivots)``; see ``fg.lu``."""
    return lu(self, pivot, get_infos)


@method()
def lu_solve(b: Tensor, LU_data: Tensor, LU_pivots: Tensor) -> Tensor:
    """The solution from the factors of ``fg.lu``; see ``fg.linalg.lu_solve``."""
    return solving.lu_solve(LU_data, LU_pivots, b)


def lu_unpack(
    LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True
) -> LUUnpack:
    """P, L and U from the factors of ``fg.lu``; what is not asked for is empty.

    Example:
        >>> import fusegrad as fg
        >>> fg.lu_unpack(*fg.lu(fg.eye(2))).L.tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    matrix("lu_unpack", LU_data)
    nothing = Tensor(source.full(shape=(0,), dtype=LU_data.dtype, value=0))
    P = L = U = nothing
    if unpack_pivots:
        rows = solving.pivots_of("lu_unpack", LU_data, LU_pivots)
        P = factors.permutation_matrix(rows, LU_data.aval.shape[-2], LU_data)
    if unpack_data:
        L, U = factors.split_lu(LU_data)
    return LUUnpack(P, L, U)


@method()
def triangular_solve(
    b: Tensor,
    A: Tensor,
    upper: bool = True,
    transpose: bool = False,
    unitriangular: bool = False,
) -> TriangularSolve:
    """The X with ``A X = b`` (``A^T X = b``) and a copy of ``A``; see ``linalg.solve_triangular``.

    Example:
        >>> import fusegrad as fg
        >>> fg.triangular_solve(fg.tensor([[4.0]]), fg.tensor([[2.0]])).solution.tolist()
        [[2.0]]
    """
    square("triangular_solve", A)
    turned = mx.transposed(A) if transpose else A
    X = solving.solve_triangular(turned, b, upper=upper != transpose, unitriangular=unitriangular)
    batch = broadcast_shapes(A.aval.shape[:-2], b.aval.shape[:-2], op="triangular_solve")
    copy = broadcast_to(A, (*batch, *A.aval.shape[-2:])).clone()  # type: ignore[attr-defined]
    return TriangularSolve(X, copy)


# --- singular values ------------------------------------------------------------------------------
@method()
def svd(input: Tensor, some: bool = True, compute_uv: bool = True) -> SVD:
    """``input = U diag(S) V^H``; see ``fg.linalg.svd``.

    Args:
        input: ``(*, m, n)``.
        some: only the first ``min(m, n)`` columns of U and V.
        compute_uv: otherwise U and V are zeros.

    Example:
        >>> import fusegrad as fg
        >>> fg.svd(fg.tensor([[0.0, 2.0], [3.0, 0.0]])).S.tolist()
        [3.0, 2.0]
    """
    if compute_uv:
        u, s, vh = spectra.svd(input, full_matrices=not some)
        return SVD(u, s, mx.adjoint(vh))
    s = spectra.svdvals(input)
    *batch, m, n = input.aval.shape
    shapes = ((*batch, m, m), (*batch, n, n))
    u, v = (Tensor(mx.zeros(input.aval._replace(shape=shape))) for shape in shapes)
    return SVD(u, s, v)


def _range_of(A: Tensor, q: int, niter: int, M: Tensor | None) -> Tensor:
    """Orthonormal columns that nearly span the range (Halko, Martinsson & Tropp 2011, 4.4)."""

    def apply(X: Tensor, adjoint: bool = False) -> Tensor:
        left, less = (mx.adjoint(A), M) if adjoint else (A, M)
        if less is None:
            return matmul(left, X)
        return ew.sub(matmul(left, X), matmul(mx.adjoint(less) if adjoint else less, X))

    Q = factors.qr(apply(randn(A.aval.shape[-1], q, dtype=A.dtype))).Q
    for _ in range(niter):
        Q = factors.qr(apply(Q, True)).Q
        Q = factors.qr(apply(Q)).Q
    return Q


def svd_lowrank(
    A: Tensor, q: int | None = 6, niter: int | None = 2, M: Tensor | None = None
) -> SVD:
    """The leading singular values and vectors, from a random sample of the range.

    Args:
        A: ``(*, m, n)``.
        q: how many; a little more than the rank is best.
        niter: subspace iterations, each makes the result better.
        M: subtracted from ``A``, broadcast to it.

    Returns:
        ``(U, S, V)``: ``(*, m, q)``, ``(*, q)`` and ``(*, n, q)``.

    Source: Halko, Martinsson and Tropp 2011, "Finding structure with randomness", algorithm 5.1.

    Example:
        >>> import fusegrad as fg
        >>> fg.svd_lowrank(fg.eye(4), q=2).U.shape
        fusegrad.Size([4, 2])
    """
    matrix("svd_lowrank", A)
    m, n = A.aval.shape[-2:]
    q, niter = 6 if q is None else q, 2 if niter is None else niter
    less = None if M is None else broadcast_to(M, A.aval.shape)
    if m < n:
        other = None if less is None else mx.adjoint(less)
        V, S, U = svd_lowrank(mx.adjoint(A), q, niter, other)
        return SVD(U, S, V)
    Q = _range_of(A, q, niter, less)
    B = matmul(mx.adjoint(Q), A)
    if less is not None:
        B = ew.sub(B, matmul(mx.adjoint(Q), less))
    U, S, Vh = spectra.svd(B, full_matrices=False)
    return SVD(matmul(Q, U), S, mx.adjoint(Vh))


def pca_lowrank(A: Tensor, q: int | None = None, center: bool = True, niter: int = 2) -> SVD:
    """Principal components: ``svd_lowrank`` of ``A`` minus the mean of its rows.

    Args:
        A: ``(*, m, n)``.
        q: how many; ``min(6, m, n)`` when ``None``.
        center: subtract the mean first.
        niter: subspace iterations.

    Raises:
        ValueError: q or niter out of range.

    Example:
        >>> import fusegrad as fg
        >>> fg.pca_lowrank(fg.randn(5, 3), q=2).V.shape
        fusegrad.Size([3, 2])
    """
    matrix("pca_lowrank", A)
    m, n = A.aval.shape[-2:]
    q = min(6, m, n) if q is None else q
    if not 0 <= q <= min(m, n):
        raise ArgumentError(
            f"pca_lowrank of {A.aval} with q={q}", f"q must be from 0 to {min(m, n)}."
        )
    if niter < 0:
        raise ArgumentError(f"pca_lowrank with niter={niter}", "niter must not be negative.")
    if center:
        A = ew.sub(A, broadcast_to(mean(A, -2, True), A.aval.shape))
    return svd_lowrank(A, q, niter)
