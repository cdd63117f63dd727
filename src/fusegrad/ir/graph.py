"""Graph: a typed, functional, single-assignment program over arrays.

``Var`` is a name for a value, ``Literal`` a typed scalar constant, ``Eqn`` one application of a
primitive with the user's line, ``Graph`` the whole: inputs, equations in order, outputs. A Literal
operand of an elementwise equation stands for a scalar and needs no broadcast.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Union

from ..dtypes import DType, number_of, stored
from ..errors import Site
from .aval import Aval

if TYPE_CHECKING:
    from .primitive import Primitive


class Var:
    """A value of the graph; identity is its name, ``hint`` a user name for printing."""

    __slots__ = ("aval", "hint", "owner")

    def __init__(self, aval: Aval, hint: str = "", owner: object = None) -> None:
        self.aval = aval
        self.hint = hint
        self.owner = owner  # the builder, to recognise tracers that leaked out of their trace

    def __repr__(self) -> str:
        return f"Var({self.aval}{', ' + self.hint if self.hint else ''})"


class Literal:
    """A typed scalar constant, printed in place: ``2.0:f32``."""

    __slots__ = ("aval", "value")

    def __init__(self, value: Any, dtype: DType) -> None:
        # A scalar of a record dtype is a view of its array: a copy of its own cannot change.
        self.value = stored(value, dtype).copy()[()] if dtype.reduced else dtype.np.type(value)
        self.aval = Aval((), dtype)

    @property
    def number(self) -> Any:
        """The value as a Python number."""
        return number_of(self.value)

    def __repr__(self) -> str:
        return f"{self.number!r}:{self.aval.dtype.short}"


Atom = Union[Var, Literal]  # noqa: UP007  evaluated at run time on Python 3.10


class Eqn:
    """``outputs = primitive[params] inputs`` at a user line; ``backward`` marks derivative code."""

    __slots__ = ("backward", "inputs", "outputs", "params", "primitive", "site")

    def __init__(
        self,
        primitive: Primitive,
        inputs: tuple[Atom, ...],
        params: dict[str, Any],
        outputs: tuple[Var, ...],
        site: Site | None = None,
        backward: bool = False,
    ) -> None:
        self.primitive = primitive
        self.inputs = inputs
        self.params = params
        self.outputs = outputs
        self.site = site
        self.backward = backward

    def replace(self, inputs: tuple[Atom, ...], outputs: tuple[Var, ...]) -> Eqn:
        """The same operation on other atoms."""
        return Eqn(self.primitive, inputs, self.params, outputs, self.site, self.backward)

    @property
    def where(self) -> str:
        """``file.py:12``, with a mark for derivative code; empty when unknown."""
        if self.site is None:
            return ""
        return self.site.short + (" (backward)" if self.backward else "")

    def __repr__(self) -> str:
        return f"Eqn({self.primitive.name})"


def nested_graphs(eqn: Eqn) -> list[Graph]:
    """The graphs among the parameters of an equation (the body of a loop), by parameter name."""
    return [v for _, v in sorted(eqn.params.items()) if isinstance(v, Graph)]


class Graph:
    """Inputs, equations, outputs; ``consts`` pairs some inputs with fixed arrays."""

    __slots__ = ("eqns", "inputs", "outputs")

    def __init__(self, inputs: Iterable[Var], eqns: Iterable[Eqn], outputs: Iterable[Atom]) -> None:
        self.inputs = tuple(inputs)
        self.eqns = tuple(eqns)
        self.outputs = tuple(outputs)

    def uses(self) -> dict[Var, list[Eqn]]:
        """Equations that read each Var."""
        table: dict[Var, list[Eqn]] = {}
        for eqn in self.eqns:
            for atom in eqn.inputs:
                if isinstance(atom, Var):
                    table.setdefault(atom, []).append(eqn)
        return table

    def __str__(self) -> str:
        from .text import print_graph  # same layer; late because text imports this module

        return print_graph(self)
