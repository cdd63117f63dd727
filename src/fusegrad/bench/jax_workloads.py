"""The workloads once more, written by hand for JAX.

In: sizes and the same NumPy parameters as the PyTorch-style code gets. Out: `JaxBuilt`: a state
and a pure step, to be compiled by ``frameworks.py`` with a donated state. Parameter names are those
of the PyTorch modules; formulas are those of ``cases_*.py``.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .cases_residual import RESNET_LR
from .cases_science import DIFFUSIVITY, L2_PENALTY
from .cases_sequence import TRANSFORMER_LR
from .jax_optim import Optimizer, Params, adam, clipped, rmsprop, sgd
from .workload import Arrays, Sizes, outputs_of


def _watch_result(state: Any, result: Any) -> Sequence[Any]:
    return outputs_of(result)


@dataclass
class JaxBuilt:
    """A pure step and its first state.

    Attributes:
        state: any tree of arrays.
        step: state and batch to new state and result.
        watch: state and result to the arrays that every framework must agree on.
    """

    state: Any
    step: Callable[..., tuple[Any, Any]]
    watch: Callable[[Any, Any], Sequence[Any]] = _watch_result


Builder = Callable[[Sizes, Arrays], JaxBuilt]
BUILDERS: dict[str, Builder] = {}


def builds(name: str) -> Callable[[Builder], Builder]:
    """Register a function as the JAX twin of workload ``name``."""

    def register(builder: Builder) -> Builder:
        BUILDERS[name] = builder
        return builder

    return register


def _jax() -> tuple[Any, Any]:
    return importlib.import_module("jax"), importlib.import_module("jax.numpy")


def arrays_of(params: Arrays) -> Params:
    """Return the parameters as JAX arrays with memory of their own, so they can be donated."""
    _, jnp = _jax()
    return {name: jnp.array(value, copy=True) for name, value in params.items()}


def training(loss: Callable[..., Any], params: Arrays, optimizer: Optimizer) -> JaxBuilt:
    """Return the training step of ``loss(params, *batch)``."""
    jax, _ = _jax()

    def step(state: Any, *batch: Any) -> tuple[Any, Any]:
        weights, slots = state
        value, grads = jax.value_and_grad(loss)(weights, *batch)
        return optimizer.update(weights, grads, slots), value

    weights = arrays_of(params)
    return JaxBuilt((weights, optimizer.init(weights)), step)


def linear(params: Params, name: str, x: Any) -> Any:
    """Apply the Linear layer called ``name``."""
    return x @ params[f"{name}.weight"].T + params[f"{name}.bias"]


def cross_entropy(logits: Any, labels: Any) -> Any:
    """Mean cross entropy of class indices."""
    jax, jnp = _jax()
    picked = jnp.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    return jnp.mean(jax.nn.logsumexp(logits, axis=1) - picked)


def binary_cross_entropy(logits: Any, targets: Any) -> Any:
    """Elementwise binary cross entropy with logits."""
    _, jnp = _jax()
    return jnp.maximum(logits, 0) - logits * targets + jnp.log1p(jnp.exp(-jnp.abs(logits)))


@builds("linreg")
def linreg(sizes: Sizes, params: Arrays) -> JaxBuilt:
    """Linear(1,1), MSE, SGD."""
    _, jnp = _jax()

    def loss(params: Params, inputs: Any, targets: Any) -> Any:
        return jnp.mean((inputs @ params["weight"].T + params["bias"] - targets) ** 2)

    return training(loss, params, sgd(0.01))


@builds("boston_mlp")
def boston_mlp(sizes: Sizes, params: Arrays) -> JaxBuilt:
    """ReLU MLP, MSE, SGD with momentum."""
    jax, jnp = _jax()

    def loss(params: Params, inputs: Any, targets: Any) -> Any:
        outputs = linear(params, "2", jax.nn.relu(linear(params, "0", inputs)))
        return jnp.mean((outputs - targets) ** 2)

    return training(loss, params, sgd(0.01, momentum=0.9))


@builds("mnist_mlp")
def mnist_mlp(sizes: Sizes, params: Arrays) -> JaxBuilt:
    """ReLU MLP, cross entropy, Adam."""
    jax, _ = _jax()

    def loss(params: Params, images: Any, labels: Any) -> Any:
        return cross_entropy(linear(params, "2", jax.nn.relu(linear(params, "0", images))), labels)

    return training(loss, params, adam(1e-3))


@builds("mlp_wide")
def mlp_wide(sizes: Sizes, params: Arrays) -> JaxBuilt:
    """GELU MLP, MSE, AdamW."""
    jax, jnp = _jax()

    def loss(params: Params, inputs: Any, targets: Any) -> Any:
        hidden = jax.nn.gelu(linear(params, "0", inputs), approximate=False)
        hidden = jax.nn.gelu(linear(params, "2", hidden), approximate=False)
        return jnp.mean((linear(params, "4", hidden) - targets) ** 2)

    return training(loss, params, adam(1e-4, weight_decay=0.01))


@builds("cifar_cnn")
def cifar_cnn(sizes: Sizes, params: Arrays) -> JaxBuilt:
    """Three convolutions with max pooling, two linear layers, cross entropy, SGD."""
    jax, jnp = _jax()

    def convolve(params: Params, name: str, x: Any) -> Any:
        y = jax.lax.conv_general_dilated(x, params[f"{name}.weight"], (1, 1), "SAME")
        return y + params[f"{name}.bias"][None, :, None, None]

    def pool(x: Any) -> Any:
        window = (1, 1, 2, 2)
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")

    def loss(params: Params, images: Any, labels: Any) -> Any:
        hidden = images
        for name in ("0", "2", "4"):
            hidden = pool(convolve(params, name, hidden))
        flat = hidden.reshape(hidden.shape[0], -1)
        return cross_entropy(linear(params, "8", linear(params, "7", flat)), labels)

    return training(loss, params, sgd(0.01))


@builds("vae")
def vae(sizes: Sizes, params: Arrays) -> JaxBuilt:
    """Variational autoencoder, BCE with logits + KL, Adam."""
    jax, jnp = _jax()

    def loss(params: Params, images: Any, noise: Any) -> Any:
        hidden = jax.nn.relu(linear(params, "encoder", images))
        mean = linear(params, "mean", hidden)
        log_variance = linear(params, "log_variance", hidden)
        code = mean + noise * jnp.exp(0.5 * log_variance)
        logits = linear(params, "pixels", jax.nn.relu(linear(params, "decoder", code)))
        reconstruction = jnp.sum(binary_cross_entropy(logits, images))
        divergence = -0.5 * jnp.sum(1 + log_variance - mean**2 - jnp.exp(log_variance))
        return (reconstruction + divergence) / images.shape[0]

    return training(loss, params, adam(1e-3))


@builds("lstm")
def lstm(sizes: Sizes, params: Arrays) -> JaxBuilt:
    """LSTM classifier; the input product in front of the scan, RMSprop."""
    jax, jnp = _jax()

    def loss(params: Params, sequences: Any, labels: Any) -> Any:
        bias = params["lstm.bias_ih_l0"] + params["lstm.bias_hh_l0"]
        projected = jnp.swapaxes(sequences, 0, 1) @ params["lstm.weight_ih_l0"].T + bias

        def step(state: Any, row: Any) -> tuple[Any, None]:
            hidden, cell = state
            gates = row + hidden @ params["lstm.weight_hh_l0"].T
            i, f, g, o = jnp.split(gates, 4, axis=1)
            cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
            return (jax.nn.sigmoid(o) * jnp.tanh(cell), cell), None

        zeros = jnp.zeros((sequences.shape[0], sizes["hidden"]), sequences.dtype)
        (hidden, _), _ = jax.lax.scan(step, (zeros, zeros), projected)
        return cross_entropy(linear(params, "head", hidden), labels)

    return training(loss, params, rmsprop(1e-3))


@builds("resnet_small")
def resnet_small(sizes: Sizes, params: Arrays) -> JaxBuilt:
    """Residual network, batch norm with running statistics, SGD nesterov."""
    jax, jnp = _jax()

    def convolve(params: Params, name: str, x: Any, stride: int = 1) -> Any:
        return jax.lax.conv_general_dilated(
            x,
            params[f"{name}.weight"],
            (stride, stride),
            ((1, 1), (1, 1)) if params[f"{name}.weight"].shape[-1] == 3 else "VALID",
        )

    def norm(params: Params, name: str, x: Any, moments: dict[str, Any]) -> Any:
        mean = jnp.mean(x, (0, 2, 3))
        variance = jnp.mean((x - mean[None, :, None, None]) ** 2, (0, 2, 3))
        count = x.size // x.shape[1]
        moments[name] = mean, variance * count / (count - 1)
        scale = jax.lax.rsqrt(variance + 1e-5) * params[f"{name}.weight"]
        centred = (x - mean[None, :, None, None]) * scale[None, :, None, None]
        return centred + params[f"{name}.bias"][None, :, None, None]

    def block(params: Params, name: str, x: Any, stride: int, moments: dict[str, Any]) -> Any:
        hidden = convolve(params, f"{name}.conv1", x, stride)
        hidden = jax.nn.relu(norm(params, f"{name}.norm1", hidden, moments))
        hidden = convolve(params, f"{name}.conv2", hidden)
        hidden = norm(params, f"{name}.norm2", hidden, moments)
        if stride != 1:
            x = convolve(params, f"{name}.shortcut", x, stride)
            x = norm(params, f"{name}.shortcut_norm", x, moments)
        return jax.nn.relu(hidden + x)

    def loss(params: Params, images: Any, labels: Any) -> tuple[Any, dict[str, Any]]:
        moments: dict[str, Any] = {}
        x = jax.nn.relu(norm(params, "stem_norm", convolve(params, "stem", images), moments))
        for index, stride in enumerate((1, 2, 2)):
            x = block(params, f"block{index}", x, stride, moments)
        logits = linear(params, "head", jnp.mean(x, (2, 3)))
        return cross_entropy(logits, labels), moments

    optimizer = sgd(RESNET_LR, momentum=0.9, weight_decay=5e-4, nesterov=True)

    def step(state: Any, images: Any, labels: Any) -> tuple[Any, Any]:
        weights, slots, running = state
        (value, moments), grads = jax.value_and_grad(loss, has_aux=True)(weights, images, labels)
        running = jax.tree.map(lambda old, new: 0.9 * old + 0.1 * new, running, moments)
        return (*optimizer.update(weights, grads, slots), running), value

    weights = arrays_of(params)
    names = [name[:-5] for name in params if "norm" in name and name.endswith(".bias")]
    running = {
        name: (jnp.zeros_like(weights[f"{name}.bias"]), jnp.ones_like(weights[f"{name}.bias"]))
        for name in names
    }
    return JaxBuilt((weights, optimizer.init(weights), running), step)


@builds("transformer")
def transformer(sizes: Sizes, params: Arrays) -> JaxBuilt:
    """Character GPT, AdamW, gradient norm clipped to 1."""
    jax, jnp = _jax()
    heads = sizes["heads"]

    def norm(params: Params, name: str, x: Any) -> Any:
        centred = x - jnp.mean(x, -1, keepdims=True)
        variance = jnp.mean(centred * centred, -1, keepdims=True)
        scaled = centred * jax.lax.rsqrt(variance + 1e-5)
        return scaled * params[f"{name}.weight"] + params[f"{name}.bias"]

    def attend(params: Params, name: str, x: Any) -> Any:
        batch, length, width = x.shape
        parts = linear(params, f"{name}.qkv", x).reshape(batch, length, 3, heads, width // heads)
        q, k, v = (parts[:, :, i] for i in range(3))
        scores = jnp.einsum("nlhd,nshd->nhls", q, k) * (width // heads) ** -0.5
        causal = jnp.tril(jnp.ones((length, length), bool))
        weights = jax.nn.softmax(jnp.where(causal, scores, -jnp.inf))
        out = jnp.einsum("nhls,nshd->nlhd", weights, v).reshape(batch, length, width)
        return linear(params, f"{name}.project", out)

    def loss(params: Params, text: Any, following: Any) -> Any:
        x = params["tokens.weight"][text] + params["positions.weight"][: text.shape[1]]
        for layer in range(sizes["layers"]):
            name = f"blocks.{layer}"
            x = x + attend(params, name, norm(params, f"{name}.norm1", x))
            hidden = linear(params, f"{name}.widen", norm(params, f"{name}.norm2", x))
            x = x + linear(params, f"{name}.narrow", jax.nn.gelu(hidden, approximate=False))
        logits = norm(params, "norm", x) @ params["head.weight"].T
        return cross_entropy(logits.reshape(-1, logits.shape[-1]), following.reshape(-1))

    optimizer = clipped(adam(TRANSFORMER_LR, weight_decay=0.01), 1.0)
    return training(loss, params, optimizer)


@builds("pinn")
def pinn(sizes: Sizes, params: Arrays) -> JaxBuilt:
    """Heat-equation residual by nested gradients of batch sums, as the PyTorch code does it."""
    jax, jnp = _jax()

    def network(params: Params, points: Any) -> Any:
        hidden = points
        for name in ("0", "2", "4"):
            hidden = jnp.tanh(linear(params, name, hidden))
        return linear(params, "6", hidden)

    def loss(params: Params, points: Any) -> Any:
        def slope_x_sum(points: Any) -> tuple[Any, Any]:
            slope = jax.grad(lambda p: jnp.sum(network(params, p)))(points)
            return jnp.sum(slope[:, 0]), slope[:, 1]

        curvature, u_t = jax.grad(slope_x_sum, has_aux=True)(points)
        return jnp.mean((u_t - DIFFUSIVITY * curvature[:, 0]) ** 2)

    return training(loss, params, adam(1e-3))


@builds("logistic_big")
def logistic_big(sizes: Sizes, params: Arrays) -> JaxBuilt:
    """Logistic regression with L2 penalty, SGD."""
    _, jnp = _jax()

    def loss(params: Params, inputs: Any, labels: Any) -> Any:
        logits = (inputs @ params["weight"].T + params["bias"])[:, 0]
        likelihood = jnp.mean(binary_cross_entropy(logits, labels))
        return likelihood + L2_PENALTY * jnp.sum(params["weight"] ** 2)

    return training(loss, params, sgd(0.1))


@builds("gmm")
def gmm(sizes: Sizes, params: Arrays) -> JaxBuilt:
    """Negative log-likelihood of a diagonal Gaussian mixture, gradient descent."""
    jax, jnp = _jax()
    constant = 0.5 * sizes["width"] * math.log(2 * math.pi)

    def loss(params: Params, points: Any) -> Any:
        log_scales = params["log_scales"]
        scaled = (points[:, None, :] - params["means"]) * jnp.exp(-log_scales)
        log_density = -0.5 * jnp.sum(scaled * scaled, -1) - jnp.sum(log_scales, -1) - constant
        log_weights = jax.nn.log_softmax(params["logits"])
        return -jnp.mean(jax.nn.logsumexp(log_density + log_weights, axis=1))

    return training(loss, params, sgd(0.05))


@builds("pointwise_chain")
def pointwise_chain(sizes: Sizes, params: Arrays) -> JaxBuilt:
    """Twenty elementwise operations, mean, input gradient."""
    jax, jnp = _jax()

    def loss(x: Any) -> Any:
        a = jax.nn.gelu(x, approximate=False)
        b = jnp.tanh(a * 0.7)
        c = b + x
        d = jax.nn.sigmoid(c)
        e = a * d
        f = jax.nn.relu(e - b)
        g = jax.nn.silu(f + d)
        h = jnp.tanh(g * c)
        i = jnp.sqrt(h * h + 1.0)
        j = e / i
        k = jax.nn.sigmoid(j) * h
        return jnp.mean(jax.nn.gelu(k, approximate=False) + j)

    return JaxBuilt((), lambda state, x: (state, jax.value_and_grad(loss)(x)))


@builds("softmax_xent_big")
def softmax_xent_big(sizes: Sizes, params: Arrays) -> JaxBuilt:
    """Softmax cross entropy and its gradient by the logits."""
    jax, _ = _jax()
    value_and_grad = jax.value_and_grad(cross_entropy)
    return JaxBuilt((), lambda state, logits, labels: (state, value_and_grad(logits, labels)))


@builds("layernorm_fwd_bwd")
def layernorm_fwd_bwd(sizes: Sizes, params: Arrays) -> JaxBuilt:
    """LayerNorm with affine, gradients of input, weight and bias."""
    jax, jnp = _jax()

    def layer_norm(x: Any, weight: Any, bias: Any) -> Any:
        centred = x - jnp.mean(x, axis=1, keepdims=True)
        variance = jnp.mean(centred * centred, axis=1, keepdims=True)
        return centred * jax.lax.rsqrt(variance + 1e-5) * weight + bias

    weights = arrays_of(params)

    def step(state: Params, x: Any, out_ct: Any) -> tuple[Params, Any]:
        _, pull = jax.vjp(layer_norm, x, state["weight"], state["bias"])
        return state, pull(out_ct)

    return JaxBuilt(weights, step)


@builds("adam_update")
def adam_update(sizes: Sizes, params: Arrays) -> JaxBuilt:
    """AdamW on given gradients; the gradients stay in the (donated) state."""
    _, jnp = _jax()
    names = [f"param{index}" for index in range(sizes["tensors"])]
    weights = arrays_of({name: params[name] for name in names})
    grads = {name: jnp.array(params[name.replace("param", "grad")]) for name in names}
    optimizer = adam(1e-3, weight_decay=0.01)

    def step(state: Any) -> tuple[Any, Any]:
        weights, slots, grads = state
        weights, slots = optimizer.update(weights, grads, slots)
        return (weights, slots, grads), jnp.sum(weights[names[-1]])

    return JaxBuilt(
        (weights, optimizer.init(weights), grads),
        step,
        watch=lambda state, result: [result, *(state[0][name] for name in names)],
    )


def to_jax(values: np.ndarray) -> Any:
    """Return a NumPy array as a JAX array; JAX's default integers have 32 bits."""
    _, jnp = _jax()
    if values.dtype == np.int64:
        return jnp.array(values.astype(np.int32))
    return jnp.array(values)
