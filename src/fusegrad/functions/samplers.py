"""Draws from distributions: multinomial, poisson, binomial, and tensors filled in place.

Continuous ones are the inverse of their distribution function at a uniform number; all advance the
generator by the draws they make, so eager and compiled calls give the same numbers.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..dtypes import DType, bool_, float32, float64, int64, widen
from ..errors import DTypeError, RangeError, ShapeError
from ..ir.graph import Var
from ..ops import compare as cmp
from ..ops import elementwise as ew
from ..ops import sampling, scan
from ..ops import transcendental as tr
from ..tensor import Tensor
from .common import broadcast_shapes, broadcast_to, cast, method
from .random import Generator, _uniform, bits, randn
from .reduction import sum
from .shape import reshape, unsqueeze
from .sorting import topk

__all__ = ["binomial", "multinomial", "poisson"]


def _values(x: Tensor) -> np.ndarray | None:
    """The numbers of a tensor that has some, for checks that a trace cannot make."""
    return None if isinstance(x._read(), Var) else np.asarray(x._value)


def _float_of(dtype: DType) -> DType:
    return dtype if dtype in (float32, float64) else float32


def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Positions drawn with probabilities in proportion to the elements of each row.

    Args:
        input: ``(n,)`` or ``(rows, n)`` of non-negative weights, floating.
        num_samples: draws per row.
        replacement: whether a position may be drawn again.

    Returns:
        int64 ``(num_samples,)`` or ``(rows, num_samples)``.

    Raises:
        RuntimeError: shapes or dtypes that do not fit; weights that are negative, not finite or all
            zero (eager only); more draws than positions without replacement.

    Example:
        >>> import fusegrad as fg
        >>> fg.multinomial(fg.tensor([0.0, 3.0, 0.0]), 2, replacement=True).tolist()
        [1, 1]
    """
    _check_weights(input, num_samples, replacement)
    p = cast(input.detach(), float64)  # type: ignore[attr-defined]
    if not replacement:
        # the positions of the largest p / e with exponential e (Efraimidis and Spirakis 2006)
        wait = ew.neg(tr.log(ew.sub(1.0, _uniform(p.aval.shape, float64, generator))))
        ratio = ew.div(p, ew.maximum(wait, 1e-300))
        return topk(ratio, num_samples, -1)[1]
    rows = p if p.aval.ndim == 2 else unsqueeze(p, 0)
    upto = scan.cumsum(rows, axis=1, reverse=False)
    total = sum(rows, 1, keepdim=True)
    shape = (rows.aval.shape[0], num_samples)
    mark = ew.mul(_uniform(shape, float64, generator), broadcast_to(total, shape))
    cube = (*shape, rows.aval.shape[1])
    wide = broadcast_to(unsqueeze(upto, 1), cube)
    at = sum(cast(cmp.le(wide, broadcast_to(unsqueeze(mark, 2), cube)), int64), 2)
    below = cmp.lt(upto, broadcast_to(total, upto.aval.shape))  # up to the last weight that counts
    last = sum(cast(below, int64), 1, keepdim=True)
    at = ew.minimum(at, broadcast_to(last, shape))
    return reshape(at, num_samples) if p.aval.ndim == 1 else at


method("multinomial")(multinomial)


def _check_weights(input: Tensor, count: int, replacement: bool) -> None:
    name = f"multinomial of {input.aval}"
    if input.aval.ndim not in (1, 2):
        raise ShapeError(name, "prob_dist must be 1 or 2 dim.")
    if not input.dtype.is_floating_point:
        raise DTypeError(name, "multinomial only supports floating-point dtypes for input.")
    n = input.aval.shape[-1]
    if count <= 0 or (not replacement and count > n):
        raise RangeError(
            f"{name} with num_samples={count}",
            "cannot sample n_sample <= 0, or > prob_dist.size(-1) samples without replacement.",
        )
    weights = _values(input)
    if weights is None or not weights.size:
        return
    weights = widen(weights)
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise RangeError(name, "probability tensor contains either `inf`, `nan` or element < 0.")
    if (np.count_nonzero(weights, -1) < (1 if replacement else count)).any():
        raise RangeError(
            name, "invalid multinomial distribution: too few categories with a positive weight."
        )


def _key(generator: Generator | None) -> Tensor:
    return bits((), generator)


