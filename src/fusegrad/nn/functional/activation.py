"""Activation functions, composed of elementwise primitives.

In: tensors of any shape. Out: tensors of the same shape (``glu`` halves an axis). Where a formula
overflows on one side of a choice, its argument is made harmless there first: the gradient of the
side not taken would otherwise be 0 * inf. Next file: ``regression.py``.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

from ...dtypes import DType
from ...errors import ArgumentError, RangeError, ShapeError
from ...functions import reduction
from ...functions.arithmetic import div
from ...functions.common import axis_of, floating, owned, pointwise, wrapped
from ...functions.creation import zeros_like
from ...functions.norms import norm
from ...functions.pointwise import abs as magnitude
from ...functions.pointwise import clamp, sub, where
from ...functions.pointwise import relu as _relu
from ...functions.pointwise import sigmoid as _sigmoid
from ...functions.pointwise import tanh as _tanh
from ...functions.random import rand_like
from ...functions.refusals import no_booleans
from ...functions.rounding import rounds_once
from ...functions.shape import chunk, reshape
from ...ops import compare as cmp
from ...ops import elementwise as ew
from ...ops import transcendental as tr
from ...tensor import Tensor

_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def _put(input: Tensor, out: Tensor, inplace: bool) -> Tensor:
    return input._assign(out, "an in-place activation") if inplace else out


def _kept(input: Tensor, inplace: bool) -> Tensor:
    """What a gradient reads when the old values are written over; the result alone is no help."""
    return owned(input) if inplace and input.requires_grad else input


def _like(input: Tensor, number: Any) -> Any:
    """A limit in the dtype of ``input``: whole for integers."""
    whole = input.dtype.category < 2 and isinstance(number, (int, float))
    return wrapped(int(number), input.dtype) if whole else number


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0)."""
    return _put(input, _relu(input), inplace)


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """x limited to [min_val, max_val]; no gradient at the limits."""
    no_booleans("hardtanh", input)
    if min_val > max_val:
        raise ArgumentError(
            f"hardtanh from {min_val} to {max_val}", "min_val cannot be greater than max_val."
        )
    min_val, max_val = _like(input, min_val), _like(input, max_val)
    limited = where(cmp.ge(input, max_val), max_val, input)
    return _put(input, where(cmp.le(input, min_val), min_val, limited), inplace)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """x limited to [0, 6]."""
    return hardtanh(input, 0.0, 6.0, inplace)


@rounds_once
def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where positive, ``negative_slope * x`` elsewhere."""
    out = where(cmp.gt(input, 0.0), input, ew.mul(input, negative_slope))
    return _put(input, out, inplace)


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """Leaky ReLU whose slope is drawn from [lower, upper] in training, else their mean."""
    if lower > upper:
        raise RangeError(
            f"rrelu with slopes from {lower} to {upper}",
            "Lower bound should be less than or equal to the upper bound.",
        )
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    slope = ew.add(ew.mul(rand_like(input), upper - lower), lower)
    return _put(input, where(cmp.gt(input, 0.0), input, ew.mul(input, slope)), inplace)


@rounds_once
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where positive, ``weight * x`` elsewhere; one weight, or one per channel (axis 1)."""
    if weight.aval.size != 1:
        ndim = input.aval.ndim
        channels = input.aval.shape[1] if ndim > 1 else 1
        if ndim == 0 or weight.aval.ndim != 1 or weight.aval.size != channels:
            raise ShapeError(
                f"prelu got input {input.aval} and weight {weight.aval}",
                f"The weight has one element, or one per channel ({channels}).",
                f"nn.PReLU(num_parameters={channels})",
            )
        weight = reshape(weight, tuple(channels if k == 1 else 1 for k in range(ndim)))
    elif weight.aval.ndim > input.aval.ndim:
        weight = reshape(weight, ())
    return where(cmp.gt(input, 0.0), input, pointwise(ew.mul, input, weight))


