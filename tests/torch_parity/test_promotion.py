"""Result dtypes and refusals against PyTorch, generated: every pair of dtypes through every form.

An operand is a tensor with dimensions, a 0-d tensor or a Python number; the functions are given by
name. What is compared is the dtype of the result, or that both sides refuse.
"""

from __future__ import annotations

import functools
import itertools
import operator
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch

import fusegrad as fg

NAMES = (
    "bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64",
)  # fmt: skip
COMPLEX = ("complex64", "complex128")
UNSIGNED = ("uint16", "uint32", "uint64")
NUMBERS = {"bool": True, "int": 2, "float": 1.5}

BINARY: dict[str, Callable[[Any, Any, Any], Any]] = {
    "+": lambda lib, a, b: a + b,
    "-": lambda lib, a, b: a - b,
    "*": lambda lib, a, b: a * b,
    "/": lambda lib, a, b: a / b,
    "//": lambda lib, a, b: a // b,
    "%": lambda lib, a, b: a % b,
    "**": lambda lib, a, b: a**b,
    "==": lambda lib, a, b: a == b,
    "<": lambda lib, a, b: a < b,
    "&": lambda lib, a, b: a & b,
    "^": lambda lib, a, b: a ^ b,
    "<<": lambda lib, a, b: a << b,
    "add(alpha)": lambda lib, a, b: lib.add(a, b, alpha=2),
    "sub(alpha)": lambda lib, a, b: lib.sub(a, b, alpha=1.5),
    "rsub": lambda lib, a, b: lib.rsub(a, b),
    "div(floor)": lambda lib, a, b: lib.div(a, b, rounding_mode="floor"),
    "div(trunc)": lambda lib, a, b: lib.div(a, b, rounding_mode="trunc"),
    "fmod": lambda lib, a, b: lib.fmod(a, b),
    "float_power": lambda lib, a, b: lib.float_power(a, b),
    "where": lambda lib, a, b: lib.where(lib.tensor([True, False]), a, b),
    "xlogy": lambda lib, a, b: lib.xlogy(a, b),
    "result_type": lambda lib, a, b: lib.empty(0, dtype=lib.result_type(a, b)),
}
PAIRS: dict[str, Callable[[Any, Any, Any], Any]] = {  # of tensors
    "maximum": lambda lib, a, b: lib.maximum(a, b),
    "logical_and": lambda lib, a, b: lib.logical_and(a, b),
    "fmax": lambda lib, a, b: lib.fmax(a, b),
    "atan2": lambda lib, a, b: lib.atan2(a, b),
    "hypot": lambda lib, a, b: lib.hypot(a, b),
    "logaddexp": lambda lib, a, b: lib.logaddexp(a, b),
    "heaviside": lambda lib, a, b: lib.heaviside(a, b),
    "copysign": lambda lib, a, b: lib.copysign(a, b),
    "gcd": lambda lib, a, b: lib.gcd(a, b),
    "cat": lambda lib, a, b: lib.cat([lib.atleast_1d(a), lib.atleast_1d(b)]),
    "stack": lambda lib, a, b: lib.stack([a, b]),
    "lerp": lambda lib, a, b: lib.lerp(a, b, 0.5),
    "lerp(weight)": lambda lib, a, b: lib.lerp(a, a, b),
    "addcmul": lambda lib, a, b: lib.addcmul(a, b, b),
    "addcdiv": lambda lib, a, b: lib.addcdiv(a, b, b),
    "masked_fill": lambda lib, a, b: a.masked_fill(lib.tensor([True, False]), b[0]),
    "clamp": lambda lib, a, b: lib.clamp(a, b),
    "isclose": lambda lib, a, b: lib.isclose(a, b),
    "matmul": lambda lib, a, b: a @ b,
    "outer": lambda lib, a, b: lib.outer(a, b),
    "copy_": lambda lib, a, b: a.copy_(b),
    "index_put": lambda lib, a, b: a.index_put((lib.tensor([0]),), b[:1]),
    "setitem": lambda lib, a, b: (a.__setitem__(0, b[0]), a)[1],
    "can_cast": lambda lib, a, b: lib.empty(int(lib.can_cast(a.dtype, b.dtype))),
}
OF_VECTORS = ("masked_fill", "index_put", "setitem", "stack", "matmul", "lerp(weight)")
IN_PLACE = ("add_", "sub_", "mul_", "div_", "floor_divide_", "remainder_", "pow_", "fmod_")


def made(lib: Any, name: str, kind: str) -> Any:
    """An operand: ``t`` a vector, ``0`` a 0-d tensor."""
    values = [1, 1] if name == "bool" else [2, 1]
    out = lib.tensor(values, dtype=getattr(lib, name))
    return out if kind == "t" else out[0].clone()


