"""The training process's side of worker processes: start, tasks, results, death, end.

Workers are started by ``forkserver`` (a clean process that has imported fusegrad and forks itself)
or ``spawn``; never by a fork of the training process, whose compute threads would not exist in the
child. In: a recipe. Out: batches whose arrays lie in the memory the worker wrote them to; when a
batch is dropped, the worker uses that memory again.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import socket
import sys
import threading
import time
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing.connection import wait
from typing import Any

import numpy as np

from ...errors import ArgumentError, ArgumentTypeError, FusegradError, WorkerError
from .fetch import Recipe
from .guard import check_main, explain_unpicklable
from .segments import Channel, Packed, Segment, pack, unpack
from .worker import main

PRELOAD = "fusegrad.utils.data.worker"
HELD = 2  # batches of one worker that may lie in shared memory while the user keeps them
PATIENCE_SECONDS = 2.0  # for a worker to finish its batch before it is terminated
_starting = threading.Lock()


def context_of(choice: Any) -> Any:
    """The multiprocessing context for the loader's option.

    Raises:
        ValueError: an unknown start method, or ``fork``.
        TypeError: not a name and not a context.
        RuntimeError: a system without Unix sockets.
    """
    if not hasattr(socket, "send_fds"):
        raise WorkerError(
            "DataLoader workers on this system",
            "They hand memory over through Unix sockets, which are not here.",
            "num_workers=0",
        )
    known = [m for m in ("forkserver", "spawn") if m in multiprocessing.get_all_start_methods()]
    if choice is None:
        choice = known[0]
    method: Any = choice
    if not isinstance(choice, str):
        method = getattr(choice, "get_start_method", lambda: None)()
        if method is None:
            raise ArgumentTypeError(
                f"multiprocessing_context of type {type(choice).__name__}",
                "multiprocessing_context is a start method or a context of multiprocessing.",
                f"multiprocessing_context={known[0]!r}",
            )
    if method not in known:
        raise ArgumentError(
            f"multiprocessing_context={method!r}",
            "A fork of this process would have the state of its compute threads without the "
            "threads."
            if method == "fork"
            else f"The start methods here are {known}.",
            f"multiprocessing_context={known[0]!r}",
        )
    return multiprocessing.get_context(method) if isinstance(choice, str) else choice


@contextlib.contextmanager
def _main_left_out(leave_out: bool) -> Iterator[None]:
    """Keep multiprocessing from importing the main script in a child that needs nothing of it."""
    main_module = sys.modules["__main__"]
    if leave_out:
        sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main_module


class _Worker:
    """One worker process as its parent sees it."""

    def __init__(self, context: Any, number: int, count: int) -> None:
        ours, theirs = context.Pipe(duplex=True)
        self.number = number
        self.channel = Channel(ours)
        self.slots: dict[int, Segment] = {}
        self.freed: deque[int] = deque()
        self.held: dict[int, Any] = {}
        self.process = context.Process(
            target=main, args=(theirs, number, count), daemon=True, name=f"DataLoader-{number}"
        )
        try:
            self.process.start()
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()

    def taken(self) -> list[int]:
        """Slots that became free since the last call."""
        return [self.freed.popleft() for _ in range(len(self.freed))]

    def memory(self, slot: int, copy: bool) -> np.ndarray:
        """The bytes of a slot, which is free again when the last array in it is dropped."""
        memory = self.slots[slot].bytes()
        if not copy:
            held, freed = self.held, self.freed

            def release(_: Any) -> None:
                held.pop(slot, None)
                freed.append(slot)

            held[slot] = weakref.ref(memory, release)
        return memory


class Result:
    """What a worker answered to a task."""

    def __init__(self, worker: _Worker, message: tuple[Any, ...]) -> None:
        self.worker = worker
        self.kind, self.epoch, self.task, *self.rest = message

    def batch(self) -> Any:
        """The batch; raises what the worker raised."""
        if self.kind == "error":
            raise _rebuilt(*self.rest)
        body, places, slot, _ = self.rest
        if slot < 0:
            return unpack(body, None, places, copy=False)
        copy = len(self.worker.held) >= HELD
        value = unpack(body, self.worker.memory(slot, copy), places, copy)
        if copy:
            self.worker.freed.append(slot)
        return value

    def drop(self) -> None:
        """Nobody wants it: its memory is free."""
        if self.kind == "batch" and self.rest[2] >= 0:
            self.worker.freed.append(self.rest[2])


def _rebuilt(kind: bytes, text: str) -> BaseException:
    """The worker's exception with its traceback as text."""
    try:
        cls = pickle.loads(kind)
        if issubclass(cls, FusegradError):
            return cls(text, "The worker's traceback is above.", "num_workers=0 to debug it here")
        if issubclass(cls, KeyError):  # prints the repr of its argument, in one line
            return KeyError(_Text(text))
        return cls(text)
    except Exception:  # a class of this name is not here, or it takes other arguments
        return RuntimeError(text)


class _Text(str):
    """Text whose repr is itself."""

    def __repr__(self) -> str:
        return self


