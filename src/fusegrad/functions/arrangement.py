"""Rearranging elements: diagonals, rolls, rotations, windows, splits and grids.

Everything is made of movements, which kernels turn into index arithmetic; diagonals are views.
"""

from __future__ import annotations

import builtins
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dtypes import DType, int64
from ..errors import ArgumentError, ArgumentTypeError, DimError, RangeError, ShapeError
from ..ops import compare as cmp
from ..ops import diagonals, indexing, movement, overlap
from ..tensor import Tensor
from ..viewpath import layout_of
from .common import axis_of, cast, method, owned, promote, shape_args
from .creation import meshgrid
from .placement import factory
from .reduction import sum
from .shape import (
    _at_least,
    cat,
    flip,
    movedim,
    narrow,
    repeat,
    reshape,
    split,
    stack,
    transpose,
    vstack,
)


# --- diagonals ------------------------------------------------------------------------------------
def _two_axes(name: str, x: Tensor, dim1: int, dim2: int, ndim: int) -> tuple[int, int]:
    a, b = axis_of(dim1, ndim), axis_of(dim2, ndim)
    if a == b:
        raise ShapeError(f"{name} of {x.aval} over axis {a} twice", "The two axes must differ.")
    return a, b


@method()
def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of two axes, as a view, in a new last axis.

    Example:
        >>> import fusegrad as fg
        >>> fg.diagonal(fg.tensor([[1, 2], [3, 4]])).tolist()
        [1, 4]
    """
    a, b = _two_axes("diagonal", input, dim1, dim2, input.aval.ndim)
    return diagonals.diagonal(movedim(input, (a, b), (-2, -1)), offset=offset)


@method()
def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices with the last axis of ``input`` on a diagonal and zeros elsewhere.

    Example:
        >>> import fusegrad as fg
        >>> fg.diag_embed(fg.tensor([1, 2])).tolist()
        [[1, 0], [0, 2]]
    """
    a, b = _two_axes("diag_embed", input, dim1, dim2, input.aval.ndim + 1)
    *rest, length = input.aval.shape
    n = length + abs(offset)
    first = offset if offset >= 0 else -offset * n
    used = (length - 1) * (n + 1) + 1 if length else 0
    none = (0,) * len(rest)
    flat = movement.pad(
        input,
        low=(*none, first if length else 0),
        high=(*none, n * n - (first if length else 0) - used),
        interior=(*none, n),
        value=0,
    )
    return movedim(reshape(flat, (*rest, n, n)), (-2, -1), (a, b))


@method()
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """A matrix with a vector on a diagonal, or the diagonal of a matrix.

    Example:
        >>> import fusegrad as fg
        >>> fg.diag(fg.tensor([[1, 2], [3, 4]]), 1).tolist()
        [2]
    """
    if input.aval.ndim == 1:
        return diag_embed(input, diagonal)
    if input.aval.ndim != 2:
        raise ShapeError(f"diag of {input.aval}", "It takes a vector or a matrix.")
    return owned(_diagonal(input, diagonal))


_diagonal = diagonal


@method()
def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """A matrix with all elements of ``input`` on a diagonal.

    Example:
        >>> import fusegrad as fg
        >>> fg.diagflat(fg.tensor([[1], [2]])).tolist()
        [[1, 0], [0, 2]]
    """
    return diag_embed(reshape(input, -1), offset)


@method()
def trace(input: Tensor) -> Tensor:
    """The sum of the diagonal of a matrix.

    Example:
        >>> import fusegrad as fg
        >>> fg.trace(fg.eye(3)).item()
        3.0
    """
    if input.aval.ndim != 2:
        raise ShapeError(f"trace of {input.aval}", "It takes a matrix.")
    return sum(diagonal(input))


