"""Conversions of dtype, and what leaves fusegrad: ``item``, ``numpy``, ``tolist``, numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes
from ..dtypes import DType, int64, number_of, widen
from ..errors import ArgumentError, ArgumentTypeError, DTypeError, GradientError
from ..tensor import Tensor
from ..viewpath import layout_of
from .common import cast, method
from .creation import TENSOR_TYPES
from .layout import formatted, in_format, preserve_format
from .placement import on_cpu


@method()
def to(
    input: Tensor,
    *args: Any,
    dtype: DType | None = None,
    device: Any = None,
    non_blocking: bool = False,
    copy: bool = False,
    memory_format: Any = preserve_format,
) -> Tensor:
    """Convert dtype; a device must be the cpu."""
    for arg in args:
        if isinstance(arg, DType):
            dtype = arg
        elif isinstance(arg, Tensor):
            dtype = arg.dtype
        elif arg is not None and not isinstance(arg, bool):
            on_cpu(arg)
    on_cpu(device)
    out = in_format(input if dtype is None else cast(input, dtype), memory_format)
    return clone(out, memory_format=memory_format) if copy and out is input else out


@method("type")
def type_(input: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The name of the tensor type, or the tensor converted to a dtype, a tensor type or its name.

    Example:
        >>> import fusegrad as fg
        >>> fg.zeros(1).type(), fg.zeros(1).type("LongTensor").dtype
        ('fusegrad.FloatTensor', fusegrad.int64)
    """
    if dtype is None:
        names = {d: name for name, d in TENSOR_TYPES.items()}
        return f"fusegrad.{names.get(input.dtype, input.dtype.name)}"
    found = getattr(dtype, "dtype", dtype)
    if isinstance(found, str):
        found = TENSOR_TYPES.get(found.rpartition(".")[2], found)
    if not isinstance(found, DType):
        raise ArgumentError(
            f"type({dtype!r})", "Not a dtype or the name of a tensor type.", "x.to(fg.float64)"
        )
    return cast(input, found)


@method()
def type_as(input: Tensor, other: Tensor) -> Tensor:
    """The tensor with the dtype of ``other``."""
    return cast(input, other.dtype)


def _converter(name: str, dtype: DType) -> None:
    def convert(input: Tensor, memory_format: Any = preserve_format) -> Tensor:
        return in_format(cast(input, dtype), memory_format)

    convert.__name__ = name
    convert.__doc__ = f"The tensor as {dtype}."
    method(name)(convert)


for _name, _dtype in {
    "float": dtypes.float32,
    "double": dtypes.float64,
    "half": dtypes.float16,
    "bfloat16": dtypes.bfloat16,
    "long": int64,
    "int": dtypes.int32,
    "short": dtypes.int16,
    "char": dtypes.int8,
    "byte": dtypes.uint8,
    "bool": dtypes.bool_,
    "cfloat": dtypes.complex64,
    "cdouble": dtypes.complex128,
}.items():
    _converter(_name, _dtype)


@method()
def clone(input: Tensor, *, memory_format: Any = preserve_format) -> Tensor:
    """A copy with its own memory; gradients flow through."""
    return formatted(input, memory_format)


@method()
def cpu(input: Tensor) -> Tensor:
    """The tensor itself."""
    return input


@method()
def item(input: Tensor) -> Any:
    """The Python number of a one-element tensor.

    Raises:
        RuntimeError: more than one element, or called inside a traced function.
    """
    array = input._concrete(".item()")
    if array.size != 1:
        raise GradientError(
            f".item() of {input.aval}", "Only one-element tensors convert to a number.", ".tolist()"
        )
    return number_of(array)


@method()
def tolist(input: Tensor) -> Any:
    """Nested Python lists of the elements."""
    return widen(input._concrete(".tolist()")).tolist()


@method()
def numpy(input: Tensor) -> np.ndarray:
    """The elements as a NumPy array that shares memory.

    Raises:
        RuntimeError: the tensor requires grad, or is traced.
        TypeError: the dtype is bfloat16, which NumPy does not have.
    """
    if input.requires_grad:
        raise GradientError(
            f".numpy() of {input.aval} that requires grad",
            "The array would escape the recorded history.",
            ".detach().numpy()",
        )
    if input.dtype is dtypes.bfloat16:
        raise ArgumentTypeError(
            f".numpy() of {input.aval}",
            "Got unsupported ScalarType BFloat16: NumPy has no such numbers.",
            ".float().numpy()",
        )
    return input._concrete(".numpy()")


@method("__array__")
def array_(input: Tensor, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
    """NumPy conversion."""
    array = numpy(input)
    return array if dtype is None and not copy else np.array(array, dtype=dtype)


def _number(kind: type, name: str) -> None:
    def convert(input: Tensor) -> Any:
        array = input._concrete(f"{kind.__name__}()")
        if array.size != 1:
            raise GradientError(
                f"{kind.__name__}() of {input.aval}",
                "Only one-element tensors have one truth value or number.",
                "(x != 0).any() or .all()",
            )
        value = number_of(array)
        if isinstance(value, complex) and kind in (int, float):
            if value.imag:
                raise DTypeError(
                    f"{kind.__name__}() of {input.aval}",
                    f"value cannot be converted to type {kind.__name__} without overflow: it has "
                    "an imaginary part.",
                    "x.real or x.abs()",
                )
            value = value.real
        return kind(value)

    setattr(Tensor, name, convert)


for _kind, _name in (
    (bool, "__bool__"),
    (int, "__int__"),
    (float, "__float__"),
    (complex, "__complex__"),
):
    _number(_kind, _name)


@method("__index__")
def index_(input: Tensor) -> int:
    """A Python index from an integer tensor."""
    if input.dtype.category != 1:
        raise DTypeError(f"index from {input.aval}", "Only integer tensors can be an index.")
    return int(item(input))


@method("__len__")
def len_(input: Tensor) -> int:
    """Extent of the first axis."""
    if not input.aval.shape:
        raise ArgumentTypeError("len() of a 0-d tensor", "It has no axes.")
    return input.aval.shape[0]


@method("__contains__")
def contains(input: Tensor, element: Any) -> bool:
    """Whether any element equals ``element``."""
    return bool((input == element).any())  # type: ignore[attr-defined]


@method()
def size(input: Tensor, dim: int | None = None) -> Any:
    """The shape, or one extent."""
    return input.shape if dim is None else input.shape[dim]


@method("dim", "ndimension")
def dim(input: Tensor) -> int:
    """Number of axes."""
    return input.aval.ndim


@method("numel", "nelement")
def numel(input: Tensor) -> int:
    """Number of elements."""
    return input.aval.size


@method()
def element_size(input: Tensor) -> int:
    """Bytes of one element."""
    return input.dtype.itemsize


@method()
def data_ptr(input: Tensor) -> int:
    """Address of the first element."""
    return int(input._concrete(".data_ptr()").__array_interface__["data"][0])


method("const_data_ptr")(data_ptr)


@method()
def stride(input: Tensor, dim: int | None = None) -> Any:
    """Strides in elements."""
    array = layout_of(input)
    strides = tuple(s // array.itemsize for s in array.strides)
    return strides if dim is None else strides[dim]


@method()
def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype is floating."""
    return input.dtype.is_floating_point


@method()
def is_complex(input: Tensor) -> bool:
    """Whether the dtype is complex."""
    return input.dtype.is_complex


@method()
def is_signed(input: Tensor) -> bool:
    """Whether values can be negative."""
    return input.dtype.is_signed


def is_nonzero(input: Tensor) -> bool:
    """Whether a one-element tensor is not zero."""
    return bool(item(input))
