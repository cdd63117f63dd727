"""Values that meet at one position, combined: what scatter, index and put families share.

In: a tensor, positions and the values that arrive there. Out: the tensor with them taken in. Of
booleans a sum is whether any is true.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..dtypes import bool_, int64, uint8
from ..ops import compare as cmp
from ..ops import elementwise as ew
from ..ops import indexing as ops
from ..ops import scatter as combine
from ..ops import source
from ..tensor import Tensor
from .common import cast
from .pointwise import where


def added(x: Tensor, values: Tensor, at: Tensor, axis: int, extent: int) -> Tensor:
    """Slices of ``values`` added at positions of one axis."""
    if x.dtype is not bool_:
        return ew.add(x, ops.take_add(values, at, axis=axis, extent=extent))
    found = ops.take_add(cast(values, int64), at, axis=axis, extent=extent)
    return cmp.or_(x, cmp.ne(found, 0))


def reduced(x: Tensor, axis: int, at: Tensor, src: Tensor, how: str, include: bool) -> Tensor:
    """Elements of ``src`` reduced at positions of one axis; ``include`` those of ``x``, too."""
    shape = x.aval.shape
    if x.dtype is bool_:
        how = "amax" if how == "sum" else how
        return cmp.ne(reduced(cast(x, uint8), axis, at, cast(src, uint8), how, include), 0)
    start = x
    if not include:
        touched = combine.along_set(_full(shape, 0, x), at, _full(src.aval.shape, 1, x), axis=axis)
        start = where(cmp.ne(touched, 0), _neutral(how, x), x)
    if how in ("sum", "mean"):
        total = ew.add(start, ops.along_add(src, at, axis=axis, shape=shape))
        if how == "sum":
            return total
        count = ops.along_add(_full(src.aval.shape, 1, x), at, axis=axis, shape=shape)
        count = ew.add(count, 1) if include else ew.maximum(count, 1)
        if x.dtype.is_floating_point:
            return ew.div(total, count)
        return ew.floor_div(total, count)
    record = {"prod": combine.along_mul, "amax": combine.along_max, "amin": combine.along_min}[how]
    return record(start, at, src, axis=axis)


def _full(shape: tuple[int, ...], value: Any, like: Tensor) -> Tensor:
    return Tensor(source.full(shape=shape, dtype=like.dtype, value=value))


def _neutral(how: str, x: Tensor) -> Any:
    """What changes nothing when it takes part."""
    if how in ("sum", "mean", "prod"):
        return int(how == "prod")
    if x.dtype.is_floating_point:
        return -math.inf if how == "amax" else math.inf
    limits = np.iinfo(x.dtype.np)
    return int(limits.min if how == "amax" else limits.max)
