# `make demo` and `make test` need git, make and Python only; all else is set up in .venv.
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGES := contracts events saga services tests benchmarks
WORKERS ?= 3
SAGAS ?= 2000

.PHONY: help demo test check faults cluster simulate bench format golden schemas lock clean

help:
	@echo "make demo      play the sample payments through everything"
	@echo "make test      run the tests"
	@echo "make check     format, lint, types, imports"
	@echo "make faults    break a running system (SAGAS=200, FAULT=name, SEED=1)"
	@echo "make cluster   the same on a cluster of three, short"
	@echo "make simulate  explore every shipped definition to the end"
	@echo "make bench     measure: against a hand-written chain, replays, a rebuild"
	@echo "make format    format the code"
	@echo "make golden    write the exports that tests compare with"
	@echo "make schemas   export the contracts"
	@echo "make lock      renew the locks (needs uv)"
	@echo "make clean     remove the environment, the data and the caches"

$(STAMP): requirements.lock pyproject.toml
	@tools/setup.sh $(VENV)

demo: $(STAMP)
	@$(BIN)/saga demo payments

test: $(STAMP)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

check: $(STAMP)
	@$(BIN)/ruff format --check $(PACKAGES)
	@$(BIN)/ruff check $(PACKAGES)
	@$(BIN)/mypy
	@$(BIN)/lint-imports

faults: $(STAMP)
	@$(BIN)/python -m tests.faults --sagas $(SAGAS) $(if $(FAULT),--fault "$(FAULT)") $(if $(SEED),--seed $(SEED))

cluster: $(STAMP)
	@SAGA_TEST_CLUSTER=1 $(BIN)/python -m pytest -n 0 tests/faults/test_cluster.py

simulate: $(STAMP)
	@$(BIN)/saga simulate --all

bench: $(STAMP)
	@$(BIN)/python -m benchmarks
	@$(BIN)/python -m benchmarks.replay

format: $(STAMP)
	@$(BIN)/ruff format $(PACKAGES)
	@$(BIN)/ruff check --fix $(PACKAGES)

golden: $(STAMP)
	@SAGA_WRITE_GOLDEN=1 $(BIN)/python -m pytest -n 0 tests/export -k agreed

schemas: $(STAMP)
	@$(BIN)/saga schemas export

COMPILE := uv pip compile pyproject.toml --extra postgres --python-version 3.12 --universal \
	--generate-hashes --no-emit-index-url --no-annotate --no-header -q

lock:
	@command -v uv >/dev/null || { echo "make lock needs uv" >&2; exit 1; }
	$(COMPILE) --extra embedded --extra argo --group dev -o requirements.lock
	$(COMPILE) -c requirements.lock -o requirements-runtime.lock

clean:
	rm -rf $(VENV) .saga .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
