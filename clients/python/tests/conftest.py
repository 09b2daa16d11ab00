from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from fake_server import FakeServer

import hardneg

# The real server is not built by pip: whoever has one says where it is. CI always does.
collect_ignore = [] if os.environ.get("HARDNEG_BIN") else ["test_server.py"]


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
