"""Optimizer: parameter groups, state by parameter, hooks, saving and loading.

In: parameters and options. Out: the base that users and the built-in optimizers subclass; every
``step`` leaves a guard in a running capture. Next file: ``compiled.py``.
"""

from __future__ import annotations

import copy
import functools
import itertools
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import RemovableHandle, no_grad
from ..dtypes import stored
from ..errors import ArgumentError, ArgumentTypeError, CaptureError
from ..functions.gradients import clear_grads
from ..ir.primitive import current_builder
from ..tensor import Tensor, bump_epoch
from ..trace.capture import Capture
from .param_group import ParamGroup

_ids = itertools.count()
Hooks = OrderedDict[int, Callable[..., Any]]


class _Required:
    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


def _add_hook(hooks: Hooks, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
    key = next(_ids)
    hooks[key] = hook
    if prepend:
        hooks.move_to_end(key, last=False)
    return RemovableHandle(lambda: hooks.pop(key, None))


def _plain_state(optimizer: Optimizer) -> list[Any]:
    return [
        (id(p), key, value)
        for p, values in optimizer.state.items()
        for key, value in values.items()
        if not isinstance(value, Tensor)
    ]


def _require_kept_state(optimizer: Optimizer, before: Any) -> None:
    """Refuse a user's update whose state would not survive from one compiled step to the next."""
    name = type(optimizer).__name__
    if _plain_state(optimizer) != before:
        raise CaptureError(
            f"{name}.step changed a Python value in its state inside a jitted function",
            "Python runs only while the step is traced, so the value would stand still.",
            "keep it in a 0-d tensor that is changed in place",
        )
    for values in optimizer.state.values():
        for key, value in values.items():
            if isinstance(value, Tensor) and value._storage.owner is not None:
                raise CaptureError(
                    f"{name}.step created the state {key!r} inside a jitted function",
                    "A tensor created while tracing does not live on to the next step.",
                    "create the state in __init__, or run one step before jit",
                )


def _with_hooks(step: Callable[..., Any]) -> Callable[..., Any]:
    """``step`` between the registered hooks, guarded while traced."""

    @functools.wraps(step)
    def wrapped(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        for hook in list(self._step_pre_hooks.values()):
            replaced = hook(self, args, kwargs)
            if replaced is not None:
                args, kwargs = replaced
        builder = current_builder()
        traced = isinstance(builder, Capture)
        before = _plain_state(self) if traced else None
        result = step(self, *args, **kwargs)
        for hook in list(self._step_post_hooks.values()):
            hook(self, args, kwargs)
        if traced:
            _require_kept_state(self, before)
            builder.guard("optimizer", self, self._structure)
        self._opt_called = True
        return result

    wrapped._hooked = True  # type: ignore[attr-defined]
    return wrapped


class Optimizer:
    """Base of all optimizers.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dictionaries with ``"params"`` and options.
        defaults: options of groups that do not give their own.
    """

    branches: tuple[str, ...] = ()  # options that the update branches on being zero
    static: tuple[str, ...] = ()  # options whose number shapes the update
    # 0-d state that the parameters of a group share while they are at the same step; it keeps its
    # dtype when it is loaded, so that saving and loading does not change a trajectory
    shared_state: tuple[str, ...] = ("step",)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        step = cls.__dict__.get("step")
        if step is not None and not getattr(step, "_hooked", False):
            cls.step = _with_hooks(step)  # type: ignore[method-assign]

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        if current_builder() is not None:
            raise CaptureError(
                f"{type(self).__name__} created inside a jitted function",
                "Its options and state must live on from one compiled step to the next.",
                "create the optimizer outside and let the jitted function call its step()",
            )
        self.defaults = defaults
        self._step_pre_hooks: Hooks = OrderedDict()
        self._step_post_hooks: Hooks = OrderedDict()
        self._state_dict_pre_hooks: Hooks = OrderedDict()
        self._state_dict_post_hooks: Hooks = OrderedDict()
        self._load_state_dict_pre_hooks: Hooks = OrderedDict()
        self._load_state_dict_post_hooks: Hooks = OrderedDict()
        self._opt_called = False
        self.state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[ParamGroup] = []
        if isinstance(params, Tensor):
            raise ArgumentTypeError(
                f"{type(self).__name__} got a single tensor",
                "params argument given to the optimizer should be an iterable of Tensors or dicts.",
                "[tensor]",
            )
        groups = list(params)
        if not groups:
            raise ArgumentError(
                "optimizer got an empty parameter list",
                "There is nothing to optimize.",
                "pass model.parameters()",
            )
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(dict(group))

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with their own options.

        Raises:
            TypeError: not a dictionary, or not tensors.
            ValueError: a non-leaf tensor, a repeated parameter, a missing option.
        """
        if not isinstance(param_group, dict):
            raise ArgumentTypeError(
                f"param_group of type {type(param_group).__name__}", "param_group must be a dict."
            )
        group = dict(param_group)
        params = group["params"]
        if isinstance(params, set):
            raise ArgumentTypeError(
                "optimizer parameters in a set",
                "The ordering of tensors in sets will change between runs.",
                "use a list",
            )
        listed = [params] if isinstance(params, Tensor) else list(params)
        named = [p for p in listed if isinstance(p, tuple)]
        if named:
            if len(named) != len(listed):
                raise ArgumentError(
                    "parameters with and without names",
                    "all optimizer params should be with/without names.",
                )
            group["param_names"] = [name for name, _ in listed]
            listed = [p for _, p in listed]
        for p in listed:
            if not isinstance(p, Tensor):
                raise ArgumentTypeError(
                    f"one of the params is {type(p).__name__}",
                    "optimizer can only optimize Tensors.",
                )
            if not self.defaults.get("differentiable") and not p.is_leaf:
                raise ArgumentError(
                    f"a parameter {p.aval} with a history",
                    "can't optimize a non-leaf Tensor.",
                    "use .detach()",
                )
        for name, default in self.defaults.items():
            if default is required and name not in group:
                raise ArgumentError(
                    f"parameter group without {name}",
                    f"parameter group didn't specify a value of required optimization parameter "
                    f"{name}.",
                )
            group.setdefault(name, default)
        present = {id(p) for g in self.param_groups for p in g["params"]}
        if len({id(p) for p in listed}) != len(listed) or present & {id(p) for p in listed}:
            raise ArgumentError(
                "some parameters appear in more than one parameter group",
                "Each parameter is updated once per step.",
            )
        group["params"] = listed
        self.param_groups.append(ParamGroup(group, self.branches, self.static))
        bump_epoch()

    def _structure(self) -> tuple[Any, ...]:
        """A snapshot of everything a trace of ``step`` bakes in."""
        return tuple(
            (
                g.structure() if isinstance(g, ParamGroup) else repr(g),
                tuple(
                    (
                        id(p),
                        tuple((k, id(v)) for k, v in self.state[p].items())
                        if p in self.state
                        else None,
                    )
                    for p in g["params"]
                ),
            )
            for g in self.param_groups
        )

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of all parameters."""
        for group in self.param_groups:
            clear_grads(group["params"], set_to_none)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters; to be overridden."""
        raise NotImplementedError(f"{type(self).__name__} defines no step")

    # --- hooks ------------------------------------------------------------------------------------
    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` before each step."""
        return _add_hook(self._step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` after each step."""
        return _add_hook(self._step_post_hooks, hook)

    def register_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(optimizer)`` before saving."""
        return _add_hook(self._state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)`` after saving; it may return another one."""
        return _add_hook(self._state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)`` before loading; it may return another one."""
        return _add_hook(self._load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(optimizer)`` after loading."""
        return _add_hook(self._load_state_dict_post_hooks, hook, prepend)

    # --- save and load ----------------------------------------------------------------------------
    def state_dict(self) -> dict[str, Any]:
        """State by parameter number and the options of the groups, as plain dictionaries."""
        for hook in self._state_dict_pre_hooks.values():
            hook(self)
        number: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            packed = {k: v for k, v in group.copy().items() if k != "params"}
            for p in group["params"]:
                number.setdefault(id(p), len(number))
            packed["params"] = [number[id(p)] for p in group["params"]]
            groups.append(packed)
        state = {
            (number[id(p)] if isinstance(p, Tensor) else p): dict(values)
            for p, values in self.state.items()
        }
        result: dict[str, Any] = {"state": state, "param_groups": groups}
        for hook in self._state_dict_post_hooks.values():
            replaced = hook(self, result)
            result = result if replaced is None else replaced
        return result

    @no_grad
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over options and state from a ``state_dict``.

        Raises:
            ValueError: the groups or their sizes differ.
        """
        state_dict = dict(state_dict)
        for hook in self._load_state_dict_pre_hooks.values():
            replaced = hook(self, state_dict)
            state_dict = state_dict if replaced is None else replaced
        saved = copy.deepcopy(state_dict["param_groups"])
        if len(saved) != len(self.param_groups):
            raise ArgumentError(
                f"{len(saved)} parameter groups loaded into {len(self.param_groups)}",
                "loaded state dict has a different number of parameter groups.",
            )
        by_number: dict[int, Any] = {}
        for group, old in zip(self.param_groups, saved, strict=True):
            if len(group["params"]) != len(old["params"]):
                raise ArgumentError(
                    f"{len(old['params'])} parameters loaded into a group of "
                    f"{len(group['params'])}",
                    "loaded state dict contains a parameter group that doesn't match the size of "
                    "optimizer's group.",
                )
            by_number.update(zip(old["params"], group["params"], strict=True))
        self.state = defaultdict(dict)
        for key, values in state_dict["state"].items():
            p = by_number.get(key)
            self.state[key if p is None else p] = {
                name: _loaded(value, None if name in self.shared_state else p)
                for name, value in values.items()
            }
        for group, old in zip(self.param_groups, saved, strict=True):
            group.update({k: v for k, v in old.items() if k != "params"})
        bump_epoch()
        self._after_load()
        for hook in self._load_state_dict_post_hooks.values():
            hook(self)

    def _after_load(self) -> None:
        """Called when state was replaced."""

    def __getstate__(self) -> dict[str, Any]:
        """Attributes without what belongs to the running process."""
        kept = {k: v for k, v in self.__dict__.items() if not k.startswith("_compiled")}
        return {**kept, "state": dict(self.state)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.state = defaultdict(dict, state.get("state", {}))
        self.param_groups = [ParamGroup(g, self.branches, self.static) for g in self.param_groups]
        bump_epoch()

    def __repr__(self) -> str:
        lines = []
        for k, group in enumerate(self.param_groups):
            lines.append(f"\nParameter Group {k}\n")
            options = group.copy()
            lines += [f"    {key}: {options[key]}\n" for key in sorted(options) if key != "params"]
        return f"{type(self).__name__} ({''.join(lines)})"


def _loaded(value: Any, p: Tensor | None) -> Any:
    """A copy of a loaded state value; floating ones in the dtype of the parameter ``p``."""
    if isinstance(value, (list, tuple)):
        return type(value)(_loaded(v, p) for v in value)
    if not isinstance(value, (Tensor, np.ndarray)) and hasattr(value, "detach"):
        value = value.detach().cpu().numpy()  # a tensor of PyTorch, which need not be installed
    if isinstance(value, np.ndarray):
        value = Tensor(value)
    if not isinstance(value, Tensor):
        return copy.deepcopy(value)
    array = np.array(value._value)
    if p is not None and p.dtype.is_floating_point:
        array = stored(array, p.dtype)
    return Tensor(array)
