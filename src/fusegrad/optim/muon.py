"""Muon: momentum orthogonalised by Newton-Schulz iterations (Jordan et al. 2024)."""

from __future__ import annotations

import math
from typing import Any

from ..errors import ArgumentError
from ..functions.linear import matmul
from ..functions.norms import norm
from ..functions.pointwise import clamp
from ..functions.shape import transpose
from ..tensor import Tensor
from .compiled import CompiledOptimizer, Fresh, check_non_negative, rate, zeros_state
from .param_group import ParamGroup

ADJUSTMENTS = (None, "original", "match_rms_adamw")


class Muon(CompiledOptimizer):
    """Steps by a matrix near the orthogonal one that is closest to the momentum.

    For the two-dimensional parameters of hidden layers; give biases, embeddings and the last layer
    to another optimizer. Weight decay is decoupled. Newton-Schulz iterations run in the dtype of
    the parameter; PyTorch rounds them to ``bfloat16``, which moves its updates by about a percent.

    Args:
        params: two-dimensional parameters or groups of them.
        lr: learning rate.
        weight_decay: factor of the decoupled decay.
        momentum: decay of the running mean of the gradient.
        nesterov: look ahead along the mean.
        ns_coefficients: coefficients of the quintic iteration.
        eps: lower bound of the norm that the momentum is divided by.
        ns_steps: number of iterations.
        adjust_lr_fn: how the shape scales the rate: "original", or "match_rms_adamw" to make it
            comparable to AdamW's.

    Raises:
        ValueError: a parameter is not two-dimensional, or an option is out of range.

    Example:
        >>> import fusegrad as fg
        >>> p = fg.nn.Parameter(fg.ones(2, 3))
        >>> optimizer = fg.optim.Muon([p], lr=0.1)
        >>> (p * p).sum().backward(); optimizer.step(); p[0, 0].item() < 1.0
        True
    """

    static = ("ns_steps",)

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        check_non_negative(learning_rate=lr, momentum=momentum, weight_decay=weight_decay)
        if adjust_lr_fn not in ADJUSTMENTS:
            raise ArgumentError(
                f"Adjust learning rate function {adjust_lr_fn} is not supported",
                'adjust_lr_fn is None, "original" or "match_rms_adamw".',
            )
        super().__init__(
            params,
            {
                "lr": lr,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "nesterov": nesterov,
                "ns_coefficients": ns_coefficients,
                "eps": eps,
                "ns_steps": ns_steps,
                "adjust_lr_fn": adjust_lr_fn,
            },
        )

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add two-dimensional parameters with their own options."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        for p in group["params"]:
            if p.aval.ndim != 2:
                self.param_groups.pop()
                raise ArgumentError(
                    f"Muon only supports 2D parameters, got {p.aval}",
                    "Only a matrix can be orthogonalised.",
                    "give parameters of other shapes to AdamW",
                )
        if group["ns_steps"] >= 100 or len(group["ns_coefficients"]) != 3:
            self.param_groups.pop()
            raise ArgumentError(
                f"Muon with ns_steps={group['ns_steps']}, "
                f"ns_coefficients={group['ns_coefficients']}",
                "Fewer than 100 iterations with a tuple of exactly 3 coefficients.",
            )

    def _init_state(self, group: ParamGroup, p: Tensor, fresh: Fresh) -> None:
        if "momentum_buffer" not in self.state[p]:
            self.state[p]["momentum_buffer"] = zeros_state(p, "momentum_buffer")

    def _update_one(
        self, group: ParamGroup, p: Any, grad: Any, state: dict[str, Any], scalars: Any
    ) -> None:
        momentum, buffer = group["momentum"], state["momentum_buffer"]
        mean = buffer + (grad - buffer) * (1.0 - momentum)
        update = grad + (mean - grad) * momentum if group["nesterov"] else mean
        step = _orthogonalised(update, group)
        rows, columns = p.aval.shape
        if group["adjust_lr_fn"] == "match_rms_adamw":
            scale = 0.2 * math.sqrt(max(rows, columns))
        else:
            scale = math.sqrt(max(1, rows / columns))
        lr = rate(group)
        buffer._assign(mean, "Muon.step")
        p._assign(p * (1.0 - lr * group["weight_decay"]) - step * (lr * scale), "Muon.step")


def _orthogonalised(update: Any, group: ParamGroup) -> Any:
    """All singular values of a matrix moved near 1."""
    a, b, c = group["ns_coefficients"]
    rows, columns = update.aval.shape
    x: Any = transpose(update, 0, 1) if rows > columns else update
    x = x / clamp(norm(x), min=group["eps"])  # no singular value exceeds 1 from here on
    for _ in range(group.plain("ns_steps")):
        gram = matmul(x, transpose(x, 0, 1))
        x = x * a + matmul(gram * b + matmul(gram, gram) * c, x)
    return transpose(x, 0, 1) if rows > columns else x
