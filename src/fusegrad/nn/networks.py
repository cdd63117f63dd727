"""Recurrent networks and bags of embeddings as functions, under their names at the top level.

PyTorch has them as operators behind the modules: weights come as one flat list, options as
positional arguments. The work is done by the functions behind the modules here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..dtypes import int64
from ..errors import ArgumentTypeError, RangeError, ShapeError
from ..functions.common import cast, pointwise
from ..functions.creation import full, zeros
from ..functions.pointwise import where
from ..functions.scattering import index_reduce
from ..functions.shape import transpose
from ..ops import compare as cmp
from ..ops import source
from ..tensor import Tensor
from .functional import bags
from .functional.layers import _renormalize
from .functional.recurrent import CELLS, Cell, Weights, recurrent_layers
from .rnn import over_packed
from .utils.rnn import PackedSequence

__all__ = ["embedding_bag", "embedding_renorm_", "gru", "lstm", "rnn_relu", "rnn_tanh"]


def _weights(
    name: str, params: Sequence[Tensor], biases: bool, layers: int, directions: int, projected: bool
) -> list[list[Weights]]:
    """The flat list of weights by layer and direction."""
    each = 2 + 2 * biases + projected
    if len(params) != each * layers * directions:
        raise RangeError(
            f"{name} with {len(params)} weights",
            f"{layers} layers of {directions} directions have {each} weights each.",
            "[p for layer in module.all_weights for p in layer]",
        )
    found = []
    for k in range(0, len(params), each):
        first, second, *rest = params[k : k + each]
        ih, hh = rest[:2] if biases else (None, None)
        found.append(Weights(first, second, ih, hh, rest[-1] if projected else None))
    return [found[k : k + directions] for k in range(0, len(found), directions)]


def _network(kind: str) -> Callable[..., tuple[Tensor, ...]]:
    cell: Cell = CELLS[kind]
    name = kind.lower()

    def run(x: Tensor, valid: Tensor | None, hx: Any, rest: tuple[Any, ...]) -> Any:
        params, biases, layers, rate, train, bidirectional = rest
        states = list(hx) if cell.states > 1 else [hx]
        directions = 2 if bidirectional else 1
        if len(states) != cell.states or any(
            s.aval.ndim != 3 or s.aval.shape[:2] != (layers * directions, x.aval.shape[1])
            for s in states
        ):
            raise ShapeError(
                f"{name} of {x.aval} with states {', '.join(str(s.aval) for s in states)}",
                f"Expected {cell.states} of shape [{layers * directions}, {x.aval.shape[1]}, *].",
            )
        projected = cell.states > 1 and states[0].aval.shape[2] != states[1].aval.shape[2]
        weights = _weights(name, params, biases, layers, directions, projected)
        return recurrent_layers(cell, x, states, weights, rate if train else 0.0, valid)

    def function(input: Tensor, *args: Any, **options: Any) -> tuple[Tensor, ...]:
        packed = len(args) + len(options) == 8 and "batch_first" not in options
        packed = packed and isinstance(args[0], Tensor) and args[0].aval.ndim == 1
        names = _PACKED if packed else _PADDED
        given = dict(zip(names, args))
        if len(args) > len(names) or set(options) != set(names) - set(given):
            raise ArgumentTypeError(
                f"{name} with {len(args)} arguments and {sorted(options)}",
                f"It takes input, {', '.join(_PADDED)}, or data, {', '.join(_PACKED)}.",
            )
        given.update(options)
        hx, rest = given["hx"], tuple(given[n] for n in _OPTIONS)
        if packed:
            sequence = PackedSequence(input, given["batch_sizes"])
            output, states = over_packed(sequence, lambda x, valid: run(x, valid, hx, rest))
            return output, *states
        if input.aval.ndim != 3:
            raise ShapeError(f"{name} of {input.aval}", "It takes batches of sequences, 3-D.")
        first = given["batch_first"]
        output, states = run(transpose(input, 0, 1) if first else input, None, hx, rest)
        return transpose(output, 0, 1) if first else output, *states

    function.__name__ = name
    state = "two states (hidden, cell)" if cell.states > 1 else "the hidden state"
    function.__doc__ = (
        f"A {kind} network: ``{name}(input, {', '.join(_PADDED)})``, or for packed sequences "
        f"``{name}(data, {', '.join(_PACKED)})``.\n\n"
        f"``hx`` is {state}, ``(layers * directions, N, hidden)``; ``params`` the weights of all\n"
        "layers and directions in one list. Returns the outputs and the last state(s)."
    )
    return function


_OPTIONS = ("params", "has_biases", "num_layers", "dropout", "train", "bidirectional")
_PADDED = ("hx", *_OPTIONS, "batch_first")
_PACKED = ("batch_sizes", "hx", *_OPTIONS)
gru, lstm = _network("GRU"), _network("LSTM")
rnn_tanh, rnn_relu = _network("RNN_TANH"), _network("RNN_RELU")


def embedding_renorm_(
    self: Tensor, indices: Tensor, max_norm: float, norm_type: float = 2.0
) -> Tensor:
    """Shrink the rows of a table that ``indices`` name to ``max_norm``, in place.

    Example:
        >>> import fusegrad as fg
        >>> fg.embedding_renorm_(fg.tensor([[3.0, 4.0], [3.0, 4.0]]), fg.tensor([1]), 5e-7, 2.0)[0]
        tensor([3., 4.])
    """
    _renormalize(self, indices, max_norm, norm_type)
    return self


def embedding_bag(
    weight: Tensor,
    indices: Tensor,
    offsets: Tensor,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """``nn.functional.embedding_bag`` with mode 0 (sum), 1 (mean) or 2 (max).

    Returns:
        the bags; the bag of each index; how many indices each bag has; the same again, or for
        maxima the row that each is from, ``[bags, features]``. Of the last three PyTorch computes
        only what its kernel happens to need.

    Example:
        >>> import fusegrad as fg
        >>> table, bags = fg.tensor([[1.0], [2.0], [4.0]]), fg.tensor([0, 2])
        >>> fg.embedding_bag(table, fg.tensor([0, 1, 2]), bags)[0].tolist()
        [[3.0], [4.0]]
    """
    if mode not in (0, 1, 2):
        raise RangeError(f"embedding_bag with mode={mode!r}", "It is 0 sum, 1 mean or 2 max.")
    out = bags.embedding_bag(
        indices, weight, offsets, scale_grad_by_freq=scale_grad_by_freq,
        mode=("sum", "mean", "max")[mode], sparse=sparse, per_sample_weights=per_sample_weights,
        include_last_offset=include_last_offset, padding_idx=padding_idx,
    )  # fmt: skip
    count, total = out.aval.shape[0], indices.aval.shape[0]
    bag = bags._bag_of(offsets[:count], total)
    skipped = -1 if padding_idx is None else padding_idx % weight.aval.shape[0]
    kept = cmp.ne(cast(indices, int64), skipped)
    sizes = zeros(count, dtype=int64).index_add(0, bag, cast(kept, int64))  # type: ignore[attr-defined]
    if mode < 2:
        return out, bag, sizes, sizes
    hit = pointwise(cmp.and_, cmp.eq(weight[indices], out.detach()[bag]), kept[:, None])  # type: ignore[attr-defined]
    ramp = Tensor(source.iota(shape=(total, 1), dtype=int64, axis=0))
    start = full(out.aval.shape, total, dtype=int64)
    first = index_reduce(start, 0, bag, where(hit, ramp, total), "amin")
    rows = where(cmp.lt(first, total), cast(indices, int64)[first.clamp(max=max(total - 1, 0))], 0)  # type: ignore[attr-defined]
    return out, bag, sizes, rows
