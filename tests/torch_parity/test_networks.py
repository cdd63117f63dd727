"""Recurrent networks, bags and grouped products as functions, against PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fusegrad as fg

torch: Any = pytest.importorskip("torch")
RNG = np.random.default_rng(0)
T, N, FEATURES, HIDDEN, LAYERS = 3, 2, 4, 3, 2
KINDS = {"rnn_tanh": 1, "rnn_relu": 1, "gru": 3, "lstm": 4}


def _operands(kind: str, biases: bool, directions: int, projected: bool) -> tuple[Any, Any, Any]:
    rows, out = KINDS[kind] * HIDDEN, 2 if projected else HIDDEN
    params = []
    for layer in range(LAYERS):
        for _ in range(directions):
            below = out * directions if layer else FEATURES
            params += [RNG.normal(size=(rows, below)), RNG.normal(size=(rows, out))]
            params += [RNG.normal(size=rows), RNG.normal(size=rows)] if biases else []
            params += [RNG.normal(size=(out, HIDDEN))] if projected else []
    states = [RNG.normal(size=(LAYERS * directions, N, out))]
    if kind == "lstm":
        states.append(RNG.normal(size=(LAYERS * directions, N, HIDDEN)))
    return RNG.normal(size=(T, N, FEATURES)), states, params


def _run(lib: Any, kind: str, x: Any, states: Any, params: Any, *options: Any) -> Any:
    leaves = [lib.from_numpy(a.copy()).requires_grad_() for a in (x, *states, *params)]
    data, hx, rest = leaves[0], leaves[1 : 1 + len(states)], leaves[1 + len(states) :]
    outputs = getattr(lib, kind)(data, hx if len(hx) > 1 else hx[0], rest, *options)
    sum((o * o).sum() for o in outputs).backward()
    return [t.detach().numpy() for t in (*outputs, *(leaf.grad for leaf in leaves))]


def _same(found: Any, wanted: Any) -> None:
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == b.dtype and np.allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "biases", "both", "projected", "first"),
    [
        ("rnn_tanh", True, False, False, False),
        ("rnn_relu", False, True, False, True),
        ("gru", True, True, False, False),
        ("lstm", True, False, False, True),
        ("lstm", False, True, True, False),
    ],
)
def test_networks(kind: str, biases: bool, both: bool, projected: bool, first: bool) -> None:
    x, states, params = _operands(kind, biases, 1 + both, projected)
    x = x.transpose(1, 0, 2) if first else x
    options = (biases, LAYERS, 0.0, True, both, first)
    _same(*(_run(lib, kind, x, states, params, *options) for lib in (fg, torch)))


def test_packed_network() -> None:
    x, states, params = _operands("lstm", True, 1, False)
    found = []
    for lib in (fg, torch):
        data = lib.from_numpy(x.reshape(-1, FEATURES)[:5].copy())
        hx, weights = ([lib.from_numpy(a) for a in arrays] for arrays in (states, params))
        sizes = lib.tensor([2, 2, 1])
        out = lib.lstm(data, sizes, hx, weights, True, LAYERS, 0.0, False, False)
        found.append([t.numpy() for t in out])
    _same(*found)


def test_network_arguments() -> None:
    x, states, params = _operands("gru", True, 1, False)
    tensors = [fg.from_numpy(a) for a in params]
    call = (fg.from_numpy(x), fg.from_numpy(states[0]))
    with pytest.raises(RuntimeError, match="4 weights each"):
        fg.gru(*call, tensors[:-1], True, LAYERS, 0.0, False, False, False)
    with pytest.raises(RuntimeError, match="Expected 1 of shape"):
        fg.gru(*call, tensors, True, 1, 0.0, False, False, False)
    with pytest.raises(TypeError, match="It takes input, hx"):
        fg.gru(*call, tensors, True)
    dropped = fg.gru(*call, tensors, True, LAYERS, 1.0, True, False, False)[0]
    kept = fg.gru(*call, tensors, True, LAYERS, 1.0, False, False, False)[0]
    assert not np.allclose(dropped.numpy(), kept.numpy())


@pytest.mark.parametrize("mode", [0, 1, 2])
@pytest.mark.parametrize("padding", [None, 3])
def test_embedding_bag(mode: int, padding: int | None) -> None:
    table, indices, offsets = RNG.normal(size=(4, 3)), [0, 1, 2, 3, 3], [0, 2, 2]
    found = []
    for lib in (fg, torch):
        weight = lib.from_numpy(table.copy()).requires_grad_()
        out = lib.embedding_bag(
            weight,
            lib.tensor(indices),
            lib.tensor(offsets),
            False,
            mode,
            False,
            None,
            False,
            padding,
        )
        (out[0] * out[0]).sum().backward()
        parts = out if mode == 2 else out[:1] if mode == 0 else out[:3]
        found.append([t.detach().numpy() for t in (*parts, weight.grad)])
    _same(*found)
    with pytest.raises(RuntimeError, match="0 sum, 1 mean or 2 max"):
        fg.embedding_bag(fg.ones(2, 2), fg.tensor([0]), fg.tensor([0]), mode=3)


def test_embedding_renorm() -> None:
    table = RNG.normal(size=(4, 3))
    ours, theirs = fg.from_numpy(table.copy()), torch.from_numpy(table.copy())
    assert fg.embedding_renorm_(ours, fg.tensor([1, 1, 3]), 0.5, 2.0) is ours
    torch.embedding_renorm_(theirs, torch.tensor([1, 1, 3]), 0.5, 2.0)
    assert np.allclose(ours.numpy(), theirs.numpy(), rtol=1e-12)


@pytest.mark.parametrize(
    ("a", "b", "ends"),
    [
        ((8, 16), (3, 16, 8), [3, 3, 8]),
        ((3, 4, 16), (16, 8), [1, 6, 8]),
        ((4, 16), (16, 8), [5, 16]),
        ((2, 4, 16), (2, 16, 8), None),
    ],
)
def test_grouped_mm(a: Any, b: Any, ends: Any) -> None:
    """Extents are multiples of 16 bytes because PyTorch's function wants them so."""
    arrays = [RNG.normal(size=shape).astype(np.float32) for shape in (a, b)]

    def product(lib: Any, *operands: Any) -> Any:
        offs = None if ends is None else lib.tensor(ends, dtype=lib.int32)
        return lib.nn.functional.grouped_mm(*operands, offs=offs)

    wanted = product(torch, *(torch.from_numpy(x) for x in arrays)).numpy()
    ours = [fg.from_numpy(x.copy()).requires_grad_() for x in arrays]
    out = product(fg, *ours)
    assert np.allclose(out.detach().numpy(), wanted, rtol=1e-5, atol=1e-5)
    weights = fg.from_numpy(RNG.normal(size=out.shape).astype(np.float32))
    (out * weights).sum().backward()
    for x, leaf in zip(arrays, ours, strict=True):  # linear in each operand
        assert np.isclose((x * leaf.grad.numpy()).sum(), (out * weights).sum().item(), rtol=1e-4)


