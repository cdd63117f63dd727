"""The dtype table: names in PyTorch, NumPy and kernels, and PyTorch's promotion rules.

``float32`` and friends are the objects users see (``fg.float32``). A kernel knows them by the short
name (``f32``). ``float16`` and ``bfloat16`` are *reduced*: they store numbers, and arithmetic is
done in ``float32`` (``widen``, ``stored``). Next file: ``ir/aval.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import ArgumentTypeError, DTypeError


class DType:
    """An element type. Compare by identity; print like ``fusegrad.float32``."""

    __slots__ = ("category", "itemsize", "name", "np", "rank", "reduced", "short")

    def __init__(
        self, name: str, short: str, category: int, rank: int, storage: np.dtype | None = None
    ) -> None:
        self.name = name
        self.short = short
        self.np = np.dtype(name) if storage is None else storage
        self.category = category  # 0 bool, 1 integer, 2 floating, 3 complex
        self.rank = rank
        self.itemsize = self.np.itemsize
        self.reduced = category == 2 and self.itemsize == 2

    @property
    def is_floating_point(self) -> bool:
        """Whether this is a real floating dtype."""
        return self.category == 2

    @property
    def is_complex(self) -> bool:
        """Whether this is a complex dtype."""
        return self.category == 3

    @property
    def is_signed(self) -> bool:
        """Whether values can be negative."""
        return self.category >= 2 or (self.category == 1 and not self.short.startswith("u"))

    @property
    def is_differentiable(self) -> bool:
        """Whether gradients can flow through values of this dtype."""
        return self.category >= 2

    @property
    def compute(self) -> DType:
        """The dtype in which arithmetic on values of this dtype is done."""
        return float32 if self.reduced else self

    @property
    def torch_name(self) -> str:
        """The name in PyTorch's messages about conversions: ``Float``, ``Long``."""
        names = {
            "uint8": "Byte", "int8": "Char", "int16": "Short", "int32": "Int", "int64": "Long",
            "float16": "Half", "float32": "Float", "float64": "Double", "bfloat16": "BFloat16",
            "complex64": "ComplexFloat", "complex128": "ComplexDouble", "bool": "Bool",
        }  # fmt: skip
        return names.get(self.name, self.name.replace("uint", "UInt"))

    def to_complex(self) -> DType:
        """The complex dtype whose parts have this dtype (at least ``float32``).

        Raises:
            RuntimeError: there is none.
        """
        if self.is_complex:
            return self
        if not self.is_floating_point:
            raise DTypeError(f"to_complex of {self}", "Only floating dtypes have a complex one.")
        if self is float16:
            raise DTypeError(
                "to_complex of float16",
                "Complex numbers of half precision are not offered.",
                "fg.float32.to_complex()",
            )
        return complex128 if self is float64 else complex64

    def to_real(self) -> DType:
        """The dtype of the parts of a complex dtype; other dtypes are their own.

        Example:
            >>> import fusegrad as fg
            >>> fg.complex128.to_real(), fg.float32.to_complex()
            (fusegrad.float64, fusegrad.complex64)
        """
        if not self.is_complex:
            return self
        return float64 if self is complex128 else float32

    def __repr__(self) -> str:
        return f"fusegrad.{self.name}"

    def __reduce__(self) -> str:
        return {"bool": "bool_"}.get(self.name, self.name)


bool_ = DType("bool", "b1", 0, 0)
uint8 = DType("uint8", "u8", 1, 1)
int8 = DType("int8", "i8", 1, 2)
int16 = DType("int16", "i16", 1, 3)
uint16 = DType("uint16", "u16", 1, 3)
int32 = DType("int32", "i32", 1, 4)
uint32 = DType("uint32", "u32", 1, 4)
int64 = DType("int64", "i64", 1, 5)
uint64 = DType("uint64", "u64", 1, 5)
float16 = DType("float16", "f16", 2, 6)
# NumPy has no bfloat16. A record of two opaque bytes moves like any array, and arithmetic on it is
# NumPy's TypeError, never the wrong number (docs/decisions/006-half-precision.md).
bfloat16 = DType("bfloat16", "bf16", 2, 6, np.dtype([("bfloat16", "V2")]))
float32 = DType("float32", "f32", 2, 7)
float64 = DType("float64", "f64", 2, 8)
complex64 = DType("complex64", "c64", 3, 9)
complex128 = DType("complex128", "c128", 3, 10)

