"""Data sets, transforms and operators of images (``torchvision``)."""

from . import datasets, ops, transforms

__all__ = ["datasets", "ops", "transforms"]
