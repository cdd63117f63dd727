"""Pooling equals PyTorch's: values, places, gradients, second derivatives, edges and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import fusegrad as fg

F, TF = fg.nn.functional, torch.nn.functional

SHAPES = {1: (2, 3, 11), 2: (2, 3, 7, 10), 3: (2, 2, 5, 6, 7)}

MAX = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 3, "stride": 1, "padding": 1},
    {"kernel_size": 2, "stride": 3},
    {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    {"kernel_size": 2, "ceil_mode": True, "padding": 1},
    {"kernel_size": 2, "dilation": 2, "stride": 1},
    {"kernel_size": 3, "dilation": 2, "padding": 1, "stride": 2, "ceil_mode": True},
    {"kernel_size": 1, "stride": 2},
]


def _ties(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Small integers, so that windows hold equal maxima."""
    return rng.integers(0, 4, shape).astype(np.float64)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("kwargs", MAX, ids=str)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_max_pool(compare: Any, n: int, kwargs: dict[str, Any], ties: bool) -> None:
    name = f"max_pool{n}d"
    x = _ties(compare.rng, SHAPES[n]) if ties else compare.randn(*SHAPES[n])
    compare.check(
        lambda t: getattr(F, name)(t, **kwargs), lambda t: getattr(TF, name)(t, **kwargs), x
    )
    out, index = getattr(F, name)(fg.tensor(x), **kwargs, return_indices=True)
    want, places = getattr(TF, name)(torch.from_numpy(x), **kwargs, return_indices=True)
    compare.close(out, want)
    compare.close(index, places)
    compare.close(getattr(F, name)(fg.tensor(x[0]), **kwargs), want[0])


@pytest.mark.parametrize("kwargs", MAX, ids=str)
def test_nan_and_infinity(compare: Any, kwargs: dict[str, Any]) -> None:
    x = compare.randn(2, 3, 7, 10)
    x[0, 0, 2:4, 3:6] = np.nan
    x[1] = -np.inf
    x[1, 1, 3, 3] = np.inf
    out, index = F.max_pool2d(fg.tensor(x), **kwargs, return_indices=True)
    want, places = TF.max_pool2d(torch.from_numpy(x), **kwargs, return_indices=True)
    compare.close(out, want)
    compare.close(index, places)
    compare.close(F.max_pool2d(fg.tensor(x), **kwargs), want)


def test_max_pool_of_integers(compare: Any) -> None:
    x = compare.rng.integers(-9, 9, (2, 3, 7, 10))
    compare.close(F.max_pool2d(fg.tensor(x), 3, 2, 1), TF.max_pool2d(torch.from_numpy(x), 3, 2, 1))


AVG = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 3, "stride": 1, "padding": 1, "count_include_pad": False},
    {"kernel_size": 2, "stride": 3},
    {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    {"kernel_size": 2, "ceil_mode": True, "padding": 1, "count_include_pad": False},
    {"kernel_size": 3, "ceil_mode": True, "padding": 1},
    {"kernel_size": 1, "stride": 2},
]


@pytest.mark.parametrize("kwargs", AVG, ids=str)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_avg_pool(compare: Any, n: int, kwargs: dict[str, Any]) -> None:
    ours, theirs = getattr(F, f"avg_pool{n}d"), getattr(TF, f"avg_pool{n}d")
    options = [kwargs] if n == 1 else [kwargs, {**kwargs, "divisor_override": 3}]
    for kw in options:
        x = compare.randn(*SHAPES[n])
        compare.check(lambda t, kw=kw: ours(t, **kw), lambda t, kw=kw: theirs(t, **kw), x)
    compare.close(ours(fg.tensor(x[0]), **kwargs), theirs(torch.from_numpy(x[0]), **kwargs))


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_lp_pool(compare: Any, n: int, norm_type: float) -> None:
    x = np.abs(compare.randn(*SHAPES[n])) + 0.1
    for args in ((2,), (3, 2), (3, 2, True)):
        compare.check(
            lambda t, args=args: getattr(F, f"lp_pool{n}d")(t, norm_type, *args),
            lambda t, args=args: getattr(TF, f"lp_pool{n}d")(t, norm_type, *args),
            x,
        )


