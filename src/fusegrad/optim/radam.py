"""RAdam: Adam with a rectified variance (Liu et al. 2020)."""

from __future__ import annotations

from typing import Any

from ..functions.pointwise import where
from ..ops import elementwise as ew
from ..tensor import Tensor
from .compiled import CompiledOptimizer, Fresh, check_betas, check_non_negative, rate, zeros_state
from .param_group import ParamGroup


class RAdam(CompiledOptimizer):
    """Adam that steps by the mean alone while too few squares are known for their mean to count.

    Args:
        params: parameters or groups.
        lr: learning rate.
        betas: decay of the running means of the gradient and its square.
        eps: added to the denominator.
        weight_decay: L2 penalty, or decoupled decay if ``decoupled_weight_decay``.
        decoupled_weight_decay: shrink the parameters themselves, as AdamW does.
        maximize: ascend instead of descend.

    ``differentiable`` records the update for a backward pass through it. ``foreach`` and
    ``capturable`` are accepted; updates are always fused.

    Example:
        >>> import fusegrad as fg
        >>> p = fg.nn.Parameter(fg.tensor([1.0]))
        >>> optimizer = fg.optim.RAdam([p], lr=0.25)
        >>> p.sum().backward(); optimizer.step(); p.tolist()
        [0.75]
    """

    branches = ("weight_decay",)

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
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
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "decoupled_weight_decay": decoupled_weight_decay,
                "differentiable": differentiable,
            },
        )

    def _init_state(self, group: ParamGroup, p: Tensor, fresh: Fresh) -> None:
        state = self.state[p]
        if not state:
            state["step"] = fresh()
            state["exp_avg"] = zeros_state(p, "exp_avg")
            state["exp_avg_sq"] = zeros_state(p, "exp_avg_sq")

    def _scalars(self, group: ParamGroup, step: Tensor | None, state: dict[str, Any]) -> Any:
        """Step size, whether and by how much the square counts; float64, because it cancels."""
        assert step is not None
        beta1, beta2 = group["betas"]
        power = beta2**step
        correction2 = 1.0 - power
        limit = 2.0 / (1.0 - beta2) - 1.0
        length = limit - step * 2.0 * power / correction2  # type: ignore[operator]
        ratio = (length - 4.0) * (length - 2.0) * limit / ((limit - 4.0) * (limit - 2.0) * length)
        rectified = length > 5.0
        factor = ew.sqrt(where(rectified, ratio, 1.0)) * ew.sqrt(correction2)
        step_size = rate(group) / (1.0 - beta1**step)  # type: ignore[operator]
        return step_size, rectified, factor, 1.0 - beta1, 1.0 - beta2

    def _update_one(
        self, group: ParamGroup, p: Any, grad: Any, state: dict[str, Any], scalars: Any
    ) -> None:
        step_size, rectified, factor, rest1, rest2 = scalars
        value = p
        if not group.is_zero("weight_decay"):
            if group["decoupled_weight_decay"]:
                value = p * (1.0 - rate(group) * group["weight_decay"])
            else:
                grad = grad + p * group["weight_decay"]
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        new_mean = mean + (grad - mean) * rest1
        new_square = square * group["betas"][1] + (grad * grad) * rest2
        mean._assign(new_mean, "RAdam.step")
        square._assign(new_square, "RAdam.step")
        change = new_mean * step_size
        adaptive = change / (ew.sqrt(new_square) + group["eps"]) * factor
        p._assign(value - where(rectified, adaptive, change), "RAdam.step")
