# Two commands do everything on a Debian machine with Rust: `make run` and `make test`. Build output lives outside the checkout.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

CACHE ?= $(HOME)/.cache/conclave
export CARGO_TARGET_DIR ?= $(CACHE)/target

# RocksDB is built once, with these flags, into a folder named after version and flags (see docs/adr/0002-rocksdb-once.md).
ROCKSDB_SYS := 0.19.0
ROCKSDB_VERSION := 11.8.1
ROCKSDB_CXXFLAGS := $(if $(filter x86_64,$(shell uname -m)),-msse4.2 -mpclmul,)
ROCKSDB_DIR := $(CACHE)/rocksdb-$(ROCKSDB_VERSION)-lz4$(if $(ROCKSDB_CXXFLAGS),-sse42,)
export ROCKSDB_LIB_DIR := $(ROCKSDB_DIR)
export ROCKSDB_STATIC := 1

# What is packaged: the daemon, and the tools that are in this tree.
PROGRAMS := conclave $(if $(wildcard bin/ctl/Cargo.toml),conclavectl) $(if $(wildcard bin/utl/Cargo.toml),conclaveutl) \
    $(if $(wildcard bin/bench/Cargo.toml),conclave-bench)
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
COMMIT ?= $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
# The same sources give the same package. For packages alone: build scripts of C libraries look at it, so that everywhere else each commit
# would compile them, and all that depends on them, anew.
programs install dist deb: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || date +%s)
# dist is built with fat LTO; PROFILE=release is quicker, PROFILE=dev for a look at the packages themselves
PROFILE ?= dist
BINARIES := $(CARGO_TARGET_DIR)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))
PACKAGES ?= $(CARGO_TARGET_DIR)/packages
TAR := conclave-$(VERSION)-linux-$(shell uname -m)
PREFIX ?= /usr/local
DESTDIR ?=

.PHONY: help run cluster test deps build programs install dist deb quick verify fix deny unit model env sim chaos mutants fuzz ceiling compare

help: ## Show this list.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: deps ## Build and start a single member on 127.0.0.1:2379 (data in ./default.etcd).
	cargo build --release -p conclave
	$(CARGO_TARGET_DIR)/release/conclave $(ARGS)

cluster: deps ## Build and start three members on 2379, 22379 and 32379 with one log; Ctrl-C stops them.
	cargo build --release -p conclave
	bin/cluster.sh $(CARGO_TARGET_DIR)/release/conclave $(ARGS)

build: deps ## Build the daemon and its tools.
	cargo build --release $(addprefix -p ,$(PROGRAMS))

programs: deps ## Build every program as it is packaged and benchmarked (fat LTO).
	CONCLAVE_COMMIT=$(COMMIT) cargo build --profile $(PROFILE) $(addprefix -p ,$(PROGRAMS))

install: ## Install what `make programs` has built: PREFIX=/usr/local DESTDIR=
	@for program in $(PROGRAMS); do [ -x $(BINARIES)/$$program ] || { \
	    echo "$(BINARIES)/$$program is not there: make programs; sudo make install CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)"; exit 1; }; done
	DESTDIR=$(DESTDIR) PREFIX=$(PREFIX) bin/packaging/stage.sh $(BINARIES) $(VERSION) $(PROGRAMS)

# made for /usr/local: tar -C /usr/local --strip-components=1 -xzf …
dist: programs ## Pack programs, man pages, completions and service files into a tar.
	rm -rf $(PACKAGES)/$(TAR)
	DESTDIR=$(PACKAGES)/$(TAR) PREFIX= SYSCONFDIR=/etc BINDIR=/usr/local/bin ENVFILE=/usr/local/etc/default/conclave \
	    bin/packaging/stage.sh $(BINARIES) $(VERSION) $(PROGRAMS)
	tar -C $(PACKAGES) --sort=name --owner=0 --group=0 --numeric-owner --mtime=@$(SOURCE_DATE_EPOCH) -czf $(PACKAGES)/$(TAR).tar.gz $(TAR)
	rm -rf $(PACKAGES)/$(TAR)
	@echo $(PACKAGES)/$(TAR).tar.gz

# cargo-deb reads what was staged below the folder of the profile
deb: programs ## Make a Debian package (needs cargo install cargo-deb).
	@command -v cargo-deb >/dev/null || { echo "Please install cargo-deb: cargo install cargo-deb"; exit 1; }
	rm -rf $(BINARIES)/stage
	DESTDIR=$(BINARIES)/stage PREFIX=/usr bin/packaging/stage.sh $(BINARIES) $(VERSION) $(PROGRAMS)
	cargo deb --no-build --no-strip --profile $(PROFILE) -p conclave --output $(PACKAGES)/

