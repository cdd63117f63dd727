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
from dataclasses import dataclass, field

import numpy as np

from ..dtypes import DType, bool_
from ..ir.graph import Eqn, Literal
from ..schedule.index import Ix, Quotient
from ..schedule.loops import Buffer, LoopNest, Scalar, Store
from .kernel import KernelSource
from .lines import Line


@dataclass
class Argument:
    """One run-time argument: a buffer, an integer, a table, or scratch of ``size`` bytes."""

    kind: str
    buffer: Buffer | None = None
    value: int = 0
    size: int = 0
    table: np.ndarray | None = None


@dataclass
class Generated:
    """A kernel: canonical text for compiling, commented text for reading, its arguments."""

    source: KernelSource
    display: str
    arguments: list[Argument]
    parts: int = 1
    notes: list[str] = field(default_factory=list)


def pointer_type(dtype: DType) -> str:
    """Kernel type of a pointer to elements (booleans are bytes, half precision its bits)."""
    if dtype.reduced:
        return "u16*"
    return "u8*" if dtype is bool_ else f"{dtype.short}*"


def constructor(dtype: DType) -> str:
    """The name by which kernel text makes a value of ``dtype``."""
    return "uint16" if dtype.reduced else dtype.name


def literal_text(literal: Literal) -> str:
    """A typed constant."""
    dtype, value = literal.aval.dtype, literal.number
    if dtype is bool_:
        return "True" if value else "False"
    if dtype.reduced:
        return f"uint16({int.from_bytes(literal.value.tobytes(), 'little')})"
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

    def table(self, name: str, words: np.ndarray) -> str:
        """A pointer parameter to constant words of 32 or 64 bits."""
        self.params.append((name, f"i{8 * words.itemsize}*"))
        self.arguments.append(Argument("table", size=words.nbytes, table=words))
        return name

    def integer(self, key: object, value: int, prefix: str = "s") -> str:
        """Name of an integer parameter; one per ``key``."""
        if key not in self._ints:
            count = sum(n.startswith(prefix) for n in self._ints.values())
            name = f"{prefix}{count}"
            self._ints[key] = name
            self._tail.append(((name, "i64"), Argument("int", value=value)))
        return self._ints[key]

    def named(self, name: str, value: int) -> str:
        """An integer parameter with a name of its own."""
        self._ints[name] = name
        self._tail.append(((name, "i64"), Argument("int", value=value)))
        return name

    def finish(self) -> tuple[tuple[tuple[str, str], ...], list[Argument]]:
        """All parameters, pointers first, and their arguments."""
        params = [*self.params, *[p for p, _ in self._tail]]
        return tuple(params), [*self.arguments, *[a for _, a in self._tail]]


def _quotient(text: str, divisor: int) -> str:
    """``text // divisor``; a power of two is a shift, which vectors have."""
    if divisor & (divisor - 1):
        return f"(({text}) // {divisor})"
    return f"(({text}) >> {divisor.bit_length() - 1})"


