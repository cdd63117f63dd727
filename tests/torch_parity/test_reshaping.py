"""Padding, folding, shuffling and resizing equal PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import fusegrad as fg

F, TF = fg.nn.functional, torch.nn.functional

PADS = [
    ("constant", (2, 1), (2, 3, 5), 1.5),
    ("constant", (2, 1, 0, 3), (3, 5), None),
    ("constant", (-1, 2, 1, -2), (2, 3, 5, 6), 0.5),
    ("reflect", (2, 1), (3, 5), None),
    ("reflect", (4, 0), (2, 3, 5), None),
    ("reflect", (2, 1, 3, 2), (2, 3, 5, 4), None),
    ("reflect", (1, 1, 0, 2, 2, 1), (2, 3, 3, 4), None),
    ("replicate", (3, 0), (2, 3, 5), None),
    ("replicate", (3, 7, 1, 2), (2, 3, 5, 4), None),
    ("replicate", (1, 1, 2, 0, 1, 3), (1, 2, 3, 4, 2), None),
    ("circular", (3, 5), (2, 3, 5), None),
    ("circular", (1, 4, 2, 0), (2, 3, 5, 4), None),
    ("circular", (1, 1, 2, 0, 1, 3), (1, 2, 3, 4, 2), None),
    ("circular", (-1, 2), (2, 3, 5), None),
    ("replicate", (-1, 2), (2, 3, 5), None),
    ("reflect", (2, -1), (2, 3, 5), None),
]


@pytest.mark.parametrize(("mode", "amounts", "shape", "value"), PADS, ids=str)
def test_pad(compare: Any, mode: str, amounts: Any, shape: Any, value: Any) -> None:
    compare.check(
        lambda x: F.pad(x, amounts, mode, value),
        lambda x: TF.pad(x, amounts, mode, value),
        compare.randn(*shape),
    )


@pytest.mark.parametrize(
    ("amounts", "shape", "mode"),
    [
        ((5, 0), (2, 3, 5), "reflect"),
        ((6, 0), (2, 3, 5), "circular"),
        ((1, 1, 1), (2, 3, 5), "constant"),
        ((1, 1), (2, 3, 5, 5, 5), "reflect"),
        ((1, 1, 1, 1), (2, 3), "constant2"),
        ((1, 1), (5,), "replicate"),
    ],
)
def test_pad_errors(amounts: Any, shape: Any, mode: str) -> None:
    with pytest.raises((RuntimeError, ValueError, NotImplementedError)):
        TF.pad(torch.zeros(shape), amounts, mode)
    with pytest.raises((RuntimeError, ValueError)):
        F.pad(fg.zeros(*shape), amounts, mode)


MODULES = [
    ("ConstantPad1d", (2, 3.5), {}, (2, 3, 4)),
    ("ConstantPad2d", ((1, 2, 0, 1), 3.5), {}, (2, 3, 4)),
    ("ConstantPad3d", (1, 0.5), {}, (2, 3, 4, 2)),
    ("ZeroPad1d", (1,), {}, (2, 3, 4)),
    ("ZeroPad2d", (1,), {}, (2, 3, 4)),
    ("ZeroPad3d", ((1, 0, 1, 0, 2, 2),), {}, (2, 3, 4, 2)),
    ("ReflectionPad1d", (2,), {}, (2, 3, 4)),
    ("ReflectionPad2d", ((1, 1, 2, 0),), {}, (2, 3, 4, 4)),
    ("ReflectionPad3d", (1,), {}, (2, 3, 4, 2, 3)),
    ("ReplicationPad1d", (2,), {}, (2, 3, 4)),
    ("ReplicationPad2d", (2,), {}, (2, 3, 4, 4)),
    ("ReplicationPad3d", (1,), {}, (2, 3, 4, 2, 3)),
    ("CircularPad1d", (2,), {}, (2, 3, 4)),
    ("CircularPad2d", (2,), {}, (2, 3, 4, 4)),
    ("CircularPad3d", (1,), {}, (2, 3, 4, 2, 3)),
    ("PixelShuffle", (2,), {}, (2, 8, 3, 4)),
    ("PixelUnshuffle", (2,), {}, (2, 3, 4, 6)),
    ("ChannelShuffle", (3,), {}, (2, 6, 4)),
    ("Unfold", (2,), {}, (2, 3, 5, 6)),
    ("Unfold", ((3, 2),), {"dilation": 2, "padding": (2, 1), "stride": 2}, (2, 3, 7, 6)),
    ("Unfold", (3,), {"padding": 1}, (3, 5, 6)),
    ("Fold", ((4, 5), 2), {}, (2, 12, 12)),
    ("Fold", ((7, 6), (3, 2)), {"dilation": 2, "padding": (2, 1), "stride": 2}, (2, 12, 12)),
    ("Fold", ((4, 6), 2), {"stride": 2}, (12, 6)),
    ("Upsample", (), {"scale_factor": 2}, (2, 3, 4)),
    ("Upsample", (), {"size": (3, 7), "mode": "bilinear"}, (2, 3, 4, 5)),
    ("Upsample", (), {"scale_factor": (2, 1.5), "mode": "bicubic"}, (2, 3, 4, 5)),
    ("UpsamplingNearest2d", (), {"scale_factor": 2}, (2, 3, 4, 5)),
    ("UpsamplingBilinear2d", (), {"size": 7}, (2, 3, 4, 5)),
    ("Softmax2d", (), {}, (2, 3, 4, 5)),
]


@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), MODULES, ids=str)
def test_module(compare: Any, name: str, args: Any, kwargs: Any, shape: Any) -> None:
    ours = getattr(fg.nn, name)(*args, **kwargs)
    theirs = getattr(torch.nn, name)(*args, **kwargs)
    assert repr(ours) == repr(theirs)
    compare.check(ours, theirs, compare.randn(*shape))


SHAPES = {3: (2, 3, 7), 4: (2, 3, 5, 6), 5: (1, 2, 4, 3, 5)}
MODES = [
    (3, "nearest"), (4, "nearest"), (5, "nearest"), (4, "nearest-exact"), (3, "linear"),
    (4, "bilinear"), (5, "trilinear"), (4, "bicubic"), (4, "area"), (3, "area"),
]  # fmt: skip


@pytest.mark.parametrize(("ndim", "mode"), MODES, ids=str)
def test_interpolate(compare: Any, ndim: int, mode: str) -> None:
    n = ndim - 2
    options: list[dict[str, Any]] = [
        {"size": [9, 3, 4][:n]},
        {"size": 4},
        {"scale_factor": 2.0},
        {"scale_factor": 0.6},
        {"scale_factor": [1.7, 2.5, 0.4][:n]},
        {"scale_factor": 1.7, "recompute_scale_factor": True},
    ]
    if mode in ("linear", "bilinear", "trilinear", "bicubic"):
        options += [{**o, "align_corners": True} for o in options]
        options += [{"size": 1, "align_corners": True}]
    for kwargs in options:
        compare.check(
            lambda x, kw=kwargs: F.interpolate(x, mode=mode, **kw),
            lambda x, kw=kwargs: TF.interpolate(x, mode=mode, **kw),
            compare.randn(*SHAPES[ndim]),
            atol=1e-10,
        )


def test_nearest_positions_round_as_in_float32(compare: Any) -> None:
    x = compare.randn(1, 1, 53, dtype=np.float32)
    for size in range(1, 160, 7):
        for mode in ("nearest", "nearest-exact"):
            compare.close(
                F.interpolate(fg.tensor(x), size, mode=mode),
                TF.interpolate(torch.from_numpy(x), size, mode=mode),
            )


@pytest.mark.parametrize(
    "kwargs",
    [
        {"mode": "bilinear", "size": 3},
        {"size": 3, "scale_factor": 2},
        {},
        {"size": 3, "align_corners": True},
        {"size": (3, 4)},
        {"size": 3, "mode": "cubic"},
    ],
    ids=str,
)
def test_interpolate_errors(kwargs: Any) -> None:
    with pytest.raises((ValueError, RuntimeError)) as refused:
        TF.interpolate(torch.zeros(1, 2, 5), **kwargs)
    with pytest.raises(ValueError if refused.type is ValueError else RuntimeError):
        F.interpolate(fg.zeros(1, 2, 5), **kwargs)
    with pytest.raises(ValueError, match="antialias"):
        F.interpolate(fg.zeros(1, 2, 5, 5), 3, mode="bilinear", antialias=True)


# --- bags -----------------------------------------------------------------------------------------
BAGS = [
    {},
    {"mode": "sum"},
    {"mode": "max"},
    {"mode": "sum", "padding_idx": 2},
    {"mode": "mean", "padding_idx": 2},
    {"mode": "max", "padding_idx": 2},
    {"mode": "sum", "max_norm": 1.0},
]


@pytest.mark.parametrize("kwargs", BAGS, ids=str)
@pytest.mark.parametrize("form", ["rows", "offsets", "last"])
def test_embedding_bag(compare: Any, same_state: Any, kwargs: Any, form: str) -> None:
    options = {**kwargs, "include_last_offset": form == "last"}
    ours = fg.nn.EmbeddingBag(7, 3, **options).double()
    theirs = torch.nn.EmbeddingBag(7, 3, **options).double()
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    same_state(ours, theirs)
    params = (tuple(ours.parameters()), tuple(theirs.parameters()))
    if form == "rows":
        compare.check(ours, theirs, np.array([[0, 2, 2], [6, 0, 2]]), params=params)
        return
    offsets = np.array([0, 3, 3, 4]) if form == "offsets" else np.array([0, 3, 3, 4, 6])
    compare.check(ours, theirs, np.array([0, 2, 2, 5, 6, 1]), offsets, params=params)


def test_embedding_bag_scales_by_frequency() -> None:
    """As ``embedding`` does; PyTorch's dense kernel divides by the counts of other rows."""
    index = fg.tensor([[0, 2, 2, 5], [6, 0, 2, 1]])
    grads = []
    for bag in (False, True):
        table = fg.arange(14.0).reshape(7, 2).requires_grad_()
        if bag:
            out = F.embedding_bag(index, table, mode="sum", scale_grad_by_freq=True)
        else:
            out = F.embedding(index, table, scale_grad_by_freq=True).sum(1)
        (out * fg.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
        grads.append(table.grad.tolist())
    assert grads[0] == grads[1]


def test_embedding_bag_weights(compare: Any, same_state: Any) -> None:
    ours, theirs = (lib.nn.EmbeddingBag(7, 3, mode="sum").double() for lib in (fg, torch))
    same_state(ours, theirs)
    params = (tuple(ours.parameters()), tuple(theirs.parameters()))
    index = np.array([[0, 2, 2], [6, 0, 2]])
    compare.check(
        lambda i, w: ours(i, None, w),
        lambda i, w: theirs(i, None, w),
        index,
        compare.randn(2, 3),
        params=params,
    )
    with pytest.raises(ValueError, match="per_sample_weights"):
        F.embedding_bag(fg.tensor(index), ours.weight, per_sample_weights=fg.ones(2, 3))
    with pytest.raises(ValueError, match="2D without offsets"):
        F.embedding_bag(fg.tensor(index[0]), ours.weight)
    with pytest.raises(ValueError, match="mode has to be"):
        F.embedding_bag(fg.tensor(index), ours.weight, mode="min")


def test_feature_alpha_dropout() -> None:
    fg.manual_seed(0)
    x = fg.ones(50, 20, 3, 2)
    out = fg.nn.FeatureAlphaDropout(0.3)(x).numpy()
    assert (out == out[:, :, :1, :1]).all()  # whole channels
    assert len(np.unique(out)) == 2
    layer = fg.nn.FeatureAlphaDropout(0.3)
    assert repr(layer) == repr(torch.nn.FeatureAlphaDropout(0.3))
    assert layer.eval()(x) is x
    with pytest.raises(RuntimeError):
        F.feature_alpha_dropout(fg.ones(3), training=True)
