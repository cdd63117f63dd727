"""Lowering: the values of one kernel as scalars of a loop nest.

``Lowering.evaluate(atom, index)`` gives the scalar holding an element: values the kernel computes
itself are used directly, values in memory are loaded, everything else is inlined through the
records' ``scalar`` texts and ``index_map`` functions. ``Unfusable`` says why a value cannot be
reached, in a sentence that ``explain()`` prints.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..dtypes import bool_, from_short, int64, uint64
from ..ir.graph import Atom, Eqn, Literal, Var
from ..ops import movement, source
from .index import Ix, Quotient, as_ix, flat, row_major
from .loops import Buffer, Scalar


class Unfusable(Exception):
    """A value that cannot be computed inside this kernel; the message is the reason."""


class Crowded(Exception):
    """A value that one kernel would compute at very many positions; it belongs in memory."""

    def __init__(self, var: Var) -> None:
        super().__init__()
        self.var = var


class View:
    """A strided view of memory that starts at ``root``: what movements of stored values become."""

    __slots__ = ("array", "base", "root")

    def __init__(self, root: Var, array: np.ndarray, base: int) -> None:
        self.root = root
        self.array = array  # one byte per element, never read: NumPy does the stride arithmetic
        self.base = base

    @property
    def strides(self) -> tuple[int, ...]:
        """Strides in elements."""
        return self.array.strides

    @property
    def offset(self) -> int:
        """Offset of the first element."""
        return self.array.__array_interface__["data"][0] - self.base


MAX_POSITIONS = 64  # windows over windows multiply: a chain of them is cut by a value in memory
_DUMMY = np.zeros(1, np.int8)
_DUMMY_BASE = _DUMMY.__array_interface__["data"][0]


def dense_view(root: Var) -> View:
    """The whole of a stored value, row-major."""
    shape = root.aval.shape
    array = np.lib.stride_tricks.as_strided(_DUMMY, shape, row_major(shape))
    return View(root, array, _DUMMY_BASE)


def view_of(var: Var, makers: dict[Var, Eqn], stored: Callable[[Var], bool]) -> View | None:
    """``var`` as a strided view of a stored value, ``None`` when it is none."""
    if stored(var):
        return dense_view(var)
    eqn = makers.get(var)
    if eqn is None or not eqn.primitive.alias or not isinstance(eqn.inputs[0], Var):
        return None
    inner = view_of(eqn.inputs[0], makers, stored)
    if inner is None:
        return None
    if inner.array.size == 0:
        return None
    try:
        if eqn.primitive is movement.reshape:
            array = np.reshape(inner.array, eqn.params["shape"], copy=False)
        else:
            array = eqn.primitive.reference(inner.array, **eqn.params)
    except ValueError:
        return None
    return View(inner.root, array, inner.base)


def repeated_index(
    eqn: Eqn, makers: dict[Var, Eqn], index: tuple[Any, ...]
) -> tuple[Any, ...] | None:
    """The index behind a reshape that merges axes into what a broadcast repeated in place."""
    x = eqn.inputs[0]
    made = makers.get(x) if isinstance(x, Var) else None
    if made is None or made.primitive is not movement.broadcast:
        return None
    kept = {
        a
        for k, a in enumerate(made.params["axes"])
        if made.inputs[0].aval.shape[k] == x.aval.shape[a]
    }
    repeated = [a for a in range(x.aval.ndim) if a not in kept]
    return movement.repeats_index(
        tuple(as_ix(i) for i in index), x.aval.shape, eqn.outputs[0].aval.shape, repeated
    )


class Lowering:
    """Scalars of one kernel.

    Attributes:
        members: values this kernel computes: ``var -> (scalar, natural index key)``.
        loads: leaf values that were loaded, with whether each load was at its natural index.
    """

    def __init__(
        self,
        makers: dict[Var, Eqn],
        stored: Callable[[Var], bool],
        buffer: Callable[[Var], Buffer],
    ) -> None:
        self.makers = makers
        self.stored = stored
        self.buffer = buffer
        self.members: dict[Var, tuple[Scalar, Any]] = {}
        self.memo: dict[Any, Scalar] = {}
        self.loads: list[tuple[Var, Any]] = []
        self.used: set[Var] = set()
        self.walked: dict[Var, set[int]] = {}  # loop axes that inlined values depend on
        self.count: dict[Var, int] = {}  # at how many positions inlined values are computed
        self.times: dict[Var, int] = {}  # how often each element is, because an axis repeats it

    def evaluate(self, atom: Atom, index: tuple[Any, ...], guard: Scalar | None = None) -> Scalar:
        """The scalar holding ``atom[index]``."""
        if isinstance(atom, Literal):
            return Scalar("literal", atom.aval.dtype, literal=atom)
        natural = tuple(as_ix(i).key for i in index)
        key = (atom, natural, id(guard) if guard is not None else 0)
        found = self.memo.get(key)
        if found is None:
            found = self.memo[key] = self._evaluate(atom, index, natural, guard)
        return found

    def _evaluate(
        self, var: Var, index: tuple[Any, ...], natural: Any, guard: Scalar | None
    ) -> Scalar:
        member = self.members.get(var)
        if member is not None:
            scalar, expected = member
            unit = tuple(n for n, e in zip(natural, var.aval.shape, strict=True) if e != 1)
            if unit != expected or guard is not None:
                raise Unfusable(
                    f"{var.aval} is read at another position than the one it is computed at"
                )
            self.used.add(var)
            return scalar
        if self.stored(var):
            return self._load(var, index, natural, guard)
        eqn = self.makers[var]
        kind = eqn.primitive.kind
        if kind == "elementwise":
            self.count[var] = self.count.get(var, 0) + 1
            if self.count[var] > MAX_POSITIONS:
                raise Crowded(var)
            self.times[var] = max(self.times.get(var, 1), _repetitions(index))
            axes = self.walked.setdefault(var, set())
            axes.update(*[as_ix(i).axes() for i in index])
            args = tuple(self._operand(a, index, guard) for a in eqn.inputs)
            return Scalar("apply", var.aval.dtype, args, _template(eqn), eqn=eqn)
        if kind == "movement":
            return self._movement(var, eqn, index, guard)
        if kind == "source":
            return self._source(var, eqn, index)
        if eqn.primitive.gathers:
            return self._gather(eqn, index, guard)
        raise Unfusable(f"{eqn.primitive.name} has a kernel of its own")

    def _operand(self, atom: Atom, index: tuple[Any, ...], guard: Scalar | None) -> Scalar:
        return self.evaluate(atom, index if atom.aval.shape else (), guard)

    def _load(
        self, root: Var, index: tuple[Any, ...], natural: Any, guard: Scalar | None
    ) -> Scalar:
        self.loads.append((root, natural))
        offset = flat(
            [0 if n == 1 else i for i, n in zip(index, root.aval.shape, strict=True)],
            row_major(root.aval.shape),
        )
        return Scalar("load", root.aval.dtype, index=offset, buffer=self.buffer(root), guard=guard)

    def _movement(self, var: Var, eqn: Eqn, index: tuple[Any, ...], guard: Scalar | None) -> Scalar:
        avals = [a.aval for a in eqn.inputs]
        assert eqn.primitive.index_map is not None
        accesses = eqn.primitive.index_map(
            tuple(as_ix(i) for i in index), avals, var.aval, eqn.params
        )
        if accesses is None:  # a merge of axes: a repetition, or an alias of memory
            behind = repeated_index(eqn, self.makers, index)
            if behind is not None:
                return self.evaluate(eqn.inputs[0], behind, guard)
            return self._load_view(var, index, guard, f"a reshape to {list(var.aval.shape)}")
        if not accesses[0].guards and len(accesses) == 1:
            return self.evaluate(eqn.inputs[0], accesses[0].index, guard)
        return self._choose(var, eqn, accesses, guard)

    def _choose(self, var: Var, eqn: Eqn, accesses: Sequence[Any], guard: Scalar | None) -> Scalar:
        """Padding and concatenation: the operand whose guards hold, else the fill value."""
        fill = Literal(eqn.params.get("value", 0), var.aval.dtype)
        out = Scalar("literal", var.aval.dtype, literal=fill)
        for atom, access in zip(eqn.inputs, accesses, strict=True):
            test: Scalar | None = None
            outside = False
            for g in access.guards:
                index = as_ix(g.index)
                if index.terms:
                    test = self._both(test, self._guard(index, g.extent, g.step))
                elif not (0 <= index.const < g.extent and index.const % g.step == 0):
                    outside = True  # known while lowering: a constant position
            if outside:
                continue
            inside = guard if test is None else self._both(guard, test)
            value = self.evaluate(atom, access.index, inside)
            if test is None:
                return value
            out = Scalar(
                "apply", var.aval.dtype, (test, value, out), "where({0}, {1}, {2})", eqn=eqn
            )
        return out

    def _guard(self, index: Ix, extent: int, step: int) -> Scalar:
        """The test of one guard; the same one for the same position, so that values are shared."""
        key = ("guard", index.key, extent, step)
        if key not in self.memo:
            self.memo[key] = Scalar("guard", bool_, index=index, extent=extent, step=step)
        return self.memo[key]

    def _both(self, first: Scalar | None, second: Scalar) -> Scalar:
        if first is None:
            return second
        key = ("both", id(first), id(second))
        if key not in self.memo:
            self.memo[key] = Scalar("apply", bool_, (first, second), "{0} & {1}")
        return self.memo[key]

    def _source(self, var: Var, eqn: Eqn, index: tuple[Any, ...]) -> Scalar:
        if eqn.primitive is source.full:
            return Scalar(
                "literal", var.aval.dtype, literal=Literal(eqn.params["value"], var.aval.dtype)
            )
        if eqn.primitive is source.iota:
            position = Scalar("index", int64, index=as_ix(index[eqn.params["axis"]]))
            return Scalar(
                "apply", var.aval.dtype, (position,), f"{var.aval.dtype.name}({{0}})", eqn=eqn
            )
        seed = self.evaluate(eqn.inputs[0], (0,))
        offset = self.evaluate(eqn.inputs[0], (1,))
        position = Scalar("index", int64, index=flat(index, row_major(var.aval.shape)))
        word = Scalar("apply", uint64, (position,), "uint64({0})")
        return Scalar("apply", uint64, (seed, offset, word), "philox({0}, {1}, {2})", eqn=eqn)

    def _gather(self, eqn: Eqn, index: tuple[Any, ...], guard: Scalar | None) -> Scalar:
        x, where = eqn.inputs
        assert isinstance(x, Var)
        _, full = self.picked(eqn, where, index, guard)
        if 0 not in x.aval.shape and view_of(x, self.makers, self.stored) is None:
            return self.evaluate(x, full, guard)  # computed where it is read
        return self._load_view(x, full, guard, f"a {eqn.primitive.name}")

    def picked(
        self, eqn: Eqn, where: Atom, index: tuple[Any, ...], guard: Scalar | None
    ) -> tuple[Scalar, tuple[Any, ...]]:
        """The position an indexing equation reads from its index, and the full index with it."""
        axis = eqn.params["axis"]
        end = axis + (1 if eqn.primitive.pointwise else where.aval.ndim)
        names = index if eqn.primitive.pointwise else index[axis:end]
        position = self.evaluate(where, names, guard)
        known = position.literal  # an index that folded to a constant
        here = Ix({position: 1}) if known is None else as_ix(int(known.value))
        return position, (*index[:axis], here, *index[end:])

    def _load_view(
        self, var: Var, index: tuple[Any, ...], guard: Scalar | None, reader: str
    ) -> Scalar:
        """A load at any position of a value that is a strided view of memory."""
        if 0 in var.aval.shape:  # no element is ever read
            return Scalar("literal", var.aval.dtype, literal=Literal(0, var.aval.dtype))
        view = view_of(var, self.makers, self.stored)
        if view is None:
            raise Unfusable(f"{reader} needs {var.aval} in memory")
        if view.root in self.members:
            raise Unfusable(f"{reader} reads {var.aval} at other positions than the one computed")
        self.loads.append((view.root, None))
        offset = flat(index, view.strides) + view.offset
        return Scalar(
            "load", var.aval.dtype, index=offset, buffer=self.buffer(view.root), guard=guard
        )


def _repetitions(index: tuple[Any, ...]) -> int:
    times = 1
    for i in index:
        for k in as_ix(i).terms:
            times *= k.divisor if isinstance(k, Quotient) else 1
    return times


_CAST_INTEGERS = ("i8", "i16", "i32", "u8", "u16", "u32", "u64", "i64")


def _template(eqn: Eqn) -> str:
    """The scalar text of an elementwise equation, with numba's integer widening undone."""
    text = eqn.primitive.scalar
    out = eqn.outputs[0].aval.dtype
    if callable(text):
        return text([a.aval.dtype for a in eqn.inputs], out, eqn.params)
    if out.short in _CAST_INTEGERS and "(" not in text:
        return f"{from_short(out.short).name}({text})"
    return text
