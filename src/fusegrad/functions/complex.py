"""Complex tensors: built from parts, taken apart, conjugated.

Parts are views: ``x.real`` and ``fg.view_as_real(x)`` share the memory of ``x``. A conjugate is
computed at once; so that no program depends on it, it refuses to be changed in place.
"""

from __future__ import annotations

import math
from typing import Any

from .. import dtypes
from ..dtypes import bool_, complex_dtype
from ..errors import DimError, DTypeError, ShapeError
from ..ops import compare as cmp
from ..ops import complex as ops
from ..ops import elementwise as ew
from ..ops import movement
from ..ops import transcendental as tr
from ..tensor import Tensor
from ..viewpath import layout_of
from .common import as_tensor_operand, broadcast_shapes, broadcast_to, cast, method, owned
from .pointwise import abs as magnitude
from .pointwise import where
from .twins import in_place


def complex(real: Tensor, imag: Tensor) -> Tensor:
    """The complex tensor with the given real and imaginary parts.

    Args:
        real: floating tensor.
        imag: tensor of the same dtype; the shapes broadcast.

    Returns:
        ``complex64`` for ``float32`` parts, ``complex128`` for ``float64``.

    Raises:
        RuntimeError: parts of different or of no floating dtype.

    Example:
        >>> import fusegrad as fg
        >>> fg.complex(fg.tensor([1.0, 2.0]), fg.tensor([3.0, 4.0])).tolist()
        [(1+3j), (2+4j)]
    """
    real, imag = as_tensor_operand(real), as_tensor_operand(imag)
    _check_parts("complex", real, imag)
    shape = broadcast_shapes(real.aval.shape, imag.aval.shape, op="complex")
    parts = [
        movement.reshape(broadcast_to(part, shape), shape=(*shape, 1)) for part in (real, imag)
    ]
    return ops.view_as_complex(movement.concat(*parts, axis=len(shape)))


def _check_parts(name: str, first: Tensor, second: Tensor) -> None:
    if first.dtype not in (dtypes.float32, dtypes.float64):
        raise DTypeError(
            f"{name} of {first.aval} and {second.aval}",
            "Expected both inputs to be Float or Double tensors.",
            "x.float()",
        )
    if first.dtype is not second.dtype:
        raise DTypeError(
            f"{name} of {first.aval} and {second.aval}",
            f"Expected object of scalar type {first.dtype} but got {second.dtype} for the second.",
            f"y.to({first.dtype})",
        )


def polar(abs: Tensor, angle: Tensor) -> Tensor:
    """The complex tensor with the given absolute values and angles (in radians).

    Example:
        >>> import fusegrad as fg
        >>> fg.polar(fg.tensor([2.0]), fg.tensor([0.0])).tolist()
        [(2+0j)]
    """
    abs, angle = as_tensor_operand(abs), as_tensor_operand(angle)
    _check_parts("polar", abs, angle)
    shape = broadcast_shapes(abs.aval.shape, angle.aval.shape, op="polar")
    size, turn = broadcast_to(abs, shape), broadcast_to(angle, shape)
    return complex(ew.mul(size, tr.cos(turn)), ew.mul(size, tr.sin(turn)))


# --- views ----------------------------------------------------------------------------------------
def view_as_real(input: Tensor) -> Tensor:
    """Real and imaginary parts along a new last axis of 2; shares memory with ``input``.

    Example:
        >>> import fusegrad as fg
        >>> fg.view_as_real(fg.tensor([1 + 2j])).tolist()
        [[1.0, 2.0]]
    """
    return ops.view_as_real(input)


