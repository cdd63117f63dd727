"""When to keep a value instead of computing it again.

Inlining computes a value wherever it is used. That is free for cheap arithmetic on data that is
loaded anyway, and wrong for what costs more than a load: such values are promoted to sinks.
"""

from __future__ import annotations

from typing import Any

from ..ir.graph import Eqn, Var
from .groups import Group, Sink, natural_index, no_buffer, size_of, squeezed
from .index import Ix, as_ix
from .loops import Scalar
from .lower import Lowering
from .values import Values

RECOMPUTE_COST = 30.0
FEW_POSITIONS = 6  # values taken apart and put together again are read at about as many
MOST_POSITIONS = 16


def _place(index: tuple[Any, ...], guards: Any) -> Any:
    """A hashable name of a position and the conditions under which it is read."""
    return tuple(as_ix(i).key for i in index), guards


def _bytes(values: set[Var]) -> int:
    return sum(v.aval.size * v.aval.dtype.itemsize for v in values)


class Recompute(Values):
    """The choice between recomputing and storing, given a grouping."""

    groups: list[Group]
    costs: dict[Var, float]

    def _scattered(self) -> set[Var]:
        """Values that a kernel would compute at many positions; those are read from memory.

        Each step of a stencil reads the step before at its neighbours, so inlining all of them
        would multiply the work, and the text of the kernel, by the number of steps and beyond.
        """
        positions: dict[Var, dict[Any, tuple[Any, Any]]] = {}
        found: set[Var] = set()
        for eqn in reversed(self.graph.eqns):
            var = eqn.outputs[0]
            here = positions.pop(var, {})
            elementwise = eqn.primitive.kind == "elementwise"
            free = eqn.primitive.alias or eqn.primitive.kind == "source"  # a view costs nothing
            if len(here) > MOST_POSITIONS and not (free or self.is_sink(var)):
                found.add(var)
            if var in found or self.is_sink(var) or not here:
                here = {}
            for k, atom in enumerate(eqn.inputs):
                if not isinstance(atom, Var) or self.in_memory(atom):
                    continue
                there = positions.setdefault(atom, {})
                if elementwise and here:
                    there.update(here if atom.aval.shape else {(): ((), frozenset())})
                elif eqn.primitive.kind == "movement" and here:
                    for index, guards in here.values():
                        self._follow(eqn, k, index, guards, there)
                else:
                    natural = self._natural(eqn, atom)
                    there[_place(natural, frozenset())] = natural, frozenset()
        return found

    def _natural(self, eqn: Eqn, atom: Var) -> tuple[Any, ...]:
        """The position at which a sink of the shape of ``atom`` computes it."""
        shape = atom.aval.shape
        return natural_index(shape, list(range(len(squeezed(shape)))))

    def _follow(
        self, eqn: Eqn, k: int, index: tuple[Any, ...], guards: Any, there: dict[Any, Any]
    ) -> None:
        """Note where operand ``k`` of a movement is read for the element ``index``."""
        assert eqn.primitive.index_map is not None
        avals = [a.aval for a in eqn.inputs]
        found = eqn.primitive.index_map(
            tuple(map(as_ix, index)), avals, eqn.outputs[0].aval, eqn.params
        )
        if found is None:  # through memory
            natural = self._natural(eqn, eqn.inputs[k])  # type: ignore[arg-type]
            there[_place(natural, frozenset())] = natural, frozenset()
            return
        more = set()
        for guard in found[k].guards:
            at = as_ix(guard.index)
            if at.terms:
                more.add((at.key, guard.extent, guard.step))
            elif not (0 <= at.const < guard.extent and at.const % guard.step == 0):
                return
        place = found[k].index, guards | more
        there[_place(*place)] = place

    def _expensive(self) -> set[Var]:
        """Inlined values that several kernels would compute at a cost."""
        where: dict[Var, set[Group]] = {}
        for group in self.groups:
            for sink in group.sinks:
                if group.closed or sink.how == "dot":
                    continue
                self._mark(sink, group, where)
        found: set[Var] = set()
        for var, groups in where.items():
            if len(groups) < 2 or self.makers[var].primitive.kind == "source":
                continue
            users = [
                where.get(e.outputs[0], set())
                for e in self.uses.get(var, [])
                if not self.is_sink(e.outputs[0])
            ]
            if any(u == groups for u in users):
                continue  # a later value is shared by the same kernels: decide there
            if (
                self._cost_of(var) > RECOMPUTE_COST
                or self._heavy_leaves(var) > 1
                or self._only_from_dot(var)
            ):
                found.add(var)
        return found

    def _invariant(self) -> set[Var]:
        """Inlined values that one kernel would compute again and again.

        Those of a smaller shape, once for every row; those that windows read or that are repeated
        in place, once for every place in a window.
        """
        found: set[Var] = set()
        for group in self.groups:
            if group.closed:
                continue
            split = group.split if group.split >= 0 else len(group.shape) - 1
            lowering = Lowering(self.makers, self.in_memory, no_buffer)
            for sink in group.sinks:
                axes = self.sink_axes(group, sink)
                if sink.how != "dot":
                    self.lower_sink(lowering, group, sink)
                lowering.members[sink.var] = (
                    Scalar("load", sink.var.aval.dtype),
                    tuple(Ix({a: 1}).key for a in axes),
                )
            repeated = {
                var
                for var, axes in lowering.walked.items()
                if axes
                and max(axes) >= split
                and self._repeats(group, axes) >= 4
                and not self.is_sink(var)
                and self._cost_of(var) >= 8
            }
            repeated |= {
                var
                for var, count in lowering.count.items()
                if (count > FEW_POSITIONS and (count - 1) * self._cost_of(var) > 2 * RECOMPUTE_COST)
                or (lowering.times[var] - 1) * self._cost_of(var) > RECOMPUTE_COST / 2
            }
            found |= self._cut(repeated)
        return found

    def _cut(self, repeated: set[Var]) -> set[Var]:
        """Which of some values to keep: the last ones, or fewer bytes that they all come from."""
        inside = {
            v: [e.outputs[0] for e in self.uses.get(v, []) if e.outputs[0] in repeated]
            for v in repeated
        }
        last = {v for v in repeated if len(inside[v]) < len(self.uses.get(v, []))}
        if len(last) < 2:
            return last
        shared = {v for v in repeated if len(inside[v]) > 1}
        below = {e.outputs[0] for v in shared for e in self._tree(v)[0] if e.outputs[0] is not v}
        top = shared - below
        return top if top and _bytes(top) * 2 <= _bytes(last) else last

    def _repeats(self, group: Group, axes: set[int]) -> int:
        """How often a kernel would compute a value that depends on ``axes`` only."""
        return size_of(tuple(n for a, n in enumerate(group.shape) if a not in axes))

    def _mark(self, sink: Sink, group: Group, where: dict[Var, set[Group]]) -> None:
        stack = [a for a in sink.eqn.inputs if isinstance(a, Var)]
        seen: set[Var] = set()
        while stack:
            var = stack.pop()
            if var in seen or self.in_memory(var):
                continue
            seen.add(var)
            eqn = self.makers[var]
            if eqn.primitive.kind == "elementwise":
                where.setdefault(var, set()).add(group)
            stack.extend(a for a in eqn.inputs if isinstance(a, Var))

    def _tree(self, var: Var) -> tuple[list[Eqn], set[Var]]:
        eqns: list[Eqn] = []
        leaves: set[Var] = set()
        seen: set[Var] = set()
        stack = [var]
        while stack:
            v = stack.pop()
            if v in seen:
                continue
            seen.add(v)
            if self.in_memory(v):
                leaves.add(v)
                continue
            eqns.append(self.makers[v])
            stack.extend(a for a in self.makers[v].inputs if isinstance(a, Var))
        return eqns, leaves

    def _cost_of(self, var: Var) -> float:
        known = self.costs.get(var)
        if known is None:
            known = self.costs[var] = sum(e.primitive.cost for e in self._tree(var)[0])
        return known

    def _heavy_leaves(self, var: Var) -> int:
        return sum(v.aval.size * 2 >= var.aval.size for v in self._tree(var)[1])

    def _only_from_dot(self, var: Var) -> bool:
        """Recomputing would force a contraction's raw result into memory beside this value."""
        for leaf in self._tree(var)[1]:
            if leaf in self.inputs or leaf in self.required or leaf in self.promoted:
                continue
            if self.makers[leaf].primitive.kind == "contract":
                return True
        return False
