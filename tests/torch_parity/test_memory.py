"""Shapes changed in place, copies of views, strided and foreign memory, against torch."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from surface_check import B, X, check

import fusegrad as fg
import fusegrad.nn.functional as F
from fusegrad.functions.memory import COPIES

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def test_every_in_place_method_is_a_function_and_torch_has_no_other() -> None:
    for owner in (fg.Tensor, F):
        for name in dir(owner):
            if name.endswith("_") and not name.startswith("_"):
                assert callable(getattr(fg, name))
    theirs = {n for n in dir(torch) if n.endswith("_") and not n.startswith("_")}
    missing = {n for n in theirs if not hasattr(fg, n)}
    assert missing <= {"embedding_renorm_", "resize_as_sparse_", "conj_physical_"}, missing
    x = fg.tensor([-1.0, 2.0])
    assert fg.relu_(x) is x and x.tolist() == [0.0, 2.0]
    assert fg.exp_(x) is x and fg.clamp_(x, max=3.0) is x and x.tolist() == [1.0, 3.0]


# --- shapes in place ------------------------------------------------------------------------------
SHAPES: dict[str, Any] = {
    "squeeze_": lambda x: x.squeeze_(), "squeeze_ dim": lambda x: x.squeeze_(1),
    "unsqueeze_": lambda x: x.unsqueeze_(-1), "transpose_": lambda x: x.transpose_(0, 2),
    "swapaxes_": lambda x: x.swapaxes_(0, 1), "swapdims_": lambda x: x.swapdims_(1, 2),
    "t_": lambda x: x.squeeze_(1).t_(), "squeeze_ twice": lambda x: x.squeeze_().unsqueeze_(0),
    "resize_": lambda x: x.resize_(2, 2), "resize_as_": lambda x: x.resize_as_(x[:, 0]),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_in_place(name: str) -> None:
    """The tensor, a view from before, memory and gradients."""
    results = []
    for m in (torch, fg):
        base = m.arange(8.0).reshape(2, 1, 4) * 1
        view = base[:, :, 1:]
        found = SHAPES[name](base)
        assert found is base
        base.mul_(2)
        view.add_(1)
        leaf = m.arange(8.0).requires_grad_()
        y = leaf.reshape(2, 1, 4) * 3
        part = y[:, :, :2]
        SHAPES[name](y) if not name.startswith("resize") else y
        y.mul_(2.0)
        part.mul_(5.0)
        (y * y).sum().backward()
        results.append([base.tolist(), view.tolist(), leaf.grad.tolist(), list(y.shape)])
    assert results[0] == results[1]


def test_shapes_in_place_in_a_compiled_step() -> None:
    def step(x: Any) -> Any:
        y = x * 2
        view = y[0]
        y.unsqueeze_(0).transpose_(0, 1)
        view.add_(1)
        return y

    x = fg.arange(6.0).reshape(2, 3)
    assert fg.equal(fg.jit(step)(x), step(x))
    outside = fg.zeros(1, 2)
    with pytest.raises(RuntimeError, match="outside the compiled function"):
        fg.jit(lambda: outside.squeeze_())()
    assert outside.shape == (1, 2)


def test_a_leaf_keeps_its_shape() -> None:
    for m in (torch, fg):
        x = m.zeros(1, 2, requires_grad=True)
        with pytest.raises(RuntimeError):
            x.squeeze_()


def test_resize_and_set() -> None:
    for m in (torch, fg):
        x = m.arange(6.0)
        x.resize_(2, 4)
        assert x.shape == (2, 4) and x.flatten()[:6].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
        a, b = m.zeros(3), m.ones(2, 2)
        a.set_(b)
        b.fill_(7.0)
        assert a.tolist() == [[7.0, 7.0], [7.0, 7.0]] and a.is_set_to(b)
        assert a.set_().shape == (0,)


# --- copies ---------------------------------------------------------------------------------------
COPY_CALLS: dict[str, Any] = {
    "alias_copy": (), "detach_copy": (), "diagonal_copy": (1, 0, 2), "expand_copy": ((2, 3, 4),),
    "narrow_copy": (1, 1, 2), "permute_copy": ((2, 0, 1),), "select_copy": (0, 1),
    "slice_copy": (2, 1, 4, 2), "split_copy": (2, 1), "split_with_sizes_copy": ([1, 2], 1),
    "squeeze_copy": (), "transpose_copy": (0, 1), "unbind_copy": (1,), "unfold_copy": (2, 2, 1),
    "unsqueeze_copy": (1,), "view_copy": ((6, 4),), "as_strided_copy": ((2, 2), (3, 1), 1),
}  # fmt: skip


@pytest.mark.parametrize("name", COPY_CALLS)
def test_copies(name: str) -> None:
    arguments = COPY_CALLS[name]
    base = fg.tensor(B)
    made = getattr(fg, name)(base, *arguments)
    for part in made if isinstance(made, tuple) else (made,):
        part.mul_(0.0)
    assert np.array_equal(base.numpy(), B)
    if name != "detach_copy":  # torch records it, and has no derivative
        check(lambda m, x: getattr(m, name)(x.contiguous(), *arguments), (B,))


def test_copies_of_all_views() -> None:
    assert {n for n in COPIES if hasattr(torch, n)} == set(COPIES)
    assert fg.t_copy(fg.tensor(X)).shape == (5, 4)
    pairs = fg.view_as_real_copy(fg.tensor([1 + 2j]))
    assert pairs.tolist() == [[1.0, 2.0]] and fg.view_as_complex_copy(pairs).tolist() == [1 + 2j]


# --- views that overlap ---------------------------------------------------------------------------
OVERLAPS: dict[str, Any] = {
    "unfold": lambda x: x.unfold(1, 2, 1), "unfold apart": lambda x: x.unfold(0, 1, 2),
    "unfold twice": lambda x: x.unfold(0, 2, 1).unfold(1, 2, 2),
    "unfold of a view": lambda x: x[1:, ::2].unfold(1, 2, 1),
    "as_strided": lambda x: x.as_strided((2, 3), (5, 2), 1),
    "as_strided far": lambda x: x.as_strided((2, 2), (1, 10), 3),
    "as_strided of a view": lambda x: x[1].as_strided((2, 2), (1, 2)),
    "as_strided repeats": lambda x: x.as_strided((3, 2), (1, 1), 4),
}  # fmt: skip


# what may be written through; the others refuse, where torch lets writes meet
APART = ("unfold apart", "as_strided", "as_strided far", "as_strided of a view")


@pytest.mark.parametrize("name", OVERLAPS)
def test_overlapping_views(name: str) -> None:
    """They share memory, also within a compiled step, and their gradients add up."""
    function = OVERLAPS[name]
    check(lambda m, x: function(x.contiguous()), (X,))
    results = []
    for m in (torch, fg):
        x = m.arange(20.0).reshape(4, 5)
        view = function(x)
        x.mul_(2.0)
        seen = view.tolist()
        if name in APART:
            function(x)[0].fill_(-1.0)
        results.append([seen, view.tolist(), x.tolist()])
    assert results[0] == results[1]

    def step(x: Any) -> Any:
        y = x * 2
        function(y)[0].fill_(-1.0)
        return y, function(y)

    x = fg.arange(20.0).reshape(4, 5)
    if name not in APART:
        for call in (step, fg.jit(step)):
            with pytest.raises(RuntimeError, match="memory"):
                call(x)
        return
    for a, b in zip(step(x), fg.jit(step)(x), strict=True):
        assert fg.equal(a, b)


# --- memory ---------------------------------------------------------------------------------------
def test_strided_tensors() -> None:
    for m in (torch, fg):
        assert m.empty_strided((2, 3), (1, 2)).stride() == (1, 2)
        assert m.empty_strided((2, 3), (0, 1), dtype=m.int64).dtype is m.int64
        assert m.empty_permuted((2, 3, 4), (2, 0, 1)).stride() == (3, 1, 6)
        assert m.zeros(2).new_empty_strided((2, 2), (1, 2)).shape == (2, 2)
        assert m.zeros(4, 4)[1:, 2:].storage_offset() == 6
        assert m.scalar_tensor(3).dtype is m.float32
        with pytest.raises(RuntimeError):
            m.empty_strided((2, 3), (1,))
        with pytest.raises(RuntimeError):
            m.empty_permuted((2, 3), (0, 0))


def test_foreign_memory(tmp_path: Path) -> None:
    raw = bytearray(range(16))
    for m in (torch, fg):
        assert m.frombuffer(raw, dtype=m.int16, count=2, offset=4).tolist() == [1284, 1798]
        for bad in ({"offset": 16}, {"count": 9}, {"count": 0}, {"offset": 1}):
            with pytest.raises(ValueError):
                m.frombuffer(raw, dtype=m.int16, **bad)
        array = np.arange(3)
        assert m.asarray(array)[0] == 0
        m.asarray(array)[0] = 5
        assert array[0] == 5
        m.asarray(array, copy=True)[0] = 6
        assert array[0] == 5
        with pytest.raises(ValueError):
            m.asarray([1, 2], copy=False)
        leaf = m.ones(2, requires_grad=True)
        assert m.asarray(leaf, requires_grad=True) is not None
        assert m.asarray(leaf).requires_grad
        assert not m.asarray(leaf, requires_grad=False).requires_grad
        path = str(tmp_path / m.__name__)
        mapped = m.from_file(path, shared=True, size=4, dtype=m.float64)
        mapped.fill_(2.0)
        del mapped
        assert m.from_file(path, size=4, dtype=m.float64).tolist() == [2.0] * 4
    shared = fg.ones(3)
    theirs = torch.from_dlpack(shared)
    theirs[0] = 9.0
    assert shared.tolist() == [9.0, 1.0, 1.0] and np.from_dlpack(shared)[0] == 9.0
    assert fg.from_dlpack(torch.arange(2)).tolist() == [0, 1]


CASES: dict[str, tuple[Any, ...]] = {
    "sum_to_size": (lambda m, x: x.sum_to_size(1, 3, 1), B),
    "sum_to_size fewer": (lambda m, x: x.sum_to_size(4), B),
    "unsafe_split": (lambda m, x: m.unsafe_split(x, 2, 1), B),
    "unsafe_chunk": (lambda m, x: m.unsafe_chunk(x, 2, 2), B),
    "unsafe_split_with_sizes": (lambda m, x: m.unsafe_split_with_sizes(x, (1, 2), 1), B),
    "split_with_sizes": (lambda m, x: x.split_with_sizes([1, 3], 2), B),
    "as_strided_scatter": (
        lambda m, x: m.as_strided_scatter(
            x.detach().contiguous(), m.ones(2, 2, dtype=x.dtype), (2, 2), (5, 2), 1
        ), B,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_as_torch(name: str) -> None:
    function, *arrays = CASES[name]
    check(function, arrays)


def test_as_strided_scatter_has_the_gradient_of_its_values() -> None:
    """torch gives ``input`` a gradient where ``src`` replaced it, and none elsewhere."""
    x, src = fg.arange(4.0).requires_grad_(), fg.ones(2, requires_grad=True)
    out = fg.as_strided_scatter(x, src, (2,), (2,))
    (out * fg.arange(1.0, 5.0)).sum().backward()
    assert x.grad.tolist() == [0.0, 2.0, 0.0, 4.0] and src.grad.tolist() == [1.0, 3.0]


def test_settings() -> None:
    for m in (torch, fg):
        m.use_deterministic_algorithms(True, warn_only=True)
        assert m.are_deterministic_algorithms_enabled() and m.get_deterministic_debug_mode() == 1
        m.set_deterministic_debug_mode("default")
        assert not m.are_deterministic_algorithms_enabled()
        m.set_float32_matmul_precision("high")
        assert m.get_float32_matmul_precision() == "high"
        m.set_float32_matmul_precision("highest")
        assert str(m.get_default_device()) == "cpu"
        assert m.zeros(1).get_device() == -1 and not m.zeros(1).is_inference()
    with pytest.raises(RuntimeError):
        fg.set_default_device("cuda")
    fg.set_default_device("cpu")
    assert inspect.getdoc(fg.set_default_device)
