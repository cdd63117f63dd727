"""Adadelta (Zeiler 2012)."""

from __future__ import annotations

from typing import Any

from ..errors import ArgumentError
from ..ops import elementwise as ew
from ..tensor import Tensor
from .compiled import CompiledOptimizer, Fresh, check_non_negative, rate, zeros_state
from .param_group import ParamGroup


class Adadelta(CompiledOptimizer):
    """Steps whose size is the ratio of running root mean squares of past steps and gradients.

    Args:
        params: parameters or groups.
        lr: factor of the step.
        rho: decay of both running means.
        eps: added inside both roots.
        weight_decay: L2 penalty.
        maximize: ascend instead of descend.

    ``differentiable`` records the update for a backward pass through it. ``foreach`` and
    ``capturable`` are accepted; updates are always fused.

    Example:
        >>> import fusegrad as fg
        >>> p = fg.nn.Parameter(fg.tensor([1.0]))
        >>> optimizer = fg.optim.Adadelta([p], rho=0.0, eps=1.0)
        >>> p.sum().backward(); optimizer.step(); round(p.item(), 4)
        0.2929
    """

    branches = ("weight_decay",)

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_non_negative(learning_rate=lr)
        if not 0.0 <= rho <= 1.0:
            raise ArgumentError(f"Invalid rho value: {rho}", "rho lies in [0, 1].")
        check_non_negative(epsilon=eps, weight_decay=weight_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "rho": rho,
                "eps": eps,
                "weight_decay": weight_decay,
                "maximize": maximize,
                "capturable": capturable,
                "foreach": foreach,
                "differentiable": differentiable,
            },
        )

    def _init_state(self, group: ParamGroup, p: Tensor, fresh: Fresh) -> None:
        state = self.state[p]
        if not state:
            state["step"] = fresh()
            state["square_avg"] = zeros_state(p, "square_avg")
            state["acc_delta"] = zeros_state(p, "acc_delta")

    def _update_one(
        self, group: ParamGroup, p: Any, grad: Any, state: dict[str, Any], scalars: Any
    ) -> None:
        rho, eps = group["rho"], group["eps"]
        if not group.is_zero("weight_decay"):
            grad = grad + p * group["weight_decay"]
        square, moved = state["square_avg"], state["acc_delta"]
        rest = 1.0 - rho
        new_square = square * rho + (grad * grad) * rest
        delta = ew.sqrt(moved + eps) / ew.sqrt(new_square + eps) * grad
        new_moved = moved * rho + (delta * delta) * rest
        square._assign(new_square, "Adadelta.step")
        moved._assign(new_moved, "Adadelta.step")
        p._assign(p - delta * rate(group), "Adadelta.step")
