"""Workloads on images: a small convolutional network.

In and out as in ``cases_dense.py``. The limit counts every product of a convolution, also those
with the zeros of its padding, which an implementation may leave out.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .cases_dense import layer_flops, supervised_step, update_bytes
from .workload import Arrays, Built, Data, Sizes, Workload, linear_params, load_params, normal

# --- cifar_cnn ------------------------------------------------------------------------------------


def conv_params(
    rng: np.random.Generator, name: str, inputs: int, outputs: int, window: int
) -> Arrays:
    """Return weight and bias of a Conv2d layer called ``name``, drawn as PyTorch does."""
    bound = 1.0 / math.sqrt(inputs * window * window)
    shape = (outputs, inputs, window, window)
    return {
        f"{name}.weight": rng.uniform(-bound, bound, shape).astype(np.float32),
        f"{name}.bias": rng.uniform(-bound, bound, outputs).astype(np.float32),
    }


def _cifar_layers(sizes: Sizes) -> list[tuple[int, int, int]]:
    """Input channels, output channels and extent of each convolution."""
    extent, narrow, wide = sizes["extent"], sizes["narrow"], sizes["wide"]
    return [(3, narrow, extent), (narrow, narrow, extent // 2), (narrow, wide, extent // 4)]


def _cifar_widths(sizes: Sizes) -> list[tuple[int, int]]:
    return [(sizes["wide"] * (sizes["extent"] // 8) ** 2, 64), (64, sizes["classes"])]


def _cifar_data(sizes: Sizes, rng: np.random.Generator) -> Data:
    params: Arrays = {}
    for name, (inputs, outputs, _) in zip(("0", "2", "4"), _cifar_layers(sizes), strict=True):
        params |= conv_params(rng, name, inputs, outputs, sizes["window"])
    for name, width in zip(("7", "8"), _cifar_widths(sizes), strict=True):
        params |= linear_params(rng, name, *width)
    extent = sizes["extent"]
    batches: list[tuple[np.ndarray, ...]] = []
    for _ in range(2):
        images = normal(rng, sizes["batch"], 3, extent, extent)
        batches.append((images, rng.integers(0, sizes["classes"], sizes["batch"])))
    return Data(params, batches)


def _cifar_build(torch: Any, sizes: Sizes, params: Arrays) -> Built:
    nn = torch.nn
    window = sizes["window"]
    layers: list[Any] = []
    for inputs, outputs, _ in _cifar_layers(sizes):
        layers += [nn.Conv2d(inputs, outputs, window, padding=window // 2), nn.MaxPool2d(2)]
    first, second = _cifar_widths(sizes)
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(*first), nn.Linear(*second))
    load_params(torch, model, params)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    return supervised_step(model, optimizer, nn.CrossEntropyLoss())


def _cifar_flops(sizes: Sizes) -> float:
    products = [
        inputs * outputs * (sizes["window"] * extent) ** 2
        for inputs, outputs, extent in _cifar_layers(sizes)
    ]
    convolutions = 2.0 * sizes["batch"] * (2 * sum(products) + sum(products[1:]))
    widths = _cifar_widths(sizes)
    # The input of the first Linear layer needs a gradient, unlike that of the first of an MLP.
    return convolutions + layer_flops(sizes["batch"], [(0, 0), *widths])


def _cifar_bytes(sizes: Sizes) -> float:
    window = sizes["window"] ** 2
    widths = [(inputs * window, outputs) for inputs, outputs, _ in _cifar_layers(sizes)]
    images = 4.0 * sizes["batch"] * 3 * sizes["extent"] ** 2
    return update_bytes([*widths, *_cifar_widths(sizes)], 4) + images


CIFAR_CNN = Workload(
    name="cifar_cnn",
    description="three 5x5 convolutions with max pooling, 64-10 head, cross entropy, SGD, batch 64",
    sizes={"batch": 64, "extent": 32, "narrow": 32, "wide": 64, "window": 5, "classes": 10},
    tiny={"batch": 4, "extent": 8, "narrow": 4, "wide": 6, "window": 3},
    scaled=("batch",),
    data=_cifar_data,
    build=_cifar_build,
    flops=_cifar_flops,
    least_bytes=_cifar_bytes,
)

WORKLOADS = [CIFAR_CNN]
