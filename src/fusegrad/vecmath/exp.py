"""Exponentials and logarithms, written over ``V``.

In: one or two ``V`` of type ``f32`` or ``f64``. Out: the result, as a straight line of selects and
fused multiply-adds. Polynomials are minimax fits (Remez in 50 digits) of the expression named
beside them. ``trig.py`` and ``special.py`` build on the cores here.

The exponential: ``x = k ln2 + r`` with ``|r| <= ln2 / 2``, ``exp(r) = 1 + r + r^2 q(r)``, scaled by
``2^k`` in two exact steps so that subnormal results round once. The logarithm: ``x = m 2^e`` with
``m`` in ``[sqrt(1/2), sqrt(2))``, then ``e ln2 + log1p(m - 1)``, the parts added small to large.
"""

from __future__ import annotations

from collections.abc import Sequence

from .value import (
    BIAS,
    MANTISSA,
    V,
    bits,
    fabs,
    fma,
    from_bits,
    select,
    sqrt,
)

INF = float("inf")
NAN = float("nan")

LN2_HIGH = {"f32": 0.693147182464599609375, "f64": 0.6931471805599453}
LN2_LOW = {"f32": -1.90465429995776804525e-9, "f64": 2.3190468138462996e-17}
LOG2_E = 1.4426950408889634
# 1.5 * 2^mantissa: adding it leaves the nearest integer in the low bits of the sum.
MAGIC = {"f32": 12582912.0, "f64": 6755399441055744.0}
MAGIC_BITS = {"f32": 0x4B400000, "f64": 0x4338000000000000}
SQRT_HALF_BITS = {"f32": 0x3F3504F3, "f64": 0x3FE6A09E667F3BCD}
MIN_NORMAL = {"f32": 2.0**-126, "f64": 2.0**-1022}

# exp(r) = 1 + r + r^2 q(r) on |r| <= ln2 / 2
EXP_Q = {
    "f32": (0.5, 0.166665405, 0.0416662917, 0.00836701039, 0.00139460363),
    "f64": (
        0.5, 0.16666666666666685, 0.04166666666657508, 0.008333333333314158,
        0.0013888888932698756, 0.0001984126990467664, 2.4801503434430298e-05,
        2.7557225953482864e-06, 2.7626910100490066e-07, 2.511524572372571e-08,
    ),
}  # fmt: skip
# 2^r = 1 + r q(r) on |r| <= 1/2
EXP2_Q = {
    "f32": (0.693147182, 0.240226507, 0.0555033013, 0.00961800478, 0.00133996154, 0.000154760244),
    "f64": (
        0.6931471805599453, 0.2402265069591013, 0.05550410866482173, 0.00961812910759456,
        0.0013333558146381207, 0.00015403530456728525, 1.5252733865805419e-05,
        1.321543541974943e-06, 1.017804707919678e-07, 7.073765905043237e-09,
        4.45730616670674e-10,
    ),
}  # fmt: skip
# log1p(f) = f - f^2 / 2 + f^3 q(f) on [sqrt(1/2) - 1, sqrt(2) - 1]
LOG_Q32 = (
    0.333333135, -0.250000089, 0.200021178, -0.166679978, 0.142195582, -0.124055296,
    0.11888057, -0.11676044, 0.0674738511,
)  # fmt: skip
# log((1 + s) / (1 - s)) = 2 s + s z q(z), z = s^2
LOG_Q64 = (
    0.6666666666666726, 0.3999999999945882, 0.28571428733965987, 0.22222199341618237,
    0.18183528001088436, 0.15314909155314144, 0.14787922297183437,
)  # fmt: skip


def _horner(x: V, coefficients: Sequence[float], last: V | None = None) -> V:
    """Horner's rule; ``last`` continues the polynomial after the given coefficients."""
    result = x.like(coefficients[-1]) if last is None else last
    for coefficient in reversed(coefficients[:-1] if last is None else coefficients):
        result = fma(result, x, coefficient)
    return result


def _even_odd(x: V, coefficients: Sequence[float]) -> V:
    """``even(x^2) + x odd(x^2)``, split again while the chains stay long."""
    if len(coefficients) <= SHORT_CHAIN:
        return _horner(x, coefficients)
    square = x * x
    even, odd = _even_odd(square, coefficients[::2]), _even_odd(square, coefficients[1::2])
    return fma(odd, x, even)


