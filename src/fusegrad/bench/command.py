"""The command line: ``fusegrad bench list | run | compare``.

In: arguments. Out: tables on the terminal, a JSON report on request, an exit code. `register` adds
the parser to fusegrad's own; ``python -m fusegrad.bench`` reaches the same code through `main`.
"""

from __future__ import annotations

import argparse
import datetime
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from .cold import run_cold
from .compare import changes, changes_table, differences_in_setup
from .limits import measure_rates
from .machine import current_commit, machine_facts, other_load, package_versions, usable_cores
from .measure import Settings, run_workload
from .peers import DEFAULT_PEERS, PEERS, Peer, parse_peers
from .registry import all_workloads, find
from .report import LiveView, cold_table, make_console, make_table, summary_table
from .results import FAILED, MISMATCH, Report, load_report
from .workload import Workload

BUSY_CORES = 0.2
INTERRUPTED = 130


def _command_line() -> str:
    """The command as a user types it, however the runner was started."""
    words = sys.argv[1:]
    return shlex.join(["fusegrad", *([] if words[:1] == ["bench"] else ["bench"]), *words])


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``bench`` to the subcommands of a parser.

    The chosen command is left in ``args.handler``, a function from the parsed arguments to an
    exit code.
    """
    description = "Measure fusegrad against PyTorch and JAX."
    parser = subparsers.add_parser("bench", help=description.lower(), description=description)
    add_commands(parser)


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add ``list``, ``run`` and ``compare`` to ``parser``."""
    commands = parser.add_subparsers(dest="bench_command", required=True, metavar="COMMAND")
    lister = commands.add_parser("list", help="show workloads and peers")
    lister.set_defaults(handler=list_command)
    comparer = commands.add_parser("compare", help="compare two JSON reports")
    comparer.add_argument("old", type=Path)
    comparer.add_argument("new", type=Path)
    comparer.add_argument(
        "--fail-above",
        type=float,
        metavar="RATIO",
        help="exit code 1 if a median of fusegrad grew by more than this factor",
    )
    comparer.set_defaults(handler=compare_command)
    runner = commands.add_parser("run", help="measure workloads")
    add_run_arguments(runner)
    runner.set_defaults(handler=run_command)


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``run``."""
    add = parser.add_argument
    add("workloads", nargs="*", metavar="WORKLOAD", help="names from 'list'; default: all")
    add(
        "--against",
        default=",".join(DEFAULT_PEERS),
        metavar="PEERS",
        help=f"comma-separated, or all; known: {', '.join(PEERS)} (default: %(default)s)",
    )
    add("--only-peers", action="store_true", help="leave fusegrad itself out")
    add("--threads", type=int, default=usable_cores(), help="threads of every peer (%(default)s)")
    add("--rounds", type=int, default=10, help="turns of every peer (default: %(default)s)")
    add("--quick", action="store_true", help="3 short rounds")
    add("--size", choices=("full", "tiny"), default="full", help="real sizes or those of a test")
    add("--scale", type=float, default=1.0, help="factor on batch-like dimensions")
    add("--seed", type=int, default=0, help="seed of parameters and batches")
    add(
        "--idle",
        choices=("spin", "sleep"),
        default="spin",
        help="sleep: OpenMP threads of PyTorch sleep when idle, steadier on a busy machine",
    )
    add("--cold", action="store_true", help="measure first steps in fresh processes instead")
    add("--repeats", type=int, default=1, help="fresh processes per row of --cold, best kept")
    add("--no-limit", action="store_true", help="do not measure the limits of the machine")
    add("--json", type=Path, metavar="FILE", help="write the report to FILE")
    add("--verbose", action="store_true", help="print tracebacks of failed peers")


def complain(command: str, message: object) -> None:
    """Write a usage error."""
    sys.stderr.write(f"fusegrad bench {command}: {message}\n")


def list_command(args: argparse.Namespace) -> int:
    """Print workloads and peers."""
    console = make_console()
    workloads = make_table("workloads")
    workloads.add_column("name", no_wrap=True)
    workloads.add_column("step")
    for workload in all_workloads().values():
        workloads.add_row(workload.name, workload.description)
    console.print(workloads)
    peers = make_table("peers (--against)")
    for heading in ("name", "what it is", "installed"):
        peers.add_column(heading)
    for peer in PEERS.values():
        peers.add_row(peer.name, peer.description, "yes" if peer.is_installed() else "no")
    console.print(peers)
    return 0


def compare_command(args: argparse.Namespace) -> int:
    """Print what changed between two reports."""
    console = make_console()
    try:
        old, new = load_report(args.old), load_report(args.new)
    except (OSError, ValueError) as error:
        complain("compare", error)
        return 2
    for line in differences_in_setup(old, new):
        console.print(line, style="yellow", markup=False, highlight=False)
    found = changes(old, new)
    if not found:
        console.print("no workload was timed at equal sizes in both reports")
        return 0
    console.print(changes_table(found))
    if args.fail_above is None:
        return 0
    worse = [one for one in found if one.peer == "fusegrad" and one.ratio > args.fail_above]
    for one in worse:
        console.print(f"{one.workload}: {one.ratio:.2f} times the old median", style="red")
    return 1 if worse else 0


def choose(args: argparse.Namespace) -> tuple[list[Workload], list[Peer]]:
    """Return the workloads and peers of the command line; a KeyError says what is unknown."""
    chosen = [find(name) for name in args.workloads] or list(all_workloads().values())
    peers = parse_peers(args.against)
    if not args.only_peers:
        peers = [PEERS["fusegrad"], *(peer for peer in peers if peer.name != "fusegrad")]
    return chosen, peers


def new_report(settings: Settings, args: argparse.Namespace) -> Report:
    """Return a report with its head filled in."""
    details = {
        **asdict(settings),
        "size": args.size,
        "scale": args.scale,
        "command": _command_line(),
    }
    return Report(
        machine=machine_facts(),
        versions=package_versions(),
        settings=details,
        date=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        commit=current_commit(),
    )


def run_command(args: argparse.Namespace) -> int:
    """Measure, print and save."""
    console = make_console()
    try:
        chosen, peers = choose(args)
    except KeyError as error:
        complain("run", error.args[0])
        return 2
    settings = Settings(
        threads=args.threads,
        rounds=min(args.rounds, 3) if args.quick else args.rounds,
        turn_s=0.03 if args.quick else 0.15,
        seed=args.seed,
        idle=args.idle,
    )
    report = new_report(settings, args)
    warn_if_busy(console, report)
    interrupted = False
    try:
        if args.cold:
            measure_first_steps(console, report, chosen, peers, args)
        else:
            measure_steady_state(console, report, chosen, peers, args, settings)
    except KeyboardInterrupt:
        console.print("interrupted; finished workloads are kept")
        interrupted = True
    if args.json:
        report.save(args.json)
        console.print(f"report: {args.json}", highlight=False)
    return INTERRUPTED if interrupted else exit_code(report)


def warn_if_busy(console: Console, report: Report) -> None:
    """Say so when other processes use the cores: spinning threads suffer most."""
    load = other_load()
    report.machine["other_load"] = load
    if load is not None and load > BUSY_CORES:
        console.print(
            f"other processes keep {load:.1f} cores busy: medians will be too long, those of "
            "threads that spin most of all, and the measured bandwidth too low "
            "(try --idle sleep or --threads 1)",
            style="yellow",
        )


def measure_steady_state(
    console: Console,
    report: Report,
    chosen: Sequence[Workload],
    peers: Sequence[Peer],
    args: argparse.Namespace,
    settings: Settings,
) -> None:
    """Fill ``report.workloads`` and print the tables."""
    rates = None
    if not args.no_limit:
        measured = measure_rates(args.threads)
        rates = (measured.flops, measured.bytes)
        report.machine["flops_per_s"], report.machine["bytes_per_s"] = rates
        console.print(
            f"{report.machine['cpu']}, {args.threads} threads: "
            f"{measured.flops / 1e9:.0f} GFLOP/s, {measured.bytes / 1e9:.0f} GB/s",
            highlight=False,
        )
    with LiveView(console) as view:
        for workload in chosen:
            sizes = workload.resolve_sizes(args.size, args.scale)
            result = run_workload(workload, sizes, peers, settings, rates, view.update)
            report.workloads.append(result)
            view.finish(result)
            if args.verbose:
                for row in result.rows:
                    if row.detail:
                        console.print(row.detail, markup=False, highlight=False)
    if len(report.workloads) > 1:
        console.print(summary_table(report))


def measure_first_steps(
    console: Console,
    report: Report,
    chosen: Sequence[Workload],
    peers: Sequence[Peer],
    args: argparse.Namespace,
) -> None:
    """Fill ``report.cold`` and print the table."""
    for workload in chosen:
        with console.status(f"first steps of {workload.name}"):
            sizes = workload.resolve_sizes(args.size, args.scale)
            report.cold += run_cold(workload, sizes, peers, args.threads, args.repeats)
    console.print(cold_table(report.cold))


def exit_code(report: Report) -> int:
    """Return 1 if fusegrad itself failed or gave other losses than its peers."""
    rows = [row for result in report.workloads for row in result.rows]
    states = {row.status for row in rows if row.peer in ("fusegrad", "eager")}
    states |= {one.status for one in report.cold if one.peer in ("fusegrad", "eager")}
    return 1 if states & {FAILED, MISMATCH} else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``python -m fusegrad.bench``."""
    parser = argparse.ArgumentParser(
        prog="python -m fusegrad.bench", description="Measure fusegrad against PyTorch and JAX."
    )
    add_commands(parser)
    args = parser.parse_args(arguments)
    code: int = args.handler(args)
    return code
