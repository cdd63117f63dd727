"""``pow``, written over ``V``.

In: base and exponent. Out: ``x ** y`` with C99's special cases. An error of ``y log x`` turns into
a relative error of the result, and that product reaches 700, so that ten bits beyond the type are
needed: ``float32`` takes the logarithm in doubles, ``float64`` as a sum of two doubles. Next:
``special.py``.
"""

from __future__ import annotations

from .exp import (
    EXP2_Q,
    INF,
    LN2_HIGH,
    LN2_LOW,
    NAN,
    clamp,
    exact_float,
    expm1_core,
    nearest_integer,
    normalise,
    polynomial,
    reduce_exp,
    scale_by_power,
    split_exponent,
    two_sum,
)
from .value import (
    V,
    bits,
    fabs,
    fma,
    from_bits,
    low_i32,
    select,
    to_f32,
    to_f64,
    trunc,
)

# log2(1 + f) = f q(f) on [sqrt(1/2) - 1, sqrt(2) - 1], to 2^-38
LOG2_Q = (
    1.4426950408865582, -0.7213475203270636, 0.48089834881215254, -0.36067379323958004,
    0.2885387949162066, -0.24044642727553742, 0.20610714650777953, -0.18043691560359704,
    0.16021642802333613, -0.14249667172512218, 0.13027581734088886, -0.13463854348719725,
    0.132518103706112, -0.06973296954664752,
)  # fmt: skip
# log((1 + s) / (1 - s)) = 2 s + s z (2/3 + z q(z)), z = s^2, to 2^-66 of the result
LOG_Q = (
    0.4, 0.28571428571429375, 0.2222222222165133, 0.18181818336322408, 0.15384594872224233,
    0.1333480919529892, 0.1170612507385906, 0.1172425897646252,
)  # fmt: skip
TWO_THIRDS_HIGH, TWO_THIRDS_LOW = 0.6666666666666666, 3.700743415417188e-17


def _fast_two_sum(a: V, b: V) -> tuple[V, V]:
    """The same, where ``|a| >= |b|``."""
    total = a + b
    return total, b - (total - a)


def _log_double(m: V, e: V) -> tuple[V, V]:
    """``e ln2 + log(m)`` as a sum of two doubles."""
    numerator, denominator = m - 1.0, m + 1.0
    # The lost part of m + 1, and from it the quotient s + s_low.
    denominator_low = m - (denominator - 1.0)
    s = numerator / denominator
    s_low = fma(-s, denominator, numerator)
    s_low = fma(-s, denominator_low, s_low) / denominator
    z = s * s
    z_low = fma(s, s, -z) + (s + s) * s_low
    tail = z * polynomial(z, LOG_Q)
    # c = 2/3 + tail, w = z c, t = s w
    c, c_low = _fast_two_sum(s.like(TWO_THIRDS_HIGH), tail)
    c_low = c_low + TWO_THIRDS_LOW
    w = z * c
    w_low = fma(z, c, -w) + (z * c_low + z_low * c)
    t = s * w
    t_low = fma(s, w, -t) + (s * w_low + s_low * w)
    high = e * LN2_HIGH["f64"]
    low = fma(e, LN2_HIGH["f64"], -high) + e * LN2_LOW["f64"]
    total, rest = two_sum(high, s + s)
    total, more = two_sum(total, t)
    return _fast_two_sum(total, ((rest + more) + (low + t_low)) + (s_low + s_low))


def _patch_log(a: V, logarithm: V) -> V:
    """-inf at 0, and infinity and NaN as themselves (``a`` may be narrower)."""
    wide = to_f64(a)
    return select(wide < INF, select(wide > 0.0, logarithm, -INF), wide)


def _power64(a: V, y: V) -> V:
    """``a ** y`` for ``a >= 0`` and finite ``y``."""
    log_high, log_low = _log_double(*normalise(a))
    log_high = _patch_log(a, log_high)
    product = log_high * y
    low = fma(log_high, y, -product) + log_low * y
    # Beyond this the result over- or underflows whatever the low part, which may be NaN.
    low = select(fabs(product) < 800.0, low, 0.0)
    r, k = reduce_exp(clamp(product, -760.0, 720.0))
    r, low = _fast_two_sum(r, low)
    small = expm1_core(r)
    return scale_by_power((fma(small, low, low) + small) + 1.0, k)


def _power32(a: V, y: V) -> V:
    """``a ** y`` for ``a >= 0`` and finite ``y``: the product in doubles, the power in floats."""
    m, e = split_exponent(to_f64(a))
    f = m - 1.0
    logarithm = _patch_log(a, fma(f, polynomial(f, LOG2_Q), exact_float(e, m)))
    product = clamp(logarithm * to_f64(y), -200.0, 200.0)
    k_float, k = nearest_integer(product, 1.0)
    r = to_f32(product - k_float)
    return scale_by_power(fma(r, polynomial(r, EXP2_Q["f32"]), 1.0), low_i32(k))


def power(x: V, y: V) -> V:
    """``x`` to the power ``y``, special cases as in C99."""
    a = fabs(x)
    # |log a| is 0 or above 1e-16: a larger y changes nothing, and 0 * inf would be NaN.
    limit = 1e30 if x.is_f64 else 1e15
    result = (_power64 if x.is_f64 else _power32)(a, clamp(y, -limit, limit))
    integer = trunc(y).equals(y)
    half = y * 0.5
    odd = integer & trunc(half).differs(half)
    sign_bit = bits(x) & bits(x.like(-0.0))
    result = select(odd, from_bits(bits(result) | sign_bit), result)
    result = select((x < 0.0) & (x > -INF) & ~integer, NAN, result)
    return select(x.equals(1.0) | y.equals(0.0), 1.0, result)
