"""DataLoader with worker processes: order, seeds, failures, and nothing left behind."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loader_datasets import Draws, Facts, Marks, Odd, Squares, Stream, mark

import fusegrad as fg
from fusegrad import nn, optim
from fusegrad.utils.data import (
    ChainDataset,
    DataLoader,
    Dataset,
    Subset,
    TensorDataset,
    get_worker_info,
)

TESTS = Path(__file__).resolve().parent.parent
HANGS = 300.0  # seconds; far less than the trouble "sleep", far more than a busy machine needs


def first(batch: list[Any]) -> Any:
    return batch[0]


def shared_memory() -> int:
    """Segments that this process maps or holds open."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return 0
    fds = [os.readlink(p) for p in Path("/proc/self/fd").iterdir() if p.is_symlink()]
    text = maps.read_text()
    return text.count("memfd:fusegrad ") + sum("memfd:fusegrad " in f for f in fds)


@pytest.fixture(autouse=True)
def nothing_left() -> Any:
    """Every test ends without worker processes, segments and new descriptors."""
    yield
    gc.collect()
    assert multiprocessing.active_children() == []
    assert shared_memory() == 0


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_batches_are_those_of_one_process(method: str) -> None:
    data = Squares(23, width=400)

    def epoch(**options: Any) -> list[Any]:
        fg.manual_seed(3)
        loader = DataLoader(data, batch_size=4, shuffle=True, **options)
        return [(x.tolist(), y.tolist()) for x, y in loader]

    workers = {"num_workers": 2, "multiprocessing_context": method}
    assert epoch(**workers) == epoch()
    assert epoch(**workers, drop_last=True) == epoch(drop_last=True)


def test_whole_tensors_and_subsets() -> None:
    data = TensorDataset(fg.randn(50, 30), fg.arange(50))
    for dataset in (data, Subset(data, [7, 3, 5, 1, 0, 2, 4])):
        for options in ({}, {"shuffle": True}, {"batch_size": 3, "drop_last": True}):

            def epoch(n: int, dataset: Any = dataset, options: Any = options) -> list[Any]:
                fg.manual_seed(5)
                return [
                    [t.tolist() for t in batch]
                    for batch in DataLoader(dataset, num_workers=n, **options)
                ]

            assert epoch(2) == epoch(0)


def test_single_samples_and_empty() -> None:
    singles = list(DataLoader(Squares(5), batch_size=None, num_workers=2))
    assert [y for _, y in singles] == list(range(5)) and isinstance(singles[0][0], fg.Tensor)
    assert list(DataLoader(Squares(0), num_workers=2)) == []


def test_what_a_worker_is_like() -> None:
    data = Facts()
    facts = list(DataLoader(data, collate_fn=first, num_workers=2))
    assert get_worker_info() is None
    assert [f["worker"] for f in facts] == [0, 1] * 4
    assert all(f["workers"] == 2 and f["threads"] == 1 and not f["compiler"] for f in facts)
    pids = {f["pid"] for f in facts}
    assert len(pids) == 2 and os.getpid() not in pids
    assert [f["changed"] for f in facts] == [1, 1, 2, 2, 3, 3, 4, 4]  # copies of their own
    assert data.changed == 0 and data.table[0] == 0


def test_seeds() -> None:
    def draws(n: int = 2, **options: Any) -> list[Any]:
        generator = fg.Generator().manual_seed(11)
        loader = DataLoader(
            Draws(), collate_fn=first, num_workers=n, generator=generator, **options
        )
        return [list(loader), list(loader)]

    one, two = draws()
    assert draws() == [one, two] and one != two
    assert draws(persistent_workers=True) == [one, two]
    for source in range(3):  # no two samples, in whichever worker, see the same draw
        assert len({sample[source] for sample in one + two}) == 16
    seeds = [sample[3] for sample in one]
    assert seeds[1] == seeds[0] + 1 and set(seeds[::2]) == {seeds[0]}


def test_the_default_stream_does_not_depend_on_workers() -> None:
    after = []
    for n in (0, 2):
        fg.manual_seed(1)
        list(DataLoader(Squares(4), num_workers=n, shuffle=True))
        after.append(fg.rand(3).tolist())
    assert after[0] == after[1]


def test_streams() -> None:
    def batches(data: Any, **options: Any) -> list[Any]:
        return [b.tolist() for b in DataLoader(data, batch_size=2, num_workers=2, **options)]

    assert batches(Stream(9)) == [[0, 2], [1, 3], [4, 6], [5, 7], [8]]
    assert batches(Stream(9), drop_last=True) == [[0, 2], [1, 3], [4, 6], [5, 7]]
    assert batches(Stream(3, share=False)) == [[0, 1], [0, 1], [2], [2]]
    assert batches(Stream(1)) == [[0]]
    chained = batches(ChainDataset([Stream(3), Stream(4)]))
    assert sorted(v for batch in chained for v in batch) == [0, 0, 1, 1, 2, 2, 3]
    singles = DataLoader(Stream(5), batch_size=None, num_workers=2)
    assert [int(x) for x in singles] == [0, 1, 2, 3, 4]


