"""Operands that PyTorch's functions refuse by dtype, and how those errors read."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtypes import bool_
from ..errors import DTypeError
from ..tensor import Tensor


def _listed(values: tuple[Any, ...]) -> str:
    return ", ".join(str(v.aval) if isinstance(v, Tensor) else repr(v) for v in values)


def no_booleans(name: str, *values: Any, try_: str = "x.long()") -> None:
    """Require that no operand is boolean.

    Raises:
        RuntimeError: one is.
    """
    if any(v.dtype is bool_ if isinstance(v, Tensor) else isinstance(v, bool) for v in values):
        raise DTypeError(
            f"{name} of {_listed(values)}", f"{name} is not implemented for booleans.", try_
        )


def floats_only(name: str, x: Tensor) -> None:
    """Require a floating or complex operand.

    Raises:
        RuntimeError: it is an integer or boolean tensor.
    """
    if x.dtype.category < 2:
        raise DTypeError(
            f"{name} of {x.aval}",
            f"\"{name}\" not implemented for '{x.dtype.torch_name}'",
            "convert with .float()",
        )


def one_dtype(name: str, *values: Any) -> None:
    """Require tensors of one dtype; numbers go with any.

    Raises:
        RuntimeError: two differ.
    """
    tensors = [v for v in values if isinstance(v, Tensor)]
    for other in tensors[1:]:
        if other.dtype is not tensors[0].dtype:
            raise DTypeError(
                f"{name} of {_listed(values)}",
                f"expected dtype {tensors[0].dtype}, but got {other.dtype}",
                f"convert with .to({tensors[0].dtype})",
            )


def no_zero_divisor(name: str, divisor: Any) -> None:
    """Require integers other than zero; inside a trace, which has no values, 0 is the quotient.

    Raises:
        RuntimeError: a divisor is zero.
    """
    value = divisor._value if isinstance(divisor, Tensor) else divisor
    if isinstance(value, (int, np.ndarray)) and not np.all(value):
        raise DTypeError(f"{name} by zero", "ZeroDivisionError: integers have no infinity.", "")
