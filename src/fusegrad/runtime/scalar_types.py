"""Parameter types of kernels, as numba types.

In: a type name of :class:`KernelSource` (``"f32*"``, ``"i64"``). Out: the numba type.
``frontend.py`` and ``intrinsics.py`` share it; it imports numba.
"""

from __future__ import annotations

from numba.core import types

SCALARS = {
    "f32": types.float32,
    "f64": types.float64,
    "i8": types.int8,
    "i16": types.int16,
    "i32": types.int32,
    "i64": types.int64,
    "u8": types.uint8,
    "u16": types.uint16,
    "u32": types.uint32,
    "u64": types.uint64,
}


def argument(kind: str) -> types.Type:
    """numba's type of a parameter declared as ``kind``."""
    if kind.endswith("*"):
        return types.CPointer(SCALARS[kind[:-1]])
    return SCALARS[kind]
