"""Shape functions: views, permutations, joins, repeats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, ArgumentTypeError, DimError, RangeError, ShapeError
from ..ops import compare, movement
from ..ops.indexing import take
from ..tensor import Tensor
from .common import (
    axes_of,
    axis_of,
    broadcast_shapes,
    broadcast_to,
    cast,
    method,
    promote,
    shape_args,
    unshared,
)


def _infer(shape: tuple[int, ...], size: int, name: str) -> tuple[int, ...]:
    """Replace a single -1 by what the element count leaves."""
    if -1 not in shape:
        return shape
    known = math.prod(s for s in shape if s != -1)
    if shape.count(-1) > 1 or known == 0 or size % known:
        raise ShapeError(
            f"{name} of {size} elements to {list(shape)}",
            "One extent may be -1 and the others must divide the number of elements.",
        )
    return tuple(size // known if s == -1 else s for s in shape)


@method()
def reshape(input: Tensor, *shape: Any) -> Tensor:
    """The same elements under another shape; one extent may be -1."""
    target = _infer(shape_args(shape), input.aval.size, "reshape")
    return movement.reshape(input, shape=target)


@method()
def view(input: Tensor, *shape: Any) -> Tensor:
    """Like ``reshape``; or, given a dtype, the elements in that dtype."""
    return reshape(input, *shape)


@method()
def view_as(input: Tensor, other: Tensor) -> Tensor:
    """``input`` viewed with the shape of ``other``."""
    return reshape(input, *other.shape)


@method()
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Merge the axes ``start_dim`` to ``end_dim`` into one."""
    shape = input.aval.shape
    if not shape:
        return reshape(input, 1)
    first, last = axis_of(start_dim, len(shape)), axis_of(end_dim, len(shape))
    merged = math.prod(shape[first : last + 1])
    return reshape(input, (*shape[:first], merged, *shape[last + 1 :]))


@method()
def ravel(input: Tensor) -> Tensor:
    """The elements in one axis."""
    return reshape(input, -1)


@method()
def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """``input`` reshaped to the shape of ``other``."""
    return reshape(input, *other.shape)


@method()
def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """Split one axis into several."""
    shape = input.aval.shape
    axis = axis_of(dim, len(shape))
    inner = _infer(tuple(sizes), shape[axis], "unflatten")
    return reshape(input, (*shape[:axis], *inner, *shape[axis + 1 :]))


@method()
def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """Drop axes of extent 1 (all, or those named)."""
    shape = input.aval.shape
    axes = () if dim == () or dim == [] else axes_of(dim, len(shape))
    return reshape(input, tuple(n for k, n in enumerate(shape) if k not in axes or n != 1))


@method()
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """Insert an axis of extent 1."""
    shape = input.aval.shape
    axis = axis_of(dim, len(shape) + 1)
    return reshape(input, (*shape[:axis], 1, *shape[axis:]))


@method("permute")
def permute(input: Tensor, *dims: Any) -> Tensor:
    """Reorder the axes."""
    order = tuple(axis_of(d, input.aval.ndim) for d in shape_args(dims))
    if sorted(order) != list(range(input.aval.ndim)):
        raise ShapeError(f"permute({list(dims)}) of {input.aval}", "Each axis must appear once.")
    return movement.transpose(input, perm=order)


