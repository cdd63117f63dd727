"""Random programs that fusegrad, jit and PyTorch run from the same text: drawn, compared, shrunk.

A ``Program`` is data: inputs and lines of Python in which ``m`` is either library (the lines come
from ``torch_operations.py``). ``draw(seed)`` makes one, ``fails(program)`` compares every value,
dtype, changed input, error and gradient, ``str(program)`` is code that runs under both libraries.

How close is close enough is measured, not chosen: PyTorch runs every program in its own dtypes, in
``float64``, in ``float32``, and in ``float64`` with every rounding operation disturbed a little.
What these runs differ by says how far rounding may carry a value (``tolerance``). A line whose
integers, booleans, shapes or nans change between these runs depends on rounding alone and is not
drawn, so everything discrete is compared exactly.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

import fusegrad as fg
import fusegrad.nn.functional as fg_functional

from .torch_arguments import EXTENTS, LARGEST, Drawing, Skip
from .torch_dtypes import PLAIN, ROUNDING, Table, disturbance_of, table_of
from .torch_operations import GROUPS, Operation
from .torch_operations_wide import WIDE_GROUPS

FAMILIES = (IndexError, TypeError, ValueError, RuntimeError)
BIGGEST = 1e4

# The multiple of a rounding error, and of what PyTorch's own runs differ by, that is allowed: sums
# in another order, functions good to a few units in the last place; half of them are good to one.
MULTIPLE = 32.0
HALF_MULTIPLE = 8.0
TRIGAMMA = 2e-10  # relative error of PyTorch's, the derivative of digamma

VALUE = re.compile(r"\bv(\d+)\b")


class Input(NamedTuple):
    """A tensor that a program starts from."""

    shape: tuple[int, ...]
    dtype: str
    layout: str = "dense"  # or transposed, strided, offset
    numbers: str = "normal"  # or grid (ties), special (nan, inf, -0.0)
    grad: bool = False


class Line(NamedTuple):
    """A line of a program."""

    text: str
    no_grad: bool = False
    exact: bool = False
    mutates: bool = False


@dataclass(frozen=True)
class Program:
    """A random program.

    Attributes:
        seed: numbers of the inputs.
        inputs: ``v0``, ``v1``, ...
        lines: each makes the next value (an assignment stands for the value that it changes).
        outputs: the values whose weighted sum is differentiated, and that jit returns.
        order: highest derivative.
        raises: the last line raises an error.
    """

    seed: int
    inputs: tuple[Input, ...]
    lines: tuple[Line, ...]
    outputs: tuple[int, ...] = ()
    order: int = 0
    raises: bool = False

    @property
    def disturbance(self) -> float:
        """Relative size of the errors that stand for rounding."""
        return disturbance_of([spec.dtype for spec in self.inputs])

    def __str__(self) -> str:
        head = [f"# seed {self.seed}", "import LIBRARY as m, LIBRARY.nn.functional as F"]
        for k, (spec, array) in enumerate(zip(self.inputs, arrays(self))):
            numbers = np.array2string(array, separator=", ", threshold=10000, max_line_width=90)
            numbers = " ".join(numbers.split()).replace("nan", "m.nan").replace("inf", "m.inf")
            grad = ", requires_grad=True" if spec.grad else ""
            note = "" if spec.layout == "dense" else f"  # {spec.layout}"
            empty = f".reshape({spec.shape})" if array.size == 0 else ""
            numbers = "[]" if array.size == 0 else numbers.replace("T", "t").replace("t", "t")
            head.append(f"v{k} = m.tensor({numbers}, dtype=m.{spec.dtype}{grad}){empty}{note}")
        for k, line in enumerate(self.lines, len(self.inputs)):
            text = line.text if _assigns(line.text) else f"v{k} = {line.text}"
            head.append(f"with m.no_grad(): {text}" if line.no_grad else text)
            if _assigns(line.text):
                head.append(f"v{k} = v{VALUE.search(line.text).group(1)}")  # type: ignore[union-attr]
        ending = "the last line raises" if self.raises else f"derivatives up to {self.order}"
        outputs = ", ".join(f"v{k}" for k in self.outputs)
        return "\n".join([*head, f"# outputs {outputs}; {ending}"])


def _assigns(text: str) -> bool:
    return re.match(r"v\d+(\[.*\])? [-+*/]?= ", text) is not None


def arrays(program: Program) -> list[np.ndarray]:
    """The numbers of the inputs; all of them have a ``float32`` representation."""
    rng = np.random.default_rng(program.seed)
    return [_numbers(rng, spec) for spec in program.inputs]


def _numbers(rng: np.random.Generator, spec: Input) -> np.ndarray:
    """The numbers of an input in its layout."""
    shape = spec.shape
    if spec.layout == "transposed":
        shape = shape[::-1]
    elif shape and spec.layout == "strided":
        shape = (*shape[:-1], shape[-1] * 2 + 1)
    elif shape and spec.layout == "offset":
        shape = (shape[0] + 1, *shape[1:])
    drawn: np.ndarray = rng.normal(size=shape)
    if spec.dtype.startswith("complex"):
        out = np.asarray((drawn + 1j * rng.normal(size=shape)).astype(np.complex64))
    elif spec.dtype == "bool":
        out = np.asarray(drawn > 0)
    elif "int" in spec.dtype:
        out = np.asarray(np.round(np.abs(drawn) * 5 if spec.dtype[0] == "u" else drawn * 3))
    else:
        out = np.asarray(np.round(drawn * 4) / 4 if spec.numbers == "grid" else drawn)
        if spec.numbers == "special":
            for value in (np.nan, np.inf, -np.inf, -0.0):
                out = np.where(rng.random(shape) < 0.07, value, out)
        out = out.astype(np.float32)
    if spec.dtype == "bfloat16":  # NumPy has none: the same numbers in float32
        return torch.tensor(out).bfloat16().float().numpy()
    out = np.asarray(out.astype(spec.dtype))
    if spec.layout == "transposed":
        return out.T
    if spec.shape and spec.layout == "strided":
        return out[..., 1::2]
    return out[1:] if spec.shape and spec.layout == "offset" else out


# --- the libraries --------------------------------------------------------------------------------
class Precision:
    """PyTorch with another dtype for all floating ones."""

    def __init__(self, dtype: torch.dtype | None, disturbed: bool = False) -> None:
        self.dtype, self.disturbed = dtype, disturbed

    def __getattr__(self, name: str) -> Any:
        if self.dtype is not None and name in ROUNDING:
            return self.dtype.to_complex() if name.startswith("complex") else self.dtype
        return getattr(torch, name)


OWN = Precision(None)
HIGH = Precision(torch.float64)
LOW = Precision(torch.float32)
DISTURBED = Precision(torch.float64, disturbed=True)


class World:
    """One run of a program with a library.

    Attributes:
        values: what every line made, as it is at the end.
        gradients: by order, then by leaf.
        error: what the last line raised.
    """

    def __init__(self, program: Program, m: Any) -> None:
        self.program, self.m = program, m
        self.lib = fg if m is fg else torch
        self.functional = fg_functional if m is fg else torch.nn.functional
        self.inputs = [self._input(s, a) for s, a in zip(program.inputs, arrays(program))]
        self.values: list[Any] = list(self.inputs)
        self.gradients: list[list[Any]] = []
        self.error: Exception | None = None

    def _input(self, spec: Input, array: np.ndarray) -> Any:
        other = isinstance(self.m, Precision) and self.m.dtype is not None
        if other and array.dtype.kind in "fc":
            array = array.astype(str(getattr(self.m, str(array.dtype)))[6:], order="K")
        x = self.lib.from_numpy(array)
        if spec.dtype == "bfloat16" and not other:
            x = x.to(self.m.bfloat16)
        return x.requires_grad_() if spec.grad else x

    def advance(self, line: Line) -> Any:
        """Run a line and keep its value."""
        names = {f"v{k}": v for k, v in enumerate(self.values)}
        disturbed = isinstance(self.m, Precision) and self.m.disturbed and not line.exact
        if disturbed and not line.mutates:
            names = {n: self._disturbed(v, int(n[1:])) for n, v in names.items()}
        scope = {"m": self.m, "F": self.functional, **names}
        # PyTorch's fused attention loses nan; its plain formula does not
        plain = sdpa_kernel(SDPBackend.MATH) if "attention(" in line.text else nullcontext()
        with plain, self.lib.no_grad() if line.no_grad else nullcontext():
            if _assigns(line.text):
                exec(line.text, scope)
                out = scope[VALUE.search(line.text).group(0)]  # type: ignore[union-attr]
            else:
                out = eval(line.text, scope)
        if disturbed and _is_inexact(out):
            out.data.copy_(self._disturbed(out.detach(), len(self.values)))
        self.values.append(out)
        return out

    def _disturbed(self, x: Any, k: int) -> Any:
        """A value as after a rounding error; its derivative is that of the value."""
        if not _is_inexact(x):
            return x
        rng, shape = np.random.default_rng(k), tuple(x.shape)
        noise = rng.uniform(-1, 1, shape) * self.program.disturbance
        if x.is_complex():
            noise = noise + 1j * rng.uniform(-1, 1, shape) * self.program.disturbance
        change = torch.where(x.isfinite(), x.detach() * torch.from_numpy(np.asarray(noise)), 0.0)
        return x + change

    def run(self) -> World:
        """All lines, then the gradients."""
        p = self.program
        with _dtype(self.m):
            for k, line in enumerate(p.lines):
                try:
                    self.advance(line)
                except Exception as error:
                    if not p.raises or k < len(p.lines) - 1:
                        raise
                    self.error = error
                    return self
            if p.order:
                self.differentiate()
        return self

    def leaves(self) -> list[Any]:
        return [x for x, spec in zip(self.inputs, self.program.inputs) if spec.grad]

    def differentiate(self) -> None:
        """Gradients of a weighted sum of the outputs, then of these gradients."""
        current = [self.values[k] for k in self.program.outputs]
        for level in range(self.program.order):
            total = self._objective(current, level)
            if total is None:
                break
            current = list(
                self.lib.autograd.grad(
                    total,
                    self.leaves(),
                    create_graph=self.program.order > level + 1,
                    allow_unused=True,
                    materialize_grads=level > 0,
                )
            )
            self.gradients.append(current)

    def _objective(self, tensors: list[Any], level: int) -> Any:
        total: Any = None
        for k, t in enumerate(tensors):
            if t is None or not t.requires_grad:
                continue
            angles = np.arange(t.numel()).reshape(tuple(t.shape)) * (k + 2.0 + level) + 1.0
            weights = np.asarray(np.exp(1j * angles) if t.is_complex() else np.cos(angles))
            part = (t * self.lib.from_numpy(weights).to(t.dtype)).sum()
            part = part.real if t.is_complex() else part
            total = part if total is None else total + part
        return total

    def jit(self) -> World:
        """The program as one compiled function; only the outputs have values."""
        p = self.program

        def step(*tensors: Any) -> Any:
            inner = World.__new__(World)
            inner.program, inner.m, inner.lib, inner.functional = p, fg, fg, fg_functional
            inner.inputs, inner.values, inner.gradients = list(tensors), list(tensors), []
            inner.error = None
            inner.run()
            if inner.error is not None:
                raise inner.error
            return [inner.values[k] for k in p.outputs], inner.gradients

        outputs, self.gradients = fg.jit(step)(*self.inputs)
        self.values = [*self.inputs, *[None] * len(p.lines)]
        for k, value in zip(p.outputs, outputs):
            self.values[k] = value
        return self


class _dtype:
    """The default dtype of a precision."""

    def __init__(self, m: Any) -> None:
        self.wanted = m.dtype if isinstance(m, Precision) else None

    def __enter__(self) -> None:
        self.before = torch.get_default_dtype()
        if self.wanted is not None:
            torch.set_default_dtype(self.wanted)

    def __exit__(self, *_: Any) -> None:
        torch.set_default_dtype(self.before)


# --- comparing ------------------------------------------------------------------------------------
def _is_inexact(x: Any) -> bool:
    return isinstance(x, torch.Tensor) and (x.is_floating_point() or x.is_complex())


def _array(x: Any) -> np.ndarray:
    if str(x.dtype).endswith("bfloat16"):
        x = x.float()
    return np.asarray(x.numpy(force=True) if isinstance(x, torch.Tensor) else x.detach().numpy())


def _class(a: np.ndarray) -> np.ndarray:
    """What must agree exactly: integers themselves, of floats whether they are nan or infinite.

    Which part of a complex number is nan and which infinite is as the formula has it.
    """
    if a.dtype.kind == "c":
        return np.isfinite(a)
    if a.dtype.kind != "f":
        return a
    return np.where(np.isfinite(a), 0, np.where(np.isnan(a), 2, np.sign(a)))


def _largest(a: np.ndarray) -> float:
    finite = np.abs(a[np.isfinite(a)]) if a.dtype.kind in "fc" else np.zeros(0)
    return float(finite.max(initial=0.0))


def _spread(a: np.ndarray, b: np.ndarray) -> float:
    """Largest difference of finite elements."""
    both = np.isfinite(a) & np.isfinite(b)
    wide = np.result_type(a, np.float64)
    return float(np.abs(a[both].astype(wide) - b[both]).max(initial=0.0))


@dataclass
class Expected:
    """PyTorch's four runs of a program."""

    own: World
    high: World
    low: World
    disturbed: World

    @classmethod
    def of(cls, program: Program) -> Expected:
        return cls(*[World(program, m).run() for m in (OWN, HIGH, LOW, DISTURBED)])

    def worlds(self) -> tuple[World, ...]:
        return (self.own, self.high, self.low, self.disturbed)

    def stable(self, tensors: tuple[Any, ...]) -> bool:
        """Whether a value means the same in all runs."""
        if any(t is None for t in tensors):
            return all(t is None for t in tensors)
        own, high, low, disturbed = (_array(t) for t in tensors)
        for other in (high, low, disturbed):
            if own.shape != other.shape or not np.array_equal(_class(own), _class(other)):
                return False
        if own.dtype.kind not in "fc":
            return True
        scale, most = _largest(high), max(1e-2, 30 * self.own.program.disturbance)
        return scale <= BIGGEST and _spread(high, disturbed) <= most * max(scale, 1e-3)

    def tolerance(self, tensors: tuple[Any, ...], scale: float, rounding: float) -> float:
        """How far rounding may carry a value: what PyTorch's runs differ by, in units of dtype."""
        own, high, low, disturbed = (_array(t) for t in tensors)
        measured = max(
            _spread(high, disturbed) / self.own.program.disturbance,
            _spread(high, low) / ROUNDING["float32"],
        )
        multiple = MULTIPLE if rounding <= ROUNDING["float32"] else HALF_MULTIPLE
        return multiple * rounding * (measured + scale) + multiple * _spread(own, high)

    def rounding(self, k: int) -> float:
        """Of the coarsest dtype that a value was computed in."""
        here = ROUNDING.get(str(self.own.values[k].dtype)[6:], 0.0)
        if k < len(self.own.inputs):
            return here
        text = self.own.program.lines[k - len(self.own.inputs)].text
        used = {int(i) for i in VALUE.findall(text)}
        inside = max((r for name, r in ROUNDING.items() if f"m.{name}" in text), default=0.0)
        return max(here, inside, *(self.rounding(i) for i in used))

    def scale(self, k: int) -> float:
        """Largest magnitude among a value and what it was computed from."""
        base = len(self.own.inputs)
        here = _largest(_array(self.high.values[k]))
        if k < base:
            return here
        used = {int(i) for i in VALUE.findall(self.own.program.lines[k - base].text)}
        return max(here, *(self.scale(i) for i in used))


