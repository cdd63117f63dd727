"""One epoch of a loader with workers, and the progress bar over any epoch.

Every worker has ``prefetch_factor`` tasks at a time; when its answer is delivered it gets the next
one. So worker ``k`` of ``n`` makes the batches ``k, k + n, ...``, whichever worker is faster.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ...errors import WorkerError

if TYPE_CHECKING:
    from .pool import Pool, Result

_END = object()


class WorkerIterator:
    """The batches of one epoch, made by worker processes.

    Args:
        pool: the processes.
        indices: what each batch is made of, without end for streams.
        seed: base seed of the epoch.
        prefetch: tasks that a worker has at a time.
        in_order: deliver in the order of ``indices``, else as they come.
        keep: leave the processes running at the end.
    """

    def __init__(
        self,
        pool: Pool,
        indices: Iterable[Any],
        seed: int,
        prefetch: int,
        in_order: bool,
        keep: bool,
    ) -> None:
        self.pool = pool
        self.finish = weakref.finalize(self, _nothing if keep else pool.close)
        self.indices = iter(indices)
        self.in_order = in_order
        self.waiting: deque[int] = deque()  # tasks in the order of delivery
        self.done: dict[int, Result] = {}
        self.tasks = 0
        self.epoch = pool.begin(seed)
        for _ in range(prefetch):
            for number in range(len(pool.workers)):
                self._submit(number)

    def _submit(self, number: int) -> None:
        index = next(self.indices, _END)
        if index is _END:
            return
        self.waiting.append(self.tasks)
        self.pool.submit(number, self.tasks, index)
        self.tasks += 1

    def __iter__(self) -> WorkerIterator:
        return self

    def __next__(self) -> Any:
        while self.waiting:
            if self.epoch != self.pool.epoch:
                raise WorkerError(
                    "an epoch of a DataLoader that was started again",
                    "Its workers persist and serve one epoch at a time.",
                    "finish or drop the first iterator, or persistent_workers=False",
                )
            task = self.waiting[0] if self.in_order else next(iter(self.done), -1)
            result = self.done.pop(task, None)
            if result is None:
                self._receive()
                continue
            self.waiting.remove(task)
            if result.kind != "end":
                self._submit(result.worker.number)
                return result.batch()
        self.finish()
        raise StopIteration

    def _receive(self) -> None:
        try:
            result = self.pool.receive()
        except BaseException:  # Ctrl-C included: no process outlives it
            self.waiting.clear()
            self.pool.close()
            raise
        self.done[result.task] = result


def _nothing() -> None:
    """Processes that persist end with their loader."""


def with_progress(batches: Iterator[Any], total: int | None, title: str) -> Iterator[Any]:
    """The same batches, with a progress bar on the terminal while they are consumed."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns) as bar:
        task = bar.add_task(title, total=total)
        for batch in batches:
            yield batch
            bar.advance(task)
