"""What must be in memory, and the values of one kernel in terms of what is.

In: a graph. Out, for fusion: which values kernels read through memory whatever the grouping, what a
sink reaches through inlined values, and the scalar a sink becomes inside a given kernel.
"""

from __future__ import annotations

from ..dtypes import bool_
from ..ir.graph import Eqn, Graph, Var
from ..ops import movement, reduce
from .groups import Group, Sink, natural_index, no_buffer, squeezed
from .index import Ix
from .loops import Scalar
from .lower import Lowering, repeated_index, view_of


class Values:
    """Values of a graph as kernels see them."""

    graph: Graph
    makers: dict[Var, Eqn]
    uses: dict[Var, list[Eqn]]
    inputs: set[Var]
    required: set[Var]
    promoted: set[Var]
    reached: dict[Var, set[Var]]  # of a sink, for as long as ``promoted`` stays as it is
    kept: dict[Var, bool]

    # --- what must be in memory -----------------------------------------------------------------
    def _required(self) -> set[Var]:
        """Values that something reads through memory whatever the grouping."""
        required = {o for o in self.graph.outputs if isinstance(o, Var)}
        merged: set[Var] = set()
        for eqn in self.graph.eqns:
            kind = eqn.primitive.kind
            if kind in ("elementwise", "reduce", "source"):
                continue
            if eqn.primitive.gathers:
                x = eqn.inputs[0]
                if not self._picks_little(eqn):
                    required.add(x)  # type: ignore[arg-type]
            elif eqn.primitive is movement.reshape:
                aval = eqn.outputs[0].aval
                index = tuple(Ix({k: 1}) for k in range(aval.ndim))
                x = eqn.inputs[0]
                assert movement.reshape.index_map is not None
                if (
                    isinstance(x, Var)
                    and movement.reshape.index_map(index, [x.aval], aval, {}) is None
                    and repeated_index(eqn, self.makers, index) is None
                ):
                    merged.add(self._root(x, eqn.outputs[0]))
            elif kind != "movement":
                required.update(a for a in eqn.inputs if isinstance(a, Var))
        roots = {self._root(v, v) for v in required if v not in self.inputs}
        return (roots | merged) - self.inputs

    def _compared(self) -> set[Var]:
        """Values compared with their own extremum: computed twice they could round differently."""
        found: set[Var] = set()
        for eqn in self.graph.eqns:
            x = eqn.inputs[0] if eqn.inputs else None
            if (
                eqn.primitive in (reduce.max_, reduce.min_)
                and isinstance(x, Var)
                and (x not in self.inputs and x.aval.dtype.is_floating_point)
                and any(e.outputs[0].aval.dtype is bool_ for e in self.uses[x])
            ):
                found.add(x)
        return found

    def _picks_little(self, eqn: Eqn) -> bool:
        """Whether a gather reads so little of a computed value that computing it there is best."""
        x = eqn.inputs[0]
        if eqn.outputs[0].aval.size * 4 > x.aval.size:
            return False
        eqns = [self.makers[x]] if x in self.makers else []
        while eqns:
            made = eqns.pop()
            if made.primitive.kind not in ("elementwise", "movement", "source"):
                return made.primitive.kind in ("reduce", "contract") and made.outputs[0] is not x
            if made.primitive is movement.reshape:
                return False
            eqns += [
                self.makers[a]
                for a in made.inputs
                if isinstance(a, Var)
                and a in self.makers
                and self.makers[a].primitive.kind in ("elementwise", "movement", "source")
            ]
        return True

    def _root(self, var: Var, reader: Var) -> Var:
        """The value behind a chain of movements that a strided access of ``reader`` can follow."""
        eqn = self.makers.get(var)
        chain = [var]
        while eqn is not None and eqn.primitive.alias and isinstance(eqn.inputs[0], Var):
            chain.append(eqn.inputs[0])
            eqn = self.makers.get(eqn.inputs[0])
        for root in reversed(chain):
            if view_of(reader, self.makers, lambda v, root=root: v is root) is not None:  # type: ignore[misc]
                return root
        return var

    def is_sink(self, var: Var) -> bool:
        """Whether a kernel produces this value by name (as opposed to inlining it)."""
        if var in self.inputs:
            return False
        kind = self.makers[var].primitive.kind
        return (
            var in self.required
            or var in self.promoted
            or kind in ("reduce", "contract")
            or (
                kind in ("indexing", "window", "scan", "sort", "host", "control")
                and not self.makers[var].primitive.gathers
            )
        )

    def in_memory(self, var: Var) -> bool:
        """Whether loads of this value are possible (inputs and sinks)."""
        known = self.kept.get(var)
        if known is None:
            known = self.kept[var] = var in self.inputs or self.is_sink(var)
        return known

    def _inputs_of(self, sink: Sink) -> set[Var]:
        """Sinks and inputs reached from a sink through inlined values."""
        known = self.reached.get(sink.var)
        if known is not None:
            return known
        found: set[Var] = set()
        seen: set[Var] = set()
        stack = [a for a in sink.eqn.inputs if isinstance(a, Var)]
        while stack:
            var = stack.pop()
            if var in seen:
                continue
            seen.add(var)
            if self.in_memory(var):
                found.add(var)
            else:
                stack.extend(a for a in self.makers[var].inputs if isinstance(a, Var))
        self.reached[sink.var] = found
        return found

    # --- a sink inside a kernel
    def sink_axes(self, group: Group, sink: Sink) -> list[int]:
        """Loop axes of the non-unit axes of a sink's value."""
        n = len(group.shape)
        split = n if group.split < 0 else group.split
        count = len(squeezed(sink.space))
        if sink.how in ("point", "dot"):
            return list(range(count))
        if sink.how == "inner":
            return list(range(split))
        if sink.how in ("outer", "total"):
            kept = list(range(max(group.kept, 0)))
            return kept + (list(range(split, n)) if count > len(kept) else [])
        return list(range(split, n)) if count else []

    def lower_sink(self, lowering: Lowering, group: Group, sink: Sink) -> Scalar:
        """The scalar of one sink in a kernel, and its place among the members.

        Of a sink with columns it stands for all of them: its operands are what is stored.
        """
        axes = self.sink_axes(group, sink)
        if sink.eqn.primitive.kind == "reduce":
            x = sink.eqn.inputs[0]
            walked = list(range(len(squeezed(x.aval.shape))))
            arg = lowering.evaluate(x, natural_index(x.aval.shape, walked))
            p, dtype = sink.eqn.primitive, sink.var.aval.dtype
            op = "reduce" if sink.how == "inner" else "acc"
            scalar = Scalar(
                op, dtype, (arg,), p.combine, p.identity(dtype), over=sink.how, eqn=sink.eqn
            )
        else:
            index = natural_index(sink.space, axes)
            saved = lowering.stored
            lowering.stored = lambda v: v is not sink.var and saved(v)
            try:
                if sink.columns:
                    row = [lowering.evaluate(sink.var, (*index, k)) for k in range(sink.columns)]
                    scalar = Scalar("apply", sink.var.aval.dtype, tuple(row), eqn=sink.eqn)
                else:
                    scalar = lowering.evaluate(sink.var, index)
            finally:
                lowering.stored = saved
        key = tuple(Ix({a: 1}).key for a in axes)
        lowering.members[sink.var] = (scalar, key)
        return scalar

    def _lowering_of(self, group: Group, sink: Sink) -> Lowering:
        """A lowering in which the group's other sinks are values at hand."""
        lowering = Lowering(self.makers, self.in_memory, no_buffer)
        for other in group.sinks:
            axes = self.sink_axes(group, other)
            scalar = Scalar("load", other.var.aval.dtype)
            lowering.members[other.var] = (scalar, tuple(Ix({a: 1}).key for a in axes))
        return lowering
