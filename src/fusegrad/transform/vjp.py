"""Reverse mode: a loop over recorded applications that never names an operation.

A ``Node`` records one application: its primitive, where its operands came from (edges) and the
residuals its rules ask for. ``pull_back`` walks nodes from the outputs to the leaves and binds the
rules. Eagerly the rules compute; inside a capture the same rules append equations to the same
graph, so differentiation is IR to IR and nests to any order.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from ..dtypes import DType, float32
from ..errors import GradientError, Site
from ..ir.aval import Aval, aval_of
from ..ir.primitive import Primitive, current_builder, wide_params
from ..ops.compare import convert
from ..ops.complex import conj
from ..ops.elementwise import add

_sequence = itertools.count()


class _Anomaly(threading.local):
    enabled = False


anomaly = _Anomaly()  # whether cotangents are searched for nan


def next_sequence() -> int:
    """A number below those of all nodes still to come."""
    return next(_sequence)


class Node:
    """One recorded application.

    Attributes:
        edges: for each operand the ``(node or leaf, output index)`` it came from, or ``None``.
        out_avals: avals of the outputs.
        hooks: functions applied to the cotangent of each output, ``(output index, hook)``.
    """

    __slots__ = ("edges", "freed", "hooks", "name", "out_avals", "sequence", "site")

    def __init__(
        self, name: str, edges: Sequence[Any], out_avals: Sequence[Aval], site: Site | None
    ) -> None:
        self.name = name
        self.edges = tuple(edges)
        self.out_avals = tuple(out_avals)
        self.site = site
        self.sequence = next(_sequence)
        self.hooks: list[tuple[int, Callable[[Any], Any]]] = []
        self.freed = False

    def pull(self, cotangents: Sequence[Any], unpack: Callable[[Any], Any]) -> list[Any]:
        """Cotangents of the operands from those of the outputs (``None``: no gradient)."""
        raise NotImplementedError

    def free(self) -> None:
        """Drop the residuals."""
        self.freed = True

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """Where the gradients of the operands go: ``(node, output index)`` of each."""
        return tuple(
            (None, 0)
            if edge is None
            else (edge[0] if isinstance(edge[0], Node) else AccumulateGrad(edge[0]), edge[1])
            for edge in self.edges
        )

    def __repr__(self) -> str:
        return f"<{self.name}{f' recorded at {self.site.short}' if self.site else ''}>"


class AccumulateGrad:
    """The end of a history: the leaf ``variable`` whose ``.grad`` a backward pass adds to."""

    next_functions: tuple[()] = ()

    def __init__(self, variable: Any) -> None:
        self.variable = variable

    def __repr__(self) -> str:
        return f"<AccumulateGrad of {self.variable.aval}>"


class PrimitiveNode(Node):
    """A node whose rules are those of a primitive record."""

    __slots__ = ("in_avals", "params", "primitive", "saved")

    def __init__(
        self,
        primitive: Primitive,
        params: dict[str, Any],
        edges: Sequence[Any],
        in_avals: Sequence[Aval],
        out_aval: Aval,
        saved: dict[str, Any],
        site: Site | None,
    ) -> None:
        super().__init__(primitive.name, edges, (out_aval,), site)
        self.primitive = primitive
        self.params = params
        self.in_avals = tuple(in_avals)
        self.saved = saved

    def pull(self, cotangents: Sequence[Any], unpack: Callable[[Any], Any]) -> list[Any]:
        primitive = self.primitive
        result: list[Any] = []
        if self._reduced():
            return self._pull_wide(cotangents, unpack)
        pool: dict[str, Any] = {"g": cotangents[0]}
        conjugate = self.out_avals[0].dtype.is_complex and primitive.holomorphic
        for i, edge in enumerate(self.edges):
            k = min(i, len(primitive.derivs) - 1)  # a variadic primitive has one rule
            rule = primitive.derivs[k]
            if edge is None or rule is None:
                result.append(None)
                continue
            needs = primitive.needs[k]
            args = {n: self._residual(n, i, pool, unpack) for n in needs}
            if conjugate and any(n in self.saved and _is_complex(args[n]) for n in needs):
                # The rule multiplies by the derivative; the cotangent of a complex operand is
                # multiplied by its conjugate.
                result.append(conj(rule(**{**args, "g": conj(args["g"])})))
            else:
                result.append(rule(**args))
        return result

    def _reduced(self) -> bool:
        """Whether the rules read or make numbers of half precision."""
        avals = [a for a in (*self.in_avals, *self.out_avals) if a is not None]
        if not any(a.dtype.reduced for a in avals):
            return False
        return self.primitive.kind != "movement" and not self.primitive.gathers

    def _pull_wide(self, cotangents: Sequence[Any], unpack: Callable[[Any], Any]) -> list[Any]:
        """The rules computed in ``float32``; each cotangent is rounded once, when it is done."""
        wide = PrimitiveNode.__new__(PrimitiveNode)
        wide.primitive, wide.edges = self.primitive, self.edges
        wide.params = wide_params(self.params)
        wide.in_avals = tuple(a and Aval(a.shape, a.dtype.compute) for a in self.in_avals)
        wide.out_avals = tuple(Aval(a.shape, a.dtype.compute) for a in self.out_avals)
        wide.saved = self.saved
        pulled = wide.pull(
            [g if g is None else _as(g, float32) for g in cotangents],
            lambda saved: _as(unpack(saved), float32),
        )
        return [
            _as(g, aval.dtype) if g is not None and aval is not None and aval.dtype.reduced else g
            for g, aval in zip(pulled, self.in_avals, strict=True)
        ]

    def _residual(
        self, name: str, i: int, pool: dict[str, Any], unpack: Callable[[Any], Any]
    ) -> Any:
        if name in pool:
            return pool[name]
        if name in self.saved:
            pool[name] = unpack(self.saved[name])
            return pool[name]
        if name in self.params:
            return self.params[name]
        if name == "index":
            return i
        if name == "in_avals":
            return self.in_avals
        return self.in_avals[self.primitive.arg_names.index(name.removesuffix("_aval"))]

    def free(self) -> None:
        self.saved = {}
        self.freed = True


def _as(value: Any, dtype: DType) -> Any:
    """A half-precision value, or one that becomes it, in ``dtype``; others as they are."""
    have = aval_of(value).dtype
    return convert(value, dtype=dtype) if have is not dtype and have.compute is float32 else value


def _is_complex(value: Any) -> bool:
    return not isinstance(value, (bool, int, float)) and aval_of(value).dtype.is_complex


def residual_names(primitive: Primitive, active: Iterable[int]) -> set[str]:
    """Names of operands (and ``out``) that the rules of the active operands ask for."""
    names: set[str] = set()
    for i in active:
        k = min(i, len(primitive.needs) - 1)
        names.update(n for n in primitive.needs[k] if n in primitive.arg_names or n == "out")
    return names


def pull_back(
    roots: Sequence[tuple[Any, Any]],
    unpack: Callable[[Any], Any],
    wanted: set[Any] | None = None,
    retain: bool = False,
    floor: int = 0,
) -> dict[Any, Any]:
    """Cotangents of leaves (or of the ``wanted`` edges) for the given root cotangents.

    Args:
        roots: ``(edge, cotangent)`` of every output.
        unpack: turns a saved residual into an operand for the rules.
        wanted: edges ``(node or leaf, index)`` whose cotangent is asked for; ``None``: all leaves.
        retain: keep residuals for another pass.
        floor: nodes numbered below count as leaves (they lie outside a loop body).

    Returns:
        cotangent by edge.
    """
    useful = None if wanted is None else _reaching([e for e, _ in roots], wanted, floor)
    found: dict[Any, Any] = {}
    pending: dict[Node, list[Any]] = {}
    queue: list[tuple[int, Node]] = []

    def deliver(edge: Any, cotangent: Any) -> None:
        target, index = edge
        if not isinstance(target, Node) or target.sequence < floor:
            if wanted is None or edge in wanted:
                found[edge] = add(found[edge], cotangent) if edge in found else cotangent
            return
        if useful is not None and target not in useful and edge not in wanted:  # type: ignore[operator]
            return
        if target not in pending:
            pending[target] = [None] * len(target.out_avals)
            heapq.heappush(queue, (-target.sequence, target))
        slot = pending[target]
        slot[index] = cotangent if slot[index] is None else add(slot[index], cotangent)

    builder = current_builder()
    for edge, cotangent in roots:
        deliver(edge, cotangent)
    while queue:
        _, node = heapq.heappop(queue)
        cotangents = pending.pop(node)
        if node.freed:
            raise GradientError(
                f"the backward pass reached {node.name} a second time",
                "Saved intermediate values are freed after the first backward pass.",
                "backward(retain_graph=True) in the first pass",
                node.site,
            )
        with builder.at(node.site) if builder is not None else nullcontext():
            for index, hook in node.hooks:
                if cotangents[index] is not None:
                    cotangents[index] = hook(cotangents[index])
            if wanted is not None:
                for index, cotangent in enumerate(cotangents):
                    if cotangent is not None and (node, index) in wanted:
                        found[(node, index)] = cotangent
            if useful is None or node in useful:
                pulled = node.pull(cotangents, unpack)
                if anomaly.enabled:
                    _check_nan(node, pulled)
                for edge, cotangent in zip(node.edges, pulled, strict=True):
                    if edge is not None and cotangent is not None:
                        deliver(edge, cotangent)
        if not retain:
            node.free()
    return found


def _check_nan(node: Node, pulled: Sequence[Any]) -> None:
    for k, cotangent in enumerate(pulled):
        value = getattr(cotangent, "_value", cotangent)
        if isinstance(value, np.ndarray) and value.dtype.kind in "fc" and np.isnan(value).any():
            raise GradientError(
                f"the backward pass of {node.name} returned nan values",
                f"They are in the gradient of its operand {k}.",
                "keep operands away from where the derivative is infinite or undefined",
                node.site,
            )


def _reaching(edges: Sequence[Any], wanted: set[Any], floor: int) -> set[Node]:
    """Nodes from which a wanted edge can be reached by pulling further."""
    order: list[Node] = []
    seen: set[Node] = set()
    stack = [e[0] for e in edges if e is not None and isinstance(e[0], Node)]
    while stack:
        node = stack.pop()
        if node not in seen and node.sequence >= floor:
            seen.add(node)
            order.append(node)
            stack.extend(e[0] for e in node.edges if e is not None and isinstance(e[0], Node))
    useful: set[Node] = set()
    for node in sorted(order, key=lambda n: n.sequence):
        for edge in node.edges:
            if edge is not None and (edge in wanted or edge[0] in useful):
                useful.add(node)
    return useful
