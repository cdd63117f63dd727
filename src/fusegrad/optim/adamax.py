"""Adamax: Adam with the infinity norm (Kingma and Ba 2015, section 7.1)."""

from __future__ import annotations

from typing import Any

from ..functions.pointwise import maximum
from ..ops import elementwise as ew
from ..tensor import Tensor
from .compiled import CompiledOptimizer, Fresh, check_betas, check_non_negative, rate, zeros_state
from .param_group import ParamGroup


class Adamax(CompiledOptimizer):
    """Steps by a running mean of the gradient over a decaying maximum of its magnitude.

    Args:
        params: parameters or groups.
        lr: learning rate.
        betas: decay of the mean and of the maximum.
        eps: added to the magnitude.
        weight_decay: L2 penalty.
        maximize: ascend instead of descend.

    ``differentiable`` records the update for a backward pass through it. ``foreach`` and
    ``capturable`` are accepted; updates are always fused.

    Example:
        >>> import fusegrad as fg
        >>> p = fg.nn.Parameter(fg.tensor([1.0]))
        >>> optimizer = fg.optim.Adamax([p], lr=0.25)
        >>> p.sum().backward(); optimizer.step(); p.tolist()
        [0.75]
    """

    branches = ("weight_decay",)

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_non_negative(learning_rate=lr, epsilon=eps)
        check_betas(betas)
        check_non_negative(weight_decay=weight_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": tuple(betas),
                "eps": eps,
                "weight_decay": weight_decay,
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
            state["exp_avg"] = zeros_state(p, "exp_avg")
            state["exp_inf"] = zeros_state(p, "exp_inf")

    def _scalars(self, group: ParamGroup, step: Tensor | None, state: dict[str, Any]) -> Any:
        """Step size in float64: 1 - beta ** step cancels."""
        beta1, _ = group["betas"]
        return rate(group) / (1.0 - beta1**step), 1.0 - beta1  # type: ignore[operator]

    def _update_one(
        self, group: ParamGroup, p: Any, grad: Any, state: dict[str, Any], scalars: Any
    ) -> None:
        step_size, rest = scalars
        if not group.is_zero("weight_decay"):
            grad = grad + p * group["weight_decay"]
        mean, largest = state["exp_avg"], state["exp_inf"]
        new_mean = mean + (grad - mean) * rest
        new_largest = maximum(largest * group["betas"][1], ew.abs_(grad) + group["eps"])
        mean._assign(new_mean, "Adamax.step")
        largest._assign(new_largest, "Adamax.step")
        p._assign(p - new_mean / new_largest * step_size, "Adamax.step")
