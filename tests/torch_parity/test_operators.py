"""Every operator record of PyTorch: a slice by default, all samples under ``fuzz``.

The slice takes a few samples of each record through forward, both derivatives and jit. What is
missing or different is listed with its reason in ``operator_surface.py``; the lists must be true.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from operator_checks import Difference, Extent, check_record
from operator_samples import function_of, matches, records, resolve
from operator_surface import (
    CORE,
    DIFFERENT,
    NOT_OFFERED,
    PLACES,
    core_operators,
    functional_names,
)

import fusegrad as fg
import fusegrad.nn.functional as F

OFFERED = [name for name in records() if not matches(name, NOT_OFFERED)]
SLICE = Extent(most=4, jit=1, jit_order=1)
FULL = Extent(jit=4, forms=True, strided=True, errors=True)


def _unnamed(name: str, problems: list[Difference]) -> list[str]:
    """The differences outside the stages in which the record is said to differ."""
    stages = DIFFERENT[name][0] if name in DIFFERENT else ()
    return [str(problem) for problem in problems if not matches(problem.stage, stages)]


@pytest.mark.parametrize("name", OFFERED)
def test_operator(name: str) -> None:
    """A few samples of the record agree."""
    count, problems = check_record(name, SLICE)
    assert not (found := _unnamed(name, problems)), "\n".join(found)
    assert count
    if problems:
        pytest.xfail(DIFFERENT[name][1])


@pytest.mark.fuzz
@pytest.mark.parametrize("name", OFFERED)
def test_operator_in_full(name: str) -> None:
    """All samples, the other forms of the call, strided operands and bad calls agree."""
    _, problems = check_record(name, FULL)
    assert not (found := _unnamed(name, problems)), "\n".join(found)
    if name in DIFFERENT:
        assert problems, f"{name} agrees now: take it out of DIFFERENT"
        pytest.xfail(DIFFERENT[name][1])


def test_a_named_difference_hides_no_other_stage() -> None:
    """What is said to differ in its gradient may differ in nothing else."""
    found = [Difference("gradient", "a"), Difference("forward", "b"), Difference("jit", "c")]
    assert _unnamed("as_strided_scatter", found) == ["forward: b", "jit: c"]
    assert len(_unnamed("add", found)) == 3


def test_what_is_not_offered_is_missing() -> None:
    """Nothing on the list of missing records exists, and every entry fits a record."""
    for pattern in NOT_OFFERED:
        fitting = [name for name in records() if matches(name, [pattern])]
        assert fitting, f"no record is called {pattern}"
        there = [n for n in fitting if any(function_of(r) is not None for r in records()[n])]
        assert not there, f"{there} exist now: take {pattern} out of NOT_OFFERED"


def _exists(name: str) -> bool:
    if name.startswith("Tensor."):
        return hasattr(fg.Tensor, name.removeprefix("Tensor."))
    return resolve(name) is not None


def _passes(name: str) -> bool:
    """Whether a function exists and its record, if there is one, is tested without exception."""
    return _exists(name) and name.removeprefix("Tensor.") not in DIFFERENT


def test_core_operators() -> None:
    """At least 98 % of PyTorch's core operator set is offered and passes."""
    assert not [n for n in CORE if n not in core_operators()]
    failing = [
        name
        for name in core_operators()
        if not (
            _passes(CORE[name]) if name in CORE else any(_passes(place + name) for place in PLACES)
        )
    ]
    share = 1 - len(failing) / len(core_operators())
    assert share >= 0.98, f"{share:.1%} of {len(core_operators())}; failing: {failing}"


def test_functional_names() -> None:
    """At least 98 % of the functions of ``torch.nn.functional`` are offered and pass."""
    names = functional_names()
    failing = [n for n in names if not hasattr(F, n) or f"nn.functional.{n}" in DIFFERENT]
    share = 1 - len(failing) / len(names)
    assert share >= 0.98, f"{share:.1%} of {len(names)}; failing: {failing}"
