"""Sorting, order statistics, searches and scans against torch, to second order and compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from slices import by_turns
from surface_check import EMPTY, INT, NAN, ONE, SCALAR, ZEROS, B, P, V, X, Y, check

import fusegrad as fg

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # torch on strided operands
TIES = np.array([[3.0, 1.0, 3.0, 2.0, 1.0], [0.0, 0.0, 1.0, 1.0, 0.0]])
LONG = np.random.default_rng(1).normal(size=(3, 130))

CASES: dict[str, tuple[Any, ...]] = {
    "sort": (lambda m, x: m.sort(x), X),
    "sort dim": (lambda m, x: m.sort(x, 1, True), B),
    "sort negative": (lambda m, x: x.sort(-2, descending=True), B),
    "sort long": (lambda m, x: m.sort(x), LONG),
    "sort ties": (lambda m, x: m.sort(x, stable=True), TIES),
    "sort ties down": (lambda m, x: m.sort(x, stable=True, descending=True), TIES),
    "sort nan": (lambda m, x: m.sort(x.detach(), stable=True), NAN),
    "sort nan down": (lambda m, x: m.sort(x.detach(), stable=True, descending=True), NAN),
    "sort ints": (lambda m, x: m.sort(x, stable=True), INT),
    "sort bools": (lambda m, x: m.sort(x, stable=True, descending=True), INT > 0),
    "sort empty": (lambda m, x: m.sort(x), EMPTY),
    "sort one": (lambda m, x: m.sort(x), ONE),
    "sort scalar": (lambda m, x: m.sort(x), SCALAR),
    "argsort": (lambda m, x: m.argsort(x, dim=0, stable=True), INT),
    "msort": (lambda m, x: m.msort(x), X),
    "topk": (lambda m, x: m.topk(x, 3), X),
    "topk smallest": (lambda m, x: x.topk(2, 0, largest=False), X),
    "topk none": (lambda m, x: x.topk(0).values, X),
    "kthvalue": (lambda m, x: m.kthvalue(x, 2), X),
    "kthvalue keep": (lambda m, x: m.kthvalue(x, 4, 0, True), X),
    "median": (lambda m, x: m.median(x), X),
    "median dim": (lambda m, x: m.median(x, 1), X),
    "median keep": (lambda m, x: m.median(x, 0, keepdim=True), B),
    "median ties": (lambda m, x: m.median(x), TIES),
    "median nan": (lambda m, x: m.median(x.detach(), 1).values, NAN),
    "median ints": (lambda m, x: m.median(x), INT),
    "nanmedian": (lambda m, x: m.nanmedian(x.detach(), 1).values, NAN),
    "nanmedian all": (lambda m, x: m.nanmedian(x.detach()), NAN),
    "quantile": (lambda m, x: m.quantile(x, 0.3), X),
    "quantile vector": (
        lambda m, x: m.quantile(x, m.tensor([0.1, 0.5, 1.0], dtype=m.float64), 1), X),
    "quantile keep": (
        lambda m, x: m.quantile(x, m.tensor([0.2, 0.9], dtype=m.float64), 0, True), B),
    "quantile nan": (lambda m, x: m.quantile(x.detach(), 0.4, 1), NAN[[0, 2]]),
    "nanquantile": (lambda m, x: m.nanquantile(x, 0.4, 1), NAN[[0, 2]]),
    **{f"quantile {how}": (lambda m, x, how=how: m.quantile(x, 0.35, 0, interpolation=how), B)
       for how in ("lower", "higher", "midpoint", "nearest")},
    "mode": (lambda m, x: m.mode(x).values, INT),
    "mode dim": (lambda m, x: m.mode(x, 0, True).values, TIES),
    "searchsorted": (lambda m, x, v: m.searchsorted(m.sort(x, 1)[0], v.contiguous()), X, Y),
    "searchsorted right": (
        lambda m, x: m.searchsorted(m.tensor([-1, 0, 0, 2]), x, right=True), INT),
    "searchsorted side": (
        lambda m, x: m.searchsorted(m.tensor([-1, 0, 0, 2]), x, side="left", out_int32=True), INT),
    "searchsorted nan": (
        lambda m, x: m.searchsorted(m.tensor([0.0, 1.0, 2.0], dtype=m.float64), x), NAN),
    "bucketize": (
        lambda m, x: m.bucketize(x, m.tensor([-1.0, 0.0, 0.5], dtype=m.float64)), X),
    "isin": (lambda m, x: m.isin(x, m.tensor([1, -2, 4])), INT),
    "isin many": (lambda m, x: m.isin(x, m.arange(0, 40, 2), invert=True), INT),
    "cumsum": (lambda m, x: m.cumsum(x, 1), X),
    "cumsum 0": (lambda m, x: x.cumsum(0), B),
    "cumsum middle": (lambda m, x: x.cumsum(-2), B),
    "cumsum ints": (lambda m, x: x.cumsum(0), INT),
    "cumsum bools": (lambda m, x: x.cumsum(0), INT > 0),
    "cumsum dtype": (lambda m, x: x.cumsum(0, dtype=m.float64), INT),
    "cumsum empty": (lambda m, x: x.cumsum(0), EMPTY),
    "cumsum scalar": (lambda m, x: x.cumsum(0), SCALAR),
    "cumprod": (lambda m, x: m.cumprod(x, 1), X),
    "cumprod 0": (lambda m, x: m.cumprod(x, 0), P),
    "cumprod ints": (lambda m, x: m.cumprod(x, 0), INT),
    "cumprod one": (lambda m, x: m.cumprod(x, 0), ONE),
    "cummax": (lambda m, x: m.cummax(x, 1), X),
    "cummax ties": (lambda m, x: m.cummax(x, 0), TIES),
    "cummin": (lambda m, x: m.cummin(x, -1), B),
    "cummax nan": (lambda m, x: m.cummax(x.detach(), 1), NAN),
    "cummin nan": (lambda m, x: m.cummin(x.detach(), 1), NAN),
    "cummax ints": (lambda m, x: m.cummax(x, 0), INT),
    "logcumsumexp": (lambda m, x: m.logcumsumexp(x, 1), X * 30),
    "logcumsumexp 0": (lambda m, x: m.logcumsumexp(x, 0), B),
    "logcumsumexp special": (lambda m, x: m.logcumsumexp(x.detach(), 1), NAN),
    "diff": (lambda m, x: m.diff(x), X),
    "diff 2": (lambda m, x: m.diff(x, 2, 0), X),
    "diff joined": (lambda m, x, y: m.diff(x, dim=0, prepend=y, append=y[:1]), X, Y),
    "diff bools": (lambda m, x: m.diff(x), INT > 0),
    "diff none": (lambda m, x: m.diff(x, 3), ONE),
    "trapezoid": (lambda m, y: m.trapezoid(y), X),
    "trapezoid dx": (lambda m, y: m.trapz(y, dx=0.5, dim=0), X),
    "trapezoid x": (lambda m, y, x: m.trapezoid(y, x, dim=1), X, Y),
    "trapezoid vector": (lambda m, y, x: m.trapezoid(y, x[:5]), X, V),
    "cumulative_trapezoid": (lambda m, y, x: m.cumulative_trapezoid(y, x), X, Y),
}  # fmt: skip


@pytest.mark.parametrize(("name", "jit"), by_turns(CASES, [True, False]))
def test_as_torch(name: str, jit: bool) -> None:
    function, *arrays = CASES[name]
    check(function, arrays, jit=jit)


EAGER: dict[str, tuple[Any, ...]] = {
    "unique": (lambda m, x: m.unique(x), INT),
    "unique all": (lambda m, x: m.unique(x, return_inverse=True, return_counts=True), INT),
    "unique dim": (lambda m, x: m.unique(x[[0, 1, 0]], dim=0, return_inverse=True), INT),
    "unique nan": (lambda m, x: m.unique(x.detach()), NAN),
    "consecutive": (
        lambda m, x: m.unique_consecutive(x, return_inverse=True, return_counts=True), TIES > 0),
    "consecutive dim": (lambda m, x: m.unique_consecutive(x[[0, 0, 1]], dim=0), INT),
}  # fmt: skip


@pytest.mark.parametrize("name", EAGER)
def test_eager_as_torch(name: str) -> None:
    function, *arrays = EAGER[name]
    check(function, arrays, order=0, jit=False)


def test_gradient_of_cumprod_at_zeros() -> None:
    """Torch's own second derivative is exact at zeros as well."""
    check(lambda m, x: m.cumprod(x, 1), [ZEROS])
    check(lambda m, x: x.cumprod(0).sum(), [ZEROS])


