"""Against the real server: rounds, leases, balance, curricula, quarantine, references, flow and anchored pools."""

from __future__ import annotations

import datetime
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest

import hardneg


def ids_of(batch: hardneg.MinedBatch) -> list[int]:
    assert isinstance(batch.ids, np.ndarray)
    return [int(key) for key in batch.ids]


def filled(real: hardneg.Client, name: str, n: int = 4_000) -> tuple[hardneg.Pool, npt.NDArray[np.float64]]:
    pool = real.create_pool(name, half_life=hardneg.NEVER)
    losses = np.random.default_rng(0).exponential(size=n)
    pool.report(np.arange(n), losses)
    return pool, losses


def test_four_ranks_in_threads_get_disjoint_shares(real: hardneg.Client, name: str) -> None:
    pool, losses = filled(real, name)
    for number in range(5):
        with ThreadPoolExecutor(4) as ranks:
            shares = list(
                ranks.map(lambda rank, n=number: pool.mine(64, round=hardneg.Round(n, rank, 4, "run")), range(4))
            )
        assert [share.round for share in shares] == [hardneg.Round(number, rank, 4, "run") for rank in range(4)]
        together = [key for share in shares for key in ids_of(share)]
        assert len(set(together)) == 4 * 64
        assert len({share.seed for share in shares}) == 1, "one draw, dealt out"
    means = [losses[ids_of(share)].mean() for share in shares]
    assert max(means) < 2 * min(means), "equally hard"
    stats = pool.stats()
    assert (stats.rounds, stats.round_replays) == (5, 15)


def test_a_round_asked_for_again_is_the_same_share(real: hardneg.Client, name: str) -> None:
    pool, _ = filled(real, name)
    first = pool.mine(32, round=hardneg.Round(0, 1, 2, "a"))
    again = pool.mine(32, round=hardneg.Round(0, 1, 2, "a"))
    assert ids_of(first) == ids_of(again)
    other_run = pool.mine(32, round=hardneg.Round(0, 1, 2, "b"))
    assert ids_of(other_run) != ids_of(first)
    with pytest.raises(hardneg.HardnegError):
        pool.mine(16, round=hardneg.Round(0, 0, 2, "a"))  # another request under the same number


def test_a_rounds_weights_are_unbiased_over_the_ranks(real: hardneg.Client, name: str) -> None:
    pool, losses = filled(real, name)
    estimates = []
    for number in range(60):
        shares = [pool.mine(32, round=hardneg.Round(number, rank, 4)) for rank in range(4)]
        weighted = [(share.importance_weights * losses[ids_of(share)]).mean() for share in shares]  # type: ignore[operator]
        estimates.append(np.mean(weighted))
    error = np.std(estimates, ddof=1) / np.sqrt(len(estimates))
    assert abs(np.mean(estimates) - losses.mean()) < 4 * error


def test_a_stream_of_rounds(real: hardneg.Client, name: str) -> None:
    pool, _ = filled(real, name)
    with (
        pool.batches(32, round=hardneg.Round(5, 0, 2), count=6) as one,
        pool.batches(32, round=hardneg.Round(5, 1, 2), count=6) as other,
    ):
        for number, (left, right) in enumerate(zip(one, other, strict=True), 5):
            assert left.round == hardneg.Round(number, 0, 2)
            assert right.round == hardneg.Round(number, 1, 2)
            assert not set(ids_of(left)) & set(ids_of(right))


def test_the_control_arm_is_the_same_on_every_rank(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name, half_life=hardneg.NEVER, control_fraction=0.5)
    losses = np.random.default_rng(0).exponential(size=4_000)
    pool.report(np.arange(4_000), losses)
    arms = []
    for number in range(40):
        shares = [pool.mine(16, round=hardneg.Round(number, rank, 2), fields="all") for rank in range(2)]
        assert shares[0].control == shares[1].control
        arms.append(shares[0].control)
        if shares[0].control:
            assert shares[0].importance_weights is not None
            assert np.ptp(shares[0].importance_weights) == 0, "uniform"
    assert 5 < sum(arms) < 35
    assert pool.info().control_fraction == 0.5
    assert pool.update(control_fraction=0.0).control_fraction == 0.0


