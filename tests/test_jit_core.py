"""What ``fg.jit`` promises without modules and optimizers: a jitted function is the same function.

Most tests run a function eagerly and compiled in two equal worlds and compare; the rest check what
retraces, what is refused and where, and what calls leave behind.
"""

from __future__ import annotations

import dataclasses
import os
import threading
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fusegrad as fg
from fusegrad import float64
from fusegrad.errors import LeakedTracerError, TracedValueError
from fusegrad.runtime.compile import counters
from fusegrad.testing import assert_same

Point = namedtuple("Point", ["x", "y"])


@dataclasses.dataclass
class Batch:
    """A dataclass argument."""

    inputs: Any
    scale: float
    name: str


def vector(*values: float, grad: bool = False) -> Any:
    """A float64 tensor."""
    return fg.tensor(list(values), dtype=float64, requires_grad=grad)


def traces(function: Any) -> int:
    """How often a jitted function was traced."""
    return len(function.history)


def same(eager: Any, compiled: Any) -> None:
    """Assert that two tensors are equal to rounding."""
    np.testing.assert_allclose(
        compiled.detach().numpy(), eager.detach().numpy(), rtol=1e-12, atol=1e-12
    )


def both(
    make: Callable[[], tuple[Callable[..., Any], dict[str, Any]]], *calls: tuple[Any, ...]
) -> None:
    """Run ``make()``'s function in two worlds, eagerly and jitted, and compare all they hold."""
    worlds = []
    for compiled in (False, True):
        function, world = make()
        step = fg.jit(function) if compiled else function
        results = []
        for args in calls:
            result = step(*args)
            results.append(result if isinstance(result, (tuple, list)) else [result])
        worlds.append((results, world))
    (eager, left), (jitted, right) = worlds
    for a, b in zip(eager, jitted, strict=True):
        for x, y in zip(a, b, strict=True):
            same(x, y)
    for name, value in left.items():
        same(value, right[name])


# --- state ----------------------------------------------------------------------------------------
def test_state_is_found_by_identity_and_written_in_place() -> None:
    counter = vector(0.0, 0.0)
    memory = counter.numpy()

    @fg.jit
    def step(x: Any) -> Any:
        counter.add_(x)
        return counter * 2

    same(vector(2.0, 4.0), step(vector(1.0, 2.0)))
    same(vector(4.0, 8.0), step(vector(1.0, 2.0)))
    assert counter.numpy() is memory or np.shares_memory(counter.numpy(), memory)
    np.testing.assert_array_equal(memory, [2.0, 4.0])


def test_state_changed_outside_is_seen() -> None:
    w = vector(1.0, 2.0)
    step = fg.jit(lambda x: (w * x).sum())
    assert step(vector(1.0, 1.0)).item() == 3.0
    w.mul_(10)
    assert step(vector(1.0, 1.0)).item() == 30.0
    assert traces(step) == 1


def test_two_jitted_functions_share_state() -> None:
    w = vector(1.0)
    write = fg.jit(lambda x: w.add_(x))
    read = fg.jit(lambda: w * 1)
    for k in range(3):
        write(vector(1.0))
        assert read().item() == 2.0 + k


def test_views_and_in_place_operations_are_functionalised() -> None:
    def make() -> Any:
        w = fg.tensor(np.arange(12.0).reshape(3, 4))

        def step(x: Any) -> Any:
            row = w[1]
            row.mul_(2)
            w.t()[0] += x
            flat = w.view(-1)
            flat[::5] = -1.0
            first = w[0].clone()
            w[0, 1:3].zero_()
            return row * 1, first, w.sum(), flat[3:5] + 0

        return step, {"w": w}

    both(make, (vector(1.0, 2.0, 3.0),), (vector(1.0, 1.0, 1.0),))


@pytest.mark.parametrize("transposed", [False, True])
def test_reshapes_copy_when_they_copy_eagerly(transposed: bool) -> None:
    def step(x: Any) -> Any:
        x.t().reshape(-1).mul_(2)
        x.reshape(-1).add_(1)
        x.t().contiguous().zero_()
        x.view(2, 6).add_(1) if x.is_contiguous() else x.t().view(2, 6).add_(1)
        return x * 1, x.is_contiguous()

    array = np.arange(12.0).reshape(3, 4)
    assert_same(step, fg.from_numpy(np.array(array.T).T if transposed else array))


def test_a_view_taken_before_a_change_sees_it() -> None:
    def step(x: Any) -> Any:
        y = x * 1
        view = y[1:]
        y.add_(1)
        view.mul_(3)
        return y, view

    assert_same(step, vector(1.0, 2.0, 3.0))


