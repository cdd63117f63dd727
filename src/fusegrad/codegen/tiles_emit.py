"""The small language in which the tile functions are written: LLVM IR with loops and masks.

In: an ``llvmlite.ir`` module. Out: ``Function`` (one function under construction), ``TileShape``
(the register budget of an element type) and the vector helpers shared by ``tiles_native.py``,
``tiles_pack.py`` and ``tiles_dot.py``. Everything is written in the form that code generation
wants, so the library needs no optimization passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from llvmlite import ir

I1, I8, I32, I64 = ir.IntType(1), ir.IntType(8), ir.IntType(32), ir.IntType(64)
POINTER = ir.PointerType()
Value: TypeAlias = ir.Value


@dataclass(frozen=True)
class TileShape:
    """Register budget of one element type: ``rows x vectors`` accumulators of ``lanes`` elements.

    ``cheap_masks`` says that masked loads cost no more than plain ones and no vector register.
    """

    dtype: str
    lanes: int
    rows: int
    vectors: int
    cheap_masks: bool = True

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return 4 if self.dtype == "f32" else 8

    @property
    def scalar(self) -> ir.Type:
        """LLVM type of one element."""
        return ir.FloatType() if self.dtype == "f32" else ir.DoubleType()

    @property
    def vector(self) -> ir.VectorType:
        """LLVM type of one vector register."""
        return ir.VectorType(self.scalar, self.lanes)


def tile_shape(dtype: str, lanes_bits: int, registers: int) -> TileShape:
    """Pick the tile: 8x3 leaves room for operands in 32 registers, 6x2 in 16."""
    lanes = lanes_bits // (32 if dtype == "f32" else 64)
    rows, vectors = (8, 3) if registers >= 32 else (6, 2)
    return TileShape(dtype, lanes, rows, vectors, cheap_masks=lanes_bits == 512)


def const(value: int, type_: ir.Type = I64) -> Value:
    """An integer constant."""
    return ir.Constant(type_, value)


class Function:
    """One function under construction: argument values, local variables and loops."""

    def __init__(
        self, module: ir.Module, name: str, params: Sequence[tuple[str, ir.Type]], *, internal: bool
    ) -> None:
        """Start a function without result; ``internal`` ones are called from this module only."""
        signature = ir.FunctionType(ir.VoidType(), [kind for _, kind in params])
        self.function = ir.Function(module, signature, name)
        self.function.attributes.add("nounwind")
        if internal:
            self.function.linkage = "internal"
            self.function.attributes.add("noinline")
        self.arguments: dict[str, Value] = {}
        for argument, (label, kind) in zip(self.function.args, params, strict=True):
            argument.name = label
            if kind is POINTER:
                argument.add_attribute("noalias")
            self.arguments[label] = argument
        self.entry = self.function.append_basic_block("entry")
        self.build = ir.IRBuilder(self.function.append_basic_block("body"))

    def __getitem__(self, name: str) -> Value:
        """The argument called ``name``."""
        return self.arguments[name]

    def finish(self) -> None:
        """Close the function; every local variable lives in the entry block."""
        body = self.function.blocks[1]
        ir.IRBuilder(self.entry).branch(body)
        self.build.ret_void()

    def local(self, type_: ir.Type, initial: Value) -> Value:
        """A mutable local variable (promoted to a register by LLVM)."""
        slot = ir.IRBuilder(self.entry).alloca(type_)
        self.build.store(initial, slot)
        return slot

    def get(self, slot: Value, type_: ir.Type = I64) -> Value:
        """Read a local variable."""
        return self.build.load(slot, typ=type_)

    def at(self, pointer: Value, byte_offset: Value) -> Value:
        """The address ``byte_offset`` bytes after ``pointer``."""
        return self.build.gep(pointer, [byte_offset], source_etype=I8)

    @contextmanager
    def loop(self, start: Value, stop: Value, step: int = 1) -> Iterator[Value]:
        """``for index in range(start, stop, step)``."""
        build = self.build
        head, body, after = (self.function.append_basic_block(n) for n in ("head", "loop", "after"))
        before = build.block
        build.branch(head)
        build.position_at_end(head)
        index = build.phi(I64)
        index.add_incoming(start, before)
        build.cbranch(build.icmp_signed("<", index, stop), body, after)
        build.position_at_end(body)
        yield index
        index.add_incoming(build.add(index, const(step)), build.block)
        keep_loop(build.branch(head))
        build.position_at_end(after)

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """``if condition``."""
        with self.build.if_then(condition):
            yield

    def call(self, target: Function, *arguments: Value) -> None:
        """Call another function of this module."""
        self.build.call(target.function, arguments)

    def hide(self, value: Value) -> Value:
        """The same value, its derivation unknown to LLVM."""
        kind = ir.FunctionType(value.type, [value.type])
        return self.build.asm(kind, "", "=r,0", [value], side_effect=False)

    def mask(self, valid: Value, lanes: int) -> Value:
        """Lane mask with the first ``valid`` lanes set."""
        kind = ir.VectorType(I32, lanes)
        limit = splat(self.build, self.build.trunc(valid, I32), lanes)
        return self.build.icmp_signed("<", ir.Constant(kind, list(range(lanes))), limit)

    def load_vector(self, shape: TileShape, pointer: Value, mask: Value | None = None) -> Value:
        """Load one vector; lanes outside ``mask`` are zero and not touched in memory."""
        if mask is None:
            return self.build.load(pointer, typ=shape.vector, align=shape.itemsize)
        name = f"llvm.masked.load.v{shape.lanes}{shape.dtype}.p0"
        kinds = [POINTER, I32, mask.type, shape.vector]
        target = declare(self.function.module, name, shape.vector, kinds)
        passthru = ir.Constant(shape.vector, None)
        return self.build.call(target, [pointer, const(shape.itemsize, I32), mask, passthru])

    def prefetch(self, pointer: Value) -> None:
        """Ask for the cache line at ``pointer``; any address is allowed."""
        kinds = [POINTER, I32, I32, I32]
        target = declare(self.function.module, "llvm.prefetch.p0", ir.VoidType(), kinds)
        self.build.call(target, [pointer, const(0, I32), const(3, I32), const(1, I32)])

    def store_vector(
        self, shape: TileShape, value: Value, pointer: Value, mask: Value | None = None
    ) -> None:
        """Store one vector, or the lanes of it that ``mask`` names."""
        if mask is None:
            self.build.store(value, pointer, align=shape.itemsize)
            return
        name = f"llvm.masked.store.v{shape.lanes}{shape.dtype}.p0"
        kinds = [shape.vector, POINTER, I32, mask.type]
        target = declare(self.function.module, name, ir.VoidType(), kinds)
        self.build.call(target, [value, pointer, const(shape.itemsize, I32), mask])


def keep_loop(branch: ir.Branch) -> None:
    """Mark a back edge: LLVM neither unrolls nor vectorizes the loop (code size, compile time)."""
    module = branch.function.module
    whole = module.add_metadata(["llvm.loop.unroll.disable"])
    scalar = module.add_metadata(["llvm.loop.vectorize.enable", ir.Constant(I1, 0)])
    node = module.add_metadata([f"loop {len(module.metadata)}", whole, scalar])
    node.operands = (node, whole, scalar)  # LLVM knows a loop by its self-reference.
    branch.set_metadata("llvm.loop", node)


def declare(
    module: ir.Module, name: str, result: ir.Type, arguments: Sequence[ir.Type]
) -> ir.Function:
    """Declare an LLVM intrinsic once per module."""
    if name in module.globals:
        return module.globals[name]
    return ir.Function(module, ir.FunctionType(result, arguments), name)


def splat(build: ir.IRBuilder, scalar: Value, lanes: int) -> Value:
    """A vector whose lanes all hold ``scalar``."""
    kind = ir.VectorType(scalar.type, lanes)
    undefined = ir.Constant(kind, ir.Undefined)
    first = build.insert_element(undefined, scalar, const(0, I32))
    zeros = ir.Constant(ir.VectorType(I32, lanes), [0] * lanes)
    return build.shuffle_vector(first, undefined, zeros)


def shuffle(build: ir.IRBuilder, x: Value, y: Value, lanes: Sequence[int]) -> Value:
    """Pick lanes of the concatenation of x and y."""
    mask = ir.Constant(ir.VectorType(I32, len(lanes)), list(lanes))
    return build.shuffle_vector(x, y, mask)


def fused_multiply_add(module: ir.Module, shape: TileShape) -> ir.Function:
    """``x * y + z`` on vectors, in one rounding where the CPU can."""
    name = f"llvm.fmuladd.v{shape.lanes}{shape.dtype}"
    return declare(module, name, shape.vector, [shape.vector] * 3)