class Body:
    """Prints scalars of a nest as statements, each at most once per region."""

    def __init__(self, nest: LoopNest, signature: Signature) -> None:
        self.nest = nest
        self.signature = signature
        self.names: dict[Scalar, str] = {}
        self.count = 0
        self.access = 0
        self.constants: dict[object, tuple[str, str, object]] = {}
        # Memory that the kernel changes must not be read again later.
        self.written = {store.buffer for store in nest.stores}
        self.windowed = nest.windowed()

    # --- integers --------------------------------------------------------------------------------
    def extent(self, axis: int) -> str:
        """Name of the extent of a loop axis."""
        return self.signature.integer(("extent", axis), self.nest.extents[axis], "n")

    def number(self, kind: str, value: int) -> str:
        """Name of a stride, offset or limit; its value where windows are read.

        LLVM makes shuffles of interleaved accesses whose strides it knows, gathers of others.
        Extents stay run-time values: short loops of a known length are unrolled before anything
        is vectorised.
        """
        if self.windowed:
            return str(value)
        self.access += 1
        return self.signature.integer((kind, self.access), value)

    def dense(self, first: int, last: int) -> dict[int, int]:
        strides, step = {}, 1
        for axis in range(last - 1, first - 1, -1):
            strides[axis] = step
            step *= self.nest.extents[axis]
        return strides

    def index(self, ix: Ix, scope: dict[Scalar, str]) -> str:
        """The text of an index."""
        axes = {k: c for k, c in ix.terms.items() if isinstance(k, int)}
        rest = [(k, c) for k, c in ix.terms.items() if not isinstance(k, int)]
        text = self.dense_text(axes)
        parts = [text] if text else []
        if text is None:
            parts = [self._term(f"i{a}", c) for a, c in sorted(axes.items())]
        for k, c in rest:
            if isinstance(k, Quotient):
                inner = self.index(k.inner, scope)
                parts.append(self._term(_quotient(inner, k.divisor), c))
            else:
                parts.append(self._term(f"int64({scope[k]})", c))
        if ix.const:
            parts.append(self.number("const", ix.const))
        return " + ".join(parts) or "0"

    def dense_text(self, axes: dict[int, int]) -> str | None:
        """``i0 * n1 + i1`` where the axes used are a run walked densely; ``""`` for no axes."""
        if not axes:
            return ""
        first, last = min(axes), max(axes) + 1
        if axes != self.dense(first, last):
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
        return f"{factor} * {self.number('stride', coefficient)}"

    def literal(self, literal: Literal) -> str:
        """A constant: simple ones in the text, others (1 / batch size, say) at run time."""
        value, dtype = literal.number, literal.aval.dtype
        if (
            dtype is bool_
            or dtype.reduced
            or value in (0, 1, -1, 2)
            or value != value
            or abs(value) == math.inf
        ):
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
        shown = [
            f"    {name} = {text}  # {value!r}" for name, text, value in self.constants.values()
        ]
        return plain, shown

    # --- statements -------------------------------------------------------------------------------
    def fresh(self) -> str:
        """A new value name."""
        self.count += 1
        return f"v{self.count - 1}"

    def emit(self, scalar: Scalar, scope: dict[Scalar, str], lines: list[Line]) -> str:
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
        cost = scalar.eqn.primitive.cost if scalar.op == "apply" and scalar.eqn else 0.5
        reload = scalar.op == "index" or (scalar.op == "load" and scalar.buffer not in self.written)
        access = scalar if scalar.op == "load" else None
        lines.append(Line(f"{name} = {text}", scalar.eqn, name, scalar.dtype, cost, reload, access))
        return name

    def _text(self, s: Scalar, scope: dict[Scalar, str], lines: list[Line]) -> str:
        if s.op == "apply":
            return s.text.format(*[self.emit(a, scope, lines) for a in s.args])
        assert s.index is not None
        if s.op == "index":
            return self.index(s.index, scope)
        if s.op == "guard":
            at = self.index(s.index, scope)
            limit = self.number("limit", s.extent)
            text = f"({at} >= 0) & ({at} < {limit})"
            return text if s.step == 1 else f"{text} & (({at}) % {s.step} == 0)"
        assert s.op == "load" and s.buffer is not None
        place = f"{self.signature.buffer(s.buffer)}[{self.index(s.index, scope)}]"
        text = f"{place} != 0" if s.dtype is bool_ else place
        if s.guard is not None:
            zero = "False" if s.dtype is bool_ else f"{constructor(s.dtype)}(0)"
            text = f"({text}) if {scope[s.guard]} else {zero}"
        return text

    def store(self, store: Store, name: str, scope: dict[Scalar, str], lines: list[Line]) -> None:
        """Emit a store."""
        place = f"{self.signature.buffer(store.buffer)}[{self.index(store.index, scope)}]"
        text = f"{place} = {store_value(name, store.buffer.dtype)}"
        lines.append(Line(text, access=store))


def store_value(name: str, dtype: DType) -> str:
    """The text that puts a register value into memory of ``dtype``."""
    return f"uint8({name})" if dtype is bool_ else name


def fetched(place: str, dtype: DType | None) -> str:
    """The text that reads a register value from memory of ``dtype``."""
    return f"({place} != 0)" if dtype is bool_ else place


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
