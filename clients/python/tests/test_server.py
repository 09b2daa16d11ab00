"""Against the real server: what is reported comes back, with every column, and errors say which field."""

from __future__ import annotations

import datetime
import time

import numpy as np
import pytest

import hardneg


def ids_of(batch: hardneg.MinedBatch) -> list[int]:
    assert isinstance(batch.ids, np.ndarray)
    return [int(key) for key in batch.ids]


def test_round_trip_in_numpy(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name, capacity=10_000, half_life=hardneg.NEVER)
    ids = np.arange(5_000, dtype=np.int32) * 3
    scores = np.random.default_rng(0).random(5_000)
    ack = pool.report(ids, scores, model_version=7)
    assert ack.status is hardneg.AckStatus.APPLIED
    assert ack.counts == hardneg.ReportCounts(inserted=5_000)
    assert (ack.floor_log2, ack.pool_uid) == (None, pool.uid)

    batch = pool.mine(256, random_fraction=0.25, seed=1)
    assert isinstance(batch.ids, np.ndarray)
    assert batch.scores is not None
    assert batch.importance_weights is not None
    assert batch.sources is not None
    assert batch.ids.dtype == np.uint64
    assert batch.scores.dtype == batch.importance_weights.dtype == np.float32
    assert batch.sources.dtype == np.uint8
    assert len(batch) == len(set(batch.ids.tolist())) == 256
    assert not batch.ids.flags.writeable
    by_id = dict(zip(ids.tolist(), scores.astype(np.float32).tolist(), strict=True))
    assert batch.scores.tolist() == [by_id[i] for i in batch.ids.tolist()]
    assert (batch.importance_weights > 0).all()
    assert batch.estimand is hardneg.Estimand.ALL
    assert batch.is_background.sum() == batch.background_count
    assert batch.hard_count + batch.background_count == 256
    assert batch.realized_random_fraction == pytest.approx(batch.background_count / 256)
    assert batch.policy == hardneg.MiningPolicy("proportional", 1.0, 0.25, 1.0, "none", (), "fill")
    assert batch.sizes is not None
    assert (batch.sizes.hard, batch.sizes.distinct) == (5_000, 5_000)
    assert (batch.seed, batch.pool_uid, batch.shortfall_count, batch.degraded) == (1, pool.uid, 0, False)


def test_importance_weights_undo_the_bias(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name, half_life=hardneg.NEVER)
    scores = np.random.default_rng(1).exponential(size=4_000)
    pool.report(np.arange(4_000), scores)
    estimates, plain = [], []
    for seed in range(60):
        batch = pool.mine(256, seed=seed, dry_run=True)
        assert batch.scores is not None
        assert batch.importance_weights is not None
        estimates.append(float((batch.importance_weights * batch.scores).mean()))
        plain.append(float(batch.scores.mean()))
    error = np.std(estimates, ddof=1) / np.sqrt(len(estimates))
    assert abs(np.mean(estimates) - scores.mean()) < 4 * error
    assert np.mean(plain) > 1.3 * scores.mean(), "mining is meant to be biased towards the hard"


@pytest.mark.parametrize("dtype", [np.uint64, np.int64, np.uint16, ">u8", object])
def test_ids_of_any_integer_type(real: hardneg.Client, name: str, dtype: str) -> None:
    pool = real.create_pool(name)
    assert pool.report(np.arange(9).astype(dtype)[::2], np.ones(5, np.float16)).counts.inserted == 5
    assert sorted(pool.mine(9, strategy="top", random_fraction=0).ids) == [0, 2, 4, 6, 8]


def test_the_largest_ids(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name)
    pool.report([0, 2**63, 2**64 - 1], [0.1, 0.2, 0.3])
    top = pool.mine(3, strategy="top", random_fraction=0)
    assert list(top.ids) == [2**64 - 1, 2**63, 0]
    assert top.estimand is hardneg.Estimand.NONE
    assert top.importance_weights is None


