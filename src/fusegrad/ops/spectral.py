"""QR, singular values and the pseudo-inverse as records of kind host; see ``linalg.py``.

Sources: S. F. Walter and L. Lehmann 2010, "Algorithmic differentiation of linear algebra functions
with application in optimum experimental design" (QR); J. Townsend 2016, "Differentiating the
singular value decomposition", with the complex phase of Z.-Q. Wan and S.-X. Zhang 2019, "Automatic
differentiation for complex valued SVD"; G. H. Golub and V. Pereyra 1973 (pseudo-inverse);
M. Giles 2008 (eigenvalues).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtypes import DType, real_dtype
from ..errors import GradientError, LinAlgError, ShapeError
from ..ir.aval import Aval, aval_of
from ..ir.primitive import Primitive
from . import lapack
from . import matrix as mx
from .elementwise import add, mul, sub
from .linalg import drawn, host, regular, triangular_right
from .samples import Drawn


def _matrix(name: str, a: Aval) -> tuple[int, int, int]:
    """Rows, columns and the smaller of them."""
    if a.ndim < 2:
        raise ShapeError(f"{name} of {a}", "It takes matrices.")
    m, n = a.shape[-2:]
    return m, n, min(m, n)


# --- QR -------------------------------------------------------------------------------------------
def _qr_aval(a: Aval, mode: str) -> Aval:
    m, n, k = _matrix("qr", a)
    if mode == "r":
        return Aval((*a.shape[:-2], k, n), a.dtype)
    return Aval((*a.shape[:-1], (m if mode == "complete" else k) + n), a.dtype)


def _qr_reference(a: np.ndarray, mode: str) -> np.ndarray:
    n = a.shape[-1]
    shape = _qr_aval(aval_of(a), mode).shape
    out = np.zeros(shape, a.dtype)
    width = shape[-1] - n
    if a.size == 0:
        if mode != "r":
            out[..., range(width), range(width)] = 1
        return out
    if mode == "r":
        return np.asarray(np.linalg.qr(a, mode="r"))
    q, r = np.linalg.qr(a, mode="complete" if mode == "complete" else "reduced")
    out[..., :width] = q
    out[..., : r.shape[-2], width:] = r
    return out


def qr_parts(out: Any, a: Aval, mode: str) -> tuple[Any, Any]:
    """Q and R of a packed factorisation."""
    m, n, k = _matrix("qr", a)
    width = m if mode == "complete" else k
    return mx.columns(out, 0, width), mx.rows(mx.columns(out, width, width + n), 0, width)


def _differentiable_qr(a: Aval, mode: str) -> None:
    if mode == "r":
        raise GradientError(
            "the derivative of linalg.qr(mode='r')",
            "The derivative depends on Q, which is not computed when mode='r'.",
            "fg.linalg.qr(A, mode='reduced')",
        )
    if mode == "complete" and a.shape[-2] > a.shape[-1]:
        raise GradientError(
            f"the derivative of linalg.qr(mode='complete') of {a}",
            "The QR decomposition is not differentiable when mode='complete' and "
            "nrows > ncols: the last columns of Q are arbitrary.",
            "mode='reduced'",
        )


def _qr_rule(g: Any, out: Any, a_aval: Aval, mode: str) -> Any:
    """Walter & Lehmann 2010; columns beyond the square block are A2 = Q R2."""
    _differentiable_qr(a_aval, mode)
    m, n, k = _matrix("qr", a_aval)
    q, r = qr_parts(out, a_aval, mode)
    gq, gr = qr_parts(g, a_aval, mode)
    beside = None
    if n > k:
        others, beside = mx.columns(r, k, n), mx.columns(gr, k, n)
        gq = add(gq, mx.matmul(mx.matmul(q, others), mx.adjoint(beside)))
        beside = mx.matmul(q, beside)
        r, gr = mx.columns(r, 0, k), mx.columns(gr, 0, k)
    inner = sub(mx.matmul(gr, mx.adjoint(r)), mx.matmul(mx.adjoint(q), gq))
    half = mx.triu(inner, 1)
    inner = add(add(half, mx.adjoint(half)), mx.embedded(mx.real(mx.diagonal(inner))))
    moved = triangular_right(mx.adjoint(r), add(mx.matmul(q, inner), gq), upper=False)
    if beside is not None:
        moved = add(mx.placed(moved, m, n), mx.placed(beside, m, n, column=k))
    return moved


def _qr_tangent(t: Any, a: Any, out: Any, a_aval: Aval, mode: str) -> Any:
    _differentiable_qr(a_aval, mode)
    m, n, k = _matrix("qr", a_aval)
    q, r = qr_parts(out, a_aval, mode)
    head, lead = mx.columns(r, 0, k), mx.columns(t, 0, k)
    lead = triangular_right(head, lead, upper=True)
    inner = mx.matmul(mx.adjoint(q), lead)
    low = mx.tril(inner, -1)
    inner = add(add(mx.triu(inner, 1), mx.adjoint(low)), mx.embedded(mx.real(mx.diagonal(inner))))
    dq = sub(lead, mx.matmul(q, inner))
    moved = add(mx.placed(dq, m, k + n), mx.placed(mx.matmul(inner, head), m, k + n, column=k))
    if n > k:
        others = mx.matmul(mx.adjoint(dq), mx.columns(a, k, n))
        others = add(others, mx.matmul(mx.adjoint(q), mx.columns(t, k, n)))
        moved = add(moved, mx.placed(others, m, k + n, column=2 * k))
    return moved


qr: Primitive = host(
    "qr",
    ("a",),
    _qr_aval,
    _qr_reference,
    drawn(
        regular,
        ([(3, 3)], {"mode": "reduced"}),
        ([(2, 5, 3)], {"mode": "reduced"}),
        ([(2, 4)], {"mode": "reduced"}),
        ([(2, 4)], {"mode": "complete"}),
        ([(0, 2)], {"mode": "reduced"}),
    ),
    derivs=(_qr_rule,),
    jvps=(_qr_tangent,),
    holomorphic=False,
    doc="Q and R beside each other (mode reduced or complete), or R alone (mode r).",
)


geqrf: Primitive = host(
    "geqrf",
    ("a",),
    lambda a: Aval((*a.shape[:-2], _matrix("geqrf", a)[0] + 1, a.shape[-1]), a.dtype),
    lapack.geqrf,
    drawn(regular, ([(3, 3)], {}), ([(2, 5, 3)], {}), ([(2, 4)], {}), ([(0, 2)], {})),
    "R and Householder vectors in one matrix and, as a last row, their factors tau.",
)


# --- phases ---------------------------------------------------------------------------------------
def _phase_reference(x: np.ndarray, name: str) -> np.ndarray:
    if x.size and not np.all(np.abs(x.imag) <= 1e-2):
        raise GradientError(
            f"the derivative of {name} of complex matrices",
            "The vectors are specified up to multiplication by e^{i phi}. The specified loss "
            "function depends on this phase term, making it ill-defined.",
            "a loss of absolute values, or of products v v^H",
        )
    return np.array(x)


# Raises in compiled programs, too; a comparison outside of a record has no place to raise.
phase_free: Primitive = host(
    "phase_free",
    ("x",),
    lambda x, name: x,
    _phase_reference,
    lambda rng, dtype, domain: [
        ((rng.uniform(-1, 1, s).astype(dtype.np),), {"name": "svd"}) for s in ((3,), (2, 3))
    ],
    derivs=(lambda g: g,),
    jvps=(lambda t: t,),
    doc="The operand; an imaginary part that is not small raises: a loss depends on phases.",
)


# --- singular values ------------------------------------------------------------------------------
def converged(name: str, function: Any, *args: Any, **options: Any) -> Any:
    try:
        return function(*args, **options)
    except np.linalg.LinAlgError:
        raise LinAlgError(
            f"linalg.{name} of matrices of shape {list(args[0].shape)}",
            "The algorithm failed to converge because the input matrix is ill-conditioned or has "
            "too many repeated values, or contains nan or inf.",
            "fg.isfinite(A).all() to find nan and inf",
        ) from None


def _svd_aval(a: Aval, full: bool) -> Aval:
    m, n, k = _matrix("svd", a)
    return Aval((*a.shape[:-2], m + 1 + n, max(m, n) if full else k), a.dtype)


def _svd_reference(a: np.ndarray, full: bool) -> np.ndarray:
    m, n = a.shape[-2:]
    k = min(m, n)
    u, s, vh = converged("svd", np.linalg.svd, a, full_matrices=full)
    out = np.zeros(_svd_aval(aval_of(a), full).shape, a.dtype)
    out[..., :m, : u.shape[-1]] = u
    out[..., m, :k] = s
    out[..., m + 1 :, : vh.shape[-2]] = lapack.adjoint(vh)
    return out


def split_svd(packed: Any, m: int, n: int, full: bool) -> tuple[Any, Any, Any]:
    """U, S and V of a packed decomposition."""
    k = min(m, n)
    u = mx.columns(mx.rows(packed, 0, m), 0, m if full else k)
    v = mx.columns(mx.rows(packed, m + 1, m + 1 + n), 0, n if full else k)
    return u, mx.as_vector(mx.columns(mx.rows(packed, m, m + 1), 0, k)), v


def svd_parts(a: Any) -> tuple[Any, Any, Any]:
    """U, S and V^H of a matrix."""
    m, n = aval_of(a).shape[-2:]
    u, s, v = split_svd(svd(a, full=False), m, n, False)
    return u, s, mx.adjoint(v)


def _reduced(packed: Any, a: Aval, full: bool) -> tuple[Any, Any, Any]:
    m, n, k = _matrix("svd", a)
    u, s, v = split_svd(packed, m, n, full)
    return mx.columns(u, 0, k), s, mx.columns(v, 0, k)


def _svd_rule(g: Any, out: Any, a_aval: Aval, full: bool) -> Any:
    """Townsend 2016. Equal singular values matter only where the loss sees their vectors."""
    m, n, k = _matrix("svd", a_aval)
    u, s, v = _reduced(out, a_aval, full)
    gu, gs, gv = _reduced(g, a_aval, full)
    gaps = mx.differences(mul(s, s))
    left = mul(mx.skew_part(mx.matmul(mx.adjoint(u), gu)), 2.0)
    right = mul(mx.skew_part(mx.matmul(mx.adjoint(v), gv)), 2.0)
    inner = add(mx.scale_columns(left, s), mx.scale_rows(right, s))
    inner = mx.quotient(mx.off_diagonal(inner), gaps)
    inner = add(inner, mx.embedded(mx.real(gs)))
    if a_aval.dtype.is_complex:
        turned = mul(mx.diagonal(left), 0.5)
        free = phase_free(add(turned, mul(mx.diagonal(right), 0.5)), name="linalg.svd")
        turned = sub(free, mul(mx.diagonal(right), 0.5))
        inner = add(inner, mx.embedded(mx.quotient(turned, s)))
    moved = mx.matmul(mx.matmul(u, inner), mx.adjoint(v))
    if m > k:
        beside = mx.quotient(gu, mx.spread_rows(s, m))
        beside = sub(beside, mx.matmul(u, mx.matmul(mx.adjoint(u), beside)))
        moved = add(moved, mx.matmul(beside, mx.adjoint(v)))
    if n > k:
        beside = mx.quotient(gv, mx.spread_rows(s, n))
        beside = sub(beside, mx.matmul(v, mx.matmul(mx.adjoint(v), beside)))
        moved = add(moved, mx.matmul(u, mx.adjoint(beside)))
    return moved


def _svd_tangent(t: Any, out: Any, a_aval: Aval, full: bool) -> Any:
    m, n, k = _matrix("svd", a_aval)
    u, s, v = _reduced(out, a_aval, full)
    gaps = mx.differences(mul(s, s))
    inner = mx.matmul(mx.adjoint(u), mx.matmul(t, v))
    symmetric = mx.scale_columns(inner, s)
    symmetric = mx.quotient(mx.off_diagonal(add(symmetric, mx.adjoint(symmetric))), gaps)
    du = mx.matmul(u, symmetric)
    other = mx.scale_rows(inner, s)
    other = mx.quotient(mx.off_diagonal(add(other, mx.adjoint(other))), gaps)
    dv = mx.matmul(v, other)
    if a_aval.dtype.is_complex:
        phase = mx.quotient(mx.diagonal(mx.skew_part(inner)), s)
        du = add(du, mx.scale_columns(u, phase))
    if m > k:
        beside = mx.quotient(mx.matmul(t, v), mx.spread_rows(s, m))
        du = add(du, sub(beside, mx.matmul(u, mx.matmul(mx.adjoint(u), beside))))
    if n > k:
        beside = mx.quotient(mx.matmul(mx.adjoint(t), u), mx.spread_rows(s, n))
        dv = add(dv, sub(beside, mx.matmul(v, mx.matmul(mx.adjoint(v), beside))))
    ds = mx.as_row(mx.real(mx.diagonal(inner)))
    return mx.stacked([du, ds, dv], m + 1 + n, aval_of(out).shape[-1])


svd: Primitive = host(
    "svd",
    ("a",),
    _svd_aval,
    _svd_reference,
    drawn(
        regular,
        ([(3, 3)], {"full": False}),
        ([(2, 4, 2)], {"full": False}),
        ([(2, 3)], {"full": False}),
        ([(0, 2)], {"full": False}),
    ),
    derivs=(_svd_rule,),
    jvps=(_svd_tangent,),
    holomorphic=False,
    doc="U, S as a row, and V below each other, of a = U diag(S) V^H.",
)


def _values(a: Aval) -> Aval:
    return Aval((*a.shape[:-2], _matrix("svdvals", a)[2]), real_dtype(a.dtype))


def _svdvals_rule(g: Any, a: Any) -> Any:
    u, _, vh = svd_parts(a)
    return mx.matmul(mx.scale_columns(u, mx.as_dtype(g, aval_of(u).dtype)), vh)


def _svdvals_tangent(t: Any, a: Any) -> Any:
    u, _, vh = svd_parts(a)
    inner = mx.matmul(mx.adjoint(u), mx.matmul(t, mx.adjoint(vh)))
    return mx.real_values(mx.diagonal(inner))


# Values alone are several times cheaper, and have a derivative where the vectors have none.
svdvals: Primitive = host(
    "svdvals",
    ("a",),
    _values,
    lambda a: np.asarray(converged("svd", np.linalg.svd, a, compute_uv=False)),
    drawn(regular, ([(3, 3)], {}), ([(2, 4, 2)], {}), ([(2, 3)], {}), ([(0, 2)], {})),
    derivs=(_svdvals_rule,),
    jvps=(_svdvals_tangent,),
    holomorphic=False,
    doc="The singular values, largest first.",
)


# --- pseudo-inverse -------------------------------------------------------------------------------
def _pinv_aval(a: Aval, atol: Aval, rtol: Aval, hermitian: bool) -> Aval:
    m, n, _ = _matrix("pinv", a)
    return Aval((*a.shape[:-2], n, m), a.dtype)


def _pinv_reference(
    a: np.ndarray, atol: np.ndarray, rtol: np.ndarray, hermitian: bool
) -> np.ndarray:
    if a.size == 0:
        return np.zeros(np.swapaxes(a, -1, -2).shape, a.dtype)
    if hermitian:
        s, u = converged("pinv", np.linalg.eigh, a)
        vh = lapack.adjoint(u)
    else:
        u, s, vh = converged("pinv", np.linalg.svd, a, full_matrices=False)
    large = np.abs(s) > np.maximum(atol, rtol * np.abs(s).max(-1))[..., None]
    inverse = np.where(large, 1 / np.where(large, s, 1), 0)
    return np.asarray(lapack.adjoint(vh) @ (inverse[..., :, None] * lapack.adjoint(u)), a.dtype)


def _pinv_rule(g: Any, a: Any, out: Any) -> Any:
    g, p = mx.adjoint(g), out
    inner = mx.matmul(g, p)
    twice = mx.matmul(inner, mx.adjoint(p))
    moved = sub(twice, mx.adjoint(mx.matmul(p, inner)))
    moved = sub(moved, mx.matmul(mx.matmul(a, p), twice))
    rest = sub(g, mx.matmul(inner, a))
    return add(moved, mx.matmul(mx.matmul(mx.adjoint(p), p), rest))


def _pinv_tangent(t: Any, a: Any, out: Any) -> Any:
    p, star = out, mx.adjoint(t)
    ps = mx.adjoint(p)
    moved = mx.matmul(p, mx.matmul(ps, sub(star, mx.matmul(mx.matmul(star, a), p))))
    other = sub(star, mx.matmul(p, mx.matmul(a, star)))
    moved = add(moved, mx.matmul(other, mx.matmul(ps, p)))
    return sub(moved, mx.matmul(p, mx.matmul(t, p)))


def _pinv_samples(rng: np.random.Generator, dtype: DType, domain: Any) -> Drawn:
    rows: Drawn = []
    for shape in ((3, 3), (2, 4, 2), (2, 3), (0, 2)):
        limits = np.full(shape[:-2], 1e-6, real_dtype(dtype).np)
        rows.append(((regular(rng, shape, dtype), limits, limits.copy()), {"hermitian": False}))
    return rows


# The derivative of the SVD would divide by differences of singular values; this one does not.
pinv: Primitive = host(
    "pinv",
    ("a", "atol", "rtol"),
    _pinv_aval,
    _pinv_reference,
    _pinv_samples,
    derivs=(_pinv_rule, None, None),
    jvps=(_pinv_tangent, None, None),
    holomorphic=False,
    doc="The pseudo-inverse; singular values up to max(atol, rtol * largest) count as zero; of "
    "hermitian matrices the lower triangle is read.",
)
