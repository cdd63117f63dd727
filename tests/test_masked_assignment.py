"""Boolean masks as indices: assignment under a traced mask compiles, counting does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fusegrad as fg

RNG = np.random.default_rng(0)
X = fg.tensor(RNG.normal(size=(3, 4, 2)))
MASKS = {
    "whole": fg.tensor(RNG.uniform(size=(3, 4, 2)) < 0.5),
    "lead": fg.tensor([[True, False] * 2] * 3), "none": fg.zeros(3, 4, 2).bool(),
    "row": fg.tensor([True, False, True]), "middle": fg.tensor([False, True, True, False]),
    "scalar": fg.tensor(True), "bytes": fg.tensor([1, 0, 2]).byte(),
}  # fmt: skip
V = fg.tensor(RNG.normal(size=(1, 2)))


def _assign(x: Any, masks: dict[str, Any], value: Any) -> Any:
    """Every assignment whose value is the same for all selected elements."""
    whole, lead, row, middle = masks["whole"], masks["lead"], masks["row"], masks["middle"]
    out = [x.clone() for _ in range(22)]
    out[0][whole] = 1.5
    out[1][whole] = value[0, 0]
    out[2][whole] += value[0, :1]
    out[3][lead] = value
    out[4][lead] *= value[0]
    out[5][row] = value
    out[6][row, 1:3] -= value.mT[:, None, 0]
    out[7][:, middle] = value
    out[8][..., 1][lead] = 4.0
    out[9][row, 0] = value[0]
    out[10][None, row] = 2.0
    out[11][masks["none"]] /= 2
    out[12][whole] = out[12][whole] ** 2 - 3 * out[12][whole]
    out[13][masks["scalar"]] = value
    out[14][masks["bytes"]] = 7
    out[15].index_put_((row,), value[:, :1])
    out[16].index_put_((lead,), value, accumulate=True)
    out[17] = out[17].index_put((whole,), value[0, 1])
    out[18].masked_fill_(whole, 0.5)
    out[19][whole > 5] = 2.0
    out[20][lead] = -abs(out[19][lead]) % 2
    out[21][row] = value[None, None]
    return out


def test_assignment() -> None:
    eager, compiled = _assign(X, MASKS, V), fg.jit(_assign)(X, MASKS, V)
    for k, (a, b) in enumerate(zip(eager, compiled, strict=True)):
        assert np.allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=0), k
    assert all(bool((a != X).any()) for k, a in enumerate(eager) if k not in (11, 19))


def test_gradients_are_those_of_selected_elements() -> None:
    """Roots of negative numbers outside the mask leave no nan in the gradients."""

    def step(x: Any, scale: Any) -> Any:
        y = x * 1
        mask = x > 0
        y[mask] **= 0.5
        y[mask] *= scale
        loss = y.square().sum() + y[mask].mean() + (y[mask] + 1).sum()
        return loss, *fg.autograd.grad(loss, (x, scale))

    x, scale = X.clone().requires_grad_(), fg.tensor(2.0, dtype=fg.float64, requires_grad=True)
    eager, compiled = step(x, scale), fg.jit(step)(x, scale)
    for a, b in zip(eager, compiled, strict=True):
        assert np.allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12, atol=0)


def test_means_of_selected_elements() -> None:
    def means(x: Any, masks: dict[str, Any]) -> Any:
        return [
            x[masks["whole"]].mean(), x[masks["row"], 1:3].sum(), x[:, masks["middle"]].mean(),
            x[masks["none"]].mean(), x.half()[masks["lead"]].mean(),
            x.long()[masks["row"]].sum(), masks["whole"][masks["row"]].sum(),
        ]  # fmt: skip

    for a, b in zip(means(X, MASKS), fg.jit(means)(X, MASKS), strict=True):
        assert a.dtype is b.dtype
        assert np.allclose(a.numpy(), b.numpy(), rtol=1e-12, equal_nan=True)


def _run(x: Any, mask: Any, function: Callable[..., Any]) -> Any:
    return function(x.clone(), mask)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, m: x[m],
        lambda x, m: x[m] * 2,
        lambda x, m: x[m].sum(0),
        lambda x, m: fg.exp(x[m]),
        lambda x, m: x[m].shape,
        lambda x, m: x[m].add_(1),
        lambda x, m: x[:, 0].masked_select(m),
        lambda x, m: x.__setitem__(m, fg.ones(3, 1)),
        lambda x, m: x.__setitem__(m, x[~m]),
        lambda x, m: x[m, fg.tensor([0, 1, 0])],
        lambda x, m: x[m] + fg.ones(3, 1),
    ],
)
def test_what_needs_the_number_of_elements(function: Callable[..., Any]) -> None:
    with pytest.raises(fg.errors.TracedValueError) as caught:
        fg.jit(function)(fg.ones(3, 2), MASKS["row"])
    what, where, why, repair = str(caught.value).split("\n")
    assert "mask" in what and "test_masked_assignment.py" in where
    assert "number of selected elements" in why and repair.startswith("  Try:")


@pytest.mark.parametrize("shape", [(1, 4), (2,), (3, 5), (3, 4, 1)])
def test_masks_have_the_shape_of_what_they_select_from(shape: tuple[int, ...]) -> None:
    """They do not broadcast."""
    x, mask = fg.zeros(3, 4, 2), fg.ones(shape).bool()
    for compiled in (lambda f: f, fg.jit):
        with pytest.raises(IndexError, match=r"shape of the mask \["):
            compiled(lambda x, m: x[m].sum())(x, mask)
        with pytest.raises(IndexError, match=r"shape of the mask \["):
            compiled(lambda x, m: x.__setitem__(m, 1.0))(x, mask)


def test_bytes_are_masks() -> None:
    x = fg.arange(3.0)
    assert x[fg.tensor([1, 0, 2]).byte()].tolist() == [0.0, 2.0]


def test_unit_axes_in_front_of_an_assigned_value() -> None:
    x = fg.zeros(3)
    x[fg.tensor([True, False, True])] = fg.tensor([[[1.0, 2.0]]])
    x[fg.tensor([1])] = fg.tensor([[3.0]])
    assert x.tolist() == [1.0, 3.0, 2.0]
    x[x > 1] = np.array([5.0, 6.0])
    assert x.tolist() == [1.0, 5.0, 6.0]
