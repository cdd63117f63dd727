"""NAdam: Adam with Nesterov momentum (Dozat 2016; decoupled decay: Loshchilov and Hutter 2019)."""

from __future__ import annotations

from typing import Any

from ..dtypes import float64
from ..functions.common import cast
from ..ops import elementwise as ew
from ..tensor import Tensor
from .compiled import CompiledOptimizer, Fresh, check_betas, check_non_negative, rate, zeros_state
from .param_group import ParamGroup


class NAdam(CompiledOptimizer):
    """Adam whose mean looks one step ahead, with a momentum that grows over the steps.

    Args:
        params: parameters or groups.
        lr: learning rate.
        betas: decay of the running means of the gradient and its square.
        eps: added to the denominator.
        weight_decay: L2 penalty, or decoupled decay if ``decoupled_weight_decay``.
        momentum_decay: how fast the momentum approaches its final value.
        decoupled_weight_decay: shrink the parameters themselves, as AdamW does.
        maximize: ascend instead of descend.

    ``differentiable`` records the update for a backward pass through it. ``foreach`` and
    ``capturable`` are accepted; updates are always fused.

    Example:
        >>> import fusegrad as fg
        >>> p = fg.nn.Parameter(fg.tensor([1.0]))
        >>> optimizer = fg.optim.NAdam([p], lr=0.1)
        >>> p.sum().backward(); optimizer.step(); p.item() < 1.0
        True
    """

    branches = ("weight_decay",)
    shared_state = ("step", "mu_product")

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_non_negative(learning_rate=lr, epsilon=eps)
        check_betas(betas)
        check_non_negative(weight_decay=weight_decay, momentum_decay=momentum_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": tuple(betas),
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum_decay": momentum_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
            },
        )

    def _init_state(self, group: ParamGroup, p: Tensor, fresh: Fresh) -> None:
        state = self.state[p]
        if not state:
            state["step"] = fresh()
            state["mu_product"] = fresh("mu_product", 1.0)
            state["exp_avg"] = zeros_state(p, "exp_avg")
            state["exp_avg_sq"] = zeros_state(p, "exp_avg_sq")

    def _scalars(self, group: ParamGroup, step: Tensor | None, state: dict[str, Any]) -> Any:
        """Factors of the gradient, the mean and the root, in float64; moves ``mu_product``."""
        assert step is not None
        beta1, beta2 = group["betas"]
        decay, lr = group["momentum_decay"], rate(group)
        mu = beta1 * (1.0 - 0.5 * 0.96 ** (step * decay))  # type: ignore[operator]
        mu_next = beta1 * (1.0 - 0.5 * 0.96 ** ((step + 1.0) * decay))  # type: ignore[operator]
        product = state["mu_product"]
        new_product = ew.mul(product, cast(mu, product.dtype))
        product._assign(new_product, "NAdam.step")
        wide = cast(new_product, float64)
        now = lr * (1.0 - mu) / (1.0 - wide)  # type: ignore[operator]
        ahead = lr * mu_next / (1.0 - wide * mu_next)  # type: ignore[operator]
        return now, ahead, ew.rsqrt(1.0 - beta2**step), 1.0 - beta1, 1.0 - beta2

    def _update_one(
        self, group: ParamGroup, p: Any, grad: Any, state: dict[str, Any], scalars: Any
    ) -> None:
        now, ahead, root_scale, rest1, rest2 = scalars
        value = p
        if not group.is_zero("weight_decay"):
            if group["decoupled_weight_decay"]:
                value = p * (1.0 - rate(group) * group["weight_decay"])
            else:
                grad = grad + p * group["weight_decay"]
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        new_mean = mean + (grad - mean) * rest1
        new_square = square * group["betas"][1] + (grad * grad) * rest2
        mean._assign(new_mean, "NAdam.step")
        square._assign(new_square, "NAdam.step")
        denominator = ew.sqrt(new_square) * root_scale + group["eps"]
        change = grad / denominator * now + new_mean / denominator * ahead
        p._assign(value - change, "NAdam.step")
