"""``out=`` and memory formats: identity, resizing, refusals, strides, and the same under jit."""

import numpy as np
import pytest

import fusegrad as fg


def test_out_is_returned_and_resized() -> None:
    out = fg.empty(0)
    assert fg.add(fg.ones(3), 1, out=out) is out
    assert out.tolist() == [2.0, 2.0, 2.0]
    with pytest.warns(UserWarning, match="resized"):
        fg.sum(fg.ones(2, 2), dim=0, out=out)
    assert out.tolist() == [2.0, 2.0]


def test_out_of_several_results_keeps_their_names() -> None:
    values, indices = fg.empty(0), fg.empty(0, dtype=fg.int64)
    found = fg.sort(fg.tensor([2.0, 1.0]), out=(values, indices))
    assert found.values is values and found.indices is indices
    assert values.tolist() == [1.0, 2.0] and indices.tolist() == [1, 0]


def test_out_may_overlap_an_operand() -> None:
    x = fg.arange(5.0)
    fg.add(x[:-1], x[1:], out=x[1:])
    assert x.tolist() == [0.0, 1.0, 3.0, 5.0, 7.0]


def test_out_refuses_a_lesser_dtype_and_a_history() -> None:
    with pytest.raises(RuntimeError, match="can't be cast"):
        fg.exp(fg.ones(2), out=fg.empty(2, dtype=fg.int64))
    with pytest.raises(RuntimeError, match="automatic differentiation"):
        fg.exp(fg.ones(2, requires_grad=True), out=fg.empty(2))
    with pytest.raises(TypeError, match="must be a tensor"):
        fg.exp(fg.ones(2), out=np.ones(2))


def test_out_under_jit_writes_the_memory_it_was_given() -> None:
    out = fg.zeros(3)
    step = fg.jit(lambda x: fg.mul(x, 2, out=out))
    for k in (1.0, 2.0):
        step(fg.full((3,), k))
        assert out.tolist() == [2 * k] * 3
    with pytest.raises(RuntimeError, match="keeps its shape"):
        fg.jit(lambda x: fg.mul(x, 2, out=out))(fg.ones(4))


def test_memory_formats_change_strides_only() -> None:
    x = fg.randn(2, 3, 4, 5, requires_grad=True)
    y = x.contiguous(memory_format=fg.channels_last)
    assert y.stride() == (60, 1, 15, 3) and fg.equal(x, y)
    assert y.is_contiguous(memory_format=fg.channels_last) and not y.is_contiguous()
    assert x.double(memory_format=fg.channels_last).stride() == (60, 1, 15, 3)
    (y * fg.arange(120.0).reshape(2, 3, 4, 5)).sum().backward()
    assert x.grad.flatten().tolist() == list(range(120))
    compiled = fg.jit(lambda x: x.clone(memory_format=fg.channels_last) * 2)
    assert fg.equal(compiled(x.detach()), x.detach() * 2)
    with pytest.raises(RuntimeError, match="rank 4"):
        fg.ones(2, 3).contiguous(memory_format=fg.channels_last)


def test_as_strided_of_a_view_counts_from_the_memory() -> None:
    x = fg.arange(6.0)
    assert x[2:].as_strided((2,), (1,), 0).tolist() == [0.0, 1.0]
    assert x[2:].as_strided((2,), (1,)).tolist() == [2.0, 3.0]


def test_cosine_similarity_broadcasts_before_the_norms() -> None:
    a, b = fg.tensor([[1.0, 2.0]]), fg.tensor([[1.0], [2.0]])
    found = fg.nn.functional.cosine_similarity(a, b, dim=0)
    expected = fg.nn.functional.cosine_similarity(a.expand(2, 2), b.expand(2, 2), dim=0)
    assert found.tolist() == expected.tolist()
