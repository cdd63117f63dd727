"""Utilities around training (``torch.utils``).

``utils.tensorboard`` is imported by name, as in PyTorch: it needs a package of its own.
"""

from . import data

__all__ = ["data"]
