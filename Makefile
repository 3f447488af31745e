# Two commands do all the set-up on a fresh Debian machine:  make demo   and   make check
SHELL := /bin/bash
CARGO ?= cargo
FUZZ_SECONDS ?= 600
.PHONY: help deps build release demo hil hil-short check fmt clippy size test doc fuzz fuzz-short bench deb system-test vm-test deny clean

help: ## say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

deps: ## install what the other targets need (Debian packages), and say so
	@tools/deps.sh

build: deps ## build everything, for debugging
	$(CARGO) build --workspace --all-features

release: deps ## build the programs as they are shipped
	$(CARGO) build --release -p tapid -p tapictl -p tapi-sim

demo: release ## a SIP call and a modem call: placed, answered, bridged, heard, and kept over a restart
	@python3 demo/demo.py --bin target/release

hil: release ## calls over the modems of tests/hil/rig.toml, or over simulated ones: measured, into target/hil
	@python3 tests/hil/run.py --bin target/release

hil-short: deps ## tests of hil's judgement, and a few of its scenarios on simulated modems, in two minutes
	@python3 -m unittest discover -q -s tests/hil -p 'test_*.py'
	$(CARGO) build --workspace --all-features --bins
	@python3 tests/hil/run.py --short --bin $${CARGO_TARGET_DIR:-target}/debug --results target/hil-short

check: deps fmt clippy size test doc fuzz-short hil-short ## everything that must pass
	@echo "check: all passed"

fmt: ## formatting
	$(CARGO) fmt --all --check

clippy: ## lints, warnings denied
	$(CARGO) clippy --workspace --all-targets --all-features -- -D warnings

size: ## files up to 500 lines, tests aside
	@tools/size.sh

test: deps ## unit, pair, world and process tests
	$(CARGO) test --workspace --all-features

doc: ## documentation, warnings denied
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --all-features --no-deps

fuzz-short: ## every fuzz target for three seconds, with overflow checks
	$(CARGO) run -q -p tapi-fuzz -- --seconds 3

fuzz: ## every fuzz target for long (FUZZ_SECONDS=600)
	$(CARGO) run --profile fuzz -q -p tapi-fuzz -- --seconds $(FUZZ_SECONDS)

bench: release ## figures: packets, calls, memory, round trips, as multiples within one run
	$(CARGO) build --release -p tapi-bench -p msp-engine --examples
	@tools/bench.sh

deb: release ## Debian packages, into target/deb
	@tools/deps.sh deb
	@tools/deb.sh

system-test: ## the packages on a machine with a real systemd, in a container that the test makes: needs root
	@tools/deps.sh
	@tools/deps.sh deb
	@tools/deps.sh system
	$(CARGO) build -p tapid -p tapictl -p tapi-sim
	@BIN=$${CARGO_TARGET_DIR:-target}/debug OUT=target/system/deb tools/deb.sh
	@python3 tests/system/run.py --deb target/system/deb --keep target/system; status=$$?; \
	 if [ $$status -eq 77 ]; then echo "system-test: NOT RUN on this machine, see above" >&2; else exit $$status; fi

vm-test: ## the packages in a virtual machine with real drivers: modems plugged in, ringing, pulled out; needs root
	@tools/deps.sh
	@tools/deps.sh deb
	@tools/deps.sh vm
	$(CARGO) build -p tapid -p tapictl -p tapi-sim
	@BIN=$${CARGO_TARGET_DIR:-target}/debug OUT=target/vm/deb tools/deb.sh
	@python3 tests/vm/run.py --deb target/vm/deb --keep target/vm; status=$$?; \
	 if [ $$status -eq 77 ]; then echo "vm-test: NOT RUN on this machine, see above" >&2; else exit $$status; fi

deny: ## licences, sources and advisories of what is linked (installs cargo-deny)
	@command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny
	@CARGO=$(CARGO) tools/deny.sh

clean: ## remove what was built
	$(CARGO) clean
