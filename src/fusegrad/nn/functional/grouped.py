"""Products of matrices group by group (``torch.nn.functional.grouped_mm``)."""

from __future__ import annotations

from typing import Any

from ...dtypes import DType, int32, int64
from ...errors import DTypeError, RangeError, ShapeError
from ...functions.common import cast
from ...functions.creation import zeros
from ...functions.linear import matmul
from ...functions.pointwise import where
from ...functions.shape import stack
from ...ops import compare as cmp
from ...ops import source
from ...tensor import Tensor

__all__ = ["grouped_mm"]


def grouped_mm(
    mat_a: Tensor,
    mat_b: Tensor,
    *,
    offs: Tensor | None = None,
    bias: Tensor | None = None,
    out_dtype: DType | None = None,
) -> Tensor:
    """One product for each group; groups lie one behind the other along an axis, or in a batch.

    ``(M, K) x (G, K, N)`` gives ``(M, N)``, groups of rows; ``(G, M, K) x (K, N)`` gives
    ``(M, N)``, groups of columns; ``(M, K) x (K, N)`` gives ``(G, M, N)``, groups of the axis that
    is summed; ``(G, M, K) x (G, K, N)`` is a batched product. What lies behind the last group is
    zero (PyTorch leaves it undefined). Offsets are run-time values, so each group multiplies the
    whole axis, with the others' elements left out.

    Args:
        mat_a, mat_b: matrices of one floating dtype, 2-D or 3-D.
        offs: int32, where each group ends; unless both are 3-D.
        bias: not supported, as in PyTorch.
        out_dtype: the dtype of the operands.

    Raises:
        RuntimeError: shapes, dtypes or offsets that do not go together.

    Example:
        >>> import fusegrad as fg
        >>> weights = fg.stack([fg.ones(2, 3), 2 * fg.ones(2, 3)])
        >>> ends = fg.tensor([1, 3], dtype=fg.int32)
        >>> fg.nn.functional.grouped_mm(fg.ones(3, 2), weights, offs=ends)[:, 0].tolist()
        [2.0, 4.0, 4.0]
    """
    _check(mat_a, mat_b, offs, bias, out_dtype)
    if offs is None:
        return matmul(mat_a, mat_b)
    ends = cast(offs, int64)
    groups = offs.aval.shape[0]
    a_ragged, b_ragged = mat_a.aval.ndim == 2, mat_b.aval.ndim == 2
    extent = mat_a.aval.shape[-1] if a_ragged and b_ragged else None
    if extent is None:
        extent = mat_a.aval.shape[0] if a_ragged else mat_b.aval.shape[1]
    at = Tensor(source.iota(shape=(extent,), dtype=int64, axis=0))
    products = []
    out = zeros(mat_a.aval.shape[-2], mat_b.aval.shape[-1], dtype=mat_a.dtype)
    for k in range(groups):
        inside: Any = cmp.lt(at, ends[k].expand(extent))  # type: ignore[attr-defined]
        if k:
            inside = cmp.and_(inside, cmp.ge(at, ends[k - 1].expand(extent)))  # type: ignore[attr-defined]
        if a_ragged and b_ragged:
            a, b = where(inside, mat_a, 0), where(inside[:, None], mat_b, 0)
            products.append(matmul(a, b))
        elif a_ragged:
            rows = inside[:, None]
            out = where(rows, matmul(where(rows, mat_a, 0), mat_b[k]), out)
        else:
            out = where(inside, matmul(mat_a[k], where(inside, mat_b, 0)), out)
    return stack(products) if a_ragged and b_ragged else out


def _check(
    a: Tensor, b: Tensor, offs: Tensor | None, bias: Tensor | None, out_dtype: DType | None
) -> None:
    what = f"grouped_mm of {a.aval} and {b.aval}"
    if a.aval.ndim not in (2, 3) or b.aval.ndim not in (2, 3):
        raise ShapeError(what, "mat_a and mat_b have to be 2d or 3d.")
    if not a.dtype.is_floating_point or a.dtype is not b.dtype:
        raise DTypeError(what, "Expected mat_a and mat_b to be matrices of one floating dtype.")
    if out_dtype not in (None, a.dtype):
        raise DTypeError(what, "Grouped gemm output dtype must match `mat_a` dtype.")
    if bias is not None:
        raise RangeError(what + " with a bias", "Bias not supported yet.", "add it to the result")
    both = a.aval.ndim == b.aval.ndim == 3
    if (offs is None) != both:
        raise RangeError(
            what, "Offsets are needed if there is a 2d matrix, and none if both are 3d.", "offs="
        )
    if a.aval.shape[-1] != b.aval.shape[-2]:
        raise ShapeError(what, "contraction dimension of mat_a and mat_b must match.")
    groups = {x.aval.shape[0] for x in (a, b) if x.aval.ndim == 3}
    if offs is not None:
        if offs.dtype is not int32 or offs.aval.ndim != 1:
            raise DTypeError(what + f" with offs {offs.aval}", "Offsets have to be int32, 1-D.")
        groups.add(offs.aval.shape[0])
    if len(groups) > 1:
        raise ShapeError(what, "matrix batch sizes have to match.")
