# make run        serve the shipped zones on 127.0.0.1:5300
# make test       everything that must hold, from nothing
# make soak       what takes minutes
# make fuzz       inputs that nobody thought of, for FUZZ_SECONDS=300
# make simulate   policies side by side in a made-up world; writes build/simulate/world.html
# make bench      what a query costs, beside other servers, and how good plans are; writes the numbers in docs/
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

# The oldest supported Python first: it is the one Debian 12 has.
PYTHON ?= $(firstword $(foreach each,python3.11 python3,$(shell $(each) -c 'print("$(each)")' 2>/dev/null)))
export PYTHON
BIN := .venv/bin
# Say nothing unless it fails, and then everything.
QUIETLY = quietly() { log=$$("$$@" 2>&1) || { echo "$$log" >&2; exit 1; }; }; quietly
PIP := $(BIN)/python -m pip --disable-pip-version-check
ADDRESS ?= 127.0.0.1
PORT ?= 5300
ADMIN ?= 127.0.0.1:8053
STATE ?= .state
FUZZ_SECONDS ?= 300
# Compiled sources need a new installation when they change; Python is run where it stands. What an installation makes of
# them lies beside them.
COMPILED := $(shell find gslb -name '*.pyx' -o -name '*.pxd')
# What depends on which path answers. The other tests are the same with the compiled path and without it.
ON_BOTH_PATHS := tests/answer tests/interop/test_transcripts.py $(addprefix tests/server/test_,limit.py processes.py \
  readers.py respond.py ring.py udp.py) tests/server/querylog/test_serving.py

.PHONY: help run test packages checks suite suite-without-extensions soak fuzz transcripts declarations simulate \
  bench clean
.NOTPARALLEL:

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

run: .venv/installed
	@dig() { echo "dig @$(ADDRESS) -p $(PORT) +short $$*"; }; \
	echo "Serving zones/ and data/ on $(ADDRESS) port $(PORT), UDP and TCP, with the embedded store; state in $(STATE)."; \
	echo "A made-up live-streaming network: 10 PoPs on 4 continents, and viewers on documentation addresses."; \
	echo "Once it is ready, ask as a viewer in Shanghai, one in Berlin, one in Virginia; then ask why:"; \
	dig pull.live.example A +subnet=198.51.100.0/28; \
	dig pull.live.example A +subnet=198.51.100.128/28; \
	dig pull.live.example AAAA +subnet=2001:db8:c00d::/48; \
	dig pull.live.example CH TXT +subnet=198.51.100.0/28
	@exec $(BIN)/gslb serve --zones zones --data data --state $(STATE) --listen $(ADDRESS):$(PORT) --admin $(ADMIN)

test: packages .venv/dev
	@$(MAKE) checks suite suite-without-extensions

packages:
	@bash tests/lib/packages.sh

checks: .venv/dev
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary
	@$(QUIETLY) $(BIN)/lint-imports
	@echo "checks: ruff, mypy --strict and the floors hold"

# The whole suite with coverage of every file, subprocesses included; tests/conftest.py says on how many processes and
# in which order.
suite: .venv/dev
	@rm -f .coverage .coverage.*
	@$(BIN)/pytest -n auto --dist loadscope --no-loadscope-reorder --cov --cov-report= -q
	@$(BIN)/coverage json -q -o .coverage.json && $(BIN)/python tests/lib/coverage_floor.py .coverage.json

suite-without-extensions: .venv/dev
	@GSLB_NO_EXTENSIONS=1 $(BIN)/pytest -n auto --dist loadscope --no-loadscope-reorder -q $(ON_BOTH_PATHS)

# Large networks and long runs, every step of the image, pages of documents that take long, and every property with all
# its examples, of which the suite tries an eighth.
soak: packages .venv/dev .venv/spark
	@GSLB_ALL_EXAMPLES=1 $(BIN)/pytest -m "soak or hypothesis"
	@$(MAKE) fuzz FUZZ_SECONDS=10

# The compiled parser under libFuzzer, both paths under atheris, and tests on extensions with sanitizers: needs clang.
fuzz: .venv/fuzz
	@bash tests/fuzz/run.sh $(FUZZ_SECONDS)

# Write the answers in tests/interop/transcripts/ and the outputs in the documents anew; read the difference.
transcripts: .venv/dev
	@GSLB_WRITE_TRANSCRIPTS=1 $(BIN)/pytest -q -n 0 -m "soak or not soak" tests/interop/test_transcripts.py tests/project/test_docs.py

# Write anew what compiled code takes from Python: the layout of snapshots, the numbers of the DNS.
declarations: .venv/dev
	@$(BIN)/python -c 'import pathlib; from gslb.answer.declared import files; \
	  [(pathlib.Path("gslb/answer/_fast") / name).write_text(text) for name, text in files().items()]'

simulate: .venv/dev
	@$(BIN)/gslb simulate tests/scenarios/world.yaml --out build/simulate/world.html

bench: .venv/dev
	@PYTHONPATH=tests/lib $(BIN)/python tests/bench/bench.py

clean:
	rm -rf .venv .state build dist *.egg-info .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/bin/python:
	@[ -n "$(PYTHON)" ] || { echo "gslb needs Python 3.11 or newer" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "gslb needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V)" >&2; exit 1; }
	@$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml $(COMPILED) | .venv/bin/python
	@echo "installing gslb in .venv"
	@$(QUIETLY) $(PIP) install --editable .
	@touch $@

.venv/dev: pyproject.toml $(COMPILED) | .venv/bin/python
	@echo "installing gslb and what its tests need in .venv"
	@$(QUIETLY) $(PIP) install --editable '.[dev]'
	@touch $@ .venv/installed

# By itself, as it is large: Spark, and the Java that it runs on.
.venv/spark: pyproject.toml .venv/dev
	@bash tests/lib/packages.sh java:default-jre-headless
	@echo "installing Spark in .venv"
	@needs=$$($(BIN)/python -c 'import tomllib; \
	  print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["spark"])'); \
	  $(QUIETLY) $(PIP) install $$needs
	@touch $@

# By itself: what is installed already stays.
.venv/fuzz: pyproject.toml .venv/dev
	@echo "installing what fuzzing needs in .venv"
	@needs=$$($(BIN)/python -c 'import tomllib; \
	  print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["fuzz"])'); \
	  $(QUIETLY) $(PIP) install $$needs
	@touch $@
