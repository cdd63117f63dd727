"""Methods of ``Tensor`` about its history: ``backward``, ``detach``, hooks, ``data``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import CaptureError, GradientError
from ..ir.primitive import current_builder
from ..tensor import Tensor, bump_epoch
from ..transform.vjp import Node
from .engine import as_boxed, as_owned, backward


def _backward(
    self: Tensor,
    gradient: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Accumulate the gradients of this tensor into its leaves; see ``autograd.backward``."""
    backward(self, gradient, retain_graph, create_graph, inputs)


def detach(self: Tensor) -> Tensor:
    """The same memory without history."""
    out = Tensor(self._value, self._storage, self._path)
    out._vseen, out._weak = self._vseen, self._weak
    root = self._root()
    out._conjugate = (self if root is None else root)._conjugate
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
            self._grad = as_owned(cotangent)
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
        replaced = hook(as_boxed(cotangent))
        if replaced is None:
            return cotangent
        return replaced if isinstance(cotangent, Tensor) else replaced._read()

    entry = (edge[1], call)
    edge[0].hooks.append(entry)
    return RemovableHandle(lambda: edge[0].hooks.remove(entry))


def _register_post_hook(self: Tensor, hook: Callable[[Tensor], Any]) -> RemovableHandle:
    """Call ``hook(tensor)`` after a backward pass has added to this leaf's ``.grad``."""
    if not self.is_leaf or not self._requires_grad:
        raise GradientError(
            f"register_post_accumulate_grad_hook on {self.aval}",
            "post accumulate grad hooks cannot be registered on non-leaf tensors.",
            "register_hook",
        )
    hooks = self._post_hooks = self._post_hooks or {}
    hooks[id(hook)] = hook
    bump_epoch()
    return RemovableHandle(lambda: hooks.pop(id(hook), None))


def _version(self: Tensor) -> int:
    capture = current_builder()
    return self._storage.version if capture is None else int(self._cell(capture).version)


def _get_data(self: Tensor) -> Tensor:
    return detach(self)


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
    "detach": detach,
    "detach_": _detach_,
    "register_hook": _register_hook,
    "register_post_accumulate_grad_hook": _register_post_hook,
    "requires_grad_": _requires_grad_,
    "retain_grad": _retain_grad,
}.items():
    setattr(Tensor, _name, _function)
Tensor._version = property(_version)  # type: ignore[attr-defined]
Tensor.retains_grad = property(lambda self: self._retains)  # type: ignore[attr-defined]
Tensor.data = property(_get_data, _set_data)  # type: ignore[attr-defined]
