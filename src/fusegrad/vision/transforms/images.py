"""The three kinds of images behind one view: arrays whose last two axes are height and width.

Pillow is no dependency: its images are recognised when the program has imported it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from ...errors import ArgumentTypeError, GradientError
from ...tensor import Tensor


def is_pillow(image: Any) -> bool:
    """Whether this is an image of Pillow."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(image, module.Image)


def pillow_array(image: Any) -> np.ndarray:
    """A copy of a Pillow image, (H, W) or (H, W, C)."""
    if image.mode == "1":
        return np.array(image, np.uint8) * np.uint8(255)
    if image.mode == "P":
        return np.array(image, np.uint8)
    return np.array(image)


def refuse(image: Any, what: str) -> ArgumentTypeError:
    """The error for something that is no image."""
    return ArgumentTypeError(
        f"{what} of {type(image).__name__}",
        "img should be a PIL Image, an array (H, W) or (H, W, C), or a tensor (..., C, H, W).",
        "np.asarray(image), or Tensor",
    )


def size_of(image: Any, what: str = "size") -> tuple[int, int]:
    """Height and width."""
    if is_pillow(image):
        return image.height, image.width
    if isinstance(image, Tensor) and image.aval.ndim >= 2:
        return image.aval.shape[-2], image.aval.shape[-1]
    if isinstance(image, np.ndarray) and image.ndim in (2, 3):
        return image.shape[0], image.shape[1]
    raise refuse(image, what)


def apply(image: Any, function: Callable[[np.ndarray], np.ndarray], what: str) -> Any:
    """``function`` of the image as an array (..., H, W), back in the kind it was.

    Raises:
        TypeError: not an image.
        RuntimeError: a tensor that requires grad: these transforms are not differentiated.
    """
    size_of(image, what)
    if isinstance(image, Tensor):
        if image.requires_grad:
            raise GradientError(
                f"{what} of a tensor that requires grad",
                "Transforms prepare data: no gradient flows through them.",
                "x.detach()",
            )
        return Tensor(np.ascontiguousarray(function(image._concrete(what))))
    if is_pillow(image):
        out = apply(pillow_array(image), function, what)
        if image.mode == "P":
            back = sys.modules["PIL.Image"].fromarray(out)
            back.putpalette(image.getpalette())
            return back
        made = sys.modules["PIL.Image"].fromarray(out)
        return made.convert("1") if image.mode == "1" else made
    if image.ndim == 2:
        return np.ascontiguousarray(function(image))
    return np.ascontiguousarray(np.moveaxis(function(np.moveaxis(image, 2, 0)), 0, 2))
