"""User-defined differentiable functions: ``Function`` and its context."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import ArgumentTypeError, GradientError, user_site
from ..ir.aval import aval_of
from ..ir.primitive import current_builder
from ..ops import source
from ..tensor import Saved, Tensor, grad_mode, unpack_raw
from ..transform.vjp import Node
from .engine import as_boxed, as_tuple
from .methods import detach
from .modes import no_grad


class _Context:
    """``ctx`` of a ``Function``: what ``forward`` leaves for ``backward``."""

    def __init__(self) -> None:
        self._saved: tuple[Saved | None, ...] = ()
        self._unpack: Callable[[Any], Any] = unpack_raw
        self.needs_input_grad: tuple[bool, ...] = ()
        self._materialize = True
        self._non_differentiable: set[int] = set()
        self._edges: list[Any] = []  # histories of the arguments of ``forward``

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
        return tuple(None if s is None else as_boxed(self._unpack(s)) for s in self._saved)

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
                boxed.append(None if c is None else as_boxed(c))
        results = as_tuple(self.cls.backward(self.ctx, *boxed))
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


class _OnceNode(Node):
    """Stands behind a gradient that cannot be differentiated again."""

    __slots__ = ()

    def pull(self, cotangents: Sequence[Any], unpack: Callable[[Any], Any]) -> list[Any]:
        raise GradientError(
            "a second derivative through a backward marked once_differentiable",
            "trying to differentiate twice a function that was marked with @once_differentiable.",
            "write backward with tensor operations and leave the mark out",
            self.site,
        )


def once_differentiable(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a ``backward`` whose result must not be differentiated again.

    It runs without recording; a second derivative raises instead of being silently zero.

    Example:
        >>> import fusegrad as fg
        >>> class Double(fg.autograd.Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         return x * 2
        ...     @staticmethod
        ...     @fg.autograd.function.once_differentiable
        ...     def backward(ctx, g):
        ...         return g * 2
        >>> x = fg.tensor(1.0, requires_grad=True)
        >>> Double.apply(x).backward(); x.grad.item()
        2.0
    """

    @functools.wraps(function)
    def wrapped(ctx: Any, *grad_outputs: Any) -> Any:
        with no_grad():
            result = function(ctx, *grad_outputs)
        if not grad_mode.enabled:
            return result
        # also by way of what the context saved: PyTorch leaves such terms out without a word
        edges = [*(g._history() for g in grad_outputs if isinstance(g, Tensor)), *ctx._edges]
        found = as_tuple(result)
        avals = [r.aval if isinstance(r, Tensor) else None for r in found]
        node = _OnceNode("once_differentiable", edges, avals, user_site())  # type: ignore[arg-type]
        outputs = []
        for k, r in enumerate(found):
            out = detach(r) if isinstance(r, Tensor) else r
            if isinstance(out, Tensor) and out.dtype.is_differentiable:
                out._edge = (node, k)
            outputs.append(out)
        return tuple(outputs) if isinstance(result, (tuple, list)) else outputs[0]

    return wrapped


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
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Save what ``backward`` needs, when ``forward`` takes no ``ctx``; to be overridden."""

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
        ctx._edges = edges
        ctx.needs_input_grad = tuple(e is not None for e in edges)
        with no_grad():
            if cls.setup_context is Function.setup_context:
                result = cls.forward(ctx, *args)
            else:
                result = cls.forward(*args)
                cls.setup_context(ctx, args, result)
        outputs = as_tuple(result)
        if not (grad_mode.enabled and any(e is not None for e in edges)):
            return result
        node = _FunctionNode(cls.__name__, edges, [aval_of(o._value) for o in outputs], user_site())
        node.cls, node.ctx = cls, ctx
        wrapped = []
        for k, out in enumerate(outputs):
            if id(out) not in ctx._non_differentiable and out.dtype.is_differentiable:
                if any(out is a for a in args):
                    out = detach(out)
                out._edge = (node, k)
            wrapped.append(out)
        return tuple(wrapped) if isinstance(result, (tuple, list)) else wrapped[0]
