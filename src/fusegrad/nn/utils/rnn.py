"""Batches of sequences of different lengths: padding and packing (``torch.nn.utils.rnn``).

A packed sequence holds the elements of all sequences step by step without padding. Lengths are data
of the host: inside a jitted function they are lists or tuples of integers, part of the program.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...errors import ArgumentError, ArgumentTypeError, CaptureError, ShapeError, TracedValueError
from ...functions.indexing import index_select
from ...functions.pointwise import where
from ...functions.shape import cat, reshape, transpose
from ...ops import indexing
from ...tensor import Tensor


class _Packed(NamedTuple):
    data: Any
    batch_sizes: Any
    sorted_indices: Any
    unsorted_indices: Any


class PackedSequence(_Packed):
    """Sequences of different lengths as one tensor of steps; made by ``pack_padded_sequence``.

    Attributes:
        data: elements of all sequences, ``(sum of lengths, *)``, step by step.
        batch_sizes: int64, how many sequences have each step.
        sorted_indices: the order from longest to shortest, ``None`` when they came in it.
        unsorted_indices: the way back.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.nn.utils.rnn import pack_sequence
        >>> packed = pack_sequence([fg.tensor([1, 2, 3]), fg.tensor([4, 5])])
        >>> packed.data.tolist(), packed.batch_sizes.tolist()
        ([1, 4, 2, 5, 3], [2, 2, 1])
    """

    __slots__ = ()

    def __new__(
        cls,
        data: Any,
        batch_sizes: Any = None,
        sorted_indices: Any = None,
        unsorted_indices: Any = None,
    ) -> PackedSequence:
        if batch_sizes is None:
            raise ArgumentTypeError(
                "PackedSequence without batch_sizes",
                "batch_sizes says how many sequences have each step.",
                "pack_padded_sequence or pack_sequence",
            )
        if unsorted_indices is None and sorted_indices is not None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The data in another dtype."""
        return self._replace(data=self.data.to(*args, **kwargs))

    def float(self) -> PackedSequence:
        """The data as float32."""
        return self._replace(data=self.data.float())

    def double(self) -> PackedSequence:
        """The data as float64."""
        return self._replace(data=self.data.double())

    def cpu(self) -> PackedSequence:
        """Itself: everything is in main memory."""
        return self

    @property
    def is_cuda(self) -> bool:
        """Whether the data is on a GPU."""
        return False


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes another one.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.nn.utils.rnn import invert_permutation
        >>> invert_permutation(fg.tensor([2, 0, 1])).tolist()
        [1, 2, 0]
    """
    if permutation is None:
        return None
    return Tensor(np.argsort(np.asarray(host_integers(permutation, "permutation"))))


def host_integers(values: Any, name: str) -> list[int]:
    """Lengths as Python integers.

    Raises:
        RuntimeError: a tensor that is being traced.
    """
    if not isinstance(values, Tensor):
        return [int(v) for v in values]
    try:
        return [int(v) for v in values._concrete(name).reshape(-1)]
    except TracedValueError:
        raise CaptureError(
            f"{name} {values.aval} is an argument of a jitted function",
            "Lengths of sequences decide about shapes, so they are no run-time values.",
            "pass the lengths as a list or tuple of int and pack inside the function",
        ) from None


def _sizes(lengths: Sequence[int]) -> list[int]:
    """How many of the sequences, longest first, have each step."""
    return [sum(n > t for n in lengths) for t in range(lengths[0])]


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack a padded batch ``(T, B, *)`` of sequences.

    Args:
        input: padded sequences.
        lengths: one length per sequence; a list or a tensor.
        batch_first: the input is ``(B, T, *)``.
        enforce_sorted: the sequences come longest first; otherwise they are sorted here.

    Raises:
        RuntimeError: lengths that are not positive, not sorted, too long or not one per sequence.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.nn.utils.rnn import pack_padded_sequence
        >>> pack_padded_sequence(fg.arange(6).reshape(3, 2), [3, 1]).data.tolist()
        [0, 1, 2, 4]
    """
    wanted = host_integers(lengths, "lengths")
    if batch_first:
        input = transpose(input, 0, 1)
    steps, batch = input.shape[:2]
    if len(wanted) != batch:
        raise ShapeError(
            f"pack_padded_sequence got {len(wanted)} lengths for {input.aval}",
            f"Expected `len(lengths)` to be equal to batch_size, which is {batch}.",
            "one length per sequence; batch_first=True for (B, T, *)",
        )
    if any(n <= 0 for n in wanted) or max(wanted) > steps:
        raise ShapeError(
            f"pack_padded_sequence got lengths {wanted} for {steps} steps",
            "Length of all samples has to be greater than 0 and at most the number of steps.",
            "leave empty sequences out",
        )
    order = None
    if enforce_sorted:
        if any(a < b for a, b in itertools.pairwise(wanted)):
            raise ShapeError(
                f"pack_padded_sequence got lengths {wanted}",
                "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True.",
                "enforce_sorted=False",
            )
    else:
        order = np.argsort(-np.asarray(wanted), kind="stable")
        wanted = [wanted[k] for k in order]
        input = index_select(input, 1, Tensor(order))
    sizes = _sizes(wanted)
    flat = reshape(input, steps * batch, *input.shape[2:])
    rows = np.concatenate([t * batch + np.arange(n) for t, n in enumerate(sizes)])
    data = indexing.take(flat, Tensor(rows.astype(np.int64)), axis=0)
    indices = None if order is None else Tensor(order)
    return PackedSequence(data, Tensor(np.asarray(sizes, np.int64)), indices)


