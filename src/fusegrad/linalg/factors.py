"""Factorisations of matrices: Cholesky, LU, LDL, QR."""

from __future__ import annotations

from ..dtypes import int32
from ..errors import RangeError, ShapeError
from ..functions.common import broadcast_to, cast
from ..functions.shape import reshape
from ..ops import compare as cmp
from ..ops import elementwise as ew
from ..ops import elimination, spectral
from ..ops import linalg as ops
from ..ops import matrix as mx
from ..tensor import Tensor
from .checks import (
    LU,
    QR,
    CholeskyEx,
    LDLFactor,
    LDLFactorEx,
    LUFactor,
    LUFactorEx,
    matrix,
    option,
    same_dtype,
    square,
)


# --- Cholesky -------------------------------------------------------------------------------------
def cholesky_factor(name: str, A: Tensor, upper: bool, check: bool) -> Tensor:
    """The factor that ``name`` returns."""
    square(name, A)
    out = ops.cholesky(A, upper=bool(upper), check=name if check else "")
    return mx.adjoint(out) if upper else out


def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """The lower triangular L with positive diagonal and ``A = L L^H``.

    Args:
        A: ``(*, n, n)``, Hermitian positive definite; one triangle is read.
        upper: read the upper triangle and return ``L^H``.

    Raises:
        LinAlgError: a matrix is not positive definite.

    The gradient is that with respect to a Hermitian matrix (Murray 2016, "Differentiation of the
    Cholesky decomposition").

    Example:
        >>> import fusegrad as fg
        >>> fg.linalg.cholesky(fg.tensor([[4.0, 2.0], [2.0, 2.0]])).tolist()
        [[2.0, 0.0], [1.0, 1.0]]
    """
    return cholesky_factor("linalg.cholesky", A, upper, True)


def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False) -> CholeskyEx:
    """``cholesky`` that reports in ``info`` instead of raising.

    Returns:
        ``(L, info)``; ``info`` int32 ``(*)`` is 0, or the order of the first leading minor that is
        not positive definite; then L is nan.

    Example:
        >>> import fusegrad as fg
        >>> fg.linalg.cholesky_ex(fg.tensor([[1.0, 2.0], [2.0, 1.0]])).info.item()
        2
    """
    L = cholesky_factor("linalg.cholesky_ex", A, upper, check_errors)
    return CholeskyEx(L, ops.cholesky_info(mx.adjoint(A.detach()) if upper else A.detach()))  # type: ignore[attr-defined]


# --- LU -------------------------------------------------------------------------------------------
def _packed(name: str, A: Tensor, pivot: bool, check: bool) -> Tensor:
    matrix(name, A)
    if not pivot:
        raise RangeError(
            f"{name} with pivot=False",
            f"{name}: LU without pivoting is not implemented on the CPU.",
            "pivot=True",
        )
    return elimination.lu(A, check=name if check else "")


def _unpacked(packed: Tensor) -> tuple[Tensor, Tensor]:
    """LU, and int32 pivots from 1 on."""
    m, n = packed.aval.shape[-2], packed.aval.shape[-1] - 1
    rows = mx.as_vector(mx.transposed(mx.rows(mx.columns(packed, n, n + 1), 0, min(m, n))))
    return mx.columns(packed, 0, n), cast(rows.detach(), int32)  # type: ignore[attr-defined]


def lu_factor(A: Tensor, *, pivot: bool = True) -> LUFactor:
    """L and U of ``A = P L U`` in one matrix, and pivots, for ``lu_solve``.

    Args:
        A: ``(*, m, n)``.
        pivot: must be true on the CPU.

    Returns:
        ``(LU, pivots)``: ``LU`` of the shape of ``A``, L (with ones on its diagonal) below the
        diagonal; ``pivots`` int32 ``(*, min(m, n))``: row i was exchanged with row
        ``pivots[i] - 1``, for all i in order.

    Raises:
        LinAlgError: U has a zero on its diagonal.

    Example:
        >>> import fusegrad as fg
        >>> LU, pivots = fg.linalg.lu_factor(fg.tensor([[1.0, 2.0], [2.0, 2.0]]))
        >>> LU.tolist(), pivots.tolist()
        ([[2.0, 2.0], [0.5, 1.0]], [2, 2])
    """
    return LUFactor(*_unpacked(_packed("linalg.lu_factor", A, pivot, True)))


