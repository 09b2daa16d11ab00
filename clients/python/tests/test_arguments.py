"""Every argument of the client, as it is on the wire."""

from __future__ import annotations

import datetime
import time
from typing import Any

import numpy as np
import pytest
from fake_server import FakeServer, ids_of, wire

import hardneg
from hardneg._proto import mining_service_pb2, pool_pb2, pool_service_pb2

NAN = float("nan")


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_columns_of_a_report(server: FakeServer, pool: hardneg.Pool, stream: bool) -> None:
    columns: dict[str, Any] = {
        "strata": np.array([7, 0, 2**32 - 1], dtype=np.int64),
        "groups": [5, 0, 2**64 - 1],
        "anchors": ["q1", "q1", "q2"],
        "positive_scores": [0.75, NAN, 0.5],
        "reference_scores": np.array([0.25, 0.5, NAN]),  # counted by the service, not taken for 0
        "labels": [3, 0, 2**32 - 1],
        "anchor_labels": np.array([1, 1, 2], dtype=np.uint8),
    }
    if stream:
        with pool.score_stream() as scores:
            scores.report([1, 2, 3], [0.5, 1.0, 2.0], step=4, **columns)
    else:
        pool.report([1, 2, 3], [0.5, 1.0, 2.0], step=4, **columns)
    (batch,) = server.applied
    assert list(batch.strata) == [7, 0, 2**32 - 1]
    assert (list(batch.labels), list(batch.anchor_labels)) == ([3, 0, 2**32 - 1], [1, 1, 2])
    assert ids_of(batch.groups) == [5, 0, 2**64 - 1]
    assert list(batch.anchors.strings.values) == ["q1", "q1", "q2"]
    for name, expected, present in (
        ("positive_scores", [0.75, NAN, 0.5], 0b101),
        ("reference_scores", [0.25, 0.5, NAN], None),
    ):
        column = getattr(batch, name)
        np.testing.assert_array_equal(np.frombuffer(column.f32_le, "<f4"), np.array(expected, "<f4"))
        assert column.present == (b"" if present is None else bytes([present]))
    assert batch.scores.present == b"", "a NaN score is dropped and counted, not absent"


def test_a_stream_keeps_rows_and_columns_together(server: FakeServer, pool: hardneg.Pool) -> None:
    with pool.score_stream(batch_size=4, linger=60) as stream:
        for start in range(0, 6, 3):
            ids = np.arange(start, start + 3)
            stream.report(ids, ids / 8, strata=ids + 10, groups=[f"g{i}" for i in ids], reference_scores=ids / 16)
        stream.report([9], [0.5])  # without the columns: another batch
    seen = []
    for batch in server.applied[:-1]:
        references = np.frombuffer(batch.reference_scores.f32_le, "<f4").tolist()
        seen += zip(ids_of(batch.ids), batch.strata, batch.groups.strings.values, references, strict=True)
    assert seen == [(i, i + 10, f"g{i}", i / 16) for i in range(6)]
    assert not server.applied[-1].strata


@pytest.mark.parametrize(
    "name", ["strata", "groups", "anchors", "positive_scores", "reference_scores", "labels", "anchor_labels"]
)
def test_a_column_of_another_length_is_named(pool: hardneg.Pool, name: str) -> None:
    with pytest.raises(ValueError, match=name), pool.score_stream() as stream:
        stream.report([1, 2], [0.5, 0.5], **{name: [1]})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=name):
        pool.report([1, 2], [0.5, 0.5], **{name: [1, 2, 3]})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("columns", "error"),
    [
        ({"strata": [-1, 0]}, ValueError),
        ({"strata": [0, 2**32]}, ValueError),
        ({"strata": [0.5, 1.5]}, TypeError),
        ({"labels": [-1, 0]}, ValueError),
        ({"anchor_labels": [0, 2**32]}, ValueError),
        ({"groups": ["x" * 257, "a"]}, ValueError),
        ({"anchors": ["", "a"]}, ValueError),
        ({"anchors": ["a", 1]}, TypeError),
        ({"positive_scores": ["a", "b"]}, TypeError),
    ],
)
def test_wrong_columns_are_refused_before_sending(
    server: FakeServer, pool: hardneg.Pool, columns: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error, match=next(iter(columns))):
        pool.report([1, 2], [0.5, 0.5], **columns)
    assert not server.received