def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Counts of events at the rates ``input``, in its dtype; runs on the host.

    Raises:
        RuntimeError: a negative rate (eager only; nan in a compiled step).

    Example:
        >>> import fusegrad as fg
        >>> fg.poisson(fg.zeros(2)).tolist()
        [0.0, 0.0]
    """
    rates = _values(input)
    if not input.dtype.is_floating_point:
        raise DTypeError(f"poisson of {input.aval}", "Rates are floating.", "rate.float()")
    if rates is not None and (rates < 0).any():
        raise RangeError(f"poisson of {input.aval}", "expected rate to be non-negative.")
    return sampling.poisson(input.detach(), _key(generator))  # type: ignore[attr-defined]


def binomial(count: Tensor, prob: Tensor, generator: Generator | None = None) -> Tensor:
    """Successes in ``count`` trials of probability ``prob``, in their dtype; runs on the host.

    Example:
        >>> import fusegrad as fg
        >>> fg.binomial(fg.tensor([3.0, 5.0]), fg.tensor([0.0, 1.0])).tolist()
        [0.0, 5.0]
    """
    if count.dtype is not prob.dtype or not count.dtype.is_floating_point:
        raise DTypeError(f"binomial of {count.aval} and {prob.aval}", "One floating dtype.")
    shape = broadcast_shapes(count.aval.shape, prob.aval.shape, op="binomial")
    n, p = (broadcast_to(x.detach(), shape) for x in (count, prob))  # type: ignore[attr-defined]
    return sampling.binomial(n, p, _key(generator))


# --- in place -------------------------------------------------------------------------------------
def _needs(holds: bool, what: str, why: str) -> None:
    if not holds:
        raise RangeError(what, why)


def _floating(self: Tensor, name: str) -> None:
    if not self.dtype.is_floating_point:
        raise DTypeError(f"{name} of {self.aval}", "It fills floating tensors.", "x.float()")


@method("exponential_")
def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with exponential numbers of rate ``lambd`` > 0 in place."""
    _floating(self, "exponential_")
    _needs(lambd > 0, f"exponential_ with lambd={lambd}", "expects lambda > 0.0")
    u = _uniform(self.aval.shape, _float_of(self.dtype), generator)
    wait = ew.mul(ew.neg(tr.log(ew.sub(1.0, u))), 1.0 / lambd)
    return self._assign(cast(wait, self.dtype), "exponential_")


@method("cauchy_")
def cauchy_(
    self: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with Cauchy numbers in place."""
    _floating(self, "cauchy_")
    _needs(sigma > 0, f"cauchy_ with sigma={sigma}", "expects sigma > 0.0")
    u = _uniform(self.aval.shape, _float_of(self.dtype), generator)
    slope = tr.tan(ew.mul(ew.sub(u, 0.5), math.pi))
    return self._assign(cast(ew.add(ew.mul(slope, sigma), median), self.dtype), "cauchy_")


@method("log_normal_")
def log_normal_(
    self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with numbers whose logarithm is normal, in place."""
    _floating(self, "log_normal_")
    _needs(std > 0, f"log_normal_ with std={std}", "expects std > 0.0")
    draw = randn(self.aval.shape, dtype=_float_of(self.dtype), generator=generator)
    value = tr.exp(ew.add(ew.mul(draw, std), mean))
    return self._assign(cast(value, self.dtype), "log_normal_")


@method("geometric_")
def geometric_(self: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Fill with numbers of trials up to the first success, of probability ``p``, in place."""
    _needs(0 < p < 1, f"geometric_ with p={p}", "expects p to be in (0, 1)")
    u = _uniform(self.aval.shape, _float_of(self.dtype), generator)
    misses = ew.floor(ew.mul(tr.log(ew.sub(1.0, u)), 1.0 / math.log1p(-p)))
    return self._assign(cast(ew.add(misses, 1.0), self.dtype), "geometric_")


@method("random_")
def random_(self: Tensor, *limits: Any, generator: Generator | None = None, **named: Any) -> Tensor:
    """Fill with whole numbers in place: ``random_(from, to)``, ``random_(to)`` or, up to the
    largest that the dtype counts exactly, ``random_()``; ``to`` is excluded."""
    low, high = limits if len(limits) == 2 else (0, limits[0] if limits else None)
    low, high = named.get("from", low), named.get("to", high)
    if high is None:
        high = _most(self.dtype) + 1
    _needs(low < high, f"random_ from {low} to {high}", "expects 'from' to be less than 'to'.")
    span = high - low
    raw = bits(self.aval.shape, generator)
    step = cmp.shift_right(raw, 1) if span >= 1 << 63 else ew.remainder(raw, span)
    whole = ew.add(cast(step, int64), low)
    return self._assign(cast(whole, self.dtype), "random_")


def _most(dtype: DType) -> int:
    if dtype is bool_:
        return 1
    if dtype.is_floating_point:
        return 1 << {2: 11, 4: 24, 8: 53}[dtype.itemsize]
    return min(int(np.iinfo(dtype.np).max), (1 << 63) - 1)
