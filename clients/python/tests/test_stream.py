"""The score stream: batching, backpressure, resends, refusals, deadlines."""

from __future__ import annotations

import os
import threading
import time

import numpy as np
import pytest
from fake_server import FakeServer, bad_field, status
from google.rpc import code_pb2

import hardneg


def test_rows_are_gathered_into_batches(server: FakeServer, pool: hardneg.Pool) -> None:
    with pool.score_stream(worker_id="w", batch_size=100, linger=60) as stream:
        for start in range(0, 250, 10):
            stream.report(np.arange(start, start + 10), np.ones(10), step=1)
        stream.flush()
        assert [len(batch.ids.u64_le) // 8 for batch in server.applied] == [100, 100, 50]
        stream.report([1], [1.0], step=1)
        stream.report([2], [1.0], step=2)  # another step: another batch
        stream.report([2], [1.0], step=2, model_version=1)
        stream.report(["a"], [1.0], step=2, model_version=1)
        stream.report([3], [1.0], step=2, model_version=1, payloads=[b"x"])
    assert [(b.sequence, b.step, b.model_version) for b in server.applied[3:]] == [
        (4, 1, 0),
        (5, 2, 0),
        (6, 2, 1),
        (7, 2, 1),
        (8, 2, 1),
    ]
    assert list(server.applied[-1].payloads) == [b"x"]
    assert {(b.worker_id, b.worker_epoch) for b in server.applied} == {("w", stream.worker_epoch)}
    assert all(b.pool_uid == pool.uid for b in server.applied)
    stats = stream.stats
    assert stats.reported_rows == stats.acked_rows == stats.counts.total == 255
    assert (stats.pending_rows, stats.lost_rows, stats.reconnects) == (0, 0, 0)
    assert stream.floor_log2 == -3.5


def test_incomplete_batches_are_sent_after_a_while(server: FakeServer, pool: hardneg.Pool) -> None:
    with pool.score_stream(linger=0.05) as stream:
        stream.report([1], [1.0])
        deadline = time.monotonic() + 5
        while not stream.stats.acked_rows:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_the_callers_arrays_may_be_reused(server: FakeServer, pool: hardneg.Pool) -> None:
    ids, scores = np.arange(4, dtype=np.uint64), np.ones(4, dtype=np.float32)
    with pool.score_stream(linger=60) as stream:
        stream.report(ids, scores)
        ids[:], scores[:] = 9, 9
    assert server.samples["pools/faces"] == {0: 1.0, 1: 1.0, 2: 1.0, 3: 1.0}


def test_lost_acks_are_made_good_in_order(server: FakeServer, pool: hardneg.Pool) -> None:
    server.lose_acks_after = 3
    with pool.score_stream(worker_id="w", batch_size=1) as stream:
        for i in range(20):
            stream.report([i], [1.0])
        stream.flush(20)
        stats = stream.stats
    assert [batch.sequence for batch in server.applied] == list(range(1, 21))
    arrivals = [batch.sequence for batch in server.received]
    again = arrivals[arrivals.index(4, arrivals.index(4) + 1) :]
    assert again == list(range(4, 21)), "resent from the first unacknowledged batch, in order"
    assert len({(b.worker_id, b.worker_epoch) for b in server.received}) == 1
    assert stats.reconnects == 1
    assert stats.resent_batches >= 1
    assert stats.duplicate_batches >= 1
    assert stats.acked_rows == 20
    by_sequence = {batch.sequence: batch.SerializeToString() for batch in server.applied}
    assert all(by_sequence[b.sequence] == b.SerializeToString() for b in server.received), "resends are the same bytes"


def test_a_restarted_server_gets_what_it_missed(server: FakeServer, pool: hardneg.Pool) -> None:
    with pool.score_stream(batch_size=5) as stream:
        stream.report(range(10), [1.0] * 10)
        stream.flush()
        server.stop()
        stream.report(range(10, 30), [1.0] * 20)
        with pytest.raises(hardneg.DeadlineExceeded, match="20 rows are not acknowledged"):
            stream.flush(0.3)
        assert stream.stats.last_error is not None
        server.start()
        stream.flush(20)
    assert set(server.samples["pools/faces"]) == set(range(30))
    assert stream.stats.reconnects >= 1


def test_a_full_queue_holds_the_worker_back(server: FakeServer, pool: hardneg.Pool) -> None:
    server.hold_acks.clear()
    with pool.score_stream(batch_size=10, max_pending=50) as stream:
        stream.report(range(50), [1.0] * 50)
        started = time.monotonic()
        with pytest.raises(hardneg.QueueFull) as full:
            stream.report(range(50, 60), [1.0] * 10, timeout=0.3)
        assert 0.25 < time.monotonic() - started < 2
        assert full.value.accepted_rows == 0
        threading.Timer(0.3, server.hold_acks.set).start()
        assert stream.report(range(60, 160), [1.0] * 100, timeout=10) == 100  # more than the queue holds
        stream.flush()
        stats = stream.stats
    assert (stats.dropped_rows, stats.acked_rows, stats.reported_rows) == (10, 150, 160)


@pytest.mark.parametrize("on_full", ["drop", "raise"])
def test_a_full_queue_need_not_hold_the_worker_back(server: FakeServer, pool: hardneg.Pool, on_full: str) -> None:
    server.hold_acks.clear()
    with pool.score_stream(batch_size=10, max_pending=50, on_full=on_full) as stream:  # type: ignore[arg-type]
        started = time.monotonic()
        if on_full == "drop":
            assert stream.report(range(75), [1.0] * 75) == 50
        else:
            with pytest.raises(hardneg.QueueFull) as full:
                stream.report(range(75), [1.0] * 75)
            assert full.value.accepted_rows == 50
        assert time.monotonic() - started < 0.3
        server.hold_acks.set()
    assert stream.stats.dropped_rows == 25
    assert len(server.samples["pools/faces"]) == 50


def test_refused_batches_surface_at_flush(server: FakeServer, pool: hardneg.Pool) -> None:
    server.reject = {2: bad_field("batch.step", "too far ahead")}
    with pool.score_stream(batch_size=2) as stream:
        stream.report(range(6), [1.0] * 6, step=5)
        with pytest.raises(hardneg.BatchesRejected) as rejected:
            stream.flush()
        (rejection,) = rejected.value.rejections
        assert (rejection.sequence, list(rejection.ids), rejection.step, rejection.rows) == (2, [2, 3], 5, 2)
        assert isinstance(rejection.error, hardneg.InvalidArgument)
        assert rejected.value.field == "batch.step"
        stream.flush()  # told once
    assert set(server.samples["pools/faces"]) == {0, 1, 4, 5}
    assert stream.stats.rejected_rows == 2


def test_refused_batches_go_to_the_callback(server: FakeServer, pool: hardneg.Pool) -> None:
    server.reject = {1: bad_field("batch.step", "too far ahead")}
    seen: list[hardneg.Rejection] = []
    with pool.score_stream(on_rejected=seen.append) as stream:
        stream.report([1], [1.0])
        stream.flush()
        assert [rejection.sequence for rejection in seen] == [1]


def test_close_raises_for_refused_batches(server: FakeServer, client: hardneg.Client) -> None:
    stream = client.pool("nowhere").score_stream()
    stream.report([1], [1.0])
    with pytest.raises(hardneg.BatchesRejected, match="no pool pools/nowhere"):
        stream.close()
    stream.close()
    with pytest.raises(hardneg.StreamClosed):
        stream.report([1], [1.0])


def test_close_says_what_is_lost(server: FakeServer, pool: hardneg.Pool) -> None:
    server.stop()
    stream = pool.score_stream()
    stream.report([1, 2], [1.0, 1.0])
    started = time.monotonic()
    with pytest.raises(hardneg.DeadlineExceeded):
        stream.close(timeout=0.3)
    assert time.monotonic() - started < 4
    assert stream.stats.lost_rows == 2


def test_an_error_that_no_retry_cures_ends_the_stream(server: FakeServer, pool: hardneg.Pool) -> None:
    server.fail_streams = [status(code_pb2.UNAUTHENTICATED, "who are you")]
    stream = pool.score_stream()
    stream.report([1, 2], [1.0, 1.0])
    with pytest.raises(hardneg.StreamClosed, match="2 rows are lost") as closed:
        stream.flush()
    assert isinstance(closed.value.__cause__, hardneg.Unauthenticated)
    with pytest.raises(hardneg.StreamClosed):
        stream.report([3], [1.0])


def test_a_passing_error_does_not(server: FakeServer, pool: hardneg.Pool) -> None:
    server.fail_streams = [status(code_pb2.RESOURCE_EXHAUSTED, "busy"), status(code_pb2.UNAVAILABLE, "draining")]
    with pool.score_stream() as stream:
        stream.report([1], [1.0])
        stream.flush(10)
    assert stream.stats.reconnects == 2


def test_a_server_that_stops_answering_is_left(server: FakeServer, pool: hardneg.Pool) -> None:
    server.hold_acks.clear()
    with pool.score_stream(ack_timeout=0.3) as stream:
        stream.report([1], [1.0])
        deadline = time.monotonic() + 5
        while not stream.stats.reconnects:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        server.hold_acks.set()
        stream.flush(10)
    assert len(server.applied) == 1


def test_another_error_is_not_hidden_by_closing(server: FakeServer, pool: hardneg.Pool) -> None:
    def train() -> None:
        with pool.score_stream() as stream:
            stream.report([1], [1.0])
            raise ZeroDivisionError

    server.stop()
    with pytest.raises(ZeroDivisionError):
        train()


def test_many_threads_may_report(server: FakeServer, pool: hardneg.Pool) -> None:
    with pool.score_stream(batch_size=64) as stream:

        def work(worker: int) -> None:
            for i in range(50):
                stream.report(np.arange(10) + 10_000 * worker + 10 * i, np.ones(10))

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stream.flush()
    assert len(server.samples["pools/faces"]) == 2000
    assert [batch.sequence for batch in server.applied] == list(range(1, len(server.applied) + 1))


def test_no_threads_are_left(pool: hardneg.Pool) -> None:
    with pool.score_stream() as stream:
        stream.report([1], [1.0])
    assert not any(thread.is_alive() for thread in stream._threads)


def test_gathered_rows_do_not_linger_while_the_queue_is_full(server: FakeServer, pool: hardneg.Pool) -> None:
    with pool.score_stream(batch_size=10, max_pending=10, linger=60) as stream:
        stream.report(range(6), [1.0] * 6)
        started = time.monotonic()
        assert stream.report(range(6, 12), [1.0] * 6) == 6
        assert time.monotonic() - started < 5


def test_an_idle_stream_uses_no_time(pool: hardneg.Pool) -> None:
    with pool.score_stream(linger=0.01) as stream:
        stream.report([1], [1.0])
        stream.flush()
        time.sleep(0.1)
        before = time.process_time()
        time.sleep(0.5)
        assert time.process_time() - before < 0.05


def test_a_fork_is_told_so(pool: hardneg.Pool) -> None:
    with pool.score_stream() as stream, pool.batches(1) as batches:
        child = os.fork()
        if child == 0:
            told = 0
            for use in (lambda: stream.report([1], [1.0]), stream.flush, pool.score_stream, pool.stats):
                try:
                    use()
                except RuntimeError:
                    told += 1
            stream.close()  # the parent's: does nothing here
            os._exit(told)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 4
        stream.report([1], [1.0])
        stream.flush()
        batches.close()


@pytest.mark.parametrize(
    "arguments",
    [{"batch_size": 0}, {"batch_size": 70_000}, {"max_pending": 1}, {"on_full": "x"}, {"worker_id": "x" * 129}],
)
def test_wrong_options(pool: hardneg.Pool, arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must"):
        pool.score_stream(**arguments)  # type: ignore[arg-type]
