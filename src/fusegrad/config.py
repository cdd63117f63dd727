"""Every environment variable, once: name, default and one sentence.

Values are read at use, so a test or a shell can change them; nothing else in the package reads
``os.environ``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Setting:
    """One environment variable."""

    name: str
    default: str
    doc: str

    def get(self) -> str:
        """Current text value."""
        return os.environ.get(self.name, self.default)

    def flag(self) -> bool:
        """Current value as a switch; ``0``, empty, ``false`` and ``no`` are off."""
        return self.get().lower() not in ("", "0", "false", "no")


JIT = Setting("FUSEGRAD_JIT", "1", "0 runs every jitted function eagerly with NumPy.")
DEBUG = Setting(
    "FUSEGRAD_DEBUG", "", "Comma list of trace, ir, fusion, kernels, cache, time printed to stderr."
)
DUMP = Setting("FUSEGRAD_DUMP", "", "Folder that receives one numbered sub-folder per compile.")
VERIFY = Setting("FUSEGRAD_VERIFY", "0", "1 checks the IR after every pass.")
CACHE_DIR = Setting("FUSEGRAD_CACHE_DIR", "", "Folder of the kernel cache.")
CACHE_BYTES = Setting("FUSEGRAD_CACHE_BYTES", str(1 << 30), "Upper bound of the kernel cache.")
NUM_THREADS = Setting("FUSEGRAD_NUM_THREADS", "", "Compute threads; default: cores of the cgroup.")
FULL_TRACEBACK = Setting(
    "FUSEGRAD_FULL_TRACEBACK", "0", "1 keeps fusegrad's own frames in tracebacks."
)

SETTINGS = (JIT, DEBUG, DUMP, VERIFY, CACHE_DIR, CACHE_BYTES, NUM_THREADS, FULL_TRACEBACK)


def debug(topic: str) -> bool:
    """Whether ``FUSEGRAD_DEBUG`` names ``topic``."""
    chosen = DEBUG.get()
    return bool(chosen) and (chosen == "all" or topic in chosen.split(","))


def cache_dir() -> Path:
    """Folder of the kernel cache: the setting, else the XDG cache folder of the user."""
    chosen = CACHE_DIR.get()
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "fusegrad"
