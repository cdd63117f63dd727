"""Records over the parts of numbers that run on the host: exponents, neighbours, divisors.

Primitives, because they read or step through the bits of a number, or loop until a remainder is
zero: no composition of kernels' operations does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtypes import ALL, bool_, int32
from ..ir.aval import Aval
from ..ir.primitive import Primitive
from .compare import eq, where
from .kinds import FLOAT, common_shape
from .samples import cases
from .source import full

INTEGERS = tuple(d for d in ALL if d.category == 1 and d is not bool_)
_SHAPES = ((5,), (3, 4), (), (0, 2))

exponent: Primitive = Primitive(
    name="exponent",
    kind="host",
    arg_names=("x",),
    aval_rule=lambda x: Aval(x.shape, int32),
    reference=lambda x: np.asarray(np.frexp(x)[1], np.int32),
    derivs=(None,),
    samples=cases(*[([s], {}) for s in _SHAPES]),
    dtypes=FLOAT,
    doc="The power of two e with x = m * 2^e and 1/2 <= |m| < 1.",
)


def _pair(name: str, function: Any, dtypes: Any, doc: str, derivs: Any = ()) -> Primitive:
    return Primitive(
        name=name,
        kind="host",
        arg_names=("x", "y"),
        aval_rule=lambda x, y: Aval(common_shape(name, (x, y)), x.dtype),
        reference=function,
        derivs=derivs,
        samples=cases(*[([s, s], {}) for s in _SHAPES]),
        dtypes=dtypes,
        doc=doc,
    )


nextafter: Primitive = _pair(
    "nextafter",
    np.nextafter,
    FLOAT,
    "The next number after x in the direction of y.",
    (  # PyTorch's choice: a step of x, where there is one
        lambda g, x, y: where(eq(x, y), 0.0, g),
        lambda g, y_aval: full(shape=y_aval.shape, dtype=y_aval.dtype, value=0),
    ),
)
gcd: Primitive = _pair("gcd", np.gcd, INTEGERS, "The greatest common divisor.")
lcm: Primitive = _pair("lcm", np.lcm, INTEGERS, "The least common multiple.")
