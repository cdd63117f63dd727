"""docs/optimizers.md counts the cases that tests run, and every optimizer and schedule has some."""

import ast
import runpy
from pathlib import Path

import optimizer_cases as cases

import fusegrad as fg

ROOT = Path(__file__).resolve().parent.parent
TOOL = runpy.run_path(str(ROOT / "tools" / "optimizer_docs.py"))
TESTS = [
    ROOT / "tests" / name
    for name in (
        "torch_parity/test_optim.py",
        "torch_parity/test_lbfgs.py",
        "torch_parity/test_schedulers.py",
        "optim/test_jit.py",
    )
]


def test_page_is_current():
    assert TOOL["PAGE"].read_text() == TOOL["page"](), "run python tools/optimizer_docs.py"


def test_every_optimizer_has_cases():
    public = {n for n in fg.optim.__all__ if n not in ("Optimizer", "lr_scheduler", "swa_utils")}
    assert public == {*cases.OPTIONS, "LBFGS"}


def test_every_schedule_has_cases():
    used = TOOL["_schedules"]()
    assert {n for n in fg.optim.lr_scheduler.__all__ if n != "LRScheduler"} == set(used)


def test_the_lists_are_what_tests_run_over():
    """Each list is named in a ``parametrize`` of the comparison tests."""
    named = set()
    for path in TESTS:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.parametrize":
                named |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    wanted = {"CASES", "COMPILED", "ENDS", "OPTIONS", "DIFFERENTIABLE", "LBFGS_OPTIONS"}
    assert wanted | {"LBFGS_FUNCTIONS", "SCHEDULES", "PLATEAUS"} <= named
