"""Histograms and images in the form TensorBoard stores them."""

from __future__ import annotations

import math
import struct
import zlib
from typing import Any

import numpy as np

from ...errors import ArgumentError, ArgumentTypeError
from ...tensor import Tensor

COLUMNS = 8  # images in a row of a grid


def array_of(value: Any, what: str) -> np.ndarray:
    """A tensor, array, number or nested list as an array of numbers.

    Raises:
        TypeError: not numbers.
    """
    if isinstance(value, (list, tuple)):
        value = [array_of(v, what) for v in value]
    array = value._concrete(what) if isinstance(value, Tensor) else np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise ArgumentTypeError(
            f"{what} of {type(value).__name__}",
            "Got something that is not real numbers.",
            "a tensor, an array or a number",
        )
    return array


def scalar_of(value: Any, what: str) -> float:
    """A number, or the element of a tensor that has one.

    Raises:
        ValueError: more or fewer than one element.
    """
    array = array_of(value, what)
    if array.size != 1:
        raise ArgumentError(
            f"{what} of shape {array.shape}", "scalar should be 0D.", "x.mean() or x.item()"
        )
    return float(array.reshape(()))


def default_edges() -> np.ndarray:
    """Edges that grow by a tenth, from 1e-12 to 1e20 and below zero."""
    count = math.ceil(math.log(1e20 / 1e-12) / math.log(1.1))
    positive = 1e-12 * 1.1 ** np.arange(count)
    return np.concatenate([-positive[::-1], [0.0], positive])


def histogram_of(values: np.ndarray, bins: Any, max_bins: int | None) -> dict[str, Any]:
    """The fields of a histogram: limits and counts of the buckets, moments of the values.

    NaN and infinite values are not counted.

    Raises:
        ValueError: no finite value.
    """
    values = values.astype(np.float64).ravel()
    values = values[np.isfinite(values)]
    if values.size == 0:
        raise ArgumentError(
            "add_histogram of no values", "The input has no element.", "values that are finite"
        )
    counts, edges = np.histogram(values, default_edges() if bins == "tensorflow" else bins)
    if max_bins is not None and len(counts) > max_bins:
        step = -(-len(counts) // max_bins)
        padded = np.append(counts, np.zeros(-len(counts) % step, counts.dtype))
        counts = padded.reshape(-1, step).sum(1)
        edges = np.append(edges[:-1][::step], edges[-1])
    full = np.flatnonzero(counts)
    if full.size == 0:
        raise ArgumentError(
            "add_histogram with bins outside of the values",
            "No value lies in any of the bins: the histogram is empty.",
            "bins='auto'",
        )
    first, last = full[0], full[-1] + 1
    # a bucket is known by its upper limit: an empty one in front carries the lower limit
    return {
        "min": values.min(),
        "max": values.max(),
        "num": values.size,
        "sum": values.sum(),
        "sum_squares": values @ values,
        "bucket_limit": edges[first : last + 1].tolist(),
        "bucket": [0.0, *counts[first:last].astype(float).tolist()],
    }


def image_of(image: np.ndarray, layout: str) -> np.ndarray:
    """An image or batch of images as bytes (H, W, C); a batch becomes a grid.

    Args:
        image: bytes, or floats in [0, 1].
        layout: the order of the axes: letters of ``NCHW``, such as ``CHW`` or ``HW``.

    Raises:
        ValueError: a layout that does not fit the array, or another number of channels.
    """
    layout = layout.upper()
    if len(set(layout)) != len(layout) or not {"H", "W"} <= set(layout) <= set("NCHW"):
        raise ArgumentError(
            f"dataformats={layout!r}", "It names the axes by the letters of NCHW.", "'CHW'"
        )
    if len(layout) != image.ndim:
        raise ArgumentError(
            f"an image of shape {image.shape} with dataformats={layout!r}",
            "size of input tensor and input format are different.",
            "one letter per axis",
        )
    for axis in "NC":
        if axis not in layout:
            image, layout = image[None], axis + layout
    image = image.transpose([layout.index(axis) for axis in "NHWC"])
    if image.shape[-1] not in (1, 3, 4):
        raise ArgumentError(
            f"an image with {image.shape[-1]} channels",
            "There are images of 1, 3 and 4 channels.",
            "dataformats= if the axes have another order",
        )
    if image.dtype != np.uint8:
        scaled = np.nan_to_num(image.astype(np.float64) * 255, nan=0.0)
        image = np.clip(scaled, 0, 255).astype(np.uint8)
    return _grid(image)


def _grid(images: np.ndarray) -> np.ndarray:
    count, height, width, channels = images.shape
    columns = min(count, COLUMNS)
    rows = -(-count // columns) if columns else 0
    grid = np.zeros((rows * columns, height, width, channels), np.uint8)
    grid[:count] = images
    tiles = grid.reshape(rows, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    return tiles.reshape(rows * height, columns * width, channels)


def png(image: np.ndarray) -> bytes:
    """Bytes (H, W, C) as a PNG file (ISO/IEC 15948)."""
    height, width, channels = image.shape
    kind = {1: 0, 3: 2, 4: 6}[channels]
    rows = np.zeros((height, 1 + width * channels), np.uint8)  # each row starts with its filter, 0
    rows[:, 1:] = image.reshape(height, -1)

    def chunk(name: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows.tobytes()))
        + chunk(b"IEND", b"")
    )
