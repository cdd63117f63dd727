"""Writing at positions: scatter and index families, masks, slices, and counting.

All of them are compositions over the scatters of ``ops/indexing.py`` and ``ops/scatter.py``. Eager
calls check indices; in a compiled step, which cannot raise, a position outside writes nan.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dtypes import bool_, int64
from ..errors import DimError, DTypeError, RangeError, ShapeError
from ..ops import compare as cmp
from ..ops import elementwise as ew
from ..ops import indexing as ops
from ..ops import movement, scan, source
from ..ops import scatter as combine
from ..tensor import Tensor
from .arrangement import diagonal
from .common import Number, axis_of, broadcast_shapes, broadcast_to, cast, method, owned
from .indexing import checked, gather, getitem, setitem, under_traced_mask, wrap_index
from .masks import Selected
from .meeting import added, reduced
from .pointwise import as_bool, mul, where
from .shape import expand, reshape, select
from .twins import in_place

_REDUCTIONS = ("sum", "prod", "mean", "amax", "amin")


def _constant(shape: Sequence[int], value: Any, like: Tensor) -> Tensor:
    return Tensor(source.full(shape=tuple(shape), dtype=like.dtype, value=value))


def _places(name: str, input: Tensor, dim: int, index: Tensor, src: Any) -> Any:
    """Axis, positions and values of a scatter of single elements."""
    if not input.aval.shape:
        input = reshape(input, 1)
    if not index.aval.shape:
        index = reshape(index, 1)
    axis = axis_of(dim, input.aval.ndim)
    if index.aval.ndim != input.aval.ndim:
        raise ShapeError(
            f"{name} into {input.aval} with index {index.aval}",
            "The index must have as many dimensions as the input.",
        )
    if not index.aval.size:  # nothing is placed, whatever the other extents are
        index = reshape(index, (0,) * input.aval.ndim)
    shape = index.aval.shape
    for k, (n, m) in enumerate(zip(shape, input.aval.shape, strict=True)):
        if k != axis and n > m:
            raise ShapeError(
                f"{name} into {input.aval} with index {index.aval}",
                f"At axis {k} the index is larger than the input.",
            )
    if not isinstance(src, Tensor):
        src = _constant(shape, src, input)
    elif not src.aval.shape and shape != ():
        src = broadcast_to(src, shape) if index.aval.size == 1 else src
    if src.dtype is not input.dtype:
        raise DTypeError(
            f"{name} of {src.aval} into {input.aval}", "Both need the same dtype.", "src.to(dtype)"
        )
    if src.aval.shape != shape:
        larger = any(n > m for n, m in zip(shape, src.aval.shape, strict=False))
        if larger or src.aval.ndim != len(shape):
            # where an axis is missing PyTorch's check looks for it
            raise (ShapeError if larger or src.aval.ndim > len(shape) else DimError)(
                f"{name} of {src.aval} with index {index.aval}",
                "The index must not be larger than the values.",
            )
        none, one = (0,) * len(shape), (1,) * len(shape)
        src = movement.slice_(src, start=none, limit=shape, step=one)
    extent = input.aval.shape[axis]
    where_ = wrap_index(index, extent, name)
    return input, axis, where_, checked(src, index, extent, 0)


@method()
def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Any = None,
    *,
    value: Any = None,
    reduce: Any = None,
) -> Tensor:
    """``input`` with ``src`` written at positions ``index`` of one axis.

    ``out[index[i][j]][j] = src[i][j]`` for dim 0; of several values for one place the last one
    stays. ``reduce="add"`` or ``"multiply"`` combines them instead.

    Raises:
        RuntimeError: shapes or dtypes that do not fit.

    Example:
        >>> import fusegrad as fg
        >>> fg.scatter(fg.zeros(3), 0, fg.tensor([2, 0]), fg.tensor([1.0, 5.0])).tolist()
        [5.0, 0.0, 1.0]
    """
    if reduce == "add":
        return scatter_add(input, dim, index, _values(input, index, src, value))
    if reduce == "multiply":
        return scatter_reduce(input, dim, index, _values(input, index, src, value), "prod")
    if reduce is not None:
        raise RangeError(f"scatter with reduce={reduce!r}", "Known: None, 'add', 'multiply'.")
    src = value if src is None else src
    x, axis, places, src = _places("scatter", input, dim, index, src)
    return reshape(combine.along_set(x, places, src, axis=axis), input.aval.shape)


def _values(input: Tensor, index: Tensor, src: Any, value: Any) -> Tensor:
    src = value if src is None else src
    return src if isinstance(src, Tensor) else _constant(index.aval.shape, src, input)


@method()
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """``input`` with ``src`` added at positions ``index`` of one axis.

    Example:
        >>> import fusegrad as fg
        >>> fg.scatter_add(fg.zeros(3), 0, fg.tensor([2, 2]), fg.tensor([1.0, 5.0])).tolist()
        [0.0, 0.0, 6.0]
    """
    x, axis, places, src = _places("scatter_add", input, dim, index, src)
    return reshape(reduced(x, axis, places, src, "sum", True), input.aval.shape)


@method()
def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """Values that meet at a position reduced to their sum, prod, mean, amax or amin.

    Args:
        include_self: whether the element of ``input`` takes part; places that no value reaches
            keep it in any case.

    Example:
        >>> import fusegrad as fg
        >>> x, i = fg.tensor([3.0, 1.0]), fg.tensor([0, 0, 1])
        >>> fg.scatter_reduce(x, 0, i, fg.tensor([1.0, 2.0, 5.0]), "amax").tolist()
        [3.0, 5.0]
    """
    if reduce not in _REDUCTIONS:
        raise RangeError(f"scatter_reduce with reduce={reduce!r}", f"Known: {_REDUCTIONS}.")
    x, axis, places, src = _places("scatter_reduce", input, dim, index, src)
    return reshape(reduced(x, axis, places, src, reduce, include_self), input.aval.shape)


# --- slices at positions of one axis --------------------------------------------------------------
def _slices(name: str, input: Tensor, dim: int, index: Tensor, values: Tensor) -> Any:
    """Axis, positions, extent and values of a family that writes whole slices."""
    axis = axis_of(dim, input.aval.ndim)
    if index.aval.ndim > 1:
        raise DimError(f"{name} with index {index.aval}", "The index is a vector.")
    x = input if input.aval.shape else reshape(input, 1)
    index = index if index.aval.shape else reshape(index, 1)
    want = (*x.aval.shape[:axis], index.aval.shape[0], *x.aval.shape[axis + 1 :])
    if values.dtype is not input.dtype:
        raise DTypeError(f"{name} of {values.aval} into {input.aval}", "Both need the same dtype.")
    if values.aval.shape != want:
        if values.aval.ndim or input.aval.ndim > 1:
            raise ShapeError(
                f"{name} of {values.aval} into {input.aval}",
                f"The values must have the shape {list(want)}.",
            )
        values = broadcast_to(values, want)
    extent = x.aval.shape[axis]
    return x, axis, wrap_index(index, extent, name), checked(values, index, extent, axis), extent


@method()
def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Tensor:
    """``input`` with ``alpha * source`` added to the slices at positions ``index``.

    Example:
        >>> import fusegrad as fg
        >>> fg.index_add(fg.zeros(3), 0, fg.tensor([1, 1]), fg.tensor([2.0, 3.0])).tolist()
        [0.0, 5.0, 0.0]
    """
    scaled = source if isinstance(alpha, Number) and alpha == 1 else mul(source, alpha)
    x, axis, at, values, n = _slices("index_add", input, dim, index, scaled)
    return reshape(added(x, values, at, axis, n), input.aval.shape)


@method()
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """``input`` with the slices at positions ``index`` replaced by those of ``source``.

    Example:
        >>> import fusegrad as fg
        >>> fg.index_copy(fg.zeros(3), 0, fg.tensor([2]), fg.tensor([4.0])).tolist()
        [0.0, 0.0, 4.0]
    """
    x, axis, at, values, _ = _slices("index_copy", input, dim, index, source)
    return reshape(ops.take_set(x, at, values, axis=axis), input.aval.shape)


@method()
def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """``input`` with the slices at positions ``index`` filled with ``value``.

    Example:
        >>> import fusegrad as fg
        >>> fg.index_fill(fg.zeros(3), 0, fg.tensor([0, 2]), 7.0).tolist()
        [7.0, 0.0, 7.0]
    """
    axis = axis_of(dim, input.aval.ndim)
    x = input if input.aval.shape else reshape(input, 1)
    index = index if index.aval.shape else reshape(index, 1)
    shape = (*x.aval.shape[:axis], index.aval.shape[0], *x.aval.shape[axis + 1 :])
    if isinstance(value, Tensor):
        if value.aval.shape:
            raise ShapeError(f"index_fill with a value {value.aval}", "The value is one number.")
        # a mask, so that a position that is named twice has the gradient of one
        line = index_copy(_constant((x.aval.shape[axis],), 0, input).bool(), 0, index, _yes(index))
        place = reshape(line, tuple(-1 if k == axis else 1 for k in range(x.aval.ndim)))
        return reshape(where(place, cast(value, input.dtype), x), input.aval.shape)
    values = _constant(shape, value, input)
    return reshape(index_copy(x, axis, index, values), input.aval.shape)


def _yes(index: Tensor) -> Tensor:
    return Tensor(source.full(shape=index.aval.shape, dtype=bool_, value=True))


@method()
def index_reduce(
    input: Tensor,
    dim: int,
    index: Tensor,
    source: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
) -> Tensor:
    """Slices that meet at a position reduced to their prod, mean, amax or amin.

    Example:
        >>> import fusegrad as fg
        >>> x, i = fg.ones(2), fg.tensor([0, 0])
        >>> fg.index_reduce(x, 0, i, fg.tensor([2.0, 3.0]), "prod").tolist()
        [6.0, 1.0]
    """
    if reduce not in _REDUCTIONS[1:]:
        raise RangeError(f"index_reduce with reduce={reduce!r}", f"Known: {_REDUCTIONS[1:]}.")
    x, axis, at, values, _ = _slices("index_reduce", input, dim, index, source)
    unit = tuple(-1 if k == axis else 1 for k in range(x.aval.ndim))
    wide = broadcast_to(reshape(at, unit), values.aval.shape)
    out = reduced(x, axis, wide, values, reduce, include_self)
    return reshape(out, input.aval.shape)


@method()
def index_put(
    input: Tensor, indices: Sequence[Tensor | None], values: Tensor, accumulate: bool = False
) -> Tensor:
    """``input`` with ``values`` written (or added) where a tuple of index tensors points.

    Example:
        >>> import fusegrad as fg
        >>> fg.index_put(fg.zeros(3), (fg.tensor([1, 1]),), fg.tensor(2.0), True).tolist()
        [0.0, 4.0, 0.0]
    """
    key = tuple(slice(None) if i is None else i for i in indices)
    if values.dtype is not input.dtype:
        raise DTypeError(f"index_put of {values.aval} into {input.aval}", "One dtype is needed.")
    if under_traced_mask(input, key):
        out = owned(input)
        setitem(out, key, getitem(out, key) + values if accumulate else values)  # type: ignore[operator]
        return out
    positions = reshape(Tensor(_iota(input.aval.size)), input.aval.shape)
    at = getitem(positions, key)
    flat = reshape(input, -1)
    new, at = reshape(broadcast_to(values, at.aval.shape), -1), reshape(at, -1)
    if accumulate:
        out = added(flat, new, at, 0, input.aval.size)
    else:
        out = ops.take_set(flat, at, new, axis=0)
    return reshape(out, input.aval.shape)


def _iota(n: int) -> Any:
    return source.iota(shape=(n,), dtype=int64, axis=0)


@method()
def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """``input`` with ``source`` written at positions in its row-major order.

    Example:
        >>> import fusegrad as fg
        >>> fg.put(fg.zeros(2, 2), fg.tensor([3]), fg.tensor([1.0])).tolist()
        [[0.0, 0.0], [0.0, 1.0]]
    """
    flat, at, values = reshape(input, -1), reshape(index, -1), reshape(source, -1)
    out = index_add(flat, 0, at, values) if accumulate else index_copy(flat, 0, at, values)
    return reshape(out, input.aval.shape)


@method()
def take(input: Tensor, index: Tensor) -> Tensor:
    """Elements at positions in the row-major order of ``input``.

    Example:
        >>> import fusegrad as fg
        >>> fg.take(fg.tensor([[1, 2], [3, 4]]), fg.tensor([0, 3])).tolist()
        [1, 4]
    """
    flat = reshape(input, -1)
    extent = flat.aval.shape[0]
    out = ops.take(flat, wrap_index(index, extent, "take"), axis=0)
    return checked(out, index, extent, 0)


@method()
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """Like ``gather``, with the other axes broadcast.

    Example:
        >>> import fusegrad as fg
        >>> fg.take_along_dim(fg.tensor([[1, 2], [3, 4]]), fg.tensor([[1], [0]]), 1).tolist()
        [[2], [3]]
    """
    if dim is None:
        return gather(reshape(input, -1), 0, reshape(indices, -1))
    if not input.aval.shape:
        raise DimError(f"take_along_dim of {input.aval} along {dim}", "There is no dimension.")
    axis = axis_of(dim, input.aval.ndim)
    if input.aval.ndim != indices.aval.ndim:
        raise ShapeError(
            f"take_along_dim of {input.aval} with {indices.aval}", "Both need as many dimensions."
        )
    pairs = list(zip(input.aval.shape, indices.aval.shape, strict=True))
    common = [max(a, b) if min(a, b) == 1 or a == b else -1 for a, b in pairs]
    if any(n < 0 for k, n in enumerate(common) if k != axis):
        raise ShapeError(
            f"take_along_dim of {input.aval} with {indices.aval}", "The shapes do not broadcast."
        )
    x = expand(input, *[pairs[k][0] if k == axis else n for k, n in enumerate(common)])
    at = expand(indices, *[pairs[k][1] if k == axis else n for k, n in enumerate(common)])
    return gather(x, axis, at)


# --- masks ----------------------------------------------------------------------------------------
def _check_mask(name: str, mask: Tensor) -> None:
    if mask.dtype is not bool_:
        raise DTypeError(f"{name} with a mask {mask.aval}", "expected BoolTensor for mask.")


@method()
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """``input`` with the elements under ``mask`` replaced by those of ``source``, in order.

    Example:
        >>> import fusegrad as fg
        >>> m = fg.tensor([True, False, True])
        >>> fg.masked_scatter(fg.zeros(3), m, fg.tensor([1.0, 2.0])).tolist()
        [1.0, 0.0, 2.0]
    """
    if source.dtype is not input.dtype:
        raise DTypeError(
            f"masked_scatter of {source.aval} into {input.aval}", "One dtype is needed."
        )
    _check_mask("masked_scatter", mask)
    shape = broadcast_shapes(input.aval.shape, mask.aval.shape, op="masked_scatter")
    flat = reshape(broadcast_to(as_bool(mask), shape), -1)
    x = broadcast_to(input, shape)
    values = reshape(source, -1)
    if not values.aval.size or not flat.aval.size:
        return cmp.convert(x, dtype=x.dtype)
    chosen = flat._value
    if isinstance(chosen, np.ndarray) and chosen.sum() > values.aval.size:
        raise RangeError(
            f"masked_scatter of {source.aval} under {int(chosen.sum())} true elements",
            "The source must have an element for each of them.",
        )
    rank = ew.sub(scan.cumsum(cast(flat, int64), axis=0, reverse=False), 1)
    last = values.aval.size - 1
    at = ew.minimum(ew.maximum(rank, 0), last)
    new = ops.take(values, at, axis=0)
    return where(reshape(flat, shape), reshape(new, shape), x)


@method()
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements under a mask, in one axis; eager only.

    Example:
        >>> import fusegrad as fg
        >>> fg.masked_select(fg.tensor([1, 2, 3]), fg.tensor([True, False, True])).tolist()
        [1, 3]
    """
    _check_mask("masked_select", mask)
    shape = broadcast_shapes(input.aval.shape, mask.aval.shape, op="masked_select")
    x, chosen = broadcast_to(input, shape), broadcast_to(mask, shape)
    found = getitem(reshape(x, -1), reshape(chosen, -1))
    return found.refuse() if isinstance(found, Selected) else found


