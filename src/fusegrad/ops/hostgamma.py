"""Incomplete gamma functions, Hurwitz' zeta function and orthogonal polynomials in NumPy.

In: arrays of one floating dtype. Out: PyTorch's values, also at the edges of the domains. They
iterate until every element has converged, so they run on the host. Formulas: NIST Digital Library
of Mathematical Functions (DLMF).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .special import lgamma

Array = np.ndarray
EPS = 2.0**-53
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)


def _on_host(function: Callable[[Array, Array], Array]) -> Callable[[Any, Any], Any]:
    """``function`` of two vectors in double precision, for operands of any shape that broadcast."""

    def call(x: Any, y: Any) -> Any:
        a, b = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
        with np.errstate(all="ignore"):
            out = function(a.reshape(-1), b.reshape(-1)).reshape(a.shape)
        return np.asarray(out, np.result_type(x, y))

    return call


# --- incomplete gamma -----------------------------------------------------------------------------
def _front(a: Array, x: Array) -> Array:
    """x^a exp(-x) / gamma(a + 1)."""
    return np.exp(a * np.log(x) - x - np.asarray(lgamma(a + 1)))


def _lower_series(a: Array, x: Array) -> Array:
    """P(a, x) where x < a + 1: DLMF 8.7.1."""
    term = total = np.ones_like(a)
    k = 0
    while k < 5000 and (term > EPS * total).any():
        k += 1
        term = term * x / (a + k)
        total = total + term
    return _front(a, x) * total


def _upper_fraction(a: Array, x: Array) -> Array:
    """Q(a, x) where x >= a + 1: the continued fraction DLMF 8.9.2, by Lentz' method."""
    b = x + 1 - a
    c, d = np.full_like(a, 1e300), 1 / b
    value = d
    for k in range(1, 5000):
        factor = -k * (k - a)
        b = b + 2
        d, c = factor * d + b, b + factor / c
        d, c = (np.where(v == 0, 1e-300, v) for v in (d, c))
        d = 1 / d
        value = value * d * c
        if not (np.abs(d * c - 1) > EPS * 4).any():
            break
    return _front(a, x) * a * value


def _incomplete(a: Array, x: Array, upper: bool) -> Array:
    out = np.full(a.shape, np.nan)
    inside = (a > 0) & (x > 0) & np.isfinite(a) & np.isfinite(x)
    series = inside & (x < a + 1)
    rest = inside & ~series
    p, q = _lower_series(a[series], x[series]), _upper_fraction(a[rest], x[rest])
    out[series], out[rest] = (1 - p, q) if upper else (p, 1 - q)
    none, all_ = (1.0, 0.0) if upper else (0.0, 1.0)
    out[(a > 0) & (x == 0)] = none
    out[(a == 0) & (x > 0)] = all_
    out[np.isfinite(a) & (a >= 0) & np.isposinf(x)] = all_
    out[np.isposinf(a) & ~np.isposinf(x) & ~(x < 0)] = none  # of nan, too, in PyTorch
    return out


gammainc = _on_host(lambda a, x: _incomplete(a, x, False))
gammaincc = _on_host(lambda a, x: _incomplete(a, x, True))


# --- zeta -----------------------------------------------------------------------------------------
@_on_host
def zeta(s: Array, q: Array) -> Array:
    """sum over k >= 0 of (k + q)^-s, by the formula of Euler and Maclaurin (DLMF 25.11.5)."""
    whole = np.floor(q) == q
    least = 10 + np.clip(np.nan_to_num(s), 0, 200)  # the series behind it needs q above s
    shift = np.where(q < least, np.ceil(least - np.where(np.isfinite(q), q, least)), 0)
    total = np.zeros_like(s)
    for k in range(int(np.minimum(shift.max(initial=0), 10_000))):
        total = total + np.where(k < shift, (q + k) ** -s, 0.0)
    v = q + shift
    total = total + v ** (1 - s) / (s - 1) + 0.5 * v**-s
    factor = s * v ** (-s - 1)
    for k, b in enumerate(_BERNOULLI, 1):
        total = total + b / math.factorial(2 * k) * factor
        factor = factor * (s + 2 * k - 1) * (s + 2 * k) / (v * v)
    total = np.where(np.isposinf(q), np.nan, total)  # PyTorch's choice
    left = (q <= 0) & (s > 1)
    total = np.where(left & ~whole & (np.floor(s) != s), np.nan, total)
    total = np.where(left & whole, np.inf, total)
    total = np.where(np.isnan(s) | np.isnan(q) | (s < 1), np.nan, total)
    return np.where(s == 1, np.inf, total)


# --- orthogonal polynomials -----------------------------------------------------------------------
def _recurrence(
    second: Callable[[Array], Array], step: Callable[[Array, int, Array, Array], Array]
) -> Callable[[Any, Any], Any]:
    """p_0 = 1, p_1 = ``second(x)``, p_{k+1} = ``step(x, k, p_k, p_{k-1})``; 0 for n < 0."""

    @_on_host
    def function(x: Array, n: Array) -> Array:
        degree = np.trunc(np.where(np.isfinite(n), n, -1)).astype(np.int64)
        before, now = np.ones_like(x), second(x)
        out = np.where(degree == 0, before, np.where(degree == 1, now, 0.0))
        for k in range(1, int(degree.max(initial=0))):
            before, now = now, step(x, k, now, before)
            out = np.where(degree == k + 1, now, out)
        return np.where(np.isnan(n), np.nan, out)

    return function


def _chebyshev(first: float, constant: float, shifted: bool) -> Callable[[Any, Any], Any]:
    """The four kinds differ in p_1 only (DLMF 18.9, table 18.9.1)."""

    def at(x: Array) -> Array:
        return 2 * x - 1 if shifted else x

    return _recurrence(lambda x: first * at(x) + constant, lambda x, k, p, o: 2 * at(x) * p - o)


_KINDS = {"t": (1.0, 0.0), "u": (2.0, 0.0), "v": (2.0, -1.0), "w": (2.0, 1.0)}
POLYNOMIALS = {
    **{f"chebyshev_polynomial_{k}": _chebyshev(*v, False) for k, v in _KINDS.items()},
    **{f"shifted_chebyshev_polynomial_{k}": _chebyshev(*v, True) for k, v in _KINDS.items()},
    "hermite_polynomial_h": _recurrence(lambda x: 2 * x, lambda x, k, p, o: 2 * x * p - 2 * k * o),
    "hermite_polynomial_he": _recurrence(lambda x: x, lambda x, k, p, o: x * p - k * o),
    "laguerre_polynomial_l": _recurrence(
        lambda x: 1 - x, lambda x, k, p, o: ((2 * k + 1 - x) * p - k * o) / (k + 1)
    ),
    "legendre_polynomial_p": _recurrence(
        lambda x: x, lambda x, k, p, o: ((2 * k + 1) * x * p - k * o) / (k + 1)
    ),
}