def _differs(
    expected: Expected,
    label: str,
    ours: Any,
    theirs: tuple[Any, ...],
    scale: float,
    rounding: float,
) -> str | None:
    """How a value differs from PyTorch's, ``None`` when it does not."""
    own = theirs[0]
    if ours is None and own is not None and not np.nan_to_num(_array(own)).any():
        return None  # a gradient that nothing reaches: PyTorch often writes zeros, or 0 * inf
    if ours is None or own is None:
        return None if ours is own else f"{label}: got {_brief(ours)}, torch {_brief(own)}"
    if not isinstance(ours, fg.Tensor):
        return f"{label}: got a {type(ours).__name__}"
    if str(ours.dtype).split(".")[1] != str(own.dtype).split(".")[1]:
        return f"{label}: got {ours.dtype}, torch {own.dtype}"
    if tuple(ours.shape) != tuple(own.shape):
        return f"{label}: got shape {tuple(ours.shape)}, torch {tuple(own.shape)}"
    a, b = _array(ours), _array(own)
    if not np.array_equal(_class(a), _class(b)):
        return f"{label}: got {_brief(ours)}, torch {_brief(own)}"
    if a.dtype.kind in "fc":
        reference, allowed = _array(theirs[1]), expected.tolerance(theirs, scale, rounding)
        if _spread(a, reference) > allowed:
            return (
                f"{label}: {own.dtype} differs by {_spread(a, reference):.3g}, allowed "
                f"{allowed:.3g}; got {_brief(ours)}, torch {_brief(own)}"
            )
    return None


