"""Rounding, remainders, signs, predicates and roots, written over ``V``.

In: one to three ``V``. Out: the result of the C or NumPy function of that name. ``fmod`` is exact
long division in steps of 48 bits. Next: ``__init__.py``, which registers everything.
"""

from __future__ import annotations

from . import value
from .exp import INF, NAN, copysign
from .value import BIAS, MANTISSA, V, bits, fabs, from_bits, is_nan, select


def sqrt(x: V) -> V:
    """Square root, correctly rounded."""
    return value.sqrt(x)


def rsqrt(x: V) -> V:
    """Reciprocal square root; inf with the sign of zero at zero."""
    return 1.0 / value.sqrt(x)


def floor(x: V) -> V:
    """Largest integer not above."""
    return value.floor(x)


def ceil(x: V) -> V:
    """Smallest integer not below."""
    return value.ceil(x)


def trunc(x: V) -> V:
    """Integer part, towards zero."""
    return value.trunc(x)


def round_half_even(x: V) -> V:
    """Nearest integer, ties to even."""
    return value.rint(x)


def fma(a: V, b: V, c: V) -> V:
    """``a * b + c`` with one rounding."""
    return value.fma(a, b, c)


def sign(x: V) -> V:
    """-1, 0 or 1; NaN stays NaN."""
    return select(x > 0.0, 1.0, select(x < 0.0, -1.0, select(is_nan(x), x, 0.0)))


def isnan(x: V) -> V:
    """Whether NaN."""
    return is_nan(x)


def isinf(x: V) -> V:
    """Whether plus or minus infinity."""
    return fabs(x).equals(INF)


def isfinite(x: V) -> V:
    """Whether neither infinite nor NaN."""
    return fabs(x) < INF


def maximum(x: V, y: V) -> V:
    """The larger; NaN if either is NaN."""
    return select((x >= y) | is_nan(x), x, y)


def minimum(x: V, y: V) -> V:
    """The smaller; NaN if either is NaN."""
    return select((x <= y) | is_nan(x), x, y)


def hypot(x: V, y: V) -> V:
    """``sqrt(x^2 + y^2)`` without overflow or underflow; inf wins over NaN."""
    a, b = fabs(x), fabs(y)
    large, small = select(a > b, a, b), select(a > b, b, a)
    if x.is_f64:
        huge, tiny = large > 2.0**500, large < 2.0**-500
        one = x.like(1.0)
        down = select(huge, 2.0**-600, select(tiny, 2.0**600, one))
        up = select(huge, 2.0**600, select(tiny, 2.0**-600, one))
        large, small = large * down, small * down
        square = large * large
        error = value.fma(large, large, -square)
        root = value.sqrt(square + value.fma(small, small, error)) * up
    else:
        p, q = value.to_f64(large), value.to_f64(small)
        root = value.to_f32(value.sqrt(value.fma(p, p, q * q)))
    root = select(is_nan(x), x, select(is_nan(y), y, root))
    return select(a.equals(INF) | b.equals(INF), INF, root)


# Quotient bits removed by one step, and the steps: 7 * 48 exceeds the 277 bits of float32.
FMOD_STEP = 48
FMOD_STEPS = {"f32": 6, "f64": 6}


def _mantissa_and_exponent(x: V) -> tuple[V, V]:
    """``x = m 2^e`` for finite double ``x > 0``: ``m`` in ``[1, 2)``, subnormals included."""
    tiny = x < 2.0**-1022
    pattern = bits(select(tiny, x * 2.0**54, x))
    e = (pattern >> 52) - BIAS["f64"]
    m = from_bits((pattern & ((1 << 52) - 1)) | (BIAS["f64"] << 52))
    return m, select(tiny, e - 54, e)


def _fmod64(x: V, y: V, steps: int) -> V:
    """``fmod`` of doubles by long division; NaN where the quotient has too many bits."""
    a, b = fabs(x), fabs(y)
    safe_a = select((a > 0.0) & (a < INF), a, 1.0)
    safe_b = select((b > 0.0) & (b < INF), b, 1.0)
    rest, exponent = _mantissa_and_exponent(safe_a)
    divisor, base = _mantissa_and_exponent(safe_b)
    left = exponent - base
    smaller = left < 0
    left = select(smaller, 0, left)
    inverse = 1.0 / divisor

    def reduce(rest: V) -> V:
        # The quotient is at most one off in either direction; each line is exact.
        rest = value.fma(value.trunc(rest * inverse), -divisor, rest)
        rest = select(rest < 0.0, rest + divisor, rest)
        return select(rest >= divisor, rest - divisor, rest)

    rest = reduce(rest)
    for _ in range(steps):
        step = select(left > FMOD_STEP, FMOD_STEP, left)
        rest = reduce(rest * from_bits((step + BIAS["f64"]) << MANTISSA["f64"]))
        left = left - step
    rest = select(left.equals(0), rest, NAN)
    # rest * 2^base in two steps: the product may be subnormal, and is then exact.
    half = base >> 1
    lower = from_bits((half + BIAS["f64"]) << 52)
    upper = from_bits((base - half + BIAS["f64"]) << 52)
    result = select(smaller, a, rest * lower * upper)
    result = select(b.equals(INF) | a.equals(0.0), a, result)
    invalid = (a < INF) & (b > 0.0)
    return copysign(select(invalid, result, NAN), x)


def fmod(x: V, y: V) -> V:
    """Remainder of the division rounded towards zero: exact, with the sign of ``x``."""
    if x.is_f64:
        return _fmod64(x, y, FMOD_STEPS["f64"])
    return value.to_f32(_fmod64(value.to_f64(x), value.to_f64(y), FMOD_STEPS["f32"]))


def remainder(x: V, y: V) -> V:
    """Remainder of the division rounded down: the sign of ``y``, as Python's ``%``."""
    rest = fmod(x, y)
    shifted = select((rest < 0.0).differs(y < 0.0), rest + y, rest)
    return select(rest.equals(0.0), copysign(rest, y), shifted)


PHILOX_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
PHILOX_WEYL = (0x9E3779B9, 0xBB67AE85)
PHILOX_ROUNDS = 10
WORD = 0xFFFFFFFF


def philox(seed: V, offset: V, position: V) -> V:
    """Philox-4x32-10 with key ``seed`` and counter ``(position, offset)``, low words first.

    The result holds output word 0 in its high half and word 1 in its low half: 24 or 53 top bits
    make a uniform number. Words live in 64-bit lanes, where 32 x 32 -> 64 is one instruction.
    """
    c0, c1 = position & WORD, position.shift_right_unsigned(32)
    c2, c3 = offset & WORD, offset.shift_right_unsigned(32)
    k0, k1 = seed & WORD, seed.shift_right_unsigned(32)
    for _ in range(PHILOX_ROUNDS):
        first, second = c0 * PHILOX_MULTIPLIERS[0], c2 * PHILOX_MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            second.shift_right_unsigned(32) ^ c1 ^ k0,
            second & WORD,
            first.shift_right_unsigned(32) ^ c3 ^ k1,
            first & WORD,
        )
        k0, k1 = (k0 + PHILOX_WEYL[0]) & WORD, (k1 + PHILOX_WEYL[1]) & WORD
    return (c0 << 32) | c1


def integer_pow(x: V, n: V) -> V:
    """``x ** n`` modulo 2**64 by repeated squaring over all bits of ``n``."""
    result = x.like(1)
    for _ in range(64):
        result = result * ((x - 1) * (n & 1) + 1)
        x, n = x * x, n.shift_right_unsigned(1)
    return result
