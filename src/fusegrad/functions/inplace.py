"""In-place methods that are not the twin of an elementwise function, and small conveniences."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtypes import bool_
from ..errors import ShapeError
from ..ops import compare as cmp
from ..ops import source
from ..tensor import Tensor, grad_mode
from .common import broadcast_to, cast, method
from .creation import full, ones, tensor, zeros
from .layout import strided
from .placement import device


@method("copy_")
def copy_(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Copy the elements of ``src`` (broadcast, converted) into this tensor."""
    src = src if isinstance(src, Tensor) else Tensor(np.asarray(src))
    return self._assign(broadcast_to(cast(src, self.dtype), self.aval.shape), "copy_")


@method("fill_")
def fill_(self: Tensor, value: Any) -> Tensor:
    """Set every element to ``value``, a number or a 0-d tensor."""
    return self._assign(fill(self, value), "fill_")


def fill(input: Tensor, value: Any) -> Tensor:
    """A tensor of the shape and dtype of ``input`` that holds ``value``, a number or 0-d tensor.

    The gradient by ``input`` is zero, that by ``value`` the sum.

    Example:
        >>> import fusegrad as fg
        >>> fg.fill(fg.zeros(2), 3.0).tolist()
        [3.0, 3.0]
    """
    if isinstance(value, Tensor):
        if value.aval.ndim:
            raise ShapeError(
                f"fill of {input.aval} with {value.aval}",
                "fill only supports 0-dimension value tensor.",
                "x.copy_(value)",
            )
        filled = broadcast_to(cast(value, input.dtype), input.aval.shape)
    else:
        filled = Tensor(source.full(shape=input.aval.shape, dtype=input.dtype, value=value))
    if input.requires_grad and grad_mode.enabled:  # the history goes on, with a zero gradient
        return cmp.where(
            source.full(shape=input.aval.shape, dtype=bool_, value=True), filled, input
        )
    return filled


@method("zero_")
def zero_(self: Tensor) -> Tensor:
    """Set every element to zero."""
    return fill_(self, False if self.dtype is bool_ else 0)


@method("new_zeros")
def new_zeros(self: Tensor, *size: Any, **options: Any) -> Tensor:
    """Zeros of this tensor's dtype."""
    return zeros(*size, **{"dtype": self.dtype, **options})


@method("new_ones")
def new_ones(self: Tensor, *size: Any, **options: Any) -> Tensor:
    """Ones of this tensor's dtype."""
    return ones(*size, **{"dtype": self.dtype, **options})


@method("new_full")
def new_full(self: Tensor, size: Any, fill_value: Any, **options: Any) -> Tensor:
    """A constant tensor of this tensor's dtype."""
    return full(size, fill_value, **{"dtype": self.dtype, **options})


@method("new_empty")
def new_empty(self: Tensor, *size: Any, **options: Any) -> Tensor:
    """A tensor of this tensor's dtype without defined contents (zeros here)."""
    return new_zeros(self, *size, **options)


@method("new_tensor")
def new_tensor(self: Tensor, data: Any, **options: Any) -> Tensor:
    """A copy of ``data`` in this tensor's dtype."""
    return tensor(data, **{"dtype": self.dtype, **options})


def _deepcopy(self: Tensor, memo: dict[int, Any]) -> Tensor:
    out = type(self).__new__(type(self))
    Tensor.__init__(out, np.array(self._concrete("deepcopy")))
    out._requires_grad = self._requires_grad
    memo[id(self)] = out
    return out


def _pickled(self: Tensor, protocol: Any) -> tuple[Any, ...]:
    """Values travel, histories and gradients do not; a view becomes a tensor of its own."""
    array = np.asarray(self._concrete("pickling"), order="C")
    own = {k: v for k, v in self.__dict__.items() if not k.startswith("_") or k == "_is_buffer"}
    return _unpickled, (type(self), array, self.requires_grad, own)


def _unpickled(
    kind: type[Tensor], array: np.ndarray, requires_grad: bool, attributes: dict[str, Any]
) -> Tensor:
    out = kind.__new__(kind)
    Tensor.__init__(out, array)
    out.__dict__.update(attributes)
    out._requires_grad = requires_grad
    return out


def _matrices_transposed(self: Tensor) -> Tensor:
    if self.aval.ndim == 0:
        return self.reshape(())
    if self.aval.ndim == 1:
        raise ShapeError(f".mT of {self.aval}", "It is for matrices or batches of matrices.")
    return self.transpose(-2, -1)


Tensor.__deepcopy__ = _deepcopy  # type: ignore[attr-defined]
Tensor.__reduce_ex__ = _pickled  # type: ignore[assignment]
Tensor.device = property(lambda self: device("cpu"))  # type: ignore[attr-defined]
Tensor.T = property(lambda self: self.permute(*range(self.dim() - 1, -1, -1)))  # type: ignore[attr-defined]
Tensor.mT = property(_matrices_transposed)  # type: ignore[attr-defined]
Tensor.itemsize = property(lambda self: self.dtype.itemsize)  # type: ignore[attr-defined]
Tensor.nbytes = property(lambda self: self.dtype.itemsize * self.aval.size)  # type: ignore[attr-defined]
Tensor.ndim = property(lambda self: self.aval.ndim)  # type: ignore[attr-defined]
Tensor.layout = property(lambda self: strided)  # type: ignore[attr-defined]
Tensor.is_cpu = property(lambda self: True)  # type: ignore[attr-defined]
for _name in """
    sparse sparse_csr cuda xpu mps mtia xla vulkan ipu maia meta mkldnn nested quantized
""".split():
    setattr(Tensor, f"is_{_name}", property(lambda self: False))
