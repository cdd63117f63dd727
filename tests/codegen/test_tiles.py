"""The native tile library against NumPy, and the kernel text in CPython and in numba."""

from __future__ import annotations

import ctypes
import functools
import itertools
import platform
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import pytest

from fusegrad.codegen import tiles, tiles_plan

DTYPES = {"f32": np.float32, "f64": np.float64}
TOLERANCE = {"f32": 2e-6, "f64": 4e-15}
Native = dict[str, Callable[..., None]]


def native_bits() -> list[int]:
    """Vector widths that this CPU can run."""
    features = llvm.get_host_cpu_features()
    return [128] + [256] * bool(features.get("avx2")) + [512] * bool(features.get("avx512f"))


@functools.cache
def build(bits: int) -> tuple[Any, dict[str, Any]]:
    """Compile the library for a CPU with vectors of ``bits``; C function objects by name.

    The narrower widths are compiled for older CPUs, so that masks and multiply-adds take the
    forms that those have. Only the widest goes through the optimizer: both ways must work.
    """
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    widest = bits == native_bits()[-1]
    cpu, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    if not widest and platform.machine().lower() in ("x86_64", "amd64"):
        cpu, features = {128: "x86-64", 256: "haswell"}[bits], ""
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=cpu, features=features, opt=3
    )
    module = llvm.parse_assembly(tiles.library_module(bits))
    module.verify()
    if widest:
        builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(3))
        builder.getModulePassManager().run(module, builder)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    functions = {}
    for name, kinds in tiles.SIGNATURES.items():
        types = [ctypes.c_int64 if kind == "i64" else ctypes.c_void_p for kind in kinds]
        functions[name] = ctypes.CFUNCTYPE(None, *types)(engine.get_function_address(name))
    return engine, functions


@functools.cache
def python_callable(bits: int) -> Native:
    """The library as Python functions of flat arrays."""

    def wrap(function: Any) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            function(*(x.ctypes.data if isinstance(x, np.ndarray) else int(x) for x in arguments))

        return call

    return {name: wrap(function) for name, function in build(bits)[1].items()}


@functools.cache
def numba_callable(bits: int) -> Native:
    """The library as numba functions of flat arrays."""
    numba = pytest.importorskip("numba")
    found = {}
    for name, kinds in tiles.SIGNATURES.items():
        scope: dict[str, Any] = {"native": build(bits)[1][name]}
        params = ", ".join(f"x{i}" for i in range(len(kinds)))
        values = (f"x{i}" if kind == "i64" else f"x{i}.ctypes" for i, kind in enumerate(kinds))
        exec(f"def {name}({params}):\n    native({', '.join(values)})", scope)
        found[name] = numba.njit(scope[name])
    return found


def library(bits: int) -> Native:
    """The functions under test: 0 names the NumPy reference."""
    return tiles.REFERENCE if bits == 0 else python_callable(bits)


def strided(
    matrix: np.ndarray[Any, Any], order: str, offset: int
) -> tuple[np.ndarray[Any, Any], int, int]:
    """Flat storage of a matrix, its row stride and its column stride.

    ``order``: ``"n"`` row-major, ``"t"`` column-major, ``"s"`` no axis contiguous.
    """
    rows, columns = matrix.shape
    row_stride, column_stride = {
        "n": (columns + 3, 1),
        "t": (1, rows + 1),
        "s": (3 * columns + 1, 3),
    }[order]
    size = offset + max(rows, 1) * row_stride + max(columns, 1) * column_stride
    flat = np.full(size, np.nan, matrix.dtype)
    for i, j in np.ndindex(rows, columns):
        flat[offset + i * row_stride + j * column_stride] = matrix[i, j]
    return flat, row_stride, column_stride


