"""Builder: appends equations to a graph under construction; the interpreter of a capture.

In: ``append(primitive, operands, params)`` from ``bind``. Out: a ``Graph`` from ``finish``. Arrays
met on the way become inputs with a fixed value (``consts``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..dtypes import DType, from_numpy_dtype
from ..errors import LeakedTracerError, Site, user_site
from .aval import Aval, aval_of
from .graph import Atom, Eqn, Graph, Literal, Var
from .primitive import Primitive, set_builder


def _dtype_of(value: Any) -> DType | None:
    """Dtype of an atom or array; ``None`` for a Python number, which takes its neighbour's."""
    if isinstance(value, (Var, Literal)):
        return value.aval.dtype
    return from_numpy_dtype(value.dtype) if hasattr(value, "dtype") else None


class Builder:
    """A graph under construction."""

    def __init__(self) -> None:
        self.inputs: list[Var] = []
        self.eqns: list[Eqn] = []
        self.consts: dict[Var, np.ndarray] = {}
        self._const_of: dict[int, Var] = {}
        self._site: tuple[Site | None, bool] | None = None

    def input(self, aval: Aval, hint: str = "") -> Var:
        """Declare one more input."""
        var = Var(aval, hint, self)
        self.inputs.append(var)
        return var

    def const(self, array: np.ndarray) -> Var:
        """The input that stands for a fixed array (one per array object)."""
        var = self._const_of.get(id(array))
        if var is None:
            var = Var(aval_of(array), "const", self)
            self._const_of[id(array)] = var
            self.consts[var] = array
        return var

    def append(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """Append ``primitive`` applied to atoms, arrays or Python numbers; returns its result."""
        atoms = self._atoms(primitive, args)
        aval = primitive.aval_rule(*[a.aval for a in atoms], **params)
        outputs = tuple(Var(a, "", self) for a in (aval if primitive.multiple else (aval,)))
        site, backward = self._site or (user_site(), False)
        self.eqns.append(Eqn(primitive, atoms, params, outputs, site, backward))
        return outputs if primitive.multiple else outputs[0]

    def foreign(self, var: Var, primitive: Primitive) -> Var:
        """The Var that stands for one of another builder; a capture of a loop body has some."""
        raise LeakedTracerError(
            f"{primitive.name} got {var.aval} from another trace",
            "A tensor created inside one jitted call was kept and used in another.",
            "return the tensor from the function instead of storing it",
        )

    def _atoms(self, primitive: Primitive, args: Sequence[Any]) -> tuple[Atom, ...]:
        dtype = next((d for a in reversed(args) if (d := _dtype_of(a)) is not None), None)
        atoms: list[Atom] = []
        for arg in args:
            if isinstance(arg, Var):
                atoms.append(arg if arg.owner is self else self.foreign(arg, primitive))
            elif isinstance(arg, Literal):
                atoms.append(arg)
            elif isinstance(arg, (bool, int, float, complex)):
                assert dtype is not None
                atoms.append(Literal(arg, dtype))
            elif arg.ndim == 0:
                atoms.append(Literal(arg[()], from_numpy_dtype(arg.dtype)))
            else:
                atoms.append(self.const(arg))
        return tuple(atoms)

    @contextmanager
    def at(self, site: Site | None, backward: bool = True) -> Iterator[None]:
        """Equations appended inside belong to ``site`` (derivative code of a forward line)."""
        previous, self._site = self._site, (site, backward)
        try:
            yield
        finally:
            self._site = previous

    @contextmanager
    def active(self) -> Iterator[Builder]:
        """Make this builder the interpreter of ``bind`` on this thread."""
        previous = set_builder(self)
        try:
            yield self
        finally:
            set_builder(previous)

    def finish(self, outputs: Sequence[Atom]) -> Graph:
        """The graph; constants come last among its inputs, in order of first use."""
        return Graph([*self.inputs, *self.consts], self.eqns, outputs)
