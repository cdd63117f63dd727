"""Transforms of images: arrays (H, W) or (H, W, C), tensors (..., C, H, W), Pillow images."""

from . import functional
from .convert import ConvertImageDtype, Grayscale, Lambda, Normalize, PILToTensor, ToTensor
from .geometry import (
    CenterCrop,
    Pad,
    RandomCrop,
    RandomErasing,
    RandomHorizontalFlip,
    RandomVerticalFlip,
    Resize,
)
from .pipeline import Compose
from .resample import InterpolationMode

__all__ = [
    "CenterCrop", "Compose", "ConvertImageDtype", "Grayscale", "InterpolationMode", "Lambda",
    "Normalize", "PILToTensor", "Pad", "RandomCrop", "RandomErasing", "RandomHorizontalFlip",
    "RandomVerticalFlip", "Resize", "ToTensor", "functional",
]  # fmt: skip
