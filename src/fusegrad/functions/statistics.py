"""Statistics composed of reductions: moments, covariances, distances, limits of norms."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..dtypes import DType
from ..errors import DTypeError, RangeError, ShapeError
from ..ir.primitive import current_builder
from ..ops import compare as cmp
from ..ops import elementwise as ew
from ..tensor import Tensor
from .arithmetic import div
from .common import axis_of, cast, floating, method, pointwise
from .complex import adjoint, real, view_as_complex, view_as_real
from .elementary import register_in_place
from .linear import matmul
from .norms import norm
from .pointwise import mul, sub, where
from .reduction import amax, amin, mean, std, sum, var
from .rounding import rounds_once
from .shape import reshape


class MinMax(NamedTuple):
    """What ``aminmax`` returns."""

    min: Tensor
    max: Tensor


@method()
def nansum(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """Sum over ``dim`` with nan counted as zero.

    Example:
        >>> import fusegrad as fg
        >>> fg.nansum(fg.tensor([1.0, float("nan")])).item()
        1.0
    """
    if not input.dtype.is_floating_point:
        return sum(input, dim, keepdim, dtype=dtype)
    return sum(where(cmp.isnan(input), 0.0, input), dim, keepdim, dtype=dtype)


@method()
@rounds_once
def nanmean(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """Mean over ``dim`` of what is not nan.

    Example:
        >>> import fusegrad as fg
        >>> fg.nanmean(fg.tensor([1.0, float("nan"), 3.0])).item()
        2.0
    """
    if not input.dtype.is_floating_point:
        raise DTypeError(f"nanmean of {input.aval}", "The mean needs a floating dtype.")
    count = sum(cast(cmp.not_(cmp.isnan(input.detach())), input.dtype), dim, keepdim)
    return div(nansum(input, dim, keepdim, dtype=dtype), count)


@method()
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> MinMax:
    """Minimum and maximum over ``dim``.

    Example:
        >>> import fusegrad as fg
        >>> [t.item() for t in fg.aminmax(fg.tensor([3, 1, 2]))]
        [1, 3]
    """
    axes: Any = () if dim is None else dim
    return MinMax(amin(input, axes, keepdim), amax(input, axes, keepdim))


@rounds_once
def var_mean(
    input: Tensor,
    dim: Any = None,
    unbiased: Any = None,
    keepdim: bool = False,
    *,
    correction: Any = None,
) -> tuple[Tensor, Tensor]:
    """Variance and mean over ``dim``.

    Example:
        >>> import fusegrad as fg
        >>> [t.item() for t in fg.var_mean(fg.tensor([1.0, 3.0]))]
        [2.0, 2.0]
    """
    spread = var(input, dim, unbiased, keepdim, correction=correction)
    return spread, mean(input, None if isinstance(dim, bool) else dim, keepdim)


@rounds_once
def std_mean(
    input: Tensor,
    dim: Any = None,
    unbiased: Any = None,
    keepdim: bool = False,
    *,
    correction: Any = None,
) -> tuple[Tensor, Tensor]:
    """Standard deviation and mean over ``dim``.

    Example:
        >>> import fusegrad as fg
        >>> [t.item() for t in fg.std_mean(fg.tensor([1.0, 1.0]))]
        [0.0, 1.0]
    """
    spread = std(input, dim, unbiased, keepdim, correction=correction)
    return spread, mean(input, None if isinstance(dim, bool) else dim, keepdim)


@method()
def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of the difference.

    Example:
        >>> import fusegrad as fg
        >>> fg.dist(fg.tensor([0.0, 0.0]), fg.tensor([3.0, 4.0])).item()
        5.0
    """
    return norm(sub(input, other), p)


