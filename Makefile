# Two commands on a fresh machine: `make demo` (the whole way, on the embedded Hub) and `make test`.
# Each sets up its own .venv. `make demo RECIPE=real DATA=<folder>` does the same on the official files.
PYTHON ?= python3
RECIPE ?= demo
DEVICE ?= cpu
BIN := .venv/bin
export PYTHONPATH := $(CURDIR)

.venv/.installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0   # first: elsewhere resolved, it may bring CUDA
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $@

.PHONY: install test quality style copies
install: .venv/.installed

test: install
	$(BIN)/python -m pytest

quality: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m hub_tools.hub.copies --check

style: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

copies: install
	$(BIN)/python -m hub_tools.hub.copies
