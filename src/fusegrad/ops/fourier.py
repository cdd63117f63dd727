"""Discrete Fourier transforms: complex to complex, real to half a spectrum, and back.

Fast transforms have no composition (J. W. Cooley and J. W. Tukey 1965, "An algorithm for the
machine calculation of complex Fourier series"). The rules read no operand, so reverse mode takes
them as they are, the adjoint maps; each record is the adjoint of another.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtypes import COMPLEX, complex_dtype, int64, real_dtype
from ..errors import DTypeError, ShapeError
from ..ir.aval import Aval, aval_of
from ..ir.primitive import Primitive
from .compare import eq, or_, where
from .elementwise import mul
from .kinds import FLOAT
from .movement import broadcast
from .samples import cases
from .source import full, iota

Axes = tuple[int, ...]


def _complex_aval(x: Aval, **params: Any) -> Aval:
    if not x.dtype.is_complex:
        raise DTypeError(f"fft_c2c of {x}", "It transforms complex numbers.", "x.to(fg.complex64)")
    return x


def _scaled(out: np.ndarray, scale: float) -> np.ndarray:
    return out if scale == 1.0 else np.multiply(out, out.real.dtype.type(scale))


def _c2c_reference(x: np.ndarray, axes: Axes, forward: bool, scale: float) -> np.ndarray:
    if not x.size or not axes:
        return _scaled(np.array(x), scale)
    out = np.fft.fftn(x, axes=axes) if forward else np.fft.ifftn(x, axes=axes, norm="forward")
    return _scaled(out, scale)


fft_c2c: Primitive = Primitive(
    name="fft_c2c",
    kind="host",
    arg_names=("x",),
    aval_rule=_complex_aval,
    reference=_c2c_reference,
    derivs=(
        lambda g, axes, forward, scale: fft_c2c(g, axes=axes, forward=not forward, scale=scale),
    ),
    linearity="linear",
    dtypes=COMPLEX,
    samples=cases(
        ([(5,)], {"axes": (0,), "forward": True, "scale": 1.0}),
        ([(3, 4)], {"axes": (0, 1), "forward": False, "scale": 0.25}),
        ([(2, 3, 2)], {"axes": (1,), "forward": True, "scale": 1.0}),
        ([(0, 3)], {"axes": (1,), "forward": True, "scale": 1.0}),
    ),
    doc="Discrete Fourier transform over axes, times `scale`; its exponent is negative when "
    "`forward`.",
)


def _half(aval: Aval, axis: int, extent: int) -> tuple[int, ...]:
    return tuple(extent if k == axis else n for k, n in enumerate(aval.shape))


def _r2c_aval(x: Aval, axes: Axes, scale: float) -> Aval:
    if not x.dtype.is_floating_point:
        raise DTypeError(f"fft_r2c of {x}", "It transforms real numbers.", "fg.fft.fft")
    return Aval(_half(x, axes[-1], x.shape[axes[-1]] // 2 + 1), complex_dtype(x.dtype))


def _r2c_reference(x: np.ndarray, axes: Axes, scale: float) -> np.ndarray:
    if not x.size:
        out = _r2c_aval(aval_of(x), axes, scale)
        return np.zeros(out.shape, out.dtype.np)
    return _scaled(np.fft.rfftn(x, axes=axes), scale)


def _weights(x: Any, aval: Aval, axis: int, n: int, others: float) -> Any:
    """``x`` with the elements that have a conjugate in the other half multiplied by ``others``."""
    extent = aval.shape[axis]
    place = iota(shape=(extent,), dtype=int64, axis=0)
    alone = eq(place, 0)
    if n % 2 == 0:
        alone = or_(alone, eq(place, n // 2))
    one, other = (full(shape=(extent,), dtype=aval.dtype, value=v) for v in (1.0, others))
    return mul(x, broadcast(where(alone, one, other), shape=aval.shape, axes=(axis,)))


def _r2c_adjoint(g: Any, x_aval: Aval, axes: Axes, scale: float) -> Any:
    n = x_aval.shape[axes[-1]]
    half = _weights(g, _r2c_aval(x_aval, axes, scale), axes[-1], n, 0.5)
    return fft_c2r(half, axes=axes, n=n, scale=scale)


_REAL = (
    ([(6,)], {"axes": (0,), "scale": 1.0}),
    ([(3, 5)], {"axes": (0, 1), "scale": 0.5}),
    ([(4, 3)], {"axes": (1, 0), "scale": 1.0}),
    ([(0, 3)], {"axes": (1,), "scale": 1.0}),
    ([(2, 1)], {"axes": (1,), "scale": 1.0}),
)
fft_r2c: Primitive = Primitive(
    name="fft_r2c",
    kind="host",
    arg_names=("x",),
    aval_rule=_r2c_aval,
    reference=_r2c_reference,
    derivs=(_r2c_adjoint,),
    linearity="linear",
    dtypes=FLOAT,
    samples=cases(*_REAL),
    doc="Discrete Fourier transform of real numbers over axes, times `scale`: along the last of "
    "the axes only the half that is not a conjugate.",
)


def _c2r_aval(x: Aval, axes: Axes, n: int, scale: float) -> Aval:
    _complex_aval(x)
    if x.shape[axes[-1]] != n // 2 + 1:
        raise ShapeError(
            f"fft_c2r of {x} to {n} numbers", f"Axis {axes[-1]} must hold {n // 2 + 1}."
        )
    return Aval(_half(x, axes[-1], n), real_dtype(x.dtype))


def _c2r_reference(x: np.ndarray, axes: Axes, n: int, scale: float) -> np.ndarray:
    if not x.size:
        return np.zeros(_half(aval_of(x), axes[-1], n), x.real.dtype)
    sizes = [*(x.shape[a] for a in axes[:-1]), n]
    return _scaled(np.fft.irfftn(x, s=sizes, axes=axes, norm="forward"), scale)


def _c2r_adjoint(g: Any, x_aval: Aval, axes: Axes, n: int, scale: float) -> Any:
    return _weights(fft_r2c(g, axes=axes, scale=scale), x_aval, axes[-1], n, 2.0)


fft_c2r: Primitive = Primitive(
    name="fft_c2r",
    kind="host",
    arg_names=("x",),
    aval_rule=_c2r_aval,
    reference=_c2r_reference,
    derivs=(_c2r_adjoint,),
    linearity="linear",
    dtypes=COMPLEX,
    samples=cases(
        ([(4,)], {"axes": (0,), "n": 6, "scale": 1.0}),
        ([(3, 3)], {"axes": (0, 1), "n": 5, "scale": 0.5}),
        ([(2, 3)], {"axes": (1, 0), "n": 2, "scale": 1.0}),
        ([(2, 1)], {"axes": (1,), "n": 1, "scale": 1.0}),
        ([(0, 3)], {"axes": (1,), "n": 4, "scale": 1.0}),
    ),
    doc="Inverse of `fft_r2c` without its factor, times `scale`: n real numbers along the last of "
    "the axes from half a spectrum, whose other half is taken to be its conjugate.",
)
