"""Tables of the cotangent of a convolution's weight: sums over positions, channels side by side.

In: geometry from ``windows.py``. Out: ``WeightTables``. With many channels each place of the window
has a run of positions of its own, those where it meets the image; with few, places share a vector,
and the image lies in a frame of zeros so that all of them meet it everywhere.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..ops import window
from ..ops.window import UNIT_BYTES
from .windows import SUM_LENGTH, Geometry, Ints, dense, words


@dataclass
class WeightTables:
    """Tables of ``conv_weight_rows``.

    Attributes:
        ks, vs, segments: as ``window_sweep`` takes them; the segments for one image come first,
            then those for two, up to ``step``.
        fills: what of an image goes where in scratch: source, target, their steps, times, columns.
        count: segments of one pass.
        step: images of one pass.
        held: scratch elements of one image.
        pitch: scratch elements from one position to the next.
        row: elements that one output's weights take.
        run, padded: elements of a run of weights, without and with padding.
        sources, positions: positions of an image, and of a result.
    """

    ks: np.ndarray
    vs: np.ndarray
    segments: np.ndarray
    fills: np.ndarray
    count: int
    step: int
    held: int
    pitch: int
    row: int
    run: int
    padded: int
    sources: int
    positions: int


def weight_tables(geo: Geometry, threads: int) -> WeightTables:
    """Tables of ``conv_weight_rows`` on so many threads."""
    lead, run, padded = window.row_layout(geo.w, geo.dilation, geo.channels, geo.itemsize)
    shared = len(lead) < len(geo.w)
    positions = math.prod(geo.y)
    share = max(1, geo.images // threads)
    step = max(1, min(share, -(-SUM_LENGTH // max(positions, 1))))
    span = tuple(
        (p - 1) * s + (k - 1) * d + 1
        for p, k, s, d in zip(geo.y, geo.w, geo.stride, geo.dilation, strict=True)
    )
    frame = span if shared else geo.x
    pitch = geo.channels if shared else padded
    held = math.prod(frame) * pitch
    sums = _SumTables(geo, frame, pitch, held, step)
    if shared:
        sums.shared(lead, run, padded)
        fills = _framed(geo, span, pitch)
    else:
        sums.separate(padded)
        fills = [(0, 0, 0, 0, 1, math.prod(geo.x))]
    count = len(sums.segments)
    every = [
        (first, k * images // step, v_lo, v)
        for images in range(1, step + 1)
        for first, k, v_lo, v in sums.segments
    ]
    row = math.prod(lead) * padded
    return WeightTables(
        words(sums.ks, 2), words(sums.vs, 2), words(every, 4), words(fills, 6),
        count, step, held, pitch, row, run, padded, math.prod(geo.x), positions,
    )  # fmt: skip


@dataclass
class _SumTables:
    """Builds the runs of positions that a weight gradient sums over."""

    geo: Geometry
    frame: Ints
    pitch: int
    held: int
    step: int
    ks: list[np.ndarray] = field(default_factory=list)
    vs: list[Ints] = field(default_factory=list)
    segments: list[Ints] = field(default_factory=list)

    def run(self, axes: Sequence[Sequence[tuple[int, int]]]) -> tuple[int, int]:
        """Add the run of all ``(result position, image position)`` pairs of the axes."""
        geo = self.geo
        y, x = np.zeros(1, np.int64), np.zeros(1, np.int64)
        for pairs, y_step, x_step in zip(axes, dense(geo.y), dense(self.frame), strict=True):
            both = np.array(pairs, np.int64).reshape(-1, 2)
            y = (y[:, None] + both[:, 0] * y_step).reshape(-1)
            x = (x[:, None] + both[:, 1] * x_step).reshape(-1)
        image = np.arange(self.step)[:, None]
        outputs = geo.outputs * geo.groups * math.prod(geo.y)
        a = (image * outputs + y) * geo.itemsize
        b = (image * self.held + x * self.pitch) * geo.itemsize
        first = sum(len(k) for k in self.ks)
        self.ks.append(np.stack([a.reshape(-1), b.reshape(-1)], 1))
        return first, a.size

    def separate(self, padded: int) -> None:
        """Each place of the window sums over the positions where it meets the image."""
        geo = self.geo
        size = geo.itemsize
        vectors = padded // geo.lanes
        axes = []
        for axis, k in enumerate(geo.w):
            s, d, low = geo.stride[axis], geo.dilation[axis], geo.low[axis]
            axes.append(
                [
                    [
                        (q, q * s + j * d - low)
                        for q in range(geo.y[axis])
                        if 0 <= q * s + j * d - low < geo.x[axis]
                    ]
                    for j in range(k)
                ]
            )
        for place, chosen in enumerate(itertools.product(*axes)):
            run = self.run(chosen)
            self.segments.append((*run, len(self.vs), vectors))
            self.vs += [
                (v * UNIT_BYTES, place * padded * size + v * UNIT_BYTES) for v in range(vectors)
            ]

    def shared(self, lead: Ints, run: int, padded: int) -> None:
        """All places sum over all positions of an image that is framed by zeros."""
        geo = self.geo
        first = self.run(
            [[(q, q * s) for q in range(n)] for n, s in zip(geo.y, geo.stride, strict=True)]
        )
        steps = dense(self.frame)
        for number, place in enumerate(np.ndindex(*lead)):
            at = sum(j * d * s for j, d, s in zip(place, geo.dilation, steps, strict=False))
            self.vs += [
                (
                    at * self.pitch * geo.itemsize + v * UNIT_BYTES,
                    number * padded * geo.itemsize + v * UNIT_BYTES,
                )
                for v in range(padded // geo.lanes)
            ]
        self.segments.append((*first, 0, len(self.vs)))


def _framed(geo: Geometry, span: Ints, pitch: int) -> list[Ints]:
    """How an image comes to lie in a frame of zeros: runs along the last axis, row by row."""
    inside = [
        (max(0, -low), max(max(0, -low), min(n, s - low)))
        for n, s, low in zip(geo.x, span, geo.low, strict=True)
    ]
    first, last = inside[-1]
    x_steps, frame_steps = dense(geo.x), dense(span)
    rows, times = inside[:-1], 1
    x_step = frame_step = 0
    if len(geo.x) > 1:
        times, rows = inside[-2][1] - inside[-2][0], inside[:-2]
        x_step, frame_step = x_steps[-2], frame_steps[-2] * pitch
    fills: list[Ints] = []
    starts = [pair[0] for pair in inside[len(rows) : -1]]
    for outer in itertools.product(*[range(a, b) for a, b in rows]):
        place = (*outer, *starts, first)
        source = sum(p * s for p, s in zip(place, x_steps, strict=True))
        target = sum((p + lo) * s for p, lo, s in zip(place, geo.low, frame_steps, strict=True))
        fills.append((source, target * pitch, x_step, frame_step, times, last - first))
    return fills
