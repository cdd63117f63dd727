"""Write ``docs/modules.md`` from the table of module cases; a test compares the two."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "modules.md"
sys.path.insert(0, str(ROOT / "tests"))

from module_cases import SECTIONS  # noqa: E402

HEAD = """# Modules

Every module of `fusegrad.nn` besides the losses ([losses](losses.md)) and containers, and what its
tests compare. Arguments, defaults and representations are PyTorch's. This page is generated from
`tests/module_cases.py`: `python tools/module_docs.py`.

- *forward*, *gradients*: equal to PyTorch in `float64`, gradients of inputs and parameters.
- *second order*: derivatives of the gradients equal PyTorch's; no where PyTorch has none.
- *jit*: outputs and gradients under `@fg.jit` equal eager ones.
- *state_dict*: its keys are PyTorch's, and PyTorch's values load.
- *eval* marks what draws random numbers in training: it is compared in evaluation mode here, and
  its draws under jit with the eager ones elsewhere.

| module | forward | gradients | second order | jit | state_dict |
|---|---|---|---|---|---|
"""


def page() -> str:
    """The text of the page."""
    rows = []
    for title, cases in SECTIONS.items():
        rows.append(f"| **{title}** | | | | | |")
        for case in cases:
            mark = "yes" if case.training else "eval"
            second = mark if case.second else "no"
            rows.append(f"| `{case.name}` | {mark} | {mark} | {second} | {mark} | yes |")
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
