"""Steady-state measurement: all peers of a workload take turns in rounds.

In: a `Workload`, its sizes, peers and `Settings`. Out: a `WorkloadResult`. Every peer is a worker
process of its own; all follow the same losses for a few steps first, and one that does not is
reported and not timed. Results are printed by ``report.py``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from .driver import WorkerError, WorkerProcess
from .peers import PEERS, Peer
from .results import FAILED, MISMATCH, MISSING, Row, WorkloadResult
from .workload import Workload

TOLERANCE = 1e-3
REFERENCES = ("torch", "jax", "eager", "torch_tuned", "jax_tuned", "torch_compile", "fusegrad")
PAUSE_S = 0.005


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        threads: threads of every peer.
        rounds: turns of every peer.
        turn_s: seconds of one turn; at least one block is measured.
        check_steps: steps whose losses are compared before timing.
        seed: seed of parameters and batches.
        step_timeout_s: longest wait for the first steps, compilation included.
        idle: ``spin`` leaves each library's own waiting policy, ``sleep`` makes OpenMP threads
            sleep at once, which is slower but steady on a machine shared with others.
    """

    threads: int
    rounds: int = 10
    turn_s: float = 0.15
    check_steps: int = 5
    seed: int = 0
    step_timeout_s: float = 900.0
    idle: str = "spin"

    def environment(self) -> dict[str, str]:
        """Return what the settings add to the environment of a worker."""
        return {"OMP_WAIT_POLICY": "passive"} if self.idle == "sleep" else {}


@dataclass
class Runner:
    """A peer in a measurement: its worker, its row and the digests of its first steps."""

    peer: Peer
    row: Row
    worker: WorkerProcess | None = None
    digests: Sequence[Sequence[float]] = ()


Progress = Callable[[WorkloadResult, str], None]


def losses_differ(
    digests: Sequence[Sequence[float]], reference: Sequence[Sequence[float]]
) -> str | None:
    """Return a sentence on the first digest that is off by more than the tolerance, or None."""
    for step, (mine, theirs) in enumerate(zip(digests, reference, strict=True), start=1):
        if len(mine) != len(theirs):
            return f"step {step} returns {len(mine) // 2} numbers, the reference {len(theirs) // 2}"
        pairs = zip(mine[::2], theirs[::2], mine[1::2], theirs[1::2], strict=True)
        for value, expected, scale, expected_scale in pairs:
            error = abs(value - expected)
            # A NaN fails every comparison, so the test is for success.
            if not error <= TOLERANCE * max(scale, expected_scale):
                return f"step {step} gives {value:.6g}, the reference {expected:.6g}"
    return None


def prepare(runner: Runner, workload: Workload, sizes: dict[str, int], settings: Settings) -> None:
    """Start the worker of ``runner`` and run its first steps."""
    worker, row = runner.worker, runner.row
    if worker is None:
        raise RuntimeError("prepare() needs a worker")
    loaded = worker.ask("load", timeout=120)
    row.import_s, row.version = loaded["import_s"], loaded["version"]
    request = {"workload": workload.name, "sizes": sizes, "seed": settings.seed}
    row.build_s = worker.ask("build", timeout=300, **request)["build_s"]
    checked = worker.ask("check", timeout=settings.step_timeout_s, steps=settings.check_steps)
    runner.digests = checked["digests"]
    row.first_step_s = checked["first_step_s"]
    row.reason = "; ".join(checked["notes"])
    row.losses = [digest[0] if digest else math.nan for digest in checked["digests"]]


def give_up(runner: Runner, status: str, reason: str) -> None:
    """Take a peer out of the measurement."""
    runner.row.status, runner.row.reason = status, reason
    if runner.worker is not None:
        runner.worker.close()
        runner.worker = None


def compare_losses(runners: Sequence[Runner]) -> None:
    """Take out every peer that does not follow the losses of the reference."""
    ready = {runner.peer.name: runner for runner in runners if runner.digests}
    reference = next((ready[name] for name in REFERENCES if name in ready), None)
    if reference is None:
        return
    for runner in ready.values():
        difference = losses_differ(runner.digests, reference.digests)
        if difference:
            give_up(runner, MISMATCH, f"{difference} ({reference.peer.label})")


