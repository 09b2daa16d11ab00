"""What sentence-transformers and pytorch-metric-learning choose, asked of a real server (docs/peers.md has the table).

Each test computes the peer's choice with numpy, from the peer's documentation, and compares ids. Draws have fixed
seeds, so a run repeats exactly. With other seeds one of the about 50 comparisons with |z| < 4.5 would fail in 1 of
3,000 runs.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import hardneg

Floats = npt.NDArray[np.float64]
Z_MAX = 4.5
N_ANCHORS, N_CORPUS = 6, 60


def unit(rng: np.random.Generator, rows: int, dimension: int) -> Floats:
    points = rng.normal(size=(rows, dimension))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points


def ids_per_anchor(mined: hardneg.MinedNegatives) -> list[list[int]]:
    return [np.asarray(negatives.ids).astype(int).tolist() for negatives in mined]


def z_of(counts: npt.NDArray[Any], draws: int, p: Floats) -> Floats:
    """Standard scores of counts of independent draws."""
    z: Floats = (counts - draws * p) / np.sqrt(draws * p * (1 - p))
    return z


class Retrieval:
    """6 queries and 60 documents; query q has the known positives 10·q and, where q is odd, 10·q + 1."""

    def __init__(self, real: hardneg.Client, name: str, **spec: Any) -> None:
        rng = np.random.default_rng(3)
        self.scores = (unit(rng, N_ANCHORS, 8) @ unit(rng, N_CORPUS, 8).T).astype(np.float32)
        self.positives = [[10 * q, 10 * q + 1] if q % 2 else [10 * q] for q in range(N_ANCHORS)]
        for q, own in enumerate(self.positives):
            self.scores[q, own] = [0.75, 0.7][: len(own)]
        self.pool = real.create_pool(
            name,
            half_life=hardneg.NEVER,
            hardness="exponential",
            temperature=0.05,
            anchored=hardneg.Anchored(negatives_per_anchor=N_CORPUS, **spec),
        )
        pairs = [(q, p) for q, own in enumerate(self.positives) for p in own]
        of, positive = np.array(pairs).T
        self.pool.add_positives(of, positive, scores=self.scores[of, positive])
        queries, documents = np.indices(self.scores.shape)
        self.pool.report(documents.ravel(), self.scores.ravel(), anchors=queries.ravel())

    def peer(self, num_negatives: int, **options: Any) -> list[list[int]]:
        """mine_hard_negatives of sentence-transformers 6.2.0, sampling_strategy="top"."""
        return [self._options(q, **options)[:num_negatives] for q in range(N_ANCHORS)]

    def _options(
        self,
        q: int,
        *,
        range_min: int = 0,
        range_max: int = N_CORPUS,
        max_score: float = np.inf,
        min_score: float = -np.inf,
        absolute_margin: float | None = None,
        relative_margin: float | None = None,
    ) -> list[int]:
        """Documents by descending score, with the peer's order of steps."""
        row = self.scores[q].astype(float)
        searched = range_max + max(len(own) for own in self.positives)  # range_max counts before the filters
        candidates = np.argsort(-row, kind="stable")[:searched]
        candidates = candidates[~np.isin(candidates, self.positives[q])]
        positive = row[self.positives[q]].min()  # with several positives: the least similar one
        if absolute_margin is not None:
            candidates = candidates[row[candidates] + absolute_margin <= positive]
        if relative_margin is not None:
            candidates = candidates[row[candidates] <= positive - abs(positive) * relative_margin]
        candidates = candidates[(row[candidates] <= max_score) & (row[candidates] >= min_score)]
        chosen: list[int] = candidates[:range_max][range_min:].tolist()  # range_min counts after the filters
        return chosen


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"range_min": 3},
        {"range_min": 2, "range_max": 6},
        {"max_score": 0.3},
        {"min_score": 0.4},
        {"absolute_margin": 0.25},
        {"relative_margin": 0.4},
        {"absolute_margin": 0.2, "relative_margin": 0.45, "max_score": 0.35, "min_score": 0.0, "range_min": 2},
    ],
    ids=lambda options: "+".join(options) or "none",
)
def test_sentence_transformers_top(real: hardneg.Client, name: str, options: dict[str, Any]) -> None:
    retrieval = Retrieval(real, name)
    expected = retrieval.peer(5, **options)
    assert max(map(len, expected)) == (4 if "range_max" in options else 5)
    mined = retrieval.pool.mine_negatives(range(N_ANCHORS), 5, strategy="top", shortfall="short", **options)
    assert ids_per_anchor(mined) == expected


