"""Worker processes: requests, failures, a worker that cannot import its framework."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fusegrad.bench.driver import WorkerError, WorkerProcess
from fusegrad.bench.limits import Probe, aligned_ones, best_seconds
from fusegrad.bench.measure import Settings, run_workload
from fusegrad.bench.peers import PEERS
from fusegrad.bench.registry import find
from fusegrad.bench.results import MISSING

BROKEN = dataclasses.replace(PEERS["torch"], module="fusegrad_has_no_such_module")


def test_failed_import_is_an_answer() -> None:
    with WorkerProcess(BROKEN, 1) as worker:
        with pytest.raises(WorkerError, match="No module named"):
            worker.ask("load")
        with pytest.raises(WorkerError, match="unknown request"):
            worker.ask("dance")


def test_dead_worker_is_named() -> None:
    with WorkerProcess(BROKEN, 1) as worker:
        worker.process.kill()
        with pytest.raises(WorkerError, match="worker ended with code"):
            worker.ask("load")


def test_missing_peer_is_a_row_not_an_error() -> None:
    linreg = find("linreg")
    result = run_workload(linreg, linreg.resolve_sizes("tiny"), [BROKEN], Settings(threads=1), None)
    assert result.rows[0].status == MISSING
    assert "not installed" in result.rows[0].reason


def test_environment_sets_threads_and_keeps_the_users_flags(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=there")
    variables = PEERS["jax_tuned"].worker_environment(1)
    assert variables["OMP_NUM_THREADS"] == "1"
    assert "--xla_dump_to=there" in variables["XLA_FLAGS"]
    assert "--xla_cpu_prefer_vector_width=512" in variables["XLA_FLAGS"]


def test_triad_loop_computes_the_triad() -> None:
    probe = Probe()
    a, b, c = (aligned_ones(256) for _ in range(3))
    b[:] = np.arange(256)
    probe.triad(256 // probe.lanes, a.ctypes.data, b.ctypes.data, c.ctypes.data)
    np.testing.assert_array_equal(a, b + 2.0 * c)


def test_best_seconds_runs_every_thread() -> None:
    seen: list[int] = []
    wall, cpu = best_seconds(2, seen.append, repeats=3)
    assert sorted(seen) == [0, 0, 0, 1, 1, 1]
    assert wall >= 0.0
    assert cpu >= 0.0
