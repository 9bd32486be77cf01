# Two commands are enough on a fresh machine with Python 3.11 or newer and pip: `make demo` and `make test`.
# Everything goes into .venv, from constraints.txt; nothing else on the machine is touched.

# The first of these that runs and is new enough makes .venv. `make test PYTHON=/path/to/python` asks for one.
PYTHON = python3.11 python3
# The newcomer's own ledger: git-ignored, kept between two runs of `make demo`.
HOME_DIR = $(or $(JOULEBOOK_HOME),data/store)
# `make demo SERVE=0` stops before the dashboard.
SERVE = 1

BIN = .venv/bin
ROOMS = accounting collectors data models reports
PEERS = codecarbon zeus carbontracker
# What observes calls of model APIs shares one environment: all of it with the same version of the SDK.
API_PEERS = openai httpx2 ecologits opentelemetry-sdk opentelemetry-instrumentation-genai-openai
PIP = -m pip --disable-pip-version-check
NEW_ENOUGH = -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null

# Sets $$python, or says what is missing. A shim may exist and not run, so each candidate is run.
define find_python
python=""; \
for candidate in $(PYTHON); do if $$candidate $(NEW_ENOUGH); then python=$$candidate; break; fi; done; \
if [ -z "$$python" ]; then \
  echo "joulebook needs Python 3.11 or newer; none of these is one: $(PYTHON)." \
    "Install it, or name it: make $(or $(MAKECMDGOALS),test) PYTHON=/path/to/python3.11" >&2; exit 1; \
fi
endef

.PHONY: help demo test slow browser conformance lint format types bench bench-energy constraints clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/.stamp ## Record a sample job, explain it, open the dashboard (SERVE=0: stop before it)
	@$(BIN)/joulebook --home "$(HOME_DIR)" demo $(if $(filter 0,$(SERVE)),--no-serve)

test: .venv/.stamp ## Run the tests that need no browser and no network
	@$(BIN)/pytest

slow: .venv/.stamp ## Run the tests that take long
	@$(BIN)/pytest -m slow --timeout 600

browser: .venv/.stamp ## Run the tests that look at the dashboard in a real browser
	@$(BIN)/pytest -m browser -n 0

lint: .venv/.stamp ## Check style and format
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

format: .venv/.stamp ## Put style and format right where a machine can
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

# The checker cannot follow the packaging map: a folder of links shows it the names as they are installed.
# PyArrow and SciPy ship no types: a stub says that all in them is Any, so that strict can stay whole where they are used.
types: .venv/.stamp ## Check types: strict in accounting and models
	@rm -rf .typing; mkdir -p .typing/joulebook .typing/pyarrow .typing/scipy
	@for link in $(ROOMS) $(wildcard joulebook/*); do ln -s ../../$$link .typing/joulebook/; done
	@for name in __init__ compute csv dataset json lib parquet; do \
	  printf 'from typing import Any\ndef __getattr__(name: str) -> Any: ...\n' > .typing/pyarrow/$$name.pyi; done
	@for name in __init__ optimize special stats; do \
	  printf 'from typing import Any\ndef __getattr__(name: str) -> Any: ...\n' > .typing/scipy/$$name.pyi; done
	@$(BIN)/pyright

bench: .venv/.stamp .bench-venv/.stamp ## Measure what joulebook itself costs, and its peers beside it
	@for file in $(sort $(wildcard benchmarks/*.py)); do echo "== $$file"; $(BIN)/python $$file || exit 1; done

# `make bench-energy QUICK=1` takes two minutes instead of eight; SAVE=1 puts the table into benchmarks/RESULTS.md.
bench-energy: .venv/.stamp .bench-venv/.stamp
	@$(BIN)/python benchmarks/energy.py $(if $(QUICK),--quick) $(if $(SAVE),--save)

# Each peer has an environment of its own, or what one brings along would change what another does.
.bench-venv/.stamp: benchmarks/constraints-peers.txt | .venv/.stamp
	@echo "Installing the peers into .bench-venv: 1 GB, two minutes, once. Nothing else needs them."
	@rm -rf .bench-venv; for tool in joulebook api $(PEERS); do \
	  $(BIN)/python -m venv --without-pip .bench-venv/$$tool; \
	  $(BIN)/python $(PIP) --python .bench-venv/$$tool install -q -c benchmarks/constraints-peers.txt \
	    $$(echo $$tool | sed 's/joulebook/nvidia-ml-py platformdirs/; s/^api$$/platformdirs $(API_PEERS)/') || \
	    echo "$$tool does not install here: the benchmark goes on without it." >&2; \
	done
	@touch $@

# FOCUS's own validator: 640 MB. It says that it needs 3.12: on 3.11 one line of it is put right. It runs nothing of ours.
conformance: .venv/.stamp .conformance-venv/.stamp ## Check our FOCUS export with FOCUS's own validator
	@$(BIN)/python tests/conformance/check.py

.conformance-venv/.stamp: tests/conformance/constraints.txt tests/conformance/patch.py | .venv/.stamp
	@echo "Installing focus-validator into .conformance-venv: 640 MB, a minute, once. Nothing else needs it."
	@rm -rf .conformance-venv; $(BIN)/python -m venv --without-pip .conformance-venv
	@$(BIN)/python $(PIP) --python .conformance-venv install -q --ignore-requires-python focus-validator \
	  -c tests/conformance/constraints.txt
	@.conformance-venv/bin/python tests/conformance/patch.py
	@touch $@

# pip is the one package that is not pinned: it is what reads the pins.
constraints: ## Resolve every dependency afresh and pin it in constraints.txt
	@$(find_python); rm -rf build/fresh; $$python -m venv build/fresh
	@build/fresh/bin/python $(PIP) install -q -e '.[dev]'
	@build/fresh/bin/python $(PIP) check
	@{ echo "# What \`pip install -e '.[dev]'\` resolved to. Refresh: make constraints, then make test."; \
	  build/fresh/bin/python $(PIP) freeze --all --exclude pip --exclude-editable; } > build/constraints.txt
	@mv build/constraints.txt constraints.txt
	@rm -rf build/fresh

clean: ## Remove what can be made again; the ledger in data/store stays
	@rm -rf .venv .typing build dist out *.egg-info .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Debian keeps ensurepip in a package of its own: without it, the pip that is there fills the new environment.
.venv/.stamp: pyproject.toml constraints.txt
	@$(find_python); \
	echo "Installing joulebook and its tools into .venv. This takes a minute or two, once."; \
	if $$python -c 'import ensurepip' 2>/dev/null; then $$python -m venv .venv; else \
	  $$python -m venv --without-pip .venv && $$python $(PIP) --python .venv install -q pip; fi
	@$(BIN)/python $(PIP) install -q -e '.[dev]' -c constraints.txt
	@touch $@
