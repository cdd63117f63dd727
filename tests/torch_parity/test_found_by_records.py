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
