"""The little language the vector math is written in: one value class, two machines.

In: ``V`` values, each an LLVM value or a NumPy array with a type name (``f32 f64 i32 i64 b1``).
Out: ``IrMachine`` turns the operators into branch-free LLVM instructions that the loop vectoriser
accepts, ``NumpyMachine`` computes the same roundings at once. The algorithms themselves are in
``exp.py``, ``trig.py``, ``special.py`` and ``basic.py``.

Rounding discipline: error compensation dies if a compiler reassociates it, and numba adds its
fast-math flags to every instruction that carries none. So each instruction here carries ``arcp``
(meaningless on add, mul, fma) or ``contract`` (meaningless on div, sqrt), and calls lock their set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from llvmlite import ir
from llvmlite.ir.instructions import FastMathFlags

Number = float | int

IR_TYPES: dict[str, ir.Type] = {
    "f32": ir.FloatType(),
    "f64": ir.DoubleType(),
    "i32": ir.IntType(32),
    "i64": ir.IntType(64),
    "b1": ir.IntType(1),
}
IR_FLOAT = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
IR_INTEGER = {
    "add": "add", "sub": "sub", "mul": "mul", "and": "and_", "or": "or_", "xor": "xor",
    "shl": "shl", "sar": "ashr", "shr": "lshr",
}  # fmt: skip
NUMPY_TYPES: dict[str, Any] = {
    "f32": np.dtype(np.float32),
    "f64": np.dtype(np.float64),
    "i32": np.dtype(np.int32),
    "i64": np.dtype(np.int64),
    "b1": np.dtype(np.bool_),
}
WIDTH = {"f32": 32, "f64": 64, "i32": 32, "i64": 64}
MANTISSA = {"f32": 23, "f64": 52}
BIAS = {"f32": 127, "f64": 1023}


class Machine(Protocol):
    """What a backend must offer; raw values in, raw values out."""

    def constant(self, type: str, value: Number) -> Any:
        """A typed literal."""

    def binary(self, op: str, type: str, a: Any, b: Any) -> Any:
        """``add sub mul div``, and for integers ``and or xor shl sar shr``."""

    def compare(self, op: str, type: str, a: Any, b: Any) -> Any:
        """A truth value; with NaN only ``!=`` holds."""

    def unary(self, op: str, type: str, a: Any) -> Any:
        """``neg fabs sqrt floor ceil trunc rint``."""

    def fma(self, type: str, a: Any, b: Any, c: Any) -> Any:
        """``a * b + c`` with one rounding."""

    def select(self, type: str, condition: Any, a: Any, b: Any) -> Any:
        """One of two values."""

    def convert(self, op: str, source: str, target: str, a: Any) -> Any:
        """``bitcast int_to_float float_to_float truncate``."""

    def lookup(self, name: str, values: Sequence[float], index: Any) -> Any:
        """An element of a constant table of doubles."""


class V:
    """A value of the language: machine, type name, raw value. Python numbers mix in freely."""

    __slots__ = ("machine", "raw", "type")

    def __init__(self, machine: Machine, type: str, raw: Any) -> None:
        self.machine = machine
        self.type = type
        self.raw = raw

    @property
    def is_f64(self) -> bool:
        """Whether the value is a double: selects coefficient tables."""
        return self.type == "f64"

    def like(self, other: V | Number) -> V:
        """``other`` as a value of the same type; numbers become constants."""
        if isinstance(other, V):
            assert other.type == self.type, (self.type, other.type)
            return other
        return V(self.machine, self.type, self.machine.constant(self.type, other))

    def _binary(self, op: str, other: V | Number, swap: bool = False) -> V:
        a, b = self, self.like(other)
        if swap:
            a, b = b, a
        return V(self.machine, self.type, self.machine.binary(op, self.type, a.raw, b.raw))

    def _compare(self, op: str, other: V | Number) -> V:
        raw = self.machine.compare(op, self.type, self.raw, self.like(other).raw)
        return V(self.machine, "b1", raw)

    def __add__(self, other: V | Number) -> V:
        return self._binary("add", other)

    __radd__ = __add__

    def __sub__(self, other: V | Number) -> V:
        return self._binary("sub", other)

    def __rsub__(self, other: V | Number) -> V:
        return self._binary("sub", other, swap=True)

    def __mul__(self, other: V | Number) -> V:
        return self._binary("mul", other)

    __rmul__ = __mul__

    def __truediv__(self, other: V | Number) -> V:
        return self._binary("div", other)

    def __rtruediv__(self, other: V | Number) -> V:
        return self._binary("div", other, swap=True)

    def __and__(self, other: V | Number) -> V:
        return self._binary("and", other)

    def __or__(self, other: V | Number) -> V:
        return self._binary("or", other)

    def __xor__(self, other: V | Number) -> V:
        return self._binary("xor", other)

    def __lshift__(self, other: V | Number) -> V:
        return self._binary("shl", other)

    def __rshift__(self, other: V | Number) -> V:
        return self._binary("sar", other)

    def shift_right_unsigned(self, other: V | Number) -> V:
        """Shift right and fill with zeros (``>>`` copies the sign)."""
        return self._binary("shr", other)

    def __neg__(self) -> V:
        return V(self.machine, self.type, self.machine.unary("neg", self.type, self.raw))

    def __invert__(self) -> V:
        return self ^ (1 if self.type == "b1" else -1)

    def __lt__(self, other: V | Number) -> V:
        return self._compare("<", other)

    def __le__(self, other: V | Number) -> V:
        return self._compare("<=", other)

    def __gt__(self, other: V | Number) -> V:
        return self._compare(">", other)

    def __ge__(self, other: V | Number) -> V:
        return self._compare(">=", other)

    def equals(self, other: V | Number) -> V:
        """``==`` as a value (the operator itself keeps Python's meaning)."""
        return self._compare("==", other)

    def differs(self, other: V | Number) -> V:
        """``!=``; true when a side is NaN."""
        return self._compare("!=", other)


def _unary(op: str, x: V) -> V:
    return V(x.machine, x.type, x.machine.unary(op, x.type, x.raw))


def fabs(x: V) -> V:
    """Absolute value."""
    return _unary("fabs", x)


def sqrt(x: V) -> V:
    """Correctly rounded square root."""
    return _unary("sqrt", x)


def floor(x: V) -> V:
    """Largest integer not above."""
    return _unary("floor", x)


def ceil(x: V) -> V:
    """Smallest integer not below."""
    return _unary("ceil", x)


def trunc(x: V) -> V:
    """Integer part, towards zero."""
    return _unary("trunc", x)


def rint(x: V) -> V:
    """Nearest integer, ties to even."""
    return _unary("rint", x)


def fma(a: V, b: V | Number, c: V | Number) -> V:
    """``a * b + c`` with one rounding."""
    raw = a.machine.fma(a.type, a.raw, a.like(b).raw, a.like(c).raw)
    return V(a.machine, a.type, raw)


def select(condition: V, a: V | Number, b: V | Number) -> V:
    """``a`` where the condition holds, else ``b``; one of them must be a value."""
    model = a if isinstance(a, V) else b
    assert isinstance(model, V) and condition.type == "b1"
    raw = model.machine.select(model.type, condition.raw, model.like(a).raw, model.like(b).raw)
    return V(model.machine, model.type, raw)


def is_nan(x: V) -> V:
    """True for NaN."""
    return x.differs(x)


def _convert(op: str, x: V, target: str) -> V:
    return V(x.machine, target, x.machine.convert(op, x.type, target, x.raw))


def bits(x: V) -> V:
    """The bit pattern of a float as an integer of the same width."""
    return _convert("bitcast", x, "i64" if x.is_f64 else "i32")


def from_bits(x: V) -> V:
    """The float with this bit pattern."""
    return _convert("bitcast", x, "f64" if x.type == "i64" else "f32")


def to_float(x: V) -> V:
    """Signed integer to the float of the same width, rounded to nearest."""
    return _convert("int_to_float", x, "f64" if x.type == "i64" else "f32")


def to_f64(x: V) -> V:
    """Widen a ``float32``; exact."""
    return x if x.is_f64 else _convert("float_to_float", x, "f64")


def to_f32(x: V) -> V:
    """Round to ``float32``."""
    return _convert("float_to_float", x, "f32")


def low_i32(x: V) -> V:
    """The low 32 bits of an ``i64``."""
    return _convert("truncate", x, "i32")


def lookup(name: str, values: Sequence[float], index: V) -> V:
    """``values[index]`` from a constant table of doubles; the vectoriser makes it a gather."""
    return V(index.machine, "f64", index.machine.lookup(name, values, index.raw))


class LockedFlags(FastMathFlags):
    """Fast-math flags of a call that later passes (numba's) cannot add to."""

    def __init__(self, flag: str) -> None:
        super().__init__()
        super().add(flag)

    def add(self, name: str) -> None:
        """Keep the set as it was made."""


class IrMachine:
    """Appends LLVM instructions to ``builder``; the result has no branch and no libm call."""

    def __init__(self, builder: ir.IRBuilder) -> None:
        self.builder = builder

    def constant(self, type: str, value: Number) -> ir.Value:
        """A typed literal; decimal constants are rounded to ``float32`` here."""
        if type == "f32":
            with np.errstate(over="ignore"):
                value = float(np.float32(value))
        return ir.Constant(IR_TYPES[type], value)

    def binary(self, op: str, type: str, a: ir.Value, b: ir.Value) -> ir.Value:
        """Arithmetic; floats carry one harmless flag so that numba adds none."""
        if type[0] == "f":
            flags = ("contract",) if op == "div" else ("arcp",)
            return getattr(self.builder, IR_FLOAT[op])(a, b, flags=flags)
        return getattr(self.builder, IR_INTEGER[op])(a, b)

    def compare(self, op: str, type: str, a: ir.Value, b: ir.Value) -> ir.Value:
        """Comparison; with NaN only ``!=`` is true."""
        if type[0] != "f":
            return self.builder.icmp_signed(op, a, b)
        if op == "!=":
            return self.builder.fcmp_unordered(op, a, b, flags=("arcp",))
        return self.builder.fcmp_ordered(op, a, b, flags=("arcp",))

    def _call(self, name: str, type: str, args: list[ir.Value]) -> ir.Value:
        module = self.builder.module
        full = f"llvm.{name}.{type}"
        function = module.globals.get(full)
        if function is None:
            signature = ir.FunctionType(IR_TYPES[type], [IR_TYPES[type]] * len(args))
            function = ir.Function(module, signature, full)
        call = self.builder.call(function, args)
        call.fastmath = LockedFlags("contract" if name == "sqrt" else "arcp")
        return call

    def unary(self, op: str, type: str, a: ir.Value) -> ir.Value:
        """Negation or a one-argument intrinsic with a vector instruction behind it."""
        if op == "neg":
            return self.builder.fneg(a, flags=("arcp",)) if type[0] == "f" else self.builder.neg(a)
        return self._call(op, type, [a])

    def fma(self, type: str, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        """Fused multiply-add."""
        return self._call("fma", type, [a, b, c])

    def select(self, type: str, condition: ir.Value, a: ir.Value, b: ir.Value) -> ir.Value:
        """A blend."""
        return self.builder.select(condition, a, b)

    def convert(self, op: str, source: str, target: str, a: ir.Value) -> ir.Value:
        """Reinterpretation and number conversion."""
        to, b = IR_TYPES[target], self.builder
        if op == "bitcast":
            return b.bitcast(a, to)
        if op == "int_to_float":
            return b.sitofp(a, to)
        if op == "truncate":
            return b.trunc(a, to)
        return b.fpext(a, to) if target == "f64" else b.fptrunc(a, to)

    def lookup(self, name: str, values: Sequence[float], index: ir.Value) -> ir.Value:
        """Load from a private constant table, made once per module."""
        module = self.builder.module
        table = module.globals.get(name)
        if table is None:
            array = ir.ArrayType(ir.DoubleType(), len(values))
            table = ir.GlobalVariable(module, array, name)
            table.linkage, table.global_constant = "internal", True
            table.initializer = ir.Constant(array, list(values))
        zero = ir.Constant(ir.IntType(64), 0)
        place = self.builder.gep(table, [zero, index], inbounds=True)
        return self.builder.load(place)


def exact_fma64(a: Any, b: Any, c: Any) -> Any:
    """``a * b + c`` in double with (up to double rounding of a tie) one rounding, in NumPy.

    Veltkamp splitting gives the product's error exactly, two-sum the addition's. Where the split
    overflows, the plain expression is at most one rounding away.
    """
    split = np.float64(134217729.0)
    product = a * b
    a1, b1 = a * split, b * split
    a1, b1 = a1 - (a1 - a), b1 - (b1 - b)
    a2, b2 = a - a1, b - b1
    error = ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2
    total = product + c
    virtual = total - product
    rest = (product - (total - virtual)) + (c - virtual)
    result = total + (rest + error)
    return np.where(np.isfinite(result), result, total)


class NumpyMachine:
    """Computes at once on NumPy scalars and arrays."""

    def constant(self, type: str, value: Number) -> Any:
        """A NumPy scalar of the type."""
        return NUMPY_TYPES[type].type(value)

    def binary(self, op: str, type: str, a: Any, b: Any) -> Any:
        """Arithmetic; integers wrap."""
        if op == "shr":
            unsigned = np.uint64 if type == "i64" else np.uint32
            shifted = np.asarray(a).view(unsigned) >> np.asarray(b).view(unsigned)
            return shifted.view(NUMPY_TYPES[type])
        function = {
            "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide,
            "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
            "shl": np.left_shift, "sar": np.right_shift,
        }[op]  # fmt: skip
        return function(a, b)

    def compare(self, op: str, type: str, a: Any, b: Any) -> Any:
        """Comparison; with NaN only ``!=`` is true."""
        return {
            "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal,
            "==": np.equal, "!=": np.not_equal,
        }[op](a, b)  # fmt: skip

    def unary(self, op: str, type: str, a: Any) -> Any:
        """Negation and the rounding family."""
        return {
            "neg": np.negative, "fabs": np.abs, "sqrt": np.sqrt, "floor": np.floor,
            "ceil": np.ceil, "trunc": np.trunc, "rint": np.rint,
        }[op](a)  # fmt: skip

    def fma(self, type: str, a: Any, b: Any, c: Any) -> Any:
        """Fused multiply-add; for ``float32`` the double product is exact."""
        if type == "f64":
            return exact_fma64(np.asarray(a), np.asarray(b), np.asarray(c))
        double = np.float64
        wide = np.asarray(a, double) * np.asarray(b, double) + np.asarray(c, double)
        return wide.astype(np.float32)

    def select(self, type: str, condition: Any, a: Any, b: Any) -> Any:
        """``np.where``."""
        return np.where(condition, a, b)

    def convert(self, op: str, source: str, target: str, a: Any) -> Any:
        """Reinterpretation and number conversion."""
        if op == "bitcast":
            return np.asarray(a).view(NUMPY_TYPES[target])
        return np.asarray(a).astype(NUMPY_TYPES[target])

    def lookup(self, name: str, values: Sequence[float], index: Any) -> Any:
        """Fancy indexing."""
        return np.asarray(values, np.float64)[index]
