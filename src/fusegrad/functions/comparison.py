"""Whether tensors are equal, exactly or to rounding."""

from __future__ import annotations

from ..errors import DTypeError, RangeError
from ..ops import compare as cmp
from ..ops import elementwise as ew
from ..ops import reduce
from ..tensor import Tensor
from .common import as_tensor_operand, method, pointwise
from .conversion import item
from .pointwise import abs, as_bool, where
from .shape import broadcast_tensors


@method()
def logical_xor(input: Tensor, other: Tensor) -> Tensor:
    """Whether exactly one is non-zero.

    Example:
        >>> import fusegrad as fg
        >>> fg.logical_xor(fg.tensor([0, 1, 2]), fg.tensor([0, 0, 3])).tolist()
        [False, True, False]
    """
    return pointwise(cmp.xor, as_bool(input), as_bool(other))


@method()
def isclose(
    input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Tensor:
    """Whether ``abs(input - other) <= atol + rtol * abs(other)``, elementwise; infinities equal.

    Raises:
        RuntimeError: different dtypes.

    Example:
        >>> import fusegrad as fg
        >>> fg.isclose(fg.tensor([1.0, 2.0]), fg.tensor([1.0, 2.1])).tolist()
        [True, False]
    """
    input, other = as_tensor_operand(input), as_tensor_operand(other)
    for name, bound in (("rtol", rtol), ("atol", atol)):
        if bound < 0:
            raise RangeError(f"isclose with {name}={bound}", f"{name} must be at least zero.")
    if input.dtype is not other.dtype:
        raise DTypeError(f"isclose of {input.aval} and {other.aval}", "Both need the same dtype.")
    same = pointwise(cmp.eq, input, other)
    if input.dtype.category < 2:
        x, y = input.double(), other.double()  # type: ignore[attr-defined]
    else:
        x, y = input, other
    near = pointwise(
        cmp.le,
        abs(pointwise(ew.sub, x, y)),
        pointwise(ew.add, pointwise(ew.mul, abs(y), rtol), atol),
    )
    finite = cmp.isfinite(pointwise(ew.add, abs(x), abs(y)))
    close = cmp.or_(same, where(finite, near, False))
    if equal_nan and input.dtype.category >= 2:
        close = cmp.or_(close, cmp.and_(*map(cmp.isnan, broadcast_tensors(x, y))))
    return close


@method()
def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Whether all elements are close; see ``isclose``.

    Example:
        >>> import fusegrad as fg
        >>> fg.allclose(fg.tensor([1.0]), fg.tensor([1.0 + 1e-7]))
        True
    """
    close = isclose(input, other, rtol, atol, equal_nan)
    axes = tuple(range(close.aval.ndim))
    return bool(item(reduce.all_(close, axes=axes) if axes else close))


@method()
def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and the same elements; nan equals nothing.

    Example:
        >>> import fusegrad as fg
        >>> fg.equal(fg.ones(2), fg.ones(2)), fg.equal(fg.ones(2), fg.ones(3))
        (True, False)
    """
    if input.aval.shape != other.aval.shape:
        return False
    same = pointwise(cmp.eq, input, other)
    axes = tuple(range(same.aval.ndim))
    return bool(item(reduce.all_(same, axes=axes) if axes else same))
