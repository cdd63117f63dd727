"""Workloads over sequences: an LSTM classifier.

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

WORKLOADS = [LSTM]
