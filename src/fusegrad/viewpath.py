"""Views: who shares memory with whom, which reshapes copy, and in-place changes as functions.

A tensor is a path of movements from the memory it lives in. In: paths, strides and values. Out: the
memory behind an array, the layout a traced tensor would have eagerly, and the base of a view after
an in-place change of the view. Next file: ``tensor.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes
from .errors import CaptureError
from .ir.primitive import Primitive, bind
from .ops import diagonals, indexing, movement, overlap
from .ops.compare import where
from .ops.complex import view_as_complex, view_as_real
from .ops.source import full
from .schedule.index import row_major

Path = tuple[tuple[Primitive, tuple[tuple[str, Any], ...]], ...]


def memory_root(array: np.ndarray) -> Any:
    """The array that owns the memory, through the holders that ``as_strided`` puts in between."""
    while array.base is not None:
        base: Any = array.base
        if not isinstance(base, np.ndarray):
            base = getattr(base, "base", None)
            if not isinstance(base, np.ndarray):
                break
        array = base
    return array


def layout_of(tensor: Any) -> np.ndarray:
    """An array with the strides that the tensor has eagerly; its elements mean nothing."""
    value = tensor._value
    if isinstance(value, np.ndarray):
        return value
    storage = tensor._storage
    array = storage.array if storage.array is not None else storage.layout
    if array is None:
        assert storage.cell is not None
        shape = storage.cell.value.aval.shape
        array = np.lib.stride_tricks.as_strided(_BYTE, shape, row_major(shape))
    for primitive, params in tensor._path:
        if primitive is movement.reshape:
            array = np.reshape(array, dict(params)["shape"], copy=False)
        else:
            array = primitive.reference(array, **dict(params))
    return array


_BYTE = np.zeros(1, np.int8)


def reshapes_in_place(source: Any, params: dict[str, Any]) -> bool:
    """Whether eager NumPy would reshape without a copy: then the result is a view."""
    try:
        np.reshape(layout_of(source), params["shape"], copy=False)
    except ValueError:
        return False
    return True


def overlaps(path: Path) -> bool:
    """Whether elements of the view at the end of ``path`` share memory with each other."""
    for primitive, items in path:
        params = dict(items)
        if primitive is diagonals.windows and params["size"] > params["step"]:
            return True
        if primitive is overlap.strided and not overlap.apart(params["size"], params["stride"]):
            return True
    return False


def update_view(base: Any, path: Path, new: Any) -> Any:
    """``base`` with the view at the end of ``path`` replaced by ``new``, functionally."""
    if not path:
        return new
    (primitive, items), rest = path[0], path[1:]
    params = dict(items)
    inner = update_view(bind(primitive, base, **params), rest, new) if rest else new
    shape = movement.aval_shape(base)
    if primitive is movement.reshape:
        return movement.reshape(inner, shape=tuple(shape))
    if primitive is movement.transpose:
        perm = tuple(int(i) for i in np.argsort(params["perm"]))
        return movement.transpose(inner, perm=perm)
    if primitive is diagonals.diagonal:
        inside = full(shape=tuple(movement.aval_shape(inner)), dtype=dtypes.bool_, value=True)
        mask = diagonals.on_diagonal(inside, tuple(shape), **params)
        return where(mask, diagonals.on_diagonal(inner, tuple(shape), **params), base)
    if primitive is diagonals.windows and not overlaps(path[:1]):
        count = movement.aval_shape(inner)[params["axis"]]
        places = diagonals.window_places(count, params["size"], params["step"])
        rows = diagonals.by_window(inner, params["axis"])
        return indexing.take_set(base, places, rows, axis=params["axis"])
    if primitive is movement.slice_:
        padding = _slice_padding(shape, movement.aval_shape(inner), params)
        inside = full(shape=tuple(movement.aval_shape(inner)), dtype=dtypes.bool_, value=True)
        mask = movement.pad(inside, value=False, **padding)
        return where(mask, movement.pad(inner, value=0, **padding), base)
    if primitive is overlap.strided and not overlaps(path[:1]):
        return overlap.strided_set(base, inner, **params)
    if primitive is view_as_real:
        return view_as_complex(inner)
    if primitive is view_as_complex:
        return view_as_real(inner)
    if 0 in movement.aval_shape(inner):
        return base
    raise CaptureError(
        f"an in-place change through a {primitive.name} view",
        "Elements of this view share memory, so the change has no functional form.",
        "call .clone() before changing it",
    )


def _slice_padding(shape: Any, extents: Any, params: dict[str, Any]) -> dict[str, Any]:
    high = tuple(
        n - a - ((e - 1) * s + 1 if e else 0)
        for n, a, s, e in zip(shape, params["start"], params["step"], extents, strict=True)
    )
    interior = tuple(s - 1 for s in params["step"])
    return {"low": params["start"], "high": high, "interior": interior}
