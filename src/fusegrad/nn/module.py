"""Module: attributes that are parameters, buffers and submodules, and calls that jit can guard.

In: assignments and calls of the user. Out: registries that ``traverse.py`` walks and
``statedict.py`` saves; during a capture a structural snapshot, so that a later change of mode,
parameters or options means a new trace. Next: ``traverse.py``, ``statedict.py``, ``hooks.py``.
"""

from __future__ import annotations

import types
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from ..autograd import RemovableHandle, no_grad
from ..errors import ArgumentTypeError, CaptureError
from ..ir.primitive import current_builder
from ..tensor import Tensor, bump_epoch
from ..trace.capture import Capture
from .hooks import Hooks, add_hook, call_with_hooks
from .parameter import Buffer, Parameter
from .statedict import StateDictMixin
from .traverse import TraverseMixin

_SIMPLE = (bool, int, float, str, type(None))
_CODE = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, type)
_REGISTRIES = (
    "_parameters", "_buffers", "_modules", "_forward_hooks", "_forward_pre_hooks",
    "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks", "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks",
)  # fmt: skip
_INTERNAL = frozenset((*_REGISTRIES, "_non_persistent_buffers_set"))


class Same:
    """Holds an object and compares by identity, so that a snapshot cannot confuse reused ids."""

    __slots__ = ("target",)

    def __init__(self, target: Any) -> None:
        self.target = target

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.target is other.target

    def __hash__(self) -> int:
        return id(self.target)


def _is_simple(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(_is_simple(v) for v in value)
    return isinstance(value, _SIMPLE)


def _equal(a: Any, b: Any) -> bool:
    return a is b or (_is_simple(a) and type(a) is type(b) and a == b)


def _kept(name: str, buffer: Any, value: Any) -> Any:
    """While traced a new value of a buffer is written into its memory, so that it is kept."""
    if value is None or value._storage.owner is None or value is buffer:
        return value
    if buffer is None or buffer.aval != value.aval or value.requires_grad:
        raise CaptureError(
            f"the buffer {name!r} replaced by a traced tensor {value.aval}",
            "A compiled step writes new values of a buffer into the memory of the old one, which "
            "must have the same shape and dtype and no gradient history.",
            f"register {name!r} with its final shape and assign value.detach()",
        )
    with no_grad():
        return buffer._assign(value, "buffer assignment")


class Module(TraverseMixin, StateDictMixin):
    """Base of all layers and models; subclass it, assign parts, define ``forward``.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> class Twice(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.inner = nn.Linear(2, 2)
        ...     def forward(self, x):
        ...         return self.inner(self.inner(x))
        >>> Twice()(fg.ones(1, 2)).shape
        fusegrad.Size([1, 2])
    """

    training: bool
    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _modules: dict[str, Any]
    _non_persistent_buffers_set: set[str]
    _forward_hooks: Hooks
    _forward_pre_hooks: Hooks
    _backward_hooks: Hooks
    _backward_pre_hooks: Hooks

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args or kwargs:
            given = args[0] if args else next(iter(kwargs))
            raise ArgumentTypeError(
                f"{type(self).__name__}.__init__ passed {given!r} to Module.__init__",
                "Module.__init__ takes no arguments.",
                "super().__init__()",
            )
        self.__dict__["training"] = True
        for name in _REGISTRIES:
            self.__dict__[name] = OrderedDict()
        self.__dict__["_non_persistent_buffers_set"] = set()

    # --- calls ----------------------------------------------------------------------------------
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output; to be overridden."""
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        builder = current_builder()
        if builder is not None and isinstance(builder, Capture):
            builder.guard("module", self, self._structure)
        state = self.__dict__
        if (
            state["_forward_hooks"]
            or state["_forward_pre_hooks"]
            or state["_backward_hooks"]
            or state["_backward_pre_hooks"]
        ):
            return call_with_hooks(self, args, kwargs)
        return self.forward(*args, **kwargs)

    def _structure(self) -> tuple[Any, ...]:
        """A snapshot of everything a trace of ``forward`` bakes in, comparable by ``==``."""
        simple, code = [], []
        for name, value in self.__dict__.items():
            if name in _INTERNAL:
                continue
            if _is_simple(value):
                simple.append((name, type(value).__name__, value))
            elif isinstance(value, _CODE):
                code.append((name, Same(value)))
        parts = tuple(
            (name, None if part is None else Same(part))
            for registry in (self._parameters, self._buffers, self._modules)
            for name, part in registry.items()
        )
        hooks = tuple(
            Same(hook)
            for registry in (
                self._forward_hooks,
                self._forward_pre_hooks,
                self._backward_hooks,
                self._backward_pre_hooks,
            )
            for hook, _ in registry.values()
        )
        return (Same(type(self)), tuple(simple), tuple(code), parts, hooks)

    # --- attributes -----------------------------------------------------------------------------
    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            self._discard(name, "_buffers", "_modules")
            self.register_parameter(name, value)
            return
        state = self.__dict__
        if isinstance(value, Module):
            self._require_init(name, "_modules")
            self._discard(name, "_buffers", "_parameters")
            self._put("_modules", name, value)
            return
        if "_parameters" in state and name in state["_parameters"]:
            if value is not None:
                raise ArgumentTypeError(
                    f"assigned a {type(value).__name__} to the parameter {name!r}",
                    "A registered parameter can only be replaced by a Parameter or None.",
                    f"nn.Parameter(value), or self.{name}.data = value",
                )
            self._put("_parameters", name, None)
            return
        if "_modules" in state and name in state["_modules"]:
            if value is not None:
                raise ArgumentTypeError(
                    f"assigned a {type(value).__name__} to the submodule {name!r}",
                    "A registered submodule can only be replaced by a Module or None.",
                )
            self._put("_modules", name, None)
            return
        buffers = state.get("_buffers", {})
        if isinstance(value, Buffer):
            self._require_init(name, "_buffers")
            self.register_buffer(name, value, getattr(value, "persistent", True))
        elif name in buffers:
            if value is not None and not isinstance(value, Tensor):
                raise ArgumentTypeError(
                    f"assigned a {type(value).__name__} to the buffer {name!r}",
                    "A registered buffer can only be replaced by a Tensor or None.",
                )
            self._put("_buffers", name, _kept(name, buffers[name], value))
        else:
            missing = name not in state
            if missing or not _equal(state[name], value):
                object.__setattr__(self, name, value)
                if _is_simple(value) or isinstance(value, _CODE) or not missing:
                    bump_epoch()

    def __getattr__(self, name: str) -> Any:
        for registry in ("_parameters", "_buffers", "_modules"):
            found = self.__dict__.get(registry)
            if found is not None and name in found:
                return found[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __delattr__(self, name: str) -> None:
        for registry in ("_parameters", "_buffers", "_modules"):
            if name in self.__dict__[registry]:
                self._discard(name, registry)
                return
        object.__delattr__(self, name)
        bump_epoch()

    def __dir__(self) -> list[str]:
        names = {*object.__dir__(self), *self._parameters, *self._modules, *self._buffers}
        return sorted(name for name in names if not name[0].isdigit())

    def _require_init(self, name: str, registry: str) -> None:
        if registry not in self.__dict__:
            raise AttributeError(
                f"cannot assign {name!r} before Module.__init__() call; start __init__ with "
                "super().__init__()"
            )

    def _put(self, registry: str, name: str, value: Any) -> None:
        table = self.__dict__[registry]
        if name in table and table[name] is value:
            return
        self.__dict__.pop(name, None)
        table[name] = value
        bump_epoch()

    def _discard(self, name: str, *registries: str) -> None:
        self.__dict__.pop(name, None)
        for registry in registries:
            table = self.__dict__.get(registry)
            if table is not None and name in table:
                del table[name]
                self._non_persistent_buffers_set.discard(name)
                bump_epoch()

    def _check_name(self, kind: str, name: str, registry: str) -> None:
        if not isinstance(name, str):
            raise ArgumentTypeError(f"{kind} name {name!r}", "A name is a string.")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain ".", got: {name!r}')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if hasattr(self, name) and name not in self.__dict__[registry]:
            raise KeyError(f"attribute '{name}' already exists")

    # --- registration ---------------------------------------------------------------------------
    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under ``name``; ``None`` reserves the name.

        Raises:
            KeyError: the name is taken, empty or has a dot.
            TypeError: ``param`` is no ``Parameter``.
        """
        self._require_init(name, "_parameters")
        self._check_name("parameter", name, "_parameters")
        if param is not None and not isinstance(param, Parameter):
            raise ArgumentTypeError(
                f"registered a {type(param).__name__} as parameter {name!r}",
                "A parameter is an nn.Parameter or None.",
                "nn.Parameter(tensor)",
            )
        if param is not None:
            param.__dict__.setdefault("_hint", name)
        self._put("_parameters", name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a buffer: state that is not a parameter; saved when ``persistent``."""
        self._require_init(name, "_buffers")
        self._check_name("buffer", name, "_buffers")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise ArgumentTypeError(
                f"registered a {type(tensor).__name__} as buffer {name!r}",
                "A buffer is a Tensor or None.",
                "fg.tensor(value)",
            )
        if tensor is not None:
            tensor.__dict__.setdefault("_hint", name)
        self._put("_buffers", name, tensor)
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a submodule under ``name``."""
        self._require_init(name, "_modules")
        if module is not None and not isinstance(module, Module):
            raise ArgumentTypeError(
                f"{type(module).__name__} is not a Module subclass",
                "A submodule is an nn.Module or None.",
            )
        self._check_name("module", name, "_modules")
        self._put("_modules", name, module)

    def register_module(self, name: str, module: Module | None) -> None:
        """Alias of ``add_module``."""
        self.add_module(name, module)

    # --- hooks ----------------------------------------------------------------------------------
    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before ``forward``; it may return other arguments."""
        return add_hook(self._forward_pre_hooks, hook, with_kwargs, prepend)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after ``forward``; it may return another output."""
        return add_hook(self._forward_hooks, hook, with_kwargs, prepend)

    def register_full_backward_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)``; it may return another ``grad_input``."""
        return add_hook(self._backward_hooks, hook, False, prepend)

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, grad_output)``; it may return another ``grad_output``."""
        return add_hook(self._backward_pre_hooks, hook, False, prepend)

    # --- description ------------------------------------------------------------------------------
    def extra_repr(self) -> str:
        """Text between the parentheses of the representation; to be overridden."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [
            f"({name}): " + repr(module).replace("\n", "\n  ")
            for name, module in self._modules.items()
        ]
        body = lines + children
        if not body:
            return f"{self._get_name()}()"
        if len(lines) == 1 and not children:
            return f"{self._get_name()}({extra})"
        return f"{self._get_name()}(\n  " + "\n  ".join(body) + "\n)"