def test_float32_sums_are_kept_in_double() -> None:
    x = np.full(20000, 0.1, np.float32)
    want = torch.from_numpy(x).cumsum(0).numpy()
    np.testing.assert_array_equal(fg.from_numpy(x).cumsum(0).numpy(), want)
    np.testing.assert_array_equal(fg.jit(lambda t: t.cumsum(0))(fg.from_numpy(x)).numpy(), want)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda m: m.topk(m.ones(3), 4),
        lambda m: m.kthvalue(m.ones(3), 0),
        lambda m: m.sort(m.ones(3), 1),
        lambda m: m.quantile(m.ones(3), 1.5),
        lambda m: m.quantile(m.arange(3), 0.5),
        lambda m: m.median(m.ones(0, 3), 0),
        lambda m: m.searchsorted(m.ones(2, 3), m.ones(3, 1)),
        lambda m: m.cumsum(m.ones(3), 2),
    ],
)
def test_errors_are_of_torchs_classes(wrong: Any) -> None:
    with pytest.raises(Exception) as theirs:
        wrong(torch)
    with pytest.raises(theirs.type):
        wrong(fg)


def test_a_number_of_elements_that_depends_on_values_is_refused_in_a_trace() -> None:
    with pytest.raises(RuntimeError, match="unique"):
        fg.jit(lambda x: fg.unique(x))(fg.ones(3))
