"""The checker accepts what the builder makes and names what is wrong with anything else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from fusegrad.dtypes import float32, float64
from fusegrad.errors import DTypeError, LeakedTracerError, ShapeError, VerifyError
from fusegrad.ir.aval import Aval
from fusegrad.ir.builder import Builder
from fusegrad.ir.graph import Eqn, Graph, Literal, Var
from fusegrad.ir.interpret import interpret
from fusegrad.ir.verify import verify
from fusegrad.ops import elementwise as ew
from fusegrad.ops import reduce

F3 = Aval((3,), float32)


def eqn(primitive: object, inputs: tuple, out: Var, **params: object) -> Eqn:
    """An equation without checks."""
    return Eqn(primitive, inputs, params, (out,))  # type: ignore[arg-type]


def undefined() -> Graph:
    x, y, out = Var(F3), Var(F3), Var(F3)
    return Graph([x], [eqn(ew.add, (x, y), out)], [out])


def twice() -> Graph:
    x, out = Var(F3), Var(F3)
    return Graph([x], [eqn(ew.neg, (x,), out), eqn(ew.neg, (x,), out)], [out])


def wrong_aval() -> Graph:
    x, out = Var(F3), Var(Aval((4,), float32))
    return Graph([x], [eqn(ew.neg, (x,), out)], [out])


def wrong_dtype() -> Graph:
    x, out = Var(F3), Var(Aval((3,), float64))
    return Graph([x], [eqn(ew.neg, (x,), out)], [out])


def loose_output() -> Graph:
    return Graph([Var(F3)], [], [Var(F3)])


def input_twice() -> Graph:
    x = Var(F3)
    return Graph([x, x], [], [x])


def reordered() -> Graph:
    x, a, b = Var(F3), Var(F3), Var(F3)
    return Graph([x], [eqn(ew.neg, (a,), b), eqn(ew.neg, (x,), a)], [b])


def redefined_input() -> Graph:
    x = Var(F3)
    return Graph([x], [eqn(ew.neg, (x,), x)], [x])


BROKEN: dict[Callable[[], Graph], str] = {
    undefined: "before its definition",
    twice: "assigned twice",
    wrong_aval: "its rule says",
    wrong_dtype: "its rule says",
    loose_output: "is not defined",
    input_twice: "listed twice",
    reordered: "before its definition",
    redefined_input: "assigned twice",
}


@pytest.mark.parametrize("make", BROKEN, ids=lambda f: f.__name__)
def test_broken_graphs_are_named(make: Callable[[], Graph]) -> None:
    with pytest.raises(VerifyError, match=BROKEN[make]) as caught:
        verify(make(), "a pass")
    assert str(caught.value).startswith("a pass: ")


def test_shapes_that_do_not_fit_are_refused() -> None:
    x, y, out = Var(F3), Var(Aval((4,), float32)), Var(F3)
    with pytest.raises((VerifyError, ShapeError)):
        verify(Graph([x, y], [eqn(ew.add, (x, y), out)], [out]))


def test_builder_graphs_are_well_formed_and_compute() -> None:
    builder = Builder()
    x = builder.input(F3, "x")
    with builder.active():
        out = reduce.sum_(ew.mul(ew.add(x, 1.0), x), axes=(0,))
    graph = verify(builder.finish([out, x]))
    total, same = interpret(graph, [np.array([1, 2, 3], "f4")])
    assert total == 20 and total.dtype == np.float32
    assert same[2] == 3


def test_arrays_become_constants_once() -> None:
    builder = Builder()
    x = builder.input(F3)
    table = np.array([1, 2, 3], "f4")
    with builder.active():
        out = ew.add(ew.mul(x, table), table)
    graph = verify(builder.finish([out]))
    assert len(graph.inputs) == 2
    assert list(builder.consts.values()) == [table]


def test_scalars_become_typed_literals() -> None:
    builder = Builder()
    x = builder.input(Aval((3,), float64))
    with builder.active():
        ew.mul(x, 2)
        ew.mul(x, np.float64(3.0))
    for equation in builder.eqns:
        literal = equation.inputs[1]
        assert isinstance(literal, Literal) and literal.aval.dtype is float64


def test_a_variable_of_another_builder_is_refused() -> None:
    first, second = Builder(), Builder()
    x = first.input(F3)
    with second.active(), pytest.raises(LeakedTracerError, match="another trace"):
        ew.neg(x)
    with pytest.raises(LeakedTracerError, match="outside its trace"):
        ew.neg(x)


def test_dtype_errors_come_from_the_rule() -> None:
    builder = Builder()
    x, y = builder.input(F3), builder.input(Aval((3,), float64))
    with builder.active(), pytest.raises(DTypeError, match=r"add got f32\[3\], f64\[3\]"):
        ew.add(x, y)
