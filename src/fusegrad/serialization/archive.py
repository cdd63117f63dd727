"""Archives of ``torch.save``, read without PyTorch and without running anything.

An archive is a zip file: ``data.pkl`` says how the object is built, ``data/0``, ``data/1``, ... are
the storages. The pickle may ask for the few names listed here and nothing else; what it builds of
them are inert records, from which tensors are made when all of it was understood.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import Counter, OrderedDict
from typing import Any

import numpy as np

from .. import dtypes
from ..dtypes import DType
from ..errors import FileFormatError
from ..functions.placement import device
from ..nn.parameter import Parameter
from ..tensor import Size, Tensor
from .native import damaged

_STORAGES = {
    "FloatStorage": "f4", "DoubleStorage": "f8", "HalfStorage": "f2", "LongStorage": "i8",
    "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1",
    "BoolStorage": "?", "ComplexFloatStorage": "c8", "ComplexDoubleStorage": "c16",
    "BFloat16Storage": "bf16", "UntypedStorage": "u1",
}  # fmt: skip
_DTYPES = {d.name: d for d in dtypes.ALL}


class _Refused(pickle.UnpicklingError):
    """The pickle asks for something that is not data."""


class _Record:
    """Something the pickle asked for: a name, and the arguments it was called with."""

    __slots__ = ("arguments", "name")

    def __init__(self, name: str, arguments: tuple[Any, ...]) -> None:
        self.name = name
        self.arguments = arguments


class _Name:
    """A name of PyTorch that may be called; the call makes a record."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *arguments: Any) -> _Record:
        return _Record(self.name, arguments)


_CALLS = {
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_tensor_v3"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch._utils", "_rebuild_parameter_with_state"),
    ("torch", "Size"),
    ("torch", "device"),
}


def _encode(text: str, encoding: str) -> bytes:
    """Bytes, as old pickle protocols spell them."""
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise _Refused(f"_codecs.encode to {encoding}")
    return text.encode("latin1")


