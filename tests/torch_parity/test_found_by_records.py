"""Differences that the operator records showed, each once by name."""

from __future__ import annotations

from typing import Any

import pytest

import fusegrad as fg

torch = pytest.importorskip("torch")


# --- out= -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "name, args",
    [
        ("expand_copy", ((2, 3),)), ("narrow_copy", (0, 1, 1)), ("view_copy", ((1, 3),)),
        ("squeeze_copy", (0,)), ("permute_copy", ((0,),)), ("unfold_copy", (0, 2, 1)),
    ],
)  # fmt: skip
def test_copies_of_views_take_out(name: str, args: Any) -> None:
    """A copy is written into the tensor that is given, and that is returned."""
    out, expected = fg.empty(0), torch.empty(0)
    getattr(torch, name)(torch.arange(3.0), *args, out=expected)
    assert getattr(fg, name)(fg.arange(3.0), *args, out=out) is out
    assert out.tolist() == expected.tolist()


def test_several_copies_take_out() -> None:
    """One target for each part, and for both results of a histogram."""
    outs = (fg.empty(1), fg.empty(2))
    fg.split_with_sizes_copy(fg.arange(3.0), [1, 2], out=outs)
    assert [o.tolist() for o in outs] == [[0.0], [1.0, 2.0]]
    counts, edges = fg.empty(0), fg.empty(0)
    fg.histogram(fg.tensor([0.0, 1.0, 1.5, 4.0]), 2, out=(counts, edges))
    assert (counts.tolist(), edges.tolist()) == ([3.0, 1.0], [0.0, 2.0, 4.0])


@pytest.mark.parametrize("name", ["argmax", "argmin", "signbit", "nonzero", "isposinf"])
def test_some_outs_need_the_dtype_of_the_result(name: str) -> None:
    """Comparisons convert into any out; these do not."""
    with pytest.raises(RuntimeError):
        getattr(torch, name)(torch.ones(3), out=torch.empty(0, dtype=torch.float64))
    with pytest.raises(RuntimeError, match="desired output type"):
        getattr(fg, name)(fg.ones(3), out=fg.empty(0, dtype=fg.float64))


# --- options --------------------------------------------------------------------------------------
@pytest.mark.parametrize("options", [{"dtype": "float16"}, {"layout": "sparse_coo"}])
def test_windows_refuse_other_dtypes_and_layouts(options: dict[str, str]) -> None:
    """As PyTorch's do: float32 and float64, in strided memory."""
    theirs = {k: getattr(torch, v) for k, v in options.items()}
    ours = {k: getattr(fg, v, v) for k, v in options.items()}
    with pytest.raises(ValueError):
        torch.signal.windows.hann(3, **theirs)
    with pytest.raises(ValueError):
        fg.signal.windows.hann(3, **ours)


def test_cosines_without_coefficients() -> None:
    """None is no list of numbers; an empty list is one that is refused."""
    for lib in (torch, fg):
        with pytest.raises(TypeError):
            lib.signal.windows.general_cosine(3, a=None)  # type: ignore[attr-defined]
        with pytest.raises(ValueError):
            lib.signal.windows.general_cosine(3, a=[])  # type: ignore[attr-defined]


# --- integers -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "args", [(0, 1.2, 4), (4.3, -3, 4), (1.9, 5.2, 7), (2.5, 2.5, 1)], ids=lambda a: f"{a}"
)
def test_whole_ranges_have_whole_ends(args: Any) -> None:
    """Ends are rounded towards zero before, the numbers between them afterwards."""
    for name in ("linspace", "logspace"):
        ours = getattr(fg, name)(*args, dtype=fg.int64)
        assert ours.tolist() == getattr(torch, name)(*args, dtype=torch.int64).tolist()


@pytest.mark.parametrize("dtype", ["int64", "int32"])
@pytest.mark.parametrize("args", [(0.0, -8.000001, -4.0), (0.5, 7.9, 1.5), (5, -3, -2.5)], ids=str)
def test_whole_steps(dtype: str, args: Any) -> None:
    """Only the number of int64 elements follows from the rounded arguments."""
    ours = fg.arange(*args, dtype=getattr(fg, dtype))
    assert ours.tolist() == torch.arange(*args, dtype=getattr(torch, dtype)).tolist()


@pytest.mark.parametrize("name", ["conv2d", "conv_transpose2d"])
@pytest.mark.parametrize(
    "options", [{}, {"stride": 2, "padding": 1, "dilation": (1, 2), "groups": 2}], ids=str
)
def test_convolutions_of_integers_are_exact(name: str, options: dict[str, Any]) -> None:
    """With numbers that float64 does not hold, eagerly and compiled."""
    groups = options.get("groups", 1)
    x = torch.arange(2 * 4 * 5 * 6).reshape(2, 4, 5, 6) * 2**50 + 1
    w = torch.arange(4 * 4 // groups * 9).reshape(4, 4 // groups, 3, 3) - 7
    expected = getattr(torch.nn.functional, name)(x, w, **options)
    function = getattr(fg.nn.functional, name)
    a, b = fg.from_numpy(x.numpy()), fg.from_numpy(w.numpy())
    assert function(a, b, **options).tolist() == expected.tolist()
    assert fg.jit(lambda a, b: function(a, b, **options))(a, b).tolist() == expected.tolist()


@pytest.mark.parametrize("name", ["pairwise_distance", "triplet_margin_loss"])
def test_distances_of_integers(name: str) -> None:
    """Integers are converted, as by any function with a fractional result."""
    rows = [torch.tensor([[1, 2, 3], [4, 0, -1]]), torch.tensor([[3, 2, 1], [1, 1, 2]])]
    rows += [rows[0] + 3] if name == "triplet_margin_loss" else []
    expected = getattr(torch.nn.functional, name)(*rows)
    got = getattr(fg.nn.functional, name)(*(fg.from_numpy(r.numpy()) for r in rows))
    assert got.dtype is fg.float32 and got.tolist() == pytest.approx(expected.tolist(), rel=1e-6)


def test_lerp_keeps_the_precision_of_a_number() -> None:
    """The weight is a Python number of double precision, also past one half."""
    a, b = fg.tensor([1.0, 2.0], dtype=fg.float64), fg.tensor([3.0, 7.0], dtype=fg.float64)
    expected = torch.lerp(torch.tensor([1.0, 2.0]).double(), torch.tensor([3.0, 7.0]).double(), 0.9)
    assert fg.lerp(a, b, 0.9).tolist() == pytest.approx(expected.tolist(), rel=1e-15)
