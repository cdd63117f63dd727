"""Counts drawn from discrete distributions, on the host.

A draw is a pure function of the parameters and of one word of random bits that keys a stream of
NumPy's Philox generator, so eager and compiled draws agree. Primitives, because rejection loops of
unknown length have no kernel; continuous distributions are compositions over ``random_bits``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtypes import DType, uint64
from ..errors import DTypeError
from ..ir.aval import Aval
from ..ir.primitive import Primitive
from .kinds import FLOAT, common_shape
from .samples import Drawn, draw


def _stream(key: Any) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=int(np.asarray(key).reshape(()))))


def _poisson(rate: np.ndarray, key: np.ndarray) -> np.ndarray:
    wide = np.asarray(rate, np.float64)
    good = (wide >= 0) & (wide < 1e18)
    drawn = _stream(key).poisson(np.where(good, wide, 0.0))
    return np.asarray(np.where(good, drawn, np.nan), rate.dtype)


def _binomial(count: np.ndarray, prob: np.ndarray, key: np.ndarray) -> np.ndarray:
    n, p = np.asarray(count, np.float64), np.asarray(prob, np.float64)
    good = (n >= 0) & (n < 2.0**62) & (p >= 0) & (p <= 1)
    whole = np.where(good, np.trunc(n), 0).astype(np.int64)
    drawn = _stream(key).binomial(whole, np.where(good, p, 0.0))
    return np.asarray(np.where(good, drawn, np.nan), count.dtype)


def _aval(name: str) -> Any:
    def rule(*avals: Aval) -> Aval:
        *operands, key = avals
        if key != Aval((), uint64) or any(a.dtype is not operands[0].dtype for a in operands):
            raise DTypeError(
                f"{name} of {', '.join(map(str, avals))}",
                "It takes operands of one floating dtype and one word of bits.",
            )
        return Aval(common_shape(name, operands), operands[0].dtype)

    return rule


def _record(name: str, reference: Any, names: tuple[str, ...], doc: str, limit: float) -> Primitive:
    def samples(rng: np.random.Generator, dtype: DType, domain: tuple[float, float]) -> Drawn:
        key = np.array(12345, np.uint64)
        parts = [(0.0, limit), (0.0, 1.0)][: len(names) - 1]
        return [
            ((*[draw(rng, shape, dtype, p) for p in parts], key), {})
            for shape in ((5,), (3, 4), (), (0, 2))
        ]

    return Primitive(
        name=name,
        kind="host",
        arg_names=names,
        aval_rule=_aval(name),
        reference=reference,
        samples=samples,
        cost=100,
        dtypes=FLOAT,
        doc=doc,
    )


poisson = _record(
    "poisson", _poisson, ("rate", "key"), "Counts of events that occur at a rate.", 20.0
)
binomial = _record(
    "binomial",
    _binomial,
    ("count", "prob", "key"),
    "Successes in a number of trials of one probability.",
    50.0,
)