test: deps verify unit ## Every check and every test.

# BASE is what the change is compared with: the last commit, or a branch.
quick: deps ## Formatting, tidy, clippy and the unit tests of the crates that changed since BASE (HEAD).
	cargo fmt --all --check
	cargo run -q -p conclave-tidy -- .
	@changed=$$(.ci/changed $(or $(BASE),HEAD)); if [ -z "$$changed" ]; then echo "no crate has changed since $(or $(BASE),HEAD)"; else \
	    set -x; cargo clippy -q $$changed --all-targets -- -D warnings; cargo test -q $$changed --lib --bins; fi

verify: deps ## Formatting, lints, documentation, sizes, headers, imports and crate edges; writes nothing.
	cargo fmt --all --check
	cargo run -q -p conclave-tidy -- .
	cargo clippy -q --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc -q --workspace --no-deps --lib

fix: deps ## Format the code and apply what clippy can repair.
	cargo clippy -q --workspace --all-targets --fix --allow-dirty --allow-staged
	cargo fmt --all

deny: ## Licences, duplicates and sources of dependencies (needs cargo install cargo-deny).
	@command -v cargo-deny >/dev/null || { echo "Please install cargo-deny: cargo install cargo-deny --locked"; exit 1; }
	cargo deny --offline check licenses bans sources

unit: deps ## Every test; ends with the test runner's own summary.
	cargo build --release -p conclave
	CONCLAVE_BIN=$(CARGO_TARGET_DIR)/release/conclave .ci/unit

# OPS, SEED, and EPOCH and KEEP of a failure; ENDPOINT of a running server, whose data is lost, and SERVER=etcd when that is one.
model: deps ## Compare the daemon (or ENDPOINT=host:port) with the specification of the API, for OPS operations.
	cargo build --release -p conclave
	CONCLAVE_BIN=$(CARGO_TARGET_DIR)/release/conclave cargo run --release -q -p conclave-tests --bin model -- --ops $(or $(OPS),100000) \
	    $(if $(ENDPOINT),--endpoint $(ENDPOINT)) $(if $(SERVER),--server $(SERVER)) $(if $(SEED),--seed $(SEED)) \
	    $(if $(EPOCH),--epoch $(EPOCH)) $(if $(KEEP),--keep $(KEEP))

# SECONDS is the shell's own variable as well: only what is given on the command line counts
SIM_SECONDS := $(if $(filter command line,$(origin SECONDS)),$(SECONDS),60)

sim: deps ## Crash simulator: make sim SECONDS=60 runs on, make sim SEED=7 repeats one seed and shows its events.
	cargo run -q --release -p conclave-tests --bin sim -- $(if $(SEED),--seed $(SEED),--seconds $(SIM_SECONDS)) $(ARGS)

# SECONDS as for sim; SEED repeats a plan, ONLY=KillLeader runs one fault.
chaos: deps ## Three processes under random faults with a judged history: make chaos SECONDS=600 (SEED=7 ONLY=CutLeader).
	cargo build --release -p conclave -p conclave-tests --bin conclave --bin chaos
	CONCLAVE_BIN=$(CARGO_TARGET_DIR)/release/conclave $(CARGO_TARGET_DIR)/release/chaos --seconds $(SIM_SECONDS) \
	    $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY)) $(ARGS)

mutants: deps ## Each deliberate bug under the simulator: who finds it, at which seed, in which time.
	cargo run -q --release -p conclave-tests --features mutants --bin sim -- --mutants --from 1 --seconds $(SIM_SECONDS) $(ARGS)

# libFuzzer with the stable toolchain: coverage without a sanitizer, as `cargo fuzz run --sanitizer none` would build it.
FUZZ_FLAGS := -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing
FUZZ_HOST := $(shell rustc -vV | sed -n 's/^host: //p')
FUZZ_DIR ?= $(CACHE)/fuzz
TARGET ?= wal
FUZZ_SECONDS := $(if $(filter command line,$(origin SECONDS)),$(SECONDS),600)

