"""LBFGS: PyTorch's trajectory, state and number of evaluations, with and without line search.

Quasi-Newton steps and line searches amplify rounding, so the yardstick is PyTorch itself, started
with the last bits of the parameters changed: ours may differ by no more than ten times as much.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from optimizer_cases import LBFGS_FUNCTIONS, LBFGS_OPTIONS
from slices import by_turns

import fusegrad as fg


class Run:
    """One library's parameters, optimizer and the number of its closure's calls."""

    def __init__(
        self,
        library: Any,
        function: str,
        options: dict[str, Any],
        jit: bool = False,
        shaken: int = 0,
    ) -> None:
        rng, noise = np.random.default_rng(3), np.random.default_rng(shaken)
        x, y = rng.standard_normal(6), rng.standard_normal((2, 2))
        if shaken:
            x = x * (1 + 4e-16 * noise.choice([-1, 1], x.shape))
            y = y * (1 + 4e-16 * noise.choice([-1, 1], y.shape))
        self.x, self.y = (library.nn.Parameter(library.tensor(v)) for v in (x, y))
        self.optimizer = library.optim.LBFGS([self.x, self.y], **options)
        self.function = LBFGS_FUNCTIONS[function]
        self.calls = 0
        self.work = fg.jit(self._work) if jit else self._work

    def _work(self) -> Any:
        self.optimizer.zero_grad()
        loss = self.function(self.x, self.y)
        loss.backward()
        return loss

    def closure(self) -> Any:
        self.calls += 1
        return self.work()

    def step(self) -> float:
        return self.optimizer.step(self.closure).item()

    def values(self) -> np.ndarray:
        return np.concatenate([self.x.detach().numpy(), self.y.detach().numpy().ravel()])

    def state(self) -> dict[str, Any]:
        return self.optimizer.state_dict()["state"][0]


def _flat(value: Any) -> list[Any]:
    if isinstance(value, list):
        return [x for v in value for x in _flat(v)]
    return [] if value is None else [np.asarray(getattr(value, "tolist", lambda: value)())]


@pytest.mark.parametrize(
    ("case", "jit"), by_turns(itertools.product(LBFGS_OPTIONS, LBFGS_FUNCTIONS), [False, True])
)
def test_trajectory(case: tuple[dict[str, Any], str], jit: bool) -> None:
    options, function = case
    a, b = Run(fg, function, options, jit), Run(torch, function, options)
    shaken = [Run(torch, function, options, shaken=k) for k in (1, 2, 3)]
    compared = 0
    for _ in range(8):
        loss, wanted, others = a.step(), b.step(), [run.step() for run in shaken]
        spread = max(np.abs(run.values() - b.values()).max() for run in shaken)
        if not spread < 1e-6:
            break  # rounding alone decides from here on
        np.testing.assert_allclose(a.values(), b.values(), rtol=1e-11, atol=1e-13 + 10 * spread)
        assert loss == pytest.approx(wanted, rel=1e-11, abs=1e-13 + 10 * np.ptp([wanted, *others]))
        if {run.calls for run in shaken} == {b.calls}:
            assert a.calls == b.calls
        compared += 1
    assert compared >= (1 if function == "rosenbrock" else 6)
    mine, want = a.state(), b.state()
    assert sorted(mine) == sorted(want)
    for key in want if compared == 8 and a.calls == b.calls else ():
        for x, y in zip(_flat(mine[key]), _flat(want[key]), strict=True):
            assert x.shape == y.shape, key
    assert a.optimizer.state_dict()["param_groups"] == b.optimizer.state_dict()["param_groups"]
    assert repr(a.optimizer) == repr(b.optimizer)


def test_state_after_a_few_steps() -> None:
    """Every value under PyTorch's keys, before rounding has grown."""
    for line_search_fn in (None, "strong_wolfe"):
        options = {"max_iter": 4, "line_search_fn": line_search_fn, "history_size": 2, "lr": 0.5}
        a, b = Run(fg, "logistic", options), Run(torch, "logistic", options)
        for _ in range(2):
            a.step()
            b.step()
        mine, want = a.state(), b.state()
        assert mine["n_iter"] == want["n_iter"] and mine["func_evals"] == want["func_evals"]
        for key in want:
            for x, y in zip(_flat(mine[key]), _flat(want[key]), strict=True):
                np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12, err_msg=key)


@pytest.mark.parametrize("line_search_fn", [None, "strong_wolfe"])
def test_state_from_torch_continues(line_search_fn: str | None) -> None:
    options = {"max_iter": 3, "line_search_fn": line_search_fn, "lr": 0.5, "history_size": 4}
    first, b = Run(fg, "logistic", options), Run(torch, "logistic", options)
    for _ in range(3):
        first.step()
        b.step()
    for source in (first, b):
        a = Run(fg, "logistic", options)
        a.optimizer.load_state_dict(source.optimizer.state_dict())
        with fg.no_grad():
            a.x.copy_(source.x.detach().numpy())
            a.y.copy_(source.y.detach().numpy())
        for _ in range(2):
            assert a.step() == pytest.approx(source.step(), rel=1e-9)
        np.testing.assert_allclose(a.values(), source.values(), rtol=1e-8, atol=1e-10)


def test_float32() -> None:
    results = []
    for library in (fg, torch):
        p = library.nn.Parameter(library.tensor([3.0, -2.0]))
        optimizer = library.optim.LBFGS([p], line_search_fn="strong_wolfe")

        def closure(p: Any = p, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            loss = ((p - 1) ** 4).sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        assert str(p.dtype).endswith("float32")
        results.append(p.tolist())
    np.testing.assert_allclose(*results, rtol=1e-3)


@pytest.mark.parametrize("library", [fg, torch], ids=["fg", "torch"])
def test_refusals(library: Any) -> None:
    p, q = (library.nn.Parameter(library.ones(2)) for _ in range(2))
    with pytest.raises(ValueError, match="parameter groups"):
        library.optim.LBFGS([{"params": [p]}, {"params": [q]}])
    with pytest.raises(ValueError, match="Invalid learning rate"):
        library.optim.LBFGS([p], lr=-1)
    optimizer = library.optim.LBFGS([p], line_search_fn="backtracking")

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with pytest.raises(RuntimeError, match="only 'strong_wolfe' is supported"):
        optimizer.step(closure)


def test_inside_a_jitted_function() -> None:
    run = Run(fg, "quadratic", {})
    with pytest.raises(RuntimeError, match=r"put @fg.jit on the closure"):
        fg.jit(lambda: run.optimizer.step(run.closure))()
