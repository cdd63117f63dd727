"""Datasets: things with ``__getitem__`` and ``__len__``, or with ``__iter__``."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ...errors import ArgumentError
from ...functions.random import Generator, randperm
from ...tensor import Tensor


class Dataset:
    """Samples by index; subclass it and define ``__getitem__`` and ``__len__``."""

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError("Subclasses of Dataset should implement __getitem__.")

    def __add__(self, other: Dataset) -> ConcatDataset:
        return ConcatDataset([self, other])

    def __class_getitem__(cls, item: Any) -> type:
        return cls


class IterableDataset(Dataset):
    """Samples in a stream; subclass it and define ``__iter__``."""

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError("Subclasses of IterableDataset should implement __iter__.")

    def __add__(self, other: Dataset) -> Any:
        return ChainDataset([self, other])


class TensorDataset(Dataset):
    """Rows of tensors with equal first extents.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.utils.data import TensorDataset
        >>> data = TensorDataset(fg.zeros(4, 2), fg.arange(4))
        >>> len(data), int(data[3][1])
        (4, 3)
    """

    tensors: tuple[Tensor, ...]

    def __init__(self, *tensors: Tensor) -> None:
        if any(t.aval.shape[:1] != tensors[0].aval.shape[:1] for t in tensors):
            raise ArgumentError(
                f"TensorDataset got {', '.join(str(t.aval) for t in tensors)}",
                "Size mismatch between tensors: the first extents must be equal.",
            )
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)  # type: ignore[index]

    def __len__(self) -> int:
        return self.tensors[0].aval.shape[0]


class StackDataset(Dataset):
    """Several datasets side by side: samples are tuples, or dictionaries for keywords."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if bool(args) == bool(kwargs):
            raise ArgumentError(
                "StackDataset with mixed or no arguments",
                "Give datasets either as arguments or as keywords.",
            )
        self.datasets: Any = args or kwargs
        parts = args or tuple(kwargs.values())
        self._length = len(parts[0])
        if any(len(part) != self._length for part in parts):
            raise ArgumentError(
                "StackDataset of datasets of different lengths", "Size mismatch between datasets."
            )

    def __getitem__(self, index: int) -> Any:
        if isinstance(self.datasets, dict):
            return {key: part[index] for key, part in self.datasets.items()}
        return tuple(part[index] for part in self.datasets)

    def __len__(self) -> int:
        return self._length


class ConcatDataset(Dataset):
    """Datasets one after another."""

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ArgumentError(
                "ConcatDataset of nothing", "datasets should not be an empty iterable."
            )
        for part in self.datasets:
            if isinstance(part, IterableDataset):
                raise ArgumentError(
                    "ConcatDataset of an IterableDataset",
                    "ConcatDataset does not support IterableDataset.",
                    "ChainDataset",
                )
        self.cumulative_sizes = list(itertools.accumulate(len(part) for part in self.datasets))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> Any:
        if index < 0:
            if -index > len(self):
                raise ArgumentError(
                    f"index {index} of {len(self)} samples",
                    "absolute value of index should not exceed dataset length.",
                )
            index += len(self)
        part = bisect.bisect_right(self.cumulative_sizes, index)
        start = self.cumulative_sizes[part - 1] if part else 0
        return self.datasets[part][index - start]


class ChainDataset(IterableDataset):
    """Streams one after another."""

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = datasets

    def __iter__(self) -> Iterator[Any]:
        return itertools.chain.from_iterable(self.datasets)

    def __len__(self) -> int:
        return sum(len(part) for part in self.datasets)


class Subset(Dataset):
    """Chosen samples of a dataset."""

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Several samples, at once where the dataset can do that."""
        rows = [self.indices[i] for i in indices]
        many = getattr(self.dataset, "__getitems__", None)
        return many(rows) if many is not None else [self.dataset[row] for row in rows]

    def __len__(self) -> int:
        return len(self.indices)


def random_split(
    dataset: Any, lengths: Sequence[float], generator: Generator | None = None
) -> list[Subset]:
    """Split a dataset at random into parts of the given lengths or fractions.

    Raises:
        ValueError: the lengths do not add up to the size of the dataset.
    """
    total = len(dataset)
    sizes = list(lengths)
    if math.isclose(sum(sizes), 1) and sum(sizes) <= 1:
        if any(not 0 <= fraction <= 1 for fraction in sizes):
            raise ArgumentError(f"random_split by {sizes}", "Fractions lie between 0 and 1.")
        sizes = [math.floor(total * fraction) for fraction in sizes]
        for k in range(total - int(sum(sizes))):
            sizes[k % len(sizes)] += 1
    if sum(sizes) != total:
        raise ArgumentError(
            f"random_split of {total} samples into {sizes}",
            "Sum of input lengths does not equal the length of the input dataset!",
        )
    order = randperm(total, generator=generator).tolist()  # type: ignore[attr-defined]
    parts, start = [], 0
    for size in sizes:
        parts.append(Subset(dataset, order[start : start + int(size)]))
        start += int(size)
    return parts
