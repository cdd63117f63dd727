"""Workloads of residual networks: convolutions with batch normalization and skips.

In: ``torch`` or ``fusegrad`` as a module, sizes, initial parameters. Out: `Workload` records for
``registry.py``. The JAX twin is in ``jax_workloads.py``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .cases_dense import supervised_step
from .workload import Arrays, Built, Data, Sizes, Workload, linear_params, load_params, normal

CLASSES = 10
WINDOW = 3
RESNET_LR = 0.05


def _layers(sizes: Sizes) -> list[tuple[str, int, int, int, int]]:
    """Name, channels in and out, window and output extent of every convolution."""
    width, extent = sizes["width"], sizes["extent"]
    found = [("stem", 3, width, WINDOW, extent)]
    inputs = width
    for block in range(3):
        outputs, here = width << block, extent >> block
        found.append((f"block{block}.conv1", inputs, outputs, WINDOW, here))
        found.append((f"block{block}.conv2", outputs, outputs, WINDOW, here))
        if inputs != outputs:
            found.append((f"block{block}.shortcut", inputs, outputs, 1, here))
        inputs = outputs
    return found


def _data(sizes: Sizes, rng: np.random.Generator) -> Data:
    params: Arrays = {}
    for name, inputs, outputs, window, _ in _layers(sizes):
        scale = math.sqrt(2.0 / (inputs * window * window))
        params[f"{name}.weight"] = normal(rng, outputs, inputs, window, window, scale=scale)
        norm = name.replace("conv", "norm") if "conv" in name else f"{name}_norm"
        params[f"{norm}.weight"] = np.ones(outputs, np.float32)
        params[f"{norm}.bias"] = np.zeros(outputs, np.float32)
    params |= linear_params(rng, "head", sizes["width"] << 2, CLASSES)
    batches: list[tuple[np.ndarray, ...]] = []
    for _ in range(2):
        images = normal(rng, sizes["batch"], 3, sizes["extent"], sizes["extent"])
        batches.append((images, rng.integers(0, CLASSES, sizes["batch"])))
    return Data(params, batches)


def _model(torch: Any, sizes: Sizes) -> Any:
    nn = torch.nn
    width = sizes["width"]

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            stride = 1 if inputs == outputs else 2
            self.conv1 = nn.Conv2d(inputs, outputs, WINDOW, stride, 1, bias=False)
            self.norm1 = nn.BatchNorm2d(outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, WINDOW, 1, 1, bias=False)
            self.norm2 = nn.BatchNorm2d(outputs)
            self.shortcut = self.shortcut_norm = nn.Identity()
            if stride != 1:
                self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
                self.shortcut_norm = nn.BatchNorm2d(outputs)

        def forward(self, x: Any) -> Any:
            hidden = torch.relu(self.norm1(self.conv1(x)))
            hidden = self.norm2(self.conv2(hidden))
            return torch.relu(hidden + self.shortcut_norm(self.shortcut(x)))

    class Model(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, width, WINDOW, 1, 1, bias=False)
            self.stem_norm = nn.BatchNorm2d(width)
            self.block0 = Block(width, width)
            self.block1 = Block(width, width * 2)
            self.block2 = Block(width * 2, width * 4)
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.head = nn.Linear(width * 4, CLASSES)

        def forward(self, images: Any) -> Any:
            x = torch.relu(self.stem_norm(self.stem(images)))
            x = self.block2(self.block1(self.block0(x)))
            return self.head(torch.flatten(self.pool(x), 1))

    return Model()


def _build(torch: Any, sizes: Sizes, params: Arrays) -> Built:
    model = load_params(torch, _model(torch, sizes), params)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=RESNET_LR, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    return supervised_step(model, optimizer, torch.nn.CrossEntropyLoss())


def _flops(sizes: Sizes) -> float:
    """Products of all convolutions, forward and twice backward; the images need no gradient."""
    products = [
        inputs * outputs * (window * extent) ** 2
        for _, inputs, outputs, window, extent in _layers(sizes)
    ]
    return 2.0 * sizes["batch"] * (2 * sum(products) + sum(products[1:]))


def _bytes(sizes: Sizes) -> float:
    """The inputs of normalizations once forward and once backward, weights read and written."""
    values = sum(outputs * extent**2 for _, _, outputs, _, extent in _layers(sizes))
    weights = sum(i * o * window**2 for _, i, o, window, _ in _layers(sizes))
    return 4.0 * (4 * sizes["batch"] * values + 4 * weights)


RESNET_SMALL = Workload(
    name="resnet_small",
    description="3x3 stem, 3 residual blocks with batch norm, 16/32/64 channels, SGD nesterov",
    sizes={"batch": 32, "extent": 32, "width": 16},
    tiny={"batch": 4, "extent": 8, "width": 4},
    scaled=("batch",),
    data=_data,
    build=_build,
    flops=_flops,
    least_bytes=_bytes,
)

WORKLOADS = [RESNET_SMALL]