ALL = (
    bool_, uint8, int8, int16, uint16, int32, uint32, int64, uint64,
    float16, bfloat16, float32, float64, complex64, complex128,
)  # fmt: skip
FLOATING = tuple(d for d in ALL if d.category == 2)
COMPLEX = (complex64, complex128)
INTEGER = tuple(d for d in ALL if d.category == 1)
_BY_NUMPY = {d.np: d for d in ALL}
_BY_SHORT = {d.short: d for d in ALL}
_PYTHON = {bool: bool_, int: int64}

_default = float32


def get_default_dtype() -> DType:
    """The dtype of tensors built from Python floats."""
    return _default


def set_default_dtype(dtype: DType) -> None:
    """Set the dtype of tensors built from Python floats.

    Args:
        dtype: ``fg.float32`` or ``fg.float64``.

    Raises:
        TypeError: ``dtype`` is not floating.
    """
    global _default
    if not (isinstance(dtype, DType) and dtype.is_floating_point):
        raise TypeError(f"only floating-point types are supported as the default type, got {dtype}")
    _default = dtype


def as_dtype(value: Any) -> DType:
    """The ``DType`` for a ``DType``, Python type, or NumPy dtype.

    Raises:
        TypeError: nothing corresponds.
    """
    if isinstance(value, DType):
        return value
    if value is float:
        return _default
    if value is complex:
        return complex_dtype(_default)
    if value in _PYTHON:
        return _PYTHON[value]
    found = _BY_NUMPY.get(np.dtype(value))
    if found is None:
        raise TypeError(f"fusegrad has no dtype for {value!r}")
    return found


def from_numpy_dtype(dtype: np.dtype) -> DType:
    """The ``DType`` of a NumPy dtype (``TypeError`` when there is none)."""
    found = _BY_NUMPY.get(dtype)
    if found is None:
        raise TypeError(f"fusegrad has no dtype for NumPy's {dtype}; convert the array first")
    return found


def from_short(short: str) -> DType:
    """The ``DType`` of a kernel name such as ``f32``."""
    return _BY_SHORT[short]


def complex_dtype(dtype: DType) -> DType:
    """The complex dtype whose parts hold what ``dtype`` holds (itself when complex).

    Raises:
        TypeError: ``float16``, whose complex counterpart does not exist here.
    """
    if dtype is float16:
        raise TypeError("float16 has no complex dtype: complex32 is not supported")
    return dtype if dtype.is_complex else complex128 if dtype is float64 else complex64


def real_dtype(dtype: DType) -> DType:
    """The dtype of the real and imaginary parts; a real dtype itself."""
    return {complex64: float32, complex128: float64}.get(dtype, dtype)


def promote_types(a: DType, b: DType) -> DType:
    """The smallest dtype both convert to, as PyTorch's ``promote_types``."""
    if a is b:
        return a
    wide = (uint16, uint32, uint64)
    if max(a.category, b.category) != 2 and (a in wide or b in wide):
        raise TypeError(f"promotion of {a} and {b} is not defined")
    if a.category != b.category:
        high, low = (a, b) if a.category > b.category else (b, a)
        if high is complex64 and low is float64:
            return complex128
        return high
    if a.category == 1:
        unsigned = {a.short[0], b.short[0]} == {"u", "i"}
        if unsigned:
            if uint8 in (a, b):
                other = b if a is uint8 else a
                return int16 if other is int8 else other
            raise TypeError(f"promotion of {a} and {b} is not defined")
    if a.reduced and b.reduced:
        return float32
    return a if a.rank >= b.rank else b


def result_type(operands: list[tuple[DType, int]]) -> DType:
    """PyTorch's result dtype for operands ``(dtype, priority)``.

    Priority 2 is a tensor with dimensions, 1 a 0-d tensor, 0 a Python number; a lower priority
    only matters when its category (bool < integer < floating < complex) is higher.
    """
    best: DType | None = None
    for priority in (2, 1, 0):
        level: DType | None = None
        for dtype, p in operands:
            if p == priority:
                level = dtype if level is None else promote_types(level, dtype)
        if level is None:
            continue
        if best is None:
            best = level
        elif level.category > best.category:
            if priority == 0 and level.category == 2:
                level = _default
            if level.is_complex and best.is_floating_point:
                level = complex_dtype(best)
            best = level
    assert best is not None
    return best


