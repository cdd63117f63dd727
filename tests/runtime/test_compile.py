"""Kernel text to machine code: results, vectorisation, caching, messages."""

from __future__ import annotations

import numpy as np
import pytest

from fusegrad.codegen import tiles
from fusegrad.codegen.kernel import KernelSource
from fusegrad.errors import LoweringError
from fusegrad.runtime import compile as compiler
from fusegrad.runtime import machine
from fusegrad.runtime.plain import run_plain

POINTERS = 12
MANY = KernelSource(
    "many",
    f"""
def many(n, {", ".join(f"p{i}" for i in range(POINTERS))}, thread, threads):
    for i in range(n * thread // threads, n * (thread + 1) // threads):
        c = p0[i] * p1[i] + p2[i]
        d = c * float32(0.5) + p3[i]
        e = where(d > float32(0.0), d, float32(0.0)) + p4[i]
        p6[i] = c
        p7[i] = d
        p8[i] = e
        p9[i] = e * d + p5[i]
        p10[i] = c - d
        p11[i] = maximum(c, e)
""",
    (("n", "i64"), *((f"p{i}", "f32*") for i in range(POINTERS))),
)

SCALE = """
def {name}(n, x, y, thread, threads):
    for i in range(n * thread // threads, n * (thread + 1) // threads):
        y[i] = x[i] * float32(3.0)
"""
SCALE_PARAMS = (("n", "i64"), ("x", "f32*"), ("y", "f32*"))


def scale(name: str) -> KernelSource:
    return KernelSource(name, SCALE.format(name=name), SCALE_PARAMS)


def test_result_and_split(native):
    arrays = [np.random.default_rng(i).normal(size=1001).astype("f4") for i in range(POINTERS)]
    native(MANY, [1001, *arrays], threads=3)
    c = arrays[0] * arrays[1] + arrays[2]
    np.testing.assert_allclose(arrays[6], c, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(arrays[10], c - (c * 0.5 + arrays[3]), rtol=1e-4, atol=1e-6)


def test_many_pointers_vectorise_without_alias_checks():
    text = compiler.assembly(MANY)
    register = {512: "zmm", 256: "ymm", 128: "xmm"}[machine.host().vector_bits]
    if not machine.host().triple.startswith("x86_64"):
        pytest.skip("the register names are those of x86")
    assert text.count(register) > POINTERS
    # Run-time alias checks of the vectoriser would compare every store with every load pointer.
    compares = [line for line in text.splitlines() if line.strip().startswith("cmpq")]
    assert len(compares) < 2 * POINTERS


def test_vector_math_stays_vectorised():
    source = KernelSource(
        "smooth",
        """
def smooth(n, x, y, thread, threads):
    for i in range(n):
        y[i] = exp(x[i]) / (float32(1.0) + tanh(x[i]))
""",
        SCALE_PARAMS,
    )
    text = compiler.assembly(source)
    assert "callq" not in text.split("smooth:")[0]
    if machine.host().triple.startswith("x86_64"):
        assert text.count("zmm" if machine.host().vector_bits == 512 else "ymm") > 20


def test_memory_then_disk_then_compile(monkeypatch):
    source = scale("cached")
    before = compiler.counters.copy()
    first = compiler.load_kernel(source)
    assert compiler.load_kernels([source, source]) == [first, first]
    change = compiler.counters - before
    assert (change.compiles, change.disk_hits, change.memory_hits) == (1, 0, 2)
    assert change.frontend_seconds > 0
    assert change.llvm_seconds > 0


def test_same_text_under_another_name_is_another_kernel(native):
    x, y = np.ones(5, "f4"), np.zeros(5, "f4")
    addresses = compiler.load_kernels([scale("one"), scale("two"), scale("one")])
    assert addresses[0] == addresses[2] != addresses[1]
    native(scale("two"), [5, x, y])
    assert y.tolist() == [3.0] * 5


def test_warm_process_compiles_nothing_and_never_imports_numba(python):
    code = f"""
import sys
from fusegrad.codegen.kernel import KernelSource
from fusegrad.runtime import compile as compiler, threads, executor
text = {SCALE!r}
names = ["warm0", "warm1", "warm2"]
sources = [KernelSource(name, text.format(name=name), {SCALE_PARAMS!r}) for name in names]
compiler.load_kernels(sources)
executor.executor()
print(compiler.counters.compiles, compiler.counters.disk_hits, "numba" in sys.modules)
"""
    assert python(code).split() == ["3", "0", "True"]
    assert python(code).split() == ["0", "3", "False"]


def test_importing_the_runtime_imports_no_compiler(python):
    code = """
import sys
import fusegrad.runtime.compile, fusegrad.runtime.threads, fusegrad.runtime.allocator
print([name for name in ("numba", "llvmlite.binding", "scipy", "torch") if name in sys.modules])
"""
    assert python(code).strip() == "[]"


def test_error_shows_the_text_with_line_numbers_and_numbas_message():
    text = """
def wrong(n, x, y, thread, threads):
    for i in range(n):
        y[i] = no_such_function(x[i])
"""
    with pytest.raises(LoweringError) as caught:
        compiler.load_kernel(KernelSource("wrong", text, SCALE_PARAMS))
    message = str(caught.value)
    assert "kernel wrong does not compile" in message
    assert "4 |         y[i] = no_such_function(x[i])" in message
    assert "no_such_function" in message.split("1 |")[0]


def test_syntax_error_is_a_lowering_error():
    with pytest.raises(LoweringError, match="kernel broken does not compile"):
        compiler.load_kernel(KernelSource("broken", "def broken(:\n", ()))


def test_a_failed_kernel_leaves_the_others_usable():
    bad = KernelSource("bad", "def bad(n, x, y, thread, threads):\n    y[0] = zz\n", SCALE_PARAMS)
    with pytest.raises(LoweringError):
        compiler.load_kernels([scale("before_bad"), bad])
    assert compiler.load_kernel(scale("before_bad"))


def test_progress_line_after_a_while(monkeypatch, capsys):
    monkeypatch.setattr(compiler, "PROGRESS_AFTER_SECONDS", 0.0)
    compiler.load_kernels([scale("slow_a"), scale("slow_b")])
    shown = capsys.readouterr().err
    assert "fusegrad: compiling kernel" in shown
    assert "of 2, slow_" in shown


def test_numbas_slow_path_for_user_code(native):
    source = KernelSource(
        "user",
        """
def user(n, x, y, thread, threads):
    def inner(v):
        return np.cosh(v) + max(v, v + float32(1.0), float32(0.0))
    for i in range(n):
        y[i] = inner(x[i])
""",
        SCALE_PARAMS,
    )
    x, y = np.linspace(-1, 1, 9, dtype="f4"), np.zeros(9, "f4")
    native(source, [9, x, y])
    np.testing.assert_allclose(y, np.cosh(x) + np.maximum(x + 1, 0), rtol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1, 1), (33, 17, 65), (64, 96, 40)])
