"""The command line, in process where possible."""

import os
import re
import subprocess
import sys

import pytest

from fusegrad import cli
from fusegrad.ir.primitive import REGISTRY
from fusegrad.runtime import cache

PROGRAM = """
import sys
import fusegrad as fg

def main():
    @fg.jit
    def double(x):
        return (x * 2).sum()
    print("result", double(fg.ones(3)).item(), sys.argv[1:])

if __name__ == "__main__":
    main()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A kernel cache of its own."""
    monkeypatch.setenv("FUSEGRAD_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


@pytest.fixture
def program(folder):
    path = folder / "program.py"
    path.write_text(PROGRAM)
    return path


def test_info(folder, capsys):
    assert cli.main(["info"]) == 0
    text = capsys.readouterr().out
    for word in (
        "python",
        "numpy",
        "numba",
        "CPU",
        "threads",
        "cache entries",
        "FUSEGRAD_JIT",
        "default",
    ):
        assert word in text
    assert "cache" in text and "0 (0 B of" in text


def test_cache_commands(folder, capsys):
    disk = cache.current()
    disk.write("good", b"payload")
    (folder / "cache" / "bad.fgo").write_bytes(b"not an object")
    assert cli.main(["cache", "info"]) == 0
    assert "2 (" in capsys.readouterr().out
    assert cli.main(["cache", "doctor"]) == 1
    assert "entries intact: 1, damaged and deleted: 1" in capsys.readouterr().out
    assert cli.main(["cache", "doctor"]) == 0
    assert cli.main(["cache", "clear"]) == 0
    assert disk.info().entries == 0


def test_explain_runs_the_file(program, capsys):
    assert cli.main(["explain", f"{program}:double", "one", "two"]) == 0
    text = capsys.readouterr().out
    assert "result 6.0 ['one', 'two']" in text
    assert "double: 1 trace" in text and "Captured graph" in text
    assert re.search(r"program\.py:\d+", text)


def test_explain_summary(program, capsys):
    assert cli.main(["explain", "--summary", f"{program}:double"]) == 0
    assert "Captured graph" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "target, code, message",
    [
        ("program.py", 2, "expected FILE.py:FUNCTION"),
        ("nowhere.py:step", 2, "there is no file nowhere.py"),
    ],
)
def test_explain_mistakes(folder, capsys, target, code, message):
    assert cli.main(["explain", target]) == code
    assert message in capsys.readouterr().err


def test_explain_unknown_function(program, capsys):
    assert cli.main(["explain", f"{program}:other"]) == 1
    assert "no jitted function other was called; called: double" in capsys.readouterr().err


def test_explain_leaves_the_process_as_it_was(program):
    before = list(sys.path), list(sys.argv)
    cli.main(["explain", f"{program}:double"])
    assert before == (list(sys.path), list(sys.argv))


def test_bench_is_registered(capsys):
    assert cli.main(["bench", "list"]) == 0
    assert capsys.readouterr().out


def test_no_command_is_an_error(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([])
    assert stop.value.code == 2


def test_module_entry_point(folder):
    done = subprocess.run(
        [sys.executable, "-m", "fusegrad", "cache", "info"],
        capture_output=True,
        text=True,
        env=dict(os.environ),
    )
    assert done.returncode == 0 and "cache entries" in done.stdout, done.stderr


def test_info_ops_lists_every_primitive(folder, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    assert cli.main(["info", "--ops"]) == 0
    text = capsys.readouterr().out
    rows = {line.split("│")[1].strip(): line for line in text.splitlines() if "│" in line}
    assert set(REGISTRY) <= set(rows)
    for name, way in (("add", "native"), ("conv", "native"), ("svd", "host")):
        assert f" {way} " in rows[name]
    hosted = [p for p in REGISTRY.values() if p.runs_as == "host"]
    assert f"{len(hosted)} host" in text and all(p.kind == "host" for p in hosted)
