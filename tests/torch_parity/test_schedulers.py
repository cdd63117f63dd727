"""Schedules: 200 steps give the same learning rates, momenta and state keys as PyTorch."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import fusegrad as fg

Make = Callable[[Any, Any], Any]

SCHEDULES: dict[str, Make] = {
    "lambda": lambda s, o: s.LambdaLR(o, lambda e: 0.95**e),
    "lambda_list": lambda s, o: s.LambdaLR(o, [lambda e: 1 / (e + 1), lambda e: 0.9**e]),
    "multiplicative": lambda s, o: s.MultiplicativeLR(o, lambda e: 0.99),
    "step": lambda s, o: s.StepLR(o, 30, gamma=0.5),
    "multistep": lambda s, o: s.MultiStepLR(o, [10, 50, 50, 120], gamma=0.3),
    "constant": lambda s, o: s.ConstantLR(o, factor=0.5, total_iters=40),
    "linear": lambda s, o: s.LinearLR(o, start_factor=0.1, end_factor=0.9, total_iters=70),
    "linear_to_zero": lambda s, o: s.LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=50),
    "exponential": lambda s, o: s.ExponentialLR(o, 0.97),
    "polynomial": lambda s, o: s.PolynomialLR(o, total_iters=100, power=2.0),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, T_max=30, eta_min=1e-4),
    "cosine_long": lambda s, o: s.CosineAnnealingLR(o, T_max=200),
    "restarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, T_0=10, T_mult=2, eta_min=1e-5),
    "restarts_equal": lambda s, o: s.CosineAnnealingWarmRestarts(o, T_0=15),
    "onecycle": lambda s, o: s.OneCycleLR(o, max_lr=0.5, total_steps=200),
    "onecycle_linear": lambda s, o: s.OneCycleLR(
        o,
        max_lr=[0.5, 0.2],
        epochs=10,
        steps_per_epoch=20,
        anneal_strategy="linear",
        three_phase=True,
        pct_start=0.4,
    ),
    "cyclic": lambda s, o: s.CyclicLR(o, 0.01, 0.1, step_size_up=20),
    "cyclic2": lambda s, o: s.CyclicLR(
        o, 0.01, 0.1, step_size_up=10, step_size_down=25, mode="triangular2"
    ),
    "cyclic_exp": lambda s, o: s.CyclicLR(
        o, 0.01, 0.1, step_size_up=10, mode="exp_range", gamma=0.99
    ),
    "cyclic_fn": lambda s, o: s.CyclicLR(
        o, 0.01, 0.1, step_size_up=10, scale_fn=lambda x: 0.5**x, scale_mode="cycle"
    ),
    "sequential": lambda s, o: s.SequentialLR(
        o,
        [s.LinearLR(o, 0.1, total_iters=20), s.CosineAnnealingLR(o, 100), s.ExponentialLR(o, 0.9)],
        [20, 120],
    ),
    "chained": lambda s, o: s.ChainedScheduler(
        [s.ConstantLR(o, factor=0.1, total_iters=20), s.ExponentialLR(o, gamma=0.98)]
    ),
}


def _optimizer(library: Any, kind: str = "sgd") -> Any:
    p, q = library.nn.Parameter(library.zeros(1)), library.nn.Parameter(library.zeros(1))
    groups = [{"params": [p], "lr": 0.1}, {"params": [q], "lr": 0.03}]
    if kind == "sgd":
        return library.optim.SGD(groups, momentum=0.9)
    return library.optim.Adam(groups)


def _pair(name: str, kind: str = "sgd") -> list[tuple[Any, Any]]:
    return [
        (o := _optimizer(lib, kind), SCHEDULES[name](lib.optim.lr_scheduler, o))
        for lib in (fg, torch)
    ]


def _read(optimizer: Any) -> list[float]:
    values = []
    for group in optimizer.param_groups:
        values += [group["lr"], group.get("momentum", 0.0), *group.get("betas", ())]
    return values


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["sgd", "adam"])
@pytest.mark.parametrize("name", list(SCHEDULES))
def test_sequence(name: str, kind: str) -> None:
    (ours, a), (theirs, b) = _pair(name, kind)
    assert sorted(ours.param_groups[0]) == sorted(theirs.param_groups[0])
    steps = 199 if "onecycle" in name else 200
    for k in range(steps):
        np.testing.assert_allclose(_read(ours), _read(theirs), rtol=1e-12, err_msg=f"step {k}")
        np.testing.assert_allclose(a.get_last_lr(), b.get_last_lr(), rtol=1e-12)
        a.step()
        b.step()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", list(SCHEDULES))
def test_state_round_trip(name: str) -> None:
    (ours, a), (_, b) = _pair(name)
    for _ in range(37):
        a.step()
        b.step()
    hidden = {"_is_initial", "_scale_fn_ref"}
    assert set(a.state_dict()) - hidden == set(b.state_dict()) - hidden
    (again, c), _ = _pair(name)
    c.load_state_dict(a.state_dict())
    again.load_state_dict(ours.state_dict())
    for _ in range(50):
        a.step()
        c.step()
        np.testing.assert_allclose(_read(ours), _read(again), rtol=1e-12)


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"mode": "max"},
        {"threshold_mode": "abs", "threshold": 0.05},
        {"patience": 2, "cooldown": 3, "factor": 0.5},
        {"min_lr": [0.01, 0.02], "patience": 1},
        {"mode": "max", "threshold_mode": "abs", "patience": 0},
    ],
    ids=str,
)
def test_plateau(kwargs: dict[str, Any]) -> None:
    optimizers = [_optimizer(lib) for lib in (fg, torch)]
    a = fg.optim.lr_scheduler.ReduceLROnPlateau(optimizers[0], **kwargs)
    b = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizers[1], **kwargs)
    rng = np.random.default_rng(0)
    for k in range(200):
        metric = 1.0 / (k + 1) + 0.3 * rng.random()
        a.step(metric)
        b.step(metric)
        assert _read(optimizers[0]) == _read(optimizers[1])
        assert a.get_last_lr() == b.get_last_lr()
    assert set(a.state_dict()) == set(b.state_dict())


def test_step_order_warning() -> None:
    for library in (fg, torch):
        optimizer = _optimizer(library)
        scheduler = library.optim.lr_scheduler.StepLR(optimizer, 1)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            scheduler.step()
        assert any("before `optimizer.step()`" in str(w.message) for w in caught)


def test_user_schedule() -> None:
    for library in (fg, torch):

        class Halving(library.optim.lr_scheduler.LRScheduler):  # type: ignore[misc, name-defined]
            def get_lr(self) -> list[float]:
                return [lr * 0.5**self.last_epoch for lr in self.base_lrs]

        optimizer = _optimizer(library)
        scheduler = Halving(optimizer)
        optimizer.step()
        scheduler.step()
        assert scheduler.get_last_lr() == [0.05, 0.015]
