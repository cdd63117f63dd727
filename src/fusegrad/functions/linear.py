"""Matrix products and their relatives, all calls of the one contraction."""

from __future__ import annotations

from typing import Any

from ..errors import DTypeError, ShapeError
from ..ops import contract
from ..tensor import Tensor
from .common import broadcast_shapes, broadcast_to, method
from .pointwise import add, mul
from .refusals import no_booleans
from .shape import reshape, unsqueeze


def _dot(x: Tensor, y: Tensor, cx: int, cy: int, batch: int = 0) -> Tensor:
    axes = tuple(range(batch))
    return contract.dot(x, y, cx=(cx,), cy=(cy,), bx=axes, by=axes)


def _same_dtype(name: str, x: Tensor, y: Tensor, *labels: str) -> None:
    """Products do not promote: a float64 operand would silently change the dtype of a model."""
    if x.dtype is not y.dtype:
        first, second = labels or ("the first", "the second")
        raise DTypeError(
            f"{name} got {x.aval} and {y.aval}",
            f"mat1 and mat2 must have the same dtype, but got {x.dtype} and {y.dtype}.",
            f"convert {first} with .to({y.dtype}), or {second} with .to({x.dtype})",
        )


@method("__rmatmul__")
def rmatmul(input: Tensor, other: Tensor) -> Tensor:
    """other @ input."""
    return matmul(other, input)


@method("matmul", "__matmul__")
def matmul(input: Tensor, other: Tensor) -> Tensor:
    """Matrix product; vectors, batches and broadcasting as in PyTorch.

    Raises:
        RuntimeError: the contracted extents differ or an operand is 0-d.
    """
    x, y = input, other
    _same_dtype("matmul", x, y)
    no_booleans("matmul", x)
    nx, ny = x.aval.ndim, y.aval.ndim
    if nx == 0 or ny == 0:
        raise ShapeError(
            f"matmul got {x.aval} and {y.aval}", "Both operands need at least one axis.", "x * y"
        )
    k, m = x.aval.shape[-1], y.aval.shape[-2 if ny > 1 else 0]
    if k != m:
        raise ShapeError(
            f"matmul got {x.aval} and {y.aval}",
            f"The last axis of the first ({k}) must equal the "
            f"{'second-to-last' if ny > 1 else 'only'} axis of the second ({m}).",
            "transpose the second operand"
            if ny > 1 and y.aval.shape[-1] == k
            else "check the number of features of the layer",
        )
    if ny <= 2:
        return _dot(x, y, nx - 1, ny - 2 if ny > 1 else 0)
    if nx == 1:
        return reshape(matmul(unsqueeze(x, 0), y), (*y.aval.shape[:-2], y.aval.shape[-1]))
    batch = broadcast_shapes(x.aval.shape[:-2], y.aval.shape[:-2], op="matmul")
    x = broadcast_to(x, (*batch, *x.aval.shape[-2:]))
    y = broadcast_to(y, (*batch, *y.aval.shape[-2:]))
    b = len(batch)
    return _dot(x, y, b + 1, b, b)


def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """Product of two matrices."""
    if input.aval.ndim != 2 or mat2.aval.ndim != 2:
        raise ShapeError(f"mm got {input.aval} and {mat2.aval}", "Both must be matrices.", "matmul")
    return matmul(input, mat2)


def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """Batch of matrix products."""
    if input.aval.ndim != 3 or mat2.aval.ndim != 3:
        raise ShapeError(f"bmm got {input.aval} and {mat2.aval}", "Both must be 3-d.", "matmul")
    return matmul(input, mat2)


def mv(input: Tensor, vec: Tensor) -> Tensor:
    """Matrix times vector."""
    return matmul(input, vec)


def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """Inner product of two vectors."""
    if input.aval.ndim != 1 or tensor.aval.ndim != 1:
        raise ShapeError(f"dot got {input.aval} and {tensor.aval}", "Both must be vectors.")
    return matmul(input, tensor)


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """Outer product of two vectors."""
    for x in (input, vec2):
        if x.aval.ndim != 1:
            raise ShapeError(f"outer of {x.aval}", "It takes two vectors.", "x.reshape(-1)")
    return mul(unsqueeze(input, 1), unsqueeze(vec2, 0))


def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta * input + alpha * (mat1 @ mat2)."""
    _same_dtype("addmm", input, mat2, "input", "mat1 and mat2")
    product = mm(mat1, mat2)
    product = mul(product, alpha) if isinstance(alpha, Tensor) or alpha != 1 else product
    return add(product, mul(input, beta) if isinstance(beta, Tensor) or beta != 1 else input)


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input @ weight.T + bias``.

    Args:
        input: ``[..., in_features]``.
        weight: ``[out_features, in_features]``.
        bias: ``[out_features]`` or ``None``.

    Raises:
        RuntimeError: the last axis of ``input`` is not ``in_features``.
    """
    k = weight.aval.shape[-1]
    if not input.aval.shape or input.aval.shape[-1] != k:
        raise ShapeError(
            f"linear got input {input.aval} and weight {weight.aval}",
            f"The last axis of the input must equal the in_features of the layer ({k}).",
            f"create the layer with in_features={input.aval.shape[-1] if input.aval.shape else 1}",
        )
    _same_dtype("linear", input, weight, "the input", "the layer")
    out = _dot(input, weight, input.aval.ndim - 1, weight.aval.ndim - 1)
    return out if bias is None else add(out, bias)


for _function in (mm, bmm, mv, dot, outer, addmm):
    method()(_function)
