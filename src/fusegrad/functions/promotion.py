"""``result_type`` and ``can_cast``: the dtype of operands together, and what converts to what."""

from __future__ import annotations

from typing import Any

from ..dtypes import DType
from .common import promote


def result_type(tensor1: Any, tensor2: Any) -> DType:
    """The dtype of an arithmetic operation on two operands, tensors or numbers.

    Example:
        >>> import fusegrad as fg
        >>> fg.result_type(fg.ones(2, dtype=fg.bfloat16), 1.5)
        fusegrad.bfloat16
    """
    return promote(tensor1, tensor2)


def can_cast(from_: DType, to: DType) -> bool:
    """Whether a result of dtype ``from_`` may be written to a tensor of dtype ``to`` in place.

    The kind must not get smaller: bool, integer, floating, complex.

    Example:
        >>> import fusegrad as fg
        >>> fg.can_cast(fg.float64, fg.float16), fg.can_cast(fg.float16, fg.int64)
        (True, False)
    """
    return from_.category <= to.category
