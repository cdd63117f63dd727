"""Memory: tensors that change their shape in place, copies of views, strided and foreign memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import dtypes
from ..dtypes import DType, as_dtype, int64
from ..errors import ArgumentError, ArgumentTypeError, CaptureError, InPlaceError, ShapeError
from ..ir.primitive import current_builder
from ..ops import compare as cmp
from ..ops import indexing, source
from ..tensor import Tensor, grad_mode
from .arrangement import as_strided
from .common import axis_of, cast, method, shape_args, sizes_of
from .complex import view_as_complex, view_as_real
from .creation import from_numpy, tensor
from .out import accepting
from .placement import factory, on_cpu
from .reduction import sum
from .shape import narrow, reshape, split

__all__ = [
    "as_strided_scatter", "asarray", "empty_permuted", "empty_strided", "from_dlpack", "from_file",
    "frombuffer", "scalar_tensor", "split_with_sizes", "to_dlpack", "unsafe_chunk", "unsafe_split",
    "unsafe_split_with_sizes",
]  # fmt: skip


# --- a tensor that becomes a view of its own memory -----------------------------------------------
def become(self: Tensor, make: Callable[[Tensor], Tensor], name: str) -> Tensor:
    """Let ``self`` be what ``make`` returns for it, in the same memory; its views stay views.

    The old tensor lives on as the base of both.

    Raises:
        RuntimeError: a leaf that requires grad while gradients are recorded; a tensor from outside
            a compiled function.
    """
    if grad_mode.enabled and self._requires_grad and self._edge is None:
        raise InPlaceError(
            f"{name} on a leaf tensor {self.aval} that requires grad",
            "A leaf that requires grad must not be changed while gradients are recorded.",
            "use the out-of-place form",
        )
    capture = current_builder()
    if capture is not None and self._storage.owner is not capture:
        raise CaptureError(
            f"{name} on a tensor {self.aval} from outside the compiled function",
            "Its shape would change at the first call only.",
            f"the out-of-place form {name.rstrip('_')}",
        )
    old = Tensor(self._value, self._storage, self._path)
    for attribute in ("_base", "_edge", "_edits", "_seen", "_vseen", "_weak", "_requires_grad"):
        setattr(old, attribute, getattr(self, attribute))
    new = make(old)
    self._value, self._storage, self._path = new._value, new._storage, new._path
    self._base, self._edge, self._seen = new._base, new._edge, new._seen
    self._vseen, self._requires_grad, self._key = new._vseen, False, None
    return self


def _reshaping(name: str) -> None:
    function = getattr(Tensor, name)

    def method_(self: Tensor, *args: Any, **options: Any) -> Tensor:
        return become(self, lambda old: function(old, *args, **options), f"{name}_")

    method_.__name__ = f"{name}_"
    method_.__doc__ = f"``{name}`` in place: the tensor itself has the new shape afterwards."
    setattr(Tensor, f"{name}_", method_)


for _name in "squeeze unsqueeze t transpose swapaxes swapdims as_strided".split():
    _reshaping(_name)


@method("resize_")
def resize_(self: Tensor, *size: Any, memory_format: Any = None) -> Tensor:
    """Change the shape in place; elements stay in row-major order, new ones are zero here.

    Fewer elements, or as many, stay in the same memory; more move to new memory.
    """
    shape = sizes_of(size)
    count = int(np.prod(shape, dtype=np.int64))
    if count > self.aval.size or not self.is_contiguous():
        flat = np.zeros(count, self.dtype.np)
        old = np.asarray(self._concrete("resize_")).reshape(-1)[:count]
        flat[: old.size] = old
        return become(self, lambda _: Tensor(flat.reshape(shape)), "resize_")
    return become(
        self, lambda old: reshape(narrow(reshape(old, -1), 0, 0, count), shape), "resize_"
    )


@method("resize_as_")
def resize_as_(self: Tensor, the_template: Tensor, *, memory_format: Any = None) -> Tensor:
    """``resize_`` to the shape of another tensor."""
    return resize_(self, *the_template.shape)


@method("set_")
def set_(self: Tensor, source: Tensor | None = None) -> Tensor:
    """Share the memory of ``source`` from now on; without one, be empty."""
    if source is None:
        return become(self, lambda _: Tensor(np.zeros(0, self.dtype.np)), "set_")
    if not isinstance(source, Tensor) or source.dtype is not self.dtype:
        raise ArgumentTypeError(f"set_ to {source!r}", "It takes a tensor of the same dtype.")
    return become(self, lambda _: source.detach(), "set_")  # type: ignore[attr-defined]


@method("is_set_to")
def is_set_to(self: Tensor, tensor: Tensor) -> bool:
    """Whether both are the same elements of the same memory."""
    a, b = self._concrete("is_set_to"), tensor._concrete("is_set_to")
    return a.shape == b.shape and a.strides == b.strides and a.ctypes.data == b.ctypes.data


# --- copies of views ------------------------------------------------------------------------------
VIEWS = """alias detach diagonal expand narrow permute select slice split split_with_sizes squeeze t
transpose unbind unfold unsqueeze view view_as_complex view_as_real as_strided"""


def _slice(input: Tensor, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
    axis = axis_of(dim, input.aval.ndim)
    return input[(slice(None),) * axis + (slice(start, end, step),)]


def _copied(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_copied, value))
    return cmp.convert(value, dtype=value.dtype)


def _copying(name: str) -> Callable[..., Any]:
    special = {
        "slice": _slice, "alias": lambda input: input, "view_as_real": view_as_real,
        "view_as_complex": view_as_complex,
    }  # fmt: skip

    def function(input: Tensor, *args: Any, **options: Any) -> Any:
        viewed = special.get(name) or getattr(Tensor, name)
        return _copied(viewed(input, *args, **options))

    function.__name__ = f"{name}_copy"
    function.__doc__ = f"Like ``{name}``, with results in memory of their own."
    return accepting(function)


COPIES = {f"{_name}_copy": _copying(_name) for _name in VIEWS.split()}
method("narrow_copy")(COPIES["narrow_copy"])


# --- strided memory -------------------------------------------------------------------------------
@method()
def as_strided_scatter(
    input: Tensor,
    src: Tensor,
    size: Sequence[int],
    stride: Sequence[int],
    storage_offset: int | None = None,
) -> Tensor:
    """A copy of ``input`` with ``src`` written where ``as_strided`` reads.

    Example:
        >>> import fusegrad as fg
        >>> fg.as_strided_scatter(fg.zeros(5), fg.ones(2), (2,), (3,)).tolist()
        [1.0, 0.0, 0.0, 1.0, 0.0]
    """
    if tuple(size) != src.aval.shape:
        raise ShapeError(
            f"as_strided_scatter of {src.aval} into size {list(size)}",
            "expected src to have a size equal to the slice of self.",
        )
    ramp = Tensor(source.iota(shape=(input.aval.size,), dtype=int64, axis=0))
    places = as_strided(reshape(ramp, input.aval.shape), size, stride, storage_offset)
    flat, values = reshape(input, -1), reshape(cast(src, input.dtype), -1)
    out = indexing.take_set(flat, reshape(places, -1), values, axis=0)
    return reshape(out, input.aval.shape)


@factory
def empty_strided(
    size: Sequence[int],
    stride: Sequence[int],
    *,
    dtype: DType | None = None,
) -> Tensor:
    """A tensor of the given shape and strides (in elements) without defined contents (zeros here).

    Example:
        >>> import fusegrad as fg
        >>> fg.empty_strided((2, 3), (1, 2)).stride()
        (1, 2)
    """
    shape, steps = tuple(size), tuple(stride)
    if len(shape) != len(steps) or min(shape, default=0) < 0 or min(steps, default=0) < 0:
        raise ShapeError(
            f"empty_strided({list(size)}, {list(stride)})",
            "There is one stride for each extent, and none is negative.",
        )
    kind = as_dtype(dtype or dtypes.get_default_dtype()).np
    extent = 1 + int(np.sum([(n - 1) * s for n, s in zip(shape, steps, strict=True)]))
    flat = np.zeros(0 if 0 in shape else extent, kind)
    array = np.lib.stride_tricks.as_strided(flat, shape, [s * kind.itemsize for s in steps])
    return Tensor(array)


def empty_permuted(size: Sequence[int], physical_layout: Sequence[int], **options: Any) -> Tensor:
    """A dense tensor whose axes lie in memory in the order ``physical_layout``.

    Example:
        >>> import fusegrad as fg
        >>> fg.empty_permuted((2, 3), (1, 0)).stride()
        (1, 2)
    """
    shape, order = tuple(size), tuple(physical_layout)
    if sorted(order) != list(range(len(shape))):
        raise ShapeError(
            f"empty_permuted({list(size)}, {list(order)})", "Each axis appears once in the layout."
        )
    strides, step = [0] * len(shape), 1
    for axis in reversed(order):
        strides[axis], step = step, step * max(shape[axis], 1)
    return empty_strided(shape, strides, **options)


@method("new_empty_strided")
def new_empty_strided(
    self: Tensor, size: Sequence[int], stride: Sequence[int], **options: Any
) -> Tensor:
    """``empty_strided`` in this tensor's dtype."""
    return empty_strided(size, stride, **{"dtype": self.dtype, **options})


