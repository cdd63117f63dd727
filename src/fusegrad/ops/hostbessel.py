"""Bessel and Airy functions in NumPy, for records that run on the host.

In: float64 arrays. Out: values within a few units of 1e-15 of the larger of the value and the
local amplitude. Small arguments sum the power series; the others take an integral over the whole
real line by the trapezoidal rule, which converges exponentially for analytic integrands that decay
(Trefethen and Weideman 2014). Formulas: NIST Digital Library of Mathematical Functions (DLMF).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray
GAMMA = 0.57721566490153286  # Euler's constant
_STEP = 0.125
_NODES = np.arange(_STEP / 2, 7.0, _STEP)  # half of the line; integrands are even
_WEIGHTS = 2 * _STEP * np.exp(-(_NODES**2))
_SMALL = 3.0


def _branches(
    x: Array, small: Array, series: Callable[[Array], Array], rest: Callable[[Array], Array]
) -> Array:
    """``series`` where ``small`` holds, ``rest`` elsewhere; neither sees the other's arguments."""
    out = np.empty(x.shape, np.float64)
    out[small] = series(x[small])
    out[~small] = rest(x[~small])
    return out


def _power_series(q: Array, n: int, terms: int = 30) -> Array:
    """sum of q^k / (k! (k + n)!), DLMF 10.2.2 and 10.25.2."""
    total, term = np.zeros_like(q), np.full_like(q, 1 / math.factorial(n))
    for k in range(1, terms):
        total, term = total + term, term * q / (k * (k + n))
    return total + term


def _hankel(x: Array, n: int) -> Array:
    """H_n(x) for x >= 2 by DLMF 10.9.17 with u = s^2: amplitude and phase in one number."""
    z = 1 + 0.5j * _NODES**2 / x[..., None]
    if n:
        mean = (_WEIGHTS * 2 * _NODES**2 * np.sqrt(z)).sum(-1) / math.sqrt(math.pi)
    else:
        mean = (_WEIGHTS / np.sqrt(z)).sum(-1) / math.sqrt(math.pi)
    # exp(i (x - pi / 4 - n pi / 2)), from sin and cos of x itself
    turn = (np.cos(x) + 1j * np.sin(x)) * ((1 - 1j) * math.sqrt(0.5)) * (-1j) ** n
    return np.sqrt(2 / (math.pi * x)) * turn * mean


def _harmonic_series(x: Array, n: int, sign: float) -> Array:
    """sum of (psi(k + 1) + psi(k + n + 1)) (sign x^2 / 4)^k / (k! (k + n)!)."""
    q = sign * x * x / 4
    term = np.full_like(x, 1.0)
    first, second = -GAMMA, -GAMMA + sum(1 / j for j in range(1, n + 1))
    total = term * (first + second)
    for k in range(1, 30):
        term = term * q / (k * (k + n))
        first, second = first + 1 / k, second + 1 / (k + n)
        total = total + term * (first + second)
    return total


def _j(x: Array, n: int) -> Array:
    def series(v: Array) -> Array:
        return (v / 2) ** n * _power_series(-v * v / 4, n)

    a = np.abs(x)
    out = _branches(a, a < _SMALL, series, lambda v: _finite(v, lambda w: _hankel(w, n).real))
    return np.where(x < 0, -out, out) if n else out


def _finite(x: Array, function: Callable[[Array], Array]) -> Array:
    """``function`` of finite numbers; PyTorch has nan at infinity."""
    good = np.isfinite(x)
    return np.where(good, function(np.where(good, x, _SMALL)), np.nan)


def _y(x: Array, n: int) -> Array:
    def series(v: Array) -> Array:  # DLMF 10.8.1 and 10.8.2
        head = 2 / math.pi * np.log(v / 2) * _j(v, n)
        tail = (v / 2) ** n * _harmonic_series(v, n, -1.0) / math.pi
        return head - tail - (2 / (math.pi * v) if n else 0.0)

    out = _branches(x, x < _SMALL, series, lambda v: _finite(v, lambda w: _hankel(w, n).imag))
    return np.where(x > 0, out, np.where(x == 0, -np.inf, np.nan))