def test_counts_of_an_ack() -> None:
    message = pool_pb2.ReportCounts(inserted=1, quarantined=2, anchor_limit=3, not_negative=4)
    counts = hardneg.ReportCounts.from_proto(message)
    assert (counts.quarantined, counts.anchor_limit, counts.not_negative, counts.total) == (2, 3, 4, 10)


def test_balance_and_curriculum(server: FakeServer, pool: hardneg.Pool) -> None:
    balance = hardneg.Balance(
        max_stratum_fraction=0.25,
        stratum_caps={0: 0.5, 7: 10, 8: 0.0, 9: np.int64(2)},
        min_per_stratum=2,
        max_per_group=3,
    )
    curriculum = hardneg.Curriculum(
        warmup_steps=100,
        alpha=hardneg.linear(0.0, 2.0, 100, 1_000),
        quantile_max=hardneg.sqrt(0.25, 1.0, 0, 500),
    )
    batch = pool.mine(8, balance=balance, curriculum=curriculum, step=99)
    request = wire(server.mine_requests[-1])
    assert request["step"] == "99"
    assert request["policy"] == {
        "balance": {
            "max_stratum_fraction": 0.25,
            "stratum_caps": [
                {"max_fraction": 0.5},
                {"stratum": 7, "max_count": 10},
                {"stratum": 8, "max_fraction": 0.0},
                {"stratum": 9, "max_count": 2},
            ],
            "min_per_stratum": 2,
            "max_per_group": 3,
        },
        "curriculum": {
            "warmup_steps": "100",
            "alpha": {"shape": "SCHEDULE_SHAPE_LINEAR", "to": 2.0, "begin_step": "100", "end_step": "1000"},
            "quantile_max": {"shape": "SCHEDULE_SHAPE_SQRT", "from": 0.25, "to": 1.0, "end_step": "500"},
        },
    }
    assert (batch.policy.balance, batch.policy.curriculum) == (balance, curriculum)
    assert (batch.warmup, batch.control) == (True, False)
    assert batch.approximations == (hardneg.Approximation.SCAN_LIMIT,)
    pool.mine(8, balance=hardneg.Balance(), curriculum=hardneg.Curriculum())
    policy = server.mine_requests[-1].policy
    assert (policy.HasField("balance"), policy.HasField("curriculum")) == (True, True), "they end the pool's"
    plain = pool.mine(8, balance=hardneg.Balance(equal_shares=True), step=0)
    assert wire(server.mine_requests[-1])["policy"] == {"balance": {"equal_shares": True}}
    assert server.mine_requests[-1].HasField("step")
    assert (plain.policy.balance, plain.policy.curriculum) == (hardneg.Balance(equal_shares=True), None)


def test_round_lease_and_fields(server: FakeServer, pool: hardneg.Pool) -> None:
    pool.report(range(100), [1.0] * 100)
    shares = [pool.mine(10, round=hardneg.Round(3, rank, 4, run_id="run"), lease=1.5) for rank in range(4)]
    request = server.mine_requests[-1]
    assert wire(request.round) == {"number": "3", "rank": 3, "world_size": 4, "run_id": "run"}
    assert request.lease.ToMilliseconds() == 1500
    assert not request.request_id
    assert shares[3].round == hardneg.Round(3, 3, 4, "run")
    assert len({int(key) for share in shares for key in share.ids}) == 40
    pool.mine(1, lease=datetime.timedelta(minutes=1), fields=["strata", "groups"])
    assert wire(server.mine_requests[-1])["lease"] == "60s"
    assert wire(server.mine_requests[-1])["fields"] == {"strata": True, "groups": True}
    pool.mine(1, lease=0)  # none, whatever the pool's default
    assert server.mine_requests[-1].HasField("lease")
    full = pool.mine(2, fields="all", exclude_ids=[1])
    assert full.strata is not None
    assert full.groups is not None
    assert (full.strata.tolist(), full.strata.dtype, list(full.groups)) == ([7, 7], np.uint32, [0, 0])
    assert full.filtered.excluded == 1
    bare = pool.mine(2)
    assert (bare.strata, bare.groups, bare.round) == (None, None, None)
    assert not server.mine_requests[-1].HasField("lease")


