"""Builds ``gemm_dot``: C = A.B when both operands are contiguous along k.

In: a tile shape. Out: ``gemm_dot_*`` added to the module. Each register
accumulates one element of C along k, and a tree of shuffles sums the lanes at the end; nothing is
packed. It pays where few rows meet a long k (``x @ weight.T`` with a small batch, matrix-vector
products), because packing B would cost as much as the product.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from .tiles_emit import (
    I32,
    I64,
    POINTER,
    Function,
    TileShape,
    Value,
    const,
    fused_multiply_add,
    keep_loop,
    shuffle,
)

# 4 x 6 sums, four vectors of A and one of B fill 32 registers.
DOT_COLUMNS = 6
STORE_LANES = 8
DOT_TILE_PARAMS = [
    ("a", POINTER),
    ("b", POINTER),
    ("c", POINTER),
    ("a_rs", I64),
    ("b_cs", I64),
    ("c_rs", I64),
    ("columns", I64),
    ("k", I64),
]
DOT_PARAMS = [
    ("a", POINTER),
    ("a_off", I64),
    ("a_rs", I64),
    ("b", POINTER),
    ("b_off", I64),
    ("b_cs", I64),
    ("c", POINTER),
    ("c_off", I64),
    ("c_rs", I64),
    ("m", I64),
    ("n", I64),
    ("k", I64),
]


def sum_lanes(build: ir.IRBuilder, shape: TileShape, vectors: list[Value]) -> Value:
    """The sum over the lanes of each vector, as the first lanes of one short vector.

    Two vectors fold into one of the same width whose halves are half-summed; repeated until each
    vector owns a run of lanes, which then folds on itself.
    """
    lanes, run = shape.lanes, shape.lanes
    groups: list[tuple[Value, list[int]]] = [(v, [i]) for i, v in enumerate(vectors)]
    while len(groups) > 1 and run > 1:
        half = run // 2
        folded = []
        for x, y in zip(groups[::2], groups[1::2] + groups[-1:], strict=False):
            # Runs of x and y alternate: x0 y0 x1 y1 ..., each half as long.
            low, high = [], []
            for start in range(0, lanes, run):
                for base in (0, lanes):
                    low += [base + start + i for i in range(half)]
                    high += [base + start + half + i for i in range(half)]
            first = shuffle(build, x[0], y[0], low)
            second = shuffle(build, x[0], y[0], high)
            owners = [o for pair in zip(x[1], y[1], strict=True) for o in pair]
            folded.append((build.fadd(first, second), owners))
        groups, run = folded, half
    total: Value = ir.Constant(ir.VectorType(shape.scalar, STORE_LANES), None)
    for value, owners in groups:
        width = run
        while width > 1:
            width //= 2
            moved = [min(i + width, lanes - 1) for i in range(lanes)]
            value = build.fadd(value, shuffle(build, value, value, moved))
        for position, owner in enumerate(owners):
            if owner not in owners[:position]:
                element = build.extract_element(value, const(position * run, I32))
                total = build.insert_element(total, element, const(owner, I32))
    return total


def build_dot_tile(module: ir.Module, shape: TileShape, rows: int) -> Function:
    """``rows x DOT_COLUMNS`` elements of C; byte strides; ``columns`` of them are real."""
    fn = Function(module, f"dot_{shape.dtype}_{rows}", DOT_TILE_PARAMS, internal=True)
    build, size = fn.build, shape.itemsize
    width = shape.lanes * size
    last = build.sub(fn["columns"], const(1))
    a_rows = [fn.at(fn["a"], build.mul(const(i), fn["a_rs"])) for i in range(rows)]
    b_columns = []
    for j in range(DOT_COLUMNS):
        # Columns past the edge read the last one again and are not stored.
        real = build.icmp_signed("<", const(j), last)
        b_columns.append(fn.at(fn["b"], build.mul(build.select(real, const(j), last), fn["b_cs"])))
    fma = fused_multiply_add(module, shape)

    def step(offset: Value, sums: Sequence[Value], mask: Value | None) -> list[Value]:
        left = [fn.load_vector(shape, fn.at(row, offset), mask) for row in a_rows]
        totals = list(sums)
        for j, column in enumerate(b_columns):
            right = fn.load_vector(shape, fn.at(column, offset), mask)
            for i in range(rows):
                at = i * DOT_COLUMNS + j
                totals[at] = build.call(fma, [left[i], right, totals[at]])
        return totals

    # The masked remainder of k goes first: its sums start the loop.
    rest = build.and_(fn["k"], const(shape.lanes - 1))
    zero = ir.Constant(shape.vector, None)
    begin = step(const(0), [zero] * (rows * DOT_COLUMNS), fn.mask(rest, shape.lanes))
    skipped = build.mul(rest, const(size))
    end = build.mul(fn["k"], const(size))
    before = build.block
    head, body, after = (fn.function.append_basic_block(n) for n in ("head", "k_loop", "k_done"))
    build.branch(head)
    build.position_at_end(head)
    offset = build.phi(I64)
    sums = [build.phi(shape.vector) for _ in begin]
    build.cbranch(build.icmp_signed("<", offset, end), body, after)
    build.position_at_end(body)
    totals = step(offset, sums, None)
    following = build.add(offset, const(width))
    keep_loop(build.branch(head))
    offset.add_incoming(skipped, before)
    offset.add_incoming(following, body)
    for phi, first, total in zip(sums, begin, totals, strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(total, body)
    build.position_at_end(after)
    short = TileShape(shape.dtype, STORE_LANES, rows, 1)
    mask = fn.mask(fn["columns"], STORE_LANES)
    for i in range(rows):
        chosen = sums[i * DOT_COLUMNS : (i + 1) * DOT_COLUMNS]
        pointer = fn.at(fn["c"], build.mul(const(i), fn["c_rs"]))
        fn.store_vector(short, sum_lanes(build, shape, chosen), pointer, mask)
    fn.finish()
    return fn


def build_dot(module: ir.Module, shape: TileShape) -> None:
    """``gemm_dot``: dot-product tiles over an m x n block, any strides of C."""
    heights = [4, 2, 1] if shape.rows >= 8 else [2, 1]
    tiles = {rows: build_dot_tile(module, shape, rows) for rows in heights}
    fn = Function(module, f"gemm_dot_{shape.dtype}", DOT_PARAMS, internal=False)
    build, size = fn.build, const(shape.itemsize)
    a, b, c = (fn.at(fn[name], build.mul(fn[f"{name}_off"], size)) for name in "abc")
    a_rs, b_cs, c_rs = (build.mul(fn[name], size) for name in ("a_rs", "b_cs", "c_rs"))
    with fn.loop(const(0), fn["n"], DOT_COLUMNS) as j:
        left = build.sub(fn["n"], j)
        few = build.icmp_signed("<", left, const(DOT_COLUMNS))
        columns = build.select(few, left, const(DOT_COLUMNS))
        b_at, c_at = fn.at(b, build.mul(j, b_cs)), fn.at(c, build.mul(j, size))
        row = fn.local(I64, const(0))
        for rows, tile in tiles.items():
            stop = build.sub(fn["m"], const(rows - 1))
            with fn.loop(fn.get(row), stop, rows) as i:
                fn.call(
                    tile,
                    fn.at(a, build.mul(i, a_rs)),
                    b_at,
                    fn.at(c_at, build.mul(i, c_rs)),
                    *(a_rs, b_cs, c_rs, columns, fn["k"]),
                )
                build.store(build.add(i, const(rows)), row)
    fn.finish()
