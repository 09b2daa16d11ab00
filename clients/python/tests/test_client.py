"""Unary calls: what is sent, what comes back, errors, retries, degraded mode."""

from __future__ import annotations

import datetime
import time

import numpy as np
import pytest
from fake_server import FakeServer, status
from google.protobuf import duration_pb2
from google.rpc import code_pb2, error_details_pb2

import hardneg


def test_create_sends_the_whole_spec(server: FakeServer, client: hardneg.Client) -> None:
    pool = client.create_pool(
        "all-options",
        capacity=5000,
        dense_ids=100_000,
        shards=8,
        hardness="exponential",
        temperature=0.1,
        half_life=hardneg.Steps(500),
        max_step_jump=100,
        score_update="ema",
        ema_weight=0.25,
        default_policy=hardneg.MiningPolicy("rank", alpha=0.5, windows=[hardneg.RankWindow(min=10)]),
        serve_penalty=0.5,
        max_serves=3,
        max_payload_bytes=64,
        rotate_background=False,
    )
    spec = server.pools["pools/all-options"].spec
    assert spec.WhichOneof("background") == "dense_ids"
    assert spec.decay.half_life_steps == 500
    assert spec.background_rotation.disabled
    info = pool.info()
    assert (info.name, info.capacity, info.dense_ids, info.background_size) == ("all-options", 5000, 100_000, None)
    assert info.half_life == hardneg.Steps(500)
    assert info.hardness is hardneg.HardnessFunction.EXPONENTIAL
    assert info.default_policy.strategy is hardneg.Strategy.RANK
    assert info.default_policy.windows == (hardneg.RankWindow(min=10),)
    assert (info.offset, info.temperature) == (None, 0.1)
    assert (info.score_update, info.ema_weight) == (hardneg.ScoreUpdate.EMA, 0.25)
    assert (info.max_step_jump, info.rotate_background) == (100, False)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (90, datetime.timedelta(seconds=90)),
        (0.25, datetime.timedelta(milliseconds=250)),
        (datetime.timedelta(hours=2), datetime.timedelta(hours=2)),
        (hardneg.Steps(10), hardneg.Steps(10)),
        (hardneg.NEVER, hardneg.NEVER),
        (float("inf"), hardneg.NEVER),
    ],
)
def test_half_lives(client: hardneg.Client, given: hardneg.Steps, told: object) -> None:
    assert client.create_pool("p", half_life=given).info().half_life == told


@pytest.mark.parametrize(
    "window",
    [
        hardneg.ScoreWindow(max=0.5),
        hardneg.ScoreWindow(min=-1.0, max=0.5),
        hardneg.RankWindow(1, 9),
        hardneg.QuantileWindow(0.25, 0.75),
        hardneg.AgeWindow(max=60.0),
        hardneg.VersionWindow(3),
    ],
)
def test_windows_come_back_as_they_were_sent(pool: hardneg.Pool, window: hardneg.ScoreWindow) -> None:
    assert pool.mine(1, windows=[window]).policy.windows == (window,)


def test_report_and_mine(pool: hardneg.Pool) -> None:
    ack = pool.report(np.arange(100, dtype=np.int32)[::2], np.linspace(0, 1, 50, dtype=np.float64))
    assert ack.status is hardneg.AckStatus.APPLIED
    assert (ack.counts.inserted, ack.counts.total, ack.floor_log2) == (50, 50, -3.5)
    batch = pool.mine(3, strategy="top", exclude_ids=[98])
    assert isinstance(batch.ids, np.ndarray)
    assert batch.ids.tolist() == [96, 94, 92]
    assert batch.ids.dtype == np.uint64
    assert batch.scores is not None
    assert batch.scores.dtype == np.float32
    assert batch.importance_weights is None
    assert batch.estimand is hardneg.Estimand.NONE
    assert not batch.degraded
    weighted = pool.mine(200)
    assert weighted.importance_weights is not None
    assert (len(weighted), weighted.shortfall_count) == (50, 150)
    assert pool.remove([0, 2, 1]) == 2
    assert pool.stats().sizes.hard == 48


def test_string_ids(client: hardneg.Client) -> None:
    pool = client.create_pool("names", id_kind="string")
    pool.report(["a.jpg", "b.jpg"], [0.1, 0.9])
    assert pool.mine(1, strategy="top").ids == ["b.jpg"]


def test_more_rows_than_a_message_holds(server: FakeServer, pool: hardneg.Pool) -> None:
    ack = pool.report(np.arange(70_000), np.zeros(70_000))
    assert ack.counts.inserted == 70_000
    assert len(server.received) == 2


