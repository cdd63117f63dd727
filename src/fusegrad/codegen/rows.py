"""Walks along rows: strips of long bodies, fetching ahead, and rows that overlap.

A row that is read from memory, reduced and written back spends its time by turns on memory and on
arithmetic. Two remedies are printed here: the row after this one is fetched while this one is
computed, and where results are streamed to memory, the last walk of a row waits until the next row
is computed and runs beside it, a strip of one and a strip of the other by turns::

    for i0 in range(lo, hi):
        ...                            # the maximum of row i0
        for j1 in range(0, n1, 128):
            if i0 > lo:
                ...                    # results of row r0 = i0 - 1
            for i1 in range(j1, e1):
                ...                    # exponentials of row i0 and their sum
        u0 = v17                       # what the results of this row need later
    ...                                # results of the last row
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace

from ..dtypes import DType, bool_
from ..schedule.loops import Scalar, Store
from .blocks import Phase, RowBlocks
from .lines import Line, Segment, cut, slots
from .source import constructor, fetched, store_value
from .tail import CACHE_LINE

STRIP = 256  # elements of a strip-mined loop: its buffers stay in the first-level cache
TURN = 128  # elements of a strip of overlapping rows: short, so that neither waits for the other
STREAMED_BYTES = 24 << 20  # larger results bypass the caches: no line is read before it is written
AHEAD = 16384  # bytes; DRAM answers after some hundred nanoseconds, shorter rows are faster


class RowWalks(RowBlocks):
    """The part of a nest printer that walks along rows."""

    scalars: list[Scalar]
    streamed: int

    def _rows(self, depth: int, phases: Sequence[Phase]) -> None:
        """The phases of one row, one after the other; the busiest asks for the next row early."""
        walks = [phase for phase in phases if phase.inner]
        ahead = self._prefetches(walks) if len(walks) > 1 else []
        busiest = self._busiest(walks)
        for phase in phases:
            self._phase(depth, phase, ahead if phase is busiest else [])

    def _busiest(self, walks: Sequence[Phase]) -> Phase | None:
        return max(walks, key=lambda walk: sum(line.cost for line in walk.lines), default=None)

    def _phase(
        self,
        depth: int,
        phase: Phase,
        ahead: Sequence[tuple[str, int]] = (),
        late: Phase | None = None,
    ) -> None:
        """One phase, beside a phase of the row before."""
        for scalar, name in phase.reduces:
            self.writer.put(depth, f"{name} = {scalar.identity}", scalar.eqn)
        if phase.inner:
            self._inner_loops(depth, phase.lines, phase.streams, ahead, late)
        else:
            self.put(depth, phase.lines)

    # --- results past the caches ------------------------------------------------------------------
    def _streams(self, store: Store, axis: int) -> bool:
        """Whether a result is so large that it should not pass through the caches."""
        size = math.prod(store.buffer.shape) * store.buffer.dtype.itemsize
        return (
            size >= STREAMED_BYTES
            and store.index.terms.get(axis) == 1
            and not self._hot(store)
            and self.nest.extents[axis] >= STRIP
        )

    def _stream(
        self, store: Store, name: str, axis: int, scope: dict[Scalar, str], lines: list[Line]
    ) -> tuple[str, str]:
        """Store into a strip of scratch; the strip is streamed to memory when it is full."""
        dtype = store.buffer.dtype
        scratch = self.signature.scratch(
            f"x{self.streamed}", dtype, STRIP * dtype.itemsize * self.parts
        )
        self.streamed += 1
        lines.append(Line(f"{scratch}[q{axis} + i{axis}] = {store_value(name, dtype)}"))
        at = re.sub(rf"\bi{axis}\b", f"j{axis}", self.body.index(store.index, scope))
        return f"{self.signature.buffer(store.buffer)}, {at}", scratch

    def _hot(self, store: Store) -> bool:
        """Whether later stages load the memory this store changes: then it waits for the last."""
        return any(s.op == "load" and s.buffer is store.buffer for s in self.scalars)

    # --- overlapping rows -------------------------------------------------------------------------
    def _overlaps(self, phases: Sequence[Phase]) -> bool:
        """Whether the last walk of a row streams results and another walk can cover it."""
        walks = [phase for phase in phases if phase.inner]
        whole = self.split == 1 and len(self.inner) == 1
        return whole and len(walks) > 1 and bool(walks[-1].streams) and not walks[-1].reduces

    def _overlapped_rows(self, depth: int, phases: Sequence[Phase]) -> None:
        """Rows whose last walk runs beside the busiest walk of the next row."""
        w, row = self.writer, self.split - 1
        walks = [phase for phase in phases if phase.inner]
        ahead = self._prefetches(walks)
        carried = self._carried(phases, walks[-1])
        late = self._renamed(walks[-1], {name: f"u{k}" for k, name in enumerate(carried)})
        beside = self._busiest(walks[:-1])
        for k, dtype in enumerate(carried.values()):
            zero = "False" if dtype is bool_ else f"{constructor(dtype)}(0)"
            w.put(depth, f"u{k} = {zero}")
        w.put(depth, f"for i{row} in range({self._bounds(row)}):")
        w.put(depth + 1, f"r{row} = i{row} - 1")
        for phase in phases:
            if phase is not walks[-1]:
                covered = late if phase is beside else None
                self._phase(depth + 1, phase, ahead if phase is beside else [], covered)
        for k, name in enumerate(carried):
            w.put(depth + 1, f"u{k} = {name}")
        w.put(depth, "if hi > lo:")
        w.put(depth + 1, f"r{row} = hi - 1")
        self._phase(depth + 1, late)

    def _carried(self, phases: Sequence[Phase], late: Phase) -> dict[str, DType]:
        """Row values that a walk needs when the next row has its own."""
        made: dict[str, DType] = {}
        for phase in phases:
            made |= {name: scalar.dtype for scalar, name in phase.reduces}
            if not phase.inner:
                made |= {x.name: x.dtype for x in phase.lines if x.name and x.dtype is not None}
        used = {name for line in late.lines for name in line.uses}
        return {name: dtype for name, dtype in made.items() if name in used}

    def _renamed(self, phase: Phase, names: dict[str, str]) -> Phase:
        """A phase for the row before: other names for the row and its values."""
        row = self.split - 1
        names = {**names, f"i{row}": f"r{row}"}
        pattern = re.compile(rf"\b(?:{'|'.join(names)})\b")

        def text(before: str) -> str:
            return pattern.sub(lambda found: names[found.group()], before)

        lines = [replace(line, text=text(line.text)) for line in phase.lines]
        streams = [(text(target), scratch) for target, scratch in phase.streams]
        return Phase(lines, True, [], streams)

    def _prefetches(self, phases: Sequence[Phase]) -> list[tuple[str, int]]:
        """Statements that fetch the next row of large operands, with their elements a cache line.

        Hardware prefetching stops at the end of a page, which a row often is, and while a row is in
        cache memory would wait.
        """
        row, inner = self.split - 1, self.inner[-1]
        found: dict[object, tuple[str, int]] = {}
        for phase in phases:
            for line in phase.lines:
                load = line.access
                if not isinstance(load, Scalar) or load.buffer is None or load.index is None:
                    continue
                terms, buffer = load.index.terms, load.buffer
                size = math.prod(buffer.shape) * buffer.dtype.itemsize
                key = (buffer, load.index.key)
                plain = load.guard is None and all(isinstance(k, int) for k in terms)
                far = plain and terms.get(inner) == 1 and terms.get(row, 0) >= STRIP
                if far and size >= STREAMED_BYTES and key not in found:
                    rows = max(1, AHEAD // (terms[row] * buffer.dtype.itemsize))
                    step = self.signature.integer(("ahead", len(found)), rows * terms[row])
                    here = self.body.index(load.index, {})
                    text = f"prefetch({self.signature.buffer(buffer)}, {here} + {step})"
                    found[key] = (text, CACHE_LINE // buffer.dtype.itemsize)
        return list(found.values())

    def _inner_loops(
        self,
        depth: int,
        lines: Sequence[Line],
        streams: Sequence[tuple[str, str]] = (),
        ahead: Sequence[tuple[str, int]] = (),
        late: Phase | None = None,
    ) -> None:
        for axis in self.inner[:-1]:
            self.writer.put(depth, f"for i{axis} in range({self.body.extent(axis)}):")
            depth += 1
        if self.inner:
            self.loop(depth, self.inner[-1], lines, streams, ahead, late)
        else:
            self.put(depth, lines)

    def loop(
        self,
        depth: int,
        axis: int,
        lines: Sequence[Line],
        streams: Sequence[tuple[str, str]] = (),
        ahead: Sequence[tuple[str, int]] = (),
        late: Phase | None = None,
    ) -> None:
        """A loop over one axis; a long body is strip-mined into several loops.

        Args:
            depth: of indentation.
            axis: to walk along.
            lines: the body.
            streams: strips of results to stream to memory.
            ahead: statements that fetch the next row.
            late: the last walk of the row before, which runs beside this one, if there is a row.
        """
        segments = cut(lines)
        w = self.writer
        if len(segments) == 1 and not streams and not ahead and late is None:
            w.put(depth, f"for i{axis} in range({self._bounds(axis)}):")
            self.put(depth + 1, lines)
            return
        bounds = self._bounds(axis)
        low, high = bounds.split(", ") if "," in bounds else ("0", bounds)
        width = STRIP if late is None else TURN
        w.put(depth, f"for j{axis} in range({low}, {high}, {width}):")
        w.put(depth + 1, f"e{axis} = min(j{axis} + {width}, {high})")
        w.put(depth + 1, f"q{axis} = thread * {STRIP} - j{axis}")
        if late is not None:
            w.put(depth + 1, f"if i{self.split - 1} > lo:")
            self._strip(depth + 2, axis, cut(late.lines), late.streams)
        if ahead:
            step = min(elements for _, elements in ahead)
            w.put(depth + 1, f"for i{axis} in range(j{axis}, e{axis}, {step}):")
            for text, _ in ahead:
                w.put(depth + 2, text)
        self._strip(depth + 1, axis, segments, streams)

    def _strip(
        self,
        depth: int,
        axis: int,
        segments: Sequence[Segment],
        streams: Sequence[tuple[str, str]],
    ) -> None:
        """The loops over one strip, and its results to memory."""
        self._segments(depth, axis, f"j{axis}, e{axis}", segments, f"q{axis}", STRIP)
        for target, scratch in streams:
            copied = f"{target}, {scratch}, thread * {STRIP}, e{axis} - j{axis}"
            self.writer.put(depth, f"copy_nt({copied})")

    def _segments(
        self, depth: int, axis: int, bounds: str, segments: Sequence[Segment], base: str, width: int
    ) -> None:
        """One loop per segment, with its fetched and kept values."""
        slot = slots(segments)
        names = self._buffers(slot, width)
        for segment in segments:
            self.writer.put(depth, f"for i{axis} in range({bounds}):")
            for x in segment.fetch:
                place = f"{names[slot[x.name][0]]}[{base} + i{axis}]"
                self.writer.put(depth + 1, f"{x.name} = {fetched(place, x.dtype)}")
            self.put(depth + 1, segment.lines)
            for x in segment.keep:
                assert x.dtype is not None
                place = f"{names[slot[x.name][0]]}[{base} + i{axis}]"
                self.writer.put(depth + 1, f"{place} = {store_value(x.name, x.dtype)}")
