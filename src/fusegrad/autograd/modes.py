"""Gradient modes: ``no_grad``, ``enable_grad``, ``set_grad_enabled``, ``inference_mode``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..tensor import grad_mode


class set_grad_enabled:
    """Context manager and function: record gradients or not.

    Example:
        >>> import fusegrad as fg
        >>> with fg.set_grad_enabled(False):
        ...     fg.is_grad_enabled()
        False
    """

    def __init__(self, mode: bool) -> None:
        self.previous = grad_mode.enabled
        self.mode = bool(mode)
        grad_mode.enabled = self.mode

    def __enter__(self) -> None:
        grad_mode.enabled = self.mode

    def __exit__(self, *exc: object) -> None:
        grad_mode.enabled = self.previous


class _Mode:
    """Base of ``no_grad`` and ``enable_grad``: context manager and decorator."""

    mode = False

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        self = super().__new__(cls)
        return self(function) if function is not None else self

    def __enter__(self) -> None:
        self.previous = grad_mode.enabled
        grad_mode.enabled = self.mode

    def __exit__(self, *exc: object) -> None:
        grad_mode.enabled = self.previous

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with type(self)():
                return function(*args, **kwargs)

        return wrapped


class no_grad(_Mode):
    """Do not record gradients inside (context manager or decorator)."""

    mode = False


class inference_mode(_Mode):
    """Alias of ``no_grad`` for inference."""

    mode = False


class enable_grad(_Mode):
    """Record gradients inside, even within ``no_grad``."""

    mode = True


def is_grad_enabled() -> bool:
    """Whether gradients are recorded now."""
    return grad_mode.enabled
