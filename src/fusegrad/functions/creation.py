"""Creation functions, conversion, and what leaves fusegrad (``item``, ``numpy``, ``repr``)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import dtypes
from ..dtypes import DType, as_dtype, from_numpy_dtype, int64
from ..errors import ArgumentError, ArgumentTypeError, DTypeError, GradientError
from ..ops import elementwise as ew
from ..ops import source
from ..tensor import Tensor
from ..viewpath import layout_of
from .common import cast, method, shape_args


class device:
    """A device; only ``cpu`` here."""

    def __init__(self, type: Any = "cpu", index: int | None = None) -> None:
        name: str = str(type).split(":")[0]
        if name != "cpu":
            raise ArgumentError(f"device {type!r}", "Only the cpu is available here.", "'cpu'")
        self.type = name
        self.index = index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (device, str)) and str(other).split(":")[0] == self.type

    def __hash__(self) -> int:
        return hash(self.type)

    def __str__(self) -> str:
        return self.type

    def __repr__(self) -> str:
        return f"device(type='{self.type}')"


def _finish(x: Tensor, requires_grad: bool) -> Tensor:
    if requires_grad:
        x.requires_grad = True
    return x


def tensor(
    data: Any, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor that copies ``data`` (numbers, nested lists, NumPy arrays, tensors).

    Example:
        >>> import fusegrad as fg
        >>> fg.tensor([1.0, 2.0]).sum().item()
        3.0
    """
    if isinstance(data, Tensor):
        array = np.array(data._concrete("a copy"))
    elif isinstance(data, (np.ndarray, np.generic)):
        array = np.array(data)
    else:
        array = _from_nested(data)
        if dtype is None and array.dtype == np.float64:
            array = array.astype(dtypes.get_default_dtype().np)
    if dtype is not None:
        array = array.astype(as_dtype(dtype).np)
    from_numpy_dtype(array.dtype)
    return _finish(Tensor(np.ascontiguousarray(array).reshape(array.shape)), requires_grad)


def _from_nested(data: Any) -> np.ndarray:
    if isinstance(data, (list, tuple)) and data and isinstance(data[0], Tensor):
        return np.asarray([np.asarray(x._concrete("a copy")) for x in data])
    try:
        array = np.array(data)
    except ValueError:
        raise ArgumentError("tensor() of a ragged list", "All rows need the same length.") from None
    if array.dtype == object:
        raise ArgumentTypeError(
            f"tensor() of {type(data).__name__}",
            "Data must be numbers, nested lists of numbers or arrays.",
        )
    if array.size == 0 and not isinstance(data, np.ndarray):
        return array.astype(dtypes.get_default_dtype().np)
    return array


def as_tensor(data: Any, dtype: DType | None = None, device: Any = None) -> Tensor:
    """Like ``tensor`` without copying where possible."""
    if isinstance(data, Tensor):
        return data if dtype is None else cast(data, dtype)
    if isinstance(data, np.ndarray):
        return from_numpy(data) if dtype is None else cast(from_numpy(data), dtype)
    return tensor(data, dtype=dtype)


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor that shares the memory of a NumPy array."""
    if not isinstance(array, np.ndarray):
        raise ArgumentTypeError(f"from_numpy of {type(array).__name__}", "Expected a NumPy array.")
    from_numpy_dtype(array.dtype)
    return Tensor(array)


def full(
    size: Any,
    fill_value: Any,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of ``fill_value``."""
    if dtype is None:
        dtype = (
            dtypes.bool_
            if isinstance(fill_value, bool)
            else int64
            if isinstance(fill_value, int)
            else dtypes.get_default_dtype()
        )
    shape = shape_args((size,))
    if isinstance(fill_value, Tensor):
        from .shape import expand

        return expand(cast(fill_value, dtype), *shape).clone()  # type: ignore[attr-defined]
    value = source.full(shape=shape, dtype=as_dtype(dtype), value=fill_value)
    return _finish(Tensor(value), requires_grad)


