"""What a reader of autograd tutorials sees is the same in both libraries."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tutorial_snippets import SNIPPETS

import fusegrad as fg

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    return value.item() if hasattr(value, "item") else value


def _same(ours: Any, theirs: Any, where: str) -> None:
    if isinstance(theirs, list):
        assert isinstance(ours, list) and len(ours) == len(theirs), where
        for k, (a, b) in enumerate(zip(ours, theirs)):
            _same(a, b, f"{where}[{k}]")
    elif isinstance(theirs, float):
        assert ours == pytest.approx(theirs, rel=2e-5, abs=1e-6), where
    else:
        assert ours == theirs and type(ours) is type(theirs), where


@pytest.mark.parametrize("name", SNIPPETS)
def test_same_as_in_torch(name: str) -> None:
    _same(_plain(SNIPPETS[name](fg)), _plain(SNIPPETS[name](torch)), name)
