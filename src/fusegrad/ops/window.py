"""Convolution and its two transposes, one record each; they are each other's derivatives.

All three are views of one form, linear in the image ``x``, the weight ``w`` and the result ``y``::

    sum over n, o, c, p, k of   x[n, c, p * stride + k * dilation - low] * w[o, c, k] * y[n, o, p]

where p and k run over positions of the result and of the window, and x is zero outside.
``conv`` leaves y free, ``conv_input`` x and ``conv_weight`` w; ``size`` gives the spatial extents
of what is free, so padding above never has to be said. With ``groups`` the channels fall into that
many runs which do not meet: w then has ``channels / groups`` input channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..dtypes import float32, float64
from ..errors import DTypeError, ShapeError
from ..ir.aval import Aval
from ..ir.primitive import Primitive
from .samples import cases

Ints = tuple[int, ...]
UNIT_BYTES = 64  # width of the vectors that kernels of convolutions compute with
NARROW_CHANNELS = 32  # below, neighbours of a window share a vector


def _check(name: str, first: Aval, second: Aval, size: Ints, stride: Ints, groups: int) -> None:
    """What the three records ask of their operands alike."""
    what = f"{name} of {first} and {second}"
    if first.dtype is not second.dtype:
        raise DTypeError(what, "Both operands must have one dtype.", "convert one with .to(dtype)")
    if first.ndim != second.ndim or first.ndim != len(size) + 2:
        raise ShapeError(what, f"Both operands must have {len(size)} spatial axes and two others.")
    if min(size, default=0) < 0 or min(stride, default=1) < 1 or groups < 1:
        raise ShapeError(f"{what} to {size}", "Extents must be >= 0, strides and groups >= 1.")


def _conv_aval(
    x: Aval, w: Aval, size: Ints, stride: Ints, low: Ints, dilation: Ints, groups: int
) -> Aval:
    _check("conv", x, w, size, stride, groups)
    if x.shape[1] != w.shape[1] * groups or w.shape[0] % groups:
        raise ShapeError(
            f"conv of x: {x} and w: {w} in {groups} groups",
            "Channels of x must be groups times those of w, outputs of w divisible by groups.",
        )
    return Aval((x.shape[0], w.shape[0], *size), x.dtype)


def _input_aval(
    y: Aval, w: Aval, size: Ints, stride: Ints, low: Ints, dilation: Ints, groups: int
) -> Aval:
    _check("conv_input", y, w, size, stride, groups)
    if y.shape[1] != w.shape[0] or w.shape[0] % groups:
        raise ShapeError(
            f"conv_input of y: {y} and w: {w} in {groups} groups",
            "Channels of y must be the outputs of w, a multiple of groups.",
        )
    return Aval((y.shape[0], w.shape[1] * groups, *size), y.dtype)


def _weight_aval(
    x: Aval, y: Aval, size: Ints, stride: Ints, low: Ints, dilation: Ints, groups: int
) -> Aval:
    _check("conv_weight", x, y, size, stride, groups)
    if x.shape[0] != y.shape[0] or x.shape[1] % groups or y.shape[1] % groups:
        raise ShapeError(
            f"conv_weight of x: {x} and y: {y} in {groups} groups",
            "Both need one batch size, and channels divisible by groups.",
        )
    return Aval((y.shape[1], x.shape[1] // groups, *size), x.dtype)


def _taps(window: Ints, positions: Ints, stride: Ints, dilation: Ints) -> Iterator[tuple[Any, Any]]:
    """For each place of the window, its index and the slices of the padded image it meets."""
    for place in np.ndindex(*window):
        yield (
            place,
            tuple(
                slice(k * d, k * d + (p - 1) * s + 1 if p else k * d, s)
                for k, p, s, d in zip(place, positions, stride, dilation, strict=True)
            ),
        )


def _frame(
    extents: Ints, window: Ints, positions: Ints, stride: Ints, low: Ints, dilation: Ints
) -> tuple[Ints, tuple[slice, ...], tuple[slice, ...]]:
    """Extents of the padded image, and where the image lies in it and it in the image."""
    whole, inside, source = [], [], []
    for n, k, p, s, lo, d in zip(extents, window, positions, stride, low, dilation, strict=True):
        span = max(0, (p - 1) * s + (k - 1) * d + 1) if p and k else 0
        first, last = max(0, lo), min(span, n + lo)
        whole.append(span)
        inside.append(slice(first, max(first, last)))
        source.append(slice(first - lo, max(first, last) - lo))
    return tuple(whole), tuple(inside), tuple(source)


def _grouped(x: np.ndarray, groups: int) -> np.ndarray:
    """``[n, groups, channels / groups, positions]``."""
    n, c = x.shape[:2]
    count = int(np.prod(x.shape[2:], dtype=np.int64))
    return x.reshape(n, groups, c // groups, count)


def _padded(x: np.ndarray, frame: Any) -> np.ndarray:
    whole, inside, source = frame
    out = np.zeros(x.shape[:2] + whole, x.dtype)
    out[(slice(None), slice(None), *inside)] = x[(slice(None), slice(None), *source)]
    return out


def _by_tap(w: np.ndarray, place: Any, groups: int) -> np.ndarray:
    """One place of the window as matrices ``[groups, outputs, channels]``."""
    return w[(slice(None), slice(None), *place)].reshape(groups, w.shape[0] // groups, w.shape[1])


def _conv_reference(
    x: np.ndarray, w: np.ndarray, size: Ints, stride: Ints, low: Ints, dilation: Ints, groups: int
) -> np.ndarray:
    window = w.shape[2:]
    padded = _padded(x, _frame(x.shape[2:], window, size, stride, low, dilation))
    count = int(np.prod(size, dtype=np.int64))
    out = np.zeros((x.shape[0], groups, w.shape[0] // groups, count), x.dtype)
    for place, slices in _taps(window, size, stride, dilation):
        part = _grouped(padded[(slice(None), slice(None), *slices)], groups)
        out += np.matmul(_by_tap(w, place, groups), part)
    return out.reshape((x.shape[0], w.shape[0], *size))


def _input_reference(
    y: np.ndarray, w: np.ndarray, size: Ints, stride: Ints, low: Ints, dilation: Ints, groups: int
) -> np.ndarray:
    window, positions = w.shape[2:], y.shape[2:]
    whole, inside, source = _frame(size, window, positions, stride, low, dilation)
    channels = w.shape[1] * groups
    padded = np.zeros((y.shape[0], channels, *whole), y.dtype)
    cotangent = _grouped(y, groups)
    for place, slices in _taps(window, positions, stride, dilation):
        part = np.matmul(_by_tap(w, place, groups).transpose(0, 2, 1), cotangent)
        padded[(slice(None), slice(None), *slices)] += part.reshape(
            (y.shape[0], channels, *positions)
        )
    out = np.zeros((y.shape[0], channels, *size), y.dtype)
    out[(slice(None), slice(None), *source)] = padded[(slice(None), slice(None), *inside)]
    return out


def _weight_reference(
    x: np.ndarray, y: np.ndarray, size: Ints, stride: Ints, low: Ints, dilation: Ints, groups: int
) -> np.ndarray:
    positions = y.shape[2:]
    padded = _padded(x, _frame(x.shape[2:], size, positions, stride, low, dilation))
    cotangent = _grouped(y, groups)
    outputs, channels = y.shape[1], x.shape[1] // groups
    out = np.zeros((outputs, channels, *size), x.dtype)
    for place, slices in _taps(size, positions, stride, dilation):
        part = _grouped(padded[(slice(None), slice(None), *slices)], groups)
        each = np.matmul(cotangent, part.transpose(0, 1, 3, 2)).sum(0)
        out[(slice(None), slice(None), *place)] = each.reshape(outputs, channels)
    return out


def _conv_x(
    g: Any, w: Any, x_aval: Aval, stride: Ints, low: Ints, dilation: Ints, groups: int
) -> Any:
    size = x_aval.shape[2:]
    return conv_input(g, w, size=size, stride=stride, low=low, dilation=dilation, groups=groups)


def _conv_w(
    g: Any, x: Any, w_aval: Aval, stride: Ints, low: Ints, dilation: Ints, groups: int
) -> Any:
    size = w_aval.shape[2:]
    return conv_weight(x, g, size=size, stride=stride, low=low, dilation=dilation, groups=groups)


def _input_y(
    g: Any, w: Any, y_aval: Aval, stride: Ints, low: Ints, dilation: Ints, groups: int
) -> Any:
    size = y_aval.shape[2:]
    return conv(g, w, size=size, stride=stride, low=low, dilation=dilation, groups=groups)


def _input_w(
    g: Any, y: Any, w_aval: Aval, stride: Ints, low: Ints, dilation: Ints, groups: int
) -> Any:
    size = w_aval.shape[2:]
    return conv_weight(g, y, size=size, stride=stride, low=low, dilation=dilation, groups=groups)


def _weight_x(
    g: Any, y: Any, x_aval: Aval, stride: Ints, low: Ints, dilation: Ints, groups: int
) -> Any:
    size = x_aval.shape[2:]
    return conv_input(y, g, size=size, stride=stride, low=low, dilation=dilation, groups=groups)


def _weight_y(
    g: Any, x: Any, y_aval: Aval, stride: Ints, low: Ints, dilation: Ints, groups: int
) -> Any:
    size = y_aval.shape[2:]
    return conv(x, g, size=size, stride=stride, low=low, dilation=dilation, groups=groups)


def _geometry(
    size: Ints, stride: Ints, low: Ints, dilation: Ints, groups: int = 1
) -> dict[str, Any]:
    return {"size": size, "stride": stride, "low": low, "dilation": dilation, "groups": groups}


# x, w, y of the form above; the three records draw the two operands that they take.
_GEOMETRIES: tuple[Any, ...] = (
    ((2, 3, 5, 6), (4, 3, 3, 3), (2, 4, 5, 6), ((1, 1), (1, 1), (1, 1), 1)),
    ((3, 2, 7, 5), (3, 2, 3, 2), (3, 3, 3, 3), ((2, 2), (0, 1), (1, 1), 1)),
    ((1, 4, 6), (6, 2, 3), (1, 6, 4), ((1,), (1,), (2,), 2)),
    ((2, 2, 9), (4, 1, 4), (2, 4, 3), ((3,), (2,), (1,), 2)),
    ((17, 2, 4, 3), (5, 2, 1, 2), (17, 5, 4, 2), ((1, 1), (0, 0), (1, 1), 1)),
    ((2, 1, 3, 4, 3), (2, 1, 2, 1, 3), (2, 2, 2, 2, 3), ((1, 2, 1), (0, 0, 1), (1, 1, 1), 1)),
    ((2, 2, 5), (2, 2, 3), (2, 2, 2), ((1,), (-1,), (1,), 1)),
    ((0, 2, 5), (3, 2, 2), (0, 3, 4), ((1,), (0,), (1,), 1)),
)


def _samples(first: int, second: int, result: int) -> Any:
    return cases(
        *[([row[first], row[second]], _geometry(row[result][2:], *row[3])) for row in _GEOMETRIES]
    )


conv: Primitive = Primitive(
    name="conv",
    kind="contract",
    arg_names=("x", "w"),
    aval_rule=_conv_aval,
    reference=_conv_reference,
    derivs=(_conv_x, _conv_w),
    linearity="linear",
    dtypes=(float32, float64),
    samples=_samples(0, 1, 2),
    doc="Convolution (correlation) of images [n, c, ...] with weights [o, c / groups, ...].",
)

conv_input: Primitive = Primitive(
    name="conv_input",
    kind="contract",
    arg_names=("y", "w"),
    aval_rule=_input_aval,
    reference=_input_reference,
    derivs=(_input_y, _input_w),
    linearity="linear",
    dtypes=(float32, float64),
    samples=_samples(2, 1, 0),
    doc="Transposed convolution: spreads [n, o, ...] over images by weights [o, c / groups, ...].",
)

conv_weight: Primitive = Primitive(
    name="conv_weight",
    kind="contract",
    arg_names=("x", "y"),
    aval_rule=_weight_aval,
    reference=_weight_reference,
    derivs=(_weight_x, _weight_y),
    linearity="linear",
    dtypes=(float32, float64),
    samples=_samples(0, 2, 1),
    doc="Correlation of images [n, c, ...] with [n, o, ...]: the weights that relate them.",
)


# --- how a kernel fills its vectors ---------------------------------------------------------------
def strips(images: int, extent: int, period: int, lanes: int) -> tuple[int, int]:
    """How many strips an image is cut into along its first axis, and positions of a strip.

    Kernels put images side by side in a vector. Where a batch would leave much of the vector empty,
    its images are cut: strips lie side by side then, as if they were images.

    Args:
        images: batch size.
        extent: positions of the result along the axis.
        period: strips begin at multiples of this.
        lanes: elements of a vector.

    >>> strips(1, 56, 1, 16), strips(64, 56, 1, 16), strips(4, 28, 2, 16)
    ((14, 4), (1, 56), (4, 8))
    """

    def busy(count: int) -> float:
        length = -(-extent // count // period) * period
        batches = -(-images // (lanes // count))
        return images * extent / (batches * lanes * length)

    best, found = busy(1), 1
    for count in range(2, lanes + 1):
        length = -(-extent // count // period) * period
        used = -(-extent // length)  # strips that hold anything
        if length < extent and used == count and busy(count) > best * 1.1:
            best, found = busy(count), count
    return found, extent if found == 1 else -(-extent // found // period) * period


def first_reads(
    primitive: Primitive, extent: int, window: int, stride: int, low: int, dilation: int
) -> tuple[int, int]:
    """First and last place that results 0 to extent - 1 read along an axis, zeros included."""
    if primitive is conv:
        return -low, (extent - 1) * stride + (window - 1) * dilation - low
    return (low - (window - 1) * dilation) // stride, (extent - 1 + low) // stride


# --- how a kernel leaves the cotangent of a weight ------------------------------------------------
def row_layout(window: Ints, dilation: Ints, channels: int, itemsize: int) -> tuple[Ints, int, int]:
    """How ``conv_weight_rows`` lays out the weights of one output.

    A row is a number of runs, each padded to whole vectors: one for every place of the window, of
    all channels; with few channels one for all places along the last axis, channels innermost.

    Returns:
        the places that have a run of their own, elements of a run, elements with padding.
    """
    lanes = UNIT_BYTES // itemsize
    shared = channels < NARROW_CHANNELS and dilation[-1] == 1
    lead = window[:-1] if shared else window
    run = channels * window[-1] if shared else channels
    return lead, run, -(-run // lanes) * lanes


def _rows_aval(
    x: Aval, y: Aval, size: Ints, stride: Ints, low: Ints, dilation: Ints, groups: int, parts: int
) -> Aval:
    weight = _weight_aval(x, y, size, stride, low, dilation, groups)
    lead, _, padded = row_layout(size, dilation, weight.shape[1], x.dtype.itemsize)
    return Aval((parts, weight.shape[0], *lead, padded), x.dtype)


def _rows_reference(
    x: np.ndarray,
    y: np.ndarray,
    size: Ints,
    stride: Ints,
    low: Ints,
    dilation: Ints,
    groups: int,
    parts: int,
) -> np.ndarray:
    n, channels = x.shape[0], x.shape[1] // groups
    lead, run, padded = row_layout(size, dilation, channels, x.itemsize)
    out = np.zeros((parts, y.shape[1], *lead, padded), x.dtype)
    for part in range(parts):
        images = slice(n * part // parts, n * (part + 1) // parts)
        geometry = (size, stride, low, dilation, groups)
        weight = _weight_reference(x[images], y[images], *geometry)
        rows = np.moveaxis(weight, 1, -1).reshape((y.shape[1], *lead, run))
        out[part, ..., :run] = rows
    return out


conv_weight_rows: Primitive = Primitive(
    name="conv_weight_rows",
    kind="contract",
    arg_names=("x", "y"),
    aval_rule=_rows_aval,
    reference=_rows_reference,
    derivs=(None, None),
    linearity="linear",
    dtypes=(float32, float64),
    samples=cases(
        *[
            ([row[0], row[2]], {**_geometry(row[1][2:], *row[3]), "parts": parts})
            for row in _GEOMETRIES
            for parts in (1, 3)
        ],
        ([(5, 40, 6), (5, 3, 6)], {**_geometry((3,), (1,), (1,), (1,)), "parts": 2}),
        ([(9, 16, 5, 5), (9, 9, 5, 5)], {**_geometry((3, 3), (1, 1), (1, 1), (1, 1)), "parts": 2}),
    ),
    doc="Partial sums of conv_weight over runs of the batch, laid out as kernels make them; "
    "a pass puts it in the place of conv_weight, and a sum and movements behind it.",
)