def test_sentence_transformers_bounds_are_inclusive(real: hardneg.Client, name: str) -> None:
    """6.2.0 removes what is above a limit (min_score: below it), so that equality passes; these numbers are exact."""
    pool = real.create_pool(name, half_life=hardneg.NEVER, hardness="exponential", anchored=hardneg.Anchored())
    scores = np.array([0.515625, 0.5, 0.375, 0.359375, 0.25])
    pool.report(range(5), scores, anchors=[1] * 5, positive_scores=[0.5] * 5)

    def mined(**options: Any) -> list[int]:
        (ids,) = ids_per_anchor(pool.mine_negatives([1], 5, shortfall="short", **options))
        return ids

    assert mined(max_score=0.5) == [1, 2, 3, 4]
    assert mined(min_score=0.375) == [0, 1, 2]
    assert mined(absolute_margin=0.0) == [1, 2, 3, 4], "0 asks for negatives that are no more similar than the positive"
    assert mined(absolute_margin=0.125) == [2, 3, 4]
    assert mined(relative_margin=0.25) == [2, 3, 4]


def test_sentence_transformers_relative_margin_at_negative_positives(real: hardneg.Client, name: str) -> None:
    """s_p - |s_p|·margin since 6.0.0 (#3819); s_p·(1 - margin) in 5.2.0, which admits harder than s_p."""
    positives, margin = np.array([-0.5, -0.25, 0.0, 0.25]), 0.25
    scores = np.linspace(-0.75, 0.5, 41)
    pool = real.create_pool(
        name, half_life=hardneg.NEVER, hardness="exponential", anchored=hardneg.Anchored(negatives_per_anchor=41)
    )
    for anchor, positive in enumerate(positives):
        pool.report(range(41), scores, anchors=[anchor] * 41, positive_scores=[positive] * 41)
    mined = pool.mine_negatives(range(4), 41, relative_margin=margin, shortfall="short")
    stored = scores.astype(np.float32)
    for positive, ids in zip(positives, ids_per_anchor(mined), strict=True):
        assert ids == np.flatnonzero(stored <= positive - abs(positive) * margin)[::-1].tolist()
        assert (stored[ids] <= positive).all()
    before = np.flatnonzero(stored <= positives[0] * (1 - margin))
    assert (stored[before] > positives[0]).any(), "the older rule is another one here"


def test_sentence_transformers_range_max_differs(real: hardneg.Client, name: str) -> None:
    """On purpose: range_max counts candidates after the filters here, before them in 6.2.0."""
    retrieval = Retrieval(real, name)
    options: dict[str, Any] = {"range_max": 8, "max_score": 0.5}
    theirs = retrieval.peer(8, **options)
    ours = ids_per_anchor(retrieval.pool.mine_negatives(range(N_ANCHORS), 8, shortfall="short", **options))
    assert ours == [ids[:8] for ids in retrieval.peer(8, max_score=0.5)], "as many as range_max, where there are"
    assert all(ids == more[: len(ids)] for ids, more in zip(theirs, ours, strict=True)), "theirs are the first of ours"
    assert any(len(ids) < len(more) for ids, more in zip(theirs, ours, strict=True))


def test_sentence_transformers_random(real: hardneg.Client, name: str) -> None:
    """sampling_strategy="random": every subset of num_negatives of the candidates has the same probability."""
    retrieval = Retrieval(real, name)
    draws = 20_000
    window: dict[str, Any] = {"range_min": 2, "range_max": 8}
    options = retrieval.peer(6, **window)[4]
    assert len(options) == 6
    drawn = retrieval.pool.mine_negatives(np.full(draws, 4), 2, strategy="random", seed=1, **window)
    assert set(drawn.counts.tolist()) == {2}
    got = [tuple(sorted(ids)) for ids in ids_per_anchor(drawn)]
    subsets = [tuple(sorted(pair)) for pair in itertools.combinations(options, 2)]
    assert set(got) == set(subsets)
    counts = np.array([got.count(subset) for subset in subsets])
    assert np.abs(z_of(counts, draws, np.full(15, 1 / 15))).max() < Z_MAX


def test_sentence_transformers_positives(real: hardneg.Client, name: str) -> None:
    """A known positive is no negative. include_positives=True (for rerankers) has no equivalent."""
    retrieval = Retrieval(real, name)
    policies: list[dict[str, Any]] = [{}, {"strategy": "random"}, {"random_fraction": 1.0}, {"shortfall": "short"}]
    for options in policies:
        mined = retrieval.pool.mine_negatives(range(N_ANCHORS), N_CORPUS, **options)
        for ids, own in zip(ids_per_anchor(mined), retrieval.positives, strict=True):
            assert sorted(ids) == sorted(set(range(N_CORPUS)) - set(own))