def zeros(
    *size: Any, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor of zeros."""
    return full(
        shape_args(size), 0, dtype=dtype or dtypes.get_default_dtype(), requires_grad=requires_grad
    )


def ones(
    *size: Any, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor of ones."""
    return full(
        shape_args(size), 1, dtype=dtype or dtypes.get_default_dtype(), requires_grad=requires_grad
    )


def empty(
    *size: Any, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor without defined contents (zeros here)."""
    return zeros(*size, dtype=dtype, requires_grad=requires_grad)


def zeros_like(
    input: Tensor, *, dtype: DType | None = None, requires_grad: bool = False, **ignored: Any
) -> Tensor:
    """Zeros with the shape and dtype of ``input``."""
    return full(input.aval.shape, 0, dtype=dtype or input.dtype, requires_grad=requires_grad)


def ones_like(
    input: Tensor, *, dtype: DType | None = None, requires_grad: bool = False, **ignored: Any
) -> Tensor:
    """Ones with the shape and dtype of ``input``."""
    return full(input.aval.shape, 1, dtype=dtype or input.dtype, requires_grad=requires_grad)


def full_like(
    input: Tensor, fill_value: Any, *, dtype: DType | None = None, requires_grad: bool = False
) -> Tensor:
    """``fill_value`` with the shape and dtype of ``input``."""
    return full(
        input.aval.shape, fill_value, dtype=dtype or input.dtype, requires_grad=requires_grad
    )


def empty_like(input: Tensor, *, dtype: DType | None = None, **ignored: Any) -> Tensor:
    """A tensor with the shape and dtype of ``input``."""
    return zeros_like(input, dtype=dtype)


def arange(
    start: Any,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers from ``start`` below ``end`` by ``step``."""
    if end is None:
        start, end = 0, start
    if dtype is None:
        whole = all(isinstance(v, int) for v in (start, end, step))
        dtype = int64 if whole else dtypes.get_default_dtype()
    count = max(0, math.ceil((end - start) / step))
    ramp = Tensor(source.iota(shape=(count,), dtype=dtype, axis=0))
    if step != 1:
        ramp = ew.mul(ramp, step)
    return _finish(ew.add(ramp, start) if start != 0 else ramp, requires_grad)


def linspace(
    start: float,
    end: float,
    steps: int,
    *,
    dtype: DType | None = None,
    requires_grad: bool = False,
    device: Any = None,
) -> Tensor:
    """``steps`` evenly spaced numbers from ``start`` to ``end``."""
    target = dtype or dtypes.get_default_dtype()
    return _finish(Tensor(np.linspace(start, end, steps).astype(target.np)), requires_grad)


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: DType | None = None,
    requires_grad: bool = False,
    device: Any = None,
) -> Tensor:
    """Ones on the diagonal."""
    shape = (n, n if m is None else m)
    rows = Tensor(source.iota(shape=shape, dtype=int64, axis=0))
    columns = Tensor(source.iota(shape=shape, dtype=int64, axis=1))
    return _finish(cast(ew.eq(rows, columns), dtype or dtypes.get_default_dtype()), requires_grad)


def tril_mask(shape: tuple[int, ...], diagonal: int) -> Tensor:
    """Boolean matrix, true on and below a diagonal."""
    i = Tensor(source.iota(shape=shape, dtype=int64, axis=0))
    j = Tensor(source.iota(shape=shape, dtype=int64, axis=1))
    return ew.le(j, ew.add(i, diagonal))


@method()
def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """Lower triangle, zeros above."""
    from .pointwise import where

    return where(tril_mask(input.aval.shape[-2:], diagonal), input, 0)


@method()
def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """Upper triangle, zeros below."""
    from .pointwise import where

    return where(tril_mask(input.aval.shape[-2:], diagonal - 1), 0, input)


# --- conversion -----------------------------------------------------------------------------------
@method()
def to(
    input: Tensor,
    *args: Any,
    dtype: DType | None = None,
    device: Any = None,
    non_blocking: bool = False,
    copy: bool = False,
) -> Tensor:
    """Convert dtype; a device must be the cpu."""
    for arg in args:
        if isinstance(arg, DType):
            dtype = arg
        elif isinstance(arg, Tensor):
            dtype = arg.dtype
        elif arg is not None and not isinstance(arg, bool):
            globals()["device"](arg)
    if device is not None:
        globals()["device"](device)
    out = input if dtype is None else cast(input, dtype)
    return clone(out) if copy and out is input else out


@method("type")
def type_(input: Tensor, dtype: DType | None = None) -> Any:
    """The name of the tensor type, or the tensor converted to ``dtype``."""
    return f"fusegrad.{input.dtype.name}" if dtype is None else cast(input, dtype)


def _converter(name: str, dtype: DType) -> None:
    def convert(input: Tensor) -> Tensor:
        return cast(input, dtype)

    convert.__name__ = name
    convert.__doc__ = f"The tensor as {dtype}."
    method(name)(convert)


for _name, _dtype in {
    "float": dtypes.float32,
    "double": dtypes.float64,
    "half": dtypes.float16,
    "long": int64,
    "int": dtypes.int32,
    "short": dtypes.int16,
    "char": dtypes.int8,
    "byte": dtypes.uint8,
    "bool": dtypes.bool_,
}.items():
    _converter(_name, _dtype)


@method()
def clone(input: Tensor) -> Tensor:
    """A copy with its own memory; gradients flow through."""
    return ew.convert(input, dtype=input.dtype)


@method()
def contiguous(input: Tensor) -> Tensor:
    """The tensor itself when its memory is dense and in order, else a copy."""
    return input if is_contiguous(input) else clone(input)


@method()
def is_contiguous(input: Tensor) -> bool:
    """Whether the elements lie densely in row-major order."""
    return layout_of(input).flags.c_contiguous


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
    return array.item()


@method()
def tolist(input: Tensor) -> Any:
    """Nested Python lists of the elements."""
    return input._concrete(".tolist()").tolist()


@method()
def numpy(input: Tensor) -> np.ndarray:
    """The elements as a NumPy array that shares memory.

    Raises:
        RuntimeError: the tensor requires grad, or is traced.
    """
    if input.requires_grad:
        raise GradientError(
            f".numpy() of {input.aval} that requires grad",
            "The array would escape the recorded history.",
            ".detach().numpy()",
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
        return kind(array.item())

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


@method()
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


@method()
def stride(input: Tensor, dim: int | None = None) -> Any:
    """Strides in elements."""
    array = input._concrete(".stride()")
    strides = tuple(s // array.itemsize for s in array.strides)
    return strides if dim is None else strides[dim]


@method()
def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype is floating."""
    return input.dtype.is_floating_point


@method("__str__")
def str_(input: Tensor) -> str:
    """The values, for ``print``; refuses inside a jitted function, where there are none yet."""
    if not isinstance(input._value, np.ndarray):
        input._concrete("print")
    return repr_(input)


@method("__repr__")
def repr_(input: Tensor) -> str:
    """Like PyTorch's: values, dtype when unusual, grad_fn or requires_grad."""
    if not isinstance(input._value, np.ndarray):
        return f"tensor(traced {input.aval})"
    body = np.array2string(
        input._value,
        separator=", ",
        precision=4,
        prefix="tensor(",
        suppress_small=False,
        floatmode="maxprec" if input.dtype.is_floating_point else "fixed",
        threshold=1000,
    )
    parts = [body]
    plain = (dtypes.get_default_dtype(), int64, dtypes.bool_)
    if input.dtype not in plain:
        parts.append(f"dtype={input.dtype!r}")
    if input.grad_fn is not None:
        parts.append(f"grad_fn=<{input.grad_fn.name}>")
    elif input._requires_grad:
        parts.append("requires_grad=True")
    return f"tensor({', '.join(parts)})"


def _constructor(dtype: DType) -> Any:
    def construct(*args: Any) -> Tensor:
        if args and all(isinstance(a, int) for a in args):
            return zeros(*args, dtype=dtype)
        return tensor(args[0] if args else [], dtype=dtype)

    construct.__doc__ = f"A {dtype} tensor from data, or of the given shape."
    return construct


FloatTensor = _constructor(dtypes.float32)
DoubleTensor = _constructor(dtypes.float64)
LongTensor = _constructor(int64)
IntTensor = _constructor(dtypes.int32)
BoolTensor = _constructor(dtypes.bool_)
