"""Averages of weights over training (``torch.optim.swa_utils``).

In: a model that is being trained. Out: a copy whose parameters are a running average; its update is
pure tensor code and may be part of a jitted step.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from ..autograd import no_grad
from ..errors import ArgumentError
from ..functions.placement import on_cpu
from ..functions.pointwise import where
from ..nn.batchnorm import _BatchNorm
from ..nn.module import Module
from ..tensor import Tensor
from .lr_scheduler.base import LRScheduler, per_group
from .optimizer import Optimizer

__all__ = [
    "SWALR", "AveragedModel", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn",
    "get_swa_multi_avg_fn", "update_bn",
]  # fmt: skip


def _check_decay(decay: float) -> None:
    if decay < 0.0 or decay > 1.0:
        raise ArgumentError(
            f"Invalid decay value {decay} provided", "Please provide a value in [0,1] range."
        )


def get_ema_avg_fn(decay: float = 0.999) -> Callable[..., Any]:
    """``avg_fn`` of an exponential moving average: ``decay * average + (1 - decay) * model``.

    Example:
        >>> import fusegrad as fg
        >>> fn = fg.optim.swa_utils.get_ema_avg_fn(0.75)
        >>> fn(fg.tensor(1.0), fg.tensor(5.0), 3).item()
        2.0
    """
    _check_decay(decay)

    @no_grad
    def update(average: Any, current: Any, num_averaged: Any) -> Any:
        return average * decay + current * (1 - decay)

    return update


def get_swa_avg_fn() -> Callable[..., Any]:
    """``avg_fn`` of the mean of all models so far."""

    @no_grad
    def update(average: Any, current: Any, num_averaged: Any) -> Any:
        return average + (current - average) / (num_averaged + 1)

    return update


def _in_place(single: Callable[..., Any]) -> Callable[..., None]:
    """An ``avg_fn`` as a ``multi_avg_fn``, which updates lists in place."""

    @no_grad
    def update(averages: Sequence[Any], currents: Sequence[Any], num_averaged: Any) -> None:
        for average, current in zip(averages, currents, strict=True):
            average.copy_(single(average, current, num_averaged))

    return update


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable[..., None]:
    """``multi_avg_fn`` of an exponential moving average."""
    return _in_place(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> Callable[..., None]:
    """``multi_avg_fn`` of the mean of all models so far."""
    return _in_place(get_swa_avg_fn())


class AveragedModel(Module):
    """A copy of a model whose parameters are an average over training (Izmailov et al. 2018).

    The first ``update_parameters`` copies the parameters, later ones average them.

    Args:
        model: the model that is trained.
        device: the cpu, the only device.
        avg_fn: ``(average, current, number averaged) -> average`` of one parameter; default the
            mean of all models.
        multi_avg_fn: the same in place for lists of parameters, instead of ``avg_fn``.
        use_buffers: average buffers too; else they are copied.

    Example:
        >>> import fusegrad as fg
        >>> model = fg.nn.Linear(1, 1, bias=False)
        >>> average = fg.optim.swa_utils.AveragedModel(model)
        >>> for value in (1.0, 3.0):
        ...     _ = fg.nn.init.constant_(model.weight, value)
        ...     average.update_parameters(model)
        >>> average.module.weight.item(), average.n_averaged.item()
        (2.0, 2)
    """

    n_averaged: Any

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Callable[..., Any] | None = None,
        multi_avg_fn: Callable[..., None] | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        on_cpu(device)
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = copy.deepcopy(model)
        self.register_buffer("n_averaged", Tensor(np.array(0, np.int64)))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The output of the averaged model."""
        return self.module(*args, **kwargs)

    @no_grad
    def update_parameters(self, model: Module) -> None:
        """Take the current parameters of the model into the average."""
        averages, currents = self._values(self.module), self._values(model)
        first = self.n_averaged == 0
        if self.multi_avg_fn is not None:
            held = [average.detach() for average in averages]
            self.multi_avg_fn(held, currents, self.n_averaged)
            results = held
        else:
            average_fn = self.avg_fn or get_swa_avg_fn()
            results = [
                average_fn(average.detach(), current, self.n_averaged)
                for average, current in zip(averages, currents, strict=True)
            ]
        for average, current, result in zip(averages, currents, results, strict=True):
            average.copy_(where(first, current, result))
        if not self.use_buffers:
            for average, current in zip(self.module.buffers(), model.buffers(), strict=True):
                average.copy_(current)
        self.n_averaged += 1

    def _values(self, model: Any) -> list[Any]:
        buffers = model.buffers() if self.use_buffers else ()
        return [value.detach() for value in chain(model.parameters(), buffers)]


@no_grad
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Compute the running statistics of batch normalization anew, from one pass over data.

    Args:
        loader: batches; of a list or tuple the first element is the input.
        model: the model, run in training mode.
        device: the cpu, the only device.

    Example:
        >>> import fusegrad as fg
        >>> model = fg.nn.BatchNorm1d(1)
        >>> data = [fg.tensor([[1.0], [3.0]]), fg.tensor([[5.0], [7.0]])]
        >>> fg.optim.swa_utils.update_bn(data, model)
        >>> model.running_mean.item(), model.running_var.item()
        (4.0, 2.0)
    """
    on_cpu(device)
    layers = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    was_training = model.training
    model.train()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the mean of all batches
    for batch in loader:
        model(batch[0] if isinstance(batch, (list, tuple)) else batch)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """From the current learning rate to a constant one, for the phase that is averaged.

    Args:
        optimizer: the optimizer.
        swa_lr: the final learning rate, one value or one per group.
        anneal_epochs: length of the transition.
        anneal_strategy: "cos" or "linear".
        last_epoch: index of the last epoch when resuming.

    Example:
        >>> import fusegrad as fg
        >>> optimizer = fg.optim.SGD([fg.nn.Parameter(fg.ones(1))], lr=0.3)
        >>> schedule = fg.optim.swa_utils.SWALR(optimizer, 0.1, 2, "linear")
        >>> for _ in range(3):
        ...     optimizer.step(); schedule.step()
        ...     print(round(schedule.get_last_lr()[0], 3))
        0.2
        0.1
        0.1
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float,
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        swa_lrs = per_group("swa_lr", optimizer, swa_lr)
        for value, group in zip(swa_lrs, optimizer.param_groups, strict=True):
            group["swa_lr"] = value
        if anneal_strategy not in ("cos", "linear"):
            raise ArgumentError(
                f"anneal_strategy={anneal_strategy!r}",
                "anneal_strategy must be one of 'cos' or 'linear'.",
            )
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ArgumentError(
                f"anneal_epochs={anneal_epochs}", "anneal_epochs must be equal or greater than 0."
            )
        self._anneal_strategy = anneal_strategy
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _share(self, step: int) -> float:
        done = max(0, min(1, step / max(1, self.anneal_epochs)))
        return (1 - math.cos(math.pi * done)) / 2 if self._anneal_strategy == "cos" else done

    def get_lr(self) -> list[Any]:
        """The next learning rates."""
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, share = self._share(step - 1), self._share(step)
        rates = []
        for group in self.optimizer.param_groups:
            lr, final = group["lr"], group["swa_lr"]
            start = final if before == 1 else (lr - final * before) / (1 - before)
            rates.append(final * share + start * (1 - share))
        return rates
