"""Gradient modes: ``no_grad``, ``enable_grad``, ``set_grad_enabled``, ``inference_mode``."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from ..tensor import grad_mode
from ..transform.vjp import anomaly


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

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """As a decorator it holds inside ``function`` only."""
        grad_mode.enabled = self.previous
        return _within(lambda: set_grad_enabled(self.mode), function)


def _within(context: Callable[[], Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` run inside a fresh context; of a generator, each of its steps."""
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def stepped(*args: Any, **kwargs: Any) -> Any:
            with context():
                steps = function(*args, **kwargs)
            sent = None
            while True:
                with context():
                    try:
                        item = steps.send(sent)
                    except StopIteration as end:
                        return end.value
                sent = yield item

        return stepped

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with context():
            return function(*args, **kwargs)

    return wrapped


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
        return _within(type(self), function)


class no_grad(_Mode):
    """Do not record gradients inside (context manager or decorator)."""

    mode = False


class inference_mode:
    """Do not record gradients inside, like ``no_grad``; ``inference_mode(False)`` changes nothing.

    Example:
        >>> import fusegrad as fg
        >>> x = fg.ones(2, requires_grad=True)
        >>> with fg.inference_mode():
        ...     (x * 2).requires_grad
        False
    """

    mode: bool

    def __new__(cls, mode: Any = True) -> Any:
        self = super().__new__(cls)
        self.mode = True if callable(mode) else bool(mode)
        return self(mode) if callable(mode) else self

    def __enter__(self) -> None:
        self.previous = grad_mode.enabled
        if self.mode:
            grad_mode.enabled = False

    def __exit__(self, *exc: object) -> None:
        grad_mode.enabled = self.previous

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return _within(lambda: inference_mode(self.mode), function)


class enable_grad(_Mode):
    """Record gradients inside, even within ``no_grad``."""

    mode = True


def is_grad_enabled() -> bool:
    """Whether gradients are recorded now."""
    return grad_mode.enabled


class set_detect_anomaly:
    """Context manager and function: raise where a backward pass gives nan, or do not.

    The error names the operation and the line of yours that recorded it. For eager passes; what a
    compiled step computes is searched with ``fusegrad.debug.check_nan``.

    Example:
        >>> import fusegrad as fg
        >>> x = fg.zeros(1, requires_grad=True)
        >>> with fg.autograd.set_detect_anomaly(True):
        ...     try:
        ...         (x.sqrt() * 0).backward()
        ...     except RuntimeError as error:
        ...         print(str(error).splitlines()[0])
        the backward pass of sqrt returned nan values
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self.previous = anomaly.enabled
        anomaly.enabled = bool(mode) and check_nan

    def __enter__(self) -> None:
        """Nothing more to do."""

    def __exit__(self, *exc: object) -> None:
        anomaly.enabled = self.previous


class detect_anomaly(set_detect_anomaly):
    """Context manager: raise where a backward pass gives nan; see ``set_detect_anomaly``."""

    def __init__(self, check_nan: bool = True) -> None:
        super().__init__(True, check_nan)


def is_anomaly_enabled() -> bool:
    """Whether backward passes are searched for nan."""
    return anomaly.enabled
