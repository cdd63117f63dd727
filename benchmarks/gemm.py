"""Matrix-product throughput against the measured multiply-add peak of one core.

    python benchmarks/gemm.py [--dtype f32|f64] [--sizes 32 128 10x64x32 ...] [--threads 1 2]

Prints GFLOP/s and the fraction of the peak for the four transposition cases; a size is n or
m x n x k. The peak is measured in the same run with a loop of register-only multiply-adds. Every
figure is the best of several short runs, because the machine may be shared. ``--numpy`` adds NumPy,
with the threads of its BLAS.
"""

from __future__ import annotations

import argparse
import ctypes
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np

from fusegrad.codegen import tiles

DTYPES = {"f32": np.float32, "f64": np.float64}
CASES = {"A.B": "nn", "A.Bt": "nt", "At.B": "tn", "At.Bt": "tt"}
SIZES = ["32", "64", "128", "256", "512", "1024", "2048"]


def vector_bits() -> int:
    """Widest vector registers of this CPU."""
    features = llvm.get_host_cpu_features()
    return 512 if features.get("avx512f") else 256 if features.get("avx2") else 128


def compile_module(text: str) -> Any:
    """Machine code of LLVM IR text for this CPU; keep the engine alive while calling into it."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3
    )
    module = llvm.parse_assembly(text)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return engine


def native_functions(engine: Any) -> dict[str, Any]:
    """The library functions as numba functions of flat arrays and offsets."""
    found: dict[str, Any] = {}
    for name, kinds in tiles.SIGNATURES.items():
        c_types = [ctypes.c_int64 if kind == "i64" else ctypes.c_void_p for kind in kinds]
        scope = {"f": ctypes.CFUNCTYPE(None, *c_types)(engine.get_function_address(name))}
        params = ", ".join(f"x{i}" for i in range(len(kinds)))
        values = ", ".join(
            f"x{i}" if kind == "i64" else f"x{i}.ctypes" for i, kind in enumerate(kinds)
        )
        exec(f"def {name}({params}):\n    f({values})", scope)
        found[name] = numba.njit(nogil=True)(scope[name])
    return found


def compile_kernel(dtype: str, functions: dict[str, Any]) -> Callable[..., None]:
    """A numba function ``kernel(repeats, *params, thread, threads)`` from the contraction text."""
    params = [name for name, _ in tiles.contract_params(dtype)]
    lines = [f"def kernel(repeats, {', '.join(params)}, thread, threads):"]
    lines += ["    for _ in range(repeats):"]
    lines += ["        " + line for line in tiles.contract_lines(dtype)]
    scope: dict[str, Any] = {**functions, "float32": np.float32, "float64": np.float64}
    exec("\n".join(lines), scope)
    return numba.njit(nogil=True, error_model="numpy")(scope["kernel"])


def best_seconds(run: Callable[[int], None], budget: float = 0.15) -> float:
    """Seconds of one repetition: the best of several runs within the time budget."""
    run(1)
    start = time.perf_counter()
    run(1)
    once = max(time.perf_counter() - start, 1e-7)
    repeats = max(1, int(2e-3 / once))
    best, end = once, time.perf_counter() + budget
    while time.perf_counter() < end:
        start = time.perf_counter()
        run(repeats)
        best = min(best, (time.perf_counter() - start) / repeats)
    return best


def peak_gflops(dtype: str, bits: int) -> float:
    """Peak of one core: 16 independent chains of register-only multiply-adds."""
    lanes = bits // (32 if dtype == "f32" else 64)
    kind = f"<{lanes} x {'float' if dtype == 'f32' else 'double'}>"
    chains = range(16 if bits == 512 else 12)
    phis = "\n".join(f"%p{i} = phi {kind} [%x, %entry], [%q{i}, %loop]" for i in chains)
    name = f"@llvm.fmuladd.v{lanes}{dtype}"
    fmas = "\n".join(
        f"%q{i} = call {kind} {name}({kind} %p{i}, {kind} %x, {kind} %x)" for i in chains
    )
    total, sums = "%q0", []
    for i in list(chains)[1:]:
        sums.append(f"%s{i} = fadd {kind} {total}, %q{i}")
        total = f"%s{i}"
    text = f"""
