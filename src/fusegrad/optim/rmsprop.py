"""RMSprop (Hinton, lecture 6 of "Neural networks for machine learning", 2012)."""

from __future__ import annotations

from typing import Any

from ..ops import elementwise as ew
from ..tensor import Tensor
from .compiled import CompiledOptimizer, Fresh, check_non_negative, rate, zeros_state
from .param_group import ParamGroup


class RMSprop(CompiledOptimizer):
    """Steps by the gradient over the root of its running mean square.

    Args:
        params: parameters or groups.
        lr: learning rate.
        alpha: decay of the running mean.
        eps: added to the denominator.
        weight_decay: L2 penalty.
        momentum: factor of the velocity.
        centered: subtract the squared running mean of the gradient.
        maximize: ascend instead of descend.

    Example:
        >>> import fusegrad as fg
        >>> p = fg.nn.Parameter(fg.tensor([1.0]))
        >>> optimizer = fg.optim.RMSprop([p], lr=0.25, alpha=0.75)
        >>> p.sum().backward(); optimizer.step(); round(p.item(), 4)
        0.5
    """

    branches = ("momentum", "weight_decay")

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_non_negative(
            learning_rate=lr, epsilon=eps, momentum=momentum, weight_decay=weight_decay, alpha=alpha
        )
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "alpha": alpha,
                "eps": eps,
                "centered": centered,
                "weight_decay": weight_decay,
                "capturable": capturable,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
            },
        )

    def _init_state(self, group: ParamGroup, p: Tensor, fresh: Fresh) -> None:
        state = self.state[p]
        if not state:
            state["step"] = fresh()
            state["square_avg"] = zeros_state(p, "square_avg")
        if not group.is_zero("momentum") and "momentum_buffer" not in state:
            state["momentum_buffer"] = zeros_state(p, "momentum_buffer")
        if group["centered"] and "grad_avg" not in state:
            state["grad_avg"] = zeros_state(p, "grad_avg")

    def _update_one(
        self, group: ParamGroup, p: Any, grad: Any, state: dict[str, Any], scalars: Any
    ) -> None:
        if not group.is_zero("weight_decay"):
            grad = grad + p * group["weight_decay"]
        square = state["square_avg"]
        rest = 1.0 - group["alpha"]
        variance = square * group["alpha"] + (grad * grad) * rest
        square._assign(variance, "RMSprop.step")
        if group["centered"]:
            mean = state["grad_avg"]
            new_mean = mean + (grad - mean) * rest
            mean._assign(new_mean, "RMSprop.step")
            variance = variance - new_mean * new_mean
        change = grad / (ew.sqrt(variance) + group["eps"])
        if not group.is_zero("momentum"):
            buffer = state["momentum_buffer"]
            change = buffer * group["momentum"] + change
            buffer._assign(change, "RMSprop.step")
        p._assign(p - change * rate(group), "RMSprop.step")
