"""Primitive records by kind: the whole vocabulary of the IR.

Importing this package fills ``ir.primitive.REGISTRY``. Rules are written in the primitives
themselves, so second derivatives and fusion of derivative code need nothing more.
"""

# First: its rules and the records that they belong to name each other.
from . import pairs  # isort: skip
from . import (
    advanced,
    compare,
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
    transcendental,
    whole,
    window,
)

__all__ = [
    "advanced",
    "compare",
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
    "pairs",
    "reduce",
    "sampling",
    "scan",
    "scatter",
    "sort",
    "source",
    "spectral",
    "transcendental",
    "whole",
    "window",
]
