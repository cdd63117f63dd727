"""Indexing: ``x[...]`` in every form, assignment through it, gather and index_select."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..dtypes import bool_, int32, int64, stored, uint8
from ..errors import (
    ArgumentError,
    ArgumentTypeError,
    DimError,
    DTypeError,
    RangeError,
    ShapeError,
    TracedValueError,
)
from ..ir.graph import Var
from ..ops import compare as cmp
from ..ops import elementwise as ew
from ..ops import indexing as ops
from ..ops import movement
from ..ops.kinds import keep_parts
from ..tensor import Tensor
from .common import Number, axis_of, broadcast_shapes, broadcast_to, cast, method
from .masks import WHY, Selected


def wrap_index(index: Tensor, extent: int, op: str) -> Tensor:
    """Indices as int64 in [0, extent); eager values are checked, negatives count from the end."""
    if index.dtype.category != 1:
        raise (DimError if op == "index" else DTypeError)(
            f"{op} with an index of dtype {index.dtype}", "Indices are integers.", "index.long()"
        )
    index = cast(index.detach(), int64)
    raw = index._value
    if isinstance(raw, np.ndarray) and not isinstance(index._read(), Var):
        if raw.size and (raw.min() < -extent or raw.max() >= extent):
            bad = raw[(raw < -extent) | (raw >= extent)].flat[0]
            kind = RangeError if op.startswith(("gather", "scatter")) else DimError
            raise kind(f"{op}: index {bad} is out of bounds", f"The axis has {extent} elements.")
        if not raw.size or raw.min() >= 0:
            return index
    wrapped = cmp.where(cmp.lt(index, 0), ew.add(index, extent), index)
    if isinstance(wrapped._read(), Var):  # nothing outside the memory is read; see ``checked``
        wrapped = ew.minimum(ew.maximum(wrapped, 0), max(extent - 1, 0))
    return wrapped


def checked(out: Tensor, index: Tensor, extent: int, axis: int) -> Tensor:
    """Elements that a traced, out-of-range index selected become nan (an error when eager).

    A compiled step cannot raise in the middle; nan in the result says that it went wrong.
    """
    if not out.dtype.is_floating_point or not isinstance(index._read(), Var):
        return out
    inside = cmp.and_(cmp.ge(index, -extent), cmp.lt(index, extent))
    after = out.aval.ndim - axis - index.aval.ndim
    shaped = movement.reshape(inside, shape=index.aval.shape + (1,) * after)
    return cmp.where(broadcast_to(shaped, out.aval.shape), out, math.nan)


def _as_row(x: Tensor) -> Tensor:
    """A 0-d tensor counts as one element of one axis."""
    return x if x.aval.shape else movement.reshape(x, shape=(1,))


@method()
def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """One element per index along ``dim``: out[i][j] = input[index[i][j]][j] for dim 0."""
    axis = axis_of(dim, input.aval.ndim)
    if not index.aval.size:  # nothing to pick: any shape will do
        wrap_index(index, 0, "gather")
        empty = movement.reshape(input, shape=(input.aval.size,))
        empty = movement.slice_(empty, start=(0,), limit=(0,), step=(1,))
        return movement.reshape(empty, shape=index.aval.shape)
    if min(input.aval.ndim, index.aval.ndim) == 0 and max(input.aval.ndim, index.aval.ndim) <= 1:
        row = gather(_as_row(input), 0, _as_row(index))
        return movement.reshape(row, shape=index.aval.shape)
    if index.aval.ndim != input.aval.ndim:
        raise RangeError(
            f"gather of {input.aval} with index {index.aval}",
            "The index must have as many dimensions as the input.",
            "unsqueeze the index",
        )
    x = input
    limit = tuple(
        n if k == axis else m
        for k, (n, m) in enumerate(zip(input.aval.shape, index.aval.shape, strict=True))
    )
    if limit != input.aval.shape:
        x = movement.slice_(x, start=(0,) * len(limit), limit=limit, step=(1,) * len(limit))
    out = ops.take_along(x, wrap_index(index, limit[axis], "gather"), axis=axis)
    return checked(out, index, limit[axis], 0)


@method()
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Slices at the positions ``index`` of one axis."""
    axis = axis_of(dim, input.aval.ndim)
    if not input.aval.shape:
        if index.aval.size != 1:
            raise RangeError(f"index_select of a 0-d tensor by {index.aval}", "It has one element.")
        return movement.reshape(index_select(_as_row(input), 0, _as_row(index)), shape=())
    extent = input.aval.shape[axis]
    out = ops.take(input, wrap_index(index, extent, "index_select"), axis=axis)
    return checked(out, index, extent, axis)


