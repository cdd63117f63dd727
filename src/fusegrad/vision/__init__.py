"""Operators of images and boxes (``torchvision``)."""

from . import ops

__all__ = ["ops"]
