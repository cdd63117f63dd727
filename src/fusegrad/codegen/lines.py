"""Lines of kernel text before they are placed in loops, and the cutting of long loop bodies.

A body of hundreds of vector instructions is slow: its chain of operations is longer than what a CPU
keeps in flight, so iterations do not overlap. ``cut`` splits a body into segments; each becomes a
loop of its own over a block of elements, and values that cross segments wait in a buffer that stays
in the first-level cache.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..dtypes import DType
from ..ir.graph import Eqn

# In units of Primitive.cost (an addition is 1, exp 10): bodies above LONG are cut into SEGMENTs.
LONG = 24.0
SEGMENT = 16.0
_NAME = re.compile(r"\bv\d+\b")


@dataclass
class Line:
    """One statement.

    Attributes:
        name: the value it defines, empty for stores and accumulations.
        reload: cheap enough (a load, an index) to repeat instead of keeping its value.
        access: what is loaded or stored, for lines that do.
    """

    text: str
    eqn: Eqn | None = None
    name: str = ""
    dtype: DType | None = None
    cost: float = 0.0
    reload: bool = False
    access: Any = None  # the Scalar of a load or the Store
    uses: set[str] = field(init=False)

    def __post_init__(self) -> None:
        self.uses = set(_NAME.findall(self.text)) - {self.name}


@dataclass
class Segment:
    """Lines of one loop: values to fetch first, the lines, values to keep afterwards."""

    lines: list[Line]
    fetch: list[Line] = field(default_factory=list)
    keep: list[Line] = field(default_factory=list)


def cut(lines: Sequence[Line]) -> list[Segment]:
    """Segments of a loop body; one when the body is short."""
    if sum(line.cost for line in lines) <= LONG:
        return [Segment(list(lines))]
    groups: list[list[Line]] = [[]]
    cost = 0.0
    for line in lines:
        if cost + line.cost > SEGMENT and cost > 0:
            groups.append([])
            cost = 0.0
        groups[-1].append(line)
        cost += line.cost
    return link([Segment(group) for group in groups])


def link(segments: list[Segment]) -> list[Segment]:
    """Fill ``fetch`` and ``keep``: what each segment needs from the ones before it."""
    made: dict[str, tuple[int, Line]] = {}
    for number, segment in enumerate(segments):
        for line in segment.lines:
            if line.name:
                made[line.name] = (number, line)
    for number, segment in enumerate(segments):
        here = {line.name for line in segment.lines if line.name}
        repeated: dict[str, Line] = {}

        def need(
            name: str,
            number: int = number,
            segment: Segment = segment,
            here: set[str] = here,
            repeated: dict[str, Line] = repeated,
        ) -> None:
            found = made.get(name)
            if found is None or name in here or found[0] == number:
                return
            here.add(name)
            origin, line = found
            if line.reload:
                for inner in sorted(line.uses):
                    need(inner)
                repeated[name] = line
            else:
                segment.fetch.append(line)
                if line not in segments[origin].keep:
                    segments[origin].keep.append(line)

        for line in list(segment.lines):
            for name in sorted(line.uses):
                need(name)
        segment.lines = [*repeated.values(), *segment.lines]
    return segments


def slots(segments: Sequence[Segment]) -> dict[str, tuple[int, DType]]:
    """A numbered buffer slot (per dtype) for each value that crosses segments; dead ones reused."""
    last: dict[str, int] = {}
    for number, segment in enumerate(segments):
        for line in segment.fetch:
            last[line.name] = number
    free: dict[DType, list[int]] = {}
    placed: dict[str, tuple[int, DType]] = {}
    count = 0
    for number, segment in enumerate(segments):
        for line in segment.keep:
            assert line.dtype is not None
            pool = free.setdefault(line.dtype, [])
            if pool:
                slot = pool.pop()
            else:
                slot, count = count, count + 1
            placed[line.name] = (slot, line.dtype)
        for name, end in last.items():
            if end == number and name in placed:
                slot, dtype = placed[name]
                free.setdefault(dtype, []).append(slot)
    return placed
