"""RNN, LSTM, GRU, their cells and packed sequences against PyTorch, in float64."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import fusegrad as fg
from fusegrad import nn
from fusegrad.nn.utils import rnn

torch = pytest.importorskip("torch")
trnn = torch.nn.utils.rnn

INPUTS, HIDDEN, STEPS, BATCH = 3, 5, 6, 4
OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu", "bias": False}),
    ("RNN", {"num_layers": 2, "bidirectional": True, "batch_first": True}),
    ("GRU", {}),
    ("GRU", {"num_layers": 3, "bias": False}),
    ("GRU", {"bidirectional": True, "batch_first": True}),
    ("LSTM", {}),
    ("LSTM", {"num_layers": 2, "batch_first": True}),
    ("LSTM", {"num_layers": 2, "bidirectional": True, "bias": False}),
    ("LSTM", {"proj_size": 2, "num_layers": 2, "bidirectional": True}),
]
IDS = [f"{kind}-{'-'.join(o) or 'plain'}" for kind, o in OPTIONS]


def pair(kind: str, **options: Any) -> tuple[Any, Any]:
    """The module of both libraries with the same parameters."""
    theirs = getattr(torch.nn, kind)(INPUTS, HIDDEN, dtype=torch.float64, **options)
    ours = getattr(nn, kind)(INPUTS, HIDDEN, dtype=fg.float64, **options)
    ours.load_state_dict(
        {k: fg.from_numpy(v.numpy().copy()) for k, v in theirs.state_dict().items()}
    )
    return ours, theirs


def states(kind: str, options: dict[str, Any], rng: Any, batch: tuple[int, ...]) -> list[Any]:
    count = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    widths = [options.get("proj_size") or HIDDEN, HIDDEN][: 2 if kind == "LSTM" else 1]
    return [rng.normal(size=(count, *batch, w)) for w in widths]


def given(kind: str, hx: list[Any]) -> Any:
    return None if not hx else tuple(hx) if kind == "LSTM" else hx[0]


def flat(kind: str, result: Any) -> list[Any]:
    output, last = result
    data = output.data if isinstance(output, tuple) else output
    return [data, *(last if kind == "LSTM" else [last])]


def close(ours: Any, theirs: Any) -> None:
    for a, b in zip(ours, theirs, strict=True):
        assert tuple(a.shape) == tuple(b.shape)
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-9, atol=1e-11)


def compare(
    kind: str, ours: Any, theirs: Any, x: Any, hx: list[Any], pack: Any = None, jit: bool = True
) -> None:
    """Outputs, last states and all gradients, eager and, if ``jit``, compiled."""
    tx = torch.tensor(x, requires_grad=True)
    th = [torch.tensor(h, requires_grad=True) for h in hx]
    expected = flat(kind, theirs(tx if pack is None else pack(trnn, tx), given(kind, th)))
    rng = np.random.default_rng(1)
    weights = [rng.normal(size=tuple(e.shape)) for e in expected]
    total = sum((e * torch.tensor(w)).sum() for e, w in zip(expected, weights, strict=True))
    expected += torch.autograd.grad(total, [tx, *theirs.parameters(), *th])
    fx = fg.tensor(x, requires_grad=True)
    fh = [fg.tensor(h, requires_grad=True) for h in hx]

    def run(x: Any, *h: Any) -> list[Any]:
        found = flat(kind, ours(x if pack is None else pack(rnn, x), given(kind, list(h))))
        total = sum((f * fg.from_numpy(w)).sum() for f, w in zip(found, weights, strict=True))
        return [*found, *fg.autograd.grad(total, [x, *ours.parameters(), *h])]

    close(run(fx, *fh), expected)
    compiled = fg.jit(run)
    for _ in range(2 if jit else 0):
        close(compiled(fx, *fh), expected)


@pytest.mark.parametrize(("kind", "options"), OPTIONS, ids=IDS)
def test_layers(kind: str, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    ours, theirs = pair(kind, **options)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    first = options.get("batch_first")
    x = rng.normal(size=(BATCH, STEPS, INPUTS) if first else (STEPS, BATCH, INPUTS))
    compare(kind, ours, theirs, x, [])
    compare(kind, ours, theirs, x, states(kind, options, rng, (BATCH,)))


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_unbatched_input(kind: str) -> None:
    rng = np.random.default_rng(0)
    options = {"num_layers": 2, "bidirectional": True}
    ours, theirs = pair(kind, **options)
    x = rng.normal(size=(STEPS, INPUTS))
    compare(kind, ours, theirs, x, [], jit=False)
    compare(kind, ours, theirs, x, states(kind, options, rng, ()))


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("ordered", [True, False])
def test_packed_sequences(kind: str, ordered: bool) -> None:
    rng = np.random.default_rng(0)
    options = {"num_layers": 2, "bidirectional": True}
    ours, theirs = pair(kind, **options)
    x = rng.normal(size=(STEPS, BATCH, INPUTS))
    lengths = [6, 4, 4, 1] if ordered else [4, 1, 6, 4]

    def pack(library: Any, x: Any) -> Any:
        return library.pack_padded_sequence(x, lengths, enforce_sorted=ordered)

    compare(kind, ours, theirs, x, [], pack, jit=False)
    compare(kind, ours, theirs, x, states(kind, options, rng, (BATCH,)), pack)


def test_packing_and_padding() -> None:
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=(n, 2)) for n in (3, 5, 1)]
    ours, theirs = [fg.tensor(r) for r in rows], [torch.tensor(r) for r in rows]
    for first in (False, True):
        for side in ("right", "left"):
            close(
                [rnn.pad_sequence(ours, first, -1.0, side)],
                [trnn.pad_sequence(theirs, first, -1.0, side)],
            )
        a = rnn.pack_padded_sequence(
            rnn.pad_sequence(ours, first), fg.tensor([3, 5, 1]), first, enforce_sorted=False
        )
        b = trnn.pack_padded_sequence(
            trnn.pad_sequence(theirs, first), torch.tensor([3, 5, 1]), first, enforce_sorted=False
        )
        close(a, b)
        close(rnn.pad_packed_sequence(a, first, 7.0, 6), trnn.pad_packed_sequence(b, first, 7.0, 6))
        padded = rnn.pad_sequence(ours, first)
        close(rnn.unpad_sequence(padded, [3, 5, 1], first), theirs)
    close(rnn.pack_sequence(ours, False), trnn.pack_sequence(theirs, False))
    close(rnn.unpack_sequence(rnn.pack_sequence(ours, False)), theirs)


@pytest.mark.parametrize("kind", ["RNNCell", "GRUCell", "LSTMCell"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch", [(4,), ()])
def test_cells(kind: str, bias: bool, batch: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    ours, theirs = pair(kind, bias=bias)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x = rng.normal(size=(*batch, INPUTS))
    count = 2 if kind == "LSTMCell" else 1
    for hx in ([], [rng.normal(size=(*batch, HIDDEN)) for _ in range(count)]):
        th = [torch.tensor(h) for h in hx]
        expected = theirs(
            torch.tensor(x), tuple(th) if count == 2 and th else th[0] if th else None
        )
        fh = [fg.tensor(h) for h in hx]
        state = tuple(fh) if count == 2 and fh else fh[0] if fh else None
        found = ours(fg.tensor(x), state)
        compiled = fg.jit(lambda x, state=state: ours(x, state))(fg.tensor(x))
        for result in (found, compiled):
            close(result if count == 2 else [result], expected if count == 2 else [expected])


def test_relu_cell_and_its_repr() -> None:
    ours, theirs = pair("RNNCell", nonlinearity="relu")
    assert repr(ours) == repr(theirs)
    x = np.random.default_rng(0).normal(size=(4, INPUTS))
    close([ours(fg.tensor(x))], [theirs(torch.tensor(x))])


def test_initial_values_have_the_same_range() -> None:
    module = nn.LSTM(50, 100, num_layers=2)
    for p in module.parameters():
        values = p.detach().numpy()
        assert abs(values).max() <= 0.1
        if values.ndim == 2:
            assert abs(values.std() - 0.1 / 3**0.5) < 0.003


ERRORS = [
    ("RNN", lambda m, z: m(z(2, 3, 4, 5))),
    ("LSTM", lambda m, z: m(z(6, 4, 7))),
    ("GRU", lambda m, z: m(z(6, 4, 3), z(2, 4, 5))),
    ("GRU", lambda m, z: m(z(6, 4, 3), z(4, 5))),
    ("GRU", lambda m, z: m(z(6, 3), z(1, 4, 5))),
    ("LSTM", lambda m, z: m(z(6, 4, 3), (z(1, 4, 5), z(1, 4, 6)))),
    ("RNN", lambda m, z: m(z(0, 4, 3))),
    ("LSTM", lambda m, z: m(z(6, 4, 3).double())),
    ("GRUCell", lambda m, z: m(z(4, 7))),
    ("LSTMCell", lambda m, z: m(z(4, 2, 3))),
    ("RNNCell", lambda m, z: m(z(4, 3), z(3, 5))),
]


@pytest.mark.parametrize(
    ("kind", "call"), ERRORS, ids=[f"{k}-{i}" for i, (k, _) in enumerate(ERRORS)]
)
def test_bad_input_raises_a_class_of_pytorch(kind: str, call: Any) -> None:
    with pytest.raises((RuntimeError, ValueError)) as theirs:
        call(getattr(torch.nn, kind)(3, 5), torch.zeros)
    family = ValueError if theirs.type is ValueError else RuntimeError
    with pytest.raises(family, match="Try"):
        call(getattr(nn, kind)(3, 5), fg.zeros)


@pytest.mark.parametrize(
    "options",
    [
        {"dropout": 1.5},
        {"dropout": "x"},
        {"hidden_size": 0},
        {"num_layers": 0},
        {"hidden_size": 2.5},
        {"proj_size": 7},
        {"proj_size": -1},
    ],
    ids=str,
)
def test_bad_options_raise_the_same(options: dict[str, Any]) -> None:
    for library in (torch.nn, nn):
        with pytest.raises((ValueError, TypeError)):
            library.LSTM(**{"input_size": 3, "hidden_size": 5, **options})
    with pytest.raises(ValueError, match="nonlinearity"):
        nn.RNN(3, 5, nonlinearity="sine")


def test_bad_packing_raises() -> None:
    x = fg.zeros(3, 2, 1)
    for lengths in ([2, 3], [3, 0], [4, 1], [3]):
        with pytest.raises(RuntimeError):
            rnn.pack_padded_sequence(x, lengths)
        if lengths == [4, 1]:
            continue  # PyTorch reads what lies behind the third step
        with pytest.raises(RuntimeError):
            trnn.pack_padded_sequence(torch.zeros(3, 2, 1), lengths)
    packed = rnn.pack_padded_sequence(x, [3, 1])
    with pytest.raises(ValueError, match="total_length"):
        rnn.pad_packed_sequence(packed, total_length=2)
    with pytest.raises(RuntimeError, match="list or tuple"):
        fg.jit(lambda x, n: rnn.pack_padded_sequence(x, n).data)(x, fg.tensor([3, 1]))


def test_dropout_between_layers() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        nn.GRU(3, 5, dropout=0.5)
    assert any("num_layers greater than 1" in str(w.message) for w in caught)
    module = nn.GRU(3, 5, num_layers=2, dropout=1.0)
    x = fg.randn(4, 2, 3)
    module.weight_ih_l1.data.fill_(1.0)
    dropped = module(x)[0].detach().numpy()
    other = module(x * 2)[0].detach().numpy()
    np.testing.assert_array_equal(dropped, other)  # the second layer sees zeros only
    module.eval()
    assert not np.array_equal(module(x)[0].detach().numpy(), module(x * 2)[0].detach().numpy())
