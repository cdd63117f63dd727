"""``state_dict`` and ``load_state_dict`` of modules.

In: the registries of a module tree, or a mapping of dotted names to tensors or arrays. Out: an
ordered dictionary with PyTorch's keys, or values copied into the existing tensors, so that
optimizers and compiled steps keep their references.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..autograd import RemovableHandle, no_grad
from ..errors import ArgumentTypeError, StateDictError
from ..tensor import Tensor
from .hooks import Hooks, add_hook
from .parameter import Parameter

EXTRA_STATE = "_extra_state"


class _Keys(NamedTuple):
    missing_keys: list[str]
    unexpected_keys: list[str]


class IncompatibleKeys(_Keys):
    """Keys that ``load_state_dict(strict=False)`` could not use."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"_IncompatibleKeys(missing_keys={self.missing_keys}, "
            f"unexpected_keys={self.unexpected_keys})"
        )


class _Loader:
    """Collects what goes wrong while values are copied into a module tree."""

    def __init__(self, state: Mapping[str, Any], strict: bool, assign: bool) -> None:
        self.state = state
        self.strict = strict
        self.assign = assign
        self.missing: list[str] = []
        self.unexpected: list[str] = []
        self.errors: list[str] = []

    def load(self, module: Any, prefix: str) -> None:
        """Copy into ``module`` and everything below it."""
        for hook, _ in list(module._load_state_dict_pre_hooks.values()):
            hook(
                module,
                self.state,
                prefix,
                {},
                self.strict,
                self.missing,
                self.unexpected,
                self.errors,
            )
        own = set(_local_names(module))
        for name, current in _local_items(module):
            key = prefix + name
            if key not in self.state:
                self.missing.append(key)
            else:
                self._copy(module, name, current, key)
        if type(module).set_extra_state is not StateDictMixin.set_extra_state:
            if prefix + EXTRA_STATE in self.state:
                module.set_extra_state(self.state[prefix + EXTRA_STATE])
            else:
                self.missing.append(prefix + EXTRA_STATE)
        else:
            own.discard(EXTRA_STATE)
        for key in self.state:
            if key.startswith(prefix):
                first, *rest = key[len(prefix) :].split(".")
                if first not in module._modules and (rest or first not in own):
                    self.unexpected.append(key)
        for name, child in module._modules.items():
            if child is not None:
                self.load(child, f"{prefix}{name}.")
        incompatible = IncompatibleKeys(self.missing, self.unexpected)
        for hook, _ in list(module._load_state_dict_post_hooks.values()):
            hook(module, incompatible)

    def _copy(self, module: Any, name: str, current: Tensor, key: str) -> None:
        value = self.state[key]
        array = value if isinstance(value, np.ndarray) else getattr(value, "_value", None)
        if array is None:
            self.errors.append(
                f'While copying the parameter named "{key}", expected a tensor '
                f"or array but received {type(value)}."
            )
            return
        if tuple(array.shape) != tuple(current.shape):
            self.errors.append(
                f"size mismatch for {key}: copying a param with shape {list(array.shape)} from "
                f"checkpoint, the shape in current model is {list(current.shape)}."
            )
            return
        if self.assign:
            tensor = value if isinstance(value, Tensor) else Tensor(np.array(value))
            if isinstance(current, Parameter) and not isinstance(tensor, Parameter):
                tensor = Parameter(tensor, current._requires_grad)
            setattr(module, name, tensor)
            return
        with no_grad():
            current.copy_(value)  # type: ignore[attr-defined]


def _local_items(module: Any) -> list[tuple[str, Any]]:
    hidden = module._non_persistent_buffers_set
    return [
        (name, value)
        for registry in (module._parameters, module._buffers)
        for name, value in registry.items()
        if value is not None and name not in hidden
    ]


def _local_names(module: Any) -> list[str]:
    return [name for name, _ in _local_items(module)] + [EXTRA_STATE]


class StateDictMixin:
    """The part of ``Module`` that saves and loads."""

    _modules: dict[str, Any]
    _state_dict_hooks: Hooks
    _state_dict_pre_hooks: Hooks
    _load_state_dict_pre_hooks: Hooks
    _load_state_dict_post_hooks: Hooks
    _version: int = 1

    def get_extra_state(self) -> Any:
        """Extra picklable state for ``state_dict``; to be overridden with ``set_extra_state``."""
        raise NotImplementedError("a module with extra state defines get_extra_state")

    def set_extra_state(self, state: Any) -> None:
        """Take back what ``get_extra_state`` returned; to be overridden."""
        raise NotImplementedError("a module with extra state defines set_extra_state")

    def state_dict(
        self, *, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> Any:
        """All parameters and persistent buffers by dotted name.

        Args:
            destination: dictionary to fill; a new one when ``None``.
            prefix: put before every name.
            keep_vars: return the tensors themselves instead of detached ones.

        Returns:
            an ``OrderedDict`` whose tensors share memory with the module.
        """
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = {"version": self._version}
        for hook, _ in list(self._state_dict_pre_hooks.values()):
            hook(self, prefix, keep_vars)
        for name, value in _local_items(self):
            destination[prefix + name] = value if keep_vars else value.detach()
        if type(self).get_extra_state is not StateDictMixin.get_extra_state:
            destination[prefix + EXTRA_STATE] = self.get_extra_state()
        for name, child in self._modules.items():
            if child is not None:
                child.state_dict(
                    destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars
                )
        for hook, _ in list(self._state_dict_hooks.values()):
            hook(self, destination, prefix, {})
        return destination

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy values into the parameters and buffers.

        Args:
            state_dict: tensors or arrays by dotted name.
            strict: raise unless the keys match exactly.
            assign: use the given tensors instead of copying.

        Raises:
            RuntimeError: shapes differ, or (``strict``) keys are missing or unexpected.
        """
        if not isinstance(state_dict, Mapping):
            raise ArgumentTypeError(
                f"load_state_dict of a {type(state_dict).__name__}",
                "Expected a dictionary of tensors.",
            )
        loader = _Loader(OrderedDict(state_dict), strict, assign)
        loader.load(self, "")
        errors = list(loader.errors)
        if strict:
            for label, keys in (("Missing", loader.missing), ("Unexpected", loader.unexpected)):
                if keys:
                    listed = ", ".join(f'"{key}"' for key in keys)
                    errors.append(f"{label} key(s) in state_dict: {listed}. ")
        if errors:
            raise StateDictError(
                f"Error(s) in loading state_dict for {type(self).__name__}:\n\t"
                + "\n\t".join(errors),
                hint="build the model as it was when saved, or pass strict=False for extra keys",
            )
        return IncompatibleKeys(loader.missing, loader.unexpected)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, prefix, keep_vars)`` before saving."""
        return add_hook(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, metadata)`` after saving."""
        return add_hook(self._state_dict_hooks, hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, ...)`` before loading."""
        return add_hook(self._load_state_dict_pre_hooks, hook)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, incompatible_keys)`` after loading."""
        return add_hook(self._load_state_dict_post_hooks, hook)
