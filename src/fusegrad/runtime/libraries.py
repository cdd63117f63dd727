"""Native libraries that kernels call by symbol, loaded when the first kernel needs them.

In: a symbol name found in a kernel's object file. Out: the symbol, resolvable. There are two
libraries, the matrix tiles of ``codegen/tiles.py`` and what convolutions call, each compiled for
one element type at a time.
``compile.py`` asks before it loads a kernel.
"""

from __future__ import annotations

from typing import Any

from ..codegen import tiles
from . import compile as compiler
from . import machine


def _tiles_with(symbol: str) -> None:
    """Load the tile functions of the element type that ``symbol`` ends in."""
    bits = machine.host().vector_bits
    dtype = symbol.rpartition("_")[2]
    symbols = [name for name in tiles.SIGNATURES if name.endswith(dtype)]

    def build() -> Any:
        return machine.parse(tiles.library_module(bits, (dtype,)))

    # The tiles are written as the machine executes them; LLVM's passes would only cost time.
    compiler.load_library(f"tiles{bits}.{dtype}", build, symbols, optimise=False)


def _windows_with(symbol: str) -> None:
    """Load the functions of convolutions for the element type that ``symbol`` ends in."""
    bits = machine.host().vector_bits
    dtype = symbol.rpartition("_")[2]
    symbols = [name for name in tiles.WINDOW_SIGNATURES if name.endswith(dtype)]

    def build() -> Any:
        return machine.parse(tiles.window_module(bits, (dtype,)))

    compiler.load_library(f"windows{bits}.{dtype}", build, symbols, optimise=False)


def provide(symbol: str) -> bool:
    """Load the library that defines ``symbol``; whether the process can resolve it now."""
    if symbol in tiles.WINDOW_SIGNATURES:
        _windows_with(symbol)
        return True
    if symbol in tiles.SIGNATURES:
        _tiles_with(symbol)
        return True
    return machine.has_symbol(symbol)
