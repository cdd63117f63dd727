"""The records of a benchmark run and their JSON form.

In: numbers from ``measure.py`` and ``cold.py``. Out: `Report`, written by ``fusegrad bench run
--json`` and read by ``compare``. Times are seconds, memory is bytes. `check_report` is the schema:
it names the first field that is missing or of the wrong type.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SCHEMA = 1
ENOUGH_SAMPLES = 5
WIDE_SPREAD = 0.2
OK, MISSING, FAILED, MISMATCH = "ok", "missing", "failed", "mismatch"


@dataclass
class Row:
    """One peer on one workload.

    Attributes:
        peer: name of the peer.
        status: ``ok``, ``missing`` (not installed), ``failed`` or ``mismatch`` (losses differ).
        reason: why there is no time, or what to know about it.
        detail: traceback of a failure.
        samples: seconds per step, one number per block.
        disturbed: the same for blocks during which threads waited for a core.
        block: steps per sample.
        losses: first digest number of each checked step.
        import_s: importing the framework in a fresh process.
        first_step_s: the first step, compilation included.
        peak_rss: highest resident memory of the worker after its data were made.
    """

    peer: str
    status: str = OK
    reason: str = ""
    detail: str = ""
    samples: list[float] = field(default_factory=list)
    disturbed: list[float] = field(default_factory=list)
    block: int = 0
    losses: list[float] = field(default_factory=list)
    import_s: float | None = None
    build_s: float | None = None
    first_step_s: float | None = None
    peak_rss: int | None = None
    version: str = ""

    def settle(self) -> None:
        """Take the disturbed blocks in if too few are calm to stand alone.

        Said aloud only where it shows: a library with more threads than cores, as JAX's pool with
        its caller, waits for cores in every block of a quiet machine too.
        """
        total = len(self.samples) + len(self.disturbed)
        if not self.disturbed or len(self.samples) >= max(ENOUGH_SAMPLES, 0.1 * total):
            return
        waited = len(self.disturbed)
        self.samples, self.disturbed = self.samples + self.disturbed, []
        if (self.spread or 0.0) > WIDE_SPREAD:
            note = f"unsteady: threads waited for a core in {waited} of {total} blocks"
            self.reason = "; ".join(part for part in (self.reason, note) if part)

    @property
    def median(self) -> float | None:
        """Median seconds per step."""
        return statistics.median(self.samples) if self.samples else None

    @property
    def spread(self) -> float | None:
        """Half the interquartile range over the median."""
        if len(self.samples) < 2:
            return None
        low, middle, high = statistics.quantiles(self.samples, n=4)
        return (high - low) / (2 * middle)


@dataclass
class WorkloadResult:
    """All peers on one workload.

    Attributes:
        sizes: dimensions.
        flops: per step.
        least_bytes: per step.
        limit_s: physical limit of this machine, None where it says nothing.
    """

    name: str
    sizes: dict[str, int]
    flops: float
    least_bytes: float
    limit_s: float | None
    rows: list[Row] = field(default_factory=list)

    def row(self, peer: str) -> Row | None:
        """Return the row of ``peer``."""
        return next((row for row in self.rows if row.peer == peer), None)

    def median(self, peer: str) -> float | None:
        """Return the median of ``peer``, None if it was not timed."""
        row = self.row(peer)
        return row.median if row else None

    def best_rival(self, rivals: set[str]) -> Row | None:
        """Return the fastest row among ``rivals``."""
        timed = [row for row in self.rows if row.peer in rivals and row.samples]
        return min(timed, key=lambda row: row.median or 0.0, default=None)


@dataclass
class ColdResult:
    """Time to the first step of one peer in fresh processes.

    Attributes:
        cache: ``cold`` (empty cache folder) or ``warm`` (second process on the same folder).
        first_step_s: building the model and the first step, after the import.
    """

    workload: str
    peer: str
    cache: str
    status: str = OK
    reason: str = ""
    import_s: float | None = None
    first_step_s: float | None = None


@dataclass
class Report:
    """A whole run: machine, settings, steady state and first steps."""

    machine: dict[str, Any]
    versions: dict[str, str]
    settings: dict[str, Any]
    date: str
    commit: str | None
    workloads: list[WorkloadResult] = field(default_factory=list)
    cold: list[ColdResult] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; medians and spreads are written out for other readers."""
        result = {"schema": SCHEMA, **asdict(self)}
        for target, workload in zip(result["workloads"], self.workloads, strict=True):
            for entry, row in zip(target["rows"], workload.rows, strict=True):
                entry["median_s"], entry["spread"] = row.median, row.spread
                entry["min_s"] = min(row.samples, default=None)
        return result

    def save(self, path: Path) -> None:
        """Write the JSON form."""
        path.write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")


FIELDS: dict[str, dict[str, tuple[type, ...]]] = {
    "report": {
        "schema": (int,),
        "machine": (dict,),
        "versions": (dict,),
        "settings": (dict,),
        "date": (str,),
        "commit": (str, type(None)),
        "workloads": (list,),
        "cold": (list,),
    },
    "workload": {
        "name": (str,),
        "sizes": (dict,),
        "flops": (int, float),
        "least_bytes": (int, float),
        "limit_s": (int, float, type(None)),
        "rows": (list,),
    },
    "row": {
        "peer": (str,),
        "status": (str,),
        "reason": (str,),
        "detail": (str,),
        "samples": (list,),
        "disturbed": (list,),
        "block": (int,),
        "losses": (list,),
        "import_s": (int, float, type(None)),
        "build_s": (int, float, type(None)),
        "first_step_s": (int, float, type(None)),
        "peak_rss": (int, type(None)),
        "version": (str,),
    },
    "cold": {
        "workload": (str,),
        "peer": (str,),
        "cache": (str,),
        "status": (str,),
        "reason": (str,),
        "import_s": (int, float, type(None)),
        "first_step_s": (int, float, type(None)),
    },
}


def _check(kind: str, value: Any, place: str) -> dict[str, Any]:
    """Return the declared fields of ``value`` or raise a ValueError naming the wrong one."""
    if not isinstance(value, dict):
        raise ValueError(f"{place} is not an object")
    for name, types in FIELDS[kind].items():
        if name not in value:
            raise ValueError(f"{place}.{name} is missing")
        if not isinstance(value[name], types):
            raise ValueError(f"{place}.{name} has type {type(value[name]).__name__}")
    return {name: value[name] for name in FIELDS[kind]}


def check_report(document: Any) -> Report:
    """Return the `Report` of a parsed JSON document; a ValueError names the first wrong field."""
    top = _check("report", document, "report")
    if top.pop("schema") != SCHEMA:
        raise ValueError(f"report.schema is {document['schema']}, expected {SCHEMA}")
    workloads = []
    for index, entry in enumerate(top.pop("workloads")):
        place = f"workloads[{index}]"
        fields = _check("workload", entry, place)
        rows = [
            Row(**_check("row", row, f"{place}.rows[{number}]"))
            for number, row in enumerate(fields.pop("rows"))
        ]
        workloads.append(WorkloadResult(**fields, rows=rows))
    cold = [
        ColdResult(**_check("cold", entry, f"cold[{index}]"))
        for index, entry in enumerate(top.pop("cold"))
    ]
    return Report(**top, workloads=workloads, cold=cold)


def load_report(path: Path) -> Report:
    """Read a report; a ValueError says what is wrong with the file."""
    try:
        return check_report(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
