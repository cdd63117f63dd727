"""Which of many parameters run by default; the rest run under ``-m fuzz``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest


def by_turns(cases: Iterable[Any], options: Sequence[Any]) -> list[Any]:
    """Every case with every option; by default each case with one of them, by turns.

    For options that concern the compiler as a whole, such as the dtype: every case is compiled,
    every option is met many times, and a part of the kernels is enough.
    """
    return [
        pytest.param(
            case,
            option,
            marks=() if j == k % len(options) else pytest.mark.fuzz,
            id=f"{case}-{getattr(option, 'short', option)}",
        )
        for k, case in enumerate(cases)
        for j, option in enumerate(options)
    ]