def _brief(x: Any) -> str:
    return "None" if x is None else f"{x.dtype}{list(x.shape)} {_array(x).ravel()[:6]}"


def _same_history(value: Any, own: World, k: int) -> bool:
    """Whether a history is PyTorch's; it also has one where the gradient is zero or not known."""
    if any(line.no_grad for line in own.program.lines):
        return True
    return bool(own.values[k].requires_grad) or not value.requires_grad


def _shares(own: World, ours: World, k: int) -> str | None:
    """Whether a value lies in the memory of an earlier one exactly where PyTorch's does."""
    line = own.program.lines[k - len(own.inputs)].text if k >= len(own.inputs) else ""
    if not line or any(name in line for name in ("reshape", "contiguous", "flatten", "ravel")):
        return None  # a view or a copy, as the layout will have it
    for i in {int(i) for i in VALUE.findall(line)}:
        if own.values[k].numel() == 0:
            continue
        theirs = own.values[k].data_ptr() and (
            own.values[k].untyped_storage().data_ptr() == own.values[i].untyped_storage().data_ptr()
        )
        if theirs != (ours.values[k]._storage is ours.values[i]._storage):
            return f"eager v{k}: {'does not share' if theirs else 'shares'} memory with v{i}"
    return None


def compare(expected: Expected, ours: World, stage: str) -> str | None:
    """What differs between fusegrad's run and PyTorch's."""
    own = expected.own
    for k, value in enumerate(ours.values):
        if value is None:
            continue
        theirs = tuple(w.values[k] for w in expected.worlds())
        size, rounding = expected.scale(k), expected.rounding(k)
        found = _differs(expected, f"{stage} v{k}", value, theirs, size, rounding)
        if found is None and stage == "eager" and not _same_history(value, own, k):
            found = f"{stage} v{k}: requires_grad is {value.requires_grad}"
        if found is None and stage == "eager":
            found = _shares(own, ours, k)
        if found is not None:
            return found
    while len(ours.gradients) < len(own.gradients):  # a gradient that is a constant
        ours.gradients.append([None] * len(ours.leaves()))
    places = range(len(own.values))
    coarsest = max(ROUNDING["float64"], *(expected.rounding(k) for k in places))
    if any("gamma(" in line.text for line in own.program.lines):
        coarsest = max(coarsest, TRIGAMMA)
    sizes = [expected.scale(k) for k in places]
    for gradients in expected.high.gradients:
        sizes += [_largest(_array(t)) for t in gradients if t is not None]
    for level, gradients in enumerate(ours.gradients[: len(own.gradients)]):
        for k, value in enumerate(gradients):
            theirs = tuple(w.gradients[level][k] for w in expected.worlds())
            label = f"{stage} gradient {level + 1} of leaf {k}"
            found = _differs(expected, label, value, theirs, max(sizes), coarsest)
            if found is not None:
                return found
    return None


