"""Control flow: ``scan``, a loop of fixed length whose body is a graph among its parameters.

A loop cannot be composed of other primitives without its compile time growing with the trip count.
The tensor level (``fusegrad/loops.py``) traces bodies and differentiates them, the schedule lowers
a body once into the launch table, where the loop is a jump.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dtypes import float64
from ..errors import ShapeError
from ..ir.aval import Aval
from ..ir.builder import Builder
from ..ir.graph import Graph
from ..ir.interpret import interpret
from ..ir.primitive import Primitive
from .elementwise import add, mul, tanh
from .kinds import FLOAT
from .samples import Drawn, draw


def stacked(aval: Aval, length: int) -> Aval:
    """The aval of ``length`` values along a new leading axis."""
    return Aval((length, *aval.shape), aval.dtype)


def _scan_aval(
    *avals: Aval, body: Graph, consts: int, carries: int, length: int, reverse: bool
) -> tuple[Aval, ...]:
    first = consts + carries
    expected = [v.aval if k < first else stacked(v.aval, length) for k, v in enumerate(body.inputs)]
    if list(avals) != expected:
        raise ShapeError(
            f"scan got {', '.join(map(str, avals))}",
            f"Its body takes {', '.join(map(str, expected))} over {length} steps.",
        )
    outs = [a.aval for a in body.outputs]
    carried = [a.aval for a in body.inputs[consts:first]]
    if outs[:carries] != carried:
        raise ShapeError(
            f"the body of a scan turns the carry {', '.join(map(str, carried))} into "
            f"{', '.join(map(str, outs[:carries]))}",
            "A carry keeps its shape and dtype from step to step.",
        )
    return (*outs[:carries], *[stacked(a, length) for a in outs[carries:]])


def _scan_reference(
    *arrays: Any, body: Graph, consts: int, carries: int, length: int, reverse: bool
) -> tuple[np.ndarray, ...]:
    first = consts + carries
    fixed, carry, xs = arrays[:consts], list(arrays[consts:first]), arrays[first:]
    ys = [np.empty((length, *a.aval.shape), a.aval.dtype.np) for a in body.outputs[carries:]]
    for t in reversed(range(length)) if reverse else range(length):
        out = interpret(body, [*fixed, *carry, *[x[t] for x in xs]])
        carry = out[:carries]
        for stack, y in zip(ys, out[carries:], strict=True):
            stack[t] = y
    return (*carry, *ys)


def _scan_samples(rng: np.random.Generator, dtype: Any, domain: tuple[float, float]) -> Drawn:
    """``c = tanh(a * c + x)``, emitted; one more carry that is a running sum."""
    drawn: Drawn = []
    for length, reverse in ((3, False), (4, True), (1, False)):
        builder = Builder()
        one = Aval((2,), dtype)
        a, c, s, x = (builder.input(one) for _ in range(4))
        with builder.active():
            new = tanh(add(mul(a, c), x)) if dtype in FLOAT else add(c, x)
            total = add(s, new)
        graph = builder.finish([new, total, new])
        operands = [draw(rng, (2,), dtype, domain) for _ in range(3)]
        operands.append(draw(rng, (length, 2), dtype, domain))
        params = {"body": graph, "consts": 1, "carries": 2, "length": length, "reverse": reverse}
        drawn.append((tuple(operands), params))
    return drawn


scan: Primitive = Primitive(
    name="scan",
    kind="control",
    arg_names=(),
    aval_rule=_scan_aval,
    reference=_scan_reference,
    linearity="explicit",
    samples=_scan_samples,
    dtypes=(float64,),
    multiple=True,
    doc="A loop of `length` steps over slices of stacked operands; operands are loop constants, "
    "initial carries, stacks; results are final carries, then stacks of what each step emits.",
)


def split_operands(values: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Loop constants, initial carries and stacks among the operands of a scan."""
    first = params["consts"] + params["carries"]
    return values[: params["consts"]], values[params["consts"] : first], values[first:]
