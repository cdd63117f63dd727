"""Layers: forward, gradients, state_dict keys and representations equal PyTorch's."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch

import fusegrad as fg

EDGES = np.array(
    [-1e3, -90.0, -20.5, -7.0, -3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 6.0, 20.5, 90.0, 1e3, np.inf]
)

TOLERANCE = {"CELU": 1e-6, "Hardsigmoid": 1e-6}  # PyTorch rounds a constant to float32 there

ACTIVATIONS = [
    ("ReLU", {}),
    ("ReLU", {"inplace": True}),
    ("ReLU6", {}),
    ("LeakyReLU", {}),
    ("LeakyReLU", {"negative_slope": 0.2}),
    ("ELU", {}),
    ("ELU", {"alpha": 0.7}),
    ("SELU", {}),
    ("CELU", {}),
    ("CELU", {"alpha": 1.7}),
    ("GELU", {}),
    ("GELU", {"approximate": "tanh"}),
    ("SiLU", {}),
    ("Mish", {}),
    ("Sigmoid", {}),
    ("LogSigmoid", {}),
    ("Tanh", {}),
    ("Softplus", {}),
    ("Softplus", {"beta": 2.0, "threshold": 5.0}),
    ("Softsign", {}),
    ("Softshrink", {}),
    ("Softshrink", {"lambd": 1.0}),
    ("Hardshrink", {}),
    ("Hardtanh", {}),
    ("Hardtanh", {"min_val": -2.0, "max_val": 0.5}),
    ("Hardsigmoid", {}),
    ("Hardswish", {}),
    ("Tanhshrink", {}),
    ("Threshold", {"threshold": 0.1, "value": 20.0}),
    ("GLU", {}),
    ("GLU", {"dim": 0}),
    ("Softmax", {"dim": 1}),
    ("LogSoftmax", {"dim": -1}),
    ("LogSoftmax", {"dim": 0}),
    ("Softmin", {"dim": 1}),
    ("PReLU", {}),
    ("PReLU", {"num_parameters": 6, "init": 0.1}),
    ("RReLU", {}),
]


def _build(name: str, kwargs: dict[str, Any]) -> tuple[Any, Any]:
    ours, theirs = getattr(fg.nn, name)(**kwargs), getattr(torch.nn, name)(**kwargs)
    return ours.double().eval(), theirs.double().eval()


@pytest.mark.parametrize(("name", "kwargs"), ACTIVATIONS, ids=str)
def test_activation(compare: Any, name: str, kwargs: dict[str, Any]) -> None:
    ours, theirs = _build(name, kwargs)
    assert repr(ours) == repr(theirs)
    x = compare.randn(4, 6)
    fresh = (lambda f: lambda t: f(t * 1)) if kwargs.get("inplace") else (lambda f: f)
    params = (tuple(ours.parameters()), tuple(theirs.parameters()))
    compare.check(fresh(ours), fresh(theirs), x, rtol=TOLERANCE.get(name, 1e-9), params=params)


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        a
        for a in ACTIVATIONS
        if a[0] not in ("GLU", "Softmax", "LogSoftmax", "Softmin", "PReLU", "RReLU")
    ],
    ids=str,
)
def test_activation_edges(compare: Any, name: str, kwargs: dict[str, Any]) -> None:
    """Kinks, saturation and infinity: the same values and the same one-sided gradients."""
    ours, theirs = _build(name, {k: v for k, v in kwargs.items() if k != "inplace"})
    for x in EDGES:
        a, b = (
            fg.tensor(np.array([x]), requires_grad=True),
            torch.tensor([x], requires_grad=True, dtype=torch.float64),
        )
        out, want = ours(a), theirs(b)
        np.testing.assert_allclose(
            out.detach().numpy(),
            want.detach().numpy(),
            rtol=1e-9,
            atol=1e-300,
            err_msg=f"value at {x}",
        )
        if np.isinf(x):
            continue
        out.sum().backward()
        want.sum().backward()
        np.testing.assert_allclose(
            a.grad.numpy(),
            b.grad.numpy(),
            rtol=TOLERANCE.get(name, 1e-9),
            atol=1e-12,
            err_msg=f"gradient at {x}",
        )


LAYERS = [
    ("Linear", (5, 3), {}, [(4, 5)]),
    ("Linear", (5, 3), {"bias": False}, [(4, 5)]),
    ("Linear", (5, 3), {}, [(5,)]),
    ("Linear", (5, 3), {}, [(2, 4, 5)]),
    ("Bilinear", (3, 4, 2), {}, [(5, 3), (5, 4)]),
    ("Bilinear", (3, 4, 2), {"bias": False}, [(2, 5, 3), (2, 5, 4)]),
    ("LayerNorm", (6,), {}, [(4, 6)]),
    ("LayerNorm", ((3, 4),), {"eps": 1e-3}, [(2, 3, 4)]),
    ("LayerNorm", (6,), {"elementwise_affine": False}, [(4, 6)]),
    ("LayerNorm", (6,), {"bias": False}, [(2, 3, 6)]),
    ("RMSNorm", (6,), {}, [(4, 6)]),
    ("RMSNorm", ((3, 4),), {"eps": 1e-3}, [(2, 3, 4)]),
    ("RMSNorm", (6,), {"elementwise_affine": False}, [(4, 6)]),
    ("Flatten", (), {}, [(2, 3, 4)]),
    ("Flatten", (0, 1), {}, [(2, 3, 4)]),
    ("Unflatten", (1, (2, 3)), {}, [(4, 6)]),
    ("Unflatten", (-1, (2, -1)), {}, [(4, 6)]),
    ("Identity", (), {}, [(2, 3)]),
    ("CosineSimilarity", (), {}, [(4, 5), (4, 5)]),
    ("CosineSimilarity", (0,), {"eps": 1e-6}, [(4, 5), (4, 5)]),
    ("PairwiseDistance", (), {}, [(4, 5), (4, 5)]),
    ("PairwiseDistance", (1.0,), {"keepdim": True}, [(4, 5), (4, 5)]),
]


@pytest.mark.parametrize(("name", "args", "kwargs", "shapes"), LAYERS, ids=str)
def test_layer(
    compare: Any, same_state: Any, name: str, args: Any, kwargs: Any, shapes: Any
) -> None:
    ours = getattr(fg.nn, name)(*args, **kwargs).double()
    theirs = getattr(torch.nn, name)(*args, **kwargs).double()
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for p in theirs.parameters():  # weights that are not all ones
        torch.nn.init.normal_(p)
    same_state(ours, theirs)
    params = (tuple(ours.parameters()), tuple(theirs.parameters()))
    compare.check(ours, theirs, *[compare.randn(*s) for s in shapes], params=params)


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"padding_idx": 2},
        {"padding_idx": -1},
        {"scale_grad_by_freq": True},
        {"max_norm": 1.0},
        {"max_norm": 1.5, "norm_type": 1.0, "padding_idx": 0},
    ],
    ids=str,
)
def test_embedding(compare: Any, same_state: Any, kwargs: dict[str, Any]) -> None:
    ours = fg.nn.Embedding(7, 3, **kwargs).double()
    theirs = torch.nn.Embedding(7, 3, **kwargs).double()
    assert repr(ours) == repr(theirs)
    if "padding_idx" in kwargs:
        assert float(ours.weight.detach()[kwargs["padding_idx"]].abs().sum()) == 0
    same_state(ours, theirs)
    index = np.array([[0, 2, 2, 5], [6, 0, 2, 1]])
    params = (tuple(ours.parameters()), tuple(theirs.parameters()))
    compare.check(ours, theirs, index, params=params)
    np.testing.assert_allclose(ours.weight.detach().numpy(), theirs.weight.detach().numpy())


def test_second_derivatives(compare: Any) -> None:
    """Gradients of gradients through compositions with choices and norms."""
    for name, kwargs in [
        ("GELU", {}),
        ("ELU", {}),
        ("Softplus", {}),
        ("SiLU", {}),
        ("LayerNorm", {"normalized_shape": 6}),
    ]:
        x = compare.randn(4, 6)
        grads = []
        for library, value in (
            (fg, fg.tensor(x, requires_grad=True)),
            (torch, torch.tensor(x, requires_grad=True)),
        ):
            module = getattr(library.nn, name)(**kwargs).double()
            (g,) = library.autograd.grad((module(value) ** 2).sum(), value, create_graph=True)
            (h,) = library.autograd.grad((g * g).sum(), value)
            grads.append(h.detach().numpy())
        np.testing.assert_allclose(*grads, rtol=1e-8, atol=1e-10, err_msg=name)


@pytest.mark.parametrize(
    "name",
    [
        "Linear",
        "Bilinear",
        "LayerNorm",
        "RMSNorm",
        "Embedding",
        "PReLU",
        "Dropout",
        "GELU",
        "CrossEntropyLoss",
        "BCEWithLogitsLoss",
        "Flatten",
        "Softmax",
    ],
)
def test_constructor_arguments(name: str) -> None:
    """The same argument names and defaults."""
    import inspect

    ours = inspect.signature(getattr(fg.nn, name).__init__).parameters
    theirs = inspect.signature(getattr(torch.nn, name).__init__).parameters
    assert list(ours) == list(theirs)
    assert {k: v.default for k, v in ours.items()} == {k: v.default for k, v in theirs.items()}


def _model(library: Any) -> Any:
    nn = library.nn
    block = nn.Sequential(OrderedDict([("fc", nn.Linear(4, 4)), ("act", nn.GELU())]))
    return nn.Sequential(
        nn.Linear(3, 4),
        block,
        nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4), nn.ReLU()]),
        nn.ModuleDict({"a": nn.LayerNorm(4), "b": nn.Dropout(0.1)}),
        nn.ParameterList([library.zeros(2), library.zeros(3, 2)]),
        nn.ParameterDict({"w": library.zeros(2)}),
        nn.CrossEntropyLoss(weight=library.ones(3)),
    )


def test_containers_repr_and_names() -> None:
    ours, theirs = _model(fg), _model(torch)
    assert repr(ours) == repr(theirs).replace("torch.float32", "fusegrad.float32").replace(
        "torch.FloatTensor", "fusegrad.float32"
    )
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for method in ("named_parameters", "named_buffers", "named_modules", "named_children"):
        assert [n for n, _ in getattr(ours, method)()] == [n for n, _ in getattr(theirs, method)()]


def test_hook_order_and_values() -> None:
    """Forward, pre-forward and full backward hooks run in the same order with the same values."""

    def run(library: Any) -> list[Any]:
        log: list[Any] = []
        linear = library.nn.Linear(2, 2)
        with library.no_grad():
            linear.weight.copy_(library.tensor([[1.0, 2.0], [3.0, 4.0]]))
            linear.bias.zero_()
        linear.register_forward_pre_hook(lambda m, a: log.append("pre") or (a[0] * 2,))
        linear.register_forward_hook(lambda m, a, out: log.append("post") or out + 1)
        linear.register_full_backward_pre_hook(lambda m, g: log.append(g[0].tolist()))
        linear.register_full_backward_hook(
            lambda m, gi, go: log.append((gi[0].tolist(), go[0].tolist()))
        )
        x = library.tensor([[1.0, -1.0]], requires_grad=True)
        out = linear(x)
        log.append(out.tolist())
        out.sum().backward()
        log.append(x.grad.tolist())
        return log

    assert run(fg) == run(torch)


def test_load_state_dict_messages() -> None:
    for library in (fg, torch):
        model = library.nn.Linear(3, 2)
        with pytest.raises(RuntimeError) as error:
            model.load_state_dict({"weight": library.zeros(2, 2), "extra": library.zeros(1)})
        text = str(error.value)
        assert "Error(s) in loading state_dict for Linear" in text
        assert 'Missing key(s) in state_dict: "bias"' in text
        assert 'Unexpected key(s) in state_dict: "extra"' in text
        assert "size mismatch for weight" in text
        result = model.load_state_dict({"bias": library.zeros(2)}, strict=False)
        assert result.missing_keys == ["weight"]
        assert str(model.load_state_dict(model.state_dict())) == "<All keys matched successfully>"


def test_init_statistics_and_gains() -> None:
    for name, param in [
        ("linear", None),
        ("conv2d", None),
        ("sigmoid", None),
        ("tanh", None),
        ("relu", None),
        ("leaky_relu", None),
        ("leaky_relu", 0.3),
        ("selu", None),
    ]:
        assert fg.nn.init.calculate_gain(name, param) == pytest.approx(
            torch.nn.init.calculate_gain(name, param)
        )
    for name, kwargs in [
        ("xavier_uniform_", {"gain": 2.0}),
        ("xavier_normal_", {}),
        ("kaiming_uniform_", {"a": 0.1}),
        ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "relu"}),
        ("uniform_", {"a": -2.0, "b": 3.0}),
        ("normal_", {"mean": 1.0}),
        ("trunc_normal_", {"std": 2.0, "a": -1.0, "b": 3.0}),
    ]:
        fg.manual_seed(0)
        torch.manual_seed(0)
        a, b = fg.empty(200, 300), torch.empty(200, 300)
        assert getattr(fg.nn.init, name)(a, **kwargs) is a
        getattr(torch.nn.init, name)(b, **kwargs)
        assert float(a.mean()) == pytest.approx(float(b.mean()), abs=0.02)
        assert float(a.std()) == pytest.approx(float(b.std()), rel=0.02)
        assert float(a.max()) == pytest.approx(float(b.max()), rel=0.3)
    q = fg.nn.init.orthogonal_(fg.empty(4, 6))
    np.testing.assert_allclose((q @ q.T).numpy(), np.eye(4), atol=1e-6)


@pytest.mark.parametrize("norm_type", [2.0, 1.0, float("inf"), 3.0])
@pytest.mark.parametrize("max_norm", [0.1, 100.0])
def test_clip_grad_norm(compare: Any, norm_type: float, max_norm: float) -> None:
    shapes = [(3, 4), (5,), ()]
    arrays = [compare.randn(*s) for s in shapes]
    ours = [fg.nn.Parameter(fg.tensor(a)) for a in arrays]
    theirs = [torch.nn.Parameter(torch.from_numpy(a.copy())) for a in map(np.asarray, arrays)]
    for a, b in zip(ours, theirs):
        (a**2).sum().backward()
        (b**2).sum().backward()
    total = fg.nn.utils.clip_grad_norm_(ours, max_norm, norm_type)
    want = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    compare.close(total, want)
    for a, b in zip(ours, theirs):
        compare.close(a.grad, b.grad)
    fg.nn.utils.clip_grad_value_(ours, 0.01)
    torch.nn.utils.clip_grad_value_(theirs, 0.01)
    for a, b in zip(ours, theirs):
        compare.close(a.grad, b.grad)
    compare.close(
        fg.nn.utils.parameters_to_vector(ours), torch.nn.utils.parameters_to_vector(theirs)
    )


def test_dropout_statistics() -> None:
    fg.manual_seed(0)
    x = fg.ones(200, 500)
    out = fg.nn.Dropout(0.3)(x).numpy()
    assert set(np.unique(out)) == {0.0, np.float32(1 / 0.7)}
    assert out.mean() == pytest.approx(1.0, abs=0.01)
    assert (fg.nn.Dropout(1.0)(x) == 0).all()
    channels = fg.nn.Dropout2d(0.5)(fg.ones(20, 30, 2, 2)).numpy()
    assert set(np.unique(channels.sum((2, 3)))) == {0.0, 8.0}


def test_implicit_softmax_dimension_warns_like_torch() -> None:
    for library in (fg, torch):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            library.nn.Softmax()(library.zeros(2, 3))
        assert "Implicit dimension choice for softmax" in str(caught[0].message)
