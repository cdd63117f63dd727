"""Boxes and their losses: known values, properties, errors, jit; no other framework needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fusegrad as fg
from fusegrad.vision import ops

BOXES = [[0.0, 0.0, 4.0, 2.0], [1.0, 1.0, 3.0, 5.0], [10.0, 10.0, 11.0, 12.0], [0.0, 0.0, 4.0, 2.0]]
PAIRWISE = [
    ops.box_iou,
    ops.generalized_box_iou,
    ops.distance_box_iou,
    ops.complete_box_iou,
]
LOSSES = [
    ops.generalized_box_iou_loss,
    ops.distance_box_iou_loss,
    ops.complete_box_iou_loss,
]


def _boxes(count: int, seed: int, dtype: Any = fg.float64) -> fg.Tensor:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 10, (count, 2))
    return fg.tensor(np.concatenate([corner, corner + rng.uniform(1, 6, (count, 2))], 1)).to(dtype)


def test_areas_and_iou_by_hand() -> None:
    boxes = fg.tensor(BOXES)
    assert ops.box_area(boxes).tolist() == [8.0, 8.0, 2.0, 8.0]
    iou = ops.box_iou(boxes[:2], boxes)
    np.testing.assert_allclose(iou.numpy(), [[1, 2 / 14, 0, 1], [2 / 14, 1, 0, 2 / 14]], rtol=1e-6)
    # the hull of the first two is 4 x 5
    giou = ops.generalized_box_iou(boxes[:1], boxes[1:2])
    assert giou.item() == pytest.approx(2 / 14 - (20 - 14) / 20, rel=1e-6)
    # centres (2, 1) and (2, 3), squared diagonal 41
    diou = ops.distance_box_iou(boxes[:1], boxes[1:2])
    assert diou.item() == pytest.approx(2 / 14 - 4 / 41, rel=1e-6)
    v = 4 / np.pi**2 * (np.arctan(2.0) - np.arctan(0.5)) ** 2
    ciou = ops.complete_box_iou(boxes[:1], boxes[1:2])
    assert ciou.item() == pytest.approx(2 / 14 - 4 / 41 - v * v / (1 - 2 / 14 + v), rel=1e-6)


@pytest.mark.parametrize("function", PAIRWISE)
def test_pairs_meet_in_a_matrix(function: Callable[..., Any]) -> None:
    a, b = _boxes(3, 0), _boxes(5, 1)
    table = function(a, b)
    assert table.shape == (3, 5)
    np.testing.assert_allclose(table.numpy(), function(b, a).T.numpy(), rtol=1e-12)
    np.testing.assert_allclose(np.diag(function(a, a).numpy()), 1.0, atol=1e-6)
    batch = function(fg.stack([a, a]), fg.stack([b, b]))
    assert batch.shape == (2, 3, 5) and batch[1].tolist() == table.tolist()
    assert function(a[:0], b).shape == (0, 5)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize(("loss", "metric"), list(zip(LOSSES, PAIRWISE[1:])))
def test_losses_are_one_less_the_metric(loss: Any, metric: Any, reduction: str) -> None:
    a, b = _boxes(6, 2), _boxes(6, 3)
    want = 1 - np.diag(metric(a, b).numpy())
    want = want if reduction == "none" else getattr(want, reduction)()
    np.testing.assert_allclose(loss(a, b, reduction).numpy(), want, atol=1e-6)
    assert loss(a[0], b[0]).shape == ()
    assert loss(a[:0], b[:0], "mean").item() == 0.0


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_pull_boxes_together(loss: Any) -> None:
    """Also those of boxes that do not touch, and the same under jit."""
    target = fg.tensor([[0.0, 0.0, 4.0, 4.0]], dtype=fg.float64)
    start = fg.tensor([[6.0, 7.0, 9.0, 9.0]], dtype=fg.float64)

    def descend(box: fg.Tensor) -> fg.Tensor:
        (slope,) = fg.autograd.grad(loss(box, target, "sum"), box)
        return slope

    eager = descend(start.clone().requires_grad_())
    assert (eager[0, :2] > 0).all()
    np.testing.assert_allclose(
        fg.jit(descend)(start.clone().requires_grad_()).numpy(), eager.numpy(), rtol=1e-10
    )
    box = start.clone().requires_grad_()
    optimizer = fg.optim.Adam([box], lr=0.1)

    @fg.jit
    def step() -> fg.Tensor:
        optimizer.zero_grad()
        value = loss(box, target, "mean")
        value.backward()
        optimizer.step()
        return value

    for _ in range(300):
        value = step()
    assert value.item() < 0.1


@pytest.mark.parametrize("function", [*PAIRWISE, *LOSSES])
def test_jit_equals_eager(function: Callable[..., Any]) -> None:
    a, b = _boxes(4, 4), _boxes(4, 5)
    np.testing.assert_allclose(
        fg.jit(lambda a, b: function(a, b))(a, b).numpy(), function(a, b).numpy(), rtol=1e-10
    )


@pytest.mark.parametrize("to", ["xyxy", "xywh", "cxcywh"])
@pytest.mark.parametrize("source", ["xyxy", "xywh", "cxcywh"])
def test_formats(source: str, to: str) -> None:
    boxes = fg.tensor(BOXES)
    given = ops.box_convert(boxes, "xyxy", source)
    np.testing.assert_allclose(
        ops.box_convert(ops.box_convert(given, source, to), to, "xyxy").numpy(), boxes.numpy()
    )
    assert ops.box_area(given, source).tolist() == ops.box_area(boxes).tolist()
    other = ops.box_convert(boxes[:2], "xyxy", source)
    np.testing.assert_allclose(
        ops.box_iou(given, other, source).numpy(), ops.box_iou(boxes, boxes[:2]).numpy(), rtol=1e-6
    )


def test_integer_and_half_boxes() -> None:
    whole = fg.tensor([[0, 0, 200, 200]], dtype=fg.uint8)
    assert ops.box_area(whole).tolist() == [40000]
    assert ops.box_iou(fg.tensor([[0, 0, 4, 2]]), fg.tensor([[0, 0, 2, 2]])).tolist() == [[0.5]]
    assert ops.box_area(fg.tensor([[0.0, 0.0, 300.0, 300.0]]).half()).tolist() == [90000.0]
    assert ops.generalized_box_iou_loss(whole, whole).item() == pytest.approx(0.0, abs=1e-6)


def test_clipping() -> None:
    clipped = ops.clip_boxes_to_image(
        fg.tensor([[-1.0, -2.0, 30.0, 5.0], [1.0, 1.0, 2.0, 9.0]]), (6, 20)
    )
    assert clipped.tolist() == [[0.0, 0.0, 20.0, 5.0], [1.0, 1.0, 2.0, 6.0]]


def test_nms() -> None:
    boxes = fg.tensor(BOXES)
    assert ops.nms(boxes, fg.tensor([0.1, 0.2, 0.3, 0.4]), 0.5).tolist() == [3, 2, 1]
    assert ops.nms(boxes, fg.tensor([0.4, 0.2, 0.3, 0.4]), 0.1).tolist() == [0, 2]
    assert ops.nms(boxes[:0], fg.zeros(0), 0.5).tolist() == []
    with pytest.raises(RuntimeError, match="nms"):
        fg.jit(lambda b, s: ops.nms(b, s, 0.5))(boxes, fg.zeros(4))


def test_focal_loss() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4, 3)), (rng.random((4, 3)) < 0.5).astype(float)
    p = 1 / (1 + np.exp(-x))
    p_t, alpha_t = np.where(y == 1, p, 1 - p), np.where(y == 1, 0.25, 0.75)
    want = -alpha_t * (1 - p_t) ** 2 * np.log(p_t)
    np.testing.assert_allclose(
        ops.sigmoid_focal_loss(fg.tensor(x), fg.tensor(y)).numpy(), want, rtol=1e-10
    )
    for options in ({"gamma": 0.0}, {"alpha": -1}, {"gamma": 1.5, "reduction": "mean"}):

        def slope(x: fg.Tensor, y: fg.Tensor, options: Any = options) -> Any:
            value = ops.sigmoid_focal_loss(x, y, **options)
            return value, *fg.autograd.grad(value.sum(), x)

        args = fg.tensor(x, requires_grad=True), fg.tensor(y)
        for got, eager in zip(fg.jit(slope)(*args), slope(*args)):
            np.testing.assert_allclose(
                got.detach().numpy(), eager.detach().numpy(), rtol=1e-9, atol=1e-12
            )
    plain = fg.nn.functional.binary_cross_entropy_with_logits(fg.tensor(x), fg.tensor(y))
    flat = ops.sigmoid_focal_loss(fg.tensor(x), fg.tensor(y), -1, 0, "mean")
    assert flat.item() == pytest.approx(plain.item(), rel=1e-12)
    sure = fg.tensor([80.0], requires_grad=True)
    ops.sigmoid_focal_loss(sure, fg.ones(1)).sum().backward()
    assert np.isfinite(sure.grad.numpy()).all()


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda: ops.box_area(fg.zeros(2, 3)), RuntimeError),
        (lambda: ops.box_area(fg.zeros(2, 4), "xyxyr"), ValueError),
        (lambda: ops.box_iou(fg.zeros(4), fg.zeros(2, 4)), RuntimeError),
        (lambda: ops.box_iou(fg.zeros(1, 4), [[0.0] * 4]), TypeError),
        (lambda: ops.box_convert(fg.zeros(4), "xyxy", "xy"), ValueError),
        (lambda: ops.box_convert(fg.zeros(4), "whxy", "xyxy"), ValueError),
        (lambda: ops.nms(fg.zeros(2, 4), fg.zeros(3), 0.5), RuntimeError),
        (lambda: ops.sigmoid_focal_loss(fg.zeros(1), fg.zeros(1), alpha=2), ValueError),
        (lambda: ops.sigmoid_focal_loss(fg.zeros(1), fg.zeros(2)), ValueError),
        (lambda: ops.sigmoid_focal_loss(fg.zeros(1), fg.zeros(1), reduction="x"), ValueError),
        (lambda: ops.distance_box_iou_loss(fg.zeros(4), fg.zeros(4), "x"), ValueError),
    ],
)
def test_refused(call: Callable[[], Any], kind: type[Exception]) -> None:
    with pytest.raises(kind) as error:
        call()
    assert "test_ops.py" in str(error.value) and "Try:" in str(error.value)
