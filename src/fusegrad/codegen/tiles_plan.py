"""How a contraction is cut into blocks: the facts that native code, text and reference share.

In: sizes of a contraction. Out: block sizes, the words of a thread's state, and the bytes of
workspace that a kernel needs. The workspace holds the states of all threads, then for each thread
a packed block of B and one of A.
"""

from __future__ import annotations

from enum import IntEnum

# Cache blocks in elements: a packed B block of K x COLUMNS stays in the second-level cache while
# row blocks of A and C pass by. 96 rows are whole tiles of 8 and of 6 rows.
BLOCK_ROWS = 96
BLOCK_COLUMNS = {"f32": 512, "f64": 256}
BLOCK_K = 384
# Threads share C in these units; packed blocks are padded to these.
COLUMN_UNIT = 16
ROW_UNIT = 8
PACK_UNIT = 24
# An operand of at most this many elements stays in cache: strided reads beat a packed copy.
SMALL_MATRIX = 1 << 18
STATE_WORDS = 16


class Word(IntEnum):
    """Words of a thread's state, each as wide as an element; all but the status are counts."""

    STATUS = 0
    I_LO = 1
    I_HI = 2
    J_LO = 3
    J_HI = 4
    ITEM = 5
    NEXT_I = 6
    NEXT_J = 7
    NEXT_K = 8
    NEXT_ITEM = 9
    ROW_LO = 10
    ROW_HI = 11
    COL_LO = 12
    COL_HI = 13
    ITEM_HI = 14


def round_up(value: int, unit: int) -> int:
    """The smallest multiple of ``unit`` that is not below ``value``."""
    return -(-value // unit) * unit


def slice_elements(dtype: str, m: int, n: int, k: int) -> int:
    """Workspace elements of one thread: the packed B block, then the packed A block."""
    columns = round_up(min(n, BLOCK_COLUMNS[dtype]), COLUMN_UNIT)
    rows = round_up(min(m, BLOCK_ROWS), PACK_UNIT)
    return round_up(min(k, BLOCK_K) * (columns + rows), STATE_WORDS)


def workspace_bytes(dtype: str, m: int, n: int, k: int, threads: int) -> int:
    """Bytes that the ``workspace`` argument of a contraction kernel must have."""
    own = STATE_WORDS + slice_elements(dtype, m, n, k)
    return own * (4 if dtype == "f32" else 8) * threads
