"""Batch, group, instance and response normalization equal PyTorch's, with their statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import fusegrad as fg

SHAPES = {"1": (4, 6, 5), "2": (3, 6, 4, 5), "3": (2, 6, 3, 2, 4)}

NORMS = [
    ("BatchNorm1d", (6,), {}, (5, 6)),
    ("BatchNorm1d", (6,), {"eps": 1e-3, "momentum": 0.3}, (5, 6, 4)),
    ("BatchNorm2d", (6,), {}, SHAPES["2"]),
    ("BatchNorm2d", (6,), {"momentum": None}, SHAPES["2"]),
    ("BatchNorm2d", (6,), {"affine": False}, SHAPES["2"]),
    ("BatchNorm2d", (6,), {"bias": False}, SHAPES["2"]),
    ("BatchNorm2d", (6,), {"track_running_stats": False}, SHAPES["2"]),
    ("BatchNorm3d", (6,), {}, SHAPES["3"]),
    ("InstanceNorm1d", (6,), {}, SHAPES["1"]),
    ("InstanceNorm1d", (6,), {"affine": True}, (6, 5)),
    ("InstanceNorm2d", (6,), {"affine": True, "track_running_stats": True}, SHAPES["2"]),
    ("InstanceNorm2d", (6,), {"affine": True, "bias": False}, SHAPES["2"]),
    ("InstanceNorm3d", (6,), {"track_running_stats": True}, SHAPES["3"]),
    ("GroupNorm", (3, 6), {}, SHAPES["2"]),
    ("GroupNorm", (6, 6), {"eps": 1e-2}, (4, 6)),
    ("GroupNorm", (1, 6), {"affine": False}, SHAPES["3"]),
    ("GroupNorm", (2, 6), {"bias": False}, SHAPES["1"]),
    ("LocalResponseNorm", (2,), {}, SHAPES["2"]),
    ("LocalResponseNorm", (3,), {"alpha": 0.1, "beta": 0.5, "k": 2.0}, SHAPES["1"]),
    ("LocalResponseNorm", (9,), {"alpha": 0.1}, SHAPES["3"]),
]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), NORMS, ids=str)
def test_norm(compare: Any, same_state: Any, name: str, args: Any, kwargs: Any, shape: Any) -> None:
    ours = getattr(fg.nn, name)(*args, **kwargs).double()
    theirs = getattr(torch.nn, name)(*args, **kwargs).double()
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for p in theirs.parameters():
        torch.nn.init.normal_(p)
    same_state(ours, theirs)
    params = (tuple(ours.parameters()), tuple(theirs.parameters()))
    for _ in range(3):  # running statistics move
        x = compare.randn(*shape) * 2 + 3
        compare.check(ours, theirs, x, params=params, rtol=1e-7, atol=1e-9)
    for key, value in theirs.state_dict().items():
        compare.close(ours.state_dict()[key], value)
    ours.eval(), theirs.eval()
    compare.check(ours, theirs, x, params=params, rtol=1e-7, atol=1e-9)
    for key, value in theirs.state_dict().items():
        compare.close(ours.state_dict()[key], value)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("BatchNorm2d", (6,)),
        ("InstanceNorm2d", (6,)),
        ("GroupNorm", (3, 6)),
        ("LocalResponseNorm", (3,)),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_second_derivatives(compare: Any, name: str, args: Any, dtype: str) -> None:
    x = compare.randn(*SHAPES["2"]).astype(dtype)
    found = []
    for library, value in (
        (fg, fg.tensor(x, requires_grad=True)),
        (torch, torch.tensor(x, requires_grad=True)),
    ):
        module = getattr(library.nn, name)(*args).to(value.dtype)
        (g,) = library.autograd.grad((module(value) ** 3).sum(), value, create_graph=True)
        (h,) = library.autograd.grad((g * g).sum(), value)
        found.append(h.detach().numpy())
    scale = np.abs(found[1]).max()
    tolerance = 1e-10 if dtype == "float64" else 5e-5
    np.testing.assert_allclose(*found, rtol=tolerance, atol=tolerance * scale)


def test_variance_of_values_far_from_zero(compare: Any) -> None:
    """float32 input whose mean is a thousand times its deviation."""
    x = (compare.randn(16, 3, 8, 8) + 1000).astype(np.float32)
    ours = fg.nn.functional.batch_norm(fg.tensor(x), None, None, training=True)
    theirs = torch.nn.functional.batch_norm(torch.from_numpy(x).double(), None, None, training=True)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=2e-4)


def test_nan_and_infinity_spoil_their_channel_only(compare: Any) -> None:
    x = compare.randn(4, 3, 2, 2).astype(np.float32)
    x[0, 0, 0, 0], x[1, 1, 0, 0] = np.nan, np.inf
    ours = fg.nn.functional.batch_norm(fg.tensor(x), None, None, training=True).numpy()
    assert np.isnan(ours[:, :2]).all() and np.isfinite(ours[:, 2]).all()


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (lambda nn: nn.BatchNorm2d(3), (2, 3)),
        (lambda nn: nn.BatchNorm1d(3), (2, 3, 4, 4)),
        (lambda nn: nn.BatchNorm1d(3), (1, 3)),
        (lambda nn: nn.BatchNorm2d(3), (2, 4, 2, 2)),
        (lambda nn: nn.InstanceNorm1d(3), (2, 3, 1)),
        (lambda nn: nn.InstanceNorm2d(3, affine=True), (2, 4, 3, 3)),
        (lambda nn: nn.GroupNorm(3, 6), (2, 4, 3)),
        (lambda nn: nn.LocalResponseNorm(3), (2, 4)),
        (lambda nn: nn.GroupNorm(3, 4), (2, 4)),
    ],
)
def test_errors(build: Any, shape: Any) -> None:
    with pytest.raises((RuntimeError, ValueError)) as theirs:
        build(torch.nn)(torch.zeros(shape))
    with pytest.raises((RuntimeError, ValueError)) as ours:
        build(fg.nn)(fg.zeros(*shape))
    assert issubclass(ours.type, theirs.type)


def test_constructor_arguments() -> None:
    import inspect

    for name in ("BatchNorm2d", "InstanceNorm2d", "GroupNorm", "LocalResponseNorm"):
        ours = inspect.signature(getattr(fg.nn, name).__init__).parameters
        theirs = inspect.signature(getattr(torch.nn, name).__init__).parameters
        assert list(ours) == list(theirs)
        assert {k: v.default for k, v in ours.items()} == {k: v.default for k, v in theirs.items()}
