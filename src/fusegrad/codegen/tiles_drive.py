"""Builds ``gemm_next``: the cache-blocking loops around the tiles, one block of C at a time.

In: a tile shape, with ``gemm_block``, ``gemm_pack_a``, ``gemm_pack_b`` and ``gemm_dot`` already in
the module. Out: ``gemm_next_*``, a coroutine: each call goes on to the next finished block of C and
leaves its bounds in the state of its thread, so that a kernel can apply an epilogue while the block
is in cache. With ``stops`` = 0 one call computes everything. The loops are native, not kernel
text, because they are the same for every kernel and would dominate its compile time.
``tiles_text.py`` writes the call; ``tiles_reference.py`` holds the same plan in Python.

Loop order: batch item, columns of C (a packed block of B in the second-level cache), k, rows.
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from .tiles_emit import I64, POINTER, Function, TileShape, Value, const
from .tiles_plan import (
    BLOCK_COLUMNS,
    BLOCK_K,
    BLOCK_ROWS,
    COLUMN_UNIT,
    PACK_UNIT,
    ROW_UNIT,
    SMALL_MATRIX,
    STATE_WORDS,
    Word,
)

NEXT_PARAMS = [
    ("workspace", POINTER),
    *(
        (f"{name}{suffix}", kind)
        for name in "ab"
        for suffix, kind in (("", POINTER), ("_off", I64), ("_rs", I64), ("_cs", I64))
    ),
    ("c", POINTER),
    ("c_off", I64),
    ("c_rs", I64),
    ("m", I64),
    ("n", I64),
    ("k", I64),
    *((f"{name}{axis}", I64) for axis in (0, 1) for name in ("batch", "a_bs", "b_bs", "c_bs")),
    ("thread", I64),
    ("threads", I64),
    ("stops", I64),
]


@dataclass
class Plan:
    """Values computed once per call: how operands are read, where this thread packs them."""

    items: Value
    dot: Value
    pack_a: Value
    pack_b: Value
    step_k: Value
    a_pack: Value
    b_pack: Value


class Driver:
    """Emits one ``gemm_next``."""

    def __init__(self, module: ir.Module, shape: TileShape) -> None:
        """Start the function; ``emit`` writes it."""
        self.shape, self.module = shape, module
        self.fn = Function(module, f"gemm_next_{shape.dtype}", NEXT_PARAMS, internal=False)
        self.build = self.fn.build
        self.word = ir.IntType(8 * shape.itemsize)
        words = self.build.mul(self.fn["thread"], const(STATE_WORDS * shape.itemsize))
        self.state = self.fn.at(self.fn["workspace"], words)

    def minimum(self, x: Value, y: Value) -> Value:
        """The smaller of two integers."""
        return self.build.select(self.build.icmp_signed("<", x, y), x, y)

    def all_of(self, *conditions: Value) -> Value:
        """Logical and."""
        result = conditions[0]
        for condition in conditions[1:]:
            result = self.build.and_(result, condition)
        return result

    def any_of(self, *conditions: Value) -> Value:
        """Logical or."""
        result = conditions[0]
        for condition in conditions[1:]:
            result = self.build.or_(result, condition)
        return result

    def compare(self, x: str | Value, relation: str, y: int | Value) -> Value:
        """A comparison of an argument, by name, or a value."""
        left = self.fn[x] if isinstance(x, str) else x
        return self.build.icmp_signed(relation, left, const(y) if isinstance(y, int) else y)

    def round_up(self, value: Value, unit: int) -> Value:
        """The smallest multiple of ``unit`` that is not below ``value``."""
        units = self.build.sdiv(self.build.add(value, const(unit - 1)), const(unit))
        return self.build.mul(units, const(unit))

    def slot(self, word: Word) -> Value:
        """Address of one word of the state."""
        return self.fn.at(self.state, const(word * self.shape.itemsize))

    def read(self, word: Word) -> Value:
        """A word of the state: a count, not a floating-point number."""
        value = self.build.load(self.slot(word), typ=self.word, align=self.shape.itemsize)
        return value if self.word == I64 else self.build.zext(value, I64)

    def write(self, word: Word, value: Value) -> None:
        """Set a word of the state."""
        narrow = value if self.word == I64 else self.build.trunc(value, self.word)
        self.build.store(narrow, self.slot(word), align=self.shape.itemsize)

    def write_status(self, value: float) -> None:
        """Set the first word, which kernel text reads as a number."""
        status = ir.Constant(self.shape.scalar, value)
        self.build.store(status, self.state, align=self.shape.itemsize)

    def plan(self) -> Plan:
        """Choose dot products, unpacked operands or packed ones: whichever moves less."""
        fn, build = self.fn, self.build
        m, n, k = fn["m"], fn["n"], fn["k"]
        short_rows = self.all_of(
            self.compare(build.mul(m, const(16)), "<=", k), self.compare(m, "<=", 32)
        )
        short_columns = self.all_of(self.compare(n, "<=", 12), self.compare(k, ">=", 256))
        dot = self.all_of(
            self.compare("a_cs", "==", 1),
            self.compare("b_rs", "==", 1),
            self.any_of(short_rows, short_columns),
        )
        small_a = self.compare(build.mul(m, k), "<=", SMALL_MATRIX)
        small_b = self.compare(build.mul(n, k), "<=", SMALL_MATRIX)
        plain_a = self.any_of(
            dot,
            self.compare("a_cs", "==", 1),
            self.compare(n, "<=", 96),
            self.all_of(self.compare("a_rs", "==", 1), small_a),
        )
        plain_b = self.any_of(
            dot,
            self.all_of(
                self.compare("b_cs", "==", 1), self.any_of(self.compare(m, "<=", 96), small_b)
            ),
        )
        depth = self.minimum(k, const(BLOCK_K))
        columns = self.minimum(n, const(BLOCK_COLUMNS[self.shape.dtype]))
        b_size = build.mul(depth, self.round_up(columns, COLUMN_UNIT))
        a_size = build.mul(depth, self.round_up(self.minimum(m, const(BLOCK_ROWS)), PACK_UNIT))
        own = build.mul(fn["thread"], self.round_up(build.add(a_size, b_size), STATE_WORDS))
        b_pack = build.add(build.mul(fn["threads"], const(STATE_WORDS)), own)
        return Plan(
            items=build.mul(fn["batch0"], fn["batch1"]),
            dot=dot,
            pack_a=build.not_(plain_a),
            pack_b=build.not_(plain_b),
            step_k=build.select(dot, k, const(BLOCK_K)),
            a_pack=build.add(b_pack, b_size),
            b_pack=b_pack,
        )

    def start(self, plan: Plan) -> None:
        """Give this thread its part: some batch items, else some columns or rows of C."""
        fn, build = self.fn, self.build
        thread, threads = fn["thread"], fn["threads"]
        following = build.add(thread, const(1))
        self.write(Word.ITEM, const(0))
        self.write(Word.ITEM_HI, plan.items)
        for low, high, size in ((Word.ROW_LO, Word.ROW_HI, "m"), (Word.COL_LO, Word.COL_HI, "n")):
            self.write(low, const(0))
            self.write(high, fn[size])

        def share(low: Word, high: Word, size: Value, unit: int) -> None:
            units = build.sdiv(build.add(size, const(unit - 1)), const(unit))
            for word, part in ((low, thread), (high, following)):
                first = build.sdiv(build.mul(units, part), threads)
                self.write(word, self.minimum(size, build.mul(first, const(unit))))

        with fn.when(self.compare(threads, ">", 1)):
            even = self.compare(build.srem(plan.items, threads), "==", 0)
            many = self.compare(plan.items, ">=", build.mul(threads, const(4)))
            with build.if_else(build.or_(even, many)) as (by_item, by_block):
                with by_item:
                    share(Word.ITEM, Word.ITEM_HI, plan.items, 1)
                with by_block, build.if_else(self.compare("n", ">=", fn["m"])) as (columns, rows):
                    with columns:
                        share(Word.COL_LO, Word.COL_HI, fn["n"], COLUMN_UNIT)
                    with rows:
                        share(Word.ROW_LO, Word.ROW_HI, fn["m"], ROW_UNIT)
        empty = self.any_of(
            self.compare(self.read(Word.ROW_LO), ">=", self.read(Word.ROW_HI)),
            self.compare(self.read(Word.COL_LO), ">=", self.read(Word.COL_HI)),
        )
        with fn.when(empty):
            self.write(Word.ITEM_HI, const(0))
        self.write(Word.NEXT_I, self.read(Word.ROW_LO))
        self.write(Word.NEXT_J, self.read(Word.COL_LO))
        self.write(Word.NEXT_K, const(0))
        self.write(Word.NEXT_ITEM, self.read(Word.ITEM))

    def emit(self) -> None:
        """Write the function: start at status 0, then walk until a block is finished."""
        fn, build = self.fn, self.build
        plan = self.plan()
        status = build.load(self.state, typ=self.shape.scalar, align=self.shape.itemsize)
        with fn.when(build.fcmp_ordered("==", status, ir.Constant(self.shape.scalar, 0.0))):
            self.start(plan)
        head, body, stop, end, leave = (
            fn.function.append_basic_block(name)
            for name in ("head", "step", "stop", "end", "leave")
        )
        build.branch(head)
        build.position_at_end(head)
        more = self.compare(self.read(Word.NEXT_ITEM), "<", self.read(Word.ITEM_HI))
        build.cbranch(more, body, end)
        build.position_at_end(body)
        finished = self.step(plan)
        pause = build.and_(finished, self.compare("stops", "!=", 0))
        build.cbranch(pause, stop, head)
        build.position_at_end(stop)
        self.write_status(1.0)
        build.branch(leave)
        build.position_at_end(end)
        self.write_status(-1.0)
        build.branch(leave)
        build.position_at_end(leave)
        fn.finish()

    def step(self, plan: Plan) -> Value:
        """One block of C over one block of k; whether that was its last k."""
        fn, build = self.fn, self.build
        item, i, j, k = (
            self.read(word) for word in (Word.NEXT_ITEM, Word.NEXT_I, Word.NEXT_J, Word.NEXT_K)
        )
        row_hi, col_hi = self.read(Word.ROW_HI), self.read(Word.COL_HI)
        i_hi = self.minimum(build.add(i, const(BLOCK_ROWS)), row_hi)
        j_hi = self.minimum(build.add(j, const(BLOCK_COLUMNS[self.shape.dtype])), col_hi)
        k_hi = self.minimum(build.add(k, plan.step_k), fn["k"])
        for word, value in (
            (Word.ITEM, item),
            (Word.I_LO, i),
            (Word.I_HI, i_hi),
            (Word.J_LO, j),
            (Word.J_HI, j_hi),
        ):
            self.write(word, value)
        outer, inner = build.sdiv(item, fn["batch1"]), build.srem(item, fn["batch1"])

        def place(name: str, *terms: tuple[Value, str]) -> Value:
            total = fn[f"{name}_off"]
            for axis, index in (("0", outer), ("1", inner)):
                total = build.add(total, build.mul(index, fn[f"{name}_bs{axis}"]))
            for index, stride in terms:
                total = build.add(total, build.mul(index, fn[stride]))
            return total

        a_at = place("a", (i, "a_rs"), (k, "a_cs"))
        b_at = place("b", (k, "b_rs"), (j, "b_cs"))
        c_at = build.add(place("c", (i, "c_rs")), j)
        sizes = build.sub(i_hi, i), build.sub(j_hi, j), build.sub(k_hi, k)
        first = self.compare(i, "==", self.read(Word.ROW_LO))
        self.pack(plan, first, a_at, b_at, sizes)
        self.multiply(plan, k, a_at, b_at, c_at, sizes)
        self.advance(i_hi, j_hi, k_hi, j, item)
        return self.compare(k_hi, ">=", fn["k"])

    def call(self, name: str, *arguments: Value) -> None:
        """Call an exported function of the library."""
        self.build.call(self.module.globals[f"{name}_{self.shape.dtype}"], arguments)

    def pack(
        self, plan: Plan, first: Value, a_at: Value, b_at: Value, sizes: tuple[Value, Value, Value]
    ) -> None:
        """Pack the block of B before its first row block, and the block of A."""
        fn, (m, n, k) = self.fn, sizes
        with fn.when(self.build.and_(plan.pack_b, first)):
            operand = (fn["b"], b_at, fn["b_rs"], fn["b_cs"])
            self.call("gemm_pack_b", *operand, k, n, fn["workspace"], plan.b_pack)
        with fn.when(plan.pack_a):
            operand = (fn["a"], a_at, fn["a_rs"], fn["a_cs"])
            self.call("gemm_pack_a", *operand, m, k, fn["workspace"], plan.a_pack)

    def multiply(
        self,
        plan: Plan,
        k_lo: Value,
        a_at: Value,
        b_at: Value,
        c_at: Value,
        sizes: tuple[Value, Value, Value],
    ) -> None:
        """Multiply the blocks by dot products or by tiles."""
        fn, build = self.fn, self.build
        target = (fn["c"], c_at, fn["c_rs"])
        with build.if_else(plan.dot) as (dot, tile):
            with dot:
                rows, columns = (fn["a"], a_at, fn["a_rs"]), (fn["b"], b_at, fn["b_cs"])
                self.call("gemm_dot", *rows, *columns, *target, *sizes)
            with tile:
                left = (
                    build.select(plan.pack_a, fn["workspace"], fn["a"]),
                    build.select(plan.pack_a, plan.a_pack, a_at),
                    fn["a_rs"],
                    fn["a_cs"],
                    build.zext(plan.pack_a, I64),
                )
                right = (
                    build.select(plan.pack_b, fn["workspace"], fn["b"]),
                    build.select(plan.pack_b, plan.b_pack, b_at),
                    fn["b_rs"],
                    build.zext(plan.pack_b, I64),
                )
                self.call("gemm_block", *left, *right, *target, *sizes, k_lo)

    def advance(self, i_hi: Value, j_hi: Value, k_hi: Value, j: Value, item: Value) -> None:
        """Move to the next row block; after the last to the next k, columns, batch item."""
        build = self.build
        rows_end = self.compare(i_hi, ">=", self.read(Word.ROW_HI))
        k_end = self.all_of(rows_end, self.compare(k_hi, ">=", self.fn["k"]))
        columns_end = self.all_of(k_end, self.compare(j_hi, ">=", self.read(Word.COL_HI)))
        k_now = self.read(Word.NEXT_K)
        self.write(Word.NEXT_I, build.select(rows_end, self.read(Word.ROW_LO), i_hi))
        self.write(Word.NEXT_K, build.select(k_end, const(0), build.select(rows_end, k_hi, k_now)))
        next_j = build.select(k_end, j_hi, j)
        self.write(Word.NEXT_J, build.select(columns_end, self.read(Word.COL_LO), next_j))
        self.write(Word.NEXT_ITEM, build.add(item, build.zext(columns_end, I64)))


def build_next(module: ir.Module, shape: TileShape) -> None:
    """Add ``gemm_next`` to a module that holds the other functions."""
    Driver(module, shape).emit()
