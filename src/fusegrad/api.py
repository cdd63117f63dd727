"""``fg.jit``: a function over tensors becomes one native call per signature.

``JitFunction`` keeps its traces; a call takes the generated fast path of the last one, else looks
for a trace whose signature and guards hold, else traces anew and remembers why. Next file:
``traced.py``.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from . import config, dtypes
from .errors import ArgumentTypeError, FusegradError, trimmed
from .explain import Report, StepCacheInfo, backward_part, cache_info, last_trace
from .fastcall import tensor_key
from .ir.graph import Graph
from .ir.primitive import current_builder
from .tensor import Tensor, grad_mode
from .trace.tree import flatten
from .traced import Trace, leaf_kind
from .views import Kernel, Memory, kernels_of, memory_of

MAX_TRACES = 256


@dataclass
class Options:
    """Choices of one jitted function."""

    keep_grads: bool = False
    static_argnames: frozenset[str] = frozenset()
    static_leaves: frozenset[int] = frozenset()

    def make(self, function: Callable[..., Any]) -> JitFunction:
        """A jitted function with default options, for programs derived from a trace."""
        return JitFunction(function, Options())


class JitFunction:
    """A function whose calls run as compiled programs; made by ``fg.jit``."""

    __name__: str

    def __init__(self, function: Callable[..., Any], options: Options) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.options = options
        self.traces: dict[Any, list[Trace]] = {}
        self.history: list[Trace] = []
        self._call: Callable[..., Any] | None = None
        self._signature = _signature_of(function)
        self._simple = not options.static_argnames

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call = self._call
        if call is None or kwargs or current_builder() is not None:
            return self._dispatch(args, kwargs)
        try:
            return call(self._slow, *args)
        except TypeError as error:
            if error.__traceback__ is not None and error.__traceback__.tb_next is None:
                return self._dispatch(args, kwargs)  # another number of arguments
            raise

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        bound = instance.__dict__.get("_jit_" + self.function.__name__)
        if bound is None or bound.function.__func__ is not self.function:
            method = self.function.__get__(instance, owner)
            bound = JitFunction(method, self.options)
            object.__setattr__(instance, "_jit_" + self.function.__name__, bound)
        return bound

    def _slow(self, *args: Any) -> Any:
        return self._dispatch(args, {})

    # --- inspection ------------------------------------------------------------------------------
    def compile(self, *args: Any, **kwargs: Any) -> JitFunction:
        """Trace and compile for these arguments without running; returns the function itself."""
        self._prepare(args, kwargs)
        return self

    def explain(self) -> Report:
        """What was traced, why again, what was fused and what it costs; ``print`` it."""
        return Report(self.__name__, self.history)

    def graph(self, optimised: bool = False) -> Graph:
        """The captured graph of the last trace, or the one after the passes."""
        trace = last_trace(self)
        return trace.graph if optimised else trace.captured

    def backward_graph(self) -> Graph:
        """The equations of the captured graph that derivative rules appended."""
        return backward_part(last_trace(self).captured)

    def kernels(self) -> list[Kernel]:
        """The kernels of the last trace: their text, arguments and how to run one alone."""
        return kernels_of(last_trace(self))

    @property
    def memory(self) -> Memory:
        """Bytes a call of the last trace needs, known before it runs."""
        return memory_of(last_trace(self))

    def cache_info(self) -> StepCacheInfo:
        """How many traces and kernels there are and where the kernels came from."""
        return cache_info(self.history)

    # --- dispatch --------------------------------------------------------------------------------
    def _dispatch(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if current_builder() is not None or not config.JIT.flag():
            return self.function(*args, **kwargs)
        try:
            trace, leaves, structure = self._prepare(args, kwargs)
        except FusegradError as error:
            raise trimmed(error) from error.__cause__
        trace.enter()
        result = trace.call(functools.partial(self._again, args, kwargs), *leaves)
        lasting = trace.leave()
        if lasting and structure[1][1][1] == () and _flat(structure[1][0]):
            self._call = trace.call
        elif not lasting:
            self._call = None
        return result

    def _again(self, args: tuple[Any, ...], kwargs: dict[str, Any], *leaves: Any) -> Any:
        """Another thread changed the structure between the check and the call: start over."""
        return self._dispatch(args, kwargs)

    def _prepare(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Trace, list[Any], Any]:
        """The trace for a call, its argument leaves and their structure."""
        args, kwargs, static = self._normalise(args, kwargs)
        options = Options(self.options.keep_grads, self.options.static_argnames, static)
        leaves: list[Any] = []
        structure = flatten((args, kwargs), leaves)
        key = (
            structure,
            tuple(_leaf_key(x, options, k) for k, x in enumerate(leaves)),
            grad_mode.enabled,
            dtypes.get_default_dtype(),
        )
        trace, reason = self._find(key)
        if trace is None:
            trace = self._new_trace(key, args, kwargs, options, reason, leaves)
        return trace, leaves, structure

    def _normalise(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any], frozenset[int]]:
        """Keyword arguments become positional where the signature allows; find static leaves."""
        if self._signature is not None and (kwargs or not self._simple):
            try:
                bound = self._signature.bind(*args, **kwargs)
            except TypeError as error:
                raise ArgumentTypeError(
                    f"{self.__name__}: {error}", "The call does not fit the function's signature."
                ) from None
            args, kwargs = bound.args, bound.kwargs
            if not self._simple:
                bound.apply_defaults()
                return args, kwargs, self._static_leaves(bound)
        return args, kwargs, frozenset()

    def _static_leaves(self, bound: inspect.BoundArguments) -> frozenset[int]:
        position, static = 0, set()
        for name, value in zip(bound.arguments, bound.args, strict=False):
            leaves: list[Any] = []
            flatten(value, leaves)
            if name in self.options.static_argnames:
                static |= set(range(position, position + len(leaves)))
            position += len(leaves)
        return frozenset(static)

    def _find(self, key: Any) -> tuple[Trace | None, str]:
        candidates = self.traces.get(key)
        if not candidates:
            return None, self._difference(key)
        reason = ""
        for trace in reversed(candidates):
            changed = next((c.label for c in trace.constants if not c.holds()), None)
            why = f"the value of {changed} changed" if changed else trace.mismatch()
            if why is None:
                return trace, ""
            reason = reason or why
        return None, reason

    def _difference(self, key: Any) -> str:
        if not self.traces:
            return "first call"
        last = next(reversed(self.traces))
        if key[0] != last[0]:
            return "the structure of the arguments differs"
        for k, (a, b) in enumerate(zip(key[1], last[1], strict=True)):
            if a != b:
                label = self.history[-1].labels[k] if self.history else f"argument {k}"
                return f"{label} changed from {_words(b)} to {_words(a)}"
        return "gradient mode or default dtype changed"

    def _new_trace(
        self,
        key: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: Options,
        reason: str,
        leaves: list[Any],
    ) -> Trace:
        trace = Trace(self.function, args, kwargs, options, reason)
        self.history.append(trace)
        entries = self.traces.setdefault(key, [])
        entries.append(trace)
        if len(self.history) > MAX_TRACES:
            oldest = self.history.pop(0)
            for kept in self.traces.values():
                if oldest in kept:
                    kept.remove(oldest)
        return trace


def _signature_of(function: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def _flat(structure: Any) -> bool:
    return all(s == "*" for s in structure[1])


def _leaf_key(leaf: Any, options: Options, position: int) -> Any:
    kind = leaf_kind(leaf, options, position)
    if kind == "tensor":
        if isinstance(leaf, Tensor):
            return (type(leaf), leaf._key or tensor_key(leaf))
        return ("array", leaf.shape, leaf.dtype.num)
    if kind == "float":
        return "float"
    if isinstance(leaf, (bool, int, float, str, bytes, type(None))):
        return (type(leaf), leaf)
    return ("object", id(leaf))


def _words(key: Any) -> str:
    if isinstance(key, tuple) and len(key) == 2 and isinstance(key[1], tuple):
        shape, num, grad, dense, _ = key[1]
        flags = (", requires grad" if grad else "") + ("" if dense is True else ", not contiguous")
        name = next((d.short for d in dtypes.ALL if d.np.num == num), "?")
        return f"{name}[{','.join(map(str, shape))}]{flags}"
    return str(key[-1] if isinstance(key, tuple) else key)


def jit(
    function: Callable[..., Any] | None = None,
    *,
    keep_grads: bool = False,
    static_argnames: str | Iterable[str] = (),
) -> Any:
    """Compile a function over tensors: one native call per step.

    Forward, ``backward()`` and optimizer inside the function become one program of fused kernels.
    State (parameters, optimizer slots, random generators) is found by the trace. Floats are
    run-time values; integers, booleans, strings and shapes are part of the signature.

    Args:
        function: the function; omitted when used with options.
        keep_grads: write the gradients that the step itself consumes to ``.grad`` as well.
        static_argnames: names of float arguments whose values are compiled in.

    Returns:
        a callable with the same signature.

    Example:
        >>> import fusegrad as fg
        >>> @fg.jit
        ... def f(x):
        ...     return (x * 2).sum()
        >>> f(fg.ones(3)).item()
        6.0
    """
    if function is None:
        return functools.partial(jit, keep_grads=keep_grads, static_argnames=static_argnames)
    names = (static_argnames,) if isinstance(static_argnames, str) else tuple(static_argnames)
    return JitFunction(function, Options(keep_grads, frozenset(names)))
