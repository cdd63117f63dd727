"""Losses against formulas, with hand-made numbers; no other framework needed."""

from __future__ import annotations

import inspect
import math
import runpy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loss_cases import LOSSES, build, cases, class_name, derivatives, operands

import fusegrad as fg
from fusegrad import nn
from fusegrad.nn import functional as F

CASES = list(cases())
ids = [label for label, *_ in CASES]


def _reductions(index: int) -> tuple[str, ...]:
    """All of the first case of a loss, one by turns of its other options."""
    loss = CASES[index][1]
    first = index == 0 or CASES[index - 1][1] is not loss
    return loss.reductions if first else (loss.reductions[index % len(loss.reductions)],)


@pytest.mark.parametrize("full", [False, pytest.param(True, marks=pytest.mark.fuzz)])
@pytest.mark.parametrize("index", range(len(CASES)), ids=ids)
@pytest.mark.filterwarnings("ignore:reduction")
def test_jit_equals_eager(index: int, full: bool) -> None:
    """Value, gradients and second derivatives, several reductions in one program."""
    _, loss, options, arrays = CASES[index]
    reductions = loss.reductions if full else _reductions(index)
    modules = [build(fg, loss, options, r, fg.float64) for r in reductions]

    def everything(*args: Any) -> list[Any]:
        return [x for m in modules for x in derivatives(fg, m, args, loss.differentiable)]

    args = operands(fg, loss, arrays, fg.float64)
    for got, want in zip(fg.jit(everything)(*args), everything(*args)):
        np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), 1e-9, 1e-11)


@pytest.mark.parametrize("case", CASES, ids=ids)
@pytest.mark.filterwarnings("ignore:reduction")
def test_derivatives_are_differences(case: Any) -> None:
    """Gradients and second derivatives along a random direction, by central differences."""
    _, loss, options, arrays = case
    if loss.name == "GaussianNLLLoss" and "eps" in options:
        return  # the limit of the variance passes the slope of the variance, as in PyTorch
    rng = np.random.default_rng(1)
    step = 1e-6
    moves = [rng.standard_normal(a.shape) if a.dtype.kind == "f" else None for a in arrays]
    count = len(loss.differentiable)
    for reduction in loss.reductions:
        module = build(fg, loss, options, reduction, fg.float64)
        if loss.name == "CTCLoss":  # its slope, as PyTorch's, is that on normalised operands
            module = _normalised(module)

        def at(scale: float, module: Any = module) -> list[np.ndarray]:
            moved = [
                a + scale * moves[k] if k in loss.differentiable else a
                for k, a in enumerate(arrays)
            ]
            found = derivatives(
                fg, module, operands(fg, loss, moved, fg.float64), loss.differentiable
            )
            return [x.detach().numpy() for x in found]

        here, above, below = at(0.0), at(step), at(-step)
        weights = np.random.default_rng(7)  # those that ``derivatives`` combines results with
        slopes = [0.0, 0.0]
        for k, (a, b) in enumerate(zip(above[: count + 1], below)):
            slopes[k > 0] += (weights.standard_normal(a.shape) * (a - b) / (2 * step)).sum()
        for order in (0, 1):
            found = here[1 + order * count :][:count]
            rate = sum((g * moves[p]).sum() for g, p in zip(found, loss.differentiable))
            assert rate == pytest.approx(slopes[order], rel=2e-6, abs=2e-7), (reduction, order)


def _normalised(module: Any) -> Any:
    return lambda x, *rest: module(F.log_softmax(x, -1), *rest)


def test_every_loss_is_in_the_table() -> None:
    names = {n for n, v in vars(nn).items() if n.endswith("Loss") and inspect.isclass(v)}
    assert names == {class_name(loss) for loss in LOSSES}
    for loss in LOSSES:
        assert callable(getattr(F, loss.function))


def test_page_is_current() -> None:
    root = Path(__file__).resolve().parents[2]
    tool = runpy.run_path(str(root / "tools" / "loss_docs.py"))
    assert tool["PAGE"].read_text() == tool["page"](), "run python tools/loss_docs.py"


def test_traced_classes_out_of_range_give_nan() -> None:
    """A compiled step cannot raise in the middle: the result says that something went wrong."""
    x = fg.zeros(2, 3)
    for function, bad in (
        (F.cross_entropy, [0, 3]),
        (F.nll_loss, [-1, 0]),
        (F.multi_margin_loss, [0, 3]),
        (F.multilabel_margin_loss, [[0, -1, 7], [0, -1, 0]]),
    ):
        compiled = fg.jit(lambda x, y, f=function: f(x, y))
        assert compiled(x, fg.tensor(bad)).isnan(), function.__name__
        with pytest.raises((IndexError, RuntimeError), match="out of"):
            function(x, fg.tensor(bad))


def test_old_name_of_the_image_loss_warns() -> None:
    with pytest.warns(FutureWarning, match="NLLLoss"):
        loss = nn.NLLLoss2d()
    scores = F.log_softmax(fg.zeros(1, 3, 2, 2), 1)
    assert loss(scores, fg.zeros(1, 2, 2, dtype=fg.int64)).item() == pytest.approx(math.log(3))


