"""The generated Python function in front of a program's native call.

Straight-line checks of the structure epoch, the constants around the function and the arguments'
signatures; then a few addresses are patched and the program runs. The unusual goes to ``slow``,
which finds or makes the right trace.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import CaptureError
from .runtime import allocator
from .tensor import Tensor, epoch, grad_mode
from .trace.tree import LEAF, unflatten

if TYPE_CHECKING:
    from .traced import Trace


_KEYS: dict[Any, Any] = {}


def tensor_key(tensor: Tensor) -> Any:
    """The interned signature of an argument tensor: shape, dtype, gradient flag, layout."""
    value = tensor._value
    key = (
        value.shape,
        value.dtype.num,
        tensor.requires_grad,
        value.flags.c_contiguous or value.strides,
        tensor._weak,
    )
    tensor._key = _KEYS.setdefault(key, key)
    return tensor._key


def tensor_address(tensor: Tensor) -> int:
    """Address of a tensor's first element, remembered."""
    tensor._ptr = allocator.address_of(tensor._value)
    return tensor._ptr


def write_call(trace: Trace) -> Callable[..., Any]:
    """Generate ``call(slow, *args)`` for a trace whose arguments are positional leaves."""
    scope: dict[str, Any] = {
        "T": trace,
        "Tensor": Tensor,
        "epoch": epoch,
        "mode": grad_mode,
        "key": tensor_key,
        "address": tensor_address,
        "cells": trace.program.cells,
        "lock": trace.lock,
        "P": trace.program,
        "run": trace.program.runner,
        "scalars": trace.scalars,
        "dense": np.ascontiguousarray,
        "address_of": allocator.address_of,
        "ndarray": np.ndarray,
        "finish": _finish_error,
    }
    tests: list[str] = []
    patches: list[str] = []
    names = _argument_names(trace, scope, tests, patches)
    for k, constant in enumerate(trace.constants):
        scope[f"V{k}"], scope[f"C{k}"] = constant.value, constant
        if constant.snapshot is not None:
            tests.append(f"C{k}.holds()")
        elif constant.key is None:
            scope[f"R{k}"] = constant.container
            tests.append(f"(R{k}.cell_contents is V{k} or C{k}.holds())")
        else:
            scope[f"R{k}"] = constant.container
            tests.append(f"(R{k}.get({constant.key!r}) is V{k} or C{k}.holds())")
    for k, (tensor, version) in enumerate(trace.capture.baked):
        scope[f"B{k}"] = tensor._storage
        tests.append(f"B{k}.version == {version}")
    lines = [f"def call({', '.join(['slow', *names])}):"]
    guard = " and ".join(["T.epoch == epoch[0]", f"mode.enabled is {trace.grad_enabled}", *tests])
    lines += [f"    if not ({guard}):", f"        return slow({', '.join(names)})"]
    lines += _alias_checks(trace, scope)
    lines.append("    with lock:")
    lines += ["        " + p for p in patches]
    for k, (array, copy) in enumerate(trace.copied_state):
        scope[f"S{k}"], scope[f"D{k}"] = array, copy
        lines.append(f"        D{k}[...] = S{k}")
    lines += _outputs(trace, scope)
    lines += ["        P.calls += 1", "        if run():", "            finish(P)"]
    for k in range(len(trace.copied_state)):
        lines.append(f"        if S{k}.flags.writeable: S{k}[...] = D{k}")
    lines += _write_back(trace)
    lines += ["    " + line for line in _results(trace, scope)]
    exec(compile("\n".join(lines), "<fusegrad call>", "exec"), scope)
    scope["call"].text = "\n".join(lines)
    return scope["call"]  # type: ignore[no-any-return]


def _alias_checks(trace: Trace, scope: dict[str, Any]) -> list[str]:
    """Tests that no argument shares memory with something the step writes.

    A trace sees arguments and state as separate values, so a write to one would not be seen
    through the other.
    """
    lines: list[str] = []
    tensors = [
        (k, position)
        for k, (position, _, original) in enumerate(trace.arguments)
        if isinstance(original, Tensor)
    ]
    if trace.mutated:
        scope["written"] = set(trace.mutated)
        for _, position in tensors:
            lines.append(f"    if a{position}._storage in written: refuse({position}, 'its state')")
    for k in trace.mutated_arguments:
        position, _, original = trace.arguments[k]
        for _, other in tensors:
            if other != position and isinstance(original, Tensor):
                lines.append(
                    f"    if overlap(a{position}._value, a{other}._value): "
                    f"refuse({other}, 'argument {position}')"
                )
    scope["refuse"], scope["overlap"] = _refuse_alias, np.may_share_memory
    return lines


def _refuse_alias(position: int, what: str) -> None:
    raise CaptureError(
        f"argument {position} of a jitted function shares memory with {what}, which it changes",
        "A trace treats arguments and state as separate values.",
        "pass x.clone(), or use the tensor inside the function without passing it",
    )


def _finish_error(program: Any) -> None:
    error, program.error = program.error, None
    program.job.stop = 0
    if error is not None:
        raise error