def test_persistent_workers_stay() -> None:
    loader = DataLoader(Facts(), collate_fn=first, num_workers=2, persistent_workers=True)
    one, two = list(loader), list(loader)
    assert {f["pid"] for f in one} == {f["pid"] for f in two}
    assert two[-1]["changed"] == 8
    stream = DataLoader(Stream(6), num_workers=2, persistent_workers=True)
    assert [list(map(int, stream)) for _ in range(3)] == [[0, 1, 2, 3, 4, 5]] * 3
    for _ in range(3):  # an epoch that is dropped half-way leaves no batch for the next
        assert int(next(iter(stream))) == 0
    earlier, later = iter(stream), iter(stream)
    assert int(next(later)) == 0
    with pytest.raises(RuntimeError, match="started again"):
        next(earlier)
    del loader, stream, earlier, later


def test_initialisation_and_collation_run_in_the_worker() -> None:
    loader = DataLoader(Marks(), num_workers=2, worker_init_fn=mark, collate_fn=first)
    assert list(loader) == ["0", "1", "0", "1"] and "LOADER_MARK" not in os.environ


def test_batches_that_are_kept_do_not_change() -> None:
    data = Squares(200, width=3000)
    kept = list(DataLoader(data, batch_size=2, num_workers=2))
    assert len(kept) == 100
    for k, (x, y) in enumerate(kept):
        assert y.tolist() == [2 * k, 2 * k + 1]
        np.testing.assert_array_equal(x.numpy()[:, 0], np.float32(y.numpy() ** 2))
    x = kept[0][0]
    x.add_(1)  # memory of a batch is the user's
    assert float(x[0, 0]) == 1
    del kept, x, y


def test_memory_is_used_again() -> None:
    addresses = set()
    for x, _ in DataLoader(Squares(400, width=3000), batch_size=4, num_workers=2):
        addresses.add(x.numpy().ctypes.data)
        del x
    assert len(addresses) <= 10  # 100 batches
    assert shared_memory() <= 2


def test_batches_of_varying_size() -> None:
    def size(samples: list[Any]) -> Any:
        return fg.full((samples[0][1] * 977 % 5000, 7), float(samples[0][1]))

    with pytest.raises(TypeError, match="collate_fn cannot be sent"):
        list(DataLoader(Squares(3), num_workers=1, collate_fn=size))
    for batch in DataLoader(Squares(60), num_workers=2, collate_fn=growing):
        rows = batch.shape[0]
        assert rows == 0 or float(batch[0, 0]) == float(batch[-1, -1])
    del batch


def growing(samples: list[Any]) -> Any:
    return fg.full((samples[0][1] * 977 % 5000, 7), float(samples[0][1]))


def test_out_of_order() -> None:
    loader = DataLoader(Squares(40), batch_size=2, num_workers=3, in_order=False)
    assert sorted(v for _, y in loader for v in y.tolist()) == list(range(40))


