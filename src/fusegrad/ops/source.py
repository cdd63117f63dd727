"""Sources: values made from an index, and counter-based random bits.

``random_bits`` reads a generator's state ``u64[2]`` (seed, offset) and is a pure function of state
and position (Philox4x32-10: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), so
eager and compiled draws agree at any thread count and a mask can be recomputed instead of stored.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtypes import DType, uint64
from ..ir.aval import Aval
from ..ir.primitive import Primitive
from . import pairs
from .kinds import EVERY, REAL, keep_parts
from .samples import Drawn
from .special import philox

Shape = tuple[int, ...]


def _full_samples(rng: Any, dtype: DType, domain: Any) -> Drawn:
    return [((), {"shape": s, "dtype": dtype, "value": 1}) for s in ((2, 3), (), (0,))]


def _iota_samples(rng: Any, dtype: DType, domain: Any) -> Drawn:
    shapes = (((2, 3), 1), ((3, 2), 0), ((5,), 0), ((0, 2), 0))
    return [((), {"shape": s, "dtype": dtype, "axis": a}) for s, a in shapes]


def _bits_samples(rng: Any, dtype: DType, domain: Any) -> Drawn:
    state = np.array([7, 3], np.uint64)
    return [((state,), {"shape": s}) for s in ((5,), (2, 3), (), (0, 2))]


def _full_aval(shape: Shape, dtype: DType, value: Any) -> Aval:
    if isinstance(value, (complex, np.complexfloating)):
        keep_parts("full", value, dtype)
    return Aval(tuple(shape), dtype)


full: Primitive = Primitive(
    name="full",
    kind="source",
    arg_names=(),
    aval_rule=_full_aval,
    reference=lambda shape, dtype, value: np.full(shape, value, dtype.np),
    samples=_full_samples,
    scalar=lambda params, dtype: params["value"],
    cost=0,
    pair=pairs.full,
    dtypes=EVERY,
    doc="A constant array.",
)


def _iota_reference(shape: Shape, dtype: DType, axis: int) -> np.ndarray:
    ramp = np.arange(shape[axis]).astype(dtype.np)
    placed = ramp.reshape([-1 if k == axis else 1 for k in range(len(shape))])
    return np.array(np.broadcast_to(placed, shape))


iota: Primitive = Primitive(
    name="iota",
    kind="source",
    arg_names=(),
    aval_rule=lambda shape, dtype, axis: Aval(tuple(shape), dtype),
    reference=_iota_reference,
    samples=_iota_samples,
    cost=1,
    dtypes=REAL,
    doc="The index along one axis.",
)


def _bits_reference(state: np.ndarray, shape: Shape) -> np.ndarray:
    count = int(np.prod(shape, dtype=np.int64))
    position = np.arange(count, dtype=np.uint64)
    seed, offset = np.uint64(state[0]), np.uint64(state[1])
    return np.asarray(philox(seed, offset, position), np.uint64).reshape(shape)


def _bits_aval(state: Aval, shape: Shape) -> Aval:
    return Aval(tuple(shape), uint64)


random_bits: Primitive = Primitive(
    name="random_bits",
    kind="source",
    arg_names=("state",),
    aval_rule=_bits_aval,
    samples=_bits_samples,
    reference=_bits_reference,
    derivs=(None,),
    cost=25,
    dtypes=(uint64,),
    doc="64 random bits per element, a function of (seed, offset, position).",
)
