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

from .tiles_plan import (
    BLOCK_COLUMNS,
    BLOCK_ROWS,
    COLUMN_UNIT,
    ROW_UNIT,
    STATE_WORDS,
    Word,
)

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


def thread_blocks(
    dtype: str, m: int, n: int, items: int, thread: int, threads: int
) -> list[tuple[int, int, int, int, int]]:
    """The blocks ``(i_lo, i_hi, j_lo, j_hi, item)`` of C that one thread computes, in order."""

    def share(size: int, unit: int) -> tuple[int, int]:
        units = -(-size // unit)
        low, high = (units * part // threads * unit for part in (thread, thread + 1))
        return min(low, size), min(high, size)

    item_range, row_range, column_range = (0, items), (0, m), (0, n)
    if threads > 1:
        if items % threads == 0 or items >= 4 * threads:
            item_range = share(items, 1)
        elif n >= m:
            column_range = share(n, COLUMN_UNIT)
        else:
            row_range = share(m, ROW_UNIT)
    return [
        (
            i,
            min(i + BLOCK_ROWS, row_range[1]),
            j,
            min(j + BLOCK_COLUMNS[dtype], column_range[1]),
            item,
        )
        for item in range(*item_range)
        for j in range(*column_range, BLOCK_COLUMNS[dtype])
        for i in range(*row_range, BLOCK_ROWS)
    ]


def gemm_next(
    workspace: Flat,
    a: Flat,
    a_off: int,
    a_rs: int,
    a_cs: int,
    b: Flat,
    b_off: int,
    b_rs: int,
    b_cs: int,
    c: Flat,
    c_off: int,
    c_rs: int,
    m: int,
    n: int,
    k: int,
    batch0: int,
    a_bs0: int,
    b_bs0: int,
    c_bs0: int,
    batch1: int,
    a_bs1: int,
    b_bs1: int,
    c_bs1: int,
    thread: int,
    threads: int,
    stops: int,
) -> None:
    """Compute the next block of C of this thread and leave its bounds in its state.

    The first word of the state is 0 before the first call, 1 after a block, -1 after the last.
    Without ``stops`` all blocks are computed at once.
    """
    state = workspace[thread * STATE_WORDS : (thread + 1) * STATE_WORDS]
    words = state.view(np.uint32 if state.itemsize == 4 else np.uint64)
    done = 0 if state[Word.STATUS] == 0 else int(words[Word.NEXT_I])
    dtype = f"f{8 * state.itemsize}"
    for block in thread_blocks(dtype, m, n, batch0 * batch1, thread, threads)[done:]:
        i_lo, i_hi, j_lo, j_hi, item = block
        outer, inner = divmod(item, batch1)
        target = c_off + outer * c_bs0 + inner * c_bs1
        found = matrix(c, target + i_lo * c_rs + j_lo, c_rs, 1, i_hi - i_lo, j_hi - j_lo)
        found[:] = 0
        if k > 0:
            left = a_off + outer * a_bs0 + inner * a_bs1 + i_lo * a_rs
            right = b_off + outer * b_bs0 + inner * b_bs1 + j_lo * b_cs
            found += matrix(a, left, a_rs, a_cs, i_hi - i_lo, k) @ matrix(
                b, right, b_rs, b_cs, k, j_hi - j_lo
            )
        done += 1
        if stops:
            words[Word.I_LO : Word.ITEM + 1] = block
            words[Word.NEXT_I] = done
            state[Word.STATUS] = 1
            return
    state[Word.STATUS] = -1


def window_sweep(
    a: Flat,
    a_off: int,
    a_rs: int,
    b: Flat,
    b_off: int,
    c: Flat,
    c_off: int,
    c_rs: int,
    m: int,
    ks: Flat,
    vs: Flat,
    segments: Flat,
    first: int,
    last: int,
    accumulate: int,
) -> None:
    """C = A.B for vectors of 64 bytes, where tables of byte offsets say where elements lie."""
    size = a.itemsize
    lanes = np.arange(64 // size)
    k_pairs, v_pairs = ks.reshape(-1, 2) // size, vs.reshape(-1, 2) // size
    rows = np.arange(m)[:, None]
    for k_lo, k, v_lo, v in segments.reshape(-1, 4)[first:last]:
        taken, vectors = k_pairs[k_lo : k_lo + k], v_pairs[v_lo : v_lo + v]
        left = a[a_off + rows * a_rs + taken[:, 0]]
        where = taken[:, 1, None, None] + vectors[:, 0, None] + lanes
        product = np.tensordot(left, b[b_off + where], 1)
        target = c_off + rows[:, :, None] * c_rs + vectors[:, 1, None] + lanes
        c[target] = product + c[target] if accumulate else product


def window_turn(
    src: Flat,
    src_off: int,
    src_rs: int,
    src_step: int,
    dst: Flat,
    dst_off: int,
    dst_rs: int,
    dst_step: int,
    rows: int,
    columns: int,
    times: int,
) -> None:
    """``dst[column, row] = src[row, column]``, several times at equal steps."""
    if rows <= 0 or columns <= 0:
        return
    for t in range(times):
        source = matrix(src, src_off + t * src_step, src_rs, 1, rows, columns)
        matrix(dst, dst_off + t * dst_step, dst_rs, 1, columns, rows)[:] = source.T


def window_turn_add(
    src: Flat,
    src_off: int,
    src_rs: int,
    src_step: int,
    dst: Flat,
    dst_off: int,
    dst_rs: int,
    dst_step: int,
    rows: int,
    columns: int,
    times: int,
    bias: Flat,
    bias_off: int,
) -> None:
    """``window_turn``, with one number added each time."""
    if rows <= 0 or columns <= 0:
        return
    for t in range(times):
        source = matrix(src, src_off + t * src_step, src_rs, 1, rows, columns)
        target = matrix(dst, dst_off + t * dst_step, dst_rs, 1, columns, rows)
        target[:] = source.T + bias[bias_off + t]


def window_clear(pointer: Flat, offset: int, count: int) -> None:
    """``count`` zeros."""
    pointer[offset : offset + count] = 0


def window_job(
    a: Flat,
    a_off: int,
    w: Flat,
    w_off: int,
    image: Flat,
    image_off: int,
    result: Flat,
    result_off: int,
    c: Flat,
    ks: Flat,
    vs: Flat,
    segments: Flat,
    turns: Flat,
    jobs: Flat,
    job: int,
    w_rs: int,
    result_rs: int,
    bias: Flat | None = None,
    bias_off: int = 0,
) -> None:
    """Turns into ``image``, a product into ``result``, turns out of it into ``c``."""
    words = jobs.reshape(-1, 16)[job].tolist()
    in_lo, in_hi, w_at, rows, seg_lo, seg_hi, at, more, out_lo, out_hi, channel = words[:11]
    table: Any = [tuple(row) for row in turns.reshape(-1, 9).tolist()]
    for turn in table[in_lo:in_hi]:
        source, target = (a, a_off + turn[0], *turn[1:3]), (image, image_off + turn[3], *turn[4:])
        window_turn(*source, *target)
    at += result_off
    operands = (w, w_off + w_at, w_rs, image, image_off, result, at, result_rs, rows)
    window_sweep(*operands, ks, vs, segments, seg_lo, seg_hi, more)
    extra: Any = (bias, bias_off + channel)
    for turn in table[out_lo:out_hi]:
        place: Any = (result, at + turn[0], *turn[1:3], c, *turn[3:])
        if bias is None:
            window_turn(*place)
        else:
            window_turn_add(*(place + extra))
    count, first, step, width = words[11:15]
    for k in range(count):
        window_clear(result, result_off + first + k * step, width)


def window_job_add(*arguments: Any) -> None:
    """``window_job`` with one number per channel added."""
    operands, bias, tables = arguments[:9], arguments[9:11], arguments[11:]
    window_job(*operands, *tables, *bias)


REFERENCE: dict[str, Callable[..., None]] = {
    f"{function.__name__}_{dtype}": function
    for function in (gemm_pack_b, gemm_pack_a, gemm_block, gemm_dot, gemm_next)
    for dtype in ("f32", "f64")
}
WINDOW_REFERENCE: dict[str, Callable[..., None]] = {
    f"{function.__name__}_{dtype}": function
    for function in (
        *(window_sweep, window_turn, window_turn_add),
        *(window_clear, window_job, window_job_add),
    )
    for dtype in ("f32", "f64")
}
