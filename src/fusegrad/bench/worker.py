"""A worker process: one framework, driven by requests on its standard input.

In: one JSON request per line, ``{"do": "build", ...}``. Out: one JSON answer per line on the
original standard output; whatever the framework prints goes to standard error. Between requests the
process sleeps in a read, so that workers can take turns on the same cores. The other end is
``driver.py``.
"""

from __future__ import annotations

import gc
import glob
import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

from .frameworks import FRAMEWORKS, Framework
from .registry import find

try:
    resource: Any = importlib.import_module("resource")
except ImportError:  # Windows
    resource = None

MAX_BLOCKS = 60
CALM_SHARE = 0.03
DIGEST_ELEMENTS = 100_003  # prime, so that a stride does not follow rows or columns


def digest(values: np.ndarray) -> list[float]:
    """Return numbers that pin an array down: ``[value, scale]`` pairs, flattened.

    A scalar is its own value and scale. A larger array gives its root mean square and a fixed
    pseudo-random projection, both with the root mean square as the scale of their error; of a very
    large one every n-th element counts, so that the digest adds nothing to the peak memory.
    """
    flat = np.asarray(values).ravel()
    flat = flat[:: max(1, flat.size // DIGEST_ELEMENTS)].astype(np.float64)
    if flat.size == 1:
        return [float(flat[0]), abs(float(flat[0]))]
    rms = float(np.sqrt(np.mean(flat * flat)))
    signs = np.cos(np.arange(flat.size) * 1.7)
    return [rms, rms, float(flat @ signs / np.sqrt(flat.size)), rms]


def reset_peak_memory() -> bool:
    """Forget the highest resident size so far; Linux only."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        return False
    return True


def peak_memory() -> int:
    """Return the highest resident size in bytes, since the last reset where possible."""
    try:
        with open("/proc/self/status") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    if resource is None:
        return 0
    usage: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return usage if sys.platform == "darwin" else usage * 1024


class RunDelay:
    """Seconds that threads of this process were ready to run but had to wait for a core.

    Linux only; elsewhere the delay reads as zero. The files stay open during a turn because
    reading must be quick: spinning threads would fall asleep between two blocks.
    """

    def __init__(self) -> None:
        paths = glob.glob("/proc/self/task/*/schedstat")
        self.files = [os.open(path, os.O_RDONLY) for path in paths]

    def read(self) -> float:
        """Return the delay so far, of all threads together."""
        return sum(map(self._delay_of, self.files)) * 1e-9

    @staticmethod
    def _delay_of(file: int) -> int:
        try:
            return int(os.pread(file, 128, 0).split()[1])
        except (OSError, IndexError):  # the thread has ended
            return 0

    def close(self) -> None:
        """Close the files."""
        for file in self.files:
            os.close(file)


class Worker:
    """The requests a worker answers; each public method is one."""

    def __init__(
        self, framework: Framework, threads: int, import_seconds: float, problem: str | None
    ) -> None:
        self.framework = framework
        self.threads = threads
        self.import_seconds = import_seconds
        self.problem = problem

    def load(self) -> dict[str, Any]:
        """Report the import and set the threads."""
        if self.problem:
            raise ImportError(self.problem)
        started = time.perf_counter()
        self.framework.load()
        seconds = self.import_seconds + time.perf_counter() - started
        self.framework.set_threads(self.threads)
        version = getattr(self.framework.module, "__version__", "unknown")
        return {"import_s": seconds, "version": str(version)}

    def build(self, workload: str, sizes: dict[str, int], seed: int) -> dict[str, Any]:
        """Create data, model, optimizer and batches."""
        record = find(workload)
        data = record.make_data(sizes, seed)
        started = time.perf_counter()
        self.framework.build(record, sizes, data)
        seconds = time.perf_counter() - started
        del data
        gc.collect()
        reset_peak_memory()
        return {"build_s": seconds}

    def check(self, steps: int) -> dict[str, Any]:
        """Run the first steps one by one; return their digests and the time of the first."""
        digests, first = [], 0.0
        for index in range(steps):
            started = time.perf_counter()
            result = self.framework.run(1)
            self.framework.read(result)
            if index == 0:
                first = time.perf_counter() - started
            arrays = self.framework.watched(result)
            digests.append([number for array in arrays for number in digest(array)])
        return {"digests": digests, "first_step_s": first, "notes": self.framework.notes}

    def sample(self, block: int, budget: float, warm: int) -> dict[str, Any]:
        """Take a turn: ``warm`` untimed steps, then blocks until ``budget`` seconds are over.

        A block during which our threads waited for cores for more than a few percent of its time
        is ``disturbed``; the turn goes on for up to two budgets until it has one that is not.
        """
        framework, clock = self.framework, time.perf_counter
        calm: list[float] = []
        disturbed: list[float] = []
        gc.disable()
        framework.read(framework.run(warm))
        delay = RunDelay()
        turn_started = clock()
        while True:
            waited = delay.read()
            started = clock()
            framework.read(framework.run(block))
            ended = clock()
            lost = delay.read() - waited
            kept = calm if lost <= CALM_SHARE * (ended - started) else disturbed
            kept.append((ended - started) / block)
            spent = ended - turn_started
            full = len(calm) + len(disturbed) >= MAX_BLOCKS
            if full or spent >= (budget if calm else 2 * budget):
                break
        delay.close()
        gc.enable()
        gc.collect(0)
        return {"calm": calm, "disturbed": disturbed}

    def memory(self) -> dict[str, Any]:
        """Return the peak resident memory since `build`."""
        return {"peak_rss_bytes": peak_memory()}


REQUESTS = ("load", "build", "check", "sample", "memory")


def answer(worker: Worker, request: dict[str, Any]) -> dict[str, Any]:
    """Run one request; a failure becomes an answer with ``error``."""
    name = request.pop("do")
    if name not in REQUESTS:
        return {"error": f"unknown request {name!r}"}
    handler: Callable[..., dict[str, Any]] = getattr(worker, name)
    try:
        return handler(**request)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}", "detail": traceback.format_exc()}


def serve(name: str, threads: int, import_seconds: float, problem: str | None) -> None:
    """Answer requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    worker = Worker(FRAMEWORKS[name](), threads, import_seconds, problem)
    for line in sys.stdin:
        answers.write(json.dumps(answer(worker, json.loads(line))) + "\n")
        answers.flush()