def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False) -> LUFactorEx:
    """``lu_factor`` that reports a zero on the diagonal of U in ``info`` instead of raising.

    Example:
        >>> import fusegrad as fg
        >>> fg.linalg.lu_factor_ex(fg.zeros(2, 2)).info.item()
        1
    """
    packed = _packed("linalg.lu_factor_ex", A, pivot, check_errors)
    info = elimination.pivot_info(packed.detach())  # type: ignore[attr-defined]
    return LUFactorEx(*_unpacked(packed), info)


def split_lu(factors: Tensor) -> tuple[Tensor, Tensor]:
    """L ``(*, m, k)`` and U ``(*, k, n)`` from one matrix."""
    m, n = factors.aval.shape[-2:]
    k = min(m, n)
    left = mx.columns(factors, 0, k)
    L = ew.add(mx.tril(left, -1), Tensor(mx.identity(left.aval)))
    return L, mx.triu(mx.rows(factors, 0, k))


def permutation_matrix(rows: Tensor, m: int, like: Tensor) -> Tensor:
    """P of ``A = P L U`` for pivot rows counted from 0."""
    order = elimination.permutation(rows.detach(), rows=m, inverse=False)  # type: ignore[attr-defined]
    shape = (*order.aval.shape, m)
    down = Tensor(mx.row_numbers(shape))
    here = broadcast_to(reshape(order, *order.aval.shape[:-1], 1, m), shape)
    return cast(cmp.eq(down, here), like.dtype)


def lu(A: Tensor, *, pivot: bool = True) -> LU:
    """P, L and U of ``A = P L U``.

    Args:
        A: ``(*, m, n)``.
        pivot: must be true on the CPU.

    Returns:
        ``(P, L, U)``: ``(*, m, m)``, ``(*, m, k)`` and ``(*, k, n)`` with ``k = min(m, n)``.

    Example:
        >>> import fusegrad as fg
        >>> P, L, U = fg.linalg.lu(fg.tensor([[1.0, 2.0], [2.0, 2.0]]))
        >>> P.tolist(), L.tolist(), U.tolist()
        ([[0.0, 1.0], [1.0, 0.0]], [[1.0, 0.0], [0.5, 1.0]], [[2.0, 2.0], [0.0, 1.0]])
    """
    packed = _packed("linalg.lu", A, pivot, False)
    factors, pivots = _unpacked(packed)
    rows = elimination.pivot_rows(packed.detach(), pivots.aval.shape[-1])  # type: ignore[attr-defined]
    return LU(permutation_matrix(rows, A.aval.shape[-2], A), *split_lu(factors))


# --- LDL ------------------------------------------------------------------------------------------
def _ldl(name: str, A: Tensor, hermitian: bool, check: bool) -> Tensor:
    square(name, A)
    return elimination.ldl(A.detach(), hermitian=bool(hermitian), check=name if check else "")  # type: ignore[attr-defined]


def ldl_factor(A: Tensor, *, hermitian: bool = False) -> LDLFactor:
    """L and D of ``P A P^T = L D L^T`` in one matrix, and pivots, for ``ldl_solve``.

    Args:
        A: ``(*, n, n)``, symmetric or Hermitian; the lower triangle is read.
        hermitian: whether complex matrices are Hermitian.

    Returns:
        ``(LD, pivots)`` as LAPACK's sytrf has them. Not differentiable.

    Example:
        >>> import fusegrad as fg
        >>> fg.linalg.ldl_factor(fg.tensor([[4.0, 2.0], [2.0, 3.0]])).LD.tolist()
        [[4.0, 0.0], [0.5, 2.0]]
    """
    return LDLFactor(*_unpacked(_ldl("linalg.ldl_factor", A, hermitian, True)))


