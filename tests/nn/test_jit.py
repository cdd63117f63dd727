"""One jitted training step equals the eager one: every layer and loss, float32 and float64."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from slices import by_turns

import fusegrad as fg
from fusegrad import nn, optim

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
RTOL = {fg.float32: 2e-5, fg.float64: 1e-10}
ATOL = {fg.float32: 2e-6, fg.float64: 1e-12}

LAYERS: dict[str, tuple[Callable[[], Any], list[tuple[int, ...]]]] = {
    "linear": (lambda: nn.Linear(5, 3), [(4, 5)]),
    "linear_no_bias": (lambda: nn.Linear(5, 3, bias=False), [(2, 4, 5)]),
    "bilinear": (lambda: nn.Bilinear(3, 4, 2), [(5, 3), (5, 4)]),
    "mlp": (
        lambda: nn.Sequential(
            nn.Linear(5, 16), nn.GELU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 2)
        ),
        [(7, 5)],
    ),
    "layer_norm": (lambda: nn.Sequential(nn.Linear(5, 6), nn.LayerNorm(6)), [(4, 5)]),
    "rms_norm": (lambda: nn.Sequential(nn.Linear(5, 6), nn.RMSNorm(6)), [(4, 5)]),
    "flatten": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(6, 2), nn.Unflatten(1, (1, 2))),
        [(4, 2, 3)],
    ),
    "glu": (lambda: nn.Sequential(nn.Linear(5, 8), nn.GLU()), [(4, 5)]),
    "prelu": (lambda: nn.Sequential(nn.Linear(5, 4), nn.PReLU(4)), [(6, 5)]),
    "softmax": (lambda: nn.Sequential(nn.Linear(5, 4), nn.Softmax(1)), [(6, 5)]),
    "log_softmax": (lambda: nn.Sequential(nn.Linear(5, 4), nn.LogSoftmax(0)), [(6, 5)]),
    "softmin": (lambda: nn.Sequential(nn.Linear(5, 4), nn.Softmin(1)), [(6, 5)]),
    "cosine": (lambda: nn.CosineSimilarity(), [(4, 5), (4, 5)]),
    "distance": (lambda: nn.PairwiseDistance(), [(4, 5), (4, 5)]),
}
for _name in (
    "ReLU6",
    "LeakyReLU",
    "ELU",
    "SELU",
    "CELU",
    "SiLU",
    "Mish",
    "Sigmoid",
    "LogSigmoid",
    "Tanh",
    "Softplus",
    "Softsign",
    "Softshrink",
    "Hardshrink",
    "Hardtanh",
    "Hardsigmoid",
    "Hardswish",
    "Tanhshrink",
):
    LAYERS[_name] = (
        lambda name=_name: nn.Sequential(nn.Linear(5, 6), getattr(nn, name)()),
        [(4, 5)],
    )


def _train(
    build: Callable[[], Any],
    loss_of: Callable[..., Any],
    arrays: list[np.ndarray],
    dtype: Any,
    jit: bool,
    steps: int = 3,
) -> tuple[list[np.ndarray], list[np.ndarray], int]:
    """Losses, final parameters and the number of traces of a few steps."""
    fg.manual_seed(0)
    model = build().to(dtype)
    model.train()
    extra = nn.Parameter(fg.ones(1, dtype=dtype))  # models without parameters train this one
    optimizer = optim.SGD([*model.parameters(), extra], lr=0.05, momentum=0.9)
    inputs = [fg.tensor(a) if a.dtype.kind == "i" else fg.tensor(a).to(dtype) for a in arrays]

    def step(*inputs: Any) -> Any:
        optimizer.zero_grad()
        loss = loss_of(model, extra, *inputs)
        loss.backward()
        optimizer.step()
        return loss

    run = fg.jit(step) if jit else step
    losses = [run(*inputs).detach().numpy().copy() for _ in range(steps)]
    values = [p.detach().numpy().copy() for p in (*model.parameters(), extra)]
    return losses, values, len(run.history) if jit else 0


def _compare(
    monkeypatch: pytest.MonkeyPatch,
    build: Callable[[], Any],
    loss_of: Callable[..., Any],
    arrays: list[np.ndarray],
    dtype: Any,
) -> None:
    monkeypatch.setenv("FUSEGRAD_JIT", "0")
    losses, values, _ = _train(build, loss_of, arrays, dtype, jit=False)
    monkeypatch.setenv("FUSEGRAD_JIT", "1")
    fused_losses, fused_values, traces = _train(build, loss_of, arrays, dtype, jit=True)
    assert traces == 1
    for a, b in zip([*losses, *values], [*fused_losses, *fused_values]):
        np.testing.assert_allclose(b, a, rtol=RTOL[dtype], atol=ATOL[dtype])


@pytest.mark.parametrize(("name", "dtype"), by_turns(LAYERS, [fg.float32, fg.float64]))
def test_layer(monkeypatch: pytest.MonkeyPatch, name: str, dtype: Any) -> None:
    build, shapes = LAYERS[name]
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s) for s in shapes]

    def loss(model: Any, extra: Any, *inputs: Any) -> Any:
        out = model(*[x * extra for x in inputs])
        return (out * out).mean()

    _compare(monkeypatch, build, loss, arrays, dtype)


@pytest.mark.parametrize("dtype", [fg.float32, fg.float64], ids=["f32", "f64"])
@pytest.mark.parametrize(
    "kwargs", [{}, {"padding_idx": 2}, {"scale_grad_by_freq": True}, {"max_norm": 1.0}], ids=str
)
def test_embedding(monkeypatch: pytest.MonkeyPatch, kwargs: dict[str, Any], dtype: Any) -> None:
    index = np.array([[0, 2, 2, 5], [6, 0, 2, 1]])

    def loss(model: Any, extra: Any, index: Any) -> Any:
        return ((model(index) * extra) ** 2).mean()

    _compare(monkeypatch, lambda: nn.Embedding(7, 3, **kwargs), loss, [index], dtype)


@pytest.mark.parametrize("name", ["Dropout", "Dropout2d", "AlphaDropout", "RReLU"])
def test_random_layers_draw_the_same_numbers(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    x = np.random.default_rng(0).standard_normal((3, 4, 2, 5))

    def loss(model: Any, extra: Any, x: Any) -> Any:
        return (model(x * extra) ** 2).mean()

    _compare(monkeypatch, lambda: getattr(nn, name)(), loss, [x], fg.float64)


def _signs(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.where(rng.random(n) < 0.5, -1.0, 1.0)


LOSSES: dict[str, tuple[Callable[[], Any], Callable[[np.random.Generator], list[np.ndarray]]]] = {
    "L1": (lambda: nn.L1Loss(), lambda r: [r.random((6, 4))]),
    "MSE": (lambda: nn.MSELoss(), lambda r: [r.random((6, 4))]),
    "MSE_sum": (lambda: nn.MSELoss(reduction="sum"), lambda r: [r.random((6, 4))]),
    "SmoothL1": (lambda: nn.SmoothL1Loss(beta=0.3), lambda r: [r.random((6, 4))]),
    "Huber": (lambda: nn.HuberLoss(), lambda r: [r.random((6, 4))]),
    "CE": (lambda: nn.CrossEntropyLoss(), lambda r: [r.integers(0, 4, 6)]),
    "CE_ignore": (lambda: nn.CrossEntropyLoss(ignore_index=2), lambda r: [r.integers(0, 4, 6)]),
    "CE_weight": (
        lambda: nn.CrossEntropyLoss(weight=fg.tensor([0.5, 1.0, 2.0, 0.1])),
        lambda r: [r.integers(0, 4, 6)],
    ),
    "CE_smooth": (
        lambda: nn.CrossEntropyLoss(label_smoothing=0.2),
        lambda r: [r.integers(0, 4, 6)],
    ),
    "CE_probabilities": (lambda: nn.CrossEntropyLoss(), lambda r: [r.dirichlet(np.ones(4), 6)]),
    "BCEWithLogits": (lambda: nn.BCEWithLogitsLoss(), lambda r: [r.random((6, 4))]),
    "BCEWithLogits_pos": (
        lambda: nn.BCEWithLogitsLoss(pos_weight=fg.tensor([1.0, 2.0, 3.0, 4.0])),
        lambda r: [r.random((6, 4))],
    ),
    "SoftMargin": (lambda: nn.SoftMarginLoss(), lambda r: [_signs(r, 24).reshape(6, 4)]),
    "HingeEmbedding": (lambda: nn.HingeEmbeddingLoss(), lambda r: [_signs(r, 24).reshape(6, 4)]),
    "PoissonNLL": (
        lambda: nn.PoissonNLLLoss(full=True),
        lambda r: [r.integers(0, 9, (6, 4)) + 0.0],
    ),
    "GaussianNLL": (lambda: nn.GaussianNLLLoss(), lambda r: [r.random((6, 4)), r.random((6, 4))]),
    "MarginRanking": (
        lambda: nn.MarginRankingLoss(0.1),
        lambda r: [r.random((6, 4)), _signs(r, 24).reshape(6, 4)],
    ),
    "CosineEmbedding": (
        lambda: nn.CosineEmbeddingLoss(),
        lambda r: [r.random((6, 4)), _signs(r, 6)],
    ),
    "TripletMargin": (
        lambda: nn.TripletMarginLoss(swap=True),
        lambda r: [r.random((6, 4)), r.random((6, 4))],
    ),
}


@pytest.mark.parametrize(("name", "dtype"), by_turns(LOSSES, [fg.float64, fg.float32]))
def test_loss(monkeypatch: pytest.MonkeyPatch, name: str, dtype: Any) -> None:
    make, targets = LOSSES[name]
    rng = np.random.default_rng(1)
    loss_fn = make().to(dtype)

    def loss(model: Any, extra: Any, x: Any, *targets: Any) -> Any:
        return loss_fn(model(x) * extra, *targets)

    arrays = [rng.standard_normal((6, 5)), *targets(rng)]
    _compare(monkeypatch, lambda: nn.Linear(5, 4), loss, arrays, dtype)


@pytest.mark.parametrize("dtype", [fg.float32, fg.float64], ids=["f32", "f64"])
def test_losses_of_probabilities(monkeypatch: pytest.MonkeyPatch, dtype: Any) -> None:
    rng = np.random.default_rng(1)
    bce, nll, kl = nn.BCELoss(), nn.NLLLoss(), nn.KLDivLoss(reduction="batchmean")

    def loss(model: Any, extra: Any, x: Any, y: Any, classes: Any, p: Any) -> Any:
        scores = model(x)
        logp = scores.log_softmax(-1)
        return bce(scores.sigmoid(), y) + nll(logp, classes) + kl(logp, p) * extra.sum()

    arrays = [
        rng.standard_normal((6, 5)),
        rng.random((6, 4)),
        rng.integers(0, 4, 6),
        rng.dirichlet(np.ones(4), 6),
    ]
    _compare(monkeypatch, lambda: nn.Linear(5, 4), loss, arrays, dtype)


@pytest.mark.parametrize("norm_type", [2.0, 1.0, float("inf")])
def test_clipping(monkeypatch: pytest.MonkeyPatch, norm_type: float) -> None:
    rng = np.random.default_rng(2)
    arrays = [rng.standard_normal((6, 5)), rng.standard_normal((6, 4))]
    monkeypatch.setenv("FUSEGRAD_JIT", "1")
    results = []
    for jit in (False, True):
        fg.manual_seed(0)
        model = nn.Linear(5, 4).double()
        optimizer = optim.Adam(model.parameters(), lr=0.1)

        def step(x: Any, y: Any, model: Any = model, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x), y)
            loss.backward()
            total = nn.utils.clip_grad_norm_(model.parameters(), 0.1, norm_type)
            nn.utils.clip_grad_value_(model.parameters(), 0.05)
            optimizer.step()
            return loss, total

        run = fg.jit(step) if jit else step
        for _ in range(3):
            loss, total = run(*[fg.tensor(a) for a in arrays])
        results.append(
            [loss.item(), total.item(), *(p.detach().numpy() for p in model.parameters())]
        )
    for a, b in zip(*results):
        np.testing.assert_allclose(b, a, rtol=1e-10)


def test_modes_and_replaced_parts_retrace() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.ReLU())

    @fg.jit
    def forward(x: Any) -> Any:
        return model(x)

    x = fg.ones(2, 4)
    forward(x)
    forward(x)
    assert len(forward.history) == 1
    model.eval()
    np.testing.assert_allclose(forward(x).detach().numpy(), model(x).detach().numpy(), rtol=1e-6)
    assert len(forward.history) == 2
    model[2] = nn.Tanh().eval()
    np.testing.assert_allclose(forward(x).detach().numpy(), model(x).detach().numpy(), rtol=1e-6)
    model[0].weight = nn.Parameter(fg.zeros(4, 4))
    np.testing.assert_allclose(forward(x).detach().numpy(), model(x).detach().numpy(), rtol=1e-6)
    seen = len(forward.history)
    forward(x)
    model.eval()
    forward(x)
    assert len(forward.history) == seen
    twin = copy.deepcopy(model)
    model.load_state_dict(twin.state_dict())
    forward(x)
    assert len(forward.history) == seen


def test_class_index_out_of_range_is_nan_under_jit() -> None:
    @fg.jit
    def loss(x: Any, y: Any) -> Any:
        return nn.functional.cross_entropy(x, y)

    assert loss(fg.zeros(2, 3), fg.tensor([0, 2])).item() == pytest.approx(np.log(3), rel=1e-6)
    assert np.isnan(loss(fg.zeros(2, 3), fg.tensor([0, 3])).item())


def test_buffers_assigned_in_forward_are_kept() -> None:
    class Running(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", fg.zeros(3))

        def forward(self, x: Any) -> Any:
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)
            return x - self.mean

    results = []
    for jit in (False, True):
        module = Running()
        run = fg.jit(lambda x, module=module: module(x)) if jit else module
        for k in range(3):
            out = run(fg.full((2, 3), float(k)))
        results.append((module.mean.tolist(), out.tolist()))
        assert not jit or len(run.history) == 1
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-6)
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-6)
