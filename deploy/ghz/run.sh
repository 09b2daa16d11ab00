#!/usr/bin/env bash
# Loads a fresh hardneg server with ghz: ReportScores, StreamScores, MineBatch, each with real binary data.
# usage: deploy/ghz/run.sh [HARDNEG_BINARY]      seconds a run: GHZ_SECONDS (10)
# Prints one line a run and leaves ghz's JSON reports in target/ghz. Needs ghz:
#   go install github.com/bojand/ghz/cmd/ghz@latest
set -euo pipefail
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
bin=${1:-$target/release/hardneg}
out=$target/ghz
seconds=${GHZ_SECONDS:-10}
PATH="$(go env GOPATH 2>/dev/null || echo "$HOME/go")/bin:$PATH"
if ! command -v ghz >/dev/null; then
    echo "installing ghz" >&2
    go install github.com/bojand/ghz/cmd/ghz@latest
fi
mkdir -p "$out"
cargo run --quiet --release --locked --example ghz_data -- "$out"

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
server=127.0.0.1:$port
"$bin" serve --listen "$server" 2>"$out/server.log" &
pid=$!
trap 'kill $pid 2>/dev/null; wait $pid 2>/dev/null || true' EXIT
for _ in $(seq 100); do "$bin" --server "http://$server" health >/dev/null 2>&1 && break; sleep 0.1; done
"$bin" --server "http://$server" pool create ghz --capacity 1000000 >/dev/null

# name, call, data, concurrent calls, rows a call
run() {
    local name=$1 call=$2 data=$3 concurrency=$4 rows=$5
    ghz --config deploy/ghz/common.json --call "hardneg.v1.MiningService.$call" --binary-file "$out/$data" --name "$name" \
        --concurrency "$concurrency" --connections "$concurrency" --duration "${seconds}s" \
        --format json --output "$out/$name.json" "$server"
    python3 deploy/ghz/summary.py "$out/$name.json" "$name" "$rows"
}
printf '| run | calls/s | rows/s | p50 ms | p95 ms | p99 ms | not OK |\n|---|---|---|---|---|---|---|\n'
for c in 1 4 16; do run "ReportScores-c$c" ReportScores report.bin "$c" 4096; done
for c in 1 4; do run "StreamScores-c$c" StreamScores stream.bin "$c" 65536; done
for c in 1 4 16; do run "MineBatch-c$c" MineBatch mine.bin "$c" 256; done
