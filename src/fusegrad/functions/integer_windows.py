"""Convolutions of integers, exactly and modulo their range: one slice per element of the window.

The records of ``ops/window.py`` multiply floating numbers, which would round. Nothing is
differentiated here, and no training step has its time in it.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

from ..ops import movement
from ..tensor import Tensor
from .creation import zeros
from .linear import matmul
from .shape import flip, reshape, stack, transpose

Ints = tuple[int, ...]


def _padded(x: Tensor, low: Ints, high: Ints) -> Tensor:
    """``x`` with zeros around its spatial axes."""
    if not any((*low, *high)):
        return x
    shape = [n + lo + hi for n, lo, hi in zip(x.aval.shape[2:], low, high, strict=True)]
    out = zeros(*x.aval.shape[:2], *shape, dtype=x.dtype)
    inner = tuple(slice(lo, lo + n) for n, lo in zip(x.aval.shape[2:], low, strict=True))
    out[(..., *inner)] = x
    return out


def conv(
    x: Tensor, weight: Tensor, *, size: Ints, stride: Ints, low: Ints, dilation: Ints, groups: int
) -> Tensor:
    """What ``ops.window.conv`` computes, of integers.

    Args:
        x: images ``[N, C, ...]``.
        weight: ``[O, C / groups, ...]``.
        size: spatial extents of the result.
        stride, low, dilation: as in ``conv``; ``low`` is the padding in front.
    """
    kernel = weight.aval.shape[2:]
    spans = [(s - 1) * t + 1 for s, t in zip(size, stride, strict=True)]
    rows = zip(x.aval.shape[2:], kernel, spans, low, dilation, strict=True)
    x = _padded(x, low, tuple(max(0, s + d * (k - 1) - lo - n) for n, k, s, lo, d in rows))
    parts = []
    for place in itertools.product(*map(range, kernel)):
        begins = [p * d for p, d in zip(place, dilation, strict=True)]
        axes = zip(begins, spans, stride, strict=True)
        parts.append(x[(..., *(slice(b, b + s, t) for b, s, t in axes))])
    batch, channels, outputs = *x.aval.shape[:2], weight.aval.shape[0]
    each = channels // groups * math.prod(kernel)
    columns = reshape(stack(parts, 2), batch, groups, each, math.prod(size))
    rows_of_weights: Any = reshape(weight, groups, outputs // groups, each)
    return reshape(matmul(rows_of_weights, columns), batch, outputs, *size)


def conv_input(
    y: Tensor, weight: Tensor, *, size: Ints, stride: Ints, low: Ints, dilation: Ints, groups: int
) -> Tensor:
    """What ``ops.window.conv_input`` computes, of integers: images spread apart, then ``conv``.

    Args:
        y: images ``[N, C, ...]``.
        weight: ``[C, O / groups, ...]``.
        size: spatial extents of the result.
        stride, low, dilation: as in ``conv_transpose``.
    """
    apart = [(n - 1) * s + 1 for n, s in zip(y.aval.shape[2:], stride, strict=True)]
    spread = zeros(*y.aval.shape[:2], *apart, dtype=y.dtype)
    spread[(..., *(slice(None, None, s) for s in stride))] = y
    kernel = weight.aval.shape[2:]
    around = tuple(d * (k - 1) for k, d in zip(kernel, dilation, strict=True))
    split = reshape(weight, groups, weight.aval.shape[0] // groups, *weight.aval.shape[1:])
    turned = flip(transpose(split, 1, 2), list(range(3, 3 + len(kernel))))
    turned = movement.reshape(
        turned, shape=(groups * weight.aval.shape[1], weight.aval.shape[0] // groups, *kernel)
    )
    whole = conv(
        spread, turned, size=tuple(lo + n for lo, n in zip(low, size, strict=True)),
        stride=(1,) * len(kernel), low=around, dilation=dilation, groups=groups,
    )  # fmt: skip
    return whole[(..., *(slice(lo, None) for lo in low))]
