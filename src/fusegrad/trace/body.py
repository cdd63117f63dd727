"""Capture of a loop body: a trace inside a trace.

The body of a loop becomes a graph of its own. Tensors and values of the surrounding capture that
the body reads become inputs of that graph, the loop constants; what it learns about the world
(guards, touched tensors) is told to the surrounding capture. Storages from outside that the body
writes (a random generator, running statistics) become carries of their own: a first trace finds
them, a second one carries them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ir.aval import Aval, aval_of
from ..ir.graph import Var
from ..ir.primitive import Primitive
from .capture import Capture, Cell


class BodyCapture(Capture):
    """Builder of one loop body.

    Attributes:
        parent: the surrounding capture, ``None`` when the loop runs on arrays.
        lifted: outside value (Var or array) and the input that stands for it, by identity.
        state: storages from outside that are carried, with their input.
    """

    def __init__(self, parent: Capture | None, state: Sequence[Any] = ()) -> None:
        super().__init__()
        self.parent = parent
        self.lifted: dict[int, tuple[Any, Var]] = {}
        self.outside_touched: dict[Any, Any] = {}
        self.state: dict[Any, Var] = {}
        for storage in state:
            var = super().input(_aval_of_storage(storage), "state")
            self.state[storage] = var
            self.cells[storage] = Cell(var, var, storage)
        if parent is not None:
            self.grad_initial = parent.grad_initial
            self.consumed = parent.consumed

    def encloses(self, owner: Any) -> bool:
        """Whether ``owner`` is a capture around this one."""
        return self.parent is not None and (owner is self.parent or self.parent.encloses(owner))

    def outside(self, storage: Any, hint: str = "") -> Any:
        """The value that a storage from outside has in front of the loop."""
        if self.parent is None:
            return storage.array
        if storage.owner is self.parent:
            return storage.cell.value
        return self.parent.shadow(storage, _aval_of_storage(storage), hint).value

    def lift(self, value: Any, hint: str = "") -> Var:
        """The input that stands for a value from outside."""
        found = self.lifted.get(id(value))
        if found is None:
            found = self.lifted[id(value)] = (value, Var(aval_of(value), hint, self))
        return found[1]

    def shadow(self, storage: Any, aval: Aval, hint: str) -> Cell:
        """The cell of a storage from outside; its first touch makes it a loop constant."""
        cell = self.cells.get(storage)
        if cell is None:
            var = self.lift(self.outside(storage, hint), hint)
            cell = self.cells[storage] = Cell(var, var, storage)
        return cell

    def foreign(self, var: Var, primitive: Primitive) -> Var:
        """A value of a surrounding capture becomes a loop constant."""
        if self.encloses(var.owner):
            return self.lift(var)
        return super().foreign(var, primitive)

    def const(self, array: np.ndarray) -> Var:
        """Arrays are loop constants too."""
        return self.lift(array)

    def touch(self, tensor: Any) -> None:
        """Tell the surrounding capture about an outside tensor."""
        self.outside_touched.setdefault(tensor, tensor._edge)
        if self.parent is not None and tensor._storage.owner is None:
            self.parent.touch(tensor)

    def bake(self, tensor: Any) -> None:
        """Tell the surrounding capture that Python read a value."""
        if self.parent is not None:
            self.parent.bake(tensor)

    def guard(self, label: str, owner: Any, snapshot: Callable[[], Any]) -> None:
        """Tell the surrounding capture about a structure that the trace depends on."""
        if self.parent is not None:
            self.parent.guard(label, owner, snapshot)

    def written(self) -> list[Any]:
        """Storages from outside that the body has changed."""
        return [s for s, c in self.cells.items() if c.value is not c.initial]


def _aval_of_storage(storage: Any) -> Aval:
    return aval_of(storage.array if storage.owner is None else storage.cell.value)
