"""What generated kernels may call, as numba intrinsics that emit LLVM instructions in place.

In: names used in kernel text (``where``, ``maximum``, ``exp``, ``arrive``, ``copy_nt`` ...). Out:
:func:`namespace`, the globals a kernel is compiled with, and :func:`definitions`, the IR of helper
functions it calls. ``plain.py`` has the same names for CPython. Only ``frontend.py`` imports this.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .. import vecmath
from ..codegen import tiles
from . import helpers, machine, scalar_types

Emit = Callable[..., ir.Value]
I32, I64 = ir.IntType(32), ir.IntType(64)


def _call(builder: ir.IRBuilder, name: str, values: list[ir.Value], result: Any = None) -> ir.Value:
    """Call a function by name with the types of ``values``, declaring it on first use."""
    kind = ir.FunctionType(result or values[0].type, [value.type for value in values])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), values)


def _llvm(name: str) -> Emit:
    """Emit LLVM's overloaded intrinsic ``llvm.<name>``."""

    def emit(builder: ir.IRBuilder, *values: ir.Value) -> ir.Value:
        return _call(builder, f"llvm.{name}.{helpers.suffix(values[0].type)}", list(values))

    return emit


def _unary(emit: Emit) -> Any:
    """``f(x)`` with the type of ``x``."""

    @intrinsic
    def call(context: Any, x: Any) -> Any:
        if not isinstance(x, types.Float):
            return None
        return x(x), lambda _, builder, signature, args: emit(builder, *args)

    return call


