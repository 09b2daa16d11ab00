"""The shipped image and compose file, brought up, used and taken down."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import hardneg
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "deploy" / "compose.yaml"
IMAGE = "hardneg"
GRAFANA = "grafana/grafana:11.2.0"
PATIENCE_SECONDS = 90.0
# What the real base image has; a stand-in of it may be larger.
IMAGE_OVER_BASE_BYTES_MAX = 40_000_000
IDLE_BYTES_MAX = 30 << 20

T = TypeVar("T")


def run(*command: str, code: int | None = 0, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end; it must end with this code."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env={**os.environ, **(env or {})}, check=False
    )
    if code is not None:
        assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def until(ask: Callable[[], T], what: str) -> T:
    """The first answer that is true, within PATIENCE_SECONDS."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        if answer := ask():
            return answer
        time.sleep(0.2)
    raise AssertionError(f"not within {PATIENCE_SECONDS:.0f} s: {what}")


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def inspect(container: str, what: str) -> str:
    """One field of a container."""
    return run("docker", "inspect", "-f", what, container).stdout.strip()


def get(url: str) -> tuple[int, str]:
    """Status and body; 0 while nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


@pytest.fixture
def container() -> Iterator[Callable[..., str]]:
    """Starts containers of the image; all are gone at the end."""
    names: list[str] = []

    def start(*options: str) -> str:
        names.append(f"hardneg-test-{secrets.token_hex(4)}")
        run("docker", "run", "-d", "--read-only", "--cap-drop", "ALL", "--name", names[-1], *options, IMAGE)
        return names[-1]

    yield start
    for name in names:
        run("docker", "rm", "-f", name, code=None)


def test_the_image_is_small_fast_and_confined(container: Callable[..., str]) -> None:
    """Size, start-up, memory, user, labels, health, stop."""
    size = int(run("docker", "image", "inspect", "-f", "{{.Size}}", IMAGE).stdout)
    base = int(run("docker", "image", "inspect", "-f", "{{.Size}}", "debian:bookworm-slim").stdout)
    port = free_port()
    begun = time.monotonic()
    name = container("-p", f"127.0.0.1:{port}:50052")
    until(lambda: get(f"http://127.0.0.1:{port}/readyz")[0] == 200, "ready")
    ready = time.monotonic() - begun
    until(lambda: inspect(name, "{{.State.Health.Status}}") == "healthy", "healthy")
    healthy = time.monotonic() - begun
    time.sleep(3)
    memory = run("docker", "stats", "--no-stream", "--format", "{{.MemUsage}}", name).stdout.split(" ")[0].strip()
    bytes_used = float(memory.removesuffix("MiB")) * (1 << 20)
    print(
        f"\nimage {size / 1e6:.0f} MB, {(size - base) / 1e6:.0f} MB over its base; ready {ready * 1e3:.0f} ms after "
        f"`docker run`, healthy after {healthy:.1f} s; idle {memory}"
    )
    assert size - base < IMAGE_OVER_BASE_BYTES_MAX
    assert bytes_used < IDLE_BYTES_MAX
    assert inspect(name, "{{.Config.User}}") == "65532:65532"
    assert inspect(name, "{{.Config.StopSignal}}") == "SIGTERM"
    labels = json.loads(run("docker", "image", "inspect", "-f", "{{json .Config.Labels}}", IMAGE).stdout)
    assert labels["org.opencontainers.image.title"] == "hardneg"
    run("docker", "stop", "-t", "15", name)
    assert inspect(name, "{{.State.ExitCode}}") == "0"
    assert "drained" in run("docker", "logs", name).stderr


@pytest.mark.parametrize(
    ("options", "arguments", "code", "says"),
    [
        ([], ["serve", "--no-such-flag"], 2, "unexpected argument '--no-such-flag'"),
        ([], ["serve", "--max-pools", "0"], 2, "limits.max_pools = 0 (from --max-pools): must be 1 to"),
        (["-e", "HARDNEG_INSECURE="], ["serve"], 2, 'listen = "0.0.0.0:50051" (from HARDNEG_LISTEN)'),
        (
            ["-v", "{bad}:/etc/hardneg.toml:ro"],
            ["serve", "--config", "/etc/hardneg.toml"],
            2,
            "/etc/hardneg.toml, line 2",
        ),
        (["-v", "{secret}:/etc/hardneg:ro"], ["serve", "--config", "/etc/hardneg/hardneg.toml"], 2, "ermission denied"),
        ([], ["serve", "--listen", "0.0.0.0:50052"], 2, "http.listen"),
        ([], ["health", "--server", "http://127.0.0.1:1"], 4, "127.0.0.1:1"),
    ],
)
def test_what_is_wrong_is_one_clear_line_and_a_code(
    tmp_path: Path, options: list[str], arguments: list[str], code: int, says: str
) -> None:
    """Wrong flag, bad value, missing consent, bad file, unreadable volume, one port twice, a server that is away."""
    bad = tmp_path / "bad.toml"
    bad.write_text("[limits]\nmax_pools = = 1\n")
    bad.chmod(0o644)
    secret = tmp_path / "secret"
    secret.mkdir(mode=0o700)
    (secret / "hardneg.toml").write_text("")
    tmp_path.chmod(0o755)
    places = [option.format(bad=bad, secret=secret) for option in options]
    done = run("docker", "run", "--rm", "--read-only", *places, IMAGE, *arguments, code=code)
    lines = [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert len(lines) == 1, done.stderr
    assert says in lines[0]


def test_a_port_in_use_is_said_in_the_container_too(container: Callable[..., str]) -> None:
    """Two servers in one network."""
    name = container()
    until(lambda: inspect(name, "{{.State.Health.Status}}") == "healthy", "healthy")
    done = run("docker", "run", "--rm", "--network", f"container:{name}", IMAGE, code=3)
    assert "cannot listen on 0.0.0.0:50051: the port is in use" in done.stderr


@pytest.mark.parametrize("profiles", [[], ["demo"], ["monitoring"], ["load"], ["demo", "monitoring", "load"]])
def test_the_file_is_valid_with_every_profile(profiles: list[str]) -> None:
    """What is published, and what each service may do."""
    env = {"COMPOSE_PROFILES": ",".join(profiles)}
    config: dict[str, Any] = json.loads(
        run("docker", "compose", "-f", str(COMPOSE), "config", "--format", "json", env=env).stdout
    )
    assert "hardneg" in config["services"]
    for name, service in config["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        for port in service.get("ports", []):
            assert port["host_ip"] == "127.0.0.1", name
        for key, value in (service.get("environment") or {}).items():
            assert "PASSWORD" not in key or not value, f"{name} has a password by default"


class Project:
    """The compose file under a name of its own, on free ports."""

    def __init__(self, **environment: str) -> None:
        """Chooses name and ports; starts nothing."""
        self.name = f"hardneg-test-{secrets.token_hex(4)}"
        self.port, self.http, self.prometheus, self.grafana = (free_port() for _ in range(4))
        self.has_grafana = run("docker", "image", "inspect", GRAFANA, code=None).returncode == 0
        self.environment = {
            "COMPOSE_PROFILES": "demo,monitoring",
            "HARDNEG_PORT": str(self.port),
            "HARDNEG_HTTP_PORT": str(self.http),
            "PROMETHEUS_PORT": str(self.prometheus),
            "GRAFANA_PORT": str(self.grafana),
            **environment,
        }

    def compose(self, *arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """`docker compose` on it."""
        return run(
            "docker", "compose", "-f", str(COMPOSE), "-p", self.name, *arguments, code=code, env=self.environment
        )

    def query(self, promql: str) -> float | None:
        """One number from Prometheus."""
        status, body = get(f"http://127.0.0.1:{self.prometheus}/api/v1/query?query={urllib.request.quote(promql)}")
        result = json.loads(body)["data"]["result"] if status == 200 else []
        return float(result[0]["value"][1]) if result else None


@contextlib.contextmanager
def taken_down(project: Project) -> Iterator[Project]:
    """Afterwards nothing of it is left."""
    try:
        yield project
    finally:
        project.compose("down", "-v", "--timeout", "20", code=None)
    of_it = f"label=com.docker.compose.project={project.name}"
    for kind in (["ps", "-aq"], ["volume", "ls", "-q"], ["network", "ls", "-q"]):
        assert run("docker", *kind, "--filter", of_it).stdout == "", f"left behind: {kind[0]}"


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    """All of it, up."""
    project = Project()
    services = ["hardneg", "trainer", "worker-0", "worker-1", "prometheus", "prometheus-volume"]
    if project.has_grafana:
        services.append("grafana")
    else:
        print("\nGrafana's image cannot be had here: it is not started; its dashboard is checked by make deploy-test")
    with taken_down(project):
        project.compose("up", "-d", "--no-build", *services)
        yield project


def test_a_batch_is_mined_through_the_published_port(project: Project) -> None:
    """By a client outside the containers."""
    with hardneg.Client(f"127.0.0.1:{project.port}") as client:
        pool = client.create_pool("outside", capacity=1000)
        pool.report(np.arange(500), np.linspace(0, 1, 500))
        batch = pool.mine(64, strategy="top", random_fraction=0.0)
    assert sorted(batch.ids) == list(range(436, 500))


def test_the_training_trains(project: Project) -> None:
    """Two workers report, the trainer mines, the model gets better at what it mines."""
    with hardneg.Client(f"127.0.0.1:{project.port}") as client:
        pool = client.pool("digits")

        def mined() -> int:
            try:
                return pool.stats().mined_batches
            except hardneg.NotFound:
                return 0

        first = until(mined, "the first mined batch")
        until(lambda: mined() > first + 20, "more of them")
        assert pool.stats().sizes.hard > 1000

        def newest() -> int:
            versions = pool.mine(100, fields=("scores", "model_versions"), dry_run=True).model_versions
            assert versions is not None
            return int(versions.max())

        until(lambda: newest() > 10, "scores by a model that was trained ten times")
        assert pool.stats().counts.non_finite == 0, "the model diverged"


def test_the_dashboard_and_the_probes_are_published(project: Project) -> None:
    """On the HTTP port."""
    url = f"http://127.0.0.1:{project.http}"
    assert get(f"{url}/readyz") == (200, "ready\n")
    until(lambda: "rank-1" in get(f"{url}/?pool=digits")[1], "both workers on the dashboard")
    assert "rank-0" in get(f"{url}/?pool=digits")[1]


def test_prometheus_scrapes_and_its_rules_hold(project: Project) -> None:
    """The server is up, its figures are there, no alert fires."""
    until(lambda: project.query('up{job="hardneg"}') == 1, "the target is up")
    until(lambda: (project.query('hardneg_pool_mined_batches_total{pool="digits"}') or 0) > 0, "its figures")
    status, body = get(f"http://127.0.0.1:{project.prometheus}/api/v1/rules")
    groups = json.loads(body)["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert status == 200
    assert any(rule["type"] == "alerting" for rule in rules)
    assert [rule["name"] for rule in rules if rule.get("health") == "err"] == []
    critical = [r["name"] for r in rules if r.get("state") == "firing" and r["labels"].get("severity") == "critical"]
    assert critical == []


def test_grafana_shows_the_dashboard(project: Project) -> None:
    """Where its image can be had."""
    if not project.has_grafana:
        pytest.skip("Grafana's image cannot be had here")
    url = f"http://127.0.0.1:{project.grafana}"
    until(lambda: get(f"{url}/api/health")[0] == 200, "Grafana is up")
    assert "hardneg" in get(f"{url}/api/search?query=hardneg")[1].lower()


def test_the_training_goes_on_when_the_server_comes_back(project: Project) -> None:
    """A killed server is started again by its restart policy, empty; workers and trainer create the pool again."""
    container = project.compose("ps", "-q", "hardneg").stdout.strip()
    pid = inspect(container, "{{.State.Pid}}")
    with hardneg.Client(f"127.0.0.1:{project.port}") as client:
        uid = client.pool("digits").info().uid
        # Not by `docker kill`: that counts as the user's wish.
        run("kill", "-KILL", pid)
        until(lambda: inspect(container, "{{.State.Pid}}") not in ("0", pid), "the server is started again")

        def mined() -> int:
            try:
                pool = client.pool("digits")
                return pool.stats().mined_batches if pool.info().uid != uid else 0
            except hardneg.HardnegError:
                return 0

        until(lambda: mined() > 5, "batches are mined from a new pool")


def test_ghz_loads_a_server_and_leaves_a_report(tmp_path: Path) -> None:
    """The profile `load` as the README has it, shortened: no call fails, the report is printed and kept."""
    project = Project(COMPOSE_PROFILES="load", SECONDS_PER_RUN="1", CONCURRENCY="1 4")
    with taken_down(project):
        done = project.compose("up", "--no-build", "--exit-code-from", "load")
        project.compose("cp", "load:/out", str(tmp_path))
    table = (tmp_path / "out" / "table.md").read_text()
    runs = json.loads((tmp_path / "out" / "results.json").read_text())["runs"]
    assert [(run["call"], run["concurrency"], run["failed"]) for run in runs] == [
        (call, at_a_time, 0) for call in ("ReportScores", "StreamScores", "MineBatch") for at_a_time in (1, 4)
    ]
    assert all(line in done.stdout for line in table.splitlines())
    assert "<svg" in (tmp_path / "out" / "report.html").read_text()
