"""Loops over tensors: bodies are traced once, the loop is one equation, its gradient another loop.

In: a step function over tensors, from ``functions/control.py`` or from the body of a recorded scan.
Out: tensors whose history is one ``ScanNode``. When gradients are needed the derivative of the body
is traced with it, by the ordinary backward pass over what the step recorded, so detached values and
custom functions keep their meaning. That tells which values every step has to keep; the backward
pass binds a second scan that runs the other way. Gradients of gradients repeat the step inside a
scan over tensors, to any order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .errors import GradientError, InPlaceError, user_site
from .ir.aval import Aval
from .ir.graph import Var
from .ir.interpret import interpret
from .ir.primitive import Primitive, bind, current_builder
from .loopbody import Body, Step, aval_of_edge
from .ops import control, source
from .ops import elementwise as ew
from .tensor import Storage, Tensor, grad_mode, unpack_raw, unpack_tensor
from .transform.loopgrad import Totals, body_graph, choose_residuals, makers_of, needed_from
from .transform.vjp import Node, next_sequence, pull_back


def scan_tensors(
    step: Step, init: Sequence[Tensor], xs: Sequence[Tensor], length: int, reverse: bool
) -> tuple[list[Tensor], list[Tensor]]:
    """Trace ``step`` and bind the loop; final carries and stacks of what the steps emit."""
    slices = [Aval(x.shape[1:], x.dtype) for x in xs]
    body = Body(step, [c.aval for c in init], slices, current_builder())
    edges = [t._history() for t in (*init, *xs)] if grad_mode.enabled else []
    loop = Loop(step, body, list(init), list(xs), length, reverse)
    if grad_mode.enabled:
        loop.find_gradients(edges)
    return loop.bind()


class Loop:
    """A traced body applied to operands: binds the loop, later its derivative.

    Attributes:
        outside: edges of tensors from outside that gradients flow to.
        residuals: values of a step that are kept for the backward loop.
        node: the history of the results, ``None`` without gradients.
    """

    def __init__(
        self,
        step: Step,
        body: Body,
        init: list[Tensor],
        xs: list[Tensor],
        length: int,
        reverse: bool,
    ) -> None:
        self.step, self.body = step, body
        self.init, self.xs = init, xs
        self.length, self.reverse = length, reverse
        self.outside: list[Any] = []
        self.outside_avals: list[Aval] = []
        self.residuals: list[Var] = []
        self.node: ScanNode | None = None
        # what the backward pass may read of each step: the carries it began with
        self.began: list[Var] = [*body.carries, *body.state_inputs]

    def find_gradients(self, edges: Sequence[Any]) -> None:
        """Trace the derivative of the body; decide what to keep."""
        body = self.body
        forward = len(body.capture.eqns)
        self.outside = body.outside_edges()
        self.outside_avals = list(map(aval_of_edge, self.outside))
        if not self.outside and all(e is None for e in edges):
            return
        self.node = ScanNode(self, [*edges, *self.outside])
        given = [True] * (len(body.new) + len(body.emitted)) + [False] * len(body.new)
        try:
            found, _ = body.derive(given)
        except GradientError:
            return  # a step without a derivative: the backward pass says so
        before, after = body.capture.eqns[:forward], body.capture.eqns[forward:]
        made = makers_of(before)
        cotangents = [v for v in found.values() if isinstance(v, Var)]
        known = {*made, *body.fixed, *self.began, *body.slices}
        _, read = needed_from(cotangents, makers_of(after), _Either(known, after))
        free = {*body.fixed, *self.began, *body.slices}
        order = {v: k for k, v in enumerate(made)}
        needed = sorted((v for v in read if v in made), key=order.__getitem__)
        self.residuals = choose_residuals(needed, made, free)

    # --- forward ----------------------------------------------------------------------------------
    def bind(self) -> tuple[list[Tensor], list[Tensor]]:
        """The loop as one equation; its results as tensors."""
        body, capture = self.body, self.body.capture
        carries = [*body.state_inputs, *body.carries]
        kept = [*self.began, *self.residuals] if self.node is not None else []
        outputs = [*body.state_values, *body.new_values, *body.emitted_values, *kept]
        count = len(body.new) + len(body.emitted)
        self.raw_xs = [x._read() for x in self.xs]
        self.versions = self._memory()
        graph, fixed, xs = body_graph(
            outputs,
            makers_of(capture.eqns),
            body.fixed,
            carries,
            dict(zip(body.slices, self.raw_xs, strict=True)),
        )
        begin = [*[capture.outside(s) for s in body.state], *[c._read() for c in self.init]]
        results = bind(
            control.scan,
            *fixed,
            *begin,
            *xs,
            body=graph,
            consts=len(fixed),
            carries=len(carries),
            length=self.length,
            reverse=self.reverse,
        )
        states, rest = results[: len(body.state)], results[len(body.state) :]
        self.kept = dict(zip(kept, rest[count:], strict=True))
        for storage, value in zip(body.state, states, strict=True):
            self._write_state(storage, value)
        tensors = [Tensor(v) for v in rest[:count]]
        if self.node is not None:
            for k, (tensor, edge) in enumerate(zip(tensors, body.edges, strict=False)):
                if edge is not None:
                    tensor._edge = (self.node, k)
        return tensors[: len(body.new)], tensors[len(body.new) :]

    def _write_state(self, storage: Storage, value: Any) -> None:
        parent = self.body.capture.parent
        if parent is None:
            assert storage.array is not None
            np.copyto(storage.array, value)
            storage.counter += 1
            return
        cell = storage.cell if storage.owner is parent else parent.cells[storage]
        assert cell is not None
        cell.value = value
        cell.version += 1

    def _memory(self) -> list[tuple[Storage, int]]:
        """Memory that the backward pass reads again, with its version; in a capture values last."""
        if self.body.capture.parent is not None or self.node is None:
            return []
        storages = [*self.body.capture.cells, *[x._storage for x in self.xs]]
        return [(s, s.version) for s in storages if s not in self.body.state]

    # --- backward ---------------------------------------------------------------------------------
    def pull(self, cotangents: Sequence[Any]) -> list[Any]:
        """Cotangents of initial carries, stacks and outside edges, by a loop the other way."""
        for storage, version in self.versions:
            if storage.version != version:
                raise InPlaceError(
                    "a tensor that a loop read was changed in place before its backward pass",
                    f"It is at version {storage.version}; version {version} was read.",
                    "use the out-of-place form, or .clone() before the change",
                )
        return _Backward(self, cotangents).run()


class _Either:
    """What ``needed_from`` stops at: known values, and cotangents that nothing makes."""

    def __init__(self, known: Any, eqns: Sequence[Any]) -> None:
        self.known = known
        self.made = set(makers_of(eqns))

    def __contains__(self, var: Any) -> bool:
        return var in self.known or var not in self.made


class _Backward:
    """One backward loop: from the cotangents of the results to those of the operands."""

    def __init__(self, loop: Loop, cotangents: Sequence[Any]) -> None:
        self.loop, self.body = loop, loop.body
        self.cotangents = cotangents
        count = len(self.body.new)
        self.carried = [k for k in range(count) if self.body.edges[k] is not None]
        given = [
            k in self.carried if k < count else c is not None for k, c in enumerate(cotangents)
        ]
        self.found, self.entering = self.body.derive(given)
        self.made = makers_of(self.body.capture.eqns)

    def run(self) -> list[Any]:
        loop, body = self.loop, self.body
        count = len(body.new)
        stacks = {**dict(zip(body.slices, loop.raw_xs, strict=True)), **loop.kept}
        for k, var in self.entering.items():
            if k >= count:
                stacks[var] = self.cotangents[k]
        inner = [self.entering[k] for k in self.carried]
        leaving = [self._found(body.inputs, k, body.new[k].aval) for k in self.carried]
        totals = Totals(self.made, set(stacks), set(body.fixed))
        recipes, sums = self._constants(totals)
        sliced = {
            k: self.found[body.inputs, count + k]
            for k in range(len(loop.xs))
            if loop.node is not None
            and loop.node.edges[count + k] is not None
            and (body.inputs, count + k) in self.found
        }
        emitted = list(dict.fromkeys([*sliced.values(), *totals.emitted]))
        sum_inputs = [Var(s.aval, "", body.capture) for s in sums.values()]
        with body.capture.active(), body.capture.at(None):
            added = [ew.add(v, s) for v, s in zip(sum_inputs, sums.values(), strict=True)]
        made = {**self.made, **makers_of(body.capture.eqns[-len(added) :] if added else ())}
        graph, fixed, xs = body_graph(
            [*leaving, *added, *emitted], made, body.fixed, [*inner, *sum_inputs], stacks
        )
        begin = [
            zeros_of(body.new[k].aval) if self.cotangents[k] is None else self.cotangents[k]
            for k in self.carried
        ]
        results = bind(
            control.scan,
            *fixed,
            *begin,
            *[zeros_of(s.aval) for s in sums.values()],
            *xs,
            body=graph,
            consts=len(fixed),
            carries=len(leaving) + len(added),
            length=loop.length,
            reverse=not loop.reverse,
        )
        finals, ys = results[: len(leaving) + len(added)], results[len(leaving) + len(added) :]
        stacked = {**stacks, **dict(zip(emitted, ys, strict=True))}
        init: list[Any] = [None] * count
        for k, value in zip(self.carried, finals, strict=False):
            init[k] = value
        slices = [stacked[sliced[k]] if k in sliced else None for k in range(len(loop.xs))]
        summed = dict(zip(sums, finals[len(leaving) :], strict=True))
        fixed_of = body.fixed

        def stack(var: Var) -> Any:
            return stacked[var] if var in stacked else fixed_of[var]

        outside = [
            summed[e] if e in summed else recipes[e](stack) if e in recipes else None
            for e in loop.outside
        ]
        return [*init, *slices, *outside]

    def _found(self, target: Any, index: int, aval: Aval) -> Any:
        value = self.found.get((target, index))
        if value is None:
            with self.body.capture.active(), self.body.capture.at(None):
                value = zeros_of(aval)
            self.made.update(makers_of(self.body.capture.eqns[-1:]))
        return value

    def _constants(self, totals: Totals) -> tuple[dict[Any, Any], dict[Any, Var]]:
        """For each outside edge a recipe over stacks, or the per-step value to add up."""
        recipes: dict[Any, Any] = {}
        sums: dict[Any, Var] = {}
        for edge in self.loop.outside:
            value = self.found.get(edge)
            if value is None:
                continue
            recipe = totals.recipe(value)
            if recipe is None:
                sums[edge] = value
            else:
                recipes[edge] = recipe
        return recipes, sums


def zeros_of(aval: Aval) -> Any:
    """Zeros as a raw value."""
    return source.full(shape=aval.shape, dtype=aval.dtype, value=0)


class ScanNode(Node):
    """The history of a loop's results; edges: initial carries, stacks, tensors from outside."""

    __slots__ = ("loop",)
    loop: Loop | None

    def __init__(self, loop: Loop, edges: Sequence[Any]) -> None:
        body = loop.body
        count = len(body.new)
        avals = [
            a if k < count else control.stacked(a, loop.length) for k, a in enumerate(body.avals)
        ]
        super().__init__("scan", edges, avals, user_site())
        self.loop = loop

    def pull(self, cotangents: Sequence[Any], unpack: Callable[[Any], Any]) -> list[Any]:
        assert self.loop is not None
        if unpack is unpack_raw:
            return self.loop.pull(cotangents)
        return _pull_recorded(self, self.loop, cotangents)

    def free(self) -> None:
        self.loop = None
        self.freed = True


