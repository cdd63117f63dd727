"""Fixtures of the runtime tests: a private kernel cache, native calls, fresh processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from runtime_helpers import HANGS, SOURCE, run_native


@pytest.fixture(scope="session")
def private_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kernel cache that these tests begin empty and share."""
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(autouse=True)
def private_cache(private_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that count compilations have a cache of their own; other tests keep theirs."""
    monkeypatch.setenv("FUSEGRAD_CACHE_DIR", str(private_folder))


@pytest.fixture
def native() -> Callable[..., None]:
    """:func:`run_native`."""
    return run_native


@pytest.fixture
def python() -> Callable[..., str]:
    """Run a program in a fresh process and return what it prints."""

    def run(code: str, timeout: float = HANGS, **environment: str) -> str:
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