def test_a_leased_sample_rests(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name, half_life=hardneg.NEVER)
    pool.report(range(100), np.arange(100))
    first = ids_of(pool.mine(40, strategy="top", random_fraction=0.0, lease=30))
    second = pool.mine(40, strategy="top", random_fraction=0.0)
    assert not set(first) & set(ids_of(second))
    (sample,) = pool.get_samples(first[:1])
    assert sample.lease_left is not None
    assert datetime.timedelta(0) < sample.lease_left <= datetime.timedelta(seconds=30.02)  # ends to 16 ms
    assert pool.stats().leased == 40
    assert pool.release_lease(first[:10]) == 10
    assert pool.release_lease(first[:10]) == 0
    pool.report(first[10:20], np.arange(1_000, 1_010))  # a report ends a lease too
    assert set(ids_of(pool.mine(20, strategy="top", random_fraction=0.0))) == set(first[:20])


def test_a_lease_runs_out_and_may_be_the_pools_default(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name, half_life=hardneg.NEVER, lease=0.5)
    pool.report(range(10), [1.0] * 10)
    assert len(pool.mine(10, strategy="top", random_fraction=0.0)) == 10
    assert len(pool.mine(10, strategy="top", random_fraction=0.0)) == 0
    deadline = time.monotonic() + 10
    while len(pool.mine(10, strategy="top", random_fraction=0.0, dry_run=True)) < 10:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    pool.mine(10, strategy="top", random_fraction=0.0, lease=0)  # none, for this request
    assert len(pool.mine(10, strategy="top", random_fraction=0.0, dry_run=True)) == 10
    assert pool.update(lease=60).lease == datetime.timedelta(minutes=1)


@pytest.mark.parametrize("strategy", ["proportional", "rank", "top", "uniform"])
def test_caps_of_strata_and_groups_hold_exactly(real: hardneg.Client, name: str, strategy: str) -> None:
    pool = real.create_pool(name, half_life=hardneg.NEVER)
    rng = np.random.default_rng(0)
    ids = np.arange(6_000)
    strata = rng.choice([0, 1, 2], p=[0.9, 0.08, 0.02], size=ids.size)
    groups = ids // 10 + 1
    pool.report(ids, rng.exponential(size=ids.size), strata=strata, groups=groups)
    balance = hardneg.Balance(max_stratum_fraction=0.5, stratum_caps={1: 0.25, 2: 10}, max_per_group=1)
    for seed in range(5):
        batch = pool.mine(100, strategy=strategy, balance=balance, seed=seed, fields="all")
        assert batch.strata is not None
        assert isinstance(batch.groups, np.ndarray)
        assert batch.strata.tolist() == strata[ids_of(batch)].tolist()
        assert batch.groups.tolist() == groups[ids_of(batch)].tolist()
        counts = np.bincount(batch.strata, minlength=3)
        assert (counts <= [50, 25, 10]).all()
        assert len(set(batch.groups.tolist())) == len(batch)
        assert batch.filtered.stratum + batch.filtered.group > 0
    filtered = pool.stats().filtered
    assert filtered != hardneg.FilterCounts()
    assert filtered.stratum + filtered.group > 0


def test_equal_shares_and_minimums(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name, half_life=hardneg.NEVER)
    rng = np.random.default_rng(0)
    strata = np.repeat([1, 2, 3, 4], [5_000, 500, 100, 5])
    pool.report(np.arange(strata.size), rng.exponential(size=strata.size), strata=strata)
    equal = pool.mine(80, balance=hardneg.Balance(equal_shares=True), fields=["strata"])
    assert equal.strata is not None
    counts = np.bincount(equal.strata, minlength=5)[1:]
    assert (counts.sum(), counts[3]) == (80, 5)
    assert counts[:3].min() >= 24, "what a stratum has too few for goes to the others"
    least = pool.mine(80, balance=hardneg.Balance(min_per_stratum=3), fields=["strata"])
    assert least.strata is not None
    assert np.bincount(least.strata, minlength=5)[1:].min() >= 3


