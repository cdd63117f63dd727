"""Every module is in the table, and a compiled forward and backward pass equals the eager one."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from module_cases import CASES, Case
from slices import some

import fusegrad as fg
from fusegrad import nn

ROOT = Path(__file__).resolve().parents[2]
DIMS = ("1d", "2d", "3d")
FAMILIES = list(dict.fromkeys(c.name[:-2] for c in CASES if c.name[-2:] in DIMS))
BASES = {
    "Module", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential",
    "RNNBase", "RNNCellBase",
}  # fmt: skip


def test_every_module_is_in_the_table() -> None:
    """Losses have a table of their own."""
    modules = {
        name
        for name in nn.__all__
        if isinstance(getattr(nn, name), type) and issubclass(getattr(nn, name), nn.Module)
    }
    assert modules - BASES - {n for n in modules if "Loss" in n} == {c.name for c in CASES}


def test_page_is_current() -> None:
    tool = runpy.run_path(str(ROOT / "tools" / "module_docs.py"))
    assert tool["PAGE"].read_text() == tool["page"](), "run python tools/module_docs.py"


def _by_default(case: Case) -> bool:
    """Of a family in one, two and three dimensions one member is compiled, by turns."""
    family, dims = case.name[:-2], case.name[-2:]
    return dims not in DIMS or DIMS.index(dims) == FAMILIES.index(family) % 3


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "case",
    some([(c,) for c in CASES], [_by_default(c) for c in CASES]),
    ids=lambda c: c.name,
)
def test_jit_equals_eager(monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    fg.manual_seed(0)
    module = case.build(fg).double().train(case.training)
    inputs = [fg.tensor(a) for a in case.arrays()]
    for x in inputs:
        x.requires_grad_(x.is_floating_point())

    def step(*inputs: Any) -> Any:
        leaves = [*[x for x in inputs if x.requires_grad], *module.parameters()]
        out = case.call(module, *inputs)
        loss = (out * out).sum() + (out * 0.5).sum()
        return out, *fg.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)

    monkeypatch.setenv("FUSEGRAD_JIT", "0")
    eager = [x.detach().numpy().copy() for x in step(*inputs)]
    monkeypatch.setenv("FUSEGRAD_JIT", "1")
    fused = fg.jit(step)(*inputs)
    for a, b in zip(eager, fused, strict=True):
        scale = max(1.0, float(np.abs(a).max(initial=0.0)))
        np.testing.assert_allclose(b.detach().numpy(), a, rtol=1e-9, atol=1e-11 * scale)
