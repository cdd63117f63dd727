"""Factorisations and solvers as records of kind host: LAPACK computes, rules differentiate.

A record is here where composing would cost accuracy, or where LAPACK has it and a loop of our own
would be slow. What a LAPACK routine returns in several arrays is packed into one, so that a record
has one result: LU with its pivots as a last column, eigenvalues as a first row over eigenvectors.
Functions that take them apart are compositions (``fusegrad/linalg``).

Rules of holomorphic functions multiply by transposes, which reverse mode conjugates; the others
have the adjoints themselves.

Next files: ``elimination.py`` (LU, LDL), ``spectral.py`` (QR, SVD, eigenvalues).

Sources: M. Giles 2008, "An extended collection of matrix derivative results for forward and reverse
mode algorithmic differentiation"; I. Murray 2016, "Differentiation of the Cholesky decomposition".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..dtypes import DType, int32, int64
from ..errors import DTypeError, ShapeError
from ..ir.aval import Aval, aval_of
from ..ir.primitive import Primitive, Rule
from . import lapack
from . import matrix as mx
from .compare import eq, or_, where
from .elementwise import add, mul, neg, sub
from .kinds import FIELD
from .movement import broadcast, concat, reshape
from .reduce import prod
from .samples import Drawn
from .source import iota

Shape = tuple[int, ...]
MATRIX = FIELD  # dtypes of matrices that LAPACK takes


def host(
    name: str,
    arg_names: Sequence[str],
    aval_rule: Callable[..., Aval],
    reference: Callable[..., Any],
    samples: Callable[..., Drawn],
    doc: str,
    derivs: Sequence[Rule | None] = (),
    jvps: Sequence[Rule | None] = (),
    hermitian: bool = False,
    holomorphic: bool = True,
) -> Primitive:
    """Declare a record that runs its reference inside compiled programs, too."""
    return Primitive(
        name=name,
        kind="host",
        arg_names=tuple(arg_names),
        aval_rule=aval_rule,
        reference=reference,
        derivs=tuple(derivs) or (None,) * len(arg_names),
        linearity="explicit",
        jvps=tuple(jvps) or (None,) * len(arg_names),
        samples=samples,
        dtypes=MATRIX,
        hermitian=hermitian,
        holomorphic=holomorphic,
        doc=doc,
    )


def regular(rng: np.random.Generator, shape: Shape, dtype: DType) -> np.ndarray:
    """Random matrices with singular values that are apart and away from zero."""
    m, n = shape[-2:]
    x = rng.uniform(-0.4, 0.4, shape)
    if dtype.is_complex:
        x = x + 1j * rng.uniform(-0.4, 0.4, shape)
    for k in range(min(m, n)):
        x[..., k, k] += 1.5 + k
    return x.astype(dtype.np)


def definite(rng: np.random.Generator, shape: Shape, dtype: DType) -> np.ndarray:
    """Random Hermitian matrices with positive eigenvalues that are apart."""
    x = regular(rng, shape, dtype)
    return np.asarray((x + lapack.adjoint(x)) / 2, dtype.np)


def drawn(
    make: Callable[..., np.ndarray], *rows: tuple[Sequence[Shape], dict[str, Any]]
) -> Callable[..., Drawn]:
    """Samples whose first operand comes from ``make``."""

    def samples(rng: np.random.Generator, dtype: DType, domain: tuple[float, float]) -> Drawn:
        return [
            (
                (
                    make(rng, shapes[0], dtype),
                    *[rng.uniform(-1, 1, s).astype(dtype.np) for s in shapes[1:]],
                ),
                dict(params),
            )
            for shapes, params in rows
        ]

    return samples


def square(name: str, a: Aval) -> None:
    """Refuse what is no batch of square matrices of a floating dtype."""
    if a.dtype.category < 2 or a.dtype.itemsize < 4:
        raise DTypeError(f"{name} of {a}", "Matrices are of dtype float32 or float64, or complex.")
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise ShapeError(f"{name} of {a}", "The last two axes must be equal.")


def _system(name: str, a: Aval, b: Aval) -> Aval:
    square(name, a)
    if b.shape[:-1] != a.shape[:-1] or b.dtype is not a.dtype:
        raise ShapeError(f"{name} of {a} and {b}", "The right side has a row for each equation.")
    return b


# --- systems --------------------------------------------------------------------------------------
def _solve_a(g: Any, a: Any, out: Any) -> Any:
    pulled = solve(mx.transposed(a), g, check="")
    return neg(mx.matmul(pulled, mx.transposed(out)))


solve: Primitive = host(
    "solve",
    ("a", "b"),
    lambda a, b, check: _system("solve", a, b),
    lapack.solve,
    drawn(
        regular,
        ([(3, 3), (3, 2)], {"check": "linalg.solve"}),
        ([(2, 4, 4), (2, 4, 1)], {"check": ""}),
        ([(0, 0), (0, 3)], {"check": ""}),
    ),
    derivs=(_solve_a, lambda g, a: solve(mx.transposed(a), g, check="")),
    jvps=(
        lambda t, a, out: neg(solve(a, mx.matmul(t, out), check="")),
        lambda t, a: solve(a, t, check=""),
    ),
    doc="The x of a x = b; a singular a raises on behalf of the function check, else gives nan.",
)


def _triangle(x: Any, upper: bool, unit: bool, whole: bool) -> Any:
    if whole:
        return x
    return mx.triu(x, int(unit)) if upper else mx.tril(x, -int(unit))


def _triangular_a(g: Any, a: Any, out: Any, upper: bool, unit: bool, whole: bool) -> Any:
    pulled = triangular(mx.transposed(a), g, upper=not upper, unit=unit, whole=whole)
    return neg(_triangle(mx.matmul(pulled, mx.transposed(out)), upper, unit, whole))


def _triangular_tangent(t: Any, a: Any, out: Any, upper: bool, unit: bool, whole: bool) -> Any:
    moved = mx.matmul(_triangle(t, upper, unit, whole), out)
    return neg(triangular(a, moved, upper=upper, unit=unit, whole=whole))


def _triangular_b(g: Any, a: Any, upper: bool, unit: bool, whole: bool) -> Any:
    return triangular(mx.transposed(a), g, upper=not upper, unit=unit, whole=whole)


triangular: Primitive = host(
    "triangular_solve",
    ("a", "b"),
    lambda a, b, upper, unit, whole: _system("triangular_solve", a, b),
    lambda a, b, upper, unit, whole: lapack.triangular(a, b, upper, unit),
    drawn(
        regular,
        ([(3, 3), (3, 2)], {"upper": True, "unit": False, "whole": False}),
        ([(2, 4, 4), (2, 4, 1)], {"upper": False, "unit": False, "whole": False}),
        ([(3, 3), (3, 3)], {"upper": False, "unit": True, "whole": False}),
        ([(70, 70), (70, 1)], {"upper": True, "unit": False, "whole": False}),
        ([(0, 0), (0, 3)], {"upper": True, "unit": True, "whole": False}),
    ),
    derivs=(_triangular_a, _triangular_b),
    jvps=(
        _triangular_tangent,
        lambda t, a, upper, unit, whole: triangular(a, t, upper=upper, unit=unit, whole=whole),
    ),
    doc="The x of tri(a) x = b, tri(a) being one triangle of a, with ones on its diagonal or not; "
    "whole: differentiate as if a were read as a whole, as PyTorch does for Cholesky factors.",
)


def solve_triangle(a: Any, b: Any, upper: bool, unit: bool = False, whole: bool = False) -> Any:
    """The x of ``tri(a) x = b``."""
    return triangular(a, b, upper=upper, unit=unit, whole=whole)


def triangular_right(a: Any, b: Any, upper: bool, unit: bool = False) -> Any:
    """The x of ``x tri(a) = b``."""
    turned = solve_triangle(mx.transposed(a), mx.transposed(b), not upper, unit)
    return mx.transposed(turned)


# --- Cholesky -------------------------------------------------------------------------------------
def _cholesky_aval(a: Aval, upper: bool, check: str) -> Aval:
    square("cholesky", a)
    return a


def _cholesky_rule(g: Any, out: Any) -> Any:
    """Murray 2016, symmetrised: the gradient with respect to a Hermitian matrix.

    The imaginary part of the diagonal stays: a direction in which no Hermitian matrix moves, but
    PyTorch's gradient has it.
    """
    inner = mx.tril(mx.matmul(mx.adjoint(out), g))
    below = mx.tril(inner, -1)
    inner = mul(add(inner, mx.adjoint(below)), 0.5)
    left = solve_triangle(mx.adjoint(out), inner, upper=True)
    return triangular_right(out, left, upper=False)


def _cholesky_tangent(t: Any, out: Any) -> Any:
    left = solve_triangle(out, mx.hermitian_part(t), upper=False, unit=False)
    both = triangular_right(mx.adjoint(out), left, upper=True)
    return mx.matmul(out, mx.half_diagonal(mx.tril(both)))


cholesky: Primitive = host(
    "cholesky",
    ("a",),
    _cholesky_aval,
    lambda a, upper, check: lapack.cholesky(lapack.adjoint(a) if upper else a, check),
    drawn(
        definite,
        ([(3, 3)], {"upper": False, "check": ""}),
        ([(2, 4, 4)], {"upper": True, "check": "linalg.cholesky"}),
        ([(0, 0)], {"upper": False, "check": ""}),
    ),
    derivs=(_cholesky_rule,),
    jvps=(_cholesky_tangent,),
    hermitian=True,
    holomorphic=False,
    doc="The lower factor L of a = L L^H from the lower or upper triangle; check as for solve.",
)


def _info(name: str) -> Callable[[Aval], Aval]:
    def rule(a: Aval) -> Aval:
        square(name, a)
        return Aval(a.shape[:-2], int32)

    return rule


cholesky_info: Primitive = host(
    "cholesky_info",
    ("a",),
    _info("cholesky_info"),
    lapack.cholesky_info,
    drawn(regular, ([(3, 3)], {}), ([(2, 4, 4)], {}), ([(0, 0)], {})),
    "0, or the order of the first leading minor that is not positive definite.",
)


# --- determinants ---------------------------------------------------------------------------------
def _scalar_aval(name: str, extra: Shape = ()) -> Callable[[Aval], Aval]:
    def rule(a: Aval) -> Aval:
        square(name, a)
        return Aval((*a.shape[:-2], *extra), a.dtype)

    return rule


det: Primitive = host(
    "det",
    ("a",),
    _scalar_aval("det"),
    lambda a: np.asarray(np.linalg.det(a), a.dtype),
    drawn(regular, ([(3, 3)], {}), ([(2, 4, 4)], {}), ([(0, 0)], {})),
    derivs=(lambda g, a, a_aval: mul(cofactor(a), mx.spread_scalars(g, a_aval)),),
    jvps=(lambda t, a: mx.total(mul(cofactor(a), t)),),
    doc="The determinant.",
)


def _cofactor_rule(g: Any, a: Any, a_aval: Aval) -> Any:
    """Self-adjoint, so it serves both modes.

    Between the singular vectors, a = U S V^H, nothing has to be divided by, so any rank will do:
    with p_ij the product of the other singular values, d cof_ii = sum_j p_ij dS_jj and
    d cof_ij = -p_ij dS_ji.
    """
    from .spectral import svd_parts  # it imports this module

    u, s, vh = svd_parts(a)
    sign = mx.spread_scalars(mul(det(u), det(vh)), a_aval)
    inner = mx.matmul(mx.adjoint(u), mx.matmul(g, mx.adjoint(vh)))
    pairs = _products_of_others(s)
    diagonal = mx.as_vector(mx.matmul(mx.as_row(mx.diagonal(inner)), pairs))
    inner = sub(mx.embedded(diagonal), mul(pairs, mx.transposed(inner)))
    return mul(sign, mx.matmul(mx.conj(u), mx.matmul(inner, mx.conj(vh))))


def _products_of_others(s: Any) -> Any:
    """At i, j the product of all values but two; 0 on the diagonal."""
    *batch, n = aval_of(s).shape
    shape, b = (*batch, n, n, n), len(batch)
    k, i, j = (iota(shape=shape, dtype=int64, axis=b + axis) for axis in range(3))
    values = broadcast(s, shape=shape, axes=(*range(b), b))
    values = where(or_(eq(k, i), eq(k, j)), 1.0, values)
    return mx.off_diagonal(prod(values, axes=(b,)))


cofactor: Primitive = host(
    "cofactor",
    ("a",),
    lambda a: _scalar_aval("cofactor")(a) and a,
    lapack.cofactor,
    drawn(regular, ([(3, 3)], {}), ([(2, 4, 4)], {}), ([(1, 1)], {})),
    derivs=(_cofactor_rule,),
    jvps=(lambda t, a, a_aval: _cofactor_rule(t, a, a_aval),),
    doc="The derivative of the determinant, det(a) a^-T where a is regular.",
)


def _slogdet_reference(a: np.ndarray) -> np.ndarray:
    sign, size = np.linalg.slogdet(a)
    return np.stack([sign, size], -1).astype(a.dtype)


def _inverse_adjoint(a: Any) -> Any:
    return solve(mx.adjoint(a), mx.identity(aval_of(a)), check="")


def _slogdet_rule(g: Any, a: Any, out: Any, a_aval: Aval) -> Any:
    """The sign of a complex determinant turns by Im tr(a^-1 da)."""
    moved = _last(g, 1)
    if a_aval.dtype.is_complex:
        moved = sub(mx.real(moved), mx.imaginary(mul(mx.conj(_last(g, 0)), _last(out, 0))))
    return mul(_inverse_adjoint(a), mx.spread_scalars(moved, a_aval))


def _slogdet_tangent(t: Any, a: Any, out: Any) -> Any:
    moved = mx.total(mul(mx.conj(_inverse_adjoint(a)), t))
    return _pair(mul(_last(out, 0), mx.imaginary(moved)), mx.real(moved))


def _last(x: Any, k: int) -> Any:
    """Element ``k`` of the last axis."""
    shape = aval_of(x).shape
    return reshape(mx.columns(x, k, k + 1), shape=shape[:-1])


def _pair(x: Any, y: Any) -> Any:
    """Two values beside each other in a new last axis."""
    shape = aval_of(x).shape
    parts = [reshape(v, shape=(*shape, 1)) for v in (x, y)]
    return concat(*parts, axis=len(shape))


def split_slogdet(packed: Any) -> tuple[Any, Any]:
    """Sign and logarithm of the absolute value."""
    return _last(packed, 0), _last(packed, 1)


slogdet: Primitive = host(
    "slogdet",
    ("a",),
    _scalar_aval("slogdet", (2,)),
    _slogdet_reference,
    drawn(regular, ([(3, 3)], {}), ([(2, 4, 4)], {}), ([(0, 0)], {})),
    derivs=(_slogdet_rule,),
    jvps=(_slogdet_tangent,),
    holomorphic=False,
    doc="The sign of the determinant and the logarithm of its absolute value, beside each other.",
)


# --- matrix exponential ---------------------------------------------------------------------------
def _exponential_aval(a: Aval) -> Aval:
    square("matrix_exp", a)
    return a


def _exponential_tangent(t: Any, a: Any) -> Any:
    """exp [[a, t], [0, a]] has the derivative along t in its corner (Najfeld & Havel 1995)."""
    n = aval_of(a).shape[-1]
    block = add(mx.placed(a, 2 * n, 2 * n), mx.placed(a, 2 * n, 2 * n, n, n))
    out = exponential(add(block, mx.placed(t, 2 * n, 2 * n, 0, n)))
    return mx.columns(mx.rows(out, 0, n), n, 2 * n)


exponential: Primitive = host(
    "matrix_exp",
    ("a",),
    _exponential_aval,
    lapack.exponential,
    drawn(regular, ([(3, 3)], {}), ([(2, 2, 2)], {}), ([(0, 0)], {})),
    derivs=(lambda g, a: _exponential_tangent(g, mx.transposed(a)),),
    jvps=(_exponential_tangent,),
    doc="The matrix exponential; a record because its number of squarings depends on the values.",
)
