"""``fg.special``: functions under the names of ``torch.special``."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .errors import RangeError
from .functions import out as _out
from .functions.common import floating, method
from .functions.elementary import _pair, logit, mvlgamma, sinc, xlog1py, xlogy
from .functions.pointwise import (
    digamma,
    erf,
    erfc,
    erfinv,
    exp2,
    expm1,
    lgamma,
    log1p,
    round,
    sigmoid,
    where,
)
from .functions.reduction import log_softmax, logsumexp, softmax
from .functions.twins import in_place
from .ops import advanced
from .ops import compare as cmp
from .ops import elementwise as ops
from .ops import transcendental as tr
from .tensor import Tensor

expit, gammaln, psi, multigammaln = sigmoid, lgamma, digamma, mvlgamma


def entr(input: Any) -> Tensor:
    """-x * log(x); 0 at 0, -inf below.

    Example:
        >>> import fusegrad as fg
        >>> fg.special.entr(fg.tensor([0.0, 1.0])).tolist()
        [0.0, -0.0]
    """
    x = floating(input)
    inside = cmp.gt(x, 0.0)
    safe = where(inside, x, 1.0)
    value = ops.neg(ops.mul(x, tr.log(safe)))
    below = where(cmp.lt(x, 0.0), -math.inf, 0.0)
    return where(cmp.or_(inside, cmp.isnan(x)), value, cmp.convert(below, dtype=x.dtype))


def ndtr(input: Any) -> Tensor:
    """The area under the normal density up to each element.

    Example:
        >>> import fusegrad as fg
        >>> fg.special.ndtr(fg.tensor(0.0)).item()
        0.5
    """
    return ops.mul(tr.erfc(ops.mul(floating(input), -math.sqrt(0.5))), 0.5)


def ndtri(input: Any) -> Tensor:
    """Where the area under the normal density reaches each element: the inverse of ``ndtr``.

    Example:
        >>> import fusegrad as fg
        >>> fg.special.ndtri(fg.tensor(0.5)).item()
        0.0
    """
    x = floating(input)
    return ops.mul(tr.erfinv(ops.sub(ops.mul(x, 2.0), 1.0)), math.sqrt(2.0))


# --- functions that are one record ----------------------------------------------------------------
def _unary(name: str, primitive: Any, note: str = "") -> Callable[[Any], Tensor]:
    def function(input: Any) -> Tensor:
        return primitive(floating(input, name))

    function.__name__ = name
    function.__doc__ = f"{primitive.doc} Elementwise; integers become the default dtype.{note}"
    return function


def _binary(name: str, primitive: Any, note: str = "") -> Callable[[Any, Any], Tensor]:
    def function(input: Any, other: Any) -> Tensor:
        return primitive(*_pair(name, input, other))

    function.__name__ = name
    function.__doc__ = (
        f"{primitive.doc} Elementwise in (input, other) = (x, y), with broadcasting.{note}"
    )
    return function


_HOST = " Runs on the host, without a derivative."
i0, i0e = _unary("i0", advanced.i0), _unary("i0e", advanced.i0e)
i1, i1e = _unary("i1", advanced.i1), _unary("i1e", advanced.i1e)
erfcx, log_ndtr = _unary("erfcx", advanced.erfcx), _unary("log_ndtr", advanced.log_ndtr)
modified_bessel_i0 = _unary("modified_bessel_i0", advanced.i0)
modified_bessel_i1 = _unary("modified_bessel_i1", advanced.i1)
modified_bessel_k0 = _unary("modified_bessel_k0", advanced.bessel_k0, _HOST)
modified_bessel_k1 = _unary("modified_bessel_k1", advanced.bessel_k1, _HOST)
scaled_modified_bessel_k0 = _unary("scaled_modified_bessel_k0", advanced.bessel_k0e, _HOST)
scaled_modified_bessel_k1 = _unary("scaled_modified_bessel_k1", advanced.bessel_k1e, _HOST)
bessel_j0, bessel_j1 = (
    _unary("bessel_j0", advanced.bessel_j0, _HOST),
    _unary("bessel_j1", advanced.bessel_j1, _HOST),
)
bessel_y0, bessel_y1 = (
    _unary("bessel_y0", advanced.bessel_y0, _HOST),
    _unary("bessel_y1", advanced.bessel_y1, _HOST),
)
spherical_bessel_j0 = _unary("spherical_bessel_j0", advanced.spherical_j0, _HOST)
airy_ai = _unary("airy_ai", advanced.airy_ai, _HOST)
_BY_OTHER = " Runs on the host; differentiable by ``other``."
gammainc = _binary("gammainc", advanced.gammainc, _BY_OTHER)
gammaincc = _binary("gammaincc", advanced.gammaincc, _BY_OTHER)
zeta = _binary("zeta", advanced.zeta, _BY_OTHER)
_POLYNOMIALS = {
    name: _binary(name, primitive, _HOST) for name, primitive in advanced.POLYNOMIALS.items()
}
globals().update(_POLYNOMIALS)


def polygamma(n: int, input: Any) -> Tensor:
    """The ``n``-th derivative of ``digamma``, elementwise; ``digamma`` itself for 0.

    Args:
        n: the order, a non-negative integer.
        input: any real dtype; integers become the default dtype.

    Raises:
        RuntimeError: a negative ``n``.

    Example:
        >>> import fusegrad as fg
        >>> f"{fg.polygamma(1, fg.tensor(1.0)).item():.4f}"
        '1.6449'
    """
    if n < 0:
        raise RangeError(f"polygamma({n}, ...)", "polygamma(n, x) does not support negative n.")
    x = floating(input, "polygamma")
    return tr.digamma(x) if n == 0 else advanced.polygamma(x, n=n)


def _polygamma_method(self: Tensor, n: int) -> Tensor:
    return polygamma(n, self)


igamma, igammac = gammainc, gammaincc
_METHODS: dict[str, Callable[..., Tensor]] = {
    "i0": i0, "igamma": igamma, "igammac": igammac, "polygamma": _polygamma_method,
}  # fmt: skip
for _name, _function in _METHODS.items():
    method(_name)(_function)
    in_place(f"{_name}_", _function)

# Not of this kind: softmax and its like have no out= under these names.
_out.accept(
    globals(),
    """
    digamma entr erf erfc erfinv exp2 expit expm1 gammaln log1p logit logsumexp multigammaln ndtr
    ndtri psi round sinc xlog1py xlogy airy_ai bessel_j0 bessel_j1 bessel_y0 bessel_y1 erfcx
    gammainc gammaincc i0 i0e i1 i1e log_ndtr modified_bessel_i0 modified_bessel_i1
    modified_bessel_k0 modified_bessel_k1 polygamma scaled_modified_bessel_k0
    scaled_modified_bessel_k1 spherical_bessel_j0 zeta
    """
    + " ".join(_POLYNOMIALS),
)

__all__ = [
    "airy_ai", "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "digamma", "entr", "erf", "erfc",
    "erfcx", "erfinv", "exp2", "expit", "expm1", "gammainc", "gammaincc", "gammaln", "i0", "i0e",
    "i1", "i1e", "log1p", "log_ndtr", "log_softmax", "logit", "logsumexp", "modified_bessel_i0",
    "modified_bessel_i1", "modified_bessel_k0", "modified_bessel_k1", "multigammaln", "ndtr",
    "ndtri", "polygamma", "psi", "round", "scaled_modified_bessel_k0", "scaled_modified_bessel_k1",
    "sinc", "softmax", "spherical_bessel_j0", "xlog1py", "xlogy", "zeta", *_POLYNOMIALS,
]  # fmt: skip