def test_strings_as_groups(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name, id_kind="string", half_life=hardneg.NEVER)
    names = [f"clip-{i // 4}/frame-{i}" for i in range(40)]
    pool.report(names, np.ones(40), groups=[key.split("/")[0] for key in names])
    batch = pool.mine(10, balance=hardneg.Balance(max_per_group=1))
    assert len({str(key).split("/")[0] for key in batch.ids}) == len(batch) == 10


def test_a_negative_ratio_is_the_batch_size(real: hardneg.Client, name: str) -> None:
    pool, _ = filled(real, name)
    assert len(pool.mine(negative_ratio=hardneg.NegativeRatio(7, 2.5))) == 18
    assert len(pool.mine(negative_ratio=hardneg.NegativeRatio(0, 3, min_size=5))) == 5
    none = pool.mine(negative_ratio=hardneg.NegativeRatio(0), fields="all")
    assert (len(none), none.shortfall_count) == (0, 0), "no positives, no negatives"


def test_a_curriculum_follows_the_step(real: hardneg.Client, name: str) -> None:
    pool, losses = filled(real, name)
    grow = hardneg.Curriculum(
        warmup_steps=10,
        alpha=hardneg.linear(0.0, 2.0, 10, 110),
        beta=hardneg.sqrt(0.0, 1.0, 0, 100),
        random_fraction=hardneg.linear(0.5, 0.0, 10, 110),
    )
    early = pool.mine(500, curriculum=grow, step=9)
    assert early.warmup
    assert early.policy.random_fraction == 1.0
    middle = pool.mine(500, curriculum=grow, step=60)
    late = pool.mine(500, curriculum=grow, step=1_000)
    assert not middle.warmup
    assert (middle.policy.alpha, middle.policy.random_fraction) == (pytest.approx(1.0), pytest.approx(0.25))
    assert middle.policy.beta == pytest.approx(0.6**0.5)
    assert (late.policy.alpha, late.policy.random_fraction, late.policy.beta) == (2.0, 0.0, 1.0)
    means = [losses[ids_of(batch)].mean() for batch in (early, middle, late)]
    assert means[0] < means[1] < means[2]


def test_the_step_is_the_pools_where_none_is_given(real: hardneg.Client, name: str) -> None:
    policy = hardneg.MiningPolicy(curriculum=hardneg.Curriculum(warmup_steps=10))
    pool = real.create_pool(name, half_life=hardneg.Steps(100), default_policy=policy)
    pool.report(range(100), [1.0] * 100, step=5)
    assert pool.mine(5).warmup
    pool.report([0], [1.0], step=10)
    assert not pool.mine(5).warmup
    assert pool.mine(5, step=9).warmup


def test_samples_kept_out_by_hand(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name)
    pool.report(np.arange(100), np.linspace(0.0, 1.0, 100))
    assert pool.quarantine([98, 99, 500]) == hardneg.SetAsideCounts(quarantined=2, absent=1)
    assert [(sample.id, sample.threshold) for sample in pool.quarantined()] == [(98, None), (99, None)]
    assert pool.block([99, 0, 777]) == hardneg.BlockCounts(blocked=3, removed=2)
    assert list(pool.blocked(page_size=2)) == [0, 99, 777]
    ack = pool.report([0, 98, 99, 1], [9.0] * 4)
    assert (ack.counts.blocked, ack.counts.quarantined, ack.counts.updated) == (2, 1, 1)
    assert ack.counts.total == 4
    places = [sample.place for sample in pool.get_samples([0, 1, 98])]
    assert places == [hardneg.SamplePlace.BLOCKED, hardneg.SamplePlace.HARD, hardneg.SamplePlace.QUARANTINE]
    stats = pool.stats()
    assert (stats.quarantined, stats.blocked, stats.set_aside, stats.released) == (1, 3, 2, 0)
    assert not {0, 98, 99} & set(ids_of(pool.mine(1_000)))
    assert pool.clear() == 98
    assert (pool.stats().sizes.hard, list(pool.quarantined()), list(pool.blocked())) == (0, [], [0, 99, 777])
    assert pool.unblock([99, 5]) == 1
    assert pool.report([99, 0], [1.0, 1.0]).counts.inserted == 1

    keys = real.create_pool(f"{name}-keys", id_kind="string")
    keys.block(["b", "a"])
    assert sorted(keys.blocked()) == ["a", "b"]
    anchored = real.create_pool(f"{name}-anchored", anchored=hardneg.Anchored())
    with pytest.raises(hardneg.FailedPrecondition) as raised:
        anchored.block([1])
    assert raised.value.reason == "POOL_ANCHORED"


