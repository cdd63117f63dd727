"""Workloads that are one large fused kernel: pointwise chain, softmax, layer norm, AdamW.

In: ``torch`` or ``fusegrad`` as a module, sizes, initial parameters. Out: `Workload` records for
``registry.py``. These return gradients, not only a loss, so that no framework may skip work; the
harness compares them through a digest. JAX twins: ``jax_workloads.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .workload import Arrays, Built, Data, Sizes, Workload, normal, parameter

# --- pointwise_chain ------------------------------------------------------------------------------


def _chain_data(sizes: Sizes, rng: np.random.Generator) -> Data:
    return Data({}, [(normal(rng, sizes["elements"]),)], differentiate=(0,))


def _chain_build(torch: Any, sizes: Sizes, params: Arrays) -> Built:
    functional = torch.nn.functional

    def chain(x: Any) -> Any:
        """Twenty elementwise operations."""
        a = functional.gelu(x)
        b = torch.tanh(a * 0.7)
        c = b + x
        d = torch.sigmoid(c)
        e = a * d
        f = torch.relu(e - b)
        g = functional.silu(f + d)
        h = torch.tanh(g * c)
        i = torch.sqrt(h * h + 1.0)
        j = e / i
        k = torch.sigmoid(j) * h
        return functional.gelu(k) + j

    def step(x: Any) -> tuple[Any, Any]:
        loss = chain(x).mean()
        (x_grad,) = torch.autograd.grad(loss, (x,))
        return loss.detach(), x_grad

    return Built(step)


POINTWISE_CHAIN = Workload(
    name="pointwise_chain",
    description="20 elementwise operations, mean; forward and input gradient; 16 M elements",
    sizes={"elements": 1 << 24},
    tiny={"elements": 1003},
    scaled=("elements",),
    data=_chain_data,
    build=_chain_build,
    flops=lambda sizes: 0.0,
    least_bytes=lambda sizes: 8.0 * sizes["elements"],
)

# --- softmax_xent_big -----------------------------------------------------------------------------


def _softmax_data(sizes: Sizes, rng: np.random.Generator) -> Data:
    logits = normal(rng, sizes["rows"], sizes["classes"])
    labels = rng.integers(0, sizes["classes"], sizes["rows"])
    return Data({}, [(logits, labels)], differentiate=(0,))


def _softmax_build(torch: Any, sizes: Sizes, params: Arrays) -> Built:
    def step(logits: Any, labels: Any) -> tuple[Any, Any]:
        loss = torch.nn.functional.cross_entropy(logits, labels)
        (logits_grad,) = torch.autograd.grad(loss, (logits,))
        return loss.detach(), logits_grad

    return Built(step)


SOFTMAX_XENT_BIG = Workload(
    name="softmax_xent_big",
    description="softmax cross entropy, forward and logits gradient, 4096 x 32000",
    sizes={"rows": 4096, "classes": 32000},
    tiny={"rows": 9, "classes": 67},
    scaled=("rows",),
    data=_softmax_data,
    build=_softmax_build,
    flops=lambda sizes: 0.0,
    least_bytes=lambda sizes: 8.0 * sizes["rows"] * sizes["classes"],
)

# --- layernorm ------------------------------------------------------------------------------------


def _layernorm_data(sizes: Sizes, rng: np.random.Generator) -> Data:
    shape = (sizes["rows"], sizes["width"])
    params = {
        "weight": 1 + normal(rng, sizes["width"], scale=0.1),
        "bias": normal(rng, sizes["width"], scale=0.1),
    }
    return Data(params, [(normal(rng, *shape), normal(rng, *shape))], differentiate=(0,))


def _layernorm_build(torch: Any, sizes: Sizes, params: Arrays) -> Built:
    weight, bias = parameter(torch, params["weight"]), parameter(torch, params["bias"])

    def step(x: Any, out_ct: Any) -> tuple[Any, Any, Any]:
        out = torch.nn.functional.layer_norm(x, (x.shape[1],), weight, bias)
        x_grad, weight_grad, bias_grad = torch.autograd.grad(out, (x, weight, bias), out_ct)
        return x_grad, weight_grad, bias_grad

    return Built(step)


LAYERNORM = Workload(
    name="layernorm_fwd_bwd",
    description="LayerNorm with affine, gradients of input, weight and bias; 8192 x 1024",
    sizes={"rows": 8192, "width": 1024},
    tiny={"rows": 11, "width": 40},
    scaled=("rows",),
    data=_layernorm_data,
    build=_layernorm_build,
    flops=lambda sizes: 0.0,
    least_bytes=lambda sizes: 12.0 * sizes["rows"] * sizes["width"],
)

# --- adam_update ----------------------------------------------------------------------------------


def adam_shapes(sizes: Sizes) -> list[tuple[int, ...]]:
    """Square weights and their biases in turn, as a deep MLP has them."""
    width = sizes["width"]
    return [(width, width) if index % 2 == 0 else (width,) for index in range(sizes["tensors"])]


def _adam_data(sizes: Sizes, rng: np.random.Generator) -> Data:
    params: Arrays = {}
    for index, shape in enumerate(adam_shapes(sizes)):
        params[f"param{index}"] = normal(rng, *shape, scale=0.02)
        params[f"grad{index}"] = normal(rng, *shape, scale=1e-3)
    return Data(params, [()])


def _adam_build(torch: Any, sizes: Sizes, params: Arrays) -> Built:
    parameters = []
    for index in range(sizes["tensors"]):
        weight = parameter(torch, params[f"param{index}"])
        weight.grad = torch.from_numpy(params[f"grad{index}"]).clone()
        parameters.append(weight)
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.01)

    def step() -> Any:
        optimizer.step()
        return parameters[-1].detach().sum()

    return Built(step, watch=lambda result: [result, *parameters])


ADAM_UPDATE = Workload(
    name="adam_update",
    description="AdamW update only, 50 tensors, 20 M parameters",
    sizes={"tensors": 50, "width": 894},
    tiny={"tensors": 6, "width": 17},
    scaled=("width",),
    data=_adam_data,
    build=_adam_build,
    flops=lambda sizes: 0.0,
    # Parameter and two moments are read and written, the gradient is read.
    least_bytes=lambda sizes: 28.0 * sum(int(np.prod(shape)) for shape in adam_shapes(sizes)),
    limited=False,
)

WORKLOADS = [POINTWISE_CHAIN, SOFTMAX_XENT_BIG, LAYERNORM, ADAM_UPDATE]