def family(error: BaseException) -> type:
    """The built-in class that a user would catch."""
    if "bounds" in str(error):  # an index outside is an IndexError with most functions
        return IndexError
    return next((f for f in FAMILIES if isinstance(error, f)), Exception)


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' / '.join(str(error).splitlines()[:3])}"[:300]


def _eager(program: Program, expected: Expected) -> str | None:
    try:
        ours = World(program, fg).run()
    except Exception as error:
        return f"eager raises {_first_line(error)}"
    if not program.raises:
        return compare(expected, ours, "eager")
    theirs = expected.own.error
    assert theirs is not None
    if ours.error is None:
        return f"eager: no error, torch raises {_first_line(theirs)}"
    if family(ours.error) is not family(theirs):
        return f"eager: raises {_first_line(ours.error)}, torch {_first_line(theirs)}"
    return None


def _jit(program: Program, expected: Expected) -> str | None:
    try:
        ours = World(program, fg).jit()
    except fg_errors as error:
        return None if program.raises else f"jit refuses: {_first_line(error)}"
    except Exception as error:
        if program.raises and isinstance(error, family(expected.own.error)):  # type: ignore[arg-type]
            return None
        return f"jit raises {_first_line(error)}"
    if program.raises:
        return "jit: no error, torch raises"
    return compare(expected, ours, "jit")


