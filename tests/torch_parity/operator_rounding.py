"""Differences that come from PyTorch's rounding: its own results in double precision are the judge.

In: results of both sides in a narrow dtype, and PyTorch's from the same numbers in float64.
``operator_checks.py`` asks when results differ; what ``near`` accepts is counted apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

WIDE = {
    torch.float16: torch.float64, torch.bfloat16: torch.float64, torch.float32: torch.float64,
    torch.complex64: torch.complex128,
}  # fmt: skip


def widened(value: Any) -> Any:
    """A nesting with its floating-point tensors and dtypes in double precision."""
    if isinstance(value, torch.Tensor) and value.dtype in WIDE:
        return value.detach().to(WIDE[value.dtype]).requires_grad_(value.requires_grad)
    if isinstance(value, torch.dtype):
        return WIDE.get(value, value)
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return type(value)(map(widened, value))
    if isinstance(value, dict):
        return {k: widened(v) for k, v in value.items()}
    return value


def near(
    ours: np.ndarray, theirs: torch.Tensor, exact: torch.Tensor, tolerance: tuple[float, float]
) -> bool:
    """Whether results agree with exact ones, or each is as near to them as that of PyTorch."""
    if not (exact.is_floating_point() or exact.is_complex()):
        return False
    target = exact.to(theirs.dtype).to(exact.dtype).numpy()
    a, b = ours.astype(target.dtype), theirs.to(exact.dtype).numpy()
    if a.shape != b.shape:
        return False
    far, further = _gap(a, target), _gap(b, target)
    rtol, atol = tolerance
    most = np.max(further[np.isfinite(further)], initial=0)
    close = far <= atol + rtol * np.where(np.isfinite(target), np.abs(target), 0)
    return bool(np.all(close | (far <= most) | (far <= further)))


def _gap(found: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Distances; infinite where only one is finite or a number."""
    same = (found == target) | (np.isnan(found) & np.isnan(target))
    with np.errstate(all="ignore"):
        return np.where(same, 0.0, np.nan_to_num(np.abs(found - target), nan=np.inf, posinf=np.inf))
