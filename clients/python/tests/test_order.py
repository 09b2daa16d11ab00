"""Against the real server: pools rank samples exactly as numpy sorts the same float32 scores, ties aside.

A pool's order is (key, raw score in the pool's direction, hash of the id, id). No score ages here, so the key never
contradicts the raw score: the scores alone say who is among the hardest and who comes first. Samples of equal score
may stand in any order, but it is the same one for every request.
"""

from __future__ import annotations

import contextlib
import math
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest
from real_server import RealServer

import hardneg

Scores: TypeAlias = npt.NDArray[np.float32]
Integers: TypeAlias = npt.NDArray[np.int64]

SAMPLES = 50_000
ANCHORS, NEGATIVES = 50, 1_000  # 50,000 in all; an anchor keeps at most 1,024
ROWS_MAX = 65_536  # of one batch, reported or mined
MILLION = 1_048_576


@dataclass(frozen=True)
class Law:
    """A distribution of scores, and the hardness of a pool that is told them."""

    name: str
    draw: Callable[[np.random.Generator, int], npt.NDArray[np.float64]]
    hardness: str = "power"
    temperature: float | None = None
    lower_is_harder: bool = False

    def scores(self, count: int) -> Scores:
        """Draws the same scores at every call."""
        return self.draw(np.random.default_rng(20_240_607), count).astype(np.float32)

    def hardest_first(self, scores: Scores) -> Scores:
        """The scores as numpy sorts them, in this law's direction."""
        rising = np.sort(scores)
        return rising if self.lower_is_harder else rising[::-1]


def sigmoid_of_normal(mean: float, deviation: float) -> Callable[[np.random.Generator, int], npt.NDArray[np.float64]]:
    return lambda rng, count: 1.0 / (1.0 + np.exp(-rng.normal(mean, deviation, count)))


def cosines(rng: np.random.Generator, count: int) -> npt.NDArray[np.float64]:
    return rng.normal(0.8, 0.02, count)


def below_zero(rng: np.random.Generator, count: int) -> npt.NDArray[np.float64]:
    return -rng.exponential(5.0, count)


LOSSES = Law("exponential losses", lambda rng, count: rng.exponential(1.0, count))
PROBABILITIES = Law("sigmoid(N(4,2))", sigmoid_of_normal(4, 2))
LAWS = [
    Law("sigmoid(N(2,2))", sigmoid_of_normal(2, 2)),
    PROBABILITIES,
    Law("sigmoid(N(8,1))", sigmoid_of_normal(8, 1)),
    LOSSES,
    Law("lognormal losses", lambda rng, count: rng.lognormal(0.0, 2.0, count)),
    Law("losses of 1e-6", lambda rng, count: rng.exponential(1e-6, count)),
    Law("distances of 1e-4", lambda rng, count: rng.exponential(1e-4, count), lower_is_harder=True),
    *(Law(f"cosines at {t}", cosines, "exponential", t) for t in (1.0, 0.05, 0.02, 0.01)),
    Law("distances at 0.02", lambda rng, count: rng.normal(0.2, 0.02, count), "exponential", 0.02, True),
    Law("logits at 0.1", lambda rng, count: rng.normal(0.0, 5.0, count), "exponential", 0.1),
    Law("all equal", lambda rng, count: np.full(count, 0.5)),
    Law("below 0, exponential", below_zero, "exponential"),
    Law("below 0, power", below_zero),
    Law("below 0, power, lower is harder", below_zero, lower_is_harder=True),
]
by_law = pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)


# What the tests compare with.


def lacking(wanted: Scores, given: Scores) -> int:
    """How many of the wanted scores are not given; equal ones count one by one."""
    values, counts = np.unique(wanted, return_counts=True)
    given = np.sort(given)
    found = np.searchsorted(given, values, "right") - np.searchsorted(given, values, "left")
    return int(np.maximum(counts - found, 0).sum())