ADAPTIVE = {1: [1, 4, 11, 13], 2: [1, (7, 5), (3, 4), (None, 3), 9], 3: [1, (5, 3, 7), (2, 4, 3)]}


@pytest.mark.parametrize(
    ("n", "size"), [(n, s) for n, sizes in ADAPTIVE.items() for s in sizes], ids=str
)
def test_adaptive(compare: Any, n: int, size: Any) -> None:
    for kind in ("avg", "max"):
        name = f"adaptive_{kind}_pool{n}d"
        for x in (compare.randn(*SHAPES[n]), _ties(compare.rng, SHAPES[n])):
            compare.check(
                lambda t, name=name: getattr(F, name)(t, size),
                lambda t, name=name: getattr(TF, name)(t, size),
                x,
            )
    ours = getattr(F, name)(fg.tensor(x), size, return_indices=True)
    theirs = getattr(TF, name)(torch.from_numpy(x), size, return_indices=True)
    for a, b in zip(ours, theirs, strict=True):
        compare.close(a, b)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_unpool(compare: Any, n: int) -> None:
    for shape, args, size in (
        ((2, 3, 6, 8, 4)[: n + 2], (2,), None),
        (SHAPES[n], (2,), SHAPES[n]),
        (SHAPES[n], (3, 2), SHAPES[n][2:]),
    ):
        x = compare.randn(*shape)
        pooled, index = getattr(TF, f"max_pool{n}d")(
            torch.from_numpy(x), *args, return_indices=True
        )
        index_ours = fg.tensor(index.numpy())
        compare.check(
            lambda t, a=args, s=size, i=index_ours: getattr(F, f"max_unpool{n}d")(
                t, i, *a, output_size=s
            ),
            lambda t, a=args, s=size, i=index: getattr(TF, f"max_unpool{n}d")(
                t, i, *a, output_size=s
            ),
            pooled.numpy(),
        )


@pytest.mark.parametrize("n", [2, 3])
def test_fractional(compare: Any, n: int) -> None:
    shape = SHAPES[n]
    samples = compare.rng.random((2, shape[1], n))
    x = compare.randn(*shape)
    size = tuple(e // 2 for e in shape[2:])
    name = f"fractional_max_pool{n}d"
    compare.check(
        lambda t: getattr(F, name)(t, 2, size, _random_samples=fg.tensor(samples)),
        lambda t: getattr(TF, name)(t, 2, size, _random_samples=torch.from_numpy(samples)),
        x,
    )
    ours = getattr(F, name)(
        fg.tensor(x),
        2,
        output_ratio=(0.6,) * n,
        return_indices=True,
        _random_samples=fg.tensor(samples),
    )
    theirs = getattr(TF, name)(
        torch.from_numpy(x),
        2,
        output_ratio=(0.6,) * n,
        return_indices=True,
        _random_samples=torch.from_numpy(samples),
    )
    for a, b in zip(ours, theirs, strict=True):
        compare.close(a, b)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("max_pool2d", (2,)),
        ("max_pool2d", (3, 2, 1)),
        ("avg_pool2d", (2,)),
        ("avg_pool2d", (3, 2, 1)),
        ("adaptive_max_pool2d", ((3, 4),)),
        ("adaptive_avg_pool2d", ((3, 4),)),
        ("lp_pool2d", (3.0, 2)),
    ],
    ids=str,
)
def test_second_derivatives(compare: Any, name: str, args: Any) -> None:
    x = np.abs(compare.randn(2, 2, 6, 7)) + 0.1
    found = []
    for library, value in (
        (fg, fg.tensor(x, requires_grad=True)),
        (torch, torch.tensor(x, requires_grad=True)),
    ):
        out = getattr(library.nn.functional, name)(value, *args)
        (g,) = library.autograd.grad((out**3).sum(), value, create_graph=True)
        (h,) = library.autograd.grad((g * g).sum(), value)
        found.append(h.detach().numpy())
    np.testing.assert_allclose(*found, rtol=1e-8, atol=1e-10)


