"""Random numbers: counter-based, so eager and compiled draws are the same numbers.

A ``Generator`` is a tensor ``u64[2]`` of seed and offset. Each call draws at the current offset and
adds one to it; inside a jitted step the state is state like any other.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .. import dtypes
from ..dtypes import DType, float64, int64, real_dtype, stored, uint64
from ..errors import RangeError
from ..ops import compare as cmp
from ..ops import elementwise as ew
from ..ops import source
from ..ops import transcendental as tr
from ..tensor import Tensor, grad_mode
from .common import broadcast_shapes, broadcast_to, cast, method, promote, sizes_of
from .complex import view_as_complex
from .layout import in_format, preserve_format
from .placement import factory, on_cpu


class Generator:
    """A stream of random numbers with its own seed.

    Example:
        >>> import fusegrad as fg
        >>> g = fg.Generator().manual_seed(1)
        >>> a = fg.rand(3, generator=g); g = g.manual_seed(1)
        >>> bool((a == fg.rand(3, generator=g)).all())
        True
    """

    def __init__(self, device: Any = "cpu") -> None:
        on_cpu(device)
        self.state = Tensor(np.array([67280421310721, 0], np.uint64))

    def manual_seed(self, seed: int) -> Generator:
        """Restart the stream at ``seed``."""
        self.state._value[:] = [seed % (1 << 64), 0]
        self.state._storage.counter += 1
        return self

    def seed(self) -> int:
        """Restart the stream at an unpredictable seed and return it."""
        seed = int.from_bytes(os.urandom(8), "little")
        self.manual_seed(seed)
        return seed

    def initial_seed(self) -> int:
        """The seed."""
        return int(self.state._value[0])

    def get_state(self) -> Tensor:
        """A copy of the state."""
        return Tensor(self.state._value.copy())

    def set_state(self, state: Tensor) -> Generator:
        """Continue from a state that ``get_state`` returned."""
        self.state._value[:] = state._value
        self.state._storage.counter += 1
        return self


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Seed the default generator."""
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Restart the default generator at an unpredictable seed and return it."""
    return default_generator.seed()


def get_rng_state() -> Tensor:
    """A copy of the state of the default generator."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Continue the default generator from a state that ``get_rng_state`` returned.

    Example:
        >>> import fusegrad as fg
        >>> state = fg.get_rng_state(); a = fg.rand(2); fg.set_rng_state(state)
        >>> fg.equal(a, fg.rand(2))
        True
    """
    default_generator.set_state(new_state)


@contextlib.contextmanager
def fork_rng(devices: Any = None, enabled: bool = True) -> Iterator[None]:
    """Draw from the default generator in a block and go on behind it as if nothing had been drawn.

    Example:
        >>> import fusegrad as fg
        >>> with fg.random.fork_rng():
        ...     a = fg.rand(2)
        >>> fg.equal(a, fg.rand(2))
        True
    """
    state = get_rng_state()
    try:
        yield
    finally:
        if enabled:
            set_rng_state(state)


def initial_seed() -> int:
    """Seed of the default generator."""
    return default_generator.initial_seed()


def bits(shape: Sequence[int], generator: Generator | None = None) -> Tensor:
    """64 random bits per element; advances the generator."""
    state = (generator or default_generator).state
    enabled, grad_mode.enabled = grad_mode.enabled, False
    try:
        out = source.random_bits(state, shape=tuple(shape))
        step = Tensor(source.iota(shape=(2,), dtype=uint64, axis=0))
        state._assign(ew.add(state, step), "draw")
    finally:
        grad_mode.enabled = enabled
    return out


def _uniform(shape: Sequence[int], dtype: DType, generator: Generator | None) -> Tensor:
    """Uniform in [0, 1) with as many random bits as the dtype's significand holds."""
    keep = {float64: 53, dtypes.float16: 11, dtypes.bfloat16: 8}.get(dtype, 24)
    raw = cmp.shift_right(bits(shape, generator), 64 - keep)
    return ew.mul(cmp.convert(raw, dtype=dtype), 2.0**-keep)