def test_in_place_on_arguments_is_written_back() -> None:
    def step(x: Any, y: Any) -> Any:
        x.add_(y)
        y[0] = 7.0
        return x * 2

    assert_same(step, vector(1.0, 2.0), vector(3.0, 4.0))
    base = fg.tensor(np.arange(6.0).reshape(2, 3))
    assert_same(step, base.t()[0], vector(3.0, 4.0))
    strided = fg.tensor(np.arange(6.0))
    fg.jit(lambda x: x.mul_(2))(strided[::2])
    np.testing.assert_array_equal(strided.numpy(), [0, 1, 4, 3, 8, 5])


def test_numpy_arguments_are_read_and_written() -> None:
    def step(x: Any) -> Any:
        return fg.as_tensor(x).add_(1) * 2

    array = np.arange(3.0)
    found = fg.jit(lambda x: (x * 2).sum())(array)
    assert found.item() == 6.0


def test_written_arguments_must_not_share_memory() -> None:
    def step(x: Any, y: Any) -> Any:
        x.add_(1)
        return x * y

    a = vector(1.0, 2.0, 3.0)
    jitted = fg.jit(step)
    with pytest.raises(RuntimeError, match=r"shares memory with argument 0"):
        jitted(a, a)
    with pytest.raises(RuntimeError, match=r"shares memory with argument 0"):
        jitted(a[:2], a[1:])
    same(a, vector(1.0, 2.0, 3.0))  # nothing was written
    same(jitted(a[:1], a[2:].clone()), vector(6.0))


def test_an_argument_must_not_be_state_that_the_step_writes() -> None:
    w = vector(1.0, 2.0)

    def step(x: Any) -> Any:
        w.add_(1)
        return x * w

    with pytest.raises(RuntimeError, match=r"shares memory with its state"):
        fg.jit(step)(w)
    same(w, vector(1.0, 2.0))


def test_returning_state_arguments_and_views() -> None:
    w = vector(1.0, 2.0, 3.0)
    x = vector(4.0)

    @fg.jit
    def step(x: Any) -> Any:
        w.add_(1)
        return w, w[1:], x, x.detach()

    whole, part, argument, _ = step(x)
    same(vector(2.0, 3.0, 4.0), whole)
    same(vector(3.0, 4.0), part)
    same(x, argument)
    assert whole is w


# --- what is static and what is not ---------------------------------------------------------------
def test_floats_are_run_time_values() -> None:
    step = fg.jit(lambda x, lr: x * lr + 1.0)
    x = vector(1.0, 2.0)
    for lr in (0.5, 0.25, -1e300, 1e-300, float("inf"), 0.1 + 0.2):
        same(x * lr + 1.0, step(x, lr))
    assert traces(step) == 1


def test_a_float_argument_is_weakly_typed() -> None:
    step = fg.jit(lambda x, lr: x * lr)
    assert step(fg.ones(2), 0.5).dtype is fg.float32
    assert step(fg.ones(2, dtype=fg.int32), 0.5).dtype is fg.float32


@pytest.mark.parametrize(("first", "second"), [(2, 3), (True, False), ("a", "b"), (None, 1)])
def test_other_values_are_part_of_the_signature(first: Any, second: Any) -> None:
    step = fg.jit(
        lambda x, key: (
            x
            * {
                "2": 2.0,
                "3": 3.0,
                "True": 1.0,
                "False": 0.0,
                "a": 4.0,
                "b": 5.0,
                "None": 6.0,
                "1": 7.0,
            }[str(key)]
        )
    )
    x = vector(1.0)
    a, b = step(x, first).item(), step(x, second).item()
    assert a != b
    assert traces(step) == 2
    assert (step(x, first).item(), step(x, second).item()) == (a, b)
    assert traces(step) == 2


def test_static_argnames_compile_floats_in() -> None:
    @fg.jit(static_argnames=("power",))
    def step(x: Any, power: float) -> Any:
        return x**power if power > 1 else x

    x = vector(2.0, 3.0)
    same(x**2.0, step(x, 2.0))
    same(x, step(x, power=0.5))
    assert traces(step) == 2


def test_a_changed_constant_retraces_and_is_named() -> None:
    scale = 2.0

    @fg.jit
    def step(x: Any) -> Any:
        return x * scale

    x = vector(1.0)
    assert step(x).item() == 2.0
    scale = 5.0
    assert step(x).item() == 5.0
    assert traces(step) == 2
    assert "scale" in step.history[-1].reason


