"""The native functions of convolutions against NumPy, their tables against the definition."""

from __future__ import annotations

import ctypes
import functools
import platform
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import pytest

import fusegrad as fg
from fusegrad.codegen import tiles
from fusegrad.ops import window
from fusegrad.schedule import windows

DTYPES = {"f32": np.float32, "f64": np.float64}
TOLERANCE = {"f32": 2e-5, "f64": 1e-13}


def native_bits() -> list[int]:
    """Vector widths that this CPU can run."""
    features = llvm.get_host_cpu_features()
    return [128] + [256] * bool(features.get("avx2")) + [512] * bool(features.get("avx512f"))


@functools.cache
def native(bits: int) -> tuple[Any, dict[str, Callable[..., None]]]:
    """The library for vectors of ``bits``, as Python functions of flat arrays."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    cpu, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    if bits != native_bits()[-1] and platform.machine().lower() in ("x86_64", "amd64"):
        cpu, features = {128: "x86-64", 256: "haswell"}[bits], ""
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=cpu, features=features, opt=3
    )
    module = llvm.parse_assembly(tiles.window_module(bits))
    module.verify()
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()

    def wrap(name: str, kinds: tuple[str, ...]) -> Callable[..., None]:
        types = [ctypes.c_int64 if kind == "i64" else ctypes.c_void_p for kind in kinds]
        function = ctypes.CFUNCTYPE(None, *types)(engine.get_function_address(name))
        return lambda *args: function(
            *(x.ctypes.data if isinstance(x, np.ndarray) else int(x) for x in args)
        )

    return engine, {name: wrap(name, kinds) for name, kinds in tiles.WINDOW_SIGNATURES.items()}


def test_signatures_match_the_module() -> None:
    module = llvm.parse_assembly(tiles.window_module(256))
    exported = {f.name: f for f in module.functions if not f.is_declaration}
    for name, kinds in tiles.WINDOW_SIGNATURES.items():
        found = [str(argument.type) for argument in exported[name].arguments]
        assert found == ["i64" if kind == "i64" else "ptr" for kind in kinds]
    assert set(tiles.WINDOW_REFERENCE) == set(tiles.WINDOW_SIGNATURES)
    with pytest.raises(ValueError, match="vector width"):
        tiles.window_module(64)


@pytest.mark.parametrize("bits", native_bits())
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("accumulate", [0, 1])
def test_sweep(bits: int, dtype: str, accumulate: int) -> None:
    """Runs of vectors of every length, rows of every remainder, a run without any k."""
    rng = np.random.default_rng(bits)
    kind = DTYPES[dtype]
    size = np.dtype(kind).itemsize
    lanes = 64 // size
    for m in (1, 3, 8, 15):
        depth, counts = 7, [1, 2, 3, 4, 5, 7]
        a = rng.normal(size=m * depth + 2).astype(kind)
        b = rng.normal(size=40 * lanes).astype(kind)
        ks = np.stack([np.arange(depth) * size, rng.integers(0, 20, depth) * lanes * size], 1)
        total = sum(counts)
        places = rng.permutation(total)
        vs = np.stack([rng.integers(0, 20, total) * size, places * lanes * size], 1)
        starts = np.cumsum([0, *counts])
        segments = [(k % 3, depth - k, starts[k], n) for k, n in enumerate(counts[:-1])]
        segments.append((0, 0, starts[-2], counts[-1]))
        tables = [np.array(t, np.int32).reshape(-1) for t in (ks, vs, segments)]
        start = rng.normal(size=m * total * lanes + 5).astype(kind)
        found, want = start.copy(), start.copy()
        arguments = (m, *tables, 0, len(counts), accumulate)
        name = f"window_sweep_{dtype}"
        place = (5, total * lanes)
        native(bits)[1][name](a, 2, depth, b, 3, found, *place, *arguments)
        tiles.WINDOW_REFERENCE[name](a, 2, depth, b, 3, want, *place, *arguments)
        np.testing.assert_allclose(found, want, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("bits", native_bits())
@pytest.mark.parametrize("dtype", DTYPES)
def test_turn(bits: int, dtype: str) -> None:
    rng = np.random.default_rng(0)
    for rows, columns in ((16, 48), (16, 50), (5, 17), (33, 4), (40, 70), (0, 3), (3, 0), (1, 1)):
        pitch, height = columns + 3, rows + 2
        src = rng.normal(size=4 + 2 * (rows + 1) * pitch).astype(DTYPES[dtype])
        start = rng.normal(size=6 + 2 * (columns + 1) * height).astype(DTYPES[dtype])
        found, want = start.copy(), start.copy()
        place = (height, columns * height, rows, columns, 2)
        bias = rng.normal(size=5).astype(DTYPES[dtype])
        for name, extra in ((f"window_turn_{dtype}", ()), (f"window_turn_add_{dtype}", (bias, 3))):
            native(bits)[1][name](src, 4, pitch, rows * pitch, found, 6, *place, *extra)
            tiles.WINDOW_REFERENCE[name](src, 4, pitch, rows * pitch, want, 6, *place, *extra)
            np.testing.assert_array_equal(found, want)


@pytest.mark.parametrize("bits", native_bits())
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("adds", ["", "add_"])
def test_job(bits: int, dtype: str, adds: str) -> None:
    """Turns in, a product, turns out with or without a bias, runs of zeros."""
    rng = np.random.default_rng(1)
    size = np.dtype(DTYPES[dtype]).itemsize
    lanes = 64 // size
    a, w, bias, c = (rng.normal(size=n).astype(DTYPES[dtype]) for n in (200, 30, 9, 300))
    turns = np.array(
        [[2, 20, 40, 0, lanes, 3 * lanes, 3, 3, 2], [0, lanes, 3 * lanes, 7, 11, 40, 3, 3, 4]]
    ).reshape(-1)
    ks = np.array([[k * size, k * 64] for k in range(4)], np.int32).reshape(-1)
    vs = np.array([[v * 64, v * 64] for v in range(3)], np.int32).reshape(-1)
    segments = np.array([0, 4, 0, 3], np.int32)
    jobs = np.zeros((2, 16), np.int64)
    jobs[1, :11] = [0, 1, 2, 4, 0, 1, 5, 0, 1, 2, 3]
    jobs[1, 11:15] = [2, 1, 3, 2]
    extra = (bias, 2) if adds else ()
    name = f"window_job_{adds}{dtype}"
    found = []
    for library in (native(bits)[1], tiles.WINDOW_REFERENCE):
        image, result, out = np.zeros(9 * lanes, a.dtype), np.ones(20 * lanes, a.dtype), c.copy()
        operands = (a, 1, w, 1, image, lanes, result, 4, out, *extra)
        library[name](*operands, ks, vs, segments, turns, jobs.reshape(-1), 1, 5, 3 * lanes)
        found.append((image, result, out))
    for ours, want in zip(*found, strict=True):
        np.testing.assert_allclose(ours, want, rtol=0, atol=TOLERANCE[dtype])
    assert not np.array_equal(found[0][2], c)


# --- tables ---------------------------------------------------------------------------------------
def of(kind: str, images: int, channels: int, outputs: int, **rest: Any) -> windows.Geometry:
    return windows.Geometry(kind, 4, images, 1, channels, outputs, **rest)


def test_positions_that_meet_the_same_places_are_one_class() -> None:
    geo = of(
        "conv", 16, 2, 3, x=(6, 6), y=(6, 6), w=(3, 3), stride=(1, 1), low=(1, 1), dilation=(1, 1)
    )
    tables = windows.image_tables(geo, 1)
    segments = tables.segments.reshape(-1, 4)
    # corners, edges, middle: 3 x 3 classes, of 1, 4 and 16 positions
    assert sorted(segments[:, 3]) == [1, 1, 1, 1, 4, 4, 4, 4, 16]
    # zeros are left out: a corner meets 4 places of the window, an edge 6, the middle 9
    assert sorted(segments[:, 1] // 2) == [4, 4, 4, 4, 6, 6, 6, 6, 9]
    assert tables.vs.reshape(-1, 2).shape == (36, 2)


def test_bands_keep_threads_busy_and_fit_the_cache() -> None:
    geo = of(
        "conv", 16, 8, 8, x=(64, 64), y=(64, 64), w=(3, 3), stride=(1, 1), low=(1, 1),
        dilation=(1, 1),
    )  # fmt: skip
    tables = windows.image_tables(geo, 2)
    assert len(tables.bands) // 6 % 2 == 0
    held = 64 * (tables.channels * tables.depth + tables.rows * tables.width)
    assert held <= windows.CACHE_BYTES


def test_too_large_tables_run_the_reference() -> None:
    """A window as long as its signal has a class for every position."""
    x, w = fg.randn(1, 1, 4000), fg.randn(1, 1, 4000)
    step = fg.jit(lambda x, w: fg.conv1d(x, w, padding=1999))
    found = step(x, w)
    assert step.kernels()[-1].name == "host_conv"
    np.testing.assert_allclose(
        found.numpy(), fg.conv1d(x, w, padding=1999).numpy(), rtol=1e-4, atol=1e-3
    )


def kernels_of(*shape: int, threads: int) -> tuple[Any, list[np.ndarray]]:
    """A convolution step with an epilogue and its gradients, and small operands."""
    rng = np.random.default_rng(0)
    n, channels, outputs, extent = shape
    x = fg.tensor(rng.normal(size=(n, channels, extent, extent)))
    w = fg.tensor(rng.normal(size=(outputs, channels, 3, 3)))

    def step(x: Any, w: Any) -> Any:
        x, w = x.detach().requires_grad_(), w.detach().requires_grad_()
        (fg.conv2d(x, w, padding=1).tanh()).sum().backward()
        return x.grad, w.grad

    before = fg.get_num_threads()
    fg.set_num_threads(threads)
    try:
        jitted = fg.jit(step)
        jitted(x, w)
        return jitted, [k for k in jitted.kernels() if "conv" in k.name]
    finally:
        fg.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("shape", [(3, 2, 3, 4), (9, 9, 2, 3), (9, 34, 2, 3)], ids=str)
def test_kernels_in_cpython_and_compiled(shape: tuple[int, ...], threads: int) -> None:
    _, kernels = kernels_of(*shape, threads=threads)
    assert [k.name for k in kernels] == ["conv_tanh_mul_sub", "conv_input", "conv_weight_rows"]
    for kernel in kernels:
        inputs = kernel.random_inputs()
        for parts in {1, kernel.threads}:
            plain, compiled = kernel.run_plain(inputs, parts), kernel.run_compiled(inputs, parts)
            for name in plain:
                np.testing.assert_allclose(plain[name], compiled[name], rtol=1e-11, atol=1e-11)


def test_layers_share_kernels() -> None:
    """Shapes, windows and strides are run-time values: two layers, one text."""

    def step(x: Any, v: Any, w: Any) -> Any:
        return fg.conv2d(fg.conv2d(x, v, stride=2), w, padding=2, dilation=2, groups=2)

    jitted = fg.jit(step)
    jitted(fg.randn(32, 3, 12, 12), fg.randn(8, 3, 3, 3), fg.randn(6, 4, 2, 3))
    first, second = jitted.kernels()
    assert first.canonical == second.canonical


def test_weight_gradients_repeat_bitwise() -> None:
    x, g = fg.randn(37, 5, 9, 9), fg.randn(37, 6, 9, 9)
    geometry: dict[str, Any] = {
        "size": (3, 3), "stride": (1, 1), "low": (1, 1), "dilation": (1, 1), "groups": 1,
    }  # fmt: skip
    step = fg.jit(lambda x, g: window.conv_weight(x, g, **geometry))
    first = step(x, g).numpy().copy()
    for _ in range(5):
        np.testing.assert_array_equal(step(x, g).numpy(), first)
