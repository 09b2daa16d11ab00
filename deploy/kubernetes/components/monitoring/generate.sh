#!/usr/bin/env bash
# Wraps deploy/prometheus/rules.yml, as it is, for the Prometheus operator: prometheusrule.yaml, or `-` for standard output.
set -euo pipefail
cd "$(dirname "$0")"
out=prometheusrule.yaml
[ "${1:-}" != - ] || out=/dev/stdout
{
    cat <<'HEAD'
# Made by generate.sh from deploy/prometheus/rules.yml: change that.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: hardneg
  labels:
    app.kubernetes.io/name: hardneg
spec:
HEAD
    sed 's/^\(..*\)$/  \1/' ../../../prometheus/rules.yml
} >"$out"
