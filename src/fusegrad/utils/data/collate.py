"""Collating samples into batches: tensors stacked, containers kept."""

from __future__ import annotations

import copy
from collections.abc import Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

from ...errors import ArgumentTypeError, ShapeError
from ...functions.creation import tensor
from ...functions.shape import stack
from ...tensor import Tensor


def _like(sample: Any, parts: dict[Any, Any] | list[Any]) -> Any:
    """``parts`` in a container of the kind of ``sample``; a plain one where that cannot be made."""
    try:
        out: Any = copy.copy(sample)
        if isinstance(sample, MutableMapping):
            out.update(parts)
            return out
        if isinstance(sample, MutableSequence):
            for k, part in enumerate(parts):
                out[k] = part
            return out
        return type(sample)(parts)  # type: ignore[call-arg]
    except TypeError:
        return parts


def default_convert(data: Any) -> Any:
    """NumPy arrays inside any nesting as tensors; tuples become lists."""
    if isinstance(data, (np.ndarray, np.generic)):
        array = np.asarray(data)
        return Tensor(array) if array.dtype.kind in "biufc" else data
    if isinstance(data, Mapping):
        return _like(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(value) for value in data))
    if isinstance(data, tuple):
        return [default_convert(value) for value in data]
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _like(data, [default_convert(value) for value in data])
    return data


def _stacked(batch: Sequence[Tensor]) -> Tensor:
    first = batch[0]
    values = [x._value for x in batch]
    if all(isinstance(v, np.ndarray) for v in values) and not any(x.requires_grad for x in batch):
        if any(v.shape != values[0].shape for v in values):
            return stack(batch)  # raises the error that names the shapes
        return Tensor(np.stack(values).astype(first.dtype.np, copy=False))
    return stack(batch)


def default_collate(batch: Sequence[Any]) -> Any:
    """One batch of samples.

    Args:
        batch: tensors, arrays, numbers, strings, or tuples, lists and dictionaries of them.

    Returns:
        the same nesting with a batch axis in front of every tensor.

    Example:
        >>> from fusegrad.utils.data import default_collate
        >>> default_collate([(1, "a"), (2, "b")])
        [tensor([1, 2]), ('a', 'b')]
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return _stacked(batch)
    if isinstance(first, (np.ndarray, np.generic)):
        arrays = [np.asarray(x) for x in batch]
        if arrays[0].dtype.kind not in "biufc":
            raise _refused(f"an array of {arrays[0].dtype}")
        return _stacked([Tensor(array) for array in arrays])
    if isinstance(first, float):
        return Tensor(np.asarray(batch, np.float64))
    if isinstance(first, (bool, int)):
        return tensor(list(batch))
    if isinstance(first, (str, bytes)):
        return tuple(batch) if isinstance(batch, tuple) else batch
    if isinstance(first, Mapping):
        parts = {key: default_collate([sample[key] for sample in batch]) for key in first}
        return _like(first, parts)
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(default_collate(part) for part in zip(*batch, strict=True)))
    if isinstance(first, Sequence):
        if any(len(sample) != len(first) for sample in batch):
            raise ShapeError(
                "default_collate of sequences of different lengths",
                "each element in list of batch should be of equal size.",
                "pad the samples, or pass collate_fn= to the DataLoader",
            )
        columns = [default_collate(part) for part in zip(*batch, strict=True)]
        return columns if isinstance(first, tuple) else _like(first, columns)
    raise _refused(type(first).__name__)


def _refused(what: str) -> ArgumentTypeError:
    return ArgumentTypeError(
        f"default_collate of {what}",
        "batch must contain tensors, numpy arrays, numbers, dicts or lists.",
        "pass collate_fn= to the DataLoader",
    )
