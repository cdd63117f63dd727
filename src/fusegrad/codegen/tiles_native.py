"""Builds the native register-tile functions as LLVM IR text.

In: the vector width and the number of vector registers of the machine. Out: one LLVM module with
``gemm_block_*``, ``gemm_pack_a_*`` and ``gemm_pack_b_*`` for ``f32`` and ``f64``. ``tiles.py``
names their signatures, ``tiles_text.py`` writes the macro loops that call them, and
``tiles_reference.py`` says in NumPy what each one computes.

A tile keeps ``rows x vectors`` accumulators of C in registers and walks over k: load ``vectors``
vectors of a row of B, broadcast ``rows`` scalars of A, multiply-add. All other code here feeds it.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from .tiles_emit import (
    I64,
    POINTER,
    Function,
    TileShape,
    Value,
    const,
    fused_multiply_add,
    keep_loop,
    splat,
)

TILE_PARAMS = [
    ("a", POINTER),
    ("b", POINTER),
    ("c", POINTER),
    ("a_rs", I64),
    ("a_cs", I64),
    ("b_rs", I64),
    ("c_rs", I64),
    ("k", I64),
    ("valid", I64),
    ("accumulate", I64),
]


def build_tile(
    module: ir.Module, shape: TileShape, rows: int, vectors: int, *, masked: bool
) -> Function:
    """One ``rows x vectors`` tile of C over the whole k; strides are in bytes.

    ``valid`` lanes of the last vector belong to the matrix when ``masked``.
    """
    label = f"tile_{shape.dtype}_{rows}x{vectors}{'_masked' if masked else ''}"
    fn = Function(module, label, TILE_PARAMS, internal=True)
    build = fn.build
    width = shape.lanes * shape.itemsize
    masks: list[Value | None] = [None] * vectors
    if masked:
        masks[-1] = fn.mask(fn["valid"], shape.lanes)
    fma = fused_multiply_add(module, shape)
    # Rows 0..3 and 4..7 as offsets from two moving pointers. LLVM may not see how these relate:
    # it would rebuild them from one another, one after the other, in every turn of the loop.
    row_offsets = [fn.hide(build.mul(const(i), fn["a_rs"])) for i in range(min(rows, 4))]
    halves = [fn["a"]] + [fn.hide(fn.at(fn["a"], build.mul(const(4), fn["a_rs"])))] * (rows > 4)
    cells = tile_cells(fn, shape, rows, masks)
    adds = build.icmp_signed("!=", fn["accumulate"], const(0))
    with fn.when(adds):
        for pointer, _ in cells:
            fn.prefetch(pointer)
    before, head = build.block, fn.function.append_basic_block("k_loop")
    build.branch(head)
    build.position_at_end(head)
    left, b_row = build.phi(I64), build.phi(POINTER)
    a_halves = [build.phi(POINTER) for _ in halves]
    sums = [build.phi(shape.vector) for _ in range(rows * vectors)]
    b_vectors = [
        fn.load_vector(shape, fn.at(b_row, const(v * width)), masks[v]) for v in range(vectors)
    ]
    totals = []
    for i in range(rows):
        scalar = build.load(
            fn.at(a_halves[i // 4], row_offsets[i % 4]), typ=shape.scalar, align=shape.itemsize
        )
        a_vector = splat(build, scalar, shape.lanes)
        old = sums[i * vectors : (i + 1) * vectors]
        totals += [
            build.call(fma, [a_vector, b_vector, total])
            for b_vector, total in zip(b_vectors, old, strict=True)
        ]
    next_left = build.sub(left, const(1))
    zero = ir.Constant(shape.vector, None)
    carried = [(left, fn["k"], next_left), (b_row, fn["b"], fn.at(b_row, fn["b_rs"]))]
    for phi, half in zip(a_halves, halves, strict=True):
        carried.append((phi, half, fn.at(phi, fn["a_cs"])))
    carried += [(phi, zero, total) for phi, total in zip(sums, totals, strict=True)]
    for phi, first, following in carried:
        phi.add_incoming(first, before)
        phi.add_incoming(following, head)
    after = fn.function.append_basic_block("k_done")
    keep_loop(build.cbranch(build.icmp_signed(">", next_left, const(0)), head, after))
    build.position_at_end(after)
    write_tile(fn, shape, totals, cells, adds)
    fn.finish()
    return fn


def tile_cells(
    fn: Function, shape: TileShape, rows: int, masks: list[Value | None]
) -> list[tuple[Value, Value | None]]:
    """Address and lane mask of each vector of the C tile, row by row."""
    width = shape.lanes * shape.itemsize
    c_rows = [fn.at(fn["c"], fn.build.mul(const(i), fn["c_rs"])) for i in range(rows)]
    return [(fn.at(row, const(v * width)), mask) for row in c_rows for v, mask in enumerate(masks)]


def write_tile(
    fn: Function,
    shape: TileShape,
    totals: list[Value],
    cells: list[tuple[Value, Value | None]],
    adds: Value,
) -> None:
    """Store the accumulators to C, or add them to it."""
    build = fn.build
    start = build.block
    add, write = (fn.function.append_basic_block(name) for name in ("add", "write"))
    build.cbranch(adds, add, write)
    build.position_at_end(add)
    added = [
        build.fadd(total, fn.load_vector(shape, pointer, mask))
        for total, (pointer, mask) in zip(totals, cells, strict=True)
    ]
    build.branch(write)
    build.position_at_end(write)
    values = []
    for total, new in zip(totals, added, strict=True):
        value = build.phi(shape.vector)
        value.add_incoming(total, start)
        value.add_incoming(new, add)
        values.append(value)
    for value, (pointer, mask) in zip(values, cells, strict=True):
        fn.store_vector(shape, value, pointer, mask)


PANEL_PARAMS = [
    ("a", POINTER),
    ("b", POINTER),
    ("c", POINTER),
    ("a_rs", I64),
    ("a_cs", I64),
    ("a_step", I64),
    ("b_rs", I64),
    ("c_rs", I64),
    ("m", I64),
    ("k", I64),
    ("valid", I64),
    ("accumulate", I64),
]


def build_panel(
    module: ir.Module, shape: TileShape, rows: int, vectors: int, *, masked: bool
) -> Function:
    """All row tiles of one column panel.

    Tiles of ``rows`` rows first, then at most one tile of each smaller height.
    """
    heights = [rows, *(height for height in (4, 2, 1) if height < rows)]
    label = f"panel_{shape.dtype}_{rows}x{vectors}{'_masked' if masked else ''}"
    fn = Function(module, label, PANEL_PARAMS, internal=True)
    build = fn.build
    a_slot, c_slot = fn.local(POINTER, fn["a"]), fn.local(POINTER, fn["c"])
    row = fn.local(I64, const(0))

    def tile_arguments() -> list[Value]:
        pointers = [fn.get(a_slot, POINTER), fn["b"], fn.get(c_slot, POINTER)]
        names = ("a_rs", "a_cs", "b_rs", "c_rs", "k", "valid", "accumulate")
        return pointers + [fn[name] for name in names]

    for height in heights:
        tile = build_tile(module, shape, height, vectors, masked=masked)
        start = fn.get(row)
        with fn.loop(start, build.sub(fn["m"], const(height - 1)), height) as i:
            fn.call(tile, *tile_arguments())
            build.store(build.add(i, const(height)), row)
            if height > 1:
                c_step = build.mul(fn["c_rs"], const(height))
                # ``a_step`` differs from ``rows * a_rs`` where A is packed.
                whole = height == shape.rows
                a_step = fn["a_step"] if whole else build.mul(fn["a_rs"], const(height))
                build.store(fn.at(fn.get(a_slot, POINTER), a_step), a_slot)
                build.store(fn.at(fn.get(c_slot, POINTER), c_step), c_slot)
    fn.finish()
    return fn


BLOCK_PARAMS = [
    ("a", POINTER),
    ("a_off", I64),
    ("a_rs", I64),
    ("a_cs", I64),
    ("a_packed", I64),
    ("b", POINTER),
    ("b_off", I64),
    ("b_rs", I64),
    ("b_packed", I64),
    ("c", POINTER),
    ("c_off", I64),
    ("c_rs", I64),
    ("m", I64),
    ("n", I64),
    ("k", I64),
    ("accumulate", I64),
]


def sweep_panels(
    fn: Function,
    shape: TileShape,
    first: Value,
    n: Value,
    visit: Callable[[Value, Value, Value], None],
) -> None:
    """Cut columns first..n into panels and call ``visit(column, vectors, valid)`` for each.

    Panels are three vectors wide; a remainder of one vector is avoided by two panels of two, so
    that a tile nearly always has enough independent chains to hide the multiply-add latency.
    ``vectors`` is a run-time value.
    """
    build = fn.build
    lanes = const(shape.lanes)
    total = build.sdiv(build.add(build.sub(n, first), const(shape.lanes - 1)), lanes)
    column = fn.local(I64, first)
    left = fn.local(I64, total)
    with fn.loop(const(0), total):
        remaining = fn.get(left)
        with fn.when(build.icmp_signed(">", remaining, const(0))):
            two = build.icmp_signed("==", remaining, const(shape.vectors + 1))
            most = build.select(two, const(2), const(shape.vectors))
            fits = build.icmp_signed("<", remaining, most)
            vectors = build.select(fits, remaining, most)
            start = fn.get(column)
            width = build.mul(vectors, lanes)
            tail = build.sub(n, build.add(start, build.sub(width, lanes)))
            short = build.icmp_signed("<", tail, lanes)
            visit(start, vectors, build.select(short, tail, lanes))
            build.store(build.add(start, width), column)
            build.store(build.sub(remaining, vectors), left)


def build_block(module: ir.Module, shape: TileShape) -> None:
    """``gemm_block``: sweep the tiles over an m x n block of C, panel by panel."""
    panels = {
        vectors: build_panel(module, shape, shape.rows, vectors, masked=True)
        for vectors in range(1, shape.vectors + 1)
    }
    panels[0] = panels[shape.vectors]
    if not shape.cheap_masks:
        panels[0] = build_panel(module, shape, shape.rows, shape.vectors, masked=False)
    wide = shape.rows * shape.vectors // 2
    wide_panel = build_panel(module, shape, 2, wide, masked=False)
    fn = Function(module, f"gemm_block_{shape.dtype}", BLOCK_PARAMS, internal=False)
    build = fn.build

    def scaled(value: Value) -> Value:
        return build.mul(value, const(shape.itemsize))

    a, b, c = (fn.at(fn[name], scaled(fn[f"{name}_off"])) for name in "abc")
    a_packed = build.icmp_signed("!=", fn["a_packed"], const(0))
    b_packed = build.icmp_signed("!=", fn["b_packed"], const(0))
    rows = const(shape.rows)
    a_rs = scaled(build.select(a_packed, const(1), fn["a_rs"]))
    a_cs = scaled(build.select(a_packed, rows, fn["a_cs"]))
    a_step = scaled(build.mul(rows, build.select(a_packed, fn["k"], fn["a_rs"])))
    b_column = scaled(build.select(b_packed, fn["k"], const(1)))
    b_rs, c_rs = scaled(fn["b_rs"]), scaled(fn["c_rs"])

    def call(panel: Function, column: Value, b_row: Value, valid: Value) -> None:
        b_panel = fn.at(b, build.mul(column, b_column))
        operands = (a, b_panel, fn.at(c, scaled(column)), a_rs, a_cs, a_step, b_row, c_rs)
        fn.call(panel, *operands, fn["m"], fn["k"], valid, fn["accumulate"])

    def visit(column: Value, vectors: Value, valid: Value) -> None:
        packed_row = scaled(build.mul(vectors, const(shape.lanes)))
        b_row = build.select(b_packed, packed_row, b_rs)
        full = build.icmp_signed("==", valid, const(shape.lanes))
        full = build.and_(full, build.icmp_signed("==", vectors, const(shape.vectors)))
        done = fn.function.append_basic_block("panel_done")
        switch = build.switch(build.select(full, const(0), vectors), done)
        for count, panel in panels.items():
            block = fn.function.append_basic_block(f"panel_{count}")
            switch.add_case(const(count), block)
            build.position_at_end(block)
            call(panel, column, b_row, valid)
            build.branch(done)
        build.position_at_end(done)

    with build.if_else(build.icmp_signed(">", fn["k"], const(0))) as (product, empty):
        with product:
            # Few rows: wide panels read longer runs of each row of B, which bounds the speed.
            width = wide * shape.lanes
            few = build.and_(build.icmp_signed("<", fn["m"], const(4)), build.not_(b_packed))
            runs = build.select(few, build.sdiv(fn["n"], const(width)), const(0))
            first = build.mul(runs, const(width))
            with fn.loop(const(0), first, width) as column:
                call(wide_panel, column, b_rs, const(0))
            sweep_panels(fn, shape, first, fn["n"], visit)
        with empty, fn.when(build.icmp_signed("==", fn["accumulate"], const(0))):
            clear_block(fn, shape, c, c_rs)
    fn.finish()


def clear_block(fn: Function, shape: TileShape, c: Value, c_rs: Value) -> None:
    """Zero the m x n block: the sum over an empty k."""
    zero = ir.Constant(shape.scalar, 0.0)
    with fn.loop(const(0), fn["m"]) as i:
        row = fn.at(c, fn.build.mul(i, c_rs))
        with fn.loop(const(0), fn["n"]) as j:
            pointer = fn.at(row, fn.build.mul(j, const(shape.itemsize)))
            fn.build.store(zero, pointer, align=shape.itemsize)
