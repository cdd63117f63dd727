"""Two reports side by side.

In: two `Report` records, an older and a newer one. Out: `Change` records and their table, worst
first, so that a regression is the first line. Called by ``command.py``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from .report import format_time, label_of, make_table
from .results import Report


@dataclass(frozen=True)
class Change:
    """One peer on one workload in both reports.

    Attributes:
        ratio: new median over old median; above one is slower.
        noise: how far the ratio may be from one by the spread of both.
    """

    workload: str
    peer: str
    old: float
    new: float
    noise: float

    @property
    def ratio(self) -> float:
        """New median over old median."""
        return self.new / self.old

    @property
    def verdict(self) -> str:
        """``slower``, ``faster`` or ``same``, the latter when the spread explains the change."""
        if abs(math.log(self.ratio)) <= math.log1p(self.noise):
            return "same"
        return "slower" if self.ratio > 1 else "faster"


def changes(old: Report, new: Report) -> list[Change]:
    """Return what both reports have timed at equal sizes, slowest first."""
    before = {result.name: result for result in old.workloads}
    found = []
    for result in new.workloads:
        earlier = before.get(result.name)
        if earlier is None or earlier.sizes != result.sizes:
            continue
        for row in result.rows:
            other = earlier.row(row.peer)
            if other is None or not other.median or not row.median:
                continue
            noise = math.hypot(other.spread or 0.0, row.spread or 0.0)
            found.append(Change(result.name, row.peer, other.median, row.median, noise))
    return sorted(found, key=lambda change: -change.ratio)


def differences_in_setup(old: Report, new: Report) -> list[str]:
    """Return sentences on what makes the reports hard to compare."""
    pairs = [(name, old.machine.get(name), new.machine.get(name)) for name in ("cpu", "cores")]
    pairs += [
        (name, old.settings.get(name), new.settings.get(name)) for name in ("threads", "idle")
    ]
    pairs += [
        (name, old.versions.get(name), new.versions.get(name))
        for name in sorted(old.versions.keys() | new.versions.keys())
    ]
    return [f"{name}: {before} -> {after}" for name, before, after in pairs if before != after]


def changes_table(found: Sequence[Change]) -> Table:
    """Return the table of changes."""
    table = make_table("new / old")
    table.add_column("workload")
    table.add_column("peer")
    for heading in ("old", "new", "ratio", "noise"):
        table.add_column(heading, justify="right")
    table.add_column("")
    colours = {"slower": "red", "faster": "green", "same": "dim"}
    for change in found:
        table.add_row(
            change.workload,
            label_of(change.peer),
            format_time(change.old),
            format_time(change.new),
            f"{change.ratio:.2f}",
            f"±{100 * change.noise:.0f}%",
            f"[{colours[change.verdict]}]{change.verdict}[/]",
        )
    return table
