"""Forward mode of a loop: the same loop with tangents carried, sliced, emitted beside the values.

Which carries have a tangent is the smallest set that a step keeps closed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..ir.builder import Builder
from ..ir.graph import Eqn, Graph
from ..ir.primitive import bind
from ..ops.source import full

Push = Callable[..., tuple[list[Any], list[Any]]]


class _Step:
    """The body of a scan and the body of its derivative for a set of active inputs."""

    def __init__(self, body: Graph, active: Sequence[bool], push: Push) -> None:
        self.builder = builder = Builder()
        self.values = [builder.input(v.aval, v.hint) for v in body.inputs]
        self.moves = [
            builder.input(v.aval) if a else None for v, a in zip(body.inputs, active, strict=True)
        ]
        with builder.active(), builder.at(None, backward=False):
            self.results, self.pushed = push(body, self.values, self.moves, builder)


def push_scan(
    eqn: Eqn, args: Sequence[Any], tangents: Sequence[Any], push: Push
) -> tuple[tuple[Any, ...], list[Any]]:
    """Results of a scan and their tangents; ``push`` is ``push_forward``."""
    params, body = eqn.params, eqn.params["body"]
    consts, carries = params["consts"], params["carries"]
    active = [t is not None for t in tangents]
    while True:
        step = _Step(body, active, push)
        more = [
            consts + k
            for k in range(carries)
            if step.pushed[k] is not None and not active[consts + k]
        ]
        if not more:
            break
        for k in more:
            active[k] = True
    moving = [k for k in range(carries) if active[consts + k]]
    emitting = [k for k in range(carries, len(body.outputs)) if step.pushed[k] is not None]
    with step.builder.active(), step.builder.at(None, backward=False):
        carried = [_or_zero(step.pushed[k], body.outputs[k].aval) for k in moving]
    outputs = [
        *step.results[:carries],
        *carried,
        *step.results[carries:],
        *[step.pushed[k] for k in emitting],
    ]
    inputs, operands = _interleaved(step, args, tangents, consts, carries, body)
    constants = step.builder.consts
    graph = Graph([*constants, *inputs], step.builder.eqns, outputs)
    results = bind(
        eqn.primitive,
        *constants.values(),
        *operands,
        **{
            **params,
            "body": graph,
            "consts": len(constants) + consts + sum(active[:consts]),
            "carries": carries + len(moving),
        },
    )
    first = carries + len(moving)
    last = first + len(body.outputs) - carries
    pushed: list[Any] = [None] * len(body.outputs)
    for k, value in zip(moving, results[carries:first], strict=True):
        pushed[k] = value
    for k, value in zip(emitting, results[last:], strict=True):
        pushed[k] = value
    return (*results[:carries], *results[first:last]), pushed


def _interleaved(
    step: _Step,
    args: Sequence[Any],
    tangents: Sequence[Any],
    consts: int,
    carries: int,
    body: Graph,
) -> tuple[list[Any], list[Any]]:
    """Inputs and operands: in each section the values, then the tangents of the active ones."""
    inputs: list[Any] = []
    operands: list[Any] = []
    first = consts + carries
    for low, high in ((0, consts), (consts, first), (first, len(args))):
        section = range(low, high)
        moved = [k for k in section if step.moves[k] is not None]
        inputs += [step.values[k] for k in section] + [step.moves[k] for k in moved]
        operands += [args[k] for k in section]
        operands += [_or_zero(tangents[k], body.inputs[k].aval) for k in moved]
    return inputs, operands


def _or_zero(value: Any, aval: Any) -> Any:
    return full(shape=aval.shape, dtype=aval.dtype, value=0) if value is None else value
