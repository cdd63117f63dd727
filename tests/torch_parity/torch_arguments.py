"""How the names in braces of ``torch_operations.py`` are drawn: each as a piece of program text.

A kind is a function of the drawing and what follows the colon. It raises ``Skip`` when no earlier
value will do. A *wild* drawing takes arguments that may not fit, so that errors are compared too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

EXTENTS = (1, 2, 3, 4, 5, 7)
INTEGERS = (torch.int64, torch.int32, torch.uint8, torch.int8, torch.int16)
CLASSES: dict[str, Callable[[torch.dtype], bool]] = {
    "float": lambda d: d.is_floating_point,
    "int": lambda d: d in INTEGERS,
    "number": lambda d: d is not torch.bool,
    "bool": lambda d: d is torch.bool,
    "complex": lambda d: d.is_complex,
    "any": lambda d: True,
}
LARGEST = 600
KINDS: dict[str, Callable[..., str]] = {}
NAME = re.compile(r"\{(\w+)(?::([^{}]*))?\}")


class Skip(Exception):
    """No earlier value fits."""


def kind(function: Callable[..., str]) -> Callable[..., str]:
    """Register what a name in braces means."""
    KINDS[function.__name__.rstrip("_")] = function
    return function


class Drawing:
    """The arguments of one line while they are drawn.

    Attributes:
        values: earlier values, PyTorch's.
        masks: whether an index may have masks (the shape then depends on values).
        dtypes: what ``{dtype}`` may become, the usual ones when empty.
        x: the tensor that ``{x}`` became; ``axis`` the number that ``{dim}`` became.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        values: list[Any],
        kind: str,
        wild: bool,
        masks: bool = True,
        dtypes: tuple[str, ...] = (),
    ) -> None:
        self.rng, self.values, self.kind, self.wild, self.masks = rng, values, kind, wild, masks
        self.dtypes = dtypes
        self.x: Any = None
        self.axis = 0
        self.known: dict[str, str] = {}
        self.text = ""

    def fill(self, text: str) -> str:
        """The line with everything drawn, from left to right, ``{x}`` and ``{dim}`` first."""
        self.text = text
        names = list(NAME.finditer(text))
        wild = int(self.rng.integers(len(names) or 1)) if self.wild else -1
        for match in sorted(names, key=lambda f: {"x": 0, "full": 0, "dim": 1}.get(f.group(1), 2)):
            if match.group(0) not in self.known:
                self.wild = wild >= 0 and match.span() == names[wild].span()
                self.known[match.group(0)] = KINDS[match.group(1)](self, match.group(2) or "")
        return NAME.sub(lambda match: self.known[match.group(0)], text)

    def pick(self, fits: Callable[[torch.Tensor], bool]) -> int:
        """One of the fitting values, later ones more often."""
        accepted = CLASSES["any" if self.wild and self.chance(0.3) else self.kind]
        options = [k for k, v in enumerate(self.values) if accepted(v.dtype) and fits(v)]
        if not options:
            raise Skip
        weights = np.arange(1, len(options) + 1) ** 1.5
        return int(options[self.rng.choice(len(options), p=weights / weights.sum())])

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def number(self, low: int, high: int) -> int:
        """An integer of ``[low, high)``, ``low`` when that is empty."""
        return int(self.rng.integers(low, max(high, low + 1)))

    def signed(self, position: int, extent: int) -> int:
        """The position, or the negative number that means the same."""
        return position - extent if self.chance(0.3) else position

    def size(self) -> int:
        """Extent of ``{x}`` along ``{dim}``."""
        return int(self.x.shape[self.axis]) if self.x.dim() else 1


def _broadcasts(*shapes: Any) -> tuple[int, ...] | None:
    try:
        out = np.broadcast_shapes(*shapes)
    except ValueError:
        return None
    return out if np.prod(out) <= LARGEST else None


