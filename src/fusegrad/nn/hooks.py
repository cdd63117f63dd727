"""Hooks of modules: removable handles, and calls wrapped by forward and backward hooks.

In: a module with registered hooks and the arguments of a call. Out: the result after every hook
had its turn. Backward hooks sit on identity functions around the inputs and outputs of the call.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from ..autograd import Function, RemovableHandle
from ..tensor import Tensor, bump_epoch

_ids = itertools.count()

Hooks = OrderedDict[int, tuple[Callable[..., Any], bool]]


def add_hook(
    hooks: Hooks, hook: Callable[..., Any], flag: bool = False, prepend: bool = False
) -> RemovableHandle:
    """Register ``hook`` with an option and return the handle that removes it."""
    key = next(_ids)
    hooks[key] = (hook, flag)
    if prepend:
        hooks.move_to_end(key, last=False)
    bump_epoch()

    def remove() -> None:
        if hooks.pop(key, None) is not None:
            bump_epoch()

    return RemovableHandle(remove)


class _Tap(Function):
    """Identity whose backward pass hands the gradients to a function that may replace them."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        ctx.tap = args[0]
        return tuple(args[1:])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        return (None, *ctx.tap(grad_outputs))


def _tapped(values: tuple[Any, ...], tap: Callable[..., Any]) -> tuple[Any, ...]:
    """Route the tensors among ``values`` that have a gradient through a ``_Tap``."""
    places = [k for k, v in enumerate(values) if isinstance(v, Tensor) and v.requires_grad]
    if not places:
        return values

    def spread(grads: tuple[Any, ...]) -> tuple[Any, ...]:
        wide: list[Any] = [None] * len(values)
        for place, grad in zip(places, grads, strict=True):
            wide[place] = grad
        result = tap(tuple(wide))
        return tuple(result[place] for place in places)

    through = _Tap.apply(spread, *[values[k] for k in places])
    out = list(values)
    for place, value in zip(places, through, strict=True):
        out[place] = value
    return tuple(out)


class BackwardCall:
    """One call of a module with full backward hooks: remembers the gradient of its output."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.grad_output: tuple[Any, ...] | None = None
        self.has_input = False

    def inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The positional arguments, with the hooks called once their gradients are known."""
        self.has_input = any(isinstance(a, Tensor) and a.requires_grad for a in args)
        return _tapped(args, self._input_grads)

    def outputs(self, result: Any) -> Any:
        """The result, with the pre-hooks called once its gradient is known."""
        if isinstance(result, Tensor):
            return _tapped((result,), self._output_grads)[0]
        if isinstance(result, tuple):
            return _tapped(result, self._output_grads)
        return result

    def _output_grads(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook, _ in list(self.module._backward_pre_hooks.values()):
            replaced = hook(self.module, grads)
            if replaced is not None:
                grads = replaced if isinstance(replaced, tuple) else (replaced,)
        self.grad_output = grads
        if not self.has_input:
            for hook, _ in list(self.module._backward_hooks.values()):
                hook(self.module, (), grads)
        return grads

    def _input_grads(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook, _ in list(self.module._backward_hooks.values()):
            replaced = hook(self.module, grads, self.grad_output)
            if replaced is not None:
                grads = replaced if isinstance(replaced, tuple) else (replaced,)
        return grads


def call_with_hooks(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``module.forward`` between its hooks, in PyTorch's order."""
    for hook, with_kwargs in list(module._forward_pre_hooks.values()):
        if with_kwargs:
            replaced = hook(module, args, kwargs)
            if replaced is not None:
                args, kwargs = replaced
        else:
            replaced = hook(module, args)
            if replaced is not None:
                args = replaced if isinstance(replaced, tuple) else (replaced,)
    backward = None
    if module._backward_hooks or module._backward_pre_hooks:
        backward = BackwardCall(module)
        args = backward.inputs(args)
    result = module.forward(*args, **kwargs)
    for hook, with_kwargs in list(module._forward_hooks.values()):
        replaced = hook(module, args, kwargs, result) if with_kwargs else hook(module, args, result)
        if replaced is not None:
            result = replaced
    return result if backward is None else backward.outputs(result)
