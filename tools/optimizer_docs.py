"""Write ``docs/optimizers.md`` from the lists that the comparison tests run over.

A row says what is compared, because the tests take their cases from the same lists
(``tests/optimizer_cases.py``); ``tests/test_optimizer_docs.py`` keeps the page current.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import optimizer_cases as cases  # noqa: E402

import fusegrad as fg  # noqa: E402

PAGE = ROOT / "docs" / "optimizers.md"

HEAD = """# Optimizers and schedules

Names, arguments, defaults, state dictionaries and numbers are those of `torch.optim`. What the
tests compare with PyTorch is counted below. This page is generated from their lists of cases:
`python tools/optimizer_docs.py`.

An optimizer's `step()` is one compiled program over all parameters; called inside a function under
`@fg.jit` it is fused with the rest of the step. A schedule changes numbers that the program reads
from memory and never causes a new trace.

| optimizer | eager | compiled and jit | state handed over | differentiable | options compared |
|---|---|---|---|---|---|
"""

MIDDLE = """
- *eager*: combinations of options whose trajectories equal PyTorch's over 100 steps in float64, to
  10 digits, with the state and the representation at the end. `pytest -m fuzz` runs all; a plain
  run takes a part in which every pair of option values is, and half of the next column.
- *compiled and jit*: combinations that do so as one compiled update of an eager step, and as part
  of a jitted step that is traced once; every pair of option values is among them.
- *state handed over*: trajectories that continue after a state dictionary was handed from
  PyTorch to fusegrad, from fusegrad to PyTorch and from fusegrad to itself midway.
- *differentiable*: whether a backward pass through `differentiable=True` updates is compared.
- All of them also run with groups that have options of their own, gradients that come and go,
  options changed on the way, in float32, and with the learning rate in a tensor.
- LBFGS runs outside jitted functions, its closure may be jitted. {functions} functions are
  minimised; what its line search amplifies is measured against PyTorch started an ulp away.
- Muon is compared with PyTorch's without the rounding to `bfloat16`.

| schedule | compared | one trace under jit | state handed over |
|---|---|---|---|
"""

FOOT = """
- *compared*: uses whose learning rates, momenta and betas equal PyTorch's at each of 200 steps, by
  SGD and by Adam; alone or as part of a `SequentialLR` or `ChainedScheduler`.
- *one trace under jit*: uses that train a jitted step for 30 steps or more with one trace.
- *state handed over*: uses that go on from the state dictionary of the other library, both ways.
"""


class _Recorder:
    """The scheduler module, noting which classes a case constructs."""

    def __init__(self) -> None:
        self.used: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.used.add(name)
        return getattr(fg.optim.lr_scheduler, name)


def _schedules() -> Counter[str]:
    """Number of cases by class."""
    total: Counter[str] = Counter({"ReduceLROnPlateau": len(cases.PLATEAUS)})
    for make in cases.SCHEDULES.values():
        params = [fg.nn.Parameter(fg.zeros(1)) for _ in range(2)]
        optimizer = fg.optim.SGD([{"params": [p], "lr": 0.1} for p in params], momentum=0.9)
        recorder = _Recorder()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # schedules are stepped before the optimizer here
            make(recorder, optimizer)
        total.update(recorder.used)
    return total


def _options(listed: list[dict[str, Any]]) -> str:
    """The options that take more than one value."""
    names = [k for k in listed[0] if len({str(o[k]) for o in listed}) > 1]
    return ", ".join(f"`{name}`" for name in names)


def page() -> str:
    """The text of the page."""
    rows = []
    for name in sorted([*cases.OPTIONS, "LBFGS"], key=str.lower):
        if name == "LBFGS":
            count = len(cases.LBFGS_OPTIONS)
            numbers = [f"{count}", f"{count} (jitted closure)", "2", "no"]
            listed = cases.LBFGS_OPTIONS
        else:
            listed = cases.OPTIONS[name]
            compiled = sum(n == name for n, _ in cases.COMPILED)
            ends = sum(n == name for n, _ in cases.ENDS)
            recorded = "yes" if name in cases.DIFFERENTIABLE else "no"
            numbers = [str(len(listed)), str(compiled), str(ends), recorded]
        rows.append(f"| `{name}` | " + " | ".join(numbers) + f" | {_options(listed)} |\n")
    used = _schedules()
    schedules = []
    for name in sorted(fg.optim.lr_scheduler.__all__, key=str.lower):
        if name != "LRScheduler":
            schedules.append(f"| `{name}` |" + f" {used[name]} |" * 3 + "\n")
    middle = MIDDLE.format(functions=len(cases.LBFGS_FUNCTIONS))
    return HEAD + "".join(rows) + middle + "".join(schedules) + FOOT


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
