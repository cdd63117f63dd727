"""Random programs: eager, jit and PyTorch agree on values, dtypes, shapes, errors and gradients.

The programs come from ``torch_programs.py``. A slice runs by default; ``-m fuzz`` runs all, from
``FUSEGRAD_FUZZ_SEEDS=START:STOP`` when it is set. ``python tests/torch_parity/test_fuzz_torch.py``
takes ``SEED`` (prints the program, shrunk if it fails) or ``START STOP`` (a progress line).
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))

import pytest
import torch
from torch_parity import torch_programs as fuzz
from torch_parity.torch_dtypes import WIDE

LONG = 12000
DEFAULT = (*range(12), *range(WIDE, WIDE + 10))
CHUNK = 50


def compiled(seed: int) -> bool:
    """Whether the program of a seed is also compiled; the others may do what jit must refuse."""
    return seed < WIDE or seed % 16 >= 4


def report(seed: int, failure: str) -> str:
    """The failure of a seed, with a smaller program that shows it."""
    smaller = fuzz.shrink(fuzz.draw(seed, compiled(seed)), compiled(seed))
    return f"seed {seed}: {failure}\n{smaller}\n=> {fuzz.fails(smaller, compiled(seed))}\n"


def failure_of(seed: int) -> str | None:
    """What differs in the program of a seed."""
    return fuzz.check(fuzz.draw(seed, compiled(seed)), compiled(seed))


@pytest.mark.parametrize("seed", DEFAULT)
def test_random_program(seed: int) -> None:
    failure = failure_of(seed)
    assert failure is None, report(seed, failure)


def chunks() -> list[int]:
    """First seeds of the chunks of the long suite."""
    start, stop = map(int, os.environ.get("FUSEGRAD_FUZZ_SEEDS", f"0:{LONG}").split(":"))
    return list(range(start, stop, CHUNK))


@pytest.mark.fuzz
@pytest.mark.parametrize("start", chunks())
def test_more_random_programs(start: int) -> None:
    failures = [(s, f) for s in range(start, start + CHUNK) if (f := failure_of(s)) is not None]
    assert not failures, "\n\n".join(report(*item) for item in failures)


def run(start: int, stop: int) -> None:
    """A range of seeds, with a progress line and a report of every failure."""
    begun, failed, refused = time.monotonic(), 0, 0
    for seed in range(start, stop):
        try:
            failure = failure_of(seed)
        except Exception as error:
            failure = f"the check itself: {type(error).__name__}: {error}"
        if failure is not None and failure.startswith("jit refuses"):
            refused += 1
        elif failure is not None:
            failed += 1
            print(f"\nseed {seed}: {failure}", flush=True)
        if seed % 50 == 49 or seed == stop - 1:
            rate = (seed + 1 - start) / (time.monotonic() - begun)
            done = f"{seed + 1 - start} programs to seed {seed}"
            print(f"{done}: {failed} fail, {refused} refused by jit, {rate:.1f}/s", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) == 2:
        chosen = int(sys.argv[1])
        problem = failure_of(chosen)
        print(fuzz.draw(chosen, compiled(chosen)) if problem is None else report(chosen, problem))
    else:
        run(int(sys.argv[1]), int(sys.argv[2]))
