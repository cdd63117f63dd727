"""Functions of matrices that the orthogonal parametrization needs, as compositions of products.

In: ``[..., n, n]`` or ``[..., n, k]`` matrices. Out: tensors with derivatives of any order, the
same code eagerly and traced: no step looks at a value.
"""

from __future__ import annotations

import math
from typing import Any

from ...autograd import no_grad
from ...functions.common import cast
from ...functions.creation import eye
from ...functions.pointwise import clamp, where
from ...functions.reduction import amax, sum
from ...functions.shape import cat, pad_constant, reshape, transpose
from ...ops import elementwise as ew
from ...ops import transcendental as tr
from ...tensor import Tensor

SQUARINGS = 14
NEWTON_STEPS = 30


def mT(x: Any) -> Any:
    """The last two axes exchanged."""
    return transpose(x, -2, -1)


def matrix_exp(a: Any) -> Any:
    """The exponential of square matrices, by scaling and squaring (Higham 2005).

    A Taylor polynomial of degree 15 of ``a / 2**s``, whose 1-norm is at most 1/2, squared ``s``
    times. ``s`` is at most 14; a norm above 8192 gives nan.
    """
    with no_grad():
        norm: Any = amax(sum(ew.abs_(a.detach()), -2, True), -1, True)
        exponent: Any = clamp(ew.ceil(tr.log2(clamp(norm, min=0.25))) + 1.0, min=0.0)
        exponent = where(exponent > SQUARINGS, math.nan, exponent)
        scale = tr.exp2(ew.neg(exponent))
    x = a * scale
    unit: Any = eye(a.aval.shape[-1], dtype=a.dtype)
    x2 = x @ x
    x3 = x2 @ x
    x4 = x2 @ x2
    # Horner's rule in x**4, four terms of the series at a time
    result: Any = None
    for first in (12, 8, 4, 0):
        c = [1.0 / math.factorial(first + k) for k in range(4)]
        block = unit * c[0] + x * c[1] + x2 * c[2] + x3 * c[3]
        result = block if result is None else block + x4 @ result
    for k in range(SQUARINGS):
        result = where(exponent > k, result @ result, result)
    return result


def inverse(m: Any) -> Any:
    """The inverse of matrices whose condition is moderate, by Newton's iteration (Schulz 1933).

    The last steps alone are differentiated: each doubles the order to which derivatives are right.
    """
    with no_grad():
        fixed = m.detach()
        x = mT(fixed) / sum(fixed * fixed, (-2, -1), True)
        for _ in range(NEWTON_STEPS):
            x = x * 2.0 - x @ (fixed @ x)
    for _ in range(2):
        x = x * 2.0 - x @ (m @ x)
    return x


def householder_product(a: Any, tau: Any) -> Any:
    """The first k columns of the product of k reflections, as LAPACK's ``orgqr``.

    Reflection i is ``1 - tau[i] v v.T`` where v has zeros above its place i, 1 at it and column i
    of ``a`` below. Products of neighbouring groups are joined in their compact WY form (Schreiber
    and Van Loan 1989), log2(k) times.
    """
    *batch, n, k = a.aval.shape
    unit: Any = eye(n, k, dtype=a.dtype)
    width = 1 << max(k - 1, 0).bit_length()
    v = pad_constant(a.tril(-1) + unit, (0, width - k))
    t: Any = reshape(pad_constant(tau, (0, width - k)), (*batch, width, 1, 1))
    rows = mT(v)
    size = 1
    while size < width:
        groups = width // size // 2
        pairs = reshape(rows, (*batch, groups, 2, size, n))
        halves: Any = reshape(t, (*batch, groups, 2, size, size))
        first: Any = halves[..., 0, :, :]
        second: Any = halves[..., 1, :, :]
        across = pairs[..., 0, :, :] @ mT(pairs[..., 1, :, :])
        corner = ew.neg(first @ across @ second)
        t = cat([cat([first, corner], -1), cat([second * 0.0, second], -1)], -2)
        size *= 2
    t = reshape(t, (*batch, width, width))
    return unit - v @ (t @ mT(v[..., :k, :]))


def truncated_diagonal(x: Any) -> Any:
    """The diagonal of ``[..., n, k]`` as ``[..., k]``, rounded towards zero."""
    k = min(x.aval.shape[-2:])
    square = x[..., :k, :k]
    return ew.trunc(sum(square * cast(eye(k), x.dtype), -2))


def is_orthogonal(q: Tensor) -> bool:
    """Whether the columns of a concrete matrix are orthonormal, to rounding."""
    k = q.aval.shape[-1]
    array = q._concrete("orthogonal")
    eps = 10 * k * float({4: 1.1920929e-07, 8: 2.220446049250313e-16}[array.itemsize])
    gram = array.swapaxes(-2, -1) @ array
    return bool((abs(gram - eye(k, dtype=q.dtype)._value) <= eps).all())
