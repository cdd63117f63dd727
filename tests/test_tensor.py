"""Eager tensors: promotion, memory of views, indexing, conversion, and errors with four parts."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fusegrad as fg
from fusegrad import bool_, float32, float64, int8, int16, int32, int64, uint8
from fusegrad.errors import FusegradError, InPlaceError

# --- promotion: PyTorch's documented results ------------------------------------------------------
PAIRS = [
    (bool_, bool_, bool_),
    (bool_, uint8, uint8),
    (bool_, float32, float32),
    (uint8, int8, int16),
    (uint8, int16, int16),
    (uint8, int64, int64),
    (int8, int16, int16),
    (int32, int64, int64),
    (int64, float32, float32),
    (int64, fg.float16, fg.float16),
    (float32, float64, float64),
    (fg.float16, float32, float32),
    (float64, fg.complex64, fg.complex128),
    (int64, fg.complex64, fg.complex64),
]


@pytest.mark.parametrize(("a", "b", "expected"), PAIRS, ids=str)
def test_promotion_of_dtypes(a: Any, b: Any, expected: Any) -> None:
    assert fg.promote_types(a, b) is expected
    assert fg.promote_types(b, a) is expected


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: fg.ones(2, dtype=int32) + 1, int32),
        (lambda: fg.ones(2, dtype=int32) + 1.5, float32),
        (lambda: fg.ones(2, dtype=int32) * True, int32),
        (lambda: fg.ones(2, dtype=bool_) + 1, int64),
        (lambda: fg.ones(2) + 1, float32),
        (lambda: fg.ones(2) * fg.tensor(2.0, dtype=float64), float32),
        (lambda: fg.ones(2, dtype=int64) * fg.tensor(2.0, dtype=float64), float64),
        (lambda: fg.ones((), dtype=float64) * fg.ones(2), float32),
        (lambda: fg.ones((), dtype=float64) * fg.ones(()), float64),
        (lambda: fg.ones(2, dtype=uint8) + fg.ones((), dtype=int64), uint8),
        (lambda: fg.ones(2, dtype=int32) / fg.ones(2, dtype=int32), float32),
        (lambda: fg.ones(2, dtype=int64) / 2, float32),
        (lambda: fg.ones(2, dtype=int32) // 2, int32),
        (lambda: fg.ones(2, dtype=int32).exp(), float32),
        (lambda: fg.ones(2, dtype=int32).sum(), int64),
        (lambda: fg.ones(2, dtype=bool_).sum(), int64),
        (lambda: fg.ones(2, dtype=float64).sum(), float64),
        (lambda: fg.ones(2) > 0, bool_),
        (lambda: fg.where(fg.ones(2) > 0, fg.ones(2, dtype=float64), 0.0), float64),
        (lambda: fg.cat([fg.ones(2), fg.ones(2, dtype=float64)]), float64),
        (lambda: fg.stack([fg.ones(2, dtype=int32), fg.ones(2)]), float32),
        (lambda: fg.tensor([1, 2]), int64),
        (lambda: fg.tensor([1.0]), float32),
        (lambda: fg.tensor([True]), bool_),
        (lambda: fg.arange(3), int64),
        (lambda: fg.arange(3.0), float32),
        (lambda: fg.full((2,), 3), int64),
        (lambda: fg.ones(2, dtype=float64) ** 2, float64),
        (lambda: 2 ** fg.ones(2), float32),
        (lambda: fg.ones(2, dtype=int64) ** 2, int64),
        (lambda: fg.ones(2).argmax(), int64),
    ],
)
def test_result_dtypes(make: Callable[[], Any], expected: Any) -> None:
    assert make().dtype is expected


def test_default_dtype() -> None:
    fg.set_default_dtype(float64)
    try:
        assert fg.tensor([1.0]).dtype is float64
        assert (fg.ones(2, dtype=int32) + 1.5).dtype is float64
    finally:
        fg.set_default_dtype(float32)
    with pytest.raises(TypeError):
        fg.set_default_dtype(int32)


# --- memory ---------------------------------------------------------------------------------------
VIEWS: dict[str, Callable[[Any], Any]] = {
    "slice": lambda x: x[1:, ::2],
    "row": lambda x: x[1],
    "element": lambda x: x[1, 2],
    "transpose": lambda x: x.t(),
    "permute": lambda x: x.permute(1, 0),
    "view": lambda x: x.view(4, 3),
    "flat": lambda x: x.view(-1),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "detach": lambda x: x.detach(),
    "narrow": lambda x: x.narrow(1, 1, 2),
    "split": lambda x: x.split(2, 1)[1],
    "chunk": lambda x: x.chunk(2, 1)[0],
    "unbind": lambda x: x.unbind(0)[2],
    "T": lambda x: x.T,
    "none": lambda x: x[None, ..., 0],
    "chain": lambda x: x.t()[1:][0],
    "expand": lambda x: x.unsqueeze(0).expand(2, 3, 4),
}
COPIES: dict[str, Callable[[Any], Any]] = {
    "clone": lambda x: x.clone(),
    "flip": lambda x: x.flip(0),
    "take": lambda x: x[[0, 1]],
    "mask": lambda x: x[x > 3],
    "cat": lambda x: fg.cat([x]),
    "add": lambda x: x + 0,
    "double": lambda x: x.float(),
    "tensor": lambda x: fg.tensor(x),
    "abs": lambda x: x.abs(),
    "where": lambda x: fg.where(x > -1, x, x),
    "sum": lambda x: x.sum(0),
    "relu": lambda x: x.relu(),
    "deepcopy": copy.deepcopy,
    "gather": lambda x: x.gather(0, fg.zeros(1, 4, dtype=int64)),
    "pad": lambda x: fg.nn.functional.pad(x, (0, 0)),
    "repeat": lambda x: x.repeat(1, 1),
}


def grid() -> Any:
    """Twelve numbers in three rows."""
    return fg.tensor(np.arange(12.0).reshape(3, 4))


@pytest.mark.parametrize("name", VIEWS)
def test_views_share_memory_both_ways(name: str) -> None:
    x = grid()
    y = VIEWS[name](x)
    assert np.shares_memory(x.numpy(), y.numpy())
    x.mul_(10)
    np.testing.assert_array_equal(y.numpy(), VIEWS[name](x).numpy())
    if name != "expand":
        y.add_(1)
        np.testing.assert_array_equal(y.numpy(), VIEWS[name](x).numpy())


@pytest.mark.parametrize("name", COPIES)
def test_copies_do_not_share_memory(name: str) -> None:
    x = grid()
    y = COPIES[name](x)
    before = np.array(y.numpy())
    x.mul_(10)
    np.testing.assert_array_equal(y.numpy(), before)


def test_numpy_round_trip_shares_memory() -> None:
    array = np.arange(3.0)
    x = fg.from_numpy(array)
    x.add_(1)
    np.testing.assert_array_equal(array, [1, 2, 3])
    array[0] = 9
    assert x[0].item() == 9
    assert x.numpy() is array or np.shares_memory(x.numpy(), array)


def test_in_place_keeps_shape_and_dtype() -> None:
    x = fg.ones(2, dtype=int64)
    x.add_(fg.ones(2, dtype=int64))
    assert x.dtype is int64
    with pytest.raises(InPlaceError, match="out-of-place"):
        fg.ones(2).add_(fg.ones(3, 2))
    with pytest.raises(InPlaceError, match="clone"):
        fg.ones(1).expand(3).add_(1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: fg.arange(4),
        lambda: fg.zeros(4),
        lambda: fg.ones(4).expand(4),
        lambda: fg.eye(4)[0],
        lambda: fg.full((4,), 2.0),
        lambda: fg.linspace(0, 1, 4),
        lambda: fg.rand(4),
        lambda: fg.ones(4).sum(0).expand(1),
        lambda: fg.zeros_like(fg.ones(4)),
        lambda: fg.ones(2, 2).view(4),
        lambda: fg.tensor([1.0, 2.0]),
        lambda: fg.ones(4).float(),
    ],
)
def test_every_tensor_can_be_changed_in_place(make: Callable[[], Any]) -> None:
    x = make()
    before = np.array(x.numpy())
    x.mul_(3)
    np.testing.assert_allclose(x.numpy(), before * 3, rtol=1e-6)


# --- indexing -------------------------------------------------------------------------------------
KEYS: list[Any] = [
    0,
    -1,
    slice(1, None),
    slice(None, None, 2),
    Ellipsis,
    None,
    (0, 1),
    (slice(None), 2),
    (Ellipsis, 0),
    (None, 1, None),
    (slice(0, 2), None, slice(1, 4, 2)),
    [0, 2],
    ([0, 2], [1, 1]),
    (slice(None), [3, 0, 0]),
    ([[0], [1]], [1, 2]),
    (Ellipsis, [1, -1]),
    (slice(3, 1),),
    (1, [2, 0]),
    np.array([True, False, True]),
    np.arange(12).reshape(3, 4) % 2 == 0,
    (slice(None), np.array([True, False, False, True])),
]


@pytest.mark.parametrize("key", KEYS, ids=lambda k: str(k).replace("\n", ""))
def test_indexing_is_numpys(key: Any) -> None:
    x = grid()
    np.testing.assert_array_equal(x[key].numpy(), x.numpy()[key])


@pytest.mark.parametrize("key", KEYS, ids=lambda k: str(k).replace("\n", ""))
def test_assignment_is_numpys(key: Any) -> None:
    x = grid()
    expected = x.numpy().copy()
    expected[key] = -5.0
    x[key] = -5.0
    np.testing.assert_array_equal(x.numpy(), expected)


def test_tensors_as_indices() -> None:
    x = grid()
    i = fg.tensor([2, 0])
    np.testing.assert_array_equal(x[i].numpy(), x.numpy()[[2, 0]])
    np.testing.assert_array_equal(x[:, i].numpy(), x.numpy()[:, [2, 0]])
    np.testing.assert_array_equal(x[x > 4].numpy(), x.numpy()[x.numpy() > 4])
    assert x[fg.tensor(1), fg.tensor(2)].item() == 6.0
    y = x.clone()
    y[i] = fg.ones(2, 4, dtype=float64)
    np.testing.assert_array_equal(y.numpy()[[0, 2]], np.ones((2, 4)))
    y[y > 3] = 0.0
    assert y.max().item() <= 3
    values = x.clone()
    values[i, 1] += 10
    assert values[2, 1].item() == 19.0


def test_iteration_length_and_membership() -> None:
    x = grid()
    assert [row.shape for row in x] == [(4,)] * 3
    assert len(x) == 3 and 5.0 in x and 99.0 not in x
    with pytest.raises(TypeError):
        len(fg.tensor(1.0))
    with pytest.raises(TypeError):
        iter(fg.tensor(1.0))
        list(fg.tensor(1.0))


# --- conversion -----------------------------------------------------------------------------------
def test_numbers_lists_and_arrays() -> None:
    assert fg.tensor(3).item() == 3 and isinstance(fg.tensor(3).item(), int)
    assert float(fg.tensor(2.5)) == 2.5 and int(fg.tensor(2)) == 2 and bool(fg.tensor(1))
    assert fg.tensor([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]
    assert [10, 20, 30][fg.tensor(1)] == 20
    assert np.asarray(grid()).shape == (3, 4)
    assert fg.tensor([fg.tensor(1.0), fg.tensor(2.0)]).tolist() == [1.0, 2.0]
    with pytest.raises(RuntimeError, match="one-element"):
        grid().item()
    with pytest.raises(RuntimeError, match="truth value"):
        bool(grid())
    with pytest.raises(ValueError, match="ragged"):
        fg.tensor([[1, 2], [3]])


def test_shape_questions() -> None:
    x = grid()
    assert x.shape == (3, 4) and x.size() == (3, 4) and x.size(1) == 4 and x.shape.numel() == 12
    assert (x.dim(), x.ndim, x.numel(), x.element_size()) == (2, 2, 12, 8)
    assert x.stride() == (4, 1) and x.t().stride() == (1, 4)
    assert x.is_contiguous() and not x.t().is_contiguous() and x.t().contiguous().is_contiguous()
    assert repr(x.shape) == "fusegrad.Size([3, 4])"


def test_repr() -> None:
    assert repr(fg.tensor([1.0, 2.5])) == "tensor([1. , 2.5])"
    assert "requires_grad=True" in repr(fg.ones(2, requires_grad=True))
    assert "grad_fn=<mul>" in repr(fg.ones(2, requires_grad=True) * 2)
    assert "dtype=fusegrad.float64" in repr(grid())


# --- errors ---------------------------------------------------------------------------------------
MISTAKES: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "add": (lambda: fg.ones(2, 3) + fg.ones(4), RuntimeError, r"add got shapes \[2, 3\], \[4\]"),
    "matmul": (lambda: fg.ones(2, 3) @ fg.ones(2, 3), RuntimeError, r"f32\[2,3\] and f32\[2,3\]"),
    "dim": (lambda: fg.ones(2).sum(1), IndexError, "dim 1 of a 1-d tensor"),
    "twice": (lambda: fg.ones(2, 3).sum((0, 0)), RuntimeError, "twice"),
    "reshape": (lambda: fg.ones(2, 3).reshape(4, 2), RuntimeError, r"to \[4, 2\]"),
    "infer": (lambda: fg.ones(2, 3).view(4, -1), RuntimeError, "-1"),
    "permute": (lambda: fg.ones(2, 3).permute(0, 0), RuntimeError, "once"),
    "cat": (lambda: fg.cat([fg.ones(2, 3), fg.ones(3, 2)]), RuntimeError, "concat of"),
    "stack": (lambda: fg.stack([fg.ones(2), fg.ones(3)]), RuntimeError, "same shape"),
    "index": (lambda: fg.ones(3)[5], IndexError, "index 5 is out of bounds"),
    "gather": (lambda: fg.ones(3)[fg.tensor([5])], IndexError, "index 5 is out of bounds"),
    "many": (lambda: fg.ones(3)[0, 0], IndexError, "too many indices"),
    "step": (lambda: fg.ones(3)[::-1], ValueError, "flip"),
    "bool sub": (
        lambda: fg.ones(2, dtype=bool_) - fg.ones(2, dtype=bool_),
        RuntimeError,
        "boolean",
    ),
    "mean": (lambda: fg.ones(2, dtype=int64).mean(), RuntimeError, "floating"),
    "max": (lambda: fg.ones(0).max(), RuntimeError, "empty"),
    "operand": (lambda: fg.add(fg.ones(2), "x"), TypeError, "str"),
    "expand": (lambda: fg.ones(2).expand(3), RuntimeError, "broadcast"),
    "index dtype": (lambda: fg.ones(2).index_select(0, fg.ones(1)), RuntimeError, "integers"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_errors_say_what_where_why(name: str) -> None:
    mistake, kind, words = MISTAKES[name]
    with pytest.raises(kind, match=words) as caught:
        mistake()
    assert isinstance(caught.value, FusegradError)
    lines = str(caught.value).splitlines()
    assert "at test_tensor.py:" in lines[1]
    assert len(lines) >= 3 and lines[2].strip()