def faults(law: Law, told: Scores, wanted: Scores, rows: Integers, scores: Scores, *, in_order: bool) -> Counter[str]:
    """What is wrong with mined rows, and how often; empty if nothing is.

    Args:
        law: Says which direction is harder.
        told: The scores as reported, by row.
        wanted: The scores that must come, each as often as it is in here.
        rows: The rows of `told` that came.
        scores: The scores that came with them.
        in_order: They must come hardest first.
    """
    found: Counter[str] = Counter()
    known = (rows >= 0) & (rows < len(told))
    found["unknown"] = int((~known).sum())
    found["twice"] = len(rows) - len(np.unique(rows))
    found["with another score"] = int((told[rows[known]] != scores[known]).sum())
    found["missing"] = lacking(wanted, scores)
    found["surplus"] = lacking(scores, wanted)
    if in_order:
        hardness = -scores if law.lower_is_harder else scores
        found["harder than the row before"] = int((hardness[1:] > hardness[:-1]).sum())
    return +found


@dataclass(frozen=True)
class Told:
    """A pool, and what it was told: sample i has score `scores[i]`."""

    pool: hardneg.Pool
    law: Law
    scores: Scores

    def mine(self, size: int, **policy: Any) -> hardneg.MinedBatch:
        """Mines from the hard store alone, and counts no serve."""
        return self.pool.mine(size, random_fraction=0, shortfall="short", dry_run=True, **policy)

    def faults(self, batch: hardneg.MinedBatch, first: int, end: int, *, in_order: bool) -> Counter[str]:
        """What is wrong with a batch that must hold the ranks from `first` up to `end`."""
        assert batch.scores is not None
        wanted = self.law.hardest_first(self.scores)[first:end]
        return faults(self.law, self.scores, wanted, rows_of(batch.ids), batch.scores, in_order=in_order)

    def read_out(self) -> tuple[Integers, Scores]:
        """All that the hard store holds, window of ranks by window of ranks, each with its hardest first."""
        rows: list[Integers] = []
        scores: list[Scores] = []
        for first in range(0, self.pool.stats().sizes.hard, ROWS_MAX):
            window = hardneg.RankWindow(first, first + ROWS_MAX)
            batch = self.mine(ROWS_MAX, strategy="uniform", windows=[window])
            assert batch.scores is not None
            order = np.argsort(batch.scores if self.law.lower_is_harder else -batch.scores, kind="stable")
            rows.append(rows_of(batch.ids)[order])
            scores.append(batch.scores[order])
        return np.concatenate(rows), np.concatenate(scores)

    def faults_of_all(self, least: int) -> Counter[str]:
        """What is wrong with a hard store that must hold the `least` hardest samples; others are counted as surplus."""
        wanted = self.law.hardest_first(self.scores)[:least]
        return faults(self.law, self.scores, wanted, *self.read_out(), in_order=True)


def rows_of(ids: Any, first: int = 0) -> Integers:
    """Ids as rows of the scores of a pool, or of an anchor whose first id is `first`."""
    rows: Integers = np.asarray(ids).astype(np.int64) - first
    return rows


@contextlib.contextmanager
def pool_of(client: hardneg.Client, law: Law, **spec: Any) -> Iterator[hardneg.Pool]:
    """An empty pool in which scores do not age; it goes at the end."""
    pool = client.create_pool(
        f"order-{secrets.token_hex(6)}",
        hardness=law.hardness,
        temperature=law.temperature,
        lower_is_harder=law.lower_is_harder,
        half_life=hardneg.NEVER,
        **spec,
    )
    try:
        yield pool
    finally:
        pool.delete()


def report(pool: hardneg.Pool, ids: Integers, scores: Scores, *, batch: int = ROWS_MAX) -> hardneg.ReportCounts:
    """Reports sample `ids[i]` with `scores[i]`, a batch at a time."""
    counts = hardneg.ReportCounts()
    for start in range(0, len(ids), batch):
        part = slice(start, start + batch)
        counts += pool.report(ids[part], scores[part]).counts
    assert counts.total == len(ids)
    return counts