def _pull_recorded(node: ScanNode, loop: Loop, cotangents: Sequence[Any]) -> list[Any]:
    """The backward loop as a scan over tensors that repeats each step and differentiates it."""
    body, xs, n = loop.body, loop.xs, len(loop.body.new)
    if body.state:
        raise GradientError(
            "create_graph=True through a loop that changes tensors from outside",
            "Its steps draw random numbers or update buffers, so they cannot be repeated.",
            "draw the random numbers before the loop and pass them as xs",
            node.site,
        )
    carried = [k for k in range(n) if body.edges[k] is not None]
    given = [k for k in range(n, len(cotangents)) if cotangents[k] is not None]
    began = [_kept_tensor(node, loop, k) for k in range(n)]
    sliced = [k for k, x in enumerate(xs) if x.dtype.is_differentiable]

    def back(carry: list[Tensor], slices: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        floor = next_sequence()
        starts = [_start(t) for t in slices[: n + len(xs)]]
        new, ys = loop.step(starts[:n], starts[n:])
        results = [*new, *ys, *starts[:n]]
        arriving = [*carry[: len(carried)], *slices[n + len(xs) :]]
        edges = [results[k]._history() for k in (*carried, *given)]
        roots = [(e, c) for e, c in zip(edges, arriving, strict=True) if e is not None]
        inner = [t._history() for t in starts]
        wanted = {e for e in (*inner, *loop.outside) if e is not None}
        found = pull_back(roots, unpack_tensor, wanted, True, floor)
        sums = [
            s if e not in found else ew.add(s, found[e])
            for e, s in zip(loop.outside, carry[len(carried) :], strict=True)
        ]
        leaving = [found.get(e) for e in inner]
        parts = [or_zeros(leaving[k], body.new[k].aval) for k in carried]
        return [*parts, *sums], [or_zeros(leaving[n + k], starts[n + k].aval) for k in sliced]

    begin = [or_zeros(cotangents[k], body.avals[k]) for k in carried]
    begin += [or_zeros(None, a) for a in loop.outside_avals]
    stacks = [*began, *xs, *[cotangents[k] for k in given]]
    finals, ys = scan_tensors(back, begin, stacks, loop.length, not loop.reverse)
    result: list[Any] = [None] * (n + len(xs))
    for k, value in zip(carried, finals, strict=False):
        result[k] = value
    for k, value in zip(sliced, ys, strict=True):
        result[n + k] = value
    return [*result, *finals[len(carried) :]]


def _kept_tensor(node: ScanNode, loop: Loop, k: int) -> Tensor:
    """The stack of one carry as a tensor whose history is the loop itself."""
    tensor = Tensor(loop.kept[loop.body.carries[k]])
    if tensor.dtype.is_differentiable:
        tensor._edge = (node, len(loop.body.new) + len(loop.body.emitted) + k)
    return tensor


def _start(tensor: Tensor) -> Tensor:
    """The same value, with a history to differentiate by."""
    out = Tensor(tensor._read())
    out._edge = tensor._history()
    if out._edge is None and out.dtype.is_differentiable:
        out._requires_grad = True
    return out


def or_zeros(value: Any, aval: Aval) -> Tensor:
    """A cotangent as a tensor, zeros where there is none."""
    if value is None:
        return Tensor(zeros_of(aval))
    return value if isinstance(value, Tensor) else Tensor(value)


def bind_on_tensors(primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
    """Apply a recorded loop to tensors: its body is traced again, with gradients."""
    if primitive is not control.scan:
        from .branches import rebind  # late: it imports this module

        return rebind(primitive, args, params)
    fixed, init, xs = control.split_operands(args, params)
    body, carries = params["body"], params["carries"]

    def step(carry: list[Tensor], slices: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        values = [as_tensor(v) for v in interpret(body, [*fixed, *carry, *slices])]
        return values[:carries], values[carries:]

    finals, ys = scan_tensors(
        step, list(map(as_tensor, init)), list(map(as_tensor, xs)), params["length"],
        params["reverse"],
    )  # fmt: skip
    return (*finals, *ys)


def as_tensor(value: Any) -> Tensor:
    """A tensor from a tensor, a Var or an array."""
    if isinstance(value, Tensor):
        return value
    return Tensor(value if isinstance(value, Var) else np.asarray(value))
