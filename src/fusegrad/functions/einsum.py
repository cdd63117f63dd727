"""Einstein summation: any product of tensors summed over any of their axes.

The operands are reduced to plain labels first (diagonals of repeated ones, sums over those that
nothing else has), then pairs are contracted, the one that leaves the least memory first.
"""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from typing import Any

from ..dtypes import DType
from ..errors import ArgumentTypeError, DTypeError, ShapeError
from ..ops import contract, movement
from ..tensor import Tensor
from .arrangement import diagonal
from .pointwise import mul
from .reduction import sum
from .shape import expand, permute, reshape

_LETTERS = string.ascii_uppercase + string.ascii_lowercase
Labels = list[Any]  # letters or numbers; ellipsis axes are negative numbers, -1 the last


def einsum(*args: Any) -> Tensor:
    """The sum of products that an equation describes.

    Args:
        args: ``("ij,jk->ik", x, y)``; or the sublist form ``(x, [0, 1], y, [1, 2], [0, 2])``.
            Labels are letters (or numbers below 52), ``...`` stands for axes that are broadcast, a
            label twice in an operand for its diagonal. Without ``->`` the result has the labels
            that occur once, in order.

    Raises:
        RuntimeError: labels that do not fit the operands.

    Example:
        >>> import fusegrad as fg
        >>> x = fg.tensor([[1.0, 2.0], [3.0, 4.0]])
        >>> fg.einsum("ij,ij->i", x, x).tolist(), fg.einsum("ii", x).item()
        ([5.0, 25.0], 5.0)
    """
    if args and isinstance(args[0], str):
        operands = list(args[1:])
        if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
            operands = list(operands[0])
        subscripts, output = _parse(args[0])
    else:
        operands = list(args[: len(args) - len(args) % 2 : 2])
        subscripts = [_sublist(s) for s in args[1::2]]
        output = _sublist(args[-1]) if len(args) % 2 else None
    if len(operands) != len(subscripts) or not operands:
        raise ShapeError(
            f"einsum of {len(operands)} operands", f"There are {len(subscripts)} subscripts."
        )
    if not all(isinstance(x, Tensor) for x in operands):
        raise ArgumentTypeError("einsum", "The operands must be tensors.")
    labels = [_open(x, s) for x, s in zip(operands, subscripts, strict=True)]
    return _contract(operands, labels, _result(labels, output))


def _parse(equation: str) -> tuple[list[Labels], Labels | None]:
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    parts = [_letters(p, equation) for p in left.split(",")]
    return parts, _letters(right, equation) if arrow else None


def _letters(text: str, equation: str) -> Labels:
    out: Labels = []
    while text:
        if text.startswith("..."):
            out.append(Ellipsis)
            text = text[3:]
            continue
        if text[0] not in _LETTERS:
            raise ShapeError(
                f"einsum({equation!r})", f"{text[0]!r} is no letter; only letters name axes."
            )
        out.append(text[0])
        text = text[1:]
    return out


def _sublist(items: Sequence[Any]) -> Labels:
    for i in items:
        if i is not Ellipsis and not 0 <= i < len(_LETTERS):
            raise ShapeError(f"einsum with the label {i}", "Labels are numbers in [0, 52).")
    return [i if i is Ellipsis else _LETTERS[i] for i in items]


def _open(x: Tensor, labels: Labels) -> Labels:
    """Labels of all axes, ellipsis axes numbered from the last one, -1."""
    named = len(labels) - labels.count(Ellipsis)
    more = x.aval.ndim - named
    if labels.count(Ellipsis) > 1 or more < 0 or (more and Ellipsis not in labels):
        raise ShapeError(
            f"einsum of {x.aval} with {len(labels)} subscripts",
            "Each axis needs a label, and an ellipsis may occur once.",
        )
    if Ellipsis not in labels:
        return labels
    at = labels.index(Ellipsis)
    return [*labels[:at], *range(-more, 0), *labels[at + 1 :]]


def _result(labels: Sequence[Labels], output: Labels | None) -> Labels:
    used = [label for part in labels for label in part]
    wide = sorted({label for label in used if isinstance(label, int)})
    if output is None:
        once = sorted(x for x in set(used) if isinstance(x, str) and used.count(x) == 1)
        return [*wide, *sorted(once, key=_LETTERS.index)]
    out: Labels = []
    for label in output:
        out += wide if label is Ellipsis else [label]
    for label in out:
        if label not in used or out.count(label) > 1:
            raise ShapeError(
                f"einsum with {label!r} in the result",
                "Labels of the result occur once there and in some operand.",
            )
    return out


def _diagonals(x: Tensor, labels: Labels) -> tuple[Tensor, Labels]:
    labels = list(labels)
    for label in list(dict.fromkeys(labels)):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            if x.aval.shape[first] != x.aval.shape[second]:
                raise ShapeError(
                    f"einsum of {x.aval}", f"{label!r} names axes of different extents."
                )
            x = diagonal(x, 0, first, second)
            labels = [*[v for k, v in enumerate(labels) if k not in (first, second)], label]
    return x, labels