@pytest.fixture(scope="module")
def client(real_server: RealServer) -> Iterator[hardneg.Client]:
    with hardneg.Client(real_server.target, timeout=60) as connected:
        yield connected


# A flat pool with room for all. The larger one is of several partitions, the smaller one of a single one.


@pytest.fixture(
    scope="module",
    params=[(law, capacity) for law in LAWS for capacity in (65_536, MILLION)],
    ids=lambda given: f"{given[0].name}-{given[1]}",
)
def flat(client: hardneg.Client, request: pytest.FixtureRequest) -> Iterator[Told]:
    law, capacity = request.param
    with pool_of(client, law, capacity=capacity) as pool:
        told = Told(pool, law, law.scores(SAMPLES))
        report(pool, np.arange(SAMPLES), told.scores)
        yield told


@pytest.mark.parametrize("size", [256, SAMPLES])
def test_top_has_the_hardest_in_order(flat: Told, size: int) -> None:
    batch = flat.mine(size, strategy="top")
    assert not flat.faults(batch, 0, size, in_order=True)


@pytest.mark.parametrize(("first", "end"), [(0, 50), (1_000, 1_050), (24_000, 26_000), (SAMPLES - 50, SAMPLES)])
def test_a_rank_window_holds_its_ranks_and_no_others(flat: Told, first: int, end: int) -> None:
    window = [hardneg.RankWindow(first, end)]
    for spare in (0, 10):  # who asks for more than there is sees what a window has too many
        batch = flat.mine(end - first + spare, strategy="uniform", windows=window)
        assert not flat.faults(batch, first, end, in_order=False), f"{spare} more asked for"
    batch = flat.mine(end - first + 10, strategy="top", windows=window)
    assert not flat.faults(batch, first, end, in_order=True), "TOP"


@pytest.mark.parametrize(
    ("window", "first", "end"),
    [
        (hardneg.QuantileWindow(0.995), 0, 250),
        (hardneg.QuantileWindow(0.875, 0.9375), 3_125, 6_250),
        (hardneg.QuantileWindow(0.0, 0.125), 43_750, SAMPLES),
    ],
    ids=["the hardest", "between", "the easiest"],
)
def test_a_quantile_window_holds_its_ranks_and_no_others(
    flat: Told, window: hardneg.QuantileWindow, first: int, end: int
) -> None:
    batch = flat.mine(end - first + 10, strategy="uniform", windows=[window])
    assert not flat.faults(batch, first, end, in_order=False)


def test_samples_of_one_score_have_one_order(flat: Told) -> None:
    whole = list(flat.mine(2_000, strategy="top").ids)
    assert list(flat.mine(256, strategy="top").ids) == whole[:256]
    for first, end in ((0, 50), (50, 100), (1_000, 1_050)):
        window = [hardneg.RankWindow(first, end)]
        assert list(flat.mine(60, strategy="top", windows=window).ids) == whole[first:end]
        assert set(flat.mine(60, strategy="uniform", windows=window).ids) == set(whole[first:end])


@by_law
def test_a_sample_scored_again_stands_where_its_new_score_says(client: hardneg.Client, law: Law) -> None:
    ids = np.arange(SAMPLES)
    with pool_of(client, law) as pool:
        told = Told(pool, law, law.scores(SAMPLES))
        before = np.random.default_rng(1).permutation(told.scores)
        assert report(pool, ids, before).inserted == SAMPLES
        assert report(pool, ids, told.scores, batch=4_096).updated == SAMPLES
        assert not told.faults(told.mine(SAMPLES, strategy="top"), 0, SAMPLES, in_order=True)


# A flat pool that is full.

