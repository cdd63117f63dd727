"""L-BFGS (Liu and Nocedal 1989): a quasi-Newton method with a limited memory of past steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import enable_grad, no_grad
from ..errors import ArgumentError, CaptureError
from ..ir.primitive import current_builder
from ..tensor import Tensor
from .compiled import OptionError, check_non_negative
from .linesearch import Point, strong_wolfe
from .optimizer import Optimizer

CACHED = ("d", "t", "old_dirs", "old_stps", "ro", "H_diag", "prev_flat_grad", "prev_loss")


class LBFGS(Optimizer):
    """Steps along the gradient times an estimate of the inverse Hessian; one group only.

    A step evaluates the closure several times and decides from the values, so it runs outside
    jitted functions; the closure itself may be jitted.

    Args:
        params: parameters.
        lr: step length, the first one tried when there is a line search.
        max_iter: iterations per ``step``.
        max_eval: evaluations of the closure per ``step``; default ``max_iter * 5 // 4``.
        tolerance_grad: stop when no element of the gradient exceeds this.
        tolerance_change: stop when parameters or loss change by less.
        history_size: number of past steps that are remembered.
        line_search_fn: "strong_wolfe", or ``None`` for steps of fixed length.

    Example:
        >>> import fusegrad as fg
        >>> p = fg.nn.Parameter(fg.tensor([3.0, -2.0]))
        >>> optimizer = fg.optim.LBFGS([p], line_search_fn="strong_wolfe")
        >>> @fg.jit
        ... def closure():
        ...     optimizer.zero_grad()
        ...     loss = ((p - 1) ** 2).sum()
        ...     loss.backward()
        ...     return loss
        >>> optimizer.step(closure).item(), [round(v, 4) for v in p.tolist()]
        (13.0, [1.0, 1.0])
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_non_negative(learning_rate=lr)
        super().__init__(
            params,
            {
                "lr": lr,
                "max_iter": max_iter,
                "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
                "tolerance_grad": tolerance_grad,
                "tolerance_change": tolerance_change,
                "history_size": history_size,
                "line_search_fn": line_search_fn,
            },
        )
        if len(self.param_groups) != 1:
            raise ArgumentError(
                f"LBFGS with {len(self.param_groups)} parameter groups",
                "LBFGS doesn't support per-parameter options (parameter groups).",
            )

    @no_grad
    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Move the parameters by up to ``max_iter`` iterations.

        Args:
            closure: clears the gradients, computes the loss, calls ``backward()`` and returns it.

        Returns:
            the loss before the step.

        Raises:
            RuntimeError: called inside a jitted function, or with an unknown ``line_search_fn``.
        """
        if current_builder() is not None:
            raise CaptureError(
                "LBFGS.step inside a jitted function",
                "How often it evaluates the closure depends on values, which a trace has not.",
                "put @fg.jit on the closure and call optimizer.step(closure) outside",
            )
        group = self.param_groups[0]
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise OptionError(
                f"LBFGS with line_search_fn={group['line_search_fn']!r}",
                "only 'strong_wolfe' is supported.",
            )
        state = self.state[group["params"][0]]  # one state for all, where PyTorch keeps it too
        return _Step(group, state, enable_grad()(closure)).run()


class _Step:
    """One call of ``LBFGS.step``: the closure, the flat gradient, the history."""

    def __init__(self, group: Any, state: dict[str, Any], closure: Callable[[], Any]) -> None:
        self.group = group
        self.params: list[Tensor] = group["params"]
        self.state = state
        self.closure = closure
        lr = group["lr"]
        self.lr = lr.item() if isinstance(lr, Tensor) else lr  # type: ignore[attr-defined]
        self.history: list[tuple[np.ndarray, np.ndarray, Any]] = [
            (y.numpy(), s.numpy(), _number(ro))
            for y, s, ro in zip(
                state.get("old_dirs") or (),
                state.get("old_stps") or (),
                state.get("ro") or (),
                strict=True,
            )
        ]
        d, before = state.get("d"), state.get("prev_flat_grad")
        self.d: Any = None if d is None else d.numpy()
        self.before: Any = None if before is None else before.numpy()
        self.t: Any = _number(state.get("t"))
        self.h_diag: Any = _number(state.get("H_diag", 1))
        self.al: list[Any] = [_number(a) for a in state.get("al", ())]

    def run(self) -> Any:
        """Iterate until a tolerance or limit is met."""
        group, state = self.group, self.state
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first = self.closure()
        self.loss = float(first)
        self.evaluations = 1
        state["func_evals"] += 1
        self.grad = self._flat_grad()
        if self._flat():
            return first
        before_loss = self.loss
        for k in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            self._direct()
            self.before = self.grad.copy()
            before_loss = self.loss
            self.t = self.lr
            if state["n_iter"] == 1:
                self.t = min(1.0, 1.0 / np.abs(self.grad).sum()) * self.lr
            slope = self.grad.dot(self.d)
            if slope > -group["tolerance_change"]:
                break
            done = self._move(slope, last=k == group["max_iter"])
            if (
                k == group["max_iter"]
                or self.evaluations >= group["max_eval"]
                or done
                or np.abs(self.d * self.t).max() <= group["tolerance_change"]
                or abs(self.loss - before_loss) < group["tolerance_change"]
            ):
                break
        self._save(before_loss)
        return first

    def _direct(self) -> None:
        """The new direction, from the steps remembered (two-loop recursion)."""
        if self.state["n_iter"] == 1:
            self.d, self.history, self.h_diag = -self.grad, [], 1
            return
        y, s = self.grad - self.before, self.d * self.t
        ys = y.dot(s)
        if ys > 1e-10:
            if len(self.history) == self.group["history_size"]:
                self.history.pop(0)
            self.history.append((y, s, 1.0 / ys))
            self.h_diag = ys / y.dot(y)
        self.al = self.al or [None] * self.group["history_size"]
        q = -self.grad
        for i in range(len(self.history) - 1, -1, -1):
            y, s, ro = self.history[i]
            self.al[i] = s.dot(q) * ro
            q = q - y * self.al[i]
        r = q * self.h_diag
        for i, (y, s, ro) in enumerate(self.history):
            r = r + s * (self.al[i] - y.dot(r) * ro)
        self.d = r

    def _move(self, slope: Any, last: bool) -> bool:
        """Go along the direction; whether the gradient vanishes there."""
        used = 0
        start = [np.array(p._value) for p in self.params]
        if self.group["line_search_fn"] is not None:
            point, used = strong_wolfe(
                lambda t: self._evaluate(start, t),
                self.t,
                Point(0, self.loss, self.grad.copy(), slope),
                np.abs(self.d).max(),
                self.group["max_eval"] - self.evaluations,
                tolerance_change=1e-9,
            )
            self.t, self.loss, self.grad = point.t, point.f, point.grad
            self._go(start, self.t)
        else:
            self._go(start, self.t)
            if not last:  # with mini-batches nothing would use this evaluation
                self.loss = float(self.closure())
                self.grad = self._flat_grad()
                used = 1
        self.evaluations += used
        self.state["func_evals"] += used
        return self._flat()

    def _evaluate(self, start: list[np.ndarray], t: Any) -> Point:
        self._go(start, t)
        loss = float(self.closure())
        grad = self._flat_grad()
        return Point(t, loss, grad, grad.dot(self.d))

    def _go(self, start: list[np.ndarray], t: Any) -> None:
        """Set the parameters to ``start + t * d``."""
        position = 0
        for p, value in zip(self.params, start, strict=True):
            piece = self.d[position : position + value.size].reshape(value.shape)
            p._assign(Tensor((value + piece * t).astype(value.dtype)), "LBFGS.step")
            position += value.size

    def _flat(self) -> bool:
        return bool(np.abs(self.grad).max() <= self.group["tolerance_grad"])

    def _flat_grad(self) -> np.ndarray:
        """The gradients of all parameters as one new vector."""
        return np.concatenate(
            [
                np.zeros(p.aval.size, p.dtype.np) if p.grad is None else p.grad.numpy().ravel()
                for p in self.params
            ]
        )

    def _save(self, before_loss: float) -> None:
        """The state under PyTorch's keys."""
        tensors = [[Tensor(np.array(column)) for column in row] for row in self.history]
        if self.al:
            self.state["al"] = [None if a is None else Tensor(np.array(a)) for a in self.al]
        values = (
            Tensor(self.d),
            float(self.t),
            [y for y, _, _ in tensors],
            [s for _, s, _ in tensors],
            [ro for _, _, ro in tensors],
            Tensor(np.array(self.h_diag)) if isinstance(self.h_diag, np.generic) else self.h_diag,
            Tensor(self.before),
            before_loss,
        )
        self.state.update(zip(CACHED, values, strict=True))


def _number(value: Any) -> Any:
    """A 0-d tensor as a NumPy number; anything else as it is."""
    return value.numpy()[()] if isinstance(value, Tensor) else value
