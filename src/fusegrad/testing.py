"""Tests for your own functions: gradients against differences, jit against eager, sample operands.

``gradcheck`` compares the gradients of a function with central differences, ``assert_same`` runs a
function eagerly and compiled and compares everything that comes out, ``samples`` draws operands for
a primitive from its record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .api import jit
from .autograd import grad, no_grad
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
        >>> from fusegrad.ops import elementwise
        >>> [s.args[0].shape for s in samples(elementwise.exp, float64)][:3]
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


def _tensors(inputs: Sequence[Any]) -> list[Tensor]:
    out = []
    for x in inputs:
        array = x.detach().numpy() if isinstance(x, Tensor) else np.asarray(x)  # type: ignore[attr-defined]
        tensor = Tensor(np.array(array))
        if tensor.dtype.is_differentiable and (not isinstance(x, Tensor) or x.requires_grad):
            tensor.requires_grad = True
        out.append(tensor)
    return out


def gradcheck(
    function: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Compare the gradients of ``function`` with central differences.

    The function should be smooth near the inputs, and the inputs ``float64``.

    Args:
        function: takes the inputs and returns a tensor or a tuple of tensors.
        inputs: a tensor or a tuple of tensors; those that require grad are checked.
        eps: step of the differences.
        atol, rtol: tolerances.
        raise_exception: raise on a mismatch instead of returning ``False``.

    Raises:
        AssertionError: a gradient differs.

    Example:
        >>> import fusegrad as fg
        >>> x = fg.randn(4, dtype=fg.float64).requires_grad_()
        >>> gradcheck(lambda x: (x * x).sin(), x)
        True
    """
    tensors = _tensors(inputs if isinstance(inputs, (tuple, list)) else (inputs,))
    rng = np.random.default_rng(0)
    outputs = _outputs(function, tensors)
    weights = [rng.normal(size=y.shape) for y in outputs]
    checked = [x for x in tensors if x.requires_grad]
    found = grad(
        outputs,
        checked,
        [Tensor(w.astype(y.dtype.np)) for w, y in zip(weights, outputs, strict=True)],
        allow_unused=True,
    )
    for k, (x, g) in enumerate(zip(checked, found, strict=True)):
        numeric = _differences(function, tensors, x, weights, eps)
        analytic = np.zeros(x.shape) if g is None else g.numpy()
        if not np.allclose(analytic, numeric, rtol, atol):
            if not raise_exception:
                return False
            worst = np.unravel_index(np.argmax(np.abs(analytic - numeric)), numeric.shape)
            raise MismatchError(
                f"gradcheck of input {k} {x.aval}",
                f"At {tuple(int(i) for i in worst)} the gradient is {analytic[worst]:.6g}, central "
                f"differences give {numeric[worst]:.6g}.",
                "inputs in float64, away from kinks",
            )
    return True


def _outputs(function: Callable[..., Any], tensors: Sequence[Tensor]) -> list[Tensor]:
    result = function(*tensors)
    results = result if isinstance(result, (tuple, list)) else (result,)
    return [y for y in results if isinstance(y, Tensor) and y.requires_grad]


def _differences(
    function: Callable[..., Any],
    tensors: Sequence[Tensor],
    x: Tensor,
    weights: Sequence[Any],
    eps: float,
) -> Any:
    values = x._value.reshape(-1)
    numeric = np.zeros(values.size)

    def weighted() -> float:
        outputs = _outputs(function, tensors)
        return sum(
            float((y.detach().numpy() * w).sum())  # type: ignore[attr-defined]
            for y, w in zip(outputs, weights, strict=True)
        )

    for k in range(values.size):
        kept = values[k]
        values[k] = kept + eps
        above = weighted()
        values[k] = kept - eps
        below = weighted()
        values[k] = kept
        numeric[k] = (above - below) / (2 * eps)
    return numeric.reshape(x.shape)


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