def test_a_retried_round_gets_the_same_share(server: FakeServer, pool: hardneg.Pool) -> None:
    pool.report(range(100), [1.0] * 100)
    server.forget_answers = 2
    pool.mine(5, round=hardneg.Round(0, 1, 2))
    assert len(server.mine_requests) == 3
    assert {request.request_id for request in server.mine_requests} == {""}
    assert len(server.remembered) == 1
    with pytest.raises(ValueError, match="request_id and round"):
        pool.mine(5, round=hardneg.Round(0, 1, 2), request_id="mine")


def test_negative_ratio(server: FakeServer, pool: hardneg.Pool) -> None:
    pool.report(range(100), [1.0] * 100)
    assert len(pool.mine(negative_ratio=hardneg.NegativeRatio(5))) == 15
    request = wire(server.mine_requests[-1])
    assert request["negative_ratio"] == {"positives": 5, "negatives_per_positive": 3.0}
    assert "batch_size" not in request
    assert hardneg.NegativeRatio(0, min_size=4).size == 4
    assert hardneg.NegativeRatio(0).size == 0
    assert len(pool.mine(negative_ratio=hardneg.NegativeRatio(0))) == 0
    assert hardneg.NegativeRatio(3, 1.5).size == 5
    server.stop()
    away = pool.mine(negative_ratio=hardneg.NegativeRatio(2, 3), on_unavailable="uniform", uniform_ids=100, timeout=0.5)
    assert (away.degraded, len(away)) == (True, 6)
    for arguments in ({}, {"batch_size": 1, "negative_ratio": hardneg.NegativeRatio(1)}):
        with pytest.raises(ValueError, match="batch_size or negative_ratio"):
            pool.mine(**arguments)


def test_ranks_stay_disjoint_without_the_service(server: FakeServer, pool: hardneg.Pool) -> None:
    server.stop()
    shares = [
        pool.mine(10, round=hardneg.Round(7, rank, 4), on_unavailable="uniform", uniform_ids=1000, timeout=0.2)
        for rank in range(4)
    ]
    assert all(share.degraded for share in shares)
    assert len({int(key) for share in shares for key in share.ids}) == 40
    assert [share.round for share in shares] == [hardneg.Round(7, rank, 4) for rank in range(4)]
    probabilities = shares[0].inclusion_probabilities
    assert probabilities is not None
    assert probabilities[0] == pytest.approx(0.04)
    following = pool.mine(10, round=hardneg.Round(8, 0, 4), on_unavailable="uniform", uniform_ids=1000, timeout=0.2)
    assert list(following.ids) != list(shares[0].ids)


def test_a_stream_of_rounds_goes_on_after_a_break(server: FakeServer, pool: hardneg.Pool) -> None:
    pool.report(range(100), [1.0] * 100)
    with pool.batches(5, round=hardneg.Round(10, 0, 2), count=8) as batches:
        numbers = [next(batches).round for _ in range(3)]
        server.stop()
        server.start()
        numbers += [batch.round for batch in batches]
    assert [found.number for found in numbers if found is not None] == list(range(10, 18))


def test_a_streams_step_goes_on_after_a_break(server: FakeServer, pool: hardneg.Pool) -> None:
    pool.report(range(100), [1.0] * 100)
    warming = hardneg.Curriculum(warmup_steps=15)
    with pool.batches(5, step=10, curriculum=warming, count=8) as batches:
        warmups = [next(batches).warmup for _ in range(3)]
        server.stop()
        server.start()
        warmups += [batch.warmup for batch in batches]
    assert warmups == [True] * 5 + [False] * 3


