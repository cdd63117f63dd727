"""The memory behind tensors, as an object (``torch.UntypedStorage``)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..tensor import Tensor
from .common import method
from .placement import device

__all__ = ["UntypedStorage", "is_storage"]


class UntypedStorage:
    """The bytes that a tensor and its views share.

    Example:
        >>> import fusegrad as fg
        >>> x = fg.zeros(2, 3)
        >>> x.untyped_storage().nbytes(), x[1].untyped_storage() == x.untyped_storage()
        (24, True)
    """

    def __init__(self, root: np.ndarray) -> None:
        self._root = root  # keeps the memory alive
        size = root.itemsize
        ends = [(n - 1) * s for n, s in zip(root.shape, root.strides, strict=True) if n]
        self._low = root.ctypes.data + sum(e for e in ends if e < 0)
        self._count = 0 if not root.size else size + sum(abs(e) for e in ends)

    def data_ptr(self) -> int:
        """The address of the first byte."""
        return self._low

    def nbytes(self) -> int:
        """The number of bytes."""
        return self._count

    size = __len__ = nbytes

    def element_size(self) -> int:
        """1: elements are bytes."""
        return 1

    @property
    def device(self) -> device:
        """The cpu."""
        return device("cpu")

    @property
    def is_cuda(self) -> bool:
        """False."""
        return False

    def is_shared(self) -> bool:
        """Whether processes share the memory: False."""
        return False

    def tolist(self) -> list[int]:
        """The bytes."""
        return list(self._bytes())

    def _bytes(self) -> bytes:
        return bytes(np.ctypeslib.as_array(_pointer(self._low), (self._count,)))

    def __getitem__(self, index: int) -> int:
        return self._bytes()[index]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, UntypedStorage):
            return NotImplemented
        return (self._low, self._count) == (other._low, other._count)

    def __hash__(self) -> int:
        return hash((self._low, self._count))

    def __repr__(self) -> str:
        return f"<fusegrad.UntypedStorage of {self._count} bytes>"


def _pointer(address: int) -> Any:
    import ctypes

    return ctypes.cast(address, ctypes.POINTER(ctypes.c_uint8))


def is_storage(obj: Any) -> bool:
    """Whether ``obj`` is a storage."""
    return isinstance(obj, UntypedStorage)


@method("untyped_storage")
def untyped_storage(self: Tensor) -> UntypedStorage:
    """The memory of the tensor, shared with its views."""
    array, root = self._concrete(".untyped_storage()"), self._storage.array
    return UntypedStorage(array if root is None else root)