# --- tensors --------------------------------------------------------------------------------------
@kind
def x(d: Drawing, dims: str) -> str:
    if d.x is not None:  # the same value under another condition
        k = next(k for k, v in enumerate(d.values) if v is d.x)
        return f"v{k}"
    low, _, high = dims.partition("-")
    least, most = int(low or 0), int(high or 9)
    if d.wild and "F." not in d.text and d.chance(0.3):  # the order of checks is not compared
        least, most = 0, 9
    k = d.pick(lambda v: least <= v.dim() <= most)
    d.x = d.values[k]
    return f"v{k}"


@kind
def full(d: Drawing, dims: str) -> str:
    """``{x}`` with at least one element."""
    text = x(d, dims)
    if not d.x.numel():
        raise Skip
    return text


@kind
def even(d: Drawing, _: str) -> str:
    k = d.pick(lambda v: v.dim() > 0 and v.shape[-1] % 2 == 0)
    d.x = d.values[k]
    return f"v{k}"


@kind
def y(d: Drawing, _: str) -> str:
    if d.wild and d.chance(0.5):
        return f"v{d.pick(lambda v: True)}"
    return f"v{d.pick(lambda v: _broadcasts(v.shape, d.x.shape) is not None)}"


@kind
def z(d: Drawing, _: str) -> str:
    shapes = [d.x.shape]
    if "{y}" in d.known:
        shapes.append(d.values[int(d.known["{y}"][1:])].shape)
    return f"v{d.pick(lambda v: _broadcasts(v.shape, *shapes) is not None)}"


@kind
def u(d: Drawing, _: str) -> str:
    if d.wild and d.chance(0.5):
        return f"v{d.pick(lambda v: True)}"
    return f"v{d.pick(lambda v: _broadcasts(v.shape, d.x.shape) == tuple(d.x.shape))}"


@kind
def same(d: Drawing, _: str) -> str:
    if d.wild and d.chance(0.5):
        return f"v{d.pick(lambda v: True)}"
    return f"v{d.pick(lambda v: v.shape == d.x.shape and v.dtype == d.x.dtype)}"


@kind
def cat(d: Drawing, _: str) -> str:
    def rest(v: Any) -> Any:
        return [n for k, n in enumerate(v.shape) if k != d.axis % d.x.dim()]

    if d.wild and d.chance(0.5):
        return f"v{d.pick(lambda v: True)}"
    return f"v{d.pick(lambda v: v.dim() == d.x.dim() and rest(v) == rest(d.x))}"


@kind
def b(d: Drawing, _: str) -> str:
    shape = d.x.shape
    options = [
        k
        for k, v in enumerate(d.values)
        if v.dtype is torch.bool and _broadcasts(v.shape, shape) == tuple(shape) and v.dim() > 0
        and v.shape == shape
    ]  # fmt: skip
    if options and d.chance(0.8):
        return f"v{options[d.number(0, len(options))]}"
    if np.prod(shape) > 40:
        raise Skip
    mask = (d.rng.random(tuple(shape)) < 0.5).tolist()
    return f"m.tensor({mask}, dtype=m.bool).reshape({tuple(shape)})"


@kind
def spread(d: Drawing, _: str) -> str:
    """A ramp that keeps equal elements apart: which of them is picked is not defined."""
    shape = tuple(d.x.shape)
    return f"m.linspace(0, 0.37, {d.x.numel()}, dtype=m.float64).reshape({shape})"


@kind
def factors_of_product(d: Drawing, _: str) -> str:
    pairs = []
    for a, p in enumerate(d.values):
        for c, q in enumerate(d.values):
            if p.dtype is not q.dtype or p.dtype is torch.bool or not p.dim() or not q.dim():
                continue
            inner = q.shape[-2] if q.dim() > 1 else q.shape[0]
            if p.shape[-1] == inner and _broadcasts(p.shape[:-2], q.shape[:-2]) is not None:
                pairs.append((a, c))
    if d.wild:
        return f"v{d.number(0, len(d.values))}, v{d.number(0, len(d.values))}"
    if not pairs:
        raise Skip
    a, c = pairs[d.number(0, len(pairs))]
    return f"v{a}, v{c}"


