"""CTC loss against PyTorch: values and gradients, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from slices import by_turns

import fusegrad as fg
import fusegrad.nn.functional as F
from fusegrad import nn
from fusegrad.testing import gradcheck

torch = pytest.importorskip("torch")

STEPS, BATCH, CLASSES, LABELS = 12, 4, 6, 5
TICKS, SIZES = [12, 9, 12, 7], [5, 4, 0, 3]


def case(blank: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels, one label repeated."""
    rng = np.random.default_rng(0)
    labels = rng.choice([c for c in range(CLASSES) if c != blank], (BATCH, LABELS))
    labels[1, 1] = labels[1, 0]
    return rng.normal(size=(STEPS, BATCH, CLASSES)), labels


def compare(
    scores: Any, labels: Any, ticks: Any, sizes: Any, normalised: bool = False, **options: Any
) -> None:
    tx = torch.tensor(scores, requires_grad=True)
    theirs = torch.nn.functional.ctc_loss(
        tx if normalised else tx.log_softmax(-1),
        torch.tensor(labels),
        torch.tensor(ticks),
        torch.tensor(sizes),
        **options,
    )
    weights = np.random.default_rng(1).normal(size=tuple(theirs.shape))
    (expected,) = torch.autograd.grad((theirs * torch.tensor(weights)).sum(), tx)

    def run(x: Any, *lengths: Any) -> tuple[Any, Any]:
        ours = F.ctc_loss(
            x if normalised else x.log_softmax(-1),
            fg.tensor(labels),
            *(lengths or (ticks, sizes)),
            **options,
        )
        return ours, fg.autograd.grad((ours * fg.tensor(weights)).sum(), x)[0]

    x = fg.tensor(scores, requires_grad=True)
    results = [run(x), fg.jit(run)(x)]
    if np.ndim(labels) == 2:  # lengths are run-time values then
        results.append(fg.jit(run)(x, fg.tensor(ticks), fg.tensor(sizes)))
    for value, gradient in results:
        assert tuple(value.shape) == tuple(theirs.shape)
        np.testing.assert_allclose(
            value.detach().numpy(), theirs.detach().numpy(), rtol=1e-9, atol=1e-11
        )
        np.testing.assert_allclose(gradient.numpy(), expected.numpy(), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("reduction", "blank"), by_turns(["none", "sum", "mean"], [0, 3]))
def test_values_and_gradients(reduction: str, blank: int) -> None:
    scores, labels = case(blank)
    compare(scores, labels, TICKS, SIZES, reduction=reduction, blank=blank)


def test_labels_behind_one_another() -> None:
    scores, labels = case()
    joined = np.concatenate([row[:n] for row, n in zip(labels, SIZES, strict=True)])
    compare(scores, joined, TICKS, SIZES)


def test_the_gradient_of_log_probabilities_includes_the_softmax() -> None:
    scores, labels = case()
    compare(scores, labels, TICKS, SIZES, normalised=True)


def test_impossible_alignments() -> None:
    scores, labels = case()
    ticks = [12, 3, 12, 7]
    x = fg.tensor(scores).log_softmax(2)
    loss = F.ctc_loss(x, fg.tensor(labels), ticks, SIZES, reduction="none")
    assert np.isinf(loss.numpy()).tolist() == [False, True, False, False]
    compare(scores, labels, ticks, SIZES, reduction="none", zero_infinity=True)


def test_one_sequence_without_a_batch() -> None:
    scores, labels = case()
    compare(scores[:, 0], labels[0], 12, 5, reduction="none")
    compare(scores[:, 0], labels[0], 12, 5)


def test_the_module_and_float32() -> None:
    scores, labels = case()
    ours = nn.CTCLoss(blank=1, reduction="sum", zero_infinity=True)
    theirs = torch.nn.CTCLoss(blank=1, reduction="sum", zero_infinity=True)
    assert repr(ours) == repr(theirs)
    labels = np.where(labels == 1, 2, labels)
    found = ours(
        fg.tensor(scores).float().log_softmax(2), fg.tensor(labels), tuple(TICKS), tuple(SIZES)
    )
    expected = theirs(
        torch.tensor(scores).float().log_softmax(2),
        torch.tensor(labels),
        tuple(TICKS),
        tuple(SIZES),
    )
    assert abs(found.item() - expected.item()) < 1e-4


def test_gradients_are_central_differences() -> None:
    scores, labels = case()
    x = fg.tensor(scores[:5, :2], requires_grad=True)
    assert gradcheck(
        lambda x: F.ctc_loss(x.log_softmax(2), fg.tensor(labels[:2, :2]), [5, 4], [2, 1]), x
    )


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"blank": 6}, "label range"),
        ({"ticks": [13, 1, 1, 1]}, "input_lengths"),
        ({"ticks": [1, 1]}, "batch_size"),
        ({"sizes": [6, 1, 1, 1]}, "target_lengths"),
        ({"labels": np.ones((3, 5), np.int64)}, "one row per sequence"),
        ({"labels": np.ones((4, 5))}, "integers"),
        ({"scores": np.ones((2, 2, 2, 2))}, r"\(T, N, C\)"),
        ({"scores": np.ones((12, 4, 6), np.int64)}, "float"),
    ],
    ids=lambda v: str(v)[:24],
)
def test_bad_arguments(change: dict[str, Any], match: str) -> None:
    scores, labels = case()
    o = {"scores": scores, "labels": labels, "ticks": TICKS, "sizes": SIZES, "blank": 0, **change}
    for library, make in ((torch.nn.functional, torch.tensor), (F, fg.tensor)):
        if library is not F and match == "integers":
            continue  # PyTorch rounds them
        with pytest.raises(RuntimeError) as caught:
            library.ctc_loss(
                make(o["scores"]), make(o["labels"]), o["ticks"], o["sizes"], o["blank"]
            )
    assert match.replace("\\", "") in str(caught.value)
