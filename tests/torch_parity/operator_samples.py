"""PyTorch's own operator records as an oracle: which function of fusegrad each one means, and its
sample inputs on both sides.

PyTorch describes each of its operators by a record with sample inputs that go through its options.
Some records call through a small Python wrapper (another order of the arguments, a method, an
in-place method on a copy). Those wrappers run here as they are, with fusegrad as their ``torch``.
The comparison of the two sides is in ``operator_checks.py``.
"""

from __future__ import annotations

import fnmatch
import functools
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import fusegrad as fg
import fusegrad.nn.functional as F

with warnings.catch_warnings():  # it says that hypothesis, which no record needs, is absent
    warnings.simplefilter("ignore", ImportWarning)
    from torch.testing._internal.common_methods_invocations import op_db

# Records outside the surface: pattern of the name -> why.
OUTSIDE = {
    "sparse.*": "sparse storage",
    "to_sparse": "sparse storage",
    "jiterator_*": "CUDA source text given by the user; here @fg.primitive",
    "masked.*": "prototype of masked tensors",
    "torch._*": "an internal of PyTorch for 8-bit floating formats",
    "torch.ops.*": "an operator of the dispatcher without a public name",
    "_*": "an internal of PyTorch; the public function that uses it has a record",
    "max_pool2d_with_indices_backward": "an internal of PyTorch: the gradient of max_pool2d",
    "native_dropout_backward": "an internal of PyTorch: the gradient of dropout",
    "hash_tensor": "a checksum of bytes that is tied to PyTorch's own implementation",
}
OUTSIDE_VARIANTS = {
    # these read memory around a tensor that came from outside; a NumPy view does not offer it
    ("as_strided", "partial_views"), ("as_strided_copy", "partial_views"),
    ("as_strided_scatter", "partial_views"),
}  # fmt: skip
INSIDE = ("__*",)  # operators of Python: public, though they start with an underscore

# Draws of another generator: results are compared in shape and dtype only.
RANDOM = (
    "bernoulli", "cauchy", "exponential", "geometric", "log_normal", "multinomial", "normal",
    "rand_like", "randint", "randint_like", "randn", "randn_like", "uniform", "poisson", "binomial",
    "nn.functional.*dropout*", "nn.functional.fractional_max_pool*", "nn.functional.rrelu",
    "pca_lowrank", "svd_lowrank", "nn.functional.multi_head_attention_forward",
)  # fmt: skip
# Of equal elements PyTorch promises no order (without ``stable``), so indices are compared by what
# they point at: name -> which argument after the operand is the axis.
TIES = {"kthvalue": 1, "topk": 1, "mode": 0, "sort": 0, "msort": None, "argsort": 0}
# Memory that is not initialised has no values to compare.
UNINITIALISED = (
    "empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided",
)  # fmt: skip
# What these mean depends on the strides of the operand, so it cannot be kept in other memory.
STRIDED = ("as_strided*", "new_empty_strided", "empty_strided", "view_as_complex")
# Part of the message of an error that PyTorch raises for what is right here -> why it is.
ACCEPTED = {
    "unsupported operation": "a result is complete before it is written to an out that overlaps",
    "single memory location": "the same",
    "Expected out": "an out of a wider dtype receives the converted result",
    "scalar type": "the same",
    "Expected dim <": "an internal check of narrow_copy; here the IndexError of narrow",
    "step must be nonzero": "an integer out of a fractional range is refused for its dtype",
}
# Names whose record calls what no public name of either side says: name -> (theirs, ours).
SPECIAL: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "slice": (lambda *a, **k: _sliced(*a, **k), lambda *a, **k: _sliced(*a, **k)),
}


