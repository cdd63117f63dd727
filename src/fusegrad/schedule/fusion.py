"""Fusion: which equations share a kernel.

*Sinks* are what a kernel must produce: reductions, contractions, values that go to memory. Every
other value is inlined where it is used. A sink joins the kernel of a value it depends on, or one
that loads the same data, when their loops agree, every value is read where it is computed, and no
cycle arises; each join and each refusal leaves a sentence. Values that would be recomputed in
several kernels at a cost are promoted to sinks and the grouping runs again.
"""

from __future__ import annotations

from ..dtypes import bool_
from ..ir.graph import Eqn, Graph, Var
from ..ops import window
from ..ops.contract import dot
from .groups import Group, Sink, no_buffer, sections, size_of, squeezed
from .index import Ix
from .loops import LoopNest, Store
from .lower import Crowded, Unfusable, view_of
from .recompute import Recompute
from .windows import lowerable

MAX_SINKS = 24
MAX_ROUNDS = 64  # of grouping; each round but the last moves a value into memory


class Fusion(Recompute):
    """Grouping of one graph; ``groups`` in an order that respects dependencies."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.makers = {o: e for e in graph.eqns for o in e.outputs}
        self.uses = graph.uses()
        self.inputs = set(graph.inputs)
        self.exact = self._compared()
        self.reached, self.kept, self.costs = {}, {}, {}
        self.required = self._required() | self.exact
        self.promoted: set[Var] = set()
        self.promoted = self._scattered()
        self.early: set[Var] = set()  # reductions that run in a kernel before the others
        for _ in range(MAX_ROUNDS):
            known = len(self.early)
            try:
                self._group()
                more = self._expensive() | self._invariant() if len(self.early) == known else set()
            except Crowded as crowded:
                more = {crowded.var}
            if not more and len(self.early) == known:
                break
            self.promoted |= more
        self.stored = self._stored()

    # --- grouping ---------------------------------------------------------------------------------
    def _group(self) -> None:
        self.reached, self.kept, self.costs = {}, {}, {}
        self.groups: list[Group] = []
        self.home: dict[Var, Group] = {}
        for eqn in self.graph.eqns:
            var = eqn.outputs[0]
            if eqn.primitive.multiple:
                self._open_loop(eqn)
            elif self.is_sink(var):
                self._place(Sink(var, eqn))
        for group in list(self.groups):
            if group.kind == "loops" and group in self.groups and size_of(group.shape) > 1:
                self._absorb(group)

    def _absorb(self, group: Group) -> None:
        """Merge an independent kernel that walks the same data into this one."""
        size = size_of(group.shape)
        for other in list(self.groups):
            if other is group or other.kind != "loops" or group.reads.isdisjoint(other.reads):
                continue
            if group.reaches(other) or other.reaches(group) or other not in self.groups:
                continue
            if any(s.var in self.early for s in (*group.sinks, *other.sinks)):
                continue
            if not any(v.aval.size * 2 >= size for v in group.reads & other.reads):
                continue
            self._merge(group, other)

    def _merge(self, group: Group, other: Group) -> None:
        before = (
            group.shape,
            group.split,
            group.kept,
            list(group.sinks),
            set(group.needs),
            set(group.reads),
            [s.how for s in group.sinks],
        )
        hows = [s.how for s in other.sinks]
        closure = [g.above for g in self.groups]
        try:
            for sink in other.sinks:
                self._join(group, sink)
        except Unfusable as reason:
            (group.shape, group.split, group.kept, group.sinks, group.needs, group.reads, kept) = (
                before
            )
            for sink, how in zip([*group.sinks, *other.sinks], [*kept, *hows], strict=True):
                sink.how = how
            for sink in other.sinks:
                self.home[sink.var] = other
            for member, above in zip(self.groups, closure, strict=True):
                member.above = above
            group.reasons.append(
                f"kernel {other.number} walks the same data but stays apart: {reason}."
            )
            return
        group.reasons.append("A kernel that walks the same data is merged in.")
        group.reasons += other.reasons
        group.merged |= {other.number, *other.merged}
        self.groups.remove(other)
        for user in self.groups:
            if other in user.needs:
                user.needs = (user.needs - {other}) | {group}
            if user.reaches(other):
                user.above |= group.above
        group.needs -= {group, other}

    def _place(self, sink: Sink) -> None:
        kind = sink.eqn.primitive.kind
        if kind == "contract" and (sink.eqn.primitive is dot or lowerable(sink.eqn)):
            self._open(sink, "dot", squeezed(sink.var.aval.shape))
            return
        if sink.eqn.primitive.scatters:
            self._open(sink, "scatter", ())
            return
        if sink.eqn.primitive.walks:
            self._open(sink, "walk", ())
            return
        if kind not in ("elementwise", "movement", "source", "reduce", "indexing"):
            self._open(sink, "host", ())
            return
        refusals: list[str] = []
        for group, why in self._candidates(sink) if sink.var not in self.early else ():
            try:
                self._join(group, sink)
            except Unfusable as reason:
                refusals.append(
                    f"{sink.eqn.primitive.name} {sink.var.aval} does not join kernel "
                    f"{group.number}: {reason}."
                )
                continue
            group.reasons.append(f"{sink.eqn.primitive.name} {sink.var.aval} joins: {why}.")
            group.reasons += refusals
            return
        self._open(sink, "loops", None)
        self.home[sink.var].reasons += refusals

    def _candidates(self, sink: Sink) -> list[tuple[Group, str]]:
        probe = self._probe(None, sink)
        producers = {self.home[v] for v in probe if v in self.home}
        found = [
            (g, "it uses a value computed there")
            for g in sorted(producers, key=lambda g: -g.number)
            if not g.closed
        ]
        size = sink.var.aval.size
        heavy = {v for v in probe if v.aval.size * 2 >= size and v.aval.size > 1}
        # the busiest first: later sinks are more likely to need what it computes
        for group in sorted(reversed(self.groups), key=lambda g: -len(g.sinks)):
            if group in producers or group.closed:
                continue
            if heavy & group.reads:
                found.append((group, "it loads the same data"))
            elif size == 1 and not group.shape and group.kind == "loops":
                found.append((group, "both are single numbers"))
        return found

    def _open_loop(self, eqn: Eqn) -> None:
        """A loop is a group of its own that produces all results; its body is planned apart."""
        group = Group(len(self.groups), "loop")
        group.sinks = [Sink(o, eqn, "loop") for o in eqn.outputs]
        for atom in eqn.inputs:
            view = view_of(atom, self.makers, self.in_memory)  # type: ignore[arg-type]
            assert view is not None, "operands of loops were made dense"
            group.reads.add(view.root)
            if view.root in self.home:
                self._require(group, {self.home[view.root]})
        self.groups.append(group)
        self.home.update(dict.fromkeys(eqn.outputs, group))

    def _open(self, sink: Sink, kind: str, shape: tuple[int, ...] | None) -> None:
        group = Group(len(self.groups), kind)
        if kind == "loops":
            self.groups.append(group)
            self._join(group, sink, fresh=True)
            return
        group.shape = shape or ()
        sink.how = kind
        for atom in sink.eqn.inputs:
            if isinstance(atom, Var):
                view = view_of(atom, self.makers, self.in_memory)
                if view is None:
                    raise Unfusable(f"operand {atom.aval} is not in memory")
                group.reads.add(view.root)
                if view.root in self.home:
                    self._require(group, {self.home[view.root]})
        self.groups.append(group)
        group.sinks.append(sink)
        self.home[sink.var] = group

    def _join(self, group: Group, sink: Sink, fresh: bool = False) -> None:
        if len(group.sinks) >= MAX_SINKS:
            raise Unfusable("the kernel is large already")
        if group.sinks and group.sinks[0].var in self.early:
            raise Unfusable("the kernel is kept small so that it can run early")
        state = (group.shape, group.split, group.kept)
        hows = [s.how for s in group.sinks]
        try:
            if fresh:
                group.shape = squeezed(self._space(sink))
            self._unify(group, sink)
            leaves = self._probe(group, sink)
            needs = {self.home[v] for v in leaves if v in self.home} - {group}
            if group.kind == "dot":
                self._check_epilogue(group, sink)
            if any(n.reaches(group) for n in needs):
                raise Unfusable("another kernel would have to run in between")
        except Unfusable:
            group.shape, group.split, group.kept = state
            for member, how in zip(group.sinks, hows, strict=True):
                member.how = how
            raise
        group.sinks.append(sink)
        self._require(group, needs)
        group.reads |= {v for v in leaves if self.home.get(v) is not group}
        self.home[sink.var] = group

    def _require(self, group: Group, needs: set[Group]) -> None:
        """Note that ``group`` reads results of ``needs``; whoever needs it needs them too."""
        group.needs |= needs
        above = group.above
        for need in needs:
            above |= need.above
        if above != group.above:
            group.above = above
            for user in self.groups:
                if user.reaches(group):
                    user.above |= above

    def _check_epilogue(self, group: Group, sink: Sink) -> None:
        """An epilogue walks (item, row, column): every load must agree with that."""
        eqn = group.sinks[0].eqn
        if eqn.primitive is window.conv_weight_rows:
            raise Unfusable("its values are partial sums")
        nb, nm, _ = sections(eqn)
        ends = {nb, nb + nm, len(group.shape)}
        lowering = self._lowering_of(group, sink)
        nest = LoopNest(list(group.shape), len(group.shape), 0)
        nest.stores = [
            Store(no_buffer(sink.var), Ix(), self.lower_sink(lowering, group, sink), sink.var)
        ]
        for axis in range(len(group.shape) - 1):
            if axis + 1 not in ends and not all(nest._together(ix, axis) for ix in nest._indices()):
                raise Unfusable("it reads memory in an order that the blocks do not follow")

    def _space(self, sink: Sink) -> tuple[int, ...]:
        """The iteration space a sink asks for: its own shape, or that of what it reduces."""
        if sink.eqn.primitive.kind == "reduce":
            return sink.eqn.inputs[0].aval.shape
        return sink.space

    def _unify(self, group: Group, sink: Sink) -> None:
        """Fit the sink's loops to the group's, refining free choices; sets ``sink.how``."""
        space = squeezed(self._space(sink))
        reduces = sink.eqn.primitive.kind == "reduce"
        if not reduces and self._uses_acc(group, sink):
            inner = group.shape[group.split :] if group.split >= 0 else ()
            if group.kept > 0 or space not in ((), inner):
                self._move_early(group, self._accs(group) & self._inputs_of(sink))
                raise Unfusable("it needs a result that is complete only after all rows")
            sink.how = "tail"
            return
        if group.kind == "dot":
            if reduces:
                raise Unfusable("reductions do not run inside a contraction")
            if space != group.shape:
                raise Unfusable("its shape differs from the contraction's result")
            sink.how = "point"
            return
        level = self._match(group, space)
        if not reduces:
            sink.how = "point"
            return
        x = sink.eqn.inputs[0].aval
        axes = [k for k, n in enumerate(x.shape) if n != 1]
        reduced = [axes.index(a) for a in sink.eqn.params["axes"] if x.shape[a] != 1]
        self._reduce(group, sink, reduced, len(space), level)

    def _match(self, group: Group, space: tuple[int, ...]) -> str:
        shape = group.shape
        if space == shape:
            return "full"
        n, m = len(space), len(shape)
        if m > n and shape[:n] == space and n:
            if group.split not in (-1, n):
                raise Unfusable("the kernel's rows are other rows")
            group.split = n
            return "row"
        if n > m and space[:m] == shape and m and group.split in (-1, m):
            # what is there becomes the row level of the larger space
            group.split = m
            group.shape = space
            for other in group.sinks:
                if other.how == "total":
                    other.how = "outer"
            return "full"
        raise Unfusable(f"it walks {list(space)}, the kernel walks {list(shape)}")

    def _reduce(self, group: Group, sink: Sink, reduced: list[int], n: int, level: str) -> None:
        first, last = reduced[0], reduced[-1]
        if level == "row" or (first == 0 and last == n - 1):
            if first == 0:
                if level == "row" and last != n - 1:
                    raise Unfusable("it reduces part of the row index")
                self._set_kept(group, 0)
                sink.how = "outer" if level == "row" else "total"
                return
            raise Unfusable("it reduces part of the row index")
        if last == n - 1:  # trailing axes: along the row
            if group.split not in (-1, first):
                raise Unfusable("it reduces along other rows")
            group.split = first
            sink.how = "inner"
            return
        if group.split not in (-1, last + 1):
            raise Unfusable("it reduces across other rows")
        self._set_kept(group, first)
        group.split = last + 1
        sink.how = "outer"

    def _set_kept(self, group: Group, kept: int) -> None:
        if group.kept not in (-1, kept):
            raise Unfusable("the kernel keeps other axes of its outer reductions")
        group.kept = kept

    def _uses_acc(self, group: Group, sink: Sink) -> bool:
        accs = self._accs(group)
        return bool(accs) and bool(accs & self._inputs_of(sink))

    def _accs(self, group: Group) -> set[Var]:
        """Values of a kernel that are complete only after all its rows."""
        return {s.var for s in group.sinks if s.how in ("outer", "total", "tail")}

    # --- the question "can this kernel compute that?" ---------------------------------------------
    def _probe(self, group: Group | None, sink: Sink) -> set[Var]:
        """Values the sink loads when computed in ``group``; raises when it cannot be."""
        if group is None:
            return self._inputs_of(sink)
        if any(self.home.get(v) is group for v in self._compares(sink)):
            raise Unfusable("it compares a value with its extremum, so it must read it from memory")
        lowering = self._lowering_of(group, sink)
        self.lower_sink(lowering, group, sink)
        late = self._accs(group)
        if sink.how == "tail":
            if lowering.used - late:
                raise Unfusable("it mixes a completed reduction with values of single rows")
        elif lowering.used & late:
            self._move_early(group, lowering.used & late)
            raise Unfusable("it needs a result that is complete only after all rows")
        return {v for v, _ in lowering.loads} | lowering.used

    def _compares(self, sink: Sink) -> set[Var]:
        """Values of ``exact`` that the sink compares."""
        if not self.exact:
            return set()
        eqns = [
            sink.eqn,
            *[e for a in sink.eqn.inputs if isinstance(a, Var) for e in self._tree(a)[0]],
        ]
        return {
            a for e in eqns if e.outputs[0].aval.dtype is bool_ for a in e.inputs if a in self.exact
        }  # type: ignore[misc]

    def _move_early(self, group: Group, late: set[Var]) -> None:
        """Cheap reductions that keep others out of this kernel get one of their own, before it.

        A count of valid labels reads one value per row; were it to finish together with the rows of
        a softmax, the gradient of that softmax would need a second pass over the data.
        """
        members = {s.var for s in group.sinks}
        for sink in group.sinks:
            small = size_of(self._space(sink)) * 4 <= size_of(group.shape)
            if (
                sink.var in late
                and small
                and sink.how != "tail"
                and not (members & self._inputs_of(sink))
            ):
                self.early.add(sink.var)

    # --- results ----------------------------------------------------------------------------
    def _stored(self) -> set[Var]:
        """Sinks that go to memory: required ones and those that another kernel reads."""
        stored = {v for v in self.required if v in self.home}
        for group in self.groups:
            stored |= {v for v in group.reads if v in self.home and self.home[v] is not group}
        return stored
