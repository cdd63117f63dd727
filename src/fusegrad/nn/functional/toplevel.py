"""Functions of layers under their names at the top level of PyTorch.

There they are called as its operators are: positional arguments, another order of them, reductions
by number (0 none, 1 mean, 2 sum), statistics as further results. The work is done by the functions
of ``nn.functional``; here are only the other signatures.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...errors import RangeError
from ...functions import convolution as conv
from ...functions.common import method
from ...functions.norms import norm
from ...functions.reduction import mean, var
from ...functions.shape import pad_constant, permute, reshape
from ...ops import compare as cmp
from ...ops import elementwise as ew
from ...tensor import Tensor
from . import (
    activation,
    classification,
    ctc,
    layers,
    margin,
    norms,
    pooling,
    regression,
    sampling,
    variants,
)
from .recurrent import CELLS, Weights

__all__ = [
    "adaptive_max_pool1d", "affine_grid_generator", "alpha_dropout", "alpha_dropout_", "batch_norm",
    "binary_cross_entropy_with_logits", "constant_pad_nd", "conv_tbc", "convolution",
    "cosine_embedding_loss", "ctc_loss", "dropout", "dropout_", "embedding",
    "feature_alpha_dropout", "feature_alpha_dropout_", "feature_dropout", "feature_dropout_",
    "grid_sampler", "grid_sampler_2d", "grid_sampler_3d", "group_norm", "gru_cell",
    "hinge_embedding_loss", "instance_norm", "kl_div", "lstm_cell", "margin_ranking_loss",
    "max_pool1d_with_indices", "max_pool2d", "max_pool3d", "native_batch_norm",
    "native_channel_shuffle", "native_dropout", "native_group_norm", "native_layer_norm",
    "norm_except_dim", "pdist", "poisson_nll_loss", "rnn_relu_cell", "rnn_tanh_cell",
    "triplet_margin_loss",
]  # fmt: skip

affine_grid_generator = sampling.affine_grid_generator
grid_sampler = sampling.grid_sampler
grid_sampler_2d, grid_sampler_3d = sampling.grid_sampler_2d, sampling.grid_sampler_3d
pdist, conv_tbc = variants.pdist, variants.conv_tbc
native_channel_shuffle = variants.native_channel_shuffle
max_pool1d_with_indices = variants.max_pool1d_with_indices
adaptive_max_pool1d = variants.adaptive_max_pool1d_with_indices
group_norm = norms.group_norm
constant_pad_nd = pad_constant


# --- other signatures of one function -------------------------------------------------------------
def _called(function: Callable[..., Any], arguments: str, **fixed: Any) -> Callable[..., Any]:
    """``function`` with the ``arguments`` named, in their order; ``name=default`` where optional.

    ``reduction`` is a number; names that the function does not know are accepted and dropped.
    """
    known = inspect.signature(function).parameters
    parameters = []
    for text in arguments.split():
        name, _, default = text.partition("=")
        value = eval(default) if default else inspect.Parameter.empty
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters.append(inspect.Parameter(name, kind, default=value))
    signature = inspect.Signature(parameters)

    def call(*args: Any, **options: Any) -> Any:
        bound = signature.bind(*args, **options)
        bound.apply_defaults()
        given = {**bound.arguments, **fixed}
        if "reduction" in given:
            given["reduction"] = _reduction(given["reduction"])
        for old, new in _RENAMED.items():
            if old in given and old not in known:
                given[new] = given.pop(old)
        return function(**{name: value for name, value in given.items() if name in known})

    call.__name__ = function.__name__
    call.__signature__ = signature  # type: ignore[attr-defined]
    call.__doc__ = (
        f"``nn.functional.{function.__name__}`` with the arguments of PyTorch's operator: "
        f"``({', '.join(arguments.split())})``."
    )
    return call


_RENAMED = {"train": "training", "indices": "input"}


def _reduction(value: Any) -> str:
    names = ("none", "mean", "sum")
    if isinstance(value, str) and value in names:
        return value
    if value not in (0, 1, 2):
        raise RangeError(f"a reduction {value!r}", "It is 0 (none), 1 (mean) or 2 (sum).")
    return names[value]


dropout = _called(layers.dropout, "input p train")
dropout_ = _called(layers.dropout, "input p train", inplace=True)
alpha_dropout = _called(layers.alpha_dropout, "input p train")
alpha_dropout_ = _called(layers.alpha_dropout, "input p train", inplace=True)
feature_alpha_dropout = _called(layers.feature_alpha_dropout, "input p train")
feature_alpha_dropout_ = _called(layers.feature_alpha_dropout, "input p train", inplace=True)
feature_dropout = _called(layers.dropout2d, "input p train")
feature_dropout_ = _called(layers.dropout2d, "input p train", inplace=True)
batch_norm = _called(
    norms.batch_norm,
    "input weight bias running_mean running_var training momentum eps cudnn_enabled=False",
)
instance_norm = _called(
    norms.instance_norm,
    "input weight bias running_mean running_var use_input_stats momentum eps cudnn_enabled=False",
)
max_pool2d = _called(
    pooling.max_pool2d, "input kernel_size stride=None padding=0 dilation=1 ceil_mode=False"
)
max_pool3d = _called(
    pooling.max_pool3d, "input kernel_size stride=None padding=0 dilation=1 ceil_mode=False"
)
kl_div = _called(regression.kl_div, "input target reduction=1 log_target=False")
poisson_nll_loss = _called(regression.poisson_nll_loss, "input target log_input full eps reduction")
binary_cross_entropy_with_logits = _called(
    classification.binary_cross_entropy_with_logits,
    "input target weight=None pos_weight=None reduction=1",
)
cosine_embedding_loss = _called(
    margin.cosine_embedding_loss, "input1 input2 target margin=0.0 reduction=1"
)
hinge_embedding_loss = _called(margin.hinge_embedding_loss, "input target margin=1.0 reduction=1")
margin_ranking_loss = _called(
    margin.margin_ranking_loss, "input1 input2 target margin=0.0 reduction=1"
)
triplet_margin_loss = _called(
    margin.triplet_margin_loss,
    "anchor positive negative margin=1.0 p=2.0 eps=1e-6 swap=False reduction=1",
)
ctc_loss = _called(
    ctc.ctc_loss,
    "log_probs targets input_lengths target_lengths blank=0 reduction=1 zero_infinity=False",
)


def embedding(
    weight: Tensor,
    indices: Tensor,
    padding_idx: int = -1,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Rows of ``weight``; the row ``padding_idx`` gets no gradient (-1: every row does)."""
    padding = None if padding_idx == -1 else padding_idx
    return layers.embedding(
        indices, weight, padding, scale_grad_by_freq=scale_grad_by_freq, sparse=sparse
    )


def convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Tensor:
    """Convolution over the axes that ``weight`` has behind its channels; or its transpose.

    Example:
        >>> import fusegrad as fg
        >>> x, w = fg.ones(1, 1, 3), fg.ones(1, 1, 2)
        >>> fg.convolution(x, w, None, [1], [0], [1], False, [0], 1).tolist()
        [[[2.0, 2.0]]]
    """
    axes = weight.aval.ndim - 2
    if not 1 <= axes <= 3:
        raise RangeError(f"convolution with weight {weight.aval}", "It has 3, 4 or 5 axes.")
    kind = "conv_transpose" if transposed else "conv"
    function = getattr(conv, f"{kind}{axes}d")
    numbers = [tuple(v) * (axes if len(v) == 1 else 1) for v in (stride, padding, dilation)]
    if transposed:
        more = tuple(output_padding) * (axes if len(output_padding) == 1 else 1)
        return function(input, weight, bias, numbers[0], numbers[1], more, groups, numbers[2])
    return function(input, weight, bias, *numbers, groups)


# --- results with their statistics ----------------------------------------------------------------
def native_layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """``layer_norm``, the means and the reciprocal standard deviations of the rows.

    Both have no gradient.
    """
    out = layers.layer_norm(input, normalized_shape, weight, bias, eps)
    first = input.aval.ndim - len(tuple(normalized_shape))
    axes = tuple(range(first, input.aval.ndim))
    return out, *_statistics(input.detach(), axes, eps, True)  # type: ignore[attr-defined]


