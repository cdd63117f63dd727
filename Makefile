# Two commands do everything on a fresh machine with Python 3.10 or newer: make demo, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test bench lint docs clean

$(VENV)/.ready: pyproject.toml
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -e ".[test,demo,lint]"
	touch $@

demo: $(VENV)/.ready
	$(BIN)/python examples/digits.py

test: $(VENV)/.ready
	$(BIN)/python -m pytest -q -n auto --dist worksteal

bench: $(VENV)/.ready
	$(BIN)/fusegrad bench run --against eager,torch,torch_compile,jax

lint: $(VENV)/.ready
	$(BIN)/ruff check src tests benchmarks examples tools
	$(BIN)/mypy

docs: $(VENV)/.ready
	$(BIN)/python tools/docs.py --update
	$(BIN)/python tools/config_docs.py

clean:
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache
