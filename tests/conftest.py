"""Fixtures of all tests: a private kernel cache, a verified IR, helper modules on the path."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

# Read at use, so that every graph of the session is checked after each pass.
os.environ.setdefault("FUSEGRAD_VERIFY", "1")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long random suites out unless they are asked for with ``-m fuzz``."""
    if "fuzz" in (config.getoption("markexpr") or ""):
        return
    kept = [item for item in items if item.get_closest_marker("fuzz") is None]
    dropped = [item for item in items if item.get_closest_marker("fuzz") is not None]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


@pytest.fixture(scope="session", autouse=True)
def kernel_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Compiled kernels of the session go to a fresh folder unless one is given."""
    if os.environ.get("FUSEGRAD_CACHE_DIR"):
        yield Path(os.environ["FUSEGRAD_CACHE_DIR"])
        return
    folder = tmp_path_factory.mktemp("kernels")
    os.environ["FUSEGRAD_CACHE_DIR"] = str(folder)
    yield folder
    os.environ.pop("FUSEGRAD_CACHE_DIR", None)
