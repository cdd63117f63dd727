"""Every primitive, by its record: reference, avals, derivatives of both modes, compiled kernels.

The cases come from the registry; nothing here names an operation, except where a kernel is run
three ways. Compiled checks put many applications into one jitted function per dtype, so that the
suite compiles tens of kernels, not thousands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from slices import by_turns

import fusegrad as fg
from fusegrad.api import jit
from fusegrad.dtypes import (
    DType,
    bool_,
    complex64,
    complex128,
    float32,
    float64,
    int32,
    int64,
    uint8,
)
from fusegrad.ir.aval import aval_of
from fusegrad.ir.builder import Builder
from fusegrad.ir.graph import Graph
from fusegrad.ir.interpret import interpret
from fusegrad.ir.primitive import REGISTRY, Primitive, bind
from fusegrad.ir.text import parse_graph, print_graph
from fusegrad.ir.verify import verify
from fusegrad.runtime.plain import run_plain
from fusegrad.tensor import Tensor
from fusegrad.testing import Sample, difference, samples
from fusegrad.trace.capture import Capture
from fusegrad.transform.jvp import jvp, push_forward

EPS = 1e-6
REFUSING = [
    p for p in REGISTRY.values() if any(getattr(rule, "refuses", False) for rule in p.derivs)
]
DIFFERENTIABLE = [p for p in REGISTRY.values() if p.differentiable and p not in REFUSING]
CASES = [pytest.param(p, d, id=f"{p.name}-{d.short}") for p in REGISTRY.values() for d in p.dtypes]


def graph_of(primitive: Primitive, sample: Sample) -> Graph:
    """The one-equation graph of a sample."""
    builder = Builder()
    variables = [builder.input(aval_of(a)) for a in sample.args]
    with builder.active():
        out = bind(primitive, *variables, **sample.params)
    return builder.finish(results_of(primitive, out))


def results_of(primitive: Primitive, out: Any) -> Sequence[Any]:
    """All results of an application."""
    return out if primitive.multiple else (out,)


def vjp_graph(graph: Graph) -> Graph:
    """``[*inputs, cotangent] -> cotangents`` of the differentiable inputs of a graph."""
    capture = Capture()
    leaves = []
    for var in graph.inputs:
        x = Tensor(capture.input(var.aval))
        x.requires_grad = var.aval.dtype.is_differentiable
        leaves.append(x)
    with capture.active():
        (out,) = interpret(graph, leaves)
        cotangent = Tensor(capture.input(out.aval))
        wanted = [x for x in leaves if x.requires_grad]
        found = fg.autograd.grad(
            out, wanted, cotangent, create_graph=True, allow_unused=True, materialize_grads=True
        )
        return verify(capture.finish([g._read() for g in found]), "vjp")


def differences(function: Callable[..., Any], args: Sequence[Any], moves: Sequence[Any]) -> Any:
    """Central differences of ``function`` along ``moves`` (``None``: fixed)."""

    def at(step: float) -> Any:
        return function(
            *[a if m is None else a + step * m for a, m in zip(args, moves, strict=True)]
        )

    return [(above - below) / (2 * EPS) for above, below in zip(at(EPS), at(-EPS), strict=True)]


def directions(
    rng: np.random.Generator, args: Sequence[Any], primitive: Primitive | None = None
) -> list[Any]:
    """A random tangent for every floating operand; Hermitian where the operand is."""
    moves = [rng.normal(size=a.shape) if a.dtype.kind == "f" else None for a in args]
    if primitive is not None and primitive.hermitian:
        moves[0] = moves[0] + np.swapaxes(moves[0], -1, -2)
    return moves


# --- the record against its own reference ---------------------------------------------------------
@pytest.mark.parametrize(("primitive", "dtype"), CASES)
def test_result_is_what_the_rule_says(primitive: Primitive, dtype: DType) -> None:
    for sample in samples(primitive, dtype):
        before = [a.copy() for a in sample.args]
        with np.errstate(all="ignore"):
            reference = primitive.reference(*sample.args, **sample.params)
        found = bind(primitive, *sample.args, **sample.params)
        avals = primitive.aval_rule(*map(aval_of, sample.args), **sample.params)
        rows = (results_of(primitive, x) for x in (reference, found, avals))
        for expected, out, aval in zip(*rows, strict=True):
            assert aval_of(out) == aval
            assert np.asarray(expected).dtype == out.dtype
            np.testing.assert_array_equal(out, expected)
            for operand in sample.args:
                assert primitive.alias or not np.shares_memory(out, operand)
        for kept, operand in zip(before, sample.args, strict=True):
            np.testing.assert_array_equal(kept, operand)


@pytest.mark.parametrize(("primitive", "dtype"), CASES)
def test_printed_equation_parses_back(primitive: Primitive, dtype: DType) -> None:
    for sample in samples(primitive, dtype):
        graph = verify(graph_of(primitive, sample))
        text = print_graph(graph, sites=False)
        again = verify(parse_graph(text))
        assert print_graph(again, sites=False) == text
        out, back = interpret(graph, sample.args), interpret(again, sample.args)
        for a, b in zip(out, back, strict=True):
            np.testing.assert_array_equal(a, b)


# --- derivatives ----------------------------------------------------------------------------------
def differentiable_samples(primitive: Primitive) -> list[Sample]:
    if float64 not in primitive.dtypes:
        return []
    return [
        s
        for s in samples(primitive, float64, seed=1)
        if primitive.aval_rule(*map(aval_of, s.args), **s.params).dtype is float64
    ]


@pytest.mark.parametrize("primitive", DIFFERENTIABLE, ids=str)
def test_forward_mode_is_central_differences(primitive: Primitive) -> None:
    rng = np.random.default_rng(2)
    for sample in differentiable_samples(primitive):
        graph = graph_of(primitive, sample)
        moves = directions(rng, sample.args, primitive)
        (out,), (found,) = push_forward(graph, sample.args, moves)
        expected = differences(lambda *a, g=graph: interpret(g, a), sample.args, moves)[0]
        found = np.zeros(out.shape) if found is None else found
        np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-7, err_msg=str(graph))


@pytest.mark.parametrize("primitive", DIFFERENTIABLE, ids=str)
def test_reverse_mode_is_the_transpose_of_forward_mode(primitive: Primitive) -> None:
    rng = np.random.default_rng(3)
    for sample in differentiable_samples(primitive):
        graph = graph_of(primitive, sample)
        moves = directions(rng, sample.args, primitive)
        (out,), (pushed,) = push_forward(graph, sample.args, moves)
        cotangent = rng.normal(size=out.shape)
        pulled = interpret(vjp_graph(graph), [*sample.args, cotangent])
        left = 0.0 if pushed is None else np.vdot(cotangent, pushed)
        right = sum(
            np.vdot(m, g) for m, g in zip([m for m in moves if m is not None], pulled, strict=True)
        )
        assert left == pytest.approx(right, rel=1e-10, abs=1e-10), str(graph)


@pytest.mark.parametrize("primitive", DIFFERENTIABLE, ids=str)
def test_second_order_is_forward_over_reverse(primitive: Primitive) -> None:
    rng = np.random.default_rng(4)
    for sample in differentiable_samples(primitive):
        backward = vjp_graph(graph_of(primitive, sample))
        args = [*sample.args, rng.normal(size=backward.inputs[-1].aval.shape)]
        moves = directions(rng, args, primitive)
        outputs, found = push_forward(backward, args, moves)
        expected = differences(lambda *a, g=backward: interpret(g, a), args, moves)
        for out, tangent, numeric in zip(outputs, found, expected, strict=True):
            tangent = np.zeros(out.shape) if tangent is None else tangent
            np.testing.assert_allclose(
                tangent, numeric, rtol=5e-6, atol=1e-6, err_msg=str(backward)
            )


@pytest.mark.parametrize("primitive", REFUSING, ids=str)
def test_missing_derivative_is_named(primitive: Primitive) -> None:
    first = samples(primitive, float64)[0]
    xs = [fg.tensor(a, requires_grad=True) for a in first.args]
    with pytest.raises(RuntimeError, match=f"{primitive.name}.* has no derivative rule"):
        primitive(*xs, **first.params).sum().backward()


@pytest.mark.parametrize("primitive", DIFFERENTIABLE, ids=str)
def test_jvp_graph_verifies_and_nests(primitive: Primitive) -> None:
    rng = np.random.default_rng(5)
    for sample in differentiable_samples(primitive)[:2]:
        graph = graph_of(primitive, sample)
        first = verify(jvp(graph), "jvp")
        args = [
            *sample.args,
            *[m for m in directions(rng, sample.args, primitive) if m is not None],
        ]
        moves = directions(rng, args, primitive)
        found = interpret(
            verify(jvp(first), "jvp of jvp"), [*args, *[m for m in moves if m is not None]]
        )
        expected = differences(lambda *a, g=first: interpret(g, a), args, moves)
        for tangent, numeric in zip(found[len(first.outputs) :], expected, strict=True):
            np.testing.assert_allclose(tangent, numeric, rtol=5e-6, atol=1e-6)


# --- compiled -------------------------------------------------------------------------------------
COMPILED = [float64, float32, int64, int32, uint8, bool_, complex128, complex64]
# Kernels round in another order and use their own exp, log, ...: a few units in the last place.
TOLERANCE = {float64: 1e-13, float32: 2e-6, complex128: 1e-13, complex64: 2e-6}


def applications(dtype: DType, kinds: Sequence[str]) -> list[tuple[Primitive, Sample]]:
    return [
        (p, s)
        for p in REGISTRY.values()
        if dtype in p.dtypes and p.kind in kinds
        for s in samples(p, dtype, seed=6)
    ]


def run_all(rows: Sequence[tuple[Primitive, Sample]], args: Sequence[Any]) -> list[Any]:
    given = iter(args)
    return [
        p(*[next(given) for _ in s.args], **s.params) if s.args else Tensor(p(**s.params))
        for p, s in rows
    ]


def layout(array: Any, kind: str) -> Any:
    """The same elements behind other strides."""
    if kind == "transposed":
        return np.array(array.T, order="C").T
    if kind == "sliced" and array.ndim:
        wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1] + 1), array.dtype)
        wide[..., 1::2] = array
        return wide[..., 1::2]
    return array


def check_compiled(rows: Sequence[tuple[Primitive, Sample]], dtype: DType, kind: str) -> None:
    arrays = [layout(a, kind) for _, s in rows for a in s.args]
    eager = run_all(rows, [fg.from_numpy(a) for a in arrays])
    function = jit(lambda *args: run_all(rows, args))
    found = function(*[fg.from_numpy(a) for a in arrays])
    problems = []
    for (p, s), a, b in zip(rows, eager, found, strict=True):
        problem = difference(a.numpy(), b.numpy(), rtol=TOLERANCE.get(dtype))
        if problem:
            shapes = [f"{x.dtype}{list(x.shape)}" for x in s.args]
            problems.append(f"{p.name} {shapes} {s.params}: {problem}")
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [
        *[pytest.param(d, "dense", id=f"{d.short}-dense") for d in COMPILED],
        *by_turns(COMPILED, ["transposed", "sliced"]),
    ],
)
def test_compiled_elementwise(dtype: DType, kind: str) -> None:
    check_compiled(applications(dtype, ["elementwise"]), dtype, kind)


@pytest.mark.parametrize(
    ("dtype", "layouts"),
    [
        (d, layouts)
        for d, layouts in zip(COMPILED, [("dense", "transposed"), ("dense",)] * len(COMPILED))
    ],
    ids=lambda x: getattr(x, "short", None) or "-".join(x),
)
@pytest.mark.parametrize(
    "kinds",
    [["movement"], ["reduce"], ["contract", "indexing", "source"], ["scan", "sort"]],
    ids="-".join,
)
def test_compiled_other_kinds(dtype: DType, layouts: tuple[str, ...], kinds: list[str]) -> None:
    rows = applications(dtype, kinds)
    for kind in layouts:
        check_compiled(rows, dtype, kind)


SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    np.nan,
    np.inf,
    -np.inf,
    0.5,
    -2.5,
    1e-40,
    5e-324,
    1e30,
    -1e30,
    2.0,
]


@pytest.mark.parametrize("dtype", [float64, float32], ids=lambda d: d.short)
def test_compiled_elementwise_on_special_values(dtype: DType) -> None:
    """NaN, infinities, signed zeros, subnormals and huge numbers come out as in NumPy."""
    with np.errstate(all="ignore"):
        line = np.array(SPECIAL).astype(dtype.np)
    x, y = (a.ravel().copy() for a in np.meshgrid(line, line))
    rows = []
    for p in REGISTRY.values():
        if p.kind == "elementwise" and dtype in p.dtypes and p.samples is None:
            # quotients beyond 2**288 and reciprocals of subnormals are outside what these promise
            divides = p.name in ("floor_div", "remainder", "fmod")
            second = np.where(divides & (np.abs(y) < 1e-30) & (y != 0), dtype.np.type(3), y)
            rows.append((p, Sample((x, second)[: len(p.arg_names)], {})))
    check_compiled(rows, dtype, "dense")


@pytest.mark.parametrize("dtype", [int64, int32, uint8], ids=lambda d: d.short)
def test_compiled_integers_at_their_limits(dtype: DType) -> None:
    """Integer arithmetic wraps around at the ends of the range as in NumPy."""
    info = np.iinfo(dtype.np)
    line = np.array([info.min, info.max, 0, 1, 2, 3, 7, info.max - 1], dtype.np)
    x, y = (a.ravel().copy() for a in np.meshgrid(line, line))
    rows = []
    for p in REGISTRY.values():
        if p.kind != "elementwise" or dtype not in p.dtypes or p.samples is not None:
            continue
        small = p.name in ("ipow", "shift_left", "shift_right")
        second = (y % 7).astype(dtype.np) if small else y
        rows.append((p, Sample((x, second)[: len(p.arg_names)], {})))
    check_compiled(rows, dtype, "dense")


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)], ids=str)
def test_compiled_reductions_with_large_offsets(axes: tuple[int, ...]) -> None:
    """Sums of numbers around 1e6 keep their digits; nan and infinities propagate."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(257, 33)) + 1e6
    x[3, 4], x[100, 7], x[5, 30] = np.nan, np.inf, -np.inf
    rows = [
        (p, Sample((x,), {"axes": axes}))
        for p in REGISTRY.values()
        if p.kind == "reduce" and float64 in p.dtypes and p.samples is None
    ]
    check_compiled(rows, float64, "dense")