def test_a_function_that_changes_its_own_closure_is_traced_once() -> None:
    """What the trace itself did to a list is no reason to trace again, without end."""
    seen: list[int] = []

    @fg.jit
    def step(x: fg.Tensor) -> fg.Tensor:
        seen.append(len(seen))
        return x * 2

    assert [step(fg.ones(2)).tolist() for _ in range(3)] == [[2.0, 2.0]] * 3
    assert seen == [0]


def test_a_changed_list_in_the_closure_retraces() -> None:
    weights = [1.0, 2.0]
    step = fg.jit(lambda x: x * sum(weights))
    assert step(vector(1.0)).item() == 3.0
    weights.append(4.0)
    assert step(vector(1.0)).item() == 7.0


def test_shapes_and_dtypes_retrace_with_a_reason() -> None:
    step = fg.jit(lambda x: x.sum())
    step(fg.ones(2))
    step(fg.ones(3))
    assert "[2]" in step.history[-1].reason and "[3]" in step.history[-1].reason
    step(fg.ones(3, dtype=float64))
    assert "f64" in step.history[-1].reason
    assert traces(step) == 3


def test_many_batch_sizes_share_kernels() -> None:
    w = fg.tensor(np.random.default_rng(0).normal(size=(7, 5)), requires_grad=True)

    @fg.jit
    def step(x: Any) -> Any:
        w.grad = None
        loss = (x @ w).tanh().pow(2).mean()
        loss.backward()
        with fg.no_grad():
            w.sub_(0.1 * w.grad)
        return loss

    step(fg.ones(11, 7, dtype=float64))
    step(fg.ones(12, 7, dtype=float64))
    before = counters.compiles
    for size in range(13, 63):
        step(fg.ones(size, 7, dtype=float64))
    assert counters.compiles == before


# --- structures -----------------------------------------------------------------------------------
def test_nested_arguments_and_results() -> None:
    def step(batch: Any) -> Any:
        a, (b, c) = batch["list"], batch["pair"]
        return {"sum": a[0] + a[1], "point": Point(b, [c * 2, 3]), "text": "kept"}

    batch = {"list": [vector(1.0), vector(2.0)], "pair": (vector(3.0), vector(4.0))}
    found = fg.jit(step)(batch)
    assert found["sum"].item() == 3.0
    assert found["point"].y[0].item() == 8.0 and found["point"].y[1] == 3
    assert isinstance(found["point"], Point) and found["text"] == "kept"
    assert_same(step, batch)


def test_dataclasses_and_namedtuples() -> None:
    def step(batch: Batch, point: Point) -> Any:
        assert batch.name == "train"
        return Batch(batch.inputs * batch.scale + point.x, batch.scale, "done"), point.y

    jitted = fg.jit(step)
    out, y = jitted(Batch(vector(1.0), 2.0, "train"), Point(vector(5.0), vector(6.0)))
    assert isinstance(out, Batch) and out.inputs.item() == 7.0 and y.item() == 6.0
    assert (
        jitted(Batch(vector(1.0), 3.0, "train"), Point(vector(5.0), vector(6.0)))[0].inputs.item()
        == 8.0
    )
    assert traces(jitted) == 1


def test_keyword_arguments_defaults_and_other_counts() -> None:
    @fg.jit
    def step(x: Any, y: Any = None, *, scale: float = 2.0) -> Any:
        return x * scale if y is None else x * y * scale

    x, y = vector(3.0), vector(5.0)
    assert step(x).item() == 6.0
    assert step(x, y).item() == 30.0
    assert step(x, y=y, scale=1.0).item() == 15.0
    assert step(y=y, x=x).item() == 30.0
    assert step(x).item() == 6.0
    with pytest.raises(TypeError, match=r"step"):
        step(x, y, z=1)


def test_methods() -> None:
    class Model:
        def __init__(self) -> None:
            self.w = vector(2.0)

        @fg.jit
        def forward(self, x: Any) -> Any:
            return x * self.w

    a, b = Model(), Model()
    b.w.mul_(10)
    for _ in range(2):
        assert a.forward(vector(1.0)).item() == 2.0
        assert b.forward(vector(1.0)).item() == 20.0


def test_a_jitted_function_inside_another_is_inlined() -> None:
    inner = fg.jit(lambda x: x * 2)
    outer = fg.jit(lambda x: inner(x) + inner(x * 3))
    assert outer(vector(1.0)).item() == 8.0
    assert traces(inner) == 0


# --- values that a trace does not have ------------------------------------------------------------
READS: dict[str, Callable[[Any], Any]] = {
    "item": lambda x: x.sum().item(),
    "bool": lambda x: 1.0 if x.sum() > 0 else 2.0,
    "float": lambda x: float(x.sum()),
    "numpy": lambda x: x.detach().numpy(),
    "tolist": lambda x: x.tolist(),
    "array": lambda x: np.asarray(x),
    "index": lambda x: [1, 2, 3][x.sum().long()],
    "mask": lambda x: x[x > 0],
}


