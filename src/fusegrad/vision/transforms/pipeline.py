"""Transforms one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class Compose:
    """Calls transforms in order.

    Args:
        transforms: callables from an image to an image.

    Example:
        >>> import numpy as np
        >>> from fusegrad.vision import transforms
        >>> to_input = transforms.Compose(
        ...     [transforms.ToTensor(), transforms.Normalize((0.5,), (0.25,))]
        ... )
        >>> to_input(np.full((1, 2), 255, np.uint8))
        tensor([[[2., 2.]]])
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = transforms

    def __call__(self, img: Any) -> Any:
        for transform in self.transforms:
            img = transform(img)
        return img

    def __repr__(self) -> str:
        lines = [f"    {transform}" for transform in self.transforms]
        return "\n".join(["Compose(", *lines, ")"])
