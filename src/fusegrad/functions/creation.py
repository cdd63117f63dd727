"""Tensors from data, shapes and ranges. Conversions are in ``conversion.py``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import dtypes
from ..dtypes import DType, as_dtype, from_numpy_dtype, int64, stored
from ..errors import ArgumentError, ArgumentTypeError, RangeError, ShapeError
from ..ops import compare as cmp
from ..ops import elementwise as ew
from ..ops import movement, source
from ..ops import transcendental as tr
from ..ops.kinds import keep_parts
from ..tensor import Tensor
from .common import cast, method, promote, sizes_of
from .layout import contiguous_format, in_format, preserve_format
from .placement import factory, on_cpu


@factory
def tensor(data: Any, *, dtype: DType | None = None) -> Tensor:
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
            array = stored(array, dtypes.get_default_dtype())
        elif dtype is None and array.dtype == np.complex128:
            array = stored(array, dtypes.complex_dtype(dtypes.get_default_dtype()))
        elif dtype is not None and array.dtype.kind == "c":
            keep_parts("tensor()", array, as_dtype(dtype))
    if dtype is not None:
        array = stored(array, as_dtype(dtype))
    from_numpy_dtype(array.dtype)
    return Tensor(np.ascontiguousarray(array).reshape(array.shape))


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
        return stored(array, dtypes.get_default_dtype())
    return array


def as_tensor(data: Any, dtype: DType | None = None, device: Any = None) -> Tensor:
    """Like ``tensor`` without copying where possible."""
    on_cpu(device)
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


@factory
def full(size: Any, fill_value: Any, *, dtype: DType | None = None) -> Tensor:
    """A tensor of ``fill_value``."""
    if dtype is None:
        dtype = (
            dtypes.bool_
            if isinstance(fill_value, bool)
            else int64
            if isinstance(fill_value, int)
            else dtypes.complex_dtype(dtypes.get_default_dtype())
            if isinstance(fill_value, complex)
            else dtypes.get_default_dtype()
        )
    shape = sizes_of((size,))
    if isinstance(fill_value, Tensor):
        from .shape import expand

        return expand(cast(fill_value, dtype), *shape).clone()  # type: ignore[attr-defined]
    dtype = as_dtype(dtype)
    if dtype.category == 1 and not isinstance(fill_value, complex):
        fill_value = _whole("full", fill_value, dtype)
    return Tensor(source.full(shape=shape, dtype=dtype, value=fill_value))


@factory
def zeros(*size: Any, dtype: DType | None = None) -> Tensor:
    """A tensor of zeros."""
    return full(sizes_of(size), 0, dtype=dtype or dtypes.get_default_dtype())


@factory
def ones(*size: Any, dtype: DType | None = None) -> Tensor:
    """A tensor of ones."""
    return full(sizes_of(size), 1, dtype=dtype or dtypes.get_default_dtype())


@factory
def empty(*size: Any, dtype: DType | None = None, memory_format: Any = contiguous_format) -> Tensor:
    """A tensor without defined contents (zeros here)."""
    return in_format(zeros(*size, dtype=dtype), memory_format)


def zeros_like(input: Tensor, **options: Any) -> Tensor:
    """Zeros with the shape and dtype of ``input``; options are those of ``full_like``."""
    return full_like(input, 0, **options)


def ones_like(input: Tensor, **options: Any) -> Tensor:
    """Ones with the shape and dtype of ``input``; options are those of ``full_like``."""
    return full_like(input, 1, **options)


@factory
def full_like(
    input: Tensor,
    fill_value: Any,
    *,
    dtype: DType | None = None,
    memory_format: Any = preserve_format,
) -> Tensor:
    """``fill_value`` with the shape and dtype of ``input``."""
    out = full(input.aval.shape, fill_value, dtype=dtype or input.dtype)
    return in_format(out, memory_format)


def empty_like(input: Tensor, **options: Any) -> Tensor:
    """A tensor with the shape and dtype of ``input``; options are those of ``full_like``."""
    return zeros_like(input, **options)


@factory
def arange(
    start: Any,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: DType | None = None,
) -> Tensor:
    """Numbers from ``start`` below ``end`` by ``step``."""
    if end is None:
        start, end = 0, start
    if dtype is None:
        whole = all(isinstance(v, int) for v in (start, end, step))
        dtype = int64 if whole else dtypes.get_default_dtype()
    if math.isinf(start) or math.isinf(end) or math.isnan(start) or math.isnan(end):
        raise RangeError(f"arange from {start} to {end}", "unsupported range: it has no end.")
    if (end - start) * step < 0:
        raise RangeError(
            f"arange from {start} to {end} by {step}",
            "upper bound and lower bound inconsistent with step sign",
            f"step={-step}",
        )
    span, by, given = end - start, step, step
    if dtype.category == 1:  # whole numbers; the count of those of 64 bits is one of them
        start, step = int(start), int(step)
        span, by = (int(end) - start, step) if dtype is int64 else (span, by)
    if by == 0:
        kind = RangeError if step == 0 == given else ArgumentError
        raise kind(f"arange with step={given}", "step must be nonzero", "step=1")
    whole = isinstance(span, int) and isinstance(by, int)
    count = -(-span // by) if whole else math.ceil(span / by)
    ramp = Tensor(source.iota(shape=(count,), dtype=dtype, axis=0))
    if step != 1:
        ramp = ew.mul(ramp, step)
    return ew.add(ramp, start) if start != 0 else ramp


def _dtype_of_ends(*ends: Any) -> DType:
    default = dtypes.get_default_dtype()
    whole = [e.dtype.is_complex if isinstance(e, Tensor) else isinstance(e, complex) for e in ends]
    return dtypes.complex_dtype(default) if any(whole) else default


@factory
def linspace(
    start: float,
    end: float,
    steps: int,
    *,
    dtype: DType | None = None,
) -> Tensor:
    """``steps`` evenly spaced numbers from ``start`` to ``end`` (numbers or 0-d tensors)."""
    target = dtype or _dtype_of_ends(start, end)
    return cast(_spaced("linspace", start, end, steps, target), target)


@factory
def logspace(
    start: float,
    end: float,
    steps: int,
    base: float = 10.0,
    *,
    dtype: DType | None = None,
) -> Tensor:
    """``steps`` powers of ``base``, with evenly spaced exponents from ``start`` to ``end``.

    Example:
        >>> import fusegrad as fg
        >>> fg.logspace(0, 2, 3).tolist()
        [1.0, 10.0, 100.0]
    """
    target = dtype or _dtype_of_ends(start, end)
    spaced = dtypes.float64 if steps == 1 else target  # PyTorch does not round a single exponent
    exponents = _spaced("logspace", start, end, steps, spaced)
    if isinstance(exponents._value, np.ndarray):
        values = Tensor(np.power(float(base), exponents._value))
    else:
        values = tr.exp(ew.mul(exponents, math.log(base)))
    return cast(values, target)


def _spaced(name: str, start: Any, end: Any, steps: Any, target: DType) -> Tensor:
    """Evenly spaced float64 numbers; constants unless an end is a traced tensor.

    For a whole ``target`` the ends are whole, what is between them is not.
    """
    if isinstance(steps, bool) or not hasattr(steps, "__index__"):
        raise ArgumentTypeError(f"{name} with steps={steps!r}", "steps must be an int.")
    if steps < 0:
        raise RangeError(f"{name} with steps={steps}", "number of steps must be non-negative")
    ends = [_end(name, value, target) for value in (start, end)]
    wide = promote(*ends)
    first, last = (cast(x, wide) for x in ends)
    rest = max(steps - 1, 1)
    at = np.arange(steps)
    forth, back = (cast(Tensor(x), wide) for x in (at, steps - 1 - at))
    slope = ew.div(ew.sub(last, first), float(rest))
    near, far = ew.add(first, ew.mul(slope, forth)), ew.sub(last, ew.mul(slope, back))
    return cmp.where(Tensor(at < max(steps // 2, steps == 1)), near, far)


def _end(name: str, value: Any, target: DType) -> Tensor:
    """An end of a range as a 0-d tensor of float64 or complex128."""
    if isinstance(value, Tensor):
        if value.aval.ndim:
            raise ShapeError(
                f"{name} to or from {value.aval}",
                f"{name} only supports 0-dimensional start and end tensors.",
            )
        value = value.detach()  # type: ignore[attr-defined]
        value = cast(value, target) if target.category == 1 else value
        wide = dtypes.complex128 if value.dtype.is_complex else dtypes.float64
        return cast(value, wide)
    if target.category == 1:
        value = _whole(name, int(value), target)
    return Tensor(np.asarray(value, np.complex128 if isinstance(value, complex) else np.float64))


def _whole(name: str, value: Any, dtype: DType) -> Any:
    """A number as it is stored in integers: negative ones wrap in unsigned dtypes."""
    info = np.iinfo(dtype.np)
    least = -info.max if info.min == 0 and isinstance(value, int) else info.min
    if not least <= value <= info.max:
        raise RangeError(
            f"{name} of {dtype} with {value}",
            f"value cannot be converted to type {dtype} without overflow",
        )
    return value % (info.max + 1) if info.min == 0 else value


def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    """Grids of coordinates: one tensor per vector, each of the shape of all of them together.

    Args:
        tensors: vectors (or scalars) of one dtype.
        indexing: ``"ij"`` (default) or ``"xy"``, which swaps the first two axes.

    Raises:
        RuntimeError: another ``indexing``, operands of several dtypes or of more than one axis.

    Example:
        >>> import fusegrad as fg
        >>> x, y = fg.meshgrid(fg.arange(2), fg.arange(3), indexing="ij")
        >>> x.tolist(), y.tolist()
        ([[0, 0, 0], [1, 1, 1]], [[0, 1, 2], [0, 1, 2]])
    """
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
    if indexing not in (None, "ij", "xy"):
        raise RangeError(
            f"meshgrid with indexing={indexing!r}", "indexing must be one of 'xy' or 'ij'.", "'ij'"
        )
    if any(x.aval.ndim > 1 or x.dtype is not tensors[0].dtype for x in tensors):
        raise ShapeError(
            f"meshgrid of {', '.join(str(x.aval) for x in tensors)}",
            "Expected vectors (or scalars) that all have the same dtype.",
        )
    order = list(range(len(tensors)))
    if indexing == "xy" and len(order) > 1:
        order[:2] = 1, 0
    shape = tuple(tensors[k].aval.size for k in order)
    return tuple(
        movement.broadcast(
            movement.reshape(x, shape=(x.aval.size,)), shape=shape, axes=(order.index(k),)
        )
        for k, x in enumerate(tensors)
    )


@factory
def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: DType | None = None,
) -> Tensor:
    """Ones on the diagonal."""
    shape = sizes_of((n, n if m is None else m))
    rows = Tensor(source.iota(shape=shape, dtype=int64, axis=0))
    columns = Tensor(source.iota(shape=shape, dtype=int64, axis=1))
    return cast(cmp.eq(rows, columns), dtype or dtypes.get_default_dtype())


def tril_mask(shape: tuple[int, ...], diagonal: int) -> Tensor:
    """Boolean matrix, true on and below a diagonal."""
    i = Tensor(source.iota(shape=shape, dtype=int64, axis=0))
    j = Tensor(source.iota(shape=shape, dtype=int64, axis=1))
    return cmp.le(j, ew.add(i, diagonal))


def _check_matrix(name: str, x: Tensor) -> None:
    if x.aval.ndim < 2:
        raise ShapeError(f"{name} of {x.aval}", "input tensor must have at least 2 dimensions.")


@method()
def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """Lower triangle, zeros above."""
    _check_matrix("tril", input)
    from .pointwise import where

    zero = False if input.dtype is dtypes.bool_ else 0
    return where(tril_mask(input.aval.shape[-2:], diagonal), input, zero)


@method()
def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """Upper triangle, zeros below."""
    _check_matrix("triu", input)
    from .pointwise import where

    zero = False if input.dtype is dtypes.bool_ else 0
    return where(tril_mask(input.aval.shape[-2:], diagonal - 1), zero, input)


class TensorType:
    """The type of CPU tensors of one dtype, as in ``fg.FloatTensor([1, 2])``.

    Called with integers it gives an uninitialised tensor (zeros here) of that shape, called with
    data a copy of it. ``isinstance(x, fg.FloatTensor)`` compares the dtype.
    """

    def __init__(self, name: str, dtype: DType) -> None:
        self.__name__ = name
        self.dtype = dtype
        self.__doc__ = f"A {dtype} tensor from data, or of the given shape."

    def __call__(self, *args: Any) -> Tensor:
        if args and all(isinstance(a, int) for a in args):
            return zeros(*args, dtype=self.dtype)
        return tensor(args[0] if args else [], dtype=self.dtype)

    def __instancecheck__(self, value: object) -> bool:
        return isinstance(value, Tensor) and value.dtype is self.dtype

    def __repr__(self) -> str:
        return f"<class 'fusegrad.{self.__name__}'>"


TENSOR_TYPES = {
    "FloatTensor": dtypes.float32,
    "DoubleTensor": dtypes.float64,
    "HalfTensor": dtypes.float16,
    "BFloat16Tensor": dtypes.bfloat16,
    "LongTensor": int64,
    "IntTensor": dtypes.int32,
    "ShortTensor": dtypes.int16,
    "CharTensor": dtypes.int8,
    "ByteTensor": dtypes.uint8,
    "BoolTensor": dtypes.bool_,
}
FloatTensor = TensorType("FloatTensor", dtypes.float32)
DoubleTensor = TensorType("DoubleTensor", dtypes.float64)
HalfTensor = TensorType("HalfTensor", dtypes.float16)
BFloat16Tensor = TensorType("BFloat16Tensor", dtypes.bfloat16)
LongTensor = TensorType("LongTensor", int64)
IntTensor = TensorType("IntTensor", dtypes.int32)
ShortTensor = TensorType("ShortTensor", dtypes.int16)
CharTensor = TensorType("CharTensor", dtypes.int8)
ByteTensor = TensorType("ByteTensor", dtypes.uint8)
BoolTensor = TensorType("BoolTensor", dtypes.bool_)
