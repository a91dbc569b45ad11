# Two commands set everything up on a machine with Python 3.11 or newer, pip and make: `make demo` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
NATIVE := consent_mw/wire/_native.c consent_mw/wire/_html.c tests/packaging/native_core.py

# The parts of `make bench`, in their order; `make bench-sidecar` and the like run one.
BENCHES := $(addprefix bench-,middleware service sidecar events content growth tools memory)

.PHONY: demo test lint types layers unit test-pure wire-pure debian clean fuzz bench $(BENCHES) screenshots crash

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

# Measures everything that is claimed of speed, beside its peers, which come from Debian and PyPI: some ten minutes. What
# was found is in benchmarks/results.json and benchmarks/plots/.
bench: $(VENV)/.bench
	@sh benchmarks/debian.sh
	$(BIN)/python benchmarks/run.py

# Measures one part again; the others' figures stay. It takes options: BENCH="--rounds 9" and the like.
$(BENCHES): $(VENV)/.bench
	@sh benchmarks/debian.sh
	$(BIN)/python benchmarks/run.py $(patsubst bench-%,%,$@) $(BENCH)

# Takes the pictures of README anew (half a minute).
screenshots: $(VENV)/.tests debian
	$(BIN)/python -m tests.journeys.screenshots

# Kills the sidecar and the middleware under load, and looks for all that they had promised (some minutes).
# CRASH=20 is fewer kills; CRASH="50 --seed 7" repeats a run.
crash: $(VENV)/.tests
	$(BIN)/python -m tests.crash --kills $(or $(CRASH),200)

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
