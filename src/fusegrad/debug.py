"""Debugging aids: bound the number of compiles, find the first NaN, write a program to a folder.

In: a jitted function. Out: assertions, a ``Finding`` that names the user's line, a folder of text
files. The settings ``FUSEGRAD_DEBUG`` and ``FUSEGRAD_DUMP`` print and write the same things without
a change to the program.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .api import JitFunction
from .dump import dump_trace, next_folder
from .errors import ArgumentTypeError
from .ir.graph import Eqn, Literal, Var
from .ir.primitive import evaluate
from .tensor import Tensor
from .traced import Trace

__all__ = ["Finding", "assert_max_compiles", "check_nan", "dump"]


class assert_max_compiles:
    """Fail when a jitted function has been traced more than ``count`` times in all.

    Checks at once, and as a context manager again at the end of the block. The message lists the
    reason of every trace.

    Example:
        >>> import fusegrad as fg
        >>> @fg.jit
        ... def double(x):
        ...     return x * 2
        >>> with assert_max_compiles(double, 1):
        ...     for _ in range(3):
        ...         _ = double(fg.ones(4))
    """

    def __init__(self, step: JitFunction, count: int) -> None:
        if not isinstance(step, JitFunction):
            raise ArgumentTypeError(
                f"assert_max_compiles of a {type(step).__name__}",
                "Only functions under @fg.jit are compiled.",
                "decorate the function with @fg.jit",
            )
        self.step = step
        self.count = count
        self.check()

    def check(self) -> None:
        """Raise AssertionError when there are too many traces."""
        found = len(self.step.history)
        if found > self.count:
            reasons = "\n".join(f"  {k}. {t.reason}" for k, t in enumerate(self.step.history, 1))
            raise AssertionError(
                f"{self.step.__name__} was traced {found} times, at most {self.count} allowed:\n"
                f"{reasons}"
            )

    def __enter__(self) -> assert_max_compiles:
        return self

    def __exit__(self, kind: Any, *exc: object) -> None:
        if kind is None:
            self.check()


@dataclass(frozen=True)
class Finding:
    """The first value of a step that is not finite.

    Attributes:
        what: ``nan`` or ``inf``.
        primitive: the operation, or ``input`` when the value came from outside.
        where: the user's line, marked when it is derivative code.
        aval: shape and dtype of the value.
        index: position of the first bad element.
        operands: the operands at that element, where they have the same shape.
    """

    what: str
    primitive: str
    where: str
    aval: str
    index: tuple[int, ...]
    operands: tuple[float, ...]
    source: str = ""

    def __str__(self) -> str:
        place = f"  at {self.where}   {self.source}".rstrip() if self.where else ""
        given = ", ".join(f"{x:g}" for x in self.operands)
        lines = [
            f"{self.what} first appears in {self.primitive} {self.aval} at {self.index}",
            *([place] if place else []),
            *([f"  operands there: {given}"] if given else []),
        ]
        return "\n".join(lines)


def check_nan(step: JitFunction, *args: Any, **kwargs: Any) -> Finding | None:
    """Evaluate a step equation by equation and name the first one that gives NaN or infinity.

    The captured graph runs with NumPy on the arguments and the present values of parameters and
    optimizer state; nothing is changed. An infinity that an operand already had is passed over
    (``-inf`` masks), a NaN made from it is not.

    Returns:
        the finding, or ``None`` when every value is finite.

    Example:
        >>> import fusegrad as fg
        >>> @fg.jit
        ... def f(x):
        ...     return (x - 1).log().sum()
        >>> finding = check_nan(f, fg.ones(3))
        >>> finding.what, finding.primitive, finding.index
        ('inf', 'log', (0,))
    """
    trace, leaves, _ = step._prepare(args, kwargs)
    values = _inputs(trace, leaves)
    for var, array in values.items():
        found = _bad(array, [])
        if found:
            return _finding(found, f"input {var.hint}".strip(), None, var, array, [])
    for eqn in trace.captured.eqns:
        operands = [a.value if isinstance(a, Literal) else values[a] for a in eqn.inputs]
        result = evaluate(eqn.primitive, operands, eqn.params)
        results = result if eqn.primitive.multiple else (result,)
        for out, value in zip(eqn.outputs, results, strict=True):
            found = _bad(value, operands)
            if found:
                return _finding(found, eqn.primitive.name, eqn, out, value, operands)
            values[out] = value
    return None


def _inputs(trace: Trace, leaves: list[Any]) -> dict[Var, np.ndarray]:
    """Present values of the captured graph's inputs."""
    values: dict[Var, np.ndarray] = dict(trace.capture.consts)
    for position, traced, _ in trace.arguments:
        cell = traced._storage.cell
        assert cell is not None and cell.initial is not None
        leaf = leaves[position]
        values[cell.initial] = leaf._value if isinstance(leaf, Tensor) else np.asarray(leaf)
    for storage, cell in trace.capture.cells.items():
        assert cell.initial is not None
        values[cell.initial] = storage.array
    return values


def _bad(array: Any, operands: list[Any]) -> str:
    if np.asarray(array).dtype.kind not in "fc":
        return ""
    if np.isnan(array).any():
        return "nan"
    if np.isinf(array).any():
        floats = [x for x in map(np.asarray, operands) if x.dtype.kind in "fc"]
        return "" if any(np.isinf(x).any() for x in floats) else "inf"
    return ""


def _finding(
    what: str, name: str, eqn: Eqn | None, var: Var, array: Any, operands: list[Any]
) -> Finding:
    array = np.asarray(array)
    test = np.isnan(array) if what == "nan" else np.isinf(array)
    index = tuple(int(i) for i in np.argwhere(test)[0])
    there = []
    for operand in map(np.asarray, operands):
        if operand.shape in (array.shape, ()) and operand.dtype.kind in "biuf":
            there.append(float(operand[index] if operand.shape else operand))
    where = eqn.where if eqn is not None else ""
    source = eqn.site.source if eqn is not None and eqn.site is not None else ""
    return Finding(what, name, where, str(var.aval), index, tuple(there), source)


def dump(step: JitFunction, folder: str | Path) -> list[Path]:
    """Write every trace of ``step`` into numbered folders below ``folder`` and return those.

    Each has the graphs, the fusion decisions, the memory plan and one file per kernel that runs
    alone with random inputs.
    """
    return [
        dump_trace(t, next_folder(folder, step.__name__), str(step.explain())) for t in step.history
    ]
