"""Error functions, their inverse, and the gamma family, written over ``V``.

In: one ``V``. Out: ``erf``, ``erfc``, ``erfinv``, ``lgamma``, ``digamma``. Every range has its own
polynomial; all are evaluated and a select keeps the right one.
"""

from __future__ import annotations

from .exp import (
    INF,
    NAN,
    copysign,
    expm1_core,
    log,
    polynomial,
    power_of_two,
    reduce_exp,
    scale_by_power,
)
from .special_tables import (
    COSPI_Q,
    DIGAMMA_FAR,
    DIGAMMA_NEAR,
    ERF_G,
    ERF_Q,
    ERFC_H,
    ERFINV_FAR,
    ERFINV_LAST64,
    ERFINV_NEAR,
    LGAMMA_ONE,
    LGAMMA_STIRLING,
    LGAMMA_TWO,
    SINPI_Q,
)
from .value import V, fabs, fma, rint, select, sqrt

# (log(2 pi) - 1) / 2
STIRLING_CONSTANT = 0.4189385332046727
DIGAMMA_ROOT = {
    "f32": (1.4616321325302124, 1.243815006546356e-08),
    "f64": (1.4616321449683622, 9.549995429965697e-17),
}
PI = 3.141592653589793


def _erfc_positive(a: V) -> V:
    """``erfc(a)`` for ``a >= 0``; NaN passes."""
    limit, centre = (27.4, 4.0) if a.is_f64 else (10.2, 3.0)
    a = select(a > limit, limit, a)
    h = polynomial((a - centre) / (a + centre), ERFC_H[a.type])
    square = a * a
    r, k = reduce_exp(-square)
    # The rounding error of the square goes into r; scaled last, as the result may be subnormal.
    small = expm1_core(r - fma(a, a, -square))
    quotient = h / (a * 2.0 + 1.0)
    return scale_by_power(fma(quotient, small, quotient), k)


def erf(x: V) -> V:
    """Error function."""
    a = fabs(x)
    z = a * a
    small = fma(a, polynomial(z, ERF_Q[x.type]), a)
    if x.is_f64:
        large = 1.0 - _erfc_positive(a)
    else:
        # The exponent stays above -16: no clamp, and one scaling step.
        r, k = reduce_exp(-polynomial(select(a > 4.0, 4.0, a), ERF_G))
        scale = power_of_two(k, x)
        large = 1.0 - fma(scale, expm1_core(r), scale)
    return copysign(select(a < 1.0, small, large), x)


def erfc(x: V) -> V:
    """Complementary error function."""
    a = fabs(x)
    result = _erfc_positive(a)
    result = select(x < 0.0, 2.0 - result, result)
    near = 1.0 - fma(x, polynomial(x * x, ERF_Q[x.type]), x)
    return select(a < 0.5, near, result)


def erfinv(x: V) -> V:
    """Inverse error function; inf at 1, NaN beyond."""
    w = -log(fma(x, -x, 1.0))
    switch, centre = (6.25, 3.125) if x.is_f64 else (6.0, 3.0)
    root = sqrt(w)
    factor = select(
        w < switch,
        polynomial(w - centre, ERFINV_NEAR[x.type]),
        polynomial(root - 3.25, ERFINV_FAR[x.type]),
    )
    if x.is_f64:
        factor = select(w < 16.0, factor, polynomial(root - 5.0, ERFINV_LAST64))
    result = select(fabs(x).equals(1.0), x * INF, x * factor)
    return select(x.equals(0.0), x, result)


def lgamma(x: V) -> V:
    """Logarithm of the absolute value of the gamma function."""
    a = fabs(x)
    logarithm = log(a)
    tiny, low, one, two = a < 0.2, a < 0.5, a < 0.8, a < 1.5
    d_one = select(low, select(tiny, x, a), a - 1.0)
    d_two = select(one, a - 1.0, a - 2.0)
    near_one = d_one * polynomial(d_one - 0.15625, LGAMMA_ONE[x.type])
    near_two = d_two * polynomial(d_two - 0.5, LGAMMA_TWO[x.type])
    near = select(low | (two & ~one), near_one, near_two)
    near = select(one, near - logarithm, near)
    w = 1.0 / a
    correction = fma(w, polynomial(w, LGAMMA_STIRLING[x.type]), STIRLING_CONSTANT)
    positive = select(a < 3.5, near, fma(a - 0.5, logarithm - 1.0, correction))
    # Gamma(-a) Gamma(a) = -pi / (a sin(pi a))
    r = a - rint(a)
    sine = fabs(_sin_pi(r))
    reflected = -log(a * sine * (1.0 / PI)) - positive
    result = select((x < 0.0) & ~tiny, reflected, positive)
    return select(a.equals(INF), INF, result)


def _sin_pi(r: V) -> V:
    """``sin(pi r)`` for ``|r| <= 1/2``."""
    z = r * r
    return fma(r * z, polynomial(z, SINPI_Q[r.type]), r * PI)


def digamma(x: V) -> V:
    """Logarithmic derivative of the gamma function; NaN at negative integers."""
    negative = x < 0.0
    v = select(negative, 1.0 - x, x)
    below = v < 1.0
    t = select(below, v + 1.0, v)
    inverse = 1.0 / v
    high, low = DIGAMMA_ROOT[x.type]
    near = ((t - high) - low) * polynomial(t - 1.5, DIGAMMA_NEAR[x.type])
    far = log(t) - inverse * polynomial(inverse, DIGAMMA_FAR[x.type])
    result = select(t < 2.0, near, far)
    result = select(below, result - inverse, result)
    # digamma(x) = digamma(1 - x) - pi cot(pi x)
    r = x - rint(x)
    z = r * r
    cosine = fma(z, polynomial(z, COSPI_Q[x.type]), 1.0)
    reflected = result - cosine * PI / _sin_pi(r)
    reflected = select(r.equals(0.0), NAN, reflected)
    return select(negative, reflected, result)
