"""Tests for your own functions: gradients against differences, jit against eager, sample operands.

``gradcheck`` compares the gradients of a function with central differences, ``assert_same`` runs a
function eagerly and compiled and compares everything that comes out, ``samples`` draws operands for
a primitive from its record.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .api import jit
from .autograd import no_grad
from .autograd.gradcheck import gradcheck, gradgradcheck
from .dtypes import DType
from .errors import ArgumentError, FusegradError
from .ir.primitive import Primitive
from .ops.samples import draw
from .tensor import Tensor
from .trace.tree import flatten, tree_map

# relative tolerance of "the same numbers in another order of rounding", by dtype
TOLERANCE = {"float64": 1e-11, "float32": 2e-5, "float16": 5e-3}


class MismatchError(FusegradError, AssertionError):
    """Two results that should be equal are not."""


@dataclass(frozen=True)
class Sample:
    """Operands and parameters of one application of a primitive."""

    args: tuple[Any, ...]
    params: dict[str, Any]


_SHAPES = ((), (1,), (5,), (3, 4), (2, 1, 3), (0, 3))
_AXES = (
    ((4,), (0,)), ((3, 5), (1,)), ((3, 5), (0,)), ((2, 3, 4), (0, 2)), ((2, 3, 4), (1,)),
    ((3, 1), (1,)), ((2, 3), (0, 1)), ((0, 3), (1,)),
)  # fmt: skip


def samples(primitive: Primitive, dtype: DType, seed: int = 0) -> list[Sample]:
    """Operands and parameters that a primitive accepts, drawn from its record.

    Args:
        primitive: a record of the registry.
        dtype: element type of the operands, one of ``primitive.dtypes``.
        seed: draws other numbers.

    Example:
        >>> from fusegrad.dtypes import float64
        >>> from fusegrad.ops import transcendental
        >>> [s.args[0].shape for s in samples(transcendental.exp, float64)][:3]
        [(), (1,), (5,)]
    """
    rng = np.random.default_rng(seed)
    if primitive.samples is not None:
        return [Sample(a, p) for a, p in primitive.samples(rng, dtype, primitive.domain)]
    if primitive.kind == "reduce":
        return [
            Sample((draw(rng, shape, dtype, primitive.domain),), {"axes": axes})
            for shape, axes in _AXES
        ]
    if primitive.kind == "elementwise":
        count = len(primitive.arg_names)
        return [
            Sample(tuple(draw(rng, s, dtype, primitive.domain) for _ in range(count)), {})
            for s in _SHAPES
        ]
    raise ArgumentError(
        f"samples of {primitive.name}", f"Records of kind {primitive.kind} need a samples field."
    )


def assert_same(
    function: Callable[..., Any],
    *args: Any,
    calls: int = 2,
    rtol: float | None = None,
    atol: float | None = None,
) -> Any:
    """Run ``function`` eagerly and under ``jit`` and compare all results and changed arguments.

    Both runs get copies of the arguments. State outside the function is shared, so a function that
    changes its surroundings needs a fresh world per run.

    Args:
        function: takes tensors and other values, returns any nesting of tensors.
        args: its arguments.
        calls: number of compiled calls; the second takes the fast path.
        rtol, atol: tolerances; by dtype when ``None``.

    Returns:
        the eager result.

    Raises:
        AssertionError: something differs.

    Example:
        >>> import fusegrad as fg
        >>> assert_same(lambda x: x.softmax(0), fg.tensor([1.0, 2.0])).shape
        fusegrad.Size([2])
    """
    eager_args = tree_map(_copied, args)
    expected = function(*eager_args)
    compiled = jit(function)
    for call in range(calls):
        given = tree_map(_copied, args)
        found = compiled(*given)
        _compare(f"call {call} result", expected, found, rtol, atol)
        _compare(f"call {call} argument", eager_args, given, rtol, atol)
    return expected


def _copied(leaf: Any) -> Any:
    if not isinstance(leaf, Tensor):
        return leaf
    with no_grad():
        value = leaf._value
        copy = np.empty_like(value)  # keeps the order of the axes in memory
        copy[...] = value
        out = Tensor(copy)
    out._requires_grad = leaf._requires_grad
    return out


def _compare(label: str, expected: Any, found: Any, rtol: float | None, atol: float | None) -> None:
    left: list[Any] = []
    right: list[Any] = []
    if flatten(expected, left) != flatten(found, right):
        raise MismatchError(f"{label}: another structure", "Eager and jit return other containers.")
    for k, (a, b) in enumerate(zip(left, right, strict=True)):
        if isinstance(a, Tensor) and isinstance(b, Tensor):
            problem = difference(a.detach().numpy(), b.detach().numpy(), rtol, atol)  # type: ignore[attr-defined]
            if problem:
                raise MismatchError(f"{label} {k} of eager and jit differ", problem)
        elif not isinstance(a, Tensor) and a is not b and a != b:
            raise MismatchError(f"{label} {k} of eager and jit differ", f"{a!r} and {b!r}.")


def difference(
    expected: Any, found: Any, rtol: float | None = None, atol: float | None = None
) -> str:
    """How two arrays differ, in a sentence; empty when they agree.

    Non-finite values must agree exactly; ``atol`` defaults to ``rtol`` times the largest element.
    """
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return (
            f"One is {expected.dtype}{list(expected.shape)}, the other "
            f"{found.dtype}{list(found.shape)}."
        )
    if not np.issubdtype(expected.dtype, np.inexact):
        wrong = expected != found
    else:
        relative = TOLERANCE.get(str(expected.dtype), 1e-11) if rtol is None else rtol
        finite = np.abs(expected[np.isfinite(expected)])
        absolute = relative * (finite.max() if finite.size else 1.0) if atol is None else atol
        with np.errstate(all="ignore"):
            wrong = ~np.isclose(found, expected, relative, absolute, equal_nan=True)
    if not wrong.any():
        return ""
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    return (
        f"{int(wrong.sum())} of {wrong.size} elements differ, the first at {at}: "
        f"{expected[at]!r} and {found[at]!r}."
    )


__all__ = [
    "MismatchError", "Sample", "assert_same", "difference", "gradcheck", "gradgradcheck", "samples",
]  # fmt: skip
