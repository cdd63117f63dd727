"""Scans along an axis: sums, products, extrema; differences and the trapezoidal rule."""

from __future__ import annotations

import math
from typing import Any

from ..dtypes import DType, bool_, int64
from ..errors import ArgumentError, RangeError, ShapeError
from ..ops import compare as cmp
from ..ops import elementwise as ew
from ..ops import indexing, movement, source
from ..ops import scan as ops
from ..ops import transcendental as tr
from ..tensor import Tensor
from .common import axis_of, cast, method, owned, pointwise
from .complex import complex, imag, real
from .pointwise import add, exp, log, mul, round, sub, where
from .reduction import sum
from .refusals import floats_only, no_booleans
from .rounding import rounds_once
from .shape import cat, narrow, reshape
from .sorting import ValuesIndices


def _summable(input: Tensor, dtype: DType | None) -> Tensor:
    return cast(input, dtype or (input.dtype if input.dtype.category >= 2 else int64))


@method()
def cumsum(input: Tensor, dim: int, *, dtype: DType | None = None) -> Tensor:
    """Sums of the elements up to each position along ``dim``; integers and booleans give int64.

    Example:
        >>> import fusegrad as fg
        >>> fg.cumsum(fg.tensor([1, 2, 3]), 0).tolist()
        [1, 3, 6]
    """
    x = _summable(input, dtype)
    no_booleans("cumsum", x)
    axis = axis_of(dim, x.aval.ndim)
    return ops.cumsum(x, axis=axis, reverse=False) if x.aval.shape else owned(x)


@method()
@rounds_once
def cumprod(input: Tensor, dim: int, *, dtype: DType | None = None) -> Tensor:
    """Products of the elements up to each position; the gradient is exact at zeros, too.

    Example:
        >>> import fusegrad as fg
        >>> fg.cumprod(fg.tensor([1, 2, 3]), 0).tolist()
        [1, 2, 6]
    """
    x = _summable(input, dtype)
    no_booleans("cumprod", x)
    axis = axis_of(dim, x.aval.ndim)
    if not x.aval.shape or not x.aval.shape[axis]:
        return owned(x)
    gap = tuple(x.aval.shape[axis] - 1 if k == axis else 0 for k in range(x.aval.ndim))
    none = (0,) * x.aval.ndim
    first = movement.pad(narrow(x, axis, 0, 1), low=none, high=gap, interior=none, value=0)
    return ops.recur(x, first, axis=axis, reverse=False)


def _extreme(primitive: Any, input: Tensor, dim: int) -> ValuesIndices:
    axis = axis_of(dim, input.aval.ndim)
    x = cast(input, int64) if input.dtype is bool_ else input
    if not x.aval.shape:
        return ValuesIndices(owned(input), Tensor(source.full(shape=(), dtype=int64, value=0)))
    index = primitive(x.detach(), axis=axis)
    return ValuesIndices(indexing.take_along(input, index, axis=axis), index)


@method()
def cummax(input: Tensor, dim: int) -> ValuesIndices:
    """The maximum of the elements up to each position and where it (last) occurs; nan stays.

    Example:
        >>> import fusegrad as fg
        >>> fg.cummax(fg.tensor([1.0, 3.0, 2.0]), 0).values.tolist()
        [1.0, 3.0, 3.0]
    """
    return _extreme(ops.cumargmax, input, dim)


@method()
def cummin(input: Tensor, dim: int) -> ValuesIndices:
    """The minimum of the elements up to each position and where it (last) occurs; nan stays.

    Example:
        >>> import fusegrad as fg
        >>> fg.cummin(fg.tensor([2.0, 3.0, 1.0]), 0).values.tolist()
        [2.0, 2.0, 1.0]
    """
    return _extreme(ops.cumargmin, input, dim)


@method()
@rounds_once
def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """log(cumsum(exp(x))) along ``dim`` without overflow.

    The sums are kept relative to the maximum so far, so one recurrence computes them.

    Example:
        >>> import fusegrad as fg
        >>> fg.logcumsumexp(fg.tensor([1000.0, 1000.0]), 0)[0].item()
        1000.0
    """
    floats_only("logcumsumexp", input)
    x = input
    axis = axis_of(dim, x.aval.ndim)
    if not x.aval.shape or not x.aval.shape[axis]:
        return owned(x)
    size = real(x) if x.dtype.is_complex else x
    top = cummax(size.detach(), axis).values
    shift = where(cmp.isfinite(top), top, 0.0)
    before = ops.shifted(top, axis, 1, x.aval.ndim)
    factors = tr.exp(ew.sub(before, shift))
    if x.dtype.is_complex:
        return _complex_logcumsumexp(x, factors, top, shift, axis)
    total = ops.recur(factors, tr.exp(ew.sub(x, shift)), axis=axis, reverse=False)
    return where(pointwise(cmp.eq, top, -math.inf), x, ew.add(tr.log(total), shift))