class Pool:
    """Worker processes that serve one loader.

    Args:
        recipe: what makes batches.
        count: number of processes.
        initialise: called with the worker's number when it starts.
        context: multiprocessing context.
        seed: base seed of the first epoch.
        timeout: seconds to wait for a batch; 0 waits as long as the workers live.
    """

    def __init__(
        self,
        recipe: Recipe,
        count: int,
        initialise: Callable[[int], Any] | None,
        context: Any,
        seed: int,
        timeout: float,
    ) -> None:
        self.pid = os.getpid()
        self.workers: list[_Worker] = []
        self.arrived: deque[Result] = deque()
        self.timeout = timeout
        self.epoch = 0
        self.closed = False
        try:
            packed = pack((recipe, initialise))
        except Exception as error:
            raise explain_unpicklable(recipe, initialise, error) from None
        needs_main = b"__main__" in packed.body
        check_main(needs_main)
        try:
            self._start(context, count, needs_main)
            self._load(packed, seed)
        except BaseException:
            self.close()
            raise

    def _start(self, context: Any, count: int, needs_main: bool) -> None:
        with _starting, _main_left_out(not needs_main):
            if context.get_start_method() == "forkserver":
                context.set_forkserver_preload([PRELOAD])
            for number in range(count):
                self.workers.append(_Worker(context, number, count))

    def _load(self, packed: Packed, seed: int) -> None:
        """Send the dataset: its arrays once, for all workers."""
        segment = Segment(packed.size) if packed.size else None
        if segment is not None:
            packed.write(segment)
        message = (packed.body, packed.places, packed.size)
        try:
            for worker in self.workers:
                self._send(worker, ("load", 0, message, seed), segment.fd if segment else None)
        finally:
            if segment is not None:
                segment.close()

    def begin(self, seed: int) -> int:
        """Start an epoch; results of the one before are dropped."""
        self.epoch += 1
        for worker in self.workers:
            self._send(worker, ("begin", self.epoch, seed))
        return self.epoch

    def submit(self, number: int, task: int, index: Any) -> None:
        """Ask a worker for the batch of ``index``."""
        worker = self.workers[number]
        self._send(worker, ("task", self.epoch, task, index, worker.taken()))

    def _send(self, worker: _Worker, message: Any, fd: int | None = None) -> None:
        try:
            worker.channel.send(message, fd)
        except (BrokenPipeError, ConnectionResetError):
            self._died(worker)

    def receive(self) -> Result:
        """The next result of the current epoch, from any worker.

        Raises:
            RuntimeError: a worker ended, or nothing came in time.
        """
        limit = time.monotonic() + self.timeout if self.timeout > 0 else None
        while True:
            while self.arrived:
                result = self.arrived.popleft()
                if result.task < 0:  # it could not start
                    self.close()
                    result.batch()
                if result.epoch == self.epoch:
                    return result
                result.drop()
            self._wait(limit)

    def _wait(self, limit: float | None) -> None:
        by_line: dict[Any, _Worker] = {w.channel.connection: w for w in self.workers}
        left = None if limit is None else max(0.0, limit - time.monotonic())
        ready = wait(list(by_line), left)
        if not ready:
            self.close()
            raise WorkerError(
                f"DataLoader timed out after {self.timeout} seconds",
                f"None of {len(self.workers)} workers delivered a batch in time.",
                "a larger timeout=, or num_workers=0 to see where the dataset waits",
            )
        for line in ready:
            worker = by_line[line]
            try:
                message, fd = worker.channel.receive()
            except (EOFError, OSError):
                self._died(worker)
            if fd is not None:
                worker.slots[message[5]] = Segment(message[6], fd)
            self.arrived.append(Result(worker, message))

    def _died(self, worker: _Worker) -> None:
        """Report a worker that is gone; the others are stopped."""
        worker.process.join(PATIENCE_SECONDS)
        code, pid = worker.process.exitcode, worker.process.pid
        self.close()
        if code is not None and code < 0:
            how = f"was killed by signal {-code} ({signal.Signals(-code).name})"
            why = "Something outside ended it: often the system, when memory runs out."
        else:
            how = f"ended with exit code {code}"
            why = "What it wrote to the standard error before is the reason."
        raise WorkerError(
            f"DataLoader worker {worker.number} (pid {pid}) {how}",
            why,
            "fewer or smaller batches in flight (num_workers, prefetch_factor), or num_workers=0",
        )

    def close(self) -> None:
        """Stop the processes: those that do not finish in time are terminated."""
        if self.closed or os.getpid() != self.pid:  # a forked child does not own them
            return
        self.closed = True
        self.arrived.clear()
        for worker in self.workers:
            with contextlib.suppress(OSError):
                if worker.channel.writable(PATIENCE_SECONDS):
                    worker.channel.send(None)
            worker.channel.close()
        limit = time.monotonic() + PATIENCE_SECONDS
        for worker in self.workers:
            worker.process.join(max(0.0, limit - time.monotonic()))
        for end in ("terminate", "kill"):
            alive = [w.process for w in self.workers if w.process.is_alive()]
            for process in alive:
                getattr(process, end)()
            for process in alive:
                process.join(PATIENCE_SECONDS)
        for worker in self.workers:
            if not worker.process.is_alive():
                worker.process.close()
