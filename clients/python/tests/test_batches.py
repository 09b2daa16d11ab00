"""Streams of mined batches: credits, reconnects, degraded mode."""

from __future__ import annotations

import threading
import time

import pytest
from fake_server import FakeServer, status
from google.rpc import code_pb2

import hardneg


@pytest.fixture
def filled(pool: hardneg.Pool) -> hardneg.Pool:
    pool.report(range(100), [1.0] * 100)
    return pool


def test_a_batch_is_mined_only_when_one_is_taken(server: FakeServer, filled: hardneg.Pool) -> None:
    with filled.batches(5, prefetch=3, seed=10) as batches:
        assert next(batches).seed == 10
        time.sleep(0.3)
        assert server.batches_sent == 4  # three ahead, and one for the one taken
        assert [next(batches).seed for _ in range(5)] == [11, 12, 13, 14, 15]
        time.sleep(0.3)
        assert server.batches_sent == 9


def test_a_count_ends_the_stream(server: FakeServer, filled: hardneg.Pool) -> None:
    with filled.batches(5, count=4) as batches:
        assert len(list(batches)) == 4
        assert list(batches) == []
    assert server.batches_sent == 4
    assert list(filled.batches(5, count=0)) == []


def test_it_reconnects(server: FakeServer, filled: hardneg.Pool) -> None:
    with filled.batches(5, prefetch=2, seed=0) as batches:
        seeds = [next(batches).seed for _ in range(3)]
        server.stop()
        server.start()
        seeds += [next(batches).seed for _ in range(5)]
    assert seeds == list(range(8))


def test_it_goes_on_without_the_service_and_returns(server: FakeServer, filled: hardneg.Pool) -> None:
    with filled.batches(5, on_unavailable="uniform", uniform_ids=1000) as batches:
        assert not next(batches).degraded
        server.stop()
        started = time.monotonic()
        while not next(batches).degraded:
            assert time.monotonic() - started < 5
        assert all(next(batches).degraded for _ in range(10))
        server.start()
        while next(batches).degraded:
            assert time.monotonic() - started < 20
            time.sleep(0.05)


def test_it_raises_in_time_when_the_service_is_away(server: FakeServer, filled: hardneg.Pool) -> None:
    server.stop()
    with filled.batches(5, timeout=0.5) as batches, pytest.raises(hardneg.Unavailable, match="no batch within"):
        next(batches)


def test_errors_for_good_are_raised(server: FakeServer, client: hardneg.Client, filled: hardneg.Pool) -> None:
    with filled.batches(5, alpha=17) as batches, pytest.raises(hardneg.InvalidArgument) as invalid:
        next(batches)
    assert invalid.value.field == "policy.alpha"
    with client.pool("nowhere").batches(5) as batches, pytest.raises(hardneg.NotFound):
        next(batches)
    server.fail_streams = [status(code_pb2.PERMISSION_DENIED, "no")]
    with filled.batches(5) as batches, pytest.raises(hardneg.PermissionDenied):
        next(batches)


def test_closing_is_quick_and_leaves_no_thread(filled: hardneg.Pool) -> None:
    batches = filled.batches(5)
    next(batches)
    started = time.monotonic()
    batches.close()
    batches.close()
    assert time.monotonic() - started < 1
    assert not batches._thread.is_alive()
    assert list(batches) == []


def test_another_thread_may_close(server: FakeServer, filled: hardneg.Pool) -> None:
    server.stop()
    batches = filled.batches(5, timeout=20)
    threading.Timer(0.3, batches.close).start()
    started = time.monotonic()
    assert list(batches) == []
    assert time.monotonic() - started < 5
