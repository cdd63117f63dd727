"""Records of complex numbers: their memory as pairs of real numbers, conjugates, absolute values.

A complex array and the real array of its parts, with a last axis of 2, are one piece of memory, so
parts are slices of ``view_as_real`` and every function of parts is a composition. Derivatives by
a complex variable follow PyTorch's convention: the gradient of a real L by z is dL/d(re z) +
i dL/d(im z) (Kreutz-Delgado 2009, "The complex gradient operator and the CR-calculus").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dtypes import COMPLEX, DType, complex_dtype, real_dtype
from ..errors import DTypeError, ShapeError
from ..ir.aval import Aval
from ..ir.primitive import REGISTRY, Primitive
from . import pairs
from .compare import convert, eq, where
from .elementwise import div, mul
from .movement import Access
from .samples import Drawn, draw


def _needs_complex(name: str, x: Aval) -> None:
    if not x.dtype.is_complex:
        raise DTypeError(
            f"{name} of {x}", f"{name} is only supported for complex tensors.", "fg.complex(x, y)"
        )


# --- one memory, two readings ---------------------------------------------------------------------
def _as_real_aval(x: Aval) -> Aval:
    _needs_complex("view_as_real", x)
    return Aval((*x.shape, 2), real_dtype(x.dtype))


def _as_real(x: np.ndarray) -> np.ndarray:
    """The parts along a new last axis, in the memory of ``x``.

    An array of single bytes describes a layout with strides in elements, and is mapped likewise.
    """
    if x.dtype.itemsize == 1:
        steps = (*[2 * s for s in x.strides], 1)
        return np.lib.stride_tricks.as_strided(x, (*x.shape, 2), steps)
    part = x.real
    return np.lib.stride_tricks.as_strided(part, (*x.shape, 2), (*x.strides, part.dtype.itemsize))


def _as_complex_aval(x: Aval) -> Aval:
    if x.dtype.category != 2 or x.dtype.itemsize < 4:
        raise DTypeError(
            f"view_as_complex of {x}",
            "view_as_complex is only supported for float32 and float64 tensors.",
            "x.float()",
        )
    if not x.shape or x.shape[-1] != 2:
        raise ShapeError(
            f"view_as_complex of {x}",
            "Tensor must have a last dimension of size 2: the real and the imaginary part.",
            "fg.complex(real, imag)",
        )
    return Aval(x.shape[:-1], complex_dtype(x.dtype))


def views_as_complex(x: np.ndarray) -> bool:
    """Whether pairs along the last axis lie in memory as complex numbers do."""
    unit = x.itemsize
    return x.size == 0 or (
        x.strides[-1] == unit and not any(s % (2 * unit) for s in x.strides[:-1])
    )


def _as_complex(x: np.ndarray) -> np.ndarray:
    """The complex numbers whose parts lie along the last axis; a view where memory allows."""
    if x.dtype.itemsize == 1:
        return np.lib.stride_tricks.as_strided(x, x.shape[:-1], [s // 2 for s in x.strides[:-1]])
    dtype = np.result_type(x.dtype, np.complex64)
    if not views_as_complex(x):
        x = np.ascontiguousarray(x)
    if x.size == 0:
        return np.zeros(x.shape[:-1], dtype)
    return (
        np.reshape(x.view(dtype), x.shape[:-1], copy=False)
        if x.ndim == 1
        else x.view(dtype)[..., 0]
    )


def _real_samples(rng: np.random.Generator, dtype: DType, domain: tuple[float, float]) -> Drawn:
    return [((draw(rng, s, dtype, domain),), {}) for s in ((), (3,), (2, 3), (0, 2))]


def _pair_samples(rng: np.random.Generator, dtype: DType, domain: tuple[float, float]) -> Drawn:
    return [((draw(rng, s, dtype, domain),), {}) for s in ((2,), (3, 2), (2, 3, 2), (0, 2))]


view_as_real: Primitive = Primitive(
    name="view_as_real",
    kind="movement",
    arg_names=("x",),
    aval_rule=_as_real_aval,
    reference=_as_real,
    derivs=(lambda g: view_as_complex(g),),
    linearity="linear",
    index_map=lambda index, avals, out, params: [Access(index[:-1])],
    cost=0,
    dtypes=COMPLEX,
    alias=True,
    samples=_real_samples,
    doc="Real and imaginary parts along a new last axis of 2, in the same memory.",
)
view_as_complex: Primitive = Primitive(
    name="view_as_complex",
    kind="movement",
    arg_names=("x",),
    aval_rule=_as_complex_aval,
    reference=_as_complex,
    derivs=(lambda g: view_as_real(g),),
    linearity="linear",
    index_map=lambda index, avals, out, params: [Access((*index, 0))],
    cost=0,
    dtypes=tuple(real_dtype(d) for d in COMPLEX),
    alias=True,
    samples=_pair_samples,
    doc="Complex numbers from real and imaginary parts along the last axis, in the same memory.",
)


# --- what has no composition on parts -------------------------------------------------------------
def _complex_avals(avals: Sequence[Aval], parts: Sequence[bool]) -> list[Aval]:
    return [_as_complex_aval(a) if p else a for a, p in zip(avals, parts, strict=True)]


def _on_parts_aval(*avals: Aval, record: str, parts: tuple[bool, ...], **params: Any) -> Aval:
    out = REGISTRY[record].aval_rule(*_complex_avals(avals, parts), **params)
    return _as_real_aval(out) if out.dtype.is_complex else out


def _on_parts_reference(
    *arrays: Any, record: str, parts: tuple[bool, ...], **params: Any
) -> np.ndarray:
    operands = [_as_complex(x) if p else x for x, p in zip(arrays, parts, strict=True)]
    out = np.asarray(REGISTRY[record].reference(*operands, **params))
    return _as_real(np.asarray(out, order="C")) if out.dtype.kind == "c" else out


def _on_parts_samples(rng: np.random.Generator, dtype: DType, domain: tuple[float, float]) -> Drawn:
    params = {"record": "asin", "parts": (True,)}
    return [((draw(rng, s, dtype, domain),), params) for s in ((2,), (3, 2), (0, 2))]


# Programs know real memory only: this lets the reference of any record run on parts.
on_parts: Primitive = Primitive(
    name="on_parts",
    kind="host",
    arg_names=("xs",),
    aval_rule=_on_parts_aval,
    reference=_on_parts_reference,
    dtypes=tuple(real_dtype(d) for d in COMPLEX),
    samples=_on_parts_samples,
    doc="A record applied to complex numbers whose parts lie along the last axis of operands.",
)


# --- not holomorphic ------------------------------------------------------------------------------
def _conj_aval(x: Aval) -> Aval:
    _needs_complex("conj", x)
    return x


# A composition of slices would copy twice, and reverse mode conjugates at every product.
conj: Primitive = Primitive(
    name="conj",
    kind="elementwise",
    arg_names=("x",),
    aval_rule=_conj_aval,
    reference=np.conjugate,
    derivs=(lambda g: conj(g),),
    linearity="linear",
    pair=pairs.conj,
    dtypes=COMPLEX,
    doc="Complex conjugate.",
)


def _abs_aval(x: Aval) -> Aval:
    _needs_complex("complex_abs", x)
    return Aval(x.shape, real_dtype(x.dtype))


def _direction(x: Any, out: Any, x_aval: Aval) -> Any:
    """x / |x|, 0 at 0."""
    size = where(eq(out, 0.0), 1.0, out)
    return div(x, convert(size, dtype=x_aval.dtype))


# Composed of squares it overflows early and its derivative at zero is nan.
complex_abs: Primitive = Primitive(
    name="complex_abs",
    kind="elementwise",
    arg_names=("x",),
    aval_rule=_abs_aval,
    reference=np.abs,
    derivs=(
        lambda g, x, out, x_aval: mul(convert(g, dtype=x_aval.dtype), _direction(x, out, x_aval)),
    ),
    linearity="explicit",
    jvps=(
        lambda t, x, out, x_aval: convert(
            mul(t, conj(_direction(x, out, x_aval))), dtype=real_dtype(x_aval.dtype)
        ),
    ),
    holomorphic=False,
    pair=pairs.absolute,
    cost=8,
    dtypes=COMPLEX,
    doc="Distance of complex numbers from zero.",
)
