"""Records of special functions beyond the elementary ones.

What a training step uses has a kernel: the scaled Bessel functions, ``erfcx``, ``log_ndtr`` as
scalar texts over the vector math, ``polygamma`` as a composition. Composing the others would cost
accuracy (their derivatives cancel), or they iterate: those are of kind ``host``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..dtypes import DType
from ..ir.aval import Aval
from ..ir.primitive import Primitive, Rule
from . import hostbessel, hostgamma, special
from .compare import eq, lt, where
from .elementwise import add, div, mul, neg, reciprocal, round_, sign, sub
from .kinds import FLOAT, common_shape, elementwise, not_differentiable, typed
from .samples import Samples, cases
from .transcendental import cos, exp, lgamma, log, sin

_TWO_REST_PI = 2.0 / math.sqrt(math.pi)
_ROOT_HALF = math.sqrt(0.5)


# --- modified Bessel functions --------------------------------------------------------------------
def _by_x(value: Any, x: Any) -> Any:
    """value / x, and 1/2 (times exp(-|x|)) at 0, for odd functions that begin as x / 2."""
    zero = eq(x, 0.0)
    return where(zero, 0.5, div(value, where(zero, 1.0, x)))


i0e: Primitive = elementwise(
    "i0e",
    special.i0e,
    "i0e({0})",
    [lambda g, x, out: mul(g, sub(i1e(x), mul(sign(x), out)))],
    cost=40,
    doc="exp(-|x|) times the modified Bessel function I0.",
)
i1e: Primitive = elementwise(
    "i1e",
    special.i1e,
    "i1e({0})",
    [lambda g, x, out: mul(g, sub(sub(i0e(x), mul(sign(x), out)), _by_x(out, x)))],
    cost=40,
    doc="exp(-|x|) times the modified Bessel function I1.",
)
i0: Primitive = elementwise(
    "i0",
    lambda x: np.exp(np.abs(x)) * special.i0e(x),
    "exp(absolute({0})) * i0e({0})",
    [lambda g, x: mul(g, i1(x))],
    cost=50,
    doc="Modified Bessel function I0.",
)
i1: Primitive = elementwise(
    "i1",
    lambda x: np.exp(np.abs(x)) * special.i1e(x),
    "exp(absolute({0})) * i1e({0})",
    [lambda g, x, out: mul(g, sub(i0(x), _by_x(out, x)))],
    cost=50,
    doc="Modified Bessel function I1.",
)

# --- error functions ------------------------------------------------------------------------------
erfcx: Primitive = elementwise(
    "erfcx",
    special.erfcx,
    "erfcx({0})",
    [lambda g, x, out: mul(g, sub(mul(2.0, mul(x, out)), _TWO_REST_PI))],
    cost=30,
    doc="exp(x^2) erfc(x), the complementary error function without its decay.",
)


def _log_ndtr(x: np.ndarray) -> np.ndarray:
    c = x.dtype.type(_ROOT_HALF)
    half = x.dtype.type(0.5)
    tail = np.log(special.erfcx(-x * c) * half) - x * x * half
    return np.where(x < -1, tail, np.log1p(special.erfc(x * c) * -half))


log_ndtr: Primitive = elementwise(
    "log_ndtr",
    _log_ndtr,
    typed(
        "where({0} < {T}(-1), log(erfcx(-{0} * {T}(ROOT)) * {T}(0.5)) - {0} * {0} * {T}(0.5),"
        " log1p(erfc({0} * {T}(ROOT)) * {T}(-0.5)))".replace("ROOT", repr(_ROOT_HALF))
    ),
    [lambda g, x: mul(g, div(math.sqrt(2.0 / math.pi), erfcx(mul(x, -_ROOT_HALF))))],
    cost=60,
    doc="Logarithm of the area under the normal density up to x.",
)


# --- polygamma ------------------------------------------------------------------------------------
def _power(x: Any, n: int) -> Any:
    """x ** n for n >= 1 by repeated squaring."""
    if n == 1:
        return x
    half = _power(x, n // 2)
    square = mul(half, half)
    return mul(square, x) if n % 2 else square


_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)


def _polygamma_right(x: Any, n: int) -> Any:
    """|psi_n(x)| for x > 0: terms of the sum, then the asymptotic series (DLMF 5.15.8)."""
    shift = 10 + n
    total: Any = 0.0
    for k in range(shift):
        term = _power(reciprocal(add(x, float(k))), n + 1)
        total = term if k == 0 else add(total, term)
    r = reciprocal(add(x, float(shift)))
    square = mul(r, r)
    tail: Any = mul(r, 0.0)  # highest term first
    for k in reversed(range(1, len(_BERNOULLI) + 1)):
        weight = _BERNOULLI[k - 1] * math.comb(2 * k + n - 1, n) / (2 * k)
        tail = mul(square, add(tail, weight))
    series = add(add(mul(r, 0.5), 1.0 / n), tail)
    out = add(total, mul(_power(r, n), series))
    return mul(out, float(math.factorial(n)))


def _cotangent_polynomial(n: int) -> list[int]:
    """Coefficients of P with the n-th derivative of cot = P(cot), from cot' = -(1 + cot^2)."""
    p = [0, 1]
    for _ in range(n):
        slope = [k * c for k, c in enumerate(p)][1:]
        p = [0] * (len(slope) + 2)
        for k, c in enumerate(slope):
            p[k] -= c
            p[k + 2] -= c
    return p


