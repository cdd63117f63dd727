"""Names of argument leaves: ``x``, ``batch[0]``, ``options['rate']``, for reports and kernels.

In: the traced function and the structure of its arguments. Out: one label per leaf, in order.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from .tree import LEAF


def leaf_labels(function: Callable[..., Any], structure: Any) -> list[str]:
    """A name for every leaf of ``(args, kwargs)``, from the parameters and the containers.

    >>> from .tree import flatten
    >>> def step(x, batch): ...
    >>> leaf_labels(step, flatten(((1, [2, {"mask": 3}]), {}), []))
    ['x', 'batch[0]', "batch[1]['mask']"]
    """
    args, kwargs = structure[1]
    names = _positional_names(function, len(args[1]))
    pairs = [*zip(names, args[1]), *zip(kwargs[1], kwargs[2])]
    return [label for name, part in pairs for label in _labels(part, name)]


def _positional_names(function: Callable[..., Any], count: int) -> list[str]:
    names: list[str] = []
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # a builtin
        parameters = []
    for parameter in parameters:
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            names += [f"{parameter.name}[{k}]" for k in range(count - len(names))]
        elif parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            names.append(parameter.name)
    return (names + [f"argument {k}" for k in range(len(names), count)])[:count]


def _labels(structure: Any, name: str) -> list[str]:
    if structure == LEAF:
        return [name]
    keys = range(len(structure[1])) if len(structure) == 2 else structure[1]
    return [
        label
        for key, part in zip(keys, structure[-1])
        for label in _labels(part, f"{name}[{key!r}]")
    ]
