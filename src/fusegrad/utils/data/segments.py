"""Memory that processes share, objects pickled into it, and the channel that carries both.

A segment is anonymous memory that travels as a file descriptor: it has no name in the file system,
so the kernel frees it with its last user, whichever way that one ends. Objects are pickled with
their arrays out of band (PEP 574): the arrays go into a segment, the rest into the message.
"""

from __future__ import annotations

import mmap
import os
import pickle
import select
import socket
import tempfile
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np

ALIGNMENT = 64
SMALLEST = 512  # bytes; smaller arrays travel inside the message
Place = tuple[int, int]  # start and end of an array in its segment


class Segment:
    """Anonymous shared memory.

    Args:
        size: in bytes.
        fd: descriptor received from the process that made the segment; a new one when ``None``.
        private: changes stay in this process (copy on write).
    """

    def __init__(self, size: int, fd: int | None = None, private: bool = False) -> None:
        self.size = size
        self.fd = _anonymous(size) if fd is None else fd
        access = mmap.ACCESS_COPY if private else mmap.ACCESS_WRITE
        self.map = mmap.mmap(self.fd, size, access=access)
        if fd is not None:  # the map keeps a descriptor of its own
            self.close()

    def close(self) -> None:
        """Forget the descriptor; the memory stays as long as an array lies in it."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def bytes(self) -> np.ndarray:
        """The memory as a new array, which a weak reference can watch."""
        return np.frombuffer(self.map, np.uint8)


def _anonymous(size: int) -> int:
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("fusegrad", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:  # has no name either
            fd = os.dup(file.fileno())
    os.ftruncate(fd, size)
    return fd


class Packed(NamedTuple):
    """A pickled object: the message, its arrays, and where they go in a segment."""

    body: bytes
    arrays: list[memoryview]
    places: list[Place]
    size: int

    def write(self, segment: Segment) -> None:
        """Copy the arrays to their places."""
        with memoryview(segment.map) as target:
            for raw, (start, end) in zip(self.arrays, self.places, strict=True):
                target[start:end] = raw


def pack(value: Any) -> Packed:
    """Pickle an object with its large arrays out of band."""
    arrays: list[memoryview] = []

    def keep(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < SMALLEST:
            return True
        arrays.append(raw)
        return False

    body = pickle.dumps(value, protocol=5, buffer_callback=keep)
    places, position = [], 0
    for raw in arrays:
        places.append((position, position + raw.nbytes))
        position += -(-raw.nbytes // ALIGNMENT) * ALIGNMENT
    return Packed(body, arrays, places, position)


def unpack(body: bytes, memory: np.ndarray | None, places: Sequence[Place], copy: bool) -> Any:
    """The object again; its arrays lie in ``memory`` or, with ``copy``, in memory of their own."""
    parts = [] if memory is None else [memory[start:end] for start, end in places]
    return pickle.loads(body, buffers=[np.array(part) for part in parts] if copy else parts)


class Channel:
    """Messages in both directions between two processes, some with a segment's descriptor."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self.connection = connection

    def send(self, message: Any, fd: int | None = None) -> None:
        """Send a picklable message and perhaps a descriptor; ``OSError`` when nobody listens."""
        self.connection.send_bytes(pickle.dumps((message, fd is not None), protocol=5))
        if fd is not None:
            with socket.socket(fileno=os.dup(self.connection.fileno())) as line:
                socket.send_fds(line, [b"\0"], [fd])

    def receive(self) -> tuple[Any, int | None]:
        """The next message and its descriptor; ``EOFError`` when the other side has ended."""
        message, follows = pickle.loads(self.connection.recv_bytes())
        if not follows:
            return message, None
        with socket.socket(fileno=os.dup(self.connection.fileno())) as line:
            _, fds, _, _ = socket.recv_fds(line, 1, 1)
        if not fds:
            raise EOFError("the descriptor of a segment is missing")
        return message, fds[0]

    def writable(self, seconds: float) -> bool:
        """Whether a short message can be sent without waiting longer than this."""
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLOUT)
        return bool(poll.poll(seconds * 1000))

    def close(self) -> None:
        """Close this end."""
        self.connection.close()