fuzz: deps ## Fuzz one target: make fuzz TARGET=wal SECONDS=600 (targets: ls tests/fuzz/fuzz_targets).
	@test -f tests/fuzz/fuzz_targets/$(TARGET).rs || { echo "no target $(TARGET); there are: $$(ls tests/fuzz/fuzz_targets | sed 's/\.rs//' | xargs)"; exit 1; }
	cp Cargo.lock tests/fuzz/Cargo.lock
	RUSTFLAGS="$(FUZZ_FLAGS)" CARGO_TARGET_DIR=$(FUZZ_DIR)/target \
	    cargo build --release --manifest-path tests/fuzz/Cargo.toml --target $(FUZZ_HOST) --bin $(TARGET)
	mkdir -p $(FUZZ_DIR)/found/$(TARGET) $(FUZZ_DIR)/crash/$(TARGET) $(FUZZ_DIR)/tmp
	cd tests && TMPDIR=$(FUZZ_DIR)/tmp $(FUZZ_DIR)/target/$(FUZZ_HOST)/release/$(TARGET) -max_total_time=$(FUZZ_SECONDS) -max_len=16384 -timeout=60 \
	    -rss_limit_mb=4096 -print_final_stats=1 -artifact_prefix=$(FUZZ_DIR)/crash/$(TARGET)/ $(FUZZ_DIR)/found/$(TARGET) fuzz/corpus/$(TARGET)
	@echo "no crash; inputs of new coverage are in $(FUZZ_DIR)/found/$(TARGET)"

ceiling: deps ## The memory ceiling at full size (minutes, a quiet machine); ETCD_BIN=… measures an etcd beside it, ARGS names scenarios.
	cargo build --release -p conclave -p conclave-tests --bin conclave --bin ceiling
	CONCLAVE_BIN=$(CARGO_TARGET_DIR)/release/conclave $(CARGO_TARGET_DIR)/release/ceiling $(ARGS)

# OUT is where the three files go, ARGS more flags (--only=cpu,one …; compare --help lists them). A quiet machine, please.
OUT ?= .
compare: deps ## Measure Conclave beside an etcd: make compare ETCD=/usr/bin/etcd MEMBERS=1 ROUNDS=3 writes compare-1.md, .json and .svg.
	@test -x "$(ETCD)" || { echo "Please name an etcd to compare with: make compare ETCD=/usr/bin/etcd"; exit 1; }
	cargo build --release -p conclave -p conclave-benches -p conclave-net --bin conclave --bin compare --example echo
	$(CARGO_TARGET_DIR)/release/compare --conclave=$(CARGO_TARGET_DIR)/release/conclave --etcd=$(ETCD) \
	    --echo=$(CARGO_TARGET_DIR)/release/examples/echo --members=$(or $(MEMBERS),1) --rounds=$(or $(ROUNDS),3) --whole=7200 \
	    --out=$(OUT)/compare-$(or $(MEMBERS),1).md --json=$(OUT)/compare-$(or $(MEMBERS),1).json \
	    --chart=$(OUT)/compare-$(or $(MEMBERS),1).svg $(ARGS)

env: ## Print what a shell needs to call cargo directly: eval "$(make env)".
	@echo 'export CARGO_TARGET_DIR="$(CARGO_TARGET_DIR)" ROCKSDB_LIB_DIR="$(ROCKSDB_LIB_DIR)" ROCKSDB_STATIC=1'

deps: $(ROCKSDB_DIR)/librocksdb.a ## Install what the build needs, and build RocksDB once.

# A C++ compiler for RocksDB, libclang for its bindings (libclang-cpp alone does not serve): installed where apt-get may, named where it may not.
.PHONY: packages
packages:
	@missing=; for tool in cc:build-essential c++:build-essential; do \
	    command -v $${tool%%:*} >/dev/null || missing="$$missing $${tool##*:}"; done; \
	ls /usr/lib/llvm-*/lib/libclang.so* /usr/lib/llvm-*/lib/libclang-[0-9]*.so* 2>/dev/null | grep -q . || missing="$$missing libclang-dev"; \
	if [ -n "$$missing" ]; then \
	    if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	    else echo "Please install:$$missing   (Debian: sudo apt-get install --no-install-recommends$$missing)"; exit 1; fi; fi
	@command -v cargo >/dev/null || { echo "Please install Rust 1.89 or newer: https://rustup.rs"; exit 1; }

$(ROCKSDB_DIR)/librocksdb.a: | packages
	@echo "Building RocksDB $(ROCKSDB_VERSION) once (about 12 minutes on two cores) into $(ROCKSDB_DIR)"
	env -u ROCKSDB_LIB_DIR -u ROCKSDB_STATIC CXXFLAGS="$(ROCKSDB_CXXFLAGS)" CARGO_TARGET_DIR=$(CACHE)/rocksdb-build \
	    cargo build --release -p librocksdb-sys@$(ROCKSDB_SYS)+$(ROCKSDB_VERSION)
	mkdir -p $(ROCKSDB_DIR)
	cp "$$(ls -t $(CACHE)/rocksdb-build/release/build/librocksdb-sys-*/out/librocksdb.a | head -1)" $@.part
	mv $@.part $@
	rm -rf $(CACHE)/rocksdb-build
