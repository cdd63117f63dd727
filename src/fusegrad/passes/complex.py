"""Complex numbers become pairs of real ones: kernels know real memory only.

In: a graph with values of complex dtype. Out: a graph of real values that computes the same. A
complex input or output is a real array with a last axis of 2 (the same memory); in between a value
is a pair of atoms, its real and imaginary part, and each equation becomes what the ``pair`` rule of
its record composes. Parts that cancel (the conjugate of a conjugate) and slices of joined parts are
gone when they are emitted, by the local rewrites of ``simplify.py``. A record without a rule runs
its NumPy reference on complex arrays, as one host equation.
"""

from __future__ import annotations

from typing import Any

from ..dtypes import real_dtype
from ..ir.aval import Aval
from ..ir.graph import Atom, Eqn, Graph, Literal, Var, nested_graphs
from ..ir.primitive import bind, set_builder
from ..ops import complex as ops
from ..ops import movement, source
from .expand import Appender
from .simplify import Rewriter

Pair = tuple[Atom, Atom]


def split_complex(graph: Graph) -> Graph:
    """``graph`` over real values; itself when it has no other."""
    return _Splitter(graph).run() if _is_complex(graph) else graph


def _is_complex(graph: Graph) -> bool:
    atoms = [*graph.inputs, *(a for e in graph.eqns for a in (*e.inputs, *e.outputs))]
    return any(a.aval.dtype.is_complex for a in (*atoms, *graph.outputs)) or any(
        _is_complex(inner) for e in graph.eqns for inner in nested_graphs(e)
    )


def _real_aval(aval: Aval) -> Aval:
    """The aval of the parts along a last axis."""
    return Aval((*aval.shape, 2), real_dtype(aval.dtype)) if aval.dtype.is_complex else aval


