"""The arms of the comparison: four ways to choose the negatives of the next round, and one to weigh them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import hardneg
import numpy as np

from .worker import Scored


@dataclass(frozen=True)
class Arm:
    """One way to choose negatives. Nothing else differs between arms.

    Attributes:
        name: For tables.
        label: For people.
        mine: Arguments of `Pool.mine`; None: the arm does not use hardneg.
        hardest_in_batch: Takes what the workers found hardest in each of their own batches.
        weighted: The classifier is fitted with the importance weights.
    """

    name: str
    label: str
    mine: dict[str, Any] | None = None
    hardest_in_batch: bool = False
    weighted: bool = False


def arms(alpha: float, random_fraction: float) -> tuple[Arm, ...]:
    """All arms; the arguments are the mixture's.

    Weights of about 1 / random_fraction on the random share leave few effective samples, so the weighted arm has its
    own, softer mixture: the best of those that were tried with ``--validate`` (see README.md).
    """
    mixture = {"strategy": "proportional", "alpha": alpha, "random_fraction": random_fraction}
    softer = {"strategy": "proportional", "alpha": 3.0, "random_fraction": 0.25}
    return (
        Arm("random", "random"),
        Arm("ohem", "hardest in batch (OHEM)", hardest_in_batch=True),
        Arm("top", "hardneg top", mine={"strategy": "top", "random_fraction": 0.0}),
        Arm("mixture", "hardneg mixture", mine=mixture),
        Arm("weighted", "hardneg mixture, weighted", mine=softer, weighted=True),
    )


@dataclass(frozen=True)
class Negatives:
    """The negatives that join the training set in a round: window ids and weights, each of shape (n,)."""

    ids: np.ndarray
    weights: np.ndarray


def choose(
    arm: Arm,
    count: int,
    *,
    pool: hardneg.Pool | None,
    scored: list[Scored],
    total: int,
    taken: np.ndarray,
    rng: np.random.Generator,
) -> Negatives:
    """Chooses the negatives of the next round, none of which is in the training set already.

    Args:
        arm: How to choose.
        count: How many.
        pool: Where the workers reported to, for arms that mine.
        scored: What the workers returned.
        total: The ids 0..total-1 are all windows that may be trained on.
        taken: Those that are in the training set.
        rng: Of this seed, arm and round.
    """
    if arm.mine is not None:
        assert pool is not None
        # `taken` is at most a few thousand ids; the service leaves them out on both sides of the mixture.
        batch = pool.mine(count, exclude_ids=taken, seed=int(rng.integers(2**63)), **arm.mine)
        weights = batch.importance_weights if arm.weighted else None
        chosen = Negatives(batch.ids.astype(np.int64), np.ones(len(batch)) if weights is None else weights)
    else:
        offered = np.empty(0, np.int64)
        batches = [ids[~np.isin(ids, taken)] for answer in scored for ids in answer.hardest]
        if arm.hardest_in_batch and batches:
            # The hardest of every batch, then the second hardest of every batch, and so on.
            place = np.concatenate([np.arange(len(ids)) for ids in batches])
            offered = np.concatenate(batches)[np.argsort(place, kind="stable")][:count]
        if len(offered) < count:  # the random arm takes all of its negatives here
            rest = np.setdiff1d(np.arange(total), np.concatenate([taken, offered]))
            offered = np.concatenate([offered, rng.choice(rest, count - len(offered), replace=False)])
        chosen = Negatives(offered, np.ones(count))
    if len(chosen.ids) != count:
        raise RuntimeError(f"{arm.name}: {len(chosen.ids)} negatives instead of {count}: unequal budgets")
    return chosen
