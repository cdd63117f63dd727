"""CUDA as far as it is here: code that asks first (``cuda.is_available()``) stays on the CPU."""

from __future__ import annotations


def is_available() -> bool:
    """Whether CUDA devices can be used.

    Example:
        >>> import fusegrad as fg
        >>> fg.device("cuda" if fg.cuda.is_available() else "cpu")
        device(type='cpu')
    """
    return False


def device_count() -> int:
    """Number of CUDA devices."""
    return 0
