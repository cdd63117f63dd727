"""The text of a contraction kernel: blocked loops over native tiles, with a fused epilogue.

In: the strided operands of a dot, the epilogue as a loop nest over ``(item, i, j)``. Out: a
``Generated`` kernel. The macro loops come from ``tiles.contract_lines``; the epilogue runs on each
block of the result while it is in cache.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..dtypes import DType
from ..schedule.index import Ix
from ..schedule.kernels import Contraction
from ..schedule.loops import LoopNest, Scalar
from . import tiles
from .blocks import STAGGER
from .kernel import KernelSource
from .lines import Line, Segment, cut, slots
from .source import Argument, Body, Generated, Signature, fetched, store_value

# Widest block of columns that the native loops hand to the epilogue.
BLOCK_COLUMNS = {"f32": 512, "f64": 256}


class _Epilogue(Body):
    """Prints indices over the block variables ``item``, ``i`` and ``j`` of the macro loops."""

    def __init__(self, nest: LoopNest, signature: Signature, names: Sequence[str]) -> None:
        super().__init__(nest, signature)
        self.axis_names = list(names)

    def extent(self, axis: int) -> str:
        name = {"i": "M", "j": "N"}.get(self.axis_names[axis])
        return name or super().extent(axis)

    def index(self, ix: Ix, scope: dict[Scalar, str]) -> str:
        text = super().index(ix, scope)
        for axis in reversed(range(len(self.axis_names))):
            text = _rename(text, f"i{axis}", self.axis_names[axis])
        return text


def _rename(text: str, old: str, new: str) -> str:
    return re.sub(rf"\b{old}\b", new, text)


def generate_contraction(job: Contraction, label: str, parts: int) -> Generated:
    """Print the kernel of one contraction."""
    short = job.eqn.outputs[0].aval.dtype.short
    signature = Signature()
    names = {
        "a": signature.buffer(job.a.buffer),
        "b": signature.buffer(job.b.buffer),
        "c": signature.buffer(job.c),
    }
    need = tiles.workspace_bytes(short, job.m, job.n, job.k, parts)
    names["workspace"] = signature.scratch("workspace", job.eqn.outputs[0].aval.dtype, need)
    epilogue, constants = epilogue_lines(job, signature, parts)
    lines = tiles.contract_lines(
        short,
        batch_axes=len(job.batch),
        epilogue=epilogue,
        names={"a": "a_", "b": "b_", "c": names["c"], "workspace": "workspace"},
    )
    offsets = [
        signature.integer("a_offset", job.a.offset, "o"),
        signature.integer("b_offset", job.b.offset, "o"),
    ]
    lines = [
        *constants,
        f"a_ = offset({names['a']}, {offsets[0]})",
        f"b_ = offset({names['b']}, {offsets[1]})",
        *lines,
    ]
    values = {
        "M": job.m,
        "N": job.n,
        "K": job.k,
        "a_rs": job.a.row,
        "a_cs": job.a.column,
        "b_rs": job.b.row,
        "b_cs": job.b.column,
        "c_rs": job.n,
    }
    step = job.m * job.n
    for axis in reversed(range(len(job.batch))):
        values[f"batch{axis}"] = job.batch[axis]
        values[f"a_bs{axis}"] = job.a.batch[axis]
        values[f"b_bs{axis}"] = job.b.batch[axis]
        values[f"c_bs{axis}"] = step
        step *= job.batch[axis]
    params, arguments = signature.finish()
    for name, kind in tiles.contract_params(short, len(job.batch)):
        if kind == "i64":
            params = (*params, (name, kind))
            arguments.append(Argument("int", value=values[name]))
    return assemble(label, lines, params, arguments, signature, job, parts)


def assemble(
    label: str,
    lines: Sequence[str],
    params: tuple[tuple[str, str], ...],
    arguments: list[Argument],
    signature: Signature,
    job: Contraction,
    parts: int,
) -> Generated:
    """A kernel from the lines of its body."""
    head = f"def {label}({', '.join([*[n for n, _ in params], 'thread', 'threads'])}):"
    body = [f"    {line}" for line in lines if not line.lstrip().startswith("#")]
    about = [
        f"    # {name}: {b.hint or b.name} {b.dtype.short}{list(b.shape)}"
        for b, name in signature.buffers.items()
    ]
    where = f"    # {job.eqn.where}  {job.eqn.site.source}" if job.eqn.site else ""
    text = "\n".join([head, *body]) + "\n"
    shown = (
        "\n".join([head, *about, *([where] if where else []), *[f"    {line}" for line in lines]])
        + "\n"
    )
    return Generated(KernelSource(label, text, params), shown, arguments, parts)


def _segment_lines(segment: Segment, slot: dict[str, tuple[int, DType]]) -> list[str]:
    """Fetch, compute, keep: one loop body of the epilogue, with comments for user lines."""
    out = [f"{x.name} = {fetched(f'b{slot[x.name][0]}[q + j]', x.dtype)}" for x in segment.fetch]
    shown = ""
    for line in segment.lines:
        if line.eqn is not None and line.eqn.where and line.eqn.where != shown:
            shown = line.eqn.where
            source = line.eqn.site.source if line.eqn.site else ""
            out.append(f"# {shown}  {source}".rstrip())
        out.append(line.text)
    for x in segment.keep:
        assert x.dtype is not None
        out.append(f"b{slot[x.name][0]}[q + j] = {store_value(x.name, x.dtype)}")
    return out


def epilogue_lines(
    job: Contraction, signature: Signature, parts: int
) -> tuple[list[str], list[str]]:
    """Loops over the block that apply the fused values, and the constants they use."""
    nest = job.nest
    stores = [s for s in nest.stores if not (s.value is job.raw and s.buffer is job.c)]
    if not stores:
        return [], []
    axes = (("item", bool(job.batch)), ("i", job.m != 1), ("j", job.n != 1))
    axis_names = [name for name, walked in axes if walked]  # unit axes are not in the nest
    body = _Epilogue(nest, signature, axis_names)
    for store in stores:
        signature.buffer(store.buffer)
    scope: dict[Scalar, str] = {}
    lines: list[Line] = []
    named = [(s, body.emit(s.value, scope, lines)) for s in stores]
    for store, name in named:
        place = f"{signature.buffer(store.buffer)}[{body.index(store.index, scope)}]"
        lines.append(Line(f"{place} = {store_value(name, store.buffer.dtype)}"))
    out = ["for i in range(i_lo, i_hi):"]
    segments = cut(lines)
    slot = slots(segments)
    width = BLOCK_COLUMNS[job.eqn.outputs[0].aval.dtype.short]
    for number, dtype in dict(slot.values()).items():
        signature.scratch(f"b{number}", dtype, width * dtype.itemsize * parts + STAGGER)
    for segment in segments:
        out.append("    for j in range(j_lo, j_hi):")
        out += ["        " + text for text in _segment_lines(segment, slot)]
    if slot:
        out.insert(0, f"q = thread * {width} - j_lo")
    return out, [line.strip() for line in body.constant_lines()[0]]
