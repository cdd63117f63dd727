"""The command line: ``fusegrad info | cache | explain | bench``.

In: arguments. Out: tables on the terminal and an exit code. ``bench`` lives in
``bench/command.py``; ``python -m fusegrad`` reaches the same ``main``.
"""

from __future__ import annotations

import argparse
import os
import runpy
import sys
from collections import Counter
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from . import config
from .bench import command as bench
from .bench.machine import machine_facts
from .errors import FusegradError
from .explain import Report
from .ir.primitive import REGISTRY
from .runtime import cache, machine
from .runtime.threads import available_cores, get_num_threads
from .traced import Trace, hooks
from .views import human_bytes

ROOM_FOR_TEXT = 120  # columns of a terminal that also shows what each primitive is
PACKAGES = ("fusegrad", "numpy", "numba", "llvmlite", "safetensors", "rich", "torch", "jax")
# Features that change what kernels are generated for.
FEATURES = ("avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512bf16", "neon", "sve")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = make_parser()
    args = parser.parse_args(arguments)
    try:
        return int(args.handler(args) or 0)
    except FusegradError as error:
        sys.stderr.write(f"fusegrad: {error}\n")
        return 1
    except BrokenPipeError:  # the reader of a pipe went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands; each leaves its function in ``args.handler``."""
    parser = argparse.ArgumentParser(prog="fusegrad", description="A JIT autodiff framework.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    info = commands.add_parser("info", help="versions, CPU, threads, kernel cache, settings")
    info.add_argument("--ops", action="store_true", help="the primitives and what runs them")
    info.set_defaults(handler=info_command)
    caching = commands.add_parser("cache", help="look at the kernel cache, empty or check it")
    actions = caching.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, about in (
        ("info", "folder, entries and size"),
        ("clear", "delete every entry"),
        ("doctor", "verify every entry, delete damaged ones"),
    ):
        actions.add_parser(name, help=about).set_defaults(handler=cache_command)
    explaining = commands.add_parser(
        "explain", help="run a file and print the report of one of its jitted functions"
    )
    explaining.add_argument("target", metavar="FILE.py:FUNCTION")
    explaining.add_argument("--summary", action="store_true", help="the short form")
    explaining.add_argument("arguments", nargs=argparse.REMAINDER, help="passed to the file")
    explaining.set_defaults(handler=explain_command)
    bench.register(commands)
    return parser


# --- info ---------------------------------------------------------------------------------------
def info_command(args: argparse.Namespace) -> int:
    """Print what a bug report needs, or the primitives."""
    console = Console()
    console.print(ops_table(console.width >= ROOM_FOR_TEXT) if args.ops else info_table())
    return 0


def ops_table(described: bool = True) -> Table:
    """Every primitive record: its kind, what runs it inside a jitted function, derivative, purpose.

    *native* is a compiled kernel, *composition* the kernels of what the record expands to, *host*
    its NumPy reference, called from within the program.
    """
    records = sorted(REGISTRY.values(), key=lambda p: (p.kind, p.name))
    counts = Counter(p.runs_as for p in records)
    table = Table(
        title=f"{len(records)} primitives: "
        + ", ".join(f"{counts[way]} {way}" for way in ("native", "composition", "host"))
    )
    for heading in ("primitive", "kind", "under jit", "derivative"):
        table.add_column(heading, no_wrap=True)
    if described:
        table.add_column("what it is")
    for p in records:
        derivative = "yes" if p.differentiable else "of its body" if p.kind == "control" else "no"
        row = [p.name, p.kind, p.runs_as, derivative]
        table.add_row(*row, *([escape(p.doc)] if described else []))
    return table


def info_table() -> Table:
    """Versions, machine, threads, cache and settings as one table."""
    table = Table(title="fusegrad", show_header=False)
    facts, host = machine_facts(), machine.host()
    versions = [f"{name} {found}" for name in PACKAGES if (found := _version(name))]
    names = {name.lstrip("+") for name in host.features.split(",") if name.startswith("+")}
    table.add_row("python", facts["python"])
    table.add_row("packages", "\n".join(versions))
    table.add_row("system", facts["system"])
    table.add_row("CPU", facts["cpu"])
    table.add_row("LLVM target", f"{host.cpu}, {host.vector_bits}-bit vectors")
    table.add_row("features", " ".join(f for f in FEATURES if f in names) or "none of interest")
    table.add_row("threads", f"{get_num_threads()} (usable cores: {available_cores()})")
    _add_cache(table)
    for setting in config.SETTINGS:
        value = setting.get()
        table.add_row(setting.name, "default" if value == setting.default else value)
    return table


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _add_cache(table: Table) -> None:
    found = cache.current().info()
    table.add_row("cache folder", str(found.folder))
    table.add_row(
        "cache entries",
        f"{found.entries} ({human_bytes(found.size)} of {human_bytes(found.limit)})",
    )
    table.add_row("cache writable", "yes" if found.writable else "no: kernels stay in memory")


# --- cache --------------------------------------------------------------------------------------
def cache_command(args: argparse.Namespace) -> int:
    """Look at, empty or check the kernel cache."""
    console, disk = Console(), cache.current()
    if args.action == "info":
        table = Table(title="kernel cache", show_header=False)
        _add_cache(table)
        console.print(table)
        return 0
    if args.action == "clear":
        console.print(f"{disk.clear()} entries deleted from {disk.folder}")
        return 0
    found = disk.doctor()
    console.print(f"entries intact: {found.good}, damaged and deleted: {len(found.bad)}")
    for path in found.bad:
        console.print(f"  {path.name}")
    return 1 if found.bad else 0


# --- explain ------------------------------------------------------------------------------------
def explain_command(args: argparse.Namespace) -> int:
    """Run a file as a program, then report on the function it jitted."""
    file, _, name = args.target.rpartition(":")
    if not file or not name.isidentifier():
        sys.stderr.write("fusegrad: expected FILE.py:FUNCTION, for example train.py:step\n")
        return 2
    if not Path(file).is_file():
        sys.stderr.write(f"fusegrad: there is no file {file}\n")
        return 2
    traces = _run(Path(file), args.arguments)
    chosen = [t for t in traces if getattr(t.function, "__name__", "") == name]
    if not chosen:
        known = sorted({getattr(t.function, "__name__", "?") for t in traces})
        sys.stderr.write(
            f"fusegrad: {file} ran, but no jitted function {name} was called"
            + (f"; called: {', '.join(known)}\n" if known else "\n")
        )
        return 1
    report = Report(name, chosen)
    sys.stdout.write((report.summary() if args.summary else str(report)) + "\n")
    return 0


def _run(file: Path, arguments: Sequence[str]) -> list[Trace]:
    """The traces made while ``file`` runs as ``__main__``."""
    traces: list[Trace] = []
    saved = sys.argv, list(sys.path)
    sys.argv = [str(file), *arguments]
    sys.path.insert(0, str(file.resolve().parent))
    hooks.append(traces.append)
    try:
        runpy.run_path(str(file), run_name="__main__")
    except SystemExit as stop:
        if stop.code:
            sys.stderr.write(f"fusegrad: {file} exited with {stop.code}\n")
    finally:
        hooks.remove(traces.append)
        sys.argv, sys.path[:] = saved[0], saved[1]
    return traces
