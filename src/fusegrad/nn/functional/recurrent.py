"""Steps of recurrent cells, and one recurrent layer as a loop over time.

In: a projection of the inputs of all steps, computed as one product in front of the loop, and the
weights. Out: hidden states of all steps and the last state. The cells call the same steps once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ...functions.pointwise import relu, sigmoid, tanh, where
from ...functions.shape import cat, stack, unbind, unflatten
from ...loops import scan_tensors
from ...ops import elementwise as ew
from ...tensor import Tensor
from .layers import dropout, linear

State = list[Tensor]


class Weights(NamedTuple):
    """Weights of one layer and direction; absent ones are ``None``."""

    input: Tensor
    hidden: Tensor
    input_bias: Tensor | None = None
    hidden_bias: Tensor | None = None
    projection: Tensor | None = None


class Cell(NamedTuple):
    """A kind of recurrent cell.

    Attributes:
        gates: rows of the weights, in hidden sizes.
        states: tensors of the state, the hidden state first.
        project: what a step needs of its input: ``(x, weights)``.
        step: ``(projected, state, weights)`` to the new state.
    """

    gates: int
    states: int
    project: Callable[[Tensor, Weights], Tensor]
    step: Callable[[Tensor, State, Weights], State]


def _project_all(x: Tensor, w: Weights) -> Tensor:
    """Input product with both biases, for cells that only add them."""
    if w.input_bias is None or w.hidden_bias is None:
        return linear(x, w.input)
    return linear(x, w.input, ew.add(w.input_bias, w.hidden_bias))


def _elman(activation: Callable[[Tensor], Tensor]) -> Cell:
    def step(projected: Tensor, state: State, w: Weights) -> State:
        return [activation(ew.add(linear(state[0], w.hidden), projected))]

    return Cell(1, 1, _project_all, step)


def _gates(x: Tensor, count: int) -> tuple[Tensor, ...]:
    """Parts of the last axis, as slices of an axis of their own.

    The gradient of a slice is padded; which part an element belongs to is then the same all along
    the innermost axis, so its kernel decides once per row instead of once per element.
    """
    return unbind(unflatten(x, -1, (count, x.shape[-1] // count)), -2)


def _lstm_step(projected: Tensor, state: State, w: Weights) -> State:
    hidden, cell = state
    gates = ew.add(linear(hidden, w.hidden), projected)
    i, f, g, o = _gates(gates, 4)
    new = ew.add(ew.mul(sigmoid(f), cell), ew.mul(sigmoid(i), tanh(g)))
    out = ew.mul(sigmoid(o), tanh(new))
    return [out if w.projection is None else linear(out, w.projection), new]


def _gru_step(projected: Tensor, state: State, w: Weights) -> State:
    (hidden,) = state
    xr, xz, xn = _gates(projected, 3)
    hr, hz, hn = _gates(linear(hidden, w.hidden, w.hidden_bias), 3)
    r, z = sigmoid(ew.add(xr, hr)), sigmoid(ew.add(xz, hz))
    n = tanh(ew.add(xn, ew.mul(r, hn)))
    return [ew.add(n, ew.mul(z, ew.sub(hidden, n)))]


CELLS = {
    "RNN_TANH": _elman(tanh),
    "RNN_RELU": _elman(relu),
    "LSTM": Cell(4, 2, _project_all, _lstm_step),
    "GRU": Cell(3, 1, lambda x, w: linear(x, w.input, w.input_bias), _gru_step),
}


def recurrent_layer(
    cell: Cell, x: Tensor, state: Sequence[Tensor], w: Weights, reverse: bool, valid: Any = None
) -> tuple[Tensor, State]:
    """One layer over ``(T, N, features)`` in one direction.

    Args:
        cell: the kind of cell.
        x: inputs of all steps.
        state: state in front of the first step.
        w: weights.
        reverse: walk from the last step to the first.
        valid: booleans ``(T, N, 1)``; where they are false a sequence keeps its state.

    Returns:
        hidden states ``(T, N, hidden)`` and the last state.
    """
    xs = [cell.project(x, w), *([] if valid is None else [valid])]

    def step(old: State, slices: list[Tensor]) -> tuple[State, list[Tensor]]:
        new = cell.step(slices[0], old, w)
        if valid is not None:
            new = [where(slices[1], n, o) for n, o in zip(new, old, strict=True)]
        return new, [new[0]]

    last, (hidden,) = scan_tensors(step, list(state), xs, x.shape[0], reverse)
    return hidden, last


def recurrent_layers(
    cell: Cell,
    x: Tensor,
    states: State,
    weights: Sequence[Sequence[Weights]],
    rate: float,
    valid: Any = None,
) -> tuple[Tensor, State]:
    """Layers over ``(T, N, features)``, each reading the hidden states of the one below.

    Args:
        cell: the kind of cell.
        x: inputs of all steps.
        states: states in front of the first step, ``(layers * directions, N, *)``.
        weights: those of each layer, for one direction or forward and backward.
        rate: probability of dropping outputs of all layers but the last.
        valid: booleans ``(T, N, 1)``; where they are false a sequence keeps its state.

    Returns:
        hidden states of the last layer, and the last states of all.
    """
    last: list[State] = []
    for layer, directions in enumerate(weights):
        outputs = []
        for k, w in enumerate(directions):
            begin = [s[layer * len(directions) + k] for s in states]
            y, end = recurrent_layer(cell, x, begin, w, k == 1, valid)
            outputs.append(y)
            last.append(end)
        x = outputs[0] if len(outputs) == 1 else cat(outputs, -1)
        if rate and layer < len(weights) - 1:
            x = dropout(x, rate, True)
    return x, [stack(list(column), 0) for column in zip(*last, strict=True)]
