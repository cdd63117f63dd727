"""Products of vectors and matrices that are compositions: outer forms, sums with a product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..dtypes import bool_
from ..errors import DTypeError, ShapeError
from ..tensor import Tensor
from .arrangement import roll
from .common import Number, axis_of, broadcast_shapes, broadcast_to, method
from .complex import conj
from .creation import arange
from .einsum import tensordot
from .linear import bmm, dot, matmul, mv, outer
from .norms import norm
from .pointwise import add, mul, pow, sub
from .rounding import rounds_once
from .shape import flip, reshape, unsqueeze


@method()
def inner(input: Tensor, other: Tensor) -> Tensor:
    """Sums of products along the last axes.

    Example:
        >>> import fusegrad as fg
        >>> fg.inner(fg.tensor([1.0, 2.0]), fg.tensor([3.0, 4.0])).item()
        11.0
    """
    if not input.aval.shape or not other.aval.shape:
        return mul(input, other)
    if input.aval.shape[-1] != other.aval.shape[-1]:
        raise ShapeError(f"inner of {input.aval} and {other.aval}", "The last axes must be equal.")
    return tensordot(input, other, ([-1], [-1]))


@method()
def vdot(input: Tensor, other: Tensor) -> Tensor:
    """The product of the conjugate of one vector with another.

    Example:
        >>> import fusegrad as fg
        >>> fg.vdot(fg.tensor([1.0, 2.0]), fg.tensor([3.0, 4.0])).item()
        11.0
    """
    return dot(conj(input), other)


@method()
def ger(input: Tensor, vec2: Tensor) -> Tensor:
    """The same as ``outer``."""
    return outer(input, vec2)


@method()
def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The vector product along an axis of extent 3 (the first such one when ``None``).

    Example:
        >>> import fusegrad as fg
        >>> fg.cross(fg.tensor([1, 0, 0]), fg.tensor([0, 1, 0]), dim=0).tolist()
        [0, 0, 1]
    """
    shape = broadcast_shapes(input.aval.shape, other.aval.shape, op="cross")
    if dim is None:
        if 3 not in shape:
            raise ShapeError(f"cross of {input.aval}", "No axis has extent 3.")
        dim = shape.index(3)
    axis = axis_of(dim, len(shape))
    if shape[axis] != 3:
        raise ShapeError(f"cross along axis {axis} of {input.aval}", "Its extent must be 3.")
    x, y = broadcast_to(input, shape), broadcast_to(other, shape)
    left = mul(roll(x, -1, axis), roll(y, -2, axis))
    return sub(left, mul(roll(x, -2, axis), roll(y, -1, axis)))


@method()
def kron(input: Tensor, other: Tensor) -> Tensor:
    """Kronecker's product: every element of ``input`` times the whole of ``other``.

    Example:
        >>> import fusegrad as fg
        >>> fg.kron(fg.tensor([1, 10]), fg.tensor([1, 2])).tolist()
        [1, 2, 10, 20]
    """
    n = max(input.aval.ndim, other.aval.ndim)
    a = (1,) * (n - input.aval.ndim) + input.aval.shape
    b = (1,) * (n - other.aval.ndim) + other.aval.shape
    x = reshape(input, [v for m in a for v in (m, 1)])
    y = reshape(other, [v for m in b for v in (1, m)])
    return reshape(mul(x, y), [m * k for m, k in zip(a, b, strict=True)])


def _plus(input: Tensor, product: Tensor, beta: Any, alpha: Any) -> Tensor:
    """``beta * input + alpha * product``; with beta 0 what ``input`` holds does not matter."""
    if product.dtype.category < 2:  # factors of integer sums are integers, too
        beta, alpha = (int(f) if isinstance(f, float) else f for f in (beta, alpha))
    scaled = product if isinstance(alpha, Number) and alpha == 1 else mul(product, alpha)
    if isinstance(beta, Number) and beta == 0:
        return scaled
    shape = product.aval.shape
    if input.dtype is not product.dtype:
        raise DTypeError(f"adding {input.aval} to {product.aval}", "One dtype is needed.")
    kept = input if isinstance(beta, Number) and beta == 1 else mul(input, beta)
    return add(broadcast_to(kept, shape), scaled)


@method()
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta * input + alpha * (mat @ vec).

    Example:
        >>> import fusegrad as fg
        >>> fg.addmv(fg.ones(2), fg.eye(2), fg.tensor([1.0, 2.0])).tolist()
        [2.0, 3.0]
    """
    return _plus(input, mv(mat, vec), beta, alpha)


@method()
def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta * input + alpha * outer(vec1, vec2).

    Example:
        >>> import fusegrad as fg
        >>> fg.addr(fg.zeros(1, 2), fg.tensor([2.0]), fg.tensor([1.0, 3.0])).tolist()
        [[2.0, 6.0]]
    """
    product = outer(vec1, vec2)
    if input.dtype is product.dtype is bool_:  # PyTorch keeps booleans, whatever the factors
        beta, alpha = bool(beta), bool(alpha)
    return _plus(input, product, beta, alpha)


