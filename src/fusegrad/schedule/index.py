"""Ix: an affine index over the axes of a loop nest, and the address arithmetic on it.

``Ix({0: 128, 1: 1}, 5)`` is ``128 * i0 + i1 + 5``. Keys are axis numbers or scalars that a kernel
computes (gathered indices, quotients). Movement primitives map tuples of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Ix:
    """An affine form; immutable and hashable by ``key``."""

    __slots__ = ("const", "terms")

    def __init__(self, terms: dict[Any, int] | None = None, const: int = 0) -> None:
        self.terms = {k: c for k, c in (terms or {}).items() if c}
        self.const = const

    @property
    def key(self) -> tuple[Any, ...]:
        """Hashable identity."""
        return (frozenset(self.terms.items()), self.const)

    def __add__(self, other: Ix | int) -> Ix:
        if isinstance(other, int):
            return Ix(self.terms, self.const + other)
        terms = dict(self.terms)
        for k, c in other.terms.items():
            terms[k] = terms.get(k, 0) + c
        return Ix(terms, self.const + other.const)

    __radd__ = __add__

    def __mul__(self, factor: int) -> Ix:
        return Ix({k: c * factor for k, c in self.terms.items()}, self.const * factor)

    __rmul__ = __mul__

    def __sub__(self, other: Ix | int) -> Ix:
        return self + (-other if isinstance(other, int) else other * -1)

    def __rsub__(self, other: int) -> Ix:
        return self * -1 + other

    def __floordiv__(self, divisor: int) -> Ix:
        if all(c % divisor == 0 for c in self.terms.values()):
            return Ix({k: c // divisor for k, c in self.terms.items()}, self.const // divisor)
        return Ix({Quotient(self, divisor): 1})

    def axes(self) -> set[int]:
        """Axis numbers it depends on, through quotients and gathered scalars too."""
        found: set[int] = set()
        for k in self.terms:
            if isinstance(k, int):
                found.add(k)
            elif isinstance(k, Quotient):
                found |= k.inner.axes()
        return found

    def __repr__(self) -> str:
        parts = [f"{c}*{k}" for k, c in self.terms.items()]
        return " + ".join([*parts, str(self.const)])


class Quotient:
    """``inner // divisor`` where the affine form does not divide."""

    __slots__ = ("divisor", "inner")

    def __init__(self, inner: Ix, divisor: int) -> None:
        self.inner = inner
        self.divisor = divisor

    def __hash__(self) -> int:
        return hash((self.inner.key, self.divisor))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Quotient)
            and other.divisor == self.divisor
            and other.inner.key == self.inner.key
        )


def as_ix(value: Any) -> Ix:
    """An ``Ix`` from an ``Ix`` or an integer."""
    return value if isinstance(value, Ix) else Ix(None, value)


def row_major(shape: Sequence[int]) -> tuple[int, ...]:
    """Element strides of a dense row-major array."""
    strides, step = [], 1
    for extent in reversed(shape):
        strides.append(step)
        step *= extent
    return tuple(reversed(strides))


def flat(index: Sequence[Any], strides: Sequence[int]) -> Ix:
    """Element offset of an index tuple."""
    total = Ix()
    for i, stride in zip(index, strides, strict=True):
        total = total + as_ix(i) * stride
    return total
