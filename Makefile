# What people do here. `make demo` and `make test` are all that a new machine needs; each first installs what is missing.
# Extra arguments: `make demo ARGS="--once"`, `make test ARGS="-p engine"`.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
BENCH_VENV := benches/.venv
REQUIREMENTS := testdata/clients/requirements.txt
ARGS ?=

.PHONY: audit bench demo docs fmt help lint setup test

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-7s %s\n", $$1, $$2}'

demo: ## Write a bank and a panel, ask four questions, and serve them
	@scripts/setup build
	cargo run --release --bin weft -- demo $(ARGS)

test: ## Run every test: Rust, SQL through every door, databases, Python clients
	@scripts/setup build mariadb pgbouncer postgres
	@$(MAKE) $(VENV)/.ready
	@if cargo nextest --version >/dev/null 2>&1; then set -x; cargo nextest run --workspace $(ARGS); \
	else set -x; cargo test --workspace --lib --bins --tests $(ARGS); fi
	cargo test --workspace --doc $(ARGS)

lint: ## Check format, lints, docs, licenses and the crate graph
	@scripts/setup build lint
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
	cargo deny --workspace check --hide-inclusion-graph bans licenses sources

audit: ## Check dependencies against the advisory database (needs the network)
	@scripts/setup lint
	cargo deny --workspace check advisories

bench: ## Measure the same work on Weft and on its peers, in one run: ratios
	@scripts/setup build postgres python
	cargo build --release --workspace --bins
	@$(MAKE) $(BENCH_VENV)/.ready
	PATH="$(abspath $(BENCH_VENV))/bin:$$PATH" WEFT_BIN="$${CARGO_TARGET_DIR:-target}/release/weft" \
		python benches/peers/bench.py $(ARGS)

docs: ## Write anew what is made from the code: docs/, JSON Schemas, snapshots
	WEFT_UPDATE=1 INSTA_UPDATE=always cargo test --workspace --lib --bins --tests $(ARGS)

fmt: ## Format the code
	cargo fmt --all

setup: ## Install what is missing for all of the above
	@scripts/setup build lint mariadb pgbouncer postgres
	@$(MAKE) $(VENV)/.ready

$(BENCH_VENV)/.ready: benches/peers/requirements.txt
	python3 -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

# The Python clients that the tests drive. Made anew when their list changes.
$(VENV)/.ready: $(REQUIREMENTS)
	@scripts/setup python
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --requirement $(REQUIREMENTS)
	@touch $@
