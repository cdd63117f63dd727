"""Optimizers: 100 steps in float64 follow PyTorch's trajectory for every option."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import torch
from optimizer_cases import CASES, COMPILED, DIFFERENTIABLE, ENDS, OPTIONS
from slices import some

import fusegrad as fg

SHAPES = [(3, 4), (4,), (), (2, 1, 3)]
MATRICES = [(3, 4), (5, 2), (1, 3), (4, 4)]


@pytest.fixture(autouse=True)
def _wide_muon(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's Muon without its rounding to bfloat16, so that its steps are comparable."""
    if "bfloat16" not in request.node.name:
        monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)


class Problem:
    """Parameters with the gradients of a fixed quadratic plus noise, under one library."""

    def __init__(self, library: Any, name: str = "", dtype: Any = np.float64) -> None:
        rng = np.random.default_rng(1)
        shapes = MATRICES if name == "Muon" else SHAPES
        arrays = [rng.standard_normal(s).astype(dtype) for s in shapes]
        self.params = [library.nn.Parameter(library.tensor(np.asarray(a))) for a in arrays]
        self.library = library

    def backward(self, step: int) -> None:
        rng = np.random.default_rng(step)
        for p in self.params:
            gradient = p.detach().numpy() * 0.5 + self.noise(rng, p)
            p.grad = self.library.tensor(gradient.astype(p.detach().numpy().dtype))

    @staticmethod
    def noise(rng: Any, p: Any) -> np.ndarray:
        return np.asarray(rng.standard_normal(tuple(p.shape)))

    def values(self) -> list[np.ndarray]:
        return [p.detach().numpy() for p in self.params]


def _same(a: Problem, b: Problem, rtol: float = 1e-10, message: str = "") -> None:
    for x, y in zip(a.values(), b.values()):
        np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-11, err_msg=message)


@pytest.mark.parametrize(
    ("name", "options"), some(CASES, [case in COMPILED for case in CASES]), ids=str
)
def test_trajectory(plain: None, name: str, options: dict[str, Any]) -> None:
    ours, theirs = Problem(fg, name), Problem(torch, name)
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


def _as_arrays(value: Any) -> Any:
    """A state_dict with NumPy arrays in the place of tensors."""
    if isinstance(value, dict):
        return {k: _as_arrays(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_as_arrays(v) for v in value]
    return value.detach().numpy().copy() if hasattr(value, "detach") else value


def _as_torch(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _as_torch(v) for k, v in value.items()}
    return torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) else value


def _copy_parameters(source: Problem, target: Problem) -> None:
    with target.library.no_grad():
        for p, q in zip(target.params, source.params):
            p.copy_(target.library.tensor(q.detach().numpy()))


@pytest.mark.parametrize("arrays", [False, True], ids=["tensors", "arrays"])
@pytest.mark.parametrize(("name", "options"), ENDS, ids=str)
def test_state_from_torch_continues(
    plain: None, name: str, options: dict[str, Any], arrays: bool
) -> None:
    """A state_dict of PyTorch, as it is or as arrays, continues the trajectory."""
    ours, theirs = Problem(fg, name), Problem(torch, name)
    b = getattr(torch.optim, name)(theirs.params, **options)
    for k in range(25):
        theirs.backward(k)
        b.step()
    _copy_parameters(theirs, ours)
    state = b.state_dict()
    a = getattr(fg.optim, name)(ours.params, **options)
    a.load_state_dict(_as_arrays(state) if arrays else state)
    for k in range(25, 40):
        ours.backward(k)
        theirs.backward(k)
        a.step()
        b.step()
    _same(ours, theirs)


