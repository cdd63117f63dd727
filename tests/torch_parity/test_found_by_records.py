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


# --- half precision -------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_random_numbers_of_half_precision(dtype: str) -> None:
    """They are finite, below 1 and of the right spread; the 24 bits of a draw overflow float16."""
    fg.manual_seed(0)
    kind = getattr(fg, dtype)
    for draw in (fg.rand(4000, dtype=kind), fg.zeros(4000, dtype=kind).uniform_()):
        values = draw.double()
        assert 0.0 <= values.min().item() and values.max().item() < 1.0
        assert values.mean().item() == pytest.approx(0.5, abs=0.03)
    for draw in (fg.randn(4000, dtype=kind), fg.zeros(4000, dtype=kind).normal_()):
        assert draw.double().std().item() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_choices_in_half_precision(dtype: str) -> None:
    """Dropout and Bernoulli draws keep their share, which 8 bits would coarsen."""
    fg.manual_seed(0)
    kind, functional = getattr(fg, dtype), fg.nn.functional
    ones = fg.ones(100_000, dtype=kind)
    share = 1 - functional.dropout(ones, 0.003).double().ne(0).double().mean().item()
    assert share == pytest.approx(0.003, abs=0.001)
    assert fg.bernoulli(ones * 0.5).double().mean().item() == pytest.approx(0.5, abs=0.01)
    assert fg.multinomial(fg.tensor([0.0, 1.0], dtype=kind), 1).item() == 1
    pooled = functional.fractional_max_pool2d(fg.ones(1, 1, 9, 9, dtype=kind), 3, output_size=2)
    assert pooled.tolist() == [[[[1.0, 1.0], [1.0, 1.0]]]]


def test_half_precision_rounds_once() -> None:
    """What is summed or raised to a power on the way neither overflows nor rounds."""
    x = fg.tensor([8.5, 2.0], dtype=fg.float16)
    assert fg.linalg.vector_norm(x, 6).item() == 8.5
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(4, 8, 8, generator=generator).half() for _ in range(2))
    exact = torch.addbmm(torch.zeros(8, 8).double(), a.double(), b.double()).half()
    ours = fg.addbmm(fg.zeros(8, 8).half(), *(fg.from_numpy(t.numpy()) for t in (a, b)))
    assert abs(ours.numpy() - exact.numpy()).max() <= 2**-7
    power = fg.linalg.matrix_exp(fg.tensor([[0.0, 1.0], [0.0, 0.0]], dtype=fg.bfloat16))
    assert power.tolist() == [[1.0, 1.0], [0.0, 1.0]]


# --- booleans and bytes ---------------------------------------------------------------------------
def _sums_of_bools(lib: Any) -> list[Any]:
    x, at = lib.tensor([False, True, False, False]), lib.tensor([0, 0, 1])
    new = lib.tensor([True, False, True])
    found = [
        lib.index_add(x, 0, at, new), lib.scatter_add(x, 0, at, new),
        lib.put(x, at, new, accumulate=True),
        lib.index_put(x, (at,), new, accumulate=True), lib.max(x, ~x), lib.min(x, ~x),
        lib.addr(lib.zeros(3, 4).bool(), new, x, beta=3, alpha=2), x.max(), x.min(),
        *x.max(0), *x.min(0),
    ]  # fmt: skip
    for how in ("sum", "prod", "amax", "amin"):
        found += [lib.scatter_reduce(x, 0, at, new, how, include_self=s) for s in (True, False)]
    return found


def test_sums_and_extremes_of_booleans() -> None:
    """A sum is whether any is true, eagerly and compiled."""
    expected = [t.tolist() for t in _sums_of_bools(torch)]
    assert [t.tolist() for t in _sums_of_bools(fg)] == expected
    assert [t.tolist() for t in fg.jit(lambda: _sums_of_bools(fg))()] == expected


def test_dtypes_of_sums_of_bytes() -> None:
    """Axes that are summed alone become int64; what is contracted stays."""
    x, y = [[1, 2], [250, 9]], [3, 200]
    for equation, operands in (("ij->i", [x]), ("ij,j->i", [x, y]), ("ij,k->ik", [x, y])):
        theirs = torch.einsum(equation, *(torch.tensor(v, dtype=torch.uint8) for v in operands))
        ours = fg.einsum(equation, *(fg.tensor(v, dtype=fg.uint8) for v in operands))
        assert (ours.dtype.name, ours.tolist()) == (str(theirs.dtype)[6:], theirs.tolist())
    assert fg.tensor(3, dtype=fg.uint8).sum_to_size().dtype is fg.int64
    assert fg.unravel_index(fg.tensor([5], dtype=fg.uint8), (2, 3))[0].dtype is fg.int64


def test_bytes_wrap_and_overflow() -> None:
    """A negative fill wraps, one that is too large is refused; -x wraps before it is converted."""
    assert (
        fg.full((1,), -9, dtype=fg.uint8).item() == torch.full((1,), -9, dtype=torch.uint8).item()
    )
    for value in (256, -256, -2.7):
        with pytest.raises(RuntimeError, match="overflow"):
            fg.full((1,), value, dtype=fg.uint8)
        with pytest.raises(RuntimeError, match="overflow"):
            torch.full((1,), value, dtype=torch.uint8)
    theirs = torch.nn.functional.softmin(torch.tensor([0, 3]).byte(), 0, dtype=torch.float64)
    ours = fg.nn.functional.softmin(fg.tensor([0, 3]).byte(), 0, dtype=fg.float64)
    assert ours.tolist() == pytest.approx(theirs.tolist(), rel=1e-12)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(3, 3), (7, 9)])
def test_images_of_bytes_are_resized_with_rounding(mode: str, size: tuple[int, int]) -> None:
    """Weights are whole multiples of a power of two; taps at the border are one."""
    x = torch.randint(0, 256, (2, 3, 4, 5), generator=torch.Generator().manual_seed(0)).byte()
    theirs = torch.nn.functional.interpolate(x, size, mode=mode)
    ours = fg.nn.functional.interpolate(fg.from_numpy(x.numpy()), size, mode=mode)
    assert ours.dtype is fg.uint8 and ours.tolist() == theirs.tolist()


def test_slopes_of_powers_in_half_precision() -> None:
    """Their factors leave the range of float16 though the slope is in it."""
    x = fg.tensor([5.0], dtype=fg.float16, requires_grad=True)
    y = fg.tensor([6.0], dtype=fg.float16, requires_grad=True)
    (slope,) = fg.autograd.grad(fg.pow(x, y).sum() * 0.25, x)
    assert slope.item() == pytest.approx(0.25 * 6 * 5**5, rel=1e-3)


@pytest.mark.parametrize("name", ["scatter", "scatter_add", "scatter_reduce"])
def test_an_index_without_elements_places_nothing(name: str) -> None:
    """Its other extents are not looked at."""
    results = []
    for lib in (torch, fg):
        x, src = lib.ones(2, 1, 3), lib.ones(1, 1, 2)
        at = lib.zeros(3, 2, 0, dtype=lib.int64)
        more = ("sum",) if name == "scatter_reduce" else ()
        results.append(getattr(lib, name)(x, 1, at, src, *more).tolist())
    assert results[0] == results[1]
