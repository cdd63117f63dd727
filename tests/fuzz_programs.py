"""Random programs for ``test_fuzz_fusion.py``: how they are drawn, run and made smaller.

A ``Program`` is data (a list of steps over numbered values), so that a failing one can be shrunk
and printed. ``draw(seed)`` makes one, ``check(program)`` runs it eagerly and jitted and compares
everything that is observable: results, changed arguments and state, gradients, raised errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import fusegrad as fg
from fusegrad.api import jit
from fusegrad.errors import FusegradError
from fusegrad.functions import creation, indexing, linear, pointwise, reduction, shape

Step = tuple[str, tuple[int, ...], tuple[Any, ...]]
EXTENTS = (1, 2, 3, 4, 5, 7, 8, 17, 33)
MODES = ("forward", "grad", "backward", "train")


@dataclass(frozen=True)
class Program:
    """A random program.

    Attributes:
        dtype: floating dtype of the inputs.
        inputs: shape, layout (``dense``, ``transposed``, ``strided``), place (``argument``,
            ``state``) and whether it requires grad.
        steps: ``(operation, operands, parameters)``; the results number on from the inputs.
        outputs: values that are returned.
        mode: ``forward``, ``grad`` (``autograd.grad``), ``backward`` (``.grad`` kept) or ``train``
            (an update of the state in place, three calls).
    """

    seed: int
    dtype: str
    inputs: tuple[tuple[tuple[int, ...], str, str, bool], ...]
    steps: tuple[Step, ...]
    outputs: tuple[int, ...]
    mode: str

    def __str__(self) -> str:
        lines = [f"seed {self.seed}, {self.dtype}, mode {self.mode}"]
        for k, (extents, layout, place, grad) in enumerate(self.inputs):
            lines.append(f"v{k} = input {list(extents)} {layout} {place}{' grad' if grad else ''}")
        for k, (name, operands, params) in enumerate(self.steps, len(self.inputs)):
            named = [f"v{i}" for i in operands] + [repr(p) for p in params]
            lines.append(f"v{k} = {name}({', '.join(named)})")
        lines.append("return " + ", ".join(f"v{k}" for k in self.outputs))
        return "\n".join(lines)


# --- operations -----------------------------------------------------------------------------------
Draw = Callable[[np.random.Generator, list[Any]], "tuple[tuple[int, ...], tuple[Any, ...]] | None"]
RUN: dict[str, Callable[..., Any]] = {}
DRAW: dict[str, tuple[float, Draw]] = {}


def operation(name: str, weight: float, draw: Draw) -> Callable[[Any], Any]:
    """Register an operation: how it runs and how its operands and parameters are drawn."""

    def register(run: Callable[..., Any]) -> Callable[..., Any]:
        RUN[name], DRAW[name] = run, (weight, draw)
        return run

    return register


def floats(values: list[Any]) -> list[int]:
    """Numbers of the floating values."""
    return [k for k, v in enumerate(values) if v.dtype.is_floating_point]


def pick(rng: np.random.Generator, options: list[int]) -> int:
    """One of the options, later ones more often (programs become deep, not wide)."""
    weights = np.arange(1, len(options) + 1) ** 1.5
    return int(options[rng.choice(len(options), p=weights / weights.sum())])


def any_float(rng: np.random.Generator, values: list[Any]) -> Any:
    """One floating operand, no parameters."""
    return (pick(rng, floats(values)),), ()


UNARY: dict[str, Callable[[Any], Any]] = {
    "neg": lambda x: -x,
    "abs": pointwise.abs,
    "exp": lambda x: pointwise.exp(pointwise.tanh(x)),
    "tanh": pointwise.tanh,
    "sigmoid": pointwise.sigmoid,
    "sin": pointwise.sin,
    "cos": pointwise.cos,
    "relu": pointwise.relu,
    "sqrt": lambda x: pointwise.sqrt(pointwise.abs(x) + 0.5),
    "log": lambda x: pointwise.log(pointwise.abs(x) + 0.5),
    "rsqrt": lambda x: pointwise.rsqrt(x * x + 0.3),
    "square": lambda x: (x * 0.5) ** 2,
    "scale": lambda x: x * 0.75,
    "shift": lambda x: 1.25 - x,
    "erf": pointwise.erf,
    "sign": pointwise.sign,
    "detach": lambda x: x.detach(),
    "clamp": lambda x: x.clamp(-0.7, 0.9),
    "positive": lambda x: (x > 0.123).to(x.dtype),
    "clone": lambda x: x.clone(),
}
for _name, _function in UNARY.items():
    operation(_name, 0.5, any_float)(_function)


def two_broadcastable(rng: np.random.Generator, values: list[Any]) -> Any:
    """Two floating operands whose shapes broadcast."""
    a = pick(rng, floats(values))
    fits = []
    for k in floats(values):
        try:
            out = np.broadcast_shapes(values[a].shape, values[k].shape)
        except ValueError:
            continue
        if np.prod(out) <= 40000:
            fits.append(k)
    if not fits:
        return None
    b = pick(rng, fits)
    return ((a, b) if rng.random() < 0.5 else (b, a)), ()


BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y * 0.5,
    "div": lambda x, y: x / (pointwise.abs(y) + 1.0),
    "maximum": pointwise.maximum,
    "minimum": pointwise.minimum,
    "where": lambda x, y: pointwise.where(x > y, x * 0.5, y),
    "less": lambda x, y: (x < y).to(x.dtype),
}
for _name, _binary in BINARY.items():
    operation(_name, 1.2, two_broadcastable)(_binary)


def _permutation(rng: np.random.Generator, values: list[Any]) -> Any:
    k = pick(rng, floats(values))
    return (k,), tuple(int(i) for i in rng.permutation(values[k].dim()))


@operation("permute", 3.0, _permutation)
def _permute(x: Any, *order: int) -> Any:
    return x.permute(*order) if order else x.reshape(())


def _factor(rng: np.random.Generator, size: int) -> tuple[int, ...]:
    out: list[int] = []
    while size > 1 and len(out) < 3:
        divisors = [d for d in range(1, size + 1) if size % d == 0]
        out.append(int(rng.choice(divisors)))
        size //= out[-1]
    out.append(size)
    if rng.random() < 0.3:
        out.insert(int(rng.integers(len(out) + 1)), 1)
    return tuple(out[:4]) if np.prod(out[:4]) == np.prod(out) else tuple(out)


def _new_shape(rng: np.random.Generator, values: list[Any]) -> Any:
    k = pick(rng, floats(values))
    extents = values[k].shape
    kind = rng.integers(3)
    if kind == 0 and len(extents) > 1:  # merge two neighbours
        a = int(rng.integers(len(extents) - 1))
        new = (*extents[:a], extents[a] * extents[a + 1], *extents[a + 2 :])
    elif kind == 1 and len(extents):  # a unit axis more or less
        units = [a for a, n in enumerate(extents) if n == 1]
        if units:
            a = int(rng.choice(units))
            new = (*extents[:a], *extents[a + 1 :])
        else:
            a = int(rng.integers(len(extents) + 1))
            new = (*extents[:a], 1, *extents[a:])
    else:
        size = int(np.prod(extents))
        new = _factor(rng, size) if size else (*extents, 1)
    return (k,), tuple(int(n) for n in new)


@operation("reshape", 4.0, _new_shape)
def _reshape(x: Any, *extents: int) -> Any:
    return x.reshape(extents)


def _slices(rng: np.random.Generator, values: list[Any]) -> Any:
    k = pick(rng, [i for i in floats(values) if values[i].dim()] or [-1])
    if k < 0:
        return None
    keys: list[Any] = []
    for n in values[k].shape:
        kind = rng.integers(5)
        if kind == 0 and n:
            keys.append(int(rng.integers(n)))
        elif kind == 1 and n > 1:
            keys.append((int(rng.integers(n - 1)), n, int(rng.integers(1, 4))))
        elif kind == 2 and n > 1:
            keys.append((0, int(rng.integers(1, n + 1)), 1))
        else:
            keys.append((None, None, None))
    return (k,), tuple(keys)


def _key(keys: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(k if isinstance(k, int) else slice(*k) for k in keys)


@operation("slice", 2.5, _slices)
def _slice(x: Any, *keys: Any) -> Any:
    return x[_key(keys)]


def _paddings(rng: np.random.Generator, values: list[Any]) -> Any:
    k = pick(rng, [i for i in floats(values) if values[i].dim()] or [-1])
    if k < 0 or values[k].numel() > 4000:
        return None
    pads = []
    for n in reversed(values[k].shape):
        low = int(rng.integers(0, 3))
        high = int(rng.integers(-1, 3)) if n > 2 else int(rng.integers(0, 2))
        pads += [low, high]
        if rng.random() < 0.3:
            break
    return (k,), (tuple(pads), float(rng.choice([0.0, -1.5])))


@operation("pad", 1.5, _paddings)
def _pad(x: Any, pads: tuple[int, ...], value: float) -> Any:
    return shape.pad_constant(x, pads, value)


def _joined(rng: np.random.Generator, values: list[Any]) -> Any:
    a = pick(rng, [i for i in floats(values) if values[i].dim()] or [-1])
    if a < 0 or values[a].numel() > 4000:
        return None
    axis = int(rng.integers(values[a].dim()))

    def rest(v: Any) -> tuple[int, ...]:
        return (*v.shape[:axis], *v.shape[axis + 1 :])

    fits = [
        k
        for k in floats(values)
        if values[k].dim() == values[a].dim()
        and rest(values[k]) == rest(values[a])
        and values[k].numel() <= 4000
    ]
    chosen = [a, *[pick(rng, fits) for _ in range(int(rng.integers(1, 3)))]]
    return tuple(chosen), (axis,)


@operation("cat", 2.0, _joined)
def _cat(*args: Any) -> Any:
    return shape.cat(args[:-1], args[-1])


def _stacked(rng: np.random.Generator, values: list[Any]) -> Any:
    a = pick(rng, [i for i in floats(values) if values[i].dim() < 4] or [-1])
    if a < 0 or values[a].numel() > 4000:
        return None
    fits = [k for k in floats(values) if values[k].shape == values[a].shape]
    return (a, pick(rng, fits)), (int(rng.integers(values[a].dim() + 1)),)


@operation("stack", 1.0, _stacked)
def _stack(x: Any, y: Any, axis: int) -> Any:
    return shape.stack([x, y], axis)


def _axis_of(rng: np.random.Generator, values: list[Any]) -> Any:
    k = pick(rng, [i for i in floats(values) if values[i].dim()] or [-1])
    return None if k < 0 else ((k,), (int(rng.integers(values[k].dim())),))


def _full_axis(rng: np.random.Generator, values: list[Any]) -> Any:
    fits = [i for i in floats(values) if values[i].dim() and 0 not in values[i].shape]
    if not fits:
        return None
    k = pick(rng, fits)
    return (k,), (int(rng.integers(values[k].dim())),)


@operation("flip", 1.0, _axis_of)
def _flip(x: Any, axis: int) -> Any:
    return x.flip(axis)


def _expanded(rng: np.random.Generator, values: list[Any]) -> Any:
    k = pick(rng, floats(values))
    extents = [int(rng.choice(EXTENTS[:6])) if n == 1 else n for n in values[k].shape]
    if len(extents) < 4 and rng.random() < 0.5:
        extents.insert(0, int(rng.choice(EXTENTS[:5])))
    return ((k,), tuple(extents)) if np.prod(extents) < 20000 else None


@operation("expand", 1.0, _expanded)
def _expand(x: Any, *extents: int) -> Any:
    return x.expand(*extents) if extents else x.reshape(())


def _reduced(rng: np.random.Generator, values: list[Any]) -> Any:
    k = pick(rng, [i for i in floats(values) if values[i].dim()] or [-1])
    if k < 0:
        return None
    ndim = values[k].dim()
    count = int(rng.integers(1, ndim + 1))
    dims = tuple(sorted(int(i) for i in rng.choice(ndim, count, replace=False)))
    name = str(rng.choice(["sum", "mean", "amax", "amin", "sum", "var", "norm"]))
    if 0 in values[k].shape and name != "sum":
        return None
    return (k,), (name, dims, bool(rng.random() < 0.4))


@operation("reduce", 5.0, _reduced)
def _reduce(x: Any, name: str, dims: tuple[int, ...], keepdim: bool) -> Any:
    if name == "norm":
        return fg.norm(x + 0.1, 2, dims, keepdim)
    if name == "var":
        return reduction.var(x, dims, correction=0, keepdim=keepdim)
    out = getattr(reduction, name)(x, dims, keepdim)
    return out * 0.1 if name == "sum" else out


def _short_axis(rng: np.random.Generator, values: list[Any]) -> Any:
    drawn = _full_axis(rng, values)  # products of many factors leave the range of the tolerance
    return None if drawn is None or values[drawn[0][0]].shape[drawn[1][0]] > 33 else drawn


@operation("prod", 0.5, _short_axis)
def _prod(x: Any, axis: int) -> Any:
    return reduction.prod(pointwise.tanh(x) * 0.2 + 1.0, axis)


@operation("softmax", 1.5, _full_axis)
def _softmax(x: Any, axis: int) -> Any:
    return reduction.softmax(x, axis)


@operation("log_softmax", 1.0, _full_axis)
def _log_softmax(x: Any, axis: int) -> Any:
    return reduction.log_softmax(x, axis)


@operation("logsumexp", 0.7, _full_axis)
def _logsumexp(x: Any, axis: int) -> Any:
    return reduction.logsumexp(x, axis, True)


@operation("normalise", 1.5, _full_axis)
def _normalise(x: Any, axis: int) -> Any:
    centred = x - x.mean(axis, True)
    return centred * pointwise.rsqrt((centred * centred).mean(axis, True) + 1e-3)


def _factors(rng: np.random.Generator, values: list[Any]) -> Any:
    pairs = []
    for a in floats(values):
        for b in floats(values):
            x, y = values[a].shape, values[b].shape
            if not x or not y or x[-1] != (y[-2] if len(y) > 1 else y[0]):
                continue
            try:
                batch = np.broadcast_shapes(x[:-2], y[:-2])
            except ValueError:
                continue
            if np.prod(batch) * np.prod(x[-2:]) * np.prod(y[-1:]) < 200000:
                pairs.append((a, b))
    return (pairs[int(rng.integers(len(pairs)))], ()) if pairs else None


@operation("matmul", 3.0, _factors)
def _matmul(x: Any, y: Any) -> Any:
    return linear.matmul(x, y) * 0.3


def _gram(rng: np.random.Generator, values: list[Any]) -> Any:
    fits = [i for i in floats(values) if values[i].dim() >= 2 and values[i].numel() < 3000]
    return ((pick(rng, fits),), ()) if fits else None


@operation("gram", 1.0, _gram)
def _gram_run(x: Any) -> Any:
    return linear.matmul(x, x.transpose(-1, -2)) * 0.3


def _taken(rng: np.random.Generator, values: list[Any]) -> Any:
    drawn = _full_axis(rng, values)
    if drawn is None:
        return None
    (k,), (axis,) = drawn
    if values[k].numel() > 4000:
        return None
    index = tuple(int(i) for i in rng.integers(0, values[k].shape[axis], int(rng.integers(1, 6))))
    return (k,), (axis, index)


@operation("take", 1.5, _taken)
def _take(x: Any, axis: int, index: tuple[int, ...]) -> Any:
    return indexing.index_select(x, axis, creation.tensor(list(index), dtype=fg.int64))


@operation("gather", 1.0, _full_axis)
def _gather(x: Any, axis: int) -> Any:
    return indexing.gather(x, axis, _largest(x, axis, True))


@operation("argmax", 0.5, _full_axis)
def _argmax(x: Any, axis: int) -> Any:
    return _largest(x, axis, False).to(x.dtype) * 0.1


def _largest(x: Any, axis: int, keepdim: bool) -> Any:
    """Position of the maximum; a slope keeps equal elements apart, which rounding would order."""
    ramp = creation.arange(x.numel(), dtype=x.dtype).reshape(x.shape)
    return (x.detach() + pointwise.sin(ramp) * 0.37).argmax(axis, keepdim)


@operation("triangle", 0.5, _gram)
def _triangle(x: Any) -> Any:
    return creation.tril(x)


def _filled(rng: np.random.Generator, values: list[Any]) -> Any:
    k = pick(rng, floats(values))
    return (k,), (float(rng.normal()),)


@operation("full_like", 0.3, _filled)
def _full_like(x: Any, value: float) -> Any:
    return creation.full_like(x, value)


# --- in place -------------------------------------------------------------------------------------
def _changed(rng: np.random.Generator, values: list[Any]) -> Any:
    a = pick(rng, floats(values))
    fits = []
    for k in floats(values):
        try:
            if np.broadcast_shapes(values[a].shape, values[k].shape) == values[a].shape:
                fits.append(k)
        except ValueError:
            continue
    return (a, pick(rng, fits)), (str(rng.choice(["add_", "mul_", "copy_", "sub_"])),)


@operation("inplace", 1.0, _changed)
def _inplace(x: Any, y: Any, name: str) -> Any:
    return getattr(x, name)(y)


@operation("assign", 1.0, _slices)
def _assign(x: Any, *keys: Any) -> Any:
    x[_key(keys)] = 0.25
    return x


@operation("view_inplace", 1.0, _slices)
def _view_inplace(x: Any, *keys: Any) -> Any:
    x[_key(keys)].mul_(0.5)
    return x


IN_PLACE = ("inplace", "assign", "view_inplace")


# --- drawing --------------------------------------------------------------------------------------
def _draw_inputs(rng: np.random.Generator, mode: str) -> list[tuple[Any, ...]]:
    base = [int(n) for n in rng.choice(EXTENTS, 4)]
    if rng.random() < 0.06:
        base[int(rng.integers(4))] = 0
    if rng.random() < 0.08:
        base[0], base[1] = 257, 64
        base[2:] = [1, 2]
    inputs = []
    for k in range(int(rng.integers(2, 5))):
        ndim = int(rng.choice([0, 1, 2, 2, 2, 3, 3, 4]))
        start = int(rng.integers(0, 5 - ndim)) if ndim < 4 else 0
        extents = tuple(1 if rng.random() < 0.12 else n for n in base[start : start + ndim])
        layout = str(rng.choice(["dense", "dense", "transposed", "strided"]))
        place = str(rng.choice(["argument", "state"]))
        grad = mode != "forward" and (k == 0 or rng.random() < 0.6)
        if k == 0 and mode == "train":
            place = "state"
        inputs.append((extents, layout if place == "argument" else "dense", place, grad))
    return inputs


def draw(seed: int) -> Program:
    """The program of a seed."""
    rng = np.random.default_rng(seed)
    mode = str(rng.choice(MODES, p=[0.3, 0.3, 0.25, 0.15]))
    dtype = str(rng.choice(["float64", "float32"], p=[0.75, 0.25]))
    inputs = tuple(_draw_inputs(rng, mode))
    program = Program(seed, dtype, inputs, (), (), mode)
    values = make_inputs(program)
    names = [n for n in DRAW if n not in IN_PLACE or rng.random() < 0.35]
    weights = np.array([DRAW[n][0] for n in names])
    steps: list[Step] = []
    wanted = int(rng.integers(2, 22))
    for _ in range(wanted * 8):
        if len(steps) == wanted:
            break
        name = str(rng.choice(names, p=weights / weights.sum()))
        drawn = DRAW[name][1](rng, values)
        if drawn is None:
            continue
        operands, params = drawn
        try:
            out = RUN[name](*[values[k] for k in operands], *params)
        except FusegradError:
            continue
        if out.numel() > 40000 or out.dim() > 5:
            continue
        values.append(out)
        steps.append((name, operands, params))
    count = int(rng.integers(1, 4))
    last = len(values) - 1
    outputs = {last, *[int(k) for k in rng.integers(0, last + 1, count - 1)]}
    return replace(program, steps=tuple(steps), outputs=tuple(sorted(outputs)))


# --- running --------------------------------------------------------------------------------------
def _array(rng: np.random.Generator, extents: tuple[int, ...], layout: str, dtype: str) -> Any:
    if layout == "transposed":
        return rng.normal(size=extents[::-1]).astype(dtype).T
    if layout == "strided" and extents:
        wide = (*extents[:-1], extents[-1] * 2 + 1)
        return rng.normal(size=wide).astype(dtype)[..., 1::2]
    return rng.normal(size=extents).astype(dtype)


def make_inputs(program: Program, call: int = 0, grad: bool = True) -> list[Any]:
    """Fresh input tensors; ``call`` changes the values."""
    rng = np.random.default_rng([program.seed, call])
    out = []
    for extents, layout, _, needs in program.inputs:
        x = creation.from_numpy(np.asarray(_array(rng, extents, layout, program.dtype)))
        if needs and grad:
            x.requires_grad = True
        out.append(x)
    return out


def _objective(outputs: list[Any]) -> Any:
    total: Any = None
    for k, y in enumerate(outputs):
        if y.dtype.is_floating_point and y.requires_grad:
            part = (pointwise.tanh(y * 0.3) * (0.5 + 0.25 * k)).sum()
            total = part if total is None else total + part
    return total


@dataclass
class World:
    """One run of a program: its state tensors and what could be observed so far."""

    program: Program
    compiled: bool
    seen: list[tuple[str, Any]] = field(default_factory=list)

    def run(self) -> list[tuple[str, Any]]:
        """Call the program twice (three times when training) and note everything observable."""
        p = self.program
        tensors = make_inputs(p)
        places = [place for _, _, place, _ in p.inputs]
        self.state = {k: x for k, x in enumerate(tensors) if places[k] == "state"}

        def step(*arguments: Any) -> Any:
            given = iter(arguments)
            values = [
                self.state[k] if place == "state" else next(given) for k, place in enumerate(places)
            ]
            leaves = [v for v, spec in zip(values, p.inputs, strict=True) if spec[3]]
            for name, operands, params in p.steps:
                values.append(RUN[name](*[values[k] for k in operands], *params))
            outputs = [values[k] for k in p.outputs]
            return outputs, self._gradients(outputs, leaves)

        function = jit(step, keep_grads=p.mode == "backward") if self.compiled else step
        for call in range(3 if p.mode == "train" else 2):
            arguments = [
                x
                for x, place in zip(make_inputs(p, call), places, strict=True)
                if place == "argument"
            ]
            if not self._call(function, arguments, call):
                break
        return self.seen

    def _gradients(self, outputs: list[Any], leaves: list[Any]) -> Any:
        p = self.program
        loss = _objective(outputs) if p.mode != "forward" else None
        if loss is None:
            return []
        if p.mode == "grad":
            return fg.autograd.grad(loss, leaves, allow_unused=True)
        loss.backward()
        if p.mode == "train":
            with fg.no_grad():
                for x in self.state.values():
                    if x.requires_grad and x.grad is not None:
                        x.sub_(x.grad * 0.05)
                    x.grad = None
        return [loss]

    def _call(self, function: Any, arguments: list[Any], call: int) -> bool:
        try:
            outputs, extra = function(*arguments)
        except FusegradError as error:
            self.seen.append((f"call {call} raises", type(error).__name__))
            return False
        groups = [
            ("output", outputs),
            ("gradient", extra),
            ("argument", arguments),
            ("state", list(self.state.values())),
        ]
        for label, tensors in groups:
            for k, x in enumerate(tensors):
                value = None if x is None else np.array(x.detach().numpy())
                self.seen.append((f"call {call} {label} {k}", value))
        for x in self.state.values():  # a history that leaves a call is eager's alone
            if not x.is_leaf:
                x.detach_()
        if self.program.mode == "backward":
            for k, x in enumerate([*self.state.values(), *arguments]):
                g = x.grad if x.requires_grad and x.is_leaf else None
                self.seen.append(
                    (f"call {call} .grad {k}", None if g is None else np.array(g.numpy()))
                )
        return True


TOLERANCE = {"float64": (1e-9, 1e-9), "float32": (2e-3, 2e-3)}


def _difference(label: str, a: Any, b: Any, dtype: str) -> str | None:
    if a is None or b is None or isinstance(a, str):
        same = a is b if a is None or b is None else a == b
        return None if same else f"{label}: eager {a!r}, jit {b!r}"
    if a.shape != b.shape or a.dtype != b.dtype:
        return f"{label}: eager {a.dtype}{a.shape}, jit {b.dtype}{b.shape}"
    relative, absolute = TOLERANCE[dtype]
    scale = np.nanmax(np.abs(a[np.isfinite(a)]), initial=1.0) if a.size else 1.0
    if np.allclose(a, b, relative, absolute * scale, equal_nan=True):
        return None
    with np.errstate(all="ignore"):
        worst = np.max(np.abs(a.astype(float) - b), initial=0.0)
    return f"{label}: differs by {worst:.3g}\neager {a.ravel()[:8]}\njit   {b.ravel()[:8]}"


def check(program: Program) -> str | None:
    """What differs between eager and jit, ``None`` when nothing does."""
    eager = World(program, False).run()
    compiled = World(program, True).run()
    if isinstance(compiled[-1][1], str) and compiled[-1][1] == "CaptureError":
        return None  # what a trace cannot express it refuses, and says where
    if [label for label, _ in eager] != [label for label, _ in compiled]:
        return f"eager ends with {eager[-1]}, jit with {compiled[-1]}"[:400]
    for (label, a), (_, b) in zip(eager, compiled, strict=True):
        found = _difference(label, a, b, program.dtype)
        if found is not None:
            return found
    return None


# --- shrinking ------------------------------------------------------------------------------------
def _drop_unused(program: Program) -> Program:
    """Without the steps that no output needs (in-place steps count as needed)."""
    base = len(program.inputs)
    needed = set(program.outputs)
    for k in reversed(range(len(program.steps))):
        name, operands, _ = program.steps[k]
        if base + k in needed or name in IN_PLACE:
            needed |= {base + k, *operands}
    kept = [k for k in range(len(program.steps)) if base + k in needed]
    place = {k: k for k in range(base)} | {base + k: base + i for i, k in enumerate(kept)}
    steps = tuple(
        (n, tuple(place[o] for o in ops), ps) for n, ops, ps in (program.steps[k] for k in kept)
    )
    return replace(program, steps=steps, outputs=tuple(place[o] for o in program.outputs))


def _smaller(program: Program) -> Iterator[Program]:
    """Candidates: fewer outputs, one step bypassed, fewer inputs with gradients, plainer inputs."""
    base = len(program.inputs)
    if len(program.outputs) > 1:
        for out in program.outputs:
            yield _drop_unused(
                replace(program, outputs=tuple(o for o in program.outputs if o != out))
            )
    for k in reversed(range(len(program.steps))):
        for other in program.steps[k][1]:

            def move(o: int, k: int = k, other: int = other) -> int:
                return other if o == base + k else o - (o > base + k)

            steps = tuple(
                (n, tuple(map(move, ops)), ps)
                for i, (n, ops, ps) in enumerate(program.steps)
                if i != k
            )
            yield _drop_unused(
                replace(
                    program, steps=steps, outputs=tuple(sorted({move(o) for o in program.outputs}))
                )
            )
    for k, (extents, layout, place, grad) in enumerate(program.inputs):
        variants = [
            (extents, "dense", place, grad),
            (extents, layout, "argument", grad),
            (extents, layout, place, False),
        ]
        for spec in variants:
            if spec != (extents, layout, place, grad):
                yield replace(program, inputs=(*program.inputs[:k], spec, *program.inputs[k + 1 :]))
    if program.mode != "forward":
        yield replace(program, mode="forward")
        if program.mode != "grad":
            yield replace(program, mode="grad")
    if program.dtype != "float64":
        yield replace(program, dtype="float64")


def fails(program: Program) -> str | None:
    """Like ``check``, with an exception as a failure; ``None`` also for invalid programs."""
    try:
        eager = World(program, False).run()
    except Exception:
        return None
    if not eager or (eager[-1][0].endswith("raises") and eager[-1][1] != "InPlaceError"):
        return None
    try:
        return check(program)
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:300]}"


def _kind(failure: str | None) -> str:
    """Differences are of one kind, exceptions of as many as they have types."""
    if failure is None:
        return ""
    return "differs" if "eager" in failure else failure.split(":")[0]


def shrink(program: Program, budget: int = 150) -> Program:
    """A smaller program that still fails in the same way."""
    kind = _kind(fails(program))
    while kind and budget > 0:
        for candidate in _smaller(program):
            budget -= 1
            if _kind(fails(candidate)) == kind:
                program = candidate
                break
            if budget <= 0:
                return program
        else:
            return program
    return program
