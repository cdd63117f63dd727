"""Where tensors are made: the one device, the one layout, and the keywords of new tensors."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from ..errors import ArgumentTypeError, FusegradError, RangeError
from ..tensor import Tensor
from .common import method
from .layout import Layout


class device:
    """A device; only ``cpu`` here.

    Args:
        type: ``"cpu"``, ``"cpu:0"`` or a device.
        index: its number; it changes nothing.

    Raises:
        RuntimeError: the name of another device, or of none.
        TypeError: no name at all.

    Example:
        >>> import fusegrad as fg
        >>> fg.device("cpu").type, fg.zeros(2, device="cpu").device
        ('cpu', device(type='cpu'))
    """

    type: str
    index: int | None

    def __init__(self, type: Any = "cpu", index: int | None = None) -> None:
        if isinstance(type, device):
            self.type, self.index = type.type, type.index
            return
        if not isinstance(type, (str, int)) or not isinstance(index, (int, _None)):
            raise ArgumentTypeError(
                f"device {type!r}", "A device is a string such as 'cpu'.", 'device="cpu"'
            )
        name, colon, number = str(type).partition(":")
        if name != "cpu" or (colon and not number.isdecimal()):
            raise RangeError(f"device {type!r}", "Only the cpu is available here.", 'device="cpu"')
        self.type = name
        self.index = int(number) if colon else index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (device, str)) and str(other).split(":")[0] == self.type

    def __hash__(self) -> int:
        return hash(self.type)

    def __str__(self) -> str:
        return self.type

    def __repr__(self) -> str:
        return f"device(type='{self.type}')"


_None = type(None)


def on_cpu(place: Any) -> None:
    """Require that an argument ``device`` is the cpu or ``None``.

    Raises:
        RuntimeError: another device.
        TypeError: no device.
    """
    if place is not None:
        device(place)


def _on_another(name: str) -> None:
    def method_(self: Tensor, *args: Any, **options: Any) -> Tensor:
        on_cpu(name)
        return self

    method_.__name__ = name
    method_.__doc__ = f"The tensor on a {name} device, of which there is none: an error."
    method(name)(method_)


_on_another("cuda")
_on_another("xpu")


@method("pin_memory")
def pin_memory(self: Tensor) -> Tensor:
    """The tensor in memory for copies to another device, of which there is none: an error.

    Raises:
        RuntimeError: always.
    """
    raise RangeError(
        "pin_memory()",
        "Memory is pinned for copies to another device; only the cpu is available here.",
        "the tensor itself",
    )


def factory(
    function: Callable[..., Tensor], unknown_layout: type[FusegradError] = ArgumentTypeError
) -> Callable[..., Tensor]:
    """Give a function that makes a tensor the keywords PyTorch has for where and how.

    ``layout``, ``device`` and ``pin_memory`` have one value each here; ``requires_grad`` marks the
    result. ``unknown_layout`` is the error of another layout.

    Raises:
        RuntimeError: another device, page-locked memory, or ``requires_grad`` of integers.
        TypeError: another layout.

    Example:
        >>> import fusegrad as fg
        >>> fg.zeros(2, device="cpu", requires_grad=True).requires_grad
        True
    """

    @functools.wraps(function)
    def made(
        *args: Any,
        layout: Any = None,
        device: Any = None,
        pin_memory: bool = False,
        requires_grad: bool = False,
        **options: Any,
    ) -> Tensor:
        on_cpu(device)
        if layout is not None and not isinstance(layout, Layout):
            raise unknown_layout(
                f"{function.__name__} with layout={layout!r}", "It must be a layout.", "fg.strided"
            )
        if pin_memory:
            raise RangeError(
                f"{function.__name__} with pin_memory=True",
                "Memory is pinned for copies to another device; only the cpu is available here.",
                "pin_memory=False",
            )
        out = function(*args, **options)
        if requires_grad:
            out.requires_grad = True
        return out

    made.__signature__ = _joined(function, made)  # type: ignore[attr-defined]
    return made


def _joined(function: Callable[..., Any], wrapper: Callable[..., Any]) -> inspect.Signature:
    """The signature of ``function`` with the keywords of its wrapper."""
    inner = inspect.signature(function)
    outer = inspect.signature(wrapper, follow_wrapped=False)
    own = list(inner.parameters.values())
    rest = [own.pop()] if own and own[-1].kind is inspect.Parameter.VAR_KEYWORD else []
    added = [p for p in outer.parameters.values() if p.kind is inspect.Parameter.KEYWORD_ONLY]
    return inner.replace(parameters=[*own, *added, *rest])