@method("transpose", "swapaxes", "swapdims")
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Swap two axes."""
    ndim = input.aval.ndim
    order = list(range(ndim))
    a, b = axis_of(dim0, ndim), axis_of(dim1, ndim)
    if ndim:
        order[a], order[b] = order[b], order[a]
    return movement.transpose(input, perm=tuple(order))


@method()
def t(input: Tensor) -> Tensor:
    """Transpose of a matrix; vectors stay."""
    if input.aval.ndim > 2:
        raise ShapeError(
            f"t() of {input.aval}",
            "t() takes tensors of at most 2 dimensions.",
            "transpose(-2, -1)",
        )
    return input if input.aval.ndim < 2 else transpose(input, 0, 1)


@method()
def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """Move axes to new places, the others keep their order."""
    ndim = input.aval.ndim
    if not ndim:
        axis_of(source, 0), axis_of(destination, 0)
        return reshape(input, ())
    named = [[a] if isinstance(a, int) else list(a) for a in (source, destination)]
    if len(named[0]) != len(named[1]) or any(
        len({axis_of(a, ndim) for a in axes}) < len(axes) for axes in named
    ):
        raise ShapeError(
            f"movedim of {input.aval} from {source} to {destination}",
            "There are as many sources as destinations, and each axis appears once.",
        )
    sources = [axis_of(s, ndim) for s in ([source] if isinstance(source, int) else source)]
    places = [
        axis_of(d, ndim) for d in ([destination] if isinstance(destination, int) else destination)
    ]
    order = [k for k in range(ndim) if k not in sources]
    for place, axis in sorted(zip(places, sources, strict=True)):
        order.insert(place, axis)
    return movement.transpose(input, perm=tuple(order))


@method()
def expand(input: Tensor, *sizes: Any) -> Tensor:
    """Repeat unit axes without copying; -1 keeps an extent."""
    target = list(shape_args(sizes))
    offset = len(target) - input.aval.ndim
    if offset < 0:
        raise ShapeError(
            f"expand of {input.aval} to {target}", "There is a size for each axis, or more."
        )
    for k, n in enumerate(target):
        if n == -1 and k >= offset:
            target[k] = input.aval.shape[k - offset]
    return _view_of(input, target)


def _view_of(x: Tensor, shape: Sequence[int]) -> Tensor:
    """``x`` broadcast; a view of its own also where nothing changes."""
    return reshape(x, shape) if x.aval.shape == tuple(shape) else broadcast_to(x, shape)


@method()
def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """``input`` expanded to the shape of ``other``."""
    return expand(input, *other.shape)


@method("broadcast_to")
def broadcast_to_(input: Tensor, shape: Sequence[int]) -> Tensor:
    """``input`` viewed with ``shape``."""
    return expand(input, *shape)


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """All tensors expanded to their common shape."""
    shape = broadcast_shapes(*[t.aval.shape for t in tensors])
    return tuple(_view_of(t, shape) for t in tensors)


@method()
def repeat(input: Tensor, *sizes: Any) -> Tensor:
    """Tile the tensor along each axis."""
    counts = shape_args(sizes)
    shape = (1,) * (len(counts) - input.aval.ndim) + input.aval.shape
    if len(counts) < input.aval.ndim:
        raise ShapeError(
            f"repeat{counts} of {input.aval}", "There is a count for each axis, or more.", ".tile()"
        )
    if all(c == 1 for c in counts):  # a copy, never a view
        return reshape(compare.convert(input, dtype=input.dtype), shape)
    paired = [n for c, s in zip(counts, shape, strict=True) for n in (1, s)]
    wide = [n for c, s in zip(counts, shape, strict=True) for n in (c, s)]
    x = broadcast_to(reshape(input, paired), wide)
    return _merged(x, input, [c * s for c, s in zip(counts, shape, strict=True)])


def _merged(x: Tensor, source: Tensor, shape: Sequence[int]) -> Tensor:
    """``x`` reshaped to a result that is never a view of ``source``."""
    return unshared(reshape(x, shape), source)


@method()
def repeat_interleave(
    input: Tensor, repeats: Any, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Repeat each element ``repeats`` times along ``dim`` (flattened when ``None``).

    A tensor of repeats, one per element, makes the shape depend on values: that is eager only.
    """
    if dim is None:
        input, dim = reshape(input, -1), 0
    shape = input.aval.shape
    if isinstance(repeats, Tensor) and repeats.aval.size != 1:
        counts = np.asarray(repeats._concrete("repeat_interleave by a tensor"))
        if counts.shape != (shape[axis_of(dim, len(shape))],):
            raise ShapeError(
                f"repeat_interleave of {input.aval} by {repeats.aval}",
                "There must be one count for each element of the axis.",
            )
        places = Tensor(np.repeat(np.arange(len(counts)), counts))
        return take(input, places, axis=axis_of(dim, len(shape)))
    if isinstance(repeats, Tensor):
        repeats = int(np.asarray(repeats._concrete("repeat_interleave by a tensor")).reshape(()))
    axis = axis_of(dim, len(shape))
    x = broadcast_to(
        reshape(input, (*shape[: axis + 1], 1, *shape[axis + 1 :])),
        (*shape[: axis + 1], repeats, *shape[axis + 1 :]),
    )
    return _merged(x, input, (*shape[:axis], shape[axis] * repeats, *shape[axis + 1 :]))


