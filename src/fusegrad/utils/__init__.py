"""Utilities around training (``torch.utils``)."""

from . import data, tensorboard

__all__ = ["data", "tensorboard"]
