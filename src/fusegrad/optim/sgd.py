"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ArgumentError
from ..functions.pointwise import where
from ..ops import compare as cmp
from ..tensor import Tensor
from .compiled import CompiledOptimizer, Fresh, check_non_negative, rate, zeros_state
from .param_group import ParamGroup


def _as_float64(value: Any) -> Tensor:
    """A number as a 0-d float64 tensor, so that a choice between numbers keeps its precision."""
    return value if isinstance(value, Tensor) else Tensor(np.array(value, np.float64))


class SGD(CompiledOptimizer):
    """``p -= lr * g``, with momentum ``buf = momentum * buf + (1 - dampening) * g``.

    Args:
        params: parameters or groups.
        lr: learning rate.
        momentum: factor of the velocity.
        dampening: reduces the gradient's part in the velocity after the first step.
        weight_decay: L2 penalty.
        nesterov: look ahead along the velocity.
        maximize: ascend instead of descend.

    ``differentiable`` records the update for a backward pass through it. ``foreach`` and ``fused``
    are accepted; updates are always fused.

    Example:
        >>> import fusegrad as fg
        >>> p = fg.nn.Parameter(fg.tensor([1.0]))
        >>> optimizer = fg.optim.SGD([p], lr=0.5)
        >>> (p * p).sum().backward(); optimizer.step(); p.tolist()
        [0.0]
    """

    branches = ("momentum", "dampening", "weight_decay")

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_non_negative(learning_rate=lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ArgumentError(
                f"SGD with nesterov, momentum={momentum}, dampening={dampening}",
                "Nesterov momentum requires a momentum and zero dampening.",
            )
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
                "foreach": foreach,
                "differentiable": differentiable,
                "fused": fused,
            },
        )

    def _init_state(self, group: ParamGroup, p: Tensor, fresh: Fresh) -> None:
        if group.is_zero("momentum"):
            return
        state = self.state[p]
        if state.get("momentum_buffer") is None:
            state["momentum_buffer"] = zeros_state(p, "momentum_buffer")
            if not group.is_zero("dampening"):
                # The first velocity is the whole gradient; a flag tells the first step apart
                # without a second trace.
                state["momentum_buffer"].__dict__["_first"] = Tensor(np.array(True))

    def _update_one(
        self, group: ParamGroup, p: Any, grad: Any, state: dict[str, Any], scalars: Any
    ) -> None:
        if not group.is_zero("weight_decay"):
            grad = grad + p * group["weight_decay"]
        if not group.is_zero("momentum"):
            buffer = state["momentum_buffer"]
            first = buffer.__dict__.get("_first")
            velocity = buffer * group["momentum"]
            if group.is_zero("dampening"):
                velocity = velocity + grad
            else:
                share = 1.0 - group["dampening"]
                if first is not None:
                    share = where(first, 1.0, _as_float64(share))
                    first._assign(cmp.and_(first, False), "first step")
                velocity = velocity + grad * share
            buffer._assign(velocity, "SGD.step")
            grad = grad + velocity * group["momentum"] if group["nesterov"] else velocity
        p._assign(p - grad * rate(group), "SGD.step")
