"""Singular values, eigenvalues and what is computed from them."""

from __future__ import annotations

import math
from typing import Any

from ..errors import ArgumentError, RangeError
from ..functions.norms import matrix_norm
from ..functions.shape import flip, narrow, select
from ..ops import compare as cmp
from ..ops import eigen, spectral
from ..ops import elementwise as ew
from ..ops import linalg as ops
from ..ops import matrix as mx
from ..tensor import Tensor
from .checks import SVD, Eigen, matrix, option, square
from .factors import cholesky
from .solving import count_above, tolerances


def _no_driver(name: str, driver: str | None) -> None:
    if driver is not None:
        raise RangeError(
            f"{name} with driver={driver!r}",
            f"{name}: keyword argument `driver=` is only supported on CUDA inputs.",
            "driver=None",
        )


def svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None) -> SVD:
    """``A = U diag(S) Vh``, singular values largest first.

    Args:
        A: ``(*, m, n)``.
        full_matrices: complete U ``(*, m, m)`` and Vh ``(*, n, n)``; otherwise only their first
            ``min(m, n)`` columns and rows.
        driver: must be ``None`` on the CPU.

    Returns:
        ``(U, S, Vh)``; S is real.

    Raises:
        LinAlgError: nan or inf in the matrix.

    Gradients (Townsend 2016; Wan & Zhang 2019 for the complex phase) are finite only where a loss
    that depends on vectors does so at distinct singular values; added columns have none.

    Example:
        >>> import fusegrad as fg
        >>> fg.linalg.svd(fg.tensor([[0.0, 2.0], [3.0, 0.0]])).S.tolist()
        [3.0, 2.0]
    """
    matrix("linalg.svd", A)
    _no_driver("linalg.svd", driver)
    m, n = A.aval.shape[-2:]
    full = bool(full_matrices) and m != n
    u, s, v = spectral.split_svd(spectral.svd(A, full=full), m, n, full)
    return SVD(u, mx.real_values(s), mx.adjoint(v))


def svdvals(A: Tensor, *, driver: str | None = None) -> Tensor:
    """Singular values, largest first; cheaper than ``svd``, differentiable where they repeat.

    Args:
        A: ``(*, m, n)``.

    Returns:
        real ``(*, min(m, n))``.

    Example:
        >>> import fusegrad as fg
        >>> fg.linalg.svdvals(fg.tensor([[0.0, 2.0], [3.0, 0.0]])).tolist()
        [3.0, 2.0]
    """
    matrix("linalg.svdvals", A)
    _no_driver("linalg.svdvals", driver)
    return mx.real_values(spectral.svdvals(A))


def eig(A: Tensor) -> Eigen:
    """Eigenvalues and eigenvectors of square matrices.

    Args:
        A: ``(*, n, n)``.

    Returns:
        ``(eigenvalues, eigenvectors)``, complex: ``(*, n)`` in no particular order, and vectors of
        length 1 as columns ``(*, n, n)``.

    Raises:
        RuntimeError: nan or inf; in the backward pass, a loss that depends on the phase of a
            vector, which is arbitrary.

    Example:
        >>> import fusegrad as fg
        >>> fg.linalg.eig(fg.tensor([[0.0, 1.0], [-1.0, 0.0]])).eigenvalues.imag.tolist()
        [1.0, -1.0]
    """
    square("linalg.eig", A)
    return Eigen(*eigen.split_eig(eigen.eig(A)))


def eigvals(A: Tensor) -> Tensor:
    """Eigenvalues of square matrices, complex; see ``eig``.

    Example:
        >>> import fusegrad as fg
        >>> fg.linalg.eigvals(fg.tensor([[2.0]])).tolist()
        [(2+0j)]
    """
    square("linalg.eigvals", A)
    return eigen.split_eig(eigen.eig(A))[0]


def _lower(name: str, A: Tensor, UPLO: str) -> Tensor:
    square(name, A)
    option(name, "UPLO", UPLO.upper() if isinstance(UPLO, str) else UPLO, ("L", "U"))
    return A if UPLO.upper() == "L" else mx.adjoint(A)


def eigh(A: Tensor, UPLO: str = "L") -> Eigen:
    """Eigenvalues, ascending, and orthonormal eigenvectors of Hermitian matrices.

    Args:
        A: ``(*, n, n)``, Hermitian.
        UPLO: the triangle that is read, 'L' or 'U'.

    Returns:
        ``(eigenvalues, eigenvectors)``: real ``(*, n)``, and vectors as columns ``(*, n, n)``.

    The gradient is that with respect to a Hermitian matrix; it is finite only where a loss that
    depends on vectors does so at distinct eigenvalues.

    Example:
        >>> import fusegrad as fg
        >>> fg.linalg.eigh(fg.tensor([[2.0, 0.0], [0.0, 1.0]])).eigenvalues.tolist()
        [1.0, 2.0]
    """
    values, vectors = eigen.split_eig(eigen.eigh(_lower("linalg.eigh", A, UPLO)))
    return Eigen(mx.real_values(values), vectors)


def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """Eigenvalues of Hermitian matrices, ascending; see ``eigh`` and ``svdvals``.

    Example:
        >>> import fusegrad as fg
        >>> fg.linalg.eigvalsh(fg.tensor([[2.0, 0.0], [0.0, 1.0]])).tolist()
        [1.0, 2.0]
    """
    return mx.real_values(eigen.eigvalsh(_lower("linalg.eigvalsh", A, UPLO)))


# --- rank, condition, pseudo-inverse --------------------------------------------------------------
def matrix_rank(
    A: Tensor,
    tol: Any = None,
    hermitian: bool = False,
    *,
    atol: Any = None,
    rtol: Any = None,
) -> Tensor:
    """The number of singular values above ``max(atol, rtol * largest)``.

    Args:
        A: ``(*, m, n)``.
        tol: the same as ``atol``.
        hermitian: whether matrices are Hermitian, then eigenvalues serve.
        atol, rtol: numbers, or tensors with one for each matrix; without any, ``rtol`` is
            ``max(m, n)`` times the spacing of numbers at 1.

    Returns:
        int64 ``(*)``.

    Example:
        >>> import fusegrad as fg
        >>> fg.linalg.matrix_rank(fg.tensor([[1.0, 2.0], [2.0, 4.0]])).item()
        1
    """
    name = "linalg.matrix_rank"
    matrix(name, A)
    x = A.detach()  # type: ignore[attr-defined]
    absolute, relative = tolerances(name, x, tol if atol is None else atol, _zero_for(tol, rtol))
    if hermitian:
        square(name, A)
        values = ew.abs_(mx.real_values(eigen.eigvalsh(x)))
    else:
        values = mx.real_values(spectral.svdvals(x))
    return count_above(values, absolute, relative)


def _zero_for(tol: Any, rtol: Any) -> Any:
    """``tol`` stands alone: no relative tolerance beside it."""
    return 0.0 if tol is not None and rtol is None else rtol


def pinv(
    A: Tensor, rcond: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None
) -> Tensor:
    """The pseudo-inverse of Moore and Penrose.

    Args:
        A: ``(*, m, n)``.
        rcond: the same as ``rtol``.
        hermitian: whether matrices are Hermitian, then eigenvalues serve (one triangle is read).
        atol, rtol: as in ``matrix_rank``; singular values up to that count as zero.

    Returns:
        ``(*, n, m)``. Its derivative (Golub & Pereyra 1973) takes the rank as fixed.

    Example:
        >>> import fusegrad as fg
        >>> fg.linalg.pinv(fg.tensor([[2.0, 0.0], [0.0, 0.0]])).tolist()
        [[0.5, 0.0], [0.0, 0.0]]
    """
    name = "linalg.pinv"
    matrix(name, A)
    absolute, relative = tolerances(name, A, atol, rcond if rtol is None else rtol)
    if hermitian:
        square(name, A)
    return spectral.pinv(A, absolute, relative, hermitian=bool(hermitian))


def cond(A: Tensor, p: Any = None) -> Tensor:
    """The condition number ``norm(A, p) * norm(A^-1, p)``.

    Args:
        A: ``(*, m, n)`` for p ``None``, 2 and -2, otherwise ``(*, n, n)``.
        p: a matrix norm; ``None`` is 2.

    Returns:
        real ``(*)``; inf for singular matrices.

    Example:
        >>> import fusegrad as fg
        >>> fg.linalg.cond(fg.tensor([[4.0, 0.0], [0.0, 2.0]])).item()
        2.0
    """
    name = "linalg.cond"
    matrix(name, A)
    if p not in (None, "fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf):
        raise RangeError(f"{name} with p={p!r}", f"{name} got an invalid norm type: {p}.", "p=2")
    if p in (None, 2, -2):
        values = svdvals(A)
        if values.aval.shape[-1] == 0:
            raise RangeError(f"{name} of {A.aval}", "An empty matrix has no condition number.")
        first, last = select(values, -1, 0), select(values, -1, -1)
        return ew.div(last, first) if p == -2 else ew.div(first, last)
    square(name, A)
    inverse = ops.solve(A, Tensor(mx.identity(A.aval)), check="")
    out = ew.mul(matrix_norm(A, p), matrix_norm(_nothing_for_nan(inverse), p))
    return cmp.where(mx.any_nan(inverse), math.inf, out)


def _nothing_for_nan(x: Tensor) -> Tensor:
    return cmp.where(cmp.isnan(x.detach()), 0.0, x)  # type: ignore[attr-defined]


def lobpcg(
    A: Tensor,
    k: int | None = None,
    B: Tensor | None = None,
    X: Tensor | None = None,
    n: int | None = None,
    iK: Tensor | None = None,
    niter: int | None = None,
    tol: float | None = None,
    largest: bool | None = None,
    method: str | None = None,
    tracker: None = None,
    ortho_iparams: Any = None,
    ortho_fparams: Any = None,
    ortho_bparams: Any = None,
) -> tuple[Tensor, Tensor]:
    """The k largest (or smallest) eigenvalues of ``A x = e B x`` and their vectors.

    Computed by ``eigh`` of the whole matrix, which is what the iteration of that name converges
    to; its start ``X`` (which tells k), preconditioner, tolerances and options are accepted.

    Args:
        A: ``(*, m, m)``, Hermitian, with m >= 3 k.
        k: how many; 1 when neither ``k`` nor ``X`` is given.
        B: Hermitian positive definite; the identity when ``None``.
        largest: which end of the spectrum.

    Returns:
        eigenvalues ``(*, k)``, the outermost first, and vectors ``(*, m, k)`` with ``X^H B X = I``.

    Raises:
        ValueError: m < 3 k.

    Example:
        >>> import fusegrad as fg
        >>> fg.lobpcg(fg.diag(fg.tensor([1.0, 3.0, 2.0])))[0].tolist()
        [3.0]
    """
    m = square("lobpcg", A)
    count = k if k is not None else 1 if X is None else X.aval.shape[-1]
    if m < 3 * count:
        raise ArgumentError(
            f"lobpcg of {A.aval} with k={count}",
            f"It is not applicable when the number of A rows (={m}) is smaller than 3 x the "
            f"number of requested eigenpairs (={count}).",
            "fg.linalg.eigh",
        )
    factor = None if B is None else mx.adjoint(cholesky(B))
    inner = A
    if factor is not None:  # U^-H A U^-1 for B = U^H U
        inner = ops.triangular_right(factor, A, upper=True)
        inner = ops.solve_triangle(mx.adjoint(factor), inner, upper=False)
    values, vectors = eigh(inner)
    if largest is None or largest:
        values, vectors = flip(values, -1), flip(vectors, -1)
    vectors = mx.columns(vectors, 0, count)
    if factor is not None:
        vectors = ops.solve_triangle(factor, vectors, upper=True)
    return narrow(values, -1, 0, count), vectors
