"""One step of a recurrent layer as a module: RNNCell, LSTMCell, GRUCell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..dtypes import DType
from ..errors import ArgumentError, ShapeError
from ..functions.creation import empty, zeros
from ..functions.shape import squeeze, unsqueeze
from ..tensor import Tensor
from . import init
from .functional.recurrent import CELLS, Weights
from .module import Module
from .parameter import Parameter


class RNNCellBase(Module):
    """What the cells share.

    Args:
        input_size, hidden_size: features of input and hidden state.
        bias: whether there are biases.
        num_chunks: rows of the weights, in hidden sizes.
    """

    weight_ih: Any
    weight_hh: Any
    bias_ih: Any
    bias_hh: Any

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = num_chunks * hidden_size
        self.weight_ih = Parameter(empty(rows, input_size, device=device, dtype=dtype))
        self.weight_hh = Parameter(empty(rows, hidden_size, device=device, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            value = Parameter(empty(rows, device=device, dtype=dtype)) if bias else None
            self.register_parameter(name, value)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters uniformly in +-1 / sqrt(hidden_size)."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def extra_repr(self) -> str:
        """Sizes and the options that differ from their defaults."""
        text = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        nonlinearity = self.__dict__.get("nonlinearity", "tanh")
        return text if nonlinearity == "tanh" else f"{text}, nonlinearity={nonlinearity}"

    def _step(self, mode: str, input: Tensor, hx: Sequence[Tensor] | None) -> list[Tensor]:
        name, cell = type(self).__name__, CELLS[mode]
        if input.aval.ndim not in (1, 2):
            raise ArgumentError(
                f"{name} got {input.aval}",
                f"{name}: Expected input to be 1D or 2D, got {input.aval.ndim}D instead.",
                "(N, features), or (features) without a batch",
            )
        batched = input.aval.ndim == 2
        if input.shape[-1] != self.input_size:
            raise ShapeError(
                f"{name} got {input.aval}",
                f"input has inconsistent input_size: got {input.shape[-1]}, expected "
                f"{self.input_size}.",
            )
        shape = (*input.shape[:-1], self.hidden_size)
        if hx is None:
            hx = [zeros(*shape, dtype=input.dtype) for _ in range(cell.states)]
        for h in hx:
            if h.shape != shape:
                raise ShapeError(
                    f"{name} got {input.aval} and a state {h.aval}",
                    f"The state must have shape {list(shape)}.",
                )
        weights = Weights(self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        if not batched:
            input, hx = unsqueeze(input, 0), [unsqueeze(h, 0) for h in hx]
        new = cell.step(cell.project(input, weights), list(hx), weights)
        return new if batched else [squeeze(h, 0) for h in new]


class RNNCell(RNNCellBase):
    """``tanh(W_ih x + b_ih + W_hh h + b_hh)``, or with ``relu`` (Elman 1990).

    ``forward(input, hx=None)`` takes ``(N, input_size)`` or ``(input_size)`` and a state of the
    same batch, zeros when omitted, and returns the new state.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> nn.RNNCell(3, 5)(fg.ones(2, 3)).shape
        fusegrad.Size([2, 5])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The new hidden state."""
        if self.nonlinearity not in ("tanh", "relu"):
            raise ShapeError(
                f"RNNCell with nonlinearity={self.nonlinearity!r}",
                f"Unknown nonlinearity: {self.nonlinearity}.",
                "'tanh' or 'relu'",
            )
        mode = f"RNN_{self.nonlinearity.upper()}"
        return self._step(mode, input, None if hx is None else [hx])[0]


class LSTMCell(RNNCellBase):
    """One step of long short-term memory (Hochreiter and Schmidhuber 1997).

    ``forward(input, hx=None)`` takes and returns the state as a pair ``(h, c)``.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> h, c = nn.LSTMCell(3, 5)(fg.ones(2, 3))
        >>> h.shape, c.shape
        (fusegrad.Size([2, 5]), fusegrad.Size([2, 5]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """The new state ``(h, c)``."""
        hidden, cell = self._step("LSTM", input, hx)
        return hidden, cell


class GRUCell(RNNCellBase):
    """One step of a gated recurrent unit (Cho et al. 2014, with PyTorch's reset gate).

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad import nn
        >>> nn.GRUCell(3, 5)(fg.ones(2, 3), fg.zeros(2, 5)).shape
        fusegrad.Size([2, 5])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The new hidden state."""
        return self._step("GRU", input, None if hx is None else [hx])[0]
