"""Who may import whom: the layers of the package, read from the imports themselves."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

import fusegrad

ROOT = Path(fusegrad.__file__).parent
LAYERS = (
    ("errors", "config", "dtypes", "vecmath"),
    ("ir",),
    ("ops",),
    ("trace", "transform", "passes"),
    ("schedule",),
    ("codegen",),
    ("runtime",),
    (
        "viewpath",
        "tensor",
        "loopbody",
        "loops",
        "branches",
        "autograd",
        "linalg",
        "functions",
        "guards",
        "traced",
        "fastcall",
        "api",
        "nn",
        "optim",
        "serialization",
        "special",
        "utils",
        "vision",
        "signal",
        "fft",
        "stft",
        "special",
        "explain",
        "views",
        "dump",
        "replay",
        "cuda",
        "__init__",
    ),
    ("testing", "debug", "bench", "cli", "__main__"),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def area(path: Path) -> str:
    """First component of a module below the package."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@functools.cache
def imports(path: Path) -> list[tuple[int, str, bool]]:
    """``(line, absolute module, whether it is only for the type checker)`` of a file's imports."""
    package = ("fusegrad", *path.relative_to(ROOT).parts[:-1])
    tree = ast.parse(path.read_text())
    typing_only = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.walk(node)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, n.name, node in typing_only) for n in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = (
                [module]
                if node.module and module != "fusegrad"
                else [f"{module}.{n.name}" for n in node.names]
            )
            found += [(node.lineno, name, node in typing_only) for name in names]
    return found


def edges(path: Path) -> list[str]:
    """The imports of a file that go to the right."""
    here = area(path)
    wrong = []
    for line, module, typing_only in imports(path):
        parts = module.split(".")
        if parts[0] != "fusegrad" or typing_only:
            continue
        there = parts[1] if len(parts) > 1 and parts[1] in RANK else "__init__"
        if RANK[there] > RANK[here]:
            wrong.append(f"{path.relative_to(ROOT)}:{line} ({here}) imports {module} ({there})")
    return wrong


FILES = sorted(p for p in ROOT.rglob("*.py"))


def test_every_module_has_a_layer() -> None:
    assert {area(p) for p in FILES} <= set(RANK), {area(p) for p in FILES} - set(RANK)


def test_modules_import_from_their_layer_or_from_the_left() -> None:
    wrong = [edge for path in FILES for edge in edges(path)]
    assert not wrong, "\n".join(wrong)


def test_only_the_runtime_knows_the_compiler() -> None:
    wrong = [
        f"{p.relative_to(ROOT)}:{line} imports {module}"
        for p in FILES
        for line, module, _ in imports(p)
        if module.split(".")[0] == "numba" and area(p) != "runtime"
    ]
    assert not wrong, "\n".join(wrong)


def test_importing_fusegrad_imports_no_compiler() -> None:
    import subprocess
    import sys

    code = (
        "import fusegrad, sys; "
        "print([m for m in ('numba', 'torch', 'jax', 'rich') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT.parent)},
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("place", "text", "found"),
    [
        ("ops/x.py", "from ..schedule.index import Ix", 1),
        ("ops/x.py", "from ..ir import aval", 0),
        ("ir/x.py", "import fusegrad.tensor", 1),
        ("codegen/x.py", "from .. import tensor", 1),
        ("runtime/x.py", "from ..codegen import tiles\nfrom .. import vecmath", 0),
    ],
)
def test_the_reader_of_imports_sees_them(place: str, text: str, found: int, tmp_path: Path) -> None:
    globals()["ROOT"], before = tmp_path, ROOT
    try:
        file = tmp_path / place
        file.parent.mkdir(parents=True)
        file.write_text(text)
        assert len(edges(file)) == found
    finally:
        globals()["ROOT"] = before
