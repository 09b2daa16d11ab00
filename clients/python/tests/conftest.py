from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from fake_server import FakeServer
from real_server import Proxy, RealServer

import hardneg


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer().start()
    yield fake
    fake.stop()


@pytest.fixture
def client(server: FakeServer) -> Iterator[hardneg.Client]:
    with hardneg.Client(server.target, timeout=5) as connected:
        yield connected


@pytest.fixture
def pool(client: hardneg.Client) -> hardneg.Pool:
    return client.create_pool("faces", capacity=1000)


@pytest.fixture(scope="session")
def real_server() -> Iterator[RealServer]:
    """The real server, one for all tests: they share nothing but it."""
    started = RealServer().start()
    yield started
    assert started.stop() == 0, "a drained server exits with 0:\n" + "\n".join(started.log[-20:])


@pytest.fixture
def real(real_server: RealServer) -> Iterator[hardneg.Client]:
    with hardneg.Client(real_server.target, timeout=10) as connected:
        yield connected


@pytest.fixture
def own_server() -> Iterator[RealServer]:
    """A real server of the test's own, to be killed and restarted."""
    started = RealServer().start()
    yield started
    started.kill()


@pytest.fixture
def proxy(real_server: RealServer) -> Iterator[Proxy]:
    """A lossy network before the real server."""
    between = Proxy(real_server.port)
    yield between
    between.close()


@pytest.fixture
def name() -> str:
    """A pool name that no other test uses."""
    return f"test-{secrets.token_hex(6)}"
