"""``x[mask]`` inside a trace, where nobody knows how many elements a mask selects.

What does not need their number works on whole tensors and compiles: assignment of a value that is
the same for all of them, arithmetic with such values, sum and mean. Anything else is an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..dtypes import bool_, float32
from ..errors import ShapeError, Site, TracedValueError, user_site
from ..ops import movement
from ..tensor import Tensor
from .common import cast
from .pointwise import where

WHY = "The number of selected elements depends on values, which a trace does not have."


class Selected(Tensor):
    """The elements of a tensor under a traced mask: the tensor and the mask, and no shape.

    Elements outside the mask are ones, so that neither a value nor a derivative there is ever nan
    and lost elements cannot spoil the others' gradients.

    Attributes:
        whole: a tensor that holds the elements at their places.
        mask: the mask, with unit axes beside it; it broadcasts to ``whole``.
        key: the mask's variable, its first axis in ``whole`` and how many axes it has.
    """

    __slots__ = ("_place", "key", "mask", "whole")

    def __init__(self, view: Tensor, mask: Tensor, axis: int) -> None:
        var, after = mask._read(), view.aval.ndim - axis - mask.aval.ndim
        shape = (*(1,) * axis, *mask.aval.shape, *(1,) * after)
        self.mask = movement.reshape(Tensor(var), shape=shape)
        self.key = (var, axis, mask.aval.ndim)
        self._place: Site | None = user_site()
        self._keep(view)

    def _keep(self, view: Tensor) -> Selected:
        if len(self.mask.aval.shape) != view.aval.ndim or any(
            m not in (1, n) for m, n in zip(self.mask.aval.shape, view.aval.shape, strict=True)
        ):
            self.refuse()
        self.whole = where(self.mask, view, True if view.dtype is bool_ else 1)
        return self

    def refuse(self, *_: Any) -> Any:
        raise TracedValueError(
            f"the elements under a traced mask {self.key[0].aval}",
            WHY,
            "fg.where(mask, x, y), which keeps the shape",
            self._place,
        )

    # Whatever looks for the value, the memory or the shape of the tensor ends here.
    _value = _storage = _path = property(refuse)  # type: ignore[assignment]

    def aligned(self, value: Any) -> Any:
        """``value`` with the axes of ``whole``, if it is the same for all selected elements.

        Raises:
            RuntimeError: it has an element for each.
        """
        if isinstance(value, Selected):
            same = value.key[0] is self.key[0] and value.key[1:] == self.key[1:]
            if not same or value.whole.aval.shape != self.whole.aval.shape:
                raise TracedValueError(
                    "elements under two traced masks",
                    WHY,
                    "one mask for both: m = x > 0; x[m] = y[m]",
                )
            return value.whole
        if not isinstance(value, Tensor):
            return value
        _, axis, axes = self.key
        after = self.whole.aval.ndim - axis - axes
        shape = value.aval.shape
        while len(shape) > axis + 1 + after and shape[0] == 1:
            shape = shape[1:]
        k = len(shape) - 1 - after
        if k >= 0:
            if shape[k] != 1:
                raise TracedValueError(
                    f"a value {value.aval} for the elements under a traced mask {self.key[0].aval}",
                    WHY,
                    "fg.where(mask, value, x) with a value of the shape of x",
                )
            shape = (*shape[:k], *(1,) * axes, *shape[k + 1 :])
        if shape == value.aval.shape:
            return value
        return movement.reshape(value, shape=shape)

    def put(self, view: Tensor, value: Any) -> Tensor:
        """``view`` with ``value`` in place of the selected elements.

        Raises:
            RuntimeError: the value does not broadcast to them.
        """
        value = self.aligned(value)
        shape = view.aval.shape
        if isinstance(value, Tensor):
            value = cast(value, view.dtype)
            lead = len(shape) - value.aval.ndim
            if lead < 0 or any(
                n not in (1, m) for n, m in zip(value.aval.shape, shape[lead:], strict=True)
            ):
                raise ShapeError(
                    f"index assignment of {value.aval} into {view.aval}",
                    "shape mismatch: the value cannot be broadcast to the indexing result.",
                )
        return where(self.mask, value, view)

    def sum(self, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
        """The sum of all selected elements."""
        if dim is not None or keepdim:
            self.refuse()
        zero = False if self.whole.dtype is bool_ else 0
        return where(self.mask, self.whole, zero).sum(dtype=dtype)

    def mean(self, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
        """The mean of all selected elements; nan if there are none."""
        if dim is not None or keepdim:
            self.refuse()
        kind = self.whole.mean(dtype=dtype).dtype  # refuses what mean refuses
        wide = float32 if kind.reduced else kind
        _, axis, axes = self.key
        shape = self.whole.aval.shape
        each = math.prod((*shape[:axis], *shape[axis + axes :]))
        count: Any = cast(self.mask.sum(), wide) * each  # type: ignore[operator]
        mean: Any = self.sum(dtype=wide) / count  # type: ignore[operator]
        return cast(mean, kind)


def _operator(name: str) -> Callable[..., Selected]:
    def operator(self: Selected, *others: Any) -> Selected:
        view = getattr(Tensor, name)(self.whole, *map(self.aligned, others))
        if name.startswith("__i") and name != "__invert__":
            return self._keep(view)
        out = Selected.__new__(Selected)
        out.mask, out.key, out._place = self.mask, self.key, self._place
        return out._keep(view)

    operator.__name__ = name
    return operator


for _name in "add sub mul truediv floordiv mod pow and or xor".split():
    for _kind in ("", "r", "i"):
        setattr(Selected, f"__{_kind}{_name}__", _operator(f"__{_kind}{_name}__"))
for _name in ("__neg__", "__invert__", "__abs__"):
    setattr(Selected, _name, _operator(_name))
