"""The systemd unit, and every hardneg.toml by the server itself."""

import configparser
import os
import subprocess
from pathlib import Path

import pytest
import tomli

from files import DEPLOY, run, seconds

UNIT = DEPLOY / "systemd" / "hardneg.service"
FILES = sorted(DEPLOY.glob("**/hardneg.toml"))


class Repeated(dict):
    """systemd's keys may come again; their values are joined."""

    def __setitem__(self, key: str, value: object) -> None:
        if isinstance(value, list) and isinstance(self.get(key), list):
            value = self[key] + value
        super().__setitem__(key, value)


@pytest.fixture(scope="module")
def service() -> dict[str, str]:
    """The [Service] section."""
    parser = configparser.RawConfigParser(dict_type=Repeated, strict=False, delimiters=("=",))
    parser.optionxform = str
    parser.read(UNIT)
    return dict(parser["Service"])


@pytest.fixture(scope="module")
def server() -> str:
    """A server's binary."""
    if "HARDNEG_BIN" not in os.environ:
        pytest.skip("HARDNEG_BIN is not set and there is no debug build")
    return os.environ["HARDNEG_BIN"]


@pytest.fixture
def runnable(tmp_path: Path) -> Path:
    """The unit with a program that is there."""
    copy = tmp_path / "hardneg.service"
    copy.write_text(UNIT.read_text().replace("ExecStart=/usr/local/bin/hardneg ", "ExecStart=/bin/true "))
    return copy


def test_systemd_reads_the_unit(runnable: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", runnable],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # Unknown keys are only warned of.
    assert (done.returncode, [line for line in done.stderr.splitlines() if "hardneg" in line]) == (0, [])


def test_the_unit_is_closed(runnable: Path) -> None:
    run("systemd-analyze", "security", "--offline=true", "--threshold=15", runnable)


def test_the_unit_says_what_it_must(service: dict[str, str]) -> None:
    expected = {
        "Type": "exec",
        "DynamicUser": "yes",
        "ProtectSystem": "strict",
        "NoNewPrivileges": "yes",
        "MemoryDenyWriteExecute": "yes",
        "RestrictAddressFamilies": "AF_INET AF_INET6",
        "Restart": "on-failure",
        "RestartPreventExitStatus": "2",
        "EnvironmentFile": "-/etc/hardneg/hardneg.env",
        "ExecStart": "/usr/local/bin/hardneg serve --config /etc/hardneg/hardneg.toml",
    }
    assert {key: service.get(key) for key in expected} == expected
    assert service["SystemCallFilter"].splitlines()[0] == "@system-service"


def test_the_drain_fits_into_the_stop_timeout(service: dict[str, str]) -> None:
    settings = tomli.loads((DEPLOY / "systemd" / "hardneg.toml").read_text())
    assert seconds(service["TimeoutStopSec"]) > seconds(settings["drain_deadline"])


def serve(server: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HARDNEG_")}
    return subprocess.run(
        [server, "serve", *map(str, arguments)], capture_output=True, text=True, timeout=20, check=False, env=clean
    )


@pytest.mark.parametrize("file", FILES, ids=[str(file.relative_to(DEPLOY)) for file in FILES])
def test_the_server_takes_the_file(server: str, file: Path) -> None:
    done = serve(server, "--config", file, "--print-config")
    assert done.returncode == 0, done.stderr
    # Each setting of the file is in force, and from there.
    asked = tomli.loads(file.read_text())
    flat = {k: v for k, v in asked.items() if not isinstance(v, dict)}
    assert flat.items() <= tomli.loads(done.stdout).items()
    for section, values in asked.items():
        if isinstance(values, dict):
            assert values.items() <= tomli.loads(done.stdout)[section].items()


def test_there_are_files() -> None:
    assert {file.parent.name for file in FILES} >= {"base", "systemd"}


def test_a_wrong_file_ends_with_the_status_that_systemd_is_told_of(
    server: str, service: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "hardneg.toml").write_text("listen = 1\n")
    done = serve(server, "--config", tmp_path / "hardneg.toml")
    assert str(done.returncode) == service["RestartPreventExitStatus"]
    assert done.stderr.count("\n") == 1
