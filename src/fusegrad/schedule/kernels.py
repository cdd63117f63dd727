"""Records of a plan: kernels before code generation, and the buffers they use."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..ir.graph import Eqn, Graph, Literal
from .loops import Buffer, LoopNest, Scalar


@dataclass(eq=False)
class Operand:
    """A strided matrix (or batch of them): its memory, first element and strides."""

    buffer: Buffer
    offset: int
    batch: tuple[int, ...]
    row: int
    column: int


@dataclass(eq=False)
class Contraction:
    """``c[item, i, j] = sum_k a[item, i, k] * b[item, k, j]`` and its epilogue."""

    a: Operand
    b: Operand
    c: Buffer
    m: int
    n: int
    k: int
    batch: tuple[int, ...]
    nest: LoopNest
    raw: Scalar
    eqn: Eqn


@dataclass(eq=False)
class Convolution(Contraction):
    """A convolution, or the sums of its weight's cotangent: ``c`` from dense operands a and b.

    ``batch``, ``m`` and ``n`` are images, channels and positions of the result; the rest of the
    geometry is that of the equation (``schedule/windows.py``).

    Attributes:
        bias: memory and offset of one number per channel that is added before anything else.
    """

    bias: tuple[Buffer, int] | None = None


@dataclass(eq=False)
class Scatter:
    """``out[...] = start[...]``, then ``out[..., position, ...] = combine(old, value)`` in order.

    Attributes:
        nest: axes of the result, then those of the values; two stores, start and values.
        position: where along ``axis`` a value goes.
        depth: number of value axes that ``position`` needs.
        ready: the result lies in the memory of ``start``, which need not be copied.
    """

    nest: LoopNest
    out: Buffer
    axis: int
    position: Scalar
    depth: int
    combine: str
    ready: bool = False


@dataclass(eq=False)
class Walk:
    """A scan or a sort: one pass along ``axis`` for each line of elements.

    Attributes:
        operands: memory of each, its first element and its strides.
        out: the dense result.
    """

    eqn: Eqn
    operands: list[tuple[Buffer, int, tuple[int, ...]]]
    out: Buffer
    axis: int


@dataclass(eq=False)
class HostCall:
    """A primitive run by its NumPy reference: operands as strided views, one dense output."""

    eqn: Eqn
    operands: list[tuple[Buffer, int, tuple[int, ...], tuple[int, ...]] | Literal]
    output: Buffer


@dataclass(eq=False)
class Move:
    """A pointer that walks while a loop runs: ``buffer`` lies at ``base`` plus ``offset`` bytes.

    After each step it moves by ``step`` bytes, after every second one by ``back``.
    """

    buffer: Buffer
    base: Buffer
    offset: int
    step: int
    back: int


class Mark:
    """What is no kernel but a place in the launch table."""


@dataclass(eq=False)
class LoopBegin(Mark):
    """The launches up to the matching ``LoopEnd`` run ``length`` times."""

    length: int
    moves: list[Move]


@dataclass(eq=False)
class LoopEnd(Mark):
    """The end of a loop in the order of launches."""

    begin: LoopBegin


@dataclass(eq=False)
class Label(Mark):
    """A place between launches that jumps lead to."""


@dataclass(eq=False)
class Jump(Mark):
    """Go on at ``target`` when the int64 in ``cell`` is not zero; always without a cell."""

    target: Label
    cell: Buffer | None


@dataclass(eq=False)
class KernelPlan:
    """One launch before code generation; ``groups`` are the numbers by which reasons name it.

    Numbers of kernels inside loops are told apart by ``scope``, the loops from the outermost in.
    """

    label: str
    work: LoopNest | Contraction | Scatter | Walk | HostCall | Mark
    reads: set[Buffer]
    writes: set[Buffer]
    reasons: list[str] = field(default_factory=list)
    flops: float = 0.0
    eqns: list[Eqn] = field(default_factory=list)
    groups: frozenset[int] = frozenset()
    scope: tuple[object, ...] = ()

    @property
    def bytes(self) -> int:
        """Least bytes to move: every buffer once in each direction it is used."""
        return sum(_nbytes(b) for b in self.reads) + sum(_nbytes(b) for b in self.writes)


def _nbytes(buffer: Buffer) -> int:
    size = buffer.dtype.itemsize
    for extent in buffer.shape:
        size *= extent
    return size


@dataclass(eq=False)
class Plan:
    """All kernels, the buffers of inputs and outputs, and what was decided.

    ``aliases`` are buffers that lie inside a temporary, with their offset in bytes.
    """

    graph: Graph
    kernels: list[KernelPlan]
    inputs: list[Buffer]
    outputs: list[Buffer]
    temporaries: list[Buffer]
    aliases: dict[Buffer, tuple[Buffer, int]] = field(default_factory=dict)
