"""Read-only views of a compiled trace: its kernels as runnable text, its memory before the run.

In: a ``Trace``. Out: ``Kernel`` records (what ``step.kernels()`` returns) that run alone, compiled
or under plain CPython, and a ``Memory`` record (``step.memory``). Next file: ``explain.py``, which
writes them down for people.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .codegen.kernel import KernelSource
from .codegen.source import Argument
from .errors import ArgumentError
from .ir.graph import Eqn, nested_graphs
from .runtime.compile import load_kernel
from .schedule.kernels import Contraction, HostCall, Mark, Plan, Walk
from .schedule.loops import Buffer, LoopNest

if TYPE_CHECKING:
    from .runtime.program import Launch
    from .traced import Trace

_POINTERS = {"u8": np.uint8, "bf16": np.uint16}


def human_bytes(count: float) -> str:
    """``812 B``, ``40.1 kB``, ``1.6 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError


def human_count(count: float, unit: str) -> str:
    """``812 FLOP``, ``40.1 kFLOP``, ``1.6 MFLOP``."""
    for prefix in ("", "k", "M", "G"):
        if count < 1000 or prefix == "G":
            return f"{count:.0f} {unit}" if not prefix else f"{count:.1f} {prefix}{unit}"
        count /= 1000
    raise AssertionError


