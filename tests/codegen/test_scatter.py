"""Scatter kernels: native, in order, and the same at any number of threads."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import fusegrad as fg
from fusegrad.ops import indexing

RNG = np.random.default_rng(0)


@pytest.fixture(params=[1, 2, 5])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = fg.get_num_threads()
    fg.set_num_threads(request.param)
    yield request.param
    fg.set_num_threads(before)


def places(extent: int, *shape: int) -> fg.Tensor:
    return fg.from_numpy(RNG.integers(0, extent, shape))


def values(*shape: int) -> fg.Tensor:
    return fg.from_numpy(RNG.normal(size=shape))


CASES = {
    "rows": (indexing.take_add, (values(5000, 16), places(37, 5000)), {"axis": 0, "extent": 37}),
    "columns": (indexing.take_add, (values(64, 999), places(7, 999)), {"axis": 1, "extent": 7}),
    "grid": (indexing.take_add, (values(3, 40, 30), places(9, 40)), {"axis": 1, "extent": 9}),
    "elements": (
        indexing.along_add,
        (values(4000, 5), places(6, 4000, 5)),
        {"axis": 0, "shape": (6, 5)},
    ),
    "inside": (
        indexing.along_add,
        (values(300, 40), places(11, 300, 40)),
        {"axis": 1, "shape": (400, 11)},
    ),
    "put": (
        indexing.take_set,
        (values(50, 200), places(50, 3000), values(3000, 200)),
        {"axis": 0},
    ),
    "put inside": (
        indexing.take_set,
        (values(90, 20, 10), places(20, 70), values(90, 70, 10)),
        {"axis": 1},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_equals_reference_bit_for_bit(name: str, threads: int) -> None:
    """Each place takes its values in the order of the index, whoever owns it."""
    primitive, args, params = CASES[name]
    compiled = fg.jit(lambda *args: primitive(*args, **params))
    expected = primitive.reference(*[a.numpy() for a in args], **params)
    np.testing.assert_array_equal(compiled(*args).numpy(), expected)
    kernels = compiled.kernels()
    assert [k.name for k in kernels] == [f"scatter_{primitive.name}"]
    assert not kernels[0].host


def test_positions_outside_write_nothing() -> None:
    """The tensor layer checks indices; a kernel that meets a bad one must not touch memory."""
    index = fg.tensor([0, 7, -3, 1])
    compiled = fg.jit(lambda x, i: indexing.take_add(x, i, axis=0, extent=3))
    got = compiled(fg.ones(4, 2), index)
    np.testing.assert_array_equal(got.numpy(), [[1, 1], [1, 1], [0, 0]])


@pytest.mark.parametrize("dtype", ["float32", "int32", "uint8", "bool"])
def test_dtypes(dtype: str) -> None:
    start = fg.from_numpy(RNG.integers(0, 2, (6, 3)).astype(dtype))
    new = fg.from_numpy(RNG.integers(0, 2, (4, 3)).astype(dtype))
    index = fg.tensor([5, 0, 5, 2])
    compiled = fg.jit(lambda x, i, y: indexing.take_set(x, i, y, axis=0))
    expected = indexing.take_set.reference(start.numpy(), index.numpy(), new.numpy(), axis=0)
    np.testing.assert_array_equal(compiled(start, index, new).numpy(), expected)


def test_empty_index_and_empty_rows() -> None:
    add = fg.jit(lambda x, i: indexing.take_add(x, i, axis=0, extent=3))
    assert add(fg.zeros(0, 2), fg.zeros(0, dtype=fg.int64)).tolist() == [[0, 0]] * 3
    assert add(fg.zeros(2, 0), fg.tensor([0, 1])).shape == (3, 0)


def test_embedding_gradient_is_native() -> None:
    weight = fg.randn(11, 4, dtype=fg.float64, requires_grad=True)
    index = fg.tensor([[1, 3, 3], [0, 10, 1]])

    def gradient(index: fg.Tensor) -> fg.Tensor:
        (g,) = fg.autograd.grad(fg.nn.functional.embedding(index, weight).square().sum(), weight)
        return g

    compiled = fg.jit(gradient)
    np.testing.assert_allclose(compiled(index).numpy(), gradient(index).numpy(), rtol=1e-12)
    assert not any(k.host for k in compiled.kernels())


def test_assignment_changes_state_in_its_memory() -> None:
    """``buffer[index] = rows`` copies nothing but the rows."""
    buffer = fg.zeros(8, 3)

    @fg.jit
    def put(index: fg.Tensor, rows: fg.Tensor) -> None:
        buffer[index] = rows

    put(fg.tensor([1, 5, 1]), fg.tensor([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]))
    assert buffer[1].tolist() == [7, 8, 9] and buffer[5].tolist() == [4, 5, 6]
    assert buffer.sum().item() == 39
    names = [k.name for k in put.kernels()]
    assert "copy" not in names and sum(n.startswith("scatter") for n in names) == 1


def test_assignment_that_reads_its_own_old_value() -> None:
    buffer = fg.arange(6.0)
    index = fg.tensor([0, 2, 4])
    eager = buffer.clone()
    eager[index] = eager[index + 1] * 10

    @fg.jit
    def put(index: fg.Tensor) -> None:
        buffer[index] = buffer[index + 1] * 10

    put(index)
    assert buffer.tolist() == eager.tolist() == [10, 1, 30, 3, 50, 5]