class Embeddings:
    """A batch of 48 embeddings of 6 classes, each an anchor and a sample; the pool has their pairwise distances."""

    def __init__(self, real: hardneg.Client, name: str, *, similarities: bool = False) -> None:
        rng = np.random.default_rng(5)
        self.labels = np.repeat(np.arange(1, 7), 8)
        points = unit(rng, 6, 6)[self.labels - 1] + 0.45 * rng.normal(size=(48, 6))
        points /= np.linalg.norm(points, axis=1, keepdims=True)
        cosines = points @ points.T
        self.points = points
        self.matrix = (cosines if similarities else np.sqrt(np.maximum(2 - 2 * cosines, 0))).astype(np.float32)
        self.same = self.labels[:, None] == self.labels
        self.positive = self.same & ~np.eye(48, dtype=bool)
        # The positive least similar to each anchor: BatchHardMiner's.
        worst = np.min if similarities else np.max
        fill = np.inf if similarities else -np.inf
        self.hardest_positive = worst(np.where(self.positive, self.matrix, fill), axis=1).astype(np.float32)
        spec = hardneg.Anchored(negatives_per_anchor=48, anchors_are_samples=True)
        hardness = "exponential" if similarities else "power"
        self.pool = real.create_pool(
            name, half_life=hardneg.NEVER, hardness=hardness, lower_is_harder=not similarities, anchored=spec
        )
        anchors, others = (pairs.ravel() for pairs in np.indices((48, 48)))
        self.pool.report(
            others,
            self.matrix.ravel(),
            anchors=anchors,
            positive_scores=self.hardest_positive[anchors],
            labels=self.labels[others].astype(np.uint32),
            anchor_labels=self.labels[anchors].astype(np.uint32),
        )

    def all(self, **options: Any) -> list[list[int]]:
        """Every admitted negative of every anchor, ascending."""
        mined = self.pool.mine_negatives(range(48), 48, shortfall="short", **options)
        return [sorted(ids) for ids in ids_per_anchor(mined)]

    def where(self, admitted: npt.NDArray[np.bool_]) -> list[list[int]]:
        """The negatives (of another class) for which a matrix is True."""
        return [np.flatnonzero(row).tolist() for row in admitted & ~self.same]


def test_batch_hard_miner(real: hardneg.Client, name: str) -> None:
    """pytorch-metric-learning 2.9.0 BatchHardMiner: the farthest of the same class, the nearest of another."""
    batch = Embeddings(real, name)
    mined = batch.pool.mine_negatives(range(48), 1, strategy="top", fields=["positive_scores", "scores"])
    nearest = np.where(batch.same, np.inf, batch.matrix).argmin(axis=1)
    assert ids_per_anchor(mined) == nearest[:, None].tolist()
    assert mined.positive_scores is not None
    assert mined.positive_scores.tolist() == batch.hardest_positive.tolist(), "which positive that is, the client knows"


def test_triplet_margin_miner(real: hardneg.Client, name: str) -> None:
    """2.9.0 TripletMarginMiner: of all triplets those with d_n - d_p <= margin; "hard": <= 0; "semihard": also > 0."""
    batch = Embeddings(real, name)
    margin = 0.2
    triplets = batch.matrix[:, None, :] - batch.matrix[:, :, None]  # anchor, positive, negative
    triplets = np.where(batch.positive[:, :, None], triplets, np.inf)
    closest = triplets.min(axis=1)
    everything, hard = batch.where(closest <= margin), batch.where(closest <= 0)
    assert 0 < sum(map(len, hard)) < sum(map(len, everything)) < 48 * 40
    assert batch.all(hard_margin=margin) == everything
    assert batch.all(hard_margin=0.0) == hard
    # Per positive they are other triplets; here the window is that of the positive least similar to the anchor.
    gap = batch.matrix - batch.hardest_positive[:, None]
    semihard = batch.where((gap > 0) & (gap <= margin))
    assert sum(map(len, semihard)) > 0
    assert batch.all(strategy="semi_hard", semi_hard_margin=margin) == semihard


def test_triplet_margin_miner_at_the_margin_differs(real: hardneg.Client, name: str) -> None:
    """On purpose: a triplet exactly at the margin has no loss, and 2.9.0 returns it (<=); here bounds are strict."""
    pool = real.create_pool(name, half_life=hardneg.NEVER, lower_is_harder=True, anchored=hardneg.Anchored())
    pool.report([1, 2, 3, 4], [0.25, 0.5, 0.625, 0.75], anchors=[0] * 4, positive_scores=[0.5] * 4)
    distances, positive, margin = np.array([0.25, 0.5, 0.625, 0.75]), 0.5, 0.25
    theirs = np.flatnonzero(distances - positive <= margin) + 1

    def mined(**options: Any) -> list[int]:
        return sorted(ids_per_anchor(pool.mine_negatives([0], 4, shortfall="short", **options))[0])

    assert theirs.tolist() == [1, 2, 3, 4]
    assert mined(hard_margin=margin) == [1, 2, 3]
    assert mined(hard_margin=0.0) == [1], "2.9.0's `hard` has 2 as well"
    assert mined(strategy="semi_hard", semi_hard_margin=margin) == [3], "2.9.0's `semihard` has 4 as well"


