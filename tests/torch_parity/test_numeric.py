"""Parts of numbers, differences, histograms, segments, positions and windows against torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from slices import by_turns
from surface_check import INT, NAN, B, P, V, X, Y, check

import fusegrad as fg

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
PLACES = np.cumsum(np.random.default_rng(2).uniform(0.2, 1.0, 5))
OTHER = np.random.default_rng(8).integers(1, 6, size=(4, 5))

CASES: dict[str, tuple[Any, ...]] = {
    "gradient": (lambda m, x: m.gradient(x), X),
    "gradient spacing": (lambda m, x: m.gradient(x, spacing=0.5, edge_order=2), X),
    "gradient each": (lambda m, x: m.gradient(x, spacing=(0.5, 2.0)), X),
    "gradient dim": (lambda m, x: m.gradient(x, dim=1), B),
    "gradient places": (lambda m, x, p: m.gradient(x, spacing=(p.detach(),), dim=1), X, PLACES),
    "gradient places 2": (
        lambda m, x, p: m.gradient(x, spacing=(p.detach(),), dim=1, edge_order=2), X, PLACES
    ),
    "histogram": (lambda m, x: m.histogram(x.detach().contiguous(), 4), X),
    "histogram range": (
        lambda m, x, w: m.histogram(
            x.detach().contiguous(), 3, range=(-1.0, 1.5), weight=w.detach().contiguous(),
            density=True,
        ), X, Y,
    ),
    "histogram edges": (
        lambda m, x, p: x.detach().contiguous().histogram(p.detach() - 1), X, PLACES
    ),
    "histogramdd": (lambda m, x: m.histogramdd(x.detach(), [2, 3, 1, 2, 2]), X),
    "unravel_index": (lambda m, i: m.unravel_index(i.abs(), (2, 3, 4)), INT),
    "nonzero_static": (lambda m, i: m.nonzero_static(i.clamp(0), size=6, fill_value=-5), INT),
    "nonzero_static more": (lambda m, i: m.nonzero_static(i, size=30), INT),
    "bincount": (lambda m, i: m.bincount(i.flatten(), minlength=7), OTHER),
    "bincount weights": (
        lambda m, i, w: m.bincount(i.flatten(), w.detach().flatten(), minlength=7), OTHER, P
    ),
    "index_put": (
        lambda m, x, i, v: m.index_put(x, (i[:, 0] - 2,), v, accumulate=True), X, OTHER, V[:5]
    ),
    "segment sum": (
        lambda m, x: m.segment_reduce(x.contiguous(), "sum", lengths=m.tensor([1, 0, 3]), axis=0), X
    ),
    "segment max": (
        lambda m, x: m.segment_reduce(x.contiguous(), "max", offsets=m.tensor([0, 2, 4])), X
    ),
    "segment mean": (
        lambda m, x: m.segment_reduce(
            x.contiguous(), "mean", lengths=m.tensor([2, 0, 2]), initial=0.5
        ), X,
    ),
    "segment prod": (
        lambda m, x: m.segment_reduce(x.contiguous(), "prod", lengths=m.tensor([3, 1])), X
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "jit"), by_turns(CASES, [True, False]))
def test_as_torch(name: str, jit: bool) -> None:
    function, *arrays = CASES[name]
    check(function, arrays, order=1 if name.startswith("segment") else 2, jit=jit)


HOST: dict[str, tuple[Any, ...]] = {
    "frexp": (lambda m, x: m.frexp(x), X), "frexp special": (lambda m, x: m.frexp(x)[0], NAN),
    "nextafter": (lambda m, x, y: m.nextafter(x, y), X, Y),
    "gcd": (lambda m, x, y: m.gcd(x, y), INT, OTHER),
    "lcm": (lambda m, x, y: m.lcm(x, y), INT, OTHER),
}  # fmt: skip


@pytest.mark.parametrize("name", HOST)
def test_on_the_host_as_torch(name: str) -> None:
    function, *arrays = HOST[name]
    check(function, arrays, order=1, jit=False)
    compiled = fg.jit(lambda *xs: function(fg, *xs))(*map(fg.tensor, arrays))
    eager = function(fg, *map(fg.tensor, arrays))
    pairs = zip(compiled, eager) if isinstance(eager, tuple) else [(compiled, eager)]
    for a, b in pairs:
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_frexp_of_subnormal_and_huge_numbers() -> None:
    x = np.array([5e-324, 1e-310, 1.7e308, -(2.0**-1074) * 7])
    for a, b in zip(fg.frexp(fg.tensor(x)), torch.frexp(torch.tensor(x)), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_traced_bincount_needs_a_bound() -> None:
    with pytest.raises(RuntimeError, match="minlength"):
        fg.jit(fg.bincount)(fg.tensor([1, 2]))


def test_traced_bincount_of_numbers_past_the_bound_is_no_count() -> None:
    count = fg.jit(lambda x, w: (x.bincount(minlength=3), x.bincount(w, minlength=3)))
    weights = fg.tensor([0.5, 2.0, 1.0])
    for numbers in ([0, 3, 1], [0, -1, 1]):
        counts, sums = count(fg.tensor(numbers), weights)
        assert counts.tolist() == [-1, -1, -1] and sums.isnan().all()
    counts, sums = count(fg.tensor([2, 0, 2]), weights)
    assert counts.tolist() == [1, 0, 2] and sums.tolist() == [2.0, 0.0, 1.5]


def test_small_questions() -> None:
    for m in (torch, fg):
        x = m.tensor([1.0, 2.0])
        assert m.is_same_size(x, x + 1) and not x.is_same_size(x[:1])
        assert m.is_signed(x) and not m.is_signed(m.tensor([True]))
        assert m.tensor([3]).is_nonzero() and m.typename(1) == "int"
        assert x.clone().apply_(lambda v: v * 3).tolist() == [3.0, 6.0]
        assert x.clone().map_(x, lambda a, b: a + b).tolist() == [2.0, 4.0]
        assert x.nonzero().tolist() == [[0], [1]]
        assert m.range(1, 2, 0.5).tolist() == [1.0, 1.5, 2.0]
        assert x.prelu(m.tensor([0.5])).tolist() == x.hardshrink(0.5).tolist() == [1.0, 2.0]


WRONG = [
    (RuntimeError, lambda m: m.gradient(m.ones(1))),
    (RuntimeError, lambda m: m.gradient(m.ones(3, 3), spacing=(1.0,), dim=(0, 1))),
    (RuntimeError, lambda m: m.histogram(m.ones(3), -1)),
    (RuntimeError, lambda m: m.histogram(m.ones(3), 3, range=(2.0, 1.0))),
    (TypeError, lambda m: m.unravel_index(m.tensor([0.5]), (2, 3))),
    (ValueError, lambda m: m.unravel_index(m.tensor([0]), (2, -3))),
    (RuntimeError, lambda m: m.nonzero_static(m.ones(3), size=-1)),
    (RuntimeError, lambda m: m.segment_reduce(m.ones(3), "sum", lengths=m.tensor([1, 1]))),
    (RuntimeError, lambda m: m.segment_reduce(m.ones(3), "sum")),
    (RuntimeError, lambda m: m.ones(2, 3).sum_to_size(2)),
    (RuntimeError, lambda m: m.frexp(m.ones(2).long())),
    (RuntimeError, lambda m: m.hann_window(-1)),
    (ValueError, lambda m: m.signal.windows.hann(-1)),
    (ValueError, lambda m: m.signal.windows.gaussian(5, std=-1.0)),
    (ValueError, lambda m: m.signal.windows.exponential(5, center=1.0)),
    (ValueError, lambda m: m.signal.windows.kaiser(5, beta=-1.0)),
]


@pytest.mark.parametrize(("error", "wrong"), WRONG)
def test_errors_as_torch(error: type[Exception], wrong: Any) -> None:
    for m in (torch, fg):
        with pytest.raises(error):
            wrong(m)


# --- windows --------------------------------------------------------------------------------------
@pytest.mark.parametrize("length", [0, 1, 2, 7, 8])
@pytest.mark.parametrize("symmetric", [False, True])
def test_windows(length: int, symmetric: bool) -> None:
    options: dict[str, list[dict[str, Any]]] = {
        "kaiser": [{"beta": 5.0}], "gaussian": [{"std": 0.7}], "exponential": [{"tau": 2.0}],
        "general_hamming": [{"alpha": 0.6}], "general_cosine": [{"a": [0.4, 0.5, 0.1]}],
    }  # fmt: skip
    for name in vars(fg.signal.windows):
        for more in ([] if name == "general_cosine" else [{}]) + options.get(name, []):
            a, b = (
                getattr(m.signal.windows, name)(length, sym=symmetric, dtype=m.float64, **more)
                for m in (torch, fg)
            )
            np.testing.assert_allclose(b.numpy(), a.numpy(), rtol=1e-12, atol=1e-14, err_msg=name)
    numbers: dict[str, tuple[Any, ...]] = {
        "hamming": ((), (0.6,), (0.6, 0.3)),
        "kaiser": ((), (5.0,)),
    }
    for name in ("bartlett", "blackman", "hamming", "hann", "kaiser"):
        for more in numbers.get(name, ((),)):
            a, b = (
                getattr(m, f"{name}_window")(length, not symmetric, *more, dtype=m.float64)
                for m in (torch, fg)
            )
            np.testing.assert_allclose(b.numpy(), a.numpy(), rtol=1e-12, atol=1e-14, err_msg=name)
    assert fg.hann_window(3).dtype is fg.float32 and fg.hann_window(3, requires_grad=True).is_leaf
