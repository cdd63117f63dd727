"""``out=``: results written into tensors that exist already.

In: a function that returns a tensor or a tuple of them. Out: the same function with PyTorch's
keyword. Which functions take it is part of the surface and listed here, once.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..dtypes import DType
from ..errors import ArgumentTypeError, DTypeError, GradientError, InPlaceError
from ..ir.primitive import current_builder
from ..tensor import Storage, Tensor, grad_mode

FUNCTIONS = """
abs absolute acos acosh add addbmm addcdiv addcmul addmm addmv addr all amax amin aminmax angle any
arange arccos arccosh arcsin arcsinh arctan arctan2 arctanh argmax argmin argsort asin asinh atan
atan2 atanh baddbmm bernoulli bitwise_and bitwise_left_shift bitwise_not bitwise_or
bitwise_right_shift bitwise_xor bmm bucketize cat ceil chain_matmul cholesky cholesky_inverse
cholesky_solve clamp clamp_max clamp_min clip column_stack complex concat concatenate conj_physical
copysign cos cosh cross cummax cummin cumprod cumsum deg2rad diag diff digamma div divide dot dstack
empty eq erf erfc erfinv exp exp2 expm1 eye fix float_power floor floor_divide fmax fmin fmod frac
frexp full gather gcd ge geqrf ger greater greater_equal gt heaviside histc histogram hstack hypot
i0 igamma igammac index_add index_copy index_reduce index_select inner inverse isin isneginf
isposinf kron kthvalue lcm ldexp le lerp less less_equal lgamma linspace log log10 log1p log2
log_softmax logaddexp logaddexp2 logcumsumexp logical_and logical_not logical_or logical_xor logit
logspace logsumexp lt lu lu_solve lu_unpack masked_select matmul matrix_power max maximum mean min
minimum mm mode msort mul multinomial multiply mv mvlgamma nan_to_num nanmean nanquantile nansum
native_batch_norm ne neg negative nextafter nonzero norm normal not_equal ones orgqr ormqr outer
polar polygamma pow prod qr quantile rad2deg rand randint randn randperm range reciprocal remainder
renorm round row_stack rsqrt scatter scatter_add scatter_reduce searchsorted sgn sigmoid sign
signbit sin sinc sinh slice_scatter slogdet softmax sort sqrt square stack std sub subtract sum svd
take take_along_dim tan tanh tensordot topk triangular_solve tril triu true_divide trunc var vdot
vstack where xlogy zeros
"""
# Of those, the functions whose out must have the dtype of the result.
EXACT = frozenset(
    """
argmax argmin argsort bitwise_not bucketize isin isneginf isposinf multinomial nonzero searchsorted
signbit
""".split()
)
LAYERS = """
avg_pool2d avg_pool3d gelu hardshrink linear logsigmoid normalize softplus softshrink
"""


def accept(namespace: dict[str, Any], names: str = FUNCTIONS) -> None:
    """Give the functions of a module that are named the keyword ``out``."""
    for name in names.split():
        if name in namespace:
            namespace[name] = accepting(namespace[name])


def accepting(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` with a keyword ``out``: a tensor, or a tuple of them for several results.

    The result is written into ``out``, which is returned. It is resized to the shape of the result
    and must have a dtype that the result converts to without loss of kind.

    Raises:
        RuntimeError: an operand requires grad, or the dtype or the memory of ``out`` do not fit.

    Example:
        >>> import fusegrad as fg
        >>> out = fg.empty(2)
        >>> fg.add(fg.ones(2), 1, out=out) is out, out.tolist()
        (True, [2.0, 2.0])
    """

    @functools.wraps(function)
    def with_out(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        if out is None:
            return function(*args, **kwargs)
        name = function.__name__.rstrip("_")
        targets = out if isinstance(out, (tuple, list)) else (out,)
        _check(name, targets, (*args, *kwargs.values()))
        result = function(*args, **kwargs)
        if not isinstance(result, tuple):
            return _store(name, result, targets[0], exact=name in EXACT)
        if len(targets) != len(result):
            raise ArgumentTypeError(
                f"{name} with out= of {len(targets)} tensors", f"It has {len(result)} results."
            )
        stored = [_store(name, r, t, exact=True) for r, t in zip(result, targets, strict=True)]
        return type(result)(*stored) if hasattr(result, "_fields") else tuple(stored)

    return with_out


def _check(name: str, targets: Any, operands: Any) -> None:
    for target in targets:
        if not isinstance(target, Tensor):
            raise ArgumentTypeError(
                f"{name} with out= of type {type(target).__name__}", "out must be a tensor."
            )
    tracked = any(x.requires_grad for x in (*targets, *_tensors(operands)))
    if grad_mode.enabled and tracked:
        raise GradientError(
            f"{name} with out= and an operand that requires grad",
            "Functions with out= do not support automatic differentiation.",
            "the form without out=, or fg.no_grad()",
        )


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)


def _converts(source: DType, target: DType) -> bool:
    """Whether PyTorch stores one dtype in another: never complex in real, real in integer, number
    in bool."""
    return source.category <= target.category or source.category == target.category == 1


def _store(name: str, result: Tensor, target: Tensor, exact: bool) -> Tensor:
    fits = result.dtype is target.dtype if exact else _converts(result.dtype, target.dtype)
    if not fits:
        raise DTypeError(
            f"{name} with out={target.aval}",
            f"result type {result.dtype} can't be cast to the desired output type {target.dtype}.",
            f"an out of dtype {result.dtype}",
        )
    if result.shape != target.shape:
        _resize(name, target, result.aval.shape)
    return target._assign(result, f"{name}(out=)")


def _resize(name: str, target: Tensor, shape: tuple[int, ...]) -> None:
    """Give ``target`` memory of its own of another shape."""
    if current_builder() is not None:
        raise InPlaceError(
            f"{name} with out={target.aval} for a result of shape {list(shape)}",
            "Inside a function under @fg.jit the memory of a tensor keeps its shape.",
            "an out of the shape of the result",
        )
    if target.aval.size:
        warnings.warn(
            f"an output with one or more elements was resized from {list(target.shape)} to "
            f"{list(shape)}, which does not match its shape; pass an empty tensor to resize",
            stacklevel=4,
        )
    fresh = np.empty(shape, target.dtype.np)
    target._value, target._storage, target._path = fresh, Storage(fresh), ()
    target._base = None
