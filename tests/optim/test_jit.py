"""Compiled updates: inside a jitted step and alone, equal to NumPy; schedules never retrace."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from optimizer_cases import OPTIONS, PLATEAUS, SCHEDULES, covering
from slices import by_turns

import fusegrad as fg
from fusegrad import nn, optim

CASES = [
    (name, cases[k])
    for name, cases in {n: covering(o) for n, o in OPTIONS.items()}.items()
    for k in (0, 1, 2)
    if name != "Muon"  # for matrices only; tests/torch_parity/test_optim.py has it
]
TOLERANCE = {fg.float32: (1e-4, 1e-5), fg.float64: (1e-10, 1e-12)}


class Run:
    """A small model trained with one optimizer, eagerly or jitted."""

    def __init__(
        self, name: str, options: dict[str, Any], dtype: Any, jit: bool, groups: bool = False
    ) -> None:
        fg.manual_seed(0)
        rng = np.random.default_rng(0)
        self.model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)).to(dtype)
        params: Any = list(self.model.parameters())
        if groups:
            params = [{"params": params[:2]}, {"params": params[2:]}]
        self.optimizer = getattr(optim, name)(params, **options)
        self.x = fg.tensor(rng.standard_normal((6, 5))).to(dtype)
        self.y = fg.tensor(rng.integers(0, 3, 6))
        self.step = fg.jit(self._step) if jit else self._step

    def _step(self, x: Any, y: Any) -> Any:
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        return loss

    def train(self, steps: int, scheduler: Any = None) -> list[float]:
        losses = []
        for _ in range(steps):
            losses.append(self.step(self.x, self.y).item())
            if scheduler is not None:
                scheduler.step()
        return losses

    def values(self) -> list[np.ndarray]:
        state = [
            t.numpy() for s in self.optimizer.state_dict()["state"].values() for t in s.values()
        ]
        return [*(p.detach().numpy() for p in self.model.parameters()), *state]


def _same(a: Run, b: Run, dtype: Any) -> None:
    rtol, atol = TOLERANCE[dtype]
    for x, y in zip(a.values(), b.values(), strict=True):
        np.testing.assert_allclose(y, x, rtol=rtol, atol=atol)


@pytest.mark.parametrize(("case", "dtype"), by_turns(CASES, [fg.float32, fg.float64]))
def test_jitted_and_compiled_steps_equal_numpy(
    monkeypatch: pytest.MonkeyPatch, case: tuple[str, dict[str, Any]], dtype: Any
) -> None:
    name, options = case
    monkeypatch.setenv("FUSEGRAD_JIT", "0")
    plain = Run(name, options, dtype, jit=False)
    losses = plain.train(5)
    monkeypatch.setenv("FUSEGRAD_JIT", "1")
    compiled = Run(name, options, dtype, jit=False)
    jitted = Run(name, options, dtype, jit=True)
    for run in (compiled, jitted):
        np.testing.assert_allclose(run.train(5), losses, rtol=TOLERANCE[dtype][0])
        _same(plain, run, dtype)
    assert len(jitted.step.history) == 1
    assert len(compiled.optimizer._compiled.history) == 1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("schedule", "optimizer"), by_turns(SCHEDULES, ["SGD", "AdamW"]))
def test_schedules_do_not_retrace(
    monkeypatch: pytest.MonkeyPatch, schedule: str, optimizer: str
) -> None:
    options = {"lr": 0.1, **({"momentum": 0.9} if optimizer == "SGD" else {})}
    runs = []
    for jit in (False, True):
        monkeypatch.setenv("FUSEGRAD_JIT", str(int(jit)))
        run = Run(optimizer, options, fg.float64, jit, groups=True)
        run.train(35, SCHEDULES[schedule](optim.lr_scheduler, run.optimizer))
        runs.append(run)
    _same(*runs, fg.float64)
    assert len(runs[1].step.history) == 1


@pytest.mark.parametrize("options", PLATEAUS, ids=str)
def test_plateaus_do_not_retrace(options: dict[str, Any]) -> None:
    run = Run("SGD", {"lr": 0.1}, fg.float64, jit=True, groups=True)
    scheduler = optim.lr_scheduler.ReduceLROnPlateau(run.optimizer, **options)
    for k in range(30):
        run.train(1)
        scheduler.step(1.0 + (k % 2 if options.get("mode") == "max" else 0))
    assert scheduler.get_last_lr() != [0.1, 0.1]
    assert len(run.step.history) == 1


def test_structural_options_retrace_and_numbers_do_not() -> None:
    run = Run("SGD", {"lr": 0.1, "momentum": 0.9}, fg.float64, jit=True)
    run.train(2)
    group = run.optimizer.param_groups[0]
    group["lr"] = 0.05
    group["momentum"] = 0.8
    run.train(1)
    assert len(run.step.history) == 1
    group["weight_decay"] = 0.1
    run.train(1)
    assert len(run.step.history) == 2
    group["weight_decay"] = 0.2
    run.train(1)
    assert len(run.step.history) == 2


def test_loaded_state_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    first = Run("Adam", {"lr": 0.05}, fg.float64, jit=True)
    first.train(4)
    second = Run("Adam", {"lr": 0.05}, fg.float64, jit=True)
    second.train(1)
    second.model.load_state_dict(first.model.state_dict())
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    np.testing.assert_allclose(second.train(3), first.train(3), rtol=1e-12)
    _same(first, second, fg.float64)


def test_gradients_that_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for flag in ("0", "1"):
        monkeypatch.setenv("FUSEGRAD_JIT", flag)
        params = [nn.Parameter(fg.ones(2, dtype=fg.float64)) for _ in range(3)]
        optimizer = optim.Adam(params, lr=0.1)
        for k in range(6):
            for j, p in enumerate(params):
                p.grad = None if (k + j) % 3 == 0 else p.detach() * (j + 1.0)
            optimizer.step()
        results.append([p.detach().numpy() for p in params])
    for a, b in zip(*results):
        np.testing.assert_allclose(b, a, rtol=1e-12)


def test_scheduler_inside_a_jitted_step_is_refused() -> None:
    p = nn.Parameter(fg.ones(2))
    optimizer = optim.SGD([p], lr=0.1)
    scheduler = optim.lr_scheduler.StepLR(optimizer, 1)

    @fg.jit
    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = (p * x).sum()
        loss.backward()
        optimizer.step()
        scheduler.step()
        return loss

    with pytest.raises(RuntimeError, match="outside the jitted step"):
        step(fg.ones(2))


class Heavy(optim.Optimizer):
    """A user's optimizer in PyTorch's style."""

    def __init__(
        self, params: Any, lr: float = 0.1, lazy: bool = False, count: bool = False
    ) -> None:
        super().__init__(params, {"lr": lr})
        self.lazy, self.count = lazy, count
        if not lazy:
            for p in self.param_groups[0]["params"]:
                self.state[p]["buffer"] = fg.zeros_like(p)

    @fg.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if "buffer" not in state:
                    state["buffer"] = fg.zeros_like(p)
                if self.count:
                    state["step"] = state.get("step", 0) + 1
                state["buffer"].mul_(0.9).add_(p.grad)
                p.add_(state["buffer"], alpha=-group["lr"])


def _heavy_step(optimizer: Any, p: Any) -> Any:
    def step() -> Any:
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        optimizer.step()
        return loss

    return step


def test_user_defined_optimizer_compiles() -> None:
    values = []
    for jit in (False, True):
        p = nn.Parameter(fg.tensor([1.0, -2.0]))
        optimizer = Heavy([p])
        step = _heavy_step(optimizer, p)
        run = fg.jit(step) if jit else step
        for _ in range(2):
            run()
        optimizer.param_groups[0]["lr"] = 0.01
        run()
        values.append(p.tolist())
        assert not jit or len(run.history) == 1
    np.testing.assert_allclose(*values, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lazy": True}, "created the state 'buffer' inside a jitted function"),
        ({"count": True}, "changed a Python value in its state"),
    ],
)
def test_state_that_would_be_lost_is_refused(options: dict[str, Any], message: str) -> None:
    p = nn.Parameter(fg.ones(2))
    with pytest.raises(RuntimeError, match=message):
        fg.jit(_heavy_step(Heavy([p], **options), p))()
