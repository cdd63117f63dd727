"""Losses: values and gradients equal PyTorch's for every option."""

from __future__ import annotations

import inspect
import itertools
import warnings
from typing import Any

import numpy as np
import pytest
import torch

import fusegrad as fg

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
REDUCTIONS = ["none", "mean", "sum"]


def _pair(name: str, **kwargs: Any) -> tuple[Any, Any]:
    ours = {k: fg.tensor(v) if isinstance(v, np.ndarray) else v for k, v in kwargs.items()}
    theirs = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in kwargs.items()}
    return getattr(fg.nn, name)(**ours), getattr(torch.nn, name)(**theirs)


ELEMENTWISE = [
    ("L1Loss", {}),
    ("MSELoss", {}),
    ("SmoothL1Loss", {}),
    ("SmoothL1Loss", {"beta": 0.3}),
    ("SmoothL1Loss", {"beta": 0.0}),
    ("HuberLoss", {}),
    ("HuberLoss", {"delta": 0.4}),
    ("KLDivLoss", {"log_target": True}),
    ("PoissonNLLLoss", {}),
]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("name", "kwargs"), ELEMENTWISE, ids=str)
def test_elementwise(compare: Any, name: str, kwargs: Any, reduction: str) -> None:
    ours, theirs = _pair(name, reduction=reduction, **kwargs)
    compare.check(ours, theirs, compare.randn(4, 3), compare.randn(4, 3))
    compare.check(ours, theirs, compare.randn(5), compare.randn(5))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_regression_at_equal_values(compare: Any, reduction: str) -> None:
    x = np.array([0.0, 1.0, -1.0, 2.0])
    y = np.array([0.0, 0.0, 0.0, 1.0])
    for name, kwargs in ELEMENTWISE[:7]:
        compare.check(*_pair(name, reduction=reduction, **kwargs), x, y)


def test_broadcasting_warns_and_agrees(compare: Any) -> None:
    for library in (fg, torch):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            library.nn.MSELoss()(library.zeros(4, 1), library.zeros(4))
        assert "different to the input size" in str(caught[0].message)
    compare.check(*_pair("MSELoss"), compare.randn(4, 1), compare.randn(4))


@pytest.mark.parametrize("reduction", [*REDUCTIONS, "batchmean"])
def test_kl_div(compare: Any, reduction: str) -> None:
    x = np.log(compare.rng.dirichlet(np.ones(5), 4))
    target = compare.rng.dirichlet(np.ones(5), 4)
    target[0, 0] = 0.0
    ours, theirs = _pair("KLDivLoss", reduction=reduction)
    compare.check(
        lambda a: ours(a, fg.tensor(target)), lambda a: theirs(a, torch.from_numpy(target)), x
    )
    compare.check(*_pair("KLDivLoss", reduction=reduction, log_target=True), x, compare.randn(4, 5))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("full", [False, True])
def test_poisson_and_gaussian(compare: Any, reduction: str, full: bool) -> None:
    counts = np.array([[0.0, 1.0, 2.0], [5.0, 0.0, 30.0]])
    for log_input in (True, False):
        ours, theirs = _pair("PoissonNLLLoss", log_input=log_input, full=full, reduction=reduction)
        x = compare.randn(2, 3) if log_input else np.abs(compare.randn(2, 3))
        compare.check(
            lambda a, f=ours: f(a, fg.tensor(counts)),
            lambda a, f=theirs: f(a, torch.from_numpy(counts)),
            x,
        )
    ours, theirs = _pair("GaussianNLLLoss", full=full, reduction=reduction)
    var = np.abs(compare.randn(4, 3)) + 0.1
    var[0, 0] = 1e-9  # below eps: limited, its gradient is not
    compare.check(ours, theirs, compare.randn(4, 3), compare.randn(4, 3), var)
    compare.check(ours, theirs, compare.randn(4, 3), compare.randn(4, 3), var[:, 1])
    compare.check(ours, theirs, compare.randn(4, 3), compare.randn(4, 3), var[:, 1:2])


