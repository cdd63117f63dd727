"""Writes the macro loops of a contraction as Python text.

In: element type, number of batch axes, epilogue lines. Out: the body lines of a kernel function
that blocks C over columns, k and rows for the caches, splits the work between threads, calls the
native tiles of ``tiles_native.py``, and runs the epilogue on each block of C while it is hot. All
sizes and strides are run-time values, so one text serves every shape.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

# Cache blocks in elements: a packed B block of K x COLUMNS stays in the second-level cache while
# row blocks of A and C pass by.
BLOCK_ROWS = 96
BLOCK_COLUMNS = {"f32": 512, "f64": 256}
BLOCK_K = 384
COLUMN_UNIT = 16
ROW_UNIT = 24


def round_up(value: int, unit: int) -> int:
    """The smallest multiple of ``unit`` that is not below ``value``."""
    return -(-value // unit) * unit


def slice_elements(dtype: str, m: int, n: int, k: int) -> int:
    """Workspace elements of one thread: the packed B block, then the packed A block."""
    columns = round_up(min(n, BLOCK_COLUMNS[dtype]), COLUMN_UNIT)
    rows = round_up(min(m, BLOCK_ROWS), ROW_UNIT)
    return min(k, BLOCK_K) * (columns + rows)


def workspace_bytes(dtype: str, m: int, n: int, k: int, threads: int) -> int:
    """Bytes that the ``workspace`` argument of a contraction kernel must have."""
    return slice_elements(dtype, m, n, k) * (4 if dtype == "f32" else 8) * threads


SETUP = """
# Workspace of this thread: a packed block of b, then one of a.
depth = min(K, {block_k})
b_width = (min(N, {block_n}) + 15) // 16 * 16
b_pack = thread * depth * (b_width + (min(M, {block_m}) + 23) // 24 * 24)
a_pack = b_pack + depth * b_width
# Dot products along k, unpacked operands, or packed ones: whichever moves less.
dot = 1 if a_cs == 1 and b_rs == 1 and (16 * M <= K and M <= 32 or N <= 12 and K >= 256) else 0
pack_a = 0 if dot or a_cs == 1 or N <= 96 or a_rs == 1 and M * K <= 262144 else 1
pack_b = 0 if dot or b_cs == 1 and (M <= 96 or N * K <= 262144) else 1
step_k = max(K, 1) if dot else {block_k}
left = workspace if pack_a else a
right = workspace if pack_b else b
item_lo, item_hi = 0, {items}
row_lo, row_hi = 0, M
col_lo, col_hi = 0, N
"""

SPLIT = """
# Each thread owns some batch items, else some columns or rows of C.
if threads > 1:
    if {items} % threads == 0 or {items} >= 4 * threads:
        item_lo = {items} * thread // threads
        item_hi = {items} * (thread + 1) // threads
    elif N >= M:
        col_lo = min(N, (N + 15) // 16 * thread // threads * 16)
        col_hi = min(N, (N + 15) // 16 * (thread + 1) // threads * 16)
    else:
        row_lo = min(M, (M + 7) // 8 * thread // threads * 8)
        row_hi = min(M, (M + 7) // 8 * (thread + 1) // threads * 8)
"""

LOOPS = """
for item in range(item_lo, item_hi):
{bases}
    for j_lo in range(col_lo, col_hi, {block_n}):
        j_hi = min(j_lo + {block_n}, col_hi)
        for k_lo in range(0, max(K, 1), step_k):
            k_hi = min(k_lo + step_k, K)
            b_at = b_base + k_lo * b_rs + j_lo * b_cs
            if pack_b:
                gemm_pack_b_{dtype}(
                    b, b_at, b_rs, b_cs, k_hi - k_lo, j_hi - j_lo, workspace, b_pack
                )
                b_at = b_pack
            for i_lo in range(row_lo, row_hi, {block_m}):
                i_hi = min(i_lo + {block_m}, row_hi)
                a_at = a_base + i_lo * a_rs + k_lo * a_cs
                c_at = c_base + i_lo * c_rs + j_lo
                if pack_a:
                    gemm_pack_a_{dtype}(
                        a, a_at, a_rs, a_cs, i_hi - i_lo, k_hi - k_lo, workspace, a_pack
                    )
                    a_at = a_pack
                if dot:
                    gemm_dot_{dtype}(
                        a, a_at, a_rs, b, b_at, b_cs, c, c_at, c_rs, i_hi - i_lo, j_hi - j_lo, K
                    )
                else:
                    gemm_block_{dtype}(
                        left, a_at, a_rs, a_cs, pack_a, right, b_at, b_rs, pack_b, c, c_at, c_rs,
                        i_hi - i_lo, j_hi - j_lo, k_hi - k_lo, k_lo,
                    )
"""


def base_lines(batch_axes: int) -> list[str]:
    """Offsets of one batch item: ``item`` counts row-major over ``batch0 .. batchN``."""
    if batch_axes == 0:
        return ["a_base = b_base = c_base = 0"]
    lines = ["rest = item"] if batch_axes > 1 else []
    index = ["item"] * batch_axes
    for axis in reversed(range(batch_axes)):
        if axis == 0:
            index[axis] = "item" if batch_axes == 1 else "rest"
        else:
            index[axis] = f"item{axis}"
            lines += [f"item{axis} = rest % batch{axis}", f"rest = rest // batch{axis}"]
    for name in "abc":
        terms = " + ".join(f"{index[axis]} * {name}_bs{axis}" for axis in range(batch_axes))
        lines.append(f"{name}_base = {terms}")
    return lines


def contract_params(dtype: str, batch_axes: int = 0) -> tuple[tuple[str, str], ...]:
    """Parameters that the text of ``contract_lines`` uses, as ``KernelSource.params`` has them."""
    pointers = [(name, f"{dtype}*") for name in ("a", "b", "c", "workspace")]
    scalars = ["M", "N", "K", "a_rs", "a_cs", "b_rs", "b_cs", "c_rs"]
    for axis in range(batch_axes):
        scalars += [f"batch{axis}", f"a_bs{axis}", f"b_bs{axis}", f"c_bs{axis}"]
    return (*pointers, *((name, "i64") for name in scalars))


def contract_lines(
    dtype: str,
    *,
    batch_axes: int = 0,
    epilogue: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
) -> list[str]:
    """Body lines of a kernel that computes ``c = a.b``, unindented.

    Args:
        dtype: ``"f32"`` or ``"f64"``: element type of a, b, c and workspace.
        batch_axes: number of leading batch axes, each with an extent and three strides.
        epilogue: lines to run once for each finished block of c. They may use ``i_lo, i_hi,
            j_lo, j_hi`` (its bounds), ``item`` (batch item) and ``c_base`` (offset of the item):
            the block is ``c[c_base + i * c_rs + j]``.
        names: renames the parameters of ``contract_params`` in the text.
    """
    items = " * ".join(f"batch{axis}" for axis in range(batch_axes)) or "1"
    values = {
        "dtype": dtype,
        "items": items if batch_axes < 2 else f"({items})",
        "block_m": BLOCK_ROWS,
        "block_n": BLOCK_COLUMNS[dtype],
        "block_k": BLOCK_K,
        "bases": "\n".join("    " + line for line in base_lines(batch_axes)),
    }
    text = "".join(part.format(**values).removeprefix("\n") for part in (SETUP, SPLIT, LOOPS))
    for old, new in (names or {}).items():
        text = re.sub(rf"\b{old}\b", new, text)
    lines = text.splitlines()
    if epilogue:
        lines.append(" " * 16 + "if k_hi == K:")
        lines += [" " * 20 + line for line in epilogue]
    return lines
