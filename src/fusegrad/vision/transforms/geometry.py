"""Transforms that move, cut and cover pixels. Random ones draw from the default generator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...dtypes import stored
from ...errors import ArgumentError, ArgumentTypeError
from ...functions.random import bits, randn
from ...tensor import Tensor
from . import functional as F
from . import images
from .resample import InterpolationMode


def _uniform() -> float:
    """A random number in [0, 1)."""
    return float(bits((), None)._value >> np.uint64(11)) * 2.0**-53


def _integer(stop: int) -> int:
    """A random integer in [0, stop)."""
    return int(_uniform() * stop)


def _chance(p: float, name: str) -> float:
    if not 0 <= p <= 1:
        raise ArgumentError(f"{name}(p={p})", "p is a probability.", "p=0.5")
    return p


class Resize:
    """Another size.

    Args:
        size: (height, width), or the length of the shorter edge.
        interpolation: filter.
        max_size: upper bound of the longer edge.
        antialias: widen the filter when shrinking, as Pillow does.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        interpolation: InterpolationMode = InterpolationMode.BILINEAR,
        max_size: int | None = None,
        antialias: bool | None = True,
    ) -> None:
        if not isinstance(size, int):
            F.pair(size)
        self.size = size
        self.interpolation = interpolation
        self.max_size = max_size
        self.antialias = antialias

    def __call__(self, img: Any) -> Any:
        return F.resize(img, self.size, self.interpolation, self.max_size, self.antialias)

    def __repr__(self) -> str:
        return (
            f"Resize(size={self.size}, interpolation={self.interpolation.value}, "
            f"max_size={self.max_size}, antialias={self.antialias})"
        )


class CenterCrop:
    """The middle of an image.

    Args:
        size: (height, width), or the side of a square.
    """

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = F.pair(size)

    def __call__(self, img: Any) -> Any:
        return F.center_crop(img, self.size)

    def __repr__(self) -> str:
        return f"CenterCrop(size={self.size})"


class Pad:
    """More pixels around an image.

    Args:
        padding: all sides; (left and right, top and bottom); or (left, top, right, bottom).
        fill: value of the new pixels.
        padding_mode: ``constant``, ``edge``, ``reflect`` or ``symmetric``.
    """

    def __init__(
        self, padding: int | Sequence[int], fill: Any = 0, padding_mode: str = "constant"
    ) -> None:
        self.padding = padding
        self.fill = fill
        self.padding_mode = padding_mode

    def __call__(self, img: Any) -> Any:
        return F.pad(img, self.padding, self.fill, self.padding_mode)

    def __repr__(self) -> str:
        return f"Pad(padding={self.padding}, fill={self.fill}, padding_mode={self.padding_mode})"


class RandomCrop:
    """A rectangle at a random place.

    Args:
        size: (height, width), or the side of a square.
        padding: added before, as for ``Pad``.
        pad_if_needed: enlarge images that are too small, instead of raising.
        fill: value of added pixels.
        padding_mode: ``constant``, ``edge``, ``reflect`` or ``symmetric``.

    Raises:
        ValueError: the image is smaller than ``size``.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        padding: int | Sequence[int] | None = None,
        pad_if_needed: bool = False,
        fill: Any = 0,
        padding_mode: str = "constant",
    ) -> None:
        self.size = F.pair(size)
        self.padding = padding
        self.pad_if_needed = pad_if_needed
        self.fill = fill
        self.padding_mode = padding_mode

    def __call__(self, img: Any) -> Any:
        if self.padding is not None:
            img = F.pad(img, self.padding, self.fill, self.padding_mode)
        height, width = self.size
        old_height, old_width = images.size_of(img, "RandomCrop")
        if self.pad_if_needed and old_width < width:
            img = F.pad(img, (width - old_width, 0), self.fill, self.padding_mode)
        if self.pad_if_needed and old_height < height:
            img = F.pad(img, (0, height - old_height), self.fill, self.padding_mode)
        old_height, old_width = images.size_of(img)
        if old_height < height or old_width < width:
            raise ArgumentError(
                f"RandomCrop of {self.size} from an image of {(old_height, old_width)}",
                f"Required crop size {self.size} is larger than input image size "
                f"{(old_height, old_width)}.",
                "pad_if_needed=True",
            )
        top, left = _integer(old_height - height + 1), _integer(old_width - width + 1)
        return F.crop(img, top, left, height, width)

    def __repr__(self) -> str:
        return f"RandomCrop(size={self.size}, padding={self.padding})"


class RandomHorizontalFlip:
    """Left and right exchanged with probability ``p``."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = _chance(p, "RandomHorizontalFlip")

    def __call__(self, img: Any) -> Any:
        return F.hflip(img) if _uniform() < self.p else img

    def __repr__(self) -> str:
        return f"RandomHorizontalFlip(p={self.p})"


