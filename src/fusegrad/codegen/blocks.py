"""Blocks of short rows: phases run over many rows at a time, vectorised across them.

Where rows are short and their own values costly (a logistic loss over 64 features, a softmax over
ten classes), each phase of a row becomes a loop over a block of rows. Values that cross phases wait
in buffers of the block; very short rows are transposed through tiles, so that the loads of
neighbouring rows are neighbours in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..dtypes import DType
from ..schedule.index import Ix
from ..schedule.loops import Scalar
from .lines import Line, Segment, link, slots
from .source import fetched, store_value
from .tail import Accumulators

ROWS = 64  # rows of a block
SHORT = 32  # inner extents up to this are walked across rows
ROW_COST = 8.0
# Buffers of equal size must not start at addresses that share the sets of the first-level cache.
STAGGER = 17 * 64


@dataclass
class Phase:
    """A part of the work on a row: lines at row level, or one stage along the inner axes."""

    lines: list[Line]
    inner: bool
    reduces: list[tuple[Scalar, str]] = field(default_factory=list)
    streams: list[tuple[str, str]] = field(default_factory=list)  # (target text, scratch name)


@dataclass
class Tiles:
    """Copies between memory and transposed tiles: once a kernel, before and after each block."""

    once: list[str] = field(default_factory=list)
    filled: list[str] = field(default_factory=list)
    emptied: list[str] = field(default_factory=list)


class RowBlocks(Accumulators):
    """The part of a nest printer that walks rows in blocks."""

    strips: int

    def _bounds(self, axis: int) -> str:
        return "lo, hi" if axis == 0 else self.body.extent(axis)

    def _buffers(self, slot: dict[str, tuple[int, DType]], width: int) -> dict[int, str]:
        names: dict[int, str] = {}
        for number, dtype in dict(slot.values()).items():
            name = names[number] = f"b{self.strips + number}"
            self.signature.scratch(name, dtype, width * dtype.itemsize * self.parts + STAGGER)
        self.strips += len(names)
        return names

    def loop(
        self,
        depth: int,
        axis: int,
        lines: Sequence[Line],
        streams: Sequence[tuple[str, str]] = (),
        ahead: Sequence[tuple[str, int]] = (),
    ) -> None:
        """A loop over one axis; printed by the nest printer."""
        raise AssertionError("a nest printer defines its loops")

    def _row_blocks(self, depth: int, phases: Sequence[Phase], tiles: Tiles) -> None:
        axis, w = self.split - 1, self.writer
        short = self.nest.extents[self.inner[0]] <= SHORT
        rows = f"j{axis}, e{axis}"
        bounds = self._bounds(axis)
        low, high = bounds.split(", ") if "," in bounds else ("0", bounds)
        w.put(depth, f"for j{axis} in range({low}, {high}, {ROWS}):")
        w.put(depth + 1, f"e{axis} = min(j{axis} + {ROWS}, {high})")
        w.put(depth + 1, f"q{axis} = thread * {ROWS} - j{axis}")
        self._copy_tiles(depth + 1, tiles.filled, rows)
        segments = self._linked(phases)
        slot = slots(segments)
        names = self._buffers(slot, ROWS)
        for phase, segment in zip(phases, segments, strict=True):
            self._block_phase(depth + 1, phase, segment, slot, names, short)
        self._copy_tiles(depth + 1, tiles.emptied, rows)

    def _tiles(self, phases: Sequence[Phase]) -> Tiles:
        """Short rows transposed: strided loads and stores go through a tile of the block.

        Rewrites the lines that access memory and returns the statements that fill the tiles and
        empty them. A tile that no other outer axis changes is filled once.
        """
        axis, inner = self.split - 1, self.inner[0]
        place = f"[(thread * {SHORT} + i{inner}) * {ROWS} + i{axis} - j{axis}]"
        fixed = f"[(thread * {SHORT} + i{inner}) * {ROWS} + i{axis}]"
        found: dict[object, list[tuple[Line, bool]]] = {}
        for phase in phases:
            costly = any(line.cost >= ROW_COST for line in phase.lines)
            for line in phase.lines if phase.inner else ():
                access = line.access
                if access is None or not self._strided(access.index, axis, inner):
                    continue
                load = isinstance(access, Scalar)
                if not (load and access.guard is not None):
                    key = (load, access.buffer, access.index.key)
                    found.setdefault(key, []).append((line, costly))
        tiles = Tiles()
        for number, lines in enumerate(found.values()):
            access = lines[0][0].access
            walked: set[int] = access.index.axes()
            once = (
                isinstance(access, Scalar)
                and 0 < axis == min(walked)
                and self.nest.extents[axis] <= ROWS
            )
            if len(lines) < 2 and not lines[0][1] and not once:
                continue  # one cheap pass: gathering costs no more than filling a tile
            dtype = access.buffer.dtype
            tile = self.signature.scratch(
                f"g{number}", dtype, SHORT * ROWS * dtype.itemsize * self.parts
            )
            tile += fixed if once else place
            memory = self.signature.buffer(access.buffer)
            memory = f"{memory}[{self.body.index(access.index, {})}]"
            if isinstance(access, Scalar):
                (tiles.once if once else tiles.filled).append(f"{tile} = {memory}")
                for line, _ in lines:
                    line.text = f"{line.name} = {fetched(tile, dtype)}"
            else:
                tiles.emptied.append(f"{memory} = {tile}")
                for line, _ in lines:
                    line.text = f"{tile} = {line.text.partition(' = ')[2]}"
        return tiles

    def _strided(self, index: Ix, axis: int, inner: int) -> bool:
        """Whether neighbouring rows are apart in memory and the inner axis is walked."""
        plain = all(isinstance(k, int) for k in index.terms)
        return plain and index.terms.get(axis, 0) not in (0, 1) and inner in index.terms

    def _copy_tiles(self, depth: int, statements: Sequence[str], rows: str) -> None:
        if statements:
            axis, inner, w = self.split - 1, self.inner[0], self.writer
            w.put(depth, f"for i{axis} in range({rows}):")
            w.put(depth + 1, f"for i{inner} in range({self.body.extent(inner)}):")
            for text in statements:
                w.put(depth + 2, text)

    def _linked(self, phases: Sequence[Phase]) -> list[Segment]:
        """Phases as segments, so that values crossing them get buffers; reductions are values."""
        segments = []
        for phase in phases:
            results = [
                Line(f"{name} = {r.identity}", r.eqn, name, r.dtype) for r, name in phase.reduces
            ]
            lines = phase.lines
            if phase.inner:  # values along the inner axis never leave their phase
                lines = [Line(x.text, x.eqn) for x in lines]
                for line, original in zip(lines, phase.lines, strict=True):
                    line.uses = original.uses
            segments.append(Segment([*results, *lines]))
        return link(segments)

    def _block_phase(
        self,
        depth: int,
        phase: Phase,
        segment: Segment,
        slot: dict[str, tuple[int, DType]],
        names: dict[int, str],
        short: bool,
    ) -> None:
        axis, w = self.split - 1, self.writer
        rows = f"for i{axis} in range(j{axis}, e{axis}):"

        def at(name: str) -> str:
            return f"{names[slot[name][0]]}[q{axis} + i{axis}]"

        fetch = [Line(f"{x.name} = {fetched(at(x.name), x.dtype)}") for x in segment.fetch]
        own = {name for _, name in phase.reduces}
        head = [
            x for x in segment.lines[: len(segment.lines) - len(phase.lines)] if x.name not in own
        ]  # repeated loads
        keep = [
            Line(f"{at(x.name)} = {store_value(x.name, x.dtype)}")  # type: ignore[arg-type]
            for x in segment.keep
        ]
        start = [Line(f"{name} = {r.identity}", r.eqn) for r, name in phase.reduces]
        if not phase.inner:
            if not keep and all(line.reload for line in phase.lines):
                return  # only loads, which every phase repeats for itself
            w.put(depth, rows)
            self.put(depth + 1, [*fetch, *head, *phase.lines, *keep])
            return
        inner = self.inner[0]
        if not short:
            w.put(depth, rows)
            self.put(depth + 1, [*fetch, *head, *start])
            self.loop(depth + 1, inner, phase.lines)
            self.put(depth + 1, keep)
            return
        resume = [Line(f"{x.name} = {fetched(at(x.name), x.dtype)}") for x in segment.keep]
        if keep:
            w.put(depth, rows)
            self.put(depth + 1, [*start, *keep])
        w.put(depth, f"for i{inner} in range({self.body.extent(inner)}):")
        w.put(depth + 1, rows)
        self.put(depth + 2, [*fetch, *head, *resume, *phase.lines, *keep])
