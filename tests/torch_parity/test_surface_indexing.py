"""The scatter, gather and index families against torch, to second order and compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from slices import by_turns
from surface_check import EMPTY, INT, NAN, ZEROS, B, V, X, Y, check

import fusegrad as fg

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # torch calls some forms beta
AT = np.array([[0, 1, 2, 0, 3], [3, 3, 1, 0, 3], [1, 0, 2, 2, 0]])  # repeats in columns
ONCE = np.array([[0, 1, 2, 0, 3], [3, 2, 1, 1, 1]])
LINE = np.array([2, 0, 2])
MASK = X > 0
SRC = Y[:3]


def changed(name: str, *rest: Any, **options: Any) -> Any:
    """An in-place method on a copy."""

    def run(m: Any, x: Any, *args: Any) -> Any:
        y = x * 1
        assert getattr(y, name)(*[a(m, *args) if callable(a) else a for a in rest], **options) is y
        return y

    return run


def reduced(how: str, include: bool) -> Any:
    return lambda m, x, i, s: m.scatter_reduce(x, 0, i, s, how, include_self=include)


def index_reduced(how: str, include: bool) -> Any:
    return lambda m, x, i, s: m.index_reduce(x, 0, i, s, how, include_self=include)


def assigned(m: Any, x: Any, key: Any, value: Any) -> Any:
    y = x * 1
    y[key] = value
    return y


def added(m: Any, x: Any, key: Any, value: Any) -> Any:
    y = x * 1
    y[key] += value
    return y


ROUND = np.round(X)
CASES: dict[str, tuple[Any, ...]] = {
    "gather": (lambda m, x, i: m.gather(x, 0, i), X, AT),
    "gather part": (lambda m, x, i: x.gather(1, i[:, :2]), X, AT),
    "scatter": (lambda m, x, i, s: m.scatter(x, 0, i, s[:2]), X, ONCE, Y),
    "scatter larger": (lambda m, x, i, s: m.scatter(x, 0, i, s.detach()), X, ONCE, Y),
    "scatter value": (lambda m, x, i: x.scatter(1, i[:2, :3], 2.5), X, ONCE),
    "scatter value keyword": (lambda m, x, i: x.scatter(0, i, value=1.0), X, ONCE),
    "scatter add": (lambda m, x, i: x.detach().scatter(0, i, 1.0, reduce="add"), X, AT),
    "scatter multiply": (
        lambda m, x, i, s: m.scatter(x.detach(), 0, i, s.detach(), reduce="multiply"), X, AT, SRC),
    "scatter 1": (lambda m, x, i, s: m.scatter(x, -1, i, s[:2]), V, LINE[:2], V[::-1].copy()),
    "scatter none": (lambda m, x, i, s: m.scatter(x, 0, i[:0], s[:0]), X, AT, Y),
    "scatter ints": (lambda m, x, i: m.scatter(x, 0, i, 7), INT, ONCE),
    "scatter_add": (lambda m, x, i, s: m.scatter_add(x, 0, i, s), X, AT, SRC),
    "scatter_add ints": (lambda m, x, i: m.scatter_add(x, 0, i, x[:3]), INT, AT),
    **{f"reduce {h} {i}": (reduced(h, i), X, AT, SRC)
       for h in ("sum", "prod", "mean", "amax", "amin") for i in (True, False)},
    "reduce ties": (reduced("amax", True), ROUND, AT, np.round(SRC)),
    "reduce ties alone": (reduced("amin", False), ROUND + 9, AT, np.round(SRC)),
    "reduce mean ints": (lambda m, x, i: m.scatter_reduce(x, 0, i, x[:3], "mean"), INT, AT),
    "reduce amax ints": (
        lambda m, x, i: m.scatter_reduce(x, 0, i, x[:3], "amax", include_self=False), INT, AT),
    "index_add": (lambda m, x, i, s: m.index_add(x, 0, i, s), X, LINE, SRC),
    "index_add alpha": (lambda m, x, i, s: x.index_add(1, i, s, alpha=-2), B, LINE[:2], B[:, :2]),
    "index_copy": (lambda m, x, i, s: m.index_copy(x, 0, i, s), X, LINE[:2], SRC[:2]),
    "index_fill": (lambda m, x, i: m.index_fill(x, 1, i, -1.5), X, LINE),
    "index_select": (lambda m, x, i: m.index_select(x, -1, i), X, LINE),
    **{f"index_reduce {h} {i}": (index_reduced(h, i), X, LINE, SRC)
       for h in ("prod", "mean", "amax", "amin") for i in (True, False)},
    "index_put": (
        lambda m, x, i, s: m.index_put(x, (i, i + 1), s[0, :3]), X, np.array([1, 0, 2]), Y),
    "index_put accumulate": (
        lambda m, x, i, s: x.index_put((i,), s[0], accumulate=True), X, LINE, Y),
    "put": (lambda m, x, s: m.put(x, m.tensor([[3, 19]]), s[:1, :2]), X, Y),
    "put accumulate": (lambda m, x, s: x.put(m.tensor([3, 3]), s[0, :2], accumulate=True), X, Y),
    "take": (lambda m, x: m.take(x, m.tensor([[0, 7], [19, -1]])), X),
    "take_along_dim": (lambda m, x, i: m.take_along_dim(x, i[:1], 0), X, AT),
    "take_along_dim broadcast": (lambda m, x, i: m.take_along_dim(x, i[:, :1] * 0, 1), X[:3], AT),
    "take_along_dim flat": (lambda m, x: m.take_along_dim(x, x.detach().argsort(0)), V),
    "masked_fill": (lambda m, x, k: x.masked_fill(k, 2.0), X, MASK),
    "masked_scatter": (lambda m, x, k, s: m.masked_scatter(x, k, s), X, MASK, Y),
    "masked_scatter row": (lambda m, x, k, s: x.masked_scatter(k[0], s), X, MASK, Y),
    "select_scatter": (lambda m, x, s: m.select_scatter(x, s[0], 0, -1), X, Y),
    "slice_scatter": (lambda m, x, s: m.slice_scatter(x, s[:, :2], 1, 1, None, 2), X, Y),
    "slice_scatter negative": (lambda m, x, s: x.slice_scatter(s[:2], start=-2), X, Y),
    "diagonal_scatter": (lambda m, x, s: m.diagonal_scatter(x, s[0, :4], 1), X, Y),
    "in place scatter": (changed("scatter_", 0, lambda m, i, s: i, lambda m, i, s: s),
                         X, ONCE, Y[:2]),
    "in place add": (changed("scatter_add_", 0, lambda m, i, s: i, lambda m, i, s: s), X, AT, SRC),
    "in place index_add": (changed("index_add_", 0, lambda m, i, s: i, lambda m, i, s: s),
                           X, LINE, SRC),
    "in place index_fill": (changed("index_fill_", 0, lambda m, i: i, 3.0), X, LINE),
    "in place masked": (changed("masked_fill_", lambda m, k: k, 3.0), X, MASK),
    "assign rows": (lambda m, x, i, s: assigned(m, x, i, s[:2]), X, LINE[:2], Y),
    "assign pair": (lambda m, x, i, s: assigned(m, x, (i, i + 1), s[0, :2]), X, LINE[:2], Y),
    "assign columns": (
        lambda m, x, i, s: assigned(m, x, (slice(None), i), s[:, :2]), X, LINE[:2], Y),
    "assign split": (
        lambda m, x, i, s: assigned(m, x, (i[:1], slice(None), i[:1]), s[:1, :3]), B, [[1]][0], Y),
    "assign mask": (lambda m, x, k: assigned(m, x, k, -1.0), X, MASK),
    "assign slice": (lambda m, x, s: assigned(m, x, (slice(1, 3), slice(None, None, 2)), s[:2, :3]),
                     X, Y),
    "add rows": (lambda m, x, i, s: added(m, x, i, s[:2]), X, LINE[:2], Y),
    "mixed": (lambda m, x, i: x[i, 1:, None, 2], B, np.array([1, 0])),
    "tensor none": (lambda m, x, i: x[None, i], X, LINE),
    "two by two": (lambda m, x, i: x[i[:, None], i[None] + 1], X, LINE),
    "empty index": (lambda m, x, i: x[i[:0]], X, LINE),
    "histc": (lambda m, x: m.histc(x.detach(), 5, -1, 1), X),
}  # fmt: skip


@pytest.mark.parametrize(("name", "jit"), by_turns(CASES, [True, False]))
def test_as_torch(name: str, jit: bool) -> None:
    function, *arrays = CASES[name]
    check(function, arrays, order=1 if "multiply" in name else 2, jit=jit)


EAGER: dict[str, tuple[Any, ...]] = {
    "index_put mask": (lambda m, x, s: m.index_put(x, (x.detach() > 9,), s[0, 0]), X, Y),
    "bool row": (lambda m, x: x[m.tensor([True, False, True, False])], X),
    "bool column": (lambda m, x: x[:, m.tensor([True, False, True, False, True])], X),
    "mixed bool": (lambda m, x: x[m.tensor([True, False]), :, m.tensor([1])], B),
    "add mask rows": (lambda m, x, s: added(m, x, m.tensor([True, False, True, False]), s[:2]),
                      X, Y),
    "masked_select": (lambda m, x, k: m.masked_select(x, k), X, MASK),
    "masked_select row": (lambda m, x, k: x.masked_select(k[0]), X, MASK),
    "mask": (lambda m, x, k: x[k], X, MASK),
    "assign mask values": (lambda m, x, k, s: assigned(m, x, k, s[k]), X, MASK, Y),
    "add mask": (lambda m, x, k: added(m, x, k, 1.0), X, MASK),
    "nonzero": (lambda m, x: m.nonzero(x), INT),
    "nonzero tuple": (lambda m, x: m.nonzero(x, as_tuple=True), INT),
    "nonzero scalar": (lambda m, x: m.nonzero(x[0, 0]), INT),
    "nonzero nan": (lambda m, x: m.nonzero(x.detach()), NAN),
    "argwhere": (lambda m, x: m.argwhere(x), INT),
    "argwhere empty": (lambda m, x: m.argwhere(x.detach()), EMPTY),
    "bincount": (lambda m, x: m.bincount(x.abs().flatten(), minlength=7), INT),
    "bincount weights": (
        lambda m, x, w: m.bincount(x.abs().flatten(), w.detach().flatten()), INT, X),
    "histc open": (lambda m, x: m.histc(x.detach(), 7), X),
    "one_hot": (lambda m, x: m.nn.functional.one_hot(x), LINE),
    "prod at zeros": (lambda m, x, i, s: m.scatter_reduce(x, 0, i, s, "prod"),
                      ZEROS[:, :3], AT[1:, :3] % 3, np.array([[0.0, 2, 3], [4, 0, 0]])),
}  # fmt: skip


@pytest.mark.parametrize("name", EAGER)
def test_eager_as_torch(name: str) -> None:
    function, *arrays = EAGER[name]
    check(function, arrays, order=1, jit=False)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda m: m.scatter(m.ones(3), 0, m.tensor([3]), m.ones(1)),
        lambda m: m.scatter(m.ones(3, 3), 0, m.tensor([0]), m.ones(1)),
        lambda m: m.scatter_add(m.ones(3), 0, m.tensor([0, 1]), m.ones(1)),
        lambda m: m.scatter_reduce(m.ones(3), 0, m.tensor([0]), m.ones(1), "median"),
        lambda m: m.index_add(m.ones(3), 0, m.tensor([0]), m.ones(2)),
        lambda m: m.scatter(m.ones(3), 0, m.tensor([0]), m.ones(1, dtype=m.float64)),
        lambda m: m.take(m.ones(3), m.tensor([5])),
        lambda m: m.select_scatter(m.ones(3, 2), m.ones(3), 0, 0),
        lambda m: m.bincount(m.tensor([-1])),
    ],
)
def test_errors_are_of_torchs_classes(wrong: Any) -> None:
    with pytest.raises(Exception) as theirs:
        wrong(torch)
    with pytest.raises(theirs.type):
        wrong(fg)


def test_a_position_outside_writes_nan_in_a_compiled_step() -> None:
    step = fg.jit(lambda x, i, s: x.scatter_add(0, i, s))
    out = step(fg.zeros(3), fg.tensor([0, 7]), fg.ones(2))
    assert out.tolist()[:2] == [1.0, 0.0] and np.isnan(out.numpy()[2])


def test_shapes_that_depend_on_values_are_refused_in_a_trace() -> None:
    for function in (fg.nonzero, lambda x: fg.masked_select(x, x > 0), fg.argwhere):
        with pytest.raises(RuntimeError):
            fg.jit(function)(fg.ones(3))
