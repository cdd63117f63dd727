"""Losses: values and gradients equal PyTorch's for every option."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from loss_cases import build, cases, class_name, derivatives, operands

import fusegrad as fg

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
CASES = list(cases())
ids = [label for label, *_ in CASES]
REDUCTIONS = ["none", "mean", "sum"]
FLAGS: list[dict[str, bool]] = [
    {"size_average": True},
    {"size_average": False},
    {"reduce": False},
    {"reduce": True},
    {"size_average": False, "reduce": True},
    {"size_average": True, "reduce": False},
]
ELEMENTWISE = [
    ("L1Loss", {}),
    ("MSELoss", {}),
    ("SmoothL1Loss", {}),
    ("SmoothL1Loss", {"beta": 0.3}),
    ("SmoothL1Loss", {"beta": 0.0}),
    ("HuberLoss", {}),
    ("HuberLoss", {"delta": 0.4}),
]


def _results(library: Any, case: Any, reduction: str, dtype: str) -> list[np.ndarray]:
    """Loss, gradients and second derivatives of a case, as arrays."""
    _, loss, options, arrays = case
    kind = getattr(library, dtype)
    module = build(library, loss, options, reduction, kind)
    args = operands(library, loss, arrays, kind)
    found = derivatives(library, module, args, loss.differentiable, loss.second == "PyTorch")
    assert all(x.dtype == kind for x in found)
    return [np.asarray((x.detach() + 0.0).tolist()) for x in found]


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_value_gradient_and_second_derivative(case: Any) -> None:
    for reduction in case[1].reductions:
        for dtype, rtol, atol in (("float64", 1e-8, 1e-10), ("float32", 1e-4, 2e-5)):
            want = _results(torch, case, reduction, dtype)
            for a, b in zip(_results(fg, case, reduction, dtype), want):
                assert a.shape == b.shape
                np.testing.assert_allclose(a, b, rtol, atol, err_msg=f"{reduction} {dtype}")


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_function_and_deprecated_flags(case: Any) -> None:
    """The function gives what the class gives, under the old flags too where there are any."""
    _, loss, options, arrays = case
    function = getattr(fg.nn.functional, loss.function)
    values = {k: fg.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    args = operands(fg, loss, arrays, fg.float64)
    for reduction in loss.reductions:
        module = build(fg, loss, options, reduction, fg.float64)
        assert function(*args, reduction=reduction, **values).tolist() == module(*args).tolist()
    if "reduce" not in inspect.signature(function).parameters:
        return
    for flags in FLAGS:
        kind, theirs = getattr(fg.nn, class_name(loss)), getattr(torch.nn, class_name(loss))
        module = kind(**flags, **values)
        assert module.reduction == theirs(**flags).reduction
        assert function(*args, **flags, **values).tolist() == module(*args).tolist()


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_strides_nan_and_infinity(case: Any) -> None:
    """Any memory order gives the same; nan and infinities go where they go in PyTorch."""
    _, loss, options, arrays = case
    args = operands(fg, loss, arrays, fg.float64)
    odd = [
        fg.from_numpy(np.asfortranarray(np.repeat(a[None], 2, 0)))[1] if a.ndim else fg.tensor(a)
        for a in arrays
    ]
    for reduction in loss.reductions:
        module = build(fg, loss, options, reduction, fg.float64)
        np.testing.assert_allclose(module(*odd).numpy(), module(*args).detach().numpy(), rtol=1e-12)
    if class_name(loss) == "BCELoss":
        return  # refuses what is outside [0, 1]
    reduction = loss.reductions[-1]
    for value in (np.nan, np.inf, -np.inf):
        strange = [a.copy() for a in arrays]
        strange[0].reshape(-1)[0] = value
        want = build(torch, loss, options, reduction, torch.float64)(
            *[torch.tensor(a) for a in strange]
        )
        got = build(fg, loss, options, reduction, fg.float64)(*[fg.tensor(a) for a in strange])
        if class_name(loss) == "BCEWithLogitsLoss" and "pos_weight" not in options:
            # The form is right for small losses, where PyTorch's cancels; at infinity one of the
            # two gives inf where the other gives nan.
            assert got.isfinite().tolist() == want.isfinite().tolist()
            got, want = (m.where(x.isfinite(), x, 0.0) for m, x in ((fg, got), (torch, want)))
        np.testing.assert_allclose(got.numpy(), want.numpy(), 1e-8, 1e-10, err_msg=str(value))


def _pair(name: str, **kwargs: Any) -> tuple[Any, Any]:
    ours = {k: fg.tensor(v) if isinstance(v, np.ndarray) else v for k, v in kwargs.items()}
    theirs = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in kwargs.items()}
    return getattr(fg.nn, name)(**ours), getattr(torch.nn, name)(**theirs)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_regression_at_equal_values(compare: Any, reduction: str) -> None:
    x = np.array([0.0, 1.0, -1.0, 2.0])
    y = np.array([0.0, 0.0, 0.0, 1.0])
    for name, kwargs in ELEMENTWISE:
        compare.check(*_pair(name, reduction=reduction, **kwargs), x, y)


def test_broadcasting_warns_and_agrees(compare: Any) -> None:
    for library in (fg, torch):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            library.nn.MSELoss()(library.zeros(4, 1), library.zeros(4))
        assert "different to the input size" in str(caught[0].message)
    compare.check(*_pair("MSELoss"), compare.randn(4, 1), compare.randn(4))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_poisson_counts_of_zero_and_one(compare: Any, reduction: str) -> None:
    """Stirling's approximation is for larger counts; PyTorch's slope by a count of 0 is nan."""
    counts = np.array([[0.0, 1.0, 2.0], [5.0, 0.0, 30.0]])
    ours, theirs = _pair("PoissonNLLLoss", full=True, reduction=reduction)
    compare.check(
        lambda a: ours(a, fg.tensor(counts)),
        lambda a: theirs(a, torch.from_numpy(counts)),
        compare.randn(2, 3),
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


def test_bce_at_certain_probabilities(compare: Any) -> None:
    p = np.array([0.0, 1.0, 0.0, 1.0, 1e-30])
    y = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    ours, theirs = _pair("BCELoss", reduction="none")
    compare.check(
        lambda x: ours(x, fg.tensor(y)), lambda x: theirs(x, torch.from_numpy(y)), p, rtol=1e-7
    )  # PyTorch's bound of the slope is the float32 number 1e-12


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
    if name == "multi_head_attention_forward":  # ours also takes batches first, without a copy
        assert ours.pop() == "batch_first"
    theirs = list(inspect.signature(getattr(torch.nn.functional, name)).parameters)
    if theirs == ["args", "kwargs"]:  # a dispatcher on return_indices; its halves have names
        theirs = list(inspect.signature(getattr(torch.nn.functional, f"_{name}")).parameters)
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