@dataclass(frozen=True)
class KernelArgument:
    """One parameter of a kernel.

    Attributes:
        name: its name in the text.
        type: ``"f32*"`` and so on for memory, ``"i64"`` for an extent, stride or constant.
        kind: ``buffer``, ``int``, ``table``, ``scratch`` or ``counter``.
        what: the user's name for a buffer, or the plan's.
        shape: extents of a buffer.
        value: of an ``int``.
        nbytes: of memory.
        table: the words of a ``table``.
    """

    name: str
    type: str
    kind: str
    what: str = ""
    shape: tuple[int, ...] = ()
    value: int = 0
    nbytes: int = 0
    table: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def dtype(self) -> np.dtype:
        """NumPy dtype of the elements the kernel sees."""
        short = self.type.rstrip("*")
        if short in _POINTERS:
            return np.dtype(_POINTERS[short])
        kind = {"f": "f", "i": "i", "u": "u"}[short[0]]
        return np.dtype(f"{kind}{int(short[1:]) // 8}")

    @property
    def size(self) -> int:
        """Number of elements."""
        return max(1, self.nbytes // self.dtype.itemsize)

    def __str__(self) -> str:
        if self.kind == "int":
            return f"{self.name} = {self.value}"
        shape = ",".join(map(str, self.shape)) if self.kind == "buffer" else self.size
        return f"{self.name}: {self.type.rstrip('*')}[{shape}] {self.what}".rstrip()


@dataclass(frozen=True)
class Kernel:
    """One kernel of a program.

    Attributes:
        number: position in the launch table, from 1.
        name: name of the function.
        source: the text with comments: what each buffer is, the user's lines.
        canonical: the text that is compiled and hashed; kernels of equal structure share it.
        arguments: its parameters in order.
        reasons: one sentence for each join and refusal of the fusion.
        lines: the user's lines it computes.
        nbytes: least bytes it has to move.
        flops: estimated arithmetic operations.
        threads: number of threads it is split among.
        host: it runs a NumPy reference instead of machine code.
        times: launches per call, more than one inside a loop; the other figures are for one.
    """

    number: int
    name: str
    source: str
    canonical: str
    arguments: tuple[KernelArgument, ...]
    reasons: tuple[str, ...]
    lines: tuple[str, ...]
    nbytes: int
    flops: float
    threads: int
    host: bool
    _native: KernelSource | None = field(default=None, repr=False)
    times: int = 1

    def __str__(self) -> str:
        return self.source.rstrip("\n")

    def buffers(self) -> list[KernelArgument]:
        """The arguments that hold the program's data."""
        return [a for a in self.arguments if a.kind == "buffer"]

    def random_inputs(self, seed: int = 0) -> dict[str, np.ndarray]:
        """Arrays for every buffer by parameter name: normal floats, integers 0 and 1."""
        rng = np.random.default_rng(seed)
        return {a.name: _random(a, rng) for a in self.buffers()}

    def run_plain(
        self, arrays: Mapping[str, np.ndarray] | Sequence[np.ndarray], threads: int = 1
    ) -> dict[str, np.ndarray]:
        """Run ``source`` under plain CPython.

        Args:
            arrays: one array per buffer, by parameter name or in order; not changed.
            threads: run as this many parts, one after the other.

        Returns:
            the buffers after the run, flat, by parameter name.
        """
        from .runtime.plain import run_plain  # its vector math is needed here only

        values = self._values(arrays)
        text = KernelSource(self.name, self.source, self._source.params)
        for thread in range(threads):
            run_plain(text, list(values.values()), thread, threads)
        return {a.name: values[a.name] for a in self.buffers()}

    def run_compiled(
        self, arrays: Mapping[str, np.ndarray] | Sequence[np.ndarray], threads: int = 1
    ) -> dict[str, np.ndarray]:
        """Run the machine code of the kernel alone; arguments and result as in ``run_plain``."""
        values = self._values(arrays)
        words = [v.ctypes.data if isinstance(v, np.ndarray) else v for v in values.values()]
        block = np.array(words, np.int64)
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
        call = kind(load_kernel(self._source))
        for thread in range(threads):
            call(block.ctypes.data, thread, threads)
        return {a.name: values[a.name] for a in self.buffers()}

    @property
    def _source(self) -> KernelSource:
        if self._native is None:
            raise ArgumentError(
                f"kernel {self.number} ({self.name}) has no text of its own",
                "It runs the NumPy reference of one primitive inside the program.",
                "step.graph() to see the equation",
            )
        return self._native

    def _values(self, arrays: Mapping[str, np.ndarray] | Sequence[np.ndarray]) -> dict[str, Any]:
        assert self._source
        buffers = self.buffers()
        if not isinstance(arrays, Mapping):
            arrays = dict(zip([a.name for a in buffers], arrays, strict=True))
        values: dict[str, Any] = {}
        for argument in self.arguments:
            if argument.kind == "int":
                values[argument.name] = argument.value
            elif argument.kind == "buffer":
                values[argument.name] = _flat_copy(argument, arrays)
            elif argument.table is not None:
                values[argument.name] = argument.table
            else:
                values[argument.name] = _aligned_zeros(argument)
        return values


def _flat_copy(argument: KernelArgument, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    if argument.name not in arrays:
        raise ArgumentError(
            f"no array for {argument}",
            "Every buffer of a kernel needs memory.",
            "start from kernel.random_inputs()",
        )
    given = np.ascontiguousarray(arrays[argument.name]).reshape(-1)
    out = np.array(given.view(argument.dtype) if given.dtype == np.bool_ else given)
    if out.size != argument.size or out.dtype != argument.dtype:
        raise ArgumentError(
            f"{argument} got {out.dtype}[{out.size}]",
            "The array must have the dtype and number of elements of the buffer.",
        )
    return out


def _aligned_zeros(argument: KernelArgument) -> np.ndarray:
    """Scratch memory on a cache line, as the arena gives it."""
    raw = np.zeros(argument.nbytes + 64, np.uint8)
    skip = -raw.ctypes.data % 64
    count = argument.size * argument.dtype.itemsize
    return raw[skip : skip + count].view(argument.dtype)


def _random(argument: KernelArgument, rng: np.random.Generator) -> np.ndarray:
    if argument.dtype.kind == "f":
        return rng.standard_normal(argument.size).astype(argument.dtype)
    return rng.integers(0, 2, argument.size).astype(argument.dtype)


def _argument(name: str, kind: str, argument: Argument) -> KernelArgument:
    buffer = argument.buffer
    if buffer is not None:
        nbytes = _nbytes(buffer)
        return KernelArgument(
            name, kind, "buffer", buffer.hint or buffer.name, buffer.shape, nbytes=nbytes
        )
    if argument.kind == "int":
        return KernelArgument(name, kind, "int", value=argument.value)
    what = "offsets" if argument.table is not None else "scratch"
    return KernelArgument(
        name, kind, argument.kind, what, nbytes=argument.size, table=argument.table
    )


def _nbytes(buffer: Buffer) -> int:
    size = buffer.dtype.itemsize
    for extent in buffer.shape:
        size *= extent
    return size


def _lines(eqns: Sequence[Eqn]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(e.where for e in eqns if e.where))


def _kernel(number: int, launch: Launch, numbers: dict[Any, int]) -> Kernel:
    planned, made = launch.kernel, launch.generated
    source, canonical, native = _host_text(planned.work), "", None
    arguments: tuple[KernelArgument, ...] = ()
    if made is not None:
        source, canonical, native = made.display, made.source.text, made.source
        arguments = tuple(
            _argument(name, kind, a)
            for (name, kind), a in zip(native.params, made.arguments, strict=True)
        )
    return Kernel(
        number,
        native.name if native else planned.label,
        source,
        canonical,
        arguments,
        tuple(_renumbered(reason, planned.scope, numbers) for reason in planned.reasons),
        _lines(planned.eqns),
        planned.bytes,
        planned.flops,
        launch.parts,
        native is None,
        native,
        launch.times,
    )


def _host_text(work: Any) -> str:
    if not isinstance(work, HostCall):
        return ""
    out = work.output
    return (
        f"# NumPy reference of {work.eqn.primitive.name} into {out.hint or out.name}  "
        f"{work.eqn.where}\n"
    )


def kernels_of(trace: Trace) -> list[Kernel]:
    """The kernels of a trace in launch order."""
    count, launches = 0, []
    numbers: dict[Any, int] = {}  # fusion numbers the kernels of each loop body apart
    for launch in trace.program.launches:
        count += not launch.loops
        for group in launch.kernel.groups:
            numbers[launch.kernel.scope, group] = count + launch.loops
        if not launch.loops:
            launches.append((count, launch))
    return [_kernel(k, launch, numbers) for k, launch in launches]


def _renumbered(reason: str, scope: Any, numbers: dict[Any, int]) -> str:
    """Fusion names kernels in the order it met them; people count launches."""
    return re.sub(r"\bkernel (\d+)", lambda m: f"kernel {numbers[scope, int(m[1])]}", reason)


# --- memory ---------------------------------------------------------------------------------------
@dataclass(frozen=True)
class BufferUse:
    """One piece of memory: its size, what it is for and the user's line that makes it."""

    nbytes: int
    kind: str
    what: str
    where: str = ""

    def __str__(self) -> str:
        return f"{human_bytes(self.nbytes):>9}  {self.kind:<9} {self.what}  {self.where}".rstrip()


@dataclass(frozen=True)
class Memory:
    """Bytes a call needs, known before it runs.

    Attributes:
        arena: temporaries and scratch, kept between calls and reused inside one.
        state: parameters, optimizer state and other tensors from outside.
        constants: arrays that became part of the program at capture.
        outputs: returned tensors and gradients, fresh for every call or kept for the user.
        arguments: memory of the caller, not counted in ``peak``.
        temporaries: sum of all temporaries, what the arena would be without reuse.
        buffers: every piece, largest first.
    """

    arena: int
    state: int
    constants: int
    outputs: int
    arguments: int
    temporaries: int
    buffers: tuple[BufferUse, ...]

    @property
    def peak(self) -> int:
        """Most bytes alive at once: arena, state, constants and outputs."""
        return self.arena + self.state + self.constants + self.outputs

    def top(self, count: int = 10) -> list[BufferUse]:
        """The largest pieces."""
        return list(self.buffers[:count])

    def __str__(self) -> str:
        parts = [
            f"arena {human_bytes(self.arena)}",
            f"state {human_bytes(self.state)}",
            f"outputs {human_bytes(self.outputs)}",
        ]
        if self.constants:
            parts.append(f"constants {human_bytes(self.constants)}")
        head = (
            f"peak {human_bytes(self.peak)} ({', '.join(parts)}); arguments "
            f"{human_bytes(self.arguments)}; temporaries without reuse "
            f"{human_bytes(self.temporaries)}"
        )
        return "\n".join([head, *[f"  {b}" for b in self.top()]])

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings."""
        names = ("peak", "arena", "state", "constants", "outputs", "arguments", "temporaries")
        found: dict[str, Any] = {name: getattr(self, name) for name in names}
        found["buffers"] = [vars(b).copy() for b in self.buffers]
        return found


def memory_of(trace: Trace) -> Memory:
    """The memory of a trace."""
    sites = _sites(trace.plan)
    uses = list(_outside(trace))
    for buffer in trace.plan.temporaries:
        uses.append(
            BufferUse(_nbytes(buffer), "temporary", _describe(buffer), sites.get(buffer, ""))
        )
    for launch in trace.program.launches:
        made = launch.generated.arguments if launch.generated else ()
        scratch = sum(a.size for a in made if a.kind not in ("int", "buffer", "table"))
        if scratch:
            uses.append(BufferUse(scratch, "scratch", f"of {launch.kernel.label}"))
    totals: dict[str, int] = {}
    for use in uses:
        totals[use.kind] = totals.get(use.kind, 0) + use.nbytes
    ordered = tuple(sorted(uses, key=lambda u: (-u.nbytes, u.kind, u.what)))
    return Memory(
        trace.program.arena_bytes,
        totals.get("state", 0),
        totals.get("constant", 0),
        totals.get("output", 0) + totals.get("gradient", 0),
        totals.get("argument", 0),
        totals.get("temporary", 0) + totals.get("scratch", 0),
        ordered,
    )


def _describe(buffer: Buffer) -> str:
    shape = ",".join(map(str, buffer.shape))
    return f"{buffer.hint or buffer.name} {buffer.dtype.short}[{shape}]"


def _outside(trace: Trace) -> Iterator[BufferUse]:
    """State, constants, arguments, outputs and gradients of a trace."""
    for storage, cell in trace.capture.cells.items():
        hint = cell.initial.hint if cell.initial is not None else ""
        assert cell.initial is not None and storage.array is not None
        yield BufferUse(storage.array.nbytes, "state", f"{hint} {cell.initial.aval}".strip())
    for var, array in trace.capture.consts.items():
        yield BufferUse(array.nbytes, "constant", str(var.aval))
    for _, traced, leaf in trace.arguments:
        if type(leaf) is not float:
            start = traced._storage.cell.initial if traced._storage.cell else None
            assert start is not None
            yield BufferUse(start.aval.nbytes, "argument", f"{start.hint} {start.aval}")
    for position, slot in trace.slots:
        atom = trace.graph_outputs[position]
        yield BufferUse(slot.aval.nbytes, "output", str(slot.aval), _maker(trace, atom))
    for parameter, _, aval in trace.kept:
        yield BufferUse(aval.nbytes, "gradient", f"of {parameter._hint} {aval}".replace("  ", " "))


def _maker(trace: Trace, atom: Any) -> str:
    return next((e.where for e in trace.captured.eqns if atom in e.outputs), "")


def _sites(plan: Plan) -> dict[Buffer, str]:
    """The user's line that makes each buffer a kernel writes."""
    lines = {o: e.where for e in plan.graph.eqns for o in e.outputs}
    found: dict[Buffer, str] = {}
    for kernel in plan.kernels:
        work = kernel.work
        if isinstance(work, Mark):
            lines.update({o: e.where for e in kernel.eqns for o in e.outputs})
            for body in (g for e in kernel.eqns for g in nested_graphs(e)):
                lines.update({o: e.where for e in body.eqns for o in e.outputs})
            continue
        if isinstance(work, HostCall):
            found[work.output] = work.eqn.where
            continue
        if isinstance(work, Walk):
            found[work.out] = work.eqn.where
            continue
        if isinstance(work, Contraction):
            found[work.c] = work.eqn.where
        nest = work if isinstance(work, LoopNest) else work.nest
        for store in nest.stores:
            found.setdefault(store.buffer, lines.get(store.var, ""))
    return found
