"""The text of a scatter: writes at positions that an index array holds.

In: a ``Scatter``. Out: a ``Generated`` kernel. Each thread owns a part of the result and passes
over all values whose place may lie in it, in order: no atomic operations, and the same sums at any
number of threads. It owns rows of the first axis where positions leave that axis alone, else a
range of positions.
"""

from __future__ import annotations

from ..schedule.kernels import Scatter
from ..schedule.loops import Scalar
from .kernel import KernelSource
from .lines import Line
from .source import Body, Generated, Signature, Writer, fetched, store_value


def generate_scatter(job: Scatter, label: str, parts: int) -> Generated:
    """Print the kernel of one scatter."""
    return _Printer(job, label, parts).run()


class _Printer:
    def __init__(self, job: Scatter, label: str, parts: int) -> None:
        self.job = job
        self.label = label
        self.rank = job.nest.split  # axes of the result come first, those of the values follow
        self.owned = job.axis if job.axis == 0 or job.nest.extents[0] < parts else 0
        self.parts = max(1, min(parts, job.nest.extents[self.owned]))
        self.signature = Signature()
        self.signature.buffer(job.out)
        self.body = Body(job.nest, self.signature)
        self.writer = Writer()

    def run(self) -> Generated:
        n = self.body.extent(self.owned)
        self.writer.put(1, f"lo = {n} * thread // threads")
        self.writer.put(1, f"hi = {n} * (thread + 1) // threads")
        if not self.job.ready:
            self._start()
        self._values()
        params, arguments = self.signature.finish()
        head = f"def {self.label}({', '.join([*[n for n, _ in params], 'thread', 'threads'])}):"
        about = [
            f"    # {name}: {b.hint or b.name} {b.dtype.short}{list(b.shape)}"
            for b, name in self.signature.buffers.items()
        ]
        plain, annotated = self.body.constant_lines()
        text = "\n".join([head, *plain, *self.writer.plain]) + "\n"
        shown = "\n".join([head, *about, *annotated, *self.writer.shown]) + "\n"
        return Generated(KernelSource(self.label, text, params), shown, arguments, self.parts)

    def _start(self) -> None:
        """The whole result before anything is written into it."""
        store, depth = self.job.nest.stores[0], 1
        for axis in range(self.rank):
            bounds = "lo, hi" if axis == self.owned else self.body.extent(axis)
            self.writer.put(depth, f"for i{axis} in range({bounds}):")
            depth += 1
        scope: dict[Scalar, str] = {}
        lines: list[Line] = []
        name = self.body.emit(store.value, scope, lines)
        self.body.store(store, name, scope, lines)
        self._put(depth, lines)

    def _values(self) -> None:
        """Every value to its place, if this thread owns the place."""
        job, store = self.job, self.job.nest.stores[1]
        scope: dict[Scalar, str] = {}
        depth = self._loops(1, range(self.rank, self.rank + job.depth))
        lines: list[Line] = []
        position = self.body.emit(job.position, scope, lines)
        self._put(depth, lines)
        low, high = ("lo", "hi") if self.owned == job.axis else ("0", self.body.extent(job.axis))
        self.writer.put(depth, f"if ({position} >= {low}) & ({position} < {high}):")
        depth = self._loops(depth + 1, range(self.rank + job.depth, len(job.nest.extents)))
        lines = []
        value = self.body.emit(store.value, scope, lines)
        dtype = store.buffer.dtype
        place = f"{self.signature.buffer(store.buffer)}[{self.body.index(store.index, scope)}]"
        combined = job.combine.format(fetched(place, dtype), value)
        lines.append(Line(f"{place} = {store_value(combined, dtype)}", access=store))
        self._put(depth, lines)

    def _loops(self, depth: int, axes: range) -> int:
        for axis in axes:
            bounds = self.body.extent(axis)
            if axis == self.rank and self.owned != self.job.axis:
                bounds = f"lo, min(hi, {bounds})"  # values may have fewer rows than the result
            self.writer.put(depth, f"for i{axis} in range({bounds}):")
            depth += 1
        return depth

    def _put(self, depth: int, lines: list[Line]) -> None:
        for line in lines:
            self.writer.put(depth, line.text, line.eqn)
