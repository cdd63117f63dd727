"""Schedules that move learning rate and momentum together: CyclicLR and OneCycleLR."""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from typing import Any

from ...errors import ArgumentError
from ..optimizer import Optimizer
from .base import LRScheduler, per_group, require_optimizer, set_value


class _WithMomentum(LRScheduler):
    """Base of schedules that may also cycle momentum or the first beta."""

    cycle_momentum: bool
    use_beta1: bool

    def _start_momentum(
        self, optimizer: Optimizer, base: list[float], high: list[float], last_epoch: int
    ) -> None:
        if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
            raise ArgumentError(
                f"cycle_momentum with {type(optimizer).__name__}",
                "optimizer must support momentum or beta1 with `cycle_momentum` option enabled.",
                "cycle_momentum=False",
            )
        self.use_beta1 = "betas" in optimizer.defaults
        if last_epoch != -1:
            return
        for low, top, group in zip(base, high, optimizer.param_groups, strict=True):
            self._set_momentum(group, top)
            group["max_momentum"] = top
            group["base_momentum"] = low

    def _set_momentum(self, group: Any, value: float) -> None:
        if self.use_beta1:
            group["betas"] = (value, *group["betas"][1:])
        else:
            group["momentum"] = value


class CyclicLR(_WithMomentum):
    """Triangles between ``base_lr`` and ``max_lr``.

    Args:
        optimizer: the optimizer.
        base_lr: lower bound, one value or one per group.
        max_lr: upper bound.
        step_size_up: steps of the rising half.
        step_size_down: steps of the falling half; default as many.
        mode: "triangular", "triangular2" (halved every cycle) or "exp_range" (times gamma ** step).
        gamma: constant of "exp_range".
        scale_fn: own scaling, instead of ``mode``.
        scale_mode: whether ``scale_fn`` gets the "cycle" or the "iterations".
        cycle_momentum: move momentum against the learning rate.
        base_momentum: lower bound of the momentum.
        max_momentum: upper bound of the momentum.

    Example:
        >>> from fusegrad import nn, ones, optim
        >>> optimizer = optim.SGD([nn.Parameter(ones(1))], lr=1.0)
        >>> schedule = optim.lr_scheduler.CyclicLR(
        ...     optimizer, base_lr=0.25, max_lr=1.0, step_size_up=2, cycle_momentum=False
        ... )
        >>> for _ in range(2):
        ...     optimizer.step(); schedule.step()
        >>> [round(lr, 4) for lr in schedule.get_last_lr()]
        [1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: Any,
        max_lr: Any,
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float = 0.8,
        max_momentum: float = 0.9,
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = require_optimizer(optimizer)
        base_lrs = per_group("base_lr", optimizer, base_lr)
        if last_epoch == -1:
            for lr, group in zip(base_lrs, optimizer.param_groups, strict=True):
                set_value(group, "lr", lr)
        self.max_lrs = per_group("max_lr", optimizer, max_lr)
        up = float(step_size_up)
        self.total_size = up + (up if step_size_down is None else float(step_size_down))
        self.step_ratio = up / self.total_size
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ArgumentError(
                f"CyclicLR with mode={mode!r}", "mode is invalid and scale_fn is None."
            )
        self.mode = mode
        self.gamma = gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode
        if scale_fn is None:
            self.scale_mode = "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.base_momentums = per_group("base_momentum", optimizer, base_momentum)
            self.max_momentums = per_group("max_momentum", optimizer, max_momentum)
            self._start_momentum(optimizer, self.base_momentums, self.max_momentums, last_epoch)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> float:
        """Height of the triangle in a cycle or at an iteration."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "triangular2":
            return 1 / (2.0 ** (x - 1))
        return 1.0 if self.mode == "triangular" else self.gamma**x

    def get_lr(self) -> list[Any]:
        """The next learning rates; also moves the momentum."""
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        if x <= self.step_ratio:
            height = x / self.step_ratio
        else:
            height = (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            for low, top, group in zip(
                self.base_momentums, self.max_momentums, self.optimizer.param_groups, strict=True
            ):
                self._set_momentum(group, top - (top - low) * height * scale)
        return [
            low + (top - low) * height * scale
            for low, top in zip(self.base_lrs, self.max_lrs, strict=True)
        ]

    def state_dict(self) -> dict[str, Any]:
        """Attributes; a callable object as ``scale_fn`` contributes its attributes."""
        state = super().state_dict()
        custom = state["_scale_fn_custom"]
        plain = custom is None or isinstance(custom, types.FunctionType)
        state["_scale_fn_custom"] = None if plain else custom.__dict__.copy()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the attributes; a function is kept."""
        state = dict(state_dict)
        saved = state.pop("_scale_fn_custom")
        super().load_state_dict(state)
        if saved is not None and self._scale_fn_custom is not None:
            self._scale_fn_custom.__dict__.update(saved)


def _annealed(strategy: str, start: float, end: float, done: float) -> float:
    if strategy == "cos":
        return end + (start - end) / 2.0 * (math.cos(math.pi * done) + 1)
    return (end - start) * done + start


class OneCycleLR(_WithMomentum):
    """One rise to ``max_lr`` and one long fall (Smith and Topin 2018).

    Args:
        optimizer: the optimizer.
        max_lr: the peak, one value or one per group.
        total_steps: length; or give ``epochs`` and ``steps_per_epoch``.
        pct_start: fraction of the steps that rise.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: move momentum against the learning rate.
        base_momentum: momentum at the peak.
        max_momentum: momentum at both ends.
        div_factor: the start is ``max_lr / div_factor``.
        final_div_factor: the end is the start divided by this.
        three_phase: fall back to the start symmetrically before the last phase.

    Example:
        >>> from fusegrad import nn, ones, optim
        >>> optimizer = optim.SGD([nn.Parameter(ones(1))], lr=1.0)
        >>> schedule = optim.lr_scheduler.OneCycleLR(
        ...     optimizer, max_lr=1.0, total_steps=10, cycle_momentum=False
        ... )
        >>> for _ in range(3):
        ...     optimizer.step(); schedule.step()
        >>> [round(lr, 4) for lr in schedule.get_last_lr()]
        [0.9505]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: Any,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: Any = 0.85,
        max_momentum: Any = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = require_optimizer(optimizer)
        self.total_steps = _length(total_steps, epochs, steps_per_epoch)
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ArgumentError(f"pct_start={pct_start}", "Expected float between 0 and 1.")
        if anneal_strategy not in ("cos", "linear"):
            raise ArgumentError(
                f"anneal_strategy={anneal_strategy!r}",
                "anneal_strategy must be one of 'cos' or 'linear'.",
            )
        self._anneal_func_type = anneal_strategy
        self._schedule_phases = _phases(
            float(pct_start * self.total_steps), self.total_steps, three_phase
        )
        if last_epoch == -1:
            for top, group in zip(
                per_group("max_lr", optimizer, max_lr), optimizer.param_groups, strict=True
            ):
                group["initial_lr"] = top / div_factor
                group["max_lr"] = top
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._start_momentum(
                optimizer,
                per_group("base_momentum", optimizer, base_momentum),
                per_group("max_momentum", optimizer, max_momentum),
                last_epoch,
            )
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The next learning rates; also moves the momentum."""
        step = self.last_epoch
        if step > self.total_steps:
            raise ArgumentError(
                f"step {step} of a OneCycleLR of {self.total_steps} steps",
                f"Tried to step {step} times. The specified number of total steps is "
                f"{self.total_steps}.",
            )
        start = 0.0
        for phase in self._schedule_phases:
            if step <= phase["end_step"] or phase is self._schedule_phases[-1]:
                break
            start = phase["end_step"]
        done = (step - start) / (phase["end_step"] - start)
        lrs = []
        for group in self.optimizer.param_groups:
            lrs.append(
                _annealed(
                    self._anneal_func_type, group[phase["start_lr"]], group[phase["end_lr"]], done
                )
            )
            if self.cycle_momentum:
                self._set_momentum(
                    group,
                    _annealed(
                        self._anneal_func_type,
                        group[phase["start_momentum"]],
                        group[phase["end_momentum"]],
                        done,
                    ),
                )
        return lrs


def _length(total_steps: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    given = (
        {"total_steps": total_steps}
        if total_steps is not None
        else {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
    )
    product = 1
    for name, value in given.items():
        if value is None:
            raise ArgumentError(
                "OneCycleLR without a length",
                "You must define either total_steps OR (epochs AND steps_per_epoch).",
            )
        if not isinstance(value, int) or value <= 0:
            raise ArgumentError(f"{name}={value}", f"Expected positive integer {name}.")
        product *= value
    return product


def _phases(rise: float, total: int, three_phase: bool) -> list[dict[str, Any]]:
    def phase(end: float, lrs: str, momenta: str) -> dict[str, Any]:
        lr, momentum = lrs.split(), momenta.split()
        return {
            "end_step": end,
            "start_lr": lr[0],
            "end_lr": lr[1],
            "start_momentum": momentum[0],
            "end_momentum": momentum[1],
        }

    up = phase(rise - 1, "initial_lr max_lr", "max_momentum base_momentum")
    if not three_phase:
        return [up, phase(total - 1, "max_lr min_lr", "base_momentum max_momentum")]
    return [
        up,
        phase(2 * rise - 2, "max_lr initial_lr", "base_momentum max_momentum"),
        phase(total - 1, "initial_lr min_lr", "max_momentum max_momentum"),
    ]