fg_errors = (fg.errors.CaptureError, fg.errors.TracedValueError)


def check(program: Program, jit: bool = True) -> str | None:
    """What differs between fusegrad, jit and PyTorch, ``None`` when nothing does."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        expected = Expected.of(program)
        found = _eager(program, expected)
        if found is None and jit and not (program.raises and "m.tensor(" in program.lines[-1].text):
            found = _jit(program, expected)
        return found


# --- drawing --------------------------------------------------------------------------------------
def _inputs(rng: np.random.Generator, table: Table) -> tuple[Input, ...]:
    base = [int(k) for k in rng.choice(EXTENTS, 4)]
    if rng.random() < 0.06:
        base[int(rng.integers(4))] = 0
    special = rng.random() < 0.12
    out: list[Input] = []
    for k in range(int(rng.integers(2, 5))):
        ndim = int(rng.choice([0, 1, 2, 2, 2, 3, 3, 4]))
        start = int(rng.integers(0, 5 - ndim))
        shape = tuple(1 if rng.random() < 0.12 else e for e in base[start : start + ndim])
        if k and rng.random() < 0.35:
            shape = out[0].shape
        dtype = str(rng.choice(table.leading if k == 0 else table.others))
        if k and rng.random() < 0.3:
            dtype = out[0].dtype
        layout = str(rng.choice(["dense", "dense", "dense", "transposed", "strided", "offset"]))
        numbers = str(rng.choice(["normal", "normal", "grid"]))
        if special and rng.random() < 0.5:
            numbers = "special"
        layout = "dense" if dtype == "bfloat16" else layout
        grad = dtype in ROUNDING and rng.random() < 0.6
        out.append(Input(shape, dtype, layout, numbers, bool(grad)))
    return tuple(out)


def _shared_rows(x: torch.Tensor) -> bool:
    """Whether two elements have one place in memory (a change of them is not defined)."""
    return any(n > 1 and s == 0 for n, s in zip(x.shape, x.stride()))


@dataclass
class Draft:
    """A program while it is drawn: PyTorch's four worlds at the same line."""

    program: Program
    rng: np.random.Generator
    traceable: bool = False
    table: Table = PLAIN
    expected: Expected = field(init=False)
    changed: bool = False  # whether a line that was not kept may have changed values
    loose: set[int] = field(default_factory=set)  # values whose layout is not defined

    def __post_init__(self) -> None:
        worlds = [World(self.program, m) for m in (OWN, HIGH, LOW, DISTURBED)]
        self.expected = Expected(*worlds)

    def extend(self, wild: bool, operation: Operation | None = None) -> bool:
        """Try to draw one more line, of an operation; whether the program grew."""
        if operation is None:
            groups = GROUPS if self.table is PLAIN else GROUPS + WIDE_GROUPS
            weights = np.array([w for w, _ in groups])
            _, lines = groups[self.rng.choice(len(groups), p=weights / weights.sum())]
            operation = lines[int(self.rng.integers(len(lines)))]
        if self.traceable and not operation.traceable:
            return False
        values, kind = self.expected.own.values, operation.kind
        names = () if self.table is PLAIN else tuple(sorted(self.table.names))
        drawing = Drawing(self.rng, values, kind, wild, not self.traceable, names)
        try:
            text = drawing.fill(operation.text)
        except (Skip, ValueError, IndexError):
            return False
        x = drawing.x
        if operation.mutates and x is not None:
            if _shared_rows(x) or self._mutation_is_loose(text):
                return False
        if ".view(" in text and self._used(text) & self.loose:
            return False
        quiet = bool(self.rng.random() < (0.25 if operation.mutates else 0.03))
        return self._accept(Line(text, quiet, operation.exact, operation.mutates), wild)

    def _used(self, text: str) -> set[int]:
        return {int(k) for k in VALUE.findall(text)}

    def _mutation_is_loose(self, text: str) -> bool:
        """Whether it is not defined what else changes: a layout decided if reshape is a view."""
        return bool(self._used(text) & self.loose)

    def _accept(self, line: Line, wild: bool) -> bool:
        worlds = self.expected.worlds()
        before = self.expected.own.values
        longer = replace(self.program, lines=(*self.program.lines, line))
        self.changed = line.mutates
        results = []
        for world in worlds:
            with _dtype(world.m):
                try:
                    results.append(world.advance(line))
                except Exception as error:
                    leaf = "leaf Variable" in str(error)
                    if results or wild is leaf:
                        return False
                    return self._accept_error(longer, error)
        if wild and not self._plain(results[0]):
            return False
        if not all(isinstance(r, torch.Tensor) for r in results) or not self._plain(results[0]):
            return False
        touched = range(len(before)) if line.mutates else [len(before) - 1]
        if not all(self.expected.stable(tuple(w.values[k] for w in worlds)) for k in touched):
            return False
        out = results[0]
        used = self._used(line.text)
        if used & self.loose or not out.is_contiguous() or ".reshape(" in line.text:
            if not self._is_view(out) or used & self.loose:
                self.loose.add(len(before) - 1)
        self.program = longer
        return True

    def _plain(self, out: Any) -> bool:
        if not isinstance(out, torch.Tensor) or out.numel() > LARGEST or out.dim() > 5:
            return False
        return str(out.dtype)[6:] in self.table.names | PLAIN.names and (
            _is_inexact(out)
            or out.numel() == 0
            or float(out.abs().max() if out.dtype is not torch.bool else 0) < 1e6
        )

    def _is_view(self, out: torch.Tensor) -> bool:
        """Whether it shares memory with an input (its layout is then defined)."""
        storage = out.untyped_storage().data_ptr()
        return any(storage == x.untyped_storage().data_ptr() for x in self.expected.own.inputs)

    def _accept_error(self, longer: Program, error: Exception) -> bool:
        """An error ends the program, except for what PyTorch merely has not built."""
        unbuilt = (
            "not implemented",
            "refer to a single memory location",
            "Unsupported input type",
            "returns multiple views",
            "A view was created in no_grad mode",
        )
        if any(text in str(error) for text in unbuilt) or not isinstance(error, FAMILIES):
            return False
        self.program = replace(longer, raises=True)
        return True


