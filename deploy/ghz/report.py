"""ghz's JSON of every run as one summary: results.json, table.md and report.html.

usage: report.py [--version TEXT] --rows CALL=N... FOLDER      exits 1 when a call failed
"""

from __future__ import annotations

import argparse
import datetime
import html
import io
import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

# Text stays text: it takes the page's font and colour.
plt.rcParams.update({"svg.fonttype": "none", "font.size": 9, "svg.hashsalt": "hardneg"})
# Drawn in colours that nothing else has, then named after the page's, so that one drawing serves both themes.
INKS = {"#010101": "--ink", "#020202": "--p50", "#030303": "--p95", "#040404": "--p99", "#050505": "--grid"}
INK, P50, P95, P99, GRID = INKS


@dataclass
class Run:
    """One run of ghz. Latencies in milliseconds."""

    call: str
    concurrency: int
    calls_per_second: float
    rows_per_second: float
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    slowest_ms: float
    answered: int
    failed: int
    distribution: list[tuple[float, float]]


def read(path: Path, rows: dict[str, int]) -> Run:
    """A run from ghz's JSON. The file's name is CALL-cCONCURRENCY.json."""
    call, _, concurrency = path.stem.rpartition("-c")
    report = json.loads(path.read_text())
    at = {entry["percentage"]: entry["latency"] / 1e6 for entry in report["latencyDistribution"] or []}
    codes = report["statusCodeDistribution"]
    return Run(
        call=call,
        concurrency=int(concurrency),
        calls_per_second=report["rps"],
        rows_per_second=report["rps"] * rows[call],
        mean_ms=report["average"] / 1e6,
        p50_ms=at.get(50, 0.0),
        p95_ms=at.get(95, 0.0),
        p99_ms=at.get(99, 0.0),
        slowest_ms=report["slowest"] / 1e6,
        answered=codes.get("OK", 0),
        failed=sum(count for code, count in codes.items() if code != "OK"),
        distribution=sorted((latency, percentage) for percentage, latency in at.items()),
    )


def environment(version: str) -> dict[str, str]:
    """What the figures depend on."""
    model = "unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = lines[0] if lines else model
    ghz = subprocess.run(["ghz", "--version"], capture_output=True, text=True, check=False)
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "processors": f"{os.cpu_count()} x {model}",
        "system": f"{platform.system()} {platform.release()}",
        "hardneg": version,
        "ghz": (ghz.stdout + ghz.stderr).strip() or "unknown",
    }


def table(runs: list[Run]) -> str:
    """Markdown."""
    lines = [
        "| call | at a time | calls/s | rows/s | p50 ms | p95 ms | p99 ms | not OK |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {r.call} | {r.concurrency} | {r.calls_per_second:,.0f} | {r.rows_per_second:,.0f} "
        f"| {r.p50_ms:.2f} | {r.p95_ms:.2f} | {r.p99_ms:.2f} | {r.failed} |"
        for r in runs
    ]
    return "\n".join(lines) + "\n"


def reading(runs: list[Run]) -> str:
    """What the runs of one call say, in words."""
    best = max(runs, key=lambda r: r.rows_per_second)
    # The least concurrency that gives 90 % of the most: beyond it calls wait for each other.
    knee = next(r for r in runs if r.rows_per_second >= 0.9 * best.rows_per_second)
    text = f"At most {best.rows_per_second:,.0f} rows/s. "
    if knee is runs[-1] and len(runs) > 1:
        text += f"It still rose at {knee.concurrency} calls at a time, the most that was tried: try more. "
    else:
        text += (
            f"{knee.concurrency} at a time give 90 % of that, with p50 {knee.p50_ms:.2f} ms and "
            f"p99 {knee.p99_ms:.2f} ms; more only wait for each other. "
        )
    last = runs[-1]
    busy = last.calls_per_second * last.mean_ms / 1e3
    if busy < 0.8 * last.concurrency:
        text += (
            f"Of {last.concurrency} calls only {busy:.1f} were under way (rate x mean latency, Little's law): "
            "during the remaining time ghz itself was working, so its CPU is the limit, not the server. "
        )
    if any(r.failed for r in runs):
        text += f"{sum(r.failed for r in runs)} calls failed: look at the JSON. "
    return text


def svg(figure: plt.Figure) -> str:
    """The drawing for a page of two themes."""
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    drawing = out.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    for colour, name in INKS.items():
        drawing = drawing.replace(colour, f"var({name})")
    return drawing


def axes(title: str, x: str, y: str) -> tuple[plt.Figure, Any]:
    """An empty drawing."""
    figure, axis = plt.subplots(figsize=(4.6, 3.0))
    axis.set_title(title, color=INK, fontsize=10)
    axis.set_xlabel(x, color=INK)
    axis.set_ylabel(y, color=INK)
    axis.tick_params(colors=INK, which="both")
    axis.grid(color=GRID, linewidth=0.6)
    for spine in axis.spines.values():
        spine.set_color(GRID)
    return figure, axis


