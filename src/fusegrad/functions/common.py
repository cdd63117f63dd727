"""Helpers of the public functions: operands, promotion, broadcasting, dims, method registration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from .. import dtypes
from ..dtypes import DType, result_type, stored
from ..errors import ArgumentTypeError, DimError, DTypeError, ShapeError
from ..ir.primitive import Primitive
from ..ops import compare, movement
from ..tensor import Tensor

F = TypeVar("F", bound=Callable[..., Any])
Number = (bool, int, float, complex)
METHODS: dict[str, Callable[..., Any]] = {}


def method(*names: str) -> Callable[[F], F]:
    """Make a function also a ``Tensor`` method, under its own name or the given ones."""

    def register(function: F) -> F:
        for name in names or (function.__name__.rstrip("_"),):
            setattr(Tensor, name, function)
            METHODS[name] = function
        return function

    return register


def as_tensor_operand(value: Any, name: str = "operand") -> Tensor:
    """A tensor from a tensor, NumPy array or nested list; Python numbers become 0-d."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        return Tensor(np.asarray(value))
    if isinstance(value, Number):
        return Tensor(stored(value, _number_dtype(value)))
    raise ArgumentTypeError(
        f"{name} got a {type(value).__name__}", "Operands are tensors, NumPy arrays or numbers."
    )


def _number_dtype(value: Any) -> DType:
    if isinstance(value, bool):
        return dtypes.bool_
    if isinstance(value, complex):
        return dtypes.complex_dtype(dtypes.get_default_dtype())
    return dtypes.int64 if isinstance(value, int) else dtypes.get_default_dtype()


def _priority(value: Any) -> tuple[DType, int]:
    if isinstance(value, Tensor):
        if value._weak:
            whole = value.dtype.category < 2
            return (value.dtype if whole else dtypes.get_default_dtype(), 0)
        return (value.dtype, 2 if value.aval.shape else 1)
    return (_number_dtype(value), 0)


def promote(*values: Any) -> DType:
    """PyTorch's result dtype of operands (tensors and Python numbers)."""
    operands = [_priority(v) for v in values]
    try:
        if all(priority == 0 for _, priority in operands) and any(
            isinstance(v, Tensor) and v.dtype is dtypes.float64 for v in values
        ):
            return dtypes.float64  # run-time numbers among themselves compute as Python floats do
        return result_type(operands)
    except TypeError as error:
        raise DTypeError(
            str(error), "These dtypes have no common type.", "use .to(dtype)"
        ) from None


def broadcast_shapes(*shapes: Sequence[int], op: str = "broadcast_shapes") -> tuple[int, ...]:
    """The common shape under NumPy's broadcasting rules.

    Raises:
        RuntimeError: two extents differ and neither is 1.
    """
    shapes = tuple((s,) if isinstance(s, int) else s for s in shapes)
    first = shapes[0] if shapes else ()
    if all(s == first for s in shapes):
        return tuple(first)
    ndim = max(len(s) for s in shapes)
    out = [1] * ndim
    for shape in shapes:
        for k, extent in enumerate(shape, ndim - len(shape)):
            if extent != 1:
                if out[k] not in (1, extent):
                    listed = ", ".join(str(list(s)) for s in shapes)
                    raise ShapeError(
                        f"{op} got shapes {listed}",
                        f"At axis {k - ndim} the extents {out[k]} and {extent} differ and neither "
                        "is 1.",
                        "reshape or unsqueeze one operand so that the axes line up",
                    )
                out[k] = extent
    return tuple(out)


def broadcast_to(x: Tensor, shape: Sequence[int]) -> Tensor:
    """``x`` viewed with ``shape``; new axes come first, unit axes are repeated."""
    target = tuple(shape)
    source = x.aval.shape
    if source == target:
        return x
    offset = len(target) - len(source)
    axes = tuple(range(offset, len(target)))
    return movement.broadcast(x, shape=target, axes=axes)


def cast(x: Tensor, dtype: DType) -> Tensor:
    """``x`` with another dtype; itself when it has it already."""
    if x.dtype is dtype:
        return x
    out = compare.convert(x, dtype=dtype)
    return out


def wrapped(value: Any, dtype: DType) -> Any:
    """A Python integer as an element of an integer dtype, modulo its range as PyTorch has it."""
    limits = np.iinfo(dtype.np)
    if limits.min <= value <= limits.max:
        return value
    return (int(value) - int(limits.min)) % (1 << limits.bits) + int(limits.min)


