"""``fg.stft`` and ``fg.istft``: transforms of overlapping windows, compositions of ``fg.fft``.

The inverse is the least-squares signal (D. Griffin and J. Lim 1984, "Signal estimation from
modified short-time Fourier transform"): windows added up, divided by the sum of squared windows.
"""

from __future__ import annotations

import warnings
from typing import Any

from . import fft
from .dtypes import complex_dtype
from .errors import DTypeError, RangeError, ShapeError
from .functions.arithmetic import div
from .functions.arrangement import unfold
from .functions.common import cast, method
from .functions.complex import real, view_as_real
from .functions.creation import arange, ones, zeros
from .functions.pointwise import add, mul, square
from .functions.scattering import index_add
from .functions.shape import narrow, pad_constant, reshape, transpose
from .nn.functional.padding import pad
from .tensor import Tensor


def _lengths(
    name: str, n_fft: int, hop_length: int | None, win_length: int | None, window: Tensor | None
) -> tuple[int, int]:
    """The step between windows and their length, checked."""
    hop = n_fft // 4 if hop_length is None else hop_length
    length = n_fft if win_length is None else win_length
    if hop <= 0:
        raise RangeError(f"{name} with hop_length={hop}", "Expected hop_length > 0.")
    if not 0 < length <= n_fft:
        raise RangeError(
            f"{name} with win_length={length}", f"Expected 0 < win_length <= n_fft = {n_fft}."
        )
    if window is not None and window.aval.shape != (length,):
        raise ShapeError(
            f"{name} with window {window.aval}",
            f"Expected a 1D window tensor of size equal to win_length={length}.",
        )
    return hop, length


def _padded_window(window: Tensor | None, length: int, n_fft: int, like: Tensor) -> Tensor | None:
    """The window in the middle of ``n_fft`` points; ``None`` when all of it is one."""
    if window is None:
        if length == n_fft:
            return None
        window = ones(length, dtype=real(like).dtype)
    left = (n_fft - length) // 2
    return pad_constant(window, [left, n_fft - length - left]) if length < n_fft else window


def _batched(name: str, x: Tensor, ndims: tuple[int, int]) -> Tensor:
    if x.aval.ndim not in ndims:
        raise ShapeError(f"{name} of {x.aval}", f"Expected a {ndims[0]}D or {ndims[1]}D tensor.")
    return reshape(x, (1, *x.aval.shape)) if x.aval.ndim == ndims[0] else x