@pytest.mark.parametrize(("name", "options"), ENDS, ids=str)
def test_state_round_trip_continues(name: str, options: dict[str, Any]) -> None:
    """Saved midway and loaded: our copy goes on bit by bit, PyTorch's to rounding."""
    first, second, third = Problem(fg, name), Problem(fg, name), Problem(torch, name)
    a = getattr(fg.optim, name)(first.params, **options)
    for k in range(25):
        first.backward(k)
        a.step()
    _copy_parameters(first, second)
    _copy_parameters(first, third)
    b = getattr(fg.optim, name)(second.params, lr=0.5)
    b.load_state_dict(a.state_dict())
    c = getattr(torch.optim, name)(third.params, lr=0.5)
    c.load_state_dict(_as_torch(_as_arrays(a.state_dict())))
    for k in range(25, 40):
        for problem, optimizer in ((first, a), (second, b), (third, c)):
            problem.backward(k)
            optimizer.step()
    for x, y in zip(first.values(), second.values()):
        np.testing.assert_array_equal(x, y)
    # PyTorch widens the 0-d state of ASGD and NAdam when it loads it
    _same(first, third, rtol=1e-10 if name not in ("ASGD", "NAdam") else 1e-6)


@pytest.mark.parametrize(
    ("name", "options"), some(COMPILED, [k % 2 == 1 for k in range(len(COMPILED))]), ids=str
)
def test_jitted_trajectory(name: str, options: dict[str, Any]) -> None:
    """Forward, backward and update as one program; one trace for 100 steps."""
    ours, theirs = Problem(fg, name), Problem(torch, name)
    a = getattr(fg.optim, name)(ours.params, **options)
    b = getattr(torch.optim, name)(theirs.params, **options)

    @fg.jit
    def step(noise: list[Any]) -> None:
        a.zero_grad()
        loss = sum(((p * p) * 0.25 + p * n).sum() for p, n in zip(ours.params, noise))
        loss.backward()
        a.step()

    for k in range(100):
        rng = np.random.default_rng(k)
        step([fg.tensor(ours.noise(rng, p)) for p in ours.params])
        theirs.backward(k)
        b.step()
    _same(ours, theirs)
    assert len(step.history) == 1


@pytest.mark.parametrize("shape", [(), (1,)])
@pytest.mark.parametrize("name", list(OPTIONS))
def test_learning_rate_in_a_tensor(name: str, shape: tuple[int, ...]) -> None:
    """Also halved by a schedule on the way; the tensor itself is refilled."""
    problems = []
    for library in (fg, torch):
        problem = Problem(library, name)
        lr = library.tensor(np.full(shape, 0.125))
        optimizer = getattr(library.optim, name)(problem.params, lr=lr)
        schedule = library.optim.lr_scheduler.StepLR(optimizer, 5, 0.5)
        for k in range(12):
            problem.backward(k)
            optimizer.step()
            schedule.step()
        assert optimizer.param_groups[0]["lr"] is lr
        assert lr.tolist() == np.full(shape, 0.125 / 4).tolist()
        problems.append(problem)
    _same(*problems)


@pytest.mark.parametrize(("name", "options"), ENDS, ids=str)
def test_groups_missing_gradients_and_changes(
    plain: None, name: str, options: dict[str, Any]
) -> None:
    """Groups with own options, gradients that come and go, options changed on the way."""
    problems = []
    for library in (fg, torch):
        problem = Problem(library, name)
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


@pytest.mark.parametrize("name", [*OPTIONS, "LBFGS"])
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
        (lambda m, p: m.optim.Adadelta([p], rho=1.5), ValueError),
        (lambda m, p: m.optim.Adadelta([p], eps=-1.0), ValueError),
        (lambda m, p: m.optim.Adamax([p], betas=(0.9, 1.0)), ValueError),
        (lambda m, p: m.optim.NAdam([p], momentum_decay=-1.0), ValueError),
        (lambda m, p: m.optim.RAdam([p], weight_decay=-1.0), ValueError),
        (lambda m, p: m.optim.Rprop([p], etas=(1.5, 1.2)), ValueError),
        (lambda m, p: m.optim.ASGD([p], lr=-1.0), ValueError),
        (lambda m, p: m.optim.ASGD([p], lr=m.ones(2)), ValueError),
        (lambda m, p: m.optim.Muon([p]), ValueError),
        (lambda m, p: m.optim.Muon([m.nn.Parameter(m.ones(2, 2))], adjust_lr_fn="no"), ValueError),
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


