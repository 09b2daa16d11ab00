"""The part of docs/statistics.md that the audit writes: each claim in a line, then what is known to fail."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from .check import FALSE_ALARM, Check
from .known import Known
from .report import HEADER, Verdict, row

BEGIN, END = "<!-- audit: begin -->", "<!-- audit: end -->"


def digest(checks: list[Check], known: Sequence[Known], verdict: Verdict) -> str:
    """The claims, the known failures with the worst of their checks, and the error of the whole run."""
    lines = [
        "| claim | laws | policies | checks | policies that fail | largest z of those that pass |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for claim in dict.fromkeys(check.claim for check in checks):
        of_claim = [check for check in checks if check.claim == claim]
        policies = {check.strategy for check in of_claim}
        failing = {check.strategy for check in of_claim if check.key in verdict.failed}
        passing = [abs(check.z) for check in of_claim if check.passes(verdict.limit) and check.error > 0]
        largest = f"{max(passing):.1f}" if passing else "exact"
        laws = len({check.law for check in of_claim})
        lines.append(f"| {claim} | {laws} | {len(policies)} | {len(of_claim)} | {len(failing) or ''} | {largest} |")
    tests = sum(check.error > 0 for check in checks)
    counts = (
        f"These are {len(checks)} checks: {tests} tests with a standard error, and {len(checks) - tests} of figures "
        f"without chance. A test fails beyond |z| = {verdict.limit:.2f}, so that a run in which every claim holds "
        f"fails by chance with probability {FALSE_ALARM:g} in all."
    )
    lines += [
        "",
        *textwrap.wrap(counts, 150),
        "",
        "### What is known to fail",
        "",
    ]
    if not verdict.failed:
        return "\n".join([*lines, "Nothing: every claim holds."])
    for each in known:
        worst = [checks[0] for key, checks in verdict.failed.items() if fnmatchcase(key, each.pattern)]
        if worst:
            lines.append(f"- **{each.pattern.replace('*', chr(92) + '*')}**: {each.found}")
    lines += ["", "The worst check of each policy that fails:", "", HEADER]
    lines += [row(worst[0], verdict.limit) for worst in verdict.failed.values()]
    return "\n".join(lines)


def write(page: Path, text: str) -> None:
    """Replaces what stands between the two marks of a page.

    Raises:
        ValueError: The page does not have both marks.
    """
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page} has no {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")
