"""Adam and AdamW (Kingma and Ba 2015; Loshchilov and Hutter 2019)."""

from __future__ import annotations

from typing import Any

from ..functions.pointwise import maximum
from ..ops import elementwise as ew
from ..tensor import Tensor
from .compiled import CompiledOptimizer, Fresh, check_betas, check_non_negative, rate, zeros_state
from .param_group import ParamGroup


class Adam(CompiledOptimizer):
    """Steps by the ratio of running means of the gradient and its square.

    Args:
        params: parameters or groups.
        lr: learning rate.
        betas: decay of the two running means.
        eps: added to the denominator.
        weight_decay: L2 penalty, or decoupled decay if ``decoupled_weight_decay``.
        amsgrad: divide by the largest second moment seen.
        maximize: ascend instead of descend.

    ``differentiable`` records the update for a backward pass through it. ``foreach``,
    ``capturable`` and ``fused`` are accepted; updates are always fused.

    Example:
        >>> import fusegrad as fg
        >>> p = fg.nn.Parameter(fg.tensor([1.0]))
        >>> optimizer = fg.optim.Adam([p], lr=0.25)
        >>> (p * p).sum().backward(); optimizer.step(); p.tolist()
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
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check_non_negative(learning_rate=lr, epsilon=eps, weight_decay=weight_decay)
        check_betas(betas)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": tuple(float(b) for b in betas),
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
                "fused": fused,
                "decoupled_weight_decay": decoupled_weight_decay,
            },
        )

    def _init_state(self, group: ParamGroup, p: Tensor, fresh: Fresh) -> None:
        state = self.state[p]
        if not state:
            state["step"] = fresh()
            state["exp_avg"] = zeros_state(p, "exp_avg")
            state["exp_avg_sq"] = zeros_state(p, "exp_avg_sq")
        if group["amsgrad"] and "max_exp_avg_sq" not in state:
            state["max_exp_avg_sq"] = zeros_state(p, "max_exp_avg_sq")

    def _scalars(self, group: ParamGroup, step: Tensor | None, state: dict[str, Any]) -> Any:
        """Step size and scale of the root, in float64: 1 - beta ** step cancels."""
        beta1, beta2 = group["betas"]
        correction1 = 1.0 - beta1**step  # type: ignore[operator]
        correction2 = 1.0 - beta2**step  # type: ignore[operator]
        return rate(group) / correction1, ew.rsqrt(correction2), 1.0 - beta1, 1.0 - beta2

    def _update_one(
        self, group: ParamGroup, p: Any, grad: Any, state: dict[str, Any], scalars: Any
    ) -> None:
        step_size, root_scale, rest1, rest2 = scalars
        beta2, value = group["betas"][1], p
        if not group.is_zero("weight_decay"):
            if group["decoupled_weight_decay"]:
                value = p * (1.0 - rate(group) * group["weight_decay"])
            else:
                grad = grad + p * group["weight_decay"]
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        new_mean = mean + (grad - mean) * rest1
        new_square = square * beta2 + (grad * grad) * rest2
        mean._assign(new_mean, "Adam.step")
        square._assign(new_square, "Adam.step")
        if group["amsgrad"]:
            new_square = maximum(state["max_exp_avg_sq"], new_square)
            state["max_exp_avg_sq"]._assign(new_square, "Adam.step")
        denominator = ew.sqrt(new_square) * root_scale + group["eps"]
        p._assign(value - (new_mean / denominator) * step_size, "Adam.step")


class AdamW(Adam):
    """Adam with decoupled weight decay: ``p`` shrinks by ``lr * weight_decay`` per step.

    Its arguments are those of ``Adam``.

    Example:
        >>> import fusegrad as fg
        >>> p = fg.nn.Parameter(fg.tensor([1.0]))
        >>> optimizer = fg.optim.AdamW([p], lr=0.25, weight_decay=0.5)
        >>> (p * p).sum().backward(); optimizer.step(); p.tolist()
        [0.625]
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def _after_load(self) -> None:
        super()._after_load()
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True