@method()
def stft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Tensor:
    """Fourier transforms of windows along a signal.

    Args:
        input: ``(L,)`` or ``(B, L)``, real or complex.
        n_fft: points of each transform.
        hop_length: distance of windows, ``n_fft // 4`` when ``None``.
        win_length: points of the window, ``n_fft`` when ``None``; zeros fill it up to ``n_fft``.
        window: ``(win_length,)``; ones when ``None``.
        center: pad so that window t is centred at ``t * hop_length``.
        pad_mode: how, see ``nn.functional.pad``.
        normalized: divide by ``sqrt(n_fft)``.
        onesided: only frequencies that are not conjugates; ``True`` for real signal and window.
        return_complex: ``False`` gives parts along a last axis; must be given for real signals.
        align_to_window: without ``center``, the first window (not its zeros) begins at 0.

    Returns:
        ``(B?, frequencies, windows)``, complex.

    Raises:
        RuntimeError: lengths that do not fit, missing ``return_complex``, another number of axes.

    Example:
        >>> import fusegrad as fg
        >>> fg.stft(fg.ones(16), 4, return_complex=True).shape
        fusegrad.Size([3, 17])
    """
    _check_options(input, window, center, return_complex, align_to_window)
    x = _batched("stft", input, (1, 2))
    if center:
        x = _extended(x, n_fft // 2, pad_mode)
    hop, length = _lengths("stft", n_fft, hop_length, win_length, window)
    if not 0 < n_fft <= x.aval.shape[-1]:
        raise RangeError(
            f"stft of {input.aval} with n_fft={n_fft}",
            f"Expected 0 < n_fft <= {x.aval.shape[-1]}, the points of the signal.",
        )
    if align_to_window:
        x = _aligned(x, n_fft, length, hop)
    out = _transforms(x, n_fft, hop, _padded_window(window, length, n_fft, x), normalized, onesided)
    if input.aval.ndim == 1:
        out = reshape(out, out.aval.shape[1:])
    return out if return_complex or return_complex is None else view_as_real(out)


def _check_options(
    input: Tensor,
    window: Tensor | None,
    center: bool,
    return_complex: bool | None,
    align_to_window: bool | None,
) -> None:
    if center and align_to_window is not None:
        raise RangeError(
            "stft with center=True and align_to_window",
            "stft align_to_window should only be set when center = false.",
        )
    whole = input.dtype.is_complex or (window is not None and window.dtype.is_complex)
    if return_complex is None and not whole:
        raise RangeError(
            f"stft of {input.aval}",
            "stft requires the return_complex parameter be given for real inputs.",
            "return_complex=True",
        )


def _extended(x: Tensor, by: int, mode: str) -> Tensor:
    framed = pad(reshape(x, (1, *x.aval.shape)), (by, by), mode)
    return reshape(framed, framed.aval.shape[1:])


def _aligned(x: Tensor, n_fft: int, length: int, hop: int) -> Tensor:
    """Zeros so that the window of the first transform begins with the signal."""
    count = 1 + (x.aval.shape[-1] - length) // hop
    left = (n_fft - length) // 2
    right = max(0, (count - 1) * hop + n_fft - left - x.aval.shape[-1])
    return pad_constant(x, [left, right])


def _transforms(
    x: Tensor, n_fft: int, hop: int, window: Tensor | None, normalized: bool, onesided: bool | None
) -> Tensor:
    frames = unfold(x, 1, n_fft, hop)
    if window is not None:
        frames = mul(frames, window)
    norm = "ortho" if normalized else "backward"
    whole = frames.dtype.is_complex
    if onesided and whole:
        raise DTypeError(
            f"stft of {x.aval} with onesided=True",
            "Cannot have onesided output if window or input is complex.",
            "onesided=False",
        )
    half = not whole if onesided is None else onesided
    return transpose((fft.rfft if half else fft.fft)(frames, norm=norm), 1, 2)


def _overlapped(frames: Tensor, hop: int) -> Tensor:
    """Windows ``(B, T, N)`` added up at their places."""
    batch, count, n = frames.aval.shape
    places = add(mul(reshape(arange(count), (count, 1)), hop), reshape(arange(n), (1, n)))
    empty = zeros(batch, n + hop * (count - 1), dtype=frames.dtype)
    return index_add(empty, 1, reshape(places, (count * n,)), reshape(frames, (batch, count * n)))


@method()
def istft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> Tensor:
    """The signal whose windows have given Fourier transforms; inverse of ``stft``.

    Args:
        input: complex ``(B?, frequencies, windows)``.
        n_fft, hop_length, win_length, window, center, normalized, onesided: as given to ``stft``.
        length: points of the signal; as many as the windows hold when ``None``.
        return_complex: the signal is complex, from two-sided transforms.

    Raises:
        RuntimeError: a real input, lengths that do not fit, points that no window covers.

    Example:
        >>> import fusegrad as fg
        >>> x = fg.arange(8.0)
        >>> fg.allclose(fg.istft(fg.stft(x, 4, return_complex=True), 4), x, atol=1e-5)
        True
    """
    if not input.dtype.is_complex:
        raise DTypeError(
            f"istft of {input.aval}",
            "istft requires a complex-valued input tensor matching the output from stft with "
            "return_complex=True.",
            "fg.view_as_complex(x)",
        )
    x = _batched("istft", input, (2, 3))
    hop, points = _lengths("istft", n_fft, hop_length, win_length, window)
    half = n_fft != x.aval.shape[1] if onesided is None else onesided
    expected = n_fft // 2 + 1 if half else n_fft
    if x.aval.shape[1] != expected or not x.aval.size:
        raise ShapeError(
            f"istft of {input.aval} with n_fft={n_fft}",
            f"Expected the frequency dimension to be {expected} and at least one window.",
        )
    if return_complex and half:
        raise RangeError(
            "istft with return_complex=True of half a spectrum",
            "Cannot have onesided output if window or input is complex.",
            "onesided=False",
        )
    mask = _padded_window(window, points, n_fft, x)
    if mask is None:
        mask = ones(n_fft, dtype=real(x).dtype)
    return _joined(
        input, _frames(x, n_fft, half, normalized, return_complex), mask, hop, center, length
    )


def _frames(x: Tensor, n_fft: int, half: bool, normalized: bool, whole: bool) -> Tensor:
    spectra = transpose(x, 1, 2)
    norm = "ortho" if normalized else "backward"
    if whole:
        return fft.ifft(spectra, norm=norm)
    if not half:
        spectra = narrow(spectra, 2, 0, n_fft // 2 + 1)
    return fft.irfft(spectra, n_fft, norm=norm)


def _joined(
    input: Tensor, frames: Tensor, mask: Tensor, hop: int, center: bool, length: int | None
) -> Tensor:
    """The windows added up, divided by their squares, cut to what was asked."""
    _, count, n_fft = frames.aval.shape
    if mask.dtype.is_complex:
        frames = cast(frames, complex_dtype(frames.dtype))
    signal = _overlapped(mul(frames, mask), hop)
    squares = mul(reshape(square(mask), (1, 1, n_fft)), ones(1, count, 1, dtype=mask.dtype))
    weight = _overlapped(squares, hop)
    total = n_fft + hop * (count - 1)
    start = n_fft // 2 if center else 0
    if length is not None:
        end = start + length
    else:
        end = total - n_fft // 2 if center else total
    stop = min(end, total)
    signal, weight = (narrow(v, 1, start, stop - start) for v in (signal, weight))
    _covered(input, weight)
    out = div(signal, weight)
    if end > total:
        warnings.warn(
            f"istft: {end - total} points of the asked {length} lie behind the last window; they "
            "are zero",
            stacklevel=3,
        )
        out = pad_constant(out, [0, end - total])
    return reshape(out, out.aval.shape[1:]) if input.aval.ndim == 2 else out


def _covered(input: Tensor, weight: Tensor) -> None:
    value: Any = weight.detach()._value
    if not hasattr(value, "min"):
        return  # traced: there are no values to look at
    if value.size and abs(value).min() <= 1e-11:
        raise RangeError(
            f"istft of {input.aval}",
            "window overlap add min: some points of the signal lie under no window.",
            "a smaller hop_length, another window, or center=True",
        )