class _Splitter:
    """Rebuilds a graph over real values.

    Attributes:
        pairs: the parts of complex values, as far as they were asked for.
        joined: the arrays of parts, likewise.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.rw = Rewriter(graph)
        self.pairs: dict[Var, Pair] = {}
        self.joined: dict[Var, Atom] = {}
        self.inputs = [
            Var(_real_aval(v.aval), v.hint, v.owner) if v.aval.dtype.is_complex else v
            for v in graph.inputs
        ]
        self.joined.update(
            {
                v: new
                for v, new in zip(graph.inputs, self.inputs, strict=True)
                if v.aval.dtype.is_complex
            }
        )

    def run(self) -> Graph:
        """The whole graph."""
        for eqn in self.graph.eqns:
            self.rw.current = eqn
            self._step(eqn)
        outputs = [self._output(atom) for atom in self.graph.outputs]
        return Graph(self.inputs, self.rw.eqns, outputs)

    def _output(self, atom: Atom) -> Atom:
        if atom.aval.dtype.is_complex:
            return self.array(self.join(atom), _real_aval(atom.aval))
        return self.array(self.rw.read(atom), atom.aval)

    # --- values -------------------------------------------------------------------------------
    def pair(self, atom: Atom) -> Pair:
        """The parts of a complex atom."""
        if isinstance(atom, Literal):
            part = real_dtype(atom.aval.dtype)
            return Literal(atom.value.real, part), Literal(atom.value.imag, part)
        if atom not in self.pairs:
            shape, both = atom.aval.shape, self.joined[atom]
            parts = []
            for k in range(2):
                one = self.rw.emit(
                    movement.slice_,
                    (both,),
                    start=(*[0] * len(shape), k),
                    limit=(*shape, k + 1),
                    step=(1,) * (len(shape) + 1),
                )
                if isinstance(one, Var):
                    one = self.rw.emit(movement.reshape, (one,), shape=shape)
                parts.append(one)
            self.pairs[atom] = (parts[0], parts[1])
        return self.pairs[atom]

    def join(self, atom: Atom) -> Atom:
        """The array of the parts of a complex atom, along a last axis."""
        if isinstance(atom, Var) and atom in self.joined:
            return self.joined[atom]
        shape = atom.aval.shape
        columns = [
            self.rw.emit(movement.reshape, (self.array(part, shape),), shape=(*shape, 1))
            for part in self.pair(atom)
        ]
        out = self._append(movement.concat, tuple(columns), {"axis": len(shape)})
        if isinstance(atom, Var):
            self.joined[atom] = out
        return out

    def array(self, atom: Atom, like: Any) -> Atom:
        """``atom``, written out when it is a scalar that stands for an array."""
        shape = like.shape if isinstance(like, Aval) else like
        if not isinstance(atom, Literal):
            return atom
        value = {"shape": tuple(shape), "dtype": atom.aval.dtype, "value": atom.value.item()}
        return self._append(source.full, (), value)

    def _append(self, primitive: Any, inputs: tuple[Atom, ...], params: dict[str, Any]) -> Var:
        """One equation, as it is."""
        current = self.rw.current
        out = Var(primitive.aval_rule(*[a.aval for a in inputs], **params))
        where = (None, False) if current is None else (current.site, current.backward)
        eqn = Eqn(primitive, inputs, params, (out,), *where)
        self.rw.eqns.append(eqn)
        self.rw.maker[out] = eqn
        return out

    # --- equations ----------------------------------------------------------------------------
    def _step(self, eqn: Eqn) -> None:
        if nested_graphs(eqn):
            return self._control(eqn)
        p, out = eqn.primitive, eqn.outputs[0]
        if not any(a.aval.dtype.is_complex for a in (*eqn.inputs, out)):
            new = eqn.replace(tuple(map(self.rw.read, eqn.inputs)), eqn.outputs)
            found = self.rw.append(new)
            if found is not out:
                self.rw.value[out] = found
        elif p is ops.view_as_real:
            self.rw.value[out] = self.join(eqn.inputs[0])
        elif p is ops.view_as_complex:
            self.joined[out] = self.array(self.rw.read(eqn.inputs[0]), eqn.inputs[0].aval)
        elif p.pair is None:
            self._on_parts(eqn)
        else:
            self._keep(out, self._compose(eqn))
        return None

    def _keep(self, out: Var, found: Any) -> None:
        if isinstance(found, tuple):
            self.pairs[out] = found
        else:
            self.rw.value[out] = found

    def _compose(self, eqn: Eqn) -> Any:
        """What the ``pair`` rule of the record makes of the parts."""
        p = eqn.primitive
        operands: list[Any] = []
        for atom in eqn.inputs:
            shape = atom.aval.shape
            parts: tuple[Atom, ...]
            parts = self.pair(atom) if atom.aval.dtype.is_complex else (self.rw.read(atom),)
            if p.kind != "elementwise":
                parts = tuple(self.array(part, shape) for part in parts)
            operands.append(parts if len(parts) == 2 else parts[0])
        previous = set_builder(Appender(self.rw))
        try:
            if p.pair != "parts":
                return p.pair(*operands, **eqn.params)
            return tuple(
                bind(p, *[x[k] if isinstance(x, tuple) else x for x in operands], **eqn.params)
                for k in range(2)
            )
        finally:
            set_builder(previous)

    def _on_parts(self, eqn: Eqn) -> None:
        """The reference of a record without a rule, on arrays of parts."""
        parts = tuple(a.aval.dtype.is_complex for a in eqn.inputs)
        inputs = tuple(
            self.join(a) if c else self.array(self.rw.read(a), a.aval)
            for a, c in zip(eqn.inputs, parts, strict=True)
        )
        params = {**eqn.params, "record": eqn.primitive.name, "parts": parts}
        result = self._append(ops.on_parts, inputs, params)
        out = eqn.outputs[0]
        (self.joined if out.aval.dtype.is_complex else self.rw.value)[out] = result

    def _control(self, eqn: Eqn) -> None:
        """A loop or branch: its graphs are split likewise, their complex values are joined."""
        inputs = tuple(
            self.join(a) if a.aval.dtype.is_complex else self.rw.read(a) for a in eqn.inputs
        )
        params = {k: split_complex(v) if isinstance(v, Graph) else v for k, v in eqn.params.items()}
        outputs = tuple(
            Var(_real_aval(o.aval), o.hint, o.owner) if o.aval.dtype.is_complex else o
            for o in eqn.outputs
        )
        for old, new in zip(eqn.outputs, outputs, strict=True):
            if new is not old:
                self.joined[old] = new
        self.rw.eqns.append(Eqn(eqn.primitive, inputs, params, outputs, eqn.site, eqn.backward))
