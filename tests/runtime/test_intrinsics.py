"""Every helper name gives the same result compiled and under CPython."""

from __future__ import annotations

import numpy as np
import pytest

from fusegrad import vecmath
from fusegrad.codegen.kernel import KernelSource
from fusegrad.runtime.plain import run_plain

N = 37
F32 = np.linspace(-3, 3, N, dtype="f4")
I32 = np.arange(-18, 19, dtype="i4")
SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5, 2.5, -2.5] * 4, "f4")[:N]


def check(native, body: str, kinds: str, args: list) -> list[np.ndarray]:
    """Run ``body`` (arguments a, b, c, ...) both ways and compare all arrays."""
    names = "abcdefgh"[: len(args)]
    lines = "\n".join("    " + line for line in body.strip().splitlines())
    text = f"def probe({', '.join(names)}, thread, threads):\n{lines}\n"
    source = KernelSource("probe", text, tuple(zip(names, kinds.split(), strict=True)))
    compiled = [arg.copy() if isinstance(arg, np.ndarray) else arg for arg in args]
    plain = [arg.copy() if isinstance(arg, np.ndarray) else arg for arg in args]
    native(source, compiled)
    run_plain(source, plain)
    for left, right in zip(compiled, plain, strict=True):
        if isinstance(left, np.ndarray):
            np.testing.assert_array_equal(left, right)
    return compiled


CASES = {
    "where": ("f32*", F32, "where(b[i] > float32(0), b[i], float32(-1))", "f4"),
    "maximum": ("f32*", SPECIAL, "maximum(b[i], float32(1))", "f4"),
    "minimum": ("f32*", SPECIAL, "minimum(float32(1), b[i])", "f4"),
    "integer extrema": ("i32*", I32, "maximum(b[i], int32(2)) + minimum(b[i], int32(-2))", "i8"),
    "python extrema": ("i32*", I32, "min(max(b[i], 3), i)", "i8"),
    "absolute": ("f32*", SPECIAL, "absolute(b[i])", "f4"),
    "integer absolute": ("i32*", I32, "absolute(b[i])", "i8"),
    "rint": ("f32*", SPECIAL, "rint(b[i])", "f4"),
    "rounding": ("f32*", F32, "floor(b[i]) + ceil(b[i]) * trunc(b[i])", "f4"),
    "sqrt": ("f32*", SPECIAL, "sqrt(absolute(b[i]))", "f4"),
    "predicates": ("f32*", SPECIAL, "uint8(isnan(b[i])) + uint8(isfinite(b[i]))", "i8"),
    "isinf": ("f32*", SPECIAL, "uint8(isinf(b[i]))", "u1"),
    "bits": ("f32*", F32, "bits_float(uint32(float_bits(b[i]) ^ uint32(0x80000000)))", "f4"),
    "half": ("f32*", F32, "half_to_float(float_to_half(b[i]))", "f4"),
    "bfloat": ("f32*", SPECIAL, "float_to_bfloat(b[i])", "u2"),
    "bfloat values": ("f32*", F32, "bfloat_to_float(float_to_bfloat(b[i]))", "f4"),
    "floor division": ("i32*", I32, "int32(b[i] // int32(5)) * 100 + int32(b[i] % int32(5))", "i8"),
    "logic": ("i32*", I32, "uint8(b[i] > 3 and not (b[i] == 5 or i == 30))", "u1"),
    "wraparound": ("i32*", I32, "int32(b[i] * int32(1 << 28))", "i4"),
    "philox": ("i64*", np.arange(N), "philox(uint64(7), uint64(1), uint64(b[i]))", "u8"),
    "comparison with nan": ("f32*", SPECIAL, "uint8(b[i] == b[i])", "u1"),
    "truncation": ("f32*", F32, "int32(b[i])", "i4"),
}
KINDS = {
    "f4": "f32*",
    "f8": "f64*",
    "i8": "i64*",
    "i4": "i32*",
    "u1": "u8*",
    "u2": "u16*",
    "u8": "u64*",
}


@pytest.mark.parametrize("name", CASES)
def test_expression(native, name):
    kind, values, expression, result = CASES[name]
    body = f"for i in range(a):\n    c[i] = {expression}"
    out = np.zeros(len(values), result)
    check(native, body, f"i64 {kind} {KINDS[result]}", [len(values), values, out])


@pytest.mark.parametrize("name", sorted(vecmath.FUNCTIONS))
def test_vector_function_is_compiled_as_its_reference_says(native, name):
    record = vecmath.FUNCTIONS[name]
    if record.kind == "i":
        pytest.skip("covered by an expression above")
    arguments = ", ".join(f"b[i + {k}]" for k in range(record.arity))
    call = f"uint8({name}({arguments}))" if record.returns_bool else f"{name}({arguments})"
    values = np.linspace(0.1, 0.9, 20, dtype="f4")
    out = np.zeros(16, "u1" if record.returns_bool else "f4")
    kind = "u8*" if record.returns_bool else "f32*"
    check(native, f"for i in range(a):\n    c[i] = {call}", f"i64 f32* {kind}", [16, values, out])


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 100])
@pytest.mark.parametrize("start", [0, 1, 5])
def test_streaming_copy(native, count, start):
    body = "copy_nt(c, d, b, 3, a)\nstream_fence()\nprefetch(b, 0)"
    source = np.arange(200, dtype="f4")
    check(native, body, "i64 f32* f32* i64", [count, source, np.zeros(200, "f4"), start])


def test_counting_in(native):
    body = """
for i in range(a):
    if arrive(b, 4):
        c[0] += 1
"""
    _, counter, last = check(
        native, body, "i64 i64* i64*", [11, np.zeros(1, "i8"), np.zeros(1, "i8")]
    )
    assert counter[0] == 3
    assert last[0] == 2


def test_atomic_add(native):
    body = """
for i in range(a):
    atomic_add(b, i % 3, int64(i))
    atomic_add(c, i % 2, float64(i))
"""
    check(native, body, "i64 i64* f64*", [10, np.zeros(3, "i8"), np.zeros(2)])


def test_offset_starts_a_block(native):
    body = "p = offset(b, 4)\nfor i in range(a):\n    c[i] = p[i]"
    check(native, body, "i64 f32* f32*", [5, F32, np.zeros(5, "f4")])


def test_nan_is_never_assumed_away(native):
    body = """
best = float32(-math.inf)
for i in range(a):
    best = maximum(best, b[i])
c[0] = best
"""
    values = np.arange(64, dtype="f4")
    values[17] = np.nan
    _, _, out = check(native, body, "i64 f32* f32*", [64, values, np.zeros(1, "f4")])
    assert np.isnan(out[0])
