"""Operators of images and boxes (``torchvision``)."""

from . import datasets, ops, transforms

__all__ = ["datasets", "ops", "transforms"]
