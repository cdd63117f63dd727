"""Nothing in the registry lacks what some stage will ask for."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import numpy as np
import pytest

import fusegrad as fg
from fusegrad.dtypes import float32, float64
from fusegrad.ir.aval import aval_of
from fusegrad.ir.primitive import KINDS, REGISTRY, Primitive
from fusegrad.testing import samples

RECORDS = list(REGISTRY.values())


@pytest.mark.parametrize("p", RECORDS, ids=str)
def test_the_record_is_complete(p: Primitive) -> None:
    assert p.kind in KINDS
    assert p.doc.endswith(".") and len(p.doc) > 4
    assert p.dtypes
    assert p.linearity in ("diagonal", "linear", "explicit")
    assert not p.derivs or len(p.derivs) == len(p.arg_names)
    assert p.domain[0] < p.domain[1]


@pytest.mark.parametrize("p", RECORDS, ids=str)
def test_every_dtype_has_samples_that_the_rule_accepts(p: Primitive) -> None:
    for dtype in p.dtypes:
        drawn = samples(p, dtype)
        assert drawn, dtype
        for sample in drawn:
            p.aval_rule(*map(aval_of, sample.args), **sample.params)
        avals = [p.aval_rule(*map(aval_of, s.args), **s.params) for s in drawn]
        results = {sum(a.size for a in (x if p.multiple else (x,))) for x in avals}
        assert len(results) > 1


@pytest.mark.parametrize("p", RECORDS, ids=str)
def test_derivative_rules_ask_only_for_what_exists(p: Primitive) -> None:
    parameters = set()
    for sample in samples(p, p.dtypes[-1]):
        parameters |= set(sample.params)
    known = {
        "g",
        "t",
        "out",
        "index",
        "in_avals",
        *p.arg_names,
        *parameters,
        *[f"{n}_aval" for n in p.arg_names],
    }
    for names in (*p.needs, *p.jvp_needs):
        assert set(names) <= known, set(names) - known


@pytest.mark.parametrize("p", [p for p in RECORDS if p.differentiable], ids=str)
def test_what_has_a_derivative_has_both_modes(p: Primitive) -> None:
    if p.linearity == "explicit":
        assert len(p.jvps) == len(p.derivs)
        for backward, forward in zip(p.derivs, p.jvps, strict=True):
            assert (backward is None) == (forward is None)
    else:
        assert not p.jvps


@pytest.mark.parametrize("p", RECORDS, ids=str)
def test_each_kind_has_its_lowering(p: Primitive) -> None:
    if p.expand is not None:  # kernels see the composition; names match, so it takes the operands
        names = inspect.signature(p.expand).parameters
        assert set(p.arg_names) <= set(names) and not p.combine
    elif all(dtype.is_complex for dtype in p.dtypes):  # kernels see real and imaginary parts
        assert p.kind == "host" or callable(p.pair) or p.alias  # another reading of memory
    elif p.kind == "elementwise":
        text = (
            p.scalar
            if isinstance(p.scalar, str)
            else p.scalar([float64] * len(p.arg_names), p.dtypes[-1], {"dtype": float32})
        )
        assert {int(k) for k in re.findall(r"\{(\d)\}", text)} == set(range(len(p.arg_names)))
    elif p.kind == "reduce":
        assert "{0}" in p.combine and "{1}" in p.combine
        for dtype in p.dtypes:
            assert dtype.is_complex or p.identity(dtype)
    elif p.kind == "movement":
        assert p.index_map is not None


@pytest.mark.parametrize("p", [p for p in RECORDS if p.commutative], ids=str)
def test_commutative_records_commute(p: Primitive) -> None:
    for dtype in p.dtypes:
        for sample in samples(p, dtype):
            x, y = sample.args
            left, right = p.reference(x, y), p.reference(y, x)
            if dtype.is_complex:  # of a d + b c NumPy rounds one product only
                np.testing.assert_allclose(left, right, rtol=4 * np.finfo(dtype.np).eps)
            else:
                np.testing.assert_array_equal(left, right)


def test_names_are_unique_and_printable() -> None:
    assert all(re.fullmatch(r"\w+", name) for name in REGISTRY)


def test_a_record_with_a_wrong_kind_or_count_of_rules_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown kind"):
        Primitive("x1", "nonsense", ("x",), lambda x: x, np.abs)
    with pytest.raises(ValueError, match="2 derivative rules for 1"):
        Primitive("x2", "elementwise", ("x",), lambda x: x, np.abs, (None, None))
    with pytest.raises(ValueError, match="declared twice"):
        Primitive("add", "elementwise", ("x",), lambda x: x, np.abs)
    for name in ("x1", "x2"):
        REGISTRY.pop(name, None)


def test_no_stage_keeps_a_list_of_operation_names() -> None:
    """Stages ask the record; string names of primitives must not appear in their code."""
    root = Path(fg.__file__).parent
    names = {n for n in REGISTRY if len(n) > 3}
    wrong = []
    for folder in ("schedule", "codegen", "passes", "transform", "trace", "runtime"):
        for path in (root / folder).glob("*.py"):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                code = line.split("#")[0]
                if "primitive.name ==" in code or "primitive.name in" in code:
                    wrong.append(f"{path.relative_to(root)}:{number}: {line.strip()}")
    assert not wrong, "\n".join(wrong)
    assert names


PUBLIC = [
    (n, f)
    for n, f in vars(fg).items()
    if inspect.isfunction(f) and not n.startswith("_") and f.__module__.startswith("fusegrad")
]


@pytest.mark.parametrize(("name", "function"), PUBLIC, ids=[n for n, _ in PUBLIC])
def test_public_functions_are_documented(name: str, function: object) -> None:
    assert inspect.getdoc(function)
