"""Losses that users write as modules: eager and jitted training give the same numbers."""

from __future__ import annotations

from typing import Any

import pytest

import fusegrad as fg
from fusegrad import nn, optim
from fusegrad.nn import functional as F


class MeanLoss(nn.Module):
    """The mean absolute deviation from the mean of the batch."""

    def forward(self, inputs: fg.Tensor, targets: fg.Tensor) -> Any:
        return fg.mean(abs(inputs - targets.mean()))


class WeightedMSE(nn.Module):
    """Squared errors weighted per column, weights kept as a buffer."""

    def __init__(self, weights: list[float]) -> None:
        super().__init__()
        self.register_buffer("weights", fg.tensor(weights))

    def forward(self, inputs: Any, targets: Any) -> Any:
        return (self.weights * (inputs - targets) ** 2).mean()


class LearnedWeights(nn.Module):
    """Two tasks weighted by learned uncertainties: the loss has parameters (Kendall 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.log_var = nn.Parameter(fg.zeros(2))

    def forward(self, inputs: Any, targets: Any) -> Any:
        losses = fg.stack([F.mse_loss(inputs, targets), F.l1_loss(inputs, targets)])
        return (losses * fg.exp(-self.log_var) + self.log_var).sum()


class WeightedCrossEntropy(nn.Module):
    def __init__(self, weight: list[float]) -> None:
        super().__init__()
        self.weight = fg.tensor(weight)

    def forward(self, inputs: Any, targets: Any) -> Any:
        log_p = F.log_softmax(inputs, dim=1)
        picked = log_p.gather(1, targets.unsqueeze(1)).squeeze(1)
        weight = self.weight[targets]
        return -(weight * picked).sum() / weight.sum()


class DiceLoss(nn.Module):
    def __init__(self, smooth: float = 1.0) -> None:
        super().__init__()
        self.smooth = smooth

    def forward(self, inputs: Any, targets: Any) -> Any:
        p = fg.sigmoid(inputs).view(-1)
        t = targets.reshape(-1)
        shared = (p * t).sum()
        return 1 - (2 * shared + self.smooth) / (p.sum() + t.sum() + self.smooth)


class ContrastiveLoss(nn.Module):
    def __init__(self, margin: float = 1.0) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, first: Any, second: Any, same: Any) -> Any:
        distance = F.pairwise_distance(first, second)
        far = fg.clamp(self.margin - distance, min=0.0)
        return (same * distance.pow(2) + (1 - same) * far.pow(2)).mean()


class InfoNCE(nn.Module):
    """Rows of two views that belong together against all others."""

    def forward(self, first: Any, second: Any) -> Any:
        a, b = F.normalize(first, dim=1), F.normalize(second, dim=1)
        return F.cross_entropy(a @ b.t() / 0.5, fg.arange(a.shape[0]))


class FocalLoss(nn.Module):
    def forward(self, inputs: Any, targets: Any) -> Any:
        ce = F.cross_entropy(inputs, targets, reduction="none")
        return ((1 - fg.exp(-ce)) ** 2 * ce).mean()


class LogCosh(nn.Module):
    def forward(self, inputs: Any, targets: Any) -> Any:
        d = inputs - targets
        return fg.mean(d + F.softplus(-2.0 * d) - 0.6931472)


class Quantile(nn.Module):
    def forward(self, inputs: Any, targets: Any) -> Any:
        d = targets - inputs
        return fg.max(0.9 * d, -0.1 * d).mean()


def _values() -> tuple[fg.Tensor, fg.Tensor]:
    fg.manual_seed(1)
    return fg.randn(16, 4), fg.randn(16, 3)


def _classes() -> tuple[fg.Tensor, fg.Tensor]:
    fg.manual_seed(1)
    return fg.randn(16, 4), fg.randint(0, 3, (16,))


def _masks() -> tuple[fg.Tensor, fg.Tensor]:
    x, y = _values()
    return x, (y > 0).float()


OWN = [
    (MeanLoss, (), _values),
    (WeightedMSE, ([1.0, 2.0, 0.5],), _values),
    (LearnedWeights, (), _values),
    (LogCosh, (), _values),
    (Quantile, (), _values),
    (DiceLoss, (), _masks),
    (WeightedCrossEntropy, ([0.2, 1.0, 3.0],), _classes),
    (FocalLoss, (), _classes),
]


def _train(kind: Any, args: Any, draw: Any, under_jit: bool) -> list[float]:
    x, y = draw()
    fg.manual_seed(0)
    model, loss_fn = nn.Linear(4, 3), kind(*args)
    optimizer = optim.Adam([*model.parameters(), *loss_fn.parameters()], lr=0.02)

    def step(x: fg.Tensor, y: fg.Tensor) -> Any:
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    step = fg.jit(step) if under_jit else step
    return [step(x, y).item() for _ in range(12)]


@pytest.mark.parametrize(("kind", "args", "draw"), OWN, ids=[kind.__name__ for kind, *_ in OWN])
def test_training_with_a_loss_of_ones_own(kind: Any, args: Any, draw: Any) -> None:
    eager, jitted = (_train(kind, args, draw, j) for j in (False, True))
    assert jitted == pytest.approx(eager, rel=2e-5)
    assert eager[-1] < eager[0]


def test_weighted_cross_entropy_is_the_built_in_one() -> None:
    x, y = _classes()
    weight = [0.2, 1.0, 3.0]
    own = WeightedCrossEntropy(weight)(x[:, :3], y)
    assert own.item() == pytest.approx(
        nn.CrossEntropyLoss(fg.tensor(weight))(x[:, :3], y).item(), rel=1e-6
    )


@pytest.mark.parametrize("kind", [ContrastiveLoss, InfoNCE])
def test_losses_of_pairs(kind: Any) -> None:
    """Two views through one model, so each parameter gets two contributions."""
    runs = []
    for under_jit in (False, True):
        fg.manual_seed(0)
        model, loss_fn = nn.Linear(4, 3), kind()
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        first, second = fg.randn(8, 4), fg.randn(8, 4)
        extra = [fg.tensor([1.0, 0.0] * 4)] if kind is ContrastiveLoss else []

        def step(a: fg.Tensor, b: fg.Tensor, *extra: Any) -> Any:
            optimizer.zero_grad()  # noqa: B023
            loss = loss_fn(model(a), model(b), *extra)  # noqa: B023
            loss.backward()
            optimizer.step()  # noqa: B023
            return loss

        step = fg.jit(step) if under_jit else step
        runs.append([step(first, second, *extra).item() for _ in range(10)])
    assert runs[1] == pytest.approx(runs[0], rel=2e-5) and runs[0][-1] < runs[0][0]


@pytest.mark.parametrize("form", ["saturating", "least squares", "wasserstein"])
def test_adversarial_losses(form: str) -> None:
    """Two networks with two optimizers in one step; the penalty needs second derivatives."""

    def run(under_jit: bool) -> list[list[float]]:
        fg.manual_seed(0)
        generator = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))
        critic = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
        g_step = optim.Adam(generator.parameters(), lr=1e-2)
        d_step = optim.Adam(critic.parameters(), lr=1e-2)
        bce = nn.BCEWithLogitsLoss()

        def judged(real: Any, fake: Any) -> Any:
            if form == "saturating":
                return bce(real, fg.ones_like(real)) + bce(fake, fg.zeros_like(fake))
            if form == "least squares":
                return ((real - 1) ** 2).mean() + (fake**2).mean()
            return fake.mean() - real.mean()

        def step(real: fg.Tensor, noise: fg.Tensor, mix: fg.Tensor) -> Any:
            fake = generator(noise)
            d_step.zero_grad()
            d_loss = judged(critic(real), critic(fake.detach()))
            if form == "wasserstein":
                between = (mix * real + (1 - mix) * fake.detach()).requires_grad_()
                (slope,) = fg.autograd.grad(critic(between).sum(), between, create_graph=True)
                d_loss = d_loss + 10 * ((slope.norm(2, dim=1) - 1) ** 2).mean()
            d_loss.backward()
            d_step.step()
            g_step.zero_grad()
            verdict = critic(fake)
            g_loss = {
                "saturating": lambda: bce(verdict, fg.ones_like(verdict)),
                "least squares": lambda: ((verdict - 1) ** 2).mean(),
                "wasserstein": lambda: -verdict.mean(),
            }[form]()
            g_loss.backward()
            g_step.step()
            return d_loss, g_loss

        step = fg.jit(step) if under_jit else step
        fg.manual_seed(1)
        batches = [(fg.randn(16, 2) + 2, fg.randn(16, 2), fg.rand(16, 1)) for _ in range(8)]
        return [[x.item() for x in step(*batch)] for batch in batches]

    for eager, jitted in zip(run(False), run(True)):
        assert jitted == pytest.approx(eager, rel=1e-4, abs=1e-5)
