"""Memory formats: the names PyTorch has for orders of axes in memory, and tensors laid out in them.

Values, shapes and gradients never depend on a format; only strides do. A format is a permutation of
the axes around dense memory, so it is two movements and a copy, and kernels read it as index
arithmetic.
"""

from __future__ import annotations

from typing import Any

from ..errors import ArgumentTypeError, ShapeError
from ..ops import compare, movement
from ..tensor import Tensor
from ..viewpath import layout_of
from .common import method


class MemoryFormat:
    """An order of the axes in memory.

    Attributes:
        order: the axes from the slowest to the fastest; ``None``: as they come.
    """

    def __init__(self, name: str, order: tuple[int, ...] | None = None) -> None:
        self.name = name
        self.order = order

    def __repr__(self) -> str:
        return f"fusegrad.{self.name}"

    def __reduce__(self) -> str:
        return self.name


class Layout:
    """A way to store tensors; ``fg.strided`` is the only one."""

    def __repr__(self) -> str:
        return "fusegrad.strided"

    def __reduce__(self) -> str:
        return "strided"


strided = Layout()
contiguous_format = legacy_contiguous_format = MemoryFormat("contiguous_format")
preserve_format = MemoryFormat("preserve_format")
channels_last = MemoryFormat("channels_last", (0, 2, 3, 1))
channels_last_3d = MemoryFormat("channels_last_3d", (0, 2, 3, 4, 1))


def _order(x: Tensor, memory_format: Any) -> tuple[int, ...] | None:
    """The order of the axes a format asks for.

    Raises:
        TypeError: no memory format.
        RuntimeError: the tensor has another number of axes than the format.
    """
    if not isinstance(memory_format, MemoryFormat):
        raise ArgumentTypeError(
            f"memory_format={memory_format!r}", "It must be a memory format.", "fg.channels_last"
        )
    order = memory_format.order
    if order is not None and x.aval.ndim != len(order):
        raise ShapeError(
            f"{memory_format} of a tensor {x.aval}",
            f"required rank {len(order)} tensor to use {memory_format.name} format",
            "fg.contiguous_format",
        )
    return order


def formatted(x: Tensor, memory_format: Any) -> Tensor:
    """A copy of ``x`` that is dense in a format."""
    order = _order(x, memory_format)
    if order is None:
        return compare.convert(x, dtype=x.dtype)
    dense = compare.convert(movement.transpose(x, perm=order), dtype=x.dtype)
    back = tuple(order.index(k) for k in range(len(order)))
    return movement.transpose(dense, perm=back)


def in_format(x: Tensor, memory_format: Any) -> Tensor:
    """``x`` itself when it is dense in a format (or may keep its own), else a copy that is."""
    if memory_format is preserve_format or is_contiguous(x, memory_format):
        return x
    return formatted(x, memory_format)


@method()
def contiguous(input: Tensor, memory_format: Any = contiguous_format) -> Tensor:
    """The tensor itself when its memory is dense in a format, else a copy that is.

    Raises:
        RuntimeError: the format is for another number of axes.

    Example:
        >>> import fusegrad as fg
        >>> fg.zeros(1, 2, 3, 4).contiguous(memory_format=fg.channels_last).stride()
        (24, 1, 8, 2)
    """
    if memory_format is preserve_format:
        raise ShapeError(
            f"contiguous of {input.aval} in preserve_format",
            "preserve memory format is unsupported by the contiguous operator",
            "fg.contiguous_format",
        )
    return in_format(input, memory_format)


@method("dim_order")
def dim_order(self: Tensor, ambiguity_check: bool = False) -> tuple[int, ...]:
    """The axes from the slowest in memory to the fastest.

    Args:
        ambiguity_check: refuse tensors of which two axes have one stride.

    Raises:
        RuntimeError: such a tensor.

    Example:
        >>> import fusegrad as fg
        >>> fg.zeros(2, 3).T.dim_order()
        (1, 0)
    """
    layout = layout_of(self)
    order = sorted(range(layout.ndim), key=lambda k: -layout.strides[k])
    if ambiguity_check and len({*layout.strides}) < layout.ndim:
        raise ShapeError(
            f"dim_order of {self.aval} with strides {layout.strides}",
            "The tensor does not have unique dim order.",
            "x.clone()",
        )
    return tuple(order)


@method("to_dense")
def to_dense(self: Tensor, dtype: Any = None, *, masked_grad: bool = True) -> Tensor:
    """The tensor itself, or converted: all tensors are dense."""
    return self if dtype is None else self.to(dtype)  # type: ignore[attr-defined,no-any-return]


@method()
def is_contiguous(input: Tensor, memory_format: Any = contiguous_format) -> bool:
    """Whether the elements lie densely in memory, row-major or in another format."""
    layout = layout_of(input)
    order = _order(input, memory_format)
    if order is not None:
        layout = layout.transpose(order)
    return bool(layout.flags.c_contiguous)
