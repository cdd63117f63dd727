"""Functions of matrices and products: determinants, powers, exponential, cross, multi_dot."""

from __future__ import annotations

from collections.abc import Sequence

from ..dtypes import bool_
from ..errors import ArgumentTypeError, RangeError, ShapeError
from ..functions import arrangement, products
from ..functions.common import axis_of, broadcast_to
from ..functions.cumulative import cumprod
from ..functions.linear import matmul
from ..functions.pointwise import mul
from ..functions.reduction import sum
from ..functions.rounding import rounds_once
from ..functions.shape import cat, unsqueeze
from ..ops import compare as cmp
from ..ops import linalg as ops
from ..ops import matrix as mx
from ..ops import source
from ..tensor import Tensor
from .checks import SlogDet, square
from .solving import inv


def det(A: Tensor) -> Tensor:
    """Determinants of square matrices ``(*, n, n)``, shape ``(*)``.

    The gradient, the matrix of cofactors, is right for singular matrices, too.

    Example:
        >>> import fusegrad as fg
        >>> fg.linalg.det(fg.tensor([[2.0, 0.0], [0.0, 4.0]])).round().item()
        8.0
    """
    square("linalg.det", A)
    return ops.det(A)


def slogdet(A: Tensor) -> SlogDet:
    """Sign and logarithm of the absolute value of determinants.

    Args:
        A: ``(*, n, n)``.

    Returns:
        ``(sign, logabsdet)``, each ``(*)``; 0 and -inf for singular matrices. For complex matrices
        ``sign`` is a number on the unit circle; ``logabsdet`` is real.

    Example:
        >>> import fusegrad as fg
        >>> fg.linalg.slogdet(fg.eye(3)).logabsdet.item()
        0.0
    """
    square("linalg.slogdet", A)
    sign, size = ops.split_slogdet(ops.slogdet(A))
    return SlogDet(sign, mx.real_values(size))


@rounds_once
def matrix_exp(A: Tensor) -> Tensor:
    """The matrix exponential ``sum A^k / k!`` of square matrices ``(*, n, n)``.

    By scaling and squaring of a Padé approximant (Higham 2005).

    Example:
        >>> import fusegrad as fg
        >>> fg.linalg.matrix_exp(fg.tensor([[0.0, 1.0], [0.0, 0.0]])).tolist()
        [[1.0, 1.0], [0.0, 1.0]]
    """
    square("linalg.matrix_exp", A)
    return ops.exponential(A)


def matrix_power(A: Tensor, n: int) -> Tensor:
    """The n-th power of square matrices, of their inverses for negative ``n``.

    Raises:
        LinAlgError: n < 0 and a matrix is singular.

    Example:
        >>> import fusegrad as fg
        >>> fg.linalg.matrix_power(fg.tensor([[1.0, 1.0], [0.0, 1.0]]), 5).tolist()
        [[1.0, 5.0], [0.0, 1.0]]
    """
    name = "linalg.matrix_power"
    if A.aval.ndim < 2 or A.aval.shape[-1] != A.aval.shape[-2]:
        raise ShapeError(f"{name} of {A.aval}", f"{name}: A must be batches of square matrices.")
    if n == 0:  # the gradient is zero, as PyTorch's, not missing
        never = Tensor(source.full(shape=A.aval.shape, dtype=bool_, value=False))
        return cmp.where(never, A, Tensor(mx.identity(A.aval)))
    if n < 0:
        A, n = inv(A), -n
    out, square_ = None, A
    while True:
        if n & 1:
            out = square_ if out is None else matmul(out, square_)
        n >>= 1
        if n == 0:
            assert out is not None
            return out.clone() if out is A else out  # type: ignore[attr-defined]
        square_ = matmul(square_, square_)


def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """The product of a chain of at least two matrices in the order that costs least.

    Args:
        tensors: matrices; the first and the last may be vectors.

    Example:
        >>> import fusegrad as fg
        >>> fg.linalg.multi_dot([fg.ones(2, 3), fg.ones(3, 4), fg.ones(4)]).tolist()
        [12.0, 12.0]
    """
    if len(tensors) < 2:
        raise ShapeError(
            f"multi_dot of {len(tensors)} tensors", "multi_dot(): expected at least 2 tensors."
        )
    return products.multi_dot(tensors)


def vander(x: Tensor, N: int | None = None) -> Tensor:
    """Vandermonde's matrices: increasing powers of the elements of ``(*, n)``.

    Args:
        x: ``(*, n)`` with n >= 1.
        N: number of powers; n when ``None``.

    Returns:
        ``(*, n, N)``; int64 for integers.

    Example:
        >>> import fusegrad as fg
        >>> fg.linalg.vander(fg.tensor([1, 2, 3])).tolist()
        [[1, 1, 1], [1, 2, 4], [1, 3, 9]]
    """
    x = x if x.aval.shape else unsqueeze(x, 0)
    shape = x.aval.shape
    count = shape[-1] if N is None else N
    if shape[-1] == 0:
        raise ShapeError(f"linalg.vander of {x.aval}", "x needs a last axis with elements.")
    if count <= 1:
        raise RangeError(f"linalg.vander with N={count}", "N must be greater than 1.", "N=2")
    powers = cumprod(broadcast_to(unsqueeze(x, -1), (*shape, count - 1)), -1)
    ones = source.full(shape=(*shape, 1), dtype=powers.dtype, value=1)
    return cat([Tensor(ones), powers], -1)


def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """Inner products along ``dim``; of complex vectors the first is conjugated.

    Example:
        >>> import fusegrad as fg
        >>> fg.linalg.vecdot(fg.ones(2, 3), fg.ones(3)).tolist()
        [3.0, 3.0]
    """
    if not isinstance(x, Tensor) or not isinstance(y, Tensor):
        raise ArgumentTypeError("linalg.vecdot", "Both operands are tensors.")
    if x.dtype.category < 2 or y.dtype is not x.dtype:
        raise RangeError(
            f"linalg.vecdot of {x.aval} and {y.aval}",
            "Both operands are floating or complex tensors of one dtype.",
        )
    return sum(mul(mx.conj(x), y), dim)


def cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """Vector products along an axis of extent 3.

    Example:
        >>> import fusegrad as fg
        >>> fg.linalg.cross(fg.tensor([1, 0, 0]), fg.tensor([0, 1, 0])).tolist()
        [0, 0, 1]
    """
    if input.aval.ndim != other.aval.ndim:
        raise ShapeError(
            f"linalg.cross of {input.aval} and {other.aval}",
            "linalg.cross: inputs must have the same number of dimensions.",
        )
    axis = axis_of(dim, input.aval.ndim)
    if {x.aval.shape[axis : axis + 1] for x in (input, other)} != {(3,)}:
        raise ShapeError(
            f"linalg.cross of {input.aval} and {other.aval} along axis {axis}",
            f"linalg.cross: inputs dimension {dim} must have length 3.",
        )
    return products.cross(input, other, axis)


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Diagonals of matrices; ``fg.diagonal`` along the last two axes.

    Example:
        >>> import fusegrad as fg
        >>> fg.linalg.diagonal(fg.eye(2)).tolist()
        [1.0, 1.0]
    """
    return arrangement.diagonal(A, offset, dim1, dim2)