def draw(seed: int, traceable: bool = False) -> Program:
    """The program of a seed; a traceable one does nothing that jit must refuse."""
    rng = np.random.default_rng([seed, 2])
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        table = table_of(seed)
        draft = Draft(Program(seed, _inputs(rng, table), ()), rng, traceable, table)
        wanted = int(rng.integers(3, 13))
        wild = bool(rng.random() < 0.15)
        for _ in range(wanted * 12):
            if len(draft.program.lines) == wanted or draft.program.raises:
                break
            before = draft.program
            if not draft.extend(wild and len(draft.program.lines) >= min(wanted - 1, 2)):
                draft = _again(before, rng, draft)
            draft.changed = False
        program = draft.program
        if program.raises:
            return program
        last = len(program.inputs) + len(program.lines) - 1
        outputs = {last, *[int(k) for k in rng.integers(min(last, 2), last + 1, 2)]}
        program = replace(program, outputs=tuple(sorted(outputs)))
        order = int(rng.choice([1, 1, 1, 2]))
        return next(
            p for p in (replace(program, order=o) for o in range(order, -1, -1)) if well_posed(p)
        )


def _again(program: Program, rng: np.random.Generator, tried: Draft) -> Draft:
    """The draft before a line that was not kept (which may have changed values)."""
    count = len(program.inputs) + len(program.lines)
    if not tried.changed:
        for world in tried.expected.worlds():
            del world.values[count:]
        return tried
    draft = Draft(program, rng, tried.traceable, tried.table, loose=tried.loose)
    for world in draft.expected.worlds():
        with _dtype(world.m):
            for line in program.lines:
                world.advance(line)
    return draft


