"""Facts about the machine and the software, for the head of a report.

In: nothing. Out: dictionaries and strings for `Report`: CPU, cores, memory, versions, the commit if
the working folder is a git checkout, and how busy other processes keep the cores.
"""

from __future__ import annotations

import os
import platform
import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("fusegrad", "numpy", "numba", "llvmlite", "torch", "jax", "jaxlib")


def cpu_name() -> str:
    """Return the marketing name of the CPU where the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def usable_cores() -> int:
    """Return the number of cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine_facts() -> dict[str, Any]:
    """Return CPU, cores, memory and system."""
    memory = None
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": cpu_name(),
        "cores": usable_cores(),
        "memory_bytes": memory,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def package_versions() -> dict[str, str]:
    """Return the versions of what can be compared, without importing it."""
    found = {name: _version(name) for name in PACKAGES}
    return {name: version for name, version in found.items() if version is not None}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def current_commit() -> str | None:
    """Return the commit of this source tree, ``+`` for local changes; None outside git."""
    folder = Path(__file__).resolve().parent
    try:
        commit = _git(folder, "rev-parse", "--short", "HEAD")
        return commit + ("+" if _git(folder, "status", "--porcelain") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    return done.stdout.strip()


def _busy_seconds() -> float | None:
    """Return the seconds that all cores together have been busy since boot; Linux only."""
    try:
        fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    except OSError:
        return None
    ticks = [int(field) for field in fields]
    idle = ticks[3] + ticks[4]
    return (sum(ticks[:8]) - idle) / os.sysconf("SC_CLK_TCK")


def other_load(seconds: float = 0.5) -> float | None:
    """Return how many cores other processes keep busy, measured over ``seconds`` of sleep."""
    before = _busy_seconds()
    started = time.perf_counter()
    time.sleep(seconds)
    after = _busy_seconds()
    if before is None or after is None:
        return None
    return max(0.0, (after - before) / (time.perf_counter() - started))