def test_an_anchored_pool_is_cleared_in_place(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name, anchored=hardneg.Anchored())
    pool.report([10, 11, 10], [2.0, 1.0, 3.0], anchors=[1, 1, 2])
    pool.add_positives([1], [77])
    pool.reject_negatives([2], [11])
    assert pool.clear() == 3
    stats = pool.stats()
    assert stats.sizes.hard == stats.sizes.background == 0
    assert (stats.counts.total, stats.removed) == (3, 3)
    ack = pool.report([77, 11, 11], [2.0, 1.0, 3.0], anchors=[1, 1, 2])
    assert (ack.counts.inserted, ack.counts.not_negative) == (1, 2)


def test_quarantine_review_and_release(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name, half_life=hardneg.Steps(100), quarantine=hardneg.Quarantine(0.9, 3))
    rng = np.random.default_rng(0)
    for step in range(1, 6):
        scores = rng.random(1_000)
        scores[:5] = 9.0
        ack = pool.report(np.arange(1_000), scores, step=step, model_version=step)
    assert ack.counts.quarantined >= 5
    found = {sample.id: sample for sample in pool.quarantined(page_size=2)}
    assert set(range(5)) <= set(found)
    assert list(found) == sorted(found)
    assert (found[0].score, found[0].model_version) == (9.0, 5)
    assert 0.8 < found[0].threshold < 9.0
    assert found[0].reports >= 3
    now = datetime.datetime.now(datetime.timezone.utc)
    assert abs(now - found[0].quarantine_time) < datetime.timedelta(minutes=1)
    assert pool.stats().quarantined == len(found)
    assert not set(found) & set(ids_of(pool.mine(1_000)))
    assert pool.get_samples([0])[0].place is hardneg.SamplePlace.QUARANTINE

    assert pool.release_quarantined([0, 1], trust=True).released == 2
    top = pool.mine(2, strategy="top", random_fraction=0.0)
    assert set(ids_of(top)) == {0, 1}
    assert pool.release_quarantined().released == len(found) - 2
    for step in range(6, 12):
        pool.report(range(5), [9.0] * 5, step=step)
        pool.report(np.arange(5, 1_000), rng.random(995), step=step)
    again = {sample.id for sample in pool.quarantined()}
    assert not {0, 1} & again, "trusted"
    assert {2, 3, 4} <= again
    assert pool.update(quarantine=hardneg.OFF).quarantine is None


def test_what_keeps_a_sample_from_being_served(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name, half_life=hardneg.Steps(100), capacity=64)
    pool.report(np.arange(2_000), np.arange(2_000) / 100, step=1, model_version=3, strata=np.arange(2_000) % 7)
    hardest, easiest, unknown = pool.get_samples([1_999, 0, 999_999])
    assert (hardest.place, hardest.model_version, hardest.stratum) == (hardneg.SamplePlace.HARD, 3, 1_999 % 7)
    assert hardest.score == pytest.approx(19.99)
    assert hardest.weight_log2 is not None
    assert hardest.age == 0
    assert easiest.place is hardneg.SamplePlace.BACKGROUND
    assert (unknown.place, unknown.score, unknown.age) == (hardneg.SamplePlace.NOWHERE, None, None)


