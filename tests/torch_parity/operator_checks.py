"""Comparison of one sample on both sides: forward, dtype, first and second derivatives, jit, the
method and in-place forms, strided operands, and the errors of bad calls.

Each check raises ``Difference``, or returns one for each stage that differs.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from operator_rounding import near, widened
from operator_samples import (
    SPECIAL,
    STRIDED,
    Call,
    Sample,
    convert,
    dtypes_of,
    error_samples,
    function_of,
    is_wrapper,
    matches,
    needs_values,
    plain,
    records,
    resolve,
    samples,
    spread,
    tensors,
)

import fusegrad as fg

# Relative and absolute tolerance by dtype of the result: rounding of another order of operations.
TOLERANCE = {
    "float64": (1e-9, 1e-10), "complex128": (1e-9, 1e-10), "float32": (1e-4, 1e-5),
    "complex64": (1e-4, 1e-5), "float16": (4e-3, 4e-3), "bfloat16": (3e-2, 3e-2),
}  # fmt: skip
STAGES = ("forward", "gradient", "second derivative")


@dataclass
class Difference(AssertionError):
    """Something differs: in which stage, and how."""

    stage: str
    text: str

    def __str__(self) -> str:
        return f"{self.stage}: {self.text}"


def short(error: Exception) -> str:
    """The type and first lines of an error."""
    return f"{type(error).__name__}: {' / '.join(str(error).splitlines()[:3])}"


# --- values -------------------------------------------------------------------------------------
def compare(stage: str, ours: Any, theirs: Any, values: bool = True, scale: float = 1.0) -> None:
    """Raise ``Difference`` unless both results are the same."""
    if isinstance(theirs, torch.Tensor):
        _compare_tensors(stage, ours, theirs, values, scale)
    elif isinstance(theirs, (list, tuple)):
        if not isinstance(ours, (list, tuple)) or len(ours) != len(theirs):
            raise Difference(stage, f"got {type(ours).__name__}, torch {len(theirs)} results")
        for a, b in zip(ours, theirs):
            compare(stage, a, b, values, scale)
    elif isinstance(theirs, (bool, int, float, complex)):
        if type(ours) is not type(theirs):
            raise Difference(stage, f"got {type(ours).__name__}, torch {type(theirs).__name__}")
        if values and not np.allclose(ours, theirs, 1e-9, 1e-10, equal_nan=True):
            raise Difference(stage, f"{ours} instead of {theirs}")


def _compare_tensors(stage: str, ours: Any, theirs: Any, values: bool, scale: float) -> None:
    if not isinstance(ours, fg.Tensor):
        raise Difference(stage, f"got {type(ours).__name__}, torch a tensor")
    dtype = str(theirs.dtype).removeprefix("torch.")
    if ours.dtype.name != dtype:
        raise Difference(stage, f"dtype {ours.dtype}, torch {theirs.dtype}")
    if tuple(ours.shape) != tuple(theirs.shape):
        raise Difference(stage, f"shape {tuple(ours.shape)}, torch {tuple(theirs.shape)}")
    if values:
        theirs = plain(theirs)
        theirs = theirs.float() if dtype == "bfloat16" else theirs
        _close(stage, array(ours), theirs.numpy(), dtype, scale)


def array(x: Any) -> np.ndarray:
    """The values of a tensor of fusegrad."""
    x = x.detach()
    return np.asarray((x.float() if x.dtype.name == "bfloat16" else x).numpy())


def _close(stage: str, a: np.ndarray, b: np.ndarray, dtype: str, scale: float = 1.0) -> None:
    rtol, atol = TOLERANCE.get(dtype, (0.0, 0.0))
    if not np.allclose(a, b, rtol * scale, atol * scale, equal_nan=True):
        with np.errstate(all="ignore"):
            gap = np.abs(a.astype(np.complex128) - b.astype(np.complex128))
            gap = np.where(np.isnan(gap), np.inf, gap)
        gap -= np.where(np.isfinite(b), rtol * scale * np.abs(b), 0)
        gap[(a == b) | np.isnan(a) & np.isnan(b)] = -1
        at = np.unravel_index(np.argmax(gap), gap.shape)
        raise Difference(stage, f"{a[at]} instead of {b[at]} of {dtype} at {[*map(int, at)]}")


# --- derivatives --------------------------------------------------------------------------------
def weighted(lib: Any, results: list[Any], level: int) -> Any:
    """A sum of all results that depends on every element; ``None`` without a differentiable one."""
    total = None
    for k, t in enumerate(results):
        if not (t.is_floating_point() or t.is_complex()) or not t.requires_grad:
            continue
        weights = np.cos(np.arange(t.numel()) * (k + 2.0 + level) + 1.0).reshape(tuple(t.shape))
        if t.is_complex():
            weights = np.asarray(weights + 1j * np.sin(weights * 3))
        part = (t * lib.from_numpy(np.asarray(weights)).to(t.dtype)).sum()
        part = part.real if t.is_complex() else part
        total = part if total is None else total + part
    return total


def differentiated(call: Call, level: int, current: list[Any]) -> list[Any] | None:
    """Gradients by all leaves of a weighted sum; ``None`` when nothing depends on them."""
    total = weighted(call.lib, current, level)
    if total is None or not call.leaves:
        return None
    return list(
        call.lib.autograd.grad(
            total, call.leaves, create_graph=True, allow_unused=True, materialize_grads=True
        )
    )


def levels(call: Call, order: int) -> list[Any]:
    """Results, then gradients up to ``order``; shorter where there is nothing to differentiate."""
    found: list[Any] = [call.run()]
    for level in range(order):
        current = differentiated(call, level, tensors(found[-1], call.lib.Tensor))
        if current is None:
            break
        found.append(current)
    return found


def their_levels(call: Call, order: int) -> list[Any]:
    """PyTorch's; the order goes down where PyTorch has no derivative of that order."""
    try:
        return levels(call, order)
    except (RuntimeError, NotImplementedError):
        if order == 0:
            raise
        return their_levels(call, order - 1)