def test_a_round_that_a_degraded_batch_stood_in_for_is_not_served_late(server: FakeServer, pool: hardneg.Pool) -> None:
    pool.report(range(100), [1.0] * 100)
    first = hardneg.Round(0, 0, 2)
    with pool.batches(5, round=first, prefetch=1, on_unavailable="uniform", uniform_ids=100) as batches:
        numbers = [next(batches).round]
        server.stop()
        for _ in range(100):
            batch = next(batches)
            numbers.append(batch.round)
            if batch.degraded:
                break
        server.start()
        deadline = time.monotonic() + 20
        while batch.degraded:
            assert time.monotonic() < deadline
            batch = next(batches)
            numbers.append(batch.round)
            time.sleep(0.01)
    assert [found.number for found in numbers if found is not None] == list(range(len(numbers)))


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"RANK": "3", "WORLD_SIZE": "8"}, hardneg.Round(5, 3, 8, "r")),
        ({}, hardneg.Round(5, 0, 1, "r")),
    ],
)
def test_a_round_from_the_environment(environ: dict[str, str], expected: hardneg.Round) -> None:
    assert hardneg.Round.from_env(5, run_id="r", environ=environ) == expected


@pytest.mark.parametrize(
    "environ",
    [{"RANK": "3"}, {"WORLD_SIZE": "8"}, {"RANK": "8", "WORLD_SIZE": "8"}, {"RANK": "x", "WORLD_SIZE": "8"}],
)
def test_an_environment_that_makes_no_sense(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="WORLD_SIZE"):
        hardneg.Round.from_env(0)


def test_the_spec_of_an_anchored_pool(server: FakeServer, client: hardneg.Client) -> None:
    anchored = hardneg.Anchored(
        negatives_per_anchor=32,
        max_anchors=1000,
        max_positives_per_anchor=8,
        max_vetoes_per_anchor=16,
        absolute_margin=0.0,
        relative_margin=0.05,
        anchor_id_kind="string",
        anchors_are_samples=True,
    )
    flow = hardneg.Flow(mined_per_reported=0.5, error_buffer=100.0, min_reported=10, max_wait=2.5)
    pool = client.create_pool(
        "everything",
        anchored=anchored,
        quarantine=hardneg.Quarantine(quantile=0.95, reports=3, capacity=10),
        flow=flow,
        control_fraction=0.125,
        lease=30,
    )
    spec = wire(server.pools["pools/everything"].spec)
    assert spec["kind"] == "POOL_KIND_ANCHORED"
    assert spec["anchored"] == {
        "negatives_per_anchor": 32,
        "max_anchors": "1000",
        "max_positives_per_anchor": 8,
        "max_vetoes_per_anchor": 16,
        "absolute_margin": 0.0,
        "relative_margin": pytest.approx(0.05),
        "anchor_id_kind": "ID_KIND_STRING",
        "anchors_are_samples": True,
    }
    assert spec["quarantine"] == {"quantile": 0.95, "reports": 3, "capacity": "10"}
    assert spec["flow"] == {
        "mined_per_reported": 0.5,
        "error_buffer": 100.0,
        "min_reported": "10",
        "max_wait": "2.500s",
    }
    assert spec["control_fraction"] == 0.125
    assert spec["serve_limits"] == {"lease": "30s"}
    info = pool.info()
    assert info.anchored is not None
    assert info.anchored.anchor_id_kind is hardneg.IdKind.STRING
    assert info.anchored.max_anchors == 1000
    assert info.quarantine == hardneg.Quarantine(0.95, 3, 10)
    assert info.flow == hardneg.Flow(0.5, 100.0, 10, datetime.timedelta(seconds=2.5))
    assert (info.control_fraction, info.lease) == (0.125, datetime.timedelta(seconds=30))
    assert pool.update(lease=60).lease == datetime.timedelta(seconds=60)
    assert pool.update(lease=0).lease is None


def test_what_is_live_is_switched_on_and_off(server: FakeServer, client: hardneg.Client) -> None:
    pool = client.create_pool("live")
    info = pool.update(quarantine=hardneg.Quarantine(), flow=hardneg.Flow(1.0, 100.0), control_fraction=0.25)
    assert (info.quarantine, info.flow) == (hardneg.Quarantine(), hardneg.Flow(1.0, 100.0))
    assert info.control_fraction == 0.25
    info = pool.update(quarantine=hardneg.OFF)
    assert (info.quarantine, info.control_fraction) == (None, 0.25)
    assert info.flow is not None
    info = pool.update(flow=hardneg.OFF, control_fraction=0.0)
    assert (info.flow, info.control_fraction) == (None, 0.0)
    assert pool.update(flow=hardneg.OFF).etag == info.etag