def view_as_complex(input: Tensor) -> Tensor:
    """Complex numbers from the pairs along the last axis; shares memory with ``input``.

    Args:
        input: ``float32`` or ``float64`` of shape ``(..., 2)``, its last axis dense.

    Raises:
        RuntimeError: another dtype, last extent or stride.

    Example:
        >>> import fusegrad as fg
        >>> fg.view_as_complex(fg.tensor([[1.0, 2.0]])).tolist()
        [(1+2j)]
    """
    ops.view_as_complex.aval_rule(input.aval)
    layout = layout_of(input)
    if layout.itemsize > 1 and not ops.views_as_complex(layout):
        raise ShapeError(
            f"view_as_complex of {input.aval} with strides {tuple(layout.strides)} bytes",
            "Tensor must have a last dimension with stride 1 and all others divisible by 2.",
            "x.contiguous()",
        )
    return ops.view_as_complex(input)


def _part(input: Tensor, which: int) -> Tensor:
    both = ops.view_as_real(input)
    shape = input.aval.shape
    one = movement.slice_(
        both,
        start=(*[0] * len(shape), which),
        limit=(*shape, which + 1),
        step=(1,) * (len(shape) + 1),
    )
    return movement.reshape(one, shape=shape)


def real(input: Tensor) -> Tensor:
    """The real part, a view of ``input``; a real tensor itself.

    Example:
        >>> import fusegrad as fg
        >>> fg.real(fg.tensor([1 + 2j])).tolist()
        [1.0]
    """
    return _part(input, 0) if input.dtype.is_complex else input


def imag(input: Tensor) -> Tensor:
    """The imaginary part, a view of ``input``.

    Raises:
        RuntimeError: ``input`` is real.

    Example:
        >>> import fusegrad as fg
        >>> fg.imag(fg.tensor([1 + 2j])).tolist()
        [2.0]
    """
    if not input.dtype.is_complex:
        raise DTypeError(
            f"imag of {input.aval}",
            "imag is not implemented for tensors with non-complex dtypes.",
            "fg.zeros_like(x)",
        )
    return _part(input, 1)


def _set_real(self: Tensor, value: Any) -> None:
    real(self).copy_(value)  # type: ignore[attr-defined]


def _set_imag(self: Tensor, value: Any) -> None:
    imag(self).copy_(value)  # type: ignore[attr-defined]


Tensor.real = property(real, _set_real)  # type: ignore[attr-defined]
Tensor.imag = property(imag, _set_imag)  # type: ignore[attr-defined]


# --- conjugates -----------------------------------------------------------------------------------
@method()
def conj(input: Tensor) -> Tensor:
    """The complex conjugate; real tensors themselves.

    It is computed at once into memory of its own, while PyTorch's shares the memory of ``input``.
    So it cannot be changed in place: that would have to change ``input``.

    Example:
        >>> import fusegrad as fg
        >>> fg.conj(fg.tensor([1 + 2j])).tolist()
        [(1-2j)]
    """
    if not input.dtype.is_complex:
        return input
    out = ops.conj(input)
    out._conjugate = not is_conj(input)
    return out


@method()
def conj_physical(input: Tensor) -> Tensor:
    """The complex conjugate in memory of its own, to be used in any way; real tensors themselves.

    Example:
        >>> import fusegrad as fg
        >>> fg.conj_physical(fg.tensor([1 + 2j])).tolist()
        [(1-2j)]
    """
    return ops.conj(input) if input.dtype.is_complex else input


in_place("conj_physical_", conj_physical)


@method()
def resolve_conj(input: Tensor) -> Tensor:
    """A copy of what ``conj`` returned, any other tensor itself.

    Example:
        >>> import fusegrad as fg
        >>> fg.tensor([1j]).conj().resolve_conj().mul_(2).tolist()
        [-2j]
    """
    return owned(input) if is_conj(input) else input


@method()
def resolve_neg(input: Tensor) -> Tensor:
    """The tensor itself: negatives are computed at once."""
    return input


@method()
def is_conj(input: Tensor) -> bool:
    """Whether a tensor is what ``conj`` returned, or a view of that.

    Example:
        >>> import fusegrad as fg
        >>> x = fg.tensor([1j])
        >>> x.is_conj(), x.conj().is_conj(), x.conj().conj().is_conj()
        (False, True, False)
    """
    root = input._root()
    return (input if root is None else root)._conjugate is True and input.dtype.is_complex


