"""MultiheadAttention: attention in several heads between two projections."""

from __future__ import annotations

from typing import Any

from ..dtypes import DType
from ..errors import ArgumentError
from ..functions.creation import empty, zeros
from ..tensor import Tensor
from . import functional as F
from . import init
from .linear import Linear
from .module import Module
from .parameter import Parameter


class NonDynamicallyQuantizableLinear(Linear):
    """A ``Linear`` under the name that PyTorch prints for an output projection."""


class MultiheadAttention(Module):
    """softmax(Q K.T / sqrt(E / heads)) V in several heads (Vaswani et al. 2017).

    Args:
        embed_dim: features E of the queries and of the result.
        num_heads: number of heads; divides ``embed_dim``.
        dropout: probability of dropping a weight in training.
        bias: whether the projections have biases.
        add_bias_kv: append a learned position to keys and values.
        add_zero_attn: append a position of zeros to keys and values.
        kdim, vdim: features of keys and values; ``embed_dim`` when omitted.
        batch_first: inputs are ``(N, L, E)`` instead of ``(L, N, E)``.

    Raises:
        ValueError: sizes that are not positive or do not divide.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> attention = nn.MultiheadAttention(4, 2, batch_first=True)
        >>> x = fg.ones(1, 3, 4)
        >>> out, weights = attention(x, x, x)
        >>> out.shape, weights.shape
        (fusegrad.Size([1, 3, 4]), fusegrad.Size([1, 3, 3]))
    """

    in_proj_weight: Any
    in_proj_bias: Any
    q_proj_weight: Any
    k_proj_weight: Any
    v_proj_weight: Any
    bias_k: Any
    bias_v: Any

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0 or embed_dim % num_heads:
            raise ArgumentError(
                f"MultiheadAttention({embed_dim}, {num_heads})",
                "embed_dim and num_heads must be greater than 0, and embed_dim must be divisible "
                "by num_heads.",
            )
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        self.num_heads = num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.head_dim = embed_dim // num_heads
        names = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
        if self._qkv_same_embed_dim:
            self.in_proj_weight = Parameter(
                empty(3 * embed_dim, embed_dim, device=device, dtype=dtype)
            )
            for name in names:
                self.register_parameter(name, None)
        else:
            for name, size in zip(names, (embed_dim, self.kdim, self.vdim), strict=True):
                setattr(self, name, Parameter(empty(embed_dim, size, device=device, dtype=dtype)))
            self.register_parameter("in_proj_weight", None)
        if bias:
            self.in_proj_bias = Parameter(zeros(3 * embed_dim, device=device, dtype=dtype))
        else:
            self.register_parameter("in_proj_bias", None)
        self.out_proj = NonDynamicallyQuantizableLinear(
            embed_dim, embed_dim, bias, device=device, dtype=dtype
        )
        if add_bias_kv:
            self.bias_k = Parameter(empty(1, 1, embed_dim, device=device, dtype=dtype))
            self.bias_v = Parameter(empty(1, 1, embed_dim, device=device, dtype=dtype))
        else:
            self.bias_k = self.bias_v = None
        self.add_zero_attn = add_zero_attn
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Draw the weights (Glorot and Bengio 2010); biases are 0."""
        for weight in (
            self.in_proj_weight,
            self.q_proj_weight,
            self.k_proj_weight,
            self.v_proj_weight,
        ):
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        for end in (self.bias_k, self.bias_v):
            if end is not None:
                init.xavier_normal_(end)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """The attended values and, with ``need_weights``, the weights.

        Args:
            query: ``(L, N, E)``, ``(N, L, E)`` with ``batch_first``, or ``(L, E)``.
            key, value: the same with S positions.
            key_padding_mask: ``(N, S)``; true hides a key, a floating mask is added.
            need_weights: also return weights ``(N, L, S)``.
            attn_mask: ``(L, S)`` or ``(N * num_heads, L, S)``; true hides, floating is added.
            average_attn_weights: average the returned weights over heads.
            is_causal: a hint that ``attn_mask`` is the causal mask.
        """
        return F.multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            self.training,
            key_padding_mask,
            need_weights,
            attn_mask,
            not self._qkv_same_embed_dim,
            self.q_proj_weight,
            self.k_proj_weight,
            self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
            batch_first=self.batch_first,
        )
