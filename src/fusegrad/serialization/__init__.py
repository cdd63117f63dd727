"""Saving and loading: safetensors files, and the archives of ``torch.save``. No code runs."""

from .api import load, save

__all__ = ["load", "save"]
