"""The transforms as functions."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from ... import dtypes
from ...dtypes import DType
from ...errors import ArgumentError, ArgumentTypeError, DTypeError
from ...tensor import Tensor
from . import images, resample
from .resample import InterpolationMode


def to_tensor(pic: Any) -> Tensor:
    """An image as a tensor (C, H, W); bytes become floats in [0, 1].

    Args:
        pic: array (H, W) or (H, W, C), or a Pillow image.

    Raises:
        TypeError: neither an array nor a Pillow image.
        ValueError: an array that has not two or three axes.
    """
    pillow = images.is_pillow(pic)
    if not pillow and not isinstance(pic, np.ndarray):
        raise ArgumentTypeError(
            f"to_tensor of {type(pic).__name__}",
            "pic should be PIL Image or ndarray.",
            "np.asarray(pic)",
        )
    array = images.pillow_array(pic) if pillow else pic
    if array.ndim not in (2, 3):
        raise ArgumentError(
            f"to_tensor of an array with {array.ndim} axes",
            "pic should be 2/3 dimensional.",
            "one image at a time",
        )
    planes = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    if planes.dtype != np.uint8:
        return Tensor(np.array(planes, order="C"))
    kind = dtypes.get_default_dtype().np.type
    return Tensor(np.divide(planes, kind(255), dtype=kind, order="C"))


def pil_to_tensor(pic: Any) -> Tensor:
    """A Pillow image as a tensor (C, H, W) of its own dtype.

    Raises:
        TypeError: not a Pillow image.
    """
    if not images.is_pillow(pic):
        raise ArgumentTypeError(
            f"pil_to_tensor of {type(pic).__name__}", "pic should be PIL Image.", "to_tensor(pic)"
        )
    array = images.pillow_array(pic)
    planes = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    return Tensor(np.array(planes, order="C"))


def convert_image_dtype(image: Tensor, dtype: DType | None = None) -> Tensor:
    """A tensor in another dtype, scaled from the range of the one to that of the other.

    Integers range from 0 to their maximum, floats from 0 to 1.

    Raises:
        TypeError: not a tensor.
        RuntimeError: floats to integers that the floats cannot tell apart.
    """
    if not isinstance(image, Tensor):
        raise ArgumentTypeError(
            f"convert_image_dtype of {type(image).__name__}",
            "Input img should be Tensor Image.",
            "to_tensor(image)",
        )
    old, new = image.dtype, dtype or dtypes.float32
    if old is new:
        return image
    with np.errstate(over="ignore", invalid="ignore"):  # beyond the range of float16
        return Tensor(_rescaled(image._concrete("convert_image_dtype"), old, new))


def _largest(dtype: DType) -> int:
    return 1 if dtype is dtypes.bool_ else int(np.iinfo(dtype.np).max)


def _rescaled(value: np.ndarray, old: DType, new: DType) -> np.ndarray:
    if old.is_floating_point and new.is_floating_point:
        return value.astype(new.np)
    if old.is_floating_point:
        if (old is dtypes.float32 and new in (dtypes.int32, dtypes.int64)) or (
            old is dtypes.float64 and new is dtypes.int64
        ):
            raise DTypeError(
                f"convert_image_dtype from {old} to {new}",
                "The floats cannot tell these integers apart: the cast cannot be performed safely.",
                "convert to fg.uint8, or start from fg.float64",
            )
        top = float(_largest(new)) + 1.0 - 1e-3
        return (value * value.dtype.type(top)).astype(new.np)
    high = _largest(old)
    if new.is_floating_point:
        return value.astype(new.np) / new.np.type(high)
    target = _largest(new)
    if high > target:
        return (value // ((high + 1) // (target + 1))).astype(new.np)
    return value.astype(new.np) * new.np.type((target + 1) // (high + 1))


def normalize(
    tensor: Tensor, mean: Sequence[float], std: Sequence[float], inplace: bool = False
) -> Tensor:
    """``(tensor - mean) / std`` for each channel.

    Args:
        tensor: floats (..., C, H, W).
        mean: one number per channel.
        std: one number per channel, none of them zero.
        inplace: change ``tensor``.

    Raises:
        TypeError: not a tensor of floats.
        ValueError: fewer than three axes, or a zero in ``std``.
    """
    if not isinstance(tensor, Tensor) or not tensor.dtype.is_floating_point:
        kind = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
        raise ArgumentTypeError(
            f"normalize of {kind}", "Input tensor should be a float tensor.", "ToTensor() before it"
        )
    if tensor.aval.ndim < 3:
        raise ArgumentError(
            f"normalize of a tensor {tensor.aval}",
            "Expected tensor to be a tensor image of size (..., C, H, W).",
            "x.unsqueeze(0) for a single channel",
        )
    dtype = tensor.dtype.np
    shift, scale = (np.asarray(v, dtype).reshape(-1, 1, 1) for v in (mean, std))
    if (scale == 0).any():
        raise ArgumentError(
            f"normalize with std {np.ravel(std).tolist()}",
            f"std evaluated to zero after conversion to {tensor.dtype}, leading to division by "
            "zero.",
            "1.0 for a constant channel",
        )
    if inplace:
        return tensor.sub_(Tensor(shift)).div_(Tensor(scale))
    return (tensor - Tensor(shift)) / Tensor(scale)  # type: ignore[operator]


def resize(
    img: Any,
    size: Sequence[int] | int,
    interpolation: InterpolationMode = InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool | None = True,
) -> Any:
    """An image at another size; ``size`` is (height, width) or the length of the shorter edge.

    Pillow images are resized by Pillow, arrays and tensors by the same filters.

    Raises:
        ValueError: ``max_size`` that does not fit ``size``.
    """
    height, width = images.size_of(img, "resize")
    wanted = _output_size((height, width), size, max_size)
    if images.is_pillow(img):
        filters = sys.modules["PIL.Image"].Resampling
        name = interpolation.name.removesuffix("_EXACT")
        return img.resize(wanted[::-1], filters[name])
    use = bool(antialias) and interpolation in (
        InterpolationMode.BILINEAR,
        InterpolationMode.BICUBIC,
    )
    return images.apply(img, lambda x: resample.resize(x, wanted, interpolation, use), "resize")


def _output_size(
    old: tuple[int, int], size: Sequence[int] | int, max_size: int | None
) -> tuple[int, int]:
    if not isinstance(size, int):
        if len(size) == 2:
            if max_size is not None:
                raise ArgumentError(
                    f"max_size={max_size} with size={tuple(size)}",
                    "max_size should only be passed if size specifies the length of the smaller "
                    "edge.",
                    "an integer for size",
                )
            return int(size[0]), int(size[1])
        (size,) = size
    short, long = sorted(old)
    new_short, new_long = size, int(size * long / short)
    if max_size is not None:
        if max_size <= size:
            raise ArgumentError(
                f"max_size={max_size} with size={size}",
                "max_size must be strictly greater than the requested size for the smaller edge.",
                f"max_size={size + 1} or more",
            )
        if new_long > max_size:
            new_short, new_long = int(max_size * new_short / new_long), max_size
    return (new_short, new_long) if old[0] <= old[1] else (new_long, new_short)


_MODES = ("constant", "edge", "reflect", "symmetric")


def pad(
    img: Any, padding: int | Sequence[int], fill: Any = 0, padding_mode: str = "constant"
) -> Any:
    """An image with more pixels around it.

    Args:
        img: the image.
        padding: all sides; (left and right, top and bottom); or (left, top, right, bottom).
        fill: value of the new pixels, or one per channel.
        padding_mode: ``constant``, ``edge``, ``reflect`` or ``symmetric``.

    Raises:
        ValueError: another number of paddings, or another mode.
    """
    sides = [padding] if isinstance(padding, int) else list(padding)
    if len(sides) not in (1, 2, 4):
        raise ArgumentError(
            f"padding={padding!r}",
            "Padding must be an int or a 1, 2, or 4 element tuple.",
            "(left, top, right, bottom)",
        )
    if padding_mode not in _MODES:
        raise ArgumentError(
            f"padding_mode={padding_mode!r}",
            "Padding mode should be either constant, edge, reflect or symmetric.",
            "'constant'",
        )
    left, top, right, bottom = (sides * (4 // len(sides)))[:4]

    def enlarge(x: np.ndarray) -> np.ndarray:
        cut = x[..., max(-top, 0) : x.shape[-2] - max(-bottom, 0), :]
        cut = cut[..., max(-left, 0) : x.shape[-1] - max(-right, 0)]
        width = [(0, 0)] * (x.ndim - 2)
        width += [(max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))]
        if padding_mode != "constant":
            return np.pad(cut, width, padding_mode)  # type: ignore[call-overload]
        out = np.empty([n + sum(w) for n, w in zip(cut.shape, width)], x.dtype)
        out[...] = np.reshape(fill, (-1, 1, 1)) if np.ndim(fill) else fill
        rows, columns = (slice(w[0], w[0] + n) for w, n in zip(width[-2:], cut.shape[-2:]))
        out[..., rows, columns] = cut
        return out

    return images.apply(img, enlarge, "pad")


def crop(img: Any, top: int, left: int, height: int, width: int) -> Any:
    """A rectangle of an image; what lies outside of it is zero."""
    old_height, old_width = images.size_of(img, "crop")
    inside = images.apply(
        img,
        lambda x: x[..., max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)],
        "crop",
    )
    beyond = (max(-left, 0), max(-top, 0), max(left + width - old_width, 0))
    sides = (*beyond, max(top + height - old_height, 0))
    return pad(inside, sides) if any(sides) else inside


def center_crop(img: Any, output_size: int | Sequence[int]) -> Any:
    """The middle of an image, padded with zeros where the image is smaller."""
    height, width = pair(output_size)
    old_height, old_width = images.size_of(img, "center_crop")
    if width > old_width or height > old_height:
        across, down = max(width - old_width, 0), max(height - old_height, 0)
        img = pad(img, (across // 2, down // 2, (across + 1) // 2, (down + 1) // 2))
        old_height, old_width = images.size_of(img)
    top, left = round((old_height - height) / 2), round((old_width - width) / 2)
    return crop(img, top, left, height, width)


def hflip(img: Any) -> Any:
    """An image with left and right exchanged."""
    return images.apply(img, lambda x: x[..., ::-1], "hflip")


def vflip(img: Any) -> Any:
    """An image with top and bottom exchanged."""
    return images.apply(img, lambda x: x[..., ::-1, :], "vflip")


def rgb_to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """Brightness, ``0.2989 red + 0.587 green + 0.114 blue``, as one channel or three equal ones.

    Raises:
        ValueError: neither one nor three channels.
    """
    if num_output_channels not in (1, 3):
        raise ArgumentError(
            f"num_output_channels={num_output_channels}",
            "num_output_channels should be either 1 or 3.",
            "1",
        )
    if images.is_pillow(img):
        grey = img.convert("L")
        return grey if num_output_channels == 1 else grey.convert("RGB")

    def brightness(x: np.ndarray) -> np.ndarray:
        planes = x[None] if x.ndim == 2 else x
        if planes.shape[-3] not in (1, 3):
            raise ArgumentError(
                f"rgb_to_grayscale of {planes.shape[-3]} channels",
                "Input image tensor permitted channel values are 1 or 3.",
                "x[:3]",
            )
        if planes.shape[-3] == 3:
            exact = np.float64 if x.dtype == np.float64 else np.float32
            parts = np.array([0.2989, 0.587, 0.114], exact)[:, None, None]
            planes = (planes * parts).sum(-3, keepdims=True).astype(x.dtype)
        planes = np.repeat(planes, num_output_channels, -3)
        return planes

    if isinstance(img, np.ndarray) and img.ndim == 2:
        return np.repeat(img[:, :, None], num_output_channels, 2)
    return images.apply(img, brightness, "rgb_to_grayscale")


def erase(img: Tensor, i: int, j: int, h: int, w: int, v: Any, inplace: bool = False) -> Tensor:
    """A tensor image with ``v`` in the rectangle at row ``i``, column ``j``."""
    if not isinstance(img, Tensor):
        raise ArgumentTypeError(
            f"erase of {type(img).__name__}", "img should be Tensor Image.", "ToTensor() before it"
        )
    out = img if inplace else img.clone()
    out[..., i : i + h, j : j + w] = v
    return out


def pair(size: int | Sequence[int]) -> tuple[int, int]:
    """(height, width) of a number or of one or two numbers.

    Raises:
        ValueError: more than two numbers.
    """
    sides = [size] if isinstance(size, (int, np.integer)) else list(size)
    if len(sides) not in (1, 2):
        raise ArgumentError(
            f"size={size!r}", "Please provide only two dimensions (h, w) for size.", "(28, 28)"
        )
    return int(sides[0]), int(sides[-1])


def erasing_rectangle(height: int, width: int, share: float, ratio: float) -> tuple[int, int]:
    """Height and width of a rectangle that covers ``share`` of the image."""
    area = height * width * share
    return round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