def test_multi_similarity_miner(real: hardneg.Client, name: str) -> None:
    """2.9.0 MultiSimilarityMiner: negatives with s_n + epsilon > the least similarity of a positive."""
    batch = Embeddings(real, name, similarities=True)
    for epsilon in (0.1, 0.3):
        expected = batch.where(batch.matrix + np.float32(epsilon) > batch.hardest_positive[:, None])
        assert 0 < sum(map(len, expected)) < 48 * 40
        assert batch.all(hard_margin=epsilon) == expected


def test_pair_margin_miner(real: hardneg.Client, name: str) -> None:
    """2.9.0 PairMarginMiner: negative pairs nearer than neg_margin. Its positive pairs are the client's to find."""
    batch = Embeddings(real, name)
    assert batch.all(max_score=0.8) == batch.where(batch.matrix < 0.8)


def test_angular_miner(real: hardneg.Client, name: str) -> None:
    """2.9.0 AngularMiner: triplets with atan(d_ap / (2·|n - (a + p) / 2|)) > angle.

    The angle depends on the pair, so the client reports it as the score, with the pair as the anchor.
    """
    batch, angle = Embeddings(real, f"{name}-batch"), math.radians(40)
    pairs = np.argwhere(batch.positive)
    centres = batch.points[pairs].mean(axis=1)
    to_centre = np.linalg.norm(batch.points[None] - centres[:, None], axis=2)
    angles = np.arctan(batch.matrix[pairs[:, 0], pairs[:, 1]][:, None] / (2 * to_centre)).astype(np.float32)
    pool = real.create_pool(
        name, half_life=hardneg.NEVER, hardness="exponential", anchored=hardneg.Anchored(negatives_per_anchor=48)
    )
    pair, other = np.nonzero(batch.labels[pairs[:, 0]][:, None] != batch.labels)
    pool.report(other, angles[pair, other], anchors=pair)
    mined = pool.mine_negatives(range(len(pairs)), 48, min_score=angle, shortfall="short")
    expected = (angles > angle) & (batch.labels[pairs[:, 0]][:, None] != batch.labels)
    assert 0 < expected.sum() < pair.size
    assert [sorted(ids) for ids in ids_per_anchor(mined)] == [np.flatnonzero(row).tolist() for row in expected]


@pytest.mark.parametrize("dimension", [3, 16, 128, 2_048])
def test_distance_weighted_miner(real: hardneg.Client, name: str, dimension: int) -> None:
    """2.9.0 DistanceWeightedMiner: P ~ 1/q(max(d, cutoff)) for d < 1.4, q(d) = d^(n-2)·(1 - d²/4)^((n-3)/2).

    In 2,048 dimensions nearly all of the mass is at the cutoff (its #276: float weights vanished between .7 and .9).
    """
    draws, cutoff = 60_000, 0.5
    low = 0.7 if dimension == 2_048 else 0.35
    distances = np.linspace(low, 1.9, 40).astype(np.float32).astype(float)
    pool = real.create_pool(
        name, half_life=hardneg.NEVER, lower_is_harder=True, anchored=hardneg.Anchored(negatives_per_anchor=40)
    )
    pool.report(np.arange(40), distances, anchors=np.zeros(40, int))
    clamped = np.maximum(distances, cutoff)
    log_weight = (2.0 - dimension) * np.log(clamped) - (dimension - 3) / 2 * np.log(1 - clamped**2 / 4)
    weight = np.where(distances < 1.4, np.exp(log_weight - log_weight.max()), 0.0)
    p = weight / weight.sum()
    mined = pool.mine_negatives(
        np.zeros(draws, int),
        1,
        strategy="distance_weighted",
        distance_weighting=hardneg.DistanceWeighting(dimension),
        shortfall="short",
        seed=dimension,
    )
    counts = np.bincount(np.asarray(mined.ids).astype(int), minlength=40)
    assert counts.sum() == draws
    assert counts[distances >= 1.4].sum() == 0
    frequent = draws * p >= 20  # the others together, for a count is near normal only where it is not tiny
    if frequent.sum() > 1:
        assert np.abs(z_of(counts[frequent], draws, p[frequent])).max() < Z_MAX
    rest = p[~frequent].sum()
    assert abs(counts[~frequent].sum() - draws * rest) <= Z_MAX * math.sqrt(draws * rest) + 1
