"""In-place twins of elementwise functions: ``x.add_(y)`` writes ``add(x, y)`` into ``x``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..tensor import Tensor
from ..transform.vjp import next_sequence
from . import arithmetic, pointwise


def in_place(name: str, function: Callable[..., Tensor]) -> None:
    """Give tensors a method that writes the result of ``function`` into its first operand."""

    def method_(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        since = next_sequence()
        return self._assign(function(self, *args, **kwargs), name, since)

    method_.__name__ = name
    method_.__doc__ = f"In-place version of ``{function.__name__}``."
    setattr(Tensor, name, method_)


_OPERATORS = {
    "add": "iadd",
    "sub": "isub",
    "mul": "imul",
    "div": "itruediv",
    "pow": "ipow",
    "floor_divide": "ifloordiv",
    "remainder": "imod",
    "bitwise_and": "iand",
    "bitwise_or": "ior",
    "bitwise_xor": "ixor",
}
for _name in """
    add sub mul div pow floor_divide remainder fmod clamp clamp_min clamp_max lerp addcmul
    addcdiv exp log sqrt rsqrt reciprocal tanh sigmoid relu neg abs sin cos floor ceil round
    trunc masked_fill bitwise_and bitwise_or bitwise_xor square erfinv
""".split():
    _function = getattr(arithmetic, _name, None) or getattr(pointwise, _name)
    in_place(f"{_name}_", _function)
    if _name in _OPERATORS:
        in_place(f"__{_OPERATORS[_name]}__", _function)
