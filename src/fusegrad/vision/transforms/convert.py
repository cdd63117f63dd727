"""Transforms that change what an image is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...dtypes import DType
from ...errors import ArgumentTypeError
from ...tensor import Tensor
from . import functional as F


class ToTensor:
    """Arrays (H, W), (H, W, C) and Pillow images become float tensors (C, H, W).

    Bytes are divided by 255; other dtypes keep their values.

    Example:
        >>> import numpy as np
        >>> from fusegrad.vision.transforms import ToTensor
        >>> ToTensor()(np.zeros((28, 28, 3), np.uint8)).shape
        fusegrad.Size([3, 28, 28])
    """

    def __call__(self, pic: Any) -> Tensor:
        return F.to_tensor(pic)

    def __repr__(self) -> str:
        return "ToTensor()"


class PILToTensor:
    """Pillow images become tensors (C, H, W) of their own dtype."""

    def __call__(self, pic: Any) -> Tensor:
        return F.pil_to_tensor(pic)

    def __repr__(self) -> str:
        return "PILToTensor()"


class ConvertImageDtype:
    """Another dtype, scaled from range to range.

    Args:
        dtype: the new dtype.
    """

    def __init__(self, dtype: DType) -> None:
        if not isinstance(dtype, DType):
            raise ArgumentTypeError(
                f"ConvertImageDtype({dtype!r})",
                "Argument dtype should be of type DType.",
                "fg.float32",
            )
        self.dtype = dtype

    def __call__(self, image: Tensor) -> Tensor:
        return F.convert_image_dtype(image, self.dtype)

    def __repr__(self) -> str:
        return "ConvertImageDtype()"


class Normalize:
    """``(image - mean) / std`` for each channel of a float tensor.

    Args:
        mean: one number per channel.
        std: one number per channel.
        inplace: change the tensor it is given.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> None:
        self.mean = mean
        self.std = std
        self.inplace = inplace

    def __call__(self, tensor: Tensor) -> Tensor:
        return F.normalize(tensor, self.mean, self.std, self.inplace)

    def __repr__(self) -> str:
        return f"Normalize(mean={self.mean}, std={self.std})"


class Grayscale:
    """Brightness instead of colour.

    Args:
        num_output_channels: 1, or 3 equal ones.
    """

    def __init__(self, num_output_channels: int = 1) -> None:
        self.num_output_channels = num_output_channels

    def __call__(self, img: Any) -> Any:
        return F.rgb_to_grayscale(img, self.num_output_channels)

    def __repr__(self) -> str:
        return f"Grayscale(num_output_channels={self.num_output_channels})"


class Lambda:
    """A function of your own as a transform.

    Workers of a DataLoader need one with a name: ``def`` at the top level of a module.

    Args:
        lambd: the function.
    """

    def __init__(self, lambd: Callable[[Any], Any]) -> None:
        if not callable(lambd):
            raise ArgumentTypeError(
                f"Lambda({type(lambd).__name__})",
                f"Argument lambd should be callable, got {type(lambd).__name__!r}.",
                "Lambda(lambda x: x / 2)",
            )
        self.lambd = lambd

    def __call__(self, img: Any) -> Any:
        return self.lambd(img)

    def __repr__(self) -> str:
        return "Lambda()"
