"""Reductions, statistics and what is composed of them (softmax); norms are in ``norms.py``."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ..dtypes import DType, bool_, int64, uint8
from ..errors import DimError, DTypeError, ShapeError
from ..ops import compare as cmp
from ..ops import elementwise as ew
from ..ops import movement, reduce, source
from ..ops import transcendental as tr
from ..tensor import Tensor
from .common import as_tensor_operand, axes_of, axis_of, cast, floating, method, owned, pointwise
from .complex import real, view_as_real
from .indexing import gather
from .pointwise import as_bool, maximum, minimum, where
from .refusals import floats_only, no_booleans
from .rounding import rounds_once


class _ValuesIndices(NamedTuple):
    values: Tensor
    indices: Tensor


def keep(x: Tensor, shape: tuple[int, ...], axes: tuple[int, ...], keepdim: bool) -> Tensor:
    """Put reduced axes back with extent 1 when ``keepdim``."""
    if not keepdim:
        return x
    return movement.reshape(x, shape=tuple(1 if k in axes else n for k, n in enumerate(shape)))


def _reduce(primitive: Any, x: Tensor, dim: Any, keepdim: bool) -> Tensor:
    axes = axes_of(dim, x.aval.ndim)
    return keep(primitive(x, axes=axes) if axes else owned(x), x.aval.shape, axes, keepdim)


@method()
def sum(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """Sum over ``dim`` (all axes when ``None``); integers and booleans sum to int64."""
    x = cast(input, dtype or (input.dtype if input.dtype.category >= 2 else int64))
    return _reduce(reduce.any_ if x.dtype is bool_ else reduce.sum_, x, dim, keepdim)


@method()
def prod(
    input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """Product over ``dim`` (all axes when ``None``)."""
    x = cast(input, dtype or (input.dtype if input.dtype.category >= 2 else int64))
    return _reduce(reduce.all_ if x.dtype is bool_ else reduce.prod, x, dim, keepdim)


@method()
@rounds_once
def mean(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """Arithmetic mean over ``dim``."""
    x = cast(input, dtype) if dtype else input
    if x.dtype.category < 2:
        raise DTypeError(
            f"mean of {x.aval}", "The mean needs a floating dtype.", "x.float().mean()"
        )
    count = math.prod(x.aval.shape[a] for a in axes_of(dim, x.aval.ndim))
    total = _reduce(reduce.sum_, x, dim, keepdim)
    return pointwise(ew.mul, total, 1.0 / count) if count else pointwise(ew.div, total, 0.0)


@method()
@rounds_once
def var(
    input: Tensor,
    dim: Any = None,
    unbiased: Any = None,
    keepdim: bool = False,
    *,
    correction: Any = None,
) -> Tensor:
    """Variance over ``dim``; ``correction`` (default 1) is subtracted from the count."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None or unbiased else 0
    if input.dtype.is_complex:  # distances from the mean in the plane
        if not input.aval.ndim:
            input, dim, keepdim = movement.reshape(input, shape=(1,)), 0, False
        parts = view_as_real(input)
        axes = axes_of(dim, input.aval.ndim)
        return sum(var(parts, axes, keepdim=keepdim, correction=correction), -1)
    axes = axes_of(dim, input.aval.ndim)
    count = math.prod(input.aval.shape[a] for a in axes)
    if not input.dtype.is_floating_point:
        raise DTypeError(
            f"var of {input.aval}", "The variance needs a floating dtype.", "x.float().var()"
        )
    if axes:
        total = _reduce(reduce.squared_deviations, input, axes, keepdim)
    else:  # a single number is its own mean
        total = ew.sub(input, input)
    divisor = count - correction if count > correction else 0
    return pointwise(ew.mul, total, 1.0 / divisor) if divisor else pointwise(ew.div, total, 0.0)


@method()
@rounds_once
def std(
    input: Tensor,
    dim: Any = None,
    unbiased: Any = None,
    keepdim: bool = False,
    *,
    correction: Any = None,
) -> Tensor:
    """Standard deviation over ``dim``."""
    return root(var(input, dim, unbiased, keepdim, correction=correction), 0.5)