@pytest.mark.parametrize(
    ("name", "options"), some(COMPILED, [k % 2 == 0 for k in range(len(COMPILED))]), ids=str
)
def test_compiled_trajectory(name: str, options: dict[str, Any]) -> None:
    """The update as one compiled program, as an eager ``step()`` runs it by default."""
    ours, theirs = Problem(fg, name), Problem(torch, name)
    a = getattr(fg.optim, name)(ours.params, **options)
    b = getattr(torch.optim, name)(theirs.params, **options)
    for k in range(100):
        ours.backward(k)
        theirs.backward(k)
        a.step()
        b.step()
    _same(ours, theirs)


@pytest.mark.parametrize(("name", "options"), ENDS, ids=str)
def test_float32_trajectory(name: str, options: dict[str, Any]) -> None:
    ours, theirs = Problem(fg, name, np.float32), Problem(torch, name, np.float32)
    a = getattr(fg.optim, name)(ours.params, **options)
    b = getattr(torch.optim, name)(theirs.params, **options)
    for k in range(30):
        ours.backward(k)
        theirs.backward(k)
        a.step()
        b.step()
    for x, y in zip(ours.values(), theirs.values()):
        np.testing.assert_allclose(x, y, rtol=2e-5, atol=2e-5)


def test_muon_is_near_its_bfloat16_original() -> None:
    """PyTorch's own rounding moves a step by about a percent; ours is the unrounded one."""
    ours, theirs = Problem(fg, "Muon"), Problem(torch, "Muon")
    start = ours.values()
    start = [x.copy() for x in start]
    a = fg.optim.Muon(ours.params, lr=0.1, weight_decay=0.0)
    b = torch.optim.Muon(theirs.params, lr=0.1, weight_decay=0.0)
    for problem, optimizer in ((ours, a), (theirs, b)):
        problem.backward(0)
        optimizer.step()
    for x, y, x0 in zip(ours.values(), theirs.values(), start):
        assert np.linalg.norm(x - y) < 0.03 * np.linalg.norm(y - x0)
        assert np.linalg.norm(x - y) > 0


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_differentiable(name: str) -> None:
    """A backward pass through three updates; PyTorch counts steps in float32 there."""
    values = np.random.default_rng(0).standard_normal((2, 3))
    gradients = []
    for library in (fg, torch):

        def work(w: Any, library: Any = library) -> Any:
            p = w * 2
            optimizer = getattr(library.optim, name)([p], lr=0.1, differentiable=True)
            for k in range(3):
                p.grad = library.sin(w) * (k + 1) - 0.2 * k
                optimizer.step()
            (gradient,) = library.autograd.grad((p * p).sum(), w)
            return gradient

        w = library.tensor(values).requires_grad_()
        gradients.append(work(w).numpy())
    np.testing.assert_allclose(*gradients, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("other", ["foreach", "differentiable"])
@pytest.mark.parametrize("name", ["Adagrad", "Adam", "AdamW", "SGD"])
def test_fused_with_other_implementations(name: str, other: str) -> None:
    for library in (fg, torch):
        p = library.nn.Parameter(library.ones(2))
        with pytest.raises(RuntimeError, match="fused"):
            getattr(library.optim, name)([p], **{"fused": True, other: True})


def test_named_parameters() -> None:
    """Names travel in the groups and their state dictionaries."""
    states, texts = [], []
    for library in (fg, torch):
        model = library.nn.Linear(2, 3)
        optimizer = library.optim.NAdam(model.named_parameters())
        optimizer.add_param_group({"params": [("extra", library.nn.Parameter(library.ones(1)))]})
        with pytest.raises(ValueError, match="with/without names"):
            library.optim.SGD([("w", model.weight), model.bias])
        states.append(optimizer.state_dict())
        texts.append(repr(optimizer))
    assert states[0] == states[1] and texts[0] == texts[1]
    assert states[0]["param_groups"][0]["param_names"] == ["weight", "bias"]


def test_an_optimizer_is_created_outside() -> None:
    def step(x: Any) -> None:
        fg.optim.SGD([x], lr=0.1)

    with pytest.raises(RuntimeError, match="created inside a jitted function"):
        fg.jit(step)(fg.ones(2))