def test_how_long_a_sample_lives_is_written_in_the_clock_of_the_pool(
    server: FakeServer, client: hardneg.Client
) -> None:
    pool = client.create_pool("short", sample_ttl=1.5)
    assert wire(server.pools["pools/short"].spec)["sample_ttl_time"] == "1.500s"
    assert pool.info().sample_ttl == datetime.timedelta(seconds=1.5)
    info = pool.update(sample_ttl=datetime.timedelta(hours=1))
    assert info.sample_ttl == datetime.timedelta(hours=1)
    assert pool.update(sample_ttl=3600).etag == info.etag
    assert pool.update(sample_ttl=hardneg.OFF).sample_ttl is None
    assert pool.update(sample_ttl=hardneg.Steps(7)).sample_ttl == hardneg.Steps(7)
    assert client.create_pool("ever").info().sample_ttl is None
    with pytest.raises(ValueError, match="whole number"):
        client.create_pool("half", sample_ttl=hardneg.Steps(1.5))
    with pytest.raises(TypeError, match="sample_ttl"):
        client.create_pool("wrong", sample_ttl="1h")  # type: ignore[arg-type]


def test_defaults_of_a_spec_stay_off(server: FakeServer, client: hardneg.Client) -> None:
    info = client.create_pool("plain").info()
    spec = server.pools["pools/plain"].spec
    assert not any(spec.HasField(name) for name in ("anchored", "quarantine", "flow", "serve_limits"))
    assert (info.anchored, info.quarantine, info.flow, info.lease, info.control_fraction) == (None,) * 4 + (0.0,)
    client.create_pool("defaults", quarantine=hardneg.Quarantine(), anchored=hardneg.Anchored())
    spec = server.pools["pools/defaults"].spec
    assert spec.HasField("quarantine")
    assert spec.HasField("anchored")


@pytest.mark.parametrize(
    "make",
    [
        lambda: hardneg.Balance(max_stratum_fraction=0),
        lambda: hardneg.Balance(equal_shares=True, max_stratum_fraction=0.5),
        lambda: hardneg.Balance(stratum_caps={1: 1.5}),
        lambda: hardneg.Balance(stratum_caps={1: -1}),
        lambda: hardneg.linear(0, 1, 5, 5),
        lambda: hardneg.Round(0, 2, 2),
        lambda: hardneg.Round(0, 0, 1, "x" * 129),
        lambda: hardneg.NegativeRatio(-1),
        lambda: hardneg.NegativeRatio(1, 0.0),
        lambda: hardneg.Quarantine(reports=0),
        lambda: hardneg.Flow(0, 1),
        lambda: hardneg.DistanceWeighting(2),
        lambda: hardneg.Anchored(max_anchors=0).to_proto(),
        lambda: hardneg.Anchored(anchor_id_kind="typo").to_proto(),
    ],
)
def test_wrong_values_are_refused_before_sending(make: Any) -> None:
    with pytest.raises(ValueError, match=r"must|exclude"):
        make()


def test_single_samples(server: FakeServer, pool: hardneg.Pool) -> None:
    pool.report(range(10), [0.5] * 10)
    pool.mine(10, lease=60)
    there, nowhere = pool.get_samples([3, 77])
    assert (there.place, there.score, there.stratum) == (hardneg.SamplePlace.HARD, 0.5, 3)
    assert (there.lease_left, there.age, there.weight_log2) == (datetime.timedelta(seconds=60), 0.0, None)
    assert (nowhere.place, nowhere.score, nowhere.lease_left) == (hardneg.SamplePlace.NOWHERE, None, None)
    assert pool.release_lease([3, 4, 77]) == 2
    assert server.requests[-1].pool_uid == pool.uid
    assert pool.get_samples([3])[0].lease_left is None
    assert len(pool.get_samples(range(65_540))) == 65_540
    assert pool.release_lease([]) == 0


