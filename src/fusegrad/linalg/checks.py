"""What the functions of ``fg.linalg`` share: checks of operands, broadcasting, result tuples."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..errors import ArgumentTypeError, DTypeError, RangeError, ShapeError
from ..functions.common import broadcast_shapes, broadcast_to
from ..tensor import Tensor

EXAMPLE = "x.float() or x.double()"


class CholeskyEx(NamedTuple):
    """The factor, and 0 or the order of the leading minor that is not positive definite."""

    L: Tensor
    info: Tensor


class InvEx(NamedTuple):
    """The inverse, and 0 or the number of a zero pivot."""

    inverse: Tensor
    info: Tensor


class SolveEx(NamedTuple):
    """The solution, and 0 or the number of a zero pivot."""

    result: Tensor
    info: Tensor


class LU(NamedTuple):
    """A = P L U."""

    P: Tensor
    L: Tensor
    U: Tensor


class LUFactor(NamedTuple):
    """L and U in one matrix, and pivots."""

    LU: Tensor
    pivots: Tensor


class LUFactorEx(NamedTuple):
    """L and U in one matrix, pivots, and 0 or the number of a zero pivot."""

    LU: Tensor
    pivots: Tensor
    info: Tensor


class LDLFactor(NamedTuple):
    """L and D in one matrix, and pivots."""

    LD: Tensor
    pivots: Tensor


class LDLFactorEx(NamedTuple):
    """L and D in one matrix, pivots, and 0 or the number of a zero pivot."""

    LD: Tensor
    pivots: Tensor
    info: Tensor


class QR(NamedTuple):
    """A = Q R."""

    Q: Tensor
    R: Tensor


class SVD(NamedTuple):
    """A = U diag(S) Vh."""

    U: Tensor
    S: Tensor
    Vh: Tensor


class Eigen(NamedTuple):
    """A @ eigenvectors = eigenvectors @ diag(eigenvalues)."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class SlogDet(NamedTuple):
    """det A = sign * exp(logabsdet)."""

    sign: Tensor
    logabsdet: Tensor


class Lstsq(NamedTuple):
    """A least squares solution and what the driver tells about it."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


def matrix(name: str, *tensors: Tensor) -> None:
    """Refuse what is no batch of floating or complex matrices, or of several dtypes.

    Raises:
        RuntimeError: a vector, an integer or half precision dtype, dtypes that differ.
    """
    for x in tensors:
        if not isinstance(x, Tensor):
            raise ArgumentTypeError(f"{name} of a {type(x).__name__}", "Operands are tensors.")
        if x.dtype.category < 2:
            raise DTypeError(
                f"{name} of {x.aval}",
                f"{name}: Expected a floating point or complex tensor as input. Got {x.dtype}.",
                EXAMPLE,
            )
        if x.dtype.itemsize < 4:
            raise DTypeError(
                f"{name} of {x.aval}",
                f"{name}: Low precision dtypes not supported. Got {x.dtype}.",
                EXAMPLE,
            )
        if x.aval.ndim < 2:
            raise ShapeError(
                f"{name} of {x.aval}",
                f"{name}: The input tensor A must have at least 2 dimensions.",
                "x.unsqueeze(-1) or x.unsqueeze(0)",
            )
    same_dtype(name, *tensors)


def square(name: str, x: Tensor) -> int:
    """The order of square matrices; see ``matrix``.

    Raises:
        RuntimeError: rows and columns differ in number.
    """
    matrix(name, x)
    m, n = x.aval.shape[-2:]
    if m != n:
        raise ShapeError(
            f"{name} of {x.aval}",
            f"{name}: A must be batches of square matrices, but they are {m} by {n} matrices.",
            "fg.linalg.lstsq, pinv or svd, which take matrices of any shape",
        )
    return m


def same_dtype(name: str, *tensors: Tensor) -> None:
    """Refuse operands of several dtypes."""
    first = tensors[0]
    for other in tensors[1:]:
        if other.dtype is not first.dtype:
            raise DTypeError(
                f"{name} of {first.aval} and {other.aval}",
                f"{name}: Expected A and B to have the same dtype, but found A of type "
                f"{first.dtype} and B of type {other.dtype} instead.",
                f"convert the second with .to({first.dtype})",
            )


def broadcast_batch(name: str, *tensors: Tensor) -> tuple[Tensor, ...]:
    """Matrices with one common batch shape."""
    batch = broadcast_shapes(*[x.aval.shape[:-2] for x in tensors], op=name)
    return tuple(broadcast_to(x, (*batch, *x.aval.shape[-2:])) for x in tensors)


def option(name: str, argument: str, value: Any, accepted: tuple[Any, ...]) -> None:
    """Refuse an option that is not among the accepted ones."""
    if value not in accepted:
        listed = ", ".join(repr(a) for a in accepted)
        raise RangeError(
            f"{name} with {argument}={value!r}", f"It must be one of {listed}.", repr(accepted[0])
        )
