"""Boxes and their losses under torchvision's names, and the focal loss of dense detection.

A box is ``(x1, y1, x2, y2)``, its upper left and lower right corner, on the last axis. Everything
but ``nms`` is composed of elementwise functions, so a loss of boxes is one fused loop.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .. import dtypes
from ..errors import ArgumentError, ArgumentTypeError, ShapeError
from ..functions.common import cast
from ..functions.pointwise import atan, clamp, maximum, minimum, sigmoid, where
from ..functions.shape import stack, unbind, unsqueeze
from ..nn.functional import binary_cross_entropy_with_logits
from ..tensor import Tensor

_EPS = 1e-7
_REDUCTIONS = ("none", "mean", "sum")


# --- corners --------------------------------------------------------------------------------------
class _Box(NamedTuple):
    """The corners of boxes, each of the shape of the boxes without their last axis."""

    x1: Any
    y1: Any
    x2: Any
    y2: Any

    @property
    def width(self) -> Any:
        return self.x2 - self.x1

    @property
    def height(self) -> Any:
        return self.y2 - self.y1

    @property
    def area(self) -> Any:
        return self.width * self.height

    @property
    def centre(self) -> tuple[Any, Any]:
        return (self.x1 + self.x2) / 2, (self.y1 + self.y2) / 2


def _checked(name: str, boxes: Any) -> Tensor:
    """Boxes in a dtype whose products do not overflow soon."""
    if not isinstance(boxes, Tensor):
        raise ArgumentTypeError(
            f"{name} got boxes of type {type(boxes).__name__}", "Boxes are a tensor [..., 4]."
        )
    if boxes.aval.shape[-1:] != (4,):
        raise ShapeError(
            f"{name} got boxes {boxes.aval}", "The last axis of boxes holds four numbers."
        )
    if boxes.dtype.is_floating_point:
        return boxes if boxes.dtype.itemsize >= 4 else cast(boxes, dtypes.float32)
    return boxes if boxes.dtype.itemsize >= 4 else cast(boxes, dtypes.int32)


_FORMATS = ("xyxy", "xywh", "cxcywh")


def _corners(name: str, boxes: Tensor, fmt: str) -> _Box:
    if fmt not in _FORMATS:
        raise ArgumentError(
            f"{name} of boxes in the format {fmt!r}",
            f"The formats are {', '.join(_FORMATS)}; rotated boxes are not there.",
        )
    sides: Any = unbind(boxes, -1)
    a, b, c, d = sides
    if fmt == "xywh":
        return _Box(a, b, a + c, b + d)
    if fmt == "cxcywh":
        return _Box(a - c / 2, b - d / 2, a + c / 2, b + d / 2)
    return _Box(a, b, c, d)


def _pairs(name: str, boxes1: Tensor, boxes2: Tensor, fmt: str = "xyxy") -> tuple[_Box, _Box]:
    """Corners shaped so that ``[..., N, 4]`` meets ``[..., M, 4]`` in ``[..., N, M]``."""
    for boxes in (boxes1, boxes2):
        if _checked(name, boxes).aval.ndim < 2:
            raise ShapeError(f"{name} got boxes {boxes.aval}", "Boxes are [..., N, 4].")
    first = _corners(name, _checked(name, boxes1), fmt)
    second = _corners(name, _checked(name, boxes2), fmt)
    return _Box(*(unsqueeze(x, -1) for x in first)), _Box(*(unsqueeze(x, -2) for x in second))


def _positive(x: Any) -> Any:
    return clamp(x, min=0)


def _overlap(a: _Box, b: _Box) -> tuple[Any, Any]:
    """Area of the intersection and of the union; 0 and its slope where boxes only touch."""
    common = _shared(a, b)
    inter = _positive(common.width) * _positive(common.height)
    return inter, a.area + b.area - inter


def _shared(a: _Box, b: _Box) -> _Box:
    """What both cover; of negative width or height where they do not meet."""
    return _Box(maximum(a.x1, b.x1), maximum(a.y1, b.y1), minimum(a.x2, b.x2), minimum(a.y2, b.y2))


def _hull(a: _Box, b: _Box) -> _Box:
    """The smallest box around both."""
    return _Box(minimum(a.x1, b.x1), minimum(a.y1, b.y1), maximum(a.x2, b.x2), maximum(a.y2, b.y2))


def _centre_term(a: _Box, b: _Box, eps: float) -> Any:
    """Squared distance of the centres over the squared diagonal of the hull."""
    hull = _hull(a, b)
    (xa, ya), (xb, yb) = a.centre, b.centre
    diagonal = hull.width**2 + hull.height**2 + eps
    return ((xa - xb) ** 2 + (ya - yb) ** 2) / diagonal


def _aspect_term(a: _Box, b: _Box, iou: Any, eps: float) -> Any:
    """The penalty of differing aspect ratios; its weight counts as a constant."""
    angles: Any = [atan(x.width / x.height) for x in (a, b)]
    v = (angles[0] - angles[1]) ** 2 * (4 / math.pi**2)
    return (v / (1 - iou + v + eps)).detach() * v


# --- boxes ----------------------------------------------------------------------------------------
def box_area(boxes: Tensor, fmt: str = "xyxy") -> Tensor:
    """Areas of boxes.

    Args:
        boxes: ``[..., 4]``.
        fmt: ``"xyxy"``, ``"xywh"`` or ``"cxcywh"`` (centre, width, height).

    Returns:
        areas ``[...]``.

    Raises:
        ValueError: another format.
        RuntimeError: the last axis is not of extent 4.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.vision.ops import box_area
        >>> box_area(fg.tensor([[0.0, 0.0, 2.0, 3.0]])).tolist()
        [6.0]
    """
    x = _checked("box_area", boxes)
    corners = _corners("box_area", x, fmt)
    sides: Any = unbind(x, -1)
    return corners.area if fmt == "xyxy" else sides[2] * sides[3]


def box_convert(boxes: Tensor, in_fmt: str, out_fmt: str) -> Tensor:
    """Boxes ``[..., 4]`` in another format: ``"xyxy"``, ``"xywh"`` or ``"cxcywh"``.

    Raises:
        ValueError: another format; rotated boxes are not there.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.vision.ops import box_convert
        >>> box_convert(fg.tensor([0.0, 0.0, 2.0, 3.0]), "xyxy", "cxcywh").tolist()
        [1.0, 1.5, 2.0, 3.0]
    """
    corners = _corners("box_convert", boxes, in_fmt)
    if out_fmt == "xyxy":
        return boxes.clone() if in_fmt == out_fmt else stack(corners, -1)
    _corners("box_convert", boxes, out_fmt)  # refuses what is no format
    if in_fmt == out_fmt:
        return boxes.clone()
    first = corners.centre if out_fmt == "cxcywh" else corners[:2]
    size = (corners.width, corners.height) if in_fmt == "xyxy" else unbind(boxes, -1)[2:]
    return stack((*first, *size), -1)


def clip_boxes_to_image(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes ``[..., 4]`` with their corners moved into an image of ``size`` (height, width).

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.vision.ops import clip_boxes_to_image
        >>> clip_boxes_to_image(fg.tensor([-1.0, 2.0, 5.0, 9.0]), (8, 4)).tolist()
        [0.0, 2.0, 4.0, 8.0]
    """
    height, width = size
    sides = unbind(boxes, -1)
    limits = (width, height, width, height)
    return stack([clamp(x, min=0, max=limit) for x, limit in zip(sides, limits, strict=True)], -1)


