"""Parameters as one vector and back."""

from __future__ import annotations

from collections.abc import Iterable

from ...errors import ArgumentTypeError
from ...functions.shape import cat, reshape
from ...tensor import Tensor


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters flattened and joined.

    Example:
        >>> import fusegrad as fg
        >>> fg.nn.utils.parameters_to_vector([fg.ones(1, 2), fg.zeros(1)]).tolist()
        [1.0, 1.0, 0.0]
    """
    return cat([reshape(p, -1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Set the parameters to consecutive pieces of ``vec``, whose memory they share from then on.

    Raises:
        TypeError: ``vec`` is not a tensor.

    Example:
        >>> import fusegrad as fg
        >>> p = fg.nn.Parameter(fg.zeros(2, 1))
        >>> fg.nn.utils.vector_to_parameters(fg.tensor([1.0, 2.0]), [p]); p.tolist()
        [[1.0], [2.0]]
    """
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
