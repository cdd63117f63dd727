"""Local rewrites: constants into operands, trivial factors and movements away, tiny dots apart.

Derivative rules multiply by ones and broadcast zeros; these rewrites clean up after them. They keep
values bit for bit, gradients except for the sign of zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..dtypes import bool_, int32, int64
from ..ir.aval import Aval
from ..ir.graph import Atom, Eqn, Graph, Literal, Var
from ..ir.primitive import Primitive, evaluate
from ..ops import compare as cmp
from ..ops import elementwise as ew
from ..ops import indexing, movement, reduce, source
from ..ops.contract import dot, free_axes


class Rewriter:
    """Rebuilds a graph equation by equation; rules may emit replacements."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.eqns: list[Eqn] = []
        self.value: dict[Var, Atom] = {}
        self.maker: dict[Var, Eqn] = {}
        self.current: Eqn | None = None

    def read(self, atom: Atom) -> Atom:
        """The replacement of an atom so far."""
        return self.value.get(atom, atom) if isinstance(atom, Var) else atom

    def emit(self, primitive: Primitive, inputs: tuple[Atom, ...], **params: Any) -> Atom:
        """Append one equation at the current user line; may simplify again."""
        aval = primitive.aval_rule(*[a.aval for a in inputs], **params)
        assert self.current is not None
        eqn = Eqn(primitive, inputs, params, (Var(aval),), self.current.site, self.current.backward)
        return self.append(eqn)

    def append(self, eqn: Eqn) -> Atom:
        """Append ``eqn``, or return what it simplifies to."""
        found = _simplify_eqn(self, eqn)
        if found is not None:
            return found
        self.eqns.append(eqn)
        self.maker.update(dict.fromkeys(eqn.outputs, eqn))
        return eqn.outputs[0]

    def made_by(self, atom: Atom, primitive: Primitive) -> Eqn | None:
        """The equation that made ``atom`` if it is of that primitive."""
        eqn = self.maker.get(atom) if isinstance(atom, Var) else None
        return eqn if eqn is not None and eqn.primitive is primitive else None

    def run(self, rule: Callable[[Rewriter, Eqn], Atom | None] | None = None) -> Graph:
        """Rebuild the graph; ``rule`` may replace an equation by an atom."""
        for eqn in self.graph.eqns:
            self.current = eqn
            eqn = eqn.replace(tuple(map(self.read, eqn.inputs)), eqn.outputs)
            found = rule(self, eqn) if rule is not None else None
            result = self.append(eqn) if found is None else found
            if result is not eqn.outputs[0]:
                self.value[eqn.outputs[0]] = result
        outputs = [self._output(o) for o in self.graph.outputs]
        return Graph(self.graph.inputs, self.eqns, outputs)

    def _output(self, atom: Atom) -> Atom:
        return self.written(self.read(atom), atom.aval)

    def written(self, atom: Atom, aval: Aval) -> Atom:
        """``atom``; a literal that stands for an array of equal elements as that array."""
        if not (isinstance(atom, Literal) and aval.shape):
            return atom
        var = Var(aval)
        params = {"shape": aval.shape, "dtype": aval.dtype, "value": atom.number}
        self.eqns.append(Eqn(source.full, (), params, (var,)))
        return var


def simplify(graph: Graph) -> Graph:
    """Apply the local rewrites once, in order."""
    return Rewriter(graph).run(_without_elements)


def _without_elements(_: Rewriter, eqn: Eqn) -> Atom | None:
    """A constant for what has no element, so that nothing is computed for its sake."""
    if eqn.outputs[0].aval.size or eqn.primitive.kind not in ("elementwise", "movement", "reduce"):
        return None
    return _literal(0, eqn.outputs[0].aval)


def _literal(value: Any, aval: Aval) -> Literal:
    return Literal(value, aval.dtype)


def _is(atom: Atom, number: float) -> bool:
    return isinstance(atom, Literal) and atom.aval.dtype is not bool_ and atom.number == number