@method()
def baddbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1
) -> Tensor:
    """beta * input + alpha * bmm(batch1, batch2).

    Example:
        >>> import fusegrad as fg
        >>> fg.baddbmm(fg.ones(1), fg.ones(2, 1, 3), fg.ones(2, 3, 1)).flatten().tolist()
        [4.0, 4.0]
    """
    return _plus(input, bmm(batch1, batch2), beta, alpha)


@method()
@rounds_once
def addbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1
) -> Tensor:
    """beta * input + alpha times the sum of the products of all pairs.

    Example:
        >>> import fusegrad as fg
        >>> fg.addbmm(fg.ones(1, 1), fg.ones(2, 1, 3), fg.ones(2, 3, 1)).tolist()
        [[7.0]]
    """
    if batch1.aval.ndim != 3 or batch2.aval.ndim != 3:
        raise ShapeError(f"addbmm of {batch1.aval} and {batch2.aval}", "Both need three axes.")
    return _plus(input, tensordot(batch1, batch2, ([0, 2], [0, 1])), beta, alpha)


def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """The product of a chain of matrices in the order that costs least.

    Example:
        >>> import fusegrad as fg
        >>> fg.chain_matmul(fg.ones(2, 3), fg.ones(3, 4), fg.ones(4, 1)).tolist()
        [[12.0], [12.0]]
    """
    if not tensors:
        raise ShapeError("multi_dot of nothing", "At least one matrix is needed.")
    first, last = tensors[0], tensors[-1]
    xs = list(tensors)
    if first.aval.ndim == 1:
        xs[0] = unsqueeze(first, 0)
    if last.aval.ndim == 1:
        xs[-1] = unsqueeze(last, 1)
    if any(x.aval.ndim != 2 for x in xs):
        raise ShapeError("multi_dot", "The operands are matrices, the outer ones may be vectors.")
    out = _chain(xs)
    if len(tensors) == 1:
        return first
    keep = out.aval.shape[int(first.aval.ndim == 1) : 2 - int(last.aval.ndim == 1)]
    return reshape(out, keep) if keep != out.aval.shape else out


def _chain(xs: Sequence[Tensor]) -> Tensor:
    sizes = [x.aval.shape[0] for x in xs] + [xs[-1].aval.shape[1]]
    cost: dict[tuple[int, int], tuple[float, int]] = {(k, k): (0.0, k) for k in range(len(xs))}
    for span in range(1, len(xs)):
        for a in range(len(xs) - span):
            b = a + span
            cost[a, b] = min(
                (cost[a, k][0] + cost[k + 1, b][0] + sizes[a] * sizes[k + 1] * sizes[b + 1], k)
                for k in range(a, b)
            )

    def product(a: int, b: int) -> Tensor:
        if a == b:
            return xs[a]
        k = cost[a, b][1]
        return matmul(product(a, k), product(k + 1, b))

    return product(0, len(xs) - 1)


def chain_matmul(*matrices: Tensor) -> Tensor:
    """The product of a chain of matrices; see ``multi_dot``."""
    return multi_dot(matrices)


@rounds_once
def cdist(
    x1: Tensor,
    x2: Tensor,
    p: float = 2.0,
    compute_mode: str = "use_mm_for_euclid_dist_if_necessary",
) -> Tensor:
    """Distances between the rows of two (batches of) matrices in the p-norm.

    Distances are always computed from differences, which is exact where rows are close;
    ``compute_mode`` is accepted. The gradient at distance zero is zero.

    Example:
        >>> import fusegrad as fg
        >>> fg.cdist(fg.zeros(1, 2), fg.tensor([[3.0, 4.0]])).tolist()
        [[5.0]]
    """
    if x1.aval.ndim < 2 or x2.aval.ndim < 2 or x1.aval.shape[-1] != x2.aval.shape[-1]:
        raise ShapeError(
            f"cdist of {x1.aval} and {x2.aval}", "Both are matrices with as many columns."
        )
    for x in (x1, x2):
        if not x.dtype.is_floating_point:
            raise DTypeError(f"cdist of {x.aval}", "Distances need a floating dtype.", "x.float()")
    if p < 0:
        raise ShapeError(f"cdist with p={p}", "p must not be negative.")
    return norm(sub(unsqueeze(x1, -2), unsqueeze(x2, -3)), p, -1)


def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """Vandermonde's matrix: powers of a vector, decreasing unless told otherwise.

    Example:
        >>> import fusegrad as fg
        >>> fg.vander(fg.tensor([1, 2])).tolist()
        [[1, 1], [2, 1]]
    """
    if x.aval.ndim != 1:
        raise ShapeError(f"vander of {x.aval}", "It takes a vector.")
    count = x.aval.shape[0] if N is None else N
    out = pow(unsqueeze(x, 1), arange(count))
    return out if increasing else flip(out, 1)