def choose_block(worker: WorkerProcess) -> int:
    """Return the steps per sample: 10, fewer when a step is long."""
    turn = worker.ask("sample", block=1, budget=0.0, warm=1)
    step = min(turn["calm"] + turn["disturbed"])
    return max(1, min(10, int(0.5 / max(step, 1e-9))))


def take_turn(runner: Runner, settings: Settings) -> None:
    """Measure one turn of one peer."""
    worker, row = runner.worker, runner.row
    if worker is None:
        return
    try:
        if not row.block:
            row.block = choose_block(worker)
        # The other peers have had the caches; the first steps of a turn are not measured.
        warm = max(1, row.block // 2)
        request = {"block": row.block, "budget": settings.turn_s, "warm": warm}
        turn = worker.ask("sample", **request)
        row.samples += turn["calm"]
        row.disturbed += turn["disturbed"]
    except WorkerError as error:
        row.detail = error.detail
        give_up(runner, FAILED, str(error))
    # OpenMP threads spin for about a millisecond after their last loop.
    time.sleep(PAUSE_S)


def run_workload(
    workload: Workload,
    sizes: dict[str, int],
    peers: Sequence[Peer],
    settings: Settings,
    rates: tuple[float, float] | None,
    progress: Progress = lambda result, status: None,
) -> WorkloadResult:
    """Check and time ``peers`` on ``workload``.

    Args:
        rates: FLOP/s and bytes/s of this machine, for the limit; None leaves it out.
        progress: called with the unfinished result and a status line.
    """
    result = WorkloadResult(
        name=workload.name,
        sizes=sizes,
        flops=workload.flops(sizes),
        least_bytes=workload.least_bytes(sizes),
        limit_s=workload.limit_seconds(sizes, *rates) if rates else None,
        rows=[Row(peer.name) for peer in peers],
    )
    runners = [Runner(peer, row) for peer, row in zip(peers, result.rows, strict=True)]
    with ExitStack() as stack:
        for runner in runners:
            progress(result, f"{runner.peer.label}: import, build, first steps")
            start(runner, workload, sizes, settings, stack)
        compare_losses(runners)
        for number in range(settings.rounds):
            for runner in runners:
                progress(result, f"round {number + 1}/{settings.rounds}: {runner.peer.label}")
                take_turn(runner, settings)
        for runner in runners:
            if runner.worker is not None:
                runner.row.peak_rss = runner.worker.ask("memory")["peak_rss_bytes"]
                runner.row.settle()
    progress(result, "done")
    return result


def start(
    runner: Runner,
    workload: Workload,
    sizes: dict[str, int],
    settings: Settings,
    stack: ExitStack,
) -> None:
    """Bring one peer to the point where it can be timed, or say why it cannot."""
    if not runner.peer.is_installed():
        give_up(runner, MISSING, f"{runner.peer.module} is not installed")
        return
    runner.worker = WorkerProcess(runner.peer, settings.threads, settings.environment())
    stack.callback(runner.worker.close)
    try:
        prepare(runner, workload, sizes, settings)
    except WorkerError as error:
        runner.row.detail = error.detail
        give_up(runner, FAILED, next(iter(str(error).splitlines()), "no reason given"))


def rivals() -> set[str]:
    """Return the names of the peers that count for "best peer"."""
    return {name for name, peer in PEERS.items() if peer.rival}


def summary_ratios(result: WorkloadResult) -> dict[str, Any]:
    """Return fusegrad's speed against the best peer, PyTorch eager and the limit."""
    mine = result.median("fusegrad")
    best, eager = result.best_rival(rivals()), result.median("torch")
    ratios: dict[str, Any] = {"best_peer": best.peer if best else None}
    if mine:
        ratios["x_best"] = best.median / mine if best and best.median else None
        ratios["x_torch"] = eager / mine if eager else None
        ratios["of_limit"] = result.limit_s / mine if result.limit_s else None
    return ratios
