"""Every loss with the options and operands its tests run, in one table.

``tests/torch_parity/test_losses.py`` compares each case with PyTorch, ``tests/nn/test_losses.py``
compares jit with eager, and ``tools/loss_docs.py`` writes ``docs/losses.md`` from it. Needs neither
PyTorch nor fusegrad to be imported: operands are NumPy arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Draw = Callable[[np.random.Generator], list[Any]]
REDUCTIONS = ("mean", "sum", "none")


@dataclass(frozen=True)
class Loss:
    """One loss.

    Attributes:
        name, function: the class in ``nn`` and the function in ``nn.functional``.
        operands: names of what ``forward`` takes.
        by: the operands that gradients are compared for.
        cases: pairs of options and a function that draws the operands.
        reductions: values of ``reduction``.
        second: what second derivatives are compared with.
    """

    name: str
    function: str
    operands: tuple[str, ...]
    by: tuple[str, ...]
    cases: tuple[tuple[dict[str, Any], Draw], ...]
    reductions: tuple[str, ...] = REDUCTIONS
    second: str = "PyTorch"
    differentiable: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        places = tuple(self.operands.index(n) for n in self.by)
        object.__setattr__(self, "differentiable", places)

    @property
    def options(self) -> list[str]:
        """Names of the options that some case sets."""
        return list(dict.fromkeys(name for options, _ in self.cases for name in options))


def _normal(*shapes: tuple[int, ...]) -> Draw:
    return lambda rng: [rng.standard_normal(s) for s in shapes]


def _indices(shape: tuple[int, ...], target: tuple[int, ...], ignored: int | None = None) -> Draw:
    """Scores and class indices; the first index is ``ignored`` where given."""

    def draw(rng: np.random.Generator) -> list[Any]:
        classes = shape[0] if len(shape) == 1 else shape[1]
        found = rng.integers(0, classes, target)
        if ignored is not None:
            found.reshape(-1)[0] = ignored
        return [2 * rng.standard_normal(shape), found]

    return draw


def _probabilities(*shape: int) -> Draw:
    def draw(rng: np.random.Generator) -> list[Any]:
        raw = rng.random(shape) + 0.1
        axis = 0 if len(shape) == 1 else 1
        return [rng.standard_normal(shape), raw / raw.sum(axis, keepdims=True)]

    return draw


def _binary(*shape: int) -> Draw:
    return lambda rng: [rng.uniform(0.05, 0.95, shape), rng.random(shape)]


def _logits(*shape: int) -> Draw:
    return lambda rng: [4 * rng.standard_normal(shape), rng.random(shape)]


def _divergence(*shape: int, log: bool) -> Draw:
    def draw(rng: np.random.Generator) -> list[Any]:
        x, y = (rng.random(shape) + 0.1 for _ in range(2))
        x, y = x / x.sum(-1, keepdims=True), y / y.sum(-1, keepdims=True)
        return [np.log(x), np.log(y) if log else y]

    return draw


def _counts(log: bool, least: float = 0.0) -> Draw:
    def draw(rng: np.random.Generator) -> list[Any]:
        x = rng.standard_normal((3, 4))
        return [x if log else np.abs(x) + 0.1, np.maximum(rng.poisson(3.0, (3, 4)), least)]

    return draw


def _spread(var: tuple[int, ...]) -> Draw:
    return lambda rng: [
        rng.standard_normal((4, 3)),
        rng.standard_normal((4, 3)),
        rng.random(var) + 0.2,
    ]


def _signs(count: int, *shapes: tuple[int, ...], sign: tuple[int, ...] = (5,)) -> Draw:
    def draw(rng: np.random.Generator) -> list[Any]:
        signs = np.where(rng.random(sign) < 0.5, -1.0, 1.0)
        return [*(rng.standard_normal(s) for s in shapes[:count]), signs]

    return draw


def _labels(*shape: int) -> Draw:
    """Scores and lists of class indices that end with -1; the last row lists every class."""

    def draw(rng: np.random.Generator) -> list[Any]:
        rows = np.full(shape, -1).reshape(-1, shape[-1])
        for k, row in enumerate(rows):
            count = k % shape[-1] if k + 1 < len(rows) or len(rows) == 1 else shape[-1]
            row[:count] = rng.permutation(shape[-1])[:count]
            if count + 1 < shape[-1]:
                row[count + 1 :] = rng.integers(-1, shape[-1], shape[-1] - count - 1)
        return [rng.standard_normal(shape), rows.reshape(shape)]

    return draw


def _multi_hot(*shape: int) -> Draw:
    return lambda rng: [2 * rng.standard_normal(shape), (rng.random(shape) < 0.4).astype(float)]


def _far(x: Any, y: Any) -> Any:
    """A distance a user may write, in either library."""
    return ((x - y) ** 2).sum(-1)


def _labelling(*lengths: int) -> Draw:
    """Log-probabilities (T, N, C), labels without blanks, lengths of both."""

    def draw(rng: np.random.Generator) -> list[Any]:
        scores = rng.standard_normal((6, 3, 4))
        scores -= np.log(np.exp(scores).sum(-1, keepdims=True))
        return [scores, rng.integers(1, 4, (3, 3)), np.array([6, 5, 6]), np.array(lengths)]

    return draw


WEIGHT = np.array([0.5, 1.0, 2.0, 0.0, 1.5])
PAIR = ("input", "target")
TRIPLET = ("anchor", "positive", "negative")
_three = _normal((5, 4), (5, 4), (5, 4))
_classes = _indices((4, 5), (4,))
_images = _indices((2, 5, 3, 2), (2, 3, 2), -100)


def _elementwise(name: str, function: str, *options: dict[str, Any]) -> Loss:
    matrix, scalar = _normal((4, 3), (4, 3)), _normal((), ())
    cases = [({}, matrix), ({}, scalar), *((o, matrix) for o in options)]
    return Loss(name, function, PAIR, PAIR, tuple(cases))


LOSSES = (
    _elementwise("L1Loss", "l1_loss"),
    _elementwise("MSELoss", "mse_loss"),
    _elementwise("SmoothL1Loss", "smooth_l1_loss", {"beta": 0.3}, {"beta": 0.0}),
    _elementwise("HuberLoss", "huber_loss", {"delta": 0.4}),
    Loss(
        "CrossEntropyLoss",
        "cross_entropy",
        PAIR,
        ("input",),
        (
            ({}, _classes),
            ({}, _indices((5,), ())),
            ({}, _images),
            ({"weight": WEIGHT}, _indices((4, 5), (4,), 2)),
            ({"ignore_index": 2}, _indices((4, 5), (4,), 2)),
            ({"label_smoothing": 0.2}, _images),
            ({"weight": WEIGHT, "ignore_index": 1, "label_smoothing": 0.1}, _classes),
        ),
    ),
    Loss(
        "CrossEntropyLoss (probabilities)",
        "cross_entropy",
        PAIR,
        PAIR,
        (
            ({}, _probabilities(4, 5)),
            ({}, _probabilities(5)),
            ({}, _probabilities(3, 5, 2)),
            ({"weight": WEIGHT, "label_smoothing": 0.3}, _probabilities(4, 5)),
        ),
    ),
    Loss(
        "NLLLoss",
        "nll_loss",
        PAIR,
        ("input",),
        (
            ({}, _classes),
            ({}, _indices((5,), ())),
            ({}, _images),
            ({"weight": WEIGHT}, _indices((4, 5), (4,), 2)),
            ({"weight": WEIGHT, "ignore_index": 2}, _indices((3, 5, 2), (3, 2), 2)),
        ),
    ),
    Loss(
        "BCELoss",
        "binary_cross_entropy",
        PAIR,
        PAIR,
        (
            ({}, _binary(4, 3)),
            ({}, _binary()),
            ({"weight": np.array([0.5, 2.0, 1.0])}, _binary(4, 3)),
        ),
        second="differences",
    ),
    Loss(
        "BCEWithLogitsLoss",
        "binary_cross_entropy_with_logits",
        PAIR,
        PAIR,
        (
            ({}, _logits(4, 3)),
            ({}, _logits()),
            ({"weight": np.array([0.5, 2.0, 1.0])}, _logits(4, 3)),
            ({"pos_weight": np.array([1.0, 3.0, 0.2])}, _logits(4, 3)),
        ),
    ),
    Loss(
        "KLDivLoss",
        "kl_div",
        PAIR,
        PAIR,
        (
            ({}, _divergence(4, 3, log=False)),
            ({}, _divergence(3, log=False)),
            ({"log_target": True}, _divergence(4, 3, log=True)),
        ),
        (*REDUCTIONS, "batchmean"),
    ),
    Loss(
        "PoissonNLLLoss",
        "poisson_nll_loss",
        PAIR,
        PAIR,
        (
            ({}, _counts(True)),
            ({"full": True}, _counts(True, 2.0)),
            ({"log_input": False}, _counts(False)),
            ({"log_input": False, "full": True, "eps": 0.1}, _counts(False, 2.0)),
        ),
    ),
    Loss(
        "GaussianNLLLoss",
        "gaussian_nll_loss",
        (*PAIR, "var"),
        (*PAIR, "var"),
        (
            ({}, _spread((4, 3))),
            ({"full": True}, _spread((4,))),
            ({"eps": 0.6}, _spread((4, 1))),
        ),
    ),
    Loss(
        "SoftMarginLoss",
        "soft_margin_loss",
        PAIR,
        ("input",),
        (({}, _signs(1, (5,))), ({}, _signs(1, (), sign=()))),
    ),
    Loss(
        "HingeEmbeddingLoss",
        "hinge_embedding_loss",
        PAIR,
        ("input",),
        (({}, _signs(1, (5,))), ({"margin": 0.3}, _signs(1, (2, 5), sign=(2, 5)))),
    ),
    Loss(
        "MarginRankingLoss",
        "margin_ranking_loss",
        ("input1", "input2", "target"),
        ("input1", "input2"),
        (({}, _signs(2, (5,), (5,))), ({"margin": 0.5}, _signs(2, (5,), (5,)))),
    ),
    Loss(
        "CosineEmbeddingLoss",
        "cosine_embedding_loss",
        ("input1", "input2", "target"),
        ("input1", "input2"),
        (
            ({}, _signs(2, (5, 4), (5, 4))),
            ({}, _signs(2, (4,), (4,), sign=())),
            ({"margin": -0.5}, _signs(2, (5, 4), (5, 4))),
        ),
    ),
    Loss(
        "TripletMarginLoss",
        "triplet_margin_loss",
        TRIPLET,
        TRIPLET,
        (
            ({}, _three),
            ({"p": 1.0, "margin": 2.0}, _three),
            ({"p": 3.0, "swap": True}, _three),
            ({"eps": 0.1}, _normal((4,), (4,), (4,))),
        ),
    ),
    Loss(
        "TripletMarginWithDistanceLoss",
        "triplet_margin_with_distance_loss",
        TRIPLET,
        TRIPLET,
        (
            ({}, _three),
            ({"distance_function": _far, "margin": 2.5}, _three),
            ({"swap": True}, _three),
        ),
    ),
    Loss(
        "MultiMarginLoss",
        "multi_margin_loss",
        PAIR,
        ("input",),
        (
            ({}, _classes),
            ({}, _indices((5,), ())),
            ({"p": 2}, _classes),
            ({"p": 2, "margin": 0.4, "weight": WEIGHT}, _indices((4, 5), (4,), 2)),
        ),
        second="differences",
    ),
    Loss(
        "MultiLabelMarginLoss",
        "multilabel_margin_loss",
        PAIR,
        ("input",),
        (({}, _labels(7, 5)), ({}, _labels(5))),
        second="differences",
    ),
    Loss(
        "MultiLabelSoftMarginLoss",
        "multilabel_soft_margin_loss",
        PAIR,
        PAIR,
        (
            ({}, _multi_hot(4, 5)),
            ({}, _multi_hot(5)),
            ({}, _multi_hot(2, 3, 5)),
            ({"weight": WEIGHT}, _multi_hot(4, 5)),
        ),
    ),
)


LOSSES += (
    Loss(
        "CTCLoss",
        "ctc_loss",
        ("log_probs", "targets", "input_lengths", "target_lengths"),
        ("log_probs",),
        (
            ({}, _labelling(2, 3, 1)),
            ({"zero_infinity": True}, _labelling(3, 2, 2)),
        ),
        second="differences",
    ),
)


def class_name(loss: Loss) -> str:
    """The class in ``nn``."""
    return loss.name.split()[0]


def cases() -> Iterator[tuple[str, Loss, dict[str, Any], list[np.ndarray]]]:
    """Every case: a label, the loss, the options and the operands, always the same."""
    for loss in LOSSES:
        for number, (options, draw) in enumerate(loss.cases):
            rng = np.random.default_rng([number, *map(ord, loss.name)])
            arrays = [np.asarray(a) for a in draw(rng)]
            shown = ",".join(f"{k}={_short(v)}" for k, v in options.items())
            shape = "x".join(map(str, arrays[0].shape)) or "0-d"
            yield f"{loss.name}-{shape}-{shown}", loss, options, arrays


def _short(value: Any) -> str:
    return "tensor" if isinstance(value, np.ndarray) else getattr(value, "__name__", str(value))


def derivatives(
    library: Any, function: Callable[..., Any], operands: Any, places: Any, second: bool = True
) -> list[Any]:
    """The loss, its gradients and, if wanted, the gradients of a random combination of them."""
    rng = np.random.default_rng(7)

    def dotted(x: Any) -> Any:
        weights = np.asarray(rng.standard_normal(tuple(x.shape)))
        return (library.tensor(weights, dtype=x.dtype) * x).sum()

    leaves = [operands[p] for p in places]

    def pulled(value: Any, **options: Any) -> list[Any]:
        found = library.autograd.grad(value, leaves, allow_unused=True, **options)
        return [library.zeros_like(x) if g is None else g for x, g in zip(leaves, found)]

    loss = function(*operands)
    first = pulled(dotted(loss), create_graph=second)
    if not second:
        return [loss, *first]
    total = sum(map(dotted, first))
    bent = total.requires_grad
    return [loss, *first, *(pulled(total) if bent else map(library.zeros_like, leaves))]


def build(library: Any, loss: Loss, options: dict[str, Any], reduction: str, dtype: Any) -> Any:
    """The module of a case in one of the two libraries."""
    values = {
        k: library.tensor(v, dtype=dtype) if isinstance(v, np.ndarray) else v
        for k, v in options.items()
    }
    return getattr(library.nn, class_name(loss))(reduction=reduction, **values)


def operands(library: Any, loss: Loss, arrays: list[np.ndarray], dtype: Any) -> list[Any]:
    """The operands of a case; those with compared gradients require them."""
    out = []
    for place, array in enumerate(arrays):
        x = library.tensor(array, dtype=dtype if array.dtype.kind == "f" else None)
        out.append(x.requires_grad_() if place in loss.differentiable else x)
    return out
