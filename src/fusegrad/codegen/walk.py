"""The text of a scan or a sort: one pass along an axis for each line of elements.

In: a ``Walk``. Out: a ``Generated`` kernel. Lines are split among threads. A scan along another
axis than the last takes BLOCK neighbouring lines at once, so that its inner loop is a vector loop.
A sort copies a line, sorts short runs by insertion and merges them bottom-up, always stable.
"""

from __future__ import annotations

import math

from ..dtypes import bool_, float64, int64
from ..schedule.kernels import Walk
from .kernel import KernelSource
from .source import Generated, Signature, Writer, fetched

BLOCK = 256
RUN = 16


def generate_walk(job: Walk, label: str, parts: int) -> Generated:
    """Print the kernel of one scan or sort."""
    return _Printer(job, label, parts).run()


class _Printer:
    def __init__(self, job: Walk, label: str, parts: int) -> None:
        self.job = job
        self.label = label
        self.record = job.eqn.primitive
        self.shape = job.eqn.inputs[0].aval.shape
        last = len(self.shape) - 1
        wide = self.record.kind == "scan" and job.axis != last and self.shape[last] > 1
        self.inner = last if wide else -1  # the axis of neighbouring lines
        self.rows = [k for k in range(len(self.shape)) if k not in (job.axis, self.inner)]
        self.length = self.shape[job.axis]
        lines = math.prod(self.shape[k] for k in self.rows)
        self.blocks = -(-self.shape[last] // BLOCK) if wide else 1
        self.parts = max(1, min(parts, lines * self.blocks))
        self.lines = lines
        self.signature = Signature()
        self.writer = Writer()
        strides = [1] * len(self.shape)
        for k in range(len(self.shape) - 2, -1, -1):
            strides[k] = strides[k + 1] * self.shape[k + 1]
        self.places = [
            (self.signature.buffer(b), o, s) for b, o, s in [(job.out, 0, strides), *job.operands]
        ]
        operand = job.eqn.inputs[0].aval.dtype
        self.key = operand
        self.state = float64 if operand.is_floating_point else operand

    def run(self) -> Generated:
        items = self.signature.named("items", self.lines * self.blocks)
        self.signature.named("length", self.length)
        self._put(1, f"lo = {items} * thread // threads")
        self._put(1, f"hi = {items} * (thread + 1) // threads")
        self._scratch()
        self._put(1, "for item in range(lo, hi):")
        self._line()
        if self.record.kind == "sort":
            self._sort()
        elif self.inner >= 0:
            self._scan_block()
        else:
            self._scan_line()
        params, arguments = self.signature.finish()
        head = f"def {self.label}({', '.join([*[n for n, _ in params], 'thread', 'threads'])}):"
        about = [
            f"    # {name}: {b.hint or b.name} {b.dtype.short}{list(b.shape)}"
            for b, name in self.signature.buffers.items()
        ]
        text = "\n".join([head, *self.writer.plain]) + "\n"
        shown = "\n".join([head, *about, *self.writer.shown]) + "\n"
        return Generated(KernelSource(self.label, text, params), shown, arguments, self.parts)

    def _put(self, depth: int, text: str) -> None:
        self.writer.put(depth, text, self.job.eqn if depth > 2 else None)

    def _scratch(self) -> None:
        size, name = 1, self.signature.scratch
        if self.record.kind == "sort":
            size = 2 * self.length
            name("keys", self.key, size * self.parts * self.key.itemsize)
            name("order", int64, size * self.parts * 8)
            self._put(1, "mine = thread * (length + length)")
        elif self.inner >= 0:
            size = BLOCK * self.parts
            name("state", self.state, size * self.state.itemsize)
            if not self.record.combine:
                name("best", int64, size * 8)
            self._put(1, f"mine = thread * {BLOCK}")

    # --- places -----------------------------------------------------------------------------------
    def _line(self) -> None:
        """Where the line ``item`` begins in each operand."""
        self._put(2, "rest = item")
        if self.inner >= 0:
            count = self.signature.named("width", self.shape[self.inner])
            blocks = self.signature.named("blocks", self.blocks)
            self._put(2, f"begin = (item % {blocks}) * {BLOCK}")
            self._put(2, f"end = min(begin + {BLOCK}, {count})")
            self._put(2, f"rest = item // {blocks}")
        for p, (_, offset, _) in enumerate(self.places):
            self._put(2, f"o{p} = {self._number(('offset', p), offset)}")
        for k in reversed(self.rows):
            if self.shape[k] == 1:
                continue
            extent = self.signature.integer(("extent", k), self.shape[k], "n")
            for p, (_, _, strides) in enumerate(self.places):
                step = self._number((p, k), strides[k])
                self._put(2, f"o{p} = o{p} + rest % {extent} * {step}")
            self._put(2, f"rest = rest // {extent}")

    def _number(self, key: object, value: int) -> str:
        """Zeros and ones are part of the text: loops over neighbours become vector loops."""
        return str(value) if value in (0, 1) else self.signature.integer(key, value)

    def _at(self, p: int, position: str) -> str:
        name, _, strides = self.places[p]
        at = f"o{p} + {position} * {self._number((p, self.job.axis), strides[self.job.axis])}"
        if self.inner >= 0:
            at = f"{at} + i * {self._number((p, self.inner), strides[self.inner])}"
        return f"{name}[{at}]"

    # --- scans ------------------------------------------------------------------------------------
    def _scan_line(self) -> None:
        k = self._position()
        combine = self.record.combine
        dtype = self.job.out.dtype.name
        if not combine:
            self._put(2, f"state = {self._at(1, '0')}")
            self._put(2, "best = int64(0)")
        else:
            self._put(2, f"state = {self.state.name}(0)")
        self._put(2, "for step in range(length):")
        if combine:
            values = [self._value(p, k) for p in range(1, len(self.places))]
            self._put(3, "if step == 0:")
            self._put(4, f"state = {self.record.identity.format('', *values)}")
            self._put(3, "else:")
            following = self.record.combine.format("state", *values)
            self._put(4, f"state = {self.state.name}({following})")
            self._put(3, f"{self._at(0, k)} = {dtype}(state)")
            return
        self._put(3, f"value = {self._at(1, k)}")
        self._put(3, f"if {self.record.scalar.format('state', 'value')}:")
        self._put(4, "state = value")
        self._put(4, f"best = {k}")
        self._put(3, f"{self._at(0, k)} = best")

    def _scan_block(self) -> None:
        k = self._position()
        dtype = self.job.out.dtype.name
        state, best = "state[mine + i - begin]", "best[mine + i - begin]"
        combine = self.record.combine
        self._put(2, "for step in range(length):")
        self._put(3, "if step == 0:")
        self._put(4, "for i in range(begin, end):")
        values = [self._value(p, k) for p in range(1, len(self.places))]
        first = self.record.identity.format("", *values) if combine else values[0]
        self._put(5, f"first = {first}")
        self._put(5, f"{state} = first")
        if not combine:
            self._put(5, f"{best} = 0")
        self._put(5, f"{self._at(0, k)} = {f'{dtype}(first)' if combine else 'int64(0)'}")
        self._put(3, "else:")
        self._put(4, "for i in range(begin, end):")
        if combine:
            following = combine.format(state, *values)
            self._put(5, f"following = {self.state.name}({following})")
            self._put(5, f"{state} = following")
            self._put(5, f"{self._at(0, k)} = {dtype}(following)")
            return
        self._put(5, f"value = {values[0]}")
        self._put(5, f"if {self.record.scalar.format(state, 'value')}:")
        self._put(6, f"{state} = value")
        self._put(6, f"{best} = {k}")
        self._put(5, f"{self._at(0, k)} = {best}")

    def _position(self) -> str:
        return "(length - 1 - step)" if self.job.eqn.params.get("reverse") else "step"

    def _value(self, p: int, position: str) -> str:
        return f"{self.state.name}({self._at(p, position)})"

    # --- sorts ------------------------------------------------------------------------------------
    def _sort(self) -> None:
        """Insertion into runs, then merges between the two halves of the scratch memory."""
        before = self.record.scalar((), None, self.job.eqn.params)
        key = "uint8" if self.key is bool_ else self.key.name
        sooner = before.format("value", f"{key}(keys[mine + at - 1])")
        put = self._put
        put(2, f"for start in range(0, length, {RUN}):")
        put(3, f"for k in range(start, min(start + {RUN}, length)):")
        put(4, f"value = {key}({fetched(self._at(1, 'k'), None)})")
        put(4, "at = k")
        put(4, f"while (at > start) and ({sooner}):")
        put(5, "keys[mine + at] = keys[mine + at - 1]")
        put(5, "order[mine + at] = order[mine + at - 1]")
        put(5, "at = at - 1")
        put(4, "keys[mine + at] = value")
        put(4, "order[mine + at] = k")
        put(2, "source = mine")
        put(2, "target = mine + length")
        put(2, f"width = {RUN}")
        put(2, "while width < length:")
        put(3, "start = 0")
        put(3, "while start < length:")
        put(4, "left = start")
        put(4, "middle = min(start + width, length)")
        put(4, "right = middle")
        put(4, "stop = min(middle + width, length)")
        put(4, "for k in range(start, stop):")
        put(5, "taken = left")
        put(5, "if left >= middle:")
        put(6, "taken = right")
        put(5, "elif right < stop:")
        put(6, f"a = {key}(keys[source + right])")
        put(6, f"b = {key}(keys[source + left])")
        put(6, f"if {before.format('a', 'b')}:")
        put(7, "taken = right")
        put(5, "if taken < middle:")
        put(6, "left = left + 1")
        put(5, "else:")
        put(6, "right = right + 1")
        put(5, "keys[target + k] = keys[source + taken]")
        put(5, "order[target + k] = order[source + taken]")
        put(4, "start = stop")
        put(3, "source, target = target, source")
        put(3, "width = width + width")
        put(2, "for k in range(length):")
        put(3, f"{self._at(0, 'k')} = order[source + k]")