def test_fields_and_waiting_are_sent(server: FakeServer, pool: hardneg.Pool) -> None:
    pool.mine(1, fields=["scores", "ages"], wait=hardneg.Wait(10, timeout=0.5), seed=7, dry_run=True)
    request = server.mine_requests[-1]
    assert request.fields.scores
    assert request.fields.ages
    assert not request.fields.importance_weights
    assert (request.wait.min_size, request.wait.timeout.ToMilliseconds()) == (10, 500)
    assert request.seed == 7
    assert request.dry_run
    pool.mine(1)
    assert not server.mine_requests[-1].HasField("fields")
    assert not server.mine_requests[-1].HasField("seed")
    with pytest.raises(ValueError, match="fields must be of"):
        pool.mine(1, fields=["typo"])  # type: ignore[list-item]


def test_update_keeps_what_is_not_named(server: FakeServer, client: hardneg.Client) -> None:
    pool = client.create_pool("p", half_life=hardneg.Steps(5), max_step_jump=77, serve_penalty=0.5)
    info = pool.update(half_life=hardneg.Steps(50), max_serves=2)
    assert info.half_life == hardneg.Steps(50)
    assert (info.serve_penalty, info.max_serves) == (0.5, 2)
    assert server.pools["pools/p"].spec.decay.max_step_jump == 77
    assert pool.update(max_serves=2).etag == info.etag  # nothing to change


def test_pools_are_listed_over_pages(client: hardneg.Client) -> None:
    for i in range(5):
        client.create_pool(f"p{i}")
    assert [info.name for info in client.list_pools(page_size=2)] == [f"p{i}" for i in range(5)]


def test_delete(client: hardneg.Client, pool: hardneg.Pool) -> None:
    assert pool.exists()
    pool.delete()
    assert not pool.exists()
    pool.delete(missing_ok=True)
    with pytest.raises(hardneg.NotFound):
        pool.delete()


def test_a_delete_whose_answer_was_lost_is_no_error(server: FakeServer, pool: hardneg.Pool) -> None:
    server.forget_answers = 1
    pool.delete()
    assert not server.pools


def test_an_old_handle_leaves_the_next_pool_alone(client: hardneg.Client, pool: hardneg.Pool) -> None:
    pool.delete()
    new = client.create_pool(pool.name)
    for call in (
        pool.stats,
        pool.info,
        pool.delete,
        lambda: pool.delete(missing_ok=True),
        lambda: pool.update(half_life=5),
        lambda: next(pool.watch()),
        lambda: list(pool.quarantined()),
        pool.release_quarantined,
    ):
        with pytest.raises(hardneg.FailedPrecondition) as old:
            call()
        assert old.value.reason == "POOL_RECREATED"
    assert new.exists()
    assert not pool.exists()
    assert client.pool(pool.name).info().uid == new.uid
    same = client.pool(pool.name, uid=new.uid)
    assert (same.stats().uid, same.exists()) == (new.uid, True)
    same.delete()
    assert not new.exists()


def test_errors_carry_the_details(server: FakeServer, client: hardneg.Client, pool: hardneg.Pool) -> None:
    with pytest.raises(hardneg.NotFound) as missing:
        client.pool("nowhere").info()
    assert missing.value.reason == "POOL_NOT_FOUND"
    assert missing.value.metadata == {"pool": "pools/nowhere"}
    with pytest.raises(hardneg.InvalidArgument) as invalid:
        pool.mine(1, alpha=17)
    assert invalid.value.field == "policy.alpha"
    assert invalid.value.violations == (("policy.alpha", "must be 0 to 16"),)
    with pytest.raises(hardneg.AlreadyExists):
        client.create_pool("faces", capacity=1)
    busy = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=60))
    server.fail_next = [status(code_pb2.RESOURCE_EXHAUSTED, "busy", busy)]
    with pytest.raises(hardneg.ResourceExhausted) as exhausted:  # 60 s is over the deadline: not worth waiting
        pool.mine(1)
    assert exhausted.value.retry_after == 60


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (code_pb2.FAILED_PRECONDITION, hardneg.FailedPrecondition),
        (code_pb2.ABORTED, hardneg.Aborted),
        (code_pb2.UNAUTHENTICATED, hardneg.Unauthenticated),
        (code_pb2.PERMISSION_DENIED, hardneg.PermissionDenied),
        (code_pb2.UNIMPLEMENTED, hardneg.Unimplemented),
        (code_pb2.DEADLINE_EXCEEDED, hardneg.DeadlineExceeded),
        (code_pb2.DEADLINE_EXCEEDED, TimeoutError),
        (code_pb2.INTERNAL, hardneg.HardnegError),
    ],
)
def test_every_status_has_its_error(server: FakeServer, pool: hardneg.Pool, code: int, error: type[Exception]) -> None:
    server.fail_next = [status(code, "on purpose")]
    with pytest.raises(error, match="on purpose"):
        pool.mine(1)


