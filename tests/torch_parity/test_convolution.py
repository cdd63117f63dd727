"""Convolutions: results, first and second derivatives, layers and refusals equal PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from slices import by_turns

import fusegrad as fg

# PyTorch warns that it copies its input for even windows with padding "same".
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")

# rank, images, channels, outputs, extents, window, options
CASES: list[tuple[int, int, int, int, tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    (1, 2, 3, 4, (9,), (3,), {}),
    (1, 1, 4, 6, (11,), (4,), {"stride": 3, "padding": 2, "groups": 2}),
    (1, 19, 2, 3, (8,), (3,), {"padding": "same", "dilation": 2}),
    (2, 2, 3, 5, (7, 6), (3, 3), {"padding": 1}),
    (2, 3, 4, 4, (8, 7), (3, 2), {"stride": 2, "padding": (1, 0)}),
    (2, 2, 4, 8, (9, 9), (3, 3), {"dilation": (2, 1), "padding": 2, "groups": 4}),
    (2, 17, 3, 2, (5, 5), (5, 5), {"padding": 2}),
    (2, 2, 3, 4, (6, 6), (4, 3), {"padding": "same"}),
    (2, 2, 3, 4, (6, 6), (2, 3), {"padding": "valid"}),
    (2, 2, 5, 7, (6, 5), (1, 1), {}),
    (2, 2, 3, 4, (7, 7), (1, 1), {"stride": 2}),
    (2, 2, 3, 4, (7, 7), (2, 2), {"stride": 3}),
    (2, 1, 40, 9, (4, 4), (3, 3), {"padding": 1}),
    (3, 2, 2, 3, (4, 5, 3), (2, 3, 2), {"padding": (0, 1, 1)}),
    (3, 1, 4, 4, (5, 4, 5), (3, 3, 3), {"stride": (1, 2, 2), "padding": 1, "groups": 2}),
]
TRANSPOSED: list[tuple[int, int, int, int, tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    (1, 2, 3, 4, (5,), (3,), {}),
    (1, 2, 4, 6, (5,), (4,), {"stride": 3, "padding": 1, "output_padding": 2, "groups": 2}),
    (2, 2, 3, 4, (4, 5), (2, 2), {"stride": 2}),
    (2, 17, 3, 4, (4, 5), (3, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
    (2, 2, 3, 4, (4, 5), (3, 2), {"stride": (1, 3), "dilation": (2, 1)}),
    (2, 2, 4, 2, (4, 4), (1, 1), {"stride": 3}),
    (2, 2, 4, 4, (4, 4), (3, 3), {"groups": 4, "padding": 1}),
    (3, 1, 2, 3, (3, 2, 3), (2, 3, 2), {"stride": 2, "padding": (0, 1, 0)}),
]


def operands(compare: Any, case: Any, transposed: bool) -> tuple[np.ndarray, ...]:
    _, n, channels, outputs, extents, window, options = case
    groups = options.get("groups", 1)
    shape = (channels, outputs // groups) if transposed else (outputs, channels // groups)
    arrays = ((n, channels, *extents), (*shape, *window), (outputs,))
    return tuple(compare.randn(*s) for s in arrays)


def functions(case: Any, transposed: bool) -> tuple[Any, Any]:
    name = f"conv{'_transpose' if transposed else ''}{case[0]}d"
    ours, theirs = getattr(fg, name), getattr(torch.nn.functional, name)
    options = case[-1]
    return (lambda *a: ours(*a, **options)), (lambda *a: theirs(*a, **options))


BOTH = [(c, False) for c in CASES] + [(c, True) for c in TRANSPOSED]
PARAMETERS = pytest.mark.parametrize(
    ("case", "transposed"), BOTH, ids=[f"{'t' if t else 'c'}{k}" for k, (_, t) in enumerate(BOTH)]
)


@PARAMETERS
def test_values_and_gradients(compare: Any, case: Any, transposed: bool) -> None:
    compare.check(*functions(case, transposed), *operands(compare, case, transposed), rtol=1e-10)


@PARAMETERS
def test_compiled(compare: Any, case: Any, transposed: bool) -> None:
    """The kernels against PyTorch, in one compiled step with an epilogue."""
    ours, theirs = functions(case, transposed)
    arrays = operands(compare, case, transposed)

    def step(x: Any, w: Any, b: Any) -> Any:
        leaves = [t.detach().requires_grad_() for t in (x, w, b)]
        out = ours(*leaves)
        (out.tanh() * out).sum().backward()
        return out, [t.grad for t in leaves]

    out, grads = fg.jit(step)(*[fg.tensor(a) for a in arrays])
    leaves = [torch.from_numpy(a).requires_grad_() for a in arrays]
    want = theirs(*leaves)
    (want.tanh() * want).sum().backward()
    compare.close(out, want, rtol=1e-10, atol=1e-10)
    for grad, leaf in zip(grads, leaves, strict=True):
        compare.close(grad, leaf.grad, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("which", "compiled"), by_turns(range(len(BOTH)), [True, False]))
def test_second_derivatives(compare: Any, which: int, compiled: bool) -> None:
    case, transposed = BOTH[which]
    ours, theirs = functions(case, transposed)
    arrays = operands(compare, case, transposed)[:2]

    def second(library: Any, function: Any, x: Any, w: Any) -> Any:
        x, w = x.detach().requires_grad_(), w.detach().requires_grad_()
        gx, gw = library.autograd.grad(function(x, w).sin().sum(), (x, w), create_graph=True)
        return library.autograd.grad((gx * gx).sum() + (gw * gw * gw).sum(), (x, w))

    step = fg.jit(lambda x, w: second(fg, ours, x, w)) if compiled else None
    found = (step or (lambda x, w: second(fg, ours, x, w)))(*[fg.tensor(a) for a in arrays])
    want = second(torch, theirs, *[torch.from_numpy(a) for a in arrays])
    for a, b in zip(found, want, strict=True):
        scale = float(b.abs().max())
        compare.close(a, b, rtol=1e-9, atol=1e-10 * scale)


def test_one_image(compare: Any) -> None:
    x, w, b = compare.randn(3, 6, 5), compare.randn(4, 3, 3, 3), compare.randn(4)
    compare.check(fg.conv2d, torch.nn.functional.conv2d, x, w, b)
    w = compare.randn(3, 4, 2, 2)
    compare.check(fg.conv_transpose2d, torch.nn.functional.conv_transpose2d, x, w, b)


@pytest.mark.parametrize("compiled", [False, True])
def test_empty_batch(compiled: bool) -> None:
    def step(x: Any, w: Any) -> Any:
        x, w = x.detach().requires_grad_(), w.detach().requires_grad_()
        out = fg.conv2d(x, w, padding=1)
        out.sum().backward()
        return out, x.grad, w.grad

    out, gx, gw = (fg.jit(step) if compiled else step)(fg.zeros(0, 2, 4, 4), fg.ones(3, 2, 3, 3))
    assert tuple(out.shape) == (0, 3, 4, 4) and tuple(gx.shape) == (0, 2, 4, 4)
    np.testing.assert_array_equal(gw.numpy(), np.zeros((3, 2, 3, 3), np.float32))


@pytest.mark.parametrize("compiled", [False, True])
def test_nan_and_infinity_stay_where_the_window_is(compare: Any, compiled: bool) -> None:
    """An element reaches only the windows that hold it."""
    x, w = compare.randn(2, 3, 9, 9), compare.randn(4, 3, 3, 3)
    x[0, 1, 4, 5], x[1, 0, 0, 0], x[1, 2, 8, 8] = np.nan, np.inf, -np.inf

    def ours(x: Any, w: Any) -> Any:
        return fg.conv2d(x, w, padding=1)

    found = (fg.jit(ours) if compiled else ours)(fg.tensor(x), fg.tensor(w)).numpy()
    want = torch.nn.functional.conv2d(torch.from_numpy(x), torch.from_numpy(w), padding=1).numpy()
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(want))
    np.testing.assert_allclose(found[np.isfinite(want)], want[np.isfinite(want)], rtol=1e-10)


def test_strided_operands(compare: Any) -> None:
    """Views as operands: transposed images, every second channel."""
    x, w = compare.randn(6, 5, 4, 3), compare.randn(8, 3, 3, 3)

    def ours(x: Any, w: Any) -> Any:
        return fg.conv2d(x.permute(2, 3, 0, 1), w[::2], padding=1)

    want = torch.nn.functional.conv2d(
        torch.from_numpy(x).permute(2, 3, 0, 1), torch.from_numpy(w)[::2], padding=1
    )
    for function in (ours, fg.jit(ours)):
        compare.close(function(fg.tensor(x), fg.tensor(w)), want, rtol=1e-10)


def test_half_precision(compare: Any) -> None:
    x, w = (compare.randn(*s, dtype=np.float16) for s in ((2, 3, 6, 6), (4, 3, 3, 3)))
    found = fg.conv2d(fg.tensor(x), fg.tensor(w))
    want = torch.nn.functional.conv2d(torch.from_numpy(x), torch.from_numpy(w))
    assert found.dtype is fg.float16
    np.testing.assert_allclose(found.numpy(), want.numpy(), rtol=4e-3, atol=4e-3)


# --- layers ---------------------------------------------------------------------------------------
LAYERS: list[tuple[str, tuple[Any, ...], dict[str, Any], tuple[int, ...]]] = [
    ("Conv1d", (4, 6, 3), {}, (2, 4, 9)),
    ("Conv1d", (4, 6, 4), {"padding": "same", "padding_mode": "circular"}, (2, 4, 9)),
    ("Conv2d", (4, 6, 3), {"padding": 1, "bias": False}, (2, 4, 6, 7)),
    ("Conv2d", (4, 6, (3, 2)), {"stride": (2, 1), "dilation": 2, "groups": 2}, (2, 4, 8, 7)),
    ("Conv2d", (4, 6, 3), {"padding": (2, 1), "padding_mode": "reflect"}, (2, 4, 6, 7)),
    ("Conv2d", (4, 6, 3), {"padding": (2, 1), "padding_mode": "replicate"}, (4, 6, 7)),
    ("Conv2d", (4, 6, 5), {"padding": 6, "padding_mode": "circular", "stride": 2}, (2, 4, 6, 7)),
    ("Conv2d", (4, 6, 3), {"padding": "valid"}, (4, 6, 7)),
    ("Conv3d", (2, 4, 3), {"padding": 1, "stride": 2, "groups": 2}, (1, 2, 4, 5, 6)),
    ("ConvTranspose1d", (4, 6, 3), {"stride": 2}, (2, 4, 5)),
    ("ConvTranspose2d", (4, 6, 3), {"stride": 2, "padding": 1, "output_padding": 1}, (2, 4, 5, 4)),
    ("ConvTranspose2d", (4, 6, 2), {"groups": 2, "bias": False, "dilation": 2}, (4, 5, 4)),
    ("ConvTranspose3d", (2, 3, 2), {"stride": 2}, (1, 2, 3, 2, 3)),
]


@pytest.mark.parametrize(("name", "args", "options", "shape"), LAYERS)
def test_layers(
    compare: Any, same_state: Any, name: str, args: Any, options: Any, shape: Any
) -> None:
    ours = getattr(fg.nn, name)(*args, **options, dtype=fg.float64)
    theirs = getattr(torch.nn, name)(*args, **options, dtype=torch.float64)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for key, value in theirs.state_dict().items():
        assert tuple(ours.state_dict()[key].shape) == tuple(value.shape)
        fan_in = np.prod(theirs.weight.shape[1:])
        assert 0 < float(ours.state_dict()[key].abs().max()) <= fan_in**-0.5
    same_state(ours, theirs)
    parameters = (list(ours.parameters()), list(theirs.parameters()))
    compare.check(ours, theirs, compare.randn(*shape), params=parameters, rtol=1e-9)


def test_output_size(compare: Any, same_state: Any) -> None:
    ours = fg.nn.ConvTranspose2d(2, 3, 3, stride=3, dtype=fg.float64)
    theirs = torch.nn.ConvTranspose2d(2, 3, 3, stride=3, dtype=torch.float64)
    same_state(ours, theirs)
    for size in ([12, 14], [2, 3, 13, 13]):
        compare.check(
            lambda x, s=size: ours(x, output_size=s),
            lambda x, s=size: theirs(x, output_size=s),
            compare.randn(2, 2, 4, 4),
        )
    for library, layer in ((fg, ours), (torch, theirs)):
        with pytest.raises(ValueError, match="size"):
            layer(library.zeros(2, 2, 4, 4, dtype=library.float64), output_size=[20, 12])


# --- refusals -------------------------------------------------------------------------------------
REFUSED: list[tuple[str, tuple[Any, ...], tuple[Any, ...], dict[str, Any]]] = [
    ("conv2d", (2, 3, 5, 5), (4, 2, 3, 3), {}),
    ("conv2d", (2, 3, 5, 5), (4, 3, 3), {}),
    ("conv2d", (5, 5), (4, 3, 3, 3), {}),
    ("conv2d", (2, 3, 5, 5), (4, 3, 7, 7), {"padding": 0}),
    ("conv2d", (2, 3, 5, 5), (4, 3, 3, 3), {"padding": -1}),
    ("conv2d", (2, 3, 5, 5), (4, 3, 3, 3), {"padding": "full"}),
    ("conv2d", (2, 3, 5, 5), (4, 3, 3, 3), {"padding": "same", "stride": 2}),
    ("conv2d", (2, 3, 5, 5), (4, 3, 3, 3), {"stride": 0}),
    ("conv2d", (2, 3, 5, 5), (4, 3, 3, 3), {"dilation": 0}),
    ("conv2d", (2, 3, 5, 5), (4, 3, 3, 3), {"stride": (1, 1, 1)}),
    ("conv2d", (2, 4, 5, 5), (5, 2, 3, 3), {"groups": 2}),
    ("conv1d", (2, 3, 5), (4, 3, 3), {"groups": 0}),
    ("conv_transpose2d", (2, 3, 5, 5), (4, 3, 3, 3), {}),
    ("conv_transpose2d", (2, 4, 5, 5), (4, 3, 3, 3), {"output_padding": 1}),
    ("conv_transpose1d", (2, 3, 2), (3, 3, 2), {"padding": 3}),
]


@pytest.mark.parametrize(("name", "x", "w", "options"), REFUSED)
def test_refusals(name: str, x: Any, w: Any, options: Any) -> None:
    with pytest.raises(RuntimeError):
        getattr(torch.nn.functional, name)(torch.zeros(x), torch.zeros(w), **options)
    with pytest.raises(RuntimeError) as caught:
        getattr(fg, name)(fg.zeros(*x), fg.zeros(*w), **options)
    what, where, why, repair = str(caught.value).split("\n")
    assert what.startswith(name) and "test_convolution.py" in where
    assert why.strip().endswith(".") and repair.strip().startswith("Try: ")


def test_refused_dtypes_and_bias() -> None:
    x, w = fg.zeros(2, 3, 5, 5), fg.zeros(4, 3, 3, 3)
    with pytest.raises(RuntimeError, match="one dtype, of numbers"):
        fg.conv2d(x, w.double())
    with pytest.raises(RuntimeError, match="one dtype, of numbers"):
        fg.conv2d(x.bool(), w.bool())
    with pytest.raises(RuntimeError, match="one value for each of the 4 output channels"):
        fg.conv2d(x, w, fg.zeros(3))


BAD_LAYERS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("Conv2d", (3, 4, 3), {"groups": 2}),
    ("Conv2d", (4, 3, 3), {"groups": 2}),
    ("Conv2d", (4, 4, 3), {"groups": 0}),
    ("Conv2d", (4, 4, 3), {"padding": "full"}),
    ("Conv2d", (4, 4, 3), {"padding": "same", "stride": 2}),
    ("Conv2d", (4, 4, 3), {"padding_mode": "mirror"}),
    ("ConvTranspose2d", (4, 4, 3), {"padding_mode": "reflect"}),
]


@pytest.mark.parametrize(("name", "args", "options"), BAD_LAYERS)
def test_refused_layers(name: str, args: Any, options: Any) -> None:
    with pytest.raises(ValueError):
        getattr(torch.nn, name)(*args, **options)
    with pytest.raises(ValueError, match=f"{name} with .*\n.*\n.*\n  Try: "):
        getattr(fg.nn, name)(*args, **options)
