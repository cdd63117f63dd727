"""Program: a plan as machine code, argument blocks, a launch table and memory; one native call.

In: a ``Plan``. Out: an object whose ``run`` executes the whole step. Buffers that stay where they
are (state, temporaries, scratch) are written into the argument blocks once; those that change from
call to call (arguments, fresh outputs) have a list of positions to patch.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..codegen.contract import generate_contraction
from ..codegen.convolve import generate_convolution
from ..codegen.kernel import KernelSource
from ..codegen.nest import generate
from ..codegen.scatter import generate_scatter
from ..codegen.source import Argument, Generated
from ..codegen.walk import generate_walk
from ..ir.graph import Literal
from ..schedule.kernels import (
    Contraction,
    Convolution,
    HostCall,
    KernelPlan,
    Mark,
    Plan,
    Scatter,
    Walk,
)
from ..schedule.loops import Buffer, LoopNest
from ..schedule.memory import Lifetime, plan_arena
from . import allocator
from .compile import load_kernels
from .looptable import LoopBlocks, repeated
from .threads import get_num_threads, make_runner

ENTRY = 8
# A kernel is split among threads when one thread would take longer than this; a barrier costs
# about 0.3 microseconds and waking a sleeping worker several.
SPLIT_SECONDS = 1.5e-5
# Inside a loop the workers are awake, so less work is worth a barrier.
LOOP_SECONDS = 3e-6
BYTES_PER_SECOND = 30e9
FLOPS_PER_SECOND = 1e11
DOT_FLOPS_PER_SECOND = 200e9
_HOST = ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.c_int64), ctypes.c_int64, ctypes.c_int64)


def seconds_on_one_thread(kernel: KernelPlan) -> float:
    """A rough estimate that decides about threads."""
    rate = DOT_FLOPS_PER_SECOND if isinstance(kernel.work, Contraction) else FLOPS_PER_SECOND
    return max(kernel.bytes / BYTES_PER_SECOND, kernel.flops / rate)


class Launch:
    """One kernel of a program: what was planned, its text, its place in the table."""

    def __init__(self, kernel: KernelPlan, threads: int, times: int = 1) -> None:
        self.kernel = kernel
        self.times = times
        self.generated: Generated | None = None
        self.barrier = False
        self.seconds = seconds_on_one_thread(kernel)
        parts = threads if self.seconds > (SPLIT_SECONDS if times == 1 else LOOP_SECONDS) else 1
        if isinstance(kernel.work, LoopNest):
            self.generated = generate(kernel.work, kernel.label, parts)
        elif isinstance(kernel.work, Convolution):
            self.generated = generate_convolution(kernel.work, kernel.label, parts)
        elif isinstance(kernel.work, Contraction):
            self.generated = generate_contraction(kernel.work, kernel.label, parts)
        elif isinstance(kernel.work, Scatter):
            self.generated = generate_scatter(kernel.work, kernel.label, parts)
        elif isinstance(kernel.work, Walk):
            self.generated = generate_walk(kernel.work, kernel.label, parts)
        self.parts = self.generated.parts if self.generated else 1

    @property
    def loops(self) -> bool:
        """Whether this is no kernel but a mark of control flow."""
        return isinstance(self.kernel.work, Mark)

    def joins(self, following: Launch) -> bool:
        """Whether the next launch runs the same kernel on other data: one launch for both."""
        mine, other = self.generated, following.generated
        return (
            not self.barrier
            and mine is not None
            and other is not None
            and mine.source == other.source  # text and pointer types: "copy" has one text for all
            and self.parts == following.parts
        )


class Program:
    """An executable plan.

    Attributes:
        entries: launches after joining those of one kernel (an optimizer over many tensors).
        calls: number of runs so far; storages it writes count it into their version.
        arena_bytes: size of the memory for temporaries.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.calls = 0
        threads = get_num_threads()
        started = time.perf_counter()
        self.launches = [Launch(k, threads, times) for k, times in repeated(plan.kernels)]
        self.codegen_seconds = time.perf_counter() - started
        self._set_barriers()
        self.addresses: dict[Buffer, int] = {}
        self.positions: dict[Buffer, list[int]] = {}
        self._scratch: list[tuple[int, Argument]] = []
        self._callbacks: list[Any] = []
        self.error: BaseException | None = None
        self._build()

    # --- building ---------------------------------------------------------------------------------
    def _set_barriers(self) -> None:
        """A barrier before a launch that touches memory a launch since the last barrier wrote."""
        reads: set[Buffer] = set()
        writes: set[Buffer] = set()
        previous: Launch | None = None
        for launch in self.launches:
            k = launch.kernel
            if launch.loops:  # a barrier of its own
                reads, writes, previous = set(), set(), None
                continue
            clash = (k.reads | k.writes) & writes or k.writes & reads
            host = isinstance(k.work, HostCall)
            if previous is not None and (
                clash or host or isinstance(previous.kernel.work, HostCall)
            ):
                previous.barrier = True
                reads, writes = set(), set()
            reads |= k.reads
            writes |= k.writes
            previous = launch
        for launch in self.launches:
            launch.barrier |= launch.loops or isinstance(launch.kernel.work, HostCall)
        self._gather_equal()

    def _gather_equal(self) -> None:
        """Between barriers the order is free: put launches of one kernel side by side."""
        ordered: list[Launch] = []
        region: list[Launch] = []
        for launch in self.launches:
            region.append(launch)
            if launch.barrier or launch is self.launches[-1]:
                ends = launch.barrier
                groups: dict[tuple[KernelSource | None, int], list[Launch]] = {}
                for member in region:
                    source = member.generated.source if member.generated else None
                    groups.setdefault((source, member.parts), []).append(member)
                    member.barrier = False
                region = [member for group in groups.values() for member in group]
                region[-1].barrier = ends
                ordered += region
                region = []
        self.launches = ordered

    def _build(self) -> None:
        sources = [x.generated.source for x in self.launches if x.generated is not None]
        functions = iter(load_kernels(sources))
        counts = [
            0 if x.loops
            else len(x.generated.arguments) if x.generated
            else len(host_buffers(x.kernel.work))
            for x in self.launches
        ]  # fmt: skip
        blocks = self._blocks = LoopBlocks(self.launches, sum(counts))
        self.block = np.zeros(max(1, sum(counts) + blocks.words), np.int64)
        self.cells = memoryview(self.block)
        base = self.block.__array_interface__["data"][0]
        self.table = np.zeros((max(1, len(self.launches)), ENTRY), np.int64)
        position, self.entries = 0, 0
        before: Launch | None = None
        for launch, count in zip(self.launches, counts, strict=True):
            if launch.loops:
                self.table[self.entries] = blocks.entry(launch, self.entries)
                self.entries += 1
                before = None
                continue
            if launch.generated is not None:
                function = next(functions)
                for k, argument in enumerate(launch.generated.arguments):
                    self._bind(position + k, argument)
            else:
                for k, buffer in enumerate(host_buffers(launch.kernel.work)):
                    self._bind(position + k, Argument("buffer", buffer))
                function = self._host_entry(launch.kernel.work)
            if before is not None and before.joins(launch):
                entry = self.table[self.entries - 1]
                entry[2:4], entry[5] = (entry[2] + 1, 8 * count), launch.barrier
            else:
                self.table[self.entries] = [
                    function,
                    base + 8 * position,
                    1,
                    0,
                    launch.parts,
                    launch.barrier,
                    0,
                    0,
                ]
                self.entries += 1
            before = launch
            position += count
        blocks.finish(self)
        self._place_memory()
        blocks.finish_jumps(self)
        self._make_runner()

    def _make_runner(self) -> None:
        total = sum(x.seconds * x.times for x in self.launches)
        threads = max([x.parts for x in self.launches], default=1)
        hosted = any(isinstance(x.kernel.work, HostCall) for x in self.launches)
        self._run, self.job = make_runner(
            self.table.__array_interface__["data"][0],
            self.entries,
            threads,
            release_gil=total > 5e-5 and not hosted,
            owner=(self.table, self.block, self._blocks),
        )

    def _bind(self, position: int, argument: Argument) -> None:
        if argument.kind == "int":
            self.block[position] = argument.value
        elif argument.kind == "buffer":
            assert argument.buffer is not None
            self.positions.setdefault(argument.buffer, []).append(position)
        elif argument.table is not None:  # kept alive by the launch
            self.block[position] = argument.table.__array_interface__["data"][0]
        else:
            self._scratch.append((position, argument))

    def _place_memory(self) -> None:
        """Arena for temporaries and scratch; scratch is private to each launch."""
        first: dict[Buffer, int] = {}
        last: dict[Buffer, int] = {}
        epoch = 0  # launches between two barriers run at the same time
        for launch in self.launches:
            for buffer in launch.kernel.reads | launch.kernel.writes:
                first.setdefault(buffer, epoch)
                last[buffer] = epoch
            epoch += launch.barrier
        for child, (parent, _) in reversed(self.plan.aliases.items()):
            if child in first:
                first[parent] = min(first.get(parent, first[child]), first[child])
                last[parent] = max(last.get(parent, last[child]), last[child])
        lives = {
            b: Lifetime(_nbytes(b), first.get(b, 0), last.get(b, 0)) for b in self.plan.temporaries
        }
        scratch = [Lifetime(a.size, 0, epoch) for _, a in self._scratch]
        self.arena_bytes = plan_arena([*lives.values(), *scratch])
        self.arena, address = allocator.empty(max(64, self.arena_bytes))
        self.arena[:0] = 0
        for life, (position, argument) in zip(scratch, self._scratch, strict=True):
            if argument.kind == "counter":
                self.arena[life.offset : life.offset + argument.size] = 0
            self.block[position] = address + life.offset
        for buffer, life in lives.items():
            self.place(buffer, address + life.offset)
        for child, (parent, offset) in self.plan.aliases.items():
            self.place(child, self.addresses[parent] + offset)

    def place(self, buffer: Buffer, address: int) -> None:
        """Tell all launches where a buffer lies."""
        self.addresses[buffer] = address
        for position in self.positions.get(buffer, ()):
            self.cells[position] = address

    def _host_entry(self, work: Any) -> int:
        buffers = host_buffers(work)

        def call(args: Any, part: int, parts: int) -> None:
            try:
                run_host(work, {b: args[k] for k, b in enumerate(buffers)})
            except BaseException as error:  # must not unwind through native frames
                self.error = error
                self.job.stop = 1

        callback = _HOST(call)
        self._callbacks.append(callback)
        return ctypes.cast(callback, ctypes.c_void_p).value or 0

    # --- running ----------------------------------------------------------------------------------
    @property
    def runner(self) -> Callable[[], int]:
        """The native call."""
        return self._run

    def run(self) -> None:
        """Execute every launch; re-raises what a host kernel raised."""
        self.calls += 1
        if self._run():
            error, self.error = self.error, None
            self.job.stop = 0
            if error is not None:
                raise error


