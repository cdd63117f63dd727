"""Trees of arguments: flatten nested containers into leaves and a hashable structure, and back.

Containers are tuples (named ones too), lists, dicts and dataclasses; everything else is a leaf.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

LEAF = "*"


def flatten(value: Any, leaves: list[Any]) -> Any:
    """Append the leaves of ``value`` in order and return its structure."""
    kind = type(value)
    if kind is tuple or kind is list:
        return (kind, tuple(flatten(v, leaves) for v in value))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return (kind, tuple(flatten(v, leaves) for v in value))
    if isinstance(value, dict):
        return (kind, tuple(value), tuple(flatten(v, leaves) for v in value.values()))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = tuple(f.name for f in dataclasses.fields(value))
        return (kind, names, tuple(flatten(getattr(value, n), leaves) for n in names))
    leaves.append(value)
    return LEAF


def unflatten(structure: Any, leaves: Iterator[Any]) -> Any:
    """Rebuild a value from its structure and an iterator of leaves."""
    if structure is LEAF or structure == LEAF:
        return next(leaves)
    kind = structure[0]
    if len(structure) == 2:
        items = [unflatten(s, leaves) for s in structure[1]]
        if kind in (tuple, list):
            return kind(items)
        return kind(*items)
    names, parts = structure[1], [unflatten(s, leaves) for s in structure[2]]
    pairs = dict(zip(names, parts, strict=True))
    return kind(pairs) if issubclass(kind, dict) else kind(**pairs)


def tree_map(function: Any, value: Any) -> Any:
    """Apply ``function`` to every leaf."""
    leaves: list[Any] = []
    structure = flatten(value, leaves)
    return unflatten(structure, iter([function(x) for x in leaves]))


def describe(structure: Any, names: Sequence[str]) -> str:
    """A structure with its leaves named, for messages."""
    return str(unflatten(structure, iter(names)))
