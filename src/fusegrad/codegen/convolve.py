"""The text of a convolution kernel: images into vectors, native tiles, results back, epilogue.

In: a ``Convolution`` and the tables of ``schedule/windows.py``. Out: a ``Generated`` kernel. Its
loops walk a vector's worth of images at a time, or the part of the batch that one thread sums over
for a weight gradient; the native functions are those of ``tiles_window.py``. All extents and tables
are run-time arguments, so convolution layers share one text however they differ.
"""

from __future__ import annotations

import math

from ..ops.window import conv_weight_rows
from ..schedule.kernels import Convolution
from ..schedule.windows import Geometry, geometry, image_tables, weight_tables
from .contract import BLOCK_COLUMNS, assemble, epilogue_lines
from .source import Generated, Signature

IMAGE_LINES = """
rooms, sums = thread * room, thread * results
for z in range(clear):
    image[rooms + z] = {zero}
share = lanes // strips
jobs = (images + share - 1) // share * groups * blocks * bands
in_step, out_step = groups * in_channels * in_positions, groups * out_channels * N
for job in range(jobs * thread // threads, jobs * (thread + 1) // threads):
    band, block, rest = job % bands * 6, job // bands % blocks, job // bands // blocks
    group, first = rest % groups, rest // groups * share
    count = min(share, images - first)
    turns, side, in_side, out_side = 1, count, in_step, out_step
    if strips > 1:
        turns, side, in_side, out_side = count, strips, strip_in, strip_out
    start = (out_channels + 7) // 8 * block // blocks * 8
    made = min((out_channels + 7) // 8 * (block + 1) // blocks * 8, out_channels) - start
    source = (first * groups + group) * in_channels * in_positions + int64(table[band + 2])
    for t in range(turns):
        window_turn_{d}(
            a_, source + t * in_step, in_side, in_positions, image, rooms + t * strips, lanes,
            depth * lanes, side, int64(table[band + 3]), in_channels,
        )
    window_sweep_{d}(
        b_, group * weights + start * a_rs, a_rs, image, rooms, result, sums, width * lanes,
        made, ks, vs, segments, int64(table[band]), int64(table[band + 1]), 0,
    )
    low = int64(table[band + 4])
    high = low + int64(table[band + 5])
    target = ((first * groups + group) * out_channels + start) * N + low
    whole = side if strips == 1 else min(strips, (N - high) // strip_out + 1)
    for t in range(turns):
        window_turn_{turn}(
            result, sums + t * strips, lanes, width * lanes, {c}, target + t * out_step,
            out_side, N, high - low, whole, made{bias},
        )
        for s in range(whole, side):
            window_turn_{turn}(
                result, sums + t * strips + s, lanes, width * lanes,
                {c}, target + t * out_step + s * out_side, out_side, N,
                max(min(high, N - s * out_side) - low, 0), 1, made{bias},
            )
"""

EPILOGUE_LINES = """
    i_lo = group * out_channels + start
    i_hi = i_lo + made
    for item in range(first, first + count):
        for strip in range(strips):
            end = min(high + strip * strip_out, N)
            for j_lo in range(low + strip * strip_out, end, {block}):
                j_hi = min(j_lo + {block}, end)
"""

WEIGHT_LINES = """
rooms = thread * room
for z in range(room):
    image[rooms + z] = {zero}
for job in range(parts * groups * thread // threads, parts * groups * (thread + 1) // threads):
    part, group = job // groups, job % groups
    out = job * out_channels * row
    begin, end = images * part // parts, images * (part + 1) // parts
    for z in range(out, out + out_channels * row if begin == end else out):
        {c}[z] = {zero}
    for first in range(begin, end, step):
        count = min(step, end - first)
        for n in range(first, first + count):
            source = (n * groups + group) * in_channels * in_positions
            for f in range(0, fills, 6):
                window_turn_{d}(
                    a_, source + int64(table[f]), in_positions, int64(table[f + 2]),
                    image, rooms + (n - first) * held + int64(table[f + 1]), pitch,
                    int64(table[f + 3]), in_channels, int64(table[f + 5]), int64(table[f + 4]),
                )
        window_sweep_{d}(
            b_, (first * groups + group) * out_channels * positions, positions, image, rooms,
            {c}, out, row, out_channels, ks, vs, segments,
            (count - 1) * sums, count * sums, int64(first > begin),
        )
    for i in range(out, out + out_channels * row, padded):
        for z in range(i + run, i + padded):
            {c}[z] = {zero}
"""


def generate_convolution(job: Convolution, label: str, parts: int) -> Generated:
    """Print the kernel of one convolution."""
    geo = geometry(job.eqn)
    if job.eqn.primitive is conv_weight_rows:
        return _weight(job, geo, label, parts)
    return _image(job, geo, label, parts)


