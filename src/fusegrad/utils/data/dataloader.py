"""DataLoader: batches of a dataset, made in this process or by worker processes.

In: a dataset and a sampler. Out: collated batches. Batches of a ``TensorDataset`` are gathered
whole by NumPy; other datasets are read sample by sample. Next files: ``fetch.py`` (one batch),
``iterator.py`` and ``pool.py`` (workers).
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import ArgumentError
from ...functions.random import Generator, bits
from ...ir.primitive import current_builder
from .collate import default_collate, default_convert
from .dataset import IterableDataset
from .fetch import Recipe
from .iterator import WorkerIterator, with_progress
from .sampler import BatchSampler, RandomSampler, SequentialSampler, _ArraySampler

if TYPE_CHECKING:
    from .pool import Pool

_FIXED = frozenset(
    ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers")
)


class DataLoader:
    """Iterates over a dataset in batches.

    With ``num_workers``, processes read ahead and hand batches over in shared memory. Every epoch
    draws a base seed from ``generator``; worker ``k`` starts Python's, NumPy's and fusegrad's
    random generators from it and ``k``, so a seeded program repeats its augmentations. The dataset
    is pickled once; a script that defines it needs the ``if __name__ == "__main__":`` guard.

    Args:
        dataset: map-style or iterable dataset. Of a stream every worker has a copy: it asks
            ``get_worker_info()`` which part is its own.
        batch_size: samples per batch; ``None`` gives single samples.
        shuffle: a new random order every epoch.
        sampler: order of the samples, instead of ``shuffle``.
        batch_sampler: lists of indices, instead of the four options above and ``drop_last``.
        num_workers: processes that make batches; 0 makes them here.
        collate_fn: makes a batch from a list of samples.
        pin_memory: accepted; there is no device to copy to.
        drop_last: drop the last batch when it is incomplete.
        timeout: seconds to wait for a batch of a worker, 0 for no limit.
        worker_init_fn: called in each worker with its number, after seeding.
        multiprocessing_context: ``"forkserver"`` (default), ``"spawn"``, or such a context.
        generator: source of randomness of ``shuffle`` and of the base seed.
        prefetch_factor: batches that each worker makes ahead, 2 when ``None``.
        persistent_workers: keep the processes, and their copies of the dataset, for the next epoch.
        in_order: deliver batches in order; ``False`` delivers as they are ready.
        progress: show a progress bar, with this title when it is a string.

    Raises:
        ValueError: options that exclude one another.
        TypeError: a dataset that cannot be pickled, when the workers start.
        RuntimeError: a worker ended or timed out. An exception in a worker is raised here with
            its own type and the worker's traceback.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.utils.data import DataLoader, TensorDataset
        >>> loader = DataLoader(TensorDataset(fg.arange(5)), batch_size=2)
        >>> [batch[0].tolist() for batch in loader]
        [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Any = None,
        batch_sampler: Any = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
        progress: bool | str = False,
    ) -> None:
        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = 2 if num_workers > 0 and prefetch_factor is None else prefetch_factor
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.persistent_workers = persistent_workers
        self.in_order = in_order
        self.progress = progress
        self.generator = generator
        self._pool: Pool | None = None
        self._iterable = isinstance(dataset, IterableDataset)
        self._check(batch_size, shuffle, sampler, batch_sampler, drop_last)
        self._check_workers(prefetch_factor)
        if batch_sampler is not None:
            batch_size, drop_last = None, False
        elif sampler is None and not self._iterable:
            sampler = (
                RandomSampler(dataset, generator=generator)
                if shuffle
                else SequentialSampler(dataset)
            )
        if batch_size is not None and batch_sampler is None and not self._iterable:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        batched = batch_sampler is not None or (self._iterable and batch_size is not None)
        self._batched = batched
        self.collate_fn = collate_fn or (default_collate if batched else default_convert)
        self._ready = True

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FIXED and "_ready" in self.__dict__:
            raise ArgumentError(
                f"{name} set on a DataLoader",
                f"{name} attribute should not be set after DataLoader is initialized.",
                "a new DataLoader",
            )
        object.__setattr__(self, name, value)

    def _check(
        self, batch_size: Any, shuffle: Any, sampler: Any, batch_sampler: Any, drop_last: bool
    ) -> None:
        if self._iterable and (shuffle or sampler is not None or batch_sampler is not None):
            raise ArgumentError(
                "DataLoader with IterableDataset and an order",
                "A stream has its own order: shuffle, sampler and batch_sampler do not apply.",
            )
        if sampler is not None and shuffle:
            raise ArgumentError(
                "DataLoader with sampler and shuffle",
                "sampler option is mutually exclusive with shuffle.",
            )
        if batch_sampler is not None and (
            batch_size != 1 or shuffle or sampler is not None or drop_last
        ):
            raise ArgumentError(
                "DataLoader with batch_sampler and other options",
                "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, "
                "and drop_last.",
            )
        if batch_size is None and drop_last:
            raise ArgumentError(
                "DataLoader with batch_size=None and drop_last",
                "batch_size=None disables auto-batching: nothing to drop.",
            )

    def _check_workers(self, prefetch_factor: int | None) -> None:
        if not isinstance(self.num_workers, int) or self.num_workers < 0:
            raise ArgumentError(
                f"num_workers={self.num_workers!r}",
                "num_workers option should be a non-negative integer.",
                "num_workers=0 to make batches in this process",
            )
        if self.timeout < 0:
            raise ArgumentError(
                f"timeout={self.timeout}", "timeout option should be non-negative.", "timeout=0"
            )
        if self.num_workers > 0:
            from .pool import context_of

            context_of(self.multiprocessing_context)
            if prefetch_factor is not None and prefetch_factor < 1:
                raise ArgumentError(
                    f"prefetch_factor={prefetch_factor}",
                    "Each worker makes at least one batch at a time.",
                    "prefetch_factor=2",
                )
            return
        if prefetch_factor is not None:
            raise ArgumentError(
                f"prefetch_factor={prefetch_factor} with num_workers=0",
                "prefetch_factor option could only be specified in multiprocessing.",
                "num_workers > 0, or no prefetch_factor",
            )
        if self.persistent_workers:
            raise ArgumentError(
                "persistent_workers with num_workers=0",
                "persistent_workers option needs num_workers > 0.",
                "num_workers > 0",
            )

    def __len__(self) -> int:
        if self._iterable:
            count = len(self.dataset)
            if self.batch_size is None:
                return count
            extra = 0 if self.drop_last else self.batch_size - 1
            return (count + extra) // self.batch_size
        return len(self.batch_sampler if self._batched else self.sampler)

    def __iter__(self) -> Iterator[Any]:
        batches = self._workers() if self.num_workers else self._here()
        if not self.progress:
            return batches
        try:
            total: int | None = len(self)
        except TypeError:  # a stream of unknown length
            total = None
        title = self.progress if isinstance(self.progress, str) else "batches"
        return with_progress(batches, total, title)

    def _recipe(self) -> Recipe:
        return Recipe(self.dataset, self._batched, self.collate_fn, self.batch_size, self.drop_last)

    def _base_seed(self) -> int:
        """A draw per epoch, with and without workers, so that both leave the same stream."""
        if current_builder() is not None:  # inside a trace no value can be read
            return 0
        return int(bits((), self.generator)._value) >> 1

    def _here(self) -> Iterator[Any]:
        self._base_seed()
        recipe = self._recipe()
        if recipe.streams:
            return recipe.stream()
        return map(recipe.fetcher(), self._indices(recipe))

    def _workers(self) -> Iterator[Any]:
        from .guard import check_nesting  # with multiprocessing: only who has workers pays for it
        from .pool import Pool, context_of

        check_nesting()
        seed, recipe, pool = self._base_seed(), self._recipe(), self._pool
        if pool is None or pool.closed:
            context = context_of(self.multiprocessing_context)
            pool = Pool(recipe, self.num_workers, self.worker_init_fn, context, seed, self.timeout)
            if self.persistent_workers:
                self._pool = pool
                weakref.finalize(self, pool.close)
        return WorkerIterator(
            pool,
            self._indices(recipe),
            seed,
            self.prefetch_factor or 2,
            self.in_order,
            self.persistent_workers,
        )

    def _indices(self, recipe: Recipe) -> Iterable[Any]:
        """What each batch is made of: index arrays and slices where the dataset takes them."""
        if recipe.streams:
            return itertools.repeat(None)
        if not self._batched:
            return self.sampler
        batches = self.batch_sampler
        if not recipe.gathers():
            return batches
        if type(batches) is not BatchSampler or not isinstance(batches.sampler, _ArraySampler):
            return (np.asarray(batch, np.int64) for batch in batches)
        size, count = batches.batch_size, len(batches.sampler)  # type: ignore[arg-type]
        stop = count - count % size if batches.drop_last else count
        starts = range(0, stop, size)
        if type(batches.sampler) is SequentialSampler:
            return (slice(k, min(k + size, stop)) for k in starts)
        order = batches.sampler.indices()
        return (order[k : min(k + size, stop)] for k in starts)
