"""Compiled forward, backward and second derivative of layers equal the eager ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from slices import by_turns

import fusegrad as fg
from fusegrad import nn

RTOL = {fg.float32: 5e-5, fg.float64: 1e-9}
ATOL = {fg.float32: 1e-5, fg.float64: 1e-11}

IMAGE, SIGNAL, VOLUME = (2, 4, 8, 6), (2, 4, 9), (2, 2, 4, 6, 5)
Build = Callable[[], Any]


class _Attention(nn.Module):
    def __init__(self, is_causal: bool = False, masked: bool = False) -> None:
        super().__init__()
        self.heads = nn.MultiheadAttention(8, 2, batch_first=True, add_bias_kv=masked)
        self.is_causal, self.masked = is_causal, masked

    def forward(self, x: Any) -> Any:
        padding = fg.arange(5)[None] > fg.tensor([[2], [3], [4]]) if self.masked else None
        mask = nn.Transformer.generate_square_subsequent_mask(5) if self.is_causal else None
        out, weights = self.heads(
            x, x, x, padding, need_weights=self.masked, attn_mask=mask, is_causal=self.is_causal
        )
        return out if weights is None else out + (weights * weights).mean()


LAYERS: dict[str, tuple[Build, tuple[int, ...]]] = {
    "max_pool1d": (lambda: nn.MaxPool1d(2), SIGNAL),
    "max_pool2d": (lambda: nn.MaxPool2d(2), IMAGE),
    "max_pool2d_overlap": (lambda: nn.MaxPool2d(3, 2, 1), IMAGE),
    "max_pool2d_ceil": (lambda: nn.MaxPool2d(3, ceil_mode=True), IMAGE),
    "max_pool3d": (lambda: nn.MaxPool3d(2), VOLUME),
    "avg_pool1d": (lambda: nn.AvgPool1d(3, 2, 1), SIGNAL),
    "avg_pool2d": (lambda: nn.AvgPool2d(2), IMAGE),
    "avg_pool2d_overlap": (lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False), IMAGE),
    "avg_pool3d": (lambda: nn.AvgPool3d(2), VOLUME),
    "adaptive_avg": (lambda: nn.AdaptiveAvgPool2d((3, 4)), IMAGE),
    "adaptive_avg_one": (lambda: nn.AdaptiveAvgPool2d(1), IMAGE),
    "adaptive_max": (lambda: nn.AdaptiveMaxPool2d((3, 4)), IMAGE),
    "adaptive_max_even": (lambda: nn.AdaptiveMaxPool2d((4, 3)), IMAGE),
    "batch_norm1d": (lambda: nn.BatchNorm1d(4), (5, 4)),
    "batch_norm2d": (lambda: nn.BatchNorm2d(4), IMAGE),
    "batch_norm_average": (lambda: nn.BatchNorm2d(4, momentum=None), IMAGE),
    "batch_norm_relu": (lambda: nn.Sequential(nn.BatchNorm3d(2), nn.ReLU()), VOLUME),
    "batch_norm_eval": (lambda: nn.BatchNorm2d(4).eval(), IMAGE),
    "instance_norm": (lambda: nn.InstanceNorm2d(4, affine=True), IMAGE),
    "instance_norm_tracked": (lambda: nn.InstanceNorm2d(4, track_running_stats=True), IMAGE),
    "group_norm": (lambda: nn.GroupNorm(2, 4), IMAGE),
    "response_norm": (lambda: nn.LocalResponseNorm(3, alpha=0.1), IMAGE),
    "pad_reflect": (lambda: nn.ReflectionPad2d((1, 2, 2, 0)), IMAGE),
    "pad_replicate": (lambda: nn.ReplicationPad1d(2), SIGNAL),
    "pad_circular": (lambda: nn.CircularPad2d((1, 2, 2, 0)), IMAGE),
    "pad_constant": (lambda: nn.ConstantPad3d(1, 2.0), VOLUME),
    "pixel_shuffle": (lambda: nn.PixelShuffle(2), IMAGE),
    "pixel_unshuffle": (lambda: nn.PixelUnshuffle(2), IMAGE),
    "channel_shuffle": (lambda: nn.ChannelShuffle(2), IMAGE),
    "unfold": (lambda: nn.Unfold(3, padding=1, stride=2), IMAGE),
    "fold": (lambda: nn.Sequential(nn.Unfold(2), nn.Fold((8, 6), 2)), IMAGE),
    "upsample_nearest": (lambda: nn.Upsample(scale_factor=2), IMAGE),
    "upsample_bilinear": (lambda: nn.Upsample(size=(5, 9), mode="bilinear"), IMAGE),
    "upsample_bicubic": (lambda: nn.Upsample(scale_factor=1.5, mode="bicubic"), IMAGE),
    "upsample_trilinear": (lambda: nn.Upsample(scale_factor=2, mode="trilinear"), VOLUME),
    "softmax2d": (lambda: nn.Softmax2d(), IMAGE),
    "attention": (lambda: _Attention(), (3, 5, 8)),
    "attention_causal": (lambda: _Attention(is_causal=True), (3, 5, 8)),
    "attention_masked": (lambda: _Attention(masked=True), (3, 5, 8)),
    "encoder": (lambda: nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True), (3, 5, 8)),
    "encoder_dropout": (lambda: nn.TransformerEncoderLayer(8, 2, 16, norm_first=True), (5, 3, 8)),
    "lp_pool": (lambda: nn.Sequential(nn.Softplus(), nn.LPPool2d(3, 2)), IMAGE),
}


def _results(build: Build, x: np.ndarray, dtype: Any, jit: bool) -> list[np.ndarray]:
    """Output, gradients of the input and the parameters, second derivative, buffers."""
    fg.manual_seed(0)
    module = build().to(dtype)
    parameters = [p for p in module.parameters()]
    weights = fg.tensor(np.random.default_rng(1).standard_normal(5000)).to(dtype)

    def step(x: Any) -> Any:
        x = (x * 1.0).requires_grad_() if not x.requires_grad else x
        out = module(x)
        size = int(np.prod(out.shape))
        loss = (out.reshape(-1) * weights[:size]).sum() + (out * out).sum()
        grads = fg.autograd.grad(loss, [x, *parameters], create_graph=True)
        second = fg.autograd.grad(sum((g * g).sum() for g in grads), x)
        return (out, *grads, *second)

    value = fg.tensor(x).to(dtype).requires_grad_()
    run = fg.jit(step) if jit else step
    for _ in range(2):
        results = run(value)
    if jit:
        assert len(run.history) == 1
    return [r.detach().numpy().copy() for r in (*results, *module.buffers())]


@pytest.mark.parametrize(("name", "dtype"), by_turns(LAYERS, [fg.float32, fg.float64]))
def test_layer(monkeypatch: pytest.MonkeyPatch, name: str, dtype: Any) -> None:
    build, shape = LAYERS[name]
    x = np.random.default_rng(0).standard_normal(shape)
    monkeypatch.setenv("FUSEGRAD_JIT", "0")
    eager = _results(build, x, dtype, jit=False)
    monkeypatch.setenv("FUSEGRAD_JIT", "1")
    fused = _results(build, x, dtype, jit=True)
    for a, b in zip(eager, fused, strict=True):
        scale = max(1.0, float(np.abs(a).max(initial=0.0)))  # sums cancel against their largest
        np.testing.assert_allclose(b, a, rtol=RTOL[dtype], atol=ATOL[dtype] * scale)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_embedding_bag(mode: str) -> None:
    """Bags by offsets: values and table gradient of the compiled step."""
    index, offsets = fg.tensor([0, 2, 2, 5, 6, 1]), fg.tensor([0, 3, 3, 4])
    bags = nn.EmbeddingBag(7, 3, mode=mode, padding_idx=1).double()

    def step(index: Any, offsets: Any) -> Any:
        out = bags(index, offsets)
        return out, fg.autograd.grad((out**2).sum(), bags.weight)[0]

    for a, b in zip(step(index, offsets), fg.jit(step)(index, offsets), strict=True):
        np.testing.assert_allclose(b.detach().numpy(), a.detach().numpy(), rtol=1e-12)


def test_unpooling() -> None:
    """Maxima go back to their places, gradients come from there."""
    x = fg.tensor(np.random.default_rng(0).standard_normal((2, 3, 6, 7)), requires_grad=True)

    def step(x: Any) -> Any:
        pooled, places = nn.functional.max_pool2d(x, 3, 2, return_indices=True)
        out = nn.functional.max_unpool2d(pooled, places, 3, 2, output_size=(6, 7))
        return out, fg.autograd.grad((out**2).sum(), x)[0]

    for a, b in zip(step(x), fg.jit(step)(x), strict=True):
        np.testing.assert_allclose(b.detach().numpy(), a.detach().numpy(), rtol=1e-12)
