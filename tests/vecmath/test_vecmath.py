"""Vector math: accuracy, special values, agreement of the two backends, and vectorised loops.

Every function is compiled into a plain loop by llvmlite at O3 for this machine, run on random bit
patterns, dense ranges and special values, and compared with mpmath, with NumPy and with the NumPy
backend of the same algorithm. The assembly of each loop must hold vector registers and no call.
"""

from __future__ import annotations

import ctypes
import math
import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import llvmlite.binding as llvm
import mpmath
import numpy as np
import pytest
from llvmlite import ir

from fusegrad import vecmath
from fusegrad.vecmath import FUNCTIONS

TYPES: dict[str, Any] = {"f32": np.float32, "f64": np.float64, "i64": np.uint64}
IR_TYPES = {"f32": ir.FloatType(), "f64": ir.DoubleType(), "i64": ir.IntType(64)}
FLOAT_NAMES = [name for name, record in FUNCTIONS.items() if record.kind == "f"]
CASES = [(name, type) for name in FLOAT_NAMES for type in ("f32", "f64")]
every_case = pytest.mark.parametrize(("name", "type"), CASES, ids=lambda value: str(value))


# --------------------------------------------------------------------------- compiled loops


@dataclass(frozen=True)
class Loop:
    """``out[i] = function(*inputs[i])`` as machine code."""

    type: str
    assembly: str
    address: int
    engine: Any

    def __call__(self, *args: Any) -> np.ndarray:
        """Run over equally long arrays."""
        inputs = [np.ascontiguousarray(arg, TYPES[self.type]) for arg in args]
        out = np.empty_like(inputs[0])
        pointers = [ctypes.c_void_p(array.ctypes.data) for array in (out, *inputs)]
        signature = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(pointers), ctypes.c_int64)
        signature(self.address)(*pointers, out.size)
        return out


def loop_module(name: str, type: str) -> ir.Module:
    """LLVM module with ``loop(out, inputs..., n)``."""
    element, i64, arity = IR_TYPES[type], ir.IntType(64), FUNCTIONS[name].arity
    module = ir.Module()
    signature = ir.FunctionType(ir.VoidType(), [ir.PointerType()] * (arity + 1) + [i64])
    function = ir.Function(module, signature, "loop")
    for pointer in function.args[:-1]:
        pointer.add_attribute("noalias")
    entry, body, end = (function.append_basic_block(label) for label in ("entry", "body", "end"))
    ir.IRBuilder(entry).branch(body)
    b = ir.IRBuilder(body)
    i = b.phi(i64)
    i.add_incoming(ir.Constant(i64, 0), entry)
    places = [b.gep(pointer, [i], source_etype=element) for pointer in function.args[:-1]]
    result = vecmath.emit(name, b, [b.load(place, typ=element) for place in places[1:]])
    if FUNCTIONS[name].returns_bool:
        result = b.uitofp(result, element)
    b.store(result, places[0])
    following = b.add(i, ir.Constant(i64, 1))
    i.add_incoming(following, body)
    b.cbranch(b.icmp_signed("<", following, function.args[-1]), body, end)
    ir.IRBuilder(end).ret_void()
    return module


def optimise(module: llvm.ModuleRef, target: llvm.TargetMachine) -> str:
    """Run the O3 pipeline with the loop vectoriser; the assembly."""
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = True
    passes = llvm.create_pass_builder(target, options)
    passes.getModulePassManager().run(module, passes)
    return target.emit_assembly(module)