def native_group_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    N: int,
    C: int,
    HxW: int,
    group: int,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """``group_norm``, the means and the reciprocal standard deviations of the groups."""
    out = norms.group_norm(input, group, weight, bias, eps)
    groups = reshape(input, N, group, C // group * HxW)
    return out, *_statistics(groups, (2,), eps, False)


def _statistics(
    x: Tensor, axes: tuple[int, ...], eps: float, keepdim: bool
) -> tuple[Tensor, Tensor]:
    spread = var(x, axes, correction=0, keepdim=keepdim)
    return mean(x, axes, keepdim=keepdim), ew.rsqrt(ew.add(spread, eps))


def native_batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """``batch_norm``, the means and the reciprocal standard deviations of the batch.

    Both are empty in evaluation, and have no gradient.
    """
    out = norms.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    if not training:
        none = Tensor(np.zeros(0, input.dtype.np))
        return out, none, none
    axes = tuple(k for k in range(input.aval.ndim) if k != 1)
    return out, *_statistics(input.detach(), axes, eps, False)  # type: ignore[attr-defined]


def native_dropout(input: Tensor, p: float, train: bool | None) -> tuple[Tensor, Tensor]:
    """``dropout``, and which elements it kept.

    Example:
        >>> import fusegrad as fg
        >>> out, kept = fg.native_dropout(fg.ones(100), 0.5, True)
        >>> fg.equal(out != 0, kept)
        True
    """
    ones = ew.add(ew.mul(input.detach(), 0.0), 1.0)  # type: ignore[attr-defined]
    factors = layers.dropout(ones, p, train is not False)
    return ew.mul(input, factors), cmp.ne(factors, 0.0)


def norm_except_dim(v: Tensor, pow: int = 2, dim: int = 0) -> Tensor:
    """The ``pow``-norm over all axes but ``dim``, which keeps its extent; -1: over all axes.

    Example:
        >>> import fusegrad as fg
        >>> fg.norm_except_dim(fg.tensor([[3.0, 4.0], [0.0, 2.0]])).tolist()
        [[5.0], [2.0]]
    """
    if dim == -1:
        return norm(v, pow)
    rows = permute(v, dim, *[k for k in range(v.aval.ndim) if k != dim])
    lengths = norm(reshape(rows, rows.aval.shape[0], -1), pow, 1)
    return reshape(lengths, [n if k == dim else 1 for k, n in enumerate(v.aval.shape)])


# --- cells ----------------------------------------------------------------------------------------
def _cell(kind: str) -> Callable[..., Any]:
    cell = CELLS[kind]

    def function(
        input: Tensor,
        hx: Any,
        w_ih: Tensor,
        w_hh: Tensor,
        b_ih: Tensor | None = None,
        b_hh: Tensor | None = None,
    ) -> Any:
        weights = Weights(w_ih, w_hh, b_ih, b_hh)
        state = list(hx) if cell.states > 1 else [hx]
        new = cell.step(cell.project(input, weights), state, weights)
        return tuple(new) if cell.states > 1 else new[0]

    function.__name__ = f"{kind.lower()}_cell"
    function.__doc__ = (
        f"One step of a {kind} cell: input ``(N, features)``, state ``(N, hidden)``, weights and "
        "biases as in ``nn``; the new state."
    )
    return function


rnn_tanh_cell, rnn_relu_cell = _cell("RNN_TANH"), _cell("RNN_RELU")
gru_cell, lstm_cell = _cell("GRU"), _cell("LSTM")


# --- methods --------------------------------------------------------------------------------------
method("prelu")(activation.prelu)
method("hardshrink")(activation.hardshrink)