class RandomVerticalFlip:
    """Top and bottom exchanged with probability ``p``."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = _chance(p, "RandomVerticalFlip")

    def __call__(self, img: Any) -> Any:
        return F.vflip(img) if _uniform() < self.p else img

    def __repr__(self) -> str:
        return f"RandomVerticalFlip(p={self.p})"


class RandomErasing:
    """A random rectangle of a tensor covered (Zhong and others 2017).

    Args:
        p: probability.
        scale: smallest and largest covered share of the image.
        ratio: smallest and largest height by width.
        value: number, one number per channel, or ``"random"`` for noise.
        inplace: change the tensor it is given.
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: Any = 0,
        inplace: bool = False,
    ) -> None:
        if isinstance(value, str) and value != "random":
            raise ArgumentError(
                f"RandomErasing(value={value!r})",
                "If value is str, it should be 'random'.",
                "'random'",
            )
        if not 0 <= scale[0] <= scale[1] <= 1 or not 0 < ratio[0] <= ratio[1]:
            raise ArgumentError(
                f"RandomErasing(scale={scale}, ratio={ratio})",
                "Scale should be between 0 and 1, and ranges go from small to large.",
                "scale=(0.02, 0.33), ratio=(0.3, 3.3)",
            )
        self.p = _chance(p, "RandomErasing")
        self.scale, self.ratio, self.value, self.inplace = scale, ratio, value, inplace

    def __call__(self, img: Tensor) -> Tensor:
        if not isinstance(img, Tensor):
            raise ArgumentTypeError(
                f"RandomErasing of {type(img).__name__}",
                "img should be Tensor Image.",
                "ToTensor() before it",
            )
        if _uniform() >= self.p:
            return img
        height, width = images.size_of(img)
        low, high = (math.log(r) for r in self.ratio)
        for _ in range(10):
            share = self.scale[0] + _uniform() * (self.scale[1] - self.scale[0])
            ratio = math.exp(low + _uniform() * (high - low))
            h, w = F.erasing_rectangle(height, width, share, ratio)
            if h < height and w < width:
                top, left = _integer(height - h + 1), _integer(width - w + 1)
                return F.erase(img, top, left, h, w, self._cover(img, h, w), self.inplace)
        return img

    def _cover(self, img: Tensor, h: int, w: int) -> Any:
        channels = img.aval.shape[-3]
        if self.value == "random":
            return randn(channels, h, w, dtype=img.dtype)
        if isinstance(self.value, (int, float)):
            return self.value
        if len(self.value) not in (1, channels):
            raise ArgumentError(
                f"RandomErasing(value={self.value}) of {channels} channels",
                "If value is a sequence, it should have either a single value or one per channel.",
                "a number",
            )
        return Tensor(stored(self.value, img.dtype)[:, None, None])

    def __repr__(self) -> str:
        return (
            f"RandomErasing(p={self.p}, scale={self.scale}, ratio={self.ratio}, "
            f"value={self.value}, inplace={self.inplace})"
        )
