"""What a worker process does with its framework: import, build, run steps, read results.

In: a peer's name, a `Workload` and its `Data`. Out: `Framework` objects with one interface, so that
``worker.py`` measures all of them by the same loop. Nothing is imported before it is asked for:
one process holds one framework.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .workload import Built, Data, Sizes, Workload, outputs_of


class Framework:
    """One framework in one mode.

    Attributes:
        module_name: what `load` imports.
        notes: remarks for the report, for example that a graph broke.
    """

    module_name = ""

    def __init__(self) -> None:
        self.module: Any = None
        self.notes: list[str] = []
        self.batches: list[tuple[Any, ...]] = []
        self.position = 0

    def load(self) -> None:
        """Import the framework; timed as ``import``."""
        self.module = importlib.import_module(self.module_name)

    def set_threads(self, threads: int) -> None:
        """Use ``threads`` threads."""

    def build(self, workload: Workload, sizes: Sizes, data: Data) -> None:
        """Create model, optimizer and batches."""
        raise NotImplementedError

    def call(self, batch: tuple[Any, ...]) -> Any:
        """Run one step."""
        raise NotImplementedError

    def read(self, result: Any) -> None:
        """Wait for a result by reading one number of it."""
        raise NotImplementedError

    def watched(self, result: Any) -> list[np.ndarray]:
        """Return as NumPy arrays what all frameworks must agree on."""
        raise NotImplementedError

    def run(self, steps: int) -> Any:
        """Run ``steps`` steps over the batches in turn and return the last result."""
        batches, position = self.batches, self.position
        count, call = len(batches), self.call
        result = None
        for _ in range(steps):
            # A gradient that was returned is dropped before the next one is computed, as in a
            # loop that consumes it.
            result = None
            result = call(batches[position])
            position = (position + 1) % count
        self.position = position
        return result


class TorchLike(Framework):
    """PyTorch eager, and the base of everything with PyTorch's API."""

    module_name = "torch"

    def __init__(self) -> None:
        super().__init__()
        self.built: Built | None = None
        self.step: Callable[..., Any] = outputs_of

    def set_threads(self, threads: int) -> None:
        """Use ``threads`` threads."""
        self.module.set_num_threads(threads)

    def namespace(self) -> Any:
        """Return what the workload's code gets as ``torch``."""
        return self.module

    def compile_step(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """Return the step in the form in which it is measured."""
        return step

    def build(self, workload: Workload, sizes: Sizes, data: Data) -> None:
        """Create model, optimizer and batches."""
        self.built = workload.build(self.namespace(), sizes, data.params)
        self.step = self.compile_step(self.built.step)
        self.batches = [self.tensors_of(batch, data.differentiate) for batch in data.batches]
        self.position = 0

    def tensors_of(
        self, batch: tuple[np.ndarray, ...], differentiate: tuple[int, ...]
    ) -> tuple[Any, ...]:
        """Return a batch as tensors with memory of their own."""
        tensors = [self.module.from_numpy(array).clone() for array in batch]
        for index in differentiate:
            tensors[index].requires_grad_(True)
        return tuple(tensors)

    def call(self, batch: tuple[Any, ...]) -> Any:
        """Run one step."""
        return self.step(*batch)

    def read(self, result: Any) -> None:
        """Wait for a result by reading one number of it."""
        tensor = outputs_of(result)[0]
        if tensor.ndim:
            tensor = tensor[(0,) * tensor.ndim]
        tensor.item()

    def watched(self, result: Any) -> list[np.ndarray]:
        """Return as NumPy arrays what all frameworks must agree on."""
        if self.built is None:
            raise RuntimeError("build() comes before watched()")
        return [np.asarray(tensor.detach().numpy()) for tensor in self.built.watch(result)]


class TorchTuned(TorchLike):
    """PyTorch eager, fused optimizers, channels-last; malloc settings come with the environment."""

    def namespace(self) -> Any:
        """Return ``torch`` with fused optimizers and channels-last convolutions."""
        return importlib.import_module(f"{__package__}.torch_graph").fused_namespace(self.module)


class TorchCompile(TorchLike):
    """``torch.compile`` of the whole step; with graph breaks if it cannot be one graph."""

    def __init__(self) -> None:
        super().__init__()
        self.rebuild: Callable[[], None] | None = None
        self.whole_graph = True

    def load(self) -> None:
        """Import PyTorch and its compiler, and let it trace ``backward()``."""
        super().load()
        config: Any = importlib.import_module("torch._dynamo.config")
        config.trace_autograd_ops = True

    def namespace(self) -> Any:
        """Return ``torch``, with capturable optimizers for the one-graph attempt."""
        if not self.whole_graph:
            return self.module
        return importlib.import_module(f"{__package__}.torch_graph").graph_namespace(self.module)

    def compile_step(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """Return the compiled step."""
        compiled: Callable[..., Any] = self.module.compile(step, fullgraph=self.whole_graph)
        return compiled

    def build(self, workload: Workload, sizes: Sizes, data: Data) -> None:
        """Create model, optimizer and batches; remember how, for a second attempt."""
        super().build(workload, sizes, data)

        def rebuild() -> None:
            importlib.import_module("torch._dynamo").reset()
            super(TorchCompile, self).build(workload, sizes, data)

        self.rebuild = rebuild

    def call(self, batch: tuple[Any, ...]) -> Any:
        """Run one step; the first decides whether the step is one graph."""
        if self.rebuild is None:
            return self.step(*batch)
        rebuild, self.rebuild = self.rebuild, None
        try:
            return self.step(*batch)
        except Exception as error:
            reason = next((line for line in str(error).splitlines() if line.strip()), "")
            self.notes.append(f"not one graph ({reason.strip()[:120]}); compiled in parts")
            self.whole_graph = False
            position = self.position
            rebuild()
            self.position = position
            return self.step(*self.batches[position])


class FusegradEager(TorchLike):
    """The workload's code on fusegrad, not compiled."""

    module_name = "fusegrad"


class Fusegrad(FusegradEager):
    """The workload's code under ``fusegrad.jit``."""

    def compile_step(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """Return the step under ``fusegrad.jit``."""
        compiled: Callable[..., Any] = self.module.jit(step)
        return compiled


class Jax(Framework):
    """The hand-written JAX twin of the workload."""

    module_name = "jax"

    def __init__(self) -> None:
        super().__init__()
        self.state: Any = None
        self.compiled: Any = None
        self.watch: Callable[[Any, Any], Sequence[Any]] = lambda state, result: ()

    def build(self, workload: Workload, sizes: Sizes, data: Data) -> None:
        """Create state and batches."""
        twins = importlib.import_module(f"{__package__}.jax_workloads")
        built = twins.BUILDERS[workload.name](sizes, data.params)
        self.state, self.watch = built.state, built.watch
        self.compiled = self.module.jit(built.step, donate_argnums=0)
        self.batches = [tuple(twins.to_jax(array) for array in batch) for batch in data.batches]
        self.position = 0

    def call(self, batch: tuple[Any, ...]) -> Any:
        """Run one step."""
        self.state, result = self.compiled(self.state, *batch)
        return result

    def read(self, result: Any) -> None:
        """Wait for a result; reading a slice would add a dispatch of tens of microseconds."""
        tensor = outputs_of(result)[0].block_until_ready()
        if not tensor.ndim:
            float(tensor)

    def watched(self, result: Any) -> list[np.ndarray]:
        """Return as NumPy arrays what all frameworks must agree on."""
        return [np.asarray(array) for array in self.watch(self.state, result)]


FRAMEWORKS: dict[str, type[Framework]] = {
    "fusegrad": Fusegrad,
    "eager": FusegradEager,
    "torch": TorchLike,
    "torch_tuned": TorchTuned,
    "torch_compile": TorchCompile,
    "jax": Jax,
    "jax_tuned": Jax,
}
