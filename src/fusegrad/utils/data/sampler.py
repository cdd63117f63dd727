"""Samplers: the order in which a loader visits a dataset.

``indices()`` gives a whole epoch as a NumPy array where the order is known in advance, so that the
loader can cut batches without a Python loop over samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ...dtypes import float64
from ...errors import ArgumentError, ArgumentTypeError
from ...functions.random import Generator, rand, randint, randperm


class Sampler:
    """Base of samplers: an iterable of indices (or of lists of indices)."""

    def __init__(self, data_source: Any = None) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError("Subclasses of Sampler should implement __iter__.")

    def __class_getitem__(cls, item: Any) -> type:
        return cls


class _ArraySampler(Sampler):
    """A sampler that knows a whole epoch in advance."""

    def indices(self) -> np.ndarray:
        """The indices of one epoch."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices().tolist())


class SequentialSampler(_ArraySampler):
    """0, 1, 2, ..."""

    def indices(self) -> np.ndarray:
        """The indices of one epoch."""
        return np.arange(len(self.data_source))

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(_ArraySampler):
    """A random order, with or without replacement.

    Args:
        data_source: the dataset.
        replacement: draw with replacement.
        num_samples: number of draws; default the size of the dataset.
        generator: source of randomness; the default generator when ``None``.
    """

    def __init__(
        self,
        data_source: Any,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(data_source)
        if not isinstance(replacement, bool):
            raise ArgumentTypeError(
                f"replacement={replacement!r}", "replacement should be a boolean value."
            )
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator
        if num_samples is not None and (not isinstance(num_samples, int) or num_samples <= 0):
            raise ArgumentError(
                f"num_samples={num_samples}", "num_samples should be a positive integer value."
            )

    @property
    def num_samples(self) -> int:
        """Number of draws per epoch."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def indices(self) -> np.ndarray:
        """The indices of one epoch."""
        n, count = len(self.data_source), self.num_samples
        if self.replacement:
            return randint(n, (count,), generator=self.generator)._concrete("RandomSampler")
        if n == 0:
            return np.zeros(0, np.int64)
        rounds = -(-count // n)
        order = [randperm(n, generator=self.generator)._value for _ in range(rounds)]
        return np.concatenate(order)[:count] if rounds else np.zeros(0, np.int64)

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(_ArraySampler):
    """Given indices in a random order."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        super().__init__()
        self._indices = indices
        self.generator = generator

    def indices(self) -> np.ndarray:
        """The indices of one epoch."""
        order = randperm(len(self._indices), generator=self.generator)._value
        return np.asarray(self._indices)[order]

    def __len__(self) -> int:
        return len(self._indices)


class WeightedRandomSampler(_ArraySampler):
    """Indices drawn with given weights."""

    def __init__(
        self,
        weights: Sequence[float],
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(num_samples, int) or isinstance(num_samples, bool) or num_samples <= 0:
            raise ArgumentError(
                f"num_samples={num_samples}", "num_samples should be a positive integer value."
            )
        self.weights = np.asarray(weights, np.float64)
        if self.weights.ndim != 1:
            raise ArgumentError(
                f"weights of shape {self.weights.shape}", "weights should be a 1d sequence."
            )
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator
        if not replacement and num_samples > np.count_nonzero(self.weights):
            raise ArgumentError(
                f"{num_samples} samples without replacement",
                "There are not enough positive weights.",
            )

    def indices(self) -> np.ndarray:
        """The indices of one epoch."""
        if self.replacement:
            edges = np.cumsum(self.weights)
            draw = rand(self.num_samples, dtype=float64, generator=self.generator)._value
            return np.searchsorted(edges, draw * edges[-1], side="right").clip(0, len(edges) - 1)
        # exponential races: the smallest arrival times are a weighted draw without replacement
        draw = rand(len(self.weights), dtype=float64, generator=self.generator)._value
        with np.errstate(divide="ignore"):
            arrival = np.where(self.weights > 0, -np.log1p(-draw) / self.weights, np.inf)
        return np.argsort(arrival, kind="stable")[: self.num_samples]

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler):
    """Lists of ``batch_size`` consecutive indices of another sampler."""

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        super().__init__()
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ArgumentError(
                f"batch_size={batch_size!r}", "batch_size should be a positive integer value."
            )
        if not isinstance(drop_last, bool):
            raise ArgumentError(f"drop_last={drop_last!r}", "drop_last should be a boolean value.")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        batch: list[int] = []
        for index in self.sampler:
            batch.append(index)
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch and not self.drop_last:
            yield batch

    def __len__(self) -> int:
        count = len(self.sampler)  # type: ignore[arg-type]
        if self.drop_last:
            return count // self.batch_size
        return -(-count // self.batch_size)