class _Selected(NamedTuple):
    """What a 0-d mask means as an index: a new axis, taken once or not at all."""

    places: Tensor


def _expand_key(key: Any, ndim: int) -> list[Any]:
    items = list(key) if isinstance(key, tuple) else [key]
    used = 0
    for item in items:
        if isinstance(item, Tensor) and item.dtype is bool_:
            used += item.aval.ndim
        elif item is not None and item is not Ellipsis and not isinstance(item, bool):
            used += 1
    if used > ndim:
        raise DimError(f"too many indices for a {ndim}-d tensor", f"Got {used} indices.")
    fill = [slice(None)] * (ndim - used)
    where = next((k for k, item in enumerate(items) if item is Ellipsis), None)
    if where is None:
        return items + fill
    return items[:where] + fill + items[where + 1 :]


def _basic(x: Tensor, items: list[Any]) -> tuple[Tensor, list[tuple[int, Tensor]]]:
    """Apply integers, slices and None; returns the view and the remaining (axis, index) pairs."""
    start, limit, step, shape, advanced = [], [], [], [], []
    axis = 0
    for item in items:
        if item is None:
            shape.append(1)
            continue
        if isinstance(item, _Selected):
            advanced.append((len(shape), item.places))
            shape.append(1)
            continue
        extent = x.aval.shape[axis]
        if isinstance(item, slice):
            a, b, s = _slice(item, extent)
            start.append(a), limit.append(b), step.append(s)  # type: ignore[func-returns-value]
            shape.append(max(0, -(-(b - a) // s)))
        elif isinstance(item, Tensor):
            advanced.append((len(shape), item))
            start.append(0), limit.append(extent), step.append(1)  # type: ignore[func-returns-value]
            shape.append(extent)
        else:
            i = item.__index__()
            if not -extent <= i < extent:
                raise DimError(
                    f"index {i} is out of bounds for dimension {axis} of {x.aval}",
                    f"The axis has {extent} elements.",
                )
            i %= extent
            start.append(i), limit.append(i + 1), step.append(1)  # type: ignore[func-returns-value]
        axis += 1
    out = x
    if tuple(limit) != x.aval.shape or any(start) or any(s != 1 for s in step):
        out = movement.slice_(x, start=tuple(start), limit=tuple(limit), step=tuple(step))
    if tuple(shape) != out.aval.shape:
        out = movement.reshape(out, shape=tuple(shape))
    elif out is x:
        out = movement.reshape(x, shape=x.aval.shape)
    return out, advanced


def _slice(item: slice, extent: int) -> tuple[int, int, int]:
    if item.step is not None and item.step <= 0:
        raise ArgumentError(f"slice step {item.step}", "Steps must be positive.", "x.flip(dim)")
    a, b, s = item.indices(extent)
    return a, max(a, b), s


def _as_index(item: Any) -> Any:
    if isinstance(item, (list, np.ndarray)):
        return Tensor(np.asarray(item))
    if isinstance(item, Tensor) and not (
        item.dtype in (bool_, int64, int32, uint8) or isinstance(item._read(), Var)
    ):
        raise DimError(
            f"an index of dtype {item.dtype}",
            "tensors used as indices must be long, int, byte or bool tensors",
            "index.long()",
        )
    if isinstance(item, str):
        raise ArgumentTypeError(f"the index {item!r}", "Tensors have no named fields.")
    if isinstance(item, float):
        raise DimError(
            f"the index {item}",
            "only integers, slices (`:`), ellipsis (`...`), None and long or byte tensors are "
            "valid indices (got float)",
            f"x[{int(item) if math.isfinite(item) else 0}]",
        )
    if isinstance(item, bool):
        return Tensor(np.asarray(item))
    if isinstance(item, Tensor) and item.dtype is uint8:  # the masks of old programs
        return cmp.ne(item, 0)
    if isinstance(item, Tensor) and item.aval.ndim == 0 and item.dtype.category == 1:
        if isinstance(item._value, np.ndarray) and not isinstance(item._read(), Var):
            return int(item._value)
    return item


def _nonzero(mask: Tensor) -> list[Any]:
    if _is_traced(mask):
        raise TracedValueError(
            f"indexing with a traced mask {mask.aval} beside another index",
            WHY,
            "fg.where(mask, x, y), which keeps the shape",
        )
    if not mask.aval.shape:
        return [_Selected(Tensor(np.zeros(int(mask._value), np.int64)))]
    return [Tensor(i.astype(np.int64)) for i in np.nonzero(mask._value)]


def _is_traced(item: Any) -> bool:
    return isinstance(item, Tensor) and isinstance(item._read(), Var)


def _items(x: Tensor, key: Any) -> list[Any]:
    """One item for each axis of ``x`` or new axis, or mask of several axes."""
    key = tuple(map(_as_index, key)) if isinstance(key, tuple) else _as_index(key)
    items = _expand_key(key, x.aval.ndim)
    axis = 0
    for item in items:
        if isinstance(item, Tensor) and item.dtype is bool_:
            for k, extent in enumerate(item.aval.shape, axis):
                if extent != x.aval.shape[k]:
                    raise DimError(
                        f"indexing {x.aval} with a mask {item.aval}",
                        f"The shape of the mask {list(item.shape)} at index {k - axis} does not "
                        f"match the shape of the indexed tensor {list(x.shape)} at index {k}.",
                        "a mask of the extents of the axes that it selects from",
                    )
            axis += item.aval.ndim
        elif item is not None:
            axis += 1
    return items


def _under_mask(x: Tensor, items: list[Any]) -> tuple[Tensor, Tensor, int] | None:
    """The view by all items but one traced mask, the mask, and its first axis in the view.

    ``None`` if the number of elements is known, or if there is another tensor beside the mask.
    """
    tensors = [k for k, item in enumerate(items) if isinstance(item, Tensor)]
    if len(tensors) != 1:
        return None
    mask: Tensor = items[tensors[0]]
    if mask.dtype is not bool_ or not _is_traced(mask):
        return None
    before, after = items[: tensors[0]], items[tensors[0] + 1 :]
    view, _ = _basic(x, [*before, *[slice(None)] * mask.aval.ndim, *after])
    return view, mask, sum(item is None or isinstance(item, slice) for item in before)


def under_traced_mask(x: Tensor, key: Any) -> bool:
    """Whether ``x[key]`` has a number of elements that a trace does not know."""
    return _under_mask(x, _items(x, key)) is not None


def _split_key(x: Tensor, given: list[Any]) -> tuple[Tensor, list[tuple[int, Tensor]]]:
    items: list[Any] = []
    for item in given:
        if isinstance(item, Tensor) and item.dtype is bool_:
            items.extend(_nonzero(item))
        else:
            items.append(item)
    return _basic(x, items)


def _flat_index(
    view: Tensor, advanced: list[tuple[int, Tensor]]
) -> tuple[tuple[int, ...], Tensor, tuple[int, ...]]:
    """Bring the indexed axes together; returns (perm, flat index, extents of indexed axes)."""
    axes = [a for a, _ in advanced]
    try:
        shape = broadcast_shapes(*[i.aval.shape for _, i in advanced], op="index")
    except ShapeError as error:  # PyTorch has an IndexError here
        raise DimError(error.what, error.why, error.hint, error.site) from None
    together = axes == list(range(axes[0], axes[0] + len(axes)))
    first = axes[0] if together else 0
    rest = [a for a in range(view.aval.ndim) if a not in axes]
    perm = (*rest[:first], *axes, *rest[first:])
    extents = tuple(view.aval.shape[a] for a in axes)
    flat: Tensor | None = None
    for (_, index), extent in zip(advanced, extents, strict=True):
        wrapped = broadcast_to(wrap_index(index, extent, "index"), shape)
        flat = wrapped if flat is None else ew.add(ew.mul(flat, extent), wrapped)
    assert flat is not None
    return perm, flat, extents


def _gathered_view(
    view: Tensor, advanced: list[tuple[int, Tensor]]
) -> tuple[Tensor, Tensor, int, tuple[int, ...]]:
    perm, flat, extents = _flat_index(view, advanced)
    moved = view if perm == tuple(range(len(perm))) else movement.transpose(view, perm=perm)
    axis = perm.index(advanced[0][0])
    if len(extents) > 1:
        shape = moved.aval.shape
        total = int(np.prod(extents))
        moved = movement.reshape(moved, shape=(*shape[:axis], total, *shape[axis + len(extents) :]))
    return moved, flat, axis, perm


def getitem(self: Tensor, key: Any) -> Tensor:
    """``x[key]``: integers, slices, None, Ellipsis, integer and boolean tensors, any mixture."""
    items = _items(self, key)
    found = _under_mask(self, items)
    if found is not None:
        return Selected(*found)
    view, advanced = _split_key(self, items)
    if not advanced:
        return view
    moved, flat, axis, _ = _gathered_view(view, advanced)
    out = ops.take(moved, flat, axis=axis)
    for position, index in advanced:
        index = broadcast_to(index, flat.aval.shape)
        out = checked(out, index, view.aval.shape[position], axis)
    return out


def setitem(self: Tensor, key: Any, value: Any) -> None:
    """``x[key] = value`` in place, with broadcasting."""
    items = _items(self, key)
    if isinstance(key, Tensor) and key.dtype is bool_ and isinstance(value, Number):
        self.masked_fill_(_mask_of(self, key), value)  # type: ignore[attr-defined]
        return
    if not isinstance(value, Tensor):
        if isinstance(value, complex):
            keep_parts("index assignment", value, self.dtype)
        value = Tensor(stored(value, self.dtype))
    found = _under_mask(self, items)
    if found is not None:
        found[0]._assign(Selected(*found).put(found[0], value), "index assignment")
        return
    value = cast(value, self.dtype)
    view, advanced = _split_key(self, items)
    if not advanced:
        while value.aval.ndim > view.aval.ndim and value.aval.shape[0] == 1:
            value = movement.reshape(value, shape=value.aval.shape[1:])
        view._assign(broadcast_to(value, view.aval.shape), "index assignment")
        return
    moved, flat, axis, perm = _gathered_view(view, advanced)
    target = moved.aval.shape[:axis] + flat.aval.shape + moved.aval.shape[axis + 1 :]
    while value.aval.ndim > len(target) and value.aval.shape[0] == 1:
        value = movement.reshape(value, shape=value.aval.shape[1:])
    new = ops.take_set(moved, flat, broadcast_to(value, target), axis=axis)
    new = movement.reshape(new, shape=tuple(view.aval.shape[p] for p in perm))
    inverse = tuple(int(i) for i in np.argsort(perm))
    view._assign(movement.transpose(new, perm=inverse), "index assignment")


def _mask_of(x: Tensor, mask: Tensor) -> Tensor:
    missing = x.aval.ndim - mask.aval.ndim
    return movement.reshape(mask, shape=(*mask.aval.shape, *([1] * missing)))


setattr(Tensor, "__getitem__", getitem)  # noqa: B010
setattr(Tensor, "__setitem__", setitem)  # noqa: B010
