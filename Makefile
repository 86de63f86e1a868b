# The commands of this repository. `make demo` and `make test` need nothing but git, make and Python >= 3.11
# on Debian; everything else is fetched by `make setup`, which says nothing when there is nothing to do.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
REAL := e2e or uml or browser

.NOTPARALLEL:
.PHONY: help setup setup-test programs demo test check lint types imports unit e2e leaks bench format generate clean

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(INSTALLED) programs ## Get everything drill and its tests need (Debian packages, .venv, drill itself).

$(INSTALLED): pyproject.toml .ci/setup-venv
	@.ci/setup-venv $(VENV)
	@echo "setup: installing drill and what it needs into $(VENV) (a minute or two the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	@touch $@

programs: $(INSTALLED)
	@.ci/setup-programs $(BIN)/drill

setup-test: setup ## Also get what only tests use: Chromium, user-mode-linux and tmux (root needed; else they skip).
	@.ci/setup-programs --test

demo: setup ## The main job: break the sandbox's checkout and watch its page fire, arrive and resolve.
	@$(BIN)/drill run latency-spike --service checkout

test: setup-test check e2e ## Every test that needs no cluster, on real servers too (at most 15 minutes).

check: $(INSTALLED) lint types imports unit ## Lint, types, import rules and unit tests (at most 60 s).

lint:
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet || { echo "these files are not formatted: run 'make format'"; $(BIN)/ruff format --check; }

types:
	@$(BIN)/mypy --no-error-summary

imports:
	@$(BIN)/lint-imports > /dev/null || $(BIN)/lint-imports

unit:
	@$(BIN)/pytest -q -m "not ($(REAL) or cluster)" -n auto --dist worksteal

leaks: setup ## Kill drill's processes at random (N=500) and look for anything that is left.
	@$(BIN)/python -m bench.leaks --n $(or $(N),500)

# The sandbox's tests run one after another: each wants the machine's time for itself. Those of the alert path
# mostly wait for servers of their own, so they run beside them.
BESIDE := tests/e2e/alert_path

e2e:
	@log=$$(mktemp); trap 'rm -f "$$log"' EXIT; \
	$(BIN)/pytest -q -m "$(REAL)" $(BESIDE) > "$$log" 2>&1 & beside=$$!; \
	failed=0; \
	$(BIN)/pytest -q -m "$(REAL)" --ignore=$(BESIDE) || failed=1; \
	wait $$beside || failed=1; \
	cat "$$log"; exit $$failed

bench: setup ## Measure speed and memory and print a table.
	@$(BIN)/python bench

format: $(INSTALLED) ## Format the code.
	@$(BIN)/ruff format --quiet
	@$(BIN)/ruff check --fix --quiet

generate: $(INSTALLED) ## Write rules, routes and dashboard anew from prometheus/slo, and the schemas.
	@$(BIN)/drill slo generate
	@$(BIN)/drill schema scenario > schemas/scenario.v1.json
	@$(BIN)/drill schema report > schemas/report.v1.json
	@$(BIN)/drill schema drill > schemas/drill.v1.json

clean: ## Remove the virtual environment and all caches; runs are kept.
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
