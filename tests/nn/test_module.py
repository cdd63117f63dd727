"""Module: registration, traversal, modes, conversion, copies, state."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import fusegrad as fg
from fusegrad import nn
from fusegrad.tensor import epoch


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.second = nn.Linear(4, 2)
        self.scale = nn.Parameter(fg.ones(2))
        self.register_buffer("count", fg.zeros(1))
        self.register_buffer("cache", fg.zeros(1), persistent=False)
        self.offset = 1.5

    def forward(self, x: Any) -> Any:
        return self.second(self.first(x).relu()) * self.scale + self.offset


def test_registration_and_names() -> None:
    net = Net()
    assert [n for n, _ in net.named_parameters()] == [
        "scale",
        "first.weight",
        "first.bias",
        "second.weight",
        "second.bias",
    ]
    assert [n for n, _ in net.named_buffers()] == ["count", "cache"]
    assert list(net.state_dict()) == [
        "scale",
        "count",
        "first.weight",
        "first.bias",
        "second.weight",
        "second.bias",
    ]
    assert [n for n, _ in net.named_modules()] == ["", "first", "second"]
    assert net.get_submodule("first") is net.first
    assert net.get_parameter("first.bias") is net.first.bias
    assert net.get_buffer("count") is net.count
    assert isinstance(net.scale, fg.Tensor) and net.scale.requires_grad
    assert repr(nn.Parameter(fg.ones(1))).startswith("Parameter containing:\ntensor([1.]")
    del net.first
    assert not hasattr(net, "first")


def test_replacing_and_refusing() -> None:
    net = Net()
    net.scale = nn.Parameter(fg.zeros(2))
    assert float(net.scale.sum()) == 0.0
    with pytest.raises(TypeError, match="can only be replaced by a Parameter"):
        net.scale = fg.zeros(2)
    with pytest.raises(TypeError, match="Module or None"):
        net.first = 3
    net.count = fg.ones(1)
    assert net.state_dict()["count"].item() == 1.0
    net.scale = None
    assert "scale" not in net.state_dict()
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        net.nothing
    with pytest.raises(KeyError, match="already exists"):
        net.register_buffer("offset", fg.zeros(1))

    class Early(nn.Module):
        def __init__(self) -> None:
            self.part = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match=r"before Module.__init__"):
        Early()


def test_modes_apply_and_conversion() -> None:
    net = Net()
    assert net.eval() is net and not net.first.training
    assert net.train().second.training
    seen: list[str] = []
    net.apply(lambda m: seen.append(type(m).__name__))
    assert seen == ["Linear", "Linear", "Net"]
    weight = net.first.weight
    net.double()
    assert net.first.weight is weight and weight.dtype is fg.float64
    assert net(fg.zeros(1, 3, dtype=fg.float64)).dtype is fg.float64
    net.to(fg.float32).requires_grad_(False)
    assert weight.dtype is fg.float32 and not weight.requires_grad


def test_zero_grad_and_state_round_trip() -> None:
    net, other = Net(), Net()
    net(fg.ones(2, 3)).sum().backward()
    assert net.scale.grad is not None
    net.zero_grad(set_to_none=False)
    assert float(net.scale.grad.abs().sum()) == 0.0
    net.zero_grad()
    assert net.scale.grad is None
    kept = other.scale
    other.load_state_dict(net.state_dict())
    assert other.scale is kept
    np.testing.assert_array_equal(
        other(fg.ones(2, 3)).detach().numpy(), net(fg.ones(2, 3)).detach().numpy()
    )
    with pytest.raises(RuntimeError, match="Missing key"):
        other.load_state_dict({})
    arrays = {k: v.numpy() for k, v in net.state_dict().items()}
    other.load_state_dict(arrays, assign=True)
    assert isinstance(other.scale, nn.Parameter)


def test_deepcopy_is_independent() -> None:
    net = Net()
    twin = copy.deepcopy(net)
    with fg.no_grad():
        twin.scale.add_(1.0)
    assert float(net.scale.sum()) == 2.0 and float(twin.scale.sum()) == 4.0
    assert isinstance(twin.scale, nn.Parameter) and twin.scale.requires_grad
    assert [n for n, _ in twin.named_parameters()] == [n for n, _ in net.named_parameters()]


def test_hooks_are_removable() -> None:
    linear, calls = nn.Linear(2, 2), []
    handle = linear.register_forward_hook(lambda m, a, out: calls.append(1))
    linear(fg.ones(1, 2))
    handle.remove()
    linear(fg.ones(1, 2))
    assert calls == [1]
    with linear.register_forward_pre_hook(lambda m, a, k: (a, {}), with_kwargs=True):
        linear(fg.ones(1, 2))


def test_buffer_class_and_extra_state() -> None:
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hits = nn.Buffer(fg.zeros(1))
            self.note = "a"

        def get_extra_state(self) -> str:
            return self.note

        def set_extra_state(self, state: str) -> None:
            self.note = state

    a, b = Counter(), Counter()
    a.note = "changed"
    assert isinstance(nn.Buffer(fg.zeros(1)), nn.Buffer)
    assert list(a.state_dict()) == ["hits", "_extra_state"]
    b.load_state_dict(a.state_dict())
    assert b.note == "changed"


def test_containers() -> None:
    model = nn.Sequential(OrderedDict([("a", nn.Linear(2, 3)), ("b", nn.ReLU())]))
    assert list(model.state_dict()) == ["a.weight", "a.bias"]
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    assert isinstance(model[:2], nn.Sequential) and len(model[:2]) == 2
    assert model[-1] is model[2]
    model.append(nn.Sigmoid()).insert(1, nn.Tanh())
    assert [type(m).__name__ for m in model] == ["Linear", "Tanh", "ReLU", "Linear", "Sigmoid"]
    del model[1]
    model[0] = nn.Linear(2, 3, bias=False)
    assert list(model.state_dict()) == ["0.weight", "2.weight", "2.bias"]
    with pytest.raises(IndexError):
        model[9]
    layers = nn.ModuleList([nn.Linear(1, 1)]) + [nn.ReLU()]
    layers.extend([nn.Tanh()]).insert(0, nn.GELU())
    assert len(layers) == 4 and isinstance(layers.pop(0), nn.GELU)
    table = nn.ModuleDict([("x", nn.ReLU())])
    table.update({"y": nn.Linear(1, 1)})
    assert (
        list(table) == ["x", "y"]
        and "x" in table
        and list(table.state_dict()) == ["y.weight", "y.bias"]
    )
    parameters = nn.ParameterList([fg.zeros(1), nn.Parameter(fg.ones(2))]).append(fg.ones(3))
    assert [p.shape[0] for p in parameters] == [1, 2, 3]
    assert len(list(parameters.parameters())) == 3
    named = nn.ParameterDict({"w": fg.zeros(2)})
    named["v"] = fg.ones(1)
    assert list(named.state_dict()) == ["w", "v"]


def test_structural_changes_move_the_epoch_and_nothing_else() -> None:
    net = Net()

    def bumps(change: Any) -> bool:
        before = epoch[0]
        change()
        return epoch[0] != before

    assert not bumps(net.train)
    assert bumps(net.eval)
    assert not bumps(net.eval)
    assert not bumps(lambda: setattr(net, "offset", 1.5))
    assert bumps(lambda: setattr(net, "offset", 2.5))
    assert bumps(lambda: setattr(net, "first", nn.Linear(3, 4)))
    assert not bumps(lambda: setattr(net, "first", net.first))
    assert bumps(lambda: net.register_forward_hook(print))
    assert not bumps(lambda: net(fg.ones(1, 3)))
    snapshot = net._structure()
    assert snapshot == net._structure() and hash(snapshot) == hash(net._structure())
    net.offset = 3.5
    assert snapshot != net._structure()


def test_parameter_vectors() -> None:
    net = nn.Linear(2, 2)
    vector = nn.utils.parameters_to_vector(net.parameters())
    nn.utils.vector_to_parameters(fg.arange(6.0), net.parameters())
    assert net.weight.tolist() == [[0.0, 1.0], [2.0, 3.0]] and net.bias.tolist() == [4.0, 5.0]
    assert vector.shape == (6,)


def test_error_if_nonfinite() -> None:
    p = nn.Parameter(fg.ones(2))
    p.grad = fg.tensor([1.0, float("nan")])
    with pytest.raises(RuntimeError, match="non-finite"):
        nn.utils.clip_grad_norm_([p], 1.0, error_if_nonfinite=True)


def test_default_initial_values() -> None:
    fg.manual_seed(0)
    linear = nn.Linear(400, 300)
    bound = 1 / np.sqrt(400)
    for p in (linear.weight, linear.bias):
        values = p.detach().numpy()
        assert abs(values).max() <= bound and values.std() == pytest.approx(
            bound / np.sqrt(3), rel=0.1
        )
    bilinear = nn.Bilinear(25, 3, 4)
    assert abs(bilinear.weight.detach().numpy()).max() <= 1 / 5
    assert nn.Embedding(500, 40).weight.std().item() == pytest.approx(1.0, rel=0.05)
    assert nn.Linear(2, 2, dtype=fg.float64).weight.dtype is fg.float64
