"""The optimizers of the JAX peer, with PyTorch's formulas.

In: dictionaries of parameters and gradients. Out: `Optimizer` records, a pure ``init`` and
``update`` each, for ``jax_workloads.py``. Written by hand: no optimizer library is needed, and
every framework must follow the same losses.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Params = dict[str, Any]


@dataclass(frozen=True)
class Optimizer:
    """A pure optimizer.

    Attributes:
        init: parameters to optimizer state.
        update: parameters, gradients and state to new parameters and new state.
    """

    init: Callable[[Params], Any]
    update: Callable[[Params, Params, Any], tuple[Params, Any]]


def sgd(
    learning_rate: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
) -> Optimizer:
    """Return ``torch.optim.SGD``; PyTorch's first buffer equals the gradient, as zeros give."""
    jnp: Any = importlib.import_module("jax.numpy")

    def init(params: Params) -> Params:
        if not momentum:
            return {}
        return {name: jnp.zeros_like(value) for name, value in params.items()}

    def update(params: Params, grads: Params, state: Params) -> tuple[Params, Params]:
        if weight_decay:
            grads = {name: grads[name] + weight_decay * params[name] for name in params}
        if momentum:
            state = {name: momentum * state[name] + grads[name] for name in params}
        direction = state if momentum else grads
        if nesterov:
            direction = {name: grads[name] + momentum * state[name] for name in params}
        return {name: params[name] - learning_rate * direction[name] for name in params}, state

    return Optimizer(init, update)


def adam(
    learning_rate: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Return ``torch.optim.AdamW`` (``torch.optim.Adam`` for zero ``weight_decay``)."""
    jnp: Any = importlib.import_module("jax.numpy")
    beta1, beta2 = betas

    def init(params: Params) -> Any:
        first = {name: jnp.zeros_like(value) for name, value in params.items()}
        second = {name: jnp.zeros_like(value) for name, value in params.items()}
        return jnp.zeros((), jnp.float32), first, second

    def update(params: Params, grads: Params, state: Any) -> tuple[Params, Any]:
        count, first, second = state
        count = count + 1
        correction1 = 1 - beta1**count
        correction2 = jnp.sqrt(1 - beta2**count)
        step_size = learning_rate / correction1
        new_params, new_first, new_second = {}, {}, {}
        for name, value in params.items():
            grad = grads[name]
            mean = beta1 * first[name] + (1 - beta1) * grad
            square = beta2 * second[name] + (1 - beta2) * grad * grad
            decayed = value * (1 - learning_rate * weight_decay)
            new_params[name] = decayed - step_size * mean / (jnp.sqrt(square) / correction2 + eps)
            new_first[name], new_second[name] = mean, square
        return new_params, (count, new_first, new_second)

    return Optimizer(init, update)


def rmsprop(learning_rate: float, alpha: float = 0.99, eps: float = 1e-8) -> Optimizer:
    """Return ``torch.optim.RMSprop`` without momentum."""
    jnp: Any = importlib.import_module("jax.numpy")

    def init(params: Params) -> Params:
        return {name: jnp.zeros_like(value) for name, value in params.items()}

    def update(params: Params, grads: Params, state: Params) -> tuple[Params, Params]:
        new = {name: alpha * state[name] + (1 - alpha) * grads[name] ** 2 for name in params}
        return {
            name: value - learning_rate * grads[name] / (jnp.sqrt(new[name]) + eps)
            for name, value in params.items()
        }, new

    return Optimizer(init, update)


def clipped(optimizer: Optimizer, max_norm: float) -> Optimizer:
    """Return ``optimizer`` after ``torch.nn.utils.clip_grad_norm_``."""
    jnp: Any = importlib.import_module("jax.numpy")

    def update(params: Params, grads: Params, state: Any) -> tuple[Params, Any]:
        norm = jnp.sqrt(sum(jnp.sum(grad * grad) for grad in grads.values()))
        scale = jnp.minimum(1.0, max_norm / (norm + 1e-6))
        return optimizer.update(params, {k: g * scale for k, g in grads.items()}, state)

    return Optimizer(optimizer.init, update)
