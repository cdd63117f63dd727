"""Schedules: 200 steps give the same learning rates, momenta and state keys as PyTorch."""

from __future__ import annotations

import copy
import inspect
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


@pytest.mark.parametrize("kwargs", PLATEAUS, ids=str)
def test_plateau_handed_over(kwargs: dict[str, Any]) -> None:
    """From PyTorch to us after 40 metrics, and back after 80."""
    rng = np.random.default_rng(1)
    metrics = [1.0 / (k + 1) + 0.3 * rng.random() for k in range(120)]

    def run(library: Any, steps: list[float], before: Any) -> tuple[Any, Any, list[float]]:
        optimizer = _optimizer(library)
        schedule = library.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **kwargs)
        if before is not None:
            optimizer.load_state_dict(before[0].state_dict())
            schedule.load_state_dict(copy.deepcopy(before[1].state_dict()))
        rates = []
        for metric in steps:
            schedule.step(metric)
            rates += schedule.get_last_lr()
        return optimizer, schedule, rates

    first = run(torch, metrics[:40], None)
    second = run(fg, metrics[40:80], first)
    third = run(torch, metrics[80:], second)
    assert [*first[2], *second[2], *third[2]] == run(torch, metrics, None)[2]


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


RESUMED: dict[str, Any] = {
    "LambdaLR": (lambda e: 0.95**e,),
    "MultiplicativeLR": (lambda e: 0.95,),
    "StepLR": (5,),
    "MultiStepLR": ([5, 11, 12],),
    "ConstantLR": (0.5, 15),
    "LinearLR": (0.5, 1.0, 15),
    "ExponentialLR": (0.9,),
    "PolynomialLR": (20, 2.0),
    "CosineAnnealingLR": (20,),
    "CosineAnnealingWarmRestarts": (7,),
    "CyclicLR": (0.01, 0.1, 7),
    "OneCycleLR": (0.5, 50),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", list(RESUMED))
def test_resumed_by_last_epoch(name: str) -> None:
    runs = []
    for library in (fg, torch):
        optimizer = _optimizer(library)
        make = getattr(library.optim.lr_scheduler, name)
        first = make(optimizer, *RESUMED[name])
        for _ in range(11):
            first.step()
        second = make(optimizer, *RESUMED[name], last_epoch=first.last_epoch)
        values = [_read(optimizer)]
        for _ in range(15):
            second.step()
            values.append(_read(optimizer))
        runs.append(values)
    np.testing.assert_allclose(*runs, rtol=1e-12)
    with pytest.raises(KeyError, match="initial_lr"):
        getattr(fg.optim.lr_scheduler, name)(_optimizer(fg), *RESUMED[name], last_epoch=3)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", list(SCHEDULES))
def test_state_of_torch_and_back(name: str) -> None:
    """A schedule is handed from PyTorch to us and back, midway."""
    (ours, a), (theirs, b) = _pair(name)
    for _ in range(37):
        b.step()
    a.load_state_dict(copy.deepcopy(b.state_dict()))
    ours.load_state_dict(theirs.state_dict())
    for _ in range(40):
        a.step()
        b.step()
        np.testing.assert_allclose(_read(ours), _read(theirs), rtol=1e-12)
    theirs = _optimizer(torch)
    b = SCHEDULES[name](torch.optim.lr_scheduler, theirs)
    b.load_state_dict(copy.deepcopy(a.state_dict()))
    theirs.load_state_dict(ours.state_dict())
    for _ in range(40):
        a.step()
        b.step()
        np.testing.assert_allclose(_read(ours), _read(theirs), rtol=1e-12)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", list(SCHEDULES))
def test_a_rate_set_by_hand_is_taken_up(name: str) -> None:
    (ours, a), (theirs, b) = _pair(name)
    for k in range(60):
        if k == 9:
            ours.param_groups[0]["lr"] = theirs.param_groups[0]["lr"] = 0.7
        a.step()
        b.step()
        np.testing.assert_allclose(_read(ours), _read(theirs), rtol=1e-12, err_msg=f"step {k}")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", list(SCHEDULES))
def test_epoch_argument(name: str) -> None:
    """``step(epoch)`` jumps, where PyTorch lets it; a ``TypeError`` where it does not."""
    (ours, a), (theirs, b) = _pair(name)
    if "sequential" in name or "chained" in name:
        for schedule in (a, b):
            with pytest.raises(TypeError):
                schedule.step(3)
        return
    for epoch in (3, 7, 2, 50, 11):
        try:
            b.step(epoch)
        except NotImplementedError:
            with pytest.raises(NotImplementedError):
                a.step(epoch)
            return
        a.step(epoch)
        np.testing.assert_allclose(_read(ours), _read(theirs), rtol=1e-12)
        a.step()
        b.step()
        np.testing.assert_allclose(_read(ours), _read(theirs), rtol=1e-12)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", list(SCHEDULES))
def test_rates_in_tensors(name: str) -> None:
    runs = []
    for library in (fg, torch):
        p, q = library.nn.Parameter(library.zeros(1)), library.nn.Parameter(library.zeros(1))
        rates = [library.tensor(np.array(0.1)), library.tensor(np.array(0.03))]
        groups = [{"params": [p], "lr": rates[0]}, {"params": [q], "lr": rates[1]}]
        optimizer = library.optim.SGD(groups, momentum=0.9)
        schedule = SCHEDULES[name](library.optim.lr_scheduler, optimizer)
        values = []
        for _ in range(60):
            schedule.step()
            values.append([float(rate) for rate in rates])
        assert [group["lr"] for group in optimizer.param_groups] == rates
        runs.append(values)
    np.testing.assert_allclose(*runs, rtol=1e-12)


@pytest.mark.parametrize("name", sorted(fg.optim.lr_scheduler.__all__))
def test_constructor_arguments(name: str) -> None:
    ours, theirs = (
        inspect.signature(getattr(library.optim.lr_scheduler, name).__init__).parameters
        for library in (fg, torch)
    )
    assert [(k, v.default) for k, v in ours.items()] == [(k, v.default) for k, v in theirs.items()]


@pytest.mark.parametrize("library", [fg, torch], ids=["fg", "torch"])
def test_bad_arguments(library: Any) -> None:
    s, o = library.optim.lr_scheduler, _optimizer(library)
    plain = library.optim.Adagrad([library.nn.Parameter(library.zeros(1))])
    other = s.ExponentialLR(_optimizer(library), 0.9)
    cases = [
        (TypeError, lambda: s.StepLR(1.0, 3)),
        (ValueError, lambda: s.LambdaLR(o, [lambda e: 1.0])),
        (ValueError, lambda: s.ConstantLR(o, factor=1.5)),
        (ValueError, lambda: s.LinearLR(o, start_factor=0.0)),
        (ValueError, lambda: s.LinearLR(o, end_factor=1.5)),
        (ValueError, lambda: s.CosineAnnealingWarmRestarts(o, T_0=0)),
        (ValueError, lambda: s.CosineAnnealingWarmRestarts(o, T_0=5, T_mult=0)),
        (ValueError, lambda: s.CyclicLR(o, 0.1, 0.2, mode="square")),
        (ValueError, lambda: s.CyclicLR(o, [0.1], 0.2)),
        (ValueError, lambda: s.CyclicLR(plain, 0.1, 0.2)),
        (ValueError, lambda: s.OneCycleLR(o, 0.1)),
        (ValueError, lambda: s.OneCycleLR(o, 0.1, total_steps=0)),
        (ValueError, lambda: s.OneCycleLR(o, 0.1, total_steps=9, pct_start=1.5)),
        (ValueError, lambda: s.OneCycleLR(o, 0.1, total_steps=9, anneal_strategy="no")),
        (ValueError, lambda: s.ReduceLROnPlateau(o, factor=1.0)),
        (ValueError, lambda: s.ReduceLROnPlateau(o, mode="mean")),
        (ValueError, lambda: s.ReduceLROnPlateau(o, min_lr=[0.1])),
        (ValueError, lambda: s.SequentialLR(o, [], [])),
        (ValueError, lambda: s.SequentialLR(o, [s.ExponentialLR(o, 0.9)], [3])),
        (ValueError, lambda: s.SequentialLR(o, [s.ExponentialLR(o, 0.9), other], [3])),
        (ValueError, lambda: s.ChainedScheduler([])),
        (ValueError, lambda: s.ChainedScheduler([s.ExponentialLR(o, 0.9), other])),
    ]
    for error, make in cases:
        with pytest.raises(error):
            make()


@pytest.mark.filterwarnings("ignore")
def test_a_finished_onecycle_is_refused() -> None:
    for library in (fg, torch):
        schedule = library.optim.lr_scheduler.OneCycleLR(_optimizer(library), 0.1, total_steps=5)
        for _ in range(5):
            schedule.step()
        with pytest.raises(ValueError, match="Tried to step"):
            schedule.step()