def test_tile_library_is_found_by_symbol(native, shape):
    m, n, k = shape
    params = tiles.contract_params("f32")
    lines = "\n".join("    " + line for line in tiles.contract_lines("f32"))
    head = ", ".join(name for name, _ in params)
    source = KernelSource("gemm", f"def gemm({head}, thread, threads):\n{lines}\n", params)
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(m, k)).astype("f4"), rng.normal(size=(k, n)).astype("f4")
    c = np.zeros((m, n), "f4")
    room = np.zeros(tiles.workspace_bytes("f32", m, n, k, 1) // 4 + 16, "f4")
    native(source, [a, b, c, room, m, n, k, k, 1, n, 1, n])
    np.testing.assert_allclose(c, a @ b, rtol=1e-4, atol=1e-4)


def test_memory_faults_are_not_hidden_by_the_wrapper(native):
    """More parameters than argument registers, of every type, arrive in order."""
    kinds = ["f32*", "f64*", "i8*", "i16*", "i32*", "i64*", "u8*", "u16*", "u32*", "u64*"]
    names = [f"p{i}" for i in range(len(kinds))]
    body = "\n".join(f"    {name}[0] = {name}[1]" for name in names)
    text = f"def copy_all(a, {', '.join(names)}, z, thread, threads):\n{body}\n    p5[2] = a - z\n"
    params = (("a", "i64"), *zip(names, kinds, strict=True), ("z", "i64"))
    source = KernelSource("copy_all", text, params)
    arrays = [
        np.array([0, 7, 0], np.dtype(kind[:-1].replace("f32", "f4").replace("f64", "f8")))
        if kind[0] == "f"
        else np.array([0, 7, 0], f"{kind[0]}{int(kind[1:-1]) // 8}")
        for kind in kinds
    ]
    native(source, [50, *arrays, 8])
    assert [array[0] for array in arrays] == [7] * len(kinds)
    assert arrays[5][2] == 42


def test_plain_text_is_the_same_kernel(native):
    arrays = [np.random.default_rng(i).normal(size=37).astype("f4") for i in range(POINTERS)]
    copies = [array.copy() for array in arrays]
    native(MANY, [37, *arrays])
    run_plain(MANY, [37, *copies])
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_allclose(array, copy, rtol=2e-6, atol=1e-6)
