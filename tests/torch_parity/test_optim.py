"""Optimizers: 100 steps in float64 follow PyTorch's trajectory for every option."""

from __future__ import annotations

import copy
import inspect
import itertools
from typing import Any

import numpy as np
import pytest
import torch

import fusegrad as fg

SHAPES = [(3, 4), (4,), (), (2, 1, 3)]


def _grid(**options: list[Any]) -> list[dict[str, Any]]:
    keys = list(options)
    return [dict(zip(keys, values)) for values in itertools.product(*options.values())]


OPTIONS: dict[str, list[dict[str, Any]]] = {
    "SGD": [
        o
        for o in _grid(
            lr=[0.05],
            momentum=[0.0, 0.9],
            dampening=[0.0, 0.3],
            weight_decay=[0.0, 0.1],
            nesterov=[False, True],
            maximize=[False, True],
        )
        if not o["nesterov"] or (o["momentum"] and not o["dampening"])
    ],
    "Adam": _grid(
        lr=[0.05],
        betas=[(0.9, 0.999), (0.5, 0.7)],
        weight_decay=[0.0, 0.1],
        amsgrad=[False, True],
        maximize=[False, True],
    ),
    "AdamW": _grid(
        lr=[0.05],
        eps=[1e-8, 1e-3],
        weight_decay=[0.0, 0.1],
        amsgrad=[False, True],
        maximize=[False, True],
    ),
    "RMSprop": _grid(
        lr=[0.01],
        alpha=[0.99, 0.5],
        weight_decay=[0.0, 0.1],
        momentum=[0.0, 0.9],
        centered=[False, True],
        maximize=[False, True],
    ),
    "Adagrad": _grid(
        lr=[0.1],
        lr_decay=[0.0, 0.01],
        weight_decay=[0.0, 0.1],
        initial_accumulator_value=[0.0, 0.5],
        maximize=[False, True],
    ),
}
CASES = [(name, o) for name, options in OPTIONS.items() for o in options]
SOME = [(name, options[0]) for name, options in OPTIONS.items()] + [
    (name, options[-1]) for name, options in OPTIONS.items()
]


class Problem:
    """Parameters with the gradients of a fixed quadratic plus noise, under one library."""

    def __init__(self, library: Any, dtype: Any = np.float64) -> None:
        rng = np.random.default_rng(1)
        arrays = [rng.standard_normal(s).astype(dtype) for s in SHAPES]
        self.params = [library.nn.Parameter(library.tensor(np.asarray(a))) for a in arrays]
        self.library = library

    def backward(self, step: int) -> None:
        rng = np.random.default_rng(step)
        for p in self.params:
            noise = np.asarray(rng.standard_normal(tuple(p.shape)))
            gradient = p.detach().numpy() * 0.5 + noise
            p.grad = self.library.tensor(gradient.astype(p.detach().numpy().dtype))

    def values(self) -> list[np.ndarray]:
        return [p.detach().numpy() for p in self.params]


def _same(a: Problem, b: Problem, rtol: float = 1e-10, message: str = "") -> None:
    for x, y in zip(a.values(), b.values()):
        np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-11, err_msg=message)


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_trajectory(plain: None, name: str, options: dict[str, Any]) -> None:
    ours, theirs = Problem(fg), Problem(torch)
    a = getattr(fg.optim, name)(ours.params, **options)
    b = getattr(torch.optim, name)(theirs.params, **options)
    for k in range(100):
        ours.backward(k)
        theirs.backward(k)
        a.step()
        b.step()
        _same(ours, theirs, message=f"step {k}")
    mine, want = a.state_dict(), b.state_dict()
    assert sorted(mine["state"]) == sorted(want["state"])
    for key, values in want["state"].items():
        assert list(mine["state"][key]) == list(values)
        for label, value in values.items():
            np.testing.assert_allclose(
                mine["state"][key][label].numpy(), value.numpy(), rtol=1e-9, atol=1e-12
            )
            assert str(mine["state"][key][label].dtype)[9:] == str(value.dtype)[6:]
    assert mine["param_groups"] == want["param_groups"]
    assert repr(a) == repr(b)


@pytest.mark.parametrize(("name", "options"), SOME, ids=str)
def test_state_from_torch_continues(plain: None, name: str, options: dict[str, Any]) -> None:
    """A state_dict of PyTorch, its tensors as arrays, continues the trajectory."""
    ours, theirs = Problem(fg), Problem(torch)
    b = getattr(torch.optim, name)(theirs.params, **options)
    for k in range(5):
        theirs.backward(k)
        b.step()
    with fg.no_grad():
        for p, q in zip(ours.params, theirs.params):
            p.copy_(q.detach().numpy())
    state = copy.deepcopy(b.state_dict())
    for values in state["state"].values():
        for label, value in values.items():
            values[label] = value.numpy()
    a = getattr(fg.optim, name)(ours.params, **options)
    a.load_state_dict(state)
    for k in range(5, 15):
        ours.backward(k)
        theirs.backward(k)
        a.step()
        b.step()
    _same(ours, theirs)


