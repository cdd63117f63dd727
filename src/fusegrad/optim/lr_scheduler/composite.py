"""Schedules made of schedules, and the one that watches a metric."""

from __future__ import annotations

import math
import warnings
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from ...errors import ArgumentError, ArgumentTypeError
from ..optimizer import Optimizer
from .base import (
    EPOCH_WARNING,
    LRScheduler,
    refuse_capture,
    require_optimizer,
    set_value,
    values_of,
)


class _Composite(LRScheduler):
    """Base of schedules that delegate to others."""

    _schedulers: Sequence[Any]

    def _check(self, optimizer: Optimizer, schedulers: Sequence[Any]) -> None:
        name = type(self).__name__
        for k, scheduler in enumerate(schedulers):
            if not hasattr(scheduler, "optimizer"):
                raise ArgumentTypeError(
                    f"{name} at index {k}", "It should have `optimizer` as its attribute."
                )
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ArgumentError(
                    f"{name} of a ReduceLROnPlateau",
                    f"{name} does not support `ReduceLROnPlateau`: its step needs a metric.",
                )
            if scheduler.optimizer is not optimizer:
                raise ArgumentError(
                    f"{name} of schedulers of different optimizers",
                    f"{name} expects all schedulers to belong to the same optimizer.",
                )

    def state_dict(self) -> dict[str, Any]:
        """Attributes, and the state of every part."""
        state = {k: v for k, v in self.__dict__.items() if k not in ("optimizer", "_schedulers")}
        state["_schedulers"] = [s.state_dict() for s in self._schedulers]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the attributes and the state of every part."""
        state = dict(state_dict)
        for scheduler, saved in zip(self._schedulers, state.pop("_schedulers"), strict=True):
            scheduler.load_state_dict(saved)
        self.__dict__.update(state)


def _undo(scheduler: Any) -> None:
    """Take back the step that constructing a scheduler performed."""
    if hasattr(scheduler, "_schedulers"):
        for part in scheduler._schedulers:
            _undo(part)
    elif hasattr(scheduler, "last_epoch"):
        scheduler.last_epoch -= 1


class SequentialLR(_Composite):
    """Schedules one after another.

    Args:
        optimizer: the optimizer of all of them.
        schedulers: the schedules, in order.
        milestones: the epochs at which the next one starts, one fewer than schedules.
        last_epoch: index of the last epoch when resuming.

    Raises:
        ValueError: none or too few, of different optimizers, or a ``ReduceLROnPlateau``.

    Example:
        >>> from fusegrad import nn, ones, optim
        >>> optimizer = optim.SGD([nn.Parameter(ones(1))], lr=1.0)
        >>> warm = optim.lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=9)
        >>> decay = optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.25)
        >>> schedule = optim.lr_scheduler.SequentialLR(optimizer, [warm, decay], [2])
        >>> for _ in range(3):
        ...     optimizer.step(); schedule.step()
        ...     print(schedule.get_last_lr())
        [0.5]
        [1.0]
        [0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: list[Any],
        milestones: list[int],
        last_epoch: int = -1,
    ) -> None:
        if not schedulers:
            raise ArgumentError(
                "SequentialLR of nothing", "SequentialLR expects at least one scheduler."
            )
        self._check(optimizer, schedulers)
        if len(milestones) != len(schedulers) - 1:
            raise ArgumentError(
                f"SequentialLR of {len(schedulers)} schedulers and {len(milestones)} milestones",
                "Sequential Schedulers expects number of schedulers provided to be one more than "
                "the number of milestone points.",
            )
        self._schedulers = schedulers
        self._milestones = milestones
        self.last_epoch = last_epoch + 1
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            set_value(group, "lr", group["initial_lr"])
        _undo(self)
        first = schedulers[bisect_right(milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def step(self) -> None:  # type: ignore[override]
        """Advance the schedule in charge by one epoch."""
        refuse_capture()
        self.last_epoch += 1
        k = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[k]
        if k > 0 and self._milestones[k - 1] == self.last_epoch:
            scheduler._update_lr(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()


class ChainedScheduler(_Composite):
    """Schedules that all act at every step.

    Args:
        schedulers: the schedules, of one optimizer.
        optimizer: that optimizer; default that of the first schedule.

    Raises:
        ValueError: none, of different optimizers, or a ``ReduceLROnPlateau``.

    Example:
        >>> from fusegrad import nn, ones, optim
        >>> optimizer = optim.SGD([nn.Parameter(ones(1))], lr=1.0)
        >>> halved = optim.lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=9)
        >>> decay = optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.25)
        >>> schedule = optim.lr_scheduler.ChainedScheduler([halved, decay])
        >>> optimizer.step(); schedule.step(); schedule.get_last_lr()
        [0.125]
    """

    def __init__(self, schedulers: Sequence[Any], optimizer: Optimizer | None = None) -> None:
        if not schedulers:
            raise ArgumentError(
                "ChainedScheduler of nothing",
                "ChainedScheduler expects at least one scheduler to be chained.",
            )
        optimizer = optimizer or schedulers[0].optimizer
        assert optimizer is not None
        self._check(optimizer, schedulers)
        self._schedulers = schedulers
        self.optimizer = optimizer
        self._last_lr = values_of(optimizer, "lr")

    def step(self) -> None:  # type: ignore[override]
        """Advance every schedule by one epoch."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = values_of(self.optimizer, "lr")


class ReduceLROnPlateau(LRScheduler):
    """Times ``factor`` when a metric has not improved for ``patience`` epochs.

    Args:
        optimizer: the optimizer.
        mode: whether the metric should become "min" or "max".
        factor: factor below 1.
        patience: epochs without improvement that are tolerated.
        threshold: smallest change that counts as improvement.
        threshold_mode: "rel" (a fraction of the best) or "abs".
        cooldown: epochs to wait after a reduction.
        min_lr: lower bound, one value or one per group.
        eps: smaller changes are not made.

    Example:
        >>> from fusegrad import nn, ones, optim
        >>> optimizer = optim.SGD([nn.Parameter(ones(1))], lr=1.0)
        >>> schedule = optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
        >>> for loss in (3.0, 2.0, 2.0, 2.0):
        ...     schedule.step(loss)
        >>> schedule.get_last_lr()
        [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: Any = 0,
        eps: float = 1e-8,
    ) -> None:
        if factor >= 1.0:
            raise ArgumentError(
                f"ReduceLROnPlateau with factor={factor}", "Factor should be < 1.0."
            )
        self.optimizer = require_optimizer(optimizer)
        self.factor = factor
        count = len(optimizer.param_groups)
        listed = isinstance(min_lr, (list, tuple))
        if listed and len(min_lr) != count:
            raise ArgumentError(
                f"{len(min_lr)} min_lrs for {count} groups",
                f"expected {count} min_lrs, got {len(min_lr)}.",
            )
        self.default_min_lr = None if listed else min_lr
        self.min_lrs = list(min_lr) if listed else [min_lr] * count
        self.patience = patience
        self.cooldown = cooldown
        self.eps = eps
        self.last_epoch = 0
        self._last_lr = values_of(optimizer, "lr")
        if mode not in ("min", "max"):
            raise ArgumentError(f"mode={mode!r}", f"mode {mode} is unknown!")
        if threshold_mode not in ("rel", "abs"):
            raise ArgumentError(
                f"threshold_mode={threshold_mode!r}", f"threshold mode {threshold_mode} is unknown!"
            )
        self.mode = mode
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.mode_worse = math.inf if mode == "min" else -math.inf
        self._reset()

    def _reset(self) -> None:
        self.best = self.mode_worse
        self.cooldown_counter = 0
        self.num_bad_epochs = 0

    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]
        """Note a metric and reduce the learning rate when it has stopped improving."""
        refuse_capture()
        current = float(metrics)
        if epoch is not None:
            warnings.warn(EPOCH_WARNING, UserWarning, stacklevel=2)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self._is_better(current, self.best):
            self.best = current
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce_lr()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = values_of(self.optimizer, "lr")

    def _reduce_lr(self) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):
            if self.default_min_lr is None:
                raise ArgumentError(
                    f"{len(self.min_lrs)} min_lrs for {len(groups)} groups",
                    "A group was added after min_lr was given as a list.",
                    "extend min_lrs",
                )
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, low in zip(groups, self.min_lrs, strict=True):
            old = float(group["lr"])
            new = max(old * self.factor, low)
            if old - new > self.eps:
                set_value(group, "lr", new)

    @property
    def in_cooldown(self) -> bool:
        """Whether a reduction happened recently."""
        return self.cooldown_counter > 0

    def _is_better(self, a: float, best: float) -> bool:
        if self.threshold_mode == "rel":
            if self.mode == "min":
                return a < best * (1.0 - self.threshold)
            return a > best * (self.threshold + 1.0)
        return a < best - self.threshold if self.mode == "min" else a > best + self.threshold

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the attributes."""
        self.__dict__.update(state_dict)
        self.mode_worse = math.inf if self.mode == "min" else -math.inf