def check_tensors(name: str, tensors: Any, least: int = 0) -> None:
    """Refuse what is no sequence of tensors.

    Raises:
        TypeError: a tensor, or a sequence of something else.
        RuntimeError: fewer than ``least``.
    """
    if not isinstance(tensors, (tuple, list)):
        raise ArgumentTypeError(
            f"{name} of a {type(tensors).__name__}", "tensors must be a tuple or list of tensors."
        )
    for k, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            raise ArgumentTypeError(
                f"{name} of {len(tensors)} operands", f"Element {k} is a {type(x).__name__}."
            )
    if len(tensors) < least:
        raise ShapeError(f"{name} of no tensors", f"{name} expects a non-empty TensorList.")


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Join tensors along an existing axis."""
    check_tensors("cat", tensors)
    if not len(tensors):
        raise ArgumentError("cat of no tensors", "At least one tensor is needed.")
    dtype = promote(*tensors)
    kept = [x for x in tensors if x.aval.shape != (0,)] or [tensors[0]]
    axis = axis_of(dim, kept[0].aval.ndim)
    if any(x.aval.ndim == 0 for x in kept):
        raise ShapeError(
            "cat of a 0-d tensor", "Zero-dimensional tensors cannot be concatenated.", "fg.stack"
        )
    return movement.concat(*[cast(x, dtype) for x in kept], axis=axis)


concat = concatenate = cat


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Join tensors along a new axis."""
    check_tensors("stack", tensors, 1)
    first = tensors[0].aval.shape
    for x in tensors:
        if x.aval.shape != first:
            raise ShapeError(
                f"stack of {tensors[0].aval} and {x.aval}", "All tensors must have the same shape."
            )
    axis = axis_of(dim, len(first) + 1)
    return cat([unsqueeze(x, axis) for x in tensors], axis)


def _at_least(x: Tensor, ndim: int) -> Tensor:
    """Unit axes added as NumPy does: first in front, then at the end."""
    if x.aval.ndim >= ndim:
        return x
    if x.aval.ndim == 0:
        return _at_least(reshape(x, 1), ndim)
    return _at_least(unsqueeze(x, 0 if x.aval.ndim == 1 else -1), ndim)


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Join along the second axis, vectors along their only one."""
    check_tensors("hstack", tensors, 1)
    parts = [_at_least(x, 1) for x in tensors]
    return cat(parts, 0 if parts and parts[0].aval.ndim == 1 else 1)


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Join along the first axis, vectors as rows."""
    check_tensors("vstack", tensors, 1)
    return cat([_at_least(x, 2) for x in tensors], 0)


def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """Join along the third axis."""
    check_tensors("dstack", tensors, 1)
    return cat([_at_least(x, 3) for x in tensors], 2)


