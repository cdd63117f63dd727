"""Recurrent layers: RNN, LSTM, GRU over whole sequences, each a compiled loop per direction.

Next file: ``rnncell.py``.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from ..dtypes import DType
from ..errors import ArgumentError, ArgumentTypeError, ShapeError
from ..functions.creation import empty, zeros
from ..functions.indexing import index_select
from ..functions.shape import squeeze, transpose, unsqueeze
from ..ops import indexing
from ..tensor import Tensor
from . import init
from .functional.recurrent import CELLS, Weights, recurrent_layers
from .module import Module
from .parameter import Parameter
from .utils.rnn import PackedSequence, host_integers, unpacked


class RNNBase(Module):
    """What RNN, LSTM and GRU share: parameters, layers, directions, packed and unbatched input.

    Args:
        mode: ``"RNN_TANH"``, ``"RNN_RELU"``, ``"LSTM"`` or ``"GRU"``.
        input_size: features of the input.
        hidden_size: features of the hidden state.
        num_layers: layers, each reading the hidden states of the one below.
        bias: whether there are biases.
        batch_first: input and output are ``(N, T, features)`` instead of ``(T, N, features)``.
        dropout: probability of dropping outputs of all layers but the last.
        bidirectional: also walk from the last step to the first.
        proj_size: for LSTM, features of a projection of the hidden state; 0 for none.

    Raises:
        ValueError: a dropout that is no probability, a size that is not positive.
        TypeError: a hidden size that is no integer.
    """

    _letters = {"RNN_TANH": "RNN", "RNN_RELU": "RNN"}

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        _check_options(type(self).__name__, mode, hidden_size, num_layers, dropout, proj_size)
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        rows = CELLS[mode].gates * hidden_size
        made = {"device": device, "dtype": dtype}
        out = proj_size or hidden_size
        for layer in range(num_layers):
            below = input_size if layer == 0 else out * self._directions
            for suffix in self._suffixes(layer):
                self._parameter(f"weight_ih_{suffix}", (rows, below), **made)
                self._parameter(f"weight_hh_{suffix}", (rows, out), **made)
                if bias:
                    self._parameter(f"bias_ih_{suffix}", (rows,), **made)
                    self._parameter(f"bias_hh_{suffix}", (rows,), **made)
                if proj_size:
                    self._parameter(f"weight_hr_{suffix}", (proj_size, hidden_size), **made)
        self.reset_parameters()

    def _parameter(self, name: str, shape: tuple[int, ...], **made: Any) -> None:
        self.register_parameter(name, Parameter(empty(*shape, **made)))

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def _suffixes(self, layer: int) -> list[str]:
        return [f"l{layer}", f"l{layer}_reverse"][: self._directions]

    def _names(self, suffix: str) -> list[str]:
        names = [f"weight_ih_{suffix}", f"weight_hh_{suffix}"]
        if self.bias:
            names += [f"bias_ih_{suffix}", f"bias_hh_{suffix}"]
        return [*names, f"weight_hr_{suffix}"] if self.proj_size else names

    def reset_parameters(self) -> None:
        """Draw all parameters uniformly in +-1 / sqrt(hidden_size)."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """Parameters of each layer and direction."""
        return [
            [getattr(self, name) for name in self._names(suffix)]
            for layer in range(self.num_layers)
            for suffix in self._suffixes(layer)
        ]

    def flatten_parameters(self) -> None:
        """Nothing: compiled steps read parameters where they lie."""

    def extra_repr(self) -> str:
        """Sizes and the options that differ from their defaults."""
        text = f"{self.input_size}, {self.hidden_size}"
        if self.proj_size:
            text += f", proj_size={self.proj_size}"
        if self.num_layers != 1:
            text += f", num_layers={self.num_layers}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        if self.batch_first is not False:
            text += f", batch_first={self.batch_first}"
        if self.dropout != 0:
            text += f", dropout={self.dropout}"
        if self.bidirectional is not False:
            text += f", bidirectional={self.bidirectional}"
        return text

    # --- forward ----------------------------------------------------------------------------------
    def _run(self, input: Any, hx: Sequence[Tensor] | None) -> tuple[Any, list[Tensor]]:
        """Output and last states for tensors or packed sequences; states ``(L * D, N, *)``."""
        if isinstance(input, PackedSequence):
            return self._run_packed(input, hx)
        if input.aval.ndim not in (2, 3):
            raise ArgumentError(
                f"{self._name} got {input.aval}",
                f"{self._name}: Expected input to be 2D or 3D, got {input.aval.ndim}D instead.",
                "(T, N, features), (N, T, features) with batch_first, or unbatched (T, features)",
            )
        batched = input.aval.ndim == 3
        if not batched:
            input = unsqueeze(input, 1)
            hx = None if hx is None else self._batched_states(hx)
        elif self.batch_first:
            input = transpose(input, 0, 1)
        output, states = self._layers(input, self._start(input, input.shape[1], hx, batched), None)
        if not batched:
            return squeeze(output, 1), [squeeze(s, 1) for s in states]
        return (transpose(output, 0, 1) if self.batch_first else output), states

    def _run_packed(
        self, packed: PackedSequence, hx: Sequence[Tensor] | None
    ) -> tuple[PackedSequence, list[Tensor]]:
        order, back = packed.sorted_indices, packed.unsorted_indices
        if hx is not None and order is not None:
            hx = [index_select(h, 1, order) for h in hx]

        def layers(data: Tensor, valid: Tensor) -> tuple[Tensor, list[Tensor]]:
            return self._layers(data, self._start(data, data.shape[1], hx, True), valid)

        flat, states = over_packed(packed, layers)
        if back is not None:
            states = [index_select(s, 1, back) for s in states]
        return packed._replace(data=flat), states

    @property
    def _name(self) -> str:
        return self._letters.get(self.mode, self.mode)

    def _batched_states(self, hx: Sequence[Tensor]) -> list[Tensor]:
        for h in hx:
            if h.aval.ndim != 2:
                raise ShapeError(
                    f"{self._name} got unbatched input and a state {h.aval}",
                    "For unbatched 2-D input, hx should also be 2-D.",
                    "hx of (layers * directions, hidden)",
                )
        return [unsqueeze(h, 1) for h in hx]

    def _widths(self) -> list[int]:
        return [self.proj_size or self.hidden_size, self.hidden_size][: CELLS[self.mode].states]

    def _start(
        self, input: Tensor, batch: int, hx: Sequence[Tensor] | None, batched: bool
    ) -> list[Tensor]:
        """Checked initial states, zeros when there are none."""
        if input.shape[-1] != self.input_size:
            raise ShapeError(
                f"{self._name} got {input.aval}",
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got "
                f"{input.shape[-1]}.",
            )
        if not input.shape[0]:
            raise ShapeError(
                f"{self._name} got {input.aval}",
                "Expected sequence length to be larger than 0 in RNN.",
            )
        first = getattr(self, self._names("l0")[0])
        if input.dtype is not first.dtype:
            raise ArgumentError(
                f"{self._name} got {input.aval} and weights of {first.dtype}",
                "Input and weights must have one dtype.",
                "input.to(dtype), or module.to(dtype)",
            )
        count = self.num_layers * self._directions
        shapes = [(count, batch, width) for width in self._widths()]
        if hx is None:
            return [zeros(*shape, dtype=input.dtype) for shape in shapes]
        for k, (h, shape) in enumerate(zip(hx, shapes, strict=True)):
            if h.aval.ndim == 2 and batched:
                raise ShapeError(
                    f"{self._name} got batched input and a state {h.aval}",
                    "For batched 3-D input, hx should also be 3-D.",
                    f"hx of {list(shape)}",
                )
            if h.shape != shape:
                raise ShapeError(
                    f"{self._name} got a state {h.aval}",
                    f"Expected hidden[{k}] size {shape}, got {list(h.shape)}.",
                )
        return list(hx)

    def _layers(
        self, x: Tensor, states: list[Tensor], valid: Tensor | None
    ) -> tuple[Tensor, list[Tensor]]:
        weights = [
            [self._weights(suffix) for suffix in self._suffixes(layer)]
            for layer in range(self.num_layers)
        ]
        rate = self.dropout if self.training else 0.0
        return recurrent_layers(CELLS[self.mode], x, states, weights, rate, valid)

    def _weights(self, suffix: str) -> Weights:
        biases = [getattr(self, f"bias_{k}_{suffix}") if self.bias else None for k in ("ih", "hh")]
        projection = getattr(self, f"weight_hr_{suffix}") if self.proj_size else None
        weights = [getattr(self, f"weight_{k}_{suffix}") for k in ("ih", "hh")]
        return Weights(weights[0], weights[1], biases[0], biases[1], projection)


def over_packed(
    packed: PackedSequence,
    layers: Callable[[Tensor, Tensor], tuple[Tensor, list[Tensor]]],
) -> tuple[Tensor, list[Tensor]]:
    """Apply ``layers(padded, valid)`` to packed sequences; the packed output, the last states."""
    data, mask = unpacked(packed)
    output, states = layers(data, Tensor(mask[:, :, None]))
    steps, batch = mask.shape
    rows = Tensor(mask.reshape(-1).nonzero()[0])
    flat = indexing.take(output.reshape(steps * batch, output.shape[2]), rows, axis=0)
    assert sum(host_integers(packed.batch_sizes, "batch_sizes")) == flat.shape[0]
    return flat, states


def _check_options(
    name: str, mode: str, hidden: Any, layers: int, dropout: Any, projected: int
) -> None:
    if not isinstance(dropout, (int, float)) or isinstance(dropout, bool) or not 0 <= dropout <= 1:
        raise ArgumentError(
            f"{name} with dropout={dropout}",
            "dropout should be a number in range [0, 1] representing the probability of an element "
            "being zeroed.",
        )
    if dropout > 0 and layers == 1:
        warnings.warn(
            "dropout option adds dropout after all but last recurrent layer, so non-zero dropout "
            f"expects num_layers greater than 1, but got dropout={dropout} and num_layers={layers}",
            stacklevel=4,
        )
    if not isinstance(hidden, int):
        raise ArgumentTypeError(
            f"{name} with hidden_size of type {type(hidden).__name__}",
            "hidden_size should be of type int.",
        )
    if hidden <= 0 or layers <= 0:
        raise ArgumentError(
            f"{name} with hidden_size={hidden}, num_layers={layers}",
            "hidden_size and num_layers must be greater than zero.",
        )
    if projected < 0 or projected >= hidden:
        raise ArgumentError(
            f"{name} with proj_size={projected}, hidden_size={hidden}",
            "proj_size should be zero to disable projections, or smaller than hidden_size.",
        )
    if projected and mode != "LSTM":
        raise ArgumentError(
            f"{name} with proj_size={projected}", "proj_size argument is only supported for LSTM."
        )


class RNN(RNNBase):
    """Elman network: ``h = tanh(W_ih x + b_ih + W_hh h + b_hh)`` over a sequence (Elman 1990).

    Args:
        input_size, hidden_size: features of input and hidden state.
        num_layers: number of layers.
        nonlinearity: ``"tanh"`` or ``"relu"``.
        bias, batch_first, dropout, bidirectional: as in ``RNNBase``.

    ``forward(input, hx=None)`` takes ``(T, N, input_size)``, ``(N, T, input_size)`` with
    ``batch_first``, an unbatched ``(T, input_size)`` or a ``PackedSequence``, and a first state
    ``(layers * directions, N, hidden_size)``; it returns the outputs of the last layer and the
    last state.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> output, last = nn.RNN(3, 5, num_layers=2)(fg.ones(4, 2, 3))
        >>> output.shape, last.shape
        (fusegrad.Size([4, 2, 5]), fusegrad.Size([2, 2, 5]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ArgumentError(
                f"RNN with nonlinearity={nonlinearity!r}",
                f"Unknown nonlinearity {nonlinearity!r}. Select from 'tanh' or 'relu'.",
            )
        super().__init__(
            f"RNN_{nonlinearity.upper()}", input_size, hidden_size, num_layers, bias, batch_first,
            dropout, bidirectional, 0, device, dtype,
        )  # fmt: skip
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        """Outputs of the last layer and the last hidden state."""
        output, (last,) = self._run(input, None if hx is None else [hx])
        return output, last


class GRU(RNNBase):
    """Gated recurrent units over a sequence (Cho et al. 2014, with PyTorch's reset gate).

    Args and shapes as in ``RNN``, without ``nonlinearity``.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> output, last = nn.GRU(3, 5, batch_first=True)(fg.ones(2, 4, 3))
        >>> output.shape, last.shape
        (fusegrad.Size([2, 4, 5]), fusegrad.Size([1, 2, 5]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__(
            "GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            0, device, dtype,
        )  # fmt: skip

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        """Outputs of the last layer and the last hidden state."""
        output, (last,) = self._run(input, None if hx is None else [hx])
        return output, last


class LSTM(RNNBase):
    """Long short-term memory over a sequence (Hochreiter and Schmidhuber 1997; with ``proj_size``
    Sak et al. 2014).

    Args as in ``RNN``, without ``nonlinearity``, and ``proj_size``. The state is a pair
    ``(h, c)``; ``h`` has ``proj_size`` features when that is given.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> output, (h, c) = nn.LSTM(3, 5, bidirectional=True)(fg.ones(4, 2, 3))
        >>> output.shape, h.shape, c.shape
        (fusegrad.Size([4, 2, 10]), fusegrad.Size([2, 2, 5]), fusegrad.Size([2, 2, 5]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__(
            "LSTM", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            proj_size, device, dtype,
        )  # fmt: skip

    def forward(
        self, input: Any, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Any, tuple[Tensor, Tensor]]:
        """Outputs of the last layer and the last states ``(h, c)``."""
        if hx is not None and (not isinstance(hx, (tuple, list)) or len(hx) != 2):
            raise ArgumentTypeError(
                f"LSTM got hx of type {type(hx).__name__}",
                "The state of an LSTM is a pair of tensors.",
                "(h_0, c_0)",
            )
        output, (hidden, cell) = self._run(input, hx)
        return output, (hidden, cell)
