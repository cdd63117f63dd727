"""Rearrangements, contractions and grids against torch, to second order and compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from slices import by_turns
from surface_check import EMPTY, INT, ONE, SCALAR, B, P, V, X, Y, check

import fusegrad as fg

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
S = X[:, :4]
C = np.random.default_rng(3).normal(size=(2, 4, 3))
BIG = np.random.default_rng(4).normal(size=(2, 3, 4, 5))
MOVED = {
    "diagonal": lambda m, x: m.diagonal(x),
    "diagonal 1": lambda m, x: x.diagonal(1),
    "diagonal -2": lambda m, x: x.diagonal(-2, -1, 0),
    "diagonal far": lambda m, x: x.diagonal(7),
    "diag": lambda m, x: m.diag(x, 1),
    "diag vector": lambda m, x: m.diag(x[0], -1),
    "diagflat": lambda m, x: m.diagflat(x[:2, :2], 1),
    "diag_embed": lambda m, x: m.diag_embed(x),
    "diag_embed dims": lambda m, x: m.diag_embed(x, -1, 0, 2),
    "trace": lambda m, x: m.trace(x),
    "fill_diagonal_": lambda m, x: (x * 1).fill_diagonal_(2.0),
    "fill_diagonal_ wrap": lambda m, x: (x * 1).t().fill_diagonal_(2.0, wrap=True),
    "roll": lambda m, x: m.roll(x, 3),
    "roll dims": lambda m, x: x.roll((1, -7), (0, 1)),
    "fliplr": lambda m, x: m.fliplr(x),
    "flipud": lambda m, x: m.flipud(x),
    "rot90": lambda m, x: m.rot90(x),
    "rot90 -1": lambda m, x: m.rot90(x, -1, [1, 0]),
    "rot90 2": lambda m, x: m.rot90(x, 2),
    "tile": lambda m, x: m.tile(x, (2,)),
    "tile 3": lambda m, x: x.tile(2, 1, 2),
    "unfold": lambda m, x: x.unfold(1, 3, 2),
    "unfold 0": lambda m, x: x.unfold(-2, 2, 1),
    "as_strided": lambda m, x: m.as_strided(x.contiguous(), (2, 3), (5, 1), 2),
    "as_strided overlap": lambda m, x: m.as_strided(x.contiguous(), (4, 3), (1, 2)),
    "tensor_split": lambda m, x: m.tensor_split(x, 3, 1),
    "tensor_split at": lambda m, x: m.tensor_split(x, (1, -1), 1),
    "hsplit": lambda m, x: m.hsplit(x, [2]),
    "vsplit": lambda m, x: m.vsplit(x, 2),
    "dsplit": lambda m, x: m.dsplit(x[None], 5),
    "hstack": lambda m, x: m.hstack((x, x * 2)),
    "vstack": lambda m, x: m.vstack((x[0], x)),
    "row_stack": lambda m, x: m.row_stack((x[0], x)),
    "dstack": lambda m, x: m.dstack((x, x * 2)),
    "column_stack": lambda m, x: m.column_stack((x[:, 0], x)),
    "moveaxis": lambda m, x: m.moveaxis(x[None], (0, 1), (2, 0)),
    "swapdims": lambda m, x: m.swapdims(x, 0, 1),
    "squeeze": lambda m, x: m.squeeze(x[None, :, None], (0, 2)),
    "atleast_3d": lambda m, x: m.atleast_3d(x),
    "atleast_2d": lambda m, x: m.atleast_2d(x[0], x),
    "atleast_1d": lambda m, x: m.atleast_1d(x[0, 0]),
    "expand_as": lambda m, x: x[:1].expand_as(x),
    "narrow": lambda m, x: m.narrow(x, 1, -3, 2),
    "unbind": lambda m, x: m.unbind(x, -1),
    "block_diag": lambda m, x: m.block_diag(x, x[0], x[0, 0]),
    "cartesian_prod": lambda m, x: m.cartesian_prod(x[0], x[1], x[2]),
    "combinations": lambda m, x: m.combinations(x[0], 3),
    "combinations with": lambda m, x: m.combinations(x[0], with_replacement=True),
    "repeat_interleave": lambda m, x: m.repeat_interleave(x, 3, dim=0),
    "adjoint": lambda m, x: m.adjoint(x),
    "mH": lambda m, x: x.mH,
    "tril_indices": lambda m, x: (m.tril_indices(3, 4, 1), m.triu_indices(3, 4, -1)),
    "vander": lambda m, x: m.vander(x.detach()[0], 4),
}  # fmt: skip
CASES: dict[str, tuple[Any, ...]] = {
    **{name: (function, X) for name, function in MOVED.items()},
    "diagonal 3d": (lambda m, x: x.diagonal(1, 0, 2), B),
    "diagonal empty": (lambda m, x: x.diagonal(), EMPTY),
    "roll empty": (lambda m, x: x.roll(1, 1), EMPTY),
    "unfold scalar": (lambda m, x: x.unfold(0, 1, 1), SCALAR),
    "unfold one": (lambda m, x: x.unfold(0, 1, 1), ONE),
    "vander up": (lambda m, x: m.vander(x, increasing=True), np.array([1, 2, 3])),
    "cross": (lambda m, x, y: m.cross(x, y, dim=1), B, B[::-1].copy()),
    "cross default": (lambda m, x, y: m.cross(x[0], y[0]), B, B[::-1].copy()),
    "kron": (lambda m, x, y: m.kron(x, y[:2, :2]), X, Y),
    "kron ranks": (lambda m, x, y: m.kron(x[0, :2].contiguous(), y.contiguous()), X, B),
    "inner": (lambda m, x, y: m.inner(x, y), X, Y),
    "inner 3": (lambda m, x, y: m.inner(x, y[0, :2]), B, C.transpose(0, 2, 1).copy()),
    "vdot": (lambda m, x, y: m.vdot(x[0], y[0]), X, Y),
    "ger": (lambda m, x, y: m.ger(x[0], y[1]), X, Y),
    "addmv": (lambda m, b, x, v: m.addmv(b[0, :4], x, v[:5], beta=0.5, alpha=2), X, Y, V),
    "addr": (lambda m, b, x, v: m.addr(b, x[:, 0], v[:5], alpha=-1), X, Y, V),
    "baddbmm": (lambda m, b, x, y: m.baddbmm(b[0, :3], x, y, beta=2), X, B, C),
    "addbmm": (lambda m, b, x, y: m.addbmm(b[0, :3], x, y, alpha=0.5), X, B, C),
    "addbmm beta 0": (lambda m, b, x, y: m.addbmm(b.detach()[0, :3] / 0, x, y, beta=0), X, B, C),
    "chain_matmul": (lambda m, x, y: m.chain_matmul(x, y.t(), x, y[0, :, None]), X, Y),
    "cdist": (lambda m, x, y: m.cdist(x, y[:3]), X, Y),
    "cdist 1": (lambda m, x, y: m.cdist(x, y, p=1.0), B, C.transpose(0, 2, 1).copy()),
    "cdist inf": (lambda m, x, y: m.cdist(x, y, p=float("inf")), X, Y),
    "cdist 3": (lambda m, x, y: m.cdist(x, y, p=3.0), X, Y),
    "tensordot": (lambda m, x, y: m.tensordot(x, y, 1), B, X),
    "tensordot dims": (lambda m, x, y: m.tensordot(x, y, ([2, 1], [1, -1])), B, C),
    "tensordot 0": (lambda m, x, y: m.tensordot(x[0], y[0], 0), B, C),
    "tensordot one": (lambda m, x, y: m.tensordot(x, y, dims=[[0], [0]]), X, Y),
}  # fmt: skip

EINSUM: dict[str, tuple[Any, ...]] = {
    "ij,jk->ik": (X, Y.T.copy()),
    "ij,kj": (X, Y),
    "bij,bjk->bik": (B, C),
    "bij,bjk->b": (B, C),
    "ij->ji": (X,),
    "ij": (X,),
    "ba": (X,),
    "ii->i": (S,),
    "ii": (S,),
    "iij->ij": (np.stack([S, S + 1]).transpose(1, 2, 0).copy(),),
    "ij->": (X,),
    "i,j->ij": (V, V),
    "ij,ij->ij": (X, Y),
    "ij,ij->": (X, Y),
    "...ij,...jk->...ik": (BIG[..., :4], C[:, None]),
    "...ij->...ji": (BIG,),
    "i...,i...->...": (B, B[..., ::-1].copy()),
    "b...,...->b": (B, B[0]),
    "ij,jk,kl->il": (X, Y.T.copy(), S),
    "ij,jk,ik->": (X, Y.T.copy(), S),
    "bhqd,bhkd->bhqk": (BIG, BIG[:, :, ::-1].copy()),
    "bn,anm,bm->ba": (X, np.random.default_rng(5).normal(size=(2, 5, 4)), S),
    "ij,j->i": (X, ONE),
    "ij,->ij": (X, SCALAR),
    " i j , j k -> k i ": (X, Y.T.copy()),
    "ik,jk->ij": (X[:0], Y),
}  # fmt: skip


@pytest.mark.parametrize(("name", "jit"), by_turns(CASES, [True, False]))
def test_as_torch(name: str, jit: bool) -> None:
    function, *arrays = CASES[name]
    twice = name not in ("cdist", "cdist 1", "cdist inf", "cdist 3")  # torch's stops at the first
    check(function, arrays, order=2 if twice else 1, jit=jit)


@pytest.mark.parametrize(("equation", "jit"), by_turns(EINSUM, [True, False]))
def test_einsum_as_torch(equation: str, jit: bool) -> None:
    check(lambda m, *xs: m.einsum(equation, *xs), EINSUM[equation], jit=jit)


def test_other_forms_of_einsum() -> None:
    check(lambda m, x, y: m.einsum(x, [0, 1], y, [2, 1], [2, 0]), [X, Y])
    check(lambda m, x, y: m.einsum(x, [..., 0, 1], y, [..., 1, 2]), [B, C])
    check(lambda m, x, y: m.einsum("ij,kj->ik", [x, y]), [X, Y])
    check(lambda m, x: m.einsum("ij,kj->ik", x, x), [INT])


EAGER: dict[str, tuple[Any, ...]] = {
    "repeat_interleave": (lambda m, x: x.repeat_interleave(m.tensor([2, 0, 1, 3]), dim=0), X),
    "repeat_interleave flat": (
        lambda m, x: m.repeat_interleave(x[0], m.tensor([1, 0, 2, 1, 1])), X),
    "diagonal view": (lambda m, x: _written(x.detach().clone()), P),
}  # fmt: skip


def _written(x: Any) -> Any:
    x.diagonal(1).mul_(5)
    return x


@pytest.mark.parametrize("name", EAGER)
def test_eager_as_torch(name: str) -> None:
    function, *arrays = EAGER[name]
    check(function, arrays, jit=False)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda m: m.einsum("ij,jk->ik", m.ones(2, 3)),
        lambda m: m.einsum("ij->ik", m.ones(2, 3)),
        lambda m: m.einsum("ij,jk", m.ones(2, 3), m.ones(4, 2)),
        lambda m: m.einsum("i1", m.ones(2, 3)),
        lambda m: m.einsum("ijk", m.ones(2, 3)),
        lambda m: m.diagonal(m.ones(2, 2), 0, 1, 1),
        lambda m: m.diag(m.ones(2, 2, 2)),
        lambda m: m.roll(m.ones(3), (1, 2), 0),
        lambda m: m.ones(3).unfold(0, 4, 1),
        lambda m: m.hsplit(m.ones(2, 3), 2),
        lambda m: m.cross(m.ones(2), m.ones(2), dim=0),
        lambda m: m.cdist(m.ones(2, 3), m.ones(2, 4)),
        lambda m: m.inner(m.ones(3), m.ones(2)),
    ],
)
def test_errors_are_of_torchs_classes(wrong: Any) -> None:
    with pytest.raises(Exception) as theirs:
        wrong(torch)
    with pytest.raises(theirs.type):
        wrong(fg)
