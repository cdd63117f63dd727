"""The plan of a loop: its body's kernels once, between two entries that walk pointers.

In: a scan of the graph under plan. Out: launches: copies of the initial carries, ``LoopBegin``, the
kernels of the body, ``LoopEnd``. Slices of stacks are pointers that walk. A carry that is emitted
as well lives in its own stack with one more row: each step reads the row that the one before
wrote. Other carries are overwritten in place where that is safe, else they alternate between two
places.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..ir.graph import Graph, Var
from .groups import Group
from .index import Ix
from .kernels import KernelPlan, LoopBegin, LoopEnd, Move, Plan
from .loops import Buffer, LoopNest, Scalar, Store
from .lower import view_of
from .memory import ALIGNMENT
from .operands import histories


@dataclass
class _Place:
    """Memory of an operand: its buffer and the offset of the first element."""

    buffer: Buffer
    offset: int  # in elements


def _bytes(buffer: Buffer) -> int:
    size = buffer.dtype.itemsize
    for extent in buffer.shape:
        size *= extent
    return size


def copy_kernel(old: Buffer, new: Buffer, offset: int, why: str) -> KernelPlan:
    """Copy ``new``'s elements from ``old``, beginning at element ``offset`` of it."""
    size = 1
    for extent in new.shape:
        size *= extent
    nest = LoopNest([size], 1, 0)
    value = Scalar("load", old.dtype, index=Ix({0: 1}) + offset, buffer=old)
    nest.stores.append(Store(new, Ix({0: 1}), value, Var(None)))  # type: ignore[arg-type]
    nest.arrange()
    return KernelPlan("copy", nest, {old}, {new}, [why])


class ControlPlan:
    """What the plans of loops and branches share: the memory they use.

    Attributes:
        copies: kernels that run in front.
        used, written: buffers that must live from the begin to the end.
    """

    def __init__(self, planner: Any, group: Group, plan_body: Callable[..., Plan]) -> None:
        self.planner, self.group = planner, group
        self.plan_body = plan_body
        self.eqn = group.sinks[0].eqn
        self.copies: list[KernelPlan] = []
        self.used: set[Buffer] = set()
        self.written: set[Buffer] = set()

    def _operand(self, position: int) -> _Place:
        planner = self.planner
        view = view_of(self.eqn.inputs[position], planner.makers, planner.fusion.in_memory)  # type: ignore[arg-type]
        assert view is not None
        buffer = planner._buffer(view.root)
        self.used.add(buffer)
        return _Place(buffer, view.offset)

    def _temporary(self, name: str, shape: tuple[int, ...], like: Buffer) -> Buffer:
        buffer = Buffer(name, shape, like.dtype, like.hint)
        self.planner.temporaries.append(buffer)
        self.used.add(buffer)
        self.written.add(buffer)
        return buffer

    def _inside(self, parent: Buffer, offset: int, like: Buffer) -> Buffer:
        """A buffer that lies in another, ``offset`` bytes from its start."""
        buffer = Buffer(f"{parent.name}_part", like.shape, like.dtype, like.hint)
        self.planner.aliases[buffer] = (parent, offset)
        self.used.add(buffer)
        return buffer

    def run(self) -> list[KernelPlan]:
        """The launches."""
        raise NotImplementedError

    def _adopt(self, plan: Plan) -> None:
        """The body's temporaries are the planner's."""
        self.planner.temporaries += plan.temporaries
        self.planner.aliases.update(plan.aliases)