def test_string_ids_and_payloads(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name, id_kind="string", max_payload_bytes=16)
    pool.report(["a.jpg", "größe.png", "c"], [0.1, 0.9, 0.5], payloads=[b"\x00\xff", b"box", None])
    batch = pool.mine(3, strategy="top", random_fraction=0)
    assert batch.ids == ["größe.png", "c", "a.jpg"]
    assert batch.payloads == [b"box", b"", b"\x00\xff"]
    pool.report(["a.jpg"], [2.0])  # a report without a payload keeps it
    assert pool.mine(1, strategy="top", random_fraction=0, exclude_ids=["c"]).payloads == [b"\x00\xff"]
    assert pool.remove(["c", "unknown"]) == 1
    with pytest.raises(hardneg.InvalidArgument) as wrong_kind:
        pool.report([1, 2], [0.0, 0.0])
    assert wrong_kind.value.field == "batch.ids"
    with pytest.raises(hardneg.InvalidArgument) as too_long:
        pool.report(["a"], [0.0], payloads=[b"x" * 17])
    assert "payloads" in str(too_long.value.field)


def test_every_field(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name, half_life=hardneg.Steps(10), max_payload_bytes=8)
    pool.report(range(10), np.arange(10), step=1, model_version=3, payloads=[b"p"] * 10)
    pool.report([11], [1.0], step=5, model_version=4)
    full = pool.mine(11, fields="all", random_fraction=0.5)
    again = pool.mine(11, fields="all", random_fraction=0.5)
    for batch, serves in ((full, 1), (again, 2)):
        rows = {int(key): row for row, key in enumerate(batch.ids)}
        assert batch.ages is not None
        assert batch.model_versions is not None
        assert batch.serves is not None
        assert batch.payloads is not None
        assert batch.inclusion_probabilities is not None
        assert (batch.ages[rows[3]], batch.ages[rows[11]]) == (4.0, 0.0)
        assert (batch.model_versions[rows[3]], batch.model_versions[rows[11]]) == (3, 4)
        assert (batch.payloads[rows[3]], batch.payloads[rows[11]]) == (b"p", b"")
        assert set(batch.serves.tolist()) == {serves}
        assert ((batch.inclusion_probabilities > 0) & (batch.inclusion_probabilities <= 1)).all()
    bare = pool.mine(5, fields=[])
    columns = (bare.scores, bare.importance_weights, bare.inclusion_probabilities, bare.sources, bare.ages)
    assert columns == (None,) * 5
    assert (bare.model_versions, bare.serves, bare.payloads) == (None, None, None)
    with pytest.raises(ValueError, match="sources"):
        _ = bare.is_background


def test_dense_ids_draw_what_was_never_reported(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name, dense_ids=1_000)
    counts = pool.report([1, 2, 1_000], [0.5, 0.5, 0.5]).counts
    assert (counts.inserted, counts.out_of_range) == (2, 1)
    batch = pool.mine(100, random_fraction=1.0, fields=["scores", "ages", "sources"])
    assert batch.scores is not None
    assert np.isnan(batch.scores).sum() >= 98
    assert batch.background_count == 100


def test_rows_that_cannot_be_used_are_counted(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name, half_life=hardneg.Steps(5))
    counts = pool.report([1, 2, 3, 4, 4], [np.nan, np.inf, 1.0, 0.1, 0.2], step=9).counts
    assert (counts.non_finite, counts.coalesced, counts.inserted, counts.total) == (2, 1, 2, 5)
    with pytest.raises(hardneg.StaleScores) as stale:
        pool.report([3], [5.0], step=8)
    assert (stale.value.counts.stale, stale.value.batches) == (1, 1)
    scores = pool.mine(2, strategy="top", random_fraction=0).scores
    assert scores is not None
    assert scores.tolist() == pytest.approx([1.0, 0.2])


def test_nothing_at_all(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name)
    assert pool.report([], []).counts.total == 0
    batch = pool.mine(5)
    assert (len(batch), batch.shortfall_count) == (0, 5)
    assert pool.remove([]) == 0