# One step of Horner's rule waits four cycles for the one before. Beyond this many coefficients
# the chains of several loop iterations no longer fit the processor's window.
SHORT_CHAIN = 6


def polynomial(x: V, coefficients: Sequence[float]) -> V:
    """Polynomial, constant term first: Horner's rule at the accurate end, split chains beyond."""
    if len(coefficients) <= SHORT_CHAIN + 2:
        return _horner(x, coefficients)
    return _horner(x, coefficients[:2], _even_odd(x, coefficients[2:]))


def two_sum(a: V, b: V | float) -> tuple[V, V]:
    """``a + b`` as rounded sum and exact error."""
    total = a + b
    virtual = total - a
    return total, (a - (total - virtual)) + (b - virtual)


def clamp(x: V, low: float, high: float) -> V:
    """Keep ``x`` in ``[low, high]``; NaN stays NaN. Each select is one minimum or maximum."""
    x = select(x > high, high, x)
    return select(x < low, low, x)


def is_negative(x: V) -> V:
    """Whether the sign bit is set (also of -0 and NaN)."""
    return bits(x) < 0


def copysign(x: V, sign: V) -> V:
    """``x`` with the sign bit of ``sign``."""
    mask = 0x7FFFFFFFFFFFFFFF if x.is_f64 else 0x7FFFFFFF
    return from_bits((bits(x) & mask) | (bits(sign) & ~mask))


def nearest_integer(x: V, scale: float) -> tuple[V, V]:
    """``x * scale`` rounded to nearest, as a float and as an integer; NaN gives some integer."""
    shifted = fma(x, scale, MAGIC[x.type])
    return shifted - MAGIC[x.type], bits(shifted) - MAGIC_BITS[x.type]


def biased_integer(x: V, scale: float) -> tuple[V, V]:
    """``k = x * scale`` rounded to nearest, and an integer whose low bits are ``k + 2 bias``.

    ``scale_biased`` takes the integer: with the bias in it, both powers of two are bare shifts.
    """
    magic = MAGIC[x.type] + 2 * BIAS[x.type]
    shifted = fma(x, scale, magic)
    return shifted - magic, bits(shifted)


def scale_biased(x: V, biased: V) -> V:
    """``x * 2^k`` for an integer from ``biased_integer``; as ``scale_by_power``."""
    half = biased >> 1
    shift = MANTISSA[x.type]
    return x * from_bits(half << shift) * from_bits((biased - half) << shift)


def power_of_two(k: V, like: V) -> V:
    """``2^k`` for a ``k`` in the normal range, built from its bits."""
    return from_bits((k + BIAS[like.type]) << MANTISSA[like.type])


def scale_by_power(x: V, k: V) -> V:
    """``x * 2^k`` over twice the exponent range; only the last product rounds."""
    half = k >> 1
    return x * power_of_two(half, x) * power_of_two(k - half, x)


def reduce_exp(x: V) -> tuple[V, V]:
    """``x = k ln2 + r``: returns ``r`` and the integer ``k``."""
    k_float, k = nearest_integer(x, LOG2_E)
    return remainder_of_ln2(x, k_float), k


def remainder_of_ln2(x: V, k_float: V) -> V:
    """``x - k ln2``."""
    r = fma(k_float, -LN2_HIGH[x.type], x)  # exact: both terms are multiples of the same ulp
    return fma(k_float, -LN2_LOW[x.type], r)


def expm1_core(r: V) -> V:
    """``exp(r) - 1`` for ``|r| <= ln2 / 2``."""
    return fma(r * r, polynomial(r, EXP_Q[r.type]), r)


def exp_times_power(x: V, shift: int) -> V:
    """``exp(x) * 2^shift`` without intermediate overflow."""
    low, high = (-746.0, 711.0) if x.is_f64 else (-104.0, 90.0)
    x = clamp(x, low, high)
    k_float, biased = biased_integer(x, LOG2_E)
    r = remainder_of_ln2(x, k_float)
    return scale_biased(expm1_core(r) + 1.0, biased + shift if shift else biased)


def exp(x: V) -> V:
    """Exponential."""
    return exp_times_power(x, 0)


def exp2(x: V) -> V:
    """Power of two."""
    low, high = (-1076.0, 1025.0) if x.is_f64 else (-151.0, 129.0)
    x = clamp(x, low, high)
    k_float, biased = biased_integer(x, 1.0)
    r = x - k_float
    return scale_biased(fma(r, polynomial(r, EXP2_Q[x.type]), 1.0), biased)


