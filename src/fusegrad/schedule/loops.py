"""LoopNest: the loops, scalar body, reductions and stores of one kernel.

A nest walks outer axes (split among threads) and, inside, inner axes in one or more *stages*: a
reduction over the inner axes ends a stage, and what needs its result runs in the next one while the
row is hot in cache. Reductions over the outer axes accumulate per thread and finish in the *tail*,
which the last thread to arrive runs. ``codegen/source.py`` prints a nest as Python.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..dtypes import DType
from ..ir.graph import Eqn, Literal, Var
from .index import Ix, Quotient

CONST, ROW, FULL, TAIL = 0, 1, 2, 3
WINDOW = 16  # strides up to this along the last axis are those of windows


@dataclass(eq=False)
class Buffer:
    """A piece of memory: a graph input, an output slot or a temporary."""

    name: str
    shape: tuple[int, ...]
    dtype: DType
    hint: str = ""


@dataclass(eq=False)
class Scalar:
    """One scalar value of a nest.

    Attributes:
        op: ``literal``, ``index``, ``guard``, ``load``, ``apply``, ``reduce`` or ``acc``.
        args: operand scalars.
        text: expression template for ``apply``; identity and combine for reductions.
        index: offset of a load, value of an index, tested form of a guard.
        level: CONST, ROW, FULL or TAIL, filled in by ``LoopNest.arrange``.
        ready: stage from which the value can be computed.
    """

    op: str
    dtype: DType
    args: tuple[Scalar, ...] = ()
    text: str = ""
    identity: str = ""
    index: Ix | None = None
    buffer: Buffer | None = None
    guard: Scalar | None = None
    extent: int = 0
    step: int = 1
    over: str = ""
    eqn: Eqn | None = None
    literal: Literal | None = None
    level: int = CONST
    ready: int = 0
    width: str = ""

    def depends(self) -> list[Scalar]:
        """All scalars this one reads, those inside its index too."""
        found = list(self.args)
        if self.guard is not None:
            found.append(self.guard)
        if self.index is not None:
            found += _index_scalars(self.index)
        return found


def _index_scalars(index: Ix) -> list[Scalar]:
    found: list[Scalar] = []
    for k in index.terms:
        if isinstance(k, Scalar):
            found.append(k)
        elif isinstance(k, Quotient):
            found += _index_scalars(k.inner)
    return found


def _depth(ix: Ix) -> int:
    return max((1 + _depth(k.inner) for k in ix.terms if isinstance(k, Quotient)), default=0)


@dataclass(eq=False)
class Store:
    """``buffer[index] = value``."""

    buffer: Buffer
    index: Ix
    value: Scalar
    var: Var


@dataclass(eq=False)
class LoopNest:
    """One kernel as loops.

    Attributes:
        extents: extent of each axis; axes ``[0, split)`` are outer, the rest inner.
        split: number of outer axes.
        kept: number of leading outer axes that outer reductions keep.
        stores: what is written.
        accs: reductions over outer axes.
    """

    extents: list[int]
    split: int
    kept: int
    stores: list[Store] = field(default_factory=list)
    accs: list[Scalar] = field(default_factory=list)
    stages: int = 1

    def scalars(self) -> list[Scalar]:
        """All scalars, operands first."""
        order: list[Scalar] = []
        seen: set[int] = set()

        def visit(s: Scalar) -> None:
            if id(s) not in seen:
                seen.add(id(s))
                for d in s.depends():
                    visit(d)
                order.append(s)

        for store in self.stores:
            visit(store.value)
            for d in _index_scalars(store.index):
                visit(d)
        for acc in self.accs:
            visit(acc)
        return order

    def windowed(self) -> bool:
        """Whether memory is read along the last axis in small steps, repeats or guarded pieces.

        The text of such a kernel states its strides, which depend on the extents of an image but
        not on the size of a batch.
        """
        last = len(self.extents) - 1
        if not 0 < self.split <= last:
            return False
        for s in self.scalars():
            if s.index is None:
                continue
            if s.op == "guard" and last in s.index.axes():
                return True
            if 1 < abs(s.index.terms.get(last, 0)) <= WINDOW:
                return True
            if any(isinstance(k, Quotient) and last in k.inner.axes() for k in s.index.terms):
                return True
        return False

    def arrange(self) -> None:
        """Merge axes that all accesses walk together, then give every scalar level and stage."""
        self._expand_totals()
        self._coalesce()
        if self.split < 0:  # free choice: the last axis is inner, a single axis is outer
            self.split = max(1, len(self.extents) - 1) if self.extents else 0
            self._expand_totals()
        for s in self.scalars():
            self._place(s)
        self._hoist_reciprocals()
        inner = set(range(self.split, len(self.extents)))
        needed = [0] + [s.ready for s in self.scalars() if s.level == FULL]
        needed += [s.ready - 1 for s in self.scalars() if s.op == "reduce"]
        needed += [
            st.value.ready
            for st in self.stores
            if st.value.level != TAIL and st.index.axes() & inner
        ]
        self.stages = 1 + max(needed)

    def _hoist_reciprocals(self) -> None:
        """Division by a value of the row becomes multiplication by its reciprocal, once a row."""
        made: dict[Scalar, Scalar] = {}
        for s in self.scalars():
            if (
                s.op == "apply"
                and s.text == "{0} / {1}"
                and s.level == FULL
                and (s.args[1].level < FULL and s.args[1].op != "literal")
            ):
                divisor = s.args[1]
                if divisor not in made:
                    made[divisor] = Scalar(
                        "apply",
                        s.dtype,
                        (divisor,),
                        f"{s.dtype.name}(1) / {{0}}",
                        eqn=s.eqn,
                        level=divisor.level,
                        ready=divisor.ready,
                    )
                s.args, s.text = (s.args[0], made[divisor]), "{0} * {1}"

    def _expand_totals(self) -> None:
        """A reduction over everything is one over the row, then one over the rows."""
        if self.split < 0:
            return
        for acc in self.accs:
            if acc.over == "total":
                acc.over = "outer"
                if self.split < len(self.extents):
                    row = Scalar(
                        "reduce",
                        acc.dtype,
                        acc.args,
                        acc.text,
                        acc.identity,
                        over="inner",
                        eqn=acc.eqn,
                    )
                    acc.args = (row,)

    def _indices(self) -> list[Ix]:
        """All affine forms, those inside quotients before the forms that hold them."""
        found: list[Ix] = []

        def visit(ix: Ix) -> None:
            for k in ix.terms:
                if isinstance(k, Quotient):
                    visit(k.inner)
            found.append(ix)

        inner = [s.index for s in self.scalars() if s.index is not None]
        for ix in (*[st.index for st in self.stores], *inner):
            visit(ix)
        # a quotient compares by its form, which a merge of axes changes: innermost first
        return sorted(found, key=_depth)

    def _coalesce(self) -> None:
        axis = 0
        while axis + 1 < len(self.extents):
            boundary = axis + 1 in (self.split, self.kept)
            if not boundary and all(self._together(ix, axis) for ix in self._indices()):
                self._merge(axis)
            else:
                axis += 1

    def _together(self, ix: Ix, axis: int) -> bool:
        return ix.terms.get(axis, 0) == ix.terms.get(axis + 1, 0) * self.extents[axis + 1]

    def _merge(self, axis: int) -> None:
        def remap(ix: Ix) -> None:
            ix.terms = {
                (k - 1 if k > axis else k) if isinstance(k, int) else k: c
                for k, c in ix.terms.items()
                if k != axis
            }

        # unique Ix objects only: shared ones must not shift twice
        for ix in {id(i): i for i in self._indices()}.values():
            remap(ix)
        self.extents[axis : axis + 2] = [self.extents[axis] * self.extents[axis + 1]]
        self.split -= self.split > axis
        self.kept -= self.kept > axis

    def _place(self, s: Scalar) -> None:
        axes = s.index.axes() if s.index is not None else set()
        depends = s.depends()
        level = max([d.level for d in depends], default=CONST)
        ready = max([d.ready for d in depends], default=0)
        if axes:
            level = max(level, FULL if max(axes) >= self.split else ROW)
        if s.op == "reduce":
            level, ready = ROW, ready + 1
        elif s.op == "acc":
            level = TAIL
            s.width = "column" if s.args[0].level == FULL else "scalar"
        elif any(d.level == TAIL for d in depends):
            level = TAIL
        s.level, s.ready = level, ready
