"""Memory for arrays and arenas: 64-byte aligned, large blocks on huge pages and kept for reuse.

In: a number of bytes. Out: a NumPy byte array and its address. A large block returns to a bounded
free list when the last array on it dies, so that the outputs of a step do not fault their pages in
again on every call. Nothing here knows shapes; ``program.py`` cuts arrays from the bytes.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import threading
from collections import OrderedDict, deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 64
LARGE_BYTES = 1 << 20
HUGE_PAGE = 2 << 20
FREE_LIMIT_BYTES = 512 << 20

Bytes = NDArray[np.uint8]
# NumPy's C ABI: an array object is the Python object header, then the data pointer.
_DATA_OFFSET = object.__basicsize__


# Blocks whose arrays died. A destructor may run anywhere, so it takes no lock: appending is atomic.
_returned: deque[Bytes] = deque()
_free: OrderedDict[int, list[Bytes]] = OrderedDict()
_cached_bytes = 0
_lock = threading.Lock()


class _Block:
    """A large block; NumPy arrays on it hold it as their base, the last one to die frees it."""

    __slots__ = ("__array_interface__", "_memory")

    def __init__(self, memory: Bytes, nbytes: int) -> None:
        self._memory = memory
        self.__array_interface__ = {
            "shape": (nbytes,),
            "typestr": "|u1",
            "data": (address_of(memory), False),
            "version": 3,
        }

    # The default keeps the deque reachable while the interpreter shuts down.
    def __del__(self, returned: deque[Bytes] = _returned) -> None:
        returned.append(self._memory)
        # At most the bound again waits here until the next allocation sorts it in.
        if sum(map(len, returned)) > FREE_LIMIT_BYTES:
            try:
                returned.popleft()
            except IndexError:
                pass


def _address_through_interface(array: NDArray[Any]) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _address_from_header(array: NDArray[Any]) -> int:
    return ctypes.c_size_t.from_address(id(array) + _DATA_OFFSET).value


def _header_is_readable() -> bool:
    """Whether the data pointer lies where NumPy's ABI says (not so on other Pythons)."""
    probe = np.empty(1)
    return sys.implementation.name == "cpython" and (
        _address_from_header(probe) == _address_through_interface(probe)
    )


# NumPy's own accessors build an object per call and cost five times as much.
address_of = _address_from_header if _header_is_readable() else _address_through_interface


def _round(nbytes: int) -> int:
    return -(-nbytes // HUGE_PAGE) * HUGE_PAGE


def _map(size: int) -> Bytes:
    """Fresh zeroed pages, aligned to a huge page."""
    if hasattr(mmap, "MAP_PRIVATE"):
        # Private: a forked child gets its own copy instead of writing into the parent's arrays.
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        pages = mmap.mmap(-1, size + HUGE_PAGE, flags=flags)
    else:
        pages = mmap.mmap(-1, size + HUGE_PAGE)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        try:
            pages.madvise(mmap.MADV_HUGEPAGE)
        except OSError:
            # A kernel without transparent huge pages; ordinary pages work as well.
            pass
    whole = np.frombuffer(pages, np.uint8)
    start = -address_of(whole) % HUGE_PAGE
    return whole[start : start + size]


def _collect() -> None:
    """Move returned blocks to the free list and drop the oldest sizes beyond the bound."""
    global _cached_bytes
    while _returned:
        try:
            memory = _returned.popleft()
        except IndexError:
            break
        _free.setdefault(len(memory), []).append(memory)
        _free.move_to_end(len(memory))
        _cached_bytes += len(memory)
    while _cached_bytes > FREE_LIMIT_BYTES:
        size, blocks = next(iter(_free.items()))
        blocks.pop()
        _cached_bytes -= size
        if not blocks:
            del _free[size]


def _take(size: int) -> Bytes | None:
    global _cached_bytes
    with _lock:
        _collect()
        blocks = _free.get(size)
        if not blocks:
            return None
        memory = blocks.pop()
        _cached_bytes -= size
        if not blocks:
            del _free[size]
        return memory


def empty(nbytes: int) -> tuple[Bytes, int]:
    """Uninitialised memory.

    Args:
        nbytes: size; zero is allowed.

    Returns:
        A writable array of ``nbytes`` bytes and its address, a multiple of 64. The memory lives as
        long as the array or any view of it.

    >>> data, address = empty(100)
    >>> data.nbytes, address % 64
    (100, 0)
    """
    if nbytes < LARGE_BYTES:
        padded = np.empty(nbytes + ALIGNMENT, np.uint8)
        address = address_of(padded)
        start = -address % ALIGNMENT
        return padded[start : start + nbytes], address + start
    size = _round(nbytes)
    memory = _take(size)
    if memory is None:
        memory = _map(size)
    array: Bytes = np.asarray(_Block(memory, nbytes))
    return array, address_of(array)


def cached_bytes() -> int:
    """Bytes on the free list."""
    with _lock:
        _collect()
        return _cached_bytes


def trim() -> int:
    """Give the free list back to the operating system; returns how many bytes that were."""
    global _cached_bytes
    with _lock:
        _collect()
        freed = _cached_bytes
        _free.clear()
        _cached_bytes = 0
        return freed


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