CLASS_SHAPES = [((5,), ()), ((4, 5), (4,)), ((3, 5, 2), (3, 2)), ((2, 5, 3, 2), (2, 3, 2))]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    ("weighted", "smoothing"), list(itertools.product([False, True], [0.0, 0.2]))
)
@pytest.mark.parametrize(("shape", "target_shape"), CLASS_SHAPES, ids=str)
def test_cross_entropy_indices(
    compare: Any, shape: Any, target_shape: Any, weighted: bool, smoothing: float, reduction: str
) -> None:
    target = compare.rng.integers(0, 5, target_shape)
    kwargs: dict[str, Any] = {"reduction": reduction, "label_smoothing": smoothing}
    if weighted:
        kwargs["weight"] = np.array([0.5, 1.0, 2.0, 0.0, 1.5])
    for ignore in (-100, 2):
        ours, theirs = _pair("CrossEntropyLoss", ignore_index=ignore, **kwargs)
        if ignore == -100 and target.size > 2:
            target.reshape(-1)[0] = -100
        if ignore == 2 and (target == 2).all():
            continue
        safe = np.where(target == -100, 2, target) if ignore == 2 else target
        compare.check(
            lambda x, f=ours, t=safe: f(x, fg.tensor(t)),
            lambda x, f=theirs, t=safe: f(x, torch.tensor(t)),
            3 * compare.randn(*shape),
        )


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(5,), (4, 5), (3, 5, 2)], ids=str)
def test_cross_entropy_probabilities(
    compare: Any, shape: Any, weighted: bool, smoothing: float, reduction: str
) -> None:
    kwargs: dict[str, Any] = {"reduction": reduction, "label_smoothing": smoothing}
    if weighted:
        kwargs["weight"] = np.array([0.5, 1.0, 2.0, 0.1, 1.5])
    target = np.abs(compare.randn(*shape))
    compare.check(*_pair("CrossEntropyLoss", **kwargs), compare.randn(*shape), target)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("shape", "target_shape"), CLASS_SHAPES, ids=str)
def test_nll(compare: Any, shape: Any, target_shape: Any, weighted: bool, reduction: str) -> None:
    target = compare.rng.integers(0, 5, target_shape)
    if target.size > 2:
        target.reshape(-1)[1] = 3
    kwargs: dict[str, Any] = {"reduction": reduction, "ignore_index": 3 if target.size > 2 else -1}
    if weighted:
        kwargs["weight"] = np.array([0.5, 1.0, 2.0, 0.7, 1.5])
    ours, theirs = _pair("NLLLoss", **kwargs)
    compare.check(
        lambda x: ours(x, fg.tensor(target)),
        lambda x: theirs(x, torch.tensor(target)),
        compare.randn(*shape),
    )


def test_cross_entropy_extremes(compare: Any) -> None:
    """Large logits stay finite, masked classes (-inf) count for nothing, all ignored is nan."""
    ours, theirs = _pair("CrossEntropyLoss", reduction="none")
    x = np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0], [1.0, -np.inf, 2.0]])
    target = np.array([0, 0, 2])
    compare.check(
        lambda a: ours(a, fg.tensor(target)), lambda a: theirs(a, torch.tensor(target)), x
    )
    ignored = np.array([-100, -100])
    for library in (fg, torch):
        assert library.nn.CrossEntropyLoss()(
            library.zeros(2, 3), library.tensor(ignored.tolist())
        ).isnan()


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
def test_binary(compare: Any, reduction: str, weighted: bool) -> None:
    kwargs: dict[str, Any] = {"reduction": reduction}
    if weighted:
        kwargs["weight"] = np.array([0.5, 2.0, 1.0])
    target = compare.rng.random((4, 3))
    p = compare.rng.random((4, 3))
    compare.check(*_pair("BCELoss", **kwargs), p, target)
    logits = np.array([[-1e3, -50.0, -1.0], [0.0, 1.0, 50.0], [1e3, 0.0, 3.0], [2.0, -2.0, 0.5]])
    compare.check(*_pair("BCEWithLogitsLoss", **kwargs), logits, target)
    kwargs["pos_weight"] = np.array([1.0, 3.0, 0.2])
    compare.check(*_pair("BCEWithLogitsLoss", **kwargs), logits, target)


def test_bce_at_certain_probabilities(compare: Any) -> None:
    p = np.array([0.0, 1.0, 0.0, 1.0, 1e-30])
    y = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    ours, theirs = _pair("BCELoss", reduction="none")
    compare.check(
        lambda x: ours(x, fg.tensor(y)), lambda x: theirs(x, torch.from_numpy(y)), p, rtol=1e-7
    )  # PyTorch's bound of the slope is the float32 number 1e-12


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_margins(compare: Any, reduction: str) -> None:
    sign = np.array([1.0, -1.0, -1.0, 1.0, -1.0])
    x, y = compare.randn(5), compare.randn(5)
    for margin in (0.0, 1.0, 0.5):
        ours, theirs = _pair("HingeEmbeddingLoss", margin=margin, reduction=reduction)
        compare.check(
            lambda a, f=ours: f(a, fg.tensor(sign)),
            lambda a, f=theirs: f(a, torch.from_numpy(sign)),
            x,
        )
        ours, theirs = _pair("MarginRankingLoss", margin=margin, reduction=reduction)
        compare.check(
            lambda a, b, f=ours: f(a, b, fg.tensor(sign)),
            lambda a, b, f=theirs: f(a, b, torch.from_numpy(sign)),
            x,
            y,
        )
    ours, theirs = _pair("SoftMarginLoss", reduction=reduction)
    compare.check(
        lambda a: ours(a, fg.tensor(sign)), lambda a: theirs(a, torch.from_numpy(sign)), x
    )
    for margin in (0.0, 0.5, -0.5):
        ours, theirs = _pair("CosineEmbeddingLoss", margin=margin, reduction=reduction)
        compare.check(
            lambda a, b, f=ours: f(a, b, fg.tensor(sign)),
            lambda a, b, f=theirs: f(a, b, torch.from_numpy(sign)),
            compare.randn(5, 4),
            compare.randn(5, 4),
        )
    for p, swap in itertools.product((1.0, 2.0, 3.0), (False, True)):
        compare.check(
            *_pair("TripletMarginLoss", p=p, swap=swap, reduction=reduction),
            compare.randn(5, 4),
            compare.randn(5, 4),
            compare.randn(5, 4),
        )


