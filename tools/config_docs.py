"""Write ``docs/configuration.md`` from ``config.SETTINGS``; a test compares the two."""

from __future__ import annotations

from pathlib import Path

from fusegrad.config import SETTINGS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"

HEAD = """# Configuration

All settings are environment variables, read when they are used, and all are declared in
`src/fusegrad/config.py`. This page is generated: `python tools/config_docs.py`.

| variable | default | meaning |
|---|---|---|
"""

FOOT = """
What a program can set itself: `fg.set_num_threads(n)`, `@fg.jit(keep_grads=True)`,
`@fg.jit(static_argnames=...)`, `fg.manual_seed(n)`, `fg.set_default_dtype(dtype)`.

`FUSEGRAD_DEBUG` takes one or more of these names, or `all`:

| name | printed to stderr for every trace |
|---|---|
| `trace` | the signature and why a trace was made |
| `ir` | the captured and the optimised graph |
| `fusion` | the kernels, with a sentence for each join and refusal |
| `kernels` | the generated Python text |
| `cache` | how many kernels were compiled, read from disk, already there; damaged entries |
| `time` | seconds by stage |
"""


def page() -> str:
    """The text of the page."""
    rows = [
        f"| `{s.name}` | {f'`{s.default}`' if s.default else 'not set'} | {s.doc} |"
        for s in SETTINGS
    ]
    return HEAD + "\n".join(rows) + "\n" + FOOT


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
