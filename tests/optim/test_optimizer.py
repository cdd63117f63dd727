"""Optimizers and their groups: cells, structure, shared step counts, copies, schedules."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import fusegrad as fg
from fusegrad import nn, optim
from fusegrad.errors import CaptureError
from fusegrad.ir.primitive import set_builder
from fusegrad.optim.param_group import ParamGroup
from fusegrad.tensor import epoch
from fusegrad.trace.capture import Capture


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSEGRAD_JIT", "0")


class Captured:
    """A running capture, to look at what code sees inside one."""

    def __enter__(self) -> Capture:
        self.capture = Capture()
        self.previous = set_builder(self.capture)
        return self.capture

    def __exit__(self, *exc: object) -> None:
        set_builder(self.previous)


def test_group_is_a_dictionary_of_plain_numbers() -> None:
    group = ParamGroup({"lr": 0.1, "betas": (0.9, 0.99), "nesterov": False, "params": []})
    assert group["lr"] == 0.1 and group.get("lr") == 0.1 and group.get("none", 3) == 3
    assert dict(group.items())["betas"] == (0.9, 0.99)
    group.update(lr=0.2)
    group.setdefault("lr", 5.0)
    group.setdefault("extra", 1)
    assert group["lr"] == 0.2 and group.pop("extra") == 1 and "extra" not in group
    plain = copy.deepcopy(group)
    assert type(plain) is dict and plain["lr"] == 0.2 and type(group.copy()) is dict


def test_group_hands_out_cells_while_traced() -> None:
    group = ParamGroup({"lr": 0.1, "betas": (0.9, 0.99), "foreach": None})
    with Captured() as capture:
        lr, betas = group["lr"], group["betas"]
        assert isinstance(lr, fg.Tensor) and lr.dtype is fg.float64 and lr._weak
        assert [b._value.item() for b in betas] == [0.9, 0.99]
        lr * 2.0
        with pytest.raises(CaptureError, match=r"scheduler.step\(\) outside the jitted step"):
            group["lr"] = 0.5
    assert len(capture.inputs) == 1
    group["lr"] = 0.5
    group["betas"] = (0.8, 0.7)
    assert lr._value.item() == 0.5 and betas[1]._value.item() == 0.7


def test_only_structure_moves_the_epoch() -> None:
    group = ParamGroup(
        {"lr": 0.1, "weight_decay": 0.0, "amsgrad": False, "betas": (0.9, 0.99)},
        branches=("weight_decay",),
    )

    def bumps(**change: Any) -> bool:
        before, structure = epoch[0], group.structure()
        group.update(change)
        moved = epoch[0] != before
        assert moved == (structure != group.structure())
        return moved

    assert not bumps(lr=0.01) and not bumps(lr=0.0) and not bumps(betas=(0.1, 0.2))
    assert bumps(weight_decay=0.1) and not bumps(weight_decay=0.2) and bumps(weight_decay=0)
    assert bumps(amsgrad=True) and not bumps(amsgrad=True)


def _adam() -> tuple[list[Any], Any]:
    params = [nn.Parameter(fg.ones(2)), nn.Parameter(fg.ones(3))]
    return params, optim.Adam(params, lr=0.1)


def test_step_count_is_shared_until_gradients_differ() -> None:
    params, optimizer = _adam()
    for p in params:
        p.grad = fg.ones(*p.shape)
    optimizer.step()
    a, b = (optimizer.state[p]["step"] for p in params)
    assert a is b and float(a) == 1.0
    params[1].grad = None
    optimizer.step()
    a, b = (optimizer.state[p]["step"] for p in params)
    assert a is not b and (float(a), float(b)) == (2.0, 1.0)


def test_state_round_trip_and_copies() -> None:
    params, optimizer = _adam()
    for p in params:
        p.grad = fg.ones(*p.shape)
    optimizer.step()
    state = optimizer.state_dict()
    assert sorted(state["state"]) == [0, 1]
    assert list(state["state"][0]) == ["step", "exp_avg", "exp_avg_sq"]
    assert type(state["param_groups"][0]) is dict and state["param_groups"][0]["params"] == [0, 1]
    twin_params, twin = _adam()
    twin.load_state_dict(copy.deepcopy(state))
    assert twin.state[twin_params[0]]["step"] is twin.state[twin_params[1]]["step"]
    twin.state[twin_params[0]]["exp_avg"].zero_()
    assert float(optimizer.state[params[0]]["exp_avg"].abs().sum()) > 0
    clone = copy.deepcopy(optimizer)
    assert isinstance(clone.param_groups[0], ParamGroup)
    assert clone.param_groups[0]["params"][0] is not params[0]
    clone.param_groups[0]["lr"] = 7.0
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_user_defined_optimizer() -> None:
    class Plain(optim.Optimizer):
        def __init__(self, params: Any, lr: float) -> None:
            super().__init__(params, {"lr": lr})

        @fg.no_grad()
        def step(self, closure: Any = None) -> None:
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        p.add_(p.grad, alpha=-group["lr"])

    p = nn.Parameter(fg.tensor([1.0]))
    optimizer = Plain([p], lr=0.5)
    calls: list[int] = []
    optimizer.register_step_post_hook(lambda *a: calls.append(1))
    (p * 2).sum().backward()
    optimizer.step()
    assert p.tolist() == [0.0] and calls == [1]


def test_missing_state_is_created_eagerly_while_traced() -> None:
    params, optimizer = _adam()
    with Captured() as capture:
        params[0].grad = params[0].detach() * 1.0
        optimizer.step()
    assert isinstance(optimizer.state[params[0]]["exp_avg"]._value, np.ndarray)
    assert capture.consumed == {params[0]}
    assert [label for label, *_ in capture.guards] == ["optimizer"]
    written = {s for s, cell in capture.cells.items() if cell.version}
    state = optimizer.state[params[0]]
    assert written == {t._storage for t in (params[0], *state.values())}
    assert all(cell.version == 1 for cell in capture.cells.values() if cell.version)


def test_scheduler_refuses_to_run_while_traced() -> None:
    _, optimizer = _adam()
    scheduler = optim.lr_scheduler.StepLR(optimizer, 1)
    with Captured(), pytest.raises(CaptureError, match="outside the jitted step"):
        scheduler.step()
    assert scheduler.last_epoch == 0


def test_tensor_learning_rate_is_refilled() -> None:
    lr = fg.tensor(0.1)
    optimizer = optim.SGD([nn.Parameter(fg.ones(1))], lr=lr)
    scheduler = optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    optimizer.step()
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] is lr and lr.item() == pytest.approx(0.05)
