"""Time to the first step in fresh processes, with an empty and with a filled compile cache.

In: a `Workload`, its sizes, peers and threads. Out: `ColdResult` records. Each peer gets a private
cache folder: the first process finds it empty (``cold``), the second finds what the first one left
(``warm``). JAX keeps no cache by default; its warm row says that it was switched on.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from .driver import WorkerError, WorkerProcess
from .peers import Peer
from .results import FAILED, MISSING, ColdResult
from .workload import Workload

# Variables that point each framework at its cache folder. ``eager`` peers have no cache.
CACHES: dict[str, Callable[[str], dict[str, str]]] = {
    "fusegrad": lambda folder: {"FUSEGRAD_CACHE_DIR": folder},
    "torch_compile": lambda folder: {
        "TORCHINDUCTOR_CACHE_DIR": folder,
        "TORCHINDUCTOR_FX_GRAPH_CACHE": "1",
        "TORCHINDUCTOR_AUTOGRAD_CACHE": "1",
    },
    "jax": lambda folder: {
        "JAX_COMPILATION_CACHE_DIR": folder,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    },
}
CACHES["jax_tuned"] = CACHES["jax"]


def first_step(
    peer: Peer,
    workload: Workload,
    sizes: dict[str, int],
    threads: int,
    environment: dict[str, str],
    cache: str,
) -> ColdResult:
    """Measure one fresh process."""
    result = ColdResult(workload.name, peer.name, cache)
    try:
        with WorkerProcess(peer, threads, environment) as worker:
            result.import_s = worker.ask("load", timeout=120)["import_s"]
            built = worker.ask("build", workload=workload.name, sizes=sizes, seed=0)
            checked = worker.ask("check", timeout=900, steps=1)
            result.first_step_s = built["build_s"] + checked["first_step_s"]
            result.reason = "; ".join(checked["notes"])
    except WorkerError as error:
        result.status = FAILED
        result.reason = next(iter(str(error).splitlines()), "no reason given")
    return result


def run_cold(
    workload: Workload,
    sizes: dict[str, int],
    peers: Sequence[Peer],
    threads: int,
    repeats: int = 1,
) -> list[ColdResult]:
    """Measure the first step of each peer with an empty and with a filled cache.

    The shortest of ``repeats`` is kept: a fresh process has no median worth the wait.
    """
    results = []
    for peer in peers:
        if not peer.is_installed():
            missing = ColdResult(workload.name, peer.name, "-", MISSING)
            missing.reason = f"{peer.module} is not installed"
            results.append(missing)
            continue
        rounds = [_cold_and_warm(peer, workload, sizes, threads) for _ in range(repeats)]
        results += [min(same, key=_seconds) for same in zip(*rounds, strict=True)]
    return results


def _seconds(result: ColdResult) -> float:
    return float("inf") if result.first_step_s is None else result.first_step_s


def _cold_and_warm(
    peer: Peer, workload: Workload, sizes: dict[str, int], threads: int
) -> list[ColdResult]:
    """Return one result for a peer without a cache, two for one with a cache."""
    settings = CACHES.get(peer.name)
    if settings is None:
        return [first_step(peer, workload, sizes, threads, {}, "none")]
    with tempfile.TemporaryDirectory(prefix="bench-cache-", ignore_cleanup_errors=True) as name:
        folder = Path(name) / "cache"
        folder.mkdir()
        environment = settings(str(folder))
        return [
            first_step(peer, workload, sizes, threads, environment, cache)
            for cache in ("cold", "warm")
        ]