def pointwise(
    primitive: Primitive, *values: Any, dtype: DType | None = None, name: str = ""
) -> Tensor:
    """Apply an elementwise primitive after promotion and broadcasting."""
    op = name or primitive.name
    values = tuple(
        v if isinstance(v, (Tensor, *Number)) else as_tensor_operand(v, op) for v in values
    )
    target = dtype or promote(*values)
    shapes = [v.aval.shape for v in values if isinstance(v, Tensor)]
    shape = broadcast_shapes(*shapes, op=op) if shapes else ()
    operands: list[Any] = []
    typed = False
    for value in values:
        if isinstance(value, Tensor):
            value = broadcast_to(cast(value, target), shape)
            typed = True
        elif target.category == 1:
            value = wrapped(value, target)
        operands.append(value)
    if not typed:
        operands[0] = Tensor(stored(operands[0], target))
    out = primitive(*operands)
    if all(not isinstance(v, Tensor) or v._weak for v in values):
        out._weak = True
    return out


def owned(x: Tensor) -> Tensor:
    """``x`` in memory of its own, for a result that is equal to an operand but not a view of it."""
    return compare.convert(x, dtype=x.dtype)


def unshared(out: Tensor, source: Tensor) -> Tensor:
    """``out``, copied if it lies in the memory of ``source``."""
    return owned(out) if out._storage is source._storage else out


def factors(primitive: Primitive, input: Any, other: Any, dtype: DType | None = None) -> Tensor:
    """``pointwise`` for products and quotients, whose numbers stay exact beside half precision.

    In every other operation PyTorch rounds a number (or 0-d tensor) to the dtype of the result.
    """
    values = (input, other)
    numbers = [v for v in values if not isinstance(v, Tensor) or not v.dtype.reduced]
    if not 0 < len(numbers) < 2 or any(isinstance(v, Tensor) and v.aval.shape for v in numbers):
        return pointwise(primitive, input, other, dtype=dtype)
    target = dtype or promote(*values)
    if not target.reduced:
        return pointwise(primitive, input, other, dtype=dtype)
    wide = [cast(v, dtypes.float32) if isinstance(v, Tensor) else v for v in values]
    return cast(pointwise(primitive, *wide, dtype=dtypes.float32), target)


def floating(x: Any, name: str = "operand") -> Tensor:
    """``x`` as a floating tensor (integers and booleans become the default dtype)."""
    tensor = as_tensor_operand(x, name)
    if tensor.dtype.category >= 2:
        return tensor
    return cast(tensor, dtypes.get_default_dtype())


def axis_of(dim: int, ndim: int) -> int:
    """A non-negative axis.

    Raises:
        IndexError: ``dim`` is out of range.
    """
    limit = max(ndim, 1)
    if not -limit <= dim < limit:
        raise DimError(
            f"dimension out of range: dim {dim} of a {ndim}-d tensor",
            f"dim must be in [{-limit}, {limit - 1}].",
        )
    return dim % limit


def axes_of(dim: Any, ndim: int) -> tuple[int, ...]:
    """Sorted distinct axes for ``dim`` (``None`` or empty: all)."""
    if dim is None or (isinstance(dim, (tuple, list)) and not dim):
        return tuple(range(ndim))
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    axes = tuple(sorted(axis_of(d, ndim) for d in dims))
    if len(set(axes)) != len(axes):
        raise ShapeError(f"dim {dim} names an axis twice", "Each axis may appear once.")
    return axes if ndim else ()


def shape_args(shape: tuple[Any, ...]) -> tuple[int, ...]:
    """``f(2, 3)`` and ``f((2, 3))`` alike."""
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = tuple(shape[0])
    try:
        return tuple(int(s.__index__()) for s in shape)
    except AttributeError:
        raise ArgumentTypeError(f"shape {shape}", "A shape is a sequence of integers.") from None


def sizes_of(size: tuple[Any, ...]) -> tuple[int, ...]:
    """The shape of a new tensor, from ``f(2, 3)`` or ``f((2, 3))``.

    Raises:
        RuntimeError: a negative extent.
    """
    shape = shape_args(size)
    if any(n < 0 for n in shape):
        raise ShapeError(
            f"a new tensor of shape {list(shape)}",
            "Trying to create tensor with negative dimension.",
            "extents of at least 0; -1 has a meaning only for .reshape() and .expand()",
        )
    return shape
