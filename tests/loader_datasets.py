"""Datasets that worker processes import."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np

import fusegrad as fg
from fusegrad.utils.data import Dataset, IterableDataset, get_worker_info


class Squares(Dataset):
    """Index and its square; ``trouble`` happens at index ``at``."""

    def __init__(self, n: int, at: int = -1, trouble: str = "", width: int = 2) -> None:
        self.n = n
        self.at = at
        self.trouble = trouble
        self.width = width

    def __getitem__(self, index: int) -> tuple[Any, int]:
        if index == self.at:
            trouble(self.trouble)
        return np.full(self.width, index * index, np.float32), index

    def __len__(self) -> int:
        return self.n


def trouble(kind: str) -> None:
    if kind == "raise":
        raise KeyError(f"nothing at this index, pid {os.getpid()}")
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "exit":
        os._exit(7)
    if kind == "sleep":
        time.sleep(600)
    if kind == "odd":
        raise Odd(1, 2)


class Odd(Exception):
    def __init__(self, a: int, b: int) -> None:
        super().__init__(a, b)


class Rows:
    """Samples of several kinds."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self.n:
            raise IndexError(index)
        return {
            "array": np.full((2, 3), index, np.float32),
            "scalar": np.int16(index),
            "float": index / 4,
            "int": index,
            "bool": index % 2 == 0,
            "text": str(index),
            "bytes": b"x",
            "pair": (index, [index, -index]),
            "nested": OrderedDict(a={"b": np.arange(index, index + 2)}),
        }


class Draws(Dataset):
    """What each source of randomness gives in the worker that reads the sample."""

    def __getitem__(self, index: int) -> tuple[float, float, float, int]:
        info = get_worker_info()
        seed = -1 if info is None else info.seed
        return random.random(), float(np.random.rand()), fg.rand(1).item(), seed

    def __len__(self) -> int:
        return 8


class Stream(IterableDataset):
    """0 .. n-1, shared among the workers when ``share``."""

    def __init__(self, n: int, share: bool = True) -> None:
        self.n = n
        self.share = share

    def __iter__(self) -> Iterator[int]:
        info = get_worker_info()
        if info is None or not self.share:
            return iter(range(self.n))
        return iter(range(info.id, self.n, info.num_workers))


class Facts(Dataset):
    """What a worker process is like."""

    def __init__(self) -> None:
        self.table = np.arange(100_000)
        self.changed = 0

    def __getitem__(self, index: int) -> dict[str, Any]:
        self.changed += 1
        self.table[0] += 1
        info = get_worker_info()
        assert info is not None and info.dataset is self
        return {
            "pid": os.getpid(),
            "worker": info.id,
            "workers": info.num_workers,
            "compiler": "numba" in sys.modules or "llvmlite" in sys.modules,
            "threads": fg.get_num_threads(),
            "changed": int(self.table[0]),
        }

    def __len__(self) -> int:
        return 8


def mark(number: int) -> None:
    os.environ["LOADER_MARK"] = str(number)


class Marks(Dataset):
    def __getitem__(self, index: int) -> str:
        return os.environ.get("LOADER_MARK", "none")

    def __len__(self) -> int:
        return 4
