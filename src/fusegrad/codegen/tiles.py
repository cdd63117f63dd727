"""Register-tiled matrix products: the native library and the text that drives it.

In: the vector width of the CPU. Out: ``library_module`` (LLVM IR of a few native functions that
the runtime compiles once per machine), their ``SIGNATURES``, their NumPy ``REFERENCE``, and
``contract_lines`` (the Python text of a kernel that calls it, with the fused epilogue inline).

Next: ``tiles_native.py`` (tiles), ``tiles_pack.py`` (packing), ``tiles_dot.py`` (dot products),
``tiles_drive.py`` (cache blocking, threads), ``tiles_text.py`` (kernel text).
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from .tiles_plan import workspace_bytes
from .tiles_reference import REFERENCE, WINDOW_REFERENCE
from .tiles_text import contract_lines, contract_params

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "REFERENCE",
    "SIGNATURES",
    "WINDOW_REFERENCE",
    "WINDOW_SIGNATURES",
    "contract_lines",
    "contract_params",
    "library_module",
    "window_module",
    "workspace_bytes",
]


def _signatures() -> dict[str, tuple[str, ...]]:
    """Argument types of every exported function; all return nothing."""
    table: dict[str, tuple[str, ...]] = {}
    for dtype in ("f32", "f64"):
        p, i = f"{dtype}*", "i64"
        table[f"gemm_pack_a_{dtype}"] = (p, i, i, i, i, i, p, i)
        table[f"gemm_pack_b_{dtype}"] = (p, i, i, i, i, i, p, i)
        table[f"gemm_block_{dtype}"] = (p, i, i, i, i, p, i, i, i, p, i, i, i, i, i, i)
        table[f"gemm_dot_{dtype}"] = (p, i, i, p, i, i, p, i, i, i, i, i)
        operands = (p, p, i, i, i, p, i, i, i, p, i, i)
        table[f"gemm_next_{dtype}"] = (*operands, *((i,) * 14))
    return table


def _window_signatures() -> dict[str, tuple[str, ...]]:
    """Argument types of the functions of convolutions, a library of their own."""
    table: dict[str, tuple[str, ...]] = {}
    for dtype in ("f32", "f64"):
        p, i, offsets = f"{dtype}*", "i64", "i32*"
        product = (p, i, i, p, i, p, i, i, i)
        table[f"window_sweep_{dtype}"] = (*product, offsets, offsets, offsets, i, i, i)
        turn = (p, i, i, i, p, i, i, i, i, i, i)
        table[f"window_turn_{dtype}"] = turn
        table[f"window_turn_add_{dtype}"] = (*turn, p, i)
        operands = (p, i, p, i, p, i, p, i, p)
        tables = (offsets, offsets, offsets, "i64*", "i64*", i, i, i)
        table[f"window_job_{dtype}"] = (*operands, *tables)
        table[f"window_job_add_{dtype}"] = (*operands, p, i, *tables)
        table[f"window_clear_{dtype}"] = (p, i, i)
    return table


SIGNATURES: dict[str, tuple[str, ...]] = _signatures()
WINDOW_SIGNATURES: dict[str, tuple[str, ...]] = _window_signatures()


def _registers(lanes_bits: int) -> int:
    """Number of vector registers of a machine with vectors of this width."""
    if lanes_bits not in (128, 256, 512):
        raise ValueError(f"vector width must be 128, 256 or 512 bits, got {lanes_bits}")
    many = lanes_bits == 512 or platform.machine().lower() in ("aarch64", "arm64")
    return 32 if many else 16


def library_module(lanes_bits: int, dtypes: Sequence[str] = ("f32", "f64")) -> str:
    """LLVM IR text of the native library for vectors of ``lanes_bits`` (128, 256 or 512).

    The text needs no optimization passes: code generation alone gives the full speed. A module
    for one of the ``dtypes`` costs half the time of both.

    >>> "define void @\\"gemm_block_f32\\"" in library_module(256)
    True
    """
    # llvmlite is needed at the first compile only.
    from llvmlite import ir

    from . import tiles_dot, tiles_drive, tiles_emit, tiles_native, tiles_pack

    module = ir.Module("fusegrad_tiles")
    for dtype in dtypes:
        shape = tiles_emit.tile_shape(dtype, lanes_bits, _registers(lanes_bits))
        tiles_native.build_block(module, shape)
        tiles_pack.build_pack(module, shape)
        tiles_dot.build_dot(module, shape)
        tiles_drive.build_next(module, shape)
    return str(module)


def window_module(lanes_bits: int, dtypes: Sequence[str] = ("f32", "f64")) -> str:
    """LLVM IR text of the functions that convolutions call, like ``library_module``.

    >>> "define void @\\"window_sweep_f32\\"" in window_module(256)
    True
    """
    from llvmlite import ir

    from . import tiles_emit, tiles_window

    module = ir.Module("fusegrad_windows")
    for dtype in dtypes:
        registers = _registers(lanes_bits)
        shape = tiles_emit.tile_shape(dtype, lanes_bits, registers)
        tiles_window.build_windows(module, shape, registers)
    return str(module)