def _is_nothing(atom: Atom, eqn: Eqn) -> bool:
    """Whether a sum or difference is its other operand (``-0.0 + 0.0`` is ``0.0``)."""
    if not _is(atom, 0.0):
        return False
    if eqn.backward or atom.aval.dtype.category < 2:
        return True
    number = atom.number  # type: ignore[union-attr]
    return isinstance(number, float) and (math.copysign(1.0, number) < 0) == (
        eqn.primitive is ew.add
    )


def _simplify_eqn(rw: Rewriter, eqn: Eqn) -> Atom | None:
    kind, out = eqn.primitive.kind, eqn.outputs[0].aval
    if eqn.primitive is source.full:
        return _literal(eqn.params["value"], out)
    if kind == "elementwise":
        return _elementwise(rw, eqn)
    if kind == "movement":
        return _movement(rw, eqn)
    if kind == "reduce" and eqn.primitive.expand is None:
        return _reduction(rw, eqn)
    return _operands_as_arrays(rw, eqn)


def _operands_as_arrays(rw: Rewriter, eqn: Eqn) -> Atom | None:
    """Operands of other kinds are arrays: write literals with a shape out again."""
    originals = [a.aval for a in eqn.inputs]
    expected = _operand_avals(rw, eqn)
    if expected is None or expected == originals:
        return None
    fixed = tuple(map(rw.written, eqn.inputs, expected))
    new = eqn.replace(fixed, eqn.outputs)
    rw.eqns.append(new)
    rw.maker.update(dict.fromkeys(eqn.outputs, new))
    return eqn.outputs[0]


def _operand_avals(rw: Rewriter, eqn: Eqn) -> list[Aval] | None:
    assert rw.current is not None
    if rw.current.primitive is not eqn.primitive or len(rw.current.inputs) != len(eqn.inputs):
        return None
    return [a.aval for a in rw.current.inputs]


def _elementwise(rw: Rewriter, eqn: Eqn) -> Atom | None:
    p, (x, *rest) = eqn.primitive, eqn.inputs
    out = eqn.outputs[0].aval
    if all(isinstance(a, Literal) for a in eqn.inputs):
        return _literal(evaluate(p, eqn.inputs, eqn.params)[()], out)
    y = rest[0] if rest else None
    if p is ew.mul and y is not None:
        if _is(y, 1.0):
            return x
        if _is(x, 1.0):
            return y
    elif p is ew.add and y is not None:
        for left, right in ((x, y), (y, x)):
            if _is_nothing(right, eqn):
                return left
        for left, right in ((x, y), (y, x)):  # LLVM takes x + -x for 0, also where x is nan
            opposite = rw.made_by(right, ew.neg)
            if opposite:
                return rw.emit(ew.sub, (left, opposite.inputs[0]))
    elif p is ew.sub and y is not None and _is(y, 0.0):
        return x if _is_nothing(y, eqn) else None
    elif p is ew.div and y is not None and _is(y, 1.0):
        return x
    elif p is ew.remainder and y is not None:
        return _low_bits(rw, x, y)
    elif p is ew.neg:
        inner = rw.made_by(x, ew.neg)
        return inner.inputs[0] if inner else None
    elif p is cmp.convert and x.aval.dtype is out.dtype:
        return x
    elif p is cmp.convert and out.dtype.reduced:  # widened and stored again: the same number
        inner = rw.made_by(x, cmp.convert)
        if inner and inner.inputs[0].aval.dtype is out.dtype:
            return inner.inputs[0]
    elif p is cmp.where and isinstance(x, Literal):
        chosen = rest[0] if x.value else rest[1]
        return chosen if isinstance(chosen, Literal) or chosen.aval.shape == out.shape else None
    elif p is cmp.eq and out.shape:
        return _compare_positions(rw, eqn)
    elif p in (cmp.and_, cmp.or_) and out.dtype is bool_:
        for a, b in ((x, y), (y, x)):
            if isinstance(a, Literal) and b is not None:
                if bool(a.value) == (p is cmp.and_):
                    return b
    return None


