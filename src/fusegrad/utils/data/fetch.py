"""How a batch is made of a dataset, in the training process and in workers alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ...tensor import Tensor
from .collate import default_collate
from .dataset import IterableDataset, Subset, TensorDataset


class Recipe:
    """What makes batches: dataset, collation and batching. It travels to the workers.

    Args:
        dataset: map-style or iterable.
        batched: whether ``fetch`` gets lists of indices.
        collate: makes a batch from a list of samples.
        batch_size: samples per batch of a stream, ``None`` for single samples.
        drop_last: drop the incomplete last batch of a stream.
    """

    def __init__(
        self,
        dataset: Any,
        batched: bool,
        collate: Callable[[Any], Any],
        batch_size: int | None,
        drop_last: bool,
    ) -> None:
        self.dataset = dataset
        self.batched = batched
        self.collate = collate
        self.batch_size = batch_size
        self.drop_last = drop_last

    @property
    def streams(self) -> bool:
        """Whether the dataset is a stream."""
        return isinstance(self.dataset, IterableDataset)

    def gathers(self) -> bool:
        """Whether batches are rows of whole arrays, so that indices may be arrays and slices."""
        whole = self.batched and self.collate is default_collate
        return whole and whole_tensors(self.dataset) is not None

    def fetcher(self) -> Callable[[Any], Any]:
        """A function from indices to a batch; for a stream, indices are ignored.

        It raises ``StopIteration`` at the end of a stream.
        """
        if self.streams:
            batches = self.stream()
            return lambda _: next(batches)
        if self.gathers():
            arrays, subset = whole_tensors(self.dataset)  # type: ignore[misc]
            return lambda index: _gather(arrays, subset, index)
        if not self.batched:
            return lambda index: self.collate(self.dataset[index])
        many = getattr(self.dataset, "__getitems__", None)
        if many is not None:
            return lambda batch: self.collate(many(batch))
        return lambda batch: self.collate([self.dataset[index] for index in batch])

    def stream(self) -> Iterator[Any]:
        """The batches of a stream."""
        if self.batch_size is None:
            for sample in self.dataset:
                yield self.collate(sample)
            return
        batch: list[Any] = []
        for sample in self.dataset:
            batch.append(sample)
            if len(batch) == self.batch_size:
                yield self.collate(batch)
                batch = []
        if batch and not self.drop_last:
            yield self.collate(batch)


def whole_tensors(dataset: Any) -> tuple[list[np.ndarray], np.ndarray | None] | None:
    """The arrays of a ``TensorDataset`` (or of a subset of one), ``None`` for anything else."""
    if type(dataset) is Subset and type(dataset.dataset) is TensorDataset:
        arrays = whole_tensors(dataset.dataset)
        return None if arrays is None else (arrays[0], np.asarray(dataset.indices, np.int64))
    if type(dataset) is not TensorDataset:
        return None
    if any(t.requires_grad for t in dataset.tensors):
        return None
    return [t._concrete("DataLoader") for t in dataset.tensors], None


def _gather(arrays: list[np.ndarray], subset: np.ndarray | None, index: Any) -> list[Tensor]:
    rows = index if subset is None else subset[index]
    if isinstance(rows, slice):
        return [Tensor(np.array(array[rows])) for array in arrays]
    rows = np.asarray(rows, np.int64)
    return [Tensor(array[rows]) for array in arrays]