def decades(axis: Any) -> None:
    """Marks an axis of decades at 1, 2 and 5, in plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def drawings(call: str, runs: list[Run]) -> list[str]:
    """Latency and throughput against concurrency, and the distribution of latencies of the first and the last run."""
    at_a_time = [r.concurrency for r in runs]
    figure, axis = axes(f"{call}: latency", "calls at a time", "ms")
    for name, colour in (("p50", P50), ("p95", P95), ("p99", P99)):
        axis.plot(at_a_time, [getattr(r, f"{name}_ms") for r in runs], marker="o", color=colour, label=name)
    axis.set_yscale("log")
    decades(axis.yaxis)
    axis.set_xscale("log", base=2)
    axis.set_xticks(at_a_time, [str(c) for c in at_a_time])
    axis.legend(frameon=False, labelcolor=INK)
    latency = svg(figure)

    figure, axis = axes(f"{call}: throughput", "calls at a time", "million rows/s")
    axis.plot(at_a_time, [r.rows_per_second / 1e6 for r in runs], marker="o", color=P50)
    axis.set_xscale("log", base=2)
    axis.set_xticks(at_a_time, [str(c) for c in at_a_time])
    axis.set_ylim(bottom=0)
    throughput = svg(figure)

    figure, axis = axes(f"{call}: how many calls are faster", "ms", "% of calls")
    for run, colour in zip((runs[0], runs[-1]), (P50, P99), strict=True):
        latencies, percentages = zip(*run.distribution, strict=True) if run.distribution else ((), ())
        axis.plot(latencies, percentages, marker=".", color=colour, label=f"{run.concurrency} at a time")
    axis.set_xscale("log")
    decades(axis.xaxis)
    axis.legend(frameon=False, labelcolor=INK)
    return [latency, throughput, svg(figure)]


STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #16202c; --dim: #556270; --grid: #dde2e8; --p50: #2f6fce;
  --p95: #0d7d6c; --p99: #c8500a; }
@media (prefers-color-scheme: dark) { :root { --paper: #10151b; --ink: #e8edf2; --dim: #a3b0bd; --grid: #313c48;
  --p50: #6ea8f2; --p95: #4cc9b3; --p99: #f59e5b; } }
body { margin: 0 auto; max-width: 1400px; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-bottom: 0.2rem; }
.drawings { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 1rem; }
svg { width: 100%; height: auto; } svg text { font-family: system-ui, sans-serif !important; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: 0.2rem 0.8rem; text-align: right; border-top: 1px solid var(--grid); white-space: nowrap; }
td:first-child, th:first-child { text-align: left; } .note { color: var(--dim); }
"""


def page(runs: list[Run], about: dict[str, str]) -> str:
    """The report: nothing in it comes from elsewhere."""
    calls = list(dict.fromkeys(r.call for r in runs))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table(runs).strip().splitlines()]
    head = "".join(f"<th>{cell}</th>" for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows[2:])
    sections = ""
    for call in calls:
        of_call = [r for r in runs if r.call == call]
        figures = "".join(f"<div>{drawing}</div>" for drawing in drawings(call, of_call))
        sections += f"<h2>{call}</h2><p>{html.escape(reading(of_call))}</p><div class='drawings'>{figures}</div>"
    facts = " · ".join(f"{html.escape(name)}: {html.escape(value)}" for name, value in about.items())
    return (
        "<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>hardneg under load</title><style>{STYLE}</style></head><body><h1>hardneg under load</h1>"
        f"<p class='note'>{facts}</p><div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
        f"</table></div>{sections}<p class='note'>Latencies are ghz's: they hold its own work on each "
        "message, which on one machine takes processor time from the server.</p></body></html>\n"
    )


def main() -> int:
    """Writes the three files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", action="append", default=[], metavar="CALL=N")
    parser.add_argument("--version", default="unknown")
    arguments = parser.parse_args()
    rows = {call: int(n) for call, _, n in (item.partition("=") for item in arguments.rows)}
    order = list(rows)
    runs = [read(path, rows) for path in arguments.folder.glob("*-c*.json")]
    if not runs:
        print(f"no run in {arguments.folder}", file=sys.stderr)
        return 2
    runs.sort(key=lambda r: (order.index(r.call), r.concurrency))
    about = environment(arguments.version)
    summary = {"environment": about, "runs": [asdict(r) for r in runs]}
    (arguments.folder / "results.json").write_text(json.dumps(summary, indent=1) + "\n")
    (arguments.folder / "table.md").write_text(table(runs))
    (arguments.folder / "report.html").write_text(page(runs, about))
    print(table(runs), end="")
    for call in dict.fromkeys(r.call for r in runs):
        print(f"{call}: {reading([r for r in runs if r.call == call])}")
    print(f"{arguments.folder / 'report.html'} has the curves")
    return 1 if any(r.failed for r in runs) else 0


if __name__ == "__main__":
    sys.exit(main())