def _position_test(rw: Rewriter, eqn: Eqn) -> tuple[Eqn, Eqn] | None:
    """For ``iota == broadcast(label)``: the two equations behind the operands."""
    for a, b in (eqn.inputs, eqn.inputs[::-1]):
        ramp, wide = rw.made_by(a, source.iota), rw.made_by(b, movement.broadcast)
        if ramp and wide and ramp.params["axis"] not in wide.params["axes"]:
            return ramp, wide
    return None


def _low_bits(rw: Rewriter, x: Atom, y: Atom) -> Atom | None:
    """A position modulo a power of two is its low bits: no division in the inner loop."""
    if not isinstance(y, Literal) or not rw.made_by(x, source.iota) or y.aval.dtype.category != 1:
        return None
    divisor = int(y.value)
    if divisor < 1 or divisor & (divisor - 1):
        return None
    return rw.emit(cmp.and_, (x, _literal(divisor - 1, y.aval)))


def _compare_positions(rw: Rewriter, eqn: Eqn) -> Atom | None:
    """Compare 64-bit labels with positions in 32 bits: twice the lanes, the same answer."""
    found = _position_test(rw, eqn)
    if found is None or eqn.inputs[0].aval.dtype is not int64:
        return None
    ramp, wide = found
    extent = ramp.outputs[0].aval.shape[ramp.params["axis"]]
    if extent >= 1 << 30:
        return None
    label = wide.inputs[0]
    inside = rw.emit(
        ew.minimum, (rw.emit(ew.maximum, (label, Literal(-1, int64))), Literal(extent, int64))
    )
    small = rw.emit(cmp.convert, (inside,), dtype=int32)
    positions = rw.emit(source.iota, (), **{**ramp.params, "dtype": int32})
    return rw.emit(cmp.eq, (positions, rw.emit(movement.broadcast, (small,), **wide.params)))


def _picked(rw: Rewriter, eqn: Eqn) -> Atom | None:
    """``sum(where(iota == label, x, 0))`` reads one element: x at the label, 0 outside."""
    chosen = rw.made_by(eqn.inputs[0], cmp.where)
    if chosen is None or len(eqn.params["axes"]) != 1 or not _is(chosen.inputs[2], 0.0):
        return None
    test = rw.made_by(chosen.inputs[0], cmp.eq)
    found = _position_test(rw, test) if test else None
    x, axis = chosen.inputs[1], eqn.params["axes"][0]
    if found is None or not isinstance(x, Var) or found[0].params["axis"] != axis:
        return None
    label, wide = found[1].inputs[0], found[1].params
    extent = x.aval.shape[axis]
    if not isinstance(label, Var) or extent < 2:
        return None
    kept = tuple(n for k, n in enumerate(x.aval.shape) if k != axis)
    places = tuple(a - (a > axis) for a in wide["axes"])
    if label.aval.shape != kept:
        label = rw.emit(movement.broadcast, (label,), shape=kept, axes=places)
    dtype = label.aval.dtype
    inside = rw.emit(
        cmp.and_,
        (
            rw.emit(cmp.ge, (label, Literal(0, dtype))),
            rw.emit(cmp.lt, (label, Literal(extent, dtype))),
        ),
    )
    index = rw.emit(
        ew.minimum, (rw.emit(ew.maximum, (label, Literal(0, dtype))), Literal(extent - 1, dtype))
    )
    unit = tuple(1 if k == axis else n for k, n in enumerate(x.aval.shape))
    column = rw.emit(movement.reshape, (index,), shape=unit)
    value = rw.emit(indexing.take_along, (x, column), axis=axis)
    return rw.emit(
        cmp.where, (inside, rw.emit(movement.reshape, (value,), shape=kept), chosen.inputs[2])
    )