# --- checks -------------------------------------------------------------------------------------
def check(sample: Sample, order: int = 2) -> list[Difference]:
    """Compare forward and derivatives; a stage that differs does not hide the next one."""
    values = sample.comparable
    theirs = their_levels(sample.theirs, order)
    call = sample.ours
    found: list[Any] = []
    differences = []
    for level, expected in enumerate(theirs):
        stage = STAGES[level]
        try:
            got = call.run() if level == 0 else _next(call, level - 1, found[-1])
        except Exception as error:
            return [*differences, Difference(stage, short(error))]
        if got is None:
            if level == 1:
                return [*differences, Difference(stage, "the result does not require grad")]
            # a constant gradient has zeros for a derivative, recorded or not
            got = [fg.zeros_like(x) for x in call.leaves]
        found.append(got)
        if level and sample.tied:  # a gradient goes to any of equal elements
            got, expected = _ordered(call, got), _ordered(sample.theirs, expected)
        try:
            compare(stage, got, expected, values, 10.0**level)
        except Difference as difference:
            rounding = _is_nearer(sample, level, got, expected)
            differences.append(Difference("rounding", str(difference)) if rounding else difference)
    return differences


def _ordered(call: Call, gradients: list[Any]) -> list[Any]:
    """Gradients in the order of the elements they belong to, those of equal ones by size."""
    found = []
    for x, gradient in zip(call.leaves, gradients):
        key, value = (_wide(t).ravel() for t in (x, gradient))
        ordered = value[np.lexsort((value, key))]
        found.append(call.lib.from_numpy(ordered).to(gradient.dtype))
    return found


def _wide(x: Any) -> np.ndarray:
    x = x if isinstance(x, fg.Tensor) else plain(x)
    return np.asarray(x.detach().double().numpy())


def tolerance(x: torch.Tensor, level: int) -> tuple[float, float]:
    """Relative and absolute tolerance of a derivative of that order."""
    rtol, atol = TOLERANCE.get(str(x.dtype)[6:], (0.0, 0.0))
    return rtol * 10.0**level, atol * 10.0**level


def _is_nearer(sample: Sample, level: int, got: Any, expected: Any) -> bool:
    """Whether results agree with what PyTorch computes in double precision, or are as near to it
    as PyTorch's own."""
    call = sample.theirs
    call.args, call.kwargs = widened((call.args, call.kwargs))
    ours, theirs = tensors(got, fg.Tensor), tensors(expected, torch.Tensor)
    if [a.dtype.name for a in ours] != [str(b.dtype)[6:] for b in theirs]:
        return False
    try:
        exact = tensors(their_levels(call, level)[level], torch.Tensor)
    except (LookupError, RuntimeError, ValueError):
        return False
    if [x.shape for x in exact] != [x.shape for x in theirs] or len(ours) != len(theirs):
        return False
    found = zip(ours, theirs, exact)
    return all(near(array(a), plain(b), plain(e), tolerance(b, level)) for a, b, e in found)


def _next(call: Call, level: int, last: Any) -> list[Any] | None:
    return differentiated(call, level, tensors(last, fg.Tensor))


def compilable(call: Call, order: int) -> tuple[Callable[..., list[Any]], list[Any]]:
    """The call and its derivatives as a function of its tensors, and those tensors."""

    def function(*operands: Any) -> list[Any]:
        args, kwargs = replaced((call.args, call.kwargs), iter(operands))
        found = levels(Call(fg, call.function, args, kwargs, call.shown), order)
        return [t.detach() for t in tensors(found, fg.Tensor)]

    return function, tensors((call.args, call.kwargs), fg.Tensor)


