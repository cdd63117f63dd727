"""Initial values of parameters, in place and outside the gradient history.

In: a tensor. Out: the same tensor, refilled. Names and distributions are those of
``torch.nn.init``; the random stream is fusegrad's own.
"""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..autograd import no_grad
from ..dtypes import widen
from ..errors import ArgumentError
from ..functions.common import cast
from ..functions.creation import eye
from ..functions.pointwise import clamp
from ..functions.random import Generator, rand, randn
from ..ops import elementwise as ew
from ..ops import transcendental as tr
from ..tensor import Tensor


def calculate_gain(nonlinearity: str, param: Any = None) -> float:
    """The gain recommended for a nonlinearity."""
    linear = (
        "linear",
        "conv1d",
        "conv2d",
        "conv3d",
        "conv_transpose1d",
        "conv_transpose2d",
        "conv_transpose3d",
        "sigmoid",
    )
    if nonlinearity in linear:
        return 1.0
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        if param is None:
            slope = 0.01
        elif isinstance(param, (int, float)) and not isinstance(param, bool):
            slope = param
        else:
            raise ArgumentError(
                f"calculate_gain with param={param!r}",
                f"negative_slope {param} not a valid number.",
            )
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity == "selu":
        return 3.0 / 4
    raise ArgumentError(
        f"calculate_gain of {nonlinearity!r}", f"Unsupported nonlinearity {nonlinearity}."
    )


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """Number of inputs and outputs of a weight; user code knows it by PyTorch's name."""
    shape = tensor.aval.shape
    if len(shape) < 2:
        raise ArgumentError(
            f"an initializer with fans got {tensor.aval}",
            "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions.",
        )
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


class _Skip(threading.local):
    on = False


_skip = _Skip()


@contextmanager
def skipped() -> Iterator[None]:
    """Leave tensors as they are inside the ``with`` block; no random number is drawn."""
    before, _skip.on = _skip.on, True
    try:
        yield
    finally:
        _skip.on = before


def _set(tensor: Tensor, value: Tensor) -> Tensor:
    with no_grad():
        return tensor.copy_(value)  # type: ignore[attr-defined]


def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Uniform numbers in [a, b)."""
    if _skip.on:
        return tensor
    with no_grad():
        return tensor.uniform_(a, b, generator=generator)  # type: ignore[attr-defined]


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Normal numbers."""
    if _skip.on:
        return tensor
    with no_grad():
        return tensor.normal_(mean, std, generator=generator)  # type: ignore[attr-defined]


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Normal numbers limited to [a, b], by inversion of the distribution function."""

    if _skip.on:
        return tensor

    def cdf(x: float) -> float:
        return (1.0 + math.erf(x / math.sqrt(2.0))) / 2.0

    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. "
            "The distribution of values may be incorrect.",
            stacklevel=2,
        )
    low, high = 2 * cdf((a - mean) / std) - 1, 2 * cdf((b - mean) / std) - 1
    draw = rand(tensor.aval.shape, dtype=tensor.dtype, generator=generator)
    normal = tr.erfinv(ew.add(ew.mul(draw, high - low), low))
    value = ew.add(ew.mul(normal, std * math.sqrt(2.0)), mean)
    return _set(tensor, clamp(value, min=a, max=b))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Every element ``val``."""
    if _skip.on:
        return tensor
    with no_grad():
        return tensor.fill_(val)  # type: ignore[attr-defined]


def ones_(tensor: Tensor) -> Tensor:
    """Every element 1."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Every element 0."""
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix."""
    if tensor.aval.ndim != 2:
        raise ArgumentError(
            f"eye_ of {tensor.aval}", "Only tensors with 2 dimensions are supported."
        )
    return tensor if _skip.on else _set(tensor, eye(*tensor.aval.shape, dtype=tensor.dtype))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Convolution weights that pass the input channels on, as many as there are.

    Args:
        tensor: the weight of a convolution over one, two or three axes.
        groups: number of groups of output channels, each of which starts anew.

    Raises:
        ValueError: other shapes, or output channels that the groups do not divide.

    Example:
        >>> import fusegrad as fg
        >>> fg.nn.init.dirac_(fg.empty(2, 1, 3)).tolist()
        [[[0.0, 1.0, 0.0]], [[0.0, 0.0, 0.0]]]
    """
    shape = tensor.aval.shape
    if len(shape) not in (3, 4, 5):
        raise ArgumentError(
            f"dirac_ of {tensor.aval}", "Only tensors with 3, 4, or 5 dimensions are supported."
        )
    if shape[0] % groups:
        raise ArgumentError(
            f"dirac_ of {tensor.aval} with groups={groups}", "dim 0 must be divisible by groups."
        )
    if _skip.on:
        return tensor
    per_group = shape[0] // groups
    values = np.zeros(shape, tensor.dtype.compute.np)
    centre = tuple(extent // 2 for extent in shape[2:])
    for group in range(groups):
        for channel in range(min(per_group, shape[1])):
            values[(group * per_group + channel, channel, *centre)] = 1
    return _set(tensor, Tensor(values))


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Uniform numbers of variance gain**2 * 2 / (fan_in + fan_out)."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    bound = math.sqrt(3.0) * gain * math.sqrt(2.0 / (fan_in + fan_out))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal numbers of variance gain**2 * 2 / (fan_in + fan_out)."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / (fan_in + fan_out)), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode.lower() not in ("fan_in", "fan_out"):
        raise ArgumentError(
            f"kaiming initializer with mode={mode!r}",
            "Mode not supported, please use one of ['fan_in', 'fan_out'].",
        )
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    fan = fan_in if mode.lower() == "fan_in" else fan_out
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Uniform numbers of variance gain**2 / fan."""
    if 0 in tensor.aval.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=2)
        return tensor
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Normal numbers of variance gain**2 / fan."""
    if 0 in tensor.aval.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=2)
        return tensor
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """A (semi-)orthogonal matrix; trailing axes count as columns."""
    shape = tensor.aval.shape
    if len(shape) < 2:
        raise ArgumentError(
            f"orthogonal_ of {tensor.aval}", "Only tensors with 2 or more dimensions are supported."
        )
    if tensor.aval.size == 0 or _skip.on:
        return tensor
    rows, columns = shape[0], math.prod(shape[1:])
    flat = randn(rows, columns, dtype=tensor.dtype, generator=generator)
    matrix = widen(flat._concrete("orthogonal_"))
    q, r = np.linalg.qr(matrix.T if rows < columns else matrix)
    q = q * np.sign(np.diagonal(r))  # a uniform distribution over the orthogonal group
    q = (q.T if rows < columns else q) * gain
    return _set(tensor, cast(Tensor(np.ascontiguousarray(q.reshape(shape))), tensor.dtype))


def sparse_(
    tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None
) -> Tensor:
    """Normal numbers with a fraction ``sparsity`` of every column zeroed."""
    if tensor.aval.ndim != 2:
        raise ArgumentError(
            f"sparse_ of {tensor.aval}", "Only tensors with 2 dimensions are supported."
        )
    if _skip.on:
        return tensor
    rows, columns = tensor.aval.shape
    draw = ew.mul(randn(rows, columns, dtype=tensor.dtype, generator=generator), std)
    values = widen(draw._concrete("sparse_"))
    order = rand(rows, columns, generator=generator)._concrete("sparse_").argsort(axis=0)
    np.put_along_axis(values, order[: math.ceil(sparsity * rows)], 0, axis=0)
    return _set(tensor, Tensor(values))