@cache
def compile_loop(name: str, type: str, numba_flags: bool = False) -> Loop:
    """Optimise for this machine and load; ``numba_flags`` first adds numba's fast-math flags."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    source = loop_module(name, type)
    if numba_flags:
        from numba.core.fastmathpass import rewrite_module

        flags = ["reassoc", "contract", "arcp", "nsz", "afn"]
        rewrite_module(source, SimpleNamespace(flags=flags))
    module = llvm.parse_assembly(str(source))
    module.verify()
    target = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3
    )
    assembly = optimise(module, target)
    engine = llvm.create_mcjit_compiler(module, target)
    engine.finalize_object()
    return Loop(type, assembly, engine.get_function_address("loop"), engine)


# --------------------------------------------------------------------------- inputs and oracles

# Where a dense sweep is interesting; elsewhere results over- or underflow or are constant.
RANGES: dict[str, tuple[float, float]] = {
    "exp": (-104, 89), "exp2": (-151, 129), "expm1": (-20, 89), "log1p": (-1, 10),
    "tanh": (-12, 12), "sigmoid": (-105, 90), "sinh": (-90, 90), "cosh": (-90, 90),
    "acosh": (1, 50), "atanh": (-1, 1), "erf": (-5, 5), "erfc": (-5, 11), "erfinv": (-1, 1),
    "sin": (-100, 100), "cos": (-100, 100), "tan": (-100, 100), "asin": (-1, 1), "acos": (-1, 1),
    "lgamma": (-20, 40), "digamma": (-20, 40), "i0e": (-40, 40), "i1e": (-40, 40),
    "erfcx": (-9, 30),
}  # fmt: skip
RANGES64: dict[str, tuple[float, float]] = {
    "exp": (-746, 710), "exp2": (-1076, 1025), "expm1": (-45, 710), "tanh": (-22, 22),
    "sigmoid": (-746, 40), "sinh": (-711, 711), "cosh": (-711, 711), "erf": (-6.5, 6.5),
    "erfc": (-6.2, 27.3), "erfcx": (-26, 60),
}  # fmt: skip


def special_values(type: str) -> np.ndarray:
    """Zeros, infinities, NaN, subnormals, extremes, small integers and halves."""
    limits = np.finfo(TYPES[type])
    magnitudes = [0.0, limits.smallest_subnormal, limits.tiny / 3, limits.tiny, limits.eps]
    magnitudes += [0.5, 1.0, 1.5, 2.0, 3.0, 1e10, limits.max, np.inf, np.nan]
    positive = np.array(magnitudes, TYPES[type])
    return np.concatenate([positive, -positive])


def samples(name: str, type: str, count: int) -> list[np.ndarray]:
    """Random bit patterns, a dense range, and neighbourhoods of 0 and 1, for each argument."""
    rng = np.random.default_rng(7)
    dtype = TYPES[type]
    low, high = RANGES.get(name, (-10.0, 10.0))
    if type == "f64":
        low, high = RANGES64.get(name, (low, high))
    inputs = []
    for _ in range(FUNCTIONS[name].arity):
        unsigned = np.uint64 if type == "f64" else np.uint32
        patterns = rng.integers(0, np.iinfo(unsigned).max, count, unsigned, endpoint=True)
        signs = rng.choice([-1.0, 1.0], count)
        parts = [
            patterns.view(dtype),
            rng.uniform(low, high, count),
            rng.uniform(-2.0, 2.0, count),
            signs * 2.0 ** rng.uniform(-30, 3, count),
            1.0 + signs * 2.0 ** rng.uniform(-20, -1, count),
        ]
        inputs.append(np.concatenate([part.astype(dtype) for part in parts]))
    return inputs


def _mp_lgamma(x: Any) -> Any:
    if x == mpmath.floor(x) and x <= 0:
        return mpmath.inf
    return mpmath.re(mpmath.loggamma(x))


def _mp_scaled_bessel(n: int, x: Any) -> Any:
    if abs(x) > 1e6:  # mpmath's series needs too many terms; two terms of the asymptotic one
        value = (1 + (1 - 4 * n) / (8 * abs(x)) + (9 - 24 * n) / (128 * x * x)) / mpmath.sqrt(
            2 * mpmath.pi * abs(x)
        )
        return mpmath.sign(x) ** n * value
    return mpmath.besseli(n, x) * mpmath.exp(-abs(x))


def _mp_erfcx(x: Any) -> Any:
    if x < -1000:
        return mpmath.inf
    if x > 1e4:
        return (1 - 1 / (2 * x * x) + 3 / (4 * x**4)) / (x * mpmath.sqrt(mpmath.pi))
    with mpmath.extraprec(60):
        return mpmath.exp(x * x) * mpmath.erfc(x)


# Looked up in mpmath by name unless listed here; arguments are finite.
MPMATH: dict[str, Callable[..., Any]] = {
    "exp2": lambda x: mpmath.mpf(2) ** x,
    "log2": lambda x: mpmath.log(x) / mpmath.log(2),
    "rsqrt": lambda x: 1 / mpmath.sqrt(x),
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "pow": mpmath.power,
    "erfc": lambda x: mpmath.erfc(x) if x < 1000 else mpmath.mpf(0),
    "lgamma": _mp_lgamma,
    "i0e": lambda x: _mp_scaled_bessel(0, x),
    "i1e": lambda x: _mp_scaled_bessel(1, x),
    "erfcx": lambda x: _mp_erfcx(x),
}
# Functions that NumPy computes without error (or, for fma, that the samples leave out).
NUMPY_EXACT: dict[str, Callable[..., Any]] = {
    "sqrt": np.sqrt, "maximum": np.maximum, "minimum": np.minimum, "floor": np.floor,
    "ceil": np.ceil, "trunc": np.trunc, "round": np.rint, "fmod": np.fmod,
    "remainder": np.remainder, "sign": np.sign, "copysign": np.copysign, "isnan": np.isnan,
    "isinf": np.isinf, "isfinite": np.isfinite,
}  # fmt: skip
MP_CASES = [case for case in CASES if case[0] not in NUMPY_EXACT]


def exact(name: str, inputs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The true value as an unevaluated sum of two doubles; NaN where it is not real."""
    function = MPMATH.get(name) or (
        (lambda a, b, c: a * b + c) if name == "fma" else getattr(mpmath, name)
    )
    high, low = [], []
    for args in zip(*(array.tolist() for array in inputs), strict=True):
        try:
            value = function(*(mpmath.mpf(arg) for arg in args))
            value = mpmath.nan if isinstance(value, mpmath.mpc) else mpmath.mpf(value)
        except (ValueError, ZeroDivisionError, OverflowError):
            value = mpmath.nan
        high.append(float(value))
        low.append(float(value - high[-1]) if math.isfinite(high[-1]) else 0.0)
    return np.array(high), np.array(low)


