"""The base of the built-in optimizers: an update that is pure tensor code.

In: parameters with gradients. Out: parameters and state changed in place. While a jitted step is
traced the update appends to its graph; an eager ``step()`` runs the same update as one compiled
program. Next files: ``sgd.py``, ``adam.py``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import config
from ..api import jit
from ..autograd import enable_grad, no_grad
from ..dtypes import float32, float64
from ..errors import ArgumentError
from ..functions.common import cast
from ..ir.primitive import current_builder, set_builder
from ..ops import elementwise as ew
from ..tensor import Tensor, bump_epoch, epoch
from ..trace.capture import Capture
from .optimizer import Optimizer
from .param_group import ParamGroup


class CompiledOptimizer(Optimizer):
    """Base of optimizers whose update is pure tensor code.

    A subclass creates missing state in ``_init_state`` and writes its update in ``_update_one``:
    each state and parameter assigned once, from a pure expression, so that it fuses.
    """

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        self._compiled: Any = None
        self._ready: Any = None  # for which gradients and structure all state exists
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._compiled = self._ready = None

    def _init_state(self, group: ParamGroup, p: Tensor, fresh: Callable[[], Tensor]) -> None:
        """Create the state of ``p`` that is missing; ``fresh()`` is a shared step counter at 0."""
        raise NotImplementedError

    def _update_one(
        self, group: ParamGroup, p: Any, grad: Any, state: dict[str, Any], scalars: Any
    ) -> None:
        """Update one parameter and its state in place."""
        raise NotImplementedError

    def _scalars(self, group: ParamGroup, step: Tensor | None) -> Any:
        """0-d values that all parameters of a group with the same step count share."""
        return None

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        Args:
            closure: recomputes the loss and its gradients; called first.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        grads: list[Any] = []
        chosen: list[bool] = []
        for group in self.param_groups:
            for p in group["params"]:
                grad = p.grad
                chosen.append(grad is not None)
                if grad is not None:
                    grads.append(grad)
        if not grads:
            return loss
        mask = "".join(["1" if c else "0" for c in chosen])
        if self._ready != (mask, epoch[0], len(self.state)):
            self._prepare(chosen)
            self._ready = (mask, epoch[0], len(self.state))
        builder = current_builder()
        if isinstance(builder, Capture):
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        builder.consumed.add(p)
            self._update(mask, grads)
        elif config.JIT.flag():
            if self._compiled is None:
                self._compiled = jit(self._update)
            self._compiled(mask, grads)
        else:
            self._update(mask, grads)
        return loss

    def _prepare(self, chosen: Sequence[bool]) -> None:
        """Create missing state as real tensors, also while traced: it is found by identity."""
        builder = set_builder(None)
        try:
            with no_grad():
                self._create_missing(iter(chosen))
        finally:
            set_builder(builder)

    def _create_missing(self, chosen: Any) -> None:
        for group in self.param_groups:
            flags = list(itertools.islice(chosen, len(group["params"])))
            active = [p for p, flag in zip(group["params"], flags, strict=True) if flag]
            shared: list[Tensor] = []

            def fresh(shared: list[Tensor] = shared) -> Tensor:
                if not shared:
                    shared.append(Tensor(np.zeros((), float32.np)))
                    shared[0].__dict__["_hint"] = "step"
                return shared[0]

            before = sum(len(self.state[p]) for p in active if p in self.state)
            for p in active:
                self._init_state(group, p, fresh)
            if before != sum(len(self.state[p]) for p in active if p in self.state):
                bump_epoch()
            if len(active) != len(flags):
                self._separate(group, flags)

    def _separate(self, group: ParamGroup, flags: Sequence[bool]) -> None:
        """Give active parameters a step counter apart from that of the inactive ones."""
        pairs = list(zip(group["params"], flags, strict=True))
        idle = {id(self.state[p].get("step")) for p, flag in pairs if not flag and p in self.state}
        copies: dict[int, Tensor] = {}
        for p, flag in pairs:
            step = self.state[p].get("step") if flag and p in self.state else None
            if step is not None and id(step) in idle:
                if id(step) not in copies:
                    copies[id(step)] = Tensor(np.array(step._value))
                    bump_epoch()
                self.state[p]["step"] = copies[id(step)]

    def _after_load(self) -> None:
        """Let parameters of a group that are at the same step share one counter again."""
        for group in self.param_groups:
            shared: dict[float, Tensor] = {}
            for p in group["params"]:
                step = self.state[p].get("step") if p in self.state else None
                if isinstance(step, (int, float)):
                    step = Tensor(np.array(step, float32.np))
                if step is not None:
                    self.state[p]["step"] = shared.setdefault(float(step._value), step)

    @no_grad
    def _update(self, mask: str, grads: Sequence[Tensor]) -> None:
        """The whole update; ``mask`` has a 1 for every parameter that has a gradient."""
        builder = current_builder()
        if isinstance(builder, Capture):
            builder.guard("optimizer", self, self._structure)
        flags, gradients = iter(mask), iter(grads)
        stepped: set[int] = set()
        for group in self.param_groups:
            shared: dict[int, Any] = {}
            for p in group["params"]:
                if next(flags) == "0":
                    continue
                state = self.state[p] if p in self.state else {}
                step = state.get("step")
                if step is not None and id(step) not in stepped:
                    stepped.add(id(step))
                    step._assign(ew.add(step, 1.0), "step count")
                if id(step) not in shared:
                    shared[id(step)] = self._scalars(
                        group, None if step is None else cast(step, float64)
                    )
                grad = next(gradients)
                grad = ew.neg(grad) if group["maximize"] else grad
                self._update_one(group, p, grad, state, shared[id(step)])


def zeros_state(p: Tensor, name: str) -> Tensor:
    """A state tensor of zeros in the shape of a parameter."""
    out = Tensor(np.zeros(p.aval.shape, p.dtype.np))
    out.__dict__["_hint"] = name
    return out


def check_non_negative(**values: Any) -> None:
    """Raise ``ValueError`` for a negative option, in PyTorch's words."""
    for label, value in values.items():
        text = label.replace("_", " ") if label == "learning_rate" else label
        if isinstance(value, Tensor):
            if value.aval.size != 1:
                raise ArgumentError(f"{label} {value.aval}", "Tensor lr must be 1-element.")
            continue
        if not value >= 0.0:
            raise ArgumentError(f"Invalid {text}: {value}", f"{text} must not be negative.")
