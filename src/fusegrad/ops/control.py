"""Control flow: ``scan``, ``while`` and ``cond``, whose bodies are graphs among their parameters.

A loop cannot be composed of other primitives without its compile time growing with the trip count.
The tensor level (``fusegrad/loops.py``) traces bodies and differentiates them, the schedule lowers
a body once into the launch table, where the loop is a jump.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dtypes import float64, int64
from ..errors import ShapeError
from ..ir.aval import Aval
from ..ir.builder import Builder
from ..ir.graph import Graph
from ..ir.interpret import interpret
from ..ir.primitive import Primitive
from .compare import convert, lt
from .elementwise import add, mul
from .kinds import FLOAT
from .samples import Drawn, draw
from .transcendental import tanh


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
    return (*map(np.array, carry), *ys)  # a carry that no step changed is still a new value


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


# --- branches and loops of unknown length ---------------------------------------------------------
def _cond_aval(pred: Aval, *avals: Aval, true: Graph, false: Graph) -> tuple[Aval, ...]:
    results = [tuple(a.aval for a in g.outputs) for g in (true, false)]
    if results[0] != results[1]:
        raise ShapeError(
            f"the branches of a cond give {', '.join(map(str, results[0]))} and "
            f"{', '.join(map(str, results[1]))}",
            "Both branches give values of the same shapes and dtypes.",
        )
    for graph in (true, false):
        _same_operands("cond", [v.aval for v in graph.inputs], avals)
    return results[0]


def _same_operands(name: str, expected: Sequence[Aval], avals: Sequence[Aval]) -> None:
    if list(avals) != list(expected):
        raise ShapeError(
            f"{name} got {', '.join(map(str, avals))}",
            f"Its graphs take {', '.join(map(str, expected))}.",
        )


def _cond_reference(
    pred: np.ndarray, *arrays: Any, true: Graph, false: Graph
) -> tuple[np.ndarray, ...]:
    return tuple(map(np.array, interpret(true if pred else false, arrays)))


def _choice(rng: np.random.Generator, dtype: Any, domain: tuple[float, float]) -> Drawn:
    """``2 x`` or ``tanh x``, and ``x + y`` or ``y``."""
    drawn: Drawn = []
    for shape, pred in (((2,), 1), ((3, 1), 0)):
        graphs = []
        for first, second in ((lambda x: mul(x, 2.0), add), (tanh, lambda x, y: y)):
            builder = Builder()
            x, y = (builder.input(Aval(shape, dtype)) for _ in range(2))
            with builder.active():
                graphs.append(builder.finish([first(x), second(x, y)]))
        operands = (
            np.int64(pred).reshape(()),
            *(draw(rng, shape, dtype, domain) for _ in range(2)),
        )
        drawn.append((operands, {"true": graphs[0], "false": graphs[1]}))
    return drawn


cond: Primitive = Primitive(
    name="cond",
    kind="control",
    arg_names=("pred",),
    aval_rule=_cond_aval,
    reference=_cond_reference,
    linearity="explicit",
    samples=_choice,
    dtypes=(float64,),
    multiple=True,
    doc="The results of one of two graphs of the same operands: `true` where the int64 `pred` is "
    "not zero, else `false`.",
)


def _while_aval(*avals: Aval, test: Graph, body: Graph, consts: int) -> tuple[Aval, ...]:
    for graph in (test, body):
        _same_operands("while", [v.aval for v in graph.inputs], avals)
    carried, outs = tuple(avals[consts:]), tuple(a.aval for a in body.outputs)
    if outs != carried:
        raise ShapeError(
            f"the body of a while loop turns the carry {', '.join(map(str, carried))} into "
            f"{', '.join(map(str, outs))}",
            "A carry keeps its shape and dtype from step to step.",
        )
    return carried


def _while_reference(*arrays: Any, test: Graph, body: Graph, consts: int) -> tuple[np.ndarray, ...]:
    fixed, carry = arrays[:consts], arrays[consts:]
    while interpret(test, [*fixed, *carry])[0]:
        carry = tuple(interpret(body, [*fixed, *carry]))
    return tuple(map(np.array, carry))


def _doubling(rng: np.random.Generator, dtype: Any, domain: tuple[float, float]) -> Drawn:
    """Double ``x`` and count while the count is below a limit."""
    drawn: Drawn = []
    for shape, limit in (((2,), 3.0), ((3, 2), 0.0)):
        graphs = []
        for part in ("test", "body"):
            builder = Builder()
            n, x, k = (builder.input(Aval(s, dtype)) for s in ((), shape, ()))
            with builder.active():
                more = convert(lt(k, n), dtype=int64)
                graphs.append(
                    builder.finish([more] if part == "test" else [mul(x, 2.0), add(k, 1.0)])
                )
        operands = (
            np.asarray(limit, dtype.np),
            draw(rng, shape, dtype, domain),
            np.zeros((), dtype.np),
        )
        drawn.append((operands, {"test": graphs[0], "body": graphs[1], "consts": 1}))
    return drawn


while_: Primitive = Primitive(
    name="while",
    kind="control",
    arg_names=(),
    aval_rule=_while_aval,
    reference=_while_reference,
    linearity="explicit",
    samples=_doubling,
    dtypes=(float64,),
    multiple=True,
    doc="Repeat `body` on the carry while `test` gives an int64 that is not zero; operands are "
    "loop constants, then initial carries.",
)
