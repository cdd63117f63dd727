"""The report behind ``step.explain()``: what was traced, why again, what was fused, what it costs.

In: the traces of a jitted function. Out: a ``Report`` whose ``str`` is for people and whose
``to_dict`` is for tools. ``on_trace`` prints the parts that ``FUSEGRAD_DEBUG`` names and writes the
folder that ``FUSEGRAD_DUMP`` names. Next file: ``dump.py``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import config
from .dump import dump_trace, next_folder
from .errors import ArgumentError, ArgumentTypeError
from .ir.aval import aval_of
from .ir.graph import Eqn, Graph, Var
from .ir.text import name_vars, print_eqn, print_graph
from .runtime import cache
from .traced import Trace, hooks
from .views import (
    Kernel,
    Memory,
    human_bytes,
    human_count,
    kernels_of,
    memory_of,
)

if TYPE_CHECKING:
    from .api import JitFunction

_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_STAGES = ("capture", "passes", "schedule", "codegen", "kernels")


@dataclass(frozen=True)
class StepCacheInfo:
    """Where the kernels of a jitted function came from, and the kernel cache on disk.

    Attributes:
        traces: signatures traced so far.
        calls: compiled calls so far.
        kernels: kernels of all traces.
        compiled: of these, compiled by this process.
        disk_hits: of these, loaded from the disk cache.
        memory_hits: of these, already in the process.
        disk: folder, entries and bytes of the disk cache.
    """

    traces: int
    calls: int
    kernels: int
    compiled: int
    disk_hits: int
    memory_hits: int
    disk: cache.CacheInfo


def explain(step: Any) -> Report:
    """The report about a jitted function; also ``step.explain()``.

    Example:
        >>> import fusegrad as fg
        >>> @fg.jit
        ... def f(x):
        ...     return (x * 2).sum()
        >>> _ = f(fg.ones(3))
        >>> fg.explain(f).kernels[0].name
        'map_mul_sum'
    """
    if not hasattr(step, "history") or not hasattr(step, "__wrapped__"):
        raise ArgumentTypeError(
            f"explain of a {type(step).__name__}",
            "Only functions under @fg.jit have a program.",
            "decorate the function with @fg.jit and call it once",
        )
    return Report(step.__name__, step.history)


def last_trace(step: JitFunction) -> Trace:
    """The newest trace of a jitted function; refuses before the first call."""
    if not step.history:
        raise ArgumentError(
            f"{step.__name__} has not been traced yet",
            "A function is captured and compiled at its first call.",
            f"call {step.__name__} once, or {step.__name__}.compile(...) with example arguments",
        )
    return step.history[-1]


def backward_part(graph: Graph) -> Graph:
    """The equations of ``graph`` that derivative rules appended, as a graph of their own."""
    eqns = [e for e in graph.eqns if e.backward]
    made = {o for e in eqns for o in e.outputs}
    read = [a for e in eqns for a in e.inputs if isinstance(a, Var) and a not in made]
    used = {a for e in graph.eqns if not e.backward for a in e.inputs} | set(graph.outputs)
    outputs = [o for e in eqns for o in e.outputs if o in used]
    return Graph(dict.fromkeys(read), eqns, outputs)


class Report:
    """What happened when a jitted function was traced and compiled; ``str(report)`` reads well.

    Attributes:
        name: name of the function.
        traces: its traces in order; details are those of the last one.
    """

    def __init__(self, name: str, traces: Sequence[Trace]) -> None:
        self.name = name
        self.traces = list(traces)
        self.trace = self.traces[-1] if self.traces else None
        self.kernels: list[Kernel] = kernels_of(self.trace) if self.trace else []
        self.memory: Memory | None = memory_of(self.trace) if self.trace else None

    def __str__(self) -> str:
        if self.trace is None:
            return f"{self.name}: not traced yet; call it once"
        sections = [
            self._head(),
            *self._signature(),
            *self._traces(),
            *self._graph(),
            *self._kernels(),
            "Memory",
            *_indent(str(self.memory)),
            *self._times(),
            *self._constants(),
        ]
        return "\n".join(sections)

    def __repr__(self) -> str:
        return str(self)

    def summary(self) -> str:
        """The report in about a dozen lines: counts, kernels, memory, times."""
        if self.trace is None:
            return str(self)
        shown = [f"  {_kernel_line(k)}" for k in self.kernels[:8]]
        if len(self.kernels) > 8:
            shown.append(f"  ... and {len(self.kernels) - 8} more")
        assert self.memory is not None
        times = ", ".join(f"{k} {v * 1e3:.0f} ms" for k, v in self._seconds().items() if v >= 5e-4)
        return "\n".join(
            [
                self._head(),
                *shown,
                f"memory {str(self.memory).splitlines()[0]}",
                f"compile time {sum(self._seconds().values()):.2f} s: {times}",
                self._origin(),
            ]
        )

    # --- sections -------------------------------------------------------------------------------
    def _head(self) -> str:
        assert self.trace is not None
        flops, moved = self._cost()
        return (
            f"{self.name}: {_plural(len(self.traces), 'trace')}, "
            f"{_plural(len(self.trace.captured.eqns), 'equation')}, "
            f"{_plural(len(self.kernels), 'kernel')}, one native call per step; "
            f"{human_count(flops, 'FLOP')} and {human_bytes(moved)} moved per call"
        )

    def _cost(self) -> tuple[float, int]:
        flops = sum(k.flops * k.times for k in self.kernels)
        return flops, sum(k.nbytes * k.times for k in self.kernels)

    def _signature(self) -> Iterator[str]:
        t = self.trace
        assert t is not None and self.memory is not None
        yield "Signature"
        for line in self.signature():
            yield f"  {line}"
        written = len(t.mutated)
        yield (
            f"  state: {_plural(len(t.capture.cells), 'tensor')}, "
            f"{human_bytes(self.memory.state)}, {written} written in place"
        )
        if t.elided:
            yield (
                f"  gradients of {_plural(len(t.elided), 'parameter')} are consumed inside the "
                "step and never written; keep_grads=True keeps them"
            )
        for label, owner in dict.fromkeys((g[0], type(g[1]).__name__) for g in t.capture.guards):
            yield f"  guard: structure of {label} {owner}"

    def signature(self) -> list[str]:
        """One line per argument: its shape and dtype, or how its value takes part."""
        t = self.trace
        if t is None:
            return []
        traced = {position: (tensor, leaf) for position, tensor, leaf in t.arguments}
        lines = []
        for position, (label, leaf) in enumerate(zip(t.labels, t.leaves, strict=True)):
            if position not in traced:
                shown = repr(leaf) if isinstance(leaf, _PLAIN) else type(leaf).__name__
                lines.append(f"{label}: {shown} (part of the signature)")
            elif type(leaf) is float:
                lines.append(f"{label}: float (run-time value)")
            else:
                tensor = traced[position][0]
                grad = ", requires grad" if tensor._requires_grad else ""
                lines.append(f"{label}: {aval_of(leaf)}{grad}")
        return lines

    def _traces(self) -> Iterator[str]:
        yield "Traces"
        for number, trace in enumerate(self.traces, 1):
            yield f"  {number}. {trace.reason}"

    def _graph(self) -> Iterator[str]:
        assert self.trace is not None
        graph = self.trace.captured
        names = name_vars(graph)
        parts = _three_parts(graph.eqns)
        counts = ", ".join(f"{label} {len(eqns)}" for label, eqns in parts if eqns)
        yield (
            f"Captured graph: {counts}; {_plural(len(self.trace.graph.eqns), 'equation')} "
            "after the passes"
        )
        for var in graph.inputs:
            yield f"    {names[var]}: {var.aval}  {var.hint}".rstrip()
        for label, eqns in parts:
            if eqns:
                yield f"  {label}"
                yield from (f"    {print_eqn(e, names)}" for e in eqns)

    def _kernels(self) -> Iterator[str]:
        yield "Kernels"
        for kernel in self.kernels:
            yield f"  {_kernel_line(kernel)}"
            if kernel.lines:
                yield "     " + ", ".join(kernel.lines)
            yield from (f"     {reason}" for reason in kernel.reasons)

    def _seconds(self) -> dict[str, float]:
        """Seconds by stage; the kernels' share split into front end, LLVM and loading."""
        assert self.trace is not None
        found = {k: self.trace.seconds.get(k, 0.0) for k in _STAGES}
        c = self.trace.compiling
        split = {"numba": c.frontend_seconds, "LLVM": c.llvm_seconds, "load": c.load_seconds}
        found["setup"] = max(0.0, found.pop("kernels") - sum(split.values()))
        return found | split

    def _origin(self) -> str:
        assert self.trace is not None
        c = self.trace.compiling
        return (
            f"kernel cache: {c.compiles} compiled, {c.disk_hits} from disk, "
            f"{c.memory_hits} already in the process"
        )

    def _times(self) -> Iterator[str]:
        yield "Compile time"
        for stage, seconds in self._seconds().items():
            yield f"  {stage:<9}{seconds * 1e3:8.1f} ms"
        yield f"  {self._origin()}"

    def constants(self) -> list[tuple[str, str]]:
        """Values from around the function that are part of the trace: label and value."""
        if self.trace is None:
            return []
        found = [
            (c.label, repr(c.value))
            for c in self.trace.constants
            if isinstance(c.value, (*_PLAIN, list, dict, set, tuple))
        ]
        for tensor, _ in self.trace.capture.baked:
            found.append(("value of tensor", f"{tensor.aval} {tensor._hint}".rstrip()))
        return found

    def _constants(self) -> Iterator[str]:
        assert self.trace is not None
        yield "Constants baked in at capture"
        constants = self.constants()
        yield from (f"  {label} = {value[:80]}" for label, value in constants)
        if not constants:
            yield "  none"
        others = [
            c.label
            for c in self.trace.constants
            if not isinstance(c.value, (*_PLAIN, list, dict, set, tuple))
        ]
        if others:
            yield "  compared by identity: " + ", ".join(others)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, for tools and JSON."""
        if self.trace is None or self.memory is None:
            return {"name": self.name, "traces": []}
        graph, counters = self.trace.captured, self.trace.compiling
        flops, moved = self._cost()
        return {
            "name": self.name,
            "traces": [t.reason for t in self.traces],
            "signature": self.signature(),
            "captured": print_graph(graph),
            "optimised": print_graph(self.trace.graph),
            "backward": print_graph(backward_part(graph)),
            "kernels": [_kernel_dict(k) for k in self.kernels],
            "flops": flops,
            "bytes": moved,
            "memory": self.memory.to_dict(),
            "seconds": self._seconds(),
            "cache": {
                "compiled": counters.compiles,
                "disk": counters.disk_hits,
                "memory": counters.memory_hits,
            },
            "constants": dict(self.constants()),
        }


def _kernel_dict(kernel: Kernel) -> dict[str, Any]:
    names = ("number", "name", "source", "nbytes", "flops", "threads", "host", "times")
    return {n: getattr(kernel, n) for n in names} | {
        "reasons": list(kernel.reasons),
        "lines": list(kernel.lines),
        "arguments": [str(a) for a in kernel.arguments],
    }


def _kernel_line(kernel: Kernel) -> str:
    kind = "HOST (NumPy)" if kernel.host else _plural(kernel.threads, "thread")
    kind += f", {kernel.times} times" if kernel.times > 1 else ""
    return (
        f"{kernel.number}. {kernel.name}: {human_count(kernel.flops, 'FLOP')}, "
        f"{human_bytes(kernel.nbytes)}, {kind}"
    )


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _indent(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()]


def _three_parts(eqns: Sequence[Eqn]) -> list[tuple[str, list[Eqn]]]:
    """Forward, backward, and what follows the last backward equation."""
    last = max((k for k, e in enumerate(eqns) if e.backward), default=len(eqns))
    return [
        ("forward", [e for e in eqns[:last] if not e.backward]),
        ("backward", [e for e in eqns if e.backward]),
        ("update", list(eqns[last + 1 :])),
    ]


def cache_info(traces: Sequence[Trace]) -> StepCacheInfo:
    """Counts over the traces of one function, and the state of the disk cache."""
    made = [t.compiling for t in traces]
    return StepCacheInfo(
        len(traces),
        sum(t.program.calls for t in traces),
        sum(not x.loops for t in traces for x in t.program.launches),
        sum(c.compiles for c in made),
        sum(c.disk_hits for c in made),
        sum(c.memory_hits for c in made),
        cache.current().info(),
    )


# --- what happens at every trace ----------------------------------------------------------------
def on_trace(trace: Trace) -> None:
    """Print what ``FUSEGRAD_DEBUG`` asks for and write the folder of ``FUSEGRAD_DUMP``."""
    name = getattr(trace.function, "__name__", "step")
    if config.DEBUG.get():
        text = "\n".join(_debug_lines(Report(name, [trace]), trace))
        if text:
            sys.stderr.write("\n".join(f"fusegrad: {line}" for line in text.splitlines()) + "\n")
    folder = config.DUMP.get()
    if folder:
        dump_trace(trace, next_folder(folder, name), str(Report(name, [trace])))


def _debug_lines(report: Report, trace: Trace) -> Iterator[str]:
    if config.debug("trace"):
        yield f"traced {report.name}({', '.join(report.signature())}): {trace.reason}"
    if config.debug("ir"):
        yield "captured " + str(trace.captured)
        yield "optimised " + str(trace.graph)
    if config.debug("fusion"):
        yield from report._kernels()
    if config.debug("kernels"):
        yield from (k.source for k in report.kernels)
    if config.debug("cache"):
        yield f"{report.name} {report._origin()}"
    if config.debug("time"):
        yield f"{report.name} times: " + ", ".join(
            f"{k} {v * 1e3:.1f} ms" for k, v in report._seconds().items()
        )


hooks.append(on_trace)