@method("fill_diagonal_")
def fill_diagonal_(self: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """Set the main diagonal; with ``wrap`` that of a tall matrix begins anew below.

    Example:
        >>> import fusegrad as fg
        >>> fg.zeros(2, 2).fill_diagonal_(1.0).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    shape = self.aval.shape
    if len(shape) < 2 or (len(shape) > 2 and len(set(shape)) > 1):
        raise ShapeError(f"fill_diagonal_ of {self.aval}", "A matrix, or all extents equal.")
    step = 1 + builtins.sum(math.prod(shape[k:]) for k in range(1, len(shape)))
    flat = np.zeros(self.aval.size, bool)
    end = flat.size if wrap or len(shape) > 2 else min(flat.size, shape[1] * shape[1])
    flat[:end:step] = True
    mask = Tensor(flat.reshape(shape))
    return self.masked_fill_(mask, fill_value)  # type: ignore[attr-defined,no-any-return]


def _triangle(row: int, col: int, offset: int, lower: bool, dtype: DType) -> Tensor:
    made = np.tri(row, col, offset if lower else offset - 1, bool)
    return Tensor(np.stack(np.nonzero(made if lower else ~made)).astype(dtype.np))


@factory
def tril_indices(row: int, col: int, offset: int = 0, *, dtype: DType = int64) -> Tensor:
    """Rows and columns of the elements on and below a diagonal.

    Example:
        >>> import fusegrad as fg
        >>> fg.tril_indices(2, 2).tolist()
        [[0, 1, 1], [0, 0, 1]]
    """
    return _triangle(row, col, offset, True, dtype)


@factory
def triu_indices(row: int, col: int, offset: int = 0, *, dtype: DType = int64) -> Tensor:
    """Rows and columns of the elements on and above a diagonal.

    Example:
        >>> import fusegrad as fg
        >>> fg.triu_indices(2, 2).tolist()
        [[0, 0, 1], [0, 1, 1]]
    """
    return _triangle(row, col, offset, False, dtype)


# --- turning --------------------------------------------------------------------------------------
@method()
def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """Elements moved along axes; what leaves at the end comes in at the start.

    Example:
        >>> import fusegrad as fg
        >>> fg.roll(fg.tensor([1, 2, 3]), 1).tolist()
        [3, 1, 2]
    """
    shifts = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    if dims is None or dims == ():
        if len(shifts) != 1:
            raise ShapeError(f"roll by {shifts}", "One shift is needed without dims.")
        return reshape(roll(reshape(input, -1), shifts, (0,)), input.aval.shape)
    dims = (dims,) if isinstance(dims, int) else tuple(dims)
    if len(dims) != len(shifts):
        raise ShapeError(f"roll by {shifts} along {dims}", "One shift for each axis is needed.")
    out = input
    if not input.aval.shape and dims:
        raise DimError(
            f"roll of {input.aval} along {dims}", "The tensor has no dimensions.", "dims=None"
        )
    for by, dim in zip(shifts, dims, strict=True):
        axis = axis_of(dim, input.aval.ndim)
        n = input.aval.shape[axis]
        by = by % n if n else 0
        if by:
            out = cat([narrow(out, axis, n - by, by), narrow(out, axis, 0, n - by)], axis)
    return cmp.convert(out, dtype=out.dtype) if out is input else out


@method()
def fliplr(input: Tensor) -> Tensor:
    """Columns in the reverse order.

    Example:
        >>> import fusegrad as fg
        >>> fg.fliplr(fg.tensor([[1, 2]])).tolist()
        [[2, 1]]
    """
    if input.aval.ndim < 2:
        raise ShapeError(f"fliplr of {input.aval}", "It takes at least two axes.")
    return flip(input, 1)


@method()
def flipud(input: Tensor) -> Tensor:
    """Rows in the reverse order.

    Example:
        >>> import fusegrad as fg
        >>> fg.flipud(fg.tensor([1, 2])).tolist()
        [2, 1]
    """
    if input.aval.ndim < 1:
        raise ShapeError(f"flipud of {input.aval}", "It takes at least one axis.")
    return flip(input, 0)


@method()
def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """A rotation by ``k`` quarter turns from the first towards the second of two axes.

    Example:
        >>> import fusegrad as fg
        >>> fg.rot90(fg.tensor([[1, 2], [3, 4]])).tolist()
        [[2, 4], [1, 3]]
    """
    if len(dims) != 2:
        raise ShapeError(f"rot90 over {list(dims)}", "A rotation takes two axes.")
    if input.aval.ndim < 2:
        raise ShapeError(f"rot90 of {input.aval}", "expected total dims >= 2.")
    a, b = _two_axes("rot90", input, dims[0], dims[1], input.aval.ndim)
    k %= 4
    if k == 0:
        return cmp.convert(input, dtype=input.dtype)
    if k == 2:
        return flip(input, a, b)
    return transpose(flip(input, b), a, b) if k == 1 else flip(transpose(input, a, b), b)


@method()
def tile(input: Tensor, *dims: Any) -> Tensor:
    """The tensor repeated along each axis; missing counts are 1.

    Example:
        >>> import fusegrad as fg
        >>> fg.tile(fg.tensor([1, 2]), (2,)).tolist()
        [1, 2, 1, 2]
    """
    counts = shape_args(dims)
    return repeat(input, (1,) * (input.aval.ndim - len(counts)) + counts)


@method()
def unfold(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """All windows of ``size`` elements along an axis, ``step`` apart, in a new last axis.

    A view; it can be written to where the windows do not overlap.

    Example:
        >>> import fusegrad as fg
        >>> fg.arange(4).unfold(0, 2, 1).tolist()
        [[0, 1], [1, 2], [2, 3]]
    """
    if step <= 0:
        raise RangeError(f"unfold with step {step}", "The step must be positive.")
    x = input if input.aval.shape else reshape(input, 1)
    axis = axis_of(dimension, x.aval.ndim)
    extent = x.aval.shape[axis]
    if not 0 <= size <= extent:
        raise ShapeError(
            f"unfold of {input.aval} with size {size}", f"Axis {axis} has {extent} elements."
        )
    out = diagonals.windows(x, axis=axis, size=size, step=step)
    return out if input.aval.shape else reshape(out, -1)


@method()
def as_strided(
    input: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Tensor:
    """The elements at ``storage_offset + sum(i * stride)`` of the memory that ``input`` lives in.

    A view. The offset counts from the start of the memory, for a view from that of the tensor it
    was made of; left out, it is where ``input`` starts.

    Raises:
        RuntimeError: a position outside of the memory, or memory that is not row-major.

    Example:
        >>> import fusegrad as fg
        >>> fg.as_strided(fg.arange(6), (2, 2), (1, 2)).tolist()
        [[0, 2], [1, 3]]
    """
    if len(size) != len(stride):
        raise ShapeError(f"as_strided with {size} and {stride}", "One stride for each extent.")
    whole, start = _memory_of(input)
    if not whole.is_contiguous():  # type: ignore[attr-defined]
        raise ShapeError(
            f"as_strided of {input.aval}", "Its memory is not row-major.", "x.contiguous()"
        )
    return overlap.strided(
        reshape(whole, -1),
        size=tuple(size),
        stride=tuple(stride),
        offset=start if storage_offset is None else storage_offset,
    )


def _memory_of(x: Tensor) -> tuple[Tensor, int]:
    """The tensor whose memory ``x`` is a view of, and the place of its first element there."""
    root = x._root()
    whole = x if root is None else root
    if whole._path:  # a detached view: the memory without history
        whole = Tensor(x._storage.array, x._storage)
    first, own = layout_of(whole), layout_of(x)
    gap = own.__array_interface__["data"][0] - first.__array_interface__["data"][0]
    return whole, gap // own.itemsize


# --- pieces ---------------------------------------------------------------------------------------
@method()
def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces along an axis: a number of nearly equal ones, or cut at the positions given.

    Example:
        >>> import fusegrad as fg
        >>> [p.tolist() for p in fg.tensor_split(fg.arange(5), 2)]
        [[0, 1, 2], [3, 4]]
    """
    if not input.aval.shape:
        raise ShapeError("tensor_split of a 0-d tensor", "There must be an axis to cut.")
    axis = axis_of(dim, input.aval.ndim)
    n = input.aval.shape[axis]
    cuts = indices_or_sections
    if isinstance(cuts, Tensor):
        cuts = np.asarray(cuts._concrete("tensor_split")).tolist()
    if isinstance(cuts, int):
        if cuts <= 0:
            raise ShapeError(f"tensor_split into {cuts} parts", "There must be at least one.")
        small, more = divmod(n, cuts)
        return split(input, [small + (k < more) for k in range(cuts)], axis)
    if isinstance(cuts, str) or not all(hasattr(c, "__index__") for c in cuts):
        raise ArgumentTypeError(
            f"tensor_split at {cuts!r}", "indices_or_sections is an int or a sequence of them."
        )
    ends = [slice(0, c).indices(n)[1] for c in cuts]
    out, start = [], 0
    for end in [*ends, n]:
        out.append(narrow(input, axis, start, max(0, end - start)))
        start = end
    return tuple(out)


def _axis_split(name: str, axis: int, least: int) -> Any:
    def function(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
        if input.aval.ndim < least:
            raise ShapeError(f"{name} of {input.aval}", f"It takes at least {least} axes.")
        along = 0 if name == "hsplit" and input.aval.ndim == 1 else axis
        if isinstance(indices_or_sections, int):
            n = input.aval.shape[along]
            if indices_or_sections <= 0 or n % indices_or_sections:
                raise ShapeError(
                    f"{name} of {input.aval} into {indices_or_sections}",
                    f"Axis {along} does not divide into equal parts.",
                )
        return tensor_split(input, indices_or_sections, along)

    function.__name__ = name
    function.__doc__ = f"Pieces along axis {axis}, see ``tensor_split``; a number must divide it."
    return method(name)(function)


hsplit = _axis_split("hsplit", 1, 1)
vsplit = _axis_split("vsplit", 0, 2)
dsplit = _axis_split("dsplit", 2, 3)


def _for_each(name: str, ndim: int) -> Any:
    def function(*tensors: Any) -> Any:
        if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
            return tuple(_at_least(x, ndim) for x in tensors[0])
        if len(tensors) == 1:
            return _at_least(tensors[0], ndim)
        return tuple(_at_least(x, ndim) for x in tensors)

    function.__name__ = name
    function.__doc__ = f"Tensors with unit axes added up to {ndim} dimensions."
    return function


atleast_1d = _for_each("atleast_1d", 1)
atleast_2d = _for_each("atleast_2d", 2)
atleast_3d = _for_each("atleast_3d", 3)
row_stack = vstack
moveaxis = movedim
swapdims = transpose
method("moveaxis")(movedim)
method("swapdims")(transpose)


# --- grids ----------------------------------------------------------------------------------------
def block_diag(*tensors: Tensor) -> Tensor:
    """A matrix with the given matrices along its diagonal and zeros elsewhere.

    Example:
        >>> import fusegrad as fg
        >>> fg.block_diag(fg.tensor([[1]]), fg.tensor([[2, 3]])).tolist()
        [[1, 0, 0], [0, 2, 3]]
    """
    if any(x.aval.ndim > 2 for x in tensors):
        raise ShapeError("block_diag of more than two axes", "It takes matrices.")
    if not tensors:
        return Tensor(np.zeros((1, 0), np.float32))
    dtype = promote(*tensors)
    blocks = [cast(_at_least(x, 2), dtype) for x in tensors]
    width = builtins.sum(b.aval.shape[1] for b in blocks)
    rows, left = [], 0
    for b in blocks:
        n = b.aval.shape[1]
        sides = {"low": (0, left), "high": (0, width - left - n)}
        rows.append(movement.pad(b, **sides, interior=(0, 0), value=0))
        left += n
    return cat(rows, 0)


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All tuples of elements of vectors, one row each.

    Example:
        >>> import fusegrad as fg
        >>> fg.cartesian_prod(fg.tensor([1, 2]), fg.tensor([3])).tolist()
        [[1, 3], [2, 3]]
    """
    if len(tensors) == 1:
        return tensors[0]
    grids = meshgrid(*tensors, indexing="ij")
    return stack([reshape(g, -1) for g in grids], 1)


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All selections of ``r`` elements of a vector, one row each.

    Example:
        >>> import fusegrad as fg
        >>> fg.combinations(fg.tensor([1, 2, 3])).tolist()
        [[1, 2], [1, 3], [2, 3]]
    """
    if input.aval.ndim != 1:
        raise ShapeError(f"combinations of {input.aval}", "It takes a vector.")
    if r < 0:
        raise ArgumentError(f"combinations of {r}", "The number must not be negative.")
    if r == 0:
        return Tensor(np.zeros((0,), input.dtype.np))
    choose: Any = itertools.combinations
    if with_replacement:
        choose = itertools.combinations_with_replacement
    rows = list(choose(range(input.aval.shape[0]), r))
    places = np.asarray(rows, np.int64).reshape(len(rows), r)
    return indexing.take(input, Tensor(places), axis=0)
