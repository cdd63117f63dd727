"""Half precision through composed functions: computed in ``float32``, rounded once at the end.

In: a function over tensors that PyTorch has as one kernel. Out: the same function, whose
``float16`` and ``bfloat16`` operands are widened before and whose results are rounded after it, as
that kernel does. A primitive needs no such care, its evaluation does the same.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ..dtypes import DType, float32
from ..tensor import Tensor
from .common import cast, promote

F = TypeVar("F", bound=Callable[..., Any])


def rounds_once(function: F) -> F:
    """Round half-precision results of ``function`` once.

    Nothing changes for a call with ``dtype=``, which says where to round, nor where a wider
    operand makes the result wider. ``inplace=True`` writes the rounded result.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        for value in args:
            if isinstance(value, Tensor) and value.dtype.reduced:
                break
        else:
            if not any(isinstance(v, Tensor) and v.dtype.reduced for v in kwargs.values()):
                return function(*args, **kwargs)
        bound = signature.bind(*args, **kwargs).arguments
        dtype = promote(*[v for v in bound.values() if _floating(v)])
        if not dtype.reduced or bound.get("dtype") is not None:
            return function(*args, **kwargs)
        target = next(iter(bound.values())) if bound.pop("inplace", False) else None
        wide = {name: _wide(value) for name, value in bound.items()}
        out = narrowed(_call(function, signature, wide), dtype)
        return out if target is None else target._assign(out, f"in-place {function.__name__}")

    return wrapped  # type: ignore[return-value]


def rounds_to_input(function: F) -> F:
    """Like ``rounds_once`` for layers, whose parameters and statistics may be wider or change."""

    @functools.wraps(function)
    def wrapped(input: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(input, Tensor) or not input.dtype.reduced:
            return function(input, *args, **kwargs)
        return narrowed(function(cast(input, float32), *args, **kwargs), input.dtype)

    return wrapped  # type: ignore[return-value]


def _call(function: Callable[..., Any], signature: inspect.Signature, given: Any) -> Any:
    """Call with arguments by name, as ``signature`` wants them."""
    bound = inspect.BoundArguments(signature, given)
    return function(*bound.args, **bound.kwargs)


def _floating(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype.is_floating_point


def _wide(value: Any) -> Any:
    if isinstance(value, Tensor):
        return cast(value, float32) if value.dtype.reduced else value
    if type(value) in (tuple, list):
        return type(value)(map(_wide, value))
    return value


def narrowed(value: Any, dtype: DType) -> Any:
    """The ``float32`` tensors of a result as ``dtype``."""
    if isinstance(value, Tensor):
        return cast(value, dtype) if value.dtype is float32 else value
    if isinstance(value, Sequence) and not isinstance(value, str):
        parts = [narrowed(v, dtype) for v in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)  # type: ignore[call-arg]
    return value
