"""What reverse mode of a loop decides on the graph of its body: residuals, and sums over steps.

In: the equations of a body, forward part first, then the derivative that was appended. Out: which
forward values each step keeps for the backward loop (the others are computed again), the equations
a set of outputs needs, and for the cotangent of a loop constant a recipe that contracts stacked
values over all steps at once after the loop, where that beats adding it up inside.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from typing import Any

from ..ir.graph import Atom, Eqn, Graph, Literal, Var
from ..ir.primitive import bind
from ..ops import elementwise as ew
from ..ops import movement, reduce
from ..ops.contract import dot

# Values this cheap (in additions) are computed again instead of kept.
CHEAP = 2.0
# Operands of a product are emitted when they are at most this many times as large as the product;
# what is summed over axes as well may be larger, since it is read once.
DOT_RATIO, SUM_RATIO = 4, 64

Makers = Mapping[Var, Eqn]


def makers_of(eqns: Iterable[Eqn]) -> dict[Var, Eqn]:
    """The equation that made each value."""
    return {o: e for e in eqns for o in e.outputs}


def _cheap(eqn: Eqn) -> bool:
    kind = eqn.primitive.kind
    return kind in ("movement", "source") or (kind == "elementwise" and eqn.primitive.cost <= CHEAP)


def needed_from(
    outputs: Iterable[Atom], makers: Makers, given: Container[Var]
) -> tuple[list[Eqn], list[Var]]:
    """Equations behind ``outputs`` up to the ``given`` values, in order; the given ones they read.

    Raises:
        KeyError: an output depends on a value that is neither given nor made.
    """
    eqns: dict[Eqn, None] = {}
    read: dict[Var, None] = {}

    def visit(start: Atom) -> None:
        stack: list[tuple[Atom, bool]] = [(start, False)]
        while stack:
            atom, done = stack.pop()
            if isinstance(atom, Literal):
                continue
            if atom in given:
                read[atom] = None
                continue
            eqn = makers[atom]
            if done:
                eqns[eqn] = None
            elif eqn not in eqns:
                stack.append((atom, True))
                stack.extend((a, False) for a in reversed(eqn.inputs))

    for output in outputs:
        visit(output)
    return list(eqns), list(read)


def choose_residuals(needed: Sequence[Var], makers: Makers, free: Collection[Var]) -> list[Var]:
    """Forward values to keep, so that from them and ``free`` all ``needed`` ones are cheap.

    A needed value is kept itself, or the values behind the cheap arithmetic that made it, whichever
    is less memory.
    """
    chosen: dict[Var, None] = {}

    def leaves(var: Var, found: dict[Var, None]) -> None:
        stack: list[Var] = [var]
        seen: set[Var] = set()
        while stack:
            v = stack.pop()
            if v in seen or v in free or v in chosen:
                continue
            seen.add(v)
            eqn = makers[v]
            if _cheap(eqn):
                stack.extend(a for a in eqn.inputs if isinstance(a, Var))
            else:
                found[v] = None

    for var in needed:
        behind: dict[Var, None] = {}
        leaves(var, behind)
        if sum(v.aval.nbytes for v in behind) <= var.aval.nbytes:
            chosen.update(behind)
        else:
            chosen[var] = None
    return list(chosen)


Stack = Callable[[Var], Any]


class Totals:
    """Recipes for the sum over all steps of per-step values.

    Attributes:
        emitted: values that the recipes read stacked over the steps.
    """

    def __init__(self, makers: Makers, stacks: Collection[Var], fixed: Collection[Var]) -> None:
        self.makers = makers
        self.stacks = stacks  # available stacked without being emitted
        self.fixed = fixed  # the same in every step
        self.emitted: dict[Var, None] = {}

    def recipe(self, var: Atom) -> Callable[[Stack], Any] | None:
        """A function of ``stack(var)`` that binds the sum; ``None``: add up inside the loop."""
        if isinstance(var, Literal):
            return None
        eqn = self.makers.get(var)
        if var in self.fixed:
            return None
        if eqn is None or var in self.stacks:
            if var not in self.stacks:
                self.emitted[var] = None
            return lambda stack: bind(reduce.sum_, stack(var), axes=(0,))
        primitive = eqn.primitive
        if primitive is dot:
            return self._dot(eqn)
        if primitive is reduce.sum_:
            return self._sum(eqn)
        if primitive is ew.add:
            return self._linear(eqn, (0, 1))
        if primitive is ew.neg or (primitive.kind == "movement" and len(eqn.inputs) == 1):
            filled = primitive is movement.pad and eqn.params["value"] != 0
            return None if filled else self._linear(eqn, (0,))
        if primitive is ew.mul:
            for k in (0, 1):
                if isinstance(eqn.inputs[1 - k], Literal):
                    return self._linear(eqn, (k,))
        return None

    def _linear(self, eqn: Eqn, summed: Sequence[int]) -> Callable[[Stack], Any] | None:
        """The same operation on the sums of its operands; the others are literals."""
        parts = {k: self.recipe(eqn.inputs[k]) for k in summed}
        if any(p is None for p in parts.values()):
            return None

        def total(stack: Stack) -> Any:
            args = [parts[k](stack) if k in parts else a for k, a in enumerate(eqn.inputs)]  # type: ignore[misc]
            return bind(eqn.primitive, *args, **eqn.params)

        return total

    def _extra(self, atoms: Iterable[Atom]) -> int:
        """Bytes that emitting these values adds to a step."""
        return sum(
            a.aval.nbytes
            for a in atoms
            if isinstance(a, Var) and a not in self.stacks and a not in self.emitted
        )

    def _dot(self, eqn: Eqn) -> Callable[[Stack], Any] | None:
        x, y = eqn.inputs
        if any(isinstance(a, Literal) or a in self.fixed for a in (x, y)):
            return None
        if self._extra((x, y)) > DOT_RATIO * eqn.outputs[0].aval.nbytes:
            return None
        self.emitted.update({a: None for a in (x, y) if a not in self.stacks})  # type: ignore[misc]
        moved = {k: tuple(a + 1 for a in eqn.params[k]) for k in ("cx", "cy", "bx", "by")}
        params = {**moved, "cx": (0, *moved["cx"]), "cy": (0, *moved["cy"])}
        return lambda stack: bind(dot, stack(x), stack(y), **params)  # type: ignore[arg-type]

    def _sum(self, eqn: Eqn) -> Callable[[Stack], Any] | None:
        (x,) = eqn.inputs
        if isinstance(x, Literal) or x in self.fixed:
            return None
        if self._extra((x,)) > SUM_RATIO * eqn.outputs[0].aval.nbytes:
            return None
        if x not in self.stacks:
            self.emitted[x] = None
        axes = (0, *(a + 1 for a in eqn.params["axes"]))
        return lambda stack: bind(reduce.sum_, stack(x), axes=axes)


def body_graph(
    outputs: Sequence[Atom],
    makers: Makers,
    fixed: Mapping[Var, Any],
    carries: Sequence[Var],
    stacks: Mapping[Var, Any],
) -> tuple[Graph, list[Any], list[Any]]:
    """The graph of a loop body that computes ``outputs``.

    Args:
        outputs: new carries, then what a step emits.
        makers: the equations at hand.
        fixed: loop constants by the value that stands for them inside.
        carries: carried values.
        stacks: stacked operands by the value that stands for a slice.

    Returns:
        the graph, and the constants and stacks that it reads, in order.
    """
    given = {*fixed, *carries, *stacks}
    eqns, read = needed_from(outputs, makers, given)
    used = set(read)
    inside = [v for v in fixed if v in used]
    slices = [v for v in stacks if v in used]
    graph = Graph([*inside, *carries, *slices], eqns, outputs)
    return graph, [fixed[v] for v in inside], [stacks[v] for v in slices]
