"""Fixtures of the runtime tests: a private kernel cache, native calls, fresh processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from runtime_helpers import SOURCE, run_native


@pytest.fixture(scope="session", autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Kernels of the whole session go to one fresh folder."""
    folder = tmp_path_factory.mktemp("kernels")
    before = os.environ.get("FUSEGRAD_CACHE_DIR")
    os.environ["FUSEGRAD_CACHE_DIR"] = str(folder)
    yield folder
    if before is None:
        del os.environ["FUSEGRAD_CACHE_DIR"]
    else:
        os.environ["FUSEGRAD_CACHE_DIR"] = before


@pytest.fixture
def native() -> Callable[..., None]:
    """:func:`run_native`."""
    return run_native


@pytest.fixture
def python() -> Callable[..., str]:
    """Run a program in a fresh process and return what it prints."""

    def run(code: str, timeout: float = 60, **environment: str) -> str:
        variables = {**os.environ, "PYTHONPATH": str(SOURCE), **environment}
        done = subprocess.run(
            [sys.executable, "-W", "error::DeprecationWarning:fusegrad", "-c", code],
            env=variables,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
