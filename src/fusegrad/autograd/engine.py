"""The backward pass: ``backward`` accumulates into leaves, ``grad`` returns gradients."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from ..errors import GradientError, user_site
from ..ir.primitive import current_builder
from ..ops import elementwise as ew
from ..ops import source
from ..tensor import Tensor, grad_mode, unpack_raw, unpack_tensor
from ..transform.vjp import pull_back
from .modes import no_grad


def _root_cotangent(output: Tensor, gradient: Any, create_graph: bool) -> Any:
    if gradient is None:
        if output.aval.size != 1:
            raise GradientError(
                f"backward of a tensor {output.aval}",
                "grad can be implicitly created only for scalar outputs.",
                "loss.sum().backward(), or pass gradient= of the same shape",
            )
        if output.dtype.is_complex:
            raise GradientError(
                f"backward of a tensor {output.aval}",
                "grad can be implicitly created only for real scalar outputs but got "
                f"{output.dtype}.",
                "loss.real.backward(), loss.abs().backward(), or pass gradient=",
            )
        builder = current_builder()
        with builder.at(user_site()) if builder is not None else nullcontext():
            raw = source.full(shape=output.aval.shape, dtype=output.dtype, value=1)
        return Tensor(raw) if create_graph else raw
    gradient = gradient if isinstance(gradient, Tensor) else Tensor(np.asarray(gradient))
    if gradient.shape != output.shape:
        raise GradientError(
            f"gradient {gradient.aval} for an output {output.aval}",
            "Mismatch in shape: the gradient must have the shape of the output.",
        )
    if gradient.dtype is not output.dtype:
        gradient = gradient.to(output.dtype)  # type: ignore[attr-defined]
    return gradient if create_graph else gradient._read()


def _run(
    outputs: Sequence[Tensor],
    gradients: Sequence[Any],
    wanted: set[Any] | None,
    retain: bool,
    create_graph: bool,
) -> dict[Any, Any]:
    roots = []
    for output, gradient in zip(outputs, gradients, strict=True):
        edge = output._history()
        if edge is None:
            raise GradientError(
                f"backward of a tensor {output.aval} without history",
                "The tensor does not require grad and does not have a grad_fn.",
                "set requires_grad=True on a parameter, or leave the no_grad block",
            )
        roots.append((edge, _root_cotangent(output, gradient, create_graph)))
    previous, grad_mode.enabled = grad_mode.enabled, create_graph
    try:
        return pull_back(roots, unpack_tensor if create_graph else unpack_raw, wanted, retain)
    finally:
        grad_mode.enabled = previous


def as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def as_boxed(cotangent: Any) -> Tensor:
    return cotangent if isinstance(cotangent, Tensor) else Tensor(cotangent)


def as_owned(cotangent: Any) -> Tensor:
    """A gradient tensor with memory of its own (rules may return views and shared arrays)."""
    if isinstance(cotangent, Tensor):
        return cotangent
    if isinstance(cotangent, np.ndarray):
        return Tensor(np.array(cotangent, order="C"))
    return Tensor(cotangent)


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Accumulate gradients of ``tensors`` into the ``.grad`` of the leaves.

    Args:
        tensors: one or several outputs; scalars unless ``grad_tensors`` is given.
        grad_tensors: cotangents of the outputs, same shapes.
        retain_graph: keep saved values for another pass (default: ``create_graph``).
        create_graph: record the backward pass itself, for higher derivatives.
        inputs: leaves to accumulate into; all when ``None``.

    Raises:
        RuntimeError: no history, non-scalar output without gradient, freed graph.
    """
    outputs = as_tuple(tensors)
    gradients = (None,) * len(outputs) if grad_tensors is None else as_tuple(grad_tensors)
    wanted = None
    if inputs is not None:
        wanted = {x._history() for x in as_tuple(inputs)}
    retain = create_graph if retain_graph is None else retain_graph
    found = _run(outputs, gradients, wanted, retain, create_graph)
    for (leaf, _), cotangent in found.items():
        if isinstance(leaf, Tensor):
            accumulate(leaf, cotangent)
        elif inputs is not None:
            for x in as_tuple(inputs):
                if x._history()[0] is leaf:
                    accumulate(x, cotangent)


def accumulate(leaf: Tensor, cotangent: Any) -> None:
    """Add a cotangent to ``leaf.grad`` after the leaf's hooks."""
    ct = as_owned(cotangent)
    for hook in list((leaf._hooks or {}).values()):
        replaced = hook(ct)
        ct = ct if replaced is None else replaced
    current = leaf.grad
    if current is None:
        leaf.grad = ct
    elif ct._history() is not None or current._history() is not None:
        leaf.grad = ew.add(current, ct)
    else:
        with no_grad():
            current._assign(ew.add(current, ct), "gradient accumulation")
    for after in list((leaf._post_hooks or {}).values()):
        after(leaf)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """Gradients of ``outputs`` by ``inputs``, without touching ``.grad``.

    Returns:
        one tensor per input, of its shape; ``None`` for an unused input if ``allow_unused``.

    Raises:
        RuntimeError: an input is unused and ``allow_unused`` is not set, or has no history.
    """
    outs, ins = as_tuple(outputs), as_tuple(inputs)
    gradients = (None,) * len(outs) if grad_outputs is None else as_tuple(grad_outputs)
    edges = [x._history() for x in ins]
    for x, edge in zip(ins, edges, strict=True):
        if edge is None:
            raise GradientError(
                f"grad by a tensor {x.aval} that does not require grad",
                "One of the inputs has no history and is no leaf that requires grad.",
                "x.requires_grad_() before it is used",
            )
    retain = create_graph if retain_graph is None else retain_graph
    found = _run(outs, gradients, set(edges), retain, create_graph)
    results: list[Any] = []
    for x, edge in zip(ins, edges, strict=True):
        if edge in found:
            results.append(as_boxed(found[edge]))
        elif materialize_grads:
            results.append(Tensor(source.full(shape=x.aval.shape, dtype=x.dtype, value=0)))
        elif allow_unused:
            results.append(None)
        else:
            raise GradientError(
                f"grad by an input {x.aval} that the outputs do not depend on",
                "One of the differentiated tensors appears to not have been used in the graph.",
                "allow_unused=True",
            )
    return tuple(results)
