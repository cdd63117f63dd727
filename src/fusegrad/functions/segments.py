"""Reductions by segments: slices of an axis that follow each other (``torch.segment_reduce``)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..dtypes import int64
from ..errors import RangeError
from ..ir.graph import Var
from ..ops import compare as cmp
from ..ops import elementwise as ew
from ..ops import source
from ..tensor import Tensor
from .common import axis_of, broadcast_to, cast
from .creation import full
from .pointwise import where
from .reduction import sum
from .scattering import index_reduce
from .shape import narrow, reshape

__all__ = ["segment_reduce"]

_SEGMENTS = {"sum": 0.0, "mean": math.nan, "max": -math.inf, "min": math.inf, "prod": 1.0}


def segment_reduce(
    data: Tensor,
    reduce: str,
    *,
    lengths: Tensor | None = None,
    indices: Tensor | None = None,
    offsets: Tensor | None = None,
    axis: int = 0,
    unsafe: bool = False,
    initial: Any = None,
) -> Tensor:
    """Slices of one axis reduced by segments that follow each other.

    Args:
        reduce: ``sum``, ``mean``, ``max``, ``min`` or ``prod``.
        lengths: elements of each segment, ``(*data.shape[:axis], segments)``, or
        offsets: where segments begin, with the end of the last one.
        axis: the axis that is reduced; the axes before it have segments of their own.
        initial: what a segment starts with; empty segments give it, or 0, nan, -inf, inf, 1.

    Raises:
        RuntimeError: not exactly one of ``lengths`` and ``offsets``, an axis that is not their last
            one, lengths that do not add up (eager only).

    Example:
        >>> import fusegrad as fg
        >>> fg.segment_reduce(fg.arange(4.0), "max", lengths=fg.tensor([1, 3])).tolist()
        [0.0, 3.0]
    """
    given = offsets if lengths is None else lengths
    axis = axis_of(axis, data.aval.ndim)
    if given is None or (lengths is None) == (offsets is None) or indices is not None:
        raise RangeError("segment_reduce", "It takes lengths or offsets.", "lengths=")
    if reduce not in _SEGMENTS:
        raise RangeError(f"segment_reduce with reduce={reduce!r}", f"Known: {list(_SEGMENTS)}.")
    lead, n, rest = data.aval.shape[:axis], data.aval.shape[axis], data.aval.shape[axis + 1 :]
    if given.aval.shape[:-1] != lead:
        raise RangeError(
            f"segment_reduce of {data.aval} along axis {axis} by {given.aval}",
            "Expected axis to be the last dimension of lengths, after those of the data.",
            f"lengths of shape {[*lead, 'segments']}",
        )
    rows = math.prod(lead)
    if offsets is not None:
        count = offsets.aval.shape[-1] - 1
        lengths = ew.sub(narrow(offsets, -1, 1, count), narrow(offsets, -1, 0, count))
    assert lengths is not None
    count = lengths.aval.shape[-1]
    lengths = reshape(lengths, rows, count)
    if not unsafe and not isinstance(lengths._read(), Var):
        sizes = np.asarray(lengths._value)
        if (sizes < 0).any() or (sizes.sum(-1) != n).any():
            raise RangeError(
                f"segment_reduce of {data.aval} by lengths {sizes.tolist()}",
                "Expected all rows of lengths along axis to sum to data.size(axis).",
            )
    place = _segment_of(lengths, n)
    out = _reduced(reshape(data, rows * n, *rest), reduce, reshape(lengths, -1), place, initial)
    return reshape(out, *lead, count, *rest)


def _segment_of(lengths: Tensor, n: int) -> Tensor:
    """The segment of each of ``n`` elements of each row, counted through all rows."""
    rows, count = lengths.aval.shape
    at = Tensor(source.iota(shape=(rows, n, count), dtype=int64, axis=1))
    ends = reshape(cast(lengths, int64).cumsum(1), rows, 1, count)  # type: ignore[attr-defined]
    past = cmp.le(broadcast_to(ends, (rows, n, count)), at)
    first = ew.mul(Tensor(source.iota(shape=(rows, n), dtype=int64, axis=0)), count)
    return reshape(ew.add(sum(cast(past, int64), 2), first), -1)


def _reduced(data: Tensor, reduce: str, lengths: Tensor, place: Tensor, initial: Any) -> Tensor:
    """Rows of ``data`` reduced into the segment that ``place`` gives each."""
    count = lengths.aval.shape[0]
    how = {"max": "amax", "min": "amin"}.get(reduce, reduce)
    start = _SEGMENTS[reduce] if initial is None else initial
    neutral = 0.0 if how in ("sum", "mean") else start
    base = full((count, *data.aval.shape[1:]), neutral, dtype=data.dtype)
    if how not in ("sum", "mean"):
        return index_reduce(base, 0, place, data, how, include_self=True)
    total = base.index_add(0, place, data)  # type: ignore[attr-defined]
    total = total if initial is None else total + initial  # type: ignore[operator]
    if how == "sum":
        return total
    size = reshape(cast(lengths, data.dtype), (count, *[1] * (data.aval.ndim - 1)))
    empty = start if initial is not None else math.nan
    size = broadcast_to(size, total.aval.shape)
    return where(cmp.eq(size, 0.0), empty, ew.div(total, size))