def test_an_exception_comes_back_with_its_traceback() -> None:
    loader = DataLoader(Squares(8, 5, "raise"), batch_size=2, num_workers=2)
    batches = iter(loader)
    assert [next(batches)[1].tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(KeyError) as caught:
        next(batches)
    text = str(caught.value)
    assert "Caught KeyError in DataLoader worker process 0" in text
    assert "loader_datasets.py" in text and "nothing at this index" in text
    assert next(batches)[1].tolist() == [6, 7]  # the other batches are there
    with pytest.raises(RuntimeError, match=r"Caught Odd in DataLoader(.|\n)*Odd: \(1, 2\)"):
        list(DataLoader(Squares(8, 5, "odd"), num_workers=1))
    with pytest.raises(RuntimeError, match="same shape") as shapes:
        list(DataLoader(Ragged(), batch_size=2, num_workers=1))
    assert type(shapes.value).__name__ == "ShapeError" and "worker process 0" in str(shapes.value)
    assert issubclass(Odd, Exception)
    del batches, shapes


@pytest.mark.parametrize(
    ("trouble", "words"), [("kill", r"signal 9 \(SIGKILL\)"), ("exit", "exit code 7")]
)
def test_a_worker_that_ends_is_an_error(trouble: str, words: str) -> None:
    for options in ({}, {"persistent_workers": True}):
        loader = DataLoader(Squares(8, 5, trouble), num_workers=2, **options)
        with pytest.raises(RuntimeError, match=words) as caught:
            list(loader)
        assert "DataLoader worker 1" in str(caught.value) and "Try:" in str(caught.value)
        del caught


def test_timeout() -> None:
    started = time.monotonic()
    with pytest.raises(RuntimeError, match=r"timed out after 0\.5 seconds") as caught:
        list(DataLoader(Squares(8, 5, "sleep"), num_workers=2, timeout=0.5))
    assert "Try:" in str(caught.value) and time.monotonic() - started < HANGS


def test_a_stopped_worker_does_not_hold_the_program_up() -> None:
    batches = iter(DataLoader(Squares(100), num_workers=2, prefetch_factor=4))
    next(batches)
    os.kill(batches.pool.workers[1].process.pid, signal.SIGSTOP)
    started = time.monotonic()
    del batches
    assert time.monotonic() - started < HANGS


def test_early_break() -> None:
    for _ in DataLoader(Squares(100, width=3000), num_workers=2):
        break
    for x, _ in DataLoader(Squares(8, 3, "sleep"), num_workers=2):
        assert float(x[0, 0]) == 0
        break
    loader = DataLoader(Squares(100), num_workers=2)
    with pytest.raises(ZeroDivisionError):
        for _ in loader:
            1 / 0
    del _, x


def test_large_indices_and_messages_do_not_block() -> None:
    """More bytes of indices and of strings than a pipe holds, in both directions at once."""
    batches = [[k] * 60_000 for k in range(12)]
    loader = DataLoader(
        Words(), batch_sampler=batches, collate_fn=joined, num_workers=2, timeout=HANGS
    )
    assert [len(text) for text in loader] == [600_000] * 12


class Ragged(Dataset):
    def __getitem__(self, index: int) -> Any:
        return fg.zeros(index + 1)

    def __len__(self) -> int:
        return 4


class Words(Dataset):
    def __getitem__(self, index: int) -> str:
        return f"{index:>10}"

    def __len__(self) -> int:
        return 12


def joined(samples: list[str]) -> str:
    return "".join(samples)


def test_options_are_checked() -> None:
    data = Squares(4)
    for options, words in (
        ({"num_workers": -1}, "non-negative"),
        ({"prefetch_factor": 2}, "multiprocessing"),
        ({"persistent_workers": True}, "num_workers > 0"),
        ({"timeout": -1}, "non-negative"),
        ({"num_workers": 1, "prefetch_factor": 0}, "at least one"),
        ({"num_workers": 1, "multiprocessing_context": "fork"}, "compute threads"),
        ({"num_workers": 1, "multiprocessing_context": "threads"}, "start methods"),
    ):
        with pytest.raises(ValueError, match=words):
            DataLoader(data, **options)
    with pytest.raises(TypeError, match="multiprocessing_context"):
        DataLoader(data, num_workers=1, multiprocessing_context=3)
    with pytest.raises(ValueError, match="after DataLoader is initialized"):
        DataLoader(data).batch_size = 3
    context = multiprocessing.get_context("spawn")
    assert len(list(DataLoader(data, num_workers=1, multiprocessing_context=context))) == 4


def test_what_cannot_be_pickled_is_named() -> None:
    data = Squares(4)
    data.transform = lambda x: x  # type: ignore[attr-defined]
    with pytest.raises(TypeError) as caught:
        list(DataLoader(Subset(data, [1, 2]), num_workers=1))
    text = str(caught.value)
    assert text.startswith("dataset.dataset.transform cannot be sent to DataLoader workers")
    assert "test_workers.py" in text and "Try:" in text and "num_workers=0" in text
    with pytest.raises(TypeError, match=r"^worker_init_fn cannot be sent"):
        list(DataLoader(Squares(4), num_workers=1, worker_init_fn=lambda k: None))


def test_progress(capsys: pytest.CaptureFixture[str]) -> None:
    loader = DataLoader(Squares(6), batch_size=2, progress="epoch 1", num_workers=1)
    assert [y.tolist() for _, y in loader] == [[0, 1], [2, 3], [4, 5]]
    out = capsys.readouterr().out
    assert "epoch 1" in out and "3/3" in out
    assert len(list(DataLoader(Stream(5), progress=True))) == 5
    for _ in DataLoader(Squares(50), progress=True, num_workers=1):
        break
    del _


def program(text: str, tmp_path: Path, *options: str, **settings: Any) -> Any:
    path = tmp_path / "script.py"
    path.write_text(text)
    paths = os.pathsep.join([str(Path(fg.__file__).parent.parent), str(TESTS)])
    return subprocess.Popen(
        [sys.executable, *options, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
        **settings,
    )


SCRIPT = """
print("script runs", flush=True)
from loader_datasets import Squares
from fusegrad.utils.data import DataLoader, Dataset

{before}
class Own(Squares):
    pass
{guard}
    print(sum(int(y.sum()) for _, y in DataLoader({dataset}, num_workers=2)))
"""


def test_a_script_without_guard(tmp_path: Path) -> None:
    text = SCRIPT.format(before="", guard="if True:", dataset="Squares(5)")
    out, err = program(text, tmp_path).communicate(timeout=HANGS)
    assert out == "script runs\n10\n", err  # nothing of the script is needed: it runs once
    text = SCRIPT.format(before="", guard="if True:", dataset="Own(5)")
    out, err = program(text, tmp_path).communicate(timeout=HANGS)
    assert out == "script runs\n" and 'under if __name__ == "__main__":' in err
    text = SCRIPT.format(before="", guard="if __name__ == '__main__':", dataset="Own(5)")
    out, err = program(text, tmp_path).communicate(timeout=HANGS)
    assert out.count("script runs") == 3 and out.endswith("10\n"), err
    before = "if __name__: pass"  # looks like a guard and is none
    text = SCRIPT.format(before=before, guard="if True:", dataset="Own(5)")
    out, err = program(text, tmp_path).communicate(timeout=HANGS)
    assert "10" not in out and "in a script that a worker is importing" in err
    assert "ended with exit code 1" in err


def test_a_session_without_file(tmp_path: Path) -> None:
    """``python -c``: what a module defines works, what the session defines is an error."""
    paths = os.pathsep.join([str(Path(fg.__file__).parent.parent), str(TESTS)])
    for dataset, words in (("Squares(5)", "10"), ("Own(5)", "in an interactive session")):
        code = (
            "from loader_datasets import Squares\nfrom fusegrad.utils.data import DataLoader\n"
            "class Own(Squares): pass\n"
            f"try:\n    print(sum(int(y) for _, y in DataLoader({dataset}, num_workers=1)))\n"
            "except RuntimeError as error:\n    print(error)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": paths},
            timeout=HANGS,
        )
        assert words in done.stdout, done.stderr


ENDLESS = """
import os, signal, sys, time
from loader_datasets import Squares
from fusegrad.utils.data import DataLoader

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start jobs that ignore it
    loader = DataLoader(Squares(10**9), num_workers=2, persistent_workers={persistent})
    batches = iter(loader)
    next(batches), next(batches)  # one from each: both have started, and ignore the interrupt
    print(*[w.process.pid for w in batches.pool.workers], flush=True)
    for _ in batches:
        time.sleep(0.01)
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_the_program(ending: int, tmp_path: Path) -> None:
    text = ENDLESS.format(persistent=ending is signal.SIGTERM)
    process = program(text, tmp_path, start_new_session=True)
    pids = [int(p) for p in process.stdout.readline().split()]
    assert len(pids) == 2 and all(map(alive, pids))
    if ending is signal.SIGINT:  # as the terminal does: the whole group gets it
        os.killpg(process.pid, ending)
    else:
        os.kill(process.pid, ending)
    _, err = process.communicate(timeout=HANGS)
    limit = time.monotonic() + HANGS
    while any(map(alive, pids)) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not any(map(alive, pids))
    if ending is signal.SIGINT:
        assert err.count("Traceback") == 1 and "KeyboardInterrupt" in err
    assert "leaked" not in err


def train(epochs: int, batches: int) -> tuple[int, float]:
    """Epochs with four workers around a jitted step; returns the number of batches, and seconds."""
    model = nn.Linear(16, 4)
    optimizer = optim.SGD(model.parameters(), lr=1e-3)

    @fg.jit
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y % 4)
        loss.backward()
        optimizer.step()
        return loss

    data = Squares(batches * 8, width=16)
    step(fg.randn(8, 16), fg.arange(8))  # compiled programs and their threads exist now
    started, count = time.monotonic(), 0
    for _ in range(epochs):
        seen = 0
        for x, y in DataLoader(data, batch_size=8, shuffle=True, num_workers=4, timeout=HANGS):
            step(x / 1e6, y)
            seen += int(y.sum())
            count += 1
        assert seen == sum(range(len(data)))
    return count, time.monotonic() - started


def test_training_with_workers() -> None:
    assert train(3, 100)[0] == 300


@pytest.mark.fuzz
def test_training_with_workers_for_long() -> None:
    """1,000 batches, 20 times over."""
    before = len(os.listdir("/proc/self/fd")) if Path("/proc").exists() else 0
    count, seconds = train(20, 1000)
    print(f"{count} batches in {seconds:.1f} s")
    assert count == 20_000
    gc.collect()
    if Path("/proc").exists():
        assert len(os.listdir("/proc/self/fd")) <= before + 8
