"""Averaged models and SWALR: PyTorch's numbers over several updates, eager and jitted."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import numpy as np
import pytest
import torch

import fusegrad as fg

AVERAGES: dict[str, Any] = {
    "default": lambda s: {},
    "swa": lambda s: {"avg_fn": s.get_swa_avg_fn()},
    "swa_multi": lambda s: {"multi_avg_fn": s.get_swa_multi_avg_fn()},
    "ema": lambda s: {"avg_fn": s.get_ema_avg_fn(0.9)},
    "ema_multi": lambda s: {"multi_avg_fn": s.get_ema_multi_avg_fn(0.9)},
    "own": lambda s: {"avg_fn": lambda a, c, n: 0.5 * a + 0.5 * c + n},
}


def _net(library: Any) -> Any:
    class Net(library.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            rng = np.random.default_rng(0)
            self.w = library.nn.Parameter(library.tensor(rng.standard_normal((3, 2))))
            self.register_buffer("total", library.tensor(rng.standard_normal(2)))

        def forward(self, x: Any) -> Any:
            return x @ self.w + self.total

    return Net()


@pytest.mark.parametrize("jit", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize("average", list(AVERAGES))
def test_averaged_model(average: str, use_buffers: bool, jit: bool) -> None:
    states = []
    for library in (fg, torch):
        swa = library.optim.swa_utils
        model = _net(library)
        averaged = swa.AveragedModel(model, use_buffers=use_buffers, **AVERAGES[average](swa))

        def step(
            x: Any, model: Any = model, averaged: Any = averaged, library: Any = library
        ) -> Any:
            with library.no_grad():
                model.w.mul_(x)
                model.total.add_(x)
            averaged.update_parameters(model)

        run = fg.jit(step) if jit and library is fg else step
        for k in range(6):
            run(library.tensor(0.8 + 0.1 * k, dtype=library.float64))
        out = averaged(library.ones(1, 3, dtype=library.float64))
        states.append({**averaged.state_dict(), "out": out.detach()})
        if jit and library is fg:
            assert len(run.history) == 1
    assert list(states[0]) == list(states[1])
    rtol = 1e-7 if average == "swa_multi" else 1e-12  # PyTorch's weights are float32 there
    for key, value in states[1].items():
        np.testing.assert_allclose(states[0][key].numpy(), value.numpy(), rtol=rtol, err_msg=key)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "options",
    [
        {"swa_lr": 0.05},
        {"swa_lr": [0.05, 0.5], "anneal_epochs": 5, "anneal_strategy": "linear"},
        {"swa_lr": 0.2, "anneal_epochs": 0},
        {"swa_lr": 0.2, "anneal_epochs": 1},
    ],
    ids=str,
)
def test_swalr(options: dict[str, Any]) -> None:
    runs = []
    for library in (fg, torch):
        params = [library.nn.Parameter(library.zeros(1)) for _ in range(2)]
        groups = [{"params": [params[0]], "lr": 0.1}, {"params": [params[1]], "lr": 0.3}]
        optimizer = library.optim.SGD(groups)
        first = library.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        schedule = library.optim.swa_utils.SWALR(optimizer, **options)
        rates = []
        for k in range(24):
            (first if k < 6 else schedule).step()
            if k == 11:
                again = library.optim.swa_utils.SWALR(optimizer, swa_lr=9.0)
                again.load_state_dict(copy.deepcopy(schedule.state_dict()))
                for group, lr in zip(optimizer.param_groups, schedule.get_last_lr(), strict=True):
                    group["lr"] = lr
                    group["swa_lr"] = 0.07
                schedule = again
            rates += [group["lr"] for group in optimizer.param_groups]
        runs.append((rates, set(schedule.state_dict()) - {"_is_initial"}))
    np.testing.assert_allclose(runs[0][0], runs[1][0], rtol=1e-12)
    assert runs[0][1] == runs[1][1]


@pytest.mark.parametrize("library", [fg, torch], ids=["fg", "torch"])
def test_refusals(library: Any) -> None:
    swa = library.optim.swa_utils
    model = _net(library)
    optimizer = library.optim.SGD(model.parameters(), lr=0.1)
    both = {"avg_fn": swa.get_swa_avg_fn(), "multi_avg_fn": swa.get_swa_multi_avg_fn()}
    cases = [
        (AssertionError, lambda: swa.AveragedModel(model, **both)),
        (ValueError, lambda: swa.get_ema_avg_fn(1.5)),
        (ValueError, lambda: swa.get_ema_multi_avg_fn(-0.1)),
        (ValueError, lambda: swa.SWALR(optimizer, 0.1, anneal_strategy="no")),
        (ValueError, lambda: swa.SWALR(optimizer, 0.1, anneal_epochs=-1)),
        (ValueError, lambda: swa.SWALR(optimizer, [0.1, 0.2])),
    ]
    for error, call in cases:
        with pytest.raises(error):
            call()


@pytest.mark.parametrize("name", sorted(fg.optim.swa_utils.__all__))
def test_arguments(name: str) -> None:
    ours, theirs = (
        inspect.signature(getattr(library.optim.swa_utils, name)).parameters.values()
        for library in (fg, torch)
    )
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs]


@pytest.mark.parametrize("pairs", [False, True])
def test_update_bn(pairs: bool) -> None:
    """Statistics of a pass over the data; modes and momenta are restored."""
    data = np.random.default_rng(0).standard_normal((3, 8, 4)) * 2 + 1
    states = []
    for library in (fg, torch):
        model = library.nn.Sequential(
            library.nn.BatchNorm1d(4, momentum=0.3, dtype=library.float64),
            library.nn.Sequential(library.nn.BatchNorm1d(4, dtype=library.float64)),
        )
        model(library.tensor(data[0] * 9))
        model.eval()
        model[1].train()
        batches = [library.tensor(batch) for batch in data]
        library.optim.swa_utils.update_bn([(b, 0) for b in batches] if pairs else batches, model)
        assert model[0].momentum == 0.3 and model[1][0].momentum == 0.1 and not model.training
        states.append(model.state_dict())
        plain = library.nn.Linear(2, 2).eval()
        library.optim.swa_utils.update_bn([None], plain)  # nothing to do: not run
    for key, value in states[1].items():
        np.testing.assert_allclose(states[0][key].numpy(), value.numpy(), rtol=1e-12, atol=1e-15)