def test_reference_scores_are_subtracted(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name, half_life=hardneg.NEVER)
    pool.report([1, 2, 3], [5.0, 2.0, 1.0], reference_scores=[4.5, 0.5, 0.0])
    assert pool.report([4], [9.0], reference_scores=[np.nan]).counts.non_finite == 1
    batch = pool.mine(3, strategy="top", random_fraction=0.0)
    assert ids_of(batch) == [2, 3, 1]
    assert batch.scores is not None
    assert batch.scores.tolist() == [1.5, 1.0, 0.5]


def test_flow_makes_a_fast_miner_wait(real: hardneg.Client, name: str) -> None:
    flow = hardneg.Flow(mined_per_reported=1.0, error_buffer=100.0, max_wait=0.3)
    pool = real.create_pool(name, half_life=hardneg.NEVER, flow=flow)
    assert pool.info().flow == hardneg.Flow(1.0, 100.0, 1, datetime.timedelta(milliseconds=300))
    pool.report(range(50), [1.0] * 50)
    mined = sum(len(pool.mine(50, timeout=5)) for _ in range(5))
    assert mined <= 150, "reported 50, and a buffer of 100"
    stats = pool.stats()
    assert stats.flow.mine_waits > 0
    assert stats.flow.mine_timeouts > 0
    assert stats.flow.balance >= -100
    assert pool.update(flow=hardneg.OFF).flow is None
    assert len(pool.mine(50)) == 50


