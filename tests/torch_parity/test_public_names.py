"""Every public name of PyTorch's tensor surface is here, or it is said why not."""

from __future__ import annotations

import fnmatch
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from public_names import FUNCTIONS, LAYERS, METHODS

import fusegrad as fg

torch: Any = pytest.importorskip("torch")
KINDS = (types.FunctionType, types.BuiltinFunctionType)


def _functions(module: Any) -> set[str]:
    found = {n: getattr(module, n) for n in dir(module) if not n.startswith("_")}
    return {n for n, f in found.items() if isinstance(f, KINDS) and f.__module__ != "typing"}


SURFACES = {
    "torch": (_functions(torch), fg, FUNCTIONS),
    "Tensor": ({n for n in dir(torch.Tensor) if not n.startswith("_")}, fg.Tensor, METHODS),
    "nn.functional": (_functions(torch.nn.functional), fg.nn.functional, LAYERS),
    "linalg": (_functions(torch.linalg), fg.linalg, {}),
    "fft": (_functions(torch.fft), fg.fft, {}),
    "special": (_functions(torch.special), fg.special, {}),
    "signal.windows": (_functions(torch.signal.windows), fg.signal.windows, {}),
}


@pytest.mark.parametrize("surface", SURFACES)
def test_public_names(surface: str) -> None:
    names, here, reasons = SURFACES[surface]
    absent = {n for n in names if not hasattr(here, n)}
    unsaid = {n for n in absent if not any(fnmatch.fnmatchcase(n, p) for p in reasons)}
    assert not unsaid, sorted(unsaid)
    idle = [p for p in reasons if not fnmatch.filter(absent, p)]
    assert not idle, idle
    assert len(names) > 5 and all(reasons.values())


def test_small_methods() -> None:
    """What code asks of tensors on its way elsewhere."""
    for lib in (fg, torch):
        x = lib.zeros(2, 3, 4).transpose(0, 2)
        assert x.dim_order() == (2, 1, 0) and x.const_data_ptr() == x.data_ptr()
        assert x.is_cpu and not (x.is_meta or x.is_quantized or x.is_nested or x.is_xpu)
        assert isinstance(x.layout, lib.layout) and isinstance(lib.channels_last, lib.memory_format)
        assert x.to_dense() is x and x.to_dense(lib.float64).dtype is lib.float64
        with pytest.raises(RuntimeError, match="unique dim order"):
            lib.zeros(1, 1).dim_order(ambiguity_check=True)
        with pytest.raises(RuntimeError):
            x.pin_memory()
        with pytest.raises((RuntimeError, AssertionError)):
            x.cuda()
        with pytest.raises((RuntimeError, AssertionError)):
            lib.nn.Linear(1, 1).cuda()
        assert lib.nn.Linear(1, 1).bfloat16().weight.dtype is lib.bfloat16
        lib.manual_seed(0)
        with lib.random.fork_rng():
            inside = lib.rand(2)
        assert np.array_equal(inside.numpy(), lib.rand(2).numpy())
        with lib.random.fork_rng(enabled=False):
            inside = lib.rand(2)
        assert not np.array_equal(inside.numpy(), lib.rand(2).numpy())
