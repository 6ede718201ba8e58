# Warren. `make demo` shows it with a RabbitMQ of its own, `make run` runs it for your brokers.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do command -v $$p >/dev/null 2>&1 && \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
COMPILE := $(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
	--no-header --python-version 3.11 --extra machines pyproject.toml
# Packages of the system that only some targets need: installed as root, or by sudo where it asks no password.
INSTALL := bash .ci/install-packages
# Pytest's own arguments: make test PYTEST_ARGS="-k queues"
PYTEST_ARGS ?=
WORKERS ?= 2
# The benchmarks' own: make bench BENCH_ARGS="--parts history"
BENCH_ARGS ?=

.PHONY: help setup run demo test test-needs lint bench lock clean

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: ## Make .venv with everything that Warren and its tests need
	@bash .ci/make-venv "$(PYTHON)" "$(VENV)" requirements-dev.txt

run: setup ## Run Warren for your own brokers: http://127.0.0.1:8000
	@exec $(BIN)/python manage.py up

demo: setup ## Run Warren with a RabbitMQ of its own, a little shop on it and traffic
	@command -v docker >/dev/null 2>&1 && docker info >/dev/null 2>&1 || $(INSTALL) --optional rabbitmq-server
	@WARREN_DATA_DIR="$${WARREN_DATA_DIR:-var/demo}" exec $(BIN)/python manage.py demo

test: setup test-needs lint ## Install what the tests need, and run linters and tests
	@# A file's tests share what its module starts, so that they go to one worker.
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(PYTEST_ARGS)

test-needs:
	@[ -n "$${WARREN_TEST_CHROMIUM:-}" ] || command -v chromium >/dev/null || command -v google-chrome >/dev/null || $(INSTALL) chromium
	@# Even where brokers are given: some tests kill one, and need one of their own for that. The same goes for PostgreSQL.
	@$(INSTALL) --optional rabbitmq-server
	@$(INSTALL) --optional postgresql

lint: setup ## Check style, types, import rules and templates
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@if [ -d templates ]; then $(BIN)/djlint --quiet --lint templates; fi

bench: setup ## Measure; prints a table and writes benchmarks/results/latest.json
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

lock: setup ## Compile the two requirement files from pyproject.toml
	@$(COMPILE) -o requirements.txt
	@$(COMPILE) --group dev -o requirements-dev.txt

clean: ## Remove what can be made again; your data in var/ stays
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
