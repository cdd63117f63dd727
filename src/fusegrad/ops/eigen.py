"""Eigenvalues as records of kind host; see ``linalg.py``. Source: M. Giles 2008."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtypes import complex_dtype, real_dtype
from ..errors import LinAlgError
from ..ir.aval import Aval, aval_of
from ..ir.primitive import Primitive
from . import matrix as mx
from .elementwise import add, sub
from .linalg import definite, drawn, host, regular, solve, square
from .spectral import converged, phase_free


# --- Hermitian eigenvalues ------------------------------------------------------------------------
def _eig_aval(name: str) -> Any:
    def rule(a: Aval) -> Aval:
        square(name, a)
        return Aval((*a.shape[:-2], a.shape[-1] + 1, a.shape[-1]), a.dtype)

    return rule


def split_eig(packed: Any) -> tuple[Any, Any]:
    """Eigenvalues and eigenvectors of a packed decomposition."""
    n = aval_of(packed).shape[-1]
    return mx.as_vector(mx.rows(packed, 0, 1)), mx.rows(packed, 1, n + 1)


def _finite(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Matrices without nan and inf, and a factor that is nan where there was one, else 1.

    As in PyTorch such a matrix has eigenvalues nan and is no error.
    """
    good = np.isfinite(np.tril(a)).all((-2, -1))
    clean = a if good.all() else np.where(good[..., None, None], a, 0)
    return clean, np.where(good, 1, np.nan).astype(a.real.dtype)


def _eigh_reference(a: np.ndarray) -> np.ndarray:
    clean, good = _finite(a)
    values, vectors = converged("eigh", np.linalg.eigh, clean)
    values, vectors = values * good[..., None], vectors * good[..., None, None]
    return np.concatenate([values[..., None, :].astype(a.dtype), vectors], -2)


def _eigh_rule(g: Any, out: Any) -> Any:
    """Giles 2008. Equal eigenvalues matter only where the loss sees their vectors."""
    values, vectors = split_eig(out)
    gvalues, gvectors = split_eig(g)
    inner = mx.skew_part(mx.matmul(mx.adjoint(vectors), gvectors))
    on = mx.real(gvalues)
    if aval_of(out).dtype.is_complex:  # the phases are zero, but they are looked at
        on = add(on, mx.real(phase_free(mx.diagonal(inner), name="linalg.eigh")))
    inner = mx.quotient(mx.off_diagonal(inner), mx.differences(values))
    inner = add(inner, mx.embedded(on))
    return mx.matmul(mx.matmul(vectors, inner), mx.adjoint(vectors))


def _eigh_tangent(t: Any, out: Any) -> Any:
    values, vectors = split_eig(out)
    inner = mx.matmul(mx.adjoint(vectors), mx.matmul(mx.hermitian_part(t), vectors))
    moved = mx.quotient(mx.off_diagonal(inner), mx.differences(values))
    n = aval_of(t).shape[-1]
    dvalues = mx.as_row(mx.real(mx.diagonal(inner)))
    return mx.stacked([dvalues, mx.matmul(vectors, moved)], n + 1, n)


eigh: Primitive = host(
    "eigh",
    ("a",),
    _eig_aval("eigh"),
    _eigh_reference,
    drawn(definite, ([(3, 3)], {}), ([(2, 4, 4)], {}), ([(0, 0)], {})),
    derivs=(_eigh_rule,),
    jvps=(_eigh_tangent,),
    holomorphic=False,
    hermitian=True,
    doc="Ascending eigenvalues as a row over the eigenvectors, from the lower triangle.",
)


def _eigvalsh_reference(a: np.ndarray) -> np.ndarray:
    clean, good = _finite(a)
    return np.asarray(converged("eigh", np.linalg.eigvalsh, clean) * good[..., None])


def _eigvalsh_rule(g: Any, a: Any) -> Any:
    _, vectors = split_eig(eigh(a))
    scaled = mx.scale_columns(vectors, mx.as_dtype(g, aval_of(vectors).dtype))
    return mx.matmul(scaled, mx.adjoint(vectors))


def _eigvalsh_tangent(t: Any, a: Any) -> Any:
    _, vectors = split_eig(eigh(a))
    inner = mx.matmul(mx.adjoint(vectors), mx.matmul(mx.hermitian_part(t), vectors))
    return mx.real_values(mx.diagonal(inner))


eigvalsh: Primitive = host(
    "eigvalsh",
    ("a",),
    lambda a: Aval(_eig_aval("eigvalsh")(a).shape[:-2] + a.shape[-1:], real_dtype(a.dtype)),
    _eigvalsh_reference,
    drawn(definite, ([(3, 3)], {}), ([(2, 4, 4)], {}), ([(0, 0)], {})),
    derivs=(_eigvalsh_rule,),
    jvps=(_eigvalsh_tangent,),
    holomorphic=False,
    hermitian=True,
    doc="Ascending eigenvalues of Hermitian matrices; see svdvals.",
)


# --- eigenvalues ----------------------------------------------------------------------------------
def _general_aval(a: Aval) -> Aval:
    packed = _eig_aval("eig")(a)
    return Aval(packed.shape, complex_dtype(a.dtype))


def _eig_reference(a: np.ndarray) -> np.ndarray:
    if not np.isfinite(a).all():
        raise LinAlgError(
            f"linalg.eig of matrices of shape {list(a.shape)}",
            "torch.linalg.eig: input tensor should not contain infs or NaNs.",
            "fg.isfinite(A).all() to find nan and inf",
        )
    values, vectors = converged("eig", np.linalg.eig, a)
    packed = np.concatenate([values[..., None, :], vectors], -2)
    return packed.astype(np.result_type(a.dtype, np.complex64))


def _eig_rule(g: Any, out: Any, a_aval: Aval) -> Any:
    """Giles 2008; columns of the eigenvectors have length 1 whatever the matrix."""
    values, vectors = split_eig(out)
    gvalues, gvectors = split_eig(g)
    turned = mx.adjoint(vectors)
    inner = mx.matmul(turned, gvectors)
    length = mx.real(phase_free(mx.diagonal(inner), name="linalg.eig"))
    inner = sub(inner, mx.scale_columns(mx.matmul(turned, vectors), length))
    inner = mx.quotient(mx.off_diagonal(inner), mx.conj(mx.differences(values)))
    inner = mx.matmul(add(inner, mx.embedded(gvalues)), turned)
    out = solve(turned, inner, check="")
    return out if a_aval.dtype.is_complex else mx.real_values(out)


def _eig_tangent(t: Any, out: Any) -> Any:
    values, vectors = split_eig(out)
    n = aval_of(t).shape[-1]
    moved = mx.matmul(mx.as_dtype(t, aval_of(out).dtype), vectors)
    inner = solve(vectors, moved, check="")
    dvalues = mx.as_row(mx.diagonal(inner))
    moved = mx.matmul(vectors, mx.quotient(mx.off_diagonal(inner), mx.differences(values)))
    length = mx.real(mx.diagonal(mx.matmul(mx.adjoint(vectors), moved)))
    moved = sub(moved, mx.scale_columns(vectors, length))
    return mx.stacked([dvalues, moved], n + 1, n)


eig: Primitive = host(
    "eig",
    ("a",),
    _general_aval,
    _eig_reference,
    drawn(regular, ([(3, 3)], {}), ([(2, 4, 4)], {}), ([(0, 0)], {})),
    derivs=(_eig_rule,),
    jvps=(_eig_tangent,),
    holomorphic=False,
    doc="Eigenvalues as a row over the eigenvectors, complex for real matrices, too.",
)
