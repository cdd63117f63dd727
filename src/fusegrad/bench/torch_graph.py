"""Optimizers that ``torch.compile`` can capture together with forward and backward.

In: the ``torch`` module. Out: a stand-in for it whose ``optim`` holds optimizers of a few plain
tensor operations. ``torch.optim`` itself breaks the graph (``zero_grad`` and ``step`` are excluded
from tracing), which would leave the peer with three graphs instead of one. Formulas and defaults
are PyTorch's. Used by ``frameworks.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class Namespace:
    """A module seen through replaced attributes."""

    def __init__(self, module: Any, **replaced: Any) -> None:
        self._module = module
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


class GraphOptimizer:
    """What the optimizers share: parameter list, gradients, and when to drop them."""

    def __init__(self, torch: Any, parameters: Iterable[Any]) -> None:
        self.torch = torch
        self.parameters = list(parameters)
        # Gradients that exist before training are given ones and stay; all others die with the
        # step, so the graph need not return them.
        self.keeps_gradients = all(weight.grad is not None for weight in self.parameters)

    def zeros(self) -> list[Any]:
        """Return one slot per parameter."""
        return [self.torch.zeros_like(weight).detach() for weight in self.parameters]

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for weight in self.parameters:
            weight.grad = None

    def step(self) -> None:
        """Update all parameters."""
        with self.torch.no_grad():
            self.update()
        if not self.keeps_gradients:
            self.zero_grad()

    def update(self) -> None:
        """Apply the formula; gradients are in ``.grad``."""
        raise NotImplementedError


class GraphSGD(GraphOptimizer):
    """``torch.optim.SGD`` with momentum and weight decay."""

    def __init__(
        self,
        torch: Any,
        parameters: Iterable[Any],
        lr: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(torch, parameters)
        self.lr, self.momentum = lr, momentum
        self.weight_decay, self.nesterov = weight_decay, nesterov
        self.buffers = self.zeros()

    def update(self) -> None:
        """Apply the formula."""
        for weight, buffer in zip(self.parameters, self.buffers, strict=True):
            grad = weight.grad
            if grad is None:
                continue
            if self.weight_decay:
                grad = grad + self.weight_decay * weight
            direction = grad
            if self.momentum:
                direction = buffer.mul_(self.momentum).add_(grad)
            if self.nesterov:
                direction = grad + self.momentum * direction
            weight.sub_(self.lr * direction)


class GraphAdam(GraphOptimizer):
    """``torch.optim.AdamW``; without weight decay also ``torch.optim.Adam``."""

    def __init__(
        self, torch: Any, parameters: Iterable[Any], lr: float, weight_decay: float = 0.0
    ) -> None:
        super().__init__(torch, parameters)
        self.lr, self.weight_decay = lr, weight_decay
        self.beta1, self.beta2, self.eps = 0.9, 0.999, 1e-8
        self.first, self.second = self.zeros(), self.zeros()
        self.count = torch.zeros(())

    def update(self) -> None:
        """Apply the formula."""
        self.count.add_(1)
        step_size = self.lr / (1 - self.beta1**self.count)
        correction = (1 - self.beta2**self.count).sqrt()
        for weight, first, second in zip(self.parameters, self.first, self.second, strict=True):
            grad = weight.grad
            if grad is None:
                continue
            first.lerp_(grad, 1 - self.beta1)
            second.mul_(self.beta2).addcmul_(grad, grad, value=1 - self.beta2)
            if self.weight_decay:
                weight.mul_(1 - self.lr * self.weight_decay)
            weight.sub_(step_size * first / (second.sqrt() / correction + self.eps))


def graph_namespace(torch: Any) -> Namespace:
    """Return ``torch`` with optimizers that a graph can hold."""

    def bound(optimizer: type[GraphOptimizer], **defaults: Any) -> Any:
        def make(parameters: Iterable[Any], **options: Any) -> GraphOptimizer:
            return optimizer(torch, parameters, **{**defaults, **options})

        return make

    optimizers = {
        "SGD": bound(GraphSGD),
        "Adam": bound(GraphAdam),
        "AdamW": bound(GraphAdam, weight_decay=0.01),
    }
    return Namespace(torch, optim=Namespace(torch.optim, **optimizers))


def fused_namespace(torch: Any) -> Namespace:
    """Return ``torch`` with fused optimizers and channels-last convolutions.

    A convolution whose weight is channels-last gives a channels-last result, and so on to the head.
    """

    def channels_last(*args: Any, **options: Any) -> Any:
        return torch.nn.Conv2d(*args, **options).to(memory_format=torch.channels_last)

    def fused(optimizer: Any) -> Any:
        def make(parameters: Iterable[Any], **options: Any) -> Any:
            return optimizer(parameters, fused=True, **options)

        return make

    optimizers = {name: fused(getattr(torch.optim, name)) for name in ("SGD", "Adam", "AdamW")}
    return Namespace(
        torch,
        optim=Namespace(torch.optim, **optimizers),
        nn=Namespace(torch.nn, Conv2d=channels_last),
    )
