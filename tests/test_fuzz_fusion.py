"""Random programs: a fused program computes what eager computes, gradients and state included.

The programs come from ``fuzz_programs.py``. A bounded slice runs by default, ``-m fuzz`` runs the
rest. To look at one: ``python tests/test_fuzz_fusion.py SEED`` prints it, shrunk if it fails.
"""

from __future__ import annotations

import sys

import fuzz_programs as fuzz
import pytest

DEFAULT = 60
LONG = 2000
CHUNK = 50

# Programs that once failed, kept because the slice below may draw others when operations change.
REGRESSIONS = {
    "gather of a value made in the same kernel": fuzz.Program(
        0,
        "float64",
        (((1, 8), "dense", "argument", False),),
        (("div", (0, 0), ()), ("take", (1,), (0, (0, 0)))),
        (2,),
        "forward",
    ),
    "merge of permuted axes": fuzz.Program(
        0,
        "float64",
        (((8, 3, 4), "dense", "argument", False),),
        (("permute", (0,), (2, 0, 1)), ("reshape", (1,), (32, 3))),
        (2,),
        "forward",
    ),
    "reduction that ends in an alias": fuzz.Program(
        0,
        "float64",
        (((4, 5), "dense", "argument", False),),
        (("reduce", (0,), ("amin", (0,), False)), ("pad", (1,), ((0, 0), 0.0))),
        (2,),
        "forward",
    ),
    "maximum of a recomputed value": fuzz.Program(
        0,
        "float64",
        (((7,), "dense", "argument", True),),
        (("take", (0,), (0, (5, 4, 2, 3))), ("gather", (1,), (0,))),
        (2,),
        "grad",
    ),
    "gradient of a gather as an output": fuzz.Program(
        0,
        "float64",
        (((4, 7), "dense", "argument", True),),
        (("take", (0,), (1, (6, 0, 0))),),
        (1,),
        "grad",
    ),
    "refused join": fuzz.Program(
        0,
        "float64",
        (((3, 5, 5, 1), "dense", "argument", False),),
        (
            ("view_inplace", (0,), ((None,) * 3, (3, 5, 2), (None,) * 3, 0)),
            ("reduce", (1,), ("norm", (0, 1, 2, 3), False)),
            ("permute", (1,), (0, 3, 1, 2)),
            ("sub", (3, 1), ()),
        ),
        (2, 4),
        "forward",
    ),
    "epilogue of a row times a matrix": fuzz.Program(
        0,
        "float64",
        (((3, 33, 3), "dense", "argument", False), ((1, 33), "dense", "argument", False)),
        (("full_like", (0,), (1.75,)), ("matmul", (1, 2), ())),
        (3,),
        "forward",
    ),
    "change of a flipped tensor's source": fuzz.Program(
        0,
        "float64",
        (((2, 3), "dense", "argument", False), ((2, 1), "dense", "argument", False)),
        (("flip", (0,), (0,)), ("inplace", (0, 1), ("sub_",))),
        (2,),
        "forward",
    ),
    "reshape that copies, then a change": fuzz.Program(
        0,
        "float64",
        (((5, 4), "transposed", "argument", False),),
        (("reshape", (0,), (20,)), ("view_inplace", (1,), ((None,) * 3,))),
        (2,),
        "forward",
    ),
    "reshape that copies a traced value": fuzz.Program(
        0,
        "float64",
        (((5, 4), "dense", "state", False),),
        (
            ("permute", (0,), (1, 0)),
            ("reshape", (1,), (20,)),
            ("view_inplace", (2,), ((None,) * 3,)),
        ),
        (3,),
        "forward",
    ),
    "reshape of nothing": fuzz.Program(
        0,
        "float64",
        (((3, 7, 0), "dense", "argument", False),),
        (("reshape", (0,), (3, 7, 0, 1)), ("reduce", (1,), ("sum", (2,), False))),
        (2,),
        "forward",
    ),
}


def report(program: fuzz.Program, failure: str) -> str:
    """The failure with the program that shows it."""
    smaller = fuzz.shrink(program)
    return f"{failure}\n\n{smaller}\n=> {fuzz.fails(smaller)}"


@pytest.mark.parametrize("name", REGRESSIONS)
def test_programs_that_once_failed(name: str) -> None:
    failure = fuzz.check(REGRESSIONS[name])
    assert failure is None, failure


@pytest.mark.parametrize("seed", range(DEFAULT))
def test_random_program(seed: int) -> None:
    program = fuzz.draw(seed)
    failure = fuzz.check(program)
    assert failure is None, report(program, failure)


@pytest.mark.fuzz
@pytest.mark.parametrize("start", range(DEFAULT, LONG, CHUNK))
def test_more_random_programs(start: int) -> None:
    failures = []
    for seed in range(start, start + CHUNK):
        program = fuzz.draw(seed)
        failure = fuzz.fails(program)
        if failure is not None:
            failures.append(f"seed {seed}: {report(program, failure)}")
    assert not failures, "\n\n".join(failures)


def test_the_checker_notices_a_wrong_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fuzzer that cannot fail is worth nothing: break one scalar expression and look."""
    from fusegrad.ops import transcendental

    object.__setattr__(transcendental.tanh, "scalar", "tanh({0}) + 1")
    try:
        program = fuzz.Program(
            0,
            "float64",
            (((5,), "dense", "argument", False),),
            (("tanh", (0,), ()),),
            (1,),
            "forward",
        )
        assert "differs by 1" in str(fuzz.check(program))
        assert fuzz.shrink(program).steps == program.steps
    finally:
        object.__setattr__(transcendental.tanh, "scalar", "tanh({0})")


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        drawn = fuzz.draw(int(argument))
        problem = fuzz.fails(drawn)
        print(drawn if problem is None else report(drawn, problem))
