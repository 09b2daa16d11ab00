#!/usr/bin/env bash
# Formatting, clippy with warnings denied, licences and sources of every dependency.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo fmt --all --check
rustfmt --edition 2024 --check crates/partition/fuzz/load.rs
cargo clippy --locked --workspace --all-targets -- -D warnings
# The thin client must build alone, with few dependencies.
cargo clippy --locked --no-default-features --features client -- -D warnings
if command -v cargo-deny >/dev/null; then
    # Of every target, so that nothing is left to download; advisories need a database from the network: not here.
    cargo fetch --quiet --locked
    cargo deny --offline --log-level error check licenses bans sources
else
    echo "lint: cargo-deny is not installed, licences not checked (cargo install cargo-deny --locked)" >&2
fi