FEEDS: dict[str, Callable[[Scores], Integers]] = {
    "as drawn": lambda hardness: np.arange(len(hardness)),
    "ever harder": lambda hardness: np.argsort(hardness, kind="stable"),
    "ever easier": lambda hardness: np.argsort(-hardness, kind="stable"),
}


@by_law
@pytest.mark.parametrize("feed", FEEDS)
def test_a_full_pool_holds_exactly_the_hardest(client: hardneg.Client, law: Law, feed: str) -> None:
    with pool_of(client, law, capacity=1_000) as pool:
        told = Told(pool, law, law.scores(20_000))
        order = FEEDS[feed](-told.scores if law.lower_is_harder else told.scores)
        report(pool, order, told.scores[order], batch=777)
        assert pool.stats().sizes.hard == 1_000
        assert not told.faults(told.mine(2_000, strategy="top"), 0, 1_000, in_order=True)


def test_a_pool_of_eight_partitions_has_room_for_its_capacity(client: hardneg.Client) -> None:
    with pool_of(client, LOSSES, capacity=MILLION, shards=8) as pool:
        told = Told(pool, LOSSES, LOSSES.scores(MILLION))
        assert report(pool, np.arange(MILLION), told.scores).inserted == MILLION
        stats = pool.stats()
        assert (stats.sizes.hard, stats.evicted) == (MILLION, 0)
        assert not told.faults_of_all(MILLION)
        assert not told.faults(told.mine(ROWS_MAX, strategy="top"), 0, ROWS_MAX, in_order=True), "TOP"


def test_a_pool_told_of_four_times_its_capacity_holds_all_of_the_hardest(client: hardneg.Client) -> None:
    with pool_of(client, PROBABILITIES, capacity=MILLION, shards=8) as pool:
        told = Told(pool, PROBABILITIES, PROBABILITIES.scores(4 * MILLION))
        report(pool, np.arange(4 * MILLION), told.scores)
        hard, partitions = pool.stats().sizes.hard, pool.info().shards
        assert MILLION <= hard <= MILLION + 6 * math.sqrt(MILLION * partitions)
        assert told.faults_of_all(MILLION) == Counter(surplus=hard - MILLION)
        assert not told.faults(told.mine(ROWS_MAX, strategy="top"), 0, ROWS_MAX, in_order=True), "TOP"


# An anchored pool: anchor a has the samples from a x NEGATIVES on.


@dataclass(frozen=True)
class ToldOfAnchors:
    """An anchored pool, and what it was told: negative i of anchor a has score `scores[a, i]`."""

    pool: hardneg.Pool
    law: Law
    scores: Scores

    def mine(self, size: int, **policy: Any) -> hardneg.MinedNegatives:
        """Mines for every anchor from its own negatives alone."""
        return self.pool.mine_negatives(np.arange(ANCHORS), size, random_fraction=0, shortfall="short", **policy)

    def faults(self, mined: hardneg.MinedNegatives, first: int, end: int, *, in_order: bool) -> Counter[str]:
        """What is wrong, over all anchors, with negatives that must be an anchor's ranks from `first` up to `end`."""
        found: Counter[str] = Counter()
        assert len(mined) == ANCHORS
        for anchor, (told, negatives) in enumerate(zip(self.scores, mined, strict=True)):
            assert negatives.scores is not None
            rows = rows_of(negatives.ids, anchor * NEGATIVES)
            wanted = self.law.hardest_first(told)[first:end]
            found += faults(self.law, told, wanted, rows, negatives.scores, in_order=in_order)
        return found


