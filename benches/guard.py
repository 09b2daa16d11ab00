"""Says whether the present tree is slower than a base commit. `make bench-guard` runs it.

Both trees are built, then the benches of both run in turn: base, present, present, base, ... What else the machine
does meanwhile slows both, so the ratio of two neighbouring runs says more than any time does. A figure's ratio is the
median over the pairs, and its spread is the lowest to the highest pair.

The benches print one `name value unit` line per figure when they are called with --guard.

Exits with 0 if no figure is beyond its limit, 1 if one is, and 2 if the two trees cannot be compared.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from statistics import median

# How far present / base may go, for figures by name. The first pattern that matches counts; others are only reported.
RATIO_LIMITS = {
    "upsert/*": 1.10,
    "insert_evict/*": 1.30,
    "census/*": 1.10,
    "mining/idle/*": 1.05,
    "anchored/*": 1.05,
    "service/cpu": 1.05,
}
# What the present value itself may be.
VALUE_LIMITS = {"bytes_per_entry/10000000": 35.0}

BENCHES = ("store", "mining", "anchored", "service")
# What a build is made from: if one of these differs from HEAD, HEAD is the base.
SOURCES = ("src", "crates", "proto", "benches", "build.rs", "Cargo.toml", "Cargo.lock")
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Part:
    """Figures that are measured by one call of a bench; `pairs` of calls a run, or one in all."""

    bench: str
    arguments: tuple[str, ...] = ()
    pairs: int = 1
    once: bool = False


# Small parts, so that both trees are measured close together. What is quick has more pairs; what never varies, one.
PARTS = (
    Part("store", ("memory",), once=True),
    Part("store", ("upsert",), pairs=3),
    Part("store", ("insert",)),
    Part("store", ("exponential",), pairs=2),
    Part("store", ("drop_and_top",), pairs=3),
    Part("mining", pairs=3),
    Part("anchored", pairs=2),
    Part("service", ("--entries", "1000000", "--seconds", "3"), pairs=3),
)


@dataclass(frozen=True)
class Tree:
    """A tree of sources, and where it is built."""

    name: str
    sources: Path
    target: Path


@dataclass(frozen=True)
class Figure:
    """One figure's values, pair by pair."""

    name: str
    unit: str
    base: tuple[float, ...]
    present: tuple[float, ...]

    @property
    def ratios(self) -> list[float]:
        """Present over base, a pair at a time."""
        return [present / base for base, present in zip(self.base, self.present, strict=True)]

    @property
    def limit(self) -> str:
        """The limit in words, or nothing."""
        if self.name in VALUE_LIMITS:
            return f"{VALUE_LIMITS[self.name]:g} {self.unit}"
        ratio = self._ratio_limit()
        return f"{ratio:.2f} x" if ratio else ""

    @property
    def is_beyond(self) -> bool:
        """Is it beyond its limit?"""
        if self.name in VALUE_LIMITS:
            return median(self.present) > VALUE_LIMITS[self.name]
        ratio = self._ratio_limit()
        return ratio is not None and median(self.ratios) > ratio

    def _ratio_limit(self) -> float | None:
        return next((limit for pattern, limit in RATIO_LIMITS.items() if fnmatch(self.name, pattern)), None)


class CannotCompare(Exception):
    """There is nothing to compare with; the message is one sentence for who called."""


def main() -> int:
    """Compare, print, judge."""
    options = parse_arguments()
    try:
        base, present = make_trees(options.base)
        programs = {tree.name: build(tree) for tree in (base, present)}
        figures = compare(programs, options.runs)
    except CannotCompare as reason:
        print(f"bench-guard: {reason}", file=sys.stderr)
        return 2
    print_table(figures)
    beyond = [figure.name for figure in figures if figure.is_beyond]
    print(f"\n{len(beyond)} beyond the limit: {', '.join(beyond)}" if beyond else "\nNo figure is beyond its limit.")
    return 1 if beyond and not options.report_only else 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Compare the speed of the present tree with that of a base commit.")
    parser.add_argument("--base", help="the commit to compare with (HEAD if sources differ from it, otherwise HEAD~1)")
    parser.add_argument("--runs", type=int, default=5, help="pairs of runs (5)")
    parser.add_argument("--report-only", action="store_true", help="exit with 0 whatever the figures are")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error("--runs is at least 1")
    return options


def make_trees(chosen: str | None) -> tuple[Tree, Tree]:
    """Check the base out below the target folder; the present one is where this file is."""
    target = Path(os.environ.get("CARGO_TARGET_DIR") or "target")
    target = target if target.is_absolute() else ROOT / target
    revision = chosen or ("HEAD" if git("status", "--porcelain", "--", *SOURCES) else "HEAD~1")
    commit = git("rev-list", "-1", revision, "--")
    without = [bench for bench in BENCHES if "--guard" not in git("show", f"{commit}:benches/{bench}.rs")]
    if without == list(BENCHES):
        raise CannotCompare(f"No bench of the base {revision} ({commit[:10]}) has a --guard mode.")
    base = Tree("base", target / "bench-guard" / "base", target / "bench-guard" / "target")
    check_out(commit, base.sources)
    seed(base, target)
    print(f"The base is {git('log', '-1', '--format=%h %s', commit)}", file=sys.stderr)
    for bench in without:
        print(
            f"Its benches/{bench}.rs has no --guard mode: that of the present tree is built with it.", file=sys.stderr
        )
        shutil.copyfile(ROOT / "benches" / f"{bench}.rs", base.sources / "benches" / f"{bench}.rs")
    return base, Tree("present", ROOT, target)


