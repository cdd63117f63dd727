"""Counting and finding elements: nonzero, bincount, histc, unique."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..dtypes import float32, float64, int64, stored, widen
from ..errors import RangeError, ShapeError, TracedValueError
from ..ir.graph import Var
from ..ops import compare as cmp
from ..ops import elementwise as ew
from ..ops import indexing as ops
from ..tensor import Tensor
from .common import axis_of, broadcast_to, cast, method, pointwise
from .pointwise import where
from .reduction import all
from .shape import reshape


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """Positions of the non-zero elements, one row each; or one vector per axis. Eager only.

    Example:
        >>> import fusegrad as fg
        >>> fg.nonzero(fg.tensor([0, 3, 4])).tolist()
        [[1], [2]]
    """
    array = widen(input._concrete("nonzero"))
    if as_tuple:
        found = np.nonzero(np.atleast_1d(array))
        return tuple(Tensor(i.astype(np.int64)) for i in found)
    rows = np.stack(np.nonzero(np.atleast_1d(array)), 1)
    return Tensor(rows[:, : array.ndim].astype(np.int64))


@method()
def argwhere(input: Tensor) -> Tensor:
    """Positions of the non-zero elements, one row each; eager only.

    Example:
        >>> import fusegrad as fg
        >>> fg.argwhere(fg.tensor([0, 3])).tolist()
        [[1]]
    """
    return nonzero(input)


@method()
def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each non-negative integer occurs, or the sums of its weights.

    In a compiled function, which does not know the largest number, the result has ``minlength``
    elements. A number that is negative or not below it cannot raise there; it makes every count -1
    and every sum of weights nan.

    Raises:
        RuntimeError: not a vector of integers at least 0; traced without ``minlength``.

    Example:
        >>> import fusegrad as fg
        >>> fg.bincount(fg.tensor([0, 2, 2])).tolist()
        [1, 0, 2]
    """
    if input.aval.ndim != 1 or input.dtype.category != 1 or minlength < 0:
        raise ShapeError(f"bincount of {input.aval}", "It takes a vector of numbers >= 0.")
    if weights is not None and weights.aval.shape != input.aval.shape:
        raise ShapeError(f"bincount with weights {weights.aval}", "One weight per element.")
    size = minlength
    if not isinstance(input._read(), Var):
        array = np.asarray(input._value)
        if array.size and array.min() < 0:
            raise ShapeError(f"bincount of {input.aval}", "It takes a vector of numbers >= 0.")
        size = max(minlength, int(array.max()) + 1 if array.size else 0)
    elif not minlength:
        raise TracedValueError(
            f"bincount of a traced tensor {input.aval}",
            "The extent of the result depends on values, which a trace does not have.",
            "minlength= with a bound",
        )
    at = cast(input, int64)
    inside = cmp.and_(cmp.ge(at, 0), cmp.lt(at, size))
    if weights is None:
        mass = cast(inside, int64)
    else:
        kind = weights.dtype if weights.dtype is float32 else float64
        mass = cmp.where(inside, cast(weights.detach(), kind), 0)  # type: ignore[attr-defined]
    if not size:
        return mass
    at = ew.minimum(ew.maximum(at, 0), size - 1)
    found = ops.take_add(mass, at, axis=0, extent=size)
    if not isinstance(input._read(), Var):
        return found
    broken = math.nan if found.dtype.is_floating_point else -1
    return cmp.where(broadcast_to(all(inside), found.aval.shape), found, broken)


@method()
def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """Counts of the elements in ``bins`` equal intervals of [min, max]; of all when both are 0.

    Example:
        >>> import fusegrad as fg
        >>> fg.histc(fg.tensor([0.0, 1.0, 1.5, 4.0]), 2, 0, 4).tolist()
        [3.0, 1.0]
    """
    if bins <= 0:
        raise RangeError(f"histc with {bins} bins", "There must be at least one.")
    if min > max:
        raise RangeError(f"histc between {min} and {max}", "max must not be below min.")
    x = reshape(input.detach(), -1)
    low: Any = float(min)
    high: Any = float(max)
    if low == high:
        array = widen(x._concrete("histc without limits"))
        if low == 0 and array.size:
            low, high = float(array.min()), float(array.max())
        if low == high:
            low, high = low - 1, high + 1
        if not (math.isfinite(low) and math.isfinite(high)):
            raise RangeError(f"histc of {input.aval}", "The range of the elements is not finite.")
    inside = cmp.and_(pointwise(cmp.ge, x, low), pointwise(cmp.le, x, high))
    scaled = ew.div(ew.mul(ew.sub(x, low), float(bins)), high - low)
    at = ew.minimum(ew.maximum(cast(where(inside, scaled, 0.0), int64), 0), bins - 1)
    return ops.take_add(cast(inside, input.dtype), at, axis=0, extent=bins)


# --- distinct elements ----------------------------------------------------------------------------
@method()
def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The distinct elements (or slices along ``dim``), sorted; eager only.

    Args:
        return_inverse: also the position of each element in the result.
        return_counts: also how often each occurs.

    Raises:
        RuntimeError: inside a trace, which does not know how many there are.

    Example:
        >>> import fusegrad as fg
        >>> fg.unique(fg.tensor([3, 1, 3])).tolist()
        [1, 3]
    """
    array = widen(input._concrete("unique"))
    axis = None if dim is None else axis_of(dim, input.aval.ndim)
    values, inverse, counts = np.unique(
        array, return_inverse=True, return_counts=True, axis=axis, equal_nan=False
    )
    inverse = inverse.reshape(array.shape if axis is None else -1)
    return _distinct(input, (values, inverse, counts), return_inverse, return_counts)


def _distinct(
    input: Tensor, found: tuple[Any, Any, Any], with_inverse: bool, with_counts: bool
) -> Any:
    values, inverse, counts = found
    out = [Tensor(stored(np.ascontiguousarray(values), input.dtype))]
    if with_inverse:
        out.append(Tensor(inverse.astype(np.int64)))
    if with_counts:
        out.append(Tensor(counts.astype(np.int64)))
    return out[0] if len(out) == 1 else tuple(out)


@method()
def unique_consecutive(
    input: Tensor,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The elements (or slices along ``dim``) without immediate repetitions; eager only.

    Example:
        >>> import fusegrad as fg
        >>> fg.unique_consecutive(fg.tensor([1, 1, 2, 1])).tolist()
        [1, 2, 1]
    """
    array = widen(input._concrete("unique_consecutive"))
    axis = 0 if dim is None else axis_of(dim, input.aval.ndim)
    flat = array.reshape(-1) if dim is None else array
    moved = np.moveaxis(flat, axis, 0)
    lines = moved.reshape(len(moved), math.prod(moved.shape[1:]))
    new = np.ones(len(lines), bool)
    new[1:] = (lines[1:] != lines[:-1]).any(1)
    starts = np.flatnonzero(new)
    inverse = np.cumsum(new) - 1
    if dim is None:
        inverse = inverse.reshape(array.shape)
    counts = np.diff(np.append(starts, len(lines)))
    values = np.moveaxis(moved[starts], 0, axis)
    return _distinct(input, (values, inverse, counts), return_inverse, return_counts)
