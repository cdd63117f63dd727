"""Gradients through a jitted function from outside: the history of what it returned.

A jitted forward pass may be followed by an eager ``loss.backward()``. Its outputs then carry a
``ReplayNode``, whose backward pass is a second compiled program: the captured graph once more, with
its derivative, from the values the call saw. That is only sound when the call changed no state, so
otherwise the node refuses and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from . import autograd
from .dtypes import stored
from .errors import GradientError, InPlaceError, user_site
from .ir.interpret import interpret
from .tensor import Tensor, unpack_raw
from .transform.vjp import Node

if TYPE_CHECKING:
    from .traced import Trace


class ReplayNode(Node):
    """The history of the outputs of one jitted call."""

    __slots__ = ("inputs", "trace", "versions")

    def __init__(self, trace: Trace, inputs: Sequence[Tensor], edges: Sequence[Any]) -> None:
        avals = [slot.aval for _, slot in trace.slots]
        super().__init__("jit", edges, avals, user_site())
        self.trace = trace
        self.inputs = tuple(inputs)
        self.versions = [x._storage.version for x in inputs]

    def pull(self, cotangents: Sequence[Any], unpack: Callable[[Any], Any]) -> list[Any]:
        trace = self.trace
        if trace.mutated:
            raise GradientError(
                "backward through the result of a jitted function that changes state",
                "The state it read (parameters it updated, a random generator) is gone.",
                "call backward() inside the jitted function",
                self.site,
            )
        if unpack is not unpack_raw:
            raise GradientError(
                "create_graph=True through the result of a jitted function",
                "The history from outside reaches first derivatives only.",
                "use autograd.grad(create_graph=True) inside the jitted function",
                self.site,
            )
        for x, version in zip(self.inputs, self.versions, strict=True):
            if x._storage.version != version:
                raise InPlaceError(
                    f"a tensor {x.aval} that a jitted function read was changed in place",
                    "The backward pass runs the function's graph again from the same values.",
                    "call backward() before the update",
                    self.site,
                )
        wanted = [k for k, edge in enumerate(self.edges) if edge is not None]
        given = [k for k, c in enumerate(cotangents) if c is not None]
        grads = self._program(trace, tuple(given), tuple(wanted))(
            list(self.inputs), [Tensor(cotangents[k]) for k in given]
        )
        result: list[Any] = [None] * len(self.edges)
        for k, grad in zip(wanted, grads, strict=True):
            result[k] = None if grad is None else grad._read()
        return result

    def _program(self, trace: Trace, given: tuple[int, ...], wanted: tuple[int, ...]) -> Any:
        key = (given, wanted)
        if key not in trace.replays:
            trace.replays[key] = trace.options.make(_gradient_of(trace, given, wanted))
        return trace.replays[key]

    def free(self) -> None:
        self.inputs = ()
        self.freed = True


def _gradient_of(trace: Trace, given: Sequence[int], wanted: Sequence[int]) -> Callable[..., Any]:
    """A function of (inputs, cotangents) that returns the cotangents of the wanted inputs."""

    def gradient(inputs: list[Tensor], cotangents: list[Tensor]) -> list[Any]:
        leaves = [x.detach() for x in inputs]  # type: ignore[attr-defined]
        for k in wanted:
            leaves[k]._requires_grad = True
        with autograd.enable_grad():
            outputs = interpret(trace.captured, leaves)
        chosen = [outputs[trace.slots[k][0]] for k in given]
        return list(
            autograd.grad(chosen, [leaves[k] for k in wanted], list(cotangents), allow_unused=True)
        )

    return gradient


class Attachment:
    """What the nodes of all calls of one trace share: state inputs, edges, places of arguments."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.inputs: list[Any] = []
        self.edges: list[Any] = []
        self.places: list[tuple[int, int, Any]] = []  # (graph input, argument, Var)
        self.refusal: ReplayNode | None = None
        by_var = {
            t._storage.cell.initial: k  # type: ignore[union-attr]
            for k, (_, t, _) in enumerate(trace.arguments)
        }
        leaf_of = {
            t._storage: t
            for t, (_, requires, _) in trace.capture.touched.items()
            if requires and not t._path
        }
        storage_of = {cell.initial: s for s, cell in trace.capture.cells.items()}
        for k, var in enumerate(trace.captured.inputs):
            edge = None
            value: Any = None
            if var in by_var:
                self.places.append((k, by_var[var], var))
            elif var in storage_of:
                owner = leaf_of.get(storage_of[var])
                value = (
                    owner if owner is not None else Tensor(storage_of[var].array, storage_of[var])
                )
                edge = None if owner is None else (owner, 0)
            else:
                value = Tensor(trace.capture.consts[var])
            self.inputs.append(value)
            self.edges.append(edge)
        if trace.mutated:  # its backward pass only explains itself: one node serves all calls
            self.refusal = ReplayNode(trace, (), [])

    def node(self, arguments: Sequence[Any]) -> ReplayNode:
        """The node for one call."""
        if self.refusal is not None:
            return self.refusal
        inputs, edges = self.inputs.copy(), self.edges.copy()
        for k, position, var in self.places:
            value = arguments[position]
            if not isinstance(value, Tensor):
                value = Tensor(_array(value, var))
            elif value._requires_grad or value._edge is not None:
                edges[k] = value._history()
            inputs[k] = value
        return ReplayNode(self.trace, inputs, edges)


def _array(value: Any, var: Any) -> Any:
    return stored(value, var.aval.dtype)
