"""Vector math: one record per function, LLVM instructions for kernels, NumPy for everything else.

In: a function name and an ``llvmlite`` builder with values (``emit``), or NumPy scalars and arrays
(``reference``). Out: branch-free instructions that vectorise in a loop and contain no libm call, or
the same roundings in NumPy. The algorithms are in ``exp.py``, ``pow.py``,
``trig.py``, ``special.py``, ``bessel.py`` and ``basic.py``; the language they are written
in is ``value.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir

from . import basic, bessel, exp, pow, special, trig
from .value import IrMachine, NumpyMachine, V


@dataclass(frozen=True)
class VectorFunction:
    """One function of the vector math.

    Attributes:
        name: the helper name in kernel text.
        arity: number of arguments.
        algorithm: the function over ``V`` values that both backends run.
        ulp32: stated bound of the error in units in the last place for ``float32``; 0 is exact.
        ulp64: the same for ``float64``.
        doc: one line for the table in ``docs/vector_math.md``.
        note: where the bound does not hold, and what holds there instead.
        kind: ``"f"`` for floats, ``"i"`` for 64-bit integers.
        returns_bool: whether the result is ``i1``.
    """

    name: str
    arity: int
    algorithm: Callable[..., V]
    ulp32: float
    ulp64: float
    doc: str
    note: str = ""
    kind: str = "f"
    returns_bool: bool = False


FUNCTIONS: dict[str, VectorFunction] = {}


def _register(
    algorithm: Callable[..., V],
    ulp32: float = 0.0,
    ulp64: float = 0.0,
    arity: int = 1,
    note: str = "",
    name: str = "",
    **fields: Any,
) -> None:
    name = name or algorithm.__name__
    doc = (algorithm.__doc__ or "").strip().splitlines()[0]
    FUNCTIONS[name] = VectorFunction(name, arity, algorithm, ulp32, ulp64, doc, note, **fields)


_REFLECTED = "x < 0: ulp of the larger of 1 and the reflected term {}"

_register(exp.exp, 1.5, 2)
_register(exp.exp2, 1.5, 2)
_register(exp.expm1, 2, 3)
_register(exp.log, 1.5, 1.5)
_register(exp.log2, 2, 2)
_register(exp.log10, 2, 2)
_register(exp.log1p, 2, 2)
_register(basic.sqrt, 0.5, 0.5)
_register(basic.rsqrt, 2, 2)
_register(exp.tanh, 2, 2.5)
_register(exp.sigmoid, 2, 2.5)
_register(special.erf, 1.5, 2)
_register(special.erfc, 4, 4)
_register(special.erfinv, 4, 4)
_register(trig.sin, 2, 2.5)
_register(trig.cos, 2, 2.5)
_register(trig.tan, 4, 4)
_register(trig.asin, 2.5, 2.5)
_register(trig.acos, 2, 2)
_register(trig.atan, 2.5, 2.5)
_register(trig.atan2, 3, 3, arity=2)
_register(exp.sinh, 2, 2.5)
_register(exp.cosh, 2, 2.5)
_register(exp.asinh, 2.5, 2.5)
_register(exp.acosh, 2.5, 2.5)
_register(exp.atanh, 2.5, 2.5)
_register(pow.power, 1.5, 2, arity=2, name="pow")
_register(special.lgamma, 4, 4, note=_REFLECTED.format("lgamma(-x)"))
_register(special.digamma, 4, 4, note=_REFLECTED.format("pi / tan(pi x)"))
_register(bessel.i0e, 6, 6)
_register(bessel.i1e, 8, 8)
_register(bessel.erfcx, 6, 6)
_register(basic.maximum, arity=2)
_register(basic.minimum, arity=2)
_register(basic.floor)
_register(basic.ceil)
_register(basic.trunc)
_register(basic.round_half_even, name="round")
_register(basic.fmod, arity=2, note="float64: NaN where |x / y| reaches 2^288")
_register(basic.remainder, 0.5, 0.5, arity=2, note="as fmod")
_register(basic.sign)
_register(exp.copysign, arity=2)
_register(basic.isnan, returns_bool=True)
_register(basic.isinf, returns_bool=True)
_register(basic.isfinite, returns_bool=True)
_register(basic.fma, 0.5, 0.5, arity=3)
_register(basic.hypot, 1, 1.5, arity=2)
_register(basic.philox, arity=3, kind="i")
_register(basic.integer_pow, arity=2, kind="i")


def emit(name: str, builder: ir.IRBuilder, args: Sequence[ir.Value]) -> ir.Value:
    """Append the instructions of ``name`` to ``builder``; float or double from the arguments.

    All arguments have one type: ``float``, ``double``, or ``i64`` for ``philox``. The code is a
    straight line in the current block and carries its own fast-math flags.
    """
    machine = IrMachine(builder)
    types = {ir.FloatType(): "f32", ir.DoubleType(): "f64", ir.IntType(64): "i64"}
    values = [V(machine, types[arg.type], arg) for arg in args]
    return FUNCTIONS[name].algorithm(*values).raw


def reference(name: str) -> Callable[..., Any]:
    """``name`` as a function of NumPy scalars and arrays, the same algorithm as ``emit``.

    Example:
        >>> reference("exp")(np.float32(1.0))
        np.float32(2.7182817)
    """
    record = FUNCTIONS[name]

    def function(*args: Any) -> Any:
        arrays = [np.asarray(arg) for arg in args]
        if record.kind == "i":
            arrays = [array.astype(np.uint64).view(np.int64) for array in arrays]
        elif any(array.dtype != np.float32 for array in arrays):
            arrays = [array.astype(np.float64) for array in arrays]
        type = "i64" if record.kind == "i" else "f64" if arrays[0].dtype == np.float64 else "f32"
        machine = NumpyMachine()
        with np.errstate(all="ignore"):
            result = np.asarray(record.algorithm(*(V(machine, type, a) for a in arrays)).raw)
        if record.kind == "i":
            result = result.view(np.uint64)
        return result[()]

    function.__name__ = name
    function.__doc__ = record.doc
    return function


def bounds_table() -> str:
    """The table of functions and stated error bounds, in Markdown (``docs/vector_math.md``)."""

    def bound(value: float) -> str:
        return "exact" if value == 0 else f"{value:g}"

    lines = ["| function | float32 ulp | float64 ulp | what | limits |", "|---|---|---|---|---|"]
    for record in FUNCTIONS.values():
        texts = (text.replace("``", "`").replace("|", "\\|") for text in (record.doc, record.note))
        cells = (f"`{record.name}`", bound(record.ulp32), bound(record.ulp64), *texts)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
