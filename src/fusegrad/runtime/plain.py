"""Kernel text run by CPython: the same names as ``intrinsics.py`` in plain Python and NumPy.

In: a :class:`KernelSource` and flat NumPy arrays. Out: the arrays changed in place, as the compiled
kernel would. Tests compare the two, and a kernel dumped to a file is debugged this way. No numba.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import vecmath
from ..codegen import tiles
from ..codegen.kernel import KernelSource

Flat = NDArray[Any]


def where(condition: Any, x: Any, y: Any) -> Any:
    """``x if condition else y``."""
    return x if condition else y


def _extremum(name: str) -> Any:
    floating = vecmath.reference(name)
    integer = {"maximum": max, "minimum": min}[name]

    def choose(x: Any, y: Any) -> Any:
        return floating(x, y) if isinstance(x, np.floating) else integer(x, y)

    return choose


def float_bits(x: Any) -> Any:
    """The bits of a float as an unsigned integer."""
    return x.view(np.uint32 if x.dtype == np.float32 else np.uint64)


def bits_float(x: Any) -> Any:
    """The float with the bits ``x``."""
    return x.view(np.float32 if x.dtype == np.uint32 else np.float64)


def half_to_float(bits: Any) -> np.float32:
    """``float32`` value of half-precision bits."""
    return np.float32(np.uint16(bits).view(np.float16))


def float_to_half(x: Any) -> np.uint16:
    """Half-precision bits nearest to ``x``."""
    return np.float16(x).view(np.uint16)


def bfloat_to_float(bits: Any) -> np.float32:
    """``float32`` value of bfloat16 bits."""
    return np.uint32(int(bits) << 16).view(np.float32)


def float_to_bfloat(x: Any) -> np.uint16:
    """bfloat16 bits nearest to ``x``; NaN stays NaN."""
    word = int(np.float32(x).view(np.uint32))
    if np.isnan(x):
        return np.uint16(word >> 16 | 64)
    return np.uint16(word + 32767 + (word >> 16 & 1) >> 16 & 0xFFFF)


def offset(pointer: Flat, count: int) -> Flat:
    """The array from element ``count`` on."""
    return pointer[count:]


def arrive(counter: Flat, threads: int) -> bool:
    """Count a thread in; True for the last, which resets the counter."""
    counter[0] += 1
    if counter[0] < threads:
        return False
    counter[0] = 0
    return True


def atomic_add(pointer: Flat, index: int, value: Any) -> None:
    """``pointer[index] += value``."""
    pointer[index] += value


def prefetch(pointer: Flat, index: int) -> None:
    """Nothing: a hint to the cache."""


def copy_nt(to: Flat, to_offset: int, source: Flat, source_offset: int, count: int) -> None:
    """Copy ``count`` elements."""
    to[to_offset : to_offset + count] = source[source_offset : source_offset + count]


def stream_fence() -> None:
    """Nothing: CPython's stores are ordered."""


@functools.cache
def plain_namespace() -> dict[str, Any]:
    """Globals for kernel text under CPython, the same names as when it is compiled."""
    names: dict[str, Any] = {name: vecmath.reference(name) for name in vecmath.FUNCTIONS}
    names |= tiles.REFERENCE | tiles.WINDOW_REFERENCE
    for kind in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"):
        names[kind] = getattr(np, kind)
    names |= {
        "math": math,
        "np": np,
        "float32": np.float32,
        "float64": np.float64,
        "bool_": np.bool_,
        "where": where,
        "maximum": _extremum("maximum"),
        "minimum": _extremum("minimum"),
        "accumulate": operator.add,
        "accumulate_product": operator.mul,
        "absolute": np.abs,
        "rint": np.rint,
    }
    bits = (float_bits, bits_float, half_to_float, float_to_half, bfloat_to_float, float_to_bfloat)
    memory = (offset, arrive, atomic_add, prefetch, copy_nt, stream_fence)
    return names | {helper.__name__: helper for helper in (*bits, *memory)}


def run_plain(
    source: KernelSource, args: Sequence[Flat | int], thread: int = 0, threads: int = 1
) -> None:
    """Run a kernel's text on NumPy arrays.

    Args:
        source: the kernel.
        args: one value per parameter: a C-contiguous array for a pointer, an int for ``i64``.
        thread: part of the index space to compute.
        threads: number of parts.
    """
    flat = [arg.reshape(-1) if isinstance(arg, np.ndarray) else arg for arg in args]
    scope = dict(plain_namespace())
    exec(compile(source.text, f"<fusegrad kernel {source.name}>", "exec"), scope)
    with np.errstate(all="ignore"):
        scope[source.name](*flat, thread, threads)
