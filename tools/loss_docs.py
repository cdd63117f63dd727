"""Write ``docs/losses.md`` from the table of loss cases; a test compares the two."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "losses.md"
sys.path.insert(0, str(ROOT / "tests"))

from loss_cases import LOSSES, Loss, class_name  # noqa: E402

HEAD = """# Losses

Every loss, and what its tests compare. A row is one class of `fusegrad.nn` and its function in
`fusegrad.nn.functional`; arguments, defaults and errors are PyTorch's, the deprecated
`size_average` and `reduce` included. This page is generated from `tests/loss_cases.py`:
`python tools/loss_docs.py`.

- *forward*: equal to PyTorch in `float64` for every option, operand shape and reduction listed,
  and in `float32` to rounding.
- *gradient by*: equal to PyTorch's, for these operands.
- *second order*: derivatives of the gradient, equal to PyTorch's; *differences* where PyTorch has
  none (some or all of its formulas are missing): equal to central differences of the gradient.
- *jit*: value, gradient and second derivatives under `@fg.jit` equal eager ones.

| class | function | options | reductions | forward | gradient by | second order | jit |
|---|---|---|---|---|---|---|---|
"""

FOOT = """
Class indices that a traced step cannot check give `nan` instead of an error. A loss of your own is
any function of tensors, or an `nn.Module` with a `forward`: see `examples/custom_loss_function.py`.
Losses of boxes (IoU, GIoU, DIoU, CIoU) and the sigmoid focal loss are in `fusegrad.vision.ops`.
"""


def row(loss: Loss) -> str:
    """One line of the table."""
    detail = loss.name.removeprefix(class_name(loss))
    cells = [
        f"`{class_name(loss)}`{detail}",
        f"`{loss.function}`",
        ", ".join(f"`{o}`" for o in loss.options),
        ", ".join(loss.reductions),
        f"{len(loss.cases)} cases",
        ", ".join(loss.by),
        loss.second,
        "yes",
    ]
    return "| " + " | ".join(cells) + " |"


def page() -> str:
    """The text of the page."""
    return HEAD + "\n".join(map(row, LOSSES)) + "\n" + FOOT


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
