"""What the tests of optimizers and schedules run over, and ``docs/optimizers.md`` lists.

No torch is imported here; every entry works with fusegrad and with torch alike.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

Options = dict[str, Any]
Case = tuple[str, Options]


def _grid(**options: list[Any]) -> list[Options]:
    keys = list(options)
    return [dict(zip(keys, values)) for values in itertools.product(*options.values())]


BOTH = [False, True]

#: Every combination of these options is compared with PyTorch, step by step.
OPTIONS: dict[str, list[Options]] = {
    "ASGD": _grid(
        lr=[0.05], lambd=[1e-4, 0.1], alpha=[0.75, 1.5], t0=[1e6, 20.0], weight_decay=[0.0, 0.1],
        maximize=BOTH,
    ),
    "Adadelta": _grid(
        lr=[1.0], rho=[0.9, 0.5], eps=[1e-6, 1e-2], weight_decay=[0.0, 0.1], maximize=BOTH
    ),
    "Adagrad": _grid(
        lr=[0.1], lr_decay=[0.0, 0.01], weight_decay=[0.0, 0.1],
        initial_accumulator_value=[0.0, 0.5], maximize=BOTH,
    ),
    "Adam": _grid(
        lr=[0.05], betas=[(0.9, 0.999), (0.5, 0.7)], weight_decay=[0.0, 0.1], amsgrad=BOTH,
        maximize=BOTH, decoupled_weight_decay=BOTH,
    ),
    "AdamW": _grid(
        lr=[0.05], eps=[1e-8, 1e-3], weight_decay=[0.0, 0.1], amsgrad=BOTH, maximize=BOTH
    ),
    "Adamax": _grid(
        lr=[0.05], betas=[(0.9, 0.999), (0.5, 0.7)], eps=[1e-8, 1e-3], weight_decay=[0.0, 0.1],
        maximize=BOTH,
    ),
    "Muon": _grid(
        lr=[0.05], weight_decay=[0.0, 0.1], momentum=[0.95, 0.5], nesterov=BOTH, ns_steps=[5, 2],
        adjust_lr_fn=[None, "original", "match_rms_adamw"],
    ),
    "NAdam": _grid(
        lr=[0.05], betas=[(0.9, 0.999), (0.5, 0.7)], weight_decay=[0.0, 0.1],
        momentum_decay=[4e-3, 0.5], decoupled_weight_decay=BOTH, maximize=BOTH,
    ),
    "RAdam": _grid(
        lr=[0.05], betas=[(0.9, 0.999), (0.5, 0.7)], eps=[1e-8, 1e-3], weight_decay=[0.0, 0.1],
        decoupled_weight_decay=BOTH, maximize=BOTH,
    ),
    "RMSprop": _grid(
        lr=[0.01], alpha=[0.99, 0.5], weight_decay=[0.0, 0.1], momentum=[0.0, 0.9], centered=BOTH,
        maximize=BOTH,
    ),
    "Rprop": _grid(
        lr=[0.01, 0.2], etas=[(0.5, 1.2), (0.3, 2.0)], step_sizes=[(1e-6, 50), (1e-3, 0.1)],
        maximize=BOTH,
    ),
    "SGD": [
        o
        for o in _grid(
            lr=[0.05], momentum=[0.0, 0.9], dampening=[0.0, 0.3], weight_decay=[0.0, 0.1],
            nesterov=BOTH, maximize=BOTH,
        )
        if not o["nesterov"] or (o["momentum"] and not o["dampening"])
    ],
}  # fmt: skip

#: LBFGS has a test of its own: it evaluates a closure.
LBFGS_OPTIONS = _grid(
    line_search_fn=[None, "strong_wolfe"], history_size=[100, 3], max_iter=[4, 20], lr=[1, 0.1]
)


def covering(options: list[Options]) -> list[Options]:
    """A few of the combinations in which every pair of option values occurs."""

    def pairs(option: Options) -> set[Any]:
        return set(itertools.combinations([(k, str(v)) for k, v in option.items()], 2))

    missing = set().union(*map(pairs, options))
    chosen = []
    while missing:
        best = max(options, key=lambda o: len(pairs(o) & missing))
        chosen.append(best)
        missing -= pairs(best)
    return chosen


CASES: list[Case] = [(name, o) for name, options in OPTIONS.items() for o in options]
#: Of the compiled updates and jitted steps: every pair of option values.
COMPILED: list[Case] = [(name, o) for name, options in OPTIONS.items() for o in covering(options)]
#: Of state round trips and groups: the first and the last combination.
ENDS: list[Case] = [(name, o[k]) for name, o in OPTIONS.items() for k in (0, -1)]

#: Compared for a backward pass through the update (``differentiable=True``).
DIFFERENTIABLE = ["ASGD", "Adadelta", "Adagrad", "Adam", "NAdam", "RAdam", "RMSprop", "SGD"]

#: Functions that LBFGS minimises, of a vector and a matrix.
LBFGS_FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "quadratic": lambda x, y: ((x - 1) ** 2).sum() + 10 * (y * y).sum() + (x[0] * y[1]).sum(),
    "rosenbrock": lambda x, y: (
        (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum() + (y**4).sum()
    ),
    "logistic": lambda x, y: (
        (1 + (-3 * x - 1).exp()).log().sum() + 0.1 * (x * x).sum() + (y.sum() - 2) ** 2
    ),
}

#: Schedules as functions of the ``lr_scheduler`` module and the optimizer.
SCHEDULES: dict[str, Callable[[Any, Any], Any]] = {
    "lambda": lambda s, o: s.LambdaLR(o, lambda e: 0.95**e),
    "lambda_list": lambda s, o: s.LambdaLR(o, [lambda e: 1 / (e + 1), lambda e: 0.9**e]),
    "multiplicative": lambda s, o: s.MultiplicativeLR(o, lambda e: 0.99),
    "step": lambda s, o: s.StepLR(o, 30, gamma=0.5),
    "multistep": lambda s, o: s.MultiStepLR(o, [10, 50, 50, 120], gamma=0.3),
    "constant": lambda s, o: s.ConstantLR(o, factor=0.5, total_iters=40),
    "linear": lambda s, o: s.LinearLR(o, start_factor=0.1, end_factor=0.9, total_iters=70),
    "linear_to_zero": lambda s, o: s.LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=50),
    "exponential": lambda s, o: s.ExponentialLR(o, 0.97),
    "polynomial": lambda s, o: s.PolynomialLR(o, total_iters=100, power=2.0),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, T_max=30, eta_min=1e-4),
    "cosine_long": lambda s, o: s.CosineAnnealingLR(o, T_max=200),
    "restarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, T_0=10, T_mult=2, eta_min=1e-5),
    "restarts_equal": lambda s, o: s.CosineAnnealingWarmRestarts(o, T_0=15),
    "onecycle": lambda s, o: s.OneCycleLR(o, max_lr=0.5, total_steps=200),
    "onecycle_linear": lambda s, o: s.OneCycleLR(
        o,
        max_lr=[0.5, 0.2],
        epochs=10,
        steps_per_epoch=20,
        anneal_strategy="linear",
        three_phase=True,
        pct_start=0.4,
    ),
    "onecycle_momenta": lambda s, o: s.OneCycleLR(
        o, max_lr=0.5, total_steps=200, base_momentum=[0.7, 0.8], max_momentum=[0.9, 0.99]
    ),
    "onecycle_plain": lambda s, o: s.OneCycleLR(o, 0.5, total_steps=200, cycle_momentum=False),
    "cyclic": lambda s, o: s.CyclicLR(o, 0.01, 0.1, step_size_up=20),
    "cyclic2": lambda s, o: s.CyclicLR(
        o, 0.01, 0.1, step_size_up=10, step_size_down=25, mode="triangular2"
    ),
    "cyclic_exp": lambda s, o: s.CyclicLR(
        o, 0.01, 0.1, step_size_up=10, mode="exp_range", gamma=0.99
    ),
    "cyclic_fn": lambda s, o: s.CyclicLR(
        o, 0.01, 0.1, step_size_up=10, scale_fn=lambda x: 0.5**x, scale_mode="cycle"
    ),
    "cyclic_momenta": lambda s, o: s.CyclicLR(
        o, [0.01, 0.02], [0.1, 0.2], 10, base_momentum=[0.5, 0.6], max_momentum=[0.9, 0.8]
    ),
    "cyclic_plain": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 10, cycle_momentum=False),
    "sequential": lambda s, o: s.SequentialLR(
        o,
        [s.LinearLR(o, 0.1, total_iters=20), s.CosineAnnealingLR(o, 100), s.ExponentialLR(o, 0.9)],
        [20, 120],
    ),
    "sequential_nested": lambda s, o: s.SequentialLR(
        o,
        [
            s.SequentialLR(o, [s.ExponentialLR(o, 0.9), s.StepLR(o, 5, 0.5)], [15]),
            s.ConstantLR(o, 0.1, total_iters=10),
        ],
        [30],
    ),
    "sequential_restarts": lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, 0.1, total_iters=10), s.CosineAnnealingWarmRestarts(o, 20)], [10]
    ),
    "chained": lambda s, o: s.ChainedScheduler(
        [s.ConstantLR(o, factor=0.1, total_iters=20), s.ExponentialLR(o, gamma=0.98)]
    ),
    "chained_three": lambda s, o: s.ChainedScheduler(
        [
            s.LinearLR(o, 0.5, total_iters=7),
            s.MultiStepLR(o, [30, 60], 0.5),
            s.MultiplicativeLR(o, lambda e: 0.995),
        ]
    ),
}

#: Options of ``ReduceLROnPlateau``, which is stepped with a metric.
PLATEAUS: list[Options] = [
    {},
    {"mode": "max"},
    {"threshold_mode": "abs", "threshold": 0.05},
    {"patience": 2, "cooldown": 3, "factor": 0.5},
    {"min_lr": [0.01, 0.02], "patience": 1},
    {"mode": "max", "threshold_mode": "abs", "patience": 0},
]
