"""The dtypes of the random programs: which ones meet in a program, and how coarse each is."""

from __future__ import annotations

from typing import NamedTuple


class Table(NamedTuple):
    """Dtypes that are drawn together.

    Attributes:
        leading: of the first input.
        others: of the rest; a name that is listed twice is drawn twice as often.
        disturbance: relative size of the errors that stand for rounding, see ``torch_programs.py``.
    """

    leading: tuple[str, ...]
    others: tuple[str, ...]
    disturbance: float = 1e-5

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.leading + self.others)


FLOATS = ("float64", "float32", "float64", "float32")
PLAIN = Table(FLOATS, (*FLOATS, "int64", "int32", "uint8", "bool"))
# Of seeds from WIDE on.
WIDE = 10_000
TABLES = (
    Table(("float16",), ("float16", "float16", "float32", "int64", "bool"), 2.0**-10),
    Table(("bfloat16",), ("bfloat16", "bfloat16", "float16", "float32", "int64", "bool"), 2.0**-7),
    Table(
        ("complex128", "complex64"),
        ("complex128", "complex64", "float32", "float64", "int64", "bool"),
    ),
    Table(
        ("float32", "int8", "int16", "int64"),
        ("int8", "int16", "uint8", "int32", "int64", "float32", "bool"),
    ),
)

# Error of one rounding operation.
ROUNDING = {
    "float64": 2.0**-52,
    "float32": 2.0**-23,
    "float16": 2.0**-10,
    "bfloat16": 2.0**-7,
    "complex128": 2.0**-52,
    "complex64": 2.0**-23,
}


def table_of(seed: int) -> Table:
    """The dtypes of the program of a seed."""
    return PLAIN if seed < WIDE else TABLES[seed % len(TABLES)]


def disturbance_of(dtypes: list[str]) -> float:
    """Size of the errors for a program whose inputs have these dtypes."""
    tables = [t for t in TABLES if not set(t.leading).isdisjoint(dtypes)]
    return max(t.disturbance for t in (PLAIN, *tables))
