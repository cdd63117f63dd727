"""Parameters as one vector and back."""

from __future__ import annotations

from collections.abc import Iterable

from ...errors import ArgumentTypeError
from ...functions.shape import cat, reshape
from ...tensor import Tensor


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters flattened and joined."""
    return cat([reshape(p, -1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Set the parameters to consecutive pieces of ``vec``."""
    if not isinstance(vec, Tensor):
        raise ArgumentTypeError(
            f"vector_to_parameters of a {type(vec).__name__}", "expected a Tensor."
        )
    position = 0
    for parameter in parameters:
        count = parameter.aval.size
        piece = vec[position : position + count]  # type: ignore[index]
        parameter.data = reshape(piece, parameter.aval.shape)  # type: ignore[attr-defined]
        position += count
