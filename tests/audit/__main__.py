"""`python -m audit`: draws, and prints the table and the summary. It fails where other claims fail than the known."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from .check import Check
from .claims import CLAIMS
from .digest import digest, write
from .known import KNOWN
from .plan import FULL, QUICK
from .report import judge, summary, table
from .world import World


def main() -> int:
    """Runs the audit and returns its exit code."""
    parser = argparse.ArgumentParser(prog="audit", description="Audits the statistics of draws.")
    parser.add_argument("--quick", action="store_true", help="the short form: fewer laws, policies and draws")
    parser.add_argument("--only", nargs="+", choices=CLAIMS, default=list(CLAIMS), metavar="CLAIM", help="these claims")
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    parser.add_argument("--docs", type=Path, help="also write a digest into this page, between its marks")
    parser.add_argument("--failures", action="store_true", help="print only the checks that fail")
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else FULL
    begun = time.monotonic()
    checks: list[Check] = []
    with World() as world:
        for name in arguments.only:
            started, before = time.monotonic(), len(checks)
            checks += CLAIMS[name](world, plan)
            took = time.monotonic() - started
            print(f"{name}: {len(checks) - before} checks in {took:.0f} s", file=sys.stderr, flush=True)
    verdict = judge(checks, KNOWN, plan.full)
    rows = [check for check in checks if not (arguments.failures and check.passes(verdict.limit))]
    text = table(rows, verdict.limit) + "\n\n" + summary(checks, verdict)
    text += f"\nIt took {time.monotonic() - begun:.0f} s."
    print(text)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text + "\n", encoding="utf-8")
    if arguments.docs:
        write(arguments.docs, digest(checks, KNOWN, verdict))
    return 0 if verdict.ok else 1


if __name__ == "__main__":
    sys.exit(main())