def well_posed(program: Program) -> bool:
    """Whether PyTorch runs the program, and means the same in every precision."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            expected = Expected.of(program)
        except Exception:
            return False
        worlds = expected.worlds()
        if program.raises:
            return all(w.error is not None for w in worlds) and "not implemented" not in str(
                worlds[0].error
            )
        values = [tuple(w.values[k] for w in worlds) for k in range(len(worlds[0].values))]
        if len({len(w.gradients) for w in worlds}) > 1:
            return False
        for level in range(len(worlds[0].gradients)):
            if level and not all(
                t is None or np.isfinite(_array(t)).all()
                for gradients in worlds[0].gradients[:2]
                for t in gradients
            ):
                return False
            values += list(zip(*[w.gradients[level] for w in worlds]))
        return all(
            all(v is None or isinstance(v, torch.Tensor) for v in group) and expected.stable(group)
            for group in values
        )


# --- shrinking ------------------------------------------------------------------------------------
def fails(program: Program, jit: bool = True) -> str | None:
    """Like ``check``; ``None`` also for programs that are not well posed."""
    return check(program, jit) if well_posed(program) else None


def _without(program: Program, k: int, other: int | None) -> Program | None:
    """The program without value ``k`` (a line, or an input that nothing uses)."""
    base = len(program.inputs)

    def move(found: re.Match[str]) -> str:
        i = int(found.group(1))
        i = other if i == k and other is not None else i
        return f"v{i - (i > k)}"

    kept = [line for i, line in enumerate(program.lines, base) if i != k]
    if other is None and any(
        f"v{k}" in VALUE.sub(lambda f: f" {f.group(0)} ", i.text).split() for i in kept
    ):
        return None
    lines = tuple(i._replace(text=VALUE.sub(move, i.text)) for i in kept)
    outputs = {(other if o == k else o) for o in program.outputs} - {None}
    shifted = tuple(sorted(o - (o > k) for o in outputs))  # type: ignore[operator]
    inputs = tuple(s for i, s in enumerate(program.inputs) if i != k)
    return replace(program, inputs=inputs, lines=lines, outputs=shifted)


def _smaller(program: Program) -> Iterator[Program]:
    """Candidates: lines, outputs, derivatives, inputs less; plainer inputs."""
    base, last = len(program.inputs), len(program.inputs) + len(program.lines) - 1
    for k in range(last, base - 1, -1):
        if program.raises and k == last:
            continue
        used = [int(i) for i in VALUE.findall(program.lines[k - base].text)]
        for other in [None, *dict.fromkeys(used)]:
            candidate = _without(program, k, other)
            if candidate is not None and (candidate.outputs or program.raises):
                yield candidate
    if len(program.outputs) > 1:
        for o in program.outputs:
            yield replace(program, outputs=tuple(i for i in program.outputs if i != o))
    if program.order:
        yield replace(program, order=program.order - 1)
    for k in range(base):
        if base > 1 and (candidate := _without(program, k, None)) is not None:
            if k not in program.outputs:
                yield candidate
    for k, spec in enumerate(program.inputs):
        plainer = (
            {"layout": "dense"}, {"grad": False}, {"dtype": "float64"}, {"numbers": "normal"},
            {"shape": spec.shape[1:]}, {"shape": tuple(min(e, 2) for e in spec.shape)},
        )  # fmt: skip
        for change in plainer:
            simpler = spec._replace(**change)
            if (spec.dtype != "float32" and "dtype" in change) or simpler == spec:
                continue
            yield replace(program, inputs=(*program.inputs[:k], simpler, *program.inputs[k + 1 :]))


def _kind(failure: str | None) -> str:
    """Failures of one kind: the same stage, and the same words around the numbers."""
    return re.sub(r"[\d.e+-]+|v\d+|\[.*", "", failure or "")[:34]


def shrink(program: Program, jit: bool = True, budget: int = 200) -> Program:
    """A smaller program that still fails in the same way."""
    wanted = _kind(fails(program, jit))
    jit = jit and wanted.startswith("jit")
    while wanted:
        for candidate in _smaller(program):
            budget -= 1
            if budget < 0:
                return program
            try:
                same = _kind(fails(candidate, jit)) == wanted
            except Exception:
                continue
            if same:
                program = candidate
                break
        else:
            return program
    return program
