"""Primitive records by kind: the whole vocabulary of the IR.

Importing this package fills ``ir.primitive.REGISTRY``. Rules are written in the primitives
themselves, so second derivatives and fusion of derivative code need nothing more.
"""

from . import (
    advanced,
    complex,
    contract,
    control,
    diagonals,
    eigen,
    elementwise,
    elimination,
    fourier,
    indexing,
    linalg,
    movement,
    overlap,
    reduce,
    sampling,
    scan,
    scatter,
    sort,
    source,
    spectral,
    whole,
    window,
)

__all__ = [
    "advanced",
    "complex",
    "contract",
    "control",
    "diagonals",
    "eigen",
    "elementwise",
    "elimination",
    "fourier",
    "indexing",
    "linalg",
    "movement",
    "overlap",
    "reduce",
    "sampling",
    "scan",
    "scatter",
    "sort",
    "source",
    "spectral",
    "whole",
    "window",
]
