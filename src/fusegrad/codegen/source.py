"""From a loop nest to the text of one Python function, and the list of what to pass to it.

The text names buffers ``p0, p1``, extents ``n0, n1``, other run-time integers ``s0, s1`` and values
``v0, v1``, so kernels of equal structure have equal text and share their machine code; comments say
which tensor and which user line they stand for. For a softmax row::

    for i0 in range(lo, hi):
        v0 = float32(-inf)
        for i1 in range(n1):
            v1 = p0[i0 * n1 + i1]
            v0 = maximum(v0, v1)
        ...
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..dtypes import DType, bool_
from ..ir.graph import Eqn, Literal
from ..schedule.index import Ix, Quotient
from ..schedule.loops import CONST, FULL, ROW, TAIL, Buffer, LoopNest, Scalar, Store
from .kernel import KernelSource

CACHE_LINE = 64


@dataclass
class Argument:
    """One run-time argument: a buffer, an integer, or scratch memory of ``size`` bytes."""

    kind: str
    buffer: Buffer | None = None
    value: int = 0
    size: int = 0


@dataclass
class Generated:
    """A kernel: canonical text for compiling, commented text for reading, its arguments."""

    source: KernelSource
    display: str
    arguments: list[Argument]
    parts: int = 1
    notes: list[str] = field(default_factory=list)


def pointer_type(dtype: DType) -> str:
    """Kernel type of a pointer to elements of ``dtype`` (booleans are bytes)."""
    return "u8*" if dtype is bool_ else f"{dtype.short}*"


def literal_text(literal: Literal) -> str:
    """A typed constant."""
    dtype, value = literal.aval.dtype, literal.value.item()
    if dtype is bool_:
        return "True" if value else "False"
    if dtype.is_floating_point:
        if math.isnan(value):
            return f"{dtype.name}(math.nan)"
        if math.isinf(value):
            return f"{dtype.name}({'-' if value < 0 else ''}math.inf)"
    return f"{dtype.name}({value!r})"


class Signature:
    """The parameters of a kernel under construction."""

    def __init__(self) -> None:
        self.params: list[tuple[str, str]] = []
        self.arguments: list[Argument] = []
        self.buffers: dict[Buffer, str] = {}
        self._ints: dict[object, str] = {}
        self._tail: list[tuple[tuple[str, str], Argument]] = []

    def buffer(self, buffer: Buffer) -> str:
        """Name of the pointer parameter of a buffer."""
        if buffer not in self.buffers:
            name = f"p{len(self.buffers)}"
            self.buffers[buffer] = name
            self.params.append((name, pointer_type(buffer.dtype)))
            self.arguments.append(Argument("buffer", buffer))
        return self.buffers[buffer]

    def scratch(self, name: str, dtype: DType | None, nbytes: int) -> str:
        """A pointer parameter to zeroed (``dtype`` None: a counter) or raw scratch memory."""
        self.params.append((name, "i64*" if dtype is None else pointer_type(dtype)))
        self.arguments.append(Argument("counter" if dtype is None else "scratch", size=nbytes))
        return name

    def integer(self, key: object, value: int, prefix: str = "s") -> str:
        """Name of an integer parameter; one per ``key``."""
        if key not in self._ints:
            count = sum(n.startswith(prefix) for n in self._ints.values())
            name = f"{prefix}{count}"
            self._ints[key] = name
            self._tail.append(((name, "i64"), Argument("int", value=value)))
        return self._ints[key]

    def finish(self) -> tuple[tuple[tuple[str, str], ...], list[Argument]]:
        """All parameters, pointers first, and their arguments."""
        params = [*self.params, *[p for p, _ in self._tail]]
        return tuple(params), [*self.arguments, *[a for _, a in self._tail]]


class Body:
    """Prints scalars of a nest as statements, each at most once per region."""

    def __init__(self, nest: LoopNest, signature: Signature) -> None:
        self.nest = nest
        self.signature = signature
        self.names: dict[Scalar, str] = {}
        self.count = 0
        self.access = 0
        self.constants: dict[object, tuple[str, str, object]] = {}

    # --- integers --------------------------------------------------------------------------------
    def extent(self, axis: int) -> str:
        """Name of the extent of a loop axis."""
        return self.signature.integer(("extent", axis), self.nest.extents[axis], "n")

    def _dense(self, first: int, last: int) -> dict[int, int]:
        strides, step = {}, 1
        for axis in range(last - 1, first - 1, -1):
            strides[axis] = step
            step *= self.nest.extents[axis]
        return strides

    def index(self, ix: Ix, scope: dict[Scalar, str]) -> str:
        """The text of an index."""
        axes = {k: c for k, c in ix.terms.items() if isinstance(k, int)}
        rest = [(k, c) for k, c in ix.terms.items() if not isinstance(k, int)]
        text = self._dense_text(axes)
        parts = [text] if text else []
        if text is None:
            parts = [self._term(f"i{a}", c) for a, c in sorted(axes.items())]
        for k, c in rest:
            if isinstance(k, Quotient):
                inner = self.index(k.inner, scope)
                parts.append(self._term(f"(({inner}) // {k.divisor})", c))
            else:
                parts.append(self._term(f"int64({scope[k]})", c))
        if ix.const:
            self.access += 1
            parts.append(self.signature.integer(("const", self.access), ix.const))
        return " + ".join(parts) or "0"

    def _dense_text(self, axes: dict[int, int]) -> str | None:
        """``i0 * n1 + i1`` where the axes used are a run walked densely; ``""`` for no axes."""
        if not axes:
            return ""
        first, last = min(axes), max(axes) + 1
        if axes != self._dense(first, last):
            return None
        text = f"i{first}"
        for axis in range(first + 1, last):
            nested = text if axis == first + 1 else f"({text})"
            text = f"{nested} * {self.extent(axis)} + i{axis}"
        return text

    def _term(self, factor: str, coefficient: int) -> str:
        if coefficient == 1:
            return factor
        if coefficient == -1:
            return f"-{factor}"
        self.access += 1
        return f"{factor} * {self.signature.integer(('stride', self.access), coefficient)}"

    def literal(self, literal: Literal) -> str:
        """A constant: simple ones in the text, others (1 / batch size, say) at run time."""
        value, dtype = literal.value.item(), literal.aval.dtype
        if dtype is bool_ or value in (0, 1, -1, 2) or value != value or abs(value) == math.inf:
            return literal_text(literal)
        key = (dtype.short, literal.value.tobytes())
        if key not in self.constants:
            name = f"c{len(self.constants)}"
            if dtype.is_floating_point:
                bits = int.from_bytes(literal.value.tobytes(), "little", signed=dtype.itemsize == 8)
                word = f"uint{8 * dtype.itemsize}"
                text = f"bits_float({word}({self.signature.integer(key, bits, 'k')}))"
            else:
                bits = value if value < 1 << 63 else value - (1 << 64)
                text = f"{dtype.name}({self.signature.integer(key, bits, 'k')})"
            self.constants[key] = (name, text, value)
        return self.constants[key][0]

    def constant_lines(self) -> tuple[list[str], list[str]]:
        """Definitions of the run-time constants: the text, and the text with their values."""
        plain = [f"    {name} = {text}" for name, text, _ in self.constants.values()]
        shown = [f"    {name} = {text}  # {value!r}" for name, text, value in
                 self.constants.values()]
        return plain, shown

    # --- statements -------------------------------------------------------------------------------
    def fresh(self) -> str:
        """A new value name."""
        self.count += 1
        return f"v{self.count - 1}"

    def emit(self, scalar: Scalar, scope: dict[Scalar, str], lines: list[tuple[str, Eqn | None]]
             ) -> str:
        """Emit what ``scalar`` needs and return its name; ``scope`` holds what is there."""
        if scalar.op == "literal":
            assert scalar.literal is not None
            return self.literal(scalar.literal)
        if scalar in scope:
            return scope[scalar]
        for dep in scalar.depends():
            if dep.op != "literal":
                self.emit(dep, scope, lines)
        text = self._text(scalar, scope, lines)
        name = self.fresh()
        scope[scalar] = name
        lines.append((f"{name} = {text}", scalar.eqn))
        return name

    def _text(self, s: Scalar, scope: dict[Scalar, str], lines: list[tuple[str, Eqn | None]]
              ) -> str:
        if s.op == "apply":
            return s.text.format(*[self.emit(a, scope, lines) for a in s.args])
        assert s.index is not None
        if s.op == "index":
            return self.index(s.index, scope)
        if s.op == "guard":
            at = self.index(s.index, scope)
            self.access += 1
            limit = self.signature.integer(("limit", self.access), s.extent)
            text = f"({at} >= 0) & ({at} < {limit})"
            return text if s.step == 1 else f"{text} & (({at}) % {s.step} == 0)"
        assert s.op == "load" and s.buffer is not None
        place = f"{self.signature.buffer(s.buffer)}[{self.index(s.index, scope)}]"
        text = f"{place} != 0" if s.dtype is bool_ else place
        if s.guard is not None:
            zero = "False" if s.dtype is bool_ else f"{s.dtype.name}(0)"
            text = f"({text}) if {scope[s.guard]} else {zero}"
        return text

    def store(self, store: Store, name: str, scope: dict[Scalar, str],
              lines: list[tuple[str, Eqn | None]]) -> None:
        """Emit a store."""
        place = f"{self.signature.buffer(store.buffer)}[{self.index(store.index, scope)}]"
        lines.append((f"{place} = {store_value(name, store.buffer.dtype)}", None))


def store_value(name: str, dtype: DType) -> str:
    """The text that puts a register value into memory of ``dtype``."""
    return f"uint8({name})" if dtype is bool_ else name


class Writer:
    """Collects indented lines, with and without comments."""

    def __init__(self) -> None:
        self.plain: list[str] = []
        self.shown: list[str] = []
        self._line: str = ""

    def put(self, depth: int, text: str, eqn: Eqn | None = None) -> None:
        """One line at a depth; a new user line is announced by a comment."""
        line = "    " * depth + text
        if eqn is not None and eqn.where and eqn.where != self._line:
            self._line = eqn.where
            source = eqn.site.source if eqn.site is not None else ""
            self.shown.append("    " * depth + f"# {eqn.where}  {source}".rstrip())
        self.plain.append(line)
        self.shown.append(line)

    def comment(self, text: str) -> None:
        """A line only people see."""
        self.shown.append(f"    # {text}")


def generate(nest: LoopNest, label: str, parts: int) -> Generated:
    """Print an arranged nest; ``parts`` is the number of pieces its first axis may be cut into."""
    return _NestPrinter(nest, label, parts).run()


class _NestPrinter:
    def __init__(self, nest: LoopNest, label: str, parts: int) -> None:
        self.nest = nest
        self.label = label
        self.signature = Signature()
        self.body = Body(nest, self.signature)
        self.writer = Writer()
        self.split = nest.split
        first = nest.extents[0] if nest.split > 0 else 1
        self.parts = max(1, min(parts, first)) if first else 1
        self.const_scope: dict[Scalar, str] = {}
        self.inner = list(range(nest.split, len(nest.extents)))
        self.acc_names: dict[Scalar, str] = {}

    def run(self) -> Generated:
        for store in self.nest.stores:
            self.signature.buffer(store.buffer)
        lines = self._kernel()
        params, arguments = self.signature.finish()
        names = ", ".join([*[n for n, _ in params], "thread", "threads"])
        head = f"def {self.label}({names}):"
        about = [f"    # {name}: {b.hint or b.name} {b.dtype.short}{list(b.shape)}"
                 for b, name in self.signature.buffers.items()]
        plain, annotated = self.body.constant_lines()
        text = "\n".join([head, *plain, *lines.plain]) + "\n"
        shown = "\n".join([head, *about, *annotated, *lines.shown]) + "\n"
        return Generated(KernelSource(self.label, text, params), shown, arguments, self.parts)

    def _put(self, depth: int, lines: Sequence[tuple[str, Eqn | None]]) -> None:
        for text, eqn in lines:
            self.writer.put(depth, text, eqn)

    # --- structure ---------------------------------------------------------------------------------
    def _kernel(self) -> Writer:
        w, nest = self.writer, self.nest
        hoisted: list[tuple[str, Eqn | None]] = []
        for s in nest.scalars():
            if s.level == CONST and s.op in ("load", "apply", "index"):
                self.body.emit(s, self.const_scope, hoisted)
        self._put(1, hoisted)
        depth = 1
        if nest.split == 0:
            w.put(1, "lo = 0")
        else:
            w.put(1, f"lo = {self.body.extent(0)} * thread // threads")
            w.put(1, f"hi = {self.body.extent(0)} * (thread + 1) // threads")
        self._allocate_accs()
        if nest.kept <= 0:
            self._clear_accs(1)
        for axis in range(nest.split):
            if axis == nest.kept and nest.kept > 0:
                self._clear_accs(depth)
            bounds = "lo, hi" if axis == 0 else self.body.extent(axis)
            w.put(depth, f"for i{axis} in range({bounds}):")
            depth += 1
        self._row(depth)
        if nest.accs:
            self._tail(1 + max(nest.kept, 0))
        return w

    def _allocate_accs(self) -> None:
        """A local variable for a scalar, a slice of scratch per thread for a column of them."""
        for k, acc in enumerate(self.nest.accs):
            if acc.width == "scalar":
                self.acc_names[acc] = f"a{k}"
                continue
            size = math.prod(self.nest.extents[a] for a in self.inner)
            padded = -(-size * acc.dtype.itemsize // CACHE_LINE) * CACHE_LINE
            self.signature.scratch(f"t{k}", acc.dtype, padded * self.parts)
            self.acc_names[acc] = f"t{k}"
            stride = self.signature.integer(("row", k), padded // acc.dtype.itemsize, "w")
            self.writer.put(1, f"a{k} = thread * {stride}")

    def _clear_accs(self, depth: int) -> None:
        for k, acc in enumerate(self.nest.accs):
            if acc.width == "scalar":
                self.writer.put(depth, f"a{k} = {acc.identity}")
            else:
                place = f"t{k}[a{k} + {self._inner_index()}]"
                zero = store_value(acc.identity, acc.dtype)
                self._inner_loops(depth, [(f"{place} = {zero}", None)])

    def _inner_index(self) -> str:
        return self.body.index(Ix(self.body._dense(self.split, len(self.nest.extents))), {})

    def _inner_loops(self, depth: int, lines: Sequence[tuple[str, Eqn | None]]) -> None:
        for axis in self.inner:
            self.writer.put(depth, f"for i{axis} in range({self.body.extent(axis)}):")
            depth += 1
        self._put(depth, lines)

    def _row(self, depth: int) -> None:
        """The stages of one row."""
        nest, row_scope = self.nest, dict(self.const_scope)
        reduces = [s for s in nest.scalars() if s.op == "reduce"]
        for stage in range(nest.stages):
            lines: list[tuple[str, Eqn | None]] = []
            for s in nest.scalars():
                if s.level == ROW and s.ready == stage and s.op != "reduce" and self._in_main(s):
                    self.body.emit(s, row_scope, lines)
            self._put(depth, lines)
            self._stage(depth, stage, row_scope, [r for r in reduces if r.ready == stage + 1])
        last: list[tuple[str, Eqn | None]] = []
        for s in nest.scalars():
            if s.level == ROW and s.op != "reduce" and self._in_main(s):
                self.body.emit(s, row_scope, last)
        for store in nest.stores:
            if store.value.level in (ROW, CONST) and not self._walks_inner(store):
                name = self.body.emit(store.value, row_scope, last)
                self.body.store(store, name, row_scope, last)
        for acc in nest.accs:
            if acc.args[0].level != FULL:
                name = self.body.emit(acc.args[0], row_scope, last)
                mine = self.acc_names[acc]
                last.append((f"{mine} = {acc.text.format(mine, name)}", acc.eqn))
        self._put(depth, last)

    def _in_main(self, s: Scalar) -> bool:
        if not hasattr(self, "_main"):
            self._main: set[Scalar] = set()
            stack = [st.value for st in self.nest.stores if st.value.level != TAIL]
            stack += [a for acc in self.nest.accs for a in acc.args]
            while stack:
                scalar = stack.pop()
                if scalar not in self._main:
                    self._main.add(scalar)
                    stack.extend(scalar.depends())
        return s in self._main

    def _walks_inner(self, store: Store) -> bool:
        return bool(store.index.axes() & set(self.inner))

    def _stage(self, depth: int, stage: int, row_scope: dict[Scalar, str],
               reduces: Sequence[Scalar]) -> None:
        """One walk along the inner axes: loads, values, reductions, stores."""
        nest, last = self.nest, stage == self.nest.stages - 1
        scope, lines = dict(row_scope), []  # type: ignore[var-annotated]
        for r in reduces:
            name = self.body.fresh()
            row_scope[r] = name
            self.writer.put(depth, f"{name} = {r.identity}", r.eqn)
        for r in reduces:
            value = self.body.emit(r.args[0], scope, lines)
            mine = row_scope[r]
            lines.append((f"{mine} = {r.text.format(mine, value)}", r.eqn))
        for acc in nest.accs:
            if acc.args[0].level == FULL and acc.args[0].ready == stage:
                value = self.body.emit(acc.args[0], scope, lines)
                place = self._acc_place(acc)
                current = f"{place} != 0" if acc.dtype is bool_ else place
                combined = acc.text.format(current, value)
                lines.append((f"{place} = {store_value(combined, acc.dtype)}", acc.eqn))
        pending = []
        for store in nest.stores:
            due = last if self._hot(store) else store.value.ready == stage
            if store.value.level != TAIL and self._walks_inner(store) and due:
                pending.append((store, self.body.emit(store.value, scope, lines)))
        for store, name in pending:
            self.body.store(store, name, scope, lines)
        if lines:
            self._inner_loops(depth, lines)

    def _hot(self, store: Store) -> bool:
        """Whether later stages load the memory this store changes: then it waits for the last."""
        return any(s.op == "load" and s.buffer is store.buffer for s in self.nest.scalars())

    def _acc_place(self, acc: Scalar) -> str:
        k = self.nest.accs.index(acc)
        return f"{self.acc_names[acc]}[a{k} + {self._inner_index()}]"

    # --- the tail ----------------------------------------------------------------------------------
    def _tail(self, depth: int) -> None:
        nest, w = self.nest, self.writer
        scope = dict(self.const_scope)
        if nest.kept <= 0:
            depth = self._combine_scalars(depth, scope)
        else:
            for acc in nest.accs:
                if acc.width == "scalar":
                    scope[acc] = self.acc_names[acc]
        tail_stores = [st for st in nest.stores if st.value.level == TAIL]
        lines: list[tuple[str, Eqn | None]] = []
        columns = [st for st in tail_stores if self._walks_inner(st)]
        for store in tail_stores:
            if store not in columns:
                name = self.body.emit(store.value, scope, lines)
                self.body.store(store, name, scope, lines)
        self._put(depth, lines)
        if columns:
            self._tail_columns(depth, columns, scope)
        assert w is self.writer

    def _combine_scalars(self, depth: int, scope: dict[Scalar, str]) -> int:
        """Partial results of all threads meet; the last thread to arrive goes on."""
        nest, w = self.nest, self.writer
        cell = self.signature.scratch("arrived", None, CACHE_LINE)
        scalars = [a for a in nest.accs if a.width == "scalar"]
        for acc in scalars:
            k = nest.accs.index(acc)
            self.signature.scratch(f"t{k}", acc.dtype, CACHE_LINE * self.parts)
            step = CACHE_LINE // acc.dtype.itemsize
            w.put(depth, f"t{k}[thread * {step}] = {store_value(f'a{k}', acc.dtype)}")
        w.put(depth, f"if arrive({cell}, threads):")
        depth += 1
        for acc in scalars:
            k = nest.accs.index(acc)
            step = CACHE_LINE // acc.dtype.itemsize
            name = self.body.fresh()
            scope[acc] = name
            part = f"t{k}[part * {step}]" + (" != 0" if acc.dtype is bool_ else "")
            w.put(depth, f"{name} = {acc.identity}")
            w.put(depth, "for part in range(threads):")
            w.put(depth + 1, f"{name} = {acc.text.format(name, part)}", acc.eqn)
        return depth

    def _tail_columns(self, depth: int, stores: Sequence[Store], scope: dict[Scalar, str]) -> None:
        nest, w = self.nest, self.writer
        for axis in self.inner:
            w.put(depth, f"for i{axis} in range({self.body.extent(axis)}):")
            depth += 1
        inner = dict(scope)
        for acc in nest.accs:
            if acc.width != "column":
                continue
            k, at = nest.accs.index(acc), self._inner_index()
            suffix = " != 0" if acc.dtype is bool_ else ""
            name = self.body.fresh()
            inner[acc] = name
            if nest.kept > 0:
                w.put(depth, f"{name} = t{k}[a{k} + {at}]{suffix}")
                continue
            stride = self.signature.integer(("row", k), 0, "w")
            w.put(depth, f"{name} = t{k}[{at}]{suffix}")
            w.put(depth, "for part in range(1, threads):")
            part = f"t{k}[part * {stride} + {at}]{suffix}"
            w.put(depth + 1, f"{name} = {acc.text.format(name, part)}")
        lines: list[tuple[str, Eqn | None]] = []
        for store in stores:
            name = self.body.emit(store.value, inner, lines)
            self.body.store(store, name, inner, lines)
        self._put(depth, lines)
