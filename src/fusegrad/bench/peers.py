"""The frameworks that a benchmark can compare, as the parent process sees them.

In: names from ``--against``. Out: `Peer` records: what has to be importable, and the environment in
which a worker process of that peer starts. What the worker then does is in ``frameworks.py``.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import dataclass, field

# Memory that is freed stays with the process, on huge pages: what a careful user of PyTorch or
# JAX sets (jemalloc or tcmalloc serve the same purpose).
KEEP_MEMORY = {
    "GLIBC_TUNABLES": (
        "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=34359738368"
    )
}
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


@dataclass(frozen=True)
class Peer:
    """One framework in one mode.

    Attributes:
        name: name on the command line.
        label: name in tables.
        module: what has to be importable.
        description: what is tuned or compiled.
        environment: variables of its worker process.
        rival: whether it counts for "best peer".
    """

    name: str
    label: str
    module: str
    description: str
    environment: dict[str, str] = field(default_factory=dict)
    rival: bool = True

    def is_installed(self) -> bool:
        """Return whether the framework can be found, without importing it."""
        return self.module in sys.modules or importlib.util.find_spec(self.module) is not None

    def worker_environment(self, threads: int) -> dict[str, str]:
        """Return the environment of a worker that uses ``threads`` threads."""
        variables = dict(os.environ)
        # A libgomp worker spins for milliseconds before it sleeps; the driver waits that long
        # between turns rather than forcing OMP_WAIT_POLICY=passive, which would slow PyTorch.
        variables.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
        variables.update(self.environment)
        if self.module == "jax":
            flags = [os.environ.get("XLA_FLAGS"), self.environment.get("XLA_FLAGS")]
            if threads == 1:
                flags.append("--xla_cpu_multi_thread_eigen=false")
            variables["XLA_FLAGS"] = " ".join(flag for flag in flags if flag)
            variables.setdefault("JAX_PLATFORMS", "cpu")
        return variables


PEERS = {
    peer.name: peer
    for peer in (
        Peer("fusegrad", "fusegrad", "fusegrad", "the step under @fg.jit", rival=False),
        Peer(
            "eager",
            "fusegrad eager",
            "fusegrad",
            "the same code without @fg.jit",
            rival=False,
        ),
        Peer("torch", "torch eager", "torch", "PyTorch eager"),
        Peer(
            "torch_tuned",
            "torch tuned",
            "torch",
            "PyTorch eager, fused optimizers, malloc that keeps memory on huge pages",
            KEEP_MEMORY,
        ),
        Peer(
            "torch_compile",
            "torch.compile",
            "torch",
            "forward, backward and update as one Inductor graph",
        ),
        Peer("jax", "jax.jit", "jax", "hand-written JAX under jit, state donated"),
        Peer(
            "jax_tuned",
            "jax tuned",
            "jax",
            "the same with 512-bit vectors and malloc that keeps memory on huge pages",
            {**KEEP_MEMORY, "XLA_FLAGS": "--xla_cpu_prefer_vector_width=512"},
        ),
    )
}
DEFAULT_PEERS = ("torch", "torch_compile", "jax")


def parse_peers(text: str) -> list[Peer]:
    """Return the peers of a comma-separated list; ``all`` names every one.

    >>> [peer.label for peer in parse_peers("torch,jax")]
    ['torch eager', 'jax.jit']
    """
    names = list(PEERS) if text == "all" else [name.strip() for name in text.split(",")]
    for name in names:
        if name and name not in PEERS:
            raise KeyError(f"no peer named {name!r}; known: {', '.join(PEERS)}")
    return [PEERS[name] for name in dict.fromkeys(names) if name]
