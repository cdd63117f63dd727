"""Native libraries that kernels call by symbol, loaded when the first kernel needs them.

In: a symbol name found in a kernel's object file. Out: the symbol, resolvable. There is one
library, the matrix tiles of ``codegen/tiles.py``, compiled for one element type at a time.
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


def provide(symbol: str) -> bool:
    """Load the library that defines ``symbol``; whether the process can resolve it now."""
    if symbol in tiles.SIGNATURES:
        _tiles_with(symbol)
        return True
    return machine.has_symbol(symbol)
