"""PyTorch's own operator records as an oracle: which function of fusegrad each one means, its sample
inputs, and one check per sample (forward, dtype, first and second derivatives, jit).

PyTorch describes each of its operators by a record with sample inputs that go through its options.
Every record that names something this library offers is run: the same call on the same numbers.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.testing._internal.common_methods_invocations import op_db

import fusegrad as fg
import fusegrad.nn.functional as F

# Relative and absolute tolerance by dtype of the result: rounding of another order of operations.
TOLERANCE = {
    "float64": (1e-9, 1e-10), "complex128": (1e-9, 1e-10), "float32": (1e-4, 1e-5),
    "complex64": (1e-4, 1e-5), "float16": (4e-3, 4e-3), "bfloat16": (3e-2, 3e-2),
}  # fmt: skip

# Outside the surface: other storage formats and quantisation, backends of PyTorch, its internals.
OUTSIDE = {
    "sparse", "jiterator", "torch", "masked", "to_sparse", "_batch_norm_with_update", "_chunk_cat",
    "_native_batch_norm_legit", "_segment_reduce", "_softmax_backward_data",
    "_unsafe_masked_index", "_unsafe_masked_index_put_accumulate", "_upsample_bilinear2d_aa",
    "max_pool2d_with_indices_backward", "native_dropout_backward", "hash_tensor",
}  # fmt: skip

# Random results: only shape and dtype are compared.
RANDOM = {
    "bernoulli", "cauchy", "exponential", "geometric", "log_normal", "multinomial", "normal",
    "rand_like", "randint", "randint_like", "randn", "randn_like", "uniform", "empty", "empty_like",
    "empty_permuted", "empty_strided", "new_empty", "new_empty_strided", "poisson", "binomial",
    "nn.functional.alpha_dropout", "nn.functional.dropout", "nn.functional.dropout2d",
    "nn.functional.dropout3d", "nn.functional.feature_alpha_dropout",
    "nn.functional.fractional_max_pool2d", "nn.functional.fractional_max_pool3d",
    "nn.functional.rrelu", "nn.functional.multi_head_attention_forward",
    "nn.functional.scaled_dot_product_attention", "pca_lowrank", "svd_lowrank",
}  # fmt: skip


def records() -> dict[str, list[Any]]:
    """Records inside the surface, by name; several variants may share one."""
    found: dict[str, list[Any]] = {}
    for record in op_db:
        if record.name.split(".")[0].split("_")[0] not in (
            "sparse",
            "jiterator",
            "torch",
            "masked",
        ):
            if record.name not in OUTSIDE:
                found.setdefault(record.name, []).append(record)
        elif record.name in ("masked_fill", "masked_scatter", "masked_select"):
            found.setdefault(record.name, []).append(record)
    return found


def resolve(name: str) -> Callable[..., Any] | None:
    """What the name of a record means here: a function by its path, else a method."""
    scope: Any = fg
    path = name.removeprefix("nn.functional.")
    if path != name:
        return getattr(F, path, None)
    for part in path.split("."):
        inner = getattr(scope, part, None)
        if inner is None:
            break
        scope = inner
    else:
        if callable(scope):
            return scope
    method = getattr(fg.Tensor, path, None)
    if isinstance(method, property):
        return lambda x: getattr(x, path)
    return method


def convert(value: Any) -> Any:
    """An argument of PyTorch as one of fusegrad, with the same values, strides and offset."""
    if isinstance(value, torch.Tensor):
        return tensor(value)
    if isinstance(value, torch.dtype):
        return getattr(fg, str(value).split(".")[1])
    if isinstance(value, torch.device):
        return str(value)
    if isinstance(value, torch.Generator):
        return None
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
    """The same numbers in the same layout."""
    source = value.detach()
    if source.dtype is torch.bfloat16:
        out = fg.from_numpy(source.float().numpy()).to(fg.bfloat16)
    else:
        source = source.resolve_conj().resolve_neg()
        out = fg.from_numpy(np.array(source.numpy(), order="K", copy=True))
    return out.requires_grad_() if value.requires_grad else out


def tensors(value: Any, kind: type) -> list[Any]:
    """All tensors inside a nesting, in order."""
    if isinstance(value, kind):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [t for item in value for t in tensors(item, kind)]
    return []


@dataclass
class Difference(AssertionError):
    """Something differs: in which stage, and how."""

    stage: str
    text: str

    def __str__(self) -> str:
        return f"{self.stage}: {self.text}"


def compare(stage: str, ours: Any, theirs: Any, values: bool = True, scale: float = 1.0) -> None:
    """Raise ``Difference`` unless both results are the same."""
    if isinstance(theirs, torch.Tensor):
        if not isinstance(ours, fg.Tensor):
            raise Difference(stage, f"got {type(ours).__name__}, torch a tensor")
        dtype = str(theirs.dtype).split(".")[1]
        if str(ours.dtype).split(".")[1] != dtype:
            raise Difference(stage, f"dtype {ours.dtype}, torch {theirs.dtype}")
        if tuple(ours.shape) != tuple(theirs.shape):
            raise Difference(stage, f"shape {tuple(ours.shape)}, torch {tuple(theirs.shape)}")
        if not values:
            return
        theirs = theirs.detach().resolve_conj().resolve_neg()
        ours = ours.detach()
        if dtype == "bfloat16":
            ours, theirs = ours.float(), theirs.float()
        rtol, atol = TOLERANCE.get(dtype, (0.0, 0.0))
        a, b = np.asarray(ours.numpy()), np.asarray(theirs.numpy())
        if not np.allclose(a, b, rtol * scale, atol * scale, equal_nan=True):
            with np.errstate(all="ignore"):
                worst = np.abs(a.astype(np.complex128) - b) if b.size else np.zeros(1)
            raise Difference(stage, f"worst difference {np.nanmax(worst):.3g} of {dtype}")
        return
    if isinstance(theirs, (list, tuple)):
        if not isinstance(ours, (list, tuple)) or len(ours) != len(theirs):
            raise Difference(stage, f"got {type(ours).__name__}, torch {len(theirs)} results")
        for a, b in zip(ours, theirs):
            compare(stage, a, b, values, scale)
        return
    if isinstance(theirs, (bool, int, float, complex)) and values:
        if not np.allclose(ours, theirs, 1e-9, 1e-10, equal_nan=True):
            raise Difference(stage, f"{ours} instead of {theirs}")


def weighted(lib: Any, results: list[Any], level: int) -> Any:
    """A sum of all results that depends on every element; ``None`` without a differentiable one."""
    total = None
    for k, t in enumerate(results):
        if not (t.is_floating_point() or t.is_complex()) or not t.requires_grad:
            continue
        weights = np.cos(np.arange(t.numel()) * (k + 2.0 + level) + 1.0).reshape(tuple(t.shape))
        if t.is_complex():
            weights = np.asarray(weights + 1j * np.sin(weights * 3))
        w = lib.from_numpy(weights).to(t.dtype)
        part = (t * w).sum()
        part = part.real if t.is_complex() else part
        total = part if total is None else total + part
    return total


@dataclass
class Case:
    """One call on both sides."""

    record: Any
    sample: Any
    function: Callable[..., Any]
    theirs: Callable[..., Any]

    def outputs(self, lib: Any, function: Any, args: Any, order: int) -> list[Any]:
        """Results, then gradients by all inputs that require them, up to ``order``."""
        sample = self.sample if lib is torch else args
        out = (
            function(sample[0], *sample[1], **sample[2])
            if lib is fg
            else function(sample.input, *sample.args, **sample.kwargs)
        )
        kind = torch.Tensor if lib is torch else fg.Tensor
        inputs = (
            tensors((sample.input, sample.args, sample.kwargs), kind)
            if lib is torch
            else tensors(sample, kind)
        )
        leaves = [t for t in inputs if t.requires_grad]
        levels: list[Any] = [out]
        shown = self.sample.output_process_fn_grad(out)
        current = tensors(shown, kind)
        for level in range(order):
            total = weighted(lib, current, level)
            if total is None or not leaves or not total.requires_grad:
                break
            current = list(
                lib.autograd.grad(
                    total, leaves, create_graph=True, allow_unused=True, materialize_grads=True
                )
            )
            levels.append(current)
        return levels

    def check(self, order: int = 2, jit: bool = True) -> None:
        """Raise ``Difference`` at the first stage that differs."""
        values = self.record.name not in RANDOM
        try:
            theirs = self.outputs(torch, self.theirs, None, order)
        except (RuntimeError, NotImplementedError) as error:
            if "not implemented" in str(error) and order > 0:
                return self.check(order - 1, jit)
            raise
        args = (
            convert(self.sample.input), convert(self.sample.args), convert(self.sample.kwargs)
        )  # fmt: skip
        stages = ("forward", "gradient", "second derivative")
        # one derivative at a time, so that the first stage that fails is named
        for level in range(len(theirs)):
            try:
                ours = self.outputs(fg, self.function, args, level)
            except Exception as error:
                text = str(error).split("\n")
                raise Difference(
                    stages[level], f"{type(error).__name__}: {' / '.join(text[:3])}"
                ) from error
            if len(ours) <= level:
                raise Difference(stages[level], "no gradient reaches the inputs")
            ours_shown, theirs_shown = ours[level], theirs[level]
            if level == 0:
                ours_shown = self.sample.output_process_fn_grad(ours_shown)
                theirs_shown = self.sample.output_process_fn_grad(theirs_shown)
            compare(stages[level], ours_shown, theirs_shown, values, 10.0**level)
        if jit:
            self.check_jit(args, len(theirs) - 1, values)

    def check_jit(self, args: Any, order: int, values: bool) -> None:
        """Compare jit with eager: everything in one compiled call."""
        eager = tensors(self.outputs(fg, self.function, args, order), fg.Tensor)
        found: list[Any] = []

        def run() -> Any:
            found[:] = tensors(self.outputs(fg, self.function, args, order), fg.Tensor)
            return [t.detach() for t in found]

        try:
            compiled = fg.jit(run)()
        except Exception as error:
            text = str(error).split("\n")
            raise Difference("jit", f"{type(error).__name__}: {' / '.join(text[:3])}") from error
        if len(compiled) != len(eager):
            raise Difference("jit", f"{len(compiled)} results, eager {len(eager)}")
        for a, b in zip(compiled, eager):
            if a.dtype is not b.dtype or a.shape != b.shape:
                raise Difference("jit", f"{a.dtype}{list(a.shape)}, eager {b.dtype}{list(b.shape)}")
            if values:
                reduced = a.dtype.name == "bfloat16"
                x, y = (
                    t.detach().float().numpy() if reduced else t.detach().numpy() for t in (a, b)
                )
                rtol, atol = TOLERANCE.get(a.dtype.name, (0.0, 0.0))
                if not np.allclose(x, y, rtol, atol, equal_nan=True):
                    raise Difference("jit", "differs from eager")


def cases(record: Any, function: Callable[..., Any], dtype: torch.dtype) -> Iterator[Case]:
    """Every sample of a record; inputs require gradients where PyTorch differentiates."""
    grad = record.supports_autograd and (dtype.is_floating_point or dtype.is_complex)
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        drawn = list(record.sample_inputs("cpu", dtype, requires_grad=grad))
    for sample in drawn:
        yield Case(record, sample, function, record.op)


# Names whose record calls something else than the function of that name.
SPECIAL: dict[str, Callable[..., Any]] = {
    "__getitem__": lambda x, index: x[index],
}


def dtypes_of(record: Any, wanted: str) -> list[torch.dtype]:
    """The dtypes of a record that are tried: ``float64`` or else the first integer one; more."""
    supported = record.dtypes
    if wanted == "main":
        for dtype in (torch.float64, torch.float32, torch.int64, torch.bool):
            if dtype in supported:
                return [dtype]
        return list(itertools.islice(supported, 1))
    chosen = getattr(torch, wanted)
    return [chosen] if chosen in supported else []


def check_record(
    name: str, wanted: str = "main", most: int | None = None, order: int = 2, jit: int = 2
) -> tuple[int, list[str]]:
    """Run the samples of all records of a name.

    Args:
        name: name of the record.
        wanted: ``main`` or the name of a dtype.
        most: number of samples, spread over all; all when ``None``.
        order: highest derivative.
        jit: number of samples that are compiled, too.

    Returns:
        the number of samples run, and a line for each difference.
    """
    function = SPECIAL.get(name) or resolve(name)
    if function is None:
        return 0, ["missing"]
    count, problems = 0, []
    for record in records()[name]:
        for dtype in dtypes_of(record, wanted):
            drawn = list(cases(record, function, dtype))
            if most is not None and len(drawn) > most:
                drawn = [drawn[int(k)] for k in np.linspace(0, len(drawn) - 1, most)]
            compiled = (
                {int(k) for k in np.linspace(0, max(len(drawn) - 1, 0), jit)} if jit else set()
            )
            highest = order if record.supports_gradgrad else min(order, 1)
            for k, case in enumerate(drawn):
                count += 1
                try:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        case.check(highest, k in compiled)
                except Difference as difference:
                    variant = record.variant_test_name or ""
                    what = case.sample.summary() if hasattr(case.sample, "summary") else ""
                    problems.append(f"{variant} {str(dtype)[6:]} {difference} | {what}"[:400])
    return count, problems
