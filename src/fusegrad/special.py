"""``fg.special``: functions under the names of ``torch.special``."""

from __future__ import annotations

import math
from typing import Any

from .functions import out as _out
from .functions.common import floating
from .functions.elementary import logit, mvlgamma, sinc, xlog1py, xlogy
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
from .ops import elementwise as ops
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
    inside = ops.gt(x, 0.0)
    safe = where(inside, x, 1.0)
    value = ops.neg(ops.mul(x, ops.log(safe)))
    below = where(ops.lt(x, 0.0), -math.inf, 0.0)
    return where(ops.or_(inside, ops.isnan(x)), value, ops.convert(below, dtype=x.dtype))


def ndtr(input: Any) -> Tensor:
    """The area under the normal density up to each element.

    Example:
        >>> import fusegrad as fg
        >>> fg.special.ndtr(fg.tensor(0.0)).item()
        0.5
    """
    return ops.mul(ops.erfc(ops.mul(floating(input), -math.sqrt(0.5))), 0.5)


def ndtri(input: Any) -> Tensor:
    """Where the area under the normal density reaches each element: the inverse of ``ndtr``.

    Example:
        >>> import fusegrad as fg
        >>> fg.special.ndtri(fg.tensor(0.5)).item()
        0.0
    """
    x = floating(input)
    return ops.mul(ops.erfinv(ops.sub(ops.mul(x, 2.0), 1.0)), math.sqrt(2.0))


# Not of this kind: softmax and its like have no out= under these names.
_out.accept(
    globals(),
    """
    digamma entr erf erfc erfinv exp2 expit expm1 gammaln log1p logit logsumexp multigammaln ndtr
    ndtri psi round sinc xlog1py xlogy
    """,
)

__all__ = [
    "digamma", "entr", "erf", "erfc", "erfinv", "exp2", "expit", "expm1", "gammaln", "log1p",
    "log_softmax", "logit", "logsumexp", "multigammaln", "ndtr", "ndtri", "psi", "round", "sinc",
    "softmax", "xlog1py", "xlogy",
]  # fmt: skip