def _argument_names(
    trace: Trace, scope: dict[str, Any], tests: list[str], patches: list[str]
) -> list[str]:
    """One name per leaf; tests of its signature and patches of its address."""
    count = _count(trace.structure)
    by_leaf = {position: k for k, (position, _, _) in enumerate(trace.arguments)}
    leaves = trace.leaves
    for position in range(count):
        name = f"a{position}"
        if position not in by_leaf:
            scope[f"L{position}"] = leaf = leaves[position]
            plain = isinstance(leaf, (bool, int, float, str, bytes))
            same = f"{name} is L{position}"
            if plain:
                same = f"({same} or (type({name}) is type(L{position}) and {name} == L{position}))"
            tests.append(same)
            continue
        k = by_leaf[position]
        cells = trace.program.positions.get(trace.argument_places[k], [])
        if type(trace.arguments[k][2]) is float:
            tests.append(f"type({name}) is float")
            patches.append(f"scalars[{k}] = {name}")
        elif isinstance(trace.arguments[k][2], np.ndarray):
            scope[f"A{k}"] = trace.arguments[k][2].shape
            scope[f"N{k}"] = trace.arguments[k][2].dtype
            tests.append(
                f"type({name}) is ndarray and {name}.shape == A{k} and {name}.dtype == N{k}"
            )
            patches.append(f"d{k} = dense({name})")
            patches += [f"cells[{c}] = address_of(d{k})" for c in cells]
        else:
            _tensor_argument(trace, k, name, cells, scope, tests, patches)
    return [f"a{p}" for p in range(count)]


def _tensor_argument(
    trace: Trace,
    k: int,
    name: str,
    cells: list[int],
    scope: dict[str, Any],
    tests: list[str],
    patches: list[str],
) -> None:
    original = trace.arguments[k][2]
    scope[f"K{k}"] = tensor_key(original)
    scope[f"Y{k}"] = type(original)
    tests.append(f"type({name}) is Y{k} and ({name}._key or key({name})) is K{k}")
    if not original._value.flags.c_contiguous:
        patches.append(f"d{k} = dense({name}._value)")
        patches += [f"cells[{c}] = address_of(d{k})" for c in cells]
    elif len(cells) == 1:
        patches.append(f"cells[{cells[0]}] = {name}._ptr or address({name})")
    elif cells:
        patches.append(f"x = {name}._ptr or address({name})")
        patches.append(" = ".join([f"cells[{c}]" for c in cells] + ["x"]))


def _outputs(trace: Trace, scope: dict[str, Any]) -> list[str]:
    lines = []
    for k, (output, slot) in enumerate(trace.slots):
        scope[f"O{k}"], scope[f"Q{k}"] = slot, slot.pool
        lines.append(f"        o{k}, x = Q{k}.pop() if Q{k} else O{k}.refill()")
        for cell in trace.program.positions.get(trace.plan.outputs[output], []):
            lines.append(f"        cells[{cell}] = x")
    return lines


def _write_back(trace: Trace) -> list[str]:
    lines = []
    for k in trace.mutated_arguments:
        position, _, original = trace.arguments[k]
        if isinstance(original, Tensor):
            if not original._value.flags.c_contiguous:
                lines.append(f"        a{position}._value[...] = d{k}")
            lines.append(f"        a{position}._storage.counter += 1")
        else:
            lines.append(f"        if d{k} is not a{position}: a{position}[...] = d{k}")
    for k, slot in trace.argument_grads:
        position = trace.arguments[k][0]
        lines.append(f"        T.give_grad(a{position}, o{slot})")
    return lines


def _with_edge(array: np.ndarray, edge: Any) -> Tensor:
    out = Tensor(array)
    out._edge = edge
    return out


def _results(trace: Trace, scope: dict[str, Any]) -> list[str]:
    """Lines that wrap the outputs, with their history where they require grad."""
    parts, first = [], []
    scope["with_edge"] = _with_edge
    for k, (kind, value) in enumerate(trace.results):
        if kind == "slot":
            grad = trace.slots[value][1].requires_grad
            parts.append(f"with_edge(o{value}, (node, {value}))" if grad else f"Tensor(o{value})")
            if grad and trace.mutated:  # its history only explains itself: the same for all calls
                scope[f"E{value}"] = (trace.node(), value)
                parts[-1] = f"with_edge(o{value}, E{value})"
        else:
            scope[f"Z{k}"] = value
            parts.append(f"Z{k}")
    structure = trace.result_structure
    if any("(node" in part for part in parts):
        arguments = ", ".join(f"a{position}" for position, _, _ in trace.arguments)
        first = [f"node = T.node({arguments})"]
    if structure == LEAF:
        return [*first, f"return {parts[0]}"]
    if structure[0] in (tuple, list) and all(s == LEAF for s in structure[1]):
        inner = ", ".join(parts)
        if structure[0] is tuple:
            return [*first, f"return ({inner},)" if parts else "return ()"]
        return [*first, f"return [{inner}]"]
    scope["rebuild"], scope["structure"] = unflatten, structure
    return [
        *first,
        f"return rebuild(structure, iter(({', '.join(parts)},)))"
        if parts
        else "return rebuild(structure, iter(()))",
    ]


def _count(structure: Any) -> int:
    if structure == LEAF:
        return 1
    return sum(_count(s) for s in structure[-1])
