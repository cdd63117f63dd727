"""The base of the built-in optimizers: an update that is pure tensor code.

In: parameters with gradients. Out: parameters and state changed in place. While a jitted step is
traced the update appends to its graph; an eager ``step()`` runs the same update as one compiled
program. Next files: ``sgd.py``, ``adam.py``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from .. import config
from ..api import jit
from ..autograd import enable_grad, no_grad, set_grad_enabled
from ..dtypes import float32, float64, get_default_dtype
from ..errors import ArgumentError
from ..functions.common import cast
from ..functions.shape import reshape
from ..ir.primitive import current_builder, set_builder
from ..ops import elementwise as ew
from ..tensor import Tensor, bump_epoch, epoch
from ..trace.capture import Capture
from .optimizer import Optimizer
from .param_group import ParamGroup


class OptionError(ArgumentError, RuntimeError):
    """Options that do not go together; a ``RuntimeError`` too, as PyTorch raises it."""


class CompiledOptimizer(Optimizer):
    """Base of optimizers whose update is pure tensor code.

    A subclass creates missing state in ``_init_state`` and writes its update in ``_update_one``:
    each state and parameter assigned once, from a pure expression, so that it fuses.
    """

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        self._compiled: Any = None
        self._ready: Any = None  # for which gradients and structure all state exists
        if defaults.get("fused") and (defaults.get("differentiable") or defaults.get("foreach")):
            raise OptionError(
                "`fused` with `differentiable` or `foreach`",
                "`fused` does not support `differentiable`, and `fused` and `foreach` cannot be "
                "`True` together.",
                "leave fused at its default; updates are always fused",
            )
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._compiled = self._ready = None

    def _init_state(self, group: ParamGroup, p: Tensor, fresh: Fresh) -> None:
        """Create the state of ``p`` that is missing.

        ``fresh()`` is a step counter at 0, ``fresh(name, start)`` another 0-d state; all
        parameters of the group that start now share it.
        """
        raise NotImplementedError

    def _update_one(
        self, group: ParamGroup, p: Any, grad: Any, state: dict[str, Any], scalars: Any
    ) -> None:
        """Update one parameter and its state in place."""
        raise NotImplementedError

    def _scalars(self, group: ParamGroup, step: Tensor | None, state: dict[str, Any]) -> Any:
        """0-d values that all parameters of a group with the same step count share.

        Called once for them; ``state`` is that of the first and holds the shared 0-d state.
        """
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
        elif config.JIT.flag() and not self.defaults.get("differentiable"):
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
            shared: dict[str, Tensor] = {}

            def fresh(
                name: str = "step", start: float = 0.0, shared: dict[str, Tensor] = shared
            ) -> Tensor:
                if name not in shared:
                    shared[name] = _scalar_state(name, start)
                return shared[name]

            before = sum(len(self.state[p]) for p in active if p in self.state)
            for p in active:
                self._init_state(group, p, fresh)
            if before != sum(len(self.state[p]) for p in active if p in self.state):
                bump_epoch()
            if len(active) != len(flags):
                self._separate(group, flags)

    def _separate(self, group: ParamGroup, flags: Sequence[bool]) -> None:
        """Give active parameters 0-d state apart from that of the inactive ones."""
        pairs = [
            (self.state[p], flag)
            for p, flag in zip(group["params"], flags, strict=True)
            if p in self.state
        ]
        idle = {id(s.get(name)) for s, flag in pairs if not flag for name in self.shared_state}
        copies: dict[int, Tensor] = {}
        for state, flag in pairs:
            for name in self.shared_state if flag else ():
                held = state.get(name)
                if held is not None and id(held) in idle:
                    if id(held) not in copies:
                        copies[id(held)] = Tensor(np.array(held._value))
                        bump_epoch()
                    state[name] = copies[id(held)]

    def _after_load(self) -> None:
        """Let parameters of a group that are at the same step share 0-d state again."""
        for group in self.param_groups:
            shared: dict[tuple[float, ...], dict[str, Tensor]] = {}
            for p in group["params"]:
                state = self.state[p] if p in self.state else {}
                held = {n: state[n] for n in self.shared_state if state.get(n) is not None}
                for name, value in held.items():
                    if isinstance(value, (int, float)):
                        held[name] = _scalar_state(name, value)
                key = tuple(float(value._value) for value in held.values())
                state.update(shared.setdefault(key, held))

    def _update(self, mask: str, grads: Sequence[Tensor]) -> None:
        """The whole update; ``mask`` has a 1 for every parameter that has a gradient."""
        with set_grad_enabled(bool(self.defaults.get("differentiable"))):
            self._update_all(mask, grads)

    def _update_all(self, mask: str, grads: Sequence[Tensor]) -> None:
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
                        group, None if step is None else cast(step, float64), state
                    )
                grad = next(gradients)
                grad = ew.neg(grad) if group.get("maximize") else grad
                self._update_one(group, p, grad, state, shared[id(step)])


class Fresh(Protocol):
    """Makes 0-d state that the parameters of a group share."""

    def __call__(self, name: str = "step", start: float = 0.0) -> Tensor: ...


def _scalar_state(name: str, value: float) -> Tensor:
    """0-d state in PyTorch's dtype for it: the default dtype, at most float64."""
    wide = get_default_dtype() is float64
    out = Tensor(np.array(value, (float64 if wide else float32).np))
    out.__dict__["_hint"] = name
    return out


def rate(group: ParamGroup) -> Any:
    """The learning rate of a group; one in a tensor of one element as a 0-d tensor."""
    lr = group["lr"]
    return reshape(lr, ()) if isinstance(lr, Tensor) and lr.aval.shape else lr


def zeros_state(p: Tensor, name: str) -> Tensor:
    """A state tensor of zeros in the shape of a parameter."""
    out = Tensor(np.zeros(p.aval.shape, p.dtype.np))
    out.__dict__["_hint"] = name
    return out


def check_non_negative(**values: Any) -> None:
    """Raise ``ValueError`` for a negative option, in PyTorch's words."""
    for label, value in values.items():
        text = "learning rate" if label == "learning_rate" else f"{label} value"
        if isinstance(value, Tensor):
            if value.aval.size != 1:
                raise ArgumentError(f"{label} {value.aval}", "Tensor lr must be 1-element.")
            continue
        if not value >= 0.0:
            raise ArgumentError(f"Invalid {text}: {value}", "It must not be negative.")


def check_betas(betas: Sequence[float]) -> None:
    """Raise ``ValueError`` for a decay outside [0, 1)."""
    for k, beta in enumerate(betas):
        if not 0.0 <= beta < 1.0:
            raise ArgumentError(
                f"Invalid beta parameter at index {k}: {beta}", "Betas lie in [0, 1)."
            )
