"""Builds the native packing functions: strided operands to contiguous panels.

In: a tile shape. Out: ``gemm_pack_b_*`` (panels as wide as the tile, k-major) and
``gemm_pack_a_*`` (panels as high as the tile, k-major) added to the module. Vector copies where the
panel axis is contiguous, transposition in registers where the k axis of B is, element by element
otherwise. ``gemm_block`` of ``tiles_native.py`` reads the panels.
"""

from __future__ import annotations

from llvmlite import ir

from .tiles_emit import I64, POINTER, Function, TileShape, Value, const, shuffle
from .tiles_native import sweep_panels

# Rows of k copied to one panel before the next: long enough to write whole pages, few enough
# that the pages read stay in the first-level TLB.
COPY_ROWS = 16

PACK_B_PARAMS = [
    ("b", POINTER),
    ("b_off", I64),
    ("rs", I64),
    ("cs", I64),
    ("k", I64),
    ("n", I64),
    ("dst", POINTER),
    ("dst_off", I64),
]


def transpose_square(build: ir.IRBuilder, shape: TileShape, rows: list[Value]) -> list[Value]:
    """Transpose ``lanes x lanes`` elements held in as many vectors.

    Stages inside 128-bit lanes first (``unpck``), then whole 128-bit lanes (``shuf128``): each
    step is one instruction on x86. ``labels`` carries what every lane holds, so that the order of
    the result is derived, not tabulated.
    """
    lanes, inner = shape.lanes, 16 // shape.itemsize
    vectors = [(row, [(i, j) for j in range(lanes)]) for i, row in enumerate(rows)]

    def combine(distance: int, low: list[int], high: list[int]) -> None:
        for i in range(lanes):
            if i & distance:
                continue
            (x, x_labels), (y, y_labels) = vectors[i], vectors[i + distance]
            both = x_labels + y_labels
            for at, pick in ((i, low), (i + distance, high)):
                vectors[at] = (shuffle(build, x, y, pick), [both[p] for p in pick])

    distance = 1
    while distance < inner:
        starts = range(0, lanes, inner)
        low: list[int] = []
        high: list[int] = []
        for start in starts:
            for part, half in ((low, 0), (high, inner // 2)):
                # Interleave groups of ``distance`` elements of the two sources.
                for group in range(0, inner // 2, distance):
                    first = start + half + group
                    part += [first + d for d in range(distance)]
                    part += [lanes + first + d for d in range(distance)]
        combine(distance, low, high)
        distance *= 2
    while distance < lanes:
        blocks = range(0, 2 * lanes, inner)
        low = [p + d for p in blocks[::2] for d in range(inner)]
        high = [p + d for p in blocks[1::2] for d in range(inner)]
        combine(distance, low, high)
        distance *= 2
    ordered: list[Value] = [None] * lanes
    for value, labels in vectors:
        column = labels[0][1]
        if labels != [(i, column) for i in range(lanes)]:
            raise AssertionError("transpose network does not transpose")
        ordered[column] = value
    return ordered


def build_transpose_strip(module: ir.Module, shape: TileShape) -> Function:
    """Pack ``lanes`` columns of B whose k axis is contiguous, k >= lanes; byte strides.

    ``src`` points at (k=0, first column); columns past ``valid`` repeat the last valid one: the
    tile masks them out, and reading past the matrix is not allowed. The last square overlaps the
    one before where k is not a multiple of the width.
    """
    params = [
        ("src", POINTER),
        ("dst", POINTER),
        ("cs", I64),
        ("step", I64),
        ("k", I64),
        ("valid", I64),
    ]
    fn = Function(module, f"strip_{shape.dtype}", params, internal=True)
    build, lanes = fn.build, const(shape.lanes)
    last = build.sub(fn["valid"], const(1))
    columns = []
    for j in range(shape.lanes):
        inside = build.icmp_signed("<", const(j), last)
        column = build.select(inside, const(j), last)
        columns.append(fn.at(fn["src"], build.mul(column, fn["cs"])))
    last_square = build.sub(fn["k"], lanes)
    with fn.loop(const(0), fn["k"], shape.lanes) as k:
        inside = build.icmp_signed("<", k, last_square)
        position = build.select(inside, k, last_square)
        offset = build.mul(position, const(shape.itemsize))
        rows = [fn.load_vector(shape, fn.at(column, offset)) for column in columns]
        target = fn.at(fn["dst"], build.mul(position, fn["step"]))
        for q, vector in enumerate(transpose_square(build, shape, rows)):
            fn.store_vector(shape, vector, fn.at(target, build.mul(const(q), fn["step"])))
    fn.finish()
    return fn


def build_copy_panel(module: ir.Module, shape: TileShape) -> Function:
    """Pack one panel of B whose columns are contiguous: copy ``vectors`` vectors per k."""
    params = [
        ("src", POINTER),
        ("dst", POINTER),
        ("rs", I64),
        ("k", I64),
        ("vectors", I64),
        ("valid", I64),
    ]
    fn = Function(module, f"copy_{shape.dtype}", params, internal=True)
    build = fn.build
    width = shape.lanes * shape.itemsize
    mask = fn.mask(fn["valid"], shape.lanes)
    done = fn.function.append_basic_block("copied")
    switch = build.switch(fn["vectors"], done)
    for vectors in range(1, shape.vectors + 1):
        block = fn.function.append_basic_block(f"copy_{vectors}")
        switch.add_case(const(vectors), block)
        build.position_at_end(block)
        with fn.loop(const(0), fn["k"]) as k:
            row = fn.at(fn["src"], build.mul(k, fn["rs"]))
            target = fn.at(fn["dst"], build.mul(k, const(vectors * width)))
            for v in range(vectors):
                lanes = mask if v == vectors - 1 else None
                vector = fn.load_vector(shape, fn.at(row, const(v * width)), lanes)
                fn.store_vector(shape, vector, fn.at(target, const(v * width)))
        build.branch(done)
    build.position_at_end(done)
    fn.finish()
    return fn


def build_element_panel(module: ir.Module, shape: TileShape) -> Function:
    """Pack one panel element by element, any strides (bytes); ``step`` elements per k row."""
    params = [
        ("src", POINTER),
        ("dst", POINTER),
        ("rs", I64),
        ("cs", I64),
        ("step", I64),
        ("k", I64),
        ("width", I64),
    ]
    fn = Function(module, f"element_{shape.dtype}", params, internal=True)
    build = fn.build
    size = const(shape.itemsize)
    with fn.loop(const(0), fn["k"]) as p:
        row = fn.at(fn["src"], build.mul(p, fn["rs"]))
        target = fn.at(fn["dst"], build.mul(build.mul(p, fn["step"]), size))
        with fn.loop(const(0), fn["width"]) as j:
            pointer = fn.at(row, build.mul(j, fn["cs"]))
            element = build.load(pointer, typ=shape.scalar, align=shape.itemsize)
            build.store(element, fn.at(target, build.mul(j, size)), align=shape.itemsize)
    fn.finish()
    return fn


def build_pack(module: ir.Module, shape: TileShape) -> None:
    """Add ``gemm_pack_a`` and ``gemm_pack_b``."""
    element = build_element_panel(module, shape)
    build_pack_a(module, shape, element)
    build_pack_b(module, shape, element)


def build_pack_b(module: ir.Module, shape: TileShape, element: Function) -> None:
    """``gemm_pack_b``: the panel that starts at column j begins at ``dst + j * k``."""
    strip = build_transpose_strip(module, shape)
    copy = build_copy_panel(module, shape)
    fn = Function(module, f"gemm_pack_b_{shape.dtype}", PACK_B_PARAMS, internal=False)
    build = fn.build
    size, lanes = const(shape.itemsize), const(shape.lanes)

    def scaled(value: Value) -> Value:
        return build.mul(value, size)

    src = fn.at(fn["b"], scaled(fn["b_off"]))
    dst = fn.at(fn["dst"], scaled(fn["dst_off"]))
    rs, cs, k = scaled(fn["rs"]), scaled(fn["cs"]), fn["k"]

    def strips(start: Value, vectors: Value, valid: Value) -> None:
        source = fn.at(src, build.mul(start, cs))
        target = fn.at(dst, scaled(build.mul(start, k)))
        row = build.mul(vectors, lanes)
        with fn.loop(const(0), vectors) as v:
            last = build.icmp_signed("==", v, build.sub(vectors, const(1)))
            column = build.mul(v, lanes)
            fn.call(
                strip,
                fn.at(source, build.mul(column, cs)),
                fn.at(target, scaled(column)),
                cs,
                scaled(row),
                k,
                build.select(last, valid, lanes),
            )

    def elements(start: Value, vectors: Value, valid: Value) -> None:
        source = fn.at(src, build.mul(start, cs))
        target = fn.at(dst, scaled(build.mul(start, k)))
        row = build.mul(vectors, lanes)
        width = build.sub(row, build.sub(lanes, valid))
        fn.call(element, source, target, rs, cs, row, k, width)

    square = build.and_(
        build.icmp_signed("==", fn["rs"], const(1)), build.icmp_signed(">=", k, lanes)
    )
    with build.if_else(build.icmp_signed("==", fn["cs"], const(1))) as (contiguous, other):
        with contiguous, fn.loop(const(0), k, COPY_ROWS) as first:
            # A few rows at a time over all panels: reads whole pages, not narrow columns.
            left = build.sub(k, first)
            few = build.icmp_signed("<", left, const(COPY_ROWS))
            rows = build.select(few, left, const(COPY_ROWS))

            def copies(start: Value, vectors: Value, valid: Value) -> None:
                source = fn.at(fn.at(src, build.mul(first, rs)), scaled(start))
                depth = build.mul(first, build.mul(vectors, lanes))
                target = fn.at(dst, scaled(build.add(build.mul(start, k), depth)))
                fn.call(copy, source, target, rs, rows, vectors, valid)

            sweep_panels(fn, shape, const(0), fn["n"], copies)
        with other, build.if_else(square) as (transposed, strided):
            with transposed:
                sweep_panels(fn, shape, const(0), fn["n"], strips)
            with strided:
                sweep_panels(fn, shape, const(0), fn["n"], elements)
    fn.finish()


PACK_A_PARAMS = [
    ("a", POINTER),
    ("a_off", I64),
    ("rs", I64),
    ("cs", I64),
    ("m", I64),
    ("k", I64),
    ("dst", POINTER),
    ("dst_off", I64),
]


def build_pack_a(module: ir.Module, shape: TileShape, element: Function) -> None:
    """``gemm_pack_a``: the panel of row i (a multiple of the tile height) starts at ``i * k``."""
    short = TileShape(shape.dtype, shape.rows, shape.rows, 1)
    fn = Function(module, f"gemm_pack_a_{shape.dtype}", PACK_A_PARAMS, internal=False)
    build = fn.build
    size, rows = const(shape.itemsize), const(shape.rows)
    src = fn.at(fn["a"], build.mul(fn["a_off"], size))
    dst = fn.at(fn["dst"], build.mul(fn["dst_off"], size))
    rs, cs = build.mul(fn["rs"], size), build.mul(fn["cs"], size)
    contiguous = build.icmp_signed("==", fn["rs"], const(1))
    whole = build.mul(build.sdiv(fn["m"], rows), rows)
    full = build.select(contiguous, whole, const(0))
    blocked = build.and_(fn["k"], const(-COPY_ROWS))

    def copy(i: Value, p: Value, count: int) -> None:
        source = fn.at(src, build.add(build.mul(i, size), build.mul(p, cs)))
        depth = build.add(build.mul(i, fn["k"]), build.mul(p, rows))
        target = fn.at(dst, build.mul(depth, size))
        for q in range(count):
            vector = fn.load_vector(short, fn.at(source, build.mul(const(q), cs)))
            fn.store_vector(short, vector, fn.at(target, const(q * shape.rows * shape.itemsize)))

    with fn.loop(const(0), blocked, COPY_ROWS) as p, fn.loop(const(0), full, shape.rows) as i:
        copy(i, p, COPY_ROWS)
    with fn.loop(const(0), full, shape.rows) as i, fn.loop(blocked, fn["k"]) as p:
        copy(i, p, 1)
    with fn.loop(full, fn["m"], shape.rows) as i:
        source = fn.at(src, build.mul(i, rs))
        target = fn.at(dst, build.mul(build.mul(i, fn["k"]), size))
        left = build.sub(fn["m"], i)
        few = build.icmp_signed("<", left, rows)
        width = build.select(few, left, rows)
        fn.call(element, source, target, cs, rs, rows, fn["k"], width)
    fn.finish()
