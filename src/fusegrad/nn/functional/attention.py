"""Attention: scaled dot products of queries and keys weigh values.

In: queries, keys and values, masks. Out: weighted values, and the weights where wanted. Heads are
views: no operand of a product is copied, and a causal mask is a comparison of positions.
"""

from __future__ import annotations

import math
from typing import Any

from ...dtypes import bool_, int64
from ...errors import ArgumentError, ShapeError
from ...functions.common import broadcast_to, cast, pointwise
from ...functions.linear import linear, matmul
from ...functions.pointwise import where
from ...functions.reduction import amax, mean, softmax, sum
from ...functions.rounding import rounds_once
from ...functions.shape import cat, narrow, permute, repeat_interleave, reshape, unsqueeze
from ...ops import compare as cmp
from ...ops import elementwise as ew
from ...ops import source
from ...ops import transcendental as tr
from ...tensor import Tensor
from .layers import dropout

__all__ = ["multi_head_attention_forward", "scaled_dot_product_attention"]


def _causal(rows: int, columns: int) -> Tensor:
    """True where a query may look: at its own position and before."""
    shape = (rows, columns)
    i = Tensor(source.iota(shape=shape, dtype=int64, axis=0))
    j = Tensor(source.iota(shape=shape, dtype=int64, axis=1))
    return cmp.le(j, i)


def _safe_softmax(scores: Tensor) -> Tensor:
    """Softmax over the last axis; rows that are masked everywhere become 0 instead of nan."""
    if not scores.aval.size:
        return scores
    top = amax(scores.detach(), -1, True)  # type: ignore[attr-defined]
    e = tr.exp(pointwise(ew.sub, scores, where(cmp.eq(top, -math.inf), 0.0, top)))
    total = sum(e, -1, keepdim=True)
    return pointwise(ew.div, e, where(cmp.eq(total, 0.0), 1.0, total))


def _masked(scores: Tensor, mask: Tensor) -> Tensor:
    """Scores where a boolean mask is true, else -inf; or scores plus a floating mask."""
    if mask.dtype is bool_:
        return where(mask, scores, -math.inf)
    return pointwise(ew.add, scores, cast(mask, scores.dtype))


def _check_heads(query: Tensor, key: Tensor, value: Tensor) -> None:
    for name, x in (("query", query), ("key", key), ("value", value)):
        if x.aval.ndim < 2 or x.dtype is not query.dtype:
            raise ShapeError(
                f"scaled_dot_product_attention got query {query.aval}, key {key.aval}, "
                f"value {value.aval}",
                f"All have one dtype and at least 2 axes; {name} does not fit.",
            )
    if query.aval.shape[-1] != key.aval.shape[-1] or key.aval.shape[-2] != value.aval.shape[-2]:
        raise ShapeError(
            f"scaled_dot_product_attention got query {query.aval}, key {key.aval}, "
            f"value {value.aval}",
            "query (..., L, E), key (..., S, E) and value (..., S, Ev) share E and S.",
        )


