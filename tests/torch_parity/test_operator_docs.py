"""docs/operators.md is what the functions do: a slice of its rows is measured again."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
TOOL = runpy.run_path(str(ROOT / "tools" / "operator_docs.py"))
ROWS = {
    line.split("`")[1]: line
    for line in TOOL["PAGE"].read_text(encoding="utf-8").splitlines()
    if line.startswith("| `")
}


def test_every_function_has_a_row() -> None:
    assert sorted(ROWS) == TOOL["offered"](), "run python tools/operator_docs.py"


@pytest.mark.parametrize("name", sorted(ROWS)[::47])
def test_row_is_current(name: str) -> None:
    assert ROWS[name] == TOOL["row"](name), "run python tools/operator_docs.py"


@pytest.mark.fuzz
@pytest.mark.parametrize("name", sorted(ROWS))
def test_every_row_is_current(name: str) -> None:
    assert ROWS[name] == TOOL["row"](name), "run python tools/operator_docs.py"