def test_a_small_pool_keeps_the_hardest(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name, capacity=100, background_size=16, half_life=hardneg.NEVER, shards=1)
    ack = pool.report(np.arange(10_000), np.arange(10_000))
    assert ack.counts.total == 10_000
    assert ack.floor_log2 is not None
    assert ack.floor_log2 > np.log2(9_000)
    stats = pool.stats()
    assert (stats.sizes.hard, stats.reported_rows, stats.reported_batches) == (100, 10_000, 1)
    assert stats.sizes.background_probability < 1
    assert abs(stats.sizes.closed_loop_ratio - 1) < 0.3
    # The store promises the hardest to an eighth of an octave.
    assert min(ids_of(pool.mine(100, strategy="top", random_fraction=0))) >= 10_000 / 2 ** (1 / 8) - 1


def test_seed_dry_run_and_request_id(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name, half_life=hardneg.NEVER)
    pool.report(range(1_000), np.linspace(0, 1, 1_000))
    looks = [pool.mine(32, seed=5, dry_run=True, fields="all") for _ in range(2)]
    assert list(looks[0].ids) == list(looks[1].ids)
    assert looks[0].serves is not None
    assert list(pool.mine(32, seed=6, dry_run=True).ids) != list(looks[0].ids)
    assert pool.stats().served_hard + pool.stats().served_background in (0, 96)
    first = pool.mine(32, request_id="step-1", fields="all")
    again = pool.mine(32, request_id="step-1", fields="all")
    assert list(first.ids) == list(again.ids)
    assert first.seed == again.seed
    assert again.serves is not None
    assert set(again.serves.tolist()) == {1}, "the retry counted no serve"
    assert list(pool.mine(32).ids) != list(pool.mine(32).ids), "request ids are random"


def test_max_serves_and_shortfall(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name, max_serves=1, half_life=hardneg.NEVER)
    pool.report(range(10), np.ones(10))
    assert len(pool.mine(10, random_fraction=0)) == 10
    empty = pool.mine(10, random_fraction=0, shortfall="short")
    assert (len(empty), empty.shortfall_count) == (0, 10)
    with pytest.raises(hardneg.FailedPrecondition) as short:
        pool.mine(10, random_fraction=0, shortfall="error")
    assert short.value.reason == "SHORTFALL"
    pool.report([3], [1.0])
    assert list(pool.mine(10, random_fraction=0).ids) == [3]


@pytest.mark.parametrize(
    ("window", "wanted"),
    [
        (hardneg.ScoreWindow(max=0.25), range(26)),
        (hardneg.ScoreWindow(min=0.5, max=0.625), range(50, 63)),
        (hardneg.RankWindow(min=90), range(10)),
        (hardneg.RankWindow(min=10, max=20), range(80, 90)),
        (hardneg.VersionWindow(min=1), range(0, 100, 2)),
        (hardneg.VersionWindow(max=0), range(1, 100, 2)),
        (hardneg.AgeWindow(max=5), range(0, 100, 2)),
        (hardneg.AgeWindow(min=6), range(1, 100, 2)),
    ],
)
def test_windows(real: hardneg.Client, name: str, window: hardneg.ScoreWindow, wanted: range) -> None:
    pool = real.create_pool(name, half_life=hardneg.Steps(1e6))
    odd, even = np.arange(1, 100, 2), np.arange(0, 100, 2)
    pool.report(odd, odd / 100, step=1, model_version=0)
    pool.report(even, even / 100, step=10, model_version=1)
    batch = pool.mine(100, strategy="uniform", random_fraction=0, windows=[window])
    assert sorted(batch.ids) == list(wanted)
    assert batch.policy.windows == (window,)


def test_a_quantile_window(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name, half_life=hardneg.NEVER)
    pool.report(range(1_000), np.linspace(1, 2, 1_000))
    batch = pool.mine(1_000, strategy="uniform", random_fraction=0, windows=[hardneg.QuantileWindow(0.5, 0.75)])
    assert 245 <= len(batch) <= 255
    assert 495 <= min(ids_of(batch)) <= 505
    assert 745 <= max(ids_of(batch)) <= 755


def test_waiting(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name)
    pool.report([1], [1.0])
    started = time.monotonic()
    batch = pool.mine(2, wait=hardneg.Wait(2, timeout=0.4))
    assert 0.35 < time.monotonic() - started < 3
    assert batch.timed_out
    with pool.score_stream(linger=0.3) as stream:  # arrives while the call below waits
        stream.report([2], [1.0])
        filled = pool.mine(2, wait=hardneg.Wait(2, timeout=10), timeout=1)
    assert (len(filled), filled.timed_out) == (2, False)
    with pytest.raises(hardneg.InvalidArgument) as never:
        pool.mine(2, wait=hardneg.Wait(1, timeout=100_000))
    assert never.value.field == "wait.timeout"