def git(*arguments: str, where: Path = ROOT) -> str:
    """What git prints."""
    done = subprocess.run(["git", "-C", str(where), *arguments], capture_output=True, text=True)
    if done.returncode:
        raise CannotCompare(f"git {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip()


def check_out(commit: str, folder: Path) -> None:
    """Make a worktree of a commit, or move the one that is there: then only what differs is built again."""
    if (folder / ".git").exists():
        git("checkout", "--quiet", "--force", "--detach", commit, where=folder)
    else:
        git("worktree", "prune")
        git("worktree", "add", "--quiet", "--detach", str(folder), commit)


def seed(base: Tree, target: Path) -> None:
    """Give the base the dependencies that are built already, which are most of the work."""
    if base.target.exists() or not (target / "release").exists():
        return
    unfinished = base.target.with_name("unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(target / "release", unfinished / "release", ignore=shutil.ignore_patterns("incremental"))
    # Cargo judges files by their age: it could take what is built of the present tree for the base's.
    command = ["cargo", "clean", "--quiet", "--locked", "--release", "--package", "hardneg"]
    subprocess.run([*command, "--target-dir", unfinished], cwd=base.sources, check=True)
    unfinished.rename(base.target)


def build(tree: Tree) -> dict[str, Path]:
    """Build the benches of a tree. Returns the program of each."""
    print(f"Building the benches of {tree.name}.", file=sys.stderr)
    command = ["cargo", "bench", "--locked", "--no-run", "--message-format=json-render-diagnostics"]
    command += [argument for bench in BENCHES for argument in ("--bench", bench)]
    environment = {**os.environ, "CARGO_TARGET_DIR": str(tree.target)}
    done = subprocess.run(command, cwd=tree.sources, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise CannotCompare(f"The benches of {tree.name} do not build.")
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    artifacts = [message for message in messages if message["reason"] == "compiler-artifact"]
    return {a["target"]["name"]: Path(a["executable"]) for a in artifacts if "bench" in a["target"]["kind"]}


Values = dict[str, list[float]]


def compare(programs: dict[str, dict[str, Path]], runs: int) -> list[Figure]:
    """Run every part of both trees, as pairs."""
    values: dict[str, Values] = {"base": {}, "present": {}}
    units: dict[str, str] = {}
    for tree, part in schedule(runs):
        for name, value, unit in measure(tree, programs[tree][part.bench], part):
            values[tree].setdefault(name, []).append(value)
            units[name] = unit
    report_unpaired(values)
    return [
        Figure(name, units[name], tuple(values["base"][name]), tuple(present))
        for name, present in values["present"].items()
        if name in values["base"]
    ]


def schedule(runs: int) -> Iterator[tuple[str, Part]]:
    """Which tree runs which part next. The order within a pair is swapped every other time."""
    for run in range(runs):
        for part in PARTS:
            if part.once and run > 0:
                continue
            print(f"Run {run + 1} of {runs}: {part.bench} {' '.join(part.arguments)}", file=sys.stderr)
            for pair in range(part.pairs):
                swapped = (run + pair) % 2 == 1
                yield from ((tree, part) for tree in (("present", "base") if swapped else ("base", "present")))


def measure(tree: str, program: Path, part: Part) -> list[tuple[str, float, str]]:
    """Run a bench. Returns name, value and unit of its figures."""
    done = subprocess.run([program, "--guard", *part.arguments], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise CannotCompare(f"The bench {part.bench} of {tree} failed.")
    lines = [line.split() for line in done.stdout.splitlines()]
    return [(name, float(value), unit) for name, value, unit in lines]


def report_unpaired(values: dict[str, Values]) -> None:
    """Say which figures only one tree has."""
    for tree, other in (("base", "present"), ("present", "base")):
        for name in values[tree].keys() - values[other].keys():
            print(f"Only {tree} has the figure {name}.", file=sys.stderr)


def print_table(figures: list[Figure]) -> None:
    """One line a figure."""
    row = "{:<45} {:>13} {:>13} {:<9} {:>6}  {:<14} {:>10}  {}"
    print(row.format("figure", "base", "present", "unit", "ratio", "spread", "limit", "").rstrip())
    for figure in figures:
        ratios = figure.ratios
        numbers = [f"{median(figure.base):,.1f}", f"{median(figure.present):,.1f}"]
        spread = f"{min(ratios):.3f}..{max(ratios):.3f}"
        verdict = "BEYOND" if figure.is_beyond else ""
        columns = [figure.name, *numbers, figure.unit, f"{median(ratios):.3f}", spread, figure.limit, verdict]
        print(row.format(*columns).rstrip())


if __name__ == "__main__":
    sys.exit(main())
