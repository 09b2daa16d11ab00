"""The real server as a process, and a proxy before it that breaks connections."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def binary() -> Path:
    """The server under test: HARDNEG_BIN, or the newest build of this checkout.

    Raises:
        FileNotFoundError: There is none. These tests are never skipped: that would look like success.
    """
    given = os.environ.get("HARDNEG_BIN")
    target = Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    built = [ROOT / target / profile / "hardneg" for profile in ("debug", "release")]
    found = [path for path in ([Path(given)] if given else built) if path.is_file()]
    if not found:
        looked = given or " or ".join(str(path) for path in built)
        raise FileNotFoundError(f"no server to test at {looked}: `cargo build --bin hardneg`, or set HARDNEG_BIN")
    return max(found, key=lambda path: path.stat().st_mtime)


class RealServer:
    """One server process on a loopback port; started again it keeps its port, and has forgotten its pools."""

    def __init__(self, *arguments: str) -> None:
        self.port = 0
        self.log: list[str] = []
        self._arguments = arguments
        self._process: subprocess.Popen[str] | None = None

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> RealServer:
        assert self._process is None
        command = [str(binary()), "serve", "--listen", self.target, "--http-listen", "off"]
        command += ["--log-format", "json", *self._arguments]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("HARDNEG_")}
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=clean)
        addresses: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(self._process, addresses), daemon=True).start()
        try:
            address = addresses.get(timeout=30)
        except queue.Empty:
            address = None
        if address is None:
            self.kill()
            raise RuntimeError("the server does not listen:\n" + "\n".join(self.log))
        self.port = int(address.rpartition(":")[2])
        return self

    def stop(self, timeout: float = 30.0) -> int:
        """Sends SIGTERM and waits; returns the exit code."""
        return self._end(signal.SIGTERM, timeout)

    def kill(self) -> None:
        """Kills the process, as a crash would."""
        self._end(signal.SIGKILL, 10)

    def _end(self, how: signal.Signals, timeout: float) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(how)
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def _read(self, process: subprocess.Popen[str], addresses: queue.SimpleQueue[str | None]) -> None:
        assert process.stderr is not None
        with process.stderr:
            for line in process.stderr:  # until it ends: a full pipe would stop the server
                self.log.append(line.rstrip())
                with contextlib.suppress(ValueError):
                    event = json.loads(line)
                    if event.get("message") == "listening":
                        addresses.put(event["address"])
        addresses.put(None)


class Proxy:
    """Forwards TCP connections to a port of this machine.

    Attributes:
        port: Where it listens.
        upstream: Where new connections go.
        deaf: While set, what the server answers is swallowed; what it is sent still arrives.
    """

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.deaf = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Breaks every open connection; new ones are forwarded."""
        with self._lock:
            broken, self._open = self._open, []
        for end in broken:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.upstream), timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            with self._lock:
                self._open += [client, server]
            threading.Thread(target=self._pump, args=(client, server, None), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, self.deaf), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket, swallowed: threading.Event | None) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if swallowed is None or not swallowed.is_set():
                    sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def eventually(what: str, seconds: float = 20.0) -> Eventually:
    """``for _ in eventually("..."): if done: break`` ends with an AssertionError, not never."""
    return Eventually(what, time.monotonic() + seconds)


class Eventually:
    def __init__(self, what: str, deadline: float) -> None:
        self._what, self._deadline = what, deadline

    def __iter__(self) -> Eventually:
        return self

    def __next__(self) -> None:
        assert time.monotonic() < self._deadline, f"never: {self._what}"
        time.sleep(0.02)