def _operands(job: Convolution, signature: Signature) -> list[str]:
    """Names of the result and of both operands at their first elements."""
    names = [signature.buffer(x) for x in (job.c, job.a.buffer, job.b.buffer)]
    offsets = [
        signature.integer("a_offset", job.a.offset, "o"),
        signature.integer("b_offset", job.b.offset, "o"),
    ]
    return [
        f"{operand} = offset({name}, {at})"
        for operand, name, at in zip(("a_", "b_"), names[1:], offsets, strict=True)
    ]


def _fill(text: str, job: Convolution, signature: Signature) -> list[str]:
    dtype = job.eqn.outputs[0].aval.dtype
    turn, bias = dtype.short, ""
    if job.bias is not None:
        buffer, const = job.bias
        at = signature.integer("bias_offset", const, "o")
        turn = f"add_{turn}"
        bias = f", {signature.buffer(buffer)}, {at} + group * out_channels + start"
    filled = text.format(
        d=dtype.short,
        turn=turn,
        bias=bias,
        c=signature.buffer(job.c),
        zero=f"{dtype.name}(0)",
        block=BLOCK_COLUMNS[dtype.short],
    )
    return filled.strip("\n").split("\n")


def _integers(signature: Signature, values: dict[str, int]) -> None:
    """Named integer parameters."""
    for name, value in values.items():
        signature.named(name, value)


def _image(job: Convolution, geo: Geometry, label: str, parts: int) -> Generated:
    tables = image_tables(geo, parts)
    dtype = job.eqn.outputs[0].aval.dtype
    signature = Signature()
    operands = _operands(job, signature)
    lanes = geo.lanes
    share = lanes // geo.strips
    room, results = tables.channels * tables.depth * lanes, tables.rows * tables.width * lanes
    signature.scratch("image", dtype, room * geo.itemsize * parts)
    signature.scratch("result", dtype, results * geo.itemsize * parts)
    for name, words in (
        ("ks", tables.ks), ("vs", tables.vs), ("segments", tables.segments),
        ("table", tables.bands),
    ):  # fmt: skip
        signature.table(name, words)
    fused, constants = epilogue_lines(job, signature, parts)
    lines = [*constants, *operands, *_fill(IMAGE_LINES, job, signature)]
    if fused:
        lines += _fill(EPILOGUE_LINES, job, signature)
        lines += ["                " + line for line in fused]
    forward = geo.kind == "conv"
    _integers(
        signature,
        {
            "M": job.m,
            "N": job.n,
            "images": geo.images,
            "groups": geo.groups,
            "blocks": tables.blocks,
            "strips": geo.strips,
            "strip_in": tables.strip_in,
            "strip_out": tables.strip_out,
            "bands": len(tables.bands) // 6,
            "lanes": lanes,
            "room": room,
            "results": results,
            "clear": room if geo.images % share or geo.strips * share < lanes else 0,
            "depth": tables.depth,
            "width": tables.width,
            "in_channels": tables.channels,
            "out_channels": tables.rows,
            "in_positions": math.prod(geo.x if forward else geo.y),
            "weights": geo.outputs * geo.channels * geo.places,
            "a_rs": tables.a_rs,
        },
    )
    params, arguments = signature.finish()
    return assemble(label, lines, params, arguments, signature, job, parts)


def _weight(job: Convolution, geo: Geometry, label: str, parts: int) -> Generated:
    shares = job.eqn.params["parts"]
    tables = weight_tables(geo, shares)
    dtype = job.eqn.outputs[0].aval.dtype
    signature = Signature()
    operands = _operands(job, signature)
    room = tables.step * tables.held + geo.lanes  # the last vector may reach past the image
    room = -(-room // geo.lanes) * geo.lanes
    signature.scratch("image", dtype, room * geo.itemsize * parts)
    for name, words in (
        ("ks", tables.ks), ("vs", tables.vs), ("segments", tables.segments),
        ("table", tables.fills),
    ):  # fmt: skip
        signature.table(name, words)
    _integers(
        signature,
        {
            "images": geo.images,
            "parts": shares,
            "groups": geo.groups,
            "in_channels": geo.channels,
            "out_channels": geo.outputs,
            "in_positions": math.prod(geo.x),
            "positions": math.prod(geo.y),
            "room": room,
            "held": tables.held,
            "pitch": tables.pitch,
            "step": tables.step,
            "sums": tables.count,
            "fills": len(tables.fills),
            "row": tables.row,
            "run": tables.run,
            "padded": tables.padded,
        },
    )
    lines = [*operands, *_fill(WEIGHT_LINES, job, signature)]
    params, arguments = signature.finish()
    return assemble(label, lines, params, arguments, signature, job, parts)
