"""What a worker process knows of itself; ``None`` in every other process."""

from __future__ import annotations

from typing import Any

_info: list[WorkerInfo] = []


class WorkerInfo:
    """What a worker knows of itself.

    Attributes:
        id: number of the worker, from 0.
        num_workers: how many there are.
        seed: the base seed of the epoch plus ``id``.
        dataset: this worker's copy of the dataset.
    """

    def __init__(self, id: int, num_workers: int, seed: int, dataset: Any) -> None:
        self.id = id
        self.num_workers = num_workers
        self.seed = seed
        self.dataset = dataset

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value}" for name, value in self.__dict__.items())
        return f"WorkerInfo({shown})"


def get_worker_info() -> WorkerInfo | None:
    """Number, seed and dataset of the worker that calls it, ``None`` outside of workers.

    An ``IterableDataset`` uses it to give every worker a part of the stream.

    Example:
        >>> from fusegrad.utils.data import get_worker_info
        >>> print(get_worker_info())
        None
    """
    return _info[0] if _info else None


def become_worker(info: WorkerInfo) -> None:
    """Make this process a worker."""
    _info[:] = [info]