def replaced(value: Any, operands: Iterator[Any]) -> Any:
    """A nesting with other tensors, in the order of ``tensors``."""
    if isinstance(value, fg.Tensor):
        return next(operands)
    if isinstance(value, (list, tuple)):
        return type(value)(replaced(v, operands) for v in value)
    if isinstance(value, dict):
        return {k: replaced(v, operands) for k, v in value.items()}
    return value


def check_jit(sample: Sample, order: int) -> None:
    """Compare jit with eager: everything in one compiled call."""
    values, call = sample.comparable, sample.ours
    order = len(their_levels(sample.theirs, order)) - 1
    try:
        eager = tensors(levels(call, order), fg.Tensor)
    except Exception:
        return  # reported by the comparison with PyTorch
    function, operands = compilable(call, order)
    try:
        compiled = fg.jit(function)(*operands)
    except Exception as error:
        if isinstance(error, fg.errors.TracedValueError) and needs_values(sample.name):
            return
        raise Difference("jit", short(error)) from error
    if len(compiled) != len(eager):
        raise Difference("jit", f"{len(compiled)} results, eager {len(eager)}")
    for a, b in zip(compiled, eager):
        if a.dtype is not b.dtype or a.shape != b.shape:
            raise Difference("jit", f"{a.dtype}{list(a.shape)}, eager {b.dtype}{list(b.shape)}")
        if values:
            _close("jit", array(a), array(b), a.dtype.name, 10.0)


def check_forms(sample: Sample) -> None:
    """The method, operator, in-place forms and aliases do what PyTorch's do."""
    record = sample.record
    for alias in record.aliases:
        _check_form("alias", sample, alias.op, resolve(alias.name), False)
    if record.method_variant is not None:
        _check_form("method", sample, record.method_variant, None, False)
    if record.operator_variant is not None:
        _check_form("operator", sample, record.operator_variant, record.operator_variant, False)
    if record.inplace_variant is not None:
        _check_form("in place", sample, record.inplace_variant, None, True)
    if record.inplace_operator_variant is not None:
        operator = record.inplace_operator_variant
        _check_form("in-place operator", sample, operator, operator, True)


def _check_form(stage: str, sample: Sample, theirs: Any, ours: Any, in_place: bool) -> None:
    if isinstance(theirs, functools.partial):  # a function with inplace=True
        name, ours = str(theirs.keywords), functools.partial(sample.function, **theirs.keywords)
    else:
        name = getattr(theirs, "__name__", str(theirs))
        ours = ours if ours is not None else getattr(fg.Tensor, name, None)
    stage = f"{stage} {name}"
    values = sample.comparable
    if not isinstance(sample.drawn.input, torch.Tensor) or name == "<lambda>":
        return
    refused: Exception | None = None
    try:
        expected = _form_results(sample.theirs, theirs, in_place)
    except NotImplementedError:
        return  # PyTorch has the form, but not its derivative
    except Exception as error:
        refused = error
    if ours is None:
        if refused is None:
            raise Difference(stage, "missing")
        return
    try:
        got = _form_results(sample.ours, ours, in_place)
    except Exception as error:
        grows = in_place and sample.drawn.broadcasts_input  # PyTorch resizes the operand of some
        if refused is None and not grows:
            raise Difference(stage, short(error)) from error
        return
    if refused is not None:
        raise Difference(stage, f"no error; torch {short(refused)}")
    if sample.tied:
        got[1], expected[1] = _ordered(sample.ours, got[1]), _ordered(sample.theirs, expected[1])
    for what, a, b in zip(("", " gradient"), got, expected):
        compare(stage + what, a, b, values, 10.0)


def _form_results(call: Call, function: Any, in_place: bool) -> list[Any]:
    """Results and gradients of another form of the call; in place on a copy of the operand."""
    first, *rest = call.args
    if in_place:
        first = first.clone()
    out = call.shown(function(first, *rest, **call.kwargs))
    results = [first, out] if in_place else [out]
    return [results, differentiated(call, 0, tensors(results, call.lib.Tensor)) or []]


def check_out(sample: Sample) -> None:
    """``out=`` receives the result, whatever its shape was, and is returned."""
    record = sample.record
    if not record.supports_out or is_wrapper(record.op) or sample.name in SPECIAL:
        return
    values = sample.comparable
    with torch.no_grad(), fg.no_grad():
        expected = sample.theirs.function(*sample.theirs.args, **sample.theirs.kwargs)
        dtypes = [t.dtype for t in tensors(expected, torch.Tensor)]
        if not dtypes or not _takes_out(sample.theirs, dtypes):
            return
        call = sample.ours
        outs = tuple(fg.empty(0, dtype=convert(d)) for d in dtypes)
        given = outs if isinstance(expected, (tuple, list)) else outs[0]
        try:
            got = call.function(*call.args, **call.kwargs, out=given)
        except Exception as error:
            raise Difference("out", short(error)) from error
        if any(a is not b for a, b in zip(tensors(got, fg.Tensor), outs, strict=True)):
            raise Difference("out", "another tensor is returned")
        compare("out", call.shown(got), sample.theirs.shown(expected), values)


