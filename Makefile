# perpflux: `make run` starts it, `make test` proves it. `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
# Where the config is: the environment of perpflux itself (PERPFLUX_CONFIG) or ARGS="--config FILE".
ARGS ?=

.PHONY: help run demo test test-unit faults influxd bench check dashboards docs deb format lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: .venv/run ## start perpflux (BTC and ETH, both venues, stored locally)
	@$(BIN)/perpflux run $(ARGS)

demo: .venv/run ## the same against built-in simulated venues, no network needed
	@$(BIN)/perpflux demo $(ARGS)

test: .venv/dev influxd ## the whole test suite
	@$(BIN)/pytest $(ARGS)

faults: .venv/dev influxd ## fault runs, the long ones: about an hour (ARGS="--seed N --only TEXT --short")
	@$(BIN)/python -m tests.faults $(ARGS)

# The first build takes minutes; without the tools for it the tests that need it say so.
influxd:
	@tests/influxd/build >/dev/null || [ $$? -eq 69 ]

test-unit: .venv/dev ## only the fast tests (under 30 s)
	@$(BIN)/pytest -n auto --maxprocesses 4 -m "not slow and not influxdb" $(ARGS)

bench: .venv/bench influxd ## measure everything side by side, write docs/performance.md
	@$(BIN)/python -m bench $(ARGS)

check: .venv/dev ## lint, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

dashboards: .venv/run ## build grafana-dashboards/ and the alert rules anew
	@$(BIN)/python -m deploy.grafana.dashboards

docs: .venv/run ## build the tables of docs/ and deploy/perpflux.toml anew
	@$(BIN)/python -m deploy.docs

deb: .venv/run ## build dist/perpflux_VERSION_ARCHITECTURE.deb (ARGS="--architecture arm64")
	@$(BIN)/python deploy/deb/build.py $(ARGS)

format: .venv/dev ## let ruff arrange the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The environment is made from hash-locked files; a stamp per file says when it is up to date.
.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "perpflux needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv .venv \
	  || { echo "python3 cannot make virtual environments; on Debian: apt install python3-venv"; exit 1; }

.venv/run: requirements/run.txt requirements/build.txt pyproject.toml | .venv/bin/python
	@echo "installing perpflux into .venv ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt -r requirements/build.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev: requirements/dev.txt .venv/run
	@echo "installing the test tools into .venv ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

.venv/bench: requirements/bench.txt .venv/run
	@echo "installing what the benchmark compares with into .venv ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@touch $@

lock: ## resolve the dependencies anew (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --custom-compile-command "make lock" pyproject.toml --extra nats -o requirements/run.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --custom-compile-command "make lock" --group build -o requirements/build.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --custom-compile-command "make lock" -c requirements/run.txt pyproject.toml --group dev \
	  -o requirements/dev.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --custom-compile-command "make lock" -c requirements/dev.txt --group bench \
	  -o requirements/bench.txt

clean: ## remove what the other targets made
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
