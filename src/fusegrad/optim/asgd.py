"""Averaged stochastic gradient descent (Polyak and Juditsky 1992)."""

from __future__ import annotations

from typing import Any

from ..dtypes import float64
from ..functions.common import cast
from ..functions.conversion import clone
from ..functions.pointwise import clamp, where
from ..tensor import Tensor
from .compiled import CompiledOptimizer, Fresh, check_non_negative, rate, zeros_state
from .param_group import ParamGroup


class ASGD(CompiledOptimizer):
    """SGD with a decaying rate, and the average of the parameters in the state ``ax``.

    Args:
        params: parameters or groups.
        lr: learning rate at the start.
        lambd: decay of the parameters and of the learning rate.
        alpha: power of the learning rate's decay.
        t0: the step at which averaging starts.
        weight_decay: L2 penalty.
        maximize: ascend instead of descend.

    ``differentiable`` records the update for a backward pass through it. ``foreach`` and
    ``capturable`` are accepted; updates are always fused.

    Example:
        >>> import fusegrad as fg
        >>> p = fg.nn.Parameter(fg.tensor([1.0]))
        >>> optimizer = fg.optim.ASGD([p], lr=0.5, lambd=0.0)
        >>> p.sum().backward(); optimizer.step(); p.tolist(), optimizer.state[p]["ax"].tolist()
        ([0.5], [0.5])
    """

    branches = ("weight_decay",)
    shared_state = ("step", "eta", "mu")

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_non_negative(learning_rate=lr, weight_decay=weight_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "lambd": lambd,
                "alpha": alpha,
                "t0": t0,
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
            state["eta"] = fresh("eta", float(group.plain("lr")))
            state["mu"] = fresh("mu", 1.0)
            state["ax"] = zeros_state(p, "ax")

    def _scalars(self, group: ParamGroup, step: Tensor | None, state: dict[str, Any]) -> Any:
        """Rate and averaging weight of this step; the state moves on to those of the next."""
        assert step is not None
        eta, mu = state["eta"], state["mu"]
        now = clone(cast(eta, float64)), clone(cast(mu, float64))
        lr = rate(group)
        decayed = (step * (group["lambd"] * lr) + 1.0) ** group["alpha"]  # type: ignore[operator]
        eta._assign(lr / decayed, "ASGD.step")
        mu._assign(1.0 / clamp(step - group["t0"], min=1.0), "ASGD.step")  # type: ignore[operator]
        return now

    def _update_one(
        self, group: ParamGroup, p: Any, grad: Any, state: dict[str, Any], scalars: Any
    ) -> None:
        eta, mu = scalars
        if not group.is_zero("weight_decay"):
            grad = grad + p * group["weight_decay"]
        value = p * (1.0 - group["lambd"] * eta) - grad * eta
        average = state["ax"]
        average._assign(where(mu == 1.0, value, average + (value - average) * mu), "ASGD.step")
        p._assign(value, "ASGD.step")
