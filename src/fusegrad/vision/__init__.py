"""Data sets and transforms of images (``torchvision``)."""

from . import datasets, transforms

__all__ = ["datasets", "transforms"]