def _complex_logcumsumexp(
    x: Tensor, factors: Tensor, top: Tensor, shift: Tensor, axis: int
) -> Tensor:
    """Sums of the parts, their logarithm, and the branch of it that PyTorch's recurrence is on.

    That recurrence adds to the larger of the sum so far and the element, an angle below pi.
    """
    terms = exp(sub(x, shift))
    parts = [ops.recur(factors, t, axis=axis, reverse=False) for t in (real(terms), imag(terms))]
    dead = pointwise(cmp.eq, top, -math.inf)
    found = log(complex(where(dead, 1.0, parts[0]), where(dead, 0.0, parts[1])))
    size, angle = ew.add(real(found), shift), imag(found)
    still, given = angle.detach(), imag(x).detach()
    before = ops.shifted(size.detach(), axis, 1, x.aval.ndim)
    anew = cmp.gt(real(x).detach(), before)
    first = Tensor(source.iota(shape=x.aval.shape, dtype=int64, axis=axis))
    anew = cmp.or_(anew, cmp.eq(first, 0))
    step = _wrapped(sub(still, where(anew, given, ops.shifted(still, axis, 1, x.aval.ndim))))
    begin = add(step, where(anew, given, 0.0))
    goes_on = cast(cmp.not_(anew), begin.dtype)
    turned = ops.recur(goes_on, begin, axis=axis, reverse=False)
    turns = round(mul(sub(turned, still), 1 / (2 * math.pi)))
    angle = add(angle, mul(turns, 2 * math.pi))
    return complex(where(dead, -math.inf, size), where(dead, 0.0, angle))


def _wrapped(angle: Tensor) -> Tensor:
    """An angle in [-pi, pi]."""
    return sub(angle, mul(round(mul(angle, 1 / (2 * math.pi))), 2 * math.pi))


@method()
def diff(
    input: Tensor,
    n: int = 1,
    dim: int = -1,
    prepend: Tensor | None = None,
    append: Tensor | None = None,
) -> Tensor:
    """The ``n``-th differences of neighbours along ``dim``.

    Example:
        >>> import fusegrad as fg
        >>> fg.diff(fg.tensor([1, 4, 9])).tolist()
        [3, 5]
    """
    if not input.aval.shape:
        raise ShapeError("diff of a 0-d tensor", "There must be an axis to go along.")
    axis = axis_of(dim, input.aval.ndim)
    if n < 0:
        raise RangeError(f"diff with n={n}", "order must be non-negative.")
    if n == 0:
        return cmp.convert(input, dtype=input.dtype)
    parts = [p for p in (prepend, input, append) if p is not None]
    x = cat(parts, axis) if len(parts) > 1 else input
    for _ in range(n):
        extent = max(x.aval.shape[axis] - 1, 0)
        start = min(1, x.aval.shape[axis])
        later, earlier = narrow(x, axis, start, extent), narrow(x, axis, 0, extent)
        x = cmp.xor(later, earlier) if x.dtype is bool_ else sub(later, earlier)
    return x


def _panels(y: Tensor, x: Any, dx: Any, axis: int) -> Tensor:
    """The area between each two neighbours."""
    if x is not None and dx is not None:
        raise ArgumentError("trapezoid with x and dx", "Give the positions or their distance.")
    extent = max(y.aval.shape[axis] - 1, 0)
    start = min(1, y.aval.shape[axis])
    pairs = pointwise(ew.add, narrow(y, axis, start, extent), narrow(y, axis, 0, extent))
    if x is None:
        return mul(pairs, (1.0 if dx is None else dx) / 2.0)
    if x.aval.ndim == 1:
        widths = diff(x)
        widths = reshape(
            widths, tuple(-1 if k == axis else 1 for k in range(y.aval.ndim)) if extent else (0,)
        )
    else:
        widths = diff(x, dim=axis - y.aval.ndim)
    return mul(mul(pairs, widths), 0.5)


def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """The integral of ``y`` along ``dim`` by the trapezoidal rule, at ``x`` or at distance ``dx``.

    Example:
        >>> import fusegrad as fg
        >>> fg.trapezoid(fg.tensor([1.0, 2.0, 3.0])).item()
        4.0
    """
    axis = axis_of(dim, y.aval.ndim)
    return sum(_panels(y, x, dx, axis), axis)


trapz = trapezoid


def cumulative_trapezoid(
    y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1
) -> Tensor:
    """The integral up to each position but the first; see ``trapezoid``.

    Example:
        >>> import fusegrad as fg
        >>> fg.cumulative_trapezoid(fg.tensor([1.0, 2.0, 3.0])).tolist()
        [1.5, 4.0]
    """
    axis = axis_of(dim, y.aval.ndim)
    return cumsum(_panels(y, x, dx, axis), axis)