def test_the_quarantine_is_listed_over_pages_and_released(server: FakeServer, pool: hardneg.Pool) -> None:
    samples = [pool_service_pb2.QuarantinedSample(id=i, score=2.5, threshold=2.0, reports=5) for i in range(5)]
    samples[4].name = "four"
    samples[0].quarantine_time.FromSeconds(86_400)
    server.quarantined["pools/faces"] = samples
    found = list(pool.quarantined(page_size=2))
    assert [sample.id for sample in found] == [0, 1, 2, 3, "four"]
    assert [request.page_token for request in server.requests] == ["", "2", "4"]
    assert (found[0].score, found[0].threshold, found[0].reports) == (2.5, 2.0, 5)
    assert found[0].quarantine_time == datetime.datetime(1970, 1, 2, tzinfo=datetime.timezone.utc)
    assert pool.release_quarantined([1, 3], trust=True).released == 2
    assert (ids_of(server.requests[-1].ids), server.requests[-1].trust) == ([1, 3], True)
    assert pool.release_quarantined([]).released == 0, "no ids are not all ids"
    assert pool.release_quarantined().released == 3
    assert not server.requests[-1].HasField("ids")
    assert list(pool.quarantined()) == []


def test_watching(server: FakeServer, pool: hardneg.Pool, client: hardneg.Client) -> None:
    pool.report(range(3), [1.0] * 3)
    views = pool.watch(interval=0.5)
    view, again = next(views), next(views)
    views.close()  # type: ignore[attr-defined]
    assert server.requests[-1].interval.ToMilliseconds() == 500
    assert (view.stats.sizes.hard, again.stats.name) == (3, "faces")
    (tick,) = view.activity.ticks
    assert (tick.reported_rows, tick.report, tick.mine) == (5, hardneg.LatencyPercentiles(0.0, 0.25), None)
    assert view.activity.scores == hardneg.SampleHistogram((0.0, 1.0), (3,), ())
    assert view.activity.workers[0].worker_id == "w"
    assert (view.activity.hardest[0].id, view.activity.suspects[0].id) == ("nine", 4)
    with pytest.raises(hardneg.NotFound):
        next(client.pool("nowhere").watch())


def test_stats_reach_every_field(pool: hardneg.Pool) -> None:
    message = pool_pb2.PoolStats(leased=1, quarantined=2, quarantine_overflows=3, rounds=4, round_replays=5)
    message.control_batches = 6
    message.filtered.stratum = 7
    message.flow.balance = -1.5
    message.bias.strata.add(stratum=9, reported=0.5, served=0.25)
    message.bias.served_age_quantiles.extend([1.0, 2.0, 3.0])
    message.anchored.anchors = 8
    stats = hardneg.PoolStats.from_proto(message)
    assert (stats.leased, stats.quarantined, stats.quarantine_overflows) == (1, 2, 3)
    assert (stats.rounds, stats.round_replays, stats.control_batches) == (4, 5, 6)
    assert (stats.filtered.stratum, stats.flow.balance) == (7, -1.5)
    assert stats.bias.strata == (hardneg.StratumShare(9, 0.5, 0.25),)
    assert stats.bias.served_age_quantiles == (1.0, 2.0, 3.0)
    assert stats.anchored is not None
    assert stats.anchored.anchors == 8
    assert pool.stats().anchored is None


@pytest.mark.parametrize(
    ("mine", "message"),
    [
        (hardneg.FilterCounts, pool_pb2.FilterCounts),
        (hardneg.FlowStats, pool_pb2.FlowStats),
        (hardneg.BiasFigures, pool_pb2.BiasFigures),
        (hardneg.AnchoredStats, pool_pb2.AnchoredStats),
        (hardneg.ReportCounts, pool_pb2.ReportCounts),
        (hardneg.PoolStats, pool_pb2.PoolStats),
        (hardneg.NegativePolicy, mining_service_pb2.NegativePolicy),
    ],
)
def test_nothing_of_the_contract_is_left_out(mine: type[Any], message: type[Any]) -> None:
    assert set(mine.__dataclass_fields__) == {field.name for field in message.DESCRIPTOR.fields}