@factory
def rand(
    *size: Any,
    generator: Generator | None = None,
    dtype: DType | None = None,
) -> Tensor:
    """Uniform random numbers in [0, 1)."""
    dtype, shape = dtype or dtypes.get_default_dtype(), sizes_of(size)
    if dtype.is_complex:
        out = view_as_complex(_uniform((*shape, 2), real_dtype(dtype), generator))
    else:
        out = _uniform(shape, dtype, generator)
    return out


@factory
def randn(
    *size: Any,
    generator: Generator | None = None,
    dtype: DType | None = None,
) -> Tensor:
    """Standard normal numbers (Box and Muller 1958, one cosine per element).

    Complex ones have a variance of 1/2 in each part.
    """
    dtype = dtype or dtypes.get_default_dtype()
    shape = sizes_of(size)
    if dtype.is_complex:
        parts = randn(*shape, 2, generator=generator, dtype=real_dtype(dtype))
        both = view_as_complex(ew.mul(parts, math.sqrt(0.5)))
        return both
    if dtype.reduced:
        return cast(randn(shape, generator=generator, dtype=dtypes.float32), dtype)
    if dtype is float64:
        u, v = _uniform(shape, dtype, generator), _uniform(shape, dtype, generator)
    else:  # two independent 24-bit fractions of one draw
        raw = bits(shape, generator)
        u = ew.mul(cmp.convert(cmp.shift_right(raw, 40), dtype=dtype), 2.0**-24)
        low = cmp.and_(cmp.shift_right(raw, 8), (1 << 24) - 1)
        v = ew.mul(cmp.convert(low, dtype=dtype), 2.0**-24)
    radius = ew.sqrt(ew.mul(tr.log(ew.sub(1.0, u)), -2.0))
    out = ew.mul(radius, tr.cos(ew.mul(v, 2 * math.pi)))
    return out


@factory
def randint(*args: Any, generator: Generator | None = None, dtype: DType | None = None) -> Tensor:
    """Integers in [low, high): ``randint(high, size)`` or ``randint(low, high, size)``."""
    low, high, size = (0, *args) if len(args) == 2 else args
    if low >= high:
        raise RangeError(
            f"randint from {low} to {high}",
            "random_ expects 'from' to be less than 'to': the upper end is excluded.",
            f"randint({low}, {low + 1}, size) for the constant {low}",
        )
    fraction = _uniform(sizes_of((size,)), float64, generator)
    return cast(ew.floor(ew.add(ew.mul(fraction, float(high - low)), float(low))), dtype or int64)


@factory
def randperm(n: int, *, generator: Generator | None = None, dtype: DType | None = None) -> Tensor:
    """A random permutation of 0 .. n-1."""
    keys = bits(sizes_of((n,)), generator)._concrete("randperm")
    return Tensor(stored(np.argsort(keys, kind="stable"), dtype or int64))


def randint_like(
    input: Tensor, *args: Any, memory_format: Any = preserve_format, **options: Any
) -> Tensor:
    """Integers in [low, high) with the shape and dtype of ``input``.

    Example:
        >>> import fusegrad as fg
        >>> fg.randint_like(fg.zeros(2, 3), 5, 6).tolist()
        [[5.0, 5.0, 5.0], [5.0, 5.0, 5.0]]
    """
    out = randint(*args, input.aval.shape, **{"dtype": input.dtype, **options})
    return in_format(out, memory_format)


def rand_like(input: Tensor, *, memory_format: Any = preserve_format, **options: Any) -> Tensor:
    """Uniform numbers with the shape and dtype of ``input``."""
    return in_format(rand(input.aval.shape, **{"dtype": input.dtype, **options}), memory_format)


