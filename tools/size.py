"""The scoreboard of the source tree: lines, files and functions over budget, primitives, settings.

Run ``python tools/size.py``; ``--check`` exits with 1 when a file or function is over its budget.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "fusegrad"
FILE_LINES, FUNCTION_LINES = 500, 60


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, int]]:
    """Qualified name and number of lines of every function."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno is not None
            yield prefix + node.name, node.end_lineno - node.lineno + 1
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield from functions(node, f"{prefix}{node.name}.")


def main(arguments: list[str]) -> int:
    """Print the tables."""
    by_folder: dict[str, list[int]] = {}
    over: list[str] = []
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        lines = len(text.splitlines())
        relative = path.relative_to(SOURCE)
        folder = relative.parts[0] if len(relative.parts) > 1 else "(top)"
        by_folder.setdefault(folder, []).append(lines)
        if lines > FILE_LINES:
            over.append(f"{relative}: {lines} lines")
        for name, length in functions(ast.parse(text)):
            if length > FUNCTION_LINES:
                over.append(f"{relative}: {name} has {length} lines")
    print(f"{'folder':<12}{'files':>6}{'lines':>8}{'largest':>9}")
    for folder, counts in sorted(by_folder.items()):
        print(f"{folder:<12}{len(counts):>6}{sum(counts):>8}{max(counts):>9}")
    every = [n for counts in by_folder.values() for n in counts]
    print(f"{'all':<12}{len(every):>6}{sum(every):>8}{max(every):>9}")
    sys.path.insert(0, str(SOURCE.parent))
    from fusegrad import config
    from fusegrad.ir.primitive import REGISTRY

    print(f"\n{len(REGISTRY)} primitives, {len(config.SETTINGS)} settings")
    print(f"over budget ({FILE_LINES} lines a file, {FUNCTION_LINES} a function): {len(over)}")
    for line in over:
        print(f"  {line}")
    return 1 if over and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
