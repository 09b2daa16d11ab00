#!/usr/bin/env bash
# Every test, from a clean checkout: installs what is missing, then lint, Rust, Python client, demo end to end.
# HARDNEG_SKIP_LINT=1 leaves out the lint.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
say() { printf '\n== %s (%(%H:%M:%S)T)\n' "$1" -1; }

command -v cargo >/dev/null || { echo "Rust is needed: https://rustup.rs" >&2; exit 1; }
if ! cargo nextest --version >/dev/null 2>&1; then
    say "installing cargo-nextest"
    cargo install --quiet --locked cargo-nextest
fi

if [ -z "${HARDNEG_SKIP_LINT:-}" ]; then
    say "lint"
    tests/lint.sh
fi

say "Rust: unit, property, statistical, API over a socket"
profile=default
[ -z "${CI:-}" ] || profile=ci
cargo nextest run --locked --profile "$profile"
cargo test --locked --doc

say "Python client, against the real server"
cargo build --locked --bin hardneg
make --no-print-directory python
HARDNEG_BIN="$PWD/$target/debug/hardneg"
case $target in /*) HARDNEG_BIN=$target/debug/hardneg ;; esac
export HARDNEG_BIN
python=$target/venv/bin/python
"$python" -m pytest -q clients/python/tests
"$python" -m mypy --strict clients/python/src/hardneg
"$python" -m ruff check clients/python examples

say "The demo, two seeds, end to end"
examples/face_detection/demo.sh "$HARDNEG_BIN" "$python" --quick --out "$target/demo-quick"
