"""The text of a convolution kernel: images into vectors, native tiles, results back, epilogue.

In: a ``Convolution`` and the tables of ``schedule/windows.py``. Out: a ``Generated`` kernel. Its
loops walk a vector's worth of images at a time, or the part of the batch that one thread sums over
for a weight gradient; the native functions are those of ``tiles_window.py``. All extents and tables
are run-time arguments, so convolution layers share one text however they differ.
"""

from __future__ import annotations

from ..ops.window import conv_weight_rows
from ..schedule.kernels import Convolution
from ..schedule.window_jobs import Jobs, image_jobs, weight_jobs
from ..schedule.window_sums import WeightTables, weight_tables
from ..schedule.windows import Geometry, ImageTables, geometry, image_tables
from .contract import BLOCK_COLUMNS, assemble, epilogue_lines
from .source import Generated, Signature

JOB_LINES = """
rooms, sums = thread * room, thread * results
window_clear_{d}(image, rooms, clear)
for job in range(shares * thread // threads * chunk, shares * (thread + 1) // threads * chunk):
    window_job_{kind}(
        {a}, a_off, {b}, b_off, image, rooms, {result}, sums, {c}{bias},
        ks, vs, segments, turns, jobs, job, b_rs, result_rs,
    )
"""

EPILOGUE_LINES = """
    span = job * 6
    i_lo, i_hi = spans[span + 2], spans[span + 3]
    low, high = spans[span + 4], spans[span + 5]
    for item in range(spans[span], spans[span + 1]):
        for strip in range(strips):
            end = min(high + strip * strip_out, N)
            for j_lo in range(low + strip * strip_out, end, {block}):
                j_hi = min(j_lo + {block}, end)
"""


def generate_convolution(job: Convolution, label: str, parts: int) -> Generated:
    """Print the kernel of one convolution."""
    geo = geometry(job.eqn)
    if job.eqn.primitive is conv_weight_rows:
        return _weight(job, geo, label, parts)
    return _image(job, geo, label, parts)


def _lines(text: str, job: Convolution, signature: Signature, result: str = "") -> list[str]:
    """A text with the names of the kernel's buffers."""
    dtype = job.eqn.outputs[0].aval.dtype
    kind, bias = dtype.short, ""
    if job.bias is not None:
        buffer, const = job.bias
        at = signature.integer("bias_offset", const, "o")
        kind, bias = f"add_{kind}", f", {signature.buffer(buffer)}, {at}"
    c, a, b = (signature.buffer(x) for x in (job.c, job.a.buffer, job.b.buffer))
    filled = text.format(
        d=dtype.short, kind=kind, bias=bias, c=c, a=a, b=b, result=result or c,
        block=BLOCK_COLUMNS[dtype.short],
    )  # fmt: skip
    return filled.strip("\n").split("\n")


def _finish(
    job: Convolution,
    label: str,
    parts: int,
    signature: Signature,
    lines: list[str],
    tables: ImageTables | WeightTables,
    jobs: Jobs,
    values: dict[str, int],
) -> Generated:
    """Tables and integers as parameters, in the order of their names' first use."""
    words = {"ks": tables.ks, "vs": tables.vs, "segments": tables.segments}
    words |= {"turns": jobs.turns, "jobs": jobs.jobs}
    if "strips" in values:
        words["spans"] = jobs.spans
    for name, table in words.items():
        signature.table(name, table)
    offsets = {"a_off": job.a.offset, "b_off": job.b.offset}
    for name, value in {**offsets, "shares": jobs.shares, "chunk": jobs.chunk, **values}.items():
        signature.named(name, value)
    params, arguments = signature.finish()
    return assemble(label, lines, params, arguments, signature, job, parts)


def _image(job: Convolution, geo: Geometry, label: str, parts: int) -> Generated:
    tables = image_tables(geo, parts)
    dtype = job.eqn.outputs[0].aval.dtype
    signature = Signature()
    lanes = geo.lanes
    share = lanes // geo.strips
    room, results = tables.channels * tables.depth * lanes, tables.rows * tables.width * lanes
    lines = _lines(JOB_LINES, job, signature, "result")
    signature.scratch("image", dtype, room * geo.itemsize * parts)
    signature.scratch("result", dtype, results * geo.itemsize * parts)
    empty = geo.images % share or geo.strips * share < lanes  # lanes that no image fills
    values = {
        "room": room,
        "results": results,
        "clear": room if empty else 0,
        "b_rs": tables.a_rs,
        "result_rs": tables.width * lanes,
    }
    fused, constants = epilogue_lines(job, signature, parts)
    if fused:
        lines += _lines(EPILOGUE_LINES, job, signature)
        lines += ["                " + line for line in fused]
        values |= {"M": job.m, "N": job.n, "strips": geo.strips, "strip_out": tables.strip_out}
    jobs = image_jobs(geo, tables)
    return _finish(job, label, parts, signature, [*constants, *lines], tables, jobs, values)


def _weight(job: Convolution, geo: Geometry, label: str, parts: int) -> Generated:
    shares = job.eqn.params["parts"]
    tables = weight_tables(geo, shares)
    signature = Signature()
    lines = _lines(JOB_LINES, job, signature)
    room = tables.step * tables.held + geo.lanes  # the last vector may reach past the image
    room = -(-room // geo.lanes) * geo.lanes
    signature.scratch("image", job.eqn.outputs[0].aval.dtype, room * geo.itemsize * parts)
    values = {
        "room": room,
        "results": 0,
        "clear": room,
        "b_rs": tables.positions,
        "result_rs": tables.row,
    }
    jobs = weight_jobs(geo, tables, shares)
    return _finish(job, label, parts, signature, lines, tables, jobs, values)
