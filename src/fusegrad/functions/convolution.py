"""Convolutions and transposed convolutions over one, two or three spatial axes.

In: images ``[N, C, ...]`` or one image ``[C, ...]``, weights and PyTorch's options. Out: the
result. All are calls of the records in ``ops/window.py``; the bias is an addition that the kernel
of the convolution takes in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..dtypes import bool_, float32
from ..errors import ArgumentTypeError, DTypeError, ShapeError
from ..ops import window
from ..tensor import Tensor
from . import integer_windows
from .common import cast
from .complex import complex, imag, real
from .pointwise import add, sub
from .shape import reshape, squeeze, unsqueeze

Ints = tuple[int, ...]
Size = int | Sequence[int]


def extents(name: str, option: str, value: Any, rank: int) -> Ints:
    """An option with one integer for every spatial axis, or one for all of them."""
    if isinstance(value, int):
        return (value,) * rank
    if not isinstance(value, (tuple, list)) or not all(isinstance(v, int) for v in value):
        raise ArgumentTypeError(
            f"{name} with {option}={value!r}",
            f"{option} is an int or a tuple of {rank} ints.",
        )
    if len(value) == 1:
        return tuple(value) * rank
    if len(value) != rank:
        raise ShapeError(
            f"{name} with {option}={value!r}",
            f"{option} needs one value, or one for each of the {rank} spatial axes.",
        )
    return tuple(value)


def same_padding(window_size: Ints, dilation: Ints) -> tuple[Ints, Ints]:
    """Padding before and after that keeps the extents at stride 1; an odd rest goes after."""
    total = [d * (k - 1) for k, d in zip(window_size, dilation, strict=True)]
    return tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)


def _operands(
    name: str, input: Tensor, weight: Tensor, bias: Tensor | None, rank: int
) -> tuple[Tensor, bool]:
    """The input with a batch axis and whether it lacked one; ranks and dtypes are checked."""
    given = f"{name} got input {input.aval} and weight {weight.aval}"
    if input.aval.ndim not in (rank + 1, rank + 2):
        raise ShapeError(given, f"The input is [N, C] or [C] with {rank} spatial axes after that.")
    if weight.aval.ndim != rank + 2:
        raise ShapeError(given, f"The weight has {rank} spatial axes after two of channels.")
    tensors = [input, weight] if bias is None else [input, weight, bias]
    kinds = {t.dtype for t in tensors}
    if len(kinds) > 1 or input.dtype is bool_:
        raise DTypeError(
            f"{name} got {', '.join(str(t.aval) for t in tensors)}",
            "Input, weight and bias must have one dtype, of numbers.",
            "input.to(weight.dtype)",
        )
    single = input.aval.ndim == rank + 1
    return (unsqueeze(input, 0) if single else input), single


def _options(
    name: str, stride: Any, padding: Any, dilation: Any, groups: int, rank: int
) -> tuple[Ints, Ints, Ints]:
    stride = extents(name, "stride", stride, rank)
    padding = extents(name, "padding", padding, rank)
    dilation = extents(name, "dilation", dilation, rank)
    for option, value, least in (
        ("stride", stride, 1),
        ("padding", padding, 0),
        ("dilation", dilation, 1),
    ):
        if min(value) < least:
            raise ShapeError(f"{name} with {option}={value}", f"{option} must be >= {least}.")
    if not isinstance(groups, int) or groups < 1:
        raise ShapeError(f"{name} with groups={groups}", "groups must be a positive int.")
    return stride, padding, dilation


def _finish(out: Tensor, bias: Tensor | None, single: bool, name: str) -> Tensor:
    if bias is not None:
        channels = out.aval.shape[1]
        if bias.aval.shape != (channels,):
            raise ShapeError(
                f"{name} got bias {bias.aval}",
                f"The bias has one value for each of the {channels} output channels.",
            )
        axes = (channels,) + (1,) * (out.aval.ndim - 2)
        out = add(out, reshape(bias, axes))
    return squeeze(out, 0) if single else out


def _in_float32(function: Any, tensors: Sequence[Tensor | None], *options: Any) -> Tensor:
    """Half precision is computed in single precision, like every sum of half-precision numbers."""
    wide = [None if t is None else cast(t, float32) for t in tensors]
    kept = next(t.dtype for t in tensors if t is not None)
    return cast(function(*wide, *options), kept)


def _on_parts(
    function: Any, input: Tensor, weight: Tensor, bias: Tensor | None, *options: Any
) -> Tensor:
    """A complex convolution as three real ones: (a + b)(c + d) holds both mixed products."""
    a, b, c, d = real(input), imag(input), real(weight), imag(weight)
    first, second = (function(x, w, None, *options) for x, w in ((a, c), (b, d)))
    both = function(add(a, b), add(c, d), None, *options)
    out = complex(sub(first, second), sub(sub(both, first), second))
    rank = options[-1]
    return out if bias is None else add(out, reshape(bias, (-1,) + (1,) * rank))


def _conv(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    rank: int,
) -> Tensor:
    name = f"conv{rank}d"
    x, single = _operands(name, input, weight, bias, rank)
    if input.dtype.reduced:
        options = (stride, padding, dilation, groups, rank)
        return _in_float32(_conv, (input, weight, bias), *options)
    if input.dtype.is_complex:
        return _on_parts(_conv, input, weight, bias, stride, padding, dilation, groups, rank)
    window_size = weight.aval.shape[2:]
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise ShapeError(
                f"{name} with padding={padding!r}",
                "A padding given by name is one of two.",
                "padding='same' or padding='valid'",
            )
        named, padding = padding, 0
    else:
        named = ""
    stride, low, dilation = _options(name, stride, padding, dilation, groups, rank)
    high = low
    if named == "same":
        if any(s != 1 for s in stride):
            raise ShapeError(
                f"{name} with padding='same' and stride={stride}",
                "padding='same' is not supported for strided convolutions.",
                "give the padding as numbers",
            )
        low, high = same_padding(window_size, dilation)
    _check_channels(name, x, weight, groups)
    size = []
    for n, k, s, lo, hi, d in zip(
        x.aval.shape[2:], window_size, stride, low, high, dilation, strict=True
    ):
        room = n + lo + hi - d * (k - 1) - 1
        if room < 0 or k < 1:
            raise ShapeError(
                f"{name} got input {input.aval} and weight {weight.aval}, padding {low}, "
                f"dilation {dilation}",
                f"The window spans {d * (k - 1) + 1} and the padded input only {n + lo + hi}.",
                "more padding, or a smaller kernel_size or dilation",
            )
        size.append(room // s + 1)
    convolve = integer_windows.conv if x.dtype.category == 1 else window.conv
    out = convolve(
        x, weight, size=tuple(size), stride=stride, low=low, dilation=dilation, groups=groups
    )
    return _finish(out, bias, single, name)


def _check_channels(name: str, x: Tensor, weight: Tensor, groups: int) -> None:
    outputs, channels = weight.aval.shape[:2]
    if outputs % groups:
        raise ShapeError(
            f"{name} got weight {weight.aval} with groups={groups}",
            f"The {outputs} output channels must be divisible by groups.",
        )
    if x.aval.shape[1] != channels * groups:
        raise ShapeError(
            f"{name} got input {x.aval} and weight {weight.aval} with groups={groups}",
            f"The weight takes {channels * groups} channels, the input has {x.aval.shape[1]}.",
            f"create the layer with in_channels={x.aval.shape[1]}",
        )


def _conv_transpose(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
    rank: int,
) -> Tensor:
    name = f"conv_transpose{rank}d"
    y, single = _operands(name, input, weight, bias, rank)
    if input.dtype.reduced:
        options = (stride, padding, output_padding, groups, dilation, rank)
        return _in_float32(_conv_transpose, (input, weight, bias), *options)
    if input.dtype.is_complex:
        options = (stride, padding, output_padding, groups, dilation, rank)
        return _on_parts(_conv_transpose, input, weight, bias, *options)
    stride, low, dilation = _options(name, stride, padding, dilation, groups, rank)
    extra = extents(name, "output_padding", output_padding, rank)
    if weight.aval.shape[0] != y.aval.shape[1] or weight.aval.shape[0] % groups:
        raise ShapeError(
            f"{name} got input {input.aval} and weight {weight.aval} with groups={groups}",
            f"The first axis of the weight ({weight.aval.shape[0]}) must be the channels of the "
            f"input ({y.aval.shape[1]}), and divisible by groups.",
            f"create the layer with in_channels={y.aval.shape[1]}",
        )
    size = []
    rows = zip(y.aval.shape[2:], weight.aval.shape[2:], stride, low, extra, dilation, strict=True)
    for n, k, s, lo, more, d in rows:
        if not 0 <= more < max(s, d):
            raise ShapeError(
                f"{name} with output_padding={extra}, stride={stride}, dilation={dilation}",
                "output_padding must be >= 0 and smaller than either stride or dilation.",
            )
        extent = (n - 1) * s - 2 * lo + d * (k - 1) + more + 1
        if extent < 1 or n < 1:
            raise ShapeError(
                f"{name} got input {input.aval} and weight {weight.aval}, padding {low}",
                "The padding removes more than the window spreads.",
                "less padding",
            )
        size.append(extent)
    spread = integer_windows.conv_input if y.dtype.category == 1 else window.conv_input
    out = spread(
        y, weight, size=tuple(size), stride=stride, low=low, dilation=dilation, groups=groups
    )
    return _finish(out, bias, single, name)


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """Convolution over one spatial axis (a correlation: the window is not flipped).

    Args:
        input: ``[N, C, L]`` or ``[C, L]``.
        weight: ``[O, C / groups, k]``.
        bias: ``[O]`` or ``None``.
        stride: step between windows.
        padding: zeros on both sides, ``"valid"`` for none, ``"same"`` to keep the extents.
        dilation: step between the elements of a window.
        groups: runs of channels that do not meet.

    Returns:
        ``[N, O, ...]`` with extents ``(n + 2 * padding - dilation * (k - 1) - 1) // stride + 1``.

    Raises:
        RuntimeError: shapes or dtypes do not fit, or the window is larger than the padded input.

    Example:
        >>> import fusegrad as fg
        >>> fg.conv1d(fg.ones(2, 3, 8), fg.ones(4, 3, 3), padding=1).shape
        fusegrad.Size([2, 4, 8])
    """
    return _conv(input, weight, bias, stride, padding, dilation, groups, 1)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """Convolution over two spatial axes (a correlation: the window is not flipped).

    Args:
        input: ``[N, C, H, W]`` or ``[C, H, W]``.
        weight: ``[O, C / groups, kH, kW]``.
        bias: ``[O]`` or ``None``.
        stride: step between windows.
        padding: zeros on both sides, ``"valid"`` for none, ``"same"`` to keep the extents.
        dilation: step between the elements of a window.
        groups: runs of channels that do not meet.

    Returns:
        ``[N, O, ...]`` with extents ``(n + 2 * padding - dilation * (k - 1) - 1) // stride + 1``.

    Raises:
        RuntimeError: shapes or dtypes do not fit, or the window is larger than the padded input.

    Example:
        >>> import fusegrad as fg
        >>> fg.conv2d(fg.ones(2, 3, 8, 8), fg.ones(4, 3, 3, 3), padding=1).shape
        fusegrad.Size([2, 4, 8, 8])
    """
    return _conv(input, weight, bias, stride, padding, dilation, groups, 2)


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """Convolution over three spatial axes (a correlation: the window is not flipped).

    Args:
        input: ``[N, C, D, H, W]`` or ``[C, D, H, W]``.
        weight: ``[O, C / groups, kD, kH, kW]``.
        bias: ``[O]`` or ``None``.
        stride: step between windows.
        padding: zeros on both sides, ``"valid"`` for none, ``"same"`` to keep the extents.
        dilation: step between the elements of a window.
        groups: runs of channels that do not meet.

    Returns:
        ``[N, O, ...]`` with extents ``(n + 2 * padding - dilation * (k - 1) - 1) // stride + 1``.

    Raises:
        RuntimeError: shapes or dtypes do not fit, or the window is larger than the padded input.

    Example:
        >>> import fusegrad as fg
        >>> fg.conv3d(fg.ones(2, 3, 4, 4, 4), fg.ones(4, 3, 3, 3, 3), padding=1).shape
        fusegrad.Size([2, 4, 4, 4, 4])
    """
    return _conv(input, weight, bias, stride, padding, dilation, groups, 3)


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Tensor:
    """Transposed convolution over one spatial axis: the input gradient of ``conv1d``.

    Args:
        input: ``[N, C, L]`` or ``[C, L]``.
        weight: ``[C, O / groups, k]``.
        bias: ``[O]`` or ``None``.
        stride, padding, dilation, groups: of the convolution that is transposed.
        output_padding: what is added to the extents on one side.

    Raises:
        RuntimeError: shapes or dtypes do not fit, or ``output_padding`` is too large.

    Example:
        >>> import fusegrad as fg
        >>> fg.conv_transpose1d(fg.ones(2, 4, 5), fg.ones(4, 3, 2), stride=2).shape
        fusegrad.Size([2, 3, 10])
    """
    options = (stride, padding, output_padding, groups, dilation)
    return _conv_transpose(input, weight, bias, *options, 1)


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Tensor:
    """Transposed convolution over two spatial axes: the input gradient of ``conv2d``.

    Args:
        input: ``[N, C, H, W]`` or ``[C, H, W]``.
        weight: ``[C, O / groups, kH, kW]``.
        bias: ``[O]`` or ``None``.
        stride, padding, dilation, groups: of the convolution that is transposed.
        output_padding: what is added to the extents on one side.

    Raises:
        RuntimeError: shapes or dtypes do not fit, or ``output_padding`` is too large.

    Example:
        >>> import fusegrad as fg
        >>> fg.conv_transpose2d(fg.ones(2, 4, 5, 5), fg.ones(4, 3, 2, 2), stride=2).shape
        fusegrad.Size([2, 3, 10, 10])
    """
    options = (stride, padding, output_padding, groups, dilation)
    return _conv_transpose(input, weight, bias, *options, 2)


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Tensor:
    """Transposed convolution over three spatial axes: the input gradient of ``conv3d``.

    Args:
        input: ``[N, C, D, H, W]`` or ``[C, D, H, W]``.
        weight: ``[C, O / groups, kD, kH, kW]``.
        bias: ``[O]`` or ``None``.
        stride, padding, dilation, groups: of the convolution that is transposed.
        output_padding: what is added to the extents on one side.

    Raises:
        RuntimeError: shapes or dtypes do not fit, or ``output_padding`` is too large.

    Example:
        >>> import fusegrad as fg
        >>> fg.conv_transpose3d(fg.ones(2, 4, 2, 2, 2), fg.ones(4, 3, 2, 2, 2), stride=2).shape
        fusegrad.Size([2, 3, 4, 4, 4])
    """
    options = (stride, padding, output_padding, groups, dilation)
    return _conv_transpose(input, weight, bias, *options, 3)
