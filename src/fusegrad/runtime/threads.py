"""How many threads compute, and the life of the worker pool.

In: ``FUSEGRAD_NUM_THREADS``, the process's CPU affinity and cgroup quota. Out: the thread settings
and :func:`make_runner`. Workers are native threads without Python state, started by the executor
when a program first needs them; they spin for a moment after a program, then sleep. A forked child
starts with none. The native side is in ``executor_ir.py``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import config
from ..errors import ArgumentError
from .executor import Executor, Job, executor

MAX_THREADS = 1024
# An idle worker spins this long before it sleeps: longer than Python needs between two steps of a
# small program, shorter than anybody's scheduling quantum.
IDLE_SECONDS = 50e-6
# A thread waiting at a barrier polls this long, then yields its core between polls: longer than
# most kernels' imbalance, short enough when another process holds the second core.
PATIENCE_SECONDS = 4e-6
CALIBRATION_PAUSES = 200
CGROUP_V2 = Path("/sys/fs/cgroup/cpu.max")
CGROUP_V1 = Path("/sys/fs/cgroup/cpu")

_chosen: int | None = None
_pool: Executor | None = None
_pause_seconds = 2e-8


def _cgroup_quota() -> float | None:
    """CPUs that the container may use, None when there is no limit."""
    try:
        quota, period = CGROUP_V2.read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        pass
    try:
        limit = int((CGROUP_V1 / "cpu.cfs_quota_us").read_text())
        return None if limit <= 0 else limit / int((CGROUP_V1 / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None


def available_cores() -> int:
    """Cores this process may use at once: affinity, bounded by the cgroup's quota rounded up."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quota = _cgroup_quota()
    if quota is not None:
        cores = min(cores, max(1, int(quota + 0.999)))
    return max(1, cores)


def _default_threads() -> int:
    text = config.NUM_THREADS.get().strip()
    if not text:
        return min(available_cores(), MAX_THREADS)
    if not text.isdigit() or not 1 <= int(text) <= MAX_THREADS:
        raise ArgumentError(
            f"{config.NUM_THREADS.name}={text!r} is not a number of threads",
            hint=f"an integer from 1 to {MAX_THREADS}",
        )
    return int(text)


def get_num_threads() -> int:
    """Number of threads that compiled programs use."""
    global _chosen
    if _chosen is None:
        _chosen = _default_threads()
    return _chosen


def set_num_threads(count: int) -> None:
    """Choose the number of threads of compiled programs.

    Programs compiled before keep the split of their work, hence their results to the last bit; only
    the number of threads that share it changes.

    Args:
        count: from 1 to 1024.
    """
    global _chosen
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MAX_THREADS:
        raise ArgumentError(
            f"set_num_threads got {count!r}", hint=f"an integer from 1 to {MAX_THREADS}"
        )
    _chosen = count
    if _pool is not None:
        _pool.configure(count, _patience())


def _patience() -> int:
    """Pauses at a barrier before yielding; none when threads have to share cores."""
    if get_num_threads() > available_cores():
        return 0
    return int(PATIENCE_SECONDS / _pause_seconds)


def _reset(pool: Executor) -> None:
    pool.reset_pool(get_num_threads(), _patience(), int(IDLE_SECONDS / _pause_seconds))


def prepare_pool(pool: Executor) -> None:
    """Initialise the native pool; called once when the executor is loaded."""
    global _pool, _pause_seconds
    started = time.perf_counter()
    pool.spin(CALIBRATION_PAUSES)
    elapsed = time.perf_counter() - started
    _pause_seconds = min(max(elapsed / CALIBRATION_PAUSES, 1e-9), 2e-7)
    _pool = pool
    _reset(pool)


def make_runner(
    table: int, entries: int, threads: int, *, release_gil: bool = True, owner: Any = None
) -> tuple[Callable[[], int], Job]:
    """A cheap callable that runs a launch table.

    Args:
        table: address of the first entry.
        entries: number of entries.
        threads: largest number of threads; fewer are used after ``set_num_threads`` or when another
            thread runs a program at the same moment, with the same results.
        release_gil: let other Python threads run meanwhile; costs 0.03 µs and a hand-over.
        owner: kept alive as long as the callable (the table's memory).

    Returns:
        The callable, which returns the stop flag (0: ran to the end), and the job, whose ``stop``
        word a callback sets to end the program.
    """
    job = Job(table, entries, 0, threads)
    return executor().bind(job, release_gil, owner), job


def _after_fork() -> None:
    if _pool is not None:
        _reset(_pool)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