def _shared_heads(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values once for each of the query heads that share them."""
    heads, groups = query.aval.shape[-3], key.aval.shape[-3]
    if heads % groups or heads % value.aval.shape[-3]:
        raise ShapeError(
            f"scaled_dot_product_attention of {heads} query heads and {groups} key heads",
            "With enable_gqa the number of query heads is a multiple of the key heads.",
        )
    key = repeat_interleave(key, heads // groups, -3)
    return key, repeat_interleave(value, heads // value.aval.shape[-3], -3)


@rounds_once
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(query @ key.T * scale + mask) @ value (Vaswani et al. 2017).

    Args:
        query: ``(N, ..., L, E)``.
        key: ``(N, ..., S, E)``.
        value: ``(N, ..., S, Ev)``.
        attn_mask: broadcasts to ``(N, ..., L, S)``; boolean: true takes part; floating: is added.
            Queries that may look nowhere, or whose scores are all -inf, give 0.
        dropout_p: probability of dropping a weight (always, not only in training).
        is_causal: each query looks at its own position and before; excludes ``attn_mask``.
        scale: 1 / sqrt(E) when omitted.
        enable_gqa: key and value may have fewer heads, each shared by several query heads.

    Returns:
        ``(N, ..., L, Ev)``.

    Raises:
        RuntimeError: shapes that do not fit; ``attn_mask`` together with ``is_causal``.

    Example:
        >>> import fusegrad as fg
        >>> x = fg.eye(2)
        >>> out = fg.nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True)
        >>> out[0].tolist()
        [1.0, 0.0]
    """
    _check_heads(query, key, value)
    if is_causal and attn_mask is not None:
        raise ShapeError(
            "scaled_dot_product_attention with attn_mask and is_causal=True",
            "Explicit attn_mask should not be set when is_causal=True.",
            "attn_mask=None, or is_causal=False",
        )
    if enable_gqa:
        key, value = _shared_heads(query, key, value)
    features = query.aval.shape[-1]
    factor = (1.0 / math.sqrt(features) if features else 1.0) if scale is None else scale
    order = (*range(key.aval.ndim - 2), key.aval.ndim - 1, key.aval.ndim - 2)
    scores = ew.mul(matmul(query, permute(key, order)), factor)
    if attn_mask is not None:
        scores = _masked(scores, attn_mask)
    elif is_causal:
        scores = where(_causal(*scores.aval.shape[-2:]), scores, -math.inf)
    return matmul(dropout(_safe_softmax(scores), dropout_p, True), value)


# --- several heads --------------------------------------------------------------------------------
def _projections(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    packed: Tensor | None,
    separate: tuple[Tensor | None, Tensor | None, Tensor | None],
    bias: Tensor | None,
) -> list[Tensor]:
    """Queries, keys and values of all heads; one product for what is the same input."""
    embed = query.aval.shape[-1]
    if packed is not None and query is key and key is value:
        joint = linear(query, packed, bias)
        return [narrow(joint, -1, k * embed, embed) for k in range(3)]
    if packed is not None and key is value:
        first = linear(query, narrow(packed, 0, 0, embed), _part(bias, 0, embed))
        rest = linear(key, narrow(packed, 0, embed, 2 * embed), _part(bias, embed, 2 * embed))
        return [first, *[narrow(rest, -1, k * embed, embed) for k in range(2)]]
    weights = [
        w if packed is None else narrow(packed, 0, k * embed, embed) for k, w in enumerate(separate)
    ]
    return [
        linear(x, w, _part(bias, k * embed, embed))  # type: ignore[arg-type]
        for k, (x, w) in enumerate(zip((query, key, value), weights, strict=True))
    ]


def _part(bias: Tensor | None, start: int, length: int) -> Tensor | None:
    return None if bias is None else narrow(bias, 0, start, length)


def _split_heads(x: Tensor, heads: int, batch_first: bool) -> Tensor:
    """``(N, L, E)`` or ``(L, N, E)`` as ``(N, heads, L, E / heads)``."""
    a, b, embed = x.aval.shape
    split = reshape(x, (a, b, heads, embed // heads))
    return permute(split, (0, 2, 1, 3) if batch_first else (1, 2, 0, 3))


def _check_attention_mask(mask: Tensor, batch: int, heads: int, rows: int, columns: int) -> Tensor:
    """A mask ``(L, S)`` or ``(N * heads, L, S)`` that broadcasts to ``(N, heads, L, S)``."""
    shape = mask.aval.shape
    if shape == (rows, columns):
        return mask
    if shape == (batch * heads, rows, columns):
        return reshape(mask, (batch, heads, rows, columns))
    raise ShapeError(
        f"attention with attn_mask {mask.aval}",
        f"The shape of the attn_mask is ({rows}, {columns}) or "
        f"({batch * heads}, {rows}, {columns}).",
    )


def _combined_mask(
    attn_mask: Tensor | None, padding: Tensor | None, scores_dtype: Any
) -> Tensor | None:
    """Both masks as one to add, in which -inf hides."""
    found: Tensor | None = None
    for mask in (attn_mask, padding):
        if mask is None:
            continue
        if mask.dtype is bool_:
            zero = Tensor(source.full(shape=mask.aval.shape, dtype=scores_dtype, value=0))
            mask = where(mask, -math.inf, zero)
        found = mask if found is None else pointwise(ew.add, found, mask)
    return found


def _grow(
    keys: Tensor,
    values: Tensor,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero: bool,
    heads: int,
) -> tuple[Tensor, Tensor, int]:
    """Keys and values with learned and zero positions at the end, and how many there are."""
    batch, _, _, size = keys.aval.shape
    added = 0
    if bias_k is not None and bias_v is not None:
        ends = []
        for part in (bias_k, bias_v):
            part = permute(reshape(part, (1, 1, heads, size)), (0, 2, 1, 3))
            ends.append(broadcast_to(part, (batch, heads, 1, size)))
        keys, values = cat([keys, ends[0]], 2), cat([values, ends[1]], 2)
        added += 1
    if add_zero:
        zeros = [
            Tensor(source.full(shape=(batch, heads, 1, size), dtype=x.dtype, value=0))
            for x in (keys, values)
        ]
        keys, values = cat([keys, zeros[0]], 2), cat([values, zeros[1]], 2)
        added += 1
    return keys, values, added


def _padded(mask: Tensor | None, columns: int) -> Tensor | None:
    """A mask with columns appended that hide nothing."""
    if mask is None or not columns:
        return mask
    shape = (*mask.aval.shape[:-1], columns)
    open_ = Tensor(source.full(shape=shape, dtype=mask.dtype, value=0))
    return cat([mask, open_], -1)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    num_heads: int,
    packed: Tensor | None,
    separate: tuple[Tensor | None, Tensor | None, Tensor | None],
    in_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_weight: Tensor,
    out_bias: Tensor | None,
    key_padding_mask: Tensor | None,
    need_weights: bool,
    attn_mask: Tensor | None,
    average_attn_weights: bool,
    is_causal: bool,
    batch_first: bool,
) -> tuple[Tensor, Tensor | None]:
    """Multi-head attention of batched inputs, ``(N, L, E)`` or ``(L, N, E)``."""
    first = 0 if batch_first else 1
    batch, rows = query.aval.shape[first], query.aval.shape[1 - first]
    columns, embed = key.aval.shape[1 - first], query.aval.shape[-1]
    if attn_mask is not None:
        attn_mask = _check_attention_mask(attn_mask, batch, num_heads, rows, columns)
    if key_padding_mask is not None:
        if key_padding_mask.aval.shape != (batch, columns):
            raise ShapeError(
                f"attention with key_padding_mask {key_padding_mask.aval}",
                f"expecting key_padding_mask shape of ({batch}, {columns}).",
            )
        key_padding_mask = reshape(key_padding_mask, (batch, 1, 1, columns))
    heads = [
        _split_heads(x, num_heads, batch_first)
        for x in _projections(query, key, value, packed, separate, in_bias)
    ]
    q, k, v = heads
    k, v, added = _grow(k, v, bias_k, bias_v, add_zero_attn, num_heads)
    causal = is_causal and key_padding_mask is None and not need_weights and not added
    mask = None
    if not causal:
        mask = _combined_mask(_padded(attn_mask, added), _padded(key_padding_mask, added), q.dtype)
    weights: Tensor | None = None
    if need_weights:
        factor = 1.0 / math.sqrt(q.aval.shape[-1])
        scores = matmul(ew.mul(q, factor), permute(k, (0, 1, 3, 2)))
        if mask is not None:
            scores = pointwise(ew.add, scores, mask)
        weights = dropout(softmax(scores, -1), dropout_p, True)
        out = matmul(weights, v)
        weights = mean(weights, 1) if average_attn_weights else weights
    else:
        out = scaled_dot_product_attention(q, k, v, mask, dropout_p, causal)
    laid = permute(out, (0, 2, 1, 3) if batch_first else (2, 0, 1, 3))
    joined = reshape(laid, (*laid.aval.shape[:2], embed))
    return linear(joined, out_weight, out_bias), weights


def _check_inputs(query: Tensor, key: Tensor, value: Tensor, embed: int, unmasked: bool) -> None:
    if query.aval.ndim not in (2, 3) or key.aval.ndim != query.aval.ndim:
        raise ShapeError(
            f"attention got query {query.aval} and key {key.aval}",
            "query should be unbatched 2D or batched 3D, and key and value alike.",
        )
    if query.aval.shape[-1] != embed:
        raise ArgumentError(
            f"attention got query {query.aval}",
            f"was expecting embedding dimension of {embed}.",
        )
    if key.aval.shape[:-1] != value.aval.shape[:-1]:
        raise ShapeError(
            f"attention got key {key.aval} and value {value.aval}",
            "key's sequence and batch dims do not match value's.",
        )
    if unmasked:
        raise ShapeError(
            "attention with is_causal=True and no attn_mask",
            "Need attn_mask if specifying the is_causal hint.",
            "attn_mask=nn.Transformer.generate_square_subsequent_mask(length)",
        )


def _unsqueezed(
    query: Tensor, key: Tensor, value: Tensor, axis: int
) -> tuple[Tensor, Tensor, Tensor]:
    """A batch of one; inputs that are one tensor stay one tensor."""
    batch = unsqueeze(query, axis)
    keys = batch if key is query else unsqueeze(key, axis)
    return batch, keys, keys if value is key else unsqueeze(value, axis)


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
    batch_first: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Attention in several heads between an input and an output projection.

    Args:
        query: ``(L, N, E)``; ``(N, L, E)`` with ``batch_first``; ``(L, E)``.
        key, value: the same with S positions.
        in_proj_weight: ``(3 * E, E)``, or three separate weights.
        key_padding_mask: ``(N, S)``; true hides a key, a floating mask is added.
        attn_mask: ``(L, S)`` or ``(N * num_heads, L, S)``; true hides, a floating mask is added.
        need_weights: also return the weights, averaged over heads or not.
        is_causal: a hint that ``attn_mask`` is the causal mask.

    Returns:
        the result in the layout of ``query``, and the weights ``(N, L, S)`` or ``None``.

    Raises:
        RuntimeError: shapes that do not fit.
        ValueError: an embedding of another size.
    """
    _check_inputs(query, key, value, embed_dim_to_check, is_causal and attn_mask is None)
    if static_k is not None or static_v is not None:
        raise ArgumentError(
            "attention with static_k or static_v", "Keys and values are projected from the inputs."
        )
    single = query.aval.ndim == 2
    if single:
        query, key, value = _unsqueezed(query, key, value, 0 if batch_first else 1)
        if key_padding_mask is not None:
            key_padding_mask = unsqueeze(key_padding_mask, 0)
    out, weights = attend(
        query,
        key,
        value,
        num_heads,
        None if use_separate_proj_weight else in_proj_weight,
        (q_proj_weight, k_proj_weight, v_proj_weight),
        in_proj_bias,
        bias_k,
        bias_v,
        add_zero_attn,
        dropout_p if training else 0.0,
        out_proj_weight,
        out_proj_bias,
        key_padding_mask,
        need_weights,
        attn_mask,
        average_attn_weights,
        is_causal,
        batch_first,
    )
    if single:
        out = reshape(out, (out.aval.shape[1 if batch_first else 0], out.aval.shape[-1]))
        weights = None if weights is None else reshape(weights, weights.aval.shape[1:])
    return out, weights
