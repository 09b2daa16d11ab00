#!/usr/bin/env bash
# Trains the face detector on mined negatives: starts a server, compares all arms against it, stops the server.
#     examples/face_detection/demo.sh BIN PYTHON [--quick] [--out DIR] [options of `python -m face_detection`]
set -euo pipefail

if [ $# -lt 2 ] || [ ! -x "$1" ] || ! command -v "$2" >/dev/null; then
    echo "usage: demo.sh BIN PYTHON [--quick] [--out DIR]; BIN is the hardneg server, PYTHON has its client" >&2
    exit 2
fi
bin=$1 python=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
out=${CARGO_TARGET_DIR:-$here/../../target}/demo
arguments=()
while [ $# -gt 0 ]; do
    case $1 in
        --out) out=${2:?--out needs a folder} && shift ;;
        --out=*) out=${1#--out=} ;;
        *) arguments+=("$1") ;;
    esac
    shift
done
mkdir -p "$out"
out=$(cd "$out" && pwd)
log=$out/server.log

server='' job=''
stop() {
    code=$?
    trap '' INT TERM # a second Ctrl-C must not leave the server behind
    for pid in $job $server; do
        if kill -TERM "$pid" 2>/dev/null; then wait "$pid" || true; fi
    done
    exit "$code"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# In a process group of its own, so that Ctrl-C reaches it only after the workers are gone.
set -m
"$bin" serve --listen 127.0.0.1:0 --http-listen off --log-format json 2>"$log" &
server=$!
set +m

address=''
for _ in $(seq 150); do
    address=$(sed -n '/"message":"listening"/s/.*"address":"\([^"]*\)".*/\1/p' "$log")
    if [ -n "$address" ] && "$bin" health --server "http://$address" --quiet; then break; fi
    if ! kill -0 "$server" 2>/dev/null; then address='' && break; fi
    address=''
    sleep 0.1
done
if [ -z "$address" ]; then
    echo "the server does not serve; its log:" >&2
    tail -n 20 "$log" >&2
    exit 1
fi
echo "hardneg serves on $address"

# In the background and waited for: bash handles signals only between commands in the foreground.
PYTHONPATH="$here/..${PYTHONPATH:+:$PYTHONPATH}" "$python" -m face_detection --server "$address" --out "$out" \
    ${arguments[@]+"${arguments[@]}"} &
job=$!
wait "$job"
