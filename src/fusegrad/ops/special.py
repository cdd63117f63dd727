"""NumPy references of functions NumPy lacks; the algorithms are those of the compiled kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def _reference(name: str) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        from .. import vecmath  # builds its table on import; only these functions need it

        return vecmath.reference(name)(*args)

    call.__name__ = name
    return call


sigmoid = _reference("sigmoid")
erf = _reference("erf")
erfc = _reference("erfc")
erfinv = _reference("erfinv")
lgamma = _reference("lgamma")
digamma = _reference("digamma")
philox = _reference("philox")
i0e = _reference("i0e")
i1e = _reference("i1e")
erfcx = _reference("erfcx")