def ulp_error(got: np.ndarray, high: np.ndarray, low: np.ndarray | float = 0.0) -> np.ndarray:
    """Distance to the true value in units of the last place of the true value; inf if unrelated."""
    with np.errstate(all="ignore"):
        rounded = high.astype(got.dtype)
        limits = np.finfo(got.dtype)
        magnitude = np.clip(np.abs(rounded), limits.tiny, limits.max).astype(got.dtype)
        distance = np.abs((got.astype(np.float64) - high) - low)
        error = distance / np.spacing(magnitude).astype(np.float64)
        same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    finite = np.isfinite(got) & np.isfinite(rounded)
    return np.where(same & ~finite, 0.0, np.where(finite, error, np.inf))


def stated_bound(name: str, type: str) -> float:
    """The bound of the record; correctly rounded and exact functions get their half ulp."""
    record = FUNCTIONS[name]
    return max(record.ulp64 if type == "f64" else record.ulp32, 0.5) + 1e-3


def gamma_slack(name: str, x: np.ndarray, high: np.ndarray) -> np.ndarray:
    """How much coarser the stated unit is than an ulp of the result, left of zero."""
    scale = np.abs(high)
    for i in np.flatnonzero(x < 0):
        a = -float(x[i])
        if a == math.floor(a) or a > 1e15:
            continue
        term = math.lgamma(a) if name == "lgamma" else math.pi / math.tan(math.pi * math.fmod(a, 1))
        scale[i] = max(scale[i], 1.0, abs(term))
    with np.errstate(all="ignore"):
        slack = np.spacing(scale) / np.spacing(np.abs(high))
    return np.where((x < 0) & np.isfinite(slack), slack, 1.0)


