"""Fixtures of all tests: a private kernel cache, a verified IR, helper modules on the path."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

# Read at use, so that every graph of the session is checked after each pass.
os.environ.setdefault("FUSEGRAD_VERIFY", "1")


_fresh: str | None = None


def pytest_configure(config: pytest.Config) -> None:
    """Compiled kernels go to one fresh folder unless one is given; xdist's workers inherit it."""
    global _fresh
    if not os.environ.get("FUSEGRAD_CACHE_DIR"):
        _fresh = os.environ["FUSEGRAD_CACHE_DIR"] = tempfile.mkdtemp(prefix="fusegrad-kernels-")


def pytest_unconfigure(config: pytest.Config) -> None:
    """The process that made the folder takes it away."""
    if _fresh is not None:
        shutil.rmtree(_fresh, ignore_errors=True)
        os.environ.pop("FUSEGRAD_CACHE_DIR", None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long random suites out unless they are asked for with ``-m fuzz``."""
    if "fuzz" in (config.getoption("markexpr") or ""):
        return
    kept = [item for item in items if item.get_closest_marker("fuzz") is None]
    dropped = [item for item in items if item.get_closest_marker("fuzz") is not None]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept
