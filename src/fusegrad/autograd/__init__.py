"""Differentiation for users: ``backward``, ``grad``, gradient modes, hooks, ``Function``."""

from . import function, functional
from .engine import accumulate, backward, grad
from .function import Function
from .gradcheck import GradcheckError, gradcheck, gradgradcheck
from .methods import RemovableHandle
from .modes import (
    detect_anomaly,
    enable_grad,
    inference_mode,
    is_anomaly_enabled,
    is_grad_enabled,
    no_grad,
    set_detect_anomaly,
    set_grad_enabled,
)
from .variable import Variable

__all__ = [
    "Function", "GradcheckError", "RemovableHandle", "Variable", "accumulate", "backward",
    "detect_anomaly", "enable_grad", "function", "functional", "grad", "gradcheck",
    "gradgradcheck", "inference_mode", "is_anomaly_enabled", "is_grad_enabled", "no_grad",
    "set_detect_anomaly", "set_grad_enabled",
]  # fmt: skip
