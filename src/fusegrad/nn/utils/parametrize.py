"""Parametrizations: a tensor of a module computed from other parameters whenever it is read.

``register_parametrization`` gives the module a class of its own with a property in the place of
the tensor; the parameters behind it live in ``module.parametrizations[name]`` under PyTorch's keys
(``original``, or ``original0``, ``original1`` ...).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ...autograd import no_grad
from ...errors import ArgumentError, StateDictError
from ...ir.primitive import current_builder
from ...tensor import Tensor, bump_epoch
from ...trace.capture import Capture
from ..containers import ModuleDict, ModuleList
from ..module import Module
from ..parameter import Parameter

__all__ = [
    "ParametrizationList", "cached", "is_parametrized", "register_parametrization",
    "remove_parametrizations", "transfer_parametrizations_and_params",
    "type_before_parametrizations",
]  # fmt: skip


class _Cache:
    """Values computed under ``cached()``; a trace has values of its own."""

    def __init__(self) -> None:
        self.depth = 0
        self.values: dict[tuple[Any, int, str], Any] = {}

    def value(self, module: Any, name: str) -> Any:
        """The parametrized tensor, computed once while the cache is on."""
        builder = current_builder()
        if isinstance(builder, Capture):
            builder.guard("parametrize.cached", self, lambda: self.depth > 0)
        compute = module.parametrizations[name]
        if not self.depth:
            return compute()
        key = (builder, id(module), name)
        if key not in self.values:
            self.values[key] = compute()
        return self.values[key]


_cache = _Cache()


@contextmanager
def cached() -> Iterator[None]:
    """Compute every parametrized tensor once inside the ``with`` block.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.nn.utils import parametrizations, parametrize
        >>> layer = parametrizations.weight_norm(fg.nn.Linear(2, 2))
        >>> with parametrize.cached():
        ...     print(layer.weight is layer.weight)
        True
    """
    _cache.depth += 1
    bump_epoch()
    try:
        yield
    finally:
        _cache.depth -= 1
        if not _cache.depth:
            _cache.values.clear()
        bump_epoch()


def _register(module: Module, name: str, value: Tensor) -> None:
    if isinstance(value, Parameter):
        module.register_parameter(name, value)
    else:
        module.register_buffer(name, value)


def _right_inverse(parametrization: Any, value: Any) -> Any:
    try:
        return parametrization.right_inverse(value)
    except NotImplementedError:
        return value


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor and the parameters they start from.

    Args:
        modules: the parametrizations, applied first to last.
        original: the parameter or buffer that they replace.
        unsafe: accept another shape or dtype.
    """

    def __init__(self, modules: Sequence[Any], original: Any, unsafe: bool = False) -> None:
        if not modules:
            raise ArgumentError(
                "ParametrizationList of nothing", "It requires one or more modules."
            )
        super().__init__(modules)
        self.unsafe = unsafe
        shape, dtype = original.shape, original.dtype
        with no_grad():
            new: Any = original
            for module in reversed(list(self)):
                if hasattr(module, "right_inverse"):
                    new = _right_inverse(module, new)
        self.is_tensor = isinstance(new, Tensor)
        if not self.is_tensor and not isinstance(new, Sequence):
            raise ArgumentError(
                f"right_inverse returned a {type(new).__name__}",
                "'right_inverse' must return a Tensor or a Sequence of tensors.",
            )
        self.ntensors = 1 if self.is_tensor else len(new)
        if self.is_tensor:
            self._same_dtype(new, original)
            if new is not original:
                original.data = new.detach()
            _register(self, "original", original)
        else:
            for k, part in enumerate(new):
                if not isinstance(part, Tensor):
                    raise ArgumentError(
                        f"element {k} of right_inverse is a {type(part).__name__}",
                        "'right_inverse' must return a Tensor or a Sequence of tensors.",
                    )
                part = part.detach()
                if isinstance(original, Parameter):
                    part = Parameter(part, original._requires_grad)
                _register(self, f"original{k}", part)
        if not unsafe:
            _check_same(self(), shape, dtype)

    def _same_dtype(self, new: Tensor, original: Tensor) -> None:
        if new.dtype is not original.dtype:
            raise ArgumentError(
                f"right_inverse outputs {new.dtype}, the tensor had {original.dtype}",
                "When `right_inverse` outputs one tensor, it may not change the dtype.",
            )

    def _originals(self) -> list[Any]:
        if self.is_tensor:
            return [self.original]
        return [getattr(self, f"original{k}") for k in range(self.ntensors)]

    @no_grad
    def right_inverse(self, value: Tensor) -> None:
        """Set the originals so that the parametrized tensor becomes ``value``."""
        new: Any = value
        for module in reversed(list(self)):
            if not hasattr(module, "right_inverse"):
                raise StateDictError(
                    f"assignment to a tensor parametrized by {type(module).__name__}",
                    f"parametrization {type(module).__name__} does not implement right_inverse.",
                    "define right_inverse, or change the originals in module.parametrizations",
                )
            new = module.right_inverse(new)
        parts = [new] if self.is_tensor else list(new)
        if len(parts) != self.ntensors:
            raise ArgumentError(
                f"right_inverse gave {len(parts)} tensors for {self.ntensors}",
                "'right_inverse' must return a sequence of the same length every time.",
            )
        for original, part in zip(self._originals(), parts, strict=True):
            self._same_dtype(part, original)
            if part.shape == original.shape:
                original.copy_(part)  # in place: compiled steps hold this memory
            else:
                original.data = part.detach()

    def forward(self) -> Any:
        """The parametrized tensor."""
        first, *rest = list(self)
        value = first(*self._originals())
        for module in rest:
            value = module(value)
        return value