def test_a_retried_mine_returns_the_same_batch(server: FakeServer, pool: hardneg.Pool) -> None:
    pool.report(range(100), [1.0] * 100)
    server.forget_answers = 2
    pool.mine(5)
    ids = {request.request_id for request in server.mine_requests}
    assert len(server.mine_requests) == 3
    assert len(ids) == 1
    assert len(server.remembered) == 1
    pool.mine(5)
    assert len(server.remembered) == 2


def test_a_retried_report_counts_once(server: FakeServer, pool: hardneg.Pool) -> None:
    server.forget_answers = 1
    assert pool.report([1], [1.0]).status is hardneg.AckStatus.DUPLICATE
    assert (len(server.received), len(server.applied)) == (2, 1)


def test_calls_end_in_time_when_nobody_answers() -> None:
    with hardneg.Client("127.0.0.1:9", timeout=1) as client:  # the discard port: nobody listens
        started = time.monotonic()
        with pytest.raises((hardneg.Unavailable, hardneg.DeadlineExceeded)):
            client.pool("p").mine(1)
        with pytest.raises(hardneg.Unavailable):
            client.wait_ready(timeout=0.3)
        assert time.monotonic() - started < 3


def test_a_closed_client_says_so(server: FakeServer) -> None:
    client = hardneg.Client(server.target)
    pool = client.create_pool("p")
    client.close()
    client.close()
    with pytest.raises(hardneg.StreamClosed):
        pool.mine(1)


def test_training_goes_on_without_the_service(server: FakeServer, pool: hardneg.Pool) -> None:
    pool.report(range(100), [1.0] * 100)
    server.stop()
    batch = pool.mine(8, on_unavailable="uniform", uniform_ids=100, exclude_ids=range(50), timeout=1)
    assert batch.degraded
    assert isinstance(batch.ids, np.ndarray)
    assert len(set(batch.ids.tolist())) == 8
    assert batch.ids.min() >= 50
    assert batch.importance_weights is not None
    assert (batch.importance_weights == 1).all()
    assert batch.is_background.all()
    started = time.monotonic()
    for _ in range(100):  # the service is not asked for each
        assert pool.mine(8, on_unavailable="uniform", uniform_ids=["a", "b"], timeout=1).shortfall_count == 6
    assert time.monotonic() - started < 0.5
    server.start()
    deadline = time.monotonic() + 15
    while pool.mine(8, on_unavailable="uniform", uniform_ids=100, timeout=1).degraded:
        assert time.monotonic() < deadline, "never came back to mining"
        time.sleep(0.1)
    with pytest.raises(ValueError, match="uniform_ids"):
        pool.mine(1, on_unavailable="uniform")


def test_other_errors_are_not_hidden_by_degraded_mode(pool: hardneg.Pool) -> None:
    with pytest.raises(hardneg.InvalidArgument):
        pool.mine(1, alpha=17, on_unavailable="uniform", uniform_ids=10)


def test_several_channels(server: FakeServer) -> None:
    with hardneg.Client(server.target, channels=3).wait_ready(5) as client:
        pool = client.create_pool("p")
        for i in range(6):
            pool.report([i], [1.0])
        assert pool.stats().sizes.hard == 6


@pytest.mark.parametrize(
    "arguments",
    [
        {"capacity": 0},
        {"serve_penalty": 0},
        {"ema_weight": 0},
        {"background_size": 1, "dense_ids": 1},
        {"hardness": "typo"},
        {"score_update": "typo"},
    ],
)
def test_wrong_options_are_refused_before_sending(client: hardneg.Client, arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"must|exclude"):
        client.create_pool("p", **arguments)  # type: ignore[arg-type]


def test_the_callers_headers_go_with_every_call_and_stream(server: FakeServer) -> None:
    spans = iter(range(100))

    def headers() -> list[tuple[str, str]]:
        return [("x-request-id", f"rank-0:{next(spans)}")]

    with hardneg.Client(server.target, timeout=5, token="secret", metadata=headers) as client:
        pool = client.create_pool("traced")
        with pool.score_stream() as stream:
            stream.report([1, 2], [0.5, 0.25])
        pool.mine(1)
        with pool.batches(1, count=1) as batches:
            assert len(list(batches)) == 1
    ids = [seen["x-request-id"] for seen in server.headers]
    assert len(ids) >= 4
    assert len(set(ids)) == len(ids), "each call asks anew"
    assert all(seen["authorization"] == "Bearer secret" for seen in server.headers)