def test_grouped_mm_compiles_and_keeps_groups_apart() -> None:
    """Rows of one group never meet another group's numbers, nan included."""
    a, ends = fg.ones(4, 2), fg.tensor([1, 3], dtype=fg.int32)
    b = fg.stack([fg.full((2, 2), float("nan")), fg.ones(2, 2)])
    function = fg.nn.functional.grouped_mm
    out = fg.jit(lambda a, b, ends: function(a, b, offs=ends))(a, b, ends)
    assert np.isnan(out[0].numpy()).all() and out[1:].tolist() == [
        [2.0, 2.0],
        [2.0, 2.0],
        [0.0, 0.0],
    ]


@pytest.mark.parametrize(
    ("shapes", "options", "text"),
    [
        (((2,), (2, 2)), {}, "2d or 3d"),
        (((2, 2), (2, 2)), {}, "Offsets are needed"),
        (((1, 2, 2), (1, 2, 2)), {"bias": fg.ones(2)}, "Bias not supported"),
        (((1, 2, 2), (1, 3, 2)), {}, "contraction dimension"),
        (((1, 2, 2), (2, 2, 2)), {}, "batch sizes"),
        (((1, 2, 2), (1, 2, 2)), {"out_dtype": fg.float64}, "output dtype"),
        (((2, 2), (1, 2, 2)), {"offs": fg.tensor([2])}, "int32"),
    ],
)
def test_grouped_mm_refuses(shapes: Any, options: Any, text: str) -> None:
    with pytest.raises(RuntimeError, match=text):
        fg.nn.functional.grouped_mm(*(fg.ones(shape) for shape in shapes), **options)
