"""Losses against formulas, with hand-made numbers; no other framework needed."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fusegrad as fg
from fusegrad import nn
from fusegrad.nn import functional as F


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
