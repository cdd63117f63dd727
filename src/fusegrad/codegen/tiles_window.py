"""Builds the native functions of convolutions: a product through tables, and a transposition.

In: a tile shape, with ``transpose_square`` of ``tiles_pack.py``. Out: ``window_sweep_*`` and
``window_turn_*`` added to the module. ``windows.py`` builds the tables, ``convolve.py`` writes the
kernels that call these, ``tiles_reference.py`` says in NumPy what they compute.

``window_sweep`` is a matrix product whose operands are found through two tables of byte offsets:
element (i, k) of A lies at ``i * a_rs + ks[k].a``, and vector v of row k of B at
``vs[v].b + ks[k].b``. A convolution reads its image in place that way: nothing is copied for every
element of the window, and elements that fall outside the image are simply not in the table. A
vector is a *unit* of 64 bytes on every machine: one AVX-512 register, several of narrower ones.
"""

from __future__ import annotations

from llvmlite import ir

from .tiles_emit import (
    I1,
    I8,
    I32,
    I64,
    POINTER,
    Function,
    TileShape,
    Value,
    const,
    declare,
    fused_multiply_add,
    keep_loop,
    splat,
)
from .tiles_native import write_tile
from .tiles_pack import transpose_square

UNIT_BYTES = 64
PAIR_BYTES = 8  # two 32-bit offsets
SEGMENT_BYTES = 16

TILE_PARAMS = [
    ("a", POINTER),
    ("b", POINTER),
    ("c", POINTER),
    ("a_rs", I64),
    ("c_rs", I64),
    ("ks", POINTER),
    ("k", I64),
    ("vs", POINTER),
    ("accumulate", I64),
]
SWEEP_PARAMS = [
    ("a", POINTER),
    ("a_off", I64),
    ("a_rs", I64),
    ("b", POINTER),
    ("b_off", I64),
    ("c", POINTER),
    ("c_off", I64),
    ("c_rs", I64),
    ("m", I64),
    ("ks", POINTER),
    ("vs", POINTER),
    ("segments", POINTER),
    ("first", I64),
    ("last", I64),
    ("accumulate", I64),
]
TURN_PARAMS = [
    ("src", POINTER),
    ("src_off", I64),
    ("src_rs", I64),
    ("src_step", I64),
    ("dst", POINTER),
    ("dst_off", I64),
    ("dst_rs", I64),
    ("dst_step", I64),
    ("rows", I64),
    ("columns", I64),
    ("times", I64),
]


def window_shape(shape: TileShape, registers: int) -> tuple[int, int, int]:
    """Rows of a tile, units of a tile, vector registers of a unit."""
    parts = UNIT_BYTES // (shape.lanes * shape.itemsize)
    if parts == 1:
        return 8, 3, 1
    if parts == 2:
        return (8, 1, 2) if registers >= 32 else (6, 1, 2)
    return (6, 1, 4) if registers >= 32 else (2, 1, 4)


def offset_at(fn: Function, pointer: Value, index: int) -> Value:
    """A 32-bit table entry as an offset."""
    word = fn.build.load(fn.at(pointer, const(4 * index)), typ=I32, align=4)
    return fn.build.sext(word, I64)


