"""Tables of a convolution: where each element of its image, window and result lies.

In: the geometry of one equation of ``ops/window.py``. Out: tables of byte offsets for the native
functions of ``codegen/tiles_window.py``. Two layouts hold the image, one *unit* of 64 bytes wide:

- ``conv`` and ``conv_input`` put as many images side by side as a unit has lanes. Every position of
  an image is then a whole vector, whatever the extents, strides and dilations, and what falls
  outside the image is left out of the table instead of being multiplied by zero. Positions that
  meet the same places of the window form a *class*, with one run of the table for all.
- ``conv_weight`` puts the channels of one image side by side and sums over positions
  (``window_sums.py``).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.graph import Eqn
from ..ops import window
from ..ops.window import UNIT_BYTES
from .kernels import Convolution

CACHE_BYTES = 640 << 10  # image and result of one band stay in the second-level cache
TABLE_LIMIT = 1 << 22  # larger tables than this are not worth their memory
OFFSET_LIMIT = 1 << 31
SUM_LENGTH = 256  # least positions of one pass over the sums of a weight gradient

Ints = tuple[int, ...]


@dataclass
class Geometry:
    """One equation, whichever operand it leaves free.

    Attributes:
        images: batch size.
        channels, outputs: channels of x and of y in one group.
        x, y, w: spatial extents of image, result and window.
        strips: pieces along the first axis that lie side by side, see ``window.strips``.
    """

    kind: str
    itemsize: int
    images: int
    groups: int
    channels: int
    outputs: int
    x: Ints
    y: Ints
    w: Ints
    stride: Ints
    low: Ints
    dilation: Ints
    strips: int = 1

    @property
    def lanes(self) -> int:
        """Elements of a unit."""
        return UNIT_BYTES // self.itemsize

    @property
    def places(self) -> int:
        """Elements of the window."""
        return math.prod(self.w)


def geometry(eqn: Eqn) -> Geometry:
    """The geometry of a convolution equation."""
    first, second = (atom.aval for atom in eqn.inputs)
    p = eqn.params
    if eqn.primitive is window.conv:
        x, y, w = first.shape, eqn.outputs[0].aval.shape, second.shape
    elif eqn.primitive is window.conv_input:
        x, y, w = eqn.outputs[0].aval.shape, first.shape, second.shape
    else:
        x, y, w = first.shape, second.shape, (0, 0, *p["size"])
    groups = p["groups"]
    geo = Geometry(
        eqn.primitive.name, first.dtype.itemsize, x[0], groups, x[1] // groups, y[1] // groups,
        x[2:], y[2:], w[2:], p["stride"], p["low"], p["dilation"],
    )  # fmt: skip
    if eqn.primitive in (window.conv, window.conv_input):
        geo.strips = _strips(eqn, geo)
    return geo


def _strips(eqn: Eqn, geo: Geometry) -> int:
    """Strips of an image; one where a strip would read outside it."""
    forward = eqn.primitive is window.conv
    source, result = (geo.x[0], geo.y[0]) if forward else (geo.y[0], geo.x[0])
    if not geo.images or not result:
        return 1
    count, length = window.strips(geo.images, result, 1 if forward else geo.stride[0], geo.lanes)
    first, last = window.first_reads(
        eqn.primitive, count * length, geo.w[0], geo.stride[0], geo.low[0], geo.dilation[0]
    )
    return count if first >= 0 and last < source else 1


def matrix_of(eqn: Eqn) -> tuple[Ints, Ints]:
    """Channels and positions of the result, products summed for each, and the images."""
    out, geo = eqn.outputs[0].aval.shape, geometry(eqn)
    k = geo.places * geo.channels
    if eqn.primitive is window.conv_weight_rows:
        k = geo.images * math.prod(geo.y)
    elif eqn.primitive is window.conv_input:
        k = geo.places * geo.outputs // math.prod(geo.stride)
    return (out[1], math.prod(out[2:]), k), (out[0],) if out[0] != 1 else ()


def take_bias(job: Convolution) -> None:
    """Move the addition of one number per channel out of the epilogue.

    It is made where results are brought into order, which passes over them anyway.
    """
    nest, raw = job.nest, job.raw
    axis = len(job.batch)
    users = [s for s in nest.scalars() if raw in s.args]
    if len(users) != 1 or job.m == 1 or any(st.value is raw for st in nest.stores):
        return
    (user,) = users
    if user.op != "apply" or user.text != "{0} + {1}" or user.args[0] is user.args[1]:
        return
    (other,) = [a for a in user.args if a is not raw]
    plain = other.op == "load" and other.guard is None and other.index is not None
    if not plain or other.index.terms != {axis: 1}:  # type: ignore[union-attr]
        return
    assert other.buffer is not None and other.index is not None
    job.bias = (other.buffer, other.index.const)
    user.op, user.text, user.args = "load", "", ()
    user.index, user.buffer = raw.index, job.c
    job.raw = user


def dense(shape: Sequence[int]) -> list[int]:
    """Row-major strides."""
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


@dataclass
class Axis:
    """What the positions of the result along one axis read.

    Attributes:
        base: where each position reads, before the offset of a place of the window.
        kind: which of ``meets`` holds for each position.
        meets: sets of ``(place of the window, offset)``.
    """

    base: np.ndarray
    kind: np.ndarray
    meets: list[tuple[tuple[int, int], ...]]

    def first(self, count: int) -> Axis:
        """The axis up to a position."""
        return Axis(self.base[:count], self.kind[:count], self.meets)

    def spans(self) -> tuple[np.ndarray, np.ndarray]:
        """First and last element that each position reads; an empty span where it reads none."""
        low = np.array([min((o for _, o in m), default=1 << 40) for m in self.meets])
        high = np.array([max((o for _, o in m), default=-(1 << 40)) for m in self.meets])
        return self.base + low[self.kind], self.base + high[self.kind]


def axis_of(geo: Geometry, axis: int) -> Axis:
    """The places that positions of the result meet along an axis, zeros outside left out."""
    s, d, low, k = geo.stride[axis], geo.dilation[axis], geo.low[axis], geo.w[axis]
    places = np.arange(k)
    if geo.kind == window.conv.name:
        base = np.arange(geo.y[axis]) * s
        offsets = np.broadcast_to(places * d - low, (len(base), k))
        inside = np.ones_like(offsets, bool)
        extent = geo.x[axis]
    else:
        base, rest = np.divmod(np.arange(geo.x[axis]) + low, s)
        offsets, phase = np.divmod(rest[:, None] - places * d, s)
        inside, extent = phase == 0, geo.y[axis]
    reads = base[:, None] + offsets
    inside = inside & (reads >= 0) & (reads < extent)
    keys = np.where(inside, offsets, 1 << 40)
    found, kind = np.unique(keys, axis=0, return_inverse=True)
    meets = [tuple((j, int(o)) for j, o in enumerate(row) if o < 1 << 40) for row in found.tolist()]
    return Axis(base, kind.reshape(-1), meets)


@dataclass
class Band:
    """Result positions ``[start, stop)`` of the first axis, and what they need.

    ``row``: first segment, last segment, first and count of image elements per channel, first and
    count of result positions.
    """

    start: int
    stop: int
    row: Ints = ()


@dataclass
class ImageTables:
    """Tables of ``conv`` or ``conv_input`` for the images of one group.

    Attributes:
        ks, vs, segments: as ``window_sweep`` takes them.
        bands: one row per band, see ``Band``.
        depth: image elements per channel that a band holds.
        width: result positions that a band holds.
        channels, rows: channels read, and made, in one group.
        blocks: runs of the channels made that are jobs of their own.
        strip_in, strip_out: positions from one strip to the next, in the image and the result.
        sources, results: positions of an image, and of a result.
    """

    ks: np.ndarray
    vs: np.ndarray
    segments: np.ndarray
    bands: np.ndarray
    depth: int
    width: int
    channels: int
    rows: int
    a_rs: int
    blocks: int
    strip_in: int
    strip_out: int
    sources: int
    results: int


def cut(extent: int, count: int) -> list[Band]:
    """``count`` bands of nearly equal size."""
    edges = [extent * k // count for k in range(count + 1)]
    return [Band(a, b) for a, b in itertools.pairwise(edges)]


class _ImageBuilder:
    """Builds the tables of one equation."""

    def __init__(self, geo: Geometry, threads: int) -> None:
        self.geo = geo
        forward = geo.kind == "conv"
        self.source, self.result = (geo.x, geo.y) if forward else (geo.y, geo.x)
        self.channels, self.rows = (
            (geo.channels, geo.outputs) if forward else (geo.outputs, geo.channels)
        )
        # Steps of the weights [o, c, places] along what is summed and along what is made.
        per_output = geo.channels * geo.places
        self.a_step, self.a_rs = (geo.places, per_output) if forward else (per_output, geo.places)
        self.axes = [axis_of(geo, axis) for axis in range(len(geo.w))]
        self.steps = dense(self.source)
        if geo.strips > 1:
            period = 1 if forward else geo.stride[0]
            _, length = window.strips(geo.images, self.result[0], period, geo.lanes)
            self.result = (length, *self.result[1:])
            self.axes[0] = self.axes[0].first(length)
        self.blocks = 1
        self.low, self.high = self.axes[0].spans()
        self.bands = self._bands(threads)
        for band in self.bands:
            self._reads(band)

    def _span(self, band: Band) -> tuple[int, int]:
        """Source positions of the first axis that a band reads."""
        low = int(self.low[band.start : band.stop].min())
        high = int(self.high[band.start : band.stop].max()) + 1
        return (low, high) if low < high else (0, 0)

    def _bands(self, threads: int) -> list[Band]:
        """As few bands as fit the cache and keep the threads equally busy."""
        extent = self.result[0]
        inner = math.prod(self.result[1:])
        units = -(-self.geo.images // (self.geo.lanes // self.geo.strips)) * self.geo.groups
        whole = self._held(cut(extent, 1), inner)[0]
        best = cut(extent, extent)
        for count in range(min(extent, max(1, whole // (8 * CACHE_BYTES))), extent):
            bands = cut(extent, count)
            nbytes, halo = self._held(bands, inner)
            fits = nbytes <= CACHE_BYTES or (halo and nbytes <= 4 * CACHE_BYTES)
            if fits and (units * count % threads == 0 or units * count >= 8 * threads):
                best = bands
                break
        jobs = units * len(best)
        if jobs % threads and jobs < 8 * threads:
            self.blocks = max(1, min(threads // math.gcd(jobs, threads), self.rows // 8))
        return best

    def _held(self, bands: list[Band], inner: int) -> tuple[int, bool]:
        """Bytes of the largest band, and whether much of what it reads the next reads again."""
        rows = max(b.stop - b.start for b in bands)
        spans = [self._span(b) for b in bands]
        read = max(b - a for a, b in spans)
        nbytes = UNIT_BYTES * (self.channels * read * self.steps[0] + self.rows * rows * inner)
        return nbytes, sum(b - a for a, b in spans) * 2 > 3 * self.source[0]

    def _reads(self, band: Band) -> None:
        low, high = self._span(band)
        inner = math.prod(self.result[1:])
        band.row = (
            low * self.steps[0],
            (high - low) * self.steps[0],
            band.start * inner,
            (band.stop - band.start) * inner,
        )

    def build(self) -> ImageTables:
        """All tables."""
        depth = max([band.row[1] for band in self.bands], default=0)
        width = max([band.row[3] for band in self.bands], default=0)
        ks: list[np.ndarray] = []
        vs: list[np.ndarray] = []
        segments: list[Ints] = []
        runs: dict[Any, tuple[int, int]] = {}
        total = placed = 0
        rows = []
        for band in self.bands:
            first = len(segments)
            for key, positions in self._classes(band).items():
                if key not in runs:
                    pairs = self._run(key, depth)
                    runs[key] = (total, len(pairs))
                    total += len(pairs)
                    ks.append(pairs)
                segments.append((*runs[key], placed, len(positions)))
                vs.append(positions)
                placed += len(positions)
            rows.append((first, len(segments), *band.row))
        forward = self.geo.kind == window.conv.name
        length, stride = self.result[0], self.geo.stride[0]
        strip_in = (length * stride if forward else length // stride) * self.steps[0]
        return ImageTables(
            words(ks, 2), words(vs, 2), words(segments, 4), words(rows, 6), depth, width,
            self.channels, self.rows, self.a_rs, self.blocks, strip_in, math.prod(self.result),
            math.prod(self.source), math.prod(self.geo.y if forward else self.geo.x),
        )  # fmt: skip

    def _classes(self, band: Band) -> dict[Any, np.ndarray]:
        """Positions of a band by what they meet: offsets in the image and in the result."""
        base, kind = np.zeros(1, np.int64), np.zeros(1, np.int64)
        for number, (axis, step) in enumerate(zip(self.axes, self.steps, strict=True)):
            part = slice(band.start, band.stop) if number == 0 else slice(None)
            base = (base[:, None] + axis.base[part] * step).reshape(-1)
            kind = (kind[:, None] * len(axis.meets) + axis.kind[part]).reshape(-1)
        pairs = np.stack([base - band.row[0], np.arange(len(base))], 1) * UNIT_BYTES
        found = {}
        for number in np.unique(kind).tolist():
            key, rest = [], number
            for axis in reversed(self.axes):
                rest, which = divmod(rest, len(axis.meets))
                key.append(axis.meets[which])
            found[tuple(reversed(key))] = pairs[kind == number]
        return found

    def _run(self, key: Any, depth: int) -> np.ndarray:
        """Offsets in the weights and in the image of all that one class meets."""
        place_steps = dense(self.geo.w)
        pairs = [
            (
                sum(place * s for (place, _), s in zip(chosen, place_steps, strict=True)),
                sum(offset * s for (_, offset), s in zip(chosen, self.steps, strict=True)),
            )
            for chosen in itertools.product(*key)
        ]
        taps = np.array(pairs, np.int64).reshape(-1, 2)
        channel = np.arange(self.channels)[:, None, None]
        scale = np.array([self.geo.itemsize, UNIT_BYTES])
        every = taps[None] + channel * np.array([self.a_step, depth])
        return (every * scale).reshape(-1, 2)


def words(rows: Sequence[Any], width: int) -> np.ndarray:
    """A table of 32-bit words; never empty, so that it has an address."""
    parts = [np.asarray(r, np.int64).reshape(-1, width) for r in rows]
    whole = np.concatenate(parts) if parts else np.zeros((0, width), np.int64)
    if not len(whole):
        whole = np.zeros((1, width), np.int64)
    return np.ascontiguousarray(whole.astype(np.int32)).reshape(-1)


def lowerable(eqn: Eqn) -> bool:
    """Whether a convolution has a kernel: it computes something and its tables are of fair size."""
    avals = [*(atom.aval for atom in eqn.inputs), *(out.aval for out in eqn.outputs)]
    if any(aval.size == 0 for aval in avals):
        return False
    geo = geometry(eqn)
    if max(n * k for n, k in zip((*geo.x, *geo.y), (*geo.w, *geo.w), strict=True)) > TABLE_LIMIT:
        return False
    if geo.kind == window.conv_weight_rows.name:
        lead, _, padded = window.row_layout(geo.w, geo.dilation, geo.channels, geo.itemsize)
        positions = max(math.prod(geo.y), SUM_LENGTH)
        runs = math.prod(lead) if len(lead) == len(geo.w) else 1
        span = math.prod(n + k * d for n, k, d in zip(geo.x, geo.w, geo.dilation, strict=True))
        largest = max(span * padded, geo.outputs * geo.groups * positions) * UNIT_BYTES
        return runs * positions <= TABLE_LIMIT and largest < OFFSET_LIMIT
    if geo.kind == window.conv_weight.name:
        return False
    classes = 1
    for axis in range(len(geo.w)):
        classes *= sum(len(meets) for meets in axis_of(geo, axis).meets)
    inner = math.prod(
        n + k * d for n, k, d in zip(geo.x[1:], geo.w[1:], geo.dilation[1:], strict=True)
    )
    rows = geo.w[0] * geo.dilation[0]
    largest = max(geo.channels, geo.outputs) * rows * inner * UNIT_BYTES
    return classes * max(geo.channels, geo.outputs) <= TABLE_LIMIT and largest < OFFSET_LIMIT


def image_tables(geo: Geometry, threads: int) -> ImageTables:
    """Tables of ``conv`` or ``conv_input``."""
    return _ImageBuilder(geo, threads).build()