def unpacked(sequence: PackedSequence, total: int | None = None) -> tuple[Tensor, np.ndarray]:
    """Sorted padded data ``(T, B, *)`` and ``(T, B)`` booleans that say what is no padding."""
    sizes = host_integers(sequence.batch_sizes, "batch_sizes")
    steps = len(sizes) if total is None else total
    batch = sizes[0]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    valid = np.zeros((steps, batch), np.bool_)
    rows = np.zeros((steps, batch), np.int64)
    for t, n in enumerate(sizes):
        valid[t, :n] = True
        rows[t, :n] = starts[t] + np.arange(n)
    return indexing.take(sequence.data, Tensor(rows), axis=0), valid


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The inverse of ``pack_padded_sequence``.

    Args:
        sequence: packed sequences.
        batch_first: give ``(B, T, *)``.
        padding_value: what stands behind the ends.
        total_length: number of steps, at least the longest length.

    Returns:
        the padded batch in the original order, and the lengths.

    Raises:
        ValueError: ``total_length`` is below the longest length.
    """
    sizes = host_integers(sequence.batch_sizes, "batch_sizes")
    if total_length is not None and total_length < len(sizes):
        raise ArgumentError(
            f"pad_packed_sequence with total_length={total_length}",
            "Expected total_length to be at least the length of the longest sequence in input, "
            f"which is {len(sizes)}.",
        )
    data, valid = unpacked(sequence, total_length)
    mask = Tensor(valid.reshape(*valid.shape, *([1] * (data.aval.ndim - 2))))
    padded = where(mask, data, padding_value)
    lengths = Tensor(valid.sum(0).astype(np.int64))
    if sequence.unsorted_indices is not None:
        padded = index_select(padded, 1, sequence.unsorted_indices)
        lengths = index_select(lengths, 0, sequence.unsorted_indices)
    return (transpose(padded, 0, 1) if batch_first else padded), lengths


def pad_sequence(
    sequences: Sequence[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Sequences ``(length, *)`` as one padded batch ``(T, B, *)``.

    Args:
        sequences: tensors that differ in their first extent only.
        batch_first: give ``(B, T, *)``.
        padding_value: what fills the rest.
        padding_side: ``"right"`` or ``"left"``.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.nn.utils.rnn import pad_sequence
        >>> pad_sequence([fg.tensor([1, 2]), fg.tensor([3])], batch_first=True).tolist()
        [[1, 2], [3, 0]]
    """
    if padding_side not in ("left", "right"):
        raise ArgumentError(
            f"pad_sequence with padding_side={padding_side!r}",
            "padding_side should be 'left' or 'right'.",
        )
    sequences = list(sequences)
    if not sequences:
        raise ShapeError("pad_sequence of no sequences", "Expected a non-empty list of tensors.")
    longest = max(x.shape[0] for x in sequences)
    rows = []
    for x in sequences:
        missing = longest - x.shape[0]
        if missing:
            fill = x.new_full((missing, *x.shape[1:]), padding_value)
            x = cat([x, fill] if padding_side == "right" else [fill, x], 0)
        rows.append(x.unsqueeze(0 if batch_first else 1))
    return cat(rows, 0 if batch_first else 1)


def unpad_sequence(
    padded_sequences: Tensor, lengths: Any, batch_first: bool = False
) -> list[Tensor]:
    """The sequences of a padded batch, each with its own length.

    Example:
        >>> import fusegrad as fg
        >>> from fusegrad.nn.utils.rnn import unpad_sequence
        >>> [x.tolist() for x in unpad_sequence(fg.tensor([[1, 2], [3, 0]]), [2, 1], True)]
        [[1, 2], [3]]
    """
    batch = padded_sequences if batch_first else transpose(padded_sequences, 0, 1)
    return [batch[k, :n] for k, n in enumerate(host_integers(lengths, "lengths"))]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Pack sequences ``(length, *)`` of different lengths; see ``pack_padded_sequence``."""
    lengths = [x.shape[0] for x in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences of a packed sequence, in their original order."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
