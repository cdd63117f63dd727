"""Jacobians, Hessians and their products with vectors (``torch.autograd.functional``).

All are compositions of reverse passes, so they run eagerly and inside a jitted function, and
``create_graph=True`` makes them differentiable again. Forward products come from pulling back
twice: the first pull is linear in its cotangent, and its derivative by the cotangent is J v.

Arguments common to all: ``func`` takes tensors and returns a tensor or a tuple of them; ``inputs``
is a tensor or a tuple; ``create_graph`` records the result; ``strict`` raises where an output does
not depend on an input instead of giving zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import ArgumentTypeError, GradientError
from ..functions.shape import stack
from ..ops import movement, source
from ..tensor import Tensor
from .engine import grad
from .modes import enable_grad

Func = Callable[..., Any]


def _prepared(name: str, inputs: Any, create_graph: bool) -> tuple[Tensor, ...]:
    """Inputs that require grad: the given ones when the result is to be recorded, else copies."""
    several = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    for x in several:
        if not isinstance(x, Tensor):
            raise ArgumentTypeError(
                f"{name} got an input of type {type(x).__name__}", "The inputs must be tensors."
            )
    return tuple(
        x if create_graph and x.requires_grad else x.detach().requires_grad_()  # type: ignore[attr-defined]
        for x in several
    )


def _called(name: str, func: Func, inputs: Sequence[Tensor], strict: bool) -> tuple[Tensor, ...]:
    found = func(*inputs)
    outputs = tuple(found) if isinstance(found, (tuple, list)) else (found,)
    for y in outputs:
        if not isinstance(y, Tensor):
            raise ArgumentTypeError(
                f"{name} of a function that returned {type(y).__name__}",
                "The function given should return a tensor or a tuple of tensors.",
            )
        if strict and not y.requires_grad:
            raise GradientError(
                f"{name} with strict=True: an output {y.aval} is independent of the inputs",
                "Output of the user-provided function does not require gradients.",
                "strict=False, which gives zeros",
            )
    return outputs


def _vectors(name: str, v: Any, like: Sequence[Tensor], what: str) -> list[Tensor]:
    """One vector per tensor of ``like``, of its shape; a single 1 where it may be left out."""
    if v is None:
        if len(like) != 1 or like[0].aval.size != 1:
            raise GradientError(
                f"{name} without v",
                f"v can only be left out for one {what} with a single element.",
                f"v of the shape of the {what}",
            )
        return [_full(like[0], 1)]
    vectors = list(v) if isinstance(v, (tuple, list)) else [v]
    if [x.aval.shape for x in vectors] != [x.aval.shape for x in like]:
        raise GradientError(
            f"{name} with v of shapes {[list(x.aval.shape) for x in vectors]}",
            f"v has the shapes of each {what}: {[list(x.aval.shape) for x in like]}.",
        )
    return vectors


def _full(x: Tensor, value: int) -> Tensor:
    return Tensor(source.full(shape=x.aval.shape, dtype=x.dtype, value=value))


def _pull(
    name: str,
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    vectors: Sequence[Tensor],
    create_graph: bool,
    strict: bool,
) -> list[Tensor]:
    """Gradients by the inputs; zeros where there is no path."""
    roots = [(y, v) for y, v in zip(outputs, vectors, strict=True) if y.requires_grad]
    found: Sequence[Any] = [None] * len(inputs)
    if roots:
        ys, vs = zip(*roots, strict=True)
        found = grad(
            ys, inputs, vs, retain_graph=True, create_graph=create_graph, allow_unused=True
        )
    for k, g in enumerate(found):
        if strict and (g is None or (create_graph and not g.requires_grad)):
            raise GradientError(
                f"{name} with strict=True: no path from an output to input {k} {inputs[k].aval}",
                "The result does not depend on that input.",
                "strict=False, which gives zeros",
            )
    return [_full(x, 0) if g is None else g for x, g in zip(inputs, found, strict=True)]


def _released(results: Sequence[Tensor], single: bool, create_graph: bool) -> Any:
    kept = [x if create_graph else x.detach() for x in results]  # type: ignore[attr-defined]
    return kept[0] if single else tuple(kept)


def _is_one(value: Any) -> bool:
    return not isinstance(value, (tuple, list))


def vjp(
    func: Func, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The outputs of ``func`` and the product of ``v`` with its Jacobian.

    Args:
        v: of the shapes of the outputs; may be left out for one output with a single element.

    Returns:
        ``(outputs, vjp)``, the second of the shapes of the inputs.

    Raises:
        RuntimeError: ``v`` of other shapes, or missing; see ``strict``.

    Example:
        >>> import fusegrad as fg
        >>> value, g = vjp(lambda x: (x * x).sum(), fg.tensor([1.0, 2.0]))
        >>> value.item(), g.tolist()
        (5.0, [2.0, 4.0])
    """
    with enable_grad():
        xs = _prepared("vjp", inputs, create_graph)
        found = func(*xs)
        outputs = _called("vjp", lambda *_: found, xs, strict)
        vectors = _vectors("vjp", v, outputs, "output")
        pulled = _pull("vjp", outputs, xs, vectors, create_graph, strict)
    values = _released(outputs, _is_one(found), create_graph)
    return values, _released(pulled, _is_one(inputs), create_graph)


