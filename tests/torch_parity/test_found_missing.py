"""What PyTorch offers and was missing here: integers, complex numbers, other axes, storages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fusegrad as fg

torch: Any = pytest.importorskip("torch")
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["int64", "int32", "int8", "uint8"])
def test_convolution_of_integers(rank: int, dtype: str) -> None:
    """Exact modulo the range of the dtype."""
    x = RNG.integers(0, 100, (2, 4, *(7, 6, 5)[:rank])).astype(dtype)
    weight = RNG.integers(0, 100, (6, 2, *(3, 2, 1)[:rank])).astype(dtype)
    bias = RNG.integers(0, 100, 6).astype(dtype)
    apart = 2 if dtype == "int64" else 1  # PyTorch dilates no others
    options = ((2, 1, 2)[:rank], (1, 0, 2)[:rank], (apart,) * rank, 2)
    found = [
        getattr(lib, f"conv{rank}d")(*map(lib.from_numpy, (x, weight, bias)), *options).numpy()
        for lib in (fg, torch)
    ]
    assert found[0].dtype == found[1].dtype and np.array_equal(*found)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_transposed_convolution_of_integers(rank: int) -> None:
    x = RNG.integers(-100, 100, (2, 4, *(4, 3, 4)[:rank]))
    weight = RNG.integers(-(1 << 62), 1 << 62, (4, 3, *(3, 2, 1)[:rank]))
    options = ((3, 1, 2)[:rank], (1, 0, 1)[:rank], (2, 0, 1)[:rank], 2, (1, 2, 2)[:rank])
    found = [
        getattr(lib, f"conv_transpose{rank}d")(
            lib.from_numpy(x), lib.from_numpy(weight), None, *options
        ).numpy()
        for lib in (fg, torch)
    ]
    assert np.array_equal(*found)


def test_convolution_of_integers_compiles() -> None:
    x, weight = fg.arange(50).reshape(1, 2, 5, 5), fg.arange(24).reshape(3, 2, 2, 2)
    compiled = fg.jit(lambda x, w: fg.conv2d(x, w, padding="same"))(x, weight)
    assert compiled.tolist() == fg.conv2d(x, weight, padding="same").tolist()
    with pytest.raises(RuntimeError, match="one dtype, of numbers"):
        fg.conv2d(x.bool(), weight.bool())


def test_logcumsumexp_of_complex_numbers() -> None:
    """The branch of the logarithm is that of PyTorch's recurrence."""
    x = RNG.normal(size=(4, 9)) * 3 + 1j * RNG.normal(size=(4, 9)) * 5
    x[0, 3], x[1, 0] = -np.inf + 1j, -np.inf
    weights = np.cos(np.arange(72.0)).reshape(4, 9, 2)
    found = []
    for lib in (fg, torch):
        leaf = lib.from_numpy(x.copy()).requires_grad_()
        out = lib.logcumsumexp(leaf, 1)
        parts = lib.view_as_real(out[2:] if lib is fg else out[2:].resolve_conj())
        (parts * lib.from_numpy(weights[2:].copy())).sum().backward()
        grad = leaf.grad.resolve_conj()
        found.append((out.detach().numpy(), grad.numpy()[2:]))
        assert lib is torch or np.isfinite(grad.numpy()).all()
    for a, b in zip(*found, strict=True):
        assert np.allclose(a, b, rtol=1e-10, atol=1e-12, equal_nan=True)
    compiled = fg.jit(lambda x: fg.logcumsumexp(x, 1))(fg.from_numpy(x))
    assert np.allclose(compiled.numpy(), found[0][0], rtol=1e-12, equal_nan=True)
    assert np.isnan(fg.logcumsumexp(fg.tensor([complex("nan"), 1j]), 0).real.numpy()).all()


@pytest.mark.parametrize("reduce", ["sum", "mean", "max", "min", "prod"])
def test_segments_of_an_inner_axis(reduce: str) -> None:
    """Axes in front of the one that is reduced have segments of their own."""
    data, lengths = RNG.normal(size=(2, 5, 3)), np.array([[2, 0, 3], [1, 4, 0]])
    offsets = np.array([[0, 2, 2, 5], [0, 1, 5, 5]])
    found = []
    for lib in (fg, torch):
        x = lib.from_numpy(data.copy()).requires_grad_()
        options: dict[str, Any] = {"axis": 1, "initial": 0.5}
        out = lib.segment_reduce(x, reduce, lengths=lib.from_numpy(lengths), **options)
        (out * out).sum().backward()
        other = lib.segment_reduce(x, reduce, offsets=lib.from_numpy(offsets), axis=1)
        found.append([t.detach().numpy() for t in (out, other, x.grad)])
    for a, b in zip(*found, strict=True):
        assert np.allclose(a, b, rtol=1e-12, equal_nan=True)
    with pytest.raises(RuntimeError, match="last dimension of lengths"):
        fg.segment_reduce(fg.ones(2, 4), reduce, lengths=fg.tensor([2, 2]), axis=1)
    with pytest.raises(RuntimeError, match="Expected all rows"):
        fg.segment_reduce(fg.ones(2, 4), reduce, lengths=fg.tensor([[2, 2], [2, 1]]), axis=1)


@pytest.mark.parametrize("name", ["gammainc", "gammaincc", "zeta"])
def test_no_derivative_by_the_first_operand(name: str) -> None:
    """PyTorch has none either; zero would be wrong."""
    for lib in (fg, torch):
        x = lib.tensor(2.5, requires_grad=True)
        with pytest.raises(RuntimeError, match="not implemented"):
            getattr(lib.special, name)(x, lib.tensor(1.5)).backward()


def test_storages() -> None:
    x, y = fg.arange(6.0).reshape(2, 3), torch.arange(6.0).reshape(2, 3)
    for t in (x, y):
        part = t[1:, 1:]
        s = part.untyped_storage()
        assert s.nbytes() == s.size() == len(s) == 24 and s.element_size() == 1 and s[7] == 63
        assert s.data_ptr() == t.data_ptr() and part.storage_offset() == 4 and not s.is_cuda
        assert str(s.device) == "cpu" and not s.is_shared()
    assert x.untyped_storage() == x.T.untyped_storage() != fg.ones(1).untyped_storage()
    assert x.untyped_storage().tolist() == y.untyped_storage().tolist()
    assert len({x.untyped_storage(), x[0].untyped_storage()}) == 1
    assert fg.is_storage(x.untyped_storage()) and not fg.is_storage(x)
    backwards = np.arange(4.0)[::-1]
    assert fg.from_numpy(backwards).untyped_storage().nbytes() == 32
    with pytest.raises(fg.errors.TracedValueError):
        fg.jit(lambda x: x.untyped_storage().data_ptr())(x)


def test_map2() -> None:
    for lib in (fg, torch):
        x = lib.ones(2, 2)
        x.map2_(lib.full((2, 2), 2.0), lib.full((2, 2), 3.0), lambda a, b, c: a + b * c)
        assert x.tolist() == [[7.0, 7.0], [7.0, 7.0]]