def box_iou(boxes1: Tensor, boxes2: Tensor, fmt: str = "xyxy") -> Tensor:
    """Intersection over union (Jaccard index) of each box with each other.

    Args:
        boxes1: ``[..., N, 4]``.
        boxes2: ``[..., M, 4]``.
        fmt: ``"xyxy"``, ``"xywh"`` or ``"cxcywh"``.

    Returns:
        ``[..., N, M]``, nan for two boxes without area.

    Raises:
        ValueError: another format.
        RuntimeError: shapes that are not boxes.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.vision.ops import box_iou
        >>> a, b = fg.tensor([[0.0, 0.0, 2.0, 2.0]]), fg.tensor([[0.0, 0.0, 2.0, 1.0]])
        >>> box_iou(a, b).tolist()
        [[0.5]]
    """
    inter, union = _overlap(*_pairs("box_iou", boxes1, boxes2, fmt))
    return inter / union


def generalized_box_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """IoU less the share of the hull that neither box covers (Rezatofighi and others 2019).

    Args:
        boxes1: ``[..., N, 4]``.
        boxes2: ``[..., M, 4]``.

    Returns:
        ``[..., N, M]``, from -1 to 1.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.vision.ops import generalized_box_iou
        >>> a, b = fg.tensor([[0.0, 0.0, 1.0, 1.0]]), fg.tensor([[1.0, 1.0, 2.0, 2.0]])
        >>> generalized_box_iou(a, b).tolist()
        [[-0.5]]
    """
    a, b = _pairs("generalized_box_iou", boxes1, boxes2)
    inter, union = _overlap(a, b)
    hull = _hull(a, b)
    area = _positive(hull.width) * _positive(hull.height)
    return inter / union - (area - union) / area