@pytest.mark.parametrize("name", READS)
def test_reading_a_traced_value_names_the_line(name: str) -> None:
    def step(x: Any) -> Any:
        return READS[name](x)

    with pytest.raises(TracedValueError) as caught:
        fg.jit(step)(vector(1.0, 2.0))
    assert "test_jit_core.py" in str(caught.value)
    assert "Try:" in str(caught.value) or "return the tensor" in str(caught.value)


def test_the_line_of_a_bad_shape_is_named() -> None:
    def step(x: Any, y: Any) -> Any:
        z = x * 2
        return z @ y

    with pytest.raises(RuntimeError, match=r"test_jit_core.py:\d+  in step   return z @ y"):
        fg.jit(step)(fg.ones(2, 3), fg.ones(4, 5))


def test_a_failed_trace_leaves_the_world_alone() -> None:
    w = vector(1.0, grad=True)

    @fg.jit
    def step(x: Any) -> Any:
        (w * x).sum().backward()
        raise ValueError("mine")

    with pytest.raises(ValueError, match=r"mine"):
        step(vector(2.0))
    assert w.grad is None
    assert w.item() == 1.0
    (w * 2).sum().backward()
    assert w.grad.item() == 2.0


def test_leaked_tensors_are_refused() -> None:
    kept = []

    @fg.jit
    def step(x: Any) -> Any:
        kept.append(x * 2)
        return x

    step(vector(1.0))
    with pytest.raises(LeakedTracerError, match=r"outside the call"):
        kept[0] + 1
    with pytest.raises(LeakedTracerError):
        kept[0].item()


def test_tensors_made_inside_are_values() -> None:
    def step(x: Any) -> Any:
        table = fg.tensor([1.0, 2.0, 3.0], dtype=float64)
        return x * table + fg.arange(3, dtype=float64) + fg.eye(3, dtype=float64)[1]

    assert_same(step, vector(1.0, 1.0, 1.0))


def test_print_inside_a_trace_names_the_line() -> None:
    @fg.jit
    def step(x: Any) -> Any:
        print(x)
        return x

    with pytest.raises(TracedValueError, match=r"test_jit_core.py:\d+  in step   print\(x\)"):
        step(vector(1.0, 2.0))


# --- random numbers -------------------------------------------------------------------------------
def test_random_draws_are_those_of_eager() -> None:
    def step(x: Any) -> Any:
        return fg.rand(5, dtype=float64), fg.randn(3, 2), x * (fg.rand(3) > 0.5)

    x = fg.ones(3)
    fg.manual_seed(3)
    eager = [step(x) for _ in range(3)]
    fg.manual_seed(3)
    jitted = fg.jit(step)
    found = [jitted(x) for _ in range(3)]
    for a, b in zip(eager, found, strict=True):
        for left, right in zip(a, b, strict=True):
            np.testing.assert_allclose(right.numpy(), left.numpy(), rtol=1e-5, atol=1e-6)
    assert not np.array_equal(found[0][0].numpy(), found[1][0].numpy())
    assert traces(jitted) == 1


# --- threads and processes ------------------------------------------------------------------------
def test_four_threads_call_one_function() -> None:
    w = fg.tensor(np.random.default_rng(0).normal(size=(33, 17)))
    step = fg.jit(lambda x, k: ((x @ w).tanh() * k).sum(1))
    problems: list[Any] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for k in range(40):
            x = rng.normal(size=(8 + seed % 2, 33))
            found = step(fg.from_numpy(x), float(k)).numpy()
            expected = (np.tanh(x @ w.numpy()) * k).sum(1)
            if not np.allclose(found, expected):
                problems.append((seed, k))

    workers = [threading.Thread(target=work, args=(s,)) for s in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(300)
    assert not problems


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX only")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_goes_on() -> None:
    w = fg.tensor(np.random.default_rng(0).normal(size=(300, 400)))
    step = fg.jit(lambda x: (x * w).sin().sum())
    expected = step(fg.ones(300, 400, dtype=float64)).item()
    pid = os.fork()
    if pid == 0:
        ok = step(fg.ones(300, 400, dtype=float64)).item() == expected
        fresh = fg.jit(lambda x: (x + w).sum())(fg.ones(300, 400, dtype=float64))
        os._exit(0 if ok and np.isfinite(fresh.item()) else 1)
    _, status = os.waitpid(pid, 0)
    assert status == 0
