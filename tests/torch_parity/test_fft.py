"""``fg.fft``, ``stft`` and ``istft`` against PyTorch: every option, both derivatives, jit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fusegrad as fg
from fusegrad.testing import assert_same

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{text}")
    for text in ("A window was not", "stft with return_complex", "The length of signal", "istft")
]

RNG = np.random.default_rng(0)
REAL = RNG.normal(size=(3, 4, 5))
COMPLEX = REAL + 1j * RNG.normal(size=(3, 4, 5))
FAMILIES = {"fft": "both", "ifft": "both", "rfft": "real", "irfft": "both", "hfft": "both",
            "ihfft": "real"}  # fmt: skip
ONE = [{}, {"n": 3}, {"n": 8, "dim": 0}, {"n": 1}, {"dim": 1, "norm": "ortho"}, {"norm": "forward"}]
SEVERAL = [{}, {"s": (3, 8)}, {"s": (6, -1), "dim": (2, 0)}, {"dim": (0, 1), "norm": "ortho"},
           {"norm": "forward"}]  # fmt: skip


def cases() -> list[Any]:
    out = []
    for name, kind in FAMILIES.items():
        for suffix, options in (("", ONE), ("2", SEVERAL), ("n", SEVERAL)):
            for k, given in enumerate(options):
                for part in ("real", "complex") if kind == "both" else ("real",):
                    out.append(
                        pytest.param(
                            f"{name}{suffix}", given, part, id=f"{name}{suffix}-{k}-{part}"
                        )
                    )
    return out


def levels(m: Any, name: str, options: Any, array: Any) -> list[Any]:
    x = m.from_numpy(array.copy()).requires_grad_()
    out = getattr(m.fft, name)(x, **options)
    found = [out]
    for _ in range(2):
        weights = m.from_numpy(np.cos(np.arange(found[-1].numel())).reshape(tuple(found[-1].shape)))
        total = (found[-1] * weights * found[-1].abs()).sum()
        total = total.real if total.is_complex() else total
        found.append(m.autograd.grad(total, x, create_graph=True)[0])
    return [t.detach() for t in found]


@pytest.mark.parametrize(("name", "options", "part"), cases())
def test_transform_and_derivatives(name: str, options: Any, part: str) -> None:
    array = REAL if part == "real" else COMPLEX
    for ours, theirs in zip(
        levels(fg, name, options, array), levels(torch, name, options, array), strict=True
    ):
        assert str(ours.dtype).split(".")[1] == str(theirs.dtype).split(".")[1]
        np.testing.assert_allclose(
            ours.numpy(), theirs.resolve_conj().numpy(), rtol=1e-9, atol=1e-9
        )


@pytest.mark.parametrize("name", FAMILIES)
def test_dtypes(name: str) -> None:
    """Single precision stays single; integers become the default dtype."""
    for dtype in ("float32", "float64", "int64", "bool", "complex64"):
        if dtype == "complex64" and FAMILIES[name] == "real":
            continue
        ours = getattr(fg.fft, name)(fg.ones(4).to(getattr(fg, dtype)))
        theirs = getattr(torch.fft, name)(torch.ones(4).to(getattr(torch, dtype)))
        assert str(ours.dtype).split(".")[1] == str(theirs.dtype).split(".")[1]
        np.testing.assert_allclose(ours.numpy(), theirs.resolve_conj().numpy(), atol=1e-6)


def test_jit_is_eager() -> None:
    def run(x: Any, z: Any) -> Any:
        x, z = x.detach().requires_grad_(), z.detach().requires_grad_()
        half = fg.fft.rfft(x, norm="ortho") * fg.fft.rfft(x).conj()
        back = fg.fft.irfft(half, 5) + fg.fft.hfft(z, 5) + fg.fft.fftn(z).abs()
        grads = fg.autograd.grad(back.square().sum(), [x, z])
        return back.detach(), *grads, fg.fft.ihfft(x.detach()), fg.fft.ifft2(z.detach())

    assert_same(run, fg.from_numpy(REAL), fg.from_numpy(COMPLEX), rtol=1e-10)


@pytest.mark.parametrize("n", [1, 2, 5, 6])
def test_frequencies_and_shifts(n: int) -> None:
    for name in ("fftfreq", "rfftfreq"):
        ours, theirs = getattr(fg.fft, name)(n, d=0.5), getattr(torch.fft, name)(n, d=0.5)
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-6)
    x = np.arange(n * 3.0).reshape(n, 3)
    for name in ("fftshift", "ifftshift"):
        for dim in (None, 0, (0, 1), -1):
            ours = getattr(fg.fft, name)(fg.from_numpy(x), dim)
            theirs = getattr(torch.fft, name)(torch.from_numpy(x), dim)
            np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.fft.fft(m.ones(3), 0),
        lambda m: m.fft.fft(m.ones(3), norm="other"),
        lambda m: m.fft.rfft(m.ones(3, dtype=m.complex64)),
        lambda m: m.fft.fftn(m.ones(3, 3), dim=(0, 0)),
        lambda m: m.fft.fftn(m.ones(3, 3), s=(2,), dim=(0, 1)),
        lambda m: m.fft.fftn(m.ones(3), s=(2, 2)),
        lambda m: m.fft.irfft(m.ones(1)),
        lambda m: m.fft.rfftn(m.ones(3), dim=()),
        lambda m: m.fft.fft(m.ones(3, dtype=m.float16)),
        lambda m: m.stft(m.ones(16), 4),
        lambda m: m.stft(m.ones(16), 32, center=False, return_complex=True),
        lambda m: m.stft(m.ones(16), 4, hop_length=0, return_complex=True),
        lambda m: m.stft(m.ones(16), 4, win_length=5, return_complex=True),
        lambda m: m.stft(m.ones(16), 4, window=m.ones(3), return_complex=True),
        lambda m: m.istft(m.ones(3, 17), 4),
        lambda m: m.istft(m.ones(4, 17, dtype=m.complex64), 8),
    ],
)
def test_errors_are_pytorchs(call: Any) -> None:
    with pytest.raises(RuntimeError):
        call(torch)
    with pytest.raises(RuntimeError):
        call(fg)


def test_out_and_empty_batches() -> None:
    out = fg.zeros(4, dtype=fg.complex64)
    assert fg.fft.fft(fg.ones(4), out=out) is out and out[0].item() == 4
    assert fg.fft.rfft(fg.zeros(0, 4)).shape == (0, 3)
    assert fg.fft.irfft(fg.zeros(0, 3, dtype=fg.complex64)).shape == (0, 4)


# --- windows --------------------------------------------------------------------------------------
SIGNAL = RNG.normal(size=(2, 40))
WINDOW = 0.5 + RNG.random(size=6)
STFT = [
    {"return_complex": True},
    {"return_complex": False, "hop_length": 3},
    {"return_complex": True, "win_length": 6, "window": WINDOW},
    {"return_complex": True, "center": False, "normalized": True},
    {"return_complex": True, "center": False, "win_length": 6, "align_to_window": True},
    {"return_complex": True, "center": False, "win_length": 6, "align_to_window": False},
    {"return_complex": True, "onesided": False, "pad_mode": "constant"},
    {"return_complex": True, "window": WINDOW + 1j, "win_length": 6},
]


def given(m: Any, options: Any) -> Any:
    return {k: m.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}


@pytest.mark.parametrize("options", STFT)
@pytest.mark.parametrize("shape", ["batch", "single", "complex"])
def test_stft(options: Any, shape: str) -> None:
    array = {"batch": SIGNAL, "single": SIGNAL[0], "complex": SIGNAL + 1j}[shape]
    if shape == "complex" and options.get("onesided") is None:
        options = {**options, "onesided": False}
    ours = fg.stft(fg.from_numpy(array), 8, **given(fg, options))
    theirs = torch.stft(torch.from_numpy(array), 8, **given(torch, options))
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "options",
    [
        {}, {"hop_length": 3}, {"length": 37}, {"center": False, "window": None},
        {"normalized": True}, {"win_length": 6, "window": WINDOW}, {"onesided": False},
        {"onesided": False, "return_complex": True},
    ],
)  # fmt: skip
def test_istft(options: Any) -> None:
    points = 8 if options.get("onesided") is False else 5
    z = RNG.normal(size=(2, points, 12)) + 1j * RNG.normal(size=(2, points, 12))
    found = []
    for m in (fg, torch):
        x = m.from_numpy(z.copy()).requires_grad_()
        out = m.istft(x, 8, **given(m, options))
        (out.abs() ** 2).sum().backward()
        found.append((out.detach().numpy(), x.grad.numpy()))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


def test_istft_names_points_that_no_window_covers() -> None:
    z = fg.ones(5, 4, dtype=fg.complex64)
    with pytest.raises(RuntimeError, match="window overlap add min"):
        fg.istft(z, 8, window=fg.zeros(8))


def test_stft_derivatives_and_jit() -> None:
    def run(x: Any, window: Any) -> Any:
        x, window = x.detach().requires_grad_(), window.detach().requires_grad_()
        spectra = fg.stft(x, 8, 2, 6, window, return_complex=True)
        back = fg.istft(spectra * 2, 8, 2, 6, window)
        loss = spectra.abs().square().sum() + back.square().sum()
        return loss.detach(), *fg.autograd.grad(loss, [x, window])

    assert_same(run, fg.from_numpy(SIGNAL), fg.from_numpy(WINDOW), rtol=1e-9)