def _k(x: Array, n: int, scaled: bool) -> Array:
    def series(v: Array) -> Array:  # DLMF 10.31.1 and 10.31.2
        power = (v / 2) ** n
        i = power * _power_series(v * v / 4, n)
        tail = power / 2 * _harmonic_series(v, n, 1.0)
        k = (1 / v + np.log(v / 2) * i - tail) if n else (tail - np.log(v / 2) * i)
        return k * np.exp(v) if scaled else k

    def integral(v: Array) -> Array:  # DLMF 10.32.8 with t = 1 + s^2 / v
        z = 1 + 0.5 * _NODES**2 / v[..., None]
        part = _WEIGHTS * 2 * _NODES**2 * np.sqrt(z) if n else _WEIGHTS / np.sqrt(z)
        mean = part.sum(-1)
        return mean / np.sqrt(2 * v) * (1.0 if scaled else np.exp(-v))

    out = _branches(x, x < 2.0, series, integral)
    return np.where(x > 0, out, np.where(x == 0, np.inf, np.nan))


def _on_host(function: Callable[[Array], Array]) -> Callable[[Any], Any]:
    """``function`` of an array of any floating dtype."""

    def call(x: Any) -> Any:
        wide = np.asarray(x, np.float64)
        with np.errstate(all="ignore"):
            out = function(wide.reshape(-1)).reshape(wide.shape)
        return np.asarray(out, np.asarray(x).dtype)

    return call


bessel_j0, bessel_j1 = _on_host(lambda x: _j(x, 0)), _on_host(lambda x: _j(x, 1))
bessel_y0, bessel_y1 = _on_host(lambda x: _y(x, 0)), _on_host(lambda x: _y(x, 1))
bessel_k0, bessel_k1 = _on_host(lambda x: _k(x, 0, False)), _on_host(lambda x: _k(x, 1, False))
bessel_k0e, bessel_k1e = _on_host(lambda x: _k(x, 0, True)), _on_host(lambda x: _k(x, 1, True))


@_on_host
def spherical_j0(x: Array) -> Array:
    """sin(x) / x, 1 at 0."""
    out = np.where(x == 0, 1.0, np.sin(x) / np.where(x == 0, 1.0, x))
    return np.where(np.isinf(x), 0.0, out)


# --- Airy -----------------------------------------------------------------------------------------
AI0 = 0.355028053887817239  # Ai(0) and -Ai'(0)
AI1 = 0.258819403792806798


# u = exp(t - exp(-t)) on a grid of t: the powers at both ends of [0, inf) become smooth decay
_T = np.arange(-4.25, 3.9, 1 / 16)
_U = np.exp(_T - np.exp(-_T))
_AIRY_WEIGHTS = np.exp(-_U) * _U ** (5 / 6) * (1 + np.exp(-_T)) / 16
_AIRY_SCALE = 1 / (math.sqrt(math.pi) * 48 ** (1 / 6) * math.gamma(5 / 6))


def _airy_integral(zeta: Array) -> Array:
    """exp(zeta) Ai(z) where zeta = 2 / 3 z^(3 / 2), DLMF 9.5.8."""
    total = (_AIRY_WEIGHTS * (2 + _U / zeta[..., None]) ** (-1 / 6)).sum(-1)
    return total * zeta ** (-1 / 6) * _AIRY_SCALE


@_on_host
def airy_ai(x: Array) -> Array:
    """The Airy function that decays to the right."""

    def series(v: Array) -> Array:  # DLMF 9.4.1
        cube = v**3
        f = g = total_f = total_g = np.ones_like(v)
        for k in range(1, 30):
            f, g = f * cube / ((3 * k - 1) * 3 * k), g * cube / (3 * k * (3 * k + 1))
            total_f, total_g = total_f + f, total_g + g
        return AI0 * total_f - AI1 * v * total_g

    def rest(v: Array) -> Array:
        zeta = 2 / 3 * np.abs(v) ** 1.5
        right = np.exp(-zeta) * _airy_integral(zeta)
        third = np.exp(1j * math.pi / 3)  # Ai(-a) = 2 Re(third Ai(third a)), DLMF 9.2.14
        left = 2 * (third * np.exp(-1j * zeta) * _airy_integral(1j * zeta)).real
        return np.where(v > 0, right, left)

    return _branches(x, (x > -2.5) & (x < 1.5), series, lambda v: _finite(v, rest))