def _extremum(float_name: str, signed: str, unsigned: str) -> Any:
    """``maximum``/``minimum``: NaN wins for floats, so a NaN is never lost in a reduction.

    Which of two zeros wins is open: to decide it would cost several instructions.
    """

    @intrinsic
    def call(context: Any, x: Any, y: Any) -> Any:
        kind = context.unify_types(types.unliteral(x), types.unliteral(y))
        if isinstance(kind, types.Float):
            name = float_name
        elif isinstance(kind, types.Integer):
            name = signed if kind.signed else unsigned
        else:
            return None

        def emit(_: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            out = _llvm(name)(builder, *args)
            if isinstance(kind, types.Float):
                out.fastmath.add("nsz")
            return out

        return kind(kind, kind), emit

    return call


def _accumulation(float_op: str, integer_op: str) -> Any:
    """A step of a sum or product, the one place where the compiler may choose another order."""

    @intrinsic
    def call(context: Any, total: Any, value: Any) -> Any:
        kind = context.unify_types(types.unliteral(total), types.unliteral(value))

        def emit(_: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            if isinstance(kind, types.Float):
                flags = (*machine.FAST_MATH, "nsz", "reassoc")
                return getattr(builder, float_op)(*args, flags=flags)
            return getattr(builder, integer_op)(*args)

        return (kind(kind, kind), emit) if isinstance(kind, types.Number) else None

    return call


@intrinsic
def where(context: Any, condition: Any, x: Any, y: Any) -> Any:
    """``x if condition else y`` without a branch; both sides are always evaluated."""
    kind = context.unify_types(types.unliteral(x), types.unliteral(y))
    if not isinstance(kind, (types.Number, types.Boolean)):
        return None
    signature = kind(types.boolean, kind, kind)
    return signature, lambda _, builder, signature, args: builder.select(*args)


@intrinsic
def absolute(context: Any, x: Any) -> Any:
    """Absolute value; the most negative integer stays as it is, as in NumPy."""
    kind = types.unliteral(x)

    def emit(_: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        if isinstance(kind, types.Float):
            return _llvm("fabs")(builder, *args)
        if not kind.signed:
            return args[0]
        return _call(
            builder, f"llvm.abs.{helpers.suffix(args[0].type)}", [args[0], ir.IntType(1)(0)]
        )

    return (kind(kind), emit) if isinstance(kind, (types.Float, types.Integer)) else None


def _bitcast(pairs: dict[types.Type, types.Type]) -> Any:
    """Reinterpret the bits of a value; ``pairs`` maps the argument type to the result type."""

    @intrinsic
    def call(context: Any, x: Any) -> Any:
        result = pairs.get(types.unliteral(x))
        if result is None:
            return None
        target = {32: ir.FloatType(), 64: ir.DoubleType()}[result.bitwidth]
        llvm_type = target if isinstance(result, types.Float) else ir.IntType(result.bitwidth)
        return result(x), lambda _, builder, signature, args: builder.bitcast(args[0], llvm_type)

    return call


def _from_narrow(name: str) -> Any:
    """``u16`` storage bits to ``float32`` (half or bfloat16)."""

    @intrinsic
    def call(context: Any, x: Any) -> Any:
        def emit(_: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            return _call(builder, name, [args[0]], ir.FloatType())

        return types.float32(types.uint16), emit

    return call


def _to_narrow(name: str) -> Any:
    """``float32`` to ``u16`` storage bits, rounded to nearest even."""

    @intrinsic
    def call(context: Any, x: Any) -> Any:
        def emit(_: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            return _call(builder, name, [args[0]], ir.IntType(16))

        return types.uint16(types.float32), emit

    return call


@intrinsic
def offset(context: Any, pointer: Any, count: Any) -> Any:
    """``pointer + count`` elements, for library calls that take the start of a block."""
    if not isinstance(pointer, types.CPointer):
        return None
    signature = pointer(pointer, types.int64)
    return signature, lambda _, builder, signature, args: builder.gep(*args[:1], [args[1]])


@intrinsic
def arrive(context: Any, counter: Any, threads: Any) -> Any:
    """Count this thread in; True for the last of ``threads``, which also resets the counter.

    Acquire-release: what the others wrote before arriving is visible to the last one.
    """

    def emit(_: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        before = builder.atomic_rmw("add", args[0], I64(1), "acq_rel")
        is_last = builder.icmp_signed("==", before, builder.sub(args[1], I64(1)))
        with builder.if_then(is_last):
            builder.store_atomic(I64(0), args[0], "release", 8)
        return is_last

    return types.boolean(types.CPointer(types.int64), types.int64), emit


@intrinsic
def atomic_add(context: Any, pointer: Any, index: Any, value: Any) -> Any:
    """``pointer[index] += value`` as one indivisible step."""
    if not isinstance(pointer, types.CPointer):
        return None

    def emit(_: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        cell = builder.gep(args[0], [args[1]])
        is_float = isinstance(pointer.dtype, types.Float)
        builder.atomic_rmw("fadd" if is_float else "add", cell, args[2], "monotonic")
        return I64(0)

    return types.int64(pointer, types.int64, pointer.dtype), emit


@intrinsic
def prefetch(context: Any, pointer: Any, index: Any) -> Any:
    """Ask for the cache line of ``pointer[index]`` to be read soon."""
    if not isinstance(pointer, types.CPointer):
        return None

    def emit(_: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        cell = builder.gep(args[0], [args[1]])
        name = "llvm.prefetch.p0"
        _call(builder, name, [cell, I32(0), I32(3), I32(1)], ir.VoidType())
        return I64(0)

    return types.int64(pointer, types.int64), emit


@intrinsic
def copy_nt(
    context: Any, target: Any, target_offset: Any, source: Any, source_offset: Any, count: Any
) -> Any:
    """Stream ``count`` elements of a hot row past the caches to an output that is not read soon."""
    if target != source or not isinstance(target, types.CPointer):
        return None
    width = target.dtype.bitwidth // 8

    def emit(_: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        bytes_ = ir.IntType(8).as_pointer()
        to = builder.bitcast(builder.gep(args[0], [args[1]]), bytes_)
        start = builder.bitcast(builder.gep(args[2], [args[3]]), bytes_)
        size = builder.mul(args[4], I64(width))
        _call(builder, helpers.COPY_NT, [to, start, size], ir.VoidType())
        return I64(0)

    word = types.int64
    return word(target, word, source, word, word), emit


@intrinsic
def stream_fence(context: Any) -> Any:
    """Order streamed stores before everything that follows; once at the end of a kernel."""

    def emit(_: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        _call(builder, helpers.STREAM_FENCE, [], ir.VoidType())
        return I64(0)

    return types.int64(), emit


def _vector_function(record: vecmath.VectorFunction) -> Any:
    """A function of the vector math: numbers of one type in, the same type or bool out."""

    def typed(kinds: tuple[types.Type, ...]) -> Any:
        kind = types.uint64 if record.kind == "i" else kinds[0]
        if record.kind == "i":
            kinds = (kind,) * record.arity
        elif not isinstance(kind, types.Float) or any(other != kind for other in kinds):
            return None
        helper = helpers.vector_name(record.name, f"{record.kind}{kind.bitwidth}")
        llvm_result = ir.IntType(1) if record.returns_bool else None

        def emit(_: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            return _call(builder, helper, list(args), llvm_result)

        result = types.boolean if record.returns_bool else kind
        return result(*kinds), emit

    def one(context: Any, x: Any) -> Any:
        return typed((x,))

    def two(context: Any, x: Any, y: Any) -> Any:
        return typed((x, y))

    def three(context: Any, x: Any, y: Any, z: Any) -> Any:
        return typed((x, y, z))

    return intrinsic((one, two, three)[record.arity - 1])


def _library_function(name: str, kinds: tuple[str, ...]) -> Any:
    """A function of a native library, called by its symbol; it returns nothing."""
    signature_types = [scalar_types.argument(kind) for kind in kinds]

    def typed(context: Any, *args: types.Type) -> Any:
        def emit(_: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> Any:
            _call(builder, name, list(values), ir.VoidType())
            return I64(0)

        return (types.int64(*signature_types), emit) if len(args) == len(kinds) else None

    parameters = ", ".join(f"x{index}" for index in range(len(kinds)))
    scope: dict[str, Any] = {"typed": typed}
    # numba reads the parameter list of the function, so it must have the right one.
    exec(f"def {name}(context, {parameters}): return typed(context, {parameters})", scope)
    return intrinsic(scope[name])


@functools.cache
def namespace() -> dict[str, Any]:
    """Globals of every kernel: typed constructors and the intrinsics of this module."""
    bits = {types.float32: types.uint32, types.float64: types.uint64}
    names: dict[str, Any] = {
        name: _vector_function(record) for name, record in vecmath.FUNCTIONS.items()
    }
    libraries = tiles.SIGNATURES | tiles.WINDOW_SIGNATURES
    names |= {name: _library_function(name, kinds) for name, kinds in libraries.items()}
    names |= {
        "math": math,
        "np": np,
        "float32": types.float32,
        "float64": types.float64,
        "bool_": types.boolean,
        "where": where,
        "maximum": _extremum("maximum", "smax", "umax"),
        "minimum": _extremum("minimum", "smin", "umin"),
        "accumulate": _accumulation("fadd", "add"),
        "accumulate_product": _accumulation("fmul", "mul"),
        "absolute": absolute,
        "rint": _unary(_llvm("roundeven")),
        "float_bits": _bitcast(bits),
        "bits_float": _bitcast({bit: kind for kind, bit in bits.items()}),
        "half_to_float": _from_narrow(helpers.HALF_TO_FLOAT),
        "float_to_half": _to_narrow(helpers.FLOAT_TO_HALF),
        "bfloat_to_float": _from_narrow(helpers.BFLOAT_TO_FLOAT),
        "float_to_bfloat": _to_narrow(helpers.FLOAT_TO_BFLOAT),
        "offset": offset,
        "arrive": arrive,
        "atomic_add": atomic_add,
        "prefetch": prefetch,
        "copy_nt": copy_nt,
        "stream_fence": stream_fence,
    }
    for width in (8, 16, 32, 64):
        names[f"int{width}"] = getattr(types, f"int{width}")
        names[f"uint{width}"] = getattr(types, f"uint{width}")
    return names


@functools.cache
def builtins() -> dict[str, Any]:
    """Python's ``min`` and ``max`` of two integers, for which numba would compile a helper."""
    return {
        "max": _extremum("maximum", "smax", "umax"),
        "min": _extremum("minimum", "smin", "umin"),
    }


def definitions(externals_of: Any) -> list[Any]:
    """Parsed modules with the helper functions that a lowered kernel calls."""
    return [
        machine.parse(helpers.text(name))
        for name in machine.externals(externals_of)
        if helpers.is_helper(name)
    ]
