"""The memory plan: lifetimes of temporaries to offsets in one arena.

A buffer lives from the launch that writes it to the last launch that reads it. Offsets are chosen
first-fit, largest lifetimes together; nothing of one launch shares memory with anything else of it,
so kernels may assume that their buffers do not overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ALIGNMENT = 64


@dataclass
class Lifetime:
    """Size in bytes and the first and last launch of one temporary."""

    nbytes: int
    first: int
    last: int
    offset: int = 0


def plan_arena(lifetimes: Sequence[Lifetime]) -> int:
    """Set every ``offset`` and return the arena's size in bytes."""
    placed: list[Lifetime] = []
    total = 0
    for life in sorted(lifetimes, key=lambda x: -x.nbytes):
        size = -(-max(life.nbytes, 1) // ALIGNMENT) * ALIGNMENT
        busy = sorted(
            (p.offset, p.offset + -(-max(p.nbytes, 1) // ALIGNMENT) * ALIGNMENT)
            for p in placed
            if p.first <= life.last and life.first <= p.last
        )
        offset = 0
        for begin, end in busy:
            if offset + size <= begin:
                break
            offset = max(offset, end)
        life.offset = offset
        placed.append(life)
        total = max(total, offset + size)
    return total
