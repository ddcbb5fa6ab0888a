# `make` alone lists the targets. Everything sets itself up; nothing is written outside this folder.

PYTHON_IN_VENV := .venv/bin/python
PYTEST_WORKERS ?= logical
PYTEST_ARGS ?=
LOCK_ARGS ?=
COMPILE := .venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header $(LOCK_ARGS)

.DEFAULT_GOAL := help
.PHONY: help up demo down status stack stack-down test test-long test-stack chaos load critical lint lock bench venv servers

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: venv ## Start Airflow, a MongoDB and the sandbox on this machine; prints where they are
	@$(PYTHON_IN_VENV) -m ops.embedded up

demo: up ## Start all of it, let the bot lose money, and follow how the bundle reacts
	@$(PYTHON_IN_VENV) -m ops.demo

down: venv ## End all of it and check that nothing is left
	@$(PYTHON_IN_VENV) -m ops.embedded down

status: venv ## Show what runs, whether it is healthy, and what has crashed
	@$(PYTHON_IN_VENV) -m ops.embedded status

stack: venv servers ## Start the distributed mode as processes of this machine: what docker-compose.yaml says
	@$(PYTHON_IN_VENV) -m ops.stack up

stack-down: venv ## End the stack and delete everything that it wrote
	@$(PYTHON_IN_VENV) -m ops.stack remove

test: venv servers ## Run all tests but the long ones and those of the distributed mode
	@$(PYTHON_IN_VENV) -m pytest -n $(PYTEST_WORKERS) -m "not long" $(PYTEST_ARGS)

test-long: venv servers ## Run the tests that take minutes: outages, kills, backup, down and up again, long trainings
	@$(PYTHON_IN_VENV) -m pytest -n $(PYTEST_WORKERS) -m long $(PYTEST_ARGS)

test-stack: venv servers ## Run the tests of the distributed mode on the stack, in their quick form
	@STACK_TESTS=1 $(PYTHON_IN_VENV) -m pytest -n 0 -s tests/stack $(PYTEST_ARGS)

chaos: venv servers ## Kill and stop what the stack consists of, one after the other; prints what was lost (long)
	@STACK_TESTS=1 $(PYTHON_IN_VENV) -m pytest -n 0 -s tests/stack/chaos --full $(PYTEST_ARGS)

load: venv servers ## Load the stack: 1,000 runs, a flood, two hours of mixed work; prints figures (hours)
	@STACK_TESTS=1 $(PYTHON_IN_VENV) -m pytest -n 0 -s tests/stack/load tests/stack/soak --full $(PYTEST_ARGS)

critical: venv servers ## Run the smoke tests only (under 3 minutes)
	@$(PYTHON_IN_VENV) -m pytest -n $(PYTEST_WORKERS) -m critical $(PYTEST_ARGS)

lint: venv ## Check style, formatting and types; changes nothing
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy

lock: venv ## Resolve the requirements again (LOCK_ARGS=--upgrade for newer versions of what they need)
	@$(COMPILE) requirements.txt -o requirements.lock
	@$(COMPILE) requirements-dev.txt -o requirements-dev.lock
	@$(COMPILE) requirements-gpu.txt -o requirements-gpu.lock

bench: venv ## Run the benchmarks and print their tables
	@$(PYTHON_IN_VENV) -m benchmarks

venv:
	@sh ops/bootstrap.sh

servers:
	@sh ops/bootstrap.sh servers
