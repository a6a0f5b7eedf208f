# `make demo` and `make test` set everything up first; a second run installs nothing.
PYTHON ?= python3
BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt

.PHONY: demo test check format clean
.DELETE_ON_ERROR:

demo: .venv/core ## train, evaluate, deploy on the virtual rig, replay; results under outputs/demo/
	$(BIN)/python -m inhand.demo

test: .venv/dev ## all tests
	$(BIN)/python -m pytest

check: .venv/dev ## style, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports --no-logo

format: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## caches and the environment; what you made under outputs/ stays
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "inhand needs Python 3.11 or newer; try: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "Python cannot make environments here; try: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .venv

# The stamps are touched last, so an installation that was cut short is taken up again.
.venv/core: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Setting up .venv (once; this takes a minute or more)"
	$(PIP_INSTALL) --editable .
	@touch $@

.venv/dev: .venv/core
	$(PIP_INSTALL) --editable '.[dev]'
	@touch $@
