"""Capture: the graph builder of a traced call, and what the trace learned about the world.

Tensors that the function touches but did not receive become inputs by identity of their storage
(``shadow``); storages it writes are remembered, so that their final values become outputs. Modules
and optimizers that took part leave a snapshot of their structure, the guards of the program.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..ir.aval import Aval
from ..ir.builder import Builder
from ..ir.graph import Var


class Cell:
    """The value that a storage has at this point of the trace.

    Attributes:
        value: current Var of the whole storage.
        initial: the input Var, ``None`` for storages born in the trace.
        version: counts in-place changes, like a storage's own counter.
    """

    __slots__ = ("initial", "storage", "value", "version")

    def __init__(self, value: Var, initial: Var | None, storage: Any) -> None:
        self.value = value
        self.initial = initial
        self.storage = storage
        self.version = 0


class Capture(Builder):
    """Builder of one traced call.

    Attributes:
        cells: cell by outside storage, in order of first touch.
        grads: final ``.grad`` by outside tensor, for tensors whose grad the trace changed.
        grad_initial: incoming ``.grad`` of outside tensors, where the trace used it.
        touched: outside tensors that took part.
        baked: outside tensors whose value Python read, with their version then.
        guards: functions that return a comparable snapshot, with the snapshot at trace time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cells: dict[Any, Cell] = {}
        self.grads: dict[Any, Any] = {}
        self.grad_initial: dict[Any, Any] = {}
        self.guards: list[tuple[str, Any, Callable[[], Any], Any]] = []
        self._guarded: set[int] = set()
        self.consumed: set[Any] = set()
        self.touched: dict[Any, tuple[Any, bool, Any]] = {}
        self.baked: list[tuple[Any, int]] = []

    def shadow(self, storage: Any, aval: Aval, hint: str) -> Cell:
        """The cell of a storage from outside; its first touch declares an input."""
        cell = self.cells.get(storage)
        if cell is None:
            var = self.input(aval, hint)
            cell = self.cells[storage] = Cell(var, var, storage)
        return cell

    def encloses(self, owner: Any) -> bool:
        """Whether ``owner`` is a capture around this one (that of a loop body has some)."""
        return False

    def touch(self, tensor: Any) -> None:
        """Remember an outside tensor that took part, with its storage and requires_grad."""
        if tensor not in self.touched:
            self.touched[tensor] = (tensor._storage, tensor._requires_grad, tensor._edge)

    def bake(self, tensor: Any) -> None:
        """Remember that the *value* of an outside tensor was read by Python during the trace."""
        self.baked.append((tensor, tensor._storage.version))

    def guard(self, label: str, owner: Any, snapshot: Callable[[], Any]) -> None:
        """Remember ``snapshot()`` of ``owner`` once; a later difference means a new trace."""
        if id(owner) not in self._guarded:
            self._guarded.add(id(owner))
            self.guards.append((label, owner, snapshot, snapshot()))