def expm1(x: V) -> V:
    """``exp(x) - 1`` without cancellation."""
    low, high = (-60.0, 710.0) if x.is_f64 else (-40.0, 89.0)
    r, k = reduce_exp(clamp(x, low, high))
    small = expm1_core(r)
    # (2^k (1 + small) - 1) / 2, so that k = 128 does not overflow early.
    half = power_of_two(k - 1, x)
    result = fma(half, small, half - 0.5) * 2.0
    return copysign(select(k.equals(0), small, result), x)


def split_exponent(x: V) -> tuple[V, V]:
    """``x = m 2^e`` for normal ``x > 0``: ``m`` in ``[sqrt(1/2), sqrt(2))``, and integer ``e``."""
    pattern = bits(x)
    e = (pattern - SQRT_HALF_BITS[x.type]) >> MANTISSA[x.type]
    return from_bits(pattern - (e << MANTISSA[x.type])), e


def exact_float(k: V, like: V) -> V:
    """A small integer as a float, by the magic constant (no 64-bit conversion instruction)."""
    return from_bits(k + MAGIC_BITS[like.type]) - MAGIC[like.type]


def log_sum(f: V, e: V) -> V:
    """``e ln2 + log1p(f)`` for ``1 + f`` in ``[sqrt(1/2), sqrt(2))``, ``e`` an integral float."""
    low = LN2_LOW[f.type]
    if f.is_f64:
        s = f / (f + 2.0)
        z = s * s
        half_square = f * f * 0.5
        tail = fma(s, fma(z, polynomial(z, LOG_Q64), half_square), e * low) - half_square
    else:
        z = f * f
        tail = fma(z, -0.5, fma(e, low, f * z * polynomial(f, LOG_Q32)))
    return fma(e, LN2_HIGH[f.type], f + tail)


def normalise(x: V) -> tuple[V, V]:
    """``m`` and integral float ``e`` with ``x = m 2^e``, subnormal ``x > 0`` included."""
    digits = MANTISSA[x.type] + 1
    tiny = x < MIN_NORMAL[x.type]
    m, e = split_exponent(select(tiny, x * 2.0**digits, x))
    e_float = exact_float(e, x)
    return m, select(tiny, e_float - float(digits), e_float)


def log_limits(x: V, result: V) -> V:
    """Patch a logarithm: -inf at 0, NaN below, inf and NaN pass through."""
    result = select(x < INF, result, x)
    return select(x > 0.0, result, select(x.equals(0.0), -INF, NAN + x))


def log(x: V) -> V:
    """Natural logarithm."""
    m, e = normalise(x)
    return log_limits(x, log_sum(m - 1.0, e))


def log2(x: V) -> V:
    """Logarithm to base 2."""
    m, e = normalise(x)
    y = log_sum(m - 1.0, e.like(0.0))
    low = 2.0355273740931033e-17 if x.is_f64 else 1.925963033500011e-8
    result = fma(y, LOG2_E, fma(y, low, e))
    small = fma(y, LOG2_E, y * low)
    return log_limits(x, select(e.equals(0.0), small, result))


def log10(x: V) -> V:
    """Logarithm to base 10."""
    m, e = normalise(x)
    y = log_sum(m - 1.0, e.like(0.0))
    if x.is_f64:
        high, low = 0.3010299956639812, -2.8037281277851704e-18
        y_high, y_low = 0.4342944819032518, 1.098319650216765e-17
    else:
        high, low = 0.3010300099849701, -1.432098083924482e-08
        y_high, y_low = 0.4342944920063019, -1.0103049952192578e-08
    tail = fma(e, low, y * y_low)
    return log_limits(x, fma(e, high, fma(y, y_high, tail)))


def log1p_core(u: V, rest: V, shift: V | float = 0.0) -> V:
    """``log((u + rest) 2^shift)`` for normal ``u > 0`` and ``rest`` below half an ulp of it."""
    m, e = split_exponent(u)
    # rest * 2^-e; past the exponent range it is below half an ulp, and the bits give 0.
    inverse = BIAS[u.type] - e
    inverse = select(inverse > 0, inverse, 0)
    f = fma(rest, from_bits(inverse << MANTISSA[u.type]), m - 1.0)
    return log_sum(f, exact_float(e, u) + shift)