def assert_product(
    found: np.ndarray[Any, Any],
    left: np.ndarray[Any, Any],
    right: np.ndarray[Any, Any],
    extra: Any = 0.0,
) -> None:
    """Compare with a float64 product, relative to the sum of magnitudes."""
    tolerance = TOLERANCE[f"f{found.itemsize * 8}"]
    x, y = left.astype(np.float64), right.astype(np.float64)
    scale = np.abs(x) @ np.abs(y) + np.abs(extra)
    bound = tolerance * (scale + 1e-30) * max(1.0, np.sqrt(left.shape[1]))
    assert np.all(np.abs(found - (x @ y + extra)) <= bound)


def block_product(
    functions: Native,
    dtype: str,
    left: np.ndarray[Any, Any],
    right: np.ndarray[Any, Any],
    orders: str,
    *,
    pack: tuple[bool, bool],
    start: np.ndarray[Any, Any] | None = None,
) -> np.ndarray[Any, Any]:
    """One gemm_block call; what surrounds C in memory is checked to stay untouched."""
    (m, k), n = left.shape, right.shape[1]
    a, a_rs, a_cs = strided(left, orders[0], 5)
    b, b_rs, b_cs = strided(right, orders[1], 7)
    a_off, b_off, c_off, c_rs = 5, 7, 3, n + 2
    if pack[0]:
        packed = np.empty((m + 8) * k, left.dtype)
        functions[f"gemm_pack_a_{dtype}"](a, a_off, a_rs, a_cs, m, k, packed, 0)
        a, a_off = packed, 0
    if pack[1]:
        packed = np.empty((n + 16) * k, left.dtype)
        functions[f"gemm_pack_b_{dtype}"](b, b_off, b_rs, b_cs, k, n, packed, 0)
        b, b_off = packed, 0
    guard = left.dtype.type(-7.0)
    c = np.full(c_off + (m + 1) * c_rs, guard, left.dtype)
    view = c[c_off : c_off + m * c_rs].reshape(m, c_rs)
    if start is not None:
        view[:, :n] = start
    functions[f"gemm_block_{dtype}"](
        *(a, a_off, a_rs, a_cs, pack[0], b, b_off, b_rs, pack[1]),
        *(c, c_off, c_rs, m, n, k, start is not None),
    )
    found = view[:, :n].copy()
    view[:, :n] = guard
    assert np.all(c == guard)
    return found


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bits", [0, *native_bits()])
def test_block_small_sizes(bits: int, dtype: str) -> None:
    random = np.random.default_rng(bits)
    functions = library(bits)
    orders = itertools.cycle(["nn", "nt", "tn", "tt", "ss", "ns", "sn"])
    for m, n, k in itertools.chain(
        ((m, 1 + 7 * m % 40, 1 + 11 * m % 37) for m in range(1, 41)),
        ((1 + 5 * n % 23, n, 1 + 3 * n % 35) for n in range(1, 41)),
        ((1 + 9 * k % 21, 1 + 13 * k % 60, k) for k in range(1, 41)),
        ((9, n, 5) for n in range(41, 100, 3)),
    ):
        order = next(orders)
        left = random.standard_normal((m, k)).astype(DTYPES[dtype])
        right = random.standard_normal((k, n)).astype(DTYPES[dtype])
        start = random.standard_normal((m, n)).astype(DTYPES[dtype])
        for pack_a in (False, True):
            for pack_b in (False, True)[order[1] != "n" :]:
                pack = (pack_a, pack_b)
                found = block_product(functions, dtype, left, right, order, pack=pack)
                assert_product(found, left, right)
                found = block_product(functions, dtype, left, right, order, pack=pack, start=start)
                assert_product(found, left, right, start)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bits", [0, *native_bits()])
def test_dot(bits: int, dtype: str) -> None:
    random = np.random.default_rng(bits)
    for m, n, k in itertools.product((1, 2, 3, 4, 7, 9), (1, 5, 6, 7, 20), (0, 1, 5, 16, 33, 64)):
        left = random.standard_normal((m, k)).astype(DTYPES[dtype])
        right = random.standard_normal((k, n)).astype(DTYPES[dtype])
        a, a_rs, _ = strided(left, "n", 5)
        b, _, b_cs = strided(right, "t", 7)
        c = np.full((m, n + 3), -7, left.dtype)
        library(bits)[f"gemm_dot_{dtype}"](a, 5, a_rs, b, 7, b_cs, c.reshape(-1), 1, n + 3, m, n, k)
        assert_product(c[:, 1 : n + 1], left, right)
        assert np.all(c[:, [0, -2, -1]] == -7)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bits", [0, *native_bits()])
