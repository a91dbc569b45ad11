# Two commands set everything up on a machine with Python 3.11 or newer, pip and make: `make demo` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
NATIVE := consent_mw/wire/_native.c consent_mw/wire/_html.c tests/packaging/native_core.py

.PHONY: demo test lint types layers unit test-pure wire-pure debian clean fuzz bench bench-events bench-sidecar bench-memory bench-content screenshots

demo: $(VENV)/.runs
	$(BIN)/consent-mw demo $(if $(DRIVE),--drive $(DRIVE)) $(if $(PORT),--port $(PORT))

test: $(VENV)/.tests debian lint types layers unit wire-pure

lint: $(VENV)/.tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.tests
	$(BIN)/mypy

layers: $(VENV)/.tests
	$(BIN)/lint-imports

unit: $(VENV)/.tests
	$(BIN)/python -m pytest -n 2 --dist loadfile

# What has a native core beside it, without it: wire/ as a part of `make test`, and all that stands on it.
wire-pure: $(VENV)/.tests
	CONSENT_MW_PURE=1 $(BIN)/python -m pytest -n 2 --dist loadfile tests/wire

test-pure: $(VENV)/.tests
	CONSENT_MW_PURE=1 $(BIN)/python -m pytest -n 2 --dist loadfile tests/wire tests/sidecar tests/asgi tests/journeys

fuzz: $(VENV)/.tests
	CONSENT_MW_FUZZ=20000 $(BIN)/python -m pytest tests/fuzz

# Measures the middleware's cost in pairs, with and without it (a minute).
bench: $(VENV)/.runs
	$(BIN)/python benchmarks/middleware.py

# Measures what a page view's event costs, and what a dead vendor does (a minute). BENCH="--outage 1000000" is longer.
bench-events: $(VENV)/.runs
	$(BIN)/python benchmarks/events.py $(BENCH)

# Measures the sidecar beside its peers (some minutes; wrk, nginx and others from Debian). BENCH="--rounds 3" and the like.
bench-sidecar: $(VENV)/.bench
	@sh benchmarks/debian.sh
	$(BIN)/python benchmarks/sidecar.py $(BENCH)

# Whether the sidecar's memory stays flat over a million distinct visitors (some minutes). BENCH="--requests 200000" is quicker.
bench-memory: $(VENV)/.bench
	@sh benchmarks/debian.sh
	$(BIN)/python benchmarks/memory.py $(BENCH)

# What it costs to gate a page, to put a banner in and to compress it again, by size and by coding (half a minute).
bench-content: $(VENV)/.runs
	$(BIN)/python benchmarks/content.py

# Takes the pictures of README anew (half a minute).
screenshots: $(VENV)/.tests debian
	$(BIN)/python -m tests.journeys.screenshots

# What the tests drive from Debian: a browser and shared caches. Skipped what is there, and all without apt or root.
debian:
	@sh tests/packaging/debian.sh

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runs: $(VENV)/bin/python pyproject.toml $(NATIVE)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.tests: $(VENV)/bin/python pyproject.toml $(NATIVE)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@ $(VENV)/.runs

$(VENV)/.bench: $(VENV)/bin/python pyproject.toml $(NATIVE)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	@touch $@ $(VENV)/.runs

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis consent_mw/wire/_*.so
