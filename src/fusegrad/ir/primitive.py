"""Primitive records, their kinds and registry, and ``bind``, the one way to apply a primitive.

A primitive is declared once (``ops/``) as a record of a *kind*; every stage asks the record and no
stage keeps a list of names. ``bind`` hands the application to whoever owns the operands: a tensor
library (boxes), the graph builder while capturing, or NumPy.

A derivative rule asks for what it needs by parameter name: ``g`` (the cotangent, or for elementwise
records also the tangent), ``out``, the names of the inputs, ``<input>_aval`` and the names of the
static parameters. So the residuals of every rule are known without running it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..dtypes import ALL, DType, float32, stored, widen
from ..errors import LeakedTracerError
from .aval import Aval, aval_of
from .graph import Literal, Var

Rule = Callable[..., Any]

KINDS = (
    "elementwise", "reduce", "movement", "contract", "window", "indexing",
    "scan", "sort", "source", "control", "host",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Primitive:
    """Everything fusegrad knows about one operation.

    Attributes:
        name: unique name.
        kind: one of ``KINDS``.
        arg_names: names of the array operands.
        aval_rule: ``(*avals, **params) -> Aval``; raises the user's shape and dtype errors.
            A tuple of avals for ``multiple`` outputs, as then is what the reference returns.
        reference: NumPy implementation ``(*arrays, **params) -> array``; the oracle.
        derivs: one rule per operand (``None``: no gradient), see the module docstring.
        linearity: ``"diagonal"`` (rules serve vjp and jvp), ``"linear"`` (linear in every operand,
            so the jvp binds the primitive on tangents) or ``"explicit"`` (``jvps`` given).
        jvps: rules with ``t`` for the tangent, for ``linearity="explicit"``.
        scalar: text of the scalar expression, operands as ``{0}``; or a function
            ``(operand dtypes, out dtype, params) -> text``.
        identity, combine: for reductions, text of the neutral element and of the combination;
            a ``combine`` makes an indexing record a scatter: old element ``{0}``, new one ``{1}``;
            for scans see ``ops/scan.py``.
        pointwise: for indexing, every element has an index of its own (else every slice).
        index_map: for movement: ``(index, in_aval, out_aval, params)`` -> operand index, see
            ``schedule/index.py``.
        expand: the composition that stands for the record in kernels, ``(*operands, **params)``;
            for records that kernels need not know.
        holomorphic: for complex operands, whether the rules are derivatives by that variable;
            then reverse mode conjugates what they multiply by. Records of complex numbers that
            have no such derivative (the absolute value) say ``False``, and their rules are used
            as they are, as are rules that read no complex value.
        pair: the composition on real and imaginary parts that stands for the record in kernels:
            operands of complex dtype come as pairs ``(re, im)``, the others as they are, and the
            result is a pair or, when real, one value. ``"parts"`` when the record does the same
            to both parts. See ``passes/complex.py``.
        cost: relative scalar cost, 1 for an addition; guides recomputation.
        dtypes: dtypes that property tests draw.
        domain: interval the property tests draw operands from.
        alias: the result may share memory with the operand (a view).
        multiple: any number of outputs; ``bind`` returns a tuple.
        hermitian: the operand is a Hermitian matrix of which one triangle is read; rules hold for
            (and cotangents are) Hermitian matrices.
        doc: one sentence.
    """

    name: str
    kind: str
    arg_names: tuple[str, ...]
    aval_rule: Callable[..., Any]
    reference: Callable[..., Any]
    derivs: tuple[Rule | None, ...] = ()
    linearity: str = "diagonal"
    jvps: tuple[Rule | None, ...] = ()
    scalar: Any = None
    identity: Any = None
    combine: str = ""
    pointwise: bool = False
    expand: Callable[..., Any] | None = None
    index_map: Callable[..., Any] | None = None
    holomorphic: bool = True
    pair: Any = None
    cost: float = 1.0
    dtypes: tuple[DType, ...] = ALL
    domain: tuple[float, float] = (-3.0, 3.0)
    samples: Callable[..., Any] | None = None
    commutative: bool = False
    alias: bool = False
    multiple: bool = False
    hermitian: bool = False
    doc: str = ""
    needs: tuple[tuple[str, ...], ...] = field(init=False, default=())
    jvp_needs: tuple[tuple[str, ...], ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"primitive {self.name}: unknown kind {self.kind!r}")
        if self.derivs and len(self.derivs) != len(self.arg_names):
            raise ValueError(
                f"primitive {self.name}: {len(self.derivs)} derivative rules for "
                f"{len(self.arg_names)} operands"
            )
        object.__setattr__(self, "needs", tuple(map(_names, self.derivs)))
        object.__setattr__(self, "jvp_needs", tuple(map(_names, self.jvps)))
        if self.name in REGISTRY:
            raise ValueError(f"primitive {self.name} is declared twice")
        REGISTRY[self.name] = self

    @property
    def differentiable(self) -> bool:
        """Whether any operand has a derivative rule."""
        return any(rule is not None for rule in self.derivs)

    @property
    def runs_as(self) -> str:
        """What runs it in a compiled program: a ``native`` kernel, the kernels of the
        ``composition`` it expands to, or on the ``host`` its NumPy reference."""
        if self.expand is not None:
            return "composition"
        return "host" if self.kind == "host" else "native"

    @property
    def gathers(self) -> bool:
        """Whether it reads at computed positions (and so is inlined where it is used)."""
        return self.kind == "indexing" and not self.combine

    @property
    def scatters(self) -> bool:
        """Whether it writes at computed positions."""
        return self.kind == "indexing" and bool(self.combine)

    @property
    def walks(self) -> bool:
        """Whether it goes along one axis of its operands, in a kernel of its own."""
        return self.kind in ("scan", "sort")

    def carries(self, in_avals: Sequence[Aval], params: dict[str, Any]) -> bool:
        """Whether elements only move, bit for bit: no number is read and none is made."""
        if self.kind == "movement":
            return "value" not in params  # a pad makes one
        if self.kind == "control" or self.gathers:
            return True
        return len(in_avals) == 1 and params.get("dtype") is in_avals[0].dtype

    def __repr__(self) -> str:
        return self.name

    def __call__(self, *args: Any, **params: Any) -> Any:
        return bind(self, *args, **params)

    def __reduce__(self) -> tuple[Any, ...]:
        return (REGISTRY.__getitem__, (self.name,))


def _names(rule: Rule | None) -> tuple[str, ...]:
    if rule is None:
        return ()
    code = rule.__code__
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


REGISTRY: dict[str, Primitive] = {}


class Boxed:
    """Base of operand types that apply primitives themselves (tensors with a gradient history)."""

    __slots__ = ()

    @staticmethod
    def bind(primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """Apply ``primitive`` to operands at least one of which is boxed."""
        raise NotImplementedError


class _State(threading.local):
    builder: Any = None


_state = _State()


def current_builder() -> Any:
    """The graph builder of the capture that runs on this thread, or ``None``."""
    return _state.builder


def set_builder(builder: Any) -> Any:
    """Make ``builder`` current and return the previous one."""
    previous = _state.builder
    _state.builder = builder
    return previous


def bind(primitive: Primitive, *args: Any, **params: Any) -> Any:
    """Apply ``primitive``; the operands and the running capture decide who evaluates it."""
    for arg in args:
        if isinstance(arg, Boxed):
            return arg.bind(primitive, args, params)
    builder = _state.builder
    if builder is not None:
        return builder.append(primitive, args, params)
    return evaluate(primitive, args, params)


def evaluate(primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
    """Run the NumPy reference; scalars given as ``Literal`` or Python numbers are accepted."""
    arrays: list[Any] = []
    avals: list[Any] = []
    like: DType | None = None
    for arg in args:
        if isinstance(arg, Var):
            raise LeakedTracerError(
                f"{primitive.name} got a traced value {arg.aval} outside its trace",
                "A tensor created inside a jitted function was kept and used after the call.",
                "return the tensor from the function instead of storing it",
            )
        if isinstance(arg, (Literal, np.ndarray, np.generic)):
            like = aval_of(arg).dtype
        plain = type(arg) in (bool, int, float, complex)  # np.float64 is a float with a dtype
        avals.append(None if plain else aval_of(arg))
        arrays.append(arg.value if isinstance(arg, Literal) else arg)
    for k, aval in enumerate(avals):
        if aval is None:  # a number takes the dtype of its neighbours
            if like is not None:
                arrays[k] = stored(arrays[k], like)[()]
            avals[k] = aval_of(arrays[k])
    out_aval = primitive.aval_rule(*avals, **params)  # first: its errors explain
    outs = out_aval if primitive.multiple else (out_aval,)
    reduced = any(a.dtype.reduced for a in (*avals, *outs))
    with np.errstate(all="ignore"):
        if reduced and not primitive.carries(avals, params):
            out = _widened(primitive, arrays, params)
        else:
            out = primitive.reference(*arrays, **params)
    if primitive.multiple:
        return tuple(map(_typed, out, out_aval))
    return _typed(out, out_aval)


def _widened(primitive: Primitive, arrays: Sequence[Any], params: dict[str, Any]) -> Any:
    """Half-precision numbers are computed on in ``float32``; the caller rounds the result, once.

    The pass ``passes/reduced.py`` does the same to graphs.
    """
    return primitive.reference(*map(widen, arrays), **wide_params(params))


def wide_params(params: dict[str, Any]) -> dict[str, Any]:
    """Static parameters of the equation that computes in ``float32``."""
    if not any(isinstance(v, DType) and v.reduced for v in params.values()):
        return params
    return {k: float32 if isinstance(v, DType) and v.reduced else v for k, v in params.items()}


def _typed(value: Any, aval: Aval) -> np.ndarray:
    if isinstance(value, np.ndarray) and value.dtype == aval.dtype.np:
        return value
    return stored(value, aval.dtype)