def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Join along the second axis, vectors as columns."""
    return cat([reshape(x, (-1, 1)) if x.aval.ndim < 2 else x for x in tensors], 1)


@method()
def narrow(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """``length`` elements from ``start`` along one axis."""
    shape = input.aval.shape
    if not shape:
        raise ShapeError(f"narrow of {input.aval}", "narrow() cannot be applied to a 0-dim tensor.")
    axis = axis_of(dim, len(shape))
    if isinstance(start, Tensor):
        if start.aval.ndim or start.dtype.category != 1:
            raise ShapeError(
                f"narrow from {start.aval}", "start must be an 0-dim integral Tensor.", "start=0"
            )
        start = int(np.asarray(start._concrete("narrow from a tensor")))
    if not -shape[axis] <= start <= shape[axis]:
        raise DimError(
            f"narrow of {input.aval} from {start}",
            f"start is in [-{shape[axis]}, {shape[axis]}] along axis {axis}.",
        )
    start = start + shape[axis] if start < 0 else start
    if not 0 <= start <= start + length <= shape[axis]:
        raise ShapeError(
            f"narrow of {input.aval} from {start} by {length}",
            f"Axis {axis} has {shape[axis]} elements.",
        )
    return movement.slice_(
        input,
        start=tuple(start if k == axis else 0 for k in range(len(shape))),
        limit=tuple(start + length if k == axis else n for k, n in enumerate(shape)),
        step=(1,) * len(shape),
    )


@method()
def select(input: Tensor, dim: int, index: int) -> Tensor:
    """The slice at ``index`` of one axis, without that axis."""
    axis = axis_of(dim, input.aval.ndim)
    extent = input.aval.shape[axis] if input.aval.shape else 0
    if not -extent <= index < extent:
        raise DimError(
            f"select: index {index} of {input.aval} along axis {axis}",
            f"The axis has {extent} elements.",
        )
    return squeeze(narrow(input, axis, index % extent, 1), axis)


@method()
def split(input: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces along one axis, of one size or of the sizes given."""
    if not input.aval.shape:
        raise ShapeError(f"split of {input.aval}", "It takes at least one axis.")
    extent = input.aval.shape[axis_of(dim, input.aval.ndim)]
    sizes = split_size_or_sections
    if isinstance(sizes, int):
        sizes = [min(sizes, extent - k) for k in range(0, extent, sizes)] or [0]
    elif sum(sizes) != extent:
        raise ShapeError(
            f"split of {input.aval} into {list(sizes)}", f"The sizes must add up to {extent}."
        )
    out, start = [], 0
    for size in sizes:
        out.append(narrow(input, dim, start, size))
        start += size
    return tuple(out)


@method()
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most ``chunks`` pieces of equal size (the last may be smaller)."""
    extent = input.aval.shape[axis_of(dim, input.aval.ndim)]
    if chunks < 1:
        raise RangeError(f"chunk of {input.aval} into {chunks}", "There must be at least one.")
    return split(input, -(-extent // chunks) if extent else [0] * chunks, dim)


@method()
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """All slices along one axis."""
    if not input.aval.shape:
        raise DimError(f"unbind of {input.aval}", "The tensor has no dimensions.", "reshape(1)")
    return tuple(
        select(input, dim, k) for k in range(input.aval.shape[axis_of(dim, input.aval.ndim)])
    )


@method()
def flip(input: Tensor, *args: Any, dims: Any = None) -> Tensor:
    """Reverse the order along axes, as in ``flip(x, 0, 1)``; without one, a copy."""
    given = shape_args(args if dims is None else (dims,))
    axes = axes_of(given, input.aval.ndim) if given else ()
    if not axes:
        return compare.convert(input, dtype=input.dtype)
    return movement.flip(input, axes=axes)


def pad_constant(input: Tensor, pad: Sequence[int], value: float = 0.0) -> Tensor:
    """Constant padding; ``pad`` lists (low, high) from the last axis backwards."""
    ndim = input.aval.ndim
    low, high = [0] * ndim, [0] * ndim
    for k in range(len(pad) // 2):
        low[ndim - 1 - k], high[ndim - 1 - k] = pad[2 * k], pad[2 * k + 1]
    return movement.pad(input, low=tuple(low), high=tuple(high), interior=(0,) * ndim, value=value)
