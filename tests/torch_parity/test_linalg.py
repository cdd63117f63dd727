"""``fg.linalg`` and the older names against PyTorch: options, errors, degenerate matrices, jit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import fusegrad as fg

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # PyTorch deprecates older names
RNG = np.random.default_rng(5)


def random(*shape: int, dtype: str = "float64") -> np.ndarray:
    x = RNG.normal(size=shape)
    if dtype.startswith("complex"):
        x = x + 1j * RNG.normal(size=shape)
    return x.astype(dtype)


def definite(*shape: int, dtype: str = "float64") -> np.ndarray:
    x = random(*shape, dtype=dtype)
    a = x @ np.swapaxes(x, -1, -2).conj() + np.eye(shape[-1])
    return ((a + np.swapaxes(a, -1, -2).conj()) / 2).astype(dtype)


def same(ours: Any, theirs: Any, tol: float = 1e-9) -> None:
    """Values, dtype and shape, through tuples."""
    if isinstance(theirs, (tuple, list)):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            same(a, b, tol)
        return
    assert str(ours.dtype).split(".")[1] == str(theirs.dtype).split(".")[1]
    assert tuple(ours.shape) == tuple(theirs.shape)
    np.testing.assert_allclose(
        ours.detach().numpy(), theirs.detach().resolve_conj().numpy(), rtol=tol, atol=tol
    )


def both(path: str, *args: Any, **options: Any) -> tuple[Any, Any]:
    """The same call on both sides; arrays become tensors."""
    found = []
    for lib in (fg, torch):
        function: Any = lib
        for part in path.split("."):
            function = getattr(function, part)
        given = [lib.from_numpy(a.copy()) if isinstance(a, np.ndarray) else a for a in args]
        found.append(function(*given, **options))
    return found[0], found[1]


# --- options --------------------------------------------------------------------------------------
S, R, D = random(2, 4, 4), random(4, 3), definite(4, 4)
UNIQUE: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("linalg.solve", (S, random(2, 4)), {}),
    ("linalg.solve", (S, random(4)), {}),
    ("linalg.solve", (S, random(3, 1, 4, 2)), {}),
    ("linalg.solve", (S, random(3, 4)), {"left": False}),
    ("linalg.inv_ex", (S,), {"check_errors": True}),
    ("linalg.solve_triangular", (S, random(2, 3, 4)), {"upper": True, "left": False}),
    ("linalg.solve_triangular", (random(150, 150) + 50 * np.eye(150), random(150, 2)),
     {"upper": False}),
    ("linalg.solve_triangular", (S, R), {"upper": True, "unitriangular": True}),
    ("linalg.cholesky", (D,), {"upper": True}),
    ("linalg.cholesky_ex", (D,), {}),
    ("linalg.lu", (random(2, 5, 3),), {}),
    ("linalg.lu_factor_ex", (random(3, 5),), {}),
    ("linalg.lu_factor", (random(90, 90),), {}),
    ("linalg.lu_factor", (random(6, 6, dtype="complex128"),), {}),
    ("lu", (random(3, 4, 4),), {"get_infos": True}),
    ("linalg.qr", (random(2, 3, 5),), {"mode": "complete"}),
    ("linalg.qr", (random(5, 3),), {"mode": "r"}),
    ("geqrf", (random(2, 5, 3),), {}),
    ("linalg.svdvals", (random(3, 2, 5),), {}),
    ("linalg.eigvalsh", (S,), {"UPLO": "U"}),
    ("linalg.eigvalsh", (random(3, 3, dtype="complex128"),), {"UPLO": "L"}),
    ("linalg.slogdet", (random(3, 3, dtype="complex128"),), {}),
    ("linalg.pinv", (random(4, 2),), {"rtol": 0.5}),
    ("linalg.pinv", (D,), {"hermitian": True, "atol": 2.0}),
    ("linalg.matrix_rank", (D, 2.0), {}),
    ("linalg.matrix_rank", (np.diag([1.0, 1e-20]),), {"hermitian": True}),
    ("linalg.matrix_rank", (D,), {"atol": 3.0, "rtol": 0.1}),
    ("linalg.cond", (D,), {"p": "nuc"}),
    ("linalg.cond", (R,), {"p": -2}),
    ("linalg.matrix_power", (S, -3), {}),
    ("linalg.vander", (random(2, 3),), {"N": 5}),
    ("linalg.vecdot", (random(2, 3, dtype="complex128"), random(3, dtype="complex128")), {}),
    ("linalg.cross", (random(1, 3), random(4, 3)), {}),
    ("linalg.tensorsolve", (random(2, 3, 6), random(2, 3)), {}),
    ("linalg.tensorsolve", (random(2, 6, 3), random(2, 3)), {"dims": (1,)}),
    ("linalg.tensorinv", (random(4, 2, 2),), {"ind": 1}),
    ("triangular_solve", (R, D), {"upper": False, "transpose": True}),
    ("cholesky_inverse", (np.tril(D),), {}),
    ("norm", (random(2, 3, 4), "nuc"), {"dim": (0, 2), "keepdim": True}),
    ("linalg.norm", (random(2, 3, 4),), {"ord": -2, "dim": (2, 0)}),
    ("linalg.vector_norm", (random(3, 4),), {"ord": 0.5, "dim": 0}),
    ("linalg.matrix_norm", (random(3, 4),), {"ord": -math.inf}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "args", "options"), UNIQUE, ids=lambda v: str(v)[:24])
def test_options(path: str, args: Any, options: Any) -> None:
    same(*both(path, *args, **options))


def test_every_name_of_torch_linalg_is_here() -> None:
    theirs = {n for n in dir(torch.linalg) if not n.startswith("_")}
    wanted = {n for n in theirs if callable(getattr(torch.linalg, n))} - {"Tensor"}
    assert wanted - set(fg.linalg.__all__) == set()


@pytest.mark.parametrize("name", ["svd", "eigh", "qr", "slogdet", "lstsq", "lu", "lu_factor_ex"])
def test_result_tuples_have_the_names_of_their_fields(name: str) -> None:
    args = (D, D) if name == "lstsq" else (D,)
    ours, theirs = both(f"linalg.{name}", *args)
    for k, field in enumerate(ours._fields):
        assert getattr(theirs, field) is theirs[k]


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_single_precision_stays(dtype: str) -> None:
    a, b = definite(3, 3, dtype=dtype), random(3, 1, dtype=dtype)
    for name, args in (("solve", (a, b)), ("inv", (a,)), ("cholesky", (a,)), ("det", (a,))):
        same(*both(f"linalg.{name}", *args), tol=1e-4)


@pytest.mark.parametrize(
    ("driver", "deficient"),
    [("gels", False), *[(d, k) for d in ("gelsy", "gelsd", "gelss") for k in (False, True)]],
)
def test_least_squares_tells_what_its_driver_does(driver: str, deficient: bool) -> None:
    a, b = random(5, 3), random(5, 2)
    if deficient:
        a[:, 2] = a[:, 1]
    same(*both("linalg.lstsq", a, b, driver=driver))
    same(*both("linalg.lstsq", np.stack([a, a]), np.stack([b, b])[..., 0], driver=driver))


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("hermitian", [False, True])
def test_ldl_pivots_in_blocks_as_lapack_does(dtype: str, hermitian: bool) -> None:
    for _ in range(12):
        a = random(6, 6, dtype=dtype)
        a = a + (np.swapaxes(a, -1, -2).conj() if hermitian else np.swapaxes(a, -1, -2))
        a[range(6), range(6)] *= 0.1
        ours, theirs = both("linalg.ldl_factor_ex", a, hermitian=hermitian)
        same(ours, theirs)
        x = fg.linalg.ldl_solve(
            ours.LD, ours.pivots, fg.from_numpy(np.eye(6, dtype=dtype)), hermitian=hermitian
        )
        np.testing.assert_allclose(a @ x.numpy(), np.eye(6), atol=1e-9)


def test_matrix_exponential_at_every_size_of_norm() -> None:
    a = random(6, 4, 4) * np.array([1e-9, 1e-2, 0.1, 1.0, 10.0, 60.0])[:, None, None]
    ours, theirs = both("linalg.matrix_exp", a)
    for x, y in zip(ours.numpy(), theirs.numpy(), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-11 * np.abs(y).max())
    nan = fg.linalg.matrix_exp(fg.full((2, 2), math.nan))
    assert nan.isnan().all()


def test_householder_products_with_a_factor_of_zero() -> None:
    a, tau = torch.geqrf(torch.from_numpy(random(5, 3)))
    tau[1] = 0
    same(*both("linalg.householder_product", a.numpy(), tau.numpy()))


def test_low_rank_svd_finds_the_leading_values() -> None:
    a = random(20, 3) @ random(3, 15)
    fg.manual_seed(0)
    u, s, v = fg.svd_lowrank(fg.from_numpy(a), q=4)
    np.testing.assert_allclose(s.numpy()[:3], np.linalg.svd(a)[1][:3], rtol=1e-9)
    np.testing.assert_allclose(u.numpy() @ np.diag(s.numpy()) @ v.numpy().T, a, atol=1e-9)
    u, s, v = fg.pca_lowrank(fg.from_numpy(a), q=3)
    np.testing.assert_allclose(s.numpy(), np.linalg.svd(a - a.mean(0))[1][:3], rtol=1e-9)


@pytest.mark.parametrize("largest", [True, False])
def test_lobpcg_solves_the_generalized_problem(largest: bool) -> None:
    a, b = definite(12, 12), definite(12, 12)
    torch.manual_seed(0)
    ours, theirs = both("lobpcg", a, 2, b, largest=largest)
    np.testing.assert_allclose(ours[0].numpy(), theirs[0].numpy(), rtol=1e-4)
    x = ours[1].numpy()
    np.testing.assert_allclose(a @ x, b @ x * ours[0].numpy(), atol=1e-8)
    np.testing.assert_allclose(x.T @ b @ x, np.eye(2), atol=1e-9)
    with pytest.raises(ValueError, match="3 x the"):
        fg.lobpcg(fg.from_numpy(a), 5)


# --- errors ---------------------------------------------------------------------------------------
NAN = np.full((2, 2), np.nan)
ONE = np.ones((2, 2))
ERRORS: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    ("linalg.inv", (np.zeros((3, 3)),), {}, "diagonal element 1 is zero"),
    ("linalg.inv", (np.stack([np.eye(2), ONE]),), {}, r"Batch element 1\): The diagonal"),
    ("linalg.solve", (np.stack([np.eye(2), ONE]), np.ones((2, 2))), {}, r"element 1\): The solver"),
    ("linalg.cholesky", (np.stack([np.eye(2), -ONE]),), {}, r"element 1\).*order 1 is not"),
    ("linalg.cholesky_ex", (np.diag([1.0, -1.0]),), {"check_errors": True}, "order 2"),
    ("linalg.lu_factor", (ONE,), {}, r"U\[2,2\] is zero"),
    ("linalg.svd", (NAN,), {}, "converge"),
    ("linalg.eig", (NAN,), {}, "infs or NaNs"),
    ("linalg.inv", (np.ones(3),), {}, "at least 2 dimensions"),
    ("linalg.det", (np.ones((2, 3)),), {}, "square matrices, but they are 2 by 3"),
    ("linalg.det", (np.ones((2, 2), np.int64),), {}, "floating point or complex"),
    ("linalg.inv", (np.ones((2, 2), np.float16),), {}, "Low precision"),
    ("linalg.solve", (np.eye(2), np.ones(2, np.float32)), {}, "same dtype"),
    ("linalg.solve", (np.eye(2), np.ones((3, 1))), {}, "AX = B"),
    ("linalg.eigh", (np.eye(2), "X"), {}, "'L'"),
    ("linalg.qr", (np.eye(2), "x"), {}, "'reduced'"),
    ("linalg.svd", (np.eye(2),), {"driver": "gesvd"}, "only supported on CUDA"),
    ("linalg.cond", (np.eye(2), "x"), {}, "invalid norm"),
    ("linalg.lu", (np.eye(2),), {"pivot": False}, "without pivoting"),
    ("linalg.lstsq", (np.eye(2), np.eye(2)), {"driver": "x"}, "gels"),
    ("linalg.householder_product", (np.ones((2, 3)), np.ones(2)), {}, "greater than or equal"),
    ("linalg.cross", (np.ones((5, 3)), np.ones((5, 1))), {}, "must have length 3"),
    ("linalg.multi_dot", ([torch.eye(2)],), {}, "at least 2"),
    ("linalg.norm", (np.ones((2, 2, 2)), 1), {}, "1D or 2D"),
    ("linalg.norm", (np.ones((2, 2)), "x"), {}, "not supported"),
    ("linalg.matrix_norm", (np.ones((2, 2)),), {"dim": (0, 0)}, "different"),
    ("linalg.vector_norm", (np.ones(2, np.int64),), {}, "floating point or complex"),
    ("linalg.vector_norm", (np.ones((0, 2)), math.inf), {"dim": 0}, "axis 0"),
    ("linalg.vander", (np.ones(3),), {"N": 1}, "greater than 1"),
    ("linalg.tensorinv", (np.ones((2, 3)),), {}, "prod"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "args", "options", "message"), ERRORS, ids=lambda v: str(v)[:20])
def test_errors_are_of_the_same_family(
    path: str, args: Any, options: dict[str, Any], message: str
) -> None:
    name = path.split(".")[1]
    kinds = []
    for lib in (fg, torch):
        given = [
            lib.from_numpy(a) if isinstance(a, np.ndarray) else [lib.eye(2)] if isinstance(a, list)
            else a for a in args
        ]  # fmt: skip
        with pytest.raises(Exception) as caught:
            getattr(lib.linalg, name)(*given, **options)
        kinds.append(caught)
    ours, theirs = kinds
    assert ours.match(message)
    assert "Try: " in str(ours.value) and "test_linalg.py:" in str(ours.value)
    family = [IndexError, TypeError, ValueError, RuntimeError]
    assert [isinstance(ours.value, f) for f in family] == [
        isinstance(theirs.value, f) for f in family
    ]
    if isinstance(theirs.value, torch.linalg.LinAlgError):
        assert isinstance(ours.value, fg.linalg.LinAlgError)


def test_a_singular_matrix_raises_inside_a_compiled_step() -> None:
    step = fg.jit(lambda a, b: fg.linalg.solve(a, b) * 2.0)
    a, b = fg.eye(2), fg.ones(2)
    assert step(a, b).tolist() == [2.0, 2.0]
    with pytest.raises(fg.linalg.LinAlgError, match="singular"):
        step(fg.zeros(2, 2), b)
    assert step(a, b).tolist() == [2.0, 2.0]


# --- degenerate matrices --------------------------------------------------------------------------
def gradient(lib: Any, function: Any, a: np.ndarray, order: int = 1) -> Any:
    x = lib.from_numpy(a.copy()).requires_grad_()
    total = function(lib, x)
    for k in range(order):
        (found,) = lib.autograd.grad(total, x, create_graph=True)
        weights = lib.from_numpy(np.cos(np.arange(a.size) * (k + 2.0)).reshape(a.shape))
        total = (found * weights).sum()
    return found


DEGENERATE: dict[str, tuple[Any, np.ndarray, int]] = {
    "svdvals of the identity": (lambda lib, x: lib.linalg.svdvals(x).sum(), np.eye(3), 1),
    "values of svd": (lambda lib, x: lib.linalg.svd(x).S.square().sum(), np.eye(3), 1),
    "values of eigh": (lambda lib, x: lib.linalg.eigh(x)[0].square().sum(), np.eye(3), 1),
    "det of rank n - 1": (lambda lib, x: lib.linalg.det(x), np.diag([1.0, 2.0, 0.0]), 2),
    "det of rank n - 2": (lambda lib, x: lib.linalg.det(x), np.diag([1.0, 0.0, 0.0]), 1),
    "pinv of rank 1": (lambda lib, x: lib.linalg.pinv(x).sum(), np.outer([1.0, 2], [1.0, 3, 2]), 2),
    "norm of zeros": (lambda lib, x: lib.linalg.norm(x), np.zeros((2, 2)), 1),
    "nuclear norm of ones": (lambda lib, x: lib.linalg.norm(x, "nuc"), np.eye(2), 1),
    "maxima": (lambda lib, x: lib.linalg.vector_norm(x, math.inf), np.array([1.0, -1.0, 0.5]), 1),
    "power zero": (lambda lib, x: lib.linalg.matrix_power(x, 0).sum(), np.ones((2, 2)), 1),
    "exp of equal values": (lambda lib, x: lib.linalg.matrix_exp(x).sum(), np.eye(3), 2),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_gradients_of_degenerate_matrices(name: str) -> None:
    function, a, order = DEGENERATE[name]
    ours, theirs = (gradient(lib, function, a, order) for lib in (fg, torch))
    assert np.isfinite(ours.detach().numpy()).all()
    same(ours, theirs)


def test_vectors_of_equal_singular_values_have_no_gradient() -> None:
    def loss(lib: Any, x: Any) -> Any:
        return (lib.linalg.svd(x).U * lib.from_numpy(np.arange(9.0).reshape(3, 3))).sum()

    for lib in (fg, torch):
        assert not np.isfinite(gradient(lib, loss, np.eye(3)).detach().numpy()).all()


@pytest.mark.parametrize("name", ["svd", "eigh", "eig"])
def test_a_loss_that_depends_on_a_phase_raises(name: str) -> None:
    a = definite(3, 3, dtype="complex128")
    for lib in (fg, torch):
        x = lib.from_numpy(a).requires_grad_()
        out = getattr(lib.linalg, name)(x)
        vectors = out[0] if name == "svd" else out[1]
        with pytest.raises(RuntimeError, match="phi}"):
            vectors.imag.sum().backward()


@pytest.mark.parametrize("name", ["cholesky", "eigh", "eigvalsh"])
@pytest.mark.parametrize("upper", [False, True])
def test_one_triangle_is_read(name: str, upper: bool) -> None:
    a = definite(3, 3)
    broken = np.where(np.tri(3, 3, -1, bool).T ^ upper, np.nan, a) if not upper else (
        np.where(np.tri(3, 3, -1, bool), np.nan, a)
    )  # fmt: skip
    options = {"upper": upper} if name == "cholesky" else {"UPLO": "U" if upper else "L"}
    function = getattr(fg.linalg, name)
    whole, part = (function(fg.from_numpy(m.copy()), **options) for m in (a, broken))
    for x, y in zip(*(t if isinstance(t, tuple) else (t,) for t in (whole, part)), strict=True):
        np.testing.assert_array_equal(x.numpy(), y.numpy())


def test_hermitian_eigenvalues_of_nan_are_nan_for_that_matrix() -> None:
    ours, theirs = both("linalg.eigh", np.stack([np.eye(2), NAN]))
    assert ours[0].isnan().tolist() == theirs[0].isnan().tolist() == [[False] * 2, [True] * 2]


def test_a_zero_pivot_is_reported_not_raised() -> None:
    for name in ("lu_factor_ex", "inv_ex", "ldl_factor_ex"):
        ours, theirs = both(f"linalg.{name}", np.stack([np.eye(2), np.zeros((2, 2))]))
        assert ours.info.tolist() == theirs.info.tolist() == [0, 1]
    assert fg.linalg.solve_ex(fg.zeros(2, 2), fg.ones(2)).result.isnan().all()
    same(*both("linalg.lu", np.zeros((3, 2))))


def test_derivatives_that_do_not_exist_are_refused() -> None:
    x = fg.from_numpy(random(4, 2)).requires_grad_()
    for mode, part in (("complete", 0), ("r", 1)):
        with pytest.raises(RuntimeError, match=f"mode='{mode}'"):
            fg.linalg.qr(x, mode)[part].sum().backward()


def test_empty_batches_and_matrices() -> None:
    for shape in ((0, 3, 3), (0, 0), (2, 0, 0)):
        for name in ("inv", "det", "cholesky", "qr", "svdvals", "eigvalsh", "matrix_exp", "lu"):
            same(*both(f"linalg.{name}", np.zeros(shape)))


# --- compiled, second order -----------------------------------------------------------------------
def everything(lib: Any, x: Any) -> Any:
    """A scalar through every factorisation."""
    n = x.shape[-1]
    eye = lib.eye(n, dtype=x.dtype)
    a = x @ x.mT + n * eye
    lower = lib.linalg.cholesky(a)
    white = lib.linalg.solve_triangular(lower, x, upper=False)
    q, r = lib.linalg.qr(x)
    u, s, vh = lib.linalg.svd(x, full_matrices=False)
    w, v = lib.linalg.eigh(a)
    _, low, up = lib.linalg.lu(x)
    lu, pivots = lib.linalg.lu_factor(x)
    parts = [
        white.square(), q * q * r, s, u * u, vh * vh, w, v * v * w[..., None, :], low, up,
        lib.linalg.inv(a), lib.linalg.det(x), lib.linalg.slogdet(x)[1], lib.linalg.pinv(x),
        lib.linalg.matrix_exp(x * 0.3), lib.linalg.lu_solve(lu, pivots, eye.expand(x.shape)),
        lib.cholesky_solve(x, lower), lib.linalg.lstsq(a, x).solution,
        lib.linalg.matrix_norm(x, "nuc"), lib.linalg.cond(x), lib.linalg.matrix_power(x, 3),
    ]  # fmt: skip
    return sum((part.sin() * (k + 1.0)).sum() for k, part in enumerate(parts))


def test_first_and_second_derivatives_through_every_factorisation() -> None:
    a = random(2, 3, 3) + np.diag([2.0, 4.0, 7.0])
    for order in (1, 2):
        same(*(gradient(lib, everything, a, order) for lib in (fg, torch)), tol=1e-8)


def test_a_compiled_step_equals_the_eager_one() -> None:
    x = fg.from_numpy(random(2, 3, 3) + np.diag([2.0, 4.0, 7.0]))

    def step(x: Any) -> Any:
        x = x.detach().requires_grad_()
        loss = everything(fg, x)
        (slope,) = fg.autograd.grad(loss, x)
        return loss.detach(), slope

    for a, b in zip(step(x), fg.jit(step)(x), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("driver", ["gels", "gelsy", "gelsd", "gelss"])
@pytest.mark.parametrize("condition", [1e6, 1e12])
def test_least_squares_of_nearly_singular_matrices(driver: str, condition: float) -> None:
    """The residual stays at rounding level, as PyTorch's does; an explicit inverse lost it."""
    rng = np.random.default_rng(0)
    u, v = (np.linalg.qr(rng.normal(size=(n, n)))[0] for n in (20, 8))
    a = (u[:, :8] * np.logspace(0, -np.log10(condition), 8)) @ v.T
    b = a @ rng.normal(size=(8, 2))
    found = [
        lib.linalg.lstsq(lib.from_numpy(a), lib.from_numpy(b), driver=driver) for lib in (fg, torch)
    ]
    for result in found:
        assert np.linalg.norm(a @ result.solution.numpy() - b) < 1e-13 * np.linalg.norm(b)
    assert found[0].rank.tolist() == found[1].rank.tolist()
    for k in (1, 2, 3):
        assert found[0][k].shape == found[1][k].shape
