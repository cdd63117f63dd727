"""``Variable``, what a tensor that requires grad was called before PyTorch 0.4."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor


class _VariableMeta(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, Tensor)


class Variable(metaclass=_VariableMeta):
    """A tensor of the same memory as ``data``; for programs written for old versions of PyTorch.

    Example:
        >>> import fusegrad as fg
        >>> x = fg.autograd.Variable(fg.ones(2), requires_grad=True)
        >>> (x * 3).sum().backward(); x.grad.tolist()
        [3.0, 3.0]
    """

    def __new__(cls, data: Tensor, requires_grad: bool = False) -> Any:
        return data.detach().requires_grad_(requires_grad)  # type: ignore[attr-defined]
