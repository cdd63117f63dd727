"""The caching allocator: alignment, reuse, lifetime, threads, forks."""

from __future__ import annotations

import gc
import os
import threading

import numpy as np
import pytest
from runtime_helpers import HANGS

from fusegrad.runtime import allocator

MIB = 1 << 20


@pytest.fixture(autouse=True)
def empty_free_list():
    gc.collect()
    allocator.trim()
    yield
    allocator.trim()


@pytest.mark.parametrize("nbytes", [0, 1, 63, 64, 1000, MIB - 1, MIB, 3 * MIB + 5])
def test_size_alignment_and_address(nbytes):
    data, address = allocator.empty(nbytes)
    assert data.nbytes == nbytes
    assert data.dtype == np.uint8
    assert address % allocator.ALIGNMENT == 0
    assert address == data.__array_interface__["data"][0] or nbytes == 0
    data[:] = 7
    assert int(data.sum(dtype=np.int64)) == 7 * nbytes


def test_large_blocks_start_on_a_huge_page():
    _, address = allocator.empty(5 * MIB)
    assert address % allocator.HUGE_PAGE == 0


def test_large_block_is_reused_after_its_last_view():
    data, address = allocator.empty(4 * MIB)
    view = data.view(np.float32).reshape(-1, 256)[3:, ::2]
    del data
    gc.collect()
    assert allocator.cached_bytes() == 0
    del view
    assert allocator.cached_bytes() == 4 * MIB
    again, second = allocator.empty(4 * MIB - 100)
    assert second == address
    assert allocator.cached_bytes() == 0
    assert again.nbytes == 4 * MIB - 100


def test_live_blocks_never_overlap():
    blocks = [allocator.empty(2 * MIB) for _ in range(5)]
    for index, (data, _) in enumerate(blocks):
        data[:] = index
    assert [int(data[-1]) for data, _ in blocks] == list(range(5))
    assert all((data == index).all() for index, (data, _) in enumerate(blocks))


def test_free_list_is_bounded(monkeypatch):
    monkeypatch.setattr(allocator, "FREE_LIMIT_BYTES", 8 * MIB)
    blocks = [allocator.empty(4 * MIB) for _ in range(5)]
    del blocks
    assert allocator.cached_bytes() <= 8 * MIB


def test_trim_returns_everything():
    del_me = allocator.empty(4 * MIB)
    del del_me
    assert allocator.trim() == 4 * MIB
    assert allocator.cached_bytes() == 0


def test_address_of():
    array = np.arange(10.0)
    for view in (array, array[3:], array[::-1], np.empty(0), np.array(5)):
        assert allocator.address_of(view) == view.__array_interface__["data"][0]


def test_threads_allocate_at_once():
    failures = []

    def work(seed: int) -> None:
        for step in range(200):
            data, _ = allocator.empty((2 + (seed + step) % 3) * MIB)
            data[0] = data[-1] = seed
            if data[0] != seed or data[-1] != seed:
                failures.append(seed)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(HANGS)
    assert failures == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_does_not_write_into_the_parent():
    data, _ = allocator.empty(2 * MIB)
    data[:] = 1
    child = os.fork()
    if child == 0:
        data[:] = 2
        allocator.empty(3 * MIB)[0][:] = 3
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert (data == 1).all()
