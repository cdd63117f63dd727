"""Documentation is run: programs and doctests of the Markdown pages, doctests of the docstrings."""

import doctest
import importlib
import pkgutil
import re
import runpy
import sys
from pathlib import Path

import pytest

import fusegrad

ROOT = Path(__file__).resolve().parent.parent
sys.modules.setdefault("fusegrad_docs_tool", type(sys)("fusegrad_docs_tool"))
DOCS = runpy.run_path(str(ROOT / "tools" / "docs.py"), run_name="fusegrad_docs_tool")
MODULES = sorted(
    m.name
    for m in pkgutil.walk_packages(fusegrad.__path__, "fusegrad.")
    if not m.name.endswith("__main__") and ".bench" not in m.name
)
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")


@pytest.mark.parametrize("page", DOCS["PAGES"], ids=lambda p: p.name)
def test_page(page):
    wrong = [r for r in DOCS["run_page"](page) if not r.same]
    text = "\n".join(f"{r.name}\nexpected:\n{r.expected}\ngot:\n{r.got}" for r in wrong)
    assert not wrong, f"{text}\nrun python tools/docs.py --update"


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=DOCS["FLAGS"])
    assert result.failed == 0


@pytest.mark.parametrize("page", DOCS["PAGES"], ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in LINK.findall(page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_readme_leads_the_way():
    text = (ROOT / "README.md").read_text()
    for word in ("make demo", "make test", "pip install", "## Limits", "<!-- measured -->"):
        assert word in text
