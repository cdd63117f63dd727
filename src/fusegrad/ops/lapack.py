"""NumPy evaluations behind the linear algebra records, batched over leading axes.

``numpy.linalg`` calls LAPACK for whole tasks (solve, QR, SVD, eigenvalues); what it does not expose
is written here in blocks, so that the work is in its matrix products: LU with partial pivoting,
triangular substitution, the symmetric indefinite factorisation, the matrix exponential.
Numbering of pivots and of failing minors is LAPACK's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import LinAlgError

Array = np.ndarray
BLOCK = 64  # columns that one LAPACK call substitutes; its factorisation costs more beyond


def adjoint(x: Array) -> Array:
    """The conjugate transpose of every matrix."""
    return np.swapaxes(x, -1, -2).conj()


def batch_of(x: Array) -> Array:
    """The matrices along one leading axis."""
    return x.reshape(math.prod(x.shape[:-2]), *x.shape[-2:])


def place_in_batch(batch: Sequence[int], number: int) -> str:
    """``(Batch element 3): ``, empty without a batch."""
    return f"(Batch element {number}): " if batch else ""


def magnitude(x: Array) -> Array:
    """What LAPACK compares: ``|x|``, for complex numbers ``|re| + |im|``."""
    return np.abs(x.real) + np.abs(x.imag) if x.dtype.kind == "c" else np.abs(x)


# --- general systems ------------------------------------------------------------------------------
def solve(a: Array, b: Array, check: str) -> Array:
    """``a^-1 b``; a singular matrix raises when ``check`` names the caller, else gives nan."""
    try:
        return np.linalg.solve(a, b)
    except np.linalg.LinAlgError:
        pass
    flat, right = batch_of(a), batch_of(b)
    out = np.full_like(right, np.nan)
    for k, (matrix, rhs) in enumerate(zip(flat, right, strict=True)):
        try:
            out[k] = np.linalg.solve(matrix, rhs)
        except np.linalg.LinAlgError:
            if check:
                raise _singular(check, matrix, a.shape[:-2], k) from None
    return out.reshape(b.shape)


def _singular(check: str, matrix: Array, batch: Sequence[int], number: int) -> LinAlgError:
    where = place_in_batch(batch, number)
    order = int(first_zero(lu(matrix)))
    why = (
        f"{where}The diagonal element {order} is zero, the inversion could not be completed "
        "because the input matrix is singular."
        if ".inv" in check
        else f"{where}The solver failed because the input matrix is singular."
    )
    return LinAlgError(
        f"{check} of a matrix of shape {list(matrix.shape)}",
        why,
        "fg.linalg.lstsq or pinv, or a small multiple of the identity added",
    )


def triangular(a: Array, b: Array, upper: bool, unit: bool) -> Array:
    """``tri(a)^-1 b`` by substitution, blocks of rows at a time."""
    if not upper:  # reversed in both axes a lower triangle is an upper one
        return triangular(a[..., ::-1, ::-1], b[..., ::-1, :], True, unit)[..., ::-1, :]
    n = a.shape[-1]
    if n <= BLOCK:
        return _substitute(np.triu(a), b, unit)
    half = n // 2
    low = triangular(a[..., half:, half:], b[..., half:, :], True, unit)
    rest = b[..., :half, :] - a[..., :half, half:] @ low
    return np.concatenate([triangular(a[..., :half, :half], rest, True, unit), low], -2)


def _substitute(a: Array, b: Array, unit: bool) -> Array:
    """Upper triangles: LAPACK's elimination finds nothing below the diagonal and substitutes."""
    n = a.shape[-1]
    if unit:
        a[..., range(n), range(n)] = 1
    try:
        return np.linalg.solve(a, b)
    except np.linalg.LinAlgError:  # a zero on a diagonal: infinite, as substitution has it
        x = np.array(b)
        for i in reversed(range(n)):
            x[..., i, :] -= (a[..., i, None, i + 1 :] @ x[..., i + 1 :, :])[..., 0, :]
            x[..., i, :] /= a[..., i, i, None]
        return x


# --- Cholesky -------------------------------------------------------------------------------------
def cholesky(a: Array, check: str) -> Array:
    """The lower factor; a matrix that is not positive definite raises or gives nan."""
    try:
        return np.linalg.cholesky(a)
    except np.linalg.LinAlgError:
        pass
    flat = batch_of(a)
    out = np.full_like(flat, np.nan)
    for k, matrix in enumerate(flat):
        try:
            out[k] = np.linalg.cholesky(matrix)
        except np.linalg.LinAlgError:
            if check:
                raise LinAlgError(
                    f"{check} of a matrix of shape {list(matrix.shape)}",
                    f"{place_in_batch(a.shape[:-2], k)}The factorization could not be completed "
                    "because the input is not positive-definite (the leading minor of order "
                    f"{_failing_minor(matrix)} is not positive-definite).",
                    "a small multiple of the identity added",
                ) from None
    return out.reshape(a.shape)


def cholesky_info(a: Array) -> Array:
    """0, or the order of the first leading minor that is not positive definite."""
    flat = batch_of(a)
    found = [_failing_minor(matrix) for matrix in flat]
    return np.array(found, np.int32).reshape(a.shape[:-2])


def _failing_minor(a: Array) -> int:
    def fails(order: int) -> bool:
        try:
            return not np.isfinite(np.linalg.cholesky(a[:order, :order]).real).all()
        except np.linalg.LinAlgError:
            return True

    low, high = 0, len(a)
    if not fails(high):
        return 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fails(middle) else (middle, high)
    return high


# --- LU -------------------------------------------------------------------------------------------
def lu(a: Array, check: str = "") -> Array:
    """L below the diagonal, U above; as a last column the pivot rows, counted from 1.

    A zero on the diagonal of U raises when ``check`` names the caller.

    Row ``i`` was exchanged with row ``pivots[i]``, for all i in order (LAPACK's getrf; recursive:
    S. Toledo 1997, "Locality of reference in LU decomposition with partial pivoting").
    """
    m, n = a.shape[-2:]
    work = batch_of(np.array(a, order="C"))
    pivots = np.zeros((len(work), m), np.int64)
    k = min(m, n)
    pivots[:, :k] = _eliminate(work) + 1 if work.size else np.arange(1, k + 1)
    packed = np.concatenate([work, pivots[:, :, None].astype(a.dtype)], -1)
    packed = packed.reshape(*a.shape[:-1], n + 1)
    _check_pivots(
        check,
        first_zero(packed),
        "U[{0},{0}] is zero and using it on lu_solve would result in a division by zero.",
        "fg.linalg.lu(A) or lu_factor_ex(A)",
    )
    return packed


def _check_pivots(check: str, info: Array, why: str, hint: str) -> None:
    if not check or not info.any():
        return
    number = int(info.reshape(-1).nonzero()[0][0])
    order = int(info.reshape(-1)[number])
    raise LinAlgError(
        f"{check} of a singular matrix",
        place_in_batch(info.shape, number) + why.format(order),
        hint,
    )