def distance_box_iou(boxes1: Tensor, boxes2: Tensor, eps: float = _EPS) -> Tensor:
    """IoU less the squared distance of the centres over that of the hull's corners.

    (Zheng and others 2020.)

    Args:
        boxes1: ``[..., N, 4]``.
        boxes2: ``[..., M, 4]``.
        eps: added to the squared diagonal.

    Returns:
        ``[..., N, M]``.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.vision.ops import distance_box_iou
        >>> a, b = fg.tensor([[0.0, 0.0, 1.0, 1.0]]), fg.tensor([[1.0, 1.0, 2.0, 2.0]])
        >>> round(distance_box_iou(a, b).item(), 4)
        -0.25
    """
    a, b = _pairs("distance_box_iou", boxes1, boxes2)
    inter, union = _overlap(a, b)
    return inter / union - _centre_term(a, b, eps)


def complete_box_iou(boxes1: Tensor, boxes2: Tensor, eps: float = _EPS) -> Tensor:
    """``distance_box_iou`` less a penalty of differing aspect ratios (Zheng and others 2020).

    Args:
        boxes1: ``[..., N, 4]``.
        boxes2: ``[..., M, 4]``.
        eps: added to denominators.

    Returns:
        ``[..., N, M]``.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.vision.ops import complete_box_iou
        >>> a, b = fg.tensor([[0.0, 0.0, 1.0, 1.0]]), fg.tensor([[1.0, 1.0, 2.0, 2.0]])
        >>> round(complete_box_iou(a, b).item(), 4)
        -0.25
    """
    a, b = _pairs("complete_box_iou", boxes1, boxes2)
    inter, union = _overlap(a, b)
    iou = inter / union
    return iou - _centre_term(a, b, eps) - _aspect_term(a, b, iou, eps)


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Non-maximum suppression: drops boxes that overlap one of a higher score.

    The number of results depends on values, so it runs eagerly, outside of jitted functions.

    Args:
        boxes: ``[N, 4]``.
        scores: ``[N]``.
        iou_threshold: boxes with a larger IoU than this are dropped.

    Returns:
        int64 indices of the boxes kept, by falling score.

    Raises:
        RuntimeError: shapes that do not fit, or a call inside a jitted function.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.vision.ops import nms
        >>> boxes = fg.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 1.9], [4.0, 4.0, 5.0, 5.0]])
        >>> nms(boxes, fg.tensor([0.8, 0.9, 0.1]), 0.5).tolist()
        [1, 2]
    """
    x = _checked("nms", boxes)
    if x.aval.ndim != 2 or scores.aval.shape != x.aval.shape[:1]:
        raise ShapeError(
            f"nms got boxes {boxes.aval} and scores {scores.aval}",
            "boxes should be [N, 4] and scores [N], one per box.",
        )
    x1, y1, x2, y2 = x._concrete("nms").T
    area = (x2 - x1) * (y2 - y1)
    left = np.argsort(-scores._concrete("nms"), kind="stable")
    kept = []
    while left.size:
        best, left = left[0], left[1:]
        kept.append(best)
        width = np.minimum(x2[best], x2[left]) - np.maximum(x1[best], x1[left])
        height = np.minimum(y2[best], y2[left]) - np.maximum(y1[best], y1[left])
        inter = np.maximum(width, 0) * np.maximum(height, 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            left = left[~(inter / (area[best] + area[left] - inter) > iou_threshold)]
    return Tensor(np.array(kept, np.int64))


# --- losses ---------------------------------------------------------------------------------------
def _reduced(loss: Any, reduction: str) -> Tensor:
    if reduction not in _REDUCTIONS:
        raise ArgumentError(
            f"Invalid Value for arg 'reduction': {reduction!r}",
            "Supported reduction modes: 'none', 'mean', 'sum'.",
        )
    if reduction == "none":
        return loss
    if reduction == "mean" and loss.aval.size:
        return loss.mean()
    return loss.sum()


def _aligned(name: str, boxes1: Tensor, boxes2: Tensor) -> tuple[_Box, _Box, Any, Any]:
    """Corners of boxes compared one by one, their intersection and union."""

    def floating(boxes: Tensor) -> Tensor:
        x = _checked(name, boxes)
        return x if x.dtype.is_floating_point else cast(x, dtypes.float32)

    a, b = (_corners(name, floating(x), "xyxy") for x in (boxes1, boxes2))
    common = _shared(a, b)
    touch = (common.width > 0) & (common.height > 0)
    inter: Any = where(touch, common.area, 0.0)
    return a, b, inter, a.area + b.area - inter


def generalized_box_iou_loss(
    boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = _EPS
) -> Tensor:
    """1 - GIoU of boxes compared one by one; see ``generalized_box_iou``.

    Args:
        boxes1, boxes2: ``[N, 4]`` or ``[4]``.
        reduction: ``"none"`` (default), ``"mean"`` or ``"sum"``.
        eps: added to denominators.

    Raises:
        ValueError: an unknown reduction.
        RuntimeError: shapes that are not boxes.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.vision.ops import generalized_box_iou_loss
        >>> a, b = fg.tensor([[0.0, 0.0, 1.0, 1.0]]), fg.tensor([[1.0, 1.0, 2.0, 2.0]])
        >>> round(generalized_box_iou_loss(a, b, "mean").item(), 4)
        1.5
    """
    a, b, inter, union = _aligned("generalized_box_iou_loss", boxes1, boxes2)
    hull = _hull(a, b).area
    return _reduced(1 - inter / (union + eps) + (hull - union) / (hull + eps), reduction)


def distance_box_iou_loss(
    boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = _EPS
) -> Tensor:
    """1 - DIoU of boxes compared one by one; see ``distance_box_iou``.

    Args:
        boxes1, boxes2: ``[N, 4]`` or ``[4]``.
        reduction: ``"none"`` (default), ``"mean"`` or ``"sum"``.
        eps: added to denominators.

    Raises:
        ValueError: an unknown reduction.
        RuntimeError: shapes that are not boxes.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.vision.ops import distance_box_iou_loss
        >>> a, b = fg.tensor([[0.0, 0.0, 1.0, 1.0]]), fg.tensor([[1.0, 1.0, 2.0, 2.0]])
        >>> round(distance_box_iou_loss(a, b, "mean").item(), 4)
        1.25
    """
    a, b, inter, union = _aligned("distance_box_iou_loss", boxes1, boxes2)
    return _reduced(1 - inter / (union + eps) + _centre_term(a, b, eps), reduction)


def complete_box_iou_loss(
    boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = _EPS
) -> Tensor:
    """1 - CIoU of boxes compared one by one; see ``complete_box_iou``.

    Args:
        boxes1, boxes2: ``[N, 4]`` or ``[4]``.
        reduction: ``"none"`` (default), ``"mean"`` or ``"sum"``.
        eps: added to the denominator of the aspect term's weight; the other terms add 1e-7.

    Raises:
        ValueError: an unknown reduction.
        RuntimeError: shapes that are not boxes.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.vision.ops import complete_box_iou_loss
        >>> a, b = fg.tensor([[0.0, 0.0, 1.0, 1.0]]), fg.tensor([[1.0, 1.0, 2.0, 2.0]])
        >>> round(complete_box_iou_loss(a, b, "mean").item(), 4)
        1.25
    """
    a, b, inter, union = _aligned("complete_box_iou_loss", boxes1, boxes2)
    iou = inter / (union + _EPS)
    loss = 1 - iou + _centre_term(a, b, _EPS) + _aspect_term(a, b, iou, eps)
    return _reduced(loss, reduction)


def sigmoid_focal_loss(
    inputs: Tensor,
    targets: Tensor,
    alpha: float = 0.25,
    gamma: float = 2,
    reduction: str = "none",
) -> Tensor:
    """Binary cross entropy of logits, weighted down where the prediction is right already.

    ``(1 - p_t) ** gamma`` times the cross entropy, with ``p_t`` the probability given to the
    target (Lin and others 2017, RetinaNet).

    Args:
        inputs: logits of any shape.
        targets: 0 or 1, floating, of the shape of ``inputs``.
        alpha: weight of the positive class in [0, 1], 1 - alpha that of the negative; -1 for none.
        gamma: how much easy examples count less.
        reduction: ``"none"`` (default), ``"mean"`` or ``"sum"``.

    Raises:
        ValueError: ``alpha`` out of range, shapes that differ, an unknown reduction.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.vision.ops import sigmoid_focal_loss
        >>> round(sigmoid_focal_loss(fg.zeros(1), fg.ones(1)).item(), 4)
        0.0433
    """
    if not 0 <= alpha <= 1 and alpha != -1:
        raise ArgumentError(
            f"sigmoid_focal_loss with alpha={alpha}",
            "alpha must be in the range [0,1] or -1 for ignore.",
        )
    x: Any = inputs
    y: Any = targets
    loss: Any = binary_cross_entropy_with_logits(x, y, reduction="none")
    if gamma != 0:
        loss = loss * (sigmoid(x) * (1 - y) + sigmoid(-x) * y) ** gamma
    if alpha >= 0:
        loss = loss * (alpha * y + (1 - alpha) * (1 - y))
    return _reduced(loss, reduction)


__all__ = [
    "box_area", "box_convert", "box_iou", "clip_boxes_to_image", "complete_box_iou",
    "complete_box_iou_loss", "distance_box_iou", "distance_box_iou_loss", "generalized_box_iou",
    "generalized_box_iou_loss", "nms", "sigmoid_focal_loss",
]  # fmt: skip