@method()
def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """Slices along ``dim`` whose p-norm exceeds ``maxnorm`` scaled down to it.

    Example:
        >>> import fusegrad as fg
        >>> fg.renorm(fg.tensor([[3.0, 4.0], [0.3, 0.4]]), 2, 0, 5.0)[1].tolist() == [
        ...     0.30000001192092896, 0.4000000059604645]
        True
    """
    axis = axis_of(dim, input.aval.ndim)
    if input.aval.ndim < 2:
        raise ShapeError(f"renorm of {input.aval}", "It takes at least two axes.")
    rest = [k for k in range(input.aval.ndim) if k != axis]
    large = pointwise(cmp.gt, norm(input.detach(), p, rest, True), maxnorm)
    size = norm(where(large, input, 1.0), p, rest, True)  # nan of other slices stays out of slopes
    return mul(input, where(large, div(float(maxnorm), pointwise(ew.add, size, 1e-7)), 1.0))


@method()
def cov(
    input: Tensor,
    *,
    correction: int = 1,
    fweights: Tensor | None = None,
    aweights: Tensor | None = None,
) -> Tensor:
    """Covariances of the variables that the rows hold, from observations in the columns.

    Args:
        input: a matrix, or a vector: one variable.
        correction: subtracted from the number of observations.
        fweights: how often each observation counts, integers.
        aweights: how much each observation counts.

    Example:
        >>> import fusegrad as fg
        >>> fg.cov(fg.tensor([[0.0, 2.0], [2.0, 0.0]])).tolist()
        [[2.0, -2.0], [-2.0, 2.0]]
    """
    if input.aval.ndim > 2:
        raise ShapeError(f"cov of {input.aval}", "It takes a matrix or a vector.")
    x = floating(input)
    x = reshape(x, (1, -1)) if x.aval.ndim < 2 else x
    n = x.aval.shape[1]
    weights: Any = None
    for name, given, category in (("fweights", fweights, 1), ("aweights", aweights, 2)):
        if given is not None:
            _check_weights(name, given, category, n)
            weights = given if weights is None else mul(weights, given)
    if weights is None:
        centered = sub(x, mean(x, 1, True))
        product = matmul(centered, adjoint(centered))
        left: Any = max(0, n - correction)
        out = div(product, left) if left else div(product, 0.0)
    else:
        total = sum(weights)
        centered = sub(x, div(sum(mul(x, weights), 1, True), total))
        product = matmul(mul(centered, weights), adjoint(centered))
        lost: Any = correction
        if aweights is not None:
            lost = div(mul(sum(mul(weights, aweights)), correction), total)
        left = sub(total, lost)
        size = real(left)
        out = div(product, where(pointwise(cmp.lt, size, 0), 0.0, size))
    return reshape(out, ()) if out.aval.shape == (1, 1) else out


def _check_weights(name: str, weights: Tensor, category: int, count: int) -> None:
    kind = "integers" if category == 1 else "floating numbers"
    if weights.dtype.category != category or weights.aval.shape != (count,):
        raise DTypeError(
            f"cov of {count} observations with {name} {weights.aval}",
            f"{name} are {kind}, one per observation.",
            f"{name} of shape [{count}]",
        )
    values = weights._value
    if isinstance(values, np.ndarray) and current_builder() is None and (values < 0).any():
        raise RangeError(f"cov with {name} {weights.aval}", f"{name} cannot be negative.")


@method()
def corrcoef(input: Tensor) -> Tensor:
    """Correlation coefficients of the variables that the rows hold.

    Example:
        >>> import fusegrad as fg
        >>> fg.corrcoef(fg.tensor([1.0, 2.0])).item()
        1.0
    """
    c = cov(input)
    if not c.aval.shape:
        return div(c, c)
    spread = ew.sqrt(c.diagonal())  # type: ignore[attr-defined]
    c = div(div(c, reshape(spread, (-1, 1))), reshape(spread, (1, -1)))
    if not c.dtype.is_complex:
        return c.clamp(-1, 1)  # type: ignore[attr-defined,no-any-return]
    parts = view_as_real(c)
    return view_as_complex(parts.clamp(-1, 1))  # type: ignore[attr-defined]


register_in_place()
