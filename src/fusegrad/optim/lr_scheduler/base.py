"""LRScheduler: the base of schedules, called once per epoch or step, outside jitted functions.

In: an optimizer. Out: new values in its groups, which compiled steps read from memory; no schedule
causes a new trace. Next file: ``formulas.py``.
"""

from __future__ import annotations

import types
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from ...errors import ArgumentError, ArgumentTypeError, CaptureError
from ...ir.primitive import current_builder
from ...tensor import Tensor
from ..optimizer import Optimizer

EPOCH_WARNING = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where "
    "possible. Please use `scheduler.step()` to step the scheduler."
)
ORDER_WARNING = (
    "Detected call of `lr_scheduler.step()` before `optimizer.step()`. Call them in the opposite "
    "order: `optimizer.step()` before `lr_scheduler.step()`, or the first value of the schedule is "
    "skipped."
)


def require_optimizer(optimizer: Any) -> Optimizer:
    """The optimizer; ``TypeError`` for anything else."""
    if not isinstance(optimizer, Optimizer):
        raise ArgumentTypeError(
            f"{type(optimizer).__name__} is not an Optimizer",
            "A schedule changes the groups of an optimizer.",
        )
    return optimizer


def values_of(optimizer: Optimizer, key: str) -> list[Any]:
    """The option ``key`` of every group."""
    found = [group[key] for group in optimizer.param_groups]
    return [v.clone() if isinstance(v, Tensor) else v for v in found]  # type: ignore[attr-defined]


def set_value(group: Any, key: str, value: Any) -> None:
    """Set an option; an option that is a tensor is refilled."""
    if isinstance(group[key], Tensor):
        group[key].fill_(value.squeeze() if isinstance(value, Tensor) else value)  # type: ignore[attr-defined]
    else:
        group[key] = value


def per_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """One value per group, from one value or a list of them."""
    count = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise ArgumentError(
            f"{name} has {len(value)} values, param_groups has {count}",
            f"{name} must have the same length as optimizer.param_groups.",
        )
    return list(value)


def functions_state(functions: Sequence[Callable[..., Any]]) -> list[Any]:
    """State of callable objects; plain functions and lambdas have none."""
    return [None if isinstance(f, types.FunctionType) else f.__dict__.copy() for f in functions]


class LRScheduler:
    """Base of schedules; a subclass defines ``get_lr``.

    Args:
        optimizer: the optimizer whose learning rates change.
        last_epoch: index of the last epoch when resuming, -1 to start.
    """

    _get_lr_called_within_step = False
    _is_initial = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = require_optimizer(optimizer)
        for k, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                lr = group["lr"]
                group.setdefault("initial_lr", lr.clone() if isinstance(lr, Tensor) else lr)  # type: ignore[attr-defined]
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{k}] when resuming "
                    "scheduler with last_epoch >= 0; load the optimizer's state first"
                )
        self.base_lrs: list[Any] = values_of(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        self._step_count = 0
        self._last_lr: list[Any] = []
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def get_lr(self) -> list[Any]:
        """The next learning rate of every group; to be overridden."""
        raise NotImplementedError("a schedule defines get_lr")

    def get_last_lr(self) -> list[Any]:
        """The learning rates set last, one per group."""
        return self._last_lr

    def step(self, epoch: int | None = None) -> None:
        """Advance by one epoch and set the learning rates.

        Raises:
            RuntimeError: called inside a jitted function.
        """
        refuse_capture()
        if self._step_count == 1 and not getattr(self.optimizer, "_opt_called", True):
            warnings.warn(ORDER_WARNING, UserWarning, stacklevel=2)
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_WARNING, UserWarning, stacklevel=2)
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        self._get_lr_called_within_step = True
        try:
            if epoch is None:
                self.last_epoch += 1
                values = self.get_lr()
            else:
                self.last_epoch = epoch
                values = getattr(self, "_get_closed_form_lr", self.get_lr)()
        finally:
            self._get_lr_called_within_step = False
        for group, lr in zip(self.optimizer.param_groups, values, strict=True):
            set_value(group, "lr", lr)
        self._last_lr = values_of(self.optimizer, "lr")

    def _scaled(self, factor: float) -> list[Any]:
        """The current learning rates times ``factor``."""
        return [group["lr"] * factor for group in self.optimizer.param_groups]

    def _current(self) -> list[Any]:
        return values_of(self.optimizer, "lr")

    def state_dict(self) -> dict[str, Any]:
        """Every attribute but the optimizer."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the attributes from a ``state_dict``."""
        self.__dict__.update(state_dict)


def refuse_capture() -> None:
    """Raise inside a jitted function: its Python runs once, the schedule would stand still."""
    if current_builder() is not None:
        raise CaptureError(
            "scheduler.step() inside a jitted function",
            "The Python code of a jitted function runs only while it is traced.",
            "call scheduler.step() outside the jitted step",
        )
