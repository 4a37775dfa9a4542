# Two commands: `make demo` shows the daily check on throw-away servers, `make test` passes every gate.
# The rest are the same steps one at a time: lint sanity unit integration molecule bench docs build clean.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory

# The newest supported interpreter on the machine; override with `make PYTHON=/path/to/python3.12 …`.
PYTHON ?= $(shell .ci/python)
VENV := .venv
BIN := $(VENV)/bin
COLLECTIONS := $(CURDIR)/build/collections
HERE := $(COLLECTIONS)/ansible_collections/runbook/ops
# FQCNs and ansible-test want ansible_collections/runbook/ops above the files, wherever this checkout is:
# playbooks and unit tests use a link, the tools that resolve links use a copy.
COPY := $(CURDIR)/build/copy/ansible_collections/runbook/ops

SCENARIO ?= degraded
# More than a machine of two cores has: much of a test's time is waiting.
JOBS ?= 5
T ?=
S ?=

export ANSIBLE_COLLECTIONS_PATH := $(COLLECTIONS)
export ANSIBLE_HOME := $(CURDIR)/build/ansible
export PYTHONPATH := $(COLLECTIONS):$(CURDIR)/tests
# Thousands of short processes import the same files: each would compile them again.
unexport PYTHONDONTWRITEBYTECODE
# Daemons such as dockerd are where the path of an ordinary login does not look.
export PATH := $(CURDIR)/$(BIN):$(PATH):/usr/local/sbin:/usr/sbin:/sbin

.PHONY: help demo test setup setup-demo system lint ruff mypy ansible-lint docs-lint changelog-lint \
	sanity unit integration matrix molecule bench docs build readmes importer clean postgresql-majors redis-versions queue-libraries machines

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---------------------------------------------------------------- the two commands

demo: setup-demo ## the daily check of a realistic StoreBridge on throw-away servers (SCENARIO=healthy|degraded)
	@.ci/demo $(SCENARIO)

test: setup system postgresql-majors redis-versions queue-libraries machines ## every gate, side by side, against real servers
	@# tests/conftest.py puts them in order. What fails is tried once more, and shown.
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup --no-loadscope-reorder --reruns 1 --reruns-delay 5 tests/gates tests/integration tests/unit

# ---------------------------------------------------------------- set-up

$(HERE):
	@mkdir -p $(dir $(HERE)) && ln -sfn ../../../.. $(HERE)

$(VENV)/.python:
	@.ci/prepare python "$(PYTHON)"
	@echo "Creating $(VENV) with $$($(PYTHON) --version)"
	@"$(PYTHON)" -m venv $(VENV) && touch $@

$(VENV)/.demo: requirements/demo.txt | $(VENV)/.python
	@echo "Installing the collection's libraries and throw-away servers (pinned in requirements/demo.txt)"
	@PYTHONPATH= $(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/demo.txt && touch $@

$(VENV)/.dev: requirements/dev.txt | $(VENV)/.python
	@echo "Installing every gate's tools (pinned in requirements/dev.txt)"
	@PYTHONPATH= $(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/dev.txt && touch $@ $(VENV)/.demo

setup-demo: $(VENV)/.demo $(HERE)

setup: $(VENV)/.dev $(HERE) ## the virtual environment with every developer tool

system: ## the servers that tests need (installs them as root, names them otherwise)
	@.ci/prepare system

postgresql-majors: setup system ## PostgreSQL majors beside the installed one, for the version matrix
	@$(BIN)/python -m lab fetch-postgresql 14 17 18

redis-versions: setup system ## Redis 8 beside the system's, where Debian's archive can be had
	@$(BIN)/python -m lab fetch-redis

queue-libraries: setup system ## Bull and BullMQ in every supported major, for the tests of queues
	@$(BIN)/python -m lab fetch-queue-libraries

machines: setup system ## images of the machines that tests boot: Debian 11, 12 and 13 with systemd
	@$(BIN)/python -m lab fetch-machines
	@$(BIN)/python -m lab fetch-compose

# ---------------------------------------------------------------- gates

lint: ruff mypy ansible-lint docs-lint changelog-lint ## every linter

ruff: setup
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

mypy: setup
	@MYPYPATH=$(COLLECTIONS) $(BIN)/mypy --cache-dir build/mypy -p ansible_collections.runbook.ops.plugins
	@MYPYPATH=tests:$(COLLECTIONS) $(BIN)/mypy --cache-dir build/mypy-lab -p lab

.PHONY: copy
copy: setup
	@$(BIN)/python .ci/mirror.py $(COPY)

ansible-lint: copy
	@# A home of its own: what molecule installs into the common one is soon an old version.
	@cd $(COPY) && ANSIBLE_HOME=$(CURDIR)/build/ansible-lint ANSIBLE_COLLECTIONS_PATH=$(CURDIR)/build/copy \
		ansible-lint --offline --profile production --strict

docs-lint: copy
	@cd $(COPY) && ANSIBLE_COLLECTIONS_PATH=$(CURDIR)/build/copy antsibull-docs lint-collection-docs --plugin-docs .

changelog-lint: setup
	@$(BIN)/antsibull-changelog lint

sanity: copy ## ansible-test sanity, without ignores
	@$(BIN)/python .ci/sanity.py $(COPY) $(SANITY_ARGS)

unit: setup ## unit tests (T=path or -k expression narrows them)
	@$(BIN)/python -m pytest -n $(JOBS) tests/unit $(T)

integration: setup system machines ## integration tests on real servers (T=tests/integration/redis narrows them)
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup $(or $(T),tests/integration)

matrix: setup ## the other supported ansible-core and Python versions present on this machine
	@$(BIN)/python -m pytest tests/gates/test_matrix.py

molecule: setup system machines ## molecule scenarios (S=name for one)
	@cd $(HERE) && $(BIN)/molecule test $(if $(S),-s $(S),--all)

bench: setup system ## the performance claims, measured side by side
	@$(BIN)/python -m pytest tests/bench -s $(T)

docs: copy ## the documentation site's sources, rendered to build/docs
	@.ci/docs $(COPY) build/docs

build: copy ## the installable collection, in build/dist
	@rm -f build/dist/*.tar.gz
	@cd $(COPY) && ansible-galaxy collection build --force --output-path $(CURDIR)/build/dist

readmes: setup ## the tables of variables in the roles' READMEs, from their argument specs
	@$(BIN)/python .ci/role_readmes.py

importer: build ## the checks that the distribution server makes on import
	@.ci/importer build/dist

clean: ## everything that make made
	@test ! -x $(BIN)/python || $(BIN)/python -m lab down --all 2>/dev/null || true
	@rm -rf build .venv .venv-* .pytest_cache .mypy_cache .ruff_cache
