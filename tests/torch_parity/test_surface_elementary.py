"""Elementwise and statistical compositions against torch, to second order and compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from slices import by_turns
from surface_check import EMPTY, INT, NAN, ONE, SCALAR, B, P, V, X, Y, check

import fusegrad as fg

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
OTHER = np.random.default_rng(8).integers(1, 6, size=(4, 5))
FLIPPED = np.array(NAN[::-1, ::-1], order="C")
ONES = np.ones((4, 5))

CASES: dict[str, tuple[Any, ...]] = {
    "hypot": (lambda m, x, y: m.hypot(x, y), X, Y),
    "hypot large": (lambda m, x, y: m.hypot(x.detach() * 1e200, y.detach() * 1e200), X, Y),
    "hypot special": (lambda m, x: m.hypot(x.detach(), x.detach() * 0 + 1), NAN),
    "logaddexp": (lambda m, x, y: m.logaddexp(x * 50, y * 50), X, Y),
    "logaddexp equal": (lambda m, x, y: m.logaddexp(x, y), X, X),
    "logaddexp special": (lambda m, x, y: m.logaddexp(x.detach(), y.detach()), NAN, FLIPPED),
    "logaddexp same": (lambda m, x: m.logaddexp(x.detach(), x.detach()), NAN),
    "logaddexp2": (lambda m, x, y: m.logaddexp2(x, y[0]), X, Y),
    "xlogy": (lambda m, x, y: m.xlogy(x, y), X, P),
    "xlogy zero": (lambda m, x, y: m.xlogy(x.detach() * 0, y.detach()), np.ones_like(NAN), NAN),
    "xlogy number": (lambda m, y: m.xlogy(2.0, y), P),
    "xlog1py": (lambda m, x, y: m.special.xlog1py(x, y), X, P),
    "sinc": (lambda m, x: m.sinc(x), X),
    "sinc zero": (lambda m, x: m.sinc(x.detach() * 0), X),
    "deg2rad": (lambda m, x: m.deg2rad(x), X),
    "rad2deg": (lambda m, x: m.rad2deg(x), INT),
    "heaviside": (lambda m, x, v: m.heaviside(x.detach(), v.detach()), np.round(X), Y),
    "heaviside nan": (lambda m, x: m.heaviside(x.detach(), x.detach() * 0 + 2), NAN),
    "nan_to_num": (lambda m, x: m.nan_to_num(x), NAN),
    "nan_to_num given": (lambda m, x: m.nan_to_num(x, 1.0, 2.0, -3.0), NAN),
    "nan_to_num ints": (lambda m, x: m.nan_to_num(x), INT),
    "frac": (lambda m, x: m.frac(x * 3), X),
    "fmax": (lambda m, x, y: m.fmax(x, y), X, Y),
    "fmax nan": (lambda m, x, y: m.fmax(x, y), NAN, FLIPPED),
    "fmin nan": (lambda m, x, y: m.fmin(x, y), NAN, FLIPPED),
    "fmin ints": (lambda m, x, y: m.fmin(x, y), INT, OTHER),
    "float_power": (lambda m, x: m.float_power(x, 2), INT),
    "float_power pair": (lambda m, x, y: m.float_power(x, y), P, Y),
    "ldexp": (lambda m, x, y: m.ldexp(x, y), X, OTHER),
    "left shift": (lambda m, x, y: m.bitwise_left_shift(x, y), INT, OTHER),
    "right shift": (lambda m, x, y: x >> 1, INT, OTHER),
    "signbit": (lambda m, x: m.signbit(x), np.array([0.0, -0.0, -1.0, np.inf, -np.inf])),
    "signbit ints": (lambda m, x: m.signbit(x), INT),
    "isposinf": (lambda m, x: (m.isposinf(x), m.isneginf(x), m.isreal(x)), NAN),
    "positive": (lambda m, x: +x, X),
    "rsub": (lambda m, x, y: m.rsub(x, y, alpha=2), X, Y),
    "logit": (lambda m, x: m.logit(x), P),
    "logit eps": (lambda m, x: m.logit(x, 0.3), P),
    "clamp tensors": (lambda m, x, y: m.clamp(x, y - 0.5, y + 0.5), X, Y),
    "lerp": (lambda m, x, y: m.lerp(x, y, x), X, Y),
    "addcmul": (lambda m, x, y: m.addcmul(x, y, y[0], value=2), X, Y),
    "expit": (lambda m, x: m.special.expit(x), X),
    "entr": (lambda m, x: m.special.entr(x), P),
    "entr special": (lambda m, x: m.special.entr(x.detach()), NAN),
    "ndtr": (lambda m, x: m.special.ndtr(x), X),
    "ndtri": (lambda m, x: m.special.ndtri(x), P),
    "nansum": (lambda m, x: m.nansum(x, 1), NAN[[0, 2]]),
    "nansum ints": (lambda m, x: m.nansum(x), INT),
    "nanmean": (lambda m, x: m.nanmean(x, 0, True), NAN[[0, 2]]),
    "aminmax": (lambda m, x: m.aminmax(x, dim=1, keepdim=True), X),
    "aminmax all": (lambda m, x: m.aminmax(x), X),
    "var_mean": (lambda m, x: m.var_mean(x, 1, correction=0), X),
    "std_mean": (lambda m, x: m.std_mean(x, dim=(0, 2), keepdim=True), B),
    "std_mean all": (lambda m, x: m.std_mean(x, False), X),
    "dist": (lambda m, x, y: m.dist(x, y), X, Y),
    "dist 3": (lambda m, x, y: m.dist(x, y[0], 3), X, Y),
    "renorm": (lambda m, x: m.renorm(x, 2, 0, 1.0), X),
    "renorm 1": (lambda m, x: m.renorm(x, 1, -1, 2.5), B),
    "cov": (lambda m, x: m.cov(x), X),
    "cov vector": (lambda m, x: m.cov(x, correction=0), V),
    "cov weights": (
        lambda m, x, f, a: m.cov(x, fweights=f[0], aweights=a.detach()[0]), X, OTHER, P),
    "corrcoef": (lambda m, x: m.corrcoef(x), X),
    "cosine_similarity": (lambda m, x, y: m.cosine_similarity(x, y, 0), X, Y),
    "logsumexp": (lambda m, x: m.logsumexp(x, (0, 1)), X),
    "count_nonzero": (lambda m, x: m.count_nonzero(x, 1), INT),
    "empty": (lambda m, x: m.hypot(x, x + 1), EMPTY),
    "one": (lambda m, x: m.logaddexp(x, x + 1), ONE),
    "scalar": (lambda m, x: m.xlogy(x, x), SCALAR),
    "in place": (lambda m, x: (x * 1).log1p_().cumsum_(1), P),
    "in place compare": (lambda m, x, y: (x.detach() * 1).gt_(y.detach()), X, Y),
    "in place tril": (lambda m, x: (x * 1).tril_(1).nan_to_num_(), X),
}  # fmt: skip
FIRST = ("renorm", "renorm 1", "corrcoef")  # torch's second derivatives take other branches


@pytest.mark.parametrize(("name", "jit"), by_turns(CASES, [True, False]))
def test_as_torch(name: str, jit: bool) -> None:
    function, *arrays = CASES[name]
    check(function, arrays, order=1 if name in FIRST else 2, jit=jit)


EAGER: dict[str, tuple[Any, ...]] = {
    "gcd": (lambda m, x, y: m.gcd(x, y), INT, OTHER),
    "lcm": (lambda m, x, y: m.lcm(x, y), INT, OTHER),
    "mvlgamma": (lambda m, x: m.mvlgamma(x.detach() + 2, 3), P),
}  # fmt: skip


@pytest.mark.parametrize("name", EAGER)
def test_eager_as_torch(name: str) -> None:
    function, *arrays = EAGER[name]
    check(function, arrays, order=0, jit=False)


@pytest.mark.parametrize("dtype", ["float32", "int32", "uint8", "bool"])
@pytest.mark.parametrize("name", ["hypot", "logaddexp", "xlogy", "fmax", "ldexp", "float_power"])
def test_result_dtypes(name: str, dtype: str) -> None:
    rows = ([1, 2, 0], [1, 0, 2])
    ours = [fg.tensor(r, dtype=getattr(fg, dtype)) for r in rows]
    theirs = [torch.tensor(r, dtype=getattr(torch, dtype)) for r in rows]
    for second in (1, 0):
        try:
            want = getattr(torch, name)(theirs[0], theirs[second])
        except RuntimeError:  # torch has no kernel for these integers; nothing to compare
            assert dtype != "float32"
            continue
        got = getattr(fg, name)(ours[0], ours[second])
        assert str(got.dtype).split(".")[1] == str(want.dtype).split(".")[1]
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda m: m.heaviside(m.ones(2), m.ones(2, dtype=m.float64)),
        lambda m: m.cov(m.ones(2, 2, 2)),
        lambda m: m.nanmean(m.arange(3)),
        lambda m: m.hypot(m.ones(2), m.ones(3)),
        lambda m: m.renorm(m.ones(3), 2, 0, 1.0),
    ],
)
def test_errors_are_of_torchs_classes(wrong: Any) -> None:
    with pytest.raises(Exception) as theirs:
        wrong(torch)
    with pytest.raises(theirs.type):
        wrong(fg)
