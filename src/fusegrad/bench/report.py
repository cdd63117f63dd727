"""Tables for the terminal, and the live view of a running measurement.

In: `WorkloadResult`, `ColdResult` and `Report` records. Out: rich tables; nothing is computed here
that is not in the records. Called by ``command.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .measure import rivals, summary_ratios
from .peers import PEERS
from .results import OK, ColdResult, Report, Row, WorkloadResult

PIPE_WIDTH = 160


def make_console() -> Console:
    """Return a console; on a pipe it is wide enough for the widest table."""
    console = Console()
    return console if console.is_terminal else Console(width=PIPE_WIDTH)


def make_table(title: str) -> Table:
    """Return an empty table in the house's form."""
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        collapse_padding=True,
        pad_edge=False,
    )


def format_time(seconds: float | None) -> str:
    """Return a time in the unit that reads best.

    >>> format_time(6.6e-6), format_time(0.02163), format_time(None)
    ('6.6 us', '21.63 ms', '-')
    """
    if seconds is None:
        return "-"
    if seconds < 1e-3:
        return f"{seconds * 1e6:.1f} us"
    if seconds < 0.1:
        return f"{seconds * 1e3:.2f} ms"
    return f"{seconds * 1e3:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"


def format_factor(factor: float | None) -> str:
    """Return a ratio as ``2.90x``."""
    return "-" if factor is None else f"{factor:.2f}x"


def format_share(share: float | None) -> str:
    """Return a fraction in percent."""
    return "-" if share is None else f"{100 * share:.0f}%"


def label_of(peer: str) -> str:
    """Return the table name of a peer; reports may hold peers this version does not know."""
    return PEERS[peer].label if peer in PEERS else peer


def row_cells(row: Row, result: WorkloadResult, best: Row | None) -> list[str]:
    """Return the cells of one peer in the table of one workload."""
    median = row.median
    if median is None:
        note = f"[red]{row.status}[/]" if row.status != OK else "..."
        first = "-" if row.first_step_s is None else f"{row.first_step_s:.2f} s"
        return [label_of(row.peer), note, "", "", first, "", "", ""]
    style = "bold" if row is best else ""
    eager = result.median("torch")
    return [
        label_of(row.peer),
        f"[{style}]{format_time(median)}[/]" if style else format_time(median),
        "-" if row.spread is None else f"±{100 * row.spread:.0f}%",
        format_time(min(row.samples)),
        "-" if row.first_step_s is None else f"{row.first_step_s:.2f} s",
        "-" if row.peak_rss is None else f"{row.peak_rss / 2**20:.0f} MB",
        format_factor(eager / median if eager else None),
        format_share(result.limit_s / median if result.limit_s else None),
    ]


def workload_table(result: WorkloadResult) -> Table:
    """Return all peers of one workload."""
    sizes = ", ".join(f"{name} {value}" for name, value in result.sizes.items())
    table = make_table(f"{result.name}  ({sizes})")
    for heading in ("", "median", "spread", "min", "first step", "peak RSS", "vs torch", "limit"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    best = result.best_rival(rivals())
    for row in result.rows:
        table.add_row(*row_cells(row, result, best))
    return table


def remarks(result: WorkloadResult) -> list[str]:
    """Return one line for each row with something to say."""
    return [
        f"{result.name}, {label_of(row.peer)}: {row.status + ', ' if row.status != OK else ''}"
        f"{row.reason}"
        for row in result.rows
        if row.reason
    ]


def summary_table(report: Report) -> Table:
    """Return one line per workload: medians of all peers, then fusegrad's ratios."""
    peers = list(dict.fromkeys(row.peer for result in report.workloads for row in result.rows))
    threads = report.settings.get("threads", "?")
    table = make_table(f"median per step, {threads} threads")
    table.add_column("workload", no_wrap=True)
    for peer in peers:
        table.add_column(label_of(peer), justify="right")
    has_fusegrad = "fusegrad" in peers
    table.add_column("limit", justify="right")
    for heading in ("x best peer", "x torch", "of limit") if has_fusegrad else ():
        table.add_column(heading, justify="right")
    for result in report.workloads:
        best = result.best_rival(rivals())
        cells = [result.name]
        for peer in peers:
            row = result.row(peer)
            text = "-" if row is None else row.status if row.status != OK else ""
            text = text or format_time(row.median if row else None)
            cells.append(f"[bold]{text}[/]" if row is not None and row is best else text)
        cells.append(format_time(result.limit_s))
        if has_fusegrad:
            ratios = summary_ratios(result)
            cells += [format_factor(ratios.get("x_best")), format_factor(ratios.get("x_torch"))]
            cells.append(format_share(ratios.get("of_limit")))
        table.add_row(*cells)
    return table


def cold_table(results: Sequence[ColdResult]) -> Table:
    """Return the times to the first step in fresh processes."""
    table = make_table("time to the first step, fresh processes")
    for heading in ("workload", "peer", "cache", "import", "first step", ""):
        table.add_column(heading, justify="right" if "import" in heading else "left")
    for entry in results:
        table.add_row(
            entry.workload,
            label_of(entry.peer),
            entry.cache,
            "-" if entry.import_s is None else f"{entry.import_s:.2f} s",
            "-" if entry.first_step_s is None else f"{entry.first_step_s:.2f} s",
            entry.reason if entry.status == OK else f"[red]{entry.status}[/] {entry.reason}",
        )
    return table


class LiveView:
    """Shows the workload being measured; on a pipe or in a log only finished ones are printed."""

    def __init__(self, console: Console) -> None:
        self.console = console
        # Redrawn between turns only: a refresh thread would take a core from the measurement.
        self.live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> LiveView:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.live.is_started:
            self.live.stop()

    def update(self, result: WorkloadResult, status: str) -> None:
        """Show the state of ``result``."""
        if self.live.is_started:
            view = Group(workload_table(result), Text(status, style="dim"))
            self.live.update(view, refresh=True)

    def finish(self, result: WorkloadResult) -> None:
        """Print a finished workload above the live part."""
        self.console.print(workload_table(result))
        for line in remarks(result):
            self.console.print(line, style="yellow", markup=False, highlight=False)
