"""The backward pass for users: ``backward``, ``grad``, gradient modes, hooks, ``Function``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from .errors import ArgumentTypeError, CaptureError, GradientError, user_site
from .ir.aval import aval_of
from .ir.primitive import current_builder
from .ops import elementwise as ew
from .ops import source
from .tensor import Saved, Tensor, bump_epoch, grad_mode, unpack_raw, unpack_tensor
from .transform.vjp import Node, pull_back


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
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with type(self)():
                return function(*args, **kwargs)

        return wrapped


class no_grad(_Mode):
    """Do not record gradients inside (context manager or decorator)."""

    mode = False


class inference_mode(_Mode):
    """Alias of ``no_grad`` for inference."""

    mode = False


class enable_grad(_Mode):
    """Record gradients inside, even within ``no_grad``."""

    mode = True


def is_grad_enabled() -> bool:
    """Whether gradients are recorded now."""
    return grad_mode.enabled


def _root_cotangent(output: Tensor, gradient: Any, create_graph: bool) -> Any:
    if gradient is None:
        if output.aval.size != 1:
            raise GradientError(
                f"backward of a tensor {output.aval}",
                "grad can be implicitly created only for scalar outputs.",
                "loss.sum().backward(), or pass gradient= of the same shape",
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


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _boxed(cotangent: Any) -> Tensor:
    return cotangent if isinstance(cotangent, Tensor) else Tensor(cotangent)


def _owned(cotangent: Any) -> Tensor:
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
    outputs = _as_tuple(tensors)
    gradients = (None,) * len(outputs) if grad_tensors is None else _as_tuple(grad_tensors)
    wanted = None
    if inputs is not None:
        wanted = {x._history() for x in _as_tuple(inputs)}
    retain = create_graph if retain_graph is None else retain_graph
    found = _run(outputs, gradients, wanted, retain, create_graph)
    for (leaf, _), cotangent in found.items():
        if isinstance(leaf, Tensor):
            accumulate(leaf, cotangent)
        elif inputs is not None:
            for x in _as_tuple(inputs):
                if x._history()[0] is leaf:
                    accumulate(x, cotangent)


def accumulate(leaf: Tensor, cotangent: Any) -> None:
    """Add a cotangent to ``leaf.grad`` after the leaf's hooks."""
    ct = _owned(cotangent)
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
    outs, ins = _as_tuple(outputs), _as_tuple(inputs)
    gradients = (None,) * len(outs) if grad_outputs is None else _as_tuple(grad_outputs)
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
            results.append(_boxed(found[edge]))
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


