#!/usr/bin/env bash
# Runs all tests from a clean checkout: installs missing tools, then runs lint, Rust, the Python client, the demo end to end, and deploy/.
# HARDNEG_SKIP_LINT=1 skips the lint.
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
cargo nextest run --locked --workspace --profile "$profile"
cargo test --locked --workspace --doc

say "Python client, against the real server"
cargo build --locked --bin hardneg
make --no-print-directory python
case $target in /*) ;; *) target=$PWD/$target ;; esac
export HARDNEG_BIN=$target/debug/hardneg
python=$target/venv/bin/python
"$python" -m pytest -q clients/python/tests
"$python" -m mypy --strict clients/python/src/hardneg
"$python" -m ruff check clients/python examples tests deploy benches
"$python" -m ruff format --check clients/python examples tests deploy benches

# Tests that need more than Rust and Python are skipped with a message when the tools are not available; in CI they must be.
wants() { # wants WHAT COMMAND: is the command there, or can apt bring it?
    if command -v "$2" >/dev/null || { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && [ "$2" != go ]; }; then return; fi
    [ -z "${CI:-}" ] || { echo "$2 is missing" >&2; exit 1; }
    left_out+=("$1: no $2")
    return 1
}
left_out=()

say "The demo, two seeds, end to end"
examples/face_detection/demo.sh "$HARDNEG_BIN" "$python" --quick --out "$target/demo-quick"

say "The audit of the statistics, its short form"
"$python" -m pytest -q tests/audit
tests/audit/run "$HARDNEG_BIN" "$python" --quick --failures

if wants "the ghz suite" go; then
    say "The ghz suite and its report"
    "$python" -m pytest -q tests/ghz
fi
if wants "make deploy-test" go && wants "make deploy-test" promtool; then
    say "Alerts, Grafana's dashboard, Kubernetes manifests, the systemd unit"
    tests/deploy/run "$python"
fi
if wants "make browser-test" chromedriver; then
    say "The dashboard in Chromium"
    tests/browser/run "$python"
fi

say "The image and the compose file on a Docker engine"
tests/compose/run "$python" || {
    # Not everywhere may an engine be started, or base images be had.
    [ $? = 77 ] || exit 1
    left_out+=("make compose-test: no Docker engine")
}

say "All passed"
[ ${#left_out[@]} = 0 ] || printf 'left out: %s\n' "${left_out[@]}"
