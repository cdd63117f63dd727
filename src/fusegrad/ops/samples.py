"""Sample operands from which the property tests of a record draw.

A record's ``samples`` field is a function ``(rng, dtype, domain) -> [(operands, parameters)]``.
The builders here cover records whose parameters the kind alone does not tell: ``cases`` for shapes,
``indexed`` for operands that are indices. ``fusegrad.testing.samples`` has the defaults by kind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..dtypes import DType, stored

Shape = tuple[int, ...]
Drawn = list[tuple[tuple[Any, ...], dict[str, Any]]]
Samples = Callable[..., Drawn]  # (np.random.Generator, DType, domain); NumPy loads it late


def draw(
    rng: np.random.Generator, shape: Sequence[int], dtype: DType, domain: tuple[float, float]
) -> Any:
    """Random elements of ``dtype`` inside ``domain``; integers and booleans repeat values."""
    low, high = domain
    if dtype.category == 0:
        return np.asarray(rng.random(tuple(shape)) < 0.5)
    if dtype.category == 1:
        first = max(int(np.floor(low)), 0 if not dtype.is_signed else int(np.floor(low)))
        return np.asarray(rng.integers(first, int(high) + 1, tuple(shape)), dtype.np)
    drawn = rng.uniform(low, high, tuple(shape))
    if dtype.is_complex:
        drawn = drawn + 1j * rng.uniform(low, high, tuple(shape))
    return stored(drawn, dtype)


def cases(*rows: tuple[Sequence[Shape], dict[str, Any]]) -> Samples:
    """One sample per row ``(operand shapes, parameters)``."""

    def make(rng: np.random.Generator, dtype: DType, domain: tuple[float, float]) -> Drawn:
        return [
            (tuple(draw(rng, s, dtype, domain) for s in shapes), dict(params))
            for shapes, params in rows
        ]

    return make


def indexed(*rows: tuple[Sequence[Any], dict[str, Any]]) -> Samples:
    """Like ``cases``; an operand given as a nested list of integers is an index."""

    def make(rng: np.random.Generator, dtype: DType, domain: tuple[float, float]) -> Drawn:
        return [
            (
                tuple(
                    np.array(s, np.int64) if isinstance(s, list) else draw(rng, s, dtype, domain)
                    for s in operands
                ),
                dict(params),
            )
            for operands, params in rows
        ]

    return make
