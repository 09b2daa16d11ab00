"""MineNegatives: the inclusion probabilities that log-Q corrections use. Σ1/π over an anchor counts its candidates."""

from __future__ import annotations

from collections.abc import Iterator

import hardneg
import numpy as np
from hardneg import Pool

from ..check import Check, of_mean
from ..laws import Floats
from ..plan import Plan
from ..world import World

ANCHORS, IDS, KEPT, REPORTED, REPEATS = 8, 2_000, 16, 40, 25
CASES: tuple[tuple[str, int, dict[str, object]], ...] = (
    ("random ε=0.5 n=8", 8, {"strategy": "random", "random_fraction": 0.5}),
    ("proportional α=1 ε=0.5 n=8", 8, {"strategy": "proportional", "alpha": 1.0, "random_fraction": 0.5}),
    ("proportional α=1 ε=0.1 n=8", 8, {"strategy": "proportional", "alpha": 1.0, "random_fraction": 0.1}),
    ("random ε=0 n=8", 8, {"strategy": "random", "random_fraction": 0.0}),
    ("proportional α=1 ε=0 n=8", 8, {"strategy": "proportional", "alpha": 1.0, "random_fraction": 0.0}),
    ("random ε=0 n=24 fill", 24, {"strategy": "random", "random_fraction": 0.0, "shortfall": "fill"}),
)


def checks(world: World, plan: Plan) -> Iterator[Check]:
    """The background whole, and a sample of an eighth of the ids."""
    rng = np.random.default_rng([plan.seed, 13])
    reported = np.stack([rng.choice(IDS, REPORTED, replace=False) for _ in range(ANCHORS)]) + 1
    scores = rng.normal(0.3, 0.1, reported.shape).astype(np.float32)
    values = rng.uniform(0.5, 1.5, IDS)
    values /= values.mean()
    hardest = np.take_along_axis(reported, np.argsort(-scores, axis=1)[:, :KEPT], axis=1)
    cases = CASES if plan.full else CASES[:2]
    for background in (4_096, 256):
        found: dict[str, list[tuple[float, float]]] = {name: [] for name, _, _ in cases}
        for number in range(plan.pools if background < IDS else 30):
            pool = _pool(world, reported, scores, background)
            for name, count, options in cases:
                found[name].append(_draw(pool, count, options, plan.seed + number, values, hardest))
            pool.delete()
        how = "p=1" if background >= IDS else "p=1/8"
        allowed = 0.0 if background >= IDS else 1.2 / background
        for name, _, options in cases:
            counted, sums = (np.array(column) for column in zip(*found[name], strict=True))
            whole = options["random_fraction"] != 0.0 or "fill" in name
            for figure, results in (("Σ1/π over candidates", counted), ("Σf/π over Σf", sums)):
                claim = f"anchored Σ1/π, {how}"
                loose = allowed if whole else 0.0
                yield of_mean(claim, name, "cosines N(.3,.1) T=.02", figure, results, 1.0, loose)


def _pool(world: World, reported: np.ndarray, scores: np.ndarray, background: int) -> Pool:
    """An anchored pool that was told of every id, most of them only for an anchor of their own."""
    pool = world.anchored(
        hardness="exponential",
        temperature=0.02,
        background_size=background,
        anchored=hardneg.Anchored(negatives_per_anchor=KEPT, max_anchors=64),
    )
    anchors = np.repeat(np.arange(1, ANCHORS + 1), REPORTED)
    pool.report(reported.ravel(), scores.ravel(), anchors=anchors)
    everyone = np.arange(1, IDS + 1)
    pool.report(everyone, np.zeros(IDS), anchors=np.full(IDS, ANCHORS + 1))
    return pool


def _draw(
    pool: Pool, count: int, options: dict[str, object], seed: int, values: Floats, hardest: np.ndarray
) -> tuple[float, float]:
    """The mean over anchors and repeats of Σ1/π and Σf/π, each divided by what it should count."""
    anchors = np.tile(np.arange(1, ANCHORS + 1), REPEATS)
    mined = pool.mine_negatives(anchors, count, seed=seed, **options)  # type: ignore[arg-type]
    assert mined.inclusion_probabilities is not None
    whole = options["random_fraction"] != 0.0 or "shortfall" in options
    weights = 1.0 / mined.inclusion_probabilities.astype(np.float64)
    rows = np.repeat(np.arange(len(anchors)), mined.counts)
    of_row = values[np.asarray(mined.ids, dtype=np.int64) - 1]
    counted = np.bincount(rows, weights, len(anchors))
    sums = np.bincount(rows, weights * of_row, len(anchors))
    own = np.tile(values[hardest - 1].sum(axis=1), REPEATS)
    true_sums = np.full(len(anchors), values.sum()) if whole else own
    return float((counted / (IDS if whole else KEPT)).mean()), float((sums / true_sums).mean())