class LoopPlan(ControlPlan):
    """Plans one scan for the planner of the graph around it."""

    def __init__(self, planner: Any, group: Group, plan_body: Callable[..., Plan]) -> None:
        super().__init__(planner, group, plan_body)
        p = self.eqn.params
        self.body: Graph = p["body"]
        self.consts, self.carries = p["consts"], p["carries"]
        self.length, self.reverse = p["length"], p["reverse"]
        self.histories = histories(self.eqn)
        self.moves: list[Move] = []

    def _walks(self, buffer: Buffer, base: Buffer, offset: int, step: int, back: int = 0) -> None:
        self.moves.append(Move(buffer, base, offset, step, back or step))

    # --- operands and results ---------------------------------------------------------------------
    def run(self) -> list[KernelPlan]:
        inputs = [Buffer("slot", v.aval.shape, v.aval.dtype, v.hint) for v in self.body.inputs]
        for k in range(self.consts):
            self._constant(inputs, k)
        for k in range(self.consts + self.carries, len(inputs)):
            place = self._operand(k)
            self._stack(inputs[k], place.buffer, place.offset * inputs[k].dtype.itemsize)
        emitted = [
            k for k in range(self.carries, len(self.body.outputs)) if k not in self.histories
        ]
        outputs = [*range(self.carries), *emitted]
        graph = Graph(self.body.inputs, self.body.eqns, [self.body.outputs[k] for k in outputs])
        stacked = {k for k, _ in self.histories.values()}
        in_place = {k: self.consts + k for k in range(self.carries) if k not in stacked}
        plan = self.plan_body(graph, in_place, inputs, copies=False)
        for k in range(self.carries):
            if k in stacked:
                self._in_history(k, inputs[self.consts + k], plan.outputs[k])
            else:
                self._in_turn(k, inputs[self.consts + k], plan.outputs[k])
        for position, k in enumerate(emitted, self.carries):
            base = self.planner._buffer(self.eqn.outputs[k])
            self.used.add(base)
            self.written.add(base)
            self._stack(plan.outputs[position], base, 0)
        self._adopt(plan)
        return self._launches(plan)

    def _launches(self, plan: Plan) -> list[KernelPlan]:
        begin = LoopBegin(self.length, self.moves)
        inner = {b for k in plan.kernels for b in k.reads | k.writes}
        own = {m.buffer for m in self.moves} | set(plan.temporaries) | set(plan.aliases)
        used = self.used | (inner - own)
        where = [self.eqn]
        head = KernelPlan("loop_begin", begin, used, self.written, eqns=where)
        head.groups = frozenset({self.group.number})
        for kernel in plan.kernels:
            kernel.scope = (begin, *kernel.scope)
        tail = KernelPlan("loop_end", LoopEnd(begin), used, self.written, eqns=where)
        return [*self.copies, head, *plan.kernels, tail]

    def _constant(self, inputs: list[Buffer], k: int) -> None:
        place = self._operand(k)
        if place.offset == 0:
            inputs[k] = place.buffer
        else:
            self._walks(inputs[k], place.buffer, place.offset * inputs[k].dtype.itemsize, 0)

    def _stack(self, slot: Buffer, base: Buffer, offset: int) -> None:
        step = _bytes(slot)
        if self.reverse:
            self._walks(slot, base, offset + (self.length - 1) * step, -step)
        else:
            self._walks(slot, base, offset, step)

    def _start(self, k: int, target: Buffer) -> None:
        place = self._operand(self.consts + k)
        why = "A loop begins with a copy of its initial carry."
        self.copies.append(copy_kernel(place.buffer, target, place.offset, why))

    def _in_history(self, k: int, before: Buffer, after: Buffer) -> None:
        """The carry of all steps in one stack of ``length + 1`` rows."""
        row, n = _bytes(before), self.length
        whole = self._temporary("history", (n + 1, *before.shape), before)
        first, last = (n, 0) if self.reverse else (0, n)
        step = -row if self.reverse else row
        self._walks(before, whole, first * row, step)
        self._walks(after, whole, first * row + step, step)
        self._start(k, self._inside(whole, first * row, before))
        self.planner.buffers[self.eqn.outputs[k]] = self._inside(whole, last * row, before)
        for j, (carry, began) in self.histories.items():
            if carry == k:
                out = self.eqn.outputs[j]
                like = Buffer("", out.aval.shape, out.aval.dtype)
                offset = row if began == self.reverse else 0
                self.planner.buffers[out] = self._inside(whole, offset, like)

    def _in_turn(self, k: int, before: Buffer, after: Buffer) -> None:
        """The carry of the current step only: in place, or in two places by turns."""
        out = self.eqn.outputs[k]
        if after is before:
            whole = self._temporary("carry", before.shape, before)
            self._walks(before, whole, 0, 0)
            self._start(k, whole)
            self.planner.buffers[out] = whole
            return
        row = -(-_bytes(before) // ALIGNMENT) * ALIGNMENT
        whole = self._temporary("carry", (2 * row // before.dtype.itemsize,), before)
        self._walks(before, whole, 0, row, -row)
        self._walks(after, whole, row, -row, row)
        self._start(k, self._inside(whole, 0, before))
        self.planner.buffers[out] = self._inside(whole, (self.length % 2) * row, before)