def test_stats(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name, half_life=hardneg.Steps(3))
    pool.report(range(50), np.ones(50), step=4)
    pool.report(range(25), np.ones(25), step=5)
    pool.mine(20)
    pool.mine(100)
    pool.remove(range(5))
    stats = pool.stats()
    assert (stats.name, stats.uid, stats.run) == (name, pool.uid, hardneg.Run("", first_step=4, step=5, tick=1))
    assert (stats.reported_rows, stats.reported_batches) == (75, 2)
    assert (stats.counts.inserted, stats.counts.updated) == (50, 25)
    assert (stats.sizes.hard, stats.removed) == (45, 5)
    assert (stats.mined_batches, stats.shortfalls) == (2, 1)
    assert stats.served_hard + stats.served_background == 70
    assert stats.memory_bytes > 0


def test_list_update_delete(real: hardneg.Client, name: str) -> None:
    names = [f"{name}-{i}" for i in range(5)]
    for each in names:
        real.create_pool(each, half_life=hardneg.Steps(5), max_step_jump=77, serve_penalty=0.5)
    listed = [info.name for info in real.list_pools(page_size=2)]
    assert listed == sorted(listed)
    assert set(names) <= set(listed)

    pool = real.pool(names[0])
    before = pool.info()
    policy = hardneg.MiningPolicy("rank", alpha=0.5, windows=[hardneg.RankWindow(min=10)])
    after = pool.update(half_life=hardneg.Steps(50), max_serves=2, default_policy=policy, rotate_background=False)
    assert (after.uid, after.half_life, after.max_serves) == (before.uid, hardneg.Steps(50), 2)
    assert after.serve_penalty == pytest.approx(0.5)
    assert after.etag != before.etag
    assert after.default_policy.strategy is hardneg.Strategy.RANK
    assert after.default_policy.windows == (hardneg.RankWindow(min=10),)
    assert pool.mine(1).policy.alpha == 0.5
    with pytest.raises(hardneg.InvalidArgument) as clock:
        pool.update(half_life=60.0)  # the kind of clock is fixed
    assert "decay" in str(clock.value.field)

    pool.delete()
    assert not pool.exists()
    pool.delete(missing_ok=True)
    with pytest.raises(hardneg.NotFound):
        pool.delete()
    for each in names[1:]:
        real.pool(each).delete()


def test_an_old_run_cannot_delete_the_pool_of_the_next(real: hardneg.Client, name: str) -> None:
    old = real.create_pool(name)
    old.delete()
    new = real.create_pool(name)
    for call in (
        old.delete,
        old.stats,
        old.info,
        lambda: old.update(half_life=5),
        lambda: next(old.watch()),
        lambda: list(old.quarantined()),
        old.release_quarantined,
    ):
        with pytest.raises(hardneg.FailedPrecondition) as refused:
            call()
        assert refused.value.reason == "POOL_RECREATED"
        assert str(new.uid) in str(refused.value)
    assert new.exists()
    assert not old.exists()
    new.delete()


def test_scores_that_weigh_alike_are_told(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name)
    ack = pool.report([1, 2, 3], [-1.0, -2.0, 0.5])
    assert (ack.floored, ack.clamped, ack.counts.total) == (2, 0, 3)
    assert (ack.position, ack.durable_position) == (None, None), "nothing is journalled"
    with pool.score_stream() as stream:
        stream.report(np.arange(70_000), np.full(70_000, -1.0))
        stream.flush()
        assert (stream.stats.floored, stream.stats.clamped, stream.position) == (70_000, 0, None)
    assert pool.report(np.arange(70_000), np.full(70_000, -1.0)).floored == 70_000, "over all batches"
    assert pool.stats().floored == 140_002
    assert pool.mine(1).position is None


