"""A server of its own for each test, on free ports of this machine, and a headless Chromium."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import hardneg
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.remote.webdriver import WebDriver

PATIENCE_SECONDS = 20.0
_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars"
)

T = TypeVar("T")


def until(ask: Callable[[], T], what: str) -> T:
    """The first answer that is true, within PATIENCE_SECONDS."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        if answer := ask():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"not within {PATIENCE_SECONDS:.0f} s: {what}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A real server that can be stopped and started on the same ports."""

    def __init__(self) -> None:
        """Picks the ports; starts nothing."""
        self.target = f"127.0.0.1:{_free_port()}"
        self._http = f"127.0.0.1:{_free_port()}"
        self.url = f"http://{self._http}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it serves."""
        binary = os.environ["HARDNEG_BIN"]
        command = [binary, "serve", "--listen", self.target, "--http-listen", self._http, "--log-filter", "warn"]
        self._process = subprocess.Popen(command)
        health = [binary, "health", "--quiet", "--server", f"http://{self.target}"]
        until(lambda: subprocess.run(health, check=False).returncode == 0, "the server serves")

    def stop(self) -> None:
        """Stops it and waits for its end."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            assert self._process.wait(PATIENCE_SECONDS) == 0
            self._process = None


@pytest.fixture
def server() -> Iterator[Server]:
    """A running server."""
    server = Server()
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def client(server: Server) -> Iterator[hardneg.Client]:
    """A client of it."""
    with hardneg.Client(server.target) as client:
        yield client


@pytest.fixture(scope="session")
def chromium() -> Iterator[WebDriver]:
    """One browser for all tests."""
    driver = shutil.which("chromedriver")
    assert driver, "chromedriver is missing: apt-get install chromium chromium-driver"
    options = Options()
    for flag in _FLAGS.split():
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    browser.set_page_load_timeout(PATIENCE_SECONDS)
    try:
        yield browser
    finally:
        browser.quit()


@pytest.fixture
def browser(chromium: WebDriver) -> Iterator[WebDriver]:
    """It, on an empty page, in the light theme at the size of a desk."""
    look(chromium, width=1280, height=900)
    chromium.get_log("browser")
    yield chromium
    with contextlib.suppress(Exception):
        chromium.get("about:blank")


def look(browser: WebDriver, *, width: int, height: int, dark: bool = False) -> None:
    """Sets the size of the window and the theme that the system prefers."""
    theme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": theme})
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def pictures() -> Path:
    """Where screenshots go."""
    folder = Path(os.environ.get("HARDNEG_PICTURES", "target/browser"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
