"""Trigonometric functions and their inverses, written over ``V``.

In: one or two ``V``. Out: the result, accurate over the whole range of the type. Next:
``special.py``.

Reducing a ``float32`` argument uses doubles: ``x = M 2^E`` with an integer ``M`` below ``2^24``.
For a window ``W <= E < W + 27`` the number ``y = x 2^-W`` is an integer below ``2^50``, and only
``2^W (2 / pi) mod 4`` matters for the quadrant, kept as two doubles. Four windows cover all
exponents, chosen by selects, so one path is right from subnormals to the largest number. A
``float64`` needs 61 windows of four doubles: a table of 2 KB, read by gather instructions. The
error of its reduced angle is below ``2^-86`` or, if that is more, a relative ``2^-52``.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

from .exp import (
    INF,
    MAGIC,
    copysign,
    is_negative,
    polynomial,
    two_sum,
)
from .value import (
    BIAS,
    V,
    bits,
    fabs,
    fma,
    from_bits,
    is_nan,
    lookup,
    low_i32,
    rint,
    select,
    sqrt,
    to_f32,
    to_f64,
)

PI_HIGH = {"f32": 3.1415927410125732, "f64": 3.141592653589793}
PI_LOW = {"f32": -8.742277657347586e-08, "f64": 1.2246467991473532e-16}
HALF_PI_HIGH = {type: value / 2 for type, value in PI_HIGH.items()}
HALF_PI_LOW = {type: value / 2 for type, value in PI_LOW.items()}

# (from |x| on, W, 2^W * 2 / pi mod 4 as two doubles)
WINDOWS = (
    (0.0, 0, 0.6366197723675814, -3.935735335036497e-17),
    (2.0**50, 27, -0.5529460512772132, 3.808591801500832e-17),
    (2.0**77, 54, 1.2910009524680295, -3.862804515881076e-17),
    (2.0**104, 79, -0.3284762738195453, 2.3488816399632256e-17),
)
# Rows of 16 binary exponents cover every double above 2^53.
ROWS64 = 61


@lru_cache(maxsize=1)
def _two_over_pi_columns() -> tuple[tuple[float, ...], ...]:
    """``2^(16 row) * 2 / pi mod 4`` of each row as a sum of four doubles: one tuple per term."""
    digits = 1300
    one = 1 << digits

    def arctan_inverse(n: int) -> int:
        total = term = one // n
        k = 1
        while term:
            term //= -n * n
            k += 2
            total += term // k
        return total

    pi = 4 * (4 * arctan_inverse(5) - arctan_inverse(239))
    two_over_pi = (2 * one * one) // pi
    rows = []
    for row in range(ROWS64):
        rest = (two_over_pi << (16 * row)) % (4 * one)
        rest -= 4 * one if rest > 2 * one else 0
        terms = []
        for _ in range(4):
            terms.append(rest / one)  # big integers divide with correct rounding
            rest -= int(Fraction(terms[-1]) * one)
        rows.append(terms)
    return tuple(zip(*rows, strict=True))


# sin(r) = r + r^3 q(r^2), cos(r) = 1 - z / 2 + z^2 q(z) with z = r^2
SIN_Q = {
    "f32": (-0.166666672, 0.008333317, -0.000198363196, 2.69602265e-06),
    "f64": (
        -0.16666666666666666, 0.008333333333333316, -0.00019841269841246675,
        2.7557319209972147e-06, -2.5052103846374562e-08, 1.6058235014275468e-10,
        -7.572368394785411e-13,
    ),
}  # fmt: skip
COS_Q = {
    "f32": (0.041666586, -0.00138850696, 2.42269834e-05),
    "f64": (
        0.04166666666666655, -0.0013888888888866204, 2.480158728452005e-05,
        -2.7557312921123937e-07, 2.087552976032392e-09, -1.1349710437497738e-11,
    ),
}  # fmt: skip
# atan(t) = t + t^3 q(t^2) for |t| <= tan(pi / 8)
ATAN_Q = {
    "f32": (-0.333333164, 0.199984625, -0.142433226, 0.105920956, -0.060735438),
    "f64": (
        -0.3333333333333319, 0.19999999999952403, -0.1428571428007702, 0.11111110777485998,
        -0.09090897586068451, 0.0769205716225923, -0.06663069332117096, 0.05847636361475715,
        -0.05038162736996861, 0.038035476511811835, -0.0178752717987546,
    ),
}  # fmt: skip
# asin(s) = s + s^3 q(s^2) for |s| <= 1/2
ASIN_Q = {
    "f32": (0.166666597, 0.0750050396, 0.0445169918, 0.0318075493, 0.0144387307, 0.0375169292),
    "f64": (
        0.1666666666666676, 0.07499999999970802, 0.044642857174608405, 0.030381942707992927,
        0.02237221498109093, 0.017351612136310885, 0.013980819081643404, 0.011398923774603434,
        0.010780192221325485, 0.0037066175244179606, 0.021706993873038573,
        -0.02099850329671138, 0.032628326625281465,
    ),
}  # fmt: skip


def _reduce32(x: V) -> tuple[V, V]:
    magnitude = fabs(x)
    wide = to_f64(x)
    scale, high, low = wide.like(1.0), wide.like(WINDOWS[0][2]), wide.like(WINDOWS[0][3])
    for start, window, c_high, c_low in WINDOWS[1:]:
        inside = magnitude >= start
        scale = select(inside, 2.0**-window, scale)
        high = select(inside, c_high, high)
        low = select(inside, c_low, low)
    y = wide * scale
    product = y * high
    error = fma(y, high, -product)
    shifted = product + MAGIC["f64"]
    fraction = (product - (shifted - MAGIC["f64"])) + fma(y, low, error)
    return to_f32(fraction * HALF_PI_HIGH["f64"]), low_i32(bits(shifted))


def _reduce64(x: V) -> tuple[V, V]:
    # x = y 2^W with W = 16 row: the row keeps y below 2^69, and only 2^W 2/pi mod 4 matters.
    exponent = (bits(x).shift_right_unsigned(52) & 0x7FF) - 1075
    row = select(exponent > 0, exponent, 0) >> 4
    row = select(row > ROWS64 - 1, ROWS64 - 1, row)
    y = x * from_bits((BIAS["f64"] - (row << 4)) << 52)
    columns = _two_over_pi_columns()
    c1, c2, c3, c4 = (
        lookup(f"fusegrad.two_over_pi.{i}", columns[i], row) for i in range(len(columns))
    )
    p1, p2, p3 = y * c1, y * c2, y * c3
    e1, e2, e3 = fma(y, c1, -p1), fma(y, c2, -p2), fma(y, c3, -p3)
    # Whole turns leave the largest term exactly; the others are at most 2^17.
    top = p1 - rint(p1 * 0.25) * 4.0
    total, lost = two_sum(e1, p2)
    total, lost_more = two_sum(top, total)
    shifted = total + MAGIC["f64"]
    fraction = total - (shifted - MAGIC["f64"])
    rest = (fma(y, c4, e3) + (e2 + p3)) + (lost + lost_more)
    return (fraction + rest) * HALF_PI_HIGH["f64"], bits(shifted)


def _sin_cos(x: V) -> tuple[V, V, V]:
    """Sine and cosine of the reduced angle, and the quadrant."""
    r, quadrant = _reduce64(x) if x.is_f64 else _reduce32(x)
    z = r * r
    sine = fma(r * z, polynomial(z, SIN_Q[x.type]), r)
    cosine = fma(z, fma(z, polynomial(z, COS_Q[x.type]), -0.5), 1.0)
    return sine, cosine, quadrant


def _turn(value: V, quadrant: V) -> V:
    """Flip the sign in quadrants 2 and 3."""
    return from_bits(bits(value) ^ ((quadrant & 2) << (62 if value.is_f64 else 30)))


def sin(x: V) -> V:
    """Sine."""
    sine, cosine, quadrant = _sin_cos(x)
    result = _turn(select((quadrant & 1).equals(0), sine, cosine), quadrant)
    return select(x.equals(0.0), x, result)


def cos(x: V) -> V:
    """Cosine."""
    sine, cosine, quadrant = _sin_cos(x)
    return _turn(select((quadrant & 1).equals(0), cosine, sine), quadrant + 1)


def tan(x: V) -> V:
    """Tangent."""
    sine, cosine, quadrant = _sin_cos(x)
    even = (quadrant & 1).equals(0)
    result = select(even, sine, -cosine) / select(even, cosine, sine)
    return select(x.equals(0.0), x, result)


def _atan_ratio(a: V, b: V) -> V:
    """``atan(a / b)`` for ``a, b >= 0``, in ``[0, pi / 2]``."""
    steep = a > b * 2.414213562373095
    middle = a > b * 0.4142135623730951
    t = select(steep, -b, select(middle, a - b, a)) / select(steep, a, select(middle, a + b, b))
    high, low = HALF_PI_HIGH[a.type], HALF_PI_LOW[a.type]
    zero = a.like(0.0)
    base = select(steep, high, select(middle, zero.like(high / 2), zero))
    base_low = select(steep, low, select(middle, zero.like(low / 2), zero))
    z = t * t
    return base + fma(t * z, polynomial(z, ATAN_Q[a.type]), base_low) + t


def atan(x: V) -> V:
    """Inverse tangent."""
    return copysign(_atan_ratio(fabs(x), x.like(1.0)), x)


def atan2(y: V, x: V) -> V:
    """Angle of the point ``(x, y)``, signs of zero and infinities as in C."""
    a, b = fabs(y), fabs(x)
    largest = select(a > b, a, b)
    # Two infinities count as equal, two zeros as angle 0; huge sides must not overflow in a + b.
    both_infinite = select(a < b, a, b).equals(INF)
    a, b = select(both_infinite, 1.0, a), select(both_infinite, 1.0, b)
    huge = largest > (2.0**1000 if x.is_f64 else 2.0**100)
    scale = select(huge, x.like(2.0**-60 if x.is_f64 else 2.0**-24), x.like(1.0))
    b = select(largest.equals(0.0), 1.0, b)
    angle = _atan_ratio(a * scale, b * scale)
    angle = select(is_negative(x), PI_HIGH[x.type] - (angle - PI_LOW[x.type]), angle)
    return select(is_nan(x), x, select(is_nan(y), y, copysign(angle, y)))


def _asin_parts(x: V) -> tuple[V, V, V]:
    """Whether ``|x| > 1/2``, and ``asin(s)`` as two terms for the small side ``s``."""
    a = fabs(x)
    large = a > 0.5
    z = select(large, (1.0 - a) * 0.5, a * a)
    s = select(large, sqrt(z), a)
    return large, s, s * z * polynomial(z, ASIN_Q[x.type])


def asin(x: V) -> V:
    """Inverse sine."""
    large, s, tail = _asin_parts(x)
    high, low = HALF_PI_HIGH[x.type], HALF_PI_LOW[x.type]
    result = select(large, high - ((s + tail) * 2.0 - low), s + tail)
    return copysign(result, x)


def acos(x: V) -> V:
    """Inverse cosine."""
    large, s, tail = _asin_parts(x)
    negative = x < 0.0
    high, low = PI_HIGH[x.type], PI_LOW[x.type]
    twice = (s + tail) * 2.0
    outer = select(negative, high - (twice - low), twice)
    side = select(negative, -s, s)
    inner = high / 2 - (side - (low / 2 - select(negative, -tail, tail)))
    return select(large, outer, inner)