def randn_like(input: Tensor, *, memory_format: Any = preserve_format, **options: Any) -> Tensor:
    """Normal numbers with the shape and dtype of ``input``."""
    return in_format(randn(input.aval.shape, **{"dtype": input.dtype, **options}), memory_format)


@factory
def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
) -> Tensor:
    """Normal numbers with the given means and standard deviations, numbers or tensors.

    Args:
        mean, std: numbers, or tensors that broadcast; the result has their shape and dtype.
        size: the shape, where both are numbers.
        dtype: of the result, where both are numbers.

    Raises:
        RuntimeError: a negative standard deviation.

    Example:
        >>> import fusegrad as fg
        >>> fg.normal(0.0, 1.0, (2, 3)).shape
        fusegrad.Size([2, 3])
    """
    given = [v for v in (mean, std) if isinstance(v, Tensor)]
    if not isinstance(std, Tensor):
        _check_spread("normal", std)
    if given:
        size = broadcast_shapes(*[v.aval.shape for v in given], op="normal")
        dtype = promote(mean, std)
    draw = randn(size, generator=generator, dtype=dtype)
    out = draw * std + mean  # type: ignore[operator]
    return out


def _check_spread(name: str, std: float) -> None:
    if std < 0:
        raise RangeError(f"{name} with std={std}", f"{name} expects std >= 0.0.")


def _hits(shape: Sequence[int], p: Any, dtype: DType, generator: Generator | None) -> Tensor:
    """1 with probability ``p`` (a number, or a tensor that broadcasts to ``shape``), else 0."""
    fine = p.dtype if isinstance(p, Tensor) and p.dtype.is_floating_point else dtype
    draw = _uniform(shape, fine if fine in (dtypes.float32, float64) else dtypes.float32, generator)
    if isinstance(p, Tensor):
        p = broadcast_to(cast(p.detach(), draw.dtype), draw.aval.shape)  # type: ignore[attr-defined]
    elif not 0 <= p <= 1:
        raise RangeError(f"bernoulli with p={p}", "bernoulli_ expects p to be in [0, 1]", "0.5")
    return cast(cmp.lt(draw, p), dtype)


@method()
def bernoulli(
    input: Tensor, p: float | None = None, *, generator: Generator | None = None
) -> Tensor:
    """1 with the probability that each element, or ``p`` for all, gives, else 0.

    Example:
        >>> import fusegrad as fg
        >>> fg.bernoulli(fg.tensor([0.0, 1.0])).tolist(), fg.ones(2).bernoulli(0.0).tolist()
        ([0.0, 1.0], [0.0, 0.0])
    """
    if p is not None:
        return _hits(input.aval.shape, p, input.dtype, generator)
    fine = cast(input, dtypes.float32) if input.dtype.reduced else input
    draw = _uniform(input.aval.shape, fine.dtype, generator)
    hits = ew.abs_(ew.ceil(ew.sub(fine, draw)))  # draw < input, with PyTorch's gradient: zero
    return cast(hits, input.dtype)


@method("uniform_")
def uniform_(
    self: Tensor, a: float = 0.0, b: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with uniform numbers in [a, b) in place."""
    if a > b:
        raise RangeError(
            f"uniform_ from {a} to {b}",
            f"uniform_ expects to return a [from, to) range, {a} > {b}.",
        )
    draw = _uniform(self.aval.shape, self.dtype, generator)
    return self._assign(ew.add(ew.mul(draw, b - a), a), "uniform_")


@method("normal_")
def normal_(
    self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with normal numbers in place."""
    _check_spread("normal_", std)
    draw = randn(self.aval.shape, dtype=self.dtype, generator=generator)
    return self._assign(ew.add(ew.mul(draw, std), mean), "normal_")


@method("bernoulli_")
def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fill with ones of probability ``p``, a number or a tensor, and zeros in place."""
    return self._assign(_hits(self.aval.shape, p, self.dtype, generator), "bernoulli_")
