"""Every module of the table: representation, names, outputs, gradients, second derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from module_cases import CASES, Case

import fusegrad as fg

pytestmark = pytest.mark.filterwarnings("ignore")
TOLERANCE = {"CELU": 1e-6, "Hardsigmoid": 1e-6}  # PyTorch rounds a constant to float32 there


def _pair(case: Case, same_state: Any) -> tuple[Any, Any]:
    ours, theirs = case.build(fg).double(), case.build(torch).double()
    assert type(ours).__name__ == case.name
    for p in theirs.parameters():
        torch.nn.init.normal_(p, std=0.5)
    same_state(ours, theirs)
    return ours.train(case.training), theirs.train(case.training)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_forward_and_gradients(compare: Any, same_state: Any, case: Case) -> None:
    ours, theirs = _pair(case, same_state)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    params = (tuple(ours.parameters()), tuple(theirs.parameters()))
    compare.check(
        lambda *x: case.call(ours, *x),
        lambda *x: case.call(theirs, *x),
        *case.arrays(),
        params=params,
        rtol=TOLERANCE.get(case.name, 1e-7),
        atol=1e-9,
    )


@pytest.mark.parametrize("case", [c for c in CASES if c.second], ids=lambda c: c.name)
def test_second_derivatives(same_state: Any, case: Case) -> None:
    modules = _pair(case, same_state)
    found = []
    for library, module in zip((fg, torch), modules, strict=True):
        inputs = [library.tensor(a) for a in case.arrays()]
        leaves = [x.requires_grad_() for x in inputs if x.is_floating_point()]
        leaves = leaves or list(module.parameters())
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            loss = (case.call(module, *inputs) ** 3).sum()
            grads = library.autograd.grad(loss, leaves, create_graph=True)
            total = sum((g * g).sum() for g in grads)
            second = library.autograd.grad(total, leaves, allow_unused=True)
        found.append([None if s is None else s.detach().numpy() for s in second])
    for a, b in zip(*found, strict=True):
        a, b = (np.zeros(()) if x is None else x for x in (a, b))
        scale = max(1.0, float(np.abs(b).max(initial=0.0)))
        np.testing.assert_allclose(a, b, rtol=TOLERANCE.get(case.name, 1e-6), atol=1e-8 * scale)