def log1p(x: V) -> V:
    """``log(1 + x)`` without cancellation."""
    u, rest = two_sum(x, 1.0)
    result = copysign(log1p_core(u, select(u < INF, rest, 0.0)), x)
    return log_limits(u, select(x.equals(INF), x, result))


# tanh(x) = x + x^3 q(x^2) on |x| <= 0.55
TANH_Q = {
    "f32": (-0.333333135, 0.133324802, -0.0538404994, 0.0210204422, -0.00619854825),
    "f64": (
        -0.3333333333333328, 0.13333333333323946, -0.053968253962191036, 0.021869488340467376,
        -0.008863231850519043, 0.003592084375832266, -0.0014554931369343655,
        0.0005882383545936724, -0.00023285327894562405, 8.255424358071789e-05,
        -1.902132538077837e-05,
    ),
}  # fmt: skip


def tanh(x: V) -> V:
    """Hyperbolic tangent: a polynomial up to 0.55, then ``1 - 2 E / (1 + E)``, E = exp(-2 |x|)."""
    a = fabs(x)
    z = a * a
    near = fma(a * z, polynomial(z, TANH_Q[x.type]), a)
    limit = 30.0 if x.is_f64 else 20.0
    r, k = reduce_exp(select(a > limit, limit, a) * -2.0)
    scale = power_of_two(k, x)
    e = fma(scale, expm1_core(r), scale)
    far = 1.0 - (e + e) / (e + 1.0)
    return copysign(select(a < 0.55, near, far), x)


def sigmoid(x: V) -> V:
    """``1 / (1 + exp(-x))`` with full relative accuracy down to subnormal results."""
    e = exp_times_power(-fabs(x), 0)
    negative = x < 0.0
    q = select(negative, e, 1.0) / (e + 1.0)
    # e / (1 + e) as e - e q keeps the rounding of 1 + e out of small results.
    return select(negative, fma(-e, q, e), q)


# sinh(x) = x + x^3 q(x^2) on [0, 1]
SINH_Q = {
    "f32": (0.166666672, 0.0083333496, 0.000198361624, 2.81694133e-06),
    "f64": (
        0.16666666666666669, 0.008333333333333148, 0.0001984126984143162,
        2.755731915713797e-06, 2.505212312825493e-08, 1.6057260286125628e-10,
        7.758736836302645e-13,
    ),
}  # fmt: skip


def sinh(x: V) -> V:
    """Hyperbolic sine: a polynomial up to 1, then ``(e^x - e^-x) / 2``."""
    a = fabs(x)
    z = a * a
    half = exp_times_power(a, -1)
    large = half - 0.25 / half
    return copysign(select(a < 1.0, fma(a * z, polynomial(z, SINH_Q[x.type]), a), large), x)


def cosh(x: V) -> V:
    """Hyperbolic cosine."""
    half = exp_times_power(fabs(x), -1)
    return half + 0.25 / half


def _signed_log1p(x: V, w: V, magnitude: V, is_large: V) -> V:
    """``log1p(w)``, or ``log(2 magnitude)`` where that is large, with the sign of ``x``."""
    u, rest = two_sum(w, 1.0)
    u = select(is_large, magnitude, u)
    result = log1p_core(u, select(is_large, 0.0, rest), select(is_large, x.like(1.0), 0.0))
    return copysign(select(magnitude < INF, result, magnitude), x)


def asinh(x: V) -> V:
    """Inverse hyperbolic sine."""
    a = fabs(x)
    large = a > (2.0**28 if x.is_f64 else 2.0**13)
    b = select(large, 1.0, a)
    z = b * b
    w = b + z / (sqrt(z + 1.0) + 1.0)
    return _signed_log1p(x, w, a, large)


def acosh(x: V) -> V:
    """Inverse hyperbolic cosine; NaN below 1."""
    large = x > (2.0**28 if x.is_f64 else 2.0**13)
    t = select(large, 1.0, x - 1.0)
    w = t + sqrt(fma(t, t, t * 2.0))
    return select(x < 1.0, NAN, _signed_log1p(x, w, fabs(x), large))


def atanh(x: V) -> V:
    """Inverse hyperbolic tangent; inf at 1, NaN beyond."""
    a = fabs(x)
    w = (a + a) / (1.0 - a)
    result = log1p(w) * 0.5
    return select(a > 1.0, NAN, copysign(result, x))