def test_info_has_every_default(real: hardneg.Client, name: str) -> None:
    info = real.create_pool(name).info()
    assert (info.name, info.capacity, info.background_size, info.dense_ids) == (name, 1_048_576, 65_536, None)
    assert info.half_life == datetime.timedelta(hours=1)
    assert (info.hardness, info.score_update) == (hardneg.HardnessFunction.POWER, hardneg.ScoreUpdate.LAST)
    assert (info.serve_penalty, info.max_serves, info.max_payload_bytes) == (1.0, 0, 0)
    assert info.offset == pytest.approx(1e-3)
    assert (info.max_step_jump, info.rotate_background) == (None, True)
    assert abs(info.create_time - datetime.datetime.now(datetime.timezone.utc)) < datetime.timedelta(minutes=1)
    assert real.create_pool(name).uid == info.uid, "the same spec again: the same pool"
    with pytest.raises(hardneg.AlreadyExists, match="capacity"):
        real.create_pool(name, capacity=5)


def test_errors_name_the_field(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name, half_life=hardneg.Steps(5), max_step_jump=10)
    with pytest.raises(hardneg.NotFound) as missing:
        real.pool("nowhere").mine(1)
    assert missing.value.reason == "POOL_NOT_FOUND"
    for arguments, field in (
        ({"alpha": 17.0}, "policy.alpha"),
        ({"random_fraction": 1.5}, "policy.random_fraction"),
        ({"beta": -0.1}, "policy.beta"),
        ({"request_id": "x" * 65}, "request_id"),
    ):
        with pytest.raises(hardneg.InvalidArgument) as wrong:
            pool.mine(1, **arguments)
        assert wrong.value.field == field
        assert wrong.value.reason == "INVALID_FIELD"
    with pytest.raises(hardneg.InvalidArgument) as size:
        pool.mine(70_000)
    assert size.value.field == "batch_size"
    pool.report([1], [1.0], step=5)
    with pytest.raises(hardneg.InvalidArgument) as jump:
        pool.report([1], [1.0], step=16)
    assert jump.value.field == "batch.step"
    with pytest.raises(hardneg.InvalidArgument) as strings:
        pool.report(["a"], [1.0], step=5)
    assert strings.value.field == "batch.ids"
    with pytest.raises(hardneg.InvalidArgument) as named:
        real.create_pool("No Such/Name")
    assert named.value.field == "pool_id"
    with pytest.raises(hardneg.Unimplemented) as later:
        real.create_pool(name + "-2", durability="sync")
    assert "durability" in str(later.value.field)
    assert pool.stats().reported_rows == 1


def test_a_handle_means_one_pool(real: hardneg.Client, name: str) -> None:
    old = real.create_pool(name)
    real.pool(name).delete()
    real.create_pool(name)
    with pytest.raises(hardneg.FailedPrecondition, match="deleted and created again"):
        old.report([1], [1.0])
    assert real.pool(name).report([1], [1.0]).counts.inserted == 1


def test_samples_that_are_not_reported_expire(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name, half_life=hardneg.Steps(100), sample_ttl=hardneg.Steps(5))
    assert pool.info().sample_ttl == hardneg.Steps(5)
    pool.report(range(40), np.ones(40), step=1)
    pool.report(range(30, 50), np.ones(20), step=4)
    pool.report([77], [1.0], step=7)
    stats = pool.stats()
    assert (stats.sizes.hard, stats.sizes.distinct, stats.expired) == (21, 21.0, 30)
    assert stats.distinct_by_witness == 21
    assert set(ids_of(pool.mine(100))) == {*range(30, 50), 77}
    assert pool.update(sample_ttl=hardneg.OFF).sample_ttl is None
    pool.report([78], [1.0], step=1_000)
    assert pool.stats().sizes.hard == 22
    with pytest.raises(hardneg.InvalidArgument) as clock:
        pool.update(sample_ttl=60.0)  # the pool ages by steps
    assert clock.value.field == "pool.spec.sample_ttl_time"
    with pytest.raises(hardneg.InvalidArgument) as dense:
        real.create_pool(f"{name}-dense", dense_ids=10, sample_ttl=60)
    assert dense.value.field == "pool.spec.sample_ttl_time"
