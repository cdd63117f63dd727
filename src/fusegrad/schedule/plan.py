"""The plan of a program: kernels in order, each with its loops, buffers and reasons.

In: an optimised graph and which outputs overwrite which inputs. Out: ``KernelPlan`` records for
code generation and the buffers they use. In-place outputs are written into their input's memory
when no kernel can still need the old value; otherwise through a copy at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..ir.graph import Eqn, Graph, Literal, Var
from ..ops.contract import dot, free_axes
from .branching import plan_control
from .fusion import Fusion
from .groups import Group, Sink, natural_index, sections
from .index import Ix, flat, row_major
from .kernels import Contraction, Convolution, HostCall, KernelPlan, Operand, Plan, Scatter, Walk
from .looping import copy_kernel
from .loops import Buffer, LoopNest, Scalar, Store
from .lower import Lowering, View, view_of
from .operands import OperandOrder, copy_operand, dense_operands, distinct_outputs, merge_batch
from .windows import matrix_of, take_bias


def make_plan(graph: Graph, in_place: dict[int, int], hints: Sequence[str]) -> Plan:
    """Plan ``graph``; ``in_place`` maps output positions to the input positions they overwrite."""
    inputs = [
        Buffer(f"in{k}", v.aval.shape, v.aval.dtype, hints[k] if k < len(hints) else "")
        for k, v in enumerate(graph.inputs)
    ]
    return plan_on(graph, in_place, inputs)


def plan_on(
    graph: Graph,
    in_place: dict[int, int],
    inputs: list[Buffer],
    copies: bool = True,
    outputs: Sequence[Buffer] | None = None,
) -> Plan:
    """As ``make_plan`` on buffers; without ``copies`` outputs get a place beside their input."""
    while True:
        try:
            whole = distinct_outputs(dense_operands(graph))
            return _Planner(whole, in_place, inputs, copies, outputs).run()
        except OperandOrder as order:
            graph = copy_operand(graph, order.eqn, order.position)


class _Planner:
    def __init__(
        self,
        graph: Graph,
        in_place: dict[int, int],
        inputs: list[Buffer],
        copies: bool,
        outputs: Sequence[Buffer] | None,
    ) -> None:
        self.graph = graph
        self.fusion = Fusion(graph)
        self.makers = self.fusion.makers
        self.buffers: dict[Var, Buffer] = dict(zip(graph.inputs, inputs, strict=True))
        self.temporaries: list[Buffer] = []
        self.aliases: dict[Buffer, tuple[Buffer, int]] = {}
        self.may_copy = copies
        self.places = outputs
        self.outputs: list[Buffer] = []
        self.copies: list[tuple[Buffer, Buffer]] = []
        self.after: dict[Group, set[Group]] = {g: set(g.needs) for g in self.fusion.groups}
        for k, atom in enumerate(graph.outputs):
            assert isinstance(atom, Var)
            self.outputs.append(self._claim(k, atom, in_place.get(k)))

    # --- outputs -------------------------------------------------------------------------------
    def _claim(self, k: int, root: Var, target: int | None) -> Buffer:
        """The buffer of output ``k``: the overwritten input's where that is safe."""
        aval = root.aval
        if target is not None:
            old = self.graph.inputs[target]
            place = self.buffers[old]
            if self._safe(root, old):
                self.buffers[root] = place
                return place
        if target is not None and self.may_copy:
            temporary = Buffer(f"new{k}", aval.shape, aval.dtype, place.hint)
            self.temporaries.append(temporary)
            self.buffers[root] = temporary
            self.copies.append((temporary, place))
            return place
        new = Buffer(f"out{k}", aval.shape, aval.dtype, root.hint)
        self.buffers[root] = new if self.places is None else self.places[k]
        return self.buffers[root]

    def _safe(self, root: Var, old: Var) -> bool:
        home = self.fusion.home[root]
        readers = [g for g in self.fusion.groups if old in g.reads and g is not home]
        if any(self._reaches(g, home) for g in readers):
            return False
        if home.kind == "loop" and old in home.reads:
            return False
        if home.kind == "dot" and old in self._operand_roots(home):
            return False
        if home.kind == "walk" and old in home.reads:
            return False
        if home.kind == "scatter" and old in home.reads and not self._starts_from(home, old):
            return False
        if not home.closed and old in home.reads and not self._same_position(home, root, old):
            return False
        self.after[home] |= set(readers)
        return True

    def _starts_from(self, group: Group, old: Var) -> bool:
        """Whether a scatter changes exactly ``old`` and reads it for nothing else."""
        start, *others = group.sinks[0].eqn.inputs
        views = [
            view_of(a, self.makers, self.fusion.in_memory) for a in others if isinstance(a, Var)
        ]
        return bool(others) and start is old and all(v is None or v.root is not old for v in views)

    def _reaches(self, start: Group, goal: Group) -> bool:
        seen: set[Group] = set()
        stack = [start]
        while stack:
            group = stack.pop()
            if group is goal:
                return True
            if group not in seen:
                seen.add(group)
                stack.extend(self.after[group])
        return False

    def _operand_roots(self, group: Group) -> set[Var]:
        roots = set()
        for atom in group.sinks[0].eqn.inputs:
            if isinstance(atom, Var):
                view = view_of(atom, self.makers, self.fusion.in_memory)
                assert view is not None
                roots.add(view.root)
        return roots

    def _same_position(self, group: Group, root: Var, old: Var) -> bool:
        """Whether the kernel reads the old value only where it writes the new one."""
        sink = next(s for s in group.sinks if s.var is root)
        if sink.how not in ("point", "tail", "outer", "total"):
            return False
        if sink.how != "point" and group.kept > 0:
            return False
        if sink.columns:
            return False  # one column could be stored before another is computed from its old value
        lowering = self._lowering(lambda v: Buffer("", v.aval.shape, v.aval.dtype))
        scalars = self._members(lowering, group)
        if sink.how != "point":
            return True  # written by the tail, when every thread has read everything
        written = flat(
            natural_index(root.aval.shape, self.fusion.sink_axes(group, sink)),
            row_major(root.aval.shape),
        ).key
        place = self._probe_buffers.get(old)
        if place is None:
            return True
        nest = LoopNest(list(group.shape), -1, 0)
        nest.stores = [Store(place, Ix(), s, root) for s in scalars.values()]
        return all(
            s.index is not None and s.index.key == written
            for s in nest.scalars()
            if s.op == "load" and s.buffer is place
        )

    def _lowering(self, buffer: Any = None) -> Lowering:
        if buffer is None:
            return Lowering(self.makers, self.fusion.in_memory, self._buffer)
        self._probe_buffers: dict[Var, Buffer] = {}

        def cached(var: Var) -> Buffer:
            if var not in self._probe_buffers:
                self._probe_buffers[var] = buffer(var)
            return self._probe_buffers[var]

        return Lowering(self.makers, self.fusion.in_memory, cached)

    def _buffer(self, var: Var) -> Buffer:
        if var not in self.buffers:
            buffer = Buffer(f"t{len(self.temporaries)}", var.aval.shape, var.aval.dtype)
            self.temporaries.append(buffer)
            self.buffers[var] = buffer
        return self.buffers[var]

    # --- kernels ---------------------------------------------------------------------------------
    def run(self) -> Plan:
        """Kernels in an order that respects data and in-place dependencies."""
        kernels: list[KernelPlan] = []
        for group in self._order():
            if group.kind == "loop":
                kernels += plan_control(self, group, plan_on)
            else:
                kernels.append(self._kernel(group))
                kernels[-1].groups = frozenset({group.number, *group.merged})
        for old, new in self.copies:
            why = (
                "The old value is still needed by kernels that run later, so the new one is copied."
            )
            kernels.append(copy_kernel(old, new, 0, why))
        inputs = [self.buffers[v] for v in self.graph.inputs]
        return Plan(self.graph, kernels, inputs, self.outputs, self.temporaries, self.aliases)

    def _order(self) -> list[Group]:
        order: list[Group] = []
        done: set[Group] = set()

        def visit(group: Group) -> None:
            stack = [(group, iter(sorted(self.after[group], key=lambda g: g.number)))]
            done.add(group)
            while stack:
                current, rest = stack[-1]
                following = next((g for g in rest if g not in done), None)
                if following is None:
                    order.append(current)
                    stack.pop()
                else:
                    done.add(following)
                    stack.append(
                        (following, iter(sorted(self.after[following], key=lambda g: g.number)))
                    )

        for group in self.fusion.groups:
            if group not in done:
                visit(group)
        return order

    def _kernel(self, group: Group) -> KernelPlan:
        if group.kind == "host":
            return self._host(group)
        if group.kind == "scatter":
            return self._scatter(group)
        if group.kind == "walk":
            return self._walk(group)
        work: LoopNest | Contraction
        work = self._contraction(group) if group.kind == "dot" else self._nest(group)
        nest = work.nest if isinstance(work, Contraction) else work
        eqns = self._eqns(group)
        reads = {s.buffer for s in nest.scalars() if s.op == "load" and s.buffer is not None}
        writes = {s.buffer for s in nest.stores}
        size = 1.0
        for extent in group.shape:
            size *= extent
        flops = size * sum(e.primitive.cost for e in eqns)
        if isinstance(work, Contraction):
            reads = (reads - {work.c}) | {work.a.buffer, work.b.buffer}
            writes.add(work.c)
            if isinstance(work, Convolution) and work.bias is not None:
                reads.add(work.bias[0])
            flops += 2.0 * size * work.k
        return KernelPlan(_label(group, eqns), work, reads, writes, group.reasons, flops, eqns)

    def _eqns(self, group: Group) -> list[Eqn]:
        found: dict[Eqn, None] = {}
        for sink in group.sinks:
            stack = [sink.eqn]
            while stack:
                eqn = stack.pop()
                if eqn in found:
                    continue
                found[eqn] = None
                if eqn.primitive.kind == "contract":
                    continue
                stack.extend(
                    self.makers[a]
                    for a in eqn.inputs
                    if isinstance(a, Var) and not self.fusion.in_memory(a)
                )
        order = {e: k for k, e in enumerate(self.graph.eqns)}
        return sorted(found, key=lambda e: order[e])

    def _members(self, lowering: Lowering, group: Group) -> dict[Sink, Scalar]:
        scalars: dict[Sink, Scalar] = {}
        for sink in group.sinks:
            if sink.how == "dot":
                axes = list(range(len(group.shape)))
                index = flat(
                    natural_index(sink.var.aval.shape, axes), row_major(sink.var.aval.shape)
                )
                raw = Scalar("load", sink.var.aval.dtype, index=index, eqn=sink.eqn)
                lowering.members[sink.var] = (raw, tuple(Ix({a: 1}).key for a in axes))
                scalars[sink] = raw
            else:
                scalars[sink] = self.fusion.lower_sink(lowering, group, sink)
        return scalars

    def _fill(self, nest: LoopNest, group: Group, scalars: dict[Sink, Scalar]) -> None:
        for sink, scalar in scalars.items():
            if scalar.op == "acc" and scalar not in nest.accs:
                nest.accs.append(scalar)
            if sink.var in self.fusion.stored and sink.how != "dot":
                place = natural_index(sink.space, self.fusion.sink_axes(group, sink))
                strides, buffer = row_major(sink.var.aval.shape), self._buffer(sink.var)
                if not sink.columns:
                    nest.stores.append(Store(buffer, flat(place, strides), scalar, sink.var))
                for k, column in enumerate(scalar.args if sink.columns else ()):
                    index = flat((*place, k), strides)
                    nest.stores.append(Store(buffer, index, column, sink.var))

    def _nest(self, group: Group) -> LoopNest:
        lowering = self._lowering()
        nest = LoopNest(list(group.shape), group.split, max(group.kept, 0))
        self._fill(nest, group, self._members(lowering, group))
        nest.arrange()
        return nest

    def _scatter(self, group: Group) -> KernelPlan:
        """Writes at computed positions: the start everywhere, then the values in order."""
        (sink,) = group.sinks
        eqn, out = sink.eqn, self._buffer(sink.var)
        start, where, values = (None, eqn.inputs[1], eqn.inputs[0])
        if len(eqn.inputs) == 3:
            start, where, values = eqn.inputs
        lowering = self._lowering()
        shape, m = sink.var.aval.shape, sink.var.aval.ndim
        nest = LoopNest([*shape, *values.aval.shape], m, 0)
        here = tuple(Ix({a: 1}) for a in range(m))
        there = tuple(Ix({m + a: 1}) for a in range(values.aval.ndim))
        zero = Scalar("literal", out.dtype, literal=Literal(0, out.dtype))
        old = zero if start is None else lowering.evaluate(start, here)
        position, target = lowering.picked(eqn, where, there, None)
        new = lowering.evaluate(values, there)
        strides = row_major(shape)
        nest.stores = [
            Store(out, flat(here, strides), old, sink.var),
            Store(out, flat(target, strides), new, sink.var),
        ]
        axis = eqn.params["axis"]
        depth = values.aval.ndim if eqn.primitive.pointwise else axis + where.aval.ndim
        ready = isinstance(start, Var) and self.buffers.get(start) is out
        work = Scatter(nest, out, axis, position, depth, eqn.primitive.combine, ready)
        reads = {s.buffer for s in nest.scalars() if s.op == "load" and s.buffer is not None}
        flops = float(values.aval.size)
        name = f"scatter_{eqn.primitive.name}"
        return KernelPlan(name, work, reads, {out}, group.reasons, flops, [eqn])

    def _walk(self, group: Group) -> KernelPlan:
        """A scan or a sort: operands as strided views, a dense result."""
        (sink,) = group.sinks
        operands = []
        for atom in sink.eqn.inputs:
            assert isinstance(atom, Var)
            view = view_of(atom, self.makers, self.fusion.in_memory)
            assert view is not None
            operands.append((self._buffer(view.root), view.offset, view.strides))
        out = self._buffer(sink.var)
        size = sink.var.aval.size
        flops = 20.0 * size * sink.eqn.primitive.cost  # each step waits for the one before
        work = Walk(sink.eqn, operands, out, sink.eqn.params["axis"])
        name, reads = f"walk_{sink.eqn.primitive.name}", {buffer for buffer, *_ in operands}
        return KernelPlan(name, work, reads, {out}, group.reasons, flops, [sink.eqn])

    def _host(self, group: Group) -> KernelPlan:
        (sink,) = group.sinks
        operands: list[Any] = []
        for atom in sink.eqn.inputs:
            if isinstance(atom, Literal):
                operands.append(atom)
                continue
            view = view_of(atom, self.makers, self.fusion.in_memory)
            assert view is not None
            operands.append((self._buffer(view.root), view.offset, atom.aval.shape, view.strides))
        out = self._buffer(sink.var)
        reads = {o[0] for o in operands if isinstance(o, tuple)}
        why = f"{sink.eqn.primitive.name} has no native lowering; its NumPy reference runs"
        return KernelPlan(
            f"host_{sink.eqn.primitive.name}",
            HostCall(sink.eqn, operands, out),
            reads,
            {out},
            [*group.reasons, why + "."],
            0.0,
            [sink.eqn],
        )

    # --- contractions -----------------------------------------------------------------------------
    def _contraction(self, group: Group) -> Contraction:
        sink = group.sinks[0]
        eqn = sink.eqn
        product = eqn.primitive is dot
        a, b, (m, n, k), batch = self._matrices(eqn) if product else self._images(eqn)
        lowering = self._lowering()
        nest = LoopNest(list(group.shape), len(group.shape), 0)
        scalars = self._members(lowering, group)
        raw = scalars[sink]
        self._fill(nest, group, scalars)
        c = self._result_buffer(group, sink, nest, {a.buffer, b.buffer})
        raw.buffer = c
        if sink.var in self.fusion.stored:
            axes = list(range(len(group.shape)))
            index = flat(natural_index(sink.var.aval.shape, axes), row_major(sink.var.aval.shape))
            nest.stores.append(Store(c, index, raw, sink.var))
        merge_sections(nest, sections(eqn))
        for s in nest.scalars():
            nest._place(s)
        if product:
            return Contraction(a, b, c, m, n, k, batch, nest, raw, eqn)
        job = Convolution(a, b, c, m, n, k, batch, nest, raw, eqn)
        take_bias(job)
        return job

    def _result_buffer(
        self, group: Group, sink: Sink, nest: LoopNest, operands: set[Buffer]
    ) -> Buffer:
        """Where the raw product goes: its own memory, or that of a value made from it."""
        if sink.var in self.fusion.stored:
            return self._buffer(sink.var)
        loaded = {s.buffer for s in nest.scalars() if s.op == "load"}
        for store in nest.stores:
            fits = store.buffer.dtype is sink.var.aval.dtype and store.var.aval.size == (
                sink.var.aval.size
            )
            if fits and store.buffer not in loaded and store.buffer not in operands:
                return store.buffer
        buffer = Buffer(f"t{len(self.temporaries)}", sink.var.aval.shape, sink.var.aval.dtype)
        self.temporaries.append(buffer)
        return buffer

    def _matrices(self, eqn: Eqn) -> Any:
        x, y = eqn.inputs
        assert isinstance(x, Var) and isinstance(y, Var)
        vx = view_of(x, self.makers, self.fusion.in_memory)
        vy = view_of(y, self.makers, self.fusion.in_memory)
        assert vx is not None and vy is not None
        cx, cy, bx, by = (eqn.params[p] for p in ("cx", "cy", "bx", "by"))
        fx, fy = free_axes(x.aval.ndim, cx, bx), free_axes(y.aval.ndim, cy, by)
        m, row_x = self._section(eqn, 0, vx, fx)
        k, col_x = self._section(eqn, 0, vx, cx)
        n, col_y = self._section(eqn, 1, vy, fy)
        _, row_y = self._section(eqn, 1, vy, cy)
        extents = [x.aval.shape[i] for i in bx]
        bsx = [vx.strides[i] for i in bx]
        bsy = [vy.strides[i] for i in by]
        batch, step_x, step_y = merge_batch(extents, bsx, bsy)
        a = Operand(self._buffer(vx.root), vx.offset, step_x, row_x, col_x)
        b = Operand(self._buffer(vy.root), vy.offset, step_y, row_y, col_y)
        return a, b, (m, n, k), batch

    def _images(self, eqn: Eqn) -> Any:
        """Operands of a convolution: dense memory."""
        operands = []
        for position, atom in enumerate(eqn.inputs):
            assert isinstance(atom, Var)
            view = view_of(atom, self.makers, self.fusion.in_memory)
            assert view is not None
            expected = row_major(atom.aval.shape)
            rows = zip(atom.aval.shape, view.strides, expected, strict=True)
            if any(n != 1 and have != want for n, have, want in rows):
                raise OperandOrder(eqn, position)
            operands.append(Operand(self._buffer(view.root), view.offset, (), 0, 0))
        return *operands, *matrix_of(eqn)

    def _section(self, eqn: Eqn, position: int, view: View, axes: Sequence[int]) -> tuple[int, int]:
        """Extent and stride of several axes as one."""
        extent, stride = 1, 0
        for axis in reversed(axes):
            n, s = view.array.shape[axis], view.strides[axis]
            if n == 1:
                continue
            if extent == 1:
                extent, stride = n, s
            elif s == extent * stride:
                extent *= n
            else:
                raise OperandOrder(eqn, position)
        return extent, stride


def merge_sections(nest: LoopNest, sections: Sequence[int]) -> bool:
    """Merge the axes of each section (items, rows, columns) into one; False when some cannot be."""
    done = 0
    for count in sections:
        for _ in range(count - 1):
            if not all(nest._together(ix, done) for ix in nest._indices()):
                return False
            nest._merge(done)
        done += 1 if count else 0
    return True


def _label(group: Group, eqns: Sequence[Eqn]) -> str:
    """A readable name from the primitives: dot_add_relu, map_mul_exp, row_sub_exp_sum_..."""
    names: list[str] = []
    for eqn in eqns:
        if eqn.primitive.kind in ("elementwise", "reduce", "contract", "indexing"):
            name = eqn.primitive.name
            if name not in names and name != "convert":
                names.append(name)
    kind = "row" if any(s.how == "inner" for s in group.sinks) else "map"
    if group.kind == "dot":
        kind = group.sinks[0].eqn.primitive.name
    rest = [n for n in names if n != kind][:5]
    return "_".join([kind, *rest]) if rest else (kind if group.kind == "dot" else "copy")
