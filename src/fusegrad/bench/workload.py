"""The record of a benchmark workload, and what its functions give back.

In: nothing. Out: `Workload` (what ``fusegrad bench`` runs), `Data` (initial parameters and batches
as NumPy arrays, the same for every framework) and `Built` (a step ready to be called). The records
themselves live in ``cases_*.py``, are collected by ``registry.py`` and run by ``worker.py``.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Sizes = Mapping[str, int]
Arrays = dict[str, np.ndarray]


@dataclass
class Data:
    """Initial parameters and batches of one workload.

    Attributes:
        params: parameter name to initial value; names are those of ``named_parameters()``.
        batches: the arguments of successive steps; steps cycle over them.
        differentiate: positions of the arguments that need a gradient themselves.
    """

    params: Arrays
    batches: list[tuple[np.ndarray, ...]]
    differentiate: tuple[int, ...] = ()


def outputs_of(result: Any) -> Sequence[Any]:
    """Return what a step returned as a sequence of tensors."""
    return result if isinstance(result, tuple) else (result,)


@dataclass
class Built:
    """A step written against PyTorch's API, bound to its model and optimizer.

    Attributes:
        step: one training step; takes a batch, returns a tensor or a tuple of tensors.
        watch: maps the result of a step to the tensors that every framework must agree on.
    """

    step: Callable[..., Any]
    watch: Callable[[Any], Sequence[Any]] = outputs_of


@dataclass(frozen=True)
class Workload:
    """One row of the benchmark.

    Attributes:
        name: name on the command line.
        description: one line for ``fusegrad bench list``.
        sizes: dimensions of the real workload.
        tiny: replacements that make it a test of a few milliseconds.
        scaled: names of the sizes that ``--scale`` multiplies.
        data: sizes and a random generator to `Data`.
        build: ``torch`` or ``fusegrad``, sizes and parameters to `Built`; plain PyTorch code.
        flops: multiply-adds of the contractions, times two, per step.
        least_bytes: bytes that any implementation has to move per step.
        limited: whether the larger of the two terms bounds the step in a meaningful way; not so
            where call overhead or transcendental functions decide.
    """

    name: str
    description: str
    sizes: Sizes
    tiny: Sizes
    scaled: tuple[str, ...]
    data: Callable[[Sizes, np.random.Generator], Data]
    build: Callable[[Any, Sizes, Arrays], Built]
    flops: Callable[[Sizes], float]
    least_bytes: Callable[[Sizes], float]
    limited: bool = True

    def resolve_sizes(self, size: str = "full", scale: float = 1.0) -> dict[str, int]:
        """Return the dimensions for ``size`` (``"full"`` or ``"tiny"``) times ``scale``.

        >>> from fusegrad.bench.registry import find
        >>> find("linreg").resolve_sizes(scale=2.0)["batch"]
        8
        """
        sizes = dict(self.sizes)
        if size == "tiny":
            sizes.update(self.tiny)
        for name in self.scaled:
            sizes[name] = max(1, round(sizes[name] * scale))
        return sizes

    def make_data(self, sizes: Sizes, seed: int = 0) -> Data:
        """Return the data of ``seed``; equal arguments give equal arrays in every process."""
        return self.data(sizes, np.random.default_rng([seed, zlib.crc32(self.name.encode())]))

    def limit_seconds(self, sizes: Sizes, flop_rate: float, byte_rate: float) -> float | None:
        """Return the time that no implementation can beat on this machine, or None."""
        if not self.limited:
            return None
        return max(self.flops(sizes) / flop_rate, self.least_bytes(sizes) / byte_rate)


def normal(rng: np.random.Generator, *shape: int, scale: float = 1.0) -> np.ndarray:
    """Return float32 normal numbers with standard deviation ``scale``."""
    values = rng.standard_normal(shape, dtype=np.float32)
    values *= np.float32(scale)
    return values


def linear_params(rng: np.random.Generator, name: str, inputs: int, outputs: int) -> Arrays:
    """Return weight and bias of a Linear layer called ``name``, drawn as PyTorch does."""
    bound = 1.0 / np.sqrt(inputs)
    return {
        f"{name}.weight": rng.uniform(-bound, bound, (outputs, inputs)).astype(np.float32),
        f"{name}.bias": rng.uniform(-bound, bound, outputs).astype(np.float32),
    }


def load_params(torch: Any, module: Any, params: Arrays) -> Any:
    """Copy ``params`` into the parameters of ``module`` by name and return the module."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(torch.from_numpy(params[name]))
    return module


def parameter(torch: Any, values: np.ndarray) -> Any:
    """Return a leaf tensor with its own memory that requires a gradient."""
    return torch.from_numpy(values).clone().requires_grad_(True)