def _negative(input: Tensor) -> Tensor:
    """x where not positive, 0 elsewhere, so that exp of it cannot overflow."""
    return where(cmp.gt(input, 0.0), 0.0, input)


@rounds_once
def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where positive, alpha * (exp(x) - 1) elsewhere."""
    low = ew.mul(tr.expm1(_negative(input)), alpha)
    return _put(input, where(cmp.gt(input, 0.0), input, low), inplace)


@rounds_once
def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """Scaled ELU with the self-normalising constants."""
    low = ew.mul(tr.expm1(_negative(input)), _SELU_SCALE * _SELU_ALPHA)
    out = where(cmp.gt(input, 0.0), ew.mul(input, _SELU_SCALE), low)
    return _put(input, out, inplace)


@rounds_once
def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where positive, alpha * (exp(x / alpha) - 1) elsewhere."""
    low = ew.mul(tr.expm1(ew.mul(_negative(input), 1.0 / alpha)), alpha)
    return _put(input, where(cmp.gt(input, 0.0), input, low), inplace)


@rounds_once
def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x * Phi(x), by erf or (``approximate="tanh"``) by its tanh approximation."""
    if approximate == "none":
        cdf = ew.mul(ew.add(tr.erf(ew.mul(input, math.sqrt(0.5))), 1.0), 0.5)
        return ew.mul(input, cdf)
    if approximate != "tanh":
        raise RangeError(
            f"gelu with approximate={approximate!r}",
            "approximate argument must be either none or tanh.",
        )
    cube = ew.mul(ew.mul(input, input), input)
    inner = ew.mul(ew.add(input, ew.mul(cube, 0.044715)), math.sqrt(2.0 / math.pi))
    return ew.mul(ew.mul(input, 0.5), ew.add(tr.tanh(inner), 1.0))


@rounds_once
def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x * sigmoid(x)."""
    x = _kept(input, inplace)
    return _put(input, ew.mul(x, tr.sigmoid(x)), inplace)


def softplus_stable(input: Tensor) -> Tensor:
    """log(1 + exp(x)) for any x.

    Both branches are smooth where they are used, so that all derivatives are right at 0, too
    (those of ``maximum`` and ``abs`` are not there).
    """
    positive = cmp.gt(input, 0.0)
    tail = tr.log1p(tr.exp(where(positive, ew.neg(input), input)))
    return ew.add(where(positive, input, 0.0), tail)


@rounds_once
def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta * x)) / beta; x itself above ``threshold``."""
    scaled = ew.mul(input, beta)
    smooth = ew.mul(softplus_stable(scaled), 1.0 / beta)
    return where(cmp.gt(scaled, threshold), input, smooth)


@rounds_once
def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * tanh(softplus(x))."""
    x = _kept(input, inplace)
    return _put(input, ew.mul(x, tr.tanh(softplus_stable(x))), inplace)


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return _sigmoid(input)


def tanh(input: Tensor) -> Tensor:
    """Hyperbolic tangent."""
    return _tanh(input)


@rounds_once
def logsigmoid(input: Tensor) -> Tensor:
    """log(sigmoid(x)) for any x."""
    return ew.neg(softplus_stable(ew.neg(input)))


@rounds_once
def softsign(input: Tensor) -> Tensor:
    """x / (1 + abs(x))."""
    return div(input, ew.add(magnitude(input), 1))


