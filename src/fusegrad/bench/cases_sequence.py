"""Workloads over sequences: an LSTM classifier and a character-level transformer.

In: ``torch`` or ``fusegrad`` as a module, sizes, initial parameters. Out: `Workload` records for
``registry.py``. The JAX twin is in ``jax_workloads.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .cases_dense import supervised_step
from .workload import Arrays, Built, Data, Sizes, Workload, linear_params, load_params, normal


def _lstm_data(sizes: Sizes, rng: np.random.Generator) -> Data:
    inputs, hidden = sizes["inputs"], sizes["hidden"]
    bound = 1.0 / np.sqrt(hidden)
    shapes = {
        "weight_ih_l0": (4 * hidden, inputs),
        "weight_hh_l0": (4 * hidden, hidden),
        "bias_ih_l0": (4 * hidden,),
        "bias_hh_l0": (4 * hidden,),
    }
    params = {
        f"lstm.{name}": rng.uniform(-bound, bound, shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    params |= linear_params(rng, "head", hidden, sizes["classes"])
    batches: list[tuple[np.ndarray, ...]] = []
    for _ in range(4):
        sequences = normal(rng, sizes["batch"], sizes["steps"], inputs)
        batches.append((sequences, rng.integers(0, sizes["classes"], sizes["batch"])))
    return Data(params, batches)


def _lstm_build(torch: Any, sizes: Sizes, params: Arrays) -> Built:
    nn = torch.nn

    class Classifier(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(sizes["inputs"], sizes["hidden"], batch_first=True)
            self.head = nn.Linear(sizes["hidden"], sizes["classes"])

        def forward(self, sequences: Any) -> Any:
            outputs, _ = self.lstm(sequences)
            return self.head(outputs[:, -1])

    model = load_params(torch, Classifier(), params)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)
    return supervised_step(model, optimizer, nn.CrossEntropyLoss())


def _lstm_flops(sizes: Sizes) -> float:
    """Input and recurrent products forward, and the gradients of weights and hidden states."""
    rows, hidden = sizes["batch"] * sizes["steps"], sizes["hidden"]
    per_row = 4 * hidden * (2 * (sizes["inputs"] + hidden) + hidden)
    return 2.0 * rows * per_row + 6.0 * sizes["batch"] * hidden * sizes["classes"]


LSTM = Workload(
    name="lstm",
    description="LSTM 64-128 over 50 steps, last output to Linear 10, cross entropy, RMSprop",
    sizes={"batch": 32, "steps": 50, "inputs": 64, "hidden": 128, "classes": 10},
    tiny={"batch": 4, "steps": 5, "inputs": 6, "hidden": 8},
    scaled=("batch",),
    data=_lstm_data,
    build=_lstm_build,
    flops=_lstm_flops,
    least_bytes=lambda sizes: (
        4.0
        * (
            6 * 4 * sizes["hidden"] * (sizes["inputs"] + sizes["hidden"])
            + sizes["batch"] * sizes["steps"] * sizes["inputs"]
        )
    ),
)

# --- transformer ----------------------------------------------------------------------------------


def _transformer_data(sizes: Sizes, rng: np.random.Generator) -> Data:
    width, vocabulary = sizes["width"], sizes["vocabulary"]
    params: Arrays = {
        "tokens.weight": normal(rng, vocabulary, width, scale=0.02),
        "positions.weight": normal(rng, sizes["context"], width, scale=0.02),
    }
    for layer in range(sizes["layers"]):
        block = f"blocks.{layer}"
        for name in ("norm1", "norm2"):
            params[f"{block}.{name}.weight"] = np.ones(width, np.float32)
            params[f"{block}.{name}.bias"] = np.zeros(width, np.float32)
        params |= linear_params(rng, f"{block}.qkv", width, 3 * width)
        params |= linear_params(rng, f"{block}.project", width, width)
        params |= linear_params(rng, f"{block}.widen", width, 4 * width)
        params |= linear_params(rng, f"{block}.narrow", 4 * width, width)
    params["norm.weight"] = np.ones(width, np.float32)
    params["norm.bias"] = np.zeros(width, np.float32)
    params["head.weight"] = linear_params(rng, "head", width, vocabulary)["head.weight"]
    batches: list[tuple[np.ndarray, ...]] = []
    for _ in range(4):
        text = rng.integers(0, vocabulary, (sizes["batch"], sizes["context"] + 1))
        batches.append((text[:, :-1].copy(), text[:, 1:].copy()))
    return Data(params, batches)


def _transformer_model(torch: Any, sizes: Sizes) -> Any:
    nn = torch.nn
    width, heads = sizes["width"], sizes["heads"]

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.norm1 = nn.LayerNorm(width)
            self.qkv = nn.Linear(width, 3 * width)
            self.project = nn.Linear(width, width)
            self.norm2 = nn.LayerNorm(width)
            self.widen = nn.Linear(width, 4 * width)
            self.narrow = nn.Linear(4 * width, width)

        def attend(self, x: Any) -> Any:
            batch, length, _ = x.shape
            parts = self.qkv(x).view(batch, length, 3, heads, width // heads)
            q, k, v = parts.permute(2, 0, 3, 1, 4).unbind(0)
            out = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.project(out.transpose(1, 2).reshape(batch, length, width))

        def forward(self, x: Any) -> Any:
            x = x + self.attend(self.norm1(x))
            return x + self.narrow(nn.functional.gelu(self.widen(self.norm2(x))))

    class Model(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(sizes["vocabulary"], width)
            self.positions = nn.Embedding(sizes["context"], width)
            self.blocks = nn.ModuleList([Block() for _ in range(sizes["layers"])])
            self.norm = nn.LayerNorm(width)
            self.head = nn.Linear(width, sizes["vocabulary"], bias=False)

        def forward(self, text: Any) -> Any:
            x = self.tokens(text) + self.positions(torch.arange(text.shape[1]))
            for block in self.blocks:
                x = block(x)
            return self.head(self.norm(x))

    return Model()


def _transformer_build(torch: Any, sizes: Sizes, params: Arrays) -> Built:
    model = load_params(torch, _transformer_model(torch, sizes), params)
    optimizer = torch.optim.AdamW(model.parameters(), lr=TRANSFORMER_LR)
    loss_function = torch.nn.CrossEntropyLoss()

    def step(text: Any, following: Any) -> Any:
        optimizer.zero_grad()
        logits = model(text)
        loss = loss_function(logits.view(-1, logits.shape[-1]), following.view(-1))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.detach()

    return Built(step)


def _transformer_flops(sizes: Sizes) -> float:
    """Six per weight and token, and the products of attention scores, forward and backward."""
    width, layers = sizes["width"], sizes["layers"]
    tokens = sizes["batch"] * sizes["context"]
    weights = 12 * layers * width * width + width * sizes["vocabulary"]
    return 6.0 * tokens * weights + 12.0 * layers * tokens * sizes["context"] * width


TRANSFORMER_LR = 3e-4
TRANSFORMER = Workload(
    name="transformer",
    description="character GPT: 4 layers, 4 heads, width 128, context 64, AdamW, norm clipping",
    sizes={
        "batch": 12,
        "context": 64,
        "width": 128,
        "heads": 4,
        "layers": 4,
        "vocabulary": 65,
    },
    tiny={"batch": 2, "context": 8, "width": 16, "heads": 2, "layers": 2, "vocabulary": 11},
    scaled=("batch",),
    data=_transformer_data,
    build=_transformer_build,
    flops=_transformer_flops,
    least_bytes=lambda sizes: 24.0 * 12 * sizes["layers"] * sizes["width"] ** 2,
)

WORKLOADS = [LSTM, TRANSFORMER]
