"""The printer of loop nests: rows, stages, partial results and the tail.

In: an arranged ``LoopNest``. Out: a ``Generated`` kernel. A nest is printed as *phases* over its
rows: row-level values, then one walk along the inner axes per stage. Where rows are short and their
own values expensive, phases run over a block of rows at a time, so that those values are vectorised
across rows; where the inner axis is very short, it becomes the outer loop of the block.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..dtypes import DType
from ..schedule.loops import CONST, FULL, ROW, TAIL, LoopNest, Scalar, Store
from .blocks import ROW_COST, SHORT, Phase, Tiles
from .kernel import KernelSource
from .lines import Line
from .rows import RowWalks
from .source import Body, Generated, Signature, Writer, fetched, store_value
from .tail import CACHE_LINE

LANES = 16  # elements of the widest vector
BLOCKED = 128  # inner extents up to this may be walked in blocks of rows
SAVED_ELEMENTS = 1 << 17  # longer rows do not stay in the second-level cache


def generate(nest: LoopNest, label: str, parts: int) -> Generated:
    """Print an arranged nest; ``parts`` is the number of pieces its first axis may be cut into."""
    return _Printer(nest, label, parts).run()


class _Printer(RowWalks):
    def __init__(self, nest: LoopNest, label: str, parts: int) -> None:
        self.nest = nest
        self.label = label
        self.signature = Signature()
        self.body = Body(nest, self.signature)
        self.writer = Writer()
        self.split = nest.split
        first = nest.extents[0] if nest.split > 0 else 1
        self.parts = max(1, min(parts, first)) if first else 1
        self.const_scope: dict[Scalar, str] = {}
        self.inner = list(range(nest.split, len(nest.extents)))
        self.acc_names: dict[Scalar, str] = {}
        self.scalars = nest.scalars()
        self.main = self._main()
        self.blocked = self._is_blocked()
        self.saved = {} if self.blocked else self._saved_values()
        self.strips = 0
        self.streamed = 0

    def run(self) -> Generated:
        for store in self.nest.stores:
            self.signature.buffer(store.buffer)
        self._kernel()
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

    def _main(self) -> set[Scalar]:
        """Scalars needed before the tail."""
        found: set[Scalar] = set()
        stack = [st.value for st in self.nest.stores if st.value.level != TAIL]
        stack += [
            d
            for st in self.nest.stores
            if st.value.level != TAIL
            for d in st.index.terms
            if isinstance(d, Scalar)
        ]
        stack += [a for acc in self.nest.accs for a in acc.args]
        while stack:
            scalar = stack.pop()
            if scalar not in found:
                found.add(scalar)
                stack.extend(scalar.depends())
        return found

    # --- structure --------------------------------------------------------------------------------
    def _kernel(self) -> None:
        w, nest = self.writer, self.nest
        hoisted: list[Line] = []
        for s in self.scalars:
            if s.level == CONST and s.op in ("load", "apply", "index"):
                self.body.emit(s, self.const_scope, hoisted)
        self.put(1, hoisted)
        if nest.split:
            w.put(1, f"lo = {self.body.extent(0)} * thread // threads")
            w.put(1, f"hi = {self.body.extent(0)} * (thread + 1) // threads")
        self._allocate_accs()
        if nest.kept <= 0:
            self._clear_accs(1)
        phases = self._phases()
        short = self.blocked and self.nest.extents[self.inner[0]] <= SHORT
        tiles = self._tiles(phases) if short else Tiles()
        self._copy_tiles(1, tiles.once, f"0, {self.body.extent(self.split - 1)}" if short else "")
        depth = 1
        for axis in range(nest.split - 1):
            if axis == nest.kept and nest.kept > 0:
                self._clear_accs(depth)
            w.put(depth, f"for i{axis} in range({self._bounds(axis)}):")
            depth += 1
        if nest.kept > 0 and nest.kept == nest.split - 1:
            self._clear_accs(depth)
        if nest.split == 0:
            self._rows(depth, phases)
        elif self.blocked:
            self._row_blocks(depth, phases, tiles)
        elif not self.inner and len(phases) == 1:
            self.loop(depth, nest.split - 1, phases[0].lines, phases[0].streams)
        elif self._overlaps(phases):
            self._overlapped_rows(depth, phases)
        else:
            axis = nest.split - 1
            w.put(depth, f"for i{axis} in range({self._bounds(axis)}):")
            self._rows(depth + 1, phases)
        if any(phase.streams for phase in phases):
            w.put(1, "stream_fence()")
        if nest.accs:
            self._tail(1 + max(nest.kept, 0))

    # --- phases -----------------------------------------------------------------------------------
    def _phases(self) -> list[Phase]:
        """Row values and stages in order; names are shared between them."""
        nest, row_scope = self.nest, dict(self.const_scope)
        reduces = [s for s in self.scalars if s.op == "reduce" and s in self.main]
        phases: list[Phase] = []
        for stage in range(nest.stages):
            lines: list[Line] = []
            for s in self.scalars:
                if s.level == ROW and s.ready == stage and s.op != "reduce" and s in self.main:
                    self.body.emit(s, row_scope, lines)
            if lines:
                phases.append(Phase(lines, False))
            due = [r for r in reduces if r.ready == stage + 1]
            phase = self._stage(stage, row_scope, due)
            if phase.lines:
                phases.append(phase)
        streams: list[tuple[str, str]] = []
        last = self._last(row_scope, streams)
        if last:
            if phases and not phases[-1].inner:
                phases[-1].lines += last
            else:
                phases.append(Phase(last, False))
            phases[-1].streams += streams
        return phases

    def _last(self, row_scope: dict[Scalar, str], streams: list[tuple[str, str]]) -> list[Line]:
        """Row values that wait for the last stage, stores of rows, sums over rows."""
        last: list[Line] = []
        for s in self.scalars:
            if s.level == ROW and s.op != "reduce" and s in self.main:
                self.body.emit(s, row_scope, last)
        stores = [
            st
            for st in self.nest.stores
            if st.value.level in (ROW, CONST) and not self._walks_inner(st)
        ]
        named = [(st, self.body.emit(st.value, row_scope, last)) for st in stores]
        for acc in self.nest.accs:
            if acc.args[0].level != FULL:
                name = self.body.emit(acc.args[0], row_scope, last)
                last.append(Line(self._add(acc, name), acc.eqn))
        axis = self.split - 1
        for store, name in named:
            if not self.inner and self._streams(store, axis):
                streams.append(self._stream(store, name, axis, row_scope, last))
            else:
                self.body.store(store, name, row_scope, last)
        return last

    def _stage(self, stage: int, row_scope: dict[Scalar, str], due: Sequence[Scalar]) -> Phase:
        """One walk along the inner axes: loads, values, reductions, stores."""
        nest = self.nest
        scope, lines = dict(row_scope), []  # type: ignore[var-annotated]
        for s, (kept, _) in self.saved.items():
            if kept < stage and self._stage_needs(stage, s):
                scope[s] = self.body.fresh()
                lines.append(
                    Line(
                        f"{scope[s]} = {fetched(self._saved_place(s), s.dtype)}",
                        name=scope[s],
                        dtype=s.dtype,
                        cost=0.5,
                    )
                )
        named: list[tuple[Scalar, str]] = []
        for r in due:
            row_scope[r] = self.body.fresh()
            named.append((r, row_scope[r]))
        for r, mine in named:
            value = self.body.emit(r.args[0], scope, lines)
            lines.append(Line(f"{mine} = {r.text.format(mine, value)}", r.eqn))
        for acc in nest.accs:
            if acc.args[0].level == FULL and acc.args[0].ready == stage:
                value = self.body.emit(acc.args[0], scope, lines)
                place = self._acc_place(acc)
                combined = acc.text.format(fetched(place, acc.dtype), value)
                lines.append(Line(f"{place} = {store_value(combined, acc.dtype)}", acc.eqn))
        pending = [
            (store, self.body.emit(store.value, scope, lines))
            for store in self._stage_stores(stage)
        ]
        for s, (kept, _) in self.saved.items():
            if kept == stage:
                lines.append(Line(f"{self._saved_place(s)} = {store_value(scope[s], s.dtype)}"))
        streams = []
        for store, name in pending:
            if not self.blocked and self._streams(store, self.inner[-1]):
                streams.append(self._stream(store, name, self.inner[-1], scope, lines))
            else:
                self.body.store(store, name, scope, lines)
        return Phase(lines, True, named, streams)

    def _stage_needs(self, stage: int, wanted: Scalar) -> bool:
        stack, seen = self._stage_roots(stage), set()
        while stack:
            s = stack.pop()
            if s is wanted:
                return True
            if s not in seen and s.level == FULL:
                seen.add(s)
                if not (s in self.saved and self.saved[s][0] < stage):
                    stack.extend(s.depends())
        return False

    # --- blocks of rows ---------------------------------------------------------------------------
    def _is_blocked(self) -> bool:
        """Whether rows are short enough, and costly enough, to be walked in blocks."""
        if len(self.inner) != 1 or not self.split:
            return False
        extent = self.nest.extents[self.inner[0]]
        plain = not self.nest.accs and self.nest.stages == 1
        if plain and self.body.windowed and extent * 2 >= LANES:
            return False  # rows that are shuffled beat columns that are gathered
        cost = sum(
            s.eqn.primitive.cost
            for s in self.main
            if s.level == ROW and s.op == "apply" and s.eqn is not None
        )
        if plain and extent >= LANES and cost < ROW_COST:
            return False  # long enough for vectors, and nothing to gain across rows
        return extent <= SHORT or (extent <= BLOCKED and cost >= ROW_COST)

    def _saved_values(self) -> dict[Scalar, tuple[int, str]]:
        """Costly values that several stages need: the stage that keeps them, and in which buffer.

        An exponential that a softmax sums in one stage and scales in the next is computed once; the
        row of them stays in the second-level cache.
        """
        size = math.prod(self.nest.extents[a] for a in self.inner)
        if self.nest.stages < 2 or not self.inner or size > SAVED_ELEMENTS:
            return {}
        first: dict[Scalar, int] = {}
        again: dict[Scalar, None] = {}
        for stage in range(self.nest.stages):
            stack = self._stage_roots(stage)
            seen: set[Scalar] = set()
            while stack:
                s = stack.pop()
                if s in seen or s.level != FULL:
                    continue
                seen.add(s)
                costly = s.op == "apply" and s.eqn is not None and s.eqn.primitive.cost >= 8
                if costly and first.setdefault(s, stage) != stage:
                    again[s] = None
                    continue  # found again: what it is made of is not needed for it
                stack.extend(s.depends())
        saved: dict[Scalar, tuple[int, str]] = {}
        for k, s in enumerate(again):
            self.signature.scratch(f"h{k}", s.dtype, self._row_bytes(s.dtype) * self.parts)
            saved[s] = (first[s], f"h{k}")
        return saved

    def _row_bytes(self, dtype: DType) -> int:
        size = math.prod(self.nest.extents[a] for a in self.inner)
        return -(-size * dtype.itemsize // CACHE_LINE) * CACHE_LINE

    def _stage_roots(self, stage: int) -> list[Scalar]:
        """Values that one stage must produce."""
        roots = [
            r.args[0]
            for r in self.scalars
            if r.op == "reduce" and r in self.main and r.ready == stage + 1
        ]
        roots += [
            acc.args[0]
            for acc in self.nest.accs
            if acc.args[0].level == FULL and acc.args[0].ready == stage
        ]
        return roots + [st.value for st in self._stage_stores(stage)]

    def _stage_stores(self, stage: int) -> list[Store]:
        last = stage == self.nest.stages - 1
        return [
            st
            for st in self.nest.stores
            if st.value.level != TAIL
            and self._walks_inner(st)
            and (last if self._hot(st) else st.value.ready == stage)
        ]

    def _saved_place(self, s: Scalar) -> str:
        name = self.saved[s][1]
        stride = self.signature.integer(
            ("saved", name), self._row_bytes(s.dtype) // s.dtype.itemsize, "w"
        )
        return f"{name}[thread * {stride} + {self._inner_index()}]"
