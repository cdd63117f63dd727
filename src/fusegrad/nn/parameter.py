"""Parameters and buffers: tensors that a module registers when they are assigned to it.

In: a tensor whose memory is shared. Out: a leaf that optimizers find through
``Module.parameters()``. Next file: ``module.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtypes import get_default_dtype
from ..errors import ArgumentTypeError
from ..functions.printing import repr_
from ..tensor import Tensor


def _adopt(target: Tensor, data: Any, kind: str) -> None:
    """Initialise ``target`` on the memory of ``data``, without its history."""
    if data is None:
        data = Tensor(np.zeros(0, get_default_dtype().np))
    if not isinstance(data, Tensor):
        raise ArgumentTypeError(
            f"{kind} of a {type(data).__name__}", f"{kind} wraps a tensor.", "fg.tensor(data)"
        )
    Tensor.__init__(target, data._value, data._storage, data._path)
    target._vseen = data._vseen


class Parameter(Tensor):
    """A tensor that is a parameter of the module it is assigned to.

    Args:
        data: the tensor whose memory becomes the parameter's.
        requires_grad: whether gradients are computed for it.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> nn.Parameter(fg.ones(2)).requires_grad
        True
    """

    __slots__ = ()

    def __init__(self, data: Any = None, requires_grad: bool = True) -> None:
        _adopt(self, data, "Parameter")
        if requires_grad:
            self.requires_grad = True

    def __repr__(self) -> str:
        return "Parameter containing:\n" + repr_(self)

    __str__ = __repr__


class _BufferType(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, Tensor) and bool(instance.__dict__.get("_is_buffer"))


class Buffer(Tensor, metaclass=_BufferType):
    """A tensor that is registered as a buffer of the module it is assigned to.

    Args:
        data: the tensor whose memory becomes the buffer's.
        persistent: whether it is part of ``state_dict``.
    """

    __slots__ = ()

    def __init__(self, data: Any = None, *, persistent: bool = True) -> None:
        _adopt(self, data, "Buffer")
        self.__dict__["_is_buffer"] = True
        self.__dict__["persistent"] = persistent