def _check_same(result: Any, shape: Any, dtype: Any) -> None:
    if not isinstance(result, Tensor):
        raise ArgumentError(
            f"a parametrization returned a {type(result).__name__}",
            "A parametrization must return a tensor.",
        )
    if result.dtype is not dtype or result.shape != shape:
        raise ArgumentError(
            f"a parametrization turns {tuple(shape)} {dtype} into {tuple(result.shape)} "
            f"{result.dtype}",
            "Registering a parametrization may not change the dtype or shape of the tensor, "
            "unless the `unsafe` flag is enabled.",
            "unsafe=True",
        )


def _parametrized_class(module: Module, base: type, members: dict[str, Any]) -> None:
    """Give a module a class of its own, in which properties can be put."""
    own = {"__getstate__": _refuse, "__deepcopy__": _deep, "__module__": base.__module__}
    module.__class__ = type(f"Parametrized{base.__name__}", (base,), {**members, **own})


def _refuse(self: Any) -> Any:
    raise StateDictError(
        f"{type(self).__name__} pickled",
        "Serialization of parametrized modules is only supported through state_dict().",
        "save module.state_dict()",
    )


def _deep(self: Any, memo: dict[int, Any]) -> Any:
    """A copy with a class of its own, so that removing a parametrization concerns one of them."""
    if id(self) in memo:
        return memo[id(self)]
    cls: Any = type(self)
    other = memo[id(self)] = cls.__new__(cls)
    object.__setattr__(other, "__dict__", copy.deepcopy(self.__dict__, memo))
    members = {k: v for k, v in vars(cls).items() if isinstance(v, property)}
    _parametrized_class(other, cls.__bases__[0], members)
    return other