# --- tensor methods -------------------------------------------------------------------------------
def _backward(
    self: Tensor,
    gradient: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Accumulate the gradients of this tensor into its leaves; see ``autograd.backward``."""
    backward(self, gradient, retain_graph, create_graph, inputs)


def _detach(self: Tensor) -> Tensor:
    """The same memory without history."""
    out = Tensor(self._value, self._storage, self._path)
    out._vseen, out._weak = self._vseen, self._weak
    return out


def _detach_(self: Tensor) -> Tensor:
    """Cut this tensor from its history."""
    self._edge = None
    self._base = None
    self.requires_grad = False
    return self


def _requires_grad_(self: Tensor, requires_grad: bool = True) -> Tensor:
    """Set ``requires_grad`` and return the tensor."""
    self.requires_grad = requires_grad
    return self


def _retain_grad(self: Tensor) -> None:
    """Fill ``.grad`` of this non-leaf in later backward passes."""
    edge = self._history()
    if edge is not None and isinstance(edge[0], Node) and not self._retains:
        self._retains = True

        def keep(cotangent: Any) -> Any:
            self._grad = _owned(cotangent)
            return cotangent

        edge[0].hooks.append((edge[1], keep))


class RemovableHandle:
    """Removes the hook it stands for."""

    def __init__(self, remove: Callable[[], Any]) -> None:
        self.remove = remove

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


def _register_hook(self: Tensor, hook: Callable[[Tensor], Any]) -> RemovableHandle:
    """Call ``hook(grad)`` in backward passes; a returned tensor replaces the gradient."""
    edge = self._history()
    if edge is None:
        raise GradientError(
            "register_hook on a tensor that does not require grad",
            "There will be no gradient to call the hook with.",
        )
    if not isinstance(edge[0], Node):
        hooks = self._hooks = self._hooks or {}
        hooks[id(hook)] = hook
        bump_epoch()
        return RemovableHandle(lambda: hooks.pop(id(hook), None))

    def call(cotangent: Any) -> Any:
        replaced = hook(_boxed(cotangent))
        if replaced is None:
            return cotangent
        return replaced if isinstance(cotangent, Tensor) else replaced._read()

    entry = (edge[1], call)
    edge[0].hooks.append(entry)
    return RemovableHandle(lambda: edge[0].hooks.remove(entry))


def _get_data(self: Tensor) -> Tensor:
    return _detach(self)


def _set_data(self: Tensor, value: Tensor) -> None:
    if current_builder() is not None:
        raise CaptureError(
            "assignment to .data inside a jitted function",
            "It would replace memory that the compiled step refers to.",
            "p.copy_(value) under fg.no_grad()",
        )
    self._value, self._storage, self._path = value._value, value._storage, value._path
    self._key, self._ptr = None, 0
    bump_epoch()


for _name, _function in {
    "backward": _backward,
    "detach": _detach,
    "detach_": _detach_,
    "register_hook": _register_hook,
    "requires_grad_": _requires_grad_,
    "retain_grad": _retain_grad,
}.items():
    setattr(Tensor, _name, _function)
Tensor.data = property(_get_data, _set_data)  # type: ignore[attr-defined]


# --- user-defined functions -----------------------------------------------------------------------
class _Context:
    """``ctx`` of a ``Function``: what ``forward`` leaves for ``backward``."""

    def __init__(self) -> None:
        self._saved: tuple[Saved | None, ...] = ()
        self._unpack: Callable[[Any], Any] = unpack_raw
        self.needs_input_grad: tuple[bool, ...] = ()
        self._materialize = True
        self._non_differentiable: set[int] = set()

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors; ``saved_tensors`` gives them back and checks they were not changed."""
        capture = current_builder()
        self._saved = tuple(
            None
            if t is None
            else Saved(
                t._read(),
                t._history(),
                holder := t._storage if capture is None else t._cell(capture),
                holder.version,
            )
            for t in tensors
        )

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The tensors given to ``save_for_backward``."""
        return tuple(None if s is None else _boxed(self._unpack(s)) for s in self._saved)

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Outputs that have no gradient."""
        self._non_differentiable = {id(t) for t in tensors}

    def set_materialize_grads(self, value: bool) -> None:
        """Whether ``backward`` gets zeros (default) or ``None`` where an output has no gradient."""
        self._materialize = bool(value)


class _FunctionNode(Node):
    __slots__ = ("cls", "ctx")
    cls: type[Function]
    ctx: _Context

    def pull(self, cotangents: Sequence[Any], unpack: Callable[[Any], Any]) -> list[Any]:
        self.ctx._unpack = unpack
        boxed: list[Any] = []
        for c, a in zip(cotangents, self.out_avals, strict=True):
            if c is None and self.ctx._materialize:
                boxed.append(Tensor(source.full(shape=a.shape, dtype=a.dtype, value=0)))
            else:
                boxed.append(None if c is None else _boxed(c))
        results = _as_tuple(self.cls.backward(self.ctx, *boxed))
        if len(results) < len(self.edges):
            raise GradientError(
                f"{self.name}.backward returned {len(results)} gradients",
                f"It must return one per argument of forward ({len(self.edges)}).",
                site=self.site,
            )
        raw = unpack is unpack_raw
        return [
            r._read() if raw and isinstance(r, Tensor) else r for r in results[: len(self.edges)]
        ]

    def free(self) -> None:
        self.freed = True
        self.ctx._saved = ()


class Function:
    """Base of user-defined differentiable functions.

    Example:
        >>> import fusegrad as fg
        >>> class Square(fg.autograd.Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         ctx.save_for_backward(x)
        ...         return x * x
        ...     @staticmethod
        ...     def backward(ctx, g):
        ...         (x,) = ctx.saved_tensors
        ...         return 2 * x * g
        >>> x = fg.tensor(3.0, requires_grad=True)
        >>> Square.apply(x).backward(); x.grad.item()
        6.0
    """

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        """Compute the outputs; to be overridden."""
        raise ArgumentTypeError("a Function without forward", "Define a static forward(ctx, ...).")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Compute the cotangents of the arguments; to be overridden."""
        raise ArgumentTypeError(
            "a Function without backward", "Define a static backward(ctx, ...)."
        )

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run ``forward`` and record the function in the history."""
        ctx = _Context()
        edges = [a._history() if isinstance(a, Tensor) else None for a in args]
        ctx.needs_input_grad = tuple(e is not None for e in edges)
        with no_grad():
            result = cls.forward(ctx, *args)
        outputs = _as_tuple(result)
        if not (grad_mode.enabled and any(e is not None for e in edges)):
            return result
        node = _FunctionNode(cls.__name__, edges, [aval_of(o._value) for o in outputs], user_site())
        node.cls, node.ctx = cls, ctx
        wrapped = []
        for k, out in enumerate(outputs):
            if id(out) not in ctx._non_differentiable and out.dtype.is_differentiable:
                if any(out is a for a in args):
                    out = _detach(out)
                out._edge = (node, k)
            wrapped.append(out)
        return tuple(wrapped) if isinstance(result, (tuple, list)) else wrapped[0]
