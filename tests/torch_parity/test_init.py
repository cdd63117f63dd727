"""nn.init: exact where nothing is drawn; same arguments, bounds, moments and errors elsewhere."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest
import torch

import fusegrad as fg

NAMES = [
    "uniform_", "normal_", "trunc_normal_", "constant_", "ones_", "zeros_", "eye_", "dirac_",
    "xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_", "orthogonal_",
    "sparse_", "calculate_gain",
]  # fmt: skip


def _both(name: str, shape: tuple[int, ...], *args: Any, **kwargs: Any) -> list[np.ndarray]:
    results = []
    for library in (fg, torch):
        library.manual_seed(0)
        tensor = library.empty(shape, dtype=library.float64).requires_grad_()
        assert getattr(library.nn.init, name)(tensor, *args, **kwargs) is tensor
        assert tensor.is_leaf and tensor.requires_grad
        results.append(tensor.detach().numpy())
    return results


@pytest.mark.parametrize("name", NAMES)
def test_arguments(name: str) -> None:
    ours, theirs = (
        inspect.signature(getattr(library.nn.init, name)).parameters.values()
        for library in (fg, torch)
    )
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs]


EXACT: list[tuple[str, tuple[int, ...], tuple[Any, ...]]] = [
    ("constant_", (3, 4), (0.3,)),
    ("constant_", (), (math.inf,)),
    ("ones_", (3,), ()),
    ("zeros_", (0, 3), ()),
    ("eye_", (3, 5), ()),
    ("eye_", (5, 3), ()),
    ("eye_", (0, 3), ()),
    ("dirac_", (4, 3, 5), ()),
    ("dirac_", (3, 4, 4), ()),
    ("dirac_", (4, 3, 3, 2), ()),
    ("dirac_", (6, 2, 3, 3), (3,)),
    ("dirac_", (6, 2, 1, 2, 3), (2,)),
]


@pytest.mark.parametrize(("name", "shape", "args"), EXACT, ids=str)
def test_exact(name: str, shape: tuple[int, ...], args: tuple[Any, ...]) -> None:
    np.testing.assert_array_equal(*_both(name, shape, *args))


#: What is drawn, with the cumulative distribution it must follow.
def _uniform(a: float, b: float) -> Any:
    return lambda x: np.clip((x - a) / (b - a), 0, 1)


def _normal(mean: float, std: float) -> Any:
    return lambda x: 0.5 * (1 + np.vectorize(math.erf)((x - mean) / std / math.sqrt(2)))


def _truncated(mean: float, std: float, a: float, b: float) -> Any:
    whole = _normal(mean, std)
    return lambda x: np.clip((whole(x) - whole(a)) / (whole(b) - whole(a)), 0, 1)


DRAWN: list[tuple[str, tuple[int, ...], dict[str, Any], Any]] = [
    ("uniform_", (50, 60), {}, _uniform(0, 1)),
    ("uniform_", (50, 60), {"a": -3.0, "b": 2.0}, _uniform(-3, 2)),
    ("normal_", (50, 60), {"mean": 1.0, "std": 0.1}, _normal(1, 0.1)),
    ("trunc_normal_", (50, 60), {}, _truncated(0, 1, -2, 2)),
    ("trunc_normal_", (50, 60), {"mean": 1.0, "std": 2.0, "a": 0.5, "b": 4.0},
     _truncated(1, 2, 0.5, 4)),
    ("trunc_normal_", (50, 60), {"std": 0.02}, _truncated(0, 0.02, -2, 2)),
    ("xavier_uniform_", (40, 60), {"gain": 2.0}, _uniform(-2 * 0.06**0.5, 2 * 0.06**0.5)),
    ("xavier_normal_", (40, 60), {}, _normal(0, 0.02**0.5)),
    ("xavier_normal_", (20, 4, 5, 5), {}, _normal(0, (2 / 600) ** 0.5)),
    ("kaiming_uniform_", (40, 60), {"a": 5**0.5}, _uniform(-(60**-0.5), 60**-0.5)),
    ("kaiming_uniform_", (40, 60), {"mode": "fan_out", "nonlinearity": "relu"},
     _uniform(-((6 / 40) ** 0.5), (6 / 40) ** 0.5)),
    ("kaiming_normal_", (40, 60), {"nonlinearity": "tanh"}, _normal(0, 5 / 3 / 60**0.5)),
    ("kaiming_normal_", (20, 4, 5, 5), {"mode": "fan_out"}, _normal(0, (2 / 500) ** 0.5)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "shape", "options", "cdf"), DRAWN, ids=[f"{n}-{o}" for n, _, o, _ in DRAWN]
)
def test_distribution(name: str, shape: tuple[int, ...], options: dict[str, Any], cdf: Any) -> None:
    """Kolmogorov-Smirnov, for both libraries: the distance that chance exceeds once in 10**4."""
    for values in _both(name, shape, **options):
        ordered = np.sort(values.ravel())
        steps = np.arange(1, ordered.size + 1) / ordered.size
        distance = max(
            np.abs(cdf(ordered) - steps).max(), np.abs(cdf(ordered) - steps + steps[0]).max()
        )
        assert distance < 2.23 / math.sqrt(ordered.size)
        assert values.std() > 0


@pytest.mark.parametrize("shape", [(6, 6), (8, 3), (3, 8), (4, 2, 3, 2), (2, 3, 5)], ids=str)
def test_orthogonal(shape: tuple[int, ...]) -> None:
    for values in _both("orthogonal_", shape, gain=1.5):
        flat = values.reshape(shape[0], -1) / 1.5
        gram = flat @ flat.T if flat.shape[0] <= flat.shape[1] else flat.T @ flat
        np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-12)


def test_sparse() -> None:
    for values in _both("sparse_", (40, 200), sparsity=0.33, std=0.5):
        assert ((values == 0).sum(0) == math.ceil(0.33 * 40)).all()
        assert abs(values[values != 0].std() - 0.5) < 0.02
        assert len({tuple(np.flatnonzero(column == 0)) for column in values.T}) > 150


@pytest.mark.parametrize(
    ("name", "param"),
    [
        ("linear", None), ("conv2d", None), ("conv_transpose3d", None), ("sigmoid", None),
        ("tanh", None), ("relu", None), ("leaky_relu", None), ("leaky_relu", 0.2),
        ("leaky_relu", 3), ("selu", None),
    ],
)  # fmt: skip
def test_gain(name: str, param: Any) -> None:
    assert fg.nn.init.calculate_gain(name, param) == torch.nn.init.calculate_gain(name, param)


@pytest.mark.parametrize("library", [fg, torch], ids=["fg", "torch"])
def test_refusals(library: Any) -> None:
    init = library.nn.init
    vector, matrix, image = library.zeros(3), library.zeros(3, 4), library.zeros(3, 2, 3)
    cases = [
        lambda: init.eye_(vector),
        lambda: init.dirac_(matrix),
        lambda: init.dirac_(image, groups=2),
        lambda: init.xavier_uniform_(vector),
        lambda: init.kaiming_normal_(vector),
        lambda: init.kaiming_uniform_(matrix, mode="fan"),
        lambda: init.orthogonal_(vector),
        lambda: init.sparse_(image, 0.1),
        lambda: init.calculate_gain("nothing"),
        lambda: init.calculate_gain("leaky_relu", True),
        lambda: init.calculate_gain("leaky_relu", "a"),
    ]
    for call in cases:
        with pytest.raises(ValueError):
            call()
    with pytest.warns(UserWarning, match="zero-element"):
        init.kaiming_uniform_(library.zeros(0, 3))
    with pytest.warns(UserWarning, match="more than 2 std"):
        init.trunc_normal_(matrix, mean=9.0)


@pytest.mark.parametrize("name", ["uniform_", "normal_", "trunc_normal_", "kaiming_normal_"])
def test_generator(name: str) -> None:
    """The same seed gives the same numbers, and the global stream is left alone."""
    fill = getattr(fg.nn.init, name)
    fg.manual_seed(5)
    before = fg.rand(1).item()
    fg.manual_seed(5)
    generator = fg.Generator()
    draws = []
    for seed in (1, 1, 2):
        generator.manual_seed(seed)
        draws.append(fill(fg.empty(4, 4), generator=generator).tolist())
    assert draws[0] == draws[1] != draws[2]
    assert fg.rand(1).item() == before
