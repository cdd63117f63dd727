"""Rprop: resilient propagation (Riedmiller and Braun 1993)."""

from __future__ import annotations

from typing import Any

from ..errors import ArgumentError
from ..functions.creation import full
from ..functions.pointwise import clamp, where
from ..ops import elementwise as ew
from ..tensor import Tensor
from .compiled import CompiledOptimizer, Fresh, check_non_negative, zeros_state
from .param_group import ParamGroup


class Rprop(CompiledOptimizer):
    """Steps by the sign of the gradient; every element has a step size of its own.

    A step size grows while the sign stays and shrinks when it flips; after a flip the element
    pauses for one step. Meant for gradients of the whole data set.

    Args:
        params: parameters or groups.
        lr: the first step size.
        etas: factors of shrinking and growing.
        step_sizes: smallest and largest step size.
        maximize: ascend instead of descend.

    ``differentiable`` records the update for a backward pass through it. ``foreach`` and
    ``capturable`` are accepted; updates are always fused.

    Example:
        >>> import fusegrad as fg
        >>> p = fg.nn.Parameter(fg.tensor([1.0, -3.0]))
        >>> optimizer = fg.optim.Rprop([p], lr=0.5)
        >>> (p * p).sum().backward(); optimizer.step(); p.tolist()
        [0.5, -2.5]
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_non_negative(learning_rate=lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ArgumentError(
                f"Invalid eta values: {etas[0]}, {etas[1]}", "0 < etas[0] < 1 < etas[1]."
            )
        super().__init__(
            params,
            {
                "lr": lr,
                "etas": tuple(etas),
                "step_sizes": tuple(step_sizes),
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "capturable": capturable,
            },
        )

    def _init_state(self, group: ParamGroup, p: Tensor, fresh: Fresh) -> None:
        state = self.state[p]
        if not state:
            state["step"] = fresh()
            state["prev"] = zeros_state(p, "prev")
            start = float(group.plain("lr"))
            state["step_size"] = full(p.aval.shape, start, dtype=p.dtype)

    def _update_one(
        self, group: ParamGroup, p: Any, grad: Any, state: dict[str, Any], scalars: Any
    ) -> None:
        shrink, grow = group["etas"]
        low, high = group["step_sizes"]
        before, size = state["prev"], state["step_size"]
        agreement = ew.sign(grad * before)
        kept = where(agreement == 0.0, 1.0, agreement)  # nan stays nan
        factor = where(agreement > 0.0, grow, where(agreement < 0.0, shrink, kept))
        new_size = clamp(size * factor, low, high)
        used = where(agreement < 0.0, 0.0, grad)
        size._assign(new_size, "Rprop.step")
        before._assign(used, "Rprop.step")
        p._assign(p - ew.sign(used) * new_size, "Rprop.step")
