"""Streams against the real server: over a network that loses answers, and through restarts."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from real_server import Proxy, RealServer, eventually

import hardneg


def test_a_stream_of_scores(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name, half_life=hardneg.Steps(100))
    with pool.score_stream(worker_id="w", batch_size=1_000) as stream:
        for step in range(1, 21):
            stream.report(np.arange(step * 777, step * 777 + 777), np.full(777, 0.5), step=step)
        stream.flush()
        stats = stream.stats
    assert stats.reported_rows == stats.acked_rows == stats.counts.inserted == 20 * 777
    assert (stats.reconnects, stats.rejected_rows, stats.lost_rows) == (0, 0, 0)
    assert pool.stats().reported_rows == 20 * 777
    assert pool.stats().run == hardneg.Run("", first_step=1, step=20, tick=19)


def test_a_bad_batch_fails_alone(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name, half_life=hardneg.Steps(5), max_step_jump=10)
    with pool.score_stream() as stream:
        stream.report([1], [1.0], step=1)
        stream.report([2], [1.0], step=1_000)
        stream.report([3], [1.0], step=2)
        with pytest.raises(hardneg.BatchesRejected) as rejected:
            stream.flush()
        assert rejected.value.field == "batch.step"
        assert [list(rejection.ids) for rejection in rejected.value.rejections] == [[2]]
        assert stream.stats.reconnects == 0
    assert sorted(pool.mine(3, random_fraction=0).ids) == [1, 3]
    assert pool.stats().rejected_batches == 1


def test_lost_acks_are_resent_and_count_once(real: hardneg.Client, proxy: Proxy, name: str) -> None:
    pool = real.create_pool(name)
    with hardneg.Client(f"127.0.0.1:{proxy.port}") as far, far.pool(name).score_stream(batch_size=100) as stream:
        stream.report(range(1_000), np.ones(1_000))
        stream.flush()
        proxy.deaf.set()
        stream.report(range(1_000, 3_000), np.ones(2_000))
        for _ in eventually("the server has applied what it was sent"):
            if pool.stats().reported_rows == 3_000:
                break
        assert stream.stats.acked_rows == 1_000
        proxy.cut()
        proxy.deaf.clear()
        stream.flush(20)
        stats = stream.stats
    assert (stats.acked_rows, stats.pending_rows, stats.lost_rows) == (3_000, 0, 0)
    assert stats.resent_batches == stats.duplicate_batches == 20
    assert (stats.counts.inserted, stats.counts.duplicate) == (1_000, 2_000)
    assert stats.counts.total == stats.acked_rows
    figures = pool.stats()
    assert (figures.reported_rows, figures.counts.inserted, figures.duplicate_batches) == (3_000, 3_000, 20)


def test_cut_again_and_again_each_row_counts_once(real: hardneg.Client, proxy: Proxy, name: str) -> None:
    pool = real.create_pool(name)
    with hardneg.Client(f"127.0.0.1:{proxy.port}") as far, far.pool(name).score_stream(batch_size=64) as stream:
        for i in range(40):
            stream.report(np.arange(i * 500, i * 500 + 500), np.ones(500))
            if i % 8 == 3:
                proxy.cut()
                time.sleep(0.05)
        stream.flush(30)
        stats = stream.stats
    assert stats.reconnects >= 1
    assert stats.acked_rows == 20_000
    figures = pool.stats()
    assert (figures.reported_rows, figures.counts.inserted, figures.counts.updated) == (20_000, 20_000, 0)
    # The server counts a resend also where a later cut loses its ack: the client resends that batch once more.
    assert stats.duplicate_batches <= figures.duplicate_batches <= stats.resent_batches


def test_a_unary_report_whose_answer_was_lost_counts_once(real: hardneg.Client, proxy: Proxy, name: str) -> None:
    pool = real.create_pool(name)
    with hardneg.Client(f"127.0.0.1:{proxy.port}", timeout=20).wait_ready(5) as far:
        distant = far.pool(name)
        distant.report([1], [1.0])
        proxy.deaf.set()
        with ThreadPoolExecutor(1) as background:
            answer = background.submit(distant.report, [2, 3], [1.0, 1.0])
            for _ in eventually("the report has arrived"):
                if pool.stats().reported_rows == 3:
                    break
            proxy.deaf.clear()
            proxy.cut()
            ack = answer.result(20)
    assert ack.status is hardneg.AckStatus.DUPLICATE
    assert ack.counts.duplicate == ack.counts.total > 0
    assert pool.stats().reported_rows == 3


def test_a_restarted_server_gets_what_it_missed(own_server: RealServer, name: str) -> None:
    """A memory server forgets its pools; what a stream had pending still arrives, or comes back as refused."""
    refused: list[hardneg.Rejection] = []
    with hardneg.Client(own_server.target) as client:
        client.create_pool(name)
        by_name = client.pool(name)  # not this very pool, but the one of that name
        with by_name.score_stream(batch_size=100, on_rejected=refused.append) as stream:
            stream.report(range(1_000), np.ones(1_000))
            stream.flush()
            own_server.kill()
            stream.report(range(1_000, 2_000), np.ones(1_000))
            with pytest.raises(hardneg.DeadlineExceeded, match="1000 rows are not acknowledged"):
                stream.flush(0.5)
            own_server.start()
            client.create_pool(name)
            stream.flush(30)
            # The stream may have been back before the pool was. Nothing of that is lost silently:
            for rejection in refused:
                assert isinstance(rejection.error, hardneg.NotFound)
                stream.report(rejection.ids, np.ones(rejection.rows))
            stream.flush()
            stats = stream.stats
        figures = by_name.stats()
    assert stats.reconnects >= 1
    assert stats.acked_rows == 2_000
    assert (stats.pending_rows, stats.lost_rows, stats.dropped_rows) == (0, 0, 0)
    assert (figures.reported_rows, figures.counts.inserted) == (1_000, 1_000)
    assert figures.duplicate_batches == 0


def test_a_stream_does_not_mix_two_runs(own_server: RealServer, name: str) -> None:
    with hardneg.Client(own_server.target) as client:
        pool = client.create_pool(name)
        stream = pool.score_stream()
        stream.report([1], [1.0])
        stream.flush()
        own_server.kill()
        own_server.start()
        client.create_pool(name)
        stream.report([2], [1.0])
        with pytest.raises(hardneg.BatchesRejected, match="uid"):
            stream.close()
        assert client.pool(name).stats().reported_rows == 0


def test_a_server_that_drains_is_no_error(name: str) -> None:
    draining = RealServer("--drain-deadline", "1s").start()
    try:
        with hardneg.Client(draining.target) as client:
            client.create_pool(name)
            with client.pool(name).score_stream() as stream:
                stream.report([1], [1.0])
                stream.flush()
                assert draining.stop(timeout=10) == 0
                draining.start()
                client.create_pool(name)
                stream.report([2], [1.0])
                stream.flush(20)
                assert stream.stats.acked_rows == 2
            assert client.pool(name).stats().reported_rows == 1
    finally:
        draining.kill()


def test_batches_are_mined_no_further_ahead_than_asked(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name, half_life=hardneg.NEVER)
    pool.report(range(1_000), np.linspace(0, 1, 1_000))
    expected = [pool.mine(16, seed=100 + i, dry_run=True).ids.tolist() for i in range(5)]  # type: ignore[union-attr]
    before = pool.stats().mined_batches
    with pool.batches(16, prefetch=3, seed=100, dry_run=True) as batches:
        got = [batch.ids.tolist() for batch in itertools.islice(batches, 5)]  # type: ignore[union-attr]
        time.sleep(0.3)
        assert pool.stats().mined_batches - before == 5 + 3
    assert got == expected, "the same batches as one by one"


def test_a_count_of_batches(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name)
    pool.report(range(100), np.ones(100))
    with pool.batches(10, count=7, fields=["scores"]) as batches:
        assert [len(batch) for batch in batches] == [10] * 7
    time.sleep(0.2)
    assert pool.stats().mined_batches == 7


def test_batches_go_on_after_a_cut(real: hardneg.Client, proxy: Proxy, name: str) -> None:
    pool = real.create_pool(name)
    pool.report(range(100), np.ones(100))
    with hardneg.Client(f"127.0.0.1:{proxy.port}") as far, far.pool(name).batches(10, seed=0) as batches:
        seeds = [next(batches).seed for _ in range(4)]
        proxy.cut()
        seeds += [next(batches).seed for _ in range(6)]
    assert seeds == list(range(10))


def test_errors_of_batch_streams(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name)
    with pool.batches(5, alpha=17) as batches, pytest.raises(hardneg.InvalidArgument) as wrong:
        next(batches)
    assert wrong.value.field is not None
    assert wrong.value.field.endswith("policy.alpha")
    with real.pool("nowhere").batches(5) as batches, pytest.raises(hardneg.NotFound):
        next(batches)
    with pool.batches(5, shortfall="error") as batches, pytest.raises(hardneg.FailedPrecondition):
        next(batches)


def test_training_goes_on_through_a_restart(own_server: RealServer, name: str) -> None:
    with hardneg.Client(own_server.target, timeout=2) as client:
        client.create_pool(name).report(range(100), np.ones(100))
        pool = client.pool(name)
        with pool.batches(8, on_unavailable="uniform", uniform_ids=100) as batches:
            assert not next(batches).degraded
            own_server.kill()
            for _ in eventually("a batch drawn here"):
                if next(batches).degraded and pool.mine(8, on_unavailable="uniform", uniform_ids=100).degraded:
                    break
            own_server.start()
            client.create_pool(name).report(range(100), np.ones(100))
            for _ in eventually("mined batches again"):
                if not pool.mine(8, on_unavailable="uniform", uniform_ids=100).degraded:
                    break
