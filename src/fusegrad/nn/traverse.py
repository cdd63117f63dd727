"""Walking a module tree: parameters, buffers, submodules, and what is done to all of them.

In: the registries of ``Module``. Out: iterators under PyTorch's names, and conversions applied to
every tensor in place, so that optimizers and compiled steps keep their references.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from ..autograd import no_grad
from ..dtypes import DType, bfloat16, float16, float32, float64
from ..errors import ArgumentTypeError
from ..functions.conversion import to
from ..functions.gradients import clear_grads
from ..functions.placement import on_cpu
from ..tensor import Tensor

M = TypeVar("M", bound="TraverseMixin")


class TraverseMixin:
    """The part of ``Module`` that walks the tree."""

    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _modules: dict[str, Any]
    training: bool

    def named_modules(
        self, memo: set[Any] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """This module and all below it, with dotted names, each once."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                below = f"{prefix}.{name}" if prefix else name
                yield from module.named_modules(memo, below, remove_duplicate)

    def modules(self) -> Iterator[Any]:
        """This module and all below it."""
        for _, module in self.named_modules():
            yield module

    def named_children(self) -> Iterator[tuple[str, Any]]:
        """Direct submodules with their names, each once."""
        seen: set[Any] = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Any]:
        """Direct submodules."""
        for _, module in self.named_children():
            yield module

    def _named(
        self, registry: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        owners = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        for path, module in owners:
            for name, value in getattr(module, registry).items():
                if value is None or id(value) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(value))
                yield (f"{path}.{name}" if path else name), value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """Parameters with dotted names, each once."""
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Any]:
        """Parameters, as optimizers take them."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """Buffers with dotted names, each once."""
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Any]:
        """Buffers."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    # --- by name ----------------------------------------------------------------------------------
    def get_submodule(self, target: str) -> Any:
        """The submodule at a dotted path.

        Raises:
            AttributeError: the path does not exist or is no module.
        """
        module: Any = self
        for part in target.split(".") if target else []:
            if not hasattr(module, part):
                raise AttributeError(f"{module._get_name()} has no attribute `{part}`")
            module = getattr(module, part)
            if not isinstance(module, TraverseMixin):
                raise AttributeError(f"`{part}` is not an nn.Module")
        return module

    def _get_tensor(self, target: str, registry: str, kind: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
        if name not in getattr(module, registry):
            raise AttributeError(f"`{name}` is not {kind}")
        return getattr(module, name)

    def get_parameter(self, target: str) -> Any:
        """The parameter at a dotted path."""
        return self._get_tensor(target, "_parameters", "an nn.Parameter")

    def get_buffer(self, target: str) -> Any:
        """The buffer at a dotted path."""
        return self._get_tensor(target, "_buffers", "a buffer")

    # --- to all of them ---------------------------------------------------------------------------
    def apply(self: M, fn: Callable[[Any], None]) -> M:
        """Call ``fn`` on every module below, then on this one."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self: M, mode: bool = True) -> M:
        """Set training mode (dropout active) here and below."""
        if not isinstance(mode, bool):
            raise ArgumentTypeError(f"train({mode!r})", "Training mode is expected to be boolean.")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self: M) -> M:
        """Set evaluation mode here and below."""
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Set ``requires_grad`` of every parameter."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of every parameter."""
        clear_grads(self.parameters(), set_to_none)

    def _apply(self: M, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> M:
        """Replace every tensor by ``fn`` of it, keeping the tensor objects."""
        for module in self.modules() if recurse else [self]:
            for parameter in module._parameters.values():
                if parameter is not None:
                    _convert(parameter, fn)
            for buffer in module._buffers.values():
                if buffer is not None:
                    _convert(buffer, fn)
        return self

    def to(self: M, *args: Any, **kwargs: Any) -> M:
        """Convert floating parameters and buffers to a dtype; the device is the cpu."""

        def convert(x: Tensor) -> Tensor:
            if x.dtype.is_floating_point:
                return to(x, *args, **kwargs)
            return to(x, *[a for a in args if not isinstance(a, (DType, Tensor))])

        return self._apply(convert)

    def type(self: M, dst_type: DType) -> M:
        """Convert every parameter and buffer to ``dst_type``."""
        return self._apply(lambda x: to(x, dst_type))

    def _floating(self: M, dtype: DType) -> M:
        return self._apply(lambda x: to(x, dtype) if x.dtype.is_floating_point else x)

    def float(self: M) -> M:
        """Convert floating tensors to float32."""
        return self._floating(float32)

    def double(self: M) -> M:
        """Convert floating tensors to float64."""
        return self._floating(float64)

    def half(self: M) -> M:
        """Convert floating tensors to float16."""
        return self._floating(float16)

    def bfloat16(self: M) -> M:
        """Convert floating tensors to bfloat16."""
        return self._floating(bfloat16)

    def cuda(self: M, device: Any = None) -> M:
        """The module on a cuda device, of which there is none: an error."""
        on_cpu("cuda")
        return self

    def cpu(self: M) -> M:
        """The module itself."""
        return self


def _convert(tensor: Any, fn: Callable[[Tensor], Tensor]) -> None:
    with no_grad():
        new = fn(tensor)
        if new is not tensor:
            tensor.data = new
        grad = tensor._grad
        if isinstance(grad, Tensor):
            tensor._set_grad(fn(grad))