def outcome(call: Callable[[], Any]) -> str:
    """The dtype of a result, or that the call is refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return str(call().dtype).split(".")[1]
        except (RuntimeError, TypeError, NotImplementedError, ValueError):
            return "refused"


def check(cases: Any) -> None:
    """Compare outcomes; the message lists all that differ."""
    wrong = []
    for label, call in cases:
        theirs, ours = (outcome(functools.partial(call, lib)) for lib in (torch, fg))
        if theirs != ours:
            wrong.append(f"{label}: {ours} instead of {theirs}")
    assert not wrong, f"{len(wrong)} differ:\n" + "\n".join(wrong[:60])


@pytest.mark.parametrize("name", BINARY)
def test_binary_of_tensors(name: str) -> None:
    function = BINARY[name]
    check(
        (f"{a}[{p}] {name} {b}[{q}]", lambda lib, a=a, b=b, p=p, q=q: function(
            lib, made(lib, a, p), made(lib, b, q)))
        for a, b in itertools.product(NAMES, repeat=2)
        for p, q in itertools.product("t0", repeat=2)
    )  # fmt: skip


@pytest.mark.parametrize("name", BINARY)
def test_binary_with_numbers(name: str) -> None:
    function = BINARY[name]
    check(
        (f"{a}[{p}] {name} {n}", lambda lib, a=a, p=p, n=n: function(
            lib, made(lib, a, p), NUMBERS[n]))
        for a in NAMES
        for p in "t0"
        for n in NUMBERS
    )  # fmt: skip
    if name[0].isalpha():  # PyTorch's functions take their first operand as a tensor
        return
    check(
        (f"{n} {name} {a}[{p}]", lambda lib, a=a, p=p, n=n: function(
            lib, NUMBERS[n], made(lib, a, p)))
        for a in NAMES
        for p in "t0"
        for n in NUMBERS
    )  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_pairs(name: str) -> None:
    function = PAIRS[name]
    check(
        (f"{name}({a}, {b}[{q}])", lambda lib, a=a, b=b, q=q: function(
            lib, made(lib, a, "t"), made(lib, b, q)))
        for a, b in itertools.product(NAMES, repeat=2)
        for q in "t0"
        if q == "t" or name not in OF_VECTORS
    )  # fmt: skip


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place(name: str) -> None:
    check(
        (f"{a}.{name}({b}[{q}])", lambda lib, a=a, b=b, q=q: getattr(made(lib, a, "t"), name)(
            made(lib, b, q)))
        for a, b in itertools.product(NAMES, repeat=2)
        for q in "t0"
    )  # fmt: skip
    check(
        (f"{a}.{name}({n})", lambda lib, a=a, n=n: getattr(made(lib, a, "t"), name)(NUMBERS[n]))
        for a in NAMES
        for n in NUMBERS
    )


def test_in_place_names_the_dtypes() -> None:
    with pytest.raises(RuntimeError, match=r"result type Float can't be cast to .* type Long"):
        fg.tensor([1]).add_(1.5)
    with pytest.raises(RuntimeError, match=r"result type Long can't be cast to .* type Bool"):
        fg.tensor([True]).add_(1)


UNARY = (
    "abs", "neg", "sign", "sgn", "square", "exp", "log", "sqrt", "rsqrt", "sin", "tanh", "sigmoid",
    "floor", "ceil", "round", "trunc", "frac", "reciprocal", "relu", "erf", "lgamma", "isnan",
    "isfinite", "isinf", "logical_not", "bitwise_not", "signbit", "positive", "deg2rad", "sinc",
    "nan_to_num", "logit", "exp2", "expm1", "log1p", "acos", "digamma",
)  # fmt: skip
REDUCTIONS = (
    "sum", "prod", "mean", "amax", "amin", "max", "min", "argmax", "all", "any", "std", "var",
    "median", "nansum", "nanmean", "logsumexp", "cumsum", "cumprod", "cummax", "norm", "sort",
    "argsort", "count_nonzero", "mode", "aminmax", "unique", "logcumsumexp", "softmax",
    "log_softmax", "diff", "trapezoid", "msort", "isin", "bincount",
)  # fmt: skip
NEED_DIM = ("logsumexp", "cumsum", "cumprod", "cummax", "softmax", "log_softmax", "logcumsumexp")


def first(value: Any) -> Any:
    """The values of a result with several parts."""
    return value[0] if isinstance(value, tuple) else value


@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str) -> None:
    check((f"{name}({a})", lambda lib, a=a: getattr(lib, name)(made(lib, a, "t"))) for a in NAMES)


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name: str) -> None:
    options = {"dim": 0} if name in NEED_DIM else {}

    def call(lib: Any, a: str) -> Any:
        x = made(lib, a, "t")
        rest = (x,) if name == "isin" else ()
        return first(getattr(lib, name)(x, *rest, **options))

    check((f"{name}({a})", lambda lib, a=a: call(lib, a)) for a in NAMES)


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "cumsum", "cumprod", "nansum", "softmax"])
def test_reductions_with_dtype(name: str) -> None:
    options = {"dim": 0} if name in NEED_DIM else {}
    check(
        (f"{name}({a}, dtype={b})", lambda lib, a=a, b=b: getattr(lib, name)(
            made(lib, a, "t"), dtype=getattr(lib, b), **options))
        for a, b in itertools.product(NAMES, repeat=2)
    )  # fmt: skip


def test_promote_types() -> None:
    names = NAMES + COMPLEX + UNSIGNED

    def call(lib: Any, a: str, b: str) -> Any:
        return lib.empty(0, dtype=lib.promote_types(getattr(lib, a), getattr(lib, b)))

    check(
        (f"{a}, {b}", lambda lib, a=a, b=b: call(lib, a, b))
        for a, b in itertools.product(names, repeat=2)
    )


@pytest.mark.parametrize("default", ["float32", "float64", "float16", "bfloat16"])
def test_default_dtype(default: str) -> None:
    calls: dict[str, Callable[[Any], Any]] = {
        "tensor": lambda lib: lib.tensor([1.5]),
        "zeros": lambda lib: lib.zeros(2),
        "arange": lambda lib: lib.arange(0.0, 2.0),
        "full": lambda lib: lib.full((2,), 1.5),
        "rand": lambda lib: lib.rand(2),
        "randn": lambda lib: lib.randn(2),
        "int / int": lambda lib: lib.tensor([1]) / 2,
        "int * float": lambda lib: lib.tensor([1]) * 1.5,
        "exp(int)": lambda lib: lib.exp(lib.tensor([1])),
        "linspace": lambda lib: lib.linspace(0, 1, 3),
        "Linear": lambda lib: lib.nn.Linear(2, 2).weight,
    }
    before = torch.get_default_dtype(), fg.get_default_dtype()
    try:
        torch.set_default_dtype(getattr(torch, default))
        fg.set_default_dtype(getattr(fg, default))
        assert fg.get_default_dtype() is getattr(fg, default)
        check(calls.items())
    finally:
        torch.set_default_dtype(before[0])
        fg.set_default_dtype(before[1])


@pytest.mark.parametrize("name", NAMES + COMPLEX)
def test_facts_of_a_dtype(name: str) -> None:
    ours, theirs = getattr(fg, name), getattr(torch, name)
    for fact in ("itemsize", "is_floating_point", "is_complex", "is_signed"):
        assert getattr(ours, fact) == getattr(theirs, fact), fact
    x, y = made(fg, name, "t"), made(torch, name, "t")
    for method in ("element_size", "is_floating_point", "is_complex", "is_signed"):
        assert getattr(x, method)() == getattr(y, method)(), method
    assert (x.itemsize, x.nbytes) == (y.itemsize, y.nbytes)
    assert str(ours.to_real()).split(".")[1] == str(theirs.to_real()).split(".")[1]
    if name != "float16":  # complex numbers of half precision are not offered
        a, b = (outcome(lambda t=t, lib=lib: lib.empty(0, dtype=t.to_complex()))
                for t, lib in ((ours, fg), (theirs, torch)))  # fmt: skip
        assert a == b


@pytest.mark.parametrize("name", NAMES + COMPLEX)
def test_limits_of_a_dtype(name: str) -> None:
    ours, theirs = getattr(fg, name), getattr(torch, name)
    for kind in ("finfo", "iinfo"):
        try:
            expected = getattr(torch, kind)(theirs)
        except TypeError:
            with pytest.raises(TypeError):
                getattr(fg, kind)(ours)
            continue
        found = getattr(fg, kind)(ours)
        for fact in ("bits", "max", "min", "eps", "tiny", "smallest_normal", "resolution", "dtype"):
            if hasattr(expected, fact):
                assert getattr(found, fact) == getattr(expected, fact), fact
        assert repr(found) == repr(expected)


def test_operators_of_python_follow_the_functions() -> None:
    x = fg.ones(2, dtype=fg.bfloat16)
    for function in (operator.add, operator.mul, operator.truediv, operator.pow):
        assert function(x, 2.5).dtype is fg.bfloat16
        assert function(x, fg.tensor(2.5, dtype=fg.float64)).dtype is fg.bfloat16
        assert function(x, fg.ones(2, dtype=fg.float16)).dtype is fg.float32
