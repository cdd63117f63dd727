"""Adagrad (Duchi, Hazan and Singer 2011)."""

from __future__ import annotations

from typing import Any

from ..functions.creation import full
from ..ops import elementwise as ew
from ..tensor import Tensor
from .compiled import CompiledOptimizer, Fresh, check_non_negative, rate
from .param_group import ParamGroup


class Adagrad(CompiledOptimizer):
    """Steps by the gradient over the root of the sum of its squares.

    Args:
        params: parameters or groups.
        lr: learning rate.
        lr_decay: the learning rate is divided by 1 + (step - 1) * lr_decay.
        weight_decay: L2 penalty.
        initial_accumulator_value: start of the sum of squares.
        eps: added to the denominator.
        maximize: ascend instead of descend.

    Example:
        >>> import fusegrad as fg
        >>> p = fg.nn.Parameter(fg.tensor([1.0]))
        >>> optimizer = fg.optim.Adagrad([p], lr=0.25)
        >>> p.sum().backward(); optimizer.step(); p.tolist()
        [0.75]
    """

    branches = ("weight_decay",)

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_non_negative(
            learning_rate=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            epsilon=eps,
        )
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "eps": eps,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "fused": fused,
            },
        )
        self._prepare([True] * sum(len(g["params"]) for g in self.param_groups))

    def _init_state(self, group: ParamGroup, p: Tensor, fresh: Fresh) -> None:
        state = self.state[p]
        if not state:
            start = self.defaults["initial_accumulator_value"]
            state["step"] = fresh()
            state["sum"] = full(p.aval.shape, float(start), dtype=p.dtype)

    def _scalars(self, group: ParamGroup, step: Tensor | None, state: dict[str, Any]) -> Any:
        assert step is not None
        return rate(group) / (1.0 + (step - 1.0) * group["lr_decay"])  # type: ignore[operator]

    def _update_one(
        self, group: ParamGroup, p: Any, grad: Any, state: dict[str, Any], scalars: Any
    ) -> None:
        if not group.is_zero("weight_decay"):
            grad = grad + p * group["weight_decay"]
        total = state["sum"] + grad * grad
        state["sum"]._assign(total, "Adagrad.step")
        p._assign(p - grad / (ew.sqrt(total) + group["eps"]) * scalars, "Adagrad.step")