def _need_elements(name: str, x: Tensor, dim: Any) -> None:
    """Refuse a maximum of nothing."""
    if x.aval.size:
        return
    if dim is None or dim == ():
        raise ShapeError(
            f"{name} of {x.aval}",
            "Expected reduction dim to be specified for input.numel() == 0.",
            "an axis that is not empty",
        )
    for axis in axes_of(dim, x.aval.ndim):
        if x.aval.ndim and x.aval.shape[axis] == 0:
            raise DimError(
                f"{name} of {x.aval}", f"Expected reduction dim {axis} to have non-zero size."
            )


def _extreme(primitive: Any, x: Tensor) -> Any:
    """The record itself, or what it means for booleans."""
    if x.dtype is not bool_:
        return primitive
    return reduce.any_ if primitive is reduce.max_ else reduce.all_


def _of_rows(primitive: Any, x: Tensor, dim: Any, keepdim: bool) -> Tensor:
    """An extremum with the gradient of those along axes, also where it is one row of everything."""
    axes, shape = axes_of(dim, x.aval.ndim), x.aval.shape
    primitive = _extreme(primitive, x)
    if not axes or len(axes) < len(shape):
        return _reduce(primitive, x, dim, keepdim)
    row = primitive(movement.reshape(x, shape=(1, *shape)), axes=tuple(range(1, len(shape) + 1)))
    return keep(movement.reshape(row, shape=()), shape, axes, keepdim)


