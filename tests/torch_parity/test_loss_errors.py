"""Losses refuse what PyTorch refuses, with an error its users catch and a message in four parts."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import fusegrad as fg

# f: nn.functional, z: zeros, l: a vector of int64, n: nn, m: the library.
BAD = """
f.multi_margin_loss(z(2, 3), l(0))
f.multi_margin_loss(z(2, 3), l(0, 3))
f.multi_margin_loss(z(2, 3), z(2))
f.multi_margin_loss(z(2, 3), l(0, 1).int())
f.multi_margin_loss(z(2, 3), l(0, 1), p=3)
f.multi_margin_loss(z(2, 3), l(0, 1), weight=z(2, 3))
f.multi_margin_loss(z(2, 3), l(0, 1), weight=z(2))
f.multi_margin_loss(z(2, 3, 1), l(0, 1))
f.multi_margin_loss(z(2, 3), l(0, 1), reduction="x")
n.MultiMarginLoss(p=3)
n.MultiMarginLoss(weight=z(2, 2))
f.multilabel_margin_loss(z(2, 3), l(0, 1))
f.multilabel_margin_loss(z(3), l(0, 3, -1))
f.multilabel_margin_loss(z(3), l(0, -2, -1))
f.multilabel_margin_loss(z(3), l(0, -1, 7))
f.multilabel_margin_loss(z(3), z(3))
f.multilabel_margin_loss(z(3), l(0, 1, 2).int())
f.multilabel_margin_loss(z(3, 1, 1), z(3, 1, 1).long())
f.multilabel_soft_margin_loss(z(2, 3), z(2, 2))
f.multilabel_soft_margin_loss(z(2, 3), z(2, 3), weight=z(2))
f.multilabel_soft_margin_loss(z(()), z(()))
f.triplet_margin_loss(z(2, 3), z(2, 3), z(2, 3), margin=0.0)
f.triplet_margin_loss(z(2, 3), z(2, 3), z(3))
f.triplet_margin_loss(z(2, 3), z(2, 3), z(2, 4))
f.triplet_margin_loss(z(2, 3), z(2, 3), z(2, 3), reduction="x")
f.triplet_margin_with_distance_loss(z(2, 3), z(2, 3), z(2, 3), margin=0.0)
f.triplet_margin_with_distance_loss(z(2, 3), z(2, 3), z(3))
f.triplet_margin_with_distance_loss(z(2, 3), z(2, 3), z(2, 3), reduction="x")
n.TripletMarginLoss(margin=0.0)
n.TripletMarginWithDistanceLoss(margin=-1.0)
f.margin_ranking_loss(z(2), z(2), z(1, 2))
f.margin_ranking_loss(z(2), z(3), z(2))
f.cosine_embedding_loss(z(2, 3), z(2, 3), z(2, 1))
f.cosine_embedding_loss(z(2, 3), z(2, 4), z(2))
f.cosine_embedding_loss(z(2, 3), z(2, 3), z(3))
f.huber_loss(z(2), z(2), delta=0.0)
f.huber_loss(z(2), z(2), reduction="x")
f.huber_loss(l(1, 2), l(1, 2))
f.huber_loss(z(2), z(2), weight=z(3))
f.smooth_l1_loss(z(2), z(2), beta=-1.0)
f.smooth_l1_loss(l(1, 2), l(1, 2))
f.mse_loss(l(1, 2), l(1, 2))
f.mse_loss(z(3), z(2))
f.mse_loss(z(3), z(3), reduction="avg")
f.mse_loss([1.0], z(1))
f.l1_loss(l(1, 2), l(1, 2))
f.l1_loss(z(2), z(2), weight=z(3))
f.nll_loss(z(()), l(0))
f.nll_loss(z(2, 3), l(0))
f.nll_loss(z(2, 3), l(0, 3))
f.nll_loss(z(2, 3), l(0, -1))
f.nll_loss(z(2, 3, 4), z(2, 5).long())
f.nll_loss(z(2, 3), l(0, 1), weight=z(2))
f.nll_loss(z(2, 3), l(0, 1), weight=z(1, 3))
f.cross_entropy(z(2, 3), l(0, 3))
f.cross_entropy(z(2, 3), l(0))
f.cross_entropy(z(2, 3), z(2))
f.cross_entropy(z(2, 3), l(0, 1).int())
f.cross_entropy(z(2, 3), l(0, 1).short())
f.cross_entropy(z(2, 3), l(0, 1) > 0)
f.cross_entropy(z(2, 3), z(2, 4))
f.cross_entropy(z(2, 3), z(2, 3).long())
f.cross_entropy(z(2, 3), z(2, 3), ignore_index=1)
f.cross_entropy(z(2, 3), l(0, 1), label_smoothing=1.5)
f.cross_entropy(z(2, 3), l(0, 1), weight=z(3).double())
f.cross_entropy(z(1, 3), [1])
f.binary_cross_entropy(z(2) + 2, z(2))
f.binary_cross_entropy(z(2), z(2, 1))
f.binary_cross_entropy(z(2), l(0, 1))
f.binary_cross_entropy(z(2), z(2).double())
f.binary_cross_entropy(z(2), z(2), weight=z(3))
f.binary_cross_entropy_with_logits(z(2), z(3))
f.binary_cross_entropy_with_logits(z(2), l(0, 1))
f.binary_cross_entropy_with_logits(l(0, 1), z(2))
f.binary_cross_entropy_with_logits(z(2), z(2), weight=z(3))
f.binary_cross_entropy_with_logits(z(2), z(2), pos_weight=z(3))
f.kl_div(z(2, 3), z(4))
f.kl_div(z(2), l(0, 1))
f.kl_div(z(2), z(2), reduction="x")
f.gaussian_nll_loss(z(2), z(2), z(2) - 1)
f.gaussian_nll_loss(z(2), z(2), z(3))
f.gaussian_nll_loss(z(2), z(2), -1.0)
f.gaussian_nll_loss(z(2), z(3), z(2))
f.gaussian_nll_loss(z(2), z(2), z(2), reduction="x")
f.poisson_nll_loss(z(2), z(3))
f.poisson_nll_loss(z(2), z(2), reduction="x")
f.soft_margin_loss(z(2), z(3))
f.soft_margin_loss(z(2), z(2), reduction="x")
f.hinge_embedding_loss(z(2), z(3))
f.hinge_embedding_loss(z(2), z(2), reduction="x")
f.linear(z(1, 2).double(), z(2, 2))
f.linear(l(1, 2), z(2, 2))
n.Linear(2, 2)(z(1, 2).double())
z(1, 2).double() @ z(2, 2)
m.mm(z(1, 2).double(), z(2, 2))
m.mv(z(2, 2).double(), z(2))
m.dot(z(2).double(), z(2))
m.bmm(z(2, 2, 2).double(), z(2, 2, 2))
m.addmm(z(2, 2), z(2, 2).double(), z(2, 2))
m.addmm(z(2, 2), z(2, 2).double(), z(2, 2).double())
z(2, 2).long() @ z(2, 2)
m.randn(-1)
m.rand(2, -1)
m.zeros(-1)
m.ones(-1)
m.empty(-1)
m.full((-2,), 1.0)
m.eye(-1)
m.randperm(-1)
m.randint(5, 3, (2,))
m.randint(3, (-1,))
m.randn(1.5)
m.zeros("a")
m.linspace(0, 1, -1)
m.logspace(0, 1, -1)
m.arange(0, 1, 0)
m.arange(0, 1, -1)
z(3)[1.5]
z(3)[z(2)]
z(3)[l(0, 1).short()]
z(3)["a"]
z(3)[3]
z(3)[0, 0]
z(3)[l(3)]
z(3).new_zeros(-1)
m.tensor([1.0, 2.0], requires_grad=True).numpy()
m.tensor([1, 2], requires_grad=True)
m.meshgrid(l(1, 2), l(1, 2), indexing="yx")
"""


def _run(library: Any, text: str) -> Any:
    names = {
        "m": library,
        "n": library.nn,
        "f": library.nn.functional,
        "z": library.zeros,
        "l": lambda *values: library.tensor(values),
    }
    return eval(text, names)


@pytest.mark.parametrize("text", BAD.strip().splitlines())
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_refused_alike(text: str) -> None:
    with pytest.raises(Exception) as theirs:
        _run(torch, text)
    with pytest.raises(Exception) as ours:
        _run(fg, text)
    family = [
        kind
        for kind in (IndexError, ValueError, TypeError, RuntimeError)
        if isinstance(theirs.value, kind)
    ]
    assert isinstance(ours.value, tuple(family) or TypeError)  # AttributeError of a list
    assert isinstance(ours.value, fg.errors.FusegradError)
    assert ours.value.what and ours.value.why and ours.value.hint and ours.value.site
