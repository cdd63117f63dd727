"""The jobs of a convolution kernel: what ``window_job`` of ``codegen/tiles_window.py`` does next.

In: geometry and tables of ``windows.py``. Out: three tables of integers. A *turn* brings a matrix
into the order of the vectors or back (one row of ``TURN`` numbers); a *job* is some turns into
scratch, a product, and turns out of it (one row of ``JOB`` numbers); a *span* says which part of
the result a job has finished, for the epilogue.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from .window_sums import WeightTables
from .windows import Geometry, ImageTables, Ints

TURN = 9  # source, its row stride, its step; target likewise; rows, columns, times
JOB = 16
SPAN = 6  # items, channels and positions that are finished: first and end of each


@dataclass
class Jobs:
    """Tables of one kernel.

    Attributes:
        jobs: turns in (first, end), start in the weights, rows, segments (first, end), start in
            the result, whether to add to it, turns out (first, end), first channel, then runs to
            be cleared (count, first, step, width).
        turns, spans: see the module.
        shares: groups of ``chunk`` jobs that one thread must do in order.
    """

    jobs: np.ndarray
    turns: np.ndarray
    spans: np.ndarray
    shares: int
    chunk: int


def _table(rows: list[Ints] | np.ndarray, width: int) -> np.ndarray:
    """Rows of 64-bit words; never empty, so that the table has an address."""
    whole = np.asarray(rows, np.int64).reshape(-1)
    return np.ascontiguousarray(whole) if len(whole) else np.zeros(width, np.int64)


def image_jobs(geo: Geometry, tables: ImageTables) -> Jobs:
    """Jobs of ``conv`` and ``conv_input``: some images, a group, a run of channels, a band."""
    lanes, strips = geo.lanes, geo.strips
    share = lanes // strips
    inputs, made = tables.channels, tables.rows
    sources, results = tables.sources, tables.results
    in_step, out_step = geo.groups * inputs * sources, geo.groups * made * results
    blocks = [
        (
            -(-made // 8) * k // tables.blocks * 8,
            min(-(-made // 8) * (k + 1) // tables.blocks * 8, made),
        )
        for k in range(tables.blocks)
    ]
    turns: list[Ints] = []
    jobs: list[Ints] = []
    spans: list[Ints] = []
    weights = geo.outputs * geo.channels * geo.places
    bands = tables.bands.reshape(-1, 6).tolist()
    for first, group, (start, stop), band in itertools.product(
        range(0, geo.images, share), range(geo.groups), blocks, bands
    ):
        seg_lo, seg_hi, read, count, low, width = band
        images = min(share, geo.images - first)
        begin = len(turns)
        source = (first * geo.groups + group) * inputs * sources + read
        if strips == 1:
            turns.append(
                (source, in_step, sources, 0, lanes, tables.depth * lanes, images, count, inputs)
            )
        for n in range(images if strips > 1 else 0):
            into = (n * strips, lanes, tables.depth * lanes)
            taken = (source + n * in_step, tables.strip_in, sources)
            turns.append((*taken, *into, strips, count, inputs))
        middle = len(turns)
        target = ((first * geo.groups + group) * made + start) * results + low
        height = (lanes, tables.width * lanes)
        rows = stop - start
        if strips == 1:
            turns.append((0, *height, target, out_step, results, width, images, rows))
        for n in range(images if strips > 1 else 0):
            at = target + n * out_step
            whole = min(strips, (results - low - width) // tables.strip_out + 1)
            into = (at, tables.strip_out, results)
            turns.append((n * strips, *height, *into, width, whole, rows))
            for s in range(whole, strips):  # strips that reach past the end
                left = min(low + width, results - s * tables.strip_out) - low
                if left > 0:
                    place = (at + s * tables.strip_out, tables.strip_out, results)
                    turns.append((n * strips + s, *height, *place, left, 1, rows))
        channel = group * made + start
        jobs.append(
            (begin, middle, group * weights + start * tables.a_rs, rows, seg_lo, seg_hi, 0, 0,
             middle, len(turns), channel, 0, 0, 0, 0, 0)
        )  # fmt: skip
        spans.append((first, first + images, channel, channel + rows, low, low + width))
    return Jobs(_table(jobs, JOB), _table(turns, TURN), _table(spans, SPAN), len(jobs), 1)


def weight_jobs(geo: Geometry, tables: WeightTables, parts: int) -> Jobs:
    """Jobs of ``conv_weight_rows``: a part of the batch, a group, as many images as one pass sums.

    Each part has equally many jobs; those without images do nothing.
    """
    n, step = geo.images, tables.step
    edges = [n * part // parts for part in range(parts + 1)]
    chunks = max(-(-(b - a) // step) for a, b in itertools.pairwise(edges))
    fills = tables.fills.reshape(-1, 6)
    turns: list[np.ndarray] = []
    jobs: list[Ints] = []
    placed = 0
    every = geo.outputs * tables.row
    pads = (geo.outputs * (tables.row // tables.padded), tables.padded, tables.padded - tables.run)
    for (begin, end), group in itertools.product(itertools.pairwise(edges), range(geo.groups)):
        part_turns = _part_turns(geo, tables, fills, begin, end, group)
        turns.append(part_turns)
        out = len(jobs) // chunks * every
        for chunk in range(chunks):
            first = begin + chunk * step
            count = max(0, min(step, end - first))
            clears: Ints = (0, 0, 0, 0)
            if chunk == 0 and begin == end:
                clears = (1, out, 0, every)
            elif count and first + count == end:
                clears = (pads[0], out + tables.run, pads[1], pads[2])
            turn = placed + (first - begin) * len(fills) if count else 0
            segments = ((count - 1) * tables.count, count * tables.count) if count else (0, 0)
            source = (first * geo.groups + group) * geo.outputs * tables.positions
            jobs.append(
                (turn, turn + count * len(fills), source, geo.outputs, *segments, out,
                 int(chunk > 0), 0, 0, 0, *clears, 0)
            )  # fmt: skip
        placed += len(part_turns)
    spans = np.zeros((0, SPAN), np.int64)
    table = np.concatenate(turns)
    return Jobs(
        _table(jobs, JOB), _table(table, TURN), _table(spans, SPAN), parts, geo.groups * chunks
    )


def _part_turns(
    geo: Geometry, tables: WeightTables, fills: np.ndarray, begin: int, end: int, group: int
) -> np.ndarray:
    """Turns of the images of one part and group, into the places of a pass."""
    images = np.arange(begin, end)
    sources = (images * geo.groups + group) * geo.channels * tables.sources
    slots = (images - begin) % tables.step * tables.held
    rows = np.zeros((len(images), len(fills), TURN), np.int64)
    rows[..., 0] = sources[:, None] + fills[:, 0]
    rows[..., 1] = tables.sources
    rows[..., 2] = fills[:, 2]
    rows[..., 3] = slots[:, None] + fills[:, 1]
    rows[..., 4] = tables.pitch
    rows[..., 5] = fills[:, 3]
    rows[..., 6] = geo.channels
    rows[..., 7] = fills[:, 5]
    rows[..., 8] = fills[:, 4]
    return rows.reshape(-1, TURN)
