"""scan: eager loop, compiled loop and unrolled loop are one function, to any derivative."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fusegrad as fg
from fusegrad.errors import CaptureError, GradientError
from fusegrad.ir.builder import Builder
from fusegrad.ir.graph import Graph, nested_graphs
from fusegrad.ir.interpret import interpret
from fusegrad.ir.text import parse_graph, print_graph
from fusegrad.ir.verify import verify
from fusegrad.loops import scan_tensors
from fusegrad.ops import control, elementwise, transcendental
from fusegrad.passes.clean import eliminate_dead
from fusegrad.passes.pipeline import run_passes
from fusegrad.runtime.compile import counters
from fusegrad.testing import assert_same, gradcheck
from fusegrad.trace.tree import flatten
from fusegrad.transform.jvp import jvp, push_forward

D = fg.float64


def tensors(seed: int = 0, steps: int = 5) -> tuple[Any, ...]:
    """Weight, bias, inputs of all steps and a first state, all requiring gradients."""
    rng = np.random.default_rng(seed)
    shapes = ((3, 3), (3,), (steps, 2, 3), (2, 3))
    return tuple(fg.tensor(rng.normal(size=s), requires_grad=True) for s in shapes)


def cell(w: Any, b: Any) -> Callable[[Any, Any], tuple[Any, Any]]:
    def step(h: Any, x: Any) -> tuple[Any, Any]:
        h = fg.tanh(h @ w + x + b)
        return h, h * 2

    return step


def unrolled(f: Any, carry: Any, xs: Any, reverse: bool = False) -> tuple[Any, Any]:
    order = range(xs.shape[0])
    rows = {}
    for t in reversed(order) if reverse else order:
        carry, rows[t] = f(carry, xs[t])
    return carry, fg.stack([rows[t] for t in order])


def arrays(value: Any) -> list[np.ndarray]:
    leaves: list[Any] = []
    flatten(value, leaves)
    return [x.detach().numpy() for x in leaves if x is not None]


def same(found: Any, expected: Any, atol: float = 1e-11) -> None:
    a, b = arrays(found), arrays(expected)
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=atol)


def everywhere(function: Callable[..., Any], *args: Any) -> Any:
    """The result of a function, eager and compiled, twice each way, all equal."""
    eager = function(*args)
    compiled = fg.jit(function)
    same(compiled(*args), eager)
    same(compiled(*args), eager)
    return eager


# --- values ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 3, 8])
def test_the_loop_is_the_unrolled_loop(steps: int, reverse: bool) -> None:
    w, b, xs, h = tensors(steps=steps)
    found = everywhere(lambda x, h: fg.scan(cell(w, b), h, x, reverse=reverse), xs, h)
    same(found, unrolled(cell(w, b), h, xs, reverse))


def test_the_example_of_the_documents() -> None:
    last, sums = fg.jit(lambda x: fg.scan(lambda s, v: (s + v, s), fg.tensor(0.0), x))(
        fg.arange(4.0)
    )
    assert last.item() == 6.0 and sums.tolist() == [0.0, 0.0, 1.0, 3.0]


def test_no_steps_give_the_initial_carry_and_empty_stacks() -> None:
    def run(x: Any) -> Any:
        return fg.scan(lambda c, v: (c + v, (c * 2, v.sum())), fg.ones(3, dtype=D), x)

    last, (ys, sums) = everywhere(run, fg.zeros(0, 3, dtype=D))
    assert last.tolist() == [1.0, 1.0, 1.0]
    assert ys.shape == (0, 3) and sums.shape == (0,) and ys.dtype is D


def test_no_inputs_and_a_given_length() -> None:
    last, ys = everywhere(lambda: fg.scan(lambda c, _: (c + 1, c * c), fg.tensor(0), length=5), *[])
    assert last.item() == 5 and ys.tolist() == [0, 1, 4, 9, 16]


def test_carries_that_trade_places() -> None:
    x = fg.randn(7, 3, dtype=D)

    def run(x: Any) -> Any:
        start = (fg.zeros(3, dtype=D), fg.ones(3, dtype=D))
        return fg.scan(lambda c, v: ((c[1], c[0] + v), c[0]), start, x)

    everywhere(run, x)
    everywhere(run, x[:6])  # the other parity ends in the other place


def test_a_carry_may_be_emitted_before_and_after_the_step() -> None:
    def run(x: Any) -> Any:
        return fg.scan(
            lambda c, v: (c + v, (c, c + v, c + v, v, c)), fg.zeros(3, dtype=D), x, reverse=True
        )

    everywhere(run, fg.randn(4, 3, dtype=D))


def test_a_carry_that_no_step_changes_and_one_that_nobody_reads() -> None:
    def run(x: Any) -> Any:
        (same_, _), ys = fg.scan(lambda c, v: ((c[0], c[1] + v), v * c[0]), (x[0], x[1]), x)
        return same_, ys

    found = everywhere(run, fg.randn(4, 3, dtype=D))
    assert found[1].shape == (4, 3)


def test_operands_behind_strides() -> None:
    x = fg.randn(6, 4, dtype=D)
    everywhere(lambda x: fg.scan(lambda c, v: (c + v, v * c), x[:, 0], x.t()), x)
    everywhere(lambda x: fg.scan(lambda c, v: (c * v, c), x[2], x[1:4]), x)
    everywhere(lambda x: fg.scan(lambda c, v: (c + v, c * x[5]), x[0], x[::2]), x)
    everywhere(lambda x: fg.scan(lambda c, v: (c + v, c), x.flip(0)[0], x.flip(0)), x)


def test_trees_with_none_and_dictionaries() -> None:
    def step(carry: Any, x: Any) -> Any:
        assert carry["none"] is None and x[1] is None
        return {"a": carry["a"] + x[0], "none": None}, {"y": carry["a"], "nothing": None}

    def run(x: Any) -> Any:
        return fg.scan(step, {"a": fg.zeros(3, dtype=D), "none": None}, [x, None])

    last, ys = everywhere(run, fg.randn(4, 3, dtype=D))
    assert ys["nothing"] is None and last["none"] is None and ys["y"].shape == (4, 3)


def test_nan_and_infinity_pass_through() -> None:
    x = fg.tensor([[1.0, np.inf], [np.nan, 2.0], [3.0, -np.inf]], dtype=D)
    last, _ = everywhere(
        lambda x: fg.scan(lambda c, v: (c + v, c.maximum(v)), fg.zeros(2, dtype=D), x), x
    )
    assert np.isnan(last.numpy()).all()


def test_zero_dimensional_and_empty_values() -> None:
    everywhere(
        lambda x: fg.scan(lambda c, v: (c + v.sum(), c), fg.tensor(1.0, dtype=D), x),
        fg.randn(3, 2, dtype=D),
    )
    last, ys = everywhere(
        lambda x: fg.scan(lambda c, v: (c + v, c), fg.zeros(0, dtype=D), x),
        fg.zeros(3, 0, dtype=D),
    )
    assert last.shape == (0,) and ys.shape == (3, 0)


def test_in_place_changes_of_slices_and_carries() -> None:
    def step(c: Any, v: Any) -> Any:
        c += v
        v.mul_(2)
        return c, v

    x = fg.randn(4, 3, dtype=D)
    kept = x.clone()
    everywhere(lambda x: fg.scan(step, fg.zeros(3, dtype=D), x.clone()), x)
    same(x, kept)


def test_random_numbers_differ_between_steps_and_agree_with_eager() -> None:
    def run(x: Any) -> Any:
        return fg.scan(lambda c, v: (c + fg.randn(3, dtype=D), fg.rand(3)), x[0], x)

    x = fg.zeros(4, 3, dtype=D)
    fg.manual_seed(5)
    eager, after = run(x), fg.rand(2)
    fg.manual_seed(5)
    compiled, then = fg.jit(run)(x), fg.rand(2)
    same(compiled, eager)
    same(then, after)
    assert len(np.unique(eager[1].numpy())) == 12


def test_a_buffer_that_steps_update_is_carried() -> None:
    count = fg.zeros(2, dtype=D)

    def step(c: Any, v: Any) -> Any:
        with fg.no_grad():
            count.add_(v)
        return c + count, count * 1

    x = fg.randn(5, 2, dtype=D)
    eager = fg.scan(step, fg.zeros(2, dtype=D), x)
    total = count.clone()
    count.zero_()
    same(fg.jit(lambda x: fg.scan(step, fg.zeros(2, dtype=D), x))(x), eager)
    same(count, total)


def test_map_is_a_stack_of_results() -> None:
    x = fg.randn(4, 3, dtype=D)
    found = everywhere(lambda x: fg.map(lambda v: (v.softmax(0), v.sum()), x), x)
    same(found[0], x.softmax(1))
    same(found[1], x.sum(1))


def test_a_loop_in_a_loop() -> None:
    x = fg.randn(4, 3, dtype=D) * 0.5
    w = fg.randn(3, 3, dtype=D).requires_grad_()

    def outer(c: Any, row: Any) -> Any:
        d, ys = fg.scan(lambda d, v: (fg.tanh(d * v + (w @ c).sum()), d + row.sum()), c[0], row)
        return fg.sin(c + d), ys

    def run(x: Any) -> Any:
        c, ys = fg.scan(outer, fg.ones(3, dtype=D), x)
        return c, ys, fg.autograd.grad(c.sum() + (ys * ys).sum(), [w])

    everywhere(run, x)
    everywhere(lambda x: fg.scan(outer, fg.ones(3, dtype=D), x, reverse=True), x)


# --- gradients ------------------------------------------------------------------------------------
def losses(function: Any, w: Any, b: Any, x: Any, h: Any, order: int) -> list[Any]:
    """The loss of a loop and its gradients up to an order."""
    last, ys = function(cell(w, b), h, x)
    found = [(last * last).sum() + ys.sin().sum()]
    for k in range(order):
        total = found[0] if not k else sum((g * g).sum() for g in found[1:])
        found += fg.autograd.grad(total, [w, b, x, h], create_graph=k + 1 < order)
    return found


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_gradients_are_those_of_the_unrolled_loop(order: int, steps: int) -> None:
    w, b, xs, h = tensors(1, steps)
    expected = losses(unrolled, w, b, xs, h, order)
    same(losses(fg.scan, w, b, xs, h, order), expected)
    compiled = fg.jit(lambda x, h: losses(fg.scan, w, b, x, h, order))
    same(compiled(xs, h), expected, 1e-9)


def test_the_eager_loop_without_a_trace_has_the_same_gradients() -> None:
    w, b, xs, h = tensors(2)

    def direct(f: Any, h: Any, x: Any) -> Any:
        def step(c: Any, s: Any) -> Any:
            new, y = f(c[0], s[0])
            return [new], [y]

        last, ys = scan_tensors(step, [h], [x], x.shape[0], False)
        return last[0], ys[0]

    same(losses(direct, w, b, xs, h, 2), losses(fg.scan, w, b, xs, h, 2))


@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_are_central_differences(reverse: bool) -> None:
    w, b, xs, h = tensors(3, 3)

    def run(w: Any, b: Any, x: Any, h: Any) -> Any:
        return fg.scan(cell(w, b), h, x, reverse=reverse)

    assert gradcheck(fg.jit(run), (w, b, xs, h))


@pytest.mark.parametrize("chosen", ["last", "stack", "one row"])
def test_only_some_results_have_a_cotangent(chosen: str) -> None:
    w, b, xs, h = tensors(4)

    def pick(result: Any) -> Any:
        last, ys = result
        return {"last": last, "stack": ys, "one row": ys[2]}[chosen].square().sum()

    def run(loop: Any, x: Any, h: Any) -> Any:
        return fg.autograd.grad(pick(loop(cell(w, b), h, x)), [w, x, h])

    expected = run(unrolled, xs, h)
    same(fg.jit(lambda x, h: run(fg.scan, x, h))(xs, h), expected)


def test_gradients_of_constants_that_are_no_products() -> None:
    """Sums, movements, elementwise use and a value that enters the loop twice."""
    a = fg.randn(3, dtype=D).requires_grad_()
    m = fg.randn(2, 3, 4, dtype=D).requires_grad_()
    x = fg.randn(5, 3, dtype=D)

    def step(c: Any, v: Any) -> Any:
        c = fg.sin(c * a + v) + m[:, :, 1].sum(0) + m.permute(2, 0, 1).flip(0)[0, 0]
        return c, (m * c.reshape(1, 3, 1)).sum((0, 2)) + a.exp()

    def run(loop: Any, x: Any) -> Any:
        last, ys = loop(step, x[0], x)
        return fg.autograd.grad(last.sum() + ys.square().sum(), [a, m])

    expected = run(unrolled, x)
    same(run(fg.scan, x), expected)
    same(fg.jit(lambda x: run(fg.scan, x))(x), expected)


def test_detached_values_and_custom_functions_keep_their_meaning() -> None:
    class Double(fg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 5  # wrong on purpose: the rule decides

    w = fg.randn(3, dtype=D).requires_grad_()
    x = fg.randn(4, 3, dtype=D)

    def step(c: Any, v: Any) -> Any:
        with fg.no_grad():
            scale = c.abs().sum()
        c = Double.apply(c * w) + v * c.detach() + scale * w
        return c, c

    def run(loop: Any, x: Any, order: int) -> Any:
        last, ys = loop(step, x[0], x)
        (g,) = fg.autograd.grad(last.sum() + ys.sum(), [w], create_graph=order > 1)
        return (g, *fg.autograd.grad(g.square().sum(), [w])) if order > 1 else g

    for order in (1, 2):
        expected = run(unrolled, x, order)
        same(fg.jit(lambda x, order=order: run(fg.scan, x, order))(x), expected)


def test_gradients_inside_the_body() -> None:
    w = fg.randn(3, dtype=D).requires_grad_()

    def step(q: Any, v: Any) -> Any:
        energy = (fg.cos(q) * w).sum() + (q * q * v).sum()
        (force,) = fg.autograd.grad(energy, [q], create_graph=True)
        return q - 0.1 * force, energy

    def run(loop: Any, x: Any) -> Any:
        start = x[0].clone().requires_grad_()
        last, ys = loop(step, start, x)
        return last, ys, fg.autograd.grad(last.sum() + ys.sum(), [w])

    x = fg.randn(4, 3, dtype=D)
    expected = run(unrolled, x)
    same(fg.jit(lambda x: run(fg.scan, x))(x), expected)


def test_a_training_step_with_a_loop() -> None:
    def train(loop: Any, jitted: bool) -> list[float]:
        fg.manual_seed(0)
        w = fg.randn(4, 4).requires_grad_()
        optimizer = fg.optim.Adam([w], lr=0.05)

        def step(x: Any) -> Any:
            optimizer.zero_grad()
            _, ys = loop(lambda h, v: (lambda n: (n, n))(fg.tanh(h @ w + v)), fg.zeros(8, 4), x)
            loss = ys.square().mean()
            loss.backward()
            optimizer.step()
            return loss

        run = fg.jit(step) if jitted else step
        x = fg.randn(6, 8, 4)
        return [run(x).item() for _ in range(5)]

    expected = train(unrolled, False)
    np.testing.assert_allclose(train(fg.scan, False), expected, rtol=1e-5)
    np.testing.assert_allclose(train(fg.scan, True), expected, rtol=1e-5)


def test_backward_from_outside_replays_the_loop() -> None:
    w, b, xs, h = tensors(6)
    compiled = fg.jit(lambda x, h: fg.scan(cell(w, b), h, x))
    last, ys = compiled(xs, h)
    (last.sum() + ys.square().sum()).backward()
    found = [t.grad.clone() for t in (w, b, xs, h)]
    for t in (w, b, xs, h):
        t.grad = None
    last, ys = unrolled(cell(w, b), h, xs)
    (last.sum() + ys.square().sum()).backward()
    same(found, [t.grad for t in (w, b, xs, h)])


# --- forward mode ---------------------------------------------------------------------------------
@pytest.mark.parametrize("reverse", [False, True])
def test_forward_mode_is_central_differences(reverse: bool) -> None:
    graph = recurrence(reverse)
    rng = np.random.default_rng(0)
    primals = [rng.normal(size=v.aval.shape) for v in graph.inputs]
    tangents = [rng.normal(size=v.aval.shape) for v in graph.inputs]
    outs, pushed = push_forward(graph, primals, tangents)
    eps = 1e-6
    above = interpret(graph, [p + eps * t for p, t in zip(primals, tangents, strict=True)])
    below = interpret(graph, [p - eps * t for p, t in zip(primals, tangents, strict=True)])
    for out, t, high, low in zip(outs, pushed, above, below, strict=True):
        np.testing.assert_allclose(out, (high + low) / 2, atol=1e-8)
        np.testing.assert_allclose(t, (high - low) / (2 * eps), rtol=1e-6, atol=1e-8)


def test_forward_mode_of_one_operand_only_carries_what_it_must() -> None:
    graph = recurrence(False)
    moved = verify(jvp(graph, [False, False, True, False]))
    (loop,) = [e for e in moved.eqns if e.primitive is control.scan]
    assert loop.params["carries"] == 3  # two carries and one tangent: the sum does not move it
    text = print_graph(moved, sites=False)
    assert print_graph(parse_graph(text), sites=False) == text


def recurrence(reverse: bool) -> Graph:
    """A scan with one constant, two carries (the second is unaffected by the rest) and a stack."""
    one = fg.zeros(2, dtype=D).aval
    body = Builder()
    a, c, s, x = (body.input(one) for _ in range(4))
    with body.active():
        new = transcendental.tanh(elementwise.add(elementwise.mul(a, c), x))
        count = elementwise.mul(s, 2.0)
        inner = body.finish([new, count, new])
    outer = Builder()
    operands = [outer.input(one) for _ in range(3)] + [outer.input(fg.zeros(4, 2, dtype=D).aval)]
    params = {"body": inner, "consts": 1, "carries": 2, "length": 4, "reverse": reverse}
    with outer.active():
        results = control.scan(*operands[:2], operands[2], operands[3], **params)
    return outer.finish(results)


# --- the compiled program -------------------------------------------------------------------------
def test_compile_work_does_not_grow_with_the_length() -> None:
    w, b, _, h = tensors(7)
    equations, kernels = [], []
    for steps in (3, 1000):
        compiled = fg.jit(lambda x, h: losses(fg.scan, w, b, x, h, 1))
        before = counters.copy()
        compiled(fg.zeros(steps, 2, 3, dtype=D).requires_grad_(), h)
        made = counters - before
        equations.append(len(compiled.graph().eqns))
        kernels.append(len(compiled.kernels()))
    assert equations[0] == equations[1] and kernels[0] == kernels[1]
    assert made.compiles == 0  # the longer loop finds every kernel of the shorter one


def test_weight_gradients_are_one_product_after_the_loop() -> None:
    w, b, xs, h = tensors(8)
    compiled = fg.jit(lambda x, h: losses(fg.scan, w, b, x, h, 1)[1])
    compiled(xs, h)
    graph = compiled.graph(optimised=True)
    backward = [e for e in graph.eqns if e.primitive is control.scan][1]
    (body,) = nested_graphs(backward)
    assert sum(e.primitive.kind == "contract" for e in body.eqns) == 1  # only that of the carry
    after = [e for e in graph.eqns if e.primitive.kind == "contract"]
    assert any(0 in e.params["cx"] and len(e.params["cx"]) == 2 for e in after)


def test_what_nobody_reads_is_pruned() -> None:
    graph = recurrence(False)
    (loop,) = graph.eqns
    pruned = eliminate_dead(Graph(graph.inputs, graph.eqns, [loop.outputs[1]]))
    (left,) = pruned.eqns
    assert left.params["carries"] == 1 and left.params["consts"] == 0
    assert len(left.inputs) == 1 and left.outputs == (loop.outputs[1],)
    verify(pruned)


def test_arithmetic_on_constants_moves_out_of_the_loop() -> None:
    w, _, xs, h = tensors(9)
    compiled = fg.jit(lambda x, h: fg.scan(lambda c, v: (c * w.exp().sum() + v, None), h, x)[0])
    same(compiled(xs, h), unrolled(lambda c, v: (c * w.exp().sum() + v, c), h, xs)[0])
    graph = compiled.graph(optimised=True)
    (loop,) = [e for e in graph.eqns if e.primitive is control.scan]
    inside = [e.primitive.name for e in nested_graphs(loop)[0].eqns]
    assert "exp" not in inside and "sum" not in inside
    assert "exp" in [e.primitive.name for e in graph.eqns]


def test_weights_read_by_columns_are_transposed_once() -> None:
    w = fg.randn(3, 3, dtype=D)
    x = fg.randn(6, 2, 3, dtype=D)

    def run(x: Any) -> Any:
        return fg.scan(lambda h, v: (lambda n: (n, n))(fg.tanh(h @ w.t() + v)), x[0], x)

    compiled = fg.jit(run)
    same(compiled(x), run(x))
    graph = compiled.graph(optimised=True)
    (loop,) = [e for e in graph.eqns if e.primitive is control.scan]
    (product,) = [e for e in nested_graphs(loop)[0].eqns if e.primitive.kind == "contract"]
    assert product.params["cy"] == (0,)
    assert "transpose" in [e.primitive.name for e in graph.eqns]


@pytest.mark.parametrize("length", [0, 1])
def test_trivial_loops_dissolve(length: int) -> None:
    w, b, xs, h = tensors(steps=length)
    compiled = fg.jit(lambda x, h: losses(fg.scan, w, b, x, h, 1)[0])
    compiled(xs, h)
    assert all(e.primitive is not control.scan for e in compiled.graph(optimised=True).eqns)


def test_optimised_graphs_compute_the_same() -> None:
    w, b, xs, h = tensors(11)
    compiled = fg.jit(lambda x, h: losses(fg.scan, w, b, x, h, 1))
    expected = arrays(compiled(xs, h))
    captured = compiled.graph()
    inputs = {v.hint: v for v in captured.inputs}
    values = {"x": xs, "h": h, "w": w, "b": b}
    given = [values[name].detach().numpy() for name in inputs]
    for graph in (captured, run_passes(captured)):
        for x, y in zip(interpret(graph, given), expected, strict=False):
            np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-11)


def test_reports_show_the_loop() -> None:
    w, b, xs, h = tensors(10)
    compiled = fg.jit(lambda x, h: fg.scan(cell(w, b), h, x))
    compiled(xs, h)
    assert "5 times" in str(compiled.explain())
    assert [k.times for k in compiled.kernels()].count(5) >= 1
    text = str(compiled.graph())
    assert "scan[body=graph" in text and "tanh" in text
    assert str(parse_graph(text)) == print_graph(compiled.graph(), sites=False)


def test_threads_give_the_same_bits() -> None:
    rng = np.random.default_rng(0)
    w = fg.tensor(rng.normal(size=(96, 96)) * 0.1)
    x = fg.tensor(rng.normal(size=(20, 64, 96)))
    before = fg.get_num_threads()
    try:
        fg.set_num_threads(2)
        compiled = fg.jit(
            lambda x: fg.scan(lambda h, v: (lambda n: (n, n))(fg.tanh(h @ w + v)), x[0], x)
        )
        two = arrays(compiled(x))
        fg.set_num_threads(1)
        for a, c in zip(arrays(compiled(x)), two, strict=True):
            np.testing.assert_array_equal(a, c)
    finally:
        fg.set_num_threads(before)


def test_eager_and_jit_agree_in_float32() -> None:
    def run(x: Any) -> Any:
        return fg.scan(lambda c, v: (c * 0.9 + v.sigmoid(), c.exp()), x[0], x)

    assert_same(run, fg.randn(9, 17))


# --- errors ---------------------------------------------------------------------------------------
def both(function: Callable[[], Any], error: type[Exception], match: str) -> None:
    for run in (function, fg.jit(function)):
        with pytest.raises(error, match=match):
            run()


def test_a_carry_that_changes_is_refused() -> None:
    x = fg.ones(3, 2)
    both(lambda: fg.scan(lambda c, v: (c[:1], v), x[0], x), RuntimeError, "turned the carry")
    both(lambda: fg.scan(lambda c, v: (c.double(), v), x[0], x), RuntimeError, "keeps its shape")
    both(lambda: fg.scan(lambda c, v: ((c, c), v), x[0], x), TypeError, "another structure")


def test_lengths_that_differ_are_refused() -> None:
    x = fg.ones(3, 2)
    both(lambda: fg.scan(lambda c, v: (c, c), x[0], (x, x[:2])), ValueError, "same leading extent")
    both(lambda: fg.scan(lambda c, v: (c, c), x[0], x, length=4), ValueError, "and length=4")
    both(lambda: fg.scan(lambda c, v: (c, c), x[0]), ValueError, "no xs")
    both(lambda: fg.scan(lambda c, v: (c, c), x[0], length=-1), ValueError, "length=-1")
    both(lambda: fg.scan(lambda c, v: (c, c), x[0], fg.tensor(1.0)), ValueError, "0-d tensor")


def test_a_step_returns_a_pair() -> None:
    x = fg.ones(3, 2)
    both(lambda: fg.scan(lambda c, v: c, x[0], x), TypeError, "returned a Tensor")


def test_gradients_written_inside_a_body_are_refused() -> None:
    w = fg.ones(2).requires_grad_()

    def step(c: Any, v: Any) -> Any:
        (w * v).sum().backward()
        return c, None

    with pytest.raises(CaptureError, match=r"\.grad was written"):
        fg.jit(lambda x: fg.scan(step, x[0], x))(fg.ones(3, 2))


def test_outside_tensors_with_gradients_cannot_be_changed_inside() -> None:
    total = fg.zeros(2)
    w = fg.ones(2).requires_grad_()

    def step(c: Any, v: Any) -> Any:
        total.add_(w * v)
        return c, None

    with pytest.raises(CaptureError, match="changed in place, with gradients"):
        fg.jit(lambda x: fg.scan(step, x[0], x))(fg.ones(3, 2))


def test_second_derivatives_through_random_steps_are_refused() -> None:
    w = fg.ones(2).requires_grad_()

    def run(x: Any) -> Any:
        last, _ = fg.scan(lambda c, v: (c * w * fg.rand(2), None), x[0], x)
        (g,) = fg.autograd.grad(last.sum(), [w], create_graph=True)
        return g

    with pytest.raises(GradientError, match="cannot be repeated"):
        fg.jit(run)(fg.ones(3, 2))


def test_a_tensor_of_the_body_does_not_leak() -> None:
    kept = []

    def run(x: Any) -> Any:
        fg.scan(lambda c, v: (kept.append(c + v) or c, None), x[0], x)
        return kept[-1] * 2

    with pytest.raises(RuntimeError, match="outside the call that created it"):
        fg.jit(run)(fg.ones(3, 2))
