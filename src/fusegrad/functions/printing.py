"""How tensors print, and ``set_printoptions``."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import dtypes
from ..dtypes import int64, widen
from ..errors import ArgumentError
from ..tensor import Tensor
from .common import method


@dataclass
class _Options:
    """What ``set_printoptions`` sets."""

    numpy: dict[str, Any]
    sci_mode: bool | None = None


_DEFAULT = {"precision": 4, "threshold": 1000, "edgeitems": 3, "max_line_width": 80}
_PROFILES = {
    "default": _DEFAULT,
    "short": {**_DEFAULT, "precision": 2, "edgeitems": 2},
    "full": {**_DEFAULT, "threshold": sys.maxsize},
}
_options = _Options({**_DEFAULT, "suppress_small": False})


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Choose how tensors print.

    Args:
        precision: digits after the point.
        threshold: number of elements from which a tensor is abridged.
        edgeitems: how many elements an abridged axis shows at each end.
        linewidth: characters per line.
        profile: ``"default"``, ``"short"`` or ``"full"``: values for all of these.
        sci_mode: always (``True``) or never (``False``) in scientific notation; ``None`` decides
            by the values.

    Example:
        >>> import fusegrad as fg
        >>> fg.set_printoptions(precision=2)
        >>> fg.tensor([1.23456])
        tensor([1.23])
        >>> fg.set_printoptions(profile="default")
        >>> fg.tensor([1.23456])
        tensor([1.2346])
    """
    if profile is not None:
        if profile not in _PROFILES:
            raise ArgumentError(f"profile {profile!r}", f"It is one of {list(_PROFILES)}.")
        _options.numpy.update(_PROFILES[profile])
    given = {
        "precision": precision,
        "threshold": threshold,
        "edgeitems": edgeitems,
        "max_line_width": linewidth,
    }
    _options.numpy.update({k: v for k, v in given.items() if v is not None})
    _options.numpy["suppress_small"] = sci_mode is False
    _options.sci_mode = sci_mode


def _scientific() -> dict[str, Any]:
    digits = _options.numpy["precision"]
    return {
        "float_kind": lambda x: f"{x:.{digits}e}",
        "complex_kind": lambda z: f"{z.real:.{digits}e}{z.imag:+.{digits}e}j",
    }


@method("__str__")
def str_(input: Tensor) -> str:
    """The values, for ``print``; refuses inside a jitted function, where there are none yet."""
    if not isinstance(input._value, np.ndarray):
        input._concrete("print")
    return repr_(input)


@method("__repr__")
def repr_(input: Tensor) -> str:
    """Like PyTorch's: values, dtype when unusual, grad_fn or requires_grad."""
    if not isinstance(input._value, np.ndarray):
        return f"tensor(traced {input.aval})"
    body = np.array2string(
        widen(input._value),
        separator=", ",
        prefix="tensor(",
        floatmode="maxprec" if input.dtype.category >= 2 else "fixed",
        formatter=_scientific() if _options.sci_mode else None,  # type: ignore[arg-type]
        **_options.numpy,
    )
    parts = [body]
    default = dtypes.get_default_dtype()
    plain: tuple[Any, ...] = (default, int64, dtypes.bool_)
    if input.dtype.is_complex and not default.reduced:
        plain = (dtypes.complex_dtype(default),)
    if not input.aval.size:
        plain = (default,)
    if input.dtype not in plain:
        parts.append(f"dtype={input.dtype!r}")
    if input.grad_fn is not None:
        parts.append(f"grad_fn=<{input.grad_fn.name}>")
    elif input._requires_grad:
        parts.append("requires_grad=True")
    return f"tensor({', '.join(parts)})"
