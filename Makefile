# Trunkline: what there is to do with a checkout. `make` alone lists it.
#
# Everything runs in .venv, which the first target that needs it makes; nothing is
# installed outside of the checkout but by `make test-tools`, and only as root.

SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
SETUP := pyproject.toml scripts/setup.sh
DEMO_READY := $(VENV)/.ready-demo
TEST_READY := $(VENV)/.ready-test
ARGS ?=

# One thread each: the tests and the demo share the cores with what they talk to.
export OPENBLAS_NUM_THREADS := 1
export OMP_NUM_THREADS := 1

.PHONY: help demo talk test test-tools check format bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(DEMO_READY) ## play a whole phone call on this machine, and watch it
	@$(BIN)/trunkline demo $(ARGS)

talk: $(DEMO_READY) ## talk to the demo's agent with a browser or a softphone
	@$(BIN)/trunkline talk $(ARGS)

test: $(TEST_READY) test-tools ## run every test
	@BIN=$(BIN) scripts/test.sh $(ARGS)

test-tools: ## the programs the tests talk to (as root from Debian's packages)
	@scripts/install-test-tools.sh

check: $(TEST_READY) ## style, format, types, layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pytest -q tests/test_layers.py

format: $(TEST_READY) ## put the code into the project's format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(TEST_READY) ## measure, and print the figures of the README
	@set -e; for each in benchmarks/[!_]*.py; do echo "== $$each"; $(BIN)/python "$$each" $(ARGS); done

clean: ## remove what was made here, recordings of calls excepted
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	find src tests benchmarks examples scripts -name __pycache__ -prune -exec rm -rf {} +

$(DEMO_READY): $(SETUP)
	@scripts/setup.sh demo

$(TEST_READY): $(SETUP)
	@scripts/setup.sh test