@method()
def is_neg(input: Tensor) -> bool:
    """Whether the tensor still has to be negated: never."""
    return False


@method()
def adjoint(input: Tensor) -> Tensor:
    """Matrices with their last two axes swapped, conjugated.

    Example:
        >>> import fusegrad as fg
        >>> fg.adjoint(fg.tensor([[1j, 2.0]])).tolist()
        [[-1j], [(2-0j)]]
    """
    if input.aval.ndim < 2:
        raise DimError(f"adjoint of {input.aval}", "It takes at least two axes.")
    return conj(input.transpose(-2, -1))  # type: ignore[attr-defined]


def _matrix_adjoint(self: Tensor) -> Tensor:
    if self.aval.ndim not in (0, 2):
        raise ShapeError(
            f"tensor.H of {self.aval}",
            "tensor.H is only supported on matrices (2-D tensors).",
            "x.mH for batches of matrices",
        )
    return adjoint(self) if self.aval.ndim else conj(self)


Tensor.H = property(_matrix_adjoint)  # type: ignore[attr-defined]
Tensor.mH = property(adjoint)  # type: ignore[attr-defined]


# --- polar form -----------------------------------------------------------------------------------
@method()
def angle(input: Tensor) -> Tensor:
    """The angle in radians; of real numbers 0, pi where negative, nan where nan.

    Example:
        >>> import fusegrad as fg
        >>> fg.angle(fg.tensor([-1.0, 1.0])).tolist()
        [3.1415927410125732, 0.0]
    """
    if not input.dtype.is_complex:
        x = input if input.dtype.is_floating_point else cast(input, dtypes.get_default_dtype())
        turned = where(cmp.lt(x.detach(), 0.0), math.pi, ew.mul(x, 0.0))
        return where(cmp.isnan(x.detach()), math.nan, _constant(x, turned))
    zero = cmp.eq(input.detach(), 0.0)
    safe = where(zero, 1.0, input)
    at_zero = tr.atan2(imag(input.detach()), real(input.detach()))
    return where(zero, at_zero, tr.atan2(imag(safe), real(safe)))


def _constant(x: Tensor, turned: Tensor) -> Tensor:
    """Infinities have an angle, too: 0 times them is nan."""
    return where(
        cmp.eq(ew.abs_(x.detach()), math.inf), where(cmp.lt(x.detach(), 0.0), math.pi, 0.0), turned
    )


@method()
def sgn(input: Tensor) -> Tensor:
    """``x / |x|``, 0 at 0; of real numbers the sign.

    Example:
        >>> import fusegrad as fg
        >>> fg.sgn(fg.tensor([3j, 0j])).tolist()
        [1j, 0j]
    """
    x = as_tensor_operand(input)
    if not x.dtype.is_complex:
        return ew.sign(x) if x.dtype.category else cmp.convert(x, dtype=x.dtype)
    zero = cmp.eq(x.detach(), 0.0)
    safe = where(zero, 1.0, x)
    return where(zero, 0.0, ew.div(safe, cast(magnitude(safe), x.dtype)))


@method()
def isreal(input: Tensor) -> Tensor:
    """Whether each element has no imaginary part.

    Example:
        >>> import fusegrad as fg
        >>> fg.isreal(fg.tensor([1j, 2.0])).tolist()
        [False, True]
    """
    if input.dtype.is_complex:
        return cmp.eq(imag(input.detach()), 0.0)
    return Tensor(_true(input))


def _true(x: Tensor) -> Any:
    from ..ops.source import full

    return full(shape=x.aval.shape, dtype=bool_, value=True)


# --- dtypes ------------------------------------------------------------------------------------
@method()
def chalf(input: Tensor, memory_format: Any = None) -> Tensor:
    """Refuses: there is no complex dtype of two ``float16``.

    Raises:
        RuntimeError: always.
    """
    raise DTypeError(
        f"chalf() of {input.aval}",
        "complex32, two float16 numbers, is not supported.",
        f"x.cfloat(), which is {complex_dtype(dtypes.float32)}",
    )
