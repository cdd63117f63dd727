"""Run the programs of the Markdown pages and compare, or with ``--update`` rewrite, their output.

Two kinds of text are produced by running it. A fenced block after ``<!-- file: NAME -->`` is a
program, the block after ``<!-- prints: NAME -->`` what it prints. Lines with ``>>>`` are doctests;
they see the names of the page's programs. ``tests/test_docs.py`` uses the same functions.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import linecache
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusegrad.ir.primitive import REGISTRY

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"<!-- (file|prints): (\S+) -->\n```\w*\n(.*?)```", re.S)
NUMBER = re.compile(r"-?\d+\.?\d*(?:e[+-]?\d+)?")
# Lines about this machine and this run: only what they are about is compared.
VARYING = re.compile(r"^\s*(compile time|kernel cache|memory peak|peak)\b.*$", re.M)
SIZES = re.compile(r"^(\s*\d+\. \w+): .*$", re.M)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
TOLERANCE = 2e-3


@dataclass
class Result:
    """One piece of produced text: where it stands, what the page says and what came out."""

    start: int
    end: int
    name: str
    expected: str
    got: str
    same: bool


class _Recorder(doctest.DocTestRunner):
    """Keeps what every example printed."""

    def __init__(self) -> None:
        super().__init__(optionflags=FLAGS, verbose=False)
        self.found: list[tuple[doctest.Example, str, bool]] = []

    def report_start(self, out: Any, test: Any, example: Any) -> None:
        """Say nothing."""

    def report_success(self, out: Any, test: Any, example: Any, got: str) -> None:
        """Note the output."""
        self.found.append((example, got, True))

    def report_failure(self, out: Any, test: Any, example: Any, got: str) -> None:
        """Note the output."""
        self.found.append((example, got, alike(example.want, got)))

    def report_unexpected_exception(self, out: Any, test: Any, example: Any, info: Any) -> None:
        """Note the exception."""
        self.found.append((example, f"{info[0].__name__}: {info[1]}\n", False))


def masked(text: str) -> str:
    """``text`` without what depends on the machine and the run."""
    text = VARYING.sub(r"\1", text)
    return SIZES.sub(r"\1", text).strip()


def alike(expected: str, got: str) -> bool:
    """Equal but for sizes and times; other numbers to rounding."""
    a, b = masked(expected), masked(got)
    if [NUMBER.sub("#", x).split() for x in a.splitlines()] != [
        NUMBER.sub("#", x).split() for x in b.splitlines()
    ]:
        return False
    pairs = zip(map(float, NUMBER.findall(a)), map(float, NUMBER.findall(b)), strict=True)
    return all(abs(x - y) <= TOLERANCE * max(1.0, abs(x)) for x, y in pairs)


def run_page(path: Path) -> list[Result]:
    """Everything a page says that running it says too, in order."""
    known = dict(REGISTRY)
    try:
        return _run_page(path)
    finally:  # a page may declare a primitive
        REGISTRY.clear()
        REGISTRY.update(known)


def _run_page(path: Path) -> list[Result]:
    text = path.read_text(encoding="utf-8")
    scope: dict[str, Any] = {"__name__": "__main__"}
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as folder:
        printed: dict[str, str] = {}
        for match in BLOCK.finditer(text):
            kind, name, body = match.groups()
            if kind == "file":
                printed[name] = _run_file(Path(folder, name), body, scope)
            else:
                got = printed[name]
                results.append(
                    Result(match.start(3), match.end(3), name, body, got, alike(body, got))
                )
        # fences and comments are no output
        plain = re.sub(r"^(```.*|<!--.*)$", lambda m: " " * 0, text, flags=re.M)
        test = doctest.DocTestParser().get_doctest(plain, scope, path.name, str(path), 0)
        recorder = _Recorder()
        if test.examples:
            recorder.run(test, clear_globs=False)
    lines = text.splitlines(keepends=True)
    for example, got, same in recorder.found:
        first = example.lineno + example.source.count("\n")
        start = sum(map(len, lines[:first]))
        end = start + sum(map(len, lines[first : first + example.want.count("\n")]))
        results.append(Result(start, end, example.source.strip(), example.want, got, same))
    return sorted(results, key=lambda r: r.start)


def _run_file(path: Path, body: str, scope: dict[str, Any]) -> str:
    path.write_text(body, encoding="utf-8")
    linecache.checkcache(str(path))
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(body, str(path), "exec"), scope)
    linecache.getlines(str(path))  # remembered after the folder is gone
    return out.getvalue()


def update(path: Path) -> int:
    """Rewrite what differs; returns the number of pieces."""
    text = path.read_text(encoding="utf-8")
    wrong = [r for r in run_page(path) if not r.same]
    for result in reversed(wrong):
        text = text[: result.start] + result.got + text[result.end :]
    if wrong:
        path.write_text(text, encoding="utf-8")
    return len(wrong)


def main(arguments: list[str]) -> int:
    """Compare or update the pages named, all without names."""
    names = [a for a in arguments if not a.startswith("-")]
    status = 0
    for path in [Path(n).resolve() for n in names] or PAGES:
        if "--update" in arguments:
            print(f"{path.relative_to(ROOT)}: {update(path)} pieces rewritten")
            continue
        for result in run_page(path):
            if not result.same:
                status = 1
                print(
                    f"{path.name}: {result.name}\nexpected:\n{result.expected}\ngot:\n{result.got}"
                )
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
