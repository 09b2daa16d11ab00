"""Rounds of data-parallel training: the average over ranks estimates the mean; nothing is short in silence."""

from __future__ import annotations

from collections.abc import Iterator

import hardneg
import numpy as np
from hardneg import Round

from ..check import Check, of_mean
from ..laws import LAWS
from ..measure import means_of
from ..plan import Plan
from ..population import FUNCTIONS, Population
from ..world import FIELDS, World

RANKS, SIZE = 4, 16


def checks(world: World, plan: Plan) -> Iterator[Check]:
    """Many rounds of four ranks, and a round of more ranks than there are samples."""
    for law in ("lognormal σ=3", "clustered U(.92,1)") if plan.full else ("lognormal σ=3",):
        population = Population(LAWS[law], 4_000, plan.seed)
        pool = world.pool(population, capacity=500, background_size=4_096)
        estimates, shared = [], 0
        for number in range(plan.draws // 4):
            shares = [
                pool.mine(
                    SIZE,
                    round=Round(number, rank, RANKS, run_id="audit"),
                    seed=plan.seed + number,
                    alpha=1.0,
                    random_fraction=0.25,
                    fields=FIELDS,
                )
                for rank in range(RANKS)
            ]
            estimates.append(np.mean([means_of(share, population) for share in shares], axis=0))
            ids = np.concatenate([np.asarray(share.ids) for share in shares])
            shared += len(np.unique(ids)) != RANKS * SIZE
        pool.delete()
        name = f"proportional α=1 ε=0.25 B={RANKS}x{SIZE}"
        for number, function in enumerate(FUNCTIONS):
            figure = f"average over ranks of mean(w·f), f={function}"
            yield of_mean("mean over the ranks of a round", name, law, figure, np.array(estimates)[:, number], 1.0)
        yield Check("shares of ranks are disjoint and full", name, law, f"others, of {len(estimates)}", shared, 0)
    yield _more_ranks(world, plan)


def _more_ranks(world: World, plan: Plan) -> Check:
    """16 ranks, 10 samples: some rank gets nothing. Either the call is refused, or not all ranks get nothing."""
    population = Population(LAWS["clustered U(.92,1)"], 10, plan.seed)
    pool = world.pool(population)
    silent = 1
    try:
        rows = sum(len(pool.mine(1, round=Round(0, rank, 16, run_id="audit"))) for rank in range(16))
        silent = int(rows == 0)
    except hardneg.HardnegError:
        silent = 0
    pool.delete()
    return Check("a round is not empty in silence", "16 ranks of 10 samples", population.law.name, "empty", silent, 0)