def _movement(rw: Rewriter, eqn: Eqn) -> Atom | None:
    p, x, out = eqn.primitive, eqn.inputs[0], eqn.outputs[0].aval
    if isinstance(x, Literal) and p is not movement.pad and p is not movement.concat:
        return x
    if p is movement.concat or p is movement.pad:
        return _operands_as_arrays(rw, eqn)
    if p is movement.slice_:
        return _slice(rw, eqn)
    if p is movement.transpose:
        perm = eqn.params["perm"]
        if perm == tuple(range(len(perm))):
            return x
        inner = rw.made_by(x, movement.transpose)
        if inner:
            whole = tuple(inner.params["perm"][k] for k in perm)
            return rw.emit(movement.transpose, inner.inputs, perm=whole)
    elif p in (movement.reshape, movement.broadcast) and x.aval.shape == out.shape:
        return x
    elif p is movement.reshape:
        inner = rw.made_by(x, movement.reshape)
        if inner:
            return rw.emit(movement.reshape, inner.inputs, shape=out.shape)
    elif p is movement.broadcast:
        inner = rw.made_by(x, movement.broadcast)
        if inner:
            axes = tuple(eqn.params["axes"][a] for a in inner.params["axes"])
            return rw.emit(movement.broadcast, inner.inputs, shape=out.shape, axes=axes)
        unit = rw.made_by(x, movement.reshape)
        if unit:  # a reshape that only adds unit axes is part of the broadcast
            return _absorb_unit_axes(rw, unit, eqn)
    return None


def _slice(rw: Rewriter, eqn: Eqn) -> Atom | None:
    """A slice that takes one whole part of what was joined is that part.

    Smaller slices stay, they would multiply along a chain of joins; so do those of what was
    padded, whose windows are one kernel because all of them read the same operand.
    """
    (x,), out = eqn.inputs, eqn.outputs[0].aval
    start, step = eqn.params["start"], eqn.params["step"]
    if any(k != 1 for k in step):
        return None
    if x.aval.shape == out.shape and not any(start):
        return x
    joined = rw.made_by(x, movement.concat)
    if joined:
        axis, begin = joined.params["axis"], 0
        for part in joined.inputs:
            if begin == start[axis] and part.aval.shape == out.shape:
                return part
            begin += part.aval.shape[axis]
    return None


def _absorb_unit_axes(rw: Rewriter, unit: Eqn, eqn: Eqn) -> Atom | None:
    inner, middle = unit.inputs[0].aval.shape, unit.outputs[0].aval.shape
    kept = [k for k, n in enumerate(middle) if n != 1]
    if tuple(middle[k] for k in kept) != inner:
        return None
    axes = tuple(eqn.params["axes"][k] for k in kept)
    return rw.emit(movement.broadcast, unit.inputs, shape=eqn.params["shape"], axes=axes)


def _reduction(rw: Rewriter, eqn: Eqn) -> Atom | None:
    x, axes, p = eqn.inputs[0], eqn.params["axes"], eqn.primitive
    out = eqn.outputs[0].aval
    if isinstance(x, Literal):
        assert rw.current is not None
        shape = rw.current.inputs[0].aval.shape
        return _literal(_of_equal(p, x.value, [shape[a] for a in axes]), out)
    unit = tuple(a for a in axes if x.aval.shape[a] == 1)
    if not axes:
        return x
    if unit:
        rest = tuple(a for a in axes if a not in unit)
        inner = rw.emit(p, (x,), axes=rest) if rest else x
        return rw.emit(movement.reshape, (inner,), shape=out.shape)
    if p is reduce.sum_:
        picked = _picked(rw, eqn)
        if picked is not None:
            return picked
    runs = _runs(axes)
    if len(runs) > 1:  # kernels reduce one run of neighbouring axes at a time
        value: Atom = x
        for run in reversed(runs):
            value = rw.emit(p, (value,), axes=run)
        return value
    return None


def _of_equal(p: Primitive, value: Any, extents: list[int]) -> Any:
    """The reduction of equal elements."""
    count = int(np.prod(extents, dtype=np.int64))
    if not count:
        return p.reference(np.empty(0, value.dtype), axes=(0,))
    if p is reduce.sum_:
        return value * value.dtype.type(count)
    return np.power(value, count, dtype=value.dtype) if p is reduce.prod else value


