"""Loops: their bodies optimised, what nobody reads pruned, trivial loops dissolved.

Derivatives emit from each step whatever a backward pass might read, and pass every operand they can
think of; ``prune`` takes away results, carries and operands that nothing depends on. Arithmetic of
a step that depends on loop constants only moves in front of the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..ir.aval import Aval
from ..ir.graph import Atom, Eqn, Graph, Literal, Var
from ..ops import control, movement, source
from ..ops.contract import dot


def prune(eqn: Eqn, live: set[Var]) -> Eqn:
    """A scan without the results, carries and operands that no ``live`` result depends on."""
    body, params = eqn.params["body"], eqn.params
    consts, carries = params["consts"], params["carries"]
    made = {o: e for e in body.eqns for o in e.outputs}
    starts = body.inputs[consts : consts + carries]
    place = {v: k for k, v in enumerate(starts)}
    used: set[Var] = set()
    eqns: set[Eqn] = set()
    kept: set[int] = set()
    waiting = [k for k, o in enumerate(eqn.outputs) if o in live]
    while waiting:
        k = waiting.pop()
        if k in kept:
            continue
        kept.add(k)
        stack = [body.outputs[k]]
        while stack:
            atom = stack.pop()
            if isinstance(atom, Literal) or atom in used:
                continue
            used.add(atom)
            if atom in place:
                waiting.append(place[atom])
            elif atom in made:
                eqns.add(made[atom])
                stack.extend(made[atom].inputs)
    used.update(starts[k] for k in kept if k < carries)
    inputs = [k for k, v in enumerate(body.inputs) if v in used]
    if len(inputs) == len(body.inputs) and len(kept) == len(body.outputs):
        return eqn
    order = sorted(kept)
    graph = Graph(
        [body.inputs[k] for k in inputs],
        [e for e in body.eqns if e in eqns],
        [body.outputs[k] for k in order],
    )
    changed = {
        **params,
        "body": graph,
        "consts": sum(k < consts for k in inputs),
        "carries": sum(k < carries for k in order),
    }
    operands = tuple(eqn.inputs[k] for k in inputs)
    outputs = tuple(eqn.outputs[k] for k in order)
    return Eqn(eqn.primitive, operands, changed, outputs, eqn.site, eqn.backward)


class _Tidy:
    """Rebuilds a graph with its loops optimised."""

    def __init__(self, graph: Graph, optimise: Callable[[Graph], Graph]) -> None:
        self.graph = graph
        self.optimise = optimise
        self.eqns: list[Eqn] = []
        self.value: dict[Var, Atom] = {}

    def read(self, atom: Atom) -> Atom:
        """The replacement of an atom so far."""
        return self.value.get(atom, atom) if isinstance(atom, Var) else atom

    def run(self) -> Graph:
        for eqn in self.graph.eqns:
            eqn = eqn.replace(tuple(map(self.read, eqn.inputs)), eqn.outputs)
            if eqn.primitive is control.scan:
                self.scan(eqn)
            elif eqn.primitive.kind == "control":
                bodies = {k: self.optimise(v) for k, v in eqn.params.items() if _is_graph(v)}
                self.eqns.append(_with(eqn, **bodies))
            else:
                self.eqns.append(eqn)
        return Graph(self.graph.inputs, self.eqns, map(self.read, self.graph.outputs))

    def emit(self, like: Eqn, primitive: object, inputs: Sequence[Atom], **params: object) -> Var:
        """Append one equation in the place of ``like``."""
        aval = primitive.aval_rule(*[a.aval for a in inputs], **params)  # type: ignore[attr-defined]
        out = Var(aval)
        self.eqns.append(
            Eqn(primitive, tuple(inputs), params, (out,), like.site, like.backward)  # type: ignore[arg-type]
        )
        return out

    def scan(self, eqn: Eqn) -> None:
        length = eqn.params["length"]
        if length == 0:
            self._dissolve_empty(eqn)
        elif length == 1:
            self._inline(eqn)
        else:
            eqn = self._steady(eqn)
            body = self.optimise(eqn.params["body"])
            self.eqns.append(self._turn(self._hoist(_with(eqn, body=body))))

    def _dissolve_empty(self, eqn: Eqn) -> None:
        _, init, _ = control.split_operands(eqn.inputs, eqn.params)
        carries = eqn.params["carries"]
        self.value.update(zip(eqn.outputs, init, strict=False))
        for out in eqn.outputs[carries:]:
            shape = {"shape": out.aval.shape, "dtype": out.aval.dtype, "value": 0}
            self.value[out] = self.emit(eqn, source.full, (), **shape)

    def _inline(self, eqn: Eqn) -> None:
        """One step: its equations, with slices and stacks as reshapes."""
        body, carries = eqn.params["body"], eqn.params["carries"]
        fixed, init, xs = control.split_operands(eqn.inputs, eqn.params)
        slices = [
            self.emit(eqn, movement.reshape, (x,), shape=x.aval.shape[1:]) if isinstance(x, Var)
            else x
            for x in xs
        ]  # fmt: skip
        inner: dict[Var, Atom] = dict(zip(body.inputs, [*fixed, *init, *slices], strict=True))

        def read(atom: Atom) -> Atom:
            return inner.get(atom, atom) if isinstance(atom, Var) else atom

        for e in body.eqns:
            outs = tuple(Var(o.aval) for o in e.outputs)
            self.eqns.append(e.replace(tuple(map(read, e.inputs)), outs))
            inner.update(zip(e.outputs, outs, strict=True))
        for k, (out, atom) in enumerate(zip(eqn.outputs, body.outputs, strict=True)):
            value = read(atom)
            if k >= carries and isinstance(value, Var):
                value = self.emit(eqn, movement.reshape, (value,), shape=out.aval.shape)
            elif isinstance(value, Literal) and out.aval.shape:
                params = {"shape": out.aval.shape, "dtype": out.aval.dtype}
                value = self.emit(eqn, source.full, (), **params, value=value.number)
            self.value[out] = value

    def _steady(self, eqn: Eqn) -> Eqn:
        """Carries that no step changes become loop constants."""
        body, params = eqn.params["body"], eqn.params
        consts, carries = params["consts"], params["carries"]
        steady = [k for k in range(carries) if body.outputs[k] is body.inputs[consts + k]]
        if not steady:
            return eqn
        moving = [k for k in range(carries) if k not in steady]
        order = [
            *range(consts),
            *[consts + k for k in (*steady, *moving)],
            *range(consts + carries, len(body.inputs)),
        ]
        kept = [*moving, *range(carries, len(body.outputs))]
        for k in steady:
            self.value[eqn.outputs[k]] = eqn.inputs[consts + k]
        graph = Graph([body.inputs[k] for k in order], body.eqns, [body.outputs[k] for k in kept])
        changed = {**params, "body": graph, "consts": consts + len(steady), "carries": len(moving)}
        return Eqn(
            eqn.primitive,
            tuple(eqn.inputs[k] for k in order),
            changed,
            tuple(eqn.outputs[k] for k in kept),
            eqn.site,
            eqn.backward,
        )

    def _hoist(self, eqn: Eqn) -> Eqn:
        """Move arithmetic on loop constants in front of the loop."""
        body, consts = eqn.params["body"], eqn.params["consts"]
        outer: dict[Var, Atom] = dict(zip(body.inputs[:consts], eqn.inputs[:consts], strict=True))
        made: dict[Var, Atom] = {}
        for e in body.eqns:
            atoms = [a if isinstance(a, Literal) else outer.get(a) for a in e.inputs]
            if e.primitive.kind == "source" or not atoms or None in atoms:
                continue
            outs = tuple(Var(o.aval) for o in e.outputs)
            self.eqns.append(e.replace(tuple(atoms), outs))  # type: ignore[arg-type]
            found = dict(zip(e.outputs, outs, strict=True))
            outer.update(found)
            made.update(found)
        return self._with_hoisted(eqn, made) if made else eqn

    def _turn(self, eqn: Eqn) -> Eqn:
        """Constant matrices that products read column by column are transposed once, in front."""
        body, consts = eqn.params["body"], eqn.params["consts"]
        uses: dict[Var, list[Eqn]] = {v: [] for v in body.inputs[:consts] if v.aval.ndim == 2}
        for e in body.eqns:
            for atom in e.inputs:
                if isinstance(atom, Var) and atom in uses:
                    uses[atom].append(e)
        turned = {
            v: Var(Aval(v.aval.shape[::-1], v.aval.dtype))
            for v, eqns in uses.items()
            if eqns and v not in body.outputs and all(_reads_columns(e, v) for e in eqns)
        }
        if not turned:
            return eqn
        operands = [
            self.emit(eqn, movement.transpose, (atom,), perm=(1, 0)) if v in turned else atom
            for v, atom in zip(body.inputs, eqn.inputs, strict=True)
        ]
        eqns = []
        for e in body.eqns:
            if len(e.inputs) == 2 and e.inputs[1] in turned:
                changed = _with(e, cy=(0,))
                e = changed.replace((e.inputs[0], turned[e.inputs[1]]), e.outputs)  # type: ignore[index]
            eqns.append(e)
        inputs = [turned.get(v, v) for v in body.inputs]
        whole = _with(eqn, body=Graph(inputs, eqns, body.outputs))
        return whole.replace(tuple(operands), eqn.outputs)

    def _with_hoisted(self, eqn: Eqn, made: dict[Var, Atom]) -> Eqn:
        """Replace hoisted values that cost something by loop constants; keep movements inside."""
        body, consts = eqn.params["body"], eqn.params["consts"]
        maker = {o: e for e in body.eqns for o in e.outputs}
        lifted = [
            v for v in made if maker[v].primitive.kind != "movement" or _rows_of_products(body, v)
        ]
        if not lifted:
            return eqn
        names = {v: Var(v.aval) for v in lifted}
        eqns = [
            e.replace(
                tuple(names.get(a, a) if isinstance(a, Var) else a for a in e.inputs), e.outputs
            )
            for e in body.eqns
            if e.outputs[0] not in names
        ]
        outputs = [names.get(a, a) if isinstance(a, Var) else a for a in body.outputs]
        inputs = [*body.inputs[:consts], *names.values(), *body.inputs[consts:]]
        operands = (*eqn.inputs[:consts], *[made[v] for v in lifted], *eqn.inputs[consts:])
        graph = Graph(inputs, eqns, outputs)
        changed = {**eqn.params, "body": graph, "consts": consts + len(lifted)}
        whole = Eqn(eqn.primitive, operands, changed, eqn.outputs, eqn.site, eqn.backward)
        return prune(whole, set(eqn.outputs))


def _rows_of_products(body: Graph, var: Var) -> bool:
    """Whether a transposed constant is only read row by row, by products: a copy of it pays."""
    uses = body.uses().get(var, [])
    return bool(uses) and all(
        e.primitive is dot
        and e.inputs[1] is var
        and e.inputs[0] is not var
        and var.aval.ndim == 2
        and (e.params["cy"], e.params["by"]) == ((0,), ())
        for e in uses
    )


def _reads_columns(eqn: Eqn, var: Var) -> bool:
    """Whether a product contracts the last axis of its second operand ``var``, a matrix."""
    if eqn.primitive is not dot or eqn.inputs[0] is var:
        return False
    return eqn.params["cy"] == (1,) and not eqn.params["by"]


def _is_graph(value: object) -> bool:
    return isinstance(value, Graph)


def _with(eqn: Eqn, **params: object) -> Eqn:
    return Eqn(
        eqn.primitive, eqn.inputs, {**eqn.params, **params}, eqn.outputs, eqn.site, eqn.backward
    )


def tidy_loops(graph: Graph, optimise: Callable[[Graph], Graph]) -> Graph:
    """Optimise the bodies of all loops; ``optimise`` is the pipeline for a body."""
    if not any(e.primitive.kind == "control" for e in graph.eqns):
        return graph
    return _Tidy(graph, optimise).run()
