# Thin: each target says in one line what a person would type. CARGO_TARGET_DIR is honoured.
TARGET ?= $(or $(CARGO_TARGET_DIR),target)
BIN    := $(TARGET)/release/hardneg
VENV   ?= $(TARGET)/venv
PY     := $(VENV)/bin/python

.PHONY: help build demo audit test lint bench bench-guard fuzz ghz python browser-test compose-test deploy-test

help: ## What there is
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## The server and command line, optimised
	cargo build --release --locked --bin hardneg

python: $(VENV)/.ready
$(VENV)/.ready: clients/python/pyproject.toml examples/face_detection/requirements.txt
	python3 -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -e 'clients/python[test]' -r examples/face_detection/requirements.txt
	touch $@

demo: build python ## Train a face detector on mined negatives: starts a server, three workers, four arms, ten seeds
	examples/face_detection/demo.sh $(BIN) $(PY)

audit: build python ## The statistics of draws through the API, by a program of its own: claim, law, strategy, estimate, truth, standard error; a table in target/audit
	tests/audit/run $(BIN) $(PY) --out $(TARGET)/audit/table.md $(AUDIT)

test: ## Every test: lint, Rust (unit, statistics, API), Python client, end to end
	tests/run-all.sh

lint: ## Links, spelling, the contract (buf), formatting, clippy, licences
	tests/lint.sh

browser-test: python ## The dashboard in headless Chromium, against a debug build; leaves pictures in target/browser
	tests/browser/run $(PY)

compose-test: python ## Image and compose file on a Docker engine: built, brought up, used, taken down
	tests/compose/run $(PY)

deploy-test: python ## Alerts firing and silent, the Grafana dashboard, Kubernetes manifests against their schemas, the systemd unit
	tests/deploy/run $(PY)

bench: ## A partition alone, the store beside an ordered tree, mining beside ingestion, each policy beside plain PROPORTIONAL, anchored pools, then the service end to end beside a sink
	cargo bench --locked -p hardneg-partition
	cargo bench --locked --bench store
	cargo bench --locked --bench mining
	cargo bench --locked --bench policies
	cargo bench --locked --bench anchored
	cargo bench --locked --bench service

bench-guard: ## Is this tree slower than BASE (HEAD~1; HEAD if files differ from it)? RUNS=5 pairs of runs; REPORT=1 never fails
	python3 benches/guard.py --runs $(or $(RUNS),5) $(if $(BASE),--base $(BASE)) $(if $(filter-out 0,$(REPORT)),--report-only)

fuzz: ## Bytes that might be an image of a partition, for SECONDS=60, led by the code they reach (cargo-fuzz and a nightly compiler)
	HARDNEG_SEEDS=$(CURDIR)/crates/partition/fuzz/seeds cargo test --locked -p hardneg-partition --test mutations samples::the_images_of_the_corpus
	cd crates/partition && mkdir -p fuzz/corpus/load && cargo +nightly fuzz run load fuzz/corpus/load fuzz/seeds -- -max_total_time=$(or $(SECONDS),60)

ghz: build python ## Load with ghz at rising concurrency: ReportScores, StreamScores, MineBatch; a report in target/ghz
	PYTHON=$(PY) deploy/ghz/run --bin $(BIN) --out $(TARGET)/ghz
