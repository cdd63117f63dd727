"""Differentiation for users: ``backward``, ``grad``, gradient modes, hooks, ``Function``."""

from .engine import accumulate, backward, grad
from .function import Function
from .methods import RemovableHandle
from .modes import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled

__all__ = [
    "Function", "RemovableHandle", "accumulate", "backward", "enable_grad", "grad",
    "inference_mode", "is_grad_enabled", "no_grad", "set_grad_enabled",
]  # fmt: skip