MODULES = [
    ("MaxPool1d", (2,), {}),
    ("MaxPool2d", ((3, 2),), {"stride": 2, "padding": (1, 0), "dilation": 1}),
    ("MaxPool2d", (2,), {"return_indices": True}),
    ("MaxPool3d", (2,), {"ceil_mode": True}),
    ("AvgPool1d", (2,), {}),
    ("AvgPool2d", (3,), {"stride": 2, "padding": 1, "count_include_pad": False}),
    ("AvgPool3d", (2,), {"divisor_override": 5}),
    ("LPPool1d", (2, 3), {}),
    ("LPPool2d", (2, 3), {"stride": 2}),
    ("LPPool3d", (3, 2), {"ceil_mode": True}),
    ("AdaptiveAvgPool1d", (3,), {}),
    ("AdaptiveAvgPool2d", ((None, 2),), {}),
    ("AdaptiveAvgPool3d", (1,), {}),
    ("AdaptiveMaxPool1d", (3,), {}),
    ("AdaptiveMaxPool2d", ((3, 4),), {"return_indices": True}),
    ("AdaptiveMaxPool3d", (2,), {}),
]


@pytest.mark.parametrize(("name", "args", "kwargs"), MODULES, ids=str)
def test_module(compare: Any, name: str, args: Any, kwargs: Any) -> None:
    ours = getattr(fg.nn, name)(*args, **kwargs)
    theirs = getattr(torch.nn, name)(*args, **kwargs)
    assert repr(ours) == repr(theirs)
    x = np.abs(compare.randn(*SHAPES[int(name[-2])]))
    if kwargs.get("return_indices"):
        for a, b in zip(ours(fg.tensor(x)), theirs(torch.from_numpy(x)), strict=True):
            compare.close(a, b)
        return
    compare.check(ours, theirs, x)


def test_unpool_and_fractional_modules(compare: Any) -> None:
    x = compare.randn(*SHAPES[2])
    samples = compare.rng.random((2, 3, 2))
    out = []
    for library in (fg, torch):
        nn = library.nn
        pool, unpool = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)
        draw = nn.FractionalMaxPool2d(2, 4, _random_samples=library.tensor(samples))
        assert list(draw.state_dict()) == ["_random_samples"]
        t = library.tensor(x)
        out.append((repr(unpool), unpool(*pool(t), output_size=t.shape), draw(t), repr(draw)))
    assert out[0][0] == out[1][0]
    compare.close(out[0][1], out[1][1])
    compare.close(out[0][2], out[1][2])
    assert out[0][3] == out[1][3]


@pytest.mark.parametrize(
    ("name", "shape", "args", "kwargs"),
    [
        ("max_pool2d", (2, 3), (2,), {}),
        ("max_pool2d", (2, 3, 4, 4), (2,), {"padding": 2}),
        ("max_pool2d", (2, 3, 2, 2), (3,), {}),
        ("max_pool2d", (2, 3, 4, 4), ((2, 2, 2),), {}),
        ("max_pool2d", (2, 3, 4, 4), (2,), {"stride": 0}),
        ("max_pool1d", (2, 3, 4), (2,), {"padding": -1}),
        ("avg_pool2d", (2, 3, 4, 4), (2,), {"padding": 2}),
        ("avg_pool1d", (3,), (2,), {}),
        ("adaptive_avg_pool2d", (3, 4), (2,), {}),
        ("max_pool2d", (2, 0, 4, 4), (2,), {}),
    ],
    ids=str,
)
def test_errors(name: str, shape: Any, args: Any, kwargs: Any) -> None:
    with pytest.raises((RuntimeError, ValueError)):
        getattr(TF, name)(torch.zeros(shape), *args, **kwargs)
    with pytest.raises((RuntimeError, ValueError)):
        getattr(F, name)(fg.zeros(*shape), *args, **kwargs)


def test_no_batch_is_fine(compare: Any) -> None:
    compare.close(F.max_pool2d(fg.zeros(0, 3, 4, 4), 2), TF.max_pool2d(torch.zeros(0, 3, 4, 4), 2))
    compare.close(F.avg_pool2d(fg.zeros(0, 3, 4, 4), 2), TF.avg_pool2d(torch.zeros(0, 3, 4, 4), 2))