def test_an_anchored_pool_from_end_to_end(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(
        name,
        half_life=hardneg.NEVER,
        hardness="exponential",
        anchored=hardneg.Anchored(negatives_per_anchor=8, relative_margin=0.05),
    )
    info = pool.info()
    assert info.anchored is not None
    assert (info.anchored.negatives_per_anchor, info.anchored.max_positives_per_anchor) == (8, 64)
    assert pool.add_positives([1, 2], [100, 200], scores=[0.8, 0.5]) == hardneg.PairCounts(2, 0)
    scores = np.array([0.79, 0.7, 0.6, 0.8, 0.49, 0.4, 0.3, 0.5], np.float32)
    ack = pool.report([10, 11, 12, 100, 20, 21, 22, 200], scores, anchors=[1, 1, 1, 1, 2, 2, 2, 2])
    assert ack.counts.not_negative == 2

    mined = pool.mine_negatives([2, 1, 3], 2, shortfall="short", fields="all")
    assert [list(negatives.ids) for negatives in mined] == [[21, 22], [11, 12], []]
    assert mined[1].scores is not None
    assert mined[1].scores.tolist() == pytest.approx([0.7, 0.6])
    assert (mined[0].positive_score, mined[1].positive_score) == (pytest.approx(0.5), pytest.approx(0.8))
    assert (mined.unknown_anchor_count, mined.shortfall_count) == (1, 2)
    assert mined.filtered.positive_aware == 2
    assert mined.policy.relative_margin == pytest.approx(0.05)
    assert mined.inclusion_probabilities is None, "the hardest are no draw"
    near = pool.mine_negatives([1], 3, relative_margin=0.0, shortfall="short")
    assert list(near[0].ids) == [10, 11, 12]

    assert pool.reject_negatives([1], [11]) == hardneg.PairCounts(1, 1)
    assert list(pool.mine_negatives([1], 3, shortfall="short")[0].ids) == [12]
    pool.report([11], [0.7], anchors=[1])
    assert list(pool.mine_negatives([1], 3, shortfall="short")[0].ids) == [12], "vetoed for good"

    # The margin of the pool cannot judge samples without a score for the anchor.
    judged = pool.mine_negatives([1, 2, 3], 4, strategy="random", random_fraction=0.5, shortfall="fill")
    assert judged.scores is not None
    assert (judged.background_count, np.isnan(judged.scores).sum(), judged.no_positive_count) == (0, 0, 1)
    assert judged.filtered.unscored >= judged.shortfall_count > 0
    assert judged.policy.random_fraction == 0.0
    full = pool.mine_negatives([1, 2], 4, strategy="random", shortfall="fill_unscored", seed=1)
    assert full.filtered.unscored_passed == full.background_count
    assert full.background_count == full.filled_count > 0
    assert (full.sizes.background_probability, full.sizes.distinct) == (1.0, full.sizes.background)
    assert (full.counts <= 4).all()
    assert not {100, 11} & set(np.asarray(full[0].ids).tolist())
    assert full.inclusion_probabilities is not None
    assert ((full.inclusion_probabilities > 0) & (full.inclusion_probabilities <= 1)).all()
    stats = pool.stats().anchored
    assert stats is not None
    assert (stats.anchors, stats.positives, stats.vetoes, stats.pairs_refused) == (2, 2, 1, 0)
    pool.report([12, 13], [0.65, 0.75], anchors=[1, 1], labels=[5, 6], anchor_labels=[9, 9])
    labelled = pool.mine_negatives([1], 3, shortfall="short", fields=["labels"])
    assert labelled.labels is not None
    assert (list(labelled[0].ids), labelled[0].labels.tolist(), labelled[0].label) == ([13, 12], [6, 5], 9)
    with pytest.raises(hardneg.PairsRefused, match="max_positives_per_anchor 64 at row 0") as refused:
        pool.add_positives(np.full(65, 3), np.arange(65) + 1000)
    assert refused.value.rows.tolist() == list(range(65))
    # A positive is scored as it was told last: the margin moves with it.
    pool.add_positives([2], [200], scores=[0.9], model_version=2)
    assert list(pool.mine_negatives([2], 4, shortfall="short")[0].ids) == [20, 21, 22]
    with pytest.raises(hardneg.FailedPrecondition):
        pool.mine_negatives([1], 4, shortfall="error")


def test_classes_and_anchors_that_are_samples(real: hardneg.Client, name: str) -> None:
    """A face data set: each of 40 images is an anchor and a sample, of 8 people."""
    images = np.arange(40)
    people = (images % 8 + 1).astype(np.uint32)
    spec = hardneg.Anchored(negatives_per_anchor=8, anchors_are_samples=True)
    pool = real.create_pool(name, half_life=hardneg.NEVER, anchored=spec)
    info = pool.info().anchored
    assert info is not None
    assert info.anchors_are_samples
    anchors, samples = (pairs.ravel() for pairs in np.meshgrid(images, images, indexing="ij"))
    similarities = np.random.default_rng(3).uniform(0.1, 0.9, anchors.size)
    pool.report(samples, similarities, anchors=anchors, labels=people[samples], anchor_labels=people[anchors])
    for options in ({"random_fraction": 0.5}, {"strategy": "random", "random_fraction": 1.0}, {"shortfall": "fill"}):
        mined = pool.mine_negatives(images, 40, fields="all", **options)
        assert mined.labels is not None
        assert mined.counts.tolist() == [35] * 40, "the 35 images of other people"
        assert not (mined.labels == np.repeat(people, 35)).any()
    assert mined.filtered.same_label > 0
    one_each = pool.mine_negatives(images[:3], [2, 0, 5], hard_margin=0.2)
    assert (one_each.counts.tolist(), one_each.no_positive_count) == ([0, 0, 0], 3), "nothing to measure from"
    pool.report(samples[:1], [0.5], anchors=anchors[:1], positive_scores=[0.3])
    hard = pool.mine_negatives(images[:1], 40, hard_margin=0.0)
    assert hard.scores is not None
    assert len(hard.scores) > 0
    assert (hard.scores > 0.3).all()
    unlabelled = real.create_pool(f"{name}-unlabelled", half_life=hardneg.NEVER, anchored=spec)
    unlabelled.report(samples, similarities, anchors=anchors)
    mined = unlabelled.mine_negatives(images, 40, random_fraction=0.5)
    assert mined.counts.tolist() == [39] * 40
    assert not (np.asarray(mined.ids) == np.repeat(images, 39)).any()
    assert mined.filtered.anchor_itself > 0


def test_semi_hard_and_distance_weighted(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(
        name, half_life=hardneg.NEVER, lower_is_harder=True, anchored=hardneg.Anchored(negatives_per_anchor=64)
    )
    distances = np.linspace(0.1, 1.9, 64, dtype=np.float32)
    pool.report(np.arange(64), distances, anchors=np.ones(64, np.int64), positive_scores=np.full(64, 0.7))
    ring = pool.mine_negatives([1], 64, strategy="semi_hard", semi_hard_margin=0.19, shortfall="short")
    expected = distances[(distances > 0.7) & (distances < 0.89)]
    assert ring.scores is not None
    assert sorted(ring.scores.tolist()) == pytest.approx(expected.tolist())
    weighted = pool.mine_negatives(
        np.ones(400, np.int64),
        1,
        strategy="distance_weighted",
        distance_weighting=hardneg.DistanceWeighting(3),
        shortfall="short",
    )
    assert weighted.scores is not None
    assert weighted.scores.max() <= 1.4
    assert np.unique(weighted.scores).size > 30, "spread over the distances"


def test_string_anchors(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(
        name, id_kind="string", half_life=hardneg.NEVER, anchored=hardneg.Anchored(anchor_id_kind="string")
    )
    with pool.score_stream() as stream:
        stream.report(["d1", "d2", "d3"], [0.5, 0.9, 0.1], anchors=["q", "q", "p"])
    mined = pool.mine_negatives(["q", "p"], 2, shortfall="short")
    ids, mask = mined.dense()
    assert ids.tolist() == [["d2", "d1"], ["d3", ""]]
    assert mask.tolist() == [[True, True], [True, False]]


def test_the_bias_of_mining_in_figures(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name, half_life=hardneg.NEVER)
    losses = np.random.default_rng(0).exponential(size=4_000)
    pool.report(np.arange(4_000), losses, strata=(losses > 2).astype(int) + 1)
    for _ in range(20):
        pool.mine(256, alpha=2.0)
    deadline = time.monotonic() + 3
    while not (bias := pool.stats().bias).lift and time.monotonic() < deadline:
        time.sleep(0.1)
    assert bias != hardneg.BiasFigures()
    shares = {share.stratum: share for share in bias.strata}
    assert shares[2].served > 2 * shares[2].reported
    assert bias.lift > 0.5
    assert 0 < bias.effective_sample_share <= 1
    assert 0 < bias.strata_total_variation <= 1


def test_watching_a_pool(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name)
    pool.report([3], [2.5])
    for looked, view in enumerate(pool.watch(interval=0.5), 1):
        assert view.stats.sizes.hard == 1
        assert [sample.id for sample in view.activity.hardest] == [3]
        if looked == 2:
            break
    with pytest.raises(hardneg.NotFound):
        next(iter(real.pool("nowhere").watch()))


def test_a_decay_in_units_of_the_score(real: hardneg.Client, name: str) -> None:
    pool = real.create_pool(name, hardness="exponential", temperature=0.05, half_life=hardneg.ScorePerStep(0.01))
    half_life = pool.info().half_life
    assert isinstance(half_life, hardneg.Steps)
    assert half_life.count == pytest.approx(5 * np.log(2))
    assert pool.stats().half_life_in_score == pytest.approx(0.05 * np.log(2))
    pool.update(half_life=hardneg.ScorePerStep(0.02))
    half_life = pool.info().half_life
    assert isinstance(half_life, hardneg.Steps)
    assert half_life.count == pytest.approx(2.5 * np.log(2))
    with pytest.raises(hardneg.InvalidArgument, match="score_per_second"):
        real.create_pool(name + "-power", half_life=hardneg.ScorePerSecond(0.01))
