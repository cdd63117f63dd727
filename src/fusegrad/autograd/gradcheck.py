"""Gradients of your own functions against central differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..dtypes import stored
from ..errors import FusegradError
from ..tensor import Tensor
from .engine import grad


class GradcheckError(FusegradError, AssertionError, RuntimeError):
    """A gradient differs from central differences."""


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
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    fast_mode: bool = False,
) -> bool:
    """Compare the gradients of ``func`` with central differences.

    The function should be smooth near the inputs, and the inputs ``float64`` or ``complex128``.

    Args:
        func: takes the inputs and returns a tensor or a tuple of tensors.
        inputs: a tensor or a tuple of tensors; those that require grad are checked.
        eps: step of the differences.
        atol, rtol: tolerances.
        raise_exception: raise on a mismatch instead of returning ``False``.
        nondet_tol, fast_mode: accepted; results repeat exactly, and the check is always the
            thorough one.

    Raises:
        RuntimeError: a gradient differs (also an ``AssertionError``).

    Example:
        >>> import fusegrad as fg
        >>> x = fg.randn(4, dtype=fg.float64).requires_grad_()
        >>> fg.autograd.gradcheck(lambda x: (x * x).sin(), x)
        True
    """
    tensors = _tensors(inputs if isinstance(inputs, (tuple, list)) else (inputs,))
    rng = np.random.default_rng(0)
    outputs = _outputs(func, tensors)
    weights = [_random(rng, y) for y in outputs]
    checked = [x for x in tensors if x.requires_grad]
    found = grad(
        outputs,
        checked,
        [Tensor(stored(w, y.dtype)) for w, y in zip(weights, outputs, strict=True)],
        allow_unused=True,
    )
    for k, (x, g) in enumerate(zip(checked, found, strict=True)):
        numeric = _differences(func, tensors, x, weights, eps)
        analytic = np.zeros(x.shape) if g is None else g.numpy()
        if not np.allclose(analytic, numeric, rtol, atol):
            if not raise_exception:
                return False
            worst = np.unravel_index(np.argmax(np.abs(analytic - numeric)), numeric.shape)
            raise GradcheckError(
                f"gradcheck of input {k} {x.aval}",
                f"At {tuple(int(i) for i in worst)} the gradient is {analytic[worst]:.6g}, central "
                f"differences give {numeric[worst]:.6g}.",
                "inputs in float64, away from kinks",
            )
    return True


def _random(rng: np.random.Generator, y: Tensor) -> Any:
    """Normal numbers like ``y``."""
    drawn = rng.normal(size=y.shape)
    return drawn + 1j * rng.normal(size=y.shape) if y.dtype.is_complex else drawn


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
    """The gradient of the real number whose cotangents are ``weights``; of a complex input the
    derivatives by its real and its imaginary part."""
    values = x._value.reshape(-1)
    units = (1.0, 1.0j) if x.dtype.is_complex else (1.0,)
    numeric = np.zeros(values.size, x.dtype.np)

    def weighted() -> float:
        outputs = _outputs(function, tensors)
        return sum(
            float((y.detach().numpy() * np.conj(w)).sum().real)  # type: ignore[attr-defined]
            for y, w in zip(outputs, weights, strict=True)
        )

    for k in range(values.size):
        kept = values[k]
        for unit in units:
            values[k] = kept + eps * unit
            above = weighted()
            values[k] = kept - eps * unit
            below = weighted()
            numeric[k] += unit * (above - below) / (2 * eps)
        values[k] = kept
    return numeric.reshape(x.shape)


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    fast_mode: bool = False,
) -> bool:
    """Compare second derivatives of ``func`` with central differences of its gradients.

    Args:
        func: takes the inputs and returns a tensor or a tuple of tensors.
        inputs: a tensor or a tuple of tensors; those that require grad are checked.
        grad_outputs: cotangents of the outputs; random when ``None``.
        eps, atol, rtol, raise_exception, nondet_tol, fast_mode: as in ``gradcheck``.

    Raises:
        RuntimeError: a second derivative differs (also an ``AssertionError``).

    Example:
        >>> import fusegrad as fg
        >>> x = fg.randn(4, dtype=fg.float64).requires_grad_()
        >>> fg.autograd.gradgradcheck(lambda x: (x * x).sin(), x)
        True
    """
    several = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    count = len(several)
    given = grad_outputs
    if given is None:
        rng = np.random.default_rng(1)
        given = [
            Tensor(stored(_random(rng, y), y.dtype)).requires_grad_()  # type: ignore[attr-defined]
            for y in _outputs(func, several)
        ]
    cotangents = tuple(given) if isinstance(given, (tuple, list)) else (given,)

    def gradients(*operands: Any) -> tuple[Tensor, ...]:
        xs = operands[:count]
        wanted = [x for x in xs if isinstance(x, Tensor) and x.requires_grad]
        outputs = _outputs(func, xs)
        found = grad(outputs, wanted, operands[count:], create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    return gradcheck(
        gradients,
        (*several, *cotangents),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
    )
