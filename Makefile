# The only commands anyone needs. Each installs what a bare Debian 12 with Rust, gcc, make and Python lacks, and nothing twice.

SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
CARGO := cargo

# $(call need,PROGRAM,PACKAGE): installs PACKAGE when PROGRAM is not there.
need = @command -v $(1) >/dev/null 2>&1 || { echo "installing $(2)"; $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq $(2) >/dev/null; }

.PHONY: demo test lint bench faults soak fuzz mutants release prerequisites
.DEFAULT_GOAL := demo

prerequisites:
	$(call need,cmake,cmake)
	$(call need,cc,build-essential)

# The five services and the gateway with a fresh secret; Ctrl-C ends it.
demo: prerequisites
	$(CARGO) build --profile demo --locked -p hilum -p hilum-demo
	exec target/demo/hilum-demo

# With a real Redis and a real browser, which the tests start and end themselves.
test: prerequisites
	$(call need,redis-server,redis-server)
	$(call need,chromium,chromium)
	$(CARGO) test --locked --workspace --no-fail-fast

lint: prerequisites
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items

# Instructions and CPU of the bare proxy and of Hilum, side by side; writes nothing, prints the table of benches/README.md.
bench: prerequisites
	$(call need,valgrind,valgrind)
	$(CARGO) bench --locked -p hilum-filters
	$(CARGO) bench --locked -p hilum --bench identity
	$(CARGO) test --release --locked -p hilum --test ops -- --nocapture bad_tokens records_are_verified
	$(CARGO) test --release --locked -p hilum --test slow -- --nocapture five_thousand
	$(CARGO) test --release --locked -p hilum --test many -- --nocapture
	$(CARGO) build --release --locked -p hilum --bins --bench load
	benches/load/run

# What becomes of requests when peers die, Redis goes away, files change and processes are replaced, with nginx and HAProxy beside it where
# they can be had; a quarter of an hour. FAULTS is a part of the names of scenarios. Writes nothing, prints the table of tests/README.md.
faults: prerequisites
	$(call need,redis-server,redis-server)
	$(CARGO) test --release --locked -p hilum --test faults -- full $(FAULTS) $$(tests/faults/peers)

# Ten minutes of a mild load with another fault each minute; `make test` has two.
soak: prerequisites
	$(call need,redis-server,redis-server)
	$(CARGO) test --release --locked -p hilum --test faults -- soak 10m

# Searches for inputs that break a promise, FUZZ_SECONDS (20) for each target; what is known already is replayed by `make test`.
fuzz: prerequisites
	@command -v cargo-fuzz >/dev/null 2>&1 || $(CARGO) install --locked cargo-fuzz
	fuzz/run

# Searches for tests that are missing: changes the code of tests/mutants.toml in one place at a time, in a copy. About two hours; less with
# MUTANTS, a part of their names, as in `make mutants MUTANTS=proxy/forward`. What no test noticed is in target/mutants.out/missed.txt.
mutants: prerequisites
	@command -v cargo-mutants >/dev/null 2>&1 || $(CARGO) install --locked cargo-mutants
	$(CARGO) mutants --config tests/mutants.toml $(MUTANTS:%=--re %)

# The binary that ships: target/release/hilum
release: prerequisites
	$(CARGO) build --release --locked -p hilum
