"""RANK draws a sample with probability proportional to rank^-α: docs/methods.md 5.1."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..check import Check, of_mean
from ..laws import LAWS
from ..plan import Plan
from ..population import Population
from ..world import World

#: Ranks from 1 on that are judged together: the last of each.
EDGES = (1, 4, 16, 64, 256, 1_024)


def checks(world: World, plan: Plan) -> Iterator[Check]:
    """The first of a batch of one, by its rank, for each law without ties."""
    names = [name for name in LAWS if name != "all equal"] if plan.full else ["cosines U(.60,.68) T=.02"]
    for name in names:
        for n in (120, 2_000) if plan.full else (2_000,):
            yield from _one(world, plan, Population(LAWS[name], n, plan.seed), 1.0)
        if plan.full:
            yield from _one(world, plan, Population(LAWS[name], 2_000, plan.seed), 0.5)


def _one(world: World, plan: Plan, population: Population, alpha: float) -> Iterator[Check]:
    pool = world.pool(population, capacity=population.n)
    rank = np.empty(population.n, dtype=np.int64)
    rank[population.hardest_first] = np.arange(1, population.n + 1)
    policy = {"strategy": "rank", "alpha": alpha, "random_fraction": 0.0}
    drawn = world.draw(pool, 1, 2 * plan.draws, plan.seed, **policy)
    ranks = np.array([rank[population.index(np.asarray(batch.ids))[0]] for batch in drawn])
    pool.delete()
    masses = np.arange(1, population.n + 1) ** -alpha
    masses /= masses.sum()
    first = 0
    for edge in EDGES:
        if edge > population.n:
            break
        inside = (ranks > first) & (ranks <= edge)
        truth = float(masses[first:edge].sum())
        # Below the first 256 ranks neighbours may share a mass: total variation .008 at most.
        loose = 0.0 if edge <= 256 else 0.008
        figure = f"P(rank {first + 1} to {edge} of {population.n})"
        yield of_mean("law of RANK", f"rank α={alpha:g} B=1", population.law.name, figure, inside, truth, loose)
        first = edge