@pytest.mark.parametrize(("name", "options"), SOME, ids=str)
def test_groups_missing_gradients_and_changes(
    plain: None, name: str, options: dict[str, Any]
) -> None:
    """Groups with own options, gradients that come and go, options changed on the way."""
    problems = []
    for library in (fg, torch):
        problem = Problem(library)
        p = problem.params
        optimizer = getattr(library.optim, name)(
            [{"params": p[:2]}, {"params": p[2], "lr": 0.001, "weight_decay": 0.2}], **options
        )
        optimizer.add_param_group({"params": p[3:], "lr": 0.02})
        for k in range(30):
            problem.backward(k)
            if k % 3 == 1:
                p[0].grad = None
            if k % 5 == 2:
                p[3].grad = None
            if k == 10:
                optimizer.param_groups[0]["lr"] *= 0.5
                optimizer.param_groups[1]["weight_decay"] = 0
            optimizer.step()
        problems.append(problem)
    _same(*problems)


def test_closure_zero_grad_and_hooks(plain: None) -> None:
    logs = []
    for library in (fg, torch):
        log: list[Any] = []
        p = library.nn.Parameter(library.tensor([1.0, 2.0]))
        optimizer = library.optim.SGD([p], lr=0.1)
        optimizer.register_step_pre_hook(lambda o, a, k, log=log: log.append("pre"))
        optimizer.register_step_post_hook(lambda o, a, k, log=log: log.append("post"))

        def closure(optimizer: Any = optimizer, p: Any = p, log: Any = log) -> Any:
            optimizer.zero_grad()
            loss = (p**2).sum()
            loss.backward()
            log.append("closure")
            return loss

        log.append(round(optimizer.step(closure).item(), 5))
        log.append(np.round(p.tolist(), 5).tolist())
        optimizer.zero_grad(set_to_none=False)
        log.append(p.grad.tolist())
        optimizer.zero_grad()
        log.append(p.grad)
        logs.append(log)
    assert logs[0] == logs[1]


@pytest.mark.parametrize("name", list(OPTIONS))
def test_constructor_arguments(name: str) -> None:
    ours = inspect.signature(getattr(fg.optim, name).__init__).parameters
    theirs = inspect.signature(getattr(torch.optim, name).__init__).parameters
    assert list(ours) == list(theirs)
    assert {k: v.default for k, v in ours.items()} == {k: v.default for k, v in theirs.items()}


def test_bad_arguments() -> None:
    cases = [
        (lambda m, p: m.optim.SGD([p], lr=-1.0), ValueError),
        (lambda m, p: m.optim.SGD([p], nesterov=True), ValueError),
        (lambda m, p: m.optim.Adam([p], betas=(1.0, 0.9)), ValueError),
        (lambda m, p: m.optim.Adam([]), ValueError),
        (lambda m, p: m.optim.Adam(p), TypeError),
        (lambda m, p: m.optim.Adam([1.0]), TypeError),
        (lambda m, p: m.optim.Adam([p * 2]), ValueError),
        (lambda m, p: m.optim.Adam([{"params": [p]}, {"params": [p]}]), ValueError),
        (
            lambda m, p: m.optim.SGD([p]).load_state_dict({"state": {}, "param_groups": []}),
            ValueError,
        ),
    ]
    for call, kind in cases:
        for library in (fg, torch):
            with pytest.raises(kind):
                call(library, library.nn.Parameter(library.zeros(2)))


@pytest.mark.parametrize(("name", "options"), SOME, ids=str)
def test_compiled_trajectory(name: str, options: dict[str, Any]) -> None:
    """The update as one compiled program, as an eager ``step()`` runs it by default."""
    ours, theirs = Problem(fg), Problem(torch)
    a = getattr(fg.optim, name)(ours.params, **options)
    b = getattr(torch.optim, name)(theirs.params, **options)
    for k in range(100):
        ours.backward(k)
        theirs.backward(k)
        a.step()
        b.step()
    _same(ours, theirs)


@pytest.mark.parametrize(("name", "options"), SOME, ids=str)
def test_float32_trajectory(name: str, options: dict[str, Any]) -> None:
    ours, theirs = Problem(fg, np.float32), Problem(torch, np.float32)
    a = getattr(fg.optim, name)(ours.params, **options)
    b = getattr(torch.optim, name)(theirs.params, **options)
    for k in range(30):
        ours.backward(k)
        theirs.backward(k)
        a.step()
        b.step()
    for x, y in zip(ours.values(), theirs.values()):
        np.testing.assert_allclose(x, y, rtol=2e-5, atol=2e-5)