def _nbytes(buffer: Buffer) -> int:
    size = buffer.dtype.itemsize
    for extent in buffer.shape:
        size *= extent
    return size


def host_buffers(work: Any) -> list[Buffer]:
    """The buffers of a host call, in the order of its arguments."""
    assert isinstance(work, HostCall)
    return list(
        dict.fromkeys([*[o[0] for o in work.operands if isinstance(o, tuple)], work.output])
    )


def array_at(
    address: int, dtype: np.dtype, shape: Sequence[int], strides: Sequence[int] | None = None
) -> np.ndarray:
    """A NumPy view of memory at an address; strides in elements."""
    if strides is None or 0 in shape:
        count = int(np.prod(shape, dtype=np.int64))
        raw = (ctypes.c_char * (count * dtype.itemsize)).from_address(address)
        return np.frombuffer(raw, dtype, count).reshape(shape)
    span = 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True) if s > 0)
    low = sum((n - 1) * s for n, s in zip(shape, strides, strict=True) if s < 0)
    start = address + low * dtype.itemsize
    raw = (ctypes.c_char * ((span - low) * dtype.itemsize)).from_address(start)
    flat = np.frombuffer(raw, dtype)
    return np.lib.stride_tricks.as_strided(
        flat[-low:], tuple(shape), tuple(s * dtype.itemsize for s in strides)
    )


def run_host(work: HostCall, addresses: dict[Buffer, int]) -> None:
    """Run one primitive by its NumPy reference on the program's memory."""
    arrays: list[Any] = []
    for operand in work.operands:
        if isinstance(operand, Literal):
            arrays.append(operand.value)
            continue
        buffer, offset, shape, strides = operand
        dtype = buffer.dtype.np
        arrays.append(array_at(addresses[buffer] + offset * dtype.itemsize, dtype, shape, strides))
    with np.errstate(all="ignore"):
        result = work.eqn.primitive.reference(*arrays, **work.eqn.params)
    out = array_at(addresses[work.output], work.output.dtype.np, work.output.shape)
    out.reshape(np.shape(result))[...] = result