def _runs(axes: tuple[int, ...]) -> list[tuple[int, ...]]:
    runs: list[tuple[int, ...]] = []
    for axis in sorted(axes):
        if runs and runs[-1][-1] == axis - 1:
            runs[-1] = (*runs[-1], axis)
        else:
            runs.append((axis,))
    return runs


def decompose_small_dots(graph: Graph) -> Graph:
    """Dots with a unit extent (matrix-vector, outer), and of integers, become products and sums.

    Those move more bytes than they compute, and as loop nests they fuse with their neighbours: a
    logistic regression reads its data once for the forward and the backward pass. So do dots of
    integers, for which there are no register tiles, and of constants, which are not in memory.
    """

    def rule(rw: Rewriter, eqn: Eqn) -> Atom | None:
        if eqn.primitive is not dot:
            return None
        constant = any(isinstance(a, Literal) for a in eqn.inputs)
        whole = constant or eqn.inputs[0].aval.dtype.category < 2
        assert rw.current is not None
        x, y = map(rw.written, eqn.inputs, [a.aval for a in rw.current.inputs])
        cx, cy, bx, by = (eqn.params[k] for k in ("cx", "cy", "bx", "by"))
        fx, fy = free_axes(x.aval.ndim, cx, bx), free_axes(y.aval.ndim, cy, by)
        sizes = [
            int(np.prod([a.aval.shape[i] for i in axes], dtype=np.int64))
            for a, axes in ((x, fx), (y, fy), (x, cx))
        ]
        if not whole and (1 not in sizes or 0 in sizes):
            return None
        return _product_and_sum(rw, eqn, x, y, fx, fy)

    return Rewriter(graph).run(rule)


def _product_and_sum(
    rw: Rewriter, eqn: Eqn, x: Atom, y: Atom, fx: tuple[int, ...], fy: tuple[int, ...]
) -> Atom:
    cx, cy, bx, by = (eqn.params[k] for k in ("cx", "cy", "bx", "by"))
    out = eqn.outputs[0].aval.shape
    nb, nx, ny, k = len(bx), len(fx), len(fy), len(cx)
    sx, sy = x.aval.shape, y.aval.shape
    # put the contracted axes where the wider operand has them, so that its rows stay rows
    lead = bool(cx) and (
        min(cx) < min(fx, default=99)
        if nx and _size(sx, fx) > 1
        else min(cy) < min(fy, default=99)
        if ny
        else False
    )
    contracted = tuple(sx[a] for a in cx)
    free = out[nb:]
    shape = out[:nb] + (contracted + free if lead else free + contracted)
    place_c = tuple(range(nb, nb + k)) if lead else tuple(range(nb + nx + ny, nb + nx + ny + k))
    base = nb + (k if lead else 0)
    place = {}
    for i, a in enumerate(bx):
        place[("x", a)] = i
    for i, a in enumerate(by):
        place[("y", a)] = i
    place.update({("x", a): base + i for i, a in enumerate(fx)})
    place.update({("y", a): base + nx + i for i, a in enumerate(fy)})
    place.update({("x", a): place_c[i] for i, a in enumerate(cx)})
    place.update({("y", a): place_c[i] for i, a in enumerate(cy)})
    wide_x = _spread(rw, x, tuple(place[("x", a)] for a in range(len(sx))), shape)
    wide_y = _spread(rw, y, tuple(place[("y", a)] for a in range(len(sy))), shape)
    product = rw.emit(ew.mul, (wide_x, wide_y))
    return rw.emit(reduce.sum_, (product,), axes=place_c) if place_c else product


def _spread(rw: Rewriter, x: Atom, axes: tuple[int, ...], shape: tuple[int, ...]) -> Atom:
    """Broadcast with operand axes in any order."""
    order = tuple(sorted(range(len(axes)), key=axes.__getitem__))
    if order != tuple(range(len(axes))):
        x = rw.emit(movement.transpose, (x,), perm=order)
    return rw.emit(movement.broadcast, (x,), shape=shape, axes=tuple(axes[k] for k in order))


def _size(shape: tuple[int, ...], axes: tuple[int, ...]) -> int:
    return int(np.prod([shape[a] for a in axes], dtype=np.int64))
