"""Datasets, samplers, collation and the loader."""

from __future__ import annotations

from collections import Counter, namedtuple
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fusegrad as fg
from fusegrad.utils.data import (
    BatchSampler,
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    StackDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    random_split,
)


class Squares(Dataset):
    def __init__(self, n: int) -> None:
        self.n = n

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return np.full(2, index * index, np.float32), index

    def __len__(self) -> int:
        return self.n


def test_tensor_dataset_batches() -> None:
    data = TensorDataset(fg.arange(10).reshape(5, 2), fg.arange(5))
    x, y = next(iter(DataLoader(data, batch_size=3)))
    assert x.tolist() == [[0, 1], [2, 3], [4, 5]] and y.tolist() == [0, 1, 2]
    x[0, 0] = 99  # a batch has memory of its own
    assert int(data[0][0][0]) == 0
    with pytest.raises(ValueError, match="Size mismatch"):
        TensorDataset(fg.zeros(3), fg.zeros(4))


def test_gathered_batches_equal_collated_ones() -> None:
    data = TensorDataset(fg.randn(23, 4), fg.arange(23))

    def epoch(**options: Any) -> list[Any]:
        fg.manual_seed(7)
        loader = DataLoader(data, batch_size=5, **options)
        return [[t.tolist() for t in batch] for batch in loader]

    def slow(samples: Any) -> Any:
        return default_collate(samples)

    for options in (
        {},
        {"shuffle": True},
        {"drop_last": True},
        {"shuffle": True, "drop_last": True},
    ):
        assert epoch(**options) == epoch(**options, collate_fn=slow)


def test_shuffle_seeds_and_coverage() -> None:
    data = TensorDataset(fg.arange(50))

    def order(generator: Any = None) -> list[int]:
        loader = DataLoader(data, batch_size=8, shuffle=True, generator=generator)
        return [v for (batch,) in loader for v in batch.tolist()]

    assert sorted(order()) == list(range(50)) and order() != order()
    assert order(fg.Generator().manual_seed(1)) == order(fg.Generator().manual_seed(1))


def test_lengths_and_drop_last() -> None:
    data = Squares(10)
    assert len(DataLoader(data, batch_size=3)) == 4
    loader = DataLoader(data, batch_size=3, drop_last=True)
    assert len(loader) == 3 and [y.tolist() for _, y in loader] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    single = list(DataLoader(data, batch_size=None))
    assert len(single) == 10 and isinstance(single[2][0], fg.Tensor)


def test_iterable_dataset() -> None:
    class Stream(IterableDataset):
        def __iter__(self) -> Iterator[int]:
            return iter(range(7))

    assert [b.tolist() for b in DataLoader(Stream(), batch_size=3)] == [[0, 1, 2], [3, 4, 5], [6]]
    loader = DataLoader(ChainDataset([Stream(), Stream()]), batch_size=7, drop_last=True)
    assert len(list(loader)) == 2
    with pytest.raises(ValueError, match="A stream has its own order"):
        DataLoader(Stream(), shuffle=True)


def test_composed_datasets() -> None:
    both = Squares(3) + Squares(2)
    assert isinstance(both, ConcatDataset) and len(both) == 5
    assert both[4][1] == 1 and both[-1][1] == 1
    stacked = StackDataset(a=Squares(3), b=Squares(3))
    assert stacked[2]["a"][1] == 2 and len(stacked) == 3
    part = Subset(TensorDataset(fg.arange(10)), [7, 3, 5])
    assert [b.tolist() for (b,) in DataLoader(part, batch_size=2)] == [[7, 3], [5]]


def test_samples_fetched_at_once() -> None:
    class Many(Squares):
        asked: list[list[int]] = []

        def __getitems__(self, indices: list[int]) -> list[Any]:
            self.asked.append(indices)
            return [self[i] for i in indices]

    part = Subset(Many(10), [7, 3, 5])
    assert [y.tolist() for _, y in DataLoader(part, batch_size=2)] == [[7, 3], [5]]
    assert Many.asked == [[7, 3], [5]]


def test_random_split() -> None:
    data = TensorDataset(fg.arange(10))
    parts = random_split(data, [7, 3], generator=fg.Generator().manual_seed(0))
    assert [len(p) for p in parts] == [7, 3]
    assert sorted(int(x) for p in parts for (x,) in p) == list(range(10))
    assert [len(p) for p in random_split(data, [0.55, 0.45])] == [6, 4]
    with pytest.raises(ValueError, match="Sum of input lengths"):
        random_split(data, [1, 2])


def test_samplers() -> None:
    data = Squares(6)
    assert list(SequentialSampler(data)) == list(range(6))
    assert len(list(RandomSampler(data, num_samples=15))) == 15
    assert set(RandomSampler(data, replacement=True, num_samples=200)) == set(range(6))
    assert sorted(SubsetRandomSampler([4, 2, 9])) == [2, 4, 9]
    counts = Counter(WeightedRandomSampler([1.0, 0.0, 3.0], 4000))
    assert counts[1] == 0 and counts[2] / counts[0] == pytest.approx(3.0, rel=0.2)
    chosen = list(WeightedRandomSampler([1.0, 0.0, 3.0], 2, replacement=False))
    assert sorted(chosen) == [0, 2]
    assert list(BatchSampler(SequentialSampler(data), 4, False)) == [[0, 1, 2, 3], [4, 5]]
    loader = DataLoader(data, batch_sampler=BatchSampler(SequentialSampler(data), 4, True))
    assert [y.tolist() for _, y in loader] == [[0, 1, 2, 3]]
    with pytest.raises(ValueError, match="mutually exclusive"):
        DataLoader(data, sampler=SequentialSampler(data), shuffle=True)


def test_collation() -> None:
    Pair = namedtuple("Pair", "x y")
    batch = default_collate([Pair(1.0, {"a": np.float32(2)}), Pair(3.0, {"a": np.float32(4)})])
    assert isinstance(batch, Pair) and batch.x.dtype is fg.float64
    assert batch.y["a"].tolist() == [2.0, 4.0] and batch.y["a"].dtype is fg.float32
    assert default_collate([True, False]).dtype is fg.bool_
    assert default_collate(["a", "b"]) == ["a", "b"]
    assert default_collate([[fg.zeros(2), 1], [fg.ones(2), 2]])[0].shape == (2, 2)
    with pytest.raises(TypeError, match="batch must contain"):
        default_collate([object()])
    with pytest.raises(RuntimeError, match="same shape"):
        default_collate([fg.zeros(2), fg.zeros(3)])