# --- three ways -----------------------------------------------------------------------------------
THREE_WAYS: dict[str, Callable[..., Any]] = {
    "map": lambda x, y: (x * y + 1.0).tanh(),
    "row": lambda x, y: (x - x.amax(1, True)).exp() / (x - x.amax(1, True)).exp().sum(1, True),
    "column": lambda x, y: (x * y).sum(0),
    "total": lambda x, y: (x.sin() * y).sum(),
    "moved": lambda x, y: fg.cat([x.flip(1), y[:, ::2]], 1).t() * 2.0,
    "contract": lambda x, y: (x @ y.t()).relu(),
}


@pytest.mark.parametrize("name", THREE_WAYS)
def test_interpreter_plain_python_and_machine_code_agree(name: str) -> None:
    """The same kernel text under CPython and compiled, and the graph interpreted."""
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(5, 6)), rng.normal(size=(5, 6))
    function = jit(THREE_WAYS[name])
    compiled = function(fg.from_numpy(x), fg.from_numpy(y)).numpy()
    trace = function.history[-1]
    (interpreted,) = interpret(trace.graph, [x, y])
    plan = trace.plan
    memory = {
        b: np.zeros(max(1, int(np.prod(b.shape))), b.dtype.np)
        for b in [*plan.inputs, *plan.outputs, *plan.temporaries]
    }
    for buffer, value in zip(plan.inputs, (x, y), strict=True):
        memory[buffer][:] = value.ravel()
    for launch in trace.program.launches:
        generated = launch.generated
        assert generated is not None
        args: list[Any] = []
        for (_, kind), argument in zip(generated.source.params, generated.arguments, strict=True):
            if argument.kind == "buffer":
                args.append(memory[argument.buffer])
            elif argument.kind == "int":
                args.append(argument.value)
            else:
                dtype = {"f64*": np.float64, "i64*": np.int64, "u8*": np.uint8}[kind]
                args.append(np.zeros(argument.size + 64, dtype))
        run_plain(generated.source, args)
    plain = memory[plan.outputs[0]].reshape(interpreted.shape)
    assert not difference(interpreted, compiled)
    assert not difference(interpreted, plain)
