"""float16 and bfloat16 against PyTorch: storage, arithmetic with one rounding, jit, training."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from slices import by_turns

import fusegrad as fg
from fusegrad import nn, optim
from fusegrad.dtypes import stored, widen

HALVES = ("float16", "bfloat16")
EPS = {"float16": 2.0**-10, "bfloat16": 2.0**-7}


def same(ours: fg.Tensor, theirs: torch.Tensor, ulps: float = 0.0) -> None:
    """Equal dtype, shape and numbers, up to units in the last place of the larger ones."""
    name = str(theirs.dtype).split(".")[1]
    assert ours.dtype is getattr(fg, name) and tuple(ours.shape) == tuple(theirs.shape)
    a, b = ours.detach().float().numpy(), theirs.detach().float().numpy()
    scale = np.maximum(np.abs(a), np.abs(b)) * EPS.get(name, 2.0**-23)
    with np.errstate(invalid="ignore"):
        near = np.abs(a - b) <= ulps * scale
    wrong = ~((a == b) | (np.isnan(a) & np.isnan(b)) | near)
    assert not wrong.any(), (a[wrong][:5], b[wrong][:5])


def pair(name: str, *shape: int, seed: int = 0, scale: float = 1.0) -> tuple[Any, Any]:
    """The same random numbers on both sides."""
    torch.manual_seed(seed)
    theirs = (torch.randn(*shape) * scale).to(getattr(torch, name))
    return fg.from_numpy(theirs.float().numpy()).to(getattr(fg, name)), theirs


SPECIAL = np.array(
    [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-8, 6e-8, 3e-5, 65504, 65519.9, 65520, 3.3e38, 3.4e38,
     1e-39, 1e-45, 0.1, 1 + 2.0**-8, 1 + 3 * 2.0**-8, 1 + 2.0**-11, 1 + 3 * 2.0**-11, -2.7],
    np.float32,
)  # fmt: skip


@pytest.mark.parametrize("name", HALVES)
@pytest.mark.parametrize("source", ["float32", "float64", "int64", "bool"])
def test_conversion_rounds_to_nearest_even(name: str, source: str) -> None:
    values = SPECIAL if source.startswith("f") else np.array([0, 1, 2049, 2051, 257, 259, 1 << 40])
    theirs = torch.from_numpy(values.astype(source)).to(getattr(torch, name))
    ours = fg.from_numpy(values.astype(source)).to(getattr(fg, name))
    same(ours, theirs)
    same(fg.jit(lambda x: x.to(getattr(fg, name)))(fg.from_numpy(values.astype(source))), theirs)
    same(fg.jit(lambda x: x.float())(ours), theirs.float())


def test_every_bfloat16_survives() -> None:
    bits = np.arange(1 << 16, dtype=np.uint16)
    array = bits.view(fg.bfloat16.np)
    wide = widen(array)
    np.testing.assert_array_equal(wide.view(np.uint32) >> 16, bits)
    back = stored(wide, fg.bfloat16).view(np.uint16)
    nan = np.isnan(wide)
    np.testing.assert_array_equal(back[~nan], bits[~nan])
    assert np.isnan(widen(stored(wide[nan], fg.bfloat16))).all()
    x = fg.from_numpy(array)
    round_trip = fg.jit(lambda x: x.float().bfloat16())(x)
    np.testing.assert_array_equal(round_trip._value.view(np.uint16)[~nan], bits[~nan])


def test_an_array_of_bfloat16_is_no_number_to_numpy() -> None:
    array = fg.ones(2, dtype=fg.bfloat16)._value
    for wrong in (lambda: array + array, lambda: array * 2, lambda: np.sum(array)):
        with pytest.raises(TypeError):
            wrong()


def test_numpy_refuses_and_names_the_repair() -> None:
    with pytest.raises(TypeError, match="unsupported ScalarType BFloat16") as error:
        fg.ones(2, dtype=fg.bfloat16).numpy()
    assert ".float().numpy()" in str(error.value)
    assert fg.ones(2, dtype=fg.float16).numpy().dtype == np.float16


@pytest.mark.parametrize("name", HALVES)
def test_values_leave_as_python_numbers(name: str) -> None:
    x, y = pair(name, 3, 2)
    assert x.tolist() == y.tolist() and x[1, 1].item() == y[1, 1].item()
    assert float(x[0, 0]) == float(y[0, 0]) and bool(x[0, 0]) and int(x[0, 0]) == int(y[0, 0])
    assert f"dtype=fusegrad.{name}" in repr(x) and str(x.dtype) == f"fusegrad.{name}"
    assert (
        x.type() == {"float16": "fusegrad.HalfTensor", "bfloat16": "fusegrad.BFloat16Tensor"}[name]
    )
    assert x.element_size() == 2 and x.nbytes == 12
    dtype = getattr(fg, name)
    same(fg.tensor([0.1, 2.0], dtype=dtype), torch.tensor([0.1, 2.0], dtype=y.dtype))
    same(fg.full((2,), 0.1, dtype=dtype), torch.full((2,), 0.1, dtype=y.dtype))
    same(fg.arange(0, 3, 0.3, dtype=dtype), torch.arange(0, 3, 0.3, dtype=y.dtype), 1)
    same(fg.linspace(0, 1, 7, dtype=dtype), torch.linspace(0, 1, 7, dtype=y.dtype), 1)
    assert (x.half().dtype, x.bfloat16().dtype) == (fg.float16, fg.bfloat16)


@pytest.mark.parametrize("name", HALVES)
def test_views_indexing_and_in_place(name: str) -> None:
    x, y = pair(name, 4, 6)

    def change(t: Any, lib: Any) -> Any:
        t[1:3, ::2] = 0.1
        t.t()[0].mul_(3)
        t[0] += 0.3
        t[lib.tensor([3, 0])] = t[lib.tensor([0, 3])].clone()
        t.masked_fill_(t > 1, -1)
        t.unsqueeze(0).expand(2, 4, 6)
        return t

    same(change(x, fg), change(y, torch))
    same(x.t().contiguous(), y.t().contiguous())
    same(fg.cat([x, x.flip(0)], 1), torch.cat([y, y.flip(0)], 1))
    same(x.reshape(3, 8)[:, 1:-1:3], y.reshape(3, 8)[:, 1:-1:3])
    same(fg.nn.functional.pad(x, (1, 2), value=0.1), torch.nn.functional.pad(y, (1, 2), value=0.1))
    same(x.sort(1).values, y.sort(1).values)
    same(copy.deepcopy(x), y)
    same(pickle.loads(pickle.dumps(x)), y)
    buffer = io.BytesIO()
    fg.save({"x": x}, buffer)
    buffer.seek(0)
    same(fg.load(buffer)["x"], y)


FUNCTIONS: dict[str, Any] = {
    "x * 0.1": lambda lib, x, y: x * 0.1,
    "x + 0.1": lambda lib, x, y: x + 0.1,
    "0.1 - x": lambda lib, x, y: 0.1 - x,
    "x / 3": lambda lib, x, y: x / 3,
    "x + x * 0.3": lambda lib, x, y: x.add(x, alpha=0.3),
    "x * y + x": lambda lib, x, y: x * y + x,
    "x == 0.1": lambda lib, x, y: (x * 0 + 0.1) == 0.1,
    "exp": lambda lib, x, y: x.exp(),
    "tanh": lambda lib, x, y: x.tanh(),
    "sqrt": lambda lib, x, y: x.abs().sqrt(),
    "sum": lambda lib, x, y: x.sum(1),
    "mean": lambda lib, x, y: x.mean(),
    "var": lambda lib, x, y: x.var(1),
    "cumsum": lambda lib, x, y: x.cumsum(1),
    "softmax": lambda lib, x, y: lib.softmax(x, -1),
    "log_softmax": lambda lib, x, y: lib.log_softmax(x, -1),
    "gelu": lambda lib, x, y: lib.nn.functional.gelu(x),
    "silu": lambda lib, x, y: lib.nn.functional.silu(x),
    "layer_norm": lambda lib, x, y: lib.nn.functional.layer_norm(x, (x.shape[-1],)),
    "matmul": lambda lib, x, y: x @ y.T,
    "mse_loss": lambda lib, x, y: lib.nn.functional.mse_loss(x, y),
    "lerp": lambda lib, x, y: lib.lerp(x, y, 0.3),
    "addcdiv": lambda lib, x, y: lib.addcdiv(x, y, y.abs() + 1, value=0.3),
    "where": lambda lib, x, y: lib.where(x > 0, x, 0.1),
    "max": lambda lib, x, y: x.max(1).values,
    "clamp": lambda lib, x, y: x.clamp(-0.3, 0.3),
}


FUSED = (
    "x * 0.1", "x / 3", "exp", "tanh", "sqrt", "sum", "mean", "var", "softmax", "log_softmax",
    "gelu", "silu", "layer_norm", "matmul", "mse_loss",
)  # fmt: skip


@pytest.mark.parametrize("name", HALVES)
@pytest.mark.parametrize("label", FUNCTIONS)
def test_results_are_rounded_once(label: str, name: str) -> None:
    function = FUNCTIONS[label]
    (x, a), (y, b) = pair(name, 8, 33), pair(name, 8, 33, seed=1)
    theirs = function(torch, a, b)
    ours = function(fg, x, y)
    if theirs.dtype is torch.bool:
        assert bool(ours.all()) and bool(theirs.all())
        return
    same(ours, theirs, 1)
    exact = function(torch, a.double(), b.double())
    if label in FUSED:  # half a unit from the truth
        scale = exact.abs().numpy() * EPS[name]
        assert (np.abs(ours.double().numpy() - exact.numpy()) <= 0.502 * scale + 1e-7).all()
    same(fg.jit(lambda x, y: function(fg, x, y))(x, y), theirs, 1)


@pytest.mark.parametrize("name", HALVES)
@pytest.mark.parametrize("label", [k for k in FUNCTIONS if k != "x == 0.1"])
def test_gradients(label: str, name: str) -> None:
    function = FUNCTIONS[label]
    (x, a), (y, b) = pair(name, 8, 33), pair(name, 8, 33, seed=1)
    leaves, originals = (x, y), (a, b)
    for t in (*leaves, *originals):
        t.requires_grad_()

    def step() -> Any:
        return fg.autograd.grad(function(fg, x, y).square().sum(), leaves, allow_unused=True)

    theirs = torch.autograd.grad(function(torch, a, b).square().sum(), originals, allow_unused=True)
    for found in (step(), fg.jit(step)()):
        for ours, expected, leaf in zip(found, theirs, originals, strict=True):
            if expected is None:
                assert ours is None
                continue
            bound = 8 * EPS[name] * max(1.0, expected.abs().max().item())
            assert ours.dtype is getattr(fg, name) and leaf.dtype is expected.dtype
            assert (ours.float() - fg.tensor(expected.float().numpy())).abs().max().item() <= bound


@pytest.mark.parametrize("name", HALVES)
def test_sums_accumulate_in_float32(name: str) -> None:
    x, y = fg.ones(5000, dtype=getattr(fg, name)), torch.ones(5000, dtype=getattr(torch, name))
    assert x.sum().item() == y.sum().item() == fg.jit(lambda x: x.sum())(x).item()
    big, _ = pair(name, 64, 256, scale=30.0)
    inside = fg.jit(lambda x: (x @ x.T).float())(big)  # partial sums overflow float16
    assert fg.isfinite(inside).all() or name == "float16"
    same(
        inside.to(big.dtype), torch.from_numpy((big.float() @ big.float().T).numpy()).to(y.dtype), 1
    )


@pytest.mark.parametrize("name", HALVES)
def test_kernels_convert_in_loads_and_stores(name: str) -> None:
    x, _ = pair(name, 64)
    step = fg.jit(lambda x: fg.nn.functional.gelu(x) * 2 + 1)
    step(x)
    assert len(step.kernels()) == 1
    text = step.kernels()[0].canonical
    kind = {"float16": "half", "bfloat16": "bfloat"}[name]
    assert f"{kind}_to_float(" in text and f"float_to_{kind}(" in text


def model(lib: Any) -> Any:
    n = lib.nn
    return n.Sequential(
        n.Conv2d(1, 4, 3, padding=1), n.BatchNorm2d(4), n.ReLU(), n.AvgPool2d(2), n.Flatten(),
        n.Linear(64, 16), n.LayerNorm(16), n.GELU(), n.Linear(16, 5),
    )  # fmt: skip


OPTIMIZERS = {
    "SGD": {"lr": 0.05, "momentum": 0.9},
    "Adam": {"lr": 0.01},
    "AdamW": {"lr": 0.01},
    "RMSprop": {"lr": 0.01},
    "Adagrad": {"lr": 0.05},
}


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize(("optimizer", "name"), by_turns(OPTIMIZERS, HALVES))
def test_training(name: str, optimizer: str, jit: bool) -> None:
    torch.manual_seed(0)
    theirs = model(torch)
    ours = model(fg)
    state = {k: fg.tensor(v.numpy()) for k, v in theirs.state_dict().items()}
    ours.load_state_dict(state)
    ours.to(getattr(fg, name))
    theirs.to(getattr(torch, name))
    assert all(p.dtype is getattr(fg, name) for p in ours.parameters())
    o = (
        getattr(optim, optimizer)(ours.parameters(), eps=1e-4, **OPTIMIZERS[optimizer])
        if optimizer != "SGD"
        else optim.SGD(ours.parameters(), **OPTIMIZERS[optimizer])
    )
    t = (
        getattr(torch.optim, optimizer)(theirs.parameters(), eps=1e-4, **OPTIMIZERS[optimizer])
        if optimizer != "SGD"
        else torch.optim.SGD(theirs.parameters(), **OPTIMIZERS[optimizer])
    )
    x, a = pair(name, 16, 1, 8, 8)
    labels = np.arange(16) % 5

    def step(x: Any, target: Any) -> Any:
        o.zero_grad()
        loss = nn.functional.cross_entropy(ours(x), target)
        loss.backward()
        o.step()
        return loss

    run = fg.jit(step) if jit else step
    for _ in range(4):
        found = run(x, fg.tensor(labels))
        t.zero_grad()
        expected = torch.nn.functional.cross_entropy(theirs(a), torch.tensor(labels))
        expected.backward()
        t.step()
        assert found.dtype is getattr(fg, name)
        assert abs(found.item() - expected.item()) <= 16 * EPS[name] * max(1, expected.item())
    for p in ours.parameters():
        assert p.dtype is getattr(fg, name)


def test_state_dict_across_dtypes() -> None:
    wide, narrow = nn.Linear(3, 2), nn.Linear(3, 2).to(fg.bfloat16)
    narrow.load_state_dict(wide.state_dict())
    assert narrow.weight.dtype is fg.bfloat16
    np.testing.assert_array_equal(
        narrow.weight.detach().float().numpy(), wide.weight.detach().bfloat16().float().numpy()
    )
    wide.load_state_dict(narrow.state_dict())
    assert wide.weight.dtype is fg.float32
    np.testing.assert_array_equal(
        wide.weight.detach().numpy(), narrow.weight.detach().float().numpy()
    )


@pytest.mark.parametrize("name", HALVES)
def test_loops_carry_half_precision(name: str) -> None:
    x, _ = pair(name, 5, 4)

    def total(x: Any) -> Any:
        def body(carry: Any, row: Any) -> Any:
            new = carry * 0.5 + row
            return new, new

        return fg.scan(body, fg.zeros(4, dtype=x.dtype), x)

    for a, b in zip(fg.jit(total)(x), total(x), strict=True):
        assert a.dtype is x.dtype
        np.testing.assert_array_equal(a.float().numpy(), b.float().numpy())


@pytest.mark.parametrize("name", HALVES)
def test_constants_keep_their_shape_in_compiled_scatters(name: str) -> None:
    index = fg.tensor([[0, 2, 2]])

    def counted(x: Any) -> Any:
        ones = fg.ones(1, 3, dtype=x.dtype)
        return fg.zeros(1, 4, dtype=x.dtype).scatter_add(1, index, ones) + x, x * 2

    x, _ = pair(name, 1, 4)
    for ours, eager in zip(fg.jit(counted)(x), counted(x), strict=True):
        assert ours.tolist() == eager.tolist()