def jvp(
    func: Func, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The outputs of ``func`` and the product of its Jacobian with ``v``.

    Args:
        v: of the shapes of the inputs; may be left out for one input with a single element.

    Returns:
        ``(outputs, jvp)``, the second of the shapes of the outputs.

    Raises:
        RuntimeError: ``v`` of other shapes, or missing; see ``strict``.

    Example:
        >>> import fusegrad as fg
        >>> _, tangent = jvp(lambda x: x**2, fg.tensor([1.0, 2.0]), fg.tensor([1.0, 10.0]))
        >>> tangent.tolist()
        [2.0, 40.0]
    """
    with enable_grad():
        xs = _prepared("jvp", inputs, create_graph)
        vectors = _vectors("jvp", v, xs, "input")
        found = func(*xs)
        outputs = _called("jvp", lambda *_: found, xs, strict)
        ghosts = [_full(y, 0).requires_grad_() for y in outputs]  # type: ignore[attr-defined]
        pulled = _pull("jvp", outputs, xs, ghosts, True, False)
        pushed = _pull("jvp", pulled, ghosts, vectors, create_graph, strict)
    values = _released(outputs, _is_one(found), create_graph)
    return values, _released(pushed, _is_one(found), create_graph)


def jacobian(
    func: Func,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The Jacobian of ``func``: one tensor of shape ``output.shape + input.shape`` per pair.

    One reverse pass per element of the outputs; ``vectorize`` and ``strategy`` are accepted and
    change nothing in the result.

    Returns:
        a tensor; a tuple over the inputs, the outputs, or both (outputs first) where these are
        tuples.

    Raises:
        RuntimeError: see ``strict``.

    Example:
        >>> import fusegrad as fg
        >>> jacobian(lambda x: x**2, fg.tensor([1.0, 2.0])).tolist()
        [[2.0, 0.0], [0.0, 4.0]]
    """
    with enable_grad():
        xs = _prepared("jacobian", inputs, create_graph)
        found = func(*xs)
        outputs = _called("jacobian", lambda *_: found, xs, strict)
        table = [_rows(y, xs, create_graph, strict) for y in outputs]
    rows = [_released(row, _is_one(inputs), create_graph) for row in table]
    return rows[0] if _is_one(found) else tuple(rows)


def _rows(
    output: Tensor, inputs: Sequence[Tensor], create_graph: bool, strict: bool
) -> list[Tensor]:
    """The Jacobians of one output by each input."""
    count = output.aval.size
    flat = movement.reshape(output, shape=(count,))
    pulled = []
    for k in range(count):
        element = flat[k]
        pulled.append(
            _pull("jacobian", [element], inputs, [_full(element, 1)], create_graph, strict)
        )
    results = []
    for j, x in enumerate(inputs):
        shape = (*output.aval.shape, *x.aval.shape)
        rows = stack([row[j] for row in pulled]) if count else _full(x, 0)[None][:0]
        results.append(movement.reshape(rows, shape=shape))
    return results


def hessian(
    func: Func,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The Hessian of a scalar function: one block per pair of inputs.

    Returns:
        a tensor of shape ``input.shape + input.shape``; a tuple of tuples for a tuple of inputs.

    Raises:
        RuntimeError: the function does not return one element.

    Example:
        >>> import fusegrad as fg
        >>> hessian(lambda x: (x**3).sum(), fg.tensor([1.0, 2.0])).tolist()
        [[6.0, 0.0], [0.0, 12.0]]
    """
    several = (inputs,) if _is_one(inputs) else tuple(inputs)

    def gradient(*xs: Tensor) -> tuple[Tensor, ...]:
        outputs = _called("hessian", func, xs, strict)
        _require_scalar("hessian", outputs)
        return tuple(_pull("hessian", outputs, xs, [_full(outputs[0], 1)], True, strict))

    table = jacobian(gradient, several, create_graph, strict)
    return table[0][0] if _is_one(inputs) else table


def _require_scalar(name: str, outputs: Sequence[Tensor]) -> None:
    if len(outputs) != 1 or outputs[0].aval.size != 1:
        raise GradientError(
            f"{name} of a function with outputs {[str(y.aval) for y in outputs]}",
            "The function given should return a single tensor with a single element.",
            "sum the outputs, or take the jacobian of the gradient",
        )


def vhp(
    func: Func, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The value of a scalar function and the product of ``v`` with its Hessian.

    Args:
        v: of the shapes of the inputs; may be left out for one input with a single element.

    Raises:
        RuntimeError: the function does not return one element, or ``v`` of other shapes.

    Example:
        >>> import fusegrad as fg
        >>> _, product = vhp(lambda x: (x**3).sum(), fg.tensor([1.0, 2.0]), fg.ones(2))
        >>> product.tolist()
        [6.0, 12.0]
    """
    return _second("vhp", func, inputs, v, create_graph, strict)


def hvp(
    func: Func, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The value of a scalar function and the product of its Hessian with ``v``.

    A Hessian is symmetric, so this is ``vhp``.

    Raises:
        RuntimeError: the function does not return one element, or ``v`` of other shapes.

    Example:
        >>> import fusegrad as fg
        >>> _, product = hvp(lambda x: (x**3).sum(), fg.tensor([1.0, 2.0]), fg.ones(2))
        >>> product.tolist()
        [6.0, 12.0]
    """
    return _second("hvp", func, inputs, v, create_graph, strict)


def _second(
    name: str, func: Func, inputs: Any, v: Any, create_graph: bool, strict: bool
) -> tuple[Any, Any]:
    with enable_grad():
        xs = _prepared(name, inputs, create_graph)
        vectors = _vectors(name, v, xs, "input")
        outputs = _called(name, func, xs, strict)
        _require_scalar(name, outputs)
        slopes = _pull(name, outputs, xs, [_full(outputs[0], 1)], True, strict)
        products = _pull(name, slopes, xs, vectors, create_graph, strict)
    value = _released(outputs, True, create_graph)
    return value, _released(products, _is_one(inputs), create_graph)


__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]
