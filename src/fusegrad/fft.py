"""``fg.fft``: discrete Fourier transforms, under the names of ``torch.fft``.

All are calls of three records (``ops/fourier.py``), after cropping or padding with zeros to the
asked sizes. ``norm`` says where the factor is: ``"backward"`` (default) puts 1/n on inverse
transforms, ``"forward"`` on forward ones, ``"ortho"`` puts 1/sqrt(n) on both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from . import dtypes
from .dtypes import DType, complex_dtype
from .errors import ArgumentTypeError, DimError, DTypeError, RangeError, ShapeError
from .functions.arrangement import roll
from .functions.common import axis_of, cast
from .functions.complex import conj
from .functions.creation import arange
from .functions.out import accepting
from .functions.placement import factory
from .functions.pointwise import mul
from .functions.shape import cat, narrow, pad_constant
from .ops import fourier as ops
from .tensor import Tensor

Dims = Sequence[int] | None


# --- operands -------------------------------------------------------------------------------------
def _operand(name: str, x: Tensor, real: bool = False, complex: bool = False) -> Tensor:
    """``x`` in a dtype that has transforms; ``real`` refuses complex, ``complex`` converts."""
    if not isinstance(x, Tensor):
        raise ArgumentTypeError(f"{name} of {type(x).__name__}", "It transforms a Tensor.")
    if real and x.dtype.is_complex:
        raise DTypeError(f"{name} of {x.aval}", f"{name} expects a real input tensor.", "x.real")
    if x.dtype.reduced:
        raise DTypeError(
            f"{name} of {x.aval}", f"Unsupported dtype {x.dtype}: transforms are of float32 up.",
            "x.float()",
        )  # fmt: skip
    if x.dtype.category < 2:
        x = cast(x, dtypes.get_default_dtype())
    return cast(x, complex_dtype(x.dtype)) if complex else x


def _factor(name: str, norm: str | None, sizes: Sequence[int], forward: bool) -> float:
    n = math.prod(sizes)
    if norm not in (None, "backward", "forward", "ortho"):
        raise RangeError(
            f"{name} with norm={norm!r}",
            f'Invalid normalization mode: "{norm}".',
            '"backward", "forward" or "ortho"',
        )
    if norm == "ortho":
        return 1.0 / math.sqrt(n) if n else 1.0
    divides = (norm == "forward") == forward
    return 1.0 / n if divides and n else 1.0


def _sized(name: str, x: Tensor, axes: Sequence[int], sizes: Sequence[int]) -> Tensor:
    """``x`` cropped or padded with zeros at the end of axes."""
    for axis, n in zip(axes, sizes, strict=True):
        have = x.aval.shape[axis]
        if n < 1:
            raise RangeError(
                f"{name} of {x.aval} with {n} points along axis {axis}",
                f"Invalid number of data points ({n}) specified.",
                "a size of at least 1",
            )
        if n < have:
            x = narrow(x, axis, 0, n)
        elif n > have:
            x = pad_constant(x, [0, 0] * (x.aval.ndim - 1 - axis) + [0, n - have])
    return x


def _axes(name: str, x: Tensor, s: Any, dim: Any) -> tuple[list[int], list[int]]:
    """The transformed axes and the sizes along them."""
    ndim = x.aval.ndim
    if isinstance(s, int):
        s = (s,)
    if dim is None:
        count = ndim if s is None else len(s)
        if count > ndim:
            raise ShapeError(
                f"{name} of {x.aval} with s={tuple(s)}",
                f"Got shape with {count} values but input tensor only has {ndim} dimensions.",
                "one size for each transformed axis",
            )
        axes = list(range(ndim - count, ndim))
    else:
        axes = [axis_of(d, ndim) for d in ((dim,) if isinstance(dim, int) else dim)]
    if axes and not ndim:
        raise DimError(f"{name} of {x.aval}", "It needs at least one axis.", "reshape(1)")
    if len(set(axes)) != len(axes):
        raise ShapeError(f"{name} of {x.aval} with dim={dim}", "FFT dims must be unique.")
    if s is not None and len(s) != len(axes):
        raise ShapeError(
            f"{name} of {x.aval} with s={tuple(s)} and dim={dim}",
            "When given, dim and shape arguments must have the same length.",
        )
    given = [-1] * len(axes) if s is None else list(s)
    return axes, [x.aval.shape[a] if n == -1 else n for a, n in zip(axes, given, strict=True)]


def _one(name: str, x: Tensor, n: int | None, dim: int) -> tuple[Any, Any]:
    if not x.aval.shape:
        raise DimError(f"{name} of {x.aval}", "It needs at least one axis.", "reshape(1)")
    return (None if n is None else (n,)), (dim,)


# --- the three transforms -------------------------------------------------------------------------
def _c2c(name: str, x: Tensor, s: Any, dim: Any, norm: Any, forward: bool) -> Tensor:
    x = _operand(name, x, complex=True)
    axes, sizes = _axes(name, x, s, dim)
    x = _sized(name, x, axes, sizes)
    scale = _factor(name, norm, sizes, forward)
    return ops.fft_c2c(x, axes=tuple(axes), forward=forward, scale=scale)


def _some_axis(name: str, x: Tensor, axes: Sequence[int]) -> None:
    if not axes:
        raise ShapeError(f"{name} of {x.aval}", f"{name} must transform at least one axis.")


def _r2c(name: str, x: Tensor, s: Any, dim: Any, norm: Any, forward: bool) -> Tensor:
    x = _operand(name, x, real=True)
    axes, sizes = _axes(name, x, s, dim)
    _some_axis(name, x, axes)
    x = _sized(name, x, axes, sizes)
    out = ops.fft_r2c(x, axes=tuple(axes), scale=_factor(name, norm, sizes, forward))
    return out if forward else conj(out)


def _c2r(name: str, x: Tensor, s: Any, dim: Any, norm: Any, forward: bool) -> Tensor:
    x = _operand(name, x, complex=True)
    axes, sizes = _axes(name, x, s, dim)
    _some_axis(name, x, axes)
    last = (s,) if isinstance(s, int) else s
    n = 2 * (x.aval.shape[axes[-1]] - 1) if last is None or last[-1] == -1 else last[-1]
    if n < 1:
        _sized(name, x, axes[-1:], [n])
    x = _sized(name, x, axes, [*sizes[:-1], n // 2 + 1])
    scale = _factor(name, norm, [*sizes[:-1], n], forward)
    return ops.fft_c2r(conj(x) if forward else x, axes=tuple(axes), n=n, scale=scale)


def _family(
    kind: Callable[..., Tensor], name: str, forward: bool, what: str
) -> tuple[Callable[..., Tensor], ...]:
    """The forms of one transform along one axis, two and any number of them."""

    def along(
        input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None
    ) -> Tensor:
        sizes, axes = _one(name, input, n, dim)
        return kind(name, input, sizes, axes, norm, forward)

    def plane(
        input: Tensor, s: Dims = None, dim: Dims = (-2, -1), norm: str | None = None
    ) -> Tensor:
        return kind(f"{name}2", input, s, dim, norm, forward)

    def several(input: Tensor, s: Dims = None, dim: Dims = None, norm: str | None = None) -> Tensor:
        return kind(f"{name}n", input, s, dim, norm, forward)

    forms = ((along, "", "one axis"), (plane, "2", "two axes"), (several, "n", "several axes"))
    for function, suffix, over in forms:
        function.__name__ = function.__qualname__ = f"{name}{suffix}"
        function.__doc__ = _DOC.format(
            what=what,
            over=over,
            size="n: number of points" if not suffix else "s: numbers of points, -1 for all",
            name=function.__name__,
        )
    return tuple(accepting(function) for function, *_ in forms)


_DOC = """{what}, over {over}.

    Args:
        input: tensor of any shape.
        {size}; what is transformed is cropped or padded with zeros to it.
        dim: along which axes.
        norm: "backward", "forward" or "ortho"; where the factor is.
        out: where to write the result.

    Raises:
        RuntimeError: no points, an axis named twice, an unknown norm, a dtype without transform.

    Example:
        >>> import fusegrad as fg
        >>> fg.fft.{name}(fg.ones(2, 2)).shape
        fusegrad.Size([2, 2])
    """
fft, fft2, fftn = _family(_c2c, "fft", True, "The discrete Fourier transform")
ifft, ifft2, ifftn = _family(_c2c, "ifft", False, "The inverse of the discrete Fourier transform")
rfft, rfft2, rfftn = _family(
    _r2c, "rfft", True, "Half the discrete Fourier transform of real numbers"
)
irfft, irfft2, irfftn = _family(_c2r, "irfft", False, "Real numbers from half their transform")
hfft, hfft2, hfftn = _family(
    _c2r, "hfft", True, "The real transform of half a signal that is Hermitian in time"
)
ihfft, ihfft2, ihfftn = _family(
    _r2c, "ihfft", False, "Half the Hermitian signal that has a real transform"
)


# --- frequencies ----------------------------------------------------------------------------------
def _frequencies(ramp: Tensor, n: int, d: float) -> Tensor:
    return mul(ramp, 1.0 / (n * d))  # type: ignore[no-any-return]


def _ramp(start: int, end: int, dtype: DType | None) -> Tensor:
    return arange(start, end, dtype=dtype or dtypes.get_default_dtype())


@factory
def fftfreq(n: int, d: float = 1.0, *, dtype: DType | None = None) -> Tensor:
    """The frequencies of the ``n`` results of ``fft`` for samples ``d`` apart.

    Example:
        >>> import fusegrad as fg
        >>> fg.fft.fftfreq(4).tolist()
        [0.0, 0.25, -0.5, -0.25]
    """
    ramp = cat([_ramp(0, (n + 1) // 2, dtype), _ramp(-(n // 2), 0, dtype)])
    return _frequencies(ramp, n, d)


@factory
def rfftfreq(n: int, d: float = 1.0, *, dtype: DType | None = None) -> Tensor:
    """The frequencies of the results of ``rfft`` of ``n`` samples ``d`` apart.

    Example:
        >>> import fusegrad as fg
        >>> fg.fft.rfftfreq(4).tolist()
        [0.0, 0.25, 0.5]
    """
    return _frequencies(_ramp(0, n // 2 + 1, dtype), n, d)


def _shift(input: Tensor, dim: Any, extra: int) -> Tensor:
    ndim = input.aval.ndim
    dims = range(ndim) if dim is None else (dim,) if isinstance(dim, int) else dim
    axes = [axis_of(d, ndim) for d in dims]
    if not axes:
        return input.clone()
    return roll(input, [(input.aval.shape[a] + extra) // 2 for a in axes], axes)


def fftshift(input: Tensor, dim: Any = None) -> Tensor:
    """Rolled along ``dim`` (all axes when ``None``) so that frequency zero is in the middle.

    Example:
        >>> import fusegrad as fg
        >>> fg.fft.fftshift(fg.fft.fftfreq(4)).tolist()
        [-0.5, -0.25, 0.0, 0.25]
    """
    return _shift(input, dim, 0)


def ifftshift(input: Tensor, dim: Any = None) -> Tensor:
    """The inverse of ``fftshift``.

    Example:
        >>> import fusegrad as fg
        >>> fg.fft.ifftshift(fg.tensor([-0.5, -0.25, 0.0, 0.25])).tolist()
        [0.0, 0.25, -0.5, -0.25]
    """
    return _shift(input, dim, 1)


__all__ = [
    "fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "hfft2", "hfftn", "ifft", "ifft2",
    "ifftn", "ifftshift", "ihfft", "ihfft2", "ihfftn", "irfft", "irfft2", "irfftn", "rfft",
    "rfft2", "rfftfreq", "rfftn",
]  # fmt: skip
