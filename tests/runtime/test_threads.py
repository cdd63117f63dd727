"""The worker pool: sharing, barriers, several callers, forks, sleep, shutdown."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest
from runtime_helpers import HANGS, argument_block

from fusegrad.codegen.kernel import KernelSource
from fusegrad.errors import ArgumentError
from fusegrad.runtime import compile as compiler
from fusegrad.runtime import threads
from fusegrad.runtime.executor import executor

# Each part reads what its neighbour wrote in the previous entry, so a lost barrier shows.
ROTATE = KernelSource(
    "rotate",
    """
def rotate(parts, x, y, thread, threads):
    for i in range(parts * thread // threads, parts * (thread + 1) // threads):
        y[i] = x[(i + 1) % parts] + 1
""",
    (("parts", "i64"), ("x", "i64*"), ("y", "i64*")),
)
TOTAL = KernelSource(
    "total",
    """
def total(n, x, partial, counter, out, thread, threads):
    acc = 0.0
    for i in range(n * thread // threads, n * (thread + 1) // threads):
        acc += x[i]
    partial[thread] = acc
    if arrive(counter, threads):
        acc = 0.0
        for i in range(threads):
            acc += partial[i]
        out[0] = acc
""",
    (("n", "i64"), ("x", "f64*"), ("partial", "f64*"), ("counter", "i64*"), ("out", "f64*")),
)
fork_only = pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")


def program(kernel: KernelSource, blocks, active: int, team: int):
    """A runner with one entry per argument block, each followed by a barrier."""
    address = compiler.load_kernel(kernel)
    kept = [argument_block(block) for block in blocks]
    rows = np.array([[address, block.ctypes.data, 1, 0, active, 1, 0, 0] for block in kept])
    return threads.make_runner(rows.ctypes.data, len(rows), team, owner=(rows, kept, blocks))[0]


def rotation(steps: int, parts: int, active: int, team: int):
    """Runner of ``steps`` rotations back and forth, and the array it leaves the result in."""
    x, y = np.arange(parts), np.zeros(parts, np.int64)
    blocks = [[parts, x, y] if step % 2 == 0 else [parts, y, x] for step in range(steps)]
    return program(ROTATE, blocks, active, team), x


@pytest.fixture
def team():
    """Three threads, more than this test needs cores."""
    before = threads.get_num_threads()
    threads.set_num_threads(3)
    yield 3
    threads.set_num_threads(before)


def expected(parts: int, steps: int) -> list[int]:
    return [(i + steps) % parts + steps for i in range(parts)]


def test_barriers_order_all_threads(team):
    run, x = rotation(200, 7, 3, team)
    for repeat in range(1, 51):
        x[:] = np.arange(7)
        assert run() == 0, repeat
        assert x.tolist() == expected(7, 200)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_result_does_not_depend_on_the_team(size):
    values = np.random.default_rng(0).normal(size=10_007)
    results = []
    before = threads.get_num_threads()
    try:
        for count in (size, 1):
            threads.set_num_threads(count)
            out = np.zeros(1)
            block = [len(values), values, np.zeros(8), np.zeros(1, np.int64), out]
            run = program(TOTAL, [block], active=5, team=5)
            for _ in range(20):
                run()
                results.append(out[0].tobytes())
    finally:
        threads.set_num_threads(before)
    assert len(set(results)) == 1


def test_callers_on_four_threads(team):
    failures = []

    def caller(seed: int) -> None:
        run, x = rotation(20, 11 + seed, 3, team)
        for _ in range(200):
            x[:] = np.arange(11 + seed)
            run()
            if x.tolist() != expected(11 + seed, 20):
                failures.append(seed)

    callers = [threading.Thread(target=caller, args=(seed,)) for seed in range(4)]
    for each in callers:
        each.start()
    for each in callers:
        each.join(HANGS)
    assert not any(each.is_alive() for each in callers)
    assert failures == []


def test_workers_wake_after_sleeping(team):
    run, x = rotation(20, 7, 3, team)
    for _ in range(10):
        x[:] = np.arange(7)
        run()
        assert x.tolist() == expected(7, 20)
        time.sleep(0.005)


def test_thread_count_can_change_between_runs():
    before = threads.get_num_threads()
    run, x = rotation(20, 7, 4, 4)
    try:
        for count in (1, 4, 2, 3, 1, 4):
            threads.set_num_threads(count)
            x[:] = np.arange(7)
            run()
            assert x.tolist() == expected(7, 20)
    finally:
        threads.set_num_threads(before)
    assert executor().workers() >= 3


@pytest.mark.parametrize("count", [0, -1, 1025, 2.0, "2", True, None])
def test_bad_thread_counts(count):
    with pytest.raises(ArgumentError):
        threads.set_num_threads(count)


def test_default_follows_the_setting(monkeypatch):
    monkeypatch.setattr(threads, "_chosen", None)
    monkeypatch.setenv("FUSEGRAD_NUM_THREADS", "3")
    assert threads.get_num_threads() == 3
    monkeypatch.setattr(threads, "_chosen", None)
    monkeypatch.setenv("FUSEGRAD_NUM_THREADS", "many")
    with pytest.raises(ArgumentError, match="FUSEGRAD_NUM_THREADS"):
        threads.get_num_threads()


@pytest.mark.parametrize(
    ("version2", "quota", "period", "cores"),
    [
        ("150000 100000", None, None, 2),
        ("max 100000", None, None, 64),
        (None, "50000", "100000", 1),
        (None, "-1", "100000", 64),
        (None, None, None, 64),
        ("broken", None, None, 64),
    ],
)
def test_cgroup_quota(monkeypatch, tmp_path, version2, quota, period, cores):
    v2, v1 = tmp_path / "cpu.max", tmp_path / "cpu"
    v1.mkdir()
    if version2 is not None:
        v2.write_text(version2 + "\n")
    if quota is not None:
        (v1 / "cpu.cfs_quota_us").write_text(quota + "\n")
        (v1 / "cpu.cfs_period_us").write_text(period + "\n")
    monkeypatch.setattr(threads, "CGROUP_V2", v2)
    monkeypatch.setattr(threads, "CGROUP_V1", v1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert threads.available_cores() == cores


def wait_for(child: int, seconds: float = HANGS) -> int:
    """Exit code of a forked child; a child that hangs is killed and counts as -1."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -1


def fork_and_check(run, x: np.ndarray) -> int:
    """Fork; the child runs the program 20 times and reports whether it was right."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            for _ in range(20):
                x[:] = np.arange(7)
                run()
            code = 0 if x.tolist() == expected(7, 20) else 2
        finally:
            os._exit(code)
    return wait_for(child)


@fork_only
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork_after_use(team):
    run, x = rotation(20, 7, 3, team)
    run()
    assert executor().workers() >= 2
    assert fork_and_check(run, x) == 0
    x[:] = np.arange(7)
    run()
    assert x.tolist() == expected(7, 20)


@fork_only
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork_while_another_thread_runs(team):
    stop = threading.Event()
    busy, _ = rotation(2000, 7, 3, team)

    def caller() -> None:
        while not stop.is_set():
            busy()

    other = threading.Thread(target=caller)
    other.start()
    try:
        run, x = rotation(20, 7, 3, team)
        codes = [fork_and_check(run, x) for _ in range(5)]
    finally:
        stop.set()
        other.join(HANGS)
    assert codes == [0] * 5
    assert not other.is_alive()


@fork_only
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_child_compiles():
    child = os.fork()
    if child == 0:
        code = 1
        try:
            text = "def in_child(x, thread, threads):\n    x[0] = 5\n"
            code = (
                0 if compiler.load_kernel(KernelSource("in_child", text, (("x", "i64*"),))) else 2
            )
        finally:
            os._exit(code)
    assert wait_for(child) == 0


SHUTDOWN = """
import threading
import numpy as np
from fusegrad.codegen.kernel import KernelSource
from fusegrad.runtime import compile as compiler, threads
threads.set_num_threads(4)
text = "def step(x, thread, threads):\\n    x[thread] += 1\\n"
address = compiler.load_kernel(KernelSource("step", text, (("x", "i64*"),)))
x = np.zeros(4, np.int64)
block = np.array([x.ctypes.data])
rows = np.array([[address, block.ctypes.data, 1, 0, 4, 1, 0, 0]] * 50)
run, job = threads.make_runner(rows.ctypes.data, 50, 4, owner=(rows, block, x))
for _ in range(20):
    run()
assert x.tolist() == [1000] * 4
"""


@pytest.mark.parametrize(
    "ending",
    [
        "",
        "import time; time.sleep(0.05)",
        "threading.Thread(target=lambda: [run() for _ in range(2000)], daemon=True).start()",
        "import sys; sys.exit(0)",
        "import gc; del run, rows; gc.collect()",
    ],
)
def test_interpreter_exits_cleanly(python, ending):
    python(SHUTDOWN + ending)


def test_interrupt_reaches_python(python):
    """Workers block signals, so Ctrl-C arrives in the main thread."""
    code = SHUTDOWN + (
        "import os, signal, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell may ignore it
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(60)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    assert python(code).strip() == "interrupted"