def _polygamma(x: Any, n: int) -> Any:
    """psi_n by the right half and its reflection (DLMF 5.15.6)."""
    left = lt(x, 0.5)
    right = _polygamma_right(where(left, sub(1.0, x), x), n)
    r = sub(x, round_(x))
    turned = mul(where(left, r, 0.25), math.pi)
    cot = div(cos(turned), sin(turned))
    poly: Any = mul(cot, 0.0)
    for c in reversed(_cotangent_polynomial(n)):
        poly = add(mul(poly, cot), float(c))
    # psi_n(x) = (-1)^n psi_n(1 - x) - pi^(n+1) P(cot(pi x)), and psi_n(1 - x) = (-1)^(n+1) |..|
    mirrored = neg(add(right, mul(poly, math.pi ** (n + 1))))
    pole = eq(r, 0.0)
    odd = 1.0 if n % 2 else -1.0
    mirrored = where(pole, odd * math.inf, mirrored)
    return where(left, mirrored, mul(right, odd))


def _polygamma_deriv(g: Any, x: Any, n: int) -> Any:
    return mul(g, polygamma(x, n=n + 1))


polygamma: Primitive = Primitive(
    name="polygamma",
    kind="elementwise",
    arg_names=("x",),
    aval_rule=lambda x, n: Aval(x.shape, x.dtype),
    reference=lambda x, n: np.asarray(_polygamma(x, n), x.dtype),
    derivs=(_polygamma_deriv,),
    expand=_polygamma,
    samples=cases(([(5,)], {"n": 1}), ([(3, 4)], {"n": 2}), ([()], {"n": 1}), ([(0, 2)], {"n": 3})),
    cost=100,
    dtypes=FLOAT,
    domain=(0.3, 4.0),
    doc="The n-th derivative of digamma, n >= 1.",
)


# --- on the host ----------------------------------------------------------------------------------
def _host(
    name: str,
    reference: Callable[..., Any],
    doc: str,
    derivs: Sequence[Rule | None] = (),
    domain: tuple[float, float] = (0.3, 4.0),
    arity: int = 1,
    dtypes: tuple[DType, ...] = FLOAT,
) -> Primitive:
    """A record of kind ``host`` over operands of one shape and dtype."""
    shapes: Samples = cases(*[([s] * arity, {}) for s in ((5,), (3, 4), (), (0, 2))])
    return Primitive(
        name=name,
        kind="host",
        arg_names=("x", "y")[:arity],
        aval_rule=lambda *avals: Aval(common_shape(name, avals), avals[0].dtype),
        reference=reference,
        derivs=tuple(derivs) or (not_differentiable(name),) * arity,
        samples=shapes,
        cost=100,
        dtypes=dtypes,
        domain=domain,
        doc=doc,
    )


bessel_j0 = _host("bessel_j0", hostbessel.bessel_j0, "Bessel function J0.")
bessel_j1 = _host("bessel_j1", hostbessel.bessel_j1, "Bessel function J1.")
bessel_y0 = _host("bessel_y0", hostbessel.bessel_y0, "Bessel function Y0.")
bessel_y1 = _host("bessel_y1", hostbessel.bessel_y1, "Bessel function Y1.")
bessel_k0 = _host("bessel_k0", hostbessel.bessel_k0, "Modified Bessel function K0.")
bessel_k1 = _host("bessel_k1", hostbessel.bessel_k1, "Modified Bessel function K1.")
bessel_k0e = _host("bessel_k0e", hostbessel.bessel_k0e, "exp(x) times K0.")
bessel_k1e = _host("bessel_k1e", hostbessel.bessel_k1e, "exp(x) times K1.")
spherical_j0 = _host("spherical_j0", hostbessel.spherical_j0, "sin(x) / x, 1 at 0.")
airy_ai = _host("airy_ai", hostbessel.airy_ai, "The Airy function that decays to the right.")


def _density(x: Any, y: Any) -> Any:
    """y^(x - 1) exp(-y) / gamma(x), the derivative of gammainc by its second operand."""
    return exp(sub(sub(mul(sub(x, 1.0), log(y)), y), lgamma(x)))


gammainc: Primitive = _host(
    "gammainc",
    hostgamma.gammainc,
    "The regularised lower incomplete gamma function.",
    [not_differentiable("gammainc by its first operand"), lambda g, x, y: mul(g, _density(x, y))],
    arity=2,
)
gammaincc: Primitive = _host(
    "gammaincc",
    hostgamma.gammaincc,
    "The regularised upper incomplete gamma function.",
    [
        not_differentiable("gammaincc by its first operand"),
        lambda g, x, y: neg(mul(g, _density(x, y))),
    ],
    arity=2,
)
zeta: Primitive = _host(
    "zeta",
    hostgamma.zeta,
    "Hurwitz' zeta function, the sum of (k + y)^-x.",
    [
        not_differentiable("zeta by its first operand"),
        lambda g, x, y: neg(mul(g, mul(x, zeta(add(x, 1.0), y)))),
    ],
    arity=2,
    domain=(1.5, 4.0),
)
POLYNOMIALS = {
    name: _host(name, reference, f"{name.replace('_', ' ').capitalize()} of degree y.", arity=2)
    for name, reference in hostgamma.POLYNOMIALS.items()
}
