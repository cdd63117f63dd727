"""Every workload builds at test size and follows the same losses in PyTorch and in JAX."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from fusegrad.bench.frameworks import FRAMEWORKS, Framework
from fusegrad.bench.measure import TOLERANCE, losses_differ
from fusegrad.bench.registry import all_workloads, find
from fusegrad.bench.worker import digest

NAMES = list(all_workloads())
STEPS = 5


def digests_of(peer: str, name: str) -> list[list[float]]:
    """Run the first steps of a workload in this process."""
    workload = find(name)
    sizes = workload.resolve_sizes("tiny")
    framework: Framework = FRAMEWORKS[peer]()
    framework.load()
    framework.build(workload, sizes, workload.make_data(sizes))
    collected = []
    for _ in range(STEPS):
        arrays = framework.watched(framework.run(1))
        collected.append([number for array in arrays for number in digest(array)])
    return collected


@pytest.mark.torch
@pytest.mark.parametrize("name", NAMES)
def test_jax_twin_follows_pytorch(name: str) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("jax")
    assert losses_differ(digests_of("jax", name), digests_of("torch", name)) is None


@pytest.mark.torch
@pytest.mark.parametrize("name", NAMES)
def test_fused_optimizers_follow_pytorch(name: str) -> None:
    pytest.importorskip("torch")
    assert losses_differ(digests_of("torch_tuned", name), digests_of("torch", name)) is None


@pytest.mark.torch
@pytest.mark.parametrize("name", NAMES)
def test_capturable_optimizers_follow_pytorch(name: str) -> None:
    """The optimizers that torch.compile captures, run without the compiler."""
    torch: Any = pytest.importorskip("torch")
    graph = importlib.import_module("fusegrad.bench.torch_graph")
    workload = find(name)
    sizes = workload.resolve_sizes("tiny")
    data = workload.make_data(sizes)
    framework = FRAMEWORKS["torch"]()
    framework.load()
    framework.namespace = lambda: graph.graph_namespace(torch)  # type: ignore[attr-defined]
    framework.build(workload, sizes, data)
    mine = []
    for _ in range(STEPS):
        arrays = framework.watched(framework.run(1))
        mine.append([number for array in arrays for number in digest(array)])
    assert losses_differ(mine, digests_of("torch", name)) is None


@pytest.mark.torch
@pytest.mark.parametrize("peer", ["eager", "fusegrad"])
@pytest.mark.parametrize("name", NAMES)
def test_fusegrad_follows_pytorch(name: str, peer: str) -> None:
    pytest.importorskip("torch")
    assert losses_differ(digests_of(peer, name), digests_of("torch", name)) is None


@pytest.mark.parametrize("name", NAMES)
def test_data_are_the_same_in_every_process(name: str) -> None:
    workload = find(name)
    sizes = workload.resolve_sizes("tiny")
    first, second = workload.make_data(sizes), workload.make_data(sizes)
    assert first.params.keys() == second.params.keys()
    for key, values in first.params.items():
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, second.params[key])
    for batch, again in zip(first.batches, second.batches, strict=True):
        for array, same in zip(batch, again, strict=True):
            assert array.dtype in (np.float32, np.int64)
            np.testing.assert_array_equal(array, same)


@pytest.mark.parametrize(
    ("name", "microseconds"),
    [
        ("boston_mlp", 3.9),
        ("mnist_mlp", 55.0),
        ("mlp_wide", 76_700.0),
        ("vae", 881.9),
        ("cifar_cnn", 9310.0),
        ("logistic_big", 520.0),
        ("pointwise_chain", 2680.0),
        ("softmax_xent_big", 20_970.0),
        ("layernorm", 2010.0),
    ],
)
def test_limit_of_a_known_machine(name: str, microseconds: float) -> None:
    """The limits at 476 GFLOP/s and 50 GB/s, worked out by hand from the shapes."""
    workload = find(name)
    limit = workload.limit_seconds(workload.resolve_sizes(), 476e9, 50e9)
    assert limit is not None
    assert limit * 1e6 == pytest.approx(microseconds, rel=0.02)


def test_unlimited_workloads_have_no_limit() -> None:
    linreg = find("linreg")
    assert linreg.limit_seconds(linreg.resolve_sizes(), 1e9, 1e9) is None


def test_scale_multiplies_batch_dimensions_only() -> None:
    sizes = find("mnist_mlp").resolve_sizes(scale=0.5)
    assert (sizes["batch"], sizes["hidden"]) == (32, 128)


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(KeyError, match="mnist_mlp"):
        find("mnist_mpl")


def test_digest_notices_a_changed_element() -> None:
    values = np.linspace(-1.0, 1.0, 1000)
    changed = values.copy()
    changed[17] += 10.0
    assert losses_differ([digest(values)], [digest(values)]) is None
    assert losses_differ([digest(changed)], [digest(values)]) is not None


def test_nan_is_a_difference() -> None:
    assert losses_differ([[float("nan"), 1.0]], [[1.0, 1.0]]) is not None
    assert losses_differ([[1.0 + TOLERANCE / 2, 1.0]], [[1.0, 1.0]]) is None
