"""``fg.special`` against torch and mpmath: values, derivatives, kernels, edges of the domains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
from surface_check import P, X, check

import fusegrad as fg
from fusegrad.testing import difference

torch = pytest.importorskip("torch")
RNG = np.random.default_rng(5)
WIDE = np.concatenate([RNG.uniform(-30, 30, 40), RNG.uniform(-4, 4, 40)])
RIGHT = np.concatenate([RNG.uniform(0, 60, 40), 10.0 ** RNG.uniform(-6, 3, 40), [2.0, 3.0, 8.0]])

NATIVE: dict[str, tuple[Any, ...]] = {
    "i0": (lambda m, x: m.special.i0(x), X), "i0e": (lambda m, x: m.special.i0e(x), X),
    "i1": (lambda m, x: m.special.i1(x), X), "i1e": (lambda m, x: m.special.i1e(x), X),
    "i0 at 0": (lambda m, x: m.i0(x * 0), X),
    "erfcx": (lambda m, x: m.special.erfcx(x), X),
    "log_ndtr": (lambda m, x: m.special.log_ndtr(x * 3), X),
    "polygamma": (lambda m, x: m.polygamma(1, x), P),
    "polygamma 3": (lambda m, x: m.special.polygamma(3, x), P),
    "polygamma left": (lambda m, x: m.polygamma(2, x), -P),
    "digamma": (lambda m, x: m.digamma(x), P), "digamma left": (lambda m, x: m.digamma(x), -P),
    "methods": (lambda m, x: x.polygamma(0) + x.clone().i0_(), P),
}  # fmt: skip


@pytest.mark.parametrize("name", NATIVE)
def test_derivatives_and_kernels(name: str) -> None:
    function, x = NATIVE[name]
    check(function, (x,), rtol=1e-8 if "left" in name else 1e-9)


def test_polygamma_refuses_a_negative_order() -> None:
    for m in (torch, fg):
        with pytest.raises(RuntimeError, match="does not support negative n"):
            m.polygamma(-1, m.ones(2))


def relative(got: Any, want: list[Any], least: Callable[[float], float], xs: Any) -> float:
    """Worst error over the larger of the value and ``least``, the local amplitude."""
    errors = [
        float(abs(mpmath.mpf(float(a)) - b) / max(abs(b), least(float(x))))
        for a, b, x in zip(got, want, xs, strict=True)
    ]
    return max(errors)


def amplitude(x: float) -> float:
    return float(np.sqrt(2 / np.pi / max(abs(x), 1.0)))


def tiny(x: float) -> float:
    return 1e-300


# torch's own J, Y and Ai are wrong by up to 3e-6 in float64 around 5 and -2.1, so mpmath decides.
ACCURACY: dict[str, tuple[Any, Any, Any, float]] = {
    "bessel_j0": (lambda x: mpmath.besselj(0, x), WIDE, amplitude, 2e-15),
    "bessel_j1": (lambda x: mpmath.besselj(1, x), WIDE, amplitude, 2e-15),
    "bessel_y0": (lambda x: mpmath.bessely(0, x), RIGHT, amplitude, 2e-15),
    "bessel_y1": (lambda x: mpmath.bessely(1, x), RIGHT, amplitude, 2e-15),
    "modified_bessel_i0": (lambda x: mpmath.besseli(0, x), WIDE, tiny, 8e-15),
    "modified_bessel_i1": (lambda x: mpmath.besseli(1, x), WIDE, tiny, 8e-15),
    "modified_bessel_k0": (lambda x: mpmath.besselk(0, x), RIGHT[RIGHT < 600], tiny, 4e-15),
    "modified_bessel_k1": (lambda x: mpmath.besselk(1, x), RIGHT[RIGHT < 600], tiny, 4e-15),
    "scaled_modified_bessel_k0": (
        lambda x: mpmath.besselk(0, x) * mpmath.exp(x), RIGHT, tiny, 4e-15
    ),
    "scaled_modified_bessel_k1": (
        lambda x: mpmath.besselk(1, x) * mpmath.exp(x), RIGHT, tiny, 4e-15
    ),
    "spherical_bessel_j0": (lambda x: mpmath.sinc(x), WIDE, lambda x: 1 / max(abs(x), 1), 1e-15),
    "airy_ai": (
        mpmath.airyai, WIDE, lambda x: 0.5 * max(-x, 1) ** -0.25 if x < 0 else 1e-300, 2e-13
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ACCURACY)
def test_accuracy_on_the_host(name: str) -> None:
    exact, xs, least, bound = ACCURACY[name]
    with mpmath.workdps(40):
        want = [exact(mpmath.mpf(float(x))) for x in xs]
        found = getattr(fg.special, name)(fg.tensor(xs)).numpy()
        assert relative(found, want, least, xs) < bound
    narrow = getattr(fg.special, name)(fg.tensor(xs, dtype=fg.float32))
    again = fg.jit(getattr(fg.special, name))(fg.tensor(xs, dtype=fg.float32))
    assert narrow.dtype is fg.float32 and fg.allclose(narrow, again, 1e-5)


@pytest.mark.parametrize("order", [1, 2, 3, 5, 9])
def test_accuracy_of_polygamma(order: int) -> None:
    xs = np.concatenate([RIGHT, RNG.uniform(-5, 0, 30)])
    with mpmath.workdps(60):
        want = [mpmath.psi(order, mpmath.mpf(float(x))) for x in xs]
        assert relative(fg.polygamma(order, fg.tensor(xs)).numpy(), want, tiny, xs) < 1e-13


def test_accuracy_of_the_incomplete_gamma_functions() -> None:
    a = 10.0 ** RNG.uniform(-2, 3, 60)
    x = a * RNG.uniform(0, 3, 60)
    with mpmath.workdps(40):
        pairs = [(mpmath.mpf(float(p)), mpmath.mpf(float(q))) for p, q in zip(a, x, strict=True)]
        lower = [mpmath.gammainc(p, 0, q, regularized=True) for p, q in pairs]
        upper = [mpmath.gammainc(p, q, mpmath.inf, regularized=True) for p, q in pairs]
        least = lambda x: 1e-280  # noqa: E731
        assert relative(fg.igamma(fg.tensor(a), fg.tensor(x)).numpy(), lower, least, x) < 5e-12
        assert relative(fg.igammac(fg.tensor(a), fg.tensor(x)).numpy(), upper, least, x) < 5e-12


EDGES = np.array([0.0, -0.0, 1.0, -1.0, -2.5, np.inf, -np.inf, np.nan, 1e-300, 1e300])
FIRST = ("i0", "i0e", "i1", "i1e", "erfcx", "log_ndtr", "bessel_j0", "bessel_j1", "bessel_y0",
         "bessel_y1", "modified_bessel_k0", "modified_bessel_k1", "scaled_modified_bessel_k0",
         "scaled_modified_bessel_k1", "spherical_bessel_j0", "airy_ai")  # fmt: skip


@pytest.mark.parametrize("name", FIRST)
def test_edges_as_torch(name: str) -> None:
    xs = (
        EDGES
        if name not in ("bessel_j0", "bessel_j1", "airy_ai", "bessel_y0", "bessel_y1")
        else (
            EDGES[:-1]  # there torch reduces 1e300 to noise
        )
    )
    want = getattr(torch.special, name)(torch.from_numpy(xs)).numpy()
    problem = difference(want, getattr(fg.special, name)(fg.tensor(xs)).numpy(), rtol=1e-6)
    assert not problem, problem


@pytest.mark.parametrize("name", ["gammainc", "gammaincc", "zeta"])
def test_edges_of_two_operands_as_torch(name: str) -> None:
    a = np.array([0.0, 1.0, 2.5, -1.0, 2.0, 7.0 if name == "zeta" else np.inf])
    first, second = (v.reshape(-1) for v in np.meshgrid(a, EDGES[[0, 2, 3, 4, 5, 7]]))
    want = getattr(torch.special, name)(torch.from_numpy(first), torch.from_numpy(second)).numpy()
    found = getattr(fg.special, name)(fg.tensor(first), fg.tensor(second)).numpy()
    same = np.isclose(want, found, 1e-12, 0, equal_nan=True)
    assert same.all(), [(first[i], second[i], want[i], found[i]) for i in np.flatnonzero(~same)]


KINDS = [
    *[f"{s}chebyshev_polynomial_{k}" for s in ("", "shifted_") for k in "tuvw"],
    "hermite_polynomial_h", "hermite_polynomial_he", "laguerre_polynomial_l",
    "legendre_polynomial_p",
]  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_polynomials_as_torch(name: str) -> None:
    x = np.concatenate([RNG.uniform(-1, 1, 6), RNG.uniform(1, 3, 3), [1.0, -1.0, 0.0]])
    n = np.array([[0.0], [1.0], [2.0], [5.0], [12.0], [-1.0]])
    want = getattr(torch.special, name)(torch.from_numpy(x), torch.from_numpy(n)).numpy()
    found = getattr(fg.special, name)(fg.tensor(x), fg.tensor(n)).numpy()
    np.testing.assert_allclose(found, want, rtol=1e-9, atol=1e-9)
    whole = getattr(fg.special, name)(fg.tensor(x), 3)
    np.testing.assert_allclose(whole.numpy(), getattr(torch.special, name)(torch.from_numpy(x), 3))
    with pytest.raises(RuntimeError):
        getattr(fg.special, name)(fg.tensor(x, requires_grad=True), 3).sum().backward()


def test_gradients_of_the_incomplete_gamma_functions() -> None:
    for name in ("igamma", "igammac"):
        check(
            lambda m, x, n=name: getattr(m, n)(m.full_like(x.detach(), 1.7), x),
            (P * 4,), jit=False,
        )  # fmt: skip
        a = fg.ones(2, requires_grad=True)
        with pytest.raises(RuntimeError, match="first operand"):
            getattr(fg, name)(a, fg.ones(2)).sum().backward()


def test_derivative_of_digamma_to_full_precision() -> None:
    """PyTorch's trigamma has nine digits."""
    x = fg.tensor(np.linspace(0.1, 9.0, 40), requires_grad=True)
    (slope,) = fg.autograd.grad(fg.digamma(x).sum(), x)
    expected = [float(mpmath.polygamma(1, value)) for value in x.tolist()]
    np.testing.assert_allclose(slope.numpy(), expected, rtol=1e-14)