def test_empty_batches() -> None:
    for loss in (nn.MSELoss, nn.L1Loss, nn.HuberLoss, nn.CrossEntropyLoss, nn.SoftMarginLoss):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            target = fg.zeros(0, dtype=fg.int64) if loss is nn.CrossEntropyLoss else fg.zeros(0, 3)
            assert loss()(fg.zeros(0, 3), target).isnan()
            assert loss(reduction="sum")(fg.zeros(0, 3), target).item() == 0.0


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def test_cross_entropy_value_and_gradient() -> None:
    rng = np.random.default_rng(0)
    x, target = rng.standard_normal((5, 4)), np.array([0, 3, -100, 1, 2])
    logits = fg.tensor(x, requires_grad=True)
    loss = nn.CrossEntropyLoss()(logits, fg.tensor(target))
    kept = target >= 0
    p = _softmax(x)
    expected = -np.log(p[kept, target[kept]]).mean()
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    loss.backward()
    want = p.copy()
    want[kept, target[kept]] -= 1
    want[~kept] = 0
    np.testing.assert_allclose(logits.grad.numpy(), want / kept.sum(), rtol=1e-10, atol=1e-14)


def test_nothing_is_gathered_from_log_probabilities() -> None:
    """The class index selects by comparison, so the loss stays one row kernel."""
    from fusegrad.ir.primitive import set_builder
    from fusegrad.trace.capture import Capture

    logits, target = fg.zeros(4, 3), fg.zeros(4, dtype=fg.int64)
    capture = Capture()
    previous = set_builder(capture)
    try:
        F.cross_entropy(logits, target)
    finally:
        set_builder(previous)
    kinds = {eqn.primitive.kind for eqn in capture.eqns}
    assert "indexing" not in kinds and kinds <= {"elementwise", "reduce", "movement", "source"}


def test_binary_with_logits_is_stable() -> None:
    x = fg.tensor([-1e4, 0.0, 1e4], requires_grad=True)
    loss = F.binary_cross_entropy_with_logits(x, fg.tensor([0.0, 1.0, 1.0]), reduction="sum")
    assert loss.item() == pytest.approx(math.log(2), rel=1e-6)
    loss.backward()
    assert x.grad.tolist() == [0.0, -0.5, 0.0]


def test_binary_with_confident_logits_is_accurate() -> None:
    """The loss of a right and certain answer is small, not zero: exp(-|x|)."""
    for dtype, rtol in ((fg.float32, 1e-6), (fg.float64, 1e-14)):
        x, y = fg.tensor([30.0, -30.0], dtype=dtype), fg.tensor([1.0, 0.0], dtype=dtype)
        for run in (F.binary_cross_entropy_with_logits, fg.jit(lambda x, y: _confident(x, y))):
            assert run(x, y).item() == pytest.approx(math.exp(-30.0), rel=rtol)


def _confident(x: fg.Tensor, y: fg.Tensor) -> fg.Tensor:
    return F.binary_cross_entropy_with_logits(x, y)


def test_overflowing_sides_have_finite_gradients() -> None:
    for function in (F.elu, F.selu, F.celu, F.softplus, F.mish, F.silu, F.logsigmoid, F.gelu):
        x = fg.tensor([-500.0, -1.0, 0.0, 1.0, 500.0], requires_grad=True)
        function(x).sum().backward()
        assert np.isfinite(x.grad.numpy()).all(), function.__name__


def test_errors_name_the_user_line() -> None:
    with pytest.raises(ValueError) as error:
        nn.BCELoss()(fg.zeros(3), fg.zeros(2))
    text = str(error.value)
    assert "test_losses.py" in text and "must be the same as input size" in text and "Try:" in text
    with pytest.raises(IndexError, match=r"Target 7 is out of bounds"):
        nn.CrossEntropyLoss()(fg.zeros(2, 3), fg.tensor([0, 7]))
    with pytest.raises(ValueError, match="valid value for reduction"):
        nn.MSELoss(reduction="average")(fg.zeros(1), fg.zeros(1))


def test_custom_loss_modules() -> None:
    class Weighted(nn.Module):
        def __init__(self, weight: fg.Tensor) -> None:
            super().__init__()
            self.register_buffer("weight", weight)

        def forward(self, x: fg.Tensor, y: fg.Tensor) -> fg.Tensor:
            return (self.weight * (x - y) ** 2).mean()

    loss = Weighted(fg.tensor([1.0, 3.0]))
    x = fg.tensor([1.0, 2.0], requires_grad=True)
    value = loss(x, fg.zeros(2))
    value.backward()
    assert value.item() == pytest.approx((1 + 12) / 2)
    assert x.grad.tolist() == [1.0, 6.0]


def test_dropout_follows_the_seed_and_the_mode() -> None:
    layer, x = nn.Dropout(0.5), fg.ones(100)
    fg.manual_seed(3)
    first = layer(x).tolist()
    fg.manual_seed(3)
    assert layer(x).tolist() == first
    assert layer(x).tolist() != first
    assert layer.eval()(x).tolist() == x.tolist()
    with pytest.raises(ValueError, match="between 0 and 1"):
        nn.Dropout(1.5)