@contextlib.contextmanager
def anchored_pool_of(client: hardneg.Client, law: Law, *, kept: int) -> Iterator[ToldOfAnchors]:
    """An anchored pool that keeps so many negatives of each anchor, and was told of all of them in many batches."""
    spec = hardneg.Anchored(negatives_per_anchor=kept, max_anchors=64)
    with pool_of(client, law, anchored=spec) as pool:
        scores = law.scores(ANCHORS * NEGATIVES)
        mixed = np.random.default_rng(2).permutation(len(scores))
        for ids in np.array_split(mixed, 13):
            pool.report(ids, scores[ids], anchors=ids // NEGATIVES)
        yield ToldOfAnchors(pool, law, scores.reshape(ANCHORS, NEGATIVES))


@pytest.fixture(scope="module", params=LAWS, ids=lambda law: law.name)
def anchored(client: hardneg.Client, request: pytest.FixtureRequest) -> Iterator[ToldOfAnchors]:
    with anchored_pool_of(client, request.param, kept=NEGATIVES) as told:
        yield told


@pytest.mark.parametrize("size", [64, NEGATIVES])
def test_top_has_the_hardest_of_each_anchor_in_order(anchored: ToldOfAnchors, size: int) -> None:
    assert not anchored.faults(anchored.mine(size, strategy="top"), 0, size, in_order=True)


@pytest.mark.parametrize(("first", "end"), [(0, 50), (500, 550), (NEGATIVES - 50, NEGATIVES)])
def test_a_range_holds_its_ranks_of_each_anchor_and_no_others(anchored: ToldOfAnchors, first: int, end: int) -> None:
    for strategy, in_order in (("random", False), ("top", True)):
        mined = anchored.mine(end - first + 10, strategy=strategy, range_min=first, range_max=end)
        assert not anchored.faults(mined, first, end, in_order=in_order), strategy


@by_law
def test_an_anchor_keeps_exactly_its_hardest(client: hardneg.Client, law: Law) -> None:
    with anchored_pool_of(client, law, kept=100) as told:
        assert not told.faults(told.mine(200, strategy="top"), 0, 100, in_order=True)


# The checks themselves: each finds the fault that it is for.


def test_the_checks_find_every_fault() -> None:
    told = LOSSES.scores(1_000)
    order = np.argsort(-told, kind="stable")
    rows, wanted = order[:100], LOSSES.hardest_first(told)[:100]

    def found(changed: Integers, scores: Scores | None = None) -> dict[str, int]:
        given = told[np.clip(changed, 0, 999)] if scores is None else scores
        return dict(faults(LOSSES, told, wanted, changed, given, in_order=True))

    assert found(rows) == {}
    assert found(rows[[1, 0, *range(2, 100)]]) == {"harder than the row before": 1}
    assert found(rows[:-1]) == {"missing": 1}
    assert found(order[:101]) == {"surplus": 1}
    assert found(order[[*range(99), 100]]) == {"missing": 1, "surplus": 1}
    assert found(rows[[0, *range(99)]]) == {"twice": 1, "missing": 1, "surplus": 1}
    assert found(np.append(rows[:-1], 1_000), wanted) == {"unknown": 1}
    assert found(rows[::-1], wanted) == {"with another score": 100}
    falling = Law("distances", LOSSES.draw, lower_is_harder=True)
    assert dict(faults(falling, told, wanted, rows, wanted, in_order=True)) == {"harder than the row before": 99}


def test_the_checks_find_what_a_pool_does_not_hold(client: hardneg.Client) -> None:
    with pool_of(client, LOSSES) as pool:
        told = Told(pool, LOSSES, LOSSES.scores(100_000))
        order = np.argsort(-told.scores, kind="stable")
        report(pool, order[:-1], told.scores[order[:-1]])
        found = told.faults_of_all(90_000)
        assert (found["missing"], found["surplus"]) == (0, 9_999)
        pool.remove(order[[0, 70_000]])
        found = told.faults_of_all(90_000)
        assert (found["missing"], found["surplus"], found["with another score"]) == (2, 9_999, 0)
        pool.report(order[[1]], [0.0])
        found = told.faults_of_all(90_000)
        assert (found["missing"], found["surplus"], found["with another score"]) == (3, 10_000, 1)
