"""The worker process: receives indices, makes batches, hands them over in shared memory.

It imports no compiler. One thread reads tasks and never waits for anything else, so the training
process can always send; the main thread makes batches. No lock is shared between processes: a
worker that is killed leaves nothing locked.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import queue
import random
import signal
import threading
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

from ...functions.random import manual_seed
from ...runtime.threads import set_num_threads
from .fetch import Recipe
from .info import WorkerInfo, become_worker, get_worker_info
from .segments import Channel, Packed, Segment, pack, unpack


class Slots:
    """The segments a worker puts batches into, used again when the batch before was dropped."""

    def __init__(self) -> None:
        self.segments: list[Segment | None] = []
        self.free: list[int] = []

    def put(self, packed: Packed) -> tuple[int, int, int | None]:
        """Write arrays; returns slot, size and, for a new segment, its descriptor."""
        if not self.free:
            self.segments.append(None)
            self.free.append(len(self.segments) - 1)
        slot = self.free.pop()
        segment, fd = self.segments[slot], None
        if segment is None or segment.size < packed.size:
            if segment is not None:
                segment.close()
            size = packed.size + packed.size // 8  # batches that vary a little fit as well
            segment = self.segments[slot] = Segment(-(-size // 4096) * 4096)
            fd = segment.fd
        packed.write(segment)
        return slot, segment.size, fd


def _read(channel: Channel, inbox: queue.SimpleQueue[Any]) -> None:
    """The reading thread: every message into the inbox; the end of the parent is our end."""
    while True:
        try:
            message, fd = channel.receive()
        except (EOFError, OSError):
            os._exit(1)  # the training process is gone: nobody waits for what this one computes
        inbox.put((message, fd))
        if message is None:
            return


def _failure(error: BaseException, what: str) -> tuple[bytes, str]:
    """Class and text of an exception, for the training process."""
    try:
        kind = pickle.dumps(type(error))
    except Exception:  # a class that only exists inside a function
        kind = pickle.dumps(RuntimeError)
    return kind, f"Caught {type(error).__name__} {what}.\nOriginal {traceback.format_exc()}"


def _seed(seed: int, number: int) -> None:
    """Seed every global source of randomness."""
    random.seed(seed + number)
    manual_seed(seed + number)
    state = np.random.SeedSequence([seed, number]).generate_state(4)
    np.random.seed(state)


class _Worker:
    def __init__(self, channel: Channel, number: int, count: int) -> None:
        self.channel = channel
        self.number = number
        self.count = count
        self.place = f"in DataLoader worker process {number}"
        self.slots = Slots()
        self.recipe: Recipe | None = None
        self.fetch: Callable[[Any], Any] | None = None
        self.inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=_read, args=(channel, self.inbox), daemon=True).start()

    def load(self, message: Any, fd: int | None, seed: int) -> None:
        """Take over the dataset: its arrays stay in memory that all workers share."""
        body, places, size = message
        memory = None if fd is None else Segment(size, fd, private=True).bytes()
        _seed(seed, self.number)
        self.recipe, initialise = unpack(body, memory, places, copy=False)
        assert self.recipe is not None
        info = WorkerInfo(self.number, self.count, seed + self.number, self.recipe.dataset)
        become_worker(info)
        if initialise is not None:
            initialise(self.number)

    def begin(self, seed: int, first: bool) -> None:
        """Start an epoch."""
        info = get_worker_info()
        assert self.recipe is not None and info is not None
        if not first:
            _seed(seed, self.number)
            info.seed = seed + self.number
        self.fetch = self.recipe.fetcher()

    def answer(self, epoch: int, task: int, index: Any) -> None:
        """Make one batch and send it, or what went wrong."""
        assert self.fetch is not None
        try:
            packed = pack(self.fetch(index))
        except Exception as error:
            if isinstance(error, StopIteration) and self.recipe and self.recipe.streams:
                self.channel.send(("end", epoch, task))
            else:
                self.channel.send(("error", epoch, task, *_failure(error, self.place)))
            return
        slot, size, fd = self.slots.put(packed) if packed.size else (-1, 0, None)
        self.channel.send(("batch", epoch, task, packed.body, packed.places, slot, size), fd)

    def run(self) -> None:
        """Serve until told to stop."""
        fresh = True
        while True:
            message, fd = self.inbox.get()
            if message is None:
                return
            kind, epoch, *rest = message
            try:
                if kind == "task":
                    task, index, freed = rest
                    self.slots.free.extend(freed)
                    self.answer(epoch, task, index)
                elif kind == "load":
                    self.load(rest[0], fd, rest[1])
                else:
                    self.begin(rest[0], fresh)
                    fresh = False
            except (BrokenPipeError, ConnectionResetError):
                return  # the training process has closed the loader
            except Exception as error:
                what = f"while starting {self.place.removeprefix('in ')}"
                self.channel.send(("error", epoch, -1, *_failure(error, what)))


def _keep_memory() -> None:
    """Have glibc keep what a batch frees for the next one, instead of faulting it in again."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return
    mallopt(-3, 32 << 20)  # M_MMAP_THRESHOLD, its largest value
    mallopt(-1, 1 << 30)  # M_TRIM_THRESHOLD


def main(connection: Any, number: int, count: int) -> None:
    """Entry of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the training process
    set_num_threads(1)
    _keep_memory()
    _Worker(Channel(connection), number, count).run()
