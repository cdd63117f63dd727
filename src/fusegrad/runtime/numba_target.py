"""A small numba target: the integer, float, tuple, range and ``math`` parts of its CPU target.

In: nothing. Out: the typing and target contexts that ``frontend.py`` compiles kernels with. numba's
own contexts first load every NumPy and SciPy overload, a fifth of a second that no kernel needs,
and try the NumPy ones at each operator.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cpu, types
from numba.core.fastmathpass import rewrite_module
from numba.core.target_extension import CPU, dispatcher_registry, target_override, target_registry
from numba.core.typing.context import BaseContext
from numba.core.typing.templates import _OverloadFunctionTemplate as OVERLOAD

NAME = "fusegrad"


class KernelTypingContext(BaseContext):  # type: ignore[misc]
    """Types of builtin operators and of ``math``."""

    def init(self) -> None:
        """Start with nothing looked up."""
        self._plain: dict[types.Function, types.Function] = {}

    def _lookup_global(self, value: Any) -> Any:
        """A builtin without its ``@overload`` implementations, if it has others.

        Those are for strings and containers, or compile a helper function (``bool`` of an ``if``).
        """
        kind = super()._lookup_global(value)
        if not isinstance(kind, types.Function) or len(kind.templates) == 1:
            return kind
        if kind not in self._plain:
            own = [each for each in kind.templates if not issubclass(each, OVERLOAD)]
            self._plain[kind] = types.Function(tuple(own)) if own else kind
        return self._plain[kind]

    def load_additional_registries(self) -> None:
        """Install the declarations of ``math``; those of operators are always there."""
        from numba.core.typing import mathdecl

        self.install_registry(mathdecl.registry)


class KernelTargetContext(cpu.CPUContext):  # type: ignore[misc]
    """Implementations of builtin operators and of ``math``."""

    def load_additional_registries(self) -> None:
        """Import the modules that register implementations."""
        from numba.cpython import builtins, mathimpl, numbers, rangeobj, tupleobj  # noqa: F401

        self.install_registry(mathimpl.registry)

    def post_lowering(self, module: ir.Module, library: Any) -> None:
        """Set the fast-math flags; kernels need no memory runtime to be linked."""
        rewrite_module(module, self.fastmath)


class KernelTarget(CPU):  # type: ignore[misc]
    """The target's name in numba's registry."""


class KernelDescriptor:
    """The two contexts of the target."""

    def __init__(self) -> None:
        self.typing_context = KernelTypingContext()
        self.target_context = KernelTargetContext(self.typing_context, NAME)


class KernelDispatcher:
    """Where numba looks for the contexts of a target; never called."""

    targetdescr: Any = None


def _register() -> Any:
    target_registry[NAME] = KernelTarget
    dispatcher_registry[KernelTarget] = KernelDispatcher
    with target_override(NAME):
        KernelDispatcher.targetdescr = KernelDescriptor()
    return KernelDispatcher.targetdescr


descriptor = _register()
