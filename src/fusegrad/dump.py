"""One folder per compile: graphs, fusion decisions, memory and every kernel as a runnable file.

In: a ``Trace``. Out: numbered text files whose content depends on the program only (times go to a
file of their own), so that ``diff -r`` of two folders shows what changed. A kernel file runs alone:
``python 05_kernel_01_map_mul_sum.py``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from .views import Kernel, kernels_of, memory_of

if TYPE_CHECKING:
    from .traced import Trace

_HEAD = '''"""Kernel {number} of a fusegrad program. Run it: python {file}

Under plain CPython, with random inputs; change the arrays in ARGUMENTS to debug it.
"""

import numpy as np

from fusegrad.runtime.plain import plain_namespace

globals().update(plain_namespace())
rng = np.random.default_rng(0)

'''
_FOOT = """

ARGUMENTS = {{
{arguments}
}}

if __name__ == "__main__":
    with np.errstate(all="ignore"):
        {name}(**ARGUMENTS, thread=0, threads=1)
    for name in {buffers!r}:
        print(name, ARGUMENTS[name][:8])
"""


def next_folder(parent: str | Path, name: str) -> Path:
    """The next free numbered folder below ``parent``: ``001_step``, ``002_step``, ..."""
    parent = Path(parent)
    parent.mkdir(parents=True, exist_ok=True)
    used = [int(m[1]) for p in parent.iterdir() if (m := re.match(r"(\d+)_", p.name))]
    while True:
        number = max(used, default=0) + 1
        folder = parent / f"{number:03d}_{re.sub(r'[^0-9A-Za-z_]', '', name) or 'step'}"
        try:
            folder.mkdir()
            return folder
        except FileExistsError:  # another process was faster
            used.append(number)


def dump_trace(trace: Trace, folder: Path, report: str) -> Path:
    """Write a trace into ``folder``; ``report`` is the text of ``explain()``."""
    folder.mkdir(parents=True, exist_ok=True)
    kernels = kernels_of(trace)

    def put(name: str, text: str) -> None:
        (folder / name).write_text(text.rstrip("\n") + "\n", encoding="utf-8")

    put("01_captured.txt", str(trace.captured))
    put("02_optimised.txt", str(trace.graph))
    put(
        "03_fusion.txt",
        "\n".join(
            "\n".join([f"{k.number}. {k.name}", *[f"   {r}" for r in k.reasons]]) for k in kernels
        ),
    )
    put("04_memory.txt", str(memory_of(trace)))
    for kernel in kernels:
        file = f"05_kernel_{kernel.number:02d}_{kernel.name}.py"
        put(file, kernel_file(kernel, file))
    put("06_report.txt", report)
    return folder


def kernel_file(kernel: Kernel, file: str) -> str:
    """The text of a Python file that runs one kernel with random inputs."""
    head = _HEAD.format(number=kernel.number, file=file)
    if kernel.host:
        return f'"""{kernel.source[2:].strip()}: not generated code."""\n'
    lines = []
    for a in kernel.arguments:
        if a.kind == "int":
            lines.append(f"    {a.name!r}: {a.value},")
            continue
        kind = f"np.{a.dtype.name}"
        if a.table is not None:
            made = f"np.array({a.table.tolist()}, {kind})"
        elif a.kind != "buffer":
            made = f"np.zeros({a.size}, {kind})"
        elif a.dtype.kind == "f":
            made = f"rng.standard_normal({a.size}).astype({kind})"
        else:
            made = f"rng.integers(0, 2, {a.size}).astype({kind})"
        lines.append(f"    {a.name!r}: {made},  # {str(a).partition(': ')[2]}")
    names = [a.name for a in kernel.buffers()]
    foot = _FOOT.format(arguments="\n".join(lines), name=kernel.name, buffers=names)
    return head + kernel.source.rstrip("\n") + "\n" + foot
