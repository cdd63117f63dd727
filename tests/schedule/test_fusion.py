"""What fuses with what: counts of kernels for small programs, and the sentences that say why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fusegrad as fg
from fusegrad.schedule.memory import Lifetime, plan_arena

RNG = np.random.default_rng(0)
X = fg.tensor(RNG.normal(size=(37, 29)))
V = fg.tensor(RNG.normal(size=29))

# how many kernels a program over X and V takes, one more is a lost fusion
COUNTS: dict[str, tuple[Callable[..., Any], int]] = {
    "chain": (lambda x, v: ((x * v + 1).tanh() * x).sigmoid(), 1),
    "several outputs": (lambda x, v: (x.sin(), x.cos() * v, x + 1), 1),
    "softmax": (lambda x, v: x.softmax(1), 1),
    "log softmax": (lambda x, v: x.log_softmax(1), 1),
    "row sum and use": (lambda x, v: x / x.sum(1, keepdim=True), 1),
    "layer norm": (
        lambda x, v: (x - x.mean(1, True)) / (x.var(1, keepdim=True) + 1e-5).sqrt() * v,
        1,
    ),
    "column sum": (lambda x, v: (x * v).sum(0), 1),
    "total": (lambda x, v: (x * v).exp().sum(), 1),
    "total and use": (lambda x, v: (x * x).sum().sqrt() * 2, 1),
    "movements": (lambda x, v: (x.flip(0)[:, 1:] * 2 + x[:, :-1].flip(1)).t(), 1),
    "cat": (lambda x, v: fg.cat([x * 2, x + v], 1).relu(), 1),
    "pad": (lambda x, v: fg.nn.functional.pad(x * 2, (1, 2)) + 1, 1),
    "matmul with epilogue": (lambda x, v: (x @ x.t() + 1).relu(), 1),
    "two matmuls": (lambda x, v: (x @ x.t()).relu() @ x, 2),
    "gather": (lambda x, v: x.index_select(0, fg.tensor([1, 5])) * 2 + v, 1),
    "needs two passes": (lambda x, v: x / x.sum(), 2),
}


@pytest.mark.parametrize("name", COUNTS)
def test_number_of_kernels(name: str) -> None:
    function, expected = COUNTS[name]
    step = fg.jit(function)
    found = step(X, V)
    wanted = function(X, V)
    for a, b in zip(
        found if isinstance(found, tuple) else [found],
        wanted if isinstance(wanted, tuple) else [wanted],
        strict=True,
    ):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-11, atol=1e-12)
    launches = step.history[-1].program.launches
    assert len(launches) <= expected, [(x.kernel.label, x.kernel.reasons) for x in launches]


def test_refusals_are_sentences() -> None:
    step = fg.jit(lambda x, v: x / x.sum())
    step(X, V)
    reasons = [r for x in step.history[-1].program.launches for r in x.kernel.reasons]
    assert any("does not join" in r or "complete only after" in r for r in reasons), reasons
    assert all(r.endswith(".") for r in reasons)


def test_kernels_are_shared_between_shapes_and_functions() -> None:
    def texts(function: Callable[..., Any], *args: Any) -> set[str]:
        step = fg.jit(function)
        step(*args)
        return {x.generated.source.text for x in step.history[-1].program.launches}

    assert texts(lambda x: (x * 0.3).tanh(), fg.ones(40, 50)) == texts(
        lambda y: (y * 0.7).tanh(), fg.ones(60, 70)
    )


def test_arena_packs_lifetimes_without_overlap() -> None:
    rng = np.random.default_rng(0)
    lives = [
        Lifetime(int(rng.integers(1, 5000)), int(a), int(a + rng.integers(0, 5)))
        for a in rng.integers(0, 20, 60)
    ]
    total = plan_arena(lives)
    for k, a in enumerate(lives):
        assert a.offset % 64 == 0 and a.offset + a.nbytes <= total
        for b in lives[:k]:
            together = a.first <= b.last and b.first <= a.last
            apart = a.offset + a.nbytes <= b.offset or b.offset + b.nbytes <= a.offset
            assert not together or apart
    assert total < sum(life.nbytes for life in lives)


def _lines(step: Any) -> list[int]:
    return [len(k.canonical.splitlines()) for k in step.kernels()]


def test_stacked_states_are_taken_apart_while_lowering() -> None:
    """Unrolled steps of a small system: the text grows with the steps, not by a power of them."""

    def unrolled(steps: int) -> Any:
        def run(s: fg.Tensor) -> Any:
            for _ in range(steps):
                a, b = s.unbind(1)
                s = s + 0.1 * fg.stack([a * b, a - b], 1)
            return s

        return run

    x = fg.rand(20, 2, dtype=fg.float64)
    sizes = []
    for steps in (4, 8):
        compiled = fg.jit(unrolled(steps))
        np.testing.assert_allclose(compiled(x).numpy(), unrolled(steps)(x).numpy(), rtol=1e-12)
        sizes.append(sum(_lines(compiled)))
    assert sizes[1] < 2.2 * sizes[0] and sizes[1] < 300


@pytest.mark.parametrize("shift", ["cat", "pad"])
def test_steps_of_a_stencil_are_not_multiplied(shift: str) -> None:
    """Each step reads its neighbours; a kernel takes a few steps, the next reads from memory."""

    def unrolled(steps: int) -> Any:
        def run(u: fg.Tensor) -> Any:
            for _ in range(steps):
                if shift == "cat":
                    left, right = fg.cat([u[-1:], u[:-1]]), fg.cat([u[1:], u[:1]])
                else:
                    wide = fg.nn.functional.pad(u, (1, 1))
                    left, right = wide[:-2], wide[2:]
                u = u + 0.1 * (left - 2 * u + right)
            return u

        return run

    u = fg.rand(50, dtype=fg.float64)
    longest = []
    for steps in (6, 12):
        compiled = fg.jit(unrolled(steps))
        np.testing.assert_allclose(compiled(u).numpy(), unrolled(steps)(u).numpy(), rtol=1e-12)
        longest.append(max(_lines(compiled)))
    assert longest[1] < 1.2 * longest[0]
    run = unrolled(4)

    def slope(u: fg.Tensor) -> Any:
        return fg.autograd.grad(run(u).square().sum(), u)[0]

    u.requires_grad_()
    np.testing.assert_allclose(fg.jit(slope)(u).numpy(), slope(u).numpy(), rtol=1e-11)


def test_chains_of_joins_are_cut() -> None:
    """Each join chooses between two operands; a chain of them would double with every link."""

    def run(x: fg.Tensor) -> Any:
        for k in range(9):
            x = fg.cat([x[k + 1 :], x[: k + 1]])
        return x * 2

    x = fg.rand(30)
    compiled = fg.jit(run)
    assert compiled(x).tolist() == run(x).tolist()
    assert max(_lines(compiled)) < 400
