"""Norms of vectors and matrices: ``fg.norm`` and the norms of ``fg.linalg``.

Gradients at zero are the subgradient 0; equal maxima share the gradient of a maximum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..dtypes import DType, promote_types
from ..errors import ArgumentTypeError, DTypeError, RangeError, ShapeError
from ..ops import compare as cmp
from ..ops import elementwise as ew
from ..ops import movement, spectral
from ..tensor import Tensor
from .common import axes_of, axis_of, cast, method, pointwise
from .pointwise import abs, where
from .reduction import amax, amin, keep, root, sum
from .rounding import rounds_once


def _operand(name: str, x: Tensor, dtype: DType | None) -> Tensor:
    """``x`` in the dtype it is measured in."""
    if x.dtype.category < 2:
        raise DTypeError(
            f"{name} of {x.aval}", "It needs a floating point or complex tensor.", "x.float()"
        )
    if dtype is None:
        return x
    if dtype.category != x.dtype.category:
        raise DTypeError(
            f"{name} of {x.aval} with dtype={dtype}",
            "dtype must be floating for floating tensors and complex for complex ones.",
        )
    if promote_types(x.dtype, dtype) is not dtype:
        raise DTypeError(
            f"{name} of {x.aval} with dtype={dtype}",
            "The input must be convertible to dtype without narrowing.",
        )
    return cast(x, dtype)


def _check_extents(x: Tensor, order: float, axes: Sequence[int]) -> None:
    if order >= 0 and order != math.inf:
        return
    for axis in axes:
        if x.aval.shape[axis] == 0:
            raise RangeError(
                f"the {order} norm of {x.aval} along axis {axis}",
                "The axis is empty and a minimum or maximum of nothing has no value.",
                "an order from 0 up to any finite number",
            )


def vector_norm(
    x: Tensor,
    ord: float = 2,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
) -> Tensor:
    """The norm ``sum(|x|^ord)^(1/ord)`` of all elements, or of those along ``dim``.

    Args:
        x: any shape, floating or complex.
        ord: any number; 0 counts non-zero elements, inf and -inf are the largest and the smallest
            absolute value.
        dim: an axis or several; ``None`` for all.
        keepdim: keep reduced axes with extent 1.
        dtype: what ``x`` is converted to first.

    Returns:
        real, the shape of ``x`` without ``dim``.

    Raises:
        RuntimeError: integers, a narrower ``dtype``, a negative or infinite order of nothing.

    Example:
        >>> import fusegrad as fg
        >>> fg.linalg.vector_norm(fg.tensor([3.0, -4.0])).item()
        5.0
    """
    if not isinstance(ord, (int, float)):
        raise ArgumentTypeError(
            f"vector_norm with ord={ord!r}", "ord is a number, inf or -inf.", "ord=2"
        )
    x = _operand("linalg.vector_norm", x, dtype)
    axes = axes_of(dim, x.aval.ndim)
    _check_extents(x, ord, axes)
    return _over_axes(x, ord, axes, keepdim)


@rounds_once
def _over_axes(x: Tensor, ord: float, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    size = abs(x) if x.dtype.is_complex else x
    if math.isinf(ord):
        return (amax if ord > 0 else amin)(abs(size), axes, keepdim)
    if ord == 0:
        ones = where(cmp.isnan(size), 1.0, ew.sign(abs(size)))  # has the gradient 0
        return sum(ones, axes, keepdim)
    if ord == 1:
        return sum(abs(size), axes, keepdim)
    if ord == 2:
        return root(sum(pointwise(ew.mul, size, size), axes, keepdim), 0.5)
    return root(sum(_powers(size, float(ord)), axes, keepdim), 1.0 / ord)


def _powers(x: Tensor, p: float) -> Tensor:
    """``|x| ** p``; for p < 1 the slope at zero counts as 0, not infinite."""
    if p >= 1:
        return pointwise(ew.pow_, abs(x), p)
    zero = pointwise(cmp.eq, x, 0.0)
    power = pointwise(ew.pow_, abs(where(zero, 1.0, x)), p)
    return where(zero, 0.0 if p > 0 else math.inf, power)


def _matrix_axes(name: str, x: Tensor, dim: Any) -> tuple[int, int]:
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    if len(dims) != 2:
        raise ShapeError(f"{name} with dim={dim}", "dim must be a 2-tuple.", "dim=(-2, -1)")
    if x.aval.ndim < 2:
        raise ShapeError(
            f"{name} of {x.aval}", "The input tensor A must have at least 2 dimensions."
        )
    first, second = (axis_of(d, x.aval.ndim) for d in dims)
    if first == second:
        raise ShapeError(f"{name} with dim={dim}", "dims must be different.", "dim=(-2, -1)")
    return first, second


def matrix_norm(
    A: Tensor,
    ord: Any = "fro",
    dim: Any = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
) -> Tensor:
    """A norm of the matrices in two axes.

    Args:
        A: ``(*, m, n)``, floating or complex.
        ord: 'fro' (root of the sum of squares), 'nuc' (sum of singular values), 2 and -2 (largest
            and smallest singular value), 1 and -1 (largest and smallest column sum of absolute
            values), inf and -inf (of rows).
        dim: the axes of rows and columns.
        keepdim: keep them with extent 1.
        dtype: what ``A`` is converted to first.

    Returns:
        real, the shape of ``A`` without ``dim``.

    Raises:
        RuntimeError: another ``ord``, integers, not two different axes.

    Example:
        >>> import fusegrad as fg
        >>> fg.linalg.matrix_norm(fg.tensor([[1.0, -2.0], [3.0, 4.0]]), ord=1).item()
        6.0
    """
    name = "linalg.matrix_norm"
    rows, columns = _matrix_axes(name, A, dim)
    if ord == "fro":
        return vector_norm(_operand(name, A, dtype), 2, (rows, columns), keepdim)
    x = _operand(name, A, dtype)
    if ord == "nuc" or (isinstance(ord, (int, float)) and math.fabs(ord) == 2):
        order = [k for k in range(x.aval.ndim) if k not in (rows, columns)]
        values = spectral.svdvals(movement.transpose(x, perm=(*order, rows, columns)))
        last = values.aval.ndim - 1
        if ord == "nuc":
            out = sum(values, last)
        else:
            _check_extents(values, -1.0, (last,))
            out = amax(values, last) if ord > 0 else amin(values, last)
        return keep(out, x.aval.shape, (rows, columns), keepdim)
    if not isinstance(ord, (int, float)) or math.fabs(ord) not in (1, math.inf):
        raise RangeError(
            f"{name} with ord={ord!r}",
            f"Order {ord} not supported.",
            "'fro', 'nuc', inf, -inf, 1, -1, 2 or -2",
        )
    inner, outer = (rows, columns) if math.fabs(ord) == 1 else (columns, rows)
    sums = vector_norm(x, 1, inner, True)
    _check_extents(sums, -1.0, (outer,))
    out = (amax if ord > 0 else amin)(sums, outer, True)
    kept = tuple(n for k, n in enumerate(out.aval.shape) if k not in (rows, columns))
    return out if keepdim else movement.reshape(out, shape=kept)


def linalg_norm(
    input: Tensor,
    ord: Any = None,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
) -> Tensor:
    """A norm of vectors or matrices: which one, ``ord`` and ``dim`` tell.

    Without ``ord`` the root of the sum of squares, over all elements or ``dim``. With it a vector
    norm where ``dim`` is one axis (or the input a vector), a matrix norm where it is two.

    Raises:
        RuntimeError: more axes than two with an ``ord``; see ``vector_norm``, ``matrix_norm``.

    Example:
        >>> import fusegrad as fg
        >>> fg.linalg.norm(fg.tensor([[3.0, 0.0], [0.0, -4.0]]), 2).item()
        4.0
    """
    name, ndim = "linalg.norm", input.aval.ndim
    dims = None if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    if ord is not None:
        if dims is None and ndim not in (1, 2):
            raise ShapeError(
                f"{name} of {input.aval} with ord={ord!r}",
                "If dim is not specified but ord is, the input must be 1D or 2D.",
                "dim=",
            )
        if dims is not None and len(dims) not in (1, 2):
            raise ShapeError(
                f"{name} with dim={dim}", "If dim is specified, it must be of length 1 or 2."
            )
        dims = tuple(range(ndim)) if dims is None else dims
        if len(dims) == 2 or isinstance(ord, str):
            return matrix_norm(input, ord, dims, keepdim, dtype=dtype)
    return vector_norm(input, 2 if ord is None else ord, dims, keepdim, dtype=dtype)


@method()
@rounds_once
def norm(
    input: Tensor,
    p: Any = "fro",
    dim: Any = None,
    keepdim: bool = False,
    dtype: DType | None = None,
) -> Tensor:
    """The p-norm of all elements or along ``dim``; p may be 'fro', 'nuc', inf, -inf or a number.

    Example:
        >>> import fusegrad as fg
        >>> fg.norm(fg.tensor([3.0, 4.0])).item()
        5.0
    """
    if isinstance(p, str) and p != "fro":
        axes = tuple(range(input.aval.ndim)) if dim is None else dim
        return matrix_norm(input, p, axes, keepdim, dtype=dtype)

    if isinstance(dim, (tuple, list)) and len(dim) > 2 and p == "fro":
        _matrix_axes("norm", input, dim)
    order = 2.0 if p is None or p == "fro" else p
    return vector_norm(input, order, dim, keepdim, dtype=dtype)


def nuclear_norm(input: Tensor, dim: Any = (-2, -1), keepdim: bool = False) -> Tensor:
    """The sum of the singular values; see ``fg.linalg.matrix_norm``."""
    return matrix_norm(input, "nuc", dim, keepdim)


def frobenius_norm(input: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """The root of the sum of squares along ``dim``; see ``fg.linalg.vector_norm``."""
    return vector_norm(input, 2, dim, keepdim)
