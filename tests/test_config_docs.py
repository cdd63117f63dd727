"""docs/configuration.md is what config.py says, and nothing else reads the environment."""

import ast
import runpy
from pathlib import Path

import pytest

from fusegrad import config

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "src" / "fusegrad").rglob("*.py"))


def test_page_is_current():
    tool = runpy.run_path(str(ROOT / "tools" / "config_docs.py"))
    assert tool["PAGE"].read_text() == tool["page"](), "run python tools/config_docs.py"


def test_at_most_a_dozen_settings():
    assert len(config.SETTINGS) <= 12


def test_every_setting_is_listed():
    declared = {v for v in vars(config).values() if isinstance(v, config.Setting)}
    assert declared == set(config.SETTINGS)


@pytest.mark.parametrize(
    "text, on",
    [("1", True), ("0", False), ("", False), ("no", False), ("false", False), ("yes", True)],
)
def test_flags(monkeypatch, text, on):
    monkeypatch.setenv("FUSEGRAD_VERIFY", text)
    assert config.VERIFY.flag() is on


def test_debug_topics(monkeypatch):
    monkeypatch.setenv("FUSEGRAD_DEBUG", "ir,time")
    assert config.debug("ir") and config.debug("time") and not config.debug("kernels")
    monkeypatch.setenv("FUSEGRAD_DEBUG", "all")
    assert config.debug("kernels")


def reads_environment(path):
    """Lines of a source file that look at the environment."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv"):
            yield node.lineno


def test_only_config_reads_the_environment():
    for path in SOURCES:
        # the benchmarks set the environment of processes they start
        if path.name != "config.py" and path.parent.name != "bench":
            lines = list(reads_environment(path))
            assert not lines, f"{path.name}:{lines} reads the environment; use config.py"
