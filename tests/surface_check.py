"""One check for many functions: eager against torch to second order, jit against eager."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import fusegrad as fg
from fusegrad.testing import difference

torch: Any = None
try:
    import torch
except ImportError:
    pass

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 5))
Y = RNG.normal(size=(4, 5))
P = RNG.uniform(0.2, 0.9, size=(4, 5))
V = RNG.normal(size=7)
B = RNG.normal(size=(2, 3, 4))
ONE = RNG.normal(size=(1,))
EMPTY = np.zeros((0, 3))
SCALAR = np.array(1.5)
NAN = np.array([[1.0, np.nan, -2.0, 3.0], [np.inf, 0.0, -np.inf, 5.0], [2.0, 2.0, 1.0, 2.0]])
INT = RNG.integers(-4, 5, size=(4, 5))
ZEROS = np.array([[1.5, 0.0, -2.0, 3.0], [0.0, 2.0, 0.0, 5.0], [0.5, 1.0, 2.0, 0.0]])


def flat(out: Any) -> list[Any]:
    """All tensors of a result, in order."""
    if isinstance(out, (tuple, list)):
        return [t for item in out for t in flat(item)]
    return [out]


def leaves(lib: Any, arrays: Sequence[Any], transposed: bool) -> list[Any]:
    """Tensors of either library; as views in the other order of memory when ``transposed``."""
    out = []
    for array in arrays:
        array = np.asarray(array)
        if transposed and array.ndim > 1:
            array = np.array(array.T, order="C").T
        x = lib.from_numpy(array.copy(order="K"))
        out.append(x.requires_grad_() if array.dtype.kind == "f" else x)
    return out


def to_second_order(lib: Any, function: Callable[..., Any], xs: Sequence[Any], order: int) -> Any:
    """Results, gradients of a weighted sum of them, gradients of a weighted sum of those."""
    out = flat(function(lib, *xs))
    found = [[t.detach() for t in out]]
    current, wanted = out, [x for x in xs if x.requires_grad]
    for level in range(order):
        total = None
        for k, t in enumerate(current):
            if not t.requires_grad or not t.dtype.is_floating_point:
                continue
            weights = lib.cos(lib.arange(t.numel(), dtype=lib.float64) * (k + 2.0 + level) + 1.0)
            part = (t * weights.reshape(t.shape).to(t.dtype)).sum()
            total = part if total is None else total + part
        if total is None or not total.requires_grad:
            break
        current = lib.autograd.grad(
            total, wanted, create_graph=True, allow_unused=True, materialize_grads=True
        )
        found.append([g.detach() for g in current])
    return found


def check(
    function: Callable[..., Any],
    arrays: Sequence[Any],
    order: int = 2,
    jit: bool = True,
    rtol: float = 1e-9,
) -> None:
    """Compare everything; ``order`` derivatives, ``jit=False`` for what is eager by nature."""
    for transposed in (False, True):
        if transposed and all(np.ndim(a) < 2 for a in arrays):
            continue
        ours = to_second_order(fg, function, leaves(fg, arrays, transposed), order)
        theirs = to_second_order(torch, function, leaves(torch, arrays, transposed), order)
        for level, want in enumerate(theirs):
            got = ours[level] if level < len(ours) else [fg.zeros_like(t) for t in ours[1]]
            assert len(got) == len(want)
            for k, (a, b) in enumerate(zip(got, want, strict=True)):
                assert str(a.dtype).split(".")[1] == str(b.dtype).split(".")[1], (level, k)
                problem = difference(b.numpy(), a.numpy(), rtol=rtol, atol=1e-11)
                assert not problem, f"derivative {level}, result {k}: {problem}"
        if jit and not transposed:
            compiled = fg.jit(lambda *xs: to_second_order(fg, function, xs, order))
            found = compiled(*leaves(fg, arrays, False))
            for level, (a, b) in enumerate(zip(flat(ours), flat(found), strict=True)):
                problem = difference(a.numpy(), b.numpy(), rtol=1e-11)
                assert not problem, f"jit, result {level}: {problem}"
            hosts = [k.name for k in compiled.kernels() if k.name.startswith("host_")]
            assert not hosts, hosts