def _cut(d: Drawing, shape: tuple[int, ...]) -> str:
    """A tensor of a shape: the first elements of an earlier value of the dtype of ``{x}``."""
    count = int(np.prod(shape))
    options = [k for k, v in enumerate(d.values) if v.dtype is d.x.dtype and v.numel() >= count > 0]
    if not options:
        raise Skip
    k = options[d.number(0, len(options))]
    return f"v{k}.reshape(-1)[:{count}].reshape{shape if len(shape) > 1 else f'({shape[0]})'}"


@kind
def weights(d: Drawing, _: str) -> str:
    return _cut(d, (d.number(1, 4), d.x.shape[-1]))


@kind
def conv(d: Drawing, rank: str) -> str:
    n, d.wild = int(rank), False
    k = d.pick(lambda v: v.dim() in (n + 1, n + 2) and min(v.shape) > 0)
    d.x = d.values[k]
    extents, channels = d.x.shape[-n:], d.x.shape[-n - 1]
    groups = channels if d.chance(0.2) else 1
    window = tuple(d.number(1, min(e, 3) + 1) for e in extents)
    weight = _cut(d, (groups * d.number(1, 3), channels // groups, *window))
    stride, padding, dilation = d.number(1, 3), d.number(0, 2), d.number(1, 3)
    if d.chance(0.2):
        return f"v{k}, {weight}, padding='same', dilation={dilation}, groups={groups}"
    return (
        f"v{k}, {weight}, stride={stride}, padding={padding}, dilation={dilation}, groups={groups}"
    )


@kind
def convt(d: Drawing, rank: str) -> str:
    n, d.wild = int(rank), False
    k = d.pick(lambda v: v.dim() in (n + 1, n + 2) and min(v.shape) > 0)
    d.x = d.values[k]
    weight = _cut(d, (d.x.shape[-n - 1], d.number(1, 3), *[d.number(1, 4) for _ in range(n)]))
    return f"v{k}, {weight}, stride={d.number(1, 3)}, padding={d.number(0, 2)}"


@kind
def pool(d: Drawing, rank: str) -> str:
    n, d.wild = int(rank), False
    k = d.pick(lambda v: v.dim() in (n + 1, n + 2) and min(v.shape) > 0)
    d.x = d.values[k]
    window = d.number(1, 4)
    padding = d.number(0, window // 2 + 1)
    return (
        f"v{k}, {window}, stride={d.number(1, 4)}, padding={padding}, "
        f"ceil_mode={d.chance(0.3)}"
    )  # fmt: skip


# --- numbers and options --------------------------------------------------------------------------
@kind
def of(d: Drawing, options: str) -> str:
    listed = options.split("|")
    return listed[d.number(0, len(listed))]


@kind
def int_(d: Drawing, span: str) -> str:
    low, high = span.split(":")
    return str(d.number(int(low), int(high)))


@kind
def c(d: Drawing, _: str) -> str:
    return of(d, "-1.5|0.5|2.0|0|3|-2|True|0.25")


@kind
def n(d: Drawing, _: str) -> str:
    return of(d, "0|1|3|2" if d.kind in ("any", "number", "bool") else "0|1.5|-2|0.25")


@kind
def cc(d: Drawing, _: str) -> str:
    return of(d, "2j|(0.5-1j)|(1+0.25j)|-1j|(-1.5+0j)|1.5")


@kind
def nz(d: Drawing, _: str) -> str:
    return of(d, "2|3|-2|1.5|-0.5|4" if d.x.dtype is not torch.uint8 else "2|3|1.5|4")


@kind
def keep(d: Drawing, _: str) -> str:
    return str(d.chance(0.5))


@kind
def dtype(d: Drawing, _: str) -> str:
    if d.dtypes:
        return f"m.{d.dtypes[d.number(0, len(d.dtypes))]}"
    if d.x.is_floating_point() and not d.chance(0.2):
        return of(d, "m.float32|m.float64")
    return of(d, "m.float32|m.float64|m.int64|m.int32|m.bool|m.uint8")


@kind
def reduction(d: Drawing, _: str) -> str:
    return of(d, "'mean'|'sum'|'none'")


@kind
def dim(d: Drawing, which: str) -> str:
    rank = max(d.x.dim(), 1)
    if d.wild and d.chance(0.4):
        return str((d.number(0, 2) and rank) or -rank - 1)
    axis = d.number(0, rank)
    if not which:
        d.axis = axis
    return str(d.signed(axis, rank))


@kind
def dims(d: Drawing, _: str) -> str:
    rank = d.x.dim()
    if d.wild and d.chance(0.4):
        return of(d, f"(0, 0)|({rank},)|(0, {-rank - 2})")
    axes = d.rng.choice(rank, d.number(1, rank + 1), replace=False) if rank else []
    return str(tuple(d.signed(int(a), rank) for a in axes))


@kind
def dim0(d: Drawing, _: str) -> str:
    if d.x.dim() < 2:
        raise Skip
    return str(d.number(0, d.x.dim() - 1))


@kind
def dim1(d: Drawing, _: str) -> str:
    low = int(d.known.get("{dim0}", "0"))
    return str(d.signed(d.number(low + 1, d.x.dim()), d.x.dim()))


@kind
def newdim(d: Drawing, _: str) -> str:
    rank = d.x.dim() + 1
    if d.wild and d.chance(0.4):
        return str(rank + 1)
    return str(d.signed(d.number(0, rank), rank))


@kind
def count(d: Drawing, _: str) -> str:
    if d.wild and d.chance(0.4):
        return str(d.size() + 1)
    if d.size() == 0:
        raise Skip
    return str(d.number(1, d.size() + 1))


@kind
def pos(d: Drawing, _: str) -> str:
    if d.wild and d.chance(0.4):
        return str(d.size())
    if d.size() == 0:
        raise Skip
    return str(d.signed(d.number(0, d.size()), d.size()))


@kind
def start_length(d: Drawing, _: str) -> str:
    start = d.number(0, d.size())
    return f"{start}, {d.number(0, d.size() - start + 1) + (2 if d.wild else 0)}"


@kind
def window(d: Drawing, _: str) -> str:
    if not d.wild and d.size() == 0:
        raise Skip
    return f"{d.number(1, d.size() + 1 + 2 * d.wild)}, {d.number(1, 4)}"


# --- shapes ---------------------------------------------------------------------------------------
def _listed(items: Any) -> str:
    """Positional arguments, or an empty tuple for none."""
    return ", ".join(map(str, items)) or "()"


@kind
def shape(d: Drawing, _: str) -> str:
    if d.wild and d.chance(0.5):
        return of(d, "(7, 11)|(-1, -1)|(-2,)")
    extents = list(d.x.shape)
    choice = d.number(0, 4)
    if choice == 0 and len(extents) > 1:  # merge two neighbours
        a = d.number(0, len(extents) - 1)
        extents[a : a + 2] = [extents[a] * extents[a + 1]]
    elif choice == 1:
        extents.insert(d.number(0, len(extents) + 1), 1)
    elif choice == 2 and len(extents) and 0 not in extents:
        extents[d.number(0, len(extents))] = -1
    else:
        size, extents = d.x.numel(), []
        if size == 0:
            return str(tuple(d.x.shape))
        while size > 1 and len(extents) < 3:
            extents.append(int(d.rng.choice([f for f in range(1, size + 1) if size % f == 0])))
            size //= extents[-1]
        extents.append(size)
    return str(tuple(extents))


@kind
def factors(d: Drawing, _: str) -> str:
    if not d.x.dim():
        raise Skip
    axis = d.number(0, d.x.dim())
    size = d.x.shape[axis]
    first = d.number(1, 4)
    if size % first and not d.wild:
        first = 1
    return f"{axis}, ({first}, {size // first})"


@kind
def perm(d: Drawing, _: str) -> str:
    order = [d.signed(int(k), d.x.dim()) for k in d.rng.permutation(d.x.dim())]
    if d.wild and d.chance(0.4):
        order = [*order, 0]
    return _listed(order)


@kind
def expand(d: Drawing, _: str) -> str:
    extents = [int(d.rng.choice(EXTENTS[1:4])) if e == 1 else e for e in d.x.shape]
    if d.wild and d.chance(0.5) and extents:
        extents[0] += 1
    extents = [-1 if d.chance(0.2) else e for e in extents]
    if d.chance(0.4) and np.prod([abs(e) for e in extents]) * 3 <= LARGEST:
        extents.insert(0, d.number(1, 4))
    return ", ".join(map(str, extents)) or "1,"


@kind
def repeats(d: Drawing, _: str) -> str:
    if d.x.numel() > LARGEST // 8:
        raise Skip
    extra = d.number(0, 2)
    return (
        ", ".join(str(d.number(0 if d.chance(0.1) else 1, 3)) for _ in range(d.x.dim() + extra))
        or "1"
    )


def _pads(d: Drawing, axes: int, most: Callable[[int], int], negative: bool) -> str:
    out = []
    for e in reversed(d.x.shape[-axes:]):
        for _ in range(2):
            out.append(-1 if negative and e > 2 and d.chance(0.15) else d.number(0, most(e) + 1))
    return str(tuple(out))


@kind
def pads(d: Drawing, _: str) -> str:
    return _pads(d, d.number(1, d.x.dim() + 1), lambda e: 2, True)


@kind
def pads1(d: Drawing, _: str) -> str:
    return _pads(d, 1, lambda e: 3 if d.wild else min(2, e - 1), False)


@kind
def pads2(d: Drawing, _: str) -> str:
    return _pads(d, 2, lambda e: 3 if d.wild else min(2, e - 1), False)


# --- indices --------------------------------------------------------------------------------------
def _integers(d: Drawing, extent: int, shape: tuple[int, ...], negative: bool = False) -> str:
    if extent == 0 and np.prod(shape) > 0:
        raise Skip
    drawn = d.rng.integers(-extent if negative else 0, max(extent, 1), shape)
    if d.wild and drawn.size and d.chance(0.4):
        drawn.flat[0] = extent
    text = f"m.tensor({drawn.tolist()}"
    return text + (", dtype=m.int64)" if drawn.size == 0 or d.chance(0.5) else ")")


@kind
def index(d: Drawing, _: str) -> str:
    return _integers(d, d.size(), (d.number(1, 5),))


@kind
def index_once(d: Drawing, _: str) -> str:
    chosen = d.rng.permutation(d.size())[: d.number(1, 4)]
    return f"m.tensor({chosen.tolist()}, dtype=m.int64)"


@kind
def sliced(d: Drawing, _: str) -> str:
    """The source of an ``index_*`` function: as ``{x}``, with the index's length along the dim."""
    given = d.known.get("{index}") or d.known.get("{index_once}") or ""
    if not d.x.dim() or not given:
        raise Skip
    length = given.split("]")[0].count(",") + (0 if "[]" in given else 1)
    shape = list(d.x.shape)
    shape[d.axis] = length + (1 if d.wild and d.chance(0.3) else 0)
    return _cut(d, tuple(shape))


@kind
def gather(d: Drawing, _: str) -> str:
    shape = [d.number(1, e + 1) if e else 0 for e in d.x.shape]
    if shape:
        shape[d.axis] = d.number(1, d.size() + 1)
    if np.prod(shape) > 60:
        raise Skip
    text = _integers(d, d.size(), tuple(shape))
    return text if np.prod(shape) else text + f".reshape({tuple(shape)})"


@kind
def gather_once(d: Drawing, _: str) -> str:
    """As ``gather``, no place twice (which of two writes stays is not defined)."""
    shape = [d.number(1, e + 1) if e else 0 for e in d.x.shape]
    if np.prod(shape) > 60 or (0 in shape):
        raise Skip
    if not shape:
        return "m.tensor(0)"
    columns = np.argsort(d.rng.random(d.x.shape), axis=d.axis)
    cut = columns[tuple(slice(0, s) for s in shape)]
    return f"m.tensor({cut.tolist()}, dtype=m.int64)"


@kind
def take(d: Drawing, _: str) -> str:
    return _integers(d, d.x.numel(), (d.number(1, 4),) * d.number(0, 3), True)


@kind
def selected(d: Drawing, _: str) -> str:
    return _cut(d, tuple(e for k, e in enumerate(d.x.shape) if k != d.axis) or (1,)) + (
        "" if d.x.dim() > 1 else ".reshape(())"
    )


@kind
def labels(d: Drawing, _: str) -> str:
    return _integers(d, d.x.shape[1] if d.x.dim() > 1 else 1, (d.x.shape[0] if d.x.dim() else 1,))


def _slice(d: Drawing, e: int) -> str:
    start, stop = sorted(d.number(-e - 1, e + 2) for _ in range(2))
    first = "" if d.chance(0.3) else str(start)
    last = "" if d.chance(0.3) else str(stop)
    step = f":{d.number(1, 4)}" if d.chance(0.4) else ""
    if d.wild and d.chance(0.2):
        step = of(d, ":-1|:0")
    return f"{first}:{last}{step}"


@kind
def basic(d: Drawing, _: str) -> str:
    """Slices, integers, ``None`` and an ellipsis."""
    keys = []
    for e in d.x.shape:
        choice = d.number(0, 6)
        if choice == 0 and e:
            keys.append(str(d.signed(d.number(0, e + (1 if d.wild else 0)), e)))
        elif choice == 1:
            keys.append("None")
            keys.append(":")
        else:
            keys.append(_slice(d, e) if choice < 4 else ":")
    if d.chance(0.3) or not keys:
        a = d.number(0, len(keys) + 1)
        keys[a : a + d.number(0, 3)] = ["..."]
    return ", ".join(keys)


@kind
def key(d: Drawing, _: str) -> str:
    """Any index: also integer tensors, lists and masks, anywhere."""
    d.wild = False  # positions outside are errors only where something is selected
    keys: list[str] = []
    common = (d.number(1, 4),) * d.number(1, 3)
    k = 0
    while k < d.x.dim():
        e, choice = d.x.shape[k], d.number(0, 9)
        if choice < 2 and e:
            lengths = tuple(1 if d.chance(0.2) else c for c in common)
            keys.append(_integers(d, e, lengths, True))
        elif choice == 2 and e:
            keys.append(str([d.number(-e, e) for _ in range(common[-1])]))
        elif choice == 3 and d.masks:
            mask = d.rng.random(e) < 0.5
            mask[: common[-1]] = True
            mask[common[-1] :] = False
            keys.append(f"m.tensor({d.rng.permutation(mask).tolist()}, dtype=m.bool)")
        elif choice == 4 and e:
            keys.append(str(d.signed(d.number(0, e), e)))
        elif choice == 5:
            keys.append("None")
            k -= 1
        else:
            keys.append(_slice(d, e) if choice < 8 else ":")
        k += 1
    if d.chance(0.25) or not keys:
        a = d.number(0, len(keys) + 1)
        keys[a : a + d.number(0, 3)] = ["..."]
    return ", ".join(keys)