def quotient_is_small(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Where the stated limit of the float64 ``fmod`` is kept, or the case is special."""
    plain = np.isfinite(x) & np.isfinite(y) & (x != 0) & (y != 0)
    return ~plain | (np.frexp(x)[1] - np.frexp(y)[1] < 288)


# --------------------------------------------------------------------------- accuracy


@pytest.mark.parametrize(("name", "type"), MP_CASES, ids=lambda value: str(value))
def test_error_stays_within_the_stated_bound(name: str, type: str) -> None:
    inputs = samples(name, type, 300 if name in ("lgamma", "digamma", "erfinv") else 1200)
    kept = np.logical_and.reduce([np.isfinite(array) for array in inputs])
    if name in ("lgamma", "digamma"):
        kept &= inputs[0] > -1e12
    if name == "digamma":
        kept &= inputs[0] != np.floor(inputs[0])
    inputs = [array[kept] for array in inputs]
    if name == "pow":
        # The sample of the second argument must not make every result overflow.
        inputs[1] = np.clip(inputs[1], -40, 40).astype(TYPES[type])
    with mpmath.workprec(160):
        high, low = exact(name, inputs)
    got = compile_loop(name, type)(*inputs)
    error = ulp_error(got, high, low)
    if name in ("lgamma", "digamma"):
        error = error / gamma_slack(name, inputs[0].astype(np.float64), high)
    worst = int(np.argmax(error))
    assert error[worst] <= stated_bound(name, type), (
        f"{name} {type}: {error[worst]:.2f} ulp at {[float(a[worst]) for a in inputs]}, "
        f"got {got[worst]!r}, exact {high[worst]!r}"
    )


# Left out: a float32 product has 48 bits, so that rounding a float64 fma again may differ.
@pytest.mark.parametrize("name", [name for name in FLOAT_NAMES if name != "fma"])
def test_float32_agrees_with_float64_on_random_bit_patterns(name: str) -> None:
    inputs = samples(name, "f32", 200_000)
    with np.errstate(invalid="ignore"):  # signalling NaN patterns
        wide = compile_loop(name, "f64")(*(array.astype(np.float64) for array in inputs))
    error = ulp_error(compile_loop(name, "f32")(*inputs), wide)
    if name in ("lgamma", "digamma"):
        error = error[inputs[0] >= 0]
    assert error.max() <= stated_bound(name, "f32") + 0.01


@pytest.mark.parametrize(
    ("name", "type"), [(n, t) for n in NUMPY_EXACT for t in ("f32", "f64")], ids=str
)
def test_exact_functions_equal_numpy(name: str, type: str) -> None:
    inputs = samples(name, type, 2000)
    if name in ("fmod", "remainder") and type == "f64":
        inputs = [array[quotient_is_small(*inputs)] for array in inputs]
    with np.errstate(all="ignore"):
        expected = NUMPY_EXACT[name](*inputs).astype(TYPES[type])
    np.testing.assert_array_equal(compile_loop(name, type)(*inputs), expected)


def test_fmod_says_nan_beyond_its_quotient_limit() -> None:
    assert np.isnan(compile_loop("fmod", "f64")([1e300], [1e-300]))[0]


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
@pytest.mark.parametrize("type", ["f32", "f64"])
def test_large_angles(name: str, type: str) -> None:
    rng = np.random.default_rng(1)
    top = 1023 if type == "f64" else 127
    x = (2.0 ** rng.uniform(10, top, 500)).astype(TYPES[type])
    near = (np.arange(1, 300) * (np.pi / 2)).astype(TYPES[type])
    x = np.concatenate([x, near])
    with mpmath.workprec(1300):
        high, low = exact(name, [x])
    assert ulp_error(compile_loop(name, type)(x), high, low).max() <= stated_bound(name, type)


# --------------------------------------------------------------------------- special values

SPECIAL: dict[str, Callable[..., Any]] = {
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2,
    "log10": np.log10, "log1p": np.log1p, "tanh": np.tanh, "sin": np.sin, "cos": np.cos,
    "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "sinh": np.sinh,
    "cosh": np.cosh, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh,
    "atan2": np.arctan2, "pow": np.power, "hypot": np.hypot,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "erf": np.vectorize(math.erf), "erfc": np.vectorize(math.erfc),
    **NUMPY_EXACT,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "type"), [(n, t) for n in SPECIAL for t in ("f32", "f64")], ids=str
)
def test_special_values_equal_numpy(name: str, type: str) -> None:
    values = special_values(type)
    grid = np.meshgrid(*[values] * FUNCTIONS[name].arity)
    inputs = [array.ravel() for array in grid]
    if name in ("fmod", "remainder") and type == "f64":
        inputs = [array[quotient_is_small(*inputs)] for array in inputs]
    with np.errstate(all="ignore"):
        wide = [array.astype(np.float64) for array in inputs]
        expected = np.asarray(SPECIAL[name](*wide), np.float64)
        rounded = expected.astype(TYPES[type])
    got = compile_loop(name, type)(*inputs)
    error = ulp_error(got, expected)
    assert error.max() <= stated_bound(name, type) + 1.0, [a[error.argmax()] for a in inputs]
    zero = rounded == 0
    if name not in ("maximum", "minimum"):  # which zero wins is open, as in NumPy
        np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(rounded[zero]))


@pytest.mark.parametrize(
    ("name", "pairs"),
    [
        ("sigmoid", [(0.0, 0.5), (np.inf, 1.0), (-np.inf, 0.0), (np.nan, np.nan)]),
        ("erfinv", [(0.0, 0.0), (-0.0, -0.0), (1.0, np.inf), (-1.0, -np.inf), (1.5, np.nan)]),
        (
            "lgamma",
            [(0.0, np.inf), (-0.0, np.inf), (1.0, 0.0), (2.0, 0.0), (-1.0, np.inf),
             (np.inf, np.inf), (-np.inf, np.inf), (np.nan, np.nan), (-1e30, np.inf)],
        ),
        (
            "digamma",
            [(0.0, -np.inf), (-0.0, np.inf), (-1.0, np.nan), (np.inf, np.inf), (np.nan, np.nan)],
        ),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("type", ["f32", "f64"])
def test_stated_special_values(name: str, pairs: list[tuple[float, float]], type: str) -> None:
    x, expected = (np.array(column, TYPES[type]) for column in zip(*pairs, strict=True))
    got = compile_loop(name, type)(x)
    np.testing.assert_array_equal(got, expected)
    keep = ~np.isnan(expected)
    if name != "lgamma":
        np.testing.assert_array_equal(np.signbit(got[keep]), np.signbit(expected[keep]))


# --------------------------------------------------------------------------- the two backends


@every_case
def test_numpy_backend_equals_compiled_loop(name: str, type: str) -> None:
    inputs = samples(name, type, 150)
    inputs = [np.concatenate([array, special_values(type)]) for array in inputs]
    got = np.asarray(vecmath.reference(name)(*inputs)).astype(TYPES[type])
    compiled = compile_loop(name, type)(*inputs)
    different = (got != compiled) & ~(np.isnan(got) & np.isnan(compiled))
    # Only the emulated double fma may round a tie the other way, once in thousands.
    assert different.mean() <= (0.01 if type == "f64" else 0.0)
    with np.errstate(all="ignore"):
        assert np.all(ulp_error(got[different], compiled[different].astype(np.float64)) <= 1.0)


@every_case
def test_numba_flags_change_nothing(name: str, type: str) -> None:
    inputs = samples(name, type, 400)
    plain = compile_loop(name, type)(*inputs)
    np.testing.assert_array_equal(compile_loop(name, type, numba_flags=True)(*inputs), plain)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_reference_keeps_scalars_and_shapes(dtype: Any) -> None:
    scalar = vecmath.reference("exp")(dtype(0.5))
    assert isinstance(scalar, dtype) and abs(float(scalar) - math.exp(0.5)) < 1e-6
    assert vecmath.reference("atan2")(np.ones((2, 3), dtype), dtype(1)).shape == (2, 3)
    assert vecmath.reference("isnan")(dtype("nan")).dtype == np.bool_
    assert vecmath.reference("exp")(1).dtype == np.float64


@pytest.mark.parametrize("processor", ["haswell", "skylake-avx512"])
@pytest.mark.parametrize(("name", "type"), [*CASES, ("philox", "i64")], ids=str)
def test_loop_is_vectorised_and_calls_nothing(name: str, type: str, processor: str) -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple("x86_64-unknown-linux-gnu").create_target_machine(
        cpu=processor, opt=3
    )
    assembly = optimise(llvm.parse_assembly(str(loop_module(name, type))), target)
    instructions = [line.strip() for line in assembly.splitlines() if line.startswith("\t")]
    assert not [line for line in instructions if line.startswith("call")]
    # The vectorised body loads or stores whole registers at a scaled index.
    moves = [line for line in instructions if line.startswith("vmov") and "mm" in line]
    assert any(("ymm" in line or "zmm" in line) and "(%r" in line for line in moves)


@pytest.mark.parametrize(("name", "type"), CASES, ids=str)
def test_loop_on_this_machine_calls_nothing(name: str, type: str) -> None:
    features = llvm.get_host_cpu_features()
    if platform.machine() == "x86_64" and features.get("avx2") and features.get("fma"):
        lines = compile_loop(name, type).assembly.splitlines()
        assert not [line for line in lines if line.strip().startswith("call")]
        assert any("ymm" in line or "zmm" in line for line in lines)


# --------------------------------------------------------------------------- Philox

# Random123's known answers for philox4x32-10: counter words, key words, output words 0 and 1.
KNOWN_ANSWERS = [
    ([0, 0, 0, 0], [0, 0], [0x6627E8D5, 0xE169C58D]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB],
    ),
]


@pytest.mark.parametrize(("counter", "key", "output"), KNOWN_ANSWERS)
def test_philox_known_answers(counter: list[int], key: list[int], output: list[int]) -> None:
    position, offset = counter[0] | counter[1] << 32, counter[2] | counter[3] << 32
    args = [np.uint64(key[0] | key[1] << 32), np.uint64(offset), np.uint64(position)]
    expected = output[0] << 32 | output[1]
    assert int(vecmath.reference("philox")(*args)) == expected
    assert int(compile_loop("philox", "i64")(*([arg] for arg in args))[0]) == expected


def test_philox_backends_agree() -> None:
    rng = np.random.default_rng(3)
    args = [rng.integers(0, 2**64 - 1, 500, np.uint64) for _ in range(3)]
    compiled = compile_loop("philox", "i64")(*args)
    np.testing.assert_array_equal(vecmath.reference("philox")(*args), compiled)


# --------------------------------------------------------------------------- documentation


def test_document_holds_the_generated_table() -> None:
    page = Path(__file__).parents[2] / "docs" / "vector_math.md"
    assert vecmath.bounds_table() in page.read_text(encoding="utf-8")