declare {kind} {name}({kind}, {kind}, {kind})
define void @peak(i64 %n, ptr %out) {{
entry:
  %x = load {kind}, ptr %out, align 4
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%next, %loop]
  {phis}
  {fmas}
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  {chr(10).join(sums)}
  store {kind} {total}, ptr %out, align 4
  ret void
}}"""
    engine = compile_module(text)
    peak = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p)(
        engine.get_function_address("peak")
    )
    out = np.zeros(lanes, DTYPES[dtype])
    count = 100_000
    seconds = best_seconds(lambda repeats: peak(count * repeats, out.ctypes.data), 0.3)
    return 2 * lanes * len(chains) * count / seconds / 1e9


def contract_arguments(
    dtype: str, case: str, m: int, n: int, k: int, threads: int
) -> tuple[list[Any], Any, Any]:
    """Kernel arguments of one case, and NumPy views of its operands."""
    random = np.random.default_rng(0)
    a = random.standard_normal((m, k) if case[0] == "n" else (k, m)).astype(DTYPES[dtype])
    b = random.standard_normal((k, n) if case[1] == "n" else (n, k)).astype(DTYPES[dtype])
    a_strides = (k, 1) if case[0] == "n" else (1, m)
    b_strides = (n, 1) if case[1] == "n" else (1, k)
    c = np.empty(m * n, a.dtype)
    work = np.empty(tiles.workspace_bytes(dtype, m, n, k, threads) // a.itemsize + 16, a.dtype)
    work = work[-work.ctypes.data % 64 // a.itemsize :]
    flat = [a.ravel(), b.ravel(), c, work, m, n, k, *a_strides, *b_strides, n]
    left = a if case[0] == "n" else a.T
    return flat, left, b if case[1] == "n" else b.T


def run_threads(kernel: Any, arguments: list[Any], threads: int) -> Callable[[int], None]:
    """Run the kernel on several threads, each repeating its own part."""

    def run(repeats: int) -> None:
        workers = [
            threading.Thread(target=kernel, args=(repeats, *arguments, t, threads))
            for t in range(1, threads)
        ]
        for worker in workers:
            worker.start()
        kernel(repeats, *arguments, 0, threads)
        for worker in workers:
            worker.join()

    return run


def matmul_loop(left: Any, right: Any) -> Callable[[int], None]:
    """The same product in NumPy."""
    out = np.empty((left.shape[0], right.shape[1]), left.dtype)

    def run(repeats: int) -> None:
        for _ in range(repeats):
            np.matmul(left, right, out=out)

    return run


def parse_size(text: str) -> tuple[int, int, int]:
    """``n`` or ``m x n x k``."""
    parts = [int(part) for part in text.split("x")]
    return (parts[0],) * 3 if len(parts) == 1 else (parts[0], parts[1], parts[2])


def report(dtype: str, sizes: Sequence[str], threads: int, bits: int, compare: bool) -> None:
    """Print one table."""
    peak = peak_gflops(dtype, bits)
    print(f"{dtype}, {threads} thread(s); peak of one core {peak:.0f} GFLOP/s; fractions of it")
    functions = native_functions(engine := compile_module(tiles.library_module(bits)))
    kernel = compile_kernel(dtype, functions)
    print(f"{'size':>14}" + "".join(f"{case:>16}" for case in CASES))
    for size in sizes:
        m, n, k = parse_size(size)
        cells = []
        for case in CASES.values():
            arguments, left, right = contract_arguments(dtype, case, m, n, k, threads)
            seconds = best_seconds(run_threads(kernel, arguments, threads))
            np.testing.assert_allclose(
                arguments[2].reshape(m, n), left @ right, rtol=1e-3, atol=1e-3
            )
            rate = 2 * m * n * k / seconds / 1e9
            cells.append(f"{rate:9.1f} ({rate / peak / threads:4.0%})")
            if compare:
                seconds = best_seconds(matmul_loop(left, right))
                cells[-1] += f" np{2 * m * n * k / seconds / 1e9:6.1f}"
        print(f"{size:>14}" + "".join(f"{cell:>16}" for cell in cells), flush=True)
    del engine


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="f32")
    parser.add_argument("--sizes", nargs="+", default=SIZES)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--bits", type=int, default=vector_bits(), help="vector width")
    parser.add_argument("--numpy", action="store_true", help="measure NumPy beside it")
    options = parser.parse_args()
    for threads in options.threads:
        report(options.dtype, options.sizes, threads, options.bits, options.numpy)


if __name__ == "__main__":
    main()
