"""Workloads from statistics and science: a PINN, logistic regression, a Gaussian mixture.

In: ``torch`` or ``fusegrad`` as a module, sizes, initial parameters. Out: `Workload` records for
``registry.py``. The PINN differentiates its own output twice (``autograd.grad`` with
``create_graph``) before the training gradient. JAX twins: ``jax_workloads.py``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .workload import (
    Arrays,
    Built,
    Data,
    Sizes,
    Workload,
    linear_params,
    load_params,
    normal,
    parameter,
)

DIFFUSIVITY = 0.1
L2_PENALTY = 1e-3

# --- pinn -----------------------------------------------------------------------------------------


def _pinn_widths(sizes: Sizes) -> list[tuple[int, int]]:
    hidden = sizes["hidden"]
    return [(2, hidden), (hidden, hidden), (hidden, hidden), (hidden, 1)]


def _pinn_data(sizes: Sizes, rng: np.random.Generator) -> Data:
    params: Arrays = {}
    for index, (inputs, outputs) in enumerate(_pinn_widths(sizes)):
        params |= linear_params(rng, str(2 * index), inputs, outputs)
    shape = (sizes["points"], 2)
    batches: list[tuple[np.ndarray, ...]] = [
        (rng.uniform(-1, 1, shape).astype(np.float32),) for _ in range(2)
    ]
    return Data(params, batches, differentiate=(0,))


def _pinn_build(torch: Any, sizes: Sizes, params: Arrays) -> Built:
    nn = torch.nn
    layers: list[Any] = []
    for inputs, outputs in _pinn_widths(sizes):
        layers += [nn.Linear(inputs, outputs), nn.Tanh()]
    model = load_params(torch, nn.Sequential(*layers[:-1]), params)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step(points: Any) -> Any:
        """Residual of u_t = k u_xx at points (x, t)."""
        optimizer.zero_grad()
        u = model(points)
        (slope,) = torch.autograd.grad(u.sum(), (points,), create_graph=True)
        u_x, u_t = slope[:, 0], slope[:, 1]
        (curvature,) = torch.autograd.grad(u_x.sum(), (points,), create_graph=True)
        residual = u_t - DIFFUSIVITY * curvature[:, 0]
        loss = residual.pow(2).mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return Built(step)


def pinn_flops(sizes: Sizes) -> float:
    """Value, two first and one second derivative forward, each with a backward: about 4 MLPs."""
    products = sum(inputs * outputs for inputs, outputs in _pinn_widths(sizes))
    return 4 * 6.0 * sizes["points"] * products


PINN = Workload(
    name="pinn",
    description="2-64-64-64-1 tanh, heat-equation residual by double autograd.grad, Adam, 1024",
    sizes={"points": 1024, "hidden": 64},
    tiny={"points": 16, "hidden": 8},
    scaled=("points",),
    data=_pinn_data,
    build=_pinn_build,
    flops=pinn_flops,
    least_bytes=lambda sizes: 8.0 * sizes["points"],
    limited=False,
)

# --- logistic_big ---------------------------------------------------------------------------------


def _logistic_data(sizes: Sizes, rng: np.random.Generator) -> Data:
    inputs = normal(rng, sizes["rows"], sizes["features"])
    truth = normal(rng, sizes["features"], scale=0.3)
    labels = (inputs @ truth + normal(rng, sizes["rows"], scale=0.5) > 0).astype(np.float32)
    params = linear_params(rng, "layer", sizes["features"], 1)
    return Data(
        {"weight": params["layer.weight"], "bias": params["layer.bias"]}, [(inputs, labels)]
    )


def _logistic_build(torch: Any, sizes: Sizes, params: Arrays) -> Built:
    functional = torch.nn.functional
    model = load_params(torch, torch.nn.Linear(sizes["features"], 1), params)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step(inputs: Any, labels: Any) -> Any:
        optimizer.zero_grad()
        logits = model(inputs).squeeze(1)
        likelihood = functional.binary_cross_entropy_with_logits(logits, labels)
        loss = likelihood + L2_PENALTY * model.weight.pow(2).sum()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return Built(step)


LOGISTIC_BIG = Workload(
    name="logistic_big",
    description="100,000 x 64 logistic regression, full batch, L2, SGD",
    sizes={"rows": 100_000, "features": 64},
    tiny={"rows": 50, "features": 7},
    scaled=("rows",),
    data=_logistic_data,
    build=_logistic_build,
    flops=lambda sizes: 4.0 * sizes["rows"] * sizes["features"],
    least_bytes=lambda sizes: 4.0 * sizes["rows"] * (sizes["features"] + 1),
)

# --- gmm ------------------------------------------------------------------------------------------


def _gmm_data(sizes: Sizes, rng: np.random.Generator) -> Data:
    components, width = sizes["components"], sizes["width"]
    params = {
        "logits": normal(rng, components, scale=0.1),
        "means": normal(rng, components, width, scale=2.0),
        "log_scales": normal(rng, components, width, scale=0.1),
    }
    return Data(params, [(normal(rng, sizes["points"], width, scale=2.0),)])


def _gmm_build(torch: Any, sizes: Sizes, params: Arrays) -> Built:
    names = ("logits", "means", "log_scales")
    logits, means, log_scales = (parameter(torch, params[name]) for name in names)
    optimizer = torch.optim.SGD([logits, means, log_scales], lr=0.05)
    constant = 0.5 * sizes["width"] * math.log(2 * math.pi)

    def step(points: Any) -> Any:
        optimizer.zero_grad()
        scaled = (points[:, None, :] - means) * torch.exp(-log_scales)
        log_density = -0.5 * (scaled * scaled).sum(-1) - log_scales.sum(-1) - constant
        log_weights = torch.log_softmax(logits, dim=0)
        loss = -torch.logsumexp(log_density + log_weights, dim=1).mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return Built(step)


GMM = Workload(
    name="gmm",
    description="64 diagonal Gaussians over 20,000 x 8 points, logsumexp, gradient descent",
    sizes={"points": 20_000, "components": 64, "width": 8},
    tiny={"points": 40, "components": 5, "width": 3},
    scaled=("points",),
    data=_gmm_data,
    build=_gmm_build,
    flops=lambda sizes: 8.0 * sizes["points"] * sizes["components"] * sizes["width"],
    least_bytes=lambda sizes: 4.0 * sizes["points"] * sizes["width"],
    limited=False,
)

WORKLOADS = [PINN, LOGISTIC_BIG, GMM]