@pytest.mark.parametrize(
    "flags",
    [
        {"size_average": True},
        {"size_average": False},
        {"reduce": False},
        {"reduce": True},
        {"size_average": False, "reduce": True},
        {"size_average": True, "reduce": False},
    ],
    ids=str,
)
def test_deprecated_flags(compare: Any, flags: dict[str, bool]) -> None:
    for name in ("L1Loss", "MSELoss", "SmoothL1Loss", "BCEWithLogitsLoss"):
        ours, theirs = _pair(name, **flags)
        assert ours.reduction == theirs.reduction
        compare.check(ours, theirs, compare.randn(3, 2), compare.rng.random((3, 2)))
    a, b = compare.randn(3, 2), compare.randn(3, 2)
    compare.close(
        fg.nn.functional.mse_loss(fg.tensor(a), fg.tensor(b), **flags),
        torch.nn.functional.mse_loss(torch.tensor(a), torch.tensor(b), **flags),
    )


LOSSES = [name for name in dir(torch.nn) if name.endswith("Loss") and hasattr(fg.nn, name)]


@pytest.mark.parametrize("name", LOSSES)
def test_constructor_arguments_and_repr(name: str) -> None:
    ours, theirs = getattr(fg.nn, name), getattr(torch.nn, name)
    assert repr(ours()) == repr(theirs())
    for method in ("__init__", "forward"):
        a, b = (inspect.signature(getattr(c, method)).parameters for c in (ours, theirs))
        assert list(a) == list(b)


FUNCTIONS = [
    n
    for n in dir(fg.nn.functional)
    if hasattr(torch.nn.functional, n)
    and inspect.isfunction(getattr(fg.nn.functional, n))
    and inspect.isfunction(getattr(torch.nn.functional, n))
]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functional_arguments(name: str) -> None:
    if name.endswith("_"):  # in-place twins take the arguments of their originals
        return
    ours = list(inspect.signature(getattr(fg.nn.functional, name)).parameters)
    theirs = list(inspect.signature(getattr(torch.nn.functional, name)).parameters)
    assert ours == theirs


def test_bad_shapes_and_values_raise_the_same_types() -> None:
    cases = [
        (lambda m: m.nn.CrossEntropyLoss()(m.zeros(3, 4), m.tensor([0, 1, 4])), IndexError),
        (lambda m: m.nn.CrossEntropyLoss()(m.zeros(3, 4), m.tensor([0, 1])), ValueError),
        (lambda m: m.nn.CrossEntropyLoss()(m.zeros(3, 4), m.tensor([0.0, 1.0, 1.0])), RuntimeError),
        (lambda m: m.nn.BCELoss()(m.zeros(3), m.zeros(2)), ValueError),
        (lambda m: m.nn.BCEWithLogitsLoss()(m.zeros(3), m.zeros(2)), ValueError),
        (lambda m: m.nn.MSELoss()(m.zeros(3), m.zeros(2)), RuntimeError),
        (lambda m: m.nn.Linear(3, 2)(m.zeros(2, 4)), RuntimeError),
        (lambda m: m.nn.LayerNorm(3)(m.zeros(2, 4)), RuntimeError),
        (lambda m: m.nn.Embedding(3, 2)(m.tensor([3])), IndexError),
        (lambda m: m.nn.MSELoss(reduction="avg")(m.zeros(3), m.zeros(3)), ValueError),
        (
            lambda m: m.nn.CosineEmbeddingLoss()(m.zeros(3, 2), m.zeros(3, 2), m.zeros(3, 1)),
            RuntimeError,
        ),
        (lambda m: m.nn.functional.gelu(m.zeros(2), approximate="no"), (RuntimeError, ValueError)),
    ]
    for k, (call, kind) in enumerate(cases):
        for library in (fg, torch):
            with pytest.raises(kind) as error:
                call(library)
            if library is fg and hasattr(error.value, "what"):
                assert "test_losses.py" in str(error.value), k