def test_block_empty_k(bits: int, dtype: str) -> None:
    left, right = np.zeros((5, 0), DTYPES[dtype]), np.zeros((0, 21), DTYPES[dtype])
    start = np.ones((5, 21), DTYPES[dtype])
    pack = (False, False)
    assert np.all(block_product(library(bits), dtype, left, right, "nn", pack=pack) == 0)
    kept = block_product(library(bits), dtype, left, right, "nn", pack=pack, start=start)
    assert np.all(kept == 1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bits", [0, *native_bits()])
@pytest.mark.parametrize("orders", ["nn", "nt", "tn", "tt"])
def test_block_nan_inf(bits: int, dtype: str, orders: str) -> None:
    random = np.random.default_rng(3)
    left = random.uniform(1, 2, (13, 9)).astype(DTYPES[dtype])
    right = random.uniform(1, 2, (9, 37)).astype(DTYPES[dtype])
    left[2, 3], left[12, 8], right[5, 36], right[1, 4] = np.nan, np.inf, np.nan, -np.inf
    with np.errstate(invalid="ignore"):
        wanted = left.astype(np.float64) @ right.astype(np.float64)
        pack = (orders[0] == "t", True)
        found = block_product(library(bits), dtype, left, right, orders, pack=pack)
    assert np.array_equal(np.isnan(found), np.isnan(wanted))
    assert np.array_equal(np.isinf(found), np.isinf(wanted))
    finite = np.isfinite(wanted)
    np.testing.assert_allclose(found[finite], wanted[finite], rtol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bits", native_bits())
def test_block_big(bits: int, dtype: str) -> None:
    random = np.random.default_rng(4)
    left = random.standard_normal((131, 257)).astype(DTYPES[dtype])
    right = random.standard_normal((257, 403)).astype(DTYPES[dtype])
    for orders in ("nn", "nt", "tn", "tt"):
        found = block_product(python_callable(bits), dtype, left, right, orders, pack=(True, True))
        assert_product(found, left, right)


def test_negative_and_zero_strides() -> None:
    random = np.random.default_rng(5)
    left = random.standard_normal((6, 12)).astype(np.float32)
    row = random.standard_normal(20).astype(np.float32)
    for functions in (tiles.REFERENCE, python_callable(native_bits()[-1])):
        c = np.empty((6, 20), np.float32)
        packed = np.empty(12 * 32, np.float32)
        # b broadcasts one row over k, its columns reversed; a has its rows reversed.
        functions["gemm_pack_b_f32"](row, 19, 0, -1, 12, 20, packed, 0)
        functions["gemm_block_f32"](
            *(left.ravel(), 5 * 12, -12, 1, 0, packed, 0, 0, 1, c.reshape(-1), 0, 20, 6, 20, 12, 0)
        )
        assert_product(c, left[::-1], np.tile(row[::-1], (12, 1)))


def float_bits(x: Any) -> Any:
    """The bits of a floating-point number."""
    return x.view(np.uint32) if x.itemsize == 4 else x.view(np.uint64)


def macro_kernel(
    functions: Native, dtype: str, *, batch_axes: int = 0, jit: bool = False, fused: bool = True
) -> Callable[..., None]:
    """The text of a kernel as a function, with an epilogue that fuses bias and relu."""
    params = [name for name, _ in tiles.contract_params(dtype, batch_axes)]
    epilogue = [
        "for i in range(i_lo, i_hi):",
        "    for j in range(j_lo, j_hi):",
        "        at = c_base + i * c_rs + j",
        "        c[at] = max(c[at] + bias[j], zero)",
    ]
    lines = tiles.contract_lines(dtype, batch_axes=batch_axes, epilogue=epilogue if fused else ())
    header = f"def kernel({', '.join(params)}, bias, thread, threads):"
    text = "\n".join([header, *("    " + line for line in lines)])
    scope: dict[str, Any] = {**functions, "zero": DTYPES[dtype](0), "float_bits": float_bits}
    scope |= {"float32": np.float32, "float64": np.float64, "int64": np.int64}
    if jit:
        numba = pytest.importorskip("numba")
        kind: Any = DTYPES[dtype]
        bits = {"f32": np.uint32, "f64": np.uint64}[dtype]
        scope["float_bits"] = numba.njit(lambda x: kind(x).view(bits))
    exec(text, scope)
    if not jit:
        return scope["kernel"]  # type: ignore[no-any-return]
    return numba.njit(error_model="numpy")(scope["kernel"])  # type: ignore[no-any-return]


def check_macro(
    kernel: Callable[..., None], dtype: str, size: tuple[int, int, int], orders: str, threads: int
) -> None:
    """One contraction with bias and relu, thread after thread."""
    m, n, k = size
    random = np.random.default_rng(m + n + k)
    left = random.standard_normal((m, k)).astype(DTYPES[dtype])
    right = random.standard_normal((k, n)).astype(DTYPES[dtype])
    bias = random.standard_normal(n).astype(DTYPES[dtype])
    a, a_rs, a_cs = strided(left, orders[0], 0)
    b, b_rs, b_cs = strided(right, orders[1], 0)
    c = np.full(max(m * n, 1), np.nan, left.dtype)
    work = np.full(tiles.workspace_bytes(dtype, m, n, k, threads) // c.itemsize, np.nan, c.dtype)
    for thread in range(threads):
        kernel(a, b, c, work, m, n, k, a_rs, a_cs, b_rs, b_cs, n, bias, thread, threads)
    found = c[: m * n].reshape(m, n)
    wanted = left.astype(np.float64) @ right.astype(np.float64) + bias
    magnitude = np.abs(left).astype(np.float64) @ np.abs(right) + np.abs(bias)
    bound = TOLERANCE[dtype] * magnitude * max(1.0, np.sqrt(k))
    assert np.all(np.abs(found - np.maximum(wanted, 0)) <= bound)


SMALL = [(1, 1, 1), (5, 3, 0), (0, 4, 4), (8, 48, 16), (64, 10, 128), (33, 7, 5), (10, 128, 64)]
DOTS = [(3, 40, 100), (1, 7, 33), (7, 50, 113), (64, 10, 300), (20, 1, 700)]


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_macro_text_in_cpython(dtype: str, threads: int) -> None:
    kernel = macro_kernel(tiles.REFERENCE, dtype)
    for size in [*SMALL, *DOTS, (70, 600, 300), (300, 20, 513)]:
        for orders in ("nn", "nt", "tn", "tt", "ss"):
            check_macro(kernel, dtype, size, orders, threads)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", DTYPES)
def test_macro_text_in_numba(dtype: str, threads: int) -> None:
    kernel = macro_kernel(numba_callable(native_bits()[-1]), dtype, jit=True)
    for size in [*SMALL, *DOTS, (70, 600, 300), (300, 530, 900), (257, 129, 1030)]:
        for orders in ("nn", "nt", "tn", "tt", "ss"):
            check_macro(kernel, dtype, size, orders, threads)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("axes", [1, 2, 3, 4])
def test_macro_batches(axes: int, threads: int) -> None:
    random = np.random.default_rng(axes)
    batch = (2, 3, 2, 2)[:axes]
    left = random.standard_normal((*batch, 9, 11)).astype(np.float32)
    # b has only the last batch axis: its stride along the others is zero.
    right = random.standard_normal((batch[-1], 11, 20)).astype(np.float32)
    bias = np.full(20, 100, np.float32)
    strides: list[int] = []
    for axis in range(axes):
        inner = int(np.prod(batch[axis + 1 :]))
        strides += [batch[axis], inner * 99, 220 if axis == axes - 1 else 0, inner * 180]
    for functions in (tiles.REFERENCE, python_callable(native_bits()[-1])):
        for fused in (True, False):
            kernel = macro_kernel(functions, "f32", batch_axes=axes, fused=fused)
            c = np.full((*batch, 9, 20), np.nan, np.float32)
            work = np.empty(tiles.workspace_bytes("f32", 9, 20, 11, threads) // 4, np.float32)
            for thread in range(threads):
                kernel(
                    *(left.ravel(), right.ravel(), c.reshape(-1), work),
                    *(9, 20, 11, 11, 1, 20, 1, 20, *strides, bias, thread, threads),
                )
            np.testing.assert_allclose(c, left @ right + 100 * fused, rtol=1e-5, atol=1e-5)


def test_epilogue_sees_every_element_once() -> None:
    lines = tiles.contract_lines(
        "f32",
        batch_axes=3,
        epilogue=[
            "for i in range(i_lo, i_hi):",
            "    for j in range(j_lo, j_hi):",
            "        seen[(item * M + i) * N + j] += 1",
            "        ends[c_base + i * c_rs + j] = item",
        ],
    )
    params = [name for name, _ in tiles.contract_params("f32", 3)]
    header = f"def kernel({', '.join(params)}, seen, ends, thread, threads):"
    m, n, k = 200, 600, 400
    for functions in (tiles.REFERENCE, python_callable(native_bits()[-1])):
        scope: dict[str, Any] = {
            **functions,
            "float_bits": float_bits,
            "float32": np.float32,
            "int64": np.int64,
        }
        exec("\n".join([header, *("    " + line for line in lines)]), scope)
        a, b = np.ones(m * k, np.float32), np.ones(k * n, np.float32)
        c = np.zeros(6 * m * n, np.float32)
        seen, ends = np.zeros(c.size, int), np.zeros(c.size, int)
        work = np.empty(tiles.workspace_bytes("f32", m, n, k, 4) // 4, np.float32)
        strides = (2, 0, 0, 3 * m * n, 1, 0, 0, 3 * m * n, 3, 0, 0, m * n)
        for thread in range(4):
            scope["kernel"](a, b, c, work, m, n, k, k, 1, n, 1, n, *strides, seen, ends, thread, 4)
        assert np.all(seen == 1)
        assert np.all(c == k)
        assert np.array_equal(ends, np.repeat(np.arange(6), m * n))


def test_text_renames_parameters_only() -> None:
    lines = tiles.contract_lines(
        "f32", names={"a": "x", "M": "rows", "c": "y"}, epilogue=["M = a * c"]
    )
    text = "\n".join(lines)
    assert "workspace, x, 0, a_rs, a_cs, b, 0, b_rs, b_cs, y, 0, c_rs," in text
    assert "rows, N, K" in text
    assert lines[-1] == "    M = a * c"


def test_workspace_covers_every_slice() -> None:
    for m, n, k in itertools.product((1, 7, 64, 97, 300), (1, 16, 511, 600), (0, 1, 384, 385)):
        for dtype in DTYPES:
            size = tiles_plan.slice_elements(dtype, m, n, k) + tiles_plan.STATE_WORDS
            assert tiles.workspace_bytes(dtype, m, n, k, 3) == 3 * size * (4, 8)[dtype == "f64"]


def test_signatures_match_the_module() -> None:
    module = llvm.parse_assembly(tiles.library_module(256))
    exported = {f.name: f for f in module.functions if not f.is_declaration}
    for name, kinds in tiles.SIGNATURES.items():
        found = [str(argument.type) for argument in exported[name].arguments]
        assert found == ["i64" if kind == "i64" else "ptr" for kind in kinds]
    assert set(tiles.REFERENCE) == set(tiles.SIGNATURES)
    with pytest.raises(ValueError, match="vector width"):
        tiles.library_module(64)
