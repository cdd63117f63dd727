"""Comparison with PyTorch: the same arrays through both libraries; values, gradients compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fusegrad as fg

try:
    import torch
except ImportError:
    collect_ignore_glob = ["test_*.py"]


def pytest_collection_modifyitems(items: list[Any]) -> None:
    for item in items:
        if "torch_parity" in str(item.path):
            item.add_marker(pytest.mark.torch)


class Pair:
    """The same values as a fusegrad tensor and as a torch tensor."""

    def __init__(self, array: Any, requires_grad: bool = False) -> None:
        array = np.asarray(array)
        self.fg = fg.tensor(array)
        self.torch = torch.from_numpy(array.copy())
        if requires_grad:
            self.fg.requires_grad_()
            self.torch.requires_grad_()


class Compare:
    """Runs a function under both libraries and compares outputs and gradients."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def randn(self, *shape: int, dtype: Any = np.float64) -> np.ndarray:
        return self.rng.standard_normal(shape).astype(dtype)

    def close(self, ours: Any, theirs: Any, rtol: float = 1e-9, atol: float = 1e-11) -> None:
        theirs = theirs.detach().numpy()
        assert tuple(ours.shape) == tuple(theirs.shape)
        assert str(ours.dtype).split(".")[1] == str(theirs.dtype)
        np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=rtol, atol=atol)

    def check(
        self,
        ours: Callable[..., Any],
        theirs: Callable[..., Any],
        *arrays: Any,
        rtol: float = 1e-9,
        atol: float = 1e-11,
        params: tuple[Any, Any] = ((), ()),
    ) -> None:
        """Compare results and the gradients of floating arguments and of ``params``."""
        pairs = [Pair(a, np.asarray(a).dtype.kind == "f") for a in arrays]
        out = ours(*[p.fg for p in pairs])
        want = theirs(*[p.torch for p in pairs])
        self.close(out, want, rtol, atol)
        if not want.requires_grad:
            return
        weights = self.randn(*want.shape).astype(want.detach().numpy().dtype)
        (out * fg.tensor(weights)).sum().backward()
        (want * torch.from_numpy(weights)).sum().backward()
        leaves = [(p.fg, p.torch) for p in pairs if p.torch.requires_grad]
        leaves += list(zip(*params))
        for a, b in leaves:
            if b.grad is None:
                assert a.grad is None
            else:
                self.close(a.grad, b.grad, rtol, atol)


def copy_state(module: Any, reference: Any) -> None:
    """Give a fusegrad module the values of a torch module."""
    state = {k: v.detach().numpy().copy() for k, v in reference.state_dict().items()}
    module.load_state_dict(state)


@pytest.fixture
def compare() -> Compare:
    return Compare()


@pytest.fixture
def same_state() -> Callable[[Any, Any], None]:
    return copy_state


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run everything with NumPy, also optimizer updates."""
    monkeypatch.setenv("FUSEGRAD_JIT", "0")
