"""Schedules: 200 steps give the same learning rates, momenta and state keys as PyTorch."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from optimizer_cases import PLATEAUS, SCHEDULES

import fusegrad as fg


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


@pytest.mark.parametrize("kwargs", PLATEAUS, ids=str)
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