def _eliminate(a: Array) -> Array:
    """Factor in place; rows that were exchanged with row 0, 1, ..."""
    count, m, n = a.shape
    k = min(m, n)
    if k == 0:
        return np.zeros((count, 0), np.int64)
    if n == 1:
        each = np.arange(count)
        chosen = magnitude(a[:, :, 0]).argmax(1)
        top = a[each, chosen, 0]
        a[each, chosen, 0] = a[:, 0, 0]
        a[:, 0, 0] = top
        a[:, 1:, 0] /= np.where(top == 0, 1, top)[:, None]
        return chosen[:, None]
    half = max(k // 2, 1)
    left, right = a[:, :, :half], a[:, :, half:]
    first = _eliminate(left)
    right[...] = np.take_along_axis(right, permutation(first, m)[:, :, None], 1)
    right[:, :half] = triangular(left[:, :half], right[:, :half], False, True)
    right[:, half:] -= left[:, half:] @ right[:, :half]
    if half == k:
        return first
    second = _eliminate(right[:, half:])
    below = left[:, half:]
    below[...] = np.take_along_axis(below, permutation(second, m - half)[:, :, None], 1)
    return np.concatenate([first, second + half], 1)


def permutation(pivots: Array, m: int) -> Array:
    """The order of ``m`` rows after exchanging row ``i`` with ``pivots[i]`` (from 0), in turn."""
    flat = batch_of(pivots[..., None])[..., 0]
    order = np.tile(np.arange(m, dtype=np.int64), (len(flat), 1))
    each = np.arange(len(flat))
    for i, other in enumerate(flat.T):
        order[each, i], order[each, other] = order[each, other], order[each, i].copy()
    return order.reshape(*pivots.shape[:-1], m)


def first_zero(packed: Array) -> Array:
    """LAPACK's info of a packed LU or LDL: 0, or the first k (from 1) with a zero pivot."""
    diagonal = np.diagonal(packed[..., :-1], axis1=-2, axis2=-1)
    k = diagonal.shape[-1]
    zero = (diagonal == 0) & (packed[..., :k, -1].real > 0)  # pairs of pivots are negative
    if not zero.shape[-1]:
        return np.zeros(zero.shape[:-1], np.int32)
    return np.where(zero.any(-1), zero.argmax(-1) + 1, 0).astype(np.int32)


# --- determinants ---------------------------------------------------------------------------------
def cofactor(a: Array) -> Array:
    """``det(a) a^-T``; where the matrix is close to singular, from its singular values."""
    if a.shape[-1] == 0:
        return np.array(a)
    flat = batch_of(a)
    limit = 1 / np.sqrt(np.finfo(a.dtype).eps)
    regular = np.abs(np.linalg.det(flat)) > np.finfo(a.dtype).tiny
    inverse = solve(flat, np.broadcast_to(np.eye(a.shape[-1], dtype=a.dtype), flat.shape), "")
    norms = np.linalg.norm(flat, axis=(-2, -1)) * np.linalg.norm(inverse, axis=(-2, -1))
    regular &= norms < limit
    out = np.linalg.det(flat)[:, None, None].astype(a.dtype) * np.swapaxes(inverse, -1, -2)
    if not regular.all():
        u, s, vh = np.linalg.svd(flat[~regular])
        others = np.where(np.eye(s.shape[-1], dtype=bool), 1, s[:, None, :]).prod(-1)
        sign = (np.linalg.det(u) * np.linalg.det(vh))[:, None, None]
        out[~regular] = sign * ((u.conj() * others[:, None, :]) @ vh.conj())
    return out.reshape(a.shape)


# --- Householder ----------------------------------------------------------------------------------
def geqrf(a: Array) -> Array:
    """R above the diagonal, reflectors below it; as a last row their factors tau."""
    m, n = a.shape[-2:]
    out = np.zeros((*a.shape[:-2], m + 1, n), a.dtype)
    if a.size:
        h, tau = np.linalg.qr(a, mode="raw")
        out[..., :m, :] = np.swapaxes(h, -1, -2)
        out[..., m, : tau.shape[-1]] = tau
    return out


# --- symmetric indefinite -------------------------------------------------------------------------
ALPHA = (1 + 17**0.5) / 8  # bounds the growth of elements


def ldl(a: Array, hermitian: bool, check: str = "") -> Array:
    """L and the blocks of D from the lower triangle; as a last column the pivots.

    A zero block of D raises when ``check`` names the caller.

    Diagonal pivoting with blocks of order 1 and 2 (Bunch & Kaufman 1977, LAPACK's sytf2): a pivot
    ``p > 0`` exchanged rows and columns with p, a pair ``-p`` belongs to a block of order 2.
    """
    n = a.shape[-1]
    work = batch_of(np.array(np.tril(a), order="C"))
    pivots = np.array([_diagonal_pivoting(x, hermitian) for x in work]).reshape(len(work), n, 1)
    packed = np.concatenate([work, pivots.astype(a.dtype)], -1)
    packed = packed.reshape(*a.shape[:-1], n + 1)
    _check_pivots(check, first_zero(packed), "D[{0},{0}] is zero.", "fg.linalg.ldl_factor_ex(A)")
    return packed


def _diagonal_pivoting(a: Array, hermitian: bool) -> list[int]:
    n, k = len(a), 0
    pivots = [0] * n
    star: Callable[[Any], Any] = np.conj if hermitian else lambda x: x
    while k < n:
        step, p = _choose_pivot(a, k, hermitian)
        last = k + step - 1
        if p != last:
            _exchange(a, k, last, p, step, star)
        if step == 1:
            if a[k, k] != 0:
                factor = a[k + 1 :, k] / a[k, k]
                a[k + 1 :, k + 1 :] -= np.tril(np.outer(factor, star(a[k + 1 :, k])))
                a[k + 1 :, k] = factor
            pivots[k] = p + 1
        else:
            d = np.array([[a[k, k], star(a[k + 1, k])], [a[k + 1, k], a[k + 1, k + 1]]])
            block = a[k + 2 :, k : k + 2]
            factors = np.linalg.solve(d.T, block.T).T
            a[k + 2 :, k + 2 :] -= np.tril(factors @ star(block).T)
            a[k + 2 :, k : k + 2] = factors
            pivots[k] = pivots[k + 1] = -(p + 1)
        if hermitian:
            diagonal = np.arange(n)
            a[diagonal, diagonal] = a[diagonal, diagonal].real
        k += step
    return pivots


def _choose_pivot(a: Array, k: int, hermitian: bool) -> tuple[int, int]:
    """The order of the next block and the row that comes to its last place."""
    size = (lambda x: np.abs(x.real)) if hermitian else magnitude
    here = float(size(a[k, k]))
    below = magnitude(a[k + 1 :, k])
    column = float(below.max()) if len(below) else 0.0
    if max(here, column) == 0 or here >= ALPHA * column:
        return 1, k
    r = k + 1 + int(below.argmax())
    across = np.concatenate([magnitude(a[r, k:r]), magnitude(a[r + 1 :, r])])
    row = float(across.max())
    if here >= ALPHA * column * (column / row):
        return 1, k
    if float(size(a[r, r])) >= ALPHA * row:
        return 1, r
    return 2, r


def _exchange(a: Array, k: int, i: int, p: int, step: int, star: Callable[[Any], Any]) -> None:
    """Exchange rows and columns i < p of a lower triangle, as far as they are not factored."""
    a[p + 1 :, [i, p]] = a[p + 1 :, [p, i]]
    between = a[i + 1 : p, i].copy()
    a[i + 1 : p, i] = star(a[p, i + 1 : p])
    a[p, i + 1 : p] = star(between)
    a[p, i] = star(a[p, i])
    a[i, i], a[p, p] = a[p, p], a[i, i]
    if step == 2:
        a[i, k], a[p, k] = a[p, k], a[i, k]


def ldl_solve(ld: Array, pivots: Array, b: Array, hermitian: bool) -> Array:
    """``a^-1 b`` from the factors of ``ldl``."""
    n = ld.shape[-1]
    out = batch_of(np.array(b, order="C"))
    rows = zip(batch_of(ld), pivots.reshape(len(out), n), out, strict=True)
    star: Callable[[Any], Any] = np.conj if hermitian else lambda x: x
    for factor, pivot, x in rows:
        steps, k = [], 0
        while k < n:
            width = 1 if pivot[k] > 0 else 2
            last = k + width - 1
            steps.append((k, width, last, abs(int(pivot[k])) - 1))
            k += width
        for k, width, last, p in steps:
            x[[last, p]] = x[[p, last]]
            x[k + width :] -= factor[k + width :, k : k + width] @ x[k : k + width]
        for k, width, _, _ in reversed(steps):
            d = np.tril(factor[k : k + width, k : k + width])
            d = d + star(np.tril(d, -1)).T
            x[k : k + width] = np.linalg.solve(d, x[k : k + width])
        for k, width, last, p in reversed(steps):
            below = factor[k + width :, k : k + width]
            x[k : k + width] -= star(below).T @ x[k + width :]
            x[[last, p]] = x[[p, last]]
    return out.reshape(b.shape)


# --- matrix exponential ---------------------------------------------------------------------------
# Numerators of the [13/13] Padé approximant, and the norms up to which smaller ones serve
# (N. J. Higham 2005, "The scaling and squaring method for the matrix exponential revisited").
PADE = {
    3: (120, 60, 12, 1),
    5: (30240, 15120, 3360, 420, 30, 1),
    7: (17297280, 8648640, 1995840, 277200, 25200, 1512, 56, 1),
    9: (
        17643225600, 8821612800, 2075673600, 302702400, 30270240, 2162160, 110880, 3960, 90, 1,
    ),
    13: (
        64764752532480000, 32382376266240000, 7771770303897600, 1187353796428800,
        129060195264000, 10559470521600, 670442572800, 33522128640, 1323241920, 40840800,
        960960, 16380, 182, 1,
    ),
}  # fmt: skip
LIMITS = {3: 1.495585217958292e-2, 5: 2.53939833006323e-1, 7: 0.950417899616293, 9: 2.0978, 13: 5.3}


def exponential(a: Array) -> Array:
    """``sum a^k / k!``; matrices of like norm are computed together."""
    if a.size == 0:
        return np.array(a)
    flat = batch_of(a)
    norms = np.abs(flat).sum(-2).max(-1)
    out = np.full_like(flat, np.nan)
    finite = np.isfinite(norms)
    squarings = np.where(
        finite, np.ceil(np.log2(np.maximum(norms, LIMITS[13]) / LIMITS[13])), -1
    ).astype(np.int64)
    order = np.select([norms <= LIMITS[m] for m in PADE], list(PADE), 13)
    for key in {(int(s), int(m)) for s, m in zip(squarings, order, strict=True) if s >= 0}:
        chosen = (squarings == key[0]) & (order == key[1])
        out[chosen] = _pade(flat[chosen], *key)
    return out.reshape(a.shape)


def _pade(a: Array, squarings: int, order: int) -> Array:
    a = a / a.dtype.type(2.0**squarings)
    eye = np.eye(a.shape[-1], dtype=a.dtype)
    square, c = a @ a, [a.dtype.type(x / PADE[order][0]) for x in PADE[order]]
    even, odd, power = c[0] * eye, c[1] * eye, eye
    for k in range(2, order, 2):
        power = power @ square
        even, odd = even + c[k] * power, odd + c[k + 1] * power
    odd = a @ odd
    x = np.linalg.solve(even - odd, even + odd)
    for _ in range(squarings):
        x = x @ x
    return x
