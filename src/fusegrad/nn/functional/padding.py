"""Padding in every mode: what lies outside is a constant, a reflection, the edge or the other end.

In: an input and (low, high) per padded axis from the last one backwards. Out: the larger tensor.
All modes are movements, so a kernel that reads the result computes indices instead of copying.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import ArgumentError, ShapeError
from ...functions.common import broadcast_to, unshared
from ...functions.shape import cat, flip, narrow, pad_constant
from ...tensor import Tensor

__all__ = ["pad"]

MODES = ("constant", "reflect", "replicate", "circular")


def _edges(x: Tensor, axis: int, low: int, high: int, mode: str) -> list[Tensor]:
    """What goes before and after ``x`` along one axis; an empty side is left out."""
    extent = x.aval.shape[axis]

    def piece(start: int, count: int, turned: bool = False) -> Tensor:
        part = narrow(x, axis, start, count)
        return flip(part, axis) if turned else part

    def edge(start: int, count: int) -> Tensor:
        shape = [count if k == axis else n for k, n in enumerate(x.aval.shape)]
        return broadcast_to(narrow(x, axis, start, 1), shape)

    if mode == "reflect":
        before, after = (1, low), (extent - 1 - high, high)
        sides = [(low, lambda: piece(*before, True)), (high, lambda: piece(*after, True))]
    elif mode == "circular":
        sides = [(low, lambda: piece(extent - low, low)), (high, lambda: piece(0, high))]
    else:
        sides = [(low, lambda: edge(0, low)), (high, lambda: edge(extent - 1, high))]
    (first, make_first), (last, make_last) = sides
    return [
        *([make_first()] if first else []),
        x,
        *([make_last()] if last else []),
    ]


def _cropped(x: Tensor, axis: int, low: int, high: int) -> Tensor:
    """``x`` without what negative amounts take away."""
    if low >= 0 and high >= 0:
        return x
    length = x.aval.shape[axis] + min(low, 0) + min(high, 0)
    return narrow(x, axis, max(-low, 0), length)


def _check(input: Tensor, pad: Sequence[int], mode: str) -> None:
    what = f"pad of {input.aval} by {list(pad)} with mode={mode!r}"
    if mode not in MODES:
        raise ArgumentError(what, f"Unrecognised padding mode {mode}.", f"one of {MODES}")
    count, ndim = len(pad) // 2, input.aval.ndim
    if len(pad) % 2 or count > ndim:
        raise ShapeError(
            what, "Padding has a low and a high value for each of the last axes, at most all."
        )
    if mode == "constant":
        return
    if count not in (1, 2, 3) or ndim not in (count + 1, count + 2):
        raise ShapeError(
            what,
            "Only 2D, 3D, 4D, 5D padding with non-constant padding is supported: 1 to 3 last axes "
            "of (C, ...) or (N, C, ...).",
        )
    for k in range(count):
        extent, sides = input.aval.shape[ndim - 1 - k], pad[2 * k : 2 * k + 2]
        limit = {"reflect": extent - 1, "circular": extent}.get(mode)
        if limit is not None and max(sides) > limit:
            raise ShapeError(
                what, f"Padding of axis {ndim - 1 - k} with {extent} elements is at most {limit}."
            )
        if extent == 0 and max(sides) > 0:
            raise ShapeError(what, "An empty axis has no elements to repeat.")


def pad(
    input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """Surround the last axes; ``pad`` lists (low, high) from the last axis backwards.

    Args:
        input: any tensor; with other modes than ``"constant"`` ``(C, ...)`` or ``(N, C, ...)``.
        pad: two integers for each padded axis; negative ones crop.
        mode: ``"constant"``, ``"reflect"`` (without the edge), ``"replicate"`` or ``"circular"``.
        value: the constant; 0 when omitted.

    Raises:
        RuntimeError: more axes than there are, reflections longer than the axis.
        ValueError: an unknown mode.

    Example:
        >>> import fusegrad as fg
        >>> fg.nn.functional.pad(fg.arange(3.0).reshape(1, 3), (2, 1), mode="reflect").tolist()
        [[2.0, 1.0, 0.0, 1.0, 2.0, 1.0]]
    """
    _check(input, pad, mode)
    if mode == "constant":
        return pad_constant(input, pad, 0.0 if value is None else value)
    if value:
        raise ArgumentError(
            f"pad with mode={mode!r} and value={value}",
            f"Padding mode {mode!r} doesn't take in value argument.",
        )
    out = input
    for k in range(len(pad) // 2):
        low, high = pad[2 * k], pad[2 * k + 1]
        axis = input.aval.ndim - 1 - k
        if mode == "circular":  # what is cropped does not come back at the other end
            out, low, high = _cropped(out, axis, low, high), max(low, 0), max(high, 0)
        if low > 0 or high > 0:
            out = cat(_edges(out, axis, max(low, 0), max(high, 0), mode), axis)
        out = _cropped(out, axis, low, high)
    return unshared(out, input)
