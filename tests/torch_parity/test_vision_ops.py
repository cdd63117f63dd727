"""Boxes and the focal loss against formulas written in PyTorch: values and gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from fusegrad.vision import ops

EPS = 1e-7


def _boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corner = rng.uniform(0, 8, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(1, 6, (count, 2))], 1)


def _metric(kind: str, a: Any, b: Any, eps: float) -> Any:
    """IoU, GIoU, DIoU or CIoU of boxes that broadcast; ``eps`` keeps divisors from 0."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    inter = (high - low).clamp(min=0).prod(-1)
    size_a, size_b = a[..., 2:] - a[..., :2], b[..., 2:] - b[..., :2]
    union = size_a.prod(-1) + size_b.prod(-1) - inter
    iou = inter / (union + eps)
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    if kind == "box":
        return iou
    if kind == "generalized":
        return iou - (hull.prod(-1) - union) / (hull.prod(-1) + eps)
    apart = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2
    distance = iou - (apart**2).sum(-1) / ((hull**2).sum(-1) + EPS)
    if kind == "distance":
        return distance
    angle = torch.atan(size_a[..., 0] / size_a[..., 1]) - torch.atan(
        size_b[..., 0] / size_b[..., 1]
    )
    v = 4 / math.pi**2 * angle**2
    return distance - (v / (1 - iou + v + EPS)).detach() * v


@pytest.mark.parametrize("kind", ["box", "generalized", "distance", "complete"])
def test_metrics(compare: Any, kind: str) -> None:
    function = getattr(ops, "box_iou" if kind == "box" else f"{kind}_box_iou")
    compare.check(
        function,
        lambda a, b: _metric(kind, a[:, None], b[None], 0.0),
        _boxes(compare.rng, 5),
        _boxes(compare.rng, 4),
    )


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("kind", ["generalized", "distance", "complete"])
def test_losses(compare: Any, kind: str, reduction: str) -> None:
    function = getattr(ops, f"{kind}_box_iou_loss")

    def reference(a: Any, b: Any) -> Any:
        loss = 1 - _metric(kind, a, b, EPS)
        return loss if reduction == "none" else getattr(loss, reduction)()

    compare.check(
        lambda a, b: function(a, b, reduction),
        reference,
        _boxes(compare.rng, 6),
        _boxes(compare.rng, 6),
    )


@pytest.mark.parametrize("gamma", [0.0, 1.0, 1.5, 2.0])
@pytest.mark.parametrize("alpha", [-1, 0.0, 0.25, 1.0])
def test_focal_loss(compare: Any, alpha: float, gamma: float) -> None:
    def reference(x: Any, y: Any) -> Any:
        right = torch.sigmoid(x) * y + torch.sigmoid(-x) * (1 - y)
        entropy = torch.nn.functional.binary_cross_entropy_with_logits(x, y, reduction="none")
        factor = 1.0 if alpha < 0 else alpha * y + (1 - alpha) * (1 - y)
        return factor * (1 - right) ** gamma * entropy

    compare.check(
        lambda x, y: ops.sigmoid_focal_loss(x, y, alpha, gamma),
        reference,
        3 * compare.randn(4, 3),
        compare.rng.random((4, 3)),
    )
