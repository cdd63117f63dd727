"""Primitive records by kind: the whole vocabulary of the IR.

Importing this package fills ``ir.primitive.REGISTRY``. Rules are written in the primitives
themselves, so second derivatives and fusion of derivative code need nothing more.
"""

from . import (
    complex,
    contract,
    control,
    diagonals,
    elementwise,
    elimination,
    fourier,
    indexing,
    linalg,
    movement,
    reduce,
    scan,
    scatter,
    sort,
    source,
    spectral,
    window,
)

__all__ = [
    "complex", "contract", "control", "diagonals", "elementwise", "elimination", "fourier",
    "indexing", "linalg", "movement", "reduce", "scan", "scatter", "sort", "source", "spectral",
    "window",
]  # fmt: skip