def ldl_factor_ex(A: Tensor, *, hermitian: bool = False, check_errors: bool = False) -> LDLFactorEx:
    """``ldl_factor`` that reports a zero block of D in ``info`` instead of raising.

    Example:
        >>> import fusegrad as fg
        >>> fg.linalg.ldl_factor_ex(fg.zeros(2, 2)).info.item()
        1
    """
    packed = _ldl("linalg.ldl_factor_ex", A, hermitian, check_errors)
    return LDLFactorEx(*_unpacked(packed), elimination.pivot_info(packed))


# --- QR -------------------------------------------------------------------------------------------
def qr(A: Tensor, mode: str = "reduced") -> QR:
    """Q with orthonormal columns and upper triangular R with ``A = Q R``.

    Args:
        A: ``(*, m, n)``.
        mode: 'reduced': Q ``(*, m, k)`` and R ``(*, k, n)`` with ``k = min(m, n)``; 'complete':
            Q ``(*, m, m)`` and R ``(*, m, n)``; 'r': an empty Q and the reduced R.

    Raises:
        RuntimeError: another mode; in the backward pass, mode 'r', or 'complete' for m > n.

    The derivative is that of Walter and Lehmann 2010.

    Example:
        >>> import fusegrad as fg
        >>> Q, R = fg.linalg.qr(fg.tensor([[3.0], [4.0]]))
        >>> R.abs().tolist()
        [[5.0]]
    """
    matrix("linalg.qr", A)
    option("linalg.qr", "mode", mode, ("reduced", "complete", "r"))
    out = spectral.qr(A, mode=mode)
    if mode == "r":
        return QR(Tensor(mx.zeros(A.aval._replace(shape=(0,)))), out)
    return QR(*spectral.qr_parts(out, A.aval, mode))


def householder_matrices(name: str, reflectors: Tensor, tau: Tensor) -> tuple[Tensor, Tensor]:
    """V and T of ``H_1 ... H_k = I - V T V^H`` for reflectors below a diagonal.

    The triangular T solves ``(I + D striu(V^H V)) T = D`` with ``D = diag(tau)``
    (C. Puglisi 1992, "Modification of the Householder method based on the compact WY
    representation"), which stands where a tau is zero, too.
    """
    matrix(name, reflectors)
    same_dtype(name, reflectors, tau)
    k = tau.aval.shape[-1] if tau.aval.ndim else 0
    if tau.aval.shape[:-1] != reflectors.aval.shape[:-2] or k > reflectors.aval.shape[-1]:
        raise ShapeError(
            f"{name} of {reflectors.aval} with tau {tau.aval}",
            f"{name}: tau has the batch axes of the matrix and at most a number for each column.",
        )
    left = mx.columns(reflectors, 0, k)
    V = ew.add(mx.tril(left, -1), Tensor(mx.identity(left.aval)))
    inner = mx.scale_rows(mx.triu(mx.matmul(mx.adjoint(V), V), 1), tau)
    return V, ops.solve_triangle(inner, mx.embedded(tau), upper=True, unit=True)


def householder_product(A: Tensor, tau: Tensor) -> Tensor:
    """The first n columns of a product of Householder reflections.

    Args:
        A: ``(*, m, n)`` with m >= n; reflectors below the diagonal, as from ``fg.geqrf``.
        tau: ``(*, k)`` with k <= n, their factors.

    Returns:
        ``(*, m, n)``: columns of ``H_1 ... H_k`` with ``H_i = I - tau_i v_i v_i^H``.

    Example:
        >>> import fusegrad as fg
        >>> fg.linalg.householder_product(fg.tensor([[1.0], [0.0]]), fg.tensor([2.0])).tolist()
        [[-1.0], [0.0]]
    """
    name = "linalg.householder_product"
    matrix(name, A)
    m, n = A.aval.shape[-2:]
    if m < n:
        raise ShapeError(
            f"{name} of {A.aval}",
            f"{name}: input.shape[-2] must be greater than or equal to input.shape[-1].",
        )
    V, T = householder_matrices(name, A, tau)
    moved = mx.matmul(V, mx.matmul(T, mx.columns(mx.adjoint(V), 0, n)))
    return ew.sub(Tensor(mx.identity(A.aval)), moved)