_BUILTINS = {t.__name__: t for t in (set, frozenset, complex, bytes, bytearray)}
_COLLECTIONS = {"OrderedDict": OrderedDict, "Counter": Counter}
_CLASSES: dict[str, dict[str, Any]] = {
    "builtins": _BUILTINS,
    "__builtin__": _BUILTINS,
    "collections": _COLLECTIONS,
    "_codecs": {"encode": _encode},
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if name in _CLASSES.get(module, {}):
            return _CLASSES[module][name]
        if (module, name) in _CALLS:
            return _Name(name)
        if module in ("torch", "torch.storage") and name in _STORAGES:
            return _Name(name)
        if module == "torch" and name in _DTYPES:
            return _Record("dtype", (name,))
        raise _Refused(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        kind, storage, key, _, count = pid
        if kind != "storage" or not isinstance(storage, _Name) or type(key) is not str:
            raise _Refused("a storage of an unknown kind")
        return _Record("storage", (storage.name, key, count))


class _Builder:
    """Makes tensors of the records, sharing storages as the archive does."""

    def __init__(self, files: zipfile.ZipFile, prefix: str, swapped: bool, what: str) -> None:
        self.files = files
        self.prefix = prefix
        self.swapped = swapped
        self.what = what
        self.bytes: dict[str, np.ndarray] = {}
        self.views: dict[Any, Tensor] = {}
        self.made: dict[int, Any] = {}

    def build(self, value: Any) -> Any:
        """The object that a tree of containers and records stands for."""
        if value is None or isinstance(value, (bool, int, float, str, bytes, complex)):
            return value
        if id(value) in self.made:
            return self.made[id(value)]
        if isinstance(value, dict):
            out: Any = type(value)()
            self.made[id(value)] = out
            for key, item in value.items():
                out[self.build(key)] = self.build(item)
            return out
        if isinstance(value, list):
            out = []
            self.made[id(value)] = out
            out.extend(self.build(item) for item in value)
            return out
        if isinstance(value, (tuple, set, frozenset)):
            out = type(value)(self.build(item) for item in value)
        elif isinstance(value, bytearray):
            out = value
        elif isinstance(value, _Record):
            out = self._record(value)
        else:
            raise _Refused(f"a {type(value).__name__}")
        self.made[id(value)] = out
        return out

    def _record(self, record: _Record) -> Any:
        name, arguments = record.name, record.arguments
        if name in ("_rebuild_tensor_v2", "_rebuild_tensor_v3"):
            return self._tensor(name, *arguments)
        if name in ("_rebuild_parameter", "_rebuild_parameter_with_state"):
            data, requires_grad, *_ = arguments
            return Parameter(self.build(data), bool(requires_grad))
        if name == "Size":
            return Size(*arguments)
        if name == "device":
            return device()
        if name == "dtype" and arguments[0] in _DTYPES:
            return _DTYPES[arguments[0]]
        raise _Refused(f"{name}{arguments if name == 'dtype' else ''}")

    def _tensor(
        self, name: str, storage: _Record, offset: int, size: Any, stride: Any, requires_grad: bool,
        *rest: Any,
    ) -> Tensor:  # fmt: skip
        kind, key, _ = storage.arguments
        code = _STORAGES[kind]
        if name == "_rebuild_tensor_v3":
            code = _element(rest[1])
        size, stride = tuple(self.build(size)), tuple(stride)
        mark = (key, code, offset, size, stride)
        if mark not in self.views:
            self.views[mark] = Tensor(self._array(key, code, offset, size, stride))
        out = self.views[mark].detach()
        if requires_grad:
            out.requires_grad = True
        return out

    def _array(
        self, key: str, code: str, offset: int, size: tuple[int, ...], stride: tuple[int, ...]
    ) -> np.ndarray:
        dtype = np.dtype(np.uint16 if code == "bf16" else code)
        if key not in self.bytes:
            raw = self.files.read(f"{self.prefix}data/{key}")
            whole = np.frombuffer(bytearray(raw), np.uint8)
            if self.swapped:
                unit = dtype.itemsize // (2 if dtype.kind == "c" else 1)
                whole = whole.view(f"u{unit}").byteswap().view(np.uint8)
            self.bytes[key] = whole
        whole = self.bytes[key]
        numbers = whole[: len(whole) // dtype.itemsize * dtype.itemsize].view(dtype)
        if min((*size, *stride, offset), default=0) < 0 or len(size) != len(stride):
            raise ValueError(f"a tensor of size {size} with strides {stride} at {offset}")
        if 0 in size:
            numbers = np.zeros(0, dtype).reshape(size)
        else:
            last = offset + sum((n - 1) * s for n, s in zip(size, stride))
            if last >= len(numbers):
                raise ValueError(f"a tensor of size {size} in a storage of {len(numbers)}")
            steps = [s * dtype.itemsize for s in stride]
            numbers = np.lib.stride_tricks.as_strided(numbers[offset:], size, steps)
        return numbers.view(dtypes.bfloat16.np) if code == "bf16" else numbers


def _element(record: Any) -> str:
    """The element type a record of a dtype names."""
    name = record.arguments[0] if isinstance(record, _Record) and record.name == "dtype" else None
    if name == "bfloat16":
        return "bf16"
    found: DType | None = _DTYPES.get(str(name))
    if found is None:
        raise _Refused(f"a tensor of {name}")
    return found.np.str


def parse(raw: bytes, what: str) -> Any:
    """The object in the bytes of an archive.

    Args:
        raw: the whole file.
        what: its name, for errors.

    Raises:
        ValueError: damaged, cut off, not of ``torch.save``, or asking for more than data.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as files:
            return _read(files, what)
    except FileFormatError:
        raise
    except _Refused as error:
        raise FileFormatError(
            f"{what} asks for {error}",
            "Only tensors, numbers, strings and containers are read; code in a file is not run.",
            "save a state_dict: torch.save(model.state_dict(), f)",
        ) from None
    except Exception as error:  # damaged pickles and archives fail in many ways
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise damaged(what, reason) from None


def _read(files: zipfile.ZipFile, what: str) -> Any:
    names = files.namelist()
    found = [name for name in names if name.endswith("/data.pkl") or name == "data.pkl"]
    if len(found) != 1 or any("/code/" in name or "constants.pkl" in name for name in names):
        raise FileFormatError(
            f"{what} is a zip archive, not one of torch.save",
            "It has no data.pkl, or it is a TorchScript program.",
            "torch.save(model.state_dict(), f)",
        )
    if any(info.compress_type != zipfile.ZIP_STORED for info in files.infolist()):
        raise FileFormatError(
            f"{what} has compressed parts",
            "torch.save does not compress.",
            "the file as PyTorch wrote it",
        )
    prefix = found[0].removesuffix("data.pkl")
    order = files.read(f"{prefix}byteorder") if f"{prefix}byteorder" in names else b"little"
    tree = _Reader(io.BytesIO(files.read(found[0])), encoding="utf-8").load()
    return _Builder(files, prefix, order == b"big", what).build(tree)