def build_window_tile(
    module: ir.Module, shape: TileShape, rows: int, units: int, parts: int
) -> Function:
    """``rows x units`` of C over one run of k."""
    label = f"window_{shape.dtype}_{rows}x{units}"
    fn = Function(module, label, TILE_PARAMS, internal=True)
    build = fn.build
    width = shape.lanes * shape.itemsize
    fma = fused_multiply_add(module, shape)
    columns, cells = [], []
    places = []
    for v in range(units):
        columns.append(fn.hide(fn.at(fn["b"], offset_at(fn, fn["vs"], 2 * v))))
        places.append(fn.at(fn["c"], offset_at(fn, fn["vs"], 2 * v + 1)))
    for i in range(rows):
        step = build.mul(const(i), fn["c_rs"])
        for place in places:
            cells += [(fn.at(fn.at(place, step), const(p * width)), None) for p in range(parts)]
    adds = build.icmp_signed("!=", fn["accumulate"], const(0))
    # See ``build_tile``: LLVM may not see how the rows of A relate.
    row_offsets = [fn.hide(build.mul(const(i), fn["a_rs"])) for i in range(min(rows, 4))]
    halves = [fn["a"]] + [fn.hide(fn.at(fn["a"], build.mul(const(4), fn["a_rs"])))] * (rows > 4)
    end = fn.at(fn["ks"], build.mul(fn["k"], const(PAIR_BYTES)))
    before = build.block
    head, body, after = (fn.function.append_basic_block(n) for n in ("k_head", "k_loop", "k_done"))
    build.branch(head)
    build.position_at_end(head)
    pair = build.phi(POINTER)
    sums = [build.phi(shape.vector) for _ in range(rows * units * parts)]
    build.cbranch(build.icmp_unsigned("!=", pair, end), body, after)
    build.position_at_end(body)
    a_step, b_step = offset_at(fn, pair, 0), offset_at(fn, pair, 1)
    right = [
        fn.load_vector(shape, fn.at(fn.at(column, b_step), const(p * width)))
        for column in columns
        for p in range(parts)
    ]
    left = [fn.at(half, a_step) for half in halves]
    totals = []
    for i in range(rows):
        pointer = fn.at(left[i // 4], row_offsets[i % 4])
        scalar = build.load(pointer, typ=shape.scalar, align=shape.itemsize)
        a_vector = splat(build, scalar, shape.lanes)
        old = sums[i * units * parts : (i + 1) * units * parts]
        totals += [
            build.call(fma, [a_vector, vector, total])
            for vector, total in zip(right, old, strict=True)
        ]
    following = fn.at(pair, const(PAIR_BYTES))
    keep_loop(build.branch(head))
    zero = ir.Constant(shape.vector, None)
    pair.add_incoming(fn["ks"], before)
    pair.add_incoming(following, body)
    for phi, total in zip(sums, totals, strict=True):
        phi.add_incoming(zero, before)
        phi.add_incoming(total, body)
    build.position_at_end(after)
    write_tile(fn, shape, sums, cells, adds)
    fn.finish()
    return fn


def build_window_sweep(module: ir.Module, shape: TileShape, registers: int) -> None:
    """``window_sweep``: all tiles of some segments of the tables.

    A segment ``(first k, count, first v, count)`` is a run of vectors that meet the same k.
    """
    rows, units, parts = window_shape(shape, registers)
    heights = [h for h in (8, 6, 4, 2, 1) if h == rows or (h in (4, 2, 1) and h < rows)]
    tiles = {
        (h, u): build_window_tile(module, shape, h, u, parts)
        for h in heights
        for u in range(1, units + 1)
    }
    fn = Function(module, f"window_sweep_{shape.dtype}", SWEEP_PARAMS, internal=False)
    build, size = fn.build, const(shape.itemsize)
    a, b, c = (fn.at(fn[name], build.mul(fn[f"{name}_off"], size)) for name in "abc")
    a_rs, c_rs = build.mul(fn["a_rs"], size), build.mul(fn["c_rs"], size)

    def column(ks: Value, k: Value, vs: Value, wide: int) -> None:
        """All row tiles of ``wide`` units."""
        row = fn.local(I64, const(0))
        for height in heights:
            stop = build.sub(fn["m"], const(height - 1))
            with fn.loop(fn.get(row), stop, height) as i:
                a_at, c_at = fn.at(a, build.mul(i, a_rs)), fn.at(c, build.mul(i, c_rs))
                operands = (a_at, b, c_at, a_rs, c_rs, ks, k, vs, fn["accumulate"])
                fn.call(tiles[height, wide], *operands)
                build.store(build.add(i, const(height)), row)

    with fn.loop(fn["first"], fn["last"]) as s:
        segment = fn.at(fn["segments"], build.mul(s, const(SEGMENT_BYTES)))
        k_lo, k, v_lo, v = (offset_at(fn, segment, word) for word in range(4))
        ks = fn.at(fn["ks"], build.mul(k_lo, const(PAIR_BYTES)))
        vs = fn.at(fn["vs"], build.mul(v_lo, const(PAIR_BYTES)))
        left, at = fn.local(I64, v), fn.local(POINTER, vs)
        with fn.loop(const(0), v):
            remaining = fn.get(left)
            # Widest tiles, but rather two of two than one of three and one of one.
            two = build.icmp_signed("==", remaining, const(4))
            most = build.select(two, const(2), const(units)) if units == 3 else const(units)
            fits = build.icmp_signed("<", remaining, most)
            wide = build.select(fits, remaining, most)
            done = fn.function.append_basic_block("column_done")
            switch = build.switch(wide, done)
            for u in range(1, units + 1):
                block = fn.function.append_basic_block(f"units_{u}")
                switch.add_case(const(u), block)
                build.position_at_end(block)
                column(ks, k, fn.get(at, POINTER), u)
                build.branch(done)
            build.position_at_end(done)
            step = build.mul(wide, const(PAIR_BYTES))
            build.store(fn.at(fn.get(at, POINTER), step), at)
            build.store(build.sub(remaining, wide), left)
    fn.finish()


def build_window_turn(module: ir.Module, shape: TileShape, *, adds: bool) -> None:
    """``window_turn``: ``dst[column, row] = src[row, column]``, several times at equal steps.

    Whole squares in registers, the edges element by element. ``window_turn_add`` adds one number to
    all of them, another one each time: the bias of a channel.
    """
    name = f"window_turn_{'add_' if adds else ''}{shape.dtype}"
    extra = [("bias", POINTER), ("bias_off", I64)] if adds else []
    fn = Function(module, name, [*TURN_PARAMS, *extra], internal=False)
    build, size, lanes = fn.build, const(shape.itemsize), shape.lanes

    def scaled(name: str) -> Value:
        return build.mul(fn[name], size)

    src, dst = fn.at(fn["src"], scaled("src_off")), fn.at(fn["dst"], scaled("dst_off"))
    src_rs, dst_rs = scaled("src_rs"), scaled("dst_rs")
    whole_rows = build.and_(fn["rows"], const(-lanes))
    whole_columns = build.and_(fn["columns"], const(-lanes))

    def element(source: Value, target: Value, i: Value, j: Value, more: Value | None) -> None:
        at = fn.at(fn.at(source, build.mul(i, src_rs)), build.mul(j, size))
        value = build.load(at, typ=shape.scalar, align=shape.itemsize)
        to = fn.at(fn.at(target, build.mul(j, dst_rs)), build.mul(i, size))
        build.store(value if more is None else build.fadd(value, more), to, align=shape.itemsize)

    with fn.loop(const(0), fn["times"]) as t:
        source = fn.at(src, build.mul(build.mul(t, fn["src_step"]), size))
        target = fn.at(dst, build.mul(build.mul(t, fn["dst_step"]), size))
        more, every = None, None
        if adds:
            place = build.mul(build.add(fn["bias_off"], t), size)
            more = build.load(fn.at(fn["bias"], place), typ=shape.scalar, align=shape.itemsize)
            every = splat(build, more, lanes)
        with fn.loop(const(0), whole_columns, lanes) as j:
            with fn.loop(const(0), whole_rows, lanes) as i:
                at = fn.at(fn.at(source, build.mul(i, src_rs)), build.mul(j, size))
                to = fn.at(fn.at(target, build.mul(j, dst_rs)), build.mul(i, size))
                square = [
                    fn.load_vector(shape, fn.at(at, build.mul(const(q), src_rs)))
                    for q in range(lanes)
                ]
                for q, vector in enumerate(transpose_square(build, shape, square)):
                    if every is not None:
                        vector = build.fadd(vector, every)
                    fn.store_vector(shape, vector, fn.at(to, build.mul(const(q), dst_rs)))
        # The columns past the last square, then the rows below the squares.
        with fn.loop(const(0), fn["rows"]) as i, fn.loop(whole_columns, fn["columns"]) as j:
            element(source, target, i, j, more)
        with fn.loop(whole_rows, fn["rows"]) as i, fn.loop(const(0), whole_columns) as j:
            element(source, target, i, j, more)
    fn.finish()


CLEAR_PARAMS = [("pointer", POINTER), ("offset", I64), ("count", I64)]


def build_window_clear(module: ir.Module, shape: TileShape) -> None:
    """``window_clear``: ``count`` zeros."""
    fn = Function(module, f"window_clear_{shape.dtype}", CLEAR_PARAMS, internal=False)
    build, size = fn.build, const(shape.itemsize)
    kinds = [POINTER, I8, I64, I1]
    target = declare(module, "llvm.memset.p0.i64", ir.VoidType(), kinds)
    at = fn.at(fn["pointer"], build.mul(fn["offset"], size))
    build.call(target, [at, const(0, I8), build.mul(fn["count"], size), const(0, I1)])
    fn.finish()


JOB_WORDS, TURN_WORDS, WORD_BYTES = 16, 9, 8
OPERANDS = [
    (f"{name}{suffix}", kind)
    for name in ("a", "w", "image", "result")
    for suffix, kind in (("", POINTER), ("_off", I64))
]
JOB_TABLES = [
    ("ks", POINTER),
    ("vs", POINTER),
    ("segments", POINTER),
    ("turns", POINTER),
    ("jobs", POINTER),
    ("job", I64),
    ("w_rs", I64),
    ("result_rs", I64),
]


def build_window_job(module: ir.Module, shape: TileShape, *, adds: bool) -> None:
    """``window_job``: turns into ``image``, a product into ``result``, turns out of it into ``c``.

    All of it as one row of the table of jobs says (``schedule/window_jobs.py``): the loops of a
    kernel are data, so that its text stays short and compiles fast.
    """
    kind = "add_" if adds else ""
    extra = [("bias", POINTER), ("bias_off", I64)] if adds else []
    params = [*OPERANDS, ("c", POINTER), *extra, *JOB_TABLES]
    fn = Function(module, f"window_job_{kind}{shape.dtype}", params, internal=False)
    build = fn.build

    def words(table: str, index: Value, count: int) -> list[Value]:
        row = fn.at(fn[table], build.mul(index, const(count * WORD_BYTES)))
        return [
            build.load(fn.at(row, const(k * WORD_BYTES)), typ=I64, align=8) for k in range(count)
        ]

    def call(name: str, *arguments: Value) -> None:
        build.call(module.globals[f"{name}_{shape.dtype}"], arguments)

    job = words("jobs", fn["job"], JOB_WORDS)
    in_lo, in_hi, w_at, rows, seg_lo, seg_hi, at, more, out_lo, out_hi, channel = job[:11]
    with fn.loop(in_lo, in_hi) as t:
        turn = words("turns", t, TURN_WORDS)
        source = (fn["a"], build.add(turn[0], fn["a_off"]), *turn[1:3])
        call("window_turn", *source, fn["image"], build.add(turn[3], fn["image_off"]), *turn[4:])
    result = build.add(fn["result_off"], at)
    call(
        "window_sweep",
        *(fn["w"], build.add(fn["w_off"], w_at), fn["w_rs"], fn["image"], fn["image_off"]),
        *(fn["result"], result, fn["result_rs"], rows),
        *(fn["ks"], fn["vs"], fn["segments"], seg_lo, seg_hi, more),
    )
    with fn.loop(out_lo, out_hi) as t:
        turn = words("turns", t, TURN_WORDS)
        source = (fn["result"], build.add(turn[0], result), *turn[1:3])
        bias = (fn["bias"], build.add(fn["bias_off"], channel)) if adds else ()
        name = "window_turn_add" if adds else "window_turn"
        call(name, *source, fn["c"], *turn[3:], *bias)
    count, first, step, width = job[11:15]
    with fn.loop(const(0), count) as k:
        place = build.add(fn["result_off"], build.add(first, build.mul(k, step)))
        call("window_clear", fn["result"], place, width)
    fn.finish()


def build_windows(module: ir.Module, shape: TileShape, registers: int) -> None:
    """Add all functions."""
    build_window_sweep(module, shape, registers)
    build_window_turn(module, shape, adds=False)
    build_window_turn(module, shape, adds=True)
    build_window_clear(module, shape)
    build_window_job(module, shape, adds=False)
    build_window_job(module, shape, adds=True)