def _contract(operands: Sequence[Tensor], labels: Sequence[Labels], output: Labels) -> Tensor:
    parts = [_diagonals(x, named) for x, named in zip(operands, labels, strict=True)]
    extent: dict[Any, int] = {}
    for x, named in parts:
        for label, n in zip(named, x.aval.shape, strict=True):
            if extent.setdefault(label, n) != n and 1 not in (n, extent[label]):
                raise ShapeError(
                    f"einsum with {n} and {extent[label]} elements for {label!r}",
                    "Axes of one label have one extent, or 1.",
                )
            extent[label] = n if extent[label] == 1 else extent[label]
    parts = [_without_units(x, named, extent) for x, named in parts]
    while len(parts) > 1:
        a, b = _next_pair(parts, output, extent)
        rest = [p for k, p in enumerate(parts) if k not in (a, b)]
        keep = {*output, *[label for _, named in rest for label in named]}
        parts = [*rest, _product(parts[a], parts[b], keep)]
    x, named = _summed(*parts[0], set(output))
    if named != output:
        x = permute(x, *[named.index(label) for label in output if label in named])
        shape = [extent[label] for label in output]
        x = reshape(x, [n if label in named else 1 for label, n in zip(output, shape, strict=True)])
        x = expand(x, *shape)
    return x


def _without_units(x: Tensor, named: Labels, extent: dict[Any, int]) -> tuple[Tensor, Labels]:
    """Axes of extent 1 where others have more are broadcast: they need not be there."""
    kept = [k for k, v in enumerate(named) if x.aval.shape[k] == extent[v]]
    return reshape(x, [x.aval.shape[k] for k in kept]), [named[k] for k in kept]


def _next_pair(
    parts: Sequence[tuple[Tensor, Labels]], output: Labels, extent: dict[Any, int]
) -> tuple[int, int]:
    best, cost = (0, 1), math.inf
    for a in range(len(parts)):
        for b in range(a + 1, len(parts)):
            others = [v for k, (_, named) in enumerate(parts) if k not in (a, b) for v in named]
            joint = {*parts[a][1], *parts[b][1]}
            left = math.prod(extent[v] for v in joint if v in output or v in others)
            growth = left - parts[a][0].aval.size - parts[b][0].aval.size
            if growth < cost:
                best, cost = (a, b), growth
    return best


def _summed(
    x: Tensor, named: Labels, keep: set[Any], dtype: DType | None = None
) -> tuple[Tensor, Labels]:
    """The sum over labels that are not kept; of integers wide ones without a ``dtype``."""
    axes = [k for k, v in enumerate(named) if v not in keep]
    if not axes:
        return x, named
    return sum(x, axes, dtype=dtype), [v for v in named if v in keep]


def _product(
    first: tuple[Tensor, Labels], second: tuple[Tensor, Labels], keep: set[Any]
) -> tuple[Tensor, Labels]:
    """Contract two operands over the labels that nothing else needs."""
    x, lx = _summed(*first, keep | set(second[1]))
    y, ly = _summed(*second, keep | set(first[1]))
    shared = [v for v in lx if v in ly]
    batch, gone = [v for v in shared if v in keep], [v for v in shared if v not in keep]
    free_x, free_y = [v for v in lx if v not in shared], [v for v in ly if v not in shared]
    out = [*batch, *free_x, *free_y]
    if gone and x.dtype.is_floating_point and x.dtype is y.dtype:
        z = contract.dot(
            x,
            y,
            cx=tuple(lx.index(v) for v in gone),
            cy=tuple(ly.index(v) for v in gone),
            bx=tuple(lx.index(v) for v in batch),
            by=tuple(ly.index(v) for v in batch),
        )
        return z, out
    every = [*out, *gone]
    z = mul(_aligned(x, lx, every), _aligned(y, ly, every))
    return _summed(z, every, set(out), z.dtype)


def _aligned(x: Tensor, named: Labels, every: Labels) -> Tensor:
    """``x`` with its axes in the order of ``every`` and unit axes for labels it lacks."""
    order = [named.index(v) for v in every if v in named]
    moved = movement.transpose(x, perm=tuple(order)) if order != sorted(order) else x
    sizes = iter(moved.aval.shape)
    return reshape(moved, [next(sizes) if v in named else 1 for v in every])


def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """The sum of products over several axes of two tensors.

    Args:
        a, b: the operands.
        dims: that many last axes of ``a`` and first ones of ``b``; or two lists of axes.

    Example:
        >>> import fusegrad as fg
        >>> fg.tensordot(fg.ones(2, 3), fg.ones(3, 4), 1).shape
        fusegrad.Size([2, 4])
    """
    if a.dtype is not b.dtype:
        raise DTypeError(f"tensordot of {a.aval} and {b.aval}", "Both need one dtype.")
    if isinstance(dims, Tensor):
        dims = dims.tolist()  # type: ignore[attr-defined]
    if isinstance(dims, int):
        if dims < 0:
            raise ShapeError(f"tensordot over {dims} axes", "The number must not be negative.")
        over: Any = (list(range(a.aval.ndim - dims, a.aval.ndim)), list(range(dims)))
    else:
        over = [[d] if isinstance(d, int) else list(d) for d in dims]
    ca = [d % max(a.aval.ndim, 1) for d in over[0]]
    cb = [d % max(b.aval.ndim, 1) for d in over[1]]
    if len(ca) != len(cb):
        raise ShapeError(f"tensordot over {over}", "Both lists need the same number of axes.")
    free = iter(_LETTERS)
    la: Labels = [next(free) for _ in range(a.aval.ndim)]
    lb: Labels = [next(free) for _ in range(b.aval.ndim)]
    for i, j in zip(ca, cb, strict=True):
        lb[j] = la[i]
    out = [v for v in la if v not in lb] + [v for v in lb if v not in la]
    return _contract([a, b], [la, lb], out)
