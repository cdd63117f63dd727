"""What the native tile functions compute, in NumPy: the oracle of ``tiles_native.py``.

In: flat arrays with element offsets, in place of pointers. Out: ``REFERENCE``, the same names and
argument lists as the native library, so that the text of a kernel runs unchanged under plain
CPython. The layout of packed panels is that of a 512-bit machine; only ``gemm_block`` reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

Flat = NDArray[Any]

ROWS = 8
VECTORS = 3


def matrix(
    flat: Flat, offset: int, row_stride: int, column_stride: int, rows: int, columns: int
) -> Flat:
    """The strided ``rows x columns`` matrix that starts at ``offset`` of a flat array."""
    strides = (row_stride * flat.itemsize, column_stride * flat.itemsize)
    return as_strided(flat[offset:], (rows, columns), strides)


def panels(columns: int, lanes: int) -> Iterator[tuple[int, int]]:
    """First column and padded width of each panel of a packed B, as ``sweep_panels`` cuts them."""
    start, left = 0, -(-columns // lanes)
    while left > 0:
        vectors = min(left, 2 if left == VECTORS + 1 else VECTORS)
        yield start, vectors * lanes
        start += vectors * lanes
        left -= vectors


def gemm_pack_b(
    b: Flat, b_off: int, rs: int, cs: int, k: int, n: int, dst: Flat, dst_off: int
) -> None:
    """Pack a k x n block into k-major panels; the panel of column j starts at ``j * k``."""
    source = matrix(b, b_off, rs, cs, k, n)
    for start, width in panels(n, 64 // b.itemsize):
        block = source[:, start : start + width]
        target = matrix(dst, dst_off + start * k, width, 1, k, width)
        target[:, : block.shape[1]] = block


def gemm_pack_a(
    a: Flat, a_off: int, rs: int, cs: int, m: int, k: int, dst: Flat, dst_off: int
) -> None:
    """Pack an m x k block into k-major panels of ``ROWS``; that of row i starts at ``i * k``."""
    source = matrix(a, a_off, rs, cs, m, k)
    for start in range(0, m, ROWS):
        block = source[start : start + ROWS]
        target = matrix(dst, dst_off + start * k, ROWS, 1, k, ROWS)
        target[:, : len(block)] = block.T


def gemm_block(
    a: Flat,
    a_off: int,
    a_rs: int,
    a_cs: int,
    a_packed: int,
    b: Flat,
    b_off: int,
    b_rs: int,
    b_packed: int,
    c: Flat,
    c_off: int,
    c_rs: int,
    m: int,
    n: int,
    k: int,
    accumulate: int,
) -> None:
    """C = A.B, or C += A.B when ``accumulate`` is not zero, for one m x n block."""
    left = np.zeros((m, k), a.dtype)
    right = np.zeros((k, n), b.dtype)
    if a_packed:
        for start in range(0, m, ROWS):
            rows = min(ROWS, m - start)
            left[start : start + rows] = matrix(a, a_off + start * k, 1, ROWS, rows, k)
    elif k > 0:
        left[:] = matrix(a, a_off, a_rs, a_cs, m, k)
    if b_packed:
        for start, width in panels(n, 64 // b.itemsize):
            columns = min(width, n - start)
            right[:, start : start + columns] = matrix(b, b_off + start * k, width, 1, k, columns)
    elif k > 0:
        right[:] = matrix(b, b_off, b_rs, 1, k, n)
    target = matrix(c, c_off, c_rs, 1, m, n)
    if accumulate:
        target += left @ right
    else:
        target[:] = left @ right


def gemm_dot(
    a: Flat,
    a_off: int,
    a_rs: int,
    b: Flat,
    b_off: int,
    b_cs: int,
    c: Flat,
    c_off: int,
    c_rs: int,
    m: int,
    n: int,
    k: int,
) -> None:
    """C = A.B where both are contiguous along k."""
    target = matrix(c, c_off, c_rs, 1, m, n)
    if k > 0:
        target[:] = matrix(a, a_off, a_rs, 1, m, k) @ matrix(b, b_off, 1, b_cs, k, n)
    else:
        target[:] = 0


REFERENCE: dict[str, Callable[..., None]] = {
    f"{function.__name__}_{dtype}": function
    for function in (gemm_pack_b, gemm_pack_a, gemm_block, gemm_dot)
    for dtype in ("f32", "f64")
}
