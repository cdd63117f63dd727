"""Loops in the launch table: their entries, and the blocks that say which pointers walk.

In: the launches of a program with their loop marks. Out: table entries and, behind the argument
blocks of the kernels, one block per loop (``executor.py`` documents it). An inner loop's records
start from addresses that an outer loop may move, so inner blocks are laid out first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..schedule.kernels import Jump, KernelPlan, Label, LoopBegin, LoopEnd
from ..schedule.loops import Buffer
from .executor import OP_CALL, OP_JUMP, OP_LOOP, OP_STEP

if TYPE_CHECKING:
    from .program import Launch, Program

_HEAD, _RECORD = 3, 5


def repeated(kernels: Sequence[KernelPlan]) -> list[tuple[KernelPlan, int]]:
    """Each kernel with the number of times a run of the program launches it."""
    times, found = [1], []
    for kernel in kernels:
        if isinstance(kernel.work, LoopBegin):
            times.append(times[-1] * kernel.work.length)
        found.append((kernel, times[-1]))
        if isinstance(kernel.work, LoopEnd):
            times.pop()
    return found


class LoopBlocks:
    """Sizes and places of the blocks of all loops of a program.

    Attributes:
        words: 64-bit words of all blocks.
        order: the loops, inner ones first.
        entries, ends: index of the table entry at which each loop begins and ends.
        jumps: index of the table entry of each jump.
    """

    def __init__(self, launches: Sequence[Launch], first: int) -> None:
        self.next = first
        self.entries: dict[Any, int] = {}
        self.ends: dict[Any, int] = {}
        self.jumps: dict[Jump, int] = {}
        self.always = np.ones(1, np.int64)  # the condition of jumps without one
        self.order = [x.kernel.work.begin for x in launches if isinstance(x.kernel.work, LoopEnd)]
        slots: dict[Buffer, int] = {}
        for launch in launches:
            for argument in launch.generated.arguments if launch.generated else ():
                if argument.buffer is not None:
                    slots[argument.buffer] = slots.get(argument.buffer, 0) + 1
            for buffer in _host_slots(launch):
                slots[buffer] = slots.get(buffer, 0) + 1
        self.words = 0
        for work in self.order:
            records = 0
            for move in work.moves:
                count = slots.get(move.buffer, 0)
                slots[move.base] = slots.get(move.base, 0) + count
                records += count
            self.words += _HEAD + _RECORD * records

    def entry(self, launch: Launch, index: int) -> list[int]:
        """The table entry of a begin or end; the address of its block is filled in later."""
        work = launch.kernel.work
        if isinstance(work, Label):
            self.entries[work] = index
            return [0, 0, 0, 0, 1, 1, OP_CALL, 0]  # calls nothing: a barrier to land on
        if isinstance(work, Jump):
            self.jumps[work] = index
            return [0, 0, 1, 0, 1, 1, OP_JUMP, 0]
        if isinstance(work, LoopEnd):
            self.ends[work.begin] = index
            return [0, 0, 1, 0, 1, 1, OP_STEP, self.entries[work.begin] + 1]
        self.entries[work] = index
        return [0, 0, 1, 0, 1, 1, OP_LOOP, 0]

    def finish(self, program: Program) -> None:
        """Fill all blocks and give their addresses to the table."""
        base = program.block.__array_interface__["data"][0]
        for work in self.order:
            address = base + 8 * self._fill(work, program)
            for entry in (self.entries[work], self.ends[work]):
                program.table[entry, 1] = address

    def finish_jumps(self, program: Program) -> None:
        """Give jumps their targets and the addresses of their conditions, once memory is placed."""
        for jump, entry in self.jumps.items():
            program.table[entry, 7] = self.entries[jump.target]
            program.table[entry, 1] = (
                self.always.__array_interface__["data"][0]
                if jump.cell is None
                else program.addresses[jump.cell]
            )

    def _fill(self, work: LoopBegin, program: Program) -> int:
        """Fill a loop's block; returns its position among the program's words."""
        block, start = program.block, self.next
        base = block.__array_interface__["data"][0]
        at = start + _HEAD
        for move in work.moves:
            for slot in tuple(program.positions.get(move.buffer, ())):
                block[at] = base + 8 * slot
                program.positions.setdefault(move.base, []).append(at + 1)
                block[at + 2 : at + _RECORD] = move.offset, move.step, move.back
                at += _RECORD
        block[start : start + _HEAD] = 0, work.length, (at - start - _HEAD) // _RECORD
        self.next = at
        return start


def _host_slots(launch: Launch) -> list[Buffer]:
    from .program import host_buffers  # it imports this module

    work = launch.kernel.work
    return [] if launch.generated or launch.loops else host_buffers(work)
