"""Loaders, samplers and collation against PyTorch's, which deliver the same batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.utils.data as theirs
from loader_datasets import Rows, Stream

import fusegrad as fg
import fusegrad.utils.data as ours


class TheirStream(theirs.IterableDataset):  # type: ignore[misc]
    """The stream of ``loader_datasets`` for PyTorch."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __iter__(self) -> Any:
        info = theirs.get_worker_info()
        start, step = (0, 1) if info is None else (info.id, info.num_workers)
        return iter(range(start, self.n, step))


def plain(value: Any) -> Any:
    """Tensors of either library as arrays with their dtype; containers with their kind."""
    if isinstance(value, (fg.Tensor, torch.Tensor)):
        return str(value.dtype).split(".")[1], value.tolist()
    if isinstance(value, dict):
        return type(value).__name__, [(k, plain(v)) for k, v in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [plain(v) for v in value]
    return value


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_size": 4},
        {"batch_size": 4, "drop_last": True},
        {"batch_size": None},
        {"batch_sampler": [[3, 1], [0], [9, 9, 2]]},
        {"sampler": [5, 0, 3], "batch_size": 2},
    ],
    ids=str,
)
def test_batches(options: dict[str, Any], workers: int) -> None:
    data = Rows(10)
    loaders = [m.DataLoader(data, num_workers=workers, **options) for m in (ours, theirs)]
    assert len(loaders[0]) == len(loaders[1])
    assert plain(list(loaders[0])) == plain(list(loaders[1]))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("size", [None, 4])
@pytest.mark.parametrize("n", [0, 1, 12])
def test_streams(n: int, size: int | None, workers: int) -> None:
    options = {"batch_size": size, "num_workers": workers}
    mine = ours.DataLoader(Stream(n), **options)
    other = theirs.DataLoader(TheirStream(n), **options)
    assert plain(list(mine)) == plain(list(other))


def test_attributes_and_refusals() -> None:
    data = Rows(3)
    mine, other = (m.DataLoader(data, batch_size=2, num_workers=2) for m in (ours, theirs))
    for name in ("batch_size", "num_workers", "prefetch_factor", "timeout", "drop_last"):
        assert getattr(mine, name) == getattr(other, name)
    for options in (
        {"num_workers": -1},
        {"timeout": -1},
        {"prefetch_factor": 3},
        {"persistent_workers": True},
        {"batch_size": None, "drop_last": True},
        {"batch_sampler": [[0]], "batch_size": 2},
        {"sampler": [0], "shuffle": True},
        {"num_workers": 1, "multiprocessing_context": "nonsense"},
        {"batch_size": 0},
    ):
        for module in (ours, theirs):
            with pytest.raises(ValueError):
                module.DataLoader(data, **options)


def test_samplers() -> None:
    for n, replicas, drop in ((10, 3, False), (10, 3, True), (2, 5, False), (6, 2, True)):
        for rank in range(replicas):
            options = {"num_replicas": replicas, "rank": rank, "shuffle": False, "drop_last": drop}
            mine, other = (m.DistributedSampler(Rows(n), **options) for m in (ours, theirs))
            assert list(mine) == list(other) and len(mine) == len(other)
    shuffled = [ours.DistributedSampler(Rows(10), 2, rank, seed=3) for rank in range(2)]
    one = [list(s) for s in shuffled]
    assert sorted(one[0] + one[1]) == list(range(10)) and [list(s) for s in shuffled] == one
    for sampler in shuffled:
        sampler.set_epoch(1)
    assert [list(s) for s in shuffled] != one
    with pytest.raises(ValueError):
        ours.DistributedSampler(Rows(3), 2, 2)
    for size, drop in ((3, False), (3, True), (20, True)):
        mine, other = (m.BatchSampler(range(10), size, drop) for m in (ours, theirs))
        assert list(mine) == list(other) and len(mine) == len(other)


@pytest.mark.parametrize("lengths", [[7, 3], [0.5, 0.5], [0.33, 0.33, 0.34], [0.1] * 10, [10, 0]])
def test_random_split(lengths: list[float]) -> None:
    sizes = [[len(p) for p in m.random_split(Rows(10), lengths)] for m in (ours, theirs)]
    assert sizes[0] == sizes[1]


def test_collation() -> None:
    for batch in (
        [1, 2],
        [True, False],
        [1.5, 2],
        ["a", "b"],
        [b"a", b"b"],
        [(1, "a"), (2, "b")],
        [[1, 2.0], [3, 4.0]],
        [{"a": (1, 2)}, {"a": (3, 4)}],
        [np.float64(1), np.float64(2)],
        [np.array(1), np.array(2)],
        [np.zeros((0, 2)), np.zeros((0, 2))],
        ([1, 2], [3, 4]),
    ):
        assert plain(ours.default_collate(batch)) == plain(theirs.default_collate(batch)), batch
    for value in (np.arange(3), [np.ones(2), "a"], (1, np.ones(1)), {"a": np.int8(3)}, "text", 3):
        assert plain(ours.default_convert(value)) == plain(theirs.default_convert(value))
    for wrong in ([object()], [np.array(["a"])], [None, None]):
        for module in (ours, theirs):
            with pytest.raises(TypeError):
                module.default_collate(wrong)
    for wrong in ([[1], [1, 2]], [np.ones(2), np.ones(3)]):
        for module in (ours, theirs):
            with pytest.raises(RuntimeError):
                module.default_collate(wrong)
