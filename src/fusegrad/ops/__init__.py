"""Primitive records by kind: the whole vocabulary of the IR.

Importing this package fills ``ir.primitive.REGISTRY``. Rules are written in the primitives
themselves, so second derivatives and fusion of derivative code need nothing more.
"""

from . import (
    advanced,
    contract,
    control,
    elementwise,
    indexing,
    movement,
    reduce,
    scan,
    sampling,
    scatter,
    sort,
    source,
    window,
)

__all__ = [
    "advanced", "contract", "control", "elementwise", "indexing", "movement", "reduce", "scan",
    "sampling", "scatter", "sort", "source", "window",
]  # fmt: skip
