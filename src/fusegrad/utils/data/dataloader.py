"""DataLoader: batches of a dataset, in one process.

In: a dataset and a sampler. Out: collated batches. Batches of a ``TensorDataset`` are gathered
whole by NumPy; other datasets are read sample by sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from ...errors import ArgumentError
from ...functions.random import Generator
from ...tensor import Tensor
from .collate import default_collate, default_convert
from .dataset import IterableDataset, Subset, TensorDataset
from .sampler import BatchSampler, RandomSampler, SequentialSampler, _ArraySampler


class DataLoader:
    """Iterates over a dataset in batches.

    Args:
        dataset: map-style or iterable dataset.
        batch_size: samples per batch; ``None`` gives single samples.
        shuffle: a new random order every epoch.
        sampler: order of the samples, instead of ``shuffle``.
        batch_sampler: lists of indices, instead of the four options above and ``drop_last``.
        num_workers: must be 0: batches are made in this process.
        collate_fn: makes a batch from a list of samples.
        drop_last: drop the last batch when it is incomplete.
        generator: source of randomness of ``shuffle``.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.utils.data import DataLoader, TensorDataset
        >>> loader = DataLoader(TensorDataset(fg.arange(5)), batch_size=2)
        >>> [batch[0].tolist() for batch in loader]
        [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Any = None,
        batch_sampler: Any = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Any = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        if num_workers != 0:
            raise ArgumentError(
                f"DataLoader with num_workers={num_workers}",
                "Batches are made in the process of the training loop.",
                "num_workers=0",
            )
        self.dataset = dataset
        self.num_workers = 0
        self.pin_memory = pin_memory
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.generator = generator
        self._iterable = isinstance(dataset, IterableDataset)
        self._check(batch_size, shuffle, sampler, batch_sampler, drop_last)
        if batch_sampler is not None:
            batch_size, drop_last = None, False
        elif sampler is None and not self._iterable:
            sampler = (
                RandomSampler(dataset, generator=generator)
                if shuffle
                else SequentialSampler(dataset)
            )
        if batch_size is not None and batch_sampler is None and not self._iterable:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        batched = batch_sampler is not None or (self._iterable and batch_size is not None)
        self._batched = batched
        self.collate_fn = collate_fn or (default_collate if batched else default_convert)

    def _check(
        self, batch_size: Any, shuffle: Any, sampler: Any, batch_sampler: Any, drop_last: bool
    ) -> None:
        if self._iterable and (shuffle or sampler is not None or batch_sampler is not None):
            raise ArgumentError(
                "DataLoader with IterableDataset and an order",
                "A stream has its own order: shuffle, sampler and batch_sampler do not apply.",
            )
        if sampler is not None and shuffle:
            raise ArgumentError(
                "DataLoader with sampler and shuffle",
                "sampler option is mutually exclusive with shuffle.",
            )
        if batch_sampler is not None and (
            batch_size != 1 or shuffle or sampler is not None or drop_last
        ):
            raise ArgumentError(
                "DataLoader with batch_sampler and other options",
                "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, "
                "and drop_last.",
            )
        if batch_size is None and drop_last:
            raise ArgumentError(
                "DataLoader with batch_size=None and drop_last",
                "batch_size=None disables auto-batching: nothing to drop.",
            )

    def __len__(self) -> int:
        if self._iterable:
            count = len(self.dataset)
            if self.batch_size is None:
                return count
            extra = 0 if self.drop_last else self.batch_size - 1
            return (count + extra) // self.batch_size
        return len(self.batch_sampler if self._batched else self.sampler)

    def __iter__(self) -> Iterator[Any]:
        if self._iterable:
            return self._stream()
        if not self._batched:
            return (self.collate_fn(self.dataset[index]) for index in self.sampler)
        source = _whole_tensors(self.dataset)
        if source is not None and self.collate_fn is default_collate:
            return _gathered(source, self._index_batches())
        return (self.collate_fn(self._fetch(batch)) for batch in self.batch_sampler)

    def _fetch(self, batch: Any) -> list[Any]:
        many = getattr(self.dataset, "__getitems__", None)
        return many(batch) if many is not None else [self.dataset[index] for index in batch]

    def _stream(self) -> Iterator[Any]:
        if self.batch_size is None:
            for sample in self.dataset:
                yield self.collate_fn(sample)
            return
        batch: list[Any] = []
        for sample in self.dataset:
            batch.append(sample)
            if len(batch) == self.batch_size:
                yield self.collate_fn(batch)
                batch = []
        if batch and not self.drop_last:
            yield self.collate_fn(batch)

    def _index_batches(self) -> Iterable[Any]:
        """Index arrays per batch; slices where the order is sequential."""
        batches = self.batch_sampler
        if type(batches) is not BatchSampler or not isinstance(batches.sampler, _ArraySampler):
            return (np.asarray(batch, np.int64) for batch in batches)
        size, count = batches.batch_size, len(batches.sampler)  # type: ignore[arg-type]
        stop = count - count % size if batches.drop_last else count
        starts = range(0, stop, size)
        if type(batches.sampler) is SequentialSampler:
            return (slice(k, min(k + size, stop)) for k in starts)
        order = batches.sampler.indices()
        return (order[k : min(k + size, stop)] for k in starts)


def _whole_tensors(dataset: Any) -> tuple[list[np.ndarray], np.ndarray | None] | None:
    """The arrays of a ``TensorDataset`` (or of a subset of one), ``None`` for anything else."""
    if type(dataset) is Subset and type(dataset.dataset) is TensorDataset:
        arrays = _whole_tensors(dataset.dataset)
        return None if arrays is None else (arrays[0], np.asarray(dataset.indices, np.int64))
    if type(dataset) is not TensorDataset:
        return None
    if any(t.requires_grad for t in dataset.tensors):
        return None
    return [t._concrete("DataLoader") for t in dataset.tensors], None


def _gathered(
    source: tuple[list[np.ndarray], np.ndarray | None], batches: Iterable[Any]
) -> Iterator[list[Tensor]]:
    arrays, subset = source
    for index in batches:
        rows = index if subset is None else subset[index]
        if isinstance(rows, slice):
            yield [Tensor(np.array(array[rows])) for array in arrays]
        else:
            yield [Tensor(array[rows]) for array in arrays]
