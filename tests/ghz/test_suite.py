"""The ghz suite against a real server: what it leaves, and how it says what went wrong."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import hardneg
import pytest

RUN = Path(__file__).resolve().parents[2] / "deploy" / "ghz" / "run"
BINARY = os.environ["HARDNEG_BIN"]


def suite(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the suite."""
    command = [str(RUN), "--bin", BINARY, *arguments]
    # The report is drawn by the Python that runs the tests: it has matplotlib.
    env = {**os.environ, "PYTHON": sys.executable}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=env)


@pytest.fixture
def server() -> Iterator[str]:
    """A running server's address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    process = subprocess.Popen([BINARY, "serve", "--listen", address, "--http-listen", "off", "--log-filter", "warn"])
    health = [BINARY, "health", "--quiet", "--server", f"http://{address}"]
    try:
        end = time.monotonic() + 20
        while subprocess.run(health, check=False, stderr=subprocess.DEVNULL).returncode:
            assert time.monotonic() < end
            time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        assert process.wait(20) == 0


class Page(HTMLParser):
    """What a page names and holds."""

    def __init__(self) -> None:
        """Nothing yet."""
        super().__init__()
        self.open: list[str] = []
        self.drawings = 0
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Counts drawings, notes what is loaded."""
        self.drawings += tag == "svg"
        self.sources += [value or "" for name, value in attributes if name in ("src", "href", "xlink:href")]


def test_every_run_is_in_the_summary_and_the_report_is_self_contained(tmp_path: Path, server: str) -> None:
    """Six short runs."""
    done = suite("--server", server, "--out", str(tmp_path), "--seconds", "1", "--concurrency", "1 2")
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    runs = [(run["call"], run["concurrency"]) for run in results["runs"]]
    assert runs == [(call, c) for call in ("ReportScores", "StreamScores", "MineBatch") for c in (1, 2)]
    for run in results["runs"]:
        assert run["failed"] == 0
        assert run["answered"] > 0
        assert 0 < run["p50_ms"] <= run["p95_ms"] <= run["p99_ms"] <= run["slowest_ms"]
    assert results["environment"]["hardneg"].startswith("hardneg ")
    table = (tmp_path / "table.md").read_text()
    assert table.count("\n") == 2 + 6
    assert table in done.stdout
    text = (tmp_path / "report.html").read_text()
    page = Page()
    page.feed(text)
    assert page.drawings == 9
    assert all(source.startswith("#") for source in page.sources), page.sources
    assert not re.search(r"url\((?!#)", text)
    assert len(text) < 1_000_000
    # What it made it takes away.
    with hardneg.Client(server) as client:
        assert list(client.list_pools()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--seconds", "0"], 2, "--seconds 0"),
        (["--concurrency", "1 many"], 2, "many is not 1 to 9999"),
        (["--calls", "Mine"], 2, "Mine is not"),
        (["--out"], 2, "--out needs a value"),
        (["--nonsense", "1"], 2, "unknown argument --nonsense"),
        (["--server", "127.0.0.1:1"], 4, "no hardneg server serves on 127.0.0.1:1"),
    ],
)
def test_what_is_wrong_is_one_line_and_a_code(tmp_path: Path, arguments: list[str], code: int, says: str) -> None:
    """Usage, and a server that is away."""
    done = suite("--out", str(tmp_path), *arguments) if arguments != ["--out"] else suite("--out")
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_call_that_fails_fails_the_suite(tmp_path: Path, server: str) -> None:
    """Batches that the pool can never give."""
    with hardneg.Client(server) as client:
        client.create_pool(
            "ghz",
            capacity=1_000_000,
            default_policy=hardneg.MiningPolicy(
                shortfall="error", windows=[hardneg.ScoreWindow(min=1e30)], random_fraction=0.0
            ),
        )
    done = suite(
        "--server", server, "--out", str(tmp_path), "--seconds", "1", "--concurrency", "1", "--calls", "MineBatch"
    )
    assert done.returncode == 1, done.stderr
    assert "calls failed" in done.stdout
