"""Sorting: the order of the elements along one axis.

Only positions are computed here; sorted values are gathered by them, so their gradients are those
of a gather. A primitive because no composition sorts.
"""

from __future__ import annotations

import numpy as np

from ..dtypes import int64
from ..ir.aval import Aval
from ..ir.primitive import Primitive
from .kinds import ANY, ordered
from .samples import cases


def _argsort_reference(x: np.ndarray, axis: int, descending: bool) -> np.ndarray:
    if not descending:
        return np.argsort(x, axis, kind="stable").astype(np.int64)
    back = np.flip(x, axis)  # nan first, equal elements in their order
    order = np.flip(np.argsort(back, axis, kind="stable"), axis)
    return (x.shape[axis] - 1 - order).astype(np.int64)


argsort: Primitive = Primitive(
    name="argsort",
    kind="sort",
    arg_names=("x",),
    aval_rule=lambda x, axis, descending: Aval(ordered("sort", x).shape, int64),
    reference=_argsort_reference,
    derivs=(None,),
    scalar=lambda operands, out, params: (
        "({0} > {1}) | (({0} != {0}) & ({1} == {1}))"
        if params["descending"]
        else "({0} < {1}) | (({0} == {0}) & ({1} != {1}))"
    ),
    cost=8,
    dtypes=ANY,
    samples=cases(
        ([(5,)], {"axis": 0, "descending": False}),
        ([(40, 3)], {"axis": 0, "descending": True}),
        ([(2, 3, 70)], {"axis": 2, "descending": False}),
        ([(3, 150)], {"axis": 1, "descending": True}),
        ([(1, 4)], {"axis": 0, "descending": False}),
        ([(0, 2)], {"axis": 0, "descending": False}),
        ([(2, 0)], {"axis": 0, "descending": True}),
    ),
    doc="Stable order of the elements along an axis; nan counts as larger than all others.",
)
