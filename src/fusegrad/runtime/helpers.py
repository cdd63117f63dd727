"""LLVM IR of the small functions that kernels call by name and LLVM inlines.

In: the name of a helper. Out: IR text that defines it, the same for every kernel. These bodies live
outside numba's module because its fast-math pass would put ``reassoc`` on them, which destroys the
error terms of a polynomial. ``intrinsics.py`` emits the calls.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from llvmlite import ir

from .. import vecmath
from . import machine

PREFIX = "fusegrad."
COPY_NT = PREFIX + "copy_nt"
STREAM_FENCE = PREFIX + "stream_fence"
HALF_TO_FLOAT = PREFIX + "half_to_float"
FLOAT_TO_HALF = PREFIX + "float_to_half"
BFLOAT_TO_FLOAT = PREFIX + "bfloat_to_float"
FLOAT_TO_BFLOAT = PREFIX + "float_to_bfloat"


def suffix(kind: Any) -> str:
    """LLVM's type suffix of an overloaded intrinsic: ``f32``, ``f64`` or ``i64``."""
    if isinstance(kind, ir.FloatType):
        return "f32"
    if isinstance(kind, ir.DoubleType):
        return "f64"
    return str(kind)


def is_helper(name: str) -> bool:
    """Whether :func:`text` defines ``name``."""
    return name.startswith(PREFIX)


HALF = """
define linkonce_odr float @fusegrad.half_to_float(i16 %bits) alwaysinline nounwind {
  %half = bitcast i16 %bits to half
  %wide = fpext half %half to float
  ret float %wide
}
"""

TO_HALF = """
define linkonce_odr i16 @fusegrad.float_to_half(float %x) alwaysinline nounwind {
  %half = fptrunc float %x to half
  %bits = bitcast half %half to i16
  ret i16 %bits
}
"""

BFLOAT = """
define linkonce_odr float @fusegrad.bfloat_to_float(i16 %bits) alwaysinline nounwind {
  %word = zext i16 %bits to i32
  %high = shl i32 %word, 16
  %wide = bitcast i32 %high to float
  ret float %wide
}
"""

# Round to nearest even in integers; a NaN keeps its high half with the quiet bit set.
TO_BFLOAT = """
define linkonce_odr i16 @fusegrad.float_to_bfloat(float %x) alwaysinline nounwind {
  %word = bitcast float %x to i32
  %kept = lshr i32 %word, 16
  %odd = and i32 %kept, 1
  %bias = add i32 %odd, 32767
  %rounded = add i32 %word, %bias
  %near = lshr i32 %rounded, 16
  %quiet = or i32 %kept, 64
  %nan = fcmp uno float %x, 0.0
  %chosen = select i1 %nan, i32 %quiet, i32 %near
  %bits = trunc i32 %chosen to i16
  ret i16 %bits
}
"""

# Bytes up to the first aligned address, whole vectors past the caches, then the rest.
COPY = """
define linkonce_odr void @fusegrad.copy_nt(ptr noalias %to, ptr noalias %from, i64 %size)
    nounwind noinline {{
entry:
  %address = ptrtoint ptr %to to i64
  %negative = sub i64 0, %address
  %gap = and i64 %negative, {last}
  %short = icmp ult i64 %size, %gap
  %head = select i1 %short, i64 %size, i64 %gap
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %from, i64 %head, i1 false)
  %left = sub i64 %size, %head
  %whole = and i64 %left, -{width}
  %middle = add i64 %head, %whole
  br label %check
check:
  %i = phi i64 [ %head, %entry ], [ %next, %vector ]
  %more = icmp ult i64 %i, %middle
  br i1 %more, label %vector, label %rest
vector:
  %source = getelementptr inbounds i8, ptr %from, i64 %i
  %target = getelementptr inbounds i8, ptr %to, i64 %i
  %value = load <{lanes} x i32>, ptr %source, align 1
  store <{lanes} x i32> %value, ptr %target, align {width}, !nontemporal !0
  %next = add i64 %i, {width}
  br label %check
rest:
  %tail = sub i64 %size, %middle
  %source.tail = getelementptr inbounds i8, ptr %from, i64 %middle
  %target.tail = getelementptr inbounds i8, ptr %to, i64 %middle
  call void @llvm.memcpy.p0.p0.i64(ptr %target.tail, ptr %source.tail, i64 %tail, i1 false)
  ret void
}}
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
!0 = !{{i32 1}}
"""

# Streaming stores are weakly ordered on x86, where an ordinary fence does not hold them back.
FENCE = """
define linkonce_odr void @fusegrad.stream_fence() alwaysinline nounwind {{
  {fence}
  ret void
}}
{declaration}
"""


def _copy_text() -> str:
    width = machine.host().vector_bits // 8
    return COPY.format(width=width, last=width - 1, lanes=width // 4)


def _fence_text() -> str:
    if machine.host().triple.startswith(("x86_64", "i686")):
        name = "@llvm.x86.sse.sfence()"
        return FENCE.format(fence=f"call void {name}", declaration=f"declare void {name}")
    return FENCE.format(fence="fence seq_cst", declaration="")


def vector_name(name: str, kind: str) -> str:
    """Helper that computes the vector-math function ``name`` for ``f32``, ``f64`` or ``i64``."""
    return f"{PREFIX}{name}.{kind}"


def _inline_function(
    name: str, kinds: list[Any], result: Any, emit: Callable[..., ir.Value]
) -> str:
    """IR of a function that LLVM inlines wherever it is called; ``emit`` writes its body."""
    module = ir.Module(name)
    function = ir.Function(module, ir.FunctionType(result, kinds), name)
    function.linkage = "linkonce_odr"
    function.attributes.add("alwaysinline")
    function.attributes.add("nounwind")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    builder.ret(emit(builder, *function.args))
    return str(module)


def _vector_text(name: str) -> str:
    function, kind = name.removeprefix(PREFIX).split(".")
    record = vecmath.FUNCTIONS[function]
    number = {"f32": ir.FloatType(), "f64": ir.DoubleType(), "i64": ir.IntType(64)}[kind]
    result = ir.IntType(1) if record.returns_bool else number

    def emit(builder: ir.IRBuilder, *args: ir.Value) -> ir.Value:
        return vecmath.emit(function, builder, args)

    return _inline_function(name, [number] * record.arity, result, emit)


@functools.cache
def text(name: str) -> str:
    """IR that defines the helper ``name``."""
    fixed = {
        HALF_TO_FLOAT: HALF,
        FLOAT_TO_HALF: TO_HALF,
        BFLOAT_TO_FLOAT: BFLOAT,
        FLOAT_TO_BFLOAT: TO_BFLOAT,
    }
    if name in fixed:
        return fixed[name]
    if name == COPY_NT:
        return _copy_text()
    if name == STREAM_FENCE:
        return _fence_text()
    return _vector_text(name)
