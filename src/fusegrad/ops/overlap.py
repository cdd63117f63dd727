"""Views of a vector by any strides, whose elements may overlap.

A movement, because it is affine in the index: a kernel that uses it reads its operand in place, and
eagerly it shares memory with it. Its transpose adds what overlaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dtypes import int64
from ..errors import ShapeError
from ..ir.aval import Aval
from ..ir.primitive import Primitive
from .elementwise import add, mul
from .indexing import take_add, take_set
from .kinds import ANY
from .movement import Access, Shape
from .samples import cases
from .source import full, iota


def _positions(size: Shape, stride: Sequence[int], offset: int = 0) -> Any:
    """offset + sum of index times stride, as int64 of shape ``size``."""
    out = full(shape=size, dtype=int64, value=offset)
    for axis, step in enumerate(stride):
        out = add(out, mul(iota(shape=size, dtype=int64, axis=axis), step))
    return out


def apart(size: Shape, stride: Shape) -> bool:
    """Whether no two elements of a strided view share memory."""
    reach = 0  # of the axes with smaller strides
    for step, n in sorted(zip(stride, size, strict=True)):
        if n > 1 and step <= reach:
            return False
        reach += (n - 1) * step if n > 1 else 0
    return True


def _strided_aval(x: Aval, size: Shape, stride: Shape, offset: int) -> Aval:
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if x.ndim != 1 or (0 not in size and not 0 <= offset <= last < x.size):
        raise ShapeError(
            f"strides {list(stride)} for size {list(size)} from {offset} over {x}",
            "They must stay inside of the memory.",
        )
    return Aval(tuple(size), x.dtype)


def _strided_reference(x: np.ndarray, size: Shape, stride: Shape, offset: int) -> np.ndarray:
    if 0 in size:
        return np.lib.stride_tricks.as_strided(x[:0], size, [x.itemsize] * len(size))
    steps = [s * x.strides[0] for s in stride]
    return np.lib.stride_tricks.as_strided(x[offset:], size, steps)


def _strided_transpose(g: Any, x_aval: Aval, size: Shape, stride: Shape, offset: int) -> Any:
    return take_add(g, _positions(size, stride, offset), axis=0, extent=x_aval.shape[0])


def _strided_access(index: Any, params: dict[str, Any]) -> Access:
    place: Any = params["offset"]
    for i, step in zip(index, params["stride"], strict=True):
        place = i * step + place
    return Access((place,))


strided: Primitive = Primitive(
    name="strided",
    kind="movement",
    arg_names=("x",),
    aval_rule=_strided_aval,
    reference=_strided_reference,
    derivs=(_strided_transpose,),
    linearity="linear",
    index_map=lambda index, avals, out, params: [_strided_access(index, params)],
    samples=cases(
        ([(7,)], {"size": (2, 3), "stride": (1, 2), "offset": 1}),
        ([(6,)], {"size": (2, 2, 2), "stride": (2, 1, 1), "offset": 0}),
        ([(3,)], {"size": (4,), "stride": (0,), "offset": 2}),
        ([(3,)], {"size": (), "stride": (), "offset": 1}),
        ([(3,)], {"size": (0, 2), "stride": (1, 1), "offset": 0}),
    ),
    cost=0,
    dtypes=ANY,
    alias=True,
    doc="Elements of a vector at an offset plus strides.",
)


def strided_set(base: Any, new: Any, size: Shape, stride: Shape, offset: int) -> Any:
    """``base`` with the elements of a strided view, which must be apart, replaced by ``new``."""
    return take_set(base, _positions(size, stride, offset), new, axis=0)
