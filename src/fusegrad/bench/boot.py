"""First code of a worker process; run as a script: ``python boot.py PEER MODULE THREADS``.

In: the peer's name, the module to import and the number of threads. Out: a call of `worker.serve`.
The framework is imported before anything else, so that its import time is its own. A worker of
PyTorch or JAX never imports fusegrad: an empty stand-in package leads to this folder instead.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
import types
from pathlib import Path


def main() -> None:
    """Import the framework, then serve."""
    name, module, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    package = Path(__file__).resolve().parent.parent
    # The script's folder is on the path; its file names must not shadow other modules.
    sys.path[0] = str(package.parent)
    if hasattr(os, "sched_setaffinity"):
        available = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, available[:threads])
    problem = None
    started = time.perf_counter()
    try:
        importlib.import_module(module)
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
        sys.modules.pop("fusegrad", None)
    seconds = time.perf_counter() - started
    if "fusegrad" not in sys.modules:
        stand_in = types.ModuleType("fusegrad")
        stand_in.__path__ = [str(package)]
        sys.modules["fusegrad"] = stand_in
    worker = importlib.import_module("fusegrad.bench.worker")
    worker.serve(name, threads, seconds, problem)


if __name__ == "__main__":
    main()
