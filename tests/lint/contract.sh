#!/usr/bin/env bash
# Checks the contract in proto/ with buf: its lint, and changes that break clients.
#     tests/lint/contract.sh BUF      with BASE=COMMIT it compares with that commit, and fails on breaking changes
#
# A release is a tag v*. Once there is one, the contract is compared with the latest release, and a breaking change fails.
# Before the first release compatibility is not promised. Then the contract is compared with HEAD~1 (HEAD while files of
# proto/ differ from it), and breaking changes are only printed, so that nobody makes one without noticing.
set -euo pipefail
cd "$(dirname "$0")/../.."
buf=${1:?usage: tests/lint/contract.sh BUF}
"$buf" lint

git rev-parse --verify --quiet HEAD >/dev/null || { echo "lint: no git checkout, the contract is compared with nothing" >&2; exit 0; }
released=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || true)
base=${BASE:-$released}
promised=$base
[ -n "$base" ] || { git diff --quiet HEAD -- proto && base=HEAD~1 || base=HEAD; }
git rev-parse --verify --quiet "$base^{commit}" >/dev/null || {
    [ -z "${BASE:-}" ] || { echo "lint: there is no commit $BASE" >&2; exit 2; }
    echo "lint: $base is not in this checkout, the contract is compared with nothing" >&2
    exit 0
}
before=$(mktemp -d)
trap 'rm -r "$before"' EXIT
git archive "$base" proto | tar -x -C "$before"
cp buf.yaml "$before"
status=0
"$buf" breaking --against "$before" || status=$?
case $status in
    0) ;;
    100) # buf's code for findings; any other is a failure of buf itself.
        if [ -n "$promised" ]; then
            echo "lint: the contract breaks clients of $base" >&2
            exit 1
        fi
        echo "lint: the contract differs from $base as above; nothing is released yet, so this is no failure" >&2
        ;;
    *) exit "$status" ;;
esac
