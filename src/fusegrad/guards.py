"""Constants that a jitted function reads from its surroundings, and the check that they still hold.

Globals and closure variables that the function (and the user's functions it calls) names are
compared by identity at every call; numbers, strings and small containers of them by value when
identity fails. A difference means a new trace, and ``describe`` names what changed.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

from .errors import PACKAGE_ROOT
from .tensor import Tensor

_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_LIMIT = 64


class Constant:
    """One outside name: how to look it up and what it was."""

    __slots__ = ("container", "key", "label", "snapshot", "value")

    def __init__(self, label: str, container: Any, key: str | None) -> None:
        self.label = label
        self.container = container
        self.key = key
        self.value = self.read()
        self.snapshot = snapshot(self.value)

    def read(self) -> Any:
        """The current value."""
        if self.key is None:
            return self.container.cell_contents
        return self.container.get(self.key)

    def renew(self) -> None:
        """Take the current value as what it was."""
        self.value = self.read()
        self.snapshot = snapshot(self.value)

    def holds(self) -> bool:
        """Whether the value is what it was."""
        now = self.read()
        if now is self.value:
            return self.snapshot is None or snapshot(now) == self.snapshot
        if isinstance(now, _PLAIN) and type(now) is type(self.value):
            return now == self.value or (now != now and self.value != self.value)
        return False


def snapshot(value: Any) -> Any:
    """Comparable contents of small plain containers and objects; ``None`` when not looked into."""
    if isinstance(value, (list, set, dict)) and len(value) <= _LIMIT:
        items = list(value.items()) if isinstance(value, dict) else list(value)
        return [x if isinstance(x, _PLAIN) or isinstance(x, tuple) else id(x) for x in items]
    kind = type(value)
    if kind.__module__.split(".")[0] in ("fusegrad", "builtins", "numpy", "types"):
        return None
    if isinstance(value, (type, types.ModuleType, types.FunctionType)) or _is_ours(value):
        return None
    fields = getattr(value, "__dict__", None)
    if not fields or len(fields) > _LIMIT:
        return None
    return [(k, v) for k, v in fields.items() if isinstance(v, _PLAIN)]


def _is_ours(value: Any) -> bool:
    return any(base.__module__.startswith("fusegrad") for base in type(value).__mro__)


def constants_of(function: Callable[..., Any]) -> list[Constant]:
    """Outside names that ``function`` and the user's functions it names refer to."""
    found: dict[tuple[int, Any], Constant] = {}
    _walk(getattr(function, "__func__", function), found, set())
    return list(found.values())


def _walk(function: Any, found: dict[tuple[int, Any], Constant], seen: set[int]) -> None:
    code = getattr(function, "__code__", None)
    if code is None or id(code) in seen or code.co_filename.startswith(PACKAGE_ROOT):
        return
    if "site-packages" in code.co_filename or function.__module__ in sys.stdlib_module_names:
        return
    seen.add(id(code))
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            cell.cell_contents  # noqa: B018  an empty cell raises
        except ValueError:
            continue
        _note(f"closure variable {name}", cell, None, found, seen)
    for name in _names(code):
        if name in function.__globals__:
            _note(f"global {name}", function.__globals__, name, found, seen)


def _names(code: types.CodeType) -> set[str]:
    names = set(code.co_names)
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            names |= _names(const)
    return names


def _note(
    label: str,
    container: Any,
    key: str | None,
    found: dict[tuple[int, Any], Constant],
    seen: set[int],
) -> None:
    identity = (id(container), key)
    if identity in found:
        return
    constant = Constant(label, container, key)
    if isinstance(constant.value, types.ModuleType):
        return
    found[identity] = constant
    value = constant.value
    if isinstance(value, types.FunctionType):
        _walk(value, found, seen)
    elif not isinstance(value, (type, Tensor)) and isinstance(
        getattr(value, "__wrapped__", None), types.FunctionType
    ):
        _walk(value.__wrapped__, found, seen)
