#!/usr/bin/env bash
# Checks links, spelling, the contract, formatting, clippy with warnings denied, and licences and sources of all dependencies.
set -euo pipefail
cd "$(dirname "$0")/.."

# Check links if git can list the pages.
if git rev-parse --git-dir >/dev/null 2>&1; then
    python3 tests/lint/links.py
fi

# typos and buf are Python wheels. They have their own virtual environment, which is updated when requirements.txt changes.
tools=${CARGO_TARGET_DIR:-target}/lint
install_tools() {
    cmp -s tests/lint/requirements.txt "$tools/.installed" && return
    python3 -m venv "$tools" &&
        "$tools/bin/python" -m pip install --quiet --disable-pip-version-check -r tests/lint/requirements.txt &&
        cp tests/lint/requirements.txt "$tools/.installed"
}
if install_tools; then
    "$tools/bin/typos"
    tests/lint/contract.sh "$tools/bin/buf"
elif [ -n "${CI:-}" ]; then
    echo "lint: typos and buf cannot be installed" >&2
    exit 1
else
    echo "lint: typos and buf cannot be installed, spelling and the contract not checked" >&2
fi

cargo fmt --all --check
rustfmt --edition 2024 --check crates/partition/fuzz/load.rs
cargo clippy --locked --workspace --all-targets -- -D warnings
# The client must build alone, with few dependencies; the server must build without the command line, and the command line without the server.
cargo clippy --locked --no-default-features --features client -- -D warnings
for features in server cli; do
    cargo check --locked --no-default-features --features "$features"
done
if cargo tree --locked --no-default-features --features client --edges normal --prefix none | grep -E '^(axum|clap|hardneg-partition|serde_json) '; then
    echo "lint: the feature client has dependencies that only the server or the command line needs" >&2
    exit 1
fi
if command -v cargo-deny >/dev/null; then
    # Of every target, so that nothing is left to download; advisories need a database from the network: not here.
    cargo fetch --quiet --locked
    cargo deny --offline --log-level error check licenses bans sources
else
    echo "lint: cargo-deny is not installed, licences not checked (cargo install cargo-deny --locked)" >&2
fi
