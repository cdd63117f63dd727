"""Aval: the abstract value that rules may look at, a shape and a dtype.

Next file: ``primitive.py``, whose records map avals to avals.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..dtypes import DType, from_numpy_dtype, from_short


class Aval(NamedTuple):
    """Shape and dtype of a value; prints as ``f32[64,128]``."""

    shape: tuple[int, ...]
    dtype: DType

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        n = 1
        for extent in self.shape:
            n *= extent
        return n

    @property
    def nbytes(self) -> int:
        """Bytes of a dense array of this aval."""
        return self.size * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.dtype.short}[{','.join(map(str, self.shape))}]"


def parse_aval(text: str) -> Aval:
    """Inverse of ``str(aval)``."""
    dtype, _, rest = text.partition("[")
    shape = tuple(int(part) for part in rest.rstrip("]").split(",") if part)
    return Aval(shape, from_short(dtype))


def aval_of(value: Any) -> Aval:
    """Aval of a NumPy array or of anything that has an ``aval``."""
    found = getattr(value, "aval", None)
    if found is not None:
        return found
    array = value if isinstance(value, (np.ndarray, np.generic)) else np.asarray(value)
    return Aval(array.shape, from_numpy_dtype(array.dtype))