def _sliced(x: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
    return x[(slice(None),) * (dim % x.dim()) + (slice(start, end, step),)]


# Some samples have an operand whose values decide a shape or a range: name -> which.
DECIDED = {
    "tensor_split": "cuts in a tensor", "repeat_interleave": "repeats in a tensor",
    "narrow": "the start in a tensor", "index_put": "a boolean mask",
    "nn.functional.one_hot": "the number of classes", "bincount": "the largest value",
    "histc": "the range of the values", "item": "the value itself",
}  # fmt: skip


def matches(name: str, patterns: Any) -> bool:
    """Whether a name fits one of the patterns."""
    return any(fnmatch.fnmatchcase(name, p) for p in patterns)


def reason_outside(name: str) -> str | None:
    """Why a record is not part of the surface; ``None`` when it is."""
    if matches(name, INSIDE):
        return None
    return next(
        (why for pattern, why in OUTSIDE.items() if fnmatch.fnmatchcase(name, pattern)), None
    )


@functools.cache
def records() -> dict[str, list[Any]]:
    """Records inside the surface, by name; several variants may share one."""
    found: dict[str, list[Any]] = {}
    for record in op_db:
        variant = (record.name, record.variant_test_name)
        if reason_outside(record.name) is None and variant not in OUTSIDE_VARIANTS:
            found.setdefault(record.name, []).append(record)
    return found


def resolve(name: str) -> Callable[..., Any] | None:
    """What a public name of PyTorch means here: a function by its path, else a method."""
    name = name.removeprefix("torch.")
    scope: Any = F if name.startswith("nn.functional.") else fg
    for part in name.removeprefix("nn.functional.").split("."):
        scope = getattr(scope, part, None)
    if callable(scope) and not isinstance(scope, (type, fg.dtypes.DType)):
        return scope
    found = getattr(fg.Tensor, name, None)
    if isinstance(found, property):
        return found.fget
    return found if callable(found) else None


def function_of(record: Any) -> Callable[..., Any] | None:
    """What a record means here, called with its samples; ``None`` when it is missing."""
    if record.name in SPECIAL:
        return SPECIAL[record.name][1]
    found = resolve(record.name)
    if not is_wrapper(record.op):
        return found
    there = found is not None or hasattr(fg.Tensor, record.name + "_")
    return rebound(record.op) if there else None


def is_wrapper(function: Any) -> bool:
    """Whether a function is Python text of the records rather than PyTorch's."""
    return isinstance(function, types.FunctionType) and (
        function.__name__ == "<lambda>" or "testing" in function.__module__
    )


def rebound(function: types.FunctionType) -> Callable[..., Any]:
    """A wrapper of the records with fusegrad as its ``torch``."""
    scope = {**function.__globals__, "torch": fg, "wrapper_set_seed": _seeded}
    return types.FunctionType(
        function.__code__, scope, function.__name__, function.__defaults__, function.__closure__
    )


def _seeded(op: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    fg.manual_seed(42)
    return op(*args, **kwargs)


# --- conversion ---------------------------------------------------------------------------------
def convert(value: Any) -> Any:
    """An argument of PyTorch as one of fusegrad, with the same values, strides and offset."""
    if isinstance(value, torch.Tensor):
        return tensor(value)
    if isinstance(value, torch.dtype):
        return getattr(fg, str(value).split(".")[1])
    if isinstance(value, (torch.memory_format, torch.layout)):
        name = str(value).split(".")[1]
        return getattr(fg, name, name)
    if isinstance(value, torch.device):
        return str(value)
    if isinstance(value, torch.Generator):
        return None
    if isinstance(value, torch.nn.Module):
        return getattr(fg.nn, type(value).__name__)()
    if getattr(value, "__name__", None) and value is getattr(
        torch.nn.functional, value.__name__, 0
    ):
        return getattr(F, value.__name__)
    if isinstance(value, torch.Size):
        return tuple(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return tuple(map(convert, value))
    if isinstance(value, (list, tuple)):
        return type(value)(map(convert, value))
    if isinstance(value, dict):
        return {k: convert(v) for k, v in value.items()}
    return value


def tensor(value: torch.Tensor) -> Any:
    """The same numbers in the same layout: strides, offset and what surrounds them in memory."""
    source = plain(value)
    extent = sum((n - 1) * s for n, s in zip(source.shape, source.stride())) + 1
    extent = 0 if source.numel() == 0 else extent
    offset = source.storage_offset()
    memory = source.as_strided((offset + extent,), (1,), 0)
    if source.dtype is torch.bfloat16:
        out = fg.from_numpy(source.float().numpy()).to(fg.bfloat16)
    else:
        flat = np.array(memory.numpy(), copy=True)
        strides = [s * flat.itemsize for s in source.stride()]
        view = np.lib.stride_tricks.as_strided(flat[offset:], tuple(source.shape), strides)
        out = fg.from_numpy(view)
    return out.requires_grad_() if value.requires_grad else out


def plain(value: torch.Tensor) -> torch.Tensor:
    """The values without history, lazy conjugation or symbolic zeros."""
    value = value.detach()
    if value._is_zerotensor():
        value = value.clone()
    return value.resolve_conj().resolve_neg()


def tensors(value: Any, kind: type) -> list[Any]:
    """All tensors inside a nesting, in order."""
    if isinstance(value, kind):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [t for item in value for t in tensors(item, kind)]
    return []


def needs_values(name: str) -> bool:
    """Whether shape or type of the results depend on values, so that no trace can have them."""
    tags = (torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output)
    if name in DECIDED:
        return True
    short = name.rpartition(".")[2]
    for internal in (short, f"_{short}", f"_{short}2"):
        packet = getattr(torch.ops.aten, internal, None)
        for overload in packet.overloads() if packet is not None else []:
            if any(tag in getattr(packet, overload).tags for tag in tags):
                return True
    return False


# --- samples ------------------------------------------------------------------------------------
@dataclass(eq=False)
class Call:
    """One call: a function and its arguments, in one of the two libraries."""

    lib: Any
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    shown: Callable[[Any], Any]

    def run(self) -> Any:
        """The results, without what has no unique value (signs of eigenvectors)."""
        return self.shown(self.function(*self.args, **self.kwargs))

    @property
    def leaves(self) -> list[Any]:
        """Arguments to differentiate by."""
        found = tensors((self.args, self.kwargs), self.lib.Tensor)
        return [t for t in found if t.requires_grad]


@dataclass(eq=False)
class Sample:
    """One call on both sides."""

    record: Any
    drawn: Any
    function: Callable[..., Any]

    @property
    def name(self) -> str:
        """Name of the record, which says what can be compared."""
        return self.record.name

    @property
    def comparable(self) -> bool:
        """Whether the results have values to compare."""
        drawn = self.drawn.kwargs.get("dropout_p")
        return not drawn and not matches(self.name, (*RANDOM, *UNINITIALISED))

    @property
    def theirs(self) -> Call:
        """PyTorch's call."""
        op = SPECIAL[self.name][0] if self.name in SPECIAL else self.record.op
        args = (self.drawn.input, *self.drawn.args)
        shown = self.drawn.output_process_fn_grad
        return Call(torch, op, args, self.drawn.kwargs, self._pointed(shown))

    @property
    def ours(self) -> Call:
        """The same call here, on copies."""
        shown = self.drawn.output_process_fn_grad
        shown = rebound(shown) if is_wrapper(shown) else shown
        args = convert((self.drawn.input, *self.drawn.args))
        return Call(fg, self.function, args, convert(self.drawn.kwargs), self._pointed(shown))

    @property
    def tied(self) -> bool:
        """Whether elements are equal and their order is left open."""
        if self.name not in TIES or self.drawn.kwargs.get("stable"):
            return False
        return bool(self.drawn.input.detach().unique().numel() < self.drawn.input.numel())

    def _pointed(self, shown: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """``shown``, with the elements that indices of tied elements point at."""
        place = TIES.get(self.name)
        if place is None or not self.tied:
            return shown
        given = dict(enumerate(self.drawn.args))
        dim = self.drawn.kwargs.get("dim", given.get(place, -1))

        def pointed(out: Any) -> Any:
            found = shown(out)
            *values, indices = found if isinstance(found, tuple) else (found,)
            lib = fg if isinstance(indices, fg.Tensor) else torch
            x = (convert(self.drawn.input) if lib is fg else self.drawn.input).detach()
            at = indices if indices.dim() == x.dim() else indices.unsqueeze(dim)
            return *values, lib.gather(x, dim, at), indices * 0

        return pointed

    def __str__(self) -> str:
        drawn = self.drawn
        words = [*map(text, (drawn.input, *drawn.args))]
        words += [f"{k}={text(v)}" for k, v in drawn.kwargs.items()]
        return f"{self.name}({', '.join(words)})"


def text(value: Any) -> str:
    """An argument in a few letters."""
    if isinstance(value, torch.Tensor):
        strided = "" if value.is_contiguous() else f" strides {list(value.stride())}"
        return f"{str(value.dtype)[6:]}{list(value.shape)}{strided}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(text, value))}]"
    return repr(value)


def samples(record: Any, dtype: torch.dtype, most: int | None = None) -> list[Sample]:
    """Samples of a record, ``most`` of them spread over all; inputs require gradients where
    PyTorch differentiates."""
    function = function_of(record)
    assert function is not None
    grad = record.supports_autograd and (dtype.is_floating_point or dtype.is_complex)
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        drawn = list(record.sample_inputs("cpu", dtype, requires_grad=grad))
    return [Sample(record, d, function) for d in spread(drawn, most)]


def error_samples(record: Any) -> Iterator[tuple[Sample, type[Exception], bool]]:
    """PyTorch's own bad calls, the error they raise there, and whether they may work here."""
    function = function_of(record)
    assert function is not None
    torch.manual_seed(0)
    for bad in record.error_inputs("cpu") if record.error_inputs_func is not None else ():
        if any(t.dim() > 64 for t in tensors(bad.sample_input.input, torch.Tensor)):
            continue  # more axes than a NumPy array can have
        operands = (bad.sample_input.args, bad.sample_input.kwargs)
        if any(t.is_meta for t in tensors(operands, torch.Tensor)):
            continue  # a device without numbers, which is not offered
        tolerated = any(word in bad.error_regex for word in ACCEPTED)
        tolerated |= bad.error_type is Exception  # numbers, which are 0-d operands here
        yield Sample(record, bad.sample_input, function), bad.error_type, tolerated


def spread(items: list[Any], most: int | None) -> list[Any]:
    """At most so many, evenly chosen."""
    if most is None or len(items) <= most:
        return items
    return [items[int(k)] for k in np.linspace(0, len(items) - 1, most)]


def dtypes_of(record: Any, wanted: str) -> list[torch.dtype]:
    """The dtypes of a record that are tried: ``main`` is float64 where it takes that."""
    supported = record.dtypes
    if wanted == "main":
        preferred = (torch.float64, torch.complex128, torch.float32, torch.int64, torch.bool)
        return [*[d for d in preferred if d in supported], *sorted(supported, key=str)][:1]
    chosen = getattr(torch, wanted)
    return [chosen] if chosen in supported else []
