"""The elementwise kind: what all its records share.

In: the scalar text, derivative rules and dtypes of one operation. Out: its ``Primitive``, with the
shape and dtype rule filled in. The records are in ``elementwise.py``, ``compare.py``
and ``transcendental.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..dtypes import ALL, COMPLEX, FLOATING, DType, bool_
from ..errors import DTypeError, GradientError, ShapeError
from ..ir.aval import Aval
from ..ir.primitive import Primitive, Rule

NUMERIC = tuple(d for d in ALL if d is not bool_ and not d.reduced)
REAL = tuple(d for d in NUMERIC if not d.is_complex and not d.reduced)
FLOAT = tuple(d for d in FLOATING if not d.reduced)
INTEGRAL = tuple(d for d in ALL if d.category <= 1)
ANY = tuple(d for d in ALL if not d.is_complex and not d.reduced)
NUMBERS = (*REAL, *COMPLEX)
FIELD = (*FLOAT, *COMPLEX)
EVERY = (*ANY, *COMPLEX)


def common_shape(name: str, avals: Sequence[Aval]) -> tuple[int, ...]:
    """The one shape of all operands; 0-d operands go with any shape."""
    shape: tuple[int, ...] = ()
    for aval in avals:
        if aval.shape:
            if shape and aval.shape != shape:
                raise ShapeError(
                    f"{name} got {', '.join(map(str, avals))}",
                    "Elementwise operands must have the same shape after broadcasting.",
                )
            shape = aval.shape
    return shape


def _aval_rule(name: str, accepted: tuple[DType, ...], result: DType | None) -> Callable[..., Aval]:
    categories = {d.category for d in accepted}

    def rule(*avals: Aval) -> Aval:
        dtype = avals[-1].dtype
        if dtype.category not in categories or any(a.dtype is not dtype for a in avals):
            raise DTypeError(
                f"{name} got {', '.join(map(str, avals))}",
                f"{name} takes operands of one dtype, of kind "
                f"{', '.join(sorted({d.name for d in accepted}))}.",
                "convert with .to(dtype)",
            )
        return Aval(common_shape(name, avals), result or dtype)

    return rule


def ordered(name: str, x: Aval) -> Aval:
    """``x``, refused when its elements have no order."""
    if x.dtype.is_complex:
        raise DTypeError(f"{name} of {x}", "Complex numbers have no order.", "x.abs() or x.real")
    return x


def keep_parts(name: str, value: Any, dtype: DType) -> None:
    """Refuse to lose the imaginary part of a number.

    Raises:
        RuntimeError: it has one and ``dtype`` is real.
    """
    if not dtype.is_complex and np.any(np.imag(value)):
        raise DTypeError(
            f"{name} of {dtype} with a complex number",
            f"value cannot be converted to type {dtype} without overflow: it has an imaginary "
            "part.",
            "a tensor of dtype fg.complex64",
        )


def typed(text: str) -> Callable[..., str]:
    """A scalar text with ``{T}`` for the result dtype's constructor."""

    def scalar(operands: Sequence[DType], out: DType, params: dict[str, Any]) -> str:
        return text.replace("{T}", out.name)

    return scalar


def by_category(floating: str, integer: str, boolean: str = "") -> Callable[..., str]:
    """A scalar text chosen by the category of the operand; ``{T}`` as in ``typed``."""

    def scalar(operands: Sequence[DType], out: DType, params: dict[str, Any]) -> str:
        kind = operands[0]
        text = floating if kind.category >= 2 else integer if kind.category == 1 else boolean
        return text.replace("{T}", out.name)

    return scalar


def elementwise(
    name: str,
    reference: Callable[..., Any],
    scalar: Any,
    derivs: Sequence[Rule | None] = (),
    dtypes: tuple[DType, ...] = FLOAT,
    result: DType | None = None,
    cost: float = 1.0,
    domain: tuple[float, float] = (-3.0, 3.0),
    commutative: bool = False,
    pair: Any = None,
    doc: str = "",
) -> Primitive:
    """Declare an elementwise primitive; the number of operands is read from ``scalar``."""
    shape = scalar if isinstance(scalar, str) else scalar([FLOATING[0]], FLOATING[0], {})
    arity = max(k for k in range(3) if f"{{{k}}}" in shape) + 1
    return Primitive(
        name=name,
        kind="elementwise",
        arg_names=("x", "y", "z")[:arity],
        aval_rule=_aval_rule(name, dtypes, result),
        reference=reference,
        derivs=tuple(derivs) if derivs else (None,) * arity,
        scalar=scalar,
        cost=cost,
        dtypes=dtypes,
        domain=domain,
        commutative=commutative,
        pair=pair,
        doc=doc,
    )


def not_differentiable(name: str) -> Rule:
    """A rule that refuses, for derivatives fusegrad does not have."""

    def rule(g: Any) -> Any:
        raise GradientError(f"{name} has no derivative rule", "Its derivative is not implemented.")

    rule.refuses = True  # type: ignore[attr-defined]  # property tests leave such records out
    return rule
