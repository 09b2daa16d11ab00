"""The table, the verdict of each claim, and the summary."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from .check import FALSE_ALARM, Check, threshold
from .known import Known


@dataclass(frozen=True)
class Verdict:
    """What a run of the audit found.

    Attributes:
        limit: The |z| beyond which a check fails.
        failed: The checks that fail, the worst of each key first.
        unexpected: Keys that fail and are not known to.
        mended: Patterns of known failures of which a key that was drawn holds now.
    """

    limit: float
    failed: dict[str, list[Check]]
    unexpected: list[str]
    mended: list[str]

    @property
    def ok(self) -> bool:
        """Whether exactly the known failures failed."""
        return not self.unexpected and not self.mended


def judge(checks: list[Check], known: Sequence[Known], full: bool) -> Verdict:
    """Compares what failed with what is known to.

    Args:
        checks: All checks of the run.
        known: The known failures.
        full: Whether it was the whole audit, whose draws show every known failure.
    """
    limit = threshold(checks)
    failed: dict[str, list[Check]] = {}
    for check in checks:
        if not check.passes(limit):
            failed.setdefault(check.key, []).append(check)
    for each in failed.values():
        each.sort(key=lambda check: -abs(check.z))
    keys = dict.fromkeys(check.key for check in checks)
    unexpected = [key for key in failed if not any(fnmatchcase(key, each.pattern) for each in known)]
    mended = [
        f"{key} (listed as {each.pattern!r})"
        for each in known
        if full or each.short
        for key in keys
        if fnmatchcase(key, each.pattern) and key not in failed
    ]
    return Verdict(limit, failed, unexpected, mended)


def _number(value: float) -> str:
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:.0f}" if value == round(value) and abs(value) < 1e6 else f"{value:.4g}"


def row(check: Check, limit: float) -> str:
    """A check as a row of the table."""
    cells = [
        check.claim,
        check.law,
        check.strategy,
        check.figure,
        _number(check.estimate),
        _number(check.truth) + (f" ± {_number(check.allowance)}" if check.allowance > 2e-5 * abs(check.truth) else ""),
        _number(check.error) if check.error else "exact",
        f"{check.z:.1f}",
        "pass" if check.passes(limit) else "FAIL",
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


HEADER = """| claim | law | strategy | figure | estimate | truth | standard error | z | |
|---|---|---|---|---:|---:|---:|---:|---|"""


def table(checks: list[Check], limit: float) -> str:
    """All checks as a table in Markdown."""
    return "\n".join([HEADER, *(row(check, limit) for check in checks)])


def summary(checks: list[Check], verdict: Verdict) -> str:
    """The worst check of each claim that failed, what is new, and the error of the whole."""
    tests = [check for check in checks if check.error > 0]
    passed = [abs(check.z) for check in tests if check.passes(verdict.limit)]
    lines = []
    if verdict.failed:
        lines += ["Claims that fail, by the worst of their checks:", "", HEADER]
        lines += [row(worst[0], verdict.limit) for worst in verdict.failed.values()]
        lines += [""]
    for key in verdict.unexpected:
        lines.append(f"NEW FAILURE: {key}: {len(verdict.failed[key])} checks")
    for key in verdict.mended:
        lines.append(f"NO LONGER FAILS, take it off the list of known failures: {key}")
    lines += [
        f"{len(checks)} checks, {len(tests)} of them tests with a standard error and {len(checks) - len(tests)} exact. "
        f"A test fails beyond |z| = {verdict.limit:.2f}, so that a run in which every claim holds fails by chance with "
        f"probability {FALSE_ALARM:g} in all (Šidák). The largest |z| that passes: {max(passed, default=0.0):.2f}.",
        "Seeds of populations and draws are fixed; salts of pools are the server's and differ in every run.",
        f"{len(verdict.failed)} claims fail, {len(verdict.failed) - len(verdict.unexpected)} of them known; "
        f"{len(verdict.unexpected)} new failures, {len(verdict.mended)} known failures that hold now.",
    ]
    return "\n".join(lines)