@method()
def amax(input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """Maximum over ``dim``; equal maxima share the gradient."""
    _need_elements("amax", input, dim)
    return _of_rows(reduce.max_, input, dim, keepdim)


@method()
def amin(input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """Minimum over ``dim``; equal minima share the gradient."""
    _need_elements("amin", input, dim)
    return _of_rows(reduce.min_, input, dim, keepdim)


def _arg(primitive: Any, input: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    x = input
    name = primitive.name
    if dim is None and not x.aval.size:
        raise DimError(f"{name} of {x.aval}", "There is no element.", "give a dim that has some")
    _need_elements(name, input, dim)
    if dim is None:
        x, axis = movement.reshape(input, shape=(input.aval.size,)), 0
    else:
        axis = axis_of(dim, x.aval.ndim)
    shape = x.aval.shape
    if not shape:
        return Tensor(source.full(shape=(), dtype=int64, value=0))
    index = primitive(x.detach(), axis=axis)
    if keepdim and dim is not None:
        kept = tuple(1 if k == axis else n for k, n in enumerate(shape))
        return movement.reshape(index, shape=kept)
    if dim is None and keepdim:
        return movement.reshape(index, shape=(1,) * input.aval.ndim)
    return index


def _ordered(name: str, x: Tensor) -> Tensor:
    if x.dtype is bool_:
        raise DTypeError(f"{name} of {x.aval}", "Booleans have no order.", "x.to(fg.uint8)")
    return x


@method()
def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Index of the first maximum along ``dim`` (of the flattened tensor when ``None``)."""
    no_booleans("argmax", input)
    return _arg(reduce.argmax, _ordered("argmax", input), dim, keepdim)


@method()
def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Index of the first minimum along ``dim`` (of the flattened tensor when ``None``)."""
    no_booleans("argmin", input)
    return _arg(reduce.argmin, _ordered("argmin", input), dim, keepdim)


def _extremum(primitive: Any, position: Any, pair: Any, input: Any, dim: Any, keepdim: bool) -> Any:
    input = as_tensor_operand(input)
    if not isinstance(dim, Tensor):
        _need_elements(position.name.removeprefix("arg"), input, dim)
    if dim is None:
        return _reduce(_extreme(primitive, input), input, None, False)
    if isinstance(dim, Tensor):
        return pair(input, dim)
    order = cast(input, uint8) if input.dtype is bool_ else input
    index = _arg(position, order, dim, True)
    values = gather(input, dim, index)
    axes = (axis_of(dim, input.aval.ndim),)
    if not keepdim:
        shape = tuple(n for k, n in enumerate(input.aval.shape) if k not in axes)
        values, index = movement.reshape(values, shape=shape), movement.reshape(index, shape=shape)
    return _ValuesIndices(values, index)


@method()
def max(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """Maximum; with ``dim`` also the index of the first one; with a tensor, elementwise."""
    return _extremum(reduce.max_, reduce.argmax, maximum, input, dim, keepdim)


@method()
def min(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """Minimum; with ``dim`` also the index of the first one; with a tensor, elementwise."""
    return _extremum(reduce.min_, reduce.argmin, minimum, input, dim, keepdim)


def _truth(primitive: Any, input: Tensor, dim: Any, keepdim: bool) -> Tensor:
    """Bool, except that bytes were PyTorch's booleans once and stay bytes."""
    out = _reduce(primitive, as_bool(input), dim, keepdim)
    return cast(out, uint8) if input.dtype is uint8 else out


@method()
def any(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether any element is non-zero; of ``uint8`` the result is ``uint8``, else bool."""
    return _truth(reduce.any_, input, dim, keepdim)


@method()
def all(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether all elements are non-zero; of ``uint8`` the result is ``uint8``, else bool."""
    return _truth(reduce.all_, input, dim, keepdim)


@method()
@rounds_once
def logsumexp(input: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """log(sum(exp(x))) over ``dim`` without overflow."""
    x = floating(input)
    axes = axes_of(dim, x.aval.ndim)
    if 0 in [x.aval.shape[a] for a in axes]:
        return tr.log(_reduce(reduce.sum_, tr.exp(x), axes, keepdim))
    top = amax(real(x).detach(), axes, True)
    finite = cmp.isfinite(top)
    shift = where(finite, top, 0.0)
    total = _reduce(reduce.sum_, tr.exp(pointwise(ew.sub, x, shift)), axes, True)
    out = pointwise(ew.add, tr.log(total), shift)
    if keepdim:
        return out
    kept = tuple(n for k, n in enumerate(x.aval.shape) if k not in axes)
    return movement.reshape(out, shape=kept)


@method()
@rounds_once
def softmax(input: Tensor, dim: int, dtype: DType | None = None) -> Tensor:
    """exp(x) / sum(exp(x)) along ``dim``."""
    x = cast(input, dtype) if dtype else input
    floats_only("softmax", x)
    if not x.aval.size:
        return tr.exp(x)
    shifted = pointwise(ew.sub, x, amax(x.detach(), dim, True))
    e = tr.exp(shifted)
    return pointwise(ew.div, e, _reduce(reduce.sum_, e, dim, True))


@method()
@rounds_once
def log_softmax(input: Tensor, dim: int, dtype: DType | None = None) -> Tensor:
    """log(softmax(x)) along ``dim``."""
    x = cast(input, dtype) if dtype else input
    floats_only("log_softmax", x)
    if not x.aval.size:
        return tr.exp(x)
    shifted = pointwise(ew.sub, x, amax(x.detach(), dim, True))
    total = _reduce(reduce.sum_, tr.exp(shifted), dim, True)
    return pointwise(ew.sub, shifted, tr.log(total))


def root(total: Tensor, power: float) -> Tensor:
    """``total ** power``; the gradient at zero is the subgradient 0, not nan."""
    if power < 0:
        return pointwise(ew.pow_, total, power)
    zero = pointwise(cmp.eq, total, 0.0)
    positive = where(zero, 1.0, total)
    root = ew.sqrt(positive) if power == 0.5 else pointwise(ew.pow_, positive, power)
    return where(zero, 0.0, root)


@method()
def count_nonzero(input: Tensor, dim: Any = None) -> Tensor:
    """Number of non-zero elements."""
    return _reduce(reduce.sum_, cast(as_bool(input), int64), dim, False)