def widen(array: Any) -> Any:
    """The numbers of a reduced array as ``float32``, exactly; other arrays as they are."""
    if array.dtype == bfloat16.np:
        words = np.asarray(array).view(np.uint16).astype(np.uint32)
        return (words << np.uint32(16)).view(np.float32)
    return array.astype(np.float32) if array.dtype == np.float16 else array


def stored(value: Any, dtype: DType) -> np.ndarray:
    """Numbers as an array of ``dtype``; a reduced one rounds its ``float32`` to nearest even.

    The array may be ``value`` itself.
    """
    array = np.asarray(value)
    if array.dtype == dtype.np:
        return array
    with np.errstate(all="ignore"):
        wide = widen(array)
        if not dtype.reduced:
            return wide.astype(dtype.np, order="C")
        single = np.asarray(wide.real if wide.dtype.kind == "c" else wide)
        single = single.astype(np.float32, order="C")
        return single.astype(np.float16) if dtype is float16 else _bfloat16_bits(single)


def _bfloat16_bits(single: np.ndarray) -> np.ndarray:
    words = single.view(np.uint32)
    kept = words >> np.uint32(16)
    near = (words + (np.uint32(0x7FFF) + (kept & np.uint32(1)))) >> np.uint32(16)
    bits = np.where(np.isnan(single), kept | np.uint32(0x40), near).astype(np.uint16)
    return bits.view(bfloat16.np)


def number_of(array: Any) -> Any:
    """The one element of an array as a Python number."""
    return widen(array).item()


class finfo:
    """Limits of a floating dtype (of the parts of a complex one).

    Args:
        dtype: the dtype; the default dtype when omitted.

    Attributes:
        bits, eps, max, min, tiny, smallest_normal, resolution: as NumPy's ``finfo``.
        dtype: name of the dtype.

    Raises:
        TypeError: the dtype is not floating or complex.

    Example:
        >>> import fusegrad as fg
        >>> fg.finfo(fg.bfloat16).eps
        0.0078125
    """

    def __init__(self, dtype: DType | None = None) -> None:
        real = _default if dtype is None else dtype.to_real()
        if not real.is_floating_point:
            raise ArgumentTypeError(
                f"finfo of {dtype}", "It describes floating dtypes.", f"fg.iinfo({dtype})"
            )
        self.dtype = real.name
        self.bits = 8 * real.itemsize
        if real is bfloat16:  # the exponents of float32 with 8 significant bits
            self.eps, self.tiny, self.resolution = 2.0**-7, 2.0**-126, 0.01
            self.max = (2 - 2.0**-7) * 2.0**127
        else:
            limits = np.finfo(real.np)
            self.eps, self.tiny = float(limits.eps), float(limits.tiny)
            self.max, self.resolution = float(limits.max), 10.0**-limits.precision
        self.min = -self.max
        self.smallest_normal = self.tiny

    def __repr__(self) -> str:
        names = ("resolution", "min", "max", "eps", "smallest_normal", "tiny")
        shown = ", ".join(f"{name}={getattr(self, name):g}" for name in names)
        return f"finfo({shown}, dtype={self.dtype})"


class iinfo:
    """Limits of an integer dtype.

    Args:
        dtype: the dtype.

    Attributes:
        bits, max, min: as NumPy's ``iinfo``.
        dtype: name of the dtype.

    Raises:
        TypeError: the dtype is not an integer dtype.

    Example:
        >>> import fusegrad as fg
        >>> fg.iinfo(fg.int8).max
        127
    """

    def __init__(self, dtype: DType) -> None:
        if dtype.category != 1:
            raise ArgumentTypeError(
                f"iinfo of {dtype}", "It describes integer dtypes.", f"fg.finfo({dtype})"
            )
        limits = np.iinfo(dtype.np)
        self.dtype = dtype.name
        self.bits, self.min, self.max = limits.bits, int(limits.min), int(limits.max)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"
