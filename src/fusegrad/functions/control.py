"""Control flow over tensors under JAX's contracts: ``scan``, ``map``, ``cond``, ``while_loop``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..branches import as_condition, cond_tensors, while_tensors
from ..errors import ArgumentError, ArgumentTypeError, ShapeError
from ..ir.primitive import current_builder
from ..loops import scan_tensors
from ..tensor import Tensor
from ..trace.tree import flatten, unflatten
from .common import as_tensor_operand
from .shape import stack


class _Tree:
    """A pytree as tensors: its structure with ``None`` leaves kept in place."""

    def __init__(self, value: Any, name: str) -> None:
        leaves: list[Any] = []
        self.structure = flatten(value, leaves)
        self.holes = [leaf is None for leaf in leaves]
        self.tensors = [as_tensor_operand(leaf, name) for leaf in leaves if leaf is not None]

    def same(self, other: _Tree) -> bool:
        """Whether the containers agree."""
        return self.structure == other.structure and self.holes == other.holes

    def build(self, tensors: Sequence[Tensor]) -> Any:
        """The tree with other leaves."""
        rest = iter(tensors)
        return unflatten(self.structure, iter([None if h else next(rest) for h in self.holes]))


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
) -> tuple[Any, Any]:
    """Loop over the leading axis of ``xs`` with a carried state.

    Eagerly this is the Python loop ``for x in xs: carry, y = f(carry, x)``. Inside a function under
    ``@fg.jit`` the body is traced and compiled once, whatever the length, and the gradient is a
    second loop. ``f`` may close over tensors; the carry, ``xs`` and ``y`` are any nesting of
    tuples, lists, dicts and dataclasses of tensors.

    Args:
        f: takes the carry and one slice of ``xs``; returns the new carry, of the same structure,
            shapes and dtypes, and what the step emits.
        init: the first carry.
        xs: tensors with one common leading extent; ``None`` when the step reads none.
        length: number of steps; needed when ``xs`` has no tensors.
        reverse: walk from the last slice to the first; emitted values keep the places of the slices
            they belong to.

    Returns:
        the last carry, and the emitted values stacked along a new leading axis.

    Raises:
        ValueError: no length, or leading extents of ``xs`` that differ.
        RuntimeError: a carry that changes its shape or dtype.
        TypeError: a step that does not return a pair, or a carry of another structure.

    Example:
        >>> import fusegrad as fg
        >>> total, sums = fg.scan(lambda s, x: (s + x, s + x), fg.tensor(0.0), fg.arange(4.0))
        >>> total.item(), sums.tolist()
        (6.0, [0.0, 1.0, 3.0, 6.0])
    """
    carry, slices = _Tree(init, "scan"), _Tree(xs, "scan")
    count = _length(slices.tensors, length)
    emitted: list[_Tree] = []

    def step(
        state: list[Tensor], parts: list[Tensor], where: str = "a step"
    ) -> tuple[list[Tensor], list[Tensor]]:
        new, y = _pair(f(carry.build(state), slices.build(parts)))
        found, ys = _Tree(new, "scan"), _Tree(y, "scan")
        _check_carry(carry, found, where)
        emitted.append(ys)
        return found.tensors, ys.tensors

    if current_builder() is None and count:
        finals, stacks = _python_loop(step, carry.tensors, slices.tensors, count, reverse)
    else:
        finals, stacks = scan_tensors(step, carry.tensors, slices.tensors, count, reverse)
    return carry.build(finals), emitted[-1].build(stacks)


def _python_loop(
    step: Callable[..., tuple[list[Tensor], list[Tensor]]],
    state: list[Tensor],
    xs: list[Tensor],
    count: int,
    reverse: bool,
) -> tuple[list[Tensor], list[Tensor]]:
    rows: list[list[Tensor]] = []
    for t in reversed(range(count)) if reverse else range(count):
        state, ys = step(state, [x[t] for x in xs], f"step {t}")
        if rows and len(ys) != len(rows[0]):
            raise ArgumentTypeError(
                f"step {t} of a scan emits {len(ys)} tensors, the first one {len(rows[0])}",
                "Every step emits values of the same structure.",
                "return zeros where a step has nothing to emit",
            )
        rows.append(ys)
    if reverse:
        rows.reverse()
    return state, [stack(list(column)) for column in zip(*rows, strict=True)]


def _length(xs: Sequence[Tensor], length: int | None) -> int:
    """The number of steps."""
    if any(not x.shape for x in xs):
        raise ArgumentError(
            "xs of a scan holds a 0-d tensor",
            "A scan walks along the leading axis of every tensor of xs.",
            "close over the tensor in the step function instead",
        )
    extents = [x.shape[0] for x in xs]
    if length is not None:
        extents.append(int(length))
    if not extents or extents[-1] < 0:
        raise ArgumentError(
            f"scan got length={length} and no xs" if not extents else f"scan got length={length}",
            "The number of steps is the leading extent of xs, or length.",
            "scan(f, init, length=10)",
        )
    if len(set(extents)) > 1:
        shapes = ", ".join(str(x.aval) for x in xs)
        given = "" if length is None else f" and length={length}"
        raise ArgumentError(
            f"scan got xs of {shapes}{given}",
            "All tensors of xs must have the same leading extent, which is the number of steps.",
            "cut them to a common length",
        )
    return extents[0]


def _pair(result: Any) -> tuple[Any, Any]:
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise ArgumentTypeError(
            f"the step of a scan returned a {type(result).__name__}",
            "A step returns the new carry and what it emits.",
            "return carry, None when there is nothing to emit",
        )
    return result[0], result[1]


def _check_carry(before: _Tree, after: _Tree, where: str, loop: str = "scan") -> None:
    if not before.same(after):
        raise ArgumentTypeError(
            f"{where} of a {loop} returned a carry of another structure",
            f"The carry began as {before.build([str(t.aval) for t in before.tensors])} and became "  # type: ignore[misc]
            f"{after.build([str(t.aval) for t in after.tensors])}.",  # type: ignore[misc]
            "return the same nesting of tuples, lists and dicts",
        )
    for old, new in zip(before.tensors, after.tensors, strict=True):
        if old.aval != new.aval:
            raise ShapeError(
                f"{where} of a {loop} turned the carry {old.aval} into {new.aval}",
                "A carry keeps its shape and dtype from step to step.",
                "give the initial carry the shape and dtype of the new one, or .to(dtype) the new",
            )


def map(f: Callable[[Any], Any], xs: Any) -> Any:
    """Apply ``f`` to every slice of ``xs`` along the leading axis and stack the results.

    Unlike a Python loop it compiles ``f`` once. A batched operation is faster where there is one.

    Args:
        f: takes one slice.
        xs: tensors with one common leading extent.

    Example:
        >>> import fusegrad as fg
        >>> fg.map(lambda x: x * x.sum(), fg.tensor([[1.0, 2.0], [3.0, 4.0]])).tolist()
        [[3.0, 6.0], [21.0, 28.0]]
    """
    return scan(lambda _, x: (None, f(x)), None, xs)[1]


def cond(
    pred: Any, true_fun: Callable[..., Any], false_fun: Callable[..., Any], *operands: Any
) -> Any:
    """Run one of two functions: ``true_fun(*operands) if pred else false_fun(*operands)``.

    Inside a function under ``@fg.jit`` both are traced, and only the chosen one runs. Where both
    are cheap and elementwise, ``fg.where`` is faster.

    Args:
        pred: one boolean or number; a tensor or a Python value.
        true_fun, false_fun: functions that return the same structure, shapes and dtypes.
        operands: their arguments.

    Raises:
        RuntimeError: results of different shapes or dtypes, or a condition that is not one value.
        TypeError: results of different structures.

    Example:
        >>> import fusegrad as fg
        >>> f = fg.jit(lambda x: fg.cond(x.sum() > 0, lambda x: x * 2, lambda x: -x, x))
        >>> f(fg.tensor([1.0, 2.0])).tolist(), f(fg.tensor([-1.0, -2.0])).tolist()
        ([2.0, 4.0], [1.0, 2.0])
    """
    test = as_tensor_operand(pred, "cond")
    if current_builder() is None:
        chosen = true_fun if as_condition(test, "cond").item() else false_fun
        return chosen(*operands)
    trees: list[_Tree] = []

    def branch(function: Callable[..., Any]) -> Callable[[], list[Tensor]]:
        def run() -> list[Tensor]:
            trees.append(_Tree(function(*operands), "cond"))
            if not trees[0].same(trees[-1]):
                raise ArgumentTypeError(
                    "the branches of a cond return different structures",
                    "Both branches return the same nesting of tuples, lists and dicts.",
                )
            return trees[-1].tensors

        return run

    found = cond_tensors(as_condition(test, "cond"), (branch(true_fun), branch(false_fun)))
    return trees[0].build(found)


def while_loop(
    cond_fun: Callable[[Any], Any], body_fun: Callable[[Any], Any], init_val: Any
) -> Any:
    """Repeat ``carry = body_fun(carry)`` while ``cond_fun(carry)`` holds.

    Eagerly this is Python's ``while``. Inside a function under ``@fg.jit`` it is a native loop; it
    has no reverse mode there, because the number of steps is known only when it ends.

    Args:
        cond_fun: takes the carry, returns one boolean.
        body_fun: takes the carry, returns the next one, of the same structure, shapes and dtypes.
        init_val: the first carry.

    Returns:
        the carry for which ``cond_fun`` does not hold.

    Raises:
        RuntimeError: a carry that changes its shape or dtype; a backward pass through a compiled
            loop.
        TypeError: a carry of another structure.

    Example:
        >>> import fusegrad as fg
        >>> f = fg.jit(lambda x: fg.while_loop(lambda v: v < 100, lambda v: v * 2, x))
        >>> f(fg.tensor(3)).item()
        192
    """
    carry = _Tree(init_val, "while_loop")

    def test(state: list[Tensor]) -> Tensor:
        held = as_tensor_operand(cond_fun(carry.build(state)), "while_loop")
        return as_condition(held, "while_loop")

    def step(state: list[Tensor]) -> list[Tensor]:
        after = _Tree(body_fun(carry.build(state)), "while_loop")
        _check_carry(carry, after, "a step", "while_loop")
        return after.tensors

    state = carry.tensors
    if current_builder() is None:
        while test(state).item():
            state = step(state)
        return carry.build(state)
    return carry.build(while_tensors(test, step, state))
