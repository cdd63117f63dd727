"""What this machine can do at most: multiply-adds and memory traffic per second.

In: a number of threads. Out: `Rates`, the denominators of the physical limit in the report. Two
small LLVM loops are built with llvmlite: independent vector FMAs in registers, and the STREAM triad
``a = b + s * c`` with non-temporal stores over arrays larger than the caches. Used by
``command.py``.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

ACCUMULATORS = 12
TRIAD_ELEMENTS = 1 << 24
LINE_BYTES = 64


@dataclass(frozen=True)
class Rates:
    """Measured ceilings.

    Attributes:
        flops: floating-point operations per second, float32 FMA, all threads.
        bytes: bytes per second of the triad, all threads.
    """

    flops: float
    bytes: float


def fma_text(lanes: int) -> str:
    """Return LLVM IR that runs ``count`` rounds of independent FMAs and stores their sum."""
    vector = f"<{lanes} x float>"
    names = range(ACCUMULATORS)
    phis = "\n".join(f"  %a{i} = phi {vector} [ %start, %entry ], [ %b{i}, %loop ]" for i in names)
    products = "\n".join(
        f"  %b{i} = call {vector} @llvm.fma.v{lanes}f32({vector} %a{i}, {vector} %x, {vector} %x)"
        for i in names
    )
    sums = "\n".join(f"  %s{i} = fadd {vector} {f'%s{i - 1}' if i else '%x'}, %b{i}" for i in names)
    return f"""
declare {vector} @llvm.fma.v{lanes}f32({vector}, {vector}, {vector})
define void @fma(i64 %count, ptr %data) {{
entry:
  %x = load {vector}, ptr %data, align 4
  %start = fadd {vector} %x, %x
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
{phis}
{products}
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %count
  br i1 %more, label %loop, label %done
done:
{sums}
  store {vector} %s{ACCUMULATORS - 1}, ptr %data, align 4
  ret void
}}
"""


def triad_text(lanes: int) -> str:
    """Return LLVM IR of the triad over ``count`` vectors; pointers are aligned to a vector."""
    vector = f"<{lanes} x float>"
    align = 4 * lanes
    return f"""
define void @triad(i64 %count, ptr noalias %a, ptr noalias %b, ptr noalias %c) {{
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %pa = getelementptr {vector}, ptr %a, i64 %i
  %pb = getelementptr {vector}, ptr %b, i64 %i
  %pc = getelementptr {vector}, ptr %c, i64 %i
  %x = load {vector}, ptr %pb, align {align}
  %y = load {vector}, ptr %pc, align {align}
  %z = fadd {vector} %y, %y
  %w = fadd {vector} %x, %z
  store {vector} %w, ptr %pa, align {align}, !nontemporal !0
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %count
  br i1 %more, label %loop, label %done
done:
  ret void
}}
!0 = !{{i32 1}}
"""


class Probe:
    """The two loops as machine code for this CPU."""

    def __init__(self) -> None:
        # llvmlite ships no types, and nothing but this measurement needs it here.
        llvm: Any = importlib.import_module("llvmlite.binding")

        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        features = llvm.get_host_cpu_features()
        self.lanes = 16 if features.get("avx512f") else 8 if features.get("avx") else 4
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=features.flatten(), opt=3
        )
        # Without this, 512-bit arithmetic may be split on CPUs that LLVM tunes for 256 bits.
        text = (fma_text(self.lanes) + triad_text(self.lanes)).replace(
            ") {\nentry", f') "min-legal-vector-width"="{32 * self.lanes}" {{\nentry'
        )
        module = llvm.parse_assembly(text)
        module.verify()
        self.engine = llvm.create_mcjit_compiler(module, machine)
        self.engine.finalize_object()
        pointer, integer = ctypes.c_void_p, ctypes.c_int64
        self.fma = ctypes.CFUNCTYPE(None, integer, pointer)(self.engine.get_function_address("fma"))
        self.triad = ctypes.CFUNCTYPE(None, integer, pointer, pointer, pointer)(
            self.engine.get_function_address("triad")
        )


def aligned_ones(elements: int) -> np.ndarray:
    """Return float32 ones whose first element starts a cache line."""
    padded = np.ones(elements + LINE_BYTES // 4, dtype=np.float32)
    offset = (-padded.ctypes.data % LINE_BYTES) // 4
    return padded[offset : offset + elements]


def best_seconds(
    threads: int, work: Callable[[int], None], repeats: int = 8
) -> tuple[float, float]:
    """Return the shortest wall time and CPU time in which pinned threads finish ``work(index)``.

    CPU time leaves out what other processes take; right for arithmetic, wrong for memory, where a
    thread that waits leaves its bandwidth to the others.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    barrier = threading.Barrier(threads)
    spans: list[list[tuple[float, float, float]]] = [[] for _ in range(threads)]

    def run(index: int) -> None:
        if len(cores) >= threads:
            os.sched_setaffinity(0, {cores[index]})  # of this thread only
        for _ in range(repeats):
            barrier.wait()
            started, worked = time.perf_counter(), time.thread_time()
            work(index)
            spans[index].append((started, time.perf_counter(), time.thread_time() - worked))

    runners = [threading.Thread(target=run, args=(index,)) for index in range(threads)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    rounds = list(zip(*spans, strict=True))
    wall = min(max(end for _, end, _ in one) - min(start for start, _, _ in one) for one in rounds)
    return wall, min(max(cpu for _, _, cpu in one) for one in rounds)


def measure_flops(probe: Probe, threads: int) -> float:
    """Return float32 operations per second of all threads."""
    rounds = 20_000_000
    registers = [aligned_ones(LINE_BYTES) for _ in range(threads)]
    for array in registers:
        array *= np.float32(1e-3)
    _, seconds = best_seconds(
        threads, lambda index: probe.fma(rounds, registers[index].ctypes.data)
    )
    return 2.0 * probe.lanes * ACCUMULATORS * rounds * threads / seconds


def measure_bytes(probe: Probe, threads: int) -> float:
    """Return bytes per second of the triad."""
    arrays = [aligned_ones(TRIAD_ELEMENTS) for _ in range(3)]
    vectors = TRIAD_ELEMENTS // probe.lanes // threads
    chunk_bytes = vectors * probe.lanes * 4
    passes = 10

    def run_triad(index: int) -> None:
        pointers = [array.ctypes.data + index * chunk_bytes for array in arrays]
        for _ in range(passes):
            probe.triad(vectors, *pointers)

    seconds, _ = best_seconds(threads, run_triad)
    return 3.0 * passes * chunk_bytes * threads / seconds


def measure_rates(threads: int) -> Rates:
    """Measure both ceilings with ``threads`` threads; takes about a second."""
    probe = Probe()
    return Rates(flops=measure_flops(probe, threads), bytes=measure_bytes(probe, threads))
