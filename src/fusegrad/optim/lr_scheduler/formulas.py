"""Schedules with a formula per epoch.

``get_lr`` derives the new value from the current one, so that schedules can be chained and a value
that the user set is respected; ``_get_closed_form_lr`` gives the value of an epoch directly.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from ...errors import ArgumentError, ArgumentTypeError
from ..optimizer import Optimizer
from .base import LRScheduler, functions_state, per_group, refuse_capture


class _Functions(LRScheduler):
    """Base of schedules by a user function of the epoch."""

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | list[Any],
        last_epoch: int = -1,
    ) -> None:
        self.lr_lambdas = per_group("lr_lambda", optimizer, lr_lambda)
        for function in self.lr_lambdas:
            if not callable(function):
                raise ArgumentTypeError(
                    f"lr_lambda of type {type(function).__name__}",
                    "lr_lambda should be a function.",
                )
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Attributes; callable objects among the functions contribute their attributes."""
        state = super().state_dict()
        state["lr_lambdas"] = functions_state(self.lr_lambdas)
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the attributes; functions are kept."""
        state = dict(state_dict)
        for function, saved in zip(self.lr_lambdas, state.pop("lr_lambdas"), strict=True):
            if saved is not None:
                function.__dict__.update(saved)
        self.__dict__.update(state)


class LambdaLR(_Functions):
    """Initial learning rate times ``lr_lambda(epoch)``.

    Args:
        optimizer: the optimizer whose learning rates change.
        lr_lambda: function of the epoch, one or one per group.
        last_epoch: index of the last epoch when resuming, -1 to start.

    Example:
        >>> from fusegrad import nn, ones, optim
        >>> optimizer = optim.SGD([nn.Parameter(ones(1))], lr=1.0)
        >>> schedule = optim.lr_scheduler.LambdaLR(optimizer, lr_lambda=lambda epoch: 0.5**epoch)
        >>> for _ in range(3):
        ...     optimizer.step(); schedule.step()
        >>> [round(lr, 4) for lr in schedule.get_last_lr()]
        [0.125]
    """

    def get_lr(self) -> list[Any]:
        """The next learning rates."""
        return [
            base * f(self.last_epoch)
            for f, base in zip(self.lr_lambdas, self.base_lrs, strict=True)
        ]


class MultiplicativeLR(_Functions):
    """Current learning rate times ``lr_lambda(epoch)``.

    Args:
        optimizer: the optimizer whose learning rates change.
        lr_lambda: function of the epoch, one or one per group.
        last_epoch: index of the last epoch when resuming, -1 to start.

    Example:
        >>> from fusegrad import nn, ones, optim
        >>> optimizer = optim.SGD([nn.Parameter(ones(1))], lr=1.0)
        >>> schedule = optim.lr_scheduler.MultiplicativeLR(optimizer, lr_lambda=lambda epoch: 0.5)
        >>> for _ in range(3):
        ...     optimizer.step(); schedule.step()
        >>> [round(lr, 4) for lr in schedule.get_last_lr()]
        [0.125]
    """

    def get_lr(self) -> list[Any]:
        """The next learning rates."""
        if self._is_initial:
            return self._current()
        return [
            lr * f(self.last_epoch) for f, lr in zip(self.lr_lambdas, self._current(), strict=True)
        ]


class StepLR(LRScheduler):
    """Times ``gamma`` every ``step_size`` epochs.

    Args:
        optimizer: the optimizer whose learning rates change.
        step_size: epochs between changes.
        gamma: factor of a change.
        last_epoch: index of the last epoch when resuming, -1 to start.

    Example:
        >>> from fusegrad import nn, ones, optim
        >>> optimizer = optim.SGD([nn.Parameter(ones(1))], lr=1.0)
        >>> schedule = optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
        >>> for _ in range(5):
        ...     optimizer.step(); schedule.step()
        >>> [round(lr, 4) for lr in schedule.get_last_lr()]
        [0.25]
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The next learning rates."""
        if self.last_epoch == 0 or self.last_epoch % self.step_size != 0:
            return self._current()
        return self._scaled(self.gamma)

    def _get_closed_form_lr(self) -> list[Any]:
        return [lr * self.gamma ** (self.last_epoch // self.step_size) for lr in self.base_lrs]


class MultiStepLR(LRScheduler):
    """Times ``gamma`` at each milestone.

    Args:
        optimizer: the optimizer whose learning rates change.
        milestones: epochs of the changes.
        gamma: factor of a change.
        last_epoch: index of the last epoch when resuming, -1 to start.

    Example:
        >>> from fusegrad import nn, ones, optim
        >>> optimizer = optim.SGD([nn.Parameter(ones(1))], lr=1.0)
        >>> schedule = optim.lr_scheduler.MultiStepLR(optimizer, milestones=[2, 3], gamma=0.5)
        >>> for _ in range(4):
        ...     optimizer.step(); schedule.step()
        >>> [round(lr, 4) for lr in schedule.get_last_lr()]
        [0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones = Counter(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The next learning rates."""
        if self.last_epoch not in self.milestones:
            return self._current()
        return self._scaled(self.gamma ** self.milestones[self.last_epoch])

    def _get_closed_form_lr(self) -> list[Any]:
        passed = bisect_right(sorted(self.milestones.elements()), self.last_epoch)
        return [lr * self.gamma**passed for lr in self.base_lrs]


class ConstantLR(LRScheduler):
    """Times ``factor`` until epoch ``total_iters``.

    Args:
        optimizer: the optimizer whose learning rates change.
        factor: factor of the first epochs, between 0 and 1.
        total_iters: their number.
        last_epoch: index of the last epoch when resuming, -1 to start.

    Example:
        >>> from fusegrad import nn, ones, optim
        >>> optimizer = optim.SGD([nn.Parameter(ones(1))], lr=1.0)
        >>> schedule = optim.lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=2)
        >>> for _ in range(3):
        ...     optimizer.step(); schedule.step()
        >>> [round(lr, 4) for lr in schedule.get_last_lr()]
        [1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1.0 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if factor > 1.0 or factor < 0:
            raise ArgumentError(
                f"ConstantLR with factor={factor}",
                "Constant multiplicative factor expected to be between 0 and 1.",
            )
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The next learning rates."""
        if self.last_epoch == 0:
            return self._scaled(self.factor)
        if self.last_epoch != self.total_iters:
            return self._current()
        return self._scaled(1.0 / self.factor)

    def _get_closed_form_lr(self) -> list[Any]:
        factor = self.factor + (self.last_epoch >= self.total_iters) * (1 - self.factor)
        return [lr * factor for lr in self.base_lrs]


class LinearLR(LRScheduler):
    """A factor that goes linearly from ``start_factor`` to ``end_factor``.

    Args:
        optimizer: the optimizer whose learning rates change.
        start_factor: factor at the start, above 0 and at most 1.
        end_factor: factor at the end, between 0 and 1.
        total_iters: epochs from one to the other.
        last_epoch: index of the last epoch when resuming, -1 to start.

    Example:
        >>> from fusegrad import nn, ones, optim
        >>> optimizer = optim.SGD([nn.Parameter(ones(1))], lr=1.0)
        >>> schedule = optim.lr_scheduler.LinearLR(optimizer, start_factor=0.5, total_iters=4)
        >>> for _ in range(2):
        ...     optimizer.step(); schedule.step()
        >>> [round(lr, 4) for lr in schedule.get_last_lr()]
        [0.75]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if start_factor > 1.0 or start_factor <= 0:
            raise ArgumentError(
                f"LinearLR with start_factor={start_factor}",
                "Starting multiplicative factor expected to be greater than 0 and less or equal "
                "to 1.",
            )
        if end_factor > 1.0 or end_factor < 0:
            raise ArgumentError(
                f"LinearLR with end_factor={end_factor}",
                "Ending multiplicative factor expected to be between 0 and 1.",
            )
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The next learning rates."""
        if self.last_epoch == 0:
            return self._scaled(self.start_factor)
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._current()
        rise = self.end_factor - self.start_factor
        before = self.total_iters * self.start_factor + (self.last_epoch - 1) * rise
        return self._scaled(1.0 + rise / before)

    def _get_closed_form_lr(self) -> list[Any]:
        done = min(self.total_iters, self.last_epoch) / self.total_iters
        factor = self.start_factor + (self.end_factor - self.start_factor) * done
        return [lr * factor for lr in self.base_lrs]


class ExponentialLR(LRScheduler):
    """Times ``gamma`` every epoch.

    Args:
        optimizer: the optimizer whose learning rates change.
        gamma: factor of a change.
        last_epoch: index of the last epoch when resuming, -1 to start.

    Example:
        >>> from fusegrad import nn, ones, optim
        >>> optimizer = optim.SGD([nn.Parameter(ones(1))], lr=1.0)
        >>> schedule = optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
        >>> for _ in range(3):
        ...     optimizer.step(); schedule.step()
        >>> [round(lr, 4) for lr in schedule.get_last_lr()]
        [0.125]
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The next learning rates."""
        return self._current() if self._is_initial else self._scaled(self.gamma)

    def _get_closed_form_lr(self) -> list[Any]:
        return [lr * self.gamma**self.last_epoch for lr in self.base_lrs]


class PolynomialLR(LRScheduler):
    """(1 - epoch / total_iters) ** power.

    Args:
        optimizer: the optimizer whose learning rates change.
        total_iters: epoch at which zero is reached.
        power: power of the polynomial.
        last_epoch: index of the last epoch when resuming, -1 to start.

    Example:
        >>> from fusegrad import nn, ones, optim
        >>> optimizer = optim.SGD([nn.Parameter(ones(1))], lr=1.0)
        >>> schedule = optim.lr_scheduler.PolynomialLR(optimizer, total_iters=4, power=2.0)
        >>> for _ in range(2):
        ...     optimizer.step(); schedule.step()
        >>> [round(lr, 4) for lr in schedule.get_last_lr()]
        [0.25]
    """

    def __init__(
        self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1
    ) -> None:
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The next learning rates."""
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._current()
        left = 1.0 - self.last_epoch / self.total_iters
        left_before = 1.0 - (self.last_epoch - 1) / self.total_iters
        return self._scaled((left / left_before) ** self.power)

    def _get_closed_form_lr(self) -> list[Any]:
        left = 1.0 - min(self.total_iters, self.last_epoch) / self.total_iters
        return [lr * left**self.power for lr in self.base_lrs]


class CosineAnnealingLR(LRScheduler):
    """Half a cosine wave from the initial learning rate to ``eta_min`` in ``T_max`` epochs.

    Args:
        optimizer: the optimizer whose learning rates change.
        T_max: epochs of half a wave.
        eta_min: the lowest learning rate.
        last_epoch: index of the last epoch when resuming, -1 to start.

    Example:
        >>> from fusegrad import nn, ones, optim
        >>> optimizer = optim.SGD([nn.Parameter(ones(1))], lr=1.0)
        >>> schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=4)
        >>> for _ in range(2):
        ...     optimizer.step(); schedule.step()
        >>> [round(lr, 4) for lr in schedule.get_last_lr()]
        [0.5]
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def _height(self, epoch: int) -> float:
        return 1 + math.cos(math.pi * epoch / self.T_max)

    def get_lr(self) -> list[Any]:
        """The next learning rates."""
        if self._is_initial:
            return self._current()
        if self._step_count == 1 and self.last_epoch > 0:
            return self._get_closed_form_lr()
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:  # the wave turns up again
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            return [
                lr + (base - self.eta_min) * rise
                for base, lr in zip(self.base_lrs, self._current(), strict=True)
            ]
        ratio = self._height(self.last_epoch) / self._height(self.last_epoch - 1)
        return [ratio * (lr - self.eta_min) + self.eta_min for lr in self._current()]

    def _get_closed_form_lr(self) -> list[Any]:
        return [
            self.eta_min + (lr - self.eta_min) * self._height(self.last_epoch) / 2
            for lr in self.base_lrs
        ]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half cosine waves of ``T_0`` epochs, each ``T_mult`` times longer than the one before.

    Args:
        optimizer: the optimizer whose learning rates change.
        T_0: epochs of the first wave.
        T_mult: factor of the length of each following wave.
        eta_min: the lowest learning rate.
        last_epoch: index of the last epoch when resuming, -1 to start.

    Example:
        >>> from fusegrad import nn, ones, optim
        >>> optimizer = optim.SGD([nn.Parameter(ones(1))], lr=1.0)
        >>> schedule = optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2, T_mult=2)
        >>> for _ in range(4):
        ...     optimizer.step(); schedule.step()
        >>> [round(lr, 4) for lr in schedule.get_last_lr()]
        [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        if T_0 <= 0 or not isinstance(T_0, int):
            raise ArgumentError(f"T_0={T_0}", "Expected positive integer T_0.")
        if T_mult < 1 or not isinstance(T_mult, int):
            raise ArgumentError(f"T_mult={T_mult}", "Expected integer T_mult >= 1.")
        self.T_0 = T_0
        self.T_i = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The next learning rates."""
        wave = 1 + math.cos(math.pi * self.T_cur / self.T_i)
        return [self.eta_min + (lr - self.eta_min) * wave / 2 for lr in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Advance by one epoch, or to a (fractional) epoch."""
        refuse_capture()
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        else:
            self._jump(epoch)
        self.last_epoch = math.floor(epoch) - 1
        self._update_lr()

    def _jump(self, epoch: float) -> None:
        if epoch < 0:
            raise ArgumentError(f"epoch={epoch}", "Expected non-negative epoch.")
        if epoch < self.T_0:
            self.T_i, self.T_cur = self.T_0, epoch
        elif self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        else:
            n = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
            start = self.T_0 * (self.T_mult**n - 1) / (self.T_mult - 1)
            self.T_cur, self.T_i = epoch - start, self.T_0 * self.T_mult**n
