"""``fg.signal.windows``: window functions under the names of ``torch.signal.windows``, and the
``*_window`` functions of the top level.

In: a length and options. Out: a vector that is computed once in float64 and rounded to the dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import numpy as np

from . import dtypes
from .dtypes import DType
from .errors import ArgumentError, ArgumentTypeError, RangeError
from .functions.placement import factory
from .ops.special import i0e
from .tensor import Tensor

__all__ = ["windows"]


def _made(values: np.ndarray, dtype: DType | None) -> Tensor:
    return Tensor(np.asarray(values, (dtype or dtypes.get_default_dtype()).np))


def _ramp(M: int, sym: bool) -> tuple[np.ndarray, int]:
    """0 .. M - 1, and what the last sample of a whole period is divided by."""
    return np.arange(M, dtype=np.float64), max(M - 1 if sym else M, 1)


def _cosines(M: int, sym: bool, weights: Iterable[float]) -> np.ndarray:
    n, period = _ramp(M, sym)
    terms = ((-1) ** k * a * np.cos(2 * np.pi * k * n / period) for k, a in enumerate(weights))
    return sum(terms, np.zeros(M))


def _kaiser(M: int, sym: bool, beta: float) -> np.ndarray:
    n, period = _ramp(M, sym)
    inside = beta * np.sqrt(np.maximum(0.0, 1 - (2 * n / period - 1) ** 2))
    return np.asarray(i0e(inside) * np.exp(inside - beta) / i0e(np.float64(beta)))


def _gaussian(M: int, sym: bool, std: float) -> np.ndarray:
    n, _ = _ramp(M, sym)
    middle = (M - 1 if sym else M) / 2
    return np.exp(-0.5 * ((n - middle) / std) ** 2)


def _exponential(M: int, sym: bool, center: float | None, tau: float) -> np.ndarray:
    if center is None:
        center = (M - 1 if sym else M) / 2
    return np.exp(-np.abs(np.arange(M) - center) / tau)


def _sine(M: int, sym: bool) -> np.ndarray:
    n, _ = _ramp(M, sym)
    return np.sin(np.pi * (n + 0.5) / (M if sym else M + 1))


def _triangle(M: int, sym: bool) -> np.ndarray:
    n, period = _ramp(M, sym)
    return 1 - np.abs(2 * n / period - 1)


# --- torch.signal.windows -------------------------------------------------------------------------
def _window(
    name: str,
    values: Callable[..., np.ndarray],
    doc: str,
    check: Callable[..., str] = lambda **options: "",
    **defaults: Any,
) -> Callable[..., Tensor]:
    def function(
        M: int,
        *,
        sym: bool = True,
        dtype: DType | None = None,
        **options: Any,
    ) -> Tensor:
        unknown = set(options) - set(defaults)
        if unknown:
            raise TypeError(f"{name}() got an unexpected keyword argument {unknown.pop()!r}")
        given = {**defaults, **options}
        if name == "general_cosine" and not isinstance(given["a"], Iterable):
            raise ArgumentTypeError(f"{name} with a={given['a']}", "Coefficients must be given.")
        why = check(sym=sym, **given)
        if M < 0:
            why = "requires non-negative window length"
        if (dtype or dtypes.get_default_dtype()) not in (dtypes.float32, dtypes.float64):
            why = "expects float32 or float64 dtypes"
        if why:
            raise ArgumentError(f"{name} with M={M}, dtype={dtype}, {given}", why)
        made = np.ones(1) if M == 1 else values(M, sym, **given)
        return _made(made[:M], dtype)

    function.__name__ = name
    options = ", ".join(f"{k}={v!r}" for k, v in defaults.items())
    function.__doc__ = (
        f"{doc} ``M`` samples; ``sym=False`` gives one period of a longer window."
        + (f" Options: {options}." if options else "")
    )
    return factory(function, ArgumentError)  # a ValueError, as PyTorch's


def _center_is_free(sym: bool, center: float | None, tau: float) -> str:
    if tau <= 0:
        return f"Tau must be positive, got {tau} instead."
    return "Center must be None for symmetric windows." if sym and center is not None else ""


windows = SimpleNamespace(
    bartlett=_window("bartlett", _triangle, "A triangle that ends at zero."),
    blackman=_window(
        "blackman", lambda M, sym: _cosines(M, sym, (0.42, 0.5, 0.08)), "Blackman's three cosines."
    ),
    cosine=_window("cosine", _sine, "Half a sine wave."),
    exponential=_window(
        "exponential",
        _exponential,
        "Decay to both sides of the centre.",
        _center_is_free,
        center=None,
        tau=1.0,
    ),
    gaussian=_window(
        "gaussian",
        _gaussian,
        "A normal density of height one.",
        lambda sym, std: "" if std > 0 else f"Standard deviation must be positive, got {std}.",
        std=1.0,
    ),
    general_cosine=_window(
        "general_cosine",
        lambda M, sym, a: _cosines(M, sym, a),
        "A weighted sum of cosines.",
        lambda sym, a: "" if len(a) else "Coefficients must be given.",
        a=None,
    ),
    general_hamming=_window(
        "general_hamming",
        lambda M, sym, alpha: _cosines(M, sym, (alpha, 1 - alpha)),
        "Two cosines of weights alpha and 1 - alpha.",
        alpha=0.54,
    ),
    hamming=_window(
        "hamming", lambda M, sym: _cosines(M, sym, (0.54, 0.46)), "Hamming's two cosines."
    ),
    hann=_window("hann", lambda M, sym: _cosines(M, sym, (0.5, 0.5)), "A raised cosine."),
    kaiser=_window(
        "kaiser",
        _kaiser,
        "Kaiser's window of the Bessel function I0.",
        lambda sym, beta: "" if beta >= 0 else f"beta must be non-negative, got: {beta} instead.",
        beta=12.0,
    ),
    nuttall=_window(
        "nuttall",
        lambda M, sym: _cosines(M, sym, (0.3635819, 0.4891775, 0.1365995, 0.0106411)),
        "Nuttall's four cosines.",
    ),
)


# --- the top level --------------------------------------------------------------------------------
def _top(
    name: str, values: Callable[..., np.ndarray], doc: str, **defaults: float
) -> Callable[..., Tensor]:
    def function(
        window_length: int,
        periodic: bool = True,
        *numbers: float,
        dtype: DType | None = None,
        **options: float,
    ) -> Tensor:
        given = {**defaults, **dict(zip(defaults, numbers)), **options}
        if len(numbers) > len(defaults) or set(given) != set(defaults):
            raise TypeError(f"{name}() takes window_length, periodic, {', '.join(defaults)}")
        if window_length < 0 or (dtype is not None and not dtype.is_floating_point):
            raise RangeError(
                f"{name} of length {window_length} and dtype {dtype}",
                "It requires a non-negative window_length and a floating point dtype.",
            )
        ones = np.ones(1)
        made = ones if window_length == 1 else values(window_length, not periodic, **given)
        return _made(made[:window_length], dtype)

    function.__name__ = name
    options = "".join(f", {k}={v}" for k, v in defaults.items())
    function.__doc__ = (
        f"{doc} Arguments: window_length, periodic=True{options}; "
        "``periodic`` windows continue when repeated."
    )
    return factory(function)


bartlett_window = _top("bartlett_window", _triangle, "A triangle that ends at zero.")
blackman_window = _top(
    "blackman_window",
    lambda M, sym: _cosines(M, sym, (0.42, 0.5, 0.08)),
    "Blackman's three cosines.",
)
hann_window = _top("hann_window", lambda M, sym: _cosines(M, sym, (0.5, 0.5)), "A raised cosine.")
hamming_window = _top(
    "hamming_window",
    lambda M, sym, alpha, beta: _cosines(M, sym, (alpha, beta)),
    "Two cosines of weights alpha and beta.",
    alpha=0.54,
    beta=0.46,
)
kaiser_window = _top("kaiser_window", _kaiser, "Kaiser's window.", beta=12.0)
TOP_LEVEL = (bartlett_window, blackman_window, hamming_window, hann_window, kaiser_window)
