"""ParamGroup: options of an optimizer that a compiled step reads from memory.

Every number has a *cell*, a 0-d float64 tensor. Outside a capture the group is an ordinary
dictionary of Python numbers; inside one it hands out the cells, so a learning rate is a run-time
input and a schedule never causes a new trace. Next file: ``optimizer.py``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..errors import CaptureError
from ..ir.primitive import current_builder
from ..tensor import Tensor, bump_epoch

_MISSING = object()


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_numbers(value: Any) -> bool:
    """Whether ``value`` is a pair or tuple of numbers, such as Adam's betas."""
    return isinstance(value, tuple) and bool(value) and all(map(_is_number, value))


def _new_cell(value: float, hint: str) -> Tensor:
    cell = Tensor(np.array(float(value), np.float64))
    cell._weak = True
    cell.__dict__["_hint"] = hint
    return cell


class ParamGroup(dict[str, Any]):
    """Options of one group of parameters.

    Args:
        items: the options.
        branches: keys that the update branches on being zero; changing whether one of them is
            zero means a new trace.
        static: keys of numbers that shape the update, such as a number of iterations; every
            change means a new trace.
    """

    def __init__(
        self, items: Any = (), branches: Iterable[str] = (), static: Iterable[str] = ()
    ) -> None:
        super().__init__()
        self._cells: dict[str, Any] = {}
        self._branches = frozenset(branches)
        self._static = frozenset(static)
        for key, value in dict(items).items():
            self[key] = value

    def __setitem__(self, key: str, value: Any) -> None:
        if current_builder() is not None:
            raise CaptureError(
                f"param_groups[...][{key!r}] set inside a jitted function",
                "The compiled step reads this value from memory at every call.",
                "call scheduler.step() outside the jitted step",
            )
        old = dict.get(self, key, _MISSING)
        if isinstance(value, (np.floating, np.integer)):
            value = value.item()
        dict.__setitem__(self, key, value)
        if _is_number(value):
            self._write(key, [value], single=True)
        elif _is_numbers(value):
            self._write(key, list(value), single=False)
        else:
            self._cells.pop(key, None)
        if self._is_structural(key, old, value):
            bump_epoch()

    def _write(self, key: str, values: list[float], single: bool) -> None:
        """Update the memory of the cells, which compiled steps hold."""
        cells = self._cells.get(key)
        held = cells if isinstance(cells, tuple) else (cells,)
        if cells is None or isinstance(cells, tuple) is single or len(held) != len(values):
            held = tuple(_new_cell(v, key) for v in values)
            self._cells[key] = held[0] if single else held
            if cells is not None or not single:
                bump_epoch()
            return
        for cell, value in zip(held, values, strict=True):
            cell._value[...] = value
            cell._storage.counter += 1

    def _is_structural(self, key: str, old: Any, new: Any) -> bool:
        if old is new or (old is _MISSING and _is_number(new) and key not in self._branches):
            return False
        numbers = _is_number(old) and _is_number(new)
        if numbers and key not in self._static:
            return key in self._branches and (old == 0) != (new == 0)
        if _is_numbers(old) and _is_numbers(new):
            return len(old) != len(new)
        return isinstance(old, Tensor) or isinstance(new, Tensor) or bool(old != new)

    def __getitem__(self, key: str) -> Any:
        value = dict.__getitem__(self, key)
        if key in self._cells and current_builder() is not None:
            return self._cells[key]
        return value

    def __delitem__(self, key: str) -> None:
        dict.__delitem__(self, key)
        self._cells.pop(key, None)
        bump_epoch()

    def is_zero(self, key: str) -> bool:
        """Whether the number under ``key`` is zero: a plain decision, also while traced."""
        value = dict.__getitem__(self, key)
        return not isinstance(value, Tensor) and value == 0

    def plain(self, key: str) -> Any:
        """The Python value under ``key``, also while traced."""
        return dict.__getitem__(self, key)

    def structure(self) -> tuple[Any, ...]:
        """What a trace of the update bakes in: keys, non-numbers, zero tests of ``branches``."""
        out: list[Any] = []
        for key in dict.keys(self):
            value = dict.__getitem__(self, key)
            if key == "params":
                continue
            if _is_number(value) and key not in self._static:
                # Plain numbers are read from cells, so one that a scheduler adds changes nothing.
                if key in self._branches:
                    out.append((key, value == 0))
            elif _is_numbers(value):
                out.append((key, len(value)))
            elif isinstance(value, Tensor):
                out.append((key, "tensor", id(value)))
            else:
                out.append((key, type(value).__name__, repr(value)))
        return tuple(out)

    # --- dictionary protocol, through __getitem__ and __setitem__ ---------------------------------
    def get(self, key: str, default: Any = None) -> Any:
        """The value under ``key``, or ``default``."""
        return self[key] if key in self else default

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The value under ``key``, set to ``default`` first when missing."""
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Set several values."""
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def pop(self, key: str, default: Any = _MISSING) -> Any:
        """Remove a value and return it."""
        if key not in self:
            if default is _MISSING:
                raise KeyError(key)
            return default
        value = dict.__getitem__(self, key)
        del self[key]
        return value

    def items(self) -> Any:
        """Pairs of keys and values."""
        return [(key, self[key]) for key in self]

    def values(self) -> Any:
        """The values."""
        return [self[key] for key in self]

    def copy(self) -> dict[str, Any]:
        """A plain dictionary of plain values."""
        return {key: dict.__getitem__(self, key) for key in self}

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return {key: copy.deepcopy(value, memo) for key, value in self.copy().items()}

    def __reduce__(self) -> Any:
        return (dict, (self.copy(),))
