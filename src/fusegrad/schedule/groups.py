"""Sinks and groups: what a kernel produces, and the kernels that fusion builds.

Next file: ``values.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..ir.graph import Eqn, Var
from ..ops.contract import dot, free_axes
from ..ops.movement import concat
from .index import Ix
from .loops import Buffer

MAX_COLUMNS = 4  # more would be many strided stores for each row


@dataclass(eq=False)
class Sink:
    """A value a kernel produces.

    ``how`` is point, inner, outer, total or tail, or the kind of a kernel that makes nothing else.
    """

    var: Var
    eqn: Eqn
    how: str = "point"

    @property
    def columns(self) -> int:
        """How many elements one step of the loops stores side by side; 0: one, of its own axis.

        A join of single columns along the last axis (the parts of complex numbers) walks the rows.
        """
        out = self.var.aval.shape
        joins = self.eqn.primitive is concat and self.eqn.params["axis"] == len(out) - 1
        single = joins and all(a.aval.shape[-1] == 1 for a in self.eqn.inputs)
        return out[-1] if single and 1 < out[-1] <= MAX_COLUMNS else 0

    @property
    def space(self) -> tuple[int, ...]:
        """Extents that are walked to store it."""
        shape = self.var.aval.shape
        return shape[:-1] if self.columns else shape


@dataclass(eq=False)
class Group:
    """Sinks that share one kernel, and the loops they share.

    Attributes:
        shape: extents of the loops, unit axes left out.
        split: number of outer axes, -1 while free.
        kept: leading outer axes kept by outer reductions, -1 while free.
        merged: numbers of the groups that were merged in; reasons may name them.
        above: bits of the numbers of this group and of all it needs, directly or not.
    """

    number: int
    kind: str
    shape: tuple[int, ...] = ()
    split: int = -1
    kept: int = -1
    sinks: list[Sink] = field(default_factory=list)
    needs: set[Group] = field(default_factory=set)
    reads: set[Var] = field(default_factory=set)
    reasons: list[str] = field(default_factory=list)
    merged: set[int] = field(default_factory=set)
    above: int = field(init=False)

    def __post_init__(self) -> None:
        self.above = 1 << self.number

    @property
    def closed(self) -> bool:
        """Whether nothing else can run in this kernel."""
        return self.kind in ("host", "scatter", "walk", "loop")

    def reaches(self, other: Group) -> bool:
        """Whether this group needs ``other``, directly or not."""
        return bool(self.above >> other.number & 1)


def squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Extents without the unit axes."""
    return tuple(n for n in shape if n != 1)


def size_of(shape: tuple[int, ...]) -> int:
    size = 1
    for extent in shape:
        size *= extent
    return size


def natural_index(shape: tuple[int, ...], axes: list[int]) -> tuple[Any, ...]:
    """Index of a value whose non-unit axes are the given loop axes."""
    position = iter(axes)
    return tuple(0 if n == 1 else Ix({next(position): 1}) for n in shape)


def sections(eqn: Eqn) -> tuple[int, int, int]:
    """Axes of a contraction's result, unit ones left out: items, rows, columns.

    A product has batch axes, free axes of x and of y; a convolution images, channels, positions.
    """
    out = eqn.outputs[0].aval.shape
    counts = [1, 1, len(out) - 2]
    if eqn.primitive is dot:
        x, batch = eqn.inputs[0].aval, len(eqn.params["bx"])
        rows = len(free_axes(x.ndim, eqn.params["cx"], eqn.params["bx"]))
        counts = [batch, rows, len(out) - batch - rows]
    found, start = [], 0
    for count in counts:
        found.append(len(squeezed(out[start : start + count])))
        start += count
    return found[0], found[1], found[2]


def no_buffer(var: Var) -> Buffer:
    return Buffer("", var.aval.shape, var.aval.dtype)
