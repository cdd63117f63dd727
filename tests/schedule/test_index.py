"""Affine indices: arithmetic, divisions, and views of memory by movements."""

from __future__ import annotations

import numpy as np
import pytest

from fusegrad.dtypes import float32
from fusegrad.ir.aval import aval_of
from fusegrad.ir.primitive import REGISTRY, bind
from fusegrad.schedule.index import Ix, Quotient, as_ix, flat, row_major
from fusegrad.testing import Sample, samples


def value(ix: Ix, point: tuple[int, ...]) -> int:
    """The number that an index is at a point of the loops."""
    total = ix.const
    for key, coefficient in ix.terms.items():
        inner = value(key.inner, point) // key.divisor if isinstance(key, Quotient) else point[key]
        total += coefficient * inner
    return total


def test_arithmetic() -> None:
    i, j = Ix({0: 1}), Ix({1: 1})
    ix = (i * 4 + j - 3) * 2 + 1
    assert value(ix, (5, 2)) == (5 * 4 + 2 - 3) * 2 + 1
    assert value(7 - i, (5,)) == 2
    assert (i - i).key == Ix().key
    assert ix.axes() == {0, 1}


@pytest.mark.parametrize("point", [(0,), (3,), (7,), (10,)])
def test_division_is_exact_or_a_quotient(point: tuple[int]) -> None:
    i = Ix({0: 1})
    assert value((i * 6 + 4) // 2, point) == (point[0] * 6 + 4) // 2
    assert value((i + 1) // 3, point) == (point[0] + 1) // 3
    assert ((i + 1) // 3).key == ((i + 1) // 3).key


def test_row_major_strides() -> None:
    assert row_major((2, 3, 4)) == (12, 4, 1)
    assert row_major(()) == ()
    assert value(flat([Ix({0: 1}), 2], (10, 3)), (4,)) == 46


MOVEMENTS = [p for p in REGISTRY.values() if p.kind == "movement"]


@pytest.mark.parametrize("primitive", MOVEMENTS, ids=str)
def test_index_maps_are_the_references(primitive: object) -> None:
    """Every element of a movement's result is where its index map says, or guarded away."""
    dtype = float32 if float32 in primitive.dtypes else primitive.dtypes[0]  # type: ignore[attr-defined]
    for sample in samples(primitive, dtype):  # type: ignore[arg-type]
        check_map(primitive, sample)


def check_map(primitive: object, sample: Sample) -> None:
    out = bind(primitive, *sample.args, **sample.params)  # type: ignore[arg-type]
    if out.dtype != sample.args[0].dtype:
        return  # parts of complex numbers: no kernel sees these, tests/passes/test_complex.py
    index = tuple(Ix({k: 1}) for k in range(out.ndim))
    avals = [aval_of(a) for a in sample.args]
    accesses = primitive.index_map(index, avals, aval_of(out), sample.params)  # type: ignore[attr-defined]
    if accesses is None:
        return  # a merge of axes, an alias of memory
    for point in np.ndindex(*out.shape):
        found = sample.params.get("value", 0)
        for operand, access in zip(sample.args, accesses, strict=True):
            inside = all(
                0 <= value(as_ix(g.index), point) < g.extent
                and value(as_ix(g.index), point) % g.step == 0
                for g in access.guards
            )
            if inside:
                found = operand[tuple(value(as_ix(i), point) for i in access.index)]
        assert found == out[point], (primitive, sample.params, point)
