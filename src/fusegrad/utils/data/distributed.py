"""The part of a dataset that one of several training processes reads."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...errors import ArgumentError
from ...functions.random import Generator, randperm
from .sampler import Sampler


class DistributedSampler(Sampler):
    """Every ``num_replicas``-th index, starting at ``rank``.

    All processes draw the same order from ``seed`` and the epoch that ``set_epoch`` tells. Every
    process gets equally many samples: the first ones are repeated, or with ``drop_last`` the last
    ones left out.

    Args:
        dataset: the dataset.
        num_replicas: number of training processes. There is no process group to ask: give it.
        rank: number of this process.
        shuffle: a new order every epoch.
        seed: the same in all processes.
        drop_last: leave out what does not divide, instead of repeating samples.

    Example:
        >>> from fusegrad.utils.data import DistributedSampler
        >>> list(DistributedSampler(range(5), num_replicas=2, rank=1, shuffle=False))
        [1, 3, 0]
    """

    def __init__(
        self,
        dataset: Any,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        super().__init__(dataset)
        if num_replicas is None or rank is None:
            raise ArgumentError(
                "DistributedSampler without num_replicas and rank",
                "There is no process group that knows them.",
                "num_replicas=1, rank=0",
            )
        if not 0 <= rank < num_replicas:
            raise ArgumentError(
                f"rank={rank} of {num_replicas}",
                f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}].",
                "the number of this process",
            )
        self.dataset = dataset
        self.num_replicas = num_replicas
        self.rank = rank
        self.epoch = 0
        self.drop_last = drop_last
        self.shuffle = shuffle
        self.seed = seed
        count = len(dataset)
        if drop_last:
            self.num_samples = count // num_replicas
        else:
            self.num_samples = math.ceil(count / num_replicas)
        self.total_size = self.num_samples * num_replicas

    def __iter__(self) -> Iterator[int]:
        count = len(self.dataset)
        if self.shuffle:
            generator = Generator().manual_seed(self.seed + self.epoch)
            order = randperm(count, generator=generator)._concrete("DistributedSampler")
        else:
            order = np.arange(count)
        if count:
            order = np.resize(order, self.total_size)  # repeats from the start, or cuts
        return iter(order[self.rank :: self.num_replicas].tolist())

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch; call it before each."""
        self.epoch = epoch
