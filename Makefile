# The one spelling of every command. It takes make and a Python >= 3.11; the
# rest it installs into .venv, at the versions in constraints.txt.

SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The interpreter for .venv; empty: the newest that works.
PYTHON ?=
# What `make test-all` runs on.
VERSIONS ?= 3.11 3.13
# More arguments for pytest: make test ARGS="-k sqlite -n0"
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
BACKENDS := $(patsubst %/pyproject.toml,%,$(wildcard backends/*/pyproject.toml))
RECIPE := pyproject.toml constraints.txt scripts/make-venv $(BACKENDS:%=%/pyproject.toml)

# `make PYTHON=...` with another interpreter than last time makes .venv anew.
ifneq ($(strip $(PYTHON)),)
ifneq ($(strip $(PYTHON)),$(shell cat $(VENV)/.made 2>/dev/null))
.PHONY: $(VENV)/.made
endif
endif

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: $(VENV)/.made ## show the main job on a SQLite file
	@PATH="$(CURDIR)/$(BIN):$$PATH" scripts/demo

.PHONY: test
test: $(VENV)/.made servers ## run every test
	@$(PY) -m pytest $(ARGS)

# Quick when they are there, so asked before each run of the tests.
.PHONY: servers
servers: ## fetch the servers that tests need and no Python package brings
	@scripts/fetch-servers

.PHONY: test-all
test-all: servers ## run every test on each of VERSIONS (3.11 3.13)
	@VERSIONS="$(VERSIONS)" ARGS="$(ARGS)" MAKE="$(MAKE)" scripts/test-all

.PHONY: nightly
nightly: $(VENV)/.made servers ## run every test with long random histories
	@DISCFG_HYPOTHESIS_PROFILE=nightly $(PY) -m pytest $(ARGS)

.PHONY: check
check: $(VENV)/.made ## formatting, lint, types, import layers, generated docs, pins
	@$(BIN)/ruff format --check --quiet --diff .
	@$(BIN)/ruff check .
	@scripts/check-types $(BIN)/mypy
	@layers=$$($(BIN)/lint-imports --no-cache --no-logo) || { echo "$$layers"; exit 1; }; \
	echo "$$layers" | tail -n 1
	@$(PY) scripts/check_repo.py
	@if [ -f scripts/gen_docs.py ]; then $(PY) scripts/gen_docs.py --check; fi

.PHONY: fmt
fmt: $(VENV)/.made ## format, and repair what lint can repair
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

.PHONY: docs
docs: $(VENV)/.made ## write the generated parts of the documentation
	@if [ -f scripts/gen_docs.py ]; then $(PY) scripts/gen_docs.py; fi

.PHONY: build
build: $(VENV)/.made ## build an sdist and a wheel of discfg and of each backend into dist/
	@rm -rf dist
	@for folder in . $(BACKENDS); do \
		$(PY) -m build --no-isolation --outdir dist "$$folder" || exit 1; \
	done

.PHONY: constraints
constraints: ## write constraints.txt anew from the newest versions
	@scripts/make-constraints $(VERSIONS)

.PHONY: clean
clean: ## remove everything that make made
	@rm -rf .venv .venv-* .servers dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made: $(RECIPE)
	@python=$$(scripts/find-python $(if $(PYTHON),--is $(PYTHON),3.13 3.12 3.11 any)) \
	&& scripts/make-venv $(VENV) "$$python" && echo "$(PYTHON)" >$@

.venv-%/.made: $(RECIPE)
	@python=$$(scripts/find-python --pyenv $*) \
	&& scripts/make-venv .venv-$* "$$python" && touch $@