@rounds_once
def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh(x)."""
    return sub(input, _tanh(input))


@rounds_once
def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x moved towards 0 by ``lambd``, 0 within."""
    if lambd < 0:
        raise RangeError(f"softshrink with lambd={lambd}", "lambda must be greater or equal to 0.")
    low = where(cmp.lt(input, -lambd), ew.add(input, lambd), ew.mul(input, 0.0))
    return where(cmp.gt(input, lambd), ew.sub(input, lambd), low)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x outside [-lambd, lambd], 0 within."""
    return where(cmp.le(ew.abs_(input), lambd), 0.0, input)


@rounds_once
def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """relu6(x + 3) / 6."""
    return _put(input, ew.mul(relu6(ew.add(input, 3.0)), 1.0 / 6.0), inplace)


@rounds_once
def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * relu6(x + 3) / 6."""
    x = _kept(input, inplace)
    return _put(input, ew.mul(x, ew.mul(relu6(ew.add(x, 3.0)), 1.0 / 6.0)), inplace)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where above ``threshold``, ``value`` elsewhere."""
    threshold, value = _like(input, threshold), _like(input, value)
    return _put(input, where(cmp.le(input, threshold), value, input), inplace)


@rounds_once
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """First half times the sigmoid of the second half along ``dim``."""
    axis = axis_of(dim, input.aval.ndim)
    if not input.aval.ndim or input.aval.shape[axis] % 2:
        raise ShapeError(
            f"glu of {input.aval} along dim {dim}",
            "Halving dimension must be even.",
            "double the features of the layer",
        )
    value, gate = chunk(input, 2, axis)
    return ew.mul(value, tr.sigmoid(gate))


def _softmax_dim(name: str, ndim: int, dim: int | None) -> int:
    if dim is not None:
        return dim
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. "
        "Change the call to include dim=X as an argument.",
        stacklevel=3,
    )
    return 0 if ndim in (0, 1, 3) else 1


@rounds_once
def softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None
) -> Tensor:
    """exp(x) / sum(exp(x)) along ``dim``."""
    return reduction.softmax(input, _softmax_dim("softmax", input.aval.ndim, dim), dtype)


@rounds_once
def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None
) -> Tensor:
    """log(softmax(x)) along ``dim``."""
    return reduction.log_softmax(input, _softmax_dim("log_softmax", input.aval.ndim, dim), dtype)


@rounds_once
def softmin(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None
) -> Tensor:
    """softmax(-x) along ``dim``."""
    x = ew.neg(floating(input) if dtype is None else input)  # bytes wrap before they are converted
    return reduction.softmax(x, _softmax_dim("softmin", input.aval.ndim, dim), dtype=dtype)


def normalize(
    input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Tensor | None = None
) -> Tensor:
    """x / max(norm(x), eps) along ``dim``; written to ``out`` when given."""
    size = clamp(norm(input, p, dim, keepdim=True), min=eps)
    unit = pointwise(ew.div, input, size)
    return unit if out is None else out._assign(unit, "normalize")


@rounds_once
def gumbel_softmax(
    logits: Tensor, tau: float = 1.0, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """A sample of the Gumbel-softmax distribution; ``hard`` makes it one-hot."""
    tiny = 1e-20
    draw = ew.neg(tr.log(ew.add(ew.neg(tr.log(ew.add(rand_like(logits), tiny))), tiny)))
    soft = reduction.softmax(ew.mul(ew.add(logits, draw), 1.0 / tau), dim)
    if not hard:
        return soft
    axis = axis_of(dim, soft.aval.ndim)
    top = reduction.amax(soft.detach(), axis, True)  # type: ignore[attr-defined]
    one_hot = where(pointwise(cmp.eq, soft, top), 1.0, zeros_like(soft))
    return ew.add(ew.sub(one_hot, soft.detach()), soft)  # type: ignore[attr-defined]


def _in_place(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def call(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return function(input, *args, **kwargs, inplace=True)

    call.__name__ = f"{function.__name__}_"
    call.__doc__ = f"In-place ``{function.__name__}``."
    return call


relu_ = _in_place(relu)
elu_ = _in_place(elu)
selu_ = _in_place(selu)
celu_ = _in_place(celu)
leaky_relu_ = _in_place(leaky_relu)
hardtanh_ = _in_place(hardtanh)
threshold_ = _in_place(threshold)
rrelu_ = _in_place(rrelu)