def _takes_out(call: Call, dtypes: list[torch.dtype]) -> bool:
    """Whether PyTorch's function knows the keyword; some records only leave it open."""
    outs = tuple(torch.empty(0, dtype=d) for d in dtypes)
    try:
        call.function(*call.args, **call.kwargs, out=outs if len(outs) > 1 else outs[0])
    except TypeError:
        return False
    except RuntimeError:
        pass  # it does not take these
    return True


def check_strided(sample: Sample) -> None:
    """The same numbers in memory with gaps give the same results."""
    if not sample.comparable or matches(sample.name, STRIDED):
        return
    call = sample.ours
    try:
        contiguous = levels(call, 1)
    except Exception:
        return  # reported by the comparison with PyTorch
    call.args, call.kwargs = _gapped(call.args), _gapped(call.kwargs)
    try:
        strided = levels(call, 1)
    except Exception as error:
        raise Difference("strided", short(error)) from error
    for a, b in zip(tensors(strided, fg.Tensor), tensors(contiguous, fg.Tensor), strict=True):
        _close("strided", array(a), array(b), a.dtype.name, 10.0)


def _gapped(value: Any) -> Any:
    """Tensors as every other element of larger ones that hold other numbers in between."""
    if isinstance(value, fg.Tensor):
        source = array(value)
        wide = np.full((*source.shape, 2), 77).astype(value.dtype.np)
        wide[..., 1] = source
        out = fg.from_numpy(wide[..., 1])
        return out.requires_grad_() if value.requires_grad else out
    if isinstance(value, (list, tuple)):
        return type(value)(map(_gapped, value))
    if isinstance(value, dict):
        return {k: _gapped(v) for k, v in value.items()}
    return value


def check_error(sample: Sample, expected: type[Exception], tolerated: bool) -> None:
    """A bad call raises an error of PyTorch's family, with our text."""
    try:
        sample.ours.run()
    except fg.errors.FusegradError as error:
        if not isinstance(error, expected) and not tolerated:
            raise Difference("errors", f"{short(error)}; torch {expected.__name__}") from error
    except Exception as error:
        raise Difference("errors", f"not one of ours: {short(error)}") from error
    else:
        if not tolerated:
            raise Difference("errors", f"no error; torch {expected.__name__}")


# --- a record -----------------------------------------------------------------------------------
@dataclass(frozen=True)
class Extent:
    """How much of a record is run.

    Attributes:
        dtype: ``main`` (float64 first) or the name of a dtype.
        most: samples per record, spread over all; all when ``None``.
        order: highest derivative.
        jit: samples per record that are compiled, too.
        jit_order: highest derivative that is compiled.
        forms, strided, errors: run these stages, too.
    """

    dtype: str = "main"
    most: int | None = None
    order: int = 2
    jit: int = 2
    jit_order: int = 2
    forms: bool = False
    strided: bool = False
    errors: bool = False


def check_record(name: str, extent: Extent) -> tuple[int, list[Difference]]:
    """Run the samples of all records of a name.

    Returns:
        the number of samples run, and what differs.
    """
    count, problems = 0, []
    for record in records()[name]:
        if function_of(record) is None:
            return 0, [Difference("forward", "missing")]
        for dtype in dtypes_of(record, extent.dtype):
            drawn = samples(record, dtype, extent.most)
            compiled = set(map(id, spread(drawn, extent.jit))) if extent.jit else set()
            order = extent.order if record.supports_gradgrad else min(extent.order, 1)
            for sample in drawn:
                count += 1
                problems += _problems(sample, check, order)
                if id(sample) in compiled:
                    problems += _problems(sample, check_jit, min(order, extent.jit_order))
                if extent.forms:
                    problems += _problems(sample, check_forms) + _problems(sample, check_out)
                problems += _problems(sample, check_strided) if extent.strided else []
        if extent.errors:
            for sample, kind, tolerated in error_samples(record):
                count += 1
                problems += _problems(sample, check_error, kind, tolerated)
    return count, problems


def _problems(sample: Sample, function: Any, *args: Any) -> list[Difference]:
    """What a check finds, with the sample that shows it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = function(sample, *args) or []
    except Difference as difference:
        found = [difference]
    variant = sample.record.variant_test_name
    shown = f"{variant}: {sample}" if variant else str(sample)
    return [Difference(d.stage, f"{d.text} | {shown}"[:500]) for d in found]