@method()
def storage_offset(input: Tensor) -> int:
    """Elements between the start of the memory and the first element."""
    array, root = input._concrete(".storage_offset()"), input._storage.array
    if root is None:
        return 0
    return (array.ctypes.data - root.ctypes.data) // array.itemsize


@method()
def sum_to_size(input: Tensor, *size: Any) -> Tensor:
    """Sums over the axes that broadcasting to the shape of ``input`` has repeated.

    Example:
        >>> import fusegrad as fg
        >>> fg.ones(2, 3).sum_to_size(1, 3).tolist()
        [[2.0, 2.0, 2.0]]
    """
    target, shape = shape_args(size), input.aval.shape
    lead = len(shape) - len(target)
    if lead < 0 or any(t not in (1, n) for t, n in zip(target, shape[max(lead, 0) :])):
        raise ShapeError(
            f"sum_to_size of {input.aval} to {list(target)}",
            "The size must be one that broadcasts to the shape of the tensor.",
        )
    if not target:
        return sum(input)
    axes = [k for k, n in enumerate(shape) if k < lead or (target[k - lead] == 1 and n != 1)]
    return reshape(sum(input, axes), target) if axes else reshape(input, target)


# --- pieces ---------------------------------------------------------------------------------------
@method()
def split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces of the given sizes along one axis.

    Example:
        >>> import fusegrad as fg
        >>> [p.tolist() for p in fg.split_with_sizes(fg.arange(3), [1, 2])]
        [[0], [1, 2]]
    """
    return split(input, list(split_sizes), dim)


def _unsafe(name: str) -> Callable[..., tuple[Tensor, ...]]:
    def function(input: Tensor, *args: Any, **options: Any) -> tuple[Tensor, ...]:
        return tuple(_copied(part) for part in getattr(Tensor, name)(input, *args, **options))

    function.__name__ = f"unsafe_{name}"
    function.__doc__ = f"``{name}`` whose pieces have memory of their own."
    return method(function.__name__)(function)


unsafe_split, unsafe_chunk = _unsafe("split"), _unsafe("chunk")
unsafe_split_with_sizes = _unsafe("split_with_sizes")


# --- foreign memory -------------------------------------------------------------------------------
def asarray(
    obj: Any,
    *,
    dtype: DType | None = None,
    device: Any = None,
    copy: bool | None = None,
    requires_grad: bool | None = None,
) -> Tensor:
    """A tensor of ``obj``, sharing memory with tensors, arrays and buffers where it can.

    Args:
        obj: a tensor, NumPy array, DLPack capsule's owner, buffer, number or nested list.
        copy: ``True`` always copies, ``False`` never, ``None`` where needed.
        requires_grad: whether the result does; that of ``obj`` by default.

    Raises:
        ValueError: ``copy=False`` and the memory cannot be shared.

    Example:
        >>> import fusegrad as fg
        >>> fg.asarray([1, 2]).tolist()
        [1, 2]
    """
    on_cpu(device)
    shared = _shared(obj, dtype)
    if shared is None and copy is False:
        raise ArgumentError(
            f"asarray of {type(obj).__name__} with copy=False",
            "can't alias arbitrary sequence into a tensor.",
            "copy=None",
        )
    out = tensor(obj, dtype=dtype) if shared is None else shared
    if dtype is not None and out.dtype is not dtype:
        if copy is False:
            raise ArgumentError("asarray with copy=False and another dtype", "It needs a copy.")
        out = cast(out, dtype)
    elif copy and shared is not None:
        out = cmp.convert(out, dtype=out.dtype)
    before = isinstance(obj, Tensor) and obj.requires_grad
    requires_grad = before if requires_grad is None else requires_grad
    if requires_grad != before:
        out = out.detach()  # type: ignore[attr-defined]
        out.requires_grad = requires_grad
    return out


def _shared(obj: Any, dtype: DType | None) -> Tensor | None:
    if isinstance(obj, Tensor):
        return obj
    if isinstance(obj, np.ndarray):
        return from_numpy(obj)
    if hasattr(obj, "__dlpack__") and not isinstance(obj, np.generic):
        return from_dlpack(obj)
    if isinstance(obj, (bytes, bytearray, memoryview)):
        return frombuffer(obj, dtype=dtype or dtypes.get_default_dtype())
    return None


def frombuffer(
    buffer: Any, *, dtype: DType, count: int = -1, offset: int = 0, requires_grad: bool = False
) -> Tensor:
    """A vector that shares the memory of an object with Python's buffer protocol.

    Args:
        dtype: of the elements.
        count: number of elements; -1 for all behind ``offset``.
        offset: bytes to skip.

    Raises:
        ValueError: an empty buffer, or bytes that do not hold the elements.

    Example:
        >>> import fusegrad as fg
        >>> fg.frombuffer(bytearray([1, 2, 3]), dtype=fg.uint8, offset=1).tolist()
        [2, 3]
    """
    kind = as_dtype(dtype).np
    size = memoryview(buffer).nbytes
    rest = size - offset
    need = count * kind.itemsize
    if not size or count == 0 or not 0 <= offset < size or (rest % kind.itemsize and count < 0):
        raise ArgumentError(
            f"frombuffer of {size} bytes with offset={offset}, count={count}, dtype={dtype}",
            "Bytes behind the offset must hold a whole number of elements, at least one.",
        )
    if need > rest:
        raise ArgumentError(
            f"frombuffer of {size} bytes with offset={offset}, count={count}, dtype={dtype}",
            f"requested buffer length ({need} bytes) after offset must not be greater than the "
            "buffer.",
        )
    out = Tensor(np.frombuffer(buffer, kind, count, offset))
    return out.requires_grad_() if requires_grad else out  # type: ignore[attr-defined]


@factory
def from_file(
    filename: str,
    shared: bool | None = None,
    size: int | None = 0,
    *,
    dtype: DType | None = None,
) -> Tensor:
    """A vector of ``size`` elements of a file, mapped into memory.

    Args:
        shared: changes are written to the file, which is made if it does not exist.
    """
    kind = as_dtype(dtype or dtypes.get_default_dtype()).np
    count = int(size or 0)
    if shared:
        with open(filename, "ab") as file:
            file.truncate(max(file.tell(), count * kind.itemsize))
    if not count:
        return Tensor(np.zeros(0, kind))
    mapped = np.memmap(filename, kind, "r+" if shared else "c", shape=(count,))
    return Tensor(mapped.view(np.ndarray))


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor that shares memory with another library's, by the DLPack protocol.

    Args:
        ext_tensor: an object with ``__dlpack__``.
        device: the cpu.
        copy: ``True`` gives the tensor memory of its own.

    Example:
        >>> import numpy as np, fusegrad as fg
        >>> fg.from_dlpack(np.arange(3)).tolist()
        [0, 1, 2]
    """
    on_cpu(device)
    array = np.from_dlpack(ext_tensor)
    return from_numpy(array.copy() if copy else array)


def to_dlpack(tensor: Tensor) -> Any:
    """A DLPack capsule of the memory of a tensor."""
    return dlpack(tensor)


@method("__dlpack__")
def dlpack(self: Tensor, **options: Any) -> Any:
    """The capsule of the DLPack protocol; the reader shares this memory."""
    return self.numpy().__dlpack__(**options)  # type: ignore[attr-defined]


@method("__dlpack_device__")
def dlpack_device(self: Tensor) -> tuple[int, int]:
    """The device of the DLPack protocol: the cpu."""
    return (1, 0)


@factory
def scalar_tensor(s: Any, *, dtype: DType | None = None) -> Tensor:
    """A 0-d tensor of a number, in the default dtype unless told otherwise.

    Example:
        >>> import fusegrad as fg
        >>> fg.scalar_tensor(2)
        tensor(2.)
    """
    return tensor(s, dtype=dtype or dtypes.get_default_dtype())
