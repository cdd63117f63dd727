"""The traced body of a loop or branch, and its derivative.

In: a step function over tensors. Out: ``Body``: the equations of one step, what it read from
outside and, when asked, the equations of its derivative, by the ordinary backward pass over what
the step recorded. Next file: ``loops.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .errors import CaptureError, user_site
from .ir.aval import Aval
from .ir.graph import Var
from .ir.primitive import set_builder
from .tensor import Storage, Tensor, grad_mode, unpack_raw
from .trace.body import BodyCapture
from .transform.vjp import Node, next_sequence, pull_back

# new carries and emitted values from carries and slices
Step = Callable[[list[Tensor], list[Tensor]], tuple[list[Tensor], list[Tensor]]]


class _Inputs(Node):
    """Where the history of a body's inputs begins."""

    __slots__ = ()

    def pull(self, cotangents: Sequence[Any], unpack: Callable[[Any], Any]) -> list[Any]:
        return []


class Body:
    """One traced step.

    Attributes:
        capture: the equations, with those of derivatives that were traced later.
        carries, slices: the values that stand for carries and slices of stacks.
        new, emitted: the tensors that the step returned.
        avals, edges: of the results: new carries, emitted values, carries the step began with.
        state: storages from outside that the step changes; they are carried too.
    """

    def __init__(
        self, step: Step, carries: Sequence[Aval], slices: Sequence[Aval], parent: Any
    ) -> None:
        self.state: list[Storage] = []
        while True:
            self._trace(step, carries, slices, parent)
            more = [s for s in self.capture.written() if s not in self.state]
            if not more:
                break
            self.state += more
        self._check()

    def _trace(
        self, step: Step, carries: Sequence[Aval], slices: Sequence[Aval], parent: Any
    ) -> None:
        self.capture = BodyCapture(parent, self.state)
        avals = [*carries, *slices]
        self.inputs = _Inputs("scan input", (), avals, user_site())
        self.floor = next_sequence()
        tensors = [self._input(k, a) for k, a in enumerate(avals)]
        self.carries = [t._value for t in tensors[: len(carries)]]
        self.slices = [t._value for t in tensors[len(carries) :]]
        enabled = grad_mode.enabled
        previous = set_builder(self.capture)
        try:
            self.new, self.emitted = step(tensors[: len(carries)], tensors[len(carries) :])
            self.new_values = [t._read() for t in self.new]
            self.emitted_values = [t._read() for t in self.emitted]
            results = [*self.new, *self.emitted]
            self.edges = [t._history() if t.dtype.is_differentiable else None for t in results]
        finally:
            set_builder(previous)
            grad_mode.enabled = enabled
        # the carries a step began with are results too: repeated steps start from them
        self.avals = [t.aval for t in results] + [v.aval for v in self.carries]
        self.edges += [t._edge for t in tensors[: len(carries)]]
        self.state_inputs = [self.capture.state[s] for s in self.state]
        self.state_values = [self.capture.cells[s].value for s in self.state]

    def _input(self, position: int, aval: Aval) -> Tensor:
        tensor = Tensor(Var(aval, "", self.capture))
        if grad_mode.enabled and aval.dtype.is_differentiable:
            tensor._edge = (self.inputs, position)
        return tensor

    def _check(self) -> None:
        capture = self.capture
        if capture.grads:
            raise CaptureError(
                "a .grad was written inside the body of a loop",
                "The body is one step of a compiled loop; gradients of tensors from outside cannot "
                "accumulate there.",
                "fg.autograd.grad inside the body, or backward() after the loop",
            )
        for tensor, edge in capture.outside_touched.items():
            if tensor._edge is not edge:
                tensor._edge = edge
                raise CaptureError(
                    f"a tensor {tensor.aval} from outside is changed in place, with gradients, "
                    "inside the body of a loop",
                    "Only changes without gradient history are carried from step to step.",
                    "make it part of the carry",
                )

    @property
    def fixed(self) -> dict[Var, Any]:
        """Loop constants: the value from outside by the one that stands for it inside."""
        return {var: value for value, var in self.capture.lifted.values()}

    def outside_edges(self) -> list[Any]:
        """Edges of tensors from outside that the results depend on."""
        found: dict[Any, None] = {}
        stack = [e for e in self.edges if e is not None]
        seen: set[Any] = set()
        while stack:
            edge = stack.pop()
            target = edge[0]
            if not isinstance(target, Node) or target.sequence < self.floor:
                if target is not self.inputs:
                    found[edge] = None
            elif target not in seen:
                seen.add(target)
                stack.extend(e for e in target.edges if e is not None)
        return list(found)

    def derive(self, given: Sequence[bool]) -> tuple[dict[Any, Any], dict[int, Var]]:
        """Append the derivative of the step for cotangents of the ``given`` outputs.

        Returns:
            cotangents by edge (of inputs and of tensors from outside), and the values that stand
            for the cotangents of the outputs.
        """
        cotangents: dict[int, Var] = {}
        roots = []
        for k, (edge, wanted) in enumerate(zip(self.edges, given, strict=True)):
            if wanted and edge is not None:
                cotangents[k] = Var(self.avals[k], "", self.capture)
                roots.append((edge, cotangents[k]))
        enabled, grad_mode.enabled = grad_mode.enabled, False
        try:
            with self.capture.active():
                found = pull_back(roots, unpack_raw, None, True, self.floor)
        finally:
            grad_mode.enabled = enabled
        return found, cotangents


def aval_of_edge(edge: Any) -> Aval:
    """Aval of what an edge leads to."""
    target, index = edge
    return target.out_avals[index] if isinstance(target, Node) else target.aval
