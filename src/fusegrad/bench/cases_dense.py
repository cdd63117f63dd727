"""Workloads made of dense layers: linear regression, MLPs and a variational autoencoder.

In: ``torch`` or ``fusegrad`` as a module, sizes, initial parameters. Out: `Workload` records for
``registry.py``. The step functions are plain PyTorch code; the JAX twins in ``jax_workloads.py``
must follow the same losses.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .workload import Arrays, Built, Data, Sizes, Workload, linear_params, load_params, normal

FLOAT_BYTES = 4


def layer_flops(batch: int, widths: list[tuple[int, int]]) -> float:
    """FLOPs of forward and backward through Linear layers; the first needs no input gradient."""
    products = [inputs * outputs for inputs, outputs in widths]
    return 2.0 * batch * (2 * sum(products) + sum(products[1:]))


def update_bytes(widths: list[tuple[int, int]], passes: int) -> float:
    """Bytes of ``passes`` sweeps over all weights and biases."""
    count = sum(inputs * outputs + outputs for inputs, outputs in widths)
    return float(FLOAT_BYTES * passes * count)


def supervised_step(model: Any, optimizer: Any, loss_function: Any) -> Built:
    """Return the textbook training step for a model, an optimizer and a loss."""

    def step(inputs: Any, targets: Any) -> Any:
        optimizer.zero_grad()
        loss = loss_function(model(inputs), targets)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return Built(step)


# --- linreg ---------------------------------------------------------------------------------------


def _linreg_data(sizes: Sizes, rng: np.random.Generator) -> Data:
    batches = []
    for _ in range(4):
        inputs = normal(rng, sizes["batch"], 1)
        noise = normal(rng, sizes["batch"], 1, scale=0.1)
        batches.append((inputs, 2.0 * inputs + 1.0 + noise))
    return Data(
        {"weight": normal(rng, 1, 1), "bias": normal(rng, 1)},
        [(inputs, targets.astype(np.float32)) for inputs, targets in batches],
    )


def _linreg_build(torch: Any, sizes: Sizes, params: Arrays) -> Built:
    model = load_params(torch, torch.nn.Linear(1, 1), params)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    return supervised_step(model, optimizer, torch.nn.MSELoss())


LINREG = Workload(
    name="linreg",
    description="Linear(1,1), MSE, SGD, batch 4: pure overhead",
    sizes={"batch": 4},
    tiny={},
    scaled=("batch",),
    data=_linreg_data,
    build=_linreg_build,
    flops=lambda sizes: 4.0 * sizes["batch"],
    least_bytes=lambda sizes: 8.0 * sizes["batch"] + 16.0,
    limited=False,
)

# --- boston_mlp -----------------------------------------------------------------------------------


def _boston_widths(sizes: Sizes) -> list[tuple[int, int]]:
    return [(sizes["features"], sizes["hidden"]), (sizes["hidden"], 1)]


def _boston_data(sizes: Sizes, rng: np.random.Generator) -> Data:
    first, second = _boston_widths(sizes)
    params = linear_params(rng, "0", *first) | linear_params(rng, "2", *second)
    inputs = normal(rng, sizes["rows"], sizes["features"])
    targets = inputs[:, :1] * np.float32(2) + normal(rng, sizes["rows"], 1, scale=0.5)
    return Data(params, [(inputs, targets)])


def _boston_build(torch: Any, sizes: Sizes, params: Arrays) -> Built:
    nn = torch.nn
    first, second = _boston_widths(sizes)
    model = nn.Sequential(nn.Linear(*first), nn.ReLU(), nn.Linear(*second))
    load_params(torch, model, params)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    return supervised_step(model, optimizer, nn.MSELoss())


BOSTON_MLP = Workload(
    name="boston_mlp",
    description="13-64-1 ReLU MLP, MSE, SGD momentum 0.9, full batch 506",
    sizes={"rows": 506, "features": 13, "hidden": 64},
    tiny={"rows": 37, "hidden": 8},
    scaled=("rows",),
    data=_boston_data,
    build=_boston_build,
    flops=lambda sizes: layer_flops(sizes["rows"], _boston_widths(sizes)),
    least_bytes=lambda sizes: (
        update_bytes(_boston_widths(sizes), 4) + 4.0 * sizes["rows"] * (sizes["features"] + 1)
    ),
)

# --- mnist_mlp ------------------------------------------------------------------------------------


def _mnist_widths(sizes: Sizes) -> list[tuple[int, int]]:
    return [(sizes["pixels"], sizes["hidden"]), (sizes["hidden"], sizes["classes"])]


def _mnist_data(sizes: Sizes, rng: np.random.Generator) -> Data:
    first, second = _mnist_widths(sizes)
    params = linear_params(rng, "0", *first) | linear_params(rng, "2", *second)
    batches: list[tuple[np.ndarray, ...]] = []
    for _ in range(4):
        images = rng.random((sizes["batch"], sizes["pixels"]), dtype=np.float32)
        labels = rng.integers(0, sizes["classes"], sizes["batch"])
        batches.append((images, labels))
    return Data(params, batches)


def _mnist_build(torch: Any, sizes: Sizes, params: Arrays) -> Built:
    nn = torch.nn
    first, second = _mnist_widths(sizes)
    model = nn.Sequential(nn.Linear(*first), nn.ReLU(), nn.Linear(*second))
    load_params(torch, model, params)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    return supervised_step(model, optimizer, nn.CrossEntropyLoss())


MNIST_MLP = Workload(
    name="mnist_mlp",
    description="784-128-10 ReLU MLP, cross entropy, Adam, batch 64",
    sizes={"batch": 64, "pixels": 784, "hidden": 128, "classes": 10},
    tiny={"batch": 8, "pixels": 32, "hidden": 16},
    scaled=("batch",),
    data=_mnist_data,
    build=_mnist_build,
    flops=lambda sizes: layer_flops(sizes["batch"], _mnist_widths(sizes)),
    least_bytes=lambda sizes: (
        update_bytes(_mnist_widths(sizes), 6) + 4.0 * sizes["batch"] * sizes["pixels"]
    ),
)

# --- mlp_wide -------------------------------------------------------------------------------------


def _wide_widths(sizes: Sizes) -> list[tuple[int, int]]:
    outer, inner = sizes["outer"], sizes["inner"]
    return [(outer, inner), (inner, inner), (inner, outer)]


def _wide_data(sizes: Sizes, rng: np.random.Generator) -> Data:
    params: Arrays = {}
    for name, (inputs, outputs) in zip(("0", "2", "4"), _wide_widths(sizes), strict=True):
        params |= linear_params(rng, name, inputs, outputs)
    shape = (sizes["batch"], sizes["outer"])
    return Data(params, [(normal(rng, *shape), normal(rng, *shape)) for _ in range(2)])


def _wide_build(torch: Any, sizes: Sizes, params: Arrays) -> Built:
    nn = torch.nn
    first, second, third = _wide_widths(sizes)
    model = nn.Sequential(
        nn.Linear(*first), nn.GELU(), nn.Linear(*second), nn.GELU(), nn.Linear(*third)
    )
    load_params(torch, model, params)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01)
    return supervised_step(model, optimizer, nn.MSELoss())


MLP_WIDE = Workload(
    name="mlp_wide",
    description="1024-4096-4096-1024 GELU MLP, MSE, AdamW, batch 256",
    sizes={"batch": 256, "outer": 1024, "inner": 4096},
    tiny={"batch": 8, "outer": 12, "inner": 24},
    scaled=("batch",),
    data=_wide_data,
    build=_wide_build,
    flops=lambda sizes: layer_flops(sizes["batch"], _wide_widths(sizes)),
    least_bytes=lambda sizes: (
        update_bytes(_wide_widths(sizes), 6) + 8.0 * sizes["batch"] * sizes["outer"]
    ),
)

# --- vae ------------------------------------------------------------------------------------------


def _vae_layers(sizes: Sizes) -> dict[str, tuple[int, int]]:
    pixels, hidden, latent = sizes["pixels"], sizes["hidden"], sizes["latent"]
    return {
        "encoder": (pixels, hidden),
        "mean": (hidden, latent),
        "log_variance": (hidden, latent),
        "decoder": (latent, hidden),
        "pixels": (hidden, pixels),
    }


def _vae_data(sizes: Sizes, rng: np.random.Generator) -> Data:
    params: Arrays = {}
    for name, (inputs, outputs) in _vae_layers(sizes).items():
        params |= linear_params(rng, name, inputs, outputs)
    batches: list[tuple[np.ndarray, ...]] = []
    for _ in range(4):
        images = rng.random((sizes["batch"], sizes["pixels"]), dtype=np.float32)
        batches.append((images, normal(rng, sizes["batch"], sizes["latent"])))
    return Data(params, batches)


def _vae_build(torch: Any, sizes: Sizes, params: Arrays) -> Built:
    nn, functional = torch.nn, torch.nn.functional

    class VAE(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            for name, (inputs, outputs) in _vae_layers(sizes).items():
                setattr(self, name, nn.Linear(inputs, outputs))

        def forward(self, images: Any, noise: Any) -> tuple[Any, Any, Any]:
            hidden = torch.relu(self.encoder(images))
            mean, log_variance = self.mean(hidden), self.log_variance(hidden)
            code = mean + noise * torch.exp(0.5 * log_variance)
            return self.pixels(torch.relu(self.decoder(code))), mean, log_variance

    model = load_params(torch, VAE(), params)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step(images: Any, noise: Any) -> Any:
        optimizer.zero_grad()
        logits, mean, log_variance = model(images, noise)
        reconstruction = functional.binary_cross_entropy_with_logits(
            logits, images, reduction="sum"
        )
        divergence = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
        loss = (reconstruction + divergence) / images.shape[0]
        loss.backward()
        optimizer.step()
        return loss.detach()

    return Built(step)


VAE = Workload(
    name="vae",
    description="784-400-(20,20)-400-784, BCE with logits + KL, noise an argument, Adam, batch 128",
    sizes={"batch": 128, "pixels": 784, "hidden": 400, "latent": 20},
    tiny={"batch": 8, "pixels": 24, "hidden": 16, "latent": 4},
    scaled=("batch",),
    data=_vae_data,
    build=_vae_build,
    flops=lambda sizes: layer_flops(sizes["batch"], list(_vae_layers(sizes).values())),
    least_bytes=lambda sizes: (
        update_bytes(list(_vae_layers(sizes).values()), 6)
        + 4.0 * sizes["batch"] * (sizes["pixels"] + sizes["latent"])
    ),
)

WORKLOADS = [LINREG, BOSTON_MLP, MNIST_MLP, MLP_WIDE, VAE]
