"""Public functions against torch in float64: values, dtypes, shapes and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fusegrad as fg

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 5))
Y = RNG.normal(size=(4, 5))
P = RNG.uniform(0.2, 0.9, size=(4, 5))
V = RNG.normal(size=5)
B = RNG.normal(size=(2, 3, 4))

UNARY = """exp exp2 expm1 tanh sigmoid erf erfc sin cos sinh cosh asinh atan abs neg sign floor ceil
trunc round relu square log log2 log10 log1p sqrt rsqrt reciprocal erfinv lgamma digamma tan asin
acos atanh isnan isinf isfinite logical_not""".split()
POSITIVE = set(
    "log log2 log10 log1p sqrt rsqrt reciprocal erfinv lgamma digamma asin acos atanh tan".split()
)


@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str, compare: Any) -> None:
    data = P if name in POSITIVE else X
    if name == "digamma":  # PyTorch's trigamma has nine digits; test_special.py has mpmath's
        return compare.close(fg.digamma(fg.tensor(data)), torch.digamma(torch.tensor(data)))
    return compare.check(getattr(fg, name), getattr(torch, name), data, rtol=1e-10)


def test_acosh(compare: Any) -> None:
    compare.check(fg.acosh, torch.acosh, P + 1.1)


BINARY = "add sub mul div maximum minimum atan2 copysign fmod remainder".split()


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize(
    "shapes",
    [(X, Y), (X, V), (X[:, :1], V), (X, np.float64(1.3)), (X[:0], V)],
    ids=lambda s: "x".join(str(np.shape(a)) for a in s),
)
def test_binary_with_broadcasting(name: str, shapes: tuple[Any, Any], compare: Any) -> None:
    if name == "copysign" and np.ndim(shapes[1]) == 0:
        return
    compare.check(getattr(fg, name), getattr(torch, name), *map(np.asarray, shapes))


@pytest.mark.parametrize("name", ["eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or"])
def test_comparisons(name: str, compare: Any) -> None:
    compare.check(getattr(fg, name), getattr(torch, name), np.round(X), np.round(Y))


@pytest.mark.parametrize("exponent", [2, 3, 4, -1, -2, 0.5, 2.5, 0, 1])
def test_powers(exponent: float, compare: Any) -> None:
    compare.check(lambda x: x**exponent, lambda x: x**exponent, P)
    compare.check(lambda x: 1.7**x, lambda x: 1.7**x, P)
    compare.check(fg.pow, torch.pow, P, Y)


def test_powers_of_integers(compare: Any) -> None:
    i = np.arange(-3, 4)
    for exponent in (0, 1, 2, 3, 5):
        compare.check(lambda x, e=exponent: x**e, lambda x, e=exponent: x**e, i)
    compare.check(fg.pow, torch.pow, i, np.abs(i))


# one function of the library as `m` and of a tensor, run under both
SAME: dict[str, tuple[Callable[[Any, Any], Any], Any]] = {
    "sum": (lambda m, x: x.sum(), X),
    "sum dim": (lambda m, x: x.sum(1), X),
    "sum keep": (lambda m, x: x.sum((0, 2), keepdim=True), B),
    "mean": (lambda m, x: x.mean(-1), B),
    "var": (lambda m, x: x.var(1), X),
    "var 0": (lambda m, x: x.var(1, correction=0), X),
    "std": (lambda m, x: x.std(), X),
    "prod": (lambda m, x: x.prod(1), X),
    "prod all": (lambda m, x: x.prod(), P),
    "amax": (lambda m, x: x.amax(1), X),
    "amin": (lambda m, x: x.amin((0, 1)), X),
    "amax ties": (lambda m, x: x.amax(1), np.round(X)),
    "max": (lambda m, x: x.max(), X),
    "max dim": (lambda m, x: x.max(1).values, X),
    "max index": (lambda m, x: x.max(1).indices, X),
    "min": (lambda m, x: x.min(0).values, X),
    "argmax": (lambda m, x: x.argmax(1), X),
    "argmin": (lambda m, x: x.argmin(), X),
    "argmax nan": (lambda m, x: m.where(x > 1, float("nan"), x).detach().argmax(1), X),
    "any": (lambda m, x: (x > 1).any(1), X),
    "all": (lambda m, x: (x > -2).all(0), X),
    "logsumexp": (lambda m, x: x.logsumexp(1), X * 300),
    "softmax": (lambda m, x: x.softmax(-1), X * 50),
    "log_softmax": (lambda m, x: x.log_softmax(0), X),
    "norm": (lambda m, x: x.norm(), X),
    "norm 1": (lambda m, x: x.norm(1, 1), X),
    "norm 3": (lambda m, x: x.norm(3, 1), X),
    "norm inf": (lambda m, x: x.norm(float("inf"), 1), X),
    "count": (lambda m, x: m.count_nonzero(x.detach().round()), X),
    "reshape": (lambda m, x: x.reshape(5, -1), X),
    "t": (lambda m, x: x.t(), X),
    "view": (lambda m, x: x.view(2, 10) * 2, X),
    "flatten": (lambda m, x: x.flatten(1), B),
    "permute": (lambda m, x: x.permute(2, 0, 1), B),
    "transpose": (lambda m, x: x.transpose(0, 2), B),
    "movedim": (lambda m, x: m.movedim(x, 0, 2), B),
    "squeeze": (lambda m, x: x[:, :1].squeeze(1), X),
    "unsqueeze": (lambda m, x: x.unsqueeze(-1), X),
    "expand": (lambda m, x: x[:1].expand(3, -1, -1), B),
    "repeat": (lambda m, x: x.repeat(2, 3), X),
    "flip": (lambda m, x: x.flip(0, 1), X),
    "repeat_interleave": (lambda m, x: x.repeat_interleave(2, 1), X),
    "narrow": (lambda m, x: x.narrow(1, 1, 3), X),
    "select": (lambda m, x: x.select(1, 2), X),
    "select negative": (lambda m, x: x.select(1, -2), X),
    "split": (lambda m, x: x.split(2, 1)[2], X),
    "chunk": (lambda m, x: x.chunk(3, 1)[1], X),
    "split sizes": (lambda m, x: x.split([1, 4], 1)[1], X),
    "unbind": (lambda m, x: x.unbind(1)[3], X),
    "cat": (lambda m, x: m.cat([x, x * 2, x[:, :2]], 1), X),
    "stack": (lambda m, x: m.stack([x, x * 2], 1), X),
    "where": (lambda m, x: m.where(x > 0, x * 2, x), X),
    "clamp": (lambda m, x: x.clamp(-0.5, 0.5), X),
    "clamp min": (lambda m, x: x.clamp(min=0.1), X),
    "tril": (lambda m, x: x.tril(1), X),
    "triu": (lambda m, x: x.triu(-1), B),
    "lerp": (lambda m, x: m.lerp(x, x * 2, 0.3), X),
    "addcmul": (lambda m, x: m.addcmul(x, x, x, value=0.5), X),
    "addcdiv": (lambda m, x: m.addcdiv(x, x, x * x + 1, value=2), X),
    "index": (lambda m, x: x[1:, ::2], X),
    "index int": (lambda m, x: x[:, 2], X),
    "index list": (lambda m, x: x[[0, 0, 2]], X),
    "index pair": (lambda m, x: x[[0, 1], [2, 3]], X),
    "index mixed": (lambda m, x: x[:, [0, 2], 1:], B),
    "index split": (lambda m, x: x[[0, 1], :, [1, 2]], B),
    "index none": (lambda m, x: x[None, 1, ..., None], X),
    "index mask": (lambda m, x: x[x > 0], X),
    "masked_fill": (lambda m, x: x.masked_fill(x > 0, -1.0), X),
    "index_select": (lambda m, x: x.index_select(1, m.tensor([4, 0, 4])), X),
    "gather": (lambda m, x: x.gather(1, m.tensor([[0, 4], [1, 1], [2, 0]])), X),
    "matmul": (lambda m, x: x @ x.t(), X),
    "matmul vector": (lambda m, x: x @ x[0], X),
    "vector matmul": (lambda m, x: x[:, 0] @ x, X),
    "dot": (lambda m, x: x[0] @ x[1], X),
    "batched": (lambda m, x: x @ x.transpose(1, 2), B),
    "broadcast batch": (lambda m, x: x[0] @ x.transpose(1, 2), B),
    "vector batch": (lambda m, x: x[0, 0] @ x.transpose(1, 2), B),
    "outer": (lambda m, x: m.outer(x[0], x[1]), X),
    "addmm": (lambda m, x: m.addmm(x[:, :4], x, x.t(), beta=0.5, alpha=2.0), X),
    "floor_divide": (lambda m, x: m.floor_divide(x.detach() * 5, 2.0), X),
    "div floor": (lambda m, x: m.div(x.detach() * 5, 2.0, rounding_mode="floor"), X),
    "div trunc": (lambda m, x: m.div(x.detach() * 5, 2.0, rounding_mode="trunc"), X),
    "in place": (lambda m, x: (x * 1).mul_(2).add_(x).sub_(0.5).clamp_(-1, 1), X),
    "assign": (lambda m, x: assigned(x), X),
    "copy": (lambda m, x: m.zeros_like(x).copy_(x), X),
    "second order": (lambda m, x: m.autograd.grad((x**3).sum(), x, create_graph=True)[0] * x, X),
    "cast": (lambda m, x: x.float().double() * 1.0, np.float32(X).astype(float)),
    "bits": (lambda m, x: x & 3 | x ^ 5, np.arange(-8, 8)),
    "shift": (lambda m, x: ~x, np.arange(-8, 8)),
    "int division": (lambda m, x: m.div(x, 3, rounding_mode="trunc"), np.arange(-8, 8)),
    "int floor": (lambda m, x: x // 3 + x % 3, np.arange(-8, 8)),
    "true div": (lambda m, x: x / 3, np.arange(8)),
    "int sum": (lambda m, x: x.sum(), np.arange(8, dtype=np.int32)),
    "int prod": (lambda m, x: x.prod(0), np.arange(1, 8, dtype=np.int32).reshape(1, 7)),
}


def assigned(x: Any) -> Any:
    """A value changed through several kinds of index."""
    y = x * 1
    y[0] = x[1] * 2
    y[:, 1] = 3.0
    y[[2, 3], [0, 4]] = x[0, :2]
    y.t()[2] += x[:, 0]
    return y


@pytest.mark.parametrize("name", SAME)
def test_functions(name: str, compare: Any) -> None:
    function, data = SAME[name]
    compare.check(lambda x: function(fg, x), lambda x: function(torch, x), data, atol=1e-12)


CREATED: list[Callable[[Any], Any]] = [
    lambda m: m.arange(5),
    lambda m: m.arange(1.0, 2.0, 0.3),
    lambda m: m.arange(7, 1, -2),
    lambda m: m.linspace(0, 1, 7),
    lambda m: m.eye(3, 4),
    lambda m: m.zeros(2, 3),
    lambda m: m.ones((2,), dtype=m.int32),
    lambda m: m.full((2, 2), 1.5),
    lambda m: m.full((2,), 7),
    lambda m: m.tensor([[1, 2], [3, 4]]),
    lambda m: m.tensor([1.0, float("nan")]),
    lambda m: m.zeros_like(m.ones(2, dtype=m.float64)),
    lambda m: m.full_like(m.ones(2), 3.0),
    lambda m: m.tensor(True),
    lambda m: m.tensor([]),
    lambda m: m.ones(2, 0).sum(1),
    lambda m: m.ones(0).mean(),
    lambda m: m.ones(1).var(),
    lambda m: m.zeros(0).prod(),
]


@pytest.mark.parametrize("make", CREATED)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_creation(make: Callable[[Any], Any], compare: Any) -> None:
    compare.close(make(fg), make(torch), rtol=1e-6)
