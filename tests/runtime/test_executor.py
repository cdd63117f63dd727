"""The launch-table executor: order, parts, repetition, loops, stopping."""

from __future__ import annotations

import ctypes
import gc
import weakref

import numpy as np
import pytest
from runtime_helpers import argument_block

from fusegrad.codegen.kernel import KernelSource
from fusegrad.runtime import compile as compiler
from fusegrad.runtime import executor, threads
from fusegrad.runtime.executor import ENTRY_WORDS, OP_JUMP

ABI = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)

APPEND = KernelSource(
    "append",
    """
def append(log, value, thread, threads):
    at = log[0]
    log[at + 1] = value * 100 + thread * 10 + threads
    log[0] = at + 1
""",
    (("log", "i64*"), ("value", "i64")),
)
COUNT_DOWN = KernelSource(
    "count_down",
    "def count_down(cell, thread, threads):\n    cell[0] -= 1\n",
    (("cell", "i64*"),),
)


class Table:
    """A launch table under construction."""

    def __init__(self) -> None:
        self.rows: list[list[int]] = []
        self.kept: list[object] = []

    def call(self, fn, args, *, count=1, stride=0, active=1, barrier=1) -> Table:
        block = args if isinstance(args, np.ndarray) else argument_block(args)
        self.kept.append(block)
        self.rows.append([fn, block.ctypes.data, count, stride, active, barrier, 0, 0])
        return self

    def jump(self, cell: np.ndarray, target: int) -> Table:
        self.rows.append([0, cell.ctypes.data, 0, 0, 0, 0, OP_JUMP, target])
        return self

    def runner(self, team: int = 1, **options):
        rows = np.array(self.rows, np.int64).reshape(-1, ENTRY_WORDS)
        return threads.make_runner(
            rows.ctypes.data, len(rows), team, owner=(rows, self.kept), **options
        )


@pytest.fixture(params=[1, 2, 3])
def team(request):
    before = threads.get_num_threads()
    threads.set_num_threads(request.param)
    yield request.param
    threads.set_num_threads(before)


@pytest.fixture
def log() -> np.ndarray:
    return np.zeros(64, np.int64)


def test_entries_run_in_order(team, log):
    append = compiler.load_kernel(APPEND)
    table = Table()
    for value in range(5):
        table.call(append, [log, value])
    run, _ = table.runner(team)
    assert run() == 0
    assert log[: log[0] + 1].tolist() == [5, 1, 101, 201, 301, 401]


@pytest.mark.parametrize("release_gil", [False, True])
def test_empty_program(release_gil):
    run, job = Table().runner(release_gil=release_gil)
    assert run() == 0
    assert job.stop == 0


def test_every_part_runs_once_whatever_the_team(team):
    source = KernelSource(
        "mark",
        "def mark(x, thread, threads):\n    x[thread] += threads\n",
        (("x", "i64*"),),
    )
    marks = np.zeros(7, np.int64)
    run, _ = Table().call(compiler.load_kernel(source), [marks], active=7).runner(team)
    for _ in range(3):
        run()
    assert marks.tolist() == [21] * 7


def test_count_walks_over_argument_blocks(team, log):
    append = compiler.load_kernel(APPEND)
    blocks = np.array([[log.ctypes.data, value] for value in range(4)], np.int64)
    table = Table().call(append, blocks, count=4, stride=16)
    table.call(append, blocks, count=0, stride=16)
    table.runner(team)[0]()
    assert log[:5].tolist() == [4, 1, 101, 201, 301]


def test_jump_repeats_a_section(team, log):
    append, down = compiler.load_kernels([APPEND, COUNT_DOWN])
    cell = np.zeros(1, np.int64)
    table = Table().call(append, [log, 1]).call(append, [log, 2]).call(down, [cell])
    table.jump(cell, 1).call(append, [log, 3])
    run, _ = table.runner(team)
    for trips in (1, 4):
        log[0], cell[0] = 0, trips
        run()
        assert (log[1 : log[0] + 1] // 100).tolist() == [1] + [2] * trips + [3]


def test_nested_loops(team, log):
    append, down = compiler.load_kernels([APPEND, COUNT_DOWN])
    source = KernelSource(
        "refill",
        "def refill(cell, n, thread, threads):\n    cell[0] = n\n",
        (("cell", "i64*"), ("n", "i64")),
    )
    refill = compiler.load_kernel(source)
    inner, outer = np.zeros(1, np.int64), np.array([3], np.int64)
    table = Table().call(refill, [inner, 4]).call(append, [log, 5]).call(down, [inner])
    table.jump(inner, 1).call(down, [outer]).jump(outer, 0)
    table.runner(team)[0]()
    assert log[0] == 12


def test_callback_stops_the_program(team, log):
    append = compiler.load_kernel(APPEND)
    jobs = []

    @ABI
    def callback(args, part, parts):
        log[20] += 1
        jobs[0].stop = 7

    address = ctypes.cast(callback, ctypes.c_void_p).value
    table = Table().call(append, [log, 1]).call(address, [0]).call(append, [log, 2])
    run, job = table.runner(team)
    jobs.append(job)
    for repeat in range(1, 4):
        assert run() == 7
        assert log[0] == repeat
        assert log[20] == repeat


@pytest.mark.parametrize("release_gil", [False, True])
def test_callback_runs_on_the_calling_thread(team, release_gil):
    import threading

    seen = []

    @ABI
    def callback(args, part, parts):
        seen.append((threading.get_ident(), part, parts))

    address = ctypes.cast(callback, ctypes.c_void_p).value
    Table().call(address, [0]).runner(team, release_gil=release_gil)[0]()
    assert seen == [(threading.get_ident(), 0, 1)]


def test_program_inside_a_callback(team, log):
    append = compiler.load_kernel(APPEND)
    inner, _ = Table().call(append, [log, 9], active=2).runner(2)

    @ABI
    def callback(args, part, parts):
        inner()

    address = ctypes.cast(callback, ctypes.c_void_p).value
    table = Table().call(append, [log, 1]).call(address, [0]).call(append, [log, 2])
    table.runner(team)[0]()
    assert log[1:5].tolist() == [101, 902, 912, 201]


def test_runner_keeps_its_table_alive(log):
    append = compiler.load_kernel(APPEND)

    class Owner:
        pass

    owner = Owner()
    alive = weakref.ref(owner)
    block = argument_block([log, 4])
    rows = np.array([[append, block.ctypes.data, 1, 0, 1, 0, 0, 0]], np.int64)
    owner.memory = (rows, block)
    run, job = threads.make_runner(rows.ctypes.data, 1, 1, owner=owner)
    del owner, rows, block, job
    gc.collect()
    run()
    assert log[1] == 401
    assert alive() is not None
    del run
    gc.collect()
    assert alive() is None


def test_runner_takes_no_arguments():
    run, _ = Table().runner()
    with pytest.raises(TypeError):
        run(1)


def test_executor_is_loaded_once():
    assert executor.executor() is executor.executor()
