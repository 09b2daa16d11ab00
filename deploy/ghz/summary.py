"""One table row of a ghz JSON report. usage: summary.py REPORT NAME ROWS_A_CALL; exits 1 when a call failed."""

import json
import sys

path, name, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
with open(path) as file:
    report = json.load(file)
at = {entry["percentage"]: entry["latency"] / 1e6 for entry in report["latencyDistribution"] or []}
failed = sum(count for status, count in report["statusCodeDistribution"].items() if status != "OK")
rate = report["rps"]
print(
    f"| {name} | {rate:,.0f} | {rate * rows:,.0f} | {at.get(50, 0):.2f} | {at.get(95, 0):.2f} | {at.get(99, 0):.2f} | {failed} |"
)
sys.exit(1 if failed else 0)
