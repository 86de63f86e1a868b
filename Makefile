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
TESTCLUSTER := PYTHONPATH=tools $(BIN)/python -m testcluster

.NOTPARALLEL:
.PHONY: help setup setup-test programs demo test check lint types imports unit e2e audit fuzz leaks leaks-cluster bench format generate clean
.PHONY: cluster cluster-down cluster-test smoke

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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

test: setup-test check e2e ## Every test that needs no cluster, on real servers too (about 27 minutes on 2 cores).

check: $(INSTALLED) lint types imports unit ## Lint, types, import rules and unit tests (about 2 minutes on 2 cores).

lint:
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet || { echo "these files are not formatted: run 'make format'"; $(BIN)/ruff format --check; }

types:
	@$(BIN)/mypy --no-error-summary

imports:
	@$(BIN)/lint-imports > /dev/null || $(BIN)/lint-imports

unit:
	@$(BIN)/pytest -q -m "not ($(REAL) or cluster)" -n auto --dist worksteal

cluster: $(INSTALLED) ## A real kind cluster with drill's images, context kind-drill (a Docker that runs; or root, Go and Debian).
	@$(TESTCLUSTER) up > /dev/null
	@$(TESTCLUSTER) images --load

cluster-down: $(INSTALLED) ## Remove that cluster and every trace of it.
	@$(TESTCLUSTER) down

smoke: setup ## The CI smoke test: kind cluster, demo, every scenario tagged smoke, cluster down; report in smoke/.
	@.ci/smoke

cluster-test: setup ## The tests that start a real cluster of their own (some 15 minutes; the first time more).
	@$(BIN)/pytest -q -m cluster

audit: $(INSTALLED) ## Look for weaknesses: bandit over src, pip-audit over everything installed.
	@.ci/audit $(BIN)

fuzz: $(INSTALLED) ## Read mutated files of every kind, at random and guided by coverage (N=100000 in all).
	@$(BIN)/python -m bench.fuzz --n $$(( $(or $(N),100000) * 4 / 5 ))
	@$(BIN)/python -m bench.fuzz_guided --n $$(( $(or $(N),100000) / 5 ))

leaks: setup ## Kill drill's processes at random (N=500) and look for anything that is left.
	@$(BIN)/python -m bench.leaks --n $(or $(N),500) $(if $(INTO),--into $(INTO)) $(if $(MINUTES),--minutes $(MINUTES))

leaks-cluster: setup ## The same on the test cluster (N=50), kubelet and API server among the victims; it must be up.
	@$(BIN)/python -m bench.leaks.cluster --n $(or $(N),50) $(if $(INTO),--into $(INTO)) $(if $(MINUTES),--minutes $(MINUTES))

# Tests on real servers, two or three files at a time, each worker with sandboxes of its own; in an order that keeps two
# CPUs busy and never starves what is about seconds: what works (promtool, a browser); the alert path's many servers
# beside single sandboxes; the runbooks, two sandboxes at once, beside the rest; at last the scenarios, two at once, alone.
WORKS := $(addprefix tests/,alerting docs report security web)
ALERT_PATH := $(addprefix tests/e2e/,alert_path test_crash_e2e.py test_gameday_e2e.py test_training_e2e.py)
RUNBOOKS := tests/e2e/test_runbooks_win_e2e.py
SCENARIOS := tests/e2e/test_scenarios_e2e.py
FOLDERS := $(filter-out $(WORKS) tests/e2e tests/cluster %/__pycache__,$(patsubst %/,%,$(wildcard tests/*/)))
REST := $(filter-out $(ALERT_PATH) $(RUNBOOKS) $(SCENARIOS),$(wildcard tests/e2e/test_*.py)) $(FOLDERS)
AT_A_TIME := $(BIN)/pytest -q -m "$(REAL)" --dist loadfile --no-loadscope-reorder

e2e:
	@failed=0; \
	$(AT_A_TIME) -n 2 $(WORKS) || failed=1; \
	$(AT_A_TIME) -n 3 $(ALERT_PATH) || failed=1; \
	$(AT_A_TIME) -n 2 $(RUNBOOKS) $(REST) || failed=1; \
	$(AT_A_TIME) -n 0 $(SCENARIOS) || failed=1; \
	exit $$failed

bench: setup ## Measure speed and memory and print a table.
	@$(BIN)/python bench

format: $(INSTALLED) ## Format the code.
	@$(BIN)/ruff format --quiet
	@$(BIN)/ruff check --fix --quiet

generate: $(INSTALLED) ## Write rules, routes and dashboard anew from prometheus/slo, and the schemas.
	@$(BIN)/drill slo generate
	@$(BIN)/drill demo generate
	@$(BIN)/drill schema scenario > schemas/scenario.v1.json
	@$(BIN)/drill schema report > schemas/report.v1.json
	@$(BIN)/drill schema drill > schemas/drill.v1.json
	@$(BIN)/drill schema config > schemas/config.v1.json

clean: ## Remove the virtual environment and all caches; runs are kept.
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