def _property(name: str) -> property:
    def read(self: Any) -> Any:
        return _cache.value(self, name)

    def write(self: Any, value: Any) -> None:
        self.parametrizations[name].right_inverse(value)

    return property(read, write)


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Any, *, unsafe: bool = False
) -> Module:
    """Compute ``module.<tensor_name>`` as ``parametrization(original)`` from now on.

    A ``right_inverse`` of the parametrization gives the first value of the original and allows
    assignments to the tensor; it may return several tensors, which ``forward`` then gets.
    Parametrizations of the same tensor are applied one after another.

    Args:
        module: the module.
        tensor_name: a parameter, a buffer or a parametrized tensor of it.
        parametrization: a module.
        unsafe: accept another shape or dtype.

    Raises:
        ValueError: no such tensor, or a changed shape or dtype.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> from fusegrad.nn.utils import parametrize
        >>> class Symmetric(nn.Module):
        ...     def forward(self, x):
        ...         return x.triu() + x.triu(1).T
        >>> layer = nn.Linear(3, 3)
        >>> _ = parametrize.register_parametrization(layer, "weight", Symmetric())
        >>> bool((layer.weight == layer.weight.T).all()), list(layer.state_dict())
        (True, ['bias', 'parametrizations.weight.original'])
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        _append(module, tensor_name, parametrization, unsafe)
    elif tensor_name in module._buffers or tensor_name in module._parameters:
        original = getattr(module, tensor_name)
        listed = ParametrizationList([parametrization], original, unsafe=unsafe)
        listed.train(module.training)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            _parametrized_class(module, type(module), {})
            module.parametrizations = ModuleDict()
        setattr(type(module), tensor_name, _property(tensor_name))
        module.parametrizations[tensor_name] = listed
        bump_epoch()
    else:
        raise ArgumentError(
            f"register_parametrization of {tensor_name!r}",
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element "
            f"with name '{tensor_name}'.",
            "one of " + ", ".join([*module._parameters, *module._buffers]),
        )
    return module


def _append(module: Any, tensor_name: str, parametrization: Any, unsafe: bool) -> None:
    """One more parametrization after those that the tensor has."""
    if not unsafe:
        before = getattr(module, tensor_name)
        _check_same(parametrization(before), before.shape, before.dtype)
    listed = module.parametrizations[tensor_name]
    listed.append(parametrization)
    listed.unsafe |= unsafe


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a tensor of the module, or any when no name is given, is parametrized."""
    listed = module._modules.get("parametrizations")
    if not isinstance(listed, ModuleDict):
        return False
    return len(listed) > 0 if tensor_name is None else tensor_name in listed


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Make a tensor a plain parameter or buffer again.

    Args:
        module: the module.
        tensor_name: a parametrized tensor of it.
        leave_parametrized: keep its current value; else go back to the original.

    Raises:
        ValueError: it is not parametrized, or its originals are several and
            ``leave_parametrized`` is false.
    """
    if not is_parametrized(module, tensor_name):
        raise ArgumentError(
            f"remove_parametrizations of {tensor_name!r}",
            f"Module {module} does not have a parametrization on {tensor_name}.",
        )
    listed = module.parametrizations[tensor_name]
    if not listed.is_tensor and not leave_parametrized:
        raise ArgumentError(
            f"remove_parametrizations of {tensor_name!r} with leave_parametrized=False",
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is "
            "parametrized in terms of a sequence of tensors.",
        )
    original = listed._originals()[0]
    if leave_parametrized:
        with no_grad():
            value = getattr(module, tensor_name).detach().clone()
        if listed.is_tensor:
            original.data = value
        else:
            original = Parameter(value) if original.requires_grad else value
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    _register(module, tensor_name, original)
    if not is_parametrized(module):
        delattr(module, "parametrizations")
        module.__class__ = type(module).__bases__[0]
    bump_epoch()
    return module


def type_before_parametrizations(module: Module) -> type:
    """The class a module had before its first parametrization."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Parametrize ``to_module`` as ``from_module`` is, and copy the originals.

    Args:
        from_module: a parametrized module.
        to_module: the module that gets its parametrizations.
        tensor_name: one tensor; all of them when ``None``.

    Raises:
        ValueError: the tensor is not parametrized.
    """
    if not is_parametrized(from_module, tensor_name):
        raise ArgumentError(
            f"transfer of {tensor_name or 'parametrizations'}",
            f"Module {from_module} has no such parametrization.",
        )
    names = list(from_module.parametrizations) if tensor_name is None else [tensor_name]
    for name in names:
        source = from_module.parametrizations[name]
        if not is_parametrized(to_module, name):
            if not hasattr(to_module, name):
                setattr(to_module, name, Parameter(getattr(from_module, name).detach().clone()))
            for parametrization in source:
                register_parametrization(
                    to_module, name, copy.deepcopy(parametrization), unsafe=source.unsafe
                )
        with no_grad():
            target = to_module.parametrizations[name]
            for a, b in zip(target._originals(), source._originals(), strict=True):
                a.copy_(b)
    return to_module
