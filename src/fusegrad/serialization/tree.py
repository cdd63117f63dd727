"""Nested state as named arrays and a JSON value, and back.

Arrays keep a name made of the keys that lead to them, so that a ``state_dict`` becomes a file that
every reader of safetensors understands. Everything else is in the value: a scalar as it is,
anything else as ``[kind, content]``.
"""

from __future__ import annotations

import base64
import math
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import dtypes
from ..dtypes import DType, from_numpy_dtype
from ..errors import ArgumentTypeError
from ..functions.placement import device
from ..functions.random import Generator
from ..nn.parameter import Parameter
from ..tensor import Size, Tensor

_MAPPINGS: dict[str, type] = {"dict": dict, "ordered": OrderedDict, "counter": Counter}
_SEQUENCES: dict[str, type] = {
    "list": list, "tuple": tuple, "size": Size, "set": set, "frozenset": frozenset,
}  # fmt: skip
_KIND = {t: name for name, t in [*_MAPPINGS.items(), *_SEQUENCES.items()]}


class Encoder:
    """Collects the arrays of a nested object.

    Attributes:
        arrays: contiguous arrays by name.
    """

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self.names: dict[Any, str] = {}
        self.objects: dict[int, int] = {}
        self.open: set[int] = set()

    def encode(self, value: Any, path: tuple[str, ...] = ()) -> Any:
        """A JSON value; ``path`` leads to ``value``.

        Raises:
            TypeError: something that is neither data nor a container.
        """
        kind = type(value)
        if value is None or kind in (bool, int, str):
            return value
        if kind is float:
            return value if math.isfinite(value) else ["float", repr(value)]
        if isinstance(value, Tensor):
            return self._tensor(value, path)
        if kind is np.ndarray:
            return ["array", self._store(value, path)]
        if isinstance(value, np.generic) and value.dtype.kind in "biufc":
            return ["number", self._store(np.asarray(value), path)]
        if kind in _KIND:
            return self._container(value, path)
        if kind is complex:
            return ["complex", repr(value)]
        if kind in (bytes, bytearray):
            return [kind.__name__, base64.b64encode(value).decode()]
        if isinstance(value, DType):
            return ["dtype", value.name]
        if isinstance(value, device):
            return ["device", str(value)]
        if isinstance(value, Generator):
            return ["generator", [int(x) for x in value.state._concrete("save")]]
        raise _unknown(value, path)

    def _container(self, value: Any, path: tuple[str, ...]) -> Any:
        if id(value) in self.open:
            raise ArgumentTypeError(
                f"save of {_place(path)}, which contains itself",
                "A file holds a tree.",
                "save the parts under names of their own",
            )
        self.open.add(id(value))
        try:
            if isinstance(value, dict):
                content: Any = [
                    [self.encode(k, path), self.encode(v, (*path, str(k)))]
                    for k, v in value.items()
                ]
            else:
                content = [self.encode(v, (*path, str(k))) for k, v in enumerate(value)]
        finally:
            self.open.discard(id(value))
        return [_KIND[type(value)], content]

    def _tensor(self, value: Tensor, path: tuple[str, ...]) -> Any:
        number = self.objects.setdefault(id(value), len(self.objects))
        name = self._store(value._concrete("save"), path)
        kind = "parameter" if isinstance(value, Parameter) else "tensor"
        return [kind, [name, number, value.requires_grad]]

    def _store(self, array: np.ndarray, path: tuple[str, ...]) -> str:
        """The name under which an array is kept; one for arrays that are the same memory."""
        from_numpy_dtype(array.dtype)
        key: Any = (array.ctypes.data, array.shape, array.strides, array.dtype)
        if array.size == 0:
            key = len(self.names)
        if key not in self.names:
            name = wanted = ".".join(path) or "value"
            count = 1
            while name in self.arrays or name == "__metadata__":
                count += 1
                name = f"{wanted}#{count}"
            self.arrays[name] = np.asarray(array, order="C")
            self.names[key] = name
        return self.names[key]


def _place(path: tuple[str, ...]) -> str:
    return ".".join(path) or "the object"


def _unknown(value: Any, path: tuple[str, ...]) -> ArgumentTypeError:
    if hasattr(value, "state_dict"):
        return ArgumentTypeError(
            f"save of {_place(path)}: {type(value).__name__}",
            "Files hold state, not objects with code.",
            "save its .state_dict()",
        )
    return ArgumentTypeError(
        f"save of {_place(path)}: {type(value).__name__}",
        "Files hold tensors, arrays, numbers, strings, and lists, tuples, sets and dictionaries of "
        "them; no code runs when they are loaded.",
        "save the numbers it is made of",
    )


class Decoder:
    """Builds the nested object again.

    Args:
        arrays: the arrays by name; tensors share their memory.
    """

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.arrays = arrays
        self.objects: dict[int, Tensor] = {}
        self.shared: dict[str, Tensor] = {}

    def build(self, value: Any) -> Any:
        """The object for a JSON value; fails with any error on what ``Encoder`` did not write."""
        if not isinstance(value, list):
            return value
        kind, content = value
        if kind in ("tensor", "parameter"):
            return self._tensor(kind, *content)
        if kind in _MAPPINGS:
            out = _MAPPINGS[kind]()
            for key, item in content:
                out[self.build(key)] = self.build(item)
            return out
        if kind in _SEQUENCES:
            return _SEQUENCES[kind](self.build(v) for v in content)
        if kind in ("array", "number"):
            array = self.arrays[content]
            return array if kind == "array" else array[()]
        return _LEAVES[kind](content)

    def _tensor(self, kind: str, name: str, number: int, requires_grad: bool) -> Tensor:
        if number not in self.objects:
            if name not in self.shared:
                self.shared[name] = Tensor(self.arrays[name])
            out = self.shared[name].detach()
            if kind == "parameter":
                out = Parameter(out, requires_grad)
            elif requires_grad:
                out.requires_grad = True
            self.objects[number] = out
        return self.objects[number]


def _generator(content: Any) -> Generator:
    generator = Generator()
    generator.state._value[:] = content
    return generator


_LEAVES: dict[str, Callable[[Any], Any]] = {
    "float": float,
    "complex": complex,
    "bytes": lambda content: base64.b64decode(content, validate=True),
    "bytearray": lambda content: bytearray(base64.b64decode(content, validate=True)),
    "dtype": lambda content: next(d for d in dtypes.ALL if d.name == content),
    "device": device,
    "generator": _generator,
}
