"""The plan of branches and of loops of unknown length: kernels between labels and jumps.

In: a ``cond`` or ``while`` of the graph under plan. Out: launches. A branch skips the kernels of
the other one. A loop of unknown length begins at its test and jumps back while the test holds; its
carries are overwritten in place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..dtypes import int64
from ..ir.graph import Graph
from ..ops import control
from .groups import Group
from .kernels import Jump, KernelPlan, Label, Mark, Plan
from .looping import ControlPlan, LoopPlan, copy_kernel
from .loops import Buffer


def plan_control(planner: Any, group: Group, plan_body: Callable[..., Plan]) -> list[KernelPlan]:
    """The launches of one control-flow equation."""
    kinds: dict[Any, type[ControlPlan]] = {
        control.scan: LoopPlan,
        control.cond: BranchPlan,
        control.while_: WhilePlan,
    }
    return kinds[group.sinks[0].eqn.primitive](planner, group, plan_body).run()


class _MarkedPlan(ControlPlan):
    """Helpers of plans made of labels and jumps."""

    def _mark(self, work: Mark) -> KernelPlan:
        plan = KernelPlan("mark", work, self.used, self.written, eqns=[self.eqn])
        plan.groups = frozenset({self.group.number})
        return plan

    def _cell(self) -> Buffer:
        cell = Buffer("condition", (), int64)
        self.planner.temporaries.append(cell)
        self.used.add(cell)
        self.written.add(cell)
        return cell

    def _inner(
        self, graph: Graph, inputs: list[Buffer], outputs: list[Buffer], in_place: dict[int, int]
    ) -> list[KernelPlan]:
        plan = self.plan_body(graph, in_place, inputs, outputs=outputs)
        self._adopt(plan)
        scope = object()
        for kernel in plan.kernels:
            kernel.scope = (scope, *kernel.scope)
        own = set(plan.temporaries) | set(plan.aliases)
        self.used |= {b for k in plan.kernels for b in k.reads | k.writes} - own
        return plan.kernels


class BranchPlan(_MarkedPlan):
    """``cond``: jump over one of two branches that write the same results."""

    def run(self) -> list[KernelPlan]:
        """The launches."""
        cell = self._cell()
        why = "A branch reads its condition from a place of its own."
        condition = self._operand(0)
        self.copies.append(copy_kernel(condition.buffer, cell, condition.offset, why))
        operands = [self._operand(k).buffer for k in range(1, len(self.eqn.inputs))]
        results = [self.planner._buffer(o) for o in self.eqn.outputs]
        self.used |= set(results)
        self.written |= set(results)
        branches = {
            name: self._inner(self.eqn.params[name], operands, results, {})
            for name in ("false", "true")
        }
        other, end = Label(), Label()
        return [
            *self.copies,
            self._mark(Jump(other, cell)),
            *branches["false"],
            self._mark(Jump(end, None)),
            self._mark(other),
            *branches["true"],
            self._mark(end),
        ]


class WhilePlan(_MarkedPlan):
    """``while``: test, body, test, body, until the test fails."""

    def run(self) -> list[KernelPlan]:
        """The launches."""
        params = self.eqn.params
        consts = params["consts"]
        inputs = [self._operand(k).buffer for k in range(consts)]
        carries = []
        for k, out in enumerate(self.eqn.outputs):
            carry = Buffer("carry", out.aval.shape, out.aval.dtype)
            self.planner.temporaries.append(carry)
            self.planner.buffers[out] = carry
            place = self._operand(consts + k)
            why = "A loop begins with a copy of its initial carry."
            self.copies.append(copy_kernel(place.buffer, carry, place.offset, why))
            carries.append(carry)
        self.used |= set(carries)
        self.written |= set(carries)
        cell = self._cell()
        places = {k: consts + k for k in range(len(carries))}
        body = self._inner(params["body"], [*inputs, *carries], carries, places)
        test = self._inner(params["test"], [*inputs, *carries], [cell], {})
        again, check = Label(), Label()
        return [
            *self.copies,
            self._mark(Jump(check, None)),
            self._mark(again),
            *body,
            self._mark(check),
            *test,
            self._mark(Jump(again, cell)),
        ]
