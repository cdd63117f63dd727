"""Branches and loops of unknown length over tensors, inside a capture.

In: functions over tensors from ``functions/control.py``. Out: tensors made by one ``cond`` or
``while`` equation. The gradient of a branch is a branch between the gradients of both functions,
which compute again what they need. A loop whose number of steps is known only when it ends keeps
nothing to walk back through, so it has no reverse mode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .dtypes import int64
from .errors import CaptureError, GradientError, ShapeError, user_site
from .ir.aval import Aval, aval_of
from .ir.graph import Graph, Var
from .ir.interpret import interpret
from .ir.primitive import Primitive, bind, current_builder
from .loopbody import Body, aval_of_edge
from .loops import as_tensor, or_zeros, zeros_of
from .ops import compare as cmp
from .ops import control
from .tensor import Tensor, grad_mode, unpack_raw, unpack_tensor
from .transform.loopgrad import makers_of, needed_from
from .transform.vjp import Node, next_sequence, pull_back

Branch = Callable[[], list[Tensor]]


def _traced(function: Branch, what: str) -> Body:
    body = Body(lambda carry, _: (function(), []), [], [], current_builder())
    if body.state:
        raise CaptureError(
            f"{what} changes a tensor from outside",
            "Random numbers and in-place changes cannot happen in one branch only.",
            "draw the numbers before the branch, return the new value and assign it afterwards",
        )
    return body


def _joint(
    bodies: Sequence[Body], outputs: Sequence[Sequence[Any]], given: Sequence[dict[Var, Any]]
) -> tuple[list[Graph], list[Any]]:
    """Graphs of several bodies that take the same operands, and these operands."""
    operands: dict[Any, Any] = {}
    reads: list[dict[Any, Var]] = []
    parts = []
    for body, outs, extra in zip(bodies, outputs, given, strict=True):
        known = {**body.fixed, **extra}
        eqns, read = needed_from(outs, makers_of(body.capture.eqns), known)
        parts.append((eqns, outs))
        # one value may be both a constant and a cotangent, under two names inside
        reads.append({(v in extra, id(known[v])): v for v in read})
        operands.update({(v in extra, id(known[v])): known[v] for v in read})
    graphs = []
    for (eqns, outs), mine in zip(parts, reads, strict=True):
        inputs = [mine.get(key) or Var(aval_of(value)) for key, value in operands.items()]
        graphs.append(Graph(inputs, eqns, outs))
    return graphs, list(operands.values())


def cond_tensors(pred: Tensor, branches: tuple[Branch, Branch]) -> list[Tensor]:
    """The results of the first branch where ``pred`` (int64) is not zero, else of the second."""
    bodies = [_traced(b, "a branch of cond") for b in branches]
    avals = [b.avals for b in bodies]
    if avals[0] != avals[1]:
        raise ShapeError(
            f"the branches of a cond return {', '.join(map(str, avals[0]))} and "
            f"{', '.join(map(str, avals[1]))}",
            "Both branches return values of the same shapes and dtypes.",
            "convert with .to(dtype), or expand to one shape",
        )
    choice = Choice(pred, branches, bodies)
    graphs, operands = _joint(bodies, [b.new_values for b in bodies], [{}, {}])
    found = bind(control.cond, pred._read(), *operands, true=graphs[0], false=graphs[1])
    results = [Tensor(v) for v in found]
    if choice.edges:
        node = CondNode(choice, avals[0])
        for k, tensor in enumerate(results):
            if any(b.edges[k] is not None for b in bodies):
                tensor._edge = (node, k)
    return results


class Choice:
    """Two traced branches.

    Attributes:
        edges: where gradients flow to, from either branch.
    """

    def __init__(self, pred: Tensor, branches: tuple[Branch, Branch], bodies: list[Body]) -> None:
        self.pred, self.branches, self.bodies = pred, branches, bodies
        self.raw = pred._read()
        self.edges: dict[Any, Aval] = {}
        if grad_mode.enabled:
            edges = [e for body in bodies for e in body.outside_edges()]
            self.edges = {e: aval_of_edge(e) for e in edges}

    def pull(self, cotangents: Sequence[Any]) -> list[Any]:
        """Cotangents of the edges: a branch between both derivatives."""
        outputs, given = [], []
        for body in self.bodies:
            found, entering = body.derive([c is not None for c in cotangents])
            with body.capture.active(), body.capture.at(None):
                outputs.append([
                    found[e] if e in found else zeros_of(a) for e, a in self.edges.items()
                ])  # fmt: skip
            given.append({var: cotangents[k] for k, var in entering.items()})
        graphs, operands = _joint(self.bodies, outputs, given)
        return list(bind(control.cond, self.raw, *operands, true=graphs[0], false=graphs[1]))

    def pull_recorded(self, cotangents: Sequence[Any]) -> list[Any]:
        """The same over tensors, for derivatives of derivatives: the branches run again."""
        edges = list(self.edges)

        def back(branch: Branch) -> list[Tensor]:
            floor = next_sequence()
            pairs = zip(branch(), cotangents, strict=True)
            roots = [(t._history(), c) for t, c in pairs if c is not None]
            roots = [(e, c) for e, c in roots if e is not None]
            found = pull_back(roots, unpack_tensor, set(edges), True, floor)
            return [or_zeros(found.get(e), self.edges[e]) for e in edges]

        first, second = self.branches
        return list(cond_tensors(self.pred, (lambda: back(first), lambda: back(second))))


class CondNode(Node):
    """The history of the results of a branch."""

    __slots__ = ("choice",)
    choice: Choice | None

    def __init__(self, choice: Choice, avals: Sequence[Aval]) -> None:
        super().__init__("cond", list(choice.edges), avals, user_site())
        self.choice = choice

    def pull(self, cotangents: Sequence[Any], unpack: Callable[[Any], Any]) -> list[Any]:
        assert self.choice is not None
        if unpack is unpack_raw:
            return self.choice.pull(cotangents)
        return self.choice.pull_recorded(cotangents)

    def free(self) -> None:
        self.choice = None
        self.freed = True


# --- loops of unknown length ----------------------------------------------------------------------
class WhileNode(Node):
    """The history of a loop of unknown length: it refuses."""

    __slots__ = ()

    def pull(self, cotangents: Sequence[Any], unpack: Callable[[Any], Any]) -> list[Any]:
        raise GradientError(
            "reverse mode through a compiled while_loop",
            "The number of steps is known only when the loop ends, so its steps cannot be kept.",
            "fg.scan with an upper bound on the number of steps and fg.where, or run it eagerly",
            self.site,
        )


def while_tensors(
    test: Callable[[list[Tensor]], Tensor],
    step: Callable[[list[Tensor]], list[Tensor]],
    init: Sequence[Tensor],
) -> list[Tensor]:
    """Repeat ``step`` on tensors while ``test`` (int64) is not zero."""
    parent = current_builder()
    avals = [t.aval for t in init]
    bodies = [
        Body(lambda carry, _: ([test(carry)], []), avals, [], parent),
        Body(lambda carry, _: (step(carry), []), avals, [], parent),
    ]
    for body in bodies:
        if body.state:
            raise CaptureError(
                "a while_loop changes a tensor from outside",
                "Only its carry passes from step to step.",
                "make the tensor part of the carry",
            )
    carries: list[dict[Var, Any]] = [{v: (k, v) for k, v in enumerate(b.carries)} for b in bodies]
    graphs, consts = _joint_loop(bodies, carries)
    begin = [t._read() for t in init]
    found = bind(
        control.while_, *consts, *begin, test=graphs[0], body=graphs[1], consts=len(consts)
    )
    results = [Tensor(v) for v in found]
    if grad_mode.enabled:
        edges = [*(t._history() for t in init), *bodies[1].outside_edges()]
        if any(e is not None for e in edges):
            node = WhileNode("while_loop", edges, avals, user_site())
            for k, tensor in enumerate(results):
                if tensor.dtype.is_differentiable:
                    tensor._edge = (node, k)
    return results


def _joint_loop(
    bodies: Sequence[Body], carries: Sequence[dict[Var, Any]]
) -> tuple[list[Graph], list[Any]]:
    """Test and body over the same constants and the carries."""
    parts, operands = [], {}
    for body, own in zip(bodies, carries, strict=True):
        fixed = body.fixed
        eqns, read = needed_from(body.new_values, makers_of(body.capture.eqns), {*fixed, *own})
        inside = {id(fixed[v]): v for v in read if v in fixed}
        operands.update({id(fixed[v]): fixed[v] for v in read if v in fixed})
        parts.append((eqns, inside))
    graphs = []
    for body, (eqns, inside) in zip(bodies, parts, strict=True):
        consts = [inside.get(key) or Var(aval_of(value)) for key, value in operands.items()]
        graphs.append(Graph([*consts, *body.carries], eqns, body.new_values))
    return graphs, list(operands.values())


# --- recorded equations over tensors --------------------------------------------------------------
def rebind(primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> tuple[Any, ...]:
    """Apply a recorded ``cond`` or ``while`` to tensors; its graphs are traced again."""
    if primitive is control.cond:
        pred, *operands = args

        def branch(graph: Graph) -> Branch:
            return lambda: [as_tensor(v) for v in interpret(graph, operands)]

        branches = (branch(params["true"]), branch(params["false"]))
        return tuple(cond_tensors(as_tensor(pred), branches))
    fixed, init = args[: params["consts"]], args[params["consts"] :]

    def run(graph: Graph, carry: list[Tensor]) -> list[Tensor]:
        return [as_tensor(v) for v in interpret(graph, [*fixed, *carry])]

    return tuple(
        while_tensors(
            lambda carry: run(params["test"], carry)[0],
            lambda carry: run(params["body"], carry),
            list(map(as_tensor, init)),
        )
    )


def as_condition(value: Tensor, name: str) -> Tensor:
    """A condition as int64, which is what jumps read."""
    if value.aval.size != 1:
        raise ShapeError(
            f"{name} got a condition {value.aval}",
            "A condition is one boolean.",
            ".all() or .any() of it",
        )
    flat = value if not value.aval.shape else value.reshape(())
    return cmp.convert(cmp.ne(flat, 0), dtype=int64)
