"""Recurrent layers and CTC without PyTorch: against their formulas, in training, under jit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fusegrad as fg
import fusegrad.nn.functional as F
from fusegrad import nn, optim
from fusegrad.nn.utils import rnn
from fusegrad.testing import gradcheck

D = fg.float64


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_a_layer_is_its_cell_step_by_step(kind: str) -> None:
    layer, cell = getattr(nn, kind)(3, 4, dtype=D), getattr(nn, f"{kind}Cell")(3, 4, dtype=D)
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in layer.state_dict().items()})
    x = fg.randn(5, 2, 3, dtype=D)
    state: Any = None
    rows = []
    for t in range(5):
        state = cell(x[t], state)
        rows.append(state[0] if kind == "LSTM" else state)
    output, last = fg.jit(lambda x: layer(x))(x)
    np.testing.assert_allclose(output.detach().numpy(), fg.stack(rows).detach().numpy(), rtol=1e-12)
    end = last[0] if kind == "LSTM" else last
    np.testing.assert_allclose(end[0].detach().numpy(), rows[-1].detach().numpy(), rtol=1e-12)


def test_an_lstm_cell_is_its_formula() -> None:
    cell = nn.LSTMCell(2, 3, dtype=D)
    x, h, c = (np.random.default_rng(0).normal(size=s) for s in ((4, 2), (4, 3), (4, 3)))
    w, u, b, d = (p.detach().numpy() for p in cell.parameters())
    i, f, g, o = np.split(x @ w.T + b + h @ u.T + d, 4, axis=1)

    def sigmoid(v: Any) -> Any:
        return 1 / (1 + np.exp(-v))

    new = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    found, state = cell(fg.tensor(x), (fg.tensor(h), fg.tensor(c)))
    np.testing.assert_allclose(state.detach().numpy(), new, rtol=1e-12)
    np.testing.assert_allclose(found.detach().numpy(), sigmoid(o) * np.tanh(new), rtol=1e-12)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_gradients_are_central_differences(kind: str) -> None:
    layer = getattr(nn, kind)(2, 3, num_layers=2, bidirectional=True, dtype=D)
    x = fg.randn(3, 2, 2, dtype=D).requires_grad_()
    assert gradcheck(fg.jit(lambda x: layer(x)[0]), x)
    assert gradcheck(lambda x, *p: layer(x)[0], (x,))


def test_padding_does_not_reach_the_results_of_packed_sequences() -> None:
    layer = nn.GRU(2, 3, bidirectional=True, dtype=D)
    rows = [fg.randn(n, 2, dtype=D) for n in (2, 5, 3)]

    def run(*rows: Any) -> Any:
        output, last = layer(rnn.pack_sequence(rows, enforce_sorted=False))
        return rnn.pad_packed_sequence(output)[0], last

    for output, last in (run(*rows), fg.jit(run)(*rows)):
        for k, row in enumerate(rows):
            alone, end = layer(row)
            np.testing.assert_allclose(
                output[: row.shape[0], k].detach().numpy(), alone.detach().numpy(), rtol=1e-12
            )
            np.testing.assert_allclose(
                last[:, k].detach().numpy(), end.detach().numpy(), rtol=1e-12
            )
            assert not output[row.shape[0] :, k].detach().numpy().any()


def test_an_lstm_learns_and_compiles_once() -> None:
    fg.manual_seed(0)

    class Adder(nn.Module):
        """The sum of a sequence, from its last output."""

        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(1, 16, batch_first=True)
            self.head = nn.Linear(16, 1)

        def forward(self, x: Any) -> Any:
            return self.head(self.lstm(x)[0][:, -1])

    model = Adder()
    optimizer = optim.Adam(model.parameters(), lr=0.02)

    @fg.jit
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    losses = []
    for _ in range(150):
        x = fg.rand(32, 6, 1)
        losses.append(step(x, x.sum(1)).item())
    assert losses[-1] < 0.05 * losses[0]
    assert len(step.history) == 1


def test_training_mode_of_dropout_between_layers() -> None:
    layer = nn.RNN(3, 4, num_layers=2, dropout=0.5)
    x = fg.randn(5, 2, 3)
    run = fg.jit(lambda x: layer(x)[0])
    assert not np.array_equal(run(x).detach().numpy(), run(x).detach().numpy())
    layer.eval()
    np.testing.assert_array_equal(run(x).detach().numpy(), run(x).detach().numpy())


def test_state_dict_round_trip_and_flat_weights() -> None:
    a, b = (nn.LSTM(3, 4, num_layers=2, proj_size=2, bidirectional=True) for _ in range(2))
    b.load_state_dict(a.state_dict())
    x = fg.randn(5, 2, 3)
    np.testing.assert_array_equal(a(x)[0].detach().numpy(), b(x)[0].detach().numpy())
    assert [len(w) for w in a.all_weights] == [5] * 4
    assert a.flatten_parameters() is None


def test_weights_changed_before_an_eager_backward_pass_are_noticed() -> None:
    layer = nn.GRU(3, 4)
    x = fg.randn(5, 2, 3)
    loss = layer(x)[0].sum()
    with fg.no_grad():
        layer.weight_hh_l0.mul_(2)
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


def test_results_have_memory_of_their_own() -> None:
    state = fg.zeros(2, 3)
    output, _ = fg.scan(lambda c, x: (c, x), state, fg.ones(0, 2, 3))
    output.add_(1)
    assert not state.numpy().any()


def test_ctc_is_the_sum_over_alignments() -> None:
    """Two labels in four steps, every alignment written out."""
    rng = np.random.default_rng(0)
    log_probs = fg.tensor(rng.normal(size=(4, 1, 3))).log_softmax(2)
    p = np.exp(log_probs.numpy()[:, 0])

    def collapsed(path: tuple[int, ...]) -> list[int]:
        merged = [c for k, c in enumerate(path) if k == 0 or path[k - 1] != c]
        return [c for c in merged if c]

    for labels in ([1, 2], [1, 1], [2], []):
        total = sum(
            np.prod(p[np.arange(4), list(path)])
            for path in np.ndindex(3, 3, 3, 3)
            if collapsed(path) == labels
        )
        target = fg.tensor([labels or [0]], dtype=fg.int64)
        loss = F.ctc_loss(log_probs, target, [4], [len(labels)], reduction="sum")
        assert loss.item() == pytest.approx(-np.log(total))


def test_ctc_trains_a_network_to_read() -> None:
    fg.manual_seed(0)
    model = nn.GRU(4, 8, batch_first=False)
    head = nn.Linear(8, 4)
    optimizer = optim.Adam([*model.parameters(), *head.parameters()], lr=0.03)
    x, labels = fg.randn(10, 3, 4), fg.tensor([[1, 2, 3], [3, 3, 1], [2, 1, 2]])

    @fg.jit
    def step(x: Any) -> Any:
        optimizer.zero_grad()
        scores = head(model(x)[0]).log_softmax(2)
        loss = F.ctc_loss(scores, labels, (10, 10, 10), (3, 3, 2))
        loss.backward()
        optimizer.step()
        return loss

    losses = [step(x).item() for _ in range(120)]
    assert losses[-1] < 0.1 * losses[0]