# --- parts ----------------------------------------------------------------------------------------
def _replaced(input: Tensor, src: Tensor, take_part: Any, name: str) -> Tensor:
    """``input`` with the part that ``take_part`` selects replaced."""
    at = take_part(reshape(Tensor(_iota(input.aval.size)), input.aval.shape))
    if at.aval.shape != src.aval.shape:
        raise ShapeError(
            f"{name} of {src.aval} into {input.aval}", f"The part has shape {list(at.shape)}."
        )
    flat, values = reshape(input, -1), reshape(cast(src, input.dtype), -1)
    out = ops.take_set(flat, reshape(at, -1), values, axis=0)
    return reshape(out, input.aval.shape)


@method()
def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """``input`` with one slice replaced.

    Example:
        >>> import fusegrad as fg
        >>> fg.select_scatter(fg.zeros(2, 2), fg.ones(2), 0, 1).tolist()
        [[0.0, 0.0], [1.0, 1.0]]
    """
    return _replaced(input, src, lambda x: select(x, dim, index), "select_scatter")


@method()
def slice_scatter(
    input: Tensor,
    src: Tensor,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Tensor:
    """``input`` with ``input[start:end:step]`` along ``dim`` replaced.

    Example:
        >>> import fusegrad as fg
        >>> fg.slice_scatter(fg.zeros(4), fg.ones(2), start=1, step=2).tolist()
        [0.0, 1.0, 0.0, 1.0]
    """
    axis = axis_of(dim, input.aval.ndim)
    key = (slice(None),) * axis + (slice(start, end, step),)
    return _replaced(input, src, lambda x: getitem(x, key), "slice_scatter")


@method()
def diagonal_scatter(
    input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Tensor:
    """``input`` with a diagonal replaced.

    Example:
        >>> import fusegrad as fg
        >>> fg.diagonal_scatter(fg.zeros(2, 2), fg.ones(2)).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    return _replaced(input, src, lambda x: diagonal(x, offset, dim1, dim2), "diagonal_scatter")


for _function in (
    scatter, scatter_add, scatter_reduce, index_add, index_copy, index_fill, index_reduce,
    index_put, put, masked_scatter,
):  # fmt: skip
    in_place(f"{_function.__name__}_", _function)
